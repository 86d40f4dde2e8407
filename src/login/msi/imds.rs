//! The instance metadata service (IMDS) of a virtual machine, a scale set or an AKS node: retried as long as Microsoft
//! recommends if it exists, given up quickly if it does not.

use std::time::Duration;

use http::StatusCode;
use http::header::SERVER;

use super::Identity;
use super::host::{self, Host, Selectors, Shape};
use crate::error::Error;
use crate::retry::{self, Deadline, LONGEST_TRY};
use crate::system::{HttpRequest, HttpResponse, NetworkError, NetworkErrorKind, System, Via};

/// A link-local address, the same in every Azure network.
const ENDPOINT: &str = "http://169.254.169.254/metadata/identity/oauth2/token";

/// What is left when no other host is found.
pub fn host() -> Result<Host, Error> {
    Ok(Host {
        name: "the instance metadata service (IMDS)",
        endpoint: host::endpoint("IMDS", ENDPOINT)?,
        shape: Shape::Query {
            api_version: "2018-02-01",
        },
        headers: vec![host::metadata()],
        selectors: Selectors {
            client_id: Some("client_id"),
            resource_id: Some("msi_res_id"),
            ..Selectors::default()
        },
        default_identity: Identity::System,
        send: Box::new(|system, request, deadline| send(system, &request, deadline)),
    })
}

/// The waits before the second and later tries ("How to use managed identities .. to acquire an access token", Error
/// handling: exponential, starting at one second).
const WAITS: &[Duration] = &[
    Duration::from_secs(1),
    Duration::from_secs(2),
    Duration::from_secs(4),
    Duration::from_secs(8),
    Duration::from_secs(16),
    Duration::from_secs(20),
    Duration::from_secs(20),
];

/// How often to try again unless an update is under way: half a minute in all.
const RETRIES: usize = 5;

/// How often to retry for an identity that is not found on a new machine: seven seconds in all.
const RETRIES_OF_NEW_MACHINE: usize = 3;

/// How long a machine counts as new, in seconds: its identities may not be available yet.
const NEW: i64 = 10 * 60;

/// The fix if it exists and does not answer: no proxy is ever used here.
const BROKEN: &str = "This machine's instance metadata service is busy or being updated; try again in a minute, or allow more time with --timeout.";

/// The result of one try.
type Outcome = Result<HttpResponse, NetworkError>;

fn send(
    system: &dyn System,
    request: &HttpRequest,
    deadline: Deadline,
) -> Result<HttpResponse, Error> {
    let mut earlier = None;
    for retries in 0.. {
        let patience = deadline.remaining(system).min(LONGEST_TRY);
        let outcome = system.send(request, Via::Direct, patience);
        let remaining = deadline.remaining(system);
        let wait = next_wait(&outcome, retries, system).filter(|wait| *wait < remaining);
        match (wait, outcome) {
            (Some(wait), outcome) => {
                earlier = Some(retry::describe(&outcome));
                system.sleep(wait);
            }
            (None, Ok(answer)) => {
                return match other_cloud(&answer) {
                    Some(cloud) => {
                        Err(absent(&format!("the metadata service of {cloud} answered")))
                    }
                    None => Ok(answer),
                };
            }
            (None, Err(error)) if retries == 0 && is_absence(&error) => {
                return Err(absent(&error.to_string()));
            }
            (None, Err(error)) => {
                return Err(
                    retry::network_error(&error, earlier, remaining, deadline).remedy(BROKEN)
                );
            }
        }
    }
    unreachable!("the waits end")
}

/// How long to wait before the next try; `None` if there is none.
fn next_wait(outcome: &Outcome, retries: usize, system: &dyn System) -> Option<Duration> {
    let planned = WAITS.get(retries).copied();
    let planned_few = planned.filter(|_| retries < RETRIES);
    match outcome {
        Ok(answer) if other_cloud(answer).is_some() => None,
        // An update, which takes at most 70 s.
        Ok(answer) if answer.status() == StatusCode::GONE => planned,
        Ok(answer)
            if answer.status() == StatusCode::NOT_FOUND || retry::is_passing(answer.status()) =>
        {
            let asked = retry::retry_after(answer, system.now());
            planned_few.map(|planned| asked.unwrap_or(planned))
        }
        Ok(answer) if is_missing_identity(answer) => {
            let is_new = system.uptime().is_some_and(|uptime| uptime.seconds < NEW);
            planned.filter(|_| is_new && retries < RETRIES_OF_NEW_MACHINE)
        }
        Ok(_) => None,
        Err(error) if retries == 0 && is_absence(error) => None,
        Err(error) => planned_few.filter(|_| error.is_passing()),
    }
}

/// True if the answer is "Identity not found".
fn is_missing_identity(answer: &HttpResponse) -> bool {
    let text = String::from_utf8_lossy(answer.body());
    answer.status() == StatusCode::BAD_REQUEST && text.contains("dentity not found")
}

/// True if nothing answers at the address. An IMDS is at most one hop away: no connection means no IMDS.
fn is_absence(error: &NetworkError) -> bool {
    matches!(error.kind, NetworkErrorKind::Unreachable(_))
}

/// The other cloud that answered: every cloud has its metadata service at this address.
fn other_cloud(answer: &HttpResponse) -> Option<&'static str> {
    if answer.status().is_success() {
        return None;
    }
    let server = answer.headers().get(SERVER);
    let server = server
        .and_then(|server| server.to_str().ok())
        .unwrap_or_default();
    if answer.headers().contains_key("metadata-flavor") {
        Some("Google Cloud")
    } else if server.starts_with("EC2ws") {
        Some("AWS")
    } else {
        None
    }
}

/// The error outside Azure.
fn absent(why: &str) -> Error {
    Error::input(format!("no managed identity: this machine is not in Azure ({why})")).remedy(
        "--login msi works in Azure (VM, AKS, App Service, Container Apps, Arc ..); elsewhere use azurecli or devicecode. In a pod use workloadidentity, or allow 169.254.169.254 in its network policy.",
    )
}
