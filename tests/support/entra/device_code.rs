//! RFC 8628: a code that the user enters elsewhere, while the client polls.

use std::time::{Duration, Instant};

use serde_json::json;

use super::super::http1::{Reply, Request};
use super::parameters::Version;
use super::refusal::{self, Refusal, refused, violation};
use super::rules::{Poll, Registration};
use super::{Route, State, token};

/// How much too early a client may poll, because clocks differ a little.
const SLACK: Duration = Duration::from_millis(50);

/// An issued device code.
pub struct Session {
    login: token::Session,
    expires_in: Duration,
    interval: Duration,
    issued: Instant,
    last_poll: Option<Instant>,
    polls: usize,
    /// The client has received the final answer.
    is_over: bool,
}

impl State {
    pub fn device_code(&mut self, to: &Route, request: &Request) -> Result<Reply, Refusal> {
        let client = self.registered(request.field("client_id"))?;
        if !client.is_public {
            return Err(refused(7000218, ""));
        }
        let login = self.asked(to, request, &client)?;
        let rules = self.rules.device_code.clone();
        let serial = self.next_serial();
        let (device_code, user_code) = (
            format!("fake-device-code-{serial}"),
            format!("FAKE{serial:05}"),
        );
        let session = Session {
            login,
            expires_in: Duration::from_secs(rules.expires_in),
            interval: Duration::from_secs(rules.interval.unwrap_or(5)),
            issued: Instant::now(),
            last_poll: None,
            polls: 0,
            is_over: false,
        };
        self.device_codes.insert(device_code.clone(), session);

        let page = "https://microsoft.com/devicelogin";
        let message = format!(
            "To sign in, use a web browser to open the page {page} and enter the code {user_code} to authenticate."
        );
        let mut answer =
            json!({"user_code": user_code, "device_code": device_code, "message": message});
        match to.version {
            Version::V1 => {
                answer["verification_url"] = json!(page);
                answer["expires_in"] = json!(rules.expires_in.to_string());
                answer["interval"] = json!(rules.interval.map(|seconds| seconds.to_string()));
            }
            Version::V2 => {
                answer["verification_uri"] = json!(page);
                answer["expires_in"] = json!(rules.expires_in);
                answer["interval"] = json!(rules.interval);
            }
        }
        answer
            .as_object_mut()
            .expect("an object")
            .retain(|_, value| !value.is_null());
        Ok(Reply::json(200, &answer))
    }

    pub fn poll_device_code(
        &mut self,
        request: &Request,
        client: &Registration,
    ) -> Result<token::Session, Refusal> {
        let code = request
            .field("device_code")
            .or(request.field("code"))
            .unwrap_or_default();
        let session = self
            .device_codes
            .get_mut(code)
            .ok_or_else(|| violation(format!("unknown device code {code}")))?;
        session.check_poll(client)?;
        let polls = &self.rules.device_code.polls;
        let poll = if session.issued.elapsed() >= session.expires_in {
            Poll::Expire
        } else {
            polls
                .get(session.polls)
                .or(polls.last())
                .copied()
                .unwrap_or(Poll::Approve)
        };
        session.polls += 1;
        session.is_over = !matches!(poll, Poll::Pending | Poll::SlowDown);
        match poll {
            Poll::Pending => Err(refused(70016, "")),
            Poll::SlowDown => {
                session.interval += Duration::from_secs(5);
                Err(refused(refusal::SLOW_DOWN, ""))
            }
            Poll::Decline => Err(refused(65004, "")),
            Poll::Expire => Err(refused(70020, "")),
            Poll::Refuse(code) => Err(refused(code, "")),
            Poll::Approve => {
                let login = session.login.clone();
                Ok(token::Session {
                    user: Some(self.user(&self.rules.person)?),
                    ..login
                })
            }
        }
    }
}

impl Session {
    /// Makes the next poll find the code expired.
    pub fn expire(&mut self) {
        self.expires_in = Duration::ZERO;
    }

    /// Checks the interval between polls; the first may come immediately.
    fn check_poll(&mut self, client: &Registration) -> Result<(), Refusal> {
        let waited = self
            .last_poll
            .replace(Instant::now())
            .map(|last| last.elapsed());
        if self.is_over {
            // As Entra answers. A correct client polls again only if the final answer was lost.
            return Err(refused(54005, "A poll after the final answer.").reported());
        }
        if self.login.client_id != client.client_id {
            return Err(violation("another client's device code"));
        }
        match waited {
            Some(waited) if waited + SLACK < self.interval => Err(violation(format!(
                "polled after {waited:?}, the interval is {:?}",
                self.interval
            ))),
            _ => Ok(()),
        }
    }
}
