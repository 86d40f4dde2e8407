//! The real network: `reqwest` with rustls and the operating system's trust store, built when first needed.

use std::error::Error as StdError;
use std::io::{self, Read};
use std::net::SocketAddr;
use std::sync::OnceLock;
use std::time::Duration;

use chrono::TimeDelta;
use reqwest::blocking::{Client, ClientBuilder};
use reqwest::redirect::Policy;
use rustls::CertificateError;
use rustls::pki_types::UnixTime;

use super::proxy::{Proxies, Route};
use super::trust::Roots;
use super::{
    CertificateFault, ClusterWay, HttpProxy, HttpRequest, HttpResponse, LARGEST_BODY, LargestBody,
    NetworkError, NetworkErrorKind, Trust, Via, pinned, reach,
};
use crate::env::Env;
use crate::error::span;

/// How long making one connection may take, TLS included.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// The same for a host that is near or absent: a lost packet is resent after a second.
const NEAR_CONNECT_TIMEOUT: Duration = Duration::from_millis(2500);
/// The platform verifier's message if it finds no CA certificate.
const NO_ROOTS: &str = "No CA certificates";
const NOT_TRUSTED: &str = "its issuer is not trusted on this machine";
/// hyper-util's message for a CONNECT response other than 200 and 407.
const REFUSED_TUNNEL: &str = "tunnel error: unsuccessful";
/// hyper-util's messages for a proxy that rejects the request itself.
const REFUSALS: &[&str] = &[
    "proxy authorization required",
    "credentials not accepted",
    "connection not allowed",
    "does not support user/pass authentication",
];
const USER_AGENT: &str = concat!("kubelogin/", env!("CARGO_PKG_VERSION"));

/// One client for each way to reach a host.
pub struct HttpClient {
    roots: Roots,
    proxies: Proxies,
    /// As the operating system is set up.
    of_system: OnceLock<Result<Client, NetworkErrorKind>>,
    /// Through the proxy that a variable names.
    proxied: OnceLock<Result<Client, NetworkErrorKind>>,
    /// Bypassing that proxy, because of NO_PROXY.
    straight: OnceLock<Result<Client, NetworkErrorKind>>,
    direct: OnceLock<Result<Client, NetworkErrorKind>>,
    pinned: OnceLock<Result<Client, NetworkErrorKind>>,
}

impl HttpClient {
    pub fn new(env: &Env) -> Self {
        Self {
            roots: Roots::new(env),
            proxies: Proxies::new(env),
            of_system: OnceLock::new(),
            proxied: OnceLock::new(),
            straight: OnceLock::new(),
            direct: OnceLock::new(),
            pinned: OnceLock::new(),
        }
    }

    /// Sends one request and reads the whole response within `timeout`.
    pub fn send(
        &self,
        request: &HttpRequest,
        via: Via,
        timeout: Duration,
    ) -> Result<HttpResponse, NetworkError> {
        let uri = request.uri();
        let fail = |kind| NetworkError {
            host: host_of(uri),
            kind,
        };
        let client = match via {
            Via::EnvironmentProxy => match self.proxies.route(uri).map_err(fail)? {
                Route::OfSystem => self.of_system.get_or_init(|| self.build(far())),
                Route::Straight => {
                    let straight = || self.build(far().no_proxy());
                    self.straight.get_or_init(straight)
                }
                Route::Proxy => {
                    let proxied = || self.build(self.proxies.add_to(far()));
                    self.proxied.get_or_init(proxied)
                }
            },
            Via::Direct => self.direct.get_or_init(|| self.build(near())),
            // There is only one pinned certificate in a run.
            Via::Pinned(thumbprint) => self.pinned.get_or_init(|| {
                let config = pinned::client_config(thumbprint);
                let config = config.map_err(|error| NetworkErrorKind::Tls(error.to_string()))?;
                build(near().tls_backend_preconfigured(config)).map_err(NetworkErrorKind::Tls)
            }),
        };
        let client = client.as_ref().map_err(|why| fail(why.clone()))?;
        let answer = start(client, request, uri.to_string(), timeout).map_err(|error| {
            let proxy = match via {
                Via::EnvironmentProxy => self.proxies.on_the_way(uri),
                Via::Direct | Via::Pinned(_) => None,
            };
            fail(self.why(&error, uri, proxy.as_deref()))
        })?;
        read(answer, limit_of(request)).map_err(fail)
    }

    /// The proxy on the way to `uri`, for messages: host and port.
    pub fn proxy_of(&self, uri: &http::Uri) -> Option<String> {
        self.proxies.on_the_way(uri)
    }

    /// Sends one request to a cluster and reads the whole answer within `timeout`.
    pub fn send_to_cluster(
        &self,
        request: &HttpRequest,
        way: &ClusterWay,
        timeout: Duration,
    ) -> Result<HttpResponse, NetworkError> {
        let uri = request.uri();
        let fail = |kind| NetworkError {
            host: host_of(uri),
            kind,
        };
        let proxy = match &way.proxy {
            HttpProxy::Given(proxy) => Some(proxy.parse().map_or_else(
                |_| "named in proxy-url".to_owned(),
                |proxy: http::Uri| host_of(&proxy),
            )),
            HttpProxy::OfEnvironment => self.proxies.on_the_way(uri),
            HttpProxy::Never => None,
        };
        let (mut url, mut addresses) = (uri.to_string(), Vec::new());
        let mut request = request.clone();
        if let Some(name) = &way.server_name {
            if let Some(proxy) = proxy {
                return Err(fail(NetworkErrorKind::Proxy(format!(
                    "kubelogin cannot ask for a tls-server-name through a proxy ({proxy})"
                ))));
            }
            let port = uri.port_u16().unwrap_or(443);
            addresses =
                reach::resolve(uri.host().unwrap_or_default(), port, timeout).map_err(&fail)?;
            // The TLS name goes into the URL, which is where the library takes it from; the host stays in the header.
            let path = uri.path_and_query().map_or("/", |path| path.as_str());
            url = format!("https://{name}:{port}{path}");
            if let Ok(host) = host_of(uri).parse() {
                request.headers_mut().insert(http::header::HOST, host);
            }
        }
        let client = self.client_of(way, uri, &addresses).map_err(&fail)?;
        let answer = start(&client, &request, url, timeout)
            .map_err(|error| fail(self.why(&error, uri, proxy.as_deref())));
        let answer = answer.and_then(|answer| read(answer, limit_of(&request)).map_err(&fail));
        if matches!(&answer, Err(error) if error.kind == NetworkErrorKind::TimedOut) {
            leave_alone(client);
        }
        answer
    }

    /// A client for a cluster alone.
    fn client_of(
        &self,
        way: &ClusterWay,
        uri: &http::Uri,
        addresses: &[SocketAddr],
    ) -> Result<Client, NetworkErrorKind> {
        let mut builder = far();
        if way.proxy == HttpProxy::OfEnvironment {
            builder = match self.proxies.route(uri)? {
                Route::OfSystem => builder,
                Route::Straight => builder.no_proxy(),
                Route::Proxy => self.proxies.add_to(builder),
            };
        }
        let builder = way.add_to(builder, addresses)?;
        match way.trust {
            Trust::ThisMachine => self.build(builder),
            Trust::Only(_) | Trust::Anyone => build(builder).map_err(NetworkErrorKind::Tls),
        }
    }

    /// A client that trusts what this machine trusts.
    fn build(&self, builder: ClientBuilder) -> Result<Client, NetworkErrorKind> {
        let wrong = NetworkErrorKind::TrustStore;
        self.roots.check_size().map_err(wrong)?;
        build(builder.tls_certs_merge(self.roots.more())).map_err(|why| {
            if why.contains(NO_ROOTS) {
                wrong(self.roots.none_found())
            } else {
                NetworkErrorKind::Tls(why)
            }
        })
    }

    /// Why there is no response from the host of `uri`.
    fn why(
        &self,
        error: &reqwest::Error,
        uri: &http::Uri,
        proxy: Option<&str>,
    ) -> NetworkErrorKind {
        let kind = why(error, proxy);
        match &kind {
            NetworkErrorKind::Certificate(bad) if bad.fault == CertificateFault::Issuer => {
                match self.roots.problem() {
                    Some(problem) => NetworkErrorKind::TrustStore(problem),
                    None => kind,
                }
            }
            // Only a rejection of the request itself is final: otherwise the proxy may be busy or restarting.
            NetworkErrorKind::ProxyFailed(why) if why.contains(REFUSED_TUNNEL) => {
                let proxy = proxy.unwrap_or_default();
                match self.proxies.status_of_connect(uri) {
                    Some(status @ 400..=499) => NetworkErrorKind::Proxy(format!(
                        "the proxy {proxy} refused to connect, with status {status}"
                    )),
                    Some(status @ 300..) => NetworkErrorKind::ProxyFailed(format!(
                        "the proxy {proxy} responded with status {status}"
                    )),
                    _ => kind,
                }
            }
            _ => kind,
        }
    }
}

/// Drops a client without waiting for its thread, which may be stuck in a DNS lookup: the operating system's lookup has
/// no time limit.
fn leave_alone(client: Client) {
    std::mem::forget(client);
}

impl Drop for HttpClient {
    fn drop(&mut self) {
        let clients = [
            &mut self.of_system,
            &mut self.proxied,
            &mut self.straight,
            &mut self.direct,
            &mut self.pinned,
        ];
        for client in clients {
            if let Some(Ok(client)) = client.take() {
                leave_alone(client);
            }
        }
    }
}

fn start(
    client: &Client,
    request: &HttpRequest,
    url: String,
    timeout: Duration,
) -> reqwest::Result<reqwest::blocking::Response> {
    client
        .request(request.method().clone(), url)
        .headers(request.headers().clone())
        .body(request.body().clone())
        .timeout(timeout)
        .send()
}

/// Host and port, for messages; the part before an @ can be a password.
fn host_of(uri: &http::Uri) -> String {
    let authority = uri.authority().map_or("", |authority| authority.as_str());
    authority.rsplit('@').next().unwrap_or_default().to_owned()
}

pub fn far() -> ClientBuilder {
    Client::builder().connect_timeout(CONNECT_TIMEOUT)
}

fn near() -> ClientBuilder {
    Client::builder()
        .no_proxy()
        .connect_timeout(NEAR_CONNECT_TIMEOUT)
}

pub fn build(builder: ClientBuilder) -> Result<Client, String> {
    // Fails only if there is a provider already, as for the second client.
    let _ = rustls::crypto::ring::default_provider().install_default();
    builder
        .user_agent(USER_AGENT)
        .redirect(Policy::none())
        .build()
        .map_err(|error| innermost(&error))
}

/// The largest body that an answer to the request may have.
fn limit_of(request: &HttpRequest) -> u64 {
    let limit = request.extensions().get::<LargestBody>();
    limit.map_or(LARGEST_BODY, |limit| limit.0)
}

fn read(answer: reqwest::blocking::Response, limit: u64) -> Result<HttpResponse, NetworkErrorKind> {
    let mut response = http::Response::new(Vec::new());
    *response.status_mut() = answer.status();
    *response.headers_mut() = answer.headers().clone();
    let mut limited = answer.take(limit + 1);
    limited
        .read_to_end(response.body_mut())
        .map_err(|error| body_error(&error))?;
    if response.body().len() as u64 > limit {
        return Err(NetworkErrorKind::BodyTooLarge(limit));
    }
    Ok(response)
}

fn body_error(error: &io::Error) -> NetworkErrorKind {
    let is_timeout = error.kind() == io::ErrorKind::TimedOut
        || find(error, |e| e.downcast_ref::<reqwest::Error>())
            .is_some_and(reqwest::Error::is_timeout);
    if is_timeout {
        NetworkErrorKind::TimedOut
    } else {
        NetworkErrorKind::Broken(innermost(error))
    }
}

/// Why there is no response, according to the error.
fn why(error: &reqwest::Error, proxy: Option<&str>) -> NetworkErrorKind {
    if let Some(tls) = find(error, |e| e.downcast_ref::<rustls::Error>()) {
        return bad_certificate(tls);
    }
    if !error.is_connect() {
        return match error.is_timeout() {
            true => NetworkErrorKind::TimedOut,
            false => NetworkErrorKind::Broken(innermost(error)),
        };
    }
    let reason = match error.is_timeout() {
        true => "the connection timed out".to_owned(),
        false => innermost(error),
    };
    let Some(proxy) = proxy else {
        return NetworkErrorKind::Unreachable(reason);
    };
    let says = |words: &[&str]| words.iter().any(|word| reason.contains(word));
    if says(REFUSALS) {
        NetworkErrorKind::Proxy(format!("the proxy {proxy} refused to connect ({reason})"))
    } else if says(&["tunnel", "SOCKS"]) {
        NetworkErrorKind::ProxyFailed(format!("the proxy {proxy} did not connect ({reason})"))
    } else {
        NetworkErrorKind::Unreachable(format!("{reason}, through the proxy {proxy}"))
    }
}

fn bad_certificate(error: &rustls::Error) -> NetworkErrorKind {
    use CertificateFault::{Date, Issuer, Name, Other};
    let rustls::Error::InvalidCertificate(why) = error else {
        return NetworkErrorKind::Tls(error.to_string());
    };
    match why {
        CertificateError::UnknownIssuer => Issuer.because(NOT_TRUSTED),
        CertificateError::Expired => Date.because("it has expired"),
        CertificateError::ExpiredContext { time, not_after } => Date.because(format!(
            "it expired {} ago by this machine's clock",
            span(seconds_between(*not_after, *time))
        )),
        CertificateError::NotValidYet => Date.because("it is not valid yet"),
        CertificateError::NotValidYetContext { time, not_before } => Date.because(format!(
            "it is not valid for another {} by this machine's clock",
            span(seconds_between(*time, *not_before))
        )),
        CertificateError::ApplicationVerificationFailure => {
            Other.because("it does not have the expected thumbprint")
        }
        CertificateError::NotValidForNameContext { presented, .. } if !presented.is_empty() => {
            Name.because(format!("it is for another host, {}", names(presented)))
        }
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            Name.because("it is for another host")
        }
        other => Other.because(format!("{other:?}")),
    }
}

/// The names in a certificate. webpki writes each as `DnsName("login.example")`.
fn names(presented: &[String]) -> String {
    const SHOWN: usize = 3;
    let name = |name: &String| name.split('"').nth(1).unwrap_or(name).to_owned();
    let names: Vec<_> = presented.iter().take(SHOWN).map(name).collect();
    let more = if presented.len() > SHOWN { ", .." } else { "" };
    format!("{}{more}", names.join(", "))
}

fn seconds_between(earlier: UnixTime, later: UnixTime) -> TimeDelta {
    let seconds = later.as_secs().saturating_sub(earlier.as_secs());
    TimeDelta::seconds(i64::try_from(seconds).unwrap_or(i64::MAX / 1000))
}

/// The first error in the chain that `pick` knows, looking inside [`io::Error`]s too, which hide theirs from `source`.
fn find<'a, T>(
    error: &'a (dyn StdError + 'static),
    pick: impl Fn(&'a (dyn StdError + 'static)) -> Option<&'a T> + Copy,
) -> Option<&'a T> {
    chain(error).find_map(pick)
}

fn innermost(error: &(dyn StdError + 'static)) -> String {
    chain(error)
        .last()
        .map(ToString::to_string)
        .unwrap_or_default()
}

fn chain<'a>(
    error: &'a (dyn StdError + 'static),
) -> impl Iterator<Item = &'a (dyn StdError + 'static)> {
    std::iter::successors(Some(error), |error| inner(*error))
}

fn inner<'a>(error: &'a (dyn StdError + 'static)) -> Option<&'a (dyn StdError + 'static)> {
    let hidden = error
        .downcast_ref::<io::Error>()
        .and_then(io::Error::get_ref);
    hidden
        .map(|inner| inner as &(dyn StdError + 'static))
        .or_else(|| error.source())
}
