//! The command line: subcommands, flags, help. It stores what was typed and decides nothing.

use std::ffi::OsString;

use clap::builder::TypedValueParser;
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Arg, ArgAction, ArgMatches, Command as ClapCommand};

use crate::error::Error;
use crate::flag::{Flag, FlagValues, Takes};
use crate::login_mode::LoginMode;

/// A parsed command line.
pub struct Cli {
    /// `-v LEVEL`: 0 says only what must be said, 1 advises, 5 tells each step.
    pub verbosity: u8,
    /// Things to say about the command line itself: deprecated names.
    pub notices: Vec<String>,
    pub command: Command,
}

/// What to do.
pub enum Command {
    GetToken(FlagValues),
    RemoveCacheDir(FlagValues),
    /// Print this text and succeed: help or the version.
    Print(String),
}

const VERBOSITY: &str = "v";
const LOG_TO_STDERR: &str = "logtostderr";
const VERSION: &str = "version";
const GET_TOKEN: &str = "get-token";
const REMOVE_CACHE_DIR: &str = "remove-cache-dir";
const OLD_REMOVE_CACHE_DIR: &str = "remove-tokens";
const OLD_CACHE_DIR: &str = "token-cache-dir";
/// The flags of `remove-cache-dir`.
const REMOVE_FLAGS: &[Flag] = &[Flag::CacheDir];

impl Cli {
    /// Parses the arguments, the program's name first.
    pub fn parse(args: impl IntoIterator<Item = OsString>) -> Result<Self, Error> {
        let args: Vec<OsString> = args.into_iter().collect();
        let mut root = program();
        let matches = match root.try_get_matches_from_mut(&args) {
            Ok(matches) => matches,
            Err(error) if error.kind() == ErrorKind::DisplayHelp => {
                return Ok(Self::print(error.to_string()));
            }
            Err(error) => return Err(usage_error(&error)),
        };
        if matches.get_flag(VERSION) {
            return Ok(Self::print(version()));
        }
        let command = match matches.subcommand() {
            Some((GET_TOKEN, matches)) => Command::GetToken(flag_values(matches)),
            Some((REMOVE_CACHE_DIR | OLD_REMOVE_CACHE_DIR, matches)) => {
                Command::RemoveCacheDir(flag_values(matches))
            }
            _ => Command::Print(root.render_help().to_string()),
        };
        let verbosity = matches.get_one::<i64>(VERBOSITY).copied().unwrap_or(0);
        let verbosity = u8::try_from(verbosity.clamp(0, u8::MAX.into())).unwrap_or(u8::MAX);
        Ok(Self {
            verbosity,
            notices: deprecations(&args, matches.subcommand_name()),
            command,
        })
    }

    fn print(text: String) -> Self {
        Self {
            verbosity: 0,
            notices: Vec::new(),
            command: Command::Print(text),
        }
    }
}

/// The whole command line, as clap sees it.
fn program() -> ClapCommand {
    ClapCommand::new("kubelogin")
        .about("Signs kubectl in to Azure Kubernetes clusters with Microsoft Entra ID")
        .disable_version_flag(true)
        .args_override_self(true)
        .arg(
            Arg::new(VERSION)
                .long(VERSION)
                .action(ArgAction::SetTrue)
                .help("Print the version"),
        )
        .arg(
            Arg::new(VERBOSITY)
                .long("v")
                .short('v')
                .value_name("LEVEL")
                .value_parser(clap::value_parser!(i64))
                .allow_negative_numbers(true)
                .global(true)
                .help("Say more on stderr: 1 advises, 5 tells each step"),
        )
        .arg(
            switch(LOG_TO_STDERR)
                .global(true)
                .help("Accepted for compatibility: messages always go to stderr"),
        )
        .subcommand(
            ClapCommand::new(GET_TOKEN)
                .about("Sign in and print an ExecCredential for kubectl")
                .after_help(format!("Login modes: {}", LoginMode::words()))
                .args_override_self(true)
                .args(Flag::ALL.iter().map(|definition| flag_arg(definition.flag))),
        )
        .subcommand(remove_command(REMOVE_CACHE_DIR))
        .subcommand(remove_command(OLD_REMOVE_CACHE_DIR).hide(true))
}

fn remove_command(name: &'static str) -> ClapCommand {
    ClapCommand::new(name)
        .about("Log out: remove all tokens in the cache folder, and the key that seals them")
        .args_override_self(true)
        .args(REMOVE_FLAGS.iter().copied().map(flag_arg))
}

fn flag_arg(flag: Flag) -> Arg {
    let definition = flag.definition();
    let arg = match definition.takes {
        Takes::Switch => switch(definition.name),
        // A value may begin with a dash, as with the original: secrets do.
        Takes::Value(name) | Takes::Secret(name) => Arg::new(definition.name)
            .long(definition.name)
            .value_name(name)
            .allow_hyphen_values(true),
    };
    let arg = match definition.short {
        Some(short) => arg.short(short),
        None => arg,
    };
    let arg = if flag == Flag::CacheDir {
        arg.alias(OLD_CACHE_DIR)
    } else {
        arg
    };
    arg.help(definition.help).help_heading(definition.heading)
}

/// `--name`, `--name=true` or `--name=false`, in every spelling that Go's `strconv.ParseBool` takes.
fn switch(name: &'static str) -> Arg {
    let parser = clap::builder::StringValueParser::new().try_map(|word| match word.as_str() {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok("true".to_owned()),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok("false".to_owned()),
        _ => Err("it is true or false"),
    });
    Arg::new(name)
        .long(name)
        .num_args(0..=1)
        .require_equals(true)
        .default_missing_value("true")
        .value_parser(parser)
        .hide_possible_values(true)
        .value_name("BOOL")
}

fn flag_values(matches: &ArgMatches) -> FlagValues {
    let mut values = FlagValues::new();
    for definition in Flag::ALL {
        let value = matches.try_get_one::<String>(definition.name);
        if let Ok(Some(value)) = value {
            values.set(definition.flag, value.as_str());
        }
    }
    values
}

fn deprecations(args: &[OsString], command: Option<&str>) -> Vec<String> {
    let mut notices = Vec::new();
    if command == Some(OLD_REMOVE_CACHE_DIR) {
        notices.push(format!(
            "Command {OLD_REMOVE_CACHE_DIR:?} is deprecated, use {REMOVE_CACHE_DIR} instead"
        ));
    }
    let old = format!("--{OLD_CACHE_DIR}");
    let is_old = |arg: &OsString| arg.to_string_lossy().split('=').next() == Some(old.as_str());
    if args.iter().any(is_old) {
        notices.push(format!(
            "Flag {old} has been deprecated, use --cache-dir instead"
        ));
    }
    notices
}

/// clap's error in our form: what, which, what to do - and never a value, which may be a secret in the wrong place.
fn usage_error(error: &clap::Error) -> Error {
    let context = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) => Some(text.clone()),
        Some(ContextValue::Strings(texts)) => texts.first().cloned(),
        _ => None,
    };
    let arg = context(ContextKind::InvalidArg).unwrap_or_default();
    let name = arg
        .split([' ', '=', '['])
        .next()
        .unwrap_or_default()
        .to_owned();
    let suggestion =
        context(ContextKind::SuggestedArg).or(context(ContextKind::SuggestedSubcommand));
    let see_help =
        "Run kubelogin --help, or kubelogin get-token --help, for the commands and flags.";
    match error.kind() {
        ErrorKind::UnknownArgument if name.starts_with("--oidc-") => {
            Error::input(format!("unknown flag: {name}")).remedy(
                "This is a flag of int128/kubelogin, another program of the same name: call that one \
                 (as kubectl-oidc_login), or convert the user for this one.",
            )
        }
        ErrorKind::UnknownArgument if name.starts_with('-') => {
            Error::input(format!("unknown flag: {name}")).remedy(match suggestion {
                Some(near) => format!("Did you mean {near}? {see_help}"),
                None => see_help.to_owned(),
            })
        }
        ErrorKind::UnknownArgument => Error::input("there is a word that belongs to no flag").remedy(
            "Quote values that hold spaces; switch a flag off as --flag=false, without a space.",
        ),
        ErrorKind::InvalidSubcommand => {
            let word = context(ContextKind::InvalidSubcommand).unwrap_or_default();
            Error::input(format!("unknown command {word:?}")).remedy(match suggestion {
                Some(near) => format!("Did you mean {near}? {see_help}"),
                None => see_help.to_owned(),
            })
        }
        ErrorKind::InvalidUtf8 => Error::input("a value on the command line is not UTF-8 text"),
        ErrorKind::InvalidValue | ErrorKind::NoEquals if context(ContextKind::InvalidValue).is_none_or(|v| v.is_empty()) => {
            Error::input(format!("{name} needs a value")).remedy(see_help)
        }
        ErrorKind::ValueValidation | ErrorKind::InvalidValue => {
            Error::input(format!("the value of {name} is not valid: it takes {}", kind_of_value(&name)))
        }
        _ => Error::input(error.kind().to_string()).remedy(see_help),
    }
}

fn kind_of_value(name: &str) -> &'static str {
    if name.starts_with("--v") || name == "-v" {
        "a whole number"
    } else {
        "true or false, as --flag=false"
    }
}

/// The shape of the original's version text, which scripts read: a first line, then one value a line.
fn version() -> String {
    format!(
        "kubelogin version \ngit hash: {}\nRust version: {}\nBuild time: {}\nPlatform: {}/{}\n",
        env!("KUBELOGIN_GIT_HASH"),
        env!("KUBELOGIN_RUST_VERSION"),
        env!("KUBELOGIN_BUILD_TIME"),
        go_name(std::env::consts::OS),
        go_name(std::env::consts::ARCH),
    )
}

/// The platform's name as Go, and so every script around the original, writes it.
fn go_name(rust_name: &'static str) -> &'static str {
    match rust_name {
        "macos" => "darwin",
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        "x86" => "386",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(args: &[&str]) -> Result<Cli, Error> {
        Cli::parse(
            std::iter::once("kubelogin")
                .chain(args.iter().copied())
                .map(OsString::from),
        )
    }

    fn values(args: &[&str]) -> FlagValues {
        match parse(&[&["get-token"], args].concat())
            .expect("parsed")
            .command
        {
            Command::GetToken(values) => values,
            _ => panic!("not get-token"),
        }
    }

    fn failure(args: &[&str]) -> String {
        parse(args).err().expect("refused").to_string()
    }

    #[test]
    fn clap_finds_no_contradiction_in_the_flags() {
        program().debug_assert();
    }

    #[test]
    fn every_spelling_of_a_value_is_read() {
        for args in [
            &["--login", "spn"][..],
            &["--login=spn"],
            &["-l", "spn"],
            &["-l=spn"],
            &["-lspn"],
            &["--login", "devicecode", "-l", "spn"],
        ] {
            assert_eq!(values(args).text(Flag::Login), Some("spn"), "{args:?}");
        }
    }

    #[test]
    fn a_switch_takes_go_s_words_for_true_and_false() {
        for (arg, on) in [
            ("--legacy", true),
            ("--legacy=true", true),
            ("--legacy=T", true),
            ("--legacy=1", true),
            ("--legacy=false", false),
            ("--legacy=0", false),
        ] {
            assert_eq!(values(&[arg]).is_on(Flag::Legacy), on, "{arg}");
        }
        assert!(failure(&["get-token", "--legacy=maybe"]).contains("--legacy"));
    }

    #[test]
    fn a_secret_may_begin_with_a_dash() {
        let values = values(&["--client-secret", "--x", "--tenant-id", "t"]);
        assert_eq!(values.secret(Flag::ClientSecret), Some(Secret::new("--x")));
        assert_eq!(values.text(Flag::TenantId), Some("t"));
    }

    use crate::secret::Secret;

    #[test]
    fn a_usage_error_names_the_flag_and_never_a_value() {
        assert!(failure(&["get-token", "--tenent-id", "hunter2"]).contains("--tenant-id"));
        for args in [
            &["get-token", "--client-secrets=hunter2"][..],
            &["get-token", "hunter2"],
            &["get-token", "--client-secret", "a", "hunter2"],
            &["get-token", "--legacy", "hunter2"],
            &["get-token", "--legacy=hunter2"],
            &["-v", "hunter2", "get-token"],
        ] {
            let text = failure(args);
            assert!(!text.contains("hunter2"), "{text}");
            assert!(text.lines().count() <= 3, "{text}");
        }
        assert!(failure(&["get-token", "--oidc-issuer-url=x"]).contains("int128"));
        assert!(failure(&["get-token", "--tenant-id"]).contains("--tenant-id needs a value"));
    }

    #[test]
    fn global_flags_stand_before_or_after_the_command() {
        for args in [
            &["-v", "5", "get-token"][..],
            &["get-token", "-v=5"],
            &["get-token", "--v", "5", "--logtostderr=false"],
            &["-v5", "get-token"],
        ] {
            assert_eq!(parse(args).expect("parsed").verbosity, 5, "{args:?}");
        }
    }

    #[test]
    fn the_old_name_of_cache_dir_works_and_is_said_to_be_old() {
        let cli = parse(&["get-token", "--token-cache-dir=/x"]).expect("parsed");
        assert_eq!(cli.notices.len(), 1);
        assert_eq!(
            values(&["--token-cache-dir", "/x"]).text(Flag::CacheDir),
            Some("/x")
        );
    }

    #[test]
    fn no_command_prints_the_help_and_version_has_the_original_s_shape() {
        let text = |args: &[&str]| match parse(args).expect("parsed").command {
            Command::Print(text) => text,
            _ => panic!("no text"),
        };
        assert!(text(&[]).contains("get-token"));
        assert!(text(&["get-token", "--help"]).contains("For service principals"));
        let version = text(&["--version"]);
        assert!(
            version.starts_with("kubelogin version \ngit hash: v"),
            "{version}"
        );
        assert_eq!(version.lines().count(), 5);
    }
}
