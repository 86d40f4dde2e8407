//! `completion` in zsh and fish; tests/cli tests bash.

use std::path::Path;
use std::process::Command;

use crate::support::TempDir;

/// Loads our completion script. Ctrl-X saves the line as it is and exits the shell.
const ZSHRC: &str = "autoload -Uz compinit; compinit -D
    source <(kubelogin completion zsh)
    keep-line() { print -r -- \"$BUFFER\" > ~/line; exit }
    zle -N keep-line
    bindkey '^X' keep-line
    PS1='ready> '";
/// Types `$1` and Tab into a pseudo-terminal, because zsh completes only at a terminal.
const TYPE_INTO_ZSH: &str = "zmodload zsh/zpty
    zpty child zsh -d -i
    zpty -r -m child shown '*ready> *'
    zpty -n -w child \"$1\"$'\\t\\x18'
    while zpty -r child shown; do :; done
    cat ~/line";
const FISH: &str = "kubelogin completion fish | source; complete --do-complete $argv[-1]";

/// What a shell prints when it runs `script` with `line`, in a home folder with two contexts.
fn printed(shell: &[&str], script: &str, line: &str) -> String {
    let room = TempDir::new();
    room.folder(".kube");
    let kubeconfig = "contexts:\n- name: arn:aws:eks/one\n- name: arn:aws:eks/two\n";
    room.file(".kube/config", kubeconfig);
    room.file(".zshrc", ZSHRC);
    let program = Path::new(env!("CARGO_BIN_EXE_kubelogin"));
    let folder = program.parent().expect("a folder").display();
    let output = Command::new(shell[0])
        .args(&shell[1..])
        .args(["-c", script])
        .args(&shell[..1])
        .arg(line)
        .env_clear()
        .env("PATH", format!("{folder}:/usr/bin:/bin"))
        .env("HOME", room.path())
        .env("TERM", "dumb")
        .output()
        .expect("cannot start the shell");
    let succeeded = output.status.success() && output.stderr.is_empty();
    assert!(succeeded, "{line}: {output:?}");
    String::from_utf8(output.stdout).expect("text")
}

/// The line after completion in zsh.
fn zsh(line: &str) -> String {
    let line = printed(&["zsh", "-f"], TYPE_INTO_ZSH, line);
    line.trim_end().to_owned()
}

/// The words that fish offers, without their descriptions.
fn fish(line: &str) -> Vec<String> {
    let offered = printed(&["fish", "--no-config"], FISH, line);
    let words = offered.lines().filter_map(|line| line.split('\t').next());
    words.map(str::to_owned).collect()
}

#[test]
fn zsh_completes_commands_flags_values_contexts_and_files() {
    for (line, completed) in [
        ("kubelogin get-t", "kubelogin get-token"),
        (
            "kubelogin get-token --server",
            "kubelogin get-token --server-id",
        ),
        (
            "kubelogin get-token -l work",
            "kubelogin get-token -l workloadidentity",
        ),
        (
            "kubelogin get-token --login=sp",
            "kubelogin get-token --login=spn",
        ),
        // Completes the prefix that both contexts share.
        (
            "kubelogin convert-kubeconfig --context a",
            "kubelogin convert-kubeconfig --context arn:aws:eks/",
        ),
        (
            "kubelogin convert-kubeconfig --context arn:aws:eks/o",
            "kubelogin convert-kubeconfig --context arn:aws:eks/one",
        ),
        (
            "kubelogin convert-kubeconfig --kubeconfig ~/.kube/c",
            "kubelogin convert-kubeconfig --kubeconfig ~/.kube/config",
        ),
    ] {
        assert_eq!(zsh(line), completed);
    }
}

#[test]
fn fish_offers_commands_flags_values_contexts_and_files() {
    for (line, offered) in [
        ("kubelogin get-t", &["get-token"][..]),
        ("kubelogin get-token --server", &["--server-id"]),
        ("kubelogin get-token -l work", &["workloadidentity"]),
        ("kubelogin get-token --login=sp", &["--login=spn"]),
        (
            "kubelogin convert-kubeconfig --context arn:",
            &["arn:aws:eks/one", "arn:aws:eks/two"],
        ),
        (
            "kubelogin convert-kubeconfig --kubeconfig ~/.kube/c",
            &["~/.kube/config"],
        ),
    ] {
        assert_eq!(fish(line), offered, "{line}");
    }
}
