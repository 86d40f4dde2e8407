//! Listens on loopback, with TLS, in plain text or as a forward proxy, and passes every request to a fake.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

use rustls::{ServerConfig, ServerConnection, StreamOwned};

use super::http1::{Connection, Reply, Request};
use super::tls;

/// What answers the requests.
pub type Answerer = dyn Fn(&Request) -> Reply + Send + Sync;

/// How a listener speaks to its clients.
pub enum Door {
    Plain,
    Tls(Arc<ServerConfig>),
    /// A plain-text forward proxy (RFC 9110, section 9.3.6). `connect` decides about each `CONNECT`; after its 200 the
    /// named host is served on the same connection, with TLS.
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
            TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("loopback has a free port");
        let address = listener
            .local_addr()
            .expect("a bound listener has an address");
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

    /// Connections so far, including those whose TLS handshake the client aborted.
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
        let _ = socket.shutdown(Shutdown::Both); // dropping is not enough: `connections` also has a handle
    }

    fn serve_tls(&self, stream: TcpStream, config: &Arc<ServerConfig>) {
        let session =
            ServerConnection::new(Arc::clone(config)).expect("the configuration is complete");
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

    /// Requests and replies until one side closes. A client that violates TLS or HTTP is disconnected, which the test notices.
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

/// A plain HTTP server for everything else: managed identity endpoints, OIDC endpoints of CI systems.
pub struct FakeHttp {
    server: Server,
    requests: Arc<Mutex<Vec<Request>>>,
}

impl FakeHttp {
    pub fn start(answer: impl Fn(&Request) -> Reply + Send + Sync + 'static) -> Self {
        Self::start_at(Door::Plain, answer)
    }

    /// With TLS, and a certificate for whatever name a client asks for.
    pub fn start_named(
        names: &Arc<tls::AnyName>,
        answer: impl Fn(&Request) -> Reply + Send + Sync + 'static,
    ) -> Self {
        Self::start_at(Door::Tls(names.server_config()), answer)
    }

    /// With TLS and a self-signed certificate, whose SHA-1 digest it also returns, in hexadecimal.
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

    /// Its URL, without a slash at the end.
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

/// Fails the test that sent what `who` would not have accepted, unless it fails already.
pub fn report(who: &str, violations: &[String]) {
    if !violations.is_empty() && !std::thread::panicking() {
        let list = violations.join("\n  ");
        panic!("{who} would not have accepted this:\n  {list}");
    }
}

/// A panic in a test's answerer must not be hidden by a poisoned lock.
pub fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
