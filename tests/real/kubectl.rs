//! The oldest and the newest kubectl list nodes with a token from kubelogin.

use std::process::Output;

use serde_json::{Value, json};

use crate::cluster::{Cluster, NODES};
use crate::support::{CONFIDENTIAL_CLIENT_ID, PUBLIC_CLIENT_ID, SERVER_ID, TENANT_ID};

/// Each version, with the exec API versions that it supports.
const CLIENTS: &[(&str, &[&str])] = &[
    ("kubectl-1.20", &["v1beta1"]),
    ("kubectl-1.37", &["v1beta1", "v1"]),
];

/// Lists nodes as a user with this `exec` entry.
fn get_nodes(cluster: &Cluster, kubectl: &str, exec: &Value) -> Output {
    let kubeconfig = cluster.api_server.kubeconfig(&json!({ "exec": exec }));
    let kubeconfig = cluster.room.file("config", kubeconfig);
    cluster.run(kubectl, NODES.0, kubeconfig)
}

fn exec(api_version: &str, login: &str, client_id: &str, provide_cluster_info: bool) -> Value {
    json!({
        "apiVersion": format!("client.authentication.k8s.io/{api_version}"),
        "command": env!("CARGO_BIN_EXE_kubelogin"),
        "args": ["get-token", "--login", login, "--server-id", SERVER_ID, "--tenant-id", TENANT_ID,
                 "--client-id", client_id],
        "interactiveMode": "IfAvailable",
        "provideClusterInfo": provide_cluster_info,
    })
}

#[test]
fn lists_nodes_with_a_service_principal_in_every_version_of_the_protocol() {
    for (kubectl, api_versions) in CLIENTS {
        for api_version in *api_versions {
            for provide_cluster_info in [false, true] {
                let case = format!("{kubectl} {api_version} {provide_cluster_info}");
                let cluster = Cluster::start();
                let exec = exec(
                    api_version,
                    "spn",
                    CONFIDENTIAL_CLIENT_ID,
                    provide_cluster_info,
                );
                let output = get_nodes(&cluster, kubectl, &exec);
                assert!(
                    String::from_utf8_lossy(&output.stdout).contains("fake-node"),
                    "{case}: {output:?}"
                );
                assert_eq!(cluster.entra.token_requests(), 1, "{case}");
                assert_eq!(cluster.api_server.refused(), [""; 0], "{case}");
            }
        }
    }
}

#[test]
fn lists_nodes_with_a_device_code_and_shows_the_prompt() {
    for (kubectl, api_versions) in CLIENTS {
        let cluster = Cluster::start();
        let exec = exec(api_versions[0], "devicecode", PUBLIC_CLIENT_ID, false);
        let output = get_nodes(&cluster, kubectl, &exec);
        assert!(
            String::from_utf8_lossy(&output.stdout).contains("fake-node"),
            "{kubectl}: {output:?}"
        );
        assert!(
            String::from_utf8_lossy(&output.stderr).contains("microsoft.com/devicelogin"),
            "{output:?}"
        );
        assert_eq!(cluster.entra.prompts(), 1, "{kubectl}");
    }
}

/// Otherwise the plugin would poll for the code's 15 minutes, and make all other logins wait.
#[cfg(unix)]
#[test]
fn a_killed_kubectl_takes_its_sign_in_along() {
    use std::io::{BufRead as _, BufReader, Read as _};
    use std::process::Stdio;

    use rustix::process::{Pid, Signal, kill_process};

    use crate::support::Poll;

    for (kubectl, api_versions) in CLIENTS {
        for signal in [Signal::TERM, Signal::KILL] {
            let cluster = Cluster::start();
            cluster.entra.change(|rules| {
                rules.device_code.polls = vec![Poll::Pending];
                rules.device_code.expires_in = 60;
            });
            let exec = exec(api_versions[0], "devicecode", PUBLIC_CLIENT_ID, false);
            let kubeconfig = cluster.api_server.kubeconfig(&json!({ "exec": exec }));
            let kubeconfig = cluster.room.file("config", kubeconfig);
            let mut command = cluster.command(kubectl, NODES.0, kubeconfig);
            command.stdout(Stdio::null()).stderr(Stdio::piped());
            let mut child = command.spawn().expect("cannot start kubectl");
            let mut stderr = BufReader::new(child.stderr.take().expect("a pipe"));
            let mut line = String::new();
            while !line.contains("devicelogin") {
                line.clear();
                assert_ne!(stderr.read_line(&mut line).expect("UTF-8"), 0);
            }
            kill_process(Pid::from_child(&child), signal).expect("kubectl is not running");
            child.wait().expect("cannot wait for it");
            // The plugin shares kubectl's stderr, which ends only once the plugin has exited, too.
            let mut rest = String::new();
            stderr.read_to_string(&mut rest).expect("UTF-8");
            assert!(
                rest.contains("the sign-in was cancelled"),
                "{kubectl}: {rest}"
            );
        }
    }
}

#[test]
fn kubectl_shows_our_error() {
    let cluster = Cluster::start();
    let exec = exec(
        "v1beta1",
        "spn",
        "99999999-0000-4000-8000-000000000000",
        false,
    );
    let output = get_nodes(&cluster, "kubectl-1.37", &exec);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success());
    assert!(
        stderr.contains("AADSTS700016") && stderr.contains("--client-id"),
        "{stderr}"
    );
    cluster.entra.take_violations();
}
