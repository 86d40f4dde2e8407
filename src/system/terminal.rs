//! The user's terminal: what is typed there, and a way to it that does not need the standard streams.

use std::io::{self, IsTerminal};
use std::thread;

use super::interrupt::{self, Begun};
use super::{LineReceiver, platform};

/// While this exists, lines are received; they can be of any length if the terminal allows it.
pub struct Typing {
    _long_lines: Option<Begun>,
}

impl Typing {
    /// Hands each line that is typed to `receive`, on a thread of its own; `None` if nobody can type here.
    pub fn begin(mut receive: LineReceiver) -> Option<Self> {
        if !io::stdin().is_terminal() || !platform::is_in_foreground() {
            return None;
        }
        let long_lines = interrupt::begin(|| Ok(((), platform::turn_line_editor_off()?)));
        let lines = move || {
            let lines = io::stdin().lines().map_while(Result::ok);
            lines.map(|line| edited(&line)).for_each(&mut receive);
        };
        thread::Builder::new().spawn(lines).ok()?;
        Some(Self {
            _long_lines: long_lines.ok().map(|((), begun)| begun),
        })
    }
}

/// True if stdin is a terminal, where a person can answer.
pub fn is_at_terminal() -> bool {
    io::stdin().is_terminal()
}

/// How wide the terminal is that stdout goes to; `None` if it goes elsewhere.
pub fn columns() -> Option<u16> {
    /// Where the terminal does not say.
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

/// A line without what was erased (backspace, Ctrl-U): with its line editor off, a terminal passes that on.
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
