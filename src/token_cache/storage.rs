//! Where tokens are kept and what protects them: `--cache-dir` and `--token-cache-storage`.

use std::path::{Path, PathBuf};

use clap::ValueEnum;

use crate::env::{self, Env};
use crate::error::Error;
use crate::flag::{Flag, FlagValues, possible_words};
use crate::variables::Merged;

/// The settings of the token cache.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CacheSettings {
    /// The absolute path of the cache folder; `None` if there is no place for one, as without HOME.
    pub folder: Option<PathBuf>,
    pub storage: Storage,
}

impl CacheSettings {
    /// Merges what was typed with the environment, for a command that needs no more than the cache.
    ///
    /// # Errors
    /// `--token-cache-storage` or `--cache-dir` is not valid.
    pub fn resolve(typed: &FlagValues, env: &Env) -> Result<Self, Error> {
        Self::of(&Merged::new(typed, env).values, env)
    }

    /// The settings in values that are merged already.
    ///
    /// # Errors
    /// `--token-cache-storage` or `--cache-dir` is not valid.
    pub fn of(values: &FlagValues, env: &Env) -> Result<Self, Error> {
        let storage = values.text(Flag::TokenCacheStorage);
        Ok(Self {
            folder: folder(values, env)?,
            storage: storage.map_or(Ok(Storage::Auto), Storage::parse)?,
        })
    }
}

/// What protects the tokens on disk: a value of `--token-cache-storage`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Storage {
    /// The OS keyring if one works, otherwise disk
    Auto,
    /// The OS keyring holds the encryption key; without a keyring, tokens are not cached
    Keyring,
    /// The encryption key is in a file next to the tokens that only you can read
    Disk,
    /// Tokens are not cached
    None,
}

impl Storage {
    fn parse(word: &str) -> Result<Self, Error> {
        Self::from_str(word, false).map_err(|_| {
            Error::input(format!("unknown token cache storage {word:?}")).remedy(format!(
                "Set --token-cache-storage or KUBELOGIN_TOKEN_CACHE_STORAGE to one of {}.",
                possible_words::<Self>()
            ))
        })
    }
}

/// The cache folder: `--cache-dir`, else KUBECACHEDIR, else `.kube/cache/kubelogin` at home. As with the original,
/// KUBECACHEDIR is the flag's default: the flag beats it, and `--disable-environment-override` does not switch it off.
///
/// Only a typed path may be relative to the working directory: tokens must not end up wherever the user happens to be
/// (Azure/kubelogin#108).
fn folder(values: &FlagValues, env: &Env) -> Result<Option<PathBuf>, Error> {
    if let Some(typed) = values.text(Flag::CacheDir) {
        let path = expand_home(typed, env);
        return std::path::absolute(&path).map(Some).map_err(|error| {
            Error::input(format!(
                "--cache-dir {typed:?} is not a valid path: {error}"
            ))
        });
    }
    let variable = env
        .get(env::KUBECACHEDIR)
        .map(|path| expand_home(path, env));
    let default = || Some(env.home()?.join(".kube").join("cache").join("kubelogin"));
    Ok(variable
        .filter(|path| path.is_absolute())
        .or_else(|| default().filter(|path| path.is_absolute())))
}

/// `path` with a leading `~` expanded: no shell reads a kubeconfig's arguments.
fn expand_home(path: &str, env: &Env) -> PathBuf {
    match (Path::new(path).strip_prefix("~"), env.home()) {
        (Ok(rest), Some(home)) => home.join(rest),
        _ => PathBuf::from(path),
    }
}
