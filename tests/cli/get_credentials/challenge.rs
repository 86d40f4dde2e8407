//! Azure requires a stronger sign-in (a Conditional Access claims challenge). kubelogin signs in again once, not in a loop.

use super::*;

const CONTEXT: &str = "c1";

/// Whether a request to Entra ID asks for the context.
fn asks_for_context(request: &Request) -> bool {
    let claims = request.field("claims").unwrap_or_default();
    claims.contains(&format!("\"value\":\"{CONTEXT}\""))
}

fn demanding(entra: &FakeEntra) -> FakeArm {
    FakeArm::start_with(entra, |rules| rules.context = Some(CONTEXT.into()))
}

#[test]
fn a_person_signs_in_once_more_with_the_claims_and_not_again_afterwards() {
    let entra = FakeEntra::start();
    let arm = demanding(&entra);
    let kubelogin = bare(&entra).args(PROD);
    written(&kubelogin);
    // The refresh token of the weaker sign-in does not help.
    assert_eq!(entra.prompts(), 2);
    let codes = entra.requests_to(Endpoint::DeviceCode);
    let asked: Vec<_> = codes.iter().map(asks_for_context).collect();
    assert_eq!(asked, [false, true]);
    let kubeconfigs = ["listClusterUserCredential"; 2];
    assert_eq!(paths(&arm.take_requests())[1..], kubeconfigs);
    // The stronger token is cached.
    written(&kubelogin);
    assert_eq!(entra.prompts(), 2);
    assert_eq!(paths(&arm.requests())[1..], kubeconfigs[..1]);
}

#[test]
fn a_service_principal_asks_once_more_with_the_claims() {
    let entra = FakeEntra::start();
    let arm = demanding(&entra);
    written(&get_credentials(&entra).args(PROD));
    let asked: Vec<_> = entra.requests().iter().map(asks_for_context).collect();
    assert_eq!(asked, [false, true]);
    assert_eq!(arm.requests().len(), 2);
}

#[test]
fn a_search_is_repeated_with_the_claims_too() {
    let entra = FakeEntra::start();
    let arm = demanding(&entra);
    written(&get_credentials(&entra).arg("prod"));
    assert_eq!(entra.token_requests(), 2);
    let expected = ["resources", "resources", "listClusterUserCredential"];
    assert_eq!(paths(&arm.requests()), expected);
}

#[test]
fn of_many_clusters_only_those_that_were_refused_are_asked_for_again() {
    let entra = FakeEntra::start();
    let arm = FakeArm::start_with(&entra, |rules| {
        let names = (0..20).map(|number| format!("c{number}"));
        rules.clusters = names.map(|name| FakeCluster::new("shop", &name)).collect();
    });
    let kubelogin = get_credentials(&entra).args(["--all", "--subscription", SUBSCRIPTION_ID]);
    // The policy takes effect while the first kubeconfig is being fetched.
    arm.meanwhile(|rules| rules.context = Some(CONTEXT.into()));
    let (text, _) = written(&kubelogin);
    assert_eq!(text.matches("- context:\n").count(), 20);
    assert_eq!(entra.token_requests(), 2);
    // The list, the first cluster once, and the other 19 twice.
    assert_eq!(arm.requests().len(), 1 + 1 + 2 * 19);
}

#[test]
fn a_sign_in_that_is_still_too_weak_is_not_repeated() {
    let entra = FakeEntra::start_with(|rules| rules.steps_up = false);
    let arm = demanding(&entra);
    let error = refused(&get_credentials(&entra).args(PROD));
    assert!(
        error.contains("a stronger sign-in (Conditional Access)")
            && error.contains("not strong enough either"),
        "{error}"
    );
    assert_eq!((entra.token_requests(), arm.requests().len()), (2, 2));
}

#[test]
#[cfg(unix)]
fn a_program_that_cannot_pass_the_challenge_on_is_named_with_the_command_that_can() {
    for (login, program, command) in [
        (
            "azurecli",
            "az",
            format!(
                "az login --tenant {TENANT_ID} --scope https://management.core.windows.net//.default --claims-challenge eyJ"
            ),
        ),
        ("azd", "azd", "--login azd cannot do that".to_owned()),
    ] {
        let entra = FakeEntra::start();
        let arm = demanding(&entra);
        let (token, expires_on) = token_for_azure(&entra);
        let answer = match program {
            "az" => json!({"accessToken": token, "expires_on": expires_on}),
            _ => json!({"token": token, "expiresOn": "2099-01-01T00:00:00Z"}),
        };
        let script = format!("echo \"$@\" >> \"$LOG\"\necho '{answer}'");
        let kubelogin = bare(&entra)
            .args(PROD)
            .args(["--login", login])
            .program(program, &script);
        let error = refused(&kubelogin);
        assert!(error.contains(&command), "{error}");
        // One request for the tenant, one for the kubeconfig.
        assert_eq!(arm.requests().len(), 2, "{login}");
        assert_eq!(kubelogin.log().lines().count(), 1, "{login}");
    }
}
