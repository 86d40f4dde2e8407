//! The kernel keyring, available or denied.

use super::process::{run_refused, run_without};
use super::*;

fn keys_of(folder: &Path) -> usize {
    let keys = fs::read_to_string("/proc/keys").unwrap();
    let folder = folder.to_str().unwrap();
    let flags = |key: &str| key.split_whitespace().nth(1).unwrap_or_default().to_owned();
    keys.lines()
        .filter(|key| key.contains(folder) && !flags(key).contains('i')) // invalidated keys
        .count()
}

/// Records which files in some folders are opened, created or removed from now on.
struct Watch(std::fs::File);

impl Watch {
    fn new(folders: &[&Path]) -> Self {
        use std::ffi::CString;
        use std::os::fd::FromRawFd;
        use std::os::unix::ffi::OsStrExt;
        let events = libc::IN_OPEN | libc::IN_CREATE | libc::IN_DELETE | libc::IN_MOVED_TO;
        // SAFETY: the paths end in NUL, and nobody else owns the descriptor.
        unsafe {
            let watch = libc::inotify_init1(libc::IN_NONBLOCK | libc::IN_CLOEXEC);
            for folder in folders {
                let path = CString::new(folder.as_os_str().as_bytes()).unwrap();
                assert!(libc::inotify_add_watch(watch, path.as_ptr(), events) >= 0);
            }
            Self(std::fs::File::from_raw_fd(watch))
        }
    }

    fn names(mut self) -> Vec<String> {
        use std::io::Read;
        let mut buffer = [0; 64 * 1024];
        let length = self.0.read(&mut buffer).unwrap_or(0);
        let (mut rest, mut names) = (&buffer[..length], Vec::new());
        // inotify(7): four numbers, the last of them the length of the name that follows.
        while let Some((head, tail)) = rest.split_at_checked(16) {
            let length = u32::from_ne_bytes(head[12..].try_into().unwrap());
            let (name, next) = tail.split_at(length as usize);
            let name = String::from_utf8_lossy(name);
            names.push(name.trim_end_matches('\0').to_owned());
            rest = next;
        }
        names.retain(|name| !name.is_empty()); // the test itself opens the folders
        names
    }
}

/// Fails as soon as the warm path does more.
#[test]
fn a_cached_token_costs_one_file_and_no_thread_socket_or_lock() {
    let entra = FakeEntra::start();
    let forbidden = [
        libc::SYS_clone,
        libc::SYS_clone3,
        libc::SYS_socket,
        libc::SYS_flock,
        libc::SYS_getdents64, // 10,000 entries must be as fast as one
    ];
    for (storage, key) in [("keyring", None), ("disk", Some("kubelogin.key"))] {
        let kubelogin = spn(&entra).storage(storage);
        let token = kubelogin.run().token();
        let folder = kubelogin.cache();
        let trust_store = entra.ca_file();
        let watch = Watch::new(&[&folder, &kubelogin.home(), trust_store.parent().unwrap()]);
        let again = run_without(&forbidden, libc::SECCOMP_RET_KILL_PROCESS, &kubelogin);
        assert_eq!((again.token(), again.stderr.as_str()), (token, ""));
        let entry = entry_in(&folder);
        let entry = entry.file_name().unwrap().to_str();
        let expected: Vec<_> = key.into_iter().chain(entry).collect();
        assert_eq!(watch.names(), expected, "{storage}");
        Kubelogin::log_out(&folder).run();
    }
}

#[test]
fn the_kernel_keeps_the_key_until_log_out() {
    let entra = FakeEntra::start();
    for storage in ["auto", "keyring"] {
        let kubelogin = spn(&entra).storage(storage);
        let folder = kubelogin.cache();
        let first = kubelogin.run();
        assert_eq!(kubelogin.run().token(), first.token());
        assert_eq!(first.stderr, "");
        assert!(!folder.join("kubelogin.key").exists());
        assert_eq!(keys_of(&folder), 1);
        assert_eq!(Kubelogin::log_out(&folder).run().status.code(), Some(0));
        assert_eq!(keys_of(&folder), 0);
    }
}

/// Azure/kubelogin#642, #711, #734: a kernel without a keyring caused an error, then a panic, then a prompt on every call.
#[test]
fn a_denied_keyring_is_reported_once_and_the_disk_takes_over() {
    let entra = FakeEntra::start();
    for errno in [libc::EPERM, libc::ENOSYS] {
        let kubelogin = devicecode(&entra).storage("auto");
        let first = run_refused(&kubelogin.clone().verbose(), errno);
        let told = first.notices();
        assert_eq!(
            told.len(),
            2,
            "not just the prompt and a notice about the keyring: {told:?}"
        );
        let second = run_refused(&kubelogin, errno);
        assert_eq!(second.token(), first.token());
        assert_eq!(second.stderr, "");
    }
    assert_eq!(entra.prompts(), 2);
}

/// Azure/kubelogin#642, #711, #734: a keyring that fails in a container broke modes that do not need it, and
/// proof-of-possession tokens crashed without a keyring.
#[test]
fn a_denied_keyring_costs_no_token_in_any_mode() {
    let pop = |kubelogin: Kubelogin| kubelogin.args(["--pop-enabled", "--pop-claims", "u=/c"]);
    let az = r#"echo '{"accessToken": "at", "expires_on": 4102444800, "tokenType": "Bearer"}'"#;
    let entra = FakeEntra::start();
    for storage in ["auto", "keyring"] {
        for (kubelogin, lines) in [
            (spn(&entra), 1),
            (spn(&entra).arg("--legacy"), 1),
            (pop(spn(&entra)), 1),
            (ropc(&entra), 1),
            (pop(ropc(&entra)), 1),
            (devicecode(&entra), 2),
            (azurecli(az), 1),
        ] {
            let kubelogin = kubelogin.storage(storage).verbose();
            let output = run_refused(&kubelogin, libc::EPERM);
            output.token();
            let told = output.notices();
            assert_eq!(told.len(), lines, "{storage}: {told:?}");
        }
    }
}

/// The notice appears when the key file is created, once per home folder.
#[test]
fn a_refused_keyring_is_no_reason_to_speak_while_the_call_succeeds() {
    let entra = FakeEntra::start();
    for storage in ["auto", "keyring"] {
        let output = run_refused(&spn(&entra).storage(storage), libc::EPERM);
        output.token();
        assert_eq!(output.stderr, "", "{storage}");
    }
}

#[test]
fn a_denied_keyring_that_was_asked_for_caches_nothing_and_says_why() {
    let entra = FakeEntra::start();
    let kubelogin = spn(&entra).storage("keyring").verbose();
    let output = run_refused(&kubelogin, libc::EPERM);
    output.token();
    assert_eq!(output.notices().len(), 1, "{}", output.stderr);
    assert!(output.stderr.contains("keyring"), "{}", output.stderr);
    let left = names_in(&kubelogin.cache());
    assert!(left.iter().all(|name| name.ends_with(".lock")), "{left:?}");
}

/// As after a reboot.
#[test]
fn a_lost_key_costs_one_sign_in() {
    let entra = FakeEntra::start();
    let kubelogin = spn(&entra).storage("keyring");
    let folder = kubelogin.cache();
    let log_out = Kubelogin::log_out(&folder);
    kubelogin.run().token();
    let entry = entry_in(&folder);
    let content = fs::read(&entry).unwrap();
    log_out.run();
    fs::create_dir_all(&folder).unwrap();
    fs::write(&entry, content).unwrap();

    let output = kubelogin.run();
    assert_eq!(output.stderr, "");
    assert_eq!(kubelogin.run().token(), output.token());
    assert_eq!(entra.logins(), 2);
    log_out.run();
}
