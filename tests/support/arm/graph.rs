//! Azure Resource Graph. It understands one query only: the one for clusters.

use serde_json::{Value, json};

use super::super::http1::{Reply, Request};
use super::cluster::FakeCluster;
use super::refusal::{Refusal, refused, violation};
use super::{Graph, State};

impl State {
    pub fn graph(&self, request: &Request) -> Result<Reply, Refusal> {
        let body: Value = serde_json::from_slice(&request.body)
            .map_err(|error| violation(format!("the body is not JSON: {error}")))?;
        let known = ["query", "options", "subscriptions"];
        let keys = body.as_object().into_iter().flatten();
        for (key, _) in keys {
            if !known.contains(&key.as_str()) {
                return Err(violation(format!("unknown member {key} in the body")));
            }
        }
        match self.rules.graph {
            Graph::Forbidden => {
                return Err(refused(403, "AuthorizationFailed", "You may not query."));
            }
            Graph::Missing => {
                return Err(refused(
                    404,
                    "InvalidResourceNamespace",
                    "No such namespace.",
                ));
            }
            Graph::Works | Graph::Behind => {}
        }
        let query = body["query"].as_str().unwrap_or_default();
        let filter = Filter::parse(query)?;
        if body["options"]["resultFormat"] != "objectArray" {
            return Err(violation("resultFormat is not objectArray"));
        }
        let top = body["options"]["$top"]
            .as_u64()
            .filter(|top| (1..=1000).contains(top));
        let top = top.ok_or_else(|| violation("$top is not 1 to 1000"))?;
        let size = self
            .rules
            .page_size
            .min(usize::try_from(top).unwrap_or(1000));
        let is_asked = |cluster: &&FakeCluster| {
            let subscriptions = body["subscriptions"].as_array();
            subscriptions
                .is_none_or(|ids| ids.iter().any(|id| *id == cluster.subscription.as_str()))
                && filter.lets_through(cluster)
                && self.rules.graph == Graph::Works
        };
        let mut found: Vec<&FakeCluster> = self.rules.clusters.iter().filter(is_asked).collect();
        found.sort_by_key(|cluster| cluster.id());
        let token = body["options"]["$skipToken"].as_str();
        let start = token.map_or(Ok(0), str::parse);
        let start: usize = start.map_err(|_| violation("an unknown $skipToken"))?;
        let end = (start + size).min(found.len());
        let rows: Vec<Value> = found[start..end]
            .iter()
            .map(|cluster| cluster.row())
            .collect();
        let mut answer = json!({"totalRecords": found.len(), "count": rows.len(), "resultTruncated": "false",
            "facets": [], "data": rows});
        if end < found.len() {
            answer["$skipToken"] = json!(end.to_string());
        }
        Ok(Reply::json(200, &answer)
            .header("x-ms-user-quota-remaining", "14")
            .header("x-ms-user-quota-resets-after", "00:00:05"))
    }
}

/// The conditions of the query for clusters.
#[derive(Default)]
struct Filter {
    name: Option<String>,
    group: Option<String>,
    /// The API server's host name.
    host: Option<String>,
}

impl Filter {
    fn parse(query: &str) -> Result<Self, Refusal> {
        let bad = || violation(format!("unsupported query: {query}"));
        let mut parts = query.split(" | ");
        let (Some("resources"), Some(conditions)) = (parts.next(), parts.next()) else {
            return Err(bad());
        };
        if !query.ends_with(" | order by id asc") {
            return Err(violation("paging without a sort order"));
        }
        let mut conditions = conditions
            .strip_prefix("where ")
            .ok_or_else(bad)?
            .split(" and ");
        if conditions.next() != Some("type =~ 'microsoft.containerservice/managedclusters'") {
            return Err(bad());
        }
        let mut filter = Self::default();
        for condition in conditions {
            let host = condition.strip_prefix("(properties.fqdn =~ '");
            if let Some(host) = host.and_then(|rest| rest.split('\'').next()) {
                if condition
                    != format!(
                        "(properties.fqdn =~ '{host}' or properties.privateFQDN =~ '{host}')"
                    )
                {
                    return Err(bad());
                }
                filter.host = Some(host.to_lowercase());
                continue;
            }
            let (column, value) = condition.split_once(" =~ ").ok_or_else(bad)?;
            let value = value
                .strip_prefix('\'')
                .and_then(|value| value.strip_suffix('\''));
            let value = value
                .filter(|value| !value.contains('\''))
                .ok_or_else(bad)?;
            match column {
                "name" => filter.name = Some(value.to_lowercase()),
                "resourceGroup" => filter.group = Some(value.to_lowercase()),
                _ => return Err(bad()),
            }
        }
        Ok(filter)
    }

    fn lets_through(&self, cluster: &FakeCluster) -> bool {
        let fits = |wanted: &Option<String>, is: &str| {
            wanted
                .as_ref()
                .is_none_or(|wanted| *wanted == is.to_lowercase())
        };
        fits(&self.name, &cluster.name)
            && fits(&self.group, &cluster.group)
            && fits(&self.host, cluster.host())
    }
}
