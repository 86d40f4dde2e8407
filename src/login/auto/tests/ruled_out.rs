//! What the environment and the Azure SDKs' variable rule out.

use super::*;

#[test]
fn a_person_s_login_is_never_taken_in_a_ci_job() {
    let personal = [
        "an earlier browser sign-in",
        "an earlier device code sign-in",
        "az",
        "Azure PowerShell",
        "azd",
        "a browser",
        "a terminal",
    ];
    let rows: Vec<_> = personal.iter().map(|name| number_of(name)).collect();
    for name in [
        env::CI,
        env::TF_BUILD,
        env::GITHUB_ACTIONS,
        env::GITLAB_CI,
        env::JENKINS_URL,
    ] {
        let mut world = world_of(&rows);
        assert_eq!(world.taken(), Some(rows[0]));
        world.set(name, "true");
        assert_eq!(world.taken(), None, "{name}");
        for off in ["false", "False", "0"] {
            world.set(name, off);
            assert_eq!(world.taken(), Some(rows[0]), "{name}={off}");
        }
    }
}

#[test]
fn the_node_s_identity_is_never_taken_in_a_pod() {
    let mut world = world_of(&[number_of("an Azure VM or Arc machine")]);
    world.set(env::KUBERNETES_SERVICE_HOST, "10.0.0.1");
    assert_eq!(world.taken(), None);
    let world = world_of(&[number_of("an Azure VM or Arc machine")]);
    assert!(world.taken().is_some());
    world.write("pod-secrets/serviceaccount/token", "jwt");
    assert_eq!(world.taken(), None, "a shell without the pod's variables");
}

#[test]
fn a_reason_claims_no_more_than_is_there() {
    let mut world = world_of(&[number_of("a browser")]);
    world.set(env::AZURE_TOKEN_CREDENTIALS, "DeviceCodeCredential");
    assert_eq!(world.choice().reason, "you can enter a device code");
    let terminal = world_of(&[number_of("a terminal")]);
    let reason = "there is a terminal and no browser";
    assert_eq!(terminal.choice().reason, reason);
}

#[test]
fn a_gitlab_job_without_a_token_is_told_how_to_pass_one() {
    let mut world = World::new();
    world.application();
    let error = |world: &World| world.resolved().expect_err("refused").to_string();
    let way = "--federated-token-env with the job's name under id_tokens:";
    assert!(!error(&world).contains(way));
    world.set(env::GITLAB_CI, "true");
    assert!(error(&world).contains(way), "{}", error(&world));
}

#[test]
fn terraform_s_token_that_is_switched_off_is_said_to_be() {
    let number = number_of("Terraform's federated token");
    for value in ["false", "False", "0"] {
        let mut world = world_of(&[number]);
        world.set(env::ARM_USE_OIDC, value);
        let finding = world.lines().swap_remove(number).finding;
        assert_eq!(finding, Err("ARM_USE_OIDC is false".into()), "{value}");
    }
}

#[test]
fn variables_that_a_flag_switches_off_are_not_said_to_be_missing() {
    let mut world = world_of(&[number_of("AKS workload identity")]);
    world.flag(Flag::DisableEnvironmentOverride, "true");
    let error = world.resolved().expect_err("refused").to_string();
    let says = "AZURE_FEDERATED_TOKEN_FILE is ignored because of --disable-environment-override";
    assert!(error.contains(says), "{error}");
    let says = "lacks (--disable-environment-override ignores variables for flags):";
    assert!(error.contains(says), "{error}");
}

#[test]
fn values_with_line_breaks_and_escapes_stay_within_their_line_of_the_error() {
    let mut world = World::new();
    world.application();
    world.set(env::AZURE_FEDERATED_TOKEN_FILE, "/a\n\n\u{1b}[31mb");
    let error = world.resolved().expect_err("refused").to_string();
    assert!(error.lines().count() <= 15, "{error}");
    assert!(!error.contains('\u{1b}'), "{error:?}");
    assert!(error.contains("cannot be read"), "{error}");
}

#[test]
fn an_earlier_sign_in_is_used_without_a_prompt_where_nobody_can_answer() {
    let mut world = world_of(&[number_of("an earlier browser sign-in")]);
    assert!(world.choice().is_silent);
    world.is_at_terminal = true;
    assert!(!world.choice().is_silent);
    world.is_at_terminal = false;
    world.set(
        env::KUBERNETES_EXEC_INFO,
        r#"{"spec":{"interactive":true}}"#,
    );
    assert!(!world.choice().is_silent);
}

#[test]
fn the_sdks_variable_narrows_the_choice_but_not_what_was_typed() {
    let spn = number_of("a service principal in the environment");
    let az = number_of("az");
    for (value, mode) in [
        ("dev", Some(LoginMode::AzureCli)),
        (" Prod ", Some(LoginMode::Spn)),
        ("", Some(LoginMode::Spn)),
        ("azureclicredential", Some(LoginMode::AzureCli)),
        ("EnvironmentCredential", Some(LoginMode::Spn)),
        ("AzurePowerShellCredential", None),
        ("ManagedIdentityCredential", None),
    ] {
        let mut world = world_of(&[spn, az]);
        world.set(env::AZURE_TOKEN_CREDENTIALS, value);
        let mode_taken = world.taken().map(|number| ROWS[number].mode);
        assert_eq!(mode_taken, mode, "{value:?}");
        world.flag(Flag::ClientSecret, "typed");
        assert_eq!(world.taken(), Some(0), "{value:?}");
    }
    let mut world = world_of(&[az]);
    world.set(env::AZURE_TOKEN_CREDENTIALS, "everything");
    let error = world.resolved().expect_err("refused").to_string();
    assert!(
        error.contains("AZURE_TOKEN_CREDENTIALS \"everything\""),
        "{error}"
    );
    assert!(error.contains("dev, prod"), "{error}");
}

/// Each value of the Azure SDKs' variable allows the rows of its modes, and no others.
#[test]
fn every_word_of_the_sdks_variable_rules_out_all_but_its_modes() {
    use LoginMode::{
        Azd, AzureCli, AzurePipelines, AzurePowerShell, DeviceCode, Interactive, Msi, Ropc, Spn,
        WorkloadIdentity,
    };
    for (word, modes) in [
        (
            "dev",
            &[AzureCli, AzurePowerShell, Azd, Interactive, DeviceCode][..],
        ),
        ("prod", &[Spn, Ropc, WorkloadIdentity, AzurePipelines, Msi]),
        ("EnvironmentCredential", &[Spn, Ropc]),
        ("WorkloadIdentityCredential", &[WorkloadIdentity]),
        ("ManagedIdentityCredential", &[Msi]),
        ("AzurePipelinesCredential", &[AzurePipelines]),
        ("AzureCliCredential", &[AzureCli]),
        ("AzurePowerShellCredential", &[AzurePowerShell]),
        ("AzureDeveloperCliCredential", &[Azd]),
        ("InteractiveBrowserCredential", &[Interactive]),
        ("DeviceCodeCredential", &[DeviceCode]),
    ] {
        for (number, row) in ROWS
            .iter()
            .enumerate()
            .filter(|(_, row)| row.group != "flags")
        {
            for word in [
                word.to_owned(),
                word.to_lowercase(),
                format!(" {} ", word.to_uppercase()),
            ] {
                let mut world = world_of(&[number]);
                world.set(env::AZURE_TOKEN_CREDENTIALS, &word);
                let finding = world.lines().swap_remove(number).finding;
                match finding {
                    Ok(_) => assert!(modes.contains(&row.mode), "{word}: {}", row.name),
                    Err(why) => {
                        assert!(!modes.contains(&row.mode), "{word}: {}: {why}", row.name);
                        assert!(why.contains("AZURE_TOKEN_CREDENTIALS"), "{why}");
                    }
                }
            }
        }
    }
    // Credentials of the SDKs that have no login mode here.
    for word in [
        "VisualStudioCodeCredential",
        "VisualStudioCredential",
        "BrokerCredential",
        "SharedTokenCacheCredential",
    ] {
        let mut world = world_of(&[number_of("az")]);
        world.set(env::AZURE_TOKEN_CREDENTIALS, word);
        let error = world.resolved().expect_err(word).to_string();
        assert!(
            error.contains(word) && error.contains("AzureCLICredential"),
            "{error}"
        );
    }
}
