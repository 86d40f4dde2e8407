//! `kubelogin get-token`: sign in, print an ExecCredential.

use std::io::Write;
use std::time::Duration;

use crate::entra::{Client, Grant, access_token};
use crate::env::{self, Env};
use crate::error::Error;
use crate::exec_credential::ExecInfo;
use crate::flag::FlagValues;
use crate::login::{self, Login};
use crate::options::{Options, Timeout};
use crate::pop;
use crate::secret::Secret;
use crate::system::System;
use crate::token::{Scope, Token};
use crate::token_cache::{Entry, Moment, Renewal, Slot, TokenCache, Turn};

/// Own options and files are checked first, the network comes after, stdout is written once at the end.
pub fn run(
    typed: &FlagValues,
    env: &Env,
    system: &dyn System,
    out: &mut dyn Write,
) -> Result<(), Error> {
    let exec_info = ExecInfo::read(env)?;
    let (options, notices) = Options::resolve(typed, env)?;
    for notice in notices {
        system.tell(&notice);
    }
    let login = login::new(&options, env)?;
    let cache = TokenCache::new(&options.cache, system);
    let binding = match &options.pop_claims {
        Some(claims) => Some(pop::Binding::new(claims, pop_key(cache.as_ref())?)),
        None => None,
    };
    let scope = Scope::of_server(&options.server_id);
    let request = Request {
        login,
        scope: match &binding {
            Some(binding) => binding.scope(scope),
            None => scope,
        },
        timeout: options.timeout,
        // kubectl runs a plugin that fails again, at once; a person does not.
        tries_again: env.get(env::KUBERNETES_EXEC_INFO).is_some(),
        system,
    };
    let token = match (&cache, request.login.fingerprint()) {
        (Some(cache), Some(fingerprint)) => {
            let key = login::cache_key(options.login, &*request.login, &request.scope);
            request.cached_token(&cache.slot(&key, fingerprint))
        }
        _ => request.new_token(),
    }?;
    if system.verbosity() >= 1 {
        for line in access_token::oddities(&token.access_token, options.version) {
            system.tell(line);
        }
    }
    let token = match binding {
        Some(binding) => binding.envelope(token, system.now())?,
        None => token,
    };
    exec_info.write(&token, out)
}

/// Without a cache nothing outlives the run, and so no key needs to.
fn pop_key(cache: Option<&TokenCache>) -> Result<pop::Key, Error> {
    cache.map_or_else(pop::Key::generate, TokenCache::pop_key)
}

/// A login that wants its token.
struct Request<'a> {
    login: Box<dyn Login>,
    scope: Scope,
    timeout: Timeout,
    /// True if a program runs us, which would do so again after a failure.
    tries_again: bool,
    system: &'a dyn System,
}

/// How long people are waited for who sign in elsewhere, in another kubelogin: a device code lives 15 minutes.
const PATIENCE_WITH_PEOPLE: Duration = Duration::from_secs(16 * 60);
/// What a waiter grants the other above its timeout, so as to get its answer.
const GRACE: Duration = Duration::from_secs(5);

impl Request<'_> {
    /// The token in the cache while it is good, else one that is obtained once, however many want it at the same time.
    fn cached_token(&self, slot: &Slot) -> Result<Token, Error> {
        let began = self.system.now();
        if let Some(entry) = slot.load().filter(|entry| self.is_fresh(entry)) {
            return Ok(entry.token);
        }
        let turn = slot.wait_for_turn(self.patience());
        let mut entry = slot.load();
        if let Some(entry) = entry.as_ref().filter(|entry| self.is_fresh(entry)) {
            return Ok(entry.token.clone());
        }
        let renewed = match slot.failure(began, self.tries_again) {
            Some(error) => Err(error),
            None => self.renew(entry.as_mut(), slot, &turn),
        };
        renewed.or_else(|error| self.old_token(entry, error))
    }

    fn is_fresh(&self, entry: &Entry) -> bool {
        let renewal = match self.login.asks_a_person() && entry.token.refresh_token.is_none() {
            true => Renewal::ByPerson,
            false => Renewal::Silent,
        };
        entry.is_fresh(&Moment::now(self.system), renewal)
    }

    fn patience(&self) -> Duration {
        match self.login.asks_a_person() && !self.timeout.is_given {
            true => PATIENCE_WITH_PEOPLE,
            false => self.timeout.duration + GRACE,
        }
    }

    /// Obtains a token and keeps it, or the error for those who wait.
    fn renew(&self, entry: Option<&mut Entry>, slot: &Slot, turn: &Turn) -> Result<Token, Error> {
        let renewed = match entry {
            Some(entry) => self.refresh(entry, slot, turn),
            None => self.new_token(),
        };
        match &renewed {
            // The state of others may have changed meanwhile: whose token is this then?
            _ if self.login.fingerprint().as_ref() != Some(slot.fingerprint()) => {}
            Ok(token) => slot.save(token, turn),
            Err(error) => slot.save_failure(error, turn),
        }
        renewed
    }

    /// Redeems the refresh token, and signs in if there is none or its time is over.
    fn refresh(&self, entry: &mut Entry, slot: &Slot, turn: &Turn) -> Result<Token, Error> {
        let (Some(old), Some(client)) =
            (&entry.token.refresh_token, self.login.refreshing_client())
        else {
            return self.new_token();
        };
        match self.redeem(client, old) {
            Err(error) if needs_a_new_login(&error) => {
                slot.drop_refresh_token(entry, turn);
                self.new_token()
            }
            Err(error) if error.is_refused() && !entry.is_alive(&Moment::now(self.system)) => {
                self.new_token()
            }
            other => other,
        }
    }

    fn redeem(&self, client: &Client, refresh_token: &Secret) -> Result<Token, Error> {
        let grant = Grant::RefreshToken(refresh_token);
        let token = client.token(&grant, &self.scope, self.timeout.duration, self.system)?;
        Ok(Token {
            // An answer without one means that the old one goes on (RFC 6749 section 6).
            refresh_token: token.refresh_token.or_else(|| Some(refresh_token.clone())),
            ..token
        })
    }

    fn new_token(&self) -> Result<Token, Error> {
        self.login.acquire(&self.scope, self.timeout, self.system)
    }

    /// The old token, if it lives and it is not the server's last word that there is no new one.
    fn old_token(&self, entry: Option<Entry>, error: Error) -> Result<Token, Error> {
        let now = Moment::now(self.system);
        match entry.filter(|entry| entry.is_alive(&now)) {
            Some(entry) if !error.is_refused() || entry.token.refresh_token.is_some() => {
                self.system.tell(&format!(
                    "The token could not be renewed; the old one is used until {}: {}",
                    entry.token.expires_on.format("%H:%M:%SZ"),
                    error.to_string().lines().next().unwrap_or_default(),
                ));
                Ok(entry.token)
            }
            _ => Err(error),
        }
    }
}

/// True if the server wants the person again (RFC 6749 section 5.2, OpenID Connect Core 1.0 section 3.1.2.6): the
/// refresh token is of no use any more.
fn needs_a_new_login(error: &Error) -> bool {
    [
        "invalid_grant",
        "interaction_required",
        "login_required",
        "consent_required",
    ]
    .iter()
    .any(|code| error.is_refused_with(code))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flag::Flag;
    use crate::system::fake::FakeSystem;
    use crate::token_cache::Scratch;

    const CODE: &str = r#"{"device_code":"dev","user_code":"ABC","verification_uri":"https://microsoft.com/devicelogin",
        "expires_in":900,"interval":1,"message":"Open the page and enter ABC."}"#;
    const DECLINED: &str = r#"{"error":"authorization_declined"}"#;

    fn granted(token: &str) -> String {
        format!(
            r#"{{"access_token":"{token}","expires_in":3600,"refresh_token":"refresh {token}"}}"#
        )
    }

    /// Runs `--login devicecode`, `answers` being what the server says (a status and a body); the token that comes out.
    fn run_again(
        scratch: &Scratch,
        minutes: u64,
        answers: &[(u16, &str)],
    ) -> (Result<String, Error>, FakeSystem) {
        let answers = answers
            .iter()
            .map(|(status, body)| FakeSystem::json(*status, *body));
        let system = FakeSystem::new(answers);
        system.sleep(Duration::from_secs(60 * minutes));
        let mut typed = FlagValues::new();
        for (flag, value) in [
            (Flag::ServerId, "srv"),
            (Flag::ClientId, "app"),
            (Flag::TenantId, "ten"),
            (Flag::TokenCacheStorage, "disk"),
        ] {
            typed.set(flag, value);
        }
        typed.set(Flag::CacheDir, scratch.path().to_string_lossy());
        let mut out = Vec::new();
        let result = run(&typed, &Env::of(&[]), &system, &mut out);
        assert_eq!(system.answers_left(), 0);
        let token = result.map(|()| {
            let credential: serde_json::Value = serde_json::from_slice(&out).expect("JSON");
            credential["status"]["token"]
                .as_str()
                .expect("text")
                .to_owned()
        });
        (token, system)
    }

    fn token_at(scratch: &Scratch, minutes: u64, answers: &[(u16, &str)]) -> String {
        run_again(scratch, minutes, answers).0.expect("a token")
    }

    fn signed_in() -> Scratch {
        let scratch = Scratch::new();
        assert_eq!(
            token_at(&scratch, 0, &[(200, CODE), (200, &granted("1"))]),
            "1"
        );
        scratch
    }

    #[test]
    fn a_token_is_renewed_by_its_refresh_token_when_its_time_is_over() {
        let scratch = signed_in();
        assert_eq!(token_at(&scratch, 54, &[]), "1");
        let (token, system) = run_again(&scratch, 56, &[(200, &granted("2"))]);
        assert_eq!(token, Ok("2".into()));
        assert_eq!(
            system.forms(),
            [
                "client_id=app&grant_type=refresh_token&refresh_token=refresh+1\
              &scope=srv%2F.default+openid+offline_access+profile"
            ]
        );
        assert_eq!(token_at(&scratch, 110, &[]), "2");
    }

    #[test]
    fn a_clock_that_was_set_back_is_not_believed() {
        let scratch = Scratch::new();
        assert_eq!(
            token_at(&scratch, 90, &[(200, CODE), (200, &granted("1"))]),
            "1"
        );
        assert_eq!(token_at(&scratch, 60, &[(200, &granted("2"))]), "2");
        assert_eq!(token_at(&scratch, 60, &[]), "2");
    }

    #[test]
    fn a_server_that_is_out_of_order_costs_no_prompt_and_no_refresh_token() {
        let scratch = signed_in();
        let out_of_order = [(503, ""); 4];
        let (alive, system) = run_again(&scratch, 57, &out_of_order);
        assert_eq!(alive, Ok("1".into()));
        assert_eq!(system.told().len(), 1);
        let (dead, system) = run_again(&scratch, 61, &out_of_order);
        assert!(dead.is_err());
        assert_eq!(system.prompts(), [""; 0]);
        assert_eq!(token_at(&scratch, 62, &[(200, &granted("2"))]), "2");
    }

    #[test]
    fn an_odd_refusal_leaves_a_living_token_and_replaces_a_dead_one() {
        let scratch = signed_in();
        for (minutes, odd) in [
            (57, (400, r#"{"error":"invalid_client"}"#)),
            (58, (200, "<html>")),
            (59, (404, "")),
        ] {
            assert_eq!(token_at(&scratch, minutes, &[odd]), "1");
        }
        let odd = (400, r#"{"error":"unauthorized_client"}"#);
        assert_eq!(
            token_at(&scratch, 61, &[odd, (200, CODE), (200, &granted("2"))]),
            "2"
        );
    }

    #[test]
    fn a_refresh_token_that_has_ended_costs_one_sign_in_and_is_not_tried_again() {
        for ended in [
            r#"{"error":"invalid_grant"}"#,
            r#"{"error":"interaction_required"}"#,
        ] {
            let scratch = signed_in();
            let (declined, _) =
                run_again(&scratch, 57, &[(400, ended), (200, CODE), (400, DECLINED)]);
            assert!(declined.is_err());
            let again = [(200, CODE), (200, &*granted("2"))];
            assert_eq!(token_at(&scratch, 58, &again), "2");
        }
    }

    #[test]
    fn an_answer_without_a_refresh_token_leaves_the_old_one() {
        let scratch = signed_in();
        let bare = r#"{"access_token":"2","expires_in":3600}"#;
        assert_eq!(token_at(&scratch, 60, &[(200, bare)]), "2");
        let (token, system) = run_again(&scratch, 120, &[(200, &granted("3"))]);
        assert_eq!(token, Ok("3".into()));
        assert!(system.forms()[0].contains("refresh+1"));
    }
}
