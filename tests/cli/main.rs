//! Tests of the whole program against fake servers on loopback.
#![allow(
    clippy::disallowed_methods,
    clippy::pedantic,
    clippy::unwrap_used,
    unsafe_code,
    reason = "the rules are for the program; tests start it, read the real clock and set process limits"
)]

#[path = "../support/support.rs"]
mod support;
// Tests of the fakes. They are in this binary to save linking another one.
#[path = "../stand_in/stand_in.rs"]
mod stand_in;

#[cfg(unix)]
mod auto; // what --login auto chooses, and which programs and hosts it leaves alone
#[cfg(unix)]
mod azd; // az, azd and pwsh are shell scripts
#[cfg(unix)]
mod azurecli;
#[cfg(unix)]
mod azurepowershell;
mod completion; // what bash offers
#[cfg(unix)]
mod convert_interrupted; // signals and kill -9 while a kubeconfig is locked or written
mod convert_kubeconfig; // kubeconfigs on disk
mod doctor; // each check fails when something is broken
mod every_mode; // rules for every login mode, and no mode is missing
mod federated; // federated tokens from a file, GitHub Actions, Azure Pipelines
mod get_credentials; // kubeconfigs from a fake Azure Resource Manager, merged into all kinds of files
mod get_token; // requests, prompts, stdout and errors of a login
mod golden; // help, version and messages, compared with tests/golden
mod interactive; // browser sign-ins: addresses, responses, pages, openers
mod layers; // the map in src/main.rs: a module uses only modules below it
mod legacy; // --legacy: the v1 endpoints
mod msi; // managed identity endpoints on loopback; not IMDS, whose fixed address is not loopback
mod network; // network faults, invalid certificates, unusual responses
#[cfg(unix)]
mod orphan; // sign-ins whose client is gone
mod pop; // --pop-enabled: proof-of-possession tokens
mod ropc; // user name and password
mod silence; // a successful call prints nothing on stderr
mod sudden_death; // killed at any moment of a sign-in, a refresh or a conversion
#[cfg(unix)]
mod terminal; // a user at a terminal
mod token_cache; // tokens cached between runs, and broken caches
mod whoami; // who is signed in, and who the cluster says they are
