//! Listens on loopback with TLS, in plain text or as a forward proxy, and passes every request to a fake.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

use rustls::{ServerConfig, ServerConnection, StreamOwned};

use super::http1::{Connection, Reply, Request};
use super::tls;

/// Answers requests.
pub type Answerer = dyn Fn(&Request) -> Reply + Send + Sync;

/// The protocol of a listener.
pub enum Door {
    Plain,
    Tls(Arc<ServerConfig>),
    /// A plain-text forward proxy (RFC 9110, section 9.3.6). `connect` answers each `CONNECT`; after a 200, the connection
    /// serves the named host with TLS.
    Proxy {
        connect: Arc<Answerer>,
        tls: Arc<ServerConfig>,
    },
}

/// A listener and its connections, closed on drop.
pub struct Server {
    address: SocketAddr,
    shared: Arc<Shared>,
}

struct Shared {
    door: Door,
    answerer: Arc<Answerer>,
    stopped: AtomicBool,
    accepted: AtomicUsize,
    connections: Mutex<Vec<TcpStream>>,
}

impl Server {
    pub fn start(door: Door, answerer: Arc<Answerer>) -> Self {
        let listener =
            TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("no free port on loopback");
        let address = listener.local_addr().expect("the listener has no address");
        let (stopped, accepted) = (AtomicBool::new(false), AtomicUsize::new(0));
        let shared = Arc::new(Shared {
            door,
            answerer,
            stopped,
            accepted,
            connections: Mutex::default(),
        });
        let accepting = Arc::clone(&shared);
        thread::spawn(move || accepting.accept(&listener));
        Self { address, shared }
    }

    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// Connections so far, including aborted TLS handshakes.
    pub fn accepted(&self) -> usize {
        self.shared.accepted.load(Ordering::SeqCst)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.shared.stopped.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(self.address); // wakes the listener
        for connection in lock(&self.shared.connections).drain(..) {
            let _ = connection.shutdown(Shutdown::Both);
        }
    }
}

impl Shared {
    fn accept(self: &Arc<Self>, listener: &TcpListener) {
        for stream in listener.incoming().flatten() {
            if self.stopped.load(Ordering::SeqCst) {
                return;
            }
            self.accepted.fetch_add(1, Ordering::SeqCst);
            lock(&self.connections).extend(stream.try_clone());
            let shared = Arc::clone(self);
            thread::spawn(move || shared.serve(stream));
        }
    }

    fn serve(&self, stream: TcpStream) {
        let _ = stream.set_nodelay(true);
        let Ok(socket) = stream.try_clone() else {
            return;
        };
        match &self.door {
            Door::Plain => self.converse(stream),
            Door::Tls(config) => self.serve_tls(stream, config),
            Door::Proxy { connect, tls } => self.serve_proxy(stream, connect, tls),
        }
        let _ = socket.shutdown(Shutdown::Both); // dropping is not enough: `connections` has a handle, too
    }

    fn serve_tls(&self, stream: TcpStream, config: &Arc<ServerConfig>) {
        let session =
            ServerConnection::new(Arc::clone(config)).expect("the TLS configuration is incomplete");
        self.converse(StreamOwned::new(session, stream));
    }

    fn serve_proxy(&self, stream: TcpStream, connect: &Arc<Answerer>, config: &Arc<ServerConfig>) {
        let mut connection = Connection::new(stream);
        let Ok(Some(request)) = connection.read() else {
            return;
        };
        let reply = connect(&request);
        let tunnels = request.method == "CONNECT"
            && matches!(&reply, Reply::Answer(answer) if answer.is_success());
        if !tunnels {
            let _ = connection.write(&request, &reply);
        } else if connection
            .send(b"HTTP/1.1 200 Connection established\r\n\r\n")
            .is_ok()
        {
            self.serve_tls(connection.into_stream(), config);
        }
    }

    /// Answers requests until one side closes. A client that violates TLS or HTTP is disconnected, which fails its test.
    fn converse(&self, stream: impl Read + Write) {
        let mut connection = Connection::new(stream);
        while let Ok(Some(request)) = connection.read() {
            let reply = (self.answerer)(&request);
            if !connection.write(&request, &reply).unwrap_or(false) {
                break;
            }
        }
    }
}

/// A plain HTTP server for everything else: managed identity endpoints, CI systems' OIDC endpoints.
pub struct FakeHttp {
    server: Server,
    requests: Arc<Mutex<Vec<Request>>>,
}

impl FakeHttp {
    pub fn start(answer: impl Fn(&Request) -> Reply + Send + Sync + 'static) -> Self {
        Self::start_at(Door::Plain, answer)
    }

    /// With TLS and a certificate for any name that a client asks for.
    pub fn start_named(
        names: &Arc<tls::AnyName>,
        answer: impl Fn(&Request) -> Reply + Send + Sync + 'static,
    ) -> Self {
        Self::start_at(Door::Tls(names.server_config()), answer)
    }

    /// With TLS and a self-signed certificate; also returns the certificate's SHA-1 digest in hexadecimal.
    pub fn start_self_signed(
        answer: impl Fn(&Request) -> Reply + Send + Sync + 'static,
    ) -> (Self, String) {
        let (config, thumbprint) = tls::self_signed();
        (Self::start_at(Door::Tls(config), answer), thumbprint)
    }

    fn start_at(door: Door, answer: impl Fn(&Request) -> Reply + Send + Sync + 'static) -> Self {
        let requests = Arc::new(Mutex::new(Vec::new()));
        let record = Arc::clone(&requests);
        let answerer = Arc::new(move |request: &Request| {
            lock(&record).push(request.clone());
            answer(request)
        });
        Self {
            server: Server::start(door, answerer),
            requests,
        }
    }

    /// Its URL, without a trailing slash.
    pub fn url(&self) -> String {
        let scheme = match self.server.shared.door {
            Door::Tls(_) => "https",
            _ => "http",
        };
        format!("{scheme}://127.0.0.1:{}", self.server.port())
    }

    pub fn requests(&self) -> Vec<Request> {
        lock(&self.requests).clone()
    }
}

/// Fails a test whose requests `who` would have rejected, unless it is failing already.
pub fn report(who: &str, violations: &[String]) {
    if !violations.is_empty() && !std::thread::panicking() {
        let list = violations.join("\n  ");
        panic!("{who} would have rejected this:\n  {list}");
    }
}

/// Locks even a poisoned mutex, so that the panic in an answerer is the one that shows.
pub fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
