//! The client assertion: how an application proves that it holds its certificate's key (RFC 7523 section 2.2).

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use chrono::{DateTime, TimeDelta, Utc};
use jsonwebtoken::{Algorithm, Header};
use ring::digest::{SHA1_FOR_LEGACY_USE_ONLY, SHA256, digest};
use serde::Serialize;

use super::authority::Version;
use super::certificate::Certificate;
use crate::error::Error;
use crate::jwt::{self, random_uuid};
use crate::secret::Secret;

/// The value of `client_assertion_type` (RFC 7523 section 2.2).
pub const JWT_BEARER: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// How long an assertion is good: Microsoft asks for 5 to 10 minutes.
const LIFE: TimeDelta = TimeDelta::minutes(10);

/// The claims of RFC 7523 section 3, as Entra wants them; times are Unix seconds.
#[derive(Serialize)]
struct Claims<'a> {
    aud: &'a str,
    iss: &'a str,
    sub: &'a str,
    jti: String,
    nbf: i64,
    exp: i64,
}

impl Certificate {
    /// Signs an assertion that `client_id` gives to `audience`, the URL of the token endpoint, in the form of
    /// <https://learn.microsoft.com/entra/identity-platform/certificate-credentials>; the v1 endpoint knows only the
    /// older one.
    pub fn assertion(
        &self,
        version: Version,
        client_id: &str,
        audience: &str,
        now: DateTime<Utc>,
    ) -> Result<Secret, Error> {
        let leaf = self.chain.first();
        let thumbprint = |algorithm| leaf.map(|der| URL_SAFE_NO_PAD.encode(digest(algorithm, der)));
        let mut header = match version {
            Version::V1 => Header {
                x5t: thumbprint(&SHA1_FOR_LEGACY_USE_ONLY),
                ..Header::new(Algorithm::RS256)
            },
            Version::V2 => Header {
                x5t_s256: thumbprint(&SHA256),
                ..Header::new(Algorithm::PS256)
            },
        };
        // Base64, not base64url (RFC 7515 section 4.1.6): with the chain, Entra can trust an issuer and a name.
        header.x5c = Some(self.chain.iter().map(|der| STANDARD.encode(der)).collect());
        let claims = Claims {
            aud: audience,
            iss: client_id,
            sub: client_id,
            jti: random_uuid()?,
            nbf: now.timestamp(),
            exp: (now + LIFE).timestamp(),
        };
        jwt::sign(&header, &claims, &self.key)
            .map_err(|error| error.context("the client assertion"))
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
    fn the_public_key_of_the_certificate_verifies_the_signature() {
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
    fn the_claims_name_the_application_twice_and_the_endpoint_for_ten_minutes() {
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
}
