//! `kubelogin get-token`: sign in, print an ExecCredential.

use std::io::Write;

use crate::entra::access_token;
use crate::env::Env;
use crate::error::Error;
use crate::exec_credential::ExecInfo;
use crate::flag::FlagValues;
use crate::login::Login;
use crate::options::Options;
use crate::pop;
use crate::system::System;
use crate::token::{Scope, Token};

/// Own options and files are checked first, the network comes after, stdout is written once at the end.
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
    let login = Login::new(&options)?;
    let scope = Scope::of_server(&options.server_id);
    let Some(claims) = &options.pop_claims else {
        let token = acquire(&login, &scope, &options, system)?;
        return exec_info.write(&token, out);
    };
    let binding = pop::Binding::new(claims, pop::Key::generate()?);
    let token = acquire(&login, &binding.scope(scope), &options, system)?;
    exec_info.write(&binding.envelope(token, system.now())?, out)
}

fn acquire(
    login: &Login,
    scope: &Scope,
    options: &Options,
    system: &dyn System,
) -> Result<Token, Error> {
    let token = login.acquire(scope, options.timeout, system)?;
    if system.verbosity() >= 1 {
        for line in access_token::oddities(&token.access_token, options.version) {
            system.tell(line);
        }
    }
    Ok(token)
}
