//! Single flight: of all processes that want the same token at the same time, one signs in and the others wait.
//!
//! The lock is the operating system's, on a file of its own: it is released when its holder dies, however that happens.

use std::fs::{File, TryLockError};
use std::time::Duration;

use crate::system::System;

/// How often a waiter looks again.
const POLL: Duration = Duration::from_millis(50);

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

/// Waits for the lock on `file` for at most `patience`; calls `tell` once if that takes long.
pub fn wait(file: File, patience: Duration, system: &dyn System, tell: impl FnOnce()) -> Lock {
    let began = system.elapsed();
    let mut tell = Some(tell);
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
        system.sleep(POLL);
    }
}
