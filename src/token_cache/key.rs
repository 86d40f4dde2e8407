//! Identifies a login: the key that names its entry, and a digest of the secrets that must match.

use std::path::Path;

use ring::digest::{Context, SHA256};
use serde::{Deserialize, Serialize};

use crate::token::Scope;

/// Who a token is for: the names and values of everything that could lead to a different token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CacheKey(Vec<(&'static str, String)>);

impl CacheKey {
    /// What every login has: its mode and its scope.
    pub fn new(mode: &str, scope: &Scope) -> Self {
        let key = Self(Vec::new())
            .with("mode", mode)
            .with("scope", scope.as_str());
        match scope.confirmation() {
            Some(confirmation) => key.with("pop", confirmation),
            None => key,
        }
    }

    /// Adds a value that distinguishes this login from others.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: &str) -> Self {
        self.0.push((name, value.to_owned()));
        self
    }

    /// Adds the folder where another program keeps its login. With one folder per account (AZURE_CONFIG_DIR in each
    /// terminal), each account has its own cached token.
    #[must_use]
    pub fn with_folder(self, folder: Option<&Path>) -> Self {
        let folder = folder.unwrap_or(Path::new(""));
        self.with("folder", &folder.to_string_lossy())
    }

    /// Names the entry's file and is bound into its seal.
    pub fn digest(&self) -> [u8; 32] {
        let parts = self.0.iter().flat_map(|(name, value)| [*name, value]);
        digest_of(parts.map(str::as_bytes))
    }
}

/// A digest of secrets that must be the same as when the token was obtained. It is stored inside sealed entries only,
/// as a weak password could be guessed from it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fingerprint([u8; 32]);

impl Fingerprint {
    /// The digest of these; of none for a login without secrets.
    pub fn of(secrets: &[&[u8]]) -> Self {
        Self(digest_of(secrets.iter().copied()))
    }
}

/// SHA-256 of parts, each preceded by its length, so that no two lists of parts give the same bytes.
fn digest_of<'a>(parts: impl Iterator<Item = &'a [u8]>) -> [u8; 32] {
    let mut context = Context::new(&SHA256);
    for part in parts {
        context.update(&(part.len() as u64).to_be_bytes());
        context.update(part);
    }
    let mut bytes = [0; 32];
    bytes.copy_from_slice(context.finish().as_ref());
    bytes
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn two_keys_share_a_name_only_if_they_are_the_same(
            one in prop::collection::vec("[a-b]{0,2}", 0..4),
            two in prop::collection::vec("[a-b]{0,2}", 0..4),
        ) {
            let key = |values: &[String]| {
                let new = CacheKey::new("spn", &Scope::of_server("srv"));
                values.iter().fold(new, |key, value| key.with("field", value))
            };
            prop_assert_eq!(one == two, key(&one).digest() == key(&two).digest());
        }
    }

    #[test]
    fn fingerprints_of_different_secrets_differ() {
        let of = |secrets: &[&str]| {
            let secrets: Vec<_> = secrets.iter().map(|secret| secret.as_bytes()).collect();
            Fingerprint::of(&secrets)
        };
        let all = [
            of(&[]),
            of(&[""]),
            of(&["ab"]),
            of(&["a", "b"]),
            of(&["b", "a"]),
        ];
        for (number, one) in all.iter().enumerate() {
            assert_eq!(all.iter().position(|other| other == one), Some(number));
        }
    }
}
