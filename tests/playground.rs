//! `cargo playground`: a demo of everything on one machine.
//!
//! Starts a fake Entra ID and a fake cluster, runs the real program against them and shows what it prints. It changes
//! nothing on the machine and uses no network but loopback. As a test, it is the smoke test.
#![allow(
    clippy::disallowed_methods,
    clippy::pedantic,
    clippy::print_stdout,
    reason = "the rules are for the program; this one talks to a newcomer"
)]

#[path = "support/support.rs"]
mod support;

use std::io::IsTerminal as _;
use std::path::Path;
use std::process::Command;

use support::*;

fn main() {
    let entra = FakeEntra::start();
    let cluster = FakeApiServer::start(&entra);
    println!(
        "\nThe real kubelogin, with a fake Entra ID ({}) and a fake cluster ({}), all on this machine.",
        entra.authority_host(),
        cluster.url()
    );

    step("A service principal signs in");
    let kubelogin = spn(&entra);
    typed("export AZURE_CLIENT_SECRET=...");
    typed("kubelogin get-token --login spn --server-id ... --tenant-id ... --client-id ...");
    show(&kubelogin.run());
    note(&format!(
        "{} HTTPS request to Entra ID.",
        entra.requests().len()
    ));

    step("The same call again");
    typed("kubelogin get-token --login spn ...");
    show(&kubelogin.run());
    assert_eq!(entra.requests().len(), 1);
    note("No request: the token came from the encrypted cache.");

    step("You sign in with a device code (the fake Entra ID approves it automatically)");
    typed("kubelogin get-token --login devicecode ...");
    show(&devicecode(&entra).run());

    step("A wrong client secret: the error says what to do");
    typed("kubelogin get-token --login spn ...");
    let error = kubelogin.env("AZURE_CLIENT_SECRET", "wrong").run().error();
    printed_all(error.lines());

    step("A kubeconfig for the Azure plugin that kubectl no longer has");
    convert();

    step("A kubeconfig from a fake Azure, without the Azure CLI");
    let arm = FakeArm::start_with(&entra, |rules| {
        rules.clusters[0].server = cluster.url();
        rules.clusters[0].certificate_authority = entra.ca_pem().to_owned();
    });
    let kubeconfig = get_credentials(&entra);
    note(&format!(
        "{} requests to Azure: one finds the cluster, one fetches its kubeconfig.",
        arm.requests().len()
    ));

    step("kubectl runs kubelogin for you");
    match find_on_path("kubectl") {
        Some(kubectl) => get_nodes(&kubectl, &entra, &kubeconfig),
        None => note("Skipped: kubectl is not on PATH."),
    }

    step("Now try it with your own cluster");
    printed("cargo install --path . --locked");
    printed("The next two commands are in README.md.");
}

/// Shows what a conversion would change in an old kubeconfig.
fn convert() {
    let room = TempDir::new();
    let kubeconfig = room.file("config", legacy_kubeconfig(1));
    typed("kubelogin convert-kubeconfig --login azurecli --dry-run");
    let output = Kubelogin::convert_kubeconfig("azurecli")
        .arg("--dry-run")
        .arg("--kubeconfig")
        .arg(kubeconfig)
        .run();
    assert!(output.status.success(), "{output:?}");
    let hunk = output
        .stdout
        .lines()
        .skip_while(|line| !line.starts_with("@@"));
    printed_all(hunk);
}

/// Fetches a cluster's kubeconfig by the cluster's name.
fn get_credentials(entra: &FakeEntra) -> String {
    typed("kubelogin get-credentials prod --login spn --file - ...");
    let output = Kubelogin::new()
        .args(["get-credentials", "prod", "--login", "spn", "--file", "-"])
        .args(["--client-id", CONFIDENTIAL_CLIENT_ID])
        .args(["--tenant-id", TENANT_ID])
        .env("AZURE_CLIENT_SECRET", CLIENT_SECRET)
        .through_proxy(entra)
        .run();
    assert!(output.status.success(), "{output:?}");
    let is_short = |line: &&str| !line.contains("-data:");
    printed_all(output.stdout.lines().filter(is_short));
    output.stdout
}

/// kubectl lists nodes with a token from kubelogin.
fn get_nodes(kubectl: &Path, entra: &FakeEntra, kubeconfig: &str) {
    let room = TempDir::new();
    let program = program_under_test();
    let programs = program.parent().expect("a folder");
    typed("kubectl get nodes");
    let output = Command::new(kubectl)
        .args(["get", "nodes", "--kubeconfig"])
        .arg(room.file("config", kubeconfig))
        .env("PATH", programs)
        .env("HOME", room.path())
        .env("AZURE_CLIENT_SECRET", CLIENT_SECRET)
        .env("SSL_CERT_FILE", entra.ca_file())
        .env("HTTPS_PROXY", entra.proxy_url())
        .env("NO_PROXY", "127.0.0.1")
        .env("KUBELOGIN_TOKEN_CACHE_STORAGE", "disk")
        .output()
        .expect("cannot start kubectl");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(text.contains("fake-node"), "{text}");
    printed_all(text.lines());
}

fn step(title: &str) {
    if std::io::stdout().is_terminal() {
        println!("\n\x1b[1m{title}\x1b[0m");
    } else {
        println!("\n{title}");
    }
}

/// Shows what a user would type.
fn typed(command: &str) {
    println!("    $ {command}");
}

fn printed(line: &str) {
    println!("    {line}");
}

fn printed_all<'l>(lines: impl Iterator<Item = &'l str>) {
    assert_ne!(
        lines.inspect(|line| printed(line)).count(),
        0,
        "there is nothing to show"
    );
}

fn note(text: &str) {
    println!("  {text}");
}

/// Shows stderr, then the ExecCredential with its token shortened.
fn show(output: &Output) {
    let token = output.token();
    output.stderr.lines().for_each(printed);
    let short = format!("{}...", &token[..16]);
    printed(&output.stdout.trim_end().replace(&token, &short));
}

fn find_on_path(program: &str) -> Option<std::path::PathBuf> {
    let path = std::env::var_os("PATH")?;
    let name = format!("{program}{}", std::env::consts::EXE_SUFFIX);
    std::env::split_paths(&path)
        .map(|folder| folder.join(&name))
        .find(|file| file.is_file())
}
