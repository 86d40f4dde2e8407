//! `doctor`: each check fails when something is broken, with the expected words, and `doctor` changes nothing.

mod azure; // what it asks Azure Resource Manager
mod bad_input; // files that are not kubeconfigs, servers that are not clusters, keyrings, locks
mod own; // users that sign in without kubelogin
mod situations; // what can be broken, and what doctor must say about it

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

#[cfg(unix)]
use crate::golden::check;
use crate::support::*;
use crate::whoami::{LOGIN, World};

/// A healthy setup with one thing changed.
struct Patient {
    world: World,
    /// Azure Resource Manager, for `--arm`.
    arm: Option<FakeArm>,
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
            arm: None,
            config,
            env: Vec::new(),
            args: Vec::new(),
        };
        patient.install("kubelogin", &program_under_test());
        patient.script(
            "kubectl",
            r#"echo '{"clientVersion":{"major":"1","minor":"33"}}'"#,
        );
        patient
    }

    /// Azure knows the cluster, and `doctor` asks about it.
    fn known_to_azure(&mut self, change: impl FnOnce(&mut FakeCluster)) {
        self.in_azure(|rules| change(&mut rules.clusters[0]));
    }

    /// The same, with other changes in Azure.
    fn in_azure(&mut self, change: impl FnOnce(&mut ArmRules)) {
        let server = self.world.cluster.url();
        self.arm = Some(FakeArm::start_with(&self.world.entra, |rules| {
            rules.clusters[0].server = server;
            change(rules);
        }));
        self.args.push("--arm".into());
        let proxy = self.world.entra.proxy_url();
        self.env.push(("HTTPS_PROXY", proxy));
        self.env.push(("NO_PROXY", "127.0.0.1".into()));
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

/// A run's findings: ID, status, what is wrong and what to do.
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

/// Same files and content afterwards, and no prompt.
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
fn of_several_kubeconfigs_the_one_that_chooses_the_context_is_named() {
    let patient = Patient::healthy();
    let home = patient.world.kubelogin.home();
    let first = home.join("first");
    std::fs::write(&first, "clusters: []\n").expect("written");
    let second = home.join(".kube/config");
    let list = std::env::join_paths([&first, &second]).expect("a list");
    let output = patient
        .world
        .kubelogin
        .clone()
        .env("KUBECONFIG", list)
        .args(["doctor", "kubeconfig.context"])
        .run();
    let words = format!("context \"fake\" (current by {}:", second.display());
    assert!(output.stdout.contains(&words), "{words}: {output:?}");
}

#[test]
fn the_logins_that_are_remembered_are_named_and_masked() {
    let patient = Patient::healthy();
    let host = patient.world.entra.authority_host();
    let application = patient.world.kubelogin.clone().arg("get-token");
    let application = application
        .args(["--login", "spn", "--client-id", CONFIDENTIAL_CLIENT_ID])
        .args(&LOGIN[2..6])
        .args(["--authority-host", &host, "--disable-instance-discovery"]);
    application
        .env("AZURE_CLIENT_SECRET", CLIENT_SECRET)
        .run()
        .token();
    let plain = patient.run(&["cache.entries"]).stdout;
    for words in [
        "2 cached: ",
        USER_NAME,
        CONFIDENTIAL_CLIENT_ID,
        " minutes left",
    ] {
        assert!(plain.contains(words), "{words}: {plain}");
    }
    let masked = patient.run(&["cache.entries", "--redact"]);
    masked.hides(&[USER_NAME, CONFIDENTIAL_CLIENT_ID]);
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
        .args(["--authority-host", &host, "--disable-instance-discovery"])
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
            .contains("not kubelogin's: \"amazon\" (the program \"aws\")"),
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
            .contains("the user of this context is not kubelogin's"),
        "{output:?}"
    );
    assert_eq!(tokens(&patient), before);
}

/// kubectl runs its plugin with KUBERNETES_EXEC_INFO. Errors then name the kubeconfig's context, in three lines at most.
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

/// Text and JSON output for a healthy login and for a badly broken one.
#[test]
#[cfg(unix)] // paths and programs have different names elsewhere
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

/// Replaces what differs from run to run: folders, ports, times.
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
    for minutes in ["59 minutes", "60 minutes"] {
        stable = stable.replace(minutes, "[n] minutes");
    }
    for seconds in 0..60 {
        for unit in ["second", "seconds"] {
            let ago = format!("as of {seconds} {unit} ago");
            stable = stable.replace(&ago, "as of [n] seconds ago");
        }
    }
    stable.replace(env!("CARGO_PKG_VERSION"), "[version]")
}
