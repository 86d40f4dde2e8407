//! Client certificates: a PEM or PKCS#12 file in, an RSA key and its certificate chain out.

mod content;
mod cost;
mod null_password;

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use chrono::{DateTime, Utc};
use ring::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use ring::rsa::KeyPair as RsaKeyPair;
use ring::signature::KeyPair;
use x509_parser::certificate::X509Certificate;
use x509_parser::parse_x509_certificate;
use zeroize::Zeroizing;

use crate::error::Error;
use crate::secret::Secret;
use crate::system::bounded;
use content::{Content, damaged, no_key};

/// A client certificate file, read but not yet opened. Reading takes microseconds; opening may take milliseconds.
pub struct CertificateFile {
    path: PathBuf,
    bytes: Zeroizing<Vec<u8>>,
    password: Option<Secret>,
}

/// A private key and the certificates that vouch for it.
pub struct Certificate {
    /// The RSA key as PKCS#1 DER (RFC 8017 appendix A.1.2).
    pub(super) key: Zeroizing<Vec<u8>>,
    /// DER: the key's own certificate first, then each one's issuer as far as the file contains them.
    pub(super) chain: Vec<Vec<u8>>,
}

/// The largest file that is read, in bytes; a long chain has a few tens of KiB.
const LARGEST_FILE: u64 = 1024 * 1024;

const CHECK_PATH: &str = "Set --client-certificate (or AZURE_CLIENT_CERTIFICATE_PATH) to a PEM or PKCS#12 file that contains the certificate and its private key.";

impl CertificateFile {
    /// Reads the file without looking at its content. A pipe may take as long as `patience`.
    ///
    /// # Errors
    /// The file is missing, a directory, unreadable, empty or larger than 1 MiB.
    pub fn read(path: &Path, password: Option<Secret>, patience: Duration) -> Result<Self, Error> {
        let wrong = |why: String| in_file(path, Error::input(why).remedy(CHECK_PATH));
        let bytes = bounded::read_any(path, LARGEST_FILE, patience).map_err(|error| {
            wrong(match error.kind() {
                io::ErrorKind::NotFound => "does not exist".into(),
                io::ErrorKind::IsADirectory => "is a directory".into(),
                io::ErrorKind::FileTooLarge => "is larger than 1 MiB".into(),
                _ => format!("cannot be read: {error}"),
            })
        })?;
        if bytes.is_empty() {
            return Err(wrong("is empty".into()));
        }
        Ok(Self {
            path: path.to_owned(),
            bytes: Zeroizing::new(bytes),
            password,
        })
    }

    /// The file and its password: if either differs, these are different credentials.
    pub fn secrets(&self) -> [&[u8]; 2] {
        let password = self.password.as_ref().map_or("", Secret::expose);
        [&self.bytes, password.as_bytes()]
    }

    /// Parses the file as PEM or PKCS#12, whatever its name (Azure/kubelogin reads .pfx only as PKCS#12).
    ///
    /// # Errors
    /// The format or its encryption is not supported, the password is missing or wrong, there is no key or no
    /// certificate, the key is not RSA, no certificate matches it, or the matching one has expired at `now`.
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

impl Content {
    /// The first key with its certificate, if both are usable.
    fn check(mut self, now: DateTime<Utc>) -> Result<Certificate, Error> {
        self.check_count()?;
        if self.keys.is_empty() {
            return Err(no_key());
        }
        let key = self.keys.swap_remove(0);
        let public_key = RsaKeyPair::from_der(&key).map_err(|why| {
            Error::input(format!("has an unusable RSA key: {why}"))
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

impl Certificate {
    /// Its SHA-1 thumbprint, as the portal of Entra ID shows it, and when it expires.
    pub fn for_people(&self) -> Option<(String, DateTime<Utc>)> {
        let leaf = self.chain.first()?;
        let (_, parsed) = parse_x509_certificate(leaf).ok()?;
        let end = DateTime::from_timestamp(parsed.validity().not_after.timestamp(), 0)?;
        let digest = digest(&SHA1_FOR_LEGACY_USE_ONLY, leaf);
        Some((hex::encode_upper(digest), end))
    }
}

/// The certificate of a key: of an old and a renewed one for the same key, the one that is still valid.
fn leaf<'a>(
    certificates: &'a [X509Certificate<'a>],
    public_key: &[u8],
    now: DateTime<Utc>,
) -> Result<&'a X509Certificate<'a>, Error> {
    if certificates.is_empty() {
        return Err(Error::input("contains no certificate").remedy(CHECK_PATH));
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
            "Renew it, register it for the application in Entra ID, and set --client-certificate (or AZURE_CLIENT_CERTIFICATE_PATH) to the new file.",
        ),
        None => Error::input("has no certificate that matches its private key").remedy(CHECK_PATH),
    })
}

/// The most certificates of a chain. Every link costs a signature check for each certificate of the issuer's name.
const LONGEST_CHAIN: usize = 10;

/// `leaf`, then each one's issuer. A matching name is not enough: the issuer's key must have signed it.
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
    while chain.len() < LONGEST_CHAIN
        && let Some(issuer) = certificates.iter().find(|one| {
            is_issuer(one, last) && !chain.iter().any(|earlier| earlier.as_raw() == one.as_raw())
        })
    {
        chain.push(issuer);
        last = issuer;
    }
    chain
}

#[cfg(test)]
pub mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;

    use super::content::{CHECK_PASSWORD, CONVERT_KEY, CONVERT_PKCS12};
    use super::*;
    use crate::system::fake::FakeSystem;

    pub const FIXTURES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/certificates");
    pub const PASSWORD: &str = "swordfish";

    pub fn open(file: &str, password: &str) -> Result<Certificate, Error> {
        let password = Some(password).filter(|text| !text.is_empty());
        let path = Path::new(FIXTURES).join(file);
        CertificateFile::read(&path, password.map(Secret::new), Duration::ZERO)?
            .open(FakeSystem::EPOCH)
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

    /// As `openssl x509 -fingerprint -sha1 -enddate` says them.
    #[test]
    fn people_are_told_the_thumbprint_and_the_end_of_the_leaf() {
        let (thumbprint, end) = open("chain.pem", "")
            .expect("opened")
            .for_people()
            .expect("both");
        assert_eq!(thumbprint, "4AC2E8D38C4DAF6945812F403CB9765771ADDAA2");
        assert_eq!(end.to_rfc3339(), "2126-11-01T00:20:04+00:00");
    }

    const LEAF: &[&str] = &["leaf"];
    const CHAIN: &[&str] = &["leaf", "intermediate", "root"];

    /// Each file that opens, with its password and the chain in it.
    #[rustfmt::skip]
    const GOOD: &[(&str, &str, &[&str])] = &[
        ("pkcs8-key-first.pem", "", LEAF),
        ("pkcs8-key-first.pem", "a password that is not needed", LEAF),
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

    const SET_PASSWORD: &str =
        "Set --client-certificate-password (or AZURE_CLIENT_CERTIFICATE_PASSWORD).";
    const USE_RSA: &str =
        "Use a certificate with an RSA key; Entra ID does not accept EC or Ed25519 keys.";
    const RENEW: &str = "Renew it, register it for the application in Entra ID, and set --client-certificate (or AZURE_CLIENT_CERTIFICATE_PATH) to the new file.";

    /// Each file that does not open, with its password, the problem and the fix.
    #[rustfmt::skip]
    const BAD: &[(&str, &str, &str, &str)] = &[
        ("encrypted-pkcs8.pem", "", "is encrypted and needs a password", SET_PASSWORD),
        ("encrypted-pkcs8.pem", "wrong", "cannot be decrypted with this password", CHECK_PASSWORD),
        ("encrypted-pkcs8-scrypt.pem", "wrong", "cannot be decrypted with this password", CHECK_PASSWORD),
        ("encrypted-pkcs8-pbes1.pem", PASSWORD, "has a key with unsupported encryption", CONVERT_KEY),
        ("encrypted-traditional.pem", PASSWORD, "has a key in OpenSSL's traditional encrypted format", CONVERT_KEY),
        ("modern.pfx", "", "is encrypted and needs a password", SET_PASSWORD),
        ("modern.pfx", "wrong", "cannot be decrypted with this password", CHECK_PASSWORD),
        ("legacy-rc2-3des-sha1.pfx", "", "is encrypted and needs a password", SET_PASSWORD),
        ("legacy-rc2-3des-sha1.pfx", "wrong", "cannot be decrypted with this password", CHECK_PASSWORD),
        ("no-mac.pfx", "wrong", "cannot be decrypted with this password", CHECK_PASSWORD),
        ("legacy-no-mac.pfx", "wrong", "cannot be decrypted with this password", CHECK_PASSWORD),
        ("pbes1-rc4.pfx", PASSWORD, "uses unsupported encryption", CONVERT_PKCS12),
        ("no-key.pem", "", "contains no private key", CHECK_PATH),
        ("no-key.pfx", PASSWORD, "contains no private key", CHECK_PATH),
        ("certificate.der", "", "contains no private key", CHECK_PATH),
        ("no-certificate.pem", "", "contains no certificate", CHECK_PATH),
        ("ec-pkcs8.pem", "", "has a private key that is not RSA", USE_RSA),
        ("ec-sec1.pem", "", "has a private key that is not RSA", USE_RSA),
        ("ec.pfx", PASSWORD, "has a private key that is not RSA", USE_RSA),
        ("ed25519.pem", "", "has a private key that is not RSA", USE_RSA),
        ("rsa-1024.pem", "", "has an unusable RSA key: TooSmall", "Use a certificate with an RSA key of 2048 to 4096 bits."),
        ("expired.pem", "", "expired on 2021-02-03", RENEW),
        ("key-of-another.pem", "", "has no certificate that matches its private key", CHECK_PATH),
        ("cut-short.pem", "", "is damaged: the PEM data cannot be read", CHECK_PATH),
        ("garbled.pem", "", "is damaged: the PEM data cannot be read", CHECK_PATH),
        ("cut-short.pfx", PASSWORD, "is not a valid PKCS#12 file", CONVERT_PKCS12),
        ("make.sh", "", "is neither PEM nor PKCS#12", CHECK_PATH),
    ];

    #[test]
    fn each_good_file_yields_its_chain_in_order() {
        for (file, password, chain) in GOOD {
            let opened = open(file, password).unwrap_or_else(|error| panic!("{file}: {error}"));
            assert_eq!(subjects(&opened), *chain, "{file}");
        }
    }

    #[test]
    fn each_bad_file_is_named_with_the_problem_and_the_fix() {
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
    fn every_fixture_is_in_one_of_the_tables() {
        let good = GOOD.iter().map(|row| row.0);
        let known: Vec<_> = good.chain(BAD.iter().map(|row| row.0)).collect();
        for entry in std::fs::read_dir(FIXTURES).expect("fixtures") {
            let name = entry.expect("an entry").file_name();
            assert!(known.iter().any(|file| **file == name), "{name:?}");
        }
    }

    #[test]
    fn a_path_without_a_usable_file_is_named() {
        let folder = tempfile::tempdir().expect("a folder");
        let folder = folder.path();
        let write = |name: &str, bytes: &[u8]| {
            let path = folder.join(name);
            std::fs::write(&path, bytes).expect("a file");
            path
        };
        for (path, what) in [
            (folder.join("missing"), "does not exist"),
            (folder.to_owned(), "is a directory"),
            (write("empty", b""), "is empty"),
            (
                write("huge", &vec![b' '; 1024 * 1024 + 1]),
                "is larger than 1 MiB",
            ),
            // The only kind of file that not even root can read.
            #[cfg(unix)]
            (
                write("file", b"x").join("below"),
                "cannot be read: Not a directory (os error 20)",
            ),
        ] {
            let error =
                CertificateFile::read(&path, None, Duration::from_secs(60)).expect_err(what);
            let expected = format!(
                "client certificate {}: {what}\n{CHECK_PATH}",
                path.display()
            );
            assert_eq!(error.to_string(), expected);
        }
    }

    /// A pipe without a writer gets no more time than a server; a device is read up to the limit.
    #[cfg(unix)]
    #[test]
    fn what_never_ends_is_no_certificate() {
        let folder = tempfile::tempdir().expect("a folder");
        for (path, patience, what) in [
            (
                bounded::fifo(folder.path()),
                Duration::from_micros(1),
                "cannot be read: reading did not finish within 100 milliseconds",
            ),
            (
                "/dev/zero".into(),
                Duration::from_secs(60),
                "is larger than 1 MiB",
            ),
            ("/dev/null".into(), Duration::from_secs(60), "is empty"),
        ] {
            let error = CertificateFile::read(&path, None, patience).expect_err(what);
            let path = path.display();
            let expected = format!("client certificate {path}: {what}\n{CHECK_PATH}");
            assert_eq!(error.to_string(), expected);
        }
    }

    fn opened(bytes: &[u8]) -> Result<Certificate, Error> {
        open_bytes(bytes, "")
    }

    pub fn open_bytes(bytes: &[u8], password: &str) -> Result<Certificate, Error> {
        let file = CertificateFile {
            path: "file".into(),
            bytes: Zeroizing::new(bytes.to_vec()),
            password: Some(password)
                .filter(|text| !text.is_empty())
                .map(Secret::new),
        };
        file.open(FakeSystem::EPOCH)
    }

    fn fixture(file: &str) -> Vec<u8> {
        std::fs::read(Path::new(FIXTURES).join(file)).expect("a fixture")
    }

    /// Azure Key Vault hands out base64; editors and PowerShell's `>` write UTF-16; YAML indents.
    #[test]
    fn a_certificate_in_an_unambiguous_wrapping_is_unwrapped() {
        let pem = String::from_utf8(fixture("pkcs8-key-first.pem")).expect("text");
        let utf16 = |to: fn(u16) -> [u8; 2]| -> Vec<u8> {
            let text = format!("\u{feff}{pem}");
            text.encode_utf16().flat_map(to).collect()
        };
        let wrapped = STANDARD.encode(&pem);
        let lines: Vec<_> = wrapped.as_bytes().chunks(64).collect();
        for (name, bytes) in [
            ("UTF-16 LE", utf16(u16::to_le_bytes)),
            ("UTF-16 BE", utf16(u16::to_be_bytes)),
            ("indented", pem.replace('\n', "\n    ").into_bytes()),
            ("written as \\n", pem.replace('\n', "\\n").into_bytes()),
            ("base64 of PEM", wrapped.clone().into_bytes()),
            ("base64 in lines", lines.join(&b"\r\n"[..])),
            ("in quotes", format!("\"{wrapped}\"\n").into_bytes()),
            (
                "base64 of PKCS#12",
                STANDARD
                    .encode(fixture("legacy-no-password.pfx"))
                    .into_bytes(),
            ),
        ] {
            let certificate = opened(&bytes).unwrap_or_else(|error| panic!("{name}: {error}"));
            assert_eq!(subjects(&certificate), LEAF, "{name}");
        }
    }

    #[test]
    fn what_is_no_certificate_is_called_what_it_is() {
        for (bytes, what) in [
            (&br#"{"value":"MIIK"}"#[..], "file: is JSON"),
            (b"ssh-rsa AAAAB3Nz", "file: is an SSH key"),
            (b"AAAA", "is neither PEM nor PKCS#12"),
            (b"hello, world", "is neither PEM nor PKCS#12"),
        ] {
            let error = opened(bytes).err().expect(what).to_string();
            assert!(error.contains(what), "{error}");
        }
    }

    #[test]
    fn too_many_certificates_are_refused_with_their_number() {
        let certificate = String::from_utf8(fixture("no-key.pem")).expect("text");
        let key = String::from_utf8(fixture("no-certificate.pem")).expect("text");
        let error = opened(&[key, certificate.repeat(250)].concat().into_bytes());
        let error = error.err().expect("refused").to_string();
        assert!(error.contains("contains 500 certificates"), "{error}");
        let error = opened(fixture("no-certificate.pem").repeat(33).as_slice());
        let error = error.err().expect("refused").to_string();
        assert!(error.contains("contains 33 private keys"), "{error}");
    }

    #[cfg(unix)]
    #[test]
    fn a_device_that_never_ends_is_an_error() {
        let error = CertificateFile::read(Path::new("/dev/zero"), None, Duration::from_secs(60))
            .expect_err("endless");
        assert!(
            error.to_string().contains("is larger than 1 MiB"),
            "{error}"
        );
    }

    #[test]
    fn every_prefix_of_a_file_is_an_error_and_never_a_panic() {
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
        let file = CertificateFile::read(&path, Some(Secret::new(PASSWORD)), Duration::ZERO)
            .expect("a file");
        assert_eq!(
            format!("{file:?}"),
            format!("CertificateFile({})", path.display())
        );
    }
}
