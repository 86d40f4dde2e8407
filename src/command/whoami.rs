//! `kubelogin whoami`: who is signed in, and who the cluster says they are.

mod all;
pub mod own;
mod page;
pub mod report;

use std::io::Write;
use std::time::Duration;

use serde_json::Value;

use crate::cli::inspect::{SubjectArgs, WhoamiArgs};
use crate::command::print;
use crate::command::subject::{self, NotOurs, Subject};
use crate::command::wrap::Width;
use crate::env::Env;
use crate::error::Error;
use crate::flag::FlagValues;
use crate::kubeconfig::context::Contexts;
use crate::system::System;
use report::{Look, Report};

/// How long the cluster may take to answer.
const CLUSTER_TIMEOUT: Duration = Duration::from_secs(10);

/// The meaning of the exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The cluster accepts the identity; with `--offline`, someone is signed in.
    Accepted = 0,
    /// The cluster does not accept it, or could not be asked.
    NotAccepted = 1,
    /// A person would have to sign in.
    NotSignedIn = 3,
}

pub fn run(
    args: &WhoamiArgs,
    env: &Env,
    system: &(dyn System + Sync),
    out: &mut dyn Write,
) -> Result<u8, Error> {
    if args.all_contexts {
        return all::run(args, env, system, out);
    }
    let look = Look::of(args, CLUSTER_TIMEOUT);
    let report = look_at(&args.subject, look, env, system)?;
    let text = match args.json {
        true => format!("{:#}\n", report.json(args.claims)),
        false => page::text(&report, args.claims, Width::of(system.page().columns)),
    };
    print(&text, out)?;
    Ok(report.outcome() as u8)
}

/// The report about the login that flags describe, or about the chosen context.
fn look_at(
    args: &SubjectArgs,
    look: Look,
    env: &Env,
    system: &dyn System,
) -> Result<Report, Error> {
    if subject::is_typed(args) {
        return Report::of(&Subject::of_flags(&args.typed, env), look, system);
    }
    let contexts = subject::contexts(args, env)?;
    let name = subject::chosen(args, &contexts)?;
    of_context(&contexts, name, &args.typed, look, env, system).map_err(|not_ours| match not_ours {
        NotOurs::Broken(error) => error,
        NotOurs::Other(_) => {
            let ask = format!(
                "To ask the cluster with it, run: kubectl auth whoami{}",
                subject::context_flag(name)
            );
            not_ours.explain(name).remedy(ask)
        }
    })
}

/// The report about a context, whoever signs in for it.
fn of_context(
    contexts: &Contexts,
    name: &str,
    typed: &FlagValues,
    look: Look,
    env: &Env,
    system: &dyn System,
) -> Result<Report, NotOurs> {
    match Subject::of_context(contexts, name, typed, env) {
        Ok(subject) => Report::of(&subject, look, system).map_err(NotOurs::Broken),
        Err(NotOurs::Other(what)) if look.asks_cluster => {
            own::report(contexts, name, look, system).ok_or(NotOurs::Other(what))
        }
        Err(not_ours) => Err(not_ours),
    }
}

/// A JSON value for people.
fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => crate::error::one_line(text),
        other => crate::error::one_line(&other.to_string()),
    }
}
