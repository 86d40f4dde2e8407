//! The system as `doctor` uses it: it can read everything, but prompts nobody and prints no messages in between.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Mutex;
use std::time::Duration;

use chrono::{DateTime, Utc};

use crate::system::{
    ClusterWay, HttpRequest, HttpResponse, LineReceiver, NetworkError, Output, Page, Program,
    ProgramError, System, Terminal, Uptime, Via,
};

pub struct Quiet<'a> {
    world: &'a (dyn System + Sync),
    said: Mutex<Vec<String>>,
}

impl<'a> Quiet<'a> {
    pub fn new(world: &'a (dyn System + Sync)) -> Self {
        Self {
            world,
            said: Mutex::default(),
        }
    }

    /// What would have been printed on stderr.
    pub fn said(&self) -> Vec<String> {
        self.said
            .lock()
            .map(|said| said.clone())
            .unwrap_or_default()
    }

    fn note(&self, line: &str) {
        if let Ok(mut said) = self.said.lock() {
            said.push(line.to_owned());
        }
    }
}

impl System for Quiet<'_> {
    fn now(&self) -> DateTime<Utc> {
        self.world.now()
    }

    fn uptime(&self) -> Option<Uptime> {
        self.world.uptime()
    }

    fn elapsed(&self) -> Duration {
        self.world.elapsed()
    }

    fn sleep(&self, duration: Duration) {
        self.world.sleep(duration);
    }

    fn is_client_gone(&self) -> bool {
        self.world.is_client_gone()
    }

    fn send(
        &self,
        request: &HttpRequest,
        via: Via,
        timeout: Duration,
    ) -> Result<HttpResponse, NetworkError> {
        self.world.send(request, via, timeout)
    }

    fn send_to_cluster(
        &self,
        request: &HttpRequest,
        way: &ClusterWay,
        timeout: Duration,
    ) -> Result<HttpResponse, NetworkError> {
        self.world.send_to_cluster(request, way, timeout)
    }

    fn resolve(
        &self,
        host: &str,
        port: u16,
        timeout: Duration,
    ) -> Result<Vec<SocketAddr>, NetworkError> {
        self.world.resolve(host, port, timeout)
    }

    fn connect(
        &self,
        host: &str,
        addresses: &[SocketAddr],
        timeout: Duration,
    ) -> Result<(), NetworkError> {
        self.world.connect(host, addresses, timeout)
    }

    fn proxy_of(&self, url: &http::Uri) -> Option<String> {
        self.world.proxy_of(url)
    }

    fn page(&self) -> Page {
        self.world.page()
    }

    fn run(&self, program: &Program, timeout: Duration) -> Result<Output, ProgramError> {
        self.world.run(program, timeout)
    }

    fn run_file(
        &self,
        path: &Path,
        args: &[&str],
        timeout: Duration,
    ) -> Result<Output, ProgramError> {
        self.world.run_file(path, args, timeout)
    }

    fn caller(&self) -> Option<String> {
        self.world.caller()
    }

    fn verbosity(&self) -> u8 {
        0
    }

    fn tell(&self, line: &str) {
        self.note(line);
    }

    fn notice(&self, line: &str) {
        self.note(line);
    }

    fn prompt(&self, text: &str) {
        self.note(text);
    }

    fn terminal(&self) -> Option<Terminal> {
        None
    }

    fn has_person(&self) -> bool {
        false
    }

    fn open_browser(&self, _url: &str) {}

    fn receive_typed_lines(&self, _receive: LineReceiver) -> bool {
        false
    }
}
