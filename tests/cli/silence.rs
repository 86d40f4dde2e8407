//! What is on stderr when a call succeeds: nothing, unless it is a terminal, `-v` asks for more, or a person must act.
//! fabric8 7.3 merges stderr into the ExecCredential, and some pipelines fail on a single line.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::json;

use crate::support::*;

/// A world in which each notice has its reason.
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

    /// For each notice a part of it, and a login that gives reason for it, each time in a new home.
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
        ];
        if cfg!(unix) {
            // On Windows an account has a home whatever the variables say, and az's script would be another.
            reasons.push(("HOME is not set", spn().env_remove("HOME")));
            let odd = azurecli(az).env("AZURE_CLI_TIMEOUT", "soon");
            reasons.push(("AZURE_CLI_TIMEOUT", odd));
        }
        reasons
    }

    /// Its token is about to expire, and the next requests for another one fail.
    fn with_an_old_token(&self) -> Kubelogin {
        let kubelogin = spn(&self.entra).args(["--timeout", "1s"]);
        self.entra.change(|rules| rules.token_lifetime = 240);
        kubelogin.run().token();
        self.entra.change(|rules| rules.token_lifetime = 3600);
        kubelogin
    }

    /// Fails the next request for a token, if this notice is about that.
    fn prepare(&self, notice: &str) {
        if notice.starts_with("Could not renew") {
            let busy = Reply::json(503, &json!({})).header("Retry-After", "9");
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

#[test]
fn a_wait_for_another_sign_in_is_silent_unless_more_is_asked_for() {
    let entra = FakeEntra::start_with(|rules| rules.device_code.polls = vec![Poll::Pending]);
    let kubelogin = devicecode(&entra);
    let mut first = kubelogin.spawn();
    first.shows("sign in");
    let quiet = kubelogin.spawn();
    let mut verbose = kubelogin.verbose().spawn();
    verbose.shows("Waiting for another kubelogin");
    entra.change(|rules| rules.device_code.polls = vec![Poll::Approve]);
    let output = quiet.wait();
    output.token();
    assert_eq!(output.stderr, "");
    assert_eq!(first.wait().token(), verbose.wait().token());
}

/// What is told at once is an error, a line that `-v` asked for, or something that a person has to act on. Whoever adds a
/// line that is none of these finds `System::notice` here.
#[test]
fn only_these_files_write_to_stderr_at_once() {
    let mut files = Vec::new();
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    collect(&source, &mut files);
    let tells = |path: &&PathBuf| {
        let text = fs::read_to_string(path).expect("text");
        let program = text.split("#[cfg(test)]").next().unwrap_or_default();
        program.contains("ystem.tell(")
            || program.contains("system()\n            .tell(")
            || program.contains("\n                .tell(")
    };
    let mut names: Vec<String> = files
        .iter()
        .filter(tells)
        .map(|path| {
            let name = path.strip_prefix(&source).expect("below src");
            name.to_string_lossy().replace('\\', "/")
        })
        .collect();
    names.sort();
    for name in names {
        assert!(AT_ONCE.contains(&&*name), "{name}: is it a notice?");
    }
}

const AT_ONCE: &[&str] = &[
    "command/convert_kubeconfig/report.rs", // why nothing was converted
    "command/get_credentials.rs",           // errors of some of many clusters
    "command/get_credentials/session.rs",   // at -v 1
    "command/get_credentials/target.rs",    // among which clusters to choose
    "command/get_token.rs",                 // at -v 1
    "command/remove_cache_dir.rs",          // a wrong --cache-dir
    "login/auto.rs",                        // another identity than that of the last call
    "sign_in.rs",                           // at -v 1
    "system.rs",                            // at -v 5
    "login/interactive.rs",                 // an address that was pasted and is not the right one
    "program.rs",                           // the error
];

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
