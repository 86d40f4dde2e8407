//! The platform code of Windows. `unix.rs` has the same names.

mod access;
mod client;

use std::fs::{self, File, Metadata, OpenOptions};
use std::io;
use std::os::windows::fs::{MetadataExt, OpenOptionsExt};
use std::os::windows::io::AsRawHandle;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};

use win32job::Job;
use windows_sys::Win32::Foundation::{GENERIC_WRITE, HANDLE_FLAG_INHERIT, SetHandleInformation};
use windows_sys::Win32::Storage::FileSystem::{ReplaceFileW, WRITE_DAC};
use windows_sys::Win32::System::Console::GetConsoleWindow;

use super::Uptime;
use super::interrupt::Undo;
use crate::env::{self, Env};
use access::Access;
pub use client::Client;

/// The console that this process belongs to, whatever its standard streams are.
pub const CONTROLLING_TERMINAL: &str = "CONOUT$";
/// Between the entries of PATH-like variables; paths contain colons.
pub const LIST_SEPARATOR: char = ';';
/// What is added to the name of a program to get its file. `az` is `az.cmd`: `Command` hands it to the system's own
/// cmd.exe and quotes the arguments for it, or refuses those that it cannot quote.
pub const PROGRAM_EXTENSIONS: &[&str] = &[".com", ".exe", ".bat", ".cmd"];
/// True where the TLS library itself reads SSL_CERT_FILE, in place of the system's certificates.
pub const TLS_READS_SSL_CERT_FILE: bool = false;

/// Opens a link itself, not what it leads to.
const FILE_FLAG_OPEN_REPARSE_POINT: u32 = 0x0020_0000;

/// Opens a file for reading. Opening never waits here.
pub fn open_at_once(path: &Path) -> io::Result<File> {
    File::open(path)
}

/// Opens a file without following links.
pub fn open_careful(options: &mut OpenOptions, path: &Path) -> io::Result<File> {
    options
        .custom_flags(FILE_FLAG_OPEN_REPARSE_POINT)
        .open(path)
}

/// Creates a file that nobody else can use. While it is being written, nobody can open it.
pub fn create_private(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options
        .write(true)
        .create_new(true)
        .access_mode(GENERIC_WRITE | WRITE_DAC)
        .share_mode(0);
    let file = open_careful(&mut options, path)?;
    access::make_private(&file)?;
    Ok(file)
}

/// Checks that a folder is the user's, and that nobody else can write to it.
pub fn check_folder(path: &Path, _metadata: &Metadata) -> io::Result<()> {
    let access = Access::of_path(path)?;
    if !access.is_ours()? {
        return Err(io::Error::other("it belongs to another user"));
    }
    if access.others_may_write() {
        return Err(io::Error::other(
            "other users can write to it (to see who: icacls)",
        ));
    }
    Ok(())
}

/// True if nobody else can read or write a file that is open.
pub fn is_private_file(file: &File, _metadata: &Metadata) -> bool {
    Access::of_file(file)
        .is_ok_and(|access| access.is_private() && access.is_ours().unwrap_or_default())
}

/// True for every file: ours are in a folder that nobody else can write to.
pub fn is_ours(_metadata: &Metadata) -> bool {
    true
}

/// As [`is_ours`].
pub fn may_hold_ours(_metadata: &Metadata) -> bool {
    true
}

/// True for every file: std does not say how many links one has.
pub fn has_one_name(_metadata: &Metadata) -> bool {
    true
}

/// Does nothing: Windows keeps no core dumps unless an administrator asks for them.
pub fn forbid_core_dumps() {}

/// As [`is_ours`].
pub fn is_private(_metadata: &Metadata) -> bool {
    true
}

/// Does nothing: see [`is_ours`].
pub fn keep_private(_file: &File) -> io::Result<()> {
    Ok(())
}

/// Makes a folder that nobody else can read or write.
pub fn make_private(path: &Path) -> io::Result<()> {
    access::create_private_folder(path)
}

/// Creates a lock file, which must not exist yet. Undoing it removes the file, and so does Windows however this process
/// ends.
pub fn create_lock_file(path: &Path) -> io::Result<Undo> {
    const FILE_FLAG_DELETE_ON_CLOSE: u32 = 0x0400_0000;
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    let file = options.custom_flags(FILE_FLAG_DELETE_ON_CLOSE).open(path)?;
    Ok(Box::new(|| drop(file)))
}

/// Does nothing: a file inherits its access control list from its folder.
pub fn keep_owner_and_mode(_file: &File, _old: &Metadata) -> io::Result<()> {
    Ok(())
}

/// Distinguishes two versions with the same bytes: a file that replaces another has its own creation time.
pub fn writing(metadata: &Metadata) -> String {
    let (created, written) = (metadata.creation_time(), metadata.last_write_time());
    format!("{created} {written}")
}

/// None: Windows has access control lists instead of permission bits.
pub fn mode(_metadata: &Metadata) -> Option<u32> {
    None
}

/// Fails if a folder cannot be examined; its access control list is not evaluated.
pub fn check_writable(folder: &Path) -> io::Result<()> {
    fs::metadata(folder).map(drop)
}

/// Does nothing: a folder cannot be opened as a file, and its renames are durable enough.
pub fn sync_folder(_folder: &Path) {}

/// True if a file that is being removed still blocks its name, for a moment.
pub fn is_being_removed(error: &io::Error) -> bool {
    const ERROR_ACCESS_DENIED: i32 = 5;
    error.raw_os_error() == Some(ERROR_ACCESS_DENIED)
}

/// Makes a folder and those above it; see [`is_ours`].
pub fn make_private_folders(path: &Path) -> io::Result<()> {
    fs::create_dir_all(path)
}

/// Does nothing: Windows has no limit for the size of a process's files.
pub fn check_size(_length: usize) -> io::Result<()> {
    Ok(())
}

/// A command line, to which the address is added.
pub type Opener = &'static [&'static str];

/// The program that opens an address in the user's browser. The address is an argument, and no shell is involved.
pub fn openers(_says_wsl: bool) -> Vec<Opener> {
    vec![&["rundll32.exe", "url.dll,FileProtocolHandler"]]
}

/// Where installers put programs, for callers with a short PATH: desktop programs, services.
pub fn usual_folders(env: &Env) -> Vec<PathBuf> {
    [
        (env::PROGRAM_FILES, r"Microsoft SDKs\Azure\CLI2\wbin"),
        (env::PROGRAM_FILES_X86, r"Microsoft SDKs\Azure\CLI2\wbin"),
        (env::PROGRAM_FILES, "Azure Dev CLI"),
        (env::LOCALAPPDATA, r"Programs\Azure Dev CLI"),
        (env::PROGRAM_FILES, r"PowerShell\7"),
        (env::SYSTEM_ROOT, r"System32\WindowsPowerShell\v1.0"),
    ]
    .into_iter()
    .filter_map(|(variable, folder)| Some(Path::new(env.get(variable)?).join(folder)))
    .collect()
}

/// A folder to run programs in that nobody else can write to.
pub fn working_folder(env: &Env) -> PathBuf {
    PathBuf::from(env.get(env::SYSTEM_ROOT).unwrap_or(r"C:\Windows"))
}

pub fn is_executable(_metadata: &Metadata) -> bool {
    true
}

/// Does nothing: Ctrl-C reaches only the console's programs, and a browser is not one.
pub fn detach(_command: &mut Command) {}

/// Starts a program so that it can be killed with its child processes.
pub fn spawn(command: &mut Command) -> io::Result<(Child, Group)> {
    let child = command.spawn()?;
    let job = Job::create().and_then(|job| {
        job.assign_process(child.as_raw_handle() as isize)?;
        Ok(job)
    });
    Ok((child, Group(job.ok())))
}

/// A program and its child processes: a job object. `None` if the system refuses one; then nothing is killed.
pub struct Group(Option<Job>);

impl Group {
    pub fn kill(self) {
        if let Some(job) = self.0
            && let Ok(mut limits) = job.query_extended_limit_info()
        {
            limits.limit_kill_on_job_close();
            let _ = job.set_extended_limit_info(&limits);
        }
    }
}

/// Does nothing: Ctrl-C reaches every program of the console, and Windows removes our lock file.
pub fn before_a_signal_ends_us(_undo: fn()) {}

/// Replaces one file by another, keeping the replaced file's access control list: a rename would apply the folder's.
#[expect(
    unsafe_code,
    reason = "neither std nor a safe crate keeps the access control list"
)]
pub fn replace_file(new: &Path, old: &Path) -> io::Result<()> {
    if !old.exists() {
        return std::fs::rename(new, old);
    }
    let (new, old) = (access::wide(new), access::wide(old));
    let (none, nothing) = (std::ptr::null(), std::ptr::null());
    // SAFETY: both names end with NUL and live until the call returns; the pointers that are null may be.
    let is_replaced =
        unsafe { ReplaceFileW(old.as_ptr(), new.as_ptr(), none, 0, nothing, nothing) };
    match is_replaced {
        0 => Err(io::Error::last_os_error()),
        _ => Ok(()),
    }
}

/// Does not pass the pipes to our client to the programs that we start. Windows programs inherit them along with their
/// own streams: a browser would hold them open until it is closed, and kubectl would wait for that.
#[expect(
    unsafe_code,
    reason = "neither std nor a safe crate can change the flag of a handle that stays open"
)]
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

/// How long the machine has been on: not known on Windows.
pub fn uptime() -> Option<Uptime> {
    None
}

/// The process that started us: not known on Windows.
pub fn caller() -> Option<String> {
    None
}

/// Identifies this process's console by its window, which a tab of Windows Terminal has too; `None` without one.
#[expect(
    unsafe_code,
    reason = "neither std nor a safe crate tells consoles apart"
)]
pub fn terminal_id() -> Option<String> {
    // SAFETY: the call has no preconditions, and the handle is only compared.
    let window = unsafe { GetConsoleWindow() };
    (!window.is_null()).then(|| window.addr().to_string())
}

/// Windows does not report who holds a lock.
pub fn lock_holder(_file: &Metadata) -> Option<u32> {
    None
}

/// True: Windows has no background jobs.
pub fn is_in_foreground() -> bool {
    true
}

/// How wide the console is: not known on Windows.
pub fn columns(_console: &impl AsRawHandle) -> Option<u16> {
    None
}

/// Does nothing: the console takes lines that are long enough.
pub fn turn_line_editor_off() -> io::Result<Undo> {
    Ok(Box::new(|| ()))
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::process::Stdio;

    use tempfile::TempDir;

    use super::*;

    #[test]
    fn no_command_interpreter_sees_the_address() {
        assert_eq!(
            openers(false),
            [["rundll32.exe", "url.dll,FileProtocolHandler"]]
        );
    }

    #[test]
    #[expect(clippy::disallowed_methods, reason = "the program to kill")]
    fn a_killed_program_takes_its_child_processes_along() {
        let mut command = Command::new("cmd.exe");
        let command = command
            .args(["/c", "ping -n 60 127.0.0.1"])
            .stdout(Stdio::piped());
        let (mut child, group) = spawn(command).expect("started");
        let mut output = child.stdout.take().expect("a pipe");
        output.read_exact(&mut [0]).expect("ping writes");
        group.kill();
        // The pipe ends when nobody holds it any more: ping has been killed too.
        output.read_to_end(&mut Vec::new()).expect("the end");
        assert!(!child.wait().expect("an exit code").success());
    }

    #[test]
    fn what_is_made_private_is_private() {
        let room = TempDir::new().expect("a folder");
        let (folder, file) = (room.path().join("folder"), room.path().join("file"));
        make_private(&folder).expect("made");
        let metadata = folder.metadata().expect("there");
        check_folder(&folder, &metadata).expect("private");
        assert!(Access::of_path(&folder).expect("read").is_private());
        let mut created = create_private(&file).expect("created");
        std::io::Write::write_all(&mut created, b"text").expect("written");
        drop(created);
        for file in [file, folder.join("in it")] {
            let mut options = OpenOptions::new();
            let options = options.read(true).write(true).create(true).truncate(false);
            let open = options.open(&file).expect("opened");
            let metadata = open.metadata().expect("there");
            assert!(is_private_file(&open, &metadata), "{}", file.display());
        }
    }

    #[test]
    #[expect(clippy::disallowed_methods, reason = "the system's own tool")]
    fn what_others_may_use_is_told_apart() {
        let room = TempDir::new().expect("a folder");
        for (rights, may_write, may_read) in [("(OI)(CI)F", true, true), ("R", false, true)] {
            let folder = room.path().join(format!("folder {may_write}"));
            make_private(&folder).expect("made");
            let grant = format!("*S-1-1-0:{rights}");
            let icacls = Command::new("icacls")
                .arg(&folder)
                .args(["/grant", &grant])
                .status();
            assert!(icacls.expect("cannot start icacls").success());
            let access = Access::of_path(&folder).expect("read");
            assert_eq!(
                (access.others_may_write(), !access.is_private()),
                (may_write, may_read)
            );
            let metadata = folder.metadata().expect("there");
            assert_eq!(check_folder(&folder, &metadata).is_err(), may_write);
        }
    }

    #[test]
    fn a_file_that_is_replaced_keeps_its_access_control_list() {
        let room = TempDir::new().expect("a folder");
        let (old, new) = (room.path().join("old"), room.path().join("new"));
        drop(create_private(&old).expect("created"));
        fs::write(&new, "new").expect("written");
        let is_private = |path: &Path| Access::of_path(path).expect("read").is_private();
        let before = is_private(&new);
        replace_file(&new, &old).expect("replaced");
        assert_eq!(fs::read_to_string(&old).expect("read"), "new");
        assert!(
            is_private(&old),
            "the new file was private before: {before}"
        );
    }

    #[test]
    fn a_lock_file_goes_when_it_is_undone() {
        let folder = TempDir::new().expect("a folder");
        let path = folder.path().join("config.lock");
        let undo = create_lock_file(&path).expect("created");
        let again = create_lock_file(&path).err().map(|error| error.kind());
        assert_eq!(again, Some(io::ErrorKind::AlreadyExists));
        undo();
        assert!(!path.exists());
    }
}
