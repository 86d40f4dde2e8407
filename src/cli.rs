//! The command line: subcommands, flags, help. It stores what was typed and decides nothing.

use std::ffi::OsString;

use clap::builder::TypedValueParser;
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Arg, ArgAction, ArgMatches, Command as ClapCommand};

use crate::error::Error;
use crate::flag::{Definition, Flag, FlagValues, Takes};
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
    ConvertKubeconfig(ConvertArgs),
    /// Print the script that completes words in this shell.
    Completion(Shell),
    /// Print what the last word of this command line can become.
    Complete(String),
    RemoveCacheDir(FlagValues),
    /// Print this text and succeed: help or the version.
    Print(String),
}

/// What was typed after `convert-kubeconfig`.
pub struct ConvertArgs {
    pub typed: FlagValues,
    /// Only the user of this context.
    pub context: Option<String>,
    /// The configuration folder of az, for the plugin's environment.
    pub azure_config_dir: Option<String>,
    pub kubeconfig: Option<String>,
    /// Print the difference, write nothing.
    pub dry_run: bool,
}

const VERBOSITY: &str = "v";
const LOG_TO_STDERR: &str = "logtostderr";
const VERSION: &str = "version";
const GET_TOKEN: &str = "get-token";
const CONVERT_KUBECONFIG: &str = "convert-kubeconfig";
pub const CONTEXT: &str = "context";
const AZURE_CONFIG_DIR: &str = "azure-config-dir";
pub const KUBECONFIG: &str = "kubeconfig";
const DRY_RUN: &str = "dry-run";
pub const COMPLETION: &str = "completion";
const SHELL: &str = "shell";
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
                let command = Command::GetToken(flag_values(&matches));
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
            Err(error) => return Err(usage_error(&error)),
        };
        if matches.get_flag(VERSION) {
            return Ok(Self::print(version()));
        }
        let command = match matches.subcommand() {
            Some((GET_TOKEN, matches)) => Command::GetToken(flag_values(matches)),
            Some((CONVERT_KUBECONFIG, matches)) => {
                Command::ConvertKubeconfig(convert_args(matches))
            }
            Some((COMPLETION, matches)) => Command::Completion(Shell::parse(matches)?),
            Some((COMPLETE, matches)) => {
                Command::Complete(matches.get_one::<String>(LINE).cloned().unwrap_or_default())
            }
            Some((REMOVE_CACHE_DIR | OLD_REMOVE_CACHE_DIR, matches)) => {
                Command::RemoveCacheDir(flag_values(matches))
            }
            _ => Command::Print(root.render_help().to_string()),
        };
        Ok(Self::new(args, &matches, command))
    }

    fn new(args: &[OsString], matches: &ArgMatches, command: Command) -> Self {
        let level = matches.get_one::<i64>(VERBOSITY).copied().unwrap_or(0);
        let level = level.clamp(0, u8::MAX.into());
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

/// A call of `get-token` as programs make it, read with those flags only that it names: to make all of them takes longer
/// than to read and open the token. `None` if that does not do: then it is read in full, which says what is wrong.
fn named_flags(args: &[OsString]) -> Option<ArgMatches> {
    let (command, words) = args.get(1..)?.split_first()?;
    if command != GET_TOKEN {
        return None;
    }
    let words: Vec<&str> = words
        .iter()
        .map(|word| word.to_str())
        .collect::<Option<_>>()?;
    // Flags in one word, like -lspn, are not taken apart here.
    let has_short = words
        .iter()
        .any(|word| word.starts_with('-') && !word.starts_with("--"));
    let is_named = |flag: &Definition| {
        has_short && flag.short.is_some() || words.iter().any(|word| word.contains(flag.name))
    };
    flags_alone(is_named).try_get_matches_from(&words).ok()
}

/// The flags of `get-token`, if they are wanted, without the program around them.
fn flags_alone(is_wanted: impl Fn(&Definition) -> bool) -> ClapCommand {
    let wanted = Flag::ALL.iter().filter(|flag| is_wanted(flag));
    ClapCommand::new(GET_TOKEN)
        .no_binary_name(true)
        .disable_help_flag(true)
        .args_override_self(true)
        .args(global_args())
        .args(wanted.map(|definition| flag_arg(definition.flag)))
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
        .args(global_args())
        // The flags of a subcommand are made when it is called: most calls are get-token's.
        .subcommand(
            ClapCommand::new(GET_TOKEN)
                .about("Sign in and print an ExecCredential for kubectl")
                .defer(|command| with_modes(command).args(login_args())),
        )
        .subcommand(remove_command(REMOVE_CACHE_DIR))
        .subcommand(remove_command(OLD_REMOVE_CACHE_DIR).hide(true))
        .subcommand(
            ClapCommand::new(CONVERT_KUBECONFIG)
                .about("Turn the Azure users of a kubeconfig to a login mode")
                .defer(|command| {
                    with_modes(command)
                        .args(own_convert_args())
                        .args(login_args())
                }),
        )
        .subcommands(completion_commands())
}

fn with_modes(command: ClapCommand) -> ClapCommand {
    command
        .after_help(format!("Login modes: {}", LoginMode::words()))
        .args_override_self(true)
}

fn completion_commands() -> [ClapCommand; 2] {
    let shell = Arg::new(SHELL).help(Shell::words());
    let line = Arg::new(LINE).allow_hyphen_values(true);
    [
        ClapCommand::new(COMPLETION)
            .about("Print a script that completes commands, flags and values in a shell")
            .arg(shell),
        ClapCommand::new(COMPLETE)
            .about("Asked by that script")
            .hide(true)
            .arg(line),
    ]
}

/// A shell that words can be completed in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shell {
    Bash,
    Zsh,
    Fish,
    Powershell,
}

impl Shell {
    pub const ALL: &[Self] = &[Self::Bash, Self::Zsh, Self::Fish, Self::Powershell];

    /// Its name, as it is typed.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Bash => "bash",
            Self::Zsh => "zsh",
            Self::Fish => "fish",
            Self::Powershell => "powershell",
        }
    }

    fn words() -> String {
        Self::ALL
            .iter()
            .map(|shell| shell.word())
            .collect::<Vec<_>>()
            .join(", ")
    }

    fn parse(matches: &ArgMatches) -> Result<Self, Error> {
        let word = matches
            .get_one::<String>(SHELL)
            .map(String::as_str)
            .unwrap_or_default();
        let shell = Self::ALL.iter().copied().find(|shell| shell.word() == word);
        shell.ok_or_else(|| {
            Error::input(format!(
                "{word:?} is no shell that kubelogin completion knows"
            ))
            .remedy(format!("Name one of {}.", Self::words()))
        })
    }
}

/// Something that a word being typed can become.
pub struct Candidate {
    pub word: String,
    pub help: String,
}

impl Candidate {
    /// A word that explains itself.
    pub fn bare(word: impl Into<String>) -> Self {
        Self {
            word: word.into(),
            help: String::new(),
        }
    }
}

/// The subcommands that a person can type.
pub fn commands() -> Vec<Candidate> {
    let program = program();
    let shown = program
        .get_subcommands()
        .filter(|command| !command.is_hide_set());
    shown
        .map(|command| Candidate {
            word: command.get_name().to_owned(),
            help: command
                .get_about()
                .map(ToString::to_string)
                .unwrap_or_default(),
        })
        .collect()
}

/// True for the name of a subcommand, hidden ones too.
pub fn is_command(word: &str) -> bool {
    program().find_subcommand(word).is_some()
}

/// The flags of a subcommand, or of the program itself.
pub fn flags(command: Option<&str>) -> Vec<Candidate> {
    let args = args_of(command);
    let shown = args.iter().filter(|arg| !arg.is_hide_set());
    shown
        .filter_map(|arg| {
            Some(Candidate {
                word: format!("--{}", arg.get_long()?),
                help: arg.get_help().map(ToString::to_string).unwrap_or_default(),
            })
        })
        .collect()
}

/// True if the word after this one is its value.
pub fn takes_value(command: Option<&str>, word: &str) -> bool {
    let Some(name) = long_name(word) else {
        return false;
    };
    let args = args_of(command);
    let arg = args.iter().find(|arg| arg.get_long() == Some(name));
    arg.is_some_and(|arg| arg.get_action().takes_values() && !arg.is_require_equals_set())
}

/// The long name of a flag that is typed in its long or short form.
pub fn long_name(word: &str) -> Option<&str> {
    if let Some(long) = word.strip_prefix("--") {
        return Some(long);
    }
    let mut letters = word.strip_prefix('-')?.chars();
    let (letter, rest) = (letters.next()?, letters.next());
    let flag = Flag::ALL
        .iter()
        .find(|definition| definition.short == Some(letter) && rest.is_none());
    match flag {
        Some(definition) => Some(definition.name),
        None => (letter == 'v' && rest.is_none()).then_some(VERBOSITY),
    }
}

fn args_of(command: Option<&str>) -> Vec<Arg> {
    let mut program = program();
    program.build();
    let command = command
        .and_then(|name| program.find_subcommand(name))
        .unwrap_or(&program);
    command.get_arguments().cloned().collect()
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
        .help("Say more on stderr: 1 advises, 5 tells each step");
    let log = switch(LOG_TO_STDERR)
        .global(true)
        .help("Accepted for compatibility: messages always go to stderr");
    [verbosity, log]
}

/// The flags that describe a login.
fn login_args() -> impl Iterator<Item = Arg> {
    Flag::ALL.iter().map(|definition| flag_arg(definition.flag))
}

/// The flags that only `convert-kubeconfig` has.
fn own_convert_args() -> [Arg; 4] {
    let value = |name: &'static str, value: &'static str, help: &'static str| {
        Arg::new(name)
            .long(name)
            .value_name(value)
            .allow_hyphen_values(true)
            .help(help)
            .help_heading("Which kubeconfig")
    };
    [
        value(
            KUBECONFIG,
            "FILE",
            "The file to convert [default: the files of KUBECONFIG, else ~/.kube/config]",
        ),
        value(
            CONTEXT,
            "NAME",
            "Convert only the user of this context [default: every Azure user]",
        ),
        value(
            AZURE_CONFIG_DIR,
            "DIR",
            "Configuration folder of az, written as AZURE_CONFIG_DIR for the plugin",
        ),
        switch(DRY_RUN)
            .help("Print the difference, change nothing")
            .help_heading("Which kubeconfig"),
    ]
}

/// Reads the arguments of a user that is converted, by the same flags as `get-token`.
pub struct OldArgs(ClapCommand);

impl OldArgs {
    pub fn new() -> Self {
        Self(flags_alone(|_| true))
    }

    /// The flags and `-v`, if it is there. A word or flag that is not known is an error: it must not get lost.
    pub fn parse(&mut self, args: &[&str]) -> Result<(FlagValues, Option<i64>), Error> {
        // convert-kubeconfig in a kubeconfig is a mistake that this very command cures. Flags may stand before either.
        let command = args
            .iter()
            .position(|arg| [GET_TOKEN, CONVERT_KUBECONFIG].contains(arg));
        let flags = args.iter().enumerate();
        let flags = flags.filter(|(at, _)| Some(*at) != command);
        let matches = self
            .0
            .try_get_matches_from_mut(flags.map(|(_, arg)| arg))
            .map_err(|error| usage_error(&error))?;
        Ok((flag_values(&matches), matches.get_one(VERBOSITY).copied()))
    }
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

fn convert_args(matches: &ArgMatches) -> ConvertArgs {
    let text = |name| {
        matches
            .get_one::<String>(name)
            .filter(|text| !text.is_empty())
            .cloned()
    };
    ConvertArgs {
        typed: flag_values(matches),
        context: text(CONTEXT),
        azure_config_dir: text(AZURE_CONFIG_DIR),
        kubeconfig: text(KUBECONFIG),
        dry_run: text(DRY_RUN).as_deref() == Some("true"),
    }
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
        ErrorKind::InvalidValue | ErrorKind::NoEquals if context(ContextKind::InvalidValue).is_none_or(|v| v.is_empty()) => {
            Error::input(format!("{name} needs a value")).remedy(see_help)
        }
        ErrorKind::ValueValidation | ErrorKind::InvalidValue => {
            Error::input(format!("the value of {name} is not valid: it takes {}", kind_of_value(&name)))
        }
        ErrorKind::TooManyValues => Error::input(format!("{name} takes no value")).remedy(see_help),
        _ => Error::input(error.kind().to_string()).remedy(see_help),
    }
}

/// The error for text that clap cannot read. It names the flag: `--flag=value` itself, or the word before the value.
fn not_utf8(args: &[OsString]) -> Error {
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
    .remedy("Type it in a terminal or file that is set to UTF-8.")
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
    use std::path::Path;

    use proptest::prelude::*;

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

    /// Writes them into target/man, from where `.ci/release` packs them.
    #[test]
    fn every_command_has_a_manual_page() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/man");
        std::fs::create_dir_all(&folder).expect("a folder");
        let program = program().version(env!("CARGO_PKG_VERSION"));
        clap_mangen::generate_to(program.clone(), &folder).expect("pages");
        let page = |name: &str| {
            let page = std::fs::read_to_string(folder.join(format!("{name}.1")));
            page.expect(name).replace('\\', "")
        };
        let first = page("kubelogin");
        for command in program.get_subcommands().filter(|c| !c.is_hide_set()) {
            let name = format!("kubelogin-{}", command.get_name());
            assert!(first.contains(&format!("{name}(1)")), "{first}");
            assert!(page(&name).contains("SYNOPSIS"), "{name}");
        }
        let get_token = page("kubelogin-get-token");
        for flag in Flag::ALL {
            assert!(
                get_token.contains(&format!("--{}", flag.name)),
                "{get_token}"
            );
        }
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
        assert!(failure(&["--version=hunter2"]).starts_with("--version takes no value"));
        assert!(failure(&["get-token", "--oidc-issuer-url=x"]).contains("int128"));
        assert!(failure(&["get-token", "--tenant-id"]).contains("--tenant-id needs a value"));
    }

    #[cfg(unix)]
    #[test]
    fn a_value_that_is_no_text_is_named_by_its_flag() {
        use std::os::unix::ffi::OsStringExt;
        let odd = |text: &str| OsString::from_vec([text.as_bytes(), b"\xff"].concat());
        for (args, name) in [
            (vec!["--tenant-id".into(), odd("x")], "--tenant-id"),
            (vec![odd("--tenant-id=")], "--tenant-id"),
            (vec!["-t".into(), odd("")], "-t"),
            (
                vec![
                    "--client-secret=hunter2".into(),
                    "-t".into(),
                    odd("hunter2"),
                ],
                "-t",
            ),
        ] {
            let args = ["kubelogin".into(), "get-token".into()]
                .into_iter()
                .chain(args);
            let text = Cli::parse(args).err().expect("refused").to_string();
            assert!(
                text.starts_with(&format!("the value of {name} is not")),
                "{text}"
            );
            assert!(!text.contains("hunter2"), "{text}");
        }
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

    fn words() -> impl Strategy<Value = Vec<String>> {
        let flag = (
            0..Flag::ALL.len(),
            prop::bool::ANY,
            "(=|=true|=x|=--legacy)?",
        );
        let flag = flag.prop_map(|(number, is_short, value)| match &Flag::ALL[number] {
            Definition {
                short: Some(letter),
                ..
            } if is_short => format!("-{letter}{value}"),
            Definition { name, .. } => format!("--{name}{value}"),
        });
        let other = prop::sample::select(&[
            "--",
            "-",
            "-v",
            "-v=1",
            "--v",
            "-lspn",
            "-tl",
            "-slx",
            "--token-cache-dir",
            "--logtostderr",
            "--client",
            "--client-idx",
            "--help",
            "-h",
            "help",
            "get-token",
            "spn",
            "1",
            "true",
            "",
            "--x",
            "x--legacy",
        ]);
        prop::collection::vec(prop_oneof![flag, other.prop_map(str::to_owned)], 0..6)
    }

    proptest! {
        #[test]
        fn a_call_that_is_read_by_its_named_flags_means_the_same_in_full(words in words()) {
            let args: Vec<OsString> = ["kubelogin", "get-token"].map(str::to_owned).into_iter().chain(words).map(Into::into).collect();
            if named_flags(&args).is_some() {
                let (quick, full) = (Cli::parse(args.clone()).expect("read"), Cli::parse_in_full(&args));
                let full = full.map_err(|error| error.to_string()).expect("read in full too");
                let (Command::GetToken(quick_values), Command::GetToken(full_values)) = (quick.command, full.command) else {
                    panic!("another command");
                };
                prop_assert!(Flag::ALL.iter().all(|flag| quick_values.is_same(flag.flag, &full_values)));
                prop_assert_eq!((quick.verbosity, quick.notices), (full.verbosity, full.notices));
            }
        }
    }

    #[test]
    fn a_call_as_kubectl_makes_it_is_read_by_its_named_flags() {
        let args = [
            "kubelogin",
            "get-token",
            "--login",
            "spn",
            "--server-id=s",
            "-t",
            "x",
            "--legacy",
        ];
        assert!(named_flags(&args.map(OsString::from)).is_some());
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
