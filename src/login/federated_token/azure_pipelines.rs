//! The federated token of an Azure Pipelines job with a service connection:
//! <https://learn.microsoft.com/rest/api/azure/devops/distributedtask/oidctoken/create>

use http::Method;
use http::header::{ACCEPT, HeaderName};

use super::endpoint::Request;
use super::{Place, Source};
use crate::env::{self, Env};
use crate::error::Error;

/// Without this header a refusal is a redirect to a sign-in page.
const NO_REDIRECT: HeaderName = HeaderName::from_static("x-tfs-fedauthredirect");

/// The endpoint of Azure Pipelines.
///
/// # Errors
/// A variable of the job is missing or unusable.
pub fn source(env: &Env, service_connection_id: &str) -> Result<Source, Error> {
    let variable = |name: &'static str, remedy: &str| {
        let missing = || Error::input(format!("{name} is not set")).remedy(remedy);
        env.get(name).map(|value| (name, value)).ok_or_else(missing)
    };
    let bearer = variable(
        env::SYSTEM_ACCESSTOKEN,
        "Azure Pipelines does not pass it to a step unless you map it: env: SYSTEM_ACCESSTOKEN: $(System.AccessToken)",
    )?;
    let url = variable(
        env::SYSTEM_OIDCREQUESTURI,
        "Azure Pipelines sets it in every job; this login mode works only there, and in a container only if you pass it on.",
    )?;
    let request = Request {
        method: Method::POST,
        url,
        parameters: &[
            ("api-version", "7.1"),
            ("serviceConnectionId", service_connection_id),
        ],
        headers: &[(ACCEPT, "application/json"), (NO_REDIRECT, "Suppress")],
        bearer,
    };
    Ok(Source {
        name: "federated token from Azure Pipelines".into(),
        remedy: "Check --azure-pipelines-service-connection-id, that the pipeline is authorized to use that connection, and \
                 that SYSTEM_ACCESSTOKEN comes from this job.",
        place: Place::Endpoint(Box::new(request.build()?)),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::tests::{ACCESS_TOKEN, PUBLIC, assert_assertion_form, jwt, login};
    use super::*;
    use crate::system::fake::FakeSystem;

    #[test]
    fn pipelines_are_asked_once_and_a_query_in_the_url_stays() {
        for (url, query) in [
            (
                "https://dev.azure.example/oidc",
                "api-version=7.1&serviceConnectionId=conn%3B1",
            ),
            (
                "https://dev.azure.example/oidc?a=b%20c&api-version=1",
                "a=b+c&api-version=7.1&serviceConnectionId=conn%3B1",
            ),
        ] {
            let answer = json!({"oidcToken": jwt()}).to_string();
            let system = FakeSystem::new([
                FakeSystem::json(200, answer),
                FakeSystem::json(200, ACCESS_TOKEN),
            ]);
            let env = Env::of(&[
                (env::SYSTEM_OIDCREQUESTURI, url),
                (env::SYSTEM_ACCESSTOKEN, "hush\n"),
            ]);
            let source = source(&env, "conn;1").expect("variables");
            login(PUBLIC, source, &system).expect("token");

            let requests = system.requests();
            assert_eq!(requests.len(), 2);
            assert_eq!(
                (requests[0].method().as_str(), requests[0].uri().query()),
                ("POST", Some(query))
            );
            assert_eq!(requests[0].headers()["authorization"], "Bearer hush");
            assert_eq!(requests[0].headers()["x-tfs-fedauthredirect"], "Suppress");
            assert!(requests[0].body().is_empty());
            assert_assertion_form(&system.forms()[1]);
        }
    }
}
