//! Where Entra ID is: authority hosts, and the endpoints of a tenant.
//!
//! The endpoints of the known clouds are in a table, without any discovery request. Any other host is asked for its
//! OpenID configuration, once per sign-in (OpenID Connect Discovery 1.0 section 4).

use std::fmt;
use std::path::Path;

use oauth2::url::Url;
use openidconnect::core::{
    CoreAuthDisplay, CoreClaimName, CoreClaimType, CoreClientAuthMethod, CoreGrantType,
    CoreJsonWebKey, CoreJweContentEncryptionAlgorithm, CoreJweKeyManagementAlgorithm,
    CoreResponseMode, CoreResponseType, CoreSubjectIdentifierType,
};
use openidconnect::{AdditionalProviderMetadata, ProviderMetadata};
use serde::{Deserialize, Serialize};

use super::cloud::{self, Cloud, StackFile, is_host_of_microsoft};
use crate::error::Error;

/// The host that issues tokens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuthorityHost(Address);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Address {
    /// One of [`cloud::hosts`], whose endpoints are where Microsoft publishes them. A call with a cached token parses no URL.
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
        let known = cloud::hosts().find(|host| url.as_str() == format!("https://{host}/"));
        Ok(Self(known.map_or(Address::Other(url), Address::Known)))
    }

    /// The host of a cloud. `stack_file` is the path in AZURE_ENVIRONMENT_FILEPATH.
    pub fn of_cloud(cloud: Cloud, stack_file: Option<&Path>) -> Result<Self, Error> {
        if let Some(host) = cloud.host() {
            return Ok(Self(Address::Known(host)));
        }
        let file = StackFile::find(stack_file)?;
        let url = format!("{}/", file.authority_host().trim_end_matches('/'));
        Self::parse(&url).map_err(|error| file.wrong(&error))
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
