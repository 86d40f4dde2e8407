//! `--pop-enabled`: proof-of-possession tokens.

use std::path::PathBuf;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::signature::{RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents};
use serde_json::Value;

use crate::support::*;

const CLUSTER: &str =
    "/subscriptions/s/resourceGroups/g/providers/Microsoft.Kubernetes/connectedClusters/\"c\"";

fn pop(kubelogin: Kubelogin) -> Kubelogin {
    kubelogin.args(["--pop-enabled", "--pop-claims", &format!("u={CLUSTER}")])
}

/// Checks an envelope as a server that accepts PoP tokens does, and returns the claims of its access token.
fn admit(envelope: &str) -> Value {
    let (message, signature) = envelope.rsplit_once('.').unwrap();
    let decode = |part: &str| URL_SAFE_NO_PAD.decode(part).unwrap();
    let claims = claims_of(envelope);
    let key = &claims["cnf"]["jwk"];
    let part = |name: &str| decode(key[name].as_str().unwrap());
    let public = RsaPublicKeyComponents {
        n: part("n"),
        e: part("e"),
    };
    public
        .verify(
            &RSA_PKCS1_2048_8192_SHA256,
            message.as_bytes(),
            &decode(signature),
        )
        .expect("the signature does not match the key");
    assert_eq!(claims["u"], CLUSTER);
    let access = claims_of(claims["at"].as_str().unwrap());
    assert_eq!(
        access["cnf"]["kid"], key["kid"],
        "the access token is bound to another key"
    );
    access
}

/// The key file, whose name contains the sealing key's ID; some other path if there is none.
fn key_file(kubelogin: &Kubelogin) -> PathBuf {
    let files = std::fs::read_dir(kubelogin.cache()).into_iter().flatten();
    let paths = files.map(|file| file.expect("an entry").path());
    let is_key = |path: &PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        name.starts_with("kubelogin-pop.") && path.extension().is_some_and(|kind| kind == "key")
    };
    let missing = kubelogin.cache().join("kubelogin-pop.key");
    { paths }.find(is_key).unwrap_or(missing)
}

#[test]
fn each_call_gets_a_new_envelope_around_the_cached_access_token() {
    for login in [spn, ropc] {
        let entra = FakeEntra::start();
        let kubelogin = pop(login(&entra));
        let first = kubelogin.run();
        let access = admit(&first.token());
        assert_eq!(access["aud"], SERVER_ID);
        let second = kubelogin.run();
        assert_ne!(second.token(), first.token());
        assert_eq!(admit(&second.token()), access);
        assert_eq!(entra.requests().len(), 1);
        let ends = |output: &Output| output.credential()["status"]["expirationTimestamp"].clone();
        assert_eq!(ends(&first), ends(&second));
    }
}

#[test]
fn an_expired_token_is_refreshed_for_the_same_key() {
    let entra = FakeEntra::start_with(|rules| rules.token_lifetime = 60);
    let kubelogin = pop(ropc(&entra));
    let keys = [0, 1].map(|_| admit(&kubelogin.run().token())["cnf"].clone());
    assert_eq!(keys[0], keys[1]);
    assert_eq!((entra.logins(), entra.refreshes()), (1, 1));
}

#[test]
fn all_logins_of_a_cache_folder_share_one_encrypted_key() {
    let entra = FakeEntra::start();
    let kubelogin = pop(spn(&entra));
    let running: Vec<Running> = (0..10).map(|_| kubelogin.spawn()).collect();
    let keys: Vec<Value> = running
        .into_iter()
        .map(|one| admit(&one.wait().token())["cnf"].clone())
        .collect();
    assert!(keys.iter().all(|key| *key == keys[0]));
    assert_eq!(entra.logins(), 1);
    let sealed = std::fs::read(key_file(&kubelogin)).unwrap();
    let claims = claims_of(&kubelogin.run().token());
    let modulus = URL_SAFE_NO_PAD
        .decode(claims["cnf"]["jwk"]["n"].as_str().unwrap())
        .unwrap();
    let lies_open = sealed.windows(modulus.len()).any(|bytes| bytes == modulus);
    assert!(!lies_open, "the public key is not sealed");
}

#[test]
fn a_damaged_key_costs_one_login_and_no_error() {
    let entra = FakeEntra::start();
    let kubelogin = pop(spn(&entra));
    let first = admit(&kubelogin.run().token());
    std::fs::write(key_file(&kubelogin), "damaged").unwrap();
    let second = admit(&kubelogin.run().token());
    assert_ne!(second["cnf"], first["cnf"]);
    kubelogin.run().token();
    assert_eq!(entra.requests().len(), 2);
}

#[test]
fn a_bearer_token_is_another_login() {
    let entra = FakeEntra::start();
    let kubelogin = spn(&entra);
    let plain = kubelogin.run().token();
    assert_eq!(claims_of(&plain).get("cnf"), None);
    admit(&pop(kubelogin).run().token());
    assert_eq!(entra.requests().len(), 2);
}

#[test]
fn without_a_cache_each_run_has_its_own_key() {
    let entra = FakeEntra::start();
    let kubelogin = pop(spn(&entra)).args(["--token-cache-storage", "none"]);
    let kubelogin = kubelogin.env_remove("KUBELOGIN_TOKEN_CACHE_STORAGE");
    admit(&kubelogin.run().token());
    assert!(!key_file(&kubelogin).exists());
}

#[test]
fn remove_cache_dir_removes_the_key() {
    let entra = FakeEntra::start();
    let kubelogin = pop(spn(&entra));
    kubelogin.run().token();
    assert!(key_file(&kubelogin).exists());
    let folder = kubelogin.cache();
    let removed = Kubelogin::log_out(&folder).run();
    assert_eq!(removed.status.code(), Some(0), "{removed:?}");
    assert!(!folder.exists());
}

#[test]
fn each_invalid_combination_is_reported_before_any_request() {
    let entra = FakeEntra::start();
    let on = "--pop-enabled";
    let rows: [(&str, &[&str], &str); 9] = [
        ("spn", &[on], "--pop-claims"),
        ("spn", &["--pop-claims", "u=x"], "--pop-enabled"),
        (
            "spn",
            &[on, "--pop-claims", "u"],
            "not of the form key=value",
        ),
        (
            "spn",
            &[on, "--pop-claims", "u="],
            "not of the form key=value",
        ),
        ("spn", &[on, "--pop-claims", "x=1"], "lacks the claim u"),
        (
            "spn",
            &[on, "--pop-claims", "u=x", "--legacy"],
            "cannot be used together",
        ),
        (
            "devicecode",
            &[on, "--pop-claims", "u=x"],
            "interactive, spn, ropc",
        ),
        (
            "workloadidentity",
            &[on, "--pop-claims", "u=x"],
            "interactive, spn, ropc",
        ),
        (
            "azurepipelines",
            &[on, "--pop-claims", "u=x"],
            "interactive, spn, ropc",
        ),
    ];
    for (mode, flags, why) in rows {
        let kubelogin = of_client(mode)
            .env("AZURE_CLIENT_SECRET", CLIENT_SECRET)
            .through_proxy(&entra);
        let error = kubelogin.args(flags).run().error();
        assert!(error.contains(why), "{mode} {flags:?}: {error}");
    }
    assert_eq!(entra.connections(), 0);
}
