//! Which values in a kubeconfig are secrets: tokens, keys and passwords, at any depth, of any tool.

use std::ops::Range;

use super::tree::{Node, Pair, Tree, Value};

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
/// What the names of variables contain that hold secrets.
const SECRET_NAMES: &[&str] = &["SECRET", "PASSWORD", "TOKEN", "KEY"];

/// How the flags end that take a secret, ours and those of other tools.
const SECRET_FLAGS: &[&str] = &["secret", "password", "token", "key"];

/// The text of a kubeconfig with each secret replaced by what `mask` makes of it. Lines stay lines.
pub fn masked(tree: &Tree, mask: impl Fn(&str) -> &'static str) -> String {
    let text = tree.text();
    let mut shown = String::with_capacity(text.len());
    let mut kept = 0;
    for secret in secrets(tree) {
        shown.push_str(&text[kept..secret.start]);
        kept = secret.end;
        let secret = &text[secret];
        let lines = secret.split('\n').map(|_| mask(secret));
        shown.push_str(&lines.collect::<Vec<_>>().join("\n"));
    }
    shown.push_str(&text[kept..]);
    shown
}

/// The bytes that must not be shown, in the order of the file.
pub fn secrets(tree: &Tree) -> Vec<Range<usize>> {
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
