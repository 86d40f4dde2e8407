//! Proof of possession: an access token bound to our key, in an envelope that only the key's holder can sign
//! (draft-ietf-oauth-signed-http-request-03, RFC 7800). Azure Arc requires it.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, Utc};
use jsonwebtoken::{Algorithm, Header};
use ring::digest::{SHA256, digest};
use ring::rsa::{KeyPair, PublicKeyComponents};
use rsa::RsaPrivateKey;
use rsa::pkcs1::EncodeRsaPrivateKey;
use rsa::rand_core::OsRng;
use serde::Serialize;
use zeroize::Zeroizing;

use crate::error::Error;
use crate::jwt;
use crate::secret::Secret;
use crate::token::{Scope, Token};

/// The claims of `--pop-claims`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claims {
    /// The resource ID of the cluster that the token is for.
    u: String,
    /// All other claims, as given.
    others: BTreeMap<String, String>,
}

/// The claims that the envelope adds itself.
const OWN_CLAIMS: &[&str] = &["at", "ts", "cnf"];

impl Claims {
    /// Reads `u=/ARM/ID,key=value`. A value may contain `=` but no comma.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let wrong = |why: &str| {
            Error::input(format!("--pop-claims {text:?} {why}"))
                .remedy("Use key=value,key=value with the cluster's resource ID as u, such as --pop-claims u=/ARM/ID/OF/CLUSTER")
        };
        let mut claims = BTreeMap::new();
        for claim in text.split(',').map(str::trim) {
            let (key, value) = claim
                .split_once('=')
                .map(|(key, value)| (key.trim(), value.trim()))
                .filter(|(key, value)| !key.is_empty() && !value.is_empty())
                .ok_or_else(|| {
                    wrong(&format!(
                        "is not valid: {claim:?} is not of the form key=value"
                    ))
                })?;
            if OWN_CLAIMS.contains(&key) {
                return Err(wrong(&format!(
                    "is not valid: kubelogin sets the claim {key} itself"
                )));
            }
            if claims.insert(key.to_owned(), value.to_owned()).is_some() {
                return Err(wrong(&format!("repeats the claim {key}")));
            }
        }
        let u = claims.remove("u");
        Ok(Self {
            u: u.ok_or_else(|| wrong("lacks the claim u"))?,
            others: claims,
        })
    }
}

/// The claims and the key that PoP tokens are made with.
pub struct Binding<'a> {
    claims: &'a Claims,
    key: Key,
}

impl<'a> Binding<'a> {
    pub const fn new(claims: &'a Claims, key: Key) -> Self {
        Self { claims, key }
    }

    /// The same scope for a token that is bound to the key.
    pub fn scope(&self, scope: Scope) -> Scope {
        scope.bound_to(self.key.confirmation())
    }

    /// Puts an access token into a new envelope, which expires with it.
    pub fn envelope(&self, token: Token, now: DateTime<Utc>) -> Result<Token, Error> {
        let access_token = self.key.envelope(&token.access_token, self.claims, now)?;
        Ok(Token {
            access_token,
            ..token
        })
    }
}

/// The RSA key that tokens are bound to, with its public part.
pub struct Key {
    /// PKCS#1 DER.
    der: Zeroizing<Vec<u8>>,
    /// Modulus and exponent in base64url (RFC 7518 section 6.3.1).
    n: String,
    e: String,
}

/// The size that Entra and the original use.
const KEY_BITS: usize = 2048;

impl Key {
    /// Generates a new key. This takes about 100 ms, so keep it.
    pub fn generate() -> Result<Self, Error> {
        let failed =
            |why: String| Error::outside(format!("cannot generate a key for PoP tokens: {why}"));
        let key =
            RsaPrivateKey::new(&mut OsRng, KEY_BITS).map_err(|why| failed(why.to_string()))?;
        let der = key.to_pkcs1_der().map_err(|why| failed(why.to_string()))?;
        Self::from_der(der.to_bytes()).ok_or_else(|| failed("it cannot be read back".into()))
    }

    /// A key from the cache; `None` if it is not an RSA key.
    pub fn from_der(der: Zeroizing<Vec<u8>>) -> Option<Self> {
        let pair = KeyPair::from_der(&der).ok()?;
        let PublicKeyComponents { n, e } = PublicKeyComponents::<Vec<u8>>::from(pair.public());
        let (n, e) = (URL_SAFE_NO_PAD.encode(n), URL_SAFE_NO_PAD.encode(e));
        Some(Self { der, n, e })
    }

    /// The key as it is cached: PKCS#1 DER.
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// `kid`: the JWK thumbprint (RFC 7638).
    fn thumbprint(&self) -> String {
        let Self { n, e, .. } = self;
        let members = format!(r#"{{"e":"{e}","kty":"RSA","n":"{n}"}}"#);
        URL_SAFE_NO_PAD.encode(digest(&SHA256, members.as_bytes()))
    }

    /// `req_cnf`, which tells Entra what to bind the token to: a key held in software.
    fn confirmation(&self) -> String {
        let thumbprint = self.thumbprint();
        URL_SAFE_NO_PAD.encode(format!(r#"{{"kid":"{thumbprint}","xms_ksl":"sw"}}"#))
    }

    fn envelope(
        &self,
        access_token: &Secret,
        claims: &Claims,
        now: DateTime<Utc>,
    ) -> Result<Secret, Error> {
        let kid = self.thumbprint();
        let header = Header {
            typ: Some("pop".into()),
            kid: Some(kid.clone()),
            ..Header::new(Algorithm::RS256)
        };
        let nonce = match claims.others.contains_key("nonce") {
            true => None,
            false => Some(jwt::random_uuid()?.simple().to_string()),
        };
        let (e, kty, n, alg) = (&self.e, "RSA", &self.n, "RS256");
        let jwk = Jwk {
            e,
            kty,
            n,
            alg,
            kid: &kid,
        };
        let payload = Payload {
            at: access_token.expose(),
            ts: now.timestamp(),
            u: &claims.u,
            cnf: Confirmation { jwk },
            nonce,
            others: &claims.others,
        };
        jwt::sign(&header, &payload, &self.der)
            .map_err(|error| error.context("cannot sign the PoP token"))
    }
}

/// The envelope's claims, in the original's order.
#[derive(Serialize)]
struct Payload<'a> {
    at: &'a str,
    /// Unix seconds; a server accepts an envelope for a few minutes only.
    ts: i64,
    u: &'a str,
    cnf: Confirmation<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    nonce: Option<String>,
    #[serde(flatten)]
    others: &'a BTreeMap<String, String>,
}

#[derive(Serialize)]
struct Confirmation<'a> {
    jwk: Jwk<'a>,
}

#[derive(Serialize)]
struct Jwk<'a> {
    e: &'a str,
    kty: &'a str,
    n: &'a str,
    alg: &'a str,
    kid: &'a str,
}

#[cfg(test)]
mod tests {
    use ring::signature::{RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents};
    use serde_json::{Value, json};

    use super::*;
    use crate::system::fake::FakeSystem;

    fn key() -> Key {
        Key::generate().expect("a key")
    }

    fn envelope(key: &Key, claims: &str) -> String {
        let claims = Claims::parse(claims).expect("claims");
        let envelope = key.envelope(&Secret::new("a.b.c"), &claims, FakeSystem::EPOCH);
        envelope.expect("an envelope").expose().to_owned()
    }

    fn text(part: &str) -> String {
        String::from_utf8(URL_SAFE_NO_PAD.decode(part).expect("base64url")).expect("text")
    }

    fn parts(envelope: &str) -> (String, String) {
        let parts: Vec<_> = envelope.split('.').collect();
        assert_eq!(parts.len(), 3);
        (text(parts[0]), text(parts[1]))
    }

    #[test]
    fn the_envelope_is_byte_for_byte_the_original_s_and_its_key_verifies_it() {
        let key = key();
        let envelope = envelope(&key, "u=/ARM/ID");
        let (header, payload) = parts(&envelope);
        let Key { n, e, .. } = &key;
        let kid = key.thumbprint();
        assert_eq!(
            header,
            format!(r#"{{"typ":"pop","alg":"RS256","kid":"{kid}"}}"#)
        );
        let nonce = serde_json::from_str::<Value>(&payload).expect("JSON")["nonce"].clone();
        let nonce = nonce.as_str().expect("a nonce");
        assert!(
            nonce.len() == 32 && nonce.chars().all(|c| c.is_ascii_hexdigit()),
            "{nonce}"
        );
        assert_eq!(
            payload,
            format!(
                r#"{{"at":"a.b.c","ts":1767225600,"u":"/ARM/ID","cnf":{{"jwk":{{"e":"{e}","kty":"RSA","n":"{n}","alg":"RS256","kid":"{kid}"}}}},"nonce":"{nonce}"}}"#
            )
        );
        let (message, signature) = envelope.rsplit_once('.').expect("three parts");
        let (n, e) = (URL_SAFE_NO_PAD.decode(n), URL_SAFE_NO_PAD.decode(e));
        let public = RsaPublicKeyComponents {
            n: n.expect("n"),
            e: e.expect("e"),
        };
        let signature = URL_SAFE_NO_PAD.decode(signature).expect("base64url");
        public
            .verify(&RSA_PKCS1_2048_8192_SHA256, message.as_bytes(), &signature)
            .expect("the signature is the key's");
    }

    #[test]
    fn each_envelope_has_its_own_nonce() {
        let key = key();
        let nonce = || parts(&envelope(&key, "u=x")).1;
        assert_ne!(nonce(), nonce());
    }

    /// The original formats the payload as text: a quote in `u` breaks it or adds claims.
    #[test]
    fn claims_cannot_break_out_of_the_json() {
        let (u, nonce) = (r#"x"}\"#, "\"n\u{7f}\n");
        let (_, payload) = parts(&envelope(&key(), &format!("u={u},nonce=a{nonce}z")));
        let payload: Value = serde_json::from_str(&payload).expect("JSON");
        assert_eq!(payload["u"], u);
        assert_eq!(payload["nonce"], format!("a{nonce}z"));
        assert_eq!(payload["at"], "a.b.c");
    }

    #[test]
    fn the_confirmation_names_the_key_by_its_thumbprint() {
        // RFC 7638 section 3.1.
        let key = Key {
            der: Zeroizing::default(),
            n: "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMs\
                tn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n9\
                1CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw".replace(' ', ""),
            e: "AQAB".into(),
        };
        let kid = "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs";
        assert_eq!(key.thumbprint(), kid);
        assert_eq!(
            text(&key.confirmation()),
            format!(r#"{{"kid":"{kid}","xms_ksl":"sw"}}"#)
        );
    }

    #[test]
    fn a_key_can_be_read_back_and_anything_else_cannot() {
        let key = key();
        let again = Key::from_der(key.der.clone()).expect("a key");
        assert_eq!(again.thumbprint(), key.thumbprint());
        let half = key.der[..key.der.len() / 2].to_vec();
        assert!(Key::from_der(Zeroizing::new(half)).is_none());
    }

    #[test]
    fn claims_are_read_as_meant() {
        let claims = |text| Claims::parse(text).expect(text);
        assert_eq!(claims(" u = /ARM/ID ").u, "/ARM/ID");
        assert_eq!(claims("u=a=b==").u, "a=b==");
        let both = claims("x=1,u=/id");
        assert_eq!((both.u.as_str(), both.others["x"].as_str()), ("/id", "1"));
        let (_, payload) = parts(&envelope(&key(), "u=/id,nonce=mine,x=1"));
        let payload: Value = serde_json::from_str(&payload).expect("JSON");
        assert_eq!(
            (&payload["nonce"], &payload["x"]),
            (&json!("mine"), &json!("1"))
        );
    }

    #[test]
    fn each_malformed_claim_is_reported() {
        for (text, why) in [
            ("u", "\"u\" is not of the form key=value"),
            ("u=", "not of the form key=value"),
            ("=x", "not of the form key=value"),
            ("u=x,", "\"\" is not of the form key=value"),
            ("u=x,y", "\"y\" is not of the form key=value"),
            (" ", "not of the form key=value"),
            ("x=1", "lacks the claim u"),
            ("u=1,u=2", "repeats the claim u"),
            ("u=1,cnf=2", "sets the claim cnf itself"),
            ("u=1,at=2", "sets the claim at itself"),
        ] {
            let error = Claims::parse(text).expect_err(text).to_string();
            assert!(
                error.contains(why) && error.contains("--pop-claims u=/ARM"),
                "{text}: {error}"
            );
        }
    }
}
