//! Turns a kubeconfig from Azure into entries to merge: checks it, converts it to the login mode, and names the entries.

use super::session::Session;
use crate::arm::Cluster;
use crate::cli::{GetCredentialsArgs, OldArgs};
use crate::command::convert_kubeconfig::Converter;
use crate::command::convert_kubeconfig::users::values_of;
use crate::entra::cloud::Cloud;
use crate::env::Env;
use crate::error::Error;
use crate::flag::{Definition, Flag, FlagValues, Takes};
use crate::kubeconfig::fetched::{self, Fetched, Login};
use crate::kubeconfig::merge::{Addition, Origin};
use crate::login_mode::LoginMode;
use crate::secret::Secret;

/// Flags that a kubeconfig from Azure may contain; any other could send a secret elsewhere.
const USUAL: &[Flag] = &[
    Flag::Login,
    Flag::ServerId,
    Flag::TenantId,
    Flag::ClientId,
    Flag::Environment,
    Flag::Legacy,
];
/// Flags of this run that must not go into the kubeconfig, in addition to secrets.
const OF_THIS_RUN: &[Flag] = &[Flag::Subscription, Flag::Timeout];

pub struct Entries {
    converter: Converter,
    old_args: OldArgs,
    context: Option<String>,
}

impl Entries {
    pub fn new(
        args: &GetCredentialsArgs,
        write_login: Option<LoginMode>,
        session: &Session,
    ) -> Result<Self, Error> {
        let typed = written(args, write_login, session);
        Ok(Self {
            converter: Converter::new(typed, &Env::default())?,
            old_args: OldArgs::new(),
            context: args.context.clone(),
        })
    }

    /// The entries to merge for a cluster.
    pub fn addition(
        &mut self,
        cluster: &Cluster,
        text: &Secret,
        session: &Session,
    ) -> Result<Addition, Error> {
        let mut fetched = Fetched::read(text.expose())?;
        fetched.login = self.converted(fetched.login)?;
        self.rename(&mut fetched);
        Ok(Addition {
            fetched,
            origin: Origin {
                resource_id: cluster.id.to_string(),
                tenant_id: cluster.tenant_id.clone().or_else(|| session.tenant_id()),
                environment: session.options().cloud.name(),
            },
        })
    }

    /// The login in the mode to write; a user's own certificate or token stays.
    fn converted(&mut self, login: Login) -> Result<Login, Error> {
        let flags = match &login {
            Login::Own(_) => return Ok(login),
            Login::Exec(exec) => self
                .values(&exec.args)
                .map_err(|_| fetched::refused("has arguments that get-token does not know"))?,
            Login::AuthProvider(settings) => values_of(|key| {
                let setting = settings.iter().find(|(name, _)| *name == key);
                Ok(setting.map(|(_, value)| value.as_str()))
            })?,
        };
        check(&flags)?;
        self.converter.convert(login, flags).map(Login::Exec)
    }

    /// The flags in an exec plugin's arguments.
    pub fn values(&mut self, args: &[String]) -> Result<FlagValues, Error> {
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        self.old_args.parse(&args).map(|(values, _)| values)
    }

    /// The names of the entries: Azure's, unless `--context` is given. An admin's context has its own name.
    fn rename(&self, fetched: &mut Fetched) {
        let is_admin = fetched.user.starts_with("clusterAdmin");
        if let Some(name) = &self.context {
            fetched.cluster.name.clone_from(name);
            fetched.context.clone_from(name);
            fetched.user.clone_from(name);
            if is_admin {
                fetched.user.push_str("-admin");
            }
        }
        if is_admin {
            fetched.context.push_str("-admin");
        }
    }
}

/// Checks the flags that Azure wrote: only usual ones, with valid values.
fn check(values: &FlagValues) -> Result<(), Error> {
    let is_odd = |row: &&Definition| !USUAL.contains(&row.flag) && values.is_given(row.flag);
    if let Some(row) = Flag::ALL.iter().find(is_odd) {
        return Err(fetched::refused(&format!(
            "passes --{} to kubelogin",
            row.name
        )));
    }
    for flag in [Flag::ServerId, Flag::TenantId, Flag::ClientId] {
        let value = values.text(flag).unwrap_or_default();
        let is_usual = |c: char| c.is_ascii_alphanumeric() || "-.:/".contains(c);
        if !value.chars().all(is_usual) {
            return Err(fetched::refused(&format!(
                "has an unexpected value for {}",
                flag.typed()
            )));
        }
    }
    let environment = values.text(Flag::Environment);
    environment
        .map(Cloud::from_name)
        .transpose()
        .map(|_| ())
        .map_err(|_| fetched::refused("is for an unknown --environment"))
}

/// The mode of `--write-login`, checked before any sign-in.
pub fn write_login(args: &GetCredentialsArgs) -> Result<Option<LoginMode>, Error> {
    let Some(word) = &args.write_login else {
        return Ok(None);
    };
    let mode = LoginMode::from_word(word);
    mode.map(Some).ok_or_else(|| {
        Error::input(format!("unknown --write-login {word:?}"))
            .remedy(format!("Use one of {}.", LoginMode::words()))
    })
}

/// The flags to convert with: as if `convert-kubeconfig` were called with the same flags, except secrets. With
/// `--write-login` the kubeconfig is for others, and gets only what Azure says.
fn written(
    args: &GetCredentialsArgs,
    write_login: Option<LoginMode>,
    session: &Session,
) -> FlagValues {
    let mut typed = FlagValues::new();
    if let Some(mode) = write_login {
        typed.set(Flag::Login, mode.to_string());
        return typed;
    }
    let is_kept = |row: &&Definition| {
        !matches!(row.takes, Takes::Secret(_)) && !OF_THIS_RUN.contains(&row.flag)
    };
    for row in Flag::ALL.iter().filter(is_kept) {
        typed.copy(row.flag, &args.typed);
    }
    let options = session.options();
    typed.set(Flag::Login, session.written_mode().to_string());
    // The client that signed in may also get the cluster's tokens, so that nobody signs in twice.
    let is_of_people = matches!(
        options.login,
        LoginMode::DeviceCode | LoginMode::Interactive
    );
    if let Some(client_id) = options.client_id.as_deref().filter(|_| is_of_people) {
        typed.set(Flag::ClientId, client_id);
    }
    typed
}
