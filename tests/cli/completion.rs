//! `completion` in bash, which every system has. tests/real covers the other shells.
#![cfg(unix)]

use std::process::Command;

use crate::support::{TempDir, modes, program_under_test};

/// What bash offers for a line with the cursor at its end.
fn offered(line: &str, words: &[&str]) -> Vec<String> {
    let room = TempDir::new();
    room.folder(".kube");
    room.file(
        ".kube/config",
        "contexts:\n- name: arn:aws:eks/one\n- name: arn:aws:eks/two\n- name: two words\n- name: run $(touch x)\n- name: run it's \"q\" `id`\n",
    );
    let program = program_under_test();
    let script = r#"
        source <(kubelogin completion bash)
        COMP_LINE=$1; COMP_POINT=${#COMP_LINE}; shift
        COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1))
        $(complete -p kubelogin | sed 's/.*-F \([^ ]*\).*/\1/')
        printf '%s\n' "${COMPREPLY[@]}"
    "#;
    let path = format!(
        "{}:/usr/bin:/bin",
        program.parent().expect("a folder").display()
    );
    let output = Command::new("bash")
        .args(["--norc", "-c", script, "bash", line])
        .args(words)
        .env_clear()
        .env("PATH", path)
        .env("HOME", room.path())
        .output()
        .expect("cannot start bash");
    assert!(
        output.status.success() && output.stderr.is_empty(),
        "{output:?}"
    );
    let text = String::from_utf8(output.stdout).expect("text");
    text.lines()
        .filter(|line| !line.is_empty())
        .map(str::to_owned)
        .collect()
}

#[test]
fn bash_completes_commands_flags_values_and_contexts() {
    assert_eq!(
        offered("kubelogin get-t", &["kubelogin", "get-t"]),
        ["get-token"]
    );
    assert_eq!(
        offered(
            "kubelogin get-token --server",
            &["kubelogin", "get-token", "--server"]
        ),
        ["--server-id"]
    );
    assert_eq!(
        offered(
            "kubelogin get-token -l work",
            &["kubelogin", "get-token", "-l", "work"]
        ),
        ["workloadidentity"]
    );
    assert_eq!(
        offered(
            "kubelogin get-token --login=sp",
            &["kubelogin", "get-token", "--login", "=", "sp"]
        ),
        ["spn"],
        "bash breaks words at ="
    );
    assert_eq!(
        offered(
            "kubelogin get-token --login=",
            &["kubelogin", "get-token", "--login", "="]
        ),
        modes()
    );
    let convert = "kubelogin convert-kubeconfig --context ";
    let words = ["kubelogin", "convert-kubeconfig", "--context"];
    assert_eq!(
        offered(
            &format!("{convert}arn:aws:"),
            &[&words[..], &["arn", ":", "aws", ":"]].concat()
        ),
        ["eks/one", "eks/two"],
        "bash breaks words at :"
    );
    assert_eq!(
        offered(&format!("{convert}two"), &[&words[..], &["two"]].concat()),
        [r"two\ words"]
    );
    assert_eq!(
        offered(
            "kubelogin convert-kubeconfig --kubeconfig ~/.kube/config --context two",
            &["kubelogin", "two"]
        ),
        [r"two\ words"],
        "the shell has not expanded ~ yet"
    );
    for (typed, offer) in [
        ("'two w", "two words"),
        ("\"two w", "two words"),
        (r"two\ w", r"two\ words"),
    ] {
        let words = [&words[..], &[typed]].concat();
        assert_eq!(offered(&format!("{convert}{typed}"), &words), [offer]);
    }
}

/// Pressing Tab and Enter must not run code in a context's name.
#[test]
fn a_context_s_name_is_quoted_for_the_quotes_that_are_open() {
    let names = ["run $(touch x)", "run it's \"q\" `id`"];
    let line = "kubelogin convert-kubeconfig --context ";
    for open in ["'", "\"", ""] {
        let typed = format!("{open}run");
        let words = ["kubelogin", "convert-kubeconfig", "--context", &typed];
        let offers = offered(&format!("{line}{typed}"), &words);
        assert_eq!(offers.len(), names.len(), "{offers:?}");
        for (offer, name) in offers.iter().zip(names) {
            let script = format!("printf %s {open}{offer}{open}");
            let output = Command::new("bash")
                .args(["-c", &script])
                .output()
                .expect("bash");
            assert_eq!(String::from_utf8_lossy(&output.stdout), name, "{script}");
        }
    }
    let words = ["kubelogin", "convert-kubeconfig", "--context", "r\"un"];
    assert_eq!(
        offered(&format!("{line}r\"un"), &words),
        [""; 0],
        "a quote inside the word"
    );
}
