//! Files that are not kubeconfigs, servers that are not clusters, failing keyrings, locks held by other processes.

use super::*;

#[test]
fn bad_input_of_every_kind_is_a_finding_and_no_panic() {
    let patient = Patient::healthy();
    let home = patient.world.kubelogin.home();
    let path = home.join("odd");
    for (content, words) in [
        (&b""[..], "no current context is set"),
        (b"{{{{", "odd:1"),
        (b"\0\x01binary", "binary"),
        (b"\xff\xfeU\0T\0F\0", "UTF-16"),
        (b"[]", "odd:1"),
    ] {
        std::fs::write(&path, content).expect("a file");
        let odd = patient
            .world
            .kubelogin
            .clone()
            .args(["doctor", "--kubeconfig"])
            .arg(&path)
            .run();
        assert_eq!(odd.status.code(), Some(1), "{odd:?}");
        assert!(
            odd.stdout.contains(words) && odd.stderr.is_empty(),
            "{words}: {odd:?}"
        );
    }
    let folder = patient
        .world
        .kubelogin
        .clone()
        .args(["doctor", "--kubeconfig"])
        .arg(&home)
        .run();
    assert!(folder.stdout.contains("is a directory"), "{folder:?}");
}

#[test]
fn a_cluster_that_hangs_or_a_proxy_that_refuses_costs_no_more_than_its_bound() {
    let mut patient = Patient::healthy();
    patient.world.cluster.behave(Manner::Silent);
    let (json, _) = patient.json();
    let told = findings(&json);
    assert!(
        told.iter()
            .any(|(id, _, what)| id == "api.tls" && what.contains("in time")),
        "{told:?}"
    );
    patient.cluster()["proxy-url"] = "http://127.0.0.1:1".into();
    let (json, _) = patient.json();
    let told = findings(&json);
    assert!(
        told.iter()
            .any(|(id, _, what)| id == "api.tcp" && what.contains("the proxy 127.0.0.1:1")),
        "{told:?}"
    );
}

#[cfg(target_os = "linux")]
#[test]
fn a_keyring_that_fails_is_named_with_what_that_means() {
    use crate::token_cache::process::run_refused;
    for (storage, status, code, words) in [
        ("auto", "warn", 0, "by file permissions only"),
        ("keyring", "fail", 1, "tokens are not cached"),
    ] {
        let patient = Patient::healthy();
        let kubelogin = patient.world.kubelogin.clone().storage(storage);
        let output = run_refused(
            &kubelogin.args(["doctor", "cache.key", "--json"]),
            libc::EPERM,
        );
        let json: Value = serde_json::from_str(&output.stdout).expect("JSON");
        let told = findings(&json);
        assert_eq!(output.status.code(), Some(code), "{output:?}");
        assert_eq!((told.len(), &*told[0].1), (1, status), "{told:?}");
        assert!(
            told[0].2.contains(words) && told[0].2.contains("kernel keyring"),
            "{told:?}"
        );
        assert!(told[0].2.contains("--token-cache-storage disk"), "{told:?}");
    }
}

#[test]
fn a_kubeconfig_that_is_named_and_not_there_is_an_error() {
    let patient = Patient::healthy();
    let output = patient.run(&["--kubeconfig", "/no/such/config"]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(
        output
            .stdout
            .contains("fail kubeconfig.files     there is no kubeconfig at /no/such/config"),
        "{output:?}"
    );
}

#[cfg(unix)]
#[test]
fn a_kubeconfig_that_may_not_be_read_is_named() {
    use std::os::unix::fs::PermissionsExt as _;

    use crate::token_cache::process::run_without_rights;
    let room = TempDir::new();
    let path = room.file("config", "{}");
    let mode = |path: &Path, mode| {
        let mode = std::fs::Permissions::from_mode(mode);
        std::fs::set_permissions(path, mode).expect("a mode");
    };
    mode(room.path(), 0o755);
    mode(&path, 0o000);
    for command in ["doctor", "whoami"] {
        let kubelogin = Kubelogin::new().env("HOME", room.path()).arg(command);
        let output = run_without_rights(&kubelogin.arg("--kubeconfig").arg(&path));
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        let told = format!("{}{}", output.stdout, output.stderr);
        assert!(
            told.contains(&path.display().to_string()) && told.contains("ermission denied"),
            "{command}: {told}"
        );
    }
}

#[test]
fn a_closed_stdout_is_an_error_not_a_panic() {
    let patient = Patient::healthy();
    for command in ["doctor", "whoami"] {
        patient
            .world
            .kubelogin
            .clone()
            .arg(command)
            .run_into_nothing();
    }
}

#[test]
fn a_sign_in_that_others_wait_for_is_named() {
    let patient = Patient::healthy();
    let cache = patient.world.kubelogin.home().join(".kube/cache/kubelogin");
    let mut names = names_in(&cache).into_iter();
    let name = names.find(|name| name.starts_with("kubelogin-") && name.ends_with(".lock"));
    let lock = std::fs::File::open(cache.join(name.expect("a lock file"))).expect("it opens");
    lock.lock().expect("the lock is taken");
    let (json, code) = patient.json();
    let told = findings(&json);
    assert_eq!((told.len(), code), (1, Some(0)), "{told:?}");
    assert!(
        told[0].0 == "cache.lock" && told[0].2.contains("signing in"),
        "{told:?}"
    );
    // Where the system reports who holds a lock, that is this test.
    let locks = std::fs::read_to_string("/proc/locks").unwrap_or_default();
    let own = format!("kill {}", std::process::id());
    assert_eq!(told[0].2.contains(&own), !locks.is_empty(), "{told:?}");
}

/// `proxy-url` wins over the environment variables, as in kubectl.
#[test]
fn the_proxy_that_the_kubeconfig_names_is_the_one_on_the_way_to_the_server() {
    let mut patient = Patient::healthy();
    patient.cluster()["proxy-url"] = "http://user:hunter2@proxy.invalid:3128".into();
    patient
        .env
        .push(("HTTPS_PROXY", "http://other.invalid:1".into()));
    patient.args.push("environment.proxy".into());
    let (json, _) = patient.json();
    let told = json["checks"].to_string();
    assert!(
        told.contains("127.0.0.1 through the proxy proxy.invalid:3128"),
        "{told}"
    );
    assert!(!told.contains("hunter2"), "{told}");
}
