//! `--redirect-url`: the loopback address that the browser is redirected to (RFC 8252 section 7.3).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use http::Uri;

use crate::error::Error;

/// `http://` and a loopback host, with an optional port and path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RedirectUrl {
    host: Host,
    /// `None` for any free port: Entra ID does not compare the port of a loopback address.
    port: Option<u16>,
    /// As written: empty, or starting with a slash.
    path: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Host {
    Localhost,
    Ipv4,
    Ipv6,
}

const IPV4: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const IPV6: IpAddr = IpAddr::V6(Ipv6Addr::LOCALHOST);

impl Host {
    const ALL: [Self; 3] = [Self::Localhost, Self::Ipv4, Self::Ipv6];

    const fn word(self) -> &'static str {
        match self {
            Self::Localhost => "localhost",
            Self::Ipv4 => "127.0.0.1",
            Self::Ipv6 => "[::1]",
        }
    }
}

impl Default for RedirectUrl {
    /// `http://localhost` with any free port, as the well-known clients are registered.
    fn default() -> Self {
        Self {
            host: Host::Localhost,
            port: None,
            path: String::new(),
        }
    }
}

impl RedirectUrl {
    pub fn parse(text: &str) -> Result<Self, Error> {
        let wrong = |why: &str| {
            Error::input(format!("--redirect-url {text:?} {why}")).remedy(
                "Use a redirect URI that is registered for the application, such as http://localhost:8000 or http://127.0.0.1:8000/path.",
            )
        };
        let uri: Uri = text.parse().map_err(|_| wrong("is not a URL"))?;
        if uri.scheme_str() != Some("http") {
            return Err(wrong("does not start with http://"));
        }
        if text.contains(['@', '?', '#']) {
            return Err(wrong("must have only a host, a port and a path"));
        }
        let host = uri.host().unwrap_or_default();
        let host = Host::ALL
            .into_iter()
            .find(|known| known.word().eq_ignore_ascii_case(host));
        let host = host.ok_or_else(|| {
            wrong("is not on this machine: the host must be localhost, 127.0.0.1 or [::1]")
        })?;
        let authority = uri.authority().map_or("", |authority| authority.as_str());
        let port = match &authority[host.word().len()..] {
            "" | ":" => None,
            _ => Some(
                uri.port_u16()
                    .filter(|port| *port > 0)
                    .ok_or_else(|| wrong("has an invalid port"))?,
            ),
        };
        let path = match uri.path() {
            "/" if !text.ends_with('/') => String::new(),
            path => path.to_owned(),
        };
        Ok(Self { host, port, path })
    }

    /// The address with the port in use: the `redirect_uri` of both requests.
    pub fn at(&self, port: u16) -> String {
        format!("http://{}:{port}{}", self.host.word(), self.path)
    }

    pub fn port(&self) -> Option<u16> {
        self.port
    }

    /// The addresses that a browser may connect to; for `localhost`, that is either one.
    pub fn addresses(&self) -> &'static [IpAddr] {
        match self.host {
            Host::Localhost => &[IPV4, IPV6],
            Host::Ipv4 => &[IPV4],
            Host::Ipv6 => &[IPV6],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn port_host_and_path_are_kept() {
        for (text, port, at_9) in [
            ("http://localhost", None, "http://localhost:9"),
            ("http://localhost/", None, "http://localhost:9/"),
            ("http://LOCALHOST:8000", Some(8000), "http://localhost:9"),
            ("http://localhost:80/", Some(80), "http://localhost:9/"),
            (
                "http://127.0.0.1:8000/a/B",
                Some(8000),
                "http://127.0.0.1:9/a/B",
            ),
            ("http://[::1]:8000/", Some(8000), "http://[::1]:9/"),
        ] {
            let url = RedirectUrl::parse(text).expect(text);
            assert_eq!((url.port(), url.at(9).as_str()), (port, at_9), "{text}");
        }
        assert_eq!(
            RedirectUrl::default(),
            RedirectUrl::parse("http://localhost").expect("parsed")
        );
    }

    #[test]
    fn an_address_that_is_not_loopback_is_named_and_refused() {
        for (text, why) in [
            ("https://localhost:8000", "http://"),
            ("localhost:8000", "http://"),
            ("/path", "http://"),
            ("", "not a URL"),
            ("http://", "not a URL"),
            ("http://local host", "not a URL"),
            ("http://example.com:8000", "localhost, 127.0.0.1 or [::1]"),
            ("http://127.0.0.2:8000", "localhost, 127.0.0.1 or [::1]"),
            ("http://0.0.0.0:8000", "localhost, 127.0.0.1 or [::1]"),
            (
                "http://localhost.example.com",
                "localhost, 127.0.0.1 or [::1]",
            ),
            ("http://localhost:0", "port"),
            ("http://localhost:65536", "port"),
            ("http://user@localhost:8000", "must have only"),
            ("http://localhost:8000/?a=b", "must have only"),
            ("http://localhost:8000/#a", "must have only"),
        ] {
            let error = RedirectUrl::parse(text).expect_err(text).to_string();
            assert!(
                error.contains(why) && error.contains("--redirect-url"),
                "{text}: {error}"
            );
        }
    }
}
