//! Sealing: without the key, nobody can read what is on disk, or change it unnoticed (RFC 8439).

use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::digest::{Context, SHA256};
use ring::rand::{SecureRandom, SystemRandom};
use zeroize::Zeroizing;

const KEY_LENGTH: usize = 32;
/// Hexadecimal digits in the ID of a key.
const ID_LENGTH: usize = 16;

/// Why a key or a seal could not be made.
pub const NO_RANDOM_NUMBERS: &str = "the system's random number generator failed";

/// True if the text can be the ID of a key.
pub fn is_id(text: &str) -> bool {
    text.len() == ID_LENGTH && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// The 256-bit key that seals every entry of one cache folder.
#[derive(Clone, PartialEq, Eq)]
pub struct SealingKey(Zeroizing<[u8; KEY_LENGTH]>);

impl SealingKey {
    /// A new key; `None` if the operating system's random number generator fails.
    pub fn random() -> Option<Self> {
        let mut bytes = Zeroizing::new([0; KEY_LENGTH]);
        SystemRandom::new().fill(bytes.as_mut_slice()).ok()?;
        Some(Self(bytes))
    }

    /// The key with these bytes; `None` unless there are 32, because a vault's content may be damaged.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let bytes: [u8; KEY_LENGTH] = bytes.try_into().ok()?;
        Some(Self(Zeroizing::new(bytes)))
    }

    /// The bytes, for the vault.
    pub fn expose(&self) -> &[u8] {
        self.0.as_slice()
    }

    /// Identifies this key in the names of files, without revealing anything about it.
    pub fn id(&self) -> String {
        let mut context = Context::new(&SHA256);
        context.update(b"kubelogin sealing key");
        context.update(self.expose());
        let mut id = hex::encode(context.finish());
        id.truncate(ID_LENGTH);
        id
    }

    /// Seals `plain`; it opens only with the same `label`. `None` if the operating system has no random numbers.
    ///
    /// The nonce is random: among four billion entries, the risk that two share one is below 2^-32.
    pub fn seal(&self, label: &[u8], plain: &[u8]) -> Option<Vec<u8>> {
        let mut nonce = [0; NONCE_LEN];
        SystemRandom::new().fill(&mut nonce).ok()?;
        let mut text = Zeroizing::new(plain.to_vec());
        let tag = self.cipher()?.seal_in_place_separate_tag(
            Nonce::assume_unique_for_key(nonce),
            Aad::from(label),
            &mut text,
        );
        Some([&nonce, text.as_slice(), tag.ok()?.as_ref()].concat())
    }

    /// Opens what [`SealingKey::seal`] sealed; `None` if the key, the label or any byte differs.
    pub fn open(&self, label: &[u8], sealed: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
        let (nonce, text) = sealed.split_at_checked(NONCE_LEN)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
        let mut text = Zeroizing::new(text.to_vec());
        let opened = self
            .cipher()?
            .open_in_place(nonce, Aad::from(label), &mut text);
        let length = opened.ok()?.len();
        text.truncate(length);
        Some(text)
    }

    fn cipher(&self) -> Option<LessSafeKey> {
        UnboundKey::new(&CHACHA20_POLY1305, self.expose())
            .ok()
            .map(LessSafeKey::new)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sealed_text_opens_only_with_the_same_key_and_label() {
        let key = SealingKey::random().expect("key");
        let sealed = key.seal(b"label", b"plain").expect("sealed");
        assert_eq!(
            key.open(b"label", &sealed).as_deref(),
            Some(&b"plain".to_vec())
        );
        assert_eq!(key.open(b"lapel", &sealed), None);
        let other = SealingKey::random().expect("key");
        assert_eq!(other.open(b"label", &sealed), None);
    }

    #[test]
    fn every_flipped_bit_and_every_cut_is_noticed() {
        let key = SealingKey::random().expect("key");
        let sealed = key.seal(b"label", b"plain").expect("sealed");
        for bit in 0..sealed.len() * 8 {
            let mut damaged = sealed.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(key.open(b"label", &damaged), None, "bit {bit}");
        }
        for length in 0..sealed.len() {
            assert_eq!(key.open(b"label", &sealed[..length]), None, "{length}");
        }
    }

    #[test]
    fn the_same_text_is_never_sealed_to_the_same_bytes() {
        let key = SealingKey::random().expect("key");
        assert_ne!(key.seal(b"", b"plain"), key.seal(b"", b"plain"));
    }
}
