//! Where a byte is, for messages.

/// Where lines begin, with extra marks within long lines.
pub struct Places(Vec<Place>);

#[derive(Clone, Copy)]
pub struct Place {
    pub at: usize,
    line: usize,
    column: usize,
}

impl Places {
    pub fn of(text: &str) -> Self {
        /// How far apart places in one line are: JSON of any size is often one line.
        const STEP: usize = 1024;
        let mut place = Place {
            at: 0,
            line: 1,
            column: 1,
        };
        let mut places = vec![place];
        let mut chars = text.char_indices().peekable();
        while let Some((_, c)) = chars.next() {
            let next = chars.peek();
            place.at = next.map_or(text.len(), |(at, _)| *at);
            let ends_line = c == '\n' || c == '\r' && next.is_none_or(|(_, c)| *c != '\n');
            if ends_line {
                (place.line, place.column) = (place.line + 1, 1);
            } else {
                place.column += usize::from(!is_mark(c));
            }
            let last = places.last().map_or(0, |last| last.at);
            if ends_line || place.at - last >= STEP {
                places.push(place);
            }
        }
        Self(places)
    }

    /// The last place up to a byte.
    pub fn before(&self, at: usize) -> Place {
        let after = self.0.partition_point(|place| place.at <= at);
        self.0[after - 1]
    }

    /// Line and column of a byte, both counted from 1, the column in characters.
    pub fn line_and_column(&self, text: &str, at: usize) -> (usize, usize) {
        let place = self.before(at);
        let between = &text[place.at..at];
        let columns = between.chars().filter(|c| !is_mark(*c)).count();
        (place.line, place.column + columns)
    }
}

/// The byte order mark has no column.
fn is_mark(c: char) -> bool {
    c == '\u{feff}'
}

/// Line and column of one byte of a text.
pub fn line_and_column(text: &str, at: usize) -> (usize, usize) {
    Places::of(text).line_and_column(text, at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_found_as_if_the_text_before_it_were_counted() {
        let long = format!("\u{feff}[{}]\r\né: b\rc\n\n\r\n d", "é, ".repeat(2000));
        for text in ["", "a", "a\n", "\u{feff}a: b\n", &long] {
            let places = Places::of(text);
            assert!(
                places.0.len() <= 10 + text.len() / 1024,
                "a place every KiB"
            );
            for at in (0..=text.len()).filter(|at| text.is_char_boundary(*at)) {
                // There is no place between the two characters of a line end.
                if text[..at].ends_with('\r') && text[at..].starts_with('\n') {
                    continue;
                }
                let before = text[..at].replace("\r\n", "\n").replace('\r', "\n");
                let line = before.rsplit('\n').next().unwrap_or_default();
                let column = line.trim_start_matches('\u{feff}').chars().count() + 1;
                let found = places.line_and_column(text, at);
                assert_eq!(found, (before.split('\n').count(), column), "{at}");
            }
        }
    }

    #[test]
    fn columns_are_counted_in_characters_without_the_byte_order_mark() {
        assert_eq!(line_and_column("\u{feff}é: b", "\u{feff}é: ".len()), (1, 4));
        assert_eq!(line_and_column("a\r\nbc", 4), (2, 2));
        assert_eq!(line_and_column("a\rb\rc", 4), (3, 1));
    }
}
