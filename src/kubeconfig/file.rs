//! Kubeconfig files on disk: finding and reading them; locking and replacing them.

mod in_place;
mod lock;
mod replace;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::env::{self, Env};
use crate::error::Error;
use crate::system::bounded;

pub use in_place::check_whole;
pub use lock::{is_locked, lock_to_read};
pub use replace::{Outcome, Replacement, check_writable, replace};

/// The largest kubeconfig that is read, in bytes.
const LARGEST_FILE: u64 = 64 * 1024 * 1024;

/// A kubeconfig as it was read.
pub struct KubeconfigFile {
    /// The path as given by the flag or the variable.
    pub path: PathBuf,
    /// The file that links lead to.
    real_path: PathBuf,
    pub text: String,
    existence: Existence,
}

/// Whether a file was there when it was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Existence {
    Old,
    /// It does not exist yet.
    New,
}

impl KubeconfigFile {
    /// A file that is not on disk.
    pub fn in_memory(path: &str, text: impl Into<String>) -> Self {
        Self {
            path: path.into(),
            real_path: path.into(),
            text: text.into(),
            existence: Existence::Old,
        }
    }

    /// Empty if the file does not exist; a dangling link is followed.
    pub fn missing(path: &Path) -> Self {
        /// As many links as Linux follows.
        const MOST_LINKS: usize = 40;
        let mut real_path = path.to_owned();
        for _ in 0..MOST_LINKS {
            let Ok(target) = fs::read_link(&real_path) else {
                break;
            };
            real_path = real_path.parent().unwrap_or(path).join(target);
        }
        Self {
            path: path.into(),
            real_path: in_real_folder(&real_path),
            text: String::new(),
            existence: Existence::New,
        }
    }

    /// True if it was not there when it was looked for.
    pub fn is_new(&self) -> bool {
        self.existence == Existence::New
    }

    /// True if the file on disk has not changed since it was read.
    fn is_current(&self) -> bool {
        match (bounded::read(&self.real_path, LARGEST_FILE), self.existence) {
            (Ok(bytes), Existence::Old) => bytes == self.text.as_bytes(),
            (Err(error), Existence::New) => error.kind() == io::ErrorKind::NotFound,
            _ => false,
        }
    }
}

/// What a kubeconfig's path may lead to.
pub enum Found {
    File(KubeconfigFile),
    Nothing(PathBuf),
}

/// The kubeconfigs, as kubectl finds them: the flag, else KUBECONFIG, else `~/.kube/config`. A file named twice counts once.
pub fn paths(flag: Option<&str>, env: &Env) -> Result<Vec<PathBuf>, Error> {
    if let Some(path) = flag {
        return Ok(vec![path.into()]);
    }
    let mut paths: Vec<PathBuf> = Vec::new();
    for path in env.paths(env::KUBECONFIG) {
        if !paths.contains(&path) {
            paths.push(path);
        }
    }
    if !paths.is_empty() {
        return Ok(paths);
    }
    if env.get(env::KUBECONFIG).is_some() {
        return Err(Error::input("KUBECONFIG contains only separators, no file")
            .remedy("Set it to a file, pass --kubeconfig FILE, or unset it."));
    }
    let home = env.home().ok_or_else(|| {
        Error::input("HOME is not set, so there is no default kubeconfig (~/.kube/config)")
            .remedy("Set HOME or KUBECONFIG, or pass --kubeconfig FILE.")
    })?;
    Ok(vec![home.join(".kube").join("config")])
}

/// Reads a kubeconfig.
pub fn read(path: &Path) -> Result<Found, Error> {
    let bytes = match bounded::read(path, LARGEST_FILE) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Ok(Found::Nothing(path.into()));
        }
        Err(error) => return Err(unread(path, &error)),
    };
    let real_path = fs::canonicalize(path).map_err(|error| unread(path, &error))?;
    let text = text(path, bytes)?;
    Ok(Found::File(KubeconfigFile {
        path: path.into(),
        real_path,
        text,
        existence: Existence::Old,
    }))
}

/// Why a file could not be read, and what to do about it.
fn unread(path: &Path, error: &io::Error) -> Error {
    let path = path.display();
    let (what, remedy) = match error.kind() {
        io::ErrorKind::IsADirectory => (
            format!("{path} is a directory"),
            "Pass the kubeconfig itself, such as DIRECTORY/config.",
        ),
        io::ErrorKind::InvalidInput => (
            format!("{path} is not a regular file"),
            "A pipe or a device cannot be rewritten: save its content to a file first.",
        ),
        io::ErrorKind::FileTooLarge => (
            format!("{path} is larger than 64 MiB and was not read"),
            "Check that it is a kubeconfig; if it is, split it.",
        ),
        _ => (
            format!("{path} cannot be read: {error}"),
            "Make it readable, or pass another one with --kubeconfig.",
        ),
    };
    Error::input(what).remedy(remedy)
}

/// The bytes as text, or an error at the first one that is not text.
fn text(path: &Path, bytes: Vec<u8>) -> Result<String, Error> {
    let wrong = |at: usize, bytes: &[u8], what: &str| {
        let before = String::from_utf8_lossy(&bytes[..at]);
        let (line, column) = super::tree::line_and_column(&before, before.len());
        Error::input(format!("{}:{line}:{column}: {what}", path.display()))
            .remedy("A kubeconfig is YAML or JSON in UTF-8.")
    };
    if bytes.starts_with(&[0xff, 0xfe]) || bytes.starts_with(&[0xfe, 0xff]) {
        return Err(wrong(0, &bytes, "the file is UTF-16: save it as UTF-8"));
    }
    if let Some(at) = bytes.iter().position(|byte| *byte == 0) {
        return Err(wrong(
            at,
            &bytes,
            "the file is binary: it contains a NUL byte",
        ));
    }
    String::from_utf8(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        wrong(at, error.as_bytes(), "the file is not UTF-8 text")
    })
}

/// The path with its folder resolved and its file name kept, so that two paths to one link become the same.
fn in_real_folder(path: &Path) -> PathBuf {
    let folder = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    match (fs::canonicalize(folder), path.file_name()) {
        (Ok(folder), Some(name)) => folder.join(name),
        _ => path.into(),
    }
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}
