//! What a user at a terminal sees and types.

use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::process::Child;

use super::*;
use crate::terminal::{open_terminal, start_at};

/// Two clusters with the same name.
fn twins(rules: &mut ArmRules) {
    let mut twin = FakeCluster::new("lab", "prod");
    twin.subscription = OTHER_SUBSCRIPTION_ID.into();
    rules.clusters.push(twin);
}

/// A run at a terminal.
struct Session {
    terminal: std::fs::File,
    shown: String,
    child: Child,
}

impl Session {
    fn start(kubelogin: &Kubelogin) -> Self {
        let (terminal, program_side): (_, OwnedFd) = open_terminal();
        let mut command = kubelogin.command();
        command.stderr(program_side.try_clone().expect("a copy"));
        Self {
            terminal,
            shown: String::new(),
            child: start_at(program_side, command),
        }
    }

    /// Waits until this text appears.
    #[track_caller]
    fn shows(&mut self, text: &str) {
        let mut byte = [0];
        while !self.shown.contains(text) {
            match self.terminal.read(&mut byte) {
                Ok(1..) => self.shown.push(char::from(byte[0])),
                _ => panic!("{text:?} did not appear: {}", self.shown),
            }
        }
    }

    fn types(&mut self, line: &str) {
        writeln!(self.terminal, "{line}").expect("typed");
    }

    /// Signs in with a browser elsewhere and pastes the address it ends up at. Returns the address it started at.
    #[track_caller]
    fn signs_in(&mut self, entra: &FakeEntra) -> String {
        self.shows("paste the address of that page here and press Enter.");
        let mut words = self.shown.split_whitespace();
        let address = words.rfind(|word| word.contains("/oauth2/v2.0/authorize"));
        let address = address.expect("an address").to_owned();
        let landed = Browser::open(entra, &address).ask_entra().address;
        self.shown.clear();
        self.types(landed.as_str());
        address
    }

    /// Waits until it exits. Returns everything on the terminal, and whether it succeeded.
    fn end(mut self) -> (String, bool) {
        let mut rest = Vec::new();
        let _ = self.terminal.read_to_end(&mut rest); // EIO on Linux once the last writer is gone
        self.shown.push_str(&String::from_utf8_lossy(&rest));
        let output = self.child.wait_with_output().expect("cannot wait for it");
        assert_eq!(String::from_utf8_lossy(&output.stdout), "");
        (self.shown, output.status.success())
    }
}

#[test]
fn of_several_clusters_of_one_name_a_person_chooses_by_number() {
    let entra = FakeEntra::start();
    let arm = FakeArm::start_with(&entra, twins);
    let kubelogin = get_credentials(&entra).arg("prod");
    let mut session = Session::start(&kubelogin);
    session.shows("1. prod: group shop, subscription 50000000-0000-0000-0000-000000000001 (Shops)");
    session.shows("2. prod: group lab, subscription 50000000-0000-0000-0000-000000000002 (Labs)");
    session.shows("Which one (1 to 2, Enter for none)? ");
    for not_one in ["0", "3", "lab"] {
        session.types(not_one);
        session.shows(&format!(
            "{not_one}\r\nWhich one (1 to 2, Enter for none)? "
        ));
    }
    session.types("2");
    let (shown, is_done) = session.end();
    assert!(is_done && shown.contains("Merged \"prod\""), "{shown}");
    assert!(read(&config(&kubelogin)).contains("resourceGroups/lab/"));
    let last = arm.requests().pop().expect("a request");
    assert!(last.path.contains("/lab/"), "{}", last.path);
}

#[test]
fn a_person_who_chooses_none_gets_the_command_and_no_cluster() {
    let entra = FakeEntra::start();
    let _arm = FakeArm::start_with(&entra, twins);
    for typed in ["", " ", "\u{4}"] {
        let kubelogin = get_credentials(&entra).arg("prod");
        let mut session = Session::start(&kubelogin);
        session.shows("Which one");
        session.types(typed);
        let (shown, is_done) = session.end();
        assert!(
            !is_done && shown.contains("-g GROUP --subscription SUBSCRIPTION"),
            "{typed:?}: {shown}"
        );
        assert!(!config(&kubelogin).exists());
    }
}

/// Each line typed goes to the prompt that asked for it, the sign-in's or the choice's.
#[test]
fn a_choice_after_a_sign_in_with_a_browser_is_read_too() {
    let entra = FakeEntra::start();
    let _arm = FakeArm::start_with(&entra, twins);
    let kubelogin = bare(&entra).args(["prod", "--login", "interactive"]);
    let mut session = Session::start(&kubelogin);
    session.signs_in(&entra);
    session.shows("Which one");
    session.types("1");
    let (shown, is_done) = session.end();
    assert!(is_done, "{shown}");
    assert!(read(&config(&kubelogin)).contains("resourceGroups/shop/"));
}

#[test]
fn a_person_signs_in_with_the_browser_once_more_for_the_claims_of_a_challenge() {
    let entra = FakeEntra::start();
    let _arm = FakeArm::start_with(&entra, |rules| rules.context = Some("c1".into()));
    let kubelogin = bare(&entra).args(PROD).args(["--login", "interactive"]);
    let mut session = Session::start(&kubelogin);
    assert!(!session.signs_in(&entra).contains("claims="));
    assert!(session.signs_in(&entra).contains("&claims="));
    let (shown, is_done) = session.end();
    assert!(is_done, "{shown}");
}

#[test]
fn progress_shows_the_count_and_the_name_on_a_terminal() {
    const CLUSTERS: usize = 12;
    let entra = FakeEntra::start();
    let _arm = FakeArm::start_with(&entra, |rules| {
        let names = (0..CLUSTERS).map(|number| format!("c{number}"));
        rules.clusters = names.map(|name| FakeCluster::new("shop", &name)).collect();
    });
    let (shown, is_done) = Session::start(&get_credentials(&entra).arg("--all")).end();
    assert!(is_done, "{shown}");
    for number in 1..=CLUSTERS {
        let line = format!("\r{number} of {CLUSTERS} clusters: c");
        assert!(shown.contains(&line), "{line:?} is not in {shown:?}");
    }
    // The progress line disappears before anything else is printed.
    let last = shown.rfind("clusters: c").expect("a progress line");
    let merged = shown.find("Merged").expect("what was done");
    assert!(
        shown[last..merged].ends_with(&format!("{:79}\r", "")),
        "{shown:?}"
    );
}
