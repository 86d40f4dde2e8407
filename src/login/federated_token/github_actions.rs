//! The federated token of a GitHub Actions job: <https://docs.github.com/actions/reference/security/oidc>

use http::Method;
use http::header::{ACCEPT, CONTENT_TYPE};

use super::endpoint::Request;
use super::{Place, Source};
use crate::env::{self, Env};
use crate::error::Error;

/// The names of the variables with the URL and with the bearer token of a request.
pub type Names = (&'static str, &'static str);

/// What GitHub sets.
pub const NAMES: Names = (
    env::ACTIONS_ID_TOKEN_REQUEST_URL,
    env::ACTIONS_ID_TOKEN_REQUEST_TOKEN,
);

/// The names that Terraform prefers to GitHub's.
pub const TERRAFORM_NAMES: Names = (env::ARM_OIDC_REQUEST_URL, env::ARM_OIDC_REQUEST_TOKEN);

/// True if the job can get tokens: GitHub sets both variables or neither.
pub fn is_available(env: &Env) -> bool {
    env.get(NAMES.0).is_some() && env.get(NAMES.1).is_some()
}

/// True if neither variable is set.
pub fn is_absent(env: &Env, names: Names) -> bool {
    env.get(names.0).is_none() && env.get(names.1).is_none()
}

/// GitHub's endpoint, if this is a job that has one. `audience` is the one that Entra expects.
///
/// # Errors
/// One of the two variables is missing or unusable.
pub fn source(env: &Env, names: Names, audience: &str) -> Result<Option<Source>, Error> {
    let (url, bearer) = match (env.get(names.0), env.get(names.1)) {
        (Some(url), Some(bearer)) => (url, bearer),
        (Some(_), None) => return Err(missing(names.1, names.0)),
        (None, Some(_)) => return Err(missing(names.0, names.1)),
        (None, None) => return Ok(None),
    };
    let request = Request {
        method: Method::GET,
        url: (names.0, url),
        parameters: &[("audience", audience)],
        headers: &[
            (CONTENT_TYPE, "application/json"),
            (ACCEPT, "application/json; api-version=2.0"),
        ],
        bearer: (names.1, bearer),
    };
    Ok(Some(Source {
        name: "federated token from GitHub Actions".into(),
        remedy: "Check that the job has permissions: id-token: write and is still running; the variables work in their own job \
                 only.",
        place: Place::Endpoint(Box::new(request.build()?)),
    }))
}

fn missing(variable: &str, other: &str) -> Error {
    Error::input(format!("{variable} is not set although {other} is")).remedy(
        "GitHub Actions sets both in a job with permissions: id-token: write; pass both to the step that runs kubectl.",
    )
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::tests::{ACCESS_TOKEN, PUBLIC, assert_assertion_form, jwt};
    use super::*;
    use crate::flag::Flag;
    use crate::login::tests::{CLIENT, NOBODY_WAITS, options};
    use crate::login::{Login as _, workloadidentity};
    use crate::system::fake::FakeSystem;
    use crate::token::Scope;

    #[test]
    fn github_is_asked_once_with_the_audience_of_the_cloud() {
        for (host, audience) in [
            (PUBLIC, "api://AzureADTokenExchange"),
            (
                "https://login.microsoftonline.us/",
                "api://AzureADTokenExchangeUSGov",
            ),
            (
                "https://login.chinacloudapi.cn/",
                "api://AzureADTokenExchangeChina",
            ),
        ] {
            let answer = json!({"count": 1, "value": jwt()}).to_string();
            let system = FakeSystem::new([
                FakeSystem::json(200, answer),
                FakeSystem::json(200, ACCESS_TOKEN),
            ]);
            let env = [
                (
                    NAMES.0,
                    "https://github.example/token?api-version=2.0&audience=other",
                ),
                (NAMES.1, "hush\n"),
            ];
            let flags = [&CLIENT[..], &[(Flag::AuthorityHost, host)]].concat();
            let options = options("workloadidentity", &flags, &env);
            workloadidentity::new(&options, &Env::of(&env))
                .expect("login")
                .acquire(
                    &Scope::of_server("srv"),
                    options.timeout,
                    &system,
                    NOBODY_WAITS,
                )
                .expect("token");

            let requests = system.requests();
            assert_eq!(requests.len(), 2);
            assert_eq!(requests[0].method(), "GET");
            assert_eq!(
                requests[0].uri().to_string(),
                format!(
                    "https://github.example/token?api-version=2.0&audience={}",
                    audience.replace(':', "%3A").replace('/', "%2F")
                )
            );
            let headers = requests[0].headers();
            assert_eq!(headers["authorization"], "Bearer hush");
            assert_eq!(headers["accept"], "application/json; api-version=2.0");
            assert_assertion_form(&system.forms()[1]);
        }
    }
}
