//! Azure Resource Manager is down, slow or an impostor; and what is rejected before any sign-in.

use std::net::{Ipv4Addr, TcpListener};

use super::*;

/// `get-credentials` for an Azure Stack whose Resource Manager is at this port.
fn at_port(entra: &FakeEntra, room: &TempDir, port: u16) -> Kubelogin {
    Kubelogin::new()
        .args(["get-credentials", "--environment", "AzureStackCloud"])
        .args(["--login", "spn", "--client-id", CONFIDENTIAL_CLIENT_ID])
        .args(["--tenant-id", TENANT_ID])
        .args(PROD)
        .env("AZURE_CLIENT_SECRET", CLIENT_SECRET)
        .env("SSL_CERT_FILE", entra.ca_file())
        .env("AZURE_ENVIRONMENT_FILEPATH", stack(entra, room, port))
}

/// The file that describes the Azure Stack.
fn stack(entra: &FakeEntra, room: &TempDir, port: u16) -> PathBuf {
    let stack = json!({
        "activeDirectoryEndpoint": entra.authority_host(),
        "resourceManagerEndpoint": format!("https://127.0.0.1:{port}/"),
        "tokenAudience": STACK_AUDIENCE,
    });
    room.file("stack.json", stack.to_string())
}

/// Nobody listens on port 1. A listener that never accepts plays a host that never answers.
#[test]
fn azure_that_is_down_or_slow_is_an_error_that_names_it_and_ends_with_the_timeout() {
    let entra = FakeEntra::start();
    let _arm = FakeArm::start(&entra);
    let room = TempDir::new();
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let kubelogin = at_port(&entra, &room, port);
    let mut patient = kubelogin.clone().args(["--timeout", "10m"]).spawn();
    let _asked = listener.accept().expect("a connection");
    let impatient = kubelogin.args(["--timeout", "1s"]);
    let slow = refused(&impatient);
    patient.kill();
    // A killed process has no exit code.
    let ended = patient.wait().status.code();
    assert!(ended.is_none() || cfg!(windows), "{ended:?}");
    let host = format!("127.0.0.1:{port}");
    assert!(
        slow.contains(&format!("{host} did not answer within 1 second"))
            && slow.contains("--timeout"),
        "{slow}"
    );
    stack(&entra, &room, 1); // moves it to port 1
    let down = refused(&impatient);
    assert!(down.contains("no connection to 127.0.0.1:1"), "{down}");
}

#[test]
fn what_is_typed_wrongly_is_refused_before_any_sign_in() {
    let entra = FakeEntra::start();
    let arm = FakeArm::start(&entra);
    for (args, part) in [
        (
            &["prod", "--write-login", "x"][..],
            "unknown --write-login \"x\"",
        ),
        (
            &["prod", "--login", "x"],
            "\"x\" is not a supported login mode",
        ),
        (&["prod", "--format", "x"], "unknown --format"),
        (&["prod", "--timeout", "soon"], "soon"),
        (&["-g", "a b/c", "-n", "prod"], "not a valid resource group"),
        (&["prod", "-n", "test"], "two cluster names"),
        (&["/subscriptions/x"], "is incomplete"),
        (&["-g", "", "-n", "prod"], "--resource-group is empty"),
        (&["prod", "--file="], "--file is empty"),
        (&["prod", "--context", ""], "--context is empty"),
    ] {
        let error = refused(&get_credentials(&entra).args(args));
        assert!(error.contains(part), "{args:?}: {error}");
    }
    assert_eq!((entra.requests().len(), arm.requests().len()), (0, 0));
}

#[test]
fn an_unknown_tenant_and_a_list_that_may_not_be_read_are_reported() {
    let entra = FakeEntra::start();
    let arm = FakeArm::start(&entra);
    let unknown = "99999999-0000-4000-8000-000000000009";
    let error = refused(&get_credentials(&entra).args(["prod", "--tenant-id", unknown]));
    assert!(error.contains("AADSTS90002"), "{error}");
    assert_eq!(
        (arm.requests().len(), entra.take_violations().len()),
        (0, 1)
    );
    let message = "The client 'alice@contoso.example' with object id '55555555-eeee-4eee-8eee-000000000001' does not have authorization to perform action 'Microsoft.Resources/subscriptions/read'.";
    let denied = || {
        let body = json!({"error": {"code": "AuthorizationFailed", "message": message}});
        Reply::json(403, &body)
    };
    // First from Resource Graph, then from the list of subscriptions.
    arm.next(denied());
    arm.next(denied());
    let error = refused(&get_credentials(&entra).arg("prod"));
    for part in [
        "alice@contoso.example (object ID 55555555-",
        "the list of clusters",
        "\"Reader\"",
        "az role assignment create",
    ] {
        assert!(error.contains(part), "{part}: {error}");
    }
}

#[test]
fn a_cluster_that_is_not_where_it_was_looked_for_is_found_for_the_error() {
    let entra = FakeEntra::start();
    let arm = FakeArm::start_with(&entra, |rules| {
        let mut lab = FakeCluster::new("lab", "test");
        lab.subscription = OTHER_SUBSCRIPTION_ID.into();
        rules.clusters.push(lab);
    });
    let wrong = get_credentials(&entra).args(["-g", "shop", "-n", "test"]);
    let wrong = wrong.args(["--subscription", SUBSCRIPTION_ID]);
    let error = refused(&wrong);
    let command = format!(
        "A cluster with this name exists elsewhere: kubelogin get-credentials -g lab -n test --subscription {OTHER_SUBSCRIPTION_ID}"
    );
    assert!(
        error.contains("cluster \"test\" in group \"shop\" does not exist")
            && error.contains(&command),
        "{error}"
    );
    assert_eq!(
        paths(&arm.take_requests()),
        ["listClusterUserCredential", "resources"]
    );
    arm.change(|rules| {
        let mut other = FakeCluster::new("lab2", "test");
        other.subscription = OTHER_SUBSCRIPTION_ID.into();
        rules.clusters.push(other);
    });
    assert!(refused(&wrong).contains("2 clusters with this name exist elsewhere: "));
    // Whatever Resource Graph says, the error is about the cluster.
    for graph in [Graph::Behind, Graph::Forbidden, Graph::Missing] {
        arm.change(|rules| rules.graph = graph);
        arm.take_requests();
        let error = refused(&wrong);
        assert!(error.contains("does not exist") && error.contains("--resource-group"));
        assert_eq!(arm.requests().len(), 2, "only one extra request");
    }
    // If access is denied, it sends no further requests.
    arm.change(|rules| rules.clusters[0].is_denied = true);
    arm.take_requests();
    refused(&get_credentials(&entra).args(PROD));
    assert_eq!(paths(&arm.requests()), ["listClusterUserCredential"]);
}

/// A fleet in the wrong group, for example, is not among the clusters.
#[test]
fn only_clusters_are_looked_for_elsewhere() {
    let entra = FakeEntra::start();
    let arm = FakeArm::start(&entra);
    let id = arm
        .cluster_id("prod")
        .replace("managedClusters/prod", "fleets/x");
    refused(&get_credentials(&entra).arg(id));
    assert_eq!(paths(&arm.requests()), ["listCredentials"]);
}
