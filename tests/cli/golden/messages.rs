//! One message of every kind, a file for each topic. The words of the operating system in them are Linux's.

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

    /// The same of a program that was started earlier, because it takes a while.
    #[track_caller]
    fn error_of(&mut self, title: &str, running: Running) {
        let output = running.wait();
        output.error();
        self.add(title, &output.stderr);
    }

    /// Adds what the program prints on stderr although it succeeds, if it is asked to say more.
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
        topic.error(&format!("nothing but a server ID: {mode}"), &kubelogin);
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
        ("an authority host over plain http", &["--authority-host", "http://login.microsoftonline.com/"]),
        ("an authority host that is not a URL", &["--authority-host", "login"]),
        ("an authority host of a stranger", &["--authority-host", "https://evil.example/"]),
        ("a variable's name for a value", &["--client-id", "$AZURE_CLIENT_ID"]),
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

/// Entra's refusal with this code, as the token endpoint sends it.
fn refusal(code: u32) -> Reply {
    let body = json!({
        "error": "invalid_client", "error_codes": [code], "correlation_id": "00000000-1111-2222-3333-444444444444",
        "error_description": format!("AADSTS{code}: Entra's own words."),
    });
    Reply::json(400, &body)
}

#[test]
fn refusals() {
    let mut topic = Topic::new("refusals");
    let entra = FakeEntra::start();
    for code in [50076, 53003, 65001, 700016, 90002, 7000215, 700024, 99999] {
        entra.next(Endpoint::Token, refusal(code));
        topic.error(&format!("AADSTS{code}"), &spn(&entra));
    }
    let by_device_code = |poll, timeout| {
        let entra = FakeEntra::start_with(|rules| rules.device_code.polls = vec![poll]);
        let running = devicecode(&entra).args(["--timeout", timeout]).spawn();
        (entra, running)
    };
    let waiting = [
        (
            "a declined device code",
            by_device_code(Poll::Decline, "1m"),
        ),
        ("an expired device code", by_device_code(Poll::Expire, "1m")),
        (
            "a device code blocked by policy",
            by_device_code(Poll::Refuse(53003), "1m"),
        ),
        (
            "a device code that nobody enters in time",
            by_device_code(Poll::Pending, "2s"),
        ),
    ];
    topic.error(
        "a browser sign-in that nobody finishes in time",
        &interactive(&entra).args(["--timeout", "2s"]),
    );
    for (title, (_entra, running)) in waiting {
        topic.error_of(title, running);
    }
    let entra = FakeEntra::start_with(|rules| rules.sign_in = SignIn::Decline);
    let mut running = interactive(&entra).spawn();
    Browser::at_prompt(&entra, &mut running).sign_in();
    topic.error_of("a declined consent", running);
    topic.check();
}

#[test]
fn the_network() {
    let mut topic = Topic::new("network");
    for (title, certificate) in [
        ("an untrusted certificate", Certificate::Untrusted),
        ("an expired certificate", Certificate::Expired),
        ("a certificate for another host", Certificate::OtherHost),
    ] {
        let entra = FakeEntra::start();
        entra.show(certificate);
        topic.error(title, &spn(&entra));
    }
    let entra = FakeEntra::start();
    let soon = ["--timeout", "300ms"];
    topic.error(
        "no CA certificates",
        &spn(&entra).env("SSL_CERT_FILE", entra.ca_file().join("missing")),
    );
    let nowhere = bare_spn()
        .args(["--authority-host", "https://127.0.0.1:1/"])
        .arg("--disable-instance-discovery")
        .args(soon);
    topic.error("connection refused", &nowhere);
    topic.error(
        "a proxy that does not listen",
        &nowhere.clone().env("HTTPS_PROXY", "http://127.0.0.1:1"),
    );
    for (title, reply) in [
        ("HTML instead of a token", Reply::html(200, "<html>")),
        ("JSON without a token", Reply::json(200, &json!({}))),
        (
            "an empty token",
            Reply::json(200, &json!({"access_token": ""})),
        ),
        (
            "a redirect",
            Reply::redirect(302, "https://elsewhere.example/"),
        ),
        ("not found", Reply::html(404, "")),
    ] {
        entra.next(Endpoint::Token, reply);
        topic.error(title, &spn(&entra));
    }
    for (title, reply) in [
        ("no answer in time", Reply::Hang),
        (
            "busy until the timeout",
            Reply::json(503, &Value::Null).header("Retry-After", "9"),
        ),
    ] {
        entra.next(Endpoint::Token, reply);
        topic.error(title, &spn(&entra).args(soon));
    }
    entra.next(Endpoint::DeviceCode, Reply::html(200, "<html>"));
    topic.error("HTML instead of a device code", &devicecode(&entra));
    entra.next(Endpoint::Discovery, Reply::html(404, ""));
    topic.error("no OpenID configuration", &bare_spn().entra(&entra));
    entra.change(|rules| rules.proxy_refuses_with = Some(407));
    topic.error("a proxy that refuses", &spn(&entra).args(soon));
    topic.check();
}

#[test]
fn federated_tokens() {
    let (entra, room) = (FakeEntra::start(), TempDir::new());
    let mut topic = Topic::new("federated-tokens");
    topic.error("no token source", &workloadidentity(&entra));
    let mut claims = claims_of(&entra.federated_token());
    claims["exp"] = json!(1_700_000_000);
    let expired = entra.sign(&claims);
    let files = [
        ("missing", room.path().join("missing")),
        ("a folder", room.path().to_owned()),
        ("an empty file", room.file("empty", " \n")),
        ("not a JWT", room.file("opaque", "opaque")),
        ("an expired token", room.file("expired", expired)),
    ];
    for (title, path) in files {
        let kubelogin = workloadidentity(&entra).env("AZURE_FEDERATED_TOKEN_FILE", path);
        topic.error(title, &kubelogin);
    }
    claims["exp"] = json!(9_999_999_999_u64);
    claims["sub"] = json!("repo:me/fork:ref:refs/heads/main");
    let stranger = room.file("stranger", entra.sign(&claims));
    let kubelogin = workloadidentity(&entra).env("AZURE_FEDERATED_TOKEN_FILE", stranger);
    topic.error("a token that Entra does not trust", &kubelogin);
    for (title, reply) in [
        (
            "the CI system refuses",
            Reply::json(401, &json!({"message": "no"})),
        ),
        ("the CI system sends HTML", Reply::html(200, "<html>")),
    ] {
        let ci = FakeHttp::start(move |_| reply.clone());
        let on_github = workloadidentity(&entra)
            .env("ACTIONS_ID_TOKEN_REQUEST_URL", ci.url())
            .env("ACTIONS_ID_TOKEN_REQUEST_TOKEN", "job's token");
        topic.error(&format!("{title}: GitHub Actions"), &on_github);
        let in_pipelines = azurepipelines(&entra, &ci, "job's token");
        topic.error(&format!("{title}: Azure Pipelines"), &in_pipelines);
    }
    let ci = FakeHttp::start(|_| Reply::Close);
    let no_job_token = azurepipelines(&entra, &ci, "x").env_remove("SYSTEM_ACCESSTOKEN");
    topic.error("no job token", &no_job_token);
    topic.check();
}

#[test]
fn managed_identities() {
    let mut topic = Topic::new("managed-identities");
    for (title, reply) in [
        ("a refusal", Reply::json(403, &Value::Null)),
        (
            "no such identity",
            Reply::json(
                400,
                &json!({"message": "No User Assigned or Delegated Managed Identity found"}),
            ),
        ),
        ("HTML instead of a token", Reply::html(200, "<html>")),
        ("no answer", Reply::Hang),
    ] {
        let host = FakeHttp::start(move |_| reply.clone());
        let app_service = msi()
            .env("IDENTITY_ENDPOINT", host.url())
            .env("IDENTITY_HEADER", "secret")
            .args(["--timeout", "300ms"]);
        topic.error(title, &app_service);
    }
    topic.error(
        "an endpoint that is not a URL",
        &msi().env("MSI_ENDPOINT", "here"),
    );
    topic.check();
}

#[test]
fn the_azure_clis() {
    let mut topic = Topic::new("azure-clis");
    topic.error("az is not installed", &Kubelogin::get_token("azurecli"));
    topic.error("azd is not installed", &Kubelogin::get_token("azd"));
    for (title, script) in [
        (
            "az says why",
            "echo \"ERROR: Please run 'az login' to setup account.\" >&2; exit 1",
        ),
        (
            "az passes on what Entra says",
            "echo 'ERROR: AADSTS50076: MFA. Trace ID: t Correlation ID: c-7' >&2; exit 1",
        ),
        ("az says nothing", "exit 1"),
        ("az succeeds without a token", "exit 0"),
        ("az prints no JSON", "echo hello"),
        ("az prints an empty token", r#"echo '{"accessToken": ""}'"#),
        (
            "az prints an expired token",
            r#"echo '{"accessToken": "t", "expires_on": 1}'"#,
        ),
        ("az is killed", "kill -9 $$"),
        ("az hangs", "while :; do :; done"),
    ] {
        topic.error(title, &azurecli(script).env("AZURE_CLI_TIMEOUT", "500ms"));
    }
    let says = r#"{"type":"consoleMessage","data":{"message":"\nERROR: not logged in, run `azd auth login` to login\n"}}"#;
    topic.error(
        "azd says why",
        &azd(&format!("printf '%s\\n' '{says}' >&2; exit 1")),
    );
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
    let kubelogin = spn(&entra).args(["--timeout", "1s"]);
    kubelogin.run().token();
    let busy = Reply::json(503, &Value::Null).header("Retry-After", "9");
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
            .arg("--kubeconfig")
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
