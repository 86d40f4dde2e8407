//! Messages about responses from Entra ID, the network, CI systems, Azure and its command-line tools.

use super::*;

/// The token endpoint's error response with this code.
fn refusal(code: u32) -> Reply {
    let body = json!({
        "error": "invalid_client", "error_codes": [code], "correlation_id": "00000000-1111-2222-3333-444444444444",
        "error_description": format!("AADSTS{code}: Entra's own words."),
    });
    Reply::json(400, &body)
}

#[test]
fn refusals() {
    let mut topic = Topic::new("refusals");
    let entra = FakeEntra::start();
    for code in [50076, 53003, 65001, 700016, 90002, 7000215, 700024, 99999] {
        entra.next(Endpoint::Token, refusal(code));
        topic.error(&format!("AADSTS{code}"), &spn(&entra));
    }
    let by_device_code = |poll, timeout| {
        let entra = FakeEntra::start_with(|rules| rules.device_code.polls = vec![poll]);
        let running = devicecode(&entra).args(["--timeout", timeout]).spawn();
        (entra, running)
    };
    let waiting = [
        (
            "a declined device code",
            by_device_code(Poll::Decline, "1m"),
        ),
        ("an expired device code", by_device_code(Poll::Expire, "1m")),
        (
            "a device code blocked by policy",
            by_device_code(Poll::Refuse(53003), "1m"),
        ),
        (
            "a device code that nobody enters in time",
            by_device_code(Poll::Pending, "2s"),
        ),
    ];
    topic.error(
        "a browser sign-in that nobody finishes in time",
        &interactive(&entra).args(["--timeout", "2s"]),
    );
    for (title, (_entra, running)) in waiting {
        topic.error_of(title, running);
    }
    let entra = FakeEntra::start_with(|rules| rules.sign_in = SignIn::Decline);
    let mut running = interactive(&entra).spawn();
    Browser::at_prompt(&entra, &mut running).sign_in();
    topic.error_of("a declined consent", running);
    topic.check();
}

#[test]
fn the_network() {
    let mut topic = Topic::new("network");
    for (title, certificate) in [
        ("an untrusted certificate", Certificate::Untrusted),
        ("an expired certificate", Certificate::Expired),
        ("a certificate for another host", Certificate::OtherHost),
    ] {
        let entra = FakeEntra::start();
        entra.show(certificate);
        topic.error(title, &spn(&entra));
    }
    let entra = FakeEntra::start();
    let soon = ["--timeout", "300ms"];
    topic.error(
        "no CA certificates",
        &spn(&entra).env("SSL_CERT_FILE", entra.ca_file().join("missing")),
    );
    let nowhere = bare_spn()
        .args(["--authority-host", "https://127.0.0.1:1/"])
        .arg("--disable-instance-discovery")
        .args(soon);
    topic.error("connection refused", &nowhere);
    topic.error(
        "a proxy that does not listen",
        &nowhere.clone().env("HTTPS_PROXY", "http://127.0.0.1:1"),
    );
    for (title, reply) in [
        ("HTML instead of a token", Reply::html(200, "<html>")),
        ("JSON without a token", Reply::json(200, &json!({}))),
        (
            "an empty token",
            Reply::json(200, &json!({"access_token": ""})),
        ),
        (
            "a redirect",
            Reply::redirect(302, "https://elsewhere.example/"),
        ),
        ("not found", Reply::html(404, "")),
    ] {
        entra.next(Endpoint::Token, reply);
        topic.error(title, &spn(&entra));
    }
    for (title, reply) in [
        ("no answer in time", Reply::Hang),
        (
            "busy until the timeout",
            Reply::json(503, &Value::Null).header("Retry-After", "9"),
        ),
    ] {
        entra.next(Endpoint::Token, reply);
        topic.error(title, &spn(&entra).args(soon));
    }
    entra.next(Endpoint::DeviceCode, Reply::html(200, "<html>"));
    topic.error("HTML instead of a device code", &devicecode(&entra));
    entra.next(Endpoint::Discovery, Reply::html(404, ""));
    topic.error("no OpenID configuration", &bare_spn().entra(&entra));
    entra.change(|rules| rules.proxy_refuses_with = Some(407));
    topic.error("a proxy that refuses", &spn(&entra).args(soon));
    topic.check();
}

#[test]
fn federated_tokens() {
    let (entra, room) = (FakeEntra::start(), TempDir::new());
    let mut topic = Topic::new("federated-tokens");
    topic.error("no token source", &workloadidentity(&entra));
    let mut claims = claims_of(&entra.federated_token());
    claims["exp"] = json!(1_700_000_000);
    let expired = entra.sign(&claims);
    let files = [
        ("missing", room.path().join("missing")),
        ("a folder", room.path().to_owned()),
        ("an empty file", room.file("empty", " \n")),
        ("not a JWT", room.file("opaque", "opaque")),
        ("an expired token", room.file("expired", expired)),
    ];
    for (title, path) in files {
        let kubelogin = workloadidentity(&entra).env("AZURE_FEDERATED_TOKEN_FILE", path);
        topic.error(title, &kubelogin);
    }
    claims["exp"] = json!(9_999_999_999_u64);
    claims["sub"] = json!("repo:me/fork:ref:refs/heads/main");
    let stranger = room.file("stranger", entra.sign(&claims));
    let kubelogin = workloadidentity(&entra).env("AZURE_FEDERATED_TOKEN_FILE", stranger);
    topic.error("a token that Entra does not trust", &kubelogin);
    for (title, reply) in [
        (
            "the CI system refuses",
            Reply::json(401, &json!({"message": "no"})),
        ),
        ("the CI system sends HTML", Reply::html(200, "<html>")),
    ] {
        let ci = FakeHttp::start(move |_| reply.clone());
        let on_github = workloadidentity(&entra)
            .env("ACTIONS_ID_TOKEN_REQUEST_URL", ci.url())
            .env("ACTIONS_ID_TOKEN_REQUEST_TOKEN", "job's token");
        topic.error(&format!("{title}: GitHub Actions"), &on_github);
        let in_pipelines = azurepipelines(&entra, &ci, "job's token");
        topic.error(&format!("{title}: Azure Pipelines"), &in_pipelines);
    }
    let ci = FakeHttp::start(|_| Reply::Close);
    let no_job_token = azurepipelines(&entra, &ci, "x").env_remove("SYSTEM_ACCESSTOKEN");
    topic.error("no job token", &no_job_token);
    topic.check();
}

#[test]
fn managed_identities() {
    let mut topic = Topic::new("managed-identities");
    for (title, reply) in [
        ("a refusal", Reply::json(403, &Value::Null)),
        (
            "no such identity",
            Reply::json(
                400,
                &json!({"message": "No User Assigned or Delegated Managed Identity found"}),
            ),
        ),
        ("HTML instead of a token", Reply::html(200, "<html>")),
        ("no answer", Reply::Hang),
    ] {
        let host = FakeHttp::start(move |_| reply.clone());
        let app_service = msi()
            .env("IDENTITY_ENDPOINT", host.url())
            .env("IDENTITY_HEADER", "secret")
            .args(["--timeout", "300ms"]);
        topic.error(title, &app_service);
    }
    topic.error(
        "an endpoint that is not a URL",
        &msi().env("MSI_ENDPOINT", "here"),
    );
    topic.check();
}

#[test]
fn the_azure_clis() {
    let mut topic = Topic::new("azure-clis");
    topic.error("az is not installed", &Kubelogin::get_token("azurecli"));
    topic.error("azd is not installed", &Kubelogin::get_token("azd"));
    for (title, script) in [
        (
            "az says why",
            "echo \"ERROR: Please run 'az login' to setup account.\" >&2; exit 1",
        ),
        (
            "az passes on what Entra says",
            "echo 'ERROR: AADSTS50076: MFA. Trace ID: t Correlation ID: c-7' >&2; exit 1",
        ),
        ("az says nothing", "exit 1"),
        ("az succeeds without a token", "exit 0"),
        ("az prints no JSON", "echo hello"),
        ("az prints an empty token", r#"echo '{"accessToken": ""}'"#),
        (
            "az prints an expired token",
            r#"echo '{"accessToken": "t", "expires_on": 1}'"#,
        ),
        ("az is killed", "kill -9 $$"),
        ("az hangs", "while :; do :; done"),
    ] {
        topic.error(title, &azurecli(script).env("AZURE_CLI_TIMEOUT", "500ms"));
    }
    let says = r#"{"type":"consoleMessage","data":{"message":"\nERROR: not logged in, run `azd auth login` to login\n"}}"#;
    topic.error(
        "azd says why",
        &azd(&format!("printf '%s\\n' '{says}' >&2; exit 1")),
    );
    topic.check();
}

#[test]
fn azure_resource_manager() {
    let (entra, mut topic) = (FakeEntra::start(), Topic::new("get-credentials"));
    let arm = FakeArm::start_with(&entra, |rules| {
        rules.clusters[0].is_denied = true;
        rules.clusters.push(FakeCluster::new("other", "prod"));
        rules.clusters.push(FakeCluster::new("shop", "test"));
    });
    for (title, args) in [
        ("no name", &[][..]),
        ("an unknown name", &["prd"]),
        ("an ambiguous name", &["prod"]),
        (
            "an unknown subscription",
            &["prod", "--subscription", "Shop"],
        ),
        (
            "an unknown group",
            &["test", "-g", "shap", "--subscription", SUBSCRIPTION_ID],
        ),
        ("a cluster that the caller may not read", &PROD),
    ] {
        topic.error(title, &get_credentials(&entra).args(args));
    }
    topic.notice(
        "success",
        &get_credentials(&entra).args(["test", "-g", "shop"]),
    );
    drop(arm);
    topic.check();
}
