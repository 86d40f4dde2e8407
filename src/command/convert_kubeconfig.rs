//! `kubelogin convert-kubeconfig`: converts the Azure users in a kubeconfig to a login mode.

mod arguments;
mod report;
pub mod users;

use std::collections::HashSet;
use std::io::Write;
use std::path::PathBuf;

use arguments::{After, Before, Wanted, is_of_program};
use report::{Converted, Report, Why};
use users::{AzureCredentials, AzureUser, Chosen};

use crate::cli::{ConvertArgs, OldArgs, UnknownFlag, empty_flag};
use crate::entra::authority::{AuthorityHost, Cloud};
use crate::env::{self, Env};
use crate::error::{Error, one_line};
use crate::flag::{Flag, Takes};
use crate::kubeconfig::edit::{Edit, NewExec};
use crate::kubeconfig::file::{self, Found, KubeconfigFile, Outcome, Replacement};
use crate::kubeconfig::splice;
use crate::kubeconfig::{Kubeconfig, V1BETA1, exec_api_version};
use crate::login_mode::LoginMode;
use crate::options::check_pop_mode;
use crate::system::System;
use crate::timeout::Timeout;
use crate::variables::Merged;

/// Says what is true whoever reads it: there is no address at which every reader finds this program.
const INSTALL_HINT: &str = "kubelogin signs in to this cluster with Microsoft Entra ID, and was not found. \
     Install it in a folder of PATH, or set command in the kubeconfig to its full path.";
/// How often the files may change while we convert them before that is an error: each time, another program got its
/// change in.
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

/// What it means that there is no kubeconfig. az calls us after it has written another file than the default one, and takes
/// an error for one of its own.
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

/// Converts kubeconfigs that are not on disk, all in the same way.
pub struct Converter {
    args: ConvertArgs,
    env: Env,
}

impl Converter {
    /// Checks `args`; which files they name does not matter.
    pub fn new(args: ConvertArgs, env: &Env) -> Result<Self, Error> {
        Conversion::new(&args, env)?;
        Ok(Self {
            args,
            env: env.clone(),
        })
    }

    /// The text of a kubeconfig with its Azure users converted.
    pub fn convert(&self, text: &str) -> Result<String, Error> {
        let mut conversion = Conversion::new(&self.args, &self.env)?;
        let mut plan = conversion.convert(&[KubeconfigFile::in_memory("kubeconfig", text)])?;
        if let Some(failure) = plan.report.first_failure() {
            return Err(failure.clone());
        }
        let change = plan.changes.pop();
        Ok(change.map_or_else(|| text.to_owned(), |change| change.text))
    }
}

/// What was asked for.
struct Conversion<'a> {
    wanted: Wanted<'a>,
    args: &'a ConvertArgs,
    old_args: OldArgs,
}

/// The new files, and what there is to say about them.
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
    /// Checks that the new text is a kubeconfig, whatever bug we may have: most people have only one.
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
        let mut cleared = Flag::ALL.iter().filter(|row| typed.is_cleared(row.flag));
        if let Some(row) = cleared.find(|row| row.flag != Flag::CacheDir) {
            return Err(empty_flag(&row.flag.typed()));
        }
        // What was typed beats the environment when a file is written.
        let merged = Merged::new(typed, env).values;
        let login = typed.text(Flag::Login).or(merged.text(Flag::Login));
        let mode = LoginMode::parse(login)?;
        Timeout::of(typed)?;
        typed
            .text(Flag::AuthorityHost)
            .map(AuthorityHost::parse)
            .transpose()?;
        typed
            .text(Flag::Environment)
            .map(Cloud::from_name)
            .transpose()?;
        if typed.is_on(Flag::PopEnabled) || typed.is_given(Flag::PopClaims) {
            check_pop_mode(mode)?;
        }
        Ok(Self {
            wanted: Wanted {
                mode,
                typed,
                has_several_tenants: false,
            },
            args,
            old_args: OldArgs::new(),
        })
    }

    /// Reads the files and converts them. kubectl empties a file before it writes it anew, under its lock: what looks
    /// empty, damaged or without anything to do is read again under that lock.
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
                Ok((files, plan))
            }
            _ => {
                let _locks = file::lock_to_read(paths, system);
                for path in paths {
                    file::check_whole(path)?;
                }
                look()
            }
        }
    }

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
        let chosen = users::choose(&kubeconfigs, self.args.context.as_deref(), &mut report)?;
        self.check_cluster_flags(&kubeconfigs, &chosen)?;
        self.wanted.has_several_tenants = self.has_several_tenants(&kubeconfigs)?;
        let mut changes = Vec::new();
        for (number, (kubeconfig, users)) in kubeconfigs.iter().zip(&chosen).enumerate() {
            changes.extend(self.edit(number, kubeconfig, users, &mut report)?);
        }
        Ok(Plan { changes, report })
    }

    /// True if the Azure users are of more than one tenant and the login mode has only one unless it is told.
    fn has_several_tenants(&mut self, kubeconfigs: &[Kubeconfig]) -> Result<bool, Error> {
        let Wanted { mode, typed, .. } = self.wanted;
        if !is_of_program(mode) || typed.is_given(Flag::TenantId) {
            return Ok(false);
        }
        let mut first: Option<String> = None;
        // All that kubectl can see: with --context, the next command may be for another one.
        let chosen = users::choose(kubeconfigs, None, &mut Report::default())?;
        for (kubeconfig, users) in kubeconfigs.iter().zip(&chosen) {
            for azure in &users.azure {
                let Ok(before) = self.before(kubeconfig, azure) else {
                    continue;
                };
                let tenant = before.tenant().map(str::to_lowercase);
                match (tenant, &first) {
                    (Some(tenant), Some(first)) if tenant != *first => return Ok(true),
                    (tenant, None) => first = tenant,
                    _ => {}
                }
            }
        }
        Ok(false)
    }

    /// A flag that belongs to one cluster must not go to the users of several.
    fn check_cluster_flags(
        &self,
        kubeconfigs: &[Kubeconfig],
        chosen: &[Chosen],
    ) -> Result<(), Error> {
        let users = chosen.iter().flat_map(|chosen| &chosen.azure);
        let users: HashSet<&str> = users.map(|azure| azure.user.name).collect();
        if users.len() < 2
            || self.args.context.is_some()
            || !self.args.typed.is_given(Flag::PopClaims)
        {
            return Ok(());
        }
        let mut contexts = Vec::new();
        for kubeconfig in kubeconfigs {
            let of_users = kubeconfig.contexts()?;
            let of_users = of_users
                .iter()
                .filter(|context| context.user.is_some_and(|user| users.contains(user)));
            contexts.extend(of_users.map(|context| context.name.to_owned()));
        }
        let (count, flag) = (users.len(), Flag::PopClaims.typed());
        Err(Error::input(format!(
            "{flag} applies to one cluster, but {count} users would be converted"
        ))
        .remedy(format!(
            "Choose one with --context: {}.",
            contexts.join(", ")
        )))
    }

    /// Converts the users of one file.
    fn edit<'n, 't>(
        &mut self,
        file: usize,
        kubeconfig: &'n Kubeconfig<'t>,
        users: &Chosen<'n, 't>,
        report: &mut Report,
    ) -> Result<Option<Change>, Error> {
        let mut edit = Edit::new(kubeconfig, &users.all);
        for azure in &users.azure {
            match self.edit_user(kubeconfig, azure, &mut edit) {
                Ok((new, unknown, changed)) => {
                    let user = azure.user.name;
                    for flag in &unknown {
                        report.warn(left_out(user, flag));
                    }
                    self.warn(&new, azure, report);
                    match changed {
                        true => report.convert(Converted {
                            file,
                            user: user.to_owned(),
                            tenant: self.tenant_of(&new),
                        }),
                        false => report.keep(user, Why::IsConverted),
                    }
                }
                Err(error) => report.fail(error),
            }
        }
        let cuts = edit.finish()?;
        if cuts.is_empty() {
            return Ok(None);
        }
        let text = splice::apply(kubeconfig.tree().text(), &cuts);
        Ok(Some(Change { file, text }))
    }

    /// Changes one user, or nothing. Returns what it is now, the flags that were left out, and whether that is a change.
    fn edit_user<'n, 't>(
        &mut self,
        kubeconfig: &'n Kubeconfig<'t>,
        azure: &AzureUser<'n, 't>,
        edit: &mut Edit<'n, 't>,
    ) -> Result<(NewExec, Vec<UnknownFlag>, bool), Error> {
        let AzureUser {
            user,
            credentials,
            left_behind,
        } = azure;
        let before = self.before(kubeconfig, azure)?;
        let new = self.new_exec(&before, credentials).map_err(|error| {
            let (what, remedy) = error.parts();
            kubeconfig.error_at_user(user, what).remedy(remedy)
        })?;
        let changed = edit.all_or_none(user, |edit| {
            if let Some(provider) = left_behind {
                edit.remove(user, provider)?;
            }
            match credentials {
                AzureCredentials::AuthProvider(provider) => {
                    edit.replace(user, provider, &new).map(|()| true)
                }
                AzureCredentials::Exec(exec) => edit.update(user, exec, &new),
            }
        });
        let changed = changed.map_err(|error| error.context(format!("user {:?}", user.name)))?;
        Ok((new, before.unknown, changed || left_behind.is_some()))
    }

    fn tenant_of(&self, new: &NewExec) -> Option<String> {
        let is_told = self.wanted.has_several_tenants;
        value_of(new, Flag::TenantId)
            .filter(|_| is_told)
            .map(str::to_owned)
    }

    fn warn(&self, new: &NewExec, azure: &AzureUser, report: &mut Report) {
        let Wanted { mode, typed, .. } = self.wanted;
        for row in Flag::ALL {
            let name = row.flag.typed();
            match row.takes {
                Takes::Secret(_) if typed.is_given(row.flag) => report.remark(format!(
                    "Warning: the value of {name} is written to the kubeconfig, where anyone who can read the file can read it"
                )),
                Takes::Value(_) if value_of(new, row.flag).is_some_and(is_for_a_shell) => report.warn(format!(
                    "Warning: user {:?}: {name} holds a variable or ~ that nothing replaces in a kubeconfig: write its value",
                    azure.user.name
                )),
                _ => {}
            }
        }
        let environment = value_of(new, Flag::Environment);
        if let Some(Err(error)) = environment.map(Cloud::from_name) {
            let (what, remedy) = error.parts();
            report.warn(one_line(&format!(
                "Warning: get-token will fail: {what}. {remedy}"
            )));
        }
        if azure.is_flow() && new.note.is_some() {
            report.remark(format!(
                "Warning: JSON cannot hold comments, so flags that --login {mode} does not use are lost; \
                 pass them again when you convert back"
            ));
        }
    }

    fn before<'n, 't>(
        &mut self,
        kubeconfig: &'n Kubeconfig<'t>,
        azure: &AzureUser<'n, 't>,
    ) -> Result<Before, Error> {
        let AzureUser {
            user,
            credentials,
            left_behind,
        } = azure;
        let at_user = |error: Error| error.context(format!("user {:?}", user.name));
        let exec = match credentials {
            AzureCredentials::AuthProvider(provider) => {
                let values = users::config_values(kubeconfig, provider).map_err(at_user)?;
                return Ok(Before::of_auth_provider(values));
            }
            AzureCredentials::Exec(exec) => exec,
        };
        let args = kubeconfig.args(exec).map_err(at_user)?;
        let before = Before::of_exec(&args, kubeconfig.note(exec), &mut self.old_args);
        let before = before.map_err(|error| {
            let (what, _) = error.parts();
            kubeconfig
                .error_at_user(user, format!("cannot read its args: {what}"))
                .remedy(
                    "Correct or remove that argument in the file, then convert again. A flag and its value are two items.",
                )
        })?;
        Ok(match left_behind {
            Some(provider) => {
                before.or(&users::config_values(kubeconfig, provider).map_err(at_user)?)
            }
            None => before,
        })
    }

    /// The exec plugin that a user gets.
    fn new_exec(&self, before: &Before, credentials: &AzureCredentials) -> Result<NewExec, Error> {
        let After { args, note } = self.wanted.convert(before)?;
        // An exec plugin's command stays, by whatever name or path it is installed.
        let (command, api_version) = match credentials {
            AzureCredentials::Exec(exec) => {
                (None, exec_api_version(exec.api_version.unwrap_or_default()))
            }
            AzureCredentials::AuthProvider(_) => (Some("kubelogin"), V1BETA1),
        };
        let env = self
            .args
            .azure_config_dir
            .iter()
            .map(|dir| (env::AZURE_CONFIG_DIR, dir.clone()));
        Ok(NewExec {
            api_version,
            command,
            args,
            note,
            env: env.collect(),
            install_hint: INSTALL_HINT.into(),
        })
    }
}

/// The value that a flag gets.
fn value_of(new: &NewExec, flag: Flag) -> Option<&str> {
    let at = new.args.iter().position(|arg| *arg == flag.typed())?;
    new.args.get(at + 1).map(String::as_str)
}

/// True for what a shell would replace, and a Kubernetes client does not: a variable of sh, PowerShell or cmd.exe, or `~`.
fn is_for_a_shell(value: &str) -> bool {
    let begins_name = |rest: &str| rest.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    let is_name = |text: &str| {
        begins_name(text) && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
    };
    let mut after_dollars = value.split('$').skip(1);
    let mut between_percents = value.split('%').skip(1).step_by(2);
    value.starts_with("~/")
        || after_dollars.any(|rest| begins_name(rest) || rest.starts_with(['{', '(']))
        || value.matches('%').count() >= 2 && between_percents.any(is_name)
}

/// The warning for a flag that `get-token` would refuse.
fn left_out(user: &str, UnknownFlag { name, near }: &UnknownFlag) -> String {
    let near = near.iter().map(|near| format!(" (did you mean {near}?)"));
    format!(
        "Warning: user {user:?}: {name} is removed, because kubelogin has no such flag{}",
        near.collect::<String>()
    )
}

#[cfg(test)]
mod tests;
