//! What a token depends on besides our options: who is signed in to az or azd, with which account, on which machine.
//!
//! The original once cached az's tokens without this, and served one user's token to the next (Azure/kubelogin#137).

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use crate::env::Env;
use crate::token_cache::Fingerprint;

/// The largest file to read, in bytes: a thousand subscriptions take about 400 KiB.
const LARGEST_FILE: u64 = 16 * 1024 * 1024;

/// The state outside kubelogin that a login depends on, part by part.
#[derive(Default)]
pub struct OutsideState(Vec<Vec<u8>>);

impl OutsideState {
    pub fn add(&mut self, part: impl Into<Vec<u8>>) {
        self.0.push(part.into());
    }

    /// Adds a file's content, not its times; a missing file is a state of its own.
    pub fn add_file(&mut self, path: &Path) -> io::Result<()> {
        match read(path)? {
            Some(content) => {
                self.add("present");
                self.add(content);
            }
            None => self.add("absent"),
        }
        Ok(())
    }

    /// Adds which machine this is: several can share a home folder. On Windows no two share a cache.
    pub fn add_machine(&mut self) -> io::Result<()> {
        self.add_file(Path::new("/etc/machine-id"))?;
        self.add_file(Path::new("/proc/sys/kernel/hostname"))
    }

    pub fn fingerprint(&self) -> Fingerprint {
        let parts: Vec<_> = self.0.iter().map(Vec::as_slice).collect();
        Fingerprint::of(&parts)
    }
}

/// The absolute path of the folder in `variable`, or of `name` in the home folder; `None` without a home.
pub fn folder(env: &Env, variable: &str, name: &str) -> Option<PathBuf> {
    match env.get(variable) {
        Some(folder) => std::path::absolute(folder).ok(),
        None => Some(env.user_home()?.join(name)),
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
        // A pipe would block.
        return Err(io::ErrorKind::InvalidInput.into());
    }
    let mut content = Vec::new();
    File::open(path)?
        .take(LARGEST_FILE)
        .read_to_end(&mut content)?;
    Ok(Some(content))
}
