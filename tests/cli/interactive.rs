//! A sign-in with a browser, which the test plays: it reads where to go, asks the fake Entra, and brings the answer.

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, TcpListener, TcpStream};

use oauth2::url::{Url, form_urlencoded};
use reqwest::blocking::{Client, Response};
use reqwest::redirect::Policy;
use serde_json::json;

use crate::support::*;

pub fn interactive(entra: &FakeEntra) -> Kubelogin {
    Kubelogin::get_token("interactive")
        .args(["--client-id", PUBLIC_CLIENT_ID])
        .through_proxy(entra)
}

/// Reads the address from the prompt.
fn address(running: &mut Running) -> Url {
    running
        .shows("/oauth2/v2.0/authorize")
        .trim()
        .parse()
        .expect("an address")
}

fn parameter(url: &Url, name: &str) -> String {
    let found = url.query_pairs().find(|(key, _)| key == name);
    found
        .unwrap_or_else(|| panic!("no {name} in {url}"))
        .1
        .into_owned()
}

/// Goes to the fake Entra as a browser does.
pub fn visit(entra: &FakeEntra, address: &str) -> Response {
    let ca = reqwest::Certificate::from_pem(entra.ca_pem().as_bytes()).expect("a certificate");
    let proxy = reqwest::Proxy::https(entra.proxy_url()).expect("a proxy");
    let _ = rustls::crypto::ring::default_provider().install_default(); // the second test finds it installed
    let browser = Client::builder()
        .tls_certs_only([ca])
        .proxy(proxy)
        .redirect(Policy::none())
        .build();
    let browser = browser.expect("a browser");
    browser.get(address).send().expect("a page")
}

/// Signs in at the fake Entra: the answer is the pairs of the form that its page would post.
fn sign_in(entra: &FakeEntra, address: &Url) -> Vec<(String, String)> {
    let page = visit(entra, address.as_str()).text().expect("text");
    let inputs = page.split("name=\"").skip(1);
    let pairs = inputs.map(|input| {
        let (name, rest) = input.split_once("\" value=\"").expect("a value");
        (
            name.to_owned(),
            rest.split('"').next().expect("its end").to_owned(),
        )
    });
    pairs.collect()
}

fn form<K: AsRef<str>, V: AsRef<str>>(pairs: &[(K, V)]) -> String {
    form_urlencoded::Serializer::new(String::new())
        .extend_pairs(pairs)
        .finish()
}

/// Sends a request to where the browser comes back to, and reads the whole answer.
fn send(address: &Url, request: &str) -> String {
    let redirect_uri: Url = parameter(address, "redirect_uri").parse().expect("a URL");
    let mut stream =
        TcpStream::connect((Ipv4Addr::LOCALHOST, redirect_uri.port().expect("a port")))
            .expect("it listens");
    stream.write_all(request.as_bytes()).expect("it reads");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("it answers");
    answer
}

fn post<K: AsRef<str>, V: AsRef<str>>(address: &Url, pairs: &[(K, V)]) -> String {
    let form = form(pairs);
    send(
        address,
        &format!(
            "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n\r\n{form}",
            form.len()
        ),
    )
}

fn get(address: &Url, target: &str) -> String {
    send(
        address,
        &format!("GET {target} HTTP/1.1\r\nHost: localhost\r\n\r\n"),
    )
}

#[test]
fn a_person_without_a_browser_here_opens_the_printed_address_and_one_request_brings_the_token() {
    let entra = FakeEntra::start();
    let mut running = interactive(&entra).spawn();
    let address = address(&mut running);
    let answer = sign_in(&entra, &address);
    let page = post(&address, &answer);
    assert!(page.contains("You are signed in"), "{page}");
    let output = running.wait();
    assert_eq!(claims_of(&output.token())["upn"], USER_NAME);
    assert_eq!(
        (entra.token_requests(), entra.requests().len()),
        (1, 2),
        "the other is the browser's"
    );
    output.hides(
        &answer
            .iter()
            .filter(|(name, _)| name == "code")
            .map(|(_, code)| code.as_str())
            .collect::<Vec<_>>(),
    );
}

/// Azure/kubelogin#311, #499: the refresh token was lost, and the browser came back every hour.
#[test]
fn an_expired_token_is_renewed_without_a_browser() {
    let entra = FakeEntra::start_with(|rules| rules.token_lifetime = 60);
    let kubelogin = interactive(&entra);
    let mut running = kubelogin.spawn();
    let address = address(&mut running);
    post(&address, &sign_in(&entra, &address));
    let first = running.wait().token();
    let again = kubelogin.run();
    assert_ne!(again.token(), first);
    assert_eq!(again.stderr, "");
    assert_eq!((entra.logins(), entra.refreshes()), (1, 1));
}

#[test]
fn an_unknown_authority_costs_one_discovery_more() {
    let entra = FakeEntra::start();
    let mut running = Kubelogin::get_token("interactive")
        .args(["--client-id", PUBLIC_CLIENT_ID])
        .entra(&entra)
        .spawn();
    let address = address(&mut running);
    assert!(
        address.as_str().starts_with(&entra.authority_host()),
        "{address}"
    );
    post(&address, &sign_in(&entra, &address));
    running.wait().token();
    assert_eq!(
        (
            entra.requests_to(Endpoint::Discovery).len(),
            entra.token_requests()
        ),
        (1, 1)
    );
}

#[test]
fn the_login_hint_decides_who_signs_in() {
    let entra =
        FakeEntra::start_with(|rules| rules.users.push(User::new("bob@contoso.example", "x")));
    let mut running = interactive(&entra)
        .args(["--login-hint", "bob@contoso.example"])
        .spawn();
    let address = address(&mut running);
    post(&address, &sign_in(&entra, &address));
    assert_eq!(
        claims_of(&running.wait().token())["upn"],
        "bob@contoso.example"
    );
}

#[test]
fn a_client_that_forbids_prompts_gets_the_browser_all_the_same() {
    let entra = FakeEntra::start();
    let exec_info = json!({"apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential",
        "spec": {"interactive": false}});
    let mut running = interactive(&entra)
        .env("KUBERNETES_EXEC_INFO", exec_info.to_string())
        .spawn();
    let address = address(&mut running);
    post(&address, &sign_in(&entra, &address));
    running.wait().token();
}

#[test]
fn strangers_probes_and_retries_do_not_disturb_it() {
    let entra = FakeEntra::start();
    let mut running = interactive(&entra).spawn();
    let address = address(&mut running);
    for page in [
        get(&address, "/favicon.ico"),
        send(&address, "HEAD / HTTP/1.1\r\n\r\n"),
        post(&address, &[("code", "stolen"), ("state", "wrong")]),
        post(&address, &[("error", "access_denied")]),
    ] {
        assert!(page.starts_with("HTTP/1.1 4"), "{page}");
        assert!(!page.contains(&parameter(&address, "state")), "{page}");
    }
    post(&address, &sign_in(&entra, &address));
    running.wait().token();
    assert_eq!(entra.token_requests(), 1);
}

#[test]
fn a_declined_consent_is_explained_here_and_there() {
    let entra = FakeEntra::start_with(|rules| rules.sign_in = SignIn::Decline);
    let mut running = interactive(&entra).spawn();
    let address = address(&mut running);
    let page = post(&address, &sign_in(&entra, &address));
    let error = running.wait().error();
    assert!(
        error.contains("AADSTS65004") && error.contains("sign in again and accept it"),
        "{error}"
    );
    assert!(
        page.contains("AADSTS65004") && page.contains("sign in again and accept it"),
        "{page}"
    );
    assert_eq!(entra.token_requests(), 0);
}

#[test]
fn a_code_that_entra_does_not_take_is_an_error_here_and_there() {
    let entra = FakeEntra::start();
    let mut running = interactive(&entra).spawn();
    let address = address(&mut running);
    let state = parameter(&address, "state");
    let page = post(&address, &[("code", "made-up"), ("state", &state)]);
    assert!(page.contains("AADSTS54005"), "{page}");
    assert!(running.wait().error().contains("AADSTS54005"));
}

#[test]
fn an_answer_without_a_code_is_an_error() {
    let entra = FakeEntra::start();
    let mut running = interactive(&entra).spawn();
    let address = address(&mut running);
    get(
        &address,
        &format!("/?state={}", parameter(&address, "state")),
    );
    assert!(
        running
            .wait()
            .error()
            .contains("without an authorization code")
    );
}

#[test]
fn a_typed_timeout_bounds_the_person_too() {
    let entra = FakeEntra::start();
    let error = interactive(&entra)
        .args(["--timeout", "50ms"])
        .run()
        .error();
    assert!(error.contains("nobody signed in"), "{error}");
}

#[test]
fn a_busy_port_is_an_error_that_names_the_flag() {
    let entra = FakeEntra::start();
    for address in [
        IpAddr::from(Ipv4Addr::LOCALHOST),
        IpAddr::from(Ipv6Addr::LOCALHOST),
    ] {
        let Ok(busy) = TcpListener::bind((address, 0)) else {
            assert!(address.is_ipv6(), "no socket on {address}");
            continue; // without IPv6 there is no second port to be busy
        };
        let port = busy.local_addr().expect("an address").port();
        let error = interactive(&entra)
            .args(["--redirect-url", &format!("http://localhost:{port}")])
            .run()
            .error();
        assert!(
            error.contains(&format!("port {port} of --redirect-url")),
            "{error}"
        );
    }
    assert_eq!(entra.requests().len(), 0);
}

#[test]
fn the_redirect_url_is_obeyed_whole() {
    let entra = FakeEntra::start();
    let port = {
        let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
        free.local_addr().expect("an address").port()
    };
    let redirect_url = format!("http://127.0.0.1:{port}/signed/in");
    let mut running = interactive(&entra)
        .args(["--redirect-url", &redirect_url])
        .spawn();
    let address = address(&mut running);
    assert_eq!(parameter(&address, "redirect_uri"), redirect_url);
    post(&address, &sign_in(&entra, &address));
    running.wait().token();
    for elsewhere in [
        "http://example.com:8000",
        "https://localhost",
        "localhost:8000",
    ] {
        let error = interactive(&entra)
            .args(["--redirect-url", elsewhere])
            .run()
            .error();
        assert!(error.contains(elsewhere), "{error}");
    }
}

/// The browsers here are shell scripts.
#[cfg(unix)]
mod browser {
    use std::fs;
    use std::path::PathBuf;
    use std::process::Command;
    use std::sync::mpsc;
    use std::thread;
    use std::time::Duration;

    use super::*;

    /// A pipe with a name: its reader waits for its writer.
    struct Pipe(TempDir);

    impl Pipe {
        fn new() -> Self {
            let pipe = Self(TempDir::new());
            assert!(
                Command::new("mkfifo")
                    .arg(pipe.path())
                    .status()
                    .expect("mkfifo starts")
                    .success()
            );
            pipe
        }

        fn path(&self) -> PathBuf {
            self.0.path().join("pipe")
        }

        /// What one writer writes. A script that never does is a failure, not a test without end.
        fn read(&self) -> String {
            let (done, text) = mpsc::channel();
            let path = self.path();
            thread::spawn(move || done.send(fs::read_to_string(path)));
            let text = text.recv_timeout(Duration::from_secs(60));
            text.expect("a script writes into the pipe").expect("UTF-8")
        }
    }

    /// A script that writes its arguments into the pipe.
    fn reporting(pipe: &Pipe) -> String {
        format!("printf '%s\\n' \"$@\" > '{}'", pipe.path().display())
    }

    /// "Opening in existing browser session." on stdout has broken ExecCredentials before.
    #[test]
    fn the_desktop_s_opener_gets_the_address_and_its_noise_stays_away_from_stdout() {
        let (entra, pipe) = (FakeEntra::start(), Pipe::new());
        let script = format!(
            "echo Opening in existing browser session.\necho oops >&2\n{}",
            reporting(&pipe)
        );
        let mut running = interactive(&entra).program("xdg-open", &script).spawn();
        let printed = address(&mut running);
        let opened: Url = pipe.read().trim().parse().expect("an address");
        assert_eq!(opened, printed);
        assert_eq!(parameter(&opened, "response_mode"), "form_post");
        post(&opened, &sign_in(&entra, &opened));
        let output = running.wait();
        output.token();
        assert!(
            !output.stderr.contains("oops") && !output.stderr.contains("No browser"),
            "{output:?}"
        );
    }

    #[test]
    fn browser_is_a_list_of_commands_and_goes_before_the_desktop() {
        let (entra, pipe) = (FakeEntra::start(), Pipe::new());
        let mut running = interactive(&entra)
            .program("xdg-open", "exit 0")
            .program("first", "exit 3")
            .program("second", &reporting(&pipe))
            .env(
                "BROWSER",
                "missing:first --new:second --app=%s --kiosk:third",
            )
            .spawn();
        let printed = address(&mut running);
        assert_eq!(pipe.read(), format!("--app={printed}\n--kiosk\n"));
        post(&printed, &sign_in(&entra, &printed));
        running.wait().token();
    }

    #[test]
    fn under_wsl_windows_opens_it() {
        let (entra, pipe) = (FakeEntra::start(), Pipe::new());
        let mut running = interactive(&entra)
            .env("WSL_DISTRO_NAME", "Debian")
            .program("wslview", &reporting(&pipe))
            .program("xdg-open", "exit 0")
            .spawn();
        let printed = address(&mut running);
        assert_eq!(pipe.read(), format!("{printed}\n"));
        post(&printed, &sign_in(&entra, &printed));
        running.wait().token();
    }

    /// The original waits for the browser to be closed, and fails if it fails.
    #[test]
    fn a_browser_that_stays_open_is_not_waited_for() {
        let (entra, opened, closed) = (FakeEntra::start(), Pipe::new(), Pipe::new());
        let script = format!(
            "{}\necho closed > '{}'",
            reporting(&opened),
            closed.path().display()
        );
        let mut running = interactive(&entra).program("xdg-open", &script).spawn();
        let printed = address(&mut running);
        assert_eq!(opened.read(), format!("{printed}\n"));
        post(&printed, &sign_in(&entra, &printed));
        running.wait().token();
        assert_eq!(closed.read(), "closed\n", "the browser outlives the login");
    }

    #[test]
    fn a_browser_that_fails_or_is_missing_is_told_and_the_printed_address_still_works() {
        for (program, script, why) in [
            ("xdg-open", "exit 3", "xdg-open: exit status: 3"),
            ("x-www-browser", "exit 4", "x-www-browser: exit status: 4"),
            ("unrelated", "", "xdg-open is not installed"),
        ] {
            let entra = FakeEntra::start();
            let mut running = interactive(&entra).program(program, script).spawn();
            let printed = address(&mut running);
            let told = running.shows("No browser was opened");
            assert!(told.contains(why), "{told}");
            post(&printed, &sign_in(&entra, &printed));
            running.wait().token();
        }
    }
}

/// The original drops --redirect-url and --login-hint here.
#[test]
fn a_pop_token_is_bound_at_the_token_endpoint_and_keeps_the_hint() {
    let entra = FakeEntra::start();
    let kubelogin = interactive(&entra).args([
        "--pop-enabled",
        "--pop-claims",
        "u=/c",
        "--login-hint",
        USER_NAME,
    ]);
    let mut running = kubelogin.spawn();
    let address = address(&mut running);
    assert_eq!(parameter(&address, "login_hint"), USER_NAME);
    post(&address, &sign_in(&entra, &address));
    let envelope = claims_of(&running.wait().token());
    let access = claims_of(envelope["at"].as_str().expect("an access token"));
    assert_eq!(access["cnf"]["kid"], envelope["cnf"]["jwk"]["kid"]);
    let again = claims_of(&kubelogin.run().token());
    assert_eq!(again["at"], envelope["at"], "the access token is cached");
}
