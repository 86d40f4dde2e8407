//! What the listener does with connections, requests and answers.

use super::*;

#[test]
fn the_answer_may_arrive_by_get_on_any_path() {
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
fn every_loopback_address_of_this_machine_is_listened_on() {
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
fn probes_get_a_harmless_response_and_the_login_goes_on() {
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
fn connections_that_send_nothing_or_half_a_request_hold_up_nobody() {
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
fn an_answer_with_another_state_or_none_is_rejected_before_anything_else_counts() {
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

/// Answers as the listener hands them over, each with the browser's end of its connection.
fn brought(requests: &[&str]) -> (Receiver<Answer>, Vec<TcpStream>) {
    let (deliver, answers) = mpsc::sync_channel(64);
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
fn of_two_answers_the_first_counts_and_both_browsers_see_the_result() {
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
    let first = first_of_ours(&answers, &state, end, &system).expect("the client is there");
    let first = first.expect("an answer");
    assert_eq!(code(&first), Ok(Secret::new("1st")));
    show_result(&Page::SignedIn(None), first, &answers, &state);
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
            .acquire(&Scope::of_server("srv"), UNBOUNDED, &system, NOBODY_WAITS)
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
            "no browser is opened for an address that nobody listens on"
        );
    }
}
