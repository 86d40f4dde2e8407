//! A SOCKS5 proxy (RFC 1928, RFC 1929) that connects every client to the fake Entra.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

use super::entra::FakeEntra;
use super::server::lock;

const VERSION: u8 = 5;
const NO_LOGIN: u8 = 0;
const PASSWORD: u8 = 2;
const IPV4: u8 = 1;
const NAME: u8 = 3;

pub struct FakeSocks {
    address: SocketAddr,
    targets: Arc<Mutex<Vec<String>>>,
}

impl FakeSocks {
    /// Requires this user name and password, if given.
    pub fn start(entra: &FakeEntra, login: Option<(&'static str, &'static str)>) -> Self {
        let listener =
            TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("no free port on loopback");
        let address = listener.local_addr().expect("an address");
        let targets = Arc::new(Mutex::new(Vec::new()));
        let (entra, recorded) = (entra.address(), Arc::clone(&targets));
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let recorded = Arc::clone(&recorded);
                thread::spawn(move || serve(client, entra, login, &recorded));
            }
        });
        Self { address, targets }
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The destinations that clients asked for, with names not resolved.
    pub fn targets(&self) -> Vec<String> {
        lock(&self.targets).clone()
    }
}

fn serve(
    mut client: TcpStream,
    entra: SocketAddr,
    login: Option<(&str, &str)>,
    targets: &Mutex<Vec<String>>,
) -> io::Result<()> {
    let [_, methods] = bytes(&mut client)?;
    let methods = text(&mut client, methods)?;
    let method = if login.is_some() { PASSWORD } else { NO_LOGIN };
    if !methods.contains(&method) {
        return client.write_all(&[VERSION, 0xff]);
    }
    client.write_all(&[VERSION, method])?;
    if let Some((user, password)) = login {
        let [_, length] = bytes(&mut client)?;
        let given_user = text(&mut client, length)?;
        let [length] = bytes(&mut client)?;
        let given = (given_user, text(&mut client, length)?);
        let is_right = given == (user.into(), password.into());
        client.write_all(&[1, u8::from(!is_right)])?;
        if !is_right {
            return Ok(());
        }
    }
    let [_, _, _, kind] = bytes(&mut client)?;
    let host = match kind {
        IPV4 => Ipv4Addr::from(bytes::<4>(&mut client)?).to_string(),
        NAME => {
            let [length] = bytes(&mut client)?;
            String::from_utf8_lossy(&text(&mut client, length)?).into_owned()
        }
        other => panic!("address type {other}"),
    };
    let port = u16::from_be_bytes(bytes(&mut client)?);
    lock(targets).push(format!("{host}:{port}"));
    client.write_all(&[VERSION, 0, 0, IPV4, 0, 0, 0, 0, 0, 0])?;
    let server = TcpStream::connect(entra)?;
    let (up, down) = (client.try_clone()?, server.try_clone()?);
    thread::spawn(move || carry(up, server));
    carry(down, client);
    Ok(())
}

fn carry(mut from: TcpStream, mut to: TcpStream) {
    let _ = io::copy(&mut from, &mut to);
    let _ = to.shutdown(Shutdown::Both);
}

fn bytes<const COUNT: usize>(client: &mut TcpStream) -> io::Result<[u8; COUNT]> {
    let mut bytes = [0; COUNT];
    client.read_exact(&mut bytes)?;
    Ok(bytes)
}

fn text(client: &mut TcpStream, length: u8) -> io::Result<Vec<u8>> {
    let mut text = vec![0; length.into()];
    client.read_exact(&mut text)?;
    Ok(text)
}
