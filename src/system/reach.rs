//! Whether a host can be reached, step by step: its name resolved, a connection opened.

use std::io;
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use super::NetworkErrorKind;

/// The addresses of a host. The operating system has no time limit for this, so its answer is abandoned after
/// `timeout`.
pub fn resolve(
    host: &str,
    port: u16,
    timeout: Duration,
) -> Result<Vec<SocketAddr>, NetworkErrorKind> {
    let (sender, receiver) = mpsc::sync_channel(1);
    let target = (host.trim_matches(['[', ']']).to_owned(), port);
    let look_up = move || {
        let found = (target.0.as_str(), target.1).to_socket_addrs();
        let _ = sender.send(found.map(Iterator::collect));
    };
    let unreachable = |error: io::Error| NetworkErrorKind::Unreachable(error.to_string());
    thread::Builder::new().spawn(look_up).map_err(unreachable)?;
    match receiver.recv_timeout(timeout) {
        Ok(found) => found.map_err(unreachable),
        Err(_) => Err(NetworkErrorKind::TimedOut),
    }
}

/// Opens a TCP connection to the first of these addresses that accepts one, and closes it.
pub fn connect(addresses: &[SocketAddr], timeout: Duration) -> Result<(), NetworkErrorKind> {
    let mut last = NetworkErrorKind::Unreachable("the name has no address".into());
    let count = u32::try_from(addresses.len()).unwrap_or(u32::MAX).max(1);
    for address in addresses {
        match TcpStream::connect_timeout(address, timeout / count) {
            Ok(_) => return Ok(()),
            Err(error) if error.kind() == io::ErrorKind::TimedOut => {
                last = NetworkErrorKind::TimedOut;
            }
            Err(error) => last = NetworkErrorKind::Unreachable(error.to_string()),
        }
    }
    Err(last)
}
