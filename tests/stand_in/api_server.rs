//! Which tokens the fake API server accepts.

use super::*;

#[test]
fn the_api_server_takes_only_valid_tokens_for_itself() {
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
    for reason in ["not for this server", "expired", "signature", "not a JWT"] {
        assert!(reasons.contains(reason), "{reason}: {reasons}");
    }
    assert_eq!(api_server.admitted().len(), 1);
}

#[test]
fn a_bound_token_is_accepted_only_with_proof_of_its_key() {
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
