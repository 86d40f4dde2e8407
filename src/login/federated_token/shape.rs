//! Recognises text that is not a federated token: it is refused before it is sent, each form with its own advice.

use base64::Engine as _;
use base64::alphabet;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};
use serde_json::Value;

use crate::entra::AssertionClaims;
use crate::secret::Secret;

/// What is wrong with a text, and what to do about it.
pub struct Fault {
    pub why: String,
    pub remedy: Option<String>,
}

/// A form that a token may be wrapped in: how to recognise it, how to describe it, and the fix.
type Row = (fn(&str) -> bool, &'static str, &'static str);

/// In the order they are looked for.
#[rustfmt::skip]
const FORMS: &[Row] = &[
    (str::is_empty, "it is empty", ""),
    (|text| text.contains('\0'), "it is UTF-16 text",
     "Write it as plain text; in PowerShell: Set-Content -Encoding ascii -NoNewline."),
    (is_quoted, "it is in quotes",
     "Write it without them; jq -r prints a string without quotes."),
    (|text| text.len() > 7 && text.is_char_boundary(7) && text[..7].eq_ignore_ascii_case("bearer "), "it starts with \"Bearer\"",
     "Write the token only, without that word."),
    (|text| text.trim().contains(['\n', '\r']), "it has several lines",
     "Write the token only, on a single line; base64 -w0 does not wrap its output."),
    (is_encoded, "it is base64-encoded",
     "Decode it first, with base64 -d: the values of a Kubernetes secret are encoded."),
];

/// The fault of a text, if it is not a JWT (RFC 7519 section 3: three parts in base64url, RFC 7515 section 3.1).
pub fn fault(text: &str) -> Option<Fault> {
    if is_jwt(text) {
        return None;
    }
    if let Ok(object @ Value::Object(_)) = serde_json::from_str(text) {
        let why = "it is a JSON object".to_owned();
        let remedy =
            path_to_jwt(&object, 4).map(|path| format!("Write the token only: jq -r {path}"));
        return Some(Fault { why, remedy });
    }
    let form = FORMS.iter().find(|(is_it, ..)| is_it(text));
    let (why, remedy) = form.map_or(("it is not a JWT", ""), |(_, why, remedy)| (*why, *remedy));
    Some(Fault {
        why: why.to_owned(),
        remedy: (!remedy.is_empty()).then(|| remedy.to_owned()),
    })
}

fn is_jwt(text: &str) -> bool {
    let is_base64url = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '=');
    let is_part = |part: &str| !part.is_empty() && part.chars().all(is_base64url);
    text.split('.').count() == 3
        && text.split('.').all(is_part)
        && AssertionClaims::of(&Secret::new(text)).is_some()
}

fn is_quoted(text: &str) -> bool {
    let mut marks = text.chars();
    matches!(
        (marks.next(), marks.next_back()),
        (Some('"'), Some('"')) | (Some('\''), Some('\''))
    )
}

fn is_encoded(text: &str) -> bool {
    const STANDARD: GeneralPurpose = GeneralPurpose::new(
        &alphabet::STANDARD,
        GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
    );
    let decoded = STANDARD.decode(text).ok();
    let decoded = decoded.and_then(|bytes| String::from_utf8(bytes).ok());
    decoded.is_some_and(|text| is_jwt(text.trim()))
}

/// Where the JWT is in an object, as jq writes it; names that need quotes in jq are not shown.
fn path_to_jwt(value: &Value, depth: usize) -> Option<String> {
    let is_plain = |name: &str| name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    let object = value.as_object().filter(|_| depth > 0)?;
    object
        .iter()
        .filter(|(name, _)| is_plain(name))
        .find_map(|(name, value)| {
            let is_it = value.as_str().is_some_and(is_jwt);
            let rest = match is_it {
                true => String::new(),
                false => path_to_jwt(value, depth - 1)?,
            };
            Some(format!(".{name}{rest}"))
        })
}

#[cfg(test)]
mod tests {
    use base64::engine::general_purpose::STANDARD;

    use super::super::tests::jwt;
    use super::*;

    #[test]
    fn each_form_around_a_token_has_its_own_advice() {
        let jwt = jwt();
        let utf_16: String = jwt.chars().flat_map(|c| [c, '\0']).collect();
        for (text, why, remedy) in [
            (String::new(), "empty", ""),
            (format!("\"{jwt}\""), "in quotes", "jq -r"),
            (format!("'{jwt}'"), "in quotes", "jq -r"),
            (
                format!("{{\"count\": 1, \"value\": \"{jwt}\"}}"),
                "JSON object",
                "jq -r .value",
            ),
            (
                format!("{{\"kind\": \"TokenRequest\", \"status\": {{\"token\": \"{jwt}\"}}}}"),
                "JSON object",
                "jq -r .status.token",
            ),
            ("{\"a b\": 1}".to_owned(), "JSON object", ""),
            (format!("Bearer {jwt}"), "\"Bearer\"", "without that word"),
            (format!("{jwt}\n{jwt}"), "several lines", "single line"),
            (
                format!("{}\n{}", &jwt[..9], &jwt[9..]),
                "several lines",
                "single line",
            ),
            (STANDARD.encode(&jwt), "base64", "base64 -d"),
            (STANDARD.encode(format!("{jwt}\n")), "base64", "base64 -d"),
            (utf_16, "UTF-16", "Set-Content"),
            ("hush".to_owned(), "not a JWT", ""),
            ("a.b.c.d.e".to_owned(), "not a JWT", ""),
            (format!("{jwt}.more"), "not a JWT", ""),
            ("$TOKEN".to_owned(), "not a JWT", ""),
        ] {
            let fault = fault(&text).expect(why);
            assert!(fault.why.contains(why), "{why}: {}", fault.why);
            let advice = fault.remedy.unwrap_or_default();
            assert!(
                advice.contains(remedy) && remedy.is_empty() == advice.is_empty(),
                "{advice}"
            );
        }
        assert!(fault(&jwt).is_none());
    }
}
