//! The real outside world.

use std::io::{self, IsTerminal, Write};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Mutex, OnceLock};
use std::time::{Duration, Instant, SystemTime};

use chrono::{DateTime, Utc};

use super::browser::Browser;
use super::http_client::HttpClient;
use super::process::Programs;
use super::terminal::{self, Typing};
use super::{
    ClusterWay, HttpRequest, HttpResponse, LineReceiver, NetworkError, NetworkErrorKind, Next,
    Output, Page, Program, ProgramError, System, Terminal, Uptime, Via, many, platform, reach,
};
use crate::env::{self, Env};
use crate::error::one_line;

/// Clock, network, programs and terminal of this machine.
pub struct RealSystem {
    began: Instant,
    verbosity: u8,
    http: HttpClient,
    programs: Programs,
    browser: Browser,
    typing: OnceLock<Typing>,
    wants_color: bool,
    /// True if a Kubernetes client runs us as its plugin.
    is_plugin: bool,
    /// Set once we wait for a person or a process, if the command prints a token.
    client: OnceLock<platform::Client>,
    prints_token: bool,
    /// Notices that are shown only if the call fails.
    held_back: Mutex<Vec<String>>,
}

impl RealSystem {
    #[expect(clippy::disallowed_methods, reason = "the one clock")]
    pub fn new(env: &Env) -> Self {
        platform::keep_streams_private();
        platform::forbid_core_dumps();
        Self {
            began: Instant::now(),
            verbosity: 0,
            http: HttpClient::new(env),
            programs: Programs::new(env),
            browser: Browser::new(env),
            typing: OnceLock::new(),
            is_plugin: env.get(env::KUBERNETES_EXEC_INFO).is_some(),
            client: OnceLock::new(),
            prints_token: false,
            wants_color: env.get(env::NO_COLOR).is_none() && env.get(env::TERM) != Some("dumb"),
            held_back: Mutex::default(),
        }
    }

    pub fn set_verbosity(&mut self, level: u8) {
        self.verbosity = level;
    }

    /// The command's result is a token on stdout: without a reader, it can stop.
    pub fn set_prints_token(&mut self, prints_token: bool) {
        self.prints_token = prints_token;
    }

    /// Shows the notices that were held back: the call has failed.
    pub fn release_notices(&self) {
        let held_back = self
            .held_back
            .lock()
            .map(|mut held| std::mem::take(&mut *held));
        for line in held_back.unwrap_or_default() {
            self.tell(&line);
        }
    }

    /// Tells a step of the network at the highest verbosity: never the query or a body, which hold secrets.
    fn trace(&self, request: &HttpRequest, result: &Result<HttpResponse, NetworkError>) {
        if self.verbosity < 5 {
            return;
        }
        let (method, uri) = (request.method(), request.uri());
        let place = format!("{method} {}{}", uri.host().unwrap_or_default(), uri.path());
        let outcome = match result {
            Ok(answer) => answer.status().to_string(),
            Err(error) => error.to_string(),
        };
        self.tell(&one_line(&format!("{place}: {outcome}")));
    }
}

impl System for RealSystem {
    #[expect(clippy::disallowed_methods, reason = "the one clock")]
    fn now(&self) -> DateTime<Utc> {
        SystemTime::now().into()
    }

    fn uptime(&self) -> Option<Uptime> {
        platform::uptime()
    }

    fn elapsed(&self) -> Duration {
        self.began.elapsed()
    }

    #[expect(clippy::disallowed_methods, reason = "the one place that sleeps")]
    fn sleep(&self, duration: Duration) {
        std::thread::sleep(duration);
    }

    fn watch_client(&self) {
        if self.prints_token {
            self.client
                .get_or_init(|| platform::Client::new(self.is_plugin));
        }
    }

    fn is_client_gone(&self) -> bool {
        self.watch_client();
        self.client.get().is_some_and(platform::Client::is_gone)
    }

    fn send(
        &self,
        request: &HttpRequest,
        via: Via,
        timeout: Duration,
    ) -> Result<HttpResponse, NetworkError> {
        let result = self.http.send(request, via, timeout);
        self.trace(request, &result);
        result
    }

    fn send_many(
        &self,
        requests: &[HttpRequest],
        timeout: Duration,
        receive: &mut dyn FnMut(usize, Result<HttpResponse, NetworkError>) -> Next,
    ) {
        let send = |request: &HttpRequest| self.send(request, Via::EnvironmentProxy, timeout);
        many::send(self, requests, &send, receive);
    }

    fn send_to_cluster(
        &self,
        request: &HttpRequest,
        way: &ClusterWay,
        timeout: Duration,
    ) -> Result<HttpResponse, NetworkError> {
        let result = self.http.send_to_cluster(request, way, timeout);
        self.trace(request, &result);
        result
    }

    fn resolve(
        &self,
        host: &str,
        port: u16,
        timeout: Duration,
    ) -> Result<Vec<SocketAddr>, NetworkError> {
        reach::resolve(host, port, timeout).map_err(at(host))
    }

    fn connect(
        &self,
        host: &str,
        addresses: &[SocketAddr],
        timeout: Duration,
    ) -> Result<(), NetworkError> {
        reach::connect(addresses, timeout).map_err(at(host))
    }

    fn proxy_of(&self, url: &http::Uri) -> Option<String> {
        self.http.proxy_of(url)
    }

    fn page(&self) -> Page {
        let columns = terminal::columns();
        Page {
            columns,
            has_color: columns.is_some() && self.wants_color,
        }
    }

    fn run(&self, program: &Program, timeout: Duration) -> Result<Output, ProgramError> {
        if self.verbosity >= 5 {
            self.tell(&one_line(&format!(
                "{} {}",
                program.name,
                program.args.join(" ")
            )));
        }
        self.programs.run(program, timeout, || self.elapsed())
    }

    fn run_file(
        &self,
        path: &Path,
        args: &[&str],
        timeout: Duration,
    ) -> Result<Output, ProgramError> {
        let program = Program {
            name: "",
            args: args.iter().map(|arg| (*arg).to_owned()).collect(),
            environment: Vec::new(),
        };
        self.programs
            .run_file(path, &program, timeout, || self.elapsed())
    }

    fn caller(&self) -> Option<String> {
        platform::caller()
    }

    fn verbosity(&self) -> u8 {
        self.verbosity
    }

    fn tell(&self, line: &str) {
        write_line(line);
    }

    fn notice(&self, line: &str) {
        if self.verbosity >= 1 || io::stderr().is_terminal() {
            self.tell(line);
        } else if let Ok(mut held_back) = self.held_back.lock() {
            held_back.push(line.to_owned());
        }
    }

    fn show_progress(&self, text: &str) {
        /// No terminal is narrower.
        const WIDTH: usize = 79;
        let mut stderr = io::stderr();
        if stderr.is_terminal() {
            let text: String = one_line(text).chars().take(WIDTH).collect();
            let end = if text.is_empty() { "\r" } else { "" };
            let _ = write!(stderr, "\r{text:<WIDTH$}{end}").and_then(|()| stderr.flush());
        }
    }

    fn prompt(&self, text: &str) {
        self.tell(text);
        let _ = io::stderr().flush();
        if !io::stderr().is_terminal() {
            // Graphical and wrapped clients swallow stderr (Azure/kubelogin#641); there may still be a terminal.
            let _ = terminal::controlling().and_then(|mut terminal| writeln!(terminal, "{text}"));
        }
    }

    fn terminal(&self) -> Option<Terminal> {
        Some(Terminal {
            id: platform::terminal_id()?,
            shows_stderr: io::stderr().is_terminal(),
        })
    }

    fn open_browser(&self, url: &str) {
        self.browser.open(url, write_line);
    }

    fn has_person(&self) -> bool {
        std::io::IsTerminal::is_terminal(&std::io::stdin())
    }

    fn ask(&self, question: &str) -> Option<String> {
        if !io::stderr().is_terminal() || !terminal::can_type() {
            return None;
        }
        // Before the question is shown: the answer may come at once.
        let typed = self.typing.get().map(Typing::lines);
        let mut stderr = io::stderr();
        let _ = write!(stderr, "{question}").and_then(|()| stderr.flush());
        match typed {
            Some(lines) => lines.recv().ok(),
            None => terminal::read_line(),
        }
    }

    fn receive_typed_lines(&self, receive: LineReceiver) -> bool {
        if let Some(typing) = self.typing.get() {
            typing.hand_to(receive);
            return true;
        }
        match Typing::begin(receive) {
            // Kept until the program ends; only then is the terminal restored.
            Some(typing) => self.typing.set(typing).is_ok(),
            None => false,
        }
    }
}

fn at(host: &str) -> impl Fn(NetworkErrorKind) -> NetworkError {
    move |kind| NetworkError {
        host: host.to_owned(),
        kind,
    }
}

/// Prints a line on stderr. A closed stderr is not an error: nobody is left to read it.
fn write_line(line: &str) {
    let _ = writeln!(io::stderr(), "{line}");
}
