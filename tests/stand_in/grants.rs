//! How the fake Entra issues tokens: each grant, and the credentials it requires.

use super::*;

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
    assert_eq!(
        answer.get("refresh_token"),
        None,
        "a client does not need one"
    );
    assert_eq!(
        (entra.logins(), entra.token_requests(), entra.prompts()),
        (1, 1, 0)
    );
}

#[test]
fn a_wrong_secret_is_refused_but_is_not_a_violation() {
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
fn a_device_code_must_be_polled_at_its_interval() {
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
    std::thread::sleep(std::time::Duration::from_secs(1)); // as a correct client does
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
    assert_eq!(poll().1["error"], "invalid_grant");
    assert!(entra.take_violations()[0].contains("A poll after"));
}

#[test]
fn a_password_and_a_refresh_token_get_the_user_s_tokens() {
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
fn a_federated_token_authenticates_its_client() {
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

/// Header and claims of an assertion with a certificate, as the v2.0 endpoint requires them.
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
fn a_certificate_s_assertion_is_checked_claim_by_claim() {
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
        (claim("exp", json!(1)), "it expired"),
        (claim("nbf", json!(u64::MAX / 2)), "it becomes valid"),
        (claim("exp", json!("tomorrow")), "exp is not a whole number"),
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

/// An authorize URL that redirects to this port, with the code challenge from RFC 7636, appendix B.
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
fn the_browser_brings_the_code_to_the_listener_and_pkce_protects_it() {
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
            let page = Browser::open(&entra, &authorize_url(&entra, port, mode)).sign_in();
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
fn v1_takes_resources_and_returns_numbers_as_text() {
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
