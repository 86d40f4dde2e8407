//! The program as a whole, against the stand-ins on loopback.
#![allow(
    clippy::disallowed_methods,
    clippy::pedantic,
    clippy::unwrap_used,
    unsafe_code,
    reason = "the rules are for the program; tests start it, read the real clock and set limits of processes"
)]

#[path = "../support/support.rs"]
mod support;
// The stand-ins themselves: in this binary, as one more would take its time to link.
#[path = "../stand_in/stand_in.rs"]
mod stand_in;

// az, azd and pwsh as shell scripts.
#[cfg(unix)]
mod azd;
#[cfg(unix)]
mod azurecli;
#[cfg(unix)]
mod azurepowershell;
mod completion; // what a shell offers
mod convert_kubeconfig; // kubeconfigs on disk
mod doctor; // a broken situation for each check
mod every_mode; // what must hold for each login mode, and a list that has none forgotten
mod federated; // federated tokens: a file, GitHub Actions, Azure Pipelines
mod get_credentials; // kubeconfigs from a fake Azure Resource Manager, into files of every kind
mod get_token; // requests, prompts, stdout and errors of a login
mod golden; // help, version and messages as people read them, compared with tests/golden
mod interactive; // a sign-in with a browser: addresses, answers, pages, openers
mod legacy; // --legacy: the v1 endpoints
mod msi; // managed identity endpoints on loopback; IMDS has a fixed address that no test may touch
mod network; // bad networks, bad certificates, odd answers
mod pop; // --pop-enabled: proof-of-possession tokens
mod ropc; // a user name and a password
mod sudden_death; // kill -9 at any moment of a sign-in, a refresh and a conversion
// A person at a terminal.
#[cfg(unix)]
mod terminal;
mod token_cache; // tokens kept between runs: who is asked again, and what stands in the way of nobody
mod whoami; // who is signed in, and whom the cluster takes them for
