//! The operating system's keyring: one sealing key for each cache folder, under a name of our own.
//!
//! Linux: the kernel's keyring, which answers in microseconds and forgets at reboot, filled from the Secret Service of
//! a desktop, which remembers. macOS: the Keychain. Windows: the Credential Manager.

use super::seal::SealingKey;

/// The name under which the platform's stores keep our keys; the account is the cache folder.
const SERVICE: &str = "kubelogin token cache";

/// Where the key of one cache folder lives. Different folders have different keys: emptying one leaves the others.
pub struct Keyring {
    /// The cache folder's path, for people who look into their keyring.
    account: String,
}

/// Why the keyring could not be used, for the person.
pub type Unavailable = String;

impl Keyring {
    pub fn new(account: String) -> Self {
        Self { account }
    }
}

/// A read of the Secret Service and its default, as the platform's one store.
fn entry(account: &str) -> keyring::Result<keyring::Entry> {
    keyring::Entry::new(SERVICE, account)
}

fn read_entry(account: &str) -> Result<Option<SealingKey>, Unavailable> {
    match entry(account).and_then(|entry| entry.get_secret()) {
        Ok(bytes) => Ok(SealingKey::from_bytes(&zeroize::Zeroizing::new(bytes))),
        Err(keyring::Error::NoEntry) => Ok(None),
        Err(error) => Err(error.to_string()),
    }
}

fn write_entry(account: &str, key: &SealingKey) -> Result<(), Unavailable> {
    entry(account)
        .and_then(|entry| entry.set_secret(key.expose()))
        .map_err(|error| error.to_string())
}

fn remove_entry(account: &str) -> Result<(), Unavailable> {
    match entry(account).and_then(|entry| entry.delete_credential()) {
        // Where there is no store there is no key of ours.
        Ok(()) | Err(keyring::Error::NoEntry | keyring::Error::NoDefaultStore) => Ok(()),
        Err(error) => Err(error.to_string()),
    }
}

#[cfg(not(target_os = "linux"))]
impl Keyring {
    /// The key; `Ok(None)` if there is none, or it is damaged.
    pub fn find(&self) -> Result<Option<SealingKey>, Unavailable> {
        read_entry(&self.account)
    }

    /// Keeps `key`.
    pub fn keep(&self, key: &SealingKey) -> Result<(), Unavailable> {
        write_entry(&self.account, key)
    }

    /// Forgets the key; a missing one is fine.
    pub fn forget(&self) -> Result<(), Unavailable> {
        remove_entry(&self.account)
    }
}

#[cfg(target_os = "linux")]
impl Keyring {
    /// The key; `Ok(None)` if there is none, or it is damaged. The Secret Service is asked only when the kernel has no
    /// key, as after a reboot: it takes milliseconds where the kernel takes microseconds.
    pub fn find(&self) -> Result<Option<SealingKey>, Unavailable> {
        let name = self.name();
        if let Some(key) = kernel::find(&name)? {
            return Ok(Some(key));
        }
        let key = self.ask_secret_service(read_entry).ok().flatten();
        if let Some(key) = &key {
            kernel::keep(&name, key)?;
        }
        Ok(key)
    }

    /// Keeps `key` in the kernel, and where there is a Secret Service in that too, so that it outlives a reboot.
    pub fn keep(&self, key: &SealingKey) -> Result<(), Unavailable> {
        kernel::keep(&self.name(), key)?;
        let key = key.clone();
        let _ = self.ask_secret_service(move |account| write_entry(account, &key));
        Ok(())
    }

    /// Forgets the key; a missing one is fine.
    pub fn forget(&self) -> Result<(), Unavailable> {
        let service = self.ask_secret_service(remove_entry);
        kernel::forget(&self.name()).and(service)
    }

    fn name(&self) -> String {
        format!("{SERVICE} {}", self.account)
    }

    /// Asks the Secret Service and waits two seconds at most: a daemon that hangs, or asks the person to unlock a
    /// collection, must not stand in the way of a login.
    fn ask_secret_service<T: Send + 'static>(
        &self,
        ask: impl FnOnce(&str) -> Result<T, Unavailable> + Send + 'static,
    ) -> Result<T, Unavailable> {
        const PATIENCE: std::time::Duration = std::time::Duration::from_secs(2);
        let (answer, answered) = std::sync::mpsc::channel();
        let account = self.account.clone();
        std::thread::Builder::new()
            .spawn(move || answer.send(ask(&account)))
            .map_err(|error| error.to_string())?;
        answered
            .recv_timeout(PATIENCE)
            .unwrap_or_else(|_| Err("the Secret Service did not answer in time".into()))
    }
}

/// The kernel's keyring of the user (keyrings(7)).
#[cfg(target_os = "linux")]
mod kernel {
    use linux_keyutils::{
        Key, KeyError, KeyPermissionsBuilder, KeyRing, KeyRingIdentifier, Permission,
    };
    use zeroize::Zeroizing;

    use super::{SealingKey, Unavailable};

    /// `None` if there is no such key, or it is damaged.
    pub fn find(name: &str) -> Result<Option<SealingKey>, Unavailable> {
        let Some(key) = search(name)? else {
            return Ok(None);
        };
        match read(key) {
            Ok(key) => Ok(key),
            Err(error) if is_missing(error) => Ok(None),
            Err(error) => Err(reason(error)),
        }
    }

    /// Adds or replaces the key, and makes sure that it can be read back.
    pub fn keep(name: &str, key: &SealingKey) -> Result<(), Unavailable> {
        add(name, key).map_err(reason)?;
        match find(name)? {
            Some(found) if found == *key => Ok(()),
            _ => Err("the kernel keyring does not give back what was put in".into()),
        }
    }

    /// A missing key is fine.
    pub fn forget(name: &str) -> Result<(), Unavailable> {
        match search(name) {
            Ok(Some(key)) => key.invalidate().map_err(reason),
            // A kernel that refuses its keyring holds no key of ours.
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
        // One byte more than a key has: a longer one is damaged.
        let mut bytes = Zeroizing::new([0; 33]);
        let length = key.read(&mut *bytes)?;
        Ok(bytes.get(..length).and_then(SealingKey::from_bytes))
    }

    fn add(name: &str, key: &SealingKey) -> Result<(), KeyError> {
        let user = KeyRing::from_special_id(KeyRingIdentifier::User, true)?;
        // A process whose session does not lead to the user's keyring (`keyctl session`, some cron and ssh) does not
        // possess its keys: so the owner gets the possessor's rights, which takes possession once.
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
        format!("the kernel refuses its keyring: {error:?}")
    }
}
