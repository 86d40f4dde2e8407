//! Checks the cluster: whether the API server is reachable, and what it says about the token.

use super::case::Case;
use super::entra::{step_dns, step_tcp};
use super::{Outcome, Problem, failed, failure, fine, good, skipped, warning};
use crate::api_server::{Rbac, Refusal, Verdict, rbac};
use crate::command::explain::{self, Cause};
use crate::command::whoami::report::ClusterSees;
use crate::system::NetworkErrorKind;

pub fn server(case: &Case) -> Outcome {
    match &case.api_server {
        None => skipped("no cluster"),
        Some(Err(error)) => failed(error),
        Some(Ok(server)) if server.trusts_anyone() => warning(format!(
            "insecure-skip-tls-verify is on: anyone on the network path to {} can steal the token",
            host(case)
        ))
        .with("Remove it and add the cluster's certificate authority: kubelogin get-credentials CLUSTER --overwrite-existing"),
        Some(Ok(server)) => fine(server.uri().to_string()),
    }
}

fn host<'c>(case: &'c Case) -> &'c str {
    case.server()
        .and_then(|server| server.uri().host())
        .unwrap_or_default()
}

pub fn dns(case: &Case) -> Outcome {
    step_dns(host(case), &case.api.steps)
}

pub fn tcp(case: &Case) -> Outcome {
    let outcome = step_tcp(host(case), &case.api.steps);
    let addresses = match &case.api.steps.dns {
        Some(Ok(addresses)) => addresses.as_slice(),
        _ => &[],
    };
    match (
        &outcome,
        addresses.iter().find(|address| is_private(address)),
    ) {
        (Outcome::Failure(problem), Some(address)) if case.api.steps.proxy.is_none() => {
            failure(format!(
                "{} ({address} is a private address: this is a private cluster)",
                problem.what
            ))
            .with("Connect to its network (VPN, peering), or use: az aks command invoke")
        }
        _ => outcome,
    }
}

fn is_private(address: &str) -> bool {
    address
        .parse()
        .is_ok_and(|address: std::net::Ipv4Addr| address.is_private())
}

pub fn tls(case: &Case) -> Outcome {
    let greeting = match &case.api.greeting {
        None => return skipped("no connection"),
        Some(Err(error)) => {
            let outcome = failure(error.to_string());
            return match error.kind {
                NetworkErrorKind::Certificate(_)
                | NetworkErrorKind::Tls(_)
                | NetworkErrorKind::Settings(_)
                | NetworkErrorKind::TrustStore(_) => outcome,
                NetworkErrorKind::Proxy(_) | NetworkErrorKind::ProxyFailed(_) => outcome.with("Correct proxy-url or HTTPS_PROXY, or add the host to NO_PROXY."),
                _ => outcome.with("Something accepts the connection but does not answer: check the firewall and proxy in front of the cluster."),
            };
        }
        Some(Ok(greeting)) => greeting,
    };
    match (&greeting.oddity, &greeting.version) {
        (Some(oddity), _) => failure(format!("{} answered with {oddity}", host(case)))
            .with("Another server is at this address: check the cluster's server and proxy-url."),
        (None, Some(version)) => good(format!("Kubernetes {version}")),
        (None, None) => good("the API server answers"),
    }
}

pub fn auth(case: &Case) -> Outcome {
    match &case.api.sees {
        None | Some(ClusterSees::Nothing) => skipped("see api.tls"),
        Some(ClusterSees::Identity(identity)) => {
            good(format!("the cluster sees {}", identity.username))
        }
        // Kubernetes before 1.26, or a cluster that does not allow everyone to ask.
        Some(ClusterSees::SomeUser) => good("the cluster accepts the user"),
        Some(ClusterSees::Refused(Cause { what, remedy })) => failure(what).with(remedy),
        Some(ClusterSees::Unreachable(why)) => failure(why).with("Try again."),
    }
}

pub fn authz(case: &Case) -> Outcome {
    if case.own().is_some() {
        return skipped("not checked for users that sign in without kubelogin");
    }
    let verdict = match &case.api.may_list {
        None => return skipped("see api.tls"),
        Some(Err(error)) => return failure(error.to_string()).with("Try again."),
        Some(Ok(verdict)) => verdict,
    };
    let denied = |by: Rbac, user: Option<&str>| {
        let claims = case.fetched().and_then(|fetched| fetched.claims.as_ref());
        let reason = explain::forbidden(by, user, claims, case.now, &case.context_flag());
        let Cause { what, remedy } = reason.after("Forbidden to list pods");
        failure(what).with(remedy)
    };
    match verdict {
        Verdict::Yes(Ok(())) => good("listing pods is allowed"),
        // The user may not need what Kubernetes RBAC does not grant; Azure RBAC says why.
        Verdict::Yes(Err(reason)) => soften(denied(rbac(reason), None)),
        Verdict::No(Refusal::Forbidden { user, by, .. }) => denied(*by, user.as_deref()),
        Verdict::No(Refusal::Unauthorized) => skipped("see api.auth"),
        Verdict::NotOffered => skipped("the cluster could not be asked"),
        Verdict::Odd(_) => skipped("see api.auth"),
    }
}

/// A failure as a warning: listing pods is only a sample of the user's permissions.
fn soften(outcome: Outcome) -> Outcome {
    match outcome {
        Outcome::Failure(Problem { what, remedy }) => Outcome::Warning(Problem { what, remedy }),
        other => other,
    }
}
