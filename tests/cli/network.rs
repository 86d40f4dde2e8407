//! Network faults, invalid certificates and unusual responses. kubelogin gets a token if RFC 6749 allows it, or prints one
//! clear error without any of the response body, which may contain a secret.

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

/// On other systems, the file adds to the system's certificates and may be missing.
#[cfg(target_os = "linux")]
#[test]
fn a_trust_store_that_is_missing_or_empty_is_named_with_its_path_and_the_reason() {
    let entra = FakeEntra::start();
    let folder = TempDir::new();
    let (missing, empty) = (
        folder.path().join("missing.pem"),
        folder.file("empty.pem", ""),
    );
    for (variable, path, why) in [
        ("SSL_CERT_FILE", missing.clone(), "does not exist"),
        ("SSL_CERT_FILE", empty, "contains no certificate"),
        ("SSL_CERT_FILE", "/dev/zero".into(), "is not a regular file"),
        ("SSL_CERT_DIR", missing, "does not exist"),
        (
            "SSL_CERT_DIR",
            folder.path().into(),
            "contains no certificate",
        ),
    ] {
        let kubelogin = spn(&entra).env_remove("SSL_CERT_FILE").env(variable, &path);
        let error = kubelogin.run().error();
        let expected = format!("{variable} names {}, which {why}", path.display());
        assert!(error.contains(&expected), "{error}");
        assert_eq!(entra.token_requests(), 0, "{error}");
    }
}

/// `socks5h` sends the host name to the proxy, `socks5` the address.
#[test]
fn socks_proxies_are_used() {
    let local = "https://localhost/";
    for (variable, scheme, login, host, target) in [
        (
            "HTTPS_PROXY",
            "socks5h",
            None,
            None,
            "login.microsoftonline.com:443",
        ),
        (
            "all_proxy",
            "socks5h",
            Some(("user", "p@ss word")),
            None,
            "login.microsoftonline.com:443",
        ),
        ("ALL_PROXY", "socks5", None, Some(local), "127.0.0.1:443"),
    ] {
        let entra = FakeEntra::start();
        let socks = FakeSocks::start(&entra, login);
        let user = if login.is_some() {
            "user:p%40ss%20word@"
        } else {
            ""
        };
        let mut kubelogin = spn(&entra)
            .env_remove("HTTPS_PROXY")
            .env(variable, format!("{scheme}://{user}{}", socks.address()));
        if let Some(host) = host {
            kubelogin = kubelogin.args(["--authority-host", host, "--disable-instance-discovery"]);
        }
        kubelogin.run().token();
        assert!(!socks.targets().is_empty(), "{scheme}");
        assert!(
            socks.targets().iter().all(|to| to == target),
            "{:?}",
            socks.targets()
        );
        assert_eq!(entra.connects(), [""; 0]);
    }
}

#[test]
fn a_socks_proxy_that_refuses_the_password_is_asked_once() {
    let entra = FakeEntra::start();
    let socks = FakeSocks::start(&entra, Some(("user", "right")));
    let url = format!("socks5h://user:hunter2@{}", socks.address());
    let output = spn(&entra).env("HTTPS_PROXY", url).args(["-v", "5"]).run();
    output.hides(&["hunter2"]);
    let error = &output.stderr;
    assert!(error.contains("credentials not accepted"), "{error}");
    assert_eq!(
        error.matches("POST login.microsoftonline.com").count(),
        1,
        "{error}"
    );
}

#[test]
fn a_proxy_of_an_unknown_scheme_is_one_error_that_names_the_variable() {
    let entra = FakeEntra::start();
    for (variable, url) in [
        ("HTTPS_PROXY", "ftp://user:hunter2@127.0.0.1:1"),
        ("https_proxy", "socks://127.0.0.1:1"),
        ("ALL_PROXY", "quic://127.0.0.1:1"),
    ] {
        let output = spn(&entra)
            .env_remove("HTTPS_PROXY")
            .env(variable, url)
            .args(["-v", "5"])
            .run();
        output.hides(&["hunter2"]);
        let error = &output.stderr;
        let scheme = url.split(':').next().unwrap_or_default();
        assert!(
            error.contains(&format!("{variable} has the scheme \"{scheme}\"")),
            "{error}"
        );
        assert_eq!(
            error.matches("POST login.microsoftonline.com").count(),
            1,
            "{error}"
        );
        assert_eq!(entra.connections(), 0);
    }
}

#[test]
fn a_proxy_that_stumbles_once_is_asked_again() {
    for stumble in [
        Reply::html(502, ""),
        Reply::html(503, "busy"),
        Reply::Close,
        Reply::Raw(b"SSH-2.0-x\r\n".to_vec()),
    ] {
        let entra = FakeEntra::start();
        // The second reply is for the request that finds out the proxy's status.
        entra.next_connect(stumble.clone());
        entra.next_connect(stumble);
        spn(&entra).run().token();
        assert_eq!(entra.token_requests(), 1);
    }
}

#[test]
fn a_proxy_that_refuses_for_good_is_not_asked_again() {
    for status in [403, 404, 407] {
        let entra = FakeEntra::start_with(|rules| rules.proxy_refuses_with = Some(status));
        let error = spn(&entra).args(["-v", "5"]).run().stderr;
        assert_eq!(
            error.matches("POST login.microsoftonline.com").count(),
            1,
            "{error}"
        );
        assert!(error.contains("refused to connect"), "{error}");
    }
}

#[test]
fn an_entry_of_no_proxy_counts_with_its_port() {
    let entra = FakeEntra::start();
    let host = entra.authority_host();
    let host = host.trim_start_matches("https://").trim_end_matches('/');
    let straight = bare_spn()
        .env("HTTPS_PROXY", "http://127.0.0.1:1")
        .env("NO_PROXY", host)
        .entra(&entra);
    straight.run().token();
    assert_eq!(entra.connects(), [""; 0]);
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

/// A proxy without a scheme works, as in curl. An error never names a proxy that is not used.
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
    let error = bare_spn()
        .args([
            "--timeout",
            "2s",
            "--authority-host",
            "https://127.0.0.1:1/",
        ])
        .arg("--disable-instance-discovery")
        .run()
        .error();
    assert!(
        error.contains("127.0.0.1:1") && error.contains("refused"),
        "{error}"
    );
}

#[test]
fn a_timeout_names_the_host_and_its_last_answer() {
    let entra = FakeEntra::start();
    entra.next(Endpoint::Token, Reply::html(503, ""));
    entra.next(Endpoint::Token, Reply::Hang);
    let error = spn(&entra).args(["--timeout", "2s"]).run().error();
    for part in ["login.microsoftonline.com", "2 seconds", "503"] {
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
