//! A user at a terminal whose client swallows stderr (Azure/kubelogin#641, lensapp/lens#6586).

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::fd::{FromRawFd, OwnedFd};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, Stdio};

use rustix::termios::{LocalModes, Winsize, tcgetattr, tcsetwinsize};
use serde_json::json;

use crate::support::*;

#[test]
fn a_prompt_also_reaches_the_terminal_if_stderr_is_not_one() {
    let entra = FakeEntra::start();
    let (mut terminal, program_side) = open_terminal();
    let kubelogin = devicecode(&entra);
    let mut command = kubelogin.command();
    command.stderr(Stdio::null());
    let child = start_at(program_side, command);
    let output = child.wait_with_output().expect("cannot wait for it");
    let mut shown = Vec::new();
    let _ = terminal.read_to_end(&mut shown); // EIO on Linux once the last writer is gone
    let shown = String::from_utf8_lossy(&shown);
    assert!(
        shown.contains("https://microsoft.com/devicelogin"),
        "{shown}"
    );
    let stdout = String::from_utf8_lossy(&output.stdout);
    assert!(
        stdout.contains("ExecCredential") && !stdout.contains("devicelogin"),
        "{stdout}"
    );
}

#[test]
fn a_notice_is_shown_where_stderr_is_a_terminal() {
    let entra = FakeEntra::start();
    let (mut terminal, program_side) = open_terminal();
    let kubelogin = spn(&entra).args(["--client-secret", "typed"]);
    let mut command = kubelogin.command();
    command.stdin(Stdio::null()).stdout(Stdio::null());
    let status = command
        .stderr(program_side)
        .spawn()
        .expect("cannot start it");
    drop(command); // and our copy of the program's end, or reading never ends
    let mut shown = Vec::new();
    let _ = terminal.read_to_end(&mut shown); // EIO on Linux once the last writer is gone
    let shown = String::from_utf8_lossy(&shown);
    assert!(shown.contains("overrides --client-secret"), "{shown}");
    assert!(
        status
            .wait_with_output()
            .expect("cannot wait for it")
            .status
            .success()
    );
}

/// A terminal's line editor accepts only 4,095 bytes on Linux and 1,024 on macOS; some authorization codes are longer.
#[test]
fn a_long_address_can_be_pasted_and_the_terminal_is_left_as_it_was() {
    let entra = FakeEntra::start();
    let kubelogin = interactive(&entra);
    let mut session = Session::start(&kubelogin);
    let address = session
        .lines
        .find(|line| line.contains("/oauth2/v2.0/authorize"));
    let prompt = session.lines.next().expect("what to paste");
    assert!(prompt.contains("paste the address"), "{prompt}");
    assert_ne!(modes_of(&session.kept_open), session.before);
    let browser = Browser::open(&entra, &address.expect("an address"));
    let landed = browser.ask_entra().address;
    let padding = "x".repeat(5000);
    let typo = "oops\u{15}"; // Ctrl-U
    writeln!(session.terminal, "{typo}{landed}&padding={padding}\u{7f}").expect("pasted");
    let output = session
        .child
        .wait_with_output()
        .expect("cannot wait for it");
    let stdout = String::from_utf8_lossy(&output.stdout);
    assert!(stdout.contains("ExecCredential"), "{stdout}");
    assert_eq!(modes_of(&session.kept_open), session.before);
}

/// Terraform starts many of us at once. One has its stderr swallowed, so its prompt does not count as shown.
#[test]
fn a_terminal_shows_a_prompt_once_however_many_wait_for_the_sign_in() {
    const AT_ONE_TERMINAL: &str =
        r#""$0" "$@" 2>/dev/tty & "$0" "$@" 2>/dev/tty & "$0" "$@" & wait"#;
    let entra = FakeEntra::start_with(|rules| rules.device_code.polls = vec![Poll::Pending]);
    let kubelogin = devicecode(&entra);
    let (terminal, program_side) = open_terminal();
    let mut command = kubelogin.command_under("/bin/sh", &["-c", AT_ONE_TERMINAL]);
    command.stderr(Stdio::piped());
    let mut shell = start_at(program_side, command);
    let swallowed = BufReader::new(shell.stderr.take().expect("a pipe"));
    let mut swallowed = swallowed.lines().map_while(Result::ok);
    let prompts = |lines: &[String]| {
        let is_prompt = |line: &&String| line.contains("devicelogin");
        lines.iter().filter(is_prompt).count()
    };
    swallowed.find(|line| line.contains("devicelogin"));
    let mut terminal = BufReader::new(terminal).lines().map_while(Result::ok);
    let mut shown: Vec<String> = terminal.by_ref().take(2).collect();

    let (elsewhere, program_side) = open_terminal();
    let mut command = kubelogin.command();
    command.stderr(program_side.try_clone().expect("a copy"));
    let other = start_at(program_side, command);
    let mut elsewhere = BufReader::new(elsewhere).lines().map_while(Result::ok);
    let first = elsewhere.next().expect("a line");
    assert!(first.contains("devicelogin"), "{first}");

    entra.change(|rules| rules.device_code.polls = vec![Poll::Approve]);
    for child in [shell, other] {
        let output = child.wait_with_output().expect("cannot wait for it");
        let stdout = String::from_utf8_lossy(&output.stdout);
        assert!(stdout.contains("ExecCredential"), "{stdout}");
    }
    shown.extend(terminal); // EIO on Linux once the last writer is gone
    assert_eq!(prompts(&shown), 1, "{shown:?}");
    assert!(
        shown.iter().any(|line| line.starts_with("Waiting for ")),
        "{shown:?}"
    );
    assert_eq!(prompts(&swallowed.collect::<Vec<_>>()), 0);
}

#[test]
fn ctrl_c_leaves_the_terminal_as_it_was() {
    let entra = FakeEntra::start();
    let kubelogin = interactive(&entra);
    let mut session = Session::start(&kubelogin);
    session
        .lines
        .find(|line| line.contains("paste the address"));
    session.terminal.write_all(b"\x03").expect("typed");
    assert_eq!(
        session.child.wait().expect("cannot wait for it").signal(),
        Some(libc::SIGINT)
    );
    assert_eq!(modes_of(&session.kept_open), session.before);
}

#[test]
fn a_terminal_of_40_columns_gets_lines_that_fit_and_whole_words() {
    let user = json!({"token": "x"});
    let kubelogin = Kubelogin::new();
    let folder = kubelogin.home().join(".kube");
    std::fs::create_dir_all(&folder).expect("a folder");
    let kubeconfig = json!({
        "current-context": "c",
        "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
        "clusters": [{"name": "c", "cluster": {"server": "https://127.0.0.1:1"}}],
        "users": [{"name": "u", "user": user}],
    });
    std::fs::write(folder.join("config"), kubeconfig.to_string()).expect("written");
    for (command, code, words) in [("doctor", 1, "kubeconfig"), ("whoami", 1, "SIGNED IN AS")] {
        let (shown, status) = shown_on_40_columns(kubelogin.clone().arg(command));
        assert_eq!(status, Some(code), "{shown}");
        assert!(shown.contains(words), "{shown}");
        let too_long = |line: &&str| line.chars().count() > 40 && line.trim().contains(' ');
        let too_long: Vec<_> = shown.lines().filter(too_long).collect();
        assert_eq!(too_long, [""; 0], "{shown}");
    }
}

fn shown_on_40_columns(kubelogin: Kubelogin) -> (String, Option<i32>) {
    let (mut terminal, program_side) = open_terminal();
    let size = Winsize {
        ws_row: 24,
        ws_col: 40,
        ws_xpixel: 0,
        ws_ypixel: 0,
    };
    tcsetwinsize(&program_side, size).expect("a size");
    let mut command = kubelogin.env("TERM", "dumb").command();
    command.stdin(Stdio::null()).stderr(Stdio::null());
    let mut child = command
        .stdout(program_side)
        .spawn()
        .expect("cannot start it");
    drop(command);
    let mut shown = Vec::new();
    let _ = terminal.read_to_end(&mut shown); // EIO on Linux once the last writer is gone
    let status = child.wait().expect("cannot wait for it");
    (String::from_utf8(shown).expect("UTF-8"), status.code())
}

/// A sign-in at a terminal, watched from outside.
struct Session {
    terminal: File,
    /// The program's side. As long as it is open, the terminal keeps its state.
    kept_open: OwnedFd,
    /// The terminal's modes before the sign-in.
    before: LocalModes,
    child: Child,
    /// The lines on stderr.
    lines: Box<dyn Iterator<Item = String>>,
}

impl Session {
    fn start(kubelogin: &Kubelogin) -> Self {
        let (terminal, program_side) = open_terminal();
        let kept_open = program_side.try_clone().expect("a copy");
        let before = modes_of(&kept_open);
        let mut command = kubelogin.command();
        command.stderr(Stdio::piped());
        let mut child = start_at(program_side, command);
        let stderr = BufReader::new(child.stderr.take().expect("a pipe"));
        let lines = Box::new(stderr.lines().map(|line| line.expect("UTF-8")));
        Self {
            terminal,
            kept_open,
            before,
            child,
            lines,
        }
    }
}

fn modes_of(terminal: &OwnedFd) -> LocalModes {
    tcgetattr(terminal).expect("a terminal").local_modes
}

/// Starts a program with this controlling terminal.
pub fn start_at(terminal: OwnedFd, mut command: Command) -> Child {
    command.stdin(terminal).stdout(Stdio::piped());
    // SAFETY: both calls are async-signal-safe. They make the terminal on stdin the child's controlling terminal.
    unsafe {
        command.pre_exec(|| {
            if libc::setsid() == -1 || libc::ioctl(0, libc::TIOCSCTTY as _, 0) == -1 {
                return Err(std::io::Error::last_os_error());
            }
            Ok(())
        });
    }
    // Dropping the command closes our copy of the child's end, or reading would never end.
    command.spawn().expect("cannot start it")
}

/// The two ends of a pseudo-terminal: the user's and the program's.
pub fn open_terminal() -> (File, OwnedFd) {
    let (mut ours, mut theirs) = (-1, -1);
    let null = std::ptr::null_mut();
    // SAFETY: openpty fills in two descriptors that nobody else owns; null pointers mean defaults.
    unsafe {
        let opened = libc::openpty(
            &raw mut ours,
            &raw mut theirs,
            null,
            null.cast(),
            null.cast(),
        );
        assert_eq!(opened, 0, "cannot open a pseudo-terminal");
        (File::from_raw_fd(ours), OwnedFd::from_raw_fd(theirs))
    }
}
