//! `--login msi`: a managed identity of the machine or service that kubelogin runs on.

mod arc;
mod host;
mod imds;

use chrono::{DateTime, NaiveDateTime, TimeDelta, Utc};
use http::StatusCode;
use serde::Deserialize;
use serde_json::Value;

use crate::error::Error;
use crate::login::Login;
use crate::options::{Options, Timeout};
use crate::retry::{self, Deadline};
use crate::secret::Secret;
use crate::system::{HttpResponse, System};
use crate::token::{Scope, Token, UNKNOWN_LIFE, expiry_claim};
use crate::token_cache::{CacheKey, Fingerprint};
use host::Host;

/// A managed identity at its host.
#[derive(Debug)]
pub struct ManagedIdentity {
    host: Host,
    identity: Identity,
    /// This machine's name on its network.
    machine: String,
    /// True if a resource ID was given and the client ID beats it.
    resource_id_is_unused: bool,
}

/// Which of the identities that are assigned to a machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Identity {
    /// The machine's own.
    System,
    /// A user-assigned one, by its client ID.
    ClientId(String),
    /// A user-assigned one, by its resource ID.
    ResourceId(String),
}

impl Identity {
    /// The query parameter that names it, given what the two kinds of ID are called.
    fn parameter<'a>(
        &'a self,
        client_id: &'a str,
        resource_id: &'a str,
    ) -> Option<(&'a str, &'a str)> {
        match self {
            Self::System => None,
            Self::ClientId(id) => Some((client_id, id)),
            Self::ResourceId(id) => Some((resource_id, id)),
        }
    }
}

impl ManagedIdentity {
    /// The client ID beats the resource ID, as with the original.
    pub fn new(options: &Options) -> Result<Self, Error> {
        let identity = match (&options.client_id, &options.identity_resource_id) {
            (Some(id), _) => Identity::ClientId(id.clone()),
            (None, Some(id)) => Identity::ResourceId(id.clone()),
            (None, None) => Identity::System,
        };
        let host = Host::detect(&options.identity_host)?;
        host.check(&identity)?;
        Ok(Self {
            host,
            identity,
            machine: options.machine.clone(),
            resource_id_is_unused: options.client_id.is_some()
                && options.identity_resource_id.is_some(),
        })
    }
}

impl Login for ManagedIdentity {
    /// The machine counts: its own identity is another one than its neighbour's, who may share a home with it.
    fn identify(&self, key: CacheKey) -> CacheKey {
        let key = key
            .with("host", &self.host.to_string())
            .with("machine", &self.machine);
        match &self.identity {
            Identity::System => key,
            Identity::ClientId(id) => key.with("client", id),
            Identity::ResourceId(id) => key.with("resource", id),
        }
    }

    fn fingerprint(&self) -> Option<Fingerprint> {
        Some(self.host.fingerprint())
    }

    fn acquire(
        &self,
        scope: &Scope,
        timeout: Timeout,
        system: &dyn System,
    ) -> Result<Token, Error> {
        let Self { host, identity, .. } = self;
        let deadline = Deadline::after(system, timeout.duration);
        if self.resource_id_is_unused {
            system.tell("--identity-resource-id is not used: --client-id (or AZURE_CLIENT_ID) says which identity it is");
        }
        let request = host.request(scope.resource(), identity)?;
        let now = system.now();
        let answer = match host {
            Host::Imds => imds::send(system, &request, deadline),
            Host::Arc { key_folder, .. } => arc::send(system, request, key_folder, deadline),
            _ => retry::send(system, &request, host.via(), deadline).map_err(unreachable),
        };
        read(
            host,
            identity,
            &answer.map_err(|error| error.context(host))?,
            now,
        )
    }
}

/// The way out of a network error: no proxy is ever in play here.
fn unreachable(error: Error) -> Error {
    error.remedy("Azure sets IDENTITY_ENDPOINT, MSI_ENDPOINT and what belongs to them: check that they are of this machine or app, and still right.")
}

/// A token as every host sends it, with one of many kinds of expiry.
#[derive(Deserialize)]
struct Answer {
    access_token: Secret,
    #[serde(default)]
    expires_on: Value,
    #[serde(default)]
    expires_in: Value,
}

fn read(
    host: &Host,
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
            .remedy("Something else may have answered: check the endpoint variables (IDENTITY_ENDPOINT, MSI_ENDPOINT) and the network.")
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

/// A positive number, quoted or not.
fn seconds(value: &Value) -> Option<i64> {
    let seconds = match value {
        Value::Number(number) => number.as_i64()?,
        Value::String(text) => text.trim().parse().ok()?,
        _ => return None,
    };
    (seconds > 0).then_some(seconds)
}

/// Unix seconds, a date of RFC 3339, or one of the interface of 2017, in which some hosts put `PM` behind an hour of 24.
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

/// Pieces of the hosts' messages, each with what to do.
#[rustfmt::skip]
const ADVICE: &[(&str, &str)] = &[
    ("Multiple user assigned identities",
     "Say which one: --client-id or --identity-resource-id."),
    ("dentity not found",
     "Assign that identity to this machine, or check --client-id (AZURE_CLIENT_ID) and --identity-resource-id; without them the machine's own is used."),
    ("No User Assigned or Delegated Managed Identity",
     "Assign that identity to this app, or check --client-id (AZURE_CLIENT_ID) and --identity-resource-id."),
    ("No managed identity",
     "Enable the managed identity of this machine or app, or name a user-assigned one with --client-id."),
    ("audience is not supported",
     "Cloud Shell's own identity cannot sign in to Kubernetes: run az login --scope <server-id>/.default, and use --login azurecli."),
    ("not a supported MSI token audience",
     "Cloud Shell's own identity cannot sign in to Kubernetes: run az login --scope <server-id>/.default, and use --login azurecli."),
    ("unreachable",
     "Something between (Docker Desktop, a proxy) answers for the instance metadata service: this machine is not in Azure, so use another --login mode."),
];

/// The host's own words, if its answer is an error as one of them sends it; never another body, which may be anything.
fn refusal(host: &Host, identity: &Identity, answer: &HttpResponse) -> Error {
    let status = answer.status();
    if let Some(cloud) = imds::other_cloud(answer) {
        return imds::absent(&format!("the metadata service of {cloud} answered"));
    }
    let text = String::from_utf8_lossy(answer.body());
    let what = match message(answer.body()) {
        Some(message) => format!("{host} answered {status}: {message}"),
        None => format!("{host} answered {status}"),
    };
    let advice = ADVICE.iter().find(|(piece, _)| text.contains(piece));
    let remedy = match (advice, identity) {
        (Some((_, advice)), _) => advice,
        _ if retry::is_passing(status) || status == StatusCode::GONE => {
            "It is busy or being updated: try again in a minute; --timeout allows more time."
        }
        (None, Identity::System) if status == StatusCode::BAD_REQUEST => {
            "Enable the system-assigned managed identity here, or name a user-assigned one with --client-id."
        }
        _ => {
            "Check that this machine or app has a managed identity, and --client-id, --identity-resource-id and --server-id."
        }
    };
    let error = match retry::is_passing(status) || status == StatusCode::GONE {
        true => Error::outside(what),
        false => Error::refused("", what),
    };
    error.remedy(remedy)
}

/// `error_description`, `error.message`, `message` or `error` of a JSON answer.
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
