//! The user's terminal: what is typed there, and a way to it that does not need the standard streams.

use std::io::{self, IsTerminal};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use std::thread;

use super::interrupt::{self, Begun};
use super::{LineReceiver, platform};

/// While this exists, lines are received; they can be of any length if the terminal allows it.
pub struct Typing {
    /// `None` once nothing more can be typed.
    receiver: Arc<Mutex<Option<LineReceiver>>>,
    _long_lines: Option<Begun>,
}

impl Typing {
    /// Hands each line that is typed to `receive`, on a thread of its own; `None` if nobody can type here.
    pub fn begin(receive: LineReceiver) -> Option<Self> {
        if !can_type() {
            return None;
        }
        let long_lines = interrupt::begin(|| Ok(((), platform::turn_line_editor_off()?)));
        let receiver = Arc::new(Mutex::new(Some(receive)));
        let current = Arc::clone(&receiver);
        let lines = move || {
            for line in io::stdin().lines().map_while(Result::ok) {
                if let Some(receive) = &mut *locked(&current) {
                    receive(edited(&line));
                }
            }
            *locked(&current) = None;
        };
        thread::Builder::new().spawn(lines).ok()?;
        Some(Self {
            receiver,
            _long_lines: long_lines.ok().map(|((), begun)| begun),
        })
    }

    /// From now on, hands each line to `receive` instead.
    pub fn hand_to(&self, receive: LineReceiver) {
        if let Some(current) = &mut *locked(&self.receiver) {
            *current = receive;
        }
    }

    /// The lines that are typed from now on; it ends once nothing more can be typed.
    pub fn lines(&self) -> mpsc::Receiver<String> {
        let (deliver, typed) = mpsc::channel();
        self.hand_to(Box::new(move |line| drop(deliver.send(line))));
        typed
    }
}

fn locked(receiver: &Mutex<Option<LineReceiver>>) -> MutexGuard<'_, Option<LineReceiver>> {
    receiver.lock().unwrap_or_else(PoisonError::into_inner)
}

/// True if a person can type here.
pub fn can_type() -> bool {
    io::stdin().is_terminal() && platform::is_in_foreground()
}

/// Waits for a line that is typed, with the terminal's own line editor. `None` at its end.
pub fn read_line() -> Option<String> {
    io::stdin().lines().next()?.ok()
}

/// True if stdin is a terminal, where a person can type.
pub fn is_at_terminal() -> bool {
    io::stdin().is_terminal()
}

/// The width of the terminal that stdout goes to; `None` if it goes elsewhere.
pub fn columns() -> Option<u16> {
    /// If the terminal does not say.
    const USUAL: u16 = 80;
    let stdout = io::stdout();
    if !stdout.is_terminal() {
        return None;
    }
    Some(platform::columns(&stdout).unwrap_or(USUAL))
}

/// The terminal that this process belongs to, whatever its standard streams are.
pub fn controlling() -> io::Result<std::fs::File> {
    std::fs::OpenOptions::new()
        .read(true)
        .write(true)
        .open(platform::CONTROLLING_TERMINAL)
}

/// A line with erasures applied (backspace, Ctrl-U), because a terminal without its line editor passes them on.
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
