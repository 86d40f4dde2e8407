//! `convert-kubeconfig` as its users see it: what az wrote does not work until it is converted.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::cluster::{Cluster, NODES, RELEASES};
use crate::support::{CONFIDENTIAL_CLIENT_ID, Kubelogin, PUBLIC_CLIENT_ID, SERVER_ID, TENANT_ID};

const KUBECTL: &str = "kubectl-1.37";

/// A user as `az aks get-credentials --format azure` writes it.
fn legacy_user() -> String {
    format!(
        "    auth-provider:
      config:
        apiserver-id: {SERVER_ID}
        client-id: {PUBLIC_CLIENT_ID}
        config-mode: '1'
        environment: AzurePublicCloud
        tenant-id: {TENANT_ID}
      name: azure"
    )
}

/// A user as `az aks get-credentials --format exec` writes it.
fn exec_user() -> String {
    format!(
        "    exec:
      apiVersion: client.authentication.k8s.io/v1beta1
      args:
      - get-token
      - --environment
      - AzurePublicCloud
      - --server-id
      - {SERVER_ID}
      - --client-id
      - {PUBLIC_CLIENT_ID}
      - --tenant-id
      - {TENANT_ID}
      - --login
      - devicecode
      command: kubelogin
      env: null
      installHint: kubelogin is not installed
      provideClusterInfo: false"
    )
}

/// A kubeconfig with a context and a user for the cluster, and with unrelated entries.
fn kubeconfig(cluster: &Cluster, name: &str, user: &str) -> PathBuf {
    let (ca_file, url) = (cluster.entra.ca_file(), cluster.api_server.url());
    let text = format!(
        "# Kept in git.
apiVersion: v1
clusters:
- cluster:
    certificate-authority: {}
    server: {url}
  name: aks-{name}
- cluster: {{insecure-skip-tls-verify: true, server: \"https://other.example:6443\"}}
  name: other-{name}
contexts:
- context:
    cluster: aks-{name}
    user: clusterUser_rg_{name}
  name: {name}
- context: {{cluster: other-{name}, namespace: web, user: other-{name}}}
  name: other-{name}
current-context: {name}
kind: Config
preferences: {{}}
users:
- name: other-{name}
  user: {{token: hunter2}} # not ours
- name: clusterUser_rg_{name}
  user:
{user}
- name: eks-{name}
  user:
    exec:
      apiVersion: client.authentication.k8s.io/v1beta1
      args: [eks, get-token]
      command: aws
",
        ca_file.display()
    );
    cluster.room.file(name, text)
}

/// Converts all Azure users to a service principal.
fn convert(kubeconfig: impl AsRef<OsStr>) {
    let output = Kubelogin::convert_kubeconfig("spn")
        .args(["--client-id", CONFIDENTIAL_CLIENT_ID])
        .env("KUBECONFIG", kubeconfig)
        .run();
    assert!(output.status.success(), "{output:?}");
}

/// The kubeconfig as kubectl reads it, split into the Azure users' logins and the rest.
fn view(cluster: &Cluster, kubeconfig: impl AsRef<OsStr>) -> (Value, Vec<Value>) {
    let args = ["config", "view", "--raw", "-o", "json"];
    let output = cluster.run(KUBECTL, &args, kubeconfig);
    let mut config: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let users = config["users"].as_array_mut().expect("users");
    let azure = |user: &&mut Value| {
        let name = user["name"].as_str().expect("a name");
        name.starts_with("clusterUser_")
    };
    let logins = users
        .iter_mut()
        .filter(azure)
        .map(|user| user["user"].take());
    let logins = logins.collect();
    (config, logins)
}

#[test]
fn a_converted_kubeconfig_works_in_every_client() {
    let cluster = Cluster::start();
    let file = kubeconfig(&cluster, "legacy", &legacy_user());
    let refused = cluster.run(KUBECTL, NODES.0, &file);
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(
        said.contains("azure auth plugin has been removed"),
        "{said}"
    );
    convert(&file);
    for (client, question) in [
        ("kubectl-1.37", NODES),
        ("kubectl-1.20", NODES),
        ("helm-1.37", RELEASES),
        ("helm-1.20", RELEASES),
    ] {
        cluster.answers(client, question, &file);
    }
    assert_eq!(
        cluster.entra.token_requests(),
        1,
        "they did not share one token"
    );
    assert_eq!(cluster.api_server.refused(), [""; 0]);
}

#[test]
fn a_device_code_user_becomes_a_service_principal() {
    let cluster = Cluster::start();
    let file = kubeconfig(&cluster, "exec", &exec_user());
    cluster.answers(KUBECTL, NODES, &file);
    assert_eq!(cluster.entra.prompts(), 1);
    convert(&file);
    for (client, question) in [(KUBECTL, NODES), ("helm-1.37", RELEASES)] {
        cluster.answers(client, question, &file);
    }
    assert_eq!(cluster.entra.prompts(), 1, "it prompted again");
    assert_eq!(cluster.entra.token_requests(), 2);
}

#[test]
fn both_files_of_a_list_are_converted() {
    let cluster = Cluster::start();
    let files = [
        kubeconfig(&cluster, "legacy", &legacy_user()),
        kubeconfig(&cluster, "exec", &exec_user()),
    ];
    let list: OsString = std::env::join_paths(&files).expect("a list");
    convert(&list);
    for context in ["legacy", "exec"] {
        let args = ["get", "nodes", "--context", context];
        cluster.answers(KUBECTL, (&args, NODES.1), &list);
    }
    assert_eq!(cluster.entra.prompts(), 0);
}

#[test]
fn kubectl_sees_no_other_change() {
    let cluster = Cluster::start();
    let files = [
        kubeconfig(&cluster, "legacy", &legacy_user()),
        kubeconfig(&cluster, "exec", &exec_user()),
    ];
    let before = files
        .each_ref()
        .map(|file: &PathBuf| view(&cluster, Path::new(file)));
    convert(std::env::join_paths(&files).expect("a list"));
    for (file, (rest, logins)) in files.iter().zip(before) {
        let (new_rest, new_logins) = view(&cluster, file);
        assert_eq!(new_rest, rest);
        let [login] = &new_logins[..] else {
            panic!("expected one Azure user: {new_logins:?}");
        };
        assert_ne!(logins, new_logins);
        let keys: Vec<_> = login.as_object().expect("a user").keys().collect();
        assert_eq!(keys, ["exec"]);
    }
}
