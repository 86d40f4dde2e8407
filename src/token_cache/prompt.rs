//! What a sign-in asks a person, for those who wait for it: their user may be at another terminal, or at none.

use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::system::System;

/// After how long a waiter tells the user why nothing happens.
const SILENCE: Duration = Duration::from_secs(1);

const WAITING: &str = "Waiting for another kubelogin that is signing in with the same options ...";

/// The prompt, before it is sealed.
#[derive(Serialize, Deserialize, PartialEq, Eq)]
pub struct SealedPrompt {
    text: String,
    /// The ID of the process that shows it.
    process: u32,
    /// Until when it is of use: Unix milliseconds.
    until: i64,
}

impl SealedPrompt {
    pub fn new(text: &str, now: DateTime<Utc>, life: Duration) -> Self {
        let life = i64::try_from(life.as_millis()).unwrap_or(i64::MAX);
        Self {
            text: text.to_owned(),
            process: std::process::id(),
            until: now.timestamp_millis().saturating_add(life),
        }
    }

    fn told(&self) -> String {
        format!(
            "{}\nAnother kubelogin (process {}) is waiting for this sign-in; this process will use its token.",
            self.text, self.process
        )
    }
}

/// Who waits for another process's sign-in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Waiter {
    /// It must ask nobody.
    Silent,
    /// It may ask a person, and so shows what the other process asks.
    Asking,
}

impl Waiter {
    /// What it tells while it waits; `read` reads the prompt of the process that it waits for.
    pub fn telling<R: Fn() -> Option<SealedPrompt>>(
        self,
        system: &dyn System,
        read: R,
    ) -> Telling<'_, R> {
        Telling {
            waiter: self,
            system,
            read,
            is_noticed: false,
            shown: None,
        }
    }
}

pub struct Telling<'a, R> {
    waiter: Waiter,
    system: &'a dyn System,
    read: R,
    is_noticed: bool,
    shown: Option<SealedPrompt>,
}

impl<R: Fn() -> Option<SealedPrompt>> Telling<'_, R> {
    /// Shows a new prompt; without any, tells once that another process is waited for.
    pub fn tell(&mut self, waited: Duration) {
        if waited < SILENCE {
            return;
        }
        let now = self.system.now().timestamp_millis();
        let prompt = match self.waiter {
            Waiter::Silent => None,
            Waiter::Asking => (self.read)().filter(|prompt| now < prompt.until),
        };
        if prompt.is_none() && self.shown.is_none() && !self.is_noticed {
            self.is_noticed = true;
            self.system.notice(WAITING);
        }
        if let Some(prompt) = prompt.filter(|prompt| self.shown.as_ref() != Some(prompt)) {
            self.system.prompt(&prompt.told());
            self.shown = Some(prompt);
        }
    }
}
