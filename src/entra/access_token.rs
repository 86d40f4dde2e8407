//! Properties of an access token that may make a cluster reject it although Entra issued it.

pub mod claims;
pub mod fit;

use serde::Deserialize;
use serde_json::Value;

use super::authority::Version;
use crate::secret::Secret;
use crate::token::unverified_claims;

#[derive(Deserialize)]
struct Claims {
    #[serde(default)]
    aud: Value,
    #[serde(default, rename = "_claim_names")]
    claim_names: Value,
    #[serde(default)]
    hasgroups: Value,
}

/// A line for each problem; none for a token that is not a JWT.
pub fn oddities(access_token: &Secret, version: Version) -> Vec<&'static str> {
    let Some(claims) = unverified_claims::<Claims>(access_token) else {
        return Vec::new();
    };
    // Azure/kubelogin#79: managed identities on some services get it without requesting it.
    let is_v1_audience = claims
        .aud
        .as_str()
        .is_some_and(|aud| aud.starts_with("spn:"));
    let has_overage = !claims.claim_names["groups"].is_null() || claims.hasgroups == true;
    [
        (
            is_v1_audience && version == Version::V2,
            "The token's audience starts with \"spn:\" although --legacy is not set; a cluster with AKS-managed Entra ID rejects \
             it as Unauthorized. If yours does, use another login mode or identity.",
        ),
        // Azure/kubelogin#136.
        (
            has_overage,
            "The identity is in more than 200 groups, so the token lists none of them; if the cluster answers Unauthorized or \
             Forbidden, bind a role to the identity itself, or to an application role, instead of a group.",
        ),
    ]
    .into_iter()
    .filter_map(|(is_odd, line)| is_odd.then_some(line))
    .collect()
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    use serde_json::json;

    use super::*;

    fn of(claims: &Value, version: Version) -> Vec<&'static str> {
        let jwt = format!("e30.{}.sig", URL_SAFE_NO_PAD.encode(claims.to_string()));
        oddities(&Secret::new(jwt), version)
    }

    #[test]
    fn a_v1_audience_is_reported_unless_it_was_requested() {
        let claims = json!({"aud": "spn:srv"});
        assert!(of(&claims, Version::V2)[0].contains("spn:"));
        assert_eq!(of(&claims, Version::V1), [""; 0]);
    }

    #[test]
    fn too_many_groups_are_reported_in_either_form() {
        for claims in [
            json!({"_claim_names": {"groups": "src1"}}),
            json!({"hasgroups": true}),
        ] {
            let lines = of(&claims, Version::V2);
            assert!(
                lines.len() == 1 && lines[0].contains("200 groups"),
                "{lines:?}"
            );
        }
    }

    #[test]
    fn any_other_token_is_not_reported() {
        for claims in [
            json!({"aud": "srv", "groups": ["g"], "hasgroups": false}),
            json!({"_claim_names": {"x": 1}, "aud": ["spn:x"]}),
            json!([]),
        ] {
            assert_eq!(of(&claims, Version::V2), [""; 0]);
        }
        assert_eq!(oddities(&Secret::new("opaque"), Version::V2), [""; 0]);
    }
}
