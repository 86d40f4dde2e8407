//! `kubelogin doctor`: checks everything between kubectl and the cluster. It changes nothing and never prompts.
//!
//! The facts are gathered first, from the network in parallel ([`case`]); then each check of the table ([`checks`])
//! judges them, independently of the others.

mod api_server;
mod arm;
mod cache;
mod case;
mod checks;
mod entra;
mod environment;
mod kubeconfig;
mod login;
mod page;
mod plugin;
mod quiet;
mod redact;

use std::io::Write;

use crate::cli::inspect::DoctorArgs;
use crate::command::print;
use crate::env::Env;
use crate::error::Error;
use crate::system::System;
use case::Case;
use checks::Check;
use quiet::Quiet;
use redact::Redactor;

/// The result of a check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Nothing to fix; what was found.
    Good(String),
    /// The same, but only worth showing with every check (`-v 1`).
    Fine(String),
    /// It may be the cause, or become one.
    Warning(Problem),
    /// It prevents the login.
    Failure(Problem),
    /// The check could not be run, and why.
    Skipped(String),
}

/// What is wrong, and how to fix it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    pub what: String,
    /// If empty, the check's own advice applies.
    pub remedy: String,
}

/// A check with its result.
pub struct Finding {
    pub check: &'static Check,
    pub outcome: Outcome,
}

pub fn run(
    args: &DoctorArgs,
    env: &Env,
    system: &(dyn System + Sync),
    out: &mut dyn Write,
) -> Result<u8, Error> {
    let chosen = checks::chosen(
        &args.checks,
        args.arm || args.list && args.checks.is_empty(),
    )?;
    let text = match args.list {
        true => page::list(&chosen, args.json),
        false => {
            let quiet = Quiet::new(system);
            let case = Case::gather(&args.subject, &chosen, env, &quiet);
            let findings: Vec<Finding> = chosen.iter().map(|check| check.make(&case)).collect();
            let redactor = match args.redact {
                true => Redactor::of(&case),
                false => Redactor::none(),
            };
            let report = page::Report {
                case: &case,
                findings: &findings,
                redactor,
                verbosity: system.verbosity(),
            };
            let text = match args.json {
                true => report.json(),
                false => report.text(system.page()),
            };
            let has_failed = |finding: &Finding| matches!(finding.outcome, Outcome::Failure(_));
            let code = u8::from(findings.iter().any(has_failed));
            print(&text, out)?;
            return Ok(code);
        }
    };
    print(&text, out)?;
    Ok(0)
}

fn good(what: impl Into<String>) -> Outcome {
    Outcome::Good(what.into())
}

fn fine(what: impl Into<String>) -> Outcome {
    Outcome::Fine(what.into())
}

fn skipped(why: impl Into<String>) -> Outcome {
    Outcome::Skipped(why.into())
}

/// With the check's own advice.
fn warning(what: impl Into<String>) -> Outcome {
    Outcome::Warning(Problem {
        what: what.into(),
        remedy: String::new(),
    })
}

/// With the check's own advice.
fn failure(what: impl Into<String>) -> Outcome {
    Outcome::Failure(Problem {
        what: what.into(),
        remedy: String::new(),
    })
}

/// What an error says, as a failure.
fn failed(error: &Error) -> Outcome {
    let (what, remedy) = error.parts();
    failure(what).with(remedy)
}

impl Outcome {
    /// With advice of its own.
    fn with(self, advice: impl Into<String>) -> Self {
        match self {
            Self::Warning(problem) => Self::Warning(Problem {
                remedy: advice.into(),
                ..problem
            }),
            Self::Failure(problem) => Self::Failure(Problem {
                remedy: advice.into(),
                ..problem
            }),
            other => other,
        }
    }
}
