//! Runs the program under test, isolated from the developer's environment, home folder and PATH.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::io::{BufRead as _, BufReader, Read, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::thread::{self, JoinHandle};

use serde_json::{Value, json};

use super::entra::{FakeEntra, SERVER_ID, TENANT_ID};
use super::temp_dir::{TempDir, names_in};

/// The program under test: cargo's build, or the released binary that `KUBELOGIN_PROGRAM` names.
pub fn program_under_test() -> PathBuf {
    let released = std::env::var_os("KUBELOGIN_PROGRAM");
    released.map_or_else(|| env!("CARGO_BIN_EXE_kubelogin").into(), Into::into)
}

/// The real binary with its own home folder, working directory and PATH. All runs of one value share them.
#[derive(Clone)]
pub struct Kubelogin {
    program: PathBuf,
    room: Arc<TempDir>,
    args: Vec<OsString>,
    environment: Vec<(OsString, OsString)>,
    stdin: Vec<u8>,
}

impl Kubelogin {
    pub fn new() -> Self {
        let room = TempDir::new();
        let (home, programs) = (room.folder("home"), room.folder("bin"));
        room.folder("work");
        let kubelogin = Self {
            program: program_under_test(),
            room: Arc::new(room),
            args: Vec::new(),
            environment: Vec::new(),
            stdin: Vec::new(),
        };
        let kubelogin = kubelogin.env("HOME", &home).env("PATH", programs);
        // Encryption keys in files: a test must not touch the developer's keyring.
        let kubelogin = kubelogin.storage("disk");
        if !cfg!(windows) {
            return kubelogin;
        }
        let system = std::env::var_os("SystemRoot").unwrap_or_default(); // sockets need it
        kubelogin
            .env("USERPROFILE", &home)
            .env("LOCALAPPDATA", home.join("AppData"))
            .env("SystemRoot", system)
    }

    /// `get-token` for the fake Entra's default tenant and server.
    pub fn get_token(login: &str) -> Self {
        Self::get_token_anywhere(login).args(["--tenant-id", TENANT_ID])
    }

    /// `get-token` for the default server; the login finds out the tenant.
    pub fn get_token_anywhere(login: &str) -> Self {
        Self::new().args(["get-token", "--login", login, "--server-id", SERVER_ID])
    }

    pub fn convert_kubeconfig(login: &str) -> Self {
        Self::new().args(["convert-kubeconfig", "--login", login])
    }

    /// `remove-cache-dir` for this cache.
    pub fn log_out(cache: &Path) -> Self {
        Self::new()
            .args(["remove-cache-dir", "--cache-dir"])
            .arg(cache)
    }

    /// Runs this copy of the program.
    pub fn installed_as(mut self, program: &Path) -> Self {
        self.program = program.into();
        self
    }

    pub fn arg(mut self, arg: impl AsRef<OsStr>) -> Self {
        self.args.push(arg.as_ref().to_owned());
        self
    }

    /// The same arguments for another command.
    pub fn with_command(mut self, command: &str) -> Self {
        self.args[0] = command.into();
        self
    }

    pub fn args<A: AsRef<OsStr>>(mut self, args: impl IntoIterator<Item = A>) -> Self {
        self.args
            .extend(args.into_iter().map(|arg| arg.as_ref().to_owned()));
        self
    }

    /// Sets an environment variable; the last value wins.
    pub fn env(mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Self {
        self = self.env_remove(name.as_ref());
        self.environment
            .push((name.as_ref().to_owned(), value.as_ref().to_owned()));
        self
    }

    pub fn env_remove(mut self, name: impl AsRef<OsStr>) -> Self {
        self.environment.retain(|(other, _)| other != name.as_ref());
        self
    }

    /// Adds `-v 1`, which shows notices as on a terminal.
    pub fn verbose(self) -> Self {
        self.args(["-v", "1"])
    }

    /// Sets the variable for `--token-cache-storage`.
    pub fn storage(self, name: &str) -> Self {
        self.env("KUBELOGIN_TOKEN_CACHE_STORAGE", name)
    }

    /// Runs it as kubectl does at a terminal; kubectl runs it again if it fails.
    pub fn called_by_kubectl(self) -> Self {
        self.env("KUBERNETES_EXEC_INFO", exec_info(true))
    }

    pub fn stdin(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.stdin = bytes.into();
        self
    }

    /// Makes the fake Entra the authority host, which the program does not know.
    pub fn entra(self, entra: &FakeEntra) -> Self {
        self.env("SSL_CERT_FILE", entra.ca_file())
            .args(["--authority-host", &entra.authority_host()])
            .arg("--disable-instance-discovery")
    }

    /// Makes the fake Entra answer under the real one's host names.
    pub fn through_proxy(self, entra: &FakeEntra) -> Self {
        self.env("SSL_CERT_FILE", entra.ca_file())
            .env("HTTPS_PROXY", entra.proxy_url())
    }

    /// Puts a program on PATH: a shell script, or a batch file on Windows. Read what it writes to `$LOG` with
    /// [`Kubelogin::log`].
    pub fn program(self, name: &str, script: &str) -> Self {
        let path = self.path_of(name);
        let script = match cfg!(windows) {
            true => format!("@echo off\n{script}\n"),
            false => format!("#!/bin/sh\n{script}\n"),
        };
        fs::write(&path, script).expect("cannot write the script");
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            let mode = fs::Permissions::from_mode(0o755);
            fs::set_permissions(path, mode).expect("cannot make it executable");
        }
        let log = self.room.path().join("log");
        self.env("LOG", log)
    }

    /// What the programs on PATH wrote to `$LOG`.
    pub fn log(&self) -> String {
        fs::read_to_string(self.room.path().join("log")).unwrap_or_default()
    }

    /// Where [`Kubelogin::program`] puts a program.
    pub fn path_of(&self, program: &str) -> PathBuf {
        let extension = if cfg!(windows) { ".cmd" } else { "" };
        self.room
            .path()
            .join("bin")
            .join(format!("{program}{extension}"))
    }

    pub fn home(&self) -> PathBuf {
        self.room.path().join("home")
    }

    /// The default cache folder.
    pub fn cache(&self) -> PathBuf {
        self.home().join(".kube/cache/kubelogin")
    }

    /// The working directory.
    pub fn work(&self) -> PathBuf {
        self.room.path().join("work")
    }

    /// Runs the program until it exits.
    pub fn run(&self) -> Output {
        self.spawn().wait()
    }

    /// Starts the program. Several can run at once in the same home folder.
    pub fn spawn(&self) -> Running {
        self.start(&mut self.command())
    }

    /// Runs the program with a closed stdout and returns stderr. It must fail with an error, not a panic.
    #[track_caller]
    pub fn run_into_nothing(&self) -> String {
        let mut child = self
            .command()
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("cannot start it");
        drop(child.stdout.take());
        let output = child.wait_with_output().expect("cannot wait for it");
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{stderr}");
        assert!(
            stderr.contains("stdout") && !stderr.contains("panicked"),
            "{stderr}"
        );
        stderr
    }

    /// The command that starts the program, for tests that change more than arguments and environment.
    pub fn command(&self) -> Command {
        let mut command = self.command_here();
        command.current_dir(self.work());
        command
    }

    /// The same in the current directory: with any other, std forks, which is slower.
    pub fn command_here(&self) -> Command {
        let mut command = Command::new(&self.program);
        command
            .args(&self.args)
            .env_clear()
            .envs(self.environment.iter().cloned());
        command
    }

    /// Another program that starts this one, which it gets as its last arguments. It is found on the PATH of the tests, and
    /// inherits it.
    pub fn command_under(&self, program: &str, args: &[&str]) -> Command {
        let mut command = Command::new(program);
        command
            .args(args)
            .arg(&self.program)
            .args(&self.args)
            .env_clear()
            .envs(self.environment.iter().cloned())
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .current_dir(self.work());
        command
    }

    /// Starts a command from [`Kubelogin::command`].
    pub fn start(&self, command: &mut Command) -> Running {
        let stdin = if self.stdin.is_empty() {
            Stdio::null()
        } else {
            Stdio::piped()
        };
        command
            .stdin(stdin)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let before = self.files();
        let mut child = command.spawn().expect("cannot start the program");
        if let Some(mut stdin) = child.stdin.take() {
            let _ = stdin.write_all(&self.stdin); // the program may exit without reading
        }
        let stdout = read_all(child.stdout.take());
        let (stderr, shown) = (lines_of(child.stderr.take()), String::new());
        Running {
            process: Process(child),
            stdout,
            stderr,
            shown,
            _room: Arc::clone(&self.room),
            home: self.home(),
            work: self.work(),
            before,
        }
    }

    fn files(&self) -> [Vec<String>; 2] {
        [names_in(&self.home()), names_in(&self.work())]
    }
}

/// A running program.
pub struct Running {
    process: Process,
    stdout: JoinHandle<String>,
    stderr: Receiver<String>,
    /// Stderr so far.
    shown: String,
    /// Keeps the home folder even if the [`Kubelogin`] is dropped.
    _room: Arc<TempDir>,
    home: PathBuf,
    work: PathBuf,
    before: [Vec<String>; 2],
}

impl Running {
    /// Waits for a line with this text on stderr, and returns it.
    #[track_caller]
    pub fn shows(&mut self, text: &str) -> String {
        while let Ok(line) = self.stderr.recv() {
            self.shown += &line;
            if line.contains(text) {
                return line;
            }
        }
        panic!("it exited without printing {text:?}: {}", self.shown);
    }

    /// Sends a signal to the program, but not to its children.
    #[cfg(unix)]
    pub fn signal(&self, signal: rustix::process::Signal) {
        use rustix::process::{Pid, kill_process};
        let id = Pid::from_child(&self.process.0);
        kill_process(id, signal).expect("the program is not running");
    }

    /// The process ID.
    pub fn id(&self) -> u32 {
        self.process.0.id()
    }

    pub fn is_running(&mut self) -> bool {
        self.process.0.try_wait().expect("a child").is_none()
    }

    /// Kills it like `kill -9`.
    pub fn kill(&mut self) {
        self.process.0.kill().expect("cannot kill the program");
    }

    /// Waits until it exits. Checks that it left the working directory alone, and the home folder except `.kube`.
    pub fn wait(mut self) -> Output {
        let status = self.process.0.wait().expect("cannot wait for the program");
        let stdout = self.stdout.join().expect("stdout is not UTF-8");
        self.shown.extend(self.stderr.iter());
        let output = Output {
            status,
            stdout,
            stderr: self.shown,
        };
        let [home, work] = &self.before;
        let in_home: Vec<_> = names_in(&self.home)
            .into_iter()
            .filter(|name| !home.contains(name) && name != ".kube")
            .collect();
        assert!(
            in_home.is_empty(),
            "it left {in_home:?} in the home folder: {output:?}"
        );
        assert_eq!(
            &names_in(&self.work),
            work,
            "it changed the working directory: {output:?}"
        );
        output
    }
}

/// Kills the program when dropped, so that a failing test leaves none behind.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// How a run ended.
#[derive(Debug)]
pub struct Output {
    pub status: ExitStatus,
    pub stdout: String,
    pub stderr: String,
}

impl Output {
    /// The ExecCredential: one line on stdout, and exit code 0.
    #[track_caller]
    pub fn credential(&self) -> Value {
        assert_eq!(self.status.code(), Some(0), "{self:?}");
        let line = self
            .stdout
            .strip_suffix('\n')
            .unwrap_or_else(|| panic!("no line on stdout: {self:?}"));
        assert!(
            !line.contains(['\n', '\r']),
            "more than one line on stdout: {self:?}"
        );
        let credential: Value = serde_json::from_str(line)
            .unwrap_or_else(|error| panic!("{error} on stdout: {self:?}"));
        assert_eq!(credential["kind"], "ExecCredential", "{self:?}");
        credential
    }

    /// The token of the ExecCredential.
    #[track_caller]
    pub fn token(&self) -> String {
        let credential = self.credential();
        let token = credential["status"]["token"]
            .as_str()
            .filter(|token| !token.is_empty());
        let token = token.unwrap_or_else(|| panic!("no token: {self:?}"));
        assert!(
            !self.stderr.contains(token),
            "the token is on stderr: {self:?}"
        );
        token.to_owned()
    }

    /// The error. Requires exit code 1, an empty stdout, and on stderr at most three lines from `Error:` on. Notices may come
    /// first.
    #[track_caller]
    pub fn error(&self) -> String {
        assert_eq!(self.status.code(), Some(1), "{self:?}");
        assert_eq!(self.stdout, "", "{self:?}");
        let lines: Vec<&str> = self.stderr.lines().collect();
        let begins = |line: &&str| {
            line.get(..6)
                .is_some_and(|start| start.eq_ignore_ascii_case("error:"))
        };
        let start = lines
            .iter()
            .position(begins)
            .unwrap_or_else(|| panic!("no error on stderr: {self:?}"));
        assert!(
            lines.len() - start <= 3,
            "the error has more than three lines: {self:?}"
        );
        lines[start..].join("\n")
    }

    /// What a run with `-v 1` prints on stderr, except where options came from, what `auto` found, and what happened to the
    /// token.
    pub fn notices(&self) -> Vec<&str> {
        const HISTORY: [&str; 5] = ["--", "> ", "+ ", "- ", "Token: "];
        let is_history = |line: &&str| HISTORY.iter().any(|start| line.starts_with(start));
        self.stderr
            .lines()
            .filter(|line| !is_history(line))
            .collect()
    }

    /// Checks that no secret is on stdout or stderr.
    #[track_caller]
    pub fn hides(&self, secrets: &[&str]) -> &Self {
        for secret in secrets {
            assert!(
                !self.stdout.contains(secret) && !self.stderr.contains(secret),
                "{secret} was printed: {self:?}"
            );
        }
        self
    }
}

fn read_all(pipe: Option<impl Read + Send + 'static>) -> JoinHandle<String> {
    let mut pipe = pipe.expect("the stream is not a pipe");
    thread::spawn(move || {
        let mut text = String::new();
        pipe.read_to_string(&mut text).expect("UTF-8");
        text
    })
}

fn lines_of(pipe: Option<impl Read + Send + 'static>) -> Receiver<String> {
    let mut pipe = BufReader::new(pipe.expect("the stream is not a pipe"));
    let (sender, receiver) = channel();
    thread::spawn(move || {
        let mut line = String::new();
        while pipe.read_line(&mut line).expect("UTF-8") > 0 && sender.send(line).is_ok() {
            line = String::new();
        }
    });
    receiver
}

/// What kubectl sets `KUBERNETES_EXEC_INFO` to.
pub fn exec_info(interactive: bool) -> String {
    let version = "client.authentication.k8s.io/v1beta1";
    json!({"kind": "ExecCredential", "apiVersion": version, "spec": {"interactive": interactive}})
        .to_string()
}
