//! The cache folder: trusts nothing it reads, and writes files that only their owner can read.

use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, ErrorKind, Read, Write};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use crate::system::platform;

/// The largest file that is read, in bytes. An entry takes a few KiB.
const LARGEST_FILE: u64 = 1024 * 1024;

/// The suffix of a file while it is being written.
pub const TEMPORARY: &str = ".tmp";

/// What was removed from a folder.
#[derive(Debug, Default)]
pub struct Cleared {
    /// False if there is no such folder.
    pub had_folder: bool,
    names: Vec<String>,
}

impl Cleared {
    /// How many files there were whose names end in `kind`.
    pub fn count(&self, kind: &str) -> usize {
        let names = self.names.iter();
        names.filter(|name| name.ends_with(kind)).count()
    }
}

/// The folder, which may not exist yet.
pub struct Folder {
    path: PathBuf,
}

impl Folder {
    pub fn new(path: PathBuf) -> Self {
        Self { path }
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Creates the folder, and those above it, with access for the user alone; leaves an existing folder as it is.
    ///
    /// # Errors
    /// It belongs to another user, others can write to it, or it would have to be created in a folder that does: `sudo kubectl` with the user's
    /// HOME must not leave files that the user cannot write.
    pub fn prepare(&self) -> io::Result<()> {
        let metadata = match fs::metadata(&self.path) {
            Err(error) if error.kind() == ErrorKind::NotFound => {
                make(&self.path)?;
                fs::metadata(&self.path)?
            }
            other => other?,
        };
        if !metadata.is_dir() {
            return Err(ErrorKind::NotADirectory.into());
        }
        platform::check_folder(&self.path, &metadata)
    }

    /// The content of a file; `None` unless it is a regular file, belongs to the user and has a plausible size. Never
    /// blocks, whatever the file is.
    pub fn read(&self, name: &str) -> Option<Vec<u8>> {
        self.read_if(name, |_, _| true)
    }

    /// The content of a file; `None` also if anybody else can read it.
    pub fn read_private(&self, name: &str) -> Option<Vec<u8>> {
        self.read_if(name, platform::is_private_file)
    }

    fn read_if(&self, name: &str, is_good: impl Fn(&File, &Metadata) -> bool) -> Option<Vec<u8>> {
        let path = self.path.join(name);
        let file = platform::open_careful(OpenOptions::new().read(true), &path).ok()?;
        let metadata = file.metadata().ok()?;
        let is_sane = metadata.is_file()
            && metadata.len() <= LARGEST_FILE
            && platform::has_one_name(&metadata);
        if !is_sane || !platform::is_ours(&metadata) || !is_good(&file, &metadata) {
            return None;
        }
        let mut content = Vec::with_capacity(usize::try_from(metadata.len()).ok()? + 1);
        file.take(LARGEST_FILE).read_to_end(&mut content).ok()?;
        Some(content)
    }

    /// Replaces a file atomically: a reader finds the old content or the new. The caller holds the lock for `name`, so a
    /// file with the temporary name was left by a process that died. (`tempfile` would give each a random name, and leave
    /// them all.)
    pub fn replace(&self, name: &str, content: &[u8]) -> io::Result<()> {
        let temporary = self.path.join(format!("{name}{TEMPORARY}"));
        match fs::remove_file(&temporary) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let written = write_new(&temporary, content)
            .and_then(|()| fs::rename(&temporary, self.path.join(name)));
        if written.is_err() {
            let _ = fs::remove_file(&temporary);
        }
        written
    }

    /// Opens or creates the file that the lock is on. It stays: if it were removed, two processes could hold the lock.
    pub fn lock_file(&self, name: &str) -> io::Result<File> {
        let path = self.path.join(name);
        let mut options = OpenOptions::new();
        let options = options.read(true).write(true).create(true).truncate(false);
        let file = platform::open_careful(options, &path)?;
        let metadata = file.metadata()?;
        if !metadata.is_file() {
            return Err(io::Error::other(format!("{name} is not a regular file")));
        }
        if !platform::has_one_name(&metadata) || !platform::is_ours(&metadata) {
            // Its mode is about to be changed, which must not affect a file that somebody linked here.
            return Err(io::Error::other(format!(
                "{name} has hard links or belongs to another user"
            )));
        }
        platform::keep_private(&file)?;
        Ok(file)
    }

    /// The names of what is in the folder; none if it cannot be read.
    pub fn names(&self) -> impl Iterator<Item = String> + use<> {
        let files = fs::read_dir(&self.path).into_iter().flatten().flatten();
        files.filter_map(|file| file.file_name().into_string().ok())
    }

    /// Removes our files that were last written before this time, if possible.
    pub fn remove_older(&self, moment: Option<SystemTime>, is_ours: impl Fn(&str) -> bool) {
        for name in self.names().filter(|name| is_ours(name)) {
            let metadata = fs::symlink_metadata(self.path.join(&name));
            let written = metadata.and_then(|metadata| metadata.modified()).ok();
            if written.is_some() && written < moment {
                let _ = self.remove(&name);
            }
        }
    }

    /// True if something has this name.
    pub fn has(&self, name: &str) -> bool {
        fs::symlink_metadata(self.path.join(name)).is_ok()
    }

    /// Removes our files, and the folder if it is then empty. A missing folder is fine.
    pub fn clear(&self, is_ours: impl Fn(&str) -> bool) -> io::Result<Cleared> {
        let files = match fs::read_dir(&self.path) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Cleared::default()),
            other => other?,
        };
        if !platform::is_ours(&fs::metadata(&self.path)?) {
            return Err(io::Error::other("it belongs to another user"));
        }
        let mut cleared = Cleared {
            had_folder: true,
            names: Vec::new(),
        };
        for file in files {
            let file = file?;
            let name = file.file_name();
            if let Some(name) = name.to_str().filter(|name| is_ours(name))
                && !file.file_type()?.is_dir()
            {
                self.remove(name)?;
                cleared.names.push(name.to_owned());
            }
        }
        if !cleared.names.is_empty() {
            let _ = fs::remove_dir(&self.path); // other programs may have files in it, or it is a mount point
        }
        Ok(cleared)
    }

    /// Removes a file; a missing one is fine.
    pub fn remove(&self, name: &str) -> io::Result<()> {
        match fs::remove_file(self.path.join(name)) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }
}

/// True if this folder belongs to the user.
pub fn is_ours(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|metadata| platform::is_ours(&metadata))
}

fn make(path: &Path) -> io::Result<()> {
    if let Some(parent) = path.parent() {
        match fs::metadata(parent) {
            Ok(metadata) if platform::may_hold_ours(&metadata) => {}
            Ok(_) => {
                let parent = parent.display();
                return Err(io::Error::other(format!(
                    "{parent} belongs to another user"
                )));
            }
            Err(error) if error.kind() == ErrorKind::NotFound => make(parent)?,
            Err(error) => return Err(error),
        }
    }
    match platform::make_private(path) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()), // another process was faster
        other => other,
    }
}

fn write_new(path: &Path, content: &[u8]) -> io::Result<()> {
    platform::check_size(content.len())?;
    let mut file = platform::create_private(path)?;
    platform::keep_private(&file)?;
    file.write_all(content)
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;

    #[test]
    fn a_file_is_replaced_as_a_whole_over_what_a_killed_process_left() {
        let scratch = TempDir::new().expect("a folder");
        let folder = Folder::new(scratch.path().join("a/b"));
        folder.prepare().expect("made");
        fs::write(folder.path().join("name.tmp"), "half of someth").expect("remains");
        for content in ["first", "2nd"] {
            folder.replace("name", content.as_bytes()).expect("written");
            assert_eq!(folder.read("name").as_deref(), Some(content.as_bytes()));
        }
        let names = fs::read_dir(folder.path()).expect("folder").count();
        assert_eq!(names, 1);
    }

    #[test]
    fn a_write_that_fails_leaves_nothing_behind() {
        let scratch = TempDir::new().expect("a folder");
        let folder = Folder::new(scratch.path().to_owned());
        fs::create_dir(scratch.path().join("name")).expect("a folder in the way");
        folder.replace("name", b"content").expect_err("no file");
        assert!(!scratch.path().join("name.tmp").exists());
    }
}
