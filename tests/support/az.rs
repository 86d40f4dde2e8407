//! A real az, signed in as alice by state that is laid out by hand: its network part, the discovery of the authority,
//! is answered by the fake Entra.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use super::entra::{FakeEntra, SERVER_ID, TENANT_ID};
use super::kubelogin::Kubelogin;
use super::login::azurecli;
use super::temp_dir::TempDir;

/// The version that `.ci/run` installs.
const VERSION: &str = "2.91.0";
/// az's own application.
const AZ_CLIENT_ID: &str = "04b07795-8ddb-461a-bbee-02f9e1bf7b46";
const ENVIRONMENT: &str = "login.microsoftonline.com";
const HOME_ACCOUNT: &str =
    "a11ce000-0000-0000-0000-000000000001.11111111-1111-1111-1111-111111111111";
const ALICE: &str = "alice@example.com";
const FIRST: &str = "50000000-0000-0000-0000-000000000001";
pub const SECOND_SUBSCRIPTION: &str = "50000000-0000-0000-0000-000000000002";

/// An az, its state, and the authority that it asks.
pub struct RealAz {
    entra: FakeEntra,
    pub room: TempDir,
    az: PathBuf,
}

impl RealAz {
    /// `az` is the program.
    pub fn new(az: PathBuf) -> Self {
        let real = Self {
            // Where az looks for whoever is signed in.
            entra: FakeEntra::start_with(|rules| rules.tenants.push("organizations".into())),
            room: TempDir::new(),
            az,
        };
        sign_in(&real.folder());
        real
    }

    fn folder(&self) -> PathBuf {
        self.room.folder("azure")
    }

    fn variables(&self) -> Vec<(&'static str, PathBuf)> {
        vec![
            ("AZURE_CONFIG_DIR", self.folder()),
            ("REQUESTS_CA_BUNDLE", self.entra.ca_file()),
            ("HTTPS_PROXY", self.entra.proxy_url().into()),
            // No report of ours to Microsoft, and no survey.
            ("AZURE_CORE_COLLECT_TELEMETRY", "no".into()),
        ]
    }

    /// Runs az as a person does.
    pub fn run(&self, args: &[&str]) {
        let output = Command::new(&self.az)
            .args(args)
            .env_clear()
            .envs(self.variables())
            .env("HOME", self.room.path())
            .env("PATH", "/usr/bin:/bin")
            .output()
            .expect("az starts");
        assert!(output.status.success(), "{args:?}: {output:?}");
    }

    /// kubelogin with this az, whose runs are counted.
    pub fn kubelogin(&self) -> Kubelogin {
        let script = format!("echo run >> \"$LOG\"\nexec '{}' \"$@\"", self.az.display());
        let kubelogin = azurecli(&script).env("LOG", self.log());
        let with = |kubelogin: Kubelogin, (name, value)| kubelogin.env(name, value);
        self.variables().into_iter().fold(kubelogin, with)
    }

    fn log(&self) -> PathBuf {
        self.room.path().join("log")
    }

    pub fn runs(&self) -> usize {
        let log = std::fs::read_to_string(self.log()).unwrap_or_default();
        log.lines().count()
    }
}

/// As `az login` leaves it: two subscriptions, and a token for the server in the cache.
fn sign_in(folder: &Path) {
    let subscription = |id: &str, is_default: bool| {
        json!({
            "id": id, "name": id, "state": "Enabled", "isDefault": is_default, "environmentName": "AzureCloud",
            "tenantId": TENANT_ID, "homeTenantId": TENANT_ID, "managedByTenants": [],
            "user": {"name": ALICE, "type": "user"},
        })
    };
    let profile = json!({
        "installationId": "10000000-0000-0000-0000-000000000001",
        "subscriptions": [subscription(FIRST, true), subscription(SECOND_SUBSCRIPTION, false)],
    });
    write(&folder.join("azureProfile.json"), &profile);
    no_version_check(folder);
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .expect("after 1970");
    let (now, target) = (now.as_secs(), format!("{SERVER_ID}/.default"));
    let token = json!({
        "credential_type": "AccessToken", "secret": "alice's token", "home_account_id": HOME_ACCOUNT,
        "environment": ENVIRONMENT, "client_id": AZ_CLIENT_ID, "target": target, "realm": TENANT_ID,
        "token_type": "Bearer", "cached_at": now.to_string(), "expires_on": (now + 3600).to_string(),
        "extended_expires_on": (now + 3600).to_string(),
    });
    let account = json!({
        "home_account_id": HOME_ACCOUNT, "environment": ENVIRONMENT, "realm": TENANT_ID, "username": ALICE,
        "local_account_id": "a11ce000-0000-0000-0000-000000000001", "authority_type": "MSSTS",
    });
    let token_key =
        format!("{HOME_ACCOUNT}-{ENVIRONMENT}-AccessToken-{AZ_CLIENT_ID}-{TENANT_ID}-{target}");
    let account_key = format!("{HOME_ACCOUNT}-{ENVIRONMENT}-{TENANT_ID}");
    let cache = json!({
        "AccessToken": {token_key.to_lowercase(): token},
        "Account": {account_key.to_lowercase(): account},
        "RefreshToken": {}, "IdToken": {}, "AppMetadata": {},
    });
    write(&folder.join("msal_token_cache.json"), &cache);
}

/// az asks Microsoft once a day whether there is a newer one.
pub fn no_version_check(folder: &Path) {
    let newest = json!({"azure-cli": {"local": VERSION, "pypi": VERSION}});
    let checked = json!({"versions": newest, "update_time": "2999-01-01 00:00:00.000000"});
    write(&folder.join("versionCheck.json"), &checked);
}

fn write(path: &Path, content: &Value) {
    std::fs::write(path, content.to_string()).expect("written");
}
