//! `--login msi`: a managed identity of the machine or service that kubelogin runs on.
//!
//! Each service that hosts managed identities has its own file with everything specific to it.

mod answer;
mod app_service;
mod arc;
mod azure_ml;
mod cloud_shell;
mod host;
mod imds;
mod service_fabric;
#[cfg(test)]
mod tests;

use super::outside_state::OutsideState;
use crate::env::Env;
use crate::error::Error;
use crate::flag::Flag;
use crate::login::{HandOn, Login};
use crate::options::Options;
use crate::retry::Deadline;
use crate::system::System;
use crate::timeout::Timeout;
use crate::token::{Scope, Token};
use crate::token_cache::{CacheKey, Fingerprint};
use host::Host;

/// Finds a host by its variables and files.
type Detect = fn(&Env) -> Result<Option<Host>, Error>;

/// What finds each host, in the original's order. Without any of them, it is the machine itself ([`imds`]).
const HOSTS: &[Detect] = &[
    service_fabric::detect,
    app_service::detect,
    azure_ml::detect,
    cloud_shell::detect,
    arc::detect,
];

/// The advice of a host that has one identity only.
const ONE_IDENTITY: &str =
    "It has only one identity; leave out --client-id (AZURE_CLIENT_ID) and --identity-resource-id.";

/// True if Azure Arc's agent is installed on this machine.
pub fn has_arc_agent(env: &Env) -> bool {
    arc::is_installed(env)
}

/// A managed identity at its host.
#[derive(Debug)]
pub struct ManagedIdentity {
    host: Host,
    identity: Identity,
    /// True if a resource ID was given and the client ID takes precedence.
    ignores_resource_id: bool,
}

/// One of the identities that are assigned to a machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Identity {
    /// The system-assigned identity.
    System,
    /// A user-assigned one, by its client ID.
    ClientId(String),
    /// A user-assigned one, by its resource ID.
    ResourceId(String),
}

impl ManagedIdentity {
    /// The client ID takes precedence over the resource ID, as in the original.
    pub fn new(options: &Options, env: &Env) -> Result<Self, Error> {
        let host = find_host(env)?;
        let resource_id = options.text(Flag::IdentityResourceId);
        check_kinds(options.client_id.as_deref(), resource_id)?;
        let identity = match (&options.client_id, resource_id) {
            (Some(id), _) => Identity::ClientId(id.clone()),
            (None, Some(id)) => Identity::ResourceId(id.to_owned()),
            (None, None) => host.default_identity.clone(),
        };
        host.check(&identity)?;
        Ok(Self {
            host,
            identity,
            ignores_resource_id: options.client_id.is_some() && resource_id.is_some(),
        })
    }
}

/// An ID of the other kind is refused, naming the flag it belongs to: a host would only say that there is no such
/// identity.
fn check_kinds(client_id: Option<&str>, resource_id: Option<&str>) -> Result<(), Error> {
    let is_resource = |id: &str| id.to_ascii_lowercase().starts_with("/subscriptions/");
    if let Some(id) = client_id.filter(|id| is_resource(id)) {
        return Err(
            Error::input(format!("--client-id {id:?} is a resource ID")).remedy(
                "Pass it as --identity-resource-id, and leave out --client-id (AZURE_CLIENT_ID).",
            ),
        );
    }
    if let Some(id) = resource_id.filter(|id| !id.starts_with('/')) {
        return Err(Error::input(format!(
            "--identity-resource-id {id:?} is not a resource ID"
        ))
        .remedy("Pass a client ID as --client-id; a resource ID begins with /subscriptions/."));
    }
    Ok(())
}

fn find_host(env: &Env) -> Result<Host, Error> {
    for detect in HOSTS {
        if let Some(host) = detect(env)? {
            return Ok(host);
        }
    }
    imds::host()
}

impl Login for ManagedIdentity {
    fn identify(&self, key: CacheKey) -> CacheKey {
        let Host { name, endpoint, .. } = &self.host;
        let key = key.with("host", &format!("{name} {endpoint}"));
        match &self.identity {
            Identity::System => key,
            Identity::ClientId(id) => key.with("client", id),
            Identity::ResourceId(id) => key.with("resource", id),
        }
    }

    /// The machine and the app on it: each has its own identity, and their endpoints look alike.
    fn fingerprint(&self) -> Option<Fingerprint> {
        let mut place = OutsideState::default();
        place.add_machine().ok()?;
        for (_, secret) in self
            .host
            .headers
            .iter()
            .filter(|(_, value)| value.is_sensitive())
        {
            place.add(secret.as_bytes());
        }
        Some(place.fingerprint())
    }

    fn acquire(
        &self,
        scope: &Scope,
        timeout: Timeout,
        system: &dyn System,
        _: HandOn,
    ) -> Result<Token, Error> {
        let Self { host, identity, .. } = self;
        let deadline = Deadline::after(system, timeout.duration);
        if self.ignores_resource_id {
            system.notice("ignoring --identity-resource-id: --client-id (or AZURE_CLIENT_ID) already names the identity");
        }
        let request = host.request(scope.resource(), identity)?;
        let now = system.now();
        let answer = (host.send)(system, request, deadline);
        let answer = answer.map_err(|error| error.context(host.name))?;
        answer::read(host.name, identity, &answer, now)
    }
}
