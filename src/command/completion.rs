//! `kubelogin completion SHELL`: a script that asks the program itself, by `kubelogin __complete LINE`, what fits.

use std::io::Write;

use crate::cli::{self, Candidate, Shell};
use crate::entra::authority::Cloud;
use crate::env::Env;
use crate::error::Error;
use crate::flag::{Flag, value_words};
use crate::kubeconfig::Kubeconfig;
use crate::kubeconfig::file::{self, Found};
use crate::login_mode::LoginMode;
use crate::token_cache::Storage;

/// The script for a shell. Without candidates, each completes file names.
pub fn script(shell: Shell) -> &'static str {
    match shell {
        Shell::Bash => BASH,
        Shell::Zsh => ZSH,
        Shell::Fish => FISH,
        Shell::Powershell => POWERSHELL,
    }
}

const BASH: &str = r#"# source <(kubelogin completion bash)
_kubelogin() {
    local line=${COMP_LINE:0:COMP_POINT} cur=${COMP_WORDS[COMP_CWORD]} candidate
    # Bash sees words within a word: it breaks them at = and :
    case $cur in [=:]) cur= ;; esac
    local before=${line%"$cur"}
    before=${before##*[[:space:]]}
    COMPREPLY=()
    while IFS=$'\t' read -r candidate _; do
        candidate=${candidate#"$before"}
        # Within quotes that are open bash takes the word as it is, and closes them.
        [[ $cur == [\"\']* ]] || candidate=$(printf %q "$candidate")
        COMPREPLY+=("$candidate")
    done < <(kubelogin __complete "$line" 2>/dev/null)
}
complete -o default -F _kubelogin kubelogin
"#;

const ZSH: &str = r#"#compdef kubelogin
# source <(kubelogin completion zsh)
_kubelogin() {
    local -a candidates
    local line
    for line in "${(@f)$(kubelogin __complete "${(j: :)words[1,CURRENT]}" 2>/dev/null)}"; do
        [[ -n $line ]] && candidates+=("${${line%%$'\t'*}//:/\\:}:${line#*$'\t'}")
    done
    if (( $#candidates )); then
        _describe kubelogin candidates
    else
        _files
    fi
}
if [[ $funcstack[1] == _kubelogin ]]; then
    _kubelogin "$@"
else
    compdef _kubelogin kubelogin
fi
"#;

const FISH: &str = r#"# kubelogin completion fish | source
function __kubelogin_complete
    set -l found (kubelogin __complete (commandline -cp | string collect) 2>/dev/null)
    if test (count $found) -gt 0
        string join \n -- $found
    else
        complete -C "'' "(commandline -ct)
    end
end
complete -c kubelogin -f -k -a '(__kubelogin_complete)'
"#;

const POWERSHELL: &str = r#"# kubelogin completion powershell | Out-String | Invoke-Expression
Register-ArgumentCompleter -Native -CommandName 'kubelogin', 'kubelogin.exe' -ScriptBlock {
    param($wordToComplete, $commandAst, $cursorPosition)
    $line = $commandAst.ToString()
    $length = $cursorPosition - $commandAst.Extent.StartOffset
    $line = if ($line.Length -lt $length) { "$line " } else { $line.Substring(0, $length) }
    kubelogin __complete $line 2>$null | ForEach-Object {
        $value, $help = $_ -split "`t", 2
        if (-not $help) { $help = $value }
        [System.Management.Automation.CompletionResult]::new($value, $value, 'ParameterValue', $help)
    }
}
"#;

/// Prints what the last word of `line` can become, each with its help after a tab.
pub fn complete(line: &str, env: &Env, out: &mut dyn Write) -> Result<(), Error> {
    let text: String = candidates(line, env)
        .into_iter()
        .map(|Candidate { word, help }| format!("{word}\t{help}\n"))
        .collect();
    out.write_all(text.as_bytes())
        .map_err(|error| Error::outside(format!("cannot write to stdout: {error}")))
}

fn candidates(line: &str, env: &Env) -> Vec<Candidate> {
    let words = shell_words(line);
    let mut words: Vec<&str> = words.iter().map(String::as_str).skip(1).collect();
    let last = words.pop().unwrap_or_default();
    let command = words.iter().find(|word| cli::is_command(word)).copied();
    // A value: behind its flag, or joined to it.
    if let Some((flag, _)) = last.split_once('=').filter(|_| last.starts_with('-')) {
        let values = values(flag, &words, env)
            .into_iter()
            .map(|value| format!("{flag}={value}"));
        return fitting(values.map(Candidate::bare), last);
    }
    if let Some(flag) = words.last().filter(|word| cli::takes_value(command, word)) {
        return fitting(
            values(flag, &words, env).into_iter().map(Candidate::bare),
            last,
        );
    }
    match command {
        _ if last.starts_with('-') => fitting(cli::flags(command), last),
        Some(cli::COMPLETION) => fitting(
            Shell::ALL.iter().map(|shell| Candidate::bare(shell.word())),
            last,
        ),
        None => fitting(cli::commands(), last),
        Some(_) if last.is_empty() => fitting(cli::flags(command), last),
        Some(_) => Vec::new(),
    }
}

/// The words of a line without their quotes and backslashes, the one that is being typed last; it may be empty.
fn shell_words(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word = String::new();
    let mut quote = None;
    let mut chars = line.chars().peekable();
    while let Some(c) = chars.next() {
        match (quote, c) {
            (Some(open), _) if c == open => quote = None,
            (None, '"' | '\'') => quote = Some(c),
            // Before a letter it is no escape but part of a path on Windows.
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

fn fitting(candidates: impl IntoIterator<Item = Candidate>, start: &str) -> Vec<Candidate> {
    candidates
        .into_iter()
        .filter(|candidate| candidate.word.starts_with(start))
        .collect()
}

/// The values that a flag can have, as far as they can be listed.
fn values(flag: &str, words: &[&str], env: &Env) -> Vec<String> {
    let is = |flag: Flag, name| flag.definition().name == name;
    match cli::long_name(flag) {
        Some(name) if is(Flag::Login, name) => value_words::<LoginMode>(),
        Some(name) if is(Flag::Environment, name) => value_words::<Cloud>(),
        Some(name) if is(Flag::TokenCacheStorage, name) => value_words::<Storage>(),
        Some(cli::CONTEXT) => contexts(words, env),
        _ => Vec::new(),
    }
}

/// The contexts of the kubeconfigs, as far as these can be read.
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
            // A control character would be a command to the terminal.
            let contexts = contexts
                .iter()
                .map(|context| context.name)
                .filter(|name| !name.contains(char::is_control));
            names.extend(contexts.map(str::to_owned));
        }
    }
    names
}

/// The path with `~` written out, which the shell has not done yet.
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
    fn every_mode_is_completed() {
        assert_eq!(
            words("kubelogin get-token --login ").len(),
            LoginMode::all().len()
        );
    }
}
