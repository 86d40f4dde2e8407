//! `remove-cache-dir`: what it removes, and what it leaves alone.

use super::*;

#[test]
fn logging_out_removes_our_files_and_nothing_else() {
    let entra = FakeEntra::start();
    let place = TempDir::new();
    let folder = place.path().join("cache");
    let kubelogin = spn(&entra).env("KUBECACHEDIR", &folder);
    let log_out = |command: &str| {
        let kubelogin = Kubelogin::new()
            .arg(command)
            .verbose()
            .env("KUBECACHEDIR", &folder);
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
    assert_eq!(names_in(&folder), rest);

    kubelogin.run().token();
    assert_eq!(entra.logins(), 3);
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

/// Folders of other users, and read-only folders.
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
        // SAFETY: it has no preconditions.
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

    /// If the tests run as root, another user logs out here; else the folder's owner does.
    #[test]
    fn logging_out_leaves_the_folder_of_another_user_alone() {
        let entra = FakeEntra::start();
        let place = TempDir::new();
        let kubelogin = spn(&entra).arg("--cache-dir").arg(place.path());
        kubelogin.run().token();
        // Everybody may remove files here, so that only the owner makes a difference.
        fs::set_permissions(place.path(), fs::Permissions::from_mode(0o777)).unwrap();
        let before = names_in(place.path());
        let output = run_without_rights(&Kubelogin::log_out(place.path()));
        // SAFETY: it has no preconditions.
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
