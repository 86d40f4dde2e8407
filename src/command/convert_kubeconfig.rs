//! `kubelogin convert-kubeconfig`: converts the Azure users in a kubeconfig to a login mode.

mod arguments;
mod report;
pub mod users;

use std::collections::HashSet;
use std::io::Write;
use std::path::PathBuf;

use arguments::{After, Before, Wanted};
use report::Report;
use users::{AzureCredentials, AzureUser, Chosen};

use crate::cli::{ConvertArgs, OldArgs};
use crate::entra::authority::{AuthorityHost, Cloud};
use crate::env::{self, Env};
use crate::error::{Error, one_line};
use crate::flag::{Flag, Takes};
use crate::kubeconfig::edit::{Edit, NewExec};
use crate::kubeconfig::file::{self, Found, KubeconfigFile, Outcome, Replacement};
use crate::kubeconfig::splice;
use crate::kubeconfig::{Kubeconfig, V1BETA1, exec_api_version};
use crate::login_mode::LoginMode;
use crate::system::System;
use crate::timeout::Timeout;
use crate::variables::Merged;

const INSTALL_HINT: &str = "kubelogin signs in to this cluster with Microsoft Entra ID and is not installed: \
     see https://azure.github.io/kubelogin/";
/// How often the files may change while we convert them before that is an error: each time, another program got its
/// change in.
const ATTEMPTS: usize = 1000;

pub fn run(
    args: &ConvertArgs,
    env: &Env,
    system: &dyn System,
    out: &mut dyn Write,
) -> Result<(), Error> {
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
        let files = read(&paths)?;
        let Plan { changes, report } = conversion.convert(&files)?;
        if args.dry_run {
            report.tell(
                &paths,
                &files,
                &format!("would be converted to {mode}"),
                system,
            );
            return report::print_diff(&files, &changes, out);
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
            report.tell(&paths, &files, &format!("converted to {mode}"), system);
            return Ok(());
        }
    }
    Err(
        Error::outside("the kubeconfig kept changing while it was being converted")
            .remedy("Try again later."),
    )
}

/// Reads the files that exist. If none does, that is an error; of several, some may be missing, as for kubectl.
fn read(paths: &[PathBuf]) -> Result<Vec<KubeconfigFile>, Error> {
    let mut files = Vec::new();
    let mut missing = Vec::new();
    for path in paths {
        match file::read(path)? {
            Found::File(file) => files.push(file),
            Found::Nothing(path) => missing.push(path.display().to_string()),
        }
    }
    if files.is_empty() {
        return Err(Error::input(format!("{} does not exist", missing.join(", ")))
            .remedy("Name the kubeconfig with --kubeconfig or KUBECONFIG, or create one: kubelogin get-credentials."));
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
        let plan = conversion.convert(&[KubeconfigFile::in_memory("kubeconfig", text)]);
        let change = plan?.changes.pop();
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
        // What was typed beats the environment when a file is written.
        let merged = Merged::new(typed, env).values;
        let login = typed.text(Flag::Login).or(merged.text(Flag::Login));
        let mode = LoginMode::parse(login)?;
        Timeout::of(typed)?;
        typed
            .text(Flag::AuthorityHost)
            .map(AuthorityHost::parse)
            .transpose()?;
        Ok(Self {
            wanted: Wanted { mode, typed },
            args,
            old_args: OldArgs::new(),
        })
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
        let mut changes = Vec::new();
        for (number, (kubeconfig, users)) in kubeconfigs.iter().zip(&chosen).enumerate() {
            changes.extend(self.edit(number, kubeconfig, users, &mut report)?);
        }
        Ok(Plan { changes, report })
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
            let AzureUser { user, credentials } = azure;
            let before = self.before(kubeconfig, azure)?;
            let new = self.new_exec(&before, credentials).map_err(|error| {
                let (what, remedy) = error.parts();
                kubeconfig.error_at_user(user, what).remedy(remedy)
            })?;
            self.warn(&new, azure, report);
            let changed = match credentials {
                AzureCredentials::AuthProvider(provider) => {
                    edit.replace(user, provider, &new).map(|()| true)
                }
                AzureCredentials::Exec(exec) => edit.update(user, exec, &new),
            };
            if changed.map_err(|error| error.context(format!("user {:?}", user.name)))? {
                report.convert(file, user.name);
            } else {
                report.keep(user.name, "is already converted");
            }
        }
        let cuts = edit.finish()?;
        if cuts.is_empty() {
            return Ok(None);
        }
        let text = splice::apply(kubeconfig.tree().text(), &cuts);
        Ok(Some(Change { file, text }))
    }

    fn warn(&self, new: &NewExec, azure: &AzureUser, report: &mut Report) {
        let Wanted { mode, typed } = self.wanted;
        let secrets = Flag::ALL.iter().filter(|definition| {
            matches!(definition.takes, Takes::Secret(_)) && typed.is_given(definition.flag)
        });
        for definition in secrets {
            report.warn(format!(
                "Warning: the value of {} is written to the kubeconfig, where anyone who can read the file can read it",
                definition.flag.typed()
            ));
        }
        let environment = new
            .args
            .iter()
            .position(|arg| *arg == Flag::Environment.typed());
        let environment = environment.and_then(|at| new.args.get(at + 1));
        if let Some(Err(error)) = environment.map(|name| Cloud::from_name(name)) {
            let (what, remedy) = error.parts();
            report.warn(one_line(&format!(
                "Warning: get-token will fail: {what}. {remedy}"
            )));
        }
        if azure.is_flow() && new.note.is_some() {
            report.warn(format!(
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
        let AzureUser { user, credentials } = azure;
        let at_user = |error: Error| error.context(format!("user {:?}", user.name));
        let exec = match credentials {
            AzureCredentials::AuthProvider(provider) => {
                let values = users::config_values(kubeconfig, provider).map_err(at_user)?;
                return Ok(Before::of_auth_provider(values));
            }
            AzureCredentials::Exec(exec) => exec,
        };
        let args = kubeconfig.args(exec).map_err(at_user)?;
        Before::of_exec(&args, kubeconfig.note(exec), &mut self.old_args).map_err(|error| {
            let (what, _) = error.parts();
            kubeconfig
                .error_at_user(user, format!("cannot read its args: {what}"))
                .remedy("Correct or remove that argument in the file, then convert again.")
        })
    }

    /// The exec plugin that a user gets.
    fn new_exec(&self, before: &Before, credentials: &AzureCredentials) -> Result<NewExec, Error> {
        let After { args, note } = self.wanted.convert(before)?;
        let (command, api_version) = match credentials {
            AzureCredentials::Exec(exec) => (
                (!is_absolute(exec.command)).then_some("kubelogin"),
                exec_api_version(exec.api_version.unwrap_or_default()),
            ),
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

/// True for an absolute path on any operating system: a kubeconfig may be used on another one.
fn is_absolute(command: &str) -> bool {
    let after_drive = command
        .strip_prefix(|c: char| c.is_ascii_alphabetic())
        .and_then(|rest| rest.strip_prefix(':'));
    command.starts_with('/')
        || command.starts_with(r"\\")
        || after_drive.is_some_and(|rest| rest.starts_with(['\\', '/']))
}

#[cfg(test)]
mod tests;
