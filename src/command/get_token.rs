//! `kubelogin get-token`: sign in, print an ExecCredential.

use std::io::Write;

use crate::entra::access_token;
use crate::env::Env;
use crate::error::Error;
use crate::exec_credential::ExecInfo;
use crate::flag::FlagValues;
use crate::options::Options;
use crate::sign_in::SignIn;
use crate::system::System;
use crate::token::Scope;

/// Checks options and local files first, then goes to the network; writes stdout once, at the end.
pub fn run(
    typed: &FlagValues,
    env: &Env,
    system: &dyn System,
    out: &mut dyn Write,
) -> Result<(), Error> {
    let exec_info = ExecInfo::read(env)?;
    let (options, notices) = Options::resolve(typed, env)?;
    for notice in notices {
        system.tell(&notice);
    }
    let sign_in = SignIn::new(&options, env, system)?;
    let binding = sign_in.binding(&options)?;
    let scope = Scope::of_server(&options.server_id);
    let scope = match &binding {
        Some(binding) => binding.scope(scope),
        None => scope,
    };
    let token = sign_in.token(&scope)?;
    if system.verbosity() >= 1 {
        for line in access_token::oddities(&token.access_token, options.version) {
            system.tell(line);
        }
    }
    let token = match binding {
        Some(binding) => binding.envelope(token, system.now())?,
        None => token,
    };
    exec_info.write(&token, out)
}
