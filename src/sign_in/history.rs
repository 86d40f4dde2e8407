//! How a token was obtained, for `-v 1`.

use std::fmt;

use chrono::{DateTime, Utc};

use crate::entra::access_token::claims::Claims;
use crate::error::one_line;
use crate::token::Token;

/// How a token was obtained.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum How {
    Cached,
    /// Another process signed in while this one waited.
    Shared,
    Refreshed(Why),
    SignedIn(Why),
    /// It could not be renewed.
    Old,
}

/// Why the cached token was not used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    NoCache,
    NoEntry,
    /// It expires soon, or the clock was set back, so that its age is unknown.
    Expires(DateTime<Utc>),
    NewOneWanted,
    /// And its refresh token is no longer valid.
    SignInEnded,
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoCache => f.write_str("tokens of this login are not cached"),
            Self::NoEntry => f.write_str("no token was cached for these options"),
            Self::Expires(time) => write!(f, "the cached token expires at {}", clock(*time)),
            Self::NewOneWanted => f.write_str("a new token was asked for"),
            Self::SignInEnded => f.write_str("the refresh token is no longer valid"),
        }
    }
}

/// A description of the token: how it was obtained, for whom, until when.
pub fn history(token: &Token, how: How) -> String {
    let how = match how {
        How::Cached => "from the cache".to_owned(),
        How::Shared => "from another kubelogin, which has just signed in".to_owned(),
        How::Refreshed(why) => format!("refreshed, because {why}"),
        How::SignedIn(why) => format!("signed in, because {why}"),
        How::Old => "from the cache, because no new one could be obtained".to_owned(),
    };
    let claims = Claims::read(&token.access_token);
    let name = claims
        .as_ref()
        .map_or("an account it does not name", Claims::name);
    one_line(&format!(
        "Token: {how}; for {name}, valid until {}",
        clock(token.expires_on)
    ))
}

fn clock(time: DateTime<Utc>) -> impl fmt::Display {
    time.format("%Y-%m-%d %H:%M:%SZ")
}
