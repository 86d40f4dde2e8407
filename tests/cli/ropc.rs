//! `--login ropc`: user name and password.

use crate::support::*;

#[test]
fn a_managed_user_costs_one_request_and_the_second_run_none() {
    let entra = FakeEntra::start();
    let kubelogin = ropc(&entra);
    let first = kubelogin.run();
    assert_eq!(claims_of(&first.token())["upn"], USER_NAME);
    assert_eq!(kubelogin.run().token(), first.token());
    assert_eq!(entra.requests().len(), 1);
    first.hides(&[USER_PASSWORD]);
}

#[test]
fn an_expired_token_is_refreshed_without_the_password() {
    let entra = FakeEntra::start_with(|rules| rules.token_lifetime = 60);
    let kubelogin = ropc(&entra);
    kubelogin.run().token();
    kubelogin.run().token();
    assert_eq!((entra.logins(), entra.refreshes()), (1, 1));
}

/// In Azure's kubelogin, bob got alice's token.
#[test]
fn another_user_with_the_same_password_is_another_login() {
    let bob = "bob@contoso.example";
    let entra = FakeEntra::start_with(|rules| rules.users.push(User::new(bob, USER_PASSWORD)));
    let alice = ropc(&entra);
    let alice_s = alice.run().token();
    let kubelogin = alice.env("AZURE_USERNAME", bob);
    assert_eq!(claims_of(&kubelogin.run().token())["upn"], bob);
    let kubelogin = kubelogin.env_remove("AZURE_USERNAME");
    assert_eq!(kubelogin.run().token(), alice_s, "alice's token was lost");
    assert_eq!(entra.token_requests(), 2);
}

#[test]
fn another_password_is_another_login() {
    let entra = FakeEntra::start();
    let kubelogin = ropc(&entra);
    kubelogin.run().token();
    kubelogin.env("AZURE_PASSWORD", "wrong").run().error();
    assert_eq!(entra.token_requests(), 2);
}

#[test]
fn a_wrong_password_is_sent_once_however_often_kubectl_tries() {
    let entra = FakeEntra::start();
    let kubelogin = ropc(&entra)
        .env("AZURE_PASSWORD", "hunter2")
        .called_by_kubectl();
    for _ in 0..5 {
        let output = kubelogin.run();
        assert!(output.error().contains("AADSTS50126"), "{output:?}");
        output.hides(&["hunter2"]);
    }
    assert_eq!(entra.token_requests(), 1);
}

#[test]
fn a_user_who_needs_another_mode_is_told_which() {
    for code in [50056, 50076, 50079, 50126] {
        let entra = FakeEntra::start_with(|rules| rules.users[0].refused_with = Some(code));
        let error = ropc(&entra).run().error();
        assert!(
            error.contains("--login interactive or devicecode"),
            "{error}"
        );
        assert_eq!(entra.requests().len(), 1);
    }
}

#[test]
fn a_missing_name_or_password_is_named() {
    let entra = FakeEntra::start();
    let error = ropc(&entra).env_remove("AZURE_PASSWORD").run().error();
    assert!(error.contains("AZURE_PASSWORD"), "{error}");
    let error = ropc(&entra).args(["--username", ""]).run().error();
    assert!(error.contains("--username"), "{error}");
    assert_eq!(entra.connections(), 0);
}
