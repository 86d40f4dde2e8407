//! The keys and certificates in a PEM or PKCS#12 file, not yet checked.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use p12_keystore::Pkcs12Archive;
use p12_keystore::error::Error as Pkcs12Error;
use pkcs8::pkcs5;
use pkcs8::{EncryptedPrivateKeyInfoRef, ObjectIdentifier, PrivateKeyInfoRef};
use x509_parser::parse_x509_certificate;
use x509_parser::pem::Pem;
use zeroize::Zeroizing;

use super::cost::Budget;
use super::{CHECK_PATH, null_password};
use crate::entra::answer::without_bom;
use crate::error::Error;
use crate::secret::Secret;

/// What a file contains.
#[derive(Default)]
pub struct Content {
    /// RSA keys as PKCS#1 DER.
    pub keys: Vec<Zeroizing<Vec<u8>>>,
    /// Certificates as DER.
    pub certificates: Vec<Vec<u8>>,
}

/// The most certificates in a file: the chain of one has four at most, a bundle with old ones some more.
const MOST_CERTIFICATES: usize = 100;
const MOST_KEYS: usize = 32;

/// The algorithm of an RSA key (RFC 8017 appendix A.1).
const RSA_ENCRYPTION: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");

pub const CHECK_PASSWORD: &str =
    "Check --client-certificate-password (or AZURE_CLIENT_CERTIFICATE_PASSWORD).";
pub const CONVERT_KEY: &str = "Convert the key: openssl pkcs8 -topk8 -v2 aes-256-cbc -in OLD.pem -out NEW.pem, then append the certificate to NEW.pem.";
pub const CONVERT_PKCS12: &str = "Convert the file: openssl pkcs12 -in OLD.pfx -out NEW.pem, then set --client-certificate (or AZURE_CLIENT_CERTIFICATE_PATH) to NEW.pem.";

impl Content {
    /// Reads PEM or PKCS#12. `password` is needed only if something in the file is encrypted.
    pub fn read(bytes: &[u8], password: Option<&Secret>) -> Result<Self, Error> {
        if let Some(content) = Self::read_plain(bytes, password) {
            return content;
        }
        let unwrapped = without_base64(bytes);
        let content = unwrapped.and_then(|bytes| Self::read_plain(&bytes, password));
        content.unwrap_or_else(|| Err(something_else(bytes)))
    }

    /// `None` if the bytes are neither PEM nor PKCS#12.
    fn read_plain(bytes: &[u8], password: Option<&Secret>) -> Option<Result<Self, Error>> {
        match bytes {
            // A DER sequence of more than 127 bytes; no text starts like that.
            [0x30, 0x80..=0xff, ..] => Some(Self::read_pkcs12(bytes, password)),
            _ => {
                let text = text_of(bytes)?;
                let is_pem = contains(text.as_bytes(), "-----BEGIN ");
                is_pem.then(|| Self::read_pem(text.as_bytes(), password))
            }
        }
    }

    /// Refuses an unreasonable number of keys and certificates, each of which costs time.
    pub fn check_count(&self) -> Result<(), Error> {
        let (keys, certificates) = (self.keys.len(), self.certificates.len());
        let what = if certificates > MOST_CERTIFICATES {
            format!("contains {certificates} certificates; at most {MOST_CERTIFICATES} are read")
        } else if keys > MOST_KEYS {
            format!("contains {keys} private keys; at most {MOST_KEYS} are read")
        } else {
            return Ok(());
        };
        Err(Error::input(what).remedy("Keep only the key, its certificate and the chain above it."))
    }

    fn read_pem(text: &[u8], password: Option<&Secret>) -> Result<Self, Error> {
        if contains(text, "Proc-Type: 4,ENCRYPTED") {
            return Err(
                Error::input("has a key in OpenSSL's traditional encrypted format")
                    .remedy(CONVERT_KEY),
            );
        }
        let mut content = Self::default();
        let mut budget = Budget::default();
        for block in Pem::iter_from_buffer(without_bom(text)) {
            let Pem { label, contents } = block.map_err(|_| damaged("the PEM data"))?;
            let contents = Zeroizing::new(contents);
            match label.as_str() {
                "CERTIFICATE" => content.certificates.push(contents.to_vec()),
                "PRIVATE KEY" => content.keys.push(rsa_key(&contents)?),
                "RSA PRIVATE KEY" => content.keys.push(contents),
                "ENCRYPTED PRIVATE KEY" => {
                    content
                        .keys
                        .push(decrypt(&contents, password, &mut budget)?);
                }
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
        let mut budget = Budget::default();
        budget
            .spend(der)
            .and_then(|()| null_password::spend_inner(der, password, &mut budget))
            .map_err(|error| error.remedy(CONVERT_PKCS12))?;
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
fn decrypt(
    pkcs8: &[u8],
    password: Option<&Secret>,
    budget: &mut Budget,
) -> Result<Zeroizing<Vec<u8>>, Error> {
    budget
        .spend(pkcs8)
        .map_err(|error| error.remedy(CONVERT_KEY))?;
    let unsupported = || Error::input("has a key with unsupported encryption").remedy(CONVERT_KEY);
    let encrypted = EncryptedPrivateKeyInfoRef::try_from(pkcs8).map_err(|_| unsupported())?;
    let given = password.map_or("", Secret::expose);
    let key = encrypted.decrypt(given).map_err(|error| match error {
        pkcs8::Error::EncryptedPrivateKey(pkcs5::Error::DecryptFailed) | pkcs8::Error::Asn1(_) => {
            wrong_or_no_password(password)
        }
        _ => unsupported(),
    })?;
    rsa_key(key.as_bytes())
}

fn pkcs12_error(error: &Pkcs12Error, password: Option<&Secret>) -> Error {
    match error {
        Pkcs12Error::MacError(_) | Pkcs12Error::UnpadError => wrong_or_no_password(password),
        Pkcs12Error::Pkcs5Error(why) if *why == pkcs5::Error::DecryptFailed.to_string() => {
            wrong_or_no_password(password)
        }
        Pkcs12Error::Pkcs5Error(_)
        | Pkcs12Error::UnsupportedEncryptionScheme
        | Pkcs12Error::UnsupportedMacAlgorithm => {
            Error::input("uses unsupported encryption").remedy(CONVERT_PKCS12)
        }
        _ => Error::input("is not a valid PKCS#12 file").remedy(CONVERT_PKCS12),
    }
}

/// Text as PEM needs it, without indentation; `None` if the bytes are not text.
fn text_of(bytes: &[u8]) -> Option<Zeroizing<String>> {
    let text = match bytes {
        [0xff, 0xfe, rest @ ..] => of_utf16(rest, u16::from_le_bytes),
        [0xfe, 0xff, rest @ ..] => of_utf16(rest, u16::from_be_bytes),
        _ => String::from_utf8_lossy(without_bom(bytes)).into_owned(),
    };
    let text = Zeroizing::new(text);
    // A line break as JSON, YAML and variables write it: PEM has no backslash.
    let text = Zeroizing::new(text.replace("\\r", "").replace("\\n", "\n"));
    let mut lines = Zeroizing::new(String::with_capacity(text.len()));
    for line in text.lines() {
        lines.push_str(line.trim());
        lines.push('\n');
    }
    Some(lines)
}

fn of_utf16(bytes: &[u8], unit: fn([u8; 2]) -> u16) -> String {
    let units = bytes.chunks_exact(2).map(|pair| unit([pair[0], pair[1]]));
    char::decode_utf16(units)
        .map(|c| c.unwrap_or(char::REPLACEMENT_CHARACTER))
        .collect()
}

/// Decodes base64, in which Azure Key Vault returns certificates; `None` if it is not base64.
fn without_base64(bytes: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let text = text_of(bytes)?;
    let text = text.trim().trim_matches('"');
    let digits: Zeroizing<Vec<u8>> = Zeroizing::new(
        text.bytes()
            .filter(|byte| !byte.is_ascii_whitespace())
            .collect(),
    );
    STANDARD.decode(&*digits).ok().map(Zeroizing::new)
}

/// The error for a file that is not a certificate, depending on what it looks like.
fn something_else(bytes: &[u8]) -> Error {
    let start = text_of(bytes).unwrap_or_default();
    let start = start.trim_start();
    if start.starts_with('{') || start.starts_with('[') {
        Error::input("is JSON").remedy(
            "Save the certificate alone: az keyvault secret show --query value -o tsv, or az keyvault secret download.",
        )
    } else if start.starts_with("ssh-") {
        Error::input("is an SSH key").remedy(CHECK_PATH)
    } else {
        Error::input("is neither PEM nor PKCS#12").remedy(CHECK_PATH)
    }
}

fn contains(bytes: &[u8], text: &str) -> bool {
    bytes
        .windows(text.len())
        .any(|window| window == text.as_bytes())
}

pub fn damaged(part: &str) -> Error {
    Error::input(format!("is damaged: {part} cannot be read")).remedy(CHECK_PATH)
}

pub fn no_key() -> Error {
    Error::input("contains no private key").remedy(CHECK_PATH)
}

fn not_rsa() -> Error {
    Error::input("has a private key that is not RSA")
        .remedy("Use a certificate with an RSA key; Entra ID does not accept EC or Ed25519 keys.")
}

fn wrong_or_no_password(password: Option<&Secret>) -> Error {
    match password {
        Some(_) => Error::input("cannot be decrypted with this password").remedy(CHECK_PASSWORD),
        None => Error::input("is encrypted and needs a password")
            .remedy("Set --client-certificate-password (or AZURE_CLIENT_CERTIFICATE_PASSWORD)."),
    }
}
