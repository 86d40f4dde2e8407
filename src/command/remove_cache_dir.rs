//! `kubelogin remove-cache-dir`: sign out of everything on this machine.

use std::path::Path;

use crate::env::Env;
use crate::error::{Error, one_line};
use crate::flag::{Flag, FlagValues};
use crate::system::System;
use crate::token_cache::{CacheSettings, Storage, TokenCache};

/// Removes only what the token cache created, because KUBECACHEDIR is kubectl's folder, too. Says how much that was, and what
/// is left.
pub fn run(typed: &FlagValues, env: &Env, system: &dyn System) -> Result<(), Error> {
    let settings = CacheSettings {
        storage: Storage::Auto, // wherever the key is now, whatever is configured
        ..CacheSettings::resolve(typed, env)?
    };
    let Some(cache) = TokenCache::new(&settings, system) else {
        return Ok(());
    };
    let cleared = cache.clear()?;
    let folder = cache.path().display();
    let is_typed = typed.is_given(Flag::CacheDir);
    let line = match (cleared.count(".token"), cleared.had_folder) {
        (0, false) => format!("{folder} does not exist: no tokens were deleted"),
        (0, true) => format!("{folder} contains no kubelogin tokens: nothing to sign out of"),
        (1, _) => format!("Signed out of 1 login: deleted its token from {folder}"),
        (count, _) => format!("Signed out of {count} logins: deleted their tokens from {folder}"),
    };
    match is_typed && cleared.count("") == 0 {
        true => system.tell(&one_line(&line)), // with a mistyped folder, the tokens are still there
        false => system.notice(&one_line(&line)),
    }
    if let Some(record) = cache.record_of_the_original() {
        system.notice(&one_line(&left_alone(&record)));
    }
    Ok(())
}

/// The message about the file in which the original keeps its sign-in.
pub fn left_alone(record: &Path) -> String {
    let record = record.display();
    format!(
        "Left alone: {record}, Azure/kubelogin's sign-in, which stays valid until you delete that file"
    )
}
