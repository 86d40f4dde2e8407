//! Asking the instance metadata service: as patiently as Microsoft says where it is, briefly where it is not.

use std::time::Duration;

use http::StatusCode;
use http::header::SERVER;

use crate::error::Error;
use crate::retry::{self, Deadline, LONGEST_TRY};
use crate::system::{HttpRequest, HttpResponse, NetworkError, NetworkErrorKind, System, Via};

/// The waits before the second and later tries ("How to use managed identities .. to acquire an access token", Error
/// handling: exponential, starting at a second).
const WAITS: &[Duration] = &[
    Duration::from_secs(1),
    Duration::from_secs(2),
    Duration::from_secs(4),
    Duration::from_secs(8),
    Duration::from_secs(16),
    Duration::from_secs(20),
    Duration::from_secs(20),
];

/// How often to try again where no update is under way: half a minute in all.
const RETRIES: usize = 5;

/// The way out if it is there and does not answer: no proxy is ever in play here.
const BROKEN: &str = "The instance metadata service of this machine is busy or being updated: try again in a minute; --timeout allows more time.";

/// What came of a try.
type Outcome = Result<HttpResponse, NetworkError>;

pub fn send(
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
            (None, Ok(answer)) => return Ok(answer),
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
        // An update: it ends within 70 s.
        Ok(answer) if answer.status() == StatusCode::GONE => planned,
        Ok(answer)
            if answer.status() == StatusCode::NOT_FOUND || retry::is_passing(answer.status()) =>
        {
            let asked = retry::retry_after(answer, system.now());
            planned_few.map(|planned| asked.unwrap_or(planned))
        }
        Ok(_) => None,
        Err(error) if retries == 0 && is_absence(error) => None,
        Err(error) => planned_few.filter(|_| error.is_passing()),
    }
}

/// True if nothing is at the address. Where there is an IMDS it is one hop away: no connection means no IMDS.
fn is_absence(error: &NetworkError) -> bool {
    matches!(error.kind, NetworkErrorKind::Unreachable(_))
}

/// The cloud whose own metadata service answered: the address is the same everywhere.
pub fn other_cloud(answer: &HttpResponse) -> Option<&'static str> {
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

/// The error off Azure.
pub fn absent(why: &str) -> Error {
    Error::input(format!("there is no managed identity here: this machine is not in Azure ({why})")).remedy(
        "--login msi works on Azure (VM, AKS, App Service, Container Apps, Arc ..): elsewhere use azurecli or devicecode; in a pod use workloadidentity, or allow 169.254.169.254 in its network policy.",
    )
}
