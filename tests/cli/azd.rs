//! `--login azd`, with a shell script as the first azd on PATH.

use std::fs;

use crate::support::*;

const AZD: &str = r#"echo "$@" >> "$LOG"
echo '{"token": "the token", "expiresOn": "2100-01-01T00:00:00Z"}'"#;

fn azd_in(room: &TempDir, script: &str) -> Kubelogin {
    azd(script)
        .args(["--tenant-id", "ten"])
        .env("AZD_CONFIG_DIR", room.folder("azd"))
}

#[test]
fn azd_runs_once_for_each_sign_in() {
    let room = TempDir::new();
    let kubelogin = azd_in(&room, AZD);
    for account in ["alice", "bob"] {
        fs::write(room.path().join("azd/auth.json"), account).expect("written");
        for _ in 0..2 {
            assert_eq!(kubelogin.run().token(), "the token");
        }
    }
    let asked = format!(
        "auth token --output json --no-prompt --scope {SERVER_ID}/.default --tenant-id ten\n"
    );
    assert_eq!(kubelogin.log(), asked.repeat(2));
}

#[test]
fn an_error_of_azd_comes_with_the_fix_and_without_its_output() {
    let console = r#"{"type":"consoleMessage","data":{"message":"\nERROR: not logged in, run `azd auth login` to login\n"}}"#;
    for (script, says) in [
        (
            format!("printf '%s\\n' '{console}' >&2; exit 1").as_str(),
            "azd: not logged in, run `azd auth login` to login",
        ),
        ("echo hunter2", "returned no token"),
        (r#"echo '{"token": "", "x": "hunter2"}'"#, "an empty token"),
        (
            r#"echo '{"token": "hunter2", "expiresOn": "1970-01-01T00:00:01Z"}'"#,
            "expired at 1970-01-01T00:00:01Z",
        ),
    ] {
        let output = azd_in(&TempDir::new(), script).run();
        let error = output.hides(&["hunter2"]).error();
        assert!(error.contains(says), "{script}: {error}");
    }
}
