//! A login: a mode with all it needs, able to run.

mod azd;
mod azurecli;
mod devicecode;
mod msi;
pub mod outside_state;
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
use outside_state::OutsideState;

/// A login mode with what it needs; no option that the mode requires is missing any more.
#[derive(Debug)]
pub enum Login {
    DeviceCode(Client),
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
            LoginMode::Spn => spn::new(options).map(Self::Spn),
            LoginMode::Msi => msi::new(options).map(Self::Msi),
            LoginMode::AzureCli => azurecli::new(options).map(Self::AzureCli),
            LoginMode::Azd => azd::new(options).map(Self::Azd),
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

    /// What a token of this login depends on besides the options: a token that came under another state is not served.
    #[allow(dead_code)] // the token cache comes next
    pub fn outside_state(&self) -> OutsideState {
        match self {
            Self::DeviceCode(_) | Self::Spn(_) | Self::Msi(_) => OutsideState::Nothing,
            Self::AzureCli(cli) => azurecli::outside_state(cli),
            Self::Azd(cli) => azd::outside_state(cli),
        }
    }
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
