//! The locks of `kubectl config`: a file beside the kubeconfig that exists while a program changes it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::in_place::{put_back, rescued};
use super::{KubeconfigFile, in_real_folder, with_suffix};
use crate::error::Error;
use crate::system::interrupt::{self, Begun};
use crate::system::{System, platform};

/// How long to wait for another program's lock.
const PATIENCE: Duration = Duration::from_secs(5);
/// The same to read a file that looks damaged: kubectl writes for milliseconds.
const PATIENCE_TO_READ: Duration = Duration::from_secs(1);
const NAP: Duration = Duration::from_millis(20);

/// A lock that is held. It is removed when this is dropped or a signal ends us.
pub struct Lock {
    _begun: Begun,
}

/// Why a lock could not be taken.
enum Refusal {
    /// Another program holds it, or crashed while holding it.
    Held,
    Failed(io::Error),
}

/// True if another program is changing one of these files.
pub fn is_locked(files: &[KubeconfigFile]) -> bool {
    let mut files = files.iter();
    files.any(|file| beside(&file.real_path).exists())
}

/// The locks on these files, if they can be had quickly: while they are held, no kubectl is halfway through writing.
pub fn lock_to_read(paths: &[PathBuf], system: &dyn System) -> Vec<Lock> {
    let files = paths.iter().filter_map(|path| fs::canonicalize(path).ok());
    let names: BTreeSet<_> = files.map(|file| beside(&file)).collect();
    let locks = names
        .into_iter()
        .map(|name| Lock::take(&name, PATIENCE_TO_READ, system));
    locks.filter_map(Result::ok).collect()
}

/// The locks on files to be changed: the one beside the file, and the one beside a link to it, for programs that use
/// the link. A folder that is not writable has no lock, for kubectl either.
pub fn lock_to_write<'f>(
    files: impl Iterator<Item = &'f KubeconfigFile>,
    system: &dyn System,
) -> Result<Vec<Lock>, Error> {
    /// The holder of the lock.
    enum Of<'f> {
        Link,
        File(&'f KubeconfigFile),
    }
    // Sorted, so that two runs never wait for each other.
    let mut names = BTreeMap::new();
    for file in files {
        names.entry(beside(&file.path)).or_insert(Of::Link);
        names.insert(beside(&file.real_path), Of::File(file));
    }
    let mut locks = Vec::new();
    for (name, of) in names {
        match (Lock::take(&name, PATIENCE, system), of) {
            (Ok(lock), _) => locks.push(lock),
            (Err(Refusal::Held), Of::Link) => return Err(held_by_another(&name, None)),
            (Err(Refusal::Held), Of::File(file)) => return Err(held_by_another(&name, Some(file))),
            (Err(Refusal::Failed(_)), Of::Link) => {}
            (Err(Refusal::Failed(error)), Of::File(file)) => {
                if file.is_new() || !super::in_place::is_possible(&error) {
                    return Err(cannot_lock(&name, &error));
                }
            }
        }
    }
    Ok(locks)
}

/// The name of the lock on a file.
fn beside(path: &Path) -> PathBuf {
    with_suffix(&in_real_folder(path), ".lock")
}

impl Lock {
    /// Never follows a link, and fails if the file exists.
    fn take(path: &Path, patience: Duration, system: &dyn System) -> Result<Self, Refusal> {
        let began = system.elapsed();
        loop {
            let lock = interrupt::begin(|| Ok(((), platform::create_lock_file(path)?)));
            match lock {
                Ok(((), created)) => return Ok(Self { _begun: created }),
                Err(error)
                    if error.kind() == io::ErrorKind::AlreadyExists
                        || platform::is_being_removed(&error) =>
                {
                    if system.elapsed().saturating_sub(began) >= patience {
                        return Err(Refusal::Held);
                    }
                    system.sleep(NAP);
                }
                Err(error) => return Err(Refusal::Failed(error)),
            }
        }
    }
}

fn held_by_another(lock: &Path, file: Option<&KubeconfigFile>) -> Error {
    let error = Error::input(format!(
        "{} exists: another program is changing the kubeconfig, or crashed while doing so",
        lock.display()
    ))
    .remedy("If no kubectl or kubelogin is running, remove that file and try again.");
    match file.and_then(|file| Some((file, rescued(&file.path)?))) {
        Some((file, old)) => error.hint(&put_back(&file.path, &old)),
        None => error,
    }
}

fn cannot_lock(lock: &Path, error: &io::Error) -> Error {
    Error::input(format!(
        "the lock {} cannot be created: {error}",
        lock.display()
    ))
    .remedy("Make the kubeconfig's folder writable, or convert a copy: --kubeconfig COPY.")
}
