//! The user's browser: signs in at the URL that the program showed, and delivers the response.

use std::io;
use std::net::TcpStream;

use oauth2::url::{Position, Url, form_urlencoded};

use super::entra::FakeEntra;
use super::http1::{Connection, Pairs, Reply, Request};
use super::kubelogin::Running;

/// A browser at the authorize URL that the program showed.
pub struct Browser<'e> {
    entra: &'e FakeEntra,
    pub address: Url,
}

/// Where Entra sends the browser back to, with the response in the query or in a form.
pub struct Return {
    pub address: Url,
    pub form: Pairs,
}

/// What the user sees in the end.
#[derive(Debug)]
pub struct Page {
    pub status: u16,
    pub headers: Pairs,
    pub html: String,
}

impl Page {
    pub fn shows(&self, text: &str) -> bool {
        self.html.contains(text)
    }
}

impl<'e> Browser<'e> {
    pub fn open(entra: &'e FakeEntra, address: &str) -> Self {
        let address = address.trim().parse().expect("an absolute URL");
        Self { entra, address }
    }

    /// Waits for the program's prompt and opens the URL in it.
    #[track_caller]
    pub fn at_prompt(entra: &'e FakeEntra, running: &mut Running) -> Self {
        Self::open(entra, &running.shows("/oauth2/v2.0/authorize"))
    }

    /// A query parameter of the URL.
    #[track_caller]
    pub fn parameter(&self, name: &str) -> String {
        let found = self.address.query_pairs().find(|(key, _)| key == name);
        let found = found.unwrap_or_else(|| panic!("no {name} in {}", self.address));
        found.1.into_owned()
    }

    /// Signs the user in as the rules say, and delivers the response to the program.
    #[track_caller]
    pub fn sign_in(&self) -> Page {
        self.carry(&self.ask_entra())
    }

    /// Delivers Entra's response to the program.
    #[track_caller]
    pub fn carry(&self, Return { address, form }: &Return) -> Page {
        match form.is_empty() {
            true => fetch("GET", address, form),
            false => fetch("POST", address, form),
        }
    }

    /// Signs the user in as the rules say, and stops before the redirect.
    #[track_caller]
    pub fn ask_entra(&self) -> Return {
        let address = &self.address;
        let request = Request {
            method: "GET".into(),
            target: address[Position::BeforePath..].to_owned(),
            path: address.path().to_owned(),
            query: address.query_pairs().into_owned().collect(),
            headers: vec![("Host".into(), host_of(address))],
            ..Request::default()
        };
        let Reply::Answer(answer) = self.entra.answer(&request) else {
            panic!("no answer to {address}")
        };
        if let Some(location) = answer.header("location") {
            let address = location.parse().expect("an absolute URL");
            return Return {
                address,
                form: Pairs::new(),
            };
        }
        let html = String::from_utf8_lossy(answer.body());
        assert!(html.contains("<form"), "Entra refused: {html}");
        Return {
            address: self.redirect_uri(),
            form: inputs_of(&html),
        }
    }

    /// Posts a form to the program's listener.
    #[track_caller]
    pub fn post(&self, form: &[(&str, &str)]) -> Page {
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        let form: Pairs = form.iter().map(owned).collect();
        fetch("POST", &self.redirect_uri(), &form)
    }

    /// Sends a GET to the program's listener.
    #[track_caller]
    pub fn get(&self, target: &str) -> Page {
        let url = self.redirect_uri().join(target).expect("a path");
        fetch("GET", &url, &Pairs::new())
    }

    /// Sends raw bytes to the program's listener; they need not be a request.
    #[track_caller]
    pub fn send(&self, bytes: &str) -> Page {
        send(&self.redirect_uri(), bytes)
    }

    fn redirect_uri(&self) -> Url {
        self.parameter("redirect_uri").parse().expect("a URL")
    }
}

/// The hidden inputs of the form on a page.
fn inputs_of(html: &str) -> Pairs {
    let input = |input: &str| {
        let attribute = |name: &str| {
            let (_, rest) = input.split_once(&format!(" {name}=\""))?;
            rest.split_once('"').map(|(value, _)| value.to_owned())
        };
        (
            attribute("name").unwrap_or_default(),
            attribute("value").unwrap_or_default(),
        )
    };
    html.split("<input").skip(1).map(input).collect()
}

fn host_of(url: &Url) -> String {
    url[Position::BeforeHost..Position::AfterPort].to_owned()
}

#[track_caller]
fn fetch(method: &str, url: &Url, form: &Pairs) -> Page {
    let form = form_urlencoded::Serializer::new(String::new())
        .extend_pairs(form)
        .finish();
    let content = match method {
        "POST" => format!(
            "Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n\r\n{form}",
            form.len()
        ),
        _ => "\r\n".to_owned(),
    };
    let (target, host) = (&url[Position::BeforePath..], host_of(url));
    send(
        url,
        &format!("{method} {target} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n{content}"),
    )
}

#[track_caller]
fn send(url: &Url, bytes: &str) -> Page {
    let exchange = || -> io::Result<Page> {
        let addresses = url.socket_addrs(|| None)?;
        let mut connection = Connection::new(TcpStream::connect(&*addresses)?);
        connection.send(bytes.as_bytes())?;
        let (status, headers, html) = connection.read_response()?;
        Ok(Page {
            status,
            headers,
            html,
        })
    };
    exchange().unwrap_or_else(|error| panic!("the program's listener: {error}"))
}
