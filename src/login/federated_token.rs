//! Federated tokens: JWTs from another identity provider with which an application proves its identity to Entra in place
//! of a secret (Microsoft, "Workload identity federation"). They expire within minutes, so each sign-in gets a new one.
//!
//! Each source has its own file, with where the token comes from and what to check if that fails.

pub mod azure_pipelines;
mod endpoint;
pub mod file;
pub mod github_actions;
mod shape;
pub mod variable;

use std::fmt;
use std::path::PathBuf;

use chrono::{DateTime, SecondsFormat, Utc};

use super::{HandOn, Login};
use crate::entra::{AssertionClaims, Client, ClientAuth, Grant, TOKEN_PROXY_AUDIENCE};
use crate::error::Error;
use crate::retry::Deadline;
use crate::secret::Secret;
use crate::system::{HttpRequest, System};
use crate::timeout::Timeout;
use crate::token::{Scope, Token};
use crate::token_cache::{CacheKey, Fingerprint};
use shape::Fault;

/// An application that presents a new federated token at each sign-in.
#[derive(Debug)]
pub struct Federated {
    /// Without credentials; each sign-in brings its own.
    pub client: Client,
    pub source: Source,
}

impl Login for Federated {
    fn identify(&self, key: CacheKey) -> CacheKey {
        self.client.identify(key)
    }

    /// Identifies the owner of the federated token: many jobs can share a runner's account, and so its cache. `None`
    /// without a token: then that is the error, and another job's token is never used.
    fn fingerprint(&self) -> Option<Fingerprint> {
        match &self.source.place {
            Place::File(path) => file::subject(path),
            Place::Variable(token) => subject(token),
            Place::Endpoint(request) => Some(endpoint::asker(request)),
        }
    }

    fn acquire(
        &self,
        scope: &Scope,
        timeout: Timeout,
        system: &dyn System,
        _: HandOn,
    ) -> Result<Token, Error> {
        let deadline = Deadline::after(system, timeout.duration);
        let assertion = self.source.token(deadline, system)?;
        if self.client.token_proxy.is_some() {
            self.source.check_for_proxy(&assertion)?;
        }
        let client = self
            .client
            .authenticated_by(ClientAuth::Assertion(assertion));
        let exchange = client.exchange(system, deadline)?;
        exchange.token(&Grant::ClientCredentials, scope, deadline)
    }
}

/// Where federated tokens come from.
pub struct Source {
    /// Starts every error message, as in "federated token file /var/run/token".
    name: String,
    /// What to check if there is no usable token.
    remedy: &'static str,
    place: Place,
}

enum Place {
    /// A file that something else keeps fresh.
    File(PathBuf),
    /// A variable's value.
    Variable(Secret),
    /// The response to this request to a CI system.
    Endpoint(Box<HttpRequest>),
}

impl Source {
    /// Gets a token: reads the file again, or sends the request again.
    ///
    /// # Errors
    /// There is no token, it is not a JWT, or it has expired.
    fn token(&self, deadline: Deadline, system: &dyn System) -> Result<Secret, Error> {
        let text = match &self.place {
            Place::File(path) => file::read_within(path, deadline.remaining(system))
                .map_err(|why| self.error(&why.to_string()))?,
            Place::Variable(token) => token.clone(),
            Place::Endpoint(request) => endpoint::ask(self, request, deadline, system)?,
        };
        self.check(&text, system.now())
    }

    /// The JWT in `text`, without the white space around it. Whatever Entra would refuse anyway is not sent.
    fn check(&self, text: &Secret, now: DateTime<Utc>) -> Result<Secret, Error> {
        let jwt = trim(text);
        if let Some(Fault { why, remedy }) = shape::fault(jwt.expose()) {
            let error = self.error(&why);
            return Err(remedy.into_iter().fold(error, Error::remedy));
        }
        let claims = AssertionClaims::of(&jwt).ok_or_else(|| self.error("it is not a JWT"))?;
        if let Some(why) = claims.unfit_service_account() {
            let error = self.error(&format!("{why} ({claims})"));
            return Err(error.remedy(
                "Use a projected token, as the workload identity webhook mounts it, or: kubectl create token NAME --audience api://AzureADTokenExchange",
            ));
        }
        match claims.expires_on() {
            Some(expires_on) if expires_on <= now => {
                let at = expires_on.to_rfc3339_opts(SecondsFormat::Secs, true);
                let error = self.error(&format!("it expired at {at} ({claims})"));
                Err(error.remedy(format!(
                    "Make sure that it is renewed and that this machine's clock is right. {}",
                    self.remedy
                )))
            }
            _ => Ok(jwt),
        }
    }

    /// The variables of a token proxy may come from a kubeconfig's exec entry, so the proxy may be hostile. It only
    /// gets a token that is valid solely for the token proxy of the pod's own cluster.
    fn check_for_proxy(&self, jwt: &Secret) -> Result<(), Error> {
        match AssertionClaims::of(jwt) {
            Some(claims) if claims.is_for_token_proxy() => Ok(()),
            Some(claims) => Err(self.error(&format!(
                "a token proxy takes tokens for {TOKEN_PROXY_AUDIENCE} only ({claims})"
            ))
            .remedy(
                "Use the token that AKS mounts in a pod with an identity binding, or ask Entra ID itself with --no-token-proxy.",
            )),
            None => Err(self.error("it is not a JWT")),
        }
    }

    fn error(&self, why: &str) -> Error {
        Error::input(format!("{}: {why}", self.name)).remedy(self.remedy)
    }
}

/// Issuer and subject of a token, which stay when it is renewed; `None` if it is not a JWT.
fn subject(token: &Secret) -> Option<Fingerprint> {
    let claims = AssertionClaims::of(&trim(token))?;
    let (issuer, subject) = claims.identity();
    Some(Fingerprint::of(&[issuer.as_bytes(), subject.as_bytes()]))
}

/// A token without the byte order mark and the white space around it.
fn trim(text: &Secret) -> Secret {
    Secret::new(text.expose().trim_start_matches('\u{feff}').trim())
}

/// The name only: a path or URL may hold a signature.
impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Source({})", self.name)
    }
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    use serde_json::{Value, json};

    use super::*;
    use crate::entra::token_proxy::{Authorities, TokenProxy};
    use crate::flag::Flag;
    use crate::login::tests::{CLIENT, NOBODY_WAITS, TRUSTED, options};
    use crate::system::fake::FakeSystem;

    pub const PUBLIC: &str = "https://login.microsoftonline.com/";
    pub const ACCESS_TOKEN: &str = r#"{"access_token":"at","expires_in":3600}"#;

    /// Valid for five minutes of the fake world.
    pub fn jwt() -> String {
        jwt_with(
            &json!({"iss": "https://issuer", "sub": "job", "aud": ["api://x"], "exp": FakeSystem::EPOCH.timestamp() + 300}),
        )
    }

    pub fn jwt_with(claims: &Value) -> String {
        format!("e30.{}.sig", URL_SAFE_NO_PAD.encode(claims.to_string()))
    }

    /// Signs in at `host` with a token from `source`.
    pub fn login(host: &str, source: Source, system: &FakeSystem) -> Result<Token, Error> {
        let flags = [&CLIENT[..], &[(Flag::AuthorityHost, host), TRUSTED]].concat();
        let options = options("workloadidentity", &flags, &[]);
        let client = crate::login::client(&options)?;
        let scope = Scope::of_server("srv");
        Federated { client, source }.acquire(&scope, options.timeout, system, NOBODY_WAITS)
    }

    /// A kubeconfig's exec entry can name a token proxy, too.
    #[test]
    fn a_token_proxy_gets_no_token_that_is_good_anywhere_else() {
        let exchange = "api://AzureADTokenExchange";
        for (audience, is_sent) in [
            (json!(TOKEN_PROXY_AUDIENCE), true),
            (json!([TOKEN_PROXY_AUDIENCE]), true),
            (json!(exchange), false),
            (json!([TOKEN_PROXY_AUDIENCE, exchange]), false),
            (json!([]), false),
            (json!(null), false),
            (json!(TOKEN_PROXY_AUDIENCE.to_lowercase()), false),
        ] {
            let options = options("workloadidentity", &CLIENT, &[]);
            let mut client = crate::login::client(&options).expect("a client");
            let proxy = TokenProxy::new("https://p", None, Authorities::OfThisMachine);
            client.token_proxy = Some(proxy.expect("a proxy"));
            let jwt = jwt_with(&json!({"iss": "i", "sub": "s", "aud": audience}));
            let source = variable::of("TOKEN", &jwt);
            let system = FakeSystem::new([FakeSystem::json(200, ACCESS_TOKEN)]);
            let login = Federated { client, source };
            let outcome = login.acquire(
                &Scope::of_server("srv"),
                options.timeout,
                &system,
                NOBODY_WAITS,
            );
            assert_eq!(system.requests().len(), usize::from(is_sent), "{audience}");
            if let Err(error) = outcome {
                let error = error.to_string();
                assert!(
                    error.contains("--no-token-proxy") && !error.contains(&jwt),
                    "{error}"
                );
            }
        }
    }

    pub fn assert_assertion_form(form: &str) {
        let jwt = jwt();
        assert_eq!(
            form,
            format!(
                "client_id=app&client_assertion_type=urn%3Aietf%3Aparams%3Aoauth%3Aclient-assertion-type%3Ajwt-bearer\
                 &client_assertion={jwt}&grant_type=client_credentials&scope=srv%2F.default+openid+offline_access+profile"
            )
        );
    }
}
