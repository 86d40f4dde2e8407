//! Azure Resource Manager (ARM): finds clusters and fetches their kubeconfigs.
//!
//! Its responses are untrusted: bounded in size, checked, and never a reason to send the token to another host.

mod credentials;
pub mod details;
pub mod refusal;
pub mod resource_id;
mod search;

use std::collections::HashSet;
use std::time::Duration;

use http::header::{ACCEPT, AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, HeaderValue};
use http::{Method, StatusCode};
use oauth2::url::Url;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::error::Error;
use crate::retry::{self, Deadline};
use crate::secret::Secret;
use crate::system::{HttpRequest, HttpResponse, LargestBody, Next, System};
pub use credentials::{Access, Format, Wanted};
use refusal::{Asked, Refusal};
pub use resource_id::{Kind, ResourceId};
pub use search::{Cluster, Filter};

/// The largest response to read, in bytes: a page of clusters has a few hundred KiB.
const LARGEST_ANSWER: u64 = 4 * 1024 * 1024;
/// How long to keep retrying a busy ARM by default.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// Pauses longer than this are reported.
const LONG_PAUSE: Duration = Duration::from_secs(5);
/// The maximum number of pages in a list; each has up to a thousand entries.
const MOST_PAGES: usize = 1000;

/// The AKS API version. Versions without `preview` in their name are not retired.
const CLUSTERS_VERSION: &str = "2024-09-01";
/// The version of ARM's own API, for subscriptions.
const SUBSCRIPTIONS_VERSION: &str = "2022-12-01";

/// A client for the Azure Resource Manager of one cloud.
pub struct Arm<'a> {
    /// `https://management.azure.com`, without a path.
    endpoint: Url,
    bearer: Secret,
    timeout: Duration,
    /// The longest `Retry-After` to honour; longer is an error.
    longest_pause: Duration,
    system: &'a dyn System,
}

/// The outcome of a request; a caller may be able to act on the refusal in `Err`.
type Answer = Result<HttpResponse, Failure>;

/// Why there is no usable response.
#[derive(Debug)]
pub enum Failure {
    /// ARM refused the request.
    Refused(Box<Refusal>),
    /// There was no response, or it was unusable.
    Broken(Error),
}

impl Failure {
    /// The error to show for a request for `asked`.
    pub fn explain(self, asked: &Asked) -> Error {
        match self {
            Self::Refused(refusal) => refusal.explain(asked),
            Self::Broken(error) => error,
        }
    }

    /// The refusal, if ARM responded at all.
    pub fn refusal(&self) -> Option<&Refusal> {
        match self {
            Self::Refused(refusal) => Some(refusal),
            Self::Broken(_) => None,
        }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Broken(error)
    }
}

/// A page of a list.
#[derive(Deserialize)]
struct Page {
    value: Vec<Value>,
    #[serde(rename = "nextLink")]
    next_link: Option<String>,
}

impl<'a> Arm<'a> {
    /// `timeout` bounds how long ARM may be silent.
    pub fn new(endpoint: Url, bearer: Secret, timeout: Duration, system: &'a dyn System) -> Self {
        Self {
            endpoint,
            bearer,
            timeout,
            longest_pause: LONGEST_PAUSE,
            system,
        }
    }

    /// Sends each request once, without retries.
    #[must_use]
    pub fn without_waiting(self) -> Self {
        Self {
            longest_pause: Duration::ZERO,
            ..self
        }
    }

    /// The host, for messages.
    fn host(&self) -> &str {
        self.endpoint.host_str().unwrap_or_default()
    }

    /// A request to `path`, percent-encoded.
    fn request(&self, method: Method, path: &str, query: &[(&str, &str)]) -> HttpRequest {
        let mut url = self.endpoint.clone();
        url.set_path(path);
        url.query_pairs_mut().clear().extend_pairs(query);
        self.request_to(method, &url)
    }

    fn request_to(&self, method: Method, url: &Url) -> HttpRequest {
        let mut request = HttpRequest::new(Vec::new());
        if method == Method::POST {
            // Some proxies answer 411 to a POST without it.
            request
                .headers_mut()
                .insert(CONTENT_LENGTH, HeaderValue::from_static("0"));
        }
        *request.method_mut() = method;
        if let Ok(uri) = url.as_str().parse() {
            *request.uri_mut() = uri;
        }
        let headers = request.headers_mut();
        headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
        let bearer = format!("Bearer {}", self.bearer.expose());
        if let Ok(mut bearer) = HeaderValue::try_from(bearer)
            && !self.bearer.is_empty()
        {
            bearer.set_sensitive(true);
            headers.insert(AUTHORIZATION, bearer);
        }
        request.extensions_mut().insert(LargestBody(LARGEST_ANSWER));
        request
    }

    /// A POST of JSON.
    fn post_json(&self, path: &str, query: &[(&str, &str)], body: &Value) -> HttpRequest {
        let mut request = self.request(Method::POST, path, query);
        let headers = request.headers_mut();
        headers.remove(CONTENT_LENGTH);
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        *request.body_mut() = body.to_string().into_bytes();
        request
    }

    /// Sends requests, a few at a time, and passes each final response with its request's number to `receive`. Retries
    /// temporary failures, and waits if ARM says so. Once ARM has sent nothing for the length of the timeout, every failure
    /// is final.
    fn send_all(&self, requests: &[HttpRequest], receive: &mut dyn FnMut(usize, Answer)) {
        let mut silent_until = Deadline::after(self.system, self.timeout);
        let mut tries = vec![0; requests.len()];
        let timeout = self.timeout.min(retry::LONGEST_TRY);
        self.system
            .send_many(requests, timeout, &mut |number, outcome| {
                let longest = self.longest_pause + Duration::from_millis(1);
                let longest = match &outcome {
                    Ok(_) => {
                        silent_until = Deadline::after(self.system, self.timeout);
                        longest
                    }
                    Err(_) => longest.min(silent_until.remaining(self.system)),
                };
                let wait = retry::next_wait(&outcome, tries[number], longest, self.system.now());
                if let Some(wait) = wait {
                    tries[number] += 1;
                    if wait >= LONG_PAUSE {
                        let (host, seconds) = (self.host(), wait.as_secs());
                        self.system.notice(&format!(
                            "{host} is busy and asked to wait: waiting {seconds} seconds"
                        ));
                    }
                    return Next::Again(wait);
                }
                receive(
                    number,
                    match outcome {
                        Ok(answer) if answer.status() == StatusCode::OK => Ok(answer),
                        Ok(answer) => Err(Failure::Refused(Box::new(Refusal::read(
                            &answer,
                            self.host(),
                            &self.bearer,
                        )))),
                        Err(error) => {
                            let remaining = silent_until.remaining(self.system);
                            Err(retry::network_error(&error, None, remaining, silent_until).into())
                        }
                    },
                );
                Next::Done
            });
    }

    fn send(&self, request: HttpRequest) -> Answer {
        let mut answer = None;
        self.send_all(&[request], &mut |_, one| answer = Some(one));
        answer.unwrap_or_else(|| Err(Error::outside("no response came").into()))
    }

    /// All entries of a list, page by page.
    fn list(&self, first: HttpRequest) -> Result<Vec<Value>, Failure> {
        let first = self.send(first)?;
        self.all_pages(&first)
    }

    /// The entries of the first page and the following ones. Only links to ARM itself are followed, because each
    /// request carries the token.
    fn all_pages(&self, first: &HttpResponse) -> Result<Vec<Value>, Failure> {
        let mut page: Page = self.read(first)?;
        let mut entries = std::mem::take(&mut page.value);
        let mut seen = HashSet::new();
        while let Some(link) = page.next_link.filter(|link| !link.is_empty()) {
            let url = Url::parse(&link).ok();
            let own = url.filter(|url| url.origin() == self.endpoint.origin());
            let own = own.ok_or_else(|| {
                self.odd("links to a next page on another host, which was not followed")
            })?;
            if !seen.insert(link) || seen.len() > MOST_PAGES {
                return Err(self.odd("has too many pages or repeats one").into());
            }
            let answer = self.send(self.request_to(Method::GET, &own))?;
            page = self.read(&answer)?;
            entries.append(&mut page.value);
        }
        Ok(entries)
    }

    fn read<T: DeserializeOwned>(&self, answer: &HttpResponse) -> Result<T, Error> {
        serde_json::from_slice(answer.body()).map_err(|_| self.odd("is not the expected JSON"))
    }

    /// The error for a successful response with unusable content.
    fn odd(&self, what: &str) -> Error {
        Error::refused("", format!("the response from {} {what}", self.host())).remedy(
            "Check --environment, HTTPS_PROXY and NO_PROXY: something else may have answered.",
        )
    }
}

#[cfg(test)]
mod tests;
