//! Threads that connect to the real listener play the browser; canned responses play Entra.

mod listener;

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
use crate::login::tests::{CLIENT, NOBODY_WAITS, TRUSTED, options};
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

/// The parameters that a browser was sent to Entra with.
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

    /// Sends bytes to the listener and reads its whole response.
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

/// How a login ended.
struct Outcome {
    result: Result<Token, Error>,
    /// What the browser's script returned.
    pages: Vec<String>,
    system: FakeSystem,
}

impl Outcome {
    /// The error's text.
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

/// Signs in with a browser that follows the script, against an Entra that gives these responses.
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
    // If the script fails, there is no answer, and the test ends, too.
    let timeout = Timeout {
        is_given: true,
        ..UNBOUNDED
    };
    let result = login.acquire(&Scope::of_server("srv"), timeout, &system, NOBODY_WAITS);
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
        [format!(
            "To sign in (tenant ten), use the browser that is opening, or open this address yourself:\n{}",
            opened[0]
        )]
    );
}

#[test]
fn a_login_hint_replaces_the_account_picker() {
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
fn an_error_from_entra_ends_the_login_and_is_explained_on_the_page_too() {
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
fn an_answer_without_a_code_ends_the_login() {
    let outcome = sign_in(&[], &[], |visit| {
        vec![visit.post(&[("code", ""), ("state", visit.state())])]
    });
    assert!(outcome.error().contains("without an authorization code"));
    assert_eq!(status(&outcome.pages[0]), "400");
}

#[test]
fn success_is_shown_only_after_the_token_has_arrived() {
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

#[test]
fn an_invalid_redirect_url_is_refused_at_once() {
    let error = interactive(&[(Flag::RedirectUrl, "http://example.com")])
        .expect_err("refused")
        .to_string();
    assert!(
        error.contains("--redirect-url") && error.contains("example.com"),
        "{error}"
    );
}

#[test]
fn a_browser_is_not_waited_for_once_the_client_is_gone() {
    let system = FakeSystem::new([]);
    system.lose_client_at(Duration::ZERO);
    let login = interactive(&[]).expect("a login");
    let timeout = Timeout {
        duration: Duration::from_millis(20),
        is_given: true,
    };
    let error = login.acquire(&Scope::of_server("srv"), timeout, &system, NOBODY_WAITS);
    let error = error.expect_err("nobody is left");
    assert_eq!(*error.kind(), crate::error::ErrorKind::Unanswered);
    assert!(error.to_string().contains("has ended"), "{error}");
}

#[test]
fn a_sign_in_that_nobody_finishes_is_an_error_after_the_given_time() {
    let timeout = Timeout {
        duration: Duration::from_millis(20),
        is_given: true,
    };
    let login = interactive(&[]).expect("a login");
    let error = login
        .acquire(
            &Scope::of_server("srv"),
            timeout,
            &FakeSystem::new([]),
            NOBODY_WAITS,
        )
        .expect_err("nobody came");
    let says = "nobody signed in with the browser within 20 milliseconds";
    assert!(error.to_string().contains(says), "{error}");
    assert!(error.to_string().contains("--timeout"), "{error}");
    assert!(unanswered(UNBOUNDED).to_string().contains("5m"));
}

#[test]
fn the_address_that_a_browser_elsewhere_ended_on_can_be_pasted() {
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
    let token = interactive(&[]).expect("a login").acquire(
        &Scope::of_server("srv"),
        UNBOUNDED,
        &system,
        NOBODY_WAITS,
    );
    assert_eq!(token.expect("a token").access_token, Secret::new("at"));
    assert!(system.forms()[0].contains("code=c0de"));
    assert_eq!(system.told().len(), 2, "{:?}", system.told());
    assert!(system.prompts()[0].ends_with(PASTE));
    assert!(system.opened()[0].contains("response_mode=form_post"));
}

/// A page prepared by an attacker can sign the user in with another account.
#[test]
fn after_a_sign_in_stderr_and_the_page_name_the_account_and_another_than_the_hint_is_an_error() {
    let claims = URL_SAFE_NO_PAD.encode(r#"{"upn":"alice@x.example"}"#);
    let token = format!(r#"{{"access_token":"e30.{claims}.sig","expires_in":3600}}"#);
    for (hint, is_she) in [
        ("", true),
        ("ALICE@x.example", true),
        ("bob@x.example", false),
    ] {
        let outcome = sign_in(&[(Flag::LoginHint, hint)], &[(200, &token)], |visit| {
            vec![visit.succeed()]
        });
        let page = &outcome.pages[0];
        assert!(page.contains("alice@x.example"), "{page}");
        if is_she {
            outcome.result.as_ref().expect("a token");
            assert_eq!(outcome.system.told(), ["signed in as alice@x.example"]);
        } else {
            let error = outcome.error();
            assert!(error.contains("--login-hint is bob@x.example"), "{error}");
            assert!(page.contains("You are not signed in"), "{page}");
        }
    }
}

#[test]
fn the_authorization_endpoint_of_an_unknown_authority_is_used() {
    let discovery = r#"{"issuer":"https://idp.example/ten/v2.0","authorization_endpoint":"https://idp.example/auth?p=1",
        "token_endpoint":"https://idp.example/tok","jwks_uri":"https://idp.example/k","response_types_supported":["code"],
        "subject_types_supported":["pairwise"],"id_token_signing_alg_values_supported":["RS256"]}"#;
    let flags = [(Flag::AuthorityHost, "https://idp.example/"), TRUSTED];
    let outcome = sign_in(&flags, &[(200, discovery), (200, TOKEN)], |visit| {
        vec![visit.succeed()]
    });
    outcome.result.as_ref().expect("a token");
    assert!(outcome.system.opened()[0].starts_with("https://idp.example/auth?p=1&"));
}
