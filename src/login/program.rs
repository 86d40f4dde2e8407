//! What `azurecli` and `azd` share: they ask another program for a token.

use chrono::{DateTime, Utc};
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::entra;
use crate::error::Error;
use crate::flag::Flag;
use crate::secret::Secret;
use crate::system::{Output, Program, ProgramError, System};
use crate::timeout::Timeout;
use crate::token::{Scope, Token, UNKNOWN_LIFE, expiry_claim};

/// What errors say about a program.
pub struct Product {
    /// `the Azure CLI`
    pub title: &'static str,
    /// Where it comes from.
    pub install: &'static str,
    /// The command that signs in there.
    pub sign_in: &'static str,
    /// Pieces of its messages, in the order they are looked for, each with what to do. `<scope>` is the scope asked for.
    pub advice: &'static [(&'static str, &'static str)],
}

/// Runs the program and gives what it wrote on stdout.
pub fn ask(
    program: &Program,
    product: &Product,
    scope: &Scope,
    timeout: Timeout,
    system: &dyn System,
) -> Result<Vec<u8>, Error> {
    match system.run(program, timeout.duration) {
        Ok(output) if output.exit_code == Some(0) => Ok(output.stdout),
        Ok(output) => Err(refusal(program.name, product, scope, &output)),
        Err(error) => Err(failure(program.name, product, timeout, error)),
    }
}

fn failure(name: &str, product: &Product, timeout: Timeout, error: ProgramError) -> Error {
    let Product { title, install, .. } = product;
    match error {
        ProgramError::NotFound { searched } => {
            Error::input(format!("{title} ({name}) is not on this machine"))
                .remedy(format!(
                    "Install it ({install}), or put its folder on the PATH that kubectl runs with."
                ))
                .reference(format!("Searched: {searched}"))
        }
        ProgramError::NotStarted(why) => Error::input(format!("{title} cannot be started: {why}"))
            .remedy(format!(
                "Check that {name} runs by itself; to install it again: {install}"
            )),
        ProgramError::TimedOut => Error::outside(format!(
            "{name} did not end within {:?} and was stopped, with all that it had started",
            timeout.duration
        ))
        .remedy(format!(
            "See what it waits for with: {}; --timeout or AZURE_CLI_TIMEOUT allows more time.",
            product.sign_in
        )),
        ProgramError::TooMuchOutput => {
            Error::refused("", format!("{name} writes without end and was stopped")).remedy(
                format!("Check that the {name} on PATH is {title} and no other program."),
            )
        }
    }
}

/// The program's own words with our way out. Only stderr is ever shown: stdout can hold a token.
fn refusal(name: &str, product: &Product, scope: &Scope, output: &Output) -> Error {
    let text = plain(&output.stderr);
    let words = own_words(&text);
    let advice = product
        .advice
        .iter()
        .find(|(piece, _)| text.contains(piece));
    let advice = advice.map(|(_, advice)| advice.replace("<scope>", scope.as_str()));
    if let Some(error) = entra::error::in_text(&text) {
        // Entra says why; the program may say what to do.
        let code = entra::error::code_in(&text);
        let remedy = entra::error::advice("", code);
        return error.context(name).remedy(match advice {
            Some(advice) => format!("{remedy} {advice}"),
            None => remedy.to_owned(),
        });
    }
    let ending = match output.exit_code {
        Some(code) => format!("it ended with exit code {code}"),
        None => "it was killed".to_owned(),
    };
    let what = match words.trim() {
        "" => format!("{name} gave no token and no reason: {ending}"),
        words => format!("{name}: {words}"),
    };
    let error = match output.exit_code {
        Some(_) => Error::refused("", what),
        None => Error::outside(what),
    };
    error.remedy(advice.unwrap_or_else(|| {
        format!(
            "If its words do not say what to do, run: {}",
            product.sign_in
        )
    }))
}

/// The error among what a program wrote on stderr: from `ERROR:` on, else the last line of a Python traceback, else all
/// that is no warning.
fn own_words(text: &str) -> String {
    let lines: Vec<_> = text
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .collect();
    let messages: Vec<_> = lines.iter().filter_map(|line| message(line)).collect();
    let text = match messages.is_empty() {
        true => lines.join("\n"),
        false => messages.join("\n"),
    };
    if let Some((_, error)) = text.split_once("ERROR:") {
        return error.to_owned();
    }
    if text.contains("Traceback (most recent call last)") {
        return lines
            .last()
            .map(|line| (*line).to_owned())
            .unwrap_or_default();
    }
    let levels = ["WARNING:", "DEBUG:", "INFO:"];
    let is_noise = |line: &&str| levels.iter().any(|level| line.starts_with(level));
    text.lines()
        .filter(|line| !is_noise(line))
        .collect::<Vec<_>>()
        .join("\n")
}

/// The message of a line in azd's JSON: `{"error":".."}` or `{"type":"consoleMessage","data":{"message":".."}}`.
fn message(line: &str) -> Option<String> {
    let line: Value = serde_json::from_str(line).ok()?;
    let message = line["error"]
        .as_str()
        .or_else(|| line["data"]["message"].as_str());
    message
        .map(str::trim)
        .filter(|message| !message.is_empty())
        .map(str::to_owned)
}

/// The first JSON object in a program's output that is a `T`, whatever stands around it: warnings, colours, a byte
/// order mark.
pub fn json_object<T: DeserializeOwned>(output: &[u8]) -> Option<T> {
    let text = plain(output).into_bytes();
    let mut rest = &text[..];
    loop {
        rest = &rest[rest.iter().position(|byte| *byte == b'{')?..];
        let mut values = serde_json::Deserializer::from_slice(rest).into_iter();
        match values.next()? {
            Ok(value) => return Some(value),
            // From where it is no such object any more: nothing is read twice.
            Err(error) => rest = &rest[offset_of(&error, rest).clamp(1, rest.len())..],
        }
    }
}

fn offset_of(error: &serde_json::Error, text: &[u8]) -> usize {
    let lines = text.split_inclusive(|byte| *byte == b'\n');
    let lines_before = lines.take(error.line().saturating_sub(1));
    lines_before.map(<[u8]>::len).sum::<usize>() + error.column()
}

/// Text without ANSI escape sequences (ECMA-48 control sequences).
pub fn plain(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let mut pieces = text.split("\u{1b}[");
    let mut plain = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        let is_final = |c: char| ('@'..='~').contains(&c);
        plain.push_str(piece.split_once(is_final).map_or("", |(_, rest)| rest));
    }
    plain
}

/// A token as the program gave it. `expires_on` may be missing, the token may not.
pub fn token(
    name: &str,
    product: &Product,
    access_token: Secret,
    expires_on: Option<DateTime<Utc>>,
    system: &dyn System,
) -> Result<Token, Error> {
    if access_token.is_empty() {
        return Err(Error::refused("", format!("{name} gave an empty token"))
            .remedy(format!("Sign in again: {}", product.sign_in)));
    }
    let now = system.now();
    let expires_on = expires_on
        .or_else(|| expiry_claim(&access_token))
        .unwrap_or(now + UNKNOWN_LIFE);
    if expires_on <= now {
        let end = expires_on.format("%Y-%m-%dT%H:%M:%SZ");
        return Err(
            Error::refused("", format!("{name} gave a token that ended at {end}")).remedy(format!(
                "Check this machine's clock, then sign in again: {}",
                product.sign_in
            )),
        );
    }
    Ok(Token {
        access_token,
        expires_on,
        refresh_token: None,
    })
}

/// The error for a program that ended well and gave no token.
pub fn no_token(name: &str, product: &Product) -> Error {
    Error::refused("", format!("{name} ended well and gave no token")).remedy(format!(
        "Check that the {name} on PATH is {} and up to date ({}).",
        product.title, product.install
    ))
}

/// Refuses a value that the program could take for something else. `also` are the signs that it may hold besides
/// letters and digits.
pub fn check(flag: Flag, value: Option<&str>, also: &str) -> Result<Option<String>, Error> {
    let Some(value) = value else {
        return Ok(None);
    };
    let is_allowed = |c: char| c.is_ascii_alphanumeric() || also.contains(c);
    if value.starts_with('-') || !value.chars().all(is_allowed) {
        return Err(Error::input(format!(
            "{} {value:?} holds a sign that does not belong there",
            flag.typed()
        ))
        .remedy(match flag {
            Flag::Subscription => {
                "If this is the name of a subscription, use its ID instead.".to_owned()
            }
            _ => format!("Letters and digits are allowed, and {also:?}."),
        }));
    }
    Ok(Some(value.to_owned()))
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, PartialEq, Deserialize)]
    struct Answer {
        token: String,
    }

    #[test]
    fn the_object_is_found_whatever_stands_around_it() {
        let answer = r#"{"token": "t", "tenant": {"id": 1}}"#;
        for noise in [
            answer.to_owned(),
            format!("\u{feff}{answer}"),
            format!("WARNING: {{not json}}\n{{\"data\": {{\"a\": 1}}}}\n{answer}\nbye {{}}"),
            format!("\u{1b}[33mA new version\u{1b}[0m\n\u{1b}[1;32m{answer}\u{1b}[0m"),
            answer.replace(": ", ":\u{1b}[34m "),
            answer.replace(", ", ",\r\n  "),
        ] {
            let found: Option<Answer> = json_object(noise.as_bytes());
            assert_eq!(found, Some(Answer { token: "t".into() }), "{noise:?}");
        }
    }

    #[test]
    fn output_without_the_object_is_none_soon() {
        for text in [
            "",
            "null",
            "[]",
            "{",
            "{\"token\": \"t",
            "{\"other\": 1}",
            "\u{1b}[",
            "\u{1b}[3",
        ] {
            assert_eq!(json_object::<Answer>(text.as_bytes()), None, "{text:?}");
        }
        for nested in ["{".repeat(1 << 20), "{\"a\":".repeat(1 << 18)] {
            assert_eq!(json_object::<Answer>(nested.as_bytes()), None);
        }
        assert_eq!(
            json_object::<Answer>(b"\xff\xfe{\"token\": \"\xff\"}").map(|_| ()),
            Some(())
        );
    }

    #[test]
    fn the_error_is_picked_out_of_what_was_said() {
        for (said, words) in [
            (
                "WARNING: old\nERROR: Please run 'az login'\n",
                " Please run 'az login'",
            ),
            (
                "WARNING: old\n\nbroken\nbeyond repair\n",
                "broken\nbeyond repair",
            ),
            (
                "Traceback (most recent call last):\n  File x\nValueError: no\n\n",
                "ValueError: no",
            ),
            ("WARNING: only this", ""),
            (
                r#"{"type":"consoleMessage","data":{"message":"\nERROR: not logged in, run `azd auth login`\n"}}"#,
                " not logged in, run `azd auth login`",
            ),
            (r#"{"error":"no"}"#, "no"),
        ] {
            assert_eq!(own_words(said), words, "{said}");
        }
    }
}
