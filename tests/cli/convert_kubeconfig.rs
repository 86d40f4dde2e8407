//! `convert-kubeconfig` on disk: which files it converts, how it writes them, and who owns them.

use std::fs;
use std::path::{Path, PathBuf};

use crate::support::*;

fn read(path: &Path) -> String {
    fs::read_to_string(path).expect("cannot read the kubeconfig")
}

/// Converts, and returns the file and stderr.
#[track_caller]
fn converted(kubelogin: &Kubelogin, path: &Path) -> (String, String) {
    let output = kubelogin.run();
    assert!(output.status.success(), "{output:?}");
    assert_eq!(output.stdout, "");
    (read(path), output.stderr)
}

#[track_caller]
fn refused(kubelogin: &Kubelogin, path: &Path) -> String {
    let before = fs::read(path).ok();
    let error = kubelogin.run().error();
    assert_eq!(fs::read(path).ok(), before, "the file was changed");
    error
}

/// Shows progress messages, as on a terminal.
fn converting_to(login: &str) -> Kubelogin {
    Kubelogin::convert_kubeconfig(login).args(["-v", "1"])
}

/// Writes a kubeconfig into the home folder.
fn at_home(kubelogin: &Kubelogin, text: &str) -> PathBuf {
    let folder = kubelogin.home().join(".kube");
    fs::create_dir_all(&folder).expect("a folder");
    let path = folder.join("config");
    fs::write(&path, text).expect("a kubeconfig");
    path
}

#[test]
fn the_kubeconfig_at_home_is_converted_and_a_second_run_does_not_write() {
    let kubelogin = converting_to("azurecli");
    let path = at_home(&kubelogin, &legacy_kubeconfig(1));
    let (text, told) = converted(&kubelogin, &path);
    assert!(text.contains("- azurecli"));
    assert!(
        told.contains("user \"clusterUser_rg_c0\" converted to azurecli"),
        "{told}"
    );
    let written = fs::metadata(&path)
        .expect("metadata")
        .modified()
        .expect("a time");
    let (again, told) = converted(&kubelogin, &path);
    assert_eq!(again, text);
    assert!(told.starts_with("0 of 1 users converted to "), "{told}");
    assert_eq!(
        fs::metadata(&path)
            .expect("metadata")
            .modified()
            .expect("a time"),
        written
    );
}

#[test]
fn kubeconfig_names_the_files_and_its_flag_beats_it() {
    let room = TempDir::new();
    let one = room.file("one", legacy_kubeconfig(1));
    let two = room.file("two", legacy_kubeconfig(2));
    let list =
        std::env::join_paths([&one, &room.path().join("missing"), &two, &one]).expect("a list");
    let kubelogin = converting_to("spn").env("KUBECONFIG", &list);
    let (_, told) = converted(&kubelogin, &two);
    assert!(read(&one).contains("- spn"));
    // A user in both files is taken from the first one.
    assert_eq!(read(&two).matches("- spn").count(), 1);
    assert!(told.contains("missing does not exist: skipped"), "{told}");
    assert_eq!(told.matches("converted to spn").count(), 2);
    let three = room.file("three", legacy_kubeconfig(1));
    converted(
        &converting_to("spn")
            .env("KUBECONFIG", &list)
            .arg("--kubeconfig")
            .arg(&three),
        &three,
    );
    assert!(read(&three).contains("- spn"));
}

#[test]
fn a_file_that_cannot_be_converted_is_named_and_nothing_is_created() {
    let room = TempDir::new();
    let convert = |path: &Path| converting_to("spn").arg("--kubeconfig").arg(path);
    let missing = room.path().join("folder").join("missing");
    assert!(refused(&convert(&missing), &missing).contains("missing does not exist"));
    assert!(!missing.parent().expect("a folder").exists());
    assert!(refused(&convert(room.path()), &missing).contains("is a directory"));
    for (content, what) in [
        (&b"\x7fELF\0\0"[..], ":1:5: the file is binary"),
        (b"\xff\xfea\0", "UTF-16"),
        (b"a: \xe9\n", ":1:4: the file is not UTF-8"),
        (b"users:\n\t- a", ":2:2: not valid YAML"),
    ] {
        let path = room.file("bad", content);
        let error = refused(&convert(&path), &path);
        assert!(error.contains(what), "{error}");
    }
    let path = room.file("huge", "");
    let file = fs::File::options()
        .write(true)
        .open(&path)
        .expect("the file");
    file.set_len(100 * 1024 * 1024).expect("a sparse file");
    assert!(convert(&path).run().error().contains("larger than 64 MiB"));
    #[cfg(unix)]
    {
        // Even root cannot read it.
        let around = room.path().join("around");
        std::os::unix::fs::symlink("around", &around).expect("a link");
        assert!(
            convert(&around)
                .run()
                .error()
                .contains("around cannot be read")
        );
    }
    let separators = Kubelogin::new().args(["convert-kubeconfig"]).env(
        "KUBECONFIG",
        std::env::join_paths(["", ""]).expect("a list"),
    );
    let path = at_home(&separators, &legacy_kubeconfig(1));
    assert!(refused(&separators, &path).contains("KUBECONFIG contains only separators"));
    let empty = room.file("empty", "");
    let (text, told) = converted(&convert(&empty), &empty);
    assert_eq!(text, "");
    assert!(told.contains("empty is empty"), "{told}");
}

#[test]
fn a_bad_user_in_one_file_keeps_no_other_from_being_converted() {
    let room = TempDir::new();
    let one = room.file("one", legacy_kubeconfig(1));
    let bad = "users:\n- name: bad\n  user:\n    exec: {command: kubelogin}\n";
    let two = room.file("two", bad);
    let list = std::env::join_paths([&one, &two]).expect("a list");
    let kubelogin = converting_to("spn").env("KUBECONFIG", &list);
    let error = kubelogin.run().error();
    assert!(
        error.contains("two:2:3: user \"bad\": server-id is required"),
        "{error}"
    );
    assert!(
        error.contains("The other user was converted to spn."),
        "{error}"
    );
    assert!(read(&one).contains("- spn"));
    assert_eq!(read(&two), bad);
}

#[test]
fn a_file_that_cannot_be_written_leaves_all_of_them_alone() {
    let room = TempDir::new();
    let one = room.file("one", legacy_kubeconfig(1));
    let two = room.file("two", legacy_kubeconfig(2));
    let list = std::env::join_paths([&one, &two]).expect("a list");
    let mut permissions = fs::metadata(&two).expect("metadata").permissions();
    permissions.set_readonly(true);
    fs::set_permissions(&two, permissions).expect("a read-only file");
    let kubelogin = converting_to("spn").env("KUBECONFIG", &list);
    let error = refused(&kubelogin, &one);
    assert!(error.contains("two is read-only"), "{error}");
}

/// Some pipelines fail if stderr is not empty, and some clients merge it into stdout.
#[test]
fn a_conversion_that_works_says_nothing_in_a_pipe_and_one_without_effect_says_why() {
    let room = TempDir::new();
    let path = room.file("config", legacy_kubeconfig(2));
    let kubelogin = Kubelogin::convert_kubeconfig("spn")
        .args(["--client-secret", "hunter2", "--kubeconfig"])
        .arg(&path);
    let (text, told) = converted(&kubelogin, &path);
    assert!(text.contains("- spn"));
    assert_eq!(told, "");
    let (_, told) = converted(&kubelogin, &path);
    assert!(
        told.starts_with("0 of 2 users converted to spn: "),
        "{told}"
    );
    let dry = kubelogin.arg("--dry-run").run();
    assert!(dry.stderr.starts_with("0 of 2 users would be"), "{dry:?}");
}

/// az runs `kubelogin convert-kubeconfig -l azurecli` in the folder of the file that it wrote.
#[test]
fn a_default_that_does_not_exist_is_nothing_to_convert_and_a_named_one_is_an_error() {
    let kubelogin = Kubelogin::convert_kubeconfig("azurecli");
    let output = kubelogin.run();
    assert!(output.status.success(), "{output:?}");
    assert_eq!((&*output.stdout, &*output.stderr), ("", ""));
    assert!(!kubelogin.home().join(".kube").exists());
    let told = converting_to("azurecli").run();
    assert!(
        told.stderr.contains("does not exist: nothing to convert"),
        "{told:?}"
    );
    let missing = kubelogin.home().join("missing");
    for named in [
        Kubelogin::convert_kubeconfig("azurecli").env("KUBECONFIG", &missing),
        Kubelogin::convert_kubeconfig("azurecli")
            .arg("--kubeconfig")
            .arg(&missing),
    ] {
        assert!(named.run().error().contains("missing does not exist"));
    }
}

#[test]
fn a_dry_run_exits_with_1_if_something_would_change_and_it_was_asked_for_that() {
    let room = TempDir::new();
    let path = room.file("config", legacy_kubeconfig(1));
    let convert = || {
        Kubelogin::convert_kubeconfig("spn")
            .arg("--kubeconfig")
            .arg(&path)
    };
    let check = || convert().args(["--dry-run", "--exit-code"]);
    assert_eq!(convert().arg("--dry-run").run().status.code(), Some(0));
    let output = check().run();
    assert_eq!(output.status.code(), Some(1));
    assert!(
        output.stderr.contains("would be converted to spn"),
        "{output:?}"
    );
    assert!(output.stdout.contains("@@"), "{output:?}");
    assert!(convert().run().status.success());
    assert_eq!(check().run().status.code(), Some(0));
    assert!(
        convert()
            .arg("--exit-code")
            .run()
            .error()
            .contains("--dry-run")
    );
}

#[test]
#[cfg(unix)]
fn links_stay_links_and_mode_and_owner_stay() {
    use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
    let room = TempDir::new();
    let real = room.folder("real").join("config");
    fs::write(&real, legacy_kubeconfig(1)).expect("a kubeconfig");
    fs::set_permissions(&real, fs::Permissions::from_mode(0o640)).expect("a mode");
    let _ = chown(&real, Some(1234), Some(4321)); // only root can do this, or get it wrong
    let owner = fs::metadata(&real).expect("metadata");
    symlink("real/config", room.path().join("inner")).expect("a link");
    let outer = room.path().join("outer");
    symlink("inner", &outer).expect("a link");
    let (text, _) = converted(&converting_to("spn").arg("--kubeconfig").arg(&outer), &real);
    assert!(text.contains("- spn"));
    assert_eq!(fs::read_link(&outer).expect("a link"), Path::new("inner"));
    let metadata = fs::symlink_metadata(&real).expect("metadata");
    assert!(metadata.is_file());
    assert_eq!(metadata.mode() & 0o7777, 0o640);
    assert_eq!((metadata.uid(), metadata.gid()), (owner.uid(), owner.gid()));
    assert_eq!(names_in(room.path()), ["inner", "outer", "real"]);
    assert_eq!(names_in(&room.path().join("real")), ["config"]);
}

#[test]
fn kubectl_s_lock_is_waited_for_and_a_stale_lock_is_named() {
    let room = TempDir::new();
    let path = room.file("config", legacy_kubeconfig(1));
    let lock = room.file("config.lock", "");
    let kubelogin = converting_to("spn").arg("--kubeconfig").arg(&path);
    let error = refused(&kubelogin, &path);
    assert!(
        error.contains("config.lock exists") && error.contains("remove that file"),
        "{error}"
    );
    assert!(lock.exists(), "it removed another process's lock");
    let running = kubelogin.spawn();
    fs::remove_file(&lock).expect("the lock");
    assert!(running.wait().status.success());
    assert!(read(&path).contains("- spn"));
    fs::write(&lock, "").expect("a lock");
    let (_, told) = converted(&kubelogin, &path);
    assert!(
        told.starts_with("0 of 1"),
        "no change to write, so no lock needed: {told}"
    );
}

#[test]
fn concurrent_conversions_all_take_effect() {
    const USERS: usize = 12;
    let room = TempDir::new();
    let path = room.file("config", legacy_kubeconfig(USERS));
    let conversions: Vec<_> = (0..USERS)
        .map(|number| {
            converting_to("azurecli")
                .arg("--kubeconfig")
                .arg(&path)
                .args(["--context", &format!("c{number}")])
        })
        .collect();
    let running: Vec<_> = conversions.iter().map(Kubelogin::spawn).collect();
    for running in running {
        let output = running.wait();
        assert!(output.status.success(), "{output:?}");
    }
    assert_eq!(read(&path).matches("- azurecli").count(), USERS);
}

#[test]
fn a_dry_run_prints_a_diff_without_secrets_and_writes_nothing() {
    let room = TempDir::new();
    let text = "users:\n- name: a\n  user:\n    auth-provider:\n      config:\n        access-token: hunter1\n        apiserver-id: s\n        client-id: c\n        tenant-id: t\n      name: azure\n- name: b\n  user:\n    token: hunter2\n";
    let path = room.file("config", text);
    let kubelogin = converting_to("spn").arg("--kubeconfig").arg(&path).args([
        "--client-secret",
        "hunter3",
        "--dry-run",
    ]);
    let output = kubelogin.run();
    assert!(output.status.success(), "{output:?}");
    output.hides(&["hunter1", "hunter2", "hunter3"]);
    assert_eq!(read(&path), text);
    let diff = output.stdout;
    assert!(
        diff.contains("\n-    auth-provider:\n") && diff.contains("\n+      - [new secret]\n"),
        "{diff}"
    );
    assert!(diff.contains("\n     token: [secret]\n"), "{diff}");
    assert!(diff.contains("@@ -1,13 +1,"), "{diff}");
    assert!(
        output.stderr.contains("would be converted"),
        "{}",
        output.stderr
    );
}

#[test]
#[cfg(unix)]
fn a_full_disk_leaves_the_file_as_it_was() {
    let room = TempDir::new();
    let old = legacy_kubeconfig(10);
    let path = room.file("config", &old);
    // A file size limit makes the write fail halfway, as a full disk does.
    let output = std::process::Command::new("sh")
        .args(["-c", "trap '' XFSZ; ulimit -f 2; exec \"$@\"", "sh"])
        .arg(program_under_test())
        .args(["convert-kubeconfig", "-l", "spn", "--kubeconfig"])
        .arg(&path)
        .env_clear()
        .output()
        .expect("cannot start sh");
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(
        error.contains("cannot be replaced") && error.contains("Nothing was changed"),
        "{error}"
    );
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(read(&path), old);
    assert_eq!(names_in(room.path()), ["config"]);
}
