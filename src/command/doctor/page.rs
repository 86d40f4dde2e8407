//! What `doctor` prints: a line per area without problems, and every problem with its fix; or JSON.

use std::fmt::Write;

use serde_json::{Value as Json, json};

use super::case::Case;
use super::checks::{Check, areas};
use super::redact::Redactor;
use super::{Finding, Outcome, Problem};
use crate::command::subject::Subject;
use crate::command::wrap::Width;
use crate::error::one_line;
use crate::system::Page;

/// The widest id of a check, and of an area.
const ID_WIDTH: usize = 20;

pub struct Report<'a> {
    pub case: &'a Case<'a>,
    pub findings: &'a [Finding],
    pub redactor: Redactor,
    pub verbosity: u8,
}

/// The list of all checks.
pub fn list(checks: &[&'static Check], as_json: bool) -> String {
    if as_json {
        let checks: Vec<Json> = checks
            .iter()
            .map(|check| json!({"id": check.id, "area": check.area(), "symptom": check.symptom}))
            .collect();
        return format!("{:#}\n", json!({"version": 1, "checks": checks}));
    }
    let mut text = String::new();
    for check in checks {
        let _ = writeln!(text, "{:<ID_WIDTH$} {}", check.id, check.symptom); // writing to a String does not fail
    }
    text
}

impl Outcome {
    const fn word(&self) -> &'static str {
        match self {
            Self::Good(_) | Self::Fine(_) => "ok",
            Self::Warning(_) => "warn",
            Self::Failure(_) => "fail",
            Self::Skipped(_) => "skip",
        }
    }

    /// Mark and colour (ECMA-48) on a terminal, a word elsewhere.
    fn label(&self, page: Page) -> String {
        let (mark, color) = match self {
            Self::Good(_) | Self::Fine(_) => ("\u{2713}", 32),
            Self::Warning(_) => ("!", 33),
            Self::Failure(_) => ("\u{2717}", 31),
            Self::Skipped(_) => ("-", 2),
        };
        match page {
            Page { columns: None, .. } => format!("{:<4}", self.word()),
            Page {
                has_color: true, ..
            } => format!("\u{1b}[{color}m{mark}\u{1b}[0m"),
            Page { .. } => mark.to_owned(),
        }
    }

    fn problem(&self) -> Option<&Problem> {
        match self {
            Self::Warning(problem) | Self::Failure(problem) => Some(problem),
            _ => None,
        }
    }

    fn text(&self) -> &str {
        match self {
            Self::Good(text) | Self::Fine(text) | Self::Skipped(text) => text,
            Self::Warning(problem) | Self::Failure(problem) => &problem.what,
        }
    }
}

impl Finding {
    /// What to do: the finding's own advice, else the check's.
    fn remedy(&self) -> &str {
        match self.outcome.problem() {
            Some(problem) if problem.remedy.is_empty() => self.check.advice,
            Some(problem) => &problem.remedy,
            None => "",
        }
    }
}

impl Report<'_> {
    pub fn text(&self, page: Page) -> String {
        let mut writer = Writer {
            text: String::new(),
            page,
            redactor: &self.redactor,
        };
        let checks: Vec<_> = self.findings.iter().map(|finding| finding.check).collect();
        for area in areas(&checks) {
            let findings = self
                .findings
                .iter()
                .filter(|finding| finding.check.area() == area);
            self.area(&mut writer, area, &findings.collect::<Vec<_>>());
        }
        if self.verbosity >= 1 {
            self.options(&mut writer);
            for line in self.case.system.said() {
                writer.line(&Outcome::Skipped(String::new()), "said", &line);
            }
        }
        writer.plain(&self.summary());
        writer.text
    }

    fn area(&self, writer: &mut Writer, area: &str, findings: &[&Finding]) {
        if self.verbosity >= 1 {
            for finding in findings {
                writer.line(&finding.outcome, finding.check.id, finding.outcome.text());
                writer.remedy(finding.remedy());
            }
            return;
        }
        let mut problems = findings
            .iter()
            .filter(|finding| finding.outcome.problem().is_some())
            .peekable();
        if problems.peek().is_some() {
            for finding in problems {
                writer.line(&finding.outcome, finding.check.id, finding.outcome.text());
                writer.remedy(finding.remedy());
            }
            return;
        }
        let is_ok = |finding: &&&Finding| finding.outcome.word() == "ok";
        let texts = findings
            .iter()
            .filter_map(|finding| match &finding.outcome {
                Outcome::Good(text) => Some(text.as_str()),
                _ => None,
            });
        let good: Vec<&str> = texts.collect();
        let first_ok = findings.iter().find(is_ok);
        if let Some(first) = first_ok {
            let text = match good.is_empty() {
                true => first.outcome.text().to_owned(),
                false => good.join(", "),
            };
            writer.line(&Outcome::Good(String::new()), area, &text);
        } else if let Some(first) = findings.first() {
            writer.line(
                &first.outcome,
                area,
                &format!("not checked: {}", first.outcome.text()),
            );
        }
    }

    fn options(&self, writer: &mut Writer) {
        for value in self.case.subject().map(Subject::values).unwrap_or_default() {
            writer.line(&Outcome::Good(String::new()), value.flag, &value.told());
        }
        for line in self.case.subject().map(Subject::table).unwrap_or_default() {
            writer.line(&Outcome::Skipped(String::new()), "auto", &line.told());
        }
    }

    fn count(&self, word: &str) -> usize {
        let findings = self.findings.iter();
        findings
            .filter(|finding| finding.outcome.word() == word)
            .count()
    }

    fn summary(&self) -> String {
        let number = |count: usize, what: &str| match count {
            1 => format!("1 {what}"),
            _ => format!("{count} {what}s"),
        };
        match (self.count("fail"), self.count("warn")) {
            (0, 0) => "No problem found.".into(),
            (0, warnings) => format!("No problem found, {}.", number(warnings, "warning")),
            (failures, 0) => format!("{} found.", number(failures, "problem")),
            (failures, warnings) => {
                format!(
                    "{} found, {}.",
                    number(failures, "problem"),
                    number(warnings, "warning")
                )
            }
        }
    }

    pub fn json(&self) -> String {
        let mask = |text: &str| self.redactor.mask(&one_line(text));
        let checks: Vec<Json> = self
            .findings
            .iter()
            .map(|finding| {
                json!({
                    "id": finding.check.id,
                    "area": finding.check.area(),
                    "status": finding.outcome.word(),
                    "summary": mask(finding.outcome.text()),
                    "remedy": mask(finding.remedy()),
                })
            })
            .collect();
        let values = self.case.subject().map(Subject::values).unwrap_or_default();
        let options: Vec<Json> = values
            .iter()
            .map(|value| {
                json!({
                    "flag": value.flag,
                    "value": mask(&value.value),
                    "origin": mask(&value.origin),
                    "overriddenBy": value.overridden_by,
                })
            })
            .collect();
        let count = |word| self.count(word);
        let context = self.case.entry().map(|entry| mask(&entry.name));
        let report = json!({
            "version": 1,
            "context": context,
            "checks": checks,
            "options": options,
            "summary": {"ok": count("ok"), "warn": count("warn"), "fail": count("fail"), "skip": count("skip")},
            "exitCode": u8::from(count("fail") > 0),
        });
        format!("{report:#}\n")
    }
}

struct Writer<'a> {
    text: String,
    page: Page,
    redactor: &'a Redactor,
}

impl Writer<'_> {
    /// A line with its label and id.
    fn line(&mut self, outcome: &Outcome, id: &str, text: &str) {
        let label = outcome.label(self.page);
        let width = if self.page.columns.is_none() { 4 } else { 1 };
        if self.width().is_narrow() {
            self.wrapped(&format!("{label} {id}"), 0, "");
            self.wrapped("", width + 1, text);
        } else {
            self.wrapped(
                &format!("{label} {id:<ID_WIDTH$} "),
                width + ID_WIDTH + 2,
                text,
            );
        }
    }

    fn remedy(&mut self, remedy: &str) {
        if remedy.is_empty() {
            return;
        }
        let width = if self.page.columns.is_none() { 4 } else { 1 };
        let indent = width
            + if self.width().is_narrow() {
                1
            } else {
                ID_WIDTH + 2
            };
        self.wrapped(&" ".repeat(indent), indent, &format!("Fix: {remedy}"));
    }

    fn plain(&mut self, text: &str) {
        self.wrapped("", 0, text);
    }

    fn width(&self) -> Width {
        Width::of(self.page.columns)
    }

    fn wrapped(&mut self, start: &str, indent: usize, text: &str) {
        let text = self.redactor.mask(&one_line(text));
        self.width().append(&mut self.text, start, indent, &text);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(columns: Option<u16>, has_color: bool) -> String {
        let redactor = Redactor::none();
        let mut writer = Writer {
            text: String::new(),
            page: Page { columns, has_color },
            redactor: &redactor,
        };
        let problem = Problem {
            what: "the certificate of host.example is for another host".into(),
            remedy: String::new(),
        };
        writer.line(&Outcome::Failure(problem.clone()), "api.tls", &problem.what);
        writer.remedy("az aks get-credentials --overwrite-existing");
        writer.text
    }

    #[test]
    fn where_no_terminal_is_words_are_plain_and_lines_are_whole() {
        assert_eq!(
            written(None, false),
            "fail api.tls              the certificate of host.example is for another host\n\
             \x20                         Fix: az aks get-credentials --overwrite-existing\n"
        );
    }

    #[test]
    fn a_narrow_terminal_gets_lines_that_fit() {
        let text = written(Some(40), false);
        assert!(
            text.lines().all(|line| line.chars().count() <= 40),
            "{text}"
        );
        assert!(!text.contains('\u{1b}'), "{text}");
        let words = |text: &str| {
            text.split_whitespace()
                .map(str::to_owned)
                .collect::<Vec<_>>()
        };
        assert_eq!(words(&text)[1..], words(&written(None, false))[1..]);
    }

    #[test]
    fn colours_are_for_terminals_that_have_them() {
        assert!(written(Some(100), true).starts_with("\u{1b}[31m\u{2717}"));
        assert!(written(Some(100), false).starts_with('\u{2717}'));
    }
}
