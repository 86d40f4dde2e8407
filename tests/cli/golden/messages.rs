//! Every kind of message, one file per topic. Operating system messages are Linux's.

mod services; // what Entra ID, the network, CI systems, Azure and its CLIs answer

use std::path::Path;

use serde_json::{Value, json};

use super::{check, masked};
use crate::support::*;

/// The messages of one topic.
struct Topic {
    name: &'static str,
    text: String,
}

impl Topic {
    fn new(name: &'static str) -> Self {
        Self {
            name,
            text: String::new(),
        }
    }

    /// Adds what the program prints on stderr when it fails.
    #[track_caller]
    fn error(&mut self, title: &str, kubelogin: &Kubelogin) {
        self.error_of(title, kubelogin.spawn());
    }

    /// The same for a program that was started earlier because it takes a while.
    #[track_caller]
    fn error_of(&mut self, title: &str, running: Running) {
        let output = running.wait();
        output.error();
        self.add(title, &output.stderr);
    }

    /// Adds what the program prints on stderr when it succeeds with `-v 1`.
    #[track_caller]
    fn notice(&mut self, title: &str, kubelogin: &Kubelogin) {
        let output = kubelogin.clone().verbose().run();
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        let notices = output.notices();
        assert!(!notices.is_empty(), "{title}");
        self.add(title, &(notices.join("\n") + "\n"));
    }

    fn add(&mut self, title: &str, stderr: &str) {
        self.text += &format!("## {title}\n{}\n", masked(stderr));
    }

    #[track_caller]
    fn check(self) {
        check(&format!("messages/{}.txt", self.name), &self.text);
    }
}

#[test]
fn the_command_line() {
    let mut topic = Topic::new("command-line");
    #[rustfmt::skip]
    let rows: &[(&str, &[&str])] = &[
        ("an unknown command", &["get-tokens"]),
        ("an unknown flag", &["get-token", "--no-such-flag"]),
        ("a mistyped flag", &["get-token", "--servr-id", "x"]),
        ("an unknown flag of another command", &["convert-kubeconfig", "--no-such-flag"]),
        ("a flag of another program", &["get-token", "--oidc-issuer-url", "x"]),
        ("a flag without its value", &["get-token", "--server-id"]),
        ("a switch with an invalid value", &["get-token", "--legacy=maybe"]),
        ("an unexpected argument", &["get-token", "extra"]),
        ("flag and value as one argument", &["get-token", "--login azurecli"]),
        ("a verbosity that is not a number", &["get-token", "-v", "much"]),
        ("an unknown login mode", &["get-token", "--login", "kerberos"]),
        ("an unknown environment", &["get-token", "--server-id", "x", "--environment", "AzureMoon",]),
        ("no shell given", &["completion"]),
        ("an unknown shell", &["completion", "tcsh"]),
    ];
    for (title, args) in rows {
        topic.error(title, &Kubelogin::new().args(*args));
    }
    topic.check();
}

#[test]
fn flags_and_variables() {
    let entra = FakeEntra::start();
    let mut topic = Topic::new("flags");
    topic.error(
        "no server ID",
        &Kubelogin::new().args(["get-token", "-l", "azurecli"]),
    );
    for mode in ["devicecode", "spn", "workloadidentity", "azurepipelines"] {
        let kubelogin = Kubelogin::new().args(["get-token", "-l", mode, "--server-id", SERVER_ID]);
        topic.error(&format!("only a server ID: {mode}"), &kubelogin);
    }
    topic.error("no client secret", &of_client("spn"));
    topic.error("no user name", &of_person("ropc"));
    topic.error(
        "no password",
        &of_person("ropc").args(["--username", USER_NAME]),
    );
    #[rustfmt::skip]
    let rows: &[(&str, &[&str])] = &[
        ("an empty value", &["--server-id", ""]),
        ("an invalid tenant", &["--tenant-id", "a/b"]),
        ("an invalid client ID", &["--client-id", "a b"]),
        ("an invalid server ID", &["--server-id", "a b"]),
        ("an authority host over plain http", &["--authority-host", "http://login.microsoftonline.com/"]),
        ("an authority host that is not a URL", &["--authority-host", "login"]),
        ("an unknown authority host", &["--authority-host", "https://evil.example/"]),
        ("a variable name as the value", &["--client-id", "$AZURE_CLIENT_ID"]),
        ("a timeout of zero", &["--timeout", "0"]),
        ("a timeout without a unit", &["--timeout", "30"]),
        ("Azure Stack without its file", &["--environment", "AzureStackCloud"]),
        ("PoP without claims", &["--pop-enabled"]),
        ("claims without PoP", &["--pop-claims", "u=x"]),
        ("claims in the wrong form", &["--pop-enabled", "--pop-claims", "u"]),
        ("claims without the cluster", &["--pop-enabled", "--pop-claims", "x=1"]),
        ("PoP with the v1 endpoint", &["--pop-enabled", "--pop-claims", "u=x", "--legacy"]),
    ];
    for (title, args) in rows {
        topic.error(title, &spn(&entra).args(*args));
    }
    let nowhere = spn(&entra).storage("cloud");
    topic.error("an unknown token cache storage", &nowhere);
    let pop = devicecode(&entra).args(["--pop-enabled", "--pop-claims", "u=x"]);
    topic.error("PoP in a mode that does not support it", &pop);
    for url in [
        "http://example.com:8000",
        "https://localhost",
        "localhost:8000",
        "http://localhost:x",
    ] {
        let kubelogin = interactive(&entra).args(["--redirect-url", url]);
        topic.error(&format!("an invalid redirect URL: {url}"), &kubelogin);
    }
    let info = r#"{"kind":"ExecCredential","apiVersion":"client.authentication.k8s.io/v7"}"#;
    for (title, info) in [
        ("exec info that is not JSON", "{"),
        ("exec info of an unknown version", info),
    ] {
        topic.error(title, &spn(&entra).env("KUBERNETES_EXEC_INFO", info));
    }
    topic.notice(
        "a variable that overrides a flag",
        &spn(&entra).args(["--client-secret", "x"]),
    );
    topic.notice(
        "a certificate and a secret",
        &spn(&entra).args(["--client-certificate", CLIENT_CERTIFICATE]),
    );
    assert!(entra.violations().is_empty());
    topic.check();
}

#[test]
fn certificates() {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/certificates");
    let room = TempDir::new();
    let mut topic = Topic::new("certificates");
    #[rustfmt::skip]
    let rows = [
        ("missing", room.path().join("missing.pem"), None),
        ("a folder", room.path().to_owned(), None),
        ("an empty file", room.file("empty.pem", ""), None),
        ("another file", room.file("notes.pem", "hello"), None),
        ("no key", fixtures.join("no-key.pem"), None),
        ("no certificate", fixtures.join("no-certificate.pem"), None),
        ("a key that does not match", fixtures.join("key-of-another.pem"), None),
        ("expired", fixtures.join("expired.pem"), None),
        ("damaged", fixtures.join("garbled.pem"), None),
        ("cut short", fixtures.join("cut-short.pfx"), None),
        ("a key that is not RSA", fixtures.join("ed25519.pem"), None),
        ("encrypted, without a password", fixtures.join("encrypted-pkcs8.pem"), None),
        ("encrypted, with a wrong password", fixtures.join("encrypted-pkcs8.pem"), Some("wrong")),
        ("PKCS#12, with a wrong password", fixtures.join("modern.pfx"), Some("wrong")),
        ("an outdated encryption", fixtures.join("encrypted-traditional.pem"), Some("wrong")),
    ];
    for (title, path, password) in rows {
        let kubelogin = of_client("spn").arg("--client-certificate").arg(path);
        let password = password.map(|password| ["--client-certificate-password", password]);
        topic.error(title, &kubelogin.args(password.into_iter().flatten()));
    }
    let root = format!("{}/", env!("CARGO_MANIFEST_DIR"));
    topic.text = topic.text.replace(&root, "");
    topic.check();
}

#[test]
fn the_token_cache() {
    let (entra, room) = (FakeEntra::start(), TempDir::new());
    let mut topic = Topic::new("token-cache");
    let file = room.file("file", "");
    topic.notice(
        "a file in place of the folder",
        &spn(&entra).arg("--cache-dir").arg(&file),
    );
    topic.notice("no home", &spn(&entra).env_remove("HOME"));
    topic.notice("a prompt", &devicecode(&entra));
    entra.change(|rules| rules.token_lifetime = 240);
    let kubelogin = spn(&entra);
    kubelogin.run().token();
    // Longer than the timeout, so it does not wait.
    let busy = Reply::json(503, &Value::Null).header("Retry-After", "600");
    entra.next(Endpoint::Token, busy);
    topic.notice("a token that cannot be renewed right now", &kubelogin);
    topic.error("a cache that is not a folder", &Kubelogin::log_out(&file));
    topic.check();
}

#[test]
fn convert_kubeconfig() {
    let room = TempDir::new();
    let mut topic = Topic::new("convert-kubeconfig");
    let convert = |path: &Path| {
        Kubelogin::convert_kubeconfig("spn")
            .args(["-v", "1", "--kubeconfig"])
            .arg(path)
    };
    let path = room.file("locked", legacy_kubeconfig(1));
    room.file("locked.lock", "");
    let waiting = convert(&path).spawn();
    topic.error("no such file", &convert(&room.path().join("missing")));
    topic.error("a folder", &convert(room.path()));
    topic.error(
        "a list of separators",
        &Kubelogin::convert_kubeconfig("spn").env("KUBECONFIG", ":"),
    );
    #[rustfmt::skip]
    let rows = [
        ("a binary file", &b"\x7fELF\0\0"[..]),
        ("UTF-16", b"\xff\xfea\0"),
        ("not UTF-8", b"a: \xe9\n"),
        ("not YAML", b"users:\n\t- a"),
        ("an exec without arguments", b"users:\n- name: me\n  user:\n    exec: {command: kubelogin}\n"),
        ("a number as an argument", b"users:\n- name: me\n  user:\n    exec: {command: kubelogin, args: [get-token, 5]}\n"),
        ("an unknown flag", b"users:\n- name: me\n  user:\n    exec: {command: kubelogin, args: [get-token, --what]}\n"),
        ("no server ID", b"users:\n- name: me\n  user:\n    auth-provider: {name: azure, config: {tenant-id: t}}\n"),
    ];
    for (title, content) in rows {
        topic.error(title, &convert(&room.file("config", content)));
    }
    let path = room.file("config", legacy_kubeconfig(1));
    topic.error("no such context", &convert(&path).args(["--context", "c9"]));
    topic.notice("a dry run", &convert(&path).arg("--dry-run"));
    topic.notice("a conversion", &convert(&path));
    topic.notice("nothing to convert", &convert(&path));
    topic.notice("an empty file", &convert(&room.file("empty", "")));
    let others = "users:\n- name: me\n  user: {token: t}\n";
    topic.notice(
        "users of other tools",
        &convert(&room.file("others", others)),
    );
    topic.error_of("a lock", waiting);
    topic.check();
}
