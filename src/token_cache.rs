//! The token cache: one encrypted file per login, and one sign-in for all processes that want the same token at the
//! same time.
//!
//! A file is named after a digest of its [`CacheKey`] and the ID of the key that seals it; two logins that could get
//! different tokens never share one. It holds a version, the place of the key (see [`vault`]) and the sealed entry (see
//! [`seal`]). A file that cannot be opened, for whatever reason, counts as missing. Nothing here ever makes a login
//! fail.

mod entry;
mod failure;
mod flight;
mod folder;
mod health;
mod key;
mod keyring;
mod pop_key;
mod prompt;
mod seal;
mod slot;
mod storage;
mod vault;

use std::cell::Cell;
use std::fs::TryLockError;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use zeroize::Zeroizing;

use crate::error::{Error, one_line};
use crate::system::System;
pub use entry::{Entry, Moment, Renewal};
pub use flight::Turn;
pub use folder::Cleared;
use folder::Folder;
pub use health::{Busy, Health};
pub use key::{CacheKey, Fingerprint};
pub use prompt::Waiter;
use seal::SealingKey;
pub use slot::{Removed, Slot};
pub use storage::{CacheSettings, Storage};
use vault::{Place, Vault};

/// The first byte of a file. Another version is a miss, never an error: an older or newer program may share the folder.
const VERSION: u8 = 1;

/// The cache folder and the vault that holds its key.
pub struct TokenCache<'a> {
    folder: Folder,
    vault: Vault<'a>,
    system: &'a dyn System,
    has_complained: Cell<bool>,
}

impl<'a> TokenCache<'a> {
    /// `None` if caching is off or there is no folder for a cache. Does not touch the disk.
    pub fn new(settings: &CacheSettings, system: &'a dyn System) -> Option<Self> {
        if settings.storage == Storage::None {
            return None;
        }
        let Some(path) = &settings.folder else {
            system.notice("Tokens are not cached: HOME is not set (use --cache-dir)");
            return None;
        };
        Some(Self {
            folder: Folder::new(path.clone()),
            vault: Vault::new(settings.storage, system),
            system,
            has_complained: Cell::new(false),
        })
    }

    /// The place of a login in the cache.
    pub fn slot(&self, key: &CacheKey, fingerprint: Fingerprint) -> Slot<'_> {
        Slot::new(self, key, fingerprint)
    }

    /// The note for this key. It is not secret, and not encrypted.
    pub fn note(&self, key: &CacheKey) -> Option<String> {
        String::from_utf8(self.folder.read(&name_of_note(key))?).ok()
    }

    /// Writes a note for this key, if possible, and if no other process is writing one.
    pub fn keep_note(&self, key: &CacheKey, note: &str) {
        // Without the folder no token was cached either.
        let name = format!("{}.{LOCK}", stem(&key.digest()));
        let Ok(lock) = self.folder.lock_file(&name) else {
            return;
        };
        if !matches!(lock.try_lock(), Err(TryLockError::WouldBlock)) {
            let _ = self.folder.replace(&name_of_note(key), note.as_bytes());
        }
    }

    /// Waits for the lock on this file, for at most `patience`, and calls `meanwhile` as [`flight::wait`] does.
    ///
    /// # Errors
    /// `meanwhile` fails.
    fn wait_for_turn(
        &self,
        file: &str,
        patience: Duration,
        meanwhile: impl FnMut(Duration) -> Result<(), Error>,
    ) -> Result<Turn, Error> {
        let prepared = self.folder.prepare();
        match prepared.and_then(|()| self.folder.lock_file(file)) {
            Ok(lock_file) => {
                let lock = flight::wait(lock_file, patience, self.system, meanwhile)?;
                self.trace(file, || lock.told().to_owned());
                Ok(Turn { lock: Some(lock) })
            }
            Err(error) => {
                self.complain(&error.to_string());
                Ok(Turn { lock: None })
            }
        }
    }

    /// Opens a sealed file with the first of our keys that has one. `label` is what it is bound to.
    fn open(&self, file: File, label: impl Fn(Place) -> Vec<u8>) -> Option<Zeroizing<Vec<u8>>> {
        // The Secret Service is slow: ask it only if there is something to open.
        let exists = || self.folder.names().any(|name| file.is_name(&name));
        for (place, key) in self.vault.keys(&self.folder, exists) {
            let name = file.name(&key.id());
            let Some(content) = self.folder.read(&name) else {
                self.trace(&name, || "no such file, or one that is not trusted".into());
                continue;
            };
            let opened = unseal(&content, place, &key, &label);
            self.trace(&name, || match opened {
                Some(_) => format!("opened with the key in {place}"),
                None => "damaged, or of another version".into(),
            });
            if opened.is_some() {
                return opened;
            }
        }
        None
    }

    /// Traces a step that concerns one of the files.
    fn trace(&self, file: &str, step: impl FnOnce() -> String) {
        self.system
            .trace(|| format!("{}: {}", self.folder.path().join(file).display(), step()));
    }

    /// Seals a file and returns its name. When a new file is created, files that are no longer needed are removed.
    ///
    /// # Errors Why it cannot be cached, for a message.
    fn seal(
        &self,
        file: File,
        label: impl Fn(Place) -> Vec<u8>,
        plain: &[u8],
    ) -> Result<String, String> {
        let (place, key) = self.vault.key(&self.folder)?;
        let sealed = key.seal(&label(place), plain);
        let sealed = sealed.ok_or(seal::NO_RANDOM_NUMBERS)?;
        let content = [&[VERSION, place as u8], sealed.as_slice()].concat();
        let name = file.name(&key.id());
        let is_new = !self.folder.has(&name);
        let written = self.folder.replace(&name, &content);
        written.map_err(|error| error.to_string())?;
        self.trace(&name, || format!("written, sealed with the key in {place}"));
        if is_new {
            let too_old = SystemTime::from(self.system.now()).checked_sub(LONGEST_LIFE);
            // A note is true for as long as it is there, and is written only when it changes.
            let is_entry =
                |name: &str| login_of(name).is_some_and(|(_, kind)| ![LOCK, NOTE].contains(&kind));
            self.folder.remove_older(too_old, is_entry);
        }
        Ok(name)
    }

    /// The folder that it is in.
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// The file in this folder in which Azure/kubelogin keeps its own sign-in, if there is one.
    pub fn record_of_the_original(&self) -> Option<PathBuf> {
        let path = self.folder.path().join("auth.json");
        path.is_file().then_some(path)
    }

    /// Removes all our files: entries, the files that belong to them, and the sealing key. Files of other programs
    /// stay, and so does a folder that contains them. A missing folder is fine. Returns what was removed.
    pub fn clear(&self) -> Result<Cleared, Error> {
        let place = self.folder.path().display();
        let files = self.folder.clear(is_ours);
        let key = self.vault.forget(&self.folder);
        let cleared = files.map_err(|error| {
            Error::input(format!(
                "the token cache in {place} could not be removed: {error}"
            ))
            .remedy("Check the folder's permissions, and run the command as its owner.")
        })?;
        key.map_err(|why| {
            Error::outside(format!(
                "the encryption key of the token cache in {place} could not be removed: {why}"
            ))
            .remedy("The tokens are deleted. Unlock the keyring and run the command again to delete the key as well.")
        })?;
        Ok(cleared)
    }

    /// Reports why tokens are not cached: only once per run.
    fn complain(&self, why: &str) {
        if !self.has_complained.replace(true) {
            let place = self.folder.path().display();
            let line = format!("Cannot cache tokens in {place}: {why}");
            self.system.notice(&one_line(&line));
        }
    }
}

/// True if the cache has a file for this token, whether or not it can be opened. Needs no key.
pub fn holds(settings: &CacheSettings, key: &CacheKey) -> bool {
    let stem = stem(&key.digest());
    let file = File {
        stem: &stem,
        kind: TOKEN,
    };
    folder_of(settings).is_some_and(|folder| {
        // A process that caches a token locks it first, and the lock file stays: without one, the folder does not have
        // to be listed.
        folder.has(&format!("{stem}.{LOCK}")) && folder.names().any(|name| file.is_name(&name))
    })
}

/// True if something was noted for this key.
pub fn is_noted(settings: &CacheSettings, key: &CacheKey) -> bool {
    folder_of(settings).is_some_and(|folder| folder.has(&name_of_note(key)))
}

fn folder_of(settings: &CacheSettings) -> Option<Folder> {
    let folder = settings.folder.clone();
    let folder = folder.filter(|_| settings.storage != Storage::None);
    folder.map(Folder::new)
}

fn name_of_note(key: &CacheKey) -> String {
    format!("{}.{NOTE}", stem(&key.digest()))
}

/// The prefix of the names of all files of a key.
fn stem(digest: &[u8; 32]) -> String {
    format!("{PREFIX}{}", hex::encode(digest))
}

const PREFIX: &str = "kubelogin-";

/// An entry that has not been written for this long is useless: a refresh token is valid for 90 days after its last use
/// (Microsoft identity platform, "Refresh tokens"), and an entry in use is written more often. Most such entries were
/// sealed with a lost key, or by another machine that shares the folder.
const LONGEST_LIFE: Duration = Duration::from_secs(90 * 24 * 60 * 60);

/// A sealed file, one for each sealing key: two machines that share a home, each with its own keyring, do not overwrite
/// each other's entries.
#[derive(Clone, Copy)]
struct File<'n> {
    /// The part before the key's ID.
    stem: &'n str,
    kind: &'n str,
}

impl File<'_> {
    /// Its name, for a sealing key.
    fn name(self, key: &str) -> String {
        format!("{}.{key}.{}", self.stem, self.kind)
    }

    /// True if it is its name for any sealing key.
    fn is_name(self, name: &str) -> bool {
        let key = name
            .strip_prefix(self.stem)
            .and_then(|rest| rest.strip_prefix('.'))
            .and_then(|rest| rest.strip_suffix(self.kind))
            .and_then(|rest| rest.strip_suffix('.'));
        key.is_some_and(seal::is_id)
    }
}

/// The content of a sealed file.
fn unseal(
    content: &[u8],
    place: Place,
    key: &SealingKey,
    label: impl Fn(Place) -> Vec<u8>,
) -> Option<Zeroizing<Vec<u8>>> {
    let (head, sealed) = content.split_first_chunk()?;
    (*head == [VERSION, place as u8]).then_some(())?;
    key.open(&label(place), sealed)
}

/// True for the names of this program's files in the cache folder.
fn is_ours(name: &str) -> bool {
    let name = name.strip_suffix(folder::TEMPORARY).unwrap_or(name);
    let of_the_folder = [vault::KEY_FILE, vault::LOCK_FILE, pop_key::LOCK_FILE];
    of_the_folder.contains(&name)
        || pop_key::FILE.is_name(name)
        || login_of(name)
            .is_some_and(|(_, kind)| [TOKEN, FAILURE, LOCK, NOTE, PROMPT].contains(&kind))
}

/// The digest of the login that a file belongs to, and the kind of the file.
fn login_of(name: &str) -> Option<([u8; 32], &str)> {
    let (digest, kind) = name.strip_prefix(PREFIX)?.split_once('.')?;
    let mut bytes = [0; 32];
    hex::decode_to_slice(digest, &mut bytes).ok()?;
    let kind = match kind.split_once('.') {
        Some((key, kind)) => Some(kind).filter(|_| seal::is_id(key))?,
        None => kind,
    };
    Some((bytes, kind))
}

const TOKEN: &str = "token";
const FAILURE: &str = "failure";
const LOCK: &str = "lock";
const NOTE: &str = "note";
const PROMPT: &str = "prompt";

#[cfg(test)]
mod tests;
