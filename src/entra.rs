//! Microsoft Entra ID as an OAuth server: a client and a grant go to the token endpoint, a token or an error comes back.

pub mod access_token;
mod assertion;
pub mod authority;
pub mod certificate;
pub mod error;
pub mod federated_token;

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use http::StatusCode;
use http::header::{ACCEPT, CONTENT_TYPE};
use oauth2::basic::BasicClient;
use oauth2::url::{Url, form_urlencoded};
use oauth2::{
    AuthUrl, ClientId, CsrfToken, DeviceAuthorizationUrl, PkceCodeChallenge, RedirectUrl,
    RequestTokenError,
};
use serde::{Deserialize, Deserializer, Serialize};

use crate::error::Error;
use crate::retry::{self, Deadline};
use crate::secret::Secret;
use crate::system::{HttpRequest, HttpResponse, System, Via};
use crate::token::{Scope, Token, UNKNOWN_LIFE, expiry_claim, seconds};
use assertion::JWT_BEARER;
use authority::{Authority, Endpoints, Version};
use certificate::{Certificate, CertificateFile};
use federated_token::FederatedToken;

/// An application that signs in, at its authority.
#[derive(Debug)]
pub struct Client {
    pub authority: Authority,
    pub version: Version,
    pub client_id: String,
    pub auth: ClientAuth,
}

/// How the application proves itself (RFC 6749 section 2.3, RFC 7521).
#[derive(Debug)]
pub enum ClientAuth {
    /// Not at all: a public client, for people.
    Public,
    Secret(Secret),
    Certificate(CertificateFile),
    /// With the token of another issuer that Entra trusts for it (workload identity federation).
    Federated(federated_token::Source),
}

impl ClientAuth {
    /// What the application proves itself with, for the fingerprint of a token that was obtained so.
    pub fn secrets(&self) -> Vec<&[u8]> {
        match self {
            // A token outlives the federated token that it was obtained with, and the next one is another.
            Self::Public | Self::Federated(_) => vec![],
            Self::Secret(secret) => vec![secret.expose().as_bytes()],
            Self::Certificate(file) => file.secrets().to_vec(),
        }
    }
}

/// What is given for a token.
#[derive(Debug)]
pub enum Grant<'a> {
    /// RFC 6749 section 4.1.3, with the PKCE verifier (RFC 7636 section 4.5).
    AuthorizationCode {
        code: &'a Secret,
        code_verifier: &'a Secret,
        redirect_uri: &'a str,
    },
    /// RFC 6749 section 4.4.
    ClientCredentials,
    /// RFC 8628 section 3.4.
    DeviceCode(&'a Secret),
    /// RFC 6749 section 4.3.
    Password {
        username: &'a str,
        password: &'a Secret,
    },
    /// RFC 6749 section 6.
    RefreshToken(&'a Secret),
}

/// What a browser carries to Entra (RFC 6749 section 4.1.1).
#[derive(Debug)]
pub struct AuthorizationRequest<'a> {
    pub redirect_uri: &'a str,
    /// The user name to fill in; without it the person picks an account.
    pub login_hint: Option<&'a str>,
    pub code_challenge: &'a PkceCodeChallenge,
    pub state: &'a CsrfToken,
}

/// How the browser brings Entra's answer back (OAuth 2.0 Multiple Response Type Encoding Practices, and Form Post).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ResponseMode {
    /// In the body of a form: the code stays out of the address and the browser's history.
    FormPost,
    /// In the address, where a person can copy it.
    Query,
}

/// The answer of the device authorization endpoint (RFC 8628 section 3.2), with Entra's `message`.
pub type DeviceAuthorization = oauth2::DeviceAuthorizationResponse<DeviceMessage>;

/// Entra's text for the person, with the code and where to type it.
#[derive(Debug, Serialize, Deserialize)]
pub struct DeviceMessage {
    pub message: Option<String>,
}

impl oauth2::ExtraDeviceAuthorizationFields for DeviceMessage {}

/// A conversation with the endpoints of a client's authority.
pub struct Exchange<'a> {
    client: &'a Client,
    proof: Proof<'a>,
    endpoints: Endpoints,
    system: &'a dyn System,
}

/// What proves who the application is, ready to use.
enum Proof<'a> {
    None,
    Secret(&'a Secret),
    Certificate(Certificate),
    Federated(FederatedToken),
}

impl Client {
    /// Gives a grant to the token endpoint, all that it takes `within` this time.
    pub fn token(
        &self,
        grant: &Grant,
        scope: &Scope,
        within: Duration,
        system: &dyn System,
    ) -> Result<Token, Error> {
        let deadline = Deadline::after(system, within);
        self.exchange(system, deadline)?
            .token(grant, scope, deadline)
    }

    /// Opens the certificate or gets the federated token, if that is the client's proof, before anything is sent to
    /// Entra. Then finds the endpoints: from the table for a known cloud, by one request for any other host.
    pub fn exchange<'a>(
        &'a self,
        system: &'a dyn System,
        deadline: Deadline,
    ) -> Result<Exchange<'a>, Error> {
        let proof = match &self.auth {
            ClientAuth::Public => Proof::None,
            ClientAuth::Secret(secret) => Proof::Secret(secret),
            ClientAuth::Certificate(file) => Proof::Certificate(file.open(system.now())?),
            ClientAuth::Federated(source) => {
                let audience = self.authority.token_exchange_audience();
                Proof::Federated(source.token(audience, deadline, system)?)
            }
        };
        let endpoints = match self.authority.known_endpoints(self.version) {
            Some(endpoints) => endpoints,
            None => self.discover(system, deadline)?,
        };
        Ok(Exchange {
            client: self,
            proof,
            endpoints,
            system,
        })
    }

    fn discover(&self, system: &dyn System, deadline: Deadline) -> Result<Endpoints, Error> {
        let url = self.authority.discovery_url();
        let request = http::Request::get(&url).body(Vec::new());
        let request = request.map_err(|error| Error::input(format!("{url}: {error}")))?;
        let answer = retry::send(system, &request, Via::EnvironmentProxy, deadline)?;
        if answer.status() != StatusCode::OK {
            return Err(Error::outside(format!("{url} answered {}", answer.status())).remedy(
                "Check --authority-host and --tenant-id: the host must publish its OpenID configuration there.",
            ));
        }
        self.authority.read_discovery(without_bom(answer.body()))
    }
}

impl Grant<'_> {
    /// Adds the form fields that give it.
    fn add_to(&self, form: &mut form_urlencoded::Serializer<String>, version: Version) {
        match self {
            Self::AuthorizationCode {
                code,
                code_verifier,
                redirect_uri,
            } => {
                form.append_pair("grant_type", "authorization_code");
                form.append_pair("code", code.expose());
                form.append_pair("code_verifier", code_verifier.expose());
                form.append_pair("redirect_uri", redirect_uri);
            }
            Self::ClientCredentials => {
                form.append_pair("grant_type", "client_credentials");
            }
            Self::DeviceCode(device_code) => {
                let (grant_type, field) = match version {
                    Version::V1 => ("device_code", "code"),
                    Version::V2 => (
                        "urn:ietf:params:oauth:grant-type:device_code",
                        "device_code",
                    ),
                };
                form.append_pair("grant_type", grant_type);
                form.append_pair(field, device_code.expose());
            }
            Self::Password { username, password } => {
                form.append_pair("grant_type", "password");
                form.append_pair("username", username);
                form.append_pair("password", password.expose());
            }
            Self::RefreshToken(refresh_token) => {
                form.append_pair("grant_type", "refresh_token");
                form.append_pair("refresh_token", refresh_token.expose());
            }
        }
    }

    /// What of it must not be shown.
    fn secrets(&self) -> Vec<&Secret> {
        match self {
            Self::AuthorizationCode {
                code,
                code_verifier,
                ..
            } => vec![code, code_verifier],
            Self::ClientCredentials => vec![],
            Self::DeviceCode(device_code) => vec![device_code],
            Self::Password { password, .. } => vec![password],
            Self::RefreshToken(refresh_token) => vec![refresh_token],
        }
    }
}

impl Exchange<'_> {
    /// Gives a grant to the token endpoint.
    pub fn token(&self, grant: &Grant, scope: &Scope, deadline: Deadline) -> Result<Token, Error> {
        let mut form = form_urlencoded::Serializer::new(String::new());
        form.append_pair("client_id", &self.client.client_id);
        let proof = self.proof_fields()?;
        for (name, value) in &proof {
            form.append_pair(name, value.expose());
        }
        grant.add_to(&mut form, self.client.version);
        let (name, value) = self.asked(scope);
        form.append_pair(name, &value);
        if let Some(confirmation) = scope.confirmation() {
            form.append_pair("token_type", "pop");
            form.append_pair("req_cnf", confirmation);
        }
        let request = form_post(&self.endpoints.token, form.finish())?;
        // A token's life counts from before the request, so that it never ends later than we say.
        let now = self.system.now();
        let answer = retry::send(self.system, &request, Via::EnvironmentProxy, deadline)?;
        read_token(&request, &answer, now).map_err(|error| {
            let error = match &self.proof {
                Proof::Federated(token) => token.explain(error),
                _ => error,
            };
            // Whoever answered has seen what was sent, and may quote it.
            let sent = proof.iter().map(|(_, secret)| secret);
            error.hiding(sent.chain(grant.secrets()))
        })
    }

    /// The form field that says what the token is for.
    fn asked(&self, scope: &Scope) -> (&'static str, String) {
        match self.client.version {
            Version::V1 => ("resource", scope.resource().to_owned()),
            Version::V2 => ("scope", with_openid(scope)),
        }
    }

    /// The form fields that prove who the application is.
    fn proof_fields(&self) -> Result<Vec<(&'static str, Secret)>, Error> {
        Ok(match &self.proof {
            Proof::None => vec![],
            Proof::Secret(secret) => vec![("client_secret", (*secret).clone())],
            Proof::Certificate(certificate) => {
                let (client_id, audience) = (&self.client.client_id, &self.endpoints.token);
                let assertion = certificate.assertion(
                    self.client.version,
                    client_id,
                    audience.as_str(),
                    self.system.now(),
                )?;
                vec![
                    ("client_assertion_type", Secret::new(JWT_BEARER)),
                    ("client_assertion", assertion),
                ]
            }
            Proof::Federated(token) => vec![
                ("client_assertion_type", Secret::new(JWT_BEARER)),
                ("client_assertion", token.jwt().clone()),
            ],
        })
    }

    /// The address that a browser signs in at. Nothing is sent.
    pub fn authorization_url(
        &self,
        request: &AuthorizationRequest,
        response_mode: ResponseMode,
        scope: &Scope,
    ) -> Result<Url, Error> {
        let redirect_url = RedirectUrl::new(request.redirect_uri.to_owned())
            .map_err(|error| Error::input(format!("{}: {error}", request.redirect_uri)))?;
        let client = BasicClient::new(ClientId::new(self.client.client_id.clone()))
            .set_auth_uri(AuthUrl::from_url(self.endpoints.authorize.clone()))
            .set_redirect_uri(redirect_url);
        let url = client
            .authorize_url(|| request.state.clone())
            .add_scope(oauth2::Scope::new(with_openid(scope)))
            .set_pkce_challenge(request.code_challenge.clone())
            .add_extra_param(
                "response_mode",
                match response_mode {
                    ResponseMode::FormPost => "form_post",
                    ResponseMode::Query => "query",
                },
            );
        let url = match request.login_hint {
            Some(user) => url.add_extra_param("login_hint", user),
            None => url.add_extra_param("prompt", "select_account"),
        };
        Ok(url.url().0)
    }

    /// Asks for a device code (RFC 8628 section 3.1).
    pub fn device_authorization(
        &self,
        scope: &Scope,
        deadline: Deadline,
    ) -> Result<DeviceAuthorization, Error> {
        let url = self.endpoints.device_code.clone().ok_or_else(|| {
            Error::input("this authority offers no device code")
                .remedy("Use another --login mode, or check --authority-host.")
        })?;
        let client = BasicClient::new(ClientId::new(self.client.client_id.clone()))
            .set_device_authorization_url(DeviceAuthorizationUrl::from_url(url));
        let (name, value) = self.asked(scope);
        let send = |request: HttpRequest| {
            let mut answer = retry::send(self.system, &request, Via::EnvironmentProxy, deadline)?;
            check_status(&request, &answer)?;
            if self.client.version == Version::V1 {
                unquote_numbers(answer.body_mut());
            }
            Ok(answer)
        };
        client
            .exchange_device_code()
            .add_extra_param(name, value)
            .request(&send)
            .map_err(|error| match error {
                RequestTokenError::Request(error) => error,
                _ => Error::refused("", "the answer to the request for a device code is not the JSON it should be")
                    .remedy("Check --authority-host, HTTPS_PROXY and NO_PROXY: something else may have answered."),
            })
    }
}

/// The server's scope and those that bring a refresh token, as the original asks for them in every grant.
fn with_openid(scope: &Scope) -> String {
    format!("{} openid offline_access profile", scope.as_str())
}

fn form_post(url: &Url, form: String) -> Result<HttpRequest, Error> {
    http::Request::post(url.as_str())
        .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
        .header(ACCEPT, "application/json")
        .body(form.into_bytes())
        .map_err(|error| Error::input(format!("{url}: {error}")))
}

/// Rewrites the device code of the v1 endpoint to RFC 8628's form: numbers without quotes.
fn unquote_numbers(body: &mut Vec<u8>) {
    let Ok(mut answer) = serde_json::from_slice::<serde_json::Value>(without_bom(body)) else {
        return;
    };
    for name in ["expires_in", "interval"] {
        if let Some(seconds) = answer[name]
            .as_str()
            .and_then(|text| text.parse::<u64>().ok())
        {
            answer[name] = seconds.into();
        }
    }
    *body = answer.to_string().into_bytes();
}

/// A successful answer of the token endpoint (RFC 6749 section 5.1). A member that comes twice is an error
/// (section 3.2), as serde has it.
#[derive(Deserialize)]
struct TokenAnswer {
    access_token: Option<Secret>,
    refresh_token: Option<Secret>,
    #[serde(default, deserialize_with = "whole_seconds")]
    expires_in: Option<i64>,
    /// Unix seconds, of the v1 endpoint.
    #[serde(default, deserialize_with = "whole_seconds")]
    expires_on: Option<i64>,
}

/// Seconds as a number, a fraction or text: the v1 endpoint and proxies of others quote them. Anything else is as good
/// as absent, as the member is only recommended.
fn whole_seconds<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<i64>, D::Error> {
    serde_json::Value::deserialize(deserializer).map(|value| seconds(&value))
}

/// Reads the answer of the token endpoint. No byte of a body is shown: it may hold a token.
fn read_token(
    request: &HttpRequest,
    answer: &HttpResponse,
    asked_at: DateTime<Utc>,
) -> Result<Token, Error> {
    check_status(request, answer)?;
    let host = request.uri().host().unwrap_or_default();
    let wrong = |why: &str| {
        Error::refused("", format!("the token answer of {host} {why}")).remedy(
            "Check --authority-host, HTTPS_PROXY and NO_PROXY: something else may have answered.",
        )
    };
    let body: TokenAnswer = serde_json::from_slice(without_bom(answer.body()))
        .map_err(|_| wrong("is not the JSON it should be"))?;
    let access_token = body
        .access_token
        .filter(|token| !token.is_empty())
        .ok_or_else(|| wrong("holds no access token"))?;
    let expires_on = body
        .expires_in
        .and_then(|seconds| asked_at.checked_add_signed(TimeDelta::try_seconds(seconds)?))
        .or_else(|| DateTime::from_timestamp(body.expires_on?, 0))
        .or_else(|| expiry_claim(&access_token))
        .unwrap_or(asked_at + UNKNOWN_LIFE);
    Ok(Token {
        access_token,
        expires_on,
        refresh_token: body.refresh_token.filter(|t| !t.is_empty()),
    })
}

/// Turns every status but 200 into an error: OAuth's own if the body is one, else the status with the host.
fn check_status(request: &HttpRequest, answer: &HttpResponse) -> Result<(), Error> {
    let status = answer.status();
    if status == StatusCode::OK {
        return Ok(());
    }
    if let Some(error) = error::read(without_bom(answer.body())) {
        return Err(error);
    }
    let host = request.uri().host().unwrap_or_default();
    let is_busy = retry::is_passing(status);
    let remedy = if status.is_redirection() {
        "A token request is never redirected: check --authority-host, HTTPS_PROXY and NO_PROXY."
    } else if is_busy {
        "Entra ID is busy or out of order: try again in a while."
    } else {
        "Check --authority-host, HTTPS_PROXY and NO_PROXY: something else may have answered."
    };
    let what = format!("{host} answered {status}");
    Err(if is_busy {
        Error::outside(what)
    } else {
        Error::refused("", what)
    }
    .remedy(remedy))
}

/// Some servers put a byte order mark before their JSON (RFC 8259 section 8.1 lets a reader ignore it).
fn without_bom(body: &[u8]) -> &[u8] {
    body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body)
}

#[cfg(test)]
mod tests {

    use super::*;
    use crate::entra::authority::AuthorityHost;
    use crate::system::fake::FakeSystem;

    const JWT: &str = "e30.eyJleHAiOjE3NjcyMjkyMDB9.sig";

    fn spn(host: &str) -> Client {
        Client {
            authority: Authority::new(AuthorityHost::parse(host).expect("host"), "ten")
                .expect("tenant"),
            version: Version::V2,
            client_id: "app".into(),
            auth: ClientAuth::Secret(Secret::new("s3cr&t =+")),
        }
    }

    fn token_at(host: &str, system: &FakeSystem) -> Result<Token, Error> {
        let scope = Scope::of_server("srv");
        spn(host).token(
            &Grant::ClientCredentials,
            &scope,
            Duration::from_secs(60),
            system,
        )
    }

    fn token(body: impl Into<String>) -> Result<Token, Error> {
        token_at(
            "https://login.microsoftonline.com/",
            &FakeSystem::new([FakeSystem::json(200, body)]),
        )
    }

    #[test]
    fn a_known_cloud_gets_one_request_with_the_original_s_form() {
        let system = FakeSystem::new([FakeSystem::json(
            200,
            r#"{"access_token":"at","expires_in":3599}"#,
        )]);
        token_at("https://login.microsoftonline.com/", &system).expect("token");
        let requests = system.requests();
        assert_eq!(requests.len(), 1);
        assert_eq!(
            requests[0].uri(),
            "https://login.microsoftonline.com/ten/oauth2/v2.0/token"
        );
        assert_eq!(
            requests[0].headers()[CONTENT_TYPE],
            "application/x-www-form-urlencoded"
        );
        assert_eq!(
            system.forms(),
            [
                "client_id=app&client_secret=s3cr%26t+%3D%2B&grant_type=client_credentials\
              &scope=srv%2F.default+openid+offline_access+profile"
            ]
        );
    }

    #[test]
    fn an_unknown_host_is_asked_for_its_endpoints_once() {
        let discovery = r#"{"issuer":"https://idp.example/ten/v2.0","authorization_endpoint":"https://idp.example/a",
            "token_endpoint":"https://idp.example/tok","jwks_uri":"https://idp.example/k","response_types_supported":["code"],
            "subject_types_supported":["pairwise"],"id_token_signing_alg_values_supported":["RS256"]}"#;
        let answers = [discovery, r#"{"access_token":"at"}"#];
        let system = FakeSystem::new(answers.map(|body| FakeSystem::json(200, body)));
        token_at("https://idp.example/", &system).expect("token");
        let uris: Vec<_> = system
            .requests()
            .iter()
            .map(|request| request.uri().to_string())
            .collect();
        assert_eq!(
            uris,
            [
                "https://idp.example/ten/v2.0/.well-known/openid-configuration",
                "https://idp.example/tok"
            ]
        );
    }

    #[test]
    fn an_odd_but_lawful_answer_gives_the_token_and_its_end() {
        let hour = 3600;
        for (body, life) in [
            (
                r#"{"access_token":"at","expires_in":3600}"#.to_owned(),
                hour,
            ),
            (
                r#"{"access_token":"at","expires_in":"3600","unknown":{"a":[null]}}"#.to_owned(),
                hour,
            ),
            (
                r#"{"access_token":"at","expires_in":3600.9}"#.to_owned(),
                hour,
            ),
            (
                r#"{"access_token":"at","expires_on":"1767229200"}"#.to_owned(),
                hour,
            ),
            (r#"{"access_token":"at","expires_in":null}"#.to_owned(), 300),
            (
                r#"{"access_token":"at","expires_in":"soon"}"#.to_owned(),
                300,
            ),
            (r#"{"access_token":"at","expires_in":-1}"#.to_owned(), 300),
            (r#"{"access_token":"at"}"#.to_owned(), 300),
            (format!(r#"{{"access_token":"{JWT}"}}"#), hour),
            (
                "\u{feff}{\"access_token\":\"at\",\"expires_in\":3600}".to_owned(),
                hour,
            ),
        ] {
            let token = token(body.clone()).expect(&body);
            assert_eq!(
                (token.expires_on - FakeSystem::EPOCH).num_seconds(),
                life,
                "{body}"
            );
        }
    }

    #[test]
    fn an_answer_that_is_no_token_is_one_error_that_shows_none_of_it() {
        for body in [
            "",
            "null",
            "[]",
            "<html>hunter2</html>",
            r#"{"access_token":"hunter2"#,
            r#"{"access_token":"hunter2","access_token":"hunter2"}"#,
            r#"{"access_token":"","refresh_token":"hunter2"}"#,
            r#"{"token":"hunter2"}"#,
            r#"{"access_token":null}"#,
            r#"{"access_token":["hunter2"]}"#,
        ] {
            let error = token(body).expect_err(body).to_string();
            assert!(
                error.contains("login.microsoftonline.com") && !error.contains("hunter2"),
                "{error}"
            );
            assert!(error.lines().count() <= 3);
        }
    }

    #[test]
    fn a_secret_that_the_answer_quotes_is_not_shown() {
        let quoted = r#"{"error":"invalid_client","error_description":"AADSTS7000215: s3cr&t =+ is wrong."}"#;
        let system = FakeSystem::new([FakeSystem::json(401, quoted)]);
        let error = token_at("https://login.microsoftonline.com/", &system)
            .expect_err("refused")
            .to_string();
        assert!(
            error.starts_with("AADSTS7000215: [redacted] is wrong."),
            "{error}"
        );
    }

    #[test]
    fn another_status_is_named_with_its_host_and_a_redirect_is_not_followed() {
        for (status, body) in [
            (307, ""),
            (403, "<html>hunter2"),
            (404, "{}"),
            (201, r#"{"access_token":"hunter2"}"#),
        ] {
            let system = FakeSystem::new([FakeSystem::json(status, body)]);
            let error = token_at("https://login.microsoftonline.com/", &system)
                .expect_err("refused")
                .to_string();
            assert!(
                error.contains(&status.to_string()) && !error.contains("hunter2"),
                "{error}"
            );
            assert_eq!(system.requests().len(), 1);
        }
    }
}
