//! Network faults, invalid certificates, unusual responses: a token where RFC 6749 allows it, else one clear error without a
//! byte of a body that may hold a secret.

use std::net::TcpListener;

use serde_json::json;

use crate::support::*;

#[test]
fn a_certificate_problem_is_reported_at_once_and_not_retried() {
    for (certificate, why) in [
        (Certificate::Untrusted, "not trusted"),
        (Certificate::Expired, "expired"),
        (Certificate::OtherHost, "another host"),
    ] {
        let entra = FakeEntra::start();
        entra.show(certificate);
        for kubelogin in [spn(&entra), devicecode(&entra)] {
            let before = entra.connections();
            let error = kubelogin.run().error();
            assert!(
                error.contains("login.microsoftonline.com") && error.contains(why),
                "{error}"
            );
            assert_eq!(entra.connections() - before, 1, "{why}");
        }
    }
}

/// On other systems the file adds to the system's certificates and may be missing.
#[cfg(target_os = "linux")]
#[test]
fn a_trust_store_that_is_missing_or_empty_is_named() {
    let entra = FakeEntra::start();
    let folder = TempDir::new();
    for file in [
        folder.path().join("missing.pem"),
        folder.file("empty.pem", ""),
    ] {
        let error = spn(&entra).env("SSL_CERT_FILE", file).run().error();
        assert!(error.contains("SSL_CERT_FILE"), "{error}");
    }
}

#[test]
fn a_proxy_that_refuses_is_named_without_its_password() {
    for status in [403, 407, 502] {
        let entra = FakeEntra::start_with(|rules| rules.proxy_refuses_with = Some(status));
        let url = entra.proxy_url().replace("http://", "http://user:hunter2@");
        let output = spn(&entra)
            .env("HTTPS_PROXY", url)
            .args(["--timeout", "2s"])
            .run();
        output.hides(&["hunter2"]);
        let error = output.error();
        assert!(
            error.contains("127.0.0.1") && error.contains("HTTPS_PROXY"),
            "{status}: {error}"
        );
    }
}

/// Without a scheme, as curl accepts it; and never a proxy that is not used.
#[test]
fn the_proxy_is_named_only_where_it_is_used() {
    let entra = FakeEntra::start();
    let refused = |variables: &[(&str, &str)]| {
        let mut kubelogin = spn(&entra)
            .env_remove("HTTPS_PROXY")
            .args(["--authority-host", "https://127.0.0.1:2/"])
            .arg("--disable-instance-discovery")
            .args(["--timeout", "1s"]);
        for (name, value) in variables {
            kubelogin = kubelogin.env(name, value);
        }
        kubelogin.run().error()
    };
    for variables in [
        &[("HTTPS_PROXY", "127.0.0.1:1")][..],
        &[("HTTPS_PROXY", "http://127.0.0.1:1/")],
        &[("ALL_PROXY", "127.0.0.1:1")],
    ] {
        let error = refused(variables);
        assert!(
            error.contains("through the proxy 127.0.0.1:1\n"),
            "{variables:?}: {error}"
        );
    }
    for variables in [
        &[][..],
        &[("HTTP_PROXY", "http://127.0.0.1:1")],
        &[
            ("HTTPS_PROXY", "http://127.0.0.1:1"),
            ("NO_PROXY", "127.0.0.1"),
        ],
    ] {
        let error = refused(variables);
        assert!(!error.contains("proxy"), "{variables:?}: {error}");
    }
}

#[test]
fn no_proxy_takes_precedence_over_the_proxy() {
    let entra = FakeEntra::start();
    let straight = bare_spn()
        .env("HTTPS_PROXY", "http://127.0.0.1:1")
        .env("NO_PROXY", "localhost,127.0.0.1")
        .entra(&entra);
    straight.run().token();
    assert_eq!(entra.connects(), [""; 0]);
}

#[test]
fn a_host_that_refuses_connections_is_named_with_the_fix() {
    let port = TcpListener::bind("127.0.0.1:0")
        .and_then(|free| free.local_addr())
        .expect("a free port")
        .port();
    let authority = format!("https://127.0.0.1:{port}/");
    let error = bare_spn()
        .args(["--timeout", "2s", "--authority-host", &authority])
        .arg("--disable-instance-discovery")
        .run()
        .error();
    assert!(
        error.contains(&format!("127.0.0.1:{port}")) && error.contains("refused"),
        "{error}"
    );
}

#[test]
fn a_timeout_names_the_host_and_its_last_answer() {
    let entra = FakeEntra::start();
    entra.next(Endpoint::Token, Reply::html(503, ""));
    entra.next(Endpoint::Token, Reply::Hang);
    let error = spn(&entra).args(["--timeout", "2s"]).run().error();
    for part in ["login.microsoftonline.com", "2s", "503"] {
        assert!(error.contains(part), "{error}");
    }
}

#[test]
fn a_temporary_fault_is_retried() {
    for fault in [
        Reply::html(408, ""),
        Reply::html(429, "").header("Retry-After", "0"),
        Reply::html(500, ""),
        Reply::html(503, "<html>busy</html>"),
        Reply::Close,
        Reply::Raw(b"SSH-2.0-x\r\n".to_vec()),
        Reply::json(200, &json!({"access_token": "hunter2"})).cut_after(9),
    ] {
        let entra = FakeEntra::start();
        entra.next(Endpoint::Token, fault);
        spn(&entra).run().hides(&["hunter2"]).token();
        assert_eq!(entra.token_requests(), 2);
    }
}

#[test]
fn a_redirect_of_a_token_request_is_not_followed() {
    for status in [301, 302, 303, 307, 308] {
        let entra = FakeEntra::start();
        let elsewhere = format!("{}{TENANT_ID}/oauth2/v2.0/token", entra.authority_host());
        entra.next(Endpoint::Token, Reply::redirect(status, &elsewhere));
        let error = spn(&entra).run().error();
        assert!(error.contains(&status.to_string()), "{error}");
        assert_eq!(entra.requests().len(), 1);
    }
}

#[test]
fn an_unusual_but_valid_response_yields_the_token() {
    let entra = FakeEntra::start();
    let answer = json!({"token_type": "Bearer", "access_token": "the-token", "expires_in": 3600});
    let bom = format!("\u{feff}{answer}");
    for reply in [
        Reply::json(200, &answer),
        Reply::json(200, &answer).chunked(),
        Reply::json(200, &answer).gzip(),
        Reply::json(200, &answer).gzip().chunked(),
        Reply::new(200, "application/json", bom),
        Reply::json(
            200,
            &json!({"access_token": "the-token", "expires_in": "3599", "ext_expires_in": null}),
        ),
        Reply::json(
            200,
            &json!({"access_token": "the-token", "expires_in": 3599.5}),
        ),
        Reply::json(200, &json!({"access_token": "the-token"})),
    ] {
        entra.next(Endpoint::Token, reply.clone());
        let credential = spn(&entra).run().credential();
        assert_eq!(credential["status"]["token"], "the-token", "{reply:?}");
        assert!(
            credential["status"]["expirationTimestamp"].is_string(),
            "{reply:?}"
        );
    }
}

#[test]
fn a_response_without_a_token_is_one_error_that_quotes_none_of_it() {
    let entra = FakeEntra::start();
    let huge = format!(
        r#"{{"access_token":"hunter2","pad":"{}"}}"#,
        "x".repeat(1 << 20)
    );
    for reply in [
        Reply::html(200, "<html>hunter2</html>"),
        Reply::json(200, &json!(null)),
        Reply::json(200, &json!(["hunter2"])),
        Reply::json(200, &json!({"access_token": ""})),
        Reply::json(200, &json!({"refresh_token": "hunter2"})),
        Reply::new(
            200,
            "application/json",
            r#"{"access_token":"hunter2","access_token":"hunter2"}"#,
        ),
        Reply::new(200, "application/json", r#"{"access_token":"hunter2"#),
        Reply::new(200, "application/json", ""),
        Reply::new(200, "application/json", huge.clone()),
        Reply::new(200, "application/json", huge).gzip(),
        Reply::json(404, &json!({"access_token": "hunter2"})),
    ] {
        entra.next(Endpoint::Token, reply.clone());
        let output = spn(&entra).args(["-v", "9"]).run();
        output.hides(&["hunter2"]);
        assert!(
            output.error().contains("login.microsoftonline.com"),
            "{output:?}"
        );
    }
}

#[test]
fn a_discovery_document_of_another_issuer_gets_no_secret() {
    let entra = FakeEntra::start();
    let evil = "https://evil.example";
    entra.next(
        Endpoint::Discovery,
        Reply::json(200, &json!({
            "issuer": evil, "authorization_endpoint": evil, "token_endpoint": evil, "jwks_uri": evil,
            "response_types_supported": ["code"], "subject_types_supported": ["pairwise"],
            "id_token_signing_alg_values_supported": ["RS256"],
        })),
    );
    let error = bare_spn().entra(&entra).run().error();
    assert!(error.contains("issuer"), "{error}");
    assert_eq!(entra.requests().len(), 1);
}
