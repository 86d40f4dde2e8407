//! Checks of the PEM that a kubeconfig gives for TLS: the TLS library's own errors do not say whose file is at fault.

use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use rustls::{Error, RootCertStore};

/// What is wrong with a client certificate and its key; the reason follows the name of the file or field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum IdentityFault {
    Certificate(String),
    Key(String),
    /// The key is not the certificate's.
    Mismatch,
}

/// Checks the certificates of a certificate authority.
///
/// # Errors
/// Why it cannot be used, to follow its name.
pub fn check_authority(pem: &[u8]) -> Result<(), String> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(pem)? {
        roots
            .add(certificate)
            .map_err(|error| format!("contains an unusable certificate ({error})"))?;
    }
    Ok(())
}

/// Checks a client certificate (with its chain) and its key.
///
/// # Errors
/// Which of them cannot be used, and why.
pub fn check_identity(certificate: &[u8], key: &[u8]) -> Result<(), IdentityFault> {
    let chain = certificates(certificate).map_err(IdentityFault::Certificate)?;
    let key = PrivateKeyDer::from_pem_slice(key)
        .map_err(|_| IdentityFault::Key("contains no unencrypted PEM private key".into()))?;
    match CertifiedKey::from_der(chain, key, &ring::default_provider()) {
        Ok(_) => Ok(()),
        Err(Error::InconsistentKeys(_)) => Err(IdentityFault::Mismatch),
        Err(error @ Error::InvalidCertificate(_)) => Err(IdentityFault::Certificate(format!(
            "contains an unusable certificate ({error})"
        ))),
        Err(error) => Err(IdentityFault::Key(format!("cannot be used ({error})"))),
    }
}

fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    let certificates = certificates.map_err(|_| "is not valid PEM")?;
    match certificates.is_empty() {
        true => Err("contains no PEM certificate".into()),
        false => Ok(certificates),
    }
}
