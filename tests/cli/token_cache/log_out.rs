//! `remove-cache-dir` and `logout`: what they remove, and what they leave alone.

use super::*;

#[test]
fn logging_out_removes_our_files_and_nothing_else() {
    let entra = FakeEntra::start();
    let place = TempDir::new();
    let folder = place.path().join("cache");
    let kubelogin = spn(&entra).env("KUBECACHEDIR", &folder);
    let log_out = |command: &str| {
        let kubelogin = Kubelogin::new().arg(command).env("KUBECACHEDIR", &folder);
        let kubelogin = match command {
            "remove-tokens" => kubelogin.verbose(),
            _ => kubelogin,
        };
        let output = kubelogin.run();
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        assert_eq!(output.stdout, "");
        output.stderr
    };
    assert_eq!(log_out("remove-cache-dir"), "", "a missing folder is fine");

    kubelogin.run().token();
    assert_eq!(log_out("remove-cache-dir"), "");
    assert!(!folder.exists());

    kubelogin.run().token();
    fs::create_dir(folder.join("discovery")).unwrap();
    fs::write(folder.join("auth.json"), "{}").unwrap();
    fs::write(folder.join("kubelogin-notes.token"), "").unwrap();
    assert!(log_out("remove-tokens").contains("deprecated"));
    let rest = ["auth.json", "discovery", "kubelogin-notes.token"];
    assert_eq!(names_in(&folder), rest);

    kubelogin.run().token();
    assert_eq!(entra.logins(), 3);
}

#[test]
fn logging_out_says_how_many_logins_it_removed_and_what_it_leaves() {
    let entra = FakeEntra::start();
    let place = TempDir::new();
    let record = place.file("auth.json", "{}");
    for login in [spn, devicecode] {
        login(&entra)
            .arg("--cache-dir")
            .arg(place.path())
            .run()
            .token();
    }
    let output = Kubelogin::log_out(place.path()).verbose().run();
    let folder = place.path().display();
    let lines: Vec<_> = output.stderr.lines().collect();
    assert_eq!(
        lines[0],
        format!("Signed out of 2 logins: deleted their tokens from {folder}")
    );
    assert!(
        lines[1].contains("auth.json") && lines[1].contains("valid until you delete"),
        "{lines:?}"
    );
    assert!(record.exists());
}

#[test]
fn a_wrong_cache_folder_is_always_said() {
    let place = TempDir::new();
    for (folder, words) in [
        (place.path().join("missing"), "does not exist"),
        (place.path().to_owned(), "contains no kubelogin tokens"),
    ] {
        let output = Kubelogin::log_out(&folder).run();
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        let expected = format!("{} {words}", folder.display());
        assert!(output.stderr.starts_with(&expected), "{output:?}");
    }
}

#[test]
fn one_login_is_signed_out_by_its_flags_and_the_others_stay() {
    let entra = FakeEntra::start();
    let place = TempDir::new();
    let here = |kubelogin: Kubelogin| kubelogin.arg("--cache-dir").arg(place.path());
    let (one, other) = (here(devicecode(&entra)), here(ropc(&entra)));
    one.run().token();
    other.run().token();
    let log_out = one.clone().with_command("logout");
    let output = log_out.clone().verbose().run();
    assert!(
        output.stderr.contains(&format!("Signed out {USER_NAME}")),
        "{output:?}"
    );
    assert_eq!(
        (output.stdout.as_str(), output.status.code()),
        ("", Some(0))
    );
    entry_in(place.path());
    let again = log_out.verbose().run();
    assert!(
        again.stderr.contains("There is no cached token"),
        "{again:?}"
    );
    let logins = entra.logins();
    other.run().token();
    assert_eq!(entra.logins(), logins);
    one.run().token();
    assert_eq!(entra.logins(), logins + 1);
}

/// A user who signs out may no longer have the secret that signing in requires.
#[test]
fn one_login_is_signed_out_by_its_context() {
    let entra = FakeEntra::start();
    let kubelogin = spn(&entra);
    kubelogin.run().token();
    let config = kubelogin.home().join(".kube/config");
    let text = format!(
        "contexts:\n- name: prod\n  context: {{cluster: prod, user: me}}\n\
         users:\n- name: me\n  user: {{exec: {{apiVersion: client.authentication.k8s.io/v1, command: kubelogin,\n\
         \x20   args: [get-token, --login, spn, --server-id, {SERVER_ID}, --tenant-id, {TENANT_ID}, --client-id, {CONFIDENTIAL_CLIENT_ID}]}}}}\n"
    );
    fs::write(config, text).unwrap();
    let log_out = Kubelogin::new()
        .args(["logout", "--context", "prod"])
        .env("HOME", kubelogin.home())
        .verbose();
    let output = log_out.run();
    assert!(
        output
            .stderr
            .contains(&format!("Signed out {CONFIDENTIAL_CLIENT_ID}")),
        "{output:?}"
    );
    kubelogin.run().token();
    assert_eq!(entra.logins(), 2);
}

/// Azure/kubelogin#760: a failure to remove the cache was not reported.
#[test]
fn logging_out_reports_what_could_not_be_removed() {
    let place = TempDir::new();
    let file = place.file("cache", "");
    let output = Kubelogin::log_out(&file).run();
    assert!(output.error().contains("could not be removed"));
    assert!(file.exists());
}

/// Other users' folders, and read-only folders.
#[cfg(unix)]
mod unix {
    use std::os::unix::fs::PermissionsExt;

    use super::process::{NOBODY, run_without_rights};
    use super::*;

    /// Azure/kubelogin#760.
    #[test]
    fn logging_out_of_a_read_only_folder_is_an_error() {
        let entra = FakeEntra::start();
        let place = TempDir::new();
        // SAFETY: geteuid has no preconditions.
        if unsafe { libc::geteuid() } == 0 {
            std::os::unix::fs::chown(place.path(), Some(NOBODY), Some(NOBODY)).unwrap();
        }
        let kubelogin = spn(&entra).arg("--cache-dir").arg(place.path());
        run_without_rights(&kubelogin).token();
        let before = names_in(place.path());
        assert!(!before.is_empty());
        fs::set_permissions(place.path(), fs::Permissions::from_mode(0o555)).unwrap();
        let error = run_without_rights(&Kubelogin::log_out(place.path())).error();
        assert!(error.contains("could not be removed"), "{error}");
        assert_eq!(names_in(place.path()), before);
        fs::set_permissions(place.path(), fs::Permissions::from_mode(0o755)).unwrap();
    }

    /// If the tests run as root, another user signs out here, otherwise the folder's owner.
    #[test]
    fn logging_out_leaves_the_folder_of_another_user_alone() {
        let entra = FakeEntra::start();
        let place = TempDir::new();
        let kubelogin = spn(&entra).arg("--cache-dir").arg(place.path());
        kubelogin.run().token();
        // Anyone may remove files here, so that only the owner makes a difference.
        fs::set_permissions(place.path(), fs::Permissions::from_mode(0o777)).unwrap();
        let before = names_in(place.path());
        let output = run_without_rights(&Kubelogin::log_out(place.path()));
        // SAFETY: geteuid has no preconditions.
        if unsafe { libc::geteuid() } == 0 {
            assert!(output.error().contains("another user"), "{output:?}");
            assert_eq!(names_in(place.path()), before);
        } else {
            assert_eq!(output.status.code(), Some(0), "{output:?}");
            assert!(!place.path().exists());
        }
    }
}

#[cfg(target_os = "linux")]
/// A bus that accepts the connection and never answers.
#[test]
fn logging_out_reports_a_keyring_that_does_not_answer() {
    let place = TempDir::new();
    let socket = place.path().join("bus");
    let _bus = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    let address = format!("unix:path={}", socket.display());
    let error = Kubelogin::log_out(&place.path().join("cache"))
        .env("DBUS_SESSION_BUS_ADDRESS", address)
        .run()
        .error();
    assert!(
        error.contains("Secret Service") && error.contains("Unlock the keyring"),
        "{error}"
    );
}
