//! `--login ropc`: a user name and a password (RFC 6749 section 4.3), for accounts without multi-factor authentication.

use crate::entra::{Client, Grant};
use crate::env::Env;
use crate::error::Error;
use crate::flag::Flag;
use crate::login::{HandOn, Login};
use crate::options::Options;
use crate::secret::Secret;
use crate::system::System;
use crate::timeout::Timeout;
use crate::token::{Scope, Token};
use crate::token_cache::{CacheKey, Fingerprint};

/// A public client and the user who signs in.
#[derive(Debug)]
pub struct Ropc {
    client: Client,
    username: String,
    password: Secret,
}

impl Ropc {
    pub fn new(options: &Options, _: &Env) -> Result<Self, Error> {
        let client = super::client(options)?;
        let required = |flag| options.missing(flag);
        let username = options.text(Flag::Username);
        let password = options.secret(Flag::Password);
        Ok(Self {
            client,
            username: username.ok_or_else(|| required(Flag::Username))?.to_owned(),
            password: password.ok_or_else(|| required(Flag::Password))?,
        })
    }
}

impl Login for Ropc {
    fn identify(&self, key: CacheKey) -> CacheKey {
        self.client.identify(key).with("username", &self.username)
    }

    fn fingerprint(&self) -> Option<Fingerprint> {
        Some(Fingerprint::of(&[self.password.expose().as_bytes()]))
    }

    fn refreshing_client(&self) -> Option<&Client> {
        Some(&self.client)
    }

    /// Sends the password only to the token endpoint. Azure/kubelogin first looks up the user's realm and also sends
    /// the password of a federated user to the federation server; here such a user is told to use a browser.
    fn acquire(
        &self,
        scope: &Scope,
        timeout: Timeout,
        system: &dyn System,
        _: HandOn,
    ) -> Result<Token, Error> {
        let grant = Grant::Password {
            username: &self.username,
            password: &self.password,
        };
        self.client.token(&grant, scope, timeout.duration, system)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::login::tests::{self, CLIENT, NOBODY_WAITS};
    use crate::system::fake::FakeSystem;

    const TOKEN: &str = r#"{"access_token":"at","expires_in":3600,"refresh_token":"rt"}"#;

    fn options(given: &[(Flag, &str)]) -> Options {
        tests::options("ropc", &[&CLIENT, given].concat(), &[])
    }

    fn login(given: &[(Flag, &str)], system: &FakeSystem) -> Result<Token, Error> {
        let alice = [
            (Flag::Username, "alice@contoso.example"),
            (Flag::Password, "p&ss wörd"),
        ];
        let options = options(&[&alice, given].concat());
        let scope = Scope::of_server("srv");
        Ropc::new(&options, &Env::default())?.acquire(&scope, options.timeout, system, NOBODY_WAITS)
    }

    #[test]
    fn a_managed_user_costs_one_request() {
        let system = FakeSystem::new([FakeSystem::json(200, TOKEN)]);
        let token = login(&[], &system).expect("token");
        assert_eq!(token.refresh_token, Some(Secret::new("rt")));
        assert_eq!(
            system.forms(),
            [
                "client_id=app&grant_type=password&username=alice%40contoso.example&password=p%26ss+w%C3%B6rd\
                 &scope=srv%2F.default+openid+offline_access+profile"
            ]
        );
    }

    #[test]
    fn legacy_asks_the_v1_endpoint_for_a_resource() {
        let system = FakeSystem::new([FakeSystem::json(200, TOKEN)]);
        login(&[(Flag::Legacy, "true")], &system).expect("token");
        assert_eq!(
            system.requests()[0].uri(),
            "https://login.microsoftonline.com/ten/oauth2/token?api-version=1.0"
        );
        assert!(system.forms()[0].ends_with("&resource=srv"));
    }

    #[test]
    fn a_refused_password_is_sent_only_once_and_the_fix_is_another_mode() {
        for code in [50126, 50056, 50076, 50079] {
            let body = format!(
                r#"{{"error":"invalid_grant","error_description":"AADSTS{code}: No.","error_codes":[{code}]}}"#
            );
            let system = FakeSystem::new([FakeSystem::json(400, body)]);
            let error = login(&[], &system).expect_err("refused").to_string();
            assert!(
                error.contains("--login interactive or devicecode"),
                "{error}"
            );
            assert_eq!(system.requests().len(), 1);
        }
    }

    #[test]
    fn a_missing_value_is_named_with_its_variables() {
        let name = Ropc::new(&options(&[(Flag::Password, "p")]), &Env::default())
            .expect_err("no name")
            .to_string();
        assert!(name.contains("--username") && name.contains("AZURE_USERNAME"));
        let password = Ropc::new(&options(&[(Flag::Username, "u")]), &Env::default())
            .expect_err("no password")
            .to_string();
        assert!(
            password.contains("--password") && password.contains("AAD_USER_PRINCIPAL_PASSWORD")
        );
    }
}
