//! A token in the cache, and how long it is used.

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize, Serializer};

use super::key::Fingerprint;
use crate::secret::Secret;
use crate::system::{System, Uptime};
use crate::token::Token;

/// How to get the next token when this one expires.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Renewal {
    Silent,
    /// A person has to sign in.
    ByPerson,
}

/// A time on the system clock, which can be set, and as uptime, which cannot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Moment {
    time: DateTime<Utc>,
    uptime: Option<Uptime>,
}

impl Moment {
    /// This moment.
    pub fn now(system: &dyn System) -> Self {
        Self {
            time: system.now(),
            uptime: system.uptime(),
        }
    }

    /// True if the clock was set back between this time and `now`: it shows an earlier time, or less time has passed by
    /// the clock than by uptime. After a restart, uptime proves nothing.
    fn is_past_a_jump_back(&self, now: &Self) -> bool {
        let by_clock = now.time - self.time;
        let passed = match (&self.uptime, &now.uptime) {
            (Some(then), Some(now)) if then.machine == now.machine => {
                TimeDelta::try_seconds(now.seconds.saturating_sub(then.seconds))
            }
            _ => None,
        };
        passed.unwrap_or_default().max(TimeDelta::zero()) > by_clock + MARGIN
    }
}

/// A token in the cache.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    pub token: Token,
    /// When the token was obtained.
    pub obtained: Moment,
}

/// A token is used only if it is valid for longer than this. It is also how far the clock may be set back unnoticed:
/// then a token may be used five minutes too long, which this margin covers.
const MARGIN: TimeDelta = TimeDelta::minutes(5);

impl Entry {
    /// True if the token can be used: it is valid for five more minutes. If a person would have to sign in again, a
    /// short-lived token is used until the last fifth of its lifetime.
    pub fn is_fresh(&self, now: &Moment, renewal: Renewal) -> bool {
        let life = self.token.expires_on - self.obtained.time;
        let margin = match renewal {
            Renewal::Silent => MARGIN,
            Renewal::ByPerson => MARGIN.min(life / 5),
        };
        self.lives_longer_than(margin, now)
    }

    /// True if the token has not expired: good enough if no other can be obtained.
    pub fn is_alive(&self, now: &Moment) -> bool {
        self.lives_longer_than(TimeDelta::zero(), now)
    }

    /// Also false if the clock was set back, because then it is unknown when the token expires.
    fn lives_longer_than(&self, margin: TimeDelta, now: &Moment) -> bool {
        !self.obtained.is_past_a_jump_back(now) && now.time + margin < self.token.expires_on
    }
}

/// What is saved for a login, before it is sealed.
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
    /// The same moment by the uptime.
    obtained_at: Option<Uptime>,
    fingerprint: Fingerprint,
}

impl SealedEntry {
    pub fn new(token: &Token, obtained: &Moment, fingerprint: &Fingerprint) -> Self {
        Self {
            access_token: token.access_token.clone(),
            refresh_token: token.refresh_token.clone().unwrap_or_else(Secret::empty),
            expires_on: token.expires_on.timestamp(),
            obtained_on: obtained.time.timestamp(),
            obtained_at: obtained.uptime.clone(),
            fingerprint: fingerprint.clone(),
        }
    }

    /// The token, whatever secrets it was saved with.
    pub fn into_token(self) -> Option<Token> {
        Some(Token {
            access_token: self.access_token,
            expires_on: DateTime::from_timestamp(self.expires_on, 0)?,
            refresh_token: Some(self.refresh_token).filter(|token| !token.is_empty()),
        })
    }

    /// The entry, if it was saved with the same secrets.
    pub fn open(mut self, fingerprint: &Fingerprint) -> Option<Entry> {
        (self.fingerprint == *fingerprint).then_some(())?;
        Some(Entry {
            obtained: Moment {
                time: DateTime::from_timestamp(self.obtained_on, 0)?,
                uptime: self.obtained_at.take(),
            },
            token: self.into_token()?,
        })
    }
}

/// For a secret that is about to be sealed.
fn exposed<S: Serializer>(secret: &Secret, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(secret.expose())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::system::fake::FakeSystem;

    /// `expires_in`, seconds since it was obtained, how it is renewed, and whether it is used.
    #[test]
    fn a_token_is_used_until_five_minutes_before_it_expires() {
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
            // The clock was set back: by a little, which counts as skew, or by more, which is noticed.
            (3600, -300, Silent, true),
            (3600, -301, Silent, false),
            (3600, -301, ByPerson, false),
            (3600, -90000, Silent, false),
            // It was set forward.
            (3600, 90000, Silent, false),
        ] {
            let entry = entry(life, None);
            let now = moment(age, None);
            let is_fresh = entry.is_fresh(&now, renewal);
            assert_eq!(is_fresh, is_served, "{life} {age} {renewal:?}");
            let lives = (-300..life).contains(&age);
            assert_eq!(entry.is_alive(&now), lives, "{life} {age}");
        }
    }

    /// For a token valid for an hour: seconds since it was obtained by the clock, the uptime, and whether it is used.
    #[test]
    fn the_uptime_shows_that_the_clock_was_set_back() {
        let here = |seconds| uptime("here", seconds);
        for (age, now, is_served) in [
            (3000, here(4000), true),
            // It was set back by five minutes, and by more.
            (3000, here(4300), true),
            (3000, here(4301), false),
            (60, here(4000), false),
            // It was an hour fast and was corrected just before the token expired by it.
            (-240, here(1100), false),
            // The machine restarted, or this is a different one.
            (3000, here(10), true),
            (3000, uptime("there", 400_000), true),
            (3000, None, true),
        ] {
            let entry = entry(3600, here(1000));
            let text = format!("{age} {now:?}");
            let now = moment(age, now);
            assert_eq!(entry.is_fresh(&now, Renewal::Silent), is_served, "{text}");
            assert_eq!(entry.is_alive(&now), is_served, "{text}");
        }
    }

    fn uptime(machine: &str, seconds: i64) -> Option<Uptime> {
        let machine = machine.to_owned();
        Some(Uptime { machine, seconds })
    }

    fn moment(age: i64, uptime: Option<Uptime>) -> Moment {
        Moment {
            time: FakeSystem::EPOCH + TimeDelta::seconds(age),
            uptime,
        }
    }

    fn entry(life: i64, obtained_at: Option<Uptime>) -> Entry {
        Entry {
            token: Token {
                expires_on: FakeSystem::EPOCH + TimeDelta::seconds(life),
                access_token: Secret::new("at"),
                refresh_token: None,
            },
            obtained: moment(0, obtained_at),
        }
    }
}
