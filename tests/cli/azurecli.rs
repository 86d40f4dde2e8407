//! `--login azurecli`, with a shell script as the first az on PATH.

use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use crate::support::*;

/// An az that logs its runs to `$LOG` and returns `$TOKEN`.
const AZ: &str = r#"echo "$@" >> "$LOG"
printf 'WARNING: a new version is out\n' >&2
printf '\033[33mnoise\033[0m {"not": "it"}\n'
printf '{"accessToken": "%s", "expires_on": 4102444800, "tokenType": "Bearer"}\n' "$TOKEN""#;

/// An az with its state in `room/azure`, and a kubelogin that finds it.
struct World {
    room: TempDir,
    kubelogin: Kubelogin,
}

impl World {
    fn new(script: &str) -> Self {
        let room = TempDir::new();
        let kubelogin = azurecli(script)
            .env("TOKEN", "the token")
            .env("AZURE_CONFIG_DIR", room.folder("azure"));
        Self { room, kubelogin }
    }

    fn with(mut self, change: impl FnOnce(Kubelogin) -> Kubelogin) -> Self {
        self.kubelogin = change(self.kubelogin);
        self
    }

    fn write(&self, file: &str, content: &str) {
        fs::write(self.room.path().join("azure").join(file), content).expect("written");
    }

    /// The arguments of each run of az.
    fn runs(&self) -> Vec<String> {
        self.kubelogin.log().lines().map(str::to_owned).collect()
    }

    fn error(&self) -> String {
        let output = self.kubelogin.run();
        output.hides(&["hunter2"]).error()
    }
}

#[test]
fn az_runs_once_and_extra_output_is_harmless() {
    let world = World::new(AZ).with(|az| az.args(["--tenant-id", "ten", "-s", "My Sub"]));
    for _ in 0..2 {
        let output = world.kubelogin.run();
        assert_eq!(output.token(), "the token");
        assert_eq!(output.stderr, "", "az's stderr was passed on");
    }
    let asked = format!(
        "account get-access-token --output json --resource {SERVER_ID} --tenant ten --subscription My Sub"
    );
    assert_eq!(world.runs(), [asked]);
}

#[test]
fn twenty_concurrent_calls_run_az_once() {
    let world = World::new(AZ);
    let running: Vec<_> = (0..20).map(|_| world.kubelogin.spawn()).collect();
    for one in running {
        assert_eq!(one.wait().token(), "the token");
    }
    assert_eq!(world.runs().len(), 1);
}

#[test]
fn a_change_of_account_or_cloud_and_a_new_sign_in_by_the_same_account_are_noticed_at_once() {
    let world = World::new(AZ);
    let mut runs = 0;
    let mut expect_run = |why: &str, new: usize| {
        world.kubelogin.run().token();
        runs += new;
        assert_eq!(world.runs().len(), runs, "{why}");
    };
    world.write(
        "azureProfile.json",
        r#"{"subscriptions": [{"user": "alice"}]}"#,
    );
    expect_run("cold", 1);
    expect_run("warm", 0);
    world.write("msal_token_cache.json", "refreshed");
    expect_run("az refreshed its own token", 0);
    let profile = world.room.path().join("azure/azureProfile.json");
    let profile = File::options().write(true).open(profile).expect("opened");
    profile
        .set_modified(std::time::SystemTime::UNIX_EPOCH)
        .expect("dated");
    expect_run(
        "az login as the same account writes the same bytes (Azure/AKS#4232)",
        1,
    );
    world.write(
        "azureProfile.json",
        r#"{"subscriptions": [{"user": "bob"}]}"#,
    );
    expect_run("az login as another user", 1);
    world.write("config", "[cloud]\nname = AzureChinaCloud\n");
    expect_run("az cloud set", 1);
    world.write("azureProfile.json", r#"{"subscriptions": []}"#);
    expect_run("az logout", 1);
    expect_run("warm again", 0);
}

/// Users keep one account per terminal, each with its own configuration folder.
#[test]
fn terminals_with_accounts_of_their_own_do_not_take_each_others_place_in_the_cache() {
    let room = TempDir::new();
    let logins = [
        (azurecli(AZ), "AZURE_CONFIG_DIR"),
        (
            azd(
                r#"echo run >> "$LOG"; echo "{\"token\": \"$TOKEN\", \"expiresOn\": \"2100-01-01T00:00:00Z\"}""#,
            ),
            "AZD_CONFIG_DIR",
        ),
    ];
    for (login, variable) in logins {
        let of = |account: &str| {
            let login = login.clone().env("TOKEN", account);
            login.env(variable, room.folder(account))
        };
        for _ in 0..2 {
            for account in ["work", "private"] {
                assert_eq!(of(account).run().token(), account, "{variable}");
            }
        }
        assert_eq!(login.log().lines().count(), 2, "{variable}: one run each");
    }
}

#[test]
fn no_token_is_cached_if_the_state_changes_while_az_runs() {
    let changing = format!("echo bob > \"$AZURE_CONFIG_DIR/azureProfile.json\"\n{AZ}");
    let world = World::new(&changing);
    world.write("azureProfile.json", "alice");
    world.kubelogin.run().token();
    world.write("azureProfile.json", "alice");
    world.kubelogin.run().token();
    assert_eq!(world.runs().len(), 2, "the first token may be bob's");
}

#[test]
fn an_error_of_az_comes_with_the_fix_and_without_its_output() {
    for (script, says) in [
        ("echo hunter2", "returned no token"),
        (
            r#"echo '{"accessToken": "", "x": "hunter2"}'"#,
            "an empty token",
        ),
        (
            r#"echo '{"accessToken": "hunter2", "expires_on": 1}'"#,
            "expired at 1970-01-01T00:00:01Z",
        ),
        (
            r#"echo '{"accessToken": "hunter2", "expires_on":'; exit 1"#,
            "exited with code 1",
        ),
        (
            "echo hunter2; echo \"ERROR: Please run 'az login' to setup account.\" >&2; exit 1",
            "Run: az login --scope",
        ),
        (
            "echo 'ERROR: AADSTS50076: MFA. Trace ID: t Correlation ID: c-7' >&2; exit 1",
            "Correlation ID: c-7",
        ),
        (
            "echo 'got eyJhbGciOi.eyJodW50.c2ln back' >&2; exit 1",
            "got [token] back",
        ),
        ("kill -9 $$", "killed"),
        (
            "while :; do echo hunter2hunter2hunter2hunter2hunter2hunter2hunter2; done",
            "too much output",
        ),
    ] {
        let error = World::new(script).error();
        assert!(error.contains(says), "{script}: {error}");
    }
}

/// kubectl runs a failing plugin up to five times.
#[test]
fn a_client_that_retries_does_not_run_a_failing_az_again() {
    let world = World::new("echo run >> \"$LOG\"\necho 'ERROR: hunter3' >&2\nexit 1")
        .with(|az| az.called_by_kubectl());
    for _ in 0..5 {
        assert!(world.error().contains("hunter3"));
    }
    assert_eq!(world.runs().len(), 1);
}

#[test]
fn an_az_that_cannot_start_is_named_with_its_path() {
    let world = World::new("");
    let az = world.kubelogin.path_of("az");
    fs::write(&az, "#!/no/such/interpreter\n").expect("written");
    let error = world.error();
    assert!(error.contains(az.to_str().expect("UTF-8")), "{error}");
}

#[test]
fn az_gets_no_input_and_does_not_run_in_the_working_directory() {
    let script = format!("read line && exit 3\n[ \"$PWD\" = / ] || exit 4\n{AZ}");
    assert_eq!(
        World::new(&script)
            .with(|az| az.stdin("typed\n"))
            .kubelogin
            .run()
            .token(),
        "the token"
    );
}

#[test]
fn a_local_time_is_read_in_the_zone_of_the_machine() {
    let script = r#"echo '{"accessToken": "t", "expiresOn": "2100-01-01 09:00:00.000000"}'"#;
    let output = World::new(script)
        .with(|az| az.env("TZ", "JST-9"))
        .kubelogin
        .run();
    assert_eq!(
        output.credential()["status"]["expirationTimestamp"],
        "2100-01-01T00:00:00Z"
    );
}

/// A FIFO that az and its children hold open. Reading it ends when the last of them exits.
struct Lifeline(PathBuf, mpsc::Receiver<()>);

impl Lifeline {
    fn new(folder: &Path) -> Self {
        let path = folder.join("lifeline");
        make_pipe(&path);
        let (sender, receiver) = mpsc::channel();
        let fifo = path.clone();
        thread::spawn(move || {
            // Blocks until the first writer opens it.
            let mut pipe = File::open(fifo).expect("opened");
            let _ = sender.send(());
            let _ = pipe.read_to_end(&mut Vec::new());
            let _ = sender.send(());
        });
        Self(path, receiver)
    }

    fn expect(&self, what: &str) {
        let patience = Duration::from_secs(60);
        self.1.recv_timeout(patience).expect(what);
    }
}

/// An az that hangs, and so does its child process.
const HANGING: &str = "exec 3>\"$LIFELINE\"\n/bin/sleep 100000 &\n/bin/sleep 100000";

#[test]
fn a_hanging_az_is_killed_at_the_timeout_with_its_child_processes() {
    let world = World::new(HANGING);
    let lifeline = Lifeline::new(world.room.path());
    let world = world.with(|az| {
        az.env("LIFELINE", &lifeline.0)
            .env("AZURE_CLI_TIMEOUT", "1s")
    });
    let error = world.error();
    assert!(
        error.contains("within 1 second") && error.contains("AZURE_CLI_TIMEOUT"),
        "{error}"
    );
    lifeline.expect("az did not start");
    lifeline.expect("az or its child is still running");
}

#[test]
fn a_signal_that_ends_us_ends_az_too() {
    use rustix::process::Signal;
    use std::os::unix::process::ExitStatusExt as _;
    for signal in [Signal::INT, Signal::TERM, Signal::HUP] {
        let world = World::new(HANGING);
        let lifeline = Lifeline::new(world.room.path());
        let world = world.with(|az| az.env("LIFELINE", &lifeline.0));
        let running = world.kubelogin.spawn();
        lifeline.expect("az did not start");
        running.signal(signal);
        assert_eq!(running.wait().status.signal(), Some(signal.as_raw()));
        lifeline.expect("az or its child is still running");
    }
}

#[test]
fn processes_that_az_leaves_behind_are_not_waited_for() {
    let world = World::new(&format!(
        "exec 3>\"$LIFELINE\"\n/bin/sleep 100000 &\necho $! >> \"$LOG\"\n{AZ}"
    ));
    let lifeline = Lifeline::new(world.room.path());
    let world = world.with(|az| az.env("LIFELINE", &lifeline.0));
    assert_eq!(world.kubelogin.run().token(), "the token");
    let ended = Command::new("kill").arg(&world.runs()[0]).status();
    assert!(
        ended.expect("cannot run kill").success(),
        "it was no longer running"
    );
}
