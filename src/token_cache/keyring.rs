//! The operating system's keyring: one sealing key for each cache folder, under our own name.
//!
//! Linux: the kernel's keyring, which answers in microseconds and is lost at reboot, filled from a desktop's Secret
//! Service, which is permanent. macOS: the Keychain. Windows: the Credential Manager.

#[cfg(target_os = "linux")]
use std::{cell::Cell, sync::mpsc, thread, time::Duration};

use zeroize::Zeroizing;

use super::seal::SealingKey;

/// The name under which the platform's stores keep our keys; the account is the cache folder.
const SERVICE: &str = "kubelogin token cache";

/// Holds the key of one cache folder. Each folder has its own key, so that clearing one leaves the others.
pub struct Keyring {
    /// The cache folder's path, for people who look at their keyring.
    account: String,
    /// It did not answer in time once: one wait per run is enough.
    #[cfg(target_os = "linux")]
    secret_service_hangs: Cell<bool>,
}

/// How long a keyring keeps the key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Memory {
    /// As long as that keyring keeps anything.
    Lasting,
    /// For a shorter time than usual, because the Secret Service does not work.
    UntilReboot,
}

/// Why the keyring could not be used, for a message.
pub type Unavailable = String;

impl Keyring {
    pub fn new(account: String) -> Self {
        Self {
            account,
            #[cfg(target_os = "linux")]
            secret_service_hangs: Cell::new(false),
        }
    }
}

/// The item in the platform's store: the Keychain, the Credential Manager or the Secret Service.
fn item(account: &str) -> keyring::Result<keyring::Entry> {
    keyring::Entry::new(SERVICE, account)
}

fn read_item(account: &str) -> keyring::Result<Option<SealingKey>> {
    match item(account).and_then(|item| item.get_secret()) {
        Ok(bytes) => Ok(SealingKey::from_bytes(&Zeroizing::new(bytes))),
        Err(keyring::Error::NoEntry) => Ok(None),
        Err(error) => Err(error),
    }
}

fn write_item(account: &str, key: &SealingKey) -> keyring::Result<()> {
    item(account)?.set_secret(key.expose())
}

fn remove_item(account: &str) -> keyring::Result<()> {
    match item(account).and_then(|item| item.delete_credential()) {
        // Without a store, there is no key.
        Err(keyring::Error::NoEntry | keyring::Error::NoDefaultStore) => Ok(()),
        other => other,
    }
}

#[cfg(not(target_os = "linux"))]
impl Keyring {
    /// As [`Keyring::find`]: this keyring has no slower part.
    pub fn find_at_once(&self) -> Result<Option<SealingKey>, Unavailable> {
        self.find()
    }

    /// The key; `Ok(None)` if there is none, or it is damaged.
    pub fn find(&self) -> Result<Option<SealingKey>, Unavailable> {
        read_item(&self.account).map_err(|error| error.to_string())
    }

    /// Keeps `key`.
    pub fn keep(&self, key: &SealingKey) -> Result<Memory, Unavailable> {
        let written = write_item(&self.account, key).map_err(|error| error.to_string());
        written.map(|()| Memory::Lasting)
    }

    /// Forgets the key; a missing one is fine.
    pub fn forget(&self) -> Result<(), Unavailable> {
        remove_item(&self.account).map_err(|error| error.to_string())
    }
}

#[cfg(target_os = "linux")]
impl Keyring {
    /// The key in the kernel's keyring, without asking the Secret Service; used only to open entries.
    pub fn find_at_once(&self) -> Result<Option<SealingKey>, Unavailable> {
        kernel::find(&self.name())
    }

    /// The key; `Ok(None)` if there is none, or it is damaged. Asks the Secret Service only if the kernel has no key, as
    /// after a reboot: it takes milliseconds where the kernel takes microseconds. A key that someone else may know is an
    /// error: nothing must be sealed with it.
    pub fn find(&self) -> Result<Option<SealingKey>, Unavailable> {
        let name = self.name();
        if let Some(key) = kernel::find_private(&name)? {
            return Ok(Some(key));
        }
        let Some(Ok(Some(key))) = self.ask_secret_service(read_item) else {
            return Ok(None);
        };
        kernel::keep(&name, &key)?;
        Ok(Some(key))
    }

    /// Keeps `key` in the kernel and, if there is one, in the Secret Service, so that it survives a reboot.
    pub fn keep(&self, key: &SealingKey) -> Result<Memory, Unavailable> {
        kernel::keep(&self.name(), key)?;
        let key = key.clone();
        let written = self.ask_secret_service(move |account| write_item(account, &key));
        Ok(match written {
            // Without a Secret Service, the kernel's keyring is good enough.
            Some(Ok(()) | Err(keyring::Error::NoDefaultStore)) => Memory::Lasting,
            Some(Err(_)) | None => Memory::UntilReboot,
        })
    }

    /// Forgets the key; a missing one is fine.
    pub fn forget(&self) -> Result<(), Unavailable> {
        let removed = self.ask_secret_service(remove_item);
        kernel::forget(&self.name())?;
        match removed {
            Some(removed) => removed.map_err(|error| format!("the Secret Service: {error}")),
            None => Err("the Secret Service is not responding".into()),
        }
    }

    fn name(&self) -> String {
        format!("{SERVICE} {}", self.account)
    }

    /// Asks the Secret Service and waits for at most two seconds, enough for it to unlock its collection: a daemon that
    /// hangs, or waits for the user, must not block a login. `None` if there was no answer.
    fn ask_secret_service<T: Send + 'static>(
        &self,
        ask: impl FnOnce(&str) -> keyring::Result<T> + Send + 'static,
    ) -> Option<keyring::Result<T>> {
        const PATIENCE: Duration = Duration::from_secs(2);
        if self.secret_service_hangs.get() {
            return None;
        }
        let (answer, answered) = mpsc::channel();
        let account = self.account.clone();
        thread::Builder::new()
            .spawn(move || answer.send(ask(&account)))
            .ok()?;
        let answer = answered.recv_timeout(PATIENCE).ok();
        self.secret_service_hangs.set(answer.is_none());
        answer
    }
}

/// The kernel's keyring of the user (keyrings(7)).
#[cfg(target_os = "linux")]
mod kernel {
    use linux_keyutils::{
        Key, KeyError, KeyPermissionsBuilder, KeyRing, KeyRingIdentifier, Metadata, Permission,
    };
    use rustix::process::geteuid;
    use zeroize::Zeroizing;

    use super::{SealingKey, Unavailable};

    /// `None` if there is no such key, or it is damaged.
    pub fn find(name: &str) -> Result<Option<SealingKey>, Unavailable> {
        search(name)?.map_or(Ok(None), value)
    }

    /// The same, unless the key was planted: a keyring of another user can be linked into the user's own.
    pub fn find_private(name: &str) -> Result<Option<SealingKey>, Unavailable> {
        let Some(key) = search(name)? else {
            return Ok(None);
        };
        if name.len() <= LONGEST_DESCRIBED
            && let Some(why) = fault(&key.metadata().map_err(reason)?, geteuid().as_raw())
        {
            return Err(format!(
                "the kernel keyring has a key of this name that {why}"
            ));
        }
        value(key)
    }

    /// A longer name makes `metadata` panic.
    const LONGEST_DESCRIBED: usize = 400;

    /// Why someone else may know a key. A key made by another process of the same user cannot be told apart.
    pub fn fault(key: &Metadata, user: u32) -> Option<&'static str> {
        const OF_GROUP_AND_OTHERS: u32 = 0xffff;
        if key.get_uid() != user {
            return Some("belongs to another user");
        }
        (key.get_perms().bits() & OF_GROUP_AND_OTHERS != 0).then_some("other users may use")
    }

    fn value(key: Key) -> Result<Option<SealingKey>, Unavailable> {
        match read(key) {
            Ok(key) => Ok(key),
            Err(error) if is_missing(error) => Ok(None),
            Err(error) => Err(reason(error)),
        }
    }

    /// Adds or replaces the key, and checks that it can be read back.
    pub fn keep(name: &str, key: &SealingKey) -> Result<(), Unavailable> {
        add(name, key).map_err(reason)?;
        match find_private(name)? {
            Some(found) if found == *key => Ok(()),
            _ => Err("the kernel keyring does not return the key that was stored in it".into()),
        }
    }

    /// A missing key is fine.
    pub fn forget(name: &str) -> Result<(), Unavailable> {
        match search(name) {
            Ok(Some(key)) => key.invalidate().map_err(reason),
            // If the kernel denies access to its keyring, it cannot have our key.
            Ok(None) | Err(_) => Ok(()),
        }
    }

    fn search(name: &str) -> Result<Option<Key>, Unavailable> {
        let ring = KeyRing::from_special_id(KeyRingIdentifier::User, false);
        match ring.and_then(|ring| ring.search(name)) {
            Ok(key) => Ok(Some(key)),
            Err(error) if is_missing(error) => Ok(None),
            Err(error) => Err(reason(error)),
        }
    }

    fn read(key: Key) -> Result<Option<SealingKey>, KeyError> {
        // One byte longer than a key: a longer value is damaged.
        let mut bytes = Zeroizing::new([0; 33]);
        let length = key.read(&mut *bytes)?;
        Ok(bytes.get(..length).and_then(SealingKey::from_bytes))
    }

    fn add(name: &str, key: &SealingKey) -> Result<(), KeyError> {
        let user = KeyRing::from_special_id(KeyRingIdentifier::User, true)?;
        // A process whose session keyring does not link to the user's (`keyctl session`, some cron and ssh sessions)
        // does not possess its keys. So the owner gets the possessor's rights, which takes possession once.
        let process = KeyRing::from_special_id(KeyRingIdentifier::Process, true)?;
        process.link_keyring_id(KeyRingIdentifier::User)?;
        let added = user.add_key(name, key.expose())?;
        added.set_perms(
            KeyPermissionsBuilder::builder()
                .posessor(Permission::ALL)
                .user(Permission::ALL)
                .build(),
        )
    }

    fn is_missing(error: KeyError) -> bool {
        matches!(
            error,
            KeyError::KeyDoesNotExist
                | KeyError::KeyringDoesNotExist
                | KeyError::KeyExpired
                | KeyError::KeyRevoked
                | KeyError::KeyRejected
        )
    }

    fn reason(error: KeyError) -> Unavailable {
        format!("the kernel keyring is not available: {error:?}")
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::kernel::fault;

    /// As the kernel describes keys (keyctl_describe(3)).
    #[test]
    fn a_key_that_someone_else_may_know_is_recognised() {
        for (description, found) in [
            (
                "user;1000;1000;3f3f0000;kubelogin token cache /home/me",
                None,
            ),
            ("user;1000;1000;3f010000;just added", None),
            ("user;1001;1000;3f3f0000;", Some("belongs to another user")),
            ("user;0;0;3f3f0000;", Some("belongs to another user")),
            ("user;1000;1000;3f3f0200;", Some("other users may use")),
            ("user;1000;1000;3f3f0001;", Some("other users may use")),
        ] {
            let key = description.parse().expect("a description");
            assert_eq!(fault(&key, 1000), found, "{description}");
        }
    }
}
