//! How the hosts of managed identities differ: a row for each, defined in its own file.

use std::fmt;

use http::header::CONTENT_TYPE;
use http::{HeaderValue, Request};
use oauth2::url::{Url, form_urlencoded};

use super::Identity;
use crate::error::Error;
use crate::retry::{self, Deadline};
use crate::system::{HttpRequest, HttpResponse, System, Via};

/// A service that issues tokens to what runs on it.
pub struct Host {
    /// Its name in messages.
    pub name: &'static str,
    pub endpoint: Url,
    pub shape: Shape,
    /// The headers of every request; a sensitive one is the secret that the host expects.
    pub headers: Vec<(&'static str, HeaderValue)>,
    pub selectors: Selectors,
    /// The identity it uses if none is named.
    pub default_identity: Identity,
    /// Sends a request in the host's own way.
    pub send: Box<Send>,
}

/// What sends a request to a host and returns its answer.
pub type Send = dyn Fn(&dyn System, HttpRequest, Deadline) -> Result<HttpResponse, Error>;

/// How a request names the resource.
#[derive(Clone, Copy)]
pub enum Shape {
    /// GET, in the query.
    Query { api_version: &'static str },
    /// POST, in a form.
    Form,
}

/// How a request names an identity: the query parameter for each kind of ID, if the host has one.
#[derive(Default)]
pub struct Selectors {
    pub client_id: Option<&'static str>,
    pub resource_id: Option<&'static str>,
    /// True if `client_id` is sent for the system-assigned identity too, with no value.
    pub is_always_sent: bool,
    /// What to do if there is no parameter.
    pub advice: &'static str,
}

impl Host {
    /// Checks that the host supports this identity.
    ///
    /// # Errors It cannot be asked for this identity.
    pub fn check(&self, identity: &Identity) -> Result<(), Error> {
        if *identity == Identity::System || self.selector(identity).is_some() {
            return Ok(());
        }
        let kind = match self.selectors.client_id {
            Some(_) => " by resource ID",
            None => "",
        };
        let name = self.name;
        let what = format!("{name} doesn't support user-assigned managed identities{kind}");
        Err(Error::input(what).remedy(self.selectors.advice))
    }

    fn selector<'a>(&self, identity: &'a Identity) -> Option<(&'static str, &'a str)> {
        let selectors = &self.selectors;
        match identity {
            Identity::System if selectors.is_always_sent => Some((selectors.client_id?, "")),
            Identity::System => None,
            Identity::ClientId(id) => Some((selectors.client_id?, id)),
            Identity::ResourceId(id) => Some((selectors.resource_id?, id)),
        }
    }

    /// The request for a token.
    pub fn request(&self, resource: &str, identity: &Identity) -> Result<HttpRequest, Error> {
        let mut request = match self.shape {
            Shape::Query { api_version } => {
                let mut url = self.endpoint.clone();
                url.query_pairs_mut()
                    .append_pair("api-version", api_version)
                    .append_pair("resource", resource)
                    .extend_pairs(self.selector(identity));
                Request::get(url.as_str())
            }
            Shape::Form => Request::post(self.endpoint.as_str()),
        };
        for (name, value) in &self.headers {
            request = request.header(*name, value);
        }
        let mut form = form_urlencoded::Serializer::new(String::new());
        if matches!(self.shape, Shape::Form) {
            request = request.header(CONTENT_TYPE, "application/x-www-form-urlencoded");
            form.append_pair("resource", resource);
        }
        request
            .body(form.finish().into_bytes())
            .map_err(|error| Error::input(format!("{}: {error}", self.name)))
    }
}

impl fmt::Debug for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at {}", self.name, self.endpoint)
    }
}

/// Sends the request, and retries while the network or the host fails temporarily.
pub fn send_via(via: Via) -> Box<Send> {
    Box::new(move |system, request, deadline| {
        retry::send(system, &request, via, deadline).map_err(unreachable)
    })
}

/// The fix for a network error: no proxy is ever used here.
pub fn unreachable(error: Error) -> Error {
    error.remedy("Azure sets IDENTITY_ENDPOINT, MSI_ENDPOINT and their secrets: check that they belong to this machine or app and are still valid.")
}

/// The URL in a variable.
///
/// # Errors
/// It is not the URL of an HTTP endpoint.
pub fn endpoint(variable: &str, value: &str) -> Result<Url, Error> {
    let is_endpoint = |url: &Url| matches!(url.scheme(), "http" | "https") && url.has_host();
    Url::parse(value).ok().filter(is_endpoint).ok_or_else(|| {
        Error::input(format!(
            "{variable} {value:?} is not the URL of an endpoint"
        ))
        .remedy("Azure sets this variable where there is a managed identity; unset it elsewhere.")
    })
}

/// The header that protects against server-side request forgery: a host refuses requests without it.
pub fn metadata() -> (&'static str, HeaderValue) {
    ("metadata", HeaderValue::from_static("true"))
}

/// A secret as a header that the HTTP client never logs. `source` names where it came from.
///
/// # Errors
/// A header cannot hold it.
pub fn sensitive(secret: &str, source: impl fmt::Display) -> Result<HeaderValue, Error> {
    let mut value = HeaderValue::from_str(secret).map_err(|_| {
        Error::input(format!(
            "{source} contains characters that are not allowed in an HTTP header"
        ))
        .remedy("Azure sets it; do not change it.")
    })?;
    value.set_sensitive(true);
    Ok(value)
}
