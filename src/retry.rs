//! Retrying requests a few times, within a deadline.

use std::time::Duration;

use chrono::{DateTime, Utc};
use http::StatusCode;
use http::header::RETRY_AFTER;

use crate::error::{Error, duration};
use crate::system::{
    CertificateFault, HttpRequest, HttpResponse, NetworkError, NetworkErrorKind, System, Via,
};

/// The time by which a login must finish, on the clock of [`System::elapsed`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Deadline {
    end: Duration,
    bound: Duration,
}

impl Deadline {
    /// A deadline `bound` from now.
    pub fn after(system: &dyn System, bound: Duration) -> Self {
        Self {
            end: system.elapsed().saturating_add(bound),
            bound,
        }
    }

    /// The time that is left; zero once the deadline has passed.
    pub fn remaining(self, system: &dyn System) -> Duration {
        self.end.saturating_sub(system.elapsed())
    }
}

/// The waits before the second and later attempts.
const WAITS: &[Duration] = &[
    Duration::from_millis(500),
    Duration::from_millis(1500),
    Duration::from_millis(4500),
];

/// The longest that an attempt may take, so that a host that hangs once is retried within the default timeout.
pub const LONGEST_TRY: Duration = Duration::from_secs(25);

/// How the previous attempts failed, for the error about the last one.
pub type Earlier = Option<String>;

/// Sends a request, and again after a transient failure (no connection, 408, 429, 5xx); never after any other response.
///
/// # Errors
/// The last attempt got no response; the error names the host and what it last did. A response of any status is `Ok`.
pub fn send(
    system: &dyn System,
    request: &HttpRequest,
    via: Via,
    deadline: Deadline,
) -> Result<HttpResponse, Error> {
    send_by(system, deadline, |timeout| {
        system.send(request, via, timeout)
    })
}

/// The same with another way to send: `attempt` sends the request once, within the time it is given.
///
/// # Errors
/// As [`send`].
pub fn send_by(
    system: &dyn System,
    deadline: Deadline,
    mut attempt: impl FnMut(Duration) -> Result<HttpResponse, NetworkError>,
) -> Result<HttpResponse, Error> {
    let mut earlier: Earlier = None;
    for retry in 0.. {
        let remaining = deadline.remaining(system);
        let outcome = attempt(remaining.min(LONGEST_TRY));
        let remaining = deadline.remaining(system);
        match next_wait(&outcome, retry, remaining, system.now()) {
            Some(wait) => {
                earlier = Some(describe(&outcome));
                system.sleep(wait);
            }
            None => {
                return outcome
                    .map_err(|error| network_error(&error, earlier, remaining, deadline));
            }
        }
    }
    unreachable!("the waits end")
}

/// How long to wait before the next attempt; `None` to give up.
pub fn next_wait(
    outcome: &Result<HttpResponse, NetworkError>,
    retries: usize,
    remaining: Duration,
    now: DateTime<Utc>,
) -> Option<Duration> {
    let waits = match outcome {
        // No network at all: fail soon, and let the user try again.
        Err(error) if matches!(error.kind, NetworkErrorKind::Unreachable(_)) => &WAITS[..2],
        _ => WAITS,
    };
    let planned = *waits.get(retries)?;
    let wait = match outcome {
        Ok(answer) if is_passing(answer.status()) => retry_after(answer, now).unwrap_or(planned),
        Ok(_) => return None,
        Err(error) if error.is_passing() => planned,
        Err(_) => return None,
    };
    (wait < remaining).then_some(wait)
}

/// True for the statuses of a service that is busy or temporarily unavailable.
pub fn is_passing(status: StatusCode) -> bool {
    status.is_server_error()
        || matches!(
            status,
            StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS
        )
}

/// `Retry-After`, in seconds or as a date (RFC 9110 section 10.2.3).
pub fn retry_after(answer: &HttpResponse, now: DateTime<Utc>) -> Option<Duration> {
    let text = answer.headers().get(RETRY_AFTER)?.to_str().ok()?.trim();
    let date = || {
        DateTime::parse_from_rfc2822(text)
            .ok()?
            .to_utc()
            .signed_duration_since(now)
            .to_std()
            .ok()
    };
    text.parse().ok().map(Duration::from_secs).or_else(date)
}

/// How an attempt ended, for the error about a later one.
pub fn describe(outcome: &Result<HttpResponse, NetworkError>) -> String {
    match outcome {
        Ok(answer) => format!("it answered {}", answer.status()),
        Err(error) => error.to_string(),
    }
}

/// The error for a last attempt without a response, with `remaining` time left until the `deadline`, and the fix.
pub fn network_error(
    error: &NetworkError,
    earlier: Earlier,
    remaining: Duration,
    deadline: Deadline,
) -> Error {
    let mut what = error.to_string();
    if error.kind == NetworkErrorKind::TimedOut && remaining.is_zero() {
        let bound = duration(deadline.bound);
        what = format!("{} did not answer within {bound}", error.host);
    }
    if let Some(earlier) = earlier.filter(|earlier| *earlier != what) {
        what = format!("{what}; before that, {earlier}");
    }
    let kind = &error.kind;
    let error = match kind {
        NetworkErrorKind::Certificate(_)
        | NetworkErrorKind::Tls(_)
        | NetworkErrorKind::Settings(_)
        | NetworkErrorKind::TrustStore(_) => Error::input(what),
        _ => Error::outside(what),
    };
    error.remedy(match kind {
        NetworkErrorKind::Certificate(bad) => match bad.fault {
            CertificateFault::Issuer => {
                "If your company's proxy inspects TLS, add its CA to this machine's trust store, or set SSL_CERT_FILE to a file with it."
            }
            CertificateFault::Date => {
                "Check this machine's clock. If it is right, the certificate of that host (or of a proxy in between) must be renewed."
            }
            CertificateFault::Name => {
                "Another server answers in its place: check DNS, HTTPS_PROXY and --authority-host."
            }
            CertificateFault::Other => "Check HTTPS_PROXY and NO_PROXY, and who runs that host.",
        },
        NetworkErrorKind::Tls(_) => "Check HTTPS_PROXY and NO_PROXY, and who runs that host.",
        NetworkErrorKind::Settings(_) => "Check the CA, client certificate and TLS name that are configured for that host.",
        NetworkErrorKind::TrustStore(why) if why.starts_with("SSL_CERT") => {
            "Set it to CA certificates in PEM format, or unset it to use those of this machine."
        }
        NetworkErrorKind::TrustStore(_) => {
            "Install them (on most systems, the package ca-certificates), or set SSL_CERT_FILE to a PEM file with them."
        }
        NetworkErrorKind::Proxy(_) | NetworkErrorKind::ProxyFailed(_) => "Check HTTPS_PROXY and NO_PROXY.",
        NetworkErrorKind::TimedOut => "Check the network and HTTPS_PROXY, or allow more time with --timeout.",
        NetworkErrorKind::Unreachable(_) | NetworkErrorKind::Broken(_) | NetworkErrorKind::BodyTooLarge(_) => {
            "Check the network, DNS, HTTPS_PROXY and NO_PROXY."
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::system::fake::FakeSystem;

    fn request() -> HttpRequest {
        http::Request::post("https://login.example/t")
            .body(Vec::new())
            .expect("request")
    }

    fn refused() -> NetworkError {
        let kind = NetworkErrorKind::Unreachable("connection refused".into());
        NetworkError {
            host: "login.example".into(),
            kind,
        }
    }

    fn run(system: &FakeSystem, bound: u64) -> Result<HttpResponse, Error> {
        let deadline = Deadline::after(system, Duration::from_secs(bound));
        send(system, &request(), Via::EnvironmentProxy, deadline)
    }

    #[test]
    fn a_transient_failure_is_retried() {
        for passing in [408, 429, 500, 502, 503, 504] {
            let system = FakeSystem::new([
                FakeSystem::json(passing, ""),
                Err(refused()),
                FakeSystem::json(200, ""),
            ]);
            assert_eq!(run(&system, 60).expect("answer").status(), 200);
            assert_eq!(system.naps(), WAITS[..2]);
        }
    }

    #[test]
    fn with_no_network_at_all_the_retries_end_within_two_seconds() {
        let system = FakeSystem::new((0..3).map(|_| Err(refused())));
        run(&system, 60).expect_err("no network");
        let waited: Duration = system.naps().iter().sum();
        assert_eq!(waited, Duration::from_secs(2));
        assert_eq!(system.requests().len(), 3);
    }

    #[test]
    fn any_other_response_is_final() {
        for status in [200, 307, 400, 401, 404] {
            let system = FakeSystem::new([FakeSystem::json(status, "")]);
            assert_eq!(run(&system, 60).expect("answer").status(), status);
            assert_eq!(system.naps(), [Duration::ZERO; 0]);
        }
    }

    #[test]
    fn a_certificate_problem_is_reported_at_once_with_advice_for_what_is_wrong_with_it() {
        use CertificateFault::{Date, Issuer, Name, Other};
        for (fault, advice) in [
            (Issuer, "SSL_CERT_FILE"),
            (Date, "this machine's clock"),
            (Name, "Another server"),
            (Other, "who runs that host"),
        ] {
            let system = FakeSystem::new([Err(NetworkError {
                host: "login.example".into(),
                kind: fault.because("it is odd"),
            })]);
            let error = run(&system, 60).expect_err("refused").to_string();
            assert!(
                error.contains("login.example is not accepted: it is odd")
                    && error.contains(advice),
                "{error}"
            );
            assert_eq!(error.contains("SSL_CERT_FILE"), fault == Issuer, "{error}");
            assert_eq!(system.naps(), [Duration::ZERO; 0]);
        }
    }

    #[test]
    fn attempts_are_few_and_the_last_response_is_the_outcome() {
        let system = FakeSystem::new((0..4).map(|_| FakeSystem::json(503, "")));
        assert_eq!(run(&system, 60).expect("answer").status(), 503);
        assert_eq!(system.requests().len(), 4);
    }

    #[test]
    fn retry_after_is_honoured_only_within_the_deadline() {
        let busy = |seconds| {
            let answer = http::Response::builder()
                .status(429)
                .header(RETRY_AFTER, seconds);
            Ok(answer.body(Vec::new()).expect("answer"))
        };
        for seven_seconds in ["7", "Thu, 01 Jan 2026 00:00:07 GMT"] {
            let system = FakeSystem::new([busy(seven_seconds), FakeSystem::json(200, "")]);
            assert_eq!(run(&system, 60).expect("answer").status(), 200);
            assert_eq!(system.naps(), [Duration::from_secs(7)]);
        }
        let system = FakeSystem::new([busy("61")]);
        assert_eq!(run(&system, 60).expect("answer").status(), 429);
    }

    #[test]
    fn when_time_runs_out_the_error_names_the_host_and_its_last_response() {
        let system = FakeSystem::new([FakeSystem::json(503, ""), Err(refused())]);
        let error = run(&system, 1).expect_err("no time").to_string();
        assert!(
            error.contains("no connection to login.example: connection refused"),
            "{error}"
        );
        assert!(error.contains("before that, it answered 503"), "{error}");
    }
}
