//! `--login devicecode`: the user enters a code on another device (RFC 8628).

use std::time::Duration;

use crate::entra::{Client, DeviceAuthorization, Exchange};
use crate::env::Env;
use crate::error::{Error, ErrorKind, duration, one_line};
use crate::flag::Flag;
use crate::login::{Destination, HandOn, Login, account};
use crate::options::Options;
use crate::retry::{self, Deadline};
use crate::secret::Secret;
use crate::system::{NetworkError, NetworkErrorKind, System};
use crate::timeout::Timeout;
use crate::token::{Scope, Token};
use crate::token_cache::CacheKey;

/// The shortest wait between two polls, in case the server sends an interval of 0.
const SHORTEST_INTERVAL: Duration = Duration::from_secs(1);

/// What `slow_down` adds to the interval (RFC 8628 section 3.5).
const SLOW_DOWN: Duration = Duration::from_secs(5);

/// The longest wait between two polls while the network is down.
const LONGEST_INTERVAL: Duration = Duration::from_secs(30);

/// How long to wait for the code in a CI job: long enough for someone who watches the log (Azure/kubelogin#150), and
/// much shorter than the code's 15 minutes.
const PATIENCE_IN_CI: Duration = Duration::from_secs(2 * 60);

/// How to sign in without a user.
const WITHOUT_A_PERSON: &str = "In a CI job, use --login workloadidentity, azurepipelines, spn or msi: they do not need a user.";

/// A public client whose user enters a code elsewhere.
#[derive(Debug)]
pub struct DeviceCode {
    client: Client,
    login_hint: Option<String>,
    /// What the user signs in to.
    destination: Destination,
    /// The variable that marks this as a CI job.
    ci: Option<&'static str>,
}

impl DeviceCode {
    pub fn new(options: &Options, env: &Env) -> Result<Self, Error> {
        let client = super::client(options)?;
        Ok(Self {
            destination: Destination::new(&client, env),
            client,
            login_hint: options.text(Flag::LoginHint).map(str::to_owned),
            ci: env.ci_variable(),
        })
    }

    /// The variable that marks this as a CI job, if there is no terminal either.
    fn unattended(&self, system: &dyn System) -> Option<&'static str> {
        self.ci.filter(|_| !system.has_person())
    }

    /// The prompt: Entra's own text, or else our own version of it, with the cluster and the user. Always one line, whatever
    /// the server sent.
    fn instructions(&self, code: &DeviceAuthorization) -> String {
        let message = code.extra_fields().message.as_deref();
        let message = message.filter(|message| !message.trim().is_empty());
        let message = message.map_or_else(
            || {
                let (page, code) = (code.verification_uri().as_str(), code.user_code().secret());
                format!("To sign in, open {page} in a browser and enter the code {code}")
            },
            str::to_owned,
        );
        let account = match &self.login_hint {
            Some(hint) => format!(", as {hint}"),
            None => String::new(),
        };
        one_line(&format!("{message} ({}{account})", self.destination))
    }

    /// How long to wait for the user: as long as the code is valid, unless a timeout was given or this is a CI job.
    fn patience(
        &self,
        code: &DeviceAuthorization,
        network: Deadline,
        timeout: Timeout,
        system: &dyn System,
    ) -> Duration {
        let longest = match (timeout.is_given, self.unattended(system)) {
            (true, _) => network.remaining(system),
            (false, Some(_)) => PATIENCE_IN_CI,
            (false, None) => Duration::MAX,
        };
        code.expires_in().min(longest)
    }
}

impl Login for DeviceCode {
    fn identify(&self, key: CacheKey) -> CacheKey {
        account::identify(self.client.identify(key), self.login_hint.as_deref())
    }

    fn refreshing_client(&self) -> Option<&Client> {
        Some(&self.client)
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
        hand_on: HandOn,
    ) -> Result<Token, Error> {
        let network = Deadline::after(system, timeout.duration);
        let exchange = self.client.exchange(system, network)?;
        let code = exchange.device_authorization(scope, network)?;
        let patience = self.patience(&code, network, timeout, system);
        let told_patience = match timeout.is_given {
            // The timeout as typed, not what remains after the first request.
            true => code.expires_in().min(timeout.duration),
            false => patience,
        };
        let instructions = self.instructions(&code);
        let ci = self.unattended(system);
        system.prompt(&match ci {
            Some(variable) => format!(
                "{instructions}\n{variable} is set: kubelogin waits {} for someone to enter the code. {WITHOUT_A_PERSON}",
                duration(told_patience)
            ),
            None => instructions.clone(),
        });
        hand_on(&instructions, patience);
        let polling = Polling {
            login: self,
            exchange: &exchange,
            code: &code,
            scope,
            timeout,
            system,
        };
        match polling.poll_for(patience)? {
            Outcome::SignedIn(token) => Ok(token),
            Outcome::TimeIsUp { lost: Some(last) } => Err(unknown(&last)),
            Outcome::TimeIsUp { lost: None } => Err(unanswered(told_patience, timeout, ci)),
        }
    }
}

/// How the polls ended.
enum Outcome {
    SignedIn(Token),
    TimeIsUp {
        /// The error of the last poll, if it said nothing about the code.
        lost: Option<Error>,
    },
}

/// The wait for the user to enter a code.
struct Polling<'a> {
    login: &'a DeviceCode,
    exchange: &'a Exchange<'a>,
    code: &'a DeviceAuthorization,
    scope: &'a Scope,
    timeout: Timeout,
    system: &'a dyn System,
}

impl Polling<'_> {
    /// Polls until the user has decided or the time is up.
    ///
    /// # Errors
    /// The sign-in was refused or cancelled.
    fn poll_for(&self, patience: Duration) -> Result<Outcome, Error> {
        let system = self.system;
        let end = Deadline::after(system, patience);
        let device_code = Secret::new(self.code.device_code().secret().as_str());
        let mut interval = self.code.interval().max(SHORTEST_INTERVAL);
        let mut lost = None;
        while interval < end.remaining(system) {
            system.wait(interval)?;
            let poll = Deadline::after(system, self.timeout.duration.min(end.remaining(system)));
            let (error, timed_out) = match self.poll(&device_code, poll) {
                Ok(Ok(token)) => {
                    account::check(&token, self.login.login_hint.as_deref())?;
                    return Ok(Outcome::SignedIn(token));
                }
                Ok(Err(error)) => (error, false),
                Err(error) => {
                    let timed_out = error.kind == NetworkErrorKind::TimedOut;
                    let error = retry::network_error(&error, None, poll.remaining(system), poll);
                    (error, timed_out)
                }
            };
            let earlier = lost.take();
            lost = is_no_answer(&error).then(|| error.clone());
            interval = match next_wait(&error, timed_out, interval) {
                Some(interval) => interval,
                None => return Err(ended(error, earlier.as_ref())),
            };
        }
        system.wait(end.remaining(system))?;
        Ok(Outcome::TimeIsUp { lost })
    }

    fn poll(
        &self,
        device_code: &Secret,
        within: Deadline,
    ) -> Result<Result<Token, Error>, NetworkError> {
        let timeout = within.remaining(self.system);
        self.exchange.poll(device_code, self.scope, timeout)
    }
}

/// True if the error says nothing about the code: the network or the host failed, or the response is not OAuth, such as
/// one from a proxy or a hotel's sign-in page.
fn is_no_answer(error: &Error) -> bool {
    *error.kind() == ErrorKind::Outside || error.is_refused_with("")
}

/// The error of a poll that ends the login. Nobody declined a code that expired. A code can be redeemed only once: if the
/// previous poll was `lost`, its response may have had the token.
fn ended(error: Error, lost: Option<&Error>) -> Error {
    if error.is_refused_with("expired_token") || error.is_refused_with("code_expired") {
        return error.into_unanswered();
    }
    match lost.filter(|_| error.is_refused_with("invalid_grant")) {
        Some(lost) => error.hint(&format!(
            "The response before it was lost ({}): if you approved the sign-in, run the command again.",
            lost.parts().0
        )),
        None => error,
    }
}

/// How long to wait before the next poll (RFC 8628 section 3.5); `None` if the login is over. The user may be entering the
/// code while the network is down, and a host that did not answer in time is asked less often.
fn next_wait(error: &Error, timed_out: bool, interval: Duration) -> Option<Duration> {
    if error.is_refused_with("slow_down") {
        return Some(interval + SLOW_DOWN);
    }
    if timed_out {
        return Some((interval * 2).min(LONGEST_INTERVAL.max(interval)));
    }
    let goes_on = error.is_refused_with("authorization_pending") || is_no_answer(error);
    goes_on.then_some(interval)
}

/// The error if the last poll failed: the user may have entered the code.
fn unknown(last: &Error) -> Error {
    let (what, remedy) = last.parts();
    let what = format!(
        "no usable response about the device code before it expired; the last attempt: {what}"
    );
    Error::outside(what).remedy(remedy)
}

fn unanswered(patience: Duration, timeout: Timeout, ci: Option<&str>) -> Error {
    let what = format!(
        "the device code was not entered within {}",
        duration(patience)
    );
    Error::unanswered(what).remedy(match (ci, timeout.is_given) {
        (Some(_), _) => WITHOUT_A_PERSON,
        (None, true) => {
            "Run the command again with a longer --timeout, or without one to wait until the code expires."
        }
        (None, false) => "Run the command again for a new code.",
    })
}

#[cfg(test)]
mod tests;
