//! Azure Machine Learning.

use super::Identity;
use super::host::{self, Host, Selectors, Shape};
use crate::env::{self, Env};
use crate::error::Error;
use crate::system::Via;

/// Found by MSI_ENDPOINT and MSI_SECRET.
pub fn detect(env: &Env) -> Result<Option<Host>, Error> {
    let variables = env.get(env::MSI_ENDPOINT).zip(env.get(env::MSI_SECRET));
    let Some((endpoint, secret)) = variables else {
        return Ok(None);
    };
    let secret = host::sensitive(secret, env::MSI_SECRET)?;
    let default_client_id = env.get(env::DEFAULT_IDENTITY_CLIENT_ID);
    Ok(Some(Host {
        name: "Azure Machine Learning",
        endpoint: host::endpoint(env::MSI_ENDPOINT, endpoint)?,
        shape: Shape::Query {
            api_version: "2017-09-01",
        },
        headers: vec![("secret", secret)],
        selectors: Selectors {
            client_id: Some("clientid"),
            is_always_sent: true,
            advice: "Use the identity's --client-id instead of --identity-resource-id.",
            ..Selectors::default()
        },
        default_identity: default_client_id
            .map_or(Identity::System, |id| Identity::ClientId(id.into())),
        send: host::send_via(Via::Direct),
    }))
}
