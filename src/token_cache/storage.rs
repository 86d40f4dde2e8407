//! Where tokens are cached and what protects them: `--cache-dir` and `--token-cache-storage`.

use std::path::{Path, PathBuf};

use clap::ValueEnum;

use crate::env::{self, Env};
use crate::error::Error;
use crate::flag::{Flag, FlagValues, possible_words};
use crate::variables::Merged;

/// The settings of the token cache.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CacheSettings {
    /// The absolute path of the cache folder; `None` if there is none, for example without HOME.
    pub folder: Option<PathBuf>,
    pub storage: Storage,
}

impl CacheSettings {
    /// Merges the flags with the environment, for a command that needs only the cache.
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
            storage: storage
                .map_or(Ok(Storage::Auto), Storage::parse)?
                .tightened(env),
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
    /// The stricter of this and KUBELOGIN_TOKEN_CACHE_STORAGE, whatever `--disable-environment-override` says: the
    /// flags may come from somebody else's kubeconfig.
    fn tightened(self, env: &Env) -> Self {
        let word = env.get(env::KUBELOGIN_TOKEN_CACHE_STORAGE);
        let variable = word.and_then(|word| Self::parse(word).ok());
        variable.map_or(self, |variable| {
            match self.strictness() < variable.strictness() {
                true => variable,
                false => self,
            }
        })
    }

    const fn strictness(self) -> u8 {
        match self {
            Self::Disk => 0,
            Self::Auto => 1,
            Self::Keyring => 2,
            Self::None => 3,
        }
    }

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
/// KUBECACHEDIR is the flag's default: the flag takes precedence, and `--disable-environment-override` does not turn it
/// off.
///
/// A relative path is relative to home: tokens must not end up in the current folder (Azure/kubelogin#108), which may
/// be a repository with its own kubeconfig.
///
/// # Errors
/// `--cache-dir` is on another host: Windows would send it the user's credentials.
fn folder(values: &FlagValues, env: &Env) -> Result<Option<PathBuf>, Error> {
    if let Some(typed) = values.text(Flag::CacheDir) {
        if is_on_another_host(typed) {
            return Err(
                Error::input(format!("--cache-dir {typed:?} is a network path"))
                    .remedy("Use a folder on this machine, or a drive letter."),
            );
        }
        let path = expand_home(typed, env);
        return Ok(match path.is_absolute() {
            true => Some(path),
            false => env.home().map(|home| home.join(path)),
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

/// True for a UNC path like `\\\\host\\share`, but not for `\\\\?\\C:\\folder`.
fn is_on_another_host(path: &str) -> bool {
    let path = match cfg!(windows) {
        true => path.replace('/', r"\"),
        false => path.to_owned(),
    };
    path.strip_prefix(r"\\").is_some_and(|rest| {
        let drive = rest
            .strip_prefix(r"?\")
            .and_then(|rest| rest.chars().nth(1));
        drive != Some(':')
    })
}

/// `path` with a leading `~` expanded: no shell reads a kubeconfig's arguments.
fn expand_home(path: &str, env: &Env) -> PathBuf {
    match (Path::new(path).strip_prefix("~"), env.home()) {
        (Ok(rest), Some(home)) => home.join(rest),
        _ => PathBuf::from(path),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOME: &str = if cfg!(windows) { r"C:\home" } else { "/home" };

    fn settings(flags: &[(Flag, &str)], env: &[(&str, &str)]) -> Result<CacheSettings, Error> {
        let mut typed = FlagValues::new();
        for (flag, value) in flags {
            typed.set(*flag, *value);
        }
        let home = [("HOME", HOME), ("USERPROFILE", HOME)];
        CacheSettings::resolve(&typed, &Env::of(&[&home, env].concat()))
    }

    /// The flag, the variable, and what counts with `--disable-environment-override` and without.
    #[test]
    fn the_variable_can_always_make_the_storage_stricter() {
        use Storage::{Auto, Disk, Keyring, None};
        for (flag, variable, without_override, otherwise) in [
            ("disk", "none", None, None),
            ("disk", "keyring", Keyring, Keyring),
            ("disk", "auto", Auto, Auto),
            ("keyring", "disk", Keyring, Disk),
            ("none", "disk", None, Disk),
            ("auto", "keyring", Keyring, Keyring),
            ("auto", "no such word", Auto, Auto),
        ] {
            let env = [(env::KUBELOGIN_TOKEN_CACHE_STORAGE, variable)];
            let flag = (Flag::TokenCacheStorage, flag);
            let disable = (Flag::DisableEnvironmentOverride, "true");
            let storage = settings(&[flag, disable], &env).expect("settings").storage;
            assert_eq!(storage, without_override, "{flag:?} {variable}");
            if let Ok(settings) = settings(&[flag], &env) {
                assert_eq!(settings.storage, otherwise, "{flag:?} {variable}");
            }
        }
    }

    #[test]
    fn a_relative_folder_is_in_the_home_folder() {
        for (typed, folder) in [("tok", "tok"), ("./a/b", "a/b"), ("~/c", "c")] {
            let settings = settings(&[(Flag::CacheDir, typed)], &[]).expect("settings");
            assert_eq!(
                settings.folder,
                Some(Path::new(HOME).join(folder)),
                "{typed}"
            );
        }
    }

    #[test]
    fn a_folder_on_another_host_is_refused() {
        for typed in [r"\\evil\share", r"\\?\UNC\evil\share", r"\\.\pipe\x"] {
            let error = settings(&[(Flag::CacheDir, typed)], &[]).expect_err("refused");
            assert!(error.to_string().contains("network path"), "{error}");
        }
        assert!(!is_on_another_host(r"\\?\C:\cache"));
    }
}
