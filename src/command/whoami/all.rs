//! `whoami --all-contexts`: one line per context, checked in parallel.

use std::io::Write;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use serde_json::{Value as Json, json};

use super::Outcome;
use super::report::{ClusterSees, Look, Report, Who};
use crate::cli::inspect::WhoamiArgs;
use crate::command::print;
use crate::command::subject::{self, NotOurs};
use crate::env::Env;
use crate::error::{Error, one_line, span};
use crate::kubeconfig::context::Contexts;
use crate::system::System;

/// How many contexts to check at the same time.
const AT_ONCE: usize = 128;
/// How long one cluster may take to answer one question.
const TIMEOUT: Duration = Duration::from_secs(5);

pub fn run(
    args: &WhoamiArgs,
    env: &Env,
    system: &(dyn System + Sync),
    out: &mut dyn Write,
) -> Result<u8, Error> {
    let contexts = subject::contexts(&args.subject, env)?;
    if contexts.contexts.is_empty() {
        return Err(subject::no_context(&contexts));
    }
    let look = Look::of(args, TIMEOUT);
    let lines = look_at_all(&contexts, args, look, env, system);
    let text = match args.json {
        true => {
            let all: Vec<&Json> = lines.iter().map(|line| &line.json).collect();
            format!("{:#}\n", json!({"version": 1, "contexts": all}))
        }
        false => table(&lines),
    };
    print(&text, out)?;
    let worst = |outcome: Outcome| lines.iter().any(|line| line.outcome == Some(outcome));
    Ok(match () {
        () if worst(Outcome::NotAccepted) => Outcome::NotAccepted,
        () if worst(Outcome::NotSignedIn) => Outcome::NotSignedIn,
        () => Outcome::Accepted,
    } as u8)
}

struct Line {
    context: String,
    who: String,
    until: String,
    cluster: String,
    /// `None` for a context of another program, which is left alone.
    outcome: Option<Outcome>,
    json: Json,
}

fn look_at_all(
    contexts: &Contexts,
    args: &WhoamiArgs,
    look: Look,
    env: &Env,
    system: &(dyn System + Sync),
) -> Vec<Line> {
    let next = AtomicUsize::new(0);
    let lines = Mutex::new(Vec::new());
    let work = || {
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            let Some(context) = contexts.contexts.get(number) else {
                return;
            };
            let line = Line::of(contexts, &context.name, args, look, env, system);
            if let Ok(mut lines) = lines.lock() {
                lines.push((number, line));
            }
        }
    };
    // A user can do only one sign-in at a time.
    let count = if look.may_sign_in { 1 } else { AT_ONCE };
    thread::scope(|scope| {
        for _ in 0..count.min(contexts.contexts.len()) {
            scope.spawn(work);
        }
    });
    let mut lines = lines.into_inner().unwrap_or_default();
    lines.sort_by_key(|(number, _)| *number);
    lines.into_iter().map(|(_, line)| line).collect()
}

impl Line {
    fn of(
        contexts: &Contexts,
        name: &str,
        args: &WhoamiArgs,
        look: Look,
        env: &Env,
        system: &dyn System,
    ) -> Self {
        match super::of_context(contexts, name, &args.subject.typed, look, env, system) {
            Ok(report) => Self::of_report(name, &report, args.claims),
            Err(NotOurs::Broken(error)) => Self::of_error(name, &error),
            Err(NotOurs::Other(what)) => Self {
                context: name.to_owned(),
                who: "-".into(),
                until: "-".into(),
                cluster: format!("skipped: {what}"),
                outcome: None,
                json: json!({"context": name, "leftAlone": what}),
            },
        }
    }

    fn of_report(name: &str, report: &Report, with_claims: bool) -> Self {
        let (who, until) = match &report.who {
            Who::SignedIn(signed_in) => {
                let claims = signed_in.claims.as_ref();
                let who = claims.map_or("unknown", |claims| claims.name()).to_owned();
                (who, span(signed_in.expires_on - report.now))
            }
            Who::Nobody(_) => ("nobody".into(), "-".into()),
            Who::Own(own) => ((*own).into(), "-".into()),
        };
        let cluster = match (&report.who, &report.cluster) {
            (Who::Nobody(error), _) => error.parts().0.to_owned(),
            (_, ClusterSees::Identity(identity)) => format!("accepts {}", identity.username),
            (_, ClusterSees::SomeUser) => "accepts it".into(),
            (_, ClusterSees::Refused(cause)) => cause.what.clone(),
            (_, ClusterSees::Unreachable(why)) => why.clone(),
            (_, ClusterSees::Nothing) => "not asked".into(),
        };
        Self {
            context: name.to_owned(),
            who,
            until,
            cluster,
            outcome: Some(report.outcome()),
            json: report.json(with_claims),
        }
    }

    fn of_error(name: &str, error: &Error) -> Self {
        let (what, remedy) = error.parts();
        Self {
            context: name.to_owned(),
            who: "-".into(),
            until: "-".into(),
            cluster: what.to_owned(),
            outcome: Some(Outcome::NotAccepted),
            json: json!({"context": name, "error": {"what": what, "remedy": remedy}}),
        }
    }

    fn cells(&self) -> [String; 3] {
        [&self.context, &self.who, &self.until].map(|cell| one_line(cell))
    }
}

fn table(lines: &[Line]) -> String {
    let headings = ["CONTEXT", "SIGNED IN AS", "FOR"].map(str::to_owned);
    let rows: Vec<_> = lines.iter().map(Line::cells).collect();
    let width = |column: usize| {
        let cells = rows.iter().chain([&headings]);
        cells
            .map(|row| row[column].chars().count())
            .max()
            .unwrap_or(0)
    };
    let widths = [width(0), width(1), width(2)];
    let mut text = String::new();
    let last = lines.iter().map(|line| one_line(&line.cluster));
    let rows = std::iter::once((&headings, "THE CLUSTER".to_owned())).chain(rows.iter().zip(last));
    for (row, last) in rows {
        for (cell, width) in row.iter().zip(widths) {
            text.push_str(&format!("{cell:<width$}  "));
        }
        text.push_str(&last);
        text.push('\n');
    }
    text
}
