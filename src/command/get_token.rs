//! `kubelogin get-token`: sign in, print an ExecCredential.

use std::io::Write;

use crate::env::Env;
use crate::error::Error;
use crate::exec_credential::ExecInfo;
use crate::flag::FlagValues;
use crate::login::Login;
use crate::options::Options;
use crate::system::System;
use crate::token::Scope;

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
    let token = login.acquire(&scope, options.timeout, system)?;
    exec_info.write(&token, out)
}
