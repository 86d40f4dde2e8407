//! The fake Entra: signs in registered users and clients, records every request, and rejects whatever Entra would reject.

mod authorize; // the sign-in page, and the authorization code
mod device_code; // RFC 8628: codes, and what the user does with them
mod parameters; // which parameters each endpoint and grant accepts
mod refusal; // Entra's error responses
mod rules; // what a test registers: tenants, clients, users, and how they behave
mod token; // the token endpoint's grants

use std::collections::{HashMap, HashSet, VecDeque};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard};

use serde_json::json;

use super::http1::{Reply, Request};
use super::jwt;
use super::server::{Answerer, Door, Server, lock, report};
use super::temp_dir::TempDir;
use super::tls::{AnyName, Authority, Certificate};
use parameters::Version;
use refusal::{Refusal, refused, violation};
pub use rules::{
    AUTHORIZATION_SERVER_NAMES, CLIENT_CERTIFICATE, CLIENT_SECRET, CONFIDENTIAL_CLIENT_ID,
    DeviceCode, FederatedCredential, PUBLIC_CLIENT_ID, Poll, RefreshTokens, Registration, Rules,
    SERVER_ID, SignIn, TENANT_ID, USER_NAME, USER_PASSWORD, User,
};

const CA_FILE: &str = "ca.pem";

/// Entra's endpoints, both v1 (`/oauth2/token`) and v2.0 (`/oauth2/v2.0/token`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Endpoint {
    Token,
    DeviceCode,
    Authorize,
    Discovery,
    Keys,
}

/// An Entra on loopback. It is also a forward proxy, so that clients reach it under the real host names.
///
/// Dropping it fails the test if Entra would have rejected a request as malformed.
pub struct FakeEntra {
    server: Server,
    proxy: Server,
    tls: Arc<AnyName>,
    authority: Arc<Authority>,
    folder: TempDir,
    state: Arc<Mutex<State>>,
}

impl FakeEntra {
    /// Starts with one tenant, one user, one server and one client of each kind: see the constants next to [`Rules`].
    pub fn start() -> Self {
        Self::start_with(|_| {})
    }

    pub fn start_with(change: impl FnOnce(&mut Rules)) -> Self {
        let authority = Arc::new(Authority::new("the tests' certificate authority"));
        let tls = AnyName::new(Arc::clone(&authority));
        let folder = TempDir::new();
        folder.file(CA_FILE, &authority.pem);
        let mut state = State::default();
        change(&mut state.rules);
        let state = Arc::new(Mutex::new(state));
        let answering = Arc::clone(&state);
        let answerer: Arc<Answerer> = Arc::new(move |request| {
            let other = lock(&answering).other(request.host());
            match other {
                Some(other) => other(request),
                None => lock(&answering).answer(request),
            }
        });
        let server = Server::start(Door::Tls(tls.server_config()), Arc::clone(&answerer));
        let (connecting, port) = (Arc::clone(&state), server.port());
        let connect: Arc<Answerer> =
            Arc::new(move |request| lock(&connecting).connect(request, port));
        let proxy = Server::start(
            Door::Proxy {
                connect,
                tls: tls.server_config(),
            },
            answerer,
        );
        Self {
            server,
            proxy,
            tls,
            authority,
            folder,
            state,
        }
    }

    /// Changes the rules.
    pub fn change(&self, change: impl FnOnce(&mut Rules)) {
        change(&mut self.state().rules);
    }

    /// Changes the certificate.
    pub fn show(&self, certificate: Certificate) {
        self.tls.show(certificate);
    }

    /// Queues a reply to the next request to this endpoint.
    pub fn next(&self, endpoint: Endpoint, reply: Reply) {
        self.state()
            .scripted
            .entry(endpoint)
            .or_default()
            .push_back(reply);
    }

    /// Queues a reply to the next `CONNECT` to the proxy.
    pub fn next_connect(&self, reply: Reply) {
        self.state().scripted_connects.push_back(reply);
    }

    /// Routes requests for these hosts, which come through the proxy, to another fake.
    pub(super) fn also_serve(&self, hosts: &[&str], answerer: Arc<Answerer>) {
        let mut state = self.state();
        for host in hosts {
            let other = ((*host).to_owned(), Arc::clone(&answerer));
            state.others.push(other);
        }
    }

    /// For `--authority-host`, with a trailing slash.
    pub fn authority_host(&self) -> String {
        format!("https://127.0.0.1:{}/", self.server.port())
    }

    /// Where it listens for TLS connections.
    pub(super) fn address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.server.port()).into()
    }

    /// For `HTTPS_PROXY`.
    pub fn proxy_url(&self) -> String {
        format!("http://127.0.0.1:{}", self.proxy.port())
    }

    /// For `SSL_CERT_FILE`: the authority that signs every certificate of the fakes.
    pub fn ca_file(&self) -> PathBuf {
        self.folder.path().join(CA_FILE)
    }

    pub fn ca_pem(&self) -> &str {
        &self.authority.pem
    }

    /// A token signed by the fake Entra, with any claims.
    pub fn sign(&self, claims: &jwt::Claims) -> String {
        jwt::sign(claims)
    }

    /// An assertion from the issuer of the default [`FederatedCredential`], valid for an hour.
    pub fn federated_token(&self) -> String {
        let trusted = FederatedCredential::default();
        let now = jwt::now();
        jwt::sign(
            &json!({"iss": trusted.issuer, "sub": trusted.subject, "aud": trusted.audience, "nbf": now, "exp": now + 3600}),
        )
    }

    /// Revokes every refresh token, as a password change does.
    pub fn revoke_refresh_tokens(&self) {
        self.state().refresh_tokens.clear();
    }

    /// Expires every device code issued so far.
    pub fn expire_device_codes(&self) {
        let mut state = self.state();
        state
            .device_codes
            .values_mut()
            .for_each(|code| code.expire());
    }

    /// Every request, in order, including those through the proxy, without their `CONNECT`s.
    pub fn requests(&self) -> Vec<Request> {
        self.state().requests.clone()
    }

    pub fn requests_to(&self, endpoint: Endpoint) -> Vec<Request> {
        self.requests()
            .into_iter()
            .filter(|request| route(&request.path).is_some_and(|to| to.endpoint == endpoint))
            .collect()
    }

    /// The `host:port` of each `CONNECT` to the proxy.
    pub fn connects(&self) -> Vec<String> {
        self.state().connects.clone()
    }

    /// How many TCP connections were made, directly or to the proxy, even if the client rejected the certificate.
    pub fn connections(&self) -> usize {
        self.server.accepted() + self.proxy.accepted()
    }

    pub fn token_requests(&self) -> usize {
        self.requests_to(Endpoint::Token).len()
    }

    pub fn device_polls(&self) -> usize {
        let polls = |request: &Request| {
            request
                .field("grant_type")
                .is_some_and(|grant| grant.ends_with("device_code"))
        };
        self.requests_to(Endpoint::Token)
            .iter()
            .filter(|request| polls(request))
            .count()
    }

    /// How many times the user was asked to enter a device code.
    pub fn prompts(&self) -> usize {
        self.state().device_codes.len()
    }

    /// How many logins returned a token, not counting refreshes.
    pub fn logins(&self) -> usize {
        self.state().logins
    }

    pub fn refreshes(&self) -> usize {
        self.state().refreshes
    }

    pub fn violations(&self) -> Vec<String> {
        self.state().violations.clone()
    }

    /// For tests that cause violations on purpose.
    pub fn take_violations(&self) -> Vec<String> {
        std::mem::take(&mut self.state().violations)
    }

    /// Answers a request as if it had arrived over the network.
    pub(super) fn answer(&self, request: &Request) -> Reply {
        self.state().answer(request)
    }

    pub(super) fn tls(&self) -> Arc<AnyName> {
        AnyName::new(Arc::clone(&self.authority))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }
}

impl Drop for FakeEntra {
    fn drop(&mut self) {
        report("Entra", &self.violations());
    }
}

#[derive(Default)]
struct State {
    rules: Rules,
    /// Hosts that other fakes serve.
    others: Vec<(String, Arc<Answerer>)>,
    scripted: HashMap<Endpoint, VecDeque<Reply>>,
    scripted_connects: VecDeque<Reply>,
    requests: Vec<Request>,
    connects: Vec<String>,
    violations: Vec<String>,
    device_codes: HashMap<String, device_code::Session>,
    authorization_codes: HashMap<String, authorize::Session>,
    refresh_tokens: HashMap<String, token::Session>,
    /// The `jti` of each assertion, which may be used only once.
    assertion_ids: HashSet<String>,
    logins: usize,
    refreshes: usize,
    serial: u64,
}

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
                    refusal.detail
                ));
            }
            refusal.reply(request)
        })
    }

    fn try_answer(&mut self, request: &Request) -> Result<Reply, Refusal> {
        let to = route(&request.path).ok_or_else(|| violation("no such endpoint"))?;
        parameters::check(&to, request)?;
        if let Some(reply) = self
            .scripted
            .get_mut(&to.endpoint)
            .and_then(VecDeque::pop_front)
        {
            return Ok(reply);
        }
        if !self.rules.tenants.contains(&to.tenant) {
            return Err(refused(90002, &format!("Tenant '{}'.", to.tenant)).reported());
        }
        match to.endpoint {
            Endpoint::Token => self.token(&to, request),
            Endpoint::DeviceCode => self.device_code(&to, request),
            Endpoint::Authorize => self.authorize(&to, request),
            Endpoint::Discovery => Ok(Reply::json(200, &discovery(request.host(), &to.tenant))),
            Endpoint::Keys => Ok(Reply::json(200, &jwt::key_set())),
        }
    }

    /// The fake that serves this host, if it is not Entra's.
    fn other(&self, host: &str) -> Option<Arc<Answerer>> {
        let other = self.others.iter().find(|(name, _)| name == host);
        other.map(|(_, answerer)| Arc::clone(answerer))
    }

    /// Answers a request to the forward proxy.
    fn connect(&mut self, request: &Request, own_port: u16) -> Reply {
        self.connects.push(request.target.clone());
        if let Some(reply) = self.scripted_connects.pop_front() {
            return reply;
        }
        if let Some(status) = self.rules.proxy_refuses_with {
            return Reply::html(status, "the tests' proxy refuses");
        }
        let is_ours = match request.target.rsplit_once(':') {
            _ if request.method != "CONNECT" => false,
            Some((host, "443")) => {
                self.other(host).is_some() || self.rules.host_names.iter().any(|name| name == host)
            }
            Some(("127.0.0.1" | "localhost", port)) => port == own_port.to_string(),
            _ => false,
        };
        if is_ours {
            return Reply::html(200, "");
        }
        self.violations.push(format!(
            "{} {} through the proxy: no such host",
            request.method, request.target
        ));
        Reply::html(502, "the tests' proxy does not know this host")
    }

    fn next_serial(&mut self) -> u64 {
        self.serial += 1;
        self.serial
    }
}

/// Where a request goes to.
struct Route {
    tenant: String,
    endpoint: Endpoint,
    version: Version,
}

fn route(path: &str) -> Option<Route> {
    let (tenant, rest) = path.strip_prefix('/')?.split_once('/')?;
    let (endpoint, version) = match rest {
        "oauth2/v2.0/token" => (Endpoint::Token, Version::V2),
        "oauth2/v2.0/devicecode" => (Endpoint::DeviceCode, Version::V2),
        "oauth2/v2.0/authorize" => (Endpoint::Authorize, Version::V2),
        "oauth2/token" => (Endpoint::Token, Version::V1),
        "oauth2/devicecode" => (Endpoint::DeviceCode, Version::V1),
        "v2.0/.well-known/openid-configuration" => (Endpoint::Discovery, Version::V2),
        "discovery/v2.0/keys" => (Endpoint::Keys, Version::V2),
        _ => return None,
    };
    Some(Route {
        tenant: tenant.to_owned(),
        endpoint,
        version,
    })
}

/// OpenID Connect Discovery 1.0, section 3, with Entra's additions.
fn discovery(host: &str, tenant: &str) -> serde_json::Value {
    let tenant_url = format!("https://{host}/{tenant}");
    json!({
        "issuer": format!("{tenant_url}/v2.0"),
        "authorization_endpoint": format!("{tenant_url}/oauth2/v2.0/authorize"),
        "token_endpoint": format!("{tenant_url}/oauth2/v2.0/token"),
        "device_authorization_endpoint": format!("{tenant_url}/oauth2/v2.0/devicecode"),
        "jwks_uri": format!("{tenant_url}/discovery/v2.0/keys"),
        "token_endpoint_auth_methods_supported": ["client_secret_post", "private_key_jwt"],
        "response_modes_supported": ["query", "fragment", "form_post"],
        "response_types_supported": ["code", "id_token", "code id_token", "id_token token"],
        "scopes_supported": ["openid", "profile", "email", "offline_access"],
        "subject_types_supported": ["pairwise"],
        "id_token_signing_alg_values_supported": ["RS256"],
        "claims_supported": ["sub", "iss", "aud", "exp", "iat", "nonce", "preferred_username", "tid"],
        "tenant_region_scope": "NA",
    })
}
