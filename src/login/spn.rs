//! `--login spn`: a service principal with its client secret or certificate (RFC 6749 section 4.4).

use std::path::Path;

use crate::entra::certificate::CertificateFile;
use crate::entra::{Client, ClientAuth, Grant};
use crate::env::Env;
use crate::error::Error;
use crate::flag::Flag;
use crate::login::{HandOn, Login};
use crate::options::Options;
use crate::system::System;
use crate::timeout::Timeout;
use crate::token::{Scope, Token};
use crate::token_cache::{CacheKey, Fingerprint};

/// An application that acts for itself.
#[derive(Debug)]
pub struct ServicePrincipal {
    client: Client,
    /// True if a client secret was given too.
    ignores_secret: bool,
}

impl ServicePrincipal {
    pub fn new(options: &Options, _: &Env) -> Result<Self, Error> {
        let client = super::confidential_client(options, Options::missing)?;
        let client = client.authenticated_by(auth(options)?);
        let has_certificate = matches!(client.auth, ClientAuth::Certificate(_));
        Ok(Self {
            client,
            ignores_secret: has_certificate && options.secret(Flag::ClientSecret).is_some(),
        })
    }
}

impl Login for ServicePrincipal {
    fn identify(&self, key: CacheKey) -> CacheKey {
        self.client.identify(key)
    }

    fn fingerprint(&self) -> Option<Fingerprint> {
        Some(Fingerprint::of(&self.client.auth.secrets()))
    }

    fn acquire(
        &self,
        scope: &Scope,
        timeout: Timeout,
        system: &dyn System,
        _: HandOn,
    ) -> Result<Token, Error> {
        if self.ignores_secret {
            system.notice(
                "using the client certificate and ignoring the client secret; set only one of them",
            );
        }
        let grant = Grant::ClientCredentials;
        self.client.token(&grant, scope, timeout.duration, system)
    }
}

/// A certificate takes precedence over a secret, as in the original.
fn auth(options: &Options) -> Result<ClientAuth, Error> {
    if let Some(path) = options.text(Flag::ClientCertificate) {
        let password = options.secret(Flag::ClientCertificatePassword);
        let patience = options.timeout.duration;
        return CertificateFile::read(Path::new(path), password, patience)
            .map(ClientAuth::Certificate);
    }
    let secret = options.secret(Flag::ClientSecret).ok_or_else(|| {
        options.missing(Flag::ClientSecret).remedy(
            "Set AZURE_CLIENT_SECRET (or --client-secret), or AZURE_CLIENT_CERTIFICATE_PATH (or --client-certificate).",
        )
    });
    secret.map(ClientAuth::Secret)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entra::certificate::tests::PASSWORD;
    use crate::login::tests::{CLIENT, NOBODY_WAITS, TRUSTED, options};
    use crate::system::fake::FakeSystem;

    const TOKEN: &str = r#"{"token_type":"Bearer","access_token":"at","expires_in":3600}"#;
    const CERTIFICATE: (Flag, &str) = (Flag::ClientCertificate, "fixtures/certificates/modern.pfx");
    const GOOD_PASSWORD: (Flag, &str) = (Flag::ClientCertificatePassword, PASSWORD);

    fn login(given: &[(Flag, &str)], system: &FakeSystem) -> Result<Token, Error> {
        let options = options("spn", &[&CLIENT, given].concat(), &[]);
        ServicePrincipal::new(&options, &Env::default())?.acquire(
            &Scope::of_server("srv"),
            options.timeout,
            system,
            NOBODY_WAITS,
        )
    }

    #[test]
    fn a_secret_is_sent_as_the_original_sends_it() {
        let system = FakeSystem::new([FakeSystem::json(200, TOKEN)]);
        login(&[(Flag::ClientSecret, "s&cret")], &system).expect("token");
        assert_eq!(
            system.forms(),
            [
                "client_id=app&client_secret=s%26cret&grant_type=client_credentials\
                &scope=srv%2F.default+openid+offline_access+profile"
            ]
        );
    }

    #[test]
    fn legacy_sends_the_same_proof_with_a_resource_to_v1() {
        let legacy = (Flag::Legacy, "true");
        let secret = [legacy, (Flag::ClientSecret, "s&cret")];
        for given in [&secret[..], &[legacy, CERTIFICATE, GOOD_PASSWORD]] {
            let system = FakeSystem::new([FakeSystem::json(200, TOKEN)]);
            login(given, &system).expect("token");
            assert_eq!(
                system.requests()[0].uri(),
                "https://login.microsoftonline.com/ten/oauth2/token?api-version=1.0"
            );
            let form = &system.forms()[0];
            let rest = "&grant_type=client_credentials&resource=srv";
            assert!(form.ends_with(rest) && !form.contains("scope="), "{form}");
        }
    }

    #[test]
    fn a_certificate_beats_a_secret_with_a_notice() {
        let given = [CERTIFICATE, GOOD_PASSWORD, (Flag::ClientSecret, "s&cret")];
        let system = FakeSystem::new([FakeSystem::json(200, TOKEN)]);
        login(&given, &system).expect("token");
        let form = &system.forms()[0];
        let (before, assertion) = form.split_once("&client_assertion=").expect("an assertion");
        assert_eq!(
            before,
            "client_id=app\
                &client_assertion_type=urn%3Aietf%3Aparams%3Aoauth%3Aclient-assertion-type%3Ajwt-bearer"
        );
        assert!(
            assertion.ends_with(
                "&grant_type=client_credentials&scope=srv%2F.default+openid+offline_access+profile"
            ),
            "{assertion}"
        );
        assert_eq!(
            system.told(),
            ["using the client certificate and ignoring the client secret; set only one of them"]
        );
        for alone in [&given[..2], &given[2..]] {
            let system = FakeSystem::new([FakeSystem::json(200, TOKEN)]);
            login(alone, &system).expect("token");
            assert_eq!(system.told(), [""; 0]);
        }
    }

    #[test]
    fn a_certificate_that_does_not_open_fails_before_anything_is_sent() {
        let elsewhere = (Flag::AuthorityHost, "https://entra.example/");
        for given in [
            vec![CERTIFICATE, elsewhere, TRUSTED],
            vec![
                CERTIFICATE,
                elsewhere,
                TRUSTED,
                (Flag::ClientCertificatePassword, "wrong"),
            ],
            vec![
                (Flag::ClientCertificate, "fixtures/certificates/missing.pem"),
                elsewhere,
                TRUSTED,
            ],
            vec![
                (Flag::ClientCertificate, "fixtures/certificates/expired.pem"),
                elsewhere,
                TRUSTED,
            ],
        ] {
            // A request would fail: there is no response for it.
            let system = FakeSystem::new([]);
            let error = login(&given, &system).expect_err("refused").to_string();
            assert!(error.starts_with("client certificate "), "{error}");
        }
    }

    #[test]
    fn without_secret_and_certificate_both_are_named() {
        let error = login(&[], &FakeSystem::new([]))
            .expect_err("refused")
            .to_string();
        for way in [
            "--client-secret",
            "AZURE_CLIENT_SECRET",
            "--client-certificate",
            "AZURE_CLIENT_CERTIFICATE_PATH",
        ] {
            assert!(error.contains(way), "{error}");
        }
    }
}
