//! The token proxy of AKS identity bindings: inside the cluster, it forwards a pod's token requests to Entra ID, so
//! that one managed identity serves many clusters (Microsoft, "Identity bindings in AKS").
//!
//! It has its own TLS name and its own certificate authority, which is renewed while pods run.

use std::path::PathBuf;
use std::time::Duration;

use oauth2::url::Url;

use crate::error::Error;
use crate::retry::{self, Deadline};
use crate::system::{
    ClusterWay, HttpProxy, HttpRequest, HttpResponse, LARGEST_BODY, NetworkError, NetworkErrorKind,
    System, Trust, bounded,
};

/// How to reach a token proxy.
#[derive(Debug, Clone)]
pub struct TokenProxy {
    url: Url,
    server_name: Option<String>,
    authorities: Authorities,
}

/// Which certificates to trust for the proxy.
#[derive(Debug, Clone)]
pub enum Authorities {
    /// Those of this machine's trust store.
    OfThisMachine,
    /// Those in this PEM text.
    Given(Vec<u8>),
    /// Those in this PEM file, which is replaced from time to time.
    File(PathBuf),
}

/// How long to wait for a file that is empty because it is being replaced.
const REPLACEMENT: Duration = Duration::from_secs(5);
/// How often to look at it.
const PAUSE: Duration = Duration::from_millis(200);

const REMEDY: &str = "AKS sets AZURE_KUBERNETES_TOKEN_PROXY, _SNI_NAME and _CA_FILE in a pod with an identity binding; leave them as they are, or ask Entra ID itself with --no-token-proxy.";

impl TokenProxy {
    /// The proxy at `url`.
    ///
    /// # Errors The URL or the server name is not valid for a token proxy.
    pub fn new(
        url: &str,
        server_name: Option<&str>,
        authorities: Authorities,
    ) -> Result<Self, Error> {
        let wrong =
            |why: &str| Error::input(format!("AZURE_KUBERNETES_TOKEN_PROXY {why}")).remedy(REMEDY);
        let url = Url::parse(url.trim()).map_err(|_| wrong("is not a URL"))?;
        if url.scheme() != "https" || !url.has_host() {
            return Err(wrong("must start with https://"));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(wrong("must not contain a user name or password"));
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err(wrong("must not contain a query or fragment"));
        }
        let is_name = |name: &str| {
            let is_of_names = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-');
            name.chars().all(is_of_names) && name.parse::<std::net::IpAddr>().is_err()
        };
        if let Some(name) = server_name.filter(|name| !is_name(name)) {
            let what = format!("AZURE_KUBERNETES_SNI_NAME {name:?} is not a host name");
            return Err(Error::input(what).remedy(REMEDY));
        }
        if let Authorities::Given(pem) = &authorities
            && !has_certificate(pem)
        {
            let what = "AZURE_KUBERNETES_CA_DATA has no PEM certificate";
            return Err(Error::input(what).remedy(REMEDY));
        }
        Ok(Self {
            url,
            server_name: server_name.map(str::to_owned),
            authorities,
        })
    }

    /// Sends a request for the authority to the proxy instead, with the retries of [`retry::send`]. Also returns the request
    /// as it was sent.
    ///
    /// # Errors
    /// As [`retry::send`]; or there is no certificate authority to trust.
    pub fn send(
        &self,
        request: HttpRequest,
        system: &dyn System,
        deadline: Deadline,
    ) -> Result<(HttpRequest, HttpResponse), Error> {
        let request = self.redirected(request)?;
        let mut trust = self.trust(system, deadline)?;
        let attempt = |timeout: Duration| {
            let first = self.attempt(&request, &trust, system, timeout);
            if !is_about_certificate(&first) {
                return first;
            }
            // The authority may have been renewed after we read it.
            match self.newer_than(&trust) {
                Some(newer) => {
                    trust = newer;
                    self.attempt(&request, &trust, system, timeout)
                }
                None => first,
            }
        };
        let answer = retry::send_by(system, deadline, attempt)
            .map_err(|error| error.context("token proxy").remedy(REMEDY))?;
        Ok((request, answer))
    }

    /// The same request with the proxy's address, and its path before the request's own.
    fn redirected(&self, mut request: HttpRequest) -> Result<HttpRequest, Error> {
        let mut url = self.url.clone();
        let base = url.path().trim_end_matches('/').to_owned();
        url.set_path(&format!("{base}{}", request.uri().path()));
        url.set_query(request.uri().query());
        *request.uri_mut() = url
            .as_str()
            .parse()
            .map_err(|error| Error::input(format!("{url}: {error}")))?;
        Ok(request)
    }

    fn attempt(
        &self,
        request: &HttpRequest,
        trust: &Trust,
        system: &dyn System,
        timeout: Duration,
    ) -> Result<HttpResponse, NetworkError> {
        let way = ClusterWay {
            trust: trust.clone(),
            server_name: self.server_name.clone(),
            identity: None,
            // It is in the cluster.
            proxy: HttpProxy::Never,
        };
        system.send_to_cluster(request, &way, timeout)
    }

    /// Which certificates to trust; waits for a file that is being replaced.
    fn trust(&self, system: &dyn System, deadline: Deadline) -> Result<Trust, Error> {
        let path = match &self.authorities {
            Authorities::OfThisMachine => return Ok(Trust::ThisMachine),
            Authorities::Given(pem) => return Ok(Trust::Only(pem.clone())),
            Authorities::File(path) => path,
        };
        let patience = Deadline::after(system, REPLACEMENT.min(deadline.remaining(system)));
        loop {
            let why = match bounded::read(path, LARGEST_BODY) {
                Ok(pem) if has_certificate(&pem) => return Ok(Trust::Only(pem)),
                Ok(pem) if pem.is_empty() => "is empty".to_owned(),
                Ok(_) => "has no PEM certificate".to_owned(),
                Err(error) => format!("cannot be read: {error}"),
            };
            if patience.remaining(system) <= PAUSE {
                let path = path.display();
                let what = format!("{path} (AZURE_KUBERNETES_CA_FILE) {why}");
                return Err(Error::input(what).remedy(REMEDY));
            }
            system.sleep(PAUSE);
        }
    }

    /// The file's current content, if it has changed.
    fn newer_than(&self, trust: &Trust) -> Option<Trust> {
        let Authorities::File(path) = &self.authorities else {
            return None;
        };
        let pem = bounded::read(path, LARGEST_BODY).ok();
        let pem = pem.filter(|pem| has_certificate(pem))?;
        Some(Trust::Only(pem)).filter(|newer| newer != trust)
    }
}

fn is_about_certificate(outcome: &Result<HttpResponse, NetworkError>) -> bool {
    matches!(outcome, Err(error) if matches!(error.kind, NetworkErrorKind::Certificate(_) | NetworkErrorKind::Settings(_)))
}

fn has_certificate(pem: &[u8]) -> bool {
    let begin = b"-----BEGIN CERTIFICATE-----";
    pem.windows(begin.len()).any(|window| window == begin)
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;
    use crate::system::CertificateFault;
    use crate::system::fake::FakeSystem;

    const PEM: &[u8] = b"-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----\n";

    fn proxy(url: &str, authorities: Authorities) -> TokenProxy {
        TokenProxy::new(url, Some("proxy.example"), authorities).expect("a proxy")
    }

    fn send(proxy: &TokenProxy, system: &FakeSystem) -> Result<String, Error> {
        let request =
            http::Request::post("https://login.microsoftonline.com/ten/oauth2/v2.0/token?x=y");
        let request = request.body(b"form".to_vec()).expect("a request");
        let deadline = Deadline::after(system, Duration::from_secs(60));
        let (request, _) = proxy.send(request, system, deadline)?;
        Ok(request.uri().to_string())
    }

    #[test]
    fn a_request_goes_to_the_proxy_with_its_own_path_and_query() {
        for (url, sent) in [
            (
                "https://10.0.0.1:443",
                "https://10.0.0.1/ten/oauth2/v2.0/token?x=y",
            ),
            (
                "https://proxy:8443/a/b/",
                "https://proxy:8443/a/b/ten/oauth2/v2.0/token?x=y",
            ),
        ] {
            let system = FakeSystem::new([FakeSystem::json(200, "{}")]);
            let uri = send(&proxy(url, Authorities::Given(PEM.to_vec())), &system);
            assert_eq!(uri.expect("sent"), sent);
            assert_eq!(system.requests()[0].body(), b"form");
        }
    }

    #[test]
    fn an_address_that_cannot_be_a_token_proxy_is_refused_without_its_password() {
        for (url, says) in [
            ("http://proxy", "must start with https://"),
            ("proxy", "is not a URL"),
            ("https://user:hush@proxy", "must not contain a user name"),
            ("https://proxy?a=hush", "must not contain a query"),
            ("https://proxy#hush", "must not contain a query or fragment"),
        ] {
            let error = TokenProxy::new(url, None, Authorities::OfThisMachine);
            let error = error.expect_err(url).to_string();
            assert!(error.contains(says), "{error}");
            assert!(!error.contains("hush"), "{error}");
        }
        for name in ["10.0.0.1", "a b", "a/b"] {
            let error = TokenProxy::new("https://p", Some(name), Authorities::OfThisMachine);
            let error = error.expect_err(name).to_string();
            assert!(error.contains("AZURE_KUBERNETES_SNI_NAME"), "{error}");
        }
        let error = TokenProxy::new("https://p", None, Authorities::Given(b"x".to_vec()));
        assert!(
            error
                .expect_err("no PEM")
                .to_string()
                .contains("AZURE_KUBERNETES_CA_DATA")
        );
    }

    #[test]
    fn a_file_that_stays_empty_is_named_after_a_bounded_wait() {
        let folder = TempDir::new().expect("a folder");
        let path = folder.path().join("ca.pem");
        for (content, says) in [
            (None, "cannot be read"),
            (Some(""), "is empty"),
            (Some("x"), "has no PEM certificate"),
        ] {
            if let Some(content) = content {
                std::fs::write(&path, content).expect("written");
            }
            let system = FakeSystem::new([]);
            let error = send(
                &proxy("https://p", Authorities::File(path.clone())),
                &system,
            );
            let error = error.expect_err(says).to_string();
            assert!(error.contains(says) && error.contains("ca.pem"), "{error}");
            assert!(error.contains("--no-token-proxy"), "{error}");
            assert!(system.elapsed() <= REPLACEMENT);
        }
    }

    #[test]
    fn a_busy_proxy_is_asked_again_and_a_wrong_certificate_only_once() {
        let busy = FakeSystem::new([FakeSystem::json(503, ""), FakeSystem::json(200, "{}")]);
        send(&proxy("https://p", Authorities::Given(PEM.to_vec())), &busy).expect("sent");
        let kind = CertificateFault::Issuer.because("its issuer is not trusted here");
        let wrong = FakeSystem::new([Err(NetworkError {
            host: "p".into(),
            kind,
        })]);
        let error = send(
            &proxy("https://p", Authorities::Given(PEM.to_vec())),
            &wrong,
        );
        let error = error.expect_err("refused").to_string();
        assert!(
            error.starts_with("token proxy: the TLS certificate of p"),
            "{error}"
        );
        assert!(error.contains("--no-token-proxy"), "{error}");
    }
}
