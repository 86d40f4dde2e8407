//! A unified diff of an edit, without the secrets that a kubeconfig holds.

use std::fmt::Write;
use std::ops::Range;

use super::Kubeconfig;
use super::splice::Cut;
use super::tree::{Node, Pair, Tree, Value};

/// Lines shown around a change.
const CONTEXT: usize = 3;

/// The diff of `cuts` made in `old`, which gave `new`.
pub fn unified(file: &str, old: &Kubeconfig, new: &Kubeconfig, cuts: &[Cut]) -> String {
    let (old, new) = (Lines::of(old), Lines::of(new));
    let mut out = format!("--- {file}\n+++ {file}\n");
    for hunk in hunks(&changes(&old, &new, cuts), old.count()) {
        hunk.print(&old, &new, &mut out);
    }
    out
}

/// A text by lines, and the same with its secrets masked.
struct Lines<'t> {
    text: &'t str,
    /// Where each line begins, and where the text ends.
    starts: Vec<usize>,
    secrets: Vec<Range<usize>>,
}

impl<'t> Lines<'t> {
    fn of(kubeconfig: &Kubeconfig<'t>) -> Self {
        let tree = kubeconfig.tree();
        let text = tree.text();
        let mut starts: Vec<usize> = std::iter::once(0)
            .chain(text.match_indices('\n').map(|(at, _)| at + 1))
            .collect();
        if starts.last() != Some(&text.len()) {
            starts.push(text.len());
        }
        Self {
            text,
            starts,
            secrets: secrets(tree),
        }
    }

    fn count(&self) -> usize {
        self.starts.len() - 1
    }

    /// The line that holds the byte `at`.
    fn number(&self, at: usize) -> usize {
        let after = self.starts.partition_point(|start| *start <= at);
        after.saturating_sub(1).min(self.count().saturating_sub(1))
    }

    fn raw(&self, line: usize) -> &'t str {
        &self.text[self.starts[line]..self.starts[line + 1]]
    }

    fn print(&self, sign: char, line: usize, out: &mut String) {
        let (start, end) = (self.starts[line], self.starts[line + 1]);
        let mut shown = String::new();
        let mut kept = start;
        let first = self.secrets.partition_point(|secret| secret.end <= start);
        for secret in self.secrets[first..]
            .iter()
            .take_while(|secret| secret.start < end)
        {
            shown.push_str(&self.text[kept..secret.start.max(kept)]);
            shown.push_str("[secret]");
            kept = secret.end.min(end);
        }
        shown.push_str(&self.text[kept..end]);
        let shown = shown.trim_end_matches('\n');
        let _ = writeln!(out, "{sign}{shown}");
        if !self.text[start..end].ends_with('\n') {
            out.push_str("\\ No newline at end of file\n");
        }
    }
}

/// Lines of the old text that give way to lines of the new one.
#[derive(Debug, Clone)]
struct Change {
    old: Range<usize>,
    new: Range<usize>,
}

fn changes(old: &Lines, new: &Lines, cuts: &[Cut]) -> Vec<Change> {
    let mut changes: Vec<Change> = Vec::new();
    let mut shift = 0_isize; // how much further the new text is, in bytes
    for cut in cuts {
        let new_start = cut.range.start.saturating_add_signed(shift);
        let new_end = new_start + cut.text.len();
        shift += cut.text.len().cast_signed() - cut.range.len().cast_signed();
        let change = Change {
            old: old.number(cut.range.start)..old.number(cut.range.end) + 1,
            new: new.number(new_start)..new.number(new_end) + 1,
        };
        match changes.last_mut() {
            Some(last) if change.old.start <= last.old.end || change.new.start <= last.new.end => {
                last.old.end = last.old.end.max(change.old.end);
                last.new.end = last.new.end.max(change.new.end);
            }
            _ => changes.push(change),
        }
    }
    for change in &mut changes {
        while !change.old.is_empty()
            && !change.new.is_empty()
            && old.raw(change.old.start) == new.raw(change.new.start)
        {
            change.old.start += 1;
            change.new.start += 1;
        }
        while !change.old.is_empty()
            && !change.new.is_empty()
            && old.raw(change.old.end - 1) == new.raw(change.new.end - 1)
        {
            change.old.end -= 1;
            change.new.end -= 1;
        }
    }
    changes
}

/// Changes that stand so near that they share their context.
struct Hunk {
    changes: Vec<Change>,
    old: Range<usize>,
    new: Range<usize>,
}

fn hunks(changes: &[Change], old_lines: usize) -> Vec<Hunk> {
    let mut hunks: Vec<Hunk> = Vec::new();
    for change in changes {
        let before = change.old.start.min(CONTEXT);
        let after = (old_lines - change.old.end).min(CONTEXT);
        match hunks.last_mut() {
            Some(last) if change.old.start - before <= last.old.end => {
                last.old.end = change.old.end + after;
                last.new.end = change.new.end + after;
                last.changes.push(change.clone());
            }
            _ => hunks.push(Hunk {
                changes: vec![change.clone()],
                old: change.old.start - before..change.old.end + after,
                new: change.new.start - before..change.new.end + after,
            }),
        }
    }
    hunks
}

impl Hunk {
    fn print(&self, old: &Lines, new: &Lines, out: &mut String) {
        let range = |range: &Range<usize>| {
            let first = if range.is_empty() {
                range.start
            } else {
                range.start + 1
            };
            format!("{first},{}", range.len())
        };
        let _ = writeln!(out, "@@ -{} +{} @@", range(&self.old), range(&self.new));
        let mut next = self.old.start;
        for change in &self.changes {
            for line in next..change.old.start {
                old.print(' ', line, out);
            }
            for line in change.old.clone() {
                old.print('-', line, out);
            }
            for line in change.new.clone() {
                new.print('+', line, out);
            }
            next = change.old.end;
        }
        for line in next..self.old.end {
            old.print(' ', line, out);
        }
    }
}

/// Keys of a kubeconfig whose values are secrets.
const SECRET_KEYS: &[&str] = &[
    "token",
    "access-token",
    "refresh-token",
    "id-token",
    "password",
    "client-key-data",
    "client-secret",
    "cookie",
];
/// Parts of the names of variables that hold secrets.
const SECRET_NAMES: &[&str] = &["SECRET", "PASSWORD", "TOKEN", "KEY"];

/// What the flags end in that a secret follows, ours and those of other tools.
const SECRET_FLAGS: &[&str] = &["secret", "password", "token", "key"];

/// The bytes that must not be shown, in order.
fn secrets(tree: &Tree) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    let mut to_visit: Vec<&Node> = tree.documents().iter().collect();
    while let Some(node) = to_visit.pop() {
        match &node.value {
            Value::Map(_, pairs) => {
                found.extend(
                    pairs
                        .iter()
                        .filter(|pair| is_secret(tree, pair, pairs))
                        .map(|pair| tree.resolve(&pair.value).range()),
                );
                to_visit.extend(pairs.iter().map(|pair| &pair.value));
            }
            Value::List(_, items) => {
                found.extend(secret_arguments(tree, items));
                to_visit.extend(items);
            }
            Value::Scalar(_) | Value::Alias(_) => {}
        }
    }
    found.sort_by_key(|range| range.start);
    found.dedup();
    found
}

fn is_secret(tree: &Tree, pair: &Pair, pairs: &[Pair]) -> bool {
    let text = |node: &Node| match &tree.resolve(node).value {
        Value::Scalar(scalar) => Some(scalar.text.to_ascii_uppercase()),
        _ => None,
    };
    let key = text(&pair.key).unwrap_or_default();
    let is_variable = key == "VALUE"
        && pairs.iter().any(|other| {
            let name = text(&other.value).unwrap_or_default();
            text(&other.key).is_some_and(|key| key == "NAME")
                && SECRET_NAMES.iter().any(|part| name.contains(part))
        });
    text(&pair.value).is_some()
        && (is_variable
            || SECRET_KEYS
                .iter()
                .any(|secret| key.eq_ignore_ascii_case(secret)))
}

fn is_secret_flag(word: &str) -> bool {
    word.starts_with("--") && SECRET_FLAGS.iter().any(|end| word.ends_with(end))
}

fn secret_arguments(tree: &Tree, items: &[Node]) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    let mut follows = false;
    for item in items {
        let item = tree.resolve(item);
        let Value::Scalar(scalar) = &item.value else {
            continue;
        };
        let joined = scalar
            .text
            .split_once('=')
            .is_some_and(|(flag, _)| is_secret_flag(flag));
        if follows || joined {
            found.push(item.range());
        }
        follows = !follows && is_secret_flag(&scalar.text);
    }
    found
}
