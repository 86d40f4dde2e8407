//! Random kubeconfigs in random styles.

use std::ops::Range;

use proptest::prelude::*;

use super::*;
use crate::kubeconfig::tree::{Node, Tree, Value};

/// How many random kubeconfigs a property sees; PROPERTY_CASES asks for more.
fn cases() -> ProptestConfig {
    #[expect(clippy::disallowed_methods, reason = "the tests' own variable")]
    let cases = std::env::var("PROPERTY_CASES").ok();
    let cases = cases.map_or(300, |cases| {
        cases.parse().expect("PROPERTY_CASES is a number")
    });
    ProptestConfig {
        failure_persistence: None,
        ..ProptestConfig::with_cases(cases)
    }
}

/// A random kubeconfig in a random style: parts to convert, with parts to leave alone around them.
#[derive(Debug, Clone)]
struct Random {
    /// Spaces that lists are indented by.
    list: usize,
    step: usize,
    eol: &'static str,
    starts_with_bom: bool,
    ends_with_newline: bool,
    users: Vec<RandomUser>,
    comments: Vec<String>,
}

#[derive(Debug, Clone)]
struct RandomUser {
    name: String,
    login: usize,
    tenant: String,
    user_first: bool,
    comment: String,
}

fn random_text() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-z0-9.-]{1,12}",
        "[ -~]{0,12}",
        "[a-zé世😀#:'\"\\\\{}\\[\\],&*!|>%@` -]{1,8}"
    ]
}

fn random_user() -> impl Strategy<Value = RandomUser> {
    (
        random_text(),
        0..LOGINS.len(),
        random_text(),
        any::<bool>(),
        "( # [ -~é]{0,10})?",
    )
        .prop_map(|(name, login, tenant, user_first, comment)| RandomUser {
            name,
            login,
            tenant: format!("t{tenant}"),
            user_first,
            comment,
        })
}

fn random_kubeconfig() -> impl Strategy<Value = Random> {
    (
        0..5_usize,
        2..6_usize,
        prop_oneof![Just("\n"), Just("\r\n")],
        any::<bool>(),
        any::<bool>(),
        prop::collection::vec(random_user(), 0..6),
        prop::collection::vec("#[ -~é]{0,20}", 4),
    )
        .prop_map(
            |(list, step, eol, starts_with_bom, ends_with_newline, users, comments)| Random {
                list,
                step,
                eol,
                starts_with_bom,
                ends_with_newline,
                users,
                comments,
            },
        )
}

/// Logins by indentation (`~` is one step more than the key `user`), in brackets, and of other tools. T is the tenant.
const LOGINS: &[&str] = &[
    "auth-provider:\n~config:\n~~apiserver-id: s\n~~client-id: c\n\n~~# inside\n~~tenant-id: T\n~name: azure",
    "{\"auth-provider\": {\"config\": {\"apiserver-id\": \"s\", \"client-id\": \"c\", \"tenant-id\": T}, \"name\": \"azure\"}}",
    "exec:\n~command: kubelogin # mine\n~args:\n~- get-token\n~- --server-id=s\n~- --client-id\n~- c\n~- -t\n~- T\n~env: null",
    "exec:\n~args: [get-token, --server-id, s, --client-id, c, -t, T]\n~installHint: |-\n~~two\n\n~~lines\n~command: 'kubelogin'",
    "{exec: {command: /a/kubelogin, args: [get-token, --server-id, s, --client-id, c, --tenant-id, T]}}",
    "exec:\n~command: >-\n~~kubelogin\n\n~args: # told\n~- |-\n~~get-token\n~- --server-id\n~- &s s\n~- --client-id\n~- c\n~- -t\n~- T\n~installHint: |2-",
    "exec:\n~command: aws\n~args:\n~- get-token\n~- T",
    "token: T",
    "{}",
];
/// The logins above that are not ours.
const FIRST_OTHER: usize = 6;

impl Random {
    fn text(&self) -> String {
        let mut lines = vec![
            self.comments[0].clone(),
            "kind: Config".into(),
            "users:".into(),
        ];
        for (number, user) in self.users.iter().enumerate() {
            self.push_user(number, user, &mut lines);
        }
        if self.users.is_empty() {
            lines[2] = "users: []".into();
        }
        lines.extend([
            self.comments[2].clone(),
            "x-extra:".into(),
            "- {a: [b, 'c']}".into(),
            self.comments[3].clone(),
        ]);
        let mut text = if self.starts_with_bom { "\u{feff}" } else { "" }.to_owned();
        text += &lines.join("\n").replace('\n', self.eol);
        if self.ends_with_newline {
            text += self.eol;
        }
        text
    }

    fn push_user(&self, number: usize, user: &RandomUser, lines: &mut Vec<String>) {
        let dash = " ".repeat(self.list);
        let key = " ".repeat(self.list + 2);
        let name = format!(
            "name: {}{}",
            crate::kubeconfig::write::quoted(&format!("{number}{}", user.name)),
            user.comment
        );
        let login =
            LOGINS[user.login].replace('T', &crate::kubeconfig::write::quoted(&user.tenant));
        let login = if login.starts_with('{') {
            format!("user: {login}")
        } else {
            let mut text = format!("user:{}", user.comment);
            for line in login.lines() {
                let steps = line.chars().take_while(|c| *c == '~').count();
                let indent = " ".repeat(key.len() + self.step * (steps + 1));
                text += &if line.is_empty() {
                    "\n".to_owned()
                } else {
                    format!("\n{indent}{}", &line[steps..])
                };
            }
            text
        };
        let (first, second) = if user.user_first {
            (login, name)
        } else {
            (name, login)
        };
        lines.push(format!("{dash}- {first}"));
        lines.push(self.comments[1].clone());
        lines.push(format!("{key}{second}"));
        lines.push(String::new());
    }
}

/// What kubectl reads, without what a conversion changes.
fn meaning(text: &str) -> String {
    let kubeconfig = Kubeconfig::parse("config", text).expect("parsed");
    let mut out = String::new();
    for document in kubeconfig.tree().documents() {
        describe(kubeconfig.tree(), document, &mut out);
    }
    out
}

fn describe(tree: &Tree, node: &Node, out: &mut String) {
    match &tree.resolve(node).value {
        Value::Scalar(scalar) => out.push_str(&format!("{:?} {}", scalar.text, scalar.is_text())),
        Value::List(_, items) => items.iter().for_each(|item| {
            out.push_str("- ");
            describe(tree, item, out);
        }),
        Value::Map(_, pairs) => {
            let key = |node: &Node| {
                tree.text()[node.range()]
                    .trim_matches(['"', '\''])
                    .to_owned()
            };
            let is_ours = pairs.iter().any(|pair| {
                key(&pair.key) == "command" && tree.text()[pair.value.range()].contains("kubelogin")
            });
            for pair in pairs.iter().filter(|pair| {
                let key = key(&pair.key);
                key != "auth-provider"
                    && !(is_ours
                        && ["args", "command", "apiVersion", "installHint"].contains(&key.as_str()))
            }) {
                let mut value = String::new();
                describe(tree, &pair.value, &mut value);
                // An auth-provider becomes an exec entry, so our own exec entry without extra keys counts as none.
                if key(&pair.key) != "exec"
                    || !(value.is_empty()
                        || value == "env=\"~\" true;"
                        || value.contains("provideClusterInfo"))
                {
                    out.push_str(&format!("{}={value};", key(&pair.key)));
                }
            }
        }
        Value::Alias(_) => out.push('*'),
    }
}

/// True if `converted` is `text` but for the blocks, which are in the order of the file.
fn keeps_what_is_outside(text: &str, blocks: &[Range<usize>], converted: &str) -> bool {
    let mut kept = 0;
    let mut rest = converted;
    for block in blocks {
        let before = &text[kept..block.start];
        let found = if kept == 0 {
            rest.strip_prefix(before)
        } else {
            rest.split_once(before).map(|(_, rest)| rest)
        };
        let Some(after) = found else { return false };
        (kept, rest) = (block.end, after);
    }
    match blocks.is_empty() {
        true => rest == text,
        false => rest.ends_with(&text[kept..]),
    }
}

proptest! {
    #![proptest_config(cases())]

    #[test]
    fn bytes_outside_the_converted_users_and_the_meaning_of_all_else_stay(random in random_kubeconfig(), mode in 0..LoginMode::all().len()) {
        let text = random.text();
        let args = ["-l", &LoginMode::all()[mode].to_string()];
        let (texts, plan) = convert_files(&[&text], &args).unwrap_or_else(|error| panic!("{error}\n{text}"));
        let converted = &texts[0];
        let ours = random.users.iter().filter(|user| user.login < FIRST_OTHER).count();
        prop_assert_eq!(plan.report.converted.len(), ours, "{}", converted);
        // Only the blocks of users that are ours change.
        let kubeconfig = Kubeconfig::parse("config", &text).expect("parsed");
        let blocks: Vec<_> = kubeconfig.users().expect("users").iter().zip(&random.users)
            .filter(|(_, user)| user.login < FIRST_OTHER).map(|(user, _)| user.block()).collect();
        prop_assert!(keeps_what_is_outside(&text, &blocks, converted), "{}\n=>\n{}", text, converted);
        prop_assert_eq!(meaning(converted), meaning(&text), "{}\n=>\n{}", text, converted);
        prop_assert_eq!(converted.ends_with('\n'), text.ends_with('\n'));
        prop_assert_eq!(converted.matches('\n').count() == converted.matches("\r\n").count(), random.eol == "\r\n" );
        let (_, again) = convert_files(&[converted], &args).unwrap_or_else(|error| panic!("{error}\n{converted}"));
        prop_assert!(again.changes.is_empty(), "{}\n=>\n{}", converted, again.changes[0].text);
        // Old tenants come out as they went in.
        if LoginMode::all()[mode] == LoginMode::Spn {
            let tenants: Vec<_> = random.users.iter().filter(|user| user.login < FIRST_OTHER).map(|user| user.tenant.clone()).collect();
            let written: Vec<_> = args_of(converted).into_iter().filter(|args| args.contains(&"--login".into())).map(|args| args[8].clone()).collect();
            prop_assert_eq!(written, tenants);
        }
    }
}
