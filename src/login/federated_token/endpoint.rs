//! The endpoint where a CI system issues federated tokens to its jobs.

use http::header::{AUTHORIZATION, HeaderName, HeaderValue};
use http::{Method, StatusCode};
use oauth2::url::Url;
use serde::Deserialize;

use super::Source;
use crate::entra::answer::without_bom;
use crate::error::Error;
use crate::flag::is_unexpanded;
use crate::retry::{self, Deadline};
use crate::secret::{Secret, redact};
use crate::system::{HttpRequest, HttpResponse, System, Via};
use crate::token_cache::Fingerprint;

/// An environment variable that the CI system sets: its name and its value.
pub type Variable<'a> = (&'static str, &'a str);

/// A request for a federated token.
pub struct Request<'a> {
    pub method: Method,
    pub url: Variable<'a>,
    /// Replace parameters of the same name in the URL; its others stay.
    pub parameters: &'a [(&'a str, &'a str)],
    pub headers: &'a [(HeaderName, &'static str)],
    /// Who asks: a token that the CI system gave the job.
    pub bearer: Variable<'a>,
}

impl Request<'_> {
    /// # Errors
    /// A variable has no usable URL or token. Its value is not shown, because a URL can contain a signature.
    pub fn build(&self) -> Result<HttpRequest, Error> {
        let unusable = |(variable, _): Variable, why: &str| {
            Error::input(format!("{variable} {why}"))
                .remedy("The CI system sets it for each job; pass it to this step unchanged.")
        };
        for variable in [self.url, self.bearer] {
            if is_unexpanded(variable.1.trim()) {
                return Err(unusable(
                    variable,
                    "is the name of a variable, not its value",
                ));
            }
        }
        let not_a_url = || unusable(self.url, "is not a URL");
        let mut request = http::Request::builder()
            .method(&self.method)
            .uri(self.full_url().ok_or_else(not_a_url)?.as_str());
        for (name, value) in self.headers {
            request = request.header(name, *value);
        }
        let bearer = format!("Bearer {}", self.bearer.1.trim());
        let mut bearer = HeaderValue::from_str(&bearer)
            .map_err(|_| unusable(self.bearer, "is not a single line of plain text"))?;
        bearer.set_sensitive(true);
        let request = request.header(AUTHORIZATION, bearer).body(Vec::new());
        request.map_err(|_| not_a_url())
    }

    fn full_url(&self) -> Option<Url> {
        let mut url = Url::parse(self.url.1.trim()).ok()?;
        if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
            return None;
        }
        let is_ours = |name: &str| self.parameters.iter().any(|(ours, _)| *ours == name);
        let pairs = url.query_pairs().into_owned();
        let kept: Vec<_> = pairs.filter(|(name, _)| !is_ours(name)).collect();
        url.query_pairs_mut()
            .clear()
            .extend_pairs(kept)
            .extend_pairs(self.parameters);
        Some(url)
    }
}

/// Distinguishes the requests of different jobs: the token that the CI system gave the job, and the URL, which
/// identifies the run and, in Azure Pipelines, the service connection.
pub fn asker(request: &HttpRequest) -> Fingerprint {
    let bearer = request.headers().get(AUTHORIZATION);
    let bearer = bearer.map(HeaderValue::as_bytes).unwrap_or_default();
    Fingerprint::of(&[bearer, request.uri().to_string().as_bytes()])
}

/// Sends the request, again if the CI system is busy. A response that may contain a token is never shown.
pub fn ask(
    source: &Source,
    request: &HttpRequest,
    deadline: Deadline,
    system: &dyn System,
) -> Result<Secret, Error> {
    /// The response of GitHub, and that of Azure DevOps.
    #[derive(Deserialize)]
    struct Answer {
        #[serde(alias = "oidcToken")]
        value: Option<Secret>,
    }
    let answer = retry::send(system, request, Via::EnvironmentProxy, deadline)
        .map_err(|error| error.context(&source.name))?;
    if answer.status() != StatusCode::OK {
        return Err(refusal(source, request, &answer));
    }
    let body: Option<Answer> = serde_json::from_slice(without_bom(answer.body())).ok();
    let body = body.ok_or_else(|| source.error("the response is not the expected JSON"))?;
    Ok(body.value.unwrap_or_else(Secret::empty))
}

fn refusal(source: &Source, request: &HttpRequest, answer: &HttpResponse) -> Error {
    let status = answer.status();
    let host = request.uri().host().unwrap_or_default();
    let what = format!("{}: {host} answered {status}", source.name);
    let bearer = request.headers().get(AUTHORIZATION);
    let bearer = bearer.and_then(|bearer| bearer.to_str().ok()?.strip_prefix("Bearer "));
    let bearer = bearer.map(Secret::new);
    let what = match own_sentence(answer.body()) {
        Some(sentence) => format!("{what}: {}", redact(&sentence, &bearer)),
        None => what,
    };
    let error = match retry::is_passing(status) {
        true => Error::outside(what)
            .remedy("The CI system is busy or temporarily unavailable; run the job again later."),
        false => Error::refused("", what).remedy(source.remedy),
    };
    // Microsoft support asks for it.
    let references = ["x-vss-e2eid", "x-msedge-ref"]
        .into_iter()
        .filter_map(|name| {
            let value = answer.headers().get(name)?.to_str().ok()?;
            Some(format!("{name}: {}", redact(value, &bearer)))
        });
    let references: Vec<_> = references.collect();
    match references.is_empty() {
        true => error,
        false => error.reference(references.join("; ")),
    }
}

/// The CI system's reason for refusing: `message`, in Azure DevOps and GitHub.
fn own_sentence(body: &[u8]) -> Option<String> {
    #[derive(Deserialize)]
    struct Refusal {
        message: String,
    }
    let refusal: Refusal = serde_json::from_slice(without_bom(body)).ok()?;
    let sentence = refusal.message.trim().to_owned();
    (!sentence.is_empty()).then_some(sentence)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::tests::{ACCESS_TOKEN, PUBLIC, jwt, login};
    use super::super::{azure_pipelines, github_actions};
    use super::*;
    use crate::env::{self, Env};
    use crate::system::fake::FakeSystem;

    /// Both CI systems at this URL, with their names and a part of what to check.
    fn sources(url: &str) -> [(Source, &'static str, &'static str); 2] {
        let env = Env::of(&[
            (env::ACTIONS_ID_TOKEN_REQUEST_URL, url),
            (env::ACTIONS_ID_TOKEN_REQUEST_TOKEN, "hush"),
            (env::SYSTEM_OIDCREQUESTURI, url),
            (env::SYSTEM_ACCESSTOKEN, "hush"),
        ]);
        let github =
            github_actions::source(&env, github_actions::NAMES, "api://x").expect("variables");
        let pipelines = azure_pipelines::source(&env, "conn").expect("variables");
        [
            (github.expect("set"), "GitHub Actions", "id-token: write"),
            (pipelines, "Azure Pipelines", "SYSTEM_ACCESSTOKEN"),
        ]
    }

    /// The original gives up at the first 429 or 503.
    #[test]
    fn a_busy_ci_system_is_asked_again() {
        for (source, ..) in sources("https://ci.example/") {
            let system = FakeSystem::new([
                FakeSystem::json(429, ""),
                FakeSystem::json(503, ""),
                FakeSystem::json(200, json!({"value": jwt()}).to_string()),
                FakeSystem::json(200, ACCESS_TOKEN),
            ]);
            login(PUBLIC, source, &system).expect("token");
        }
    }

    #[test]
    fn a_bad_response_from_a_ci_system_is_reported_without_its_body_and_entra_is_not_asked() {
        for (status, body, why) in [
            (401, "hush", "ci.example answered 401"),
            (404, "hush", "ci.example answered 404"),
            (302, "hush", "ci.example answered 302"),
            (200, "<html>hush", "not the expected JSON"),
            (200, r#"{"value":7,"hush":1}"#, "not the expected JSON"),
            (200, r#"{"value":"","hush":1}"#, "is empty"),
            (200, r#"{"oidcToken":"","hush":1}"#, "is empty"),
            (200, r#"{"oidcToken":null}"#, "is empty"),
            (200, r#"{"hush":1}"#, "is empty"),
            (200, r#"{"value":"hush"}"#, "not a JWT"),
        ] {
            for (source, place, fix) in sources("https://ci.example/?sig=hush") {
                let system = FakeSystem::new([FakeSystem::json(status, body)]);
                let error = login(PUBLIC, source, &system).expect_err(why).to_string();
                for part in [why, place, fix] {
                    assert!(error.contains(part), "{error}");
                }
                assert!(!error.contains("hush"), "{error}");
            }
        }
    }

    /// "TF14045: The identity with type ... could not be found" says more than "404 Not Found".
    #[test]
    fn what_a_ci_system_says_about_its_refusal_is_shown_without_the_job_s_token() {
        let body = r#"{"$id":"1","message":"TF1: no connection hush-1.","typeName":"x"}"#;
        for status in [400, 401, 403, 404, 500] {
            for (source, ..) in sources("https://ci.example/?sig=hush") {
                let system = FakeSystem::new((0..4).map(|_| FakeSystem::json(status, body)));
                let error = login(PUBLIC, source, &system)
                    .expect_err("refused")
                    .to_string();
                assert!(error.contains(&format!("answered {status}")), "{error}");
                assert!(
                    error.contains(": TF1: no connection [redacted]-1."),
                    "{error}"
                );
            }
        }
    }

    #[test]
    fn another_job_another_run_or_another_service_connection_has_another_fingerprint() {
        let of = |url: &str, bearer: &str, connection: &str| {
            let env = Env::of(&[
                (env::SYSTEM_OIDCREQUESTURI, url),
                (env::SYSTEM_ACCESSTOKEN, bearer),
            ]);
            match azure_pipelines::source(&env, connection)
                .expect("variables")
                .place
            {
                crate::login::federated_token::Place::Endpoint(request) => asker(&request),
                _ => unreachable!("it is an endpoint"),
            }
        };
        let job = of("https://ci.example/1", "hush", "one");
        assert_eq!(of("https://ci.example/1", "hush", "one"), job);
        for other in [
            of("https://ci.example/1", "another", "one"),
            of("https://ci.example/2", "hush", "one"),
            of("https://ci.example/1", "hush", "two"),
        ] {
            assert_ne!(other, job);
        }
    }

    #[test]
    fn a_ci_system_that_stays_unavailable_is_named_with_its_status() {
        for (source, ..) in sources("https://ci.example/") {
            let system = FakeSystem::new((0..4).map(|_| FakeSystem::json(500, "hush")));
            let error = login(PUBLIC, source, &system).expect_err("unavailable");
            let error = error.to_string();
            assert!(
                error.contains("answered 500") && !error.contains("hush"),
                "{error}"
            );
        }
    }

    #[test]
    fn the_ids_that_support_asks_for_are_shown() {
        for (source, ..) in sources("https://ci.example/") {
            let answer = http::Response::builder()
                .status(401)
                .header("x-vss-e2eid", "e-1");
            let answer = Ok(answer.body(Vec::new()).expect("answer"));
            let error = login(PUBLIC, source, &FakeSystem::new([answer]));
            let error = error.expect_err("refused").to_string();
            assert!(error.ends_with("\nx-vss-e2eid: e-1"), "{error}");
        }
    }

    #[test]
    fn an_unusable_variable_is_named_and_its_value_is_not_shown() {
        let good = ("URL", "https://ci.example/");
        for (url, bearer, what) in [
            (("URL", "nonsense?t=hush"), "hush", "URL is not a URL"),
            (("URL", "ftp://ci/?t=hush"), "hush", "URL is not a URL"),
            (good, "hush\nhush", "BEARER is not a single line"),
            // Azure Pipelines leaves a variable that a step may not have as it is written.
            (
                good,
                "$(System.AccessToken)",
                "BEARER is the name of a variable",
            ),
            (
                ("URL", "$(System.OidcRequestUri)"),
                "hush",
                "URL is the name",
            ),
        ] {
            let request = Request {
                method: Method::GET,
                url,
                parameters: &[],
                headers: &[],
                bearer: ("BEARER", bearer),
            };
            let error = request.build().expect_err(what).to_string();
            assert!(error.contains(what) && error.contains("CI"), "{error}");
            assert!(!error.contains("hush"), "{error}");
        }
    }
}
