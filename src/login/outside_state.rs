//! The state that a token depends on besides our options: which account is signed in to az or azd, on which machine.
//!
//! The original once cached az's tokens without this, and served one user's token to the next (Azure/kubelogin#137).

use std::fs::Metadata;
use std::io;
use std::path::{Path, PathBuf};

use crate::entra::access_token::fit::is_another_tenant;
use crate::env::Env;
use crate::system::{bounded, platform};
use crate::token_cache::Fingerprint;

/// The largest file to read, in bytes: a thousand subscriptions take about 400 KiB.
const LARGEST_FILE: u64 = 16 * 1024 * 1024;

/// The state outside kubelogin that a login depends on, part by part.
#[derive(Default)]
pub struct OutsideState(Vec<Vec<u8>>);

/// The account that another program is signed in as, according to its files.
#[derive(Debug, PartialEq, Eq)]
pub enum SignedIn {
    As(Account),
    /// Only to tenants other than the requested one.
    Elsewhere,
    Nobody,
}

/// An account of another program.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Account {
    /// `None` if the files do not say.
    pub name: Option<String>,
    pub is_service_principal: bool,
    /// True for a managed identity and the like: these have one tenant, and none may be named.
    pub has_one_tenant: bool,
}

/// True if an account may be in the requested tenant: a domain name could belong to any tenant.
pub fn is_in_tenant(own: Option<&str>, wanted: Option<&str>) -> bool {
    !matches!((own, wanted), (Some(own), Some(wanted)) if is_another_tenant(wanted, own))
}

/// The fingerprint of what `collect` adds; `None` if something cannot be read, and then no token may be cached.
pub fn fingerprint(
    collect: impl FnOnce(&mut OutsideState) -> io::Result<()>,
) -> Option<Fingerprint> {
    let mut state = OutsideState::default();
    collect(&mut state).ok()?;
    Some(state.fingerprint())
}

impl OutsideState {
    pub fn add(&mut self, part: impl Into<Vec<u8>>) {
        self.0.push(part.into());
    }

    /// Adds a file's content and the identity of this version of it, and returns the content; a missing file is a state
    /// of its own. The content alone is not enough: after a new sign-in by the same account az writes the same bytes
    /// again, and the token may have other groups (Azure/AKS#4232).
    pub fn add_file(&mut self, path: &Path) -> io::Result<&[u8]> {
        let Some((content, metadata)) = open(path)? else {
            return Ok(self.add_content(None));
        };
        self.add(platform::writing(&metadata));
        Ok(self.add_content(Some(content)))
    }

    /// Adds only a file's content: for a program that may rewrite the same content without a sign-in. Returns it;
    /// nothing for a missing file.
    pub fn add_content(&mut self, content: Option<Vec<u8>>) -> &[u8] {
        self.add(if content.is_some() {
            "present"
        } else {
            "absent"
        });
        self.add(content.unwrap_or_default());
        self.0.last().map_or(&[], Vec::as_slice)
    }

    /// Adds the machine's identity: several machines can share a home folder. On Windows no two share a cache.
    pub fn add_machine(&mut self) -> io::Result<()> {
        for file in ["/etc/machine-id", "/proc/sys/kernel/hostname"] {
            self.add_content(read(Path::new(file))?);
        }
        Ok(())
    }

    pub fn fingerprint(&self) -> Fingerprint {
        let parts: Vec<_> = self.0.iter().map(Vec::as_slice).collect();
        Fingerprint::of(&parts)
    }
}

/// The absolute path of the folder in `variable`, or of `name` in the home folder; `None` without a home.
pub fn folder(env: &Env, variable: &str, name: &str) -> Option<PathBuf> {
    match env.get(variable) {
        Some(folder) => std::path::absolute(folder).ok(),
        None => Some(env.user_home()?.join(name)),
    }
}

/// The content of a file; `None` if there is none.
pub fn read(path: &Path) -> io::Result<Option<Vec<u8>>> {
    Ok(open(path)?.map(|(content, _)| content))
}

fn open(path: &Path) -> io::Result<Option<(Vec<u8>, Metadata)>> {
    match bounded::read_with_metadata(path, LARGEST_FILE) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        read => read.map(Some),
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::time::{Duration, SystemTime};

    use tempfile::TempDir;

    use super::*;

    fn state(path: &Path) -> Fingerprint {
        let mut state = OutsideState::default();
        state.add_file(path).expect("read");
        state.fingerprint()
    }

    /// Azure/AKS#4232: sign out, sign in as the same account, and the old groups stayed for an hour.
    #[test]
    fn a_file_that_was_written_again_with_the_same_bytes_is_another_state() {
        let folder = TempDir::new().expect("a folder");
        let folder = folder.path();
        let path = folder.join("state.json");
        let write = |path: &Path, age: u64| {
            std::fs::write(path, "the same").expect("written");
            let time = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000 - age);
            let file = File::options().write(true).open(path).expect("opened");
            file.set_modified(time).expect("dated");
        };
        write(&path, 0);
        let first = state(&path);
        assert_eq!(state(&path), first, "reading is no change");
        write(&path, 1);
        let second = state(&path);
        assert_ne!(second, first, "written in place");
        let new = folder.join("new");
        write(&new, 1);
        std::fs::rename(&new, &path).expect("replaced");
        assert_ne!(
            state(&path),
            second,
            "replaced by another file of the same time"
        );
    }

    #[test]
    fn the_machine_is_the_same_state_each_time() {
        let machine = || {
            let mut state = OutsideState::default();
            state.add_machine().expect("read");
            state.fingerprint()
        };
        assert_eq!(machine(), machine());
    }
}
