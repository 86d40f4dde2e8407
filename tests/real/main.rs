//! The real clients against the fakes. `.ci/run` installs the clients and runs `cargo test --test real`. A missing client
//! fails its test instead of skipping it.
#![allow(
    clippy::disallowed_methods,
    clippy::pedantic,
    reason = "the rules are for the program; tests start it and read the real clock"
)]

#[path = "../support/support.rs"]
mod support;

#[cfg(unix)]
mod az; // whose token kubelogin gets from the real az
mod browser; // Chromium signs in as a user would, and takes screenshots
mod cluster; // a cluster and its clients
mod completion; // our completion scripts in zsh and fish
mod convert; // kubeconfigs from az, before and after conversion
mod doctor; // doctor and whoami next to a real kubectl
#[cfg(unix)]
mod get_credentials; // compares its kubeconfigs with az's, and uses them in kubectl
#[cfg(target_os = "linux")]
mod kernel_keyring; // a key that someone else put into the kernel keyring
mod kubectl; // kubectl runs kubelogin from a kubeconfig's exec stanza
#[cfg(target_os = "linux")]
mod release; // archives, checksums, manifests, the container image, and the checks before a release
mod secret_service; // a desktop's keyring, where the encryption key outlives a reboot
#[cfg(target_os = "linux")]
mod warm_path; // the system calls of a run with a cached token

use std::path::PathBuf;

/// A program that `.ci/run` installed in `target/real/`.
fn installed(path: &str) -> PathBuf {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("target/real")
        .join(path);
    assert!(
        path.is_file(),
        "{} is missing: run .ci/run to install it",
        path.display()
    );
    path
}
