//! The platform code of Linux and macOS. `windows.rs` has the same names.

use std::fs::{DirBuilder, File, Metadata, OpenOptions, Permissions};
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt, fchown};
use std::os::unix::process::{CommandExt, parent_id};
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::thread;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{Access, OFlags, access};
use rustix::process::{
    Pid, Resource, Rlimit, Signal, getegid, geteuid, getpgrp, getrlimit, kill_process_group,
    setrlimit,
};
use rustix::system::uname;
use rustix::termios::{
    LocalModes, OptionalActions, SpecialCodeIndex, tcgetattr, tcgetpgrp, tcgetwinsize, tcsetattr,
};
use rustix::time::{ClockId, clock_gettime};
use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM};
use signal_hook::iterator::Signals;
use signal_hook::low_level::emulate_default_handler;

use super::Uptime;
use super::interrupt::Undo;
use crate::env::Env;

/// The terminal that this process belongs to, whatever its standard streams are.
pub const CONTROLLING_TERMINAL: &str = "/dev/tty";
/// Between the entries of PATH-like variables.
pub const LIST_SEPARATOR: char = ':';
/// What is added to the name of a program to get its file.
pub const PROGRAM_EXTENSIONS: &[&str] = &[""];
/// True where the TLS library itself reads SSL_CERT_FILE, in place of the system's certificates.
pub const TLS_READS_SSL_CERT_FILE: bool = cfg!(target_os = "linux");
/// The clock that keeps running while the machine sleeps.
#[cfg(target_os = "linux")]
const CLOCK: ClockId = ClockId::Boottime;
#[cfg(not(target_os = "linux"))]
const CLOCK: ClockId = ClockId::Monotonic;

const FILE_MODE: u32 = 0o600;
const FOLDER_MODE: u32 = 0o700;
const ROOT: u32 = 0;

/// Opens a file for reading, without waiting for the other end of a FIFO or acquiring a terminal.
#[expect(clippy::cast_possible_wrap, reason = "flags are bits")]
pub fn open_at_once(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options
        .read(true)
        .custom_flags((OFlags::NONBLOCK | OFlags::NOCTTY).bits() as i32)
        .open(path)
}

/// Opens a file without following links or waiting for the other end of a FIFO. A new one is private.
#[expect(clippy::cast_possible_wrap, reason = "flags are bits")]
pub fn open_careful(options: &mut OpenOptions, path: &Path) -> io::Result<File> {
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
    options
        .custom_flags(flags.bits() as i32)
        .mode(FILE_MODE)
        .open(path)
}

pub fn is_ours(metadata: &Metadata) -> bool {
    metadata.uid() == geteuid().as_raw()
}

/// True for a folder in which we may create ours: the user's own, or a system folder such as /tmp.
pub fn may_hold_ours(metadata: &Metadata) -> bool {
    is_ours(metadata) || metadata.uid() == ROOT
}

/// Creates a file that nobody else can use.
pub fn create_private(path: &Path) -> io::Result<File> {
    open_careful(OpenOptions::new().write(true).create_new(true), path)
}

/// Checks that a folder is the user's, and that nobody else can write to it.
pub fn check_folder(_path: &Path, metadata: &Metadata) -> io::Result<()> {
    if !is_ours(metadata) {
        return Err(io::Error::other("it belongs to another user"));
    }
    if others_may_write(metadata) {
        return Err(io::Error::other(
            "other users can write to it (to change that: chmod go-w)",
        ));
    }
    Ok(())
}

/// True if nobody else can read or write a file that is open.
pub fn is_private_file(_file: &File, metadata: &Metadata) -> bool {
    is_private(metadata)
}

/// True if others can write to a folder. The user's own group does not count: with such groups, a umask of 002 is
/// usual.
fn others_may_write(metadata: &Metadata) -> bool {
    let is_own_group = metadata.gid() == metadata.uid() && metadata.gid() == getegid().as_raw();
    metadata.mode() & 0o002 != 0 || metadata.mode() & 0o020 != 0 && !is_own_group
}

/// False for a file with a hard link elsewhere: it would show what is written here.
pub fn has_one_name(metadata: &Metadata) -> bool {
    metadata.nlink() == 1
}

/// Keeps secrets in memory out of core dumps, which crash reporters collect: of this process only, because the programs
/// that it starts may raise the limit again. On Linux other processes of the user cannot read its memory either.
pub fn forbid_core_dumps() {
    let limit = getrlimit(Resource::Core);
    if limit.current != Some(0) {
        let none = Rlimit {
            current: Some(0),
            ..limit
        };
        let _ = setrlimit(Resource::Core, none);
    }
    #[cfg(target_os = "linux")]
    let _ = rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable);
}

/// True if nobody else can read or write it.
pub fn is_private(metadata: &Metadata) -> bool {
    metadata.mode() & 0o077 == 0
}

/// Overrides the umask: 0777 would lock out the user.
pub fn keep_private(file: &File) -> io::Result<()> {
    file.set_permissions(Permissions::from_mode(FILE_MODE))
}

/// Makes a folder that nobody else can read or write.
pub fn make_private(path: &Path) -> io::Result<()> {
    DirBuilder::new().mode(FOLDER_MODE).create(path)?;
    std::fs::set_permissions(path, Permissions::from_mode(FOLDER_MODE))
}

/// Creates a lock file, which must not exist yet. Undoing it removes the file.
pub fn create_lock_file(path: &Path) -> io::Result<Undo> {
    OpenOptions::new().write(true).create_new(true).open(path)?;
    let path = path.to_owned();
    Ok(Box::new(move || drop(std::fs::remove_file(path))))
}

/// Gives a new version of a file the old one's owner and mode.
pub fn keep_owner_and_mode(file: &File, old: &Metadata) -> io::Result<()> {
    let new = file.metadata()?;
    if (new.uid(), new.gid()) != (old.uid(), old.gid()) {
        fchown(file, Some(old.uid()), Some(old.gid()))?;
    }
    file.set_permissions(old.permissions())
}

/// Distinguishes two versions with the same bytes: by inode and by time of the last write.
pub fn writing(metadata: &Metadata) -> String {
    let (seconds, nanoseconds) = (metadata.mtime(), metadata.mtime_nsec());
    format!("{} {seconds} {nanoseconds}", metadata.ino())
}

/// The permission bits of a file.
pub fn mode(metadata: &Metadata) -> Option<u32> {
    Some(metadata.mode() & 0o777)
}

/// Fails if this process may not write to a folder.
pub fn check_writable(folder: &Path) -> io::Result<()> {
    Ok(access(folder, Access::WRITE_OK)?)
}

/// Makes a rename in a folder durable.
pub fn sync_folder(folder: &Path) {
    let _ = File::open(folder).and_then(|folder| folder.sync_all());
}

/// True if a file that is being removed still blocks its name: never on Unix.
pub fn is_being_removed(_error: &io::Error) -> bool {
    false
}

/// Makes a folder and those above it, new ones for nobody else.
pub fn make_private_folders(path: &Path) -> io::Result<()> {
    let mut builder = DirBuilder::new();
    builder.recursive(true).mode(FOLDER_MODE).create(path)
}

/// Writing a file larger than `ulimit -f` would not fail but kill the process (SIGXFSZ).
pub fn check_size(length: usize) -> io::Result<()> {
    match getrlimit(Resource::Fsize).current {
        Some(limit) if length as u64 > limit => Err(io::ErrorKind::FileTooLarge.into()),
        _ => Ok(()),
    }
}

/// A command line, to which the address is added.
pub type Opener = &'static [&'static str];

/// The programs that open an address in the desktop's browser, in order of preference. The address is an argument, and
/// no shell is involved.
pub fn openers(says_wsl: bool) -> Vec<Opener> {
    const MACOS: &[Opener] = &[&["open"]];
    const WSL: &[Opener] = &[
        &["wslview"],
        &["rundll32.exe", "url.dll,FileProtocolHandler"],
    ];
    const OTHERS: &[Opener] = &[&["xdg-open"], &["x-www-browser"], &["www-browser"]];
    if cfg!(target_os = "macos") {
        MACOS.to_vec()
    } else if says_wsl || is_kernel_of_wsl(Path::new("/proc/version")) {
        [WSL, OTHERS].concat()
    } else {
        OTHERS.to_vec()
    }
}

/// WSL's kernel has Microsoft in its version; under `sudo` and in containers its variable is not set.
fn is_kernel_of_wsl(version: &Path) -> bool {
    std::fs::read_to_string(version)
        .is_ok_and(|text| text.to_ascii_lowercase().contains("microsoft"))
}

/// Where installers put programs, for callers with a short PATH: desktop programs, sandboxes and services.
pub fn usual_folders(_env: &Env) -> Vec<PathBuf> {
    [
        "/usr/local/bin",
        "/usr/bin",
        "/opt/homebrew/bin",
        "/home/linuxbrew/.linuxbrew/bin",
        "/snap/bin",
    ]
    .map(PathBuf::from)
    .to_vec()
}

/// A folder to run programs in that nobody else can write to.
pub fn working_folder(_env: &Env) -> PathBuf {
    PathBuf::from("/")
}

pub fn is_executable(metadata: &Metadata) -> bool {
    metadata.permissions().mode() & 0o111 != 0
}

/// Keeps Ctrl-C from a program: it goes to the terminal's foreground group only.
pub fn detach(command: &mut Command) {
    command.process_group(0);
}

/// Starts a program so that it can be killed with its child processes.
pub fn spawn(command: &mut Command) -> io::Result<(Child, Group)> {
    detach(command);
    let child = command.spawn()?;
    let leader = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    Ok((child, Group(leader)))
}

/// A program and those of its child processes that did not leave its process group.
pub struct Group(Option<Pid>);

impl Group {
    pub fn kill(self) {
        if let Some(leader) = self.0 {
            // Fails only if no process is left.
            let _ = kill_process_group(leader, Signal::KILL);
        }
    }
}

/// From now on, calls `undo` before a signal ends this program.
pub fn before_a_signal_ends_us(undo: fn()) {
    let Ok(mut signals) = Signals::new([SIGHUP, SIGINT, SIGQUIT, SIGTERM]) else {
        return;
    };
    // Without the thread, a signal ends us as usual and nothing is undone.
    let _ = thread::Builder::new().spawn(move || {
        for signal in signals.forever() {
            undo();
            let _ = emulate_default_handler(signal);
        }
    });
}

/// Replaces one file by another, atomically.
pub fn replace_file(new: &Path, old: &Path) -> io::Result<()> {
    std::fs::rename(new, old)
}

/// Does nothing: the standard library does not pass our standard streams to the programs that we start. At start-up it
/// also opened /dev/null for closed streams, so that no file gets their numbers, and ignored SIGPIPE.
pub fn keep_streams_private() {}

/// How long the machine has been on.
pub fn uptime() -> Option<Uptime> {
    Some(Uptime {
        machine: uname().nodename().to_string_lossy().into_owned(),
        seconds: clock_gettime(CLOCK).tv_sec,
    })
}

/// The parent's process ID and, as IDs are reused, when it started (proc_pid_stat(5), field 22).
pub fn caller() -> Option<String> {
    let parent = parent_id().to_string();
    let started = stat_field(&parent, 22).unwrap_or_default();
    Some(format!("{parent} {started}"))
}

/// A field of a process's status (proc_pid_stat(5)); `None` where there is no /proc.
fn stat_field(process: &str, number: usize) -> Option<String> {
    let status = std::fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    // The program's name, in parentheses, may contain anything; the fields after it count from the third.
    let fields = status.rsplit(')').next()?;
    Some(fields.split_whitespace().nth(number - 3)?.to_owned())
}

/// Identifies the controlling terminal among all machines that share a home folder; `None` without one.
pub fn terminal_id() -> Option<String> {
    Some(format!(
        "{} {}",
        uname().nodename().to_string_lossy(),
        controlling_terminal()?
    ))
}

/// The number of its device (proc_pid_stat(5), field 7). The ID of its session would do too, but that is 0 if the session
/// began outside our PID namespace, and rustix cannot return 0.
#[cfg(target_os = "linux")]
fn controlling_terminal() -> Option<String> {
    stat_field("self", 7).filter(|device| device != "0")
}

/// The ID of its session, which has no other terminal.
#[cfg(not(target_os = "linux"))]
fn controlling_terminal() -> Option<String> {
    let terminal = open_at_once(Path::new(CONTROLLING_TERMINAL)).ok()?;
    let session = rustix::termios::tcgetsid(terminal).ok()?;
    Some(session.as_raw_nonzero().to_string())
}

/// The process that holds the lock on a file, if the system reports it (Linux, proc_locks(5)).
pub fn lock_holder(file: &Metadata) -> Option<u32> {
    let locks = std::fs::read_to_string("/proc/locks").ok()?;
    lock_holder_in(&locks, file.ino())
}

/// `1: FLOCK  ADVISORY  WRITE 4711 08:01:131 0 EOF`; a process that waits has `->` before that.
fn lock_holder_in(locks: &str, inode: u64) -> Option<u32> {
    let holder = |line: &str| {
        let mut fields = line.split_whitespace().skip(1);
        let is_held = fields.next()? == "FLOCK";
        let process = fields.nth(2)?.parse().ok()?;
        let of = fields.next()?.rsplit(':').next()?;
        (is_held && of == inode.to_string()).then_some(process)
    };
    // 0 is a process of another container.
    locks.lines().find_map(holder).filter(|id| *id != 0)
}

/// The receiver of our token: the reader of our stdout, and the Kubernetes client that ran us.
pub struct Client {
    /// Our parent before the first prompt or wait. Only for a client's plugin: otherwise we may be meant to outlive the
    /// parent, as after `kubelogin get-token > file & exit`.
    parent: Option<u32>,
}

impl Client {
    pub fn new(is_plugin: bool) -> Self {
        Self {
            parent: is_plugin.then(parent_id),
        }
    }

    /// True if nobody reads stdout any more: a pipe or socket whose other end is closed, or a closed terminal. A file
    /// always has a reader. Also true if the parent has exited: the kernel then gives us another one.
    pub fn is_gone(&self) -> bool {
        let no_time = Timespec::default();
        let stdout = io::stdout();
        // macOS checks the other end only when polled for writing.
        let mut stdout = [PollFd::new(&stdout, PollFlags::OUT)];
        let is_known = poll(&mut stdout, Some(&no_time)).is_ok();
        let is_unread = is_known
            && stdout[0]
                .revents()
                .intersects(PollFlags::ERR | PollFlags::HUP);
        is_unread || self.parent.is_some_and(|parent| parent != parent_id())
    }
}

/// False if reading the terminal would stop this process and all of its job (SIGTTIN), as after `kubectl ... &`.
pub fn is_in_foreground() -> bool {
    tcgetpgrp(io::stdin()).is_ok_and(|foreground| foreground == getpgrp())
}

/// The width of a terminal; `None` if unknown.
pub fn columns(terminal: &impl AsFd) -> Option<u16> {
    let size = tcgetwinsize(terminal).ok()?;
    Some(size.ws_col).filter(|columns| *columns > 0)
}

/// Allows lines of any length to be pasted: a terminal's line editor takes 1,024 bytes on macOS and 4,095 on Linux, and
/// an address with an authorization code can be longer.
pub fn turn_line_editor_off() -> io::Result<Undo> {
    let before = tcgetattr(io::stdin())?;
    let mut without_editor = before.clone();
    without_editor.local_modes -= LocalModes::ICANON;
    without_editor.special_codes[SpecialCodeIndex::VMIN] = 1;
    without_editor.special_codes[SpecialCodeIndex::VTIME] = 0;
    tcsetattr(io::stdin(), OptionalActions::Now, &without_editor)?;
    Ok(Box::new(move || {
        // From the background this would stop us (SIGTTOU), and another program uses the terminal by then.
        if is_in_foreground() {
            let _ = tcsetattr(io::stdin(), OptionalActions::Now, &before);
        }
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_process_that_holds_a_lock_is_found_and_none_that_waits_for_it() {
        const LOCKS: &str = "\
            1: POSIX  ADVISORY  WRITE 11 08:01:77 0 EOF\n\
            2: FLOCK  ADVISORY  WRITE 0 08:01:78 0 EOF\n\
            3: FLOCK  ADVISORY  WRITE 4711 08:01:77 0 EOF\n\
            3: -> FLOCK  ADVISORY  WRITE 4712 08:01:77 0 EOF\n\
            4: FLOCK  ADVISORY  WRITE 13 08:01:177 0 EOF\n";
        for (inode, process) in [(77, Some(4711)), (78, None), (177, Some(13)), (7, None)] {
            assert_eq!(lock_holder_in(LOCKS, inode), process, "{inode}");
        }
        assert_eq!(lock_holder_in("garbage\n1:\n", 77), None);
    }

    #[test]
    fn under_wsl_the_browser_of_windows_comes_first() {
        if cfg!(target_os = "linux") {
            let openers = openers(true);
            assert_eq!(openers[0], ["wslview"]);
            assert!(openers.contains(&&["xdg-open"][..]));
        }
    }

    #[test]
    fn wsl_is_known_by_its_kernel() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("version");
        for (text, is_wsl) in [
            ("Linux version 6.6.87-microsoft-standard-WSL2", true),
            ("Linux version 6.1.0", false),
        ] {
            std::fs::write(&path, text).expect("written");
            assert_eq!(is_kernel_of_wsl(&path), is_wsl, "{text}");
        }
        std::fs::remove_file(&path).expect("removed");
        assert!(!is_kernel_of_wsl(&path));
    }
}
