//! The fake Azure Resource Manager (ARM): subscriptions, clusters and who may fetch their kubeconfigs. It answers under the
//! real host names and at its own address.
//!
//! It is as strict as the fake Entra: an API version, parameter, body or token that ARM would reject fails the test.

mod cluster; // clusters, and the kubeconfigs that AKS generates for them
mod graph; // Azure Resource Graph
mod refusal; // error responses
mod shape; // rules for every request

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard};

use serde_json::{Value, json};

use super::entra::{FakeEntra, Registration, TENANT_ID};
use super::http1::{Reply, Request};
use super::jwt::Jwt;
use super::server::{Answerer, Door, Server, lock, report};
pub use cluster::{ClusterLogin, FakeCluster};
use refusal::{Refusal, challenged, refused, violation};
use shape::check_shape;

pub const SUBSCRIPTION_ID: &str = "50000000-0000-0000-0000-000000000001";
pub const OTHER_SUBSCRIPTION_ID: &str = "50000000-0000-0000-0000-000000000002";
/// The Azure CLI's own application.
pub const AZ_CLIENT_ID: &str = "04b07795-8ddb-461a-bbee-02f9e1bf7b46";
/// ARM's host in each cloud, and the audience of its tokens.
pub const RESOURCE_MANAGERS: [(&str, &str); 4] = [
    (
        "management.azure.com",
        "https://management.core.windows.net/",
    ),
    (
        "management.usgovcloudapi.net",
        "https://management.core.usgovcloudapi.net/",
    ),
    (
        "management.chinacloudapi.cn",
        "https://management.core.chinacloudapi.cn/",
    ),
    (
        "management.sovcloud-api.fr",
        "https://management.sovcloud-api.fr/",
    ),
];
/// The audience at the fake's own address, for AzureStackCloud.
pub const STACK_AUDIENCE: &str = "https://management.stack.example/";

/// The accepted API versions; az uses the newest.
const CONTAINER_SERVICE: &[&str] = &["2024-09-01", "2026-06-01"];
const NEWEST_ONLY: &[&str] = &["2026-06-01"];
const SUBSCRIPTIONS: &[&str] = &["2022-12-01"];
const GRAPH: &[&str] = &["2021-03-01"];

/// What exists in the fake Azure, and how ARM behaves.
#[derive(Clone, Debug)]
pub struct ArmRules {
    /// ID and display name. All are in [`TENANT_ID`], except those in `foreign`.
    pub subscriptions: Vec<(String, String)>,
    /// Subscriptions in other tenants: subscription ID and tenant ID.
    pub foreign: Vec<(String, String)>,
    pub clusters: Vec<FakeCluster>,
    pub graph: Graph,
    /// The maximum number of entries on a page.
    pub page_size: usize,
    /// How many requests with a token to answer with 429, and the `Retry-After` to send.
    pub throttled: (usize, u64),
    /// The only version of the clusters' API, as in a cloud that lags behind.
    pub only_version: Option<String>,
    /// The authentication context (`acrs`) that Conditional Access requires in a token.
    pub context: Option<String>,
}

/// How Azure Resource Graph behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Graph {
    Works,
    /// Nobody may query it.
    Forbidden,
    /// It does not exist, as on Azure Stack.
    Missing,
    /// It does not know any cluster yet.
    Behind,
}

impl Default for ArmRules {
    fn default() -> Self {
        Self {
            subscriptions: vec![
                (SUBSCRIPTION_ID.into(), "Shops".into()),
                (OTHER_SUBSCRIPTION_ID.into(), "Labs".into()),
            ],
            foreign: Vec::new(),
            clusters: vec![FakeCluster::new("shop", "prod")],
            graph: Graph::Works,
            page_size: 1000,
            throttled: (0, 0),
            only_version: None,
            context: None,
        }
    }
}

/// An Azure Resource Manager that accepts the fake Entra's tokens. The fake Entra's proxy routes the real host names to it.
///
/// Dropping it fails the test if ARM would have rejected a request as malformed.
pub struct FakeArm {
    server: Server,
    state: Arc<Mutex<State>>,
}

impl FakeArm {
    pub fn start(entra: &FakeEntra) -> Self {
        Self::start_with(entra, |_| {})
    }

    pub fn start_with(entra: &FakeEntra, change: impl FnOnce(&mut ArmRules)) -> Self {
        let mut state = State::default();
        change(&mut state.rules);
        let state = Arc::new(Mutex::new(state));
        let answering = Arc::clone(&state);
        let answerer: Arc<Answerer> = Arc::new(move |request| lock(&answering).answer(request));
        let names = RESOURCE_MANAGERS.map(|(name, _)| name);
        entra.also_serve(&names, Arc::clone(&answerer));
        entra.change(|rules| {
            let audiences = RESOURCE_MANAGERS.map(|(_, audience)| audience.to_owned());
            rules.servers.extend(audiences);
            rules.servers.push(STACK_AUDIENCE.into());
            rules.tenants.push("organizations".into());
            rules.clients.push(Registration {
                client_id: AZ_CLIENT_ID.into(),
                is_public: true,
                ..Registration::default()
            });
        });
        let server = Server::start(Door::Tls(entra.tls().server_config()), answerer);
        Self { server, state }
    }

    /// Its own address, for `resourceManagerEndpoint`.
    pub fn url(&self) -> String {
        format!("https://127.0.0.1:{}/", self.server.port())
    }

    /// The resource ID of the cluster with this name.
    pub fn cluster_id(&self, name: &str) -> String {
        let state = self.state();
        let mut clusters = state.rules.clusters.iter();
        let cluster = clusters.find(|cluster| cluster.name == name);
        cluster.expect("a cluster with this name").id()
    }

    pub fn change(&self, change: impl FnOnce(&mut ArmRules)) {
        change(&mut self.state().rules);
    }

    /// Queues a reply to the next request.
    pub fn next(&self, reply: Reply) {
        self.state().scripted.push_back(reply);
    }

    /// Runs `action` once, while the next request for a kubeconfig waits for its response.
    pub fn meanwhile(&self, action: impl FnOnce(&mut ArmRules) + Send + 'static) {
        self.state().meanwhile = Some(Box::new(action));
    }

    /// Every request, in order.
    pub fn requests(&self) -> Vec<Request> {
        self.state().requests.clone()
    }

    /// The requests since the last call.
    pub fn take_requests(&self) -> Vec<Request> {
        std::mem::take(&mut self.state().requests)
    }

    /// For tests that cause violations on purpose.
    pub fn take_violations(&self) -> Vec<String> {
        std::mem::take(&mut self.state().violations)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }
}

impl Drop for FakeArm {
    fn drop(&mut self) {
        report("Azure Resource Manager", &self.take_violations());
    }
}

#[derive(Default)]
struct State {
    rules: ArmRules,
    scripted: VecDeque<Reply>,
    meanwhile: Option<Meanwhile>,
    requests: Vec<Request>,
    violations: Vec<String>,
}

/// What happens while a request waits for its response.
type Meanwhile = Box<dyn FnOnce(&mut ArmRules) + Send>;

/// The segments of a request's path, in lower case because ARM ignores case.
type Path<'a> = &'a [&'a str];

impl State {
    fn answer(&mut self, request: &Request) -> Reply {
        self.requests.push(request.clone());
        self.try_answer(request).unwrap_or_else(|refusal| {
            if refusal.is_violation {
                self.violations.push(format!(
                    "{} https://{}{}: {}",
                    request.method,
                    request.host(),
                    request.target,
                    refusal.message
                ));
            }
            refusal.reply()
        })
    }

    fn try_answer(&mut self, request: &Request) -> Result<Reply, Refusal> {
        let path = request.path.to_lowercase();
        let path: Vec<&str> = path.trim_matches('/').split('/').collect();
        let name = path.last().copied().unwrap_or_default();
        check_shape(request)?;
        self.check_version(request, &path)?;
        if request.header("authorization").is_none() {
            let subscription = path.get(1).filter(|_| path[0] == "subscriptions");
            return Err(challenged(self.tenant_of(subscription.copied())));
        }
        if let Some(reply) = self.scripted.pop_front() {
            return Ok(reply);
        }
        self.check_token(request, &path)?;
        if let Some(context) = &self.rules.context {
            refusal::check_context(request, context)?;
        }
        let (left, seconds) = &mut self.rules.throttled;
        if *left > 0 {
            *left -= 1;
            return Err(
                refused(429, "TooManyRequests", "The request was throttled.")
                    .header("Retry-After", &seconds.to_string()),
            );
        }
        match (request.method.as_str(), &path[..]) {
            ("GET", ["subscriptions"]) => Ok(self.subscriptions(request)),
            ("GET", ["subscriptions", id]) => self.subscription(id),
            (
                "GET",
                [
                    "subscriptions",
                    id,
                    "providers",
                    "microsoft.containerservice",
                    "managedclusters",
                ],
            ) => self.list(request, id),
            (
                "GET",
                [
                    "subscriptions",
                    id,
                    "resourcegroups",
                    group,
                    "providers",
                    "microsoft.containerservice",
                    "managedclusters",
                    name,
                ],
            ) => Ok(Reply::json(200, &self.cluster(id, group, name)?.details())),
            ("POST", ["providers", "microsoft.resourcegraph", "resources"]) => self.graph(request),
            (
                "POST",
                [
                    "subscriptions",
                    id,
                    "resourcegroups",
                    group,
                    "providers",
                    "microsoft.containerservice",
                    rest @ ..,
                ],
            ) => {
                if let Some(action) = self.meanwhile.take() {
                    action(&mut self.rules);
                }
                self.kubeconfig(request, id, group, rest)
            }
            _ => Err(violation(format!("no such operation: {name}"))),
        }
    }

    fn check_version(&self, request: &Request, path: Path) -> Result<(), Refusal> {
        let version = request.parameter("api-version").unwrap_or_default();
        let known = match path {
            ["providers", "microsoft.resourcegraph", ..] => GRAPH,
            [.., "fleets", _, _] | [.., "managednamespaces", _, _] => NEWEST_ONLY,
            [_, _, .., "microsoft.containerservice", _] | [_, _, "resourcegroups", ..] => {
                CONTAINER_SERVICE
            }
            _ => SUBSCRIPTIONS,
        };
        match &self.rules.only_version {
            Some(only) if known == CONTAINER_SERVICE && only != version => Err(refused(
                400,
                "NoRegisteredProviderFound",
                &format!(
                    "No registered resource provider found for location 'westeurope' and API version '{version}' for type 'managedClusters'. The supported api-versions are '2019-02-01, {only}, 2020-01-01-preview'."
                ),
            )),
            Some(_) if known == CONTAINER_SERVICE => Ok(()),
            _ if known.contains(&version) => Ok(()),
            _ => Err(violation(format!("unknown api-version {version:?}"))),
        }
    }

    /// Requires a valid bearer token (RFC 6750) from the fake Entra, for this host and the subscription's tenant.
    fn check_token(&self, request: &Request, path: Path) -> Result<(), Refusal> {
        let authorization = request.header("authorization").unwrap_or_default();
        let token = authorization
            .strip_prefix("Bearer ")
            .ok_or_else(|| violation("not a bearer token"))?;
        let jwt = Jwt::parse(token).map_err(violation)?;
        jwt.verify_entra().map_err(violation)?;
        jwt.verify_lifetime()
            .map_err(|error| refused(401, "ExpiredAuthenticationToken", &error))?;
        let host = request.host();
        let named = RESOURCE_MANAGERS.iter().find(|(name, _)| *name == host);
        let audience = named.map_or(STACK_AUDIENCE, |(_, audience)| audience);
        if jwt.claim("aud") != audience {
            return Err(violation(format!("a token for {}", jwt.claim("aud"))));
        }
        if let ["subscriptions", id, ..] = path
            && let Some(tenant) = self.tenant_of(Some(id))
            && jwt.claim("tid") != tenant
        {
            let message = format!(
                "The access token is from the wrong issuer 'https://sts.windows.net/{}/'. It must match the tenant 'https://sts.windows.net/{tenant}/' associated with this subscription.",
                jwt.claim("tid")
            );
            return Err(refused(401, "InvalidAuthenticationTokenTenant", &message)
                .header("WWW-Authenticate", &refusal::challenge(tenant)));
        }
        Ok(())
    }

    fn tenant_of(&self, subscription: Option<&str>) -> Option<&str> {
        let subscription = subscription?;
        let is_it = |(id, _): &&(String, String)| id.eq_ignore_ascii_case(subscription);
        match self.rules.foreign.iter().find(is_it) {
            Some((_, tenant)) => Some(tenant),
            None => self
                .rules
                .subscriptions
                .iter()
                .find(is_it)
                .map(|_| TENANT_ID),
        }
    }

    fn subscriptions(&self, request: &Request) -> Reply {
        let subscriptions = self.rules.subscriptions.iter();
        let subscriptions = subscriptions.map(|(id, name)| {
            json!({"id": format!("/subscriptions/{id}"), "subscriptionId": id, "tenantId": TENANT_ID,
                   "displayName": name, "state": "Enabled"})
        });
        self.page(request, subscriptions.collect())
    }

    fn subscription(&self, id: &str) -> Result<Reply, Refusal> {
        let tenant = self
            .tenant_of(Some(id))
            .ok_or_else(|| no_subscription(id))?;
        Ok(Reply::json(
            200,
            &json!({"subscriptionId": id, "tenantId": tenant}),
        ))
    }

    fn list(&self, request: &Request, subscription: &str) -> Result<Reply, Refusal> {
        self.tenant_of(Some(subscription))
            .ok_or_else(|| no_subscription(subscription))?;
        let of_it = |cluster: &&FakeCluster| cluster.subscription == subscription;
        let clusters = self.rules.clusters.iter().filter(of_it);
        Ok(self.page(request, clusters.map(FakeCluster::listed).collect()))
    }

    /// One page of a list, with a link to the next.
    fn page(&self, request: &Request, entries: Vec<Value>) -> Reply {
        let start = request
            .parameter("$skiptoken")
            .and_then(|at| at.parse().ok());
        let start: usize = start.unwrap_or(0);
        let end = (start + self.rules.page_size).min(entries.len());
        let mut body = json!({"value": entries[start..end]});
        if end < entries.len() {
            let version = request.parameter("api-version").unwrap_or_default();
            let (host, path) = (request.host(), &request.path);
            body["nextLink"] = json!(format!(
                "https://{host}{path}?api-version={version}&$skiptoken={end}"
            ));
        }
        Reply::json(200, &body)
    }

    fn cluster(
        &self,
        subscription: &str,
        group: &str,
        name: &str,
    ) -> Result<&FakeCluster, Refusal> {
        if self.tenant_of(Some(subscription)).is_none() {
            return Err(no_subscription(subscription));
        }
        let of_subscription = |cluster: &&FakeCluster| cluster.subscription == subscription;
        let of_group = |cluster: &FakeCluster| cluster.group.eq_ignore_ascii_case(group);
        let mut clusters = self.rules.clusters.iter().filter(of_subscription);
        if !clusters.clone().any(of_group) {
            let message = format!("Resource group '{group}' could not be found.");
            return Err(refused(404, "ResourceGroupNotFound", &message));
        }
        clusters
            .find(|cluster| of_group(cluster) && cluster.name.eq_ignore_ascii_case(name))
            .ok_or_else(|| {
                let message = format!("The Resource 'Microsoft.ContainerService/managedClusters/{name}' under resource group '{group}' was not found.");
                refused(404, "ResourceNotFound", &message)
            })
    }

    /// The kubeconfig of a cluster, a fleet or a managed namespace.
    fn kubeconfig(
        &self,
        request: &Request,
        subscription: &str,
        group: &str,
        rest: Path,
    ) -> Result<Reply, Refusal> {
        let (name, action) = match rest {
            ["managedclusters", name, "listclusterusercredential"] => (*name, Action::User),
            ["managedclusters", name, "listclusteradmincredential"] => (*name, Action::Admin),
            ["fleets", name, "listcredentials"] => (*name, Action::User),
            [
                "managedclusters",
                name,
                "managednamespaces",
                _,
                "listcredential",
            ] => (*name, Action::User),
            _ => return Err(violation("no such action")),
        };
        if request.parameter("format").is_some()
            && (action == Action::Admin || rest.len() != 3 || rest[0] == "fleets")
        {
            return Err(violation("this action has no format parameter"));
        }
        let cluster = self.cluster(subscription, group, name)?;
        if cluster.is_denied {
            return Err(refusal::not_authorized(cluster, action == Action::Admin));
        }
        if action == Action::Admin && cluster.has_local_accounts_disabled {
            return Err(refused(
                400,
                "BadRequest",
                "Getting static credential is not allowed because this cluster is set to disable local accounts.",
            ));
        }
        Ok(cluster.credential(request, action == Action::Admin))
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Action {
    User,
    Admin,
}

fn no_subscription(id: &str) -> Refusal {
    let message = format!("The subscription '{id}' could not be found.");
    refused(404, "SubscriptionNotFound", &message)
}
