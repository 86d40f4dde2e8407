//! Build script: the values that `kubelogin --version` shows. They depend only on the source, not on the clock.
#![expect(
    clippy::disallowed_methods,
    reason = "the rules are for the program, not for its build"
)]

use std::path::Path;
use std::process::Command;

use chrono::{DateTime, SecondsFormat};

fn main() {
    println!("cargo::rerun-if-changed=src/build.rs");
    println!("cargo::rerun-if-env-changed=SOURCE_DATE_EPOCH");
    // For a path that does not exist, Cargo would rerun this script at every build.
    for path in [".git/HEAD", ".git/logs/HEAD"] {
        if Path::new(path).exists() {
            println!("cargo::rerun-if-changed={path}");
        }
    }
    let version = env("CARGO_PKG_VERSION");
    let commit = git(&["rev-parse", "HEAD"]);
    show("KUBELOGIN_GIT_HASH", &format!("v{version}/{commit}"));
    let rustc = first_line(&env("RUSTC"), &["--version"]);
    show("KUBELOGIN_RUST_VERSION", &rustc);
    show("KUBELOGIN_BUILD_TIME", &build_time());
}

/// When the source was committed, unless SOURCE_DATE_EPOCH says otherwise (reproducible-builds.org): a build of the
/// same source is the same program.
fn build_time() -> String {
    let seconds = match env("SOURCE_DATE_EPOCH") {
        time if time.is_empty() => git(&["show", "--no-patch", "--format=%ct", "HEAD"]),
        time => time,
    };
    let time = seconds.parse().ok();
    time.and_then(|seconds| DateTime::from_timestamp(seconds, 0))
        .map_or_else(unknown, |time| {
            time.to_rfc3339_opts(SecondsFormat::Secs, true)
        })
}

/// Asks git about this repository, not about one that the source was unpacked in.
fn git(args: &[&str]) -> String {
    first_line("git", &[&["--git-dir=.git"], args].concat())
}

fn first_line(program: &str, args: &[&str]) -> String {
    let output = Command::new(program).args(args).output();
    let output = output.ok().filter(|output| output.status.success());
    let text = output.and_then(|output| String::from_utf8(output.stdout).ok());
    let line = text.as_deref().and_then(|text| text.lines().next());
    line.map_or_else(unknown, str::to_owned)
}

fn show(name: &str, value: &str) {
    println!("cargo::rustc-env={name}={value}");
}

fn env(name: &str) -> String {
    std::env::var(name).unwrap_or_default()
}

fn unknown() -> String {
    "unknown".into()
}
