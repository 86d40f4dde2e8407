//! How the program starts.
//!
//! Rust's runtime reads the memory map of the process from /proc before it calls `main`, so as to say at a stack overflow
//! that it was one. With glibc that is a tenth of the time that a call with a token at hand takes. There the program
//! starts as one in C does, and does for itself what else that runtime would have done.

/// A program in C starts here.
#[cfg(all(target_os = "linux", target_env = "gnu", not(test)))]
#[expect(
    unsafe_code,
    reason = "the name that glibc calls; a signal is ignored where no safe crate can"
)]
mod glibc {
    use std::os::fd::IntoRawFd;
    use std::process::{abort, exit};

    use libc::{SIG_IGN, SIGPIPE, c_char, c_int, signal};
    use rustix::fs::{Mode, OFlags, open};
    use rustix::io::fcntl_getfd;
    use rustix::stdio::{stderr, stdin, stdout};

    /// `std::env::args` needs no help here: std gets them from glibc, too.
    #[unsafe(no_mangle)]
    extern "C" fn main(_count: c_int, _arguments: *const *const c_char) -> c_int {
        if [stdin(), stdout(), stderr()]
            .into_iter()
            .any(|stream| fcntl_getfd(stream).is_err())
        {
            take_closed_streams();
        }
        // SAFETY: no handler is installed, and no other thread runs yet.
        unsafe { signal(SIGPIPE, SIG_IGN) };
        // exit() writes what std still holds for stdout.
        exit(crate::run_here().into())
    }

    /// A file must not get the number of a standard stream that was closed: messages would be written into it.
    fn take_closed_streams() {
        while let Ok(stream) = open("/dev/null", OFlags::RDWR, Mode::empty()) {
            if stream.into_raw_fd() > 2 {
                return;
            }
        }
        abort();
    }
}

/// Keeps the pipes to our client from the programs that we start, which would get them along with their own streams: a
/// browser would hold them open until it is closed, and kubectl would wait for that.
#[cfg(windows)]
#[expect(unsafe_code, reason = "std has no way to say it")]
pub fn keep_streams_private() {
    use std::io;
    use std::os::windows::io::AsRawHandle;

    use windows_sys::Win32::Foundation::{HANDLE_FLAG_INHERIT, SetHandleInformation};

    for stream in [
        io::stdin().as_raw_handle(),
        io::stdout().as_raw_handle(),
        io::stderr().as_raw_handle(),
    ] {
        // SAFETY: the handle is one of this process, or none, which is an error that changes nothing.
        unsafe { SetHandleInformation(stream, HANDLE_FLAG_INHERIT, 0) };
    }
}
