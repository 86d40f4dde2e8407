//! Command line errors: what is wrong, where, and what to do, but never a value: it may be a misplaced secret.

use std::ffi::OsString;

use clap::error::{ContextKind, ContextValue, ErrorKind};

use super::{GET_TOKEN, SHELL};
use crate::error::{self, Error};
use crate::flag::{Flag, FlagValues};
use crate::login_mode::LoginMode;

/// The prefix of the flags of int128/kubelogin, another program with this name.
pub const INT128: &str = "--oidc-";
const LOOSE_WORD: &str =
    "Quote values that contain spaces; turn a switch off with --flag=false, without a space.";

/// Converts clap's error to ours, with the position of an argument that is not shown. `args` starts with the program's
/// name.
pub fn usage_error_in(args: &[OsString], error: &clap::Error) -> Error {
    let (ErrorKind::UnknownArgument, Some(ContextValue::String(word))) =
        (error.kind(), error.get(ContextKind::InvalidArg))
    else {
        return usage_error(error, command_in(args).as_deref());
    };
    let mut places = (0..args.len()).filter(|at| args[*at] == word.as_str());
    match (places.next(), places.next()) {
        (Some(at), None) if at > 0 && !word.starts_with('-') && !is_harmless(word) => Error::input(
            format!("unexpected argument {at} (not shown: it may be a secret)"),
        )
        .remedy(LOOSE_WORD),
        _ => usage_error(error, command_in(args).as_deref()),
    }
}

/// The subcommand that was typed.
fn command_in(args: &[OsString]) -> Option<String> {
    let program = super::program();
    let known = |word: &OsString| {
        let named = program.get_subcommands().find(|command| {
            let mut names = command.get_name_and_visible_aliases().into_iter();
            names.any(|name| word == name)
        });
        named.map(|command| command.get_name().to_owned())
    };
    args.iter().skip(1).find_map(known)
}

/// The error for the arguments of a user in a kubeconfig.
pub fn usage_error_of_user(error: &clap::Error) -> Error {
    usage_error(error, Some(GET_TOKEN))
}

/// An unknown flag, and the flag that was probably meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnknownFlag {
    /// Without its value, which may be a secret.
    pub name: String,
    pub near: Option<String>,
}

/// The unknown flag, if that is clap's error and no other program has the flag.
pub fn unknown_flag_of(error: &clap::Error) -> Option<UnknownFlag> {
    let text = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) => Some(text.as_str()),
        _ => None,
    };
    let arg = text(ContextKind::InvalidArg).filter(|_| error.kind() == ErrorKind::UnknownArgument);
    let name = arg?.split([' ', '=', '[']).next()?;
    let near = text(ContextKind::SuggestedArg);
    // If the name is right, flag and value are one word.
    let is_unknown = name.starts_with('-') && near != Some(name) && !name.starts_with(INT128);
    is_unknown.then(|| UnknownFlag {
        name: name.to_owned(),
        near: near.map(str::to_owned),
    })
}

/// Checks that no value starts with a space: then a short flag and its value are one word, as in `'-l spn'`.
pub fn check_words(values: &FlagValues) -> Result<(), Error> {
    let shorts = Flag::ALL.iter().filter(|flag| flag.short.is_some());
    let mut texts = shorts.filter_map(|flag| Some((flag, values.text(flag.flag)?)));
    match texts.find(|(_, value)| value.starts_with(' ')) {
        Some((flag, _)) => Err(one_word(&format!("-{}", flag.short.unwrap_or_default()))),
        None => Ok(()),
    }
}

fn one_word(name: &str) -> Error {
    Error::input(format!("{name} and its value are one argument")).remedy(format!(
        "Pass two: {name} and the value. In a kubeconfig's args, each is an item of its own."
    ))
}

/// Converts clap's error for the arguments of this command.
fn usage_error(error: &clap::Error, command: Option<&str>) -> Error {
    let all = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) => vec![text.as_str()],
        Some(ContextValue::Strings(texts)) => texts.iter().map(String::as_str).collect(),
        _ => Vec::new(),
    };
    let first = |kind| all(kind).into_iter().next();
    let arg = first(ContextKind::InvalidArg).unwrap_or_default();
    let name = arg.split([' ', '=', '[']).next().unwrap_or_default();
    let value = first(ContextKind::InvalidValue).unwrap_or_default();
    let valid = all(ContextKind::ValidValue).join(", ");
    let suggestion = match all(ContextKind::SuggestedSubcommand)[..] {
        [] => first(ContextKind::SuggestedArg),
        // clap lists the best match last.
        [.., best] => Some(best),
    };
    match error.kind() {
        ErrorKind::UnknownArgument if name.starts_with('-') => {
            unknown_flag(name, suggestion, command)
        }
        ErrorKind::UnknownArgument => unexpected_argument(arg),
        ErrorKind::InvalidSubcommand => {
            let word = first(ContextKind::InvalidSubcommand).unwrap_or_default();
            Error::input(format!("unknown command {word:?}"))
                .remedy(did_you_mean(suggestion, command))
        }
        ErrorKind::MissingRequiredArgument => {
            Error::input(format!("missing argument {arg}")).remedy(see_help(command))
        }
        ErrorKind::InvalidValue | ErrorKind::NoEquals if value.is_empty() => {
            Error::input(format!("{name} needs a value")).remedy(see_help(command))
        }
        ErrorKind::InvalidValue if name.trim_matches(['<', '>']) == SHELL => {
            Error::input(format!("unsupported shell {value:?}"))
                .remedy(format!("Use one of {valid}."))
        }
        ErrorKind::InvalidValue if !valid.is_empty() => {
            invalid_value(name, &format!("one of {valid}"))
        }
        ErrorKind::InvalidValue | ErrorKind::ValueValidation => {
            invalid_value(name, kind_of_value(name))
        }
        ErrorKind::TooManyValues => {
            Error::input(format!("{name} takes no value")).remedy(see_help(command))
        }
        other => Error::input(other.to_string()).remedy(see_help(command)),
    }
}

fn unknown_flag(name: &str, suggestion: Option<&str>, command: Option<&str>) -> Error {
    if suggestion == Some(name) {
        // clap knows the flag, but not with a space and the value in the same argument.
        return one_word(name);
    }
    let error = Error::input(format!("unknown flag: {name}"));
    if name.starts_with(INT128) {
        return error.remedy(
            "This is a flag of int128/kubelogin, another program with the same name: call that one \
             (as kubectl-oidc_login), or convert the user for this one.",
        );
    }
    error.remedy(did_you_mean(suggestion, command))
}

fn unexpected_argument(word: &str) -> Error {
    let shown = if is_harmless(word) {
        format!("unexpected argument {word:?}")
    } else {
        "unexpected argument (not shown: it may be a secret)".to_owned()
    };
    Error::input(shown).remedy(LOOSE_WORD)
}

/// True if a word is certainly not a secret.
fn is_harmless(word: &str) -> bool {
    LoginMode::from_word(word).is_some() || ["true", "false"].contains(&word)
}

fn did_you_mean(suggestion: Option<&str>, command: Option<&str>) -> String {
    let see_help = see_help(command);
    match suggestion {
        Some(near) => format!("{} {see_help}", error::did_you_mean(&[near])),
        None => see_help,
    }
}

fn see_help(command: Option<&str>) -> String {
    match command {
        Some(command) => format!("Run kubelogin {command} --help to see its arguments."),
        None => "Run kubelogin --help to see the commands.".to_owned(),
    }
}

fn invalid_value(name: &str, valid: &str) -> Error {
    Error::input(format!("the value of {name} is not valid: use {valid}"))
}

fn kind_of_value(name: &str) -> &'static str {
    if name.starts_with("--v") || name == "-v" {
        "a whole number"
    } else {
        "true or false, as in --flag=false"
    }
}

/// The error for text that clap cannot read. It names the flag: `--flag=value` itself, or the word before the value.
pub fn not_utf8(args: &[OsString]) -> Error {
    let at = args.iter().position(|arg| arg.to_str().is_none());
    let around = at.map_or(&[][..], |at| &args[at.saturating_sub(1)..=at]);
    let flag = around
        .iter()
        .rev()
        .map(|arg| arg.to_string_lossy())
        .find(|arg| arg.starts_with('-'));
    let name = flag.as_deref().and_then(|flag| flag.split('=').next());
    Error::input(format!(
        "the value of {} is not UTF-8 text",
        name.unwrap_or("an argument")
    ))
    .remedy("Type it in a terminal or save it in a file that uses UTF-8.")
}
