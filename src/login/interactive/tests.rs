//! The browser is played by threads that connect to the real listener; Entra by canned answers.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, TcpListener, TcpStream};
use std::rc::Rc;
use std::thread::{self, JoinHandle};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use oauth2::url::form_urlencoded;

use super::*;
use crate::login::tests::{CLIENT, options};
use crate::system::fake::FakeSystem;

const TOKEN: &str =
    r#"{"token_type":"Bearer","access_token":"at","expires_in":3600,"refresh_token":"rt"}"#;
const V4: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

fn interactive(flags: &[(Flag, &str)]) -> Result<Interactive, Error> {
    Interactive::new(
        &options("interactive", &[&CLIENT, flags].concat(), &[]),
        &Env::default(),
    )
}

const UNBOUNDED: Timeout = Timeout {
    duration: Duration::from_secs(60),
    is_given: false,
};

/// What a browser was sent to Entra with.
#[derive(Clone)]
struct Visit(BTreeMap<String, String>);

impl Visit {
    fn to(url: &str) -> Self {
        Self(
            Url::parse(url)
                .expect("a URL")
                .query_pairs()
                .into_owned()
                .collect(),
        )
    }

    fn redirect_uri(&self) -> Url {
        Url::parse(&self.0["redirect_uri"]).expect("a URL")
    }

    fn state(&self) -> &str {
        &self.0["state"]
    }

    /// Sends bytes to the listener and reads all that it answers.
    fn send_to(&self, address: IpAddr, request: &str) -> String {
        let mut stream = self.connect(address);
        stream
            .write_all(request.as_bytes())
            .expect("the listener reads");
        let mut answer = String::new();
        stream
            .read_to_string(&mut answer)
            .expect("the listener answers");
        answer
    }

    fn connect(&self, address: IpAddr) -> TcpStream {
        let port = self.redirect_uri().port().expect("a port");
        TcpStream::connect((address, port)).expect("the listener is there")
    }

    fn send(&self, request: &str) -> String {
        self.send_to(V4, request)
    }

    fn get(&self, target: &str) -> String {
        self.send(&format!("GET {target} HTTP/1.1\r\nHost: localhost\r\n\r\n"))
    }

    fn post(&self, pairs: &[(&str, &str)]) -> String {
        self.send(&post(pairs))
    }

    fn succeed(&self) -> String {
        self.post(&[("code", "c0de"), ("state", self.state())])
    }
}

fn form(pairs: &[(&str, &str)]) -> String {
    form_urlencoded::Serializer::new(String::new())
        .extend_pairs(pairs)
        .finish()
}

fn post(pairs: &[(&str, &str)]) -> String {
    let form = form(pairs);
    let head =
        "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-www-form-urlencoded";
    format!("{head}\r\nContent-Length: {}\r\n\r\n{form}", form.len())
}

/// How a login went.
struct Outcome {
    result: Result<Token, Error>,
    /// What the browser's script returned.
    pages: Vec<String>,
    system: FakeSystem,
}

impl Outcome {
    /// The error's text, which is not to show what only Entra and we know.
    fn error(&self) -> String {
        self.result.as_ref().expect_err("no token").to_string()
    }

    fn forms(&self) -> Vec<BTreeMap<String, String>> {
        let parse = |form: String| {
            form_urlencoded::parse(form.as_bytes())
                .into_owned()
                .collect()
        };
        self.system.forms().into_iter().map(parse).collect()
    }
}

/// Signs in, with a browser that does as the script says, against an Entra that gives this answer to the code.
fn sign_in(
    flags: &[(Flag, &str)],
    entra: &[(u16, &str)],
    script: impl Fn(&Visit) -> Vec<String> + Clone + Send + 'static,
) -> Outcome {
    let started: Rc<RefCell<Option<JoinHandle<Vec<String>>>>> = Rc::default();
    let running = Rc::clone(&started);
    let answers = entra
        .iter()
        .map(|(status, body)| FakeSystem::json(*status, *body));
    let system = FakeSystem::new(answers).with_browser(move |url| {
        let (visit, script) = (Visit::to(url), script.clone());
        *running.borrow_mut() = Some(thread::spawn(move || script(&visit)));
    });
    let login = interactive(flags).expect("a login");
    // A script that fails brings no answer: then the test ends too.
    let timeout = Timeout {
        is_given: true,
        ..UNBOUNDED
    };
    let result = login.acquire(&Scope::of_server("srv"), timeout, &system);
    let script = started.take().expect("a browser was opened");
    Outcome {
        result,
        pages: script.join().expect("the script ran"),
        system,
    }
}

fn status(page: &str) -> &str {
    page.get(9..12).unwrap_or(page)
}

#[test]
fn both_requests_are_the_original_s() {
    let outcome = sign_in(&[], &[(200, TOKEN)], |visit| vec![visit.succeed()]);
    let token = outcome.result.as_ref().expect("a token");
    assert_eq!(token.refresh_token, Some(Secret::new("rt")));
    assert_eq!((outcome.pages.len(), status(&outcome.pages[0])), (1, "200"));

    let opened = outcome.system.opened();
    assert!(
        opened[0].starts_with("https://login.microsoftonline.com/ten/oauth2/v2.0/authorize?"),
        "{opened:?}"
    );
    let Visit(mut asked) = Visit::to(&opened[0]);
    let mut form = outcome.forms().remove(0);
    let challenge = asked.remove("code_challenge").expect("a challenge");
    let verifier = form.remove("code_verifier").expect("a verifier");
    let digest = ring::digest::digest(&ring::digest::SHA256, verifier.as_bytes());
    assert_eq!(
        (verifier.len(), challenge),
        (43, URL_SAFE_NO_PAD.encode(digest))
    );
    let redirect_uri = asked.remove("redirect_uri").expect("a redirect URI");
    assert!(
        redirect_uri.starts_with("http://localhost:") && redirect_uri.matches('/').count() == 2,
        "{redirect_uri}"
    );
    assert_eq!(form.remove("redirect_uri"), Some(redirect_uri));
    assert!(asked.remove("state").is_some_and(|state| state.len() >= 22));

    let text = |pairs: &BTreeMap<String, String>| {
        pairs
            .iter()
            .map(|(k, v)| format!("{k}={v}"))
            .collect::<Vec<_>>()
            .join("&")
    };
    assert_eq!(
        text(&asked),
        "client_id=app&code_challenge_method=S256&prompt=select_account&response_mode=form_post&response_type=code\
         &scope=srv/.default openid offline_access profile"
    );
    assert_eq!(
        text(&form),
        "client_id=app&code=c0de&grant_type=authorization_code&scope=srv/.default openid offline_access profile"
    );
    assert_eq!(
        outcome.system.prompts(),
        [format!("{SIGN_IN}\n{}", opened[0])]
    );
}

#[test]
fn a_login_hint_takes_the_place_of_the_account_picker() {
    let outcome = sign_in(
        &[(Flag::LoginHint, "a+b@c.example")],
        &[(200, TOKEN)],
        |visit| vec![visit.succeed()],
    );
    let Visit(asked) = Visit::to(&outcome.system.opened()[0]);
    assert_eq!(
        asked.get("login_hint").map(String::as_str),
        Some("a+b@c.example")
    );
    assert_eq!(asked.get("prompt"), None);
}

#[test]
fn the_redirect_url_s_host_and_path_are_in_both_requests() {
    let flags = [(Flag::RedirectUrl, "http://127.0.0.1/back/here")];
    let outcome = sign_in(&flags, &[(200, TOKEN)], |visit| vec![visit.succeed()]);
    let Visit(asked) = Visit::to(&outcome.system.opened()[0]);
    assert!(
        asked["redirect_uri"].starts_with("http://127.0.0.1:")
            && asked["redirect_uri"].ends_with("/back/here")
    );
    assert_eq!(outcome.forms()[0]["redirect_uri"], asked["redirect_uri"]);
}

#[test]
fn the_answer_may_come_by_get_on_any_path() {
    let get =
        |visit: &Visit| vec![visit.get(&format!("/some/where?state={}&code=c0de", visit.state()))];
    let outcome = sign_in(&[], &[(200, TOKEN)], get);
    assert_eq!(
        (outcome.result.is_ok(), status(&outcome.pages[0])),
        (true, "200")
    );
}

/// Browsers try either address for `localhost`.
#[test]
fn every_loopback_address_of_this_machine_is_listened_at() {
    for address in [V4, IpAddr::V6(Ipv6Addr::LOCALHOST)] {
        let is_here = TcpListener::bind((address, 0)).is_ok();
        let outcome = sign_in(&[], &[(200, TOKEN)], move |visit| {
            let request = post(&[("code", "c0de"), ("state", visit.state())]);
            vec![visit.send_to(if is_here { address } else { V4 }, &request)]
        });
        assert_eq!(
            (outcome.result.is_ok(), status(&outcome.pages[0])),
            (true, "200"),
            "{address}"
        );
    }
}

/// Azure/kubelogin loses the login to each of these.
#[test]
fn probes_get_a_harmless_answer_and_the_login_goes_on() {
    let outcome = sign_in(&[], &[(200, TOKEN)], |visit| {
        let answer = format!("/?code=ahead&state={}", visit.state());
        vec![
            visit.get("/favicon.ico"),
            visit.get("/"),
            visit.post(&[]),
            visit.send(&format!("HEAD {answer} HTTP/1.1\r\n\r\n")),
            visit
                .send("OPTIONS / HTTP/1.1\r\nAccess-Control-Request-Private-Network: true\r\n\r\n"),
            visit.send(&format!(
                "GET {answer} HTTP/1.1\r\nSec-Purpose: prefetch;prerender\r\n\r\n"
            )),
            visit.send("hello?\r\n\r\n"),
            visit.send("POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"),
            visit.send("POST / HTTP/1.1\r\nContent-Length: 99999999999\r\n\r\n"),
            visit.send("POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n"),
            visit.succeed(),
        ]
    });
    let statuses: Vec<_> = outcome.pages.iter().map(|page| status(page)).collect();
    assert_eq!(
        statuses,
        [
            "404", "404", "404", "405", "405", "503", "400", "411", "413", "400", "200"
        ]
    );
    assert_eq!(outcome.forms()[0]["code"], "c0de");
}

#[test]
fn connections_that_say_nothing_or_half_of_it_hold_up_nobody() {
    let outcome = sign_in(&[], &[(200, TOKEN)], |visit| {
        let silent = [visit.connect(V4), visit.connect(V4)];
        let mut half = visit.connect(V4);
        half.write_all(b"POST / HTTP/1.1\r\nContent-Length: 100\r\n\r\ncode=")
            .expect("written");
        let page = visit.succeed();
        drop((silent, half));
        vec![page]
    });
    assert_eq!(
        (outcome.result.is_ok(), status(&outcome.pages[0])),
        (true, "200")
    );
}

#[test]
fn more_connections_than_are_served_lock_nobody_out() {
    let outcome = sign_in(&[], &[(200, TOKEN)], |visit| {
        let silent: Vec<_> = (0..200).map(|_| visit.connect(V4)).collect();
        let page = visit.succeed();
        drop(silent);
        vec![page]
    });
    assert_eq!(
        (outcome.result.is_ok(), status(&outcome.pages[0])),
        (true, "200")
    );
}

#[test]
fn another_state_or_none_is_turned_away_before_anything_else_counts() {
    let outcome = sign_in(&[], &[(200, TOKEN)], |visit| {
        vec![
            visit.post(&[("code", "stolen"), ("state", "wrong")]),
            visit.post(&[("code", "stolen")]),
            visit.post(&[("error", "access_denied"), ("state", "")]),
            visit.get(&format!(
                "/?code=stolen&state=wrong&state={}",
                visit.state()
            )),
            visit.get(&format!("/?error=access_denied&state={}x", visit.state())),
            visit.succeed(),
        ]
    });
    let (succeeded, turned_away) = outcome.pages.split_last().expect("pages");
    assert_eq!(status(succeeded), "200");
    let Visit(asked) = Visit::to(&outcome.system.opened()[0]);
    for page in turned_away {
        assert_eq!(status(page), "400");
        assert!(
            page.contains("another sign-in") && !page.contains(&asked["state"]),
            "{page}"
        );
    }
    assert_eq!(outcome.forms()[0]["code"], "c0de");
}

#[test]
fn an_error_of_entra_ends_it_with_its_code_explained_and_the_page_says_the_same() {
    let description =
        "AADSTS65004: The <b>user</b> & co declined. Trace ID: t Correlation ID: c-1 Timestamp: x";
    let outcome = sign_in(&[], &[], move |visit| {
        vec![visit.post(&[
            ("error", "access_denied"),
            ("error_description", description),
            ("state", visit.state()),
        ])]
    });
    let error = outcome.error();
    assert!(
        error.starts_with("AADSTS65004: The <b>user</b> & co declined.\nConsent was declined"),
        "{error}"
    );
    assert!(
        error.contains("c-1") && error.contains("code=65004"),
        "{error}"
    );
    let page = &outcome.pages[0];
    assert!(
        page.contains("The &lt;b&gt;user&lt;/b&gt; &amp; co declined."),
        "{page}"
    );
    assert!(
        page.contains("Consent was declined") && page.contains("c-1"),
        "{page}"
    );
    assert_eq!(outcome.system.requests().len(), 0);
}

#[test]
fn an_answer_without_a_code_ends_it() {
    let outcome = sign_in(&[], &[], |visit| {
        vec![visit.post(&[("code", ""), ("state", visit.state())])]
    });
    assert!(outcome.error().contains("without an authorization code"));
    assert_eq!(status(&outcome.pages[0]), "400");
}

#[test]
fn the_page_of_success_is_shown_only_after_the_token_came() {
    let refusal =
        r#"{"error":"invalid_grant","error_description":"AADSTS54005: Redeemed already. More."}"#;
    let outcome = sign_in(&[], &[(400, refusal)], |visit| vec![visit.succeed()]);
    assert!(
        outcome
            .error()
            .starts_with("AADSTS54005: Redeemed already.")
    );
    let page = &outcome.pages[0];
    assert!(
        status(page) == "400" && page.contains("AADSTS54005") && !page.contains("c0de"),
        "{page}"
    );
}

/// Answers as the listener hands them over, each with the browser's end of its connection.
fn brought(requests: &[&str]) -> (Receiver<Answer>, Vec<TcpStream>) {
    let (deliver, answers) = mpsc::channel();
    let socket = Listener::bind(&RedirectUrl::default()).expect("a port");
    let port = socket.port();
    socket.serve(&deliver).expect("served");
    let mut browsers = Vec::new();
    let (forward, in_order) = mpsc::channel();
    for request in requests {
        let mut browser = TcpStream::connect((V4, port)).expect("connected");
        browser.write_all(request.as_bytes()).expect("written");
        browsers.push(browser);
        forward
            .send(answers.recv().expect("handed over"))
            .expect("kept");
    }
    (in_order, browsers)
}

#[test]
fn of_two_answers_the_first_counts_and_both_browsers_see_the_end() {
    let answer = |code, state| post(&[("code", code), ("state", state)]);
    let requests = [
        answer("1st", "ours"),
        answer("2nd", "ours"),
        answer("3rd", "theirs"),
    ];
    let (answers, browsers) = brought(&requests.each_ref().map(String::as_str));
    let state = CsrfToken::new("ours".into());
    let system = FakeSystem::new([]);
    let end = Deadline::after(&system, PATIENCE);
    let first = first_of_ours(&answers, &state, end, &system).expect("an answer");
    assert_eq!(code(&first), Ok(Secret::new("1st")));
    let token = Token {
        access_token: Secret::new("at"),
        expires_on: FakeSystem::EPOCH,
        refresh_token: None,
    };
    show_result(&Ok(token), first, &answers, &state);
    let pages = browsers.into_iter().map(|mut browser| {
        let mut page = String::new();
        browser.read_to_string(&mut page).expect("a page");
        page
    });
    let statuses: Vec<_> = pages.map(|page| status(&page).to_owned()).collect();
    assert_eq!(statuses, ["200", "200", "400"]);
}

#[test]
fn a_busy_port_is_named_with_the_flag() {
    let mut busy = vec![TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port")];
    busy.extend(TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).ok());
    for socket in &busy {
        let port = socket.local_addr().expect("an address").port();
        let login = interactive(&[(Flag::RedirectUrl, &format!("http://localhost:{port}"))])
            .expect("a login");
        let system = FakeSystem::new([]);
        let error = login
            .acquire(&Scope::of_server("srv"), UNBOUNDED, &system)
            .expect_err("busy")
            .to_string();
        assert!(
            error.contains(&format!("port {port} of --redirect-url"))
                && error.contains("another program"),
            "{error}"
        );
        assert_eq!(
            system.opened(),
            [""; 0],
            "no browser is opened for an address that nobody listens at"
        );
    }
}

#[test]
fn a_wrong_redirect_url_is_refused_before_anything_is_done() {
    let error = interactive(&[(Flag::RedirectUrl, "http://example.com")])
        .expect_err("refused")
        .to_string();
    assert!(
        error.contains("--redirect-url") && error.contains("example.com"),
        "{error}"
    );
}

#[test]
fn nobody_coming_is_an_error_after_the_given_time() {
    let timeout = Timeout {
        duration: Duration::from_millis(20),
        is_given: true,
    };
    let login = interactive(&[]).expect("a login");
    let error = login
        .acquire(&Scope::of_server("srv"), timeout, &FakeSystem::new([]))
        .expect_err("nobody came");
    let says = "nobody signed in with the browser within 20ms";
    assert!(error.to_string().contains(says), "{error}");
    assert!(error.to_string().contains("--timeout"), "{error}");
    assert!(unanswered(PATIENCE, UNBOUNDED).to_string().contains("300s"));
}

#[test]
fn the_address_a_browser_elsewhere_ended_at_can_be_pasted() {
    let typist = |prompt: &str| {
        let url = prompt
            .lines()
            .find(|line| line.starts_with("https://"))
            .expect("an address");
        let visit = Visit::to(url);
        assert_eq!(
            visit.0["response_mode"], "query",
            "a form would not show in the address"
        );
        vec![
            String::new(),
            "what?".into(),
            format!("{}/?code=x&state=wrong", visit.0["redirect_uri"]),
            format!(
                " {}/?code=c0de&state={}&session_state=s# ",
                visit.0["redirect_uri"],
                visit.state()
            ),
        ]
    };
    let system = FakeSystem::new([FakeSystem::json(200, TOKEN)]).with_typist(typist);
    let token =
        interactive(&[])
            .expect("a login")
            .acquire(&Scope::of_server("srv"), UNBOUNDED, &system);
    assert_eq!(token.expect("a token").access_token, Secret::new("at"));
    assert!(system.forms()[0].contains("code=c0de"));
    assert_eq!(system.told().len(), 2, "{:?}", system.told());
    assert!(system.prompts()[0].ends_with(PASTE));
    assert!(system.opened()[0].contains("response_mode=form_post"));
}

#[test]
fn an_unknown_authority_s_own_authorization_endpoint_is_used() {
    let discovery = r#"{"issuer":"https://idp.example/ten/v2.0","authorization_endpoint":"https://idp.example/auth?p=1",
        "token_endpoint":"https://idp.example/tok","jwks_uri":"https://idp.example/k","response_types_supported":["code"],
        "subject_types_supported":["pairwise"],"id_token_signing_alg_values_supported":["RS256"]}"#;
    let flags = [(Flag::AuthorityHost, "https://idp.example/")];
    let outcome = sign_in(&flags, &[(200, discovery), (200, TOKEN)], |visit| {
        vec![visit.succeed()]
    });
    outcome.result.as_ref().expect("a token");
    assert!(outcome.system.opened()[0].starts_with("https://idp.example/auth?p=1&"));
}
