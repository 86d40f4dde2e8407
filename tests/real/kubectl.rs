//! The oldest and the newest kubectl list nodes with a token from kubelogin.

use std::process::Output;

use serde_json::{Value, json};

use crate::cluster::{Cluster, NODES};
use crate::support::{CONFIDENTIAL_CLIENT_ID, PUBLIC_CLIENT_ID, SERVER_ID, TENANT_ID};

/// Each version, with the API versions of the exec protocol that it supports.
const CLIENTS: &[(&str, &[&str])] = &[
    ("kubectl-1.20", &["v1beta1"]),
    ("kubectl-1.37", &["v1beta1", "v1"]),
];

/// Lists nodes as a user whose login is `exec`.
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
