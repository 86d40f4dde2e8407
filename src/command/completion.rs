//! `kubelogin completion SHELL`: a script that calls `kubelogin __complete LINE` for the candidates.
//!
//! clap_complete's dynamic engine (4.6, unstable) offers nothing after `=` or `:` or within quotes in bash, and does not
//! quote a context's name.

use std::io::Write;

use clap::Arg;
use clap::builder::StyledStr;

use crate::cli::{self, Shell, get_credentials};
use crate::entra::cloud::Cloud;
use crate::env::Env;
use crate::error::Error;
use crate::flag::{Flag, possible_values};
use crate::kubeconfig::Kubeconfig;
use crate::kubeconfig::file::{self, Found};
use crate::login_mode::LoginMode;
use crate::token_cache::Storage;

/// The script for a shell. Without candidates, the shell completes file names.
pub fn script(shell: Shell) -> &'static str {
    match shell {
        Shell::Bash => include_str!("completion/kubelogin.bash"),
        Shell::Zsh => include_str!("completion/kubelogin.zsh"),
        Shell::Fish => include_str!("completion/kubelogin.fish"),
        Shell::Powershell => include_str!("completion/kubelogin.ps1"),
    }
}

/// Prints the completions of the last word of `line`, each followed by a tab and its help.
pub fn complete(line: &str, env: &Env, out: &mut dyn Write) -> Result<(), Error> {
    let text: String = candidates(line, env)
        .into_iter()
        .map(|Candidate { word, help }| format!("{word}\t{help}\n"))
        .collect();
    super::print(&text, out)
}

/// A completion of the word that is being typed.
struct Candidate {
    word: String,
    help: String,
}

impl Candidate {
    fn new(word: impl Into<String>, help: Option<&StyledStr>) -> Self {
        Self {
            word: word.into(),
            help: help.map(ToString::to_string).unwrap_or_default(),
        }
    }
}

fn candidates(line: &str, env: &Env) -> Vec<Candidate> {
    let words = shell_words(line);
    let mut words: Vec<&str> = words.iter().map(String::as_str).skip(1).collect();
    let last = words.pop().unwrap_or_default();
    let mut program = cli::program();
    program.build();
    let command = words.iter().find_map(|word| program.find_subcommand(word));
    let args: Vec<&Arg> = command.unwrap_or(&program).get_arguments().collect();
    let all_values = |arg: &Arg, prefix: &str| -> Vec<Candidate> {
        let values = values(arg, &words, env).into_iter();
        let values = values.map(|value| Candidate {
            word: format!("{prefix}{}", value.word),
            ..value
        });
        values.collect()
    };
    let before = words.last().and_then(|word| flag(&args, word));
    let mut candidates = if let Some((name, _)) = last.split_once('=').filter(|_| is_flag(last)) {
        let arg = flag(&args, name);
        arg.map_or(Vec::new(), |arg| all_values(arg, &format!("{name}=")))
    } else if let Some(arg) = before.filter(|arg| takes_next_word(arg)) {
        all_values(arg, "")
    } else if is_flag(last) {
        flags(&args)
    } else if let Some(arg) = args.iter().find(|arg| arg.is_positional()) {
        all_values(arg, "")
    } else if command.is_none() {
        commands(&program)
    } else if last.is_empty() {
        flags(&args)
    } else {
        Vec::new()
    };
    candidates.retain(|candidate| candidate.word.starts_with(last));
    candidates
}

fn commands(program: &clap::Command) -> Vec<Candidate> {
    let shown = program
        .get_subcommands()
        .filter(|command| !command.is_hide_set());
    shown
        .map(|command| Candidate::new(command.get_name(), command.get_about()))
        .collect()
}

fn flags(args: &[&Arg]) -> Vec<Candidate> {
    let shown = args.iter().filter(|arg| !arg.is_hide_set());
    shown
        .filter_map(|arg| {
            let word = format!("--{}", arg.get_long()?);
            Some(Candidate::new(word, arg.get_help()))
        })
        .collect()
}

fn is_flag(word: &str) -> bool {
    word.starts_with('-')
}

/// The flag of this long or short form.
fn flag<'a>(args: &[&'a Arg], word: &str) -> Option<&'a Arg> {
    let is_named = |arg: &&Arg| match word.strip_prefix("--") {
        Some(long) => arg.get_long() == Some(long),
        None => arg
            .get_short()
            .is_some_and(|letter| word == format!("-{letter}")),
    };
    args.iter().copied().find(is_named)
}

fn takes_next_word(arg: &Arg) -> bool {
    arg.get_action().takes_values() && !arg.is_require_equals_set()
}

/// The words of a line without quotes and backslashes. The last is the one being typed; it may be empty.
fn shell_words(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word = String::new();
    let mut quote = None;
    let mut chars = line.chars().peekable();
    while let Some(c) = chars.next() {
        match (quote, c) {
            (Some(open), _) if c == open => quote = None,
            (None, '"' | '\'') => quote = Some(c),
            // Before a letter, it is part of a Windows path, not an escape.
            (None | Some('"'), '\\') => {
                word.push(chars.next_if(|c| !c.is_alphanumeric()).unwrap_or(c));
            }
            (None, _) if c.is_whitespace() => {
                if !word.is_empty() {
                    words.push(std::mem::take(&mut word));
                }
            }
            _ => word.push(c),
        }
    }
    words.push(word);
    words
}

/// The possible values of an argument, if they can be listed.
fn values(arg: &Arg, words: &[&str], env: &Env) -> Vec<Candidate> {
    let is = |flag: Flag| arg.get_id() == flag.definition().name;
    let values = if is(Flag::Login) || arg.get_id() == get_credentials::WRITE_LOGIN {
        possible_values::<LoginMode>()
    } else if is(Flag::Environment) {
        possible_values::<Cloud>()
    } else if is(Flag::TokenCacheStorage) {
        possible_values::<Storage>()
    } else if arg.get_id() == get_credentials::FORMAT {
        get_credentials::FORMATS
            .map(clap::builder::PossibleValue::new)
            .to_vec()
    } else if arg.get_id() == cli::CONTEXT {
        let contexts = contexts(words, env).into_iter();
        return contexts.map(|name| Candidate::new(name, None)).collect();
    } else {
        arg.get_possible_values()
    };
    let names = values.iter().flat_map(|value| {
        let names = value.get_name_and_aliases();
        names.map(|name| Candidate::new(name, value.get_help()))
    });
    names.collect()
}

/// The contexts in the kubeconfigs that can be read.
fn contexts(words: &[&str], env: &Env) -> Vec<String> {
    let flag = format!("--{}", cli::KUBECONFIG);
    let at = words.iter().position(|word| *word == flag);
    let typed = at.and_then(|at| words.get(at + 1)).copied();
    let joined = words
        .iter()
        .find_map(|word| word.strip_prefix(&flag)?.strip_prefix('='));
    let typed = typed.or(joined).map(|path| at_home(path, env));
    let mut names = Vec::new();
    for path in file::paths(typed.as_deref(), env).unwrap_or_default() {
        if let Ok(Found::File(file)) = file::read(&path)
            && let Ok(kubeconfig) = Kubeconfig::parse("", &file.text)
            && let Ok(contexts) = kubeconfig.contexts()
        {
            // The terminal would interpret a control character.
            let contexts = contexts
                .iter()
                .map(|context| context.name)
                .filter(|name| !name.contains(char::is_control));
            names.extend(contexts.map(str::to_owned));
        }
    }
    names
}

/// The path with `~` expanded, which the shell has not done yet.
fn at_home(path: &str, env: &Env) -> String {
    match (path.strip_prefix("~/"), env.home()) {
        (Some(rest), Some(home)) => home.join(rest).display().to_string(),
        _ => path.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn words(line: &str) -> Vec<String> {
        let candidates = candidates(line, &Env::of(&[]));
        candidates
            .into_iter()
            .map(|candidate| candidate.word)
            .collect()
    }

    #[test]
    fn commands_flags_and_values_are_completed() {
        assert!(words("kubelogin ").contains(&"get-token".to_owned()));
        assert!(!words("kubelogin ").iter().any(|word| word.starts_with('_')));
        assert_eq!(words("kubelogin conv"), ["convert-kubeconfig"]);
        assert_eq!(words("kubelogin get-token --client-s"), ["--client-secret"]);
        assert_eq!(words("kubelogin get-token --login sp"), ["spn"]);
        assert_eq!(words("kubelogin get-token -l sp"), ["spn"]);
        assert_eq!(
            words("kubelogin -v 5 get-token --login=sp"),
            ["--login=spn"]
        );
        assert_eq!(
            words("kubelogin get-token -e AzureChinaC"),
            ["AzureChinaCloud"]
        );
        assert_eq!(
            words("kubelogin completion "),
            ["bash", "zsh", "fish", "powershell"]
        );
        assert!(words("kubelogin convert-kubeconfig --legacy ").contains(&"--context".to_owned()));
        assert!(!words("kubelogin get-token ").contains(&"--context".to_owned()));
        // File names are left to the shell.
        assert_eq!(words("kubelogin get-token --client-certificate "), [""; 0]);
        assert_eq!(words("kubelogin get-token x"), [""; 0]);
    }

    #[test]
    fn words_are_what_the_shell_makes_of_them() {
        for (line, words) in [
            ("a  b", &["a", "b"][..]),
            ("a b ", &["a", "b", ""]),
            (r#"a "b c" 'd"e' f\ g"#, &["a", "b c", "d\"e", "f g"]),
            (r#"a "b c"#, &["a", "b c"]),
            ("a 'b ", &["a", "b "]),
            (r"a it\'s \(", &["a", "it's", "("]),
            (r"a C:\b", &["a", r"C:\b"]),
        ] {
            assert_eq!(shell_words(line), words, "{line}");
        }
    }

    #[test]
    fn a_kubeconfig_at_home_is_found() {
        let env = Env::of(&[("HOME", "/home/me")]);
        assert_eq!(
            Path::new(&at_home("~/a", &env)),
            Path::new("/home/me").join("a")
        );
        assert_eq!(at_home("~other/a", &env), "~other/a");
    }

    #[test]
    fn every_mode_is_completed_with_its_help() {
        let modes = candidates("kubelogin get-token --login ", &Env::of(&[]));
        assert_eq!(modes.len(), LoginMode::all().len());
        assert!(modes.iter().all(|mode| !mode.help.is_empty()));
    }
}
