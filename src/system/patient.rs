//! Reading a file that may hang or never end: a pipe that nobody writes to, a device, a volume whose server is gone.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use zeroize::Zeroizing;

/// The file at `path`. Only what is not a regular file may take as long as `patience`: it costs a thread.
///
/// # Errors
/// The file cannot be read, is larger than `most` bytes ([`io::ErrorKind::FileTooLarge`]), or does not end within
/// `patience`.
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
        Err(io::Error::other(format!("it did not end within {shown:?}")))
    })
}

fn read_at_most(path: &Path, most: u64) -> io::Result<Zeroizing<Vec<u8>>> {
    let mut bytes = Zeroizing::new(Vec::new());
    File::open(path)?.take(most + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > most {
        return Err(io::ErrorKind::FileTooLarge.into());
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_of_just_the_limit_is_read_and_a_larger_one_is_refused() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("file");
        std::fs::write(&path, [7; 64]).expect("written");
        assert_eq!(read(&path, 64, Duration::ZERO).expect("read").len(), 64);
        let error = read(&path, 63, Duration::ZERO).expect_err("larger");
        assert_eq!(error.kind(), io::ErrorKind::FileTooLarge);
    }

    #[cfg(unix)]
    #[test]
    fn a_device_that_never_ends_is_read_to_the_limit() {
        let error = read(Path::new("/dev/zero"), 4096, Duration::from_secs(60));
        assert_eq!(
            error.expect_err("endless").kind(),
            io::ErrorKind::FileTooLarge
        );
    }

    #[test]
    fn work_that_does_not_end_is_given_up() {
        let (keep, wait) = mpsc::channel::<()>();
        let error = within(Duration::from_micros(1), move || {
            let _ = wait.recv();
            Ok(())
        });
        let error = error.expect_err("given up").to_string();
        assert_eq!(error, "it did not end within 100ms");
        drop(keep);
    }
}
