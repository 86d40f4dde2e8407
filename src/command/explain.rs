//! Why a cluster says Unauthorized or Forbidden: tables of causes, judged by the token and the response.
//!
//! Facts: guard, authz/providers/azure/rbac; Microsoft, "Use Kubernetes RBAC with Microsoft Entra ID in AKS".

use chrono::{DateTime, TimeDelta, Utc};

use crate::api_server::Rbac;
use crate::entra::access_token::claims::{Claims, Groups};
use crate::entra::access_token::fit::{self, Expected};
use crate::error::span;

/// A reason, and what to do about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cause {
    pub what: String,
    pub remedy: String,
}

impl Cause {
    /// With the cluster's own word before it.
    pub fn after(self, word: &str) -> Self {
        Self {
            what: format!("{word}: {}", self.what),
            ..self
        }
    }
}

/// Explains why the cluster does not accept a token.
pub fn unauthorized(claims: Option<&Claims>, expected: &Expected) -> Cause {
    why_unauthorized(claims, expected).after("Unauthorized")
}

/// What the token shows, or else the remaining cause.
fn why_unauthorized(claims: Option<&Claims>, expected: &Expected) -> Cause {
    let Some(claims) = claims else {
        return Cause {
            what: "the token is not a JWT, which is the only kind that AKS accepts".into(),
            remedy: "Check --server-id and --login.".into(),
        };
    };
    let mut fatal = fit::mismatches(claims, expected).into_iter();
    if let Some(mismatch) = fatal.find(|mismatch| mismatch.is_fatal) {
        return Cause {
            what: mismatch.what,
            remedy: mismatch.remedy,
        };
    }
    Cause {
        what: format!(
            "the token matches the kubeconfig, so the cluster expects something else: another tenant than {}, another \
             server ID, or no Entra ID token at all (the integration is off, or it cannot reach Entra ID)",
            claims.text("tid").unwrap_or("this one")
        ),
        remedy: "Compare with the cluster: az aks show --resource-group GROUP --name CLUSTER --query aadProfile".into(),
    }
}

/// Why the cluster accepts the token and denies access. `context` is the flag for commands about this context, or empty.
pub fn forbidden(
    by: Rbac,
    user: Option<&str>,
    claims: Option<&Claims>,
    now: DateTime<Utc>,
    context: &str,
) -> Cause {
    let name = user
        .or_else(|| claims.and_then(Claims::aks_user_name))
        .unwrap_or("this identity");
    let object_id = claims
        .and_then(|claims| claims.text("oid"))
        .unwrap_or("OBJECT-ID");
    match by {
        Rbac::Azure => Cause {
            what: format!("Azure RBAC is on for this cluster, and {name} has no role assignment that allows it"),
            remedy: format!(
                "az role assignment create --assignee-object-id {object_id} --role \"Azure Kubernetes Service RBAC Reader\" \
                 --scope CLUSTER-RESOURCE-ID; a new assignment takes up to 5 minutes."
            ),
        },
        Rbac::AzureFailed => Cause {
            what: "the cluster could not reach Azure RBAC".into(),
            remedy: "Try again in a minute; if it persists, check the cluster's egress to management.azure.com.".into(),
        },
        Rbac::Kubernetes => Cause {
            what: format!("Kubernetes RBAC: no role binding allows {name}{}", hint(claims, now, context)),
            remedy: format!(
                "An administrator can bind it: kubectl create clusterrolebinding NAME --clusterrole=view --user={name}"
            ),
        },
    }
}

/// What in the token may keep a role binding from applying.
fn hint(claims: Option<&Claims>, now: DateTime<Utc>, context: &str) -> String {
    let Some(claims) = claims else {
        return String::new();
    };
    if claims.groups() == Groups::TooMany {
        return " (it is in more than 200 groups, which the token does not list: bind the user instead of a group)".into();
    }
    if claims.text("upn").is_none() {
        let kind = claims.kind().words();
        return format!(" (a {kind} is bound by its object ID, not by a name)");
    }
    match claims.time("iat") {
        Some(issued) if now - issued > TimeDelta::minutes(5) => format!(
            " (the token has the groups of {} ago; for newer ones, run kubelogin get-token --force-refresh with the same args, \
             or kubelogin logout{context} and sign in again)",
            span(now - issued)
        ),
        _ => " (groups are bound by object ID, not by name)".into(),
    }
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    use serde_json::{Value, json};

    use super::*;
    use crate::secret::Secret;

    const NOW: DateTime<Utc> = DateTime::from_timestamp(1_767_225_600, 0).unwrap();

    fn claims(value: &Value) -> Claims {
        let jwt = format!("e30.{}.sig", URL_SAFE_NO_PAD.encode(value.to_string()));
        Claims::read(&Secret::new(jwt)).expect("claims")
    }

    /// Who denied access, the token's claims, and the words that the explanation must contain.
    #[test]
    fn a_denial_is_explained_by_who_denied_it_and_by_the_token() {
        let minutes_ago = |minutes: i64| NOW.timestamp() - 60 * minutes;
        for (by, value, words) in [
            (
                Rbac::Azure,
                json!({"oid": "o-1"}),
                &["Azure RBAC is on", "--assignee-object-id o-1"][..],
            ),
            (
                Rbac::AzureFailed,
                json!({}),
                &["could not reach", "Try again"],
            ),
            (
                Rbac::Kubernetes,
                json!({"upn": "a@x", "iat": minutes_ago(1)}),
                &["a@x", "by object ID", "--user=a@x"],
            ),
            (
                Rbac::Kubernetes,
                json!({"upn": "a@x", "iat": minutes_ago(30)}),
                &[
                    "groups of 30 minutes ago",
                    "get-token --force-refresh",
                    "logout --context c",
                ],
            ),
            (
                Rbac::Kubernetes,
                json!({"oid": "o-1", "idtyp": "app"}),
                &["service principal is bound by its object ID", "--user=o-1"],
            ),
            (
                Rbac::Kubernetes,
                json!({"oid": "o-1", "unique_name": "guest", "scp": "s", "tid": "t1", "idp": "https://other/"}),
                &["guest user"],
            ),
            (
                Rbac::Kubernetes,
                json!({"upn": "a@x", "hasgroups": true}),
                &["200 groups", "instead of a group"],
            ),
        ] {
            let cause = forbidden(by, None, Some(&claims(&value)), NOW, " --context c");
            let told = format!("{} {}", cause.what, cause.remedy);
            for word in words {
                assert!(told.contains(word), "{by:?} {value}, {word}: {told}");
            }
        }
        let named = forbidden(Rbac::Kubernetes, Some("bob"), None, NOW, "");
        assert!(named.remedy.contains("--user=bob"), "{named:?}");
    }
}
