//! The client assertion: how an application proves that it holds its certificate's key (RFC 7523 section 2.2).

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use chrono::{DateTime, TimeDelta, Utc};
use jsonwebtoken::crypto::{CryptoProvider, JwtSigner, KeyUtils};
use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::signature::{self, Signer};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use ring::digest::{SHA256, digest};
use ring::rand::{SecureRandom, SystemRandom};
use ring::rsa::KeyPair as RsaKeyPair;
use ring::signature::RSA_PSS_SHA256;
use serde::Serialize;

use super::certificate::Certificate;
use crate::error::Error;
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
    /// <https://learn.microsoft.com/entra/identity-platform/certificate-credentials>.
    pub fn assertion(
        &self,
        client_id: &str,
        audience: &str,
        now: DateTime<Utc>,
    ) -> Result<Secret, Error> {
        let mut header = Header::new(Algorithm::PS256);
        header.x5t_s256 = self.chain.first().map(|leaf| sha256(leaf));
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
        // An error means that an earlier assertion has installed it.
        let _ = RING.install_default();
        jsonwebtoken::encode(&header, &claims, &EncodingKey::from_rsa_der(&self.key))
            .map(Secret::new)
            .map_err(|error| {
                Error::input(format!("the client assertion cannot be signed: {error}"))
            })
    }
}

fn sha256(der: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(digest(&SHA256, der))
}

/// A UUID of version 4 (RFC 9562 section 5.4).
fn random_uuid() -> Result<String, Error> {
    let mut bytes = [0; 16];
    SystemRandom::new()
        .fill(&mut bytes)
        .map_err(|_| Error::outside("the system gives no random numbers"))?;
    let number = u128::from_be_bytes(bytes);
    let number = number & !(0xf << 76) | 0x4 << 76;
    let number = number & !(0x3 << 62) | 0x2 << 62;
    let digits = format!("{number:032x}");
    let (a, b, c, d, e) = (
        &digits[..8],
        &digits[8..12],
        &digits[12..16],
        &digits[16..20],
        &digits[20..],
    );
    Ok(format!("{a}-{b}-{c}-{d}-{e}"))
}

/// Ring as the crypto of `jsonwebtoken`: it signs with RSA keys in PKCS#1 DER, and verifies nothing.
static RING: CryptoProvider = CryptoProvider {
    signer_factory: |algorithm, key| match algorithm {
        Algorithm::PS256 => match RsaKeyPair::from_der(key.as_bytes()) {
            Ok(key) => Ok(Box::new(Ps256(key))),
            Err(why) => Err(ErrorKind::InvalidRsaKey(why.to_string()).into()),
        },
        _ => Err(ErrorKind::UnsupportedAlgorithm.into()),
    },
    verifier_factory: |_, _| Err(ErrorKind::UnsupportedAlgorithm.into()),
    key_utils: KeyUtils::new_unimplemented(),
};

/// RSASSA-PSS with SHA-256 (RFC 7518 section 3.5).
struct Ps256(RsaKeyPair);

impl Signer<Vec<u8>> for Ps256 {
    fn try_sign(&self, message: &[u8]) -> Result<Vec<u8>, signature::Error> {
        let mut signature = vec![0; self.0.public().modulus_len()];
        self.0
            .sign(
                &RSA_PSS_SHA256,
                &SystemRandom::new(),
                message,
                &mut signature,
            )
            .map_err(|_| signature::Error::new())?;
        Ok(signature)
    }
}

impl JwtSigner for Ps256 {
    fn algorithm(&self) -> Algorithm {
        Algorithm::PS256
    }
}

#[cfg(test)]
mod tests {
    use super::super::certificate::tests::{PASSWORD, open};
    use super::*;
    use crate::system::fake::FakeSystem;
    use ring::signature::{RSA_PSS_2048_8192_SHA256, UnparsedPublicKey};
    use serde_json::{Value, json};
    use x509_parser::parse_x509_certificate;

    const AUDIENCE: &str = "https://login.microsoftonline.com/tenant/oauth2/v2.0/token";

    fn assertion(certificate: &Certificate) -> String {
        let signed = certificate.assertion("app", AUDIENCE, FakeSystem::EPOCH);
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
            let assertion = assertion(&certificate);
            let (message, signature) = assertion.rsplit_once('.').expect("three parts");
            let signature = URL_SAFE_NO_PAD.decode(signature).expect("base64url");
            UnparsedPublicKey::new(&RSA_PSS_2048_8192_SHA256, public_key)
                .verify(message.as_bytes(), &signature)
                .expect(file);
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
            part(&assertion(&certificate), 0),
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
    fn the_claims_name_the_application_twice_and_the_endpoint_for_ten_minutes() {
        let certificate = open("pkcs1.pem", "").expect("opened");
        let mut claims = part(&assertion(&certificate), 1);
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

    #[test]
    fn each_assertion_has_an_id_of_its_own() {
        let ids: Vec<_> = (0..64).map(|_| random_uuid().expect("random")).collect();
        for (number, id) in ids.iter().enumerate() {
            let lengths: Vec<_> = id.split('-').map(str::len).collect();
            assert_eq!(lengths, [8, 4, 4, 4, 12], "{id}");
            assert_eq!(&id[14..15], "4", "version of {id}");
            assert!("89ab".contains(&id[19..20]), "variant of {id}");
            assert!(!ids[..number].contains(id));
        }
    }
}
