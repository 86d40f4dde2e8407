//! `get-token` as its callers see it: requests, prompts, stdout and errors.

use serde_json::json;

use crate::support::*;

#[test]
fn a_cold_service_principal_at_a_known_cloud_sends_one_request() {
    let entra = FakeEntra::start();
    let claims = claims_of(&spn(&entra).run().token());
    assert_eq!(claims["aud"], SERVER_ID);
    assert_eq!(entra.requests().len(), 1);
    assert_eq!(entra.connects(), ["login.microsoftonline.com:443"]);
}

#[test]
fn a_certificate_proves_the_service_principal_and_beats_a_secret() {
    let entra = FakeEntra::start();
    let output = spn(&entra)
        .args(["--client-certificate", CLIENT_CERTIFICATE])
        .verbose()
        .run();
    assert_eq!(claims_of(&output.token())["appid"], CONFIDENTIAL_CLIENT_ID);
    assert_eq!(
        output.notices(),
        ["using the client certificate and ignoring the client secret; set only one of them"]
    );
    assert_eq!(entra.requests().len(), 1);
    assert_eq!(entra.violations(), [""; 0]);
}

#[test]
fn an_unknown_authority_costs_one_discovery_more() {
    let entra = FakeEntra::start();
    bare_spn().entra(&entra).run().token();
    assert_eq!(entra.requests_to(Endpoint::Discovery).len(), 1);
    assert_eq!(entra.requests().len(), 2);
}

#[test]
fn a_cold_device_code_sends_one_request_and_its_polls() {
    let entra = FakeEntra::start_with(|rules| {
        rules.device_code.polls = vec![Poll::Pending, Poll::Approve];
    });
    let output = devicecode(&entra).run();
    assert_eq!(claims_of(&output.token())["upn"], USER_NAME);
    assert_eq!(entra.requests().len(), 1 + 2);
    assert_eq!(entra.prompts(), 1);
    assert!(
        output.stderr.contains("https://microsoft.com/devicelogin"),
        "{output:?}"
    );
}

#[test]
fn each_environment_leads_to_its_own_host() {
    for (name, host) in [
        ("AzurePublicCloud", "login.microsoftonline.com"),
        ("azurecloud", "login.microsoftonline.com"),
        ("AzureUSGovernmentCloud", "login.microsoftonline.us"),
        ("AzureUSGovernment", "login.microsoftonline.us"),
        ("AzureChinaCloud", "login.chinacloudapi.cn"),
    ] {
        let entra = FakeEntra::start();
        spn(&entra).args(["-e", name]).run().token();
        assert_eq!(entra.connects(), [format!("{host}:443")], "{name}");
    }
}

#[test]
fn an_azure_stack_names_its_authority_in_a_file() {
    let entra = FakeEntra::start();
    let folder = TempDir::new();
    let file = json!({"name": "Stack", "activeDirectoryEndpoint": entra.authority_host()});
    let stack = |path: &std::path::Path| {
        bare_spn()
            .env("SSL_CERT_FILE", entra.ca_file())
            .args(["--environment", "AzureStackCloud"])
            .env("AZURE_ENVIRONMENT_FILEPATH", path)
    };
    stack(&folder.file("stack.json", file.to_string()))
        .run()
        .token();
    for (name, content) in [
        ("bad.json", "{"),
        ("http.json", r#"{"activeDirectoryEndpoint":"http://x"}"#),
    ] {
        let error = stack(&folder.file(name, content)).run().error();
        assert!(
            error.contains("AZURE_ENVIRONMENT_FILEPATH") && error.contains(name),
            "{error}"
        );
    }
}

#[test]
fn the_credential_has_the_api_version_that_the_client_asks_for() {
    let entra = FakeEntra::start();
    for version in ["v1", "v1beta1"] {
        let info = json!({
            "kind": "ExecCredential",
            "apiVersion": format!("client.authentication.k8s.io/{version}"),
            "spec": {"interactive": false, "cluster": {"server": "https://x", "config": {"audience": "06e3", "k": 1}}},
        });
        let output = spn(&entra)
            .env("KUBERNETES_EXEC_INFO", info.to_string())
            .run();
        assert_eq!(output.credential()["apiVersion"], info["apiVersion"]);
    }
}

/// Azure/kubelogin#150: checked before any request, and not echoed.
#[test]
fn invalid_exec_info_is_an_error_before_any_request() {
    let entra = FakeEntra::start();
    let error = devicecode(&entra)
        .env("KUBERNETES_EXEC_INFO", r#"{"apiVersion":"v7-hunter2"}"#)
        .run();
    error.hides(&["hunter2"]);
    assert!(error.error().contains("KUBERNETES_EXEC_INFO"));
    assert_eq!(entra.connections(), 0);
}

#[test]
fn every_invalid_option_is_named_before_any_request() {
    let entra = FakeEntra::start();
    let folder = TempDir::new();
    let path = folder.path().display().to_string();
    let rows: &[(&[&str], &str)] = &[
        (&["--no-such-flag"], "--no-such-flag"),
        (&["--login", "kerberos"], "devicecode"),
        (&["--environment", "AzureMoon"], "AzureChinaCloud"),
        (&["--server-id", ""], "--server-id"),
        (&["--tenant-id", ""], "--tenant-id"),
        (&["--client-id", ""], "--client-id"),
        (&["--tenant-id", "a/b"], "\"a/b\""),
        (&["--client-id", "a b"], "\"a b\""),
        (
            &["--authority-host", "http://login.microsoftonline.com/"],
            "https",
        ),
        (&["--authority-host", "https:///"], "authority host"),
        (
            &["--authority-host", "https://evil.example/"],
            "--disable-instance-discovery",
        ),
        (&["--timeout", "0"], "--timeout"),
        (&["--timeout", "-5s"], "--timeout"),
        (&["--timeout", "30"], "unit"),
        (
            &["--client-certificate", "/no/such/file.pem"],
            "/no/such/file.pem",
        ),
        (&["--client-certificate", &path], &path),
        (&["extra"], "unexpected argument"),
    ];
    for (args, culprit) in rows {
        let error = spn(&entra).args(*args).run().error();
        assert!(error.contains(culprit), "{args:?}: {error}");
    }
    let error = spn(&entra).env_remove("AZURE_CLIENT_SECRET").run().error();
    assert!(
        error.contains("--client-secret") && error.contains("AZURE_CLIENT_SECRET"),
        "{error}"
    );
    assert_eq!(entra.connections(), 0);
}

#[test]
fn a_timeout_may_be_an_hour() {
    let entra = FakeEntra::start();
    spn(&entra).args(["--timeout", "1h"]).run().token();
}

#[test]
fn a_variable_that_overrides_a_flag_is_reported_by_name_only() {
    let entra = FakeEntra::start();
    let typed = spn(&entra).args(["--client-secret", "typed-secret"]);
    let output = typed.clone().verbose().run();
    output.token();
    assert_eq!(
        output.notices(),
        [
            "AZURE_CLIENT_SECRET overrides --client-secret; to keep the flag, add --disable-environment-override"
        ]
    );
    let error = typed
        .args([
            "--disable-environment-override",
            "--token-cache-storage",
            "disk",
        ])
        .run();
    error.hides(&["typed-secret", CLIENT_SECRET]);
    assert!(error.error().contains("AADSTS7000215"));
}

#[test]
fn a_secret_of_every_printable_character_arrives_unchanged() {
    let secret: String = (' '..='~').collect::<String>() + "äß€";
    let entra = FakeEntra::start_with(|rules| {
        rules.client(CONFIDENTIAL_CLIENT_ID).secrets =
            vec![(' '..='~').collect::<String>() + "äß€"];
    });
    spn(&entra)
        .env("AZURE_CLIENT_SECRET", &secret)
        .run()
        .hides(&[&secret])
        .token();
    let by_flag = of_client("spn").args(["--client-secret", &secret]);
    by_flag.through_proxy(&entra).run().token();
}

#[test]
fn a_refusal_shows_its_code_the_fix_and_the_correlation_id() {
    let entra = FakeEntra::start();
    let output = spn(&entra)
        .env("AZURE_CLIENT_SECRET", "hunter2")
        .args(["-v", "9"])
        .run();
    output.hides(&["hunter2"]);
    let error = output.error();
    for part in ["AADSTS7000215", "AZURE_CLIENT_SECRET", "Correlation ID: "] {
        assert!(error.contains(part), "{error}");
    }
    assert_eq!(entra.token_requests(), 1, "it retried after a refusal");
}

#[test]
fn a_declined_expired_or_blocked_device_code_says_so() {
    let runs = [
        (Poll::Decline, "declined"),
        (Poll::Expire, "expired"),
        (Poll::Refuse(50020), "--tenant-id"),
        (Poll::Refuse(53003), "Conditional Access"),
        (Poll::Refuse(53000), "--login interactive"),
    ]
    .map(|(poll, words)| {
        let entra = FakeEntra::start_with(|rules| rules.device_code.polls = vec![poll]);
        let running = devicecode(&entra).spawn();
        (poll, words, entra, running)
    });
    for (poll, words, entra, running) in runs {
        let error = running.wait().error();
        assert!(
            error.contains("AADSTS") && error.contains(words),
            "{poll:?}: {error}"
        );
        assert_eq!((entra.prompts(), entra.device_polls()), (1, 1));
    }
}

#[test]
fn the_timeout_flag_limits_the_wait_for_a_device_code() {
    let entra = FakeEntra::start_with(|rules| rules.device_code.polls = vec![Poll::Pending]);
    let error = devicecode(&entra).args(["--timeout", "2s"]).run().error();
    assert!(error.contains("--timeout"), "{error}");
}

#[test]
fn neither_home_nor_stdin_is_needed() {
    let entra = FakeEntra::start();
    let output = spn(&entra).env_remove("HOME").verbose().run();
    output.token();
    assert!(output.notices().len() <= 1, "{output:?}");
}

#[test]
fn a_closed_stdout_is_an_error_not_a_panic() {
    let entra = FakeEntra::start();
    spn(&entra).run_into_nothing();
}

/// Otherwise the next file opened would get that descriptor, and messages would end up in it.
#[test]
#[cfg(unix)]
fn a_closed_stderr_writes_no_message_into_a_file() {
    let entra = FakeEntra::start();
    let kubelogin = devicecode(&entra).storage("disk");
    let mut shell = kubelogin.command_under("sh", &["-c", r#"exec "$@" 2>&-"#, "sh"]);
    kubelogin.start(&mut shell).wait().token();
    assert_eq!(entra.prompts(), 1);
    let names = names_in(&kubelogin.cache());
    assert!(names.iter().any(|name| name.ends_with(".lock")));
    for name in names {
        let content = std::fs::read(kubelogin.cache().join(&name)).expect("cannot read it");
        let text = String::from_utf8_lossy(&content);
        assert!(!text.contains("sign in"), "{name}: {text}");
    }
}

/// Azure/kubelogin#79, #136: the cluster says Unauthorized, and nothing explained why.
#[test]
fn verbosity_1_explains_a_token_that_a_cluster_may_reject() {
    let rows = [
        ("aud", json!(format!("spn:{SERVER_ID}")), "\"spn:\""),
        ("_claim_names", json!({"groups": "src1"}), "200 groups"),
    ];
    for (claim, value, why) in rows {
        let entra = FakeEntra::start();
        let mut claims = claims_of(&entra.federated_token());
        claims[claim] = value;
        let answer = json!({"access_token": entra.sign(&claims), "expires_in": 3600});
        entra.next(Endpoint::Token, Reply::json(200, &answer));
        let quiet = spn(&entra);
        assert_eq!(quiet.run().stderr, "");
        // A user who investigates has a cached token.
        let output = quiet.args(["-v", "1"]).run();
        output.token();
        // Leaves out where each option came from.
        let told = output.notices();
        assert!(told.len() == 1 && told[0].contains(why), "{output:?}");
        let login = |line: &str| line == "--login spn (typed)";
        assert!(output.stderr.lines().any(login), "{output:?}");
        assert_eq!(entra.requests().len(), 1);
    }
}
