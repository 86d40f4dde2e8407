//! Fetching kubeconfigs.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::Method;
use serde::Deserialize;

use super::refusal::Asked;
use super::{Answer, Arm, CLUSTERS_VERSION, Failure, Kind, ResourceId};
use crate::error::Error;
use crate::secret::Secret;
use crate::system::{HttpRequest, HttpResponse};

/// The versions of the other APIs.
const NAMESPACES_VERSION: &str = "2026-06-01";
const FLEETS_VERSION: &str = "2026-06-01";
/// The first versions with these parameters.
const FORMAT_SINCE: &str = "2022-01-01";
const SERVER_FQDN_SINCE: &str = "2021-05-01";

/// Who a kubeconfig is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    User,
    /// Anyone who has the file: a client certificate with full rights.
    Admin,
}

/// How a kubeconfig signs in if the cluster has Entra integration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    Exec,
    /// kubectl's built-in login, removed in 1.26.
    Azure,
}

/// Which of a cluster's kubeconfigs to fetch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wanted {
    pub access: Access,
    /// With a private cluster's public name.
    pub public_fqdn: bool,
    pub format: Format,
}

#[derive(Deserialize)]
struct Kubeconfigs {
    kubeconfigs: Option<Vec<Kubeconfig>>,
}

#[derive(Deserialize)]
struct Kubeconfig {
    value: Option<Secret>,
}

impl Arm<'_> {
    /// Fetches the kubeconfigs of clusters, and passes each to `receive` with its cluster's number as soon as it arrives. If
    /// a cloud does not know the API version yet, repeats the request with the newest version that it does know.
    pub fn kubeconfigs(
        &self,
        ids: &[&ResourceId],
        wanted: Wanted,
        receive: &mut dyn FnMut(usize, Result<Secret, Failure>),
    ) {
        let requests: Vec<_> = ids
            .iter()
            .map(|id| self.kubeconfig_request(id, wanted, version(&id.kind)))
            .collect();
        let mut outdated = Vec::new();
        self.send_all(&requests, &mut |number, answer| {
            let known = answer.as_ref().err().and_then(|failure| {
                let version = failure.refusal()?.known_version()?;
                (version != version_of(&requests[number])).then(|| version.to_owned())
            });
            match known {
                Some(version) => outdated.push((number, version)),
                None => receive(number, self.kubeconfig(answer)),
            }
        });
        let again: Vec<_> = outdated
            .iter()
            .map(|(number, version)| self.kubeconfig_request(ids[*number], wanted, version))
            .collect();
        self.send_all(&again, &mut |at, answer| {
            receive(outdated[at].0, self.kubeconfig(answer));
        });
    }

    fn kubeconfig_request(&self, id: &ResourceId, wanted: Wanted, version: &str) -> HttpRequest {
        let action = match (&id.kind, wanted.access) {
            (Kind::Namespace(_), _) => "listCredential",
            (Kind::FleetHub, _) => "listCredentials",
            (Kind::Cluster, Access::User) => "listClusterUserCredential",
            (Kind::Cluster, Access::Admin) => "listClusterAdminCredential",
        };
        let mut query = vec![("api-version", version)];
        if id.kind == Kind::Cluster {
            if wanted.public_fqdn && version >= SERVER_FQDN_SINCE {
                query.push(("server-fqdn", "public"));
            }
            if wanted.access == Access::User && version >= FORMAT_SINCE {
                let format = match wanted.format {
                    Format::Exec => "exec",
                    Format::Azure => "azure",
                };
                query.push(("format", format));
            }
        }
        self.request(Method::POST, &format!("{id}/{action}"), &query)
    }

    fn kubeconfig(&self, answer: Answer) -> Result<Secret, Failure> {
        Ok(self.read_kubeconfig(&answer?)?)
    }

    /// The first kubeconfig, like az.
    fn read_kubeconfig(&self, answer: &HttpResponse) -> Result<Secret, Error> {
        let body: Kubeconfigs = self.read(answer)?;
        let first = body.kubeconfigs.unwrap_or_default().into_iter().next();
        let encoded = first
            .and_then(|kubeconfig| kubeconfig.value)
            .ok_or_else(|| self.odd("holds no kubeconfig"))?;
        let bytes = STANDARD
            .decode(encoded.expose())
            .map_err(|_| self.odd("holds a kubeconfig that is not base64"))?;
        String::from_utf8(bytes)
            .map(Secret::new)
            .map_err(|_| self.odd("holds a kubeconfig that is not UTF-8 text"))
    }
}

impl Wanted {
    /// How errors describe the request: what it was for, and which role allows it (Microsoft, "Azure built-in roles for
    /// containers").
    pub fn asked(self, id: &ResourceId) -> Asked {
        let role = match (&id.kind, self.access) {
            (Kind::Cluster, Access::User) => "Azure Kubernetes Service Cluster User Role",
            (Kind::Cluster, Access::Admin) => "Azure Kubernetes Service Cluster Admin Role",
            (Kind::Namespace(_), _) => "Azure Kubernetes Service Namespace User",
            (Kind::FleetHub, _) => "Azure Kubernetes Fleet Manager Hub Cluster User Role",
        };
        let (name, group) = (&id.name, &id.group);
        let what = match (&id.kind, self.access) {
            (Kind::Cluster, Access::User) => {
                format!("the kubeconfig of cluster {name:?} in group {group:?}")
            }
            (Kind::Cluster, Access::Admin) => {
                format!("the admin kubeconfig of cluster {name:?} in group {group:?}")
            }
            (Kind::Namespace(namespace), _) => {
                format!("the kubeconfig of namespace {namespace:?} in cluster {name:?}")
            }
            (Kind::FleetHub, _) => format!("the kubeconfig of fleet {name:?} in group {group:?}"),
        };
        Asked {
            what,
            scope: id.to_string(),
            role,
        }
    }
}

fn version(kind: &Kind) -> &'static str {
    match kind {
        Kind::Cluster => CLUSTERS_VERSION,
        Kind::Namespace(_) => NAMESPACES_VERSION,
        Kind::FleetHub => FLEETS_VERSION,
    }
}

/// The version that a request was made in.
fn version_of(request: &HttpRequest) -> &str {
    let query = request.uri().query().unwrap_or_default();
    let version = query.strip_prefix("api-version=").unwrap_or_default();
    version.split('&').next().unwrap_or_default()
}
