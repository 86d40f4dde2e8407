//! `--login interactive`: the person signs in with a browser on this machine (RFC 8252: authorization code with PKCE
//! and a loopback redirect), or with one elsewhere, from where the address is pasted back.

mod listener;
mod page;
mod redirect_url;

use std::sync::mpsc::{self, Receiver};
use std::time::Duration;

use oauth2::url::Url;
use oauth2::{CsrfToken, PkceCodeChallenge};

use crate::entra::{self, AuthorizationRequest, Client, Grant, ResponseMode};
use crate::env::Env;
use crate::error::Error;
use crate::flag::Flag;
use crate::login::Login;
use crate::options::Options;
use crate::retry::Deadline;
use crate::secret::Secret;
use crate::system::System;
use crate::timeout::Timeout;
use crate::token::{Scope, Token};
use crate::token_cache::CacheKey;
use listener::{Answer, Listener};
use page::Page;
use redirect_url::RedirectUrl;

/// How long a person may take, second factor included, unless `--timeout` is given.
const PATIENCE: Duration = Duration::from_secs(5 * 60);

/// All that a sign-in through the browser needs.
#[derive(Debug)]
pub struct Interactive {
    client: Client,
    redirect_url: RedirectUrl,
    login_hint: Option<String>,
}

impl Interactive {
    pub fn new(options: &Options, _: &Env) -> Result<Self, Error> {
        let redirect_url = options.text(Flag::RedirectUrl);
        let redirect_url = redirect_url.map(RedirectUrl::parse).transpose()?;
        Ok(Self {
            client: super::client(options)?,
            redirect_url: redirect_url.unwrap_or_default(),
            login_hint: options.text(Flag::LoginHint).map(str::to_owned),
        })
    }
}

impl Login for Interactive {
    fn identify(&self, key: CacheKey) -> CacheKey {
        let hint = self.login_hint.as_deref().unwrap_or_default();
        self.client.identify(key).with("login hint", hint)
    }

    fn refreshing_client(&self) -> Option<&Client> {
        Some(&self.client)
    }

    fn asks_a_person(&self) -> bool {
        true
    }

    /// Listens, then opens the browser, then waits for the person, then gives the code for a token. `timeout` bounds
    /// the network; the person only if it was asked for.
    fn acquire(
        &self,
        scope: &Scope,
        timeout: Timeout,
        system: &dyn System,
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
        let answers = ask(
            listener,
            &url(ResponseMode::FormPost)?,
            &url(ResponseMode::Query)?,
            system,
        )?;

        let (end, patience) = match timeout.is_given {
            true => (network, timeout.duration),
            false => (Deadline::after(system, PATIENCE), PATIENCE),
        };
        let answer = first_of_ours(&answers, &state, end, system)
            .ok_or_else(|| unanswered(patience, timeout))?;
        let result = code(&answer).and_then(|code| {
            let grant = Grant::AuthorizationCode {
                code: &code,
                code_verifier: &code_verifier,
                redirect_uri: &redirect_uri,
            };
            let network = match timeout.is_given {
                true => end,
                false => Deadline::after(system, timeout.duration),
            };
            exchange.token(&grant, scope, network)
        });
        show_result(&result, answer, &answers, &state);
        result
    }
}

/// Asks the person to sign in: shows the address, and opens a browser with it. Answers come from the listener and,
/// where there is a terminal to type at, from the person.
fn ask(
    listener: Listener,
    to_open: &Url,
    to_paste_from: &Url,
    system: &dyn System,
) -> Result<Receiver<Answer>, Error> {
    let (deliver, answers) = mpsc::channel();
    listener.serve(&deliver)?;
    let receive_typed = move |line: String| {
        if !line.trim().is_empty() {
            // The login is over when nobody receives any more.
            let _ = deliver.send(Answer::typed(&line));
        }
    };
    let prompt = match system.receive_typed_lines(Box::new(receive_typed)) {
        // Only an address that holds the answer can be pasted.
        true => format!("{SIGN_IN}\n{to_paste_from}\n{PASTE}"),
        false => format!("{SIGN_IN}\n{to_open}"),
    };
    system.prompt(&prompt);
    system.open_browser(to_open.as_str());
    Ok(answers)
}

/// Lets the browser that waits see how it ended. Whoever sent the same again meanwhile sees the same: the first answer
/// counted.
fn show_result(
    result: &Result<Token, Error>,
    answer: Answer,
    later: &Receiver<Answer>,
    state: &CsrfToken,
) {
    for answer in std::iter::once(answer).chain(later.try_iter()) {
        answer.show(&match result {
            _ if !is_ours(&answer, state) => Page::NotThisSignIn,
            Ok(_) => Page::SignedIn,
            Err(error) => Page::Failed(error),
        });
    }
}

const SIGN_IN: &str = "To sign in, use the browser that opens now, or open this address yourself:";
const PASTE: &str = "If that browser is on another machine, it ends at a page that cannot be reached: \
                     paste the address of that page here and press Enter.";

/// Waits for an answer with our state. Any other is turned away and ends nothing: everyone can send one.
fn first_of_ours(
    answers: &Receiver<Answer>,
    state: &CsrfToken,
    end: Deadline,
    system: &dyn System,
) -> Option<Answer> {
    loop {
        let answer = answers.recv_timeout(end.remaining(system)).ok()?;
        if is_ours(&answer, state) {
            return Some(answer);
        }
        answer.show(&Page::NotThisSignIn);
        if answer.is_typed() {
            system.tell("That is not the address this sign-in ends at: paste it whole, from http:// to its end.");
        }
    }
}

/// RFC 6749 section 10.12. The state is compared before anything else in the answer is looked at.
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
            "the browser brought an answer of Entra ID without an authorization code",
        )
        .remedy("Run the command again; if it stays so, use --login devicecode.")
    })
}

fn unanswered(patience: Duration, timeout: Timeout) -> Error {
    let what = format!("nobody signed in with the browser within {patience:?}");
    Error::refused("", what).remedy(match timeout.is_given {
        true => {
            "Run the command again; a longer --timeout (or none: then 5 minutes) gives more time."
        }
        false => {
            "Run the command again, with --timeout 15m for more time, or use --login devicecode."
        }
    })
}

#[cfg(test)]
mod tests;
