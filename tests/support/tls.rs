//! Certificates for any name, signed by the tests' certificate authority.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{ClientHello, ResolvesServerCert, WebPkiClientVerifier};
use rustls::sign::CertifiedKey;
use rustls::{RootCertStore, ServerConfig};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// The certificate that a fake presents.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Certificate {
    #[default]
    Good,
    /// Expired yesterday.
    Expired,
    /// For a different host.
    OtherHost,
    /// From a certificate authority that nobody trusts.
    Untrusted,
}

/// A certificate authority that exists only during the test.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pub pem: String,
}

impl Authority {
    pub fn new(name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![
            KeyUsagePurpose::KeyCertSign,
            KeyUsagePurpose::DigitalSignature,
        ];
        let key = KeyPair::generate().expect("cannot generate a P-256 key");
        let pem = params
            .self_signed(&key)
            .expect("cannot self-sign the certificate")
            .pem();
        Self {
            issuer: Issuer::new(params, key),
            pem,
        }
    }

    /// A client certificate from this authority and its key, in PEM.
    pub fn client(&self, name: &str) -> [String; 2] {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        let key = KeyPair::generate().expect("cannot generate a P-256 key");
        let certificate = params
            .signed_by(&key, &self.issuer)
            .expect("cannot sign the certificate");
        [certificate.pem(), key.serialize_pem()]
    }

    fn issue(&self, names: &[&str], expired: bool) -> CertifiedKey {
        let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
        let mut params = CertificateParams::new(names).expect("not a host name");
        params
            .distinguished_name
            .push(DnType::CommonName, "a fake server for tests");
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.use_authority_key_identifier_extension = true;
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .expect("the clock is before 1970");
        let epoch = rcgen::date_time_ymd(1970, 1, 1);
        params.not_before = epoch + (now - 30 * DAY);
        params.not_after = epoch + if expired { now - DAY } else { now + 30 * DAY };
        let key = KeyPair::generate().expect("cannot generate a P-256 key");
        let certificate = params
            .signed_by(&key, &self.issuer)
            .expect("cannot sign the certificate");
        let private_key =
            ring::sign::any_supported_type(&PrivatePkcs8KeyDer::from(key.serialize_der()).into());
        CertifiedKey::new(
            vec![certificate.der().clone()],
            private_key.expect("ring cannot read its own key"),
        )
    }
}

/// The name, if the client sent one, and the certificate to present.
type Asked = (Option<String>, Certificate);

/// Issues a certificate for the name that the client asks for (SNI, RFC 6066), so that one server can play all hosts.
pub struct AnyName {
    trusted: Mutex<Arc<Authority>>,
    kind: Mutex<Certificate>,
    issued: Mutex<HashMap<Asked, Arc<CertifiedKey>>>,
}

impl AnyName {
    pub fn new(trusted: Arc<Authority>) -> Arc<Self> {
        Arc::new(Self {
            trusted: Mutex::new(trusted),
            kind: Mutex::default(),
            issued: Mutex::default(),
        })
    }

    pub fn show(&self, kind: Certificate) {
        *self.kind.lock().expect("the lock is poisoned") = kind;
    }

    /// Signs new certificates with this authority.
    pub fn rotate(&self, trusted: Arc<Authority>) {
        *self.trusted.lock().expect("the lock is poisoned") = trusted;
        self.issued.lock().expect("the lock is poisoned").clear();
    }

    pub fn server_config(self: &Arc<Self>) -> Arc<ServerConfig> {
        self.server_config_for(WebPkiClientVerifier::no_client_auth())
    }

    /// Accepts only clients with a certificate from this authority.
    pub fn server_config_for_clients_of(
        self: &Arc<Self>,
        authority: &Authority,
    ) -> Arc<ServerConfig> {
        let mut roots = RootCertStore::empty();
        let certificate = CertificateDer::from_pem_slice(authority.pem.as_bytes()).expect("PEM");
        roots.add(certificate).expect("a certificate");
        let provider = Arc::new(ring::default_provider());
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
        self.server_config_for(verifier.build().expect("no trusted roots"))
    }

    fn server_config_for(
        self: &Arc<Self>,
        clients: Arc<dyn ClientCertVerifier>,
    ) -> Arc<ServerConfig> {
        let builder = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()));
        let builder = builder
            .with_safe_default_protocol_versions()
            .expect("ring does not support TLS 1.2 and 1.3");
        let mut config = builder
            .with_client_cert_verifier(clients)
            .with_cert_resolver(Arc::clone(self) as Arc<dyn ResolvesServerCert>);
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Arc::new(config)
    }

    fn certificate(&self, name: Option<&str>, kind: Certificate) -> CertifiedKey {
        let names = match name {
            Some(name) => vec![name],
            None => vec!["127.0.0.1", "::1", "localhost"], // no SNI: the URL has an address
        };
        let trusted = self.trusted.lock().expect("the lock is poisoned");
        match kind {
            Certificate::Good => trusted.issue(&names, false),
            Certificate::Expired => trusted.issue(&names, true),
            Certificate::OtherHost => trusted.issue(&["other-host.example"], false),
            Certificate::Untrusted => {
                Authority::new("nobody trusts this authority").issue(&names, false)
            }
        }
    }
}

impl ResolvesServerCert for AnyName {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let name = hello.server_name().map(str::to_owned);
        let kind = *self.kind.lock().expect("the lock is poisoned");
        let mut issued = self.issued.lock().expect("the lock is poisoned");
        let certified = issued.entry((name.clone(), kind));
        Some(Arc::clone(certified.or_insert_with(|| {
            Arc::new(self.certificate(name.as_deref(), kind))
        })))
    }
}

impl std::fmt::Debug for AnyName {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("AnyName")
    }
}

/// A self-signed server certificate and its SHA-1 digest in hexadecimal.
pub fn self_signed() -> (Arc<ServerConfig>, String) {
    let key = KeyPair::generate().expect("cannot generate a P-256 key");
    let params = CertificateParams::new(vec!["localhost".to_owned()]).expect("not a host name");
    let certificate = params
        .self_signed(&key)
        .expect("cannot self-sign the certificate");
    let digest =
        ::ring::digest::digest(&::ring::digest::SHA1_FOR_LEGACY_USE_ONLY, certificate.der());
    let thumbprint = digest.as_ref().iter().map(|byte| format!("{byte:02X}"));
    let builder = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()));
    let config = builder
        .with_safe_default_protocol_versions()
        .expect("ring does not support TLS 1.2 and 1.3")
        .with_no_client_auth()
        .with_single_cert(
            vec![certificate.der().clone()],
            PrivatePkcs8KeyDer::from(key.serialize_der()).into(),
        );
    let config = config.expect("the key does not match the certificate");
    (Arc::new(config), thumbprint.collect())
}
