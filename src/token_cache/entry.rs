//! A token as the cache holds it, and how long it is good.

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize, Serializer};

use super::key::Fingerprint;
use crate::secret::Secret;
use crate::token::Token;

/// How a token can be had when this one ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Renewal {
    Silent,
    /// A person has to sign in.
    ByPerson,
}

/// A token as the cache holds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    pub token: Token,
    /// When the token was obtained, by our clock.
    pub obtained_on: DateTime<Utc>,
}

/// A token is served while it lives longer than this. It is also how far the clock may have jumped back unnoticed: a
/// token is then served five minutes too long at most, which are these.
const MARGIN: TimeDelta = TimeDelta::minutes(5);

impl Entry {
    /// True if the token can be given away: it lives for five minutes more. Where a person would have to sign in again
    /// a short-lived token is used up to the last fifth of its life.
    pub fn is_fresh(&self, now: DateTime<Utc>, renewal: Renewal) -> bool {
        let life = self.token.expires_on - self.obtained_on;
        let margin = match renewal {
            Renewal::Silent => MARGIN,
            Renewal::ByPerson => MARGIN.min(life / 5),
        };
        self.is_of_this_time(now) && now + margin < self.token.expires_on
    }

    /// True if the token has not ended: good enough when no other can be had.
    pub fn is_alive(&self, now: DateTime<Utc>) -> bool {
        self.is_of_this_time(now) && now < self.token.expires_on
    }

    /// False if the entry comes from the future: the clock has been set back, and we do not know when the token ends.
    fn is_of_this_time(&self, now: DateTime<Utc>) -> bool {
        self.obtained_on <= now + MARGIN
    }
}

/// What is kept for a login, as it is sealed.
#[derive(Serialize, Deserialize)]
pub struct SealedEntry {
    #[serde(serialize_with = "exposed")]
    access_token: Secret,
    #[serde(serialize_with = "exposed")]
    refresh_token: Secret,
    /// Unix seconds.
    expires_on: i64,
    /// Unix seconds.
    obtained_on: i64,
    fingerprint: Fingerprint,
}

impl SealedEntry {
    pub fn new(token: &Token, obtained_on: DateTime<Utc>, fingerprint: &Fingerprint) -> Self {
        Self {
            access_token: token.access_token.clone(),
            refresh_token: token.refresh_token.clone().unwrap_or_else(Secret::empty),
            expires_on: token.expires_on.timestamp(),
            obtained_on: obtained_on.timestamp(),
            fingerprint: fingerprint.clone(),
        }
    }

    /// The entry, if it was made with the same secrets.
    pub fn open(self, fingerprint: &Fingerprint) -> Option<Entry> {
        (self.fingerprint == *fingerprint).then_some(())?;
        Some(Entry {
            token: Token {
                access_token: self.access_token,
                expires_on: DateTime::from_timestamp(self.expires_on, 0)?,
                refresh_token: Some(self.refresh_token).filter(|token| !token.is_empty()),
            },
            obtained_on: DateTime::from_timestamp(self.obtained_on, 0)?,
        })
    }
}

/// A secret on its way into the seal.
fn exposed<S: Serializer>(secret: &Secret, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(secret.expose())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::system::fake::FakeSystem;

    /// `expires_in`, seconds since it was obtained, who renews it, and whether it is served.
    #[test]
    fn a_token_is_served_while_it_lives_five_minutes_longer() {
        use Renewal::{ByPerson, Silent};
        for (life, age, renewal, is_served) in [
            (3600, 0, Silent, true),
            (3600, 3299, Silent, true),
            (3600, 3300, Silent, false),
            (3600, 3300, ByPerson, false),
            (240, 0, Silent, false),
            (240, 0, ByPerson, true),
            (240, 191, ByPerson, true),
            (240, 192, ByPerson, false),
            (0, 0, ByPerson, false),
            // The clock was set back since: a little cannot be told from no skew, more is not believed.
            (3600, -300, Silent, true),
            (3600, -301, Silent, false),
            (3600, -301, ByPerson, false),
            (3600, -90000, Silent, false),
            // It was set forth.
            (3600, 90000, Silent, false),
        ] {
            let entry = Entry {
                token: Token {
                    expires_on: FakeSystem::EPOCH + TimeDelta::seconds(life),
                    access_token: Secret::new("at"),
                    refresh_token: None,
                },
                obtained_on: FakeSystem::EPOCH,
            };
            let now = FakeSystem::EPOCH + TimeDelta::seconds(age);
            let is_fresh = entry.is_fresh(now, renewal);
            assert_eq!(is_fresh, is_served, "{life} {age} {renewal:?}");
            let lives = (-300..life).contains(&age);
            assert_eq!(entry.is_alive(now), lives, "{life} {age}");
        }
    }
}
