//! `cargo bench`: what a call costs, measured against /bin/true in the same run. Prints a table and judges nothing.
//!
//! Every row is a program that is started as kubectl starts it (posix_spawn, stdin closed, stdout a pipe). The rows of a
//! table are interleaved: one start of each in turn, so that a noisy machine is noisy for all of them.
#![cfg(unix)]
#![allow(clippy::disallowed_methods)]

#[path = "support/support.rs"]
mod support;

use std::ffi::OsString;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use support::{
    CLIENT_SECRET, CONFIDENTIAL_CLIENT_ID, FakeEntra, PUBLIC_CLIENT_ID, SERVER_ID, TENANT_ID,
    TempDir,
};

const KUBELOGIN: &str = env!("CARGO_BIN_EXE_kubelogin");

fn main() {
    let size = std::fs::metadata(KUBELOGIN)
        .expect("the binary is built")
        .len();
    println!("binary: {:.2} MB\n", size as f64 / 1e6);

    let bench = Bench::new();
    race(300, &[of_nothing(), version()]);
    race(
        60,
        &[
            of_nothing(),
            bench
                .login("spn, cold", "spn")
                .env("KUBELOGIN_TOKEN_CACHE_STORAGE", "none"),
        ],
    );

    let modes = ["spn", "devicecode", "azurecli"];
    let mut warm: Vec<Row> = vec![of_nothing()];
    warm.extend(modes.map(|mode| bench.login(mode, mode)));
    warm.push(
        bench
            .login("spn, key on disk", "spn")
            .env("KUBELOGIN_TOKEN_CACHE_STORAGE", "disk"),
    );
    let crowded = bench.room.folder("crowded");
    for number in 0..10_000 {
        std::fs::write(
            crowded.join(format!("kubelogin-{number:064x}.token")),
            [1; 2500],
        )
        .expect("an entry");
    }
    warm.push(
        bench
            .login("spn, 10,000 entries", "spn")
            .env("KUBECACHEDIR", &crowded),
    );
    warm.iter().skip(1).for_each(|row| drop(row.run())); // signs in
    println!("with a token in the cache:");
    race(300, &warm);
    for folder in [bench.room.folder("cache"), crowded] {
        let mut logout = Command::new(KUBELOGIN);
        logout
            .args(["remove-cache-dir", "--cache-dir"])
            .arg(folder)
            .env_clear();
        assert!(logout.status().expect("it starts").success());
    }
}

/// The floor: what starting and ending any program costs.
fn of_nothing() -> Row {
    Row::new("/bin/true", "/bin/true")
}

fn version() -> Row {
    Row::new("kubelogin --version", KUBELOGIN).arg("--version")
}

/// A world for the logins: the stand-in for Entra ID, a home, and an `az` on PATH that answers at once.
struct Bench {
    entra: FakeEntra,
    room: TempDir,
}

impl Bench {
    fn new() -> Self {
        let (entra, room) = (FakeEntra::start(), TempDir::new());
        let az = room.folder("bin").join("az");
        let answer = r#"{"accessToken":"from-az","expires_on":4102444800}"#;
        std::fs::write(&az, format!("#!/bin/sh\necho '{answer}'\n")).expect("a script");
        std::fs::set_permissions(&az, std::fs::Permissions::from_mode(0o755)).expect("its mode");
        Self { entra, room }
    }

    /// `get-token` at a known cloud: cold it is one HTTPS request of a service principal.
    fn login(&self, name: &'static str, mode: &str) -> Row {
        let client_id = if mode == "devicecode" {
            PUBLIC_CLIENT_ID
        } else {
            CONFIDENTIAL_CLIENT_ID
        };
        Row::new(name, KUBELOGIN)
            .args(["get-token", "--login", mode, "--server-id", SERVER_ID])
            .args(["--tenant-id", TENANT_ID, "--client-id", client_id])
            .env("AZURE_CLIENT_SECRET", CLIENT_SECRET)
            .env("SSL_CERT_FILE", self.entra.ca_file())
            .env("HTTPS_PROXY", self.entra.proxy_url())
            .env("HOME", self.room.path())
            .env("PATH", self.room.folder("bin"))
            .env("KUBECACHEDIR", self.room.folder("cache"))
    }
}

/// One program of a table, started with nothing of this process's environment.
struct Row {
    name: &'static str,
    program: &'static str,
    args: Vec<OsString>,
    environment: Vec<(&'static str, OsString)>,
}

impl Row {
    fn new(name: &'static str, program: &'static str) -> Self {
        Self {
            name,
            program,
            args: Vec::new(),
            environment: Vec::new(),
        }
    }

    fn arg(self, arg: &str) -> Self {
        self.args([arg])
    }

    fn args<const N: usize>(mut self, args: [&str; N]) -> Self {
        self.args.extend(args.map(OsString::from));
        self
    }

    fn env(mut self, name: &'static str, value: impl Into<OsString>) -> Self {
        self.environment.push((name, value.into()));
        self
    }

    /// Starts the program and waits for its end.
    #[expect(
        clippy::zombie_processes,
        reason = "wait4 reaps it and tells its peak memory"
    )]
    fn run(&self) -> Run {
        let mut command = Command::new(self.program);
        command
            .args(&self.args)
            .env_clear()
            .envs(self.environment.iter().cloned());
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null());
        let began = Instant::now();
        let mut child = command.spawn().expect("the program starts");
        let mut output = Vec::new();
        child
            .stdout
            .take()
            .expect("a pipe")
            .read_to_end(&mut output)
            .expect("its output");
        let (succeeded, peak_kib) = wait(&child);
        let took = began.elapsed();
        assert!(succeeded, "{} failed", self.name);
        Run { took, peak_kib }
    }
}

struct Run {
    took: Duration,
    peak_kib: i64,
}

/// Runs the rows in turn and prints their medians, as multiples of the first row's too.
fn race(rounds: usize, rows: &[Row]) {
    let mut runs: Vec<Vec<Run>> = rows.iter().map(|_| Vec::new()).collect();
    for _ in 0..rounds {
        for (row, runs) in rows.iter().zip(&mut runs) {
            runs.push(row.run());
        }
    }
    println!(
        "{rounds} interleaved starts     median       10 % .. 90 %        x first   peak memory"
    );
    let mut first = None;
    for (row, runs) in rows.iter().zip(&mut runs) {
        runs.sort_by_key(|run| run.took);
        let at = |part: usize| runs[(runs.len() - 1) * part / 100].took.as_secs_f64() * 1e3;
        let (low, median, high) = (at(10), at(50), at(90));
        let peak = runs
            .iter()
            .map(|run| run.peak_kib)
            .max()
            .unwrap_or_default() as f64
            / 1024.0;
        let times = median / *first.get_or_insert(median);
        println!(
            "{:<24} {median:8.3} ms {low:8.3} .. {high:7.3} ms {times:9.2}   {peak:7.1} MiB",
            row.name
        );
    }
    println!();
}

/// Waits for a child and asks the kernel for its peak resident memory.
fn wait(child: &std::process::Child) -> (bool, i64) {
    let mut status = 0;
    // SAFETY: an all-zero rusage is a valid one, and both pointers are to live values.
    let usage = unsafe {
        let mut usage: libc::rusage = std::mem::zeroed();
        libc::wait4(
            child.id() as libc::pid_t,
            &raw mut status,
            0,
            &raw mut usage,
        );
        usage
    };
    let unit = if cfg!(target_os = "macos") { 1024 } else { 1 };
    (
        libc::WIFEXITED(status) && libc::WEXITSTATUS(status) == 0,
        usage.ru_maxrss / unit,
    )
}
