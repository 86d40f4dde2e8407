//! App Service, Functions and Container Apps.

use super::Identity;
use super::host::{self, Host, Selectors, Shape};
use crate::env::{self, Env};
use crate::error::Error;
use crate::system::Via;

/// Found by IDENTITY_ENDPOINT and IDENTITY_HEADER.
pub fn detect(env: &Env) -> Result<Option<Host>, Error> {
    let variables = env
        .get(env::IDENTITY_ENDPOINT)
        .zip(env.get(env::IDENTITY_HEADER));
    let Some((endpoint, header)) = variables else {
        return Ok(None);
    };
    let header = host::sensitive(header, env::IDENTITY_HEADER)?;
    Ok(Some(Host {
        name: "App Service",
        endpoint: host::endpoint(env::IDENTITY_ENDPOINT, endpoint)?,
        shape: Shape::Query {
            api_version: "2019-08-01",
        },
        headers: vec![("x-identity-header", header)],
        selectors: Selectors {
            client_id: Some("client_id"),
            resource_id: Some("mi_res_id"),
            ..Selectors::default()
        },
        default_identity: Identity::System,
        send: host::send_via(Via::Direct),
    }))
}
