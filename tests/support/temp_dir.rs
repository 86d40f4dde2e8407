//! Temporary folders, and what is in them.

use std::fs;
use std::path::{Path, PathBuf};

/// A new empty folder, removed with its content on drop.
pub struct TempDir(tempfile::TempDir);

impl TempDir {
    pub fn new() -> Self {
        let folder = tempfile::Builder::new().prefix("kubelogin-test-").tempdir();
        Self(folder.expect("cannot create a temporary folder"))
    }

    pub fn path(&self) -> &Path {
        self.0.path()
    }

    /// Creates a folder in it.
    pub fn folder(&self, name: &str) -> PathBuf {
        let path = self.path().join(name);
        fs::create_dir_all(&path).expect("cannot create a folder");
        path
    }

    /// Writes a file into it.
    pub fn file(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path().join(name);
        fs::write(&path, content).expect("cannot write a file");
        path
    }
}

/// Creates a named pipe. Opening it for reading blocks until a writer opens it.
#[cfg(unix)]
pub fn make_pipe(path: &Path) {
    let made = std::process::Command::new("mkfifo").arg(path).status();
    assert!(made.expect("cannot start mkfifo").success());
}

/// The sorted names in a folder; none if it does not exist.
pub fn names_in(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).into_iter().flatten();
    let name = |entry: fs::DirEntry| entry.file_name().into_string().expect("UTF-8");
    let mut names: Vec<_> = entries
        .map(|entry| name(entry.expect("an entry")))
        .collect();
    names.sort();
    names
}
