//! Where a managed identity's tokens are: Azure's services tell by environment variables, a virtual machine by a fixed
//! address.

use std::fmt;
use std::path::{Path, PathBuf};

use http::HeaderValue;
use http::header::{ACCEPT, CONTENT_TYPE};
use oauth2::url::{Url, form_urlencoded};

use super::Identity;
use crate::env;
use crate::error::Error;
use crate::secret::Secret;
use crate::system::{HttpRequest, Via};

/// A service that gives tokens to what runs on it.
#[derive(Debug)]
pub enum Host {
    /// The instance metadata service of a virtual machine, a scale set or an AKS node.
    Imds,
    AppService {
        endpoint: Url,
        header: Secret,
    },
    ServiceFabric {
        endpoint: Url,
        header: Secret,
        thumbprint: [u8; 20],
    },
    AzureMl {
        endpoint: Url,
        secret: Secret,
        default_client_id: Option<String>,
    },
    CloudShell {
        endpoint: Url,
    },
    /// A machine outside of Azure with Arc's agent, which proves by a file in `key_folder` that we may ask.
    Arc {
        endpoint: Url,
        key_folder: PathBuf,
    },
}

/// A fixed link-local address, the same in every Azure network.
const IMDS: &str = "http://169.254.169.254/metadata/identity/oauth2/token";
const ARC: &str = "http://127.0.0.1:40342/metadata/identity/oauth2/token";

/// The variables by which Azure's services tell where a managed identity's tokens are.
#[derive(Debug)]
pub struct IdentityHost {
    pub identity_endpoint: Option<String>,
    pub identity_header: Option<Secret>,
    pub identity_server_thumbprint: Option<String>,
    pub imds_endpoint: Option<String>,
    pub msi_endpoint: Option<String>,
    pub msi_secret: Option<Secret>,
    pub default_identity_client_id: Option<String>,
    /// The folder of all programs of Windows; Arc's agent is found in it.
    pub program_data: Option<PathBuf>,
}
impl IdentityHost {
    pub fn of(env: &env::Env) -> Self {
        let text = |name| env.get(name).map(str::to_owned);
        Self {
            identity_endpoint: text(env::IDENTITY_ENDPOINT),
            identity_header: env.get(env::IDENTITY_HEADER).map(Secret::new),
            identity_server_thumbprint: text(env::IDENTITY_SERVER_THUMBPRINT),
            imds_endpoint: text(env::IMDS_ENDPOINT),
            msi_endpoint: text(env::MSI_ENDPOINT),
            msi_secret: env.get(env::MSI_SECRET).map(Secret::new),
            default_identity_client_id: text(env::DEFAULT_IDENTITY_CLIENT_ID),
            program_data: env.get(env::PROGRAM_DATA).map(PathBuf::from),
        }
    }
}

impl Host {
    /// The order is the original's.
    pub fn detect(variables: &IdentityHost) -> Result<Self, Error> {
        if let (Some(endpoint), Some(header)) =
            (&variables.identity_endpoint, &variables.identity_header)
        {
            let endpoint = endpoint_url(env::IDENTITY_ENDPOINT, endpoint)?;
            let header = header.clone();
            return Ok(match &variables.identity_server_thumbprint {
                Some(digits) => Self::ServiceFabric {
                    endpoint,
                    header,
                    thumbprint: thumbprint(digits)?,
                },
                None => Self::AppService { endpoint, header },
            });
        }
        if let Some(endpoint) = &variables.msi_endpoint {
            let endpoint = endpoint_url(env::MSI_ENDPOINT, endpoint)?;
            return Ok(match variables.msi_secret.clone() {
                Some(secret) => Self::AzureMl {
                    endpoint,
                    secret,
                    default_client_id: variables.default_identity_client_id.clone(),
                },
                None => Self::CloudShell { endpoint },
            });
        }
        Self::detect_arc(variables)
    }

    fn detect_arc(variables: &IdentityHost) -> Result<Self, Error> {
        let agent = ArcAgent::of_this_platform(variables.program_data.as_deref());
        let endpoint = match (&variables.identity_endpoint, &variables.imds_endpoint) {
            (Some(endpoint), Some(_)) => endpoint_url(env::IDENTITY_ENDPOINT, endpoint)?,
            _ if agent.as_ref().is_some_and(|agent| agent.program.is_file()) => {
                endpoint_url("", ARC)?
            }
            _ => return Ok(Self::Imds),
        };
        let agent = agent.ok_or_else(|| {
            Error::input("Azure Arc gives tokens on Linux and Windows only")
                .remedy("Unset IDENTITY_ENDPOINT and IMDS_ENDPOINT, or use another --login mode.")
        })?;
        Ok(Self::Arc {
            endpoint,
            key_folder: agent.key_folder,
        })
    }

    /// Refuses an identity that the service has no way to name.
    pub fn check(&self, identity: &Identity) -> Result<(), Error> {
        let remedy = match (self, identity) {
            (_, Identity::System) | (Self::Imds | Self::AppService { .. }, _) => return Ok(()),
            (Self::AzureMl { .. }, Identity::ClientId(_)) => return Ok(()),
            (Self::AzureMl { .. }, Identity::ResourceId(_)) => {
                "Give --client-id of the identity instead of --identity-resource-id."
            }
            (Self::ServiceFabric { .. }, _) => {
                "The application's manifest says which identity it is (https://aka.ms/servicefabricmi): leave --client-id (AZURE_CLIENT_ID) and --identity-resource-id out."
            }
            (Self::CloudShell { .. } | Self::Arc { .. }, _) => {
                "It has one identity only: leave --client-id (AZURE_CLIENT_ID) and --identity-resource-id out."
            }
        };
        Err(Error::input(format!(
            "{self} doesn't support user-assigned managed identities{}",
            match self {
                Self::AzureMl { .. } => " by resource ID",
                _ => "",
            }
        ))
        .remedy(remedy))
    }

    /// The identity that it gives if none is named.
    pub fn default_identity(&self) -> Identity {
        match self {
            Self::AzureMl {
                default_client_id: Some(id),
                ..
            } => Identity::ClientId(id.clone()),
            _ => Identity::System,
        }
    }

    /// What proves to it that we may ask, where something does.
    pub fn secret(&self) -> Option<&Secret> {
        match self {
            Self::AppService { header, .. } | Self::ServiceFabric { header, .. } => Some(header),
            Self::AzureMl { secret, .. } => Some(secret),
            Self::Imds | Self::CloudShell { .. } | Self::Arc { .. } => None,
        }
    }

    /// Where it is, for the cache key.
    pub fn place(&self) -> String {
        match self {
            Self::Imds => IMDS.to_owned(),
            Self::AppService { endpoint, .. }
            | Self::ServiceFabric { endpoint, .. }
            | Self::AzureMl { endpoint, .. }
            | Self::CloudShell { endpoint }
            | Self::Arc { endpoint, .. } => format!("{self} {endpoint}"),
        }
    }

    pub fn via(&self) -> Via {
        match self {
            Self::ServiceFabric { thumbprint, .. } => Via::Pinned(*thumbprint),
            _ => Via::Direct,
        }
    }

    /// The request for a token.
    pub fn request(&self, resource: &str, identity: &Identity) -> Result<HttpRequest, Error> {
        let request = match self {
            Self::Imds => {
                let url = Url::parse(IMDS).map_err(|error| Error::input(error.to_string()))?;
                get(
                    &url,
                    "2018-02-01",
                    resource,
                    identity.parameter("client_id", "msi_res_id"),
                )
                .header("metadata", "true")
            }
            Self::AppService { endpoint, header } => get(
                endpoint,
                "2019-08-01",
                resource,
                identity.parameter("client_id", "mi_res_id"),
            )
            .header("x-identity-header", sensitive(header)?),
            Self::ServiceFabric {
                endpoint, header, ..
            } => get(endpoint, "2019-07-01-preview", resource, None)
                .header("secret", sensitive(header)?)
                .header(ACCEPT, "application/json"),
            Self::AzureMl {
                endpoint, secret, ..
            } => {
                // Always there, empty for the machine's own.
                let client_id = match identity {
                    Identity::ClientId(id) => id,
                    _ => "",
                };
                get(
                    endpoint,
                    "2017-09-01",
                    resource,
                    Some(("clientid", client_id)),
                )
                .header("secret", sensitive(secret)?)
            }
            Self::Arc { endpoint, .. } => {
                get(endpoint, "2020-06-01", resource, None).header("metadata", "true")
            }
            Self::CloudShell { endpoint } => http::Request::post(endpoint.as_str())
                .header("metadata", "true")
                .header(CONTENT_TYPE, "application/x-www-form-urlencoded"),
        };
        let body = match self {
            Self::CloudShell { .. } => form_urlencoded::Serializer::new(String::new())
                .append_pair("resource", resource)
                .finish(),
            _ => String::new(),
        };
        request
            .body(body.into_bytes())
            .map_err(|error| Error::input(format!("{self}: {error}")))
    }
}

fn endpoint_url(variable: &str, value: &str) -> Result<Url, Error> {
    let is_endpoint = |url: &Url| matches!(url.scheme(), "http" | "https") && url.has_host();
    Url::parse(value).ok().filter(is_endpoint).ok_or_else(|| {
        Error::input(format!(
            "{variable} {value:?} is not the URL of an endpoint"
        ))
        .remedy("Azure sets this variable where there is a managed identity: unset it elsewhere.")
    })
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Imds => "the instance metadata service (IMDS)",
            Self::AppService { .. } => "App Service",
            Self::ServiceFabric { .. } => "Service Fabric",
            Self::AzureMl { .. } => "Azure Machine Learning",
            Self::CloudShell { .. } => "Cloud Shell",
            Self::Arc { .. } => "Azure Arc",
        })
    }
}

fn get(
    endpoint: &Url,
    version: &str,
    resource: &str,
    identity: Option<(&str, &str)>,
) -> http::request::Builder {
    let mut url = endpoint.clone();
    url.query_pairs_mut()
        .append_pair("api-version", version)
        .append_pair("resource", resource)
        .extend_pairs(identity);
    http::Request::get(url.as_str())
}

/// A header that no log of the HTTP client shows.
pub fn sensitive(secret: &Secret) -> Result<HeaderValue, Error> {
    let mut value = HeaderValue::from_str(secret.expose()).map_err(|_| {
        Error::input(
            "the secret for the managed identity endpoint holds signs that no header can carry",
        )
        .remedy("Check IDENTITY_HEADER or MSI_SECRET: Azure sets it.")
    })?;
    value.set_sensitive(true);
    Ok(value)
}

/// Hexadecimal, with or without colons.
fn thumbprint(text: &str) -> Result<[u8; 20], Error> {
    let digits: Vec<char> = text.chars().filter(|c| *c != ':').collect();
    let mut bytes = [0; 20];
    let mut is_digest = digits.len() == 2 * bytes.len();
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks(2)) {
        let pair: String = pair.iter().collect();
        match u8::from_str_radix(&pair, 16) {
            Ok(value) => *byte = value,
            Err(_) => is_digest = false,
        }
    }
    is_digest.then_some(bytes).ok_or_else(|| {
        let what = format!(
            "{} {text:?} is not a SHA-1 digest",
            env::IDENTITY_SERVER_THUMBPRINT
        );
        Error::input(what)
            .remedy("Service Fabric sets this variable to 40 hexadecimal digits: do not change it.")
    })
}

/// Arc's agent, and the folder that only it and those whom it trusts may read.
struct ArcAgent {
    program: PathBuf,
    key_folder: PathBuf,
}

impl ArcAgent {
    /// `None` where Arc has no agent.
    fn of_this_platform(program_data: Option<&Path>) -> Option<Self> {
        if cfg!(target_os = "linux") {
            return Some(Self {
                program: "/opt/azcmagent/bin/himds".into(),
                key_folder: "/var/opt/azcmagent/tokens".into(),
            });
        }
        let folder = program_data
            .filter(|_| cfg!(windows))?
            .join("AzureConnectedMachineAgent");
        Some(Self {
            program: folder.join("himds.exe"),
            key_folder: folder.join("Tokens"),
        })
    }
}
