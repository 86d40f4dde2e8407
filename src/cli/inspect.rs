//! The flags of `whoami`, `doctor` and `logout`: which login, what to check, how to print.

use clap::{Arg, ArgAction, ArgMatches, Command as ClapCommand};

use super::{CONTEXT, KUBECONFIG, flag_values, login_args_over, switch, text, value, with_modes};
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
const ARM: &str = "arm";
const CHECKS: &str = "checks";

const WHOSE: &str = "Which login";
const HOW: &str = "Checks and output";
/// The default of a flag that describes the login.
const OF_CONTEXT: &str = "the context's";

/// Which login to look at.
pub struct SubjectArgs {
    pub context: Option<String>,
    pub kubeconfig: Option<String>,
    /// Flags of `get-token`: they override those of the context, or replace it.
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
    /// Ask Azure Resource Manager about the cluster, too.
    pub arm: bool,
}

pub fn commands() -> [ClapCommand; 3] {
    [
        ClapCommand::new(WHOAMI)
            .about("Show who is signed in, and who you are to the cluster")
            .defer(|command| {
                with_modes(command)
                    .args(whoami_args())
                    .args(login_args_over(OF_CONTEXT, OF_CONTEXT))
            }),
        ClapCommand::new(DOCTOR)
            .about("Check everything between kubectl and the cluster; change nothing")
            .defer(|command| {
                with_modes(command)
                    .args(doctor_args())
                    .args(login_args_over(OF_CONTEXT, OF_CONTEXT))
            }),
        ClapCommand::new(LOGOUT)
            .about("Sign out of one login: delete its cached token")
            .defer(|command| {
                with_modes(command)
                    .args(subject_args())
                    .args(login_args_over(OF_CONTEXT, OF_CONTEXT))
            }),
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
            "Sign in if you are not signed in; without this flag, you are never asked",
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
        flag(
            ARM,
            "Also ask Azure about the cluster: is it running, and who can reach it",
        ),
    ]);
    args
}

fn subject_args() -> [Arg; 2] {
    [
        value(CONTEXT, "NAME", "Context to use [default: the current one]").help_heading(WHOSE),
        value(
            KUBECONFIG,
            "FILE",
            "Kubeconfig to read [default: the files in KUBECONFIG, else ~/.kube/config]",
        )
        .help_heading(WHOSE),
    ]
}

fn flag(name: &'static str, help: &'static str) -> Arg {
    switch(name).help(help).help_heading(HOW)
}

/// # Errors A flag is empty, for example because it comes from an unset variable: it would select another context or
/// file.
pub fn subject(matches: &ArgMatches) -> Result<SubjectArgs, Error> {
    Ok(SubjectArgs {
        context: text(matches, CONTEXT)?,
        kubeconfig: text(matches, KUBECONFIG)?,
        typed: flag_values(matches),
    })
}

fn is_on(matches: &ArgMatches, name: &str) -> bool {
    matches
        .get_one::<String>(name)
        .is_some_and(|text| text == "true")
}

/// # Errors As [`subject`], an unknown format, or flags that cannot be combined.
pub fn whoami(matches: &ArgMatches) -> Result<WhoamiArgs, Error> {
    let json = match text(matches, OUTPUT)?.as_deref() {
        None | Some("text") => false,
        Some(JSON) => true,
        Some(other) => {
            return Err(Error::input(format!("unsupported output format {other:?}"))
                .remedy("Use --output text or --output json."));
        }
    };
    let args = WhoamiArgs {
        subject: subject(matches)?,
        offline: is_on(matches, OFFLINE),
        sign_in: is_on(matches, SIGN_IN),
        all_contexts: is_on(matches, ALL_CONTEXTS),
        json,
        claims: is_on(matches, CLAIMS),
    };
    if args.all_contexts && args.subject.context.is_some() {
        return Err(
            Error::input("--all-contexts and --context cannot be used together")
                .remedy("Leave one of them out."),
        );
    }
    Ok(args)
}

/// # Errors
/// As [`subject`].
pub fn doctor(matches: &ArgMatches) -> Result<DoctorArgs, Error> {
    let checks = matches.get_many::<String>(CHECKS);
    Ok(DoctorArgs {
        subject: subject(matches)?,
        checks: checks.into_iter().flatten().cloned().collect(),
        list: is_on(matches, LIST),
        json: is_on(matches, JSON),
        redact: is_on(matches, REDACT),
        arm: is_on(matches, ARM),
    })
}
