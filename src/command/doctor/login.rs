//! Checks the login itself: its mode, its files, its helpers, its token.

use std::path::Path;
use std::time::Duration;

use chrono::TimeDelta;

use super::case::Case;
use super::{Outcome, Problem, failed, failure, fine, good, skipped, warning};
use crate::command::subject::Subject;
use crate::entra::access_token::claims::Claims;
use crate::entra::access_token::fit::mismatches;
use crate::entra::certificate::CertificateFile;
use crate::error::span;
use crate::flag::Flag;
use crate::login::federated_token::file;
use crate::login::{self, SignedIn, Standing};
use crate::login_mode::{LoginMode, Source};
use crate::secret::Secret;
use crate::system::on_path;

/// A certificate that expires sooner gets a warning.
const SOON: TimeDelta = TimeDelta::days(14);

/// Microsoft's managed Conditional Access policy "Block device code flow" (2025) even blocks the refresh of such
/// sign-ins.
pub fn mode(case: &Case) -> Outcome {
    let Some(options) = case.options() else {
        return skipped("no login");
    };
    let login = options.login;
    let given = case
        .subject()
        .is_some_and(|subject| subject.flags.is_given(Flag::Login));
    if let Some(choice) = case.subject().and_then(Subject::choice) {
        let (name, reason) = (choice.name(), choice.reason);
        return good(format!("--login auto chose {name}: {reason}"));
    }
    match (login, given) {
        (LoginMode::DeviceCode, false) => warning(
            "no --login is set, so a device code is used, which many tenants block with Conditional Access",
        )
        .with(format!("Choose one: kubelogin convert-kubeconfig -l interactive{}", case.context_flag())),
        _ => good(format!("--login {login}")),
    }
}

/// AADSTS700027, 700024, 700211 to 700213.
pub fn files(case: &Case) -> Outcome {
    let Some(options) = case.options() else {
        return skipped("no login");
    };
    match options.login {
        LoginMode::Spn => match options.text(Flag::ClientCertificate) {
            Some(path) => certificate(
                case,
                Path::new(path),
                options.secret(Flag::ClientCertificatePassword),
                options.timeout.duration,
            ),
            None => fine("no certificate is used"),
        },
        LoginMode::WorkloadIdentity => match options.text(Flag::FederatedTokenFile) {
            Some(path) => federated_token(case, Path::new(path), options.timeout.duration),
            None => fine("the token does not come from a file"),
        },
        _ => fine("this login mode uses no files"),
    }
}

fn certificate(case: &Case, path: &Path, password: Option<Secret>, patience: Duration) -> Outcome {
    let opened =
        CertificateFile::read(path, password, patience).and_then(|file| file.open(case.now));
    let certificate = match opened {
        Ok(certificate) => certificate,
        Err(error) => return failed(&error),
    };
    let shown = path.display();
    let Some((thumbprint, end)) = certificate.for_people() else {
        return good(format!("the certificate {shown} matches its key"));
    };
    let told = format!("the certificate {shown} with the thumbprint {thumbprint}");
    match end - case.now {
        left if left < SOON => warning(format!("{told} expires in {}", span(left)))
            .with("Renew it, and register the new one for the application in Entra ID."),
        _ => good(format!("{told} is valid until {}", end.format("%Y-%m-%d"))),
    }
}

fn federated_token(case: &Case, path: &Path, patience: Duration) -> Outcome {
    let shown = path.display();
    let text = match file::read_within(path, patience) {
        Ok(text) => Secret::new(text.expose().trim()),
        Err(error) => {
            return failure(format!(
                "the federated token {shown} cannot be read: {error}"
            ))
            .with(
                "Mount it again, or correct --federated-token-file (AZURE_FEDERATED_TOKEN_FILE).",
            );
        }
    };
    let Some(claims) = Claims::read(&text) else {
        return failure(format!("the federated token {shown} is not a JWT"))
            .with("Write the token itself into the file, and nothing else.");
    };
    let told = |name| claims.text(name).unwrap_or("none");
    let presented = format!("issuer {}, subject {}", told("iss"), told("sub"));
    if let Some(end) = claims.time("exp").filter(|end| *end <= case.now) {
        let ago = span(case.now - end);
        return failure(format!(
            "the federated token {shown} expired {ago} ago ({presented})"
        ))
        .with("Get a new one: in a long CI job, request the token again before running kubectl.");
    }
    good(format!("federated token with {presented}"))
}

/// The program that signs in.
pub fn tool(case: &Case) -> Outcome {
    let Some(options) = case.options() else {
        return skipped("no login");
    };
    let Source::Program(names) = options.login.source() else {
        return fine("this login runs no other program");
    };
    let env = case.subject().map_or(case.env, |subject| &subject.env);
    let found = names
        .iter()
        .find_map(|name| on_path(name, env).into_iter().next());
    let Some(path) = found else {
        let name = names[0];
        return failure(format!(
            "--login {} runs {name}, which is not on PATH",
            options.login
        ))
        .with(format!("Install {name}, or put its folder on PATH."));
    };
    let tenant = options.tenant_id.as_deref();
    let standing = login::standing(options.login, env, tenant);
    standing
        .and_then(|standing| not_signed_in(&standing, tenant))
        .unwrap_or_else(|| good(path.display().to_string()))
}

/// What is wrong with the program's account; `None` if nothing.
fn not_signed_in(standing: &Standing, tenant: Option<&str>) -> Option<Outcome> {
    let name = standing.product.name;
    let place = standing.file.as_ref();
    let place = place.map_or_else(String::new, |file| format!(" ({})", file.display()));
    let sign_in = standing.product.sign_in_to(tenant);
    match standing.signed_in {
        SignedIn::As(_) => None,
        SignedIn::Nobody => Some(failure(format!("{name} is not signed in{place}")).with(sign_in)),
        SignedIn::Elsewhere => Some(
            warning(format!(
                "{name} is signed in, but not to tenant {}{place}",
                tenant.unwrap_or_default()
            ))
            .with(sign_in),
        ),
    }
}

pub fn token(case: &Case) -> Outcome {
    match &case.token {
        None => skipped("no login"),
        Some(Ok(fetched)) => {
            let name = fetched.claims.as_ref().map_or("unknown", Claims::name);
            let left = span(fetched.token.expires_on - case.now);
            good(format!("signed in as {name} for {left} more"))
        }
        Some(Err(error)) if Case::is_not_signed_in(error) => {
            let (what, _) = error.parts();
            warning(what).with(format!(
                "Sign in: kubelogin whoami --sign-in{}",
                case.context_flag()
            ))
        }
        Some(Err(error)) => failed(error),
    }
}

/// What the token shows without asking the cluster.
pub fn fit(case: &Case) -> Outcome {
    let claims = case.fetched().and_then(|fetched| fetched.claims.as_ref());
    let (Some(claims), Some(expected)) = (claims, case.expected()) else {
        return failure("the token is not a JWT, which is the only kind that AKS accepts")
            .with("Check --server-id and --login.");
    };
    let Some(first) = mismatches(claims, &expected).into_iter().next() else {
        return fine("the token is what this login asks for");
    };
    let problem = Problem {
        what: first.what,
        remedy: first.remedy,
    };
    match first.is_fatal {
        true => Outcome::Failure(problem),
        false => Outcome::Warning(problem),
    }
}
