//! `kubelogin convert-kubeconfig`: converts the Azure users in a kubeconfig to a login mode.

mod arguments; // the new flags of a user, as a table
mod before; // the old flags of a user, and what to remember of them
mod editing; // changes users in place
mod report; // what it did, and why not more
pub mod users; // which users to convert

use std::io::Write;
use std::path::PathBuf;

use arguments::Wanted;
use before::Before;
use report::Report;

use crate::cli::{ConvertArgs, OldArgs, empty_flag};
use crate::entra::authority::{AuthorityHost, check_tenant_id};
use crate::entra::check_client_id;
use crate::entra::cloud::Cloud;
use crate::env::{self, Env};
use crate::error::Error;
use crate::flag::{Flag, FlagValues};
use crate::kubeconfig::fetched::{Exec, Login};
use crate::kubeconfig::file::{self, Found, KubeconfigFile, Outcome, Replacement};
use crate::kubeconfig::{Kubeconfig, V1BETA1, exec_api_version};
use crate::login_mode::LoginMode;
use crate::options::{check_pop_mode, check_server_id};
use crate::system::System;
use crate::timeout::Timeout;
use crate::variables::Merged;

/// Generic on purpose: there is no URL at which every reader finds this program.
const INSTALL_HINT: &str = "kubelogin signs in to this cluster with Microsoft Entra ID, and was not found. \
     Install it in a folder of PATH, or set command in the kubeconfig to its full path.";
/// How often the files may change during the conversion before that is an error.
const ATTEMPTS: usize = 1000;

/// Converts, or shows what would change. Returns the exit code.
///
/// # Errors
/// A wrong flag or file, or a user that could not be converted: all others are.
pub fn run(
    args: &ConvertArgs,
    env: &Env,
    system: &dyn System,
    out: &mut dyn Write,
) -> Result<u8, Error> {
    if env.get(env::KUBERNETES_EXEC_INFO).is_some() {
        return Err(Error::input(
            "convert-kubeconfig was called by a Kubernetes client (KUBERNETES_EXEC_INFO is set)",
        )
        .remedy("In a kubeconfig, use get-token; run convert-kubeconfig yourself, once."));
    }
    let mut conversion = Conversion::new(args, env)?;
    let mode = conversion.wanted.mode;
    let paths = file::paths(args.kubeconfig.as_deref(), env)?;
    for _ in 0..ATTEMPTS {
        let (files, Plan { changes, report }) = conversion.look(&paths, system)?;
        if files.is_empty() {
            return nothing_there(&paths, args, env, system);
        }
        if args.dry_run {
            let done = format!("would be converted to {mode}");
            report.tell(&paths, &files, &done, system);
            report::print_diff(&files, &changes, out)?;
            report.outcome(&done, system)?;
            return Ok(u8::from(args.exit_code && !changes.is_empty()));
        }
        let mut replacements = Vec::new();
        for change in &changes {
            change.check_readable()?;
            replacements.push(Replacement {
                file: &files[change.file],
                text: &change.text,
            });
        }
        if replacements.is_empty() || file::replace(&replacements, system)? == Outcome::Replaced {
            let done = format!("converted to {mode}");
            report.tell(&paths, &files, &done, system);
            report.outcome(&done, system)?;
            return Ok(0);
        }
    }
    Err(
        Error::outside("the kubeconfig kept changing while it was being converted")
            .remedy("Try again later."),
    )
}

/// What to do without a kubeconfig. az calls us after writing a file other than the default one, and reports our error
/// as its own.
fn nothing_there(
    paths: &[PathBuf],
    args: &ConvertArgs,
    env: &Env,
    system: &dyn System,
) -> Result<u8, Error> {
    let names: Vec<_> = paths
        .iter()
        .map(|path| path.display().to_string())
        .collect();
    let what = format!("{} does not exist", names.join(", "));
    if args.kubeconfig.is_some() || env.get(env::KUBECONFIG).is_some() {
        return Err(Error::input(what).remedy(
            "Name the kubeconfig with --kubeconfig or KUBECONFIG, or create one: kubelogin get-credentials.",
        ));
    }
    system.notice(&format!("{what}: nothing to convert"));
    Ok(0)
}

/// Reads the files that exist. Some may be missing, as for kubectl.
fn read(paths: &[PathBuf]) -> Result<Vec<KubeconfigFile>, Error> {
    let mut files = Vec::new();
    for path in paths {
        if let Found::File(file) = file::read(path)? {
            files.push(file);
        }
    }
    Ok(files)
}

/// What was asked for.
struct Conversion<'a> {
    wanted: Wanted<'a>,
    args: &'a ConvertArgs,
    old_args: OldArgs,
}

/// The new files, and the report about them.
struct Plan {
    changes: Vec<Change>,
    report: Report,
}

/// The new text of a file.
struct Change {
    /// The number of the file.
    file: usize,
    text: String,
}

impl Change {
    /// Checks that the new text is a kubeconfig, in case of a bug: most people have only one.
    fn check_readable(&self) -> Result<(), Error> {
        let converted = Kubeconfig::parse("the converted file", &self.text);
        converted
            .and_then(|kubeconfig| kubeconfig.users().map(|_| ()))
            .map_err(|error| {
                error
                    .context("the kubeconfig could not be converted; this is a bug in kubelogin")
                    .remedy(
                        "Nothing was changed. Please report the bug with the output of --dry-run.",
                    )
            })
    }
}

impl<'a> Conversion<'a> {
    fn new(args: &'a ConvertArgs, env: &Env) -> Result<Self, Error> {
        let typed = &args.typed;
        Ok(Self {
            wanted: Wanted {
                mode: checked_mode(typed, env)?,
                typed,
                has_several_tenants: false,
            },
            args,
            old_args: OldArgs::new(),
        })
    }

    /// Reads the files and converts them. kubectl empties a file before rewriting it, under its lock: a file that looks
    /// empty, damaged or already converted is read again under that lock.
    fn look(
        &mut self,
        paths: &[PathBuf],
        system: &dyn System,
    ) -> Result<(Vec<KubeconfigFile>, Plan), Error> {
        let mut look = || {
            let files = read(paths)?;
            let plan = self.convert(&files)?;
            Ok::<_, Error>((files, plan))
        };
        match look() {
            Ok((files, plan))
                if !plan.report.is_doubtful()
                    && (plan.report.changes_something() || !file::is_locked(&files)) =>
            {
                // If there is something to write, writing checks this.
                if !plan.report.changes_something() {
                    file::check_whole(paths)?;
                }
                Ok((files, plan))
            }
            _ => {
                let _locks = file::lock_to_read(paths, system);
                file::check_whole(paths)?;
                look()
            }
        }
    }

    /// Parses the files and makes the edits, without a disk.
    fn convert(&mut self, files: &[KubeconfigFile]) -> Result<Plan, Error> {
        let names: Vec<String> = files
            .iter()
            .map(|file| file.path.display().to_string())
            .collect();
        let mut kubeconfigs = Vec::new();
        for (file, name) in files.iter().zip(&names) {
            kubeconfigs.push(Kubeconfig::parse(name, &file.text)?);
        }
        let mut report = Report::default();
        for (kubeconfig, file) in kubeconfigs.iter().zip(files) {
            if kubeconfig.is_empty() {
                report.empty(&file.path);
            }
        }
        let context = self.args.context.as_deref();
        let chosen = users::choose(&kubeconfigs, context, &mut report)?;
        if context.is_none() && self.args.typed.is_given(Flag::PopClaims) {
            users::check_one_cluster(&kubeconfigs, &chosen)?;
        }
        let before = self.read_users(&kubeconfigs, &chosen);
        self.wanted.has_several_tenants = match context {
            None => self.has_several_tenants(&before),
            // All that kubectl can see: the next command may use another context.
            Some(_) => {
                let all = users::choose(&kubeconfigs, None, &mut Report::default())?;
                let all = self.read_users(&kubeconfigs, &all);
                self.has_several_tenants(&all)
            }
        };
        let files = kubeconfigs.iter().zip(&chosen).zip(before).enumerate();
        let mut changes = Vec::new();
        for (number, ((kubeconfig, users), before)) in files {
            changes.extend(self.edit(number, kubeconfig, users, before, &mut report)?);
        }
        Ok(Plan { changes, report })
    }
}

/// Converts logins that are not in a file, all in the same way.
pub struct Converter {
    mode: LoginMode,
    typed: FlagValues,
}

impl Converter {
    /// Checks the flags.
    pub fn new(typed: FlagValues, env: &Env) -> Result<Self, Error> {
        let mode = checked_mode(&typed, env)?;
        Ok(Self { mode, typed })
    }

    /// The exec plugin in place of a login with these flags.
    pub fn convert(&self, login: Login, flags: FlagValues) -> Result<Exec, Error> {
        let wanted = Wanted {
            mode: self.mode,
            typed: &self.typed,
            has_several_tenants: false,
        };
        let after = wanted.convert(&Before::of_values(flags))?;
        let (api_version, install_hint, interactive_mode) = match login {
            Login::Exec(old) => (
                exec_api_version(&old.api_version),
                old.install_hint,
                old.interactive_mode,
            ),
            _ => (V1BETA1, None, None),
        };
        Ok(Exec {
            api_version: api_version.into(),
            args: after.args,
            note: after.note,
            install_hint: Some(install_hint.unwrap_or_else(|| INSTALL_HINT.into())),
            interactive_mode,
        })
    }
}

/// The text of a kubeconfig that is not on disk with its users converted: for the fuzzer.
#[cfg(test)]
pub fn convert_text(text: &str, args: &ConvertArgs) -> Result<String, Error> {
    let files = [KubeconfigFile::in_memory("kubeconfig", text)];
    let mut plan = Conversion::new(args, &Env::default())?.convert(&files)?;
    match plan.report.failures.pop() {
        Some(failure) => Err(failure),
        None => Ok(plan.changes.pop().map_or(text.into(), |change| change.text)),
    }
}

/// The login mode to convert to, once every flag that was typed has been checked.
fn checked_mode(typed: &FlagValues, env: &Env) -> Result<LoginMode, Error> {
    let mut cleared = Flag::ALL.iter().filter(|row| typed.is_cleared(row.flag));
    if let Some(row) = cleared.find(|row| row.flag != Flag::CacheDir) {
        return Err(empty_flag(row.flag.typed()));
    }
    // Flags override the environment when a file is written.
    let merged = Merged::new(typed, env).values;
    let login = typed.text(Flag::Login).or(merged.text(Flag::Login));
    let mode = LoginMode::parse(login)?;
    Timeout::of(typed)?;
    let text = |flag| typed.text(flag);
    text(Flag::AuthorityHost)
        .map(AuthorityHost::parse)
        .transpose()?;
    text(Flag::Environment).map(Cloud::from_name).transpose()?;
    text(Flag::ServerId).map(check_server_id).transpose()?;
    text(Flag::ClientId).map(check_client_id).transpose()?;
    text(Flag::TenantId).map(check_tenant_id).transpose()?;
    if typed.is_on(Flag::PopEnabled) || typed.is_given(Flag::PopClaims) {
        check_pop_mode(mode)?;
    }
    Ok(mode)
}

#[cfg(test)]
mod tests;
