//! Which users are converted.

use super::*;

#[test]
fn the_first_file_that_has_a_user_wins() {
    let text = exec_user(AZ_EXEC);
    let other = text.replace("alice", "bob");
    let (texts, plan) = convert_files(&[&text, &text, &other], &["-l", "spn"]).expect("converted");
    assert_ne!(texts[0], text);
    assert_eq!(texts[1], text, "kubectl never sees this one");
    assert_ne!(texts[2], other);
    assert_eq!(
        converted(&plan),
        [(0, "alice".to_owned()), (2, "bob".to_owned())]
    );
}

const CONTEXTS: &str = "contexts:\n- name: work\n  context: {user: bob}\n- name: home\n  context: {user: alice}\n- name: nobody\n  context: {cluster: c}\n- name: ghost\n  context: {user: casper}\n";

#[test]
fn a_context_selects_its_user_alone() {
    let text = exec_user(AZ_EXEC);
    let bob = format!("{}{CONTEXTS}", text.replace("alice", "bob"));
    let (texts, plan) =
        convert_files(&[&text, &bob], &["-l", "spn", "--context", "work"]).expect("converted");
    assert_eq!(converted(&plan), [(1, "bob".to_owned())]);
    assert_eq!(texts[0], text);
    let failure = |context| failure(&bob, &["-l", "spn", "--context", context]);
    assert!(failure("nobody").contains("context \"nobody\" has no user"));
    assert!(failure("ghost").contains("\"casper\""));
    let unknown = failure("wrok");
    assert!(
        unknown.starts_with("there is no context \"wrok\" in the kubeconfig"),
        "{unknown}"
    );
    assert!(unknown.contains("these: work, "), "{unknown}");
}

#[test]
fn claims_of_one_cluster_are_not_given_to_the_users_of_several() {
    let text = exec_user(AZ_EXEC);
    let bob = format!("{}{CONTEXTS}", text.replace("alice", "bob"));
    let typed = ["-l", "spn", "--pop-enabled", "--pop-claims", "u=/arm"];
    let error = convert_files(&[&text, &bob], &typed)
        .err()
        .expect("refused")
        .to_string();
    assert!(
        error.contains("--pop-claims") && error.contains("work, home"),
        "{error}"
    );
    let one = [&typed[..], &["--context", "work"]].concat();
    assert!(convert_files(&[&text, &bob], &one).is_ok());
    assert!(convert_files(&[&text], &typed).is_ok());
}
