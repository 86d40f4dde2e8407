//! The flags of `whoami`, `doctor` and `logout`: whose login, how far to look, how to print.

use clap::{Arg, ArgAction, ArgMatches, Command as ClapCommand};

use super::{CONTEXT, KUBECONFIG, flag_values, login_args, switch, with_modes};
use crate::error::Error;
use crate::flag::FlagValues;

pub const WHOAMI: &str = "whoami";
pub const DOCTOR: &str = "doctor";
pub const LOGOUT: &str = "logout";
const OFFLINE: &str = "offline";
const SIGN_IN: &str = "sign-in";
const ALL_CONTEXTS: &str = "all-contexts";
const OUTPUT: &str = "output";
const CLAIMS: &str = "claims";
const JSON: &str = "json";
const LIST: &str = "list";
const REDACT: &str = "redact";
const CHECKS: &str = "checks";

const WHOSE: &str = "Whose login";
const HOW: &str = "How to look";

/// Whose login is looked at.
pub struct SubjectArgs {
    pub context: Option<String>,
    pub kubeconfig: Option<String>,
    /// Flags of `get-token`: over those of the context, or in place of one.
    pub typed: FlagValues,
}

/// What was typed after `whoami`.
pub struct WhoamiArgs {
    pub subject: SubjectArgs,
    pub offline: bool,
    pub sign_in: bool,
    pub all_contexts: bool,
    pub json: bool,
    pub claims: bool,
}

/// What was typed after `doctor`.
pub struct DoctorArgs {
    pub subject: SubjectArgs,
    /// The checks to make; all if there are none.
    pub checks: Vec<String>,
    pub list: bool,
    pub json: bool,
    pub redact: bool,
}

pub fn commands() -> [ClapCommand; 3] {
    [
        ClapCommand::new(WHOAMI)
            .about("Show who is signed in, and whom the cluster takes them for")
            .defer(|command| with_modes(command).args(whoami_args()).args(login_args())),
        ClapCommand::new(DOCTOR)
            .about("Check everything between kubectl and the cluster; change nothing")
            .defer(|command| with_modes(command).args(doctor_args()).args(login_args())),
        ClapCommand::new(LOGOUT)
            .about("Sign out of one login: delete its cached token")
            .defer(|command| with_modes(command).args(subject_args()).args(login_args())),
    ]
}

fn whoami_args() -> Vec<Arg> {
    let mut args = subject_args().to_vec();
    args.extend([
        flag(
            ALL_CONTEXTS,
            "Print one line for each context in the kubeconfig",
        ),
        flag(OFFLINE, "Do not ask the cluster"),
        flag(
            SIGN_IN,
            "Sign in if nobody is signed in; without it, you are never asked",
        ),
        Arg::new(OUTPUT)
            .long(OUTPUT)
            .short('o')
            .value_name("FORMAT")
            .help("text or json [default: text]")
            .help_heading(HOW),
        flag(
            CLAIMS,
            "Show all claims of the access token (never the token itself)",
        ),
    ]);
    args
}

fn doctor_args() -> Vec<Arg> {
    let mut args = subject_args().to_vec();
    args.extend([
        Arg::new(CHECKS)
            .value_name("CHECK")
            .num_args(0..)
            .action(ArgAction::Append)
            .help("Run only these checks, by name or area, such as api.tls or cache"),
        flag(LIST, "List the checks, run none"),
        flag(JSON, "Print JSON; the exit code is the same"),
        flag(
            REDACT,
            "Mask names, IDs and hosts; equal values get equal masks",
        ),
    ]);
    args
}

fn subject_args() -> [Arg; 2] {
    let value = |name: &'static str, value: &'static str, help: &'static str| {
        Arg::new(name)
            .long(name)
            .value_name(value)
            .allow_hyphen_values(true)
            .help(help)
            .help_heading(WHOSE)
    };
    [
        value(CONTEXT, "NAME", "The context [default: the current one]"),
        value(
            KUBECONFIG,
            "FILE",
            "The kubeconfig [default: the files in KUBECONFIG, else ~/.kube/config]",
        ),
    ]
}

fn flag(name: &'static str, help: &'static str) -> Arg {
    switch(name).help(help).help_heading(HOW)
}

pub fn subject(matches: &ArgMatches) -> SubjectArgs {
    let text = |name| {
        let text = matches.get_one::<String>(name);
        text.filter(|text| !text.is_empty()).cloned()
    };
    SubjectArgs {
        context: text(CONTEXT),
        kubeconfig: text(KUBECONFIG),
        typed: flag_values(matches),
    }
}

fn is_on(matches: &ArgMatches, name: &str) -> bool {
    matches
        .get_one::<String>(name)
        .is_some_and(|text| text == "true")
}

pub fn whoami(matches: &ArgMatches) -> Result<WhoamiArgs, Error> {
    let json = match matches.get_one::<String>(OUTPUT).map(String::as_str) {
        None | Some("" | "text") => false,
        Some(JSON) => true,
        Some(other) => {
            return Err(Error::input(format!("unsupported output format {other:?}"))
                .remedy("Use --output text or --output json."));
        }
    };
    Ok(WhoamiArgs {
        subject: subject(matches),
        offline: is_on(matches, OFFLINE),
        sign_in: is_on(matches, SIGN_IN),
        all_contexts: is_on(matches, ALL_CONTEXTS),
        json,
        claims: is_on(matches, CLAIMS),
    })
}

pub fn doctor(matches: &ArgMatches) -> DoctorArgs {
    let checks = matches.get_many::<String>(CHECKS);
    DoctorArgs {
        subject: subject(matches),
        checks: checks.into_iter().flatten().cloned().collect(),
        list: is_on(matches, LIST),
        json: is_on(matches, JSON),
        redact: is_on(matches, REDACT),
    }
}
