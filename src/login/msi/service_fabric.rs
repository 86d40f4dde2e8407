//! Service Fabric: an endpoint with a self-signed certificate, known by its thumbprint.

use super::Identity;
use super::host::{self, Host, Selectors, Shape};
use crate::env::{self, Env};
use crate::error::Error;
use crate::system::Via;

/// Found by IDENTITY_ENDPOINT, IDENTITY_HEADER and IDENTITY_SERVER_THUMBPRINT.
pub fn detect(env: &Env) -> Result<Option<Host>, Error> {
    let variables = env
        .get(env::IDENTITY_ENDPOINT)
        .zip(env.get(env::IDENTITY_HEADER))
        .zip(env.get(env::IDENTITY_SERVER_THUMBPRINT));
    let Some(((endpoint, header), digits)) = variables else {
        return Ok(None);
    };
    let header = host::sensitive(header, env::IDENTITY_HEADER)?;
    Ok(Some(Host {
        name: "Service Fabric",
        endpoint: host::endpoint(env::IDENTITY_ENDPOINT, endpoint)?,
        shape: Shape::Query {
            api_version: "2019-07-01-preview",
        },
        headers: vec![
            ("secret", header),
            ("accept", http::HeaderValue::from_static("application/json")),
        ],
        selectors: Selectors {
            advice: "The application's manifest chooses the identity (https://aka.ms/servicefabricmi); leave out --client-id (AZURE_CLIENT_ID) and --identity-resource-id.",
            ..Selectors::default()
        },
        default_identity: Identity::System,
        send: host::send_via(Via::Pinned(thumbprint(digits)?)),
    }))
}

/// The bytes of a SHA-1 digest in hexadecimal, with or without colons.
fn thumbprint(text: &str) -> Result<[u8; 20], Error> {
    let mut digest = [0; 20];
    hex::decode_to_slice(text.replace(':', ""), &mut digest).map_err(|_| {
        let what = format!(
            "{} {text:?} is not a SHA-1 digest",
            env::IDENTITY_SERVER_THUMBPRINT
        );
        Error::input(what)
            .remedy("Service Fabric sets this variable to 40 hexadecimal digits; do not change it.")
    })?;
    Ok(digest)
}
