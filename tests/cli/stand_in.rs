//! The stand-ins themselves: what they serve, and what they refuse. A test that trusts a careless stand-in proves nothing.

use reqwest::blocking::{Client, Response};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use serde_json::{Value, json};

use crate::support::*;

const FORM: &str = "application/x-www-form-urlencoded";

fn client_of(entra: &FakeEntra) -> reqwest::blocking::ClientBuilder {
    let _ = rustls::crypto::ring::default_provider().install_default(); // the second test finds it installed
    let ca = reqwest::Certificate::from_pem(entra.ca_pem().as_bytes()).unwrap();
    Client::builder()
        .tls_certs_only([ca])
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
}

fn url(entra: &FakeEntra, path: &str) -> String {
    format!("{}{TENANT_ID}/{path}", entra.authority_host())
}

fn form(pairs: &[(&str, &str)]) -> String {
    oauth2::url::form_urlencoded::Serializer::new(String::new())
        .extend_pairs(pairs)
        .finish()
}

/// Posts a form to a path below the tenant.
fn post(entra: &FakeEntra, path: &str, pairs: &[(&str, &str)]) -> (u16, Value) {
    let request = client_of(entra)
        .build()
        .unwrap()
        .post(url(entra, path))
        .header("Content-Type", FORM);
    read(request.body(form(pairs)).send().unwrap())
}

fn read(response: Response) -> (u16, Value) {
    let status = response.status().as_u16();
    (
        status,
        serde_json::from_slice(&response.bytes().unwrap()).unwrap(),
    )
}

fn token(entra: &FakeEntra, pairs: &[(&str, &str)]) -> (u16, Value) {
    post(entra, "oauth2/v2.0/token", pairs)
}

fn scope() -> String {
    format!("{SERVER_ID}/.default openid offline_access profile")
}

/// A good service principal's form.
fn by_secret<'a>(scope: &'a str, secret: &'a str) -> Vec<(&'a str, &'a str)> {
    let grant_type = ("grant_type", "client_credentials");
    vec![
        ("client_id", CONFIDENTIAL_CLIENT_ID),
        ("client_secret", secret),
        grant_type,
        ("scope", scope),
    ]
}

#[test]
fn a_secret_gets_a_token_for_the_client_itself() {
    let entra = FakeEntra::start();
    let (status, answer) = token(&entra, &by_secret(&scope(), CLIENT_SECRET));
    assert_eq!(
        (status, &answer["token_type"], &answer["expires_in"]),
        (200, &json!("Bearer"), &json!(3600))
    );
    let claims = claims_of(answer["access_token"].as_str().unwrap());
    assert_eq!(
        (&claims["aud"], &claims["appid"]),
        (&json!(SERVER_ID), &json!(CONFIDENTIAL_CLIENT_ID))
    );
    assert_eq!(answer.get("refresh_token"), None, "a client needs none");
    assert_eq!(
        (entra.logins(), entra.token_requests(), entra.prompts()),
        (1, 1, 0)
    );
}

#[test]
fn a_wrong_secret_is_refused_but_no_violation() {
    let entra = FakeEntra::start();
    let (status, answer) = token(&entra, &by_secret(&scope(), "wrong"));
    assert_eq!(
        (status, &answer["error"], &answer["error_codes"]),
        (401, &json!("invalid_client"), &json!([7000215]))
    );
    assert!(
        answer["error_description"]
            .as_str()
            .unwrap()
            .starts_with("AADSTS7000215: ")
    );
    assert_eq!(entra.violations(), [""; 0]);
}

#[test]
fn careless_requests_are_refused_and_reported() {
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
            "names not one server",
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
fn careless_headers_methods_and_paths_are_reported() {
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
fn the_unknown_is_refused_with_entras_codes_and_reported() {
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
fn the_proxy_serves_the_real_names() {
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
fn a_device_code_is_polled_at_its_pace_and_ends_in_a_token() {
    let entra =
        FakeEntra::start_with(|rules| rules.device_code.polls = vec![Poll::Pending, Poll::Approve]);
    let scope = scope();
    let (_, code) = post(
        &entra,
        "oauth2/v2.0/devicecode",
        &[("client_id", PUBLIC_CLIENT_ID), ("scope", &scope)],
    );
    let code = code["device_code"].as_str().unwrap();
    let grant_type = "urn:ietf:params:oauth:grant-type:device_code";
    let poll = || {
        token(
            &entra,
            &[
                ("client_id", PUBLIC_CLIENT_ID),
                ("device_code", code),
                ("grant_type", grant_type),
            ],
        )
    };
    assert_eq!(poll().1["error"], "authorization_pending");
    assert_eq!(poll().0, 400, "too early");
    assert!(entra.take_violations()[0].contains("the interval is 1s"));
    std::thread::sleep(std::time::Duration::from_secs(1)); // what a good client does
    let (status, answer) = poll();
    assert_eq!(
        (status, &answer["refresh_token"].is_string()),
        (200, &true),
        "{answer}"
    );
    assert_eq!(
        claims_of(answer["access_token"].as_str().unwrap())["upn"],
        USER_NAME
    );
    assert_eq!(
        (entra.prompts(), entra.device_polls(), entra.logins()),
        (1, 3, 1)
    );
    assert_eq!(poll().0, 400);
    assert!(entra.take_violations()[0].contains("another poll"));
}

#[test]
fn a_password_gets_a_users_tokens_and_a_refresh_token_more_of_them() {
    let entra =
        FakeEntra::start_with(|rules| rules.refresh_tokens = RefreshTokens::RotateAndRevoke);
    let scope = scope();
    let by_password = |password| {
        let grant = [
            ("grant_type", "password"),
            ("username", USER_NAME),
            ("password", password),
        ];
        token(
            &entra,
            &[
                &grant[..],
                &[
                    ("client_id", PUBLIC_CLIENT_ID),
                    ("client_info", "1"),
                    ("scope", &scope),
                ],
            ]
            .concat(),
        )
    };
    assert_eq!(by_password("wrong").1["error_codes"], json!([50126]));
    let (_, answer) = by_password(USER_PASSWORD);
    assert_eq!(
        claims_of(answer["id_token"].as_str().unwrap())["preferred_username"],
        USER_NAME
    );
    let refresh = |refresh_token: &str| {
        let client = ("client_id", PUBLIC_CLIENT_ID);
        token(
            &entra,
            &[
                ("grant_type", "refresh_token"),
                ("refresh_token", refresh_token),
                client,
                ("scope", &scope),
            ],
        )
    };
    let first = answer["refresh_token"].as_str().unwrap();
    let (status, second) = refresh(first);
    assert_eq!((status, entra.refreshes()), (200, 1));
    assert_ne!(second["access_token"], answer["access_token"]);
    assert_eq!(refresh(first).1["error"], "invalid_grant");
    entra.revoke_refresh_tokens();
    assert_eq!(
        refresh(second["refresh_token"].as_str().unwrap()).1["error"],
        "invalid_grant"
    );
}

#[test]
fn a_federated_token_stands_for_its_client() {
    let entra = FakeEntra::start();
    let scope = scope();
    let by_assertion = |assertion: &str| {
        let kind = (
            "client_assertion_type",
            "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
        );
        let grant_type = ("grant_type", "client_credentials");
        token(
            &entra,
            &[
                ("client_id", CONFIDENTIAL_CLIENT_ID),
                ("client_assertion", assertion),
                kind,
                grant_type,
                ("scope", &scope),
            ],
        )
    };
    assert_eq!(by_assertion(&entra.federated_token()).0, 200);
    let mut claims = claims_of(&entra.federated_token());
    claims["exp"] = json!(claims["nbf"].as_u64().unwrap() - 1);
    claims["nbf"] = json!(claims["exp"].as_u64().unwrap() - 10);
    assert_eq!(
        by_assertion(&entra.sign(&claims)).1["error_codes"],
        json!([700024])
    );
    claims["sub"] = json!("system:serviceaccount:default:other");
    assert_eq!(
        by_assertion(&entra.sign(&claims)).1["error_codes"],
        json!([70021])
    );
}

/// A certificate's assertion, as the v2.0 endpoint wants it.
fn assertion(entra: &FakeEntra) -> (Value, Value) {
    use base64::Engine as _;
    use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
    let certificate = std::fs::read(CLIENT_CERTIFICATE).unwrap();
    let certificate = CertificateDer::from_pem_slice(&certificate).unwrap();
    let thumbprint = ring::digest::digest(&ring::digest::SHA256, &certificate);
    let header = json!({
        "alg": "PS256", "typ": "JWT", "x5t#S256": URL_SAFE_NO_PAD.encode(thumbprint), "x5c": [STANDARD.encode(&certificate)],
    });
    let now = claims_of(&entra.federated_token())["nbf"].as_u64().unwrap();
    let claims = json!({
        "iss": CONFIDENTIAL_CLIENT_ID, "sub": CONFIDENTIAL_CLIENT_ID, "aud": url(entra, "oauth2/v2.0/token"),
        "nbf": now, "exp": now + 600, "jti": "one",
    });
    (header, claims)
}

#[test]
fn a_certificates_assertion_is_checked_to_the_letter() {
    let entra = FakeEntra::start();
    let scope = scope();
    let post = |assertion: &str| {
        let kind = (
            "client_assertion_type",
            "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
        );
        let grant_type = ("grant_type", "client_credentials");
        let client = ("client_id", CONFIDENTIAL_CLIENT_ID);
        token(
            &entra,
            &[
                client,
                ("client_assertion", assertion),
                kind,
                grant_type,
                ("scope", &scope),
            ],
        )
    };
    let (header, claims) = assertion(&entra);
    let good = sign_as_client(&header, &claims);
    assert_eq!(post(&good).0, 200);

    let changed = |part: &Value, member: &str, value: Value| {
        let mut part = part.clone();
        part[member] = value;
        part
    };
    let claim = |name, value| sign_as_client(&header, &changed(&claims, name, value));
    let member = |name, value| sign_as_client(&changed(&header, name, value), &claims);
    let (head, _) = good.rsplit_once('.').unwrap();
    let (_, other_signature) = claim("jti", json!("two"))
        .rsplit_once('.')
        .map(|(a, b)| (a.to_owned(), b.to_owned()))
        .unwrap();
    let rows = [
        (good.clone(), "used before"),
        (claim("jti", json!("")), "jti is missing"),
        (
            claim("aud", json!("https://login.microsoftonline.com/")),
            "aud is",
        ),
        (claim("iss", json!("someone")), "iss is"),
        (claim("exp", json!(1)), "it ended"),
        (claim("nbf", json!(u64::MAX / 2)), "it begins"),
        (claim("exp", json!("tomorrow")), "exp is no whole number"),
        (member("alg", json!("RS256")), "alg is"),
        (member("x5c", json!([])), "x5c does not begin"),
        (
            format!("{head}.{other_signature}"),
            "the signature is wrong",
        ),
    ];
    for (assertion, reason) in rows {
        assert_ne!(post(&assertion).0, 200, "{reason}");
        let violations = entra.take_violations();
        assert!(
            violations.len() == 1 && violations[0].contains(reason),
            "{reason}: {violations:?}"
        );
    }
    let unregistered = member("x5t#S256", json!("AAAA"));
    assert_eq!(post(&unregistered).1["error_codes"], json!([700027]));
}

/// An authorize URL, its redirect to this port, with the challenge of the example in RFC 7636, appendix B.
fn authorize_url(entra: &FakeEntra, port: u16, response_mode: &str) -> String {
    let redirect_uri = format!("http://localhost:{port}/");
    let query = form(&[
        ("client_id", PUBLIC_CLIENT_ID),
        ("response_type", "code"),
        ("response_mode", response_mode),
        ("redirect_uri", &redirect_uri),
        ("scope", &scope()),
        ("state", "a state"),
        (
            "code_challenge",
            "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM",
        ),
        ("code_challenge_method", "S256"),
    ]);
    format!("{}?{query}", url(entra, "oauth2/v2.0/authorize"))
}

#[test]
fn the_browser_carries_the_code_to_the_listener_and_pkce_guards_it() {
    for mode in ["query", "form_post"] {
        let entra = FakeEntra::start();
        let listener = FakeHttp::start(|_| Reply::html(200, "You may close this page."));
        let port = listener.url().rsplit_once(':').unwrap().1.parse().unwrap();
        let code_from = |answers: Vec<(String, String)>| {
            assert_eq!(
                answers.iter().find(|(name, _)| name == "state").unwrap().1,
                "a state"
            );
            answers
                .into_iter()
                .find(|(name, _)| name == "code")
                .unwrap()
                .1
        };
        let sign_in = || {
            let page = entra.browse(&authorize_url(&entra, port, mode));
            assert_eq!(
                (page.status, page.html.as_str()),
                (200, "You may close this page.")
            );
            let request = listener.requests().pop().unwrap();
            code_from(if mode == "query" {
                request.query
            } else {
                request.form
            })
        };
        let redeem = |code: &str, verifier: &str| {
            let (client, grant) = (
                ("client_id", PUBLIC_CLIENT_ID),
                ("grant_type", "authorization_code"),
            );
            let redirect_uri = format!("http://localhost:{port}/");
            let proof = [
                ("code", code),
                ("code_verifier", verifier),
                ("redirect_uri", &redirect_uri),
            ];
            token(&entra, &[&[client, grant][..], &proof].concat())
        };
        let verifier = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
        let code = sign_in();
        let (status, answer) = redeem(&code, verifier);
        assert_eq!(
            (status, answer["id_token"].is_string()),
            (200, true),
            "{answer}"
        );
        assert_eq!(redeem(&code, verifier).1["error_codes"], json!([54005]));
        assert_eq!(redeem(&sign_in(), "another").0, 400);
        assert!(entra.take_violations()[0].contains("code_verifier does not match"));
    }
}

#[test]
fn v1_speaks_of_resources_and_quotes_its_numbers() {
    let entra = FakeEntra::start();
    let secret = [
        ("client_id", CONFIDENTIAL_CLIENT_ID),
        ("client_secret", CLIENT_SECRET),
        ("grant_type", "client_credentials"),
    ];
    let resource = format!("spn:{SERVER_ID}");
    let pairs = [&secret[..], &[("resource", &resource)]].concat();
    let (status, answer) = post(&entra, "oauth2/token?api-version=1.0", &pairs);
    assert_eq!(
        (status, answer["expires_on"].is_string()),
        (200, true),
        "{answer}"
    );
    assert_eq!(
        claims_of(answer["access_token"].as_str().unwrap())["aud"],
        resource
    );
    post(&entra, "oauth2/token", &pairs);
    assert!(entra.take_violations()[0].contains("api-version=1.0"));
}

#[test]
fn odd_answers_are_sent_as_scripted() {
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
        "the script is over"
    );
}

#[test]
fn the_api_server_takes_only_tokens_of_the_fake_entra_for_itself_and_in_force() {
    let entra = FakeEntra::start();
    let api_server = FakeApiServer::start(&entra);
    let (_, answer) = token(&entra, &by_secret(&scope(), CLIENT_SECRET));
    let good = answer["access_token"].as_str().unwrap();
    let changed = |claim: &str, value: Value| {
        let mut claims = claims_of(good);
        claims[claim] = value;
        entra.sign(&claims)
    };
    let now = claims_of(good)["iat"].as_u64().unwrap();
    let (longer, (_, signature)) = (
        changed("exp", json!(now + 7200)),
        good.rsplit_once('.').unwrap(),
    );
    let forged = format!("{}.{signature}", longer.rsplit_once('.').unwrap().0);
    let list = |token: &str| {
        let client = client_of(&entra).build().unwrap();
        read(
            client
                .get(format!("{}/api/v1/nodes", api_server.url()))
                .bearer_auth(token)
                .send()
                .unwrap(),
        )
    };
    assert_eq!(list(good).1["items"][0]["metadata"]["name"], "fake-node");
    for bad in [
        changed("aud", json!(PUBLIC_CLIENT_ID)),
        changed("exp", json!(now - 1)),
        forged,
        "word".into(),
    ] {
        let (status, answer) = list(&bad);
        assert_eq!(
            (status, &answer["kind"]),
            (401, &json!("Status")),
            "{:?}",
            api_server.refused()
        );
    }
    let reasons = api_server.refused().join("; ");
    for reason in ["not for this server", "ended", "signature", "not a JWT"] {
        assert!(reasons.contains(reason), "{reason}: {reasons}");
    }
    assert_eq!(api_server.admitted().len(), 1);
}

#[test]
fn a_bound_token_is_taken_with_the_proof_of_its_key_only() {
    use base64::Engine as _;
    let base64url = |bytes: &[u8]| base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(bytes);
    let entra = FakeEntra::start();
    let api_server = FakeApiServer::start(&entra);
    let jwk = client_jwk();
    let members = format!(r#"{{"e":{},"kty":"RSA","n":{}}}"#, jwk["e"], jwk["n"]);
    let key_id =
        base64url(ring::digest::digest(&ring::digest::SHA256, members.as_bytes()).as_ref());
    let req_cnf = base64url(
        json!({"kid": key_id, "xms_ksl": "sw"})
            .to_string()
            .as_bytes(),
    );
    let scope = scope();
    let bound = [
        by_secret(&scope, CLIENT_SECRET),
        vec![("token_type", "pop"), ("req_cnf", &req_cnf)],
    ]
    .concat();
    let (_, answer) = token(&entra, &bound);
    assert_eq!(answer["token_type"], "pop");

    let host = api_server.url().replace("https://", "");
    let now = claims_of(answer["access_token"].as_str().unwrap())["iat"].clone();
    let header = json!({"typ": "pop", "alg": "RS256", "kid": key_id});
    let made = |ts: &Value, at: &Value, host: &str| {
        sign_as_client(
            &header,
            &json!({"at": at, "ts": ts, "u": host, "cnf": {"jwk": jwk}, "nonce": "n"}),
        )
    };
    let envelope = |at: &Value, host: &str| made(&now, at, host);
    let (_, unbound) = token(&entra, &by_secret(&scope, CLIENT_SECRET));
    let status = |token: &str| {
        let client = client_of(&entra).build().unwrap();
        client
            .get(format!("{}/api/v1/nodes", api_server.url()))
            .bearer_auth(token)
            .send()
            .unwrap()
            .status()
            .as_u16()
    };
    let access_token = &answer["access_token"];
    assert_eq!(
        status(&envelope(access_token, &host)),
        200,
        "{:?}",
        api_server.refused()
    );
    assert_eq!(status(&envelope(access_token, "another-host")), 401);
    assert_eq!(status(&envelope(&unbound["access_token"], &host)), 401);
    assert_eq!(status(access_token.as_str().unwrap()), 401);
    assert_eq!(status(&made(&json!(1), access_token, &host)), 401);
    let reasons = api_server.refused();
    for (reason, expected) in reasons.iter().zip([
        "not for \"127",
        "bound to the key null",
        "without its proof",
        "made at 1",
    ]) {
        assert!(reason.contains(expected), "{expected}: {reason}");
    }
}

#[test]
fn the_clean_room_is_clean_and_removes_itself() {
    let kubelogin = Kubelogin::new().arg("--help");
    let home = kubelogin.home();
    assert!(home.starts_with(std::env::temp_dir()) && kubelogin.work() != home);
    let output = kubelogin.run();
    assert!(output.status.success(), "{output:?}");
    drop(kubelogin);
    assert!(!home.exists());
}
