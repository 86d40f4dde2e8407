//! The real network: `reqwest` with rustls and the operating system's trust store, built when first needed.

use std::error::Error as StdError;
use std::io::{self, Read};
use std::path::PathBuf;
use std::sync::OnceLock;
use std::time::Duration;

use hyper_util::client::proxy::matcher::Matcher;
use reqwest::Certificate;
use reqwest::blocking::{Client, ClientBuilder};
use reqwest::redirect::Policy;
use rustls::CertificateError;

use super::{
    ClusterWay, HttpRequest, HttpResponse, LARGEST_BODY, LargestBody, NetworkError,
    NetworkErrorKind, Via, pinned, platform, reach,
};
use crate::env::{self, Env};

/// How long making one connection may take, TLS included.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// The same for a host that is near or absent: a lost packet is resent after a second.
const NEAR_CONNECT_TIMEOUT: Duration = Duration::from_millis(2500);
const USER_AGENT: &str = concat!("kubelogin/", env!("CARGO_PKG_VERSION"));

/// One client for each way to reach a host.
pub struct HttpClient {
    /// A file of CA certificates that are trusted in addition to the operating system's.
    more_roots: Option<PathBuf>,
    proxied: OnceLock<Result<Client, String>>,
    direct: OnceLock<Result<Client, String>>,
    pinned: OnceLock<Result<Client, String>>,
}

impl HttpClient {
    pub fn new(env: &Env) -> Self {
        let more_roots = env
            .get(env::SSL_CERT_FILE)
            .filter(|_| !platform::TLS_READS_SSL_CERT_FILE);
        Self {
            more_roots: more_roots.map(PathBuf::from),
            proxied: OnceLock::new(),
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
        let fail = |kind| NetworkError {
            host: host_of(request.uri()),
            kind,
        };
        let client = match via {
            Via::EnvironmentProxy => self.proxied.get_or_init(|| self.build(far())),
            Via::Direct => self.direct.get_or_init(|| self.build(near())),
            // There is only one pinned certificate in a run.
            Via::Pinned(thumbprint) => self.pinned.get_or_init(|| {
                let config = pinned::client_config(thumbprint);
                let config = config.map_err(|error| error.to_string())?;
                build(near().tls_backend_preconfigured(config))
            }),
        };
        let client = client
            .as_ref()
            .map_err(|why| fail(NetworkErrorKind::Certificate(why.clone())))?;
        let answer = start(client, request, request.uri().to_string(), timeout).map_err(
            |error| match via {
                Via::EnvironmentProxy => fail(why(&error, proxy_of(request.uri()).as_deref())),
                Via::Direct | Via::Pinned(_) => fail(why(&error, None)),
            },
        )?;
        read(answer, limit_of(request)).map_err(fail)
    }

    /// Sends one request to a cluster and reads the whole response within `timeout`.
    pub fn send_to_cluster(
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
            Some(proxy) => Some(proxy.parse().map_or_else(
                |_| "named in proxy-url".to_owned(),
                |proxy: http::Uri| host_of(&proxy),
            )),
            None => proxy_of(uri),
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
        let client = way.client(&addresses).map_err(&fail)?;
        let answer = start(&client, &request, url, timeout)
            .map_err(|error| fail(why(&error, proxy.as_deref())));
        let answer = answer.and_then(|answer| read(answer, limit_of(&request)).map_err(&fail));
        if matches!(&answer, Err(error) if error.kind == NetworkErrorKind::TimedOut) {
            leave_alone(client);
        }
        answer
    }

    /// A client that trusts what this machine trusts.
    fn build(&self, builder: ClientBuilder) -> Result<Client, String> {
        // A missing file, or one without certificates, is not an error: other programs use the variable too.
        let roots = self
            .more_roots
            .as_ref()
            .and_then(|path| std::fs::read(path).ok());
        let roots = roots.and_then(|pem| Certificate::from_pem_bundle(&pem).ok());
        build(builder.tls_certs_merge(roots.unwrap_or_default()))
    }
}

/// Drops a client without waiting for its thread, which may be waiting for a name server for longer than anybody has asked
/// for: the operating system's look-up has no bound.
fn leave_alone(client: Client) {
    std::mem::forget(client);
}

impl Drop for HttpClient {
    fn drop(&mut self) {
        let clients = [&mut self.proxied, &mut self.direct, &mut self.pinned];
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

/// Host and port, for messages: what stands before an @ can be a password.
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

/// The proxy used for `uri`, for messages: host and port only, as its URL can contain a password. `reqwest` uses the same
/// matcher.
pub fn proxy_of(uri: &http::Uri) -> Option<String> {
    let proxy = Matcher::from_system().intercept(uri)?;
    proxy.uri().authority().map(ToString::to_string)
}

fn why(error: &reqwest::Error, proxy: Option<&str>) -> NetworkErrorKind {
    if let Some(tls) = find(error, |e| e.downcast_ref::<rustls::Error>()) {
        return NetworkErrorKind::Certificate(certificate_reason(tls));
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
    match proxy {
        // hyper-util's messages for a CONNECT that was answered with anything but 200.
        Some(proxy)
            if reason.contains("tunnel")
                || reason.contains("unsuccessful")
                || reason.contains("authorization") =>
        {
            NetworkErrorKind::Proxy(format!("the proxy {proxy} refused to connect ({reason})"))
        }
        Some(proxy) => {
            NetworkErrorKind::Unreachable(format!("{reason}, through the proxy {proxy}"))
        }
        None => NetworkErrorKind::Unreachable(reason),
    }
}

fn certificate_reason(error: &rustls::Error) -> String {
    let rustls::Error::InvalidCertificate(why) = error else {
        return error.to_string();
    };
    match why {
        CertificateError::UnknownIssuer => "its issuer is not trusted on this machine".into(),
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            "it has expired".into()
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            "it is not valid yet (check this machine's clock)".into()
        }
        CertificateError::ApplicationVerificationFailure => {
            "it does not have the expected thumbprint".into()
        }
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            "it is for another host".into()
        }
        other => format!("{other:?}"),
    }
}

/// The first error in the chain that `pick` accepts, looking inside [`io::Error`]s too, which hide theirs from `source`.
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
