//! The person's browser, without a screen: opens an authorize URL, signs in, and carries the answer to the program.

use std::io;
use std::net::TcpStream;

use oauth2::url::Url;

use super::entra::FakeEntra;
use super::http1::{Answer, Connection, Reply, Request};

/// What the person sees at the end.
#[derive(Debug)]
pub struct Page {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub html: String,
}

impl FakeEntra {
    /// Opens the authorize URL that the program showed, signs the person in as the rules say, and goes where Entra sends the browser.
    ///
    /// # Panics
    /// If Entra refuses, or the program's listener does not answer.
    pub fn browse(&self, authorize_url: &str) -> Page {
        let url = Url::parse(authorize_url).expect("an absolute URL");
        let request = Request {
            method: "GET".into(),
            target: url[oauth2::url::Position::BeforePath..].to_owned(),
            path: url.path().to_owned(),
            query: url.query_pairs().into_owned().collect(),
            headers: vec![(
                "Host".into(),
                url[oauth2::url::Position::BeforeHost..oauth2::url::Position::AfterPort].to_owned(),
            )],
            ..Request::default()
        };
        let Reply::Answer(answer) = self.answer(&request) else {
            panic!("no answer to {authorize_url}")
        };
        let page = match answer.header("location") {
            Some(location) => fetch("GET", location, ""),
            None => submit(
                &answer,
                request.parameter("redirect_uri").unwrap_or_default(),
            ),
        };
        page.unwrap_or_else(|error| panic!("the program's listener: {error}"))
    }
}

/// Sends the form of an `authorize` page (`response_mode=form_post`).
fn submit(answer: &Answer, action: &str) -> io::Result<Page> {
    let html = String::from_utf8_lossy(answer.body());
    assert!(html.contains("<form"), "Entra refused: {html}");
    let mut form = oauth2::url::form_urlencoded::Serializer::new(String::new());
    for input in html.split("<input").skip(1) {
        let attribute = |name: &str| {
            input
                .split_once(&format!("{name}=\""))
                .and_then(|(_, rest)| rest.split_once('"'))
        };
        let value = |name| attribute(name).map(|(value, _)| value).unwrap_or_default();
        form.append_pair(value(" name"), value(" value"));
    }
    fetch("POST", action, &form.finish())
}

/// One request to the program's loopback listener.
pub fn fetch(method: &str, url: &str, form: &str) -> io::Result<Page> {
    let url = Url::parse(url).map_err(io::Error::other)?;
    let address = url.socket_addrs(|| None)?;
    let mut connection = Connection::new(TcpStream::connect(&*address)?);
    let (target, port) = (
        &url[oauth2::url::Position::BeforePath..],
        url.port().unwrap_or(80),
    );
    let mut head =
        format!("{method} {target} HTTP/1.1\r\nHost: localhost:{port}\r\nConnection: close\r\n");
    if method == "POST" {
        head += &format!(
            "Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n",
            form.len()
        );
    }
    connection.send(format!("{head}\r\n{form}").as_bytes())?;
    let (status, headers, html) = connection.read_response()?;
    Ok(Page {
        status,
        headers,
        html,
    })
}
