//! The texts that users read, in `tests/golden`, so that changes to them show up in review.
//!
//! To accept a change, rewrite the files and review `git diff`:
//!
//! ```sh
//! UPDATE_GOLDEN=1 cargo test --test cli golden
//! ```

#[cfg(target_os = "linux")]
mod messages;

use std::fs;
use std::path::{Path, PathBuf};

use crate::support::*;

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden");
const UPDATE: &str = "UPDATE_GOLDEN";

/// Compares a text with its golden file, or rewrites the file.
#[track_caller]
pub fn check(name: &str, text: &str) {
    let path = Path::new(FOLDER).join(name);
    if std::env::var_os(UPDATE).is_some() {
        fs::create_dir_all(path.parent().expect("a folder")).expect("a folder for golden files");
        fs::write(&path, text).expect("cannot write the golden file");
        return;
    }
    let golden = fs::read_to_string(&path).unwrap_or_default();
    let (golden, text): (Vec<_>, Vec<_>) = (golden.lines().collect(), text.lines().collect());
    let same = golden.iter().zip(&text).take_while(|(a, b)| a == b).count();
    assert!(
        golden == text,
        "tests/golden/{name} differs from line {}:\n  golden: {}\n  now:    {}\n\
         If the new text is right: {UPDATE}=1 cargo test --test cli golden, then review git diff.",
        same + 1,
        golden.get(same).unwrap_or(&"(ends)"),
        text.get(same).unwrap_or(&"(ends)"),
    );
}

fn stdout_of(args: &[&str]) -> String {
    let output = Kubelogin::new().args(args).run();
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert_eq!(output.stderr, "", "{args:?}");
    output.stdout
}

/// The commands that the help lists.
fn commands() -> Vec<String> {
    let help = stdout_of(&["--help"]);
    let (_, list) = help
        .split_once("\nCommands:\n")
        .expect("a list of commands");
    let lines = list.lines().take_while(|line| !line.is_empty());
    let words = lines.filter_map(|line| line.split_whitespace().next());
    words
        .filter(|word| *word != "help")
        .map(str::to_owned)
        .collect()
}

fn help_file(command: &str) -> PathBuf {
    Path::new("help").join(format!("{command}.txt"))
}

#[test]
fn every_help() {
    check("help/kubelogin.txt", &stdout_of(&["--help"]));
    let commands = commands();
    for command in &commands {
        let help = stdout_of(&[command, "--help"]);
        check(help_file(command).to_str().expect("UTF-8"), &help);
    }
    let mut expected: Vec<_> = commands.iter().map(|name| format!("{name}.txt")).collect();
    expected.push("kubelogin.txt".into());
    expected.sort();
    assert_eq!(
        names_in(&Path::new(FOLDER).join("help")),
        expected,
        "a golden file for a command that does not exist"
    );
}

#[test]
fn the_version() {
    check("version.txt", &masked_version(&stdout_of(&["--version"])));
}

/// Replaces what differs between builds.
fn masked_version(version: &str) -> String {
    let is_hash = |word: &str| word.len() >= 7 && word.bytes().all(|byte| byte.is_ascii_hexdigit());
    let is_time = |word: &str| word.len() == 20 && word.ends_with('Z');
    let is_date = |word: &str| word.len() == 10 && word.split('-').count() == 3;
    let is_number = |word: &str| {
        word.trim_start_matches('v')
            .split('.')
            .all(|part| part.parse::<u32>().is_ok())
    };
    let mask = |word: &str| match word {
        "linux" | "darwin" | "windows" => "[system]".to_owned(),
        "amd64" | "arm64" => "[processor]".to_owned(),
        _ if is_time(word) => "[time]".to_owned(),
        _ if is_date(word) => "[date]".to_owned(),
        _ if is_hash(word) => "[hash]".to_owned(),
        _ if is_number(word) => "[version]".to_owned(),
        _ => word.to_owned(),
    };
    let mut text = String::new();
    for piece in version.split_inclusive([' ', '/', '(', ')', '\n']) {
        let word = piece.trim_end_matches([' ', '/', '(', ')', '\n']);
        text += &mask(word);
        text += &piece[word.len()..];
    }
    text
}

/// Replaces what differs between runs: folders, ports, and PKCE's random values.
#[cfg(target_os = "linux")]
fn masked(text: &str) -> String {
    let after = |text: &str, start: &str, mask: &str, is_part: fn(char) -> bool| {
        let mut pieces = text.split(start);
        let mut masked = pieces.next().unwrap_or_default().to_owned();
        for piece in pieces {
            let rest = piece.trim_start_matches(is_part);
            masked += if rest.len() < piece.len() {
                mask
            } else {
                start
            };
            masked += rest;
        }
        masked
    };
    let of_folder = format!("{}/kubelogin-test-", std::env::temp_dir().display());
    let text = after(text, &of_folder, "[folder]", |c| c.is_ascii_alphanumeric());
    let text = after(&text, "127.0.0.1:", "127.0.0.1:[port]", |c| {
        c.is_ascii_digit()
    });
    let text = after(&text, "localhost%3A", "localhost%3A[port]", |c| {
        c.is_ascii_digit()
    });
    let is_base64url = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    let text = after(&text, "state=", "state=[random]", is_base64url);
    let text = after(&text, "one until ", "one until [time]", |c| {
        !c.is_whitespace()
    });
    after(
        &text,
        "code_challenge=",
        "code_challenge=[random]",
        is_base64url,
    )
}
