use std::fmt::Write as _;

use serde_json::{Value as Json, json};

use super::*;
use crate::kubeconfig::tree::{Node, Tree, Value};

const ID: &str = "/subscriptions/s/resourceGroups/shop/providers/Microsoft.ContainerService/managedClusters/prod";

/// A cluster with its server, as Azure makes its kubeconfig and kubelogin converts it.
fn addition_of(name: &str, id: &str, server: &str) -> Addition {
    let text = format!(
        "apiVersion: v1\nclusters:\n- cluster: {{certificate-authority-data: YQ==, server: \"{server}\"}}\n  name: {name}\n\
         contexts:\n- context: {{cluster: {name}, user: u_{name}}}\n  name: {name}\nkind: Config\nusers:\n- name: u_{name}\n  user:\n    \
         exec:\n      apiVersion: client.authentication.k8s.io/v1beta1\n      command: kubelogin\n      args: [get-token, --login, spn]\n      installHint: Install it.\n"
    );
    Addition {
        fetched: Fetched::read(&text).expect("a kubeconfig"),
        origin: Origin {
            resource_id: id.to_owned(),
            tenant_id: Some("t".to_owned()),
            environment: "AzurePublicCloud".to_owned(),
        },
    }
}

fn addition(name: &str) -> Addition {
    let id = ID.replace("prod", name);
    addition_of(name, &id, &format!("https://{name}.example:443"))
}

/// The text after a merge, and what became of each addition.
fn merged_with(
    text: &str,
    additions: &[Addition],
    others: Others,
) -> (String, Vec<Result<Outcome, String>>) {
    let file = Kubeconfig::parse("config", text).expect("parsed");
    let current = additions[0].fetched.context.clone();
    let merged = merge(&[file], 0, additions, others, Some(&current));
    let merged = merged.unwrap_or_else(|error| panic!("{error}\n{text}"));
    let mut changes = merged.changes.into_iter();
    let text = changes.next().map_or(text.to_owned(), |change| change.text);
    Kubeconfig::parse("merged", &text)
        .and_then(|kubeconfig| kubeconfig.users().map(|_| ()))
        .unwrap_or_else(|error| panic!("{error}\n{text}"));
    let outcomes = merged.outcomes.into_iter();
    (
        text,
        outcomes
            .map(|outcome| outcome.map_err(|error| error.to_string()))
            .collect(),
    )
}

#[track_caller]
fn merged(text: &str, additions: &[Addition]) -> String {
    let (text, outcomes) = merged_with(text, additions, Others::Keep);
    assert!(outcomes.iter().all(Result::is_ok), "{outcomes:?}");
    text
}

/// A file's meaning: its first document, parsed.
fn meaning(text: &str) -> Json {
    let tree = Tree::parse("config", text).expect("YAML");
    tree.documents()
        .first()
        .map_or(Json::Null, |node| meaning_of(&tree, node))
}

fn meaning_of(tree: &Tree, node: &Node) -> Json {
    let node = tree.resolve(node);
    match &node.value {
        _ if node.is_null() => Json::Null,
        Value::Scalar(scalar) => json!(scalar.text),
        Value::List(_, items) => items.iter().map(|item| meaning_of(tree, item)).collect(),
        Value::Map(_, pairs) => {
            let pairs = pairs.iter().map(|pair| {
                let key = meaning_of(tree, &pair.key);
                (
                    key.as_str().unwrap_or_default().to_owned(),
                    meaning_of(tree, &pair.value),
                )
            });
            Json::Object(pairs.collect())
        }
        Value::Alias(_) => panic!("resolved"),
    }
}

fn entry<'j>(meaning: &'j Json, list: &str, name: &str) -> &'j Json {
    let items = meaning[list].as_array().expect("a list");
    let item = items.iter().find(|item| item["name"] == name);
    item.unwrap_or_else(|| panic!("no {name} in {list}: {meaning:#}"))
}

/// Checks that the addition is there, and that nothing else in the file has changed its meaning.
#[track_caller]
fn check_added(old: &str, new: &str, name: &str) {
    let (mut before, mut after) = (meaning(old), meaning(new));
    assert_eq!(after["current-context"], name, "{new}");
    let cluster = entry(&after, "clusters", name)["cluster"].clone();
    assert_eq!(cluster["server"], format!("https://{name}.example:443"));
    assert_eq!(
        cluster["extensions"][0]["extension"]["resourceID"],
        ID.replace("prod", name)
    );
    assert_eq!(entry(&after, "contexts", name)["context"]["cluster"], name);
    let user = format!("u_{name}");
    let args = &entry(&after, "users", &user)["user"]["exec"]["args"];
    assert_eq!(*args, json!(["get-token", "--login", "spn"]));
    for list in ["clusters", "contexts", "users"] {
        after[list].as_array_mut().expect("a list").pop();
        let items = after[list].as_array().cloned().unwrap_or_default();
        let old = before[list].as_array().cloned().unwrap_or_default();
        assert_eq!(items, old, "{list} of {new}");
    }
    for value in [&mut before, &mut after] {
        if let Some(map) = value.as_object_mut() {
            for key in ["clusters", "contexts", "users", "current-context"] {
                map.remove(key);
            }
        }
    }
    if before.as_object().is_some_and(|map| !map.is_empty()) {
        assert_eq!(before, after, "{new}");
    }
}

#[test]
fn a_new_file_is_written_as_kubectl_writes_one() {
    assert_eq!(
        merged("", &[addition("prod")]),
        format!(
            "apiVersion: v1\nclusters:\n- cluster:\n    certificate-authority-data: YQ==\n    extensions:\n    - extension:\n        environment: AzurePublicCloud\n        \
             resourceID: {ID}\n        tenantID: t\n      name: kubelogin.azure\n    server: https://prod.example:443\n  name: prod\n\
             contexts:\n- context:\n    cluster: prod\n    user: u_prod\n  name: prod\ncurrent-context: prod\nkind: Config\npreferences: {{}}\n\
             users:\n- name: u_prod\n  user:\n    exec:\n      apiVersion: client.authentication.k8s.io/v1beta1\n      args:\n      - get-token\n      - --login\n      - spn\n      \
             command: kubelogin\n      env: null\n      installHint: \"Install it.\"\n      provideClusterInfo: false\n"
        )
    );
}

/// All kinds of kubeconfigs, the ones that `convert-kubeconfig` is tested with.
fn fixtures() -> Vec<(String, String)> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/kubeconfig");
    let folders = std::fs::read_dir(folder).expect("fixtures");
    let read = |entry: std::io::Result<std::fs::DirEntry>| {
        let path = entry.expect("a folder").path();
        let text = std::fs::read_to_string(path.join("before.yaml")).expect("a kubeconfig");
        (path.display().to_string(), text)
    };
    folders.map(read).collect()
}

#[test]
fn every_byte_of_any_kubeconfig_stays_and_a_second_merge_changes_nothing() {
    let small = [
        "{}",
        "{}\n",
        "# mine\n",
        "# mine",
        "---\n# mine\n",
        "null\n",
        "apiVersion: v1\nkind: Config\n",
        "apiVersion: v1\nkind: Config\nclusters:\ncontexts: null\nusers: []\ncurrent-context: \"\"\n",
        "clusters: []\ncontexts: []\ncurrent-context: ''\nkind: Config\npreferences: {}\nusers: []\n",
        "apiVersion: v1\r\nkind: Config\r\nusers: # none\r\n",
        "{\"apiVersion\": \"v1\", \"clusters\": null, \"contexts\": [], \"kind\": \"Config\"}",
        "users:\n  - name: a # the last\n    user: {}\n  # a remark\n",
        "users: [{name: a, user: {}}]\n",
        "users:\n- user:\n    token: |\n      x\n\n  name: a\n\n# end\n",
    ];
    let small = small.map(|text| (text.to_owned(), text.to_owned()));
    for (name, old) in fixtures().into_iter().chain(small) {
        let new = merged(&old, &[addition("prod")]);
        check_added(&old, &new, "prod");
        let file = Kubeconfig::parse("config", &old).expect("parsed");
        let changes = merge(&[file], 0, &[addition("prod")], Others::Keep, Some("prod"));
        for cut in &changes.expect("merged").changes[0].cuts {
            let gone = old[cut.range.clone()].trim();
            let is_nothing = ["", "[]", "null", "{}", "''", "\"\""].contains(&gone);
            let was_current =
                meaning(&old)["current-context"].as_str() == Some(gone.trim_matches('"'));
            assert!(is_nothing || was_current, "{name}: {gone:?} is lost");
        }
        assert_eq!(merged(&new, &[addition("prod")]), new, "{name}");
        let more = merged(&new, &[addition("more")]);
        check_added(&new, &more, "more");
    }
}

#[test]
fn line_ends_and_a_missing_last_one_stay() {
    let crlf = "apiVersion: v1\r\nclusters: []\r\nkind: Config\r\n";
    let new = merged(crlf, &[addition("prod")]);
    assert_eq!(
        new.matches('\n').count(),
        new.matches("\r\n").count(),
        "{new:?}"
    );
    let open = "users:\n- name: a\n  user: {}";
    assert!(!merged(open, &[addition("prod")]).ends_with('\n'));
}

#[test]
fn compact_json_stays_compact_and_pretty_json_pretty() {
    let compact = r#"{"clusters":[{"name":"a","cluster":{"server":"https://a"}}],"contexts":[],"kind":"Config","users":[]}"#;
    let new = merged(compact, &[addition("prod")]);
    assert!(!new.contains('\n'), "{new}");
    let _: Json = serde_json::from_str(&new).expect("JSON");
    let pretty = "{\n  \"kind\": \"Config\",\n  \"users\": [\n    {\n      \"name\": \"a\",\n      \"user\": {}\n    }\n  ]\n}\n";
    let new = merged(pretty, &[addition("prod")]);
    let _: Json = serde_json::from_str(&new).expect("JSON");
    assert!(
        new.contains("\n    {\n      \"name\": \"u_prod\","),
        "{new}"
    );
}

/// A file with the cluster as an earlier run left it, and as the user then changed it.
fn own_file() -> String {
    let text = merged("", &[addition("prod")]);
    text.replace("  name: prod\ncontexts", "  name: prod # mine\ncontexts")
        .replace(
            "    user: u_prod\n",
            "    namespace: team\n    user: u_prod\n",
        )
        .replace("command: kubelogin", "command: /opt/kubelogin")
        .replace("current-context: prod", "current-context: other")
}

#[test]
fn the_same_cluster_again_is_updated_in_place_and_keeps_what_a_person_changed() {
    let old = own_file();
    let mut again = addition_of("prod", &ID.to_uppercase(), "https://new.example:443");
    again.origin.resource_id = ID.to_owned();
    let Login::Exec(exec) = &mut again.fetched.login else {
        panic!("no exec")
    };
    exec.args = vec!["get-token".into(), "--login".into(), "msi".into()];
    let (new, outcomes) = merged_with(&old, &[again], Others::Keep);
    assert_eq!(outcomes, [Ok(Outcome::Updated)]);
    let expected = old
        .replace("https://prod.example:443", "https://new.example:443")
        .replace("- spn", "- msi")
        .replace("current-context: other", "current-context: prod");
    assert_eq!(new, expected);
}

#[test]
fn only_a_path_to_this_kubelogin_stays_when_a_user_is_updated() {
    let text = merged("", &[addition("prod")]);
    for (command, arg, after) in [
        ("/opt/kubelogin", "--login", "/opt/kubelogin"),
        (r"C:\bin\Kubelogin.exe", "--login", r"C:\bin\Kubelogin.exe"),
        ("kubelogin-linux-amd64", "--login", "kubelogin-linux-amd64"),
        ("/opt/kubelogin", "--oidc-issuer-url", "kubelogin"),
        ("my-kubelogin", "--login", "kubelogin"),
        ("aws", "--login", "kubelogin"),
    ] {
        let old = text
            .replace("command: kubelogin", &format!("command: {command}"))
            .replace("- --login", &format!("- {arg}"))
            .replace("- spn", "- msi");
        let meaning = meaning(&merged(&old, &[addition("prod")]));
        let exec = &entry(&meaning, "users", "u_prod")["user"]["exec"];
        assert_eq!(exec["command"], after, "{command} {arg}");
        assert_eq!(exec["args"], json!(["get-token", "--login", "spn"]));
    }
}

#[test]
fn a_cluster_that_az_wrote_is_known_by_its_server_and_marked() {
    let old = "clusters:\n- cluster:\n    server: https://PROD.example\n  name: prod\ncontexts:\n- context: {cluster: prod, user: u_prod}\n  name: prod\n\
               users:\n- name: u_prod\n  user: {auth-provider: {name: azure}}\n";
    let (new, outcomes) = merged_with(old, &[addition("prod")], Others::Keep);
    assert_eq!(outcomes, [Ok(Outcome::Updated)]);
    let meaning = meaning(&new);
    let cluster = &entry(&meaning, "clusters", "prod")["cluster"];
    assert_eq!(cluster["extensions"][0]["name"], ORIGIN);
    assert_eq!(
        entry(&meaning, "users", "u_prod")["user"]["exec"]["command"],
        "kubelogin"
    );
}

#[test]
fn an_object_of_another_cluster_is_left_alone_unless_it_may_be_replaced() {
    let of = |cluster: &str, context: &str, user: &str| {
        format!(
            "clusters:\n- cluster: {{server: \"https://other.example\"}}\n  name: {cluster}\ncontexts:\n- context: {{cluster: {cluster}, user: {user}, namespace: n}}\n  name: {context}\n\
             users:\n- name: {user}\n  user: {{token: secret}}\n"
        )
    };
    for (old, culprit) in [
        (
            of("prod", "c", "u"),
            "config:2:3: cluster \"prod\" is another cluster (https://other.example)",
        ),
        (
            of("c", "prod", "u"),
            "context \"prod\" belongs to another cluster",
        ),
        (
            of("c", "c", "u_prod"),
            "user \"u_prod\" belongs to another cluster",
        ),
    ] {
        let (new, outcomes) = merged_with(&old, &[addition("prod")], Others::Keep);
        let error = outcomes[0].as_ref().expect_err("refused");
        assert!(
            error.contains(culprit)
                && error.contains("--context")
                && error.contains("--overwrite-existing"),
            "{error}"
        );
        assert_eq!(new, old);
        let (new, outcomes) = merged_with(&old, &[addition("prod")], Others::Overwrite);
        assert!(outcomes[0].is_ok());
        let meaning = meaning(&new);
        assert_eq!(
            entry(&meaning, "clusters", "prod")["cluster"]["server"],
            "https://prod.example:443"
        );
        assert_eq!(
            entry(&meaning, "contexts", "prod")["context"],
            json!({"cluster": "prod", "user": "u_prod"})
        );
        assert!(entry(&meaning, "users", "u_prod")["user"]["exec"].is_object());
    }
}

#[test]
fn a_user_that_two_clusters_share_belongs_to_neither() {
    let old = merged("", &[addition("prod")]);
    let shared = old.replace(
        "contexts:\n",
        "contexts:\n- context: {cluster: other, user: u_prod}\n  name: other\n",
    );
    let mut again = addition("prod");
    let Login::Exec(exec) = &mut again.fetched.login else {
        panic!("no exec")
    };
    exec.args.push("--legacy".into());
    let (new, outcomes) = merged_with(&shared, &[again], Others::Keep);
    assert!(outcomes[0].is_err());
    assert_eq!(new, shared);
}

#[test]
fn of_several_files_the_first_that_has_an_object_is_changed_and_what_is_new_goes_home() {
    let one = merged("", &[addition("one")]);
    let two = merged("", &[addition("two")]);
    let files = [&one, &two].map(|text| Kubeconfig::parse("config", text).expect("parsed"));
    let again = addition_of("two", &ID.replace("prod", "two"), "https://new.example");
    let additions = [again, addition("three")];
    let merged = merge(&files, 0, &additions, Others::Keep, Some("three")).expect("merged");
    assert_eq!(merged.changes.len(), 2);
    assert!(
        merged.changes[0].text.contains("name: three")
            && !merged.changes[0].text.contains("new.example")
    );
    assert!(merged.changes[0].text.contains("current-context: three"));
    assert!(
        merged.changes[1].text.contains("new.example")
            && merged.changes[1].text.contains("current-context: two")
    );
}

/// Found by fuzzing: the cluster was added twice, and kubectl could not read the file.
#[test]
fn an_object_that_is_only_a_name_is_named_with_its_place() {
    for (list, name, item) in [
        ("users", "u_prod", "user"),
        ("contexts", "prod", "context"),
        ("clusters", "prod", "cluster"),
    ] {
        for rest in ["", ", extension: {}"] {
            let text = format!("{list}:\n- {{name: {name}{rest}}}\n");
            for others in [Others::Keep, Others::Overwrite] {
                let (new, outcomes) = merged_with(&text, &[addition("prod")], others);
                let error = outcomes[0].as_ref().expect_err("refused");
                let expected = format!("config:2:3: {item} {name:?} has no {item:?} key\n");
                assert!(error.starts_with(&expected), "{error}");
                assert_eq!(new, text);
            }
        }
    }
}

#[test]
fn two_clusters_of_one_name_in_one_run_are_told_apart() {
    let other = addition_of("prod", "/subscriptions/other", "https://other.example");
    let (new, outcomes) = merged_with(
        "",
        &[addition("prod"), addition("prod"), other],
        Others::Overwrite,
    );
    assert_eq!(outcomes[..2], [Ok(Outcome::Added), Ok(Outcome::Unchanged)]);
    assert!(
        outcomes[2].as_ref().is_err_and(|error| error.contains(ID)),
        "{outcomes:?}"
    );
    assert!(!new.contains("other.example"));
}

#[test]
fn an_anchor_that_others_use_and_a_list_that_is_an_alias_are_not_touched() {
    for (old, why) in [
        (
            "clusters: &c\n- cluster: {server: \"https://x\"}\n  name: a\nother: *c\ncontexts: *c\n",
            "contexts is an alias",
        ),
        ("x: &x []\nusers: *x\n", "users is an alias"),
        ("clusters: 5\n", "must be a list"),
        ("- a\n", "must be a map"),
    ] {
        let file = Kubeconfig::parse("config", old).expect("parsed");
        let Err(error) = merge(&[file], 0, &[addition("prod")], Others::Keep, None) else {
            panic!("merged: {old}");
        };
        assert!(error.to_string().contains(why), "{error}");
    }
    let shared = "clusters:\n- &a\n  cluster: {server: \"https://old.example\", extensions: [{name: kubelogin.azure, extension: {resourceID: HERE}}]}\n  name: prod\ncontexts: []\nusers: []\nmore: *a\n".replace("HERE", ID);
    let (new, outcomes) = merged_with(&shared, &[addition("prod")], Others::Keep);
    assert!(
        outcomes[0]
            .as_ref()
            .is_err_and(|error| error.contains("alias of this anchor")),
        "{outcomes:?}"
    );
    assert_eq!(new, shared);
}

#[test]
fn many_clusters_are_merged_into_many() {
    const MANY: usize = 1000;
    let mut old = String::from("clusters:\n");
    for number in 0..MANY {
        let _ = write!(
            old,
            "- cluster: {{server: \"https://o{number}.example\"}}\n  name: o{number}\n"
        );
    }
    let additions: Vec<_> = (0..MANY)
        .map(|number| addition(&format!("n{number}")))
        .collect();
    let new = merged(&old, &additions);
    let meaning = meaning(&new);
    assert_eq!(meaning["clusters"].as_array().map(Vec::len), Some(2 * MANY));
    assert_eq!(meaning["users"].as_array().map(Vec::len), Some(MANY));
}
