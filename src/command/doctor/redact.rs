//! `--redact`: masks names, IDs and hosts, the same value always with the same mask.

use std::cell::RefCell;

use super::case::Case;
use crate::command::subject::Subject;
use crate::entra::access_token::claims::Claims;
use crate::entra::cloud::is_host_of_microsoft;
use crate::flag::Flag;
use crate::token::is_guid;

/// Hosts that are not specific to a user, in addition to Microsoft's token issuers.
const PUBLIC: &[&str] = &["management.azure.com", "169.254.169.254"];

pub struct Redactor {
    is_on: bool,
    /// Kind and value; the mask is the kind and a number.
    known: RefCell<Vec<(&'static str, String)>>,
}

/// The flags whose values identify a user or an organisation.
const IDS: &[Flag] = &[
    Flag::TenantId,
    Flag::ClientId,
    Flag::ServerId,
    Flag::Username,
    Flag::LoginHint,
    Flag::Subscription,
];

/// The claims that do, too.
const CLAIMS: &[&str] = &[
    "upn",
    "unique_name",
    "preferred_username",
    "name",
    "oid",
    "tid",
    "xms_mirid",
];

impl Redactor {
    /// Masks nothing.
    pub fn none() -> Self {
        Self {
            is_on: false,
            known: RefCell::default(),
        }
    }

    /// Knows the names in this case.
    pub fn of(case: &Case) -> Self {
        let redactor = Self {
            is_on: true,
            known: RefCell::default(),
        };
        let add = |kind, value: Option<&str>| redactor.add(kind, value);
        for entry in case
            .kubeconfig()
            .into_iter()
            .flat_map(|contexts| &contexts.contexts)
        {
            add("context", Some(&entry.name));
            add("cluster", entry.cluster.as_deref());
            add("user", entry.user.as_deref());
        }
        add("host", case.server().and_then(|server| server.uri().host()));
        for home in [case.env.home().cloned(), case.env.user_home()]
            .into_iter()
            .flatten()
        {
            add("home", home.to_str());
        }
        for value in case.subject().map(Subject::values).unwrap_or_default() {
            let is_id = IDS.iter().any(|flag| flag.typed() == value.flag);
            add("id", Some(value.value.as_str()).filter(|_| is_id));
        }
        if let Some(Ok(Some(details))) = &case.arm {
            add("group", Some(&details.id.group));
            add("cluster", Some(&details.id.name));
            add("id", Some(&details.id.subscription));
            for range in &details.authorized_ranges {
                add("host", Some(range));
            }
        }
        for token in case.health.iter().flat_map(|health| &health.remembered) {
            add(
                "id",
                Claims::read(&token.access_token).as_ref().map(Claims::name),
            );
        }
        let claims = case.fetched().and_then(|fetched| fetched.claims.as_ref());
        for name in CLAIMS {
            add("id", claims.and_then(|claims| claims.text(name)));
        }
        redactor
    }

    fn add(&self, kind: &'static str, value: Option<&str>) {
        let is_public = |value| PUBLIC.contains(&value) || is_host_of_microsoft(value);
        let Some(value) = value.filter(|value| value.len() > 1 && !is_public(value)) else {
            return;
        };
        let mut known = self.known.borrow_mut();
        if !known.iter().any(|(_, other)| other == value) {
            known.push((kind, value.to_owned()));
        }
    }

    /// The text with every known value masked, and everything that looks like an ID, a user name or a host.
    pub fn mask(&self, text: &str) -> String {
        if !self.is_on {
            return text.to_owned();
        }
        for word in text.split(|c: char| c.is_whitespace() || "\"'(),;=".contains(c)) {
            let word = word.trim_end_matches(['.', ':']);
            if let Some((kind, value)) = telling(word) {
                self.add(kind, Some(value));
            }
        }
        let known = self.known.borrow();
        let mut order: Vec<usize> = (0..known.len()).collect();
        // Longer values first: one may contain another.
        order.sort_by_key(|number| std::cmp::Reverse(known[*number].1.len()));
        let mut masked = text.to_owned();
        for number in order {
            let (kind, value) = &known[number];
            if masked.contains(value.as_str()) {
                let rank = known[..=number]
                    .iter()
                    .filter(|(other, _)| other == kind)
                    .count();
                masked = replace_words(&masked, value, &format!("<{kind}-{rank}>"));
            }
        }
        masked
    }
}

/// Replaces `value` as a whole word: not inside a longer word or a mask.
fn replace_words(text: &str, value: &str, mask: &str) -> String {
    let is_word = |c: char| c.is_alphanumeric() || c == '<' || c == '>' || c == '-';
    let mut result = String::new();
    let mut rest = text;
    while let Some(at) = rest.find(value) {
        let (before, after) = (&rest[..at], &rest[at + value.len()..]);
        let left = before
            .chars()
            .next_back()
            .or_else(|| result.chars().next_back());
        let is_inside = left.is_some_and(is_word) || after.chars().next().is_some_and(is_word);
        result.push_str(before);
        result.push_str(if is_inside { value } else { mask });
        rest = after;
    }
    result + rest
}

/// What a word reveals.
fn telling(word: &str) -> Option<(&'static str, &str)> {
    if is_guid(word) {
        return Some(("id", word));
    }
    if let Some((_, rest)) = word.split_once("://") {
        let host = rest.split(['/', ':', '?']).next().unwrap_or_default();
        let host = host.rsplit('@').next().unwrap_or_default();
        return (!host.is_empty()).then_some(("host", host));
    }
    if word.contains('@') && word.contains('.') {
        return Some(("id", word));
    }
    let host = word.rsplit_once(':').map_or(word, |(host, _)| host);
    if host.parse::<std::net::IpAddr>().is_ok() {
        return Some(("host", host));
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn redactor(known: &[(&'static str, &str)]) -> Redactor {
        let redactor = Redactor {
            is_on: true,
            known: RefCell::default(),
        };
        for (kind, value) in known {
            redactor.add(kind, Some(value));
        }
        redactor
    }

    #[test]
    fn the_same_value_always_has_the_same_mask() {
        let redactor = redactor(&[("context", "prod"), ("host", "prod.example")]);
        let id = "11111111-aaaa-4aaa-8aaa-111111111111";
        let text = format!("context \"prod\" at https://prod.example:443 and {id}, {id}");
        let masked = redactor.mask(&text);
        assert_eq!(
            masked,
            "context \"<context-1>\" at https://<host-1>:443 and <id-1>, <id-1>"
        );
        assert_eq!(redactor.mask("alice@contoso.example"), "<id-2>");
        assert_eq!(redactor.mask(id), "<id-1>");
        assert_eq!(
            redactor.mask("10.0.0.1:443 of 10.0.0.1"),
            "<host-2>:443 of <host-2>"
        );
    }

    #[test]
    fn words_that_only_hold_a_value_are_left_alone() {
        let redactor = redactor(&[("user", "con")]);
        assert_eq!(
            redactor.mask("context con, connection"),
            "context <user-1>, connection"
        );
        for host in ["login.microsoftonline.com", "login.sovcloud-identity.fr"] {
            let url = format!("https://{host}/x");
            assert_eq!(redactor.mask(&url), url);
        }
    }

    #[test]
    fn without_the_flag_nothing_is_masked() {
        assert_eq!(
            Redactor::none().mask("alice@contoso.example"),
            "alice@contoso.example"
        );
    }
}
