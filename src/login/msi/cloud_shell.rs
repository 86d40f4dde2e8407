//! Azure Cloud Shell.

use super::Identity;
use super::host::{self, Host, Selectors, Shape};
use crate::env::{self, Env};
use crate::error::Error;
use crate::system::Via;

/// Found by MSI_ENDPOINT.
pub fn detect(env: &Env) -> Result<Option<Host>, Error> {
    let Some(endpoint) = env.get(env::MSI_ENDPOINT) else {
        return Ok(None);
    };
    Ok(Some(Host {
        name: "Cloud Shell",
        endpoint: host::endpoint(env::MSI_ENDPOINT, endpoint)?,
        shape: Shape::Form,
        headers: vec![host::metadata()],
        selectors: Selectors {
            advice: super::ONE_IDENTITY,
            ..Selectors::default()
        },
        default_identity: Identity::System,
        send: host::send_via(Via::Direct),
    }))
}
