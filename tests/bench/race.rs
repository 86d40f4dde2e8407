//! Starts programs in turn and measures what each start costs.

use std::io::Read as _;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::support::Kubelogin;

/// Programs to compare; all are compared with the first `bases` rows.
pub struct Table {
    pub bases: usize,
    pub rows: Vec<Row>,
}

/// One program in a table.
pub struct Row {
    pub name: String,
    command: Command,
    /// Keeps its home folder.
    pub room: Option<Kubelogin>,
    before: Option<Box<dyn Fn()>>,
}

impl Row {
    pub fn new(name: &str, kubelogin: Kubelogin) -> Self {
        let row = Self::of(name, kubelogin.command_here());
        Self {
            room: Some(kubelogin),
            ..row
        }
    }

    pub fn of(name: &str, mut command: Command) -> Self {
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null());
        Self {
            name: name.into(),
            command,
            room: None,
            before: None,
        }
    }

    /// Calls `before` before each start, unmeasured.
    pub fn after(self, before: impl Fn() + 'static) -> Self {
        Self {
            before: Some(Box::new(before)),
            ..self
        }
    }

    /// Starts the program and waits until it exits.
    fn run(&mut self) -> Run {
        if let Some(before) = &self.before {
            before();
        }
        let began = Instant::now();
        let mut child = self.command.spawn().expect("cannot start the program");
        let mut output = Vec::new();
        let stdout = child.stdout.take();
        stdout
            .expect("a pipe")
            .read_to_end(&mut output)
            .expect("its output");
        let (succeeded, usage) = wait(child);
        let took = began.elapsed();
        assert!(succeeded, "{} failed", self.name);
        Run { took, usage }
    }
}

struct Run {
    took: Duration,
    usage: Usage,
}

/// What the kernel counted, or 0 where it does not.
#[derive(Default)]
struct Usage {
    /// Resident memory.
    peak_mib: f64,
    /// Minor page faults, which are most of the cost of a short run.
    page_faults: u32,
}

/// Runs the rows in turn, prints their medians, also as multiples of the bases, and returns them in seconds. A child's peak
/// memory has a floor, because it includes the moment before exec, when the child was still this program.
pub fn race(rounds: usize, Table { bases, mut rows }: Table) -> Vec<f64> {
    let mut runs: Vec<Vec<Run>> = rows.iter().map(|_| Vec::new()).collect();
    for _ in 0..rounds {
        for (row, runs) in rows.iter_mut().zip(&mut runs) {
            runs.push(row.run());
        }
    }
    let mut header = format!(
        "{:<24}     median        10 % .. 90 %        peak    faults",
        format!("{rounds} interleaved starts")
    );
    for base in &rows[..bases] {
        header += &format!(" {:>12}", format!("x {}", base.name));
    }
    println!("{header}");
    let (mut medians, mut floor) = (Vec::new(), None);
    for (row, runs) in rows.iter().zip(&mut runs) {
        runs.sort_by_key(|run| run.usage.page_faults);
        let page_faults = runs[runs.len() / 2].usage.page_faults;
        runs.sort_by_key(|run| run.took);
        let at = |part: usize| runs[(runs.len() - 1) * part / 100].took.as_secs_f64();
        let peak = runs
            .iter()
            .map(|run| run.usage.peak_mib)
            .fold(0.0, f64::max);
        let floor = *floor.get_or_insert(peak);
        let bound = if peak > floor { ' ' } else { '<' };
        medians.push(at(50));
        let [low, median, high] = [10, 50, 90].map(|part| at(part) * 1e3);
        print!(
            "{:<24} {median:8.3} ms {low:8.3} .. {high:8.3} ms {bound}{peak:6.1} MiB {page_faults:6}",
            row.name
        );
        for base in medians.iter().take(bases) {
            print!(" {:12.2}", at(50) / base);
        }
        println!();
    }
    println!();
    medians
}

/// Waits for a child. True if it succeeded.
#[cfg(unix)]
fn wait(child: Child) -> (bool, Usage) {
    let mut status = 0;
    // SAFETY: an all-zero rusage is valid, and both pointers point to live values.
    let usage = unsafe {
        let mut usage: libc::rusage = std::mem::zeroed();
        let id = child.id() as libc::pid_t;
        libc::wait4(id, &raw mut status, 0, &raw mut usage);
        usage
    };
    let unit = if cfg!(target_os = "macos") {
        1024.0 * 1024.0
    } else {
        1024.0
    };
    let succeeded = libc::WIFEXITED(status) && libc::WEXITSTATUS(status) == 0;
    let usage = Usage {
        peak_mib: usage.ru_maxrss as f64 / unit,
        page_faults: usage.ru_minflt as u32,
    };
    (succeeded, usage)
}

#[cfg(not(unix))]
fn wait(mut child: Child) -> (bool, Usage) {
    let status = child.wait().expect("cannot wait for the program");
    (status.success(), Usage::default())
}
