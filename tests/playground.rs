//! `cargo playground`: the whole thing on one machine, for a newcomer to watch.
//!
//! Starts the stand-ins for Entra ID and for a cluster, runs the real program against them, tells each step in a line
//! and ends. Nothing of the machine is touched and no network but loopback is used. As a test it is the smoke test.
#![allow(clippy::disallowed_methods)]

#[path = "support/support.rs"]
mod support;

use std::path::Path;
use std::process::Command;

use serde_json::json;
use support::*;

fn main() {
    let entra = FakeEntra::start();
    let cluster = FakeApiServer::start(&entra);
    step("A stand-in for Entra ID listens", &entra.authority_host());
    step("A stand-in for a cluster listens", &cluster.url());

    let spn = spn(&entra);
    step(
        "A service principal signs in",
        "kubelogin get-token --login spn ...",
    );
    show(&spn.run());
    step("Requests that took", &entra.token_requests().to_string());

    let devicecode = devicecode(&entra);
    step(
        "A person signs in (the stand-in approves by itself)",
        "kubelogin get-token --login devicecode ...",
    );
    show(&devicecode.run());

    match find_on_path("kubectl") {
        Some(kubectl) => get_nodes(Path::new(&kubectl), &entra, &cluster),
        None => step("kubectl is not on PATH", "its part is left out"),
    }
    step(
        "Done",
        "README.md says how to use it with a cluster of yours",
    );
}

/// kubectl lists nodes with a token that kubelogin obtains for it.
fn get_nodes(kubectl: &Path, entra: &FakeEntra, cluster: &FakeApiServer) {
    let room = TempDir::new();
    let kubeconfig = cluster.kubeconfig(&json!({"exec": {
        "apiVersion": "client.authentication.k8s.io/v1",
        "command": program_under_test(),
        "args": ["get-token", "--login", "spn", "--server-id", SERVER_ID, "--tenant-id", TENANT_ID,
                 "--client-id", CONFIDENTIAL_CLIENT_ID],
        "interactiveMode": "IfAvailable",
    }}));
    step(
        "kubectl asks the cluster, kubelogin signs it in",
        "kubectl get nodes",
    );
    let output = Command::new(kubectl)
        .args(["get", "nodes", "--kubeconfig"])
        .arg(room.file("config", &kubeconfig))
        .env("HOME", room.path())
        .env("AZURE_CLIENT_SECRET", CLIENT_SECRET)
        .env("SSL_CERT_FILE", entra.ca_file())
        .env("HTTPS_PROXY", entra.proxy_url())
        .env("NO_PROXY", "127.0.0.1")
        .env("KUBELOGIN_TOKEN_CACHE_STORAGE", "disk")
        .output()
        .expect("kubectl starts");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(text.contains("fake-node"), "{text}");
    text.lines().for_each(|line| println!("    {line}"));
}

fn step(what: &str, detail: &str) {
    println!("\x1b[1m{what}\x1b[0m: {detail}");
}

/// What the person sees on stderr, then the ExecCredential with its token shortened.
fn show(output: &Output) {
    let token = output.token();
    output
        .stderr
        .lines()
        .for_each(|line| println!("    {line}"));
    let short = format!("{}...", &token[..16]);
    println!("    {}", output.stdout.trim_end().replace(&token, &short));
}

fn find_on_path(program: &str) -> Option<std::path::PathBuf> {
    let path = std::env::var_os("PATH")?;
    let name = format!("{program}{}", std::env::consts::EXE_SUFFIX);
    std::env::split_paths(&path)
        .map(|folder| folder.join(&name))
        .find(|file| file.is_file())
}
