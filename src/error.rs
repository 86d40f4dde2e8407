//! The program's one error type: what failed, how to fix it, and what the caller may do next.

use std::fmt;
use std::time::Duration;

use chrono::TimeDelta;
use serde::{Deserialize, Serialize};

/// What a caller may do about an [`Error`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum ErrorKind {
    /// A flag, a variable, a file or this machine's trust store is wrong. Retrying does not help.
    Input,
    /// A service refused the request or returned something unusable. Retrying does not help.
    Refused {
        /// The OAuth `error` member (RFC 6749 section 5.2), the only part of a refusal that decisions may depend on;
        /// empty if the response was not an OAuth error.
        oauth_error: String,
    },
    /// The network, a busy service or another program failed. Retrying may help.
    Outside,
    /// The user has to sign in, but the caller does not allow prompts.
    NotSignedIn,
    /// The user did not answer the prompt in time, or the client is gone. Says nothing about the next attempt: processes
    /// that waited for this one prompt again.
    Unanswered,
}

/// A failure as it is printed, in at most three lines: what failed, how to fix it, a reference.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Error {
    kind: ErrorKind,
    what: String,
    remedy: Option<String>,
    reference: Option<String>,
    /// Lines to copy.
    #[serde(default)]
    example: Option<String>,
}

impl Error {
    /// A wrong flag, variable or file. `what` names it and its value.
    pub fn input(what: impl Into<String>) -> Self {
        Self::new(ErrorKind::Input, what)
    }

    /// A refusal by a service, or a response that cannot be used.
    pub fn refused(oauth_error: impl Into<String>, what: impl Into<String>) -> Self {
        Self::new(
            ErrorKind::Refused {
                oauth_error: oauth_error.into(),
            },
            what,
        )
    }

    /// A failure of the network, a service or another program. `what` names the host or the program.
    pub fn outside(what: impl Into<String>) -> Self {
        Self::new(ErrorKind::Outside, what)
    }

    /// The same error, as an unanswered sign-in.
    #[must_use]
    pub fn into_unanswered(self) -> Self {
        Self {
            kind: ErrorKind::Unanswered,
            ..self
        }
    }

    /// A sign-in that ended without a decision: the user did not respond in time, or the client is gone.
    pub fn unanswered(what: impl Into<String>) -> Self {
        Self::new(ErrorKind::Unanswered, what)
    }

    /// Nobody is signed in, or the sign-in has ended; `refusal` is then the service's response to the refresh token.
    pub fn not_signed_in(refusal: Option<Self>) -> Self {
        match refusal {
            Some(refusal) => Self {
                kind: ErrorKind::NotSignedIn,
                ..refusal.context("the sign-in has ended")
            },
            None => Self::new(ErrorKind::NotSignedIn, "not signed in")
                .remedy("Run kubelogin get-token with the same options to sign in."),
        }
    }

    fn new(kind: ErrorKind, what: impl Into<String>) -> Self {
        Self {
            kind,
            what: what.into(),
            remedy: None,
            reference: None,
            example: None,
        }
    }

    /// Adds how to fix it: the second line.
    #[must_use]
    pub fn remedy(mut self, remedy: impl Into<String>) -> Self {
        self.remedy = Some(remedy.into());
        self
    }

    /// Adds a sentence to the remedy.
    #[must_use]
    pub fn hint(self, sentence: &str) -> Self {
        let remedy = match &self.remedy {
            Some(remedy) => format!("{remedy} {sentence}"),
            None => sentence.to_owned(),
        };
        self.remedy(remedy)
    }

    /// Adds the error code and correlation ID that support asks for: the last line.
    #[must_use]
    pub fn reference(mut self, reference: impl Into<String>) -> Self {
        self.reference = Some(reference.into());
        self
    }

    /// Adds lines to copy, printed as they are after everything else.
    #[must_use]
    pub fn example(mut self, lines: impl Into<String>) -> Self {
        self.example = Some(lines.into());
        self
    }

    /// Puts where it failed (a login mode, a user in a kubeconfig) before what failed.
    #[must_use]
    pub fn context(mut self, place: impl fmt::Display) -> Self {
        self.what = format!("{place}: {}", self.what);
        self
    }

    /// What failed and how to fix it, for another message.
    pub fn parts(&self) -> (&str, &str) {
        (&self.what, self.remedy.as_deref().unwrap_or_default())
    }

    /// What a caller may do about it.
    pub fn kind(&self) -> &ErrorKind {
        &self.kind
    }

    /// True if a service refused the request or returned something unusable.
    pub fn is_refused(&self) -> bool {
        matches!(self.kind, ErrorKind::Refused { .. })
    }

    /// True if the service returned this OAuth `error`.
    pub fn is_refused_with(&self, code: &str) -> bool {
        matches!(&self.kind, ErrorKind::Refused { oauth_error } if oauth_error == code)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&one_line(&self.what))?;
        for line in self.remedy.iter().chain(&self.reference) {
            write!(f, "\n{}", one_line(line))?;
        }
        if let Some(example) = &self.example {
            write!(f, "\n{example}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Error {}

/// The names most similar to `name`, which may be mistyped.
pub fn nearest<'n>(name: &str, mut names: Vec<&'n str>) -> Vec<&'n str> {
    const SHOWN: usize = 5;
    let name = name.to_lowercase();
    names.sort_by_cached_key(|other| strsim::osa_distance(&name, &other.to_lowercase()));
    names.dedup();
    names.truncate(SHOWN);
    names
}

/// "Did you mean ..?" for a mistyped name; empty without a suggestion.
pub fn did_you_mean(near: &[&str]) -> String {
    match near {
        [] => String::new(),
        [one] => format!("Did you mean {one}?"),
        several => format!("Did you mean one of these: {}?", several.join(", ")),
    }
}

/// The longest line of a message, in characters. Longer text from outside is cut.
const LONGEST_LINE: usize = 600;

/// `text` without line breaks and control characters (ANSI escapes of a child or a server included), without tokens,
/// cut when long. Invisible characters, and those that change the text direction, are escaped.
pub fn one_line(text: &str) -> String {
    let mut line = String::with_capacity(text.len());
    for word in text
        .split(|c: char| c.is_whitespace() || c.is_control())
        .filter(|word| !word.is_empty())
    {
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
    }
    let mut line: String = pieces(&line).map(Piece::shown).collect();
    if line.contains(is_unseen) {
        line = line.chars().fold(String::new(), |mut line, c| {
            match is_unseen(c) {
                true => line.extend(c.escape_unicode()),
                false => line.push(c),
            }
            line
        });
    }
    if let Some((end, _)) = line.char_indices().nth(LONGEST_LINE) {
        line.truncate(end);
        line.push_str("...");
    }
    line
}

/// True for characters without width and for those that change the text direction (Unicode Technical Report 36, section
/// 2.5; CVE-2021-42574): with them, a text can look different from what it is.
fn is_unseen(c: char) -> bool {
    matches!(c,
        '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}'
        | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{feff}' | '\u{ffa0}'
        | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e0fff}')
}

/// How a JWT begins: base64url of `{"`.
const JWT_START: &str = "eyJ";

/// A part of text from outside, which can contain a token (Azure/azure-sdk-for-java#36232).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Piece<'t> {
    Plain(&'t str),
    /// What looks like a JWT.
    Token(&'t str),
}

impl<'t> Piece<'t> {
    fn shown(self) -> &'t str {
        match self {
            Self::Plain(text) => text,
            Self::Token(_) => "[token]",
        }
    }
}

/// Splits a text into tokens and the text between them. Every byte is in one piece and visited once.
fn pieces(text: &str) -> impl Iterator<Item = Piece<'_>> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let is_jwt = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '=');
        let end_of_word = |word: &str| word.find(|c| !is_jwt(c)).unwrap_or(word.len());
        let (length, is_token) = match rest.find(JWT_START) {
            None => (rest.len(), false),
            Some(0) => {
                let length = end_of_word(rest);
                (length, rest[..length].contains('.'))
            }
            Some(start) => (start, false),
        };
        if rest.is_empty() {
            return None;
        }
        let (piece, after) = rest.split_at(length);
        rest = after;
        Some(match is_token {
            true => Piece::Token(piece),
            false => Piece::Plain(piece),
        })
    })
}

/// A duration in words: `20 milliseconds`, `1.5 seconds`, `15 minutes`.
pub fn duration(duration: Duration) -> String {
    match (duration.as_secs(), duration.subsec_millis()) {
        (seconds @ 61.., 0) if seconds.is_multiple_of(60) => format!("{} minutes", seconds / 60),
        (1, 0) => "1 second".into(),
        (0, milliseconds) => format!("{milliseconds} milliseconds"),
        _ => format!("{} seconds", duration.as_secs_f64()),
    }
}

/// A span of time in words, rounded.
pub fn span(span: TimeDelta) -> String {
    let minutes = span.num_minutes().abs();
    let (number, unit) = match (minutes / 1440, minutes / 60, minutes) {
        (days @ 2.., ..) => (days, "day"),
        (_, hours @ 2.., _) => (hours, "hour"),
        (.., minutes @ 1..) => (minutes, "minute"),
        _ => (span.num_seconds().abs(), "second"),
    };
    match number {
        1 => format!("1 {unit}"),
        _ => format!("{number} {unit}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_has_at_most_three_lines_whatever_its_parts_hold() {
        let error = Error::input("a\nb")
            .remedy("c\r\nd")
            .reference("e\u{1b}[31m\nf");
        assert_eq!(error.to_string(), "a b\nc d\ne [31m f");
    }

    #[test]
    fn a_long_line_is_cut_at_a_character() {
        let line = one_line(&"é".repeat(LONGEST_LINE + 1));
        assert_eq!(line.chars().count(), LONGEST_LINE + 3);
        assert!(line.ends_with("é..."));
    }

    #[test]
    fn whatever_looks_like_a_token_is_hidden() {
        for (text, shown) in [
            (
                "got {\"t\":\"eyJhbGciOi.eyJh-_.sig=\"} back",
                "got {\"t\":\"[token]\"} back",
            ),
            ("eyJa.b.c eyJd.e.", "[token] [token]"),
            ("keyJob and eyJ", "keyJob and eyJ"),
        ] {
            assert_eq!(one_line(text), shown);
        }
    }

    /// Four MiB, as much as is read of a program's stderr.
    #[test]
    fn hiding_tokens_takes_steps_as_the_text_is_long() {
        let unit = "eyJa.b.c ";
        let hostile = unit.repeat(4 * 1024 * 1024 / unit.len());
        let (mut steps, mut bytes) = (0, 0);
        for piece in pieces(&hostile) {
            let (Piece::Plain(text) | Piece::Token(text)) = piece;
            steps += 1;
            bytes += text.len();
        }
        assert_eq!(bytes, hostile.len());
        assert_eq!(steps, 2 * (hostile.len() / unit.len()));
        assert!(one_line(&hostile[..unit.len() * 100]).starts_with("[token] [token] "));
        let no_token = "eyJ".repeat(1000);
        assert_eq!(
            pieces(&no_token).collect::<Vec<_>>(),
            [Piece::Plain(&no_token)]
        );
    }

    #[test]
    fn characters_that_deceive_the_reader_are_escaped() {
        for (text, shown) in [
            ("cluster\u{202e}dorp", "cluster\\u{202e}dorp"),
            ("a\u{200b}b\u{feff}c", "a\\u{200b}b\\u{feff}c"),
            ("\u{2066}x\u{2069}", "\\u{2066}x\\u{2069}"),
            ("Zoë, 東京, עברית", "Zoë, 東京, עברית"),
        ] {
            assert_eq!(one_line(text), shown);
        }
    }

    #[test]
    fn durations_are_written_in_words() {
        for (milliseconds, words) in [
            (20, "20 milliseconds"),
            (1000, "1 second"),
            (1500, "1.5 seconds"),
            (60_000, "60 seconds"),
            (90_000, "90 seconds"),
            (900_000, "15 minutes"),
        ] {
            assert_eq!(duration(Duration::from_millis(milliseconds)), words);
        }
    }

    #[test]
    fn spans_are_rounded_and_written_in_words() {
        for (seconds, words) in [
            (1, "1 second"),
            (5, "5 seconds"),
            (65, "1 minute"),
            (7199, "119 minutes"),
            (7200, "2 hours"),
            (200_000, "2 days"),
        ] {
            assert_eq!(span(TimeDelta::seconds(seconds)), words);
        }
    }
}
