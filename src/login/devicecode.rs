//! `--login devicecode`: the user enters a code on another device (RFC 8628).

use std::time::Duration;

use crate::entra::{Client, DeviceAuthorization, Grant};
use crate::env::Env;
use crate::error::{Error, ErrorKind, one_line};
use crate::login::Login;
use crate::options::Options;
use crate::retry::Deadline;
use crate::secret::Secret;
use crate::system::System;
use crate::timeout::Timeout;
use crate::token::{Scope, Token};
use crate::token_cache::CacheKey;

/// The shortest wait between two polls: a response with an interval of 0 must not make us poll without pause.
const SHORTEST_INTERVAL: Duration = Duration::from_secs(1);

/// What `slow_down` adds to the interval (RFC 8628 section 3.5).
const SLOW_DOWN: Duration = Duration::from_secs(5);

/// The longest wait between two polls while the network is down.
const LONGEST_INTERVAL: Duration = Duration::from_secs(30);

/// A public client whose user enters a code elsewhere.
#[derive(Debug)]
pub struct DeviceCode(Client);

impl DeviceCode {
    pub fn new(options: &Options, _: &Env) -> Result<Self, Error> {
        super::client(options).map(Self)
    }
}

impl Login for DeviceCode {
    fn identify(&self, key: CacheKey) -> CacheKey {
        self.0.identify(key)
    }

    fn refreshing_client(&self) -> Option<&Client> {
        Some(&self.0)
    }

    fn asks_a_person(&self) -> bool {
        true
    }

    /// Shows the code and polls until the user has decided. The code's lifetime limits the wait; `timeout` does so only if
    /// it was given (Azure/kubelogin#641: MFA takes longer than a minute).
    fn acquire(
        &self,
        scope: &Scope,
        timeout: Timeout,
        system: &dyn System,
    ) -> Result<Token, Error> {
        let network = Deadline::after(system, timeout.duration);
        let exchange = self.0.exchange(system, network)?;
        let code = exchange.device_authorization(scope, network)?;
        system.prompt(&instructions(&code));

        let patience = match timeout.is_given {
            true => code.expires_in().min(network.remaining(system)),
            false => code.expires_in(),
        };
        let end = Deadline::after(system, patience);
        let device_code = Secret::new(code.device_code().secret().as_str());
        let mut interval = code.interval().max(SHORTEST_INTERVAL);
        while interval < end.remaining(system) {
            system.sleep(interval);
            let poll = Deadline::after(system, timeout.duration.min(end.remaining(system)));
            match exchange.token(&Grant::DeviceCode(&device_code), scope, poll) {
                Ok(token) => return Ok(token),
                Err(error) => interval = next_wait(&error, interval).ok_or(error)?,
            }
        }
        system.sleep(end.remaining(system));
        Err(unanswered(patience, timeout))
    }
}

/// What to tell the user: Entra's own text, else the same in our words. One line, whatever the server sent.
fn instructions(code: &DeviceAuthorization) -> String {
    match code
        .extra_fields()
        .message
        .as_deref()
        .filter(|message| !message.trim().is_empty())
    {
        Some(message) => one_line(message),
        None => one_line(&format!(
            "To sign in, open {} in a browser and enter the code {}",
            code.verification_uri().as_str(),
            code.user_code().secret(),
        )),
    }
}

/// How long to wait before the next poll (RFC 8628 section 3.5); `None` if the login is over.
fn next_wait(error: &Error, interval: Duration) -> Option<Duration> {
    if error.is_refused_with("authorization_pending") {
        Some(interval)
    } else if error.is_refused_with("slow_down") {
        Some(interval + SLOW_DOWN)
    } else if *error.kind() == ErrorKind::Outside {
        // The user may be entering the code while the network is down.
        Some((interval * 2).min(LONGEST_INTERVAL))
    } else {
        None
    }
}

fn unanswered(patience: Duration, timeout: Timeout) -> Error {
    let what = format!(
        "the device code was not entered within {} seconds",
        patience.as_secs_f64().round()
    );
    Error::refused("expired_token", what).remedy(match timeout.is_given {
        true => "Run the command again with a longer --timeout, or without one to wait until the code expires.",
        false => "Run the command again for a new code.",
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flag::Flag;
    use crate::login::tests::{CLIENT, options};
    use crate::system::fake::FakeSystem;

    const CODE: &str = r#"{"device_code":"dev","user_code":"ABC","verification_uri":"https://microsoft.com/devicelogin",
        "expires_in":900,"interval":5,"message":"Open the page and enter ABC."}"#;
    const PENDING: &str =
        r#"{"error":"authorization_pending","error_description":"AADSTS70016: pending"}"#;
    const TOKEN: &str =
        r#"{"token_type":"Bearer","access_token":"at","expires_in":3600,"refresh_token":"rt"}"#;

    fn login(system: &FakeSystem, timeout: Option<u64>) -> Result<Token, Error> {
        login_with(&[], system, timeout)
    }

    fn legacy_login(system: &FakeSystem) -> Result<Token, Error> {
        login_with(&[(Flag::Legacy, "true")], system, None)
    }

    fn login_with(
        flags: &[(Flag, &str)],
        system: &FakeSystem,
        timeout: Option<u64>,
    ) -> Result<Token, Error> {
        let mut options = options("devicecode", &[&CLIENT, flags].concat(), &[]);
        if let Some(seconds) = timeout {
            options.timeout = Timeout {
                duration: Duration::from_secs(seconds),
                is_given: true,
            };
        }
        let login = DeviceCode::new(&options, &Env::default()).expect("login");
        login.acquire(&Scope::of_server("srv"), options.timeout, system)
    }

    fn seconds(naps: &[Duration]) -> Vec<u64> {
        naps.iter().map(Duration::as_secs).collect()
    }

    #[test]
    fn the_user_is_prompted_once_and_the_polls_keep_the_interval() {
        let system = FakeSystem::new([
            FakeSystem::json(200, CODE),
            FakeSystem::json(400, PENDING),
            FakeSystem::json(400, r#"{"error":"slow_down"}"#),
            FakeSystem::json(200, TOKEN),
        ]);
        let token = login(&system, None).expect("token");
        assert_eq!(token.access_token, Secret::new("at"));
        assert_eq!(token.refresh_token, Some(Secret::new("rt")));
        assert_eq!(system.prompts(), ["Open the page and enter ABC."]);
        assert_eq!(seconds(&system.naps()), [5, 5, 10]);
        assert_eq!(
            system.forms(),
            [
                "client_id=app&scope=srv%2F.default+openid+offline_access+profile",
                POLL_FORM,
                POLL_FORM,
                POLL_FORM
            ]
        );
    }

    const POLL_FORM: &str = "client_id=app&grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Adevice_code\
        &device_code=dev&scope=srv%2F.default+openid+offline_access+profile";

    /// The original crashes without `message`, and polls without pause without `interval`.
    #[test]
    fn legacy_speaks_the_v1_form_and_reads_quoted_numbers() {
        let code = |more: &str| {
            format!(
                r#"{{"device_code":"dev","user_code":"ABC","verification_url":"https://microsoft.com/devicelogin","expires_in":"900"{more}}}"#
            )
        };
        for (more, prompt, interval) in [
            (
                r#","interval":"7","message":"Open and enter ABC.""#,
                "Open and enter ABC.",
                7,
            ),
            (
                "",
                "To sign in, open https://microsoft.com/devicelogin in a browser and enter the code ABC",
                5,
            ),
        ] {
            let system = FakeSystem::new([
                FakeSystem::json(200, code(more)),
                FakeSystem::json(400, PENDING),
                FakeSystem::json(
                    200,
                    r#"{"access_token":"at","expires_in":"3599","expires_on":"1767229199","refresh_token":"rt"}"#,
                ),
            ]);
            let token = legacy_login(&system).expect("token");
            let life = token.expires_on - FakeSystem::EPOCH;
            assert_eq!(life.num_seconds(), 2 * interval + 3599);
            assert_eq!(system.prompts(), [prompt]);
            let uris: Vec<_> = system
                .requests()
                .iter()
                .map(|r| r.uri().to_string())
                .collect();
            let at = "https://login.microsoftonline.com/ten/oauth2";
            assert_eq!(uris[0], format!("{at}/devicecode?api-version=1.0"));
            assert_eq!(uris[1], format!("{at}/token?api-version=1.0"));
            let poll = "client_id=app&grant_type=device_code&code=dev&resource=srv";
            assert_eq!(system.forms(), ["client_id=app&resource=srv", poll, poll]);
        }
    }

    #[test]
    fn legacy_s_own_error_for_an_expired_code_ends_the_login_with_the_fix() {
        let expired =
            r#"{"error":"code_expired","error_description":"AADSTS70020: It has expired."}"#;
        let system = FakeSystem::new([FakeSystem::json(200, CODE), FakeSystem::json(400, expired)]);
        let error = legacy_login(&system).expect_err("expired").to_string();
        assert!(error.contains("run the command again"), "{error}");
    }

    #[test]
    fn the_code_s_lifetime_limits_the_wait_unless_a_timeout_was_given() {
        for (timeout, end) in [(None, 900), (Some(60), 60), (Some(3600), 900)] {
            let answers = std::iter::once(FakeSystem::json(200, CODE));
            let system =
                FakeSystem::new(answers.chain((0..200).map(|_| FakeSystem::json(400, PENDING))));
            let error = login(&system, timeout)
                .expect_err("nobody came")
                .to_string();
            assert!(error.contains(&format!("{end} seconds")), "{error}");
            assert_eq!(system.elapsed().as_secs(), end);
        }
    }

    #[test]
    fn an_interval_of_zero_becomes_a_second() {
        let code = CODE.replace(r#""interval":5"#, r#""interval":0"#);
        let system = FakeSystem::new([
            FakeSystem::json(200, code),
            FakeSystem::json(400, PENDING),
            FakeSystem::json(200, TOKEN),
        ]);
        login(&system, None).expect("token");
        assert_eq!(seconds(&system.naps()), [1, 1]);
    }

    #[test]
    fn a_network_that_is_down_for_a_while_does_not_end_the_login() {
        let mut answers = vec![FakeSystem::json(200, CODE)];
        answers.extend((0..4).map(|_| FakeSystem::json(503, "")));
        answers.push(FakeSystem::json(200, TOKEN));
        let system = FakeSystem::new(answers);
        assert!(login(&system, None).is_ok());
    }

    #[test]
    fn a_refusal_ends_the_login() {
        let declined = r#"{"error":"authorization_declined","error_description":"AADSTS70016: The user said no."}"#;
        for answer in [
            FakeSystem::json(400, declined),
            FakeSystem::json(200, "<html>"),
        ] {
            let system = FakeSystem::new([FakeSystem::json(200, CODE), answer]);
            login(&system, None).expect_err("refused");
            assert_eq!(system.requests().len(), 2);
        }
    }

    #[test]
    fn without_a_message_the_prompt_has_the_code_and_the_page() {
        let code = CODE.replace(
            r#""message":"Open the page and enter ABC.""#,
            r#""message":"""#,
        );
        let system = FakeSystem::new([FakeSystem::json(200, code), FakeSystem::json(200, TOKEN)]);
        login(&system, None).expect("token");
        assert!(
            system.prompts()[0].contains("ABC")
                && system.prompts()[0].contains("https://microsoft.com/devicelogin")
        );
    }
}
