//! What holds in any environment.

use proptest::prelude::*;

use super::*;

/// The variables that a choice depends on.
#[rustfmt::skip]
const VARIABLES: &[&str] = &[
    env::AAD_LOGIN_METHOD, env::AZURE_CLIENT_ID, env::AZURE_TENANT_ID, env::AZURE_CLIENT_SECRET,
    env::AZURE_CLIENT_CERTIFICATE_PATH, env::AZURE_USERNAME, env::AZURE_PASSWORD, env::AZURE_FEDERATED_TOKEN_FILE,
    env::AZURE_AUTHORITY_HOST, env::AZURE_KUBERNETES_TOKEN_PROXY, env::AZURE_KUBERNETES_CA_FILE, env::AZURE_TOKEN_CREDENTIALS,
    env::AZURE_CONFIG_DIR, env::AZD_CONFIG_DIR, env::AZD_AUTH_ENDPOINT, env::ARM_CLIENT_ID, env::ARM_TENANT_ID,
    env::ARM_CLIENT_SECRET, env::ARM_USE_OIDC, env::ARM_OIDC_TOKEN, env::ARM_OIDC_TOKEN_FILE_PATH, env::ARM_OIDC_REQUEST_URL,
    env::ARM_OIDC_REQUEST_TOKEN, env::ACTIONS_ID_TOKEN_REQUEST_URL, env::ACTIONS_ID_TOKEN_REQUEST_TOKEN,
    env::SYSTEM_OIDCREQUESTURI, env::SYSTEM_ACCESSTOKEN, env::AZURESUBSCRIPTION_CLIENT_ID, env::AZURESUBSCRIPTION_TENANT_ID,
    env::AZURESUBSCRIPTION_SERVICE_CONNECTION_ID, env::IDENTITY_ENDPOINT, env::IDENTITY_HEADER, env::IMDS_ENDPOINT,
    env::MSI_ENDPOINT, env::MSI_SECRET, env::ACC_CLOUD, env::CI, env::TF_BUILD, env::GITHUB_ACTIONS, env::GITLAB_CI,
    env::JENKINS_URL, env::KUBERNETES_SERVICE_HOST, env::KUBERNETES_EXEC_INFO, env::BROWSER, env::DISPLAY, env::SSH_CONNECTION,
];

/// Files of other programs.
const FILES: &[&str] = &[
    ".azure/azureProfile.json",
    ".Azure/AzureRmContext.json",
    ".Azure/AzureRmContextSettings.json",
    ".azd/auth.json",
    ".azd/config.json",
    "asset-tag",
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]
    /// The choice itself has no `System`; the setup for it has one that would fail at the first request.
    #[test]
    fn no_environment_makes_the_choice_start_a_program_ask_a_host_or_prompt(
        rows in prop::collection::vec(0..SET_UPS.len(), 0..4),
        variables in prop::collection::vec((
            prop::sample::select(VARIABLES),
            prop::sample::select(&["", "true", "false", "dev", "auto", TENANT, "https://127.0.0.1:1/", "/dev/zero", "{\"spec\":{\"interactive\":true}}"][..]),
        ), 0..12),
        files in prop::collection::vec((
            prop::sample::select(FILES),
            prop::sample::select(&["", "{", "null", "{\"Mode\":\"Process\"}", "{\"subscriptions\":[{}]}", "{\"auth\":{\"useAzCliAuth\":\"true\"}}"][..]),
        ), 0..3),
        is_at_terminal: bool,
    ) {
        let mut world = world_of(&rows);
        world.is_at_terminal |= is_at_terminal;
        for (name, value) in variables {
            world.set(name, value);
        }
        for (file, content) in files {
            world.write(file, content);
        }
        let (system, env) = (FakeSystem::new([]), world.env());
        if let Ok(Resolved { options, choice, .. }) = world.resolved()
            && let Ok(sign_in) = SignIn::new(&options, &env, &system)
        {
            let choice = choice.expect("auto");
            choice.tell_change(choice.before(sign_in.cache()).as_deref(), &system);
        }
        prop_assert_eq!(system.requests().len(), 0);
        prop_assert_eq!(system.programs().len(), 0);
        prop_assert_eq!(system.prompts(), [""; 0]);
        prop_assert_eq!(system.opened(), [""; 0]);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    /// Whatever is set, the first row with all its signals is chosen, and never a row that the environment rules out.
    #[test]
    fn the_first_row_that_is_complete_is_taken(
        rows in prop::collection::vec(0..SET_UPS.len(), 0..6),
        in_pod: bool,
        in_ci: bool,
        unset in prop::collection::vec(any::<prop::sample::Index>(), 0..3),
    ) {
        let mut world = world_of(&rows);
        if in_pod {
            world.set(env::KUBERNETES_SERVICE_HOST, "10.0.0.1");
        }
        if in_ci {
            world.set(env::CI, "true");
        }
        for index in unset {
            let name = world.env[index.index(world.env.len())].0;
            if name != "HOME" {
                world.env.retain(|(other, _)| *other != name);
            }
        }
        let lines = world.lines();
        let first = lines.iter().position(|line| line.finding.is_ok());
        prop_assert_eq!(first, world.taken());
        if let Some(number) = first {
            let choice = world.resolved().map(|resolved| resolved.choice).ok().flatten();
            prop_assert_eq!(choice.map(|choice| choice.mode), Some(ROWS[number].mode));
            let is_node_s = ROWS[number].name == "an Azure VM or Arc machine";
            prop_assert!(!is_node_s || world.env().get(env::KUBERNETES_SERVICE_HOST).is_none());
            let mode = ROWS[number].mode;
            let is_personal = matches!(mode, LoginMode::Interactive | LoginMode::DeviceCode | LoginMode::Azd);
            prop_assert!(!is_personal || world.env().get(env::CI).is_none());
        } else {
            prop_assert!(world.resolved().is_err());
        }
    }
}
