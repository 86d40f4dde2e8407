//! The vault: where the sealing key lives, and the step down where the first place does not work.

use std::cell::OnceCell;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::flight;
use super::folder::Folder;
use super::keyring::{Keyring, Memory};
use super::seal::SealingKey;
use super::storage::Storage;
use crate::system::System;

/// The sealing key where no keyring is. Beside the entries it guards nothing that the file's mode does not; it keeps
/// one format for all.
pub const KEY_FILE: &str = "kubelogin.key";
/// Guards the making of a key: two would lock each other out.
pub const LOCK_FILE: &str = "kubelogin.key.lock";

/// How long another process may take to make the key: the Secret Service's bound, and some.
const PATIENCE: Duration = Duration::from_secs(6);

/// The place of a key, as entries name it in their second byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    Keyring = 1,
    Disk = 2,
}

impl Place {
    pub fn from_byte(byte: u8) -> Option<Self> {
        [Self::Keyring, Self::Disk]
            .into_iter()
            .find(|place| *place as u8 == byte)
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

    /// The key that opens what was sealed with the key of this place; `None` if it is gone, or the person does not
    /// want it from there.
    pub fn key_of(&self, place: Place, folder: &Folder) -> Option<SealingKey> {
        match (place, self.storage) {
            (Place::Keyring, Storage::Auto | Storage::Keyring) => {
                self.keyring(folder).find().ok()?
            }
            (Place::Disk, Storage::Auto | Storage::Disk) => Self::read_disk_key(folder),
            _ => None,
        }
    }

    /// The key to seal with, made if need be.
    ///
    /// # Errors
    /// Why there is none, for the person.
    pub fn key(&self, folder: &Folder) -> Result<(Place, SealingKey), String> {
        match self.storage {
            Storage::Keyring => self.keyring_key(folder),
            Storage::Disk => self.disk_key(folder, || {}),
            // Said when the key file is made, so once on a machine and not on every call.
            Storage::Auto => self.keyring_key(folder).or_else(|why| {
                self.disk_key(folder, || self.system.tell(&step_down(&why, folder)))
            }),
            Storage::None => Err("no token is to be kept".into()),
        }
    }

    /// Forgets the key of this folder that is in the keyring. One on disk is a file of the folder.
    pub fn forget(&self, folder: &Folder) -> Result<(), String> {
        self.keyring(folder).forget()
    }

    /// Why the keyring cannot be used; `None` if it works, with or without a key in it. Changes nothing.
    pub fn keyring_problem(&self, folder: &Folder) -> Option<String> {
        self.keyring(folder).find().err()
    }

    fn keyring_key(&self, folder: &Folder) -> Result<(Place, SealingKey), String> {
        let keyring = self.keyring(folder);
        let made = || {
            let key = SealingKey::random().ok_or("there are no random numbers")?;
            if keyring.keep(&key)? == Memory::UntilReboot {
                self.system.tell(UNTIL_REBOOT);
            }
            Ok(key)
        };
        self.find_or_make(folder, || keyring.find(), made)
            .map(|key| (Place::Keyring, key))
    }

    fn disk_key(
        &self,
        folder: &Folder,
        told: impl FnOnce(),
    ) -> Result<(Place, SealingKey), String> {
        let made = || {
            let key = SealingKey::random().ok_or("there are no random numbers")?;
            let written = folder.replace(KEY_FILE, key.expose());
            written.map_err(|error| format!("{KEY_FILE}: {error}"))?;
            told();
            Ok(key)
        };
        self.find_or_make(folder, || Ok(Self::read_disk_key(folder)), made)
            .map(|key| (Place::Disk, key))
    }

    /// Looks, and if there is nothing, looks again and makes a key while no neighbour can.
    fn find_or_make(
        &self,
        folder: &Folder,
        find: impl Fn() -> Result<Option<SealingKey>, String>,
        make: impl FnOnce() -> Result<SealingKey, String>,
    ) -> Result<SealingKey, String> {
        if let Some(key) = find()? {
            return Ok(key);
        }
        let file = folder.lock_file(LOCK_FILE);
        let file = file.map_err(|error| format!("{LOCK_FILE}: {error}"))?;
        let _lock = flight::wait(file, PATIENCE, self.system, || {});
        match find()? {
            Some(key) => Ok(key),
            None => make(),
        }
    }

    fn read_disk_key(folder: &Folder) -> Option<SealingKey> {
        let bytes = folder.read_private(KEY_FILE)?;
        SealingKey::from_bytes(&zeroize::Zeroizing::new(bytes))
    }

    /// The keyring of this folder. One folder has one name, by whichever way it was reached.
    fn keyring(&self, folder: &Folder) -> &Keyring {
        self.keyring.get_or_init(|| {
            let path = canonical(folder.path());
            Keyring::new(path.to_string_lossy().into_owned())
        })
    }
}

/// The path without links, as far as it exists.
fn canonical(path: &Path) -> PathBuf {
    match (std::fs::canonicalize(path), path.parent(), path.file_name()) {
        (Ok(path), ..) => path,
        (Err(_), Some(parent), Some(name)) => canonical(parent).join(name),
        _ => path.to_owned(),
    }
}

const UNTIL_REBOOT: &str =
    "The Secret Service is locked or does not answer: tokens are kept until the next reboot only";

fn step_down(why: &str, folder: &Folder) -> String {
    format!(
        "Tokens are kept in {} under the protection of its file modes alone, as no keyring works here ({why})",
        folder.path().display()
    )
}
