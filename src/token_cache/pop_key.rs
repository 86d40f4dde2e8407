//! The key that PoP tokens are bound to: one for the whole cache folder and each sealing key, sealed like the tokens.

use std::time::Duration;

use super::vault::Place;
use super::{File, TokenCache, VERSION};
use crate::error::Error;
use crate::pop::Key;

pub const FILE: File = File {
    stem: "kubelogin-pop",
    kind: "key",
};
/// Guards the creation of the key: with two keys, two processes would not find each other's tokens.
pub const LOCK_FILE: &str = "kubelogin-pop.key.lock";

impl TokenCache<'_> {
    /// The key; creates and saves one if there is none. A key that cannot be saved is used for this run.
    ///
    /// Waits for at most `patience` while another process creates one. On a busy machine that takes many seconds, and
    /// longer still if all who wait create keys of their own.
    ///
    /// # Errors
    /// No key can be generated, or the client is gone.
    pub fn pop_key(&self, patience: Duration) -> Result<Key, Error> {
        if let Some(key) = self.find_pop_key() {
            return Ok(key);
        }
        let turn = self.wait_for_turn(LOCK_FILE, patience, |_| self.system.wait(Duration::ZERO))?;
        if let Some(key) = self.find_pop_key() {
            return Ok(key);
        }
        let key = Key::generate()?;
        if turn.may_write()
            && let Err(why) = self.seal(FILE, label, key.der())
        {
            self.complain(&why);
        }
        Ok(key)
    }

    /// True if the key is there.
    pub fn has_pop_key(&self) -> bool {
        self.find_pop_key().is_some()
    }

    fn find_pop_key(&self) -> Option<Key> {
        Key::from_der(self.open(FILE, label)?)
    }
}

fn label(place: Place) -> Vec<u8> {
    [&[VERSION, place as u8], "kubelogin-pop.key".as_bytes()].concat()
}
