//! A token for a scope: from the cache, by refresh, or by a new sign-in; one sign-in at a time for all callers.

mod chosen;
mod history;

use std::cell::RefCell;
use std::time::Duration;

use crate::entra::error::DEVICE_CODE_BLOCKED;
use crate::entra::{Client, Grant};
use crate::env::{self, Env};
use crate::error::{Error, ErrorKind, one_line};
use crate::login::{self, Login};
use crate::login_mode::LoginMode;
use crate::options::Options;
use crate::pop;
use crate::secret::Secret;
use crate::system::System;
use crate::timeout::Timeout;
use crate::token::{Scope, Token};
use crate::token_cache::{
    Entry, Fingerprint, Moment, Removed, Renewal, Slot, TokenCache, Turn, Waiter,
};
pub use chosen::Chosen;
use history::{How, Why, history};

/// How long to wait for another kubelogin in which a person is signing in: a device code is valid for 15 minutes.
const PATIENCE_WITH_PEOPLE: Duration = Duration::from_secs(16 * 60);
/// How long after its timeout another kubelogin may still deliver its result.
const GRACE: Duration = Duration::from_secs(5);

/// A login with its token cache, ready to get tokens for any scope.
pub struct SignIn<'a> {
    mode: LoginMode,
    login: Box<dyn Login>,
    cache: Option<TokenCache<'a>>,
    timeout: Timeout,
    /// True if a Kubernetes client started us: unlike a person, it reruns a failing plugin immediately.
    is_retried: bool,
    system: &'a dyn System,
}

/// Tokens for one cluster: plain, or bound to our key if the options request PoP tokens.
pub struct ForCluster<'o> {
    /// What to ask for.
    pub scope: Scope,
    binding: Option<pop::Binding<'o>>,
}

impl ForCluster<'_> {
    /// The token to send to the cluster: a bound one in a new envelope.
    pub fn envelope(&self, token: Token, system: &dyn System) -> Result<Token, Error> {
        match &self.binding {
            Some(binding) => binding.envelope(token, system.now()),
            None => Ok(token),
        }
    }
}

/// What the caller allows.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Ask<'a> {
    /// The cached token if it is fresh, else a refresh, else a new sign-in.
    Any,
    /// The same, but never the cached token.
    Renewed,
    /// The same, and never ask a person.
    RenewedSilently,
    /// Never ask a person.
    Silent,
    /// Never ask a person; redeem this refresh token, which was issued with a token for another scope.
    Redeem(&'a Secret),
}

impl Ask<'_> {
    /// True if the cached token must not be used, even if fresh.
    fn is_for_new_one(self) -> bool {
        matches!(self, Self::Renewed | Self::RenewedSilently)
    }
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

    /// True if signing in requires a person.
    pub fn asks_a_person(&self) -> bool {
        self.login.asks_a_person()
    }

    /// The token cache, if there is one.
    pub fn cache(&self) -> Option<&TokenCache<'a>> {
        self.cache.as_ref()
    }

    /// True if the options ask for PoP tokens and the cache has no key for them, which is made for the first one.
    pub fn lacks_pop_key(&self, options: &Options) -> bool {
        let lacks_key = |cache: &TokenCache| !cache.has_pop_key();
        options.pop_claims.is_some() && self.cache.as_ref().is_some_and(lacks_key)
    }

    /// How to request tokens for the cluster of these options, and how to send them.
    pub fn for_cluster<'o>(&self, options: &'o Options) -> Result<ForCluster<'o>, Error> {
        let scope = Scope::of_server(&options.server_id);
        let Some(claims) = &options.pop_claims else {
            return Ok(ForCluster {
                scope,
                binding: None,
            });
        };
        // Without a cache no token outlives this run, so the key does not have to either.
        let key = match &self.cache {
            Some(cache) => cache.pop_key(self.timeout.duration),
            None => pop::Key::generate(),
        };
        let binding = pop::Binding::new(claims, key?);
        Ok(ForCluster {
            scope: binding.scope(scope),
            binding: Some(binding),
        })
    }

    /// The cached token while it is fresh, else a new one. When several processes want the same token at the same time,
    /// one obtains it and the others use it.
    pub fn token(&self, scope: &Scope) -> Result<Token, Error> {
        self.obtain(scope, Ask::Any)
    }

    /// A new token even if the cached one is fresh, so that it has the current groups and roles; by refresh if there is
    /// a refresh token. Fails if none can be obtained, even if the cached token is still valid.
    pub fn renewed_token(&self, scope: &Scope) -> Result<Token, Error> {
        self.obtain(scope, Ask::Renewed)
    }

    /// As [`Self::renewed_token`], if no prompt is needed.
    ///
    /// # Errors
    /// As [`Self::silent_token`].
    pub fn silently_renewed_token(&self, scope: &Scope) -> Result<Token, Error> {
        self.obtain(scope, Ask::RenewedSilently)
    }

    /// The cached token, or a new one if no prompt is needed.
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
    pub fn token_of_same_sign_in(&self, token: &Token, scope: &Scope) -> Result<Token, Error> {
        let refresh_token = token.refresh_token.as_ref();
        self.obtain(scope, refresh_token.map_or(Ask::Silent, Ask::Redeem))
    }

    /// Removes the cached token for a scope, whatever secrets it was obtained with. `None` if there is none.
    ///
    /// # Errors
    /// The token cannot be removed, or another process is signing in.
    pub fn sign_out(&self, scope: &Scope) -> Result<Option<Removed>, Error> {
        let Some(cache) = &self.cache else {
            return Ok(None);
        };
        let key = login::cache_key(self.mode, &*self.login, scope);
        cache.slot(&key, Fingerprint::of(&[])).remove(GRACE)
    }

    fn obtain(&self, scope: &Scope, ask: Ask) -> Result<Token, Error> {
        let request = Request {
            sign_in: self,
            scope,
            ask,
        };
        let (token, how) = match (&self.cache, self.login.fingerprint()) {
            (Some(cache), Some(fingerprint)) => {
                let key = login::cache_key(self.mode, &*self.login, scope);
                request.cached_token(&cache.slot(&key, fingerprint))
            }
            _ => request.uncached_token(),
        }?;
        if self.system.verbosity() >= 1 {
            self.system.tell(&history(&token, how));
        }
        Ok(token)
    }
}

/// A request for one token.
struct Request<'a> {
    sign_in: &'a SignIn<'a>,
    scope: &'a Scope,
    ask: Ask<'a>,
}

impl Request<'_> {
    fn uncached_token(&self) -> Result<(Token, How), Error> {
        let why = Why::NoCache;
        match (self.ask, self.sign_in.login.refreshing_client()) {
            (Ask::Redeem(refresh_token), Some(client)) => self
                .redeem(client, refresh_token)
                .map(|token| (token, How::Refreshed(why))),
            _ => self.new_token(None, why, None),
        }
    }

    fn cached_token(&self, slot: &Slot) -> Result<(Token, How), Error> {
        let began = self.sign_in.system.now();
        let found = slot.load();
        if let Some(entry) = found.as_ref().filter(|entry| self.is_fresh(entry))
            && !self.ask.is_for_new_one()
        {
            return Ok((entry.token.clone(), How::Cached));
        }
        let why = self.why(found.as_ref());
        if self.refresh_token(found.as_ref()).is_none() && !self.may_sign_in() {
            return self.new_token(None, why, None); // fails immediately, even if another process is signing in
        }
        let failure = || slot.failure(began, self.sign_in.is_retried);
        if let Some(error) = failure() {
            return self.old_token(found, error); // also immediately
        }
        let turn = slot.wait_for_turn(self.patience(), self.waiter())?;
        let mut entry = slot.load();
        if let Some(entry) = entry.as_ref().filter(|entry| self.is_fresh(entry))
            && (!self.ask.is_for_new_one() || found.as_ref() != Some(entry))
        {
            return Ok((entry.token.clone(), How::Shared)); // renewed by another process meanwhile
        }
        let renewed = match failure() {
            Some(error) => Err(error),
            None => self.renew(entry.as_mut(), slot, &turn, why),
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

    /// Why the cached token cannot be used as it is.
    fn why(&self, entry: Option<&Entry>) -> Why {
        match entry {
            None => Why::NoEntry,
            Some(entry) if self.is_fresh(entry) => Why::NewOneWanted,
            Some(entry) => Why::Expires(entry.token.expires_on),
        }
    }

    /// False if a new token requires a person and prompts are not allowed.
    fn may_sign_in(&self) -> bool {
        matches!(self.ask, Ask::Any | Ask::Renewed) || !self.sign_in.login.asks_a_person()
    }

    fn waiter(&self) -> Waiter {
        match self.sign_in.login.asks_a_person() && self.may_sign_in() {
            true => Waiter::Asking,
            false => Waiter::Silent,
        }
    }

    fn patience(&self) -> Duration {
        let timeout = self.sign_in.timeout;
        match self.waiter() == Waiter::Asking && !timeout.is_given {
            true => PATIENCE_WITH_PEOPLE,
            false => timeout.duration + GRACE,
        }
    }

    /// Obtains a token and caches it; on failure, stores the error for waiting processes.
    fn renew(
        &self,
        entry: Option<&mut Entry>,
        slot: &Slot,
        turn: &Turn,
        why: Why,
    ) -> Result<(Token, How), Error> {
        let renewed = self.refresh(entry, slot, turn, why);
        match &renewed {
            // The account of another program (az, azd) may have changed meanwhile: then it is unclear whose token this
            // is.
            _ if self.sign_in.login.fingerprint().as_ref() != Some(slot.fingerprint()) => {}
            Ok((token, _)) => {
                if self.sign_in.login.asks_a_person() {
                    slot.note(&login::person_key(self.scope), turn);
                }
                slot.save(token, turn);
            }
            // A waiting process may be allowed to prompt.
            Err(_) if !self.may_sign_in() => {}
            // The next caller may be someone else.
            Err(_) if self.sign_in.system.is_client_gone() => {}
            Err(error) => slot.save_failure(error, turn),
        }
        renewed
    }

    /// Redeems the refresh token; signs in if there is none or it is no longer valid.
    fn refresh(
        &self,
        entry: Option<&mut Entry>,
        slot: &Slot,
        turn: &Turn,
        why: Why,
    ) -> Result<(Token, How), Error> {
        let refresh_token = self.refresh_token(entry.as_deref());
        let (Some(old), Some(client)) = (refresh_token, self.sign_in.login.refreshing_client())
        else {
            return self.new_token(None, why, Some((slot, turn)));
        };
        let now = Moment::now(self.sign_in.system);
        match self.redeem(client, old) {
            Err(error) if ends_the_sign_in(&error) => {
                if let Some(entry) = entry.filter(|_| !matches!(self.ask, Ask::Redeem(_))) {
                    slot.drop_refresh_token(entry, turn);
                }
                // Another device code would be blocked too, after the user has entered it.
                if error.is_refused_with(DEVICE_CODE_BLOCKED) && self.may_sign_in() {
                    return Err(error);
                }
                self.new_token(Some(error), Why::SignInEnded, Some((slot, turn)))
            }
            Err(error)
                if error.is_refused() && !entry.is_some_and(|entry| entry.is_alive(&now)) =>
            {
                self.new_token(Some(error), why, Some((slot, turn)))
            }
            other => other.map(|token| (token, How::Refreshed(why))),
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

    /// Signs in, if that is allowed. `refusal` is what the server said to a refresh token. Processes that wait at
    /// `place` show the same prompt.
    fn new_token(
        &self,
        refusal: Option<Error>,
        why: Why,
        place: Option<(&Slot, &Turn)>,
    ) -> Result<(Token, How), Error> {
        let SignIn {
            login,
            timeout,
            system,
            ..
        } = self.sign_in;
        if !self.may_sign_in() {
            return Err(Error::not_signed_in(refusal));
        }
        if let Some(refusal) = refusal.filter(|_| login.asks_a_person()) {
            let (why, _) = refusal.parts();
            system.prompt(&one_line(&format!("You have to sign in again: {why}")));
        }
        if login.asks_a_person() {
            system.watch_client();
        }
        let shown = RefCell::new(None);
        let hand_on = |prompt: &str, life| {
            drop(shown.take());
            shown.replace(place.and_then(|(slot, turn)| slot.show_prompt(prompt, life, turn)));
        };
        let token = login.acquire(self.scope, *timeout, *system, &hand_on)?;
        Ok((token, How::SignedIn(why)))
    }

    /// The old token while it is valid, unless the server's refusal is final.
    fn old_token(&self, entry: Option<Entry>, error: Error) -> Result<(Token, How), Error> {
        let system = self.sign_in.system;
        let now = Moment::now(system);
        let is_final = error.is_refused()
            || matches!(error.kind(), ErrorKind::NotSignedIn | ErrorKind::Unanswered);
        match entry.filter(|entry| !self.ask.is_for_new_one() && entry.is_alive(&now)) {
            Some(entry) if !is_final || entry.token.refresh_token.is_some() => {
                system.notice(&format!(
                    "Could not renew the token; using the old one until {}: {}",
                    entry.token.expires_on.format("%H:%M:%SZ"),
                    error.to_string().lines().next().unwrap_or_default(),
                ));
                Ok((entry.token, How::Old))
            }
            _ => Err(error),
        }
    }
}

/// True if the server wants the person to sign in again (RFC 6749 section 5.2, OpenID Connect Core 1.0 section 3.1.2.6):
/// the refresh token is no longer valid.
fn ends_the_sign_in(error: &Error) -> bool {
    [
        DEVICE_CODE_BLOCKED,
        "invalid_grant",
        "interaction_required",
        "login_required",
        "consent_required",
    ]
    .iter()
    .any(|code| error.is_refused_with(code))
}

#[cfg(test)]
mod tests;
