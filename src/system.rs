//! The outside world behind one trait: clock, network, programs, browser, messages.
//!
//! There is one real implementation ([`RealSystem`]) and one fake for tests (`FakeSystem`). Files are not part of it:
//! tests use a temporary directory.

use std::collections::VecDeque;
use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::error::{Error, one_line};

pub mod bounded;
mod browser;
mod cluster;
#[cfg(test)]
pub mod fake;
mod http_client;
pub mod interrupt;
mod many;
pub mod pem;
mod pinned;
mod process;
mod proxy;
mod reach;
mod real;
mod terminal;
mod trust;
#[cfg(unix)]
pub mod unix;
#[cfg(windows)]
pub mod windows;

/// What differs between operating systems: the same names in [`unix`] and `windows`.
#[cfg(unix)]
pub use unix as platform;
#[cfg(windows)]
pub use windows as platform;

pub use browser::has_browser;
pub use cluster::{ClusterWay, HttpProxy, Trust};
pub use process::{is_program, on_path};
pub use real::RealSystem;
pub use terminal::is_at_terminal;

/// An HTTP request with its body in memory, as `oauth2`, `openidconnect` and `reqwest` take it.
pub type HttpRequest = http::Request<Vec<u8>>;
/// An HTTP response with its body in memory, of [`LARGEST_BODY`] bytes at most.
pub type HttpResponse = http::Response<Vec<u8>>;

/// The largest body to read, in bytes: token responses have a few KiB.
pub const LARGEST_BODY: u64 = 1024 * 1024;

/// How often to check that the client is still there while waiting for a person or another process.
pub const LOOK_AT_CLIENT: Duration = Duration::from_secs(1);

const CLIENT_IS_GONE: &str =
    "the sign-in was cancelled, because the program that asked for the token has ended";

/// A request extension that raises [`LARGEST_BODY`] for its response: the new limit, in bytes.
#[derive(Debug, Clone, Copy)]
pub struct LargestBody(pub u64);

/// What to do after one of many requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    Done,
    /// Send nothing for this long, then send the request again.
    Again(Duration),
}

/// Everything the program needs from the outside world.
pub trait System {
    /// The wall clock.
    fn now(&self) -> DateTime<Utc>;
    /// The time since the machine started, on a clock that cannot be set; `None` where there is none.
    fn uptime(&self) -> Option<Uptime>;
    /// Time since the program started; unlike [`System::now`] it never jumps.
    fn elapsed(&self) -> Duration;
    fn sleep(&self, duration: Duration);
    /// Starts watching for [`System::is_client_gone`]. This takes a moment on Windows, so it is delayed until there is
    /// a prompt.
    fn watch_client(&self) {}
    /// True if nobody is left to receive a token: the reader of our stdout is gone, or the Kubernetes client that ran
    /// us has exited.
    fn is_client_gone(&self) -> bool;
    /// Sleeps, for a person or another process to act; ends early if the client goes.
    ///
    /// # Errors
    /// The client is gone.
    fn wait(&self, duration: Duration) -> Result<(), Error> {
        let end = self.elapsed().saturating_add(duration);
        loop {
            if self.is_client_gone() {
                return Err(Error::unanswered(CLIENT_IS_GONE));
            }
            let remaining = end.saturating_sub(self.elapsed());
            if remaining.is_zero() {
                return Ok(());
            }
            self.sleep(remaining.min(LOOK_AT_CLIENT));
        }
    }
    /// Sends one request and reads the whole response within `timeout`. Does not follow redirects or retry.
    fn send(
        &self,
        request: &HttpRequest,
        via: Via,
        timeout: Duration,
    ) -> Result<HttpResponse, NetworkError>;
    /// Sends one request to a cluster with its kubeconfig's settings; otherwise like [`System::send`].
    fn send_to_cluster(
        &self,
        request: &HttpRequest,
        way: &ClusterWay,
        timeout: Duration,
    ) -> Result<HttpResponse, NetworkError>;
    /// Resolves a host name.
    fn resolve(
        &self,
        host: &str,
        port: u16,
        timeout: Duration,
    ) -> Result<Vec<SocketAddr>, NetworkError>;
    /// Opens a TCP connection to a host at one of its addresses, and closes it.
    fn connect(
        &self,
        host: &str,
        addresses: &[SocketAddr],
        timeout: Duration,
    ) -> Result<(), NetworkError>;
    /// The proxy for this URL from the environment or the operating system: host and port.
    fn proxy_of(&self, url: &http::Uri) -> Option<String>;
    /// Where stdout is read.
    fn page(&self) -> Page;
    /// Sends many requests through the environment's proxy, a few at a time, each with its own `timeout`, and hands each
    /// outcome with the number of its request to `receive`, on this thread, in the order in which they come.
    fn send_many(
        &self,
        requests: &[HttpRequest],
        timeout: Duration,
        receive: &mut dyn FnMut(usize, Result<HttpResponse, NetworkError>) -> Next,
    ) {
        let mut waiting: VecDeque<usize> = (0..requests.len()).collect();
        while let Some(number) = waiting.pop_front() {
            let outcome = self.send(&requests[number], Via::EnvironmentProxy, timeout);
            if let Next::Again(after) = receive(number, outcome) {
                self.sleep(after);
                waiting.push_back(number);
            }
        }
    }
    /// Runs a program without a shell and without input, and returns what it wrote. After `timeout` it is killed with its
    /// child processes.
    fn run(&self, program: &Program, timeout: Duration) -> Result<Output, ProgramError>;
    /// The same for the program in this file, for a quick query such as its version.
    fn run_file(
        &self,
        path: &Path,
        args: &[&str],
        timeout: Duration,
    ) -> Result<Output, ProgramError>;
    /// The process that started us, to recognise when it runs us again; `None` if unknown.
    fn caller(&self) -> Option<String>;
    /// How much to print: 0 only what is necessary, 1 advice, 5 every step.
    fn verbosity(&self) -> u8;
    /// One line on stderr, at once: an error, or something that you have to act on. Everything else is a [`System::notice`].
    fn tell(&self, line: &str);
    /// One line that the user need not act on if the call succeeds. It is shown immediately if stderr is a terminal or `-v`
    /// is at least 1, otherwise only with an error: some clients merge stderr into stdout, and some pipelines fail on it.
    fn notice(&self, line: &str);
    /// Shows the progress of a long task in a line that the next one replaces; empty text removes it. Only on a
    /// terminal.
    fn show_progress(&self, _text: &str) {}
    /// Prints what the user must see now: on stderr, and on the controlling terminal if stderr is not a terminal.
    fn prompt(&self, text: &str);
    /// The terminal that shows a [`System::prompt`]; `None` if there is none, or none that can be told from others.
    fn terminal(&self) -> Option<Terminal>;
    /// Opens a browser in the background. A failure is printed: the user can open the address elsewhere.
    fn open_browser(&self, url: &str);
    /// True if a user is at a terminal: stdin is one.
    fn has_person(&self) -> bool;
    /// Asks the person at the terminal and waits for a line. `None` if stdin or stderr is not a terminal, or nothing
    /// was typed.
    fn ask(&self, _question: &str) -> Option<String> {
        None
    }
    /// From now on, hands each line that the user types to `receive`, on a thread of its own. Does nothing and returns
    /// false if nobody can type here.
    fn receive_typed_lines(&self, receive: LineReceiver) -> bool;
}

impl dyn System + '_ {
    /// Tells a step at the highest verbosity; below that it costs nothing. Never a secret.
    pub fn trace(&self, step: impl FnOnce() -> String) {
        if self.verbosity() >= 5 {
            self.tell(&one_line(&step()));
        }
    }
}

/// How long a machine has been on, awake or asleep.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Uptime {
    /// Its name: several machines can share a home folder.
    pub machine: String,
    pub seconds: i64,
}

/// Receives a line that the user typed, without its line end.
pub type LineReceiver = Box<dyn FnMut(String) + Send>;

/// How to reach a host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Via {
    /// Through the proxy that HTTPS_PROXY, ALL_PROXY and NO_PROXY (or the operating system) set for it.
    EnvironmentProxy,
    /// Directly, whatever the environment says: managed identity endpoints never answer through a proxy. They are on this
    /// machine or one hop away, so a connection succeeds at once or not at all.
    Direct,
    /// Like [`Via::Direct`], over TLS, with only the certificate that has this SHA-1 digest.
    Pinned([u8; 20]),
}

/// A terminal that shows prompts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Terminal {
    /// The same in every process at this terminal, and in no other.
    pub id: String,
    /// False if stderr goes elsewhere.
    pub shows_stderr: bool,
}

/// Where stdout is read: by a person at a terminal, or by a program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Page {
    /// Columns of the terminal; `None` if stdout is something else.
    pub columns: Option<u16>,
    /// Also false if the user turned colours off (NO_COLOR, TERM=dumb).
    pub has_color: bool,
}

/// A program to run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Program {
    /// Its name as typed in a shell.
    pub name: &'static str,
    pub args: Vec<String>,
    /// Variables that it gets in addition to ours.
    pub environment: Vec<(&'static str, PathBuf)>,
}

/// What a program returned.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Output {
    /// `None` if it was killed.
    pub exit_code: Option<i32>,
    pub stdout: Vec<u8>,
    pub stderr: Vec<u8>,
}

/// Why a program returned nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ProgramError {
    /// It is not in any of these folders.
    NotFound { searched: String },
    /// It exists but cannot be started: its path and the system's error.
    NotStarted(String),
    /// It timed out.
    TimedOut,
    /// It wrote too much output.
    TooMuchOutput,
}

/// Why there is no response.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NetworkError {
    /// The host that was asked; never a path or query.
    pub host: String,
    pub kind: NetworkErrorKind,
}

/// What went wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NetworkErrorKind {
    /// TLS failed because of the host's certificate. Retrying never helps.
    Certificate(BadCertificate),
    /// TLS failed for another reason: the host sent an alert, or no version or cipher suits both. Retrying never helps.
    Tls(String),
    /// What the user configured for this host (CA, client certificate, TLS name) cannot be used; nothing was sent. Retrying
    /// never helps.
    Settings(String),
    /// No connection (refused, unknown name, no route): the system's error.
    Unreachable(String),
    /// The CA certificates of this machine cannot be used, and why. Trying again never helps.
    TrustStore(String),
    /// The proxy refused to carry the connection, or its URL is wrong; why. Trying again never helps.
    Proxy(String),
    /// The proxy did not connect this time; what it said.
    ProxyFailed(String),
    /// It timed out.
    TimedOut,
    /// The response was cut off or was not HTTP, and why.
    Broken(String),
    /// The body is longer than this many bytes.
    BodyTooLarge(u64),
}

/// Why a host's certificate is not accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadCertificate {
    pub fault: CertificateFault,
    /// The same as a clause.
    pub why: String,
}

/// What is wrong with a certificate; decides the advice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CertificateFault {
    /// Its issuer is not trusted.
    Issuer,
    /// It has expired, or is not valid yet.
    Date,
    /// It is for another host.
    Name,
    Other,
}

impl CertificateFault {
    pub fn because(self, why: impl Into<String>) -> NetworkErrorKind {
        NetworkErrorKind::Certificate(BadCertificate {
            fault: self,
            why: why.into(),
        })
    }
}

impl NetworkError {
    /// True if the same request may succeed in a moment.
    pub fn is_passing(&self) -> bool {
        matches!(
            self.kind,
            NetworkErrorKind::Unreachable(_)
                | NetworkErrorKind::ProxyFailed(_)
                | NetworkErrorKind::TimedOut
                | NetworkErrorKind::Broken(_)
        )
    }
}

impl fmt::Display for NetworkError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let host = &self.host;
        match &self.kind {
            NetworkErrorKind::Certificate(BadCertificate { why, .. }) => {
                write!(f, "the TLS certificate of {host} is not accepted: {why}")
            }
            NetworkErrorKind::Tls(why) => write!(f, "no TLS connection to {host}: {why}"),
            NetworkErrorKind::Settings(why) => write!(f, "{why}; nothing was sent to {host}"),
            NetworkErrorKind::TrustStore(why)
            | NetworkErrorKind::Unreachable(why)
            | NetworkErrorKind::Proxy(why)
            | NetworkErrorKind::ProxyFailed(why) => write!(f, "no connection to {host}: {why}"),
            NetworkErrorKind::TimedOut => write!(f, "{host} did not answer in time"),
            NetworkErrorKind::Broken(why) => {
                write!(
                    f,
                    "the response from {host} was cut off or is not HTTP: {why}"
                )
            }
            NetworkErrorKind::BodyTooLarge(limit) => write!(
                f,
                "the response from {host} is longer than {} MiB and was not read",
                limit / (1024 * 1024)
            ),
        }
    }
}
