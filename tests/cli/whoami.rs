//! `whoami`: what it prints, what it asks the cluster, and its exit codes.

mod own; // a certificate or token in the kubeconfig

use serde_json::{Value, json};

use crate::support::*;

/// A cluster, and a kubeconfig for it whose user signs in by device code.
pub struct World {
    pub entra: FakeEntra,
    pub cluster: FakeApiServer,
    pub kubelogin: Kubelogin,
}

pub const LOGIN: [&str; 8] = [
    "--login",
    "devicecode",
    "--server-id",
    SERVER_ID,
    "--tenant-id",
    TENANT_ID,
    "--client-id",
    PUBLIC_CLIENT_ID,
];

impl World {
    pub fn new() -> Self {
        let entra = FakeEntra::start();
        let cluster = FakeApiServer::start(&entra);
        let kubelogin = Kubelogin::new().env("SSL_CERT_FILE", entra.ca_file());
        let world = Self {
            entra,
            cluster,
            kubelogin,
        };
        world.write(&world.kubeconfig(&LOGIN));
        world
    }

    pub fn kubeconfig(&self, login: &[&str]) -> String {
        let host = self.entra.authority_host();
        let args = [
            &[
                "get-token",
                "--authority-host",
                &host,
                "--disable-instance-discovery",
            ][..],
            login,
        ]
        .concat();
        let exec = json!({"apiVersion": "client.authentication.k8s.io/v1beta1", "command": "kubelogin", "args": args});
        self.cluster.kubeconfig(&json!({"exec": exec}))
    }

    pub fn write(&self, kubeconfig: &str) {
        let folder = self.kubelogin.home().join(".kube");
        std::fs::create_dir_all(&folder).expect("a folder");
        let path = folder.join("config");
        let is_new = !path.exists();
        std::fs::write(&path, kubeconfig).expect("a kubeconfig");
        if cfg!(unix) && is_new {
            #[cfg(unix)]
            std::fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o600))
                .expect("a mode");
        }
    }

    /// Signs in, as the first kubectl command does.
    pub fn signed_in(self) -> Self {
        self.sign_in();
        self
    }

    pub fn sign_in(&self) {
        let host = self.entra.authority_host();
        let get_token = self.kubelogin.clone().arg("get-token").args(LOGIN);
        get_token
            .args(["--authority-host", &host, "--disable-instance-discovery"])
            .run()
            .token();
    }

    fn whoami(&self, args: &[&str]) -> Output {
        self.kubelogin.clone().arg("whoami").args(args).run()
    }

    fn json(&self, args: &[&str]) -> (Value, Option<i32>) {
        let output = self.whoami(&[&["-o", "json"], args].concat());
        let json = serde_json::from_str(&output.stdout);
        (
            json.unwrap_or_else(|error| panic!("{error}: {output:?}")),
            output.status.code(),
        )
    }
}

#[test]
fn it_shows_who_is_signed_in_and_whom_the_cluster_sees() {
    let world = World::new().signed_in();
    let output = world.whoami(&[]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    for words in [
        "SIGNED IN AS",
        USER_NAME,
        "THE CLUSTER SEES",
        "system:authenticated",
        " devicecode (args, ",
        "config:",
    ] {
        assert!(output.stdout.contains(words), "{words}: {}", output.stdout);
    }
    assert!(!output.stdout.contains("MISMATCHES"), "{}", output.stdout);
    assert_eq!(output.stderr, "");
    assert_eq!(world.entra.prompts(), 1);
    let paths: Vec<_> = world
        .cluster
        .requests()
        .into_iter()
        .map(|request| request.path)
        .collect();
    assert_eq!(
        paths,
        [
            "/version",
            "/apis/authentication.k8s.io/v1/selfsubjectreviews"
        ]
    );
    let greeting = &world.cluster.requests()[0];
    assert_eq!(greeting.header("authorization"), None);
}

#[test]
fn json_says_the_same_and_the_token_is_in_neither() {
    let world = World::new().signed_in();
    let (json, code) = world.json(&["--claims"]);
    assert_eq!(code, Some(0));
    assert_eq!(json["signedIn"]["name"], USER_NAME);
    assert_eq!(json["signedIn"]["kind"], "user");
    assert_eq!(json["cluster"]["username"], USER_NAME);
    assert_eq!(json["claims"]["aud"], SERVER_ID);
    assert_eq!(json["options"][0]["flag"], "--login");
    let token = world.cluster.requests().pop().expect("a request");
    let token = token
        .header("authorization")
        .expect("a token")
        .replace("Bearer ", "");
    let signature = token.rsplit('.').next().expect("a signature");
    for args in [&["--claims"][..], &["--claims", "-o", "json"], &["-v", "9"]] {
        world.whoami(args).hides(&[&token, signature]);
    }
}

#[test]
fn nobody_is_asked_unless_sign_in_is_given() {
    let world = World::new();
    let output = world.whoami(&[]);
    assert_eq!(output.status.code(), Some(3), "{output:?}");
    assert!(output.stdout.contains("nobody"), "{output:?}");
    assert_eq!(
        (world.entra.requests().len(), world.cluster.requests().len()),
        (0, 0)
    );
    let (json, code) = world.json(&[]);
    assert_eq!((code, &json["signedIn"]), (Some(3), &Value::Null));
    let output = world.whoami(&["--sign-in"]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert_eq!(world.entra.prompts(), 1);
}

#[test]
fn offline_the_cluster_is_left_alone() {
    let world = World::new().signed_in();
    let output = world.whoami(&["--offline"]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert!(
        output.stdout.contains(USER_NAME) && !output.stdout.contains("CLUSTER"),
        "{output:?}"
    );
    assert_eq!(world.cluster.requests().len(), 0);
}

#[test]
fn older_clusters_are_asked_in_their_version() {
    let world = World::new().signed_in();
    for (version, requests) in [("v1beta1", 3), ("v1alpha1", 4)] {
        world.cluster.behave(Manner::Knows(version));
        let before = world.cluster.requests().len();
        let output = world.whoami(&[]);
        assert!(output.stdout.contains("system:authenticated"), "{output:?}");
        assert_eq!(world.cluster.requests().len() - before, requests);
    }
    world.cluster.behave(Manner::Knows(""));
    let output = world.whoami(&[]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert!(output.stdout.contains("before 1.26"), "{output:?}");
}

#[test]
fn a_cluster_that_does_not_accept_is_explained_in_its_own_words() {
    let world = World::new().signed_in();
    for (manner, words) in [
        (
            Manner::Unauthorized,
            &["Unauthorized", "another tenant", "aadProfile"][..],
        ),
        (
            Manner::Forbidden(Rbac::Azure),
            &["Azure RBAC", "az role assignment create"],
        ),
        (
            Manner::Forbidden(Rbac::Kubernetes),
            &["Kubernetes RBAC", "clusterrolebinding", USER_NAME],
        ),
        (
            Manner::WebPage,
            &["web page", "kubelogin doctor --context fake"],
        ),
        (
            Manner::Redirects("https://elsewhere.example/".into()),
            &["redirect", "elsewhere.example"],
        ),
    ] {
        world.cluster.behave(manner.clone());
        let output = world.whoami(&[]);
        assert_eq!(output.status.code(), Some(1), "{manner:?}: {output:?}");
        for word in words {
            assert!(
                output.stdout.contains(word),
                "{manner:?}, {word}: {}",
                output.stdout
            );
        }
        let (json, code) = world.json(&[]);
        assert_eq!(
            (code, &json["cluster"]["accepted"]),
            (Some(1), &json!(false))
        );
    }
}

#[test]
fn a_token_that_does_not_fit_is_named() {
    let world = World::new();
    let mut claims = claims_of(&world.entra.federated_token());
    claims["aud"] = format!("spn:{SERVER_ID}").into();
    claims["tid"] = "99999999-aaaa-4aaa-8aaa-999999999999".into();
    claims["upn"] = USER_NAME.into();
    claims["scp"] = "user_impersonation".into();
    let answer = json!({"access_token": world.entra.sign(&claims), "expires_in": 3600});
    world.entra.next(Endpoint::Token, Reply::json(200, &answer));
    let world = world.signed_in();
    let output = world.whoami(&["--offline"]);
    for word in ["MISMATCHES", "spn:", "--tenant-id is", "workloadidentity"] {
        assert!(output.stdout.contains(word), "{word}: {}", output.stdout);
    }
}

/// A certificate from another authority: the cluster was recreated, or something intercepts the connection.
#[test]
fn only_the_cluster_s_own_authority_counts() {
    let world = World::new().signed_in();
    let other = FakeEntra::start();
    use base64::Engine as _;
    let encode = |pem: &str| base64::engine::general_purpose::STANDARD.encode(pem);
    let config = world
        .kubeconfig(&LOGIN)
        .replace(&encode(world.entra.ca_pem()), &encode(other.ca_pem()));
    world.write(&config);
    // The authority from the environment would accept it, but does not count.
    let output = world.whoami(&[]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(output.stdout.contains("certificate"), "{output:?}");
    assert_eq!(world.cluster.requests().len(), 0);
}

#[test]
fn a_tls_server_name_is_asked_for_and_checked() {
    let world = World::new().signed_in();
    let with_name = |name: &str| {
        let mut config: Value = serde_json::from_str(&world.kubeconfig(&LOGIN)).expect("JSON");
        config["clusters"][0]["cluster"]["tls-server-name"] = name.into();
        world.write(&config.to_string());
        world.whoami(&[])
    };
    let output = with_name("kubernetes.default");
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let host = world.cluster.requests().pop().expect("a request");
    assert_eq!(format!("https://{}", host.host()), world.cluster.url());
}

#[test]
fn contexts_that_cannot_be_looked_at_are_named_with_their_line() {
    let world = World::new();
    for (change, words) in [
        (
            json!({"contexts": [{"name": "fake"}]}),
            &["config:", "has no user"][..],
        ),
        (
            json!({"contexts": [{"name": "fake", "context": {"user": "bob"}}]}),
            &["\"bob\"", "does not exist"],
        ),
        (
            json!({"users": [{"name": "person", "user": {"exec": {"command": "aws", "args": ["eks"]}}}]}),
            &["\"aws\""],
        ),
        (
            json!({"users": [{"name": "person", "user": {"exec": {"command": "kubelogin", "args": ["get-token", "--oidc-issuer-url=x"]}}}]}),
            &["int128"],
        ),
        (
            json!({"users": [{"name": "person", "user": {"exec": {"command": "kubelogin", "args": ["get-token", "--nope"]}}}]}),
            &["--nope", "config:"],
        ),
        (
            json!({"users": [{"name": "person", "user": {"username": "bob", "password": "hunter2"}}]}),
            &["a password", "kubectl auth whoami --context fake"],
        ),
        (json!({"current-context": ""}), &["no current context"]),
        (
            json!({"current-context": "fakes"}),
            &["Did you mean", "fake"],
        ),
    ] {
        let mut config: Value = serde_json::from_str(&world.kubeconfig(&LOGIN)).expect("JSON");
        for (name, value) in change.as_object().expect("an object") {
            config[name] = value.clone();
        }
        world.write(&config.to_string());
        let output = world.whoami(&[]);
        output.hides(&["hunter2"]);
        let error = output.error();
        for word in words {
            assert!(error.contains(word), "{change}: {error}");
        }
    }
}

#[test]
fn a_kubeconfig_that_does_not_exist_is_named_whatever_is_asked_of_it() {
    let kubelogin = Kubelogin::new().args(["whoami", "--kubeconfig", "nowhere"]);
    for args in [&[][..], &["--context", "x"], &["--all-contexts"]] {
        let error = kubelogin.clone().args(args).run().error();
        assert!(
            error.contains("there is no kubeconfig at nowhere"),
            "{args:?}: {error}"
        );
    }
}

#[test]
fn every_context_gets_a_line_in_the_order_of_the_file() {
    let world = World::new().signed_in();
    let mut config: Value = serde_json::from_str(&world.kubeconfig(&LOGIN)).expect("JSON");
    let mut contexts = Vec::new();
    for number in 0..40 {
        contexts.push(
            json!({"name": format!("c{number}"), "context": {"cluster": "fake", "user": "person"}}),
        );
    }
    contexts.push(json!({"name": "eks", "context": {"cluster": "fake", "user": "amazon"}}));
    config["contexts"] = contexts.into();
    let users = config["users"].as_array_mut().expect("users");
    users.push(json!({"name": "amazon", "user": {"exec": {"command": "aws"}}}));
    world.write(&config.to_string());
    let output = world.whoami(&["--all-contexts"]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let names: Vec<_> = output
        .stdout
        .lines()
        .map(|line| line.split(' ').next().unwrap_or_default())
        .collect();
    let expected: Vec<_> = (0..40).map(|number| format!("c{number}")).collect();
    assert_eq!(names[1..41], expected);
    assert!(
        output.stdout.contains(&format!("accepts {USER_NAME}")),
        "{output:?}"
    );
    assert!(
        output
            .stdout
            .lines()
            .last()
            .is_some_and(|line| line.contains("skipped")),
        "{output:?}"
    );
    let (json, _) = world.json(&["--all-contexts"]);
    assert_eq!(json["contexts"].as_array().map(Vec::len), Some(41));
}

#[test]
fn flags_alone_describe_a_login_without_a_kubeconfig() {
    let world = World::new().signed_in();
    world.write("not: [a kubeconfig");
    let host = world.entra.authority_host();
    let output = world.whoami(
        &[
            &["--authority-host", &host, "--disable-instance-discovery"][..],
            &LOGIN,
        ]
        .concat(),
    );
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert!(
        output.stdout.contains(USER_NAME) && output.stdout.contains("(typed)"),
        "{output:?}"
    );
    assert!(
        world.whoami(&[]).error().contains("config:1"),
        "the kubeconfig was damaged"
    );
}

#[test]
fn a_variable_that_overrides_a_flag_is_named_with_its_place() {
    let world = World::new().signed_in();
    let mut config: Value = serde_json::from_str(&world.kubeconfig(&LOGIN)).expect("JSON");
    config["users"][0]["user"]["exec"]["env"] =
        json!([{"name": "AZURE_CLIENT_ID", "value": PUBLIC_CLIENT_ID}]);
    world.write(&config.to_string());
    let shell = world
        .kubelogin
        .clone()
        .env("AZURE_TENANT_ID", "other.example");
    let output = shell.args(["whoami", "--offline"]).run();
    assert_eq!(
        output.status.code(),
        Some(3),
        "another tenant's login was not ignored: {output:?}"
    );
    assert!(
        output.stdout.contains("AZURE_TENANT_ID overrides the flag"),
        "{output:?}"
    );
    assert!(
        output
            .stdout
            .contains("AZURE_CLIENT_ID in env of the plugin"),
        "{output:?}"
    );
}

/// Otherwise `--context "$CONTEXT"` with an unset variable would look at the wrong cluster.
#[test]
fn a_flag_that_is_typed_and_empty_is_an_error_that_names_it() {
    let world = World::new();
    for command in ["whoami", "doctor", "logout"] {
        for flag in ["--context", "--kubeconfig", "--output"] {
            if flag == "--output" && command != "whoami" {
                continue;
            }
            for args in [&[flag, ""][..], &[&format!("{flag}=")]] {
                let error = world
                    .kubelogin
                    .clone()
                    .arg(command)
                    .args(args)
                    .run()
                    .error();
                assert!(
                    error.contains(&format!("{flag} is empty")),
                    "{command}: {error}"
                );
            }
        }
    }
    let both = world
        .whoami(&["--all-contexts", "--context", "fake"])
        .error();
    assert!(both.contains("--all-contexts and --context"), "{both}");
    let neither = world.whoami(&["-o", "yaml"]).error();
    assert!(neither.contains("\"yaml\""), "{neither}");
}

#[test]
fn looking_makes_no_key_for_proof_of_possession_tokens() {
    const POP: [&str; 3] = ["--pop-enabled", "--pop-claims", "u=cluster"];
    let world = World::new();
    let files = || names_in(&world.kubelogin.home().join(".kube"));
    let person = [&["--login", "interactive"][..], &LOGIN[2..], &POP].concat();
    let application = [
        &["--login", "spn", "--client-id", CONFIDENTIAL_CLIENT_ID][..],
        &LOGIN[2..6],
        &POP,
    ]
    .concat();
    for (login, code, requests) in [(person, 3, 0), (application, 0, 1)] {
        world.write(&world.kubeconfig(&login));
        let kubelogin = world.kubelogin.clone();
        let kubelogin = kubelogin.env("AZURE_CLIENT_SECRET", CLIENT_SECRET);
        let before = world.entra.token_requests();
        let output = kubelogin.args(["whoami", "--offline"]).run();
        assert_eq!(output.status.code(), Some(code), "{output:?}");
        assert_eq!(files(), ["config"], "{output:?}");
        assert_eq!(world.entra.token_requests() - before, requests);
    }
}
