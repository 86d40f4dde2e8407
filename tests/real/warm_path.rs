//! The system calls of a run with a cached token, according to `strace`.

use std::path::Path;

use crate::support::*;

const THREADS: &[&str] = &["clone", "fork", "vfork"];
const SOCKETS: &[&str] = &["socket", "connect", "bind"];

/// Whether every program opens this file when it starts.
fn is_of_every_program(path: &str) -> bool {
    // Rust's runtime reads the memory map for its stack overflow message.
    ["/etc/ld.so.cache", "/proc/self/maps"].contains(&path) || path.contains(".so.")
}

/// System calls in strace's format: `openat(AT_FDCWD, "/etc/passwd", O_RDONLY) = 3`.
struct Trace(String);

impl Trace {
    fn of(kubelogin: &Kubelogin) -> Self {
        let room = TempDir::new();
        let log = room.path().join("log");
        let log_argument = log.to_str().expect("a path in UTF-8");
        let mut strace = kubelogin.command_under("strace", &["-f", "-o", log_argument]);
        kubelogin.start(&mut strace).wait().token();
        Self(std::fs::read_to_string(&log).expect("strace wrote no log"))
    }

    /// The calls whose names start with one of these.
    fn calls_of(&self, names: &[&str]) -> Vec<&str> {
        let process_id = |c: char| c.is_ascii_digit() || c == ' ';
        let calls = self
            .0
            .lines()
            .map(|line| line.trim_start_matches(process_id));
        calls
            .filter(|call| names.iter().any(|name| call.starts_with(name)))
            .collect()
    }

    /// The files that it opened or tried to open, except those that every program opens.
    fn opened(&self) -> Vec<&str> {
        let opens = self.calls_of(&["open"]).into_iter();
        opens
            .map(|call| call.split('"').nth(1).expect("a path"))
            .filter(|path| !is_of_every_program(path))
            .collect()
    }
}

/// Checks that `kubelogin` with a cached token opens only the files with these extensions in its cache.
#[track_caller]
fn opens_only(kubelogin: &Kubelogin, ends: &[&str]) {
    kubelogin.run().token();
    let trace = Trace::of(kubelogin);
    let folder = kubelogin.cache();
    let in_cache = |path: &&str| Path::new(path).parent() == Some(&folder);
    let opened = trace.opened();
    assert!(opened.iter().all(in_cache), "{opened:?}");
    let names: Vec<_> = opened
        .iter()
        .filter_map(|path| path.rsplit('.').next())
        .collect();
    assert_eq!(names, ends, "{opened:?}");
    assert_eq!(trace.calls_of(THREADS), [""; 0]);
    assert_eq!(trace.calls_of(SOCKETS), [""; 0]);
}

#[test]
fn a_cached_call_opens_only_its_entry() {
    let entra = FakeEntra::start();
    let kubelogin = spn(&entra).storage("keyring");
    opens_only(&kubelogin, &["token"]);
    assert!(
        Kubelogin::log_out(&kubelogin.cache())
            .run()
            .status
            .success()
    );
}

#[test]
fn a_cached_call_with_its_key_on_disk_opens_that_too() {
    let entra = FakeEntra::start();
    opens_only(&spn(&entra).storage("disk"), &["key", "token"]);
}

/// The note says what `auto` chose last time. No file is opened twice, and no folder is listed.
#[test]
fn a_cached_call_of_auto_opens_its_note_and_its_entry() {
    let entra = FakeEntra::start();
    let auto = spn(&entra).args(["--login", "auto"]).storage("keyring");
    opens_only(&auto, &["note", "token"]);
    assert!(Kubelogin::log_out(&auto.cache()).run().status.success());
}

/// A cold call does everything that a cached one must not do, which proves that the trace would show it.
#[test]
fn a_cold_call_opens_certificates_and_sockets_and_starts_threads() {
    let entra = FakeEntra::start();
    let trace = Trace::of(&spn(&entra).storage("none"));
    let ca_file = entra.ca_file();
    let ca_file = ca_file.to_str().expect("a path in UTF-8");
    assert!(trace.opened().contains(&ca_file), "{:?}", trace.opened());
    assert!(!trace.calls_of(SOCKETS).is_empty());
    assert!(!trace.calls_of(THREADS).is_empty());
}
