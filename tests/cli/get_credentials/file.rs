//! The kubeconfig that `get-credentials` writes, and what may be wrong with it.

use super::*;

#[test]
fn an_unusual_kubeconfig_is_refused_and_nothing_is_written() {
    let entra = FakeEntra::start();
    let arm = FakeArm::start(&entra);
    let usual = read_usual(&entra);
    for (old, new, why) in [
        (
            "command: kubelogin",
            "command: /tmp/kubelogin",
            "runs \"/tmp/kubelogin\"",
        ),
        ("https://", "http://", "not an https address"),
        (
            "- get-token\n",
            "- get-token\n      - --authority-host\n      - https://evil.example/\n",
            "passes --authority-host",
        ),
        (
            "- get-token\n",
            "- get-token\n      - --unknown\n",
            "arguments that get-token does not know",
        ),
        (
            "AzurePublicCloud",
            "AzureEvilCloud",
            "unknown --environment",
        ),
        (
            "    server:",
            "    insecure-skip-tls-verify: true\n    server:",
            "insecure-skip-tls-verify",
        ),
        ("kind: Config", "\u{1}", "not YAML or JSON"),
    ] {
        assert!(usual.contains(old), "{old}");
        let odd = usual.replace(old, new);
        arm.change(|rules| rules.clusters[0].kubeconfig = Some(odd));
        let error = refused(&get_credentials(&entra).args(PROD));
        assert!(
            error.contains(why) && error.contains("Nothing was written"),
            "{why}: {error}"
        );
    }
}

/// The fake cluster's kubeconfig before conversion.
fn read_usual(entra: &FakeEntra) -> String {
    let output = get_credentials(entra)
        .args(PROD)
        .args(["-f", "-", "--write-login", "devicecode"])
        .run();
    assert!(output.status.success(), "{output:?}");
    let text = output.stdout;
    // Removes our own extension.
    let start = text.find("    extensions:").expect("an extension");
    let end = text.find("    server:").expect("a server");
    format!("{}{}", &text[..start], &text[end..])
}

#[test]
fn stdout_gets_the_kubeconfig_and_nothing_else() {
    let entra = FakeEntra::start();
    let _arm = FakeArm::start(&entra);
    let kubelogin = get_credentials(&entra).args(PROD).args(["-f", "-"]);
    let output = kubelogin.run();
    assert!(
        output.status.success() && output.stdout.starts_with("apiVersion: v1\nclusters:\n"),
        "{output:?}"
    );
    assert_eq!(output.stderr, "");
    assert!(!config(&kubelogin).exists());
    // That needs no HOME.
    assert!(kubelogin.env_remove("HOME").run().status.success());
    let homeless = get_credentials(&entra).args(PROD).env_remove("HOME");
    assert!(homeless.run().error().contains("HOME is not set"));
}

#[test]
fn a_dry_run_shows_the_difference_without_secrets_and_writes_nothing() {
    let entra = FakeEntra::start();
    let _arm = FakeArm::start(&entra);
    let kubelogin = get_credentials(&entra)
        .args(PROD)
        .args(["--dry-run", "--admin"]);
    let path = at_home(&kubelogin, "apiVersion: v1\nkind: Config\n");
    let output = kubelogin.run();
    assert!(output.status.success(), "{output:?}");
    output.hides(&["static-token-of-prod"]);
    assert!(
        output.stdout.contains("+current-context: prod-admin"),
        "{}",
        output.stdout
    );
    assert_eq!(read(&path), "apiVersion: v1\nkind: Config\n");
}

#[test]
fn a_cluster_of_the_same_name_is_left_alone_unless_one_of_them_gets_another_name() {
    let entra = FakeEntra::start();
    let _arm = FakeArm::start_with(&entra, |rules| {
        let mut twin = FakeCluster::new("shop", "prod");
        twin.subscription = OTHER_SUBSCRIPTION_ID.into();
        twin.server = "https://twin.example".into();
        rules.clusters.push(twin);
    });
    let kubelogin = get_credentials(&entra).args(PROD);
    written(&kubelogin);
    let twin = kubelogin.args(["--subscription", OTHER_SUBSCRIPTION_ID]);
    let error = refused(&twin);
    assert!(
        error.contains("is another cluster") && error.contains("--context NAME"),
        "{error}"
    );
    let twin = twin.args(["--context", "twin", "--no-current-context"]);
    let (text, told) = written(&twin);
    assert!(told.starts_with("Merged \"twin\" in "), "{told}");
    assert!(text.contains("current-context: prod\n"));
    assert!(
        text.contains("    cluster: twin\n    user: twin\n  name: twin\n"),
        "{text}"
    );
    let (text, _) = written(&twin.args(["--context", "prod", "--overwrite-existing"]));
    assert!(!text.contains("prod-shop-0a1b2c3d"), "{text}");
}

#[test]
fn a_bad_file_is_reported_before_any_sign_in() {
    let entra = FakeEntra::start();
    let _arm = FakeArm::start(&entra);
    for (text, why) in [
        ("users: [", "not valid YAML"),
        ("- a\n", "must be a map"),
        ("users: 5\n", "must be a list"),
    ] {
        let kubelogin = bare(&entra).args(PROD);
        at_home(&kubelogin, text);
        let error = refused(&kubelogin);
        assert!(error.contains(why), "{error}");
    }
    let kubelogin = bare(&entra).args(PROD).arg("-f").arg(std::env::temp_dir());
    assert!(kubelogin.run().error().contains("is a directory"));
    let kubelogin = bare(&entra).args(PROD);
    let path = at_home(&kubelogin, "");
    let mut permissions = fs::metadata(&path).expect("metadata").permissions();
    permissions.set_readonly(true);
    fs::set_permissions(&path, permissions).expect("a read-only file");
    assert!(refused(&kubelogin).contains("is read-only"));
    assert_eq!(entra.prompts(), 0);
}

#[test]
fn the_first_existing_file_of_the_list_gets_new_entries() {
    let entra = FakeEntra::start();
    let _arm = FakeArm::start(&entra);
    let room = TempDir::new();
    let (one, two, three) = (
        room.path().join("one"),
        room.file("two", ""),
        room.file("three", ""),
    );
    let list = std::env::join_paths([&one, &two, &three]).expect("a list");
    let kubelogin = get_credentials(&entra).args(PROD).env("KUBECONFIG", &list);
    let output = kubelogin.verbose().run();
    assert!(output.status.success(), "{output:?}");
    assert!(
        output.stderr.contains(&two.display().to_string()),
        "{output:?}"
    );
    assert!(read(&two).contains("name: prod") && read(&three).is_empty() && !one.exists());
    fs::remove_file(&two).expect("removed");
    fs::remove_file(&three).expect("removed");
    assert!(
        get_credentials(&entra)
            .args(PROD)
            .env("KUBECONFIG", &list)
            .run()
            .status
            .success()
    );
    assert!(
        read(&three).contains("name: prod"),
        "no file exists: it creates the last one"
    );
}

#[test]
#[cfg(unix)]
fn a_link_is_followed_even_where_it_leads_nowhere_yet() {
    let entra = FakeEntra::start();
    let _arm = FakeArm::start(&entra);
    let room = TempDir::new();
    let link = room.path().join("link");
    std::os::unix::fs::symlink("folder/real", &link).expect("a link");
    let kubelogin = get_credentials(&entra).args(PROD).arg("-f").arg(&link);
    for _ in 0..2 {
        let output = kubelogin.run();
        assert!(output.status.success(), "{output:?}");
        assert!(fs::symlink_metadata(&link).expect("metadata").is_symlink());
        assert!(read(&room.path().join("folder/real")).contains("name: prod"));
    }
}

#[test]
fn thirty_concurrent_calls_all_end_up_in_one_file() {
    const CLUSTERS: usize = 30;
    let entra = FakeEntra::start();
    let _arm = FakeArm::start_with(&entra, |rules| {
        rules.clusters = (0..CLUSTERS)
            .map(|number| FakeCluster::new("shop", &format!("c{number}")))
            .collect();
    });
    let room = TempDir::new();
    let path = room.path().join("config");
    let kubelogin = get_credentials(&entra);
    let running: Vec<_> = (0..CLUSTERS)
        .map(|number| {
            let name = format!("c{number}");
            let kubelogin = kubelogin
                .clone()
                .args([
                    "-g",
                    "shop",
                    "-n",
                    &name,
                    "--subscription",
                    SUBSCRIPTION_ID,
                    "-f",
                ])
                .arg(&path);
            kubelogin.spawn()
        })
        .collect();
    for running in running {
        let output = running.wait();
        assert!(output.status.success(), "{output:?}");
    }
    let text = read(&path);
    for number in 0..CLUSTERS {
        assert!(
            text.contains(&format!(
                "    user: clusterUser_shop_c{number}\n  name: c{number}\n"
            )),
            "{number}"
        );
    }
    assert_eq!(names_in(room.path()), ["config"], "it left files behind");
}

#[test]
fn a_lock_is_waited_for_and_a_stale_one_is_named() {
    let entra = FakeEntra::start();
    let _arm = FakeArm::start(&entra);
    let kubelogin = get_credentials(&entra).args(PROD);
    let path = at_home(&kubelogin, "kind: Config\n");
    let lock = path.with_extension("lock");
    fs::write(&lock, "").expect("a lock");
    assert!(refused(&kubelogin).contains("config.lock"));
    let running = kubelogin.spawn();
    fs::remove_file(&lock).expect("the lock");
    assert!(running.wait().status.success());
    assert!(read(&path).contains("name: prod"));
}

#[test]
#[cfg(unix)]
fn a_full_disk_leaves_the_file_as_it_was() {
    let entra = FakeEntra::start();
    let _arm = FakeArm::start(&entra);
    let kubelogin = get_credentials(&entra).args(PROD).storage("none");
    let old = legacy_kubeconfig(10);
    let path = at_home(&kubelogin, &old);
    // A file size limit makes the write fail halfway, as a full disk does.
    let limited = ["-c", "trap '' XFSZ; ulimit -f 2; exec \"$@\"", "sh"];
    let output = kubelogin
        .start(&mut kubelogin.command_under("sh", &limited))
        .wait();
    assert!(output.error().contains("cannot be replaced"), "{output:?}");
    assert_eq!(read(&path), old);
    assert_eq!(names_in(path.parent().expect("a folder")), ["config"]);
}

#[test]
#[cfg(unix)]
fn a_closed_stdout_is_an_error() {
    let entra = FakeEntra::start();
    let _arm = FakeArm::start(&entra);
    let kubelogin = get_credentials(&entra).args(PROD).args(["-f", "-"]);
    let (reader, writer) = std::io::pipe().expect("a pipe");
    drop(reader);
    let output = kubelogin
        .command()
        .stdout(writer)
        .output()
        .expect("cannot start it");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    assert!(stderr.contains("cannot write to stdout"), "{stderr}");
}

#[test]
fn what_another_program_wrote_while_azure_was_asked_stays() {
    let entra = FakeEntra::start();
    let arm = FakeArm::start(&entra);
    let kubelogin = get_credentials(&entra).args(PROD);
    let path = at_home(&kubelogin, "kind: Config\n");
    let written_to = path.clone();
    arm.meanwhile(move |_| {
        let text = "# theirs\ncontexts:\n- context: {cluster: c, user: u}\n  name: theirs\ncurrent-context: theirs\n";
        fs::write(written_to, text).expect("another program writes");
    });
    let (text, _) = written(&kubelogin.clone().arg("--no-current-context"));
    assert!(
        text.starts_with("# theirs\n")
            && text.contains("\ncontexts:\n- context: {cluster: c, user: u}\n  name: theirs\n")
            && text.contains("current-context: theirs\n")
            && text.contains("name: prod\n"),
        "{text}"
    );
    // It does not touch a file that another program damaged.
    let damaged = path.clone();
    arm.meanwhile(move |_| fs::write(damaged, "users: [").expect("another program writes"));
    let error = kubelogin.run().error();
    assert!(error.contains("not valid YAML"), "{error}");
    assert_eq!(read(&path), "users: [");
}

#[test]
fn a_kubeconfig_of_ten_thousand_users_gets_one_more() {
    let entra = FakeEntra::start();
    let _arm = FakeArm::start(&entra);
    let kubelogin = get_credentials(&entra).args(PROD);
    let users: String = (0..10_000)
        .map(|number| format!("- name: u{number} # of {number}\n  user: {{token: t}}\n"))
        .collect();
    let old = format!("users:\n{users}");
    at_home(&kubelogin, &old);
    let (text, _) = written(&kubelogin);
    assert!(text.contains(&users), "a user was changed");
    assert!(text.contains("- name: clusterUser_shop_prod\n"));
}

#[test]
#[cfg(target_os = "linux")]
fn a_full_stdout_is_an_error() {
    let entra = FakeEntra::start();
    let _arm = FakeArm::start(&entra);
    let full = fs::File::options().write(true).open("/dev/full");
    let kubelogin = get_credentials(&entra).args(PROD).args(["-f", "-"]);
    let output = kubelogin
        .command()
        .stdout(full.expect("a device"))
        .output()
        .expect("cannot start it");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    assert!(stderr.contains("No space left on device"), "{stderr}");
}
