//! The command line: subcommands, flags, help. It stores what was typed and decides nothing.

pub mod get_credentials;
pub mod inspect;
mod old_args;
mod quick;
mod usage;
mod version;

use std::ffi::OsString;

use clap::builder::{EnumValueParser, TypedValueParser};
use clap::error::ErrorKind;
use clap::{Arg, ArgAction, ArgMatches, Command as ClapCommand, ValueEnum};

pub use get_credentials::GetCredentialsArgs;
pub use old_args::OldArgs;
use quick::named_flags;
pub use usage::{INT128, UnknownFlag};
use usage::{check_words, not_utf8, usage_error_in};

use crate::error::Error;
use crate::flag::{Flag, FlagValues, Takes};
use crate::login_mode::LoginMode;

/// A parsed command line.
pub struct Cli {
    /// `-v LEVEL`: at 0 only what must be said, at 1 advice too, at 5 every step.
    pub verbosity: u8,
    /// Warnings about the command line itself: deprecated names.
    pub notices: Vec<String>,
    pub command: Command,
}

/// What to do.
pub enum Command {
    GetToken(GetTokenArgs),
    ConvertKubeconfig(ConvertArgs),
    GetCredentials(Box<GetCredentialsArgs>),
    /// Print the completion script for this shell.
    Completion(Shell),
    /// Print the completions of this command line's last word. That script calls it.
    Complete(String),
    RemoveCacheDir(FlagValues),
    /// Sign out of one login.
    Logout(inspect::SubjectArgs),
    Whoami(inspect::WhoamiArgs),
    Doctor(inspect::DoctorArgs),
    /// Print this text and succeed: help or the version.
    Print(String),
}

/// What was typed after `get-token`.
pub struct GetTokenArgs {
    pub typed: FlagValues,
    /// Get a new token even if the cached one is fresh.
    pub force_refresh: bool,
}

/// What was typed after `convert-kubeconfig`.
pub struct ConvertArgs {
    pub typed: FlagValues,
    /// Only the user of this context.
    pub context: Option<String>,
    /// az's configuration folder, to be written to the user's environment.
    pub azure_config_dir: Option<String>,
    pub kubeconfig: Option<String>,
    /// Print a diff, write nothing.
    pub dry_run: bool,
    /// Exit with 1 if something would change.
    pub exit_code: bool,
}

const VERBOSITY: &str = "v";
const LOG_TO_STDERR: &str = "logtostderr";
const VERSION: &str = "version";
const GET_TOKEN: &str = "get-token";
const FORCE_REFRESH: &str = "force-refresh";
const CONVERT_KUBECONFIG: &str = "convert-kubeconfig";
pub const CONTEXT: &str = "context";
const AZURE_CONFIG_DIR: &str = "azure-config-dir";
pub const KUBECONFIG: &str = "kubeconfig";
const DRY_RUN: &str = "dry-run";
const EXIT_CODE: &str = "exit-code";
const COMPLETION: &str = "completion";
const SHELL: &str = "SHELL";
const COMPLETE: &str = "__complete";
const LINE: &str = "line";
const REMOVE_CACHE_DIR: &str = "remove-cache-dir";
const OLD_REMOVE_CACHE_DIR: &str = "remove-tokens";
const OLD_CACHE_DIR: &str = "token-cache-dir";
/// The flags of `remove-cache-dir`.
const REMOVE_FLAGS: &[Flag] = &[Flag::CacheDir];

impl Cli {
    /// Parses the arguments, the program's name first.
    pub fn parse(args: impl IntoIterator<Item = OsString>) -> Result<Self, Error> {
        let args: Vec<OsString> = args.into_iter().collect();
        match named_flags(&args) {
            Some(matches) => {
                let command = Command::GetToken(get_token_args(&matches)?);
                Ok(Self::new(&args, &matches, command))
            }
            None => Self::parse_in_full(&args),
        }
    }

    fn parse_in_full(args: &[OsString]) -> Result<Self, Error> {
        let mut root = program();
        let matches = match root.try_get_matches_from_mut(args) {
            Ok(matches) => matches,
            Err(error) if error.kind() == ErrorKind::DisplayHelp => {
                return Ok(Self::print(error.to_string()));
            }
            Err(error) if error.kind() == ErrorKind::InvalidUtf8 => return Err(not_utf8(args)),
            Err(error) => return Err(usage_error_in(args, &error)),
        };
        if matches.get_flag(VERSION) {
            return Ok(Self::print(version::text()));
        }
        let command = match matches.subcommand() {
            Some((GET_TOKEN, matches)) => Command::GetToken(get_token_args(matches)?),
            Some((CONVERT_KUBECONFIG, matches)) => {
                Command::ConvertKubeconfig(convert_args(matches)?)
            }
            Some((get_credentials::NAME, matches)) => {
                Command::GetCredentials(Box::new(get_credentials::read(matches)?))
            }
            Some((COMPLETION, matches)) => Command::Completion(shell(matches)),
            Some((COMPLETE, matches)) => {
                Command::Complete(matches.get_one::<String>(LINE).cloned().unwrap_or_default())
            }
            Some((REMOVE_CACHE_DIR | OLD_REMOVE_CACHE_DIR, matches)) => {
                Command::RemoveCacheDir(flag_values(matches))
            }
            Some((inspect::LOGOUT, matches)) => Command::Logout(inspect::subject(matches)?),
            Some((inspect::DOCTOR, matches)) => Command::Doctor(inspect::doctor(matches)?),
            Some((inspect::WHOAMI, matches)) => Command::Whoami(inspect::whoami(matches)?),
            Some((VERSION, _)) => Command::Print(version::text()),
            _ => Command::Print(root.render_help().to_string()),
        };
        Ok(Self::new(args, &matches, command))
    }

    fn new(args: &[OsString], matches: &ArgMatches, command: Command) -> Self {
        let level = matches.get_one::<i64>(VERBOSITY).copied().unwrap_or(0);
        // doctor prints its findings itself; a trace on stderr would reveal the names that --redact masks.
        let most = match command {
            Command::Doctor(_) => 4,
            _ => u8::MAX.into(),
        };
        let level = level.clamp(0, most);
        Self {
            verbosity: u8::try_from(level).unwrap_or(u8::MAX),
            notices: deprecations(args, matches.subcommand_name()),
            command,
        }
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
pub fn program() -> ClapCommand {
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
        .args(global_args())
        // A subcommand's flags are built only when it is called: most calls are get-token.
        .subcommand(
            ClapCommand::new(GET_TOKEN)
                .about("Sign in and print an ExecCredential for kubectl")
                .defer(|command| with_modes(command).args(login_args()).arg(force_refresh())),
        )
        .subcommand(get_credentials::command())
        .subcommand(remove_command(REMOVE_CACHE_DIR))
        .subcommand(remove_command(OLD_REMOVE_CACHE_DIR).hide(true))
        .subcommand(
            ClapCommand::new(CONVERT_KUBECONFIG)
                .about("Convert the Azure users in a kubeconfig to a login mode")
                .defer(|command| {
                    let command = with_modes(command)
                        .args(own_convert_args())
                        .args(login_args_over("devicecode", "the user's"));
                    command.after_help(format!(
                        "If a user cannot be converted, the error names its line, all others are converted, and the exit \
                         code is 1.\n\nLogin modes: {}",
                        LoginMode::words()
                    ))
                }),
        )
        .subcommands(inspect::commands())
        .subcommands(completion_commands())
        .subcommand(ClapCommand::new(VERSION).about("Print the version"))
}

fn with_modes(command: ClapCommand) -> ClapCommand {
    command
        .after_help(format!("Login modes: {}", LoginMode::words()))
        .args_override_self(true)
}

fn completion_commands() -> [ClapCommand; 2] {
    let shell = Arg::new(SHELL)
        .required(true)
        .value_parser(EnumValueParser::<Shell>::new())
        .help("The shell to complete in");
    let line = Arg::new(LINE).allow_hyphen_values(true);
    [
        ClapCommand::new(COMPLETION)
            .about("Print a shell's completion script: commands, flags, values and contexts")
            .arg(shell),
        ClapCommand::new(COMPLETE)
            .about("Used by the completion script")
            .hide(true)
            .arg(line),
    ]
}

/// A shell that `kubelogin completion` prints a script for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Shell {
    Bash,
    Zsh,
    Fish,
    Powershell,
}

/// The flags of every command.
fn global_args() -> [Arg; 2] {
    let verbosity = Arg::new(VERBOSITY)
        .long("v")
        .short('v')
        .value_name("LEVEL")
        .value_parser(clap::value_parser!(i64))
        .allow_negative_numbers(true)
        .global(true)
        .help("Verbosity on stderr: 1 adds advice, 5 traces every step");
    let log = switch(LOG_TO_STDERR)
        .global(true)
        .help("Accepted for compatibility: messages always go to stderr");
    [verbosity, log]
}

/// The flags that describe a login.
fn login_args() -> impl Iterator<Item = Arg> {
    Flag::ALL.iter().map(|definition| flag_arg(definition.flag))
}

/// The same for a login from a kubeconfig, with these defaults.
fn login_args_over(login: &'static str, server_id: &'static str) -> impl Iterator<Item = Arg> {
    login_args().map(move |arg| match arg.get_id().as_str() {
        "login" => arg.help(format!(
            "How to sign in: one of the login modes below [default: {login}]"
        )),
        "server-id" => arg.help(format!(
            "Application ID of the AKS server [default: {server_id}]"
        )),
        _ => arg,
    })
}

/// A flag with a value.
fn value(name: &'static str, value: &'static str, help: &'static str) -> Arg {
    Arg::new(name)
        .long(name)
        .value_name(value)
        .allow_hyphen_values(true)
        .help(help)
}

/// The flags that only `convert-kubeconfig` has.
fn own_convert_args() -> [Arg; 5] {
    [
        value(
            KUBECONFIG,
            "FILE",
            "Kubeconfig to convert [default: the files in KUBECONFIG, else ~/.kube/config]",
        ),
        value(
            CONTEXT,
            "NAME",
            "Convert only this context's user [default: every Azure user]",
        ),
        value(
            AZURE_CONFIG_DIR,
            "DIR",
            "az configuration folder, written to the user's env as AZURE_CONFIG_DIR",
        ),
        switch(DRY_RUN).help("Print a diff, write nothing"),
        switch(EXIT_CODE).help("With --dry-run: exit with 1 if something would change"),
    ]
    .map(|arg| arg.help_heading("Which kubeconfig"))
}

fn remove_command(name: &'static str) -> ClapCommand {
    ClapCommand::new(name)
        .about("Sign out of everything: delete all cached tokens and their encryption key")
        .args_override_self(true)
        .args(REMOVE_FLAGS.iter().copied().map(flag_arg))
}

/// For use by hand only: in a kubeconfig it would add a request to every command.
fn force_refresh() -> Arg {
    switch(FORCE_REFRESH)
        .help("Get a new token even if the cached one is valid, for example after a group change")
        .help_heading(crate::flag::COMMON)
}

fn get_token_args(matches: &ArgMatches) -> Result<GetTokenArgs, Error> {
    let force_refresh = matches.try_get_one::<String>(FORCE_REFRESH).ok().flatten();
    let typed = flag_values(matches);
    check_words(&typed)?;
    Ok(GetTokenArgs {
        typed,
        force_refresh: force_refresh.is_some_and(|value| value == "true"),
    })
}

fn flag_arg(flag: Flag) -> Arg {
    let definition = flag.definition();
    let arg = match definition.takes {
        Takes::Switch => switch(definition.name),
        // As in the original, a value may begin with a dash, because secrets can.
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
        _ => Err("neither true nor false"),
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

fn shell(matches: &ArgMatches) -> Shell {
    *matches.get_one(SHELL).expect("clap requires it")
}

/// The value of a flag that must not be empty.
///
/// # Errors The value is empty, for example because it comes from an unset variable.
fn text(matches: &ArgMatches, name: &str) -> Result<Option<String>, Error> {
    match matches.get_one::<String>(name) {
        Some(text) if text.is_empty() => Err(empty_flag(&format!("--{name}"))),
        text => Ok(text.cloned()),
    }
}

/// # Errors A flag is empty: it would select another file or every user.
fn convert_args(matches: &ArgMatches) -> Result<ConvertArgs, Error> {
    let text = |name| text(matches, name);
    let is_on = |name| Ok::<_, Error>(text(name)?.as_deref() == Some("true"));
    let typed = flag_values(matches);
    check_words(&typed)?;
    let args = ConvertArgs {
        typed,
        context: text(CONTEXT)?,
        azure_config_dir: text(AZURE_CONFIG_DIR)?,
        kubeconfig: text(KUBECONFIG)?,
        dry_run: is_on(DRY_RUN)?,
        exit_code: is_on(EXIT_CODE)?,
    };
    if args.exit_code && !args.dry_run {
        return Err(Error::input("--exit-code works only with --dry-run")
            .remedy("Add --dry-run, or leave out --exit-code."));
    }
    Ok(args)
}

/// The error for a flag whose value is empty.
pub fn empty_flag(name: &str) -> Error {
    Error::input(format!("{name} is empty")).remedy(
        "Give it a value, or leave it out. In a script, check that the variable it comes from is set.",
    )
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

#[cfg(test)]
mod tests;
