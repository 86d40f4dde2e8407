//! The environment's proxies: which one is used for a host, whether its URL is valid, and how it responds.

use std::io::{self, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::Duration;

use hyper_util::client::proxy::matcher::Matcher;
use reqwest::Proxy;
use reqwest::blocking::ClientBuilder;

use super::NetworkErrorKind;
use crate::env::{self, Env};

/// The schemes of a proxy's URL; `socks5h` resolves names at the proxy, `socks5` here.
const SCHEMES: &[&str] = &["http", "https", "socks4", "socks4a", "socks5", "socks5h"];
/// The port of a SOCKS proxy if its URL has none (RFC 1928 section 3).
const SOCKS_PORT: u16 = 1080;
/// How long the proxy may take to repeat why it refused.
const PATIENCE: Duration = Duration::from_secs(2);
/// The most that is read of this answer, in bytes.
const LARGEST_HEAD: usize = 4096;

/// What the environment says about proxies, as curl and Go read it.
#[derive(Debug, Default)]
pub struct Proxies {
    https: Option<Named>,
    http: Option<Named>,
    /// The value of NO_PROXY.
    bypassed: String,
}

/// A proxy and the variable that names it.
#[derive(Debug, Clone)]
struct Named {
    variable: &'static str,
    url: String,
}

/// How a request leaves this machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Route {
    /// NO_PROXY names the host.
    Straight,
    /// Through the proxy that a variable names.
    Proxy,
    /// As the operating system is set up: no variable names a proxy.
    OfSystem,
}

impl Proxies {
    pub fn new(env: &Env) -> Self {
        // A web server sets HTTP_PROXY from a header of the request (CVE-2016-5385, httpoxy).
        if env.get(env::REQUEST_METHOD).is_some() {
            return Self::default();
        }
        let named = |variables: &[&'static str]| {
            let mut set = variables
                .iter()
                .filter_map(|variable| Some((*variable, env.get(variable)?)));
            set.next().map(|(variable, url)| Named {
                variable,
                url: with_scheme(url),
            })
        };
        let bypassed = env::NO_PROXY.iter().find_map(|variable| env.get(variable));
        Self {
            https: named(&env::HTTPS_PROXY),
            http: named(&env::HTTP_PROXY),
            bypassed: bypassed.unwrap_or_default().to_owned(),
        }
    }

    /// How a request to this URL leaves this machine.
    ///
    /// # Errors It goes through a proxy with an invalid URL; the error names the variable.
    pub fn route(&self, uri: &http::Uri) -> Result<Route, NetworkErrorKind> {
        if self.bypasses(uri) {
            return Ok(Route::Straight);
        }
        match self.named(uri) {
            Some(proxy) => check(proxy.variable, &proxy.url).map(|()| Route::Proxy),
            None => Ok(Route::OfSystem),
        }
    }

    /// Makes a client use the environment's proxies.
    pub fn add_to(&self, mut builder: ClientBuilder) -> ClientBuilder {
        builder = builder.no_proxy();
        let https = self.https.iter().map(|proxy| Proxy::https(&*proxy.url));
        let http = self.http.iter().map(|proxy| Proxy::http(&*proxy.url));
        for proxy in https.chain(http).flatten() {
            builder = builder.proxy(proxy);
        }
        builder
    }

    /// The proxy on the way to `uri`, for messages: host and port only, as its address can hold a password.
    pub fn on_the_way(&self, uri: &http::Uri) -> Option<String> {
        match self.route(uri) {
            Ok(Route::Straight) | Err(_) => None,
            Ok(Route::Proxy) => address(&self.named(uri)?.url),
            Ok(Route::OfSystem) => {
                let proxy = Matcher::from_system().intercept(uri)?;
                proxy.uri().authority().map(ToString::to_string)
            }
        }
    }

    /// Asks the proxy again to connect to the host of `uri`, to get the status, which the HTTP library does not expose;
    /// `None` if there is none.
    pub fn status_of_connect(&self, uri: &http::Uri) -> Option<u16> {
        let url = &self.named(uri)?.url;
        let proxy = Matcher::builder().all(url).build().intercept(uri)?;
        if proxy.uri().scheme_str() != Some("http") {
            return None;
        }
        let authorization = proxy.basic_auth().and_then(|value| value.to_str().ok());
        connect_status(proxy.uri(), uri, authorization).ok()?
    }

    fn named(&self, uri: &http::Uri) -> Option<&Named> {
        match uri.scheme_str() {
            Some("http") => self.http.as_ref(),
            _ => self.https.as_ref(),
        }
    }

    /// True if NO_PROXY names the host of `uri`. An entry may have a port, which then must be the same, and a name may
    /// begin with `*.`: Go and curl read both, hyper-util neither.
    fn bypasses(&self, uri: &http::Uri) -> bool {
        let usual = if uri.scheme_str() == Some("http") {
            80
        } else {
            443
        };
        let port = uri.port_u16().unwrap_or(usual);
        let entries = self.bypassed.split(',').map(str::trim);
        let entries: Vec<_> = entries
            .filter_map(|entry| host_of_entry(entry, port))
            .collect();
        let anything = Matcher::builder().all("http://proxy");
        !entries.is_empty()
            && anything
                .no(entries.join(","))
                .build()
                .intercept(uri)
                .is_none()
    }
}

/// The host, domain or network of an entry of NO_PROXY; `None` if it is for another port than this one.
fn host_of_entry(entry: &str, port: u16) -> Option<&str> {
    let entry = entry
        .strip_prefix('*')
        .filter(|rest| rest.starts_with('.'))
        .unwrap_or(entry);
    let (host, wanted) = match entry.rsplit_once(':') {
        // A colon of an IPv6 address is no port's.
        Some((host, wanted)) if !host.contains(':') || host.ends_with(']') => (host, wanted),
        _ => return Some(entry.trim_matches(['[', ']'])),
    };
    (wanted.parse() == Ok(port)).then(|| host.trim_matches(['[', ']']))
}

fn with_scheme(url: &str) -> String {
    let url = url.trim();
    if url.contains("://") {
        url.to_owned()
    } else {
        format!("http://{url}")
    }
}

/// Whether this can be the URL of a proxy.
///
/// # Errors
/// It is not a URL, or has another scheme; the error names `place`, where the URL was given, and never the URL, which
/// can hold a password.
pub fn check(place: &str, url: &str) -> Result<(), NetworkErrorKind> {
    let wrong = |why: String| Err(NetworkErrorKind::Proxy(format!("{place} {why}")));
    let Some((scheme, _)) = url.split_once("://") else {
        return wrong("is not the URL of a proxy".into());
    };
    if !SCHEMES.contains(&scheme.to_ascii_lowercase().as_str()) {
        let scheme: String = scheme
            .chars()
            .filter(char::is_ascii_alphanumeric)
            .take(16)
            .collect();
        return wrong(format!(
            "has the scheme \"{scheme}\": use http, https, socks5 or socks5h"
        ));
    }
    match address(url) {
        Some(_) => Ok(()),
        None => wrong("is not the URL of a proxy".into()),
    }
}

/// Host and port of a proxy's URL. A password with an unescaped `/`, `?` or `#` would end the host too early, and be
/// shown and looked up as one: such a URL has none.
fn address(url: &str) -> Option<String> {
    let (_, rest) = url.split_once("://")?;
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    if rest[end..].contains('@') {
        return None;
    }
    let url: http::Uri = url.parse().ok()?;
    let address = url.authority()?.as_str().rsplit('@').next()?;
    let port = address.strip_prefix(url.host()?)?;
    match url.port_u16() {
        _ if address.is_empty() => None,
        None if !port.trim_start_matches(':').is_empty() => None,
        None if url.scheme_str()?.starts_with("socks") => Some(format!("{address}:{SOCKS_PORT}")),
        _ => Some(address.to_owned()),
    }
}

fn connect_status(
    proxy: &http::Uri,
    target: &http::Uri,
    authorization: Option<&str>,
) -> io::Result<Option<u16>> {
    let host = proxy.host().unwrap_or_default().trim_matches(['[', ']']);
    let addresses = (host, proxy.port_u16().unwrap_or(80)).to_socket_addrs()?;
    let mut last = Err(io::ErrorKind::NotFound.into());
    for address in addresses {
        last = TcpStream::connect_timeout(&address, PATIENCE);
        if last.is_ok() {
            break;
        }
    }
    let mut stream = last?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let target = format!(
        "{}:{}",
        target.host().unwrap_or_default(),
        target.port_u16().unwrap_or(443)
    );
    let mut request = format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n");
    if let Some(authorization) = authorization {
        request += &format!("Proxy-Authorization: {authorization}\r\n");
    }
    request += "\r\n";
    stream.write_all(request.as_bytes())?;
    let (mut head, mut buffer) = (Vec::new(), [0; 512]);
    while head.len() < LARGEST_HEAD {
        let count = stream.read(&mut buffer)?;
        head.extend_from_slice(&buffer[..count]);
        let mut headers = [httparse::EMPTY_HEADER; 64];
        let mut answer = httparse::Response::new(&mut headers);
        let parsed = answer.parse(&head);
        if answer.code.is_some() || count == 0 || parsed.is_err() {
            return Ok(answer.code);
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn uri(text: &str) -> http::Uri {
        text.parse().expect("a URL")
    }

    fn proxies(variables: &[(&str, &str)]) -> Proxies {
        Proxies::new(&Env::of(variables))
    }

    #[test]
    fn no_proxy_entries_count_with_a_port_and_with_a_star() {
        let host = "https://login.microsoftonline.com/t";
        for (entries, url, is_bypassed) in [
            ("login.microsoftonline.com:443", host, true),
            ("login.microsoftonline.com:8443", host, false),
            ("login.microsoftonline.com", host, true),
            ("a.example, microsoftonline.com:443", host, true),
            (".microsoftonline.com:443", host, true),
            ("*.microsoftonline.com", host, true),
            ("*.microsoftonline.com:443", host, true),
            ("softonline.com:443", host, false),
            ("*", host, true),
            ("127.0.0.1:8443", "https://127.0.0.1:8443/", true),
            ("127.0.0.1:8443", "https://127.0.0.1/", false),
            ("10.0.0.0/8", "https://10.1.2.3:6443/", true),
            ("[::1]:6443", "https://[::1]:6443/", true),
            ("::1", "https://[::1]:6443/", true),
            ("host:http", "https://host/", false),
            ("", host, false),
            (" , ", host, false),
        ] {
            let proxies = proxies(&[("HTTPS_PROXY", "http://p:1"), ("NO_PROXY", entries)]);
            let expected = if is_bypassed {
                Route::Straight
            } else {
                Route::Proxy
            };
            assert_eq!(proxies.route(&uri(url)), Ok(expected), "{entries}");
        }
    }

    #[test]
    fn the_first_variable_that_is_not_empty_names_the_proxy() {
        let host = uri("https://login.example/");
        for (variables, proxy) in [
            (&[("HTTPS_PROXY", "http://u:p@a:1/")][..], "a:1"),
            (&[("HTTPS_PROXY", ""), ("https_proxy", "b:2")], "b:2"),
            (
                &[("HTTP_PROXY", "x:1"), ("ALL_PROXY", "socks5h://c:3")],
                "c:3",
            ),
            (&[("all_proxy", "socks5://d")], "d:1080"),
        ] {
            assert_eq!(proxies(variables).on_the_way(&host).as_deref(), Some(proxy));
        }
        let cgi = proxies(&[("REQUEST_METHOD", "GET"), ("HTTPS_PROXY", "http://a:1")]);
        assert_eq!(cgi.route(&host), Ok(Route::OfSystem));
    }

    #[test]
    fn a_proxy_that_cannot_be_one_is_refused_by_the_name_of_its_variable() {
        for (variable, url, why) in [
            (
                "HTTPS_PROXY",
                "ftp://hunter2@proxy:1",
                "has the scheme \"ftp\": use",
            ),
            (
                "all_proxy",
                "socks://proxy:1",
                "has the scheme \"socks\": use",
            ),
            ("https_proxy", "http://", "is not the URL of a proxy"),
            (
                "HTTPS_PROXY",
                "http://u:hunter2/@proxy:1",
                "is not the URL of a proxy",
            ),
            ("HTTPS_PROXY", "u:1?hunter2@proxy", "is not the URL of"),
            ("HTTPS_PROXY", "u:1#hunter2@proxy", "is not the URL of"),
            ("HTTPS_PROXY", "proxy:hunter2", "is not the URL of a proxy"),
            ("HTTPS_PROXY", "http://proxy:99999", "is not the URL of"),
            (
                "ALL_PROXY",
                "http://user:hunter 2@proxy",
                "is not the URL of a proxy",
            ),
        ] {
            let route = proxies(&[(variable, url)]).route(&uri("https://login.example/"));
            let Err(NetworkErrorKind::Proxy(error)) = route else {
                panic!("{url}: {route:?}");
            };
            assert!(error.starts_with(&format!("{variable} {why}")), "{error}");
            assert!(!error.contains("hunter"), "{error}");
        }
    }
}
