//! A real headless Chromium signs in at the URL from kubelogin, and takes screenshots of the last page.

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use base64::Engine as _;
use serde_json::{Value, json};

use crate::support::*;

/// Where to keep the screenshots for people to look at.
const PICTURES: &str = "target/screenshots";

/// Chromium, controlled through two named pipes (Chrome DevTools Protocol; every message ends in a zero byte).
struct Chromium {
    commands: File,
    messages: BufReader<File>,
    serial: u64,
    /// Whether a page has loaded since the last check.
    has_loaded: bool,
    /// The only tab, once it exists.
    tab: Value,
}

impl Chromium {
    /// A script for BROWSER that starts Chromium with its pipes in this folder.
    fn script(folder: &Path, proxy_url: &str) -> String {
        for name in ["commands", "messages"] {
            make_pipe(&folder.join(name));
        }
        format!(
            "cd '{}' && export PATH=/usr/bin:/bin HOME=\"$PWD\"\n\
             exec chromium --headless --no-sandbox --disable-gpu --no-first-run --disable-background-networking \
             --disable-component-update --disable-sync --user-data-dir=\"$HOME/data\" --window-size=900,800 \
             --ignore-certificate-errors --proxy-server='{proxy_url}' --remote-debugging-pipe \"$1\" \
             3< commands 4> messages",
            folder.display(),
        )
    }

    /// Waits until the script has started Chromium.
    fn connect(folder: &Path) -> Self {
        let commands = File::options().write(true).open(folder.join("commands"));
        let messages = File::open(folder.join("messages"));
        Self {
            commands: commands.expect("a pipe"),
            messages: BufReader::new(messages.expect("a pipe")),
            serial: 0,
            has_loaded: false,
            tab: Value::Null,
        }
    }

    fn receive(&mut self) -> Value {
        let mut message = Vec::new();
        self.messages
            .read_until(0, &mut message)
            .expect("a message");
        assert_eq!(message.pop(), Some(0), "Chromium exited");
        let message: Value = serde_json::from_slice(&message).expect("JSON");
        match message["method"].as_str() {
            Some("Page.loadEventFired") => self.has_loaded = true,
            Some("Target.targetCreated") => {
                self.tab = message["params"]["targetInfo"]["targetId"].clone()
            }
            _ => {}
        }
        message
    }

    /// Sends a command and waits for its result, which is null if it fails, for example during navigation.
    fn call(&mut self, session: Option<&str>, method: &str, params: Value) -> Value {
        self.serial += 1;
        let mut command = json!({"id": self.serial, "method": method, "params": params});
        if let Some(session) = session {
            command["sessionId"] = json!(session);
        }
        self.commands
            .write_all(format!("{command}\0").as_bytes())
            .expect("Chromium reads");
        loop {
            let message = self.receive();
            if message["id"] == self.serial {
                return message["result"].clone();
            }
        }
    }

    /// Attaches to the tab and waits until it shows a page from kubelogin. Returns the session.
    fn page_of_kubelogin(&mut self) -> String {
        let tabs = json!({"discover": true, "filter": [{"type": "page"}]});
        self.call(None, "Target.setDiscoverTargets", tabs);
        while self.tab.is_null() {
            self.receive();
        }
        let tab = json!({"targetId": self.tab, "flatten": true});
        let attached = self.call(None, "Target.attachToTarget", tab);
        let session = attached["sessionId"]
            .as_str()
            .expect("a session")
            .to_owned();
        self.call(Some(&session), "Page.enable", json!({}));
        loop {
            self.has_loaded = false;
            if self.html(&session).contains(" - kubelogin</title>") {
                return session;
            }
            while !self.has_loaded {
                self.receive();
            }
        }
    }

    fn html(&mut self, session: &str) -> String {
        let expression = json!({"expression": "document.documentElement.outerHTML"});
        let result = self.call(Some(session), "Runtime.evaluate", expression);
        result["result"]["value"]
            .as_str()
            .unwrap_or_default()
            .to_owned()
    }

    fn photograph(&mut self, session: &str, color_scheme: &str, file: &Path) {
        let feature = json!({"name": "prefers-color-scheme", "value": color_scheme});
        self.call(
            Some(session),
            "Emulation.setEmulatedMedia",
            json!({"features": [feature]}),
        );
        let picture = self.call(
            Some(session),
            "Page.captureScreenshot",
            json!({"format": "png"}),
        );
        let picture = base64::engine::general_purpose::STANDARD
            .decode(picture["data"].as_str().expect("a picture"));
        fs::write(file, picture.expect("base64")).expect("cannot write the screenshot");
    }

    /// Waits until it exits, so that its folder can be removed.
    fn close(mut self) {
        let command = b"{\"id\":0,\"method\":\"Browser.close\"}\0";
        self.commands.write_all(command).expect("Chromium reads");
        self.messages
            .read_to_end(&mut Vec::new())
            .expect("Chromium ends");
    }
}

/// Signs in with Chromium as BROWSER; returns kubelogin's output and the HTML of the last page.
fn sign_in(entra: &FakeEntra, name: &'static str) -> (Output, String) {
    let room = TempDir::new();
    let script = Chromium::script(room.path(), &entra.proxy_url());
    let running = interactive(entra)
        .args(["--timeout", "60s"])
        .program("chromium-without-a-screen", &script)
        .env("BROWSER", "chromium-without-a-screen")
        .spawn();
    let (done, page) = mpsc::channel();
    let folder = room.path().to_owned();
    let looking = thread::spawn(move || {
        let mut chromium = Chromium::connect(&folder);
        let session = chromium.page_of_kubelogin();
        for color_scheme in ["light", "dark"] {
            chromium.photograph(
                &session,
                color_scheme,
                &picture_file(&format!("{name}-{color_scheme}")),
            );
        }
        let html = chromium.html(&session);
        let _ = done.send(html);
        chromium.close();
    });
    let output = running.wait();
    let page = page.recv_timeout(Duration::from_secs(90));
    let page = page.unwrap_or_else(|_| panic!("Chromium saw no page from kubelogin: {output:?}"));
    looking.join().expect("Chromium ends");
    forget_chromium_s_own_requests(entra);
    (output, page)
}

fn picture_file(name: &str) -> PathBuf {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(PICTURES);
    fs::create_dir_all(&folder).expect("cannot create the screenshots folder");
    folder.join(name).with_extension("png")
}

/// Ignores Chromium's own requests through the proxy: icons, the time, updates.
fn forget_chromium_s_own_requests(entra: &FakeEntra) {
    let mut violations = entra.take_violations();
    violations.retain(|violation| violation.contains("/oauth2/"));
    assert_eq!(violations, [""; 0]);
}

#[test]
fn chromium_signs_in_and_shows_it() {
    let entra = FakeEntra::start();
    let (output, page) = sign_in(&entra, "signed-in");
    assert_eq!(claims_of(&output.token())["upn"], USER_NAME);
    assert!(page.contains("You are signed in"), "{page}");
    assert_eq!(entra.token_requests(), 1);
}

#[test]
fn chromium_shows_what_failed_and_what_to_do() {
    let entra = FakeEntra::start_with(|rules| rules.sign_in = SignIn::Decline);
    let (output, page) = sign_in(&entra, "failed");
    assert!(output.error().contains("AADSTS65004"));
    assert!(
        page.contains("AADSTS65004") && page.contains("What to do"),
        "{page}"
    );
}
