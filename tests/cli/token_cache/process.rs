//! Runs the program with restricted limits, rights or system calls.

use std::io;
use std::os::unix::process::CommandExt;

use crate::support::*;

/// Runs the program after `prepare` in its process.
pub fn run_after(
    kubelogin: &Kubelogin,
    prepare: impl FnMut() -> io::Result<()> + Send + Sync + 'static,
) -> Output {
    spawn_after(kubelogin, prepare).wait()
}

/// Starts the program after `prepare` in its process.
pub fn spawn_after(
    kubelogin: &Kubelogin,
    prepare: impl FnMut() -> io::Result<()> + Send + Sync + 'static,
) -> Running {
    let mut command = kubelogin.command();
    // SAFETY: each `prepare` only makes system calls.
    unsafe { command.pre_exec(prepare) };
    kubelogin.start(&mut command)
}

pub fn checked(result: libc::c_int) -> io::Result<()> {
    match result {
        -1 => Err(io::Error::last_os_error()),
        _ => Ok(()),
    }
}

pub const NOBODY: libc::uid_t = 65534;

/// Runs the program as an unprivileged user: as `nobody` if the tests run as root.
pub fn run_without_rights(kubelogin: &Kubelogin) -> Output {
    run_after(kubelogin, drop_rights)
}

pub fn drop_rights() -> io::Result<()> {
    // SAFETY: none of these have preconditions.
    unsafe {
        match libc::geteuid() {
            0 => checked(libc::setgid(NOBODY)).and(checked(libc::setuid(NOBODY))),
            _ => Ok(()),
        }
    }
}

#[cfg(target_os = "linux")]
pub use without_calls::*;

/// Processes that may not make some system calls.
#[cfg(target_os = "linux")]
mod without_calls {
    use super::*;

    /// The kernel keyring's system calls.
    const KEYRING: &[libc::c_long] = &[libc::SYS_add_key, libc::SYS_keyctl, libc::SYS_request_key];

    /// Runs it with this seccomp action for these system calls. Docker's default profile denies many calls this way.
    pub fn run_without(calls: &[libc::c_long], action: u32, kubelogin: &Kubelogin) -> Output {
        let mut filter = filter(calls, action);
        let mut command = kubelogin.command();
        // SAFETY: the filter exists already, and setting it takes two system calls.
        unsafe { command.pre_exec(move || set_filter(&mut filter)) };
        kubelogin.start(&mut command).wait()
    }

    fn filter(calls: &[libc::c_long], action: u32) -> Vec<libc::sock_filter> {
        use libc::{BPF_ABS, BPF_JEQ, BPF_JMP, BPF_K, BPF_LD, BPF_RET, BPF_W};
        let step = |operation: u32, k, jt| libc::sock_filter {
            code: operation.try_into().expect("small"),
            jt,
            jf: 0,
            k,
        };
        let load = step(BPF_LD | BPF_W | BPF_ABS, 0, 0);
        let compare = calls
            .iter()
            .zip((1..=calls.len()).rev())
            .map(|(call, rest)| {
                let number = u32::try_from(*call).expect("small");
                let to_the_end = rest.try_into().expect("small");
                step(BPF_JMP | BPF_JEQ | BPF_K, number, to_the_end)
            });
        let allow = step(BPF_RET | BPF_K, libc::SECCOMP_RET_ALLOW, 0);
        let act = step(BPF_RET | BPF_K, action, 0);
        std::iter::once(load)
            .chain(compare)
            .chain([allow, act])
            .collect()
    }

    fn set_filter(filter: &mut [libc::sock_filter]) -> io::Result<()> {
        let program = libc::sock_fprog {
            len: filter.len().try_into().expect("small"),
            filter: filter.as_mut_ptr(),
        };
        // SAFETY: `program` and the filter it points to outlive the calls.
        let result = unsafe {
            libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
                | libc::prctl(
                    libc::PR_SET_SECCOMP,
                    libc::SECCOMP_MODE_FILTER,
                    &raw const program,
                )
        };
        match result {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        }
    }

    pub fn run_refused(kubelogin: &Kubelogin, errno: libc::c_int) -> Output {
        let errno = u32::try_from(errno).expect("small");
        run_without(KEYRING, libc::SECCOMP_RET_ERRNO | errno, kubelogin)
    }
}
