//! `doctor`: a broken situation for each check, with what must be said; and that it changes nothing.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

#[cfg(unix)]
use crate::golden::check;
use crate::support::*;
use crate::whoami::{LOGIN, World};

/// A healthy world, and one thing changed in it.
struct Patient {
    world: World,
    config: Value,
    env: Vec<(&'static str, String)>,
    args: Vec<String>,
}

impl Patient {
    fn healthy() -> Self {
        let world = World::new().signed_in();
        let config: Value = serde_json::from_str(&world.kubeconfig(&LOGIN)).expect("JSON");
        let patient = Self {
            world,
            config,
            env: Vec::new(),
            args: Vec::new(),
        };
        patient.install("kubelogin", Path::new(env!("CARGO_BIN_EXE_kubelogin")));
        patient.script(
            "kubectl",
            r#"echo '{"clientVersion":{"major":"1","minor":"33"}}'"#,
        );
        patient
    }

    fn bin(&self) -> PathBuf {
        self.world
            .kubelogin
            .home()
            .parent()
            .expect("the room")
            .join("bin")
    }

    fn install(&self, name: &str, program: &Path) {
        let name = if cfg!(windows) {
            format!("{name}.exe")
        } else {
            name.to_owned()
        };
        let path = self.bin().join(name);
        let _ = std::fs::remove_file(&path);
        #[cfg(unix)]
        std::os::unix::fs::symlink(program, path).expect("a link");
        #[cfg(not(unix))]
        std::fs::copy(program, path).map(drop).expect("a copy");
    }

    fn script(&self, name: &str, script: &str) {
        let _ = std::fs::remove_file(self.bin().join(name));
        let _ = self.world.kubelogin.clone().program(name, script);
    }

    fn cluster(&mut self) -> &mut Value {
        &mut self.config["clusters"][0]["cluster"]
    }

    fn exec(&mut self) -> &mut Value {
        &mut self.config["users"][0]["user"]["exec"]
    }

    fn run(&self, args: &[&str]) -> Output {
        self.world.write(&self.config.to_string());
        let mut kubelogin = self.world.kubelogin.clone();
        for (name, value) in &self.env {
            kubelogin = kubelogin.env(name, value);
        }
        kubelogin.arg("doctor").args(&self.args).args(args).run()
    }

    fn json(&self) -> (Value, Option<i32>) {
        let output = self.run(&["--json"]);
        let json = serde_json::from_str(&output.stdout);
        (
            json.unwrap_or_else(|error| panic!("{error}: {output:?}")),
            output.status.code(),
        )
    }
}

/// The findings of a run: id, status, what is wrong and what to do.
fn findings(json: &Value) -> Vec<(String, String, String)> {
    let checks = json["checks"].as_array().expect("checks");
    let text = |check: &Value, name: &str| check[name].as_str().expect("text").to_owned();
    checks
        .iter()
        .filter(|check| {
            ["warn", "fail"]
                .iter()
                .any(|status| check["status"] == *status)
        })
        .map(|check| {
            let told = format!("{} Fix: {}", text(check, "summary"), text(check, "remedy"));
            (text(check, "id"), text(check, "status"), told)
        })
        .collect()
}

#[test]
fn a_healthy_login_gets_a_line_for_each_area_and_no_finding() {
    let patient = Patient::healthy();
    let output = patient.run(&[]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert_eq!(output.stderr, "");
    let lines: Vec<_> = output.stdout.lines().collect();
    assert_eq!(
        lines.last(),
        Some(&"No problem found."),
        "{}",
        output.stdout
    );
    let areas = [
        "kubeconfig",
        "plugin",
        "environment",
        "login",
        "cache",
        "entra",
        "api",
    ];
    assert_eq!(lines.len(), areas.len() + 1, "{}", output.stdout);
    for (line, area) in lines.iter().zip(areas) {
        assert!(line.starts_with(&format!("ok   {area}")), "{line}");
    }
    let (json, code) = patient.json();
    assert_eq!((findings(&json), code), (vec![], Some(0)));
    assert_eq!(json["summary"]["skip"], 0, "{json:#}");
}

type Change = fn(&mut Patient);
type Situation = (&'static str, Change, &'static str, &'static [&'static str]);

/// For each check: what is broken, the status, and words that must be said.
#[rustfmt::skip]
const BROKEN: &[Situation] = &[
    ("kubeconfig.files", |p| p.env.push(("KUBECONFIG", "/no/such/config".into())), "warn",
        &["/no/such/config", "kubelogin get-credentials"]),
    ("kubeconfig.files", |p| p.config = json!({"contexts": 7}), "fail", &["config:1", "contexts must be a list"]),
    #[cfg(unix)]
    ("kubeconfig.mode", |p| {
        use std::os::unix::fs::PermissionsExt as _;
        p.world.write("{}");
        let path = p.world.kubelogin.home().join(".kube/config");
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o644)).expect("a mode");
    }, "warn", &["mode 644", "chmod 600"]),
    ("kubeconfig.context", |p| p.config["current-context"] = "fakes".into(), "fail", &["\"fakes\"", "Did you mean", "fake"]),
    ("kubeconfig.context", |p| p.config["contexts"][0]["context"] = json!({"user": "person"}), "fail", &["config:1", "has no cluster"]),
    ("kubeconfig.context", |p| p.config["contexts"][0]["context"]["user"] = "bob".into(), "fail", &["\"bob\"", "in no file"]),
    ("kubeconfig.user", |p| p.config["users"][0]["user"] = json!({"auth-provider": {"name": "azure"}}), "fail",
        &["removed in 1.26", "convert-kubeconfig"]),
    ("kubeconfig.user", |p| p.exec()["args"] = json!(["get-token", "--login", "kerberos", "--server-id", "s"]), "fail", &["kerberos"]),
    ("kubeconfig.user", |p| p.exec()["args"] = json!(["get-token", "--login", "spn"]), "fail", &["config:1", "server-id is required"]),
    ("plugin.path", |p| p.exec()["command"] = "/opt/no/kubelogin".into(), "fail", &["/opt/no/kubelogin", "convert-kubeconfig"]),
    ("plugin.path", |p| std::fs::remove_file(p.bin().join(if cfg!(windows) { "kubelogin.exe" } else { "kubelogin" })).expect("removed"), "fail",
        &["\"kubelogin\"", "PATH"]),
    ("plugin.which", |p| p.script("kubelogin", "echo kubelogin version v1.34.0"), "fail", &["int128/kubelogin", "order"]),
    ("plugin.policy", |p| {
        let path = p.world.kubelogin.home().join(".kube/kuberc");
        std::fs::write(path, "kind: Preference\ncredentialPluginPolicy: DenyAll\n").expect("kuberc");
    }, "fail", &["kuberc: credentialPluginPolicy is DenyAll", "kubectl kuberc set"]),
    ("plugin.policy", |p| {
        let path = p.world.kubelogin.home().join("kuberc-of-mine");
        std::fs::write(&path, "credentialPluginPolicy: Allowlist\ncredentialPluginAllowlist: [{command: aws}]\n").expect("kuberc");
        p.env.push(("KUBERC", path.display().to_string()));
    }, "fail", &["kuberc-of-mine", "does not name kubelogin"]),
    ("plugin.kubectl", |p| {
        std::fs::remove_file(p.bin().join(if cfg!(windows) { "kubectl.cmd" } else { "kubectl" })).expect("removed");
    }, "warn", &["kubectl is not on PATH"]),
    ("plugin.apiversion", |p| p.exec()["apiVersion"] = "client.authentication.k8s.io/v1alpha1".into(), "fail", &["v1alpha1", "1.24"]),
    ("plugin.apiversion", |p| {
        p.exec()["apiVersion"] = "client.authentication.k8s.io/v1".into();
        p.exec()["interactiveMode"] = "Never".into();
        p.script("kubectl", r#"echo '{"clientVersion":{"major":"1","minor":"21"}}'"#);
    }, "fail", &["kubectl 1.21"]),
    ("plugin.interactive", |p| p.exec()["interactiveMode"] = "Always".into(), "warn", &["interactiveMode is Always", "IfAvailable"]),
    ("environment.override", |p| p.env.push(("AZURE_CLIENT_ID", PUBLIC_CLIENT_ID.to_uppercase())), "warn",
        &["AZURE_CLIENT_ID overrides --client-id", "--disable-environment-override"]),
    ("environment.foreign", |p| {
        p.exec()["args"] = json!(["get-token", "--login", "msi", "--server-id", SERVER_ID]);
        p.env.push(("AZURE_CLIENT_ID", PUBLIC_CLIENT_ID.into()));
        p.env.push(("IDENTITY_ENDPOINT", "http://127.0.0.1:1/".into()));
        p.env.push(("IDENTITY_HEADER", "x".into()));
    }, "warn", &["--client-id from the variable AZURE_CLIENT_ID"]),
    ("environment.proxy", |p| {
        p.cluster()["server"] = "https://10.0.0.1".into();
        p.env.push(("HTTPS_PROXY", "http://user:hunter2@127.0.0.1:1".into()));
    }, "warn", &["10.0.0.1 leads through the proxy 127.0.0.1:1", "NO_PROXY"]),
    #[cfg(target_os = "linux")]
    ("environment.browser", |p| p.exec()["args"].as_array_mut().expect("args").extend(["--login".into(), "interactive".into()]), "warn",
        &["opens a browser", "DISPLAY"]),
    ("login.mode", |p| {
        let args = p.exec()["args"].as_array_mut().expect("args");
        args.retain(|arg| arg != "--login" && arg != "devicecode");
    }, "warn", &["Conditional Access", "convert-kubeconfig -l interactive --context fake"]),
    ("login.files", |p| p.exec()["args"] = json!(["get-token", "--login", "spn", "--server-id", SERVER_ID, "--client-id", "c", "--tenant-id",
        TENANT_ID, "--client-certificate", "/no/such/cert.pem"]), "fail", &["/no/such/cert.pem"]),
    ("login.files", |p| {
        let path = p.world.kubelogin.home().join("token");
        let now = 1_000_000_000;
        let claims = json!({"iss": "https://issuer.example", "sub": "repo:x", "aud": "y", "exp": now});
        std::fs::write(&path, p.world.entra.sign(&claims)).expect("a token");
        p.exec()["args"] = json!(["get-token", "--login", "workloadidentity", "--server-id", SERVER_ID, "--client-id", "c", "--tenant-id",
            TENANT_ID, "--federated-token-file", path]);
    }, "fail", &["expired", "https://issuer.example", "repo:x"]),
    ("login.tool", |p| p.exec()["args"] = json!(["get-token", "--login", "azurecli", "--server-id", SERVER_ID]), "fail",
        &["runs az", "PATH", "Install az"]),
    #[cfg(unix)]
    ("login.tool", |p| {
        p.script("az", "exit 1");
        p.exec()["args"] = json!(["get-token", "--login", "azurecli", "--server-id", SERVER_ID]);
    }, "fail", &["az is not signed in", "az login"]),
    ("login.token", |p| drop(p.world.kubelogin.clone().arg("remove-cache-dir").run()), "warn",
        &["whoami --sign-in --context fake"]),
    ("login.fit", |p| {
        drop(p.world.kubelogin.clone().arg("remove-cache-dir").run());
        let mut claims = claims_of(&p.world.entra.federated_token());
        claims["aud"] = format!("spn:{SERVER_ID}").into();
        let answer = json!({"access_token": p.world.entra.sign(&claims), "expires_in": 3600});
        p.world.entra.next(Endpoint::Token, Reply::json(200, &answer));
        p.world.sign_in();
    }, "fail", &["spn:", "workloadidentity"]),
    #[cfg(unix)]
    ("cache.folder", |p| {
        let path = p.world.kubelogin.home().join("not-a-folder");
        std::fs::write(&path, "").expect("a file");
        p.exec()["args"].as_array_mut().expect("args").extend(["--cache-dir".into(), json!(path)]);
    }, "fail", &["not-a-folder", "--cache-dir"]),
    ("cache.entries", |p| {
        let cache = p.world.kubelogin.home().join(".kube/cache/kubelogin");
        std::fs::write(cache.join("kubelogin.key"), [7; 32]).expect("another key");
    }, "warn", &["1 of 1 remembered sign-ins", "remove-cache-dir"]),
    ("entra.dns", |p| p.exec()["args"][2] = "https://login.invalid/".into(), "fail", &["login.invalid cannot be resolved"]),
    ("entra.tcp", |p| p.exec()["args"][2] = "https://127.0.0.1:1/".into(), "fail", &["127.0.0.1", "does not take a connection"]),
    ("entra.tls", |p| p.world.entra.show(Certificate::Untrusted), "fail", &["certificate", "SSL_CERT_FILE"]),
    ("entra.tenant", |p| p.exec()["args"].as_array_mut().expect("args").extend(["--tenant-id".into(), "99999999-aaaa-4aaa-8aaa-999999999999".into()]),
        "fail", &["AADSTS90002", "--tenant-id"]),
    ("entra.clock", |p| {
        let reply = Reply::json(200, &json!({"issuer": "x"})).header("Date", "Fri, 01 Jan 2100 00:00:00 GMT");
        p.world.entra.next(Endpoint::Discovery, reply);
    }, "fail", &["behind", "timedatectl"]),
    ("api.server", |p| p.cluster()["server"] = "http://127.0.0.1:1".into(), "fail", &["config:1", "not an https URL"]),
    ("api.server", |p| p.cluster()["certificate-authority-data"] = "***".into(), "fail", &["not base64"]),
    ("api.server", |p| p.cluster()["insecure-skip-tls-verify"] = true.into(), "warn", &["insecure-skip-tls-verify"]),
    ("api.dns", |p| p.cluster()["server"] = "https://gone.invalid".into(), "fail", &["gone.invalid cannot be resolved", "powerState"]),
    ("api.tcp", |p| p.cluster()["server"] = "https://127.0.0.1:1".into(), "fail", &["does not take a connection", "authorised IP ranges"]),
    ("api.tls", |p| p.cluster()["certificate-authority-data"] = "eA==".into(), "fail", &["certificate", "--overwrite-existing"]),
    ("api.tls", |p| p.world.cluster.behave(Manner::WebPage), "fail", &["web page", "proxy-url"]),
    ("api.tls", |p| p.world.cluster.behave(Manner::Redirects("https://elsewhere.example/".into())), "fail", &["redirect"]),
    ("api.dns", |p| p.cluster()["proxy-url"] = "http://proxy.invalid:3128".into(), "fail", &["the proxy proxy.invalid"]),
    ("api.auth", |p| p.world.cluster.behave(Manner::Unauthorized), "fail", &["Unauthorized", "another tenant", "aadProfile"]),
    ("api.authz", |p| p.world.cluster.behave(Manner::Powerless(Rbac::Azure)), "warn", &["Azure RBAC", "az role assignment create"]),
    ("api.authz", |p| p.world.cluster.behave(Manner::Powerless(Rbac::Kubernetes)), "warn", &["Kubernetes RBAC", "clusterrolebinding"]),
    ("api.authz", |p| p.world.cluster.behave(Manner::Forbidden(Rbac::Kubernetes)), "fail", &["Forbidden", USER_NAME]),
];

#[test]
fn every_broken_situation_is_named_with_its_remedy_and_the_exit_code_says_so() {
    // Each waits a second for its device code: together they take no longer than a few.
    std::thread::scope(|scope| {
        for situations in BROKEN.chunks(BROKEN.len().div_ceil(8)) {
            scope.spawn(move || situations.iter().for_each(is_named));
        }
    });
}

fn is_named((id, change, status, words): &Situation) {
    let mut patient = Patient::healthy();
    change(&mut patient);
    let (json, code) = patient.json();
    let checks = json["checks"].as_array().expect("checks");
    let check = checks
        .iter()
        .find(|check| check["id"] == *id)
        .expect("the check");
    assert_eq!(check["status"], *status, "{id}: {check:#}");
    let told = format!("{} Fix: {}", check["summary"], check["remedy"]).replace("\\\"", "\"");
    for word in *words {
        assert!(told.contains(word), "{id}, {word}: {told}");
    }
    let has_failed = checks.iter().any(|check| check["status"] == "fail");
    assert_eq!(
        (code, json["exitCode"] == 1),
        (Some(i32::from(has_failed)), has_failed),
        "{id}"
    );
    patient.world.entra.take_violations();
}

#[test]
fn there_is_a_broken_situation_for_each_check() {
    let output = Kubelogin::new().args(["doctor", "--list"]).run();
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    // A keyring that fails and the address of IMDS cannot be had on every machine; a held lock has a test of its own.
    let elsewhere = ["cache.key", "cache.lock", "entra.imds"];
    for line in output.stdout.lines() {
        let id = line.split(' ').next().expect("an id");
        let is_tested = elsewhere.contains(&id) || BROKEN.iter().any(|(other, ..)| *other == id);
        let is_unix_only = cfg!(not(unix))
            && ["kubeconfig.mode", "cache.folder", "environment.browser"].contains(&id);
        assert!(is_tested || is_unix_only, "{id} has no broken situation");
    }
}

/// The same files with the same content, the same requests, nobody asked.
#[test]
fn it_changes_nothing_and_asks_nobody() {
    fn files(folder: &Path, all: &mut Vec<(PathBuf, Vec<u8>)>) {
        for entry in std::fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            match path.is_dir() {
                true => files(&path, all),
                false => all.push((path.clone(), std::fs::read(&path).unwrap_or_default())),
            }
        }
        all.sort();
    }
    let spn = [
        "--login",
        "spn",
        "--server-id",
        SERVER_ID,
        "--tenant-id",
        TENANT_ID,
        "--client-id",
        CONFIDENTIAL_CLIENT_ID,
    ];
    let healthy = Patient::healthy();
    let mut nobody = Patient::healthy();
    drop(nobody.world.kubelogin.clone().arg("remove-cache-dir").run());
    nobody.config = json!({});
    let mut application = Patient::healthy();
    let config = application.world.kubeconfig(&spn);
    application.config = serde_json::from_str(&config).expect("JSON");
    application
        .env
        .push(("AZURE_CLIENT_SECRET", CLIENT_SECRET.into()));
    for patient in [healthy, nobody, application] {
        patient.world.write(&patient.config.to_string());
        let home = patient.world.kubelogin.home();
        let (mut before, mut after) = (Vec::new(), Vec::new());
        files(&home, &mut before);
        let prompts = patient.world.entra.prompts();
        let output = patient.run(&["-v", "1"]);
        output.hides(&[CLIENT_SECRET]);
        files(&home, &mut after);
        assert_eq!(before, after, "{output:?}");
        assert_eq!(patient.world.entra.prompts(), prompts);
    }
}

#[test]
fn what_it_prints_can_be_shown_to_everyone() {
    let patient = Patient::healthy();
    patient.world.cluster.behave(Manner::Powerless(Rbac::Azure));
    let plain = patient.run(&["-v", "9"]);
    let token = patient.world.cluster.requests().pop().expect("a request");
    let token = token
        .header("authorization")
        .expect("a token")
        .replace("Bearer ", "");
    plain.hides(&[&token]);
    let names = [
        USER_NAME,
        TENANT_ID,
        SERVER_ID,
        PUBLIC_CLIENT_ID,
        "127.0.0.1",
        "person",
    ];
    for name in names {
        assert!(plain.stdout.contains(name), "{name}: {}", plain.stdout);
    }
    for args in [
        &["--redact"][..],
        &["--redact", "-v", "9"],
        &["--redact", "--json"],
    ] {
        let output = patient.run(args);
        output.hides(&names);
        output.hides(&[&patient.world.kubelogin.home().display().to_string()]);
        assert!(output.stdout.contains("<id-"), "{output:?}");
    }
}

#[test]
fn checks_are_chosen_by_name_and_the_others_are_not_made() {
    let patient = Patient::healthy();
    let output = patient.run(&["kubeconfig", "cache.folder"]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert_eq!(output.stdout.lines().count(), 3, "{output:?}");
    assert_eq!(patient.world.cluster.requests().len(), 0);
    assert!(
        patient
            .run(&["cache.folders"])
            .error()
            .contains("cache.folder")
    );
}

#[test]
fn without_a_kubeconfig_it_checks_this_machine_and_with_flags_that_login() {
    let patient = Patient::healthy();
    let path = patient.world.kubelogin.home().join(".kube/config");
    let kubelogin = patient.world.kubelogin.clone().arg("doctor");
    std::fs::remove_file(path).expect("removed");
    let output = kubelogin.run();
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert!(
        output.stdout.contains("there is no kubeconfig"),
        "{output:?}"
    );
    let host = patient.world.entra.authority_host();
    let output = kubelogin
        .args(["--authority-host", &host])
        .args(LOGIN)
        .run();
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert!(
        output.stdout.contains(&format!("signed in as {USER_NAME}")),
        "{output:?}"
    );
    assert_eq!(patient.world.cluster.requests().len(), 0);
}

#[test]
fn users_of_other_programs_are_named_and_left_alone() {
    let mut patient = Patient::healthy();
    let users = patient.config["users"].as_array_mut().expect("users");
    users.push(json!({"name": "amazon", "user": {"exec": {"command": "aws", "apiVersion": "v1"}}}));
    let output = patient.run(&[]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert!(
        output
            .stdout
            .contains("left alone: \"amazon\" (the program \"aws\")"),
        "{output:?}"
    );
    let tokens = |patient: &Patient| {
        let requests = patient.world.cluster.requests();
        requests
            .iter()
            .filter(|request| request.header("authorization").is_some())
            .count()
    };
    let before = tokens(&patient);
    patient.config["contexts"][0]["context"]["user"] = "amazon".into();
    let output = patient.run(&[]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert!(
        output
            .stdout
            .contains("the user of this context is left alone"),
        "{output:?}"
    );
    assert_eq!(tokens(&patient), before);
}

/// kubectl runs a plugin with KUBERNETES_EXEC_INFO: its errors name the context of the kubeconfig, within three lines.
#[test]
fn an_error_of_get_token_that_can_be_looked_into_ends_with_the_command_for_its_context() {
    let patient = Patient::healthy();
    drop(
        patient
            .world
            .kubelogin
            .clone()
            .arg("remove-cache-dir")
            .run(),
    );
    let args: Vec<String> =
        serde_json::from_value(patient.config["users"][0]["user"]["exec"]["args"].clone())
            .expect("args");
    let get_token = patient.world.kubelogin.clone().args(&args);
    let by_kubectl = get_token.clone().env("KUBERNETES_EXEC_INFO", "{}");
    patient
        .world
        .entra
        .change(|rules| rules.device_code.polls = vec![Poll::Refuse(53003)]);
    let error = by_kubectl.run().error();
    assert!(
        error.contains("More: kubelogin doctor --context fake"),
        "{error}"
    );
    for other in [get_token, by_kubectl.args(["--timeout", "9s"])] {
        let error = other.run().error();
        assert!(
            error.contains("AADSTS53003") && !error.contains("doctor"),
            "{error}"
        );
    }
}

/// What people read and programs parse, of a healthy login and of one where much is wrong.
#[test]
#[cfg(unix)] // paths and programs have other names elsewhere
fn the_pages_are_as_they_were() {
    let healthy = Patient::healthy();
    let mut broken = Patient::healthy();
    broken.exec()["apiVersion"] = "client.authentication.k8s.io/v1alpha1".into();
    broken
        .env
        .push(("AZURE_CLIENT_ID", PUBLIC_CLIENT_ID.to_uppercase()));
    broken.cluster()["insecure-skip-tls-verify"] = true.into();
    broken.world.cluster.behave(Manner::Unauthorized);
    drop(broken.world.kubelogin.clone().arg("remove-cache-dir").run());
    for (name, patient) in [("healthy", &healthy), ("broken", &broken)] {
        for (kind, args) in [("txt", &[][..]), ("json", &["--json"])] {
            let output = patient.run(args);
            check(
                &format!("doctor/{name}.{kind}"),
                &without_chance(&output.stdout, patient),
            );
        }
    }
    let whoami = |args: &[&str]| {
        healthy
            .world
            .kubelogin
            .clone()
            .arg("whoami")
            .args(args)
            .run()
            .stdout
    };
    check("whoami.txt", &without_chance(&whoami(&[]), &healthy));
    check(
        "whoami.json",
        &without_chance(&whoami(&["-o", "json"]), &healthy),
    );
}

/// A page without what differs from run to run: the room, ports, times.
#[cfg(unix)]
fn without_chance(text: &str, patient: &Patient) -> String {
    let room = patient.world.kubelogin.home();
    let room = room.parent().expect("the room").display().to_string();
    let mut stable = String::new();
    for line in text.replace(&room, "/room").lines() {
        let labels = ["token until", "\"expiresOn\":", "\"issuedAt\":"];
        let time = labels
            .iter()
            .find_map(|label| Some(line.find(label)? + label.len()));
        let line = match time {
            Some(at) => line[..at].to_owned() + " [time]",
            None => line.to_owned(),
        };
        for (number, piece) in line.split("127.0.0.1:").enumerate() {
            let rest = piece.trim_start_matches(|c: char| c.is_ascii_digit());
            stable += &match number {
                0 => piece.to_owned(),
                _ => format!("127.0.0.1:[port]{rest}"),
            };
        }
        stable.push('\n');
    }
    for minutes in ["59 min", "60 min"] {
        stable = stable.replace(minutes, "[n] min");
    }
    for seconds in 0..60 {
        stable = stable.replace(&format!("as of {seconds} s ago"), "as of [n] s ago");
    }
    stable.replace(env!("CARGO_PKG_VERSION"), "[version]")
}

/// Files that are no kubeconfigs, and servers that are no clusters.
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

#[test]
fn a_closed_stdout_is_an_error_and_no_panic() {
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
    let files = std::fs::read_dir(cache).expect("a cache");
    let mut paths = files.map(|file| file.expect("a file").path());
    let path = paths.find(|path| {
        path.to_string_lossy().contains("kubelogin-") && path.extension() == Some("lock".as_ref())
    });
    let lock = std::fs::File::open(path.expect("a lock file")).expect("it opens");
    lock.lock().expect("it is free");
    let (json, code) = patient.json();
    let told = findings(&json);
    assert_eq!((told.len(), code), (1, Some(0)), "{told:?}");
    assert!(
        told[0].0 == "cache.lock" && told[0].2.contains("signing in"),
        "{told:?}"
    );
}
