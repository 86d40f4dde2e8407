//! Reports what a conversion did, and why not more, on stderr, and the diff of a dry run on stdout.

use std::collections::{HashMap, HashSet};
use std::io::Write;
use std::path::{Path, PathBuf};

use super::Change;
use crate::cli::UnknownFlag;
use crate::command::print;
use crate::error::{Error, one_line};
use crate::kubeconfig::file::KubeconfigFile;
use crate::kubeconfig::{Kubeconfig, diff};
use crate::system::System;

/// The report of a conversion.
#[derive(Default)]
pub struct Report {
    pub converted: Vec<Converted>,
    /// The users that stay as they are, each with the reason.
    kept: Vec<(String, Why)>,
    /// The users that could not be converted.
    pub failures: Vec<Error>,
    /// Files without content.
    empty: Vec<PathBuf>,
    /// What people must know or act on, each once.
    pub warnings: Vec<String>,
    /// Requests that are worth a second thought, each once.
    pub remarks: Vec<String>,
    /// Both of them.
    said: HashSet<String>,
}

/// A user that was converted.
pub struct Converted {
    /// The number of its file.
    pub file: usize,
    pub user: String,
    /// Its tenant, where the users have several.
    pub tenant: Option<String>,
}

/// Why a user stays as it is.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Why {
    IsConverted,
    /// Its exec plugin is this command.
    Runs(String),
    /// int128/kubelogin, which has the same name.
    Int128,
    /// Another login that kubectl had built in.
    AuthProvider(String),
    /// Neither an auth provider nor an exec plugin.
    Others,
}

impl Why {
    /// The reason, in a clause about these users.
    fn of(&self, users: &str, is_one: bool) -> String {
        let verb = |one: &'static str, many: &'static str| if is_one { one } else { many };
        match self {
            Self::IsConverted => format!("{users} {} already converted", verb("is", "are")),
            Self::Runs(command) => format!("{users} {} {command:?}", verb("runs", "run")),
            Self::Int128 => format!("{users} {} to int128/kubelogin", verb("belongs", "belong")),
            Self::AuthProvider(name) => {
                format!("{users} {} the auth-provider {name:?}", verb("has", "have"))
            }
            Self::Others => format!(
                "{users} {} neither an auth-provider nor an exec",
                verb("has", "have")
            ),
        }
    }
}

impl Report {
    pub fn convert(&mut self, converted: Converted) {
        self.converted.push(converted);
    }

    pub fn keep(&mut self, user: &str, why: Why) {
        self.kept.push((user.to_owned(), why));
    }

    pub fn fail(&mut self, error: Error) {
        self.failures.push(error);
    }

    pub fn empty(&mut self, path: &Path) {
        self.empty.push(path.to_owned());
    }

    pub fn warn(&mut self, warning: String) {
        if self.said.insert(warning.clone()) {
            self.warnings.push(warning);
        }
    }

    pub fn remark(&mut self, remark: String) {
        if self.said.insert(remark.clone()) {
            self.remarks.push(remark);
        }
    }

    /// A flag that `get-token` would refuse was left out.
    pub fn left_out(&mut self, user: &str, UnknownFlag { name, near }: &UnknownFlag) {
        let near = near.iter().map(|near| format!(" (did you mean {near}?)"));
        self.warn(format!(
            "Warning: user {user:?}: {name} is removed, because kubelogin has no such flag{}",
            near.collect::<String>()
        ));
    }

    /// True if there is something to write.
    pub fn changes_something(&self) -> bool {
        !self.converted.is_empty()
    }

    /// True if a file is empty or a user cannot be understood.
    pub fn is_doubtful(&self) -> bool {
        !self.empty.is_empty() || !self.failures.is_empty()
    }

    /// Prints what people must know and, where success is reported, a line for each converted user and each skipped file.
    /// `done` is what happened to the users: `converted to MODE`.
    pub fn tell(
        &self,
        paths: &[PathBuf],
        files: &[KubeconfigFile],
        done: &str,
        system: &dyn System,
    ) {
        let is_missing = |path: &&PathBuf| !files.iter().any(|file| file.path == **path);
        for path in paths.iter().filter(is_missing) {
            system.notice(&format!("{} does not exist: skipped", path.display()));
        }
        let changes_nothing = self.converted.is_empty() && self.failures.is_empty();
        for path in &self.empty {
            let line = format!("{} is empty", path.display());
            match changes_nothing {
                true => system.tell(&line),
                false => system.notice(&line),
            }
        }
        if changes_nothing {
            let count = self.kept.len();
            let why = self.why_nothing();
            system.tell(&format!("0 of {count} users {done}: {why}"));
        }
        for warning in &self.warnings {
            system.tell(warning);
        }
        for remark in &self.remarks {
            system.notice(remark);
        }
        for Converted { file, user, tenant } in &self.converted {
            let path = files[*file].path.display();
            let tenant = tenant.iter().map(|tenant| format!(", tenant {tenant}"));
            let tenant: String = tenant.collect();
            system.notice(&format!("{path}: user {user:?} {done}{tenant}"));
        }
    }

    /// The reasons why users stay as they are, each with some of their names.
    fn why_nothing(&self) -> String {
        const NAMED: usize = 3;
        let mut reasons: Vec<(&Why, Vec<&str>)> = Vec::new();
        let mut places = HashMap::new();
        for (user, why) in &self.kept {
            let place = *places.entry(why).or_insert_with(|| {
                reasons.push((why, Vec::new()));
                reasons.len() - 1
            });
            reasons[place].1.push(user);
        }
        if reasons.is_empty() {
            return "there are none".to_owned();
        }
        let reasons = reasons.into_iter().map(|(why, users)| {
            let mut names: Vec<_> = users.iter().map(|user| format!("{user:?}")).collect();
            if names.len() > NAMED {
                let more = format!("{} more", names.len() - NAMED + 1);
                names.truncate(NAMED - 1);
                names.push(more);
            }
            let last = names.pop().unwrap_or_default();
            let users_named = match names.is_empty() {
                true => last,
                false => format!("{} and {last}", names.join(", ")),
            };
            why.of(&users_named, users.len() == 1)
        });
        reasons.collect::<Vec<_>>().join("; ")
    }

    /// The error for the users that could not be converted; each is told if there are several.
    pub fn outcome(self, done: &str, system: &dyn System) -> Result<(), Error> {
        let others = match self.converted.len() {
            0 => String::new(),
            1 => format!("The other user was {done}."),
            count => format!("The other {count} users were {done}."),
        };
        let mut failures = self.failures;
        match failures.len() {
            0 => Ok(()),
            1 => Err(with_hint(failures.remove(0), &others)),
            count => {
                for failure in &failures {
                    let (what, remedy) = failure.parts();
                    system.tell(&one_line(&format!("{what}. {remedy}")));
                }
                let error = Error::input(format!("{count} users could not be converted"));
                let error = error.remedy("Fix the errors above, then convert again.");
                Err(with_hint(error, &others))
            }
        }
    }
}

fn with_hint(error: Error, hint: &str) -> Error {
    match hint.is_empty() {
        true => error,
        false => error.hint(hint),
    }
}

/// Prints the changes as a unified diff without secrets.
pub fn print_diff(
    files: &[KubeconfigFile],
    changes: &[Change],
    out: &mut dyn Write,
) -> Result<(), Error> {
    for change in changes {
        let file = &files[change.file];
        let name = file.path.display().to_string();
        let old = Kubeconfig::parse(&name, &file.text)?;
        let new = Kubeconfig::parse(&name, &change.text)?;
        print(&diff::unified(&name, &old, &new), out)?;
    }
    Ok(())
}
