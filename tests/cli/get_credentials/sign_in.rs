//! How `get-credentials` signs in: who, to which tenant, and how often.

use super::*;

/// `--login auto`, for a cluster that is named.
fn with_auto(entra: &FakeEntra) -> Kubelogin {
    bare(entra).args(PROD).args(["-l", "auto"])
}

#[test]
fn one_sign_in_serves_azure_and_the_cluster() {
    let entra = FakeEntra::start();
    let arm = FakeArm::start(&entra);
    // Without a browser the user gets a device code; the tenant comes from the subscription.
    let kubelogin = bare(&entra).args(PROD);
    let (text, told) = written(&kubelogin);
    assert!(told.contains("Merged"), "{told}");
    assert!(
        text.contains("- devicecode") && text.contains(AZ_CLIENT_ID),
        "{text}"
    );
    assert_eq!((entra.prompts(), entra.logins()), (1, 1));
    assert_eq!(
        paths(&arm.requests()),
        [SUBSCRIPTION_ID, "listClusterUserCredential"]
    );
    // kubectl's next call does not prompt.
    let args = [
        "get-token",
        "--login",
        "devicecode",
        "--server-id",
        SERVER_ID,
        "--client-id",
        AZ_CLIENT_ID,
        "--tenant-id",
        TENANT_ID,
        "--environment",
        "AzurePublicCloud",
    ];
    let get_token = Kubelogin::new()
        .args(args)
        .through_proxy(&entra)
        .env("KUBECACHEDIR", kubelogin.cache());
    let before = entra.token_requests();
    assert_eq!(claims_of(&get_token.run().token())["aud"], SERVER_ID);
    assert_eq!((entra.prompts(), entra.token_requests()), (1, before));
}

#[test]
#[cfg(unix)]
fn az_is_asked_for_a_token_for_azure_itself() {
    let entra = FakeEntra::start();
    let _arm = FakeArm::start(&entra);
    let (token, expires_on) = token_for_azure(&entra);
    let answer = json!({"accessToken": token, "expires_on": expires_on});
    let script = format!("echo \"$@\" >> \"$LOG\"\necho '{answer}'");
    let kubelogin = bare(&entra)
        .args(PROD)
        .args(["--login", "azurecli"])
        .program("az", &script);
    let (text, _) = written(&kubelogin);
    assert!(
        text.contains("- get-token\n      - --login\n      - azurecli\n      - --server-id\n"),
        "{text}"
    );
    let asked = kubelogin.log();
    assert!(
        asked.contains("--resource https://management.core.windows.net/"),
        "{asked}"
    );
    assert!(
        asked.contains(&format!("--tenant {TENANT_ID}")),
        "not the subscription's tenant: {asked}"
    );
}

#[test]
fn without_a_tenant_users_sign_in_to_their_own() {
    let entra = FakeEntra::start();
    let _arm = FakeArm::start(&entra);
    let kubelogin = bare(&entra).arg("prod");
    let (text, _) = written(&kubelogin);
    assert!(text.contains(&format!("tenantID: {TENANT_ID}")), "{text}");
    assert_eq!(entra.prompts(), 1);
    let requests = entra.requests_to(Endpoint::DeviceCode);
    assert!(requests[0].path.starts_with("/organizations/"));
}

#[test]
fn the_tenant_that_resource_manager_names_is_used_instead() {
    const OTHER: &str = "99999999-aaaa-4aaa-8aaa-999999999999";
    let entra = FakeEntra::start_with(|rules| rules.tenants.push(OTHER.into()));
    let arm = FakeArm::start_with(&entra, |rules| {
        rules.foreign.push((SUBSCRIPTION_ID.into(), OTHER.into()));
    });
    let (text, _) = written(&get_credentials(&entra).args(PROD));
    assert!(text.contains(&format!("tenantID: {OTHER}")), "{text}");
    assert_eq!(arm.requests().len(), 2);
    // If a token is rejected for another reason, it gets a new one once, then reports the error.
    let expired = || {
        let body =
            json!({"error": {"code": "ExpiredAuthenticationToken", "message": "It has expired."}});
        Reply::json(401, &body)
    };
    arm.take_requests();
    arm.change(|rules| rules.foreign.clear());
    arm.next(expired());
    written(&get_credentials(&entra).args(PROD));
    arm.take_requests();
    arm.next(expired());
    arm.next(expired());
    let error = refused(&get_credentials(&entra).args(PROD));
    assert!(
        error.contains("It has expired.") && error.contains("ExpiredAuthenticationToken"),
        "{error}"
    );
    assert_eq!(arm.requests().len(), 2);
}

#[test]
fn a_refusal_names_who_was_denied_and_the_command_that_helps() {
    let entra = FakeEntra::start();
    let arm = FakeArm::start_with(&entra, |rules| {
        rules.clusters[0].is_denied = true;
        let mut locked = FakeCluster::new("shop", "locked");
        locked.has_local_accounts_disabled = true;
        rules.clusters.push(locked);
    });
    let error = refused(&get_credentials(&entra).args(PROD));
    for part in [
        "alice@contoso.example (object ID 55555555-",
        "\"Azure Kubernetes Service Cluster User Role\"",
        "az role assignment create --role",
        "correlation ID 77777777",
    ] {
        assert!(error.contains(part), "{error}");
    }
    let error = refused(&get_credentials(&entra).args([
        "-g",
        "shop",
        "-n",
        "locked",
        "--subscription",
        SUBSCRIPTION_ID,
        "-a",
    ]));
    assert!(
        error.contains("local accounts are disabled") && error.contains("--admin"),
        "{error}"
    );
    for (reply, part) in [
        (Reply::html(200, "<html>hunter2"), "not the expected JSON"),
        (Reply::html(200, ""), "not the expected JSON"),
        (
            Reply::redirect(302, "https://evil.example/"),
            "answered 302",
        ),
        (
            Reply::json(200, &json!({"kubeconfigs": []})),
            "holds no kubeconfig",
        ),
        (
            Reply::new(200, "application/json", vec![b' '; 4 * 1024 * 1024 + 1]),
            "longer than 4 MiB",
        ),
    ] {
        arm.next(reply);
        let output = get_credentials(&entra).args(PROD).run();
        output.hides(&["hunter2"]);
        assert!(output.error().contains(part), "{output:?}");
    }
}

#[test]
fn the_admin_s_certificate_is_written_beside_the_user_s_login() {
    let entra = FakeEntra::start();
    let _arm = FakeArm::start(&entra);
    let kubelogin = get_credentials(&entra).args(PROD);
    written(&kubelogin);
    let (text, told) = written(&kubelogin.arg("-a"));
    assert!(
        text.contains("token: static-token-of-prod")
            && text.contains("name: prod-admin\ncurrent-context: prod-admin"),
        "{text}"
    );
    assert!(
        told.contains("Note: prod-admin signs in with its own certificate"),
        "{told}"
    );
    assert_eq!(
        text.matches("- cluster:\n").count(),
        1,
        "the cluster is the same"
    );
}

#[test]
fn the_mode_that_is_written_can_be_another_than_the_one_that_signs_in() {
    let entra = FakeEntra::start();
    let _arm = FakeArm::start(&entra);
    let kubelogin = get_credentials(&entra)
        .args(PROD)
        .args(["--write-login", "interactive"]);
    let (text, _) = written(&kubelogin);
    assert!(
        text.contains("- interactive") && text.contains(PUBLIC_CLIENT_ID),
        "{text}"
    );
    assert!(!text.contains(CONFIDENTIAL_CLIENT_ID));
    let (text, _) = written(&kubelogin.args(["--write-login", "azurecli", "--format", "azure"]));
    assert!(
        text.contains("- azurecli") && !text.contains("auth-provider"),
        "{text}"
    );
}

#[test]
fn all_clusters_are_fetched_with_one_sign_in_and_one_that_fails_stops_no_other() {
    const CLUSTERS: usize = 40;
    let entra = FakeEntra::start();
    let arm = FakeArm::start_with(&entra, |rules| {
        rules.clusters = (0..CLUSTERS)
            .map(|number| FakeCluster::new("shop", &format!("c{number}")))
            .collect();
        rules.clusters[7].is_denied = true;
        rules.clusters[8].is_stopped = true;
        rules.clusters[9].server = "https://c9.privatelink.westeurope.azmk8s.io:443".into();
        rules.page_size = 25;
    });
    let kubelogin = get_credentials(&entra).arg("--all");
    let output = kubelogin.run();
    let error = output.error();
    assert!(error.contains("1 of 40 clusters failed"), "{error}");
    assert!(
        output
            .stderr
            .contains("c7 (group shop): alice@contoso.example"),
        "{output:?}"
    );
    assert!(
        output.stderr.contains("Note: c9 is private")
            && output.stderr.contains("Note: c8 is stopped"),
        "{output:?}"
    );
    assert!(
        !output.stderr.contains("40 clusters: "),
        "progress is for terminals only"
    );
    let text = read(&config(&kubelogin));
    assert_eq!(
        text.matches("    user: clusterUser_shop_c").count(),
        CLUSTERS - 1
    );
    assert!(text.contains("current-context: \"\""), "{text}");
    assert_eq!(
        arm.take_requests().len(),
        CLUSTERS + 2,
        "two pages of the list, and each cluster"
    );
    assert_eq!(entra.token_requests(), 1);
    // A pattern, while the service is busy.
    arm.change(|rules| rules.throttled = (1, 0));
    let (text, _) = written(&get_credentials(&entra).arg("C3*"));
    assert_eq!(text.matches("- context:\n").count(), 11);
}

#[test]
fn with_auto_the_login_that_is_set_up_here_signs_in_and_auto_is_written() {
    let entra = FakeEntra::start();
    let _arm = FakeArm::start(&entra);
    let kubelogin = with_auto(&entra)
        .env("AZURE_CLIENT_ID", CONFIDENTIAL_CLIENT_ID)
        .env("AZURE_TENANT_ID", TENANT_ID)
        .env("AZURE_CLIENT_SECRET", CLIENT_SECRET);
    let (text, _) = written(&kubelogin);
    assert!(
        text.contains("- get-token\n      - --login\n      - auto\n"),
        "{text}"
    );
    assert!(!text.contains(CLIENT_SECRET), "{text}");
    let requests = entra.requests();
    assert_eq!(requests.len(), 1);
    assert_eq!(requests[0].field("client_id"), Some(CONFIDENTIAL_CLIENT_ID));
}

#[test]
#[cfg(unix)]
fn with_auto_an_error_says_why_that_login_was_chosen() {
    let entra = FakeEntra::start();
    let _arm = FakeArm::start(&entra);
    let kubelogin = with_auto(&entra).program("az", "echo 'ERROR: broken' >&2; exit 1");
    az_login(&kubelogin, "alice@example.com");
    let error = refused(&kubelogin);
    assert!(error.contains("az: broken"), "{error}");
    let why = "--login auto chose azurecli (alice@example.com) because az is signed in";
    assert!(error.contains(why), "{error}");
}

#[test]
#[cfg(unix)]
fn with_auto_another_identity_than_the_last_time_is_told() {
    let entra = FakeEntra::start();
    let _arm = FakeArm::start(&entra);
    let (token, expires_on) = token_for_azure(&entra);
    let answer = json!({"accessToken": token, "expires_on": expires_on});
    let kubelogin = with_auto(&entra).program("az", &format!("echo '{answer}'"));
    az_login(&kubelogin, "alice@example.com");
    let (_, told) = written(&kubelogin);
    assert!(!told.contains("auto: now"), "{told}");
    az_login(&kubelogin, "bob@example.com");
    let line = "auto: now azurecli (bob@example.com), because az is signed in; \
                before: azurecli (alice@example.com)\n";
    let (_, told) = written(&kubelogin);
    assert!(told.contains(line), "{told}");
    let (_, told) = written(&kubelogin);
    assert!(!told.contains("auto: now"), "{told}");
}

/// It is told that the next identity is another one, too.
#[test]
#[cfg(unix)]
fn with_auto_an_earlier_sign_in_of_get_credentials_comes_before_az() {
    let entra = FakeEntra::start();
    let _arm = FakeArm::start(&entra);
    let kubelogin = with_auto(&entra)
        .program("browser", "")
        .program("az", "echo az >> \"$LOG\"; exit 1");
    let browser = kubelogin.path_of("browser");
    let mut running = kubelogin.clone().env("BROWSER", browser).spawn();
    Browser::at_prompt(&entra, &mut running).sign_in();
    let output = running.wait();
    assert!(output.status.success(), "{output:?}");
    az_login(&kubelogin, "alice@example.com");
    let (_, told) = written(&kubelogin);
    assert!(!told.contains("auto: now"), "{told}");
    assert_eq!((entra.logins(), kubelogin.log().as_str()), (1, ""));
    let in_pipeline = kubelogin
        .env("AZURE_CLIENT_ID", CONFIDENTIAL_CLIENT_ID)
        .env("AZURE_TENANT_ID", TENANT_ID)
        .env("AZURE_CLIENT_SECRET", CLIENT_SECRET);
    let (_, told) = written(&in_pipeline);
    let line = format!("auto: now spn ({CONFIDENTIAL_CLIENT_ID}), because");
    assert!(
        told.contains(&line) && told.contains("before: interactive\n"),
        "{told}"
    );
}

/// The first choice is made before the tenant is known.
#[test]
#[cfg(unix)]
fn with_auto_a_subscription_in_a_tenant_where_az_is_not_signed_in_is_a_sign_in_of_a_person() {
    const OTHER: &str = "99999999-aaaa-4aaa-8aaa-999999999999";
    let entra = FakeEntra::start_with(|rules| rules.tenants.push(OTHER.into()));
    let _arm = FakeArm::start_with(&entra, |rules| {
        rules.foreign.push((SUBSCRIPTION_ID.into(), OTHER.into()));
    });
    let kubelogin = with_auto(&entra)
        .program("browser", "")
        .program("az", "echo az >> \"$LOG\"; exit 1");
    let browser = kubelogin.path_of("browser");
    let kubelogin = kubelogin.env("BROWSER", browser);
    az_login(&kubelogin, "alice@example.com");
    let mut running = kubelogin.spawn();
    Browser::at_prompt(&entra, &mut running).sign_in();
    let output = running.wait();
    assert!(output.status.success(), "{output:?}");
    let text = read(&config(&kubelogin));
    assert!(text.contains(&format!("tenantID: {OTHER}")), "{text}");
    assert!(text.contains(AZ_CLIENT_ID), "{text}");
    assert_eq!(kubelogin.log(), "");
}

#[test]
fn clusters_without_entra_id_keep_their_certificates_and_that_is_said_once() {
    let entra = FakeEntra::start();
    let _arm = FakeArm::start_with(&entra, |rules| {
        rules
            .clusters
            .extend(["old", "older"].map(|name| FakeCluster {
                login: ClusterLogin::Certificate,
                ..FakeCluster::new("shop", name)
            }));
    });
    let (text, told) = written(&get_credentials(&entra).arg("--all"));
    for name in ["old", "older"] {
        let user =
            format!("- name: clusterUser_shop_{name}\n  user:\n    client-certificate-data: ");
        assert!(
            text.contains(&user) && text.contains(&format!("token: static-token-of-{name}\n")),
            "{text}"
        );
    }
    assert_eq!(text.matches("- get-token\n").count(), 1, "prod's");
    assert_eq!(
        told.matches("Note: old, older sign in with their own certificates or tokens")
            .count(),
        1,
        "{told}"
    );
}
