//! A desktop's Secret Service: `gnome-keyring-daemon` under `dbus-run-session`.
//!
//! Each session has its own keyring in the test's home folder. To simulate a reboot, the tests remove our key from the
//! kernel keyring, because only the Secret Service outlives one.

use std::path::Path;
use std::process::Command;

use crate::support::*;

/// Starts the daemon with an unlocked collection and waits until it responds.
const UNLOCKED: &str = "printf pw | gnome-keyring-daemon --unlock --components=secrets >/dev/null 2>&1
    until gdbus introspect --session --dest org.freedesktop.secrets --object-path /org/freedesktop/secrets/collection/login \
        >/dev/null 2>&1; do :; done";
/// A daemon that claims its name on the bus and then never responds.
const HANGING: &str =
    "ask() { gdbus call --session --dest org.freedesktop.DBus --object-path /org/freedesktop/DBus \
        --method org.freedesktop.DBus.$1 org.freedesktop.secrets $2; }
    ask StartServiceByName 0 >/dev/null
    daemon=$(ask GetConnectionUnixProcessID | sed 's/.* \\([0-9]*\\).*/\\1/')
    kill -STOP $daemon";

/// A service principal that keeps its key in the keyring.
fn spn_in_keyring(entra: &FakeEntra) -> Kubelogin {
    spn(entra).storage("keyring")
}

/// Runs `before`, then `kubelogin`, in a D-Bus session whose keyring is in `home`.
fn in_session(kubelogin: &Kubelogin, home: &Path, before: &str) -> Output {
    let room = home.join(".kube"); // the only folder where a run may leave files
    std::fs::create_dir_all(&room).unwrap();
    let script =
        format!("{before}\n\"$0\" \"$@\"; status=$?; kill -KILL $daemon 2>/dev/null; exit $status");
    let mut session = kubelogin.command_under("dbus-run-session", &["--", "sh", "-c", &script]);
    session
        .env("XDG_DATA_HOME", room.join("data"))
        .env("XDG_CACHE_HOME", room.join("other"))
        .env("XDG_RUNTIME_DIR", &room);
    kubelogin.start(&mut session).wait()
}

/// Removes our key from the kernel keyring, as a reboot does.
fn reboot(folder: &Path) {
    let name = format!("kubelogin token cache {}", folder.display());
    let key = Command::new("keyctl")
        .args(["search", "@u", "user", &name])
        .output()
        .unwrap();
    let key = String::from_utf8(key.stdout).unwrap();
    let status = Command::new("keyctl")
        .args(["invalidate", key.trim()])
        .status()
        .unwrap();
    assert!(status.success());
}

fn log_out(kubelogin: &Kubelogin, before: &str) {
    let log_out = Kubelogin::log_out(&kubelogin.cache());
    let output = in_session(&log_out, &kubelogin.home(), before);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
}

#[test]
fn a_token_outlives_a_reboot() {
    let entra = FakeEntra::start();
    let kubelogin = spn_in_keyring(&entra);
    let first = in_session(&kubelogin, &kubelogin.home(), UNLOCKED);
    assert!(!first.stderr.contains("reboot"), "{}", first.stderr);
    reboot(&kubelogin.cache());
    let second = in_session(&kubelogin, &kubelogin.home(), UNLOCKED);
    assert_eq!(second.token(), first.token());
    assert_eq!(
        kubelogin.run().token(),
        first.token(),
        "the key is not back in the kernel keyring"
    );
    log_out(&kubelogin, UNLOCKED);
}

#[test]
fn logging_out_outlives_a_reboot() {
    let entra = FakeEntra::start();
    let kubelogin = spn_in_keyring(&entra);
    let folder = kubelogin.cache();
    let first = in_session(&kubelogin, &kubelogin.home(), UNLOCKED);
    let kept = TempDir::new();
    let copy = |from: &Path, to: &Path| {
        for file in std::fs::read_dir(from).unwrap() {
            let file = file.unwrap();
            std::fs::copy(file.path(), to.join(file.file_name())).unwrap();
        }
    };
    copy(&folder, kept.path());
    log_out(&kubelogin, UNLOCKED);
    std::fs::create_dir(&folder).unwrap();
    copy(kept.path(), &folder);
    let second = in_session(&kubelogin, &kubelogin.home(), UNLOCKED);
    assert_ne!(second.token(), first.token());
    log_out(&kubelogin, UNLOCKED);
}

#[test]
fn a_hanging_daemon_is_reported_and_costs_no_token() {
    let entra = FakeEntra::start();
    let kubelogin = spn_in_keyring(&entra);
    let verbose = kubelogin.clone().verbose();
    let first = in_session(&verbose, &kubelogin.home(), HANGING);
    assert!(
        first.stderr.contains("until the next reboot"),
        "{}",
        first.stderr
    );
    let second = in_session(&kubelogin, &kubelogin.home(), HANGING);
    assert_eq!(second.token(), first.token());
    assert!(!second.stderr.contains("reboot"), "{}", second.stderr);
    reboot(&kubelogin.cache());
}
