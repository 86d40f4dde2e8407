//! `--legacy`: the v1 endpoints.

use crate::support::*;

fn spn_with_certificate(entra: &FakeEntra) -> Kubelogin {
    spn(entra)
        .env_remove("AZURE_CLIENT_SECRET")
        .args(["--client-certificate", CLIENT_CERTIFICATE])
}

const LOGINS: [fn(&FakeEntra) -> Kubelogin; 4] = [spn, spn_with_certificate, devicecode, ropc];

/// Azure/kubelogin#424: it prompted on every command.
#[test]
fn the_token_is_a_v1_token_and_cached_like_any_other() {
    for login in LOGINS {
        let entra = FakeEntra::start();
        let kubelogin = login(&entra).args(["--legacy", "-v", "1"]);
        let first = kubelogin.run();
        assert_eq!(claims_of(&first.token())["aud"], format!("spn:{SERVER_ID}"));
        assert!(!first.stderr.contains("spn:"), "{first:?}");
        assert!(
            entra
                .requests()
                .iter()
                .all(|request| request.parameter("api-version") == Some("1.0"))
        );
        let requests = entra.requests().len();
        assert_eq!(kubelogin.run().token(), first.token());
        assert_eq!(entra.requests().len(), requests);
    }
}

#[test]
fn a_token_of_the_other_version_is_another_login() {
    for login in LOGINS {
        let entra = FakeEntra::start();
        let kubelogin = login(&entra);
        kubelogin.run().token();
        let legacy = kubelogin.arg("--legacy").run().token();
        assert_eq!(claims_of(&legacy)["aud"], format!("spn:{SERVER_ID}"));
    }
}

#[test]
fn an_expired_token_of_a_person_is_refreshed_at_v1() {
    for login in [devicecode, ropc] {
        let entra = FakeEntra::start_with(|rules| rules.token_lifetime = 60);
        let kubelogin = login(&entra).arg("--legacy");
        kubelogin.run().token();
        kubelogin.run().token();
        assert_eq!((entra.logins(), entra.refreshes()), (1, 1));
    }
}

#[test]
fn an_unknown_host_needs_no_discovery_for_the_v1_endpoints() {
    let entra = FakeEntra::start();
    bare_spn().arg("--legacy").entra(&entra).run().token();
    assert_eq!(entra.requests().len(), 1);
}

#[test]
fn a_mode_without_v1_says_that_it_ignores_legacy() {
    let (entra, folder) = (FakeEntra::start(), TempDir::new());
    let file = folder.file("token", entra.federated_token());
    let output = workloadidentity(&entra)
        .env("AZURE_FEDERATED_TOKEN_FILE", file)
        .arg("--legacy")
        .verbose()
        .run();
    assert_eq!(claims_of(&output.token())["aud"], SERVER_ID);
    assert_eq!(output.notices().len(), 1, "{output:?}");
    assert!(output.stderr.contains("ignoring --legacy"));
}
