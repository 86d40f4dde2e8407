//! `doctor` and `whoami` next to a real kubectl, the oldest and the newest.

use serde_json::{Value, json};

use crate::cluster::Cluster;
use crate::installed;
use crate::support::{CLIENT_SECRET, CONFIDENTIAL_CLIENT_ID, Kubelogin, SERVER_ID, TENANT_ID};

/// A service principal's kubeconfig, and a kubelogin with this kubectl on PATH.
fn beside(kubectl: &str, cluster: &Cluster) -> (Kubelogin, Value) {
    let exec = json!({
        "apiVersion": "client.authentication.k8s.io/v1beta1",
        "command": "kubelogin",
        "args": ["get-token", "--login", "spn", "--server-id", SERVER_ID, "--tenant-id", TENANT_ID,
                 "--client-id", CONFIDENTIAL_CLIENT_ID, "--authority-host", cluster.entra.authority_host(), "--disable-instance-discovery"],
    });
    let programs = cluster.room.folder("programs");
    for (name, program) in [
        ("kubectl", installed(kubectl)),
        ("kubelogin", env!("CARGO_BIN_EXE_kubelogin").into()),
    ] {
        std::fs::copy(program, programs.join(name)).expect("a copy");
    }
    let kubelogin = Kubelogin::new()
        .env("PATH", programs)
        .env("AZURE_CLIENT_SECRET", CLIENT_SECRET)
        .env("SSL_CERT_FILE", cluster.entra.ca_file());
    (kubelogin, exec)
}

#[test]
fn the_age_of_kubectl_decides_which_version_of_the_protocol_will_do() {
    for (kubectl, version, status) in [
        ("kubectl-1.20", "v1beta1", "ok"),
        ("kubectl-1.20", "v1", "fail"),
        ("kubectl-1.37", "v1", "ok"),
        ("kubectl-1.37", "v1alpha1", "fail"),
    ] {
        let cluster = Cluster::start();
        let (kubelogin, mut exec) = beside(kubectl, &cluster);
        exec["apiVersion"] = format!("client.authentication.k8s.io/{version}").into();
        let config = cluster.room.file(
            "config",
            cluster.api_server.kubeconfig(&json!({ "exec": exec })),
        );
        let output = kubelogin
            .args(["doctor", "--json", "plugin"])
            .env("KUBECONFIG", config)
            .run();
        let json: Value = serde_json::from_str(&output.stdout).expect("JSON");
        let checks = json["checks"].as_array().expect("checks");
        let check = |id: &str| {
            checks
                .iter()
                .find(|check| check["id"] == id)
                .expect("a check")
        };
        let age = kubectl.replace('-', " ");
        assert_eq!(check("plugin.kubectl")["summary"], age, "{output:?}");
        assert_eq!(
            check("plugin.apiversion")["status"],
            status,
            "{kubectl} {version}: {output:?}"
        );
    }
}

/// Our answer must match `kubectl auth whoami`.
#[test]
fn whoami_says_what_kubectl_auth_whoami_says() {
    let cluster = Cluster::start();
    let (kubelogin, exec) = beside("kubectl-1.37", &cluster);
    let config = cluster.room.file(
        "config",
        cluster.api_server.kubeconfig(&json!({ "exec": exec })),
    );
    let theirs = cluster.run("kubectl-1.37", &["auth", "whoami", "-o", "json"], &config);
    let theirs: Value = serde_json::from_slice(&theirs.stdout)
        .unwrap_or_else(|error| panic!("{error}: {theirs:?}"));
    let ours = kubelogin
        .args(["whoami", "-o", "json"])
        .env("KUBECONFIG", config)
        .run();
    let ours: Value = serde_json::from_str(&ours.stdout).expect("JSON");
    let user = &theirs["status"]["userInfo"];
    for field in ["username", "groups", "extra"] {
        assert_eq!(
            ours["cluster"][field], user[field],
            "{field}: {ours:#} {theirs:#}"
        );
    }
}
