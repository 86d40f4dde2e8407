//! The environment variables that the program reads, each documented where it is named, and a snapshot of them.
//!
//! The environment is read once, in [`Env::of_this_process`]. A variable that is set but empty counts as unset: an
//! empty CI secret must not clear a flag.

use std::path::PathBuf;

/// The login mode, as `--login`.
pub const AAD_LOGIN_METHOD: &str = "AAD_LOGIN_METHOD";
/// The client ID of a service principal, the original's own name.
pub const AAD_SERVICE_PRINCIPAL_CLIENT_ID: &str = "AAD_SERVICE_PRINCIPAL_CLIENT_ID";
/// Its client secret.
pub const AAD_SERVICE_PRINCIPAL_CLIENT_SECRET: &str = "AAD_SERVICE_PRINCIPAL_CLIENT_SECRET";
/// The path of its certificate.
pub const AAD_SERVICE_PRINCIPAL_CLIENT_CERTIFICATE: &str =
    "AAD_SERVICE_PRINCIPAL_CLIENT_CERTIFICATE";
/// The password of that file.
pub const AAD_SERVICE_PRINCIPAL_CLIENT_CERTIFICATE_PASSWORD: &str =
    "AAD_SERVICE_PRINCIPAL_CLIENT_CERTIFICATE_PASSWORD";
/// The user name for `ropc`, the original's own name.
pub const AAD_USER_PRINCIPAL_NAME: &str = "AAD_USER_PRINCIPAL_NAME";
/// The password for `ropc`.
pub const AAD_USER_PRINCIPAL_PASSWORD: &str = "AAD_USER_PRINCIPAL_PASSWORD";
/// The client ID, the Azure SDKs' name.
pub const AZURE_CLIENT_ID: &str = "AZURE_CLIENT_ID";
/// The client secret.
pub const AZURE_CLIENT_SECRET: &str = "AZURE_CLIENT_SECRET";
/// The path of the client certificate.
pub const AZURE_CLIENT_CERTIFICATE_PATH: &str = "AZURE_CLIENT_CERTIFICATE_PATH";
/// The password of that file.
pub const AZURE_CLIENT_CERTIFICATE_PASSWORD: &str = "AZURE_CLIENT_CERTIFICATE_PASSWORD";
/// The tenant.
pub const AZURE_TENANT_ID: &str = "AZURE_TENANT_ID";
/// The user name for `ropc`, the Azure SDKs' name.
pub const AZURE_USERNAME: &str = "AZURE_USERNAME";
/// The password for `ropc`.
pub const AZURE_PASSWORD: &str = "AZURE_PASSWORD";
/// The client ID, Terraform's name (`--use-azurerm-env-vars`).
pub const ARM_CLIENT_ID: &str = "ARM_CLIENT_ID";
/// The client secret, Terraform's name.
pub const ARM_CLIENT_SECRET: &str = "ARM_CLIENT_SECRET";
/// The path of the client certificate, Terraform's name.
pub const ARM_CLIENT_CERTIFICATE_PATH: &str = "ARM_CLIENT_CERTIFICATE_PATH";
/// The password of that file, Terraform's name.
pub const ARM_CLIENT_CERTIFICATE_PASSWORD: &str = "ARM_CLIENT_CERTIFICATE_PASSWORD";
/// The tenant, Terraform's name.
pub const ARM_TENANT_ID: &str = "ARM_TENANT_ID";
/// The subscription of a cluster that is named by its group and name, the Azure SDKs' name.
pub const AZURE_SUBSCRIPTION_ID: &str = "AZURE_SUBSCRIPTION_ID";
/// The same, Terraform's name.
pub const ARM_SUBSCRIPTION_ID: &str = "ARM_SUBSCRIPTION_ID";
/// Set in a session over SSH.
pub const SSH_CONNECTION: &str = "SSH_CONNECTION";
/// How long a login may take, as `--timeout`.
pub const AZURE_CLI_TIMEOUT: &str = "AZURE_CLI_TIMEOUT";
/// The JSON file that describes an Azure Stack Hub cloud (`--environment AzureStackCloud`).
pub const AZURE_ENVIRONMENT_FILEPATH: &str = "AZURE_ENVIRONMENT_FILEPATH";
/// The kubeconfigs, as kubectl reads it: a list of files.
pub const KUBECONFIG: &str = "KUBECONFIG";
/// Where az keeps its state, instead of `~/.azure`.
pub const AZURE_CONFIG_DIR: &str = "AZURE_CONFIG_DIR";
/// The cloud that az works with, whatever its configuration says.
pub const AZURE_CLOUD_NAME: &str = "AZURE_CLOUD_NAME";
/// Where azd keeps its state, instead of `~/.azd`.
pub const AZD_CONFIG_DIR: &str = "AZD_CONFIG_DIR";
/// The editor that signs in for azd.
pub const AZD_AUTH_ENDPOINT: &str = "AZD_AUTH_ENDPOINT";
/// The managed identity endpoint of App Service, Container Apps, Service Fabric and Azure Arc.
pub const IDENTITY_ENDPOINT: &str = "IDENTITY_ENDPOINT";
/// The secret that this endpoint expects.
pub const IDENTITY_HEADER: &str = "IDENTITY_HEADER";
/// The SHA-1 thumbprint of the endpoint's certificate, on Service Fabric.
pub const IDENTITY_SERVER_THUMBPRINT: &str = "IDENTITY_SERVER_THUMBPRINT";
/// The instance metadata endpoint on Azure Arc; only whether it is set matters.
pub const IMDS_ENDPOINT: &str = "IMDS_ENDPOINT";
/// The managed identity endpoint of Azure Machine Learning and Cloud Shell.
pub const MSI_ENDPOINT: &str = "MSI_ENDPOINT";
/// The secret that this endpoint expects, on Azure Machine Learning.
pub const MSI_SECRET: &str = "MSI_SECRET";
/// The client ID of the identity that Azure Machine Learning uses by default.
pub const DEFAULT_IDENTITY_CLIENT_ID: &str = "DEFAULT_IDENTITY_CLIENT_ID";
/// The folders to search for programs.
pub const PATH: &str = "PATH";
/// Where Windows and its programs are installed.
#[cfg(windows)]
pub const SYSTEM_ROOT: &str = "SYSTEMROOT";
#[cfg(windows)]
pub const PROGRAM_FILES: &str = "PROGRAMFILES";
#[cfg(windows)]
pub const PROGRAM_FILES_X86: &str = "PROGRAMFILES(X86)";
#[cfg(windows)]
pub const LOCALAPPDATA: &str = "LOCALAPPDATA";
/// The data folder that programs on Windows share; Azure Arc's agent uses it.
pub const PROGRAM_DATA: &str = "PROGRAMDATA";
/// The federated token's file, for `workloadidentity`; the AKS workload identity webhook sets it.
pub const AZURE_FEDERATED_TOKEN_FILE: &str = "AZURE_FEDERATED_TOKEN_FILE";
/// The token proxy of AKS identity bindings, to which token requests go; AKS sets it in a pod.
pub const AZURE_KUBERNETES_TOKEN_PROXY: &str = "AZURE_KUBERNETES_TOKEN_PROXY";
/// The TLS server name of this proxy.
pub const AZURE_KUBERNETES_SNI_NAME: &str = "AZURE_KUBERNETES_SNI_NAME";
/// A PEM file with the proxy's certificate authorities, the only ones that count for it.
pub const AZURE_KUBERNETES_CA_FILE: &str = "AZURE_KUBERNETES_CA_FILE";
/// The same as PEM text.
pub const AZURE_KUBERNETES_CA_DATA: &str = "AZURE_KUBERNETES_CA_DATA";
/// `false` switches Terraform's federated tokens off (`--use-azurerm-env-vars`).
pub const ARM_USE_OIDC: &str = "ARM_USE_OIDC";
/// The federated token, Terraform's name.
pub const ARM_OIDC_TOKEN: &str = "ARM_OIDC_TOKEN";
/// The federated token's file, Terraform's name.
pub const ARM_OIDC_TOKEN_FILE_PATH: &str = "ARM_OIDC_TOKEN_FILE_PATH";
/// Where a job requests its federated token, Terraform's name.
pub const ARM_OIDC_REQUEST_URL: &str = "ARM_OIDC_REQUEST_URL";
/// The bearer token for that request, Terraform's name.
pub const ARM_OIDC_REQUEST_TOKEN: &str = "ARM_OIDC_REQUEST_TOKEN";
/// The federated token of a CI job: Bitbucket's, Spacelift's and HCP Terraform's names.
pub const BITBUCKET_STEP_OIDC_TOKEN: &str = "BITBUCKET_STEP_OIDC_TOKEN";
pub const SPACELIFT_OIDC_TOKEN: &str = "SPACELIFT_OIDC_TOKEN";
pub const TFC_WORKLOAD_IDENTITY_TOKEN: &str = "TFC_WORKLOAD_IDENTITY_TOKEN";
/// The authority host, for `workloadidentity`; the AKS workload identity webhook sets it.
pub const AZURE_AUTHORITY_HOST: &str = "AZURE_AUTHORITY_HOST";
/// The client ID of a service connection; the Azure tasks in Azure Pipelines set it.
pub const AZURESUBSCRIPTION_CLIENT_ID: &str = "AZURESUBSCRIPTION_CLIENT_ID";
/// Its tenant.
pub const AZURESUBSCRIPTION_TENANT_ID: &str = "AZURESUBSCRIPTION_TENANT_ID";
/// Its own ID.
pub const AZURESUBSCRIPTION_SERVICE_CONNECTION_ID: &str = "AZURESUBSCRIPTION_SERVICE_CONNECTION_ID";
/// Where a GitHub Actions job requests its federated token.
pub const ACTIONS_ID_TOKEN_REQUEST_URL: &str = "ACTIONS_ID_TOKEN_REQUEST_URL";
/// The bearer token for that request.
pub const ACTIONS_ID_TOKEN_REQUEST_TOKEN: &str = "ACTIONS_ID_TOKEN_REQUEST_TOKEN";
/// Where an Azure Pipelines job requests its federated token.
pub const SYSTEM_OIDCREQUESTURI: &str = "SYSTEM_OIDCREQUESTURI";
/// The bearer token for that request; a step sees it only if it is mapped.
pub const SYSTEM_ACCESSTOKEN: &str = "SYSTEM_ACCESSTOKEN";
/// The folder of the token cache, as `--cache-dir`; kubectl keeps its own caches there too.
pub const KUBECACHEDIR: &str = "KUBECACHEDIR";
/// What protects the token cache, as `--token-cache-storage`.
pub const KUBELOGIN_TOKEN_CACHE_STORAGE: &str = "KUBELOGIN_TOKEN_CACHE_STORAGE";
/// What an exec client tells its plugin (client-go, `ExecCredential`).
pub const KUBERNETES_EXEC_INFO: &str = "KUBERNETES_EXEC_INFO";
/// The browsers to try, each with or without `%s` for the address, as `xdg-open` and Python read it.
pub const BROWSER: &str = "BROWSER";
/// Set by the Windows Subsystem for Linux.
pub const WSL_DISTRO_NAME: &str = "WSL_DISTRO_NAME";
/// A PEM file with CA certificates, as OpenSSL and Go read it. On Linux it replaces the system's.
pub const SSL_CERT_FILE: &str = "SSL_CERT_FILE";
/// Folders with such files. On Linux they replace the system's.
pub const SSL_CERT_DIR: &str = "SSL_CERT_DIR";
/// The proxy for https, and the one for http: the first variable that is set counts.
pub const HTTPS_PROXY: [&str; 4] = ["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"];
pub const HTTP_PROXY: [&str; 4] = ["HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"];
/// The hosts, domains and networks that are reached without it, separated by commas.
pub const NO_PROXY: [&str; 2] = ["NO_PROXY", "no_proxy"];
/// Set where a web server runs the program (CGI).
pub const REQUEST_METHOD: &str = "REQUEST_METHOD";
/// Set in the jobs of nearly every CI system.
pub const CI: &str = "CI";
/// Which credentials the Azure SDKs may use; `--login auto` obeys it.
pub const AZURE_TOKEN_CREDENTIALS: &str = "AZURE_TOKEN_CREDENTIALS";
/// The cloud of Azure Cloud Shell, which sets it.
pub const ACC_CLOUD: &str = "ACC_CLOUD";
/// Where the API server is, for a pod; Kubernetes sets it.
pub const KUBERNETES_SERVICE_HOST: &str = "KUBERNETES_SERVICE_HOST";
/// Set in the jobs of Azure Pipelines, which has no CI.
pub const TF_BUILD: &str = "TF_BUILD";
/// Set in the jobs of GitHub Actions, GitLab, CircleCI and Jenkins.
pub const GITHUB_ACTIONS: &str = "GITHUB_ACTIONS";
pub const GITLAB_CI: &str = "GITLAB_CI";
pub const CIRCLECI: &str = "CIRCLECI";
pub const JENKINS_URL: &str = "JENKINS_URL";
/// The variables that CI systems set in their jobs, the specific ones first.
const CI_SYSTEMS: [&str; 6] = [
    GITHUB_ACTIONS,
    GITLAB_CI,
    TF_BUILD,
    CIRCLECI,
    JENKINS_URL,
    CI,
];
/// The preferences of kubectl, or `off`.
pub const KUBERC: &str = "KUBERC";
/// `false` switches these preferences off.
pub const KUBECTL_KUBERC: &str = "KUBECTL_KUBERC";
/// Where an X server is, and where a Wayland compositor is.
pub const DISPLAY: &str = "DISPLAY";
pub const WAYLAND_DISPLAY: &str = "WAYLAND_DISPLAY";
/// If set to anything, output has no colours (no-color.org).
pub const NO_COLOR: &str = "NO_COLOR";
/// The kind of terminal; `dumb` has no colours.
pub const TERM: &str = "TERM";
/// The user's home folder.
const HOME: &str = "HOME";
/// The same on Windows, under the names used there.
const USER_PROFILE: &str = "USERPROFILE";
const HOME_DRIVE: &str = "HOMEDRIVE";
const HOME_PATH: &str = "HOMEPATH";

/// The environment as it was when the program started.
#[derive(Debug, Clone, Default)]
pub struct Env {
    variables: Vec<(String, String)>,
    home: Option<PathBuf>,
}

impl Env {
    /// The environment of this process, the only read of it.
    #[expect(
        clippy::disallowed_methods,
        reason = "the one place that reads the environment"
    )]
    pub fn of_this_process() -> Self {
        let variables = std::env::vars_os()
            .filter_map(|(name, value)| {
                // Windows ignores the case of names.
                let name = name.into_string().ok()?;
                let name = if cfg!(windows) {
                    name.to_ascii_uppercase()
                } else {
                    name
                };
                Some((name, value.to_string_lossy().into_owned()))
            })
            .collect();
        let mut env = Self {
            variables,
            home: None,
        };
        env.home = if cfg!(windows) {
            env.windows_home().or_else(dirs::home_dir)
        } else {
            // As in kubectl: without HOME, a Unix process has no home, whatever the user database says.
            env.get(HOME).and_then(|_| dirs::home_dir())
        };
        env
    }

    /// The value of a variable; `None` if it is unset or empty.
    pub fn get(&self, name: &str) -> Option<&str> {
        let variable = self.variables.iter().find(|(other, _)| other == name);
        variable
            .map(|(_, value)| value.as_str())
            .filter(|value| !value.is_empty())
    }

    /// The paths in a variable that holds a list of them, such as PATH.
    pub fn paths(&self, name: &str) -> Vec<PathBuf> {
        let list = self.get(name).unwrap_or_default();
        let paths = std::env::split_paths(list);
        paths.filter(|path| !path.as_os_str().is_empty()).collect()
    }

    /// The user's home folder as kubectl determines it, if there is one.
    pub fn home(&self) -> Option<&PathBuf> {
        self.home.as_ref()
    }

    /// The same as az and azd determine it: Python's `expanduser` and Go's `os.UserHomeDir`.
    pub fn user_home(&self) -> Option<PathBuf> {
        let profile = self.get(USER_PROFILE).filter(|_| cfg!(windows));
        profile.map(PathBuf::from).or_else(|| self.home.clone())
    }

    /// Of the folders that can be a home on Windows, the first with a kubeconfig; if none has one, the first that exists
    /// (client-go, `homedir.HomeDir`).
    fn windows_home(&self) -> Option<PathBuf> {
        let of = |name| self.get(name).map(PathBuf::from);
        let (home, profile) = (of(HOME), of(USER_PROFILE));
        let drive_and_path = self.get(HOME_DRIVE).zip(self.get(HOME_PATH));
        let drive_and_path =
            drive_and_path.map(|(drive, path)| PathBuf::from(format!("{drive}{path}")));
        let find = |folders: [&Option<PathBuf>; 3], is_it: fn(&PathBuf) -> bool| {
            folders
                .into_iter()
                .flatten()
                .find(|folder| is_it(folder))
                .cloned()
        };
        find([&home, &drive_and_path, &profile], |folder| {
            folder.join(".kube").join("config").exists()
        })
        .or_else(|| find([&home, &profile, &drive_and_path], |folder| folder.is_dir()))
    }

    /// The variable that marks this as a CI job, where no person signs in.
    pub fn ci_variable(&self) -> Option<&'static str> {
        let is_on = |name: &&str| {
            let value = self.get(name);
            value.is_some_and(|value| !matches!(value.to_ascii_lowercase().as_str(), "false" | "0"))
        };
        CI_SYSTEMS.iter().copied().find(|name| is_on(name))
    }

    /// This environment with some variables set over it, as a kubeconfig sets them for its plugin.
    #[must_use]
    pub fn with<'v>(&self, variables: impl IntoIterator<Item = (&'v str, &'v str)>) -> Self {
        let mut env = self.clone();
        for (name, value) in variables {
            env.variables.retain(|(other, _)| other != name);
            env.variables.push((name.to_owned(), value.to_owned()));
        }
        env
    }

    /// An environment with just these variables, for tests.
    #[cfg(test)]
    pub fn of(variables: &[(&str, &str)]) -> Self {
        let variables = variables
            .iter()
            .map(|(name, value)| ((*name).into(), (*value).into()));
        let mut env = Self {
            variables: variables.collect(),
            home: None,
        };
        env.home = env.get(HOME).map(PathBuf::from);
        env
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tempfile::TempDir;

    /// Which of HOME, USERPROFILE and HOMEDRIVE with HOMEPATH exist and have a kubeconfig, and which of them is home.
    #[test]
    fn home_on_windows_is_where_kubectl_finds_its_configuration() {
        for (there, with_config, home) in [
            (&["h", "u", "d"][..], &[][..], Some("h")),
            (&["u", "d"], &[], Some("u")),
            (&["d"], &[], Some("d")),
            (&[], &[], None),
            (&["h", "u", "d"], &["u"], Some("u")),
            (&["h", "u", "d"], &["d", "u"], Some("d")),
            (&["h", "u", "d"], &["h", "d", "u"], Some("h")),
        ] {
            let scratch = TempDir::new().expect("a folder");
            for name in there {
                std::fs::create_dir(scratch.path().join(name)).expect("a folder");
            }
            for name in with_config {
                let folder = scratch.path().join(name).join(".kube");
                std::fs::create_dir(&folder).expect("a folder");
                std::fs::write(folder.join("config"), "").expect("a kubeconfig");
            }
            let [h, u, drive] =
                ["h", "u", ""].map(|name| scratch.path().join(name).display().to_string());
            let env = Env::of(&[
                (HOME, &h),
                (USER_PROFILE, &u),
                (HOME_DRIVE, &drive),
                (HOME_PATH, "d"),
            ]);
            assert_eq!(
                env.windows_home(),
                home.map(|name| scratch.path().join(name)),
                "{there:?} {with_config:?}"
            );
        }
    }
}
