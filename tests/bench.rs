//! `cargo bench`: what a call costs, measured against /bin/true in the same run. Prints tables and judges nothing.
//!
//! Every row is a program that is started as kubectl starts it (posix_spawn, stdin closed, stdout a pipe). The rows of a
//! table are interleaved: one start of each in turn, so that a noisy machine is noisy for all of them.
#![allow(clippy::disallowed_methods, unsafe_code)]

#[path = "support/support.rs"]
mod support;

use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::json;
use support::az::RealAz;
use support::*;

const KUBELOGIN: &str = env!("CARGO_BIN_EXE_kubelogin");
const STORAGE: &str = "KUBELOGIN_TOKEN_CACHE_STORAGE";
/// Where `.ci/run` puts it.
const AZ: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/target/real/az-venv/bin/az");

fn main() {
    let binary = std::fs::metadata(KUBELOGIN).expect("the binary is built");
    println!("binary: {:.2} MB\n", binary.len() as f64 / 1e6);
    start();
    let world = World::new();
    cold(&world);
    warm(&world);
    convert();
}

fn start() {
    let version = Kubelogin::new().arg("--version");
    let version = Row::new("kubelogin --version", version);
    race(300, 1, &mut [of_nothing(), version]);
}

fn cold(world: &World) {
    println!("with a token to be obtained, in one HTTPS request:");
    let spn = world.spn().env(STORAGE, "none");
    race(60, 1, &mut [of_nothing(), Row::new("spn", spn)]);
}

fn warm(world: &World) {
    println!("with a token in the cache:");
    let mut rows = vec![of_nothing()];
    for (name, kubelogin) in world.logins() {
        world.sign_in(name, &kubelogin);
        rows.push(Row::new(name, kubelogin));
    }
    race(300, 2, &mut rows);
    world.log_out();
}

/// Legacy kubeconfigs of growing size.
fn convert() {
    const USERS: [usize; 4] = [10, 100, 1_000, 10_000];
    println!("convert-kubeconfig -l azurecli, every user being a legacy one:");
    let room = TempDir::new();
    let mut rows = vec![of_nothing()];
    for users in USERS {
        let name = format!("{users} users");
        let (legacy, path) = (legacy_kubeconfig(users), room.path().join(&name));
        let convert = Kubelogin::convert_kubeconfig("azurecli")
            .arg("--kubeconfig")
            .arg(&path);
        let row = Row::new(&name, convert);
        rows.push(row.after(move || std::fs::write(&path, &legacy).expect("a kubeconfig")));
    }
    let seconds = &race(20, 1, &mut rows)[1..];
    // Time as a power of the number of users: 1 is proportional, 2 is quadratic.
    for at in 1..USERS.len() {
        let (fewer, more) = (USERS[at - 1], USERS[at]);
        let growth = (seconds[at] / seconds[at - 1]).ln() / (more as f64 / fewer as f64).ln();
        println!("from {fewer} to {more} users it grows with the power of {growth:.2}");
    }
}

/// The floor: what starting and ending any program costs.
fn of_nothing() -> Row {
    let (program, args) = match std::env::consts::OS {
        "windows" => ("cmd", &["/c", "exit"][..]),
        "macos" => ("/usr/bin/true", &[][..]),
        _ => ("/bin/true", &[][..]),
    };
    let mut command = Command::new(program);
    command.args(args).env_clear();
    Row::of(program, command)
}

/// A world for the logins: the stand-in for Entra ID, and hosts that know who asks: App Service and Azure Pipelines.
struct World {
    entra: FakeEntra,
    host: FakeHttp,
    real_az: Option<RealAz>,
    room: TempDir,
}

impl World {
    fn new() -> Self {
        let entra = FakeEntra::start();
        let federated_token = entra.federated_token();
        let host = FakeHttp::start(move |request: &Request| match request.path.as_str() {
            "/msi" => Reply::json(
                200,
                &json!({"access_token": "of-msi", "expires_in": "86400"}),
            ),
            _ => Reply::json(200, &json!({"oidcToken": federated_token})),
        });
        Self {
            entra,
            host,
            real_az: Path::new(AZ).exists().then(|| RealAz::new(AZ.into())),
            room: TempDir::new(),
        }
    }

    /// The token cache as it is by default, but in a folder of ours.
    fn cached(&self, kubelogin: Kubelogin) -> Kubelogin {
        kubelogin
            .env(STORAGE, "auto")
            .env("KUBECACHEDIR", self.room.folder("cache"))
    }

    /// `get-token` at a known cloud.
    fn login(&self, mode: &str) -> Kubelogin {
        self.cached(Kubelogin::get_token(mode).through_proxy(&self.entra))
    }

    fn of_client(&self, mode: &str) -> Kubelogin {
        self.login(mode)
            .args(["--client-id", CONFIDENTIAL_CLIENT_ID])
    }

    fn of_person(&self, mode: &str) -> Kubelogin {
        self.login(mode).args(["--client-id", PUBLIC_CLIENT_ID])
    }

    fn spn(&self) -> Kubelogin {
        self.of_client("spn")
            .env("AZURE_CLIENT_SECRET", CLIENT_SECRET)
    }

    /// Each login mode, and what else could matter to a call that has its token.
    fn logins(&self) -> Vec<(&'static str, Kubelogin)> {
        let az = r#"echo '{"accessToken":"of-az","expires_on":4102444800}'"#;
        let azd = r#"echo '{"token":"of-azd","expiresOn":"2100-01-01T00:00:00Z"}'"#;
        let token_file = self
            .room
            .file("federated-token", self.entra.federated_token());
        let (msi, oidc) = (self.host.url() + "/msi", self.host.url() + "/oidc");
        let mut logins = vec![
            ("spn", self.spn()),
            (
                "spn, key on disk",
                self.spn()
                    .env(STORAGE, "disk")
                    .env("KUBECACHEDIR", self.room.folder("disk")),
            ),
            (
                "spn, 10,000 entries",
                self.spn().env("KUBECACHEDIR", self.crowded_cache()),
            ),
            ("spn --legacy", self.spn().arg("--legacy")),
            (
                "spn --pop-enabled",
                self.spn()
                    .args(["--pop-enabled", "--pop-claims", "u=cluster"]),
            ),
            ("devicecode", self.of_person("devicecode")),
            ("interactive", self.of_person("interactive")),
            (
                "ropc",
                self.of_person("ropc")
                    .args(["--username", USER_NAME])
                    .env("AZURE_PASSWORD", USER_PASSWORD),
            ),
            (
                "msi",
                self.login("msi")
                    .env("IDENTITY_ENDPOINT", msi)
                    .env("IDENTITY_HEADER", "secret"),
            ),
            ("azurecli", self.login("azurecli").program("az", az)),
            ("azd", self.login("azd").program("azd", azd)),
            (
                "workloadidentity",
                self.of_client("workloadidentity")
                    .env("AZURE_FEDERATED_TOKEN_FILE", token_file),
            ),
            (
                "azurepipelines",
                self.of_client("azurepipelines")
                    .args(["--azure-pipelines-service-connection-id", "connection"])
                    .env("SYSTEM_ACCESSTOKEN", "secret")
                    .env("SYSTEM_OIDCREQUESTURI", oidc),
            ),
        ];
        match &self.real_az {
            Some(az) => logins.push(("azurecli, real az", self.cached(az.kubelogin()))),
            None => println!("(without a real az: .ci/run installs one as {AZ})"),
        }
        logins
    }

    /// Fills the cache, as the browser too if it takes one.
    fn sign_in(&self, mode: &str, kubelogin: &Kubelogin) {
        let mut running = kubelogin.spawn();
        if mode == "interactive" {
            Browser::at_prompt(&self.entra, &mut running).sign_in();
        }
        running.wait().token();
    }

    /// A cache with 10,000 entries of others in it.
    fn crowded_cache(&self) -> PathBuf {
        let folder = self.room.folder("crowded");
        for number in 0..10_000 {
            let name = format!("kubelogin-{number:064x}.token");
            std::fs::write(folder.join(name), [1; 2500]).expect("an entry");
        }
        folder
    }

    /// Takes the keys of our caches out of the keyring.
    fn log_out(&self) {
        for folder in ["cache", "crowded"].map(|name| self.room.folder(name)) {
            assert!(Kubelogin::log_out(&folder).run().status.success());
        }
    }
}

/// One program of a table.
struct Row {
    name: String,
    command: Command,
    /// What it runs in.
    _room: Option<Kubelogin>,
    before: Option<Box<dyn Fn()>>,
}

impl Row {
    fn new(name: &str, kubelogin: Kubelogin) -> Self {
        let row = Self::of(name, kubelogin.command_here());
        Self {
            _room: Some(kubelogin),
            ..row
        }
    }

    fn of(name: &str, mut command: Command) -> Self {
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null());
        Self {
            name: name.into(),
            command,
            _room: None,
            before: None,
        }
    }

    /// Does this before each start, which is not measured.
    fn after(self, before: impl Fn() + 'static) -> Self {
        Self {
            before: Some(Box::new(before)),
            ..self
        }
    }

    /// Starts the program and waits for its end.
    fn run(&mut self) -> Run {
        if let Some(before) = &self.before {
            before();
        }
        let began = Instant::now();
        let mut child = self.command.spawn().expect("the program starts");
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

/// What the kernel counted, 0 where that is not known.
#[derive(Default)]
struct Usage {
    /// Resident memory.
    peak_mib: f64,
    /// How often a page was touched that was not mapped yet: most of what a short program costs.
    page_faults: u32,
}

/// Runs the rows in turn, prints their medians, also as multiples of each of the first `bases` rows, and gives them out in
/// seconds. A child's peak memory counts from before it became another program, when it was this one: so much is the floor.
fn race(rounds: usize, bases: usize, rows: &mut [Row]) -> Vec<f64> {
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

/// Waits for a child, and says whether it succeeded.
#[cfg(unix)]
fn wait(child: Child) -> (bool, Usage) {
    let mut status = 0;
    // SAFETY: an all-zero rusage is a valid one, and both pointers are to live values.
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
    let status = child.wait().expect("it can be waited for");
    (status.success(), Usage::default())
}
