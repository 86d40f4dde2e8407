//! What a conversion keeps for later ones, and what a later one restores.

use super::arguments::typed_for;
use super::*;

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

/// People cannot sign in with the client ID of an application that has its own credentials.
#[test]
fn people_get_back_the_client_id_that_they_had_before_an_application_signed_in() {
    const PUBLIC: &str = "80faf920-1908-4b52-b5ef-a8e7bedfc67a";
    let text = exec_user(&AZ_EXEC.replace("c, --tenant", &format!("{PUBLIC}, --tenant")));
    let robot = ["-l", "spn", "--client-id", "robot"];
    for between in [&["azurecli"][..], &[], &["azurecli", "azd", "msi"]] {
        let mut text = convert(&text, &robot);
        for mode in between {
            text = convert(&text, &["-l", mode]);
        }
        for (mode, client_id) in [
            ("devicecode", PUBLIC),
            ("interactive", PUBLIC),
            ("ropc", PUBLIC),
            ("spn", "robot"),
        ] {
            let back = args_of(&convert(&text, &["-l", mode])).remove(0).join(" ");
            let expected =
                format!("--login {mode} --server-id s --client-id {client_id} --tenant-id t");
            assert!(back.contains(&expected), "{between:?}: {back}\n{text}");
        }
    }
    // If there never was another one, like the original.
    let only = exec_user(&AZ_EXEC.replace("devicecode", "spn"));
    let people = args_of(&convert(&only, &["-l", "devicecode"])).remove(0);
    assert!(people.contains(&"c".to_owned()), "{people:?}");
}

/// What only one mode restores is remembered across any number of other modes, once per mode.
#[test]
fn every_mode_that_a_user_had_is_remembered() {
    let mut text = exec_user(AZ_EXEC);
    let mut had = Vec::new();
    for mode in LoginMode::all() {
        text = convert(&text, typed_for(*mode));
        had.push((mode, args_of(&text)));
    }
    for round in 0..3 {
        for (mode, args) in &had {
            text = convert(&text, &["-l", &mode.to_string()]);
            assert_eq!(&args_of(&text), args, "{mode}, round {round}:\n{text}");
        }
    }
    let note = text.lines().find(|line| line.contains("# kubelogin keeps"));
    let note = note.expect("our comment");
    assert!(
        note.matches("--login\"").count() < LoginMode::all().len(),
        "{note}"
    );
    assert!(note.len() < 2000, "{note}");
}
