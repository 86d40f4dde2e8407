//! What a token of az or azd depends on besides our options: who is signed in there, and with which account.
//!
//! The original once cached az's tokens without this, and served the last person's token to the next
//! (Azure/kubelogin#137).

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use ring::digest::{Context, SHA256};

/// The state of another program that a login rests on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OutsideState {
    /// The login rests on nothing but the options.
    Nothing,
    /// A digest of the state: as long as it is the same, so is who signs in.
    Digest([u8; 32]),
    /// The state cannot be seen: no token may be kept.
    Unknown,
}

/// The largest file that is read, in bytes: a thousand subscriptions are some 400 KiB.
const LARGEST_FILE: u64 = 16 * 1024 * 1024;

/// Collects a state. Each part goes in with its length: no two states are the same sequence of bytes.
pub struct Collector(Context);

impl Collector {
    pub fn new() -> Self {
        Self(Context::new(&SHA256))
    }

    pub fn add(&mut self, part: &[u8]) {
        self.0.update(&(part.len() as u64).to_be_bytes());
        self.0.update(part);
    }

    /// Adds a file's content, not its times; a missing file is a state of its own.
    pub fn add_file(&mut self, path: &Path) -> io::Result<()> {
        match read(path)? {
            Some(content) => self.add(&content),
            None => self.0.update(&u64::MAX.to_be_bytes()),
        }
        Ok(())
    }

    pub fn finish(self) -> OutsideState {
        let digest = self.0.finish();
        match digest.as_ref().try_into() {
            Ok(digest) => OutsideState::Digest(digest),
            Err(_) => OutsideState::Unknown,
        }
    }
}

/// The content of a file; `None` if there is none.
pub fn read(path: &Path) -> io::Result<Option<Vec<u8>>> {
    let metadata = match path.metadata() {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    if !metadata.is_file() || metadata.len() > LARGEST_FILE {
        // A pipe would be waited for.
        return Err(io::ErrorKind::InvalidInput.into());
    }
    let mut content = Vec::new();
    File::open(path)?
        .take(LARGEST_FILE)
        .read_to_end(&mut content)?;
    Ok(Some(content))
}

/// An empty folder for a test of this name.
#[cfg(test)]
pub fn test_folder(name: &str) -> std::path::PathBuf {
    let name = format!("kubelogin-{}-{name}", std::process::id());
    let folder = std::env::temp_dir().join(name);
    std::fs::create_dir_all(&folder).expect("a temporary folder can be made");
    folder
}
