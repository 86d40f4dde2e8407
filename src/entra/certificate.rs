//! The file of a client certificate: PEM or PKCS#12 in, an RSA key and its certificate chain out.

mod null_password;

use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use chrono::{DateTime, Utc};
use p12_keystore::Pkcs12Archive;
use p12_keystore::error::Error as Pkcs12Error;
use pkcs8::pkcs5;
use pkcs8::{EncryptedPrivateKeyInfoRef, ObjectIdentifier, PrivateKeyInfoRef};
use ring::rsa::KeyPair as RsaKeyPair;
use ring::signature::KeyPair;
use x509_parser::certificate::X509Certificate;
use x509_parser::parse_x509_certificate;
use x509_parser::pem::Pem;
use zeroize::Zeroizing;

use crate::error::Error;
use crate::secret::Secret;

/// A client certificate as it lies on disk. Reading it costs microseconds; opening it may cost milliseconds.
pub struct CertificateFile {
    path: PathBuf,
    bytes: Zeroizing<Vec<u8>>,
    password: Option<Secret>,
}

/// A private key, and the certificates that vouch for it.
pub struct Certificate {
    /// The RSA key as PKCS#1 DER (RFC 8017 appendix A.1.2).
    pub(super) key: Zeroizing<Vec<u8>>,
    /// DER; the key's own certificate first, then each one's issuer as far as the file has them.
    pub(super) chain: Vec<Vec<u8>>,
}

/// What a file holds, before anything is checked.
#[derive(Default)]
struct Content {
    /// RSA keys as PKCS#1 DER.
    keys: Vec<Zeroizing<Vec<u8>>>,
    /// Certificates as DER.
    certificates: Vec<Vec<u8>>,
}

/// The largest file that is read, in bytes: a long chain has a few tens of KiB.
const LARGEST_FILE: u64 = 1024 * 1024;

/// The algorithm of an RSA key (RFC 8017 appendix A.1).
const RSA_ENCRYPTION: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");

const CHECK_PATH: &str = "Give --client-certificate (or AZURE_CLIENT_CERTIFICATE_PATH) a PEM or PKCS#12 file with the certificate and its private key.";
const CHECK_PASSWORD: &str =
    "Check --client-certificate-password (or AZURE_CLIENT_CERTIFICATE_PASSWORD).";
const CONVERT_KEY: &str = "Convert the key: openssl pkcs8 -topk8 -v2 aes-256-cbc -in OLD.pem -out NEW.pem, then append the certificate to NEW.pem.";
const CONVERT_PKCS12: &str = "Convert the file: openssl pkcs12 -in OLD.pfx -out NEW.pem, and give NEW.pem to --client-certificate (or AZURE_CLIENT_CERTIFICATE_PATH).";

impl CertificateFile {
    /// Reads the file and looks no further.
    ///
    /// # Errors
    /// The file is missing, a directory, not readable, empty or larger than 1 MiB.
    pub fn read(path: &Path, password: Option<Secret>) -> Result<Self, Error> {
        let wrong = |why: String| in_file(path, Error::input(why).remedy(CHECK_PATH));
        let bytes = read_at_most(path, LARGEST_FILE + 1).map_err(|error| {
            wrong(match error.kind() {
                io::ErrorKind::NotFound => "does not exist".into(),
                // Windows opens no directory, Unix opens one and cannot read it.
                _ if path.is_dir() => "is a directory".into(),
                _ => format!("cannot be read: {error}"),
            })
        })?;
        match bytes.len() as u64 {
            0 => Err(wrong("is empty".into())),
            1..=LARGEST_FILE => Ok(Self {
                path: path.to_owned(),
                bytes,
                password,
            }),
            _ => Err(wrong("is larger than 1 MiB".into())),
        }
    }

    /// The file and its password as they were read: another of either is another proof.
    pub fn secrets(&self) -> [&[u8]; 2] {
        let password = self.password.as_ref().map_or("", Secret::expose);
        [&self.bytes, password.as_bytes()]
    }

    /// Takes the file apart: PEM or PKCS#12, whatever its name says (Azure/kubelogin reads .pfx only as PKCS#12).
    ///
    /// # Errors
    /// The format or its encryption is unknown, the password is missing or wrong, there is no key or no certificate,
    /// the key is not RSA, no certificate belongs to it, or that certificate has expired at `now`.
    pub fn open(&self, now: DateTime<Utc>) -> Result<Certificate, Error> {
        Content::read(&self.bytes, self.password.as_ref())
            .and_then(|content| content.check(now))
            .map_err(|error| in_file(&self.path, error))
    }
}

impl fmt::Debug for CertificateFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CertificateFile({})", self.path.display())
    }
}

fn in_file(path: &Path, error: Error) -> Error {
    error.context(format_args!("client certificate {}", path.display()))
}

fn read_at_most(path: &Path, limit: u64) -> io::Result<Zeroizing<Vec<u8>>> {
    let mut bytes = Zeroizing::new(Vec::new());
    File::open(path)?.take(limit).read_to_end(&mut bytes)?;
    Ok(bytes)
}

impl Content {
    fn read(bytes: &[u8], password: Option<&Secret>) -> Result<Self, Error> {
        match bytes {
            // A DER sequence longer than 127 bytes; no text begins so.
            [0x30, 0x80..=0xff, ..] => Self::read_pkcs12(bytes, password),
            _ if contains(bytes, "-----BEGIN ") => Self::read_pem(bytes, password),
            _ => Err(Error::input("is neither PEM nor PKCS#12").remedy(CHECK_PATH)),
        }
    }

    fn read_pem(text: &[u8], password: Option<&Secret>) -> Result<Self, Error> {
        if contains(text, "Proc-Type: 4,ENCRYPTED") {
            return Err(
                Error::input("has a key in OpenSSL's traditional encryption").remedy(CONVERT_KEY),
            );
        }
        let mut content = Self::default();
        let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
        for block in Pem::iter_from_buffer(text) {
            let Pem { label, contents } = block.map_err(|_| damaged("PEM"))?;
            let contents = Zeroizing::new(contents);
            match label.as_str() {
                "CERTIFICATE" => content.certificates.push(contents.to_vec()),
                "PRIVATE KEY" => content.keys.push(rsa_key(&contents)?),
                "RSA PRIVATE KEY" => content.keys.push(contents),
                "ENCRYPTED PRIVATE KEY" => content.keys.push(decrypt(&contents, password)?),
                other if other.ends_with("PRIVATE KEY") => return Err(not_rsa()),
                _ => {}
            }
        }
        Ok(content)
    }

    fn read_pkcs12(der: &[u8], password: Option<&Secret>) -> Result<Self, Error> {
        if parse_x509_certificate(der).is_ok() {
            return Err(no_key());
        }
        let archive = match Pkcs12Archive::from_pkcs12(der, password.map_or("", Secret::expose)) {
            Ok(archive) => archive,
            Err(error) => {
                let bags = match password {
                    Some(_) => None,
                    None => null_password::read(der),
                };
                return match bags {
                    Some(bags) => Self::from_pkcs8(bags.keys.iter(), bags.certificates),
                    None => Err(pkcs12_error(&error, password)),
                };
            }
        };
        Self::from_pkcs8(
            archive.keys.iter().map(|bag| bag.key.as_der()),
            archive
                .certs
                .iter()
                .map(|bag| bag.cert.as_der().to_vec())
                .collect(),
        )
    }

    fn from_pkcs8(
        keys: impl Iterator<Item = impl AsRef<[u8]>>,
        certificates: Vec<Vec<u8>>,
    ) -> Result<Self, Error> {
        let keys = keys
            .map(|key| rsa_key(key.as_ref()))
            .collect::<Result<_, _>>()?;
        Ok(Self { keys, certificates })
    }

    /// The first key with its certificate, if both are of use.
    fn check(mut self, now: DateTime<Utc>) -> Result<Certificate, Error> {
        if self.keys.is_empty() {
            return Err(no_key());
        }
        let key = self.keys.swap_remove(0);
        let public_key = RsaKeyPair::from_der(&key).map_err(|why| {
            Error::input(format!("has an RSA key that cannot sign: {why}"))
                .remedy("Use a certificate with an RSA key of 2048 to 4096 bits.")
        })?;
        let certificates = self.certificates.iter();
        let certificates: Vec<_> = certificates
            .map(|der| {
                Ok(parse_x509_certificate(der)
                    .map_err(|_| damaged("a certificate"))?
                    .1)
            })
            .collect::<Result<_, _>>()?;
        let leaf = leaf(&certificates, public_key.public_key().as_ref(), now)?;
        let chain = chain(leaf, &certificates);
        Ok(Certificate {
            chain: chain.iter().map(|one| one.as_raw().to_vec()).collect(),
            key,
        })
    }
}

/// The certificate of a key; of an old and a renewed one for the same key, the one that is still good.
fn leaf<'a>(
    certificates: &'a [X509Certificate<'a>],
    public_key: &[u8],
    now: DateTime<Utc>,
) -> Result<&'a X509Certificate<'a>, Error> {
    if certificates.is_empty() {
        return Err(Error::input("holds no certificate").remedy(CHECK_PATH));
    }
    let mut expired_on = None;
    for certificate in certificates {
        if *certificate.public_key().subject_public_key.data != *public_key {
            continue;
        }
        let end = DateTime::from_timestamp(certificate.validity().not_after.timestamp(), 0);
        match end.filter(|end| *end < now) {
            None => return Ok(certificate),
            Some(end) => expired_on = expired_on.max(Some(end)),
        }
    }
    Err(match expired_on {
        Some(end) => Error::input(format!("expired on {}", end.format("%Y-%m-%d"))).remedy(
            "Renew it at the application in Entra ID, and give --client-certificate (or AZURE_CLIENT_CERTIFICATE_PATH) the new file.",
        ),
        None => Error::input("has no certificate that matches its private key").remedy(CHECK_PATH),
    })
}

/// `leaf`, then each one's issuer. A name is not enough: the issuer's key must have signed.
fn chain<'a>(
    leaf: &'a X509Certificate<'a>,
    certificates: &'a [X509Certificate<'a>],
) -> Vec<&'a X509Certificate<'a>> {
    let mut chain = vec![leaf];
    let mut last = leaf;
    let is_issuer = |issuer: &X509Certificate, of: &X509Certificate| {
        issuer.subject().as_raw() == of.issuer().as_raw()
            && of.verify_signature(Some(issuer.public_key())).is_ok()
    };
    while let Some(issuer) = certificates.iter().find(|one| {
        is_issuer(one, last) && !chain.iter().any(|earlier| earlier.as_raw() == one.as_raw())
    }) {
        chain.push(issuer);
        last = issuer;
    }
    chain
}

/// The RSA key of a PKCS#8 `PrivateKeyInfo` (RFC 5958 section 2).
fn rsa_key(pkcs8: &[u8]) -> Result<Zeroizing<Vec<u8>>, Error> {
    let info = PrivateKeyInfoRef::try_from(pkcs8).map_err(|_| damaged("the private key"))?;
    match info.algorithm.oid {
        RSA_ENCRYPTION => Ok(Zeroizing::new(info.private_key.as_bytes().to_vec())),
        _ => Err(not_rsa()),
    }
}

/// The RSA key of a PKCS#8 `EncryptedPrivateKeyInfo` (RFC 5958 section 3), encrypted by PBES2 (RFC 8018 section 6.2).
fn decrypt(pkcs8: &[u8], password: Option<&Secret>) -> Result<Zeroizing<Vec<u8>>, Error> {
    let unsupported =
        || Error::input("has a key that is encrypted in an old or unknown way").remedy(CONVERT_KEY);
    let encrypted = EncryptedPrivateKeyInfoRef::try_from(pkcs8).map_err(|_| unsupported())?;
    let given = password.map_or("", Secret::expose);
    let key = encrypted.decrypt(given).map_err(|error| match error {
        pkcs8::Error::EncryptedPrivateKey(pkcs5::Error::DecryptFailed) | pkcs8::Error::Asn1(_) => {
            does_not_open(password)
        }
        _ => unsupported(),
    })?;
    rsa_key(key.as_bytes())
}

fn pkcs12_error(error: &Pkcs12Error, password: Option<&Secret>) -> Error {
    match error {
        Pkcs12Error::MacError(_) | Pkcs12Error::UnpadError => does_not_open(password),
        Pkcs12Error::Pkcs5Error(why) if *why == pkcs5::Error::DecryptFailed.to_string() => {
            does_not_open(password)
        }
        Pkcs12Error::Pkcs5Error(_)
        | Pkcs12Error::UnsupportedEncryptionScheme
        | Pkcs12Error::UnsupportedMacAlgorithm => {
            Error::input("is encrypted in an unknown way").remedy(CONVERT_PKCS12)
        }
        _ => Error::input("is damaged, or no PKCS#12").remedy(CONVERT_PKCS12),
    }
}

fn contains(bytes: &[u8], text: &str) -> bool {
    bytes
        .windows(text.len())
        .any(|window| window == text.as_bytes())
}

fn damaged(part: &str) -> Error {
    Error::input(format!("is damaged: {part} cannot be read")).remedy(CHECK_PATH)
}

fn no_key() -> Error {
    Error::input("holds no private key").remedy(CHECK_PATH)
}

fn not_rsa() -> Error {
    Error::input("has a private key that is not RSA")
        .remedy("Use a certificate with an RSA key: Entra ID takes no other (EC, Ed25519).")
}

fn does_not_open(password: Option<&Secret>) -> Error {
    match password {
        Some(_) => Error::input("does not open with the password given").remedy(CHECK_PASSWORD),
        None => Error::input("is encrypted, and no password is given")
            .remedy("Give --client-certificate-password (or AZURE_CLIENT_CERTIFICATE_PASSWORD)."),
    }
}

#[cfg(test)]
pub mod tests {
    use super::*;
    use crate::system::fake::FakeSystem;

    pub const FIXTURES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/certificates");
    pub const PASSWORD: &str = "swordfish";

    pub fn open(file: &str, password: &str) -> Result<Certificate, Error> {
        let password = Some(password).filter(|text| !text.is_empty());
        let path = Path::new(FIXTURES).join(file);
        CertificateFile::read(&path, password.map(Secret::new))?.open(FakeSystem::EPOCH)
    }

    fn subjects(certificate: &Certificate) -> Vec<String> {
        let chain = certificate.chain.iter();
        chain
            .map(|der| {
                let subject = parse_x509_certificate(der)
                    .expect("DER")
                    .1
                    .subject
                    .to_string();
                subject.replace("CN=kubelogin test ", "")
            })
            .collect()
    }

    const LEAF: &[&str] = &["leaf"];
    const CHAIN: &[&str] = &["leaf", "intermediate", "root"];

    /// Each file that opens: its password and the chain in it.
    #[rustfmt::skip]
    const GOOD: &[(&str, &str, &[&str])] = &[
        ("pkcs8-key-first.pem", "", LEAF),
        ("pkcs8-key-first.pem", "a password that nothing asks for", LEAF),
        ("pkcs8-key-last.pem", "", LEAF),
        ("pkcs1.pem", "", LEAF),
        ("encrypted-pkcs8.pem", PASSWORD, LEAF),
        ("encrypted-pkcs8-3des-sha1.pem", PASSWORD, LEAF),
        ("encrypted-pkcs8-scrypt.pem", PASSWORD, LEAF),
        ("windows-line-ends-and-bom.pem", "", LEAF),
        ("pem-in-fact.pfx", "", LEAF),
        ("rsa-4096.pem", "", &["4096 bits"]),
        ("chain.pem", "", CHAIN),
        ("chain-shuffled-with-stranger.pem", "", CHAIN),
        ("chain-with-namesake-of-issuer.pem", "", LEAF),
        ("expired-and-renewed.pem", "", LEAF),
        ("modern.pfx", PASSWORD, LEAF),
        ("modern-chain.p12", PASSWORD, CHAIN),
        ("modern-no-password.pfx", "", LEAF),
        ("modern-unicode-password.pfx", "pässwörd", LEAF),
        ("legacy-rc2-3des-sha1.pfx", PASSWORD, LEAF),
        ("legacy-chain.pfx", PASSWORD, CHAIN),
        ("legacy-no-password.pfx", "", LEAF),
        ("no-mac-no-encryption.pfx", "", LEAF),
        ("null-password-legacy.pfx", "", CHAIN),
        ("null-password-modern.pfx", "", CHAIN),
        ("null-password-no-encryption.pfx", "", CHAIN),
        ("pkcs12-in-fact.pem", PASSWORD, LEAF),
    ];

    const GIVE_PASSWORD: &str =
        "Give --client-certificate-password (or AZURE_CLIENT_CERTIFICATE_PASSWORD).";
    const USE_RSA: &str =
        "Use a certificate with an RSA key: Entra ID takes no other (EC, Ed25519).";
    const RENEW: &str = "Renew it at the application in Entra ID, and give --client-certificate (or AZURE_CLIENT_CERTIFICATE_PATH) the new file.";

    /// Each file that does not: its password, what is wrong and the way out.
    #[rustfmt::skip]
    const BAD: &[(&str, &str, &str, &str)] = &[
        ("encrypted-pkcs8.pem", "", "is encrypted, and no password is given", GIVE_PASSWORD),
        ("encrypted-pkcs8.pem", "wrong", "does not open with the password given", CHECK_PASSWORD),
        ("encrypted-pkcs8-scrypt.pem", "wrong", "does not open with the password given", CHECK_PASSWORD),
        ("encrypted-pkcs8-pbes1.pem", PASSWORD, "has a key that is encrypted in an old or unknown way", CONVERT_KEY),
        ("encrypted-traditional.pem", PASSWORD, "has a key in OpenSSL's traditional encryption", CONVERT_KEY),
        ("modern.pfx", "", "is encrypted, and no password is given", GIVE_PASSWORD),
        ("modern.pfx", "wrong", "does not open with the password given", CHECK_PASSWORD),
        ("legacy-rc2-3des-sha1.pfx", "", "is encrypted, and no password is given", GIVE_PASSWORD),
        ("legacy-rc2-3des-sha1.pfx", "wrong", "does not open with the password given", CHECK_PASSWORD),
        ("no-mac.pfx", "wrong", "does not open with the password given", CHECK_PASSWORD),
        ("legacy-no-mac.pfx", "wrong", "does not open with the password given", CHECK_PASSWORD),
        ("pbes1-rc4.pfx", PASSWORD, "is encrypted in an unknown way", CONVERT_PKCS12),
        ("no-key.pem", "", "holds no private key", CHECK_PATH),
        ("no-key.pfx", PASSWORD, "holds no private key", CHECK_PATH),
        ("certificate.der", "", "holds no private key", CHECK_PATH),
        ("no-certificate.pem", "", "holds no certificate", CHECK_PATH),
        ("ec-pkcs8.pem", "", "has a private key that is not RSA", USE_RSA),
        ("ec-sec1.pem", "", "has a private key that is not RSA", USE_RSA),
        ("ec.pfx", PASSWORD, "has a private key that is not RSA", USE_RSA),
        ("ed25519.pem", "", "has a private key that is not RSA", USE_RSA),
        ("rsa-1024.pem", "", "has an RSA key that cannot sign: TooSmall", "Use a certificate with an RSA key of 2048 to 4096 bits."),
        ("expired.pem", "", "expired on 2021-02-03", RENEW),
        ("key-of-another.pem", "", "has no certificate that matches its private key", CHECK_PATH),
        ("cut-short.pem", "", "is damaged: PEM cannot be read", CHECK_PATH),
        ("garbled.pem", "", "is damaged: PEM cannot be read", CHECK_PATH),
        ("cut-short.pfx", PASSWORD, "is damaged, or no PKCS#12", CONVERT_PKCS12),
        ("make.sh", "", "is neither PEM nor PKCS#12", CHECK_PATH),
    ];

    #[test]
    fn each_good_file_gives_its_chain_in_order() {
        for (file, password, chain) in GOOD {
            let opened = open(file, password).unwrap_or_else(|error| panic!("{file}: {error}"));
            assert_eq!(subjects(&opened), *chain, "{file}");
        }
    }

    #[test]
    fn each_bad_file_is_named_with_what_is_wrong_and_the_way_out() {
        for (file, password, what, remedy) in BAD {
            let error = open(file, password)
                .err()
                .unwrap_or_else(|| panic!("{file} opened"));
            let path = Path::new(FIXTURES).join(file);
            let expected = format!("client certificate {}: {what}\n{remedy}", path.display());
            assert_eq!(error.to_string(), expected);
        }
    }

    #[test]
    fn the_tables_above_have_every_fixture() {
        let good = GOOD.iter().map(|row| row.0);
        let known: Vec<_> = good.chain(BAD.iter().map(|row| row.0)).collect();
        for entry in std::fs::read_dir(FIXTURES).expect("fixtures") {
            let name = entry.expect("an entry").file_name();
            assert!(known.iter().any(|file| **file == name), "{name:?}");
        }
    }

    #[test]
    fn a_path_that_leads_to_no_file_with_something_in_it_is_named() {
        let folder = std::env::temp_dir().join(format!("certificate-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a folder");
        let write = |name: &str, bytes: &[u8]| {
            let path = folder.join(name);
            std::fs::write(&path, bytes).expect("a file");
            path
        };
        for (path, what) in [
            (folder.join("missing"), "does not exist"),
            (folder.clone(), "is a directory"),
            (write("empty", b""), "is empty"),
            (
                write("huge", &vec![b' '; 1024 * 1024 + 1]),
                "is larger than 1 MiB",
            ),
            // The one unreadable file that even root cannot read.
            #[cfg(unix)]
            (
                write("file", b"x").join("below"),
                "cannot be read: Not a directory (os error 20)",
            ),
        ] {
            let error = CertificateFile::read(&path, None).expect_err(what);
            let expected = format!(
                "client certificate {}: {what}\n{CHECK_PATH}",
                path.display()
            );
            assert_eq!(error.to_string(), expected);
        }
        std::fs::remove_dir_all(folder).expect("removed");
    }

    #[test]
    fn every_prefix_of_a_file_is_an_error_and_no_panic() {
        for (file, password) in [
            ("modern-chain.p12", PASSWORD),
            ("legacy-no-password.pfx", ""),
        ] {
            let whole = std::fs::read(Path::new(FIXTURES).join(file)).expect("a fixture");
            for end in (1..whole.len()).step_by(97) {
                let cut = CertificateFile {
                    path: file.into(),
                    bytes: Zeroizing::new(whole[..end].to_vec()),
                    password: Some(Secret::new(password)),
                };
                assert!(cut.open(FakeSystem::EPOCH).is_err(), "{file} cut at {end}");
            }
        }
    }

    #[test]
    fn debug_shows_neither_key_nor_password() {
        let path = Path::new(FIXTURES).join("pkcs1.pem");
        let file = CertificateFile::read(&path, Some(Secret::new(PASSWORD))).expect("a file");
        assert_eq!(
            format!("{file:?}"),
            format!("CertificateFile({})", path.display())
        );
    }
}
