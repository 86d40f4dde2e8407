//! ARM's error responses, in its own words.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;

use super::super::entra::{USER_NAME, User};
use super::super::http1::{Reply, Request};
use super::super::jwt::claims_of;
use super::FakeCluster;

/// Why a request fails.
pub struct Refusal {
    status: u16,
    code: String,
    pub message: String,
    headers: Vec<(String, String)>,
    /// True if no correct client would send this request.
    pub is_violation: bool,
}

/// A refusal that correct clients get, too.
pub fn refused(status: u16, code: &str, message: &str) -> Refusal {
    Refusal {
        status,
        code: code.into(),
        message: message.into(),
        headers: Vec::new(),
        is_violation: false,
    }
}

/// A request that no correct client sends.
pub fn violation(message: impl Into<String>) -> Refusal {
    let refusal = refused(400, "BadRequest", &message.into());
    Refusal {
        is_violation: true,
        ..refusal
    }
}

/// The response to a request without a token: where to sign in.
pub fn challenged(tenant: Option<&str>) -> Refusal {
    match tenant {
        Some(tenant) => refused(
            401,
            "AuthenticationFailed",
            "Authentication failed. The 'Authorization' header is missing.",
        )
        .header("WWW-Authenticate", &challenge(tenant)),
        None => refused(
            404,
            "SubscriptionNotFound",
            "The subscription could not be found.",
        ),
    }
}

pub fn challenge(tenant: &str) -> String {
    format!(
        "Bearer authorization_uri=\"https://login.windows.net/{tenant}\", error=\"invalid_token\", error_description=\"The authentication failed because of missing 'Authorization' header.\""
    )
}

/// Refuses a token that lacks an authentication context, with the challenge to get one (Microsoft, "Conditional Access
/// authentication context").
pub fn check_context(request: &Request, context: &str) -> Result<(), Refusal> {
    let authorization = request.header("authorization").unwrap_or_default();
    let token = authorization.strip_prefix("Bearer ").unwrap_or_default();
    if claims_of(token)["acrs"][0] == context {
        return Ok(());
    }
    let claims = json!({"access_token": {"acrs": {"essential": true, "value": context}}});
    let claims = STANDARD.encode(claims.to_string());
    let challenge = format!(
        "Bearer realm=\"\", authorization_uri=\"https://login.microsoftonline.com/common/oauth2/authorize\", error=\"insufficient_claims\", claims=\"{claims}\""
    );
    let message = "The presented access tokens don't satisfy the required authentication context.";
    Err(refused(401, "RequestDisallowedByPolicy", message).header("WWW-Authenticate", &challenge))
}

/// The caller lacks a role.
pub fn not_authorized(cluster: &FakeCluster, is_admin: bool) -> Refusal {
    let user = User::new(USER_NAME, "");
    let action = if is_admin { "Admin" } else { "User" };
    let message = format!(
        "The client '{USER_NAME}' with object id '{}' does not have authorization to perform action 'Microsoft.ContainerService/managedClusters/listCluster{action}Credential/action' over scope '{}' or the scope is invalid. If access was recently granted, please refresh your credentials.",
        user.object_id,
        cluster.id()
    );
    refused(403, "AuthorizationFailed", &message)
}

impl Refusal {
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    pub fn reply(&self) -> Reply {
        let body = json!({"error": {"code": self.code, "message": self.message}});
        let reply = Reply::json(self.status, &body).header(
            "x-ms-correlation-request-id",
            "77777777-0000-4000-8000-000000000007",
        );
        self.headers
            .iter()
            .fold(reply, |reply, (name, value)| reply.header(name, value))
    }
}
