//! `cargo bench`: what a call costs compared with /bin/true in the same run. It prints tables and never fails on a figure.
//!
//! Every row is a program started as kubectl would start it (posix_spawn, stdin closed, stdout a pipe). The rows of a table
//! run in turn, so that noise on the machine affects all of them.
//!
//! `cargo bench -- warm convert` prints only these two tables. `BEFORE=/path/to/an/older/kubelogin cargo bench` adds rows
//! for the older program, where it supports the call.
#![allow(
    clippy::disallowed_methods,
    clippy::pedantic,
    clippy::print_stdout,
    unsafe_code,
    reason = "the rules are for the program; this one prints tables and asks the kernel about processes"
)]

#[path = "bench/race.rs"]
mod race;
#[path = "support/support.rs"]
mod support;

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::LazyLock;

use race::{Row, Table, race};
use serde_json::json;
use support::az::RealAz;
use support::*;

/// Where `.ci/run` puts it.
const AZ: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/target/real/az-venv/bin/az");

fn main() {
    let binary = std::fs::metadata(installed()).expect("cannot find the binary");
    println!("binary: {:.2} MB\n", binary.len() as f64 / 1e6);
    let tables = [
        ("start", start as fn(&World)),
        ("cold", cold),
        ("warm", warm),
        ("look", look),
        ("convert", convert),
        ("fetch", fetch_kubeconfigs),
    ];
    let args: Vec<String> = std::env::args().skip(1).collect();
    let is_named = |name: &str| args.iter().any(|arg| arg == name);
    let all = !tables.iter().any(|(name, _)| is_named(name));
    let world = World::new();
    for (_, print) in tables.iter().filter(|(name, _)| all || is_named(name)) {
        print(&world);
    }
}

fn start(_: &World) {
    let version = Kubelogin::new().arg("--version");
    race(
        300,
        with_floor(now_and_before("--version", &version, |_| {})),
    );
}

fn cold(world: &World) {
    println!("getting a token with one HTTPS request:");
    let spn = world.spn().storage("none");
    race(60, with_floor(now_and_before("spn", &spn, |_| {})));
}

fn warm(world: &World) {
    println!("with a cached token:");
    let rows = world.logins().into_iter().flat_map(|(name, kubelogin)| {
        now_and_before(name, &kubelogin, |kubelogin| {
            world.modes.sign_in(name, kubelogin);
        })
    });
    race(300, with_floor(rows));
    world.log_out();
}

/// The commands that inspect a login, compared with `get-token`.
fn look(world: &World) {
    println!("inspecting a login with a cached token, and everything around it:");
    let entra = &world.modes.entra;
    let cluster = FakeApiServer::start(entra);
    let login = world.cached(of_person("devicecode").entra(entra));
    login.run().token();
    let exec = json!({
        "apiVersion": "client.authentication.k8s.io/v1beta1",
        "command": "kubelogin",
        "args": ["get-token", "--server-id", SERVER_ID],
    });
    let room = TempDir::new();
    let kubeconfig = room.file("config", cluster.kubeconfig(&json!({ "exec": exec })));
    let in_context = |command: &str| {
        let kubelogin = login.clone().with_command(command);
        kubelogin.arg("--kubeconfig").arg(&kubeconfig)
    };
    let rows = [
        row("get-token", login.clone()),
        row(
            "whoami --offline",
            login.clone().with_command("whoami").arg("--offline"),
        ),
        row("whoami", in_context("whoami")),
        // The exit code is 1, because doctor reports the empty PATH.
        row(
            "doctor",
            in_context("doctor").args(["kubeconfig", "login", "cache", "entra", "api"]),
        ),
    ];
    race(60, with_floor(rows));
}

/// Legacy kubeconfigs of increasing size.
fn convert(_: &World) {
    const USERS: [usize; 4] = [10, 100, 1_000, 10_000];
    println!("convert-kubeconfig -l azurecli, all users are legacy ones:");
    let room = TempDir::new();
    let rows = USERS.map(|users| {
        let name = format!("{users} users");
        let (legacy, path) = (legacy_kubeconfig(users), room.path().join(&name));
        let convert = Kubelogin::convert_kubeconfig("azurecli")
            .arg("--kubeconfig")
            .arg(&path);
        let row = row(&name, convert);
        row.after(move || std::fs::write(&path, &legacy).expect("a kubeconfig"))
    });
    let medians = race(20, with_floor(rows));
    let seconds = &medians[medians.len() - USERS.len()..];
    // The exponent of growth: 1 is linear, 2 is quadratic.
    for at in 1..USERS.len() {
        let (fewer, more) = (USERS[at - 1], USERS[at]);
        let growth = (seconds[at] / seconds[at - 1]).ln() / (more as f64 / fewer as f64).ln();
        println!("from {fewer} to {more} users, time grows with exponent {growth:.2}");
    }
}

/// Kubeconfigs from the fake Azure, compared with the real az if it is installed; then many at once, merged into a file with
/// equally many.
fn fetch_kubeconfigs(_: &World) {
    const MANY: usize = 1_000;
    let real_az = Path::new(AZ).exists().then(|| RealAz::new(AZ.into()));
    let own = FakeEntra::start();
    let entra = real_az.as_ref().map_or(&own, RealAz::entra);
    let arm = FakeArm::start(entra);
    let room = TempDir::new();
    let file = room.path().join("config");
    let one = |storage: &str| {
        get_credentials(entra)
            .args(PROD)
            .arg("--file")
            .arg(&file)
            .storage(storage)
    };
    let count = |name: &str, kubelogin: &Kubelogin| {
        let before = (arm.take_requests().len(), entra.requests().len()).1;
        assert!(kubelogin.run().status.success(), "{name}");
        let (of_arm, of_entra) = (arm.take_requests().len(), entra.requests().len() - before);
        println!("{name}: {of_arm} requests to Azure, {of_entra} to Entra ID");
    };
    println!("get-credentials:");
    let (cold, warm) = (one("none"), one("disk"));
    count("by group and name, cold", &cold);
    count("by group and name, first", &warm);
    count("by group and name, warm", &warm);
    let by_name = get_credentials(entra).args(["prod", "--file", "-"]);
    count("by name alone, cold", &by_name);
    let mut rows = vec![row("cold", cold), row("warm", warm)];
    if let Some(az) = &real_az {
        let path = room.path().join("of-az").display().to_string();
        let args = [
            "aks",
            "get-credentials",
            "-g",
            "shop",
            "-n",
            "prod",
            "--overwrite-existing",
            "-f",
            &path,
        ];
        rows.push(Row::of("az aks get-credentials", az.command(&args)));
    }
    race(10, with_floor(rows));
    arm.change(|rules| {
        let names = (0..MANY).map(|number| format!("n{number}"));
        rules.clusters = names.map(|name| FakeCluster::new("shop", &name)).collect();
    });
    let old = legacy_kubeconfig(MANY);
    let all = get_credentials(entra).args(["--all", "--file"]).arg(&file);
    std::fs::write(&file, &old).expect("a kubeconfig");
    count(
        &format!("--all, {MANY} clusters into a file of {MANY}"),
        &all,
    );
    let row = row(&format!("--all, {MANY} into {MANY}"), all);
    let row = row.after(move || std::fs::write(&file, &old).expect("a kubeconfig"));
    race(3, with_floor([row]));
}

/// A row for the installed program.
fn row(name: &str, kubelogin: Kubelogin) -> Row {
    Row::new(name, kubelogin.installed_as(installed()))
}

/// A row for this program, and one for the older program if it supports the call. `prepare` runs once for each.
fn now_and_before(name: &str, kubelogin: &Kubelogin, prepare: impl Fn(&Kubelogin)) -> Vec<Row> {
    let mut rows = vec![row(name, kubelogin.clone())];
    rows.extend(before().map(|program| {
        let older = kubelogin.clone().installed_as(program);
        // Its own cache: an entry from one program may be a miss for the other.
        let cache = folder().join("cache-before");
        let older = older.env("KUBECACHEDIR", cache);
        Row::new(&format!("{name}, before"), older)
    }));
    rows.retain(|row| {
        let kubelogin = row.room.as_ref().expect("not a row for kubelogin");
        prepare(kubelogin);
        let works = kubelogin.run().status.success();
        assert!(works || row.name != name, "{name} fails");
        works
    });
    rows
}

/// These rows, after the cost of starting any program at all.
fn with_floor(rows: impl IntoIterator<Item = Row>) -> Table {
    let (program, args) = match std::env::consts::OS {
        "windows" => ("cmd", &["/c", "exit"][..]),
        "macos" => ("/usr/bin/true", &[][..]),
        _ => ("/bin/true", &[][..]),
    };
    let mut command = Command::new(program);
    command.args(args).env_clear();
    let mut floor = vec![Row::of(program, command)];
    floor.extend(static_program().map(|path| Row::of("static", Command::new(path))));
    let bases = floor.len();
    floor.extend(rows);
    Table { bases, rows: floor }
}

/// Where the measured programs are: on the build's disk, because temporary files may be on another.
fn folder() -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("bench");
    std::fs::create_dir_all(&folder).expect("a folder");
    folder
}

/// The program as installed, which means a copy. The linker writes through a memory map, which leaves small pages in the
/// page cache; a copy of the same bytes starts a fifth faster.
fn installed() -> &'static Path {
    static INSTALLED: LazyLock<PathBuf> =
        LazyLock::new(|| copy("kubelogin", &program_under_test()));
    &INSTALLED
}

/// The older program to compare with, installed the same way.
fn before() -> Option<&'static Path> {
    static BEFORE: LazyLock<Option<PathBuf>> = LazyLock::new(|| {
        let program = std::env::var_os("BEFORE")?;
        Some(copy("kubelogin-before", Path::new(&program)))
    });
    BEFORE.as_deref()
}

fn copy(name: &str, program: &Path) -> PathBuf {
    let path = folder().join(format!("{name}{}", std::env::consts::EXE_SUFFIX));
    std::fs::copy(program, &path).expect("a copy");
    path
}

/// A static program that does nothing, if there is a C compiler. Nothing starts faster.
fn static_program() -> Option<PathBuf> {
    let path = folder().join("nothing");
    let mut compiler = Command::new("cc")
        .args(["-static", "-O2", "-x", "c", "-", "-o"])
        .arg(&path)
        .stdin(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .ok()?;
    let source = compiler.stdin.take().expect("a pipe");
    { source }.write_all(b"int main(void) { return 0; }").ok()?;
    compiler.wait().ok()?.success().then_some(path)
}

/// The fake servers, and the cache for all logins.
struct World {
    modes: EveryMode,
    real_az: Option<RealAz>,
}

impl World {
    fn new() -> Self {
        Self {
            modes: EveryMode::start(),
            real_az: Path::new(AZ).exists().then(|| RealAz::new(AZ.into())),
        }
    }

    fn folder(&self, name: &str) -> PathBuf {
        self.modes.room.folder(name)
    }

    /// Uses the default storage for tokens, in the bench's own folder.
    fn cached(&self, kubelogin: Kubelogin) -> Kubelogin {
        kubelogin
            .storage("auto")
            .env("KUBECACHEDIR", self.folder("cache"))
    }

    fn spn(&self) -> Kubelogin {
        self.cached(spn(&self.modes.entra))
    }

    /// Every login mode, and variants that could affect a cached call.
    fn logins(&self) -> Vec<(&'static str, Kubelogin)> {
        let of_modes = self.modes.logins().into_iter();
        let mut logins: Vec<_> = of_modes
            .map(|(mode, kubelogin)| (mode, self.cached(kubelogin)))
            .map(|(mode, kubelogin)| match mode {
                // Its own cache: `auto` looks for earlier sign-ins, and must not find those of the other rows.
                "auto" => (mode, kubelogin.env("KUBECACHEDIR", self.folder("auto"))),
                _ => (mode, kubelogin),
            })
            .collect();
        let on_disk = self.spn().storage("disk");
        let pop = ["--pop-enabled", "--pop-claims", "u=cluster"];
        // Its own cache: otherwise it would notice a change of identity from az's, in the row above.
        let auto_spn = self.spn().args(["--login", "auto"]);
        logins.extend([
            (
                "auto, spn",
                auto_spn.env("KUBECACHEDIR", self.folder("auto-spn")),
            ),
            ("spn --legacy", self.spn().arg("--legacy")),
            ("spn --pop-enabled", self.spn().args(pop)),
            (
                "spn, key on disk",
                on_disk.env("KUBECACHEDIR", self.folder("disk")),
            ),
            (
                "spn, 10,000 entries",
                self.spn().env("KUBECACHEDIR", self.crowded_cache()),
            ),
        ]);
        match &self.real_az {
            Some(az) => logins.push(("azurecli, real az", self.cached(az.kubelogin()))),
            None => println!("(no real az: .ci/run installs one as {AZ})"),
        }
        logins
    }

    /// A cache with 10,000 entries for other logins.
    fn crowded_cache(&self) -> PathBuf {
        let folder = self.folder("crowded");
        for number in 0..10_000 {
            let name = format!("kubelogin-{number:064x}.token");
            std::fs::write(folder.join(name), [1; 2500]).expect("an entry");
        }
        folder
    }

    /// Removes the keys of the bench's caches from the keyring.
    fn log_out(&self) {
        let own = ["cache", "crowded", "auto", "auto-spn"].map(|name| self.folder(name));
        for folder in own.into_iter().chain([folder().join("cache-before")]) {
            assert!(Kubelogin::log_out(&folder).run().status.success());
        }
    }
}
