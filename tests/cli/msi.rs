//! `--login msi` with the endpoints that Azure services announce in environment variables.

use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::json;

use crate::support::*;

const HEADER: &str = "hunter2";

fn app_service(host: &FakeHttp) -> Kubelogin {
    msi()
        .env("IDENTITY_ENDPOINT", format!("{}/msi/token", host.url()))
        .env("IDENTITY_HEADER", HEADER)
}

fn token(_: &Request) -> Reply {
    Reply::json(
        200,
        &json!({"access_token": "the token", "expires_on": "4102444800", "token_type": "Bearer"}),
    )
}

#[test]
fn app_service_is_asked_once_and_without_a_proxy() {
    let host = FakeHttp::start(token);
    let kubelogin = app_service(&host).args(["--client-id", "cid"]);
    for _ in 0..2 {
        let output = kubelogin.run();
        assert_eq!(output.hides(&[HEADER]).token(), "the token");
        assert_eq!(
            output.credential()["status"]["expirationTimestamp"],
            "2100-01-01T00:00:00Z"
        );
    }
    let [request] = &host.requests()[..] else {
        panic!("expected one request");
    };
    assert_eq!(
        request.target,
        format!("/msi/token?api-version=2019-08-01&resource={SERVER_ID}&client_id=cid")
    );
    assert_eq!(request.header("x-identity-header"), Some(HEADER));
}

#[test]
fn each_identity_gets_its_own_token() {
    let host = FakeHttp::start(|request| {
        let whose = request
            .parameter("client_id")
            .or(request.parameter("mi_res_id"));
        Reply::json(
            200,
            &json!({"access_token": whose.unwrap_or("system"), "expires_in": "3600"}),
        )
    });
    let kubelogin = app_service(&host);
    assert_eq!(kubelogin.run().token(), "system");
    let kubelogin = kubelogin.args(["--identity-resource-id", "/a/b"]);
    assert_eq!(kubelogin.run().token(), "/a/b");
    let output = kubelogin.env("AZURE_CLIENT_ID", "cid").verbose().run();
    assert_eq!(output.credential()["status"]["token"], "cid");
    assert!(
        output.stderr.contains("ignoring --identity-resource-id"),
        "{output:?}"
    );
}

#[test]
fn a_briefly_busy_host_is_retried() {
    let asked = AtomicUsize::new(0);
    let host = FakeHttp::start(move |request| match asked.fetch_add(1, Ordering::SeqCst) {
        0 => Reply::json(503, &json!({})),
        _ => token(request),
    });
    assert_eq!(app_service(&host).run().token(), "the token");
}

#[test]
fn an_error_of_the_host_is_shown_without_its_response_body() {
    for (reply, says) in [
        (Reply::html(200, "<html>hunter2</html>"), "without a token"),
        (
            Reply::html(403, "<html>hunter2</html>"),
            "App Service answered 403",
        ),
        (
            Reply::json(200, &json!({"access_token": "", "x": "hunter2"})),
            "without a token",
        ),
        (
            Reply::redirect(307, "http://127.0.0.1:1/hunter2"),
            "answered 307",
        ),
        (
            Reply::json(
                400,
                &json!({"message": "No User Assigned or Delegated Managed Identity found"}),
            ),
            "Assign that identity",
        ),
    ] {
        let host = FakeHttp::start(move |_| reply.clone());
        let output = app_service(&host).run();
        let error = output.hides(&["hunter2"]).error();
        assert!(error.contains(says), "{error}");
    }
    let silent = FakeHttp::start(|_| Reply::Hang);
    let error = app_service(&silent).args(["--timeout", "1s"]).run().error();
    assert!(error.contains("did not answer within 1 second"), "{error}");
}

#[test]
fn the_secret_tells_azure_ml_from_cloud_shell() {
    let host = FakeHttp::start(token);
    let msi = msi().env("MSI_ENDPOINT", format!("{}/oauth2/token", host.url()));
    assert_eq!(msi.run().token(), "the token");
    let msi = msi
        .env("MSI_SECRET", HEADER)
        .env("DEFAULT_IDENTITY_CLIENT_ID", "default");
    assert_eq!(msi.run().hides(&[HEADER]).token(), "the token");
    let requests = host.requests();
    assert_eq!(
        (requests[0].method.as_str(), requests[0].field("resource")),
        ("POST", Some(SERVER_ID))
    );
    assert_eq!(requests[1].header("secret"), Some(HEADER));
    assert_eq!(requests[1].parameter("clientid"), Some("default"));
}

/// Apps in the same App Service plan may share a home folder and use the same endpoint port.
#[test]
fn another_app_or_default_identity_in_the_same_home_gets_its_own_token() {
    let host = FakeHttp::start(|request| {
        let header = request.header("x-identity-header");
        let whose = header.or(request.parameter("clientid")).expect("someone");
        let answer = json!({"access_token": format!("for {whose}"), "expires_in": "3600"});
        Reply::json(200, &answer)
    });
    let mut kubelogin = app_service(&host);
    for header in ["one", "one", "another"] {
        kubelogin = kubelogin.env("IDENTITY_HEADER", header);
        assert_eq!(kubelogin.run().token(), format!("for {header}"));
    }
    assert_eq!(host.requests().len(), 2);
    let mut ml = msi()
        .env("MSI_ENDPOINT", host.url())
        .env("MSI_SECRET", HEADER);
    for default in ["one", "one", "another", ""] {
        ml = ml.env("DEFAULT_IDENTITY_CLIENT_ID", default);
        assert_eq!(ml.run().token(), format!("for {default}"));
    }
    assert_eq!(host.requests().len(), 5);
}

#[test]
fn service_fabric_is_verified_by_its_thumbprint() {
    let (host, thumbprint) = FakeHttp::start_self_signed(token);
    let fabric = msi()
        .env("IDENTITY_ENDPOINT", format!("{}/metadata", host.url()))
        .env("IDENTITY_HEADER", HEADER);
    let output = fabric.env("IDENTITY_SERVER_THUMBPRINT", thumbprint).run();
    assert_eq!(output.hides(&[HEADER]).token(), "the token");
    assert_eq!(host.requests()[0].header("secret"), Some(HEADER));
}

#[test]
fn a_certificate_other_than_the_pinned_one_gets_no_secret() {
    let (host, _) = FakeHttp::start_self_signed(token);
    let fabric = msi()
        .env("IDENTITY_ENDPOINT", format!("{}/metadata", host.url()))
        .env("IDENTITY_HEADER", HEADER)
        .env("IDENTITY_SERVER_THUMBPRINT", "0".repeat(40));
    let error = fabric.run().error();
    assert!(
        error.contains("does not have the expected thumbprint"),
        "{error}"
    );
    assert_eq!(host.requests().len(), 0);
}

#[cfg(target_os = "linux")]
#[test]
fn azure_arc_cannot_make_us_send_another_file() {
    let kubelogin = msi();
    let file = kubelogin.home().with_file_name("secret.key");
    std::fs::write(&file, "hunter2").expect("written");
    let challenge = format!("Basic realm={}", file.display());
    let host = FakeHttp::start(move |_| {
        Reply::json(401, &json!({})).header("WWW-Authenticate", &challenge)
    });
    let arc = kubelogin
        .env(
            "IDENTITY_ENDPOINT",
            format!("{}/metadata/identity/oauth2/token", host.url()),
        )
        .env("IMDS_ENDPOINT", host.url());
    let error = arc.run().error();
    assert!(
        error.contains("Azure Arc: it names the key file")
            && error.contains("is not in /var/opt/azcmagent/tokens"),
        "{error}"
    );
    assert_eq!(host.requests().len(), 1);
}
