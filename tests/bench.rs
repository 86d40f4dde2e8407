//! `cargo bench`: what a call costs, measured against /bin/true in the same run. Prints a table and judges nothing.
//!
//! Every row is a program that is started as kubectl starts it (posix_spawn, stdin closed, stdout a pipe). The rows of a
//! table are interleaved: one start of each in turn, so that a noisy machine is noisy for all of them.
#![cfg(unix)]
#![allow(clippy::disallowed_methods)]

#[path = "support/support.rs"]
mod support;

use std::io::Read;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use support::{CLIENT_SECRET, CONFIDENTIAL_CLIENT_ID, FakeEntra, SERVER_ID, TENANT_ID};

const KUBELOGIN: &str = env!("CARGO_BIN_EXE_kubelogin");

fn main() {
    let size = std::fs::metadata(KUBELOGIN)
        .expect("the binary is built")
        .len();
    println!("binary: {:.2} MB\n", size as f64 / 1e6);

    let entra = FakeEntra::start();
    race(
        300,
        &[
            Row::new("/bin/true", || Command::new("/bin/true")),
            version(),
        ],
    );
    race(
        60,
        &[
            Row::new("/bin/true", || Command::new("/bin/true")),
            cold_spn(&entra),
        ],
    );
}

fn version() -> Row<'static> {
    Row::new("kubelogin --version", || {
        let mut command = Command::new(KUBELOGIN);
        command.arg("--version");
        command
    })
}

/// A service principal at a known cloud, nothing cached: one HTTPS request.
fn cold_spn(entra: &FakeEntra) -> Row<'_> {
    Row::new("get-token spn, cold", || {
        let mut command = Command::new(KUBELOGIN);
        command
            .args(["get-token", "--login", "spn", "--server-id", SERVER_ID])
            .args([
                "--tenant-id",
                TENANT_ID,
                "--client-id",
                CONFIDENTIAL_CLIENT_ID,
            ])
            .env("AZURE_CLIENT_SECRET", CLIENT_SECRET)
            .env("SSL_CERT_FILE", entra.ca_file())
            .env("HTTPS_PROXY", entra.proxy_url())
            .env("KUBELOGIN_TOKEN_CACHE_STORAGE", "none");
        command
    })
}

/// One program of a table.
struct Row<'a> {
    name: &'a str,
    command: Box<dyn Fn() -> Command + 'a>,
}

impl<'a> Row<'a> {
    fn new(name: &'a str, command: impl Fn() -> Command + 'a) -> Self {
        Self {
            name,
            command: Box::new(command),
        }
    }

    /// Starts the program and waits for its end.
    #[expect(
        clippy::zombie_processes,
        reason = "wait4 reaps it and tells its peak memory"
    )]
    fn run(&self) -> Run {
        let mut command = (self.command)();
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
