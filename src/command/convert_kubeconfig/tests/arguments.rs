//! The arguments that a converted user gets.

use super::*;

/// What each mode is typed with in the tests of all modes.
fn typed_for(mode: LoginMode) -> &'static [&'static str] {
    match mode {
        LoginMode::DeviceCode => &["-l", "devicecode"],
        LoginMode::Interactive => &["-l", "interactive", "--login-hint", "me@example.org"],
        LoginMode::Spn => &[
            "-l",
            "spn",
            "--client-id",
            "robot",
            "--client-certificate",
            "/c.pem",
        ],
        LoginMode::Ropc => &["-l", "ropc", "--username", "bob"],
        LoginMode::Msi => &["-l", "msi", "--client-id", "identity"],
        LoginMode::AzureCli => &["-l", "azurecli", "--subscription", "sub"],
        LoginMode::Azd => &["-l", "azd"],
        LoginMode::AzurePowerShell => &["-l", "azurepowershell"],
        LoginMode::Auto => &["-l", "auto"],
        LoginMode::WorkloadIdentity => {
            &["-l", "workloadidentity", "--federated-token-file", "/token"]
        }
        LoginMode::AzurePipelines => &[
            "-l",
            "azurepipelines",
            "--azure-pipelines-service-connection-id",
            "connection",
        ],
    }
}

#[test]
fn every_mode_converts_to_every_mode_and_back_to_the_same_arguments() {
    let start = exec_user(AZ_EXEC);
    for first in LoginMode::all() {
        let one = convert(&start, typed_for(*first));
        for second in LoginMode::all() {
            let two = convert(&one, typed_for(*second));
            let (_, again) = convert_files(&[&two], typed_for(*second)).expect("converted");
            assert!(again.changes.is_empty(), "{first} to {second}, again");
            let back = convert(&two, &["-l", &first.to_string()]);
            assert_eq!(
                args_of(&back),
                args_of(&one),
                "{first} to {second} and back:\n{two}"
            );
        }
    }
}

#[test]
fn ids_survive_modes_that_do_not_use_them() {
    let mut text = exec_user(AZ_EXEC);
    for mode in [
        "azurecli",
        "azd",
        "msi",
        "workloadidentity",
        "azurepipelines",
        "azd",
        "spn",
    ] {
        text = convert(&text, &["-l", mode]);
    }
    let expected = "get-token --login spn --server-id s --client-id c --tenant-id t";
    assert_eq!(args_of(&text)[0].join(" "), expected);
    assert!(!text.contains('#'), "nothing is left to remember:\n{text}");
}

#[test]
fn azurecli_gets_no_tenant_that_was_not_typed_for_it() {
    let azurecli = convert(&exec_user(AZ_EXEC), &["-l", "azurecli"]);
    let azd = convert(&azurecli, &["-l", "azd", "--tenant-id", "typed"]);
    let back = convert(&azd, &["-l", "azurecli"]);
    assert_eq!(
        args_of(&back)[0].join(" "),
        "get-token --login azurecli --server-id s"
    );
}

#[test]
fn every_spelling_of_old_arguments_is_understood_and_the_last_one_counts() {
    for (args, expected) in [
        (
            "[get-token, -l=spn, --server-id=s, -t, t, --client-id=a, --client-id, c]",
            "",
        ),
        (
            "[get-token, -lspn, --server-id, s, -tt, --client-id, c, --legacy=true]",
            " --legacy",
        ),
        (
            "[get-token, --server-id, s, --tenant-id=t, --client-id, c, --legacy, --legacy=false]",
            "",
        ),
        (
            "[get-token, --server-id, s, -t=t, --client-id, c, --pop-enabled=1, --pop-claims, u=x=y]",
            " --pop-enabled --pop-claims u=x=y",
        ),
        (
            "[get-token, --server-id, s, -t=t, --client-id, c, -v=5]",
            " -v 5",
        ),
        (
            "[-v, '5', --server-id, s, get-token, -t=t, --client-id, c]",
            " -v 5",
        ),
        (
            "[convert-kubeconfig, --server-id, s, -t=t, --client-id, c, -e, AzureChinaCloud]",
            " --environment AzureChinaCloud",
        ),
    ] {
        let converted = convert(&exec_user(args), &["-l", "spn"]);
        let wanted =
            format!("get-token --login spn --server-id s --client-id c --tenant-id t{expected}");
        assert_eq!(args_of(&converted)[0].join(" "), wanted, "{args}");
    }
}

#[test]
fn a_flag_that_was_typed_is_never_dropped() {
    for mode in LoginMode::all() {
        for definition in Flag::ALL
            .iter()
            .filter(|definition| definition.flag != Flag::Login)
        {
            let (name, value) = (definition.flag.typed(), typed_value(definition.flag));
            let mode = mode.to_string();
            let mut typed = vec!["-l", &mode, &name];
            typed.extend(value);
            let pop: &[_] = match definition.flag {
                Flag::PopEnabled => &["--pop-claims", "u=x"],
                Flag::PopClaims => &["--pop-enabled"],
                _ => &[],
            };
            typed.extend(pop);
            let args = args_of(&convert(&exec_user(AZ_EXEC), &typed)).remove(0);
            let at = args
                .iter()
                .position(|arg| *arg == name)
                .unwrap_or_else(|| panic!("{mode} lost {name}: {args:?}"));
            assert!(
                value.is_none_or(|value| args[at + 1] == value),
                "{mode} {name}: {args:?}"
            );
        }
    }
}

fn typed_value(flag: Flag) -> Option<&'static str> {
    match flag {
        Flag::Timeout => Some("2m"),
        Flag::AuthorityHost => Some("https://login.example/"),
        _ if flag.definition().takes == Takes::Switch => None,
        _ => Some("typed"),
    }
}

#[test]
fn a_switch_is_cleared_by_false() {
    let legacy = convert(
        &exec_user(AZ_EXEC),
        &[
            "-l",
            "spn",
            "--legacy",
            "--pop-enabled",
            "--pop-claims",
            "u=x",
        ],
    );
    assert!(args_of(&legacy)[0].contains(&"--legacy".to_owned()));
    let cleared = convert(
        &legacy,
        &["-l", "spn", "--legacy=false", "--pop-enabled=false"],
    );
    assert_eq!(
        args_of(&cleared)[0].join(" "),
        "get-token --login spn --server-id s --client-id c --tenant-id t"
    );
}

#[test]
fn a_secret_is_written_only_if_its_flag_was_typed_and_with_a_warning() {
    let env = Env::of(&[
        (env::AZURE_CLIENT_SECRET, "hunter2"),
        (env::AZURE_TENANT_ID, "other"),
        (env::AAD_LOGIN_METHOD, "spn"),
    ]);
    let text = exec_user(AZ_EXEC);
    let (texts, plan) = convert_with(&[&text], &["--tenant-id", "typed"], &env).expect("converted");
    assert_eq!(
        args_of(&texts[0])[0].join(" "),
        "get-token --login spn --server-id s --client-id c --tenant-id typed"
    );
    assert_eq!(plan.report.warnings, [""; 0]);
    let (texts, plan) = convert_with(
        &[&text],
        &["-l", "spn", "--client-secret", "pass word"],
        &env,
    )
    .expect("converted");
    assert!(args_of(&texts[0])[0].ends_with(&["--client-secret".into(), "pass word".into()]));
    assert_eq!(plan.report.warnings.len(), 1);
    assert!(
        plan.report.warnings[0].contains("--client-secret")
            && !plan.report.warnings[0].contains("pass word")
    );
    let carried = convert(&texts[0], &["-l", "spn", "--tenant-id", "new"]);
    assert!(
        carried.contains("pass word"),
        "a secret that was typed stays in the same mode"
    );
    let gone = convert(&texts[0], &["-l", "azurecli"]);
    assert!(
        !gone.contains("pass word"),
        "it does not go with another mode, not even in a comment:\n{gone}"
    );
}

#[test]
fn a_typed_secret_and_a_typed_certificate_replace_each_other() {
    let converted = |args: &str, typed: &[&str]| {
        let text = exec_user(&format!(
            "[get-token, --login, spn, --server-id, s, --client-id, c, -t, t, {args}]"
        ));
        let typed = [&["-l", "spn"], typed].concat();
        args_of(&convert(&text, &typed))[0][9..].join(" ")
    };
    let (secret, certificate) = ("--client-secret, x", "--client-certificate, /p");
    let with_password = format!("{certificate}, --client-certificate-password, p");
    assert_eq!(
        converted(secret, &["--client-certificate", "/new"]),
        "--client-certificate /new"
    );
    for old in [secret, certificate, &with_password] {
        let typed = ["--client-secret", "new"];
        assert_eq!(converted(old, &typed), "--client-secret new", "{old}");
    }
    let new = "--client-certificate /new";
    assert_eq!(
        converted(&with_password, &["--client-certificate", "/new"]),
        new
    );
    for typed in [
        &["--client-certificate-password", "p"][..],
        &["--client-certificate", "/p"],
        &[],
    ] {
        assert_eq!(
            converted(&with_password, typed),
            "--client-certificate /p --client-certificate-password p",
            "{typed:?}"
        );
    }
}

#[test]
fn an_unknown_mode_is_refused_with_the_known_ones() {
    for (args, env) in [(&["-l", "spm"][..], ""), (&[], "spm")] {
        let env = Env::of(&[(env::AAD_LOGIN_METHOD, env)]);
        let error = convert_with(&[&exec_user(AZ_EXEC)], args, &env).err();
        let error = error.expect("refused").to_string();
        assert!(
            error.contains("\"spm\"") && error.contains("azurepipelines"),
            "{error}"
        );
    }
}

#[test]
fn an_environment_that_get_token_would_refuse_is_written_with_a_warning() {
    let (texts, plan) = convert_files(&[&exec_user(AZ_EXEC)], &["-l", "spn", "-e", "AzureMoon"])
        .expect("converted");
    assert!(texts[0].contains("AzureMoon"));
    assert!(
        plan.report.warnings[0].contains("AzureChinaCloud"),
        "{:?}",
        plan.report.warnings
    );
}

#[test]
fn json_has_no_comments_and_loses_ids_with_a_warning() {
    let json = format!(
        "{{\"users\": [{{\"name\": \"a\", \"user\": {{\"exec\": {{\"command\": \"kubelogin\", \"args\": {}}}}}}}]}}",
        serde_json::json!([
            "get-token",
            "--server-id",
            "s",
            "--client-id",
            "c",
            "-t",
            "t"
        ])
    );
    let (texts, plan) = convert_files(&[&json], &["-l", "azurecli"]).expect("converted");
    assert!(
        plan.report.warnings[0].contains("pass them again"),
        "{:?}",
        plan.report.warnings
    );
    let (_, again) = convert_files(&[&texts[0]], &["-l", "azurecli"]).expect("converted");
    assert_eq!(again.changes.len() + again.report.warnings.len(), 0);
    let (_, block) = convert_files(&[&exec_user(AZ_EXEC)], &["-l", "azurecli"]).expect("converted");
    assert_eq!(block.report.warnings, [""; 0]);
}

#[test]
fn our_comment_does_not_count_once_somebody_has_moved_it() {
    let moved = "exec:\n      command: kubelogin\n      args: # kubelogin keeps for other login modes: [\"--login\", \"spn\", \"--client-id\", \"x\"]\n      - get-token\n      - --server-id\n      - s\n      - --client-id\n      - c\n      - -t\n      - t\n";
    let azurecli = convert(&format!("{HEAD}    {moved}"), &["-l", "azurecli"]);
    let spn = convert(&azurecli, &["-l", "spn"]);
    let expected = "get-token --login spn --server-id s --client-id c --tenant-id t";
    assert_eq!(args_of(&spn)[0].join(" "), expected, "{azurecli}");
}
