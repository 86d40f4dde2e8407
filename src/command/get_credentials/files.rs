//! Where to write the clusters: into kubeconfigs, or to stdout.

use std::io::Write;
use std::path::PathBuf;

use crate::cli::GetCredentialsArgs;
use crate::command::print;
use crate::env::Env;
use crate::error::Error;
use crate::kubeconfig::file::{self, Found, KubeconfigFile, Replacement};
use crate::kubeconfig::merge::{self, Addition, Change, Merged, Others, Outcome};
use crate::kubeconfig::{Kubeconfig, diff};
use crate::system::System;

/// How often a file may change under us before we give up. Each time, another program has made its change.
const ATTEMPTS: usize = 1000;

/// The outcome of the merge.
pub struct Written {
    /// One per cluster.
    pub outcomes: Vec<Result<Outcome, Error>>,
    /// The file for new entries.
    pub home: String,
}

pub struct Files {
    /// Empty for stdout.
    paths: Vec<PathBuf>,
    others: Others,
    is_dry_run: bool,
}

impl Files {
    /// Finds the files and reads them once, so that errors in them appear before any sign-in.
    pub fn new(args: &GetCredentialsArgs, env: &Env) -> Result<Self, Error> {
        let paths = match args.file.as_deref() {
            Some("-") => Vec::new(),
            file => file::paths(file, env)?,
        };
        let files = Self {
            paths,
            others: match args.overwrite_existing {
                true => Others::Overwrite,
                false => Others::Keep,
            },
            is_dry_run: args.dry_run,
        };
        let read = files.read()?;
        let names = names(&read);
        for (file, name) in read.iter().zip(&names) {
            Kubeconfig::parse(name, &file.text)?.users()?;
            if !file.is_new() && !files.is_dry_run && !files.paths.is_empty() {
                file::check_writable(file)?;
            }
        }
        file::check_whole(&files.paths)?;
        Ok(files)
    }

    /// True if it writes no file.
    pub fn is_only_shown(&self) -> bool {
        self.is_dry_run || self.paths.is_empty()
    }

    /// The existing files, and the one for new entries, which may not exist yet.
    fn read(&self) -> Result<Vec<KubeconfigFile>, Error> {
        if self.paths.is_empty() {
            return Ok(vec![KubeconfigFile::in_memory("-", "")]);
        }
        let mut files = Vec::new();
        let mut missing = None;
        for path in &self.paths {
            match file::read(path)? {
                Found::File(file) => files.push(file),
                Found::Nothing(path) => missing = Some(path),
            }
        }
        // Like kubectl: the first that exists, else the last in the list.
        if let Some(path) = missing.filter(|_| files.is_empty()) {
            files.push(KubeconfigFile::missing(&path));
        }
        Ok(files)
    }

    /// Merges the clusters into the files, or shows what would change.
    pub fn write(
        &self,
        additions: &[Addition],
        current: Option<&str>,
        out: &mut dyn Write,
        system: &dyn System,
    ) -> Result<Written, Error> {
        for _ in 0..ATTEMPTS {
            let files = self.read()?;
            let Merged { changes, outcomes } = self.merge(&files, additions, current)?;
            let written = Written {
                outcomes,
                home: files[0].path.display().to_string(),
            };
            if self.paths.is_empty() {
                for change in &changes {
                    print(&change.text, out)?;
                }
                return Ok(written);
            }
            if self.is_dry_run {
                print(&diff_of(&files, &changes)?, out)?;
                return Ok(written);
            }
            let replacements: Vec<_> = changes
                .iter()
                .map(|change| Replacement {
                    file: &files[change.file],
                    text: &change.text,
                })
                .collect();
            if replacements.is_empty()
                || file::replace(&replacements, system)? == file::Outcome::Replaced
            {
                return Ok(written);
            }
        }
        Err(
            Error::outside("the kubeconfig kept changing while it was written to")
                .remedy("Try again later."),
        )
    }

    fn merge(
        &self,
        files: &[KubeconfigFile],
        additions: &[Addition],
        current: Option<&str>,
    ) -> Result<Merged, Error> {
        let names = names(files);
        let mut kubeconfigs = Vec::new();
        for (file, name) in files.iter().zip(&names) {
            kubeconfigs.push(Kubeconfig::parse(name, &file.text)?);
        }
        let merged = merge::merge(&kubeconfigs, 0, additions, self.others, current)?;
        for change in &merged.changes {
            Kubeconfig::parse("the merged file", &change.text)
                .and_then(|kubeconfig| kubeconfig.users().map(|_| ()))
                .map_err(|error| {
                    error
                        .context(
                            "could not merge into this kubeconfig; this is a bug in kubelogin",
                        )
                        .remedy("Nothing was changed. Please report the bug with the output of --dry-run.")
                })?;
        }
        Ok(merged)
    }
}

fn names(files: &[KubeconfigFile]) -> Vec<String> {
    files
        .iter()
        .map(|file| file.path.display().to_string())
        .collect()
}

fn diff_of(files: &[KubeconfigFile], changes: &[Change]) -> Result<String, Error> {
    let mut text = String::new();
    for change in changes {
        let file = &files[change.file];
        let name = file.path.display().to_string();
        let (old, new) = (
            Kubeconfig::parse(&name, &file.text)?,
            Kubeconfig::parse(&name, &change.text)?,
        );
        text.push_str(&diff::unified(&name, &old, &new));
    }
    Ok(text)
}
