//! The real az: whose token kubelogin returns, and when it runs az again.

use crate::installed;
use crate::support::az::{RealAz, SECOND_SUBSCRIPTION, no_version_check};

#[test]
fn az_s_own_token_is_served_until_its_account_changes() {
    let az = RealAz::new(installed("az-venv/bin/az"));
    let kubelogin = az.kubelogin();
    for _ in 0..2 {
        assert_eq!(kubelogin.run().token(), "alice's token");
        assert_eq!(az.runs(), 1, "kept");
    }
    az.run(&["account", "show"]);
    assert_eq!(kubelogin.run().token(), "alice's token");
    assert_eq!(az.runs(), 1, "az ran again although it only read its state");

    az.run(&["account", "set", "--subscription", SECOND_SUBSCRIPTION]);
    assert_eq!(kubelogin.run().token(), "alice's token");
    assert_eq!(az.runs(), 2, "az account set");

    az.run(&["account", "clear"]);
    let error = kubelogin.run().error();
    assert!(error.contains("az login --scope"), "{error}");
    assert_eq!(az.runs(), 3, "az account clear");
}

#[test]
fn another_config_folder_is_another_account() {
    let az = RealAz::new(installed("az-venv/bin/az"));
    let kubelogin = az.kubelogin();
    assert_eq!(kubelogin.run().token(), "alice's token");
    let elsewhere = az.room.folder("nobody");
    no_version_check(&elsewhere);
    let error = kubelogin.env("AZURE_CONFIG_DIR", elsewhere).run().error();
    assert!(error.contains("az login"), "{error}");
}
