//! Checks the connection to Entra ID.

use std::net::SocketAddr;
use std::time::Duration;

use chrono::{DateTime, Utc};
use http::header::DATE;
use serde_json::Value;

use super::case::{Case, STEP, Steps};
use super::{Outcome, failure, fine, good, skipped, warning};
use crate::entra::authority::{Authority, AuthorityHost};
use crate::entra::cloud::Cloud;
use crate::env;
use crate::error::span;
use crate::login_mode::{LoginMode, Source};
use crate::options::Options;
use crate::system::{HttpResponse, NetworkError, NetworkErrorKind, System, Via};

/// If the clock is off by more, there is a warning; if by much more, assertions fail.
const SMALL_SKEW: i64 = 60;
const LARGE_SKEW: i64 = 300;
/// Time limit for a host that is on this machine or one hop away.
const NEAR: Duration = Duration::from_secs(1);
/// The managed identity endpoint of virtual machines.
const IMDS: SocketAddr = SocketAddr::new(
    std::net::IpAddr::V4(std::net::Ipv4Addr::new(169, 254, 169, 254)),
    80,
);

/// What Entra ID answered.
#[derive(Default)]
pub struct EntraProbe {
    host: String,
    steps: Steps,
    answer: Option<Result<HttpResponse, NetworkError>>,
    received: Option<DateTime<Utc>>,
}

impl EntraProbe {
    pub fn of(case: &Case) -> Option<Self> {
        let options = case.options()?;
        let uri = host(options)?;
        let steps = Steps::to(&uri, None, case.system);
        let mut probe = Self {
            host: uri.host().unwrap_or_default().to_owned(),
            steps,
            ..Self::default()
        };
        if probe.steps.is_connected() {
            let request = http::Request::get(uri).body(Vec::new()).ok()?;
            probe.answer = Some(case.system.send(&request, Via::EnvironmentProxy, STEP));
            probe.received = Some(case.system.now());
        }
        Some(probe)
    }

    fn certificate_problem(&self) -> Option<&NetworkError> {
        match &self.answer {
            Some(Err(error)) => Some(error),
            _ => None,
        }
    }
}

/// Where the tenant's OpenID configuration is; `None` for a login that does not go to Entra ID itself.
pub fn host(options: &Options) -> Option<http::Uri> {
    if options.login.source() != Source::Entra {
        return None;
    }
    let host = match &options.authority_host {
        Some(host) => host.clone(),
        None => AuthorityHost::of_cloud(options.cloud, options.stack_file.as_deref()).ok()?,
    };
    let authority = Authority::new(host, options.tenant_id.as_deref()?).ok()?;
    authority.discovery_url().parse().ok()
}

fn probe<'c>(case: &'c Case) -> Result<&'c EntraProbe, Outcome> {
    case.entra.as_ref().ok_or_else(|| skipped("no tenant"))
}

/// The result of the first step to a host: DNS.
pub fn step_dns(host: &str, steps: &Steps) -> Outcome {
    let (host, what) = match &steps.proxy {
        Some(proxy) => (proxy.as_str(), "the proxy "),
        None => (host, ""),
    };
    match &steps.dns {
        None => skipped("not asked"),
        // An IP address needs no DNS.
        Some(Ok(addresses)) if *addresses == [host.trim_matches(['[', ']'])] => {
            fine(format!("{host} is an address"))
        }
        Some(Ok(addresses)) => good(format!("{what}{host} is {}", addresses.join(", "))),
        Some(Err(error)) => match &error.kind {
            NetworkErrorKind::TimedOut => {
                failure(format!("no name server answered for {what}{host}"))
            }
            NetworkErrorKind::Unreachable(why) => {
                failure(format!("the name {what}{host} cannot be resolved: {why}"))
            }
            _ => failure(error.to_string()),
        },
    }
}

/// The result of the second step to a host: TCP.
pub fn step_tcp(host: &str, steps: &Steps) -> Outcome {
    let host = match &steps.proxy {
        Some(proxy) => format!("the proxy {proxy}"),
        None => host.to_owned(),
    };
    match &steps.tcp {
        None => skipped("its name was not resolved"),
        Some(Ok(())) => fine(format!("{host} accepts connections")),
        Some(Err(error)) => match &error.kind {
            NetworkErrorKind::TimedOut => {
                failure(format!("{host} does not accept connections: no response"))
            }
            NetworkErrorKind::Unreachable(why) => {
                failure(format!("{host} does not accept connections: {why}"))
            }
            _ => failure(error.to_string()),
        },
    }
}

pub fn dns(case: &Case) -> Outcome {
    match probe(case) {
        Err(outcome) => outcome,
        Ok(probe) => step_dns(&probe.host, &probe.steps),
    }
}

pub fn tcp(case: &Case) -> Outcome {
    match probe(case) {
        Err(outcome) => outcome,
        Ok(probe) => step_tcp(&probe.host, &probe.steps),
    }
}

pub fn tls(case: &Case) -> Outcome {
    let probe = match probe(case) {
        Err(outcome) => return outcome,
        Ok(probe) => probe,
    };
    if probe.answer.is_none() {
        return skipped("no connection");
    }
    match probe.certificate_problem() {
        None => fine("the certificate is trusted"),
        Some(error) => {
            let outcome = failure(error.to_string());
            match error.kind {
                NetworkErrorKind::Certificate(_)
                | NetworkErrorKind::Tls(_)
                | NetworkErrorKind::TrustStore(_) => outcome,
                NetworkErrorKind::Proxy(_) | NetworkErrorKind::ProxyFailed(_) => {
                    outcome.with("Correct HTTPS_PROXY, or add the host to NO_PROXY.")
                }
                _ => outcome.with("Try again; a firewall may be breaking the connection."),
            }
        }
    }
}

fn answer<'c>(case: &'c Case) -> Result<(&'c EntraProbe, &'c HttpResponse), Outcome> {
    let probe = probe(case)?;
    match &probe.answer {
        Some(Ok(answer)) => Ok((probe, answer)),
        _ => Err(skipped("no response from Entra ID")),
    }
}

/// AADSTS90002.
pub fn tenant(case: &Case) -> Outcome {
    let (probe, answer) = match answer(case) {
        Err(outcome) => return outcome,
        Ok(both) => both,
    };
    let tenant = case
        .options()
        .and_then(|options| options.tenant_id.as_deref())
        .unwrap_or_default();
    let host = &probe.host;
    let body: Value = serde_json::from_slice(answer.body()).unwrap_or_default();
    let instance = body["cloud_instance_name"].as_str();
    if let (Some(cloud), Some(options)) = (instance.and_then(Cloud::of_instance), case.options())
        && ![cloud, Cloud::Stack].contains(&options.cloud)
        && Cloud::of_host(host) != Some(cloud)
    {
        let name = cloud.name();
        return failure(format!("tenant {tenant} is in the cloud {name}"))
            .with(format!("Set --environment {name} in the args of the user."));
    }
    if body["issuer"].is_string() {
        return good(format!("tenant {tenant} at {host}"));
    }
    let code = body["error_description"].as_str().unwrap_or_default();
    if code.contains("AADSTS90002") || body["error"] == "invalid_tenant" {
        return failure(format!(
            "there is no tenant {tenant} at {host} (AADSTS90002)"
        ));
    }
    let status = answer.status();
    warning(format!(
        "{host} answers {status} instead of the OpenID configuration of tenant {tenant}"
    ))
}

pub fn clock(case: &Case) -> Outcome {
    let (probe, answer) = match answer(case) {
        Err(outcome) => return outcome,
        Ok(both) => both,
    };
    let date = answer
        .headers()
        .get(DATE)
        .and_then(|date| date.to_str().ok());
    let date = date.and_then(|date| DateTime::parse_from_rfc2822(date).ok());
    let (Some(date), Some(now)) = (date, probe.received) else {
        return skipped("the response from Entra ID has no date");
    };
    let skew = now - date.with_timezone(&Utc);
    let direction = if skew.num_seconds() < 0 {
        "behind"
    } else {
        "ahead of"
    };
    let what = format!(
        "this machine's clock is {} {direction} Entra ID's",
        span(skew)
    );
    match skew.num_seconds().abs() {
        LARGE_SKEW.. => failure(what),
        SMALL_SKEW.. => warning(what),
        _ => good("the clock is right"),
    }
}

/// Whether anything answers at the managed identity endpoint.
pub fn imds(case: &Case) -> Outcome {
    let Some(options) = case.options() else {
        return skipped("no login");
    };
    if options.login != LoginMode::Msi {
        return fine("this login mode does not use it");
    }
    let env = case.subject().map_or(case.env, |subject| &subject.env);
    let names = [env::IDENTITY_ENDPOINT, env::MSI_ENDPOINT];
    let Some(name) = names.into_iter().find(|name| env.get(name).is_some()) else {
        return match reaches(case, &IMDS.ip().to_string(), &[IMDS]) {
            true => good("the managed identity endpoint answers"),
            false => failure(format!(
                "nothing answers at {}: --login msi works only on machines in Azure",
                IMDS.ip()
            )),
        };
    };
    let uri: http::Uri = env
        .get(name)
        .unwrap_or_default()
        .parse()
        .unwrap_or_default();
    let host = uri.host().unwrap_or_default();
    let usual = if uri.scheme_str() == Some("https") {
        443
    } else {
        80
    };
    let port = uri.port_u16().unwrap_or(usual);
    let addresses = case.system.resolve(host, port, NEAR).unwrap_or_default();
    match reaches(case, host, &addresses) {
        true => good("the managed identity endpoint answers"),
        false => failure(format!(
            "nothing answers at {host}:{port}, the managed identity endpoint that {name} names"
        ))
        .with(format!(
            "If Azure set {name} here, restart that service or app; otherwise unset it."
        )),
    }
}

fn reaches(case: &Case, host: &str, addresses: &[SocketAddr]) -> bool {
    case.system.connect(host, addresses, NEAR).is_ok()
}
