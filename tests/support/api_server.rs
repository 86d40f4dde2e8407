//! A Kubernetes API server: just enough for kubectl and helm to list things with a valid token.

use std::sync::{Arc, Mutex};

use rustls::ServerConfig;
use serde_json::{Value, json};

use super::entra::{FakeEntra, SERVER_ID};
use super::http1::{Reply, Request, gzip};
use super::jwt::{Claims, Jwt};
use super::server::{Door, Server, lock};
use super::tls::{AnyName, Authority, Certificate};

/// A cluster that accepts valid tokens from the fake Entra for [`SERVER_ID`] and answers 401 to all others.
pub struct FakeApiServer {
    server: Server,
    ca_pem: String,
    tls: Arc<AnyName>,
    seen: Arc<Mutex<Seen>>,
}

/// How a cluster treats its clients.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Manner {
    /// Like Kubernetes 1.28 and newer.
    #[default]
    Normal,
    /// Supports SelfSubjectReview in this API version only, or not at all if it is empty.
    Knows(&'static str),
    /// Answers 401 to every token.
    Unauthorized,
    /// Authenticates users but answers 403 to everything: Azure RBAC or Kubernetes RBAC denies access.
    Forbidden(Rbac),
    /// Tells users who they are, and that they may do nothing.
    Powerless(Rbac),
    /// Something in between answers with its own web page.
    WebPage,
    /// Never answers after the TLS handshake.
    Silent,
    /// Every client that passes the TLS handshake is an administrator and needs no token.
    Administrators,
    /// Redirects every request.
    Redirects(String),
}

/// Which system denies access.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rbac {
    Azure,
    Kubernetes,
}

impl Rbac {
    /// The denial, in the words of kube-apiserver and guard.
    fn denial(self, user: &str) -> String {
        let tail = match self {
            Self::Azure => {
                ": User does not have access to the resource in Azure. Update role assignment to allow access."
            }
            Self::Kubernetes => "",
        };
        format!(
            "pods is forbidden: User {user:?} cannot list resource \"pods\" in API group \"\" in the namespace \"default\"{tail}"
        )
    }
}

#[derive(Default)]
struct Seen {
    manner: Manner,
    requests: Vec<Request>,
    admitted: Vec<Claims>,
    refused: Vec<String>,
}

impl FakeApiServer {
    /// Its certificate comes from the fake Entra's certificate authority.
    pub fn start(entra: &FakeEntra) -> Self {
        let tls = entra.tls();
        let config = tls.server_config();
        Self::start_with(entra, tls, config, Manner::Normal)
    }

    fn start_with(
        entra: &FakeEntra,
        tls: Arc<AnyName>,
        config: Arc<ServerConfig>,
        manner: Manner,
    ) -> Self {
        let seen = Arc::new(Mutex::new(Seen {
            manner,
            ..Seen::default()
        }));
        let recording = Arc::clone(&seen);
        let answerer = Arc::new(move |request: &Request| lock(&recording).answer(request));
        Self {
            server: Server::start(Door::Tls(config), answerer),
            ca_pem: entra.ca_pem().to_owned(),
            tls,
            seen,
        }
    }

    /// Accepts only clients with a certificate from this authority, as administrators.
    pub fn start_for_clients_of(entra: &FakeEntra, authority: &Authority) -> Self {
        let tls = entra.tls();
        let config = tls.server_config_for_clients_of(authority);
        Self::start_with(entra, tls, config, Manner::Administrators)
    }

    /// For `server:` in a kubeconfig.
    pub fn url(&self) -> String {
        format!("https://127.0.0.1:{}", self.server.port())
    }

    /// A kubeconfig with this cluster and one user, whose block is given as JSON: `{"token": ..}` or `{"exec": {..}}`.
    pub fn kubeconfig(&self, user: &Value) -> String {
        use base64::Engine as _;
        let ca = base64::engine::general_purpose::STANDARD.encode(&self.ca_pem);
        // JSON is YAML.
        let config = json!({
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "fake", "cluster": {"server": self.url(), "certificate-authority-data": ca}}],
            "users": [{"name": "person", "user": user}],
            "contexts": [{"name": "fake", "context": {"cluster": "fake", "user": "person"}}],
            "current-context": "fake",
        });
        format!("{config:#}\n")
    }

    /// Changes the certificate.
    pub fn show(&self, certificate: Certificate) {
        self.tls.show(certificate);
    }

    /// Changes how it treats its clients.
    pub fn behave(&self, manner: Manner) {
        lock(&self.seen).manner = manner;
    }

    pub fn requests(&self) -> Vec<Request> {
        lock(&self.seen).requests.clone()
    }

    /// The claims of every accepted token, one per request.
    pub fn admitted(&self) -> Vec<Claims> {
        lock(&self.seen).admitted.clone()
    }

    /// Why requests were refused, one line per request.
    pub fn refused(&self) -> Vec<String> {
        lock(&self.seen).refused.clone()
    }
}

impl Seen {
    fn answer(&mut self, request: &Request) -> Reply {
        self.requests.push(request.clone());
        match &self.manner {
            Manner::WebPage => return Reply::html(200, "<!doctype html><title>Sign in</title>"),
            Manner::Silent => return Reply::Hang,
            Manner::Redirects(to) => return Reply::redirect(302, to),
            _ => {}
        }
        // The version is public (system:public-info-viewer).
        if request.path == "/version" && request.header("authorization").is_none() {
            return Reply::json(200, &version());
        }
        let admitted = match self.manner {
            Manner::Unauthorized => Err("every token is refused".to_owned()),
            Manner::Administrators => Ok(administrator()),
            _ => admit(request),
        };
        match admitted {
            Err(reason) => {
                self.refused.push(reason);
                status(401, "Unauthorized", "Unauthorized")
            }
            Ok(claims) => {
                let reply =
                    review(request, &claims, &self.manner).unwrap_or_else(|| resource(request));
                self.admitted.push(claims);
                reply
            }
        }
    }
}

/// The user in AKS's admin certificate.
fn administrator() -> Claims {
    json!({"upn": "masterclient", "groups": ["system:masters"]})
}

/// Authenticates a request by its bearer token (RFC 6750).
fn admit(request: &Request) -> Result<Claims, String> {
    let authorization = request
        .header("authorization")
        .ok_or("no Authorization header")?;
    let token = authorization
        .strip_prefix("Bearer ")
        .ok_or("not a bearer token")?;
    let envelope = Jwt::parse(token)?;
    let jwt = match envelope.header["typ"] == "pop" {
        true => Jwt::parse(envelope.verify_pop(request.host())?)?,
        false if envelope.claims.get("cnf").is_some() => {
            return Err("a bound token without its proof".into());
        }
        false => Jwt::parse(token)?,
    };
    jwt.verify_entra()?;
    jwt.verify_lifetime()?;
    // The v1 endpoint keeps this prefix in the audience if the client sent it.
    match jwt
        .claim("aud")
        .strip_prefix("spn:")
        .unwrap_or(jwt.claim("aud"))
    {
        SERVER_ID => Ok(jwt.claims),
        other => Err(format!("for {other}, not for this server")),
    }
}

fn resource(request: &Request) -> Reply {
    let wants_table = request
        .header("accept")
        .is_some_and(|accept| accept.contains("as=Table"));
    let body = match (request.method.as_str(), request.path.as_str()) {
        ("GET", "/version") => version(),
        ("GET", "/api") => json!({"kind": "APIVersions", "versions": ["v1"]}),
        ("GET", "/apis") => json!({"kind": "APIGroupList", "apiVersion": "v1", "groups": []}),
        ("GET", "/api/v1") => resource_list(),
        ("GET", "/api/v1/nodes") if wants_table => node_table(),
        ("GET", "/api/v1/nodes") => list("NodeList", &[node()]),
        ("GET", "/api/v1/namespaces/default/pods") => list("PodList", &[]),
        ("GET", "/api/v1/namespaces/default/secrets") => list("SecretList", &[helm_release()]),
        _ => {
            return status(
                404,
                "NotFound",
                "the server could not find the requested resource",
            );
        }
    };
    Reply::json(200, &body)
}

fn version() -> Value {
    json!({"major": "1", "minor": "33", "gitVersion": "v1.33.0", "platform": "linux/amd64"})
}

/// SelfSubjectReview and SelfSubjectAccessReview.
fn review(request: &Request, claims: &Claims, manner: &Manner) -> Option<Reply> {
    let (group, question) = request.path.strip_prefix("/apis/")?.rsplit_once('/')?;
    // AKS uses the UPN, or the object ID if there is none.
    let user = claims["upn"].as_str().or_else(|| claims["oid"].as_str());
    let user = user.unwrap_or("nobody");
    if let Manner::Forbidden(rbac) = manner {
        return Some(status(403, "Forbidden", &rbac.denial(user)));
    }
    let known = match manner {
        Manner::Knows(version) => *version,
        _ => "v1",
    };
    let (kind, status) = match question {
        "selfsubjectreviews" if group == format!("authentication.k8s.io/{known}") => {
            let mut groups = claims["groups"].as_array().cloned().unwrap_or_default();
            groups.push("system:authenticated".into());
            // An administrator's certificate has no object ID.
            let extra = match claims["oid"].is_string() {
                true => json!({"oid": [claims["oid"]]}),
                false => json!({}),
            };
            let user = json!({"username": user, "groups": groups, "extra": extra});
            ("SelfSubjectReview", json!({ "userInfo": user }))
        }
        "selfsubjectaccessreviews" if group == "authorization.k8s.io/v1" => match manner {
            Manner::Powerless(rbac) => (
                "SelfSubjectAccessReview",
                json!({"allowed": false, "reason": rbac.denial(user)}),
            ),
            _ => ("SelfSubjectAccessReview", json!({"allowed": true})),
        },
        _ => return None,
    };
    let answer = json!({"kind": kind, "apiVersion": group, "status": status});
    Some(Reply::json(201, &answer))
}

fn resource_list() -> Value {
    let kinds = [
        ("nodes", "Node", false),
        ("pods", "Pod", true),
        ("secrets", "Secret", true),
    ];
    let resources = kinds.map(|(name, kind, namespaced)| {
        let singular = kind.to_lowercase();
        json!({"name": name, "singularName": singular, "namespaced": namespaced, "kind": kind, "verbs": ["get", "list"]})
    });
    json!({"kind": "APIResourceList", "groupVersion": "v1", "resources": resources})
}

fn list(kind: &str, items: &[Value]) -> Value {
    json!({"kind": kind, "apiVersion": "v1", "metadata": {"resourceVersion": "1"}, "items": items})
}

fn node() -> Value {
    json!({"kind": "Node", "apiVersion": "v1", "metadata": {"name": "fake-node", "creationTimestamp": "2026-01-01T00:00:00Z"}})
}

/// A release as helm stores it: gzipped JSON, encoded as base64, in a secret, which encodes it again.
fn helm_release() -> Value {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    let release = json!({
        "name": "fake-release", "namespace": "default", "version": 1,
        "info": {"status": "deployed", "last_deployed": "2026-01-01T00:00:00Z"},
        "chart": {"metadata": {"name": "fake-chart", "version": "1.0.0", "apiVersion": "v2"}},
    });
    let stored = STANDARD.encode(gzip(release.to_string().as_bytes()));
    json!({
        "kind": "Secret", "apiVersion": "v1", "type": "helm.sh/release.v1",
        "metadata": {"name": "sh.helm.release.v1.fake-release.v1", "namespace": "default",
            "labels": {"owner": "helm", "name": "fake-release", "status": "deployed", "version": "1"}},
        "data": {"release": STANDARD.encode(stored)},
    })
}

fn node_table() -> Value {
    let column = |name| json!({"name": name, "type": "string", "format": "", "description": "", "priority": 0});
    json!({
        "kind": "Table", "apiVersion": "meta.k8s.io/v1", "metadata": {"resourceVersion": "1"},
        "columnDefinitions": [column("Name"), column("Status")],
        "rows": [{"cells": ["fake-node", "Ready"], "object": {
            "kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": {"name": "fake-node"},
        }}],
    })
}

fn status(code: u16, reason: &str, message: &str) -> Reply {
    Reply::json(
        code,
        &json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": reason, "message": message, "code": code}),
    )
}
