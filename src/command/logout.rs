//! `kubelogin logout`: sign out of one login.

use crate::cli::inspect::SubjectArgs;
use crate::command::subject::{self, Subject};
use crate::entra::access_token::claims::Claims;
use crate::env::Env;
use crate::error::{Error, one_line};
use crate::flag::Flag;
use crate::login_mode::LoginMode;
use crate::options::Options;
use crate::sign_in::SignIn;
use crate::system::System;
use crate::token_cache::Removed;

/// Removes the cached token of a context, or of the login that flags describe, and says whose it was.
pub fn run(args: &SubjectArgs, env: &Env, system: &dyn System) -> Result<(), Error> {
    let subject = subject::find(args, env, "This kubelogin has no cached token for it.")?;
    let options = options(&subject)?;
    let sign_in = SignIn::new(&options, &subject.env, system)?;
    let Some(cache) = sign_in.cache() else {
        system.notice("There is no cached token for this login");
        return Ok(());
    };
    let folder = cache.path().display();
    // Without a key there is no PoP token to remove, and we would create a key.
    let removed = match sign_in.lacks_pop_key(&options) {
        true => None,
        false => sign_in.sign_out(&sign_in.for_cluster(&options)?.scope)?,
    };
    let line = match &removed {
        Some(removed) => format!(
            "Signed out {}: deleted the token from {folder}",
            name(removed)
        ),
        None => format!("There is no cached token for this login in {folder}"),
    };
    system.notice(&one_line(&line));
    if let Some(program) = program(options.login) {
        system.notice(&format!("You are still signed in to {program}"));
    }
    if let Some(record) = cache.record_of_the_original() {
        system.notice(&one_line(&super::remove_cache_dir::left_alone(&record)));
    }
    Ok(())
}

/// The options of the login. The secret that proves it is not needed to find its token, so it need not be given.
fn options(subject: &Subject) -> Result<Options, Error> {
    let options = subject.options()?;
    let proof = match options.login {
        LoginMode::Spn => Flag::ClientSecret,
        LoginMode::Ropc => Flag::Password,
        _ => return Ok(options),
    };
    if options.secret(proof).is_some() || options.text(Flag::ClientCertificate).is_some() {
        return Ok(options);
    }
    let mut flags = subject.flags.clone();
    flags.set(proof, "not needed");
    Options::resolve(&flags, &subject.env).map(|(options, _)| options)
}

fn name(removed: &Removed) -> String {
    let claims = removed.access_token.as_ref().and_then(Claims::read);
    claims.map_or("of this login".into(), |claims| claims.name().to_owned())
}

/// The program that the mode signs in with, and its sign-out command.
fn program(mode: LoginMode) -> Option<&'static str> {
    match mode {
        LoginMode::AzureCli => Some("az (to sign out: az logout)"),
        LoginMode::Azd => Some("azd (to sign out: azd auth logout)"),
        LoginMode::AzurePowerShell => Some("Azure PowerShell (end it: Disconnect-AzAccount)"),
        _ => None,
    }
}
