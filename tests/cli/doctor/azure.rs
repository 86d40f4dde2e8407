//! What `doctor` asks Azure Resource Manager.

use super::*;

/// It uses the user's own refresh token and does not cache the token for Azure.
#[test]
fn azure_is_asked_about_the_cluster_only_if_that_is_wanted() {
    let mut patient = Patient::healthy();
    patient.known_to_azure(|cluster| cluster.has_local_accounts_disabled = true);
    let cache = patient.world.kubelogin.cache();
    let before = names_in(&cache);
    let (json, code) = patient.json();
    assert_eq!((findings(&json), code), (vec![], Some(0)));
    let checks = json["checks"].as_array().expect("checks");
    let reach = checks.last().expect("a check");
    assert_eq!(reach["id"], "arm.reach");
    assert_eq!(
        reach["summary"],
        "prod is running, access is decided by Azure RBAC and Kubernetes RBAC, local accounts are disabled"
    );
    assert_eq!(patient.world.entra.prompts(), 1);
    assert_eq!(names_in(&cache), before);
    let arm = patient.arm.as_ref().expect("Azure");
    assert_eq!(arm.take_requests().len(), 2);
    patient.args.clear();
    let (json, _) = patient.json();
    let mut checks = json["checks"].as_array().expect("checks").iter();
    assert!(checks.all(|check| check["area"] != "arm"), "{json:#}");
    assert_eq!(arm.take_requests().len(), 0);
}

/// Notes the cluster's ID in the kubeconfig, as `get-credentials` does.
fn note(patient: &mut Patient, id: &str) {
    let origin =
        json!({"environment": "AzurePublicCloud", "resourceID": id, "tenantID": TENANT_ID});
    patient.cluster()["extensions"] = json!([{"name": "kubelogin.azure", "extension": origin}]);
}

#[test]
fn a_cluster_that_the_kubeconfig_names_is_asked_for_at_once_even_without_resource_graph() {
    let mut patient = Patient::healthy();
    let cluster = FakeCluster::new("shop", "prod");
    note(&mut patient, &cluster.id());
    patient.in_azure(|rules| rules.graph = Graph::Forbidden);
    let (json, code) = patient.json();
    assert_eq!((findings(&json), code), (vec![], Some(0)));
    let arm = patient.arm.as_ref().expect("Azure");
    let requests = arm.take_requests();
    assert_eq!(requests.len(), 1);
    assert_eq!(requests[0].path, cluster.id());
}

/// The cluster was deleted or recreated in the meantime, or the kubeconfig was always wrong.
#[test]
fn a_cluster_that_the_kubeconfig_names_and_is_not_at_its_server_is_looked_for() {
    let mut patient = Patient::healthy();
    patient.in_azure(|rules| {
        rules.clusters[0].has_local_accounts_disabled = true;
        rules.clusters.push(FakeCluster::new("shop", "other"));
    });
    let (gone, other) = (
        FakeCluster::new("old", "prod"),
        FakeCluster::new("shop", "other"),
    );
    for (id, count) in [
        (gone.id().as_str(), 3),
        (&other.id(), 3),
        (&format!("{}/managedNamespaces/team", other.id()), 2),
        ("../../providers/x", 2),
    ] {
        note(&mut patient, id);
        let (json, code) = patient.json();
        assert_eq!((findings(&json), code), (vec![], Some(0)), "{id}");
        let checks = json["checks"].as_array().expect("checks");
        let summary = checks.last().expect("a check")["summary"].to_string();
        assert!(summary.contains("prod is running"), "{id}: {summary}");
        let arm = patient.arm.as_ref().expect("Azure");
        assert_eq!(arm.take_requests().len(), count, "{id}");
    }
}

#[test]
fn what_azure_knows_is_masked_too_and_its_command_names_the_subscription() {
    let mut patient = Patient::healthy();
    patient.known_to_azure(|cluster| cluster.is_stopped = true);
    let summary = |patient: &Patient| patient.json().0["checks"].to_string();
    let told = summary(&patient);
    let command = "az aks start --resource-group shop --name prod --subscription 50000000-0000-0000-0000-000000000001";
    assert!(told.contains(command), "{told}");
    patient.args.push("--redact".into());
    let told = summary(&patient);
    assert!(
        told.contains("az aks start --resource-group <group-1>"),
        "{told}"
    );
    for name in [" shop ", " prod ", "50000000-"] {
        assert!(!told.contains(name), "{name:?} in {told}");
    }
}

#[test]
fn an_azure_that_does_not_answer_is_a_warning_and_waits_for_nothing() {
    let mut patient = Patient::healthy();
    patient.known_to_azure(|_| ());
    let arm = patient.arm.as_ref().expect("Azure");
    arm.next(
        Reply::json(
            429,
            &json!({"error": {"code": "TooManyRequests", "message": "busy"}}),
        )
        .header("Retry-After", "50"),
    );
    let (json, code) = patient.json();
    let told = findings(&json);
    assert_eq!((told.len(), code), (1, Some(0)), "{told:?}");
    assert!(
        told[0].0 == "arm.reach" && told[0].2.contains("busy"),
        "{told:?}"
    );
}
