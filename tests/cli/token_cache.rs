//! The token cache from outside: when users must sign in again, what is on disk, and that a broken cache never prevents a
//! token.

mod folder; // where tokens are stored, and what may be wrong with the folder
#[cfg(target_os = "linux")]
mod keyring; // the kernel keyring, available or denied
mod log_out; // remove-cache-dir
#[cfg(unix)]
pub mod process; // runs the program with restricted limits, rights or system calls

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::json;

use crate::support::*;

/// In seconds. A cached token is used only while it has five minutes left.
const SHORT_LIFE: u64 = 240;

/// The only entry in a cache folder.
fn entry_in(folder: &Path) -> PathBuf {
    let mut entries = names_in(folder);
    entries.retain(|name| name.ends_with(".token"));
    assert_eq!(entries.len(), 1, "{entries:?}");
    folder.join(&entries[0])
}

#[test]
fn a_non_interactive_client_gets_the_cached_token() {
    let entra = FakeEntra::start();
    let kubelogin = devicecode(&entra);
    let first = kubelogin.run().token();
    let second = kubelogin
        .env("KUBERNETES_EXEC_INFO", exec_info(false))
        .run();
    assert_eq!(second.token(), first);
    assert_eq!(entra.prompts(), 1);
}

/// Azure/kubelogin#150, lens#6586: Lens and kubectl before 1.22 claim not to be interactive, but they are.
#[test]
fn a_non_interactive_client_still_gets_the_prompt() {
    let entra = FakeEntra::start();
    let output = devicecode(&entra)
        .env("KUBERNETES_EXEC_INFO", exec_info(false))
        .run();
    output.token();
    assert_eq!((entra.prompts(), output.stderr.lines().count()), (1, 1));
}

/// Azure/kubelogin#63: the refresh token was lost when a refresh returned no new one.
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
fn a_token_that_cannot_be_renewed_now_is_used_until_it_expires() {
    for login in [spn, devicecode] {
        let entra = FakeEntra::start_with(|rules| rules.token_lifetime = SHORT_LIFE);
        let kubelogin = login(&entra);
        let first = kubelogin.run().token();
        // Longer than the timeout, so it does not wait.
        let busy = Reply::json(503, &json!({})).header("Retry-After", "600");
        entra.next(Endpoint::Token, busy);
        let second = kubelogin.verbose().run();
        assert_eq!(second.token(), first);
        assert_eq!(second.notices().len(), 1, "{}", second.stderr);
        assert!(second.stderr.contains("Could not renew the token"));
        assert!(entra.prompts() <= 1);
    }
}

/// Azure/kubelogin#499: without a refresh token, a short-lived token cost two prompts.
#[test]
fn a_short_lived_token_without_a_refresh_token_costs_one_prompt() {
    let entra = FakeEntra::start_with(|rules| {
        rules.token_lifetime = SHORT_LIFE;
        rules.refresh_tokens = RefreshTokens::Never;
    });
    let kubelogin = devicecode(&entra);
    assert_eq!(kubelogin.run().token(), kubelogin.run().token());
    assert_eq!(entra.prompts(), 1);
}

/// Azure/kubelogin PR #86, #740: parallel runs corrupted the cache, and each one prompted.
#[test]
fn fifty_concurrent_calls_sign_in_once() {
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
fn fifty_concurrent_calls_refresh_once() {
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
fn calls_that_waited_for_a_failed_sign_in_get_its_error() {
    let entra = FakeEntra::start_with(|rules| rules.device_code.polls = vec![Poll::Pending]);
    let kubelogin = devicecode(&entra);
    let kubelogin = kubelogin.verbose();
    let mut running: Vec<Running> = (0..10).map(|_| kubelogin.spawn()).collect();
    for one in &mut running {
        one.shows("sign"); // "To sign in, ...", or "Waiting for another kubelogin that is signing in ..."
    }
    entra.change(|rules| rules.device_code.polls = vec![Poll::Decline]);
    let errors: Vec<String> = running.into_iter().map(|one| one.wait().error()).collect();
    assert!(errors.iter().all(|error| *error == errors[0]), "{errors:?}");
    assert_eq!(entra.prompts(), 1);
}

/// The waiting calls did not issue the expired code, and a killed process reports no result, so they start over.
#[test]
fn calls_that_waited_for_a_code_that_expired_or_a_process_that_died_ask_anew() {
    for dies in [false, true] {
        let entra = FakeEntra::start_with(|rules| rules.device_code.polls = vec![Poll::Pending]);
        let kubelogin = devicecode(&entra);
        let mut first = kubelogin.spawn();
        let first_prompt = first.shows("devicelogin");
        let mut waiting = kubelogin.spawn();
        assert_eq!(waiting.shows("devicelogin"), first_prompt);
        match dies {
            true => first.kill(),
            false => entra.expire_device_codes(),
        }
        let second_prompt = waiting.shows("devicelogin");
        assert_ne!(second_prompt, first_prompt);
        entra.change(|rules| rules.device_code.polls = vec![Poll::Approve]);
        waiting.wait().token();
        assert_eq!(entra.prompts(), 2);
        assert!(!first.wait().status.success());
        let names = names_in(&kubelogin.cache());
        assert!(
            names.iter().all(|name| !name.ends_with(".prompt")),
            "{names:?}"
        );
    }
}

/// AADSTS530036 is permanent, whatever the OAuth error. A new device code would be blocked as soon as it is entered.
#[cfg(unix)]
#[test]
fn after_device_codes_were_blocked_the_refresh_token_is_dropped_and_kubectl_s_retries_ask_for_no_code()
 {
    let entra = FakeEntra::start_with(|rules| rules.token_lifetime = 0);
    let kubelogin = devicecode(&entra).called_by_kubectl();
    kubelogin.run().token();
    let blocked = json!({
        "error": "access_denied", "error_codes": [530_036],
        "error_description": "AADSTS530036: Conditional Access policy blocks device code flow. Trace ID: t",
    });
    entra.next(Endpoint::Token, Reply::json(400, &blocked));
    for _ in 0..2 {
        let error = kubelogin.run().error();
        assert!(
            error.contains("AADSTS530036") && error.contains("convert-kubeconfig -l interactive"),
            "{error}"
        );
    }
    assert_eq!((entra.prompts(), entra.token_requests()), (1, 2));
    // A later command may try again; the old refresh token is gone.
    let mut shell = kubelogin.command_under("/bin/sh", &["-c", "\"$0\" \"$@\"; exit $?"]);
    kubelogin.start(&mut shell).wait().token();
    assert_eq!((entra.prompts(), entra.refreshes()), (2, 0));
}

/// kubectl runs a failing plugin up to five times, which would mean five prompts or five wrong passwords for one command.
/// Two runs are enough here, and the second must start within ten seconds.
#[test]
fn a_client_that_retries_gets_the_same_error() {
    let entra = FakeEntra::start_with(|rules| rules.device_code.polls = vec![Poll::Decline]);
    let kubelogin = devicecode(&entra).called_by_kubectl();
    let first = kubelogin.run().error();
    assert_eq!(kubelogin.run().error(), first);
    assert_eq!(entra.prompts(), 1);

    let wrong = spn(&entra)
        .env("AZURE_CLIENT_SECRET", "wrong")
        .called_by_kubectl();
    for _ in 0..2 {
        wrong.run().error();
    }
    assert_eq!(entra.token_requests(), 2, "one poll, one wrong secret");
}

#[test]
fn running_the_command_again_is_another_attempt() {
    let entra = FakeEntra::start_with(|rules| rules.device_code.polls = vec![Poll::Decline]);
    let kubelogin = devicecode(&entra);
    kubelogin.run().error();
    kubelogin.run().error();
    assert_eq!(entra.prompts(), 2);
}

/// Each kubectl is a new process; here, a shell plays each.
#[cfg(unix)]
#[test]
fn another_client_gets_its_own_attempt() {
    let entra = FakeEntra::start_with(|rules| rules.device_code.polls = vec![Poll::Decline]);
    let kubelogin = devicecode(&entra).called_by_kubectl();
    for _ in 0..2 {
        let mut shell = kubelogin.command_under("/bin/sh", &["-c", "\"$0\" \"$@\"; exit $?"]);
        kubelogin.start(&mut shell).wait().error();
    }
    assert_eq!(entra.prompts(), 2);
}

/// Azure/AKS#4232: after a change of groups, the cached token is outdated.
#[test]
fn a_forced_refresh_asks_nobody_and_its_token_is_the_next_one_s() {
    let entra = FakeEntra::start();
    let kubelogin = devicecode(&entra);
    let old = kubelogin.run().token();
    let new = kubelogin.clone().arg("--force-refresh").run().token();
    assert_ne!(new, old);
    assert_eq!((entra.prompts(), entra.refreshes()), (1, 1));
    assert_eq!(kubelogin.run().token(), new);
    let service = spn(&entra);
    let old = service.run().token();
    assert_ne!(service.arg("--force-refresh").run().token(), old);
}

/// It shows files, keys and locks, so that users who are prompted again can see why.
#[test]
fn at_verbosity_5_a_cached_call_tells_each_step() {
    let entra = FakeEntra::start();
    let kubelogin = spn(&entra).args(["-v", "5"]);
    let first = kubelogin.run().stderr;
    for step in [
        "lock: locked",
        "written, sealed with the key in kubelogin.key",
        "POST login.microsoftonline.com/",
        "Token: signed in, because",
    ] {
        assert!(first.contains(step), "{step}: {first}");
    }
    let second = kubelogin.run().stderr;
    for step in [
        ".token: opened with the key in kubelogin.key",
        "Token: from the cache; for",
    ] {
        assert!(second.contains(step), "{step}: {second}");
    }
}

/// Dev containers that mount the home folder, NFS, WSL next to Windows: each machine has a different key, here on disk.
#[test]
fn two_machines_with_one_home_sign_in_once_each() {
    let entra = FakeEntra::start();
    let kubelogin = devicecode(&entra);
    let key = kubelogin.cache().join("kubelogin.key");
    let mut keys = [None, None];
    let mut tokens = [None, None];
    for round in 0..3 {
        for machine in 0..2 {
            match &keys[machine] {
                Some(bytes) => fs::write(&key, bytes).unwrap(),
                None => drop(fs::remove_file(&key)),
            }
            let token = kubelogin.run().token();
            keys[machine] = Some(fs::read(&key).unwrap());
            assert_eq!(
                tokens[machine].get_or_insert(token.clone()),
                &token,
                "{round}"
            );
        }
    }
    assert_eq!((entra.prompts(), entra.logins()), (2, 2));
    let names = names_in(&kubelogin.cache());
    let stems: Vec<_> = names
        .iter()
        .filter(|name| name.ends_with(".token"))
        .map(|name| name.split('.').next().unwrap_or_default())
        .collect();
    assert_eq!(stems.len(), 2, "{names:?}");
    assert_eq!(stems[0], stems[1], "not one lock for both: {names:?}");
    assert!(names.contains(&format!("{}.lock", stems[0])), "{names:?}");
}

/// After three months, nothing in it is usable any more.
#[test]
fn an_entry_that_nobody_has_used_for_months_is_removed_by_the_next_sign_in() {
    let entra = FakeEntra::start();
    let kubelogin = spn(&entra);
    kubelogin.run().token();
    let entry = entry_in(&kubelogin.cache());
    let age = |days: u64| {
        let time =
            std::time::SystemTime::now() - std::time::Duration::from_secs(days * 24 * 60 * 60);
        let file = fs::File::options().write(true).open(&entry).unwrap();
        file.set_modified(time).unwrap();
    };
    let another_machine = || fs::remove_file(kubelogin.cache().join("kubelogin.key")).unwrap();
    for (days, is_kept) in [(89, true), (91, false)] {
        age(days);
        another_machine();
        kubelogin.run().token();
        assert_eq!(entry.exists(), is_kept, "{days}");
    }
}

#[test]
fn another_secret_does_not_get_the_old_secret_s_token() {
    let entra = FakeEntra::start();
    let kubelogin = spn(&entra);
    kubelogin.run().token();
    let error = kubelogin.env("AZURE_CLIENT_SECRET", "wrong").run().error();
    assert!(error.contains("7000215"), "{error}");
}
