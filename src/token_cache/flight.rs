//! Single flight: of all processes that want the same token at the same time, one signs in and the others wait.
//!
//! The lock is the operating system's, on a file of its own: it is released when its holder dies, however that happens.

use std::fs::{File, TryLockError};
use std::time::Duration;

use crate::system::System;

/// How soon a waiter looks again, and the longest that this grows to: the token that it waits for is used within 5 ms, and
/// looking takes microseconds.
const FIRST_NAP: Duration = Duration::from_millis(1);
const LONGEST_NAP: Duration = Duration::from_millis(4);

/// After how long a waiter tells the user why nothing happens.
const SILENCE: Duration = Duration::from_secs(1);

/// How the wait for a lock ended.
pub enum Lock {
    /// Ours until this is dropped.
    Held(#[expect(dead_code, reason = "holds the lock until it is dropped")] File),
    /// Another process held it for longer than we were willing to wait.
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

/// Waits for the lock on `file` for at most `patience`; calls `tell` once if that takes long.
pub fn wait(file: File, patience: Duration, system: &dyn System, tell: impl FnOnce()) -> Lock {
    let began = system.elapsed();
    let (mut tell, mut nap) = (Some(tell), FIRST_NAP);
    loop {
        match file.try_lock() {
            Ok(()) => return Lock::Held(file),
            Err(TryLockError::Error(_)) => return Lock::Unsupported,
            Err(TryLockError::WouldBlock) => {}
        }
        let waited = system.elapsed().saturating_sub(began);
        if waited >= patience {
            return Lock::Busy;
        }
        if waited >= SILENCE
            && let Some(tell) = tell.take()
        {
            tell();
        }
        system.sleep(nap);
        nap = (nap * 2).min(LONGEST_NAP);
    }
}
