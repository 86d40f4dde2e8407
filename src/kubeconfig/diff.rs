//! The unified diff of a kubeconfig and its new text, without the secrets that they hold.

use std::collections::HashSet;

use similar::TextDiff;

use super::Kubeconfig;
use super::secrets::{masked, secrets};

/// The diff. A secret that is not in the old text is shown as a new one, so that its line counts as changed.
pub fn unified(file: &str, old: &Kubeconfig, new: &Kubeconfig) -> String {
    let known: HashSet<&str> = secrets(old.tree())
        .into_iter()
        .map(|secret| &old.tree().text()[secret])
        .collect();
    let old = masked(old.tree(), |_| "[secret]");
    let new = masked(new.tree(), |secret| match known.contains(secret) {
        true => "[secret]",
        false => "[new secret]",
    });
    // Myers' algorithm, unlike the others of `similar`, stays linear when each of 10,000 users changes.
    let diff = TextDiff::from_lines(&old, &new);
    diff.unified_diff().header(file, file).to_string()
}
