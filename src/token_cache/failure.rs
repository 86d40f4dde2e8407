//! A failed sign-in. Processes that waited for it get the same error, unless nobody answered the prompt; so does a caller
//! that runs us again immediately.

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

use super::key::Fingerprint;
use crate::error::{Error, ErrorKind};

/// kubectl runs a failing plugin up to five times in one command, one right after the other. For this long the same
/// caller gets the same error instead of another prompt or another attempt with a wrong password, five of which lock
/// the account. When a person runs the command again, the caller is a new process, which gets a new attempt.
const LIFE: TimeDelta = TimeDelta::seconds(10);

/// The same if the caller is not known: shorter than it takes a person to read the error and try again.
const LIFE_WITHOUT_CALLER: TimeDelta = TimeDelta::seconds(2);

/// The failure, before it is sealed.
#[derive(Serialize, Deserialize)]
pub struct SealedFailure {
    /// Unix milliseconds.
    failed_on: i64,
    caller: Option<String>,
    pub error: Error,
    fingerprint: Fingerprint,
}

impl SealedFailure {
    pub fn new(
        error: &Error,
        failed_on: DateTime<Utc>,
        caller: Option<String>,
        fingerprint: &Fingerprint,
    ) -> Self {
        Self {
            failed_on: failed_on.timestamp_millis(),
            caller,
            error: error.clone(),
            fingerprint: fingerprint.clone(),
        }
    }

    /// True if it failed with the same secrets.
    pub fn is_of(&self, fingerprint: &Fingerprint) -> bool {
        self.fingerprint == *fingerprint
    }

    /// True if it failed while a process that `began` then was waiting, so that it is that process's failure too. If
    /// the prompt went unanswered, the next process asks again: the user may be there now, and may not have seen the
    /// first prompt.
    pub fn answers_those_who_waited_since(&self, began: DateTime<Utc>, now: DateTime<Utc>) -> bool {
        *self.error.kind() != ErrorKind::Unanswered
            && (began.timestamp_millis()..=now.timestamp_millis()).contains(&self.failed_on)
    }

    /// True if it failed for the same caller a moment ago.
    pub fn repeats(&self, now: DateTime<Utc>, caller: Option<&str>) -> bool {
        let life = match caller {
            Some(_) => LIFE,
            None => LIFE_WITHOUT_CALLER,
        };
        let age = now.timestamp_millis() - self.failed_on;
        self.caller.as_deref() == caller && (0..life.num_milliseconds()).contains(&age)
    }
}
