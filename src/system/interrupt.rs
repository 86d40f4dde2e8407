//! What to undo when a signal ends us: a running program, a terminal's changed mode, a lock file.

use std::io;
use std::sync::{Mutex, MutexGuard, Once, PoisonError};

use super::platform;

/// Undoes something. It must not start anything that would have to be undone itself.
pub type Undo = Box<dyn FnOnce() + Send>;

/// Everything that has to be undone, the latest last.
struct Pending {
    last_number: u64,
    undos: Vec<(u64, Undo)>,
}

static PENDING: Mutex<Pending> = Mutex::new(Pending {
    last_number: 0,
    undos: Vec::new(),
});
static LISTENER: Once = Once::new();

/// Something to undo when this is dropped or when a signal ends us, whichever comes first.
#[must_use]
pub struct Begun(u64);

/// Begins something that must be undone: `begin` returns its result and how to undo it. A signal that arrives meanwhile
/// waits, so that nothing is left behind.
pub fn begin<T>(begin: impl FnOnce() -> io::Result<(T, Undo)>) -> io::Result<(T, Begun)> {
    // Once this listens, signals end us only through it.
    LISTENER.call_once(|| platform::before_a_signal_ends_us(undo_all));
    let mut pending = lock();
    let (result, undo) = begin()?;
    pending.last_number += 1;
    let number = pending.last_number;
    pending.undos.push((number, undo));
    Ok((result, Begun(number)))
}

/// Runs `act` without interruption: a signal that arrives meanwhile waits. `act` must neither begin nor undo anything.
pub fn undisturbed<T>(act: impl FnOnce() -> T) -> T {
    LISTENER.call_once(|| platform::before_a_signal_ends_us(undo_all));
    let _pending = lock();
    act()
}

impl Begun {
    /// Keeps what has begun: it is never undone.
    pub fn keep(self) {
        drop(self.take(&mut lock()));
    }

    fn take(&self, pending: &mut Pending) -> Option<Undo> {
        let at = pending
            .undos
            .iter()
            .position(|(number, _)| *number == self.0)?;
        Some(pending.undos.remove(at).1)
    }
}

impl Drop for Begun {
    fn drop(&mut self) {
        // Held until it is undone: a signal waits.
        let mut pending = lock();
        if let Some(undo) = self.take(&mut pending) {
            undo();
        }
    }
}

fn undo_all() {
    let mut pending = lock();
    while let Some((_, undo)) = pending.undos.pop() {
        undo();
    }
}

fn lock() -> MutexGuard<'static, Pending> {
    PENDING.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[test]
    fn what_was_begun_is_undone_once_unless_it_is_kept() {
        let count = Arc::new(AtomicUsize::new(0));
        let undo = || {
            let count = Arc::clone(&count);
            let undo: Undo = Box::new(move || {
                count.fetch_add(1, Ordering::SeqCst);
            });
            Ok(("result", undo))
        };
        let (result, begun) = begin(undo).expect("begun");
        assert_eq!((result, count.load(Ordering::SeqCst)), ("result", 0));
        drop(begun);
        assert_eq!(count.load(Ordering::SeqCst), 1);
        begin(undo).expect("begun").1.keep();
        assert_eq!(count.load(Ordering::SeqCst), 1);
        assert_eq!(Arc::strong_count(&count), 1, "nothing is left to undo");
        let failure = begin(|| -> io::Result<((), Undo)> { Err(io::ErrorKind::Other.into()) });
        assert!(failure.is_err());
    }
}
