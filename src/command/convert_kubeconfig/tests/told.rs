//! What a conversion prints on stderr, and the diff of a dry run.

use super::*;

#[test]
fn nothing_to_convert_is_explained() {
    let system = crate::system::fake::FakeSystem::new([]);
    let (_, plan) = convert_files(
        &["users:\n- name: a\n  user: {exec: {command: aws}}\n- name: b\n  user: {token: t}\n"],
        &["-l", "spn"],
    )
    .expect("converted");
    plan.report.tell(&[], &[], "converted", &system);
    assert_eq!(
        system.told(),
        [
            "0 of 2 users converted: \"a\" runs \"aws\"; \"b\" has neither an auth-provider nor an exec"
        ]
    );
    let many = ["aws", "aws", "aws", "aws", "gke-gcloud-auth-plugin"]
        .iter()
        .enumerate()
        .fold("users:\n".to_owned(), |text, (number, command)| {
            text + &format!("- name: u{number}\n  user: {{exec: {{command: {command}}}}}\n")
        });
    let (_, plan) = convert_files(&[&many], &["-l", "spn"]).expect("converted");
    let system = crate::system::fake::FakeSystem::new([]);
    plan.report.tell(&[], &[], "converted", &system);
    assert_eq!(
        system.told(),
        [
            "0 of 5 users converted: \"u0\", \"u1\" and 2 more run \"aws\"; \"u4\" runs \"gke-gcloud-auth-plugin\""
        ],
        "every command is named"
    );
    for empty in ["", "# nothing\n", "---\n", "users: null\n", "{}"] {
        let (_, plan) = convert_files(&[empty], &["-l", "spn"]).expect("converted");
        assert!(plan.changes.is_empty());
    }
}

#[test]
fn a_diff_shows_no_secret_of_ours_or_of_another_tool() {
    let secret_flags = Flag::ALL
        .iter()
        .filter(|definition| matches!(definition.takes, Takes::Secret(_)));
    let mut args = vec!["get-token".to_owned(), "--server-id".into(), "s".into()];
    for definition in secret_flags {
        args.extend([definition.typed.to_owned(), "hunter2".into()]);
        args.push(format!("{}=hunter2", definition.flag.typed()));
    }
    let args = serde_json::Value::from(args);
    let text = format!(
        "x: &x hunter2\nusers:\n- name: a\n  user:\n    token: *x\n    exec: {{command: kubelogin, args: {args}}}\n- name: b\n  user:\n    exec:\n      args:\n      - --oidc-client-secret=hunter2\n      - --token\n      - hunter2\n"
    );
    let diff = diff(&text, &["-l", "azurecli"]);
    assert!(
        diff.contains("[secret]") && !diff.contains("hunter2"),
        "{diff}"
    );
}

#[test]
fn a_diff_shows_that_a_secret_changes() {
    let text = exec_user(
        "[get-token, --login, spn, --server-id, s, --client-id, c, -t, t, --client-secret, hunter1]",
    );
    let diff = diff(&text, &["-l", "spn", "--client-secret", "hunter2"]);
    assert!(diff.contains("--client-secret, [secret]]\n"), "{diff}");
    assert!(diff.contains("\n+      - [new secret]\n"), "{diff}");
    assert!(!diff.contains("hunter"), "{diff}");
}

fn diff(text: &str, args: &[&str]) -> String {
    let files = [KubeconfigFile::in_memory("config", text)];
    let args = parse(args);
    let mut conversion = Conversion::new(&args, &Env::of(&[])).expect("a conversion");
    let plan = conversion.convert(&files).expect("converted");
    let mut out = Vec::new();
    report::print_diff(&files, &plan.changes, &mut out).expect("a diff");
    String::from_utf8(out).expect("text")
}
