//! Runs other programs: found on PATH without a shell, limited in time and output, killed with their child processes.

use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver, SyncSender};
use std::thread;
use std::time::Duration;

use super::interrupt::{self, Undo};
use super::{Output, Program, ProgramError, platform};
use crate::env::{self, Env};

/// The most that a program may write to one of its streams, in bytes: az writes a few KiB.
const LARGEST_OUTPUT: usize = 4 * 1024 * 1024;

/// How long to keep reading after a program has exited: a process it left running may keep the pipes open forever.
const AFTER_THE_END: Duration = Duration::from_millis(200);

/// The programs of this machine.
pub struct Programs {
    folders: Vec<PathBuf>,
    /// `PATH=..., then ...`, for messages.
    searched: String,
    working_folder: PathBuf,
}

impl Programs {
    pub fn new(env: &Env) -> Self {
        let path = env.get(env::PATH).unwrap_or_default();
        let usual = platform::usual_folders(env);
        let shown: Vec<_> = usual.iter().map(|f| f.display().to_string()).collect();
        Self {
            folders: path_folders(env).chain(usual).collect(),
            searched: format!("{}, then PATH={path}", shown.join(", ")),
            working_folder: platform::working_folder(env),
        }
    }

    /// Runs a program; `elapsed` is the clock that `timeout` is measured by.
    pub fn run(
        &self,
        program: &Program,
        timeout: Duration,
        elapsed: impl Fn() -> Duration,
    ) -> Result<Output, ProgramError> {
        self.run_file(&self.find(program.name)?, program, timeout, elapsed)
    }

    /// Runs the program in this file, by the arguments and variables of `program`.
    pub fn run_file(
        &self,
        path: &Path,
        program: &Program,
        timeout: Duration,
        elapsed: impl Fn() -> Duration,
    ) -> Result<Output, ProgramError> {
        let not_started = |error| ProgramError::NotStarted(format!("{}: {error}", path.display()));
        let (child, running) =
            interrupt::begin(|| self.start(path, program)).map_err(not_started)?;
        let outcome = match listen(child) {
            Ok(events) => collect(&events, timeout, elapsed),
            Err(error) => Err(not_started(error)),
        };
        if outcome.is_ok() {
            running.keep();
        }
        outcome
    }

    fn find(&self, name: &str) -> Result<PathBuf, ProgramError> {
        find_in(&self.folders, name).ok_or_else(|| ProgramError::NotFound {
            searched: self.searched.clone(),
        })
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "the one place that starts programs"
    )]
    fn start(&self, path: &Path, program: &Program) -> io::Result<(Child, Undo)> {
        let mut command = Command::new(path);
        command
            .args(&program.args)
            .envs(
                program
                    .environment
                    .iter()
                    .map(|(name, value)| (name, value)),
            )
            // Not kubectl's folder: a program written in Python may import files from there.
            .current_dir(&self.working_folder)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let (child, group) = platform::spawn(&mut command)?;
        Ok((child, Box::new(|| group.kill())))
    }
}

/// The folders in PATH. A relative one is left out: it would depend on kubectl's working directory.
pub fn path_folders(env: &Env) -> impl Iterator<Item = PathBuf> {
    std::env::split_paths(env.get(env::PATH).unwrap_or_default())
        .filter(|folder| folder.is_absolute())
}

/// The first program of this name, with or without what the operating system adds to it.
pub fn find_in(folders: &[PathBuf], name: &str) -> Option<PathBuf> {
    let named = |folder: &PathBuf| {
        let folder = folder.clone();
        let extensions = platform::PROGRAM_EXTENSIONS.iter();
        let has_extension = Path::new(name).extension().is_some();
        let whole = has_extension.then_some(&"");
        whole
            .into_iter()
            .chain(extensions)
            .map(move |extension| folder.join(format!("{name}{extension}")))
    };
    let mut candidates = folders.iter().flat_map(named);
    candidates.find(|path| is_program(path))
}

/// Every program of this name on PATH, in its order: the first is the one that a client starts.
pub fn on_path(name: &str, env: &Env) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = Vec::new();
    for folder in env.paths(env::PATH) {
        for extension in platform::PROGRAM_EXTENSIONS {
            let path = folder.join(format!("{name}{extension}"));
            if is_program(&path) && !found.contains(&path) {
                found.push(path);
            }
        }
    }
    found
}

/// True for a file that can be run.
pub fn is_program(path: &Path) -> bool {
    path.metadata()
        .is_ok_and(|metadata| metadata.is_file() && platform::is_executable(&metadata))
}

#[derive(Clone, Copy)]
enum Stream {
    Stdout,
    Stderr,
}

/// What happens to a running program.
enum Event {
    Wrote(Stream, Vec<u8>),
    Closed,
    /// With its exit code; `None` if a signal ended it.
    Ended(Option<i32>),
}

/// Starts threads that read both pipes at once, so that neither can fill up, and wait for the end.
fn listen(mut child: Child) -> io::Result<Receiver<Event>> {
    let (sender, events) = mpsc::sync_channel(16);
    if let Some(pipe) = child.stdout.take() {
        let sender = sender.clone();
        thread::Builder::new().spawn(move || read(pipe, Stream::Stdout, &sender))?;
    }
    if let Some(pipe) = child.stderr.take() {
        let sender = sender.clone();
        thread::Builder::new().spawn(move || read(pipe, Stream::Stderr, &sender))?;
    }
    thread::Builder::new().spawn(move || {
        let code = child.wait().ok().and_then(|status| status.code());
        let _ = sender.send(Event::Ended(code));
    })?;
    Ok(events)
}

fn read(mut pipe: impl Read, stream: Stream, sender: &SyncSender<Event>) {
    let mut buffer = [0; 16 * 1024];
    while let Ok(length @ 1..) = pipe.read(&mut buffer) {
        if sender
            .send(Event::Wrote(stream, buffer[..length].to_vec()))
            .is_err()
        {
            return;
        }
    }
    let _ = sender.send(Event::Closed);
}

fn collect(
    events: &Receiver<Event>,
    timeout: Duration,
    elapsed: impl Fn() -> Duration,
) -> Result<Output, ProgramError> {
    let end = elapsed().saturating_add(timeout);
    let mut output = Output::default();
    let mut open_pipes = 2;
    let mut has_ended = false;
    while !has_ended || open_pipes > 0 {
        let remaining = end.saturating_sub(elapsed());
        let patience = if has_ended {
            remaining.min(AFTER_THE_END)
        } else {
            remaining
        };
        match events.recv_timeout(patience) {
            Ok(Event::Wrote(stream, bytes)) => {
                let collected = match stream {
                    Stream::Stdout => &mut output.stdout,
                    Stream::Stderr => &mut output.stderr,
                };
                collected.extend(bytes);
                if collected.len() > LARGEST_OUTPUT {
                    return Err(ProgramError::TooMuchOutput);
                }
            }
            Ok(Event::Closed) => open_pipes -= 1,
            Ok(Event::Ended(code)) => {
                has_ended = true;
                output.exit_code = code;
            }
            Err(_) if has_ended => break,
            Err(_) => return Err(ProgramError::TimedOut),
        }
    }
    Ok(output)
}
