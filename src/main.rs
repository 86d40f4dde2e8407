//! kubelogin signs kubectl in to Azure Kubernetes clusters with Microsoft Entra ID.
//!
//! How the data flows; each arrow is one function:
//!
//! ```text
//! argv + env -> Cli, Env -> Options -> Login -> sign_in (cache | refresh | acquire) -> Token -> ExecCredential on stdout
//! ```
//!
//! - [`program`]: the whole program as a function: parse, run, report one error
//! - [`command`]: what each subcommand does
//! - [`cli`] and [`flag`]: what you can type; [`mod@env`]: what you can set; [`variables`]: both merged; [`options`]:
//!   checked, once, for every login mode
//! - [`sign_in`]: a token for a scope, from the nearest source; one sign-in at a time for all who ask
//! - [`login`]: a login mode with everything it needs; `login/<mode>.rs` is the value of `--login`
//! - [`entra`]: OAuth and Entra ID: authority, grants, assertions, errors; [`jwt`]: signing
//! - [`pop`]: proof-of-possession tokens: claims, key, signed envelope
//! - [`token_cache`]: tokens kept between runs, sealed; one sign-in for all who ask at the same time
//! - [`exec_credential`]: what kubectl sends us and what it reads from us
//! - [`api_server`]: asking a cluster who it takes us for
//! - [`kubeconfig`]: kubectl's files, edited without changing any other byte
//! - [`system`]: the outside world, one trait; [`retry`]: asking a host again, within a limit

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

use std::process::ExitCode;

fn main() -> ExitCode {
    program::main(std::env::args_os())
}
