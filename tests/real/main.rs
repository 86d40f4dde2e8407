//! The real clients against the stand-ins: `.ci/run` installs them and runs this with `cargo test --test real`.
//! A client that is missing is a failure, never a skipped test.
#![allow(
    clippy::disallowed_methods,
    clippy::pedantic,
    reason = "the rules are for the program; tests start it and read the real clock"
)]

#[path = "../support/support.rs"]
mod support;

#[cfg(unix)]
mod az; // the account that a real az is signed in with
mod browser; // signs in as a person would, and takes pictures of what the person sees
mod cluster; // a cluster, asked by its real clients
mod completion; // zsh and fish complete with our scripts
mod convert; // kubeconfigs that az wrote, before and after
mod doctor; // looks at the kubectl beside it
#[cfg(unix)]
mod get_credentials; // az and kubectl, on what get-credentials writes
mod kubectl; // runs kubelogin from a kubeconfig's exec stanza
#[cfg(target_os = "linux")]
mod release; // archives, checksums, manifests, the container image; what is checked before
mod secret_service; // a desktop: the sealing key outlives a reboot
#[cfg(target_os = "linux")]
mod warm_path; // what a run with a token in the cache asks of the kernel

use std::path::PathBuf;

/// A program that `.ci/run` put under `target/real/`.
fn installed(path: &str) -> PathBuf {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("target/real")
        .join(path);
    assert!(
        path.is_file(),
        "{} is missing: .ci/run installs it",
        path.display()
    );
    path
}
