//! The signals that `auto` decides by: flags, variables, files, and whether stdin is a terminal. Nothing else.

use std::borrow::Cow;
use std::cell::OnceCell;
use std::fs::File;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::env::{self, Env};
use crate::flag::{Flag, FlagValues};
use crate::login::outside_state::{SignedIn, read};
use crate::login::{self, Login, azd, azurecli, azurepowershell, msi, workloadidentity};
use crate::login_mode::LoginMode;
use crate::options::Options;
use crate::system::{has_browser, is_at_terminal};
use crate::token::Scope;
use crate::token_cache::{self, CacheKey, CacheSettings};
use crate::variables::{Merged, is_client_of_people};

/// The chassis asset tag of every Azure VM.
const AZURE_ASSET_TAG: &str = "7783-7084-3265-9085-8269-3286-77";

/// The flags that name an identity: users of a kubeconfig that differ in one of them are not the same.
const WHO: [Flag; 9] = [
    Flag::TenantId,
    Flag::ClientId,
    Flag::LoginHint,
    Flag::Username,
    Flag::ClientCertificate,
    Flag::FederatedTokenFile,
    Flag::FederatedTokenEnv,
    Flag::IdentityResourceId,
    Flag::AzurePipelinesServiceConnectionId,
];

/// How to recognise an Azure VM.
#[derive(Debug, Clone)]
pub struct Machine {
    /// The file with the chassis asset tag, which the hypervisor sets.
    pub asset_tag: PathBuf,
    /// The folder of the agent that Azure installs in a Windows VM. The asset tag exists there too, but Windows exposes
    /// it only in a table that would have to be parsed. On a machine that was moved out of Azure with this folder, the
    /// error says why `msi` was chosen.
    pub guest_agent: Option<PathBuf>,
    /// The folder that Kubernetes mounts in a pod. A shell that was started anew in a pod (`su -`, `ssh`) has lost the
    /// variables.
    pub pod_secrets: PathBuf,
    /// True if Azure Arc's agent is installed.
    pub has_arc_agent: fn(&Env) -> bool,
    /// True if stdin is a terminal.
    pub is_at_terminal: fn() -> bool,
}

impl Machine {
    pub fn this_one() -> Self {
        Self {
            asset_tag: "/sys/class/dmi/id/chassis_asset_tag".into(),
            guest_agent: cfg!(windows).then(|| r"C:\WindowsAzure\Packages".into()),
            pod_secrets: "/var/run/secrets/kubernetes.io".into(),
            has_arc_agent: msi::has_arc_agent,
            is_at_terminal,
        }
    }
}

/// The signals, each looked up only when a row asks for it.
pub struct Signals<'a> {
    /// What was typed.
    typed: &'a FlagValues,
    env: &'a Env,
    /// The environment without the variable that chose `auto`.
    undecided: Cow<'a, Env>,
    /// What the token is for; `None` for the server of the flags.
    scope: Option<&'a Scope>,
    machine: Machine,
    plain: OnceCell<FlagValues>,
    person: OnceCell<Option<(Options, Box<dyn Login>)>>,
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
            scope: None,
            machine,
            plain: OnceCell::new(),
            person: OnceCell::new(),
        }
    }

    /// The signals for a token for another scope than the server of the flags.
    #[must_use]
    pub fn for_scope(self, scope: &'a Scope) -> Self {
        Self {
            scope: Some(scope),
            ..self
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
    /// A kubeconfig for `auto` has the client ID that people sign in with, which is neither an application with
    /// credentials nor a managed identity.
    pub fn settled(&self, mode: LoginMode, drops_tenant: bool) -> (FlagValues, Cow<'_, Env>) {
        let mut typed = self.typed.clone();
        typed.set(Flag::Login, mode.to_string());
        let client_id = typed.text(Flag::ClientId);
        let is_of_people = client_id.is_some_and(is_client_of_people);
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

    /// Messages of the merge about the variable that chose `auto`.
    pub fn notices(&self) -> impl Iterator<Item = String> {
        let merged = self
            .has(env::AAD_LOGIN_METHOD)
            .then(|| Merged::new(self.typed, self.env));
        let is_of_mode = |notice: &String| notice.starts_with(env::AAD_LOGIN_METHOD);
        let notices = merged.into_iter().flat_map(|merged| merged.notices);
        notices.filter(is_of_mode)
    }

    /// What all calls for one user of a kubeconfig have in common.
    pub fn key(&self) -> CacheKey {
        let text = |flag| self.typed.text(flag).unwrap_or_default();
        let key = CacheKey::new("auto", &Scope::of_server(text(Flag::ServerId)));
        WHO.iter()
            .fold(key, |key, flag| key.with(flag.typed(), text(*flag)))
    }

    /// True if one of Terraform's variables has a federated token.
    pub fn has_terraform_s_token(&self) -> bool {
        let (typed, env) = self.settled(LoginMode::WorkloadIdentity, false);
        Options::resolve(&typed, &env)
            .is_ok_and(|(options, _)| workloadidentity::has_terraform_s(&options, &env))
    }

    /// True if a person can answer a prompt here.
    pub fn may_prompt(&self) -> bool {
        if (self.machine.is_at_terminal)() {
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
        self.has(env::KUBERNETES_SERVICE_HOST) || self.machine.pod_secrets.is_dir()
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

    /// True if the token cache has a sign-in of this mode, valid or not; only for modes in which a person signs in.
    pub fn has_session(&self, mode: LoginMode) -> bool {
        let Some((options, login)) = self.person.get_or_init(|| self.person()) else {
            return false;
        };
        // A proof-of-possession token is bound to a key, which is not looked up here.
        let key = login::cache_key(mode, &**login, &self.scope(&options.server_id));
        options.pop_claims.is_none() && token_cache::holds(&options.cache, &key)
    }

    /// The login of a person; `None` if the cache knows of no person who signed in to this server. A cached token names
    /// its mode; otherwise both modes name the same person the same way.
    fn person(&self) -> Option<(Options, Box<dyn Login>)> {
        let values = self.plain();
        let cache = CacheSettings::of(values, self.env).ok()?;
        let scope = self.scope(values.text(Flag::ServerId)?);
        token_cache::is_noted(&cache, &login::person_key(&scope)).then_some(())?;
        let (typed, env) = self.settled(LoginMode::DeviceCode, false);
        let (options, _) = Options::resolve(&typed, &env).ok()?;
        let login = login::new(&options, &env).ok()?;
        Some((options, login))
    }

    fn scope(&self, server_id: &str) -> Scope {
        self.scope
            .cloned()
            .unwrap_or_else(|| Scope::of_server(server_id))
    }

    /// Who is signed in to az.
    pub fn az(&self, tenant: Option<&str>) -> SignedIn {
        azurecli::standing(self.env, tenant).signed_in
    }

    /// Who is signed in to Azure PowerShell.
    pub fn powershell(&self, tenant: Option<&str>) -> SignedIn {
        azurepowershell::standing(self.env, tenant).signed_in
    }

    /// Whether someone is signed in to azd.
    pub fn azd(&self) -> SignedIn {
        azd::standing(self.env).signed_in
    }
}

/// True if a file can be read. Not a pipe: reading it would consume its content.
pub fn is_readable(path: &str) -> bool {
    Path::new(path).is_file() && File::open(path).is_ok()
}
