//! The table: each login that `auto` can choose, with the signals it requires, in order of precedence.
//!
//! Flags come first, then the identities that a platform gives to a workload, then the accounts that users are signed
//! in to. A pod never uses the node's identity, and a CI job never uses a person's login.

use super::signals::{Signals, is_readable};
use crate::env::{self, Env};
use crate::error::Error;
use crate::flag::Flag;
use crate::login::outside_state::{Account, SignedIn};
use crate::login::workloadidentity::is_terraform_s_off;
use crate::login_mode::LoginMode;
use crate::system::has_browser;

/// A row: a login, and the signals it requires.
pub struct Row {
    pub mode: LoginMode,
    /// What it is, for people.
    pub name: &'static str,
    /// Rows of one group are listed together in the error.
    pub group: &'static str,
    test: fn(&Signals) -> Finding,
}

/// The signals of a row, or what is missing.
pub type Finding = Result<Found, String>;

/// The signals of a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// As a clause: `az is signed in`.
    pub reason: String,
    /// The account or application, if it is known.
    pub who: Option<String>,
    /// True if the identity has one tenant only, and none may be named.
    pub drops_tenant: bool,
}

const FLAGS: &str = "flags";
const MANAGED: &str = "managed identity";
const PERSON: &str = "you";

#[rustfmt::skip]
pub const ROWS: &[Row] = &[
    row(LoginMode::Spn, "a typed secret or certificate", FLAGS, |s| typed(s, &[Flag::ClientSecret, Flag::ClientCertificate])),
    row(LoginMode::Ropc, "a typed user name", FLAGS, |s| typed(s, &[Flag::Username])),
    row(LoginMode::WorkloadIdentity, "a typed federated token", FLAGS, |s| typed(s, &[Flag::FederatedTokenFile, Flag::FederatedTokenEnv])),
    row(LoginMode::Msi, "a typed managed identity", FLAGS, |s| typed(s, &[Flag::IdentityResourceId])),
    row(LoginMode::AzurePipelines, "a typed service connection", FLAGS, |s| typed(s, &[Flag::AzurePipelinesServiceConnectionId])),
    row(LoginMode::WorkloadIdentity, "AKS workload identity", "AKS workload identity", pod),
    row(LoginMode::WorkloadIdentity, "GitHub Actions", "GitHub Actions", github_actions),
    row(LoginMode::WorkloadIdentity, "Terraform's federated token", "Terraform", terraform),
    row(LoginMode::AzurePipelines, "Azure Pipelines", "Azure Pipelines", azure_pipelines),
    row(LoginMode::Spn, "a service principal in the environment", "service principal", service_principal),
    row(LoginMode::AzureCli, "az in a CI job", "az", az_in_ci),
    row(LoginMode::Msi, "a managed identity endpoint", MANAGED, identity_endpoint),
    row(LoginMode::AzureCli, "Cloud Shell", "Cloud Shell", cloud_shell),
    row(LoginMode::Interactive, "an earlier browser sign-in", "earlier sign-in", |s| session(s, LoginMode::Interactive)),
    row(LoginMode::DeviceCode, "an earlier device code sign-in", "earlier sign-in", |s| session(s, LoginMode::DeviceCode)),
    row(LoginMode::AzureCli, "az", "az", az),
    row(LoginMode::AzurePowerShell, "Azure PowerShell", "Azure PowerShell", powershell),
    row(LoginMode::Azd, "azd", "azd", azd),
    row(LoginMode::Msi, "an Azure VM or Arc machine", MANAGED, machine),
    row(LoginMode::Interactive, "a browser", PERSON, browser),
    row(LoginMode::DeviceCode, "a terminal", PERSON, terminal),
];

const fn row(
    mode: LoginMode,
    name: &'static str,
    group: &'static str,
    test: fn(&Signals) -> Finding,
) -> Row {
    Row {
        mode,
        name,
        group,
        test,
    }
}

impl Row {
    /// Its signals, unless something rules its mode out.
    pub fn find(&self, signals: &Signals, filter: &Filter) -> Finding {
        // A flag that only one mode has chooses that mode.
        if self.group != FLAGS && !filter.allows(self.mode) {
            return Err(format!(
                "ruled out by {}={}",
                env::AZURE_TOKEN_CREDENTIALS,
                filter.text
            ));
        }
        let found = (self.test)(signals)?;
        let wants_pop = signals.plain().is_on(Flag::PopEnabled);
        if wants_pop && !self.mode.proves_possession() {
            return Err(format!("{} does not support --pop-enabled", self.mode));
        }
        Ok(found)
    }

    /// True if a person may have to sign in.
    pub fn asks_a_person(&self) -> bool {
        asks_a_person(self.mode)
    }
}

const fn asks_a_person(mode: LoginMode) -> bool {
    matches!(mode, LoginMode::Interactive | LoginMode::DeviceCode)
}

fn found(reason: impl Into<String>, who: Option<&str>) -> Found {
    Found {
        reason: reason.into(),
        who: who.map(str::to_owned),
        drops_tenant: false,
    }
}

/// The first of these variables that is not set is what is missing.
fn all_set(signals: &Signals, variables: &[&str]) -> Result<(), String> {
    match variables.iter().find(|name| !signals.has(name)) {
        Some(name) => Err(format!("{name} is not set")),
        None => Ok(()),
    }
}

/// The application of a mode; its client ID and its tenant are what can be missing.
fn application(signals: &Signals, mode: LoginMode) -> Result<String, String> {
    let values = signals.values(mode);
    let missing = |flag: Flag, variable: &str| format!("{} ({variable}) is not set", flag.typed());
    if !values.is_given(Flag::TenantId) {
        return Err(missing(Flag::TenantId, env::AZURE_TENANT_ID));
    }
    let client_id = values.text(Flag::ClientId).map(str::to_owned);
    client_id.ok_or_else(|| missing(Flag::ClientId, env::AZURE_CLIENT_ID))
}

fn typed(signals: &Signals, flags: &[Flag]) -> Finding {
    match flags.iter().find(|flag| signals.is_typed(**flag)) {
        Some(flag) => Ok(found(format!("{} is given", flag.typed()), None)),
        None => {
            let names: Vec<_> = flags.iter().map(|flag| flag.typed()).collect();
            Err(format!("no {}", names.join(" or ")))
        }
    }
}

fn pod(signals: &Signals) -> Finding {
    let mode = LoginMode::WorkloadIdentity;
    // A GitLab job gets its tokens in variables that its author names.
    let in_gitlab = |missing| match signals.has(env::GITLAB_CI) {
        true => {
            format!("{missing}; pass --federated-token-env with the job's name under id_tokens:")
        }
        false => missing,
    };
    all_set(signals, &[env::AZURE_FEDERATED_TOKEN_FILE]).map_err(in_gitlab)?;
    let values = signals.values(mode);
    let file = values.text(Flag::FederatedTokenFile).ok_or_else(|| {
        let (variable, flag) = (
            env::AZURE_FEDERATED_TOKEN_FILE,
            Flag::DisableEnvironmentOverride,
        );
        format!("{variable} is ignored because of {}", flag.typed())
    })?;
    let client_id = application(signals, mode)?;
    if !is_readable(file) {
        return Err(format!(
            "{file} ({}) cannot be read",
            env::AZURE_FEDERATED_TOKEN_FILE
        ));
    }
    let reason = format!("{} is set", env::AZURE_FEDERATED_TOKEN_FILE);
    Ok(found(reason, Some(&client_id)))
}

fn github_actions(signals: &Signals) -> Finding {
    all_set(signals, &[env::GITHUB_ACTIONS])?;
    let request = [
        env::ACTIONS_ID_TOKEN_REQUEST_URL,
        env::ACTIONS_ID_TOKEN_REQUEST_TOKEN,
    ];
    all_set(signals, &request)
        .map_err(|missing| format!("{missing}: the job lacks permissions: id-token: write"))?;
    let client_id = application(signals, LoginMode::WorkloadIdentity)?;
    Ok(found(
        "GitHub Actions issues tokens to this job",
        Some(&client_id),
    ))
}

fn terraform(signals: &Signals) -> Finding {
    let mode = LoginMode::WorkloadIdentity;
    if !signals.plain().is_on(Flag::UseAzurermEnvVars) {
        return Err(format!("no {}", Flag::UseAzurermEnvVars.typed()));
    }
    all_set(signals, &[env::ARM_USE_OIDC])?;
    if is_terraform_s_off(signals.env()) {
        return Err(format!("{} is false", env::ARM_USE_OIDC));
    }
    if !signals.has_terraform_s_token() {
        return Err(format!("{} is not set", env::ARM_OIDC_TOKEN));
    }
    let client_id = application(signals, mode)?;
    Ok(found("ARM_USE_OIDC is set", Some(&client_id)))
}

fn azure_pipelines(signals: &Signals) -> Finding {
    all_set(
        signals,
        &[
            env::TF_BUILD,
            env::SYSTEM_OIDCREQUESTURI,
            env::SYSTEM_ACCESSTOKEN,
        ],
    )?;
    let mode = LoginMode::AzurePipelines;
    let values = signals.values(mode);
    if !values.is_given(Flag::AzurePipelinesServiceConnectionId) {
        let variable = env::AZURESUBSCRIPTION_SERVICE_CONNECTION_ID;
        return Err(format!("{variable} is not set"));
    }
    let client_id = application(signals, mode)?;
    Ok(found(
        "Azure Pipelines issues tokens to this job",
        Some(&client_id),
    ))
}

fn service_principal(signals: &Signals) -> Finding {
    let values = signals.plain();
    let (secret, certificate) = (Flag::ClientSecret, Flag::ClientCertificate);
    if !values.is_given(secret) && !values.is_given(certificate) {
        return Err(format!(
            "neither {} nor {} is set",
            env::AZURE_CLIENT_SECRET,
            env::AZURE_CLIENT_CERTIFICATE_PATH
        ));
    }
    let client_id = application(signals, LoginMode::Spn)?;
    let credential = match values.is_given(certificate) {
        true => "certificate",
        false => "client secret",
    };
    let reason = format!("the environment has a {credential}");
    Ok(found(reason, Some(&client_id)))
}

fn az_in_ci(signals: &Signals) -> Finding {
    if signals.env().ci_variable().is_none() {
        return Err("not in a CI job".into());
    }
    match signals.az(signals.plain().text(Flag::TenantId)) {
        SignedIn::As(account) if account.is_service_principal => Ok(found_account(
            "az is signed in as a service principal",
            account,
        )),
        _ => Err("not signed in as a service principal".into()),
    }
}

fn identity_endpoint(signals: &Signals) -> Finding {
    let pairs = [
        [env::IDENTITY_ENDPOINT, env::IDENTITY_HEADER],
        [env::IDENTITY_ENDPOINT, env::IMDS_ENDPOINT],
        [env::MSI_ENDPOINT, env::MSI_SECRET],
    ];
    let pair = pairs
        .iter()
        .find(|pair| all_set(signals, &pair[..]).is_ok());
    match pair {
        Some([endpoint, _]) => Ok(found(
            format!("{endpoint} is set"),
            managed_identity(signals).as_deref(),
        )),
        None => Err(format!(
            "{} with {} is not set",
            env::IDENTITY_ENDPOINT,
            env::IDENTITY_HEADER
        )),
    }
}

/// The identity named by a variable; a flag names the application that people sign in with.
fn managed_identity(signals: &Signals) -> Option<String> {
    let values = signals.values(LoginMode::Msi);
    values.text(Flag::ClientId).map(str::to_owned)
}

/// Its own identity cannot sign in to AKS (Azure/kubelogin#465), but az is always signed in.
fn cloud_shell(signals: &Signals) -> Finding {
    let has_endpoint = signals.has(env::MSI_ENDPOINT) && !signals.has(env::MSI_SECRET);
    if !signals.has(env::ACC_CLOUD) && !has_endpoint {
        return Err(format!("{} is not set", env::ACC_CLOUD));
    }
    let reason = "this is Cloud Shell";
    Ok(match signals.az(None) {
        SignedIn::As(account) => found_account(reason, account),
        SignedIn::Elsewhere | SignedIn::Nobody => Found {
            drops_tenant: true,
            ..found(reason, None)
        },
    })
}

/// What must not be used in a CI job.
fn personal(signals: &Signals) -> Result<(), String> {
    match signals.env().ci_variable() {
        Some(_) => Err("a person's login is not used in a CI job".into()),
        None => Ok(()),
    }
}

fn session(signals: &Signals, mode: LoginMode) -> Finding {
    personal(signals)?;
    match signals.has_session(mode) {
        true => Ok(found("you signed in this way before", None)),
        false => Err("none is cached".into()),
    }
}

fn az(signals: &Signals) -> Finding {
    personal(signals)?;
    let tenant = signals.plain().text(Flag::TenantId);
    of_program("az is signed in", signals.az(tenant), tenant)
}

fn powershell(signals: &Signals) -> Finding {
    personal(signals)?;
    let tenant = signals.plain().text(Flag::TenantId);
    let reason = "Azure PowerShell is signed in";
    of_program(reason, signals.powershell(tenant), tenant)
}

fn azd(signals: &Signals) -> Finding {
    personal(signals)?;
    of_program("azd is signed in", signals.azd(), None)
}

fn of_program(reason: &str, signed_in: SignedIn, tenant: Option<&str>) -> Finding {
    match (signed_in, tenant) {
        (SignedIn::As(account), _) => Ok(found_account(reason, account)),
        (SignedIn::Elsewhere, Some(tenant)) => Err(format!("not signed in to tenant {tenant}")),
        (SignedIn::Elsewhere | SignedIn::Nobody, _) => Err("not signed in".into()),
    }
}

fn found_account(reason: &str, account: Account) -> Found {
    Found {
        reason: reason.to_owned(),
        who: account.name,
        drops_tenant: account.has_one_tenant,
    }
}

fn machine(signals: &Signals) -> Finding {
    if signals.is_in_pod() {
        return Err("in a pod, the node's identity is not used".into());
    }
    match signals.is_in_azure() {
        true => Ok(found(
            "this machine is in Azure",
            managed_identity(signals).as_deref(),
        )),
        false => Err("this machine is not in Azure".into()),
    }
}

fn browser(signals: &Signals) -> Finding {
    person(signals)?;
    match has_browser(signals.env()) {
        true => Ok(found("a browser can be opened", None)),
        false => Err("no browser can be opened".into()),
    }
}

fn terminal(signals: &Signals) -> Finding {
    person(signals)?;
    let reason = match has_browser(signals.env()) {
        true => "you can enter a device code",
        false => "there is a terminal and no browser",
    };
    Ok(found(reason, None))
}

fn person(signals: &Signals) -> Result<(), String> {
    personal(signals)?;
    match signals.may_prompt() {
        true => Ok(()),
        false => Err("there is no terminal to ask you to sign in".into()),
    }
}

/// The modes that AZURE_TOKEN_CREDENTIALS allows, as in the Azure SDKs.
pub struct Filter {
    text: String,
    modes: Option<&'static [LoginMode]>,
}

#[rustfmt::skip]
const CREDENTIALS: &[(&str, &[LoginMode])] = &[
    ("dev", &[LoginMode::AzureCli, LoginMode::AzurePowerShell, LoginMode::Azd, LoginMode::Interactive, LoginMode::DeviceCode]),
    ("prod", &[LoginMode::Spn, LoginMode::Ropc, LoginMode::WorkloadIdentity, LoginMode::AzurePipelines, LoginMode::Msi]),
    ("EnvironmentCredential", &[LoginMode::Spn, LoginMode::Ropc]),
    ("WorkloadIdentityCredential", &[LoginMode::WorkloadIdentity]),
    ("ManagedIdentityCredential", &[LoginMode::Msi]),
    ("AzurePipelinesCredential", &[LoginMode::AzurePipelines]),
    ("AzureCLICredential", &[LoginMode::AzureCli]),
    ("AzurePowerShellCredential", &[LoginMode::AzurePowerShell]),
    ("AzureDeveloperCLICredential", &[LoginMode::Azd]),
    ("InteractiveBrowserCredential", &[LoginMode::Interactive]),
    ("DeviceCodeCredential", &[LoginMode::DeviceCode]),
];

impl Filter {
    /// # Errors
    /// The variable has an unknown value.
    pub fn of(env: &Env) -> Result<Self, Error> {
        let text = env.get(env::AZURE_TOKEN_CREDENTIALS).unwrap_or_default();
        let text = text.trim();
        let row = CREDENTIALS
            .iter()
            .find(|(word, _)| word.eq_ignore_ascii_case(text));
        if row.is_none() && !text.is_empty() {
            let words: Vec<_> = CREDENTIALS.iter().map(|(word, _)| *word).collect();
            return Err(Error::input(format!(
                "{} {text:?} is not supported by --login auto",
                env::AZURE_TOKEN_CREDENTIALS
            ))
            .remedy(format!(
                "Unset it, or set it to one of {}.",
                words.join(", ")
            )));
        }
        Ok(Self {
            text: text.to_owned(),
            modes: row.map(|(_, modes)| *modes),
        })
    }

    fn allows(&self, mode: LoginMode) -> bool {
        self.modes.is_none_or(|modes| modes.contains(&mode))
    }
}
