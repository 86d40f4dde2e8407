//! A sign-in whose client is gone ends within seconds and makes way for the next one. As long as the client waits, so does
//! the sign-in. A shell plays kubectl.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _};
use std::process::Stdio;

use rustix::process::Signal;

use crate::support::*;

const CANCELLED: &str = "the program that asked for the token has ended";

/// A user who enters the code after these polls.
fn entra_with(polls: Vec<Poll>) -> FakeEntra {
    FakeEntra::start_with(|rules| {
        // Shorter than Entra's, so that a sign-in that lives on soon fails with the wrong error.
        rules.device_code.expires_in = 60;
        rules.device_code.interval = Some(1);
        rules.device_code.polls = polls;
    })
}

/// Runs the program with a stdout that nobody reads any more. Returns its exit code and stderr.
fn run_without_reader(kubelogin: &Kubelogin) -> (Option<i32>, String) {
    let mut command = kubelogin.command();
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn().expect("cannot start it");
    drop(child.stdout.take());
    let output = child.wait_with_output().expect("cannot wait for it");
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    (output.status.code(), stderr)
}

/// Starts the program as the child of a shell that plays kubectl. It shares the shell's stdout, which the test keeps
/// reading, so that only the shell's death can tell the program that its client is gone.
fn under_kubectl(kubelogin: &Kubelogin) -> Running {
    let kubelogin = kubelogin.clone().called_by_kubectl();
    let mut kubectl = kubelogin.command_under("/bin/sh", &["-c", "\"$0\" \"$@\"; exit $?"]);
    kubelogin.start(&mut kubectl)
}

/// Kills only the shell, then waits until the program has exited, too, and closed its streams.
#[track_caller]
fn end_of(mut running: Running, signal: Signal) -> String {
    running.signal(signal);
    running.shows(CANCELLED);
    let output = running.wait();
    assert_eq!(output.stdout, "", "{output:?}");
    output.stderr
}

#[test]
fn a_device_code_s_polls_end_when_kubectl_is_killed_and_the_next_one_asks_at_once() {
    for signal in [Signal::TERM, Signal::KILL] {
        let entra = entra_with(vec![Poll::Pending]);
        let kubelogin = devicecode(&entra);
        let mut running = under_kubectl(&kubelogin);
        running.shows("devicelogin");
        let stderr = end_of(running, signal);
        let errors = stderr.lines().filter(|line| line.contains(CANCELLED));
        assert_eq!(errors.count(), 1, "one line: {stderr}");
        entra.change(|rules| rules.device_code.polls = vec![Poll::Approve]);
        kubelogin.called_by_kubectl().run().token();
        assert_eq!(entra.prompts(), 2);
    }
}

#[test]
fn a_browser_is_not_waited_for_when_kubectl_is_killed() {
    let entra = FakeEntra::start();
    let mut running = under_kubectl(&interactive(&entra).args(["--timeout", "60s"]));
    Browser::at_prompt(&entra, &mut running);
    end_of(running, Signal::KILL);
}

#[test]
fn a_call_that_waits_for_another_s_sign_in_ends_when_kubectl_is_killed() {
    let entra = entra_with(vec![Poll::Pending]);
    let kubelogin = devicecode(&entra);
    let mut first = kubelogin.spawn();
    first.shows("devicelogin");
    let mut waiting = under_kubectl(&kubelogin);
    waiting.shows("Another kubelogin");
    end_of(waiting, Signal::KILL);
    entra.change(|rules| rules.device_code.polls = vec![Poll::Approve]);
    first.wait().token();
}

/// As in `kubelogin get-token | jq`. We notice the closed pipe even if our parent is a wrapper script.
#[test]
fn a_sign_in_ends_when_nobody_reads_its_stdout_any_more() {
    let entra = entra_with(vec![Poll::Pending]);
    let (code, stderr) = run_without_reader(&devicecode(&entra));
    assert_eq!(code, Some(1), "{stderr}");
    assert!(stderr.contains(CANCELLED), "{stderr}");
}

/// The user takes a few seconds.
fn a_while() -> Vec<Poll> {
    vec![Poll::Pending, Poll::Pending, Poll::Pending, Poll::Approve]
}

#[test]
fn a_client_that_waits_gets_its_token_however_long_the_person_takes() {
    let entra = entra_with(a_while());
    under_kubectl(&devicecode(&entra)).wait().token();
}

/// As after `kubelogin get-token > file & exit`, with nohup, or from a script that does not wait and reads the file later.
#[test]
fn a_sign_in_into_a_file_outlives_whoever_started_it() {
    let entra = entra_with(a_while());
    let room = TempDir::new();
    let path = room.path().join("token");
    let kubelogin = devicecode(&entra);
    let mut shell = kubelogin.command_under("/bin/sh", &["-c", "\"$0\" \"$@\"; exit $?"]);
    let file = File::create(&path).expect("a file");
    shell
        .stdin(Stdio::null())
        .stdout(file)
        .stderr(Stdio::piped());
    let mut shell = shell.spawn().expect("cannot start it");
    let mut stderr = BufReader::new(shell.stderr.take().expect("a pipe"));
    let mut shown = String::new();
    while !shown.contains("devicelogin") {
        assert_ne!(stderr.read_line(&mut shown).expect("UTF-8"), 0, "{shown}");
    }
    shell.kill().expect("it runs");
    shell.wait().expect("cannot wait for it");
    // The stream ends only once the sign-in has ended, too.
    stderr.read_to_string(&mut shown).expect("UTF-8");
    let text = std::fs::read_to_string(&path).expect("text");
    assert!(text.contains("ExecCredential"), "{shown}");
    assert_eq!(entra.device_polls(), 4);
}

/// The result of get-credentials is a file, so it does not matter whether anyone reads its stdout.
#[test]
fn get_credentials_does_not_need_a_reader() {
    let entra = entra_with(a_while());
    let _arm = FakeArm::start(&entra);
    let room = TempDir::new();
    let path = room.path().join("config");
    let kubelogin = Kubelogin::new()
        .args(["get-credentials", "--login", "devicecode"])
        .args(["--tenant-id", TENANT_ID])
        .args(PROD)
        .arg("--file")
        .arg(&path)
        .through_proxy(&entra);
    let (_, stderr) = run_without_reader(&kubelogin);
    assert!(path.exists(), "{stderr}");
    assert!(!stderr.contains(CANCELLED), "{stderr}");
}
