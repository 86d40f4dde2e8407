//! How long a login may take: `--timeout`, a duration as Go writes it.

use std::time::Duration;

use crate::error::Error;
use crate::flag::{Flag, FlagValues};

/// The bound on a login.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeout {
    pub duration: Duration,
    /// True if the user set it; only then does it also limit the wait for a person.
    pub is_given: bool,
}

impl Timeout {
    const DEFAULT: Self = Self {
        duration: Duration::from_secs(60),
        is_given: false,
    };

    /// Reads `--timeout`.
    ///
    /// # Errors
    /// The value is not a duration, or not greater than 0.
    pub fn of(values: &FlagValues) -> Result<Self, Error> {
        let Some(text) = values.text(Flag::Timeout) else {
            return Ok(Self::DEFAULT);
        };
        let wrong = |why: &str| {
            Error::input(format!("--timeout {text:?} {why}")).remedy(
                "Use a number with a unit, such as 30s, 2m or 1h (--timeout or AZURE_CLI_TIMEOUT).",
            )
        };
        let nanoseconds = parse_duration(text).map_err(wrong)?;
        match u64::try_from(nanoseconds) {
            Ok(nanoseconds) if nanoseconds > 0 => Ok(Self {
                duration: Duration::from_nanos(nanoseconds),
                is_given: true,
            }),
            _ => Err(wrong("is not valid: timeout must be greater than 0")),
        }
    }
}

/// Nanoseconds of a Go duration (`time.ParseDuration`): signed decimal numbers, each with a unit, such as `1h15m30.918s`.
///
/// # Errors What is wrong with it, to follow the text in a message.
pub fn parse_duration(text: &str) -> Result<i64, &'static str> {
    const UNITS: &[(&str, f64)] = &[
        ("ns", 1.0),
        ("us", 1e3),
        ("µs", 1e3),
        ("μs", 1e3),
        ("ms", 1e6),
        ("s", 1e9),
        ("m", 60e9),
        ("h", 3600e9),
    ];
    let (sign, mut rest) = match text.strip_prefix('-') {
        Some(rest) => (-1.0, rest),
        None => (1.0, text.strip_prefix('+').unwrap_or(text)),
    };
    if rest == "0" {
        return Ok(0);
    }
    let mut total = 0.0;
    loop {
        let is_number = |c: char| c.is_ascii_digit() || c == '.';
        let (number, tail) = rest.split_at(rest.find(|c| !is_number(c)).unwrap_or(rest.len()));
        let (unit, tail) = tail.split_at(tail.find(is_number).unwrap_or(tail.len()));
        let number: f64 = number.parse().map_err(|_| "is not a duration")?;
        let factor = UNITS.iter().find(|(name, _)| *name == unit);
        let (_, factor) = factor.ok_or("is not a duration: a number has no unit")?;
        total += number * factor;
        rest = tail;
        if rest.is_empty() {
            break;
        }
    }
    // i64 holds 292 years of nanoseconds; a cast from f64 stops at its ends.
    #[expect(
        clippy::cast_possible_truncation,
        reason = "saturates, which is right for a bound"
    )]
    Ok((sign * total) as i64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn timeout(text: &str) -> Result<Timeout, Error> {
        let mut values = FlagValues::new();
        values.set(Flag::Timeout, text);
        Timeout::of(&values)
    }

    #[test]
    fn durations_are_written_as_in_go() {
        for (text, nanoseconds) in [
            ("1h", 3_600_000_000_000),
            ("1m30s", 90_000_000_000),
            ("1.5s", 1_500_000_000),
            ("300ms", 300_000_000),
            ("+2s", 2_000_000_000),
            ("-2s", -2_000_000_000),
            ("1us1ns", 1_001),
        ] {
            assert_eq!(parse_duration(text), Ok(nanoseconds), "{text}");
        }
    }

    #[test]
    fn a_timeout_that_is_not_a_positive_duration_is_refused() {
        for text in [
            "0", "0s", "-5s", "30", "s", "1x", "1h30", "1..2s", "forever",
        ] {
            let error = timeout(text).expect_err(text).to_string();
            assert!(error.contains("--timeout"), "{error}");
        }
    }

    #[test]
    fn an_empty_timeout_is_the_default() {
        let minute = Timeout {
            duration: Duration::from_secs(60),
            is_given: false,
        };
        assert_eq!(timeout(""), Ok(minute));
    }
}
