//! The state of the token cache, to find out why users have to sign in again. Read-only.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::entry::SealedEntry;
use super::flight::{self, Lock};
use super::{LOCK, TOKEN, TokenCache, VERSION, login_of, unseal};
use crate::system::platform;
use crate::token::Token;

/// What `doctor` reports about the cache.
#[derive(Debug, Default)]
pub struct Health {
    pub folder: PathBuf,
    /// Why no token could be written.
    pub problem: Option<String>,
    /// Why the operating system's keyring cannot keep the key.
    pub keyring_problem: Option<String>,
    /// The cached tokens of all logins.
    pub remembered: Vec<Token>,
    /// How many more there are that cannot be opened with this machine's key.
    pub unreadable: usize,
    /// Locks that another process holds.
    pub busy: Vec<Busy>,
}

/// A lock that another process holds, while it signs in.
#[derive(Debug)]
pub struct Busy {
    pub path: PathBuf,
    /// `None` where the system does not tell.
    pub process: Option<u32>,
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
            let Some((digest, kind)) = name.to_str().and_then(login_of) else {
                continue;
            };
            match kind {
                TOKEN => {
                    let label =
                        |place| [&[VERSION, place as u8], TOKEN.as_bytes(), &digest].concat();
                    let content = self.folder.read(name.to_str().unwrap_or_default());
                    let content = content.unwrap_or_default();
                    let mut keys = self.vault.keys(&self.folder, || true);
                    let opened = keys.find_map(|(place, key)| unseal(&content, place, &key, label));
                    let entry = opened.and_then(|plain| serde_json::from_slice(&plain).ok());
                    match entry.and_then(SealedEntry::into_token) {
                        Some(token) => health.remembered.push(token),
                        None => health.unreadable += 1,
                    }
                }
                LOCK if self.is_held(&file.path()) => health.busy.push(Busy {
                    process: file
                        .metadata()
                        .ok()
                        .and_then(|file| platform::lock_holder(&file)),
                    path: file.path(),
                }),
                _ => {}
            }
        }
        health
    }

    fn is_held(&self, path: &Path) -> bool {
        let Ok(file) = platform::open_careful(fs::OpenOptions::new().read(true), path) else {
            return false;
        };
        let lock = flight::wait(file, Duration::ZERO, self.system, |_| Ok(()));
        matches!(lock, Ok(Lock::Busy))
    }
}

/// Why this folder cannot be written, or created.
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
    let error = platform::check_writable(nearest).err()?;
    Some(format!("{shown} is not writable: {error}"))
}
