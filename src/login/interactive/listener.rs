//! Listens on loopback for the answer that the browser delivers, with as little HTTP/1.1 (RFC 9112) as possible.
//!
//! Anyone on this machine, and any web page in the browser, can connect here. So every connection has its own thread
//! and size limit, the oldest makes room for the newest, and none can end the login. Anything that looks like an answer
//! is passed on while the browser waits for its page; everything else gets an immediate response.

use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::net::{IpAddr, Shutdown, TcpListener, TcpStream};
use std::sync::mpsc::{SyncSender, TrySendError};
use std::sync::{Arc, Weak};
use std::thread;
use std::time::Duration;

use oauth2::url::form_urlencoded;

use super::page::Page;
use super::redirect_url::RedirectUrl;
use crate::error::Error;

/// How long a connection may be silent.
const LONGEST_SILENCE: Duration = Duration::from_secs(5);
/// How many connections are served at once on each socket: browsers open a few, some of which they never use.
const MOST_CONNECTIONS: usize = 64;
/// The largest request head, in bytes; it carries the cookies of every other program on localhost.
const LARGEST_HEAD: usize = 64 * 1024;
/// The largest form, in bytes; an authorization code has a few KiB.
const LARGEST_FORM: usize = 64 * 1024;
const MOST_HEADERS: usize = 100;
/// How many free ports are tried if the first is free on only one of the addresses.
const MOST_PORTS: usize = 10;

/// How many answers may wait while an earlier one is redeemed. Further ones are rejected, and the browser tries again.
pub const MOST_ANSWERS: usize = 16;
/// How long to pause after a failure: without a free file descriptor, every accept fails immediately.
const AFTER_A_FAILURE: Duration = Duration::from_millis(100);

/// Sockets on one port, not yet served.
pub struct Listener {
    port: u16,
    sockets: Vec<TcpListener>,
}

impl Listener {
    pub fn bind(redirect_url: &RedirectUrl) -> Result<Self, Error> {
        let wanted = redirect_url.port();
        let mut tries = if wanted.is_some() { 1 } else { MOST_PORTS };
        loop {
            tries -= 1;
            match bind_all(redirect_url.addresses(), wanted.unwrap_or(0)) {
                Ok((port, sockets)) => return Ok(Self { port, sockets }),
                Err(error) if tries == 0 => return Err(cannot_listen(redirect_url, &error)),
                Err(_) => {}
            }
        }
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// Passes on every answer, from threads that run until the process ends.
    pub fn serve(self, answers: &SyncSender<Answer>) -> Result<(), Error> {
        for socket in self.sockets {
            let answers = answers.clone();
            let thread = thread::Builder::new().spawn(move || {
                let pause = || thread::park_timeout(AFTER_A_FAILURE);
                accept(socket.incoming(), pause, &answers);
            });
            thread.map_err(|error| Error::outside(format!("cannot start a thread: {error}")))?;
        }
        Ok(())
    }
}

/// The same port on all addresses. An address that this machine does not have, often the IPv6 one, is left out.
fn bind_all(addresses: &[IpAddr], mut port: u16) -> io::Result<(u16, Vec<TcpListener>)> {
    let mut sockets = Vec::new();
    let mut lacking = None;
    for address in addresses {
        match TcpListener::bind((*address, port)) {
            Ok(socket) => {
                port = socket.local_addr()?.port();
                sockets.push(socket);
            }
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => return Err(error),
            Err(error) => lacking = Some(error),
        }
    }
    match lacking {
        Some(error) if sockets.is_empty() => Err(error),
        _ => Ok((port, sockets)),
    }
}

fn cannot_listen(redirect_url: &RedirectUrl, error: &io::Error) -> Error {
    let place = match redirect_url.port() {
        Some(port) => format!("port {port} of --redirect-url"),
        None => "a free port on localhost".to_owned(),
    };
    let why = match error.kind() {
        io::ErrorKind::AddrInUse => "another program is using it".to_owned(),
        _ => error.to_string(),
    };
    let what = format!("cannot listen on {place} for the browser's response: {why}");
    Error::outside(what).remedy(
        "Set --redirect-url to another port, or to none to use any free one; --login devicecode needs no port.",
    )
}

fn accept(
    incoming: impl Iterator<Item = io::Result<TcpStream>>,
    pause: impl Fn(),
    answers: &SyncSender<Answer>,
) {
    let mut open: VecDeque<Weak<TcpStream>> = VecDeque::new();
    for stream in incoming {
        let Ok(stream) = stream else {
            pause();
            continue;
        };
        open.retain(|connection| connection.strong_count() > 0);
        if open.len() >= MOST_CONNECTIONS
            && let Some(oldest) = open.pop_front().and_then(|connection| connection.upgrade())
        {
            // Its thread notices and ends. A browser finishes immediately; only a client that sends nothing stays this
            // long.
            let _ = oldest.shutdown(Shutdown::Both);
        }
        let stream = Arc::new(stream);
        open.push_back(Arc::downgrade(&stream));
        let answers = answers.clone();
        // If no thread can be started, the connection is dropped and the browser tries again. Errors of a connection
        // concern only its client.
        let _ = thread::Builder::new().spawn(move || serve(&stream, &answers));
    }
}

/// An answer to the authorization request (RFC 6749 section 4.1.2), not yet trusted.
pub struct Answer {
    parameters: Vec<(String, String)>,
    /// The browser that delivered it and waits for a page; `None` if it was typed.
    browser: Option<Arc<TcpStream>>,
}

impl Answer {
    /// From the address that a browser on another machine ended on, or the part after its question mark.
    pub fn typed(line: &str) -> Self {
        let query = line.split_once('?').map_or(line, |(_, query)| query);
        let query = query.split('#').next().unwrap_or_default();
        Self {
            parameters: parse(query.trim().as_bytes()),
            browser: None,
        }
    }

    pub fn is_typed(&self) -> bool {
        self.browser.is_none()
    }

    /// The value of a parameter; `None` if it is missing or empty.
    pub fn get(&self, name: &str) -> Option<&str> {
        let found = self.parameters.iter().find(|(key, _)| key == name);
        found
            .map(|(_, value)| value.as_str())
            .filter(|value| !value.is_empty())
    }

    /// Shows a page to the browser, if it is still waiting.
    pub fn show(&self, page: &Page) {
        if let Some(mut browser) = self.browser.as_deref() {
            let _ = browser.write_all(page.response().as_bytes());
        }
    }
}

fn parse(form: &[u8]) -> Vec<(String, String)> {
    form_urlencoded::parse(form).into_owned().collect()
}

/// A complete request.
struct Request {
    method: String,
    query: String,
    form: Vec<u8>,
    /// The browser is prefetching: the user may never see the page.
    is_prefetch: bool,
}

/// Why a request was not read completely.
enum Unread {
    /// The client is gone, or was silent for too long.
    Gone,
    /// It is not valid HTTP or too large; with the status to respond with.
    Refused(&'static str),
}

impl From<io::Error> for Unread {
    fn from(_: io::Error) -> Self {
        Self::Gone
    }
}

fn serve(connection: &Arc<TcpStream>, answers: &SyncSender<Answer>) -> io::Result<()> {
    let mut stream = &**connection;
    stream.set_read_timeout(Some(LONGEST_SILENCE))?;
    stream.set_write_timeout(Some(LONGEST_SILENCE))?;
    let request = match read(&mut stream) {
        Ok(request) => request,
        Err(Unread::Gone) => return Ok(()),
        Err(Unread::Refused(status)) => return refuse(stream, status),
    };
    if request.is_prefetch {
        return refuse(stream, "503 Service Unavailable");
    }
    let parameters = match request.method.as_str() {
        "GET" => parse(request.query.as_bytes()),
        "POST" => parse(&request.form),
        _ => return refuse(stream, "405 Method Not Allowed\r\nAllow: GET, POST"),
    };
    let answers_something =
        |(name, _): &(String, String)| matches!(name.as_str(), "code" | "error" | "state");
    if !parameters.iter().any(answers_something) {
        return stream.write_all(Page::Waiting.response().as_bytes());
    }
    let answer = Answer {
        parameters,
        browser: Some(Arc::clone(connection)),
    };
    // If nobody is waiting any more, the browser gets no page.
    match answers.try_send(answer) {
        Err(TrySendError::Full(_)) => {
            refuse(connection, "503 Service Unavailable\r\nRetry-After: 1")
        }
        Ok(()) | Err(TrySendError::Disconnected(_)) => Ok(()),
    }
}

fn refuse(mut stream: &TcpStream, status: &str) -> io::Result<()> {
    write!(
        stream,
        "HTTP/1.1 {status}\r\nContent-Length: 0\r\nCache-Control: no-store\r\nConnection: close\r\n\r\n"
    )
}

fn read(stream: &mut impl Read) -> Result<Request, Unread> {
    let mut received = Vec::new();
    loop {
        let mut headers = [httparse::EMPTY_HEADER; MOST_HEADERS];
        let mut head = httparse::Request::new(&mut headers);
        match head.parse(&received) {
            Ok(httparse::Status::Complete(length)) => {
                let (mut request, form_length) = understand(&head)?;
                request.form = received.split_off(length);
                while request.form.len() < form_length {
                    receive(stream, &mut request.form)?;
                }
                request.form.truncate(form_length);
                return Ok(request);
            }
            Ok(httparse::Status::Partial) if received.len() < LARGEST_HEAD => {
                receive(stream, &mut received)?;
            }
            Ok(httparse::Status::Partial) => {
                return Err(Unread::Refused("431 Request Header Fields Too Large"));
            }
            Err(_) => return Err(Unread::Refused("400 Bad Request")),
        }
    }
}

/// The request without its form, and the form's length.
fn understand(head: &httparse::Request) -> Result<(Request, usize), Unread> {
    let header = |name: &str| {
        let found = head
            .headers
            .iter()
            .find(|header| header.name.eq_ignore_ascii_case(name));
        found.map(|header| String::from_utf8_lossy(header.value).into_owned())
    };
    if header("transfer-encoding").is_some() {
        return Err(Unread::Refused("411 Length Required"));
    }
    let length = header("content-length").unwrap_or_else(|| "0".into());
    let length: usize = length
        .trim()
        .parse()
        .map_err(|_| Unread::Refused("400 Bad Request"))?;
    if length > LARGEST_FORM {
        return Err(Unread::Refused("413 Content Too Large"));
    }
    let target = head.path.unwrap_or_default();
    let purpose = header("sec-purpose")
        .or_else(|| header("purpose"))
        .unwrap_or_default();
    let request = Request {
        method: head.method.unwrap_or_default().to_owned(),
        query: target
            .split_once('?')
            .map_or("", |(_, query)| query)
            .to_owned(),
        form: Vec::new(),
        is_prefetch: purpose.contains("prefetch") || purpose.contains("prerender"),
    };
    Ok((request, length))
}

fn receive(stream: &mut impl Read, received: &mut Vec<u8>) -> Result<(), Unread> {
    let mut buffer = [0; 4096];
    match stream.read(&mut buffer)? {
        0 => Err(Unread::Gone),
        count => {
            received.extend_from_slice(&buffer[..count]);
            Ok(())
        }
    }
}

#[cfg(test)]
pub mod tests {
    use std::cell::Cell;
    use std::sync::mpsc;

    use super::*;

    /// Parses input from a browser or the terminal, for the fuzzer.
    pub fn read_redirect(mut bytes: &[u8]) {
        let typed = Answer::typed(&String::from_utf8_lossy(bytes));
        let _ = typed.get("code");
        if let Ok(request) = read(&mut bytes) {
            assert!(request.form.len() <= LARGEST_FORM);
            parse(request.query.as_bytes());
            parse(&request.form);
        }
    }

    #[test]
    fn each_failure_to_accept_is_followed_by_a_pause() {
        let (answers, _answered) = mpsc::sync_channel(1);
        let pauses = Cell::new(0);
        let failures = (0..1000).map(|_| Err(io::Error::other("too many open files")));
        accept(failures, || pauses.set(pauses.get() + 1), &answers);
        assert_eq!(pauses.get(), 1000);
    }

    #[test]
    fn while_a_code_is_redeemed_only_so_many_answers_wait() {
        let socket = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = socket.local_addr().expect("an address");
        let (answers, answered) = mpsc::sync_channel(MOST_ANSWERS);
        let refused = (0..MOST_ANSWERS + 5).filter(|_| {
            let mut browser = TcpStream::connect(address).expect("connected");
            let request = b"GET /?code=c&state=s HTTP/1.1\r\nHost: localhost\r\n\r\n";
            browser.write_all(request).expect("sent");
            let (connection, _) = socket.accept().expect("accepted");
            serve(&Arc::new(connection), &answers).expect("served");
            answered_with_503(&mut browser)
        });
        assert_eq!(refused.count(), 5);
        assert_eq!(answered.try_iter().count(), MOST_ANSWERS);
    }

    fn answered_with_503(browser: &mut TcpStream) -> bool {
        browser.set_nonblocking(true).expect("a socket");
        let mut start = [0; 12];
        browser.read_exact(&mut start).is_ok() && start == *b"HTTP/1.1 503"
    }
}
