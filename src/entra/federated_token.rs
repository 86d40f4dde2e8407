//! The federated token: a JWT of another issuer with which an application proves itself to Entra (RFC 7523 section
//! 2.2; Microsoft, "Workload identity federation"). It lives for minutes, so it is got anew for each login.

use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use chrono::{DateTime, SecondsFormat, Utc};
use http::StatusCode;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use oauth2::url::Url;
use serde::Deserialize;
use serde_json::Value;

use super::error::{advice, code_in};
use super::without_bom;
use crate::error::Error;
use crate::retry::{self, Deadline};
use crate::secret::Secret;
use crate::system::{HttpRequest, HttpResponse, LARGEST_BODY, System, Via};
use crate::token::unverified_claims;

/// Where federated tokens come from.
#[derive(Debug)]
pub enum Source {
    /// A file that something else keeps fresh: in AKS the kubelet.
    File(PathBuf),
    /// <https://docs.github.com/actions/reference/security/oidc>
    GitHubActions(Endpoint),
    /// <https://learn.microsoft.com/rest/api/azure/devops/distributedtask/oidctoken/create>
    AzurePipelines {
        endpoint: Endpoint,
        service_connection_id: String,
    },
}

/// Where a CI system gives its jobs federated tokens.
#[derive(Debug)]
pub struct Endpoint {
    url: Url,
    /// The whole `Authorization` header.
    authorization: Secret,
}

impl Endpoint {
    /// `variable` is the one that holds `url`, for the error. The URL is not shown: it can hold a signature.
    pub fn parse(variable: &str, url: &str, bearer: &Secret) -> Result<Self, Error> {
        let url = Url::parse(url.trim()).ok().filter(Url::has_host);
        let url = url.ok_or_else(|| {
            Error::input(format!("{variable} is not a URL"))
                .remedy("The CI system sets it for each job: hand it on to this step as it is.")
        })?;
        Ok(Self {
            url,
            authorization: Secret::new(format!("Bearer {}", bearer.expose().trim())),
        })
    }

    /// The URL with these query parameters: one that is there already is replaced, the others stay.
    fn url_with(&self, parameters: &[(&str, &str)]) -> Url {
        let mut url = self.url.clone();
        let is_ours = |name: &str| parameters.iter().any(|(ours, _)| *ours == name);
        let kept: Vec<_> = self
            .url
            .query_pairs()
            .filter(|(name, _)| !is_ours(name))
            .collect();
        url.query_pairs_mut()
            .clear()
            .extend_pairs(kept)
            .extend_pairs(parameters);
        url
    }

    fn request(&self, builder: http::request::Builder) -> Result<HttpRequest, Error> {
        let unusable = || {
            Error::input(
                "the CI system's access token for federated tokens is not one line of plain text",
            )
        };
        let mut authorization =
            HeaderValue::from_str(self.authorization.expose()).map_err(|_| unusable())?;
        authorization.set_sensitive(true);
        builder
            .header(AUTHORIZATION, authorization)
            .body(Vec::new())
            .map_err(|_| unusable())
    }
}

impl Source {
    /// Reads or asks for a token. `audience` is Entra's own, where the one who asks may say it.
    ///
    /// # Errors
    /// If there is none, or one that Entra would refuse for its form or its age.
    pub fn token(
        &self,
        audience: &str,
        deadline: Deadline,
        system: &dyn System,
    ) -> Result<FederatedToken, Error> {
        let origin = Origin(self);
        let text = match self {
            Self::File(path) => read_file(path).map_err(|why| origin.error(&why.to_string()))?,
            Self::GitHubActions(endpoint) => {
                let url = endpoint.url_with(&[("audience", audience)]);
                let request = http::Request::get(url.as_str())
                    .header(CONTENT_TYPE, "application/json")
                    .header(ACCEPT, "application/json; api-version=2.0");
                origin.ask(&endpoint.request(request)?, deadline, system)?
            }
            Self::AzurePipelines {
                endpoint,
                service_connection_id,
            } => {
                let url = endpoint.url_with(&[
                    ("api-version", "7.1"),
                    ("serviceConnectionId", service_connection_id),
                ]);
                let request = http::Request::post(url.as_str())
                    .header(ACCEPT, "application/json")
                    // Without it a refusal is a redirect to a page for people.
                    .header("X-TFS-FedAuthRedirect", "Suppress");
                origin.ask(&endpoint.request(request)?, deadline, system)?
            }
        };
        FederatedToken::check(&text, &origin, system.now())
    }
}

fn read_file(path: &Path) -> io::Result<Secret> {
    if path.is_dir() {
        return Err(io::ErrorKind::IsADirectory.into());
    }
    let mut bytes = Vec::new();
    File::open(path)?
        .take(LARGEST_BODY)
        .read_to_end(&mut bytes)?;
    let text = String::from_utf8(bytes).map_err(|_| io::Error::other("does not hold a JWT"))?;
    Ok(Secret::new(text))
}

/// A source as its errors name it.
struct Origin<'a>(&'a Source);

impl Origin<'_> {
    /// Asks a CI system, again if it is busy. No byte of the answer is shown: it may hold a token.
    fn ask(
        &self,
        request: &HttpRequest,
        deadline: Deadline,
        system: &dyn System,
    ) -> Result<Secret, Error> {
        /// GitHub's answer and Azure DevOps'.
        #[derive(Deserialize)]
        struct Answer {
            #[serde(alias = "oidcToken")]
            value: Option<Secret>,
        }
        let answer = retry::send(system, request, Via::EnvironmentProxy, deadline)?;
        if answer.status() != StatusCode::OK {
            return Err(self.refusal(request, &answer));
        }
        let body: Option<Answer> = serde_json::from_slice(without_bom(answer.body())).ok();
        let body = body.ok_or_else(|| self.error("the answer is not the JSON it should be"))?;
        Ok(body.value.unwrap_or_else(|| Secret::new("")))
    }

    fn refusal(&self, request: &HttpRequest, answer: &HttpResponse) -> Error {
        let status = answer.status();
        let host = request.uri().host().unwrap_or_default();
        let what = format!("{self}: {host} answered {status}");
        let error = match retry::is_passing(status) {
            true => Error::outside(what)
                .remedy("The CI system is busy or out of order: run the job again in a while."),
            false => Error::refused("", what).remedy(self.remedy()),
        };
        // What Microsoft's support asks for.
        let references = ["x-vss-e2eid", "x-msedge-ref"]
            .into_iter()
            .filter_map(|name| {
                let value = answer.headers().get(name)?.to_str().ok()?;
                Some(format!("{name}: {value}"))
            });
        let references: Vec<_> = references.collect();
        match references.is_empty() {
            true => error,
            false => error.reference(references.join("; ")),
        }
    }

    fn error(&self, why: &str) -> Error {
        Error::input(format!("{self}: {why}")).remedy(self.remedy())
    }

    const fn remedy(&self) -> &'static str {
        match self.0 {
            Source::File(_) => {
                "Check --federated-token-file (or AZURE_FEDERATED_TOKEN_FILE); in AKS the workload identity webhook \
                 mounts the file and the kubelet renews the token in it."
            }
            Source::GitHubActions(_) => {
                "Check that the job has permissions: id-token: write and is still running; its variables hold in no other job."
            }
            Source::AzurePipelines { .. } => {
                "Check --azure-pipelines-service-connection-id, that the pipeline may use that connection, and that \
                 SYSTEM_ACCESSTOKEN is the one of this job."
            }
        }
    }
}

impl fmt::Display for Origin<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Source::File(path) => write!(f, "federated token file {}", path.display()),
            Source::GitHubActions(_) => f.write_str("federated token of GitHub Actions"),
            Source::AzurePipelines { .. } => f.write_str("federated token of Azure Pipelines"),
        }
    }
}

/// A JWT that was in force when it came.
#[derive(Debug)]
pub struct FederatedToken {
    jwt: Secret,
    claims: Claims,
}

/// The claims that Entra compares with the application's federated credentials. Of any type: they are shown only.
#[derive(Debug, Deserialize)]
struct Claims {
    #[serde(default)]
    iss: Value,
    #[serde(default)]
    sub: Value,
    #[serde(default)]
    aud: Value,
    #[serde(default)]
    exp: Value,
}

impl Claims {
    fn expires_on(&self) -> Option<DateTime<Utc>> {
        #[expect(
            clippy::cast_possible_truncation,
            reason = "saturates; the range is checked after"
        )]
        DateTime::from_timestamp(self.exp.as_f64()? as i64, 0)
    }
}

impl fmt::Display for Claims {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { iss, sub, aud, .. } = self;
        write!(f, "issuer {iss}, subject {sub}, audience {aud}")
    }
}

impl FederatedToken {
    fn check(text: &Secret, origin: &Origin, now: DateTime<Utc>) -> Result<Self, Error> {
        let text = text.expose().trim_start_matches('\u{feff}').trim();
        if text.is_empty() {
            return Err(origin.error("it is empty"));
        }
        let jwt = Secret::new(text);
        let claims: Claims =
            unverified_claims(&jwt).ok_or_else(|| origin.error("it is not a JWT"))?;
        match claims.expires_on() {
            Some(expires_on) if expires_on <= now => {
                let at = expires_on.to_rfc3339_opts(SecondsFormat::Secs, true);
                let why = format!("it expired at {at} ({claims})");
                Err(origin.error(&why).remedy(format!(
                    "Whatever provides it must renew it, and this machine's clock must be right. {}",
                    origin.remedy()
                )))
            }
            _ => Ok(Self { jwt, claims }),
        }
    }

    pub const fn jwt(&self) -> &Secret {
        &self.jwt
    }

    /// Adds to Entra's refusal of the token what stands in it: that is what the person has to compare.
    pub fn explain(&self, error: Error) -> Error {
        match code_in(&error.to_string()) {
            Some(code @ (70021 | 700_023 | 700_024 | 700_200..=700_299 | 50013 | 500_133)) => {
                let advice = advice("", Some(code));
                error.remedy(format!("{advice} It says {}.", self.claims))
            }
            _ => error,
        }
    }
}
