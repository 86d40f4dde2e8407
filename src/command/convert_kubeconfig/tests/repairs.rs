//! Files in which one user is broken: all others are still converted.

use super::*;

/// Users that cannot be converted, each with the message about it.
const BAD: &[(&str, &str)] = &[
    (
        "exec: {command: kubelogin, args: [get-token, 5]}",
        "argument 5",
    ),
    (
        "exec: {command: kubelogin, args: [get-token]}",
        "server-id is required",
    ),
    ("exec: [kubelogin]", "exec must be a map"),
    (
        "exec: {command: kubelogin, args: {a: b}}",
        "args must be a list",
    ),
    (
        "auth-provider: {name: azure}\n    exec: {command: aws}",
        "both",
    ),
    (
        "exec: {command: kubelogin, args: &a [get-token, --server-id, s, --client-id, c, -t, t]}\n  other: *a",
        "alias",
    ),
    (
        "exec: {command: kubelogin, command: kubelogin}",
        "duplicate key",
    ),
    (
        "exec:\n      command: kubelogin\n      args: [get-token, --server-id, &id s, --client-id, c, -t, t]\n      interactiveMode: *id",
        "alias",
    ),
];

fn with_neighbours(bad: &str) -> String {
    let good = |name: &str| {
        format!("- name: {name}\n  user:\n    exec: {{command: kubelogin, args: {AZ_EXEC}}}\n")
    };
    let (before, after) = (good("before"), good("after"));
    format!("users:\n{before}- name: bad\n  user:\n    {bad}\n{after}")
}

#[test]
fn a_user_that_cannot_be_converted_keeps_no_other_from_being_converted() {
    for (bad, what) in BAD {
        let text = with_neighbours(bad);
        let (texts, plan) = convert_files(&[&text], &["-l", "spn"]).expect("converted");
        let names = [(0, "before".to_owned()), (0, "after".to_owned())];
        assert_eq!(converted(&plan), names, "{bad}");
        assert!(
            texts[0].contains(bad),
            "the bad user was changed:\n{}",
            texts[0]
        );
        let error = plan.report.failures.first().expect("a failure").to_string();
        assert!(error.contains(what) && error.contains("\"bad\""), "{error}");
        assert!(error.contains("config0:"), "names no line: {error}");
    }
}

#[test]
fn all_that_failed_is_named_and_the_rest_is_counted() {
    let system = crate::system::fake::FakeSystem::new([]);
    let text = with_neighbours(BAD[0].0) + "- name: worse\n  user: {exec: []}\n";
    let (_, plan) = convert_files(&[&text], &["-l", "spn"]).expect("converted");
    let error = plan
        .report
        .outcome("converted to spn", &system)
        .expect_err("2 failed");
    assert_eq!(
        error.to_string(),
        "2 users could not be converted\n\
         Fix the errors above, then convert again. The other 2 users were converted to spn."
    );
    let told = system.told();
    assert!(
        told[0].contains("\"bad\"") && told[1].contains("\"worse\""),
        "{told:?}"
    );
}

#[test]
fn a_flag_that_no_kubelogin_knows_is_removed_with_a_warning_that_names_it() {
    for (args, name) in [
        ("--new-flag", "--new-flag"),
        ("--new-flag, hunter2", "--new-flag"),
        ("--new-flag=hunter2", "--new-flag"),
        (
            "--client-secret, --new-flag, --new-flag, hunter2",
            "--new-flag",
        ),
        ("--tenent-id, hunter2", "did you mean --tenant-id"),
        ("--a, --b=hunter2", "--b"),
    ] {
        let text = exec_user(&AZ_EXEC.replace("get-token", &format!("get-token, {args}")));
        let (texts, plan) = convert_files(&[&text], &["-l", "devicecode"]).expect("converted");
        assert_eq!(converted(&plan).len(), 1, "{args}");
        let warnings = plan.report.warnings.join("\n");
        assert!(
            warnings.contains(name) && warnings.contains("\"alice\""),
            "{warnings}"
        );
        assert!(
            !warnings.contains("hunter2") && !texts[0].contains("hunter2"),
            "{warnings}"
        );
        let args = args_of(&texts[0]).remove(0);
        let expected = "get-token --login devicecode --server-id s --client-id c --tenant-id t";
        assert!(args.join(" ").starts_with(expected), "{args:?}");
        assert!(
            crate::cli::OldArgs::new()
                .parse(&args.iter().map(String::as_str).collect::<Vec<_>>())
                .is_ok()
        );
    }
}

/// kubectl refuses such a user; Azure/kubelogin converts it.
#[test]
fn an_exec_beside_the_login_that_it_replaced_is_converted_and_stays_alone() {
    let provider = "auth-provider:\n      name: azure # old\n      config:\n        apiserver-id: old\n        environment: AzureChinaCloud # here\n";
    let exec = "exec:\n      command: ./bin/kubelogin\n      args: [get-token, --server-id, s, --client-id, c, -t, t] # mine\n";
    for text in [
        format!("{HEAD}    {provider}    {exec}    extra: 1\n# end\n"),
        format!("{HEAD}    {exec}    {provider}    extra: 1\n# end\n"),
        format!("{HEAD}    {exec}    extra: 1\n    {provider}# end\n"),
        format!("{HEAD}    {exec}    extra: 1\n    {}", provider.trim_end()),
        format!("{HEAD}    {provider}    {exec}    extra: 1\n").replace('\n', "\r\n"),
        "{\"users\": [{\"name\": \"alice\", \"user\": {\"auth-provider\": {\"name\": \"azure\", \"config\": {\"environment\": \"AzureChinaCloud\"}}, \"exec\": {\"command\": \"./bin/kubelogin\", \"args\": [\"get-token\", \"--server-id\", \"s\", \"--client-id\", \"c\", \"-t\", \"t\"]}, \"extra\": 1}}]}".into(),
        "{\"users\": [{\"name\": \"alice\", \"user\": {\"extra\": 1, \"exec\": {\"command\": \"./bin/kubelogin\", \"args\": [\"get-token\", \"--server-id\", \"s\", \"--client-id\", \"c\", \"-t\", \"t\"]}, \"auth-provider\": {\"name\": \"azure\", \"config\": {\"environment\": \"AzureChinaCloud\"}}}}]}".into(),
    ] {
        let converted = convert(&text, &["-l", "spn"]);
        assert!(!converted.contains("auth-provider") && converted.contains("./bin/kubelogin"), "{converted}");
        assert_eq!(converted.contains("# end"), text.contains("# end"), "{converted}");
        assert_eq!(converted.ends_with('\n'), text.ends_with('\n'), "{converted:?}");
        assert_eq!(
            args_of(&converted)[0].join(" "),
            "get-token --login spn --server-id s --client-id c --tenant-id t --environment AzureChinaCloud",
            "{converted}"
        );
        let (_, again) = convert_files(&[&converted], &["-l", "spn"]).expect("converted");
        assert!(again.changes.is_empty(), "{converted}");
    }
}

/// kubectl accepts these files: it ignores items that are null or have no name.
#[test]
fn an_item_that_is_null_or_has_no_name_is_no_reason_to_refuse_a_file() {
    for odd in [
        "- null\n",
        "-\n",
        "- user: {}\n",
        "- name: \"\"\n  user: {token: t}\n",
        "- name: a\n  user: null\n",
        "- name: a\n  user:\n",
        "- name: a\n",
        "- {}\n",
    ] {
        for text in [
            format!(
                "users:\n{odd}- name: alice\n  user: {{exec: {{command: kubelogin, args: {AZ_EXEC}}}}}\n"
            ),
            format!("{}{odd}", exec_user(AZ_EXEC)),
        ] {
            let (texts, plan) = convert_files(&[&text], &["-l", "spn"]).expect(odd);
            assert_eq!(converted(&plan), [(0, "alice".to_owned())], "{odd}");
            assert!(texts[0].contains(odd), "{}", texts[0]);
        }
    }
    let contexts =
        "contexts:\n- null\n- context: {user: alice}\n- name: work\n  context: {user: alice}\n";
    let text = format!("{contexts}{}", exec_user(AZ_EXEC));
    assert!(convert(&text, &["-l", "spn", "--context", "work"]).contains("- spn"));
}
