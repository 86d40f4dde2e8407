//! What a conversion leaves on disk when a signal interrupts it.

use std::fs;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::sudden_death::timed;
use crate::support::*;

/// A leftover lock would stop kubectl and every later conversion.
#[test]
fn a_signal_leaves_no_lock_and_no_draft() {
    for signal in [Signal::TERM, Signal::INT, Signal::HUP] {
        let room = TempDir::new();
        let one = room.file("a", legacy_kubeconfig(1));
        let two = room.file("b", legacy_kubeconfig(2));
        // The first file's lock is held while waiting for the second's.
        let held = room.file("b.lock", "");
        let list = std::env::join_paths([&one, &two]).expect("a list");
        let running = Kubelogin::convert_kubeconfig("spn")
            .env("KUBECONFIG", &list)
            .spawn();
        let began = Instant::now();
        while !room.path().join("a.lock").exists() {
            assert!(began.elapsed() < Duration::from_secs(60), "it took no lock");
            std::thread::yield_now();
        }
        running.signal(signal);
        let output = running.wait();
        assert!(!output.status.success(), "{output:?}");
        assert_eq!(names_in(room.path()), ["a", "b", "b.lock"], "{signal:?}");
        fs::remove_file(held).expect("the other program's lock");
        let again = Kubelogin::convert_kubeconfig("spn")
            .env("KUBECONFIG", &list)
            .run();
        assert!(again.status.success(), "{again:?}");
    }
}

/// A file name too long for a suffix simulates a folder in which no file can be created.
#[test]
fn a_killed_write_in_place_leaves_the_old_text_and_the_next_run_says_where() {
    const KILLS: u32 = 60;
    let room = TempDir::new();
    let temporary = room.folder("tmp");
    let folder = room.folder("kube");
    let path = folder.join("c".repeat(255));
    let old = legacy_kubeconfig(300);
    let convert = || {
        Kubelogin::convert_kubeconfig("spn")
            .env("TMPDIR", &temporary)
            .arg("--kubeconfig")
            .arg(&path)
    };
    let renew = || fs::write(&path, &old).expect("a kubeconfig");
    let (output, whole) = timed(&convert(), renew);
    assert!(output.status.success(), "{output:?}");
    let new = fs::read_to_string(&path).expect("read");
    assert!(new.contains("- spn"));
    assert_eq!(names_in(&temporary).len() + names_in(&folder).len(), 1);
    for number in 0..KILLS {
        renew();
        let mut running = convert().spawn();
        std::thread::sleep(whole * number / KILLS);
        running.kill();
        running.wait();
        let text = fs::read_to_string(&path).unwrap_or_default();
        let kept = names_in(&temporary);
        let Some(kept) = kept.first().map(|name| temporary.join(name)) else {
            assert!(
                text == old || text == new,
                "the file has neither the old nor the new text"
            );
            continue;
        };
        if fs::read_to_string(&kept).expect("read") != old {
            assert_eq!(text, old, "it was killed before it started writing");
        }
        let error = convert().run().error();
        assert!(error.contains(&kept.display().to_string()), "{error}");
        fs::remove_file(kept).expect("the old text");
    }
}

/// The file may be incomplete even if it parses.
#[test]
fn what_a_killed_write_in_place_left_is_named_even_if_there_is_nothing_to_do() {
    use std::os::unix::fs::PermissionsExt;
    let room = TempDir::new();
    let path = room.file("config", legacy_kubeconfig(1));
    let convert = Kubelogin::convert_kubeconfig("spn")
        .arg("--kubeconfig")
        .arg(&path);
    assert!(convert.run().status.success());
    let old = room.file(".config.kubelogin-old", "the old text");
    fs::set_permissions(&old, fs::Permissions::from_mode(0o600)).expect("a mode");
    let entra = FakeEntra::start();
    let get_credentials = get_credentials(&entra).args(PROD).arg("-f").arg(&path);
    for kubelogin in [convert, get_credentials] {
        let error = kubelogin.run().error();
        assert!(error.contains(&format!("cp {} ", old.display())), "{error}");
    }
    assert_eq!(entra.requests().len(), 0, "before any sign-in");
}
