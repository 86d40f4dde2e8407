//! What is requested (a scope) and what is returned (a token).

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, TimeDelta, Utc};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::secret::Secret;

const DEFAULT_SCOPE: &str = "/.default";

/// True for a GUID, the form of Azure's tenant, application and subscription IDs.
pub fn is_guid(text: &str) -> bool {
    const HYPHENATED: usize = uuid::fmt::Hyphenated::LENGTH;
    text.len() == HYPHENATED && uuid::Uuid::try_parse(text).is_ok()
}

/// The permission requested: `<server-id>/.default`, everything the client may do at the AKS server application
/// (Microsoft identity platform, "The .default scope").
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scope {
    text: String,
    /// `req_cnf`: the key to bind the token to.
    confirmation: Option<String>,
    /// Additional claims that a resource requires, as JSON.
    claims: Option<String>,
}

impl Scope {
    /// The scope of a server application, given by its ID or ID URI, with or without `/.default`.
    pub fn of_server(server_id: &str) -> Self {
        let server_id = server_id.trim_end_matches('/');
        let server_id = server_id.strip_suffix(DEFAULT_SCOPE).unwrap_or(server_id);
        Self {
            text: format!("{server_id}{DEFAULT_SCOPE}"),
            confirmation: None,
            claims: None,
        }
    }

    /// The scope of a resource that is named by a URI, every slash of which counts: with two slashes if the URI ends in
    /// one (Microsoft identity platform, "Trailing slash and /.default").
    pub fn of_resource(uri: &str) -> Self {
        Self {
            text: format!("{uri}{DEFAULT_SCOPE}"),
            confirmation: None,
            claims: None,
        }
    }

    /// The same permission for a proof-of-possession token.
    #[must_use]
    pub fn bound_to(self, confirmation: String) -> Self {
        Self {
            confirmation: Some(confirmation),
            ..self
        }
    }

    /// The same permission with the claims that a resource requires (OpenID Connect Core 1.0, section 5.5; Microsoft
    /// identity platform, "Claims challenges").
    #[must_use]
    pub fn with_claims(self, claims: String) -> Self {
        Self {
            claims: Some(claims),
            ..self
        }
    }

    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// What binds the token to a key (`req_cnf`), if anything does.
    pub fn confirmation(&self) -> Option<&str> {
        self.confirmation.as_deref()
    }

    /// The required claims, if any.
    pub fn claims(&self) -> Option<&str> {
        self.claims.as_deref()
    }

    /// The server application itself: the `resource` of v1 endpoints, IMDS and az.
    pub fn resource(&self) -> &str {
        self.text.strip_suffix(DEFAULT_SCOPE).unwrap_or(&self.text)
    }
}

/// An access token and what is needed to renew it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    pub access_token: Secret,
    /// When the access token expires, by our clock.
    pub expires_on: DateTime<Utc>,
    pub refresh_token: Option<Secret>,
}

/// The assumed lifetime of a token that does not state one: shorter than any that Entra issues.
pub const UNKNOWN_LIFE: TimeDelta = TimeDelta::minutes(5);

/// A positive number of seconds, whole or fractional, quoted or not: servers and programs use both forms.
pub fn seconds(value: &Value) -> Option<i64> {
    let number = match value {
        Value::Number(number) => number.as_f64(),
        Value::String(text) => text.trim().parse().ok(),
        _ => None,
    };
    #[expect(
        clippy::cast_possible_truncation,
        reason = "saturates; callers that make a time of it check the range"
    )]
    number
        .filter(|number| number.is_finite() && *number > 0.0)
        .map(|number| number as i64)
}

/// The `exp` claim of an access token, if it is a JWT.
pub fn expiry_claim(access_token: &Secret) -> Option<DateTime<Utc>> {
    #[derive(Deserialize)]
    struct Expiry {
        exp: i64,
    }
    let claims: Expiry = unverified_claims(access_token)?;
    DateTime::from_timestamp(claims.exp, 0)
}

/// The claims of a JWT, unverified: for advice and expiry only, never for a decision about trust.
/// `None` if the text is not a JWT or lacks what `T` needs.
pub fn unverified_claims<T: DeserializeOwned>(jwt: &Secret) -> Option<T> {
    let mut parts = jwt.expose().split('.');
    let (_header, payload, _signature) = (parts.next()?, parts.next()?, parts.next()?);
    let payload = URL_SAFE_NO_PAD.decode(payload.trim_end_matches('=')).ok()?;
    serde_json::from_slice(&payload).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_whole_guid_is_one() {
        let guid = "6dae42f8-4368-4678-94ff-3960e28e3630";
        assert!(is_guid(guid) && is_guid(&guid.to_uppercase()));
        let without_dashes = guid.replace('-', "");
        let braced = format!("{{{without_dashes}--}}");
        for text in [
            "",
            "contoso.example",
            &without_dashes,
            &braced,
            &"-".repeat(36),
            &"a".repeat(36),
        ] {
            assert!(!is_guid(text), "{text}");
        }
    }

    #[test]
    fn a_scope_ends_in_default_once_and_keeps_the_server_as_typed() {
        for typed in ["srv", "srv/", "srv//", "srv/.default"] {
            assert_eq!(Scope::of_server(typed).as_str(), "srv/.default", "{typed}");
        }
        assert_eq!(
            Scope::of_server("api://aks-server").resource(),
            "api://aks-server"
        );
    }

    #[test]
    fn seconds_are_read_in_every_form() {
        for (written, read) in [
            ("3600", Some(3600)),
            ("\" 3600 \"", Some(3600)),
            ("3600.9", Some(3600)),
            ("1e300", Some(i64::MAX)),
            ("0", None),
            ("-1", None),
            ("\"NaN\"", None),
            ("\"soon\"", None),
            ("null", None),
            ("[1]", None),
        ] {
            let value: Value = serde_json::from_str(written).expect("JSON");
            assert_eq!(seconds(&value), read, "{written}");
        }
    }

    #[test]
    fn text_that_is_not_a_jwt_has_no_claims() {
        for text in ["", "a.b.c", "opaque", "e30.e30"] {
            assert_eq!(
                unverified_claims::<serde_json::Value>(&Secret::new(text)),
                None,
                "{text}"
            );
        }
        let claims: serde_json::Value =
            unverified_claims(&Secret::new("e30.eyJleHAiOjF9.sig")).expect("claims");
        assert_eq!(claims["exp"], 1);
    }
}
