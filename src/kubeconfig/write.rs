//! Writes new values as YAML by indentation, or as JSON, which is YAML too.

use super::tree::is_bool_or_number;

/// A value to write.
pub enum New {
    Null,
    Bool(bool),
    Text(String),
    List {
        /// A comment above the items, if the file's style has comments.
        note: Option<String>,
        items: Vec<New>,
    },
    Map(Vec<(&'static str, New)>),
}

impl From<&str> for New {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

/// How many columns the file's block style indents by.
#[derive(Debug, Clone, Copy)]
pub struct Indentation {
    /// From a key to the map below it.
    pub map: usize,
    /// From a key to the dashes of the list below it.
    pub list: usize,
}

/// How our own comments begin.
pub const NOTE: &str = "# kubelogin keeps for other login modes: ";

/// A value in block style that fits on its key's line.
pub fn single(new: &New) -> Option<String> {
    match new {
        New::Null => Some("null".into()),
        New::Bool(value) => Some(value.to_string()),
        New::Text(text) if is_safe_unquoted(text) => Some(text.clone()),
        New::Text(text) => Some(quoted(text)),
        New::List { items, .. } if items.is_empty() => Some("[]".into()),
        New::Map(pairs) if pairs.is_empty() => Some("{}".into()),
        New::List { .. } | New::Map(_) => None,
    }
}

/// Writes YAML by indentation.
pub struct BlockStyle {
    pub eol: &'static str,
    pub indentation: Indentation,
}

impl BlockStyle {
    /// The text of a value whose first line is already indented to `column`.
    pub fn text(&self, new: &New, column: usize) -> String {
        let mut text = String::new();
        self.write(new, column, &mut text);
        text
    }

    fn write(&self, new: &New, column: usize, out: &mut String) {
        match new {
            New::Map(pairs) => {
                for (number, (key, value)) in pairs.iter().enumerate() {
                    if number > 0 {
                        self.new_line(column, out);
                    }
                    self.pair(key, value, column, out);
                }
            }
            New::List { note, items } => {
                if let Some(note) = note {
                    out.push_str(NOTE);
                    out.push_str(note);
                    self.new_line(column, out);
                }
                for (number, item) in items.iter().enumerate() {
                    if number > 0 {
                        self.new_line(column, out);
                    }
                    out.push_str("- ");
                    self.write(item, column + 2, out);
                }
            }
            New::Null | New::Bool(_) | New::Text(_) => {
                out.push_str(&single(new).unwrap_or_default());
            }
        }
    }

    pub fn pair(&self, key: &str, value: &New, column: usize, out: &mut String) {
        out.push_str(key);
        out.push(':');
        if let Some(text) = single(value) {
            out.push(' ');
            out.push_str(&text);
            return;
        }
        let step = if matches!(value, New::List { .. }) {
            self.indentation.list
        } else {
            self.indentation.map
        };
        self.new_line(column + step, out);
        self.write(value, column + step, out);
    }

    pub fn new_line(&self, column: usize, out: &mut String) {
        out.push_str(self.eol);
        out.extend(std::iter::repeat_n(' ', column));
    }
}

/// Writes JSON, which is YAML too.
pub struct FlowStyle<'t> {
    /// What follows a colon, and in a one-line collection a comma.
    pub gap: &'static str,
    /// How lines begin, if each value has its own.
    pub pretty: Option<Pretty<'t>>,
}

pub struct Pretty<'t> {
    pub lead: &'t str,
    pub unit: &'t str,
    pub eol: &'static str,
}

impl FlowStyle<'_> {
    /// The text between two items.
    pub fn separator(&self) -> String {
        match &self.pretty {
            Some(pretty) => format!(",{}{}", pretty.eol, pretty.lead),
            None => format!(",{}", self.gap),
        }
    }

    pub fn text(&self, new: &New) -> String {
        let mut out = String::new();
        self.write(new, 1, &mut out);
        out
    }

    fn write(&self, new: &New, depth: usize, out: &mut String) {
        match new {
            New::Null => out.push_str("null"),
            New::Bool(value) => out.push_str(&value.to_string()),
            New::Text(text) => out.push_str(&quoted(text)),
            New::List { items, .. } => {
                self.bracketed(['[', ']'], items.len(), depth, out, |number, out| {
                    self.write(&items[number], depth + 1, out);
                });
            }
            New::Map(pairs) => {
                self.bracketed(['{', '}'], pairs.len(), depth, out, |number, out| {
                    let (key, value) = &pairs[number];
                    out.push_str(&quoted(key));
                    out.push(':');
                    out.push_str(self.gap);
                    self.write(value, depth + 1, out);
                });
            }
        }
    }

    fn bracketed(
        &self,
        brackets: [char; 2],
        count: usize,
        depth: usize,
        out: &mut String,
        mut write: impl FnMut(usize, &mut String),
    ) {
        out.push(brackets[0]);
        for number in 0..count {
            if number > 0 {
                out.push(',');
            }
            match &self.pretty {
                Some(pretty) => pretty.new_line(depth, out),
                None if number > 0 => out.push_str(self.gap),
                None => {}
            }
            write(number, out);
        }
        if let Some(pretty) = self.pretty.as_ref().filter(|_| count > 0) {
            pretty.new_line(depth - 1, out);
        }
        out.push(brackets[1]);
    }
}

impl Pretty<'_> {
    fn new_line(&self, depth: usize, out: &mut String) {
        out.push_str(self.eol);
        out.push_str(self.lead);
        for _ in 0..depth {
            out.push_str(self.unit);
        }
    }
}

/// True if `text` needs no quotes, in any YAML version and any context.
fn is_safe_unquoted(text: &str) -> bool {
    let after_dashes = text.strip_prefix("--").or(text.strip_prefix('-'));
    let starts_well = match after_dashes {
        Some(name) => name.starts_with(|c: char| c.is_ascii_alphabetic()),
        None => text.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '/'),
    };
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-._/@+=~%:\\".contains(c);
    let is_year = |year: &[u8]| year.iter().all(u8::is_ascii_digit);
    // In YAML 1.1, 12:30 is a number and 2001-12-14 a date.
    let is_time =
        text.contains(':') && text.chars().all(|c| c.is_ascii_digit() || ":.".contains(c));
    let is_date = text
        .as_bytes()
        .split_at_checked(4)
        .is_some_and(|(year, rest)| is_year(year) && rest.starts_with(b"-"));
    starts_well
        && text.chars().all(is_plain)
        && !text.ends_with(':')
        && !is_time
        && !is_date
        && !is_bool_or_number(text)
        && !text.eq_ignore_ascii_case("null")
}

/// `text` in double quotes, escaped so that JSON and YAML both read it.
pub fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            // Control characters, and line breaks and marks that YAML would fold or reject. All are below U+10000.
            '\0'..='\u{1f}'
            | '\u{7f}'..='\u{9f}'
            | '\u{2028}'
            | '\u{2029}'
            | '\u{feff}'
            | '\u{fffe}'
            | '\u{ffff}' => {
                out.push_str(&format!("\\u{:04x}", u32::from(c)));
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::kubeconfig::tree::{Tree, Value};

    #[test]
    fn what_some_yaml_version_reads_differently_is_quoted() {
        for text in [
            "",
            "~",
            "null",
            "yes",
            "No",
            "on",
            "y",
            "TRUE",
            "5",
            "-5",
            "0x1f",
            "1e3",
            ".5",
            "1_000",
            "12:30",
            "1:2.5",
            "2001-12-14",
            "a: b",
            "a #b",
            "#a",
            "a:",
            "- a",
            "-",
            "---",
            "*a",
            "&a",
            "!a",
            "%a",
            "@a",
            "`a",
            "{a",
            "[a",
            "a,b",
            "a\nb",
            " a",
            "a ",
            "\u{feff}a",
            "é",
            "'a'",
            "\"a\"",
            "=",
            "<<",
        ] {
            assert!(!is_safe_unquoted(text), "{text:?}");
        }
        for text in [
            "get-token",
            "--login",
            "-v",
            "80faf920-1908-4b52-b5ef-a8e7bedfc67a",
            "00000000-1111-2222-3333-444444444444",
            "client.authentication.k8s.io/v1beta1",
            "https://login.microsoftonline.com/",
            "u=/subscriptions/x",
            "2m",
            "/a/b",
            r"C:\a",
        ] {
            assert!(is_safe_unquoted(text), "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read_back_from_block_and_from_json(text in any::<String>()) {
            let block = format!("- a: {}\n", single(&New::Text(text.clone())).unwrap_or_default());
            let json = format!("[{{\"a\": {}}}]", quoted(&text));
            for written in [block, json] {
                let tree = Tree::parse("config", &written).expect("YAML");
                let Value::List(_, items) = &tree.documents()[0].value else { panic!("no list: {written}") };
                let Value::Map(_, pairs) = &items[0].value else { panic!("no map: {written}") };
                let Value::Scalar(scalar) = &pairs[0].value.value else { panic!("no text: {written}") };
                prop_assert_eq!(&*scalar.text, &text);
                prop_assert!(scalar.is_text(), "{}", written);
            }
            let value: serde_json::Value = serde_json::from_str(&quoted(&text)).expect("JSON");
            prop_assert_eq!(value, serde_json::Value::String(text));
        }
    }
}
