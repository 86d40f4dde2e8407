//! Asks a Kubernetes API server who the caller is (SelfSubjectReview, KEP-3325).
//!
//! The certificate authority, proxy and TLS name come from the kubeconfig. Redirects are not followed, and a token is
//! sent only over TLS.

mod answer;

use std::time::Duration;

use http::Method;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderName, HeaderValue};
use serde_json::{Value, json};
use zeroize::Zeroizing;

pub use answer::{Greeting, Identity, Rbac, Refusal, Verdict, rbac};

use crate::error::Error;
use crate::kubeconfig::context::{Cluster, Pem};
use crate::secret::Secret;
use crate::system::pem::IdentityFault;
use crate::system::{
    ClusterWay, HttpProxy, HttpRequest, LARGEST_BODY, NetworkError, System, Trust, bounded, pem,
};

/// Time limit for reading the cluster's CA file, which may be a pipe.
const CA_PATIENCE: Duration = Duration::from_secs(2);

/// The API versions of SelfSubjectReview: v1 since Kubernetes 1.28, v1beta1 since 1.27, v1alpha1 in 1.26.
const REVIEW_VERSIONS: &[&str] = &["v1", "v1beta1", "v1alpha1"];

/// A cluster's API server, and how to reach it.
#[derive(Clone)]
pub struct ApiServer {
    /// Scheme, host, port and path, without a slash at the end.
    base: String,
    uri: http::Uri,
    way: ClusterWay,
}

/// The caller: a token, and the user to impersonate.
pub struct Caller<'a> {
    /// `None` for one with a client certificate.
    pub token: Option<&'a Secret>,
    /// Names and values of the `Impersonate-` headers.
    pub impersonation: &'a [(&'static str, String)],
}

impl ApiServer {
    /// The API server of a kubeconfig's cluster. Reads only the file of its certificate authority.
    ///
    /// # Errors
    /// If the kubeconfig names no server, one that is not an HTTPS URL, or a certificate authority that cannot be read.
    pub fn of(cluster: &Cluster) -> Result<Self, Error> {
        let at = |what: String| {
            let place = cluster.place.as_ref().map(|place| format!("{place}: "));
            Error::input(format!(
                "{}cluster {:?} {what}",
                place.unwrap_or_default(),
                cluster.name
            ))
        };
        let get_again = "Correct it, or write the cluster again: kubelogin get-credentials CLUSTER";
        let server = cluster
            .server
            .as_deref()
            .ok_or_else(|| at("has no server".into()).remedy(get_again))?;
        let base = server.trim_end_matches('/').to_owned();
        let uri: http::Uri = base.parse().map_err(|_| {
            at(format!("has the server {server:?}, which is not a URL")).remedy(get_again)
        })?;
        if uri.scheme_str() != Some("https") || uri.host().is_none_or(str::is_empty) {
            return Err(at(format!(
                "has the server {server:?}, which is not an https URL"
            ))
            .remedy("Use https: over anything else, the token could be read on the way."));
        }
        let trust = match &cluster.authority {
            _ if cluster.skips_verification => Trust::Anyone,
            None => Trust::ThisMachine,
            Some(pem) => Trust::Only(authority(pem).map_err(|why| {
                at(format!("has no usable certificate authority: {why}")).remedy(get_again)
            })?),
        };
        let way = ClusterWay {
            trust,
            server_name: cluster.tls_server_name.clone(),
            identity: None,
            proxy: match &cluster.proxy_url {
                Some(url) => HttpProxy::Given(url.clone()),
                None => HttpProxy::OfEnvironment,
            },
        };
        Ok(Self { base, uri, way })
    }

    /// The same server, with a client certificate.
    ///
    /// # Errors
    /// The certificate or its key cannot be used; the error says which and why.
    pub fn shown(&self, certificate: &Pem, key: &Pem) -> Result<Self, String> {
        let [its_field, key_field] = ["client-certificate-data", "client-key-data"];
        let mut both = content(certificate, its_field)?;
        let key_pem = content(key, key_field)?;
        pem::check_identity(&both, &key_pem).map_err(|fault| {
            let (its_name, key_name) = (name(certificate, its_field), name(key, key_field));
            match fault {
                IdentityFault::Certificate(why) => format!("{its_name} {why}"),
                IdentityFault::Key(why) => format!("{key_name} {why}"),
                IdentityFault::Mismatch => {
                    format!("{key_name} is not the key of {its_name}")
                }
            }
        })?;
        both.push(b'\n');
        both.extend_from_slice(&key_pem);
        let mut server = self.clone();
        server.way.identity = Some(both);
        Ok(server)
    }

    /// Its URL.
    pub fn uri(&self) -> &http::Uri {
        &self.uri
    }

    /// True if the kubeconfig turns off TLS verification.
    pub fn trusts_anyone(&self) -> bool {
        self.way.trust == Trust::Anyone
    }

    /// Its own proxy, host and port.
    pub fn proxy(&self) -> Option<String> {
        let HttpProxy::Given(proxy) = &self.way.proxy else {
            return None;
        };
        let proxy: http::Uri = proxy.parse().ok()?;
        proxy.authority().map(ToString::to_string)
    }

    /// Gets the version without a token: any response proves that DNS, connection and certificate work.
    pub fn greet(&self, system: &dyn System, timeout: Duration) -> Result<Greeting, NetworkError> {
        let request = self.request(Method::GET, "/version", None, Vec::new());
        let answer = system.send_to_cluster(&request, &self.way, timeout)?;
        Ok(Greeting::of(&answer))
    }

    /// Asks the server who this caller is.
    pub fn review(
        &self,
        caller: &Caller,
        system: &dyn System,
        timeout: Duration,
    ) -> Result<Verdict<Identity>, NetworkError> {
        let end = system.elapsed() + timeout;
        for version in REVIEW_VERSIONS {
            let group = format!("authentication.k8s.io/{version}");
            let body = json!({"apiVersion": group, "kind": "SelfSubjectReview"});
            let path = format!("/apis/{group}/selfsubjectreviews");
            let left = end.saturating_sub(system.elapsed());
            match self.post(&path, &body, caller, system, left)? {
                Verdict::NotOffered => {}
                other => return Ok(other.and_then(|body| Identity::of(&body))),
            }
        }
        Ok(Verdict::NotOffered)
    }

    /// Asks whether this caller may list pods in a namespace (SelfSubjectAccessReview); if not, returns the reason.
    pub fn may_list_pods(
        &self,
        namespace: &str,
        caller: &Caller,
        system: &dyn System,
        timeout: Duration,
    ) -> Result<Verdict<Result<(), String>>, NetworkError> {
        let group = "authorization.k8s.io/v1";
        let attributes = json!({"namespace": namespace, "verb": "list", "resource": "pods"});
        let body = json!({
            "apiVersion": group,
            "kind": "SelfSubjectAccessReview",
            "spec": {"resourceAttributes": attributes},
        });
        let path = format!("/apis/{group}/selfsubjectaccessreviews");
        let verdict = self.post(&path, &body, caller, system, timeout)?;
        Ok(verdict.and_then(|body| answer::permission(&body)))
    }

    fn post(
        &self,
        path: &str,
        body: &Value,
        caller: &Caller,
        system: &dyn System,
        timeout: Duration,
    ) -> Result<Verdict<Value>, NetworkError> {
        let request = self.request(Method::POST, path, Some(caller), body.to_string().into());
        let answer = system.send_to_cluster(&request, &self.way, timeout)?;
        Ok(answer::verdict(&answer))
    }

    fn request(
        &self,
        method: Method,
        path: &str,
        caller: Option<&Caller>,
        body: Vec<u8>,
    ) -> HttpRequest {
        let mut request = http::Request::new(body);
        *request.method_mut() = method;
        // The base is a valid URI, and stays one with our path appended.
        *request.uri_mut() = format!("{}{path}", self.base).parse().unwrap_or_default();
        let json = HeaderValue::from_static("application/json");
        let headers = request.headers_mut();
        headers.insert(ACCEPT, json.clone());
        headers.insert(CONTENT_TYPE, json);
        let Some(caller) = caller else {
            return request;
        };
        let bearer = caller
            .token
            .map(|token| format!("Bearer {}", token.expose()));
        if let Some(Ok(mut value)) = bearer.as_deref().map(HeaderValue::from_str) {
            value.set_sensitive(true);
            headers.insert(AUTHORIZATION, value);
        }
        for (name, value) in caller.impersonation {
            if let (Ok(name), Ok(value)) = (name.parse::<HeaderName>(), value.parse()) {
                headers.append(name, value);
            }
        }
        request
    }
}

/// The certificates of a cluster's certificate authority.
fn authority(pem: &Pem) -> Result<Vec<u8>, String> {
    let field = "certificate-authority-data";
    let bytes = content(pem, field)?;
    pem::check_authority(&bytes).map_err(|why| format!("{} {why}", name(pem, field)))?;
    Ok(bytes.to_vec())
}

/// The value of a kubeconfig's `field`, or the content of the file given instead.
fn content(pem: &Pem, field: &str) -> Result<Zeroizing<Vec<u8>>, String> {
    match pem {
        Pem::Data(Some(pem)) => Ok(pem.clone()),
        Pem::Data(None) => Err(format!("{field} is not base64")),
        Pem::File(path) => bounded::read_any(path, LARGEST_BODY, CA_PATIENCE)
            .map(Zeroizing::new)
            .map_err(|error| format!("{} cannot be read: {error}", path.display())),
    }
}

/// The field or the file, for messages.
fn name(pem: &Pem, field: &str) -> String {
    match pem {
        Pem::Data(_) => field.to_owned(),
        Pem::File(path) => path.display().to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::system::fake::FakeSystem;

    const TIMEOUT: Duration = Duration::from_secs(5);

    fn cluster(server: &str) -> Cluster {
        Cluster {
            name: "c".into(),
            server: Some(server.into()),
            ..Cluster::default()
        }
    }

    fn review(answers: &[(u16, &str)]) -> (Verdict<Identity>, FakeSystem) {
        let answers = answers
            .iter()
            .map(|(status, body)| FakeSystem::json(*status, *body));
        let system = FakeSystem::new(answers);
        let server = ApiServer::of(&cluster("https://host.example/path/")).expect("a server");
        let caller = Caller {
            token: Some(&Secret::new("tok")),
            impersonation: &[("Impersonate-User", "bob".into())],
        };
        let verdict = server.review(&caller, &system, TIMEOUT).expect("an answer");
        (verdict, system)
    }

    /// Responses of a kube-apiserver.
    const NOT_FOUND: &str = include_str!("../fixtures/api_server/not-found.json");
    const V1: &str = include_str!("../fixtures/api_server/self-subject-review-v1.json");
    const V1BETA1: &str = include_str!("../fixtures/api_server/self-subject-review-v1beta1.json");

    #[test]
    fn older_servers_are_asked_in_their_own_version() {
        for (misses, version) in REVIEW_VERSIONS.iter().enumerate() {
            let (answer, user) = match misses {
                0 => (V1, "alice@contoso.example"),
                _ => (V1BETA1, "66666666-ffff-4fff-8fff-666666666666"),
            };
            let mut answers = vec![(404, NOT_FOUND); misses];
            answers.push((201, answer));
            let (verdict, system) = review(&answers);
            let Verdict::Yes(identity) = verdict else {
                panic!("{verdict:?}");
            };
            assert_eq!(identity.username, user);
            assert!(identity.object_id().is_some());
            let last = system.requests().pop().expect("a request");
            let path = format!("/path/apis/authentication.k8s.io/{version}/selfsubjectreviews");
            assert_eq!(last.uri().path(), path);
            assert_eq!(last.headers()["authorization"], "Bearer tok");
            assert_eq!(last.headers()["impersonate-user"], "bob");
        }
        let (verdict, _) = review(&[(404, NOT_FOUND); 3]);
        assert!(matches!(verdict, Verdict::NotOffered));
    }

    #[test]
    fn a_greeting_carries_no_token() {
        let system = FakeSystem::new([FakeSystem::json(200, r#"{"gitVersion":"v1.33.0"}"#)]);
        let server = ApiServer::of(&cluster("https://host.example")).expect("a server");
        let greeting = server.greet(&system, TIMEOUT).expect("an answer");
        assert_eq!(greeting.version.as_deref(), Some("v1.33.0"));
        let request = system.requests().remove(0);
        assert_eq!(request.uri().path(), "/version");
        assert!(!request.headers().contains_key(AUTHORIZATION));
    }

    #[test]
    fn a_server_that_cannot_be_asked_safely_is_refused_with_its_place() {
        for (server, why) in [
            ("http://host.example", "not an https URL"),
            ("host.example", "not an https URL"),
            ("https://", "not an https URL"),
            ("https://a b", "not a URL"),
        ] {
            let error = ApiServer::of(&cluster(server)).err().expect("refused");
            assert!(error.to_string().contains(why), "{server}: {error}");
        }
        let no_server = Cluster::default();
        assert!(ApiServer::of(&no_server).is_err());
        let not_base64 = Cluster {
            authority: Some(Pem::Data(None)),
            ..cluster("https://host.example")
        };
        let error = ApiServer::of(&not_base64).err().expect("refused");
        assert!(error.to_string().contains("certificate-authority-data"));
    }

    const CERTIFICATE: &str = include_str!("../fixtures/certificates/no-key.pem");
    const KEY: &str = include_str!("../fixtures/certificates/no-certificate.pem");
    const GARBLED: &str = include_str!("../fixtures/certificates/garbled.pem");
    const EMPTY_BLOCK: &str = "-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----\n";

    fn data(pem: &str) -> Pem {
        Pem::Data(Some(Zeroizing::new(pem.as_bytes().to_vec())))
    }

    #[test]
    fn a_certificate_authority_that_cannot_be_used_is_named() {
        for (pem, why) in [
            ("", "certificate-authority-data contains no PEM certificate"),
            (GARBLED, "certificate-authority-data is not valid PEM"),
            (EMPTY_BLOCK, "contains an unusable certificate"),
        ] {
            let cluster = Cluster {
                authority: Some(data(pem)),
                ..cluster("https://host.example")
            };
            let error = ApiServer::of(&cluster).err().expect("refused").to_string();
            assert!(error.starts_with("cluster \"c\" has no usable"), "{error}");
            assert!(error.contains(why), "{error}");
        }
    }

    #[test]
    fn a_client_certificate_or_key_that_cannot_be_used_is_named() {
        let show = |certificate: &str, key: &str| {
            let server = ApiServer::of(&cluster("https://host.example")).expect("a server");
            let shown = server.shown(&data(certificate), &data(key));
            shown.err().unwrap_or_default()
        };
        assert_eq!(show(CERTIFICATE, KEY), "");
        let other_key = include_str!("../fixtures/certificates/rsa-4096.pem");
        for (certificate, key, why) in [
            (
                "abc",
                KEY,
                "client-certificate-data contains no PEM certificate",
            ),
            (GARBLED, KEY, "client-certificate-data is not valid PEM"),
            (
                EMPTY_BLOCK,
                KEY,
                "client-certificate-data contains an unusable certificate",
            ),
            (
                CERTIFICATE,
                "abc",
                "client-key-data contains no unencrypted PEM private key",
            ),
            (
                CERTIFICATE,
                other_key,
                "client-key-data is not the key of client-certificate-data",
            ),
        ] {
            let error = show(certificate, key);
            assert!(error.starts_with(why), "{error}");
        }
    }
}
