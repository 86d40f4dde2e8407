//! What only Windows has.

use std::io;
use std::os::windows::io::AsRawHandle;

use windows_sys::Win32::Foundation::{HANDLE_FLAG_INHERIT, SetHandleInformation};

/// Keeps the pipes to our client from the programs that we start. On Windows a program inherits them along with its own
/// streams: a browser would hold them open until it is closed, and kubectl would wait for that.
#[expect(unsafe_code, reason = "std has no way to say it")]
pub fn keep_streams_private() {
    for stream in [
        io::stdin().as_raw_handle(),
        io::stdout().as_raw_handle(),
        io::stderr().as_raw_handle(),
    ] {
        // SAFETY: the handle is this process's own, or null, for which the call fails and changes nothing.
        unsafe { SetHandleInformation(stream, HANDLE_FLAG_INHERIT, 0) };
    }
}
