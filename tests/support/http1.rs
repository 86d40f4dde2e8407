//! HTTP/1.1 messages (RFC 9112), as far as the fakes need them.

use std::io::{self, Read, Write};

use oauth2::url::form_urlencoded;
use serde_json::Value;

/// The largest accepted message, so that no client can fill the memory.
const MOST_BYTES: usize = 1 << 20;

/// Names and values, in the order sent.
pub type Pairs = Vec<(String, String)>;

/// A request as received.
#[derive(Clone, Debug, Default)]
pub struct Request {
    pub method: String,
    /// Path and query as sent. For a forward proxy, the whole URL or `host:port`.
    pub target: String,
    pub path: String,
    pub query: Pairs,
    pub headers: Pairs,
    pub body: Vec<u8>,
    /// The fields of the body, if it is a form.
    pub form: Pairs,
}

impl Request {
    /// The `Host` header, whatever address the client connected to.
    pub fn host(&self) -> &str {
        self.header("host").unwrap_or_default()
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        header_of(&self.headers, name)
    }

    /// The first form field with this name.
    pub fn field(&self, name: &str) -> Option<&str> {
        value_of(&self.form, name)
    }

    /// The first query parameter with this name.
    pub fn parameter(&self, name: &str) -> Option<&str> {
        value_of(&self.query, name)
    }

    pub fn is_form(&self) -> bool {
        let media_type = self.header("content-type").unwrap_or_default();
        media_type.split(';').next().is_some_and(|name| {
            name.trim()
                .eq_ignore_ascii_case("application/x-www-form-urlencoded")
        })
    }

    fn wants_close(&self) -> bool {
        self.header("connection")
            .is_some_and(|value| value.eq_ignore_ascii_case("close"))
    }
}

pub fn value_of<'a>(pairs: &'a Pairs, name: &str) -> Option<&'a str> {
    pairs
        .iter()
        .find(|(key, _)| key == name)
        .map(|(_, value)| value.as_str())
}

fn header_of<'a>(headers: &'a Pairs, name: &str) -> Option<&'a str> {
    let header = headers
        .iter()
        .find(|(key, _)| key.eq_ignore_ascii_case(name));
    header.map(|(_, value)| value.as_str())
}

/// How a fake answers a request.
#[derive(Clone, Debug)]
pub enum Reply {
    Answer(Answer),
    /// Send nothing, and keep the connection open until the client gives up.
    Hang,
    /// Close the connection without a response.
    Close,
    /// Send these bytes, then close.
    Raw(Vec<u8>),
}

#[derive(Clone, Debug)]
pub struct Answer {
    status: u16,
    headers: Pairs,
    body: Vec<u8>,
    chunked: bool,
    cut_after: Option<usize>,
}

impl Answer {
    pub fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        header_of(&self.headers, name)
    }

    pub fn body(&self) -> &[u8] {
        &self.body
    }
}

impl Reply {
    pub fn new(status: u16, content_type: &str, body: impl Into<Vec<u8>>) -> Self {
        let headers = vec![("Content-Type".into(), content_type.into())];
        Self::Answer(Answer {
            status,
            headers,
            body: body.into(),
            chunked: false,
            cut_after: None,
        })
    }

    pub fn json(status: u16, body: &Value) -> Self {
        Self::new(status, "application/json; charset=utf-8", body.to_string())
    }

    pub fn html(status: u16, body: &str) -> Self {
        Self::new(status, "text/html; charset=utf-8", body)
    }

    pub fn redirect(status: u16, location: &str) -> Self {
        Self::html(status, "").header("Location", location)
    }

    pub fn header(self, name: &str, value: &str) -> Self {
        self.change(|answer| answer.headers.push((name.into(), value.into())))
    }

    /// Sends the body in 7-byte chunks.
    pub fn chunked(self) -> Self {
        self.change(|answer| answer.chunked = true)
    }

    /// Compresses the body, whether or not the client accepts that.
    pub fn gzip(self) -> Self {
        self.header("Content-Encoding", "gzip").change(|answer| {
            answer.body = gzip(&answer.body);
        })
    }

    /// Announces the whole body, then sends only this many bytes and closes the connection.
    pub fn cut_after(self, bytes: usize) -> Self {
        self.change(|answer| answer.cut_after = Some(bytes))
    }

    fn change(mut self, change: impl FnOnce(&mut Answer)) -> Self {
        match &mut self {
            Self::Answer(answer) => change(answer),
            other => panic!("{other:?} has neither headers nor a body"),
        }
        self
    }
}

pub fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).expect("writing to memory");
    encoder.finish().expect("writing to memory")
}

/// One client's connection.
pub struct Connection<S> {
    stream: S,
    received: Vec<u8>,
}

impl<S: Read + Write> Connection<S> {
    pub fn new(stream: S) -> Self {
        Self {
            stream,
            received: Vec::new(),
        }
    }

    /// The stream after `CONNECT`. Anything the client sent early is lost.
    pub fn into_stream(self) -> S {
        self.stream
    }

    /// The next request, or `None` if the client has closed the connection.
    pub fn read(&mut self) -> io::Result<Option<Request>> {
        let (mut request, head_length) = loop {
            if let Some(parsed) = parse_head(&self.received)? {
                break parsed;
            }
            if self.fill()? == 0 {
                return Ok(None);
            }
        };
        self.received.drain(..head_length);
        request.body = self.read_body(&request)?;
        if request.is_form() {
            request.form = form_urlencoded::parse(&request.body).into_owned().collect();
        }
        Ok(Some(request))
    }

    fn read_body(&mut self, request: &Request) -> io::Result<Vec<u8>> {
        if request.header("transfer-encoding").is_none() {
            let length = request.header("content-length").unwrap_or("0");
            return self.take(length.parse().map_err(|_| malformed("Content-Length"))?);
        }
        let mut body = Vec::new();
        loop {
            let line = self.take_line()?;
            let size = usize::from_str_radix(line.split(';').next().unwrap_or_default().trim(), 16);
            let size = size.map_err(|_| malformed("chunk size"))?;
            body.extend(self.take(size)?);
            self.take_line()?;
            if size == 0 {
                return Ok(body);
            }
        }
    }

    fn take_line(&mut self) -> io::Result<String> {
        loop {
            if let Some(end) = self.received.windows(2).position(|pair| pair == b"\r\n") {
                let line = self.take(end + 2)?;
                return String::from_utf8(line[..end].to_vec()).map_err(|_| malformed("line"));
            }
            self.fill_some()?;
        }
    }

    fn take(&mut self, length: usize) -> io::Result<Vec<u8>> {
        if length > MOST_BYTES {
            return Err(malformed("length"));
        }
        while self.received.len() < length {
            self.fill_some()?;
        }
        Ok(self.received.drain(..length).collect())
    }

    fn fill_some(&mut self) -> io::Result<()> {
        if self.fill()? == 0 {
            Err(io::ErrorKind::UnexpectedEof.into())
        } else {
            Ok(())
        }
    }

    fn fill(&mut self) -> io::Result<usize> {
        if self.received.len() > MOST_BYTES {
            return Err(malformed("length"));
        }
        let mut buffer = [0; 4096];
        let count = self.stream.read(&mut buffer)?;
        self.received.extend(&buffer[..count]);
        Ok(count)
    }

    /// Sends a reply. True if the connection stays open.
    pub fn write(&mut self, request: &Request, reply: &Reply) -> io::Result<bool> {
        match reply {
            Reply::Answer(answer) => self.write_answer(request, answer),
            Reply::Raw(bytes) => self.send(bytes).map(|()| false),
            Reply::Close => Ok(false),
            Reply::Hang => {
                while self.fill()? > 0 {}
                Ok(false)
            }
        }
    }

    fn write_answer(&mut self, request: &Request, answer: &Answer) -> io::Result<bool> {
        let closes = request.wants_close() || answer.cut_after.is_some();
        let mut head = format!("HTTP/1.1 {} Fake\r\n", answer.status);
        for (name, value) in &answer.headers {
            head += &format!("{name}: {value}\r\n");
        }
        if answer.header("date").is_none() {
            let now = chrono::Utc::now().format("%a, %d %b %Y %H:%M:%S GMT");
            head += &format!("Date: {now}\r\n");
        }
        head += &match answer.chunked {
            true => "Transfer-Encoding: chunked\r\n".to_owned(),
            false => format!("Content-Length: {}\r\n", answer.body.len()),
        };
        head += if closes {
            "Connection: close\r\n\r\n"
        } else {
            "\r\n"
        };
        let mut body = if answer.chunked {
            in_chunks(&answer.body)
        } else {
            answer.body.clone()
        };
        body.truncate(answer.cut_after.unwrap_or(usize::MAX));
        self.send(&[head.as_bytes(), &body].concat())?;
        Ok(!closes)
    }

    /// Reads a response, as a client does, until the connection closes.
    pub fn read_response(&mut self) -> io::Result<(u16, Pairs, String)> {
        while self.fill()? > 0 {}
        let mut headers = [httparse::EMPTY_HEADER; 64];
        let mut head = httparse::Response::new(&mut headers);
        let parsed = head.parse(&self.received);
        let Ok(httparse::Status::Complete(length)) = parsed else {
            return Err(malformed("response"));
        };
        let headers = owned(head.headers);
        let status = head.code.unwrap_or_default();
        let body = String::from_utf8_lossy(&self.received[length..]).into_owned();
        Ok((status, headers, body))
    }

    pub fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes)?;
        self.stream.flush()
    }
}

fn parse_head(received: &[u8]) -> io::Result<Option<(Request, usize)>> {
    let mut headers = [httparse::EMPTY_HEADER; 64];
    let mut head = httparse::Request::new(&mut headers);
    let status = head
        .parse(received)
        .map_err(|error| malformed(&error.to_string()))?;
    let httparse::Status::Complete(length) = status else {
        return Ok(None);
    };
    let target = head.path.unwrap_or_default();
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let request = Request {
        method: head.method.unwrap_or_default().into(),
        target: target.into(),
        path: path.into(),
        query: form_urlencoded::parse(query.as_bytes())
            .into_owned()
            .collect(),
        headers: owned(head.headers),
        ..Request::default()
    };
    Ok(Some((request, length)))
}

fn owned(headers: &[httparse::Header]) -> Pairs {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    headers
        .iter()
        .map(|header| (header.name.to_owned(), text(header.value)))
        .collect()
}

fn in_chunks(body: &[u8]) -> Vec<u8> {
    let mut chunks = Vec::new();
    for chunk in body.chunks(7) {
        chunks.extend(format!("{:x}\r\n", chunk.len()).bytes());
        chunks.extend(chunk);
        chunks.extend(b"\r\n");
    }
    chunks.extend(b"0\r\n\r\n");
    chunks
}

fn malformed(what: &str) -> io::Error {
    io::Error::new(
        io::ErrorKind::InvalidData,
        format!("malformed request: {what}"),
    )
}
