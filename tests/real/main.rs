//! The real clients against the fakes: `.ci/run` installs them and runs this with `cargo test --test real`.
//! A missing client is a failure, never a skipped test.
#![allow(
    clippy::disallowed_methods,
    clippy::pedantic,
    reason = "the rules are for the program; tests start it and read the real clock"
)]

#[path = "../support/support.rs"]
mod support;

#[cfg(unix)]
mod az; // whose token the real az returns
mod browser; // signs in as a user would, and takes screenshots
mod cluster; // a cluster and its clients
mod completion; // zsh and fish complete with our scripts
mod convert; // kubeconfigs that az wrote, before and after a conversion
mod doctor; // looks at the kubectl beside it
#[cfg(unix)]
mod get_credentials; // az and kubectl, on what get-credentials writes
#[cfg(target_os = "linux")]
mod kernel_keyring; // with a key that somebody else put there
mod kubectl; // runs kubelogin from a kubeconfig's exec stanza
#[cfg(target_os = "linux")]
mod release; // archives, checksums, manifests, the container image; what is checked before
mod secret_service; // a desktop, where the encryption key outlives a reboot
#[cfg(target_os = "linux")]
mod warm_path; // which system calls a run with a cached token makes

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
