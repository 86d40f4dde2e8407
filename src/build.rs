//! Build script: the values that `kubelogin --version` shows, true from a source build too.
#![expect(
    clippy::disallowed_methods,
    reason = "the rules are for the program, not its build"
)]

use std::path::Path;
use std::process::Command;

use chrono::{DateTime, SecondsFormat, Utc};

fn main() {
    println!("cargo::rerun-if-changed=src/build.rs");
    println!("cargo::rerun-if-env-changed=SOURCE_DATE_EPOCH");
    // A path that is not there would run this script at every build.
    for path in [".git/HEAD", ".git/logs/HEAD"]
        .into_iter()
        .filter(|path| Path::new(path).exists())
    {
        println!("cargo::rerun-if-changed={path}");
    }

    let version = env("CARGO_PKG_VERSION");
    let commit = first_line("git", &["rev-parse", "HEAD"]).unwrap_or_else(|| "unknown".into());
    println!("cargo::rustc-env=KUBELOGIN_GIT_HASH=v{version}/{commit}");

    let rustc = first_line(&env("RUSTC"), &["--version"]).unwrap_or_else(|| "unknown".into());
    println!("cargo::rustc-env=KUBELOGIN_RUST_VERSION={rustc}");

    // reproducible-builds.org: SOURCE_DATE_EPOCH goes before the clock.
    let time = env("SOURCE_DATE_EPOCH")
        .parse()
        .ok()
        .and_then(|epoch| DateTime::from_timestamp(epoch, 0));
    let time = time
        .unwrap_or_else(Utc::now)
        .to_rfc3339_opts(SecondsFormat::Secs, true);
    println!("cargo::rustc-env=KUBELOGIN_BUILD_TIME={time}");
}

fn env(name: &str) -> String {
    std::env::var(name).unwrap_or_default()
}

fn first_line(program: &str, args: &[&str]) -> Option<String> {
    let output = Command::new(program)
        .args(args)
        .output()
        .ok()
        .filter(|o| o.status.success())?;
    String::from_utf8(output.stdout)
        .ok()?
        .lines()
        .next()
        .map(str::to_owned)
}
