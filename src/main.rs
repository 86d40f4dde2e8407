//! kubelogin signs kubectl in to Azure Kubernetes clusters with Microsoft Entra ID.
//!
//! How the data flows; each arrow is one function:
//!
//! ```text
//! argv + env -> Cli, Env -> Options -> Login -> sign_in (cache | refresh | acquire) -> Token -> ExecCredential on stdout
//! ```
//!
//! The map, from the top; a module uses only modules on lines below its own, which a test checks:
//!
//! - [`program`]: the whole program as a function: parse, run, report one error
//! - [`command`]: what each subcommand does
//! - [`sign_in`]: a token for a scope, from the nearest source; one sign-in at a time for all who ask
//! - [`login`]: a login mode with everything it needs; `login/<mode>.rs` is the value of `--login`
//! - [`options`]: what every login mode shares, merged from flags and variables and checked, once
//! - [`token_cache`]: tokens kept between runs, sealed
//! - [`entra`], [`arm`], [`api_server`], [`pop`]: OAuth with Entra ID; Azure Resource Manager; asking a cluster who it takes
//!   us for; proof-of-possession tokens
//! - [`kubeconfig`], [`exec_credential`], [`variables`]: kubectl's files, edited without changing any other byte; what kubectl
//!   sends us and reads from us; which variable sets which flag
//! - [`timeout`]: durations as Go writes them
//! - [`retry`]: asking a host again, within a limit
//! - [`system`], [`jwt`], [`cli`]: the outside world, one trait; signing; what you can type
//! - [`token`]: tokens and what they say
//! - [`flag`]: every flag
//! - [`mod@env`], [`login_mode`]: every variable; every login mode
//! - [`error`]: the one error type
//! - [`secret`]: a value that must never be shown

mod api_server;
mod arm;
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
mod program;
mod retry;
mod secret;
mod sign_in;
mod system;
mod timeout;
mod token;
mod token_cache;
mod variables;

#[cfg(test)]
#[path = "../tests/fuzz.rs"]
mod fuzz;

use std::process::ExitCode;

fn main() -> ExitCode {
    program::main(std::env::args_os())
}
