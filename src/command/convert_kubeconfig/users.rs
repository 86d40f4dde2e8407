//! Chooses the users to convert: the Azure users that kubectl can see, or the user of one context.

use std::collections::HashSet;

use super::report::{Report, Why};
use crate::error::{self, Error, did_you_mean};
use crate::flag::{Flag, FlagValues};
use crate::kubeconfig::plugin::{is_int128, is_kubelogin};
use crate::kubeconfig::{AuthProvider, Credentials, Exec, Kubeconfig, User};

/// The users that count in one file, and those of them to convert.
pub struct Chosen<'n, 't> {
    pub all: Vec<User<'n, 't>>,
    pub azure: Vec<AzureUser<'n, 't>>,
}

/// A user to convert.
pub struct AzureUser<'n, 't> {
    pub user: User<'n, 't>,
    pub credentials: AzureCredentials<'n, 't>,
    /// kubectl's former built-in login, left over next to the exec plugin.
    pub left_behind: Option<AuthProvider<'n, 't>>,
}

pub enum AzureCredentials<'n, 't> {
    /// kubectl's former built-in login.
    AuthProvider(AuthProvider<'n, 't>),
    /// kubelogin.
    Exec(Exec<'n, 't>),
}

impl AzureUser<'_, '_> {
    /// True if the part to convert is in flow style, like JSON.
    pub fn is_flow(&self) -> bool {
        match &self.credentials {
            AzureCredentials::AuthProvider(_) => self.user.is_flow(),
            AzureCredentials::Exec(exec) => exec.is_flow(),
        }
    }
}

/// The users of each kubeconfig: all that kubectl can see, or the one of `context`. Reports those that stay as they are,
/// and those that cannot be understood.
pub fn choose<'n, 't>(
    kubeconfigs: &'n [Kubeconfig<'t>],
    context: Option<&str>,
    report: &mut Report,
) -> Result<Vec<Chosen<'n, 't>>, Error> {
    let only = match context {
        Some(context) => Some(user_of_context(kubeconfigs, context)?),
        None => None,
    };
    let mut seen = HashSet::new();
    let mut chosen = Vec::new();
    for kubeconfig in kubeconfigs {
        // As for kubectl, the first file that has a user of this name wins.
        let all: Vec<_> = kubeconfig
            .users()?
            .into_iter()
            .filter(|user| only.is_none_or(|only| user.name == only) && !seen.contains(user.name))
            .collect();
        seen.extend(all.iter().map(|user| user.name));
        let mut azure = Vec::new();
        for user in &all {
            match azure_user(kubeconfig, user) {
                Ok(Ok(user)) => azure.push(user),
                Ok(Err(why)) => report.keep(user.name, why),
                Err(error) => report.fail(error.context(format!("user {:?}", user.name))),
            }
        }
        chosen.push(Chosen { all, azure });
    }
    Ok(chosen)
}

/// A flag for one cluster must not go to the users of several.
pub fn check_one_cluster(kubeconfigs: &[Kubeconfig], chosen: &[Chosen]) -> Result<(), Error> {
    let users = chosen.iter().flat_map(|chosen| &chosen.azure);
    let users: HashSet<&str> = users.map(|azure| azure.user.name).collect();
    if users.len() < 2 {
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

/// The user that a context names.
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
                    "Choose another context, or give this one a user with kubectl config set-context.",
                ));
            };
            for kubeconfig in kubeconfigs {
                if let Some(user) = kubeconfig.users()?.iter().find(|user| user.name == wanted) {
                    return Ok(user.name);
                }
            }
            return Err(kubeconfig
                .error_at_context(&context, format!("refers to user {wanted:?}, which does not exist"))
                .remedy("Correct the context's user, or fetch the credentials again with az aks get-credentials."));
        }
    }
    Err(no_context(name, names))
}

/// The error for a context that does not exist, with the names that are most like it.
pub fn no_context(name: &str, names: Vec<&str>) -> Error {
    let near = match names.is_empty() {
        true => "The kubeconfig has no contexts; kubelogin get-credentials adds one.".to_owned(),
        false => did_you_mean(&error::nearest(name, names)),
    };
    Error::input(format!("there is no context {name:?} in the kubeconfig")).remedy(near)
}

/// A user to convert, or why not to convert it.
///
/// # Errors
/// The user is ambiguous or malformed.
fn azure_user<'n, 't>(
    kubeconfig: &'n Kubeconfig<'t>,
    user: &User<'n, 't>,
) -> Result<Result<AzureUser<'n, 't>, Why>, Error> {
    let (credentials, left_behind) = match kubeconfig.credentials(user)? {
        Credentials::AuthProvider(provider) if provider.name == AZURE => {
            (AzureCredentials::AuthProvider(provider), None)
        }
        Credentials::AuthProvider(provider) => {
            return Ok(Err(Why::AuthProvider(provider.name.to_owned())));
        }
        Credentials::Exec(exec) => match why_not(kubeconfig, &exec)? {
            None => (AzureCredentials::Exec(exec), None),
            Some(why) => return Ok(Err(why)),
        },
        Credentials::Both(provider, exec) => {
            match (provider.name == AZURE, why_not(kubeconfig, &exec)?) {
                (true, None) => (AzureCredentials::Exec(exec), Some(provider)),
                (false, Some(why)) => return Ok(Err(why)),
                _ => return Err(kubeconfig.error_at_both(&provider)),
            }
        }
        Credentials::Others => return Ok(Err(Why::Others)),
    };
    Ok(Ok(AzureUser {
        user: *user,
        credentials,
        left_behind,
    }))
}

/// The name of kubectl's former built-in login.
const AZURE: &str = "azure";

/// Why an exec plugin is not converted; `None` for this kubelogin.
fn why_not<'n, 't>(
    kubeconfig: &'n Kubeconfig<'t>,
    exec: &Exec<'n, 't>,
) -> Result<Option<Why>, Error> {
    if !is_kubelogin(exec.command) {
        return Ok(Some(Why::Runs(exec.command.to_owned())));
    }
    let args = kubeconfig.args(exec)?;
    Ok(is_int128(args).then_some(Why::Int128))
}

/// The settings of kubectl's former built-in login, as flags.
pub fn config_values<'t>(
    kubeconfig: &Kubeconfig<'t>,
    provider: &AuthProvider<'_, 't>,
) -> Result<FlagValues, Error> {
    values_of(|key| kubeconfig.text_of(provider.config, key))
}

/// The same with any source of settings.
pub fn values_of<'s>(
    setting: impl Fn(&str) -> Result<Option<&'s str>, Error>,
) -> Result<FlagValues, Error> {
    const KEYS: &[(&str, Flag)] = &[
        ("environment", Flag::Environment),
        ("tenant-id", Flag::TenantId),
        ("client-id", Flag::ClientId),
        ("apiserver-id", Flag::ServerId),
    ];
    let mut values = FlagValues::new();
    for (key, flag) in KEYS {
        if let Some(value) = setting(key)? {
            values.set(*flag, value);
        }
    }
    if matches!(setting("config-mode")?, None | Some("" | "0")) {
        values.set(Flag::Legacy, "true");
    }
    Ok(values)
}
