//! The Azure clouds: their names, the hosts that issue their tokens, and their Azure Resource Manager.

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::ValueEnum;
use oauth2::url::Url;
use serde::Deserialize;

use crate::error::Error;
use crate::flag::possible_words;
use crate::system::{LARGEST_BODY, bounded};

/// A value of `--environment`, in upper or lower case; the first name of a cloud is the usual one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Cloud {
    #[value(name = "AzurePublicCloud", aliases = ["AzureCloud", "AzurePublic"])]
    Public,
    #[value(name = "AzureUSGovernmentCloud", alias = "AzureUSGovernment")]
    UsGovernment,
    #[value(name = "AzureChinaCloud", alias = "AzureChina")]
    China,
    /// The sovereign cloud of France.
    #[value(name = "AzureBleuCloud", help = None)]
    Bleu,
    /// Azure Stack Hub: its endpoints are in the file that AZURE_ENVIRONMENT_FILEPATH names.
    #[value(name = "AzureStackCloud", help = None)]
    Stack,
}

impl Cloud {
    /// The cloud of this name. An unknown name is an error: it must not silently mean the public cloud.
    pub fn from_name(name: &str) -> Result<Self, Error> {
        Self::from_str(name, true).map_err(|_| {
            Error::input(format!(
                "--environment {name:?} is not a known Azure environment"
            ))
            .remedy(format!(
                "Use one of {}, or pass --authority-host.",
                possible_words::<Self>()
            ))
        })
    }

    /// The cloud for which a Microsoft host issues tokens.
    pub fn of_host(host: &str) -> Option<Self> {
        let row = HOSTS.iter().find(|(known, _)| *known == host);
        row.and_then(|(_, cloud)| *cloud)
    }

    /// The host that usually issues its tokens; `None` for an Azure Stack, whose file names it.
    pub fn host(self) -> Option<&'static str> {
        let row = HOSTS.iter().find(|(_, cloud)| *cloud == Some(self));
        row.map(|(host, _)| *host)
    }

    /// The cloud that an OpenID configuration names in `cloud_instance_name`: `microsoftonline.com` for the host
    /// `login.microsoftonline.com`.
    pub fn of_instance(name: &str) -> Option<Self> {
        Self::of_host(&format!("login.{name}"))
    }

    /// The name of the cloud in kubeconfigs.
    pub fn name(self) -> String {
        let value = self.to_possible_value();
        value.map_or_else(String::new, |value| value.get_name().to_owned())
    }

    /// Where the cloud's Azure Resource Manager is. `stack_file` is where AZURE_ENVIRONMENT_FILEPATH points.
    pub fn resource_manager(self, stack_file: Option<&Path>) -> Result<ResourceManager, Error> {
        let (endpoint, audience) = match self {
            Self::Public => (
                "https://management.azure.com",
                "https://management.core.windows.net/",
            ),
            Self::UsGovernment => (
                "https://management.usgovcloudapi.net",
                "https://management.core.usgovcloudapi.net/",
            ),
            Self::China => (
                "https://management.chinacloudapi.cn",
                "https://management.core.chinacloudapi.cn/",
            ),
            Self::Bleu => (
                "https://management.sovcloud-api.fr",
                "https://management.sovcloud-api.fr/",
            ),
            Self::Stack => return StackFile::find(stack_file)?.resource_manager(),
        };
        ResourceManager::new(endpoint, audience)
    }
}

/// Azure Resource Manager in a cloud (azure-cli, `core/cloud.py`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResourceManager {
    pub endpoint: Url,
    /// The resource that its tokens are for, as the cloud writes it.
    pub audience: String,
}

impl ResourceManager {
    fn new(endpoint: &str, audience: &str) -> Result<Self, Error> {
        let url = Url::parse(endpoint).ok();
        let url = url.filter(|url| url.scheme() == "https" && url.has_host());
        Ok(Self {
            endpoint: url.ok_or_else(|| {
                Error::input(format!(
                    "resource manager endpoint {endpoint:?} is not an https URL"
                ))
            })?,
            audience: audience.to_owned(),
        })
    }
}

/// The file that describes an Azure Stack Hub, in the format of go-autorest.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StackFile {
    active_directory_endpoint: String,
    resource_manager_endpoint: Option<String>,
    token_audience: Option<String>,
    service_management_endpoint: Option<String>,
    #[serde(skip)]
    path: PathBuf,
}

impl StackFile {
    /// Reads the file that AZURE_ENVIRONMENT_FILEPATH names.
    pub fn find(path: Option<&Path>) -> Result<Self, Error> {
        let path = path.ok_or_else(|| {
            Error::input(
                "--environment AzureStackCloud needs AZURE_ENVIRONMENT_FILEPATH, which is not set",
            )
            .remedy("Set it to the JSON file that describes the cloud, or set --authority-host.")
        })?;
        let wrong = |why: &dyn fmt::Display| wrong_stack_file(path, why);
        let bytes = bounded::read_any(path, LARGEST_BODY, STACK_FILE_PATIENCE);
        let bytes = bytes.map_err(|error| wrong(&error))?;
        let text = std::str::from_utf8(&bytes).map_err(|error| wrong(&error))?;
        let text = text.trim_start_matches('\u{feff}');
        let file: Self = serde_json::from_str(text).map_err(|error| wrong(&error))?;
        Ok(Self {
            path: path.into(),
            ..file
        })
    }

    /// The URL of the authority host, as the file has it.
    pub fn authority_host(&self) -> &str {
        &self.active_directory_endpoint
    }

    /// The error for something in the file that is not valid.
    pub fn wrong(&self, why: &dyn fmt::Display) -> Error {
        wrong_stack_file(&self.path, why)
    }

    fn resource_manager(&self) -> Result<ResourceManager, Error> {
        let given = |value: &Option<String>| value.clone().filter(|value| !value.is_empty());
        let endpoint = given(&self.resource_manager_endpoint)
            .ok_or_else(|| self.wrong(&"there is no resourceManagerEndpoint"))?;
        let audience = given(&self.token_audience)
            .or_else(|| given(&self.service_management_endpoint))
            .unwrap_or_else(|| endpoint.clone());
        ResourceManager::new(&endpoint, &audience).map_err(|error| self.wrong(&error))
    }
}

fn wrong_stack_file(path: &Path, why: &dyn fmt::Display) -> Error {
    Error::input(format!(
        "AZURE_ENVIRONMENT_FILEPATH {}: {why}",
        path.display()
    ))
    .remedy(
        "The file must be JSON with an activeDirectoryEndpoint; with --authority-host it is not needed.",
    )
}

/// How long the file that AZURE_ENVIRONMENT_FILEPATH names may take, if it is a pipe.
const STACK_FILE_PATIENCE: Duration = Duration::from_secs(10);

/// The hosts whose endpoints need no discovery (Microsoft's published authorities and their aliases), each with its cloud if
/// `--environment` has a name for it. The first host of a cloud is the usual one.
#[rustfmt::skip]
const HOSTS: &[(&str, Option<Cloud>)] = &[
    ("login.microsoftonline.com", Some(Cloud::Public)),
    ("login.windows.net", Some(Cloud::Public)),
    ("login.microsoft.com", Some(Cloud::Public)),
    ("sts.windows.net", Some(Cloud::Public)),
    ("login.microsoftonline.us", Some(Cloud::UsGovernment)),
    ("login.usgovcloudapi.net", Some(Cloud::UsGovernment)),
    ("login-us.microsoftonline.com", Some(Cloud::UsGovernment)),
    ("login.chinacloudapi.cn", Some(Cloud::China)),
    ("login.partner.microsoftonline.cn", Some(Cloud::China)),
    ("login.sovcloud-identity.fr", Some(Cloud::Bleu)),
    ("login.microsoftonline.de", None),
    ("login.sovcloud-identity.de", None),
    ("login.sovcloud-identity.sg", None),
];

/// The hosts of Microsoft that issue tokens.
pub fn hosts() -> impl Iterator<Item = &'static str> {
    HOSTS.iter().map(|(host, _)| *host)
}

/// True if this host is Microsoft's own.
pub fn is_host_of_microsoft(host: &str) -> bool {
    hosts().any(|known| known == host)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_name_means_its_cloud_and_an_unknown_one_is_an_error() {
        for (name, cloud) in [
            ("AzurePublicCloud", Cloud::Public),
            ("AzureCloud", Cloud::Public),
            ("AzurePublic", Cloud::Public),
            ("AzureUSGovernmentCloud", Cloud::UsGovernment),
            ("AzureUSGovernment", Cloud::UsGovernment),
            ("AzureChinaCloud", Cloud::China),
            ("AzureChina", Cloud::China),
            ("AzureBleuCloud", Cloud::Bleu),
            ("AzureStackCloud", Cloud::Stack),
        ] {
            assert_eq!(Cloud::from_name(name), Ok(cloud));
            assert_eq!(Cloud::from_name(&name.to_uppercase()), Ok(cloud));
        }
        for name in ["AzureGermanCloud", "AzurePublicCluod", ""] {
            let error = Cloud::from_name(name).expect_err(name).to_string();
            assert!(error.contains(&possible_words::<Cloud>()), "{error}");
        }
    }

    #[test]
    fn a_cloud_is_known_by_its_hosts_and_by_no_host_that_is_like_one() {
        for cloud in Cloud::value_variants() {
            if *cloud == Cloud::Stack {
                continue;
            }
            let host = cloud.host().expect("known");
            assert_eq!(Cloud::of_host(host), Some(*cloud), "{host}");
        }
        for (instance, cloud) in [
            ("microsoftonline.com", Some(Cloud::Public)),
            ("microsoftonline.us", Some(Cloud::UsGovernment)),
            ("partner.microsoftonline.cn", Some(Cloud::China)),
            ("sovcloud-identity.fr", Some(Cloud::Bleu)),
            ("microsoftonline.de", None),
            ("com", None),
        ] {
            assert_eq!(Cloud::of_instance(instance), cloud, "{instance}");
        }
        assert_eq!(Cloud::of_host("login.windows.net"), Some(Cloud::Public));
        for host in [
            "login.microsoftonline.com.evil.example",
            "microsoftonline.com",
            "evil.example",
            "",
        ] {
            assert_eq!(Cloud::of_host(host), None, "{host}");
            assert!(!is_host_of_microsoft(host), "{host}");
        }
    }

    #[test]
    fn each_cloud_has_its_own_resource_manager_and_a_stack_s_is_in_its_file() {
        let clouds = [
            Cloud::Public,
            Cloud::UsGovernment,
            Cloud::China,
            Cloud::Bleu,
        ];
        let hosts = clouds.map(|cloud| {
            let manager = cloud.resource_manager(None).expect("known");
            assert!(manager.audience.ends_with('/'));
            manager.endpoint.host_str().map(str::to_owned)
        });
        let ends = [
            ".azure.com",
            ".usgovcloudapi.net",
            ".chinacloudapi.cn",
            ".sovcloud-api.fr",
        ];
        for (host, end) in hosts.iter().zip(ends) {
            assert_eq!(host.as_deref(), Some(format!("management{end}").as_str()));
        }
        let scratch = tempfile::TempDir::new().expect("a temporary folder");
        let path = scratch.path().join("stack.json");
        let stack = |members: &str| {
            let text =
                format!(r#"{{"activeDirectoryEndpoint":"https://adfs.example/adfs"{members}}}"#);
            std::fs::write(&path, text).expect("a file");
            let manager = Cloud::Stack.resource_manager(Some(&path));
            manager.map(|manager| (manager.endpoint.to_string(), manager.audience))
        };
        let endpoint = r#","resourceManagerEndpoint":"https://management.stack.example/""#;
        let (url, own) = (
            "https://management.stack.example/",
            "https://management.stack.example/",
        );
        for (more, audience) in [
            ("", own),
            (
                r#","tokenAudience":"","serviceManagementEndpoint":"s""#,
                "s",
            ),
            (
                r#","tokenAudience":"t","serviceManagementEndpoint":"s""#,
                "t",
            ),
        ] {
            let found = stack(&format!("{endpoint}{more}")).expect(more);
            assert_eq!(found, (url.to_owned(), audience.to_owned()));
        }
        for wrong in ["", r#","resourceManagerEndpoint":"http://x.example/""#] {
            let error = stack(wrong).expect_err(wrong).to_string();
            assert!(
                error.contains("stack.json") && error.contains("esource"),
                "{error}"
            );
        }
    }
}
