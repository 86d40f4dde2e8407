//! A person at a terminal whose client swallows stderr (Azure/kubelogin#641, lensapp/lens#6586).

use std::fs::File;
use std::io::Read;
use std::os::fd::{FromRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

use crate::support::*;

#[test]
fn a_prompt_reaches_the_controlling_terminal_too_when_stderr_is_none() {
    let entra = FakeEntra::start();
    let (mut terminal, program_side) = open_terminal();
    let mut command = Command::new(env!("CARGO_BIN_EXE_kubelogin"));
    command
        .args([
            "get-token",
            "--server-id",
            SERVER_ID,
            "--tenant-id",
            TENANT_ID,
        ])
        .args(["--client-id", PUBLIC_CLIENT_ID])
        .env_clear()
        .env("SSL_CERT_FILE", entra.ca_file())
        .env("HTTPS_PROXY", entra.proxy_url())
        .env("KUBELOGIN_TOKEN_CACHE_STORAGE", "none")
        .stdin(program_side)
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    // SAFETY: both calls are async-signal-safe; they make the terminal at stdin the child's own.
    unsafe {
        command.pre_exec(|| {
            if libc::setsid() == -1 || libc::ioctl(0, libc::TIOCSCTTY, 0) == -1 {
                return Err(std::io::Error::last_os_error());
            }
            Ok(())
        });
    }
    let child = command.spawn().expect("it starts");
    drop(command); // with the child's end of the terminal, so that reading ends
    let output = child.wait_with_output().expect("it ends");
    let mut shown = Vec::new();
    let _ = terminal.read_to_end(&mut shown); // ends with EIO on Linux: the last writer is gone
    let shown = String::from_utf8_lossy(&shown);
    assert!(
        shown.contains("https://microsoft.com/devicelogin"),
        "{shown}"
    );
    let stdout = String::from_utf8_lossy(&output.stdout);
    assert!(
        stdout.contains("ExecCredential") && !stdout.contains("devicelogin"),
        "{stdout}"
    );
}

/// The two ends of a pseudo terminal: the person's and the program's.
fn open_terminal() -> (File, OwnedFd) {
    let (mut ours, mut theirs) = (-1, -1);
    let null = std::ptr::null_mut();
    // SAFETY: openpty fills two descriptors that nobody else owns; the null pointers ask for defaults.
    unsafe {
        let opened = libc::openpty(
            &raw mut ours,
            &raw mut theirs,
            null,
            null.cast(),
            null.cast(),
        );
        assert_eq!(opened, 0, "a pseudo terminal");
        (File::from_raw_fd(ours), OwnedFd::from_raw_fd(theirs))
    }
}
