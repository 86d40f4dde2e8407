//! The token cache: one sealed file for each login, one sign-in for all who want the same token at the same time.
//!
//! A file is named after a digest of its [`CacheKey`] and the ID of the key that seals it; two logins that could get
//! different tokens never share one. It holds a version, the place of the key (see [`vault`]) and the sealed entry (see [`seal`]). A file that cannot be
//! opened, for whatever reason, counts as missing. Nothing here ever fails a login.

mod entry;
mod failure;
mod flight;
mod folder;
mod health;
mod key;
mod keyring;
mod pop_key;
mod seal;
mod storage;
mod vault;

use std::cell::Cell;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde::de::DeserializeOwned;
use zeroize::Zeroizing;

use crate::error::{Error, one_line};
use crate::secret::Secret;
use crate::system::System;
use crate::token::Token;
use entry::SealedEntry;
pub use entry::{Entry, Moment, Renewal};
use failure::SealedFailure;
use flight::Lock;
pub use folder::Cleared;
use folder::Folder;
pub use health::{Busy, Health};
pub use key::{CacheKey, Fingerprint};
use seal::SealingKey;
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
    /// `None` if caching is off or there is no place for a cache. Does not touch the disk.
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
        let digest = key.digest();
        let name = stem(key);
        Slot {
            cache: self,
            digest,
            name,
            fingerprint,
        }
    }

    /// What was noted for this key. It is no secret, and not sealed.
    pub fn note(&self, key: &CacheKey) -> Option<String> {
        String::from_utf8(self.folder.read(&format!("{}.{NOTE}", stem(key)))?).ok()
    }

    /// Notes something for this key, if it can be written.
    pub fn keep_note(&self, key: &CacheKey, note: &str) {
        // Without the folder no token was kept either.
        let _ = self
            .folder
            .replace(&format!("{}.{NOTE}", stem(key)), note.as_bytes());
    }

    /// Waits for the lock on this file, for at most `patience`; calls `tell` once if that takes long.
    fn wait_for_turn(&self, file: &str, patience: Duration, tell: impl FnOnce()) -> Turn {
        let prepared = self.folder.prepare();
        match prepared.and_then(|()| self.folder.lock_file(file)) {
            Ok(lock_file) => {
                let lock = flight::wait(lock_file, patience, self.system, tell);
                self.trace(file, || lock.told().to_owned());
                Turn { lock: Some(lock) }
            }
            Err(error) => {
                self.complain(&error.to_string());
                Turn { lock: None }
            }
        }
    }

    /// Opens a sealed file with the first key of ours that has one. `label` is what it is bound to.
    fn open(&self, file: File, label: impl Fn(Place) -> Vec<u8>) -> Option<Zeroizing<Vec<u8>>> {
        // The Secret Service takes long to answer: only if there is something to open.
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

    /// Tells a step that has to do with one of the files.
    fn trace(&self, file: &str, step: impl FnOnce() -> String) {
        self.system
            .trace(|| format!("{}: {}", self.folder.path().join(file).display(), step()));
    }

    /// Seals a file. The first of its name makes room for itself: what nobody needs any more is removed.
    ///
    /// # Errors
    /// Why it cannot be kept, for a message.
    fn seal(
        &self,
        file: File,
        label: impl Fn(Place) -> Vec<u8>,
        plain: &[u8],
    ) -> Result<(), String> {
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
            let is_entry = |name: &str| login_of(name).is_some_and(|(_, kind)| kind != LOCK);
            self.folder.remove_older(too_old, is_entry);
        }
        Ok(())
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

    /// Removes everything of ours: entries, the files that go with them, and the sealing key. Files of other programs
    /// stay, and so does the folder that holds them. A missing folder is fine. Returns what was removed.
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

    /// Reports why tokens are not cached: once in a run, however many steps fail.
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
    let folder = settings.folder.as_ref();
    let folder = folder.filter(|_| settings.storage != Storage::None);
    let stem = stem(key);
    let file = File {
        stem: &stem,
        kind: TOKEN,
    };
    folder.is_some_and(|folder| {
        let folder = Folder::new(folder.clone());
        // Whoever keeps a token locks it first, and the lock's file stays: without one, the folder need not be listed.
        folder.has(&format!("{stem}.{LOCK}")) && folder.names().any(|name| file.is_name(&name))
    })
}

/// How the names of all files of this key begin.
fn stem(key: &CacheKey) -> String {
    format!("{PREFIX}{}", hex::encode(key.digest()))
}

const PREFIX: &str = "kubelogin-";

/// An entry that was not written for so long is of no use: a refresh token is valid for 90 days after its last use (Microsoft
/// identity platform, "Refresh tokens"), and an entry that is used is written more often. Most such entries were sealed with
/// a key that is gone, or by another machine that shares the folder.
const LONGEST_LIFE: Duration = Duration::from_secs(90 * 24 * 60 * 60);

/// A sealed file, of which each sealing key has its own: two machines with one home, each with its keyring, do not push out
/// each other's entries.
#[derive(Clone, Copy)]
struct File<'n> {
    /// What comes before the key's ID.
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
        || login_of(name).is_some_and(|(_, kind)| [TOKEN, FAILURE, LOCK, NOTE].contains(&kind))
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

/// The place of one login in the cache.
pub struct Slot<'a> {
    cache: &'a TokenCache<'a>,
    digest: [u8; 32],
    name: String,
    fingerprint: Fingerprint,
}

impl Slot<'_> {
    pub fn fingerprint(&self) -> &Fingerprint {
        &self.fingerprint
    }

    /// The entry, if there is one and this login may use it.
    pub fn load(&self) -> Option<Entry> {
        self.read::<SealedEntry>(TOKEN)?.open(&self.fingerprint)
    }

    /// Saves a token that was just obtained.
    pub fn save(&self, token: &Token, turn: &Turn) {
        self.save_entry(token, &Moment::now(self.cache.system), turn);
        if turn.may_write() {
            let _ = self.remove_all(FAILURE);
        }
    }

    /// Saves the entry without its refresh token, which is no longer valid.
    pub fn drop_refresh_token(&self, entry: &mut Entry, turn: &Turn) {
        entry.token.refresh_token = None;
        self.save_entry(&entry.token, &entry.obtained, turn);
    }

    fn save_entry(&self, token: &Token, obtained: &Moment, turn: &Turn) {
        let sealed = SealedEntry::new(token, obtained, &self.fingerprint);
        if turn.may_write()
            && let Err(why) = self.write(TOKEN, &sealed)
        {
            self.cache.complain(&why);
        }
    }

    /// Saves the error of a sign-in for those who wait for it. Like any error, it contains no secret.
    pub fn save_failure(&self, error: &Error, turn: &Turn) {
        let system = self.cache.system;
        let sealed = SealedFailure::new(error, system.now(), system.caller(), &self.fingerprint);
        if turn.may_write() {
            let _ = self.write(FAILURE, &sealed); // the error itself is about to be reported, which matters more
        }
    }

    /// The error of a sign-in that counts as ours: it failed after we `began` to wait for it, or a moment ago for the
    /// same caller, if that is a program that tries again.
    pub fn failure(&self, began: DateTime<Utc>, tries_again: bool) -> Option<Error> {
        let sealed: SealedFailure = self.read(FAILURE)?;
        let (now, caller) = (self.cache.system.now(), self.cache.system.caller());
        let counts = sealed.is_of(&self.fingerprint)
            && (sealed.was_waited_for(began, now)
                || tries_again && sealed.repeats(now, caller.as_deref()));
        counts.then_some(sealed.error)
    }

    /// Removes the entry and a failure beside it, whatever secrets they were saved with; `None` if there is no entry.
    ///
    /// # Errors
    /// They cannot be removed, or another process holds the lock for longer than `patience`.
    pub fn remove(&self, patience: Duration) -> Result<Option<Removed>, Error> {
        let folder = &self.cache.folder;
        if !folder.names().any(|name| self.file(TOKEN).is_name(&name)) {
            return Ok(None);
        }
        let turn = self.wait_for_turn(patience);
        if matches!(turn.lock, Some(Lock::Busy)) {
            return Err(
                Error::outside("another kubelogin is signing in with the same options")
                    .remedy("Stop it or wait for it, then run the command again."),
            );
        }
        let access_token = self.read(TOKEN).map(SealedEntry::into_access_token);
        let removed = self
            .remove_all(TOKEN)
            .and_then(|()| self.remove_all(FAILURE));
        removed.map_err(|error| {
            let folder = folder.path().display();
            Error::input(format!(
                "the token in {folder} could not be removed: {error}"
            ))
            .remedy("Check the folder's permissions, and run the command as its owner.")
        })?;
        Ok(Some(Removed { access_token }))
    }

    /// Waits until nobody else signs in for this login, for at most `patience`. Then load the entry again.
    pub fn wait_for_turn(&self, patience: Duration) -> Turn {
        let system = self.cache.system;
        let tell = || {
            system.notice(
                "Waiting for another kubelogin that is signing in with the same options ...",
            );
        };
        // One for all sealing keys: a person is asked once, whoever can read the result.
        let file = format!("{}.{LOCK}", self.name);
        self.cache.wait_for_turn(&file, patience, tell)
    }

    /// Removes the files of this kind, whatever key they were sealed with.
    fn remove_all(&self, kind: &str) -> io::Result<()> {
        let folder = &self.cache.folder;
        let mut names = folder.names().filter(|name| self.file(kind).is_name(name));
        names.try_for_each(|name| folder.remove(&name))
    }

    fn file<'k>(&'k self, kind: &'k str) -> File<'k> {
        let stem = &self.name;
        File { stem, kind }
    }

    fn read<T: DeserializeOwned>(&self, kind: &str) -> Option<T> {
        let label = |place| self.label(place, kind);
        let plain = self.cache.open(self.file(kind), label)?;
        serde_json::from_slice(&plain).ok()
    }

    fn write(&self, kind: &str, value: &impl Serialize) -> Result<(), String> {
        let plain = serde_json::to_vec(value).map_err(|error| error.to_string())?;
        let plain = Zeroizing::new(plain);
        let label = |place| self.label(place, kind);
        self.cache.seal(self.file(kind), label, &plain)
    }

    /// What a sealed file is bound to, so that it opens only in its own place.
    fn label(&self, place: Place, kind: &str) -> Vec<u8> {
        [&[VERSION, place as u8], kind.as_bytes(), &self.digest].concat()
    }
}

/// A token that was removed.
pub struct Removed {
    /// `None` if it could not be opened.
    pub access_token: Option<Secret>,
}

/// The right to sign in: nobody else does at the same time, as far as the file system can tell.
pub struct Turn {
    lock: Option<Lock>,
}

impl Turn {
    /// False if another process may be writing the same files, or if nothing can be written.
    fn may_write(&self) -> bool {
        matches!(self.lock, Some(Lock::Held(_) | Lock::Unsupported))
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use chrono::TimeDelta;
    use tempfile::TempDir;

    use super::*;

    use crate::system::Uptime;
    use crate::system::fake::FakeSystem;
    use crate::token::Scope;

    /// With the key on disk: a unit test leaves the developer's keyring alone.
    fn cache<'a>(scratch: &TempDir, system: &'a FakeSystem) -> TokenCache<'a> {
        let settings = CacheSettings {
            folder: Some(scratch.path().join("cache")),
            storage: Storage::Disk,
        };
        TokenCache::new(&settings, system).expect("a cache")
    }

    fn key(client: &str) -> CacheKey {
        CacheKey::new("spn", &Scope::of_server("srv")).with("client", client)
    }

    fn token() -> Token {
        Token {
            access_token: Secret::new("at"),
            expires_on: FakeSystem::EPOCH + TimeDelta::hours(1),
            refresh_token: Some(Secret::new("rt")),
        }
    }

    fn save(slot: &Slot) {
        let turn = slot.wait_for_turn(Duration::ZERO);
        slot.save(&token(), &turn);
    }

    /// A file of this login, for the one key in the folder.
    fn path_of(slot: &Slot, kind: &str) -> PathBuf {
        let folder = &slot.cache.folder;
        let (_, key) = slot.cache.vault.key(folder).expect("a key");
        folder.path().join(slot.file(kind).name(&key.id()))
    }

    fn no_secret() -> Fingerprint {
        Fingerprint::of(&[])
    }

    #[test]
    fn a_saved_token_is_loaded_and_cannot_be_read_on_disk() {
        let (scratch, system) = (TempDir::new().expect("a folder"), FakeSystem::new([]));
        let cache = cache(&scratch, &system);
        let slot = cache.slot(&key("app"), no_secret());
        assert_eq!(slot.load(), None);
        save(&slot);
        assert_eq!(slot.load().map(|entry| entry.token), Some(token()));
        let content = fs::read(path_of(&slot, TOKEN)).expect("a file");
        assert!(!content.windows(6).any(|bytes| bytes == b"access"));
        assert_eq!(system.told(), [""; 0]);
    }

    #[test]
    fn another_secret_is_a_miss_until_its_own_token_is_saved() {
        let (scratch, system) = (TempDir::new().expect("a folder"), FakeSystem::new([]));
        let cache = cache(&scratch, &system);
        let slot = |secret: &[u8]| cache.slot(&key("app"), Fingerprint::of(&[secret]));
        save(&slot(b"one"));
        assert!(slot(b"one").load().is_some());
        assert_eq!(slot(b"two").load(), None);
        save(&slot(b"two"));
        assert_eq!(slot(b"one").load(), None);
    }

    #[test]
    fn an_entry_with_a_flipped_byte_or_a_cut_is_a_miss() {
        let (scratch, system) = (TempDir::new().expect("a folder"), FakeSystem::new([]));
        let cache = cache(&scratch, &system);
        let slot = cache.slot(&key("app"), no_secret());
        save(&slot);
        let path = path_of(&slot, TOKEN);
        let content = fs::read(&path).expect("an entry");
        for position in 0..content.len() {
            let mut damaged = content.clone();
            damaged[position] ^= 0xff;
            fs::write(&path, damaged).expect("written");
            assert_eq!(slot.load(), None, "byte {position}");
            fs::write(&path, &content[..position]).expect("written");
            assert_eq!(slot.load(), None, "cut at {position}");
        }
        fs::write(&path, [content.as_slice(), b"x"].concat()).expect("written");
        assert_eq!(slot.load(), None, "a byte too many");
        fs::write(&path, content).expect("written");
        assert!(slot.load().is_some());
    }

    #[test]
    fn an_entry_under_another_name_is_a_miss() {
        let (scratch, system) = (TempDir::new().expect("a folder"), FakeSystem::new([]));
        let cache = cache(&scratch, &system);
        let (mine, other) = (
            cache.slot(&key("app"), no_secret()),
            cache.slot(&key("other"), no_secret()),
        );
        save(&mine);
        let at = path_of;
        fs::copy(at(&mine, TOKEN), at(&other, TOKEN)).expect("copied");
        assert_eq!(other.load(), None);
        fs::copy(at(&mine, TOKEN), at(&mine, FAILURE)).expect("copied");
        assert_eq!(mine.failure(FakeSystem::EPOCH, true), None);
    }

    #[test]
    fn an_entry_that_lost_its_refresh_token_keeps_its_age() {
        let (scratch, system) = (TempDir::new().expect("a folder"), FakeSystem::new([]));
        let cache = cache(&scratch, &system);
        let slot = cache.slot(&key("app"), no_secret());
        save(&slot);
        let mut entry = slot.load().expect("an entry");
        let obtained = entry.obtained.clone();
        system.sleep(Duration::from_secs(60));
        slot.drop_refresh_token(&mut entry, &slot.wait_for_turn(Duration::ZERO));
        let left = slot.load().expect("an entry");
        assert_eq!(left.obtained, obtained);
        assert_eq!(left.token.refresh_token, None);
    }

    #[test]
    fn an_entry_notices_that_the_clock_was_set_back() {
        let (scratch, system) = (TempDir::new().expect("a folder"), FakeSystem::new([]));
        let cache = cache(&scratch, &system);
        let slot = cache.slot(&key("app"), no_secret());
        let up = |seconds| {
            let machine = "here".to_owned();
            system.set_uptime(Some(Uptime { machine, seconds }));
        };
        up(1000);
        save(&slot);
        let entry = slot.load().expect("an entry");
        let is_fresh = || entry.is_fresh(&Moment::now(&system), Renewal::Silent);
        system.sleep(Duration::from_secs(600));
        up(1600);
        assert!(is_fresh());
        up(3000);
        assert!(!is_fresh(), "40 minutes have passed, the clock says 10");
    }

    #[test]
    fn a_failure_counts_for_those_who_waited_and_for_a_client_that_tries_again() {
        let (scratch, system) = (TempDir::new().expect("a folder"), FakeSystem::new([]));
        let cache = cache(&scratch, &system);
        let slot = cache.slot(&key("app"), Fingerprint::of(&[b"secret"]));
        let error = Error::refused("authorization_declined", "no").remedy("ask");
        let began = system.now();
        system.sleep(Duration::from_secs(60));
        let turn = slot.wait_for_turn(Duration::ZERO);
        slot.save_failure(&error, &turn);
        assert_eq!(slot.failure(began, false), Some(error.clone()), "waited");
        system.sleep(Duration::from_secs(9));
        let now = system.now();
        assert_eq!(slot.failure(now, false), None, "a person, later");
        assert_eq!(slot.failure(now, true), Some(error), "the same client");
        let other = cache.slot(&key("app"), Fingerprint::of(&[b"other"]));
        assert_eq!(other.failure(now, true), None, "another secret");
        system.sleep(Duration::from_secs(1));
        assert_eq!(slot.failure(system.now(), true), None, "too late");
        slot.save(&token(), &turn);
        assert_eq!(slot.failure(began, false), None, "it went well since");
    }

    #[test]
    fn a_waiter_says_why_it_waits_and_gives_up_in_the_end() {
        let (scratch, system) = (TempDir::new().expect("a folder"), FakeSystem::new([]));
        let cache = cache(&scratch, &system);
        let slot = cache.slot(&key("app"), no_secret());
        let holder = slot.wait_for_turn(Duration::ZERO);
        assert!(holder.may_write());
        let waiter = slot.wait_for_turn(Duration::from_secs(30));
        assert!(!waiter.may_write());
        assert_eq!(system.told().len(), 1);
        assert_eq!(system.elapsed().as_secs(), 30);
        drop(holder);
        assert!(slot.wait_for_turn(Duration::ZERO).may_write());
    }

    #[test]
    fn only_our_own_file_names_are_ours() {
        let digest = "0123456789abcdef".repeat(4);
        for name in [
            format!("kubelogin-{digest}.0123456789abcdef.token"),
            format!("kubelogin-{digest}.0123456789abcdef.token.tmp"),
            format!("kubelogin-{digest}.token"),
            format!("kubelogin-{digest}.lock"),
            format!("kubelogin-{digest}.0123456789abcdef.failure"),
            "kubelogin-pop.0123456789abcdef.key".into(),
            "kubelogin.key".into(),
            "kubelogin.key.tmp".into(),
            "kubelogin.key.lock".into(),
        ] {
            assert!(is_ours(&name), "{name}");
        }
        for name in [
            "auth.json",
            "kubelogin",
            "kubelogin-notes.token",
            "pop_rsa_key.cache",
            &format!("kubelogin-{digest}.json"),
            &format!("kubelogin-{digest}.0123.token"),
            &format!("kubelogin-{digest}"),
            &format!("{digest}.token"),
        ] {
            assert!(!is_ours(name), "{name}");
        }
    }
}
