//! The real az, signed in as alice with hand-written state. Its only request, authority discovery,
//! goes to the fake Entra.

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
/// az's application.
const AZ_CLIENT_ID: &str = "04b07795-8ddb-461a-bbee-02f9e1bf7b46";
const ENVIRONMENT: &str = "login.microsoftonline.com";
const HOME_ACCOUNT: &str =
    "a11ce000-0000-0000-0000-000000000001.11111111-1111-1111-1111-111111111111";
const ALICE: &str = "alice@example.com";
const FIRST: &str = "50000000-0000-0000-0000-000000000001";
pub const SECOND_SUBSCRIPTION: &str = "50000000-0000-0000-0000-000000000002";

/// The real az, its state, and its authority.
pub struct RealAz {
    entra: FakeEntra,
    pub room: TempDir,
    az: PathBuf,
}

impl RealAz {
    pub fn new(az: PathBuf) -> Self {
        let real = Self {
            // The tenant that az asks for the user's realm.
            entra: FakeEntra::start_with(|rules| rules.tenants.push("organizations".into())),
            room: TempDir::new(),
            az,
        };
        sign_in(&real.folder(), &real.entra);
        real
    }

    /// The authority that it uses.
    pub fn entra(&self) -> &FakeEntra {
        &self.entra
    }

    fn folder(&self) -> PathBuf {
        self.room.folder("azure")
    }

    fn variables(&self) -> Vec<(&'static str, PathBuf)> {
        vec![
            ("AZURE_CONFIG_DIR", self.folder()),
            ("REQUESTS_CA_BUNDLE", self.entra.ca_file()),
            ("HTTPS_PROXY", self.entra.proxy_url().into()),
            // No telemetry, no survey.
            ("AZURE_CORE_COLLECT_TELEMETRY", "no".into()),
        ]
    }

    /// Runs az as a user would.
    pub fn run(&self, args: &[&str]) {
        self.run_with(args, &[]);
    }

    /// The same with extra environment variables.
    pub fn run_with(&self, args: &[&str], variables: &[(&str, &str)]) {
        let output = self
            .command(args)
            .envs(variables.iter().copied())
            .output()
            .expect("cannot start az");
        assert!(output.status.success(), "{args:?}: {output:?}");
    }

    /// az as a user would start it.
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(&self.az);
        command
            .args(args)
            .env_clear()
            .envs(self.variables())
            .env("HOME", self.room.path())
            .env("PATH", "/usr/bin:/bin");
        command
    }

    /// A kubelogin that uses this az; its runs are counted.
    pub fn kubelogin(&self) -> Kubelogin {
        self.attach(Kubelogin::get_token_anywhere("azurecli"))
    }

    /// Puts this az on kubelogin's PATH, and counts its runs.
    pub fn attach(&self, kubelogin: Kubelogin) -> Kubelogin {
        let script = format!("echo run >> \"$LOG\"\nexec '{}' \"$@\"", self.az.display());
        let kubelogin = kubelogin
            .program("az", &script)
            .env("LOG", self.log())
            .env("SSL_CERT_FILE", self.entra.ca_file());
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

/// What `az login` writes: two subscriptions, and cached tokens for the server and for Azure Resource Manager.
fn sign_in(folder: &Path, entra: &FakeEntra) {
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
    let now = now.as_secs();
    let arm = "https://management.core.windows.net/";
    let arm_token =
        entra.sign(&json!({"aud": arm, "tid": TENANT_ID, "nbf": now, "exp": now + 3600}));
    let (server_key, server_token) = access_token(SERVER_ID, "alice's token", now);
    let (arm_key, arm_token) = access_token(arm, &arm_token, now);
    let account = json!({
        "home_account_id": HOME_ACCOUNT, "environment": ENVIRONMENT, "realm": TENANT_ID, "username": ALICE,
        "local_account_id": "a11ce000-0000-0000-0000-000000000001", "authority_type": "MSSTS",
    });
    let account_key = format!("{HOME_ACCOUNT}-{ENVIRONMENT}-{TENANT_ID}");
    let cache = json!({
        "AccessToken": {server_key: server_token, arm_key: arm_token},
        "Account": {account_key.to_lowercase(): account},
        "RefreshToken": {}, "IdToken": {}, "AppMetadata": {},
    });
    write(&folder.join("msal_token_cache.json"), &cache);
}

/// An entry of MSAL's cache, by its key.
fn access_token(resource: &str, secret: &str, now: u64) -> (String, Value) {
    let target = format!("{resource}/.default");
    let key =
        format!("{HOME_ACCOUNT}-{ENVIRONMENT}-AccessToken-{AZ_CLIENT_ID}-{TENANT_ID}-{target}");
    let token = json!({
        "credential_type": "AccessToken", "secret": secret, "home_account_id": HOME_ACCOUNT,
        "environment": ENVIRONMENT, "client_id": AZ_CLIENT_ID, "target": target, "realm": TENANT_ID,
        "token_type": "Bearer", "cached_at": now.to_string(), "expires_on": (now + 3600).to_string(),
        "extended_expires_on": (now + 3600).to_string(),
    });
    (key.to_lowercase(), token)
}

/// az asks Microsoft once a day whether there is a newer version.
pub fn no_version_check(folder: &Path) {
    let newest = json!({"azure-cli": {"local": VERSION, "pypi": VERSION}});
    let checked = json!({"versions": newest, "update_time": "2999-01-01 00:00:00.000000"});
    write(&folder.join("versionCheck.json"), &checked);
}

fn write(path: &Path, content: &Value) {
    std::fs::write(path, content.to_string()).expect("written");
}
