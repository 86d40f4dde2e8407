//! What a run leaves behind when it is killed at any moment, with or without a chance to clean up.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::support::*;

const KILLS: u32 = 100;

/// Runs `kubelogin` three times, each after `prepare`, and returns the fastest run with its duration, so that a machine that
/// stalls for a moment does not stretch the time between the kills.
pub fn timed(kubelogin: &Kubelogin, prepare: impl Fn()) -> (Output, Duration) {
    let runs = [(); 3].map(|()| {
        prepare();
        let began = Instant::now();
        (kubelogin.run(), began.elapsed())
    });
    let fastest = runs.into_iter().min_by_key(|(_, whole)| *whole);
    fastest.expect("three runs")
}

/// Evenly spaced moments in a run that takes `whole`, so that each kill hits a different step.
fn moments(whole: Duration) -> impl Iterator<Item = Duration> {
    (0..KILLS).map(move |number| whole * number / KILLS)
}

/// Starts `kubelogin` and kills it after `moment`. True if it was still running.
fn dies_after(moment: Duration, kubelogin: &Kubelogin) -> bool {
    let mut running = kubelogin.spawn();
    std::thread::sleep(moment);
    running.kill();
    !running.wait().status.success()
}

fn has_entry(cache: &Path) -> bool {
    names_in(cache).iter().any(|name| name.ends_with(".token"))
}

/// A cache entry is complete or missing, so that only the interrupted sign-in is lost. The next run does not wait for the
/// dead process.
#[test]
fn a_killed_sign_in_costs_no_other() {
    let entra = FakeEntra::start();
    let kubelogin = spn(&entra);
    let cache = kubelogin.cache();
    let (_, whole) = timed(&kubelogin, || drop(fs::remove_dir_all(&cache)));
    let mut died_without_entry = 0;
    for moment in moments(whole) {
        fs::remove_dir_all(&cache).unwrap();
        let before = entra.logins();
        dies_after(moment, &kubelogin);
        let is_kept = has_entry(&cache);
        died_without_entry += u32::from(!is_kept);

        let next = kubelogin.run();
        let token = next.token();
        assert_eq!(next.stderr, "", "{moment:?}");
        let allowed = if is_kept { 1 } else { 2 };
        assert!(entra.logins() <= before + allowed, "{moment:?}");
        assert_eq!(kubelogin.run().token(), token, "{moment:?}");
    }
    assert!(died_without_entry > KILLS / 4, "{died_without_entry}");
}

/// The refresh token survives an interruption at any moment.
#[test]
fn a_killed_refresh_loses_no_refresh_token() {
    /// In seconds. A cached token is used only while it has five minutes left.
    const SHORT_LIFE: u64 = 240;
    let entra = FakeEntra::start_with(|rules| rules.token_lifetime = SHORT_LIFE);
    let kubelogin = devicecode(&entra);
    kubelogin.run().token();
    let (first, whole) = timed(&kubelogin, || ());
    let mut last = first.token();
    let mut died = 0;
    for (round, moment) in moments(whole).enumerate() {
        died += u32::from(dies_after(moment, &kubelogin));
        if round % 20 == 19 {
            let token = kubelogin.run().token();
            assert_ne!(token, last, "the token was not refreshed");
            last = token;
        }
    }
    assert!(died > KILLS / 4, "{died}");
    assert_eq!(entra.prompts(), 1, "the refresh token was lost");
    let left = names_in(&kubelogin.cache());
    assert!(left.iter().all(|name| !name.ends_with(".tmp")), "{left:?}");
}

/// KILLED_USERS is the number of users in the kubeconfig. More users make the write take longer.
#[test]
fn a_killed_conversion_leaves_the_old_file_or_the_new_one() {
    let users = std::env::var("KILLED_USERS").ok();
    let users = users.map_or(100, |users| {
        users.parse().expect("KILLED_USERS is not a number")
    });
    let room = TempDir::new();
    let old = legacy_kubeconfig(users);
    let path = room.file("config", &old);
    let kubelogin = Kubelogin::convert_kubeconfig("spn")
        .arg("--kubeconfig")
        .arg(&path);
    let (output, whole) = timed(&kubelogin, || fs::write(&path, &old).unwrap());
    assert!(output.status.success(), "{output:?}");
    let new = fs::read_to_string(&path).unwrap();
    let mut died = 0;
    for moment in moments(whole) {
        fs::write(&path, &old).unwrap();
        died += u32::from(dies_after(moment, &kubelogin));
        let text = fs::read_to_string(&path).unwrap();
        assert!(
            text == old || text == new,
            "neither old nor new after {moment:?}"
        );
        // A killed run leaves its lock for the user to remove, as kubectl does.
        let _ = fs::remove_file(room.path().join("config.lock"));
    }
    assert!(died > KILLS / 4, "{died}");
    assert!(kubelogin.run().status.success());
    assert_eq!(
        names_in(room.path()),
        ["config"],
        "the leftovers of a killed run are still there"
    );
}

/// Otherwise kubectl and every later conversion would wait for an abandoned lock.
#[cfg(unix)]
#[test]
fn a_conversion_that_a_signal_ends_leaves_nothing_behind() {
    use rustix::process::Signal;
    let room = TempDir::new();
    let old = legacy_kubeconfig(100);
    let path = room.file("config", &old);
    let kubelogin = Kubelogin::convert_kubeconfig("spn")
        .arg("--kubeconfig")
        .arg(&path);
    let (_, whole) = timed(&kubelogin, || fs::write(&path, &old).unwrap());
    let signals = [Signal::TERM, Signal::INT, Signal::HUP];
    let mut died = 0;
    for (moment, signal) in moments(whole).zip(signals.into_iter().cycle()) {
        fs::write(&path, &old).unwrap();
        let running = kubelogin.spawn();
        std::thread::sleep(moment);
        running.signal(signal);
        died += u32::from(!running.wait().status.success());
        assert_eq!(names_in(room.path()), ["config"], "{signal:?}, {moment:?}");
    }
    assert!(died > KILLS / 4, "{died}");
}

/// An existing kubeconfig is unchanged or has the whole cluster; a new one is missing or complete.
#[test]
fn a_killed_get_credentials_leaves_a_whole_kubeconfig() {
    let entra = FakeEntra::start();
    let _arm = FakeArm::start(&entra);
    let room = TempDir::new();
    let path = room.path().join("config");
    let kubelogin = get_credentials(&entra).args(PROD).arg("--file").arg(&path);
    let old = legacy_kubeconfig(100);
    kubelogin.run();
    let new = fs::read_to_string(&path).unwrap();
    let (output, whole) = timed(&kubelogin, || fs::write(&path, &old).unwrap());
    assert!(output.status.success(), "{output:?}");
    let merged = fs::read_to_string(&path).unwrap();
    let mut died = 0;
    for (number, moment) in moments(whole).enumerate() {
        let is_new = number % 2 == 0;
        match is_new {
            true => fs::remove_file(&path).unwrap_or_default(),
            false => fs::write(&path, &old).unwrap(),
        }
        died += u32::from(dies_after(moment, &kubelogin));
        let text = fs::read_to_string(&path).ok();
        let allowed = match is_new {
            true => [None, Some(&new)],
            false => [Some(&old), Some(&merged)],
        };
        assert!(
            allowed.contains(&text.as_ref()),
            "neither old nor new after {moment:?}: {text:?}"
        );
        // A killed run leaves its lock for the user to remove, as kubectl does.
        let _ = fs::remove_file(room.path().join("config.lock"));
    }
    assert!(died > KILLS / 4, "{died}");
    assert!(kubelogin.run().status.success());
    assert_eq!(names_in(room.path()), ["config"]);
}
