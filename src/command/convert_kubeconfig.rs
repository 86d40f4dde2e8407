//! `kubelogin convert-kubeconfig`: turns the Azure users of a kubeconfig to a login mode.

mod arguments;

use std::collections::HashSet;
use std::io::Write;
use std::path::PathBuf;

use arguments::{After, Before, Wanted};

use crate::cli::{ConvertArgs, OldArgs};
use crate::entra::authority::{AuthorityHost, Cloud};
use crate::env::{self, Env};
use crate::error::{Error, one_line};
use crate::flag::{Flag, FlagValues, Takes};
use crate::kubeconfig::edit::{Edit, NewExec};
use crate::kubeconfig::file::{self, Found, KubeconfigFile, Outcome, Replacement};
use crate::kubeconfig::splice::{self, Cut};
use crate::kubeconfig::{AuthProvider, Credentials, Exec, Kubeconfig, User, diff};
use crate::login_mode::LoginMode;
use crate::system::System;
use crate::timeout::Timeout;
use crate::variables::Merged;

const V1: &str = "client.authentication.k8s.io/v1";
const V1BETA1: &str = "client.authentication.k8s.io/v1beta1";
const INSTALL_HINT: &str = "kubelogin signs in to this cluster with Microsoft Entra ID and is not installed: \
     see https://azure.github.io/kubelogin/";
/// How often a file may change under us before that is an error: each time somebody else got their change in.
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
    let paths = file::paths(args.kubeconfig.as_deref(), env)?;
    for _ in 0..ATTEMPTS {
        let files = read(&paths)?;
        let outcome = conversion.convert(&files)?;
        if args.dry_run {
            outcome.tell(&paths, &files, "would be converted", system);
            return conversion.print_diff(&files, &outcome, out);
        }
        outcome.check_readable()?;
        let replacements: Vec<_> = outcome
            .changes
            .iter()
            .map(|change| Replacement {
                file: &files[change.file],
                text: &change.text,
            })
            .collect();
        if replacements.is_empty() || file::replace(&replacements, system)? == Outcome::Replaced {
            outcome.tell(&paths, &files, "converted", system);
            return Ok(());
        }
    }
    Err(
        Error::outside("the kubeconfig is changed by other programs again and again")
            .remedy("Try again later."),
    )
}

/// Reads the files that are there. None at all is an error; of several, some may be missing, as for kubectl.
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
        return Err(Error::input(format!("{} is not there", missing.join(", ")))
            .remedy("Name the kubeconfig with --kubeconfig or KUBECONFIG, or write one: az aks get-credentials."));
    }
    Ok(files)
}

/// What was asked for.
struct Conversion<'a> {
    wanted: Wanted<'a>,
    args: &'a ConvertArgs,
    old_args: OldArgs,
}

/// What is to be written, and what to say about it.
#[derive(Default)]
struct Plan {
    changes: Vec<Change>,
    /// The converted users, each with the number of its file.
    converted: Vec<(usize, String)>,
    /// The users that stay as they are, each with the reason.
    kept: Vec<String>,
    /// Files that are empty.
    empty: Vec<String>,
    /// Each once.
    warnings: Vec<String>,
    mode: LoginMode,
}

struct Change {
    /// The number of the file.
    file: usize,
    cuts: Vec<Cut>,
    text: String,
}

enum AzureCredentials<'n, 't> {
    AuthProvider(AuthProvider<'n, 't>),
    Exec(Exec<'n, 't>),
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
        let mut plan = Plan {
            mode: self.wanted.mode,
            ..Plan::default()
        };
        let only = match &self.args.context {
            Some(context) => Some(user_of_context(&kubeconfigs, context)?),
            None => None,
        };
        let users = selected(&kubeconfigs, only)?;
        let mut azure = Vec::new();
        for ((kubeconfig, users), name) in kubeconfigs.iter().zip(&users).zip(&names) {
            if kubeconfig.is_empty() {
                plan.empty.push(format!("{name} is empty"));
            }
            let mut ours = Vec::new();
            for user in users {
                match azure_credentials(kubeconfig, user)? {
                    Ok(credentials) => ours.push((user, credentials)),
                    Err(why) => plan.kept.push(format!("{:?} {why}", user.name)),
                }
            }
            azure.push(ours);
        }
        let names: HashSet<&str> = azure.iter().flatten().map(|(user, _)| user.name).collect();
        self.check_cluster_flags(&kubeconfigs, &names)?;
        for (number, kubeconfig) in kubeconfigs.iter().enumerate() {
            let edit = Edit::new(kubeconfig, &users[number]);
            let change = self.edit(number, kubeconfig, edit, &azure[number], &mut plan)?;
            plan.changes.extend(change);
        }
        Ok(plan)
    }

    /// A flag that belongs to one cluster must not go to the users of several.
    fn check_cluster_flags(
        &self,
        kubeconfigs: &[Kubeconfig],
        users: &HashSet<&str>,
    ) -> Result<(), Error> {
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
            "{flag} is for one cluster, and {count} users would be converted"
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
        mut edit: Edit<'n, 't>,
        users: &[(&User<'n, 't>, AzureCredentials<'n, 't>)],
        plan: &mut Plan,
    ) -> Result<Option<Change>, Error> {
        for (user, credentials) in users {
            let before = self.before(kubeconfig, user, credentials)?;
            let new = self.new_exec(&before, credentials).map_err(|error| {
                let (what, remedy) = error.parts();
                kubeconfig.error_at_user(user, what).remedy(remedy)
            })?;
            self.warn(&new, plan);
            let is_flow = match credentials {
                AzureCredentials::AuthProvider(_) => user.is_flow(),
                AzureCredentials::Exec(exec) => exec.is_flow(),
            };
            if is_flow && new.note.is_some() {
                plan.warn(format!("Warning: JSON has no comments to keep the flags in that --login {} has no place for: type them again for another login mode", self.wanted.mode));
            }
            let changed = match credentials {
                AzureCredentials::AuthProvider(provider) => {
                    edit.replace(user, provider, &new).map(|()| true)
                }
                AzureCredentials::Exec(exec) => edit.update(user, exec, &new),
            };
            if changed.map_err(|error| error.context(format!("user {:?}", user.name)))? {
                plan.converted.push((file, user.name.to_owned()));
            } else {
                plan.kept
                    .push(format!("{:?} is as asked for already", user.name));
            }
        }
        let cuts = edit.finish()?;
        if cuts.is_empty() {
            return Ok(None);
        }
        let text = splice::apply(kubeconfig.tree().text(), &cuts);
        Ok(Some(Change { file, cuts, text }))
    }

    fn warn(&self, new: &NewExec, plan: &mut Plan) {
        let typed = &self.args.typed;
        let secrets = Flag::ALL.iter().filter(|definition| {
            matches!(definition.takes, Takes::Secret(_)) && typed.is_given(definition.flag)
        });
        for definition in secrets {
            plan.warn(format!("Warning: the value of {} is written into the kubeconfig, readable for whoever reads the file", definition.flag.typed()));
        }
        let environment = new
            .args
            .iter()
            .position(|arg| *arg == Flag::Environment.typed());
        let environment = environment.and_then(|at| new.args.get(at + 1));
        if let Some(Err(error)) = environment.map(|name| Cloud::from_name(name)) {
            let (what, remedy) = error.parts();
            plan.warn(one_line(&format!(
                "Warning: get-token will fail: {what}. {remedy}"
            )));
        }
    }

    fn before<'n, 't>(
        &mut self,
        kubeconfig: &'n Kubeconfig<'t>,
        user: &User<'n, 't>,
        credentials: &AzureCredentials<'n, 't>,
    ) -> Result<Before, Error> {
        let at_user = |error: Error| error.context(format!("user {:?}", user.name));
        let exec = match credentials {
            AzureCredentials::AuthProvider(provider) => {
                let values = config_values(kubeconfig, provider).map_err(at_user)?;
                return Ok(Before::of_auth_provider(values));
            }
            AzureCredentials::Exec(exec) => exec,
        };
        let args = kubeconfig.args(exec).map_err(at_user)?;
        Before::of_exec(&args, kubeconfig.note(exec), &mut self.old_args).map_err(|error| {
            let (what, _) = error.parts();
            kubeconfig
                .error_at_user(user, format!("its args cannot be understood: {what}"))
                .remedy("Correct or remove that argument in the file, then convert again.")
        })
    }

    /// The exec plugin that a user gets.
    fn new_exec(&self, before: &Before, credentials: &AzureCredentials) -> Result<NewExec, Error> {
        let After { args, note } = self.wanted.convert(before)?;
        let (command, api_version) = match credentials {
            AzureCredentials::Exec(exec) => (
                (!is_absolute(exec.command)).then_some("kubelogin"),
                if exec.api_version == Some(V1) {
                    V1
                } else {
                    V1BETA1
                },
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
            install_hint: INSTALL_HINT,
        })
    }

    fn print_diff(
        &self,
        files: &[KubeconfigFile],
        plan: &Plan,
        out: &mut dyn Write,
    ) -> Result<(), Error> {
        for change in &plan.changes {
            let file = &files[change.file];
            let name = file.path.display().to_string();
            let (old, new) = (
                Kubeconfig::parse(&name, &file.text)?,
                Kubeconfig::parse(&name, &change.text)?,
            );
            let diff = diff::unified(&name, &old, &new, &change.cuts);
            out.write_all(diff.as_bytes())
                .map_err(|error| Error::outside(format!("cannot write to stdout: {error}")))?;
        }
        Ok(())
    }
}

impl Plan {
    /// People have one kubeconfig: what is written must be one again, whatever fault there is in us.
    fn check_readable(&self) -> Result<(), Error> {
        for change in &self.changes {
            let converted = Kubeconfig::parse("the converted file", &change.text);
            converted
                .and_then(|kubeconfig| kubeconfig.users().map(|_| ()))
                .map_err(|error| {
                    error
                        .context("this kubeconfig cannot be converted, by a fault of kubelogin")
                        .remedy("Nothing was changed. Please report it with what --dry-run prints.")
                })?;
        }
        Ok(())
    }

    fn warn(&mut self, warning: String) {
        if !self.warnings.contains(&warning) {
            self.warnings.push(warning);
        }
    }

    /// A line per converted user and file, or why there is none.
    fn tell(&self, paths: &[PathBuf], files: &[KubeconfigFile], done: &str, system: &dyn System) {
        for path in paths
            .iter()
            .filter(|path| !files.iter().any(|file| file.path == **path))
        {
            system.tell(&format!("{} is not there and was skipped", path.display()));
        }
        for empty in &self.empty {
            system.tell(empty);
        }
        if self.converted.is_empty() {
            let why = if self.kept.is_empty() {
                "there are none".to_owned()
            } else {
                summary(&self.kept)
            };
            system.tell(&format!("0 of {} users {done}: {why}", self.kept.len()));
        }
        for warning in self.warnings.iter().filter(|_| !self.converted.is_empty()) {
            system.tell(warning);
        }
        for (file, user) in &self.converted {
            system.tell(&format!(
                "{}: user {user:?} {done} to {}",
                files[*file].path.display(),
                self.mode
            ));
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

/// The users of each kubeconfig that count: the first file that names a user wins, as for kubectl.
fn selected<'n, 't>(
    kubeconfigs: &'n [Kubeconfig<'t>],
    only: Option<&str>,
) -> Result<Vec<Vec<User<'n, 't>>>, Error> {
    let mut seen = HashSet::new();
    let mut selected = Vec::new();
    for kubeconfig in kubeconfigs {
        let users = kubeconfig.users()?;
        let counts = |user: &User<'n, 't>| {
            only.is_none_or(|only| user.name == only) && !seen.contains(user.name)
        };
        let users: Vec<_> = users.into_iter().filter(counts).collect();
        seen.extend(users.iter().map(|user| user.name));
        selected.push(users);
    }
    Ok(selected)
}

/// The user of a context, which must be there.
fn user_of_context<'n>(kubeconfigs: &'n [Kubeconfig], name: &str) -> Result<&'n str, Error> {
    let mut names = Vec::new();
    for kubeconfig in kubeconfigs {
        for context in kubeconfig.contexts()? {
            if context.name != name {
                names.push(context.name);
                continue;
            }
            let Some(wanted) = context.user else {
                return Err(kubeconfig.error_at_context(&context, "has no user").remedy(
                    "Choose another context, or give it a user: kubectl config set-context.",
                ));
            };
            for kubeconfig in kubeconfigs {
                if let Some(user) = kubeconfig.users()?.iter().find(|user| user.name == wanted) {
                    return Ok(user.name);
                }
            }
            return Err(kubeconfig
                .error_at_context(
                    &context,
                    format!("has the user {wanted:?}, who is in no file"),
                )
                .remedy(
                    "Correct the user of the context, or write it again: az aks get-credentials.",
                ));
        }
    }
    Err(
        Error::input(format!("no context exists with the name: {name:?}"))
            .remedy(nearest(name, names)),
    )
}

/// The names that are most like `name`.
fn nearest(name: &str, mut names: Vec<&str>) -> String {
    const SHOWN: usize = 5;
    if names.is_empty() {
        return "There is no context at all; az aks get-credentials writes one.".into();
    }
    names.sort_by_cached_key(|other| {
        strsim::osa_distance(&name.to_lowercase(), &other.to_lowercase())
    });
    names.truncate(SHOWN);
    format!("Did you mean one of these: {}?", names.join(", "))
}

/// How an Azure user signs in, or why it is not one of ours.
fn azure_credentials<'n, 't>(
    kubeconfig: &'n Kubeconfig<'t>,
    user: &User<'n, 't>,
) -> Result<Result<AzureCredentials<'n, 't>, String>, Error> {
    let at_user = |error: Error| error.context(format!("user {:?}", user.name));
    Ok(match kubeconfig.credentials(user).map_err(at_user)? {
        Credentials::AuthProvider(provider) if provider.name == "azure" => {
            Ok(AzureCredentials::AuthProvider(provider))
        }
        Credentials::AuthProvider(provider) => {
            Err(format!("has the auth-provider {:?}", provider.name))
        }
        Credentials::Exec(exec) if is_kubelogin(exec.command) => {
            let args = kubeconfig.args(&exec).map_err(at_user)?;
            let is_int128 = args.iter().any(|arg| arg.starts_with("--oidc-"));
            if is_int128 {
                Err("belongs to int128/kubelogin".into())
            } else {
                Ok(AzureCredentials::Exec(exec))
            }
        }
        Credentials::Exec(exec) => Err(format!("runs {:?}", exec.command)),
        Credentials::Others => Err("has neither an auth-provider nor an exec".into()),
    })
}

/// The settings of kubectl's own login, as flags.
fn config_values<'t>(
    kubeconfig: &Kubeconfig<'t>,
    provider: &AuthProvider<'_, 't>,
) -> Result<FlagValues, Error> {
    const KEYS: &[(&str, Flag)] = &[
        ("environment", Flag::Environment),
        ("tenant-id", Flag::TenantId),
        ("client-id", Flag::ClientId),
        ("apiserver-id", Flag::ServerId),
    ];
    let mut values = FlagValues::new();
    for (key, flag) in KEYS {
        if let Some(value) = kubeconfig.text_of(provider.config, key)? {
            values.set(*flag, value);
        }
    }
    if matches!(
        kubeconfig.text_of(provider.config, "config-mode")?,
        None | Some("" | "0")
    ) {
        values.set(Flag::Legacy, "true");
    }
    Ok(values)
}

/// True for kubelogin by its own name, wherever it lies; a wrapper or a folder of that name is something else.
fn is_kubelogin(command: &str) -> bool {
    let name = command.rsplit(['/', '\\']).next().unwrap_or_default();
    name.eq_ignore_ascii_case("kubelogin") || name.eq_ignore_ascii_case("kubelogin.exe")
}

/// True for an absolute path of any operating system: a kubeconfig travels.
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
