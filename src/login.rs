//! A login: a mode with everything it needs, ready to run.
//!
//! Each value of `--login` has a file of its own, with all that is particular to it. A new mode takes a new file, its word
//! in [`LoginMode`], its line in [`new`] and its row in the conversion table; the compiler asks for each of them.

mod azd;
mod azurecli;
mod azurepipelines;
mod azurepowershell;
mod devicecode;
mod federated_token;
mod interactive;
mod msi;
mod outside_state;
mod program;
mod ropc;
mod spn;
mod workloadidentity;

use std::fmt;

use crate::entra::authority::{Authority, AuthorityHost, Version};
use crate::entra::{Client, ClientAuth};
use crate::env::Env;
use crate::error::Error;
use crate::flag::Flag;
use crate::login_mode::LoginMode;
use crate::options::Options;
use crate::system::System;
use crate::timeout::Timeout;
use crate::token::{Scope, Token};
use crate::token_cache::{CacheKey, Fingerprint};

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
    fn acquire(&self, scope: &Scope, timeout: Timeout, system: &dyn System)
    -> Result<Token, Error>;
}

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
    })
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

/// The application of a mode that talks to Entra ID itself: a public client until it is given a way to authenticate.
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
        Some(host) => host.clone(),
        None => AuthorityHost::of_cloud(options.cloud, options.stack_file.as_deref())?,
    };
    if !client_id
        .chars()
        .all(|c| c.is_ascii_graphic() && !matches!(c, '"' | '\'' | '\\' | '<' | '>'))
    {
        return Err(
            Error::input(format!("client ID {client_id:?} is not valid"))
                .remedy("Set --client-id (or AZURE_CLIENT_ID) to the application's GUID."),
        );
    }
    Ok(Client {
        authority: Authority::new(host, &tenant_id)?,
        version: options.version,
        client_id,
        auth: ClientAuth::Public,
    })
}

/// The tests of all modes use these builders.
#[cfg(test)]
mod tests {
    use super::*;
    use crate::flag::FlagValues;

    /// The flags that say which application signs in.
    pub const CLIENT: [(Flag, &str); 2] = [(Flag::ClientId, "app"), (Flag::TenantId, "ten")];

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
        let different = [
            &[][..],
            &[(Flag::Login, "devicecode")],
            &[(Flag::ServerId, "srv2")],
            &[(Flag::ClientId, "app2")],
            &[(Flag::TenantId, "ten2")],
            &[(Flag::Environment, "AzureChinaCloud")],
            &[(Flag::AuthorityHost, "https://login.example/")],
            &[(Flag::AuthorityHost, "https://login.example/path/")],
        ];
        for (number, one) in different.iter().enumerate() {
            let first = different.iter().position(|other| key(other) == key(one));
            assert_eq!(first, Some(number), "{one:?}");
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
