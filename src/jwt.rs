//! Signing JSON Web Tokens (RFC 7515, RFC 7519) with RSA keys: `jsonwebtoken` with ring as its crypto.

use jsonwebtoken::crypto::{CryptoProvider, JwtSigner, KeyUtils};
use jsonwebtoken::errors::{self, ErrorKind};
use jsonwebtoken::signature::{self, Signer};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use ring::rand::{SecureRandom, SystemRandom};
use ring::rsa::KeyPair;
use ring::signature::{RSA_PKCS1_SHA256, RSA_PSS_SHA256, RsaEncoding};
use serde::Serialize;

use crate::error::Error;
use crate::secret::Secret;

/// Signs `claims`. `key` is an RSA private key in PKCS#1 DER, of 2048 to 4096 bits; the header's `alg` is PS256 or RS256.
pub fn sign(header: &Header, claims: &impl Serialize, key: &[u8]) -> Result<Secret, Error> {
    // An error means that an earlier token has installed it.
    let _ = RING.install_default();
    jsonwebtoken::encode(header, claims, &EncodingKey::from_rsa_der(key))
        .map(Secret::new)
        .map_err(|error| Error::input(format!("it cannot be signed: {error}")))
}

/// A UUID of version 4 (RFC 9562 section 5.4), for `jti` and `nonce`.
pub fn random_uuid() -> Result<String, Error> {
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

/// It signs, and verifies nothing.
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
    fn each_uuid_is_another_of_version_4() {
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
