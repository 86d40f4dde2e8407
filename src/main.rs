//! kubelogin signs kubectl in to Azure Kubernetes clusters with Microsoft Entra ID.
//!
//! The way of the data, each arrow one function in one place:
//!
//! ```text
//! argv + env -> Cli, Env -> Options -> Login -> sign_in (cache | refresh | acquire) -> Token -> ExecCredential on stdout
//! ```
//!
//! - [`start`]: before all that; [`cli`] and [`flag`]: what can be typed; [`env`]: what can be set; [`options`]: both merged, once
//! - [`sign_in`]: a token for a scope, by the shortest way; one at a time for all who ask
//! - [`login`]: a login mode with all it needs; `login/<mode>.rs` is the value of `--login`
//! - [`entra`]: OAuth and Entra ID: authority, grants, assertions, errors; [`jwt`]: signing
//! - [`pop`]: proof-of-possession tokens: claims, key, signed envelope
//! - [`token_cache`]: tokens kept between runs, sealed; one sign-in for all who ask at the same time
//! - [`exec_credential`]: what kubectl says to us and reads from us
//! - [`kubeconfig`]: the files of kubectl, edited without losing a byte
//! - [`system`]: the outside world, one trait; [`retry`]: asking a host again, within a bound
//! - [`command`]: what each subcommand does with these

#![deny(unsafe_code)]
#![cfg_attr(all(target_os = "linux", target_env = "gnu", not(test)), no_main)]

#[allow(dead_code)]
mod api_server;
mod cli;
mod command;
mod entra;
mod env;
mod error;
mod exec_credential;
mod flag;
mod jwt;
mod kubeconfig;
mod login;
mod login_mode;
mod options;
mod pop;
mod retry;
mod secret;
mod sign_in;
mod start;
mod system;
mod token;
mod token_cache;

use std::io::{self, Write};
use std::process::ExitCode;

use cli::{Cli, Command};
use env::Env;
use error::Error;
use system::{RealSystem, System};

/// A program in Rust starts here; where it is C's `main` that starts us, [`start`] says why.
#[cfg_attr(
    all(target_os = "linux", target_env = "gnu", not(test)),
    expect(dead_code)
)]
fn main() -> ExitCode {
    #[cfg(windows)]
    start::keep_streams_private();
    run_here().into()
}

/// Runs in this process and gives its exit code.
fn run_here() -> u8 {
    let env = Env::of_this_process();
    let mut system = RealSystem::new(&env);
    let result = Cli::parse(std::env::args_os()).and_then(|cli| {
        system.set_verbosity(cli.verbosity);
        run(cli, &env, &system, &mut io::stdout().lock())
    });
    match result {
        Ok(()) => 0,
        Err(error) => {
            system.tell(&format!("Error: {error}"));
            1
        }
    }
}

/// The whole program as a function of what was typed, the environment and the world.
fn run(cli: Cli, env: &Env, system: &dyn System, out: &mut dyn Write) -> Result<(), Error> {
    for notice in &cli.notices {
        system.tell(notice);
    }
    match cli.command {
        Command::GetToken(typed) => command::get_token::run(&typed, env, system, out),
        Command::ConvertKubeconfig(args) => {
            command::convert_kubeconfig::run(&args, env, system, out)
        }
        Command::Completion(shell) => print(command::completion::script(shell), out),
        Command::Complete(line) => command::completion::complete(&line, env, out),
        Command::RemoveCacheDir(typed) => command::remove_cache_dir::run(&typed, env, system),
        Command::Print(text) => print(&text, out),
    }
}

fn print(text: &str, out: &mut dyn Write) -> Result<(), Error> {
    out.write_all(text.as_bytes())
        .and_then(|()| out.flush())
        .map_err(|error| Error::outside(format!("stdout could not be written: {error}")))
}
