//! Azure Resource Manager's errors, what they mean and how to fix them, in one table.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use http::header::{RETRY_AFTER, WWW_AUTHENTICATE};
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::error::{Error, one_line};
use crate::secret::Secret;
use crate::system::HttpResponse;
use crate::token::is_guid;

/// What a request was for; named in its error.
#[derive(Debug, Clone)]
pub struct Asked {
    /// What failed, for a sentence: `the kubeconfig of cluster "prod"`.
    pub what: String,
    /// The scope for a role assignment: a resource ID.
    pub scope: String,
    /// The role that allows it.
    pub role: &'static str,
}

/// An answer that is not 200.
#[derive(Debug)]
pub struct Refusal {
    host: String,
    status: u16,
    /// ARM's error code; empty if the response did not come from ARM.
    pub code: String,
    message: String,
    /// The tenant that the token must be from, if ARM names one.
    pub tenant: Option<String>,
    /// Additional claims that the token must have (OpenID Connect Core 1.0, section 5.5): JSON in base64.
    challenge: Option<String>,
    retry_after: Option<String>,
    correlation_id: Option<String>,
}

/// ARM's errors are wrapped, those of AKS sometimes are not.
#[derive(Deserialize, Default)]
#[serde(default)]
struct Body {
    error: Option<Inner>,
    code: Option<String>,
    message: Option<String>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Inner {
    code: Option<String>,
    message: Option<String>,
}

/// A row: the status (0 for any), the code (empty for any), a part of the message in lower case, the meaning, the fix.
type Row = (u16, &'static str, &'static str, &'static str, &'static str);

/// The first matching row applies. `{..}` is filled in by [`Refusal::fill`].
#[rustfmt::skip]
const ROWS: &[Row] = &[
    (0, "AuthorizationFailed", "", "{who} is not allowed to read {what}: the role {role:?} is missing",
        "Have it assigned (it takes up to 5 minutes): az role assignment create --role {role:?} --assignee-object-id {object_id} --scope {scope}"),
    (0, "LinkedAuthorizationFailed", "", "{who} is not allowed to read {what}: the role {role:?} is missing",
        "Have it assigned (it takes up to 5 minutes): az role assignment create --role {role:?} --assignee-object-id {object_id} --scope {scope}"),
    (0, "InvalidAuthenticationTokenTenant", "", "{what} is in another tenant than the one you signed in to",
        "Sign in to that tenant: --tenant-id {tenant}. (A subscription that was moved takes up to an hour.)"),
    (401, "", "insufficient_claims", "{what}: Azure wants a stronger sign-in (Conditional Access)",
        "The new sign-in was not strong enough either: ask the Conditional Access administrator of tenant {tenant} what is missing."),
    (0, "RequestDisallowedByPolicy", "", "{what}: a policy does not allow it: {message}",
        "If it requires MFA, sign in again with MFA; otherwise ask the administrator of the policy."),
    (401, "", "", "{host} does not accept the token for {what}: {message}",
        "Check --environment and --tenant-id, or sign out (kubelogin remove-cache-dir) and try again."),
    (0, "ResourceNotFound", "", "{what} does not exist, or you may not see it",
        "Check the name, --resource-group and --subscription, or pass only the name to search every resource group."),
    (0, "ResourceGroupNotFound", "", "{what}: the resource group does not exist, or you may not see it",
        "Check --resource-group and --subscription, or pass only the name to search every resource group."),
    (0, "SubscriptionNotFound", "", "{what}: there is no such subscription in this tenant",
        "Check --subscription, --tenant-id and --environment."),
    (0, "InvalidSubscriptionId", "", "{what}: that is not a valid subscription ID",
        "Check --subscription."),
    (0, "MissingSubscriptionRegistration", "", "{what}: the subscription has no AKS clusters: Microsoft.ContainerService is not registered in it",
        "Check --subscription."),
    (400, "", "local accounts", "{what}: its local accounts are disabled, so there is no admin credential",
        "Leave --admin out. In an emergency the cluster's owner can enable them: az aks update --enable-local-accounts."),
    (400, "", "static credential", "{what}: its local accounts are disabled, so there is no admin credential",
        "Leave --admin out. In an emergency the cluster's owner can enable them: az aks update --enable-local-accounts."),
    (403, "", "", "{what} is refused: {message}",
        "Check that you have the role {role:?}, and that no policy or lock forbids it."),
    (429, "", "", "{what}: {host} is busy and asked to wait {seconds}",
        "Try again after that."),
    (408, "", "", "{what}: {host} answered {status}", "Try again later."),
];

impl Refusal {
    /// Reads a response; it may quote `bearer`, which was sent with the request.
    pub fn read(answer: &HttpResponse, host: &str, bearer: &Secret) -> Self {
        let header = |name: &str| {
            let value = answer.headers().get(name)?.to_str().ok()?;
            Some(value.to_owned())
        };
        let challenge = header(WWW_AUTHENTICATE.as_str()).unwrap_or_default();
        let body: Body = serde_json::from_slice(answer.body()).unwrap_or_default();
        let inner = body.error.unwrap_or_default();
        let mut message = inner.message.or(body.message).unwrap_or_default();
        if challenge.contains("insufficient_claims") {
            message.push_str(" insufficient_claims");
        }
        if !bearer.is_empty() {
            message = message.replace(bearer.expose(), "[redacted]");
        }
        Self {
            host: host.to_owned(),
            status: answer.status().as_u16(),
            code: inner.code.or(body.code).unwrap_or_default(),
            message: one_line(&message),
            tenant: tenant_of(&challenge),
            challenge: parameter(&challenge, "claims")
                .filter(|challenge| decoded(challenge).is_some())
                .map(str::to_owned),
            retry_after: header(RETRY_AFTER.as_str()),
            correlation_id: header("x-ms-correlation-request-id").filter(|id| is_guid(id)),
        }
    }

    /// True if no reason is given, so that a new token may help.
    pub fn is_of_token(&self) -> bool {
        self.status == 401 && self.challenge.is_none()
    }

    /// The claims that a new token must have, as JSON.
    pub fn claims(&self) -> Option<String> {
        decoded(self.challenge.as_deref()?).filter(|_| self.status == 401)
    }

    /// The same, as ARM wrote them, for the command lines of other programs.
    pub fn challenge(&self) -> Option<&str> {
        self.challenge.as_deref()
    }

    pub fn is_forbidden(&self) -> bool {
        self.status == 403
    }

    pub fn is_not_found(&self) -> bool {
        self.status == 404
    }

    /// The newest non-preview API version that ARM lists when it does not know the requested one.
    pub fn known_version(&self) -> Option<&str> {
        const CODES: &[&str] = &[
            "InvalidResourceType",
            "NoRegisteredProviderFound",
            "InvalidApiVersionParameter",
        ];
        if !CODES.contains(&self.code.as_str()) {
            return None;
        }
        // The requested version comes first, in quotes, then the list.
        let list = &self.message[self.message.find("supported")?..];
        let words = list.split(|c: char| !c.is_ascii_alphanumeric() && c != '-');
        let is_digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
        let is_version = |word: &&str| {
            let parts: Vec<&str> = word.split('-').collect();
            matches!(&parts[..], [year, month, day] if (year.len(), month.len(), day.len()) == (4, 2, 2))
                && parts.iter().all(|part| is_digits(part))
        };
        words.filter(is_version).max()
    }

    /// The error for the user.
    pub fn explain(&self, asked: &Asked) -> Error {
        let message = self.message.to_lowercase();
        let row = ROWS.iter().find(|(status, code, part, ..)| {
            (*status == 0 || *status == self.status)
                && (code.is_empty() || self.code.eq_ignore_ascii_case(code))
                && message.contains(part)
        });
        let (what, fix) = match row {
            Some((.., meaning, fix)) => (*meaning, *fix),
            None if self.status >= 500 => (
                "{what}: {host} answered {status}",
                "Azure Resource Manager is temporarily unavailable: try again later.",
            ),
            None if self.code.is_empty() => (
                "{what}: {host} answered {status}",
                "Check --environment, HTTPS_PROXY and NO_PROXY: something else may have answered.",
            ),
            None => (
                "{what}: {message}",
                "Check the name, --resource-group and --subscription.",
            ),
        };
        let what = self.fill(what, asked);
        let passes = self.status >= 500 || matches!(self.status, 408 | 429);
        let error = match passes {
            true => Error::outside(what),
            false => Error::refused("", what),
        };
        let reference = [
            (!self.code.is_empty()).then(|| self.code.clone()),
            self.correlation_id
                .as_ref()
                .map(|id| format!("correlation ID {id}")),
        ];
        let reference: Vec<String> = reference.into_iter().flatten().collect();
        let error = error.remedy(self.fill(fix, asked));
        match reference.is_empty() {
            true => error,
            false => error.reference(reference.join(", ")),
        }
    }

    fn fill(&self, text: &str, asked: &Asked) -> String {
        let client = quoted_after(&self.message, "client '");
        let object_id = quoted_after(&self.message, "object id '").filter(|id| is_guid(id));
        let who = match (client, object_id) {
            (Some(client), Some(id)) if client != id => format!("{client} (object ID {id})"),
            (_, Some(id)) => format!("the identity with object ID {id}"),
            (Some(client), None) => client.to_owned(),
            (None, None) => "the identity you signed in with".to_owned(),
        };
        let seconds = match &self.retry_after {
            Some(seconds) if seconds.bytes().all(|byte| byte.is_ascii_digit()) => {
                format!("{seconds} s")
            }
            _ => "a while".to_owned(),
        };
        let status = http::StatusCode::from_u16(self.status);
        let role = format!("{:?}", asked.role);
        let message = match self.message.is_empty() {
            true => "no reason given",
            false => self.message.trim_end_matches(" insufficient_claims"),
        };
        // ARM's own text is inserted last, so that nothing in it is substituted.
        [
            ("{role:?}", role.as_str()),
            ("{scope}", &asked.scope),
            ("{host}", &self.host),
            ("{seconds}", &seconds),
            (
                "{status}",
                &status.map_or_else(|_| self.status.to_string(), |status| status.to_string()),
            ),
            ("{object_id}", object_id.unwrap_or("OBJECT_ID")),
            ("{tenant}", self.tenant.as_deref().unwrap_or("TENANT")),
            ("{what}", &asked.what),
            ("{who}", &who),
            ("{message}", message),
        ]
        .iter()
        .fold(text.to_owned(), |text, (place, value)| {
            text.replace(place, value)
        })
    }
}

/// The JSON of a claims challenge.
fn decoded(challenge: &str) -> Option<String> {
    let json = STANDARD_NO_PAD
        .decode(challenge.trim_end_matches('='))
        .ok()?;
    let claims: Map<String, Value> = serde_json::from_slice(&json).ok()?;
    Some(Value::Object(claims).to_string())
}

/// The tenant in a challenge: the last part of its `authorization_uri`. The host in it is never used.
pub fn tenant_of(challenge: &str) -> Option<String> {
    let uri =
        parameter(challenge, "authorization_uri").or(parameter(challenge, "authorization"))?;
    let tenant = uri.trim_end_matches('/').rsplit('/').next()?;
    is_guid(tenant).then(|| tenant.to_ascii_lowercase())
}

/// A parameter of a `WWW-Authenticate` header (RFC 9110, section 11.6.1), in quotes.
fn parameter<'a>(challenge: &'a str, name: &str) -> Option<&'a str> {
    let start = challenge.find(&format!("{name}=\""))? + name.len() + 2;
    challenge[start..].split('"').next()
}

/// The text between these words and the next quote.
fn quoted_after<'a>(text: &'a str, words: &str) -> Option<&'a str> {
    let start = text.find(words)? + words.len();
    text[start..]
        .split('\'')
        .next()
        .filter(|text| !text.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(status: u16, headers: &[(&str, &str)], body: &str) -> Refusal {
        let mut answer = http::Response::builder().status(status);
        for (name, value) in headers {
            answer = answer.header(*name, *value);
        }
        let answer = answer.body(body.as_bytes().to_vec()).expect("an answer");
        Refusal::read(&answer, "management.azure.com", &Secret::new("the-bearer"))
    }

    fn explained(refusal: &Refusal) -> String {
        let asked = Asked {
            what: "the kubeconfig of cluster \"prod\"".into(),
            scope: "/subscriptions/S".into(),
            role: "Azure Kubernetes Service Cluster User Role",
        };
        let text = refusal.explain(&asked).to_string();
        assert!(text.lines().count() <= 3, "{text}");
        assert!(!text.contains('{'), "a place was left open: {text}");
        text
    }

    fn coded(status: u16, code: &str, message: &str) -> String {
        let body = serde_json::json!({"error": {"code": code, "message": message}});
        explained(&refusal(status, &[], &body.to_string()))
    }

    #[test]
    fn a_missing_role_is_named_with_who_lacks_it_and_the_command_that_gives_it() {
        let message = "The client 'alice@contoso.example' with object id '55555555-eeee-4eee-8eee-000000000001' does not have authorization to perform action 'Microsoft.ContainerService/managedClusters/listClusterUserCredential/action' over scope '/x' or the scope is invalid.";
        assert_eq!(
            coded(403, "AuthorizationFailed", message),
            "alice@contoso.example (object ID 55555555-eeee-4eee-8eee-000000000001) is not allowed to read the kubeconfig of cluster \"prod\": the role \"Azure Kubernetes Service Cluster User Role\" is missing\n\
             Have it assigned (it takes up to 5 minutes): az role assignment create --role \"Azure Kubernetes Service Cluster User Role\" --assignee-object-id 55555555-eeee-4eee-8eee-000000000001 --scope /subscriptions/S\n\
             AuthorizationFailed"
        );
    }

    #[test]
    fn every_error_has_its_meaning_and_its_fix() {
        for (status, code, message, meaning, fix) in [
            (
                401,
                "InvalidAuthenticationTokenTenant",
                "wrong issuer",
                "another tenant",
                "--tenant-id",
            ),
            (
                401,
                "ExpiredAuthenticationToken",
                "It expired.",
                "It expired.",
                "remove-cache-dir",
            ),
            (
                404,
                "ResourceNotFound",
                "",
                "does not exist",
                "--resource-group",
            ),
            (
                404,
                "ResourceGroupNotFound",
                "",
                "resource group does not exist",
                "--subscription",
            ),
            (
                404,
                "SubscriptionNotFound",
                "",
                "no such subscription",
                "--environment",
            ),
            (
                409,
                "MissingSubscriptionRegistration",
                "",
                "no AKS clusters",
                "--subscription",
            ),
            (
                400,
                "BadRequest",
                "Getting static credential is not allowed because this cluster is set to disable local accounts.",
                "local accounts are disabled",
                "Leave --admin out",
            ),
            (
                403,
                "RequestDisallowedByPolicy",
                "MFA",
                "MFA",
                "sign in again with MFA",
            ),
            (403, "Other", "Locked.", "Locked.", "the role"),
            (
                429,
                "TooManyRequests",
                "",
                "asked to wait a while",
                "Try again",
            ),
            (
                503,
                "",
                "",
                "503 Service Unavailable",
                "temporarily unavailable",
            ),
            (302, "", "", "302 Found", "HTTPS_PROXY"),
            (400, "Odd", "An odd thing.", "An odd thing.", "Check"),
        ] {
            let text = coded(status, code, message);
            assert!(
                text.contains(meaning) && text.contains(fix),
                "{code}: {text}"
            );
        }
    }

    #[test]
    fn errors_of_aks_without_a_wrapper_are_read_too_and_html_is_not_shown() {
        let bare = refusal(404, &[], r#"{"code":"ResourceNotFound","message":"gone"}"#);
        assert!(explained(&bare).contains("does not exist"));
        let html = refusal(502, &[], "<html>hunter2</html>");
        assert!(!explained(&html).contains("hunter2"));
    }

    #[test]
    fn the_tenant_is_the_last_part_of_the_challenge_and_must_be_a_guid() {
        let tenant = "11111111-aaaa-4aaa-8aaa-111111111111";
        for (uri, found) in [
            (format!("https://login.windows.net/{tenant}"), Some(tenant)),
            (format!("https://login.windows.net/{tenant}/"), Some(tenant)),
            (format!("https://login.windows.net/{tenant}?x"), None),
            ("https://login.windows.net/common".to_owned(), None),
        ] {
            let challenge = format!("Bearer authorization_uri=\"{uri}\", error=\"invalid_token\"");
            let refusal = refusal(401, &[("www-authenticate", &challenge)], "");
            assert_eq!(refusal.tenant.as_deref(), found, "{uri}");
        }
    }

    #[test]
    fn a_claims_challenge_is_read_if_it_is_json() {
        for (claims, json) in [
            ("eyJhIjoxfQ==", Some(r#"{"a":1}"#)),
            ("eyJhIjoxfQ", Some(r#"{"a":1}"#)),
            ("W10=", None),
            ("%", None),
            ("", None),
        ] {
            let challenge = format!(
                r#"Bearer authorization_uri="https://login.windows.net/x", error="insufficient_claims", claims="{claims}""#
            );
            let refusal = refusal(401, &[("www-authenticate", &challenge)], "{}");
            assert_eq!(refusal.claims().as_deref(), json, "{claims}");
            assert_eq!(refusal.is_of_token(), json.is_none(), "{claims}");
            assert!(explained(&refusal).contains("a stronger sign-in"));
        }
    }

    #[test]
    fn a_bearer_token_that_comes_back_and_control_characters_are_not_shown() {
        let text = coded(400, "Odd", "Bad: the-bearer \u{1b}[31m");
        assert!(
            !text.contains("the-bearer") && !text.contains('\u{1b}'),
            "{text}"
        );
    }

    #[test]
    fn the_newest_version_that_is_no_preview_is_taken_of_those_that_are_known() {
        let message = "No registered resource provider found for location 'west' and API version '2024-09-01' for type 'managedClusters'. The supported api-versions are '2017-08-31, 2021-05-01, 2020-01-01, 2023-01-02-preview'. The supported locations are 'west'.";
        let body =
            serde_json::json!({"error": {"code": "NoRegisteredProviderFound", "message": message}});
        let unknown = refusal(400, &[], &body.to_string());
        assert_eq!(unknown.known_version(), Some("2021-05-01"));
        assert_eq!(refusal(404, &[], "{}").known_version(), None);
    }
}
