//! What must not outlive us when a signal ends us: the program that we wait for, and the terminal's changed mode.

#[cfg(unix)]
pub use unix::{remember_terminal, watch};
#[cfg(windows)]
pub use windows::watch;

#[cfg(unix)]
mod unix {
    use std::io;
    use std::process::Child;
    use std::sync::{Mutex, MutexGuard, Once, PoisonError};
    use std::thread;

    use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM};
    use signal_hook::iterator::Signals;
    use signal_hook::low_level::emulate_default_handler;

    use crate::system::process::Group;
    use crate::system::terminal::Mode;

    /// What to undo.
    struct Undo {
        program: Option<Group>,
        terminal: Option<Mode>,
    }

    static UNDO: Mutex<Undo> = Mutex::new(Undo {
        program: None,
        terminal: None,
    });
    /// The thread stays when there is nothing to undo any more: the signals do what they did before only through it.
    static LISTENER: Once = Once::new();

    /// While it lives, what stops us stops the program too.
    pub struct Watch;

    /// Starts a program and watches over it from its first moment: until its group is known, a signal waits. Ctrl-C,
    /// Ctrl-\\ and a closed terminal reach its foreground group, which the program is no part of.
    pub fn watch(start: impl FnOnce() -> io::Result<Child>) -> io::Result<(Child, Watch)> {
        let mut undo = prepare();
        let child = start()?;
        undo.program = Some(Group::of(&child));
        Ok((child, Watch))
    }

    impl Drop for Watch {
        fn drop(&mut self) {
            lock().program = None;
        }
    }

    /// The mode that the terminal is to have again after a signal; `None` once it has it.
    pub fn remember_terminal(mode: Option<Mode>) {
        prepare().terminal = mode;
    }

    fn prepare() -> MutexGuard<'static, Undo> {
        LISTENER.call_once(listen);
        lock()
    }

    fn listen() {
        let Ok(mut signals) = Signals::new([SIGHUP, SIGINT, SIGQUIT, SIGTERM]) else {
            return;
        };
        // Without it a signal ends us as ever, and nothing is undone.
        let _ = thread::Builder::new().spawn(move || {
            for signal in signals.forever() {
                let mut undo = lock();
                if let Some(group) = undo.program.take() {
                    group.kill();
                }
                if let Some(mode) = undo.terminal.take() {
                    mode.restore();
                }
                drop(undo);
                let _ = emulate_default_handler(signal);
            }
        });
    }

    fn lock() -> MutexGuard<'static, Undo> {
        UNDO.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// On Windows Ctrl-C reaches every program of the console.
#[cfg(windows)]
mod windows {
    use std::io;
    use std::process::Child;

    pub struct Watch;

    pub fn watch(start: impl FnOnce() -> io::Result<Child>) -> io::Result<(Child, Watch)> {
        Ok((start()?, Watch))
    }
}
