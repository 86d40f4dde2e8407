//! The federated token: a JWT of another issuer with which an application proves itself to Entra (RFC 7523 section
//! 2.2; Microsoft, "Workload identity federation"). It lives for minutes, so it is got anew for each login.

use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

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
use crate::token::{seconds, unverified_claims};

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
        let is_endpoint = |url: &Url| matches!(url.scheme(), "http" | "https") && url.has_host();
        let url = Url::parse(url.trim()).ok().filter(is_endpoint);
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
            .remedy("Hand ACTIONS_ID_TOKEN_REQUEST_TOKEN or SYSTEM_ACCESSTOKEN on to this step as it is.")
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
            Self::File(path) => {
                let patience = deadline.remaining(system);
                read_within(path, patience).map_err(|why| origin.error(&why.to_string()))?
            }
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

/// A volume that hangs, or a pipe that nobody writes into, is not waited for longer than for a server.
fn read_within(path: &Path, patience: Duration) -> io::Result<Secret> {
    let (sender, receiver) = mpsc::channel();
    let path = path.to_owned();
    thread::Builder::new().spawn(move || sender.send(read_file(&path)))?;
    receiver.recv_timeout(patience).unwrap_or_else(|_| {
        let why = format!("it could not be read within {patience:?}");
        Err(io::Error::other(why))
    })
}

fn read_file(path: &Path) -> io::Result<Secret> {
    if path.is_dir() {
        return Err(io::ErrorKind::IsADirectory.into());
    }
    let mut bytes = Vec::new();
    File::open(path)?
        .take(LARGEST_BODY)
        .read_to_end(&mut bytes)?;
    let text = String::from_utf8(bytes).map_err(|_| io::Error::other("it is not a JWT"))?;
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
        let answer = retry::send(system, request, Via::EnvironmentProxy, deadline)
            .map_err(|error| error.context(self))?;
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
        DateTime::from_timestamp(seconds(&self.exp)?, 0)
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

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    use serde_json::json;

    use super::*;
    use crate::entra::authority::{Authority, AuthorityHost, Version};
    use crate::entra::{Client, ClientAuth, Grant};
    use crate::system::fake::FakeSystem;
    use crate::token::{Scope, Token};

    /// In force for five minutes of the fake world.
    fn jwt() -> String {
        jwt_with(
            &json!({"iss": "https://issuer", "sub": "job", "aud": ["api://x"], "exp": FakeSystem::EPOCH.timestamp() + 300}),
        )
    }

    fn jwt_with(claims: &Value) -> String {
        format!("e30.{}.sig", URL_SAFE_NO_PAD.encode(claims.to_string()))
    }

    fn endpoint(url: &str) -> Endpoint {
        Endpoint::parse("URL", url, &Secret::new("hush\n")).expect("endpoint")
    }

    fn github(url: &str) -> Source {
        Source::GitHubActions(endpoint(url))
    }

    fn pipelines(url: &str) -> Source {
        Source::AzurePipelines {
            endpoint: endpoint(url),
            service_connection_id: "conn;1".into(),
        }
    }

    /// A file that is there as long as the value is.
    struct TokenFile(PathBuf);

    impl TokenFile {
        fn holding(name: &str, content: impl AsRef<[u8]>) -> Self {
            let name = format!("kubelogin-{}-{name}", std::process::id());
            let path = std::env::temp_dir().join(name);
            std::fs::write(&path, content).expect("written");
            Self(path)
        }

        fn source(&self) -> Source {
            Source::File(self.0.clone())
        }
    }

    impl Drop for TokenFile {
        fn drop(&mut self) {
            let _ = std::fs::remove_file(&self.0);
        }
    }

    fn login(host: &str, source: Source, system: &FakeSystem) -> Result<Token, Error> {
        let client = Client {
            authority: Authority::new(AuthorityHost::parse(host)?, "ten")?,
            version: Version::V2,
            client_id: "app".into(),
            auth: ClientAuth::Federated(source),
        };
        let scope = Scope::of_server("srv");
        client.token(
            &Grant::ClientCredentials,
            &scope,
            Duration::from_secs(60),
            system,
        )
    }

    const PUBLIC: &str = "https://login.microsoftonline.com/";
    const ACCESS_TOKEN: &str = r#"{"access_token":"at","expires_in":3600}"#;

    fn assert_assertion_form(form: &str) {
        let jwt = jwt();
        assert_eq!(
            form,
            format!(
                "client_id=app&client_assertion_type=urn%3Aietf%3Aparams%3Aoauth%3Aclient-assertion-type%3Ajwt-bearer\
                 &client_assertion={jwt}&grant_type=client_credentials&scope=srv%2F.default+openid+offline_access+profile"
            )
        );
    }

    /// Azure/kubelogin sends the file's line break along.
    #[test]
    fn a_file_costs_one_request_and_only_its_token_is_sent() {
        for content in [
            jwt(),
            format!("{}\r\n", jwt()),
            format!("\u{feff} {}\n\n", jwt()),
        ] {
            let file = TokenFile::holding("good", content);
            let system = FakeSystem::new([FakeSystem::json(200, ACCESS_TOKEN)]);
            login(PUBLIC, file.source(), &system).expect("token");
            assert_eq!(system.requests().len(), 1);
            assert_assertion_form(&system.forms()[0]);
        }
    }

    #[test]
    fn the_file_is_read_again_for_each_login() {
        let file = TokenFile::holding("fresh", "not yet");
        let Source::File(path) = file.source() else {
            unreachable!()
        };
        let system = FakeSystem::new([FakeSystem::json(200, ACCESS_TOKEN)]);
        login(PUBLIC, file.source(), &system).expect_err("not yet");
        std::fs::write(path, jwt()).expect("written");
        login(PUBLIC, file.source(), &system).expect("token");
    }

    #[test]
    fn a_file_without_a_good_token_is_told_before_anything_is_sent() {
        let expired = jwt_with(
            &json!({"iss": "https://issuer", "sub": "job", "aud": "api://x", "exp": FakeSystem::EPOCH.timestamp()}),
        );
        let folder = std::env::temp_dir();
        let rows: &[(&[u8], &str)] = &[
            (b"", "is empty"),
            (b" \r\n", "is empty"),
            (b"hush.hush.hush", "not a JWT"),
            (b"{\"token\":\"hush\"}", "not a JWT"),
            (b"\xff\xfeh\0u\0s\0h\0", "not a JWT"),
            (
                expired.as_bytes(),
                "expired at 2026-01-01T00:00:00Z (issuer \"https://issuer\", subject \"job\", audience \"api://x\")",
            ),
        ];
        for (content, why) in rows {
            let file = TokenFile::holding("bad", content);
            // An unknown host would be asked for its endpoints first.
            let system = FakeSystem::new([]);
            let error = login("https://idp.example/", file.source(), &system);
            let error = error.expect_err(why).to_string();
            assert!(
                error.contains(why) && error.contains("kubelogin-"),
                "{error}"
            );
            assert!(!error.contains("hush") && !error.contains("e30"), "{error}");
        }
        for (path, why) in [
            (folder.clone(), "is a directory"),
            (folder.join("kubelogin-nobody"), "os error"),
        ] {
            let error = login(PUBLIC, Source::File(path), &FakeSystem::new([]));
            let error = error.expect_err(why).to_string();
            assert!(
                error.contains(why) && error.contains("AZURE_FEDERATED_TOKEN_FILE"),
                "{error}"
            );
        }
    }

    #[test]
    fn a_token_that_names_no_end_is_entra_s_to_judge() {
        for claims in [json!({}), json!({"exp": "soon"}), json!({"exp": null})] {
            let file = TokenFile::holding("endless", jwt_with(&claims));
            let system = FakeSystem::new([FakeSystem::json(200, ACCESS_TOKEN)]);
            login(PUBLIC, file.source(), &system).expect("token");
        }
    }

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
            login(
                host,
                github("https://github.example/token?api-version=2.0&audience=other"),
                &system,
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
            let header = |name: &str| {
                requests[0].headers()[name]
                    .to_str()
                    .expect("text")
                    .to_owned()
            };
            assert_eq!(header("authorization"), "Bearer hush");
            assert_eq!(header("accept"), "application/json; api-version=2.0");
            assert_assertion_form(&system.forms()[1]);
        }
    }

    #[test]
    fn pipelines_are_asked_once_and_a_query_in_the_address_stays() {
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
            login(PUBLIC, pipelines(url), &system).expect("token");
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

    /// The original gives up at the first 429 or 503.
    #[test]
    fn a_busy_ci_system_is_asked_again() {
        for source in [
            github("https://ci.example/"),
            pipelines("https://ci.example/"),
        ] {
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
    fn a_bad_answer_of_a_ci_system_is_told_without_its_body_and_entra_is_not_asked() {
        for (status, body, why) in [
            (401, "hush", "ci.example answered 401"),
            (404, "hush", "ci.example answered 404"),
            (302, "hush", "ci.example answered 302"),
            (200, "<html>hush", "not the JSON"),
            (200, r#"{"value":7,"hush":1}"#, "not the JSON"),
            (200, r#"{"value":"","hush":1}"#, "is empty"),
            (200, r#"{"oidcToken":"","hush":1}"#, "is empty"),
            (200, r#"{"oidcToken":null}"#, "is empty"),
            (200, r#"{"hush":1}"#, "is empty"),
            (200, r#"{"value":"hush"}"#, "not a JWT"),
        ] {
            for (source, place, way_out) in [
                (
                    github("https://ci.example/?sig=hush"),
                    "GitHub Actions",
                    "id-token: write",
                ),
                (
                    pipelines("https://ci.example/?sig=hush"),
                    "Azure Pipelines",
                    "SYSTEM_ACCESSTOKEN",
                ),
            ] {
                let system = FakeSystem::new([FakeSystem::json(status, body)]);
                let error = login(PUBLIC, source, &system).expect_err(why).to_string();
                for part in [why, place, way_out] {
                    assert!(error.contains(part), "{error}");
                }
                assert!(!error.contains("hush"), "{error}");
            }
        }
        let system = FakeSystem::new((0..4).map(|_| FakeSystem::json(500, "hush")));
        let error = login(PUBLIC, pipelines("https://ci.example/"), &system);
        let error = error.expect_err("out of order").to_string();
        assert!(
            error.contains("answered 500") && !error.contains("hush"),
            "{error}"
        );
    }

    #[test]
    fn the_ids_that_support_asks_for_are_told() {
        let answer = http::Response::builder()
            .status(401)
            .header("x-vss-e2eid", "e-1");
        let answer = Ok(answer.body(Vec::new()).expect("answer"));
        let error = login(
            PUBLIC,
            pipelines("https://ci.example/"),
            &FakeSystem::new([answer]),
        );
        let error = error.expect_err("refused").to_string();
        assert!(error.ends_with("\nx-vss-e2eid: e-1"), "{error}");
    }

    #[test]
    fn a_bearer_token_of_two_lines_is_told_and_not_shown() {
        let two_lines = Endpoint::parse("URL", "https://ci.example/", &Secret::new("hush\nhush"));
        let source = Source::GitHubActions(two_lines.expect("endpoint"));
        let error = login(PUBLIC, source, &FakeSystem::new([]));
        let error = error.expect_err("refused").to_string();
        assert!(
            error.contains("one line") && !error.contains("hush"),
            "{error}"
        );
    }

    /// Azure/kubelogin#171: what the federated credential has to say stands in the token.
    #[test]
    fn a_token_that_entra_does_not_know_is_told_with_its_claims() {
        for code in [70021, 700_211, 700_212, 700_213, 700_023, 700_024] {
            let refusal = json!({"error": "invalid_request", "error_description": format!("AADSTS{code}: No."),
                "error_codes": [code], "correlation_id": "c-1"});
            let system = FakeSystem::new([FakeSystem::json(401, refusal.to_string())]);
            let file = TokenFile::holding("unknown", jwt());
            let error = login(PUBLIC, file.source(), &system)
                .expect_err("refused")
                .to_string();
            let claims = "issuer \"https://issuer\", subject \"job\", audience [\"api://x\"]";
            assert!(error.contains(claims), "{error}");
            assert!(
                error.contains("c-1") && error.lines().count() == 3,
                "{error}"
            );
        }
        let other = r#"{"error":"unauthorized_client","error_description":"AADSTS700016: No."}"#;
        let system = FakeSystem::new([FakeSystem::json(400, other)]);
        let file = TokenFile::holding("other", jwt());
        let error = login(PUBLIC, file.source(), &system)
            .expect_err("refused")
            .to_string();
        assert!(!error.contains("issuer"), "{error}");
    }
}
