//! Every login mode with everything it needs, for rules that apply to all modes.

use serde_json::json;

use super::browser::Browser;
use super::entra::FakeEntra;
use super::http1::{Reply, Request};
use super::kubelogin::{Kubelogin, Output};
use super::login::*;
use super::server::FakeHttp;
use super::temp_dir::TempDir;

/// A setup in which every login mode works: the fake Entra, and a server that plays App Service and Azure Pipelines.
pub struct EveryMode {
    pub entra: FakeEntra,
    pub host: FakeHttp,
    pub room: TempDir,
}

impl EveryMode {
    pub fn start() -> Self {
        let entra = FakeEntra::start();
        let federated_token = entra.federated_token();
        let host = FakeHttp::start(move |request: &Request| match request.path.as_str() {
            "/msi" => Reply::json(
                200,
                &json!({"access_token": "of-msi", "expires_in": "86400"}),
            ),
            _ => Reply::json(200, &json!({"oidcToken": federated_token})),
        });
        let room = TempDir::new();
        Self { entra, host, room }
    }

    /// One login per mode, in the order of the help text. A test compares the two.
    pub fn logins(&self) -> Vec<(&'static str, Kubelogin)> {
        let entra = &self.entra;
        let token_file = self.room.file("federated-token", entra.federated_token());
        let az = echo(r#"{"accessToken":"of-az","expires_on":4102444800}"#);
        let azd_script = echo(r#"{"token":"of-azd","expiresOn":"2100-01-01T00:00:00Z"}"#);
        let pwsh_script = echo("kubelogin%of-pwsh%4102444800");
        let in_app_service = msi()
            .env("IDENTITY_ENDPOINT", self.host.url() + "/msi")
            .env("IDENTITY_HEADER", "secret");
        vec![
            ("devicecode", devicecode(entra)),
            ("interactive", interactive(entra)),
            ("spn", spn(entra)),
            ("ropc", ropc(entra)),
            ("msi", in_app_service),
            ("azurecli", signed_in_to_az("azurecli", &az)),
            ("azd", azd(&azd_script)),
            ("azurepowershell", azurepowershell(&pwsh_script)),
            (
                "workloadidentity",
                workloadidentity(entra).env("AZURE_FEDERATED_TOKEN_FILE", token_file),
            ),
            (
                "azurepipelines",
                azurepipelines(entra, &self.host, "job's token"),
            ),
            ("auto", signed_in_to_az("auto", &az)),
        ]
    }

    /// Runs a login without a cached token; if it opens a browser, signs in there.
    pub fn sign_in(&self, mode: &str, kubelogin: &Kubelogin) -> Output {
        let mut running = kubelogin.spawn();
        if mode == "interactive" {
            Browser::at_prompt(&self.entra, &mut running).sign_in();
        }
        running.wait()
    }

    /// The number of requests sent.
    pub fn requests(&self) -> usize {
        self.entra.requests().len() + self.host.requests().len()
    }
}

fn echo(line: &str) -> String {
    match cfg!(windows) {
        true => format!("echo {}", line.replace('%', "%%")),
        false => format!("echo '{line}'"),
    }
}

/// The login modes that `get-token --help` lists.
pub fn modes() -> Vec<String> {
    let help = Kubelogin::new().args(["get-token", "--help"]).run().stdout;
    let list = help
        .lines()
        .find_map(|line| line.strip_prefix("Login modes: "));
    let list = list.unwrap_or_else(|| panic!("no line \"Login modes: \" in\n{help}"));
    list.split(", ").map(str::to_owned).collect()
}
