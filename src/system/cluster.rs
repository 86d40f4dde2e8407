//! How to reach one Kubernetes cluster: certificate authority, proxy and TLS name from its kubeconfig.

use std::net::{IpAddr, SocketAddr};

use reqwest::blocking::ClientBuilder;
use reqwest::{Certificate, Identity, Proxy};
use zeroize::Zeroizing;

use super::{NetworkErrorKind, pem, proxy};

/// How to reach a cluster's API server.
#[derive(Clone)]
pub struct ClusterWay {
    pub trust: Trust,
    /// The name to ask for and to check in place of the URL's host (`tls-server-name`).
    pub server_name: Option<String>,
    /// A client certificate with its key, in PEM.
    pub identity: Option<Zeroizing<Vec<u8>>>,
    pub proxy: HttpProxy,
}

/// The HTTP proxy on the way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HttpProxy {
    /// The environment's proxy for the host, if any; as for kubectl.
    OfEnvironment,
    /// This one (`proxy-url`).
    Given(String),
    /// None, whatever the environment says.
    Never,
}

/// Which certificates to trust.
#[derive(Clone, PartialEq, Eq)]
pub enum Trust {
    /// Those of this machine's trust store: the kubeconfig has no certificate authority.
    ThisMachine,
    /// Those of these authorities (PEM) and no others.
    Only(Vec<u8>),
    /// Everyone's (`insecure-skip-tls-verify`).
    Anyone,
}

impl ClusterWay {
    /// Configures a client for this cluster only. `addresses` are those of the URL's host, needed if `tls-server-name`
    /// differs from it.
    pub(super) fn add_to(
        &self,
        mut builder: ClientBuilder,
        addresses: &[SocketAddr],
    ) -> Result<ClientBuilder, NetworkErrorKind> {
        let unusable = NetworkErrorKind::Settings;
        builder = match &self.trust {
            Trust::ThisMachine => builder,
            Trust::Anyone => builder.tls_danger_accept_invalid_certs(true),
            Trust::Only(pem) => {
                let why = |why| unusable(format!("the certificate authority {why}"));
                pem::check_authority(pem).map_err(why)?;
                builder.tls_certs_only(Certificate::from_pem_bundle(pem).unwrap_or_default())
            }
        };
        builder = match &self.proxy {
            HttpProxy::OfEnvironment => builder,
            HttpProxy::Never => builder.no_proxy(),
            HttpProxy::Given(url) => {
                proxy::check("proxy-url", url)?;
                let proxy = Proxy::all(url).map_err(|_| {
                    NetworkErrorKind::Proxy("proxy-url is not the URL of a proxy".into())
                })?;
                builder.no_proxy().proxy(proxy)
            }
        };
        if let Some(pem) = &self.identity {
            let identity = Identity::from_pem(pem).map_err(|_| {
                unusable("the client certificate or its key is not valid PEM".into())
            })?;
            builder = builder.identity(identity);
        }
        if let Some(name) = &self.server_name {
            if name.parse::<IpAddr>().is_ok() {
                return Err(unusable(format!(
                    "tls-server-name {name} is an IP address and must be a host name"
                )));
            }
            builder = builder.no_proxy().resolve_to_addrs(name, addresses);
        }
        Ok(builder)
    }
}
