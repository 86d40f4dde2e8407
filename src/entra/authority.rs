//! Where Entra ID is: clouds, authority hosts, and the endpoints of a tenant.
//!
//! The endpoints of the known clouds are in a table, without any discovery request. Any other host is asked for its
//! OpenID configuration, once per sign-in (OpenID Connect Discovery 1.0 section 4).

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::ValueEnum;
use oauth2::url::Url;
use openidconnect::core::{
    CoreAuthDisplay, CoreClaimName, CoreClaimType, CoreClientAuthMethod, CoreGrantType,
    CoreJsonWebKey, CoreJweContentEncryptionAlgorithm, CoreJweKeyManagementAlgorithm,
    CoreResponseMode, CoreResponseType, CoreSubjectIdentifierType,
};
use openidconnect::{AdditionalProviderMetadata, ProviderMetadata};
use serde::{Deserialize, Serialize};

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
struct StackFile {
    active_directory_endpoint: String,
    resource_manager_endpoint: Option<String>,
    token_audience: Option<String>,
    service_management_endpoint: Option<String>,
    #[serde(skip)]
    path: PathBuf,
}

impl StackFile {
    /// Reads the file that AZURE_ENVIRONMENT_FILEPATH names.
    fn find(path: Option<&Path>) -> Result<Self, Error> {
        let path = path.ok_or_else(|| {
            Error::input(
                "--environment AzureStackCloud needs AZURE_ENVIRONMENT_FILEPATH, which is not set",
            )
            .remedy("Set it to the JSON file that describes the cloud, or set --authority-host.")
        })?;
        let wrong = |why: &dyn std::fmt::Display| wrong_stack_file(path, why);
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

    fn authority_host(&self) -> Result<AuthorityHost, Error> {
        let endpoint = format!("{}/", self.active_directory_endpoint.trim_end_matches('/'));
        AuthorityHost::parse(&endpoint).map_err(|error| wrong_stack_file(&self.path, &error))
    }

    fn resource_manager(&self) -> Result<ResourceManager, Error> {
        let given = |value: &Option<String>| value.clone().filter(|value| !value.is_empty());
        let endpoint = given(&self.resource_manager_endpoint)
            .ok_or_else(|| wrong_stack_file(&self.path, &"there is no resourceManagerEndpoint"))?;
        let audience = given(&self.token_audience)
            .or_else(|| given(&self.service_management_endpoint))
            .unwrap_or_else(|| endpoint.clone());
        ResourceManager::new(&endpoint, &audience)
            .map_err(|error| wrong_stack_file(&self.path, &error))
    }
}

fn wrong_stack_file(path: &Path, why: &dyn std::fmt::Display) -> Error {
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

/// True if this host is Microsoft's own.
pub fn is_host_of_microsoft(host: &str) -> bool {
    HOSTS.iter().any(|(known, _)| *known == host)
}

/// The host that issues tokens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuthorityHost(Address);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Address {
    /// A host of [`HOSTS`], whose endpoints are where Microsoft publishes them. A call with a cached token parses no URL.
    Known(&'static str),
    /// An https URL that ends with a slash.
    Other(Url),
}

/// The directory of AD FS, which has only one.
const ADFS: &str = "adfs";

impl AuthorityHost {
    /// Reads `--authority-host`; a slash is added at the end if there is none.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let wrong = |why: &str| {
            Error::input(format!("authority host {text:?} {why}"))
                .remedy("Set --authority-host (or AZURE_AUTHORITY_HOST) to a URL such as https://login.microsoftonline.com/")
        };
        let mut url = Url::parse(text).map_err(|error| wrong(&format!("is not valid: {error}")))?;
        if !url.has_host() {
            return Err(wrong("is not valid: it has no host"));
        }
        if url.scheme() != "https" {
            return Err(wrong("must start with https://"));
        }
        if url.query().is_some()
            || url.fragment().is_some()
            || !url.username().is_empty()
            || url.password().is_some()
        {
            return Err(wrong("is not valid: it must be a host and a path only"));
        }
        if !url.path().ends_with('/') {
            url.set_path(&format!("{}/", url.path()));
        }
        let known = HOSTS
            .iter()
            .find(|(host, _)| url.as_str() == format!("https://{host}/"));
        Ok(Self(match known {
            Some((host, _)) => Address::Known(host),
            None => Address::Other(url),
        }))
    }

    /// The host of a cloud. `stack_file` is the path in AZURE_ENVIRONMENT_FILEPATH.
    pub fn of_cloud(cloud: Cloud, stack_file: Option<&Path>) -> Result<Self, Error> {
        match HOSTS.iter().find(|(_, of)| *of == Some(cloud)) {
            Some((host, _)) => Ok(Self(Address::Known(host))),
            None => StackFile::find(stack_file)?.authority_host(),
        }
    }

    /// True if the host is Microsoft's own. A secret must not be sent to any other host, whether by a typo or by the
    /// kubeconfig's author.
    pub fn is_of_microsoft(&self) -> bool {
        is_host_of_microsoft(self.name())
    }

    /// Its name, without port and path.
    fn name(&self) -> &str {
        match &self.0 {
            Address::Known(host) => host,
            Address::Other(url) => url.host_str().unwrap_or_default(),
        }
    }

    /// Scheme, host and port (RFC 6454 section 6.2).
    fn origin(&self) -> String {
        match &self.0 {
            Address::Known(host) => format!("https://{host}"),
            Address::Other(url) => url.origin().ascii_serialization(),
        }
    }
}

/// The URL, which ends with a slash.
impl fmt::Display for AuthorityHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Address::Known(host) => write!(f, "https://{host}/"),
            Address::Other(url) => url.fmt(f),
        }
    }
}

/// A tenant at a host: `https://login.microsoftonline.com/<tenant>`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Authority {
    host: AuthorityHost,
    tenant: String,
}

/// A version of Entra's endpoints.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Version {
    /// `--legacy`: takes a `resource`, quotes numbers, and prefixes an audience that is a GUID with `spn:`.
    V1,
    /// The Microsoft identity platform: takes a `scope`.
    V2,
}

/// The endpoints of an authority.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoints {
    /// Where a browser goes (RFC 6749 section 3.1).
    pub authorize: Url,
    pub token: Url,
    /// RFC 8628; `None` if the host does not support device codes.
    pub device_code: Option<Url>,
}

/// Checks a tenant's ID or domain name.
pub fn check_tenant_id(tenant: &str) -> Result<(), Error> {
    let is_tenant = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '.';
    if tenant.is_empty() || !tenant.chars().all(is_tenant) || tenant.chars().all(|c| c == '.') {
        return Err(Error::input(format!("tenant ID {tenant:?} is not valid"))
            .remedy("Set --tenant-id (or AZURE_TENANT_ID) to the tenant's GUID or domain name: letters, digits, dots and dashes."));
    }
    Ok(())
}

impl Authority {
    /// `tenant` is a GUID or a domain name.
    pub fn new(host: AuthorityHost, tenant: &str) -> Result<Self, Error> {
        check_tenant_id(tenant)?;
        Ok(Self {
            host,
            tenant: tenant.to_owned(),
        })
    }

    /// The URL of the authority, for people and cache keys. Tenants have no case; a path does (RFC 3986 section 6.2.2.1).
    pub fn url(&self) -> String {
        format!("{}{}", self.host, self.tenant.to_ascii_lowercase())
    }

    /// The host, with its port if it has one, unless it is Microsoft's own.
    pub fn foreign_host(&self) -> Option<String> {
        let url = match &self.host.0 {
            Address::Other(url) if !self.host.is_of_microsoft() => url,
            _ => return None,
        };
        let host = url.host_str()?;
        Some(match url.port() {
            Some(port) => format!("{host}:{port}"),
            None => host.to_owned(),
        })
    }

    /// The tenant, as given.
    pub fn tenant(&self) -> &str {
        &self.tenant
    }

    /// The endpoints, if they need no discovery. The v1 endpoints were never published: they have the same paths on every
    /// host.
    pub fn known_endpoints(&self, version: Version) -> Option<Endpoints> {
        let url = |path: &str| Url::parse(&self.at(path)).ok();
        match version {
            Version::V1 => Some(Endpoints {
                authorize: url("oauth2/authorize")?,
                token: url("oauth2/token?api-version=1.0")?,
                device_code: url("oauth2/devicecode?api-version=1.0"),
            }),
            Version::V2 if matches!(self.host.0, Address::Known(_)) => Some(Endpoints {
                authorize: url("oauth2/v2.0/authorize")?,
                token: url("oauth2/v2.0/token")?,
                device_code: url("oauth2/v2.0/devicecode"),
            }),
            Version::V2 => None,
        }
    }

    /// The audience that Entra requires of a federated token in this cloud (Microsoft, "Workload identity federation": no
    /// cloud accepts another's).
    pub fn token_exchange_audience(&self) -> &'static str {
        match Cloud::of_host(self.host.name()) {
            Some(Cloud::UsGovernment) => "api://AzureADTokenExchangeUSGov",
            Some(Cloud::China) => "api://AzureADTokenExchangeChina",
            _ => "api://AzureADTokenExchange",
        }
    }

    /// Where an unknown host publishes its endpoints. AD FS has no version in its path.
    pub fn discovery_url(&self) -> String {
        let version = if self.is_adfs() { "" } else { "v2.0/" };
        self.at(&format!("{version}.well-known/openid-configuration"))
    }

    fn is_adfs(&self) -> bool {
        self.tenant.eq_ignore_ascii_case(ADFS)
    }

    /// Reads the response to [`Authority::discovery_url`]. The issuer and every endpoint must have the origin of this
    /// host: else a document could name Microsoft's sign-in page and its own token endpoint, and collect the code and
    /// verifier of a real sign-in (RFC 9700 section 4.4, "mix-up").
    pub fn read_discovery(&self, body: &[u8]) -> Result<Endpoints, Error> {
        let at = self.host.name();
        let wrong = |why: &str| {
            Error::input(format!("the OpenID configuration of {at} {why}"))
                .remedy("Check --authority-host and --tenant-id: the issuer and every endpoint must be on that host.")
        };
        let metadata: Metadata =
            serde_json::from_slice(body).map_err(|_| wrong("is not the expected JSON"))?;
        let here = |url: &Url| {
            let other = url.origin().ascii_serialization();
            if other == self.host.origin() {
                return Ok(url.clone());
            }
            Err(wrong(&format!("points to another host, {other}")))
        };
        here(metadata.issuer().url())?;
        let token = metadata
            .token_endpoint()
            .ok_or_else(|| wrong("has no token endpoint"))?;
        let device_code = metadata
            .additional_metadata()
            .device_authorization_endpoint
            .as_ref();
        Ok(Endpoints {
            authorize: here(metadata.authorization_endpoint().url())?,
            token: here(token.url())?,
            device_code: device_code.map(here).transpose()?,
        })
    }

    /// A URL of the authority. AD FS has a single directory, which the host of an Azure Stack already names.
    fn at(&self, path: &str) -> String {
        let host = self.host.to_string();
        let names_adfs = host.to_ascii_lowercase().ends_with("/adfs/");
        if self.is_adfs() && names_adfs {
            return format!("{host}{path}");
        }
        format!("{host}{}/{path}", self.tenant)
    }
}

/// RFC 8628 section 4 adds one member to the OpenID configuration.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct DeviceMetadata {
    device_authorization_endpoint: Option<Url>,
}

impl AdditionalProviderMetadata for DeviceMetadata {}

type Metadata = ProviderMetadata<
    DeviceMetadata,
    CoreAuthDisplay,
    CoreClientAuthMethod,
    CoreClaimName,
    CoreClaimType,
    CoreGrantType,
    CoreJweContentEncryptionAlgorithm,
    CoreJweKeyManagementAlgorithm,
    CoreJsonWebKey,
    CoreResponseMode,
    CoreResponseType,
    CoreSubjectIdentifierType,
>;

#[cfg(test)]
mod tests {
    use super::*;

    fn authority(host: &str) -> Authority {
        Authority::new(AuthorityHost::parse(host).expect("host"), "Contoso.example")
            .expect("authority")
    }

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
            let host = AuthorityHost::of_cloud(*cloud, None).expect("known");
            let host = host.name();
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

    #[test]
    fn a_host_that_is_not_an_https_url_is_refused() {
        for (text, why) in [
            ("http://login.microsoftonline.com/", "https://"),
            ("https://", "not valid"),
            ("login.microsoftonline.com", "not valid"),
            ("https://login.example/?x=/", "not valid"),
            ("https://user:pw@login.example/", "not valid"),
        ] {
            let error = AuthorityHost::parse(text).expect_err(text).to_string();
            assert!(error.contains(why), "{text}: {error}");
        }
    }

    #[test]
    fn a_slash_that_is_missing_at_the_end_of_a_host_is_added() {
        for (text, url) in [
            (
                "https://login.microsoftonline.us",
                "https://login.microsoftonline.us/",
            ),
            ("https://stack.example/Path", "https://stack.example/Path/"),
        ] {
            assert_eq!(AuthorityHost::parse(text), AuthorityHost::parse(url));
            assert_eq!(authority(text).url(), format!("{url}contoso.example"));
        }
    }

    #[test]
    fn authorities_whose_paths_differ_in_case_are_different_and_tenants_have_no_case() {
        let url = |host: &str, tenant| {
            let host = AuthorityHost::parse(host).expect("host");
            Authority::new(host, tenant).expect("authority").url()
        };
        let one = url("https://idp.example/a/", "Ten");
        assert_ne!(one, url("https://idp.example/A/", "Ten"));
        assert_eq!(one, url("https://IDP.example/a/", "tEN"));
    }

    #[test]
    fn the_directory_of_ad_fs_is_in_the_path_once() {
        for host in [
            "https://adfs.stack.example/adfs",
            "https://adfs.stack.example/",
        ] {
            let host = AuthorityHost::parse(host).expect("host");
            let authority = Authority::new(host, "adfs").expect("authority");
            let v1 = authority.known_endpoints(Version::V1).expect("v1");
            let at = "https://adfs.stack.example/adfs";
            assert_eq!(
                authority.discovery_url(),
                format!("{at}/.well-known/openid-configuration")
            );
            assert_eq!(v1.authorize.as_str(), format!("{at}/oauth2/authorize"));
        }
        let entra = authority("https://stack.example/adfs/");
        assert!(
            entra
                .discovery_url()
                .contains("/adfs/Contoso.example/v2.0/")
        );
    }

    #[test]
    fn only_a_host_of_microsoft_s_own_name_is_no_foreign_one() {
        for (host, foreign) in [
            ("https://login.microsoftonline.com/", None),
            ("https://LOGIN.microsoftonline.com:8443/x/", None),
            (
                "https://login.microsoftonline.com.evil.example/",
                Some("login.microsoftonline.com.evil.example"),
            ),
            (
                "https://evil.example:8443/login.microsoftonline.com/",
                Some("evil.example:8443"),
            ),
        ] {
            assert_eq!(authority(host).foreign_host().as_deref(), foreign, "{host}");
        }
    }

    #[test]
    fn a_tenant_consists_of_letters_digits_dots_and_dashes() {
        let host = AuthorityHost::parse("https://login.microsoftonline.com/").expect("host");
        for tenant in ["", "a b", "a/b", "..", "a?b", "ä"] {
            assert!(Authority::new(host.clone(), tenant).is_err(), "{tenant}");
        }
    }

    #[test]
    fn known_hosts_need_no_discovery_and_others_do() {
        let known = authority("https://login.microsoftonline.us/")
            .known_endpoints(Version::V2)
            .expect("known");
        assert_eq!(
            known.token.as_str(),
            "https://login.microsoftonline.us/Contoso.example/oauth2/v2.0/token"
        );
        for host in [
            "https://login.microsoftonline.us:8443/",
            "https://idp.example/",
            "https://login.microsoftonline.com/x/",
        ] {
            assert_eq!(authority(host).known_endpoints(Version::V2), None, "{host}");
            let v1 = authority(host).known_endpoints(Version::V1).expect("v1");
            let url = format!("{host}Contoso.example/oauth2/token?api-version=1.0");
            assert_eq!(v1.token.as_str(), url);
        }
        let unknown = authority("https://idp.example/");
        assert_eq!(
            unknown.discovery_url(),
            "https://idp.example/Contoso.example/v2.0/.well-known/openid-configuration"
        );
    }

    /// The issuer, the sign-in page, the token endpoint and the device authorization endpoint, on these hosts.
    fn discovery(hosts: [&str; 4]) -> Vec<u8> {
        let [issuer, authorize, token, device] = hosts;
        let document = serde_json::json!({
            "issuer": format!("{issuer}/guid/v2.0"), "authorization_endpoint": format!("{authorize}/a"),
            "token_endpoint": format!("{token}/t"), "device_authorization_endpoint": format!("{device}/d"),
            "jwks_uri": "https://idp.example/k", "response_types_supported": ["code"],
            "subject_types_supported": ["pairwise"], "id_token_signing_alg_values_supported": ["RS256"],
        });
        document.to_string().into_bytes()
    }

    #[test]
    fn every_endpoint_and_the_issuer_must_share_the_origin_of_the_authority_host() {
        let own = "https://idp.example";
        let host = authority("https://idp.example/");
        let endpoints = host.read_discovery(&discovery([own; 4])).expect("read");
        assert_eq!(endpoints.token.as_str(), "https://idp.example/t");
        let device_code = endpoints.device_code.expect("device code");
        assert_eq!(device_code.as_str(), "https://idp.example/d");
        for other in [
            "https://login.microsoftonline.com",
            "https://evil.example",
            "http://idp.example",
            "https://idp.example:8443",
        ] {
            for place in 0..4 {
                let mut hosts = [own; 4];
                hosts[place] = other;
                let error = host.read_discovery(&discovery(hosts)).expect_err(other);
                let error = error.to_string();
                let says = format!("of idp.example points to another host, {other}");
                assert!(error.contains(&says), "{error}");
            }
        }
    }
}
