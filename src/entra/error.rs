//! Entra's error answers, and what a person can do about them.
//!
//! The AADSTS codes are for advice only: Microsoft changes them. What the program does next rests on the OAuth `error`
//! (RFC 6749 section 5.2, RFC 8628 section 3.5).

use serde::Deserialize;

use crate::error::Error;

/// An error answer (RFC 6749 section 5.2) with Entra's additions.
#[derive(Debug, Deserialize)]
struct ErrorAnswer {
    error: String,
    error_description: Option<String>,
    #[serde(default)]
    error_codes: Vec<u32>,
    correlation_id: Option<String>,
}

/// Reads an error answer; `None` if the body is none.
pub fn read(body: &[u8]) -> Option<Error> {
    let answer: ErrorAnswer = serde_json::from_slice(body).ok()?;
    Some(explain(&answer))
}

fn explain(answer: &ErrorAnswer) -> Error {
    let description = answer.error_description.as_deref().unwrap_or_default();
    Error::refused(
        answer.error.as_str(),
        format!("{}: {description}", answer.error),
    )
}
