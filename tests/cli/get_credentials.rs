//! `get-credentials`: cluster selection, sign-in, the written kubeconfig, and errors.

mod challenge; // Azure requires a stronger sign-in
mod file; // the kubeconfig it writes, and what may be wrong with that file
mod outage; // Azure is down, slow or an impostor
mod sign_in; // who signs in, to which tenant, and how often
#[cfg(unix)]
mod terminal; // what a person at a terminal sees and types

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::json;

use crate::support::*;

/// Azure Resource Manager in the public cloud.
const ARM: &str = "management.azure.com";

fn bare(entra: &FakeEntra) -> Kubelogin {
    Kubelogin::new().arg("get-credentials").through_proxy(entra)
}

fn config(kubelogin: &Kubelogin) -> PathBuf {
    kubelogin.home().join(".kube/config")
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).expect("cannot read the kubeconfig")
}

/// Runs it, and returns the kubeconfig and stderr.
#[track_caller]
fn written(kubelogin: &Kubelogin) -> (String, String) {
    let output = kubelogin.clone().verbose().run();
    assert!(output.status.success(), "{output:?}");
    assert_eq!(output.stdout, "");
    // Other tests check how it gets the token.
    let told = output.stderr.lines();
    let told = told.filter(|line| !line.starts_with("Token: "));
    let told: String = told.flat_map(|line| [line, "\n"]).collect();
    (read(&config(kubelogin)), told)
}

/// Runs it and returns its error. It must not write a kubeconfig.
#[track_caller]
fn refused(kubelogin: &Kubelogin) -> String {
    let before = fs::read(config(kubelogin)).ok();
    let error = kubelogin.run().error();
    assert_eq!(
        fs::read(config(kubelogin)).ok(),
        before,
        "the file was changed"
    );
    error
}

/// Writes a kubeconfig into the home folder.
fn at_home(kubelogin: &Kubelogin, text: &str) -> PathBuf {
    let path = config(kubelogin);
    fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
    fs::write(&path, text).expect("a kubeconfig");
    path
}

fn paths(requests: &[Request]) -> Vec<&str> {
    let last = |request: &'_ Request| request.path.rsplit('/').next().map(str::len).unwrap_or(0);
    requests
        .iter()
        .map(|request| &request.path[request.path.len() - last(request)..])
        .collect()
}

/// A token for Azure Resource Manager, as another program would return it, and its expiry in Unix seconds.
#[cfg(unix)] // the programs are shell scripts
fn token_for_azure(entra: &FakeEntra) -> (String, u64) {
    let now = std::time::SystemTime::UNIX_EPOCH
        .elapsed()
        .expect("after 1970")
        .as_secs();
    let resource = "https://management.core.windows.net/";
    let claims = json!({"aud": resource, "tid": TENANT_ID, "nbf": now, "exp": now + 3600});
    (entra.sign(&claims), now + 3600)
}

#[test]
fn a_cluster_by_group_and_name_costs_one_request_to_each_and_makes_a_private_file() {
    let entra = FakeEntra::start();
    let arm = FakeArm::start(&entra);
    let kubelogin = get_credentials(&entra).args(PROD);
    let (text, told) = written(&kubelogin);
    assert_eq!(paths(&arm.requests()), ["listClusterUserCredential"]);
    assert_eq!(arm.requests()[0].host(), ARM);
    assert_eq!(entra.token_requests(), 1);
    let path = config(&kubelogin).display().to_string();
    let merged = format!("Merged \"prod\" as current context in {path}\n");
    assert_eq!(told, merged);
    for part in [
        "server: https://prod-shop-0a1b2c3d.hcp.westeurope.azmk8s.io:443\n  name: prod\n",
        "    cluster: prod\n    user: clusterUser_shop_prod\n  name: prod\ncurrent-context: prod\n",
        "      - get-token\n      - --login\n      - spn\n      - --server-id\n",
        "resourceID: /subscriptions/50000000-0000-0000-0000-000000000001/resourceGroups/shop/providers/Microsoft.ContainerService/managedClusters/prod\n",
        &format!("tenantID: {TENANT_ID}\n"),
    ] {
        assert!(text.contains(part), "{part} is not in {text}");
    }
    assert!(!text.contains(CLIENT_SECRET));
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        let mode = |path: &Path| fs::metadata(path).expect("metadata").permissions().mode() & 0o777;
        assert_eq!(mode(&config(&kubelogin)), 0o600);
        assert_eq!(mode(config(&kubelogin).parent().expect("a folder")), 0o700);
    }
    // A second run changes nothing, prints nothing and reuses the token.
    let (again, told) = written(&kubelogin);
    assert_eq!((again, told.as_str()), (text, ""));
    assert_eq!(entra.token_requests(), 1);
}

#[test]
fn a_name_is_found_wherever_it_is_and_a_resource_id_needs_no_search() {
    let entra = FakeEntra::start();
    let arm = FakeArm::start_with(&entra, |rules| {
        let mut lab = FakeCluster::new("lab", "test");
        lab.subscription = OTHER_SUBSCRIPTION_ID.into();
        rules.clusters.push(lab);
    });
    let kubelogin = get_credentials(&entra);
    let id = arm.cluster_id("test");
    written(&get_credentials(&entra).arg("TEST"));
    assert_eq!(
        paths(&arm.take_requests()),
        ["resources", "listClusterUserCredential"]
    );
    written(&get_credentials(&entra).arg(&id));
    assert_eq!(paths(&arm.take_requests()), ["listClusterUserCredential"]);
    written(&get_credentials(&entra).args(["-n", "test", "--subscription", "labs"]));
    assert_eq!(
        paths(&arm.take_requests()),
        ["subscriptions", "resources", "listClusterUserCredential"]
    );
    written(
        &kubelogin
            .args(["-g", "LAB", "-n", "test"])
            .env("AZURE_SUBSCRIPTION_ID", OTHER_SUBSCRIPTION_ID),
    );
    assert_eq!(paths(&arm.take_requests()), ["listClusterUserCredential"]);
    for graph in [Graph::Behind, Graph::Forbidden, Graph::Missing] {
        arm.change(|rules| {
            rules.graph = graph;
            rules.page_size = 1;
        });
        let (text, _) = written(&get_credentials(&entra).arg("test"));
        assert!(text.contains("name: test"), "{graph:?}");
    }
}

#[test]
fn an_unknown_cluster_is_reported_with_what_was_searched_and_similar_names() {
    let entra = FakeEntra::start();
    let arm = FakeArm::start_with(&entra, |rules| {
        let mut twin = FakeCluster::new("lab", "prod");
        twin.subscription = OTHER_SUBSCRIPTION_ID.into();
        rules.clusters.push(twin);
    });
    let output = get_credentials(&entra).arg("prod").run();
    let error = output.error();
    assert!(
        error.contains("2 clusters are named \"prod\"") && error.contains("-g GROUP"),
        "{error}"
    );
    for twin in [
        "prod: group shop, subscription 50000000-0000-0000-0000-000000000001 (Shops), westeurope",
        "group lab",
    ] {
        assert!(output.stderr.contains(twin), "{}", output.stderr);
    }
    for (args, parts) in [
        (
            &["prd"][..],
            &[
                "there is no cluster \"prd\" in tenant",
                "Did you mean prod?",
            ][..],
        ),
        (
            &["-g", "lap", "-n", "prod", "--subscription", "Labs"],
            &["resource group does not exist", "ResourceGroupNotFound"],
        ),
        (
            &["-g", "lap", "-n", "prod"],
            &[
                "any group \"lap\"",
                "in another group: kubelogin get-credentials -g",
            ],
        ),
        (
            &["-g", "shop", "-n", "prd", "--subscription", SUBSCRIPTION_ID],
            &["cluster \"prd\" in group \"shop\" does not exist"],
        ),
        (
            &["prod", "--subscription", "Shop"],
            &["no access to a subscription named \"Shop\"", "Shops"],
        ),
        (
            &[
                "prod",
                "-g",
                "shop",
                "--subscription",
                "50000000-0000-0000-0000-000000000009",
            ],
            &["no such subscription"],
        ),
        (&["x*"], &["no cluster name matches \"x*\""]),
        (&[], &["no cluster was given", "--all"]),
        (&["a/b"], &["not a valid cluster name"]),
        (&["--all", "prod"], &["--all and a cluster name"]),
        (
            &["--all", "--context", "x"],
            &["--context is for one cluster"],
        ),
        (
            &["prod", "--admin", "--format", "exec"],
            &["--format has no effect"],
        ),
        (&["prod", "--format", "x"], &["unknown --format"]),
        (&["prod", "--write-login", "x"], &["unknown --write-login"]),
    ] {
        let error = refused(&get_credentials(&entra).args(args));
        for part in parts {
            assert!(error.contains(part), "{args:?}: {part} is not in {error}");
        }
    }
    arm.take_requests();
}

#[test]
fn azure_stack_s_file_names_its_own_resource_manager() {
    let entra = FakeEntra::start();
    let arm = FakeArm::start(&entra);
    let room = TempDir::new();
    let stack = json!({
        "activeDirectoryEndpoint": entra.authority_host(), "resourceManagerEndpoint": arm.url(),
        "tokenAudience": STACK_AUDIENCE,
    });
    let file = room.file("stack.json", stack.to_string());
    arm.change(|rules| rules.only_version = Some("2021-07-01".into()));
    let kubelogin = Kubelogin::new()
        .args([
            "get-credentials",
            "--environment",
            "AzureStackCloud",
            "--login",
            "spn",
        ])
        .args([
            "--client-id",
            CONFIDENTIAL_CLIENT_ID,
            "--tenant-id",
            TENANT_ID,
        ])
        .args(PROD)
        .env("AZURE_CLIENT_SECRET", CLIENT_SECRET)
        .env("SSL_CERT_FILE", entra.ca_file())
        .env("AZURE_ENVIRONMENT_FILEPATH", file);
    let (text, _) = written(&kubelogin);
    assert!(text.contains("environment: AzureStackCloud"), "{text}");
    let versions: Vec<_> = arm
        .requests()
        .iter()
        .filter_map(|request| request.parameter("api-version").map(str::to_owned))
        .collect();
    assert_eq!(versions, ["2024-09-01", "2021-07-01"]);
}

#[test]
fn each_cloud_s_own_resource_manager_is_asked() {
    for (environment, host, authority) in [
        (
            "AzureChinaCloud",
            "management.chinacloudapi.cn",
            "login.chinacloudapi.cn",
        ),
        (
            "AzureUSGovernmentCloud",
            "management.usgovcloudapi.net",
            "login.microsoftonline.us",
        ),
        (
            "AzureBleuCloud",
            "management.sovcloud-api.fr",
            "login.sovcloud-identity.fr",
        ),
    ] {
        let entra = FakeEntra::start_with(|rules| rules.host_names.push(authority.into()));
        let arm = FakeArm::start(&entra);
        written(
            &get_credentials(&entra)
                .args(PROD)
                .args(["--environment", environment]),
        );
        assert_eq!(arm.requests()[0].host(), host);
        assert_eq!(entra.requests()[0].host(), authority);
    }
}

#[test]
fn a_call_by_kubectl_is_refused() {
    let entra = FakeEntra::start();
    let kubelogin = get_credentials(&entra).args(PROD).called_by_kubectl();
    assert!(refused(&kubelogin).contains("called by a Kubernetes client"));
}

#[test]
fn managed_namespaces_and_fleet_hubs_are_fetched_by_their_resource_ids() {
    let entra = FakeEntra::start();
    let arm = FakeArm::start(&entra);
    let id = arm.cluster_id("prod");
    for id in [
        format!("{id}/managedNamespaces/team"),
        id.replace("managedClusters", "fleets"),
    ] {
        let (text, _) = written(&get_credentials(&entra).arg(&id));
        assert!(text.contains(&format!("resourceID: {id}\n")), "{text}");
    }
    assert_eq!(
        paths(&arm.requests()),
        ["listCredential", "listCredentials"]
    );
    let arc = id.replace(
        "Microsoft.ContainerService/managedClusters",
        "Microsoft.Kubernetes/connectedClusters",
    );
    assert!(refused(&get_credentials(&entra).arg(arc)).contains("az connectedk8s proxy"));
}
