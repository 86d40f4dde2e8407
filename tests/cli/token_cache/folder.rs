//! Where tokens are stored: what is written there, who may read it, and what can go wrong.

use super::*;

/// Azure/kubelogin#108, #121: tokens were written into the working directory. Every run checks for that.
/// On Windows, an account has a home folder whatever the variables say.
#[cfg(unix)]
#[test]
fn without_a_home_folder_nothing_is_written() {
    let entra = FakeEntra::start();
    let kubelogin = spn(&entra).env_remove("HOME");
    let output = kubelogin.clone().verbose().run();
    output.token();
    assert_eq!(output.notices().len(), 1, "{}", output.stderr);
    assert_eq!(names_in(&kubelogin.home()), [""; 0]);
}

#[test]
fn the_flag_names_the_cache_folder_else_the_variable() {
    let entra = FakeEntra::start();
    let place = TempDir::new();
    let (flag, variable) = (place.path().join("flag"), place.path().join("variable"));
    for name in ["--cache-dir", "--token-cache-dir"] {
        let kubelogin = spn(&entra).env("KUBECACHEDIR", &variable);
        kubelogin.arg(name).arg(&flag).run().token();
        entry_in(&flag);
        assert!(!variable.exists());
        fs::remove_dir_all(&flag).unwrap();
    }
    let kubelogin = spn(&entra)
        .env("KUBECACHEDIR", &variable)
        .args([
            "--disable-environment-override",
            "--token-cache-storage",
            "disk",
        ])
        .args(["--client-secret", CLIENT_SECRET]);
    kubelogin.run().token();
    entry_in(&variable);
    assert!(!kubelogin.home().join(".kube").exists());
}

#[test]
fn a_tilde_is_the_home_folder_and_a_relative_path_is_in_it() {
    let entra = FakeEntra::start();
    let kubelogin = spn(&entra).args(["--cache-dir", "~/.kube/mine"]);
    kubelogin.run().token();
    entry_in(&kubelogin.home().join(".kube/mine"));
    let kubelogin = spn(&entra).args(["--cache-dir", ".kube/relative"]);
    kubelogin.run().token();
    entry_in(&kubelogin.home().join(".kube/relative"));
    let kubelogin = spn(&entra).env("KUBECACHEDIR", "relative");
    kubelogin.run().token();
    entry_in(&kubelogin.cache());
}

/// Azure/kubelogin#711: the cache was used even when it was turned off.
#[test]
fn storage_none_leaves_the_disk_alone() {
    let entra = FakeEntra::start();
    let kubelogin = spn(&entra).storage("none");
    for _ in 0..2 {
        let output = kubelogin.run();
        output.token();
        assert_eq!(output.stderr, "");
    }
    assert_eq!(names_in(&kubelogin.home()), [""; 0]);
    assert_eq!(entra.logins(), 2);
}

#[test]
fn an_unknown_storage_is_named() {
    let entra = FakeEntra::start();
    let error = spn(&entra).storage("cloud").run().error();
    assert!(
        error.contains("cloud") && error.contains("keyring"),
        "{error}"
    );
}

/// Azure/kubelogin#722, #743: a damaged or missing item was a fatal error.
#[test]
fn a_lost_or_damaged_key_is_a_miss_and_is_replaced() {
    let entra = FakeEntra::start();
    let kubelogin = spn(&entra);
    kubelogin.run().token();
    let key = kubelogin.cache().join("kubelogin.key");
    let damages: [&dyn Fn(); 3] = [
        &|| fs::remove_file(&key).unwrap(),
        &|| fs::write(&key, "short").unwrap(),
        &|| fs::write(&key, [7; 32]).unwrap(),
    ];
    for (number, damage) in damages.iter().enumerate() {
        damage();
        let output = kubelogin.run();
        assert_eq!(kubelogin.run().token(), output.token());
        assert_eq!(output.stderr, "");
        assert_eq!(entra.logins(), number + 2);
    }
}

#[test]
fn anything_else_in_place_of_an_entry_is_a_miss() {
    let entra = FakeEntra::start();
    let kubelogin = spn(&entra).args(["--timeout", "20s"]);
    kubelogin.run().token();
    let entry = entry_in(&kubelogin.cache());
    let good = fs::read(&entry).unwrap();
    let other = entry.with_extension("other");
    fs::write(&other, &good).unwrap();
    let mut misses = 1;
    let mut check = |what: &str, put: &dyn Fn()| {
        let _ = fs::remove_file(&entry);
        put();
        run_bounded(&kubelogin).token();
        misses += 1;
        assert_eq!(entra.logins(), misses, "{what}");
        let again = kubelogin.run();
        assert_eq!(again.stderr, "", "{what}");
        assert_eq!(entra.logins(), misses, "{what} was not repaired");
    };
    check("nothing", &|| fs::write(&entry, "").unwrap());
    check("garbage", &|| fs::write(&entry, [b'x'; 5000]).unwrap());
    check("half", &|| {
        fs::write(&entry, &good[..good.len() / 2]).unwrap()
    });
    check("a huge file", &|| {
        let file = fs::File::create(&entry).unwrap();
        file.set_len(1 << 40).unwrap();
    });
    check("a newer version", &|| {
        let newer = [&[2], &good[1..]].concat();
        fs::write(&entry, newer).unwrap();
    });
    #[cfg(unix)]
    {
        use std::os::unix::fs::symlink;
        check("a link", &|| symlink(&other, &entry).unwrap());
        check("a dangling link", &|| symlink("/nowhere", &entry).unwrap());
        check("a fifo", &|| make_pipe(&entry));
    }
}

#[test]
fn a_folder_in_place_of_an_entry_or_a_lock_costs_a_notice_but_no_token() {
    let entra = FakeEntra::start();
    for extension in ["token", "lock"] {
        let kubelogin = spn(&entra);
        kubelogin.run().token();
        let path = entry_in(&kubelogin.cache());
        fs::remove_file(&path).unwrap();
        let path = match extension {
            "lock" => lock_of(&path),
            _ => path,
        };
        let _ = fs::remove_file(&path);
        fs::create_dir(&path).unwrap();
        let output = kubelogin.verbose().run();
        output.token();
        assert_eq!(output.notices().len(), 1, "{}", output.stderr);
    }
}

#[test]
fn a_file_in_place_of_the_folder_costs_a_notice_but_no_token() {
    let entra = FakeEntra::start();
    let kubelogin = spn(&entra);
    fs::create_dir_all(kubelogin.home().join(".kube/cache")).unwrap();
    fs::write(kubelogin.cache(), "").unwrap();
    let output = kubelogin.verbose().run();
    output.token();
    assert_eq!(output.notices().len(), 1, "{}", output.stderr);
}

/// The lock for an entry. Entries with different sealing keys share it.
fn lock_of(entry: &Path) -> PathBuf {
    let name = entry.file_name().unwrap().to_str().unwrap();
    let login = name.split('.').next().unwrap();
    entry.with_file_name(format!("{login}.lock"))
}

/// Runs the program, and kills it if it hangs.
fn run_bounded(kubelogin: &Kubelogin) -> Output {
    #[cfg(unix)]
    return process::run_after(kubelogin, || {
        // SAFETY: alarm has no preconditions.
        unsafe { libc::alarm(30) };
        Ok(())
    });
    #[cfg(not(unix))]
    kubelogin.run()
}

/// Who may read and write what.
#[cfg(unix)]
mod unix {
    use std::os::unix::fs::{MetadataExt, PermissionsExt};

    use super::process::{checked, run_after, run_without_rights};
    use super::*;

    #[test]
    fn files_are_private_whatever_the_umask() {
        let entra = FakeEntra::start();
        for umask in [0, 0o022, 0o777] {
            let kubelogin = spn(&entra);
            let first = run_after(&kubelogin, move || {
                // SAFETY: umask has no preconditions.
                unsafe { libc::umask(umask) };
                Ok(())
            });
            let folder = kubelogin.cache();
            let mode = |path: &Path| fs::metadata(path).unwrap().mode() & 0o7777;
            for parent in folder.ancestors().take(3) {
                assert_eq!(mode(parent), 0o700, "{umask:o} {parent:?}");
            }
            for name in names_in(&folder) {
                assert_eq!(mode(&folder.join(&name)), 0o600, "{umask:o} {name}");
            }
            assert_eq!(kubelogin.run().token(), first.token());
        }
    }

    /// Otherwise anyone who can create links to the user's files could make us read them or change their permissions.
    #[test]
    fn a_file_with_a_hard_link_elsewhere_is_not_used_and_not_changed() {
        let entra = FakeEntra::start();
        let place = TempDir::new();
        for kind in ["lock", "key", "token"] {
            let kubelogin = spn(&entra);
            kubelogin.run().token();
            let entry = entry_in(&kubelogin.cache());
            let (path, link) = match kind {
                "lock" => (lock_of(&entry), place.path().join(kind)),
                "key" => (
                    kubelogin.cache().join("kubelogin.key"),
                    place.path().join(kind),
                ),
                _ => (entry.clone(), place.path().join(kind)),
            };
            if kind == "lock" {
                fs::remove_file(&entry).unwrap(); // or it takes no lock
                fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
            }
            fs::hard_link(&path, &link).unwrap();
            let before = (
                fs::read(&link).unwrap(),
                fs::metadata(&link).unwrap().mode(),
            );
            let logins = entra.logins();
            let output = kubelogin.verbose().run();
            output.token();
            let after = (
                fs::read(&link).unwrap(),
                fs::metadata(&link).unwrap().mode(),
            );
            assert_eq!(after, before, "{kind}");
            assert_eq!(entra.logins(), logins + 1, "{kind}");
            if kind == "lock" {
                assert!(output.stderr.contains("Cannot cache tokens"), "{output:?}");
            }
        }
    }

    #[test]
    fn nothing_is_kept_in_a_folder_that_others_can_write() {
        let entra = FakeEntra::start();
        for mode in [0o777, 0o1777, 0o702] {
            let place = TempDir::new();
            fs::set_permissions(place.path(), fs::Permissions::from_mode(mode)).unwrap();
            let kubelogin = spn(&entra).arg("--cache-dir").arg(place.path()).verbose();
            let output = kubelogin.run();
            output.token();
            assert!(
                output.stderr.contains("other users can write"),
                "{output:?}"
            );
            assert_eq!(names_in(place.path()), [""; 0], "{mode:o}");
        }
    }

    /// Nor can the user's other processes read them from memory.
    #[cfg(target_os = "linux")]
    #[test]
    fn a_crash_leaves_no_core_dump_with_secrets() {
        let entra = FakeEntra::start_with(|rules| rules.device_code.polls = vec![Poll::Pending]);
        let mut running = super::process::spawn_after(&devicecode(&entra), || {
            let mut limit = libc::rlimit {
                rlim_cur: 0,
                rlim_max: 0,
            };
            // SAFETY: `limit` outlives the calls.
            unsafe {
                checked(libc::getrlimit(libc::RLIMIT_CORE, &raw mut limit))?;
                limit.rlim_cur = limit.rlim_max;
                checked(libc::setrlimit(libc::RLIMIT_CORE, &raw const limit))?;
            }
            super::process::drop_rights()
        });
        running.shows("sign in");
        let limits = fs::read_to_string(format!("/proc/{}/limits", running.id())).unwrap();
        let core = limits
            .lines()
            .find(|line| line.contains("core file"))
            .unwrap();
        let soft = core.split_whitespace().nth(4);
        assert_eq!(soft, Some("0"), "{core}");
        // If the user may not read it, it belongs to root (proc_pid(5)).
        let memory = fs::metadata(format!("/proc/{}/mem", running.id())).unwrap();
        assert_eq!(memory.uid(), 0);
    }

    #[test]
    fn a_key_that_others_can_read_is_not_used() {
        let entra = FakeEntra::start();
        let kubelogin = spn(&entra);
        kubelogin.run().token();
        let key = kubelogin.cache().join("kubelogin.key");
        let old = fs::read(&key).unwrap();
        fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).unwrap();
        kubelogin.run().token();
        assert_ne!(fs::read(&key).unwrap(), old);
    }

    #[test]
    fn a_full_disk_costs_a_notice_but_no_token() {
        let entra = FakeEntra::start();
        let kubelogin = spn(&entra).verbose();
        let output = run_after(&kubelogin, || {
            let limit = libc::rlimit {
                rlim_cur: 100,
                rlim_max: 100,
            };
            // SAFETY: `limit` outlives the call.
            checked(unsafe { libc::setrlimit(libc::RLIMIT_FSIZE, &raw const limit) })
        });
        output.token();
        assert_eq!(output.notices().len(), 1, "{}", output.stderr);
        let left = names_in(&kubelogin.cache());
        let left: Vec<_> = left
            .iter()
            .filter(|name| name.ends_with(".token") || name.ends_with(".tmp"))
            .collect();
        assert_eq!(left, [""; 0]);
    }

    #[test]
    fn a_read_only_folder_costs_a_notice_but_no_token() {
        let entra = FakeEntra::start();
        let place = TempDir::new();
        fs::set_permissions(place.path(), fs::Permissions::from_mode(0o555)).unwrap();
        let kubelogin = spn(&entra).arg("--cache-dir").arg(place.path());
        let output = run_without_rights(&kubelogin.verbose());
        output.token();
        assert_eq!(output.notices().len(), 1, "{}", output.stderr);
        assert_eq!(names_in(place.path()), [""; 0]);
        fs::set_permissions(place.path(), fs::Permissions::from_mode(0o755)).unwrap();
    }

    #[test]
    fn nothing_is_cached_in_a_folder_of_another_user() {
        let entra = FakeEntra::start();
        let kubelogin = spn(&entra).args(["--cache-dir", "/tmp"]); // world-writable, but owned by root
        let before = names_in(Path::new("/tmp"));
        let output = run_without_rights(&kubelogin.verbose());
        output.token();
        assert_eq!(output.notices().len(), 1, "{}", output.stderr);
        assert!(output.stderr.contains("another user"), "{}", output.stderr);
        let new = names_in(Path::new("/tmp"));
        let is_cache = |name: &&String| name.ends_with(".lock") || name.ends_with(".token");
        let new: Vec<_> = new
            .iter()
            .filter(|name| !before.contains(name))
            .filter(is_cache)
            .collect();
        assert_eq!(new, [""; 0]);
    }
}
