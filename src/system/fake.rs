//! A fake outside world for unit tests: canned responses in, exact requests out. Sleeping moves its clock and takes no
//! time.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use chrono::{DateTime, Utc};

use super::{
    CLIENT_IS_GONE, ClusterWay, HttpRequest, HttpResponse, LineReceiver, NetworkError,
    NetworkErrorKind, Output, Page, Program, ProgramError, System, Terminal, Uptime, Via,
};
use crate::error::Error;

/// The response to one request.
type Answer = Result<HttpResponse, NetworkError>;

/// Called with each address that is opened.
type Browser = Box<dyn Fn(&str)>;
/// Types lines at a prompt.
type Typist = Box<dyn Fn(&str) -> Vec<String>>;

pub struct FakeSystem {
    answers: RefCell<VecDeque<Answer>>,
    requests: RefCell<Vec<HttpRequest>>,
    ways: RefCell<Vec<Via>>,
    outputs: RefCell<VecDeque<Result<Output, ProgramError>>>,
    programs: RefCell<Vec<Program>>,
    elapsed: Cell<Duration>,
    uptime: RefCell<Option<Uptime>>,
    verbosity: Cell<u8>,
    naps: RefCell<Vec<Duration>>,
    told: RefCell<Vec<String>>,
    prompts: RefCell<Vec<String>>,
    terminal: RefCell<Option<Terminal>>,
    opened: RefCell<Vec<String>>,
    browser: Option<Browser>,
    typist: Option<Typist>,
    sleeper: Option<Box<dyn Fn()>>,
    client_goes_at: Cell<Option<Duration>>,
    keyboard: RefCell<Option<LineReceiver>>,
}

impl FakeSystem {
    /// Its clock starts at 2026-01-01T00:00:00Z.
    pub const EPOCH: DateTime<Utc> = DateTime::from_timestamp(1_767_225_600, 0).unwrap();

    pub fn new(answers: impl IntoIterator<Item = Answer>) -> Self {
        Self {
            answers: RefCell::new(answers.into_iter().collect()),
            requests: RefCell::default(),
            ways: RefCell::default(),
            outputs: RefCell::default(),
            programs: RefCell::default(),
            elapsed: Cell::default(),
            uptime: RefCell::default(),
            verbosity: Cell::default(),
            naps: RefCell::default(),
            told: RefCell::default(),
            prompts: RefCell::default(),
            terminal: RefCell::default(),
            opened: RefCell::default(),
            browser: None,
            typist: None,
            sleeper: None,
            client_goes_at: Cell::default(),
            keyboard: RefCell::default(),
        }
    }

    /// A system where programs return these outputs, one after the other.
    pub fn with_outputs(outputs: impl IntoIterator<Item = Result<Output, ProgramError>>) -> Self {
        let system = Self::new([]);
        system.outputs.borrow_mut().extend(outputs);
        system
    }

    /// The output of a program that succeeded.
    pub fn output(stdout: impl Into<Vec<u8>>) -> Result<Output, ProgramError> {
        Ok(Output {
            exit_code: Some(0),
            stdout: stdout.into(),
            stderr: Vec::new(),
        })
    }

    /// The output of a program that failed.
    pub fn failure(exit_code: Option<i32>, stderr: &str) -> Result<Output, ProgramError> {
        Ok(Output {
            exit_code,
            stdout: Vec::new(),
            stderr: stderr.into(),
        })
    }

    /// Sets the time since the machine started.
    pub fn set_uptime(&self, uptime: Option<Uptime>) {
        self.uptime.replace(uptime);
    }

    /// Sets `-v`.
    pub fn set_verbosity(&self, level: u8) {
        self.verbosity.set(level);
    }

    /// Sets the terminal that shows prompts.
    pub fn set_terminal(&self, id: &str, shows_stderr: bool) {
        let id = id.to_owned();
        self.terminal.replace(Some(Terminal { id, shows_stderr }));
    }

    /// Adds a browser: called with each address that is opened. It must not block.
    #[must_use]
    pub fn with_browser(mut self, browser: impl Fn(&str) + 'static) -> Self {
        self.browser = Some(Box::new(browser));
        self
    }

    /// Adds a user who reads a prompt and types lines.
    #[must_use]
    pub fn with_typist(mut self, typist: impl Fn(&str) -> Vec<String> + 'static) -> Self {
        self.typist = Some(Box::new(typist));
        self
    }

    /// Lets something happen while we sleep.
    #[must_use]
    pub fn with_sleeper(mut self, sleeper: impl Fn() + 'static) -> Self {
        self.sleeper = Some(Box::new(sleeper));
        self
    }

    /// Lets the client end when the fake clock has reached this.
    pub fn lose_client_at(&self, elapsed: Duration) {
        self.client_goes_at.set(Some(elapsed));
    }

    /// The addresses that were opened in a browser.
    pub fn opened(&self) -> Vec<String> {
        self.opened.borrow().clone()
    }

    /// A response with a JSON body.
    pub fn json(status: u16, body: impl Into<String>) -> Answer {
        let answer = http::Response::builder()
            .status(status)
            .header("content-type", "application/json");
        Ok(answer.body(body.into().into_bytes()).expect("an answer"))
    }

    pub fn requests(&self) -> Vec<HttpRequest> {
        self.requests.borrow().clone()
    }

    /// How each request was sent.
    pub fn ways(&self) -> Vec<Via> {
        self.ways.borrow().clone()
    }

    /// The programs run so far.
    pub fn programs(&self) -> Vec<Program> {
        self.programs.borrow().clone()
    }

    /// The form of each request, as it was sent.
    pub fn forms(&self) -> Vec<String> {
        let text =
            |request: &HttpRequest| String::from_utf8(request.body().clone()).expect("a form");
        self.requests.borrow().iter().map(text).collect()
    }

    pub fn naps(&self) -> Vec<Duration> {
        self.naps.borrow().clone()
    }

    pub fn told(&self) -> Vec<String> {
        self.told.borrow().clone()
    }

    pub fn prompts(&self) -> Vec<String> {
        self.prompts.borrow().clone()
    }

    /// How many responses are left.
    pub fn answers_left(&self) -> usize {
        self.answers.borrow().len()
    }
}

impl System for FakeSystem {
    fn now(&self) -> DateTime<Utc> {
        Self::EPOCH + self.elapsed.get()
    }

    fn uptime(&self) -> Option<Uptime> {
        self.uptime.borrow().clone()
    }

    fn elapsed(&self) -> Duration {
        self.elapsed.get()
    }

    fn sleep(&self, duration: Duration) {
        self.naps.borrow_mut().push(duration);
        self.elapsed.set(self.elapsed.get() + duration);
        // The holder of what a loop waits for must get to run: a starting child process holds our locks for a moment.
        std::thread::yield_now();
        if let Some(sleeper) = &self.sleeper {
            sleeper();
        }
    }

    /// In one nap.
    fn wait(&self, duration: Duration) -> Result<(), Error> {
        if !duration.is_zero() {
            self.sleep(duration);
        }
        match self.is_client_gone() {
            true => Err(Error::unanswered(CLIENT_IS_GONE)),
            false => Ok(()),
        }
    }

    fn is_client_gone(&self) -> bool {
        let goes_at = self.client_goes_at.get();
        goes_at.is_some_and(|goes_at| goes_at <= self.elapsed.get())
    }

    fn send(&self, request: &HttpRequest, via: Via, timeout: Duration) -> Answer {
        self.ways.borrow_mut().push(via);
        self.requests.borrow_mut().push(request.clone());
        let answer = self.answers.borrow_mut().pop_front();
        let answer = answer.expect("no response is left for this request");
        let is_timeout = |error: &NetworkError| error.kind == NetworkErrorKind::TimedOut;
        if answer.as_ref().is_err_and(is_timeout) {
            self.elapsed.set(self.elapsed.get() + timeout);
        }
        answer
    }

    fn send_to_cluster(
        &self,
        request: &HttpRequest,
        _way: &ClusterWay,
        timeout: Duration,
    ) -> Answer {
        self.send(request, Via::EnvironmentProxy, timeout)
    }

    /// Every name is this machine's.
    fn resolve(&self, _: &str, port: u16, _: Duration) -> Result<Vec<SocketAddr>, NetworkError> {
        Ok(vec![SocketAddr::from(([127, 0, 0, 1], port))])
    }

    fn connect(&self, _: &str, _: &[SocketAddr], _: Duration) -> Result<(), NetworkError> {
        Ok(())
    }

    fn proxy_of(&self, _: &http::Uri) -> Option<String> {
        None
    }

    fn page(&self) -> Page {
        Page {
            columns: None,
            has_color: false,
        }
    }

    fn run(&self, program: &Program, timeout: Duration) -> Result<Output, ProgramError> {
        self.programs.borrow_mut().push(program.clone());
        let output = self.outputs.borrow_mut().pop_front();
        let output = output.expect("no output is left for this program");
        if output == Err(ProgramError::TimedOut) {
            self.elapsed.set(self.elapsed.get() + timeout);
        }
        output
    }

    fn run_file(&self, _: &Path, _: &[&str], _: Duration) -> Result<Output, ProgramError> {
        let output = self.outputs.borrow_mut().pop_front();
        output.expect("no output is left for this program")
    }

    fn caller(&self) -> Option<String> {
        Some("the caller".into())
    }

    fn verbosity(&self) -> u8 {
        self.verbosity.get()
    }

    fn tell(&self, line: &str) {
        self.told.borrow_mut().push(line.to_owned());
    }

    fn notice(&self, line: &str) {
        self.tell(line);
    }

    fn prompt(&self, text: &str) {
        self.prompts.borrow_mut().push(text.to_owned());
        if let (Some(typist), Some(receive)) = (&self.typist, self.keyboard.borrow_mut().as_mut()) {
            typist(text).into_iter().for_each(receive);
        }
    }

    fn terminal(&self) -> Option<Terminal> {
        self.terminal.borrow().clone()
    }

    fn open_browser(&self, url: &str) {
        self.opened.borrow_mut().push(url.to_owned());
        if let Some(browser) = &self.browser {
            browser(url);
        }
    }

    fn has_person(&self) -> bool {
        self.typist.is_some()
    }

    fn receive_typed_lines(&self, receive: LineReceiver) -> bool {
        *self.keyboard.borrow_mut() = Some(receive);
        self.typist.is_some()
    }
}
