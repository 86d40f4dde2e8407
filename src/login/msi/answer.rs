//! Reads a host's response: a token, or why there is none.

use chrono::{DateTime, NaiveDateTime, TimeDelta, Utc};
use http::StatusCode;
use serde::Deserialize;
use serde_json::Value;

use super::Identity;
use crate::entra;
use crate::error::Error;
use crate::retry;
use crate::secret::Secret;
use crate::system::HttpResponse;
use crate::token::{Token, UNKNOWN_LIFE, expiry_claim, seconds};

/// A token as every host sends it; the expiry comes in many forms.
#[derive(Deserialize)]
struct Answer {
    access_token: Secret,
    #[serde(default)]
    expires_on: Value,
    #[serde(default)]
    expires_in: Value,
}

/// The token in an answer that was asked for at `asked_at`. `host` is named in errors.
///
/// # Errors
/// The host refused, with its own message and advice; or its answer has no token.
pub fn read(
    host: &str,
    identity: &Identity,
    answer: &HttpResponse,
    asked_at: DateTime<Utc>,
) -> Result<Token, Error> {
    let status = answer.status();
    if !matches!(status, StatusCode::OK | StatusCode::ACCEPTED) {
        return Err(refusal(host, identity, answer));
    }
    let body: Option<Answer> = serde_json::from_slice(answer.body()).ok();
    let body = body.filter(|body| !body.access_token.is_empty()).ok_or_else(|| {
        Error::refused("", format!("{host} answered {status} without a token"))
            .remedy("Something else may have answered: check the network and the endpoint variables (IDENTITY_ENDPOINT, MSI_ENDPOINT).")
    })?;
    let life = || asked_at.checked_add_signed(TimeDelta::try_seconds(seconds(&body.expires_in)?)?);
    let expires_on = moment(&body.expires_on)
        .or_else(life)
        .or_else(|| expiry_claim(&body.access_token))
        .unwrap_or(asked_at + UNKNOWN_LIFE);
    Ok(Token {
        access_token: body.access_token,
        expires_on,
        refresh_token: None,
    })
}

/// Unix seconds, an RFC 3339 date, or one of the 2017 API version, where some hosts write `PM` after a 24-hour time.
fn moment(value: &Value) -> Option<DateTime<Utc>> {
    if let Some(seconds) = seconds(value) {
        return DateTime::from_timestamp(seconds, 0);
    }
    let text = value.as_str()?.trim();
    if let Ok(moment) = DateTime::parse_from_rfc3339(text) {
        return Some(moment.to_utc());
    }
    let text = text.trim_end_matches("+00:00").trim_end();
    let parse = |text: &str, format| NaiveDateTime::parse_from_str(text, format).ok();
    let hour_of_24 = text.trim_end_matches(" AM").trim_end_matches(" PM");
    parse(text, "%m/%d/%Y %I:%M:%S %p")
        .or_else(|| parse(hour_of_24, "%m/%d/%Y %H:%M:%S"))
        .or_else(|| parse(text, "%Y-%m-%d %H:%M:%S"))
        .map(|naive| naive.and_utc())
}

/// Parts of the hosts' messages, each with what to do.
#[rustfmt::skip]
const ADVICE: &[(&str, &str)] = &[
    ("Multiple user assigned identities",
     "Choose one with --client-id or --identity-resource-id."),
    ("dentity not found",
     "Assign that identity to this machine, or check --client-id (AZURE_CLIENT_ID) and --identity-resource-id; without them, the system-assigned identity is used. A new assignment takes a few minutes."),
    ("No User Assigned or Delegated Managed Identity",
     "Assign that identity to this app, or check --client-id (AZURE_CLIENT_ID) and --identity-resource-id."),
    ("No managed identity",
     "Enable the managed identity of this machine or app, or choose a user-assigned one with --client-id."),
    ("audience is not supported",
     "Cloud Shell's own identity cannot sign in to Kubernetes: run az login --scope <server-id>/.default, and use --login azurecli."),
    ("not a supported MSI token audience",
     "Cloud Shell's own identity cannot sign in to Kubernetes: run az login --scope <server-id>/.default, and use --login azurecli."),
    ("unreachable",
     "Something in between (Docker Desktop, a proxy) answered for the instance metadata service: this machine is not in Azure; use another --login mode."),
];

/// The host's own message, if the body is an error in a known form; never another body, which may be anything.
fn refusal(host: &str, identity: &Identity, answer: &HttpResponse) -> Error {
    let status = answer.status();
    let text = String::from_utf8_lossy(answer.body());
    let message = message(answer.body());
    if let Some(error) = message.as_deref().and_then(entra::error::in_text) {
        // The host asked Entra, which refused: the identity exists, and the host's own advice would mislead.
        return error.context(format!("{host} answered {status}"));
    }
    let what = match message {
        Some(message) => format!("{host} answered {status}: {message}"),
        None => format!("{host} answered {status}"),
    };
    let advice = ADVICE.iter().find(|(piece, _)| text.contains(piece));
    let remedy = match (advice, identity) {
        (Some((_, advice)), _) => advice,
        _ if retry::is_passing(status) || status == StatusCode::GONE => {
            "It is busy or being updated; try again in a minute, or allow more time with --timeout."
        }
        (None, Identity::System) if status == StatusCode::BAD_REQUEST => {
            "Enable the system-assigned managed identity here, or choose a user-assigned one with --client-id."
        }
        _ => {
            "Check that this machine or app has a managed identity, and check --client-id, --identity-resource-id and --server-id."
        }
    };
    let error = match retry::is_passing(status) || status == StatusCode::GONE {
        true => Error::outside(what),
        false => Error::refused("", what),
    };
    error.remedy(remedy)
}

/// `error_description`, `error.message`, `message` or `error` of a JSON body.
fn message(body: &[u8]) -> Option<String> {
    let body: Value = serde_json::from_slice(body).ok()?;
    let places = [
        &body["error_description"],
        &body["error"]["message"],
        &body["message"],
        &body["error"],
    ];
    let message = places
        .iter()
        .find_map(|place| place.as_str().filter(|text| !text.is_empty()));
    message.map(str::to_owned)
}
