//! PKCS#12 without a password, as Azure Key Vault, .NET and Windows write it.
//!
//! RFC 7292 appendix B.1 ends every password, even an empty one, with two zero bytes, and so does OpenSSL. These
//! programs leave the zero bytes out, so every key is derived from no bytes at all, which `p12-keystore` does not
//! support. The MAC is not checked: with a key that everyone knows, it proves nothing.

use cbc::Decryptor;
use cbc::cipher::block_padding::Pkcs7;
use cbc::cipher::{BlockCipherDecrypt, BlockModeDecrypt, KeyInit, KeyIvInit};
use des::TdesEde3;
use pkcs8::der::asn1::{ContextSpecific, OctetString};
use pkcs8::der::{Decode, Encode};
use pkcs8::pkcs5::pbes2;
use pkcs8::spki::AlgorithmIdentifierOwned;
use pkcs12::cms::content_info::ContentInfo;
use pkcs12::cms::encrypted_data::EncryptedData;
use pkcs12::kdf::{Pkcs12KeyType, derive_key};
use pkcs12::pbe_params::{EncryptedPrivateKeyInfo, Pkcs12PbeParams};
use pkcs12::pfx::Pfx;
use pkcs12::safe_bag::{PrivateKeyInfo, SafeBag, SafeContents};
use pkcs12::{AuthenticatedSafe, CertBag};
use pkcs12::{
    PKCS_12_CERT_BAG_OID, PKCS_12_KEY_BAG_OID, PKCS_12_PBE_WITH_SHAAND3_KEY_TRIPLE_DES_CBC,
    PKCS_12_PBEWITH_SHAAND40_BIT_RC2_CBC, PKCS_12_PKCS8_KEY_BAG_OID,
};
use rc2::Rc2;
use sha1::Sha1;
use zeroize::Zeroizing;

use super::cost::Budget;
use crate::error::Error;
use crate::secret::Secret;

/// What a file contains.
#[derive(Default)]
pub struct Bags {
    /// PKCS#8 DER.
    pub keys: Vec<Zeroizing<Vec<u8>>>,
    /// DER.
    pub certificates: Vec<Vec<u8>>,
}

/// Reads a file; `None` if it does have a password or is some other kind of file.
pub fn read(der: &[u8]) -> Option<Bags> {
    let mut bags = Bags::default();
    let safes = octets(&Pfx::from_der(der).ok()?.auth_safe)?;
    for safe in AuthenticatedSafe::from_der(&safes).ok()? {
        let contents = match octets(&safe) {
            Some(plain) => plain,
            None => decrypt_safe(&safe, &[], &[])?,
        };
        for bag in SafeContents::from_der(&contents).ok()? {
            bags.add(&bag)?;
        }
    }
    Some(bags)
}

/// Counts what the keys inside encrypted safes would cost, which only decryption shows. If a safe does not open, the whole
/// file is rejected, so it costs nothing later, either.
///
/// # Errors It exceeds the remaining budget.
pub fn spend_inner(
    der: &[u8],
    password: Option<&Secret>,
    budget: &mut Budget,
) -> Result<(), Error> {
    let file = Pfx::from_der(der).ok();
    let safes = file.and_then(|file| octets(&file.auth_safe));
    let safes = safes.and_then(|safes| AuthenticatedSafe::from_der(&safes).ok());
    let given = password.map_or("", Secret::expose);
    // With its two zero bytes (RFC 7292 appendix B.1), and without them.
    let mut with_end: Zeroizing<Vec<u8>> =
        Zeroizing::new(given.encode_utf16().flat_map(u16::to_be_bytes).collect());
    with_end.extend([0, 0]);
    let passwords: [(&[u8], &[u8]); 2] = [(&with_end, given.as_bytes()), (&[], &[])];
    for safe in safes.unwrap_or_default() {
        if octets(&safe).is_some() {
            continue;
        }
        for (old, new) in passwords {
            if let Some(inner) = decrypt_safe(&safe, old, new) {
                budget.spend(&inner)?;
            }
        }
    }
    Ok(())
}

impl Bags {
    fn add(&mut self, bag: &SafeBag) -> Option<()> {
        let value = bag.bag_value.as_slice();
        match bag.bag_id {
            PKCS_12_CERT_BAG_OID => {
                let bag = ContextSpecific::<CertBag>::from_der(value).ok()?.value;
                self.certificates.push(bag.cert_value.into_bytes().into());
            }
            PKCS_12_KEY_BAG_OID => {
                let key = ContextSpecific::<PrivateKeyInfo>::from_der(value).ok()?;
                self.keys.push(Zeroizing::new(key.value.to_der().ok()?));
            }
            PKCS_12_PKCS8_KEY_BAG_OID => {
                let key = ContextSpecific::<EncryptedPrivateKeyInfo>::from_der(value)
                    .ok()?
                    .value;
                let data = key.encrypted_data.as_bytes();
                self.keys
                    .push(decrypt(&key.encryption_algorithm, data, &[], &[])?);
            }
            _ => {}
        }
        Some(())
    }
}

/// The bytes of unencrypted content (RFC 5652 section 4).
fn octets(content: &ContentInfo) -> Option<Zeroizing<Vec<u8>>> {
    let octets: OctetString = content.content.decode_as().ok()?;
    Some(Zeroizing::new(octets.into_bytes().into()))
}

/// The decrypted bytes of encrypted content (RFC 5652 section 8).
fn decrypt_safe(content: &ContentInfo, old: &[u8], new: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let encrypted: EncryptedData = content.content.decode_as().ok()?;
    let info = encrypted.enc_content_info;
    decrypt(
        &info.content_enc_alg,
        info.encrypted_content?.as_bytes(),
        old,
        new,
    )
}

/// Decrypts with a password as the schemes of PKCS#12 take it (`old`), or PBES2 (`new`).
fn decrypt(
    algorithm: &AlgorithmIdentifierOwned,
    data: &[u8],
    old: &[u8],
    new: &[u8],
) -> Option<Zeroizing<Vec<u8>>> {
    let parameters = algorithm.parameters.as_ref()?.to_der().ok()?;
    match algorithm.oid {
        pbes2::PBES2_OID => {
            let parameters = pbes2::Parameters::from_der(&parameters).ok()?;
            parameters.decrypt(new, data).ok().map(Zeroizing::new)
        }
        PKCS_12_PBE_WITH_SHAAND3_KEY_TRIPLE_DES_CBC => {
            decrypt_cbc::<TdesEde3>(&parameters, 24, data, old)
        }
        PKCS_12_PBEWITH_SHAAND40_BIT_RC2_CBC => decrypt_cbc::<Rc2>(&parameters, 5, data, old),
        _ => None,
    }
}

/// Decrypts with a scheme of RFC 7292 appendix C, with a key of `key_length` bytes.
fn decrypt_cbc<Cipher: KeyInit + BlockCipherDecrypt>(
    parameters: &[u8],
    key_length: usize,
    data: &[u8],
    password: &[u8],
) -> Option<Zeroizing<Vec<u8>>> {
    let Pkcs12PbeParams { salt, iterations } = Pkcs12PbeParams::from_der(parameters).ok()?;
    let derive = |id, length| derive_key::<Sha1>(password, salt.as_bytes(), id, iterations, length);
    let key = Zeroizing::new(derive(Pkcs12KeyType::EncryptionKey, key_length));
    let iv = derive(Pkcs12KeyType::Iv, 8);
    let cipher = Decryptor::<Cipher>::new_from_slices(&key, &iv).ok()?;
    cipher
        .decrypt_padded_vec::<Pkcs7>(data)
        .ok()
        .map(Zeroizing::new)
}
