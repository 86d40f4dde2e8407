//! Client assertions (RFC 7523 section 2.2): an application proves its identity with a JWT, either signed with its
//! certificate's key or issued by an identity provider that Entra trusts for it (workload identity federation).

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use chrono::{DateTime, TimeDelta, Utc};
use jsonwebtoken::{Algorithm, Header};
use ring::digest::{SHA1_FOR_LEGACY_USE_ONLY, SHA256, digest};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::authority::Version;
use super::certificate::Certificate;
use super::error::{advice, code_in};
use crate::error::Error;
use crate::jwt::{self, random_uuid};
use crate::secret::Secret;
use crate::token::{seconds, unverified_claims};

/// The value of `client_assertion_type` (RFC 7523 section 2.2).
const JWT_BEARER: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// How long a signed assertion is valid: Microsoft recommends 5 to 10 minutes.
const LIFETIME: TimeDelta = TimeDelta::minutes(10);

/// The form fields that present an assertion.
pub fn fields(assertion: Secret) -> Vec<(&'static str, Secret)> {
    vec![
        ("client_assertion_type", Secret::new(JWT_BEARER)),
        ("client_assertion", assertion),
    ]
}

/// The claims of RFC 7523 section 3, as Entra expects them; times are Unix seconds.
#[derive(Serialize)]
struct SignedClaims<'a> {
    aud: &'a str,
    iss: &'a str,
    sub: &'a str,
    jti: String,
    nbf: i64,
    exp: i64,
}

impl Certificate {
    /// Signs an assertion by `client_id` for `audience`, the URL of the token endpoint, as described in
    /// <https://learn.microsoft.com/entra/identity-platform/certificate-credentials>. The v1 endpoint accepts only the
    /// older form (SHA-1 thumbprint, RS256).
    pub fn assertion(
        &self,
        version: Version,
        client_id: &str,
        audience: &str,
        now: DateTime<Utc>,
    ) -> Result<Secret, Error> {
        let claims = SignedClaims {
            aud: audience,
            iss: client_id,
            sub: client_id,
            jti: random_uuid()?.to_string(),
            nbf: now.timestamp(),
            exp: (now + LIFETIME).timestamp(),
        };
        jwt::sign(&self.header(version), &claims, &self.key)
            .map_err(|error| error.context("cannot sign the client assertion"))
    }

    fn header(&self, version: Version) -> Header {
        let leaf = self.chain.first();
        let thumbprint = |algorithm| leaf.map(|der| URL_SAFE_NO_PAD.encode(digest(algorithm, der)));
        // Base64, not base64url (RFC 7515 section 4.1.6). With the chain, Entra can trust an issuer and a subject name.
        let x5c = Some(self.chain.iter().map(|der| STANDARD.encode(der)).collect());
        match version {
            Version::V1 => Header {
                x5t: thumbprint(&SHA1_FOR_LEGACY_USE_ONLY),
                x5c,
                ..Header::new(Algorithm::RS256)
            },
            Version::V2 => Header {
                x5t_s256: thumbprint(&SHA256),
                x5c,
                ..Header::new(Algorithm::PS256)
            },
        }
    }
}

/// The claims of another identity provider's token that Entra compares with the application's federated credentials. Of
/// any type, because they are only shown.
#[derive(Debug, Deserialize)]
pub struct AssertionClaims {
    #[serde(default)]
    iss: Value,
    #[serde(default)]
    sub: Value,
    #[serde(default)]
    aud: Value,
    #[serde(default)]
    iat: Value,
    #[serde(default)]
    exp: Value,
}

/// The audience that the webhook of identity bindings gives a pod's token.
pub const TOKEN_PROXY_AUDIENCE: &str = "api://AKSIdentityBinding";

/// The longest lifetime of a Kubernetes service account token that Entra accepts, as limited by the AKS webhook: a day.
const LONGEST_SERVICE_ACCOUNT_LIFE: i64 = 86_400;

impl AssertionClaims {
    /// The claims of an assertion; `None` if it is not a JWT.
    pub fn of(assertion: &Secret) -> Option<Self> {
        unverified_claims(assertion)
    }

    /// Issuer and subject, as JSON.
    pub fn identity(&self) -> (String, String) {
        (self.iss.to_string(), self.sub.to_string())
    }

    /// A note about the subject of a GitHub Actions job: repositories that were created, renamed or transferred since
    /// July 2026 have IDs in it (GitHub, "immutable subject claims").
    fn github_subject(&self) -> &'static str {
        if self.iss != "https://token.actions.githubusercontent.com" {
            return "";
        }
        match self.sub.as_str().is_some_and(|sub| sub.contains('@')) {
            true => {
                " GitHub now puts the IDs of owner and repository into it (repo:OWNER@ID/REPO@ID:..): give the federated credential this subject."
            }
            false => {
                " This one has no IDs; a federated credential with GitHub's immutable subject (repo:OWNER@ID/REPO@ID:..) does not match it."
            }
        }
    }

    /// Why Entra will refuse a Kubernetes service account token: it is for the API server, or an old one that never
    /// expires. `None` for any other token.
    pub fn unfit_service_account(&self) -> Option<String> {
        self.sub.as_str()?.strip_prefix("system:serviceaccount:")?;
        let Some(expires) = seconds(&self.exp) else {
            return Some("it is a service account token that never expires".to_owned());
        };
        let audiences = self.audiences();
        let is_api_server =
            |aud: &&str| aud.contains("kubernetes.default") || aud.contains(".azmk8s.io");
        if !audiences.is_empty() && audiences.iter().all(is_api_server) {
            return Some(
                "it is a service account token that is meant for the cluster itself".to_owned(),
            );
        }
        let life = expires - seconds(&self.iat)?;
        let days = life / LONGEST_SERVICE_ACCOUNT_LIFE;
        (life > LONGEST_SERVICE_ACCOUNT_LIFE)
            .then(|| format!("it is a service account token that is valid for {days} days"))
    }

    /// True for the token of a pod with an AKS identity binding, which only the token proxy of a cluster takes: Entra
    /// itself refuses it (AADSTS700212), as a token proxy does any other.
    pub fn is_for_token_proxy(&self) -> bool {
        self.audiences() == [TOKEN_PROXY_AUDIENCE]
    }

    fn audiences(&self) -> Vec<&str> {
        match &self.aud {
            Value::Array(all) => all.iter().filter_map(Value::as_str).collect(),
            other => other.as_str().into_iter().collect(),
        }
    }

    /// When the assertion expires, if it says so.
    pub fn expires_on(&self) -> Option<DateTime<Utc>> {
        DateTime::from_timestamp(seconds(&self.exp)?, 0)
    }
}

impl fmt::Display for AssertionClaims {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { iss, sub, aud, .. } = self;
        write!(f, "issuer {iss}, subject {sub}, audience {aud}")
    }
}

/// Adds to Entra's refusal of an assertion the claims that were presented: they are what to compare with the
/// application's federated credential (Azure/kubelogin#171).
pub fn explain_refusal(error: Error, assertion: &Secret) -> Error {
    let code = code_in(&error.to_string());
    let is_about_assertion = matches!(
        code,
        Some(70021 | 700_023 | 700_024 | 700_200..=700_299 | 50013 | 500_133)
    );
    match AssertionClaims::of(assertion) {
        Some(claims) if is_about_assertion => {
            let advice = advice("", code);
            let github = match code {
                Some(70021 | 700_213) => claims.github_subject(),
                _ => "",
            };
            error.remedy(format!("{advice} The token has {claims}.{github}"))
        }
        _ => error,
    }
}

#[cfg(test)]
mod tests {
    use super::super::certificate::tests::{PASSWORD, open};
    use super::*;
    use crate::system::fake::FakeSystem;
    use ring::signature::{
        RSA_PKCS1_2048_8192_SHA256, RSA_PSS_2048_8192_SHA256, UnparsedPublicKey,
    };
    use serde_json::{Value, json};
    use x509_parser::parse_x509_certificate;

    const AUDIENCE: &str = "https://login.microsoftonline.com/tenant/oauth2/v2.0/token";

    fn assertion(version: Version, certificate: &Certificate) -> String {
        let signed = certificate.assertion(version, "app", AUDIENCE, FakeSystem::EPOCH);
        signed.expect("signed").expose().to_owned()
    }

    fn part(assertion: &str, number: usize) -> Value {
        let part = assertion.split('.').nth(number).expect("a part");
        serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).expect("base64url")).expect("JSON")
    }

    #[test]
    fn the_certificate_s_public_key_verifies_the_signature() {
        for (file, password) in [
            ("rsa-4096.pem", ""),
            ("pkcs1.pem", ""),
            ("modern.pfx", PASSWORD),
        ] {
            let certificate = open(file, password).expect("opened");
            let leaf = parse_x509_certificate(&certificate.chain[0])
                .expect("DER")
                .1;
            let public_key = &leaf.public_key().subject_public_key.data;
            for (version, algorithm) in [
                (Version::V1, &RSA_PKCS1_2048_8192_SHA256),
                (Version::V2, &RSA_PSS_2048_8192_SHA256),
            ] {
                let assertion = assertion(version, &certificate);
                let (message, signature) = assertion.rsplit_once('.').expect("three parts");
                let signature = URL_SAFE_NO_PAD.decode(signature).expect("base64url");
                UnparsedPublicKey::new(algorithm, public_key)
                    .verify(message.as_bytes(), &signature)
                    .expect(file);
            }
        }
    }

    #[test]
    fn the_header_has_the_thumbprint_and_the_chain_and_nothing_else() {
        let certificate = open("chain-shuffled-with-stranger.pem", "").expect("opened");
        let chain: Vec<_> = certificate
            .chain
            .iter()
            .map(|der| STANDARD.encode(der))
            .collect();
        assert_eq!(chain.len(), 3);
        assert_eq!(
            part(&assertion(Version::V2, &certificate), 0),
            json!({
                "typ": "JWT",
                "alg": "PS256",
                // As fixtures/certificates/make.sh prints it.
                "x5t#S256": "qoh3NetzWzMtD1MsDxv53HhSggyR6HJPcZ12EtS6XSc",
                "x5c": chain,
            })
        );
    }

    #[test]
    fn the_header_of_v1_is_the_older_form() {
        let certificate = open("chain.pem", "").expect("opened");
        let header = part(&assertion(Version::V1, &certificate), 0);
        assert_eq!(
            (&header["typ"], &header["alg"]),
            (&json!("JWT"), &json!("RS256"))
        );
        // openssl x509 -in fixtures/certificates/chain.pem -outform der | openssl dgst -sha1 -binary | base64url
        assert_eq!(header["x5t"], "SsLo04xNr2lFgS9APLl2V3Gt2qI");
        assert_eq!(header.get("x5t#S256"), None);
    }

    #[test]
    fn the_claims_name_the_application_and_the_endpoint_and_expire_after_ten_minutes() {
        let certificate = open("pkcs1.pem", "").expect("opened");
        let mut claims = part(&assertion(Version::V2, &certificate), 1);
        claims
            .as_object_mut()
            .expect("an object")
            .remove("jti")
            .expect("jti");
        let now = FakeSystem::EPOCH.timestamp();
        assert_eq!(
            claims,
            json!({"aud": AUDIENCE, "iss": "app", "sub": "app", "nbf": now, "exp": now + 600})
        );
    }

    /// Azure/kubelogin#171: the claims have to match the application's federated credential.
    #[test]
    fn a_refused_assertion_is_reported_with_its_claims() {
        let claims = json!({"iss": "https://issuer", "sub": "job", "aud": ["api://x"]});
        let payload = URL_SAFE_NO_PAD.encode(claims.to_string());
        let assertion = Secret::new(format!("e30.{payload}.sig"));
        let refused = |code: u32| {
            let error = Error::refused("invalid_client", format!("AADSTS{code}: No."));
            explain_refusal(error.remedy("advice").reference("c-1"), &assertion).to_string()
        };
        for code in [70021, 700_211, 700_212, 700_213, 700_023, 700_024] {
            let error = refused(code);
            let claims = "issuer \"https://issuer\", subject \"job\", audience [\"api://x\"]";
            assert!(error.contains(claims), "{error}");
            assert!(error.ends_with("\nc-1"), "{error}");
            assert_eq!(error.lines().count(), 3, "{error}");
        }
        assert!(!refused(700_016).contains("issuer"));
    }

    /// azure-dev#9382: since July 2026 the subject of new repositories has another form.
    #[test]
    fn a_github_subject_that_does_not_match_is_explained_with_its_immutable_form() {
        let refused = |sub: &str, code: u32| {
            let claims = json!({"iss": "https://token.actions.githubusercontent.com", "sub": sub, "aud": "api://x"});
            let payload = URL_SAFE_NO_PAD.encode(claims.to_string());
            let error = Error::refused("invalid_client", format!("AADSTS{code}: No."));
            explain_refusal(error, &Secret::new(format!("e30.{payload}.sig"))).to_string()
        };
        let new = "repo:me@12/app@34:ref:refs/heads/main";
        for code in [70021, 700_213] {
            assert!(refused(new, code).contains("now puts the IDs"));
            assert!(refused("repo:me/app:ref:refs/heads/main", code).contains("has no IDs"));
        }
        assert!(refused(new, 700_213).contains(new));
        assert!(!refused(new, 700_211).contains("OWNER@ID"));
    }
}
