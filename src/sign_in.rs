//! A token for a scope: from the cache, by refresh, or by a new sign-in; one at a time for all who ask.

use std::time::Duration;

use crate::entra::{Client, Grant};
use crate::env::{self, Env};
use crate::error::{Error, ErrorKind};
use crate::login::{self, Login};
use crate::login_mode::LoginMode;
use crate::options::Options;
use crate::pop;
use crate::secret::Secret;
use crate::system::System;
use crate::timeout::Timeout;
use crate::token::{Scope, Token};
use crate::token_cache::{Entry, Moment, Renewal, Slot, TokenCache, Turn};

/// How long to wait for another kubelogin in which a person is signing in: a device code is valid for 15 minutes.
const PATIENCE_WITH_PEOPLE: Duration = Duration::from_secs(16 * 60);
/// How far past its timeout another kubelogin may still hand over its result.
const GRACE: Duration = Duration::from_secs(5);

/// A login with its token cache, ready to get tokens for any scope.
pub struct SignIn<'a> {
    mode: LoginMode,
    login: Box<dyn Login>,
    cache: Option<TokenCache<'a>>,
    timeout: Timeout,
    /// True if a Kubernetes client started us: it runs a failing plugin again at once, which a person does not.
    is_retried: bool,
    system: &'a dyn System,
}

/// What the caller allows.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Ask<'a> {
    /// The cached token if it is fresh, else a refresh, else a new sign-in.
    Any,
    /// The same, but never the cached token.
    Renewed,
    /// Never ask a person.
    Silent,
    /// Never ask a person; redeem this refresh token, which was issued with a token for another scope.
    Redeem(&'a Secret),
}

impl<'a> SignIn<'a> {
    /// Checks everything that can be checked without the network: options and files.
    pub fn new(options: &Options, env: &Env, system: &'a dyn System) -> Result<Self, Error> {
        Ok(Self {
            mode: options.login,
            login: login::new(options, env)?,
            cache: TokenCache::new(&options.cache, system),
            timeout: options.timeout,
            is_retried: env.get(env::KUBERNETES_EXEC_INFO).is_some(),
            system,
        })
    }

    /// True if signing in takes a person.
    pub fn asks_a_person(&self) -> bool {
        self.login.asks_a_person()
    }

    /// The token cache, if there is one.
    pub fn cache(&self) -> Option<&TokenCache<'a>> {
        self.cache.as_ref()
    }

    /// What binds tokens to a key of ours; `None` unless the options ask for PoP tokens. Ask for a token with its
    /// scope, and give the cluster that token in its envelope.
    pub fn binding<'o>(&self, options: &'o Options) -> Result<Option<pop::Binding<'o>>, Error> {
        let Some(claims) = &options.pop_claims else {
            return Ok(None);
        };
        // Without a cache no token outlives this run, so the key need not either.
        let key = match &self.cache {
            Some(cache) => cache.pop_key(),
            None => pop::Key::generate(),
        };
        Ok(Some(pop::Binding::new(claims, key?)))
    }

    /// The cached token while it is fresh, else a new one. When several processes want the same token at the same time,
    /// one obtains it and the others use it.
    pub fn token(&self, scope: &Scope) -> Result<Token, Error> {
        self.obtain(scope, Ask::Any)
    }

    /// A new token however fresh the cached one is, so that it carries the groups and roles of today; by refresh where
    /// there is a refresh token. Fails if none can be had, even if the cached token is still valid.
    #[cfg_attr(not(test), expect(dead_code, reason = "for --force-refresh"))]
    pub fn renewed_token(&self, scope: &Scope) -> Result<Token, Error> {
        self.obtain(scope, Ask::Renewed)
    }

    /// The cached token, or a new one if nobody has to be asked for it.
    ///
    /// # Errors
    /// [`ErrorKind::NotSignedIn`] if a person has to sign in, with the server's reason if it
    /// gave one.
    pub fn silent_token(&self, scope: &Scope) -> Result<Token, Error> {
        self.obtain(scope, Ask::Silent)
    }

    /// A token for another scope from the sign-in that `token` came from, by redeeming its refresh token: Entra ID binds
    /// refresh tokens to a user and a client, not to a resource (Microsoft identity platform, "Refresh tokens"). It is
    /// cached like any other. Never asks a person.
    ///
    /// # Errors
    /// As [`Self::silent_token`].
    #[cfg_attr(not(test), expect(dead_code, reason = "for get-credentials"))]
    pub fn token_of_same_sign_in(&self, token: &Token, scope: &Scope) -> Result<Token, Error> {
        let refresh_token = token.refresh_token.as_ref();
        self.obtain(scope, refresh_token.map_or(Ask::Silent, Ask::Redeem))
    }

    fn obtain(&self, scope: &Scope, ask: Ask) -> Result<Token, Error> {
        let request = Request {
            sign_in: self,
            scope,
            ask,
        };
        match (&self.cache, self.login.fingerprint()) {
            (Some(cache), Some(fingerprint)) => {
                let key = login::cache_key(self.mode, &*self.login, scope);
                request.cached_token(&cache.slot(&key, fingerprint))
            }
            _ => request.uncached_token(),
        }
    }
}

/// One token that is wanted.
struct Request<'a> {
    sign_in: &'a SignIn<'a>,
    scope: &'a Scope,
    ask: Ask<'a>,
}

impl Request<'_> {
    fn uncached_token(&self) -> Result<Token, Error> {
        match (self.ask, self.sign_in.login.refreshing_client()) {
            (Ask::Redeem(refresh_token), Some(client)) => self.redeem(client, refresh_token),
            _ => self.new_token(None),
        }
    }

    fn cached_token(&self, slot: &Slot) -> Result<Token, Error> {
        let began = self.sign_in.system.now();
        let found = slot.load();
        if let Some(entry) = found.as_ref().filter(|entry| self.is_fresh(entry))
            && self.ask != Ask::Renewed
        {
            return Ok(entry.token.clone());
        }
        if self.refresh_token(found.as_ref()).is_none() && !self.may_sign_in() {
            return self.new_token(None); // fails at once, whoever else is signing in
        }
        let turn = slot.wait_for_turn(self.patience());
        let mut entry = slot.load();
        if let Some(entry) = entry.as_ref().filter(|entry| self.is_fresh(entry))
            && (self.ask != Ask::Renewed || found.as_ref() != Some(entry))
        {
            return Ok(entry.token.clone()); // renewed by another process meanwhile
        }
        let renewed = match slot.failure(began, self.sign_in.is_retried) {
            Some(error) => Err(error),
            None => self.renew(entry.as_mut(), slot, &turn),
        };
        renewed.or_else(|error| self.old_token(entry, error))
    }

    fn is_fresh(&self, entry: &Entry) -> bool {
        let SignIn { login, system, .. } = self.sign_in;
        let renewal = match login.asks_a_person() && entry.token.refresh_token.is_none() {
            true => Renewal::ByPerson,
            false => Renewal::Silent,
        };
        entry.is_fresh(&Moment::now(*system), renewal)
    }

    /// False if getting a new token takes a person, and nobody may be asked.
    fn may_sign_in(&self) -> bool {
        matches!(self.ask, Ask::Any | Ask::Renewed) || !self.sign_in.login.asks_a_person()
    }

    fn patience(&self) -> Duration {
        let SignIn { login, timeout, .. } = self.sign_in;
        match login.asks_a_person() && self.may_sign_in() && !timeout.is_given {
            true => PATIENCE_WITH_PEOPLE,
            false => timeout.duration + GRACE,
        }
    }

    /// Obtains a token and keeps it; keeps the error for those who wait.
    fn renew(&self, entry: Option<&mut Entry>, slot: &Slot, turn: &Turn) -> Result<Token, Error> {
        let renewed = self.refresh(entry, slot, turn);
        match &renewed {
            // The login of another program (az, azd) may have changed meanwhile: whose token is this then?
            _ if self.sign_in.login.fingerprint().as_ref() != Some(slot.fingerprint()) => {}
            Ok(token) => slot.save(token, turn),
            // Those who wait may ask a person.
            Err(_) if !self.may_sign_in() => {}
            Err(error) => slot.save_failure(error, turn),
        }
        renewed
    }

    /// Redeems the refresh token; signs in if there is none or it is no longer valid.
    fn refresh(&self, entry: Option<&mut Entry>, slot: &Slot, turn: &Turn) -> Result<Token, Error> {
        let refresh_token = self.refresh_token(entry.as_deref());
        let (Some(old), Some(client)) = (refresh_token, self.sign_in.login.refreshing_client())
        else {
            return self.new_token(None);
        };
        let now = Moment::now(self.sign_in.system);
        match self.redeem(client, old) {
            Err(error) if needs_a_new_login(&error) => {
                if let Some(entry) = entry.filter(|_| !matches!(self.ask, Ask::Redeem(_))) {
                    slot.drop_refresh_token(entry, turn);
                }
                self.new_token(Some(error))
            }
            Err(error)
                if error.is_refused() && !entry.is_some_and(|entry| entry.is_alive(&now)) =>
            {
                self.new_token(Some(error))
            }
            other => other,
        }
    }

    /// The refresh token to redeem.
    fn refresh_token<'e>(&'e self, entry: Option<&'e Entry>) -> Option<&'e Secret> {
        match self.ask {
            Ask::Redeem(refresh_token) => Some(refresh_token),
            _ => entry?.token.refresh_token.as_ref(),
        }
    }

    fn redeem(&self, client: &Client, refresh_token: &Secret) -> Result<Token, Error> {
        let SignIn {
            timeout, system, ..
        } = self.sign_in;
        let grant = Grant::RefreshToken(refresh_token);
        let token = client.token(&grant, self.scope, timeout.duration, *system)?;
        Ok(Token {
            // A response without a refresh token means that the old one stays valid (RFC 6749 section 6).
            refresh_token: token.refresh_token.or_else(|| Some(refresh_token.clone())),
            ..token
        })
    }

    /// Signs in, if that is allowed. `refusal` is what the server said to a refresh token.
    fn new_token(&self, refusal: Option<Error>) -> Result<Token, Error> {
        let SignIn {
            login,
            timeout,
            system,
            ..
        } = self.sign_in;
        if self.may_sign_in() {
            return login.acquire(self.scope, *timeout, *system);
        }
        Err(Error::not_signed_in(refusal))
    }

    /// The old token while it is valid, unless the server's refusal of a new one is its last word.
    fn old_token(&self, entry: Option<Entry>, error: Error) -> Result<Token, Error> {
        let system = self.sign_in.system;
        let now = Moment::now(system);
        let is_final = error.is_refused() || *error.kind() == ErrorKind::NotSignedIn;
        match entry.filter(|entry| self.ask != Ask::Renewed && entry.is_alive(&now)) {
            Some(entry) if !is_final || entry.token.refresh_token.is_some() => {
                system.tell(&format!(
                    "Could not renew the token; using the old one until {}: {}",
                    entry.token.expires_on.format("%H:%M:%SZ"),
                    error.to_string().lines().next().unwrap_or_default(),
                ));
                Ok(entry.token)
            }
            _ => Err(error),
        }
    }
}

/// True if the server wants the person to sign in again (RFC 6749 section 5.2, OpenID Connect Core 1.0 section 3.1.2.6):
/// the refresh token is no longer valid.
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
    use crate::flag::{Flag, FlagValues};
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

    type Get = fn(&SignIn, &Scope) -> Result<Token, Error>;

    const ANY: Get = |sign_in, scope| sign_in.token(scope);
    const RENEWED: Get = |sign_in, scope| sign_in.renewed_token(scope);
    const SILENT: Get = |sign_in, scope| sign_in.silent_token(scope);

    /// Signs in with `--login devicecode` the given minutes after the first moment; `answers` are the server's (a
    /// status and a body). Returns the access token.
    fn run_again(
        scratch: &Scratch,
        minutes: u64,
        answers: &[(u16, &str)],
    ) -> (Result<String, Error>, FakeSystem) {
        get(ANY, scratch, minutes, answers)
    }

    fn get(
        get: Get,
        scratch: &Scratch,
        minutes: u64,
        answers: &[(u16, &str)],
    ) -> (Result<String, Error>, FakeSystem) {
        let answers = answers
            .iter()
            .map(|(status, body)| FakeSystem::json(*status, *body));
        let system = FakeSystem::new(answers);
        system.sleep(Duration::from_secs(60 * minutes));
        let result = SignIn::new(&options(scratch), &Env::of(&[]), &system)
            .and_then(|sign_in| get(&sign_in, &Scope::of_server("srv")));
        assert_eq!(system.answers_left(), 0);
        let token = result.map(|token| token.access_token.expose().to_owned());
        (token, system)
    }

    fn options(scratch: &Scratch) -> Options {
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
        Options::resolve(&typed, &Env::of(&[])).expect("options").0
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

    #[test]
    fn a_forced_renewal_redeems_the_refresh_token_of_a_fresh_token() {
        let scratch = signed_in();
        let (token, system) = get(RENEWED, &scratch, 1, &[(200, &granted("2"))]);
        assert_eq!(token, Ok("2".into()));
        assert!(system.forms()[0].contains("refresh+1"));
        assert_eq!(token_at(&scratch, 2, &[]), "2");
    }

    #[test]
    fn a_forced_renewal_that_fails_is_an_error_though_the_old_token_is_valid() {
        let scratch = signed_in();
        let (token, system) = get(RENEWED, &scratch, 1, &[(503, ""); 4]);
        assert!(token.is_err());
        assert_eq!(system.told(), [""; 0]);
        assert_eq!(token_at(&scratch, 2, &[]), "1");
    }

    #[test]
    fn a_silent_request_uses_the_cache_and_the_refresh_token_and_asks_nobody() {
        let scratch = Scratch::new();
        let silent = |minutes, answers: &[(u16, &str)]| {
            let (token, system) = get(SILENT, &scratch, minutes, answers);
            assert_eq!(system.prompts(), [""; 0]);
            token.map_err(|error| (error.kind().clone(), error.parts().0.to_owned()))
        };
        let (kind, what) = silent(0, &[]).expect_err("nobody is signed in");
        assert_eq!(kind, ErrorKind::NotSignedIn);
        assert_eq!(what, "not signed in");
        assert_eq!(
            std::fs::read_dir(scratch.path()).expect("folder").count(),
            0
        );
        assert_eq!(
            token_at(&scratch, 0, &[(200, CODE), (200, &granted("1"))]),
            "1"
        );
        assert_eq!(silent(1, &[]), Ok("1".into()));
        assert_eq!(silent(56, &[(200, &granted("2"))]), Ok("2".into()));
        let revoked = r#"{"error":"invalid_grant","error_description":"AADSTS50173: revoked"}"#;
        for answers in [&[(400, revoked)][..], &[]] {
            let (kind, what) = silent(116, answers).expect_err("the sign-in has ended");
            assert_eq!(kind, ErrorKind::NotSignedIn);
            assert_eq!(what.contains("AADSTS50173"), !answers.is_empty(), "{what}");
        }
        // Its failure is not the answer to whoever may ask a person.
        assert_eq!(
            token_at(&scratch, 116, &[(200, CODE), (200, &granted("3"))]),
            "3"
        );
    }

    #[test]
    fn one_sign_in_serves_a_second_scope_by_its_refresh_token() {
        let scratch = Scratch::new();
        let system = FakeSystem::new(
            [(200, CODE), (200, &granted("arm")), (200, &granted("1"))]
                .map(|(status, body)| FakeSystem::json(status, body)),
        );
        let options = options(&scratch);
        let sign_in = SignIn::new(&options, &Env::of(&[]), &system).expect("a sign-in");
        let arm = sign_in.token(&Scope::of_server("arm")).expect("a token");
        let server = Scope::of_server("srv");
        let token = sign_in.token_of_same_sign_in(&arm, &server);
        assert_eq!(token.expect("a token").access_token.expose(), "1");
        let form = system.forms().pop().expect("a request");
        assert!(form.contains("refresh+arm&scope=srv%2F.default"), "{form}");
        assert_eq!(token_at(&scratch, 1, &[]), "1");
    }

    #[test]
    fn a_second_scope_that_the_client_may_not_have_leaves_its_own_entry_and_asks_nobody() {
        let scratch = signed_in();
        let second: Get = |sign_in, scope| {
            let first = Token {
                access_token: Secret::new("arm"),
                expires_on: FakeSystem::EPOCH,
                refresh_token: Some(Secret::new("refresh arm")),
            };
            sign_in.token_of_same_sign_in(&first, scope)
        };
        let refused = r#"{"error":"invalid_grant","error_description":"AADSTS65002: no"}"#;
        let (token, system) = get(second, &scratch, 61, &[(400, refused)]);
        let error = token.expect_err("refused");
        assert_eq!(*error.kind(), ErrorKind::NotSignedIn);
        assert!(error.to_string().contains("AADSTS65002"), "{error}");
        assert_eq!(system.prompts(), [""; 0]);
        assert_eq!(token_at(&scratch, 61, &[(200, &granted("2"))]), "2");
    }
}
