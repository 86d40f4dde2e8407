//! Watches the Kubernetes client that ran us until it exits.

use std::os::windows::io::{AsRawHandle, FromRawHandle, OwnedHandle};

use windows_sys::Win32::Foundation::{INVALID_HANDLE_VALUE, WAIT_OBJECT_0};
use windows_sys::Win32::System::Diagnostics::ToolHelp::{
    CreateToolhelp32Snapshot, PROCESSENTRY32, Process32First, Process32Next, TH32CS_SNAPPROCESS,
};
use windows_sys::Win32::System::Threading::{
    OpenProcess, PROCESS_SYNCHRONIZE, WaitForSingleObject,
};

/// The Kubernetes client that ran us.
pub struct Client {
    /// Also `None` if it cannot be watched. Only for a client's plugin: otherwise we may be meant to outlive the
    /// parent.
    parent: Option<OwnedHandle>,
}

impl Client {
    pub fn new(is_plugin: bool) -> Self {
        Self {
            parent: is_plugin
                .then(|| open(parent_of(std::process::id())?))
                .flatten(),
        }
    }

    /// True if the client has ended. On Windows there is no way to check whether a pipe still has a reader.
    #[expect(
        unsafe_code,
        reason = "neither std nor a safe crate waits for a process that is not a child"
    )]
    pub fn is_gone(&self) -> bool {
        self.parent.as_ref().is_some_and(|parent| {
            // SAFETY: the handle is open as long as `parent`.
            unsafe { WaitForSingleObject(parent.as_raw_handle(), 0) == WAIT_OBJECT_0 }
        })
    }
}

/// The ID of the process that started this one.
#[expect(
    unsafe_code,
    reason = "neither std nor a safe crate knows a process's parent"
)]
fn parent_of(process: u32) -> Option<u32> {
    // SAFETY: the snapshot's handle is checked before it is owned. `entry` has the size that it says, and the functions
    // fill it.
    unsafe {
        let snapshot = CreateToolhelp32Snapshot(TH32CS_SNAPPROCESS, 0);
        if snapshot == INVALID_HANDLE_VALUE {
            return None;
        }
        let snapshot = OwnedHandle::from_raw_handle(snapshot);
        let mut entry = PROCESSENTRY32 {
            dwSize: u32::try_from(size_of::<PROCESSENTRY32>()).ok()?,
            ..PROCESSENTRY32::default()
        };
        let mut has_entry = Process32First(snapshot.as_raw_handle(), &raw mut entry);
        while has_entry != 0 && entry.th32ProcessID != process {
            has_entry = Process32Next(snapshot.as_raw_handle(), &raw mut entry);
        }
        (has_entry != 0).then_some(entry.th32ParentProcessID)
    }
}

/// A process, to wait for its end. If our parent has already exited, this fails or finds the next process with its ID,
/// whose exit then ends us: by then, nobody waits for our token.
#[expect(
    unsafe_code,
    reason = "neither std nor a safe crate opens a process that is not a child"
)]
fn open(process: u32) -> Option<OwnedHandle> {
    // SAFETY: a handle that is not null is open, and nobody else's.
    unsafe {
        let handle = OpenProcess(PROCESS_SYNCHRONIZE, 0, process);
        (!handle.is_null()).then(|| OwnedHandle::from_raw_handle(handle))
    }
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use super::*;

    #[test]
    #[expect(clippy::disallowed_methods, reason = "the program to kill")]
    fn a_client_is_gone_once_it_has_ended() {
        let mut child = Command::new("ping.exe")
            .args(["-n", "60", "127.0.0.1"])
            .stdout(Stdio::null())
            .spawn()
            .expect("started");
        assert_eq!(parent_of(child.id()), Some(std::process::id()));
        let client = Client {
            parent: open(child.id()),
        };
        assert!(client.parent.is_some() && !client.is_gone());
        child.kill().expect("killed");
        child.wait().expect("ended");
        assert!(client.is_gone());
        assert!(!Client::new(true).is_gone(), "our own parent waits for us");
    }
}
