//! The usual logins with everything they need, so that a test shows only what it is about.

use serde_json::json;

use super::arm::SUBSCRIPTION_ID;
use super::entra::{
    CLIENT_SECRET, CONFIDENTIAL_CLIENT_ID, FakeEntra, PUBLIC_CLIENT_ID, SERVER_ID, TENANT_ID,
    USER_NAME, USER_PASSWORD,
};
use super::kubelogin::Kubelogin;
use super::server::FakeHttp;

/// A service principal that reaches the fake Entra under the real host names.
pub fn spn(entra: &FakeEntra) -> Kubelogin {
    bare_spn().through_proxy(entra)
}

/// A service principal with its secret, not yet connected to the fake Entra.
pub fn bare_spn() -> Kubelogin {
    of_client("spn").env("AZURE_CLIENT_SECRET", CLIENT_SECRET)
}

pub fn devicecode(entra: &FakeEntra) -> Kubelogin {
    of_person("devicecode").through_proxy(entra)
}

/// BROWSER does nothing: the test plays the browser.
pub fn interactive(entra: &FakeEntra) -> Kubelogin {
    let kubelogin = of_person("interactive")
        .through_proxy(entra)
        .program("browser", "");
    let browser = kubelogin.path_of("browser");
    kubelogin.env("BROWSER", browser)
}

pub fn ropc(entra: &FakeEntra) -> Kubelogin {
    of_person("ropc")
        .args(["--username", USER_NAME])
        .env("AZURE_PASSWORD", USER_PASSWORD)
        .through_proxy(entra)
}

/// Without a federated token: the test supplies it.
pub fn workloadidentity(entra: &FakeEntra) -> Kubelogin {
    of_client("workloadidentity").through_proxy(entra)
}

/// A job whose service connection comes from the variables that Azure Pipelines sets.
pub fn azurepipelines(entra: &FakeEntra, pipelines: &FakeHttp, job_token: &str) -> Kubelogin {
    Kubelogin::get_token_anywhere("azurepipelines")
        .env("AZURESUBSCRIPTION_CLIENT_ID", CONFIDENTIAL_CLIENT_ID)
        .env("AZURESUBSCRIPTION_TENANT_ID", TENANT_ID)
        .env("AZURESUBSCRIPTION_SERVICE_CONNECTION_ID", "connection")
        .env("SYSTEM_ACCESSTOKEN", job_token)
        .env("SYSTEM_OIDCREQUESTURI", format!("{}/oidc", pipelines.url()))
        .through_proxy(entra)
}

/// A managed identity at an endpoint that the test supplies. The proxy is unreachable, because none may be used.
pub fn msi() -> Kubelogin {
    let nowhere = "http://127.0.0.1:1";
    Kubelogin::get_token_anywhere("msi")
        .env("HTTP_PROXY", nowhere)
        .env("HTTPS_PROXY", nowhere)
        .env("ALL_PROXY", nowhere)
}

/// Signs in with az, which is this script.
pub fn azurecli(script: &str) -> Kubelogin {
    Kubelogin::get_token_anywhere("azurecli").program("az", script)
}

/// Signs in with azd, which is this script.
pub fn azd(script: &str) -> Kubelogin {
    Kubelogin::get_token_anywhere("azd").program("azd", script)
}

/// Signs in with PowerShell, which is this script.
pub fn azurepowershell(script: &str) -> Kubelogin {
    Kubelogin::get_token_anywhere("azurepowershell").program("pwsh", script)
}

/// The fake Azure's cluster by group and name.
pub const PROD: [&str; 6] = [
    "-g",
    "shop",
    "-n",
    "prod",
    "--subscription",
    SUBSCRIPTION_ID,
];

/// `get-credentials` as a service principal.
pub fn get_credentials(entra: &FakeEntra) -> Kubelogin {
    Kubelogin::new()
        .args([
            "get-credentials",
            "--login",
            "spn",
            "--tenant-id",
            TENANT_ID,
        ])
        .args(["--client-id", CONFIDENTIAL_CLIENT_ID])
        .env("AZURE_CLIENT_SECRET", CLIENT_SECRET)
        .through_proxy(entra)
}

/// The public client ID in every kubeconfig from AKS.
const AKS_CLIENT: &str = "80faf920-1908-4b52-b5ef-a8e7bedfc67a";

/// A mode with all the IDs of a kubeconfig from AKS, with az signed in. az is this script.
pub fn signed_in_to_az(mode: &str, script: &str) -> Kubelogin {
    let kubelogin = Kubelogin::get_token(mode)
        .args(["--client-id", AKS_CLIENT])
        .program("az", script);
    az_login(&kubelogin, "alice@example.com");
    kubelogin
}

/// Writes what `az login` writes in the home folder.
pub fn az_login(kubelogin: &Kubelogin, user: &str) {
    let folder = kubelogin.home().join(".azure");
    let account = json!({
        "id": "s", "state": "Enabled", "isDefault": true, "tenantId": TENANT_ID, "user": {"name": user, "type": "user"},
    });
    let profile = json!({"subscriptions": [account]}).to_string();
    std::fs::create_dir_all(&folder).expect("a folder");
    std::fs::write(folder.join("azureProfile.json"), profile).expect("written");
}

/// A mode for the confidential client; the test adds the credential.
pub fn of_client(mode: &str) -> Kubelogin {
    Kubelogin::get_token(mode).args(["--client-id", CONFIDENTIAL_CLIENT_ID])
}

/// A mode for the public client, which signs in a user.
pub fn of_person(mode: &str) -> Kubelogin {
    Kubelogin::get_token(mode).args(["--client-id", PUBLIC_CLIENT_ID])
}
