//! Reading a file that may hang or never end: a pipe that nobody writes to, a device, a volume whose server is gone.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use zeroize::Zeroizing;

/// At most `most` bytes of the file at `path`. Only what is not a regular file may take as long as `patience`: it costs a
/// thread.
///
/// # Errors
/// The file cannot be read, or not within `patience`.
pub fn read(path: &Path, most: u64, patience: Duration) -> io::Result<Zeroizing<Vec<u8>>> {
    if path.metadata()?.is_file() {
        return read_at_most(path, most);
    }
    let path = path.to_owned();
    within(patience, move || read_at_most(&path, most))
}

/// What `work` returns, if it does within `patience`. Otherwise its thread is left behind.
///
/// # Errors
/// `work` fails or takes longer.
pub fn within<T: Send + 'static>(
    patience: Duration,
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    let (sender, receiver) = mpsc::channel();
    thread::Builder::new().spawn(move || sender.send(work()))?;
    receiver.recv_timeout(patience).unwrap_or_else(|_| {
        // In tenths of a second: what remains of a timeout is 1.999912345s.
        let tenths = u64::try_from(patience.as_micros().div_ceil(100_000)).unwrap_or(u64::MAX);
        let shown = Duration::from_millis(tenths.saturating_mul(100));
        Err(io::Error::other(format!("no end within {shown:?}")))
    })
}

fn read_at_most(path: &Path, most: u64) -> io::Result<Zeroizing<Vec<u8>>> {
    let mut bytes = Zeroizing::new(Vec::new());
    File::open(path)?.take(most).read_to_end(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_is_read_than_is_wanted() {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml");
        let bytes = read(&file, 9, Duration::ZERO).expect("a regular file needs no patience");
        assert_eq!(&**bytes, b"[package]");
    }

    #[test]
    fn work_that_does_not_end_is_given_up() {
        let (keep, wait) = mpsc::channel::<()>();
        let error = within(Duration::from_micros(1), move || {
            let _ = wait.recv();
            Ok(())
        });
        let error = error.expect_err("given up").to_string();
        assert_eq!(error, "no end within 100ms");
        drop(keep);
    }
}
