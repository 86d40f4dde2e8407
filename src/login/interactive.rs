//! `--login interactive`: the user signs in with a browser on this machine (RFC 8252: authorization code with PKCE and
//! a loopback redirect), or with one on another machine, and then pastes the address it ends on.

mod listener;
mod page;
mod redirect_url;

#[cfg(test)]
pub use listener::tests::read_redirect;

use std::sync::mpsc::{self, Receiver};
use std::time::Duration;

use oauth2::url::Url;
use oauth2::{CsrfToken, PkceCodeChallenge};

use crate::entra::{self, AuthorizationRequest, Client, Exchange, Grant, ResponseMode};
use crate::env::Env;
use crate::error::{Error, duration, one_line};
use crate::flag::Flag;
use crate::login::{Destination, HandOn, Login, account};
use crate::options::Options;
use crate::retry::Deadline;
use crate::secret::Secret;
use crate::system::{LOOK_AT_CLIENT, System};
use crate::timeout::Timeout;
use crate::token::{Scope, Token};
use crate::token_cache::CacheKey;
use listener::{Answer, Listener, MOST_ANSWERS};
use page::Page;
use redirect_url::RedirectUrl;

/// How long the user may take, including multi-factor authentication, unless `--timeout` is given.
const PATIENCE: Duration = Duration::from_secs(5 * 60);

/// A public client that the user signs in to with a browser.
#[derive(Debug)]
pub struct Interactive {
    client: Client,
    redirect_url: RedirectUrl,
    login_hint: Option<String>,
    /// What the user signs in to.
    destination: Destination,
}

impl Interactive {
    pub fn new(options: &Options, env: &Env) -> Result<Self, Error> {
        let redirect_url = options.text(Flag::RedirectUrl);
        let redirect_url = redirect_url.map(RedirectUrl::parse).transpose()?;
        let client = super::client(options)?;
        Ok(Self {
            destination: Destination::new(&client, env),
            client,
            redirect_url: redirect_url.unwrap_or_default(),
            login_hint: options.text(Flag::LoginHint).map(str::to_owned),
        })
    }
}

impl Login for Interactive {
    fn identify(&self, key: CacheKey) -> CacheKey {
        account::identify(self.client.identify(key), self.login_hint.as_deref())
    }

    fn refreshing_client(&self) -> Option<&Client> {
        Some(&self.client)
    }

    fn asks_a_person(&self) -> bool {
        true
    }

    /// Listens, opens the browser, waits for the user, then exchanges the code for a token. `timeout` limits the network
    /// requests; the wait for the user only if it was given.
    fn acquire(
        &self,
        scope: &Scope,
        timeout: Timeout,
        system: &dyn System,
        hand_on: HandOn,
    ) -> Result<Token, Error> {
        let network = Deadline::after(system, timeout.duration);
        let exchange = self.client.exchange(system, network)?;
        let listener = Listener::bind(&self.redirect_url)?;
        let redirect_uri = self.redirect_url.at(listener.port());
        let (code_challenge, code_verifier) = PkceCodeChallenge::new_random_sha256();
        let code_verifier = Secret::new(code_verifier.into_secret());
        let state = CsrfToken::new_random();
        let request = AuthorizationRequest {
            redirect_uri: &redirect_uri,
            login_hint: self.login_hint.as_deref(),
            code_challenge: &code_challenge,
            state: &state,
        };
        let url = |mode| exchange.authorization_url(&request, mode, scope);
        let (to_open, to_paste_from) = (url(ResponseMode::FormPost)?, url(ResponseMode::Query)?);
        let answers = self.ask(listener, &to_open, &to_paste_from, system)?;
        let patience = match timeout.is_given {
            true => network.remaining(system),
            false => PATIENCE,
        };
        hand_on(&self.prompt(&to_open), patience);

        let end = Deadline::after(system, patience);
        let answer = first_of_ours(&answers, &state, end, system)?;
        let answer = answer.ok_or_else(|| unanswered(timeout))?;
        let network = match timeout.is_given {
            true => end,
            false => Deadline::after(system, timeout.duration),
        };
        let redeemed = code(&answer).and_then(|code| {
            let grant = Grant::AuthorizationCode {
                code: &code,
                code_verifier: &code_verifier,
                redirect_uri: &redirect_uri,
            };
            self.redeem(&exchange, &grant, scope, network)
        });
        let page = match &redeemed {
            Ok((_, name)) => Page::SignedIn(name.as_deref()),
            Err(error) => Page::Failed(error),
        };
        show_result(&page, answer, &answers, &state);
        let (token, name) = redeemed?;
        if let Some(name) = name {
            system.notice(&format!("signed in as {name}"));
        }
        Ok(token)
    }
}

impl Interactive {
    /// Asks the user to sign in: shows the address and opens it in a browser. Answers come from the listener and, where
    /// there is a terminal to type at, from the user.
    fn ask(
        &self,
        listener: Listener,
        to_open: &Url,
        to_paste_from: &Url,
        system: &dyn System,
    ) -> Result<Receiver<Answer>, Error> {
        let (deliver, answers) = mpsc::sync_channel(MOST_ANSWERS);
        listener.serve(&deliver)?;
        let receive_typed = move |line: String| {
            if !line.trim().is_empty() {
                // If the receiver is gone, the login is over.
                let _ = deliver.try_send(Answer::typed(&line));
            }
        };
        system.prompt(&match system.receive_typed_lines(Box::new(receive_typed)) {
            // Only an address that contains the answer can be pasted.
            true => format!("{}\n{PASTE}", self.prompt(to_paste_from)),
            false => self.prompt(to_open),
        });
        system.open_browser(to_open.as_str());
        Ok(answers)
    }

    fn prompt(&self, address: &Url) -> String {
        let sign_in = one_line(&format!(
            "To sign in ({}), use the browser that is opening, or open this address yourself:",
            self.destination
        ));
        format!("{sign_in}\n{address}")
    }

    /// The token, and the name of the account that it is for. A page prepared by an attacker signs in the attacker's
    /// account, which would otherwise go unnoticed.
    fn redeem(
        &self,
        exchange: &Exchange,
        grant: &Grant,
        scope: &Scope,
        within: Deadline,
    ) -> Result<(Token, Option<String>), Error> {
        let token = exchange.token(grant, scope, within)?;
        let name = account::check(&token, self.login_hint.as_deref())?;
        Ok((token, name))
    }
}

/// Shows the waiting browser how the sign-in ended. Browsers that have sent an answer since then see the same result:
/// only the first answer counts.
fn show_result(result: &Page, answer: Answer, later: &Receiver<Answer>, state: &CsrfToken) {
    for answer in std::iter::once(answer).chain(later.try_iter()) {
        answer.show(match is_ours(&answer, state) {
            true => result,
            false => &Page::NotThisSignIn,
        });
    }
}

const PASTE: &str = "If that browser is on another machine, it will end on a page that cannot be reached; \
                     paste the address of that page here and press Enter.";

/// Waits for an answer with our state. Any other is rejected without ending the login, because anyone can send one. `None`
/// if there was none in time.
///
/// # Errors
/// The client is gone.
fn first_of_ours(
    answers: &Receiver<Answer>,
    state: &CsrfToken,
    end: Deadline,
    system: &dyn System,
) -> Result<Option<Answer>, Error> {
    while let Some(answer) = next(answers, end.remaining(system), system)? {
        if is_ours(&answer, state) {
            return Ok(Some(answer));
        }
        answer.show(&Page::NotThisSignIn);
        if answer.is_typed() {
            system.tell("That is not this sign-in's redirect address; paste the whole address, starting with http://");
        }
    }
    Ok(None)
}

/// The next answer, if it comes in time and the client is still there.
fn next(
    answers: &Receiver<Answer>,
    mut remaining: Duration,
    system: &dyn System,
) -> Result<Option<Answer>, Error> {
    loop {
        system.wait(Duration::ZERO)?;
        let patience = remaining.min(LOOK_AT_CLIENT);
        match answers.recv_timeout(patience) {
            Ok(answer) => return Ok(Some(answer)),
            Err(_) if patience == remaining => return Ok(None),
            Err(_) => remaining -= patience,
        }
    }
}

/// RFC 6749 section 10.12. The state is checked before anything else in the answer.
fn is_ours(answer: &Answer, state: &CsrfToken) -> bool {
    answer.get("state") == Some(state.secret())
}

fn code(answer: &Answer) -> Result<Secret, Error> {
    if let Some(error) = answer.get("error") {
        let description = answer.get("error_description").unwrap_or_default();
        return Err(entra::error::of_redirect(error, description));
    }
    answer.get("code").map(Secret::new).ok_or_else(|| {
        Error::refused(
            "",
            "Entra ID's response in the browser came without an authorization code",
        )
        .remedy("Run the command again; if that does not help, use --login devicecode.")
    })
}

fn unanswered(timeout: Timeout) -> Error {
    let (patience, remedy) = match timeout.is_given {
        true => (
            timeout.duration,
            "Run the command again with a longer --timeout, or without one to wait 5 minutes.",
        ),
        false => (
            PATIENCE,
            "Run the command again with --timeout 15m for more time, or use --login devicecode.",
        ),
    };
    let what = format!(
        "nobody signed in with the browser within {}",
        duration(patience)
    );
    Error::unanswered(what).remedy(remedy)
}

#[cfg(test)]
mod tests;
