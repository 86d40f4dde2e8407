//! The terminal of the person: what is typed at it, and a way to it past the standard streams.

use std::io::{self, IsTerminal};
use std::thread;

use super::LineReceiver;

/// While it lives, lines are received.
pub struct Typing {
    _long_lines: LongLines,
}

impl Typing {
    /// Hands each line that is typed to `receive`, from a thread of its own; `None` if nobody can type here.
    pub fn begin(mut receive: LineReceiver) -> Option<Self> {
        if !io::stdin().is_terminal() || !is_in_foreground() {
            return None;
        }
        let long_lines = LongLines::begin();
        let lines = move || {
            let lines = io::stdin().lines().map_while(Result::ok);
            lines.map(|line| edited(&line)).for_each(&mut receive);
        };
        thread::Builder::new().spawn(lines).ok()?;
        Some(Self {
            _long_lines: long_lines,
        })
    }
}

/// How wide the terminal is that stdout goes to; `None` if it goes elsewhere.
pub fn columns() -> Option<u16> {
    /// Where the terminal does not say.
    const USUAL: u16 = 80;
    let stdout = io::stdout();
    if !stdout.is_terminal() {
        return None;
    }
    #[cfg(unix)]
    let columns = rustix::termios::tcgetwinsize(&stdout).map_or(0, |size| size.ws_col);
    #[cfg(not(unix))]
    let columns = 0;
    Some(if columns == 0 { USUAL } else { columns })
}

/// The terminal that this process belongs to, whatever its standard streams are.
pub fn controlling() -> io::Result<std::fs::File> {
    let path = if cfg!(windows) { "CONOUT$" } else { "/dev/tty" };
    std::fs::OpenOptions::new()
        .read(true)
        .write(true)
        .open(path)
}

/// A line as it was meant, with what was erased (backspace, Ctrl-U): without its line editor a terminal hands that on.
fn edited(line: &str) -> String {
    let mut edited = String::with_capacity(line.len());
    for character in line.chars() {
        match character {
            '\u{8}' | '\u{7f}' => drop(edited.pop()),
            '\u{15}' => edited.clear(),
            _ => edited.push(character),
        }
    }
    edited
}

#[cfg(unix)]
use unix::is_in_foreground;
#[cfg(unix)]
pub use unix::{LongLines, Mode};

#[cfg(unix)]
mod unix {
    use std::io;

    use rustix::termios::{
        LocalModes, OptionalActions, SpecialCodeIndex, Termios, tcgetattr, tcgetpgrp, tcsetattr,
    };

    use crate::system::interrupt;

    /// While it lives, lines of any length can be pasted: a terminal's line editor takes 1,024 bytes on macOS and 4,095 on
    /// Linux, and an address with an authorization code can be longer.
    pub struct LongLines(Option<Mode>);

    impl LongLines {
        /// Changes nothing if the terminal does not let us.
        pub fn begin() -> Self {
            Self(turn_editor_off().ok())
        }
    }

    impl Drop for LongLines {
        fn drop(&mut self) {
            if let Some(before) = &self.0 {
                before.restore();
                interrupt::remember_terminal(None);
            }
        }
    }

    /// Gives the mode that the terminal had before.
    fn turn_editor_off() -> io::Result<Mode> {
        let before = tcgetattr(io::stdin())?;
        let mut without_editor = before.clone();
        without_editor.local_modes -= LocalModes::ICANON;
        without_editor.special_codes[SpecialCodeIndex::VMIN] = 1;
        without_editor.special_codes[SpecialCodeIndex::VTIME] = 0;
        let before = Mode(before);
        interrupt::remember_terminal(Some(before.clone()));
        tcsetattr(io::stdin(), OptionalActions::Now, &without_editor)?;
        Ok(before)
    }

    /// How the terminal was.
    #[derive(Clone)]
    pub struct Mode(Termios);

    impl Mode {
        pub fn restore(&self) {
            // From the background this would stop us (SIGTTOU), and the terminal is somebody else's by then.
            if is_in_foreground() {
                let _ = tcsetattr(io::stdin(), OptionalActions::Now, &self.0);
            }
        }
    }

    /// False if reading the terminal would stop this process and all of its job (SIGTTIN), as after `kubectl ... &`.
    pub fn is_in_foreground() -> bool {
        tcgetpgrp(io::stdin()).is_ok_and(|foreground| foreground == rustix::process::getpgrp())
    }
}

/// The console of Windows edits lines of any length that matters, and has no background.
#[cfg(not(unix))]
pub struct LongLines;

#[cfg(not(unix))]
impl LongLines {
    pub fn begin() -> Self {
        Self
    }
}

#[cfg(not(unix))]
fn is_in_foreground() -> bool {
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_erased_is_not_in_the_line() {
        for (typed, meant) in [
            ("as it is", "as it is"),
            ("abé\u{7f}\u{8}c", "ac"),
            ("\u{7f}a", "a"),
            ("oops\u{15}right", "right"),
        ] {
            assert_eq!(edited(typed), meant);
        }
    }
}
