//! Entra's error responses: <https://learn.microsoft.com/entra/identity-platform/reference-error-codes>

use chrono::Utc;
use serde_json::json;

use super::super::http1::{Reply, Request};

/// AADSTS code, HTTP status, OAuth error, start of the description.
type Row = (u32, u16, &'static str, &'static str);

#[rustfmt::skip]
const REFUSALS: &[Row] = &[
    (50011,   400, "invalid_request",        "The redirect URI specified in the request does not match the redirect URIs configured for the application."),
    (50013,   401, "invalid_client",         "Assertion failed signature validation."),
    (50034,   400, "invalid_grant",          "The user account does not exist in the directory."),
    (50076,   400, "invalid_grant",          "Due to a change by your administrator you must use multi-factor authentication."),
    (50126,   400, "invalid_grant",          "Error validating credentials due to invalid username or password."),
    (53003,   400, "invalid_grant",          "Access has been blocked by Conditional Access policies."),
    (54005,   400, "invalid_grant",          "OAuth2 Authorization code was already redeemed."),
    (65001,   400, "invalid_grant",          "The user or administrator has not consented to use the application."),
    (65004,   400, "authorization_declined", "User declined to consent to access the app."),
    (70000,   400, "invalid_grant",          "The provided grant is invalid or malformed."),
    (70011,   400, "invalid_scope",          "The provided value for the input parameter 'scope' is not valid."),
    (70016,   400, "authorization_pending",  "OAuth 2.0 device flow error. Authorization is pending. Continue polling."),
    (70018,   400, "bad_verification_code",  "Invalid verification code due to a user typing in a wrong user code for the device code flow."),
    (70020,   400, "expired_token",          "The provided value for the input parameter 'device_code' has expired."),
    (70021,   400, "invalid_request",        "No matching federated identity record found for presented assertion."),
    (90002,   400, "invalid_request",        "Tenant not found. Check to make sure you have the correct tenant ID."),
    (500011,  400, "invalid_resource",       "The resource principal was not found in the tenant."),
    (700016,  400, "unauthorized_client",    "Application was not found in the directory."),
    (700024,  401, "invalid_client",         "Client assertion is not within its valid time range."),
    (700025,  401, "invalid_client",         "Client is public so neither 'client_assertion' nor 'client_secret' should be presented."),
    (700027,  401, "invalid_client",         "The certificate with identifier used to sign the client assertion is not registered on application."),
    (700082,  400, "invalid_grant",          "The refresh token has expired due to inactivity."),
    (7000215, 401, "invalid_client",         "Invalid client secret provided."),
    (7000218, 401, "invalid_client",         "The request body must contain the following parameter: 'client_assertion' or 'client_secret'."),
    (9002313, 400, "invalid_request",        "Invalid request. Request is malformed or invalid."),
    (SLOW_DOWN, 400, "slow_down",            "Polling too often."),
];

/// Made up: Entra's code for this is not documented.
pub const SLOW_DOWN: u32 = 79999;

/// Why a request fails.
pub struct Refusal {
    code: u32,
    pub detail: String,
    /// True if no correct client would send this request.
    pub is_violation: bool,
}

/// A refusal that correct clients get, too.
pub fn refused(code: u32, detail: &str) -> Refusal {
    Refusal {
        code,
        detail: detail.to_owned(),
        is_violation: false,
    }
}

/// A request that no correct client sends.
pub fn violation(detail: impl Into<String>) -> Refusal {
    Refusal {
        code: 9002313,
        detail: detail.into(),
        is_violation: true,
    }
}

impl Refusal {
    /// Also counts it as a violation; tests that cause it on purpose call `take_violations`.
    pub fn reported(self) -> Self {
        Self {
            is_violation: true,
            ..self
        }
    }

    pub fn reply(&self, request: &Request) -> Reply {
        const UNLISTED: Row = (0, 400, "invalid_grant", "Refused, as the test asked for.");
        let (_, status, error, sentence) = *REFUSALS
            .iter()
            .find(|row| row.0 == self.code)
            .unwrap_or(&UNLISTED);
        let correlation_id = request
            .header("client-request-id")
            .unwrap_or("66666666-ffff-4fff-8fff-666666666666");
        let trace_id = "77777777-abcd-4bcd-8bcd-777777777777";
        let timestamp = Utc::now().format("%Y-%m-%d %H:%M:%SZ");
        let (code, detail) = (self.code, &self.detail);
        let text = format!(
            "AADSTS{code}: {sentence} {detail} Trace ID: {trace_id} Correlation ID: {correlation_id} Timestamp: {timestamp}"
        );
        Reply::json(
            status,
            &json!({
                "error": error,
                "error_description": text,
                "error_codes": [code],
                "timestamp": timestamp.to_string(),
                "trace_id": trace_id,
                "correlation_id": correlation_id,
                "error_uri": format!("https://{}/error?code={code}", request.host()),
            }),
        )
    }
}
