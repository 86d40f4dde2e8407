//! Whether a token is what a cluster expects: a table of causes of Unauthorized that the token itself shows.
//!
//! Facts: guard (the webhook of AKS), auth/providers/azure; AKS tokens are v1 tokens of the cluster's own tenant.

use chrono::{DateTime, TimeDelta, Utc};

use super::claims::{AKS_SERVER, Claims, Groups};
use crate::entra::authority::Version;
use crate::error::span;
use crate::token::is_guid;

/// What the token should be.
#[derive(Debug, Clone, Copy)]
pub struct Expected<'a> {
    /// `--tenant-id`, if one is set.
    pub tenant: Option<&'a str>,
    /// `--server-id`
    pub server: &'a str,
    /// v1 with `--legacy`.
    pub version: Version,
    /// True with `--pop-enabled`.
    pub is_bound: bool,
    pub now: DateTime<Utc>,
    /// True in a CI job.
    pub is_ci: bool,
}

/// A mismatch between the token and what the cluster expects.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mismatch {
    /// True if the cluster will refuse the token; false if it may.
    pub is_fatal: bool,
    pub what: String,
    pub remedy: String,
}

type Row = fn(&Claims, &Expected) -> Option<Mismatch>;

/// Each cause that the token shows, the most frequent first.
const ROWS: &[Row] = &[
    tenant,
    audience,
    prefix,
    token_version,
    lifetime,
    too_many_groups,
    binding,
    user_in_ci,
];

/// The mismatches, fatal ones first.
pub fn mismatches(claims: &Claims, expected: &Expected) -> Vec<Mismatch> {
    let found = ROWS.iter().filter_map(|row| row(claims, expected));
    let (mut fatal, rest): (Vec<_>, Vec<_>) = found.partition(|mismatch| mismatch.is_fatal);
    fatal.extend(rest);
    fatal
}

fn fatal(what: String, remedy: impl Into<String>) -> Option<Mismatch> {
    Some(Mismatch {
        is_fatal: true,
        what,
        remedy: remedy.into(),
    })
}

fn doubtful(what: String, remedy: impl Into<String>) -> Option<Mismatch> {
    let mismatch = fatal(what, remedy)?;
    Some(Mismatch {
        is_fatal: false,
        ..mismatch
    })
}

/// True if this is certainly not that tenant: a domain name cannot be compared with an ID.
pub fn is_another_tenant(wanted: &str, id: &str) -> bool {
    is_guid(wanted) && !wanted.eq_ignore_ascii_case(id)
}

fn tenant(claims: &Claims, expected: &Expected) -> Option<Mismatch> {
    let (wanted, tenant) = (expected.tenant?, claims.text("tid")?);
    if !is_another_tenant(wanted, tenant) {
        return None;
    }
    fatal(
        format!("the token is from tenant {tenant}, but --tenant-id is {wanted}"),
        format!("Sign in to tenant {wanted}; with az: az login --tenant {wanted}."),
    )
}

fn audience(claims: &Claims, expected: &Expected) -> Option<Mismatch> {
    let audience = claims.text("aud")?;
    let bare = |id: &str| {
        id.strip_prefix("spn:")
            .unwrap_or(id)
            .trim_end_matches('/')
            .to_lowercase()
    };
    // The audience of an ID URI is the application's ID.
    if bare(audience) == bare(expected.server) || expected.server.contains("://") {
        return None;
    }
    fatal(
        format!(
            "the token is for {audience}, but --server-id is {}",
            expected.server
        ),
        "Correct --server-id; AKS with managed Entra ID integration uses 6dae42f8-4368-4678-94ff-3960e28e3630.",
    )
}

/// AKS#1806, Azure/kubelogin#61, #79.
fn prefix(claims: &Claims, expected: &Expected) -> Option<Mismatch> {
    let has_prefix = claims.text("aud")?.starts_with("spn:");
    match (has_prefix, expected.version) {
        (true, Version::V2) => fatal(
            "the token's audience begins with \"spn:\", which a cluster with managed Entra ID integration refuses".into(),
            "Use another login mode or identity here, such as workloadidentity; for a legacy cluster, add --legacy.",
        ),
        (false, Version::V1) if is_guid(expected.server) => doubtful(
            "the token's audience does not begin with \"spn:\", although --legacy is set".into(),
            "Remove --legacy unless the cluster has the legacy Entra ID integration.",
        ),
        _ => None,
    }
}

fn token_version(claims: &Claims, expected: &Expected) -> Option<Mismatch> {
    (claims.text("ver")? == "2.0").then_some(())?;
    let what = "the token is a v2.0 token, and AKS accepts v1.0 tokens".to_owned();
    match expected.server.eq_ignore_ascii_case(AKS_SERVER) {
        true => fatal(
            what,
            "Check --server-id: the AKS server application issues v1.0 tokens.",
        ),
        false => doubtful(
            what,
            "Set accessTokenAcceptedVersion of the server application to 1, or check --server-id.",
        ),
    }
}

fn lifetime(claims: &Claims, expected: &Expected) -> Option<Mismatch> {
    let clock =
        "Check this machine's clock (timedatectl, w32tm /resync); then run: kubelogin logout";
    let now = expected.now;
    if let Some(end) = claims.time("exp").filter(|end| *end <= now) {
        return fatal(format!("the token expired {} ago", span(now - end)), clock);
    }
    let start = claims
        .time("nbf")
        .filter(|start| *start > now + TimeDelta::minutes(5))?;
    let early = span(start - now);
    fatal(
        format!("the token becomes valid in {early}: this machine's clock is slow"),
        clock,
    )
}

/// Guard #445: an application in more than 200 groups is rejected; for a user, AKS asks Microsoft Graph.
fn too_many_groups(claims: &Claims, _: &Expected) -> Option<Mismatch> {
    (claims.groups() == Groups::TooMany).then_some(())?;
    if claims.kind().is_application() {
        return fatal(
            format!(
                "the {} is in more than 200 groups, which AKS refuses",
                claims.kind().words()
            ),
            "Take it out of groups, or use an identity that is in fewer.",
        );
    }
    doubtful(
        "the user is in more than 200 groups, so the token lists none of them".into(),
        "The cluster has to ask Microsoft Graph; if it says Forbidden, bind the user instead of a group.",
    )
}

/// Azure/kubelogin#721.
fn binding(claims: &Claims, expected: &Expected) -> Option<Mismatch> {
    match (claims.is_bound(), expected.is_bound) {
        (true, false) => fatal(
            "the token is bound to a key (PoP), but it is sent as a bearer token".into(),
            "Add --pop-enabled and --pop-claims, or run: kubelogin logout",
        ),
        (false, true) => fatal(
            "the token is not bound to a key, although --pop-enabled is set".into(),
            "Run: kubelogin logout",
        ),
        _ => None,
    }
}

fn user_in_ci(claims: &Claims, expected: &Expected) -> Option<Mismatch> {
    (expected.is_ci && !claims.kind().is_application()).then_some(())?;
    doubtful(
        format!(
            "this is a CI job, and the token is that of the user {}",
            claims.name()
        ),
        "Use an identity of the job's own: --login workloadidentity, azurepipelines, spn or msi.",
    )
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    use serde_json::{Value, json};

    use super::*;
    use crate::secret::Secret;

    const NOW: DateTime<Utc> = DateTime::from_timestamp(1_767_225_600, 0).unwrap();
    const TENANT: &str = "11111111-aaaa-4aaa-8aaa-111111111111";
    const OTHER: &str = "22222222-aaaa-4aaa-8aaa-222222222222";

    fn expected() -> Expected<'static> {
        Expected {
            tenant: Some(TENANT),
            server: AKS_SERVER,
            version: Version::V2,
            is_bound: false,
            now: NOW,
            is_ci: false,
        }
    }

    /// A good token with some claims changed.
    fn check(changes: &Value, expected: &Expected) -> Vec<Mismatch> {
        let mut claims = json!({
            "aud": AKS_SERVER, "tid": TENANT, "upn": "a@x", "scp": "user_impersonation", "ver": "1.0",
            "iat": NOW.timestamp(), "nbf": NOW.timestamp(), "exp": NOW.timestamp() + 3600,
        });
        for (name, value) in changes.as_object().expect("an object") {
            claims[name] = value.clone();
        }
        let jwt = format!("e30.{}.sig", URL_SAFE_NO_PAD.encode(claims.to_string()));
        let claims = Claims::read(&Secret::new(jwt)).expect("claims");
        mismatches(&claims, expected)
    }

    #[test]
    fn a_good_token_fits() {
        assert_eq!(check(&json!({}), &expected()), []);
        let by_domain = Expected {
            tenant: Some("contoso.example"),
            ..expected()
        };
        assert_eq!(check(&json!({}), &by_domain), []);
    }

    #[test]
    fn each_cause_that_a_token_shows_is_named() {
        let app = json!({"idtyp": "app", "hasgroups": true});
        for (changes, expected, is_fatal, word) in [
            (json!({"tid": OTHER}), expected(), true, OTHER),
            (json!({"aud": "other"}), expected(), true, "--server-id"),
            (
                json!({"aud": format!("spn:{AKS_SERVER}")}),
                expected(),
                true,
                "spn:",
            ),
            (
                json!({}),
                Expected {
                    version: Version::V1,
                    ..expected()
                },
                false,
                "--legacy",
            ),
            (json!({"ver": "2.0"}), expected(), true, "v2.0"),
            (
                json!({"exp": NOW.timestamp() - 120}),
                expected(),
                true,
                "expired 2 minutes ago",
            ),
            (
                json!({"nbf": NOW.timestamp() + 3600}),
                expected(),
                true,
                "clock",
            ),
            (app, expected(), true, "200 groups"),
            (json!({"hasgroups": true}), expected(), false, "200 groups"),
            (json!({"cnf": {"kid": "k"}}), expected(), true, "bound"),
            (
                json!({}),
                Expected {
                    is_bound: true,
                    ..expected()
                },
                true,
                "--pop-enabled",
            ),
            (
                json!({}),
                Expected {
                    is_ci: true,
                    ..expected()
                },
                false,
                "CI job",
            ),
        ] {
            let found = check(&changes, &expected);
            assert_eq!(found.len(), 1, "{changes}: {found:?}");
            assert_eq!(found[0].is_fatal, is_fatal, "{found:?}");
            assert!(found[0].what.contains(word), "{found:?}");
        }
    }
}
