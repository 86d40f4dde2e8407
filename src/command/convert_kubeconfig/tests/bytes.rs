//! What a conversion leaves alone, byte by byte.

use std::fs;
use std::path::Path;

use super::*;

#[path = "../../../../tests/support/kubeconfig.rs"]
mod generated;

const FIXTURES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/kubeconfig");

#[test]
fn every_pair_of_files_is_byte_exact_and_a_second_run_changes_nothing() {
    let mut pairs = 0;
    for case in fs::read_dir(FIXTURES).expect("fixtures") {
        let case = case.expect("a folder").path();
        let read = |path: &Path| fs::read_to_string(path).expect("a fixture is text");
        let before = read(&case.join("before.yaml"));
        for mode in LoginMode::all() {
            let after = case.join(format!("after.{mode}.yaml"));
            if !after.exists() {
                continue;
            }
            let after = read(&after);
            let converted = convert(&before, &["-l", &mode.to_string()]);
            assert!(
                converted == after,
                "{} to {mode} gave:\n{converted}",
                case.display()
            );
            let (_, again) =
                convert_files(&[&after], &["-l", &mode.to_string()]).expect("converted");
            assert!(
                again.changes.is_empty(),
                "{} to {mode}, again",
                case.display()
            );
            pairs += 1;
        }
    }
    assert!(pairs >= 40, "only {pairs} pairs were found");
}

#[test]
fn everything_around_the_arguments_stays() {
    let text = format!(
        "{HEAD}    exec:\n      command: /opt/bin/kubelogin\n      apiVersion: {V1}\n      env:\n      - {{name: A, value: b}}\n      args: {AZ_EXEC}\n      installHint: mine\n      interactiveMode: Never\n      extra: [1]\n    client-key: k\n"
    );
    let converted = convert(&text, &["-l", "azurecli", "--azure-config-dir", "/az"]);
    for kept in [
        "/opt/bin/kubelogin",
        V1,
        "{name: A, value: b}",
        "installHint: mine",
        "interactiveMode: Never",
        "extra: [1]",
        "client-key: k",
    ] {
        assert!(converted.contains(kept), "{kept} is gone:\n{converted}");
    }
    assert!(
        converted.contains("- name: AZURE_CONFIG_DIR\n        value: /az\n      - {name: A"),
        "{converted}"
    );
    let again = convert(
        &converted,
        &["-l", "azurecli", "--azure-config-dir", "/other"],
    );
    assert_eq!(again, converted.replace("/az", "/other"));
}

#[test]
fn new_lines_end_like_those_around_them() {
    for eol in ["\n", "\r\n", "\r"] {
        // A different line ending above or below does not matter.
        for (before, after) in [("#\n", ""), ("#\r\n", ""), ("#\r", ""), ("", "#\n")] {
            let text = format!("{before}{}{after}", exec_user(AZ_EXEC).replace('\n', eol));
            let converted = convert(&text, &["-l", "spn"]);
            let ours = &converted[before.len()..converted.len() - after.len()];
            let others = ours.replace(eol, "");
            assert!(!others.contains(['\n', '\r']), "{text:?} => {converted:?}");
        }
    }
}

#[test]
fn json_without_indentation_is_converted() {
    let text = "{\n\"users\": [\n{\n\"name\": \"a\",\n\"user\": {\n\"exec\": {\n\"command\": \"kubelogin\",\n\"args\": [\"get-token\", \"--server-id\", \"s\"]\n}\n}\n}\n]\n}\n";
    let converted = convert(text, &["-l", "azurecli"]);
    let value: serde_json::Value = serde_json::from_str(&converted).expect("JSON");
    assert_eq!(value["users"][0]["user"]["exec"]["args"][2], "azurecli");
}

#[test]
fn an_anchor_that_is_used_only_inside_the_user_is_fine() {
    let text = format!(
        "{HEAD}    exec:\n      command: kubelogin\n      args: [get-token, --server-id, &s s, --client-id, *s, -t, t]\n"
    );
    let converted = convert(&text, &["-l", "spn"]);
    assert_eq!(
        args_of(&converted)[0].join(" "),
        "get-token --login spn --server-id s --client-id s --tenant-id t"
    );
}

#[test]
fn an_alias_bomb_is_refused_at_the_alias_that_is_too_much() {
    let mut text = String::from("a0: &a0 [x, x]\n");
    for level in 1..100 {
        let inner = level - 1;
        text += &format!("a{level}: &a{level} [*a{inner}, *a{inner}, *a{inner}]\n");
    }
    let bomb = text + &exec_user(AZ_EXEC);
    let error = failure(&bomb, &["-l", "spn"]);
    let expected = "config0:11:22: aliases repeat too much of the file";
    assert!(error.starts_with(expected), "{error}");
}

#[test]
fn many_users_are_converted_at_once() {
    let text = generated::legacy_kubeconfig(100);
    let converted = convert(&text, &["-l", "azurecli"]);
    assert_eq!(args_of(&converted).len(), 100);
    assert!(args_of(&converted).iter().all(|args| args[2] == "azurecli"));
}
