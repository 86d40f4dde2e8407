//! Build script: the values that `kubelogin --version` shows, true from a source build too, and how a release is linked.
#![expect(
    clippy::disallowed_methods,
    reason = "the rules are for the program, not its build"
)]

use std::path::Path;
use std::process::Command;

use chrono::{DateTime, SecondsFormat, Utc};

fn main() -> std::io::Result<()> {
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
    if env("CARGO_CFG_TARGET_OS") == "linux" && env("PROFILE") == "release" {
        link_warm_path_together()?;
        link_unwinder_statically()?;
    }
    Ok(())
}

/// Has the functions of a call with a token at hand laid out side by side, which saves a sixth of its time. GNU's linker
/// and LLVM's can; one that somebody chose, like mold, may not.
fn link_warm_path_together() -> std::io::Result<()> {
    const SCRIPT: &str = "src/warm_path.ld";
    println!("cargo::rerun-if-changed={SCRIPT}");
    let flags = env("CARGO_ENCODED_RUSTFLAGS");
    let is_chosen = ["fuse-ld", "linker", "link-self-contained"]
        .iter()
        .any(|flag| flags.contains(flag));
    if env("RUSTC_LINKER").is_empty() && !is_chosen {
        // A copy: another checkout with the same target folder would find the path of this one.
        let copy = Path::new(&env("OUT_DIR")).join("warm_path.ld");
        std::fs::copy(SCRIPT, &copy)?;
        println!("cargo::rustc-link-arg-bins=-T");
        println!("cargo::rustc-link-arg-bins={}", copy.display());
    }
    Ok(())
}

/// Has a release for glibc unwind with gcc's static library. Loading the shared one, which only a backtrace needs, is a
/// tenth of the time that a call with a token at hand takes.
fn link_unwinder_statically() -> std::io::Result<()> {
    let is_wanted = env("CARGO_CFG_TARGET_ENV") == "gnu" && env("HOST") == env("TARGET");
    let library = first_line("cc", &["-print-file-name=libgcc_eh.a"]);
    if is_wanted && library.is_some_and(|path| Path::new(&path).is_file()) {
        // std asks the linker for gcc_s. In this folder that is a linker script that names the other.
        let folder = env("OUT_DIR");
        std::fs::write(Path::new(&folder).join("libgcc_s.so"), "INPUT(-lgcc_eh)\n")?;
        println!("cargo::rustc-link-search=native={folder}");
    }
    Ok(())
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
