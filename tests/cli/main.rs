//! The program as a whole, against fake servers on loopback.
#![allow(
    clippy::disallowed_methods,
    clippy::pedantic,
    clippy::unwrap_used,
    unsafe_code,
    reason = "the rules are for the program; tests start it, read the real clock and set limits of processes"
)]

#[path = "../support/support.rs"]
mod support;
// Tests of the fakes themselves: in this binary, because a separate one would have to be linked, too.
#[path = "../stand_in/stand_in.rs"]
mod stand_in;

// az, azd and pwsh as shell scripts.
#[cfg(unix)]
mod auto; // what --login auto chooses, and what it never starts or asks
#[cfg(unix)]
mod azd;
#[cfg(unix)]
mod azurecli;
#[cfg(unix)]
mod azurepowershell;
mod completion; // what bash offers
// Signals and kill -9 while a kubeconfig is locked or written.
#[cfg(unix)]
mod convert_interrupted;
mod convert_kubeconfig; // kubeconfigs on disk
mod doctor; // something broken for each check
mod every_mode; // what must hold for each login mode, and a list that has none forgotten
mod federated; // federated tokens: a file, GitHub Actions, Azure Pipelines
mod get_credentials; // kubeconfigs from a fake Azure Resource Manager, into files of every kind
mod get_token; // requests, prompts, stdout and errors of a login
mod golden; // help, version and messages as people read them, compared with tests/golden
mod interactive; // browser sign-ins: addresses, responses, pages, openers
mod layers; // the map in src/main.rs: a module uses only modules below it
mod legacy; // --legacy: the v1 endpoints
// A shell plays kubectl.
mod msi; // managed identity endpoints on loopback; not IMDS, whose fixed address is not loopback
mod network; // network faults, invalid certificates, unusual responses
#[cfg(unix)]
mod orphan; // whose client is gone, and whose is not
mod pop; // --pop-enabled: proof-of-possession tokens
mod ropc; // a user name and a password
mod silence; // stderr when the call succeeds
mod sudden_death; // killed at any moment of a sign-in, a refresh or a conversion
// A user at a terminal.
#[cfg(unix)]
mod terminal;
mod token_cache; // tokens cached between runs, and caches that do not work
mod whoami; // who is signed in, and who the cluster says they are
