//! Reading files that somebody else named: never more than a bound, and never for longer than a moment.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use zeroize::Zeroizing;

/// How long a pipe or device may take: a FIFO that nobody writes to never ends.
const PATIENCE: Duration = Duration::from_secs(2);

/// The content of a file.
///
/// # Errors
/// It cannot be read, has more than `limit` bytes, or is a pipe that does not end within two seconds.
pub fn read_at_most(path: &Path, limit: u64) -> io::Result<Zeroizing<Vec<u8>>> {
    let metadata = path.metadata()?;
    if metadata.is_file() || metadata.is_dir() {
        return read(path, limit);
    }
    let (sender, receiver) = mpsc::sync_channel(1);
    let path = path.to_owned();
    thread::Builder::new().spawn(move || sender.send(read(&path, limit)))?;
    receiver.recv_timeout(PATIENCE).unwrap_or_else(|_| {
        Err(io::Error::other(
            "it is not a regular file, and nothing came from it",
        ))
    })
}

fn read(path: &Path, limit: u64) -> io::Result<Zeroizing<Vec<u8>>> {
    let mut bytes = Zeroizing::new(Vec::new());
    File::open(path)?.take(limit + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > limit {
        return Err(io::ErrorKind::FileTooLarge.into());
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(unix)]
    #[test]
    fn a_device_that_never_ends_is_read_to_the_limit() {
        let error = read_at_most(Path::new("/dev/zero"), 4096).expect_err("endless");
        assert_eq!(error.kind(), io::ErrorKind::FileTooLarge);
    }

    #[test]
    fn a_file_of_just_the_limit_is_read() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("file");
        std::fs::write(&path, [7; 64]).expect("written");
        assert_eq!(read_at_most(&path, 64).expect("read").len(), 64);
        let error = read_at_most(&path, 63).expect_err("larger");
        assert_eq!(error.kind(), io::ErrorKind::FileTooLarge);
    }
}
