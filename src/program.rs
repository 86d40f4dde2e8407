//! The whole program as a function: parse, run, report one error.

use std::ffi::OsString;
use std::io::{self, Write};
use std::process::ExitCode;

use crate::cli::{Cli, Command};
use crate::command::{self, print};
use crate::env::Env;
use crate::error::Error;
use crate::system::{RealSystem, System};

/// Runs the program in this process. `args` starts with the program's name. Every error has exit code 1; only `whoami` has
/// other codes.
pub fn main(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let env = Env::of_this_process();
    let mut system = RealSystem::new(&env);
    let result = Cli::parse(args).and_then(|cli| {
        system.set_verbosity(cli.verbosity);
        system.set_prints_token(matches!(cli.command, Command::GetToken(_)));
        run(cli, &env, &system, &mut io::stdout().lock())
    });
    if !matches!(result, Ok(0)) {
        system.release_notices();
    }
    match result {
        Ok(code) => code.into(),
        Err(error) => {
            system.tell(&format!("Error: {error}"));
            ExitCode::FAILURE
        }
    }
}

/// Runs the command line with the given environment and system.
fn run(
    cli: Cli,
    env: &Env,
    system: &(dyn System + Sync),
    out: &mut dyn Write,
) -> Result<u8, Error> {
    for notice in &cli.notices {
        system.notice(notice);
    }
    match cli.command {
        Command::GetCredentials(args) => command::get_credentials::run(&args, env, system, out),
        Command::GetToken(args) => command::get_token::run(&args, env, system, out),
        Command::ConvertKubeconfig(args) => {
            return command::convert_kubeconfig::run(&args, env, system, out);
        }
        Command::Completion(shell) => print(command::completion::script(shell), out),
        Command::Complete(line) => command::completion::complete(&line, env, out),
        Command::Logout(args) => command::logout::run(&args, env, system),
        Command::RemoveCacheDir(typed) => command::remove_cache_dir::run(&typed, env, system),
        Command::Whoami(args) => return command::whoami::run(&args, env, system, out),
        Command::Doctor(args) => return command::doctor::run(&args, env, system, out),
        Command::Print(text) => print(&text, out),
    }?;
    Ok(0)
}
