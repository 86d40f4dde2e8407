//! `kubelogin get-token`: sign in, print an ExecCredential.

use std::io::Write;

use crate::cli::GetTokenArgs;
use crate::command::subject::{self, Subject};
use crate::entra::access_token;
use crate::env::{self, Env};
use crate::error::{Error, ErrorKind, one_line};
use crate::exec_credential::ExecInfo;
use crate::flag::FlagValues;
use crate::login::auto;
use crate::sign_in::Chosen;
use crate::system::System;

/// Checks options and local files first, then goes to the network; writes stdout once, at the end.
pub fn run(
    args: &GetTokenArgs,
    env: &Env,
    system: &dyn System,
    out: &mut dyn Write,
) -> Result<(), Error> {
    let typed = &args.typed;
    let exec_info = ExecInfo::read(env)?;
    let resolved = auto::resolve(typed, env)?;
    for notice in &resolved.notices {
        system.notice(notice);
    }
    tell_options(typed, env, system)?;
    let sign_in = Chosen::new(&resolved, env, system)?;
    let cluster = sign_in.for_cluster(&resolved.options)?;
    let token = match args.force_refresh {
        true => sign_in.renewed_token(&cluster.scope),
        false => sign_in.token(&cluster.scope),
    };
    let token = token.map_err(|error| with_doctor(error, typed, env))?;
    if system.verbosity() >= 1 {
        for line in access_token::oddities(&token.access_token, resolved.options.version) {
            system.tell(line);
        }
    }
    exec_info.write(&cluster.envelope(token, system)?, out)
}

/// At `-v 1`, says where each option came from, and why `--login auto` chose its mode.
fn tell_options(typed: &FlagValues, env: &Env, system: &dyn System) -> Result<(), Error> {
    if system.verbosity() == 0 {
        return Ok(());
    }
    for value in Subject::of_flags(typed, env).values() {
        system.tell(&one_line(&format!("{} {}", value.flag, value.told())));
    }
    for line in auto::table(typed, env)?.unwrap_or_default() {
        system.tell(&line.told());
    }
    Ok(())
}

/// Adds the command that finds out more to an error from Entra ID or the network, if a Kubernetes client runs us and the
/// kubeconfig shows for which context.
fn with_doctor(error: Error, typed: &FlagValues, env: &Env) -> Error {
    let is_explained = error.is_refused() || *error.kind() == ErrorKind::Outside;
    if !is_explained || env.get(env::KUBERNETES_EXEC_INFO).is_none() {
        return error;
    }
    let Some(context) = subject::context_of(typed, env) else {
        return error;
    };
    let (_, remedy) = error.parts();
    let more = format!(
        "{remedy} More: kubelogin doctor{}",
        subject::context_flag(&context)
    );
    error.remedy(more.trim_start())
}
