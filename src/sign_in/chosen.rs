//! The sign-in that the flags name, or that `--login auto` chose: then its errors say why, and a change is told.

use super::{ForCluster, SignIn};
use crate::env::Env;
use crate::error::Error;
use crate::login::auto::{Choice, Resolved, explain};
use crate::options::Options;
use crate::system::System;
use crate::token::{Scope, Token};

/// A [`SignIn`] whose tokens are about to be used.
pub struct Chosen<'a> {
    sign_in: SignIn<'a>,
    choice: Option<Choice>,
    /// The identity that was chosen the last time.
    before: Option<String>,
}

impl<'a> Chosen<'a> {
    /// As [`SignIn::new`]. Tells if `auto` chose another identity the last time.
    pub fn new(resolved: &Resolved, env: &Env, system: &'a dyn System) -> Result<Self, Error> {
        let choice = resolved.choice.clone();
        let sign_in = SignIn::new(&resolved.options, env, system)
            .map_err(|error| explain(choice.as_ref(), error))?;
        let cache = sign_in.cache();
        let before = choice.as_ref().and_then(|choice| choice.before(cache));
        if let Some(choice) = &choice {
            choice.tell_change(before.as_deref(), system);
        }
        Ok(Self {
            sign_in,
            choice,
            before,
        })
    }

    /// As [`SignIn::for_cluster`].
    pub fn for_cluster<'o>(&self, options: &'o Options) -> Result<ForCluster<'o>, Error> {
        self.sign_in.for_cluster(options)
    }

    /// As [`SignIn::token`]; asks nobody if `auto` found that nobody can answer.
    pub fn token(&self, scope: &Scope) -> Result<Token, Error> {
        self.finish(match self.is_silent() {
            true => self.sign_in.silent_token(scope),
            false => self.sign_in.token(scope),
        })
    }

    /// As [`SignIn::renewed_token`]; asks nobody if `auto` found that nobody can answer.
    pub fn renewed_token(&self, scope: &Scope) -> Result<Token, Error> {
        self.finish(match self.is_silent() {
            true => self.sign_in.silently_renewed_token(scope),
            false => self.sign_in.renewed_token(scope),
        })
    }

    fn is_silent(&self) -> bool {
        self.choice.as_ref().is_some_and(|choice| choice.is_silent)
    }

    /// Remembers the identity if it got a token, and explains the choice if not.
    fn finish(&self, token: Result<Token, Error>) -> Result<Token, Error> {
        let token = token.map_err(|error| explain(self.choice.as_ref(), error))?;
        if let Some(choice) = &self.choice {
            choice.remember(self.before.as_deref(), self.sign_in.cache());
        }
        Ok(token)
    }
}
