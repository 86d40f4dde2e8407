//! The token cache, from outside: who is asked again, what is left on disk, and that nothing of it stands in the way.

mod folder; // where tokens are kept, and what may be wrong with that place
#[cfg(target_os = "linux")]
mod keyring; // the kernel's keyring, real and refused
mod log_out; // remove-cache-dir
#[cfg(unix)]
mod process; // the program in another kind of process than the one that tests run in

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::json;

use crate::support::*;

/// Seconds: less than the five minutes that a token in the cache must have left.
const SHORT_LIFE: u64 = 240;

/// The one entry in a cache folder.
fn entry_in(folder: &Path) -> PathBuf {
    let mut entries = names_in(folder);
    entries.retain(|name| name.ends_with(".token"));
    assert_eq!(entries.len(), 1, "{entries:?}");
    folder.join(&entries[0])
}

#[test]
fn a_client_that_is_not_interactive_is_served_from_the_cache() {
    let entra = FakeEntra::start();
    let kubelogin = devicecode(&entra);
    let first = kubelogin.run().token();
    let second = kubelogin
        .env("KUBERNETES_EXEC_INFO", exec_info(false))
        .run();
    assert_eq!(second.token(), first);
    assert_eq!(entra.prompts(), 1);
}

/// Azure/kubelogin#150, lens#6586: Lens and kubectl before 1.22 say so, and people sit before them all the same.
#[test]
fn a_client_that_forbids_prompts_gets_the_prompt_all_the_same() {
    let entra = FakeEntra::start();
    let output = devicecode(&entra)
        .env("KUBERNETES_EXEC_INFO", exec_info(false))
        .run();
    output.token();
    assert_eq!((entra.prompts(), output.stderr.lines().count()), (1, 1));
}

/// Azure/kubelogin#63: the refresh token was lost when a refresh brought no new one.
#[test]
fn a_refresh_token_that_is_not_renewed_is_kept() {
    let entra = FakeEntra::start_with(|rules| {
        rules.token_lifetime = SHORT_LIFE;
        rules.refresh_tokens = RefreshTokens::Keep;
    });
    let kubelogin = devicecode(&entra);
    for _ in 0..3 {
        kubelogin.run().token();
    }
    assert_eq!((entra.prompts(), entra.refreshes()), (1, 2));
}

#[test]
fn a_refresh_token_that_is_renewed_replaces_the_old_one() {
    let entra = FakeEntra::start_with(|rules| {
        rules.token_lifetime = SHORT_LIFE;
        rules.refresh_tokens = RefreshTokens::RotateAndRevoke;
    });
    let kubelogin = devicecode(&entra);
    for _ in 0..3 {
        kubelogin.run().token();
    }
    assert_eq!((entra.prompts(), entra.refreshes()), (1, 2));
}

#[test]
fn a_revoked_refresh_token_costs_one_sign_in() {
    let entra = FakeEntra::start_with(|rules| rules.token_lifetime = SHORT_LIFE);
    let kubelogin = devicecode(&entra);
    kubelogin.run().token();
    entra.revoke_refresh_tokens();
    kubelogin.run().token();
    kubelogin.run().token();
    assert_eq!((entra.prompts(), entra.refreshes()), (2, 1));
}

#[test]
fn a_token_that_cannot_be_renewed_for_now_is_used_while_it_lives() {
    for login in [spn, devicecode] {
        let entra = FakeEntra::start_with(|rules| rules.token_lifetime = SHORT_LIFE);
        let kubelogin = login(&entra).args(["--timeout", "3s"]);
        let first = kubelogin.run().token();
        for _ in 0..4 {
            entra.next(Endpoint::Token, Reply::json(503, &json!({})));
        }
        let second = kubelogin.run();
        assert_eq!(second.token(), first);
        assert_eq!(second.stderr.lines().count(), 1, "{}", second.stderr);
        assert!(second.stderr.contains("Could not renew the token"));
        assert!(entra.prompts() <= 1);
    }
}

/// Azure/kubelogin#499: without a refresh token a person was asked twice for a short-lived token.
#[test]
fn a_short_lived_token_without_a_refresh_token_asks_a_person_once() {
    let entra = FakeEntra::start_with(|rules| {
        rules.token_lifetime = SHORT_LIFE;
        rules.refresh_tokens = RefreshTokens::Never;
    });
    let kubelogin = devicecode(&entra);
    assert_eq!(kubelogin.run().token(), kubelogin.run().token());
    assert_eq!(entra.prompts(), 1);
}

/// Azure/kubelogin PR #86, #740: parallel runs damaged the cache, and each asked the person.
#[test]
fn fifty_at_once_sign_in_once() {
    for login in [spn, devicecode] {
        let entra = FakeEntra::start();
        let kubelogin = login(&entra);
        let running: Vec<Running> = (0..50).map(|_| kubelogin.spawn()).collect();
        let tokens: Vec<String> = running.into_iter().map(|one| one.wait().token()).collect();
        assert!(tokens.iter().all(|token| *token == tokens[0]));
        assert_eq!(entra.logins(), 1);
        assert!(entra.prompts() <= 1);
    }
}

#[test]
fn fifty_at_once_refresh_once() {
    let entra = FakeEntra::start_with(|rules| rules.token_lifetime = SHORT_LIFE);
    let kubelogin = devicecode(&entra);
    let old = kubelogin.run().token();
    entra.change(|rules| rules.token_lifetime = 3600);
    let running: Vec<Running> = (0..50).map(|_| kubelogin.spawn()).collect();
    for one in running {
        assert_ne!(one.wait().token(), old);
    }
    assert_eq!((entra.logins(), entra.refreshes()), (1, 1));
}

#[test]
fn those_who_waited_for_a_sign_in_that_failed_get_its_error() {
    let entra = FakeEntra::start_with(|rules| rules.device_code.polls = vec![Poll::Pending]);
    let kubelogin = devicecode(&entra);
    let mut running: Vec<Running> = (0..10).map(|_| kubelogin.spawn()).collect();
    for one in &mut running {
        one.shows("sign"); // "To sign in, ...", or "Waiting for another kubelogin that is signing in ..."
    }
    entra.change(|rules| rules.device_code.polls = vec![Poll::Decline]);
    let errors: Vec<String> = running.into_iter().map(|one| one.wait().error()).collect();
    assert!(errors.iter().all(|error| *error == errors[0]), "{errors:?}");
    assert_eq!(entra.prompts(), 1);
}

/// kubectl runs a plugin that fails up to five times: five prompts, or five wrong passwords, for one command.
#[test]
fn a_client_that_tries_again_is_answered_with_the_same_error() {
    let entra = FakeEntra::start_with(|rules| rules.device_code.polls = vec![Poll::Decline]);
    let kubelogin = devicecode(&entra).called_by_kubectl();
    let errors: Vec<String> = (0..5).map(|_| kubelogin.run().error()).collect();
    assert!(errors.iter().all(|error| *error == errors[0]), "{errors:?}");
    assert_eq!(entra.prompts(), 1);

    let wrong = spn(&entra)
        .env("AZURE_CLIENT_SECRET", "wrong")
        .called_by_kubectl();
    for _ in 0..5 {
        wrong.run().error();
    }
    assert_eq!(entra.token_requests(), 2, "one poll, one wrong secret");
}

#[test]
fn a_person_who_runs_the_command_again_gets_another_try() {
    let entra = FakeEntra::start_with(|rules| rules.device_code.polls = vec![Poll::Decline]);
    let kubelogin = devicecode(&entra);
    kubelogin.run().error();
    kubelogin.run().error();
    assert_eq!(entra.prompts(), 2);
}

/// Another kubectl is another process: here a shell stands for each.
#[cfg(unix)]
#[test]
fn another_client_gets_another_try() {
    let entra = FakeEntra::start_with(|rules| rules.device_code.polls = vec![Poll::Decline]);
    let kubelogin = devicecode(&entra).called_by_kubectl();
    for _ in 0..2 {
        let mut shell = kubelogin.command_under("/bin/sh", &["-c", "\"$0\" \"$@\"; exit $?"]);
        kubelogin.start(&mut shell).wait().error();
    }
    assert_eq!(entra.prompts(), 2);
}

#[test]
fn another_secret_is_not_answered_with_the_old_one_s_token() {
    let entra = FakeEntra::start();
    let kubelogin = spn(&entra);
    kubelogin.run().token();
    let error = kubelogin.env("AZURE_CLIENT_SECRET", "wrong").run().error();
    assert!(error.contains("7000215"), "{error}");
}
