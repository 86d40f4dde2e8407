//! The prompt of a sign-in, for the processes that wait for it. Their user may be at another terminal, or at none.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::system::System;

/// How long a waiter stays silent before it tells the user why nothing happens.
const SILENCE: Duration = Duration::from_secs(1);

const WAITING: &str = "Waiting for another kubelogin that is signing in with the same options ...";

/// The prompt, before it is sealed.
#[derive(Serialize, Deserialize, PartialEq, Eq)]
pub struct SealedPrompt {
    text: String,
    /// The ID of the process that shows it.
    process: u32,
    /// The ID of the terminal that shows it; `None` if there is none.
    terminal: Option<String>,
    /// When it expires, in Unix milliseconds.
    until: i64,
}

impl SealedPrompt {
    pub fn new(text: &str, life: Duration, system: &dyn System) -> Self {
        let life = i64::try_from(life.as_millis()).unwrap_or(i64::MAX);
        Self {
            text: text.to_owned(),
            process: std::process::id(),
            terminal: system.terminal().map(|terminal| terminal.id),
            until: system.now().timestamp_millis().saturating_add(life),
        }
    }

    fn told(&self) -> String {
        format!(
            "{}\nAnother kubelogin (process {}) is waiting for this sign-in; this process will use its token.",
            self.text, self.process
        )
    }
}

/// A process that waits for another one's sign-in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Waiter {
    /// It must not prompt.
    Silent,
    /// It may prompt, and so shows the other process's prompt.
    Asking,
}

impl Waiter {
    /// What to print while waiting; `read` reads the prompt of the other process.
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
    /// Shows a new prompt; without one, says once that it is waiting for another process.
    pub fn tell(&mut self, waited: Duration) {
        if waited < SILENCE {
            return;
        }
        let now = self.system.now().timestamp_millis();
        let prompt = match self.waiter {
            Waiter::Silent => None,
            Waiter::Asking => (self.read)().filter(|prompt| now < prompt.until),
        };
        match prompt {
            None if self.shown.is_none() => self.notice_once(WAITING),
            Some(prompt) if self.shown.as_ref() != Some(&prompt) => {
                self.show(&prompt);
                self.shown = Some(prompt);
            }
            _ => {}
        }
    }

    /// Shows a prompt, unless this terminal shows it already: many processes may wait there.
    fn show(&mut self, prompt: &SealedPrompt) {
        let here = self.system.terminal();
        match here.filter(|here| prompt.terminal.as_ref() == Some(&here.id)) {
            None => self.system.prompt(&prompt.told()),
            Some(here) if here.shows_stderr => self.notice_once(&format!(
                "Waiting for the sign-in above (kubelogin process {}) ...",
                prompt.process
            )),
            // Our stderr goes elsewhere, and its reader has not seen the prompt.
            Some(_) => self.system.tell(&prompt.told()),
        }
    }

    fn notice_once(&mut self, line: &str) {
        if !self.is_noticed {
            self.is_noticed = true;
            self.system.notice(line);
        }
    }
}
