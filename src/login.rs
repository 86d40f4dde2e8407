//! A login: a mode with everything it needs to run.
//!
//! Each value of `--login` has its own file with everything specific to it. A new mode needs a new file, a word in
//! [`LoginMode`], a line in [`new`] and a row in the conversion table; the compiler asks for each of them.

mod account;
pub mod auto;
mod azd;
mod azurecli;
mod azurepipelines;
mod azurepowershell;
mod devicecode;
pub mod federated_token;
mod interactive;
mod msi;
mod outside_state;
mod program;
mod ropc;
mod spn;
mod workloadidentity;

#[cfg(test)]
pub use interactive::read_redirect;

use std::fmt;
use std::time::Duration;

use crate::entra::authority::{Authority, AuthorityHost, Version};
use crate::entra::{Client, ClientAuth, check_client_id};
use crate::env::{self, Env};
use crate::error::Error;
use crate::exec_credential::ExecInfo;
use crate::flag::Flag;
use crate::login_mode::LoginMode;
use crate::options::Options;
use crate::system::System;
use crate::timeout::Timeout;
use crate::token::{Scope, Token};
use crate::token_cache::{CacheKey, Fingerprint};
use crate::variables::is_client_of_people;
pub use outside_state::SignedIn;
pub use program::Standing;

/// A login mode with everything it needs: no required option is missing.
pub trait Login: fmt::Debug {
    /// Adds every value that could lead to a different token.
    fn identify(&self, key: CacheKey) -> CacheKey;

    /// What must be unchanged for a cached token to be used, and must not be readable: the secrets in use, the state of
    /// another program. `None` if it cannot be determined; then tokens are not cached.
    fn fingerprint(&self) -> Option<Fingerprint> {
        Some(Fingerprint::of(&[]))
    }

    /// The client that redeems refresh tokens, if the mode gets any.
    fn refreshing_client(&self) -> Option<&Client> {
        None
    }

    /// True if signing in needs a person.
    fn asks_a_person(&self) -> bool {
        false
    }

    /// Signs in. `timeout` limits the network and programs, and the wait for a person only if the user set it.
    /// `hand_on` is called with the prompt, for other processes that wait for this sign-in.
    fn acquire(
        &self,
        scope: &Scope,
        timeout: Timeout,
        system: &dyn System,
        hand_on: HandOn,
    ) -> Result<Token, Error>;
}

/// Receives the prompt of a sign-in and how long it is valid.
pub type HandOn<'a> = &'a dyn Fn(&str, Duration);

/// The login that the options ask for. Checks everything that needs no network: options and files.
pub fn new(options: &Options, env: &Env) -> Result<Box<dyn Login>, Error> {
    Ok(match options.login {
        LoginMode::DeviceCode => Box::new(devicecode::DeviceCode::new(options, env)?),
        LoginMode::Interactive => Box::new(interactive::Interactive::new(options, env)?),
        LoginMode::Spn => Box::new(spn::ServicePrincipal::new(options, env)?),
        LoginMode::Ropc => Box::new(ropc::Ropc::new(options, env)?),
        LoginMode::Msi => Box::new(msi::ManagedIdentity::new(options, env)?),
        LoginMode::AzureCli => Box::new(azurecli::AzureCli::new(options, env)?),
        LoginMode::Azd => Box::new(azd::Azd::new(options, env)?),
        LoginMode::AzurePowerShell => {
            Box::new(azurepowershell::AzurePowerShell::new(options, env)?)
        }
        LoginMode::WorkloadIdentity => Box::new(workloadidentity::new(options, env)?),
        LoginMode::AzurePipelines => Box::new(azurepipelines::new(options, env)?),
        LoginMode::Auto => return new(&auto::resolve(options.typed(), env)?.options, env),
    })
}

/// The account that a login mode's program is signed in as, according to its files; `None` for a mode that runs no
/// program.
pub fn standing(mode: LoginMode, env: &Env, tenant: Option<&str>) -> Option<Standing> {
    match mode {
        LoginMode::AzureCli => Some(azurecli::standing(env, tenant)),
        LoginMode::AzurePowerShell => Some(azurepowershell::standing(env, tenant)),
        LoginMode::Azd => Some(azd::standing(env)),
        LoginMode::DeviceCode
        | LoginMode::Interactive
        | LoginMode::Spn
        | LoginMode::Ropc
        | LoginMode::Msi
        | LoginMode::WorkloadIdentity
        | LoginMode::AzurePipelines
        | LoginMode::Auto => None,
    }
}

/// The key of the token cache's note that a user signed in to a server, in any mode and tenant.
pub fn person_key(scope: &Scope) -> CacheKey {
    CacheKey::new("person", scope)
}

/// The cache key of a login: two that could get different tokens have different keys.
pub fn cache_key(mode: LoginMode, login: &dyn Login, scope: &Scope) -> CacheKey {
    login.identify(CacheKey::new(&mode.to_string(), scope))
}

impl Client {
    /// Adds what distinguishes one client from another.
    fn identify(&self, key: CacheKey) -> CacheKey {
        let version = match self.version {
            Version::V1 => "1",
            Version::V2 => "2",
        };
        key.with("authority", &self.authority.url())
            .with("version", version)
            .with("client", &self.client_id)
    }
}

/// The application of a mode that talks to Entra ID directly: a public client, unless credentials are added.
fn client(options: &Options) -> Result<Client, Error> {
    client_or(options, Options::missing)
}

/// The same, with the mode's own error for what is missing.
fn client_or(options: &Options, missing: fn(&Options, Flag) -> Error) -> Result<Client, Error> {
    let required =
        |value: &Option<String>, flag| value.clone().ok_or_else(|| missing(options, flag));
    let client_id = required(&options.client_id, Flag::ClientId)?;
    let tenant_id = required(&options.tenant_id, Flag::TenantId)?;
    let host = match &options.authority_host {
        Some(host) if host.is_of_microsoft() || options.is_on(Flag::DisableInstanceDiscovery) => {
            host.clone()
        }
        Some(_) => return Err(foreign_host(options)),
        None => AuthorityHost::of_cloud(options.cloud, options.stack_file.as_deref())?,
    };
    check_client_id(&client_id)?;
    Ok(Client {
        authority: Authority::new(host, &tenant_id)?,
        version: options.version,
        client_id,
        auth: ClientAuth::Public,
        token_proxy: None,
    })
}

/// The client of a mode in which the application itself signs in, by a secret or a federated token.
///
/// # Errors
/// The client is one that people sign in with, as kubeconfigs have it, and has no credentials: nothing is sent.
fn confidential_client(
    options: &Options,
    missing: fn(&Options, Flag) -> Error,
) -> Result<Client, Error> {
    let client = client_or(options, missing)?;
    if is_client_of_people(&client.client_id) {
        let what = format!(
            "--client-id {} is a public client of Microsoft's, which cannot sign in with --login {}",
            client.client_id, options.login
        );
        return Err(Error::input(what)
            .remedy("Set AZURE_CLIENT_ID (or --client-id) to the ID of your own application."));
    }
    Ok(client)
}

/// What the user signs in to, for a prompt: the tenant, and the cluster if the client that runs us names it. Read only
/// when a prompt is shown, because most calls show none.
#[derive(Debug)]
struct Destination {
    tenant: String,
    exec_info: Option<String>,
}

impl Destination {
    fn new(client: &Client, env: &Env) -> Self {
        Self {
            tenant: client.authority.tenant().to_owned(),
            exec_info: env.get(env::KUBERNETES_EXEC_INFO).map(str::to_owned),
        }
    }
}

impl fmt::Display for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "tenant {}", self.tenant)?;
        let cluster = self.exec_info.as_deref().and_then(ExecInfo::cluster_host);
        cluster.map_or(Ok(()), |cluster| write!(f, ", cluster {cluster}"))
    }
}

/// The error for an authority host that is not Microsoft's: the author of the kubeconfig or of a variable could have
/// this machine's secrets sent to their own host. Azure/kubelogin asks Microsoft about such a host, unless the same
/// flag is given.
fn foreign_host(options: &Options) -> Error {
    let host = options.text(Flag::AuthorityHost).unwrap_or_default();
    let what =
        format!("authority host {host:?} is not a Microsoft host, so nothing was sent to it");
    Error::input(what).remedy(
        "If you trust it with your credentials, add --disable-instance-discovery; otherwise check --authority-host (or AZURE_AUTHORITY_HOST).",
    )
}

/// The tests of all modes use these builders.
#[cfg(test)]
mod tests {
    use super::*;
    use crate::flag::FlagValues;
    use crate::variables::{AKS_CLIENT, AZ_CLIENT};

    /// The flags that say which application signs in.
    pub const CLIENT: [(Flag, &str); 2] = [(Flag::ClientId, "app"), (Flag::TenantId, "ten")];

    /// Nobody waits for the prompt.
    pub const NOBODY_WAITS: HandOn = &|_, _| {};

    /// Allows an authority host that is not Microsoft's.
    pub const TRUSTED: (Flag, &str) = (Flag::DisableInstanceDiscovery, "true");

    /// The options of `--login mode --server-id srv` with these flags and variables; the last of two flags counts.
    pub fn options(mode: &str, flags: &[(Flag, &str)], env: &[(&str, &str)]) -> Options {
        let mut typed = FlagValues::new();
        let basic = [(Flag::Login, mode), (Flag::ServerId, "srv")];
        for (flag, value) in basic.iter().chain(flags) {
            typed.set(*flag, *value);
        }
        Options::resolve(&typed, &Env::of(env)).expect("options").0
    }

    fn key(given: &[(Flag, &str)]) -> CacheKey {
        let secret = [(Flag::ClientSecret, "secret")];
        let options = options("spn", &[&CLIENT[..], &secret, given].concat(), &[]);
        let scope = Scope::of_server(&options.server_id);
        let login = new(&options, &Env::default()).expect("login");
        cache_key(options.login, &*login, &scope)
    }

    #[test]
    fn logins_that_could_get_different_tokens_have_different_keys() {
        let elsewhere = (Flag::AuthorityHost, "https://login.example/");
        let different = [
            &[][..],
            &[(Flag::Login, "devicecode")],
            &[(Flag::ServerId, "srv2")],
            &[(Flag::ClientId, "app2")],
            &[(Flag::TenantId, "ten2")],
            &[(Flag::Environment, "AzureChinaCloud")],
            &[elsewhere, TRUSTED],
            &[
                (Flag::AuthorityHost, "https://login.example/path/"),
                TRUSTED,
            ],
            &[
                (Flag::AuthorityHost, "https://login.example/PATH/"),
                TRUSTED,
            ],
        ];
        for (number, one) in different.iter().enumerate() {
            let first = different.iter().position(|other| key(other) == key(one));
            assert_eq!(first, Some(number), "{one:?}");
        }
    }

    #[test]
    fn a_host_that_is_not_microsoft_s_needs_a_flag_in_every_mode_that_sends_secrets_there() {
        let secrets = [
            (Flag::ClientSecret, "s"),
            (Flag::Username, "u"),
            (Flag::Password, "p"),
            (Flag::FederatedTokenFile, "/token"),
            (Flag::AzurePipelinesServiceConnectionId, "c"),
            (Flag::AuthorityHost, "https://evil.example/"),
        ];
        let env = Env::of(&[
            (env::SYSTEM_ACCESSTOKEN, "t"),
            (env::SYSTEM_OIDCREQUESTURI, "https://ci.example/"),
        ]);
        for mode in LoginMode::all() {
            let is_entra_s = mode.source() == crate::login_mode::Source::Entra;
            let given = [&CLIENT[..], &secrets].concat();
            let login = |flags: &[(Flag, &str)]| {
                new(&options(&mode.to_string(), flags, &[]), &env).map(|_| ())
            };
            let refused = login(&given).err().map(|error| error.to_string());
            assert_eq!(refused.is_some(), is_entra_s, "{mode}: {refused:?}");
            let says = "authority host \"https://evil.example/\" is not a Microsoft host";
            assert!(refused.is_none_or(
                |error| error.contains(says) && error.contains("--disable-instance-discovery")
            ));
            assert_eq!(login(&[&given[..], &[TRUSTED]].concat()), Ok(()), "{mode}");
        }
    }

    #[test]
    fn a_client_of_people_is_refused_where_an_application_signs_in_and_nothing_is_sent() {
        let given = |client_id| {
            [
                (Flag::ClientId, client_id),
                (Flag::TenantId, "ten"),
                (Flag::ClientSecret, "s"),
                (Flag::FederatedTokenFile, "/token"),
                (Flag::AzurePipelinesServiceConnectionId, "c"),
            ]
        };
        for client_id in [AKS_CLIENT, AZ_CLIENT] {
            let login = |mode| new(&options(mode, &given(client_id), &[]), &Env::default());
            for mode in ["spn", "workloadidentity", "azurepipelines"] {
                let error = login(mode).map(|_| ()).expect_err(mode).to_string();
                let what = format!("--client-id {client_id} is a public client");
                assert!(
                    error.contains(&what) && error.contains("AZURE_CLIENT_ID"),
                    "{error}"
                );
            }
            assert!(login("devicecode").is_ok());
        }
    }

    #[test]
    fn a_login_hint_is_part_of_the_key_in_each_mode_that_takes_one() {
        for mode in ["devicecode", "interactive"] {
            let key = |hint: &str| {
                let flags = [&CLIENT[..], &[(Flag::LoginHint, hint)]].concat();
                let options = options(mode, &flags, &[]);
                let login = new(&options, &Env::default()).expect("login");
                cache_key(options.login, &*login, &Scope::of_server("srv"))
            };
            assert_ne!(key("alice@x"), key("bob@x"), "{mode}");
            assert_ne!(key("alice@x"), key(""), "{mode}");
        }
    }

    #[test]
    fn the_same_login_has_the_same_key_however_it_is_written() {
        for same in [
            (Flag::ServerId, "srv/.default"),
            (Flag::TenantId, "TEN"),
            (Flag::Environment, "AzureCloud"),
            (Flag::AuthorityHost, "https://LOGIN.microsoftonline.com/"),
            (Flag::ClientSecret, "another"),
            (Flag::Timeout, "7s"),
        ] {
            assert_eq!(key(&[same]), key(&[]), "{same:?}");
        }
    }
}
