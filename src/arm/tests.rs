use super::*;
use crate::system::fake::FakeSystem;
use crate::system::{NetworkError, NetworkErrorKind};

const SUBSCRIPTION: &str = "50000000-0000-0000-0000-000000000001";
const OTHER: &str = "50000000-0000-0000-0000-000000000002";

fn arm(system: &FakeSystem) -> Arm<'_> {
    let endpoint = Url::parse("https://management.azure.com").expect("a URL");
    Arm::new(
        endpoint,
        Secret::new("the-bearer"),
        Duration::from_secs(60),
        system,
    )
}

fn id(name: &str) -> ResourceId {
    ResourceId::new(SUBSCRIPTION, "shop", name, Kind::Cluster).expect("an ID")
}

fn wanted() -> Wanted {
    Wanted {
        access: Access::User,
        public_fqdn: false,
        format: Format::Exec,
    }
}

fn kubeconfig_of(text: &str) -> String {
    use base64::Engine as _;
    let value = base64::engine::general_purpose::STANDARD.encode(text);
    format!(r#"{{"kubeconfigs":[{{"name":"clusterUser","value":"{value}"}}]}}"#)
}

/// What `kubeconfigs` returns for these clusters, in their order.
fn fetched(system: &FakeSystem, names: &[&str], wanted: Wanted) -> Vec<Result<String, String>> {
    let ids: Vec<_> = names.iter().map(|name| id(name)).collect();
    let ids: Vec<_> = ids.iter().collect();
    let mut results = vec![None; ids.len()];
    arm(system).kubeconfigs(&ids, wanted, &mut |number, result| {
        let result = result.map(|text| text.expose().to_owned());
        results[number] =
            Some(result.map_err(|failure| failure.explain(&wanted.asked(ids[number])).to_string()));
    });
    results
        .into_iter()
        .map(|result| result.expect("each is answered"))
        .collect()
}

fn uris(system: &FakeSystem) -> Vec<String> {
    let requests = system.requests();
    requests
        .iter()
        .map(|request| request.uri().to_string())
        .collect()
}

fn error_code(status: u16, code: &str, message: &str) -> Result<HttpResponse, NetworkError> {
    let body = serde_json::json!({"error": {"code": code, "message": message}});
    FakeSystem::json(status, body.to_string())
}

#[test]
fn a_kubeconfig_takes_one_request_that_carries_the_token_and_no_body() {
    let system = FakeSystem::new([FakeSystem::json(200, kubeconfig_of("a: b\n"))]);
    assert_eq!(
        fetched(&system, &["prod"], wanted()),
        [Ok("a: b\n".to_owned())]
    );
    let request = &system.requests()[0];
    assert_eq!(request.method(), Method::POST);
    assert_eq!(
        request.uri().to_string(),
        format!(
            "https://management.azure.com/subscriptions/{SUBSCRIPTION}/resourceGroups/shop/providers/Microsoft.ContainerService/managedClusters/prod/listClusterUserCredential?api-version=2024-09-01&format=exec"
        )
    );
    assert_eq!(request.headers()[AUTHORIZATION], "Bearer the-bearer");
    assert_eq!(request.headers()[CONTENT_LENGTH], "0");
    assert!(
        !format!("{request:?}").contains("the-bearer"),
        "the token is marked as a secret"
    );
}

#[test]
fn each_kind_of_kubeconfig_has_its_own_action() {
    for (kind, wanted, end) in [
        (
            Kind::Cluster,
            Wanted {
                access: Access::Admin,
                ..wanted()
            },
            "managedClusters/prod/listClusterAdminCredential?api-version=2024-09-01",
        ),
        (
            Kind::Cluster,
            Wanted {
                format: Format::Azure,
                public_fqdn: true,
                ..wanted()
            },
            "managedClusters/prod/listClusterUserCredential?api-version=2024-09-01&server-fqdn=public&format=azure",
        ),
        (
            Kind::Namespace("team".into()),
            wanted(),
            "managedClusters/prod/managedNamespaces/team/listCredential?api-version=2026-06-01",
        ),
        (
            Kind::FleetHub,
            wanted(),
            "fleets/prod/listCredentials?api-version=2026-06-01",
        ),
    ] {
        let system = FakeSystem::new([FakeSystem::json(200, kubeconfig_of("a: b\n"))]);
        let id = ResourceId::new(SUBSCRIPTION, "shop", "prod", kind).expect("an ID");
        arm(&system).kubeconfigs(&[&id], wanted, &mut |_, result| assert!(result.is_ok()));
        assert!(uris(&system)[0].ends_with(end), "{}", uris(&system)[0]);
    }
}

#[test]
fn a_cloud_that_lags_behind_is_asked_once_more_in_a_version_that_it_knows() {
    let unknown = || {
        error_code(
            400,
            "NoRegisteredProviderFound",
            "No registered resource provider found for API version '2024-09-01'. The supported api-versions are '2020-01-01, 2021-07-01, 2022-01-02-preview'.",
        )
    };
    let system = FakeSystem::new([unknown(), FakeSystem::json(200, kubeconfig_of("a: b\n"))]);
    let public = Wanted {
        public_fqdn: true,
        ..wanted()
    };
    assert_eq!(
        fetched(&system, &["prod"], public),
        [Ok("a: b\n".to_owned())]
    );
    // That version has no format yet.
    assert!(
        uris(&system)[1].ends_with("?api-version=2021-07-01&server-fqdn=public"),
        "{:?}",
        uris(&system)
    );
    let system = FakeSystem::new([unknown(), unknown()]);
    assert!(fetched(&system, &["prod"], wanted())[0].is_err());
    assert_eq!(system.requests().len(), 2);
}

#[test]
fn an_answer_without_a_kubeconfig_says_so_and_shows_none_of_it() {
    for body in [
        "",
        "<html>hunter2</html>",
        "{}",
        r#"{"kubeconfigs":null}"#,
        r#"{"kubeconfigs":[]}"#,
        r#"{"kubeconfigs":[{"name":"hunter2","value":null}]}"#,
        r#"{"kubeconfigs":[{"value":"hunter2!"}]}"#,
        r#"{"kubeconfigs":[{"value":"/w=="}]}"#,
    ] {
        let system = FakeSystem::new([FakeSystem::json(200, body)]);
        let error = fetched(&system, &["prod"], wanted())
            .remove(0)
            .expect_err(body);
        assert!(
            error.contains("management.azure.com") && !error.contains("hunter2"),
            "{error}"
        );
    }
    for status in [202, 204, 302] {
        let system = FakeSystem::new([FakeSystem::json(status, "")]);
        let error = fetched(&system, &["prod"], wanted())
            .remove(0)
            .expect_err("none");
        assert!(error.contains(&status.to_string()), "{error}");
    }
}

#[test]
fn one_failure_of_many_stops_none_of_the_others() {
    let system = FakeSystem::new([
        FakeSystem::json(200, kubeconfig_of("1")),
        error_code(404, "ResourceNotFound", ""),
        FakeSystem::json(200, kubeconfig_of("3")),
    ]);
    let results = fetched(&system, &["a", "b", "c"], wanted());
    assert_eq!(
        (&results[0], &results[2]),
        (&Ok("1".into()), &Ok("3".into()))
    );
    assert!(
        results[1]
            .as_ref()
            .is_err_and(|error| error.contains("\"b\""))
    );
}

#[test]
fn arm_is_given_the_time_that_it_asks_for_and_then_asked_again() {
    let busy = |seconds: &str| {
        let answer = http::Response::builder()
            .status(429)
            .header("retry-after", seconds);
        Ok(answer.body(Vec::new()).expect("an answer"))
    };
    let system = FakeSystem::new([busy("17"), FakeSystem::json(200, kubeconfig_of("1"))]);
    assert_eq!(fetched(&system, &["a"], wanted()), [Ok("1".to_owned())]);
    assert_eq!(system.naps(), [Duration::from_secs(17)]);
    assert!(
        system.told()[0].contains("waiting 17 s"),
        "{:?}",
        system.told()
    );
    let system = FakeSystem::new([busy("61")]);
    let error = fetched(&system, &["a"], wanted())
        .remove(0)
        .expect_err("busy");
    assert!(error.contains("wait 61 s"), "{error}");
    let system = FakeSystem::new((0..4).map(|_| FakeSystem::json(503, "")));
    assert!(fetched(&system, &["a"], wanted())[0].is_err());
}

#[test]
fn a_network_failure_is_tried_again_and_then_named() {
    let refused = || {
        Err(NetworkError {
            host: "management.azure.com".into(),
            kind: NetworkErrorKind::Unreachable("connection refused".into()),
        })
    };
    let system = FakeSystem::new([refused(), FakeSystem::json(200, kubeconfig_of("1"))]);
    assert_eq!(fetched(&system, &["a"], wanted()), [Ok("1".to_owned())]);
    let system = FakeSystem::new((0..4).map(|_| refused()));
    let error = fetched(&system, &["a"], wanted())
        .remove(0)
        .expect_err("refused");
    assert!(
        error.contains("no connection to management.azure.com"),
        "{error}"
    );
}

/// One attempt takes at most 25 seconds, and the timeout is 60.
#[test]
fn a_silent_arm_is_not_asked_again_after_the_timeout_which_each_answer_starts_anew() {
    let silence = || {
        let kind = NetworkErrorKind::TimedOut;
        let host = "management.azure.com".into();
        Err(NetworkError { host, kind })
    };
    let system = FakeSystem::new([silence(), silence(), silence()]);
    let error = fetched(&system, &["a"], wanted()).remove(0);
    let error = error.expect_err("silence");
    assert!(
        error.contains("did not answer within 60 seconds"),
        "{error}"
    );
    assert_eq!(system.elapsed(), Duration::from_secs(25 + 25 + 25 + 2));

    let one = || FakeSystem::json(200, kubeconfig_of("1"));
    let system = FakeSystem::new([silence(), silence(), one(), silence(), one()]);
    assert!(
        fetched(&system, &["a", "b"], wanted())
            .iter()
            .all(Result::is_ok)
    );
}

fn cluster_in(subscription: &str, name: &str) -> String {
    format!(
        "/subscriptions/{subscription}/resourceGroups/shop/providers/Microsoft.ContainerService/managedClusters/{name}"
    )
}

fn row(name: &str) -> Value {
    serde_json::json!({"id": cluster_in(SUBSCRIPTION, name), "location": "westeurope", "tenantId": OTHER, "powerState": "Stopped"})
}

fn page(entries: &Value, next: Option<&str>) -> Result<HttpResponse, NetworkError> {
    FakeSystem::json(
        200,
        serde_json::json!({"value": entries, "nextLink": next}).to_string(),
    )
}

fn names(found: &[Cluster]) -> Vec<&str> {
    found
        .iter()
        .map(|cluster| cluster.id.name.as_str())
        .collect()
}

#[test]
fn resource_graph_is_read_page_by_page() {
    let first = serde_json::json!({"data": [row("a")], "$skipToken": "more"});
    let last = serde_json::json!({"data": [row("b")]});
    let system = FakeSystem::new([first, last].map(|page| FakeSystem::json(200, page.to_string())));
    let filter = Filter {
        name: Some("prod"),
        group: Some("shop"),
        subscription: Some(SUBSCRIPTION),
    };
    let found = arm(&system).clusters(filter).expect("clusters");
    assert_eq!(names(&found), ["a", "b"]);
    assert!(found[0].is_stopped && found[0].tenant_id.as_deref() == Some(OTHER));
    let bodies: Vec<Value> = system
        .forms()
        .iter()
        .map(|body| serde_json::from_str(body).expect("JSON"))
        .collect();
    let query = bodies[0]["query"].as_str().expect("a query");
    assert!(
        query.contains("and name =~ 'prod' and resourceGroup =~ 'shop' |"),
        "{query}"
    );
    assert_eq!(
        bodies[0]["subscriptions"],
        serde_json::json!([SUBSCRIPTION])
    );
    assert_eq!(bodies[1]["options"]["$skipToken"], "more");
    assert_eq!(bodies[1]["query"], bodies[0]["query"]);
}

#[test]
fn without_resource_graph_each_subscription_is_asked() {
    for graph in [
        FakeSystem::json(200, r#"{"data":[]}"#),
        error_code(403, "AuthorizationFailed", ""),
        error_code(404, "InvalidResourceType", ""),
    ] {
        let subscriptions =
            serde_json::json!([{"subscriptionId": SUBSCRIPTION}, {"subscriptionId": OTHER}]);
        let next = "https://management.azure.com/subscriptions?api-version=2022-12-01&$skiptoken=x";
        let system = FakeSystem::new([
            graph,
            page(&subscriptions, Some(next)),
            page(&serde_json::json!([]), None),
            page(
                &serde_json::json!([{"id": cluster_in(SUBSCRIPTION, "other")}, {"id": cluster_in(SUBSCRIPTION, "PROD")}]),
                None,
            ),
            error_code(403, "AuthorizationFailed", ""),
        ]);
        let filter = Filter {
            name: Some("prod"),
            ..Filter::default()
        };
        let found = arm(&system).clusters(filter).expect("clusters");
        assert_eq!(names(&found), ["PROD"]);
        assert_eq!(system.answers_left(), 0);
        assert_eq!(uris(&system)[2], next);
    }
}

#[test]
fn the_token_goes_to_no_other_host_and_a_list_without_end_stops() {
    let own = "https://management.azure.com/subscriptions?page=2";
    for (links, why) in [
        (
            vec![Some("https://evil.example/subscriptions")],
            "another host",
        ),
        (
            vec![Some("http://management.azure.com/subscriptions")],
            "another host",
        ),
        (
            vec![Some("https://management.azure.com:8443/subscriptions")],
            "another host",
        ),
        (
            vec![Some("https://management.azure.com@evil.example/")],
            "another host",
        ),
        (vec![Some("/subscriptions?page=2")], "another host"),
        (vec![Some(own), Some(own)], "too many pages"),
    ] {
        let pages = links.iter().map(|link| page(&serde_json::json!([]), *link));
        let system = FakeSystem::new(pages);
        let failure = arm(&system).subscriptions().expect_err("refused");
        let error = failure.explain(&Arm::asked_for_clusters(None)).to_string();
        assert!(error.contains(why), "{links:?}: {error}");
        assert_eq!(system.answers_left(), 0);
    }
}

#[test]
fn an_id_that_arm_makes_up_is_not_used() {
    for id in [
        "",
        "/subscriptions/x",
        &cluster_in(SUBSCRIPTION, "../x"),
        &cluster_in("..", "x"),
    ] {
        let body = serde_json::json!({"data": [{"id": id}]});
        let system = FakeSystem::new([FakeSystem::json(200, body.to_string())]);
        let failure = arm(&system).clusters(Filter::default()).expect_err(id);
        assert!(matches!(failure, Failure::Broken(_)));
    }
}

#[test]
fn the_tenant_of_a_subscription_is_asked_for_without_a_token() {
    let tenant = "11111111-aaaa-4aaa-8aaa-111111111111";
    let challenge = format!(
        "Bearer authorization_uri=\"https://login.windows.net/{tenant}\", error=\"invalid_token\""
    );
    let answer = http::Response::builder()
        .status(401)
        .header("www-authenticate", challenge);
    let system = FakeSystem::new([Ok(answer.body(Vec::new()).expect("an answer"))]);
    let endpoint = Url::parse("https://management.azure.com").expect("a URL");
    let arm = Arm::new(endpoint, Secret::empty(), Duration::from_secs(60), &system);
    assert_eq!(
        arm.tenant_of(SUBSCRIPTION).expect("an answer").as_deref(),
        Some(tenant)
    );
    assert!(!system.requests()[0].headers().contains_key(AUTHORIZATION));
}

#[test]
fn a_cluster_is_found_by_the_host_of_its_server_and_described() {
    let answer = format!(
        r#"{{"data":[{{"id":"{}"}}],"$skipToken":null}}"#,
        id("prod")
    );
    let details = r#"{"properties":{"fqdn":"prod.example","privateFQDN":"prod.privatelink.example","powerState":{"code":"Stopped"},"disableLocalAccounts":true,
        "aadProfile":{"managed":true,"enableAzureRBAC":true,"tenantID":"t"},
        "apiServerAccessProfile":{"authorizedIPRanges":["203.0.113.0/24"],"enablePrivateCluster":false}}}"#;
    let system = FakeSystem::new([
        FakeSystem::json(200, answer),
        FakeSystem::json(200, details),
        FakeSystem::json(200, r#"{"properties":{}}"#),
    ]);
    let arm = arm(&system);
    let found = arm.cluster_at("prod.example").expect("an answer");
    let found = found.expect("a cluster");
    let details = arm.details(&found).expect("details");
    assert!(details.is_stopped && !details.has_local_accounts && !details.is_private);
    assert!(details.is_at("PROD.example") && details.is_at("prod.privatelink.example"));
    assert!(!details.is_at("example"));
    assert_eq!(details.authorized_ranges, ["203.0.113.0/24"]);
    let entra = details.entra.expect("a profile");
    assert_eq!(entra.tenant_id.as_deref(), Some("t"));
    assert_eq!(entra.uses_azure_rbac, Some(true));
    let bare = arm.details(&found).expect("details");
    assert!(bare.entra.is_none() && bare.has_local_accounts && !bare.is_stopped);
    assert_eq!(
        uris(&system)[1],
        format!(
            "https://management.azure.com{}?api-version=2024-09-01",
            id("prod")
        )
    );
    let query = String::from_utf8(system.requests()[0].body().clone()).expect("JSON");
    assert!(
        query.contains("properties.fqdn =~ 'prod.example'"),
        "{query}"
    );
}

#[test]
fn a_host_that_is_none_is_not_put_into_a_query() {
    let system = FakeSystem::new([]);
    for host in ["", "a' or true or 'b", "[::1]"] {
        let found = arm(&system).cluster_at(host).expect("no question");
        assert!(found.is_none(), "{host}");
    }
}

#[test]
fn whoever_looks_does_not_wait_for_a_busy_arm() {
    let system = FakeSystem::new([FakeSystem::json(429, "{}")]);
    let arm = arm(&system).without_waiting();
    assert!(arm.cluster_at("prod.example").is_err());
    assert_eq!((system.requests().len(), system.naps().len()), (1, 0));
}
