//! The table, row by row and pair by pair. No test has a `System`, so nothing can be chosen by running a program or
//! contacting a host.

use std::fs;
use std::path::Path;

use serde_json::json;
use tempfile::TempDir;

use super::*;
use crate::login;
use crate::sign_in::SignIn;
use crate::system::fake::FakeSystem;
use crate::variables::{AKS_CLIENT, AZ_CLIENT};

mod property;
mod ruled_out;

const TENANT: &str = "11111111-1111-1111-1111-111111111111";
const OTHER_TENANT: &str = "22222222-2222-2222-2222-222222222222";

/// An environment to run kubelogin in.
struct World {
    home: TempDir,
    flags: Vec<(Flag, String)>,
    env: Vec<(&'static str, String)>,
    is_at_terminal: bool,
    has_asset_tag: bool,
}

impl World {
    /// With a kubeconfig of AKS, and nothing else.
    fn new() -> Self {
        let home = TempDir::new().expect("a folder");
        let env = vec![("HOME", home.path().display().to_string())];
        let mut world = Self {
            home,
            flags: Vec::new(),
            env,
            is_at_terminal: false,
            has_asset_tag: false,
        };
        for (flag, value) in [
            (Flag::Login, "auto"),
            (Flag::ServerId, "srv"),
            (Flag::ClientId, AKS_CLIENT),
            (Flag::TenantId, TENANT),
        ] {
            world.flag(flag, value);
        }
        // Not a prompt: a client that runs us says that it has no terminal.
        world.set(
            env::KUBERNETES_EXEC_INFO,
            r#"{"spec":{"interactive":false}}"#,
        );
        world
    }

    fn flag(&mut self, flag: Flag, value: &str) {
        self.flags.push((flag, value.to_owned()));
    }

    fn set(&mut self, name: &'static str, value: &str) {
        self.env.retain(|(other, _)| *other != name);
        self.env.push((name, value.to_owned()));
    }

    fn application(&mut self) {
        self.set(env::AZURE_CLIENT_ID, "app");
        self.set(env::AZURE_TENANT_ID, TENANT);
    }

    fn write(&self, file: &str, content: &str) -> String {
        let path = self.home.path().join(file);
        fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        fs::write(&path, content).expect("written");
        path.display().to_string()
    }

    /// Signs in to az with one more account; the first is the default.
    fn az(&self, name: &str, kind: &str, tenant: &str) {
        let path = self.home.path().join(".azure/azureProfile.json");
        let old = fs::read(&path).unwrap_or_else(|_| br#"{"subscriptions":[]}"#.to_vec());
        let mut profile: serde_json::Value = serde_json::from_slice(&old).expect("JSON");
        let accounts = profile["subscriptions"].as_array_mut().expect("a list");
        accounts.push(json!({
            "id": "s", "state": "Enabled", "tenantId": tenant, "isDefault": accounts.is_empty(),
            "user": {"name": name, "type": kind},
        }));
        self.write(".azure/azureProfile.json", &profile.to_string());
    }

    /// Leaves a cached token of this mode.
    fn session(&self, mode: LoginMode) {
        let (typed, env) = (self.typed(), self.env());
        let signals = Signals::new(&typed, &env, self.machine());
        let (typed, env) = signals.settled(mode, false);
        let (options, _) = Options::resolve(&typed, &env).expect("options");
        let login = login::new(&options, &env).expect("login");
        let scope = crate::token::Scope::of_server(&options.server_id);
        let key = login::cache_key(mode, &*login, &scope);
        let stem = format!(
            ".kube/cache/kubelogin/kubelogin-{}",
            hex::encode(key.digest())
        );
        let person = login::person_key(&scope).digest();
        let note = format!(
            ".kube/cache/kubelogin/kubelogin-{}.note",
            hex::encode(person)
        );
        self.write(&note, "");
        self.write(&format!("{stem}.lock"), "");
        self.write(&format!("{stem}.0123456789abcdef.token"), "sealed");
    }

    fn typed(&self) -> FlagValues {
        let mut typed = FlagValues::new();
        for (flag, value) in &self.flags {
            typed.set(*flag, value.as_str());
        }
        typed
    }

    fn env(&self) -> Env {
        let env = self.env.iter();
        Env::of(
            &env.map(|(name, value)| (*name, value.as_str()))
                .collect::<Vec<_>>(),
        )
    }

    fn machine(&self) -> Machine {
        let tag = self.home.path().join("asset-tag");
        if self.has_asset_tag {
            fs::write(&tag, "7783-7084-3265-9085-8269-3286-77\n").expect("written");
        }
        Machine {
            asset_tag: tag,
            guest_agent: None,
            pod_secrets: self.home.path().join("pod-secrets"),
            has_arc_agent: |_| false,
            is_at_terminal: if self.is_at_terminal {
                || true
            } else {
                || false
            },
        }
    }

    fn lines(&self) -> Vec<Line> {
        lines(&Signals::new(&self.typed(), &self.env(), self.machine())).expect("lines")
    }

    /// The number of the row that is taken.
    fn taken(&self) -> Option<usize> {
        self.lines().iter().position(|line| line.is_taken)
    }

    fn resolved(&self) -> Result<Resolved, Error> {
        choose(&Signals::new(&self.typed(), &self.env(), self.machine()))
    }

    fn choice(&self) -> Choice {
        self.resolved().expect("resolved").choice.expect("auto")
    }
}

/// What each row requires, in the order of the table.
const SET_UPS: &[fn(&mut World)] = &[
    |w| w.flag(Flag::ClientSecret, "secret"),
    |w| w.flag(Flag::Username, "bob"),
    |w| w.flag(Flag::FederatedTokenFile, "/token"),
    |w| w.flag(Flag::IdentityResourceId, "/subscriptions/x"),
    |w| w.flag(Flag::AzurePipelinesServiceConnectionId, "connection"),
    |w| {
        w.application();
        let path = w.write("token", "jwt");
        w.set(env::AZURE_FEDERATED_TOKEN_FILE, &path);
    },
    |w| {
        w.application();
        for name in [
            env::CI,
            env::GITHUB_ACTIONS,
            env::ACTIONS_ID_TOKEN_REQUEST_URL,
            env::ACTIONS_ID_TOKEN_REQUEST_TOKEN,
        ] {
            w.set(name, "true");
        }
    },
    |w| {
        w.flag(Flag::UseAzurermEnvVars, "true");
        w.set(env::ARM_CLIENT_ID, "app");
        w.set(env::ARM_TENANT_ID, TENANT);
        w.set(env::ARM_USE_OIDC, "true");
        w.set(env::ARM_OIDC_TOKEN, "jwt");
    },
    |w| {
        for name in [
            env::TF_BUILD,
            env::SYSTEM_OIDCREQUESTURI,
            env::SYSTEM_ACCESSTOKEN,
            env::AZURESUBSCRIPTION_CLIENT_ID,
            env::AZURESUBSCRIPTION_TENANT_ID,
            env::AZURESUBSCRIPTION_SERVICE_CONNECTION_ID,
        ] {
            w.set(name, "True");
        }
    },
    |w| {
        w.application();
        w.set(env::AZURE_CLIENT_SECRET, "secret");
    },
    |w| {
        w.set(env::CI, "true");
        w.az("robot", "servicePrincipal", TENANT);
    },
    |w| {
        w.set(env::IDENTITY_ENDPOINT, "http://127.0.0.1:1/");
        w.set(env::IDENTITY_HEADER, "secret");
    },
    |w| w.set(env::ACC_CLOUD, "PROD"),
    |w| w.session(LoginMode::Interactive),
    |w| w.session(LoginMode::DeviceCode),
    |w| w.az("alice@example.com", "user", TENANT),
    |w| {
        let contexts = json!({"DefaultContextKey": "k", "Contexts": {
            "k": {"Account": {"Id": "alice@example.com", "Type": "User"}, "Tenant": {"Id": TENANT}},
        }});
        w.write(".Azure/AzureRmContext.json", &contexts.to_string());
    },
    |w| {
        let auth = json!({"auth": {"account": {"currentUser": {"homeAccountId": "x"}}}});
        w.write(".azd/auth.json", &auth.to_string());
    },
    |w| w.has_asset_tag = true,
    |w| {
        w.set(env::DISPLAY, ":0");
        w.is_at_terminal = true;
    },
    |w| w.is_at_terminal = true,
];

fn world_of(rows: &[usize]) -> World {
    let mut world = World::new();
    for row in rows {
        SET_UPS[*row](&mut world);
    }
    world
}

fn number_of(name: &str) -> usize {
    ROWS.iter().position(|row| row.name == name).expect(name)
}

#[test]
fn each_row_is_taken_when_it_is_alone() {
    assert_eq!(SET_UPS.len(), ROWS.len());
    for (number, row) in ROWS.iter().enumerate() {
        let world = world_of(&[number]);
        assert_eq!(world.taken(), Some(number), "{}", row.name);
        assert_eq!(world.choice().mode, row.mode, "{}", row.name);
        assert_eq!(world.resolved().expect("resolved").options.login, row.mode);
    }
}

#[test]
fn of_every_two_rows_the_higher_is_taken() {
    let rows: Vec<_> = ROWS.iter().enumerate().collect();
    for (higher, row) in &rows {
        for (lower, other) in &rows[higher + 1..] {
            let taken = world_of(&[*higher, *lower]).taken();
            assert_eq!(taken, Some(*higher), "{} and {}", row.name, other.name);
        }
    }
}

#[test]
fn half_of_a_signal_is_none_and_what_is_missing_is_named() {
    for (row, unset, says) in [
        (
            "AKS workload identity",
            env::AZURE_FEDERATED_TOKEN_FILE,
            "AZURE_FEDERATED_TOKEN_FILE is not set",
        ),
        (
            "AKS workload identity",
            env::AZURE_CLIENT_ID,
            "--client-id (AZURE_CLIENT_ID)",
        ),
        (
            "GitHub Actions",
            env::ACTIONS_ID_TOKEN_REQUEST_URL,
            "id-token: write",
        ),
        ("GitHub Actions", env::AZURE_CLIENT_ID, "AZURE_CLIENT_ID"),
        (
            "Azure Pipelines",
            env::SYSTEM_ACCESSTOKEN,
            "SYSTEM_ACCESSTOKEN is not set",
        ),
        (
            "Azure Pipelines",
            env::AZURESUBSCRIPTION_SERVICE_CONNECTION_ID,
            "AZURESUBSCRIPTION_SERVICE_CONNECTION_ID",
        ),
        (
            "a service principal in the environment",
            env::AZURE_CLIENT_SECRET,
            "AZURE_CLIENT_SECRET",
        ),
        (
            "a service principal in the environment",
            env::AZURE_CLIENT_ID,
            "AZURE_CLIENT_ID",
        ),
        (
            "a managed identity endpoint",
            env::IDENTITY_HEADER,
            "IDENTITY_HEADER",
        ),
    ] {
        let number = number_of(row);
        let mut world = world_of(&[number]);
        world.env.retain(|(name, _)| *name != unset);
        assert_eq!(world.taken(), None, "{row} without {unset}");
        let finding = world.lines().swap_remove(number).finding;
        let missing = finding.expect_err(row);
        assert!(missing.contains(says), "{missing}");
        let error = world.resolved().expect_err("refused").to_string();
        assert!(error.contains(&missing), "{error}");
    }
}

#[test]
fn terraform_s_names_half_set_are_no_service_principal() {
    let mut world = World::new();
    world.flag(Flag::UseAzurermEnvVars, "true");
    world.set(env::ARM_CLIENT_SECRET, "secret");
    assert_eq!(world.taken(), None);
    world.set(env::ARM_CLIENT_ID, "app");
    world.set(env::ARM_TENANT_ID, TENANT);
    assert_eq!(world.choice().name(), "spn (app)");
}

#[test]
fn the_client_that_people_sign_in_with_is_no_application_and_no_managed_identity() {
    for (row, client_id) in [
        ("a managed identity endpoint", None),
        ("an Azure VM or Arc machine", None),
        ("a browser", Some(AKS_CLIENT)),
        ("Azure Pipelines", Some("True")),
    ] {
        let mut world = world_of(&[number_of(row)]);
        let options = |world: &World| world.resolved().expect(row).options;
        assert_eq!(options(&world).client_id.as_deref(), client_id, "{row}");
        // What get-credentials writes.
        world.flag(Flag::ClientId, AZ_CLIENT);
        let client_id = client_id.map(|id| if id == AKS_CLIENT { AZ_CLIENT } else { id });
        assert_eq!(options(&world).client_id.as_deref(), client_id, "{row}");
    }
    let mut world = world_of(&[number_of("an Azure VM or Arc machine")]);
    world.set(env::AZURE_CLIENT_ID, "identity");
    assert_eq!(world.choice().name(), "msi (identity)");
}

#[test]
fn az_is_taken_only_if_it_is_signed_in_to_the_tenant() {
    let az = number_of("az");
    let mut world = World::new();
    world.az("bob@example.com", "user", OTHER_TENANT);
    assert_eq!(world.taken(), None);
    let error = world.resolved().expect_err("refused").to_string();
    assert!(
        error.contains(&format!("not signed in to tenant {TENANT}")),
        "{error}"
    );
    world.az("alice@example.com", "user", TENANT);
    assert_eq!(world.choice().name(), "azurecli (alice@example.com)");
    assert_eq!(world.taken(), Some(az));
    world.flag(Flag::TenantId, "");
    assert_eq!(
        world.choice().name(),
        "azurecli (bob@example.com)",
        "the default"
    );
}

#[test]
fn an_identity_with_one_tenant_gets_none_named() {
    for (row, name) in [
        ("az", "systemAssignedIdentity"),
        ("Cloud Shell", "MSI@50342"),
    ] {
        let mut world = world_of(&[number_of(row)]);
        let _ = fs::remove_file(world.home.path().join(".azure/azureProfile.json"));
        world.az(name, "servicePrincipal", TENANT);
        world.set(env::AZURE_TENANT_ID, TENANT);
        let options = world.resolved().expect(row).options;
        assert_eq!(options.tenant_id, None, "{row}");
    }
}

#[test]
fn a_proof_of_possession_token_is_asked_of_those_who_issue_them() {
    let (az, browser) = (number_of("az"), number_of("a browser"));
    let mut world = world_of(&[az, browser]);
    world.flag(Flag::PopEnabled, "true");
    world.flag(Flag::PopClaims, "u=x");
    assert_eq!(world.taken(), Some(browser));
}

#[test]
fn without_any_signal_the_error_lists_what_is_missing_within_15_lines() {
    let world = World::new();
    let error = world.resolved().expect_err("refused").to_string();
    let lines: Vec<_> = error.lines().collect();
    assert!(lines.len() <= 15, "{error}");
    assert_eq!(lines[0], "--login auto found no way to sign in");
    for row in ROWS {
        let group = format!("  {}: ", row.group);
        assert!(lines.iter().any(|line| line.starts_with(&group)), "{error}");
    }
}

#[test]
fn the_table_marks_the_row_that_is_taken_and_those_that_could_have_been() {
    let world = world_of(&[number_of("az"), number_of("azd")]);
    let told: Vec<_> = world.lines().iter().map(Line::told).collect();
    assert_eq!(told.len(), ROWS.len());
    let marked: Vec<_> = told.iter().filter(|line| !line.starts_with('-')).collect();
    assert_eq!(
        marked,
        [
            "> azurecli, az: az is signed in (alice@example.com)",
            "+ azd, azd: azd is signed in"
        ]
    );
}

#[test]
fn an_error_says_why_the_mode_was_chosen_and_how_to_choose_another() {
    let choice = world_of(&[number_of("az")]).choice();
    let error = explain(
        Some(&choice),
        Error::input("az: no").remedy("Run: az login"),
    );
    assert_eq!(
        error.to_string(),
        "az: no\n--login auto chose azurecli (alice@example.com) because az is signed in (set --login to choose \
         another). Run: az login"
    );
}

#[test]
fn auto_is_asked_for_by_flag_or_variable() {
    let variable = [(env::AAD_LOGIN_METHOD, "auto")];
    let mut typed = FlagValues::new();
    assert!(!is_asked_for(&typed, &Env::of(&[])));
    assert!(is_asked_for(&typed, &Env::of(&variable)));
    typed.set(Flag::Login, "spn");
    assert!(is_asked_for(&typed, &Env::of(&variable)));
    typed.set(Flag::DisableEnvironmentOverride, "true");
    assert!(!is_asked_for(&typed, &Env::of(&variable)));
    typed.set(Flag::Login, "auto");
    assert!(is_asked_for(
        &typed,
        &Env::of(&[(env::AAD_LOGIN_METHOD, "spn")])
    ));
    let mut world = world_of(&[number_of("az")]);
    world.flag(Flag::Login, "spn");
    world.set(env::AAD_LOGIN_METHOD, "auto");
    let resolved = world.resolved().expect("resolved");
    assert_eq!(resolved.options.login, LoginMode::AzureCli);
    assert_eq!(resolved.notices.len(), 1, "{:?}", resolved.notices);
    assert!(resolved.notices[0].starts_with("AAD_LOGIN_METHOD overrides --login"));
}

#[test]
fn files_that_are_broken_are_no_signal() {
    let world = World::new();
    for content in ["", "{", "[]", r#"{"subscriptions":7}"#, "\u{feff}null"] {
        for file in [
            ".azure/azureProfile.json",
            ".Azure/AzureRmContext.json",
            ".Azure/AzureRmContextSettings.json",
            ".azd/auth.json",
            ".azd/config.json",
        ] {
            world.write(file, content);
        }
        assert_eq!(world.taken(), None, "{content:?}");
    }
    assert!(Path::new(world.home.path()).is_dir());
}
