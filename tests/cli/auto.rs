//! `--login auto`: what it chooses, and which programs and hosts it leaves alone.

use std::fs;

use serde_json::json;

use crate::support::*;

/// An az that logs its runs to `$LOG`.
const AZ: &str = r#"echo az >> "$LOG"
echo '{"accessToken":"of-az","expires_on":4102444800}'"#;

/// az, azd and pwsh on PATH, each of which logs its runs; az is signed in.
struct World {
    kubelogin: Kubelogin,
}

impl World {
    fn new() -> Self {
        let kubelogin = signed_in_to_az("auto", AZ)
            .program("azd", "echo azd >> \"$LOG\"; exit 1")
            .program("pwsh", "echo pwsh >> \"$LOG\"; exit 1")
            .args(["--tenant-id", TENANT_ID])
            // Hides where the tests run: no Azure VM, no terminal.
            .env("KUBERNETES_SERVICE_HOST", "10.0.0.1")
            .env("KUBERNETES_EXEC_INFO", exec_info(false));
        Self { kubelogin }
    }

    fn with(mut self, change: impl FnOnce(Kubelogin) -> Kubelogin) -> Self {
        self.kubelogin = change(self.kubelogin);
        self
    }

    fn az_logout(&self) {
        fs::remove_dir_all(self.kubelogin.home().join(".azure")).expect("removed");
    }

    /// The programs that ran.
    fn log(&self) -> String {
        self.kubelogin.log()
    }
}

fn with_service_principal(kubelogin: Kubelogin, entra: &FakeEntra) -> Kubelogin {
    kubelogin
        .env("AZURE_CLIENT_ID", CONFIDENTIAL_CLIENT_ID)
        .env("AZURE_CLIENT_SECRET", CLIENT_SECRET)
        .through_proxy(entra)
}

#[test]
fn nothing_is_started_and_nobody_asked_where_nothing_is_set_up() {
    let entra = FakeEntra::start();
    let world = World::new().with(|auto| auto.through_proxy(&entra));
    world.az_logout();
    let output = world.kubelogin.run();
    assert_eq!((output.status.code(), &*output.stdout), (Some(1), ""));
    let lines: Vec<_> = output.stderr.lines().collect();
    assert!(lines.len() <= 15, "{output:?}");
    assert_eq!(lines[0], "Error: --login auto found no way to sign in");
    assert!(
        output
            .stderr
            .contains("AZURE_FEDERATED_TOKEN_FILE is not set")
    );
    assert!(output.stderr.contains("az: not in a CI job; not signed in"));
    assert_eq!((world.log().as_str(), entra.connections()), ("", 0));
}

#[test]
fn only_the_program_that_was_chosen_is_started_once() {
    let world = World::new();
    for _ in 0..2 {
        let output = world.kubelogin.run();
        assert_eq!((&*output.token(), &*output.stderr), ("of-az", ""));
    }
    assert_eq!(world.log(), "az\n");
}

#[test]
fn a_token_of_the_mode_itself_is_used() {
    let world = World::new();
    world.kubelogin.run().token();
    let plain = world.kubelogin.clone().args(["--login", "azurecli"]);
    assert_eq!(plain.run().token(), "of-az");
    assert_eq!(world.log(), "az\n");
}

#[test]
fn another_identity_than_the_last_time_is_told_once() {
    let entra = FakeEntra::start();
    let world = World::new();
    world.kubelogin.run().token();
    let in_pipeline = with_service_principal(world.kubelogin.clone(), &entra);
    let told = in_pipeline.clone().verbose().run();
    told.token();
    let line = format!(
        "auto: now spn ({CONFIDENTIAL_CLIENT_ID}), because the environment has a client secret; \
         before: azurecli (alice@example.com)"
    );
    let tells = |output: &Output| output.stderr.lines().any(|told| told == line);
    assert!(tells(&told), "{told:?}");
    let again = in_pipeline.verbose().run();
    assert!(!tells(&again), "{again:?}");
    az_login(&world.kubelogin, "bob@example.com");
    let told = world.kubelogin.clone().verbose().run().stderr;
    assert!(told.contains("now azurecli (bob@example.com)"), "{told}");
    assert_eq!(world.log(), "az\naz\n", "bob got alice's token");
}

#[test]
fn two_users_of_a_kubeconfig_with_an_identity_each_are_no_change() {
    let entra = FakeEntra::start();
    let of_person = World::new().kubelogin;
    let of_application = of_person
        .clone()
        .args(["--client-id", CONFIDENTIAL_CLIENT_ID])
        .args(["--client-secret", CLIENT_SECRET])
        .through_proxy(&entra);
    for _ in 0..2 {
        for kubelogin in [&of_person, &of_application] {
            let output = kubelogin.clone().verbose().run();
            output.token();
            assert!(!output.stderr.contains("auto: now"), "{output:?}");
        }
    }
}

#[test]
fn a_failure_ends_the_run_and_says_why_it_was_chosen() {
    let world = World::new().with(|auto| {
        auto.program(
            "az",
            "echo az >> \"$LOG\"; echo 'ERROR: broken' >&2; exit 1",
        )
    });
    let auth = r#"{"auth":{"account":{"currentUser":{"homeAccountId":"x"}}}}"#;
    let azd = world.kubelogin.home().join(".azd");
    fs::create_dir(&azd).expect("a folder");
    fs::write(azd.join("auth.json"), auth).expect("written");
    let error = world.kubelogin.run().error();
    assert!(error.contains("az: broken"), "{error}");
    assert!(
        error.contains("--login auto chose azurecli (alice@example.com) because az is signed in"),
        "{error}"
    );
    assert_eq!(world.log(), "az\n");
}

/// The commands that look at a login, by a context or by flags.
#[test]
fn whoami_and_doctor_say_with_an_error_why_that_login_was_chosen() {
    let world = World::new().with(|auto| auto.program("az", "echo 'ERROR: broken' >&2; exit 1"));
    for command in [&["whoami", "--offline"][..], &["doctor", "login.token"]] {
        let looking = Kubelogin::new()
            .args(command)
            .args(["--login", "auto", "--server-id", SERVER_ID])
            .env("HOME", world.kubelogin.home())
            .env("PATH", world.kubelogin.home().with_file_name("bin"))
            .env("KUBERNETES_SERVICE_HOST", "10.0.0.1");
        let page = looking.run().stdout;
        assert!(page.contains("az: broken"), "{page}");
        let why = "--login auto chose azurecli (alice@example.com) because az is signed in";
        // The page is wrapped.
        let words = page.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(words.contains(why), "{page}");
    }
}

#[test]
fn an_earlier_sign_in_comes_before_az_and_asks_nobody() {
    let entra = FakeEntra::start();
    let world = World::new().with(|auto| {
        auto.args(["--client-id", PUBLIC_CLIENT_ID])
            .program("browser", "")
            .through_proxy(&entra)
    });
    let browser = world.kubelogin.path_of("browser");
    let interactive = world
        .kubelogin
        .clone()
        .args(["--login", "interactive"])
        .env("BROWSER", browser);
    let mut running = interactive.spawn();
    Browser::at_prompt(&entra, &mut running).sign_in();
    let token = running.wait().token();
    let output = world.kubelogin.run();
    assert_eq!((output.token(), &*output.stderr), (token, ""));
    assert_eq!(world.log(), "");
}

/// The kernel kills the process at its first socket, child process or thread. `-v 1` makes it try every mode.
#[cfg(target_os = "linux")]
#[test]
fn a_choice_with_a_cached_token_takes_no_socket_program_or_thread() {
    use crate::token_cache::process::run_without;
    let forbidden = [libc::SYS_socket, libc::SYS_clone, libc::SYS_clone3];
    let run =
        |kubelogin: &Kubelogin| run_without(&forbidden, libc::SECCOMP_RET_KILL_PROCESS, kubelogin);
    let entra = FakeEntra::start();
    let world = World::new();
    let in_pipeline = with_service_principal(world.kubelogin.clone(), &entra);
    for kubelogin in [&world.kubelogin, &in_pipeline] {
        let token = kubelogin.run().token();
        for kubelogin in [kubelogin.clone(), kubelogin.clone().args(["-v", "1"])] {
            assert_eq!(run(&kubelogin).token(), token);
        }
    }
    world.az_logout();
    let error = run(&world.kubelogin);
    assert_eq!(error.status.code(), Some(1), "{error:?}");
    assert!(
        error.stderr.contains("found no way to sign in"),
        "{error:?}"
    );
}

/// An absent user is not prompted, even if the refresh token no longer works.
#[test]
fn a_forced_refresh_uses_the_earlier_sign_in_and_never_asks_who_cannot_answer() {
    let entra = FakeEntra::start();
    let world = World::new().with(|auto| {
        auto.args(["--client-id", PUBLIC_CLIENT_ID])
            .program("browser", "echo browser >> \"$LOG\"")
            .through_proxy(&entra)
    });
    world.az_logout();
    let person = world.kubelogin.clone().args(["--login", "devicecode"]);
    let first = person.run().token();
    let force = world.kubelogin.clone().arg("--force-refresh");
    let second = force.run().token();
    assert_ne!(second, first);
    assert_eq!(entra.prompts(), 1);
    let ended = json!({"error": "invalid_grant", "error_description": "AADSTS700082: The refresh token has expired."});
    entra.next(Endpoint::Token, Reply::json(400, &ended));
    let error = force.run().error();
    assert!(error.contains("--login auto chose devicecode"), "{error}");
    assert_eq!((entra.prompts(), world.log().as_str()), (1, ""));
}

#[test]
fn verbosity_1_shows_the_table_with_the_row_that_is_taken() {
    let entra = FakeEntra::start();
    let world = World::new().with(|auto| with_service_principal(auto, &entra));
    let told = world.kubelogin.args(["-v", "1"]).run().stderr;
    assert!(
        told.contains(
            "\n> spn, a service principal in the environment: the environment has a client secret"
        ),
        "{told}"
    );
    assert!(
        told.contains("\n+ azurecli, az: az is signed in (alice@example.com)"),
        "{told}"
    );
    assert!(
        told.contains("\n- msi, a managed identity endpoint: "),
        "{told}"
    );
    assert!(!told.contains(CLIENT_SECRET), "{told}");
}

#[test]
fn doctor_shows_the_choice_and_with_verbosity_1_the_table() {
    let world = World::new();
    let doctor = Kubelogin::new()
        .args(["doctor", "login.mode", "-v", "1", "--login", "auto"])
        .args(["--server-id", SERVER_ID])
        .env("HOME", world.kubelogin.home())
        .env("KUBERNETES_SERVICE_HOST", "10.0.0.1");
    let output = doctor.command().output().expect("cannot start it");
    let page = String::from_utf8(output.stdout).expect("UTF-8");
    assert!(
        page.contains("--login auto chose azurecli (alice@example.com): az is signed in"),
        "{page}"
    );
    assert!(page.contains("> azurecli, az: az is signed in"), "{page}");
    assert_eq!(world.log(), "");
}
