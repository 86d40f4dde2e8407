//! A login: a mode with all it needs, able to run.

mod azd;
mod azurecli;
mod devicecode;
mod interactive;
mod msi;
mod outside_state;
mod program;
mod spn;

use crate::entra::authority::{Authority, AuthorityHost};
use crate::entra::{Client, ClientAuth};
use crate::error::Error;
use crate::flag::Flag;
use crate::login_mode::LoginMode;
use crate::options::{Options, Timeout, missing};
use crate::retry::Deadline;
use crate::system::System;
use crate::token::{Scope, Token};
use crate::token_cache::{CacheKey, Fingerprint};
use interactive::Interactive;

/// A login mode with what it needs; no option that the mode requires is missing any more.
#[derive(Debug)]
pub enum Login {
    DeviceCode(Client),
    Interactive(Interactive),
    Spn(Client),
    Msi(msi::ManagedIdentity),
    AzureCli(azurecli::AzureCli),
    Azd(azd::Azd),
}

impl Login {
    /// Checks everything that can be checked without the network: options and files.
    pub fn new(options: &Options) -> Result<Self, Error> {
        match options.login {
            LoginMode::DeviceCode => devicecode::new(options).map(Self::DeviceCode),
            LoginMode::Interactive => Interactive::new(options).map(Self::Interactive),
            LoginMode::Spn => spn::new(options).map(Self::Spn),
            LoginMode::Msi => msi::new(options).map(Self::Msi),
            LoginMode::AzureCli => azurecli::new(options).map(Self::AzureCli),
            LoginMode::Azd => azd::new(options).map(Self::Azd),
        }
    }

    /// Whose token this is: every option that could bring a different one.
    pub fn cache_key(&self, scope: &Scope) -> CacheKey {
        let key = CacheKey::new(scope);
        match self {
            Self::DeviceCode(client) => of_client(key.with("mode", "devicecode"), client),
            Self::Interactive(interactive) => {
                of_client(key.with("mode", "interactive"), interactive.client())
                    .with("login hint", interactive.login_hint().unwrap_or_default())
            }
            Self::Spn(client) => of_client(key.with("mode", "spn"), client),
            Self::Msi(identity) => msi::cache_key(identity, key),
            Self::AzureCli(cli) => azurecli::cache_key(cli, key),
            Self::Azd(cli) => azd::cache_key(cli, key),
        }
    }

    /// What must be the same as when a token was obtained, and must not be seen: secrets given now, state of others.
    /// `None` if that state cannot be seen: no token may be kept then.
    pub fn fingerprint(&self) -> Option<Fingerprint> {
        match self {
            Self::DeviceCode(client) | Self::Spn(client) => {
                Some(Fingerprint::of(&client.auth.secrets()))
            }
            Self::Interactive(_) => Some(Fingerprint::of(&[])),
            Self::Msi(_) => msi::fingerprint(),
            Self::AzureCli(cli) => azurecli::fingerprint(cli),
            Self::Azd(cli) => azd::fingerprint(cli),
        }
    }

    /// The client that redeems refresh tokens; `None` for the modes that are given none.
    pub fn refreshing_client(&self) -> Option<&Client> {
        match self {
            Self::DeviceCode(client) => Some(client),
            Self::Interactive(interactive) => Some(interactive.client()),
            Self::Spn(_) | Self::Msi(_) | Self::AzureCli(_) | Self::Azd(_) => None,
        }
    }

    /// True if signing in takes a person's time.
    pub fn asks_a_person(&self) -> bool {
        match self {
            Self::DeviceCode(_) | Self::Interactive(_) => true,
            Self::Spn(_) | Self::Msi(_) | Self::AzureCli(_) | Self::Azd(_) => false,
        }
    }

    /// Signs in.
    pub fn acquire(
        &self,
        scope: &Scope,
        timeout: Timeout,
        system: &dyn System,
    ) -> Result<Token, Error> {
        match self {
            Self::DeviceCode(client) => devicecode::acquire(client, scope, timeout, system),
            Self::Interactive(interactive) => interactive.acquire(scope, timeout, system),
            Self::Spn(client) => {
                let deadline = Deadline::after(system, timeout.duration);
                spn::acquire(client, scope, deadline, system)
            }
            Self::Msi(identity) => {
                let deadline = Deadline::after(system, timeout.duration);
                msi::acquire(identity, scope, deadline, system)
            }
            Self::AzureCli(cli) => azurecli::acquire(cli, scope, timeout, system),
            Self::Azd(cli) => azd::acquire(cli, scope, timeout, system),
        }
    }
}

/// Adds what tells one client from another.
fn of_client(key: CacheKey, client: &Client) -> CacheKey {
    key.with("authority", &client.authority.url())
        .with("client", &client.client_id)
}

/// The client of the modes that go to Entra themselves.
fn client(options: &Options, auth: ClientAuth) -> Result<Client, Error> {
    let required =
        |value: &Option<String>, flag| value.clone().ok_or_else(|| missing(flag, options.login));
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
                .remedy("Give --client-id (or AZURE_CLIENT_ID) the application's GUID."),
        );
    }
    Ok(Client {
        authority: Authority::new(host, &tenant_id)?,
        client_id,
        auth,
    })
}
