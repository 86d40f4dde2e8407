//! Labelled text that fits the terminal: `whoami` and `doctor` print it.

use std::fmt::Write;

/// On a terminal with fewer columns, the text goes below its label.
const NARROW: usize = 60;

/// The terminal's width; [`Width::WHOLE`] if stdout is not a terminal.
#[derive(Debug, Clone, Copy)]
pub struct Width(usize);

impl Width {
    /// Lines are never broken.
    pub const WHOLE: Self = Self(usize::MAX);

    pub fn of(columns: Option<u16>) -> Self {
        columns.map_or(Self::WHOLE, |columns| Self(columns.into()))
    }

    pub const fn is_narrow(self) -> bool {
        self.0 < NARROW
    }

    /// Appends `start` and `text` to the page, broken at the terminal's width, with further lines indented. `start` takes
    /// `indent` columns, or fewer if it is empty. A word is never broken: people copy commands and paths.
    pub fn append(self, page: &mut String, start: &str, indent: usize, text: &str) {
        let mut line = match start.is_empty() {
            true => " ".repeat(indent),
            false => start.to_owned(),
        };
        let mut used = indent;
        let mut is_first = true;
        for word in text.split(' ').filter(|word| !word.is_empty()) {
            let length = word.chars().count();
            if !is_first && used + 1 + length > self.0 {
                let _ = writeln!(page, "{}", line.trim_end()); // writing to a String does not fail
                line = " ".repeat(indent);
                used = indent;
                is_first = true;
            }
            if !is_first {
                line.push(' ');
                used += 1;
            }
            line.push_str(word);
            used += length;
            is_first = false;
        }
        if !line.trim().is_empty() {
            let _ = writeln!(page, "{}", line.trim_end());
        }
    }
}
