//! What a conversion did, and why it did not do more: lines on stderr, and the diff of a dry run on stdout.

use std::io::Write;
use std::path::{Path, PathBuf};

use super::Change;
use crate::command::print;
use crate::error::Error;
use crate::kubeconfig::file::KubeconfigFile;
use crate::kubeconfig::{Kubeconfig, diff};
use crate::system::System;

/// What there is to say about a conversion.
#[derive(Default)]
pub struct Report {
    /// The converted users, each with the number of its file.
    pub converted: Vec<(usize, String)>,
    /// The users that stay as they are, each with the reason.
    kept: Vec<String>,
    /// Files without content.
    empty: Vec<PathBuf>,
    /// Each once.
    pub warnings: Vec<String>,
}

impl Report {
    pub fn convert(&mut self, file: usize, user: &str) {
        self.converted.push((file, user.to_owned()));
    }

    pub fn keep(&mut self, user: &str, why: &str) {
        self.kept.push(format!("{user:?} {why}"));
    }

    pub fn empty(&mut self, path: &Path) {
        self.empty.push(path.to_owned());
    }

    pub fn warn(&mut self, warning: String) {
        if !self.warnings.contains(&warning) {
            self.warnings.push(warning);
        }
    }

    /// A line for each converted user and each file that was left out, or one that says why no user was converted.
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
            system.tell(&format!("{} does not exist: skipped", path.display()));
        }
        for path in &self.empty {
            system.tell(&format!("{} is empty", path.display()));
        }
        if self.converted.is_empty() {
            let why = if self.kept.is_empty() {
                "there are none".to_owned()
            } else {
                summary(&self.kept)
            };
            system.tell(&format!("0 of {} users {done}: {why}", self.kept.len()));
            return;
        }
        for warning in &self.warnings {
            system.tell(warning);
        }
        for (file, user) in &self.converted {
            let path = files[*file].path.display();
            system.tell(&format!("{path}: user {user:?} {done}"));
        }
    }
}

fn summary(reasons: &[String]) -> String {
    const SHOWN: usize = 5;
    let mut text = reasons[..reasons.len().min(SHOWN)].join("; ");
    if reasons.len() > SHOWN {
        text.push_str(&format!("; and {} more", reasons.len() - SHOWN));
    }
    text
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
