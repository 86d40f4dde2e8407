//! Which values in a kubeconfig are secrets: tokens, keys and passwords, at any depth, of any tool.

use std::collections::HashSet;
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
/// Parts of the names of variables that contain secrets.
const SECRET_NAMES: &[&str] = &[
    "SECRET",
    "PASSWORD",
    "PASSWD",
    "PASSPHRASE",
    "PWD",
    "TOKEN",
    "KEY",
    "CREDENTIAL",
    "CONNECTION_STRING",
    "CONNECTIONSTRING",
    "CONN_STR",
];
/// Endings of flags that take a secret, ours and other tools'.
const SECRET_FLAGS: &[&str] = &[
    "secret",
    "password",
    "passwd",
    "passphrase",
    "token",
    "key",
    "credential",
    "credentials",
    "connection-string",
];
/// Beginnings of the secret parts of connection strings and addresses.
const SECRET_PARTS: &[&str] = &[
    "password=",
    "pwd=",
    "accountkey=",
    "sharedaccesskey=",
    "sharedaccesssignature=",
    "clientsecret=",
    "client_secret=",
    "access_token=",
    "sig=",
];

/// The text of a kubeconfig with each secret replaced by `mask`'s result. Line breaks stay.
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

/// The bytes that must not be shown, in the order of the file: values with the name of a secret, values that look like
/// one, and every other occurrence of these values.
pub fn secrets(tree: &Tree) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    let mut scalars = Vec::new();
    let mut to_visit: Vec<&Node> = tree.documents().iter().collect();
    while let Some(node) = to_visit.pop() {
        match &node.value {
            Value::Map(_, pairs) => {
                found.extend(secret_values(tree, pairs));
                to_visit.extend(pairs.iter().map(|pair| &pair.value));
            }
            Value::List(_, items) => {
                found.extend(secret_arguments(tree, items));
                to_visit.extend(items);
            }
            Value::Scalar(scalar) => scalars.push((node, &*scalar.text)),
            Value::Alias(_) => {}
        }
    }
    let known = known_values(&found, &scalars);
    let others = scalars
        .into_iter()
        .filter(|(_, text)| looks_secret(text) || parts(text).any(|part| known.contains(part)));
    found.extend(others.map(|(node, _)| node.range()));
    found.sort_by_key(|range| range.start);
    found.dedup();
    found
}

/// The values of secrets found by name, without common words.
fn known_values<'n>(found: &[Range<usize>], scalars: &[(&Node, &'n str)]) -> HashSet<&'n str> {
    /// Shorter ones are words such as `true` and `none`, and would mask half of the file.
    const SHORTEST: usize = 6;
    let starts: HashSet<usize> = found.iter().map(|range| range.start).collect();
    let secrets = scalars
        .iter()
        .filter(|(node, _)| starts.contains(&node.start()));
    secrets
        .map(|(_, text)| {
            text.split_once('=')
                .filter(|(flag, _)| is_secret_flag(flag))
                .map_or(*text, |(_, value)| value)
        })
        .filter(|value| value.len() >= SHORTEST)
        .collect()
}

/// A text, the part after its first `=`, and its words.
fn parts(text: &str) -> impl Iterator<Item = &str> {
    let behind = text.split_once('=').map(|(_, value)| value);
    let words = text.split([' ', '\n', '\t', ';', ',', '&']);
    std::iter::once(text).chain(behind).chain(words)
}

/// True for a token, a private key, an address with a password, a connection string or a client secret of Entra ID, whatever
/// its name.
fn looks_secret(text: &str) -> bool {
    let lower = text.to_ascii_lowercase();
    let is_token = text.contains("eyJ") && text.contains('.');
    let has_part = lower
        .split([';', '&', '?', ' ', '"', '\''])
        .any(|part| SECRET_PARTS.iter().any(|start| part.starts_with(start)));
    let has_password = lower.split("://").skip(1).any(|rest| {
        let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
        authority
            .rsplit_once('@')
            .is_some_and(|(user, _)| user.contains(':'))
    });
    // Entra ID's client secrets: three characters, a digit, `Q~` and 34 more.
    let is_client_secret = text.split_once("Q~").is_some_and(|(start, rest)| {
        start.ends_with(|c: char| c.is_ascii_digit()) && rest.len() >= 30
    });
    is_token || has_part || has_password || is_client_secret || text.contains("PRIVATE KEY-----")
}

fn scalar_text(tree: &Tree, node: &Node) -> Option<String> {
    match &tree.resolve(node).value {
        Value::Scalar(scalar) => Some(scalar.text.to_ascii_uppercase()),
        _ => None,
    }
}

fn secret_values(tree: &Tree, pairs: &[Pair]) -> Vec<Range<usize>> {
    let is_secret_variable = pairs.iter().any(|pair| {
        scalar_text(tree, &pair.key).is_some_and(|key| key == "NAME")
            && scalar_text(tree, &pair.value)
                .is_some_and(|name| SECRET_NAMES.iter().any(|part| name.contains(part)))
    });
    let is_secret = |pair: &&Pair| {
        let key = scalar_text(tree, &pair.key).unwrap_or_default();
        let is_scalar = matches!(tree.resolve(&pair.value).value, Value::Scalar(_));
        let has_secret_key = SECRET_KEYS
            .iter()
            .any(|secret| key.eq_ignore_ascii_case(secret));
        is_scalar && (has_secret_key || key == "VALUE" && is_secret_variable)
    };
    let secret = pairs.iter().filter(is_secret);
    secret
        .map(|pair| tree.resolve(&pair.value).range())
        .collect()
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

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> String {
        let tree = Tree::parse("config", text).expect("YAML");
        masked(&tree, |_| "[secret]")
    }

    #[test]
    fn a_secret_is_hidden_by_its_name_by_its_value_and_wherever_it_stands_again() {
        for text in [
            "env:\n- {name: DB_PASSWD, value: hunter2}\n",
            "env:\n- {name: GIT_CREDENTIALS, value: hunter2}\n",
            "env:\n- {name: CONNECTION_STRING, value: hunter2}\n",
            "env:\n- {name: X, value: 'Server=db;Password=hunter2;Encrypt=true'}\n",
            "env:\n- {name: X, value: 'DefaultEndpointsProtocol=https;AccountKey=hunter2=='}\n",
            "env:\n- {name: HTTPS_PROXY, value: 'http://me:hunter2@proxy:3128/'}\n",
            "url: 'https://x.blob.example/c?sv=1&sig=hunter2'\n",
            "a: eyJhbGciOiJub25lIn0.hunter2.x\n",
            "a: abc8Q~hunter2hunter2hunter2hunter2hunter2x\n",
            "a: |\n  -----BEGIN PRIVATE KEY-----\n  hunter2\n",
            "users:\n- name: a\n  user: {token: hunter2}\nextra: [hunter2, 'x=hunter2', --foo=hunter2]\n",
            "args: [--db-passwd, hunter2, --connection-string=hunter2]\n",
            "args: [--client-secret=hunter2, and, hunter2]\n",
        ] {
            let shown = shown(text);
            assert!(
                !shown.contains("hunter2") && shown.contains("[secret]"),
                "{shown}"
            );
        }
    }

    #[test]
    fn what_is_no_secret_is_shown() {
        for text in [
            "env:\n- {name: AZURE_AUTHORITY_HOST, value: 'https://login.example/'}\n",
            "clusters:\n- cluster: {server: 'https://c.example:443', certificate-authority-data: TUlJQ1k=}\n  name: c\n",
            "args: [get-token, --server-id, 6dae42f8-4368-4678-94ff-3960e28e3630, --legacy=true]\n",
            "users:\n- name: a\n  user: {exec: {command: kubelogin, env: null, provideClusterInfo: false}}\n",
        ] {
            assert_eq!(shown(text), text);
        }
        let short = shown("user: {password: none}\nother: none\n");
        assert!(short.contains("other: none"), "{short}");
    }
}
