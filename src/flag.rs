//! The flags of `get-token` and `convert-kubeconfig`: one row each, which parsing, help, completion, the merge with the
//! environment and the conversion of old kubeconfigs all use.

use std::fmt;
use std::sync::Arc;

use clap::ValueEnum;
use clap::builder::PossibleValue;
use zeroize::Zeroizing;

use crate::secret::Secret;

/// A flag of `get-token` or `convert-kubeconfig`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flag {
    Login,
    ServerId,
    TenantId,
    ClientId,
    Environment,
    AuthorityHost,
    Timeout,
    CacheDir,
    TokenCacheStorage,
    DisableEnvironmentOverride,
    UseAzurermEnvVars,
    DisableInstanceDiscovery,
    Legacy,
    PopEnabled,
    PopClaims,
    RedirectUrl,
    LoginHint,
    ClientSecret,
    ClientCertificate,
    ClientCertificatePassword,
    Username,
    Password,
    IdentityResourceId,
    Subscription,
    FederatedTokenFile,
    AzurePipelinesServiceConnectionId,
    FederatedTokenEnv,
    NoTokenProxy,
}

/// True if a value is the name of a variable that somebody wanted expanded: `$NAME`, `${NAME}`, `$(NAME)` or `%NAME%`,
/// alone or as the first part of a path. A kubeconfig's args reach us as they are.
pub fn is_unexpanded(value: &str) -> bool {
    let end_of_name = |text: &str| {
        let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | ':');
        text.find(|c| !is_name(c)).unwrap_or(text.len())
    };
    let closed = |rest: &'_ str, close: &str| {
        let end = end_of_name(rest);
        (end > 0)
            .then(|| rest[end..].strip_prefix(close).map(str::to_owned))
            .flatten()
    };
    let rest = if let Some(rest) = value
        .strip_prefix("${")
        .or_else(|| value.strip_prefix("$env:{"))
    {
        closed(rest, "}")
    } else if let Some(rest) = value.strip_prefix("$(") {
        closed(rest, ")")
    } else if let Some(rest) = value.strip_prefix('%') {
        closed(rest, "%")
    } else {
        value.strip_prefix('$').and_then(|rest| closed(rest, ""))
    };
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['/', '\\']))
}

/// What follows a flag.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Takes {
    /// A value, with its name in the help.
    Value(&'static str),
    /// A value that must not be shown.
    Secret(&'static str),
    /// Nothing, or `=true` and `=false`.
    Switch,
}

/// Everything the program knows about a flag.
pub struct Definition {
    pub flag: Flag,
    /// As it is typed: `--client-id`.
    pub typed: &'static str,
    /// The same without dashes.
    pub name: &'static str,
    pub short: Option<char>,
    pub takes: Takes,
    /// The group in `--help`.
    pub heading: &'static str,
    pub help: &'static str,
}

/// The heading of the flags that every login mode has.
pub const COMMON: &str = "Options for every login mode";
const ENTRA: &str = "Entra ID endpoint";
const PEOPLE: &str = "Interactive sign-in (devicecode, interactive)";
const SPN: &str = "Service principals (spn)";
const ROPC: &str = "User name and password (ropc)";
const MSI: &str = "Managed identities (msi)";
const AZ: &str = "Other programs (azurecli, azd, azurepowershell)";
const FEDERATED: &str = "Federated credentials (workloadidentity, azurepipelines)";
const TOKEN_KIND: &str = "Token type";

impl Flag {
    /// Every flag, in the order of the help; a flag's row is at its own number.
    #[rustfmt::skip]
    pub const ALL: &[Definition] = &[
        row(Self::Login, "--login", Some('l'), Takes::Value("MODE"), COMMON, "How to sign in: one of the login modes below [default: devicecode]"),
        row(Self::ServerId, "--server-id", None, Takes::Value("ID"), COMMON, "Application ID of the AKS server (required)"),
        row(Self::TenantId, "--tenant-id", Some('t'), Takes::Value("ID"), COMMON, "Tenant ID or domain"),
        row(Self::ClientId, "--client-id", None, Takes::Value("ID"), COMMON, "Application ID to sign in with"),
        row(Self::Environment, "--environment", Some('e'), Takes::Value("NAME"), ENTRA, "Azure cloud [default: AzurePublicCloud]"),
        row(Self::AuthorityHost, "--authority-host", None, Takes::Value("URL"), ENTRA, "Entra ID authority host to use instead of the cloud's"),
        row(Self::Timeout, "--timeout", None, Takes::Value("DURATION"), COMMON, "Time limit for a sign-in, such as 30s or 2m [default: 60s, but no limit on waiting for you]"),
        row(Self::CacheDir, "--cache-dir", None, Takes::Value("DIR"), COMMON, "Token cache folder [default: KUBECACHEDIR, otherwise ~/.kube/cache/kubelogin/]"),
        row(Self::TokenCacheStorage, "--token-cache-storage", None, Takes::Value("WHERE"), COMMON, "What protects cached tokens: keyring (the OS keyring), disk (a key file that only you can read), none (tokens are not cached), auto (keyring, or disk if there is none) [default: auto]"),
        row(Self::DisableEnvironmentOverride, "--disable-environment-override", None, Takes::Switch, COMMON, "Do not let environment variables override flags"),
        row(Self::UseAzurermEnvVars, "--use-azurerm-env-vars", None, Takes::Switch, COMMON, "Read Terraform's ARM_... variables instead of AZURE_..."),
        row(Self::DisableInstanceDiscovery, "--disable-instance-discovery", None, Takes::Switch, ENTRA, "Allow an authority host that is not a Microsoft host"),
        row(Self::Legacy, "--legacy", None, Takes::Switch, TOKEN_KIND, "Get a token from the v1 endpoint, with spn: in its audience"),
        row(Self::PopEnabled, "--pop-enabled", None, Takes::Switch, TOKEN_KIND, "Get a proof-of-possession token (Arc-enabled clusters); needs --pop-claims"),
        row(Self::PopClaims, "--pop-claims", None, Takes::Value("CLAIMS"), TOKEN_KIND, "Claims of the proof-of-possession token, such as u=/ARM/ID/OF/CLUSTER"),
        row(Self::RedirectUrl, "--redirect-url", None, Takes::Value("URL"), PEOPLE, "Redirect URI registered for the application, such as http://localhost:8000"),
        row(Self::LoginHint, "--login-hint", None, Takes::Value("USER"), PEOPLE, "User who must sign in; filled in on the sign-in page"),
        row(Self::ClientSecret, "--client-secret", None, Takes::Secret("SECRET"), SPN, "Client secret (prefer AZURE_CLIENT_SECRET)"),
        row(Self::ClientCertificate, "--client-certificate", None, Takes::Value("FILE"), SPN, "Client certificate with its private key, PEM or PKCS#12"),
        row(Self::ClientCertificatePassword, "--client-certificate-password", None, Takes::Secret("PASSWORD"), SPN, "Password of the certificate file (prefer AZURE_CLIENT_CERTIFICATE_PASSWORD)"),
        row(Self::Username, "--username", None, Takes::Value("USER"), ROPC, "User name"),
        row(Self::Password, "--password", None, Takes::Secret("PASSWORD"), ROPC, "Password (prefer AZURE_PASSWORD)"),
        row(Self::IdentityResourceId, "--identity-resource-id", None, Takes::Value("ID"), MSI, "Resource ID of a user-assigned managed identity"),
        row(Self::Subscription, "--subscription", Some('s'), Takes::Value("ID"), AZ, "Subscription whose account az should use (azurecli only)"),
        row(Self::FederatedTokenFile, "--federated-token-file", None, Takes::Value("FILE"), FEDERATED, "File that holds the federated token"),
        row(Self::AzurePipelinesServiceConnectionId, "--azure-pipelines-service-connection-id", None, Takes::Value("ID"), FEDERATED, "ID of the Azure Pipelines service connection"),
        row(Self::FederatedTokenEnv, "--federated-token-env", None, Takes::Value("NAME"), FEDERATED, "Variable that holds the federated token, such as one of GitLab's id_tokens (workloadidentity)"),
        row(Self::NoTokenProxy, "--no-token-proxy", None, Takes::Switch, FEDERATED, "Ask Entra ID itself, not the token proxy of AKS identity bindings (workloadidentity)"),
    ];

    /// Its row.
    pub fn definition(self) -> &'static Definition {
        &Self::ALL[self as usize]
    }

    /// The flag as it is typed: `--client-id`.
    pub fn typed(self) -> &'static str {
        self.definition().typed
    }
}

const fn row(
    flag: Flag,
    typed: &'static str,
    short: Option<char>,
    takes: Takes,
    heading: &'static str,
    help: &'static str,
) -> Definition {
    Definition {
        flag,
        typed,
        name: typed.split_at("--".len()).1,
        short,
        takes,
        heading,
        help,
    }
}

/// The values of a flag that takes one of a few words.
pub fn possible_values<T: ValueEnum>() -> Vec<PossibleValue> {
    let values = T::value_variants().iter();
    values.filter_map(T::to_possible_value).collect()
}

/// All their words, aliases included, for a message.
pub fn possible_words<T: ValueEnum>() -> String {
    let values = possible_values::<T>();
    let words = values.iter().flat_map(PossibleValue::get_name_and_aliases);
    words.collect::<Vec<_>>().join(", ")
}

/// The values of flags, exactly as written: `None` for a flag that was not given. A clone copies them when it is changed,
/// which few are.
#[derive(Clone)]
pub struct FlagValues(Arc<Vec<Option<Zeroizing<String>>>>);

impl Default for FlagValues {
    fn default() -> Self {
        Self::new()
    }
}

/// The flags that were given, without their values: some are secrets.
impl fmt::Debug for FlagValues {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let given = Flag::ALL.iter().filter(|row| self.is_given(row.flag));
        f.debug_set().entries(given.map(|row| row.name)).finish()
    }
}

impl FlagValues {
    pub fn new() -> Self {
        Self(Arc::new(vec![None; Flag::ALL.len()]))
    }

    pub fn set(&mut self, flag: Flag, value: impl Into<String>) {
        Arc::make_mut(&mut self.0)[flag as usize] = Some(Zeroizing::new(value.into()));
    }

    /// The value of a flag; `None` if it was not given or is empty. Not for secrets.
    pub fn text(&self, flag: Flag) -> Option<&str> {
        debug_assert!(
            !matches!(flag.definition().takes, Takes::Secret(_)),
            "{flag:?} is a secret"
        );
        self.raw(flag)
    }

    /// The value of a flag that takes a secret.
    pub fn secret(&self, flag: Flag) -> Option<Secret> {
        self.raw(flag).map(Secret::new)
    }

    /// True if a switch is on.
    pub fn is_on(&self, flag: Flag) -> bool {
        self.text(flag) == Some("true")
    }

    /// True if the flag has this value.
    pub fn agrees_with(&self, flag: Flag, value: &str) -> bool {
        self.raw(flag) == Some(value)
    }

    /// Copies the value of a flag from `other`.
    pub fn copy(&mut self, flag: Flag, other: &Self) {
        Arc::make_mut(&mut self.0)[flag as usize].clone_from(&other.0[flag as usize]);
    }

    /// True if the flag has the same value in both.
    pub fn is_same(&self, flag: Flag, other: &Self) -> bool {
        self.raw(flag) == other.raw(flag)
    }

    /// True if the flag was given and is not empty.
    pub fn is_given(&self, flag: Flag) -> bool {
        self.raw(flag).is_some()
    }

    /// True if the flag was given, with an empty value.
    pub fn is_cleared(&self, flag: Flag) -> bool {
        self.0[flag as usize]
            .as_ref()
            .is_some_and(|value| value.is_empty())
    }

    fn raw(&self, flag: Flag) -> Option<&str> {
        self.0[flag as usize]
            .as_deref()
            .map(String::as_str)
            .filter(|value| !value.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_is_at_its_own_number() {
        for (number, definition) in Flag::ALL.iter().enumerate() {
            assert_eq!(definition.flag as usize, number, "{}", definition.name);
            assert_eq!(definition.flag.definition().name, definition.name);
        }
    }
}
