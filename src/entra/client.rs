//! An application that asks Entra for tokens: what it is, how it authenticates, and the requests it sends.

use std::time::Duration;

use http::StatusCode;
use http::header::{ACCEPT, CONTENT_TYPE};
use oauth2::basic::BasicClient;
use oauth2::url::{Url, form_urlencoded};
use oauth2::{AuthUrl, ClientId, DeviceAuthorizationUrl, RedirectUrl, RequestTokenError};

use super::answer::{self, DeviceAuthorization};
use super::assertion;
use super::authority::{Authority, Endpoints, Version};
use super::certificate::{Certificate, CertificateFile};
use super::error;
use super::grant::{AuthorizationRequest, Grant, ResponseMode};
use super::token_proxy::TokenProxy;
use crate::error::Error;
use crate::flag::is_unexpanded;
use crate::retry::{self, Deadline};
use crate::secret::Secret;
use crate::system::{HttpRequest, NetworkError, System, Via};
use crate::token::{Scope, Token};

/// An application and its authority.
#[derive(Debug)]
pub struct Client {
    pub authority: Authority,
    pub version: Version,
    pub client_id: String,
    pub auth: ClientAuth,
    /// Where token requests go in place of the authority itself.
    pub token_proxy: Option<TokenProxy>,
}

/// True for what can be the ID of an application: a GUID or a URI, neither of which has blanks or quotes.
pub fn is_application_id(id: &str) -> bool {
    let is_usual = |c: char| c.is_ascii_graphic() && !matches!(c, '"' | '\'' | '\\' | '<' | '>');
    id.chars().all(is_usual)
}

/// Checks the ID of a client.
///
/// # Errors It is another kind of ID, or has invalid characters.
pub fn check_client_id(id: &str) -> Result<(), Error> {
    if id.starts_with("/subscriptions/") {
        return Err(
            Error::input(format!("client ID {id:?} is a resource ID")).remedy(
                "Set --client-id (or AZURE_CLIENT_ID) to the client ID of that identity, a GUID.",
            ),
        );
    }
    match is_application_id(id) {
        true => Ok(()),
        false => Err(Error::input(format!("client ID {id:?} is not valid"))
            .remedy("Set --client-id (or AZURE_CLIENT_ID) to the application's GUID.")),
    }
}

/// How the application authenticates (RFC 6749 section 2.3, RFC 7521).
#[derive(Debug)]
pub enum ClientAuth {
    /// It does not: a public client, which people sign in with.
    Public,
    Secret(Secret),
    Certificate(CertificateFile),
    /// With a JWT from another identity provider that Entra trusts for it (workload identity federation).
    Assertion(Secret),
}

impl ClientAuth {
    /// The credentials, for the fingerprint of a token obtained with them.
    pub fn secrets(&self) -> Vec<&[u8]> {
        match self {
            // A token outlives its assertion, and the next assertion is a different one.
            Self::Public | Self::Assertion(_) => vec![],
            Self::Secret(secret) => vec![secret.expose().as_bytes()],
            Self::Certificate(file) => file.secrets().to_vec(),
        }
    }
}

impl Client {
    /// The same application, authenticating this way.
    #[must_use]
    pub fn authenticated_by(&self, auth: ClientAuth) -> Self {
        Self {
            authority: self.authority.clone(),
            version: self.version,
            client_id: self.client_id.clone(),
            auth,
            token_proxy: self.token_proxy.clone(),
        }
    }

    /// Exchanges a grant for a token, `within` this time including discovery and retries.
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

    /// Prepares to talk to the authority. Opens the certificate first, so that nothing is sent if it cannot be opened.
    /// Then finds the endpoints: in a table for a known cloud, with one request for any other host.
    pub fn exchange<'a>(
        &'a self,
        system: &'a dyn System,
        deadline: Deadline,
    ) -> Result<Exchange<'a>, Error> {
        let proof = match &self.auth {
            ClientAuth::Public => Proof::None,
            ClientAuth::Secret(secret) => Proof::Secret(secret),
            ClientAuth::Certificate(file) => Proof::Certificate(file.open(system.now())?),
            ClientAuth::Assertion(assertion) => Proof::Assertion(assertion),
        };
        if let Some(host) = self.authority.foreign_host() {
            system.notice(&format!(
                "signing in at {host}, which is not a Microsoft host"
            ));
        }
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
                "Check --authority-host and --tenant-id: the host must publish its OpenID configuration at this URL.",
            ));
        }
        self.authority
            .read_discovery(answer::without_bom(answer.body()))
    }
}

/// An exchange with the endpoints of a client's authority, for one sign-in.
pub struct Exchange<'a> {
    client: &'a Client,
    proof: Proof<'a>,
    endpoints: Endpoints,
    system: &'a dyn System,
}

/// The client's credentials, ready to use.
enum Proof<'a> {
    None,
    Secret(&'a Secret),
    Certificate(Certificate),
    Assertion(&'a Secret),
}

impl Exchange<'_> {
    /// Exchanges a grant for a token.
    pub fn token(&self, grant: &Grant, scope: &Scope, deadline: Deadline) -> Result<Token, Error> {
        let proof = self.proof_fields()?;
        let request = self.token_request(&proof, grant, scope)?;
        // A token's lifetime is counted from before the request, so that it never ends later than we say.
        let now = self.system.now();
        let (request, mut answer) = match &self.client.token_proxy {
            Some(proxy) => proxy.send(request, self.system, deadline)?,
            None => {
                let answer = retry::send(self.system, &request, Via::EnvironmentProxy, deadline)?;
                (request, answer)
            }
        };
        // The responder has seen the request and may quote it.
        let sent = proof.iter().map(|(_, secret)| secret);
        let sent: Vec<_> = sent.chain(grant.secrets()).collect();
        answer::hide(answer.body_mut(), &sent);
        answer::read_token(&request, &answer, now).map_err(|error| {
            let error = self.explain(error, grant);
            answer::explain_clock(error, &answer, self.system.now())
        })
    }

    /// Asks once whether the user has entered a device code (RFC 8628 section 3.4): when to ask again depends on the
    /// code's interval, not on retry rules (section 3.5).
    ///
    /// # Errors There was no response. The server's response is in the inner result.
    pub fn poll(
        &self,
        device_code: &Secret,
        scope: &Scope,
        timeout: Duration,
    ) -> Result<Result<Token, Error>, NetworkError> {
        let grant = Grant::DeviceCode(device_code);
        let request = match self.token_request(&[], &grant, scope) {
            Ok(request) => request,
            Err(error) => return Ok(Err(error)),
        };
        let now = self.system.now();
        let mut answer = self.system.send(&request, Via::EnvironmentProxy, timeout)?;
        answer::hide(answer.body_mut(), &grant.secrets());
        Ok(answer::read_token(&request, &answer, now))
    }

    /// Adds to a refusal which credentials were presented, which only we know.
    fn explain(&self, error: Error, grant: &Grant) -> Error {
        let code = error::code_in(&error.to_string());
        let (name, secret) = match (&self.proof, grant, code) {
            (Proof::Assertion(assertion), ..) => {
                return assertion::explain_refusal(error, assertion);
            }
            (Proof::Secret(secret), _, Some(7_000_215)) => (
                "client secret (AZURE_CLIENT_SECRET or --client-secret)",
                *secret,
            ),
            (_, Grant::Password { password, .. }, Some(50_126)) => {
                ("password (AZURE_PASSWORD or --password)", *password)
            }
            _ => return error,
        };
        match fault_of(secret) {
            Some(fault) => error.remedy(format!("The {name} {fault}.")),
            None => error,
        }
    }

    fn token_request(
        &self,
        proof: &[(&str, Secret)],
        grant: &Grant,
        scope: &Scope,
    ) -> Result<HttpRequest, Error> {
        let mut form = form_urlencoded::Serializer::new(String::new());
        form.append_pair("client_id", &self.client.client_id);
        form.extend_pairs(proof.iter().map(|(name, value)| (name, value.expose())));
        grant.add_to(&mut form, self.client.version);
        let (name, value) = self.requested(scope);
        form.append_pair(name, &value);
        if let Some(confirmation) = scope.confirmation() {
            form.extend_pairs([("token_type", "pop"), ("req_cnf", confirmation)]);
        }
        form.extend_pairs(claims(scope));
        form_post(&self.endpoints.token, form.finish())
    }

    /// The form field that says what the token is for.
    fn requested(&self, scope: &Scope) -> (&'static str, String) {
        match self.client.version {
            Version::V1 => ("resource", scope.resource().to_owned()),
            Version::V2 => ("scope", with_openid(scope)),
        }
    }

    /// The form fields that authenticate the client.
    fn proof_fields(&self) -> Result<Vec<(&'static str, Secret)>, Error> {
        Ok(match &self.proof {
            Proof::None => vec![],
            Proof::Secret(secret) => vec![("client_secret", (*secret).clone())],
            Proof::Certificate(certificate) => assertion::fields(certificate.assertion(
                self.client.version,
                &self.client.client_id,
                self.endpoints.token.as_str(),
                self.system.now(),
            )?),
            Proof::Assertion(assertion) => assertion::fields((*assertion).clone()),
        })
    }

    /// The address to sign in at with a browser. Sends nothing.
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
        let account = match request.login_hint {
            Some(user) => ("login_hint", user),
            None => ("prompt", "select_account"),
        };
        let mut url = client
            .authorize_url(|| request.state.clone())
            .add_scope(oauth2::Scope::new(with_openid(scope)))
            .set_pkce_challenge(request.code_challenge.clone())
            .add_extra_param("response_mode", response_mode.word())
            .add_extra_param(account.0, account.1);
        if let Some((name, value)) = claims(scope) {
            url = url.add_extra_param(name, value);
        }
        Ok(url.url().0)
    }

    /// Requests a device code (RFC 8628 section 3.1).
    pub fn device_authorization(
        &self,
        scope: &Scope,
        deadline: Deadline,
    ) -> Result<DeviceAuthorization, Error> {
        let url = self.endpoints.device_code.clone().ok_or_else(|| {
            Error::input("this authority does not support device codes")
                .remedy("Use another --login mode, or check --authority-host.")
        })?;
        let host = url.host_str().unwrap_or_default().to_owned();
        let client = BasicClient::new(ClientId::new(self.client.client_id.clone()))
            .set_device_authorization_url(DeviceAuthorizationUrl::from_url(url));
        let (name, value) = self.requested(scope);
        let send = |request: HttpRequest| {
            let mut answer = retry::send(self.system, &request, Via::EnvironmentProxy, deadline)?;
            answer::check_status(&request, &answer)?;
            if self.client.version == Version::V1 {
                answer::unquote_numbers(answer.body_mut());
            }
            Ok(answer)
        };
        let mut request = client.exchange_device_code().add_extra_param(name, value);
        if let Some((name, value)) = claims(scope) {
            request = request.add_extra_param(name, value);
        }
        request.request(&send).map_err(|error| match error {
            RequestTokenError::Request(error) => error,
            _ => Error::refused(
                "",
                format!(
                    "the response to the device code request from {host} is not the expected JSON"
                ),
            )
            .remedy(answer::FROM_ELSEWHERE),
        })
    }
}

/// What is wrong with a rejected secret that is hard to see.
fn fault_of(secret: &Secret) -> Option<&'static str> {
    let text = secret.expose();
    if text.ends_with(['\n', '\r']) {
        Some("ends in a line break, which is sent as part of it: remove it")
    } else if text.trim() != text {
        Some("begins or ends with a space, which is sent as part of it: remove it")
    } else if is_unexpanded(text) {
        Some("is the name of a variable, which nothing has expanded: set it to the value")
    } else {
        None
    }
}

/// The server's scope plus those that bring a refresh token; the original requests them with every grant.
fn with_openid(scope: &Scope) -> String {
    format!("{} openid offline_access profile", scope.as_str())
}

/// The parameter for claims that a resource asked for, if it did.
fn claims(scope: &Scope) -> Option<(&'static str, &str)> {
    scope.claims().map(|claims| ("claims", claims))
}

fn form_post(url: &Url, form: String) -> Result<HttpRequest, Error> {
    http::Request::post(url.as_str())
        .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
        .header(ACCEPT, "application/json")
        .body(form.into_bytes())
        .map_err(|error| Error::input(format!("{url}: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entra::authority::AuthorityHost;
    use crate::system::fake::FakeSystem;

    fn token_at(host: &str, system: &FakeSystem) -> Result<Token, Error> {
        let host = AuthorityHost::parse(host).expect("host");
        let client = Client {
            authority: Authority::new(host, "ten").expect("tenant"),
            version: Version::V2,
            client_id: "app".into(),
            auth: ClientAuth::Secret(Secret::new("s3cr&t =+")),
            token_proxy: None,
        };
        let (grant, scope) = (Grant::ClientCredentials, Scope::of_server("srv"));
        client.token(&grant, &scope, Duration::from_secs(60), system)
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
        assert_eq!(
            system.told(),
            ["signing in at idp.example, which is not a Microsoft host"]
        );
    }

    #[test]
    fn a_secret_quoted_in_the_response_is_not_shown() {
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

    /// The advice has the words "client" and "secret", and Entra's sentence as well.
    #[test]
    fn a_hint_of_ours_is_never_redacted_for_a_secret_that_is_one_of_its_words() {
        let body = r#"{"error":"invalid_client","error_description":"AADSTS7000215: Invalid client Check.","error_codes":[7000215]}"#;
        let refused = |secret: &str| {
            let system = FakeSystem::new([FakeSystem::json(401, body)]);
            let host = AuthorityHost::parse("https://login.microsoftonline.com/").expect("host");
            let client = Client {
                authority: Authority::new(host, "ten").expect("tenant"),
                version: Version::V2,
                client_id: "app".into(),
                auth: ClientAuth::Secret(Secret::new(secret)),
                token_proxy: None,
            };
            let (grant, scope) = (Grant::ClientCredentials, Scope::of_server("srv"));
            let error = client.token(&grant, &scope, Duration::from_secs(60), &system);
            error.expect_err("refused")
        };
        let usual = refused("hunter2").to_string();
        let (_, hint) = usual.split_once('\n').expect("a hint");
        for word in hint.split_whitespace().chain(["Check", "invalid_client"]) {
            let error = refused(word);
            assert!(error.is_refused_with("invalid_client"), "{word}");
            let error = error.to_string();
            assert_eq!(error.split_once('\n').expect("a hint").1, hint, "{word}");
        }
        let hidden = refused("Check").to_string();
        assert!(
            hidden.starts_with("AADSTS7000215: Invalid client [redacted]"),
            "{hidden}"
        );
    }

    #[test]
    fn a_secret_that_comes_back_encoded_is_not_shown() {
        for echo in ["s3cr%26t+%3D%2B", "s3cr%26t%20%3d%2b", "czNjciZ0ID0r"] {
            let body = serde_json::json!({"error": "invalid_client", "error_description": format!("AADSTS7000215: <{echo}> is wrong.")});
            let system = FakeSystem::new([FakeSystem::json(401, body.to_string())]);
            let error = token_at("https://login.microsoftonline.com/", &system);
            let error = error.expect_err("refused").to_string();
            assert!(
                error.starts_with("AADSTS7000215: <[redacted]> is wrong."),
                "{error}"
            );
        }
    }

    #[test]
    fn a_refusal_over_time_says_how_far_the_clock_is_off() {
        for (date, words) in [
            ("Thu, 01 Jan 2026 00:17:00 GMT", "17 minutes behind"),
            ("Wed, 31 Dec 2025 21:00:00 GMT", "3 hours ahead of"),
        ] {
            let body = r#"{"error":"invalid_client","error_description":"AADSTS700024: Client assertion is not within its valid time range."}"#;
            let answer = http::Response::builder().status(401).header("Date", date);
            let answer = answer.body(body.as_bytes().to_vec()).expect("an answer");
            let error = token_at(
                "https://login.microsoftonline.com/",
                &FakeSystem::new([Ok(answer)]),
            );
            let error = error.expect_err("refused").to_string();
            let expected = format!("This machine's clock is {words} Entra ID's: set it.");
            assert!(error.contains(&expected), "{error}");
            assert_eq!(error.lines().count(), 3, "{error}");
        }
    }

    #[test]
    fn throttling_says_how_long_to_wait() {
        for (header, words) in [
            (Some("600"), "wait 10 minutes, then try again"),
            (None, "wait a minute, then try again"),
        ] {
            let answer = http::Response::builder().status(429);
            let answer = match header {
                Some(seconds) => answer.header("Retry-After", seconds),
                None => answer,
            };
            let answers = (0..4).map(|_| Ok(answer_of(&answer)));
            let error = token_at(
                "https://login.microsoftonline.com/",
                &FakeSystem::new(answers),
            );
            let error = error.expect_err("busy").to_string();
            assert!(error.contains("429") && error.contains(words), "{error}");
        }
    }

    fn answer_of(builder: &http::response::Builder) -> crate::system::HttpResponse {
        let mut answer = http::Response::new(Vec::new());
        *answer.status_mut() = StatusCode::TOO_MANY_REQUESTS;
        *answer.headers_mut() = builder.headers_ref().cloned().unwrap_or_default();
        answer
    }

    #[test]
    fn a_refused_secret_that_has_a_line_break_or_is_a_variable_s_name_says_so() {
        let refused = r#"{"error":"invalid_client","error_description":"AADSTS7000215: Invalid client secret."}"#;
        let host = AuthorityHost::parse("https://login.microsoftonline.com/").expect("host");
        for (secret, says) in [
            ("s3cret\n", "ends in a line break"),
            ("s3cret\r\n", "ends in a line break"),
            ("s3cret ", "begins or ends with a space"),
            (" s3cret", "begins or ends with a space"),
            ("$AZURE_CLIENT_SECRET", "name of a variable"),
            ("%AZURE_CLIENT_SECRET%", "name of a variable"),
            ("s3cret", "the secret's ID instead of its value"),
        ] {
            let client = Client {
                authority: Authority::new(host.clone(), "ten").expect("tenant"),
                version: Version::V2,
                client_id: "app".into(),
                auth: ClientAuth::Secret(Secret::new(secret)),
                token_proxy: None,
            };
            let system = FakeSystem::new([FakeSystem::json(401, refused)]);
            let grant = Grant::ClientCredentials;
            let error = client.token(
                &grant,
                &Scope::of_server("srv"),
                Duration::from_secs(9),
                &system,
            );
            let error = error.expect_err("refused").to_string();
            assert!(
                error.contains(says) && error.contains("AZURE_CLIENT_SECRET"),
                "{error}"
            );
            assert!(!error.contains("s3cret"), "{error}");
        }
    }

    #[test]
    fn any_other_status_is_reported_with_its_host_and_redirects_are_not_followed() {
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
