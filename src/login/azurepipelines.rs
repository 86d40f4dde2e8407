//! `--login azurepipelines`: the application behind a service connection of Azure Pipelines, which gives the job a
//! federated token.

use crate::entra::federated_token::{Endpoint, Source};
use crate::entra::{Client, ClientAuth};
use crate::env;
use crate::error::Error;
use crate::flag::Flag;
use crate::options::{Options, missing};

pub fn new(options: &Options) -> Result<Client, Error> {
    // Client and tenant are asked for first, as in the original.
    let client = super::client(options, ClientAuth::Public)?;
    let service_connection_id = options.service_connection_id.clone();
    let service_connection_id = service_connection_id
        .ok_or_else(|| missing(Flag::AzurePipelinesServiceConnectionId, options.login))?;
    let pipelines = &options.azure_pipelines;
    let bearer = pipelines.bearer.as_ref().ok_or_else(|| {
        Error::input(format!("{} is not set", env::SYSTEM_ACCESSTOKEN)).remedy(
            "Azure Pipelines keeps it from a step unless it is mapped: env: SYSTEM_ACCESSTOKEN: $(System.AccessToken)",
        )
    })?;
    let url = pipelines.url.as_ref().ok_or_else(|| {
        Error::input(format!("{} is not set", env::SYSTEM_OIDCREQUESTURI)).remedy(
            "Azure Pipelines sets it in every job: this login mode works there only, and in a container only if it is handed on.",
        )
    })?;
    Ok(Client {
        auth: ClientAuth::Federated(Source::AzurePipelines {
            endpoint: Endpoint::parse(env::SYSTEM_OIDCREQUESTURI, url, bearer)?,
            service_connection_id,
        }),
        ..client
    })
}
