//! A real Chromium, without a screen, goes where kubelogin sends it, and keeps a picture of the page that it ends at.

use std::path::PathBuf;
use std::process::Command;
use std::{fs, thread};

use crate::support::{
    FakeEntra, Kubelogin, Output, PUBLIC_CLIENT_ID, SignIn, TempDir, USER_NAME, claims_of,
};

/// Where the pictures are kept, for people to look at.
const PICTURES: &str = "target/screenshots";
/// How long Chromium lets a page's scripts and forms go on, in its own milliseconds, before it takes the picture.
const PATIENCE: u32 = 10_000;

/// Chromium says to pages that the person likes it dark.
const DARK: &str = "--blink-settings=preferredColorScheme=0";

/// How a sign-in with a real browser went.
struct Outcome {
    output: Output,
    /// What the page said in the end, as HTML.
    page: String,
}

/// Signs in with Chromium as BROWSER.
fn sign_in(entra: &FakeEntra, picture: &str, flags: &str) -> Outcome {
    let room = TempDir::new();
    let picture = picture_file(picture);
    let (page, ended) = (room.path().join("page.html"), room.path().join("ended"));
    assert!(
        Command::new("mkfifo")
            .arg(&ended)
            .status()
            .expect("mkfifo starts")
            .success()
    );
    let script = format!(
        "export PATH=/usr/bin:/bin HOME='{home}'\n\
         chromium --headless --no-sandbox --disable-gpu --no-first-run \
         --disable-background-networking --disable-component-update --disable-sync --user-data-dir='{home}/data' --window-size=900,640 \
         --ignore-certificate-errors --proxy-server='{proxy}' --virtual-time-budget={PATIENCE} {flags} \
         --screenshot='{picture}' --dump-dom \"$1\" > '{page}' 2> '{home}/log'\n\
         echo $? > '{ended}'",
        home = room.path().display(),
        proxy = entra.proxy_url(),
        picture = picture.display(),
        page = page.display(),
        ended = ended.display(),
    );
    let program = Kubelogin::get_token("interactive")
        .args(["--client-id", PUBLIC_CLIENT_ID, "--timeout", "60s"])
        .through_proxy(entra)
        .program("chromium-without-a-screen", &script)
        .env("BROWSER", "chromium-without-a-screen");
    let running = program.spawn();
    let status = thread::spawn(move || fs::read_to_string(ended).expect("Chromium ends"));
    let output = running.wait();
    assert_eq!(status.join().expect("Chromium ends"), "0\n", "{output:?}");
    assert!(picture.is_file(), "Chromium took no picture");
    forget_chromium_s_own_requests(entra);
    Outcome {
        output,
        page: fs::read_to_string(page).expect("UTF-8"),
    }
}

/// Chromium asks the fake Entra's proxy for more than it was sent for: icons, the time, updates. kubelogin must not.
fn forget_chromium_s_own_requests(entra: &FakeEntra) {
    let mut violations = entra.take_violations();
    violations.retain(|violation| violation.contains("/oauth2/"));
    assert_eq!(violations, [""; 0]);
}

/// The file for a picture; one of an earlier run is no proof.
fn picture_file(name: &str) -> PathBuf {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(PICTURES);
    fs::create_dir_all(&folder).expect("a folder for the pictures");
    let file = folder.join(name).with_extension("png");
    let _ = fs::remove_file(&file);
    file
}

#[test]
fn chromium_signs_in_and_sees_that_it_did() {
    for (picture, flags) in [("signed-in-light", ""), ("signed-in-dark", DARK)] {
        let entra = FakeEntra::start();
        let Outcome { output, page } = sign_in(&entra, picture, flags);
        assert_eq!(claims_of(&output.token())["upn"], USER_NAME);
        assert!(page.contains("You are signed in"), "{page}");
        assert_eq!(entra.token_requests(), 1);
    }
}

#[test]
fn chromium_shows_what_failed_and_what_to_do() {
    for (picture, flags) in [("failed-light", ""), ("failed-dark", DARK)] {
        let entra = FakeEntra::start_with(|rules| rules.sign_in = SignIn::Decline);
        let Outcome { output, page } = sign_in(&entra, picture, flags);
        assert!(output.error().contains("AADSTS65004"));
        assert!(
            page.contains("AADSTS65004") && page.contains("What to do"),
            "{page}"
        );
    }
}
