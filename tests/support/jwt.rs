//! JSON Web Tokens (RFC 7519): access tokens that the fake Entra signs, and assertions that it checks.

use std::sync::LazyLock;
use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use ring::digest::{SHA1_FOR_LEGACY_USE_ONLY, SHA256, digest};
use ring::rand::SystemRandom;
use ring::rsa::PublicKeyComponents;
use ring::signature::{
    KeyPair, RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_SHA256, RSA_PSS_2048_8192_SHA256,
    RSA_PSS_SHA256, RsaEncoding, RsaKeyPair, RsaPublicKeyComponents, UnparsedPublicKey,
};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use serde_json::{Value, json};

/// The `kid` of the fake Entra's only key.
pub const KEY_ID: &str = "fake-entra-test-key";

/// Every fake Entra signs with this key. It is public, so never trust it outside the tests.
static ENTRA_KEY: LazyLock<RsaKeyPair> = LazyLock::new(|| read_key(ENTRA_PEM));
/// The key of the default confidential client's certificate. The fakes' own tests also sign PoP tokens with it.
static CLIENT_KEY: LazyLock<RsaKeyPair> = LazyLock::new(|| read_key(CLIENT_PEM));
const ENTRA_PEM: &[u8] = include_bytes!("../../fixtures/fake_entra/test-signing-key.pem");
const CLIENT_PEM: &[u8] = include_bytes!("../../fixtures/fake_entra/test-client.pem");

fn read_key(pem: &[u8]) -> RsaKeyPair {
    let der = PrivatePkcs8KeyDer::from_pem_slice(pem).expect("a PKCS#8 key");
    RsaKeyPair::from_pkcs8(der.secret_pkcs8_der()).expect("an RSA key")
}

/// The default confidential client's certificate in DER.
pub fn client_certificate() -> Vec<u8> {
    CertificateDer::from_pem_slice(CLIENT_PEM)
        .expect("a certificate")
        .to_vec()
}

/// A token's claims.
pub type Claims = Value;

/// Seconds since 1970, as in `iat` and `exp`.
pub fn now() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .expect("the clock is before 1970")
        .as_secs()
}

pub fn base64url(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// Base64url(SHA-256(text)): a PKCE challenge (RFC 7636, section 4.2).
pub fn sha256_base64url(bytes: &[u8]) -> String {
    base64url(digest(&SHA256, bytes).as_ref())
}

/// Signs claims as the fake Entra does: RS256.
pub fn sign(claims: &Claims) -> String {
    sign_with(
        &ENTRA_KEY,
        &json!({"typ": "JWT", "alg": "RS256", "kid": KEY_ID}),
        claims,
    )
}

/// Signs with the default confidential client's key, using the header's `alg`.
pub fn sign_as_client(header: &Value, claims: &Claims) -> String {
    sign_with(&CLIENT_KEY, header, claims)
}

fn sign_with(key: &RsaKeyPair, header: &Value, claims: &Claims) -> String {
    let part = |value: &Value| base64url(value.to_string().as_bytes());
    let signed = format!("{}.{}", part(header), part(claims));
    let padding: &dyn RsaEncoding = if header["alg"] == "PS256" {
        &RSA_PSS_SHA256
    } else {
        &RSA_PKCS1_SHA256
    };
    let mut signature = vec![0; key.public().modulus_len()];
    let random = SystemRandom::new();
    key.sign(padding, &random, signed.as_bytes(), &mut signature)
        .expect("cannot sign with the RSA key");
    format!("{signed}.{}", base64url(&signature))
}

/// The public key as a JSON Web Key Set (RFC 7517).
pub fn key_set() -> Value {
    let mut key = public_jwk(&ENTRA_KEY);
    key["kid"] = json!(KEY_ID);
    json!({"keys": [key]})
}

/// The public half of the key that [`sign_as_client`] uses, as a JSON Web Key.
pub fn client_jwk() -> Value {
    public_jwk(&CLIENT_KEY)
}

fn public_jwk(key: &RsaKeyPair) -> Value {
    let key: PublicKeyComponents<Vec<u8>> = key.public().into();
    json!({"kty": "RSA", "use": "sig", "alg": "RS256", "n": base64url(&key.n), "e": base64url(&key.e)})
}

/// The claims of a token; the signature is not checked.
///
/// # Panics
/// If it is not a JWT.
pub fn claims_of(token: &str) -> Claims {
    Jwt::parse(token)
        .unwrap_or_else(|error| panic!("{error}: {token}"))
        .claims
}

/// A parsed token, not yet verified.
pub struct Jwt<'a> {
    pub header: Value,
    pub claims: Claims,
    signed: &'a str,
    signature: Vec<u8>,
}

impl<'a> Jwt<'a> {
    pub fn parse(token: &'a str) -> Result<Self, String> {
        let (signed, signature) = token.rsplit_once('.').ok_or("not a JWT: no dots")?;
        let (header, claims) = signed.split_once('.').ok_or("not a JWT: one dot")?;
        let decode = |part: &str| {
            URL_SAFE_NO_PAD
                .decode(part)
                .map_err(|error| format!("not a JWT: {error}"))
        };
        let parse = |part| {
            serde_json::from_slice(&decode(part)?).map_err(|error| format!("not a JWT: {error}"))
        };
        Ok(Self {
            header: parse(header)?,
            claims: parse(claims)?,
            signed,
            signature: decode(signature)?,
        })
    }

    pub fn claim(&self, name: &str) -> &str {
        self.claims[name].as_str().unwrap_or_default()
    }

    /// Checks that the fake Entra's key signed it.
    pub fn verify_entra(&self) -> Result<(), String> {
        if self.header["kid"] != KEY_ID {
            return Err(format!(
                "signed with the unknown key {}",
                self.header["kid"]
            ));
        }
        self.verify("RS256", ENTRA_KEY.public().as_ref())
    }

    /// Checks a proof-of-possession envelope and returns the access token in it. The envelope must be signed with the key
    /// that the access token is bound to (RFC 7800), name this host (`u`), and be made within five minutes of now.
    pub fn verify_pop(&self, host: &str) -> Result<&str, String> {
        let jwk = &self.claims["cnf"]["jwk"];
        let member = |name: &str| jwk[name].as_str().unwrap_or_default();
        let decode = |name| {
            URL_SAFE_NO_PAD
                .decode(member(name))
                .map_err(|_| format!("{name} of the key"))
        };
        let key = RsaPublicKeyComponents {
            n: decode("n")?,
            e: decode("e")?,
        };
        let signed = self.signed.as_bytes();
        key.verify(&RSA_PKCS1_2048_8192_SHA256, signed, &self.signature)
            .map_err(|_| "the envelope's signature is wrong".to_owned())?;
        if self.claim("u") != host {
            return Err(format!(
                "the envelope is for {:?}, not for {host:?}",
                self.claim("u")
            ));
        }
        if self.claims["ts"]
            .as_u64()
            .is_none_or(|made| made.abs_diff(now()) > 300)
        {
            return Err(format!("the envelope was made at {}", self.claims["ts"]));
        }
        // RFC 7638 requires this order and no spaces.
        let thumbprint = format!(
            r#"{{"e":"{}","kty":"RSA","n":"{}"}}"#,
            member("e"),
            member("n")
        );
        let bound_to = Jwt::parse(self.claim("at"))?.claims["cnf"]["kid"].clone();
        match bound_to == sha256_base64url(thumbprint.as_bytes()) && bound_to == self.header["kid"]
        {
            true => Ok(self.claims["at"].as_str().unwrap_or_default()),
            false => Err(format!("the access token is bound to the key {bound_to}")),
        }
    }

    fn verify(&self, algorithm: &str, public_key: &[u8]) -> Result<(), String> {
        if self.header["alg"] != algorithm {
            return Err(format!("alg is {}, not {algorithm}", self.header["alg"]));
        }
        let parameters = if algorithm == "PS256" {
            &RSA_PSS_2048_8192_SHA256
        } else {
            &RSA_PKCS1_2048_8192_SHA256
        };
        let verified = UnparsedPublicKey::new(parameters, public_key)
            .verify(self.signed.as_bytes(), &self.signature);
        verified.map_err(|_| "the signature is wrong".to_owned())
    }

    /// Checks that it is valid now, for a day at most.
    pub fn verify_lifetime(&self) -> Result<(), String> {
        let seconds = |name: &str| {
            self.claims[name]
                .as_u64()
                .ok_or_else(|| format!("{name} is not a whole number"))
        };
        let (now, from, until) = (now(), seconds("nbf")?, seconds("exp")?);
        match () {
            () if from > now => Err(format!("it becomes valid in {} s", from - now)),
            () if until <= now => Err(format!("it expired {} s ago", now - until)),
            () if until - from > 24 * 60 * 60 => Err(format!("it is valid for {} s", until - from)),
            () => Ok(()),
        }
    }
}

/// How a client identifies and proves its certificate: `PS256` and `x5t#S256` at the v2.0 endpoint, `RS256` and `x5t` at v1.
/// Microsoft: "Microsoft identity platform application authentication certificate credentials".
#[derive(Clone, Copy)]
pub struct CertificateProof {
    pub algorithm: &'static str,
    thumbprint: &'static str,
}

pub const PS256: CertificateProof = CertificateProof {
    algorithm: "PS256",
    thumbprint: "x5t#S256",
};
pub const RS256: CertificateProof = CertificateProof {
    algorithm: "RS256",
    thumbprint: "x5t",
};

impl CertificateProof {
    /// True if the assertion names this certificate.
    pub fn names(&self, jwt: &Jwt, certificate: &[u8]) -> bool {
        let algorithm = if self.thumbprint == "x5t" {
            &SHA1_FOR_LEGACY_USE_ONLY
        } else {
            &SHA256
        };
        jwt.header[self.thumbprint] == base64url(digest(algorithm, certificate).as_ref())
    }

    /// Checks that the holder of this certificate's key signed it, and that `x5c` begins with the certificate.
    pub fn verify(&self, jwt: &Jwt, certificate: &[u8]) -> Result<(), String> {
        if jwt.header["x5c"][0] != STANDARD.encode(certificate) {
            return Err("x5c does not begin with the certificate".to_owned());
        }
        let (_, parsed) = x509_parser::parse_x509_certificate(certificate)
            .expect("the registered certificate is invalid");
        jwt.verify(self.algorithm, &parsed.public_key().subject_public_key.data)
    }
}
