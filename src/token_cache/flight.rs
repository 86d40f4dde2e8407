//! Single flight: when several processes want the same token, one signs in and the others wait.
//!
//! The lock is the operating system's, on a file of its own: it is released when its holder dies, for whatever reason.

use std::fs::{File, TryLockError};
use std::time::Duration;

use crate::error::Error;
use crate::system::System;

/// The first and the longest interval between two checks: the new token is used within 5 ms, and a check takes
/// microseconds.
const FIRST_NAP: Duration = Duration::from_millis(1);
const LONGEST_NAP: Duration = Duration::from_millis(4);

/// How often to call `meanwhile`.
const PERIOD: Duration = Duration::from_secs(1);

/// How the wait for a lock ended.
pub enum Lock {
    /// We hold it until this is dropped.
    Held(#[expect(dead_code, reason = "holds the lock until it is dropped")] File),
    /// Another process held it for longer than we would wait.
    Busy,
    /// The file system does not support locks.
    Unsupported,
}

impl Lock {
    /// How the wait ended, for a trace.
    pub fn told(&self) -> &'static str {
        match self {
            Self::Held(_) => "locked",
            Self::Busy => "locked by another process for too long; going on without the lock",
            Self::Unsupported => "this file system has no locks; going on without one",
        }
    }
}

/// The right to sign in: no other process signs in at the same time, if the file system supports locks.
pub struct Turn {
    /// `None` if there is no lock file.
    pub lock: Option<Lock>,
}

impl Turn {
    /// False if another process may be writing the same files, or if nothing can be written.
    pub fn may_write(&self) -> bool {
        matches!(self.lock, Some(Lock::Held(_) | Lock::Unsupported))
    }
}

/// Waits for the lock on `file` for at most `patience`. While another process holds it, calls `meanwhile` at once and then
/// every second, with the time that it has waited.
///
/// # Errors
/// `meanwhile` fails.
pub fn wait(
    file: File,
    patience: Duration,
    system: &dyn System,
    mut meanwhile: impl FnMut(Duration) -> Result<(), Error>,
) -> Result<Lock, Error> {
    let began = system.elapsed();
    let (mut next, mut nap) = (Duration::ZERO, FIRST_NAP);
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(Lock::Held(file)),
            Err(TryLockError::Error(_)) => return Ok(Lock::Unsupported),
            Err(TryLockError::WouldBlock) => {}
        }
        let waited = system.elapsed().saturating_sub(began);
        if waited >= patience {
            return Ok(Lock::Busy);
        }
        if waited >= next {
            meanwhile(waited)?;
            next = waited + PERIOD;
        }
        system.sleep(nap);
        nap = (nap * 2).min(LONGEST_NAP);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::system::fake::FakeSystem;

    /// int128/kubelogin's ten callers of one login are done after 40 ms.
    #[test]
    fn a_waiter_looks_again_within_5_ms_and_does_not_burn_a_core() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        let holder = file.reopen().expect("the same file");
        holder.lock().expect("locked");
        let system = FakeSystem::new([]);
        let patience = Duration::from_secs(10);
        let lock = wait(file.into_file(), patience, &system, |_| Ok(()));
        assert!(matches!(lock, Ok(Lock::Busy)));
        let naps = system.naps();
        assert!(naps.iter().all(|nap| *nap < Duration::from_millis(5)));
        assert!(naps.len() < 3000, "{}", naps.len());
    }

    #[test]
    fn a_waiter_does_something_else_at_once_and_every_second() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        let holder = file.reopen().expect("the same file");
        holder.lock().expect("locked");
        let system = FakeSystem::new([]);
        let mut moments = Vec::new();
        let lock = wait(
            file.into_file(),
            Duration::from_secs(3),
            &system,
            |waited| {
                moments.push(waited.as_secs());
                Ok(())
            },
        );
        assert!(matches!(lock, Ok(Lock::Busy)));
        assert_eq!(moments, [0, 1, 2]);
    }
}
