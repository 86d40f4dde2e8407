//! A login: a mode with all it needs, able to run.

mod azurepipelines;
mod devicecode;
mod interactive;
mod ropc;
mod spn;
mod workloadidentity;

use crate::entra::authority::{Authority, AuthorityHost, Version};
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
    Ropc { client: Client, user: ropc::User },
    WorkloadIdentity(Client),
    AzurePipelines(Client),
}

impl Login {
    /// Checks everything that can be checked without the network: options and files.
    pub fn new(options: &Options) -> Result<Self, Error> {
        match options.login {
            LoginMode::DeviceCode => devicecode::new(options).map(Self::DeviceCode),
            LoginMode::Interactive => Interactive::new(options).map(Self::Interactive),
            LoginMode::Spn => spn::new(options).map(Self::Spn),
            LoginMode::Ropc => ropc::new(options).map(|(client, user)| Self::Ropc { client, user }),
            LoginMode::WorkloadIdentity => {
                workloadidentity::new(options).map(Self::WorkloadIdentity)
            }
            LoginMode::AzurePipelines => azurepipelines::new(options).map(Self::AzurePipelines),
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
            Self::Ropc { client, user } => {
                of_client(key.with("mode", "ropc"), client).with("username", &user.name)
            }
            Self::WorkloadIdentity(client) => {
                of_client(key.with("mode", "workloadidentity"), client)
            }
            Self::AzurePipelines(client) => of_client(key.with("mode", "azurepipelines"), client),
        }
    }

    /// What must be the same as when a token was obtained, and must not be seen: secrets given now, state of others.
    pub fn fingerprint(&self) -> Fingerprint {
        match self {
            Self::DeviceCode(client)
            | Self::Spn(client)
            | Self::WorkloadIdentity(client)
            | Self::AzurePipelines(client) => Fingerprint::of(&client.auth.secrets()),
            Self::Ropc { user, .. } => Fingerprint::of(&[user.password.expose().as_bytes()]),
            Self::Interactive(_) => Fingerprint::of(&[]),
        }
    }

    /// The client that redeems refresh tokens; `None` for the modes that are given none.
    pub fn refreshing_client(&self) -> Option<&Client> {
        match self {
            Self::DeviceCode(client) | Self::Ropc { client, .. } => Some(client),
            Self::Interactive(interactive) => Some(interactive.client()),
            Self::Spn(_) | Self::WorkloadIdentity(_) | Self::AzurePipelines(_) => None,
        }
    }

    /// True if signing in takes a person's time.
    pub fn asks_a_person(&self) -> bool {
        match self {
            Self::DeviceCode(_) | Self::Interactive(_) => true,
            Self::Spn(_)
            | Self::Ropc { .. }
            | Self::WorkloadIdentity(_)
            | Self::AzurePipelines(_) => false,
        }
    }

    /// Signs in.
    pub fn acquire(
        &self,
        scope: &Scope,
        timeout: Timeout,
        system: &dyn System,
    ) -> Result<Token, Error> {
        let deadline = Deadline::after(system, timeout.duration);
        match self {
            Self::DeviceCode(client) => devicecode::acquire(client, scope, timeout, system),
            Self::Interactive(interactive) => interactive.acquire(scope, timeout, system),
            Self::Ropc { client, user } => ropc::acquire(client, user, scope, deadline, system),
            // These differ in how the application proves itself, which the client knows.
            Self::Spn(client) | Self::WorkloadIdentity(client) | Self::AzurePipelines(client) => {
                spn::acquire(client, scope, deadline, system)
            }
        }
    }
}

/// Adds what tells one client from another.
fn of_client(key: CacheKey, client: &Client) -> CacheKey {
    let version = match client.version {
        Version::V1 => "1",
        Version::V2 => "2",
    };
    key.with("authority", &client.authority.url())
        .with("version", version)
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
        version: options.version,
        client_id,
        auth,
    })
}
