//! `get-credentials` compared with the real az, and used by the real kubectl: the same Azure, the same cluster.

use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::cluster::{Cluster, NODES};
use crate::installed;
use crate::support::az::RealAz;
use crate::support::*;

const PROD: [&str; 5] = ["get-credentials", "-g", "shop", "-n", "prod"];

/// A kubeconfig as kubectl reads it, without our own extension.
fn meaning(kubeconfig: &Path) -> Value {
    let output = Command::new(installed("kubectl-1.37"))
        .args([
            "config",
            "view",
            "--raw",
            "--output",
            "json",
            "--kubeconfig",
        ])
        .arg(kubeconfig)
        .env_clear()
        .output()
        .expect("cannot start kubectl");
    assert!(output.status.success(), "{output:?}");
    let mut config: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    for cluster in config["clusters"].as_array_mut().expect("clusters") {
        let cluster = cluster["cluster"].as_object_mut().expect("a cluster");
        cluster.remove("extensions");
    }
    config
}

/// A kubeconfig that az wrote and `convert-kubeconfig` converted.
fn by_az(az: &RealAz, name: &str, mode: &str) -> Value {
    let path = az.room.path().join(name);
    let file = path.to_str().expect("UTF-8");
    az.run(&[
        "aks",
        "get-credentials",
        "-g",
        "shop",
        "-n",
        "prod",
        "-f",
        file,
    ]);
    let convert = Kubelogin::convert_kubeconfig(mode)
        .arg("--kubeconfig")
        .arg(&path);
    let output = convert.run();
    assert!(output.status.success(), "{output:?}");
    meaning(&path)
}

#[test]
fn what_is_written_means_what_az_and_a_conversion_write() {
    let az = RealAz::new(installed("az-venv/bin/az"));
    let _arm = FakeArm::start(az.entra());
    for mode in [
        "azurecli",
        "azd",
        "msi",
        "workloadidentity",
        "interactive",
        "devicecode",
        "spn",
    ] {
        let expected = by_az(&az, &format!("az-{mode}"), mode);
        let path = az.room.path().join(format!("ours-{mode}"));
        let own = Kubelogin::new()
            .args(PROD)
            .args([
                "-l",
                "azurecli",
                "--write-login",
                mode,
                "--subscription",
                SUBSCRIPTION_ID,
                "-f",
            ])
            .arg(&path);
        let output = az.attach(own).run();
        assert!(output.status.success(), "{mode}: {output:?}");
        assert_eq!(meaning(&path), expected, "{mode}");
    }
}

/// az itself runs `kubelogin convert-kubeconfig -l azurecli` in the kubeconfig's folder, with no other flags.
#[test]
fn az_s_own_conversion_by_kubelogin_works_from_its_folder() {
    let az = RealAz::new(installed("az-venv/bin/az"));
    let _arm = FakeArm::start(az.entra());
    let path = az.room.folder(".kube").join("config");
    let kubelogin = program_under_test();
    let programs = kubelogin.parent().expect("a folder").display().to_string();
    let path_variable = format!("{programs}:/usr/bin:/bin");
    az.run_with(
        &["aks", "get-credentials", "-g", "shop", "-n", "prod"],
        &[("PATH", &path_variable)],
    );
    let config = meaning(&path);
    let args = &config["users"][0]["user"]["exec"]["args"];
    let args: Vec<&str> = args
        .as_array()
        .expect("args")
        .iter()
        .filter_map(Value::as_str)
        .collect();
    assert_eq!(
        args[..3],
        ["get-token", "--login", "azurecli"],
        "{config:#}"
    );
}

#[test]
fn kubectl_lists_nodes_with_what_was_written() {
    let cluster = Cluster::start();
    let _arm = FakeArm::start_with(&cluster.entra, |rules| {
        rules.clusters[0].server = cluster.api_server.url();
        rules.clusters[0].certificate_authority = cluster.entra.ca_pem().to_owned();
    });
    let path = cluster.room.path().join("config");
    let get_credentials = Kubelogin::new()
        .args(PROD)
        .args([
            "-l",
            "spn",
            "--client-id",
            CONFIDENTIAL_CLIENT_ID,
            "--tenant-id",
            TENANT_ID,
        ])
        .args(["--subscription", SUBSCRIPTION_ID, "-f"])
        .arg(&path)
        .env("AZURE_CLIENT_SECRET", CLIENT_SECRET)
        .through_proxy(&cluster.entra);
    let output = get_credentials.run();
    assert!(output.status.success(), "{output:?}");
    cluster.answers("kubectl-1.37", NODES, &path);
}
