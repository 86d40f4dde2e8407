//! The token cache, from outside: who is asked again, what is left on disk, and that nothing of it stands in the way.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::json;

use crate::get_token::{devicecode, spn};
use crate::support::*;

const EXEC_INFO: &str = r#"{"kind":"ExecCredential","apiVersion":"client.authentication.k8s.io/v1beta1","spec":{"interactive":true}}"#;
/// Seconds: less than the five minutes that a token in the cache must have left.
const SHORT_LIFE: u64 = 240;

pub fn cache_of(kubelogin: &Kubelogin) -> PathBuf {
    kubelogin.home().join(".kube/cache/kubelogin")
}

/// The names in a folder, sorted.
fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(folder)
        .map(|files| {
            files
                .map(|file| file.unwrap().file_name().into_string().unwrap())
                .collect()
        })
        .unwrap_or_default();
    names.sort();
    names
}

/// The one entry in a cache folder.
fn entry_in(folder: &Path) -> PathBuf {
    let mut entries = names(folder);
    entries.retain(|name| name.ends_with(".token"));
    assert_eq!(entries.len(), 1, "{entries:?}");
    folder.join(&entries[0])
}

#[test]
fn a_second_run_is_served_without_the_server() {
    for login in [spn, devicecode] {
        let entra = FakeEntra::start();
        let kubelogin = login(&entra);
        let first = kubelogin.run();
        let requests = entra.requests().len();
        let second = kubelogin.run();
        assert_eq!(second.token(), first.token());
        assert_eq!(second.stderr, "");
        assert_eq!(entra.requests().len(), requests);
    }
}

#[test]
fn a_client_that_is_not_interactive_is_served_from_the_cache() {
    let entra = FakeEntra::start();
    let kubelogin = devicecode(&entra);
    let first = kubelogin.run().token();
    let info = EXEC_INFO.replace("true", "false");
    let second = kubelogin.env("KUBERNETES_EXEC_INFO", info).run();
    assert_eq!(second.token(), first);
    assert_eq!(entra.prompts(), 1);
}

/// Azure/kubelogin#150, lens#6586: Lens and kubectl before 1.22 say so, and people sit before them all the same.
#[test]
fn a_client_that_forbids_prompts_gets_the_prompt_all_the_same() {
    let entra = FakeEntra::start();
    let info = EXEC_INFO.replace("true", "false");
    let output = devicecode(&entra).env("KUBERNETES_EXEC_INFO", info).run();
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
        assert!(second.stderr.contains("could not be renewed"));
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
    let kubelogin = devicecode(&entra).env("KUBERNETES_EXEC_INFO", EXEC_INFO);
    let errors: Vec<String> = (0..5).map(|_| kubelogin.run().error()).collect();
    assert!(errors.iter().all(|error| *error == errors[0]), "{errors:?}");
    assert_eq!(entra.prompts(), 1);

    let wrong = spn(&entra)
        .env("AZURE_CLIENT_SECRET", "wrong")
        .env("KUBERNETES_EXEC_INFO", EXEC_INFO);
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
    let kubelogin = devicecode(&entra).env("KUBERNETES_EXEC_INFO", EXEC_INFO);
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

/// Azure/kubelogin#108, #121: tokens were written into the working directory. The runner checks that nothing is.
/// On Windows an account has a home whatever the variables say.
#[cfg(unix)]
#[test]
fn without_a_home_nothing_is_written_anywhere() {
    let entra = FakeEntra::start();
    let kubelogin = spn(&entra).env_remove("HOME");
    let output = kubelogin.run();
    output.token();
    assert_eq!(output.stderr.lines().count(), 1, "{}", output.stderr);
    assert_eq!(names(&kubelogin.home()), [""; 0]);
}

#[test]
fn the_cache_is_where_the_flag_says_else_where_the_variable_says() {
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
fn a_tilde_is_the_home_folder_and_only_a_typed_path_is_relative() {
    let entra = FakeEntra::start();
    let kubelogin = spn(&entra).args(["--cache-dir", "~/.kube/mine"]);
    kubelogin.run().token();
    entry_in(&kubelogin.home().join(".kube/mine"));
    let kubelogin = spn(&entra).env("KUBECACHEDIR", "relative");
    kubelogin.run().token();
    entry_in(&cache_of(&kubelogin));
}

/// Azure/kubelogin#711: a cache was touched by those who did not want it.
#[test]
fn without_storage_no_disk_is_touched() {
    let entra = FakeEntra::start();
    let kubelogin = spn(&entra).env("KUBELOGIN_TOKEN_CACHE_STORAGE", "none");
    for _ in 0..2 {
        let output = kubelogin.run();
        output.token();
        assert_eq!(output.stderr, "");
    }
    assert_eq!(names(&kubelogin.home()), [""; 0]);
    assert_eq!(entra.logins(), 2);
}

#[test]
fn an_unknown_storage_is_refused_by_name() {
    let entra = FakeEntra::start();
    let error = spn(&entra)
        .env("KUBELOGIN_TOKEN_CACHE_STORAGE", "cloud")
        .run()
        .error();
    assert!(
        error.contains("cloud") && error.contains("keyring"),
        "{error}"
    );
}

/// Azure/kubelogin#722, #743: an item that was damaged or gone was fatal.
#[test]
fn a_key_that_is_gone_or_damaged_is_a_miss_and_is_made_anew() {
    let entra = FakeEntra::start();
    let kubelogin = spn(&entra);
    kubelogin.run().token();
    let key = cache_of(&kubelogin).join("kubelogin.key");
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
fn whatever_stands_in_place_of_an_entry_is_a_miss() {
    let entra = FakeEntra::start();
    let kubelogin = spn(&entra).args(["--timeout", "20s"]);
    kubelogin.run().token();
    let entry = entry_in(&cache_of(&kubelogin));
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
        assert_eq!(entra.logins(), misses, "{what} is not healed");
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
        check("a fifo", &|| make_fifo(&entry));
    }
}

#[test]
fn a_folder_in_place_of_an_entry_or_a_lock_costs_a_line_and_no_token() {
    let entra = FakeEntra::start();
    for extension in ["token", "lock"] {
        let kubelogin = spn(&entra);
        kubelogin.run().token();
        let path = entry_in(&cache_of(&kubelogin));
        fs::remove_file(&path).unwrap();
        let path = path.with_extension(extension);
        let _ = fs::remove_file(&path);
        fs::create_dir(&path).unwrap();
        let output = kubelogin.run();
        output.token();
        assert_eq!(output.stderr.lines().count(), 1, "{}", output.stderr);
    }
}

#[test]
fn a_file_in_place_of_the_folder_costs_a_line_and_no_token() {
    let entra = FakeEntra::start();
    let kubelogin = spn(&entra);
    fs::create_dir_all(kubelogin.home().join(".kube/cache")).unwrap();
    fs::write(cache_of(&kubelogin), "").unwrap();
    let output = kubelogin.run();
    output.token();
    assert_eq!(output.stderr.lines().count(), 1, "{}", output.stderr);
}

#[test]
fn logging_out_removes_what_is_ours_and_nothing_else() {
    let entra = FakeEntra::start();
    let place = TempDir::new();
    let folder = place.path().join("cache");
    let kubelogin = spn(&entra).env("KUBECACHEDIR", &folder);
    let log_out = |command: &str| {
        let kubelogin = Kubelogin::new().arg(command).env("KUBECACHEDIR", &folder);
        let output = kubelogin.run();
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        assert_eq!(output.stdout, "");
        output.stderr
    };
    assert_eq!(log_out("remove-cache-dir"), "", "missing is fine");

    kubelogin.run().token();
    assert_eq!(log_out("remove-cache-dir"), "");
    assert!(!folder.exists());

    kubelogin.run().token();
    fs::create_dir(folder.join("discovery")).unwrap();
    fs::write(folder.join("auth.json"), "{}").unwrap();
    fs::write(folder.join("kubelogin-notes.token"), "").unwrap();
    assert!(log_out("remove-tokens").contains("deprecated"));
    let rest = ["auth.json", "discovery", "kubelogin-notes.token"];
    assert_eq!(names(&folder), rest);

    kubelogin.run().token();
    assert_eq!(entra.logins(), 3);
}

/// Azure/kubelogin#760: what could not be removed was not said.
#[test]
fn logging_out_says_what_could_not_be_removed() {
    let place = TempDir::new();
    let file = place.file("cache", "");
    let output = Kubelogin::new()
        .arg("remove-cache-dir")
        .arg("--cache-dir")
        .arg(&file)
        .run();
    assert!(output.error().contains("could not be removed"));
    assert!(file.exists());
}

/// Runs the program, and ends it if it waits for something that never comes.
fn run_bounded(kubelogin: &Kubelogin) -> Output {
    #[cfg(unix)]
    return unix::run_after(kubelogin, || {
        // SAFETY: alarm has no preconditions.
        unsafe { libc::alarm(30) };
        Ok(())
    });
    #[cfg(not(unix))]
    kubelogin.run()
}

#[cfg(unix)]
fn make_fifo(path: &Path) {
    let path = std::ffi::CString::new(path.to_str().unwrap()).unwrap();
    // SAFETY: `path` is a C string that outlives the call.
    assert_eq!(unsafe { libc::mkfifo(path.as_ptr(), 0o600) }, 0);
}

/// What needs another kind of process than the one that tests run in.
#[cfg(unix)]
mod unix {
    use std::io;
    use std::os::unix::fs::{MetadataExt, PermissionsExt};
    use std::os::unix::process::CommandExt;

    use super::*;

    /// Runs the program after `prepare` changed its process.
    pub fn run_after(
        kubelogin: &Kubelogin,
        prepare: impl FnMut() -> io::Result<()> + Send + Sync + 'static,
    ) -> Output {
        let mut command = kubelogin.command();
        // SAFETY: each `prepare` below makes system calls only.
        unsafe { command.pre_exec(prepare) };
        kubelogin.start(&mut command).wait()
    }

    fn checked(result: libc::c_int) -> io::Result<()> {
        match result {
            -1 => Err(io::Error::last_os_error()),
            _ => Ok(()),
        }
    }

    #[test]
    fn files_are_for_the_person_alone_whatever_the_umask() {
        let entra = FakeEntra::start();
        for umask in [0, 0o022, 0o777] {
            let kubelogin = spn(&entra);
            let first = run_after(&kubelogin, move || {
                // SAFETY: umask has no preconditions.
                unsafe { libc::umask(umask) };
                Ok(())
            });
            let folder = cache_of(&kubelogin);
            let mode = |path: &Path| fs::metadata(path).unwrap().mode() & 0o7777;
            for parent in folder.ancestors().take(3) {
                assert_eq!(mode(parent), 0o700, "{umask:o} {parent:?}");
            }
            for name in names(&folder) {
                assert_eq!(mode(&folder.join(&name)), 0o600, "{umask:o} {name}");
            }
            assert_eq!(kubelogin.run().token(), first.token());
        }
    }

    #[test]
    fn a_key_that_others_can_read_is_not_used() {
        let entra = FakeEntra::start();
        let kubelogin = spn(&entra);
        kubelogin.run().token();
        let key = cache_of(&kubelogin).join("kubelogin.key");
        let old = fs::read(&key).unwrap();
        fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).unwrap();
        kubelogin.run().token();
        assert_ne!(fs::read(&key).unwrap(), old);
    }

    #[test]
    fn a_full_disk_costs_a_line_and_no_token() {
        let entra = FakeEntra::start();
        let kubelogin = spn(&entra);
        let output = run_after(&kubelogin, || {
            let limit = libc::rlimit {
                rlim_cur: 100,
                rlim_max: 100,
            };
            // SAFETY: `limit` outlives the call.
            checked(unsafe { libc::setrlimit(libc::RLIMIT_FSIZE, &raw const limit) })
        });
        output.token();
        assert_eq!(output.stderr.lines().count(), 1, "{}", output.stderr);
        let left = names(&cache_of(&kubelogin));
        let left: Vec<_> = left
            .iter()
            .filter(|name| name.ends_with(".token") || name.ends_with(".tmp"))
            .collect();
        assert_eq!(left, [""; 0]);
    }

    const NOBODY: libc::uid_t = 65534;

    /// As a user without rights, who is made one if the tests run as root.
    fn run_without_rights(kubelogin: &Kubelogin) -> Output {
        run_after(kubelogin, || {
            // SAFETY: none of these has preconditions.
            unsafe {
                match libc::geteuid() {
                    0 => checked(libc::setgid(NOBODY)).and(checked(libc::setuid(NOBODY))),
                    _ => Ok(()),
                }
            }
        })
    }

    #[test]
    fn a_folder_that_cannot_be_written_costs_a_line_and_no_token() {
        let entra = FakeEntra::start();
        let place = TempDir::new();
        fs::set_permissions(place.path(), fs::Permissions::from_mode(0o555)).unwrap();
        let kubelogin = spn(&entra).arg("--cache-dir").arg(place.path());
        let output = run_without_rights(&kubelogin);
        output.token();
        assert_eq!(output.stderr.lines().count(), 1, "{}", output.stderr);
        assert_eq!(names(place.path()), [""; 0]);
        fs::set_permissions(place.path(), fs::Permissions::from_mode(0o755)).unwrap();
    }

    /// Azure/kubelogin#760.
    #[test]
    fn logging_out_of_a_folder_that_cannot_be_written_is_an_error() {
        let entra = FakeEntra::start();
        let place = TempDir::new();
        // SAFETY: it has no preconditions.
        if unsafe { libc::geteuid() } == 0 {
            std::os::unix::fs::chown(place.path(), Some(NOBODY), Some(NOBODY)).unwrap();
        }
        let kubelogin = spn(&entra).arg("--cache-dir").arg(place.path());
        run_without_rights(&kubelogin).token();
        let before = names(place.path());
        assert!(!before.is_empty());
        fs::set_permissions(place.path(), fs::Permissions::from_mode(0o555)).unwrap();
        let log_out = Kubelogin::new().args(["remove-cache-dir", "--cache-dir"]);
        let error = run_without_rights(&log_out.arg(place.path())).error();
        assert!(error.contains("could not be removed"), "{error}");
        assert_eq!(names(place.path()), before);
        fs::set_permissions(place.path(), fs::Permissions::from_mode(0o755)).unwrap();
    }

    /// Whoever runs the tests as root sees a stranger log out here, everybody else themselves.
    #[test]
    fn logging_out_leaves_the_folder_of_another_user_alone() {
        let entra = FakeEntra::start();
        let place = TempDir::new();
        let kubelogin = spn(&entra).arg("--cache-dir").arg(place.path());
        kubelogin.run().token();
        // Everybody may remove files here: only the owner counts.
        fs::set_permissions(place.path(), fs::Permissions::from_mode(0o777)).unwrap();
        let before = names(place.path());
        let log_out = Kubelogin::new().arg("remove-cache-dir");
        let output = run_without_rights(&log_out.arg("--cache-dir").arg(place.path()));
        // SAFETY: it has no preconditions.
        if unsafe { libc::geteuid() } == 0 {
            assert!(output.error().contains("another user"), "{output:?}");
            assert_eq!(names(place.path()), before);
        } else {
            assert_eq!(output.status.code(), Some(0), "{output:?}");
            assert!(!place.path().exists());
        }
    }

    #[test]
    fn nothing_is_kept_in_a_folder_that_belongs_to_another_user() {
        let entra = FakeEntra::start();
        let kubelogin = spn(&entra).args(["--cache-dir", "/tmp"]); // everybody may write, but it is root's
        let before = names(Path::new("/tmp"));
        let output = run_without_rights(&kubelogin);
        output.token();
        assert_eq!(output.stderr.lines().count(), 1, "{}", output.stderr);
        assert!(output.stderr.contains("another user"), "{}", output.stderr);
        let new = names(Path::new("/tmp"));
        let is_cache = |name: &&String| name.ends_with(".lock") || name.ends_with(".token");
        let new: Vec<_> = new
            .iter()
            .filter(|name| !before.contains(name))
            .filter(is_cache)
            .collect();
        assert_eq!(new, [""; 0]);
    }
}

/// The kernel's keyring, real and refused.
#[cfg(target_os = "linux")]
mod keyring {
    use std::io;
    use std::os::unix::process::CommandExt;

    use super::*;

    fn keys_of(folder: &Path) -> usize {
        let keys = fs::read_to_string("/proc/keys").unwrap();
        let folder = folder.to_str().unwrap();
        let flags = |key: &str| key.split_whitespace().nth(1).unwrap_or_default().to_owned();
        keys.lines()
            .filter(|key| key.contains(folder) && !flags(key).contains('i')) // those are on their way out
            .count()
    }

    /// The system calls of the kernel's keyring.
    const KEYRING: &[libc::c_long] = &[libc::SYS_add_key, libc::SYS_keyctl, libc::SYS_request_key];

    /// Runs it with these system calls answered by `action`, as Docker's default seccomp profile does with many.
    fn run_without(calls: &[libc::c_long], action: u32, kubelogin: &Kubelogin) -> Output {
        let mut filter = filter(calls, action);
        let mut command = kubelogin.command();
        // SAFETY: the filter is made before, and setting it takes two system calls.
        unsafe { command.pre_exec(move || set_filter(&mut filter)) };
        kubelogin.start(&mut command).wait()
    }

    fn filter(calls: &[libc::c_long], action: u32) -> Vec<libc::sock_filter> {
        use libc::{BPF_ABS, BPF_JEQ, BPF_JMP, BPF_K, BPF_LD, BPF_RET, BPF_W};
        let step = |operation: u32, k, jt| libc::sock_filter {
            code: operation.try_into().expect("small"),
            jt,
            jf: 0,
            k,
        };
        let load = step(BPF_LD | BPF_W | BPF_ABS, 0, 0);
        let compare = calls
            .iter()
            .zip((1..=calls.len()).rev())
            .map(|(call, rest)| {
                let number = u32::try_from(*call).expect("small");
                let to_the_end = rest.try_into().expect("small");
                step(BPF_JMP | BPF_JEQ | BPF_K, number, to_the_end)
            });
        let allow = step(BPF_RET | BPF_K, libc::SECCOMP_RET_ALLOW, 0);
        let act = step(BPF_RET | BPF_K, action, 0);
        std::iter::once(load)
            .chain(compare)
            .chain([allow, act])
            .collect()
    }

    fn set_filter(filter: &mut [libc::sock_filter]) -> io::Result<()> {
        let program = libc::sock_fprog {
            len: filter.len().try_into().expect("small"),
            filter: filter.as_mut_ptr(),
        };
        // SAFETY: `program` and the filter it points to outlive the calls.
        let result = unsafe {
            libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
                | libc::prctl(
                    libc::PR_SET_SECCOMP,
                    libc::SECCOMP_MODE_FILTER,
                    &raw const program,
                )
        };
        match result {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        }
    }

    fn run_refused(kubelogin: &Kubelogin, errno: libc::c_int) -> Output {
        let errno = u32::try_from(errno).expect("small");
        run_without(KEYRING, libc::SECCOMP_RET_ERRNO | errno, kubelogin)
    }

    /// Names the files in these folders that are opened, made or removed from now on.
    struct Watch(std::fs::File);

    impl Watch {
        fn new(folders: &[&Path]) -> Self {
            use std::ffi::CString;
            use std::os::fd::FromRawFd;
            use std::os::unix::ffi::OsStrExt;
            let events = libc::IN_OPEN | libc::IN_CREATE | libc::IN_DELETE | libc::IN_MOVED_TO;
            // SAFETY: the paths end in NUL, and nobody else has the descriptor.
            unsafe {
                let watch = libc::inotify_init1(libc::IN_NONBLOCK | libc::IN_CLOEXEC);
                for folder in folders {
                    let path = CString::new(folder.as_os_str().as_bytes()).unwrap();
                    assert!(libc::inotify_add_watch(watch, path.as_ptr(), events) >= 0);
                }
                Self(std::fs::File::from_raw_fd(watch))
            }
        }

        fn names(mut self) -> Vec<String> {
            use std::io::Read;
            let mut buffer = [0; 64 * 1024];
            let length = self.0.read(&mut buffer).unwrap_or(0);
            let (mut rest, mut names) = (&buffer[..length], Vec::new());
            // inotify(7): four numbers, the last of them the length of the name that follows.
            while let Some((head, tail)) = rest.split_at_checked(16) {
                let length = u32::from_ne_bytes(head[12..].try_into().unwrap());
                let (name, next) = tail.split_at(length as usize);
                let name = String::from_utf8_lossy(name);
                names.push(name.trim_end_matches('\0').to_owned());
                rest = next;
            }
            names.retain(|name| !name.is_empty()); // the test itself looks into the folders
            names
        }
    }

    /// Whoever makes the warm path do more finds it here.
    #[test]
    fn a_token_at_hand_costs_one_file_and_no_thread_no_socket_no_lock() {
        let entra = FakeEntra::start();
        let forbidden = [
            libc::SYS_clone,
            libc::SYS_clone3,
            libc::SYS_socket,
            libc::SYS_flock,
            libc::SYS_getdents64, // a folder of ten thousand entries is as fast as one
        ];
        for (storage, key) in [("keyring", None), ("disk", Some("kubelogin.key"))] {
            let kubelogin = spn(&entra).env("KUBELOGIN_TOKEN_CACHE_STORAGE", storage);
            let token = kubelogin.run().token();
            let folder = cache_of(&kubelogin);
            let trust_store = entra.ca_file();
            let watch = Watch::new(&[&folder, &kubelogin.home(), trust_store.parent().unwrap()]);
            let again = run_without(&forbidden, libc::SECCOMP_RET_KILL_PROCESS, &kubelogin);
            assert_eq!((again.token(), again.stderr.as_str()), (token, ""));
            let entry = entry_in(&folder);
            let entry = entry.file_name().unwrap().to_str();
            let expected: Vec<_> = entry.into_iter().chain(key).collect();
            assert_eq!(watch.names(), expected, "{storage}");
            let log_out = Kubelogin::new().args(["remove-cache-dir", "--cache-dir"]);
            log_out.arg(&folder).run();
        }
    }

    #[test]
    fn the_kernel_keeps_the_key_until_the_person_logs_out() {
        let entra = FakeEntra::start();
        for storage in ["auto", "keyring"] {
            let kubelogin = spn(&entra).env("KUBELOGIN_TOKEN_CACHE_STORAGE", storage);
            let folder = cache_of(&kubelogin);
            let first = kubelogin.run();
            assert_eq!(kubelogin.run().token(), first.token());
            assert_eq!(first.stderr, "");
            assert!(!folder.join("kubelogin.key").exists());
            assert_eq!(keys_of(&folder), 1);
            let log_out = Kubelogin::new()
                .args(["remove-cache-dir", "--cache-dir"])
                .arg(&folder);
            assert_eq!(log_out.run().status.code(), Some(0));
            assert_eq!(keys_of(&folder), 0);
        }
    }

    /// Azure/kubelogin#642, #711, #734: a kernel without keyring was an error, a panic, and then a prompt on every call.
    /// A bus that takes the connection and says nothing.
    #[test]
    fn logging_out_says_that_the_keyring_did_not_answer() {
        let place = TempDir::new();
        let socket = place.path().join("bus");
        let _bus = std::os::unix::net::UnixListener::bind(&socket).unwrap();
        let address = format!("unix:path={}", socket.display());
        let log_out = Kubelogin::new().args(["remove-cache-dir", "--cache-dir"]);
        let log_out = log_out.arg(place.path().join("cache"));
        let error = log_out
            .env("DBUS_SESSION_BUS_ADDRESS", address)
            .run()
            .error();
        assert!(
            error.contains("Secret Service") && error.contains("Unlock the keyring"),
            "{error}"
        );
    }

    #[test]
    fn a_refused_keyring_is_said_once_and_the_disk_takes_over() {
        let entra = FakeEntra::start();
        for errno in [libc::EPERM, libc::ENOSYS] {
            let kubelogin = devicecode(&entra).env("KUBELOGIN_TOKEN_CACHE_STORAGE", "auto");
            let first = run_refused(&kubelogin, errno);
            let told: Vec<_> = first.stderr.lines().collect();
            assert_eq!(
                told.len(),
                2,
                "the prompt, and a word about the keyring: {told:?}"
            );
            let second = run_refused(&kubelogin, errno);
            assert_eq!(second.token(), first.token());
            assert_eq!(second.stderr, "");
        }
        assert_eq!(entra.prompts(), 2);
    }

    /// Azure/kubelogin#642, #711, #734: the keyring of a container broke modes that had no need of it, and a
    /// proof-of-possession token without one was a crash.
    #[test]
    fn a_refused_keyring_keeps_back_no_token_of_any_mode() {
        let pop = |kubelogin: Kubelogin| kubelogin.args(["--pop-enabled", "--pop-claims", "u=/c"]);
        let ropc = |entra: &FakeEntra| {
            Kubelogin::get_token("ropc")
                .args(["--client-id", PUBLIC_CLIENT_ID, "--username", USER_NAME])
                .env("AZURE_PASSWORD", USER_PASSWORD)
                .through_proxy(entra)
        };
        let az = r#"echo '{"accessToken": "at", "expires_on": 4102444800, "tokenType": "Bearer"}'"#;
        let azurecli = || {
            let kubelogin = Kubelogin::new().args(["get-token", "-l", "azurecli"]);
            kubelogin.args(["--server-id", SERVER_ID]).program("az", az)
        };
        let entra = FakeEntra::start();
        for storage in ["auto", "keyring"] {
            for (kubelogin, lines) in [
                (spn(&entra), 1),
                (spn(&entra).arg("--legacy"), 1),
                (pop(spn(&entra)), 1),
                (ropc(&entra), 1),
                (pop(ropc(&entra)), 1),
                (devicecode(&entra), 2),
                (azurecli(), 1),
            ] {
                let kubelogin = kubelogin.env("KUBELOGIN_TOKEN_CACHE_STORAGE", storage);
                let output = run_refused(&kubelogin, libc::EPERM);
                output.token();
                let stderr = &output.stderr;
                assert_eq!(stderr.lines().count(), lines, "{storage}: {stderr}");
            }
        }
    }

    #[test]
    fn a_refused_keyring_that_was_asked_for_keeps_nothing_and_says_why() {
        let entra = FakeEntra::start();
        let kubelogin = spn(&entra).env("KUBELOGIN_TOKEN_CACHE_STORAGE", "keyring");
        let output = run_refused(&kubelogin, libc::EPERM);
        output.token();
        assert_eq!(output.stderr.lines().count(), 1, "{}", output.stderr);
        assert!(output.stderr.contains("keyring"), "{}", output.stderr);
        let left = names(&cache_of(&kubelogin));
        assert!(left.iter().all(|name| name.ends_with(".lock")), "{left:?}");
    }

    /// The key is lost at reboot.
    #[test]
    fn a_key_that_vanished_costs_one_sign_in() {
        let entra = FakeEntra::start();
        let kubelogin = spn(&entra).env("KUBELOGIN_TOKEN_CACHE_STORAGE", "keyring");
        let folder = cache_of(&kubelogin);
        let log_out = Kubelogin::new()
            .args(["remove-cache-dir", "--cache-dir"])
            .arg(&folder);
        kubelogin.run().token();
        let entry = entry_in(&folder);
        let content = fs::read(&entry).unwrap();
        log_out.run();
        fs::create_dir_all(&folder).unwrap();
        fs::write(&entry, content).unwrap();

        let output = kubelogin.run();
        assert_eq!(output.stderr, "");
        assert_eq!(kubelogin.run().token(), output.token());
        assert_eq!(entra.logins(), 2);
        log_out.run();
    }
}
