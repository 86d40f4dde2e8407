//! Reads files within limits, whatever a kubeconfig or a variable names: a huge file, an endless device, a pipe without
//! a writer, a volume whose server is gone.

use std::fs::{File, Metadata};
use std::io::{self, Read};
use std::path::Path;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use super::platform;
use crate::error::duration;

/// The regular file at `path`. Never waits for anything other than a regular file.
///
/// # Errors
/// It cannot be read, is not a regular file, or is larger than `most` bytes ([`io::ErrorKind::FileTooLarge`]).
pub fn read(path: &Path, most: u64) -> io::Result<Vec<u8>> {
    read_with_metadata(path, most).map(|(content, _)| content)
}

/// As [`read`], with the metadata of the file that was read.
///
/// # Errors
/// As [`read`].
pub fn read_with_metadata(path: &Path, most: u64) -> io::Result<(Vec<u8>, Metadata)> {
    // Windows does not open a directory; Unix does.
    let file = platform::open_at_once(path).map_err(|error| match path.is_dir() {
        true => io::ErrorKind::IsADirectory.into(),
        false => error,
    })?;
    let metadata = file.metadata()?;
    check_regular(&metadata)?;
    if metadata.len() > most {
        return Err(too_large(most));
    }
    Ok((read_to_end(file, metadata.len(), most)?, metadata))
}

/// The file at `path`, which may also be a pipe or a device: that may take as long as `patience`, and costs a thread.
///
/// # Errors
/// As [`read`], or it does not end within `patience`.
pub fn read_any(path: &Path, most: u64, patience: Duration) -> io::Result<Vec<u8>> {
    let metadata = path.metadata()?;
    if metadata.is_file() || metadata.is_dir() {
        return read(path, most);
    }
    let path = path.to_owned();
    within(patience, move || read_waiting(&path, most))
}

/// The file at `path`, however long that takes: for [`within`].
///
/// # Errors
/// As [`read`].
pub fn read_waiting(path: &Path, most: u64) -> io::Result<Vec<u8>> {
    if path.is_dir() {
        return Err(io::ErrorKind::IsADirectory.into());
    }
    let file = File::open(path)?;
    let expected = file.metadata()?.len().min(most);
    read_to_end(file, expected, most)
}

/// The result of `work`, if it returns within `patience`. Otherwise its thread is left behind.
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
        Err(io::Error::other(format!(
            "reading did not finish within {}",
            duration(shown)
        )))
    })
}

fn check_regular(metadata: &Metadata) -> io::Result<()> {
    if metadata.is_dir() {
        return Err(io::ErrorKind::IsADirectory.into());
    }
    match metadata.is_file() {
        true => Ok(()),
        false => Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "it is not a regular file",
        )),
    }
}

/// Allocates room for the whole file first, so that a growing buffer leaves no copies of a secret behind.
fn read_to_end(file: File, expected: u64, most: u64) -> io::Result<Vec<u8>> {
    let room = usize::try_from(expected)
        .unwrap_or_default()
        .saturating_add(1);
    let mut content = Vec::with_capacity(room);
    file.take(most.saturating_add(1))
        .read_to_end(&mut content)?;
    match content.len() as u64 > most {
        true => Err(too_large(most)),
        false => Ok(content),
    }
}

fn too_large(most: u64) -> io::Error {
    const MIB: u64 = 1024 * 1024;
    let limit = match most % MIB {
        0 => format!("{} MiB", most / MIB),
        _ => format!("{most} bytes"),
    };
    io::Error::new(
        io::ErrorKind::FileTooLarge,
        format!("it is larger than {limit}"),
    )
}

/// A pipe for tests, which nobody writes to.
#[cfg(all(test, unix))]
#[expect(clippy::disallowed_methods, reason = "macOS has no mkfifoat")]
pub fn fifo(folder: &Path) -> std::path::PathBuf {
    let path = folder.join("pipe");
    let made = std::process::Command::new("mkfifo").arg(&path).status();
    assert!(made.expect("cannot start mkfifo").success());
    path
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_of_just_the_limit_is_read_and_a_larger_one_is_refused_with_the_limit() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("file");
        std::fs::write(&path, [7; 64]).expect("written");
        for read in [
            read,
            |path: &_, most| read_any(path, most, Duration::ZERO),
            read_waiting,
        ] {
            assert_eq!(read(&path, 64).expect("read"), [7; 64]);
            let error = read(&path, 63).expect_err("larger");
            assert_eq!(error.kind(), io::ErrorKind::FileTooLarge);
            assert_eq!(error.to_string(), "it is larger than 63 bytes");
            let error = read(folder.path(), 64).expect_err("a directory");
            assert_eq!(error.kind(), io::ErrorKind::IsADirectory);
        }
        assert_eq!(too_large(3 << 20).to_string(), "it is larger than 3 MiB");
    }

    /// A sparse file.
    #[test]
    fn a_huge_file_is_refused_by_its_size() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        file.as_file().set_len(10_000_000_000).expect("room");
        let error = read(file.path(), 1 << 20).expect_err("huge");
        assert_eq!(error.to_string(), "it is larger than 1 MiB");
    }

    #[cfg(unix)]
    #[test]
    fn what_is_no_file_is_refused_at_once_or_read_to_the_limit() {
        let device = Path::new("/dev/zero");
        let error = read(device, 4096).expect_err("a device");
        assert_eq!(error.to_string(), "it is not a regular file");
        let error = read_any(device, 4096, Duration::from_secs(60)).expect_err("endless");
        assert_eq!(error.kind(), io::ErrorKind::FileTooLarge);
    }

    #[cfg(unix)]
    #[test]
    fn a_pipe_that_nobody_writes_to_is_never_waited_for() {
        let folder = tempfile::tempdir().expect("a folder");
        let pipe = fifo(folder.path());
        let error = read(&pipe, 4096).expect_err("a pipe");
        assert_eq!(error.to_string(), "it is not a regular file");
        let error = read_any(&pipe, 4096, Duration::from_micros(1)).expect_err("a pipe");
        assert_eq!(
            error.to_string(),
            "reading did not finish within 100 milliseconds"
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
        assert_eq!(error, "reading did not finish within 100 milliseconds");
        drop(keep);
    }
}
