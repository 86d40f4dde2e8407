//! Which users are converted: the Azure users among those that kubectl can see, or the user of one context.

use std::collections::HashSet;

use super::report::Report;
use crate::error::Error;
use crate::flag::{Flag, FlagValues};
use crate::kubeconfig::{AuthProvider, Credentials, Exec, Kubeconfig, User};

/// The users of one file that count.
pub struct Chosen<'n, 't> {
    pub all: Vec<User<'n, 't>>,
    pub azure: Vec<AzureUser<'n, 't>>,
}

/// A user that is to be converted.
pub struct AzureUser<'n, 't> {
    pub user: User<'n, 't>,
    pub credentials: AzureCredentials<'n, 't>,
}

pub enum AzureCredentials<'n, 't> {
    /// The login that kubectl had built in.
    AuthProvider(AuthProvider<'n, 't>),
    /// kubelogin.
    Exec(Exec<'n, 't>),
}

impl AzureUser<'_, '_> {
    /// True if what is converted is written in brackets, as JSON is.
    pub fn is_flow(&self) -> bool {
        match &self.credentials {
            AzureCredentials::AuthProvider(_) => self.user.is_flow(),
            AzureCredentials::Exec(exec) => exec.is_flow(),
        }
    }
}

/// The users of each kubeconfig: all that kubectl can see, or the one of `context`. Reports those that stay as they are.
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
            match azure_credentials(kubeconfig, user)? {
                Ok(credentials) => azure.push(AzureUser {
                    user: *user,
                    credentials,
                }),
                Err(why) => report.keep(user.name, &why),
            }
        }
        chosen.push(Chosen { all, azure });
    }
    Ok(chosen)
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
    Err(
        Error::input(format!("no context exists with the name: {name:?}"))
            .remedy(nearest(name, names)),
    )
}

/// The names that are most like `name`.
pub fn nearest(name: &str, names: Vec<&str>) -> String {
    if names.is_empty() {
        return "The kubeconfig has no contexts; kubelogin get-credentials adds one.".into();
    }
    let names = crate::error::nearest(name, names);
    format!("Did you mean one of these: {}?", names.join(", "))
}

/// How an Azure user signs in, or why the user is not one that we convert.
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

/// True for kubelogin by its own name, in whatever folder; a wrapper or a folder of that name is something else.
pub fn is_kubelogin(command: &str) -> bool {
    let name = command.rsplit(['/', '\\']).next().unwrap_or_default();
    name.eq_ignore_ascii_case("kubelogin") || name.eq_ignore_ascii_case("kubelogin.exe")
}

/// The settings of the login that kubectl had built in, as flags.
pub fn config_values<'t>(
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
