//! A value that must never be shown.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use oauth2::url::form_urlencoded::byte_serialize;
use serde::{Deserialize, Deserializer};
use zeroize::Zeroizing;

/// A client secret, password, token or anything else that only its recipient may see.
///
/// It has no `Display`, its `Debug` is redacted, and it is wiped when dropped, so it cannot end up in a message by
/// accident. [`Secret::expose`] marks each place where one leaves the program on purpose.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    pub fn new(value: impl Into<String>) -> Self {
        Self(Zeroizing::new(value.into()))
    }

    /// The value that stands for no secret.
    pub fn empty() -> Self {
        Self::new("")
    }

    /// The value itself, for the request or file it is meant for.
    pub fn expose(&self) -> &str {
        &self.0
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Removes secrets from the text of a party that has seen them, even if quoted, URL-encoded or base64-encoded.
pub fn redact<'a>(text: &str, secrets: impl IntoIterator<Item = &'a Secret>) -> String {
    let mut text = text.to_owned();
    for secret in secrets.into_iter().filter(|secret| !secret.is_empty()) {
        for form in forms(secret.expose()) {
            if text.contains(form.as_str()) {
                text = text.replace(form.as_str(), "[redacted]");
            }
        }
    }
    text
}

/// A secret in every encoding in which it may come back, the longest first.
fn forms(secret: &str) -> Vec<Zeroizing<String>> {
    let mut forms = vec![secret.to_owned()];
    let encoded: String = byte_serialize(secret.as_bytes()).collect();
    let spaced = encoded.replace('+', "%20");
    forms.extend([
        lower_escapes(&encoded),
        lower_escapes(&spaced),
        encoded,
        spaced,
    ]);
    let quoted = serde_json::to_string(secret).unwrap_or_default();
    forms.extend(
        quoted
            .get(1..quoted.len().saturating_sub(1))
            .map(str::to_owned),
    );
    if secret.len() >= SHORTEST_IN_BASE64 {
        // The bytes before a secret shift its base64 encoding by zero, one or two bytes.
        for shift in 0..3 {
            let shifted = Zeroizing::new([&vec![0; shift][..], secret.as_bytes()].concat());
            let (first, whole) = ([0, 2, 3][shift], shifted.len() * 8 / 6);
            for engine in [STANDARD_NO_PAD, URL_SAFE_NO_PAD] {
                let encoded = Zeroizing::new(engine.encode(&*shifted));
                forms.extend(encoded.get(first..whole).map(str::to_owned));
            }
        }
    }
    forms.retain(|form| !form.is_empty());
    forms.sort_by_key(|form| std::cmp::Reverse(form.len()));
    forms.dedup();
    forms.into_iter().map(Zeroizing::new).collect()
}

/// Shorter ones are words: in base64 they would be found everywhere.
const SHORTEST_IN_BASE64: usize = 6;

/// Percent-encoding with lower-case digits.
fn lower_escapes(encoded: &str) -> String {
    let mut digits = 0;
    let lower = |c: char| {
        digits = if c == '%' {
            2
        } else {
            i32::max(digits - 1, -1)
        };
        match digits {
            0 | 1 => c.to_ascii_lowercase(),
            _ => c,
        }
    };
    encoded.chars().map(lower).collect()
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(Self::new)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_shows_nothing_of_the_value() {
        assert_eq!(
            format!("{:?}", Some(Secret::new("hunter2"))),
            "Some([redacted])"
        );
    }

    #[test]
    fn a_secret_that_comes_back_encoded_is_hidden_too() {
        let secret = Secret::new("s3cr&t =+/hunter2");
        let base64 = |before: &str| STANDARD_NO_PAD.encode(format!("{before}s3cr&t =+/hunter2"));
        for text in [
            "s3cr&t =+/hunter2".to_owned(),
            "s3cr%26t+%3D%2B%2Fhunter2".to_owned(),
            "s3cr%26t%20%3D%2B%2Fhunter2".to_owned(),
            "s3cr%26t%20%3d%2b%2fhunter2".to_owned(),
            base64(""),
            base64("a"),
            base64("id:"),
            base64("four"),
            URL_SAFE_NO_PAD.encode("s3cr&t =+/hunter2"),
        ] {
            let shown = redact(&format!("<{text}> is wrong"), [&secret]);
            assert!(shown.contains("[redacted]"), "{text}: {shown}");
            assert!(
                !shown.contains("hunter2") && shown.len() < 40,
                "{text}: {shown}"
            );
        }
        let quoted = Secret::new("a\"b\\c");
        assert_eq!(redact(r#"got a\"b\\c"#, [&quoted]), "got [redacted]");
        assert_eq!(
            redact("nothing of it", [&secret, &Secret::empty()]),
            "nothing of it"
        );
    }
}
