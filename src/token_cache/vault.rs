//! The vault: where the sealing key is kept, and the fallback if the keyring does not work.

use std::cell::OnceCell;
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::flight::{self, Lock};
use super::folder::Folder;
use super::keyring::{Keyring, Memory};
use super::seal::{NO_RANDOM_NUMBERS, SealingKey};
use super::storage::Storage;
use crate::system::System;

/// Holds the sealing key if there is no keyring. Next to the entries it protects no better than file permissions; it
/// only keeps the format the same.
pub const KEY_FILE: &str = "kubelogin.key";
/// Guards the creation of a key: with two keys, two processes would not read each other's entries.
pub const LOCK_FILE: &str = "kubelogin.key.lock";

/// How long to wait for another process to create the key: a little longer than the Secret Service may take.
const PATIENCE: Duration = Duration::from_secs(6);

/// The place of a key, as entries name it in their second byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    Keyring = 1,
    Disk = 2,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Keyring => "the keyring",
            Self::Disk => KEY_FILE,
        })
    }
}

/// Why a key is missing.
enum NoKey {
    /// Another process is still creating it. A second key would make that process's entries useless, and the next place may
    /// protect them less.
    Busy,
    /// For this reason.
    Because(String),
}

impl From<String> for NoKey {
    fn from(why: String) -> Self {
        Self::Because(why)
    }
}

impl fmt::Display for NoKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Busy => "another kubelogin is still creating the encryption key",
            Self::Because(why) => why,
        })
    }
}

pub struct Vault<'a> {
    storage: Storage,
    system: &'a dyn System,
    keyring: OnceCell<Keyring>,
}

impl<'a> Vault<'a> {
    pub fn new(storage: Storage, system: &'a dyn System) -> Self {
        Self {
            storage,
            system,
            keyring: OnceCell::new(),
        }
    }

    /// The keys that the settings allow, each looked up only when needed: from a fast keyring, from disk and,
    /// `if_needed`, from a slow keyring.
    pub fn keys<'v>(
        &'v self,
        folder: &'v Folder,
        if_needed: impl Fn() -> bool + 'v,
    ) -> impl Iterator<Item = (Place, SealingKey)> + 'v {
        let has_keyring = matches!(self.storage, Storage::Auto | Storage::Keyring);
        let has_disk = matches!(self.storage, Storage::Auto | Storage::Disk);
        (0..3).filter_map(move |turn| match turn {
            0 if has_keyring => {
                let key = self.keyring(folder).find_at_once().ok()??;
                Some((Place::Keyring, key))
            }
            1 if has_disk => Some((Place::Disk, Self::read_disk_key(folder)?)),
            2 if has_keyring && self.keyring(folder).find_at_once() == Ok(None) && if_needed() => {
                let key = self.keyring(folder).find().ok()??;
                Some((Place::Keyring, key))
            }
            _ => None,
        })
    }

    /// The key to seal with; creates one if there is none.
    ///
    /// # Errors
    /// Why there is none, for a message.
    pub fn key(&self, folder: &Folder) -> Result<(Place, SealingKey), String> {
        let key = match self.storage {
            Storage::Keyring => self.keyring_key(folder),
            Storage::Disk => self.disk_key(folder, || {}),
            Storage::Auto => match self.keyring_key(folder) {
                // Reported when the key file is created: once per machine, not on every call.
                Err(NoKey::Because(why)) => {
                    self.disk_key(folder, || self.system.notice(&step_down(&why, folder)))
                }
                other => other,
            },
            Storage::None => Err(NoKey::Because("caching is off".into())),
        };
        key.map_err(|why| why.to_string())
    }

    /// Removes this folder's key from the keyring. A key on disk is a file in the folder.
    pub fn forget(&self, folder: &Folder) -> Result<(), String> {
        self.keyring(folder).forget()
    }

    /// Why the keyring cannot be used; `None` if it works, with or without a key in it. Changes nothing.
    pub fn keyring_problem(&self, folder: &Folder) -> Option<String> {
        self.keyring(folder).find().err()
    }

    fn keyring_key(&self, folder: &Folder) -> Result<(Place, SealingKey), NoKey> {
        let keyring = self.keyring(folder);
        let made = || {
            let key = SealingKey::random().ok_or(NO_RANDOM_NUMBERS)?;
            if keyring.keep(&key)? == Memory::UntilReboot {
                self.system.notice(UNTIL_REBOOT);
            }
            Ok(key)
        };
        self.find_or_make(folder, || keyring.find(), made)
            .map(|key| (Place::Keyring, key))
    }

    fn disk_key(&self, folder: &Folder, told: impl FnOnce()) -> Result<(Place, SealingKey), NoKey> {
        let made = || {
            let key = SealingKey::random().ok_or(NO_RANDOM_NUMBERS)?;
            let written = folder.replace(KEY_FILE, key.expose());
            written.map_err(|error| format!("{KEY_FILE}: {error}"))?;
            told();
            Ok(key)
        };
        self.find_or_make(folder, || Ok(Self::read_disk_key(folder)), made)
            .map(|key| (Place::Disk, key))
    }

    /// Looks for a key; if there is none, looks again and creates one while no other process can.
    fn find_or_make(
        &self,
        folder: &Folder,
        find: impl Fn() -> Result<Option<SealingKey>, String>,
        make: impl FnOnce() -> Result<SealingKey, String>,
    ) -> Result<SealingKey, NoKey> {
        if let Some(key) = find()? {
            return Ok(key);
        }
        let file = folder.lock_file(LOCK_FILE);
        let file = file.map_err(|error| format!("{LOCK_FILE}: {error}"))?;
        let lock = flight::wait(file, PATIENCE, self.system, |_| Ok(()));
        match find()? {
            Some(key) => Ok(key),
            None if matches!(lock, Ok(Lock::Busy)) => Err(NoKey::Busy),
            None => Ok(make()?),
        }
    }

    fn read_disk_key(folder: &Folder) -> Option<SealingKey> {
        let bytes = folder.read_private(KEY_FILE)?;
        SealingKey::from_bytes(&zeroize::Zeroizing::new(bytes))
    }

    /// The keyring of this folder. A folder has one name, whichever path leads to it.
    fn keyring(&self, folder: &Folder) -> &Keyring {
        self.keyring.get_or_init(|| {
            let path = canonical(folder.path());
            Keyring::new(path.to_string_lossy().into_owned())
        })
    }
}

/// The path with links resolved, as far as it exists.
fn canonical(path: &Path) -> PathBuf {
    match (std::fs::canonicalize(path), path.parent(), path.file_name()) {
        (Ok(path), ..) => path,
        (Err(_), Some(parent), Some(name)) => canonical(parent).join(name),
        _ => path.to_owned(),
    }
}

const UNTIL_REBOOT: &str =
    "The Secret Service is locked or not responding: tokens are cached only until the next reboot";

fn step_down(why: &str, folder: &Folder) -> String {
    format!(
        "No keyring is available ({why}): tokens in {} are protected by file permissions only",
        folder.path().display()
    )
}
