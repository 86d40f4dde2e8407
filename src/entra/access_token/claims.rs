//! The claims of an access token for people: who, for what, until when. Decoded, never verified, and never the token itself.
//!
//! Microsoft, "Access token claims reference" and "Optional claims reference".

use chrono::{DateTime, Utc};
use serde_json::{Map, Value};

use crate::secret::Secret;
use crate::token::unverified_claims;
use crate::variables::{AKS_CLIENT, AZ_CLIENT};

/// Microsoft's own applications that users see here.
const APPLICATIONS: &[(&str, &str)] = &[
    (
        "6dae42f8-4368-4678-94ff-3960e28e3630",
        "Azure Kubernetes Service AAD Server",
    ),
    (AKS_CLIENT, "Azure Kubernetes Service AAD Client"),
    (AZ_CLIENT, "Azure CLI"),
    ("1950a258-227b-4e31-a9cf-717495945fc2", "Azure PowerShell"),
];

/// The AKS server application, to which AKS clusters with managed Entra integration belong.
pub const AKS_SERVER: &str = APPLICATIONS[0].0;

/// The name of a well-known application.
pub fn application_name(id: &str) -> Option<&'static str> {
    let known = APPLICATIONS
        .iter()
        .find(|(known, _)| known.eq_ignore_ascii_case(id));
    known.map(|(_, name)| *name)
}

/// The claims of an access token.
pub struct Claims(Map<String, Value>);

/// Whose token it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    User,
    /// A user of another directory.
    Guest,
    ServicePrincipal,
    ManagedIdentity,
}

impl Kind {
    pub const fn words(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Guest => "guest user",
            Self::ServicePrincipal => "service principal",
            Self::ManagedIdentity => "managed identity",
        }
    }

    pub const fn is_application(self) -> bool {
        matches!(self, Self::ServicePrincipal | Self::ManagedIdentity)
    }
}

/// What a token says about groups.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Groups {
    /// Object IDs; none if the identity is in no group, or the server application asks for none.
    Listed(Vec<String>),
    /// More than 200: the token lists none of them.
    TooMany,
}

impl Claims {
    /// `None` if the token is not a JWT.
    pub fn read(access_token: &Secret) -> Option<Self> {
        unverified_claims(access_token).map(Self)
    }

    pub fn all(&self) -> &Map<String, Value> {
        &self.0
    }

    pub fn text(&self, name: &str) -> Option<&str> {
        let text = self.0.get(name)?.as_str()?;
        (!text.is_empty()).then_some(text)
    }

    pub fn kind(&self) -> Kind {
        if self.text("xms_mirid").is_some() {
            return Kind::ManagedIdentity;
        }
        let has_user = ["upn", "unique_name", "preferred_username", "scp"]
            .iter()
            .any(|name| self.text(name).is_some());
        if self.text("idtyp") == Some("app") || !has_user {
            return Kind::ServicePrincipal;
        }
        // The home directory of a guest; a user at home has none, or their own tenant's.
        match (self.text("idp"), self.text("tid")) {
            (Some(idp), Some(tenant)) if !idp.contains(tenant) => Kind::Guest,
            _ => Kind::User,
        }
    }

    /// The identity's name as people know it.
    pub fn name(&self) -> &str {
        [
            "upn",
            "unique_name",
            "preferred_username",
            "app_displayname",
            "appid",
            "azp",
            "oid",
        ]
        .iter()
        .find_map(|name| self.text(name))
        .unwrap_or("unknown")
    }

    /// The user name that an AKS cluster gives this identity (guard, auth/providers/azure): the UPN; for guests, service
    /// principals and managed identities, which have none, the object ID.
    pub fn aks_user_name(&self) -> Option<&str> {
        self.text("upn").or_else(|| self.text("oid"))
    }

    /// The application that asked for the token (`appid` in v1 tokens, `azp` in v2).
    pub fn client_id(&self) -> Option<&str> {
        self.text("appid").or_else(|| self.text("azp"))
    }

    pub fn groups(&self) -> Groups {
        let has_overage = self
            .0
            .get("_claim_names")
            .is_some_and(|names| !names["groups"].is_null());
        if has_overage || self.0.get("hasgroups").is_some_and(|has| *has == true) {
            return Groups::TooMany;
        }
        let listed = self.0.get("groups").and_then(Value::as_array);
        let listed = listed.into_iter().flatten().filter_map(Value::as_str);
        Groups::Listed(listed.map(str::to_owned).collect())
    }

    /// `iat`, `nbf` or `exp`.
    pub fn time(&self, name: &str) -> Option<DateTime<Utc>> {
        DateTime::from_timestamp(self.0.get(name)?.as_i64()?, 0)
    }

    /// True if the token is bound to a key (RFC 7800).
    pub fn is_bound(&self) -> bool {
        self.0.contains_key("cnf")
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    pub fn claims(value: Value) -> Claims {
        let Value::Object(map) = value else {
            panic!("not an object");
        };
        Claims(map)
    }

    #[test]
    fn the_kind_of_an_identity_is_told_by_its_claims() {
        for (value, kind) in [
            (
                json!({"upn": "a@x", "scp": "user_impersonation", "tid": "t1"}),
                Kind::User,
            ),
            (
                json!({"unique_name": "a@x", "scp": "s", "tid": "t1", "idp": "https://sts.windows.net/t1/"}),
                Kind::User,
            ),
            (
                json!({"unique_name": "live.com#a@x", "scp": "s", "tid": "t1", "idp": "https://sts.windows.net/u/"}),
                Kind::Guest,
            ),
            (
                json!({"appid": "a", "oid": "o", "idtyp": "app"}),
                Kind::ServicePrincipal,
            ),
            (json!({"appid": "a", "oid": "o"}), Kind::ServicePrincipal),
            (
                json!({"appid": "a", "idtyp": "app", "xms_mirid": "/subscriptions/s"}),
                Kind::ManagedIdentity,
            ),
        ] {
            assert_eq!(claims(value.clone()).kind(), kind, "{value}");
        }
    }

    #[test]
    fn the_cluster_s_name_for_an_identity_is_its_upn_or_its_object_id() {
        let user = claims(json!({"upn": "a@x", "oid": "o"}));
        assert_eq!(user.aks_user_name(), Some("a@x"));
        let guest = claims(json!({"unique_name": "live.com#a@x", "oid": "o"}));
        assert_eq!(guest.aks_user_name(), Some("o"));
        assert_eq!(guest.name(), "live.com#a@x");
    }

    #[test]
    fn groups_are_listed_or_too_many() {
        let listed = claims(json!({"groups": ["a", "b"]})).groups();
        assert_eq!(listed, Groups::Listed(vec!["a".into(), "b".into()]));
        assert_eq!(claims(json!({})).groups(), Groups::Listed(vec![]));
        for too_many in [
            json!({"_claim_names": {"groups": "src1"}}),
            json!({"hasgroups": true}),
        ] {
            assert_eq!(claims(too_many).groups(), Groups::TooMany);
        }
    }

    #[test]
    fn a_known_application_has_a_name_in_any_case() {
        assert_eq!(
            application_name(&AKS_SERVER.to_uppercase()),
            Some("Azure Kubernetes Service AAD Server")
        );
        assert_eq!(application_name("x"), None);
    }
}
