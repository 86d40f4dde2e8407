//! The properties of a cluster that decide who can reach it and who may do what in it.

use http::Method;
use serde::Deserialize;

use super::refusal::Asked;
use super::search::{PowerState, READER};
use super::{Arm, CLUSTERS_VERSION, Failure, ResourceId};

/// The properties of a cluster (AKS, `managedClusters`) that can deny access.
#[derive(Debug, Clone)]
pub struct Details {
    pub id: ResourceId,
    /// The host names of its API server.
    pub hosts: Vec<String>,
    pub is_stopped: bool,
    /// The tenant whose tokens it accepts; `None` if Entra ID integration is off.
    pub entra: Option<EntraProfile>,
    pub has_local_accounts: bool,
    /// The IP ranges that may connect to the API server; if empty, anyone may.
    pub authorized_ranges: Vec<String>,
    pub is_private: bool,
}

/// `aadProfile`
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct EntraProfile {
    #[serde(rename = "tenantID")]
    pub tenant_id: Option<String>,
    #[serde(rename = "enableAzureRBAC", alias = "enableAzureRbac")]
    pub uses_azure_rbac: Option<bool>,
}

#[derive(Deserialize)]
struct Answer {
    properties: Properties,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Properties {
    power_state: Option<PowerState>,
    aad_profile: Option<EntraProfile>,
    disable_local_accounts: Option<bool>,
    api_server_access_profile: Option<AccessProfile>,
    fqdn: Option<String>,
    #[serde(rename = "privateFQDN")]
    private_fqdn: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct AccessProfile {
    #[serde(rename = "authorizedIPRanges")]
    authorized_ranges: Option<Vec<String>>,
    enable_private_cluster: Option<bool>,
}

impl Details {
    /// True if this is the host of its API server.
    pub fn is_at(&self, host: &str) -> bool {
        self.hosts.iter().any(|own| own.eq_ignore_ascii_case(host))
    }
}

impl Arm<'_> {
    /// The cluster whose API server has this host name; `None` if the token cannot see one.
    pub fn cluster_at(&self, host: &str) -> Result<Option<ResourceId>, Failure> {
        let is_host = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-');
        if host.is_empty() || !host.chars().all(is_host) {
            return Ok(None);
        }
        let condition =
            format!("(properties.fqdn =~ '{host}' or properties.privateFQDN =~ '{host}')");
        let found = self.graph_where(&[condition], None)?;
        Ok(found.into_iter().next().map(|cluster| cluster.id))
    }

    /// The properties of a cluster that decide access.
    pub fn details(&self, id: &ResourceId) -> Result<Details, Failure> {
        let query = [("api-version", CLUSTERS_VERSION)];
        let answer = self.send(self.request(Method::GET, &id.to_string(), &query))?;
        let Answer { properties } = self.read(&answer)?;
        let access = properties.api_server_access_profile.unwrap_or_default();
        Ok(Details {
            id: id.clone(),
            hosts: properties
                .fqdn
                .into_iter()
                .chain(properties.private_fqdn)
                .collect(),
            is_stopped: properties
                .power_state
                .as_ref()
                .is_some_and(PowerState::is_stopped),
            entra: properties.aad_profile,
            has_local_accounts: properties.disable_local_accounts != Some(true),
            authorized_ranges: access.authorized_ranges.unwrap_or_default(),
            is_private: access.enable_private_cluster == Some(true),
        })
    }

    /// How errors describe this request.
    pub fn asked_for_details(id: Option<&ResourceId>) -> Asked {
        let all = "/subscriptions/SUBSCRIPTION";
        Asked {
            what: "what Azure knows about the cluster".into(),
            scope: id.map_or_else(|| all.to_owned(), ToString::to_string),
            role: READER,
        }
    }
}
