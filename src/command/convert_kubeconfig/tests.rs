use std::ffi::OsString;
use std::fs;
use std::path::Path;

use proptest::prelude::*;

use super::*;
use crate::cli::{Cli, Command};
use crate::flag::Takes;
use crate::kubeconfig::tree::{Node, Tree, Value};
use crate::login_mode::LoginMode;

#[path = "../../../tests/support/kubeconfig.rs"]
mod generated;

const FIXTURES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/kubeconfig");
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

const HEAD: &str = "users:\n- name: alice\n  user:\n";

fn parse(args: &[&str]) -> ConvertArgs {
    let words = ["kubelogin", "convert-kubeconfig"];
    let words = words.iter().chain(args).map(OsString::from);
    match Cli::parse(words).expect("parsed").command {
        Command::ConvertKubeconfig(args) => args,
        _ => panic!("another command"),
    }
}

/// Converts files without a disk: what each holds afterwards, and the plan.
fn convert_files(texts: &[&str], args: &[&str]) -> Result<(Vec<String>, Plan), Error> {
    convert_with(texts, args, &Env::of(&[]))
}

fn convert_with(texts: &[&str], args: &[&str], env: &Env) -> Result<(Vec<String>, Plan), Error> {
    let args = parse(args);
    let files: Vec<_> = texts
        .iter()
        .enumerate()
        .map(|(number, text)| KubeconfigFile::in_memory(&format!("config{number}"), *text))
        .collect();
    let plan = Conversion::new(&args, env)?.convert(&files)?;
    let mut texts: Vec<String> = texts.iter().map(|text| (*text).to_owned()).collect();
    for change in &plan.changes {
        texts[change.file].clone_from(&change.text);
    }
    Ok((texts, plan))
}

fn convert(text: &str, args: &[&str]) -> String {
    let (mut texts, _) =
        convert_files(&[text], args).unwrap_or_else(|error| panic!("{error}\n{text}"));
    texts.remove(0)
}

fn failure(text: &str, args: &[&str]) -> String {
    match convert_files(&[text], args) {
        Err(error) => error.to_string(),
        Ok((texts, _)) => panic!("converted:\n{}", texts[0]),
    }
}

/// The arguments of each exec user.
fn args_of(text: &str) -> Vec<Vec<String>> {
    let kubeconfig = Kubeconfig::parse("config", text).expect("parsed");
    let users = kubeconfig.users().expect("users");
    let args = |user| match kubeconfig.credentials(user).expect("credentials") {
        Credentials::Exec(exec) => {
            let args = kubeconfig.args(&exec).expect("args");
            Some(args.into_iter().map(str::to_owned).collect())
        }
        _ => None,
    };
    users.iter().filter_map(args).collect()
}

fn exec_user(args: &str) -> String {
    format!("{HEAD}    exec:\n      command: kubelogin\n      args: {args}\n")
}

const AZ_EXEC: &str =
    "[get-token, --login, devicecode, --server-id, s, --client-id, c, --tenant-id, t]";

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
fn every_pair_of_files_is_byte_exact_and_a_second_run_changes_nothing() {
    let mut pairs = 0;
    for case in fs::read_dir(FIXTURES).expect("fixtures") {
        let case = case.expect("a folder").path();
        let read = |path: &Path| fs::read_to_string(path).expect("a fixture is text");
        let before = read(&case.join("before.yaml"));
        for mode in LoginMode::all() {
            let after = case.join(format!("after.{mode}.yaml"));
            if !after.exists() {
                continue;
            }
            let after = read(&after);
            let converted = convert(&before, &["-l", &mode.to_string()]);
            assert!(
                converted == after,
                "{} to {mode} gave:\n{converted}",
                case.display()
            );
            let (_, again) =
                convert_files(&[&after], &["-l", &mode.to_string()]).expect("converted");
            assert!(
                again.changes.is_empty(),
                "{} to {mode}, again",
                case.display()
            );
            pairs += 1;
        }
    }
    assert!(pairs >= 40, "only {pairs} pairs were found");
}

#[test]
fn every_mode_turns_to_every_mode_and_back_to_the_same_arguments() {
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
fn ids_survive_the_modes_that_have_no_place_for_them() {
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
    assert!(
        !text.contains('#'),
        "nothing is left to be remembered:\n{text}"
    );
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
    assert_eq!(plan.warnings, [""; 0]);
    let (texts, plan) = convert_with(
        &[&text],
        &["-l", "spn", "--client-secret", "pass word"],
        &env,
    )
    .expect("converted");
    assert!(args_of(&texts[0])[0].ends_with(&["--client-secret".into(), "pass word".into()]));
    assert_eq!(plan.warnings.len(), 1);
    assert!(
        plan.warnings[0].contains("--client-secret") && !plan.warnings[0].contains("pass word")
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
fn a_typed_secret_and_a_typed_certificate_take_each_other_s_place() {
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
        plan.warnings[0].contains("AzureChinaCloud"),
        "{:?}",
        plan.warnings
    );
}

#[test]
fn what_surrounds_the_arguments_stays() {
    let text = format!(
        "{HEAD}    exec:\n      command: /opt/bin/kubelogin\n      apiVersion: {V1}\n      env:\n      - {{name: A, value: b}}\n      args: {AZ_EXEC}\n      installHint: mine\n      interactiveMode: Never\n      extra: [1]\n    client-key: k\n"
    );
    let converted = convert(&text, &["-l", "azurecli", "--azure-config-dir", "/az"]);
    for kept in [
        "/opt/bin/kubelogin",
        V1,
        "{name: A, value: b}",
        "installHint: mine",
        "interactiveMode: Never",
        "extra: [1]",
        "client-key: k",
    ] {
        assert!(converted.contains(kept), "{kept} is gone:\n{converted}");
    }
    assert!(
        converted.contains("- name: AZURE_CONFIG_DIR\n        value: /az\n      - {name: A"),
        "{converted}"
    );
    let again = convert(
        &converted,
        &["-l", "azurecli", "--azure-config-dir", "/other"],
    );
    assert_eq!(again, converted.replace("/az", "/other"));
}

#[test]
fn only_kubelogin_by_its_own_name_is_kubelogin() {
    for command in [
        "kubelogin",
        "kubelogin.exe",
        "KubeLogin.exe",
        "/a/kubelogin",
        r"C:\a b\kubelogin.exe",
        "./kubelogin",
    ] {
        assert!(is_kubelogin(command), "{command}");
    }
    for command in [
        "kubelogin.sh",
        "/kubelogin/aws",
        "my-kubelogin",
        "kubelogin-wrapper",
        "",
        "kubelogin/",
    ] {
        assert!(!is_kubelogin(command), "{command}");
    }
    for (command, absolute) in [
        ("/a", true),
        (r"C:\a", true),
        ("c:/a", true),
        (r"\\host\a", true),
        ("a/b", false),
        ("C:a", false),
    ] {
        assert_eq!(is_absolute(command), absolute, "{command}");
    }
}

#[test]
fn of_several_files_the_first_that_names_a_user_wins() {
    let text = exec_user(AZ_EXEC);
    let other = text.replace("alice", "bob");
    let (texts, plan) = convert_files(&[&text, &text, &other], &["-l", "spn"]).expect("converted");
    assert_ne!(texts[0], text);
    assert_eq!(texts[1], text, "kubectl never sees this one");
    assert_ne!(texts[2], other);
    assert_eq!(
        plan.converted,
        [(0, "alice".to_owned()), (2, "bob".to_owned())]
    );
}

const CONTEXTS: &str = "contexts:\n- name: work\n  context: {user: bob}\n- name: home\n  context: {user: alice}\n- name: nobody\n  context: {cluster: c}\n- name: ghost\n  context: {user: casper}\n";

#[test]
fn a_context_means_its_user_and_never_everybody() {
    let text = exec_user(AZ_EXEC);
    let bob = format!("{}{CONTEXTS}", text.replace("alice", "bob"));
    let (texts, plan) =
        convert_files(&[&text, &bob], &["-l", "spn", "--context", "work"]).expect("converted");
    assert_eq!(plan.converted, [(1, "bob".to_owned())]);
    assert_eq!(texts[0], text);
    let failure = |context| failure(&bob, &["-l", "spn", "--context", context]);
    assert!(failure("nobody").contains("context \"nobody\" has no user"));
    assert!(failure("ghost").contains("\"casper\""));
    let unknown = failure("wrok");
    assert!(
        unknown.starts_with("no context exists with the name: \"wrok\""),
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

#[test]
fn a_user_that_cannot_be_converted_is_named_with_its_place() {
    let cases: &[(&str, &str, &str)] = &[
        (
            "    auth-provider: {name: azure}\n",
            "config0:2:3: user \"alice\": server-id is required",
            "--server-id",
        ),
        (
            "    exec: {command: kubelogin}\n",
            "config0:2:3: user \"alice\": server-id is required",
            "--server-id",
        ),
        (
            "    exec: {command: kubelogin, args: [get-token, --server-id, s]}\n",
            "client-id is required",
            "--client-id",
        ),
        (
            "    exec: {command: kubelogin, args: [get-token, 5]}\n",
            "user \"alice\": config0:4:50: the argument 5 is no text",
            "quotes",
        ),
        (
            "    exec: {command: kubelogin, args: [get-token, yes]}\n",
            "the argument yes is no text",
            "quotes",
        ),
        (
            "    exec: {command: kubelogin, args: {a: b}}\n",
            "config0:4:38: args must be a list, it is a map",
            "",
        ),
        (
            "    exec: {command: kubelogin, args: [get-token, --legacy, false]}\n",
            "the argument false",
            "",
        ),
        (
            "    exec: {command: kubelogin, args: [get-token, --legacy, 'false']}\n",
            "belongs to no flag",
            "Correct or remove",
        ),
        (
            "    exec: {command: kubelogin, args: [get-token, --new-flag]}\n",
            "unknown flag: --new-flag",
            "Correct or remove",
        ),
        (
            "    exec: {command: kubelogin, args: [get-token, --server-id, s, --client-id, c, -t, t, --pop-enabled]}\n",
            "user \"alice\": --pop-enabled needs --pop-claims",
            "",
        ),
        (
            "    exec: [kubelogin]\n",
            "config0:4:11: exec must be a map, it is a list",
            "",
        ),
        (
            "    auth-provider: {name: azure}\n    exec: {command: kubelogin}\n",
            "an auth-provider and an exec",
            "Remove one",
        ),
    ];
    for (user, what, remedy) in cases {
        let error = failure(&format!("{HEAD}{user}"), &["-l", "spn"]);
        assert!(error.contains(what), "{user}: {error}");
        assert!(
            error.contains(remedy) && error.contains("alice"),
            "{user}: {error}"
        );
        assert!(error.lines().count() <= 3, "{error}");
    }
}

#[test]
fn a_file_that_is_no_kubeconfig_is_refused_with_its_place() {
    let nested = format!("a: {}", "[".repeat(10_000));
    let block = (0..10_000).fold(String::new(), |text, depth| {
        text + &" ".repeat(depth % 300) + "a:\n"
    });
    let cases: &[(&str, &str)] = &[
        ("users: [", "config0:"),
        ("users:\n\t- name: a\n", "config0:2:"),
        ("a: \"b\n", "config0:1:4"),
        ("just words", "config0:1:1: a kubeconfig must be a map"),
        (
            "- users",
            "config0:1:1: a kubeconfig must be a map, it is a list",
        ),
        (
            "users: {a: b}",
            "config0:1:8: users must be a list, it is a map",
        ),
        ("users:\n- a\n", "config0:2:3: a user must be a map"),
        ("users:\n- user: {}\n", "config0:2:3: the user has no name"),
        (
            "users:\n- name: a\n  user: null\n",
            "config0:3:3: user \"a\" is null",
        ),
        ("users:\n- name: a\n", "config0:2:3: user \"a\" is null"),
        ("users:\n- null\n", "a user must be a map, it is null"),
        (
            "users:\n- name: a\n  user: []\n",
            "config0:3:9: user must be a map, it is a list",
        ),
        (
            "users:\n- {name: a, user: {}}\n- {name: a, user: {}}\n",
            "config0:3:3: user \"a\" is there already, in line 2",
        ),
        (
            "users: []\nusers: []\n",
            "config0:2:1: the key \"users\" is there twice",
        ),
        (
            "users:\n- name: [a]\n  user: {}\n",
            "name must be text, it is a list",
        ),
        (&nested, "config0:1:"),
        (&block, "config0:"),
        ("a: *nowhere\n", "config0:1:4"),
    ];
    for (text, what) in cases {
        let error = failure(text, &["-l", "spn"]);
        assert!(
            error.contains(what),
            "{}: {error}",
            &text[..text.len().min(60)]
        );
        assert!(error.lines().count() <= 3, "{error}");
    }
}

#[test]
fn an_alias_bomb_is_not_expanded() {
    let mut text = String::from("a0: &a0 [x, x]\n");
    for level in 1..100 {
        let inner = level - 1;
        text += &format!("a{level}: &a{level} [*a{inner}, *a{inner}, *a{inner}]\n");
    }
    let bomb = text + &exec_user(AZ_EXEC);
    assert!(convert(&bomb, &["-l", "spn"]).contains("- spn"));
}

#[test]
fn what_cannot_be_edited_alone_is_refused() {
    let login = format!("{{command: kubelogin, args: {AZ_EXEC}}}");
    let cases = [
        format!("x: &x\n  exec: {login}\nusers:\n- name: a\n  user: *x\n"),
        format!("x: &x {login}\nusers:\n- name: a\n  user:\n    exec: *x\n"),
        format!("x: &x\n  exec: {login}\nusers:\n- name: a\n  user:\n    <<: *x\n"),
        format!(
            "x: &x\n  command: kubelogin\nusers:\n- name: a\n  user:\n    exec:\n      <<: *x\n      command: kubelogin\n      args: {AZ_EXEC}\n"
        ),
        format!("users:\n- name: a\n  user: &u\n    exec: {login}\n- name: b\n  user: *u\n"),
        format!(
            "users:\n- name: a\n  user:\n    exec: {{command: kubelogin, args: &args {AZ_EXEC}}}\nx: *args\n"
        ),
        format!("users:\n- &a\n  name: a\n  user:\n    exec: {login}\nx: *a\n"),
        "users:\n- name: a\n  user:\n    auth-provider: {name: azure, config: {apiserver-id: s, client-id: c, tenant-id: t}}\n    exec: null\n".into(),
        format!("users: &all\n- name: a\n  user:\n    exec: {login}\nx: *all\n"),
        format!(
            "users:\n- name: a\n  user:\n    exec: {{command: kubelogin, args: {AZ_EXEC}, args: []}}\n"
        ),
    ];
    for text in cases {
        let error = failure(&text, &["-l", "spn"]);
        assert!(error.contains("config0:"), "{text}: {error}");
        assert!(
            error.contains("again"),
            "the way out is missing: {text}: {error}"
        );
    }
}

#[test]
fn ids_that_json_has_no_comment_for_are_warned_of() {
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
        plan.warnings[0].contains("type them again"),
        "{:?}",
        plan.warnings
    );
    let (_, again) = convert_files(&[&texts[0]], &["-l", "azurecli"]).expect("converted");
    assert_eq!(again.changes.len() + again.warnings.len(), 0);
    let (_, block) = convert_files(&[&exec_user(AZ_EXEC)], &["-l", "azurecli"]).expect("converted");
    assert_eq!(block.warnings, [""; 0]);
}

#[test]
fn a_comment_of_ours_that_somebody_moved_does_not_count() {
    let moved = "exec:\n      command: kubelogin\n      args: # kubelogin keeps for other login modes: [\"--login\", \"spn\", \"--client-id\", \"x\"]\n      - get-token\n      - --server-id\n      - s\n      - --client-id\n      - c\n      - -t\n      - t\n";
    let azurecli = convert(&format!("{HEAD}    {moved}"), &["-l", "azurecli"]);
    let spn = convert(&azurecli, &["-l", "spn"]);
    let expected = "get-token --login spn --server-id s --client-id c --tenant-id t";
    assert_eq!(args_of(&spn)[0].join(" "), expected, "{azurecli}");
}

#[test]
fn lines_end_as_those_around_them() {
    for eol in ["\n", "\r\n", "\r"] {
        // One other line end, above or below, does not count.
        for (before, after) in [("#\n", ""), ("#\r\n", ""), ("#\r", ""), ("", "#\n")] {
            let text = format!("{before}{}{after}", exec_user(AZ_EXEC).replace('\n', eol));
            let converted = convert(&text, &["-l", "spn"]);
            let ours = &converted[before.len()..converted.len() - after.len()];
            let others = ours.replace(eol, "");
            assert!(!others.contains(['\n', '\r']), "{text:?} => {converted:?}");
        }
    }
}

#[test]
fn json_without_indentation_is_converted() {
    let text = "{\n\"users\": [\n{\n\"name\": \"a\",\n\"user\": {\n\"exec\": {\n\"command\": \"kubelogin\",\n\"args\": [\"get-token\", \"--server-id\", \"s\"]\n}\n}\n}\n]\n}\n";
    let converted = convert(text, &["-l", "azurecli"]);
    let value: serde_json::Value = serde_json::from_str(&converted).expect("JSON");
    assert_eq!(value["users"][0]["user"]["exec"]["args"][2], "azurecli");
}

#[test]
fn a_diff_shows_no_secret_of_ours_or_of_another_tool() {
    let secret_flags = Flag::ALL
        .iter()
        .filter(|definition| matches!(definition.takes, Takes::Secret(_)));
    let mut args = vec!["get-token".to_owned(), "--server-id".into(), "s".into()];
    for definition in secret_flags {
        args.extend([definition.flag.typed(), "hunter2".into()]);
        args.push(format!("{}=hunter2", definition.flag.typed()));
    }
    let args = serde_json::Value::from(args);
    let text = format!(
        "x: &x hunter2\nusers:\n- name: a\n  user:\n    token: *x\n    exec: {{command: kubelogin, args: {args}}}\n- name: b\n  user:\n    exec:\n      args:\n      - --oidc-client-secret=hunter2\n      - --token\n      - hunter2\n"
    );
    let (texts, plan) = convert_files(&[&text], &["-l", "azurecli"]).expect("converted");
    let parsed = |text| Kubeconfig::parse("config", text).expect("parsed");
    let cuts = &plan.changes[0].cuts;
    let diff = diff::unified("config", &parsed(&text), &parsed(&texts[0]), cuts);
    assert!(
        diff.contains("[secret]") && !diff.contains("hunter2"),
        "{diff}"
    );
}

#[test]
fn an_anchor_inside_that_is_used_inside_is_no_obstacle() {
    let text = format!(
        "{HEAD}    exec:\n      command: kubelogin\n      args: [get-token, --server-id, &s s, --client-id, *s, -t, t]\n"
    );
    let converted = convert(&text, &["-l", "spn"]);
    assert_eq!(
        args_of(&converted)[0].join(" "),
        "get-token --login spn --server-id s --client-id s --tenant-id t"
    );
}

#[test]
fn nothing_to_convert_is_explained() {
    let system = crate::system::fake::FakeSystem::new([]);
    let (_, plan) = convert_files(
        &["users:\n- name: a\n  user: {exec: {command: aws}}\n- name: b\n  user: {token: t}\n"],
        &["-l", "spn"],
    )
    .expect("converted");
    plan.tell(&[], &[], "converted", &system);
    assert_eq!(
        system.told(),
        [
            "0 of 2 users converted: \"a\" runs \"aws\"; \"b\" has neither an auth-provider nor an exec"
        ]
    );
    for empty in ["", "# nothing\n", "---\n", "users: null\n", "{}"] {
        let (_, plan) = convert_files(&[empty], &["-l", "spn"]).expect("converted");
        assert!(plan.changes.is_empty());
    }
}

#[test]
fn many_users_are_converted_at_once() {
    let text = generated::legacy_kubeconfig(100);
    let converted = convert(&text, &["-l", "azurecli"]);
    assert_eq!(args_of(&converted).len(), 100);
    assert!(args_of(&converted).iter().all(|args| args[2] == "azurecli"));
}

#[test]
fn a_client_that_calls_us_as_its_plugin_is_told_to_use_get_token() {
    let env = Env::of(&[(env::KUBERNETES_EXEC_INFO, "{}")]);
    let system = crate::system::fake::FakeSystem::new([]);
    let error = run(&parse(&[]), &env, &system, &mut Vec::new())
        .expect_err("refused")
        .to_string();
    assert!(error.contains("use get-token"), "{error}");
}

/// A random kubeconfig in a random style, with what must be left alone around what is converted.
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

/// What kubectl reads, without what a conversion is to change.
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
                // An auth-provider becomes an exec: an exec of ours with nothing of its own counts as none.
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

proptest! {
    #![proptest_config(cases())]

    #[test]
    fn bytes_outside_the_converted_users_and_the_meaning_of_all_else_stay(random in random_kubeconfig(), mode in 0..LoginMode::all().len()) {
        let text = random.text();
        let args = ["-l", &LoginMode::all()[mode].to_string()];
        let (texts, plan) = convert_files(&[&text], &args).unwrap_or_else(|error| panic!("{error}\n{text}"));
        let converted = &texts[0];
        let ours = random.users.iter().filter(|user| user.login < FIRST_OTHER).count();
        prop_assert_eq!(plan.converted.len(), ours, "{}", converted);
        // Every cut lies in the block of a user that is ours.
        let kubeconfig = Kubeconfig::parse("config", &text).expect("parsed");
        let blocks: Vec<_> = kubeconfig.users().expect("users").iter().zip(&random.users)
            .filter(|(_, user)| user.login < FIRST_OTHER).map(|(user, _)| user.block()).collect();
        for cut in plan.changes.iter().flat_map(|change| &change.cuts) {
            prop_assert!(blocks.iter().any(|block| block.start <= cut.range.start && cut.range.end <= block.end), "{:?}\n{}", cut, text);
        }
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
