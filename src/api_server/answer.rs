//! What an API server's responses mean: pure functions of status and body.

use std::collections::BTreeMap;

use http::StatusCode;
use http::header::LOCATION;
use serde::Deserialize;
use serde_json::Value;

use crate::error::one_line;
use crate::system::HttpResponse;

/// The answer to a request without a token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Greeting {
    pub status: StatusCode,
    /// `gitVersion`, if the server shows it to anonymous callers.
    pub version: Option<String>,
    /// Why this does not look like an API server's response; `None` if it does.
    pub oddity: Option<String>,
}

/// The server's verdict about a caller.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict<T> {
    Yes(T),
    No(Refusal),
    /// 404: the server is too old for the question.
    NotOffered,
    /// Not an API server's response, with a description of it.
    Odd(String),
}

/// The server refuses the request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// 401: it does not accept the token.
    Unauthorized,
    /// 403: the token is accepted, but the user may not do this.
    Forbidden {
        /// Who the server says the caller is.
        user: Option<String>,
        by: Rbac,
        message: String,
    },
}

/// Which system denied access: the end of the message tells (guard, authz/providers/azure).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rbac {
    /// Azure RBAC is on, and neither it nor Kubernetes RBAC allows the request.
    Azure,
    /// Azure RBAC could not be reached.
    AzureFailed,
    Kubernetes,
}

/// Who the caller is to the server (`status.userInfo`).
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default)]
pub struct Identity {
    pub username: String,
    pub uid: String,
    pub groups: Vec<String>,
    pub extra: BTreeMap<String, Vec<String>>,
}

impl Greeting {
    pub fn of(answer: &HttpResponse) -> Self {
        let body: Option<Value> = serde_json::from_slice(answer.body()).ok();
        let text = |name: &str| {
            let text = body.as_ref()?.get(name)?.as_str()?;
            Some(one_line(text))
        };
        let version = text("gitVersion");
        let is_status = text("kind").as_deref() == Some("Status");
        // With anonymous access off, AKS responds with 401 and an empty or plain text body.
        let is_refusal = matches!(
            answer.status(),
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN
        ) && !looks_like_html(answer.body());
        let is_its_own = version.is_some() || is_status || is_refusal;
        Self {
            status: answer.status(),
            version,
            oddity: (!is_its_own).then(|| oddity(answer)),
        }
    }
}

impl<T> Verdict<T> {
    /// Parses the body; if that fails, the response is odd.
    pub fn and_then<U>(self, read: impl FnOnce(T) -> Option<U>) -> Verdict<U> {
        match self {
            Self::Yes(value) => match read(value) {
                Some(value) => Verdict::Yes(value),
                None => Verdict::Odd("JSON without the expected fields".into()),
            },
            Self::No(refusal) => Verdict::No(refusal),
            Self::NotOffered => Verdict::NotOffered,
            Self::Odd(what) => Verdict::Odd(what),
        }
    }
}

impl Identity {
    pub fn of(body: &Value) -> Option<Self> {
        serde_json::from_value(body.get("status")?.get("userInfo")?.clone()).ok()
    }

    /// `extra.oid`: the object ID in Entra ID, which AKS always adds.
    pub fn object_id(&self) -> Option<&str> {
        self.extra.get("oid")?.first().map(String::as_str)
    }
}

/// Classifies a response by status and body.
pub fn verdict(answer: &HttpResponse) -> Verdict<Value> {
    let body: Option<Value> = serde_json::from_slice(answer.body()).ok();
    let message = body
        .as_ref()
        .and_then(|body| body["message"].as_str())
        .map(one_line)
        .unwrap_or_default();
    match (answer.status(), body) {
        (StatusCode::OK | StatusCode::CREATED, Some(body)) => Verdict::Yes(body),
        (StatusCode::UNAUTHORIZED, _) if !looks_like_html(answer.body()) => {
            Verdict::No(Refusal::Unauthorized)
        }
        (StatusCode::FORBIDDEN, Some(_)) => Verdict::No(Refusal::Forbidden {
            user: forbidden_user(&message),
            by: rbac(&message),
            message,
        }),
        (StatusCode::NOT_FOUND, Some(_)) => Verdict::NotOffered,
        _ => Verdict::Odd(oddity(answer)),
    }
}

/// The result of a SelfSubjectAccessReview: allowed, or why not.
pub fn permission(body: &Value) -> Option<Result<(), String>> {
    let status = body.get("status")?;
    let reason = ["reason", "evaluationError"]
        .into_iter()
        .find_map(|name| status[name].as_str().filter(|text| !text.is_empty()));
    Some(match status.get("allowed")?.as_bool()? {
        true => Ok(()),
        false => Err(one_line(reason.unwrap_or_default())),
    })
}

/// Which system denied access. Messages of guard, in AKS and Arc: "User does not have access to the resource in Azure",
/// "doesn't have access to the resource in Azure"; Kubernetes RBAC's denials do not contain them.
pub fn rbac(message: &str) -> Rbac {
    if message.contains("access to the resource in Azure") {
        Rbac::Azure
    } else if message.contains("Azure RBAC check failure") {
        Rbac::AzureFailed
    } else {
        Rbac::Kubernetes
    }
}

/// `.. is forbidden: User "X" cannot ..`
fn forbidden_user(message: &str) -> Option<String> {
    let (_, rest) = message.split_once("User \"")?;
    rest.split_once('"').map(|(user, _)| user.to_owned())
}

fn looks_like_html(body: &[u8]) -> bool {
    let start = &body[..body.len().min(256)];
    let start = String::from_utf8_lossy(start).trim_start().to_lowercase();
    start.starts_with("<!doctype html") || start.starts_with("<html")
}

fn oddity(answer: &HttpResponse) -> String {
    let status = answer.status().as_u16();
    if answer.status().is_redirection() {
        let to = answer.headers().get(LOCATION);
        let to = to.and_then(|to| to.to_str().ok()).unwrap_or("nowhere");
        // A query may contain secrets.
        let to = to.split('?').next().unwrap_or_default();
        return one_line(&format!("a redirect (HTTP {status}) to {to}, not followed"));
    }
    match looks_like_html(answer.body()) {
        true => format!("a web page (HTTP {status}), not the Kubernetes API"),
        false => format!("HTTP {status}, not a Kubernetes API response"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, body: &str) -> HttpResponse {
        let answer = http::Response::builder().status(status);
        answer.body(body.as_bytes().to_vec()).expect("an answer")
    }

    /// Bodies of a real kube-apiserver and of guard's webhook.
    #[test]
    fn a_denial_tells_who_and_which_system() {
        let kubernetes = include_str!("../../fixtures/api_server/forbidden-kubernetes-rbac.json");
        let azure = include_str!("../../fixtures/api_server/forbidden-azure-rbac.json");
        for (body, system, who) in [
            (kubernetes, Rbac::Kubernetes, "alice@contoso.example"),
            (azure, Rbac::Azure, "66666666-ffff-4fff-8fff-666666666666"),
        ] {
            let Verdict::No(Refusal::Forbidden { user, by, .. }) = verdict(&answer(403, body))
            else {
                panic!("not forbidden");
            };
            assert_eq!((user.as_deref(), by), (Some(who), system));
        }
        assert_eq!(
            rbac("Access denied due to Azure RBAC check failure. Please retry later."),
            Rbac::AzureFailed
        );
    }

    #[test]
    fn unauthorized_is_said_in_any_form_but_a_web_page() {
        let json = include_str!("../../fixtures/api_server/unauthorized.json");
        for body in [json, "", "Unauthorized"] {
            let refused = verdict(&answer(401, body));
            assert_eq!(refused, Verdict::No(Refusal::Unauthorized), "{body}");
        }
        let page = answer(401, " <!DOCTYPE html><html>Sign in to the proxy");
        assert!(matches!(verdict(&page), Verdict::Odd(_)));
    }

    #[test]
    fn what_no_api_server_answers_is_named() {
        let mut redirect = answer(302, "");
        let to = "https://login.example/?token=secret"
            .parse()
            .expect("a URL");
        redirect.headers_mut().insert(LOCATION, to);
        for (answer, word) in [
            (answer(200, "<html>"), "web page"),
            (answer(404, "<html>"), "web page"),
            (answer(502, "bad gateway"), "502"),
            (redirect, "redirect"),
        ] {
            let Verdict::Odd(what) = verdict(&answer) else {
                panic!("{answer:?}");
            };
            assert!(what.contains(word) && !what.contains("secret"), "{what}");
            let greeting = Greeting::of(&answer);
            assert!(greeting.oddity.is_some(), "{answer:?}");
        }
    }

    #[test]
    fn any_answer_of_an_api_server_greets() {
        for (status, body) in [
            (200, r#"{"gitVersion":"v1.30.1"}"#),
            (
                401,
                include_str!("../../fixtures/api_server/unauthorized.json"),
            ),
            (403, r#"{"kind":"Status","reason":"Forbidden"}"#),
            (401, ""),
        ] {
            assert_eq!(Greeting::of(&answer(status, body)).oddity, None, "{body}");
        }
    }

    #[test]
    fn a_review_is_read_with_its_extra_fields() {
        let body = include_str!("../../fixtures/api_server/self-subject-review-v1.json");
        let body: Value = serde_json::from_str(body).expect("JSON");
        let identity = Identity::of(&body).expect("an identity");
        assert_eq!(identity.username, "alice@contoso.example");
        assert_eq!(
            identity.object_id(),
            Some("55555555-eeee-4eee-8eee-555555555555")
        );
        assert!(identity.groups.contains(&"system:authenticated".into()));
        assert_eq!(Identity::of(&serde_json::json!({"status": {}})), None);
    }
}
