//! The real world.

use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant, SystemTime};

use chrono::{DateTime, Utc};

use super::http_client::HttpClient;
use super::process::Programs;
use super::{HttpRequest, HttpResponse, NetworkError, Output, Program, ProgramError, System, Via};
use crate::env::Env;
use crate::error::one_line;

/// Clock, network, programs and terminal of this machine.
pub struct RealSystem {
    began: Instant,
    verbosity: u8,
    http: HttpClient,
    programs: Programs,
}

impl RealSystem {
    #[expect(clippy::disallowed_methods, reason = "the one clock")]
    pub fn new(env: &Env) -> Self {
        Self {
            began: Instant::now(),
            verbosity: 0,
            http: HttpClient::new(env),
            programs: Programs::new(env),
        }
    }

    pub fn set_verbosity(&mut self, level: u8) {
        self.verbosity = level;
    }
}

impl System for RealSystem {
    #[expect(clippy::disallowed_methods, reason = "the one clock")]
    fn now(&self) -> DateTime<Utc> {
        SystemTime::now().into()
    }

    fn elapsed(&self) -> Duration {
        self.began.elapsed()
    }

    #[expect(clippy::disallowed_methods, reason = "the one place that sleeps")]
    fn sleep(&self, duration: Duration) {
        std::thread::sleep(duration);
    }

    fn send(
        &self,
        request: &HttpRequest,
        via: Via,
        timeout: Duration,
    ) -> Result<HttpResponse, NetworkError> {
        let result = self.http.send(request, via, timeout);
        if self.verbosity >= 5 {
            // Never the query or a body: they hold secrets.
            let (method, uri) = (request.method(), request.uri());
            let place = format!("{method} {}{}", uri.host().unwrap_or_default(), uri.path());
            let outcome = match &result {
                Ok(answer) => answer.status().to_string(),
                Err(error) => error.to_string(),
            };
            self.tell(&one_line(&format!("{place}: {outcome}")));
        }
        result
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

    fn verbosity(&self) -> u8 {
        self.verbosity
    }

    fn tell(&self, line: &str) {
        // A closed stderr is no reason to fail: there is nobody left to tell.
        let _ = writeln!(io::stderr(), "{line}");
    }

    fn prompt(&self, text: &str) {
        self.tell(text);
        let _ = io::stderr().flush();
        if !io::stderr().is_terminal() {
            // Graphical and wrapped clients swallow stderr (Azure/kubelogin#641): the person may still have a terminal.
            let _ = controlling_terminal().and_then(|mut terminal| writeln!(terminal, "{text}"));
        }
    }
}

/// The terminal that this process belongs to, whatever its standard streams are.
fn controlling_terminal() -> io::Result<std::fs::File> {
    let path = if cfg!(windows) { "CONOUT$" } else { "/dev/tty" };
    std::fs::OpenOptions::new().write(true).open(path)
}
