//! What `auto` decides by: flags, variables and files, and whether stdin is a terminal. Nothing else is looked at.

use std::borrow::Cow;
use std::cell::OnceCell;
use std::fs::File;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::Value;

use crate::env::{self, Env};
use crate::flag::{Flag, FlagValues};
use crate::login::outside_state::{folder, read};
use crate::login::{self, azurepowershell, msi, workloadidentity};
use crate::login_mode::LoginMode;
use crate::options::Options;
use crate::system::is_at_terminal;
use crate::token::Scope;
use crate::token_cache::{self, CacheKey};
use crate::variables::{AKS_CLIENT, Merged};

/// The chassis asset tag of every Azure VM.
const AZURE_ASSET_TAG: &str = "7783-7084-3265-9085-8269-3286-77";

/// What tells an Azure VM from another machine.
#[derive(Debug, Clone)]
pub struct Machine {
    /// The file with the chassis asset tag, which the hypervisor sets.
    pub asset_tag: PathBuf,
    /// The folder of the agent that Azure installs in a Windows VM.
    pub guest_agent: Option<PathBuf>,
    /// True if Azure Arc's agent is installed.
    pub has_arc_agent: fn(&Env) -> bool,
    /// True if stdin is a terminal.
    pub is_at_terminal: bool,
}

impl Machine {
    pub fn this_one() -> Self {
        Self {
            asset_tag: "/sys/class/dmi/id/chassis_asset_tag".into(),
            guest_agent: cfg!(windows).then(|| r"C:\WindowsAzure\Packages".into()),
            has_arc_agent: msi::has_arc_agent,
            is_at_terminal: is_at_terminal(),
        }
    }
}

/// The signals, each looked up when a row asks for it.
pub struct Signals<'a> {
    /// What was typed.
    typed: &'a FlagValues,
    env: &'a Env,
    /// The environment without the variable that chose `auto`.
    undecided: Cow<'a, Env>,
    machine: Machine,
    plain: OnceCell<FlagValues>,
}

/// An account of az.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AzAccount {
    tenant_id: Option<String>,
    #[serde(default)]
    state: String,
    #[serde(default)]
    is_default: bool,
    #[serde(default)]
    user: AzUser,
}

#[derive(Default, Deserialize)]
struct AzUser {
    #[serde(default)]
    name: String,
    #[serde(default, rename = "type")]
    kind: String,
}

impl AzAccount {
    /// Its name, or what its managed identity is called.
    pub fn name(&self) -> &str {
        &self.user.name
    }

    pub fn is_service_principal(&self) -> bool {
        self.user.kind == "servicePrincipal"
    }

    /// True for `az login --identity`, and for the account of Cloud Shell: these have one tenant, and az wants none named.
    pub fn has_one_tenant(&self) -> bool {
        self.user.name.ends_with("AssignedIdentity") || self.user.name.starts_with("MSI@")
    }
}

impl<'a> Signals<'a> {
    pub fn new(typed: &'a FlagValues, env: &'a Env, machine: Machine) -> Self {
        Self {
            typed,
            env,
            undecided: match env.get(env::AAD_LOGIN_METHOD) {
                Some(_) => Cow::Owned(env.with([(env::AAD_LOGIN_METHOD, "")])),
                None => Cow::Borrowed(env),
            },
            machine,
            plain: OnceCell::new(),
        }
    }

    pub fn env(&self) -> &Env {
        self.env
    }

    /// True if this flag was typed.
    pub fn is_typed(&self, flag: Flag) -> bool {
        self.typed.is_given(flag)
    }

    pub fn has(&self, variable: &str) -> bool {
        self.env.get(variable).is_some()
    }

    /// The flags and the environment of a login with this mode.
    ///
    /// A kubeconfig for `auto` has the client ID that people sign in with. It is no application with a credential, and
    /// no managed identity.
    pub fn settled(&self, mode: LoginMode, drops_tenant: bool) -> (FlagValues, Cow<'_, Env>) {
        let mut typed = self.typed.clone();
        typed.set(Flag::Login, mode.to_string());
        let is_of_people = typed.agrees_with(Flag::ClientId, AKS_CLIENT);
        match mode {
            LoginMode::Msi => typed.set(Flag::ClientId, ""),
            LoginMode::Spn | LoginMode::WorkloadIdentity | LoginMode::AzurePipelines
                if is_of_people =>
            {
                typed.set(Flag::ClientId, "");
            }
            _ => {}
        }
        if !drops_tenant {
            return (typed, Cow::Borrowed(&self.undecided));
        }
        typed.set(Flag::TenantId, "");
        let variables = [(env::AZURE_TENANT_ID, ""), (env::ARM_TENANT_ID, "")];
        (typed, Cow::Owned(self.undecided.with(variables)))
    }

    /// The values that a login with this mode would have.
    pub fn values(&self, mode: LoginMode) -> FlagValues {
        let (typed, env) = self.settled(mode, false);
        Merged::new(&typed, &env).values
    }

    /// The values for a mode with no variables of its own, merged once.
    pub fn plain(&self) -> &FlagValues {
        self.plain.get_or_init(|| self.values(LoginMode::AzureCli))
    }

    /// What the merge has to say about the variable that chose `auto`.
    pub fn notices(&self) -> impl Iterator<Item = String> {
        let notices = Merged::new(self.typed, self.env).notices;
        let is_of_mode = |notice: &String| notice.starts_with(env::AAD_LOGIN_METHOD);
        notices.into_iter().filter(is_of_mode)
    }

    /// What all calls for one user of a kubeconfig have in common.
    pub fn key(&self) -> CacheKey {
        let text = |flag| self.typed.text(flag).unwrap_or_default();
        CacheKey::new("auto", &Scope::of_server(text(Flag::ServerId)))
            .with("tenant", text(Flag::TenantId))
    }

    /// True if one of Terraform's variables has a federated token.
    pub fn has_terraform_s_token(&self) -> bool {
        let (typed, env) = self.settled(LoginMode::WorkloadIdentity, false);
        Options::resolve(&typed, &env)
            .is_ok_and(|(options, _)| workloadidentity::has_terraform_s(&options, &env))
    }

    /// True if this is a job of a CI system, where no person's login may be used.
    pub fn is_in_ci(&self) -> bool {
        let is_on = |name: &&str| {
            let value = self.env.get(name);
            value.is_some_and(|value| !matches!(value, "false" | "0"))
        };
        CI_SYSTEMS.iter().any(is_on)
    }

    /// True if a person can answer a prompt here.
    pub fn may_prompt(&self) -> bool {
        if self.machine.is_at_terminal {
            return true;
        }
        match self.env.get(env::KUBERNETES_EXEC_INFO) {
            Some(info) => serde_json::from_str(info)
                .is_ok_and(|info: Value| info["spec"]["interactive"] == true),
            None => has_browser(self.env),
        }
    }

    /// True if kubelogin runs in a pod, where the metadata service of the node answers with the node's identity.
    pub fn is_in_pod(&self) -> bool {
        self.has(env::KUBERNETES_SERVICE_HOST)
    }

    /// True on an Azure VM or a machine with Azure Arc's agent.
    pub fn is_in_azure(&self) -> bool {
        let tag = read(&self.machine.asset_tag).ok().flatten();
        let has_tag =
            tag.is_some_and(|tag| String::from_utf8_lossy(&tag).trim() == AZURE_ASSET_TAG);
        let has_agent = |folder: &PathBuf| folder.is_dir();
        has_tag
            || self.machine.guest_agent.as_ref().is_some_and(has_agent)
            || (self.machine.has_arc_agent)(self.env)
    }

    /// True if the token cache holds a sign-in of this mode, alive or not.
    pub fn has_session(&self, mode: LoginMode) -> bool {
        let (typed, env) = self.settled(mode, false);
        let Ok((options, _)) = Options::resolve(&typed, &env) else {
            return false;
        };
        let Ok(login) = login::new(&options, &env) else {
            return false;
        };
        // A proof-of-possession token is bound to a key, which is not looked up here.
        let scope = Scope::of_server(&options.server_id);
        let key = login::cache_key(mode, &*login, &scope);
        options.pop_claims.is_none() && token_cache::holds(&options.cache, &key)
    }

    /// The account of az for this tenant, or its default account without one; `None` if there is none.
    pub fn az_account(&self, tenant: Option<&str>) -> Option<AzAccount> {
        #[derive(Deserialize)]
        struct Profile {
            subscriptions: Vec<AzAccount>,
        }
        let folder = folder(self.env, env::AZURE_CONFIG_DIR, ".azure")?;
        let text = read(&folder.join("azureProfile.json")).ok()??;
        let profile: Profile = serde_json::from_slice(without_bom(&text)).ok()?;
        let accounts = profile.subscriptions.into_iter();
        let mut accounts: Vec<_> = accounts
            .filter(|account| account.state == "Enabled")
            .filter(|account| is_in_tenant(account.tenant_id.as_deref(), tenant))
            .collect();
        let default = accounts.iter().position(|account| account.is_default);
        if accounts.is_empty() {
            return None;
        }
        Some(accounts.swap_remove(default.unwrap_or_default()))
    }

    /// The account of Azure PowerShell for this tenant.
    pub fn powershell_account(&self, tenant: Option<&str>) -> Option<azurepowershell::Account> {
        let account = azurepowershell::State::new(self.env).account()?;
        is_in_tenant(account.tenant.as_deref(), tenant).then_some(account)
    }

    /// True if somebody is signed in to azd itself (azd, `pkg/auth/manager.go`).
    pub fn has_azd_account(&self) -> bool {
        let Some(folder) = folder(self.env, env::AZD_CONFIG_DIR, ".azd") else {
            return false;
        };
        let has_user = |file: &str| {
            let text = read(&folder.join(file)).ok().flatten().unwrap_or_default();
            let config: Value = serde_json::from_slice(without_bom(&text)).unwrap_or_default();
            config["auth"]["account"]["currentUser"].is_object()
        };
        has_user("auth.json") || has_user("config.json")
    }
}

/// Set in the jobs of CI systems.
const CI_SYSTEMS: &[&str] = &[
    env::CI,
    env::TF_BUILD,
    env::GITHUB_ACTIONS,
    env::GITLAB_CI,
    env::JENKINS_URL,
];

/// True if a browser can be opened for the person who runs us.
pub fn has_browser(env: &Env) -> bool {
    let has = |name| env.get(name).is_some();
    let has_desktop = cfg!(any(windows, target_os = "macos")) && !has(env::SSH_CONNECTION);
    let signs = [
        env::BROWSER,
        env::DISPLAY,
        env::WAYLAND_DISPLAY,
        env::WSL_DISTRO_NAME,
    ];
    has_desktop || signs.into_iter().any(has)
}

/// True if a file can be read. A pipe cannot: looking would take what is in it.
pub fn is_readable(path: &str) -> bool {
    Path::new(path).is_file() && File::open(path).is_ok()
}

/// True if an account is in the wanted tenant, as far as one can tell: a domain name may be any tenant's.
fn is_in_tenant(own: Option<&str>, wanted: Option<&str>) -> bool {
    let is_guid = |id: &&str| id.len() == 36 && !id.contains('.');
    match (own, wanted.filter(is_guid)) {
        (Some(own), Some(wanted)) => own.eq_ignore_ascii_case(wanted),
        _ => true,
    }
}

fn without_bom(text: &[u8]) -> &[u8] {
    text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text)
}
