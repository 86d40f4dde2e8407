//! Finds clusters with Azure Resource Graph, which covers a whole tenant at once, or else subscription by subscription.

use http::Method;
use serde::Deserialize;
use serde_json::{Value, json};

use super::refusal::Asked;
use super::resource_id::{Kind, ResourceId};
use super::{Arm, CLUSTERS_VERSION, Failure, MOST_PAGES, SUBSCRIPTIONS_VERSION, refusal};
use crate::error::Error;
use crate::system::HttpRequest;
use crate::token::is_guid;

const GRAPH_VERSION: &str = "2021-03-01";
const GRAPH: &str = "/providers/Microsoft.ResourceGraph/resources";
/// The largest page of Resource Graph.
const PAGE_SIZE: u32 = 1000;

/// A subscription that the token can see.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Subscription {
    #[serde(rename = "subscriptionId")]
    pub id: String,
    #[serde(default)]
    pub display_name: String,
}

/// A cluster in the results.
#[derive(Debug, Clone)]
pub struct Cluster {
    pub id: ResourceId,
    pub location: String,
    pub tenant_id: Option<String>,
    pub is_stopped: bool,
}

/// Which clusters to look for. Parts left out match everything that the token can see.
#[derive(Debug, Clone, Copy, Default)]
pub struct Filter<'a> {
    /// Without regard to case.
    pub name: Option<&'a str>,
    pub group: Option<&'a str>,
    pub subscription: Option<&'a str>,
}

/// A page from Resource Graph.
#[derive(Deserialize)]
struct GraphPage {
    data: Vec<Row>,
    #[serde(rename = "$skipToken")]
    skip_token: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Row {
    id: String,
    #[serde(default)]
    location: String,
    tenant_id: Option<String>,
    power_state: Option<String>,
}

/// A cluster in ARM's own list.
#[derive(Deserialize)]
struct ListedCluster {
    id: String,
    #[serde(default)]
    location: String,
    #[serde(default)]
    properties: Properties,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Properties {
    power_state: Option<PowerState>,
}

/// Whether a cluster runs.
#[derive(Deserialize)]
pub struct PowerState {
    code: Option<String>,
}

impl PowerState {
    pub fn is_stopped(&self) -> bool {
        self.code.as_deref() == Some("Stopped")
    }
}

/// The role that lists clusters.
pub const READER: &str = "Reader";

impl Arm<'_> {
    /// The tenant of a subscription, which ARM reveals to a request without a token. `None` if it does not.
    pub fn tenant_of(&self, subscription: &str) -> Result<Option<String>, Failure> {
        let path = format!("/subscriptions/{subscription}");
        let request = self.request(
            Method::GET,
            &path,
            &[("api-version", SUBSCRIPTIONS_VERSION)],
        );
        match self.send(request) {
            Ok(_) => Ok(None),
            Err(Failure::Refused(refusal)) if refusal.is_of_token() => Ok(refusal.tenant),
            Err(failure) => Err(failure),
        }
    }

    /// Every subscription that the token can see, in its tenant.
    pub fn subscriptions(&self) -> Result<Vec<Subscription>, Failure> {
        let query = [("api-version", SUBSCRIPTIONS_VERSION)];
        let entries = self.list(self.request(Method::GET, "/subscriptions", &query))?;
        let read = |entry| {
            serde_json::from_value(entry)
                .ok()
                .filter(|subscription: &Subscription| is_guid(&subscription.id))
                .ok_or_else(|| {
                    self.odd("contains a subscription in an unexpected format")
                        .into()
                })
        };
        entries.into_iter().map(read).collect()
    }

    /// The clusters that match the filter, ordered by ID. If Resource Graph is missing or finds nothing (it lags a
    /// minute behind), each subscription is queried directly.
    pub fn clusters(&self, filter: Filter) -> Result<Vec<Cluster>, Failure> {
        match self.graph(filter) {
            Ok(found) if !found.is_empty() => Ok(found),
            Err(failure)
                if !failure
                    .refusal()
                    .is_some_and(|refusal| refusal.is_forbidden() || refusal.is_not_found()) =>
            {
                Err(failure)
            }
            _ => self.clusters_by_subscription(filter),
        }
    }

    /// By Azure Resource Graph ("Work with large data sets": the order makes pages of it).
    pub fn graph(&self, filter: Filter) -> Result<Vec<Cluster>, Failure> {
        let columns = [("name", filter.name), ("resourceGroup", filter.group)];
        // Names were validated, so they contain no quotes.
        let condition = |(column, value)| Some(format!("{column} =~ '{}'", value?));
        let conditions: Vec<String> = columns.into_iter().filter_map(condition).collect();
        self.graph_where(&conditions, filter.subscription)
    }

    /// The same, with conditions in Resource Graph's query language.
    pub(super) fn graph_where(
        &self,
        conditions: &[String],
        subscription: Option<&str>,
    ) -> Result<Vec<Cluster>, Failure> {
        let mut found = Vec::new();
        let mut skip_token: Option<String> = None;
        for _ in 0..MOST_PAGES {
            let request = self.graph_request(conditions, subscription, skip_token.as_deref());
            let answer = self.send(request)?;
            let page: GraphPage = self.read(&answer)?;
            for row in page.data {
                let power_state = PowerState {
                    code: row.power_state,
                };
                found.push(Cluster {
                    id: self.cluster_id(&row.id)?,
                    location: row.location,
                    tenant_id: row.tenant_id.filter(|tenant| is_guid(tenant)),
                    is_stopped: power_state.is_stopped(),
                });
            }
            if page.skip_token.is_none() || page.skip_token == skip_token {
                return Ok(found);
            }
            skip_token = page.skip_token;
        }
        Err(self.odd("has too many pages or repeats one").into())
    }

    fn graph_request(
        &self,
        conditions: &[String],
        subscription: Option<&str>,
        skip_token: Option<&str>,
    ) -> HttpRequest {
        let mut query =
            "resources | where type =~ 'microsoft.containerservice/managedclusters'".to_owned();
        for condition in conditions {
            query.push_str(&format!(" and {condition}"));
        }
        query.push_str(
            " | project id, location, tenantId, powerState = tostring(properties.powerState.code) | order by id asc",
        );
        let mut options = json!({"resultFormat": "objectArray", "$top": PAGE_SIZE});
        if let Some(token) = skip_token {
            options["$skipToken"] = token.into();
        }
        let mut body = json!({"query": query, "options": options});
        if let Some(subscription) = subscription {
            body["subscriptions"] = json!([subscription]);
        }
        self.post_json(GRAPH, &[("api-version", GRAPH_VERSION)], &body)
    }

    /// The list of each subscription. Subscriptions without permission are skipped, unless there is only one.
    fn clusters_by_subscription(&self, filter: Filter) -> Result<Vec<Cluster>, Failure> {
        let subscriptions = match filter.subscription {
            Some(id) => vec![id.to_owned()],
            None => {
                let all = self.subscriptions()?;
                all.into_iter()
                    .map(|subscription| subscription.id)
                    .collect()
            }
        };
        let query = [("api-version", CLUSTERS_VERSION)];
        let request = |subscription: &String| {
            let path = format!(
                "/subscriptions/{subscription}/providers/Microsoft.ContainerService/managedClusters"
            );
            self.request(Method::GET, &path, &query)
        };
        let requests: Vec<_> = subscriptions.iter().map(request).collect();
        let mut answers = Vec::new();
        self.send_all(&requests, &mut |_, answer| answers.push(answer));
        let mut found = Vec::new();
        for answer in answers {
            let entries = match answer.and_then(|first| self.all_pages(&first)) {
                Ok(entries) => entries,
                Err(failure) if subscriptions.len() == 1 || failure.refusal().is_none() => {
                    return Err(failure);
                }
                Err(_) => continue,
            };
            for entry in entries {
                found.push(self.listed_cluster(entry)?);
            }
        }
        found.retain(|cluster| filter.lets_through(&cluster.id));
        found.sort_by_cached_key(|cluster| cluster.id.key());
        Ok(found)
    }

    fn listed_cluster(&self, entry: Value) -> Result<Cluster, Error> {
        let entry: ListedCluster = serde_json::from_value(entry)
            .map_err(|_| self.odd("contains a cluster in an unexpected format"))?;
        let power_state = entry.properties.power_state;
        Ok(Cluster {
            id: self.cluster_id(&entry.id)?,
            location: entry.location,
            tenant_id: None,
            is_stopped: power_state.is_some_and(|state| state.is_stopped()),
        })
    }

    /// ARM's ID goes into the path of the next request, so it is validated like one that the user typed.
    fn cluster_id(&self, text: &str) -> Result<ResourceId, Error> {
        ResourceId::parse(text)
            .ok()
            .filter(|id| id.kind == Kind::Cluster)
            .ok_or_else(|| self.odd("contains a cluster in an unexpected format"))
    }

    /// How errors describe this search.
    pub fn asked_for_clusters(subscription: Option<&str>) -> refusal::Asked {
        let (what, scope) = match subscription {
            Some(id) => (
                format!("the list of clusters in subscription {id}"),
                format!("/subscriptions/{id}"),
            ),
            None => (
                "the list of clusters".to_owned(),
                "/subscriptions/SUBSCRIPTION".to_owned(),
            ),
        };
        Asked {
            what,
            scope,
            role: READER,
        }
    }
}

impl Filter<'_> {
    fn lets_through(&self, id: &ResourceId) -> bool {
        let fits = |wanted: Option<&str>, is: &str| {
            wanted.is_none_or(|wanted| wanted.eq_ignore_ascii_case(is))
        };
        fits(self.name, &id.name)
            && fits(self.group, &id.group)
            && fits(self.subscription, &id.subscription)
    }
}
