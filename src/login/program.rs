//! What `azurecli`, `azd` and `azurepowershell` share: they get a token from another program.

use std::path::PathBuf;

use chrono::{DateTime, Utc};
use serde::de::DeserializeOwned;
use serde_json::Value;
use uuid::Uuid;

use super::outside_state::SignedIn;
use crate::entra;
use crate::entra::access_token::claims::Claims;
use crate::error::{Error, duration};
use crate::flag::Flag;
use crate::options::Options;
use crate::secret::Secret;
use crate::system::{Output, Program, ProgramError, System};
use crate::timeout::Timeout;
use crate::token::{Scope, Token, UNKNOWN_LIFE, expiry_claim};

/// How errors describe a program.
pub struct Product {
    /// The command: `az`.
    pub name: &'static str,
    /// `the Azure CLI`
    pub title: &'static str,
    /// The page with its installer.
    pub install: &'static str,
    /// The command that signs in.
    pub sign_in: &'static str,
    /// Its flag for the tenant.
    pub tenant_flag: &'static str,
    /// Parts of its messages, in search order, each with the fix. `<scope>` is the requested scope.
    pub advice: &'static [(&'static str, &'static str)],
}

impl Product {
    /// The command that signs in, to this tenant if one is named.
    pub fn sign_in_to(&self, tenant: Option<&str>) -> String {
        let Self {
            sign_in,
            tenant_flag,
            ..
        } = self;
        match tenant {
            Some(tenant) => format!("{sign_in} {tenant_flag} {tenant}"),
            None => (*sign_in).to_owned(),
        }
    }
}

/// The account that a program is signed in as, according to its files; the program is not started.
pub struct Standing {
    pub product: &'static Product,
    /// The file that says so.
    pub file: Option<PathBuf>,
    pub signed_in: SignedIn,
}

/// Runs the program and returns its stdout.
pub fn ask(
    program: &Program,
    product: &Product,
    scope: &Scope,
    timeout: Timeout,
    system: &dyn System,
) -> Result<Vec<u8>, Error> {
    ask_first(
        std::slice::from_ref(program),
        product,
        scope,
        timeout,
        system,
    )
}

/// Runs the first of the programs that is installed and returns its stdout.
pub fn ask_first(
    programs: &[Program],
    product: &Product,
    scope: &Scope,
    timeout: Timeout,
    system: &dyn System,
) -> Result<Vec<u8>, Error> {
    let mut outcome = Err(ProgramError::NotFound {
        searched: String::new(),
    });
    for program in programs {
        outcome = system.run(program, timeout.duration);
        if !matches!(outcome, Err(ProgramError::NotFound { .. })) {
            break;
        }
    }
    match outcome {
        Ok(output) if output.exit_code == Some(0) => Ok(output.stdout),
        Ok(output) => Err(refusal(product, scope, &output)),
        Err(error) => Err(failure(product, timeout, error)),
    }
}

fn failure(product: &Product, timeout: Timeout, error: ProgramError) -> Error {
    let Product {
        name,
        title,
        install,
        sign_in,
        ..
    } = product;
    match error {
        ProgramError::NotFound { searched } => {
            Error::input(format!("{title} ({name}) was not found"))
                .remedy(format!(
                    "Install it ({install}), or add its folder to the PATH that kubectl runs with."
                ))
                .reference(format!("Searched: {searched}"))
        }
        ProgramError::NotStarted(why) => Error::input(format!("{title} cannot be started: {why}"))
            .remedy(format!(
                "Check that {name} runs in a terminal, or reinstall it ({install})."
            )),
        ProgramError::TimedOut => Error::outside(format!(
            "{name} did not finish within {} and was killed, with its child processes",
            duration(timeout.duration)
        ))
        .remedy(format!(
            "Allow more time with --timeout or AZURE_CLI_TIMEOUT; to see what it waits for, run: {sign_in}"
        )),
        ProgramError::TooMuchOutput => {
            Error::refused("", format!("{name} printed too much output and was killed")).remedy(
                format!("Check that the {name} on PATH is {title} and not another program."),
            )
        }
    }
}

/// The program's own message with our advice. Only stderr is ever shown: stdout can hold a token.
fn refusal(product: &Product, scope: &Scope, output: &Output) -> Error {
    let Product { name, sign_in, .. } = product;
    let text = readable(&plain(&output.stderr), DEEPEST);
    let message = own_message(&text);
    let advice = product
        .advice
        .iter()
        .find(|(piece, _)| text.contains(piece));
    let advice = advice.map(|(_, advice)| advice.replace("<scope>", scope.as_str()));
    if let Some(error) = entra::error::in_text(&text) {
        // Entra's code says why; the program may say what to do.
        let code = entra::error::code_in(&text);
        let remedy = entra::error::advice("", code);
        return error.context(name).remedy(match advice {
            Some(advice) => format!("{remedy} {advice}"),
            None => remedy.to_owned(),
        });
    }
    let what = match (message.trim(), output.exit_code) {
        ("", Some(code)) => format!("{name} exited with code {code} and no message"),
        ("", None) => format!("{name} was killed"),
        (message, _) => format!("{name}: {message}"),
    };
    let error = match output.exit_code {
        Some(_) => Error::refused("", what),
        None => Error::outside(what),
    };
    error.remedy(advice.unwrap_or_else(|| format!("If the message does not help, run: {sign_in}")))
}

/// The error message in a program's stderr, once it is [`readable`]: from `ERROR:` on, else the last line of a Python
/// traceback, else everything but warnings.
fn own_message(text: &str) -> String {
    let lines = text.lines().map(str::trim);
    let lines: Vec<_> = lines
        .filter(|line| !line.is_empty() && !is_clixml(line))
        .collect();
    let text = lines.join("\n");
    if let Some((_, error)) = text.split_once("ERROR:") {
        return error.trim().to_owned();
    }
    if text.contains("Traceback (most recent call last)") {
        return lines.last().copied().unwrap_or_default().to_owned();
    }
    let levels = ["WARNING:", "DEBUG:", "INFO:"];
    let is_noise = |line: &&str| levels.iter().any(|level| line.starts_with(level));
    let lines: Vec<_> = lines.into_iter().filter(|line| !is_noise(line)).collect();
    lines.join("\n")
}

/// True for the XML that PowerShell writes for another PowerShell, whatever output format was requested.
fn is_clixml(line: &str) -> bool {
    line.starts_with("#< CLIXML") || line.starts_with("<Objs ")
}

/// How deep a message in JSON is looked for: azd quotes a response of Entra in a message of its own.
const DEEPEST: usize = 4;

/// A program's stderr in readable form: every JSON object in it, on one line or several, is replaced by the messages it
/// contains, or removed if it contains none. If there are objects on their own lines, they are the message and the rest
/// is noise.
fn readable(stderr: &str, depth: usize) -> String {
    let (mut text, mut alone, mut rest) = (String::new(), String::new(), stderr);
    while let Some(start) = rest.find('{') {
        let (before, object) = rest.split_at(start);
        text.push_str(before);
        let mut values = serde_json::Deserializer::from_str(object).into_iter::<Value>();
        let end = match values.next() {
            Some(Ok(value)) => {
                let mut messages = String::new();
                collect_messages(&value, depth, &mut messages);
                let is_alone = text
                    .lines()
                    .next_back()
                    .is_none_or(|line| line.trim().is_empty())
                    || text.ends_with('\n');
                if is_alone {
                    alone.push_str(&messages);
                }
                text.push_str(&messages);
                values.byte_offset()
            }
            // Continue where it stops being an object, so that nothing is parsed twice.
            Some(Err(error)) => {
                let end = offset_of(&error, object.as_bytes()).clamp(1, object.len());
                let end = (end..=object.len()).find(|end| object.is_char_boundary(*end));
                let end = end.unwrap_or(object.len());
                text.push_str(&object[..end]);
                end
            }
            None => object.len(),
        };
        rest = &object[end..];
    }
    text.push_str(rest);
    match alone.trim().is_empty() {
        true => text,
        false => alone,
    }
}

/// The members with the problem and the fix, in that order.
const MESSAGES: &[&str] = &[
    "data",
    "error_description",
    "message",
    "error",
    "suggestion",
];

/// Adds the messages in a JSON value, a line each. `error` is a code if there is a description beside it.
fn collect_messages(value: &Value, depth: usize, messages: &mut String) {
    if depth == 0 {
        return;
    }
    let describes = |name: &str| value[name].as_str().is_some_and(|text| !text.is_empty());
    for name in MESSAGES {
        match &value[*name] {
            Value::String(_)
                if *name == "error" && (describes("error_description") || describes("message")) => {
            }
            Value::String(text) => {
                messages.push_str(readable(&plain(text.as_bytes()), depth - 1).trim());
                messages.push('\n');
            }
            inner @ Value::Object(_) => collect_messages(inner, depth - 1, messages),
            _ => {}
        }
    }
}

/// The first JSON object in a program's output that is a `T`, whatever surrounds it: warnings, colours, a byte order
/// mark.
pub fn json_object<T: DeserializeOwned>(output: &[u8]) -> Option<T> {
    let text = plain(output).into_bytes();
    let mut rest = &text[..];
    loop {
        rest = &rest[rest.iter().position(|byte| *byte == b'{')?..];
        let mut values = serde_json::Deserializer::from_slice(rest).into_iter();
        match values.next()? {
            Ok(value) => return Some(value),
            // Continue where it stops being such an object, so that nothing is parsed twice.
            Err(error) => rest = &rest[offset_of(&error, rest).clamp(1, rest.len())..],
        }
    }
}

fn offset_of(error: &serde_json::Error, text: &[u8]) -> usize {
    let lines = text.split_inclusive(|byte| *byte == b'\n');
    let lines_before = lines.take(error.line().saturating_sub(1));
    lines_before.map(<[u8]>::len).sum::<usize>() + error.column()
}

/// Text without the escape sequences of a terminal (ECMA-48): colours, and links (OSC 8).
pub fn plain(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let mut pieces = text.split('\u{1b}');
    let mut plain = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        let is_final = |c: char| ('@'..='~').contains(&c);
        let mut rest = piece.chars();
        plain.push_str(match rest.next() {
            Some('[') => rest
                .as_str()
                .split_once(is_final)
                .map_or("", |(_, rest)| rest),
            // Ended by a bell, or by another escape sequence.
            Some(']') => rest
                .as_str()
                .split_once('\u{7}')
                .map_or("", |(_, rest)| rest),
            _ => rest.as_str(),
        });
    }
    plain
}

/// The token that the program returned. `expires_on` may be missing, the token may not.
pub fn token(
    product: &Product,
    access_token: Secret,
    expires_on: Option<DateTime<Utc>>,
    tenant: Option<&str>,
    system: &dyn System,
) -> Result<Token, Error> {
    let Product { name, sign_in, .. } = product;
    if access_token.is_empty() {
        return Err(
            Error::refused("", format!("{name} returned an empty token"))
                .remedy(format!("Sign in again: {sign_in}")),
        );
    }
    check_tenant(product, &access_token, tenant)?;
    let now = system.now();
    let expires_on = expires_on
        .or_else(|| expiry_claim(&access_token))
        .unwrap_or(now + UNKNOWN_LIFE);
    if expires_on <= now {
        let end = expires_on.format("%Y-%m-%dT%H:%M:%SZ");
        return Err(
            Error::refused("", format!("{name} returned a token that expired at {end}")).remedy(
                format!("Check this machine's clock, then sign in again: {sign_in}"),
            ),
        );
    }
    Ok(Token {
        access_token,
        expires_on,
        refresh_token: None,
    })
}

/// Checks that the token is from the requested tenant: a cluster of another tenant would respond with 401 and no
/// reason. A tenant given by its domain name cannot be compared.
fn check_tenant(product: &Product, token: &Secret, tenant: Option<&str>) -> Result<(), Error> {
    let wanted = tenant.filter(|tenant| Uuid::parse_str(tenant).is_ok());
    let claims = Claims::read(token);
    let got = claims.as_ref().and_then(|claims| claims.text("tid"));
    match wanted.zip(got) {
        Some((wanted, got)) if !got.eq_ignore_ascii_case(wanted) => {
            let Product {
                name,
                sign_in,
                tenant_flag,
                ..
            } = product;
            let what = format!(
                "{name} returned a token of tenant {got}, but --tenant-id (or AZURE_TENANT_ID) is {wanted}"
            );
            Err(Error::refused("", what).remedy(format!(
                "Sign in to that tenant: {sign_in} {tenant_flag} {wanted}"
            )))
        }
        _ => Ok(()),
    }
}

/// The error for a program that succeeded without returning a token.
pub fn no_token(product: &Product) -> Error {
    let Product {
        name,
        title,
        install,
        ..
    } = product;
    Error::refused("", format!("{name} succeeded but returned no token")).remedy(format!(
        "Check that the {name} on PATH is {title} and up to date ({install})."
    ))
}

/// The value of a flag, to be passed to the program.
///
/// # Errors The program could misread it. Azure/kubelogin refuses such values too.
pub fn argument(options: &Options, flag: Flag) -> Result<Option<String>, Error> {
    let Some(value) = options.text(flag) else {
        return Ok(None);
    };
    let also = match flag {
        Flag::ServerId => "._/:-",
        Flag::Subscription => "._ -",
        _ => ".-",
    };
    let is_allowed = |c: char| c.is_ascii_alphanumeric() || also.contains(c);
    if value.starts_with('-') || !value.chars().all(is_allowed) {
        return Err(Error::input(format!(
            "{} {value:?} contains a character that is not allowed",
            flag.typed()
        ))
        .remedy(match flag {
            Flag::Subscription => {
                "If this is the name of a subscription, use its ID instead.".to_owned()
            }
            _ => format!("Use only letters, digits and any of {also}"),
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
    fn the_object_is_found_whatever_surrounds_it() {
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
    fn output_without_the_object_is_given_up_on_quickly() {
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
    fn the_error_message_is_picked_out_of_stderr() {
        let entra = r#"{\"error\":\"invalid_grant\",\"error_description\":\"AADSTS7: No.\\r\\nTrace ID: t\",\"error_codes\":[7]}"#;
        for (stderr, message) in [
            (
                "WARNING: old\nERROR: Please run 'az login'\n",
                "Please run 'az login'",
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
                "not logged in, run `azd auth login`",
            ),
            (r#"{"error":"no"}"#, "no"),
            (r#"{"error":{"code":"x","message":"no"}}"#, "no"),
            (
                "noise\n{\n  \"error\": {\n    \"message\": \"no\\r\\nway\",\n    \"suggestion\": \"go\",\n    \"links\": [{\"url\": \"https://x\"}]\n  }\n}\n",
                "no\nway\ngo",
            ),
            (
                r#"{"message":"\u001b[31mno\u001b[0m, see \u001b]8;;https://x\u001b\\here\u001b]8;;\u001b\\"}"#,
                "no, see here",
            ),
            (
                "see \u{1b}]8;;https://x\u{7}here\u{1b}]8;;\u{7}",
                "see here",
            ),
            (r#"{"hush":1}"#, ""),
            (
                r#"ERROR: it answered 400: {"error":{"message":"no"},"hush":1} twice"#,
                "it answered 400: no\ntwice",
            ),
            (
                &format!("ERROR: fetching: {}", entra.replace('\\', "")),
                "fetching: AADSTS7: No.rnTrace ID: t",
            ),
            (
                &format!(r#"{{"message":"fetching: {entra}"}}"#),
                "fetching: AADSTS7: No.\nTrace ID: t",
            ),
        ] {
            let text = readable(&plain(stderr.as_bytes()), DEEPEST);
            assert_eq!(own_message(&text).trim(), message, "{stderr}");
        }
    }

    #[test]
    fn objects_without_an_end_are_read_once() {
        for nested in [
            "{".repeat(1 << 20),
            "{\"a\":".repeat(1 << 18),
            "{\"".repeat(1 << 19),
        ] {
            assert_eq!(readable(&nested, DEEPEST), nested);
        }
        assert_eq!(readable("{\"ä\": ö {", DEEPEST), "{\"ä\": ö {");
    }
}
