//! Browser sign-ins. The test plays the browser: it opens the URL, signs in at the fake Entra and delivers the response.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, TcpListener};

use crate::support::*;

#[test]
fn the_printed_address_works_in_any_browser_and_costs_one_request() {
    let entra = FakeEntra::start();
    let mut running = interactive(&entra).spawn();
    let browser = Browser::at_prompt(&entra, &mut running);
    let code = browser.ask_entra();
    let page = browser.carry(&code);
    assert!(page.shows("You are signed in"), "{page:?}");
    let output = running.wait();
    assert_eq!(claims_of(&output.token())["upn"], USER_NAME);
    assert_eq!(
        (entra.token_requests(), entra.requests().len()),
        (1, 2),
        "the browser sent the other one"
    );
    output.hides(&[value_of(&code.form, "code").expect("a code")]);
}

/// Azure/kubelogin#311, #499: the refresh token was lost, and the browser opened every hour.
#[test]
fn an_expired_token_is_renewed_without_a_browser() {
    let entra = FakeEntra::start_with(|rules| rules.token_lifetime = 60);
    let kubelogin = interactive(&entra);
    let mut running = kubelogin.spawn();
    let browser = Browser::at_prompt(&entra, &mut running);
    browser.sign_in();
    let first = running.wait().token();
    let again = kubelogin.run();
    assert_ne!(again.token(), first);
    assert_eq!(again.stderr, "");
    assert_eq!((entra.logins(), entra.refreshes()), (1, 1));
}

#[test]
fn an_unknown_authority_costs_one_discovery_more() {
    let entra = FakeEntra::start();
    let mut running = of_person("interactive").entra(&entra).spawn();
    let browser = Browser::at_prompt(&entra, &mut running);
    let address = browser.address.as_str();
    assert!(address.starts_with(&entra.authority_host()), "{address}");
    browser.sign_in();
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
    let browser = Browser::at_prompt(&entra, &mut running);
    browser.sign_in();
    assert_eq!(
        claims_of(&running.wait().token())["upn"],
        "bob@contoso.example"
    );
}

#[test]
fn a_non_interactive_client_still_gets_the_browser() {
    let entra = FakeEntra::start();
    let mut running = interactive(&entra)
        .env("KUBERNETES_EXEC_INFO", exec_info(false))
        .spawn();
    let browser = Browser::at_prompt(&entra, &mut running);
    browser.sign_in();
    running.wait().token();
}

#[test]
fn unrelated_requests_do_not_abort_the_sign_in() {
    let entra = FakeEntra::start();
    let mut running = interactive(&entra).spawn();
    let browser = Browser::at_prompt(&entra, &mut running);
    for page in [
        browser.get("/favicon.ico"),
        browser.send("HEAD / HTTP/1.1\r\n\r\n"),
        browser.post(&[("code", "stolen"), ("state", "wrong")]),
        browser.post(&[("error", "access_denied")]),
    ] {
        assert!((400..500).contains(&page.status), "{page:?}");
        assert!(
            !format!("{page:?}").contains(&browser.parameter("state")),
            "{page:?}"
        );
    }
    browser.sign_in();
    running.wait().token();
    assert_eq!(entra.token_requests(), 1);
}

#[test]
fn a_declined_consent_is_explained_on_stderr_and_in_the_browser() {
    let entra = FakeEntra::start_with(|rules| rules.sign_in = SignIn::Decline);
    let mut running = interactive(&entra).spawn();
    let browser = Browser::at_prompt(&entra, &mut running);
    let page = browser.sign_in();
    let error = running.wait().error();
    assert!(
        error.contains("AADSTS65004") && error.contains("sign in again and accept it"),
        "{error}"
    );
    assert!(
        page.shows("AADSTS65004") && page.shows("sign in again and accept it"),
        "{page:?}"
    );
    assert_eq!(entra.token_requests(), 0);
}

#[test]
fn a_code_that_entra_rejects_is_an_error_on_stderr_and_in_the_browser() {
    let entra = FakeEntra::start();
    let mut running = interactive(&entra).spawn();
    let browser = Browser::at_prompt(&entra, &mut running);
    let state = browser.parameter("state");
    let page = browser.post(&[("code", "made-up"), ("state", &state)]);
    assert!(page.shows("AADSTS54005"), "{page:?}");
    assert!(running.wait().error().contains("AADSTS54005"));
}

#[test]
fn an_answer_without_a_code_is_an_error() {
    let entra = FakeEntra::start();
    let mut running = interactive(&entra).spawn();
    let browser = Browser::at_prompt(&entra, &mut running);
    browser.get(&format!("/?state={}", browser.parameter("state")));
    assert!(
        running
            .wait()
            .error()
            .contains("without an authorization code")
    );
}

#[test]
fn the_timeout_flag_limits_the_wait_for_the_browser() {
    let entra = FakeEntra::start();
    let error = interactive(&entra)
        .args(["--timeout", "50ms"])
        .run()
        .error();
    assert!(error.contains("nobody signed in"), "{error}");
}

#[test]
fn a_port_in_use_is_an_error_that_names_the_flag() {
    let entra = FakeEntra::start();
    for address in [
        IpAddr::from(Ipv4Addr::LOCALHOST),
        IpAddr::from(Ipv6Addr::LOCALHOST),
    ] {
        let Ok(busy) = TcpListener::bind((address, 0)) else {
            assert!(address.is_ipv6(), "no socket on {address}");
            continue; // this machine has no IPv6
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
fn the_redirect_url_is_used_with_its_host_port_and_path() {
    let entra = FakeEntra::start();
    let port = {
        let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
        free.local_addr().expect("an address").port()
    };
    let redirect_url = format!("http://127.0.0.1:{port}/signed/in");
    let mut running = interactive(&entra)
        .args(["--redirect-url", &redirect_url])
        .spawn();
    let browser = Browser::at_prompt(&entra, &mut running);
    assert_eq!(browser.parameter("redirect_uri"), redirect_url);
    browser.sign_in();
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

/// Browsers that are shell scripts.
#[cfg(unix)]
mod browser {
    use std::fs;
    use std::path::PathBuf;
    use std::sync::mpsc;
    use std::thread;
    use std::time::Duration;

    use super::*;

    /// BROWSER is not set.
    fn at_desktop(entra: &FakeEntra) -> Kubelogin {
        interactive(entra).env_remove("BROWSER")
    }

    /// A named pipe. Opening it for reading blocks until a writer opens it.
    struct Pipe(TempDir);

    impl Pipe {
        fn new() -> Self {
            let pipe = Self(TempDir::new());
            make_pipe(&pipe.path());
            pipe
        }

        fn path(&self) -> PathBuf {
            self.0.path().join("pipe")
        }

        /// What one script wrote. Fails if none ever writes.
        fn read(&self) -> String {
            let (done, text) = mpsc::channel();
            let path = self.path();
            thread::spawn(move || done.send(fs::read_to_string(path)));
            let text = text.recv_timeout(Duration::from_secs(60));
            text.expect("no script wrote into the pipe").expect("UTF-8")
        }
    }

    /// A script that writes its arguments into the pipe.
    fn reporting(pipe: &Pipe) -> String {
        format!("printf '%s\\n' \"$@\" > '{}'", pipe.path().display())
    }

    /// "Opening in existing browser session." on stdout used to break ExecCredentials.
    #[test]
    fn the_desktop_s_opener_gets_the_address_and_its_output_is_dropped() {
        let (entra, pipe) = (FakeEntra::start(), Pipe::new());
        let script = format!(
            "echo Opening in existing browser session.\necho oops >&2\n{}",
            reporting(&pipe)
        );
        let mut running = at_desktop(&entra).program("xdg-open", &script).spawn();
        let printed = Browser::at_prompt(&entra, &mut running);
        let opened = Browser::open(&entra, &pipe.read());
        assert_eq!(opened.address, printed.address);
        assert_eq!(opened.parameter("response_mode"), "form_post");
        opened.sign_in();
        let output = running.wait();
        output.token();
        assert!(
            !output.stderr.contains("oops") && !output.stderr.contains("No browser"),
            "{output:?}"
        );
    }

    #[test]
    fn browser_is_a_list_of_commands_and_takes_precedence() {
        let (entra, pipe) = (FakeEntra::start(), Pipe::new());
        let mut running = at_desktop(&entra)
            .program("xdg-open", "exit 0")
            .program("first", "exit 3")
            .program("second", &reporting(&pipe))
            .env(
                "BROWSER",
                "missing:first --new:second --app=%s --kiosk:third",
            )
            .spawn();
        let printed = Browser::at_prompt(&entra, &mut running);
        assert_eq!(pipe.read(), format!("--app={}\n--kiosk\n", printed.address));
        printed.sign_in();
        running.wait().token();
    }

    #[test]
    fn under_wsl_windows_opens_the_browser() {
        let (entra, pipe) = (FakeEntra::start(), Pipe::new());
        let mut running = at_desktop(&entra)
            .env("WSL_DISTRO_NAME", "Debian")
            .program("wslview", &reporting(&pipe))
            .program("xdg-open", "exit 0")
            .spawn();
        let printed = Browser::at_prompt(&entra, &mut running);
        assert_eq!(pipe.read(), format!("{}\n", printed.address));
        printed.sign_in();
        running.wait().token();
    }

    /// Azure's kubelogin waits until the browser closes, and fails if the browser fails.
    #[test]
    fn a_browser_that_stays_open_is_not_waited_for() {
        let (entra, opened, closed) = (FakeEntra::start(), Pipe::new(), Pipe::new());
        let script = format!(
            "{}\necho closed > '{}'",
            reporting(&opened),
            closed.path().display()
        );
        let mut running = at_desktop(&entra).program("xdg-open", &script).spawn();
        let printed = Browser::at_prompt(&entra, &mut running);
        assert_eq!(opened.read(), format!("{}\n", printed.address));
        printed.sign_in();
        running.wait().token();
        assert_eq!(closed.read(), "closed\n", "the browser outlives the login");
    }

    #[test]
    fn a_browser_that_fails_or_is_missing_is_reported_and_the_address_still_works() {
        for (program, script, why) in [
            ("xdg-open", "exit 3", "xdg-open: exit status: 3"),
            ("x-www-browser", "exit 4", "x-www-browser: exit status: 4"),
            ("unrelated", "", "xdg-open is not installed"),
        ] {
            let entra = FakeEntra::start();
            let mut running = at_desktop(&entra).program(program, script).spawn();
            let printed = Browser::at_prompt(&entra, &mut running);
            let told = running.shows("No browser was opened");
            assert!(told.contains(why), "{told}");
            printed.sign_in();
            running.wait().token();
        }
    }

    /// Clients run us in the user's current folder, which may be a repository with a program of that name in it.
    #[test]
    fn no_program_of_the_working_directory_is_started() {
        for (path, browser, why) in [
            (".", None, "xdg-open is not installed"),
            ("./", Some("evil"), "evil is not installed"),
            (
                "",
                Some("./evil"),
                "BROWSER must be a program's name or its full path",
            ),
            (
                "",
                Some("sub/evil %s"),
                "BROWSER must be a program's name or its full path",
            ),
            ("sub", Some("evil"), "evil is not installed"),
        ] {
            let entra = FakeEntra::start();
            let kubelogin = at_desktop(&entra).env("PATH", path);
            let kubelogin = browser.into_iter().fold(kubelogin, |kubelogin, browser| {
                kubelogin.env("BROWSER", browser)
            });
            let kubelogin = kubelogin.program("evil", "echo started >> \"$LOG\"");
            let folder = kubelogin.work();
            fs::create_dir(folder.join("sub")).expect("a folder");
            for name in ["evil", "xdg-open", "sub/evil"] {
                fs::copy(kubelogin.path_of("evil"), folder.join(name)).expect("copied");
            }
            let mut running = kubelogin.spawn();
            let printed = Browser::at_prompt(&entra, &mut running);
            let told = running.shows("No browser was opened");
            assert!(told.contains(why), "{told}");
            printed.sign_in();
            running.wait().token();
            assert_eq!(kubelogin.log(), "", "{path} {browser:?}");
        }
    }
}

/// Azure's kubelogin drops --redirect-url and --login-hint here.
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
    let browser = Browser::at_prompt(&entra, &mut running);
    assert_eq!(browser.parameter("login_hint"), USER_NAME);
    browser.sign_in();
    let envelope = claims_of(&running.wait().token());
    let access = claims_of(envelope["at"].as_str().expect("an access token"));
    assert_eq!(access["cnf"]["kid"], envelope["cnf"]["jwk"]["kid"]);
    let again = claims_of(&kubelogin.run().token());
    assert_eq!(
        again["at"], envelope["at"],
        "the access token was not cached"
    );
}
