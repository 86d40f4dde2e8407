//! A successful call prints nothing on stderr, unless stderr is a terminal, `-v` is given, or the user must act. fabric8
//! 7.3 merges stderr into the ExecCredential, and some pipelines fail if stderr has a single line.

use std::cell::RefCell;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::json;

use crate::support::*;

/// A setup that triggers each notice.
struct World {
    entra: FakeEntra,
    host: FakeHttp,
    room: TempDir,
}

impl World {
    fn start() -> Self {
        let host = FakeHttp::start(|_: &Request| {
            Reply::json(
                200,
                &json!({"access_token": "token-of-host", "expires_in": "3600"}),
            )
        });
        Self {
            entra: FakeEntra::start(),
            host,
            room: TempDir::new(),
        }
    }

    /// Part of each notice, and a login in a new home folder that triggers it.
    fn reasons(&self) -> Vec<(&'static str, Kubelogin)> {
        let entra = &self.entra;
        let spn = || spn(entra);
        let file = self.room.file("file", "");
        let federated = self.room.file("federated", entra.federated_token());
        let az = r#"echo '{"accessToken": "token-of-az", "expires_on": 4102444800}'"#;
        let in_app_service = msi()
            .env("IDENTITY_ENDPOINT", self.host.url())
            .env("IDENTITY_HEADER", "secret");
        let folder = self.room.path().join("cache");
        let mut reasons = vec![
            (
                "AZURE_CLIENT_SECRET overrides --client-secret",
                spn().args(["--client-secret", "typed"]),
            ),
            (
                "ignoring the client secret",
                spn().args(["--client-certificate", CLIENT_CERTIFICATE]),
            ),
            (
                "ignoring --legacy",
                workloadidentity(entra)
                    .env("AZURE_FEDERATED_TOKEN_FILE", federated)
                    .arg("--legacy"),
            ),
            (
                "--token-cache-dir has been deprecated",
                spn().arg("--token-cache-dir").arg(folder),
            ),
            ("Cannot cache tokens", spn().arg("--cache-dir").arg(file)),
            (
                "ignoring --identity-resource-id",
                in_app_service
                    .args(["--identity-resource-id", "/a/b"])
                    .env("AZURE_CLIENT_ID", "cid"),
            ),
            ("which is not a Microsoft host", bare_spn().entra(entra)),
            ("Could not renew the token", self.with_an_old_token()),
            ("auto: now spn", self.with_another_identity(az)),
        ];
        if cfg!(unix) {
            // On Windows, an account has a home folder whatever the variables say, and az would be a batch file.
            reasons.push(("HOME is not set", spn().env_remove("HOME")));
            let odd = azurecli(az).env("AZURE_CLI_TIMEOUT", "soon");
            reasons.push(("AZURE_CLI_TIMEOUT", odd));
        }
        reasons
    }

    /// A login whose cached token is about to expire, while requests for a new one fail.
    fn with_an_old_token(&self) -> Kubelogin {
        let kubelogin = spn(&self.entra);
        self.entra.change(|rules| rules.token_lifetime = 240);
        kubelogin.run().token();
        self.entra.change(|rules| rules.token_lifetime = 3600);
        kubelogin
    }

    /// `auto` chose az before, and now finds a service principal.
    fn with_another_identity(&self, az: &str) -> Kubelogin {
        let kubelogin = signed_in_to_az("auto", az)
            .args(["--tenant-id", TENANT_ID])
            .env("KUBERNETES_SERVICE_HOST", "10.0.0.1");
        kubelogin.run().token();
        kubelogin
            .env("AZURE_CLIENT_ID", CONFIDENTIAL_CLIENT_ID)
            .env("AZURE_CLIENT_SECRET", CLIENT_SECRET)
            .through_proxy(&self.entra)
    }

    /// Makes the next token request fail, if the notice is about that.
    fn prepare(&self, notice: &str) {
        if notice.starts_with("Could not renew") {
            // Longer than the timeout, so it does not wait.
            let busy = Reply::json(503, &json!({})).header("Retry-After", "600");
            self.entra.next(Endpoint::Token, busy);
        }
    }
}

#[test]
fn no_notice_is_on_stderr_when_the_call_succeeds() {
    let world = World::start();
    for (notice, kubelogin) in world.reasons() {
        world.prepare(notice);
        let output = kubelogin.run();
        output.token();
        assert_eq!(output.stderr, "", "{notice}");
    }
}

#[test]
fn every_notice_is_shown_at_verbosity_1() {
    let world = World::start();
    for (notice, kubelogin) in world.reasons() {
        world.prepare(notice);
        let output = kubelogin.verbose().run();
        output.token();
        let notices = output.notices();
        assert!(
            notices.len() == 1 && notices[0].contains(notice),
            "{notice}: {notices:?}"
        );
    }
}

#[test]
fn every_notice_is_shown_with_the_error_when_the_call_fails() {
    let world = World::start();
    for (notice, kubelogin) in world.reasons() {
        world.prepare(notice);
        let stderr = kubelogin.run_into_nothing();
        let lines: Vec<&str> = stderr.lines().collect();
        assert!(
            lines[0].contains(notice) && lines[1].starts_with("Error: "),
            "{notice}: {stderr}"
        );
    }
}

/// az is slow, and the user cannot do anything about it.
#[cfg(unix)]
#[test]
fn a_wait_for_another_call_that_asks_nobody_is_silent_unless_more_is_asked_for() {
    let room = TempDir::new();
    let go = room.path().join("pipe");
    make_pipe(&go);
    let script = format!(
        r#"echo started >> "$LOG"; read line < '{}'; echo '{{"accessToken": "token-of-az", "expires_on": 4102444800}}'"#,
        go.display()
    );
    let kubelogin = azurecli(&script);
    az_login(&kubelogin, "alice@example.com");
    let mut first = kubelogin.spawn();
    while kubelogin.log().is_empty() {
        assert!(first.is_running(), "az did not start");
        std::thread::yield_now();
    }
    let quiet = kubelogin.spawn();
    let mut verbose = kubelogin.verbose().spawn();
    verbose.shows("Waiting for another kubelogin");
    fs::write(&go, "go\n").unwrap();
    let output = quiet.wait();
    assert_eq!(output.token(), "token-of-az");
    assert_eq!(output.stderr, "");
    first.wait().token();
    verbose.wait().token();
}

/// The user may not see the terminal of the first call.
#[test]
fn a_wait_for_another_call_that_asks_a_person_shows_the_same_prompt() {
    let entra = FakeEntra::start_with(|rules| rules.device_code.polls = vec![Poll::Pending]);
    let kubelogin = devicecode(&entra);
    let mut first = kubelogin.spawn();
    let prompt = first.shows("devicelogin");
    let mut waiting = kubelogin.spawn();
    assert_eq!(waiting.shows("devicelogin"), prompt);
    let told = waiting.shows("Another kubelogin");
    assert!(
        told.contains(&format!("(process {})", first.id())),
        "{told}"
    );
    entra.change(|rules| rules.device_code.polls = vec![Poll::Approve]);
    assert_eq!(first.wait().token(), waiting.wait().token());
    assert_eq!(entra.prompts(), 1);
    let names = names_in(&kubelogin.cache());
    assert!(
        names.iter().all(|name| !name.ends_with(".prompt")),
        "{names:?}"
    );
}

#[test]
fn the_other_commands_are_silent_too_when_they_succeed() {
    let entra = FakeEntra::start();
    let _arm = FakeArm::start(&entra);
    let room = TempDir::new();
    let convert = || {
        let path = room.file("config", legacy_kubeconfig(1));
        Kubelogin::convert_kubeconfig("spn")
            .arg("--kubeconfig")
            .arg(path)
    };
    let signed_in = || {
        let kubelogin = spn(&entra);
        kubelogin.run().token();
        kubelogin
    };
    let log_out = || signed_in().with_command("logout");
    let homes = RefCell::new(Vec::new());
    let remove = || {
        let kubelogin = signed_in();
        let remove = Kubelogin::log_out(&kubelogin.cache());
        homes.borrow_mut().push(kubelogin);
        remove
    };
    let fetch = || get_credentials(&entra).args(PROD);
    let commands: [(&str, &dyn Fn() -> Kubelogin); 4] = [
        ("convert-kubeconfig", &convert),
        ("logout", &log_out),
        ("remove-cache-dir", &remove),
        ("get-credentials", &fetch),
    ];
    for (name, command) in commands {
        let quiet = command().run();
        assert!(quiet.status.success(), "{name}: {quiet:?}");
        assert_eq!(quiet.stderr, "", "{name}");
        let told = command().verbose().run();
        assert!(!told.notices().is_empty(), "{name}: {told:?}");
    }
}

/// Only the prompt asks the user to act.
#[test]
fn who_signed_in_with_the_browser_is_a_notice() {
    let entra = FakeEntra::start();
    let sign_in = |kubelogin: Kubelogin| {
        let mut running = kubelogin.spawn();
        Browser::at_prompt(&entra, &mut running).sign_in();
        let output = running.wait();
        output.token();
        output
    };
    let quiet = sign_in(interactive(&entra));
    assert_eq!(quiet.stderr.lines().count(), 2, "the prompt: {quiet:?}");
    let verbose = sign_in(interactive(&entra).verbose());
    let notices = verbose.notices();
    assert_eq!(notices.last(), Some(&&*format!("signed in as {USER_NAME}")));
}

/// If you add a notice to another file, add a test for it here, or name the test that covers it.
#[test]
fn every_file_that_has_a_notice_is_known_here() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let notices = [
        "ystem.notice(",
        "system()\n            .notice(",
        "\n                .notice(",
        "notices.push(",
    ];
    let mut unknown = files_with(&source, &notices);
    unknown.retain(|name| !WITH_NOTICES.contains(&&**name));
    assert_eq!(
        unknown, [""; 0],
        "which test shows that these notices stay silent?"
    );
}

const WITH_NOTICES: &[&str] = &[
    // get-token: `reasons` above triggers each of them.
    "cli.rs",
    "command/get_token.rs",
    "entra/client.rs",
    "login/auto.rs",
    "login/interactive.rs",
    "login/msi.rs",
    "login/spn.rs",
    "options.rs",
    "program.rs",
    "sign_in.rs",
    "token_cache.rs",
    "token_cache/prompt.rs",
    "variables.rs",
    // A keyring that fails, or forgets its keys at a reboot: token_cache::keyring, and tests/real/secret_service.rs.
    "token_cache/vault.rs",
    // Other commands: their own tests check that they are silent in a pipe.
    "arm.rs",
    "command/convert_kubeconfig.rs",
    "command/convert_kubeconfig/report.rs",
    "command/get_credentials.rs",
    "command/get_credentials/session.rs",
    "command/logout.rs",
    "command/remove_cache_dir.rs",
];

/// Print a line immediately only if it is an error, `-v` asked for it, or the user must act on it. For anything else, use
/// `System::notice`.
#[test]
fn only_these_files_write_to_stderr_at_once() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let tells = [
        "ystem.tell(",
        "system()\n            .tell(",
        "\n                .tell(",
    ];
    for name in files_with(&source, &tells) {
        assert!(
            AT_ONCE.contains(&&*name),
            "{name}: should this be a notice?"
        );
    }
}

const AT_ONCE: &[&str] = &[
    "command/convert_kubeconfig/report.rs", // why it converted nothing
    "command/get_credentials.rs",           // errors for some of many clusters
    "command/get_credentials/session.rs",   // at -v 1
    "command/get_credentials/target.rs",    // the clusters to choose from
    "command/get_token.rs",                 // at -v 1
    "command/remove_cache_dir.rs",          // a wrong --cache-dir
    "sign_in.rs",                           // at -v 1
    "token_cache/prompt.rs",                // a prompt not shown yet
    "system.rs",                            // at -v 5
    "login/interactive.rs",                 // a wrong address was pasted
    "program.rs",                           // the error
];

/// The files whose code, without tests, contains one of these words.
fn files_with(source: &Path, words: &[&str]) -> Vec<String> {
    let mut files = Vec::new();
    collect(source, &mut files);
    files.retain(|path| {
        let text = fs::read_to_string(path).expect("text");
        let program = text.split("#[cfg(test)]").next().unwrap_or_default();
        words.iter().any(|word| program.contains(word))
    });
    let name = |path: &PathBuf| {
        let name = path.strip_prefix(source).expect("below src");
        name.to_string_lossy().replace('\\', "/")
    };
    let mut names: Vec<String> = files.iter().map(name).collect();
    names.sort();
    names
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            collect(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
}
