//! `get-credentials`: which cluster, who asks, what is written, and what goes wrong.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::json;

use crate::support::*;

/// The Azure Resource Manager of the public cloud.
const ARM: &str = "management.azure.com";

/// `get-credentials` as a service principal, which reaches the stand-ins under the real names.
fn as_spn(entra: &FakeEntra) -> Kubelogin {
    bare(entra)
        .args(["--login", "spn", "--client-id", CONFIDENTIAL_CLIENT_ID])
        .args(["--tenant-id", TENANT_ID])
        .env("AZURE_CLIENT_SECRET", CLIENT_SECRET)
}

fn bare(entra: &FakeEntra) -> Kubelogin {
    Kubelogin::new().arg("get-credentials").through_proxy(entra)
}

/// The usual cluster, by its group and name.
const PROD: [&str; 6] = [
    "-g",
    "shop",
    "-n",
    "prod",
    "--subscription",
    SUBSCRIPTION_ID,
];

fn config(kubelogin: &Kubelogin) -> PathBuf {
    kubelogin.home().join(".kube/config")
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).expect("the kubeconfig is there")
}

/// Runs it, and gives what it wrote and said.
#[track_caller]
fn written(kubelogin: &Kubelogin) -> (String, String) {
    let output = kubelogin.clone().verbose().run();
    assert!(output.status.success(), "{output:?}");
    assert_eq!(output.stdout, "");
    (read(&config(kubelogin)), output.stderr)
}

/// Runs it to its error; no kubeconfig is written.
#[track_caller]
fn refused(kubelogin: &Kubelogin) -> String {
    let before = fs::read(config(kubelogin)).ok();
    let error = kubelogin.run().error();
    assert_eq!(
        fs::read(config(kubelogin)).ok(),
        before,
        "the file was changed"
    );
    error
}

/// Puts a kubeconfig into its home.
fn at_home(kubelogin: &Kubelogin, text: &str) -> PathBuf {
    let path = config(kubelogin);
    fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
    fs::write(&path, text).expect("a kubeconfig");
    path
}

fn paths(requests: &[Request]) -> Vec<&str> {
    let last = |request: &'_ Request| request.path.rsplit('/').next().map(str::len).unwrap_or(0);
    requests
        .iter()
        .map(|request| &request.path[request.path.len() - last(request)..])
        .collect()
}

#[test]
fn a_cluster_by_group_and_name_costs_one_request_to_each_and_makes_a_private_file() {
    let entra = FakeEntra::start();
    let arm = FakeArm::start(&entra);
    let kubelogin = as_spn(&entra).args(PROD);
    let (text, told) = written(&kubelogin);
    assert_eq!(paths(&arm.requests()), ["listClusterUserCredential"]);
    assert_eq!(arm.requests()[0].host(), ARM);
    assert_eq!(entra.token_requests(), 1);
    let path = config(&kubelogin).display().to_string();
    assert_eq!(
        told,
        format!("Merged \"prod\" as current context in {path}\n")
    );
    for part in [
        "server: https://prod-shop-0a1b2c3d.hcp.westeurope.azmk8s.io:443\n  name: prod\n",
        "    cluster: prod\n    user: clusterUser_shop_prod\n  name: prod\ncurrent-context: prod\n",
        "      - get-token\n      - --login\n      - spn\n      - --server-id\n",
        "resourceID: /subscriptions/50000000-0000-0000-0000-000000000001/resourceGroups/shop/providers/Microsoft.ContainerService/managedClusters/prod\n",
        &format!("tenantID: {TENANT_ID}\n"),
    ] {
        assert!(text.contains(part), "{part} is not in {text}");
    }
    assert!(!text.contains(CLIENT_SECRET));
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        let mode = |path: &Path| fs::metadata(path).expect("metadata").permissions().mode() & 0o777;
        assert_eq!(mode(&config(&kubelogin)), 0o600);
        assert_eq!(mode(config(&kubelogin).parent().expect("a folder")), 0o700);
    }
    // Again: nothing new, nothing said, and the token is the same one.
    let (again, told) = written(&kubelogin);
    assert_eq!((again, told.as_str()), (text, ""));
    assert_eq!(entra.token_requests(), 1);
}

#[test]
fn a_name_is_found_wherever_it_is_and_a_resource_id_needs_no_search() {
    let entra = FakeEntra::start();
    let arm = FakeArm::start_with(&entra, |rules| {
        let mut lab = FakeCluster::new("lab", "test");
        lab.subscription = OTHER_SUBSCRIPTION_ID.into();
        rules.clusters.push(lab);
    });
    let kubelogin = as_spn(&entra);
    let id = arm.cluster_id("test");
    written(&as_spn(&entra).arg("TEST"));
    assert_eq!(
        paths(&arm.take_requests()),
        ["resources", "listClusterUserCredential"]
    );
    written(&as_spn(&entra).arg(&id));
    assert_eq!(paths(&arm.take_requests()), ["listClusterUserCredential"]);
    written(&as_spn(&entra).args(["-n", "test", "--subscription", "labs"]));
    assert_eq!(
        paths(&arm.take_requests()),
        ["subscriptions", "resources", "listClusterUserCredential"]
    );
    written(
        &kubelogin
            .args(["-g", "LAB", "-n", "test"])
            .env("AZURE_SUBSCRIPTION_ID", OTHER_SUBSCRIPTION_ID),
    );
    assert_eq!(paths(&arm.take_requests()), ["listClusterUserCredential"]);
    for graph in [Graph::Behind, Graph::Forbidden, Graph::Missing] {
        arm.change(|rules| {
            rules.graph = graph;
            rules.page_size = 1;
        });
        let (text, _) = written(&as_spn(&entra).arg("test"));
        assert!(text.contains("name: test"), "{graph:?}");
    }
}

#[test]
fn what_cannot_be_found_says_what_was_searched_and_what_is_near() {
    let entra = FakeEntra::start();
    let arm = FakeArm::start_with(&entra, |rules| {
        let mut twin = FakeCluster::new("lab", "prod");
        twin.subscription = OTHER_SUBSCRIPTION_ID.into();
        rules.clusters.push(twin);
    });
    let output = as_spn(&entra).arg("prod").run();
    let error = output.error();
    assert!(
        error.contains("2 clusters are named \"prod\"") && error.contains("-g GROUP"),
        "{error}"
    );
    for twin in [
        "prod: group shop, subscription 50000000-0000-0000-0000-000000000001 (Shops), westeurope",
        "group lab",
    ] {
        assert!(output.stderr.contains(twin), "{}", output.stderr);
    }
    for (args, parts) in [
        (
            &["prd"][..],
            &[
                "no cluster is named \"prd\" in tenant",
                "Did you mean one of these: prod?",
            ][..],
        ),
        (
            &["-g", "lap", "-n", "prod", "--subscription", "Labs"],
            &["resource group does not exist", "ResourceGroupNotFound"],
        ),
        (
            &["-g", "lap", "-n", "prod"],
            &[
                "any group \"lap\"",
                "in another group: kubelogin get-credentials -g",
            ],
        ),
        (
            &["-g", "shop", "-n", "prd", "--subscription", SUBSCRIPTION_ID],
            &["cluster \"prd\" in group \"shop\" does not exist"],
        ),
        (
            &["prod", "--subscription", "Shop"],
            &["no subscription named \"Shop\"", "Shops"],
        ),
        (
            &[
                "prod",
                "-g",
                "shop",
                "--subscription",
                "50000000-0000-0000-0000-000000000009",
            ],
            &["no such subscription"],
        ),
        (&["x*"], &["no cluster is named like \"x*\""]),
        (&[], &["no cluster is named", "--all"]),
        (&["a/b"], &["not a valid cluster name"]),
        (&["--all", "prod"], &["--all and the name"]),
        (
            &["--all", "--context", "x"],
            &["--context names one cluster"],
        ),
        (
            &["prod", "--admin", "--format", "exec"],
            &["--format has no meaning"],
        ),
        (&["prod", "--format", "x"], &["unknown --format"]),
        (&["prod", "--write-login", "x"], &["unknown --write-login"]),
    ] {
        let error = refused(&as_spn(&entra).args(args));
        for part in parts {
            assert!(error.contains(part), "{args:?}: {part} is not in {error}");
        }
    }
    arm.take_requests();
}

#[test]
fn a_person_signs_in_once_for_azure_and_for_the_cluster() {
    let entra = FakeEntra::start();
    let arm = FakeArm::start(&entra);
    // Without a browser here a person gets a device code; whose tenant it is, the subscription tells.
    let kubelogin = bare(&entra).args(PROD);
    let (text, told) = written(&kubelogin);
    assert!(told.contains("Merged"), "{told}");
    assert!(
        text.contains("- devicecode") && text.contains(AZ_CLIENT_ID),
        "{text}"
    );
    assert_eq!((entra.prompts(), entra.logins()), (1, 1));
    assert_eq!(
        paths(&arm.requests()),
        [SUBSCRIPTION_ID, "listClusterUserCredential"]
    );
    // What kubectl runs next asks nobody.
    let args = [
        "get-token",
        "--login",
        "devicecode",
        "--server-id",
        SERVER_ID,
        "--client-id",
        AZ_CLIENT_ID,
        "--tenant-id",
        TENANT_ID,
        "--environment",
        "AzurePublicCloud",
    ];
    let get_token = Kubelogin::new()
        .args(args)
        .through_proxy(&entra)
        .env("KUBECACHEDIR", kubelogin.cache());
    let before = entra.token_requests();
    assert_eq!(claims_of(&get_token.run().token())["aud"], SERVER_ID);
    assert_eq!((entra.prompts(), entra.token_requests()), (1, before));
}

#[test]
#[cfg(unix)]
fn az_s_token_is_asked_for_azure_itself() {
    let entra = FakeEntra::start();
    let _arm = FakeArm::start(&entra);
    let now = std::time::SystemTime::UNIX_EPOCH
        .elapsed()
        .expect("after 1970")
        .as_secs();
    let resource = "https://management.core.windows.net/";
    let claims = json!({"aud": resource, "tid": TENANT_ID, "nbf": now, "exp": now + 3600});
    let answer = json!({"accessToken": entra.sign(&claims), "expires_on": now + 3600});
    let script = format!("echo \"$@\" >> \"$LOG\"\necho '{answer}'");
    let kubelogin = bare(&entra)
        .args(PROD)
        .args(["--login", "azurecli"])
        .program("az", &script);
    let room = TempDir::new();
    let log = room.path().join("az");
    let (text, _) = written(&kubelogin.env("LOG", &log));
    assert!(
        text.contains("- get-token\n      - --login\n      - azurecli\n      - --server-id\n"),
        "{text}"
    );
    let asked = read(&log);
    assert!(
        asked.contains("--resource https://management.core.windows.net/"),
        "{asked}"
    );
    assert!(
        asked.contains(&format!("--tenant {TENANT_ID}")),
        "the subscription's: {asked}"
    );
}

#[test]
fn a_person_whose_tenant_is_not_known_signs_in_to_their_own() {
    let entra = FakeEntra::start();
    let _arm = FakeArm::start(&entra);
    let kubelogin = bare(&entra).arg("prod");
    let (text, _) = written(&kubelogin);
    assert!(text.contains(&format!("tenantID: {TENANT_ID}")), "{text}");
    assert_eq!(entra.prompts(), 1);
    let requests = entra.requests_to(Endpoint::DeviceCode);
    assert!(requests[0].path.starts_with("/organizations/"));
}

#[test]
fn the_tenant_that_arm_names_is_signed_in_to_instead() {
    const OTHER: &str = "99999999-aaaa-4aaa-8aaa-999999999999";
    let entra = FakeEntra::start_with(|rules| rules.tenants.push(OTHER.into()));
    let arm = FakeArm::start_with(&entra, |rules| {
        rules.foreign.push((SUBSCRIPTION_ID.into(), OTHER.into()));
    });
    let (text, _) = written(&as_spn(&entra).args(PROD));
    assert!(text.contains(&format!("tenantID: {OTHER}")), "{text}");
    assert_eq!(arm.requests().len(), 2);
    // A token that is refused for another reason is renewed once, and then that is said.
    let expired = || {
        let body =
            json!({"error": {"code": "ExpiredAuthenticationToken", "message": "It has expired."}});
        Reply::json(401, &body)
    };
    arm.take_requests();
    arm.change(|rules| rules.foreign.clear());
    arm.next(expired());
    written(&as_spn(&entra).args(PROD));
    arm.take_requests();
    arm.next(expired());
    arm.next(expired());
    let error = refused(&as_spn(&entra).args(PROD));
    assert!(
        error.contains("It has expired.") && error.contains("ExpiredAuthenticationToken"),
        "{error}"
    );
    assert_eq!(arm.requests().len(), 2);
}

#[test]
fn a_refusal_names_who_may_not_and_the_command_that_helps() {
    let entra = FakeEntra::start();
    let arm = FakeArm::start_with(&entra, |rules| {
        rules.clusters[0].is_denied = true;
        let mut locked = FakeCluster::new("shop", "locked");
        locked.has_local_accounts_disabled = true;
        rules.clusters.push(locked);
    });
    let error = refused(&as_spn(&entra).args(PROD));
    for part in [
        "alice@contoso.example (object ID 55555555-",
        "\"Azure Kubernetes Service Cluster User Role\"",
        "az role assignment create --role",
        "correlation ID 77777777",
    ] {
        assert!(error.contains(part), "{error}");
    }
    let error = refused(&as_spn(&entra).args([
        "-g",
        "shop",
        "-n",
        "locked",
        "--subscription",
        SUBSCRIPTION_ID,
        "-a",
    ]));
    assert!(
        error.contains("local accounts are disabled") && error.contains("--admin"),
        "{error}"
    );
    for (reply, part) in [
        (Reply::html(200, "<html>hunter2"), "not the expected JSON"),
        (Reply::html(200, ""), "not the expected JSON"),
        (
            Reply::redirect(302, "https://evil.example/"),
            "answered 302",
        ),
        (
            Reply::json(200, &json!({"kubeconfigs": []})),
            "holds no kubeconfig",
        ),
        (
            Reply::new(200, "application/json", vec![b' '; 4 * 1024 * 1024 + 1]),
            "longer than 4 MiB",
        ),
    ] {
        arm.next(reply);
        let output = as_spn(&entra).args(PROD).run();
        output.hides(&["hunter2"]);
        assert!(output.error().contains(part), "{output:?}");
    }
}

#[test]
fn a_kubeconfig_that_is_out_of_the_ordinary_is_refused_and_nothing_is_written() {
    let entra = FakeEntra::start();
    let arm = FakeArm::start(&entra);
    let usual = read_usual(&entra);
    for (old, new, why) in [
        (
            "command: kubelogin",
            "command: /tmp/kubelogin",
            "runs \"/tmp/kubelogin\"",
        ),
        ("https://", "http://", "not an https address"),
        (
            "- get-token\n",
            "- get-token\n      - --authority-host\n      - https://evil.example/\n",
            "passes --authority-host",
        ),
        (
            "- get-token\n",
            "- get-token\n      - --unknown\n",
            "arguments that get-token does not know",
        ),
        (
            "AzurePublicCloud",
            "AzureEvilCloud",
            "unknown --environment",
        ),
        (
            "    server:",
            "    insecure-skip-tls-verify: true\n    server:",
            "insecure-skip-tls-verify",
        ),
        ("kind: Config", "\u{1}", "not YAML or JSON"),
    ] {
        assert!(usual.contains(old), "{old}");
        let odd = usual.replace(old, new);
        arm.change(|rules| rules.clusters[0].kubeconfig = Some(odd));
        let error = refused(&as_spn(&entra).args(PROD));
        assert!(
            error.contains(why) && error.contains("Nothing was written"),
            "{why}: {error}"
        );
    }
}

/// What the fake cluster's kubeconfig is before it is converted.
fn read_usual(entra: &FakeEntra) -> String {
    let output = as_spn(entra)
        .args(PROD)
        .args(["-f", "-", "--write-login", "devicecode"])
        .run();
    assert!(output.status.success(), "{output:?}");
    let text = output.stdout;
    // Without the extension, which is ours.
    let start = text.find("    extensions:").expect("an extension");
    let end = text.find("    server:").expect("a server");
    format!("{}{}", &text[..start], &text[end..])
}

#[test]
fn stdout_gets_the_kubeconfig_and_nothing_else_and_a_closed_one_is_an_error() {
    let entra = FakeEntra::start();
    let _arm = FakeArm::start(&entra);
    let kubelogin = as_spn(&entra).args(PROD).args(["-f", "-"]);
    let output = kubelogin.run();
    assert!(
        output.status.success() && output.stdout.starts_with("apiVersion: v1\nclusters:\n"),
        "{output:?}"
    );
    assert_eq!(output.stderr, "");
    assert!(!config(&kubelogin).exists());
    // No HOME is needed for it.
    assert!(kubelogin.env_remove("HOME").run().status.success());
    let homeless = as_spn(&entra).args(PROD).env_remove("HOME");
    assert!(homeless.run().error().contains("no home folder"));
}

#[test]
fn a_dry_run_shows_the_difference_without_secrets_and_writes_nothing() {
    let entra = FakeEntra::start();
    let _arm = FakeArm::start(&entra);
    let kubelogin = as_spn(&entra).args(PROD).args(["--dry-run", "--admin"]);
    let path = at_home(&kubelogin, "apiVersion: v1\nkind: Config\n");
    let output = kubelogin.run();
    assert!(output.status.success(), "{output:?}");
    output.hides(&["static-token-of-prod"]);
    assert!(
        output.stdout.contains("+current-context: prod-admin"),
        "{}",
        output.stdout
    );
    assert_eq!(read(&path), "apiVersion: v1\nkind: Config\n");
}

#[test]
fn the_admin_s_certificate_is_written_as_it_comes_beside_the_user_s_login() {
    let entra = FakeEntra::start();
    let _arm = FakeArm::start(&entra);
    let kubelogin = as_spn(&entra).args(PROD);
    written(&kubelogin);
    let (text, told) = written(&kubelogin.arg("-a"));
    assert!(
        text.contains("token: static-token-of-prod")
            && text.contains("name: prod-admin\ncurrent-context: prod-admin"),
        "{text}"
    );
    assert!(
        told.contains("Note: prod-admin sign in with their own certificate"),
        "{told}"
    );
    assert_eq!(
        text.matches("- cluster:\n").count(),
        1,
        "the cluster is the same"
    );
}

#[test]
fn a_cluster_of_the_same_name_is_left_alone_unless_one_of_them_gets_another_name() {
    let entra = FakeEntra::start();
    let _arm = FakeArm::start_with(&entra, |rules| {
        let mut twin = FakeCluster::new("shop", "prod");
        twin.subscription = OTHER_SUBSCRIPTION_ID.into();
        twin.server = "https://twin.example".into();
        rules.clusters.push(twin);
    });
    let kubelogin = as_spn(&entra).args(PROD);
    written(&kubelogin);
    let twin = kubelogin.args(["--subscription", OTHER_SUBSCRIPTION_ID]);
    let error = refused(&twin);
    assert!(
        error.contains("is another cluster") && error.contains("--context NAME"),
        "{error}"
    );
    let twin = twin.args(["--context", "twin", "--no-current-context"]);
    let (text, told) = written(&twin);
    assert!(told.starts_with("Merged \"twin\" in "), "{told}");
    assert!(text.contains("current-context: prod\n"));
    assert!(
        text.contains("    cluster: twin\n    user: twin\n  name: twin\n"),
        "{text}"
    );
    let (text, _) = written(&twin.args(["--context", "prod", "--overwrite-existing"]));
    assert!(!text.contains("prod-shop-0a1b2c3d"), "{text}");
}

#[test]
fn the_mode_that_is_written_can_be_another_than_the_one_that_signs_in() {
    let entra = FakeEntra::start();
    let _arm = FakeArm::start(&entra);
    let kubelogin = as_spn(&entra)
        .args(PROD)
        .args(["--write-login", "interactive"]);
    let (text, _) = written(&kubelogin);
    assert!(
        text.contains("- interactive") && text.contains(PUBLIC_CLIENT_ID),
        "{text}"
    );
    assert!(!text.contains(CONFIDENTIAL_CLIENT_ID));
    let (text, _) = written(&kubelogin.args(["--write-login", "azurecli", "--format", "azure"]));
    assert!(
        text.contains("- azurecli") && !text.contains("auth-provider"),
        "{text}"
    );
}

#[test]
fn what_is_wrong_with_the_file_is_said_before_anybody_signs_in() {
    let entra = FakeEntra::start();
    let _arm = FakeArm::start(&entra);
    for (text, why) in [
        ("users: [", "not valid YAML"),
        ("- a\n", "must be a map"),
        ("users: 5\n", "must be a list"),
    ] {
        let kubelogin = bare(&entra).args(PROD);
        at_home(&kubelogin, text);
        let error = refused(&kubelogin);
        assert!(error.contains(why), "{error}");
    }
    let kubelogin = bare(&entra).args(PROD).arg("-f").arg(std::env::temp_dir());
    assert!(kubelogin.run().error().contains("is a directory"));
    let kubelogin = bare(&entra).args(PROD);
    let path = at_home(&kubelogin, "");
    let mut permissions = fs::metadata(&path).expect("metadata").permissions();
    permissions.set_readonly(true);
    fs::set_permissions(&path, permissions).expect("a read-only file");
    assert!(refused(&kubelogin).contains("is read-only"));
    assert_eq!(entra.prompts(), 0);
}

#[test]
fn of_several_files_the_first_that_is_there_gets_what_is_new() {
    let entra = FakeEntra::start();
    let _arm = FakeArm::start(&entra);
    let room = TempDir::new();
    let (one, two, three) = (
        room.path().join("one"),
        room.file("two", ""),
        room.file("three", ""),
    );
    let list = std::env::join_paths([&one, &two, &three]).expect("a list");
    let kubelogin = as_spn(&entra).args(PROD).env("KUBECONFIG", &list);
    let output = kubelogin.verbose().run();
    assert!(output.status.success(), "{output:?}");
    assert!(
        output.stderr.contains(&two.display().to_string()),
        "{output:?}"
    );
    assert!(read(&two).contains("name: prod") && read(&three).is_empty() && !one.exists());
    fs::remove_file(&two).expect("removed");
    fs::remove_file(&three).expect("removed");
    assert!(
        as_spn(&entra)
            .args(PROD)
            .env("KUBECONFIG", &list)
            .run()
            .status
            .success()
    );
    assert!(
        read(&three).contains("name: prod"),
        "none is there: the last is made"
    );
}

#[test]
#[cfg(unix)]
fn a_link_is_followed_even_where_it_leads_nowhere_yet() {
    let entra = FakeEntra::start();
    let _arm = FakeArm::start(&entra);
    let room = TempDir::new();
    let link = room.path().join("link");
    std::os::unix::fs::symlink("folder/real", &link).expect("a link");
    let kubelogin = as_spn(&entra).args(PROD).arg("-f").arg(&link);
    for _ in 0..2 {
        let output = kubelogin.run();
        assert!(output.status.success(), "{output:?}");
        assert!(fs::symlink_metadata(&link).expect("metadata").is_symlink());
        assert!(read(&room.path().join("folder/real")).contains("name: prod"));
    }
}

#[test]
fn thirty_at_once_into_one_file_are_all_there() {
    const CLUSTERS: usize = 30;
    let entra = FakeEntra::start();
    let _arm = FakeArm::start_with(&entra, |rules| {
        rules.clusters = (0..CLUSTERS)
            .map(|number| FakeCluster::new("shop", &format!("c{number}")))
            .collect();
    });
    let room = TempDir::new();
    let path = room.path().join("config");
    let runs: Vec<_> = (0..CLUSTERS)
        .map(|number| {
            let name = format!("c{number}");
            as_spn(&entra)
                .args([
                    "-g",
                    "shop",
                    "-n",
                    &name,
                    "--subscription",
                    SUBSCRIPTION_ID,
                    "-f",
                ])
                .arg(&path)
        })
        .collect();
    let running: Vec<_> = runs.iter().map(Kubelogin::spawn).collect();
    for running in running {
        let output = running.wait();
        assert!(output.status.success(), "{output:?}");
    }
    let text = read(&path);
    for number in 0..CLUSTERS {
        assert!(
            text.contains(&format!(
                "    user: clusterUser_shop_c{number}\n  name: c{number}\n"
            )),
            "{number}"
        );
    }
    assert_eq!(names_in(room.path()), ["config"], "what was left beside it");
}

#[test]
fn all_clusters_are_fetched_with_one_sign_in_and_one_that_fails_stops_no_other() {
    const CLUSTERS: usize = 40;
    let entra = FakeEntra::start();
    let arm = FakeArm::start_with(&entra, |rules| {
        rules.clusters = (0..CLUSTERS)
            .map(|number| FakeCluster::new("shop", &format!("c{number}")))
            .collect();
        rules.clusters[7].is_denied = true;
        rules.clusters[8].is_stopped = true;
        rules.clusters[9].server = "https://c9.privatelink.westeurope.azmk8s.io:443".into();
        rules.page_size = 25;
    });
    let kubelogin = as_spn(&entra).arg("--all");
    let output = kubelogin.run();
    let error = output.error();
    assert!(error.contains("1 of 40 clusters failed"), "{error}");
    assert!(
        output
            .stderr
            .contains("c7 (group shop): alice@contoso.example"),
        "{output:?}"
    );
    assert!(
        output.stderr.contains("Note: c9 are private")
            && output.stderr.contains("Note: c8 are stopped"),
        "{output:?}"
    );
    assert!(
        !output.stderr.contains("40 clusters: "),
        "progress is for terminals"
    );
    let text = read(&config(&kubelogin));
    assert_eq!(
        text.matches("    user: clusterUser_shop_c").count(),
        CLUSTERS - 1
    );
    assert!(text.contains("current-context: \"\""), "{text}");
    assert_eq!(
        arm.take_requests().len(),
        CLUSTERS + 2,
        "two pages of a list, and each cluster"
    );
    assert_eq!(entra.token_requests(), 1);
    // A pattern, and a service that is busy.
    arm.change(|rules| rules.throttled = (1, 0));
    let (text, _) = written(&as_spn(&entra).arg("C3*"));
    assert_eq!(text.matches("- context:\n").count(), 11);
}

#[test]
fn azure_stack_s_file_names_its_own_resource_manager() {
    let entra = FakeEntra::start();
    let arm = FakeArm::start(&entra);
    let room = TempDir::new();
    let stack = json!({
        "activeDirectoryEndpoint": entra.authority_host(), "resourceManagerEndpoint": arm.url(),
        "tokenAudience": STACK_AUDIENCE,
    });
    let file = room.file("stack.json", stack.to_string());
    arm.change(|rules| rules.only_version = Some("2021-07-01".into()));
    let kubelogin = Kubelogin::new()
        .args([
            "get-credentials",
            "--environment",
            "AzureStackCloud",
            "--login",
            "spn",
        ])
        .args([
            "--client-id",
            CONFIDENTIAL_CLIENT_ID,
            "--tenant-id",
            TENANT_ID,
        ])
        .args(PROD)
        .env("AZURE_CLIENT_SECRET", CLIENT_SECRET)
        .env("SSL_CERT_FILE", entra.ca_file())
        .env("AZURE_ENVIRONMENT_FILEPATH", file);
    let (text, _) = written(&kubelogin);
    assert!(text.contains("environment: AzureStackCloud"), "{text}");
    let versions: Vec<_> = arm
        .requests()
        .iter()
        .filter_map(|request| request.parameter("api-version").map(str::to_owned))
        .collect();
    assert_eq!(versions, ["2024-09-01", "2021-07-01"]);
}

#[test]
fn each_cloud_s_own_resource_manager_is_asked() {
    for (environment, host, authority) in [
        (
            "AzureChinaCloud",
            "management.chinacloudapi.cn",
            "login.chinacloudapi.cn",
        ),
        (
            "AzureUSGovernmentCloud",
            "management.usgovcloudapi.net",
            "login.microsoftonline.us",
        ),
        (
            "AzureBleuCloud",
            "management.sovcloud-api.fr",
            "login.sovcloud-identity.fr",
        ),
    ] {
        let entra = FakeEntra::start_with(|rules| rules.host_names.push(authority.into()));
        let arm = FakeArm::start(&entra);
        written(
            &as_spn(&entra)
                .args(PROD)
                .args(["--environment", environment]),
        );
        assert_eq!(arm.requests()[0].host(), host);
        assert_eq!(entra.requests()[0].host(), authority);
    }
}

#[test]
fn a_call_by_kubectl_is_a_mistake_that_is_named() {
    let entra = FakeEntra::start();
    let kubelogin = as_spn(&entra).args(PROD).called_by_kubectl();
    assert!(refused(&kubelogin).contains("called by a Kubernetes client"));
}

#[test]
fn managed_namespaces_and_fleet_hubs_are_fetched_by_their_resource_ids() {
    let entra = FakeEntra::start();
    let arm = FakeArm::start(&entra);
    let id = arm.cluster_id("prod");
    for id in [
        format!("{id}/managedNamespaces/team"),
        id.replace("managedClusters", "fleets"),
    ] {
        let (text, _) = written(&as_spn(&entra).arg(&id));
        assert!(text.contains(&format!("resourceID: {id}\n")), "{text}");
    }
    assert_eq!(
        paths(&arm.requests()),
        ["listCredential", "listCredentials"]
    );
    let arc = id.replace(
        "Microsoft.ContainerService/managedClusters",
        "Microsoft.Kubernetes/connectedClusters",
    );
    assert!(refused(&as_spn(&entra).arg(arc)).contains("az connectedk8s proxy"));
}

#[test]
fn a_lock_is_waited_for_and_a_stale_one_is_named() {
    let entra = FakeEntra::start();
    let _arm = FakeArm::start(&entra);
    let kubelogin = as_spn(&entra).args(PROD);
    let path = at_home(&kubelogin, "kind: Config\n");
    let lock = path.with_extension("lock");
    fs::write(&lock, "").expect("a lock");
    assert!(refused(&kubelogin).contains("config.lock"));
    let running = kubelogin.spawn();
    fs::remove_file(&lock).expect("the lock");
    assert!(running.wait().status.success());
    assert!(read(&path).contains("name: prod"));
}

#[test]
#[cfg(unix)]
fn a_full_disk_leaves_the_file_as_it_was() {
    let entra = FakeEntra::start();
    let _arm = FakeArm::start(&entra);
    let kubelogin = as_spn(&entra).args(PROD).storage("none");
    let old = legacy_kubeconfig(10);
    let path = at_home(&kubelogin, &old);
    // A limit on the size of files fails the write in the middle, as a full disk does.
    let limited = ["-c", "trap '' XFSZ; ulimit -f 2; exec \"$@\"", "sh"];
    let output = kubelogin
        .start(&mut kubelogin.command_under("sh", &limited))
        .wait();
    assert!(output.error().contains("cannot be replaced"), "{output:?}");
    assert_eq!(read(&path), old);
    assert_eq!(names_in(path.parent().expect("a folder")), ["config"]);
}

#[test]
#[cfg(unix)]
fn a_closed_stdout_is_an_error() {
    let entra = FakeEntra::start();
    let _arm = FakeArm::start(&entra);
    let kubelogin = as_spn(&entra).args(PROD).args(["-f", "-"]);
    let (reader, writer) = std::io::pipe().expect("a pipe");
    drop(reader);
    let output = kubelogin
        .command()
        .stdout(writer)
        .output()
        .expect("it starts");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    assert!(stderr.contains("cannot write to stdout"), "{stderr}");
}
