//! Responses of the token and device authorization endpoints. A body is never shown: it may contain a token.

use chrono::{DateTime, TimeDelta, Utc};
use http::StatusCode;
use http::header::{DATE, RETRY_AFTER};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

use super::error;
use crate::error::{Error, span};
use crate::retry;
use crate::secret::{Secret, redact};
use crate::system::{HttpRequest, HttpResponse};
use crate::token::{Token, UNKNOWN_LIFE, expiry_claim, seconds};

/// A response of the device authorization endpoint (RFC 8628 section 3.2), with Entra's `message`.
pub type DeviceAuthorization = oauth2::DeviceAuthorizationResponse<DeviceMessage>;

/// Entra's own instructions, with the code and where to enter it.
#[derive(Debug, Serialize, Deserialize)]
pub struct DeviceMessage {
    pub message: Option<String>,
}

impl oauth2::ExtraDeviceAuthorizationFields for DeviceMessage {}

/// The fix when a response does not look like Entra's.
pub const FROM_ELSEWHERE: &str =
    "Check --authority-host, HTTPS_PROXY and NO_PROXY: the response may not come from Entra ID.";

/// Rewrites a device authorization response of the v1 endpoint to the form of RFC 8628: numbers without quotes.
pub fn unquote_numbers(body: &mut Vec<u8>) {
    let Ok(mut answer) = serde_json::from_slice::<Value>(without_bom(body)) else {
        return;
    };
    for name in ["expires_in", "interval"] {
        let quoted = answer[name].as_str();
        if let Some(seconds) = quoted.and_then(|text| text.parse::<u64>().ok()) {
            answer[name] = seconds.into();
        }
    }
    *body = answer.to_string().into_bytes();
}

/// A successful response of the token endpoint (RFC 6749 section 5.1). A repeated member is an error (section 3.2), and
/// serde treats it as one.
#[derive(Deserialize)]
struct TokenAnswer {
    access_token: Option<Secret>,
    refresh_token: Option<Secret>,
    #[serde(default, deserialize_with = "whole_seconds")]
    expires_in: Option<i64>,
    /// Unix seconds; from the v1 endpoint.
    #[serde(default, deserialize_with = "whole_seconds")]
    expires_on: Option<i64>,
}

/// Seconds as a number, a fraction or a string: the v1 endpoint and some proxies quote them. Anything else counts as
/// absent, because the member is only recommended.
fn whole_seconds<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<i64>, D::Error> {
    Value::deserialize(deserializer).map(|value| seconds(&value))
}

/// Reads a response of the token endpoint to a request sent at `asked_at`.
pub fn read_token(
    request: &HttpRequest,
    answer: &HttpResponse,
    asked_at: DateTime<Utc>,
) -> Result<Token, Error> {
    check_status(request, answer)?;
    let wrong = |why: &str| {
        let what = format!("the token response from {} {why}", host_of(request));
        Error::refused("", what).remedy(FROM_ELSEWHERE)
    };
    let body: TokenAnswer = serde_json::from_slice(without_bom(answer.body()))
        .map_err(|_| wrong("is not the expected JSON"))?;
    let access_token = body.access_token.filter(|token| !token.is_empty());
    let access_token = access_token.ok_or_else(|| wrong("contains no access token"))?;
    let expires_on = body
        .expires_in
        .and_then(|seconds| asked_at.checked_add_signed(TimeDelta::try_seconds(seconds)?))
        .or_else(|| DateTime::from_timestamp(body.expires_on?, 0))
        .or_else(|| expiry_claim(&access_token))
        .unwrap_or(asked_at + UNKNOWN_LIFE);
    Ok(Token {
        access_token,
        expires_on,
        refresh_token: body.refresh_token.filter(|token| !token.is_empty()),
    })
}

/// Turns every status but 200 into an error: the OAuth error in the body if there is one, else the status and the host.
pub fn check_status(request: &HttpRequest, answer: &HttpResponse) -> Result<(), Error> {
    let status = answer.status();
    if status == StatusCode::OK {
        return Ok(());
    }
    if let Some(error) = error::read(without_bom(answer.body())) {
        return Err(error);
    }
    let what = format!("{} answered {status}", host_of(request));
    Err(if status == StatusCode::TOO_MANY_REQUESTS {
        Error::outside(what).remedy(throttled(answer))
    } else if retry::is_passing(status) {
        Error::outside(what).remedy("Entra ID is busy or temporarily unavailable; try again later.")
    } else if status.is_redirection() {
        Error::refused("", what).remedy(
            "Token requests are never redirected; check --authority-host, HTTPS_PROXY and NO_PROXY.",
        )
    } else {
        Error::refused("", what).remedy(FROM_ELSEWHERE)
    })
}

fn throttled(answer: &HttpResponse) -> String {
    let after = answer
        .headers()
        .get(RETRY_AFTER)
        .and_then(|after| after.to_str().ok());
    let after = after.and_then(|seconds| TimeDelta::try_seconds(seconds.trim().parse().ok()?));
    let after = after.map_or_else(|| "a minute".to_owned(), span);
    format!("Entra ID is throttling this application or user: wait {after}, then try again.")
}

/// The members of an error response: those for people, and those for decisions.
const SHOWN: &[&str] = &["error", "error_description", "correlation_id"];

/// Removes secrets from an error response. An `error` that OAuth defines stays: it decides what happens.
pub fn hide(body: &mut Vec<u8>, secrets: &[&Secret]) {
    let Ok(mut answer) = serde_json::from_slice::<Value>(without_bom(body)) else {
        return;
    };
    if answer.get("error").is_none() {
        return;
    }
    let mut has_changed = false;
    for name in SHOWN {
        let Some(Value::String(text)) = answer.get_mut(name) else {
            continue;
        };
        if *name == "error" && error::is_known(text) {
            continue;
        }
        let hidden = redact(text, secrets.iter().copied());
        has_changed |= hidden != *text;
        *text = hidden;
    }
    if has_changed {
        *body = answer.to_string().into_bytes();
    }
}

/// If the clock is off by more, assertions fail, because they are valid for minutes only.
const LARGEST_SKEW: TimeDelta = TimeDelta::seconds(60);

/// Adds to a refusal about time how far this machine's clock is off, according to the response's `Date` (RFC 9110
/// section 6.6.1).
pub fn explain_clock(error: Error, answer: &HttpResponse, now: DateTime<Utc>) -> Error {
    let date = answer
        .headers()
        .get(DATE)
        .and_then(|date| date.to_str().ok());
    let date = date.and_then(|date| DateTime::parse_from_rfc2822(date).ok());
    let Some(date) = date.filter(|_| error::is_about_time(error.parts().0)) else {
        return error;
    };
    let skew = now - date.to_utc();
    if skew.abs() < LARGEST_SKEW {
        return error;
    }
    let direction = if skew < TimeDelta::zero() {
        "behind"
    } else {
        "ahead of"
    };
    error.hint(&format!(
        "This machine's clock is {} {direction} Entra ID's: set it.",
        span(skew)
    ))
}

fn host_of(request: &HttpRequest) -> &str {
    request.uri().host().unwrap_or_default()
}

/// The text without a byte order mark, which some servers put before JSON (RFC 8259 section 8.1 lets a reader ignore
/// it).
pub fn without_bom(text: &[u8]) -> &[u8] {
    text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::system::fake::FakeSystem;

    const JWT: &str = "e30.eyJleHAiOjE3NjcyMjkyMDB9.sig";

    fn token(body: impl Into<String>) -> Result<Token, Error> {
        let request =
            http::Request::post("https://login.microsoftonline.com/ten/oauth2/v2.0/token")
                .body(Vec::new())
                .expect("a request");
        let answer = FakeSystem::json(200, body).expect("an answer");
        read_token(&request, &answer, FakeSystem::EPOCH)
    }

    #[test]
    fn an_odd_but_valid_response_yields_the_token_and_its_expiry() {
        let hour = 3600;
        for (body, life) in [
            (
                r#"{"access_token":"at","expires_in":3600}"#.to_owned(),
                hour,
            ),
            (
                r#"{"access_token":"at","expires_in":"3600","unknown":{"a":[null]}}"#.to_owned(),
                hour,
            ),
            (
                r#"{"access_token":"at","expires_in":3600.9}"#.to_owned(),
                hour,
            ),
            (
                r#"{"access_token":"at","expires_on":"1767229200"}"#.to_owned(),
                hour,
            ),
            (r#"{"access_token":"at","expires_in":null}"#.to_owned(), 300),
            (
                r#"{"access_token":"at","expires_in":"soon"}"#.to_owned(),
                300,
            ),
            (r#"{"access_token":"at","expires_in":-1}"#.to_owned(), 300),
            (r#"{"access_token":"at"}"#.to_owned(), 300),
            (format!(r#"{{"access_token":"{JWT}"}}"#), hour),
            (
                "\u{feff}{\"access_token\":\"at\",\"expires_in\":3600}".to_owned(),
                hour,
            ),
        ] {
            let token = token(body.clone()).expect(&body);
            assert_eq!(
                (token.expires_on - FakeSystem::EPOCH).num_seconds(),
                life,
                "{body}"
            );
        }
    }

    #[test]
    fn a_response_without_a_token_is_one_error_that_shows_none_of_it() {
        for body in [
            "",
            "null",
            "[]",
            "<html>hunter2</html>",
            r#"{"access_token":"hunter2"#,
            r#"{"access_token":"hunter2","access_token":"hunter2"}"#,
            r#"{"access_token":"","refresh_token":"hunter2"}"#,
            r#"{"token":"hunter2"}"#,
            r#"{"access_token":null}"#,
            r#"{"access_token":["hunter2"]}"#,
        ] {
            let error = token(body).expect_err(body).to_string();
            assert!(
                error.contains("login.microsoftonline.com") && !error.contains("hunter2"),
                "{error}"
            );
            assert!(error.lines().count() <= 3);
        }
    }
}
