//! One login in the cache: its token, the failure and the prompt of a sign-in, and the right to sign in.

use std::io;
use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde::de::DeserializeOwned;
use zeroize::Zeroizing;

use super::entry::{Entry, Moment, SealedEntry};
use super::failure::SealedFailure;
use super::flight::{Lock, Turn};
use super::key::{CacheKey, Fingerprint};
use super::prompt::{SealedPrompt, Waiter};
use super::vault::Place;
use super::{FAILURE, File, LOCK, PROMPT, TOKEN, TokenCache, VERSION, stem};
use crate::error::Error;
use crate::secret::Secret;
use crate::system::interrupt::{self, Begun};
use crate::token::Token;

/// The place of one login in the cache.
pub struct Slot<'a> {
    pub(super) cache: &'a TokenCache<'a>,
    digest: [u8; 32],
    name: String,
    fingerprint: Fingerprint,
}

impl<'a> Slot<'a> {
    pub fn new(cache: &'a TokenCache<'a>, key: &CacheKey, fingerprint: Fingerprint) -> Self {
        let digest = key.digest();
        Self {
            cache,
            digest,
            name: stem(&digest),
            fingerprint,
        }
    }

    pub fn fingerprint(&self) -> &Fingerprint {
        &self.fingerprint
    }

    /// The entry, if there is one and this login may use it.
    pub fn load(&self) -> Option<Entry> {
        self.read::<SealedEntry>(TOKEN)?.open(&self.fingerprint)
    }

    /// Notes that there was such a sign-in.
    pub fn note(&self, key: &CacheKey, turn: &Turn) {
        if turn.may_write() && self.cache.note(key).is_none() {
            self.cache.keep_note(key, "");
        }
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

    /// Saves the error of a sign-in for waiting processes. Like any error, it contains no secret.
    pub fn save_failure(&self, error: &Error, turn: &Turn) {
        let system = self.cache.system;
        let sealed = SealedFailure::new(error, system.now(), system.caller(), &self.fingerprint);
        if turn.may_write() {
            let _ = self.write(FAILURE, &sealed); // the error itself is about to be reported, which matters more
        }
    }

    /// The error of a sign-in that counts as ours: it failed after we `began` to wait, or a moment ago for the same
    /// caller, if that is a program that retries.
    pub fn failure(&self, began: DateTime<Utc>, tries_again: bool) -> Option<Error> {
        let sealed: SealedFailure = self.read(FAILURE)?;
        let (now, caller) = (self.cache.system.now(), self.cache.system.caller());
        let counts = sealed.is_of(&self.fingerprint)
            && (sealed.answers_those_who_waited_since(began, now)
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
        let turn = self.wait_for_turn(patience, Waiter::Silent)?;
        if matches!(turn.lock, Some(Lock::Busy)) {
            return Err(
                Error::outside("another kubelogin is signing in with the same options")
                    .remedy("Stop it or wait for it, then run the command again."),
            );
        }
        let token = self.read(TOKEN).and_then(SealedEntry::into_token);
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
        Ok(Some(Removed {
            access_token: token.map(|token| token.access_token),
        }))
    }

    /// Waits until no other process signs in for this login, for at most `patience`. The caller then loads the entry
    /// again.
    ///
    /// # Errors
    /// The client is gone.
    pub fn wait_for_turn(&self, patience: Duration, waiter: Waiter) -> Result<Turn, Error> {
        // One lock for all sealing keys, so that the user is prompted once.
        let file = format!("{}.{LOCK}", self.name);
        let system = self.cache.system;
        let mut telling = waiter.telling(system, || self.read(PROMPT));
        let turn = self.cache.wait_for_turn(&file, patience, |waited| {
            system.wait(Duration::ZERO)?;
            telling.tell(waited);
            Ok(())
        })?;
        if turn.may_write() {
            let _ = self.remove_all(PROMPT); // from a process that was killed
        }
        Ok(turn)
    }

    /// Shows the prompt to all processes that wait for this sign-in, because the user may not see ours: while the
    /// prompt is valid, and until the result is dropped.
    pub fn show_prompt(&self, text: &str, life: Duration, turn: &Turn) -> Option<Begun> {
        let sealed = SealedPrompt::new(text, life, self.cache.system);
        turn.may_write().then_some(())?;
        let path = self.cache.path().join(self.write(PROMPT, &sealed).ok()?);
        let remove = move || drop(std::fs::remove_file(path));
        let begun = interrupt::begin(|| Ok(((), Box::new(remove) as _)));
        begun.ok().map(|((), begun)| begun)
    }

    /// Removes the files of this kind, whatever their sealing key.
    fn remove_all(&self, kind: &str) -> io::Result<()> {
        let folder = &self.cache.folder;
        let mut names = folder.names().filter(|name| self.file(kind).is_name(name));
        names.try_for_each(|name| folder.remove(&name))
    }

    pub(super) fn file<'k>(&'k self, kind: &'k str) -> File<'k> {
        let stem = &self.name;
        File { stem, kind }
    }

    fn read<T: DeserializeOwned>(&self, kind: &str) -> Option<T> {
        let label = |place| self.label(place, kind);
        let plain = self.cache.open(self.file(kind), label)?;
        serde_json::from_slice(&plain).ok()
    }

    /// Returns the name of the file.
    fn write(&self, kind: &str, value: &impl Serialize) -> Result<String, String> {
        let plain = serde_json::to_vec(value).map_err(|error| error.to_string())?;
        let plain = Zeroizing::new(plain);
        let label = |place| self.label(place, kind);
        self.cache.seal(self.file(kind), label, &plain)
    }

    /// What a sealed file is bound to, so that it opens only under its own name.
    fn label(&self, place: Place, kind: &str) -> Vec<u8> {
        [&[VERSION, place as u8], kind.as_bytes(), &self.digest].concat()
    }
}

/// A token that was removed.
pub struct Removed {
    /// `None` if it could not be opened.
    pub access_token: Option<Secret>,
}
