//! `kubelogin remove-cache-dir`: log out of everything on this machine.

use crate::env::Env;
use crate::error::Error;
use crate::flag::FlagValues;
use crate::system::System;
use crate::token_cache::{CacheSettings, Storage, TokenCache};

/// Deletes the token cache's own files and nothing else: KUBECACHEDIR is kubectl's folder too.
pub fn run(typed: &FlagValues, env: &Env, system: &dyn System) -> Result<(), Error> {
    let settings = CacheSettings {
        storage: Storage::Auto, // wherever the key is now, whatever is configured
        ..CacheSettings::resolve(typed, env)?
    };
    match TokenCache::new(&settings, system) {
        Some(cache) => cache.clear(),
        None => Ok(()),
    }
}
