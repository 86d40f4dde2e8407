//! The arguments that a converted user gets.

use super::*;
use crate::variables::{AKS_CLIENT, AZ_CLIENT};

/// The typed flags of each mode in tests of all modes.
pub fn typed_for(mode: LoginMode) -> &'static [&'static str] {
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
            if !pop.is_empty()
                && !LoginMode::parse(Some(&mode))
                    .expect("a mode")
                    .proves_possession()
            {
                let error = failure(&exec_user(AZ_EXEC), &typed);
                assert!(
                    error.starts_with("--pop-enabled does not work with"),
                    "{error}"
                );
                continue;
            }
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
        Flag::PopClaims => Some("u=x"),
        Flag::Timeout => Some("2m"),
        Flag::AuthorityHost => Some("https://login.example/"),
        Flag::Environment => Some("AzureChinaCloud"),
        _ if flag.definition().takes == Takes::Switch => None,
        _ => Some("typed"),
    }
}

#[test]
fn a_switch_is_cleared_by_false() {
    let legacy = ["-l", "spn", "--legacy"];
    let pop = ["-l", "spn", "--pop-enabled", "--pop-claims", "u=x"];
    for typed in [&legacy[..], &pop] {
        let on = convert(&exec_user(AZ_EXEC), typed);
        assert!(args_of(&on)[0].contains(&typed[2].to_owned()));
        let off = ["-l", "spn", "--legacy=false", "--pop-enabled=false"];
        assert_eq!(
            args_of(&convert(&on, &off))[0].join(" "),
            "get-token --login spn --server-id s --client-id c --tenant-id t"
        );
    }
    let both = [&legacy[..], &pop[2..]].concat();
    let error = failure(&exec_user(AZ_EXEC), &both);
    assert!(
        error.contains("--legacy and --pop-enabled cannot be used together"),
        "{error}"
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
    assert_eq!(plan.report.remarks, [""; 0]);
    let (texts, plan) = convert_with(
        &[&text],
        &["-l", "spn", "--client-secret", "pass word"],
        &env,
    )
    .expect("converted");
    assert!(args_of(&texts[0])[0].ends_with(&["--client-secret".into(), "pass word".into()]));
    assert_eq!(plan.report.remarks.len(), 1);
    assert!(
        plan.report.remarks[0].contains("--client-secret")
            && !plan.report.remarks[0].contains("pass word")
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
fn an_unknown_environment_is_refused_when_it_is_typed_and_kept_with_a_warning_when_it_is_old() {
    let error = failure(&exec_user(AZ_EXEC), &["-l", "spn", "-e", "AzureMoon"]);
    assert!(error.starts_with("--environment \"AzureMoon\""), "{error}");
    let old = AZ_EXEC.replace(']', ", --environment, AzureMoon]");
    let (texts, plan) = convert_files(&[&exec_user(&old)], &["-l", "spn"]).expect("converted");
    assert!(texts[0].contains("AzureMoon"));
    let warnings = &plan.report.warnings;
    assert!(warnings[0].contains("AzureChinaCloud"), "{warnings:?}");
}

/// Azure/kubelogin writes neither for msi, azurecli, azd, workloadidentity and azurepipelines, and the next secret or
/// assertion goes to the public cloud.
#[test]
fn every_mode_keeps_the_cloud_and_the_authority_host() {
    let sent = "--environment, AzureChinaCloud, --authority-host, 'https://login.example/'";
    let start = exec_user(&AZ_EXEC.replace(']', &format!(", {sent}]")));
    for first in LoginMode::all() {
        let one = convert(&start, typed_for(*first));
        for second in LoginMode::all() {
            let args = args_of(&convert(&one, typed_for(*second)))
                .remove(0)
                .join(" ");
            for kept in [
                "--environment AzureChinaCloud",
                "--authority-host https://login.example/",
            ] {
                assert!(
                    args.contains(kept),
                    "{first} to {second} lost {kept}: {args}"
                );
            }
        }
    }
    // The default cloud is not written where the original does not write it.
    let public = exec_user(&AZ_EXEC.replace(']', ", --environment, AzurePublicCloud]"));
    assert_eq!(
        args_of(&convert(&public, &["-l", "azurecli"]))[0].join(" "),
        "get-token --login azurecli --server-id s"
    );
}

#[test]
fn pop_flags_of_a_mode_that_cannot_prove_possession_are_put_aside() {
    let pop = "--pop-enabled, --pop-claims, u=x";
    for mode in LoginMode::all() {
        let old = AZ_EXEC.replace("devicecode", &mode.to_string());
        let old = exec_user(&old.replace(']', &format!(", {pop}]")));
        let mode = mode.to_string();
        let same = convert(&old, &["-l", &mode]);
        let args = args_of(&same)[0].join(" ");
        let proves = LoginMode::parse(Some(&mode))
            .expect("a mode")
            .proves_possession();
        assert_eq!(args.contains("--pop-claims u=x"), proves, "{args}");
        let (_, again) = convert_files(&[&same], &["-l", &mode]).expect("converted");
        assert!(
            again.changes.is_empty(),
            "{mode}, again: {}",
            again.changes[0].text
        );
        let back = args_of(&convert(&same, &["-l", "interactive"]))
            .remove(0)
            .join(" ");
        assert!(
            back.contains("--pop-enabled --pop-claims u=x"),
            "{mode}: {back}"
        );
    }
}

#[test]
fn a_flag_that_is_empty_is_refused_by_name_and_an_empty_cache_dir_clears_it() {
    let text = exec_user(&AZ_EXEC.replace(']', ", --cache-dir, /old]"));
    for row in Flag::ALL.iter().filter(|row| row.takes != Takes::Switch) {
        let name = row.flag.typed();
        if row.flag == Flag::CacheDir {
            continue;
        }
        let error = failure(&text, &[name, ""]);
        assert!(error.starts_with(&format!("{name} is empty")), "{error}");
    }
    for name in ["--context", "--kubeconfig", "--azure-config-dir"] {
        let words = ["kubelogin", "convert-kubeconfig", name, ""].map(OsString::from);
        let error = Cli::parse(words).err().expect("refused").to_string();
        assert!(error.starts_with(&format!("{name} is empty")), "{error}");
    }
    for mode in ["devicecode", "azurecli"] {
        let cleared = convert(&text, &["-l", mode, "--cache-dir", ""]);
        assert!(!cleared.contains("/old"), "{cleared}");
    }
    assert!(convert(&text, &["-l", "azurecli"]).contains("/old"));
}

#[test]
fn an_id_that_get_token_refuses_is_refused_when_it_is_typed_and_kept_with_a_warning_when_it_is_old()
{
    let text = exec_user(AZ_EXEC);
    for (flag, says) in [
        ("--server-id", "server ID \"x y\" is not valid"),
        ("--client-id", "client ID \"x y\" is not valid"),
    ] {
        let error = failure(&text, &["-l", "devicecode", flag, "x y"]);
        assert!(error.starts_with(says), "{error}");
    }
    let old = exec_user(&AZ_EXEC.replace("--server-id, s,", "--server-id, 'x y',"));
    assert_ne!(old, text);
    let (texts, plan) = convert_files(&[&old], &["-l", "azurecli"]).expect("converted");
    assert!(texts[0].contains("x y"), "{}", texts[0]);
    let warnings = &plan.report.warnings;
    assert!(
        warnings[0].contains("get-token will fail: server ID"),
        "{warnings:?}"
    );
}

/// People sign in with them: get-token would send one as a service principal (AADSTS700025).
#[test]
fn a_service_principal_does_not_get_the_client_id_of_a_public_client() {
    for public in [AKS_CLIENT, AZ_CLIENT] {
        let text = exec_user(&AZ_EXEC.replace("c, --tenant", &format!("{public}, --tenant")));
        let spn = convert(&text, &["-l", "spn"]);
        let wanted = "get-token --login spn --server-id s --tenant-id t";
        assert_eq!(args_of(&spn)[0].join(" "), wanted);
        let (_, again) = convert_files(&[&spn], &["-l", "spn"]).expect("converted");
        assert!(again.changes.is_empty());
        let back = convert(&spn, &["-l", "devicecode"]);
        assert_eq!(args_of(&back), args_of(&text), "{spn}");
        let written = exec_user(&format!(
            "[get-token, --login, spn, --server-id, s, --client-id, {public}, --tenant-id, t]"
        ));
        assert_eq!(
            args_of(&convert(&written, &["-l", "spn"]))[0].join(" "),
            wanted
        );
        let typed = convert(&text, &["-l", "spn", "--client-id", public]);
        assert!(args_of(&typed)[0].contains(&public.to_owned()));
    }
}

#[test]
fn what_only_a_shell_would_replace_is_pointed_out() {
    for (value, is_literal) in [
        ("$CLIENT_ID", true),
        ("${CLIENT_ID}", true),
        ("$env:CLIENT_ID", true),
        ("$(cat id)", true),
        ("%CLIENT_ID%", true),
        ("~/id.pem", true),
        ("100%", false),
        ("a%20b%20c", false),
        ("costs $5", false),
        ("c", false),
    ] {
        let typed = ["-l", "spn", "--client-certificate", value];
        let (_, plan) = convert_files(&[&exec_user(AZ_EXEC)], &typed).expect("converted");
        let warnings = &plan.report.warnings;
        let is_warned = warnings
            .iter()
            .any(|line| line.contains("--client-certificate"));
        assert_eq!(is_warned, is_literal, "{value}: {warnings:?}");
        let secret = ["-l", "spn", "--client-secret", value];
        let (_, plan) = convert_files(&[&exec_user(AZ_EXEC)], &secret).expect("converted");
        assert!(
            plan.report.warnings.is_empty(),
            "a secret may hold anything"
        );
    }
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
        plan.report.remarks[0].contains("pass them again"),
        "{:?}",
        plan.report.remarks
    );
    let (_, again) = convert_files(&[&texts[0]], &["-l", "azurecli"]).expect("converted");
    assert_eq!(again.changes.len() + again.report.remarks.len(), 0);
    let (_, block) = convert_files(&[&exec_user(AZ_EXEC)], &["-l", "azurecli"]).expect("converted");
    assert_eq!(block.report.remarks, [""; 0]);
}

#[test]
fn our_comment_does_not_count_once_somebody_has_moved_it() {
    let moved = "exec:\n      command: kubelogin\n      args: # kubelogin keeps for other login modes: [\"--login\", \"spn\", \"--client-id\", \"x\"]\n      - get-token\n      - --server-id\n      - s\n      - --client-id\n      - c\n      - -t\n      - t\n";
    let azurecli = convert(&format!("{HEAD}    {moved}"), &["-l", "azurecli"]);
    let spn = convert(&azurecli, &["-l", "spn"]);
    let expected = "get-token --login spn --server-id s --client-id c --tenant-id t";
    assert_eq!(args_of(&spn)[0].join(" "), expected, "{azurecli}");
}

#[test]
fn an_id_that_get_token_would_refuse_is_refused_when_it_is_typed_and_pointed_out_when_it_is_old() {
    for (flag, value) in [
        ("--client-id", "a b"),
        ("--client-id", "/subscriptions/s/x"),
        ("--tenant-id", "a b"),
    ] {
        let error = failure(&exec_user(AZ_EXEC), &["-l", "spn", flag, value]);
        assert!(
            error.contains(&format!("{value:?}")) && error.contains(flag),
            "{error}"
        );
    }
    let old = AZ_EXEC.replace("--client-id, c", "--client-id, a b");
    let (texts, plan) =
        convert_files(&[&exec_user(&old)], &["-l", "interactive"]).expect("converted");
    assert!(texts[0].contains("- \"a b\"\n"), "{}", texts[0]);
    let warnings = &plan.report.warnings;
    assert!(
        warnings[0].contains("get-token will fail: client ID \"a b\""),
        "{warnings:?}"
    );
}
