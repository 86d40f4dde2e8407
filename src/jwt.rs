//! Signing JSON Web Tokens (RFC 7515, RFC 7519) with RSA keys: `jsonwebtoken` with ring as its crypto.

use jsonwebtoken::crypto::{CryptoProvider, JwtSigner, KeyUtils};
use jsonwebtoken::errors::{self, ErrorKind};
use jsonwebtoken::signature::{self, Signer};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use ring::rand::{SecureRandom, SystemRandom};
use ring::rsa::KeyPair;
use ring::signature::{RSA_PKCS1_SHA256, RSA_PSS_SHA256, RsaEncoding};
use serde::Serialize;
use uuid::Uuid;

use crate::error::Error;
use crate::secret::Secret;

/// Signs `claims`. `key` is an RSA private key of 2048 to 4096 bits in PKCS#1 DER; the header's `alg` is PS256 or RS256.
pub fn sign(header: &Header, claims: &impl Serialize, key: &[u8]) -> Result<Secret, Error> {
    // An error means that it is already installed.
    let _ = RING.install_default();
    jsonwebtoken::encode(header, claims, &EncodingKey::from_rsa_der(key))
        .map(Secret::new)
        .map_err(|error| Error::input(error.to_string()))
}

/// A random UUID (RFC 9562 section 5.4), for `jti` and `nonce`.
pub fn random_uuid() -> Result<Uuid, Error> {
    let mut bytes = [0; 16];
    SystemRandom::new()
        .fill(&mut bytes)
        .map_err(|_| Error::outside("the system's random number generator failed"))?;
    Ok(uuid::Builder::from_random_bytes(bytes).into_uuid())
}

/// Signs only; it cannot verify.
static RING: CryptoProvider = CryptoProvider {
    signer_factory: |algorithm, key| {
        let padding = padding(*algorithm).ok_or(ErrorKind::UnsupportedAlgorithm)?;
        let key = KeyPair::from_der(key.as_bytes());
        let key =
            key.map_err(|why| errors::Error::from(ErrorKind::InvalidRsaKey(why.to_string())))?;
        Ok(Box::new(Rsa {
            algorithm: *algorithm,
            padding,
            key,
        }))
    },
    verifier_factory: |_, _| Err(ErrorKind::UnsupportedAlgorithm.into()),
    key_utils: KeyUtils::new_unimplemented(),
};

/// RFC 7518 sections 3.3 and 3.5.
fn padding(algorithm: Algorithm) -> Option<&'static dyn RsaEncoding> {
    match algorithm {
        Algorithm::PS256 => Some(&RSA_PSS_SHA256),
        Algorithm::RS256 => Some(&RSA_PKCS1_SHA256),
        _ => None,
    }
}

struct Rsa {
    algorithm: Algorithm,
    padding: &'static dyn RsaEncoding,
    key: KeyPair,
}

impl Signer<Vec<u8>> for Rsa {
    fn try_sign(&self, message: &[u8]) -> Result<Vec<u8>, signature::Error> {
        let mut signature = vec![0; self.key.public().modulus_len()];
        self.key
            .sign(self.padding, &SystemRandom::new(), message, &mut signature)
            .map_err(|_| signature::Error::new())?;
        Ok(signature)
    }
}

impl JwtSigner for Rsa {
    fn algorithm(&self) -> Algorithm {
        self.algorithm
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_uuid_is_a_different_one_of_version_4() {
        let ids: Vec<_> = (0..64).map(|_| random_uuid().expect("random")).collect();
        for (number, id) in ids.iter().enumerate() {
            assert_eq!(id.get_version_num(), 4, "{id}");
            assert_eq!(id.get_variant(), uuid::Variant::RFC4122, "{id}");
            assert!(!ids[..number].contains(id));
        }
    }
}
