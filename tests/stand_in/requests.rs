//! What the fake Entra serves, under which host names, and which requests it rejects.

use super::*;

#[test]
fn malformed_requests_are_refused_and_reported() {
    let scope = scope();
    let good = by_secret(&scope, CLIENT_SECRET);
    let with = |pair| [good.clone(), vec![pair]].concat();
    let rows: [(Vec<(&str, &str)>, &str); 9] = [
        (with(("scope", &scope)), "repeated parameter scope"),
        (with(("resource", SERVER_ID)), "unknown parameter resource"),
        (
            with(("client_assertion", "x")),
            "client_assertion and client_assertion_type go together",
        ),
        (
            with(("token_type", "pop")),
            "req_cnf and token_type=pop go together",
        ),
        (with(("client_info", "")), "empty parameter client_info"),
        (good[..3].to_vec(), "missing parameter scope"),
        (
            vec![("grant_type", "implicit")],
            "unknown grant_type implicit",
        ),
        (by_secret("User.Read", CLIENT_SECRET), "is not .default"),
        (
            by_secret("a/.default b/.default", CLIENT_SECRET),
            "does not name exactly one server",
        ),
    ];
    let entra = FakeEntra::start();
    for (pairs, reason) in rows {
        assert_eq!(token(&entra, &pairs).0, 400, "{reason}");
        let violations = entra.take_violations();
        assert!(
            violations.len() == 1 && violations[0].contains(reason),
            "{reason}: {violations:?}"
        );
    }
    assert_eq!(entra.logins(), 0);
}

#[test]
fn wrong_headers_methods_and_paths_are_reported() {
    let entra = FakeEntra::start();
    let client = client_of(&entra).build().unwrap();
    let token_url = url(&entra, "oauth2/v2.0/token");
    let good = form(&by_secret(&scope(), CLIENT_SECRET));
    let post = || client.post(&token_url).body(good.clone());
    let rows = [
        (
            post().header("Content-Type", "application/json"),
            "not a form",
        ),
        (
            post()
                .header("Content-Type", FORM)
                .basic_auth("a", Some("b")),
            "Authorization",
        ),
        (client.get(&token_url), "wrong method"),
        (
            client
                .post(format!("{token_url}?a=b"))
                .header("Content-Type", FORM)
                .body(good.clone()),
            "unknown parameter a",
        ),
        (client.get(url(&entra, "elsewhere")), "no such endpoint"),
    ];
    for (request, reason) in rows {
        assert_eq!(request.send().unwrap().status(), 400, "{reason}");
        let violations = entra.take_violations();
        assert!(
            violations.len() == 1 && violations[0].contains(reason),
            "{reason}: {violations:?}"
        );
    }
}

#[test]
#[should_panic(expected = "repeated parameter scope")]
fn a_violation_fails_the_test_that_made_it() {
    let entra = FakeEntra::start();
    let scope = scope();
    token(
        &entra,
        &[by_secret(&scope, CLIENT_SECRET), vec![("scope", &scope)]].concat(),
    );
}

#[test]
fn unknown_servers_clients_and_tenants_get_entra_s_codes() {
    let entra = FakeEntra::start();
    let scope = scope();
    let codes = |pairs: &[(&str, &str)]| token(&entra, pairs).1["error_codes"].clone();
    let other_server = by_secret("https://elsewhere.example/.default", CLIENT_SECRET);
    assert_eq!(codes(&other_server), json!([500011]));
    let unknown_client = [
        ("client_id", "nobody"),
        ("client_secret", "x"),
        ("grant_type", "client_credentials"),
        ("scope", &scope),
    ];
    assert_eq!(codes(&unknown_client), json!([700016]));
    entra.change(|rules| rules.tenants.clear());
    assert_eq!(codes(&by_secret(&scope, CLIENT_SECRET)), json!([90002]));
    let reported = entra.take_violations();
    assert!(
        reported.len() == 2 && reported[0].contains("nobody") && reported[1].contains(TENANT_ID),
        "{reported:?}"
    );
}

#[test]
fn the_proxy_serves_entra_s_real_host_names() {
    let entra = FakeEntra::start();
    let client = client_of(&entra)
        .proxy(reqwest::Proxy::https(entra.proxy_url()).unwrap())
        .build()
        .unwrap();
    for name in AUTHORIZATION_SERVER_NAMES {
        let response = client
            .post(format!("https://{name}/{TENANT_ID}/oauth2/v2.0/token"))
            .header("Content-Type", FORM);
        let (status, _) = read(
            response
                .body(form(&by_secret(&scope(), CLIENT_SECRET)))
                .send()
                .unwrap(),
        );
        assert_eq!(status, 200);
        assert_eq!(entra.requests().last().unwrap().host(), name);
    }
    assert_eq!(
        entra.connects(),
        AUTHORIZATION_SERVER_NAMES.map(|name| format!("{name}:443"))
    );
}

#[test]
fn the_proxy_knows_no_other_host_and_refuses_when_told_to() {
    let entra = FakeEntra::start();
    let client = client_of(&entra)
        .proxy(reqwest::Proxy::all(entra.proxy_url()).unwrap())
        .build()
        .unwrap();
    client.get("https://evil.example/").send().unwrap_err();
    assert_eq!(
        client
            .get("http://169.254.169.254/metadata")
            .send()
            .unwrap()
            .status(),
        502
    );
    assert_eq!(entra.take_violations().len(), 2);
    entra.change(|rules| rules.proxy_refuses_with = Some(407));
    let error = client
        .get("https://login.microsoftonline.com/")
        .send()
        .unwrap_err();
    assert!(error.is_connect(), "{error:?}");
}

#[test]
fn bad_certificates_are_refused_by_clients() {
    let entra = FakeEntra::start();
    let discover = || {
        client_of(&entra)
            .build()
            .unwrap()
            .get(url(&entra, "v2.0/.well-known/openid-configuration"))
            .send()
    };
    for kind in [
        Certificate::Expired,
        Certificate::OtherHost,
        Certificate::Untrusted,
    ] {
        entra.show(kind);
        let error = discover().unwrap_err();
        assert!(
            format!("{error:?}").contains("InvalidCertificate"),
            "{kind:?}: {error:?}"
        );
    }
    entra.show(Certificate::Good);
    assert_eq!(discover().unwrap().status(), 200);
    assert_eq!((entra.connections(), entra.requests().len()), (4, 1));
}

#[test]
fn discovery_is_complete_enough_for_openidconnect() {
    use openidconnect::core::CoreProviderMetadata;
    let entra = FakeEntra::start();
    let client = client_of(&entra).build().unwrap();
    let http = |request: openidconnect::HttpRequest| -> Result<_, openidconnect::HttpClientError<reqwest::Error>> {
        let response = client.execute(request.try_into().map_err(Box::new)?).map_err(Box::new)?;
        let mut answer = http::Response::builder().status(response.status());
        *answer.headers_mut().unwrap() = response.headers().clone();
        Ok(answer.body(response.bytes().map_err(Box::new)?.to_vec())?)
    };
    let issuer = openidconnect::IssuerUrl::new(url(&entra, "v2.0")).unwrap();
    let metadata = CoreProviderMetadata::discover(&issuer, &http).unwrap();
    assert_eq!(
        metadata.token_endpoint().unwrap().as_str(),
        url(&entra, "oauth2/v2.0/token")
    );
    assert_eq!(metadata.jwks().keys().len(), 1);
}

#[test]
fn scripted_answers_are_sent_as_they_are() {
    let entra = FakeEntra::start();
    let fetch = || {
        let discovery = url(&entra, "v2.0/.well-known/openid-configuration");
        let timeout = std::time::Duration::from_millis(300);
        client_of(&entra)
            .timeout(timeout)
            .build()
            .unwrap()
            .get(discovery)
            .send()?
            .text()
    };
    let odd = [
        Reply::html(200, "compressed").gzip(),
        Reply::html(200, "in more than one chunk").chunked(),
        Reply::html(200, "broken off").cut_after(3),
        Reply::Raw(b"no HTTP at all".to_vec()),
        Reply::Close,
        Reply::Hang,
    ];
    odd.into_iter()
        .for_each(|reply| entra.next(Endpoint::Discovery, reply));
    assert_eq!(fetch().unwrap(), "compressed");
    assert_eq!(fetch().unwrap(), "in more than one chunk");
    for kind in ["cut", "raw", "close"] {
        let error = fetch().unwrap_err();
        assert!(!error.is_timeout(), "{kind}: {error:?}");
    }
    assert!(fetch().unwrap_err().is_timeout());
    assert!(
        fetch().unwrap().contains("token_endpoint"),
        "no queued reply is left"
    );
}
