//! `kubelogin whoami`: who is signed in, and whom the cluster takes them for.

mod all;
mod page;
pub mod report;

use std::io::Write;
use std::time::Duration;

use serde_json::Value;

use crate::cli::inspect::WhoamiArgs;
use crate::command::print;
use crate::command::subject;
use crate::env::Env;
use crate::error::Error;
use crate::system::System;
use report::{Look, Report};

/// How long the cluster may take to answer.
const CLUSTER_TIMEOUT: Duration = Duration::from_secs(10);

/// What the exit code says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The cluster accepts the identity; with `--offline`, somebody is signed in.
    Accepted = 0,
    /// It does not, or it could not be asked.
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
    let subject = subject::find(&args.subject, env, |context| {
        format!("To ask the cluster with it, run: kubectl auth whoami{context}")
    })?;
    let look = Look {
        asks_cluster: !args.offline,
        may_sign_in: args.sign_in,
        timeout: CLUSTER_TIMEOUT,
    };
    let report = Report::of(&subject, look, system)?;
    let text = match args.json {
        true => format!("{:#}\n", report.json(args.claims)),
        false => page::text(&report, args.claims),
    };
    print(&text, out)?;
    Ok(report.outcome() as u8)
}

/// A JSON value as a person reads it.
fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => crate::error::one_line(text),
        other => crate::error::one_line(&other.to_string()),
    }
}
