//! How the token cache is: for people who look for the reason that they are asked again. Reads only.

use std::fs;
use std::path::{Path, PathBuf};

use super::flight::{self, Lock};
use super::{LOCK, PREFIX, TOKEN, TokenCache, VERSION};
use std::time::Duration;

/// What `doctor` says about the cache.
#[derive(Debug, Default)]
pub struct Health {
    pub folder: PathBuf,
    /// Why no token could be written.
    pub problem: Option<String>,
    /// Why the operating system's keyring cannot keep the key.
    pub keyring_problem: Option<String>,
    /// Sign-ins that are remembered.
    pub entries: usize,
    /// Those among them that no key here opens.
    pub unreadable: usize,
    /// Locks that another process holds.
    pub busy: Vec<PathBuf>,
}

impl TokenCache<'_> {
    /// Looks at the folder, its files and the key. Changes nothing.
    pub fn health(&self) -> Health {
        let folder = self.folder.path();
        let mut health = Health {
            folder: folder.to_owned(),
            problem: not_writable(folder),
            keyring_problem: self.vault.keyring_problem(&self.folder),
            ..Health::default()
        };
        let files = fs::read_dir(folder).into_iter().flatten().flatten();
        for file in files {
            let name = file.file_name();
            let Some((digest, kind)) = name.to_str().and_then(parts) else {
                continue;
            };
            match kind {
                TOKEN => {
                    health.entries += 1;
                    let label =
                        |place| [&[VERSION, place as u8], TOKEN.as_bytes(), &digest].concat();
                    let opened = self.open(&name.to_string_lossy(), label);
                    health.unreadable += usize::from(opened.is_none());
                }
                LOCK if self.is_held(&file.path()) => health.busy.push(file.path()),
                _ => {}
            }
        }
        health
    }

    fn is_held(&self, path: &Path) -> bool {
        let Ok(file) = fs::File::open(path) else {
            return false;
        };
        let lock = flight::wait(file, Duration::ZERO, self.system, || {});
        matches!(lock, Lock::Busy)
    }
}

/// The digest in a file's name, and its kind.
fn parts(name: &str) -> Option<(Vec<u8>, &str)> {
    let (digest, kind) = name.strip_prefix(PREFIX)?.split_once('.')?;
    let bytes = (0..digest.len()).step_by(2);
    let digest = bytes.map(|at| u8::from_str_radix(digest.get(at..at + 2)?, 16).ok());
    let digest: Vec<u8> = digest.collect::<Option<_>>()?;
    (digest.len() == 32).then_some((digest, kind))
}

/// Why nothing can be written in this folder, or made where it would be.
fn not_writable(folder: &Path) -> Option<String> {
    let Some(nearest) = folder.ancestors().find(|path| path.exists()) else {
        return Some("no part of the path exists".into());
    };
    let shown = nearest.display();
    if !nearest.is_dir() {
        return Some(format!("{shown} is not a folder"));
    }
    if nearest == folder && !super::folder::is_ours(folder) {
        return Some(format!("{shown} belongs to another user"));
    }
    #[cfg(unix)]
    let error = rustix::fs::access(nearest, rustix::fs::Access::WRITE_OK)
        .err()
        .map(std::io::Error::from);
    #[cfg(not(unix))]
    let error = fs::metadata(nearest).err();
    error.map(|error| format!("{shown} is not writable: {error}"))
}
