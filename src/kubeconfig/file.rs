//! Kubeconfig files on disk: finding, reading, locking and replacing them.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::env::{self, Env};
use crate::error::Error;
use crate::system::interrupt::{self, Begun, Undo};
use crate::system::{System, platform};

/// The largest kubeconfig that is read, in bytes.
const LARGEST_FILE: u64 = 64 * 1024 * 1024;
/// How long to wait for kubectl's lock on a file.
const PATIENCE: Duration = Duration::from_secs(5);
const NAP: Duration = Duration::from_millis(20);

/// A kubeconfig as it was read.
pub struct KubeconfigFile {
    /// As the flag or the variable names it.
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
    /// It is to be made.
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

    /// An empty file where there is none; a link that leads nowhere is followed.
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

    /// True if what is on disk is still what was read.
    fn is_current(&self) -> bool {
        match (fs::read(&self.real_path), self.existence) {
            (Ok(bytes), Existence::Old) => bytes == self.text.as_bytes(),
            (Err(error), Existence::New) => error.kind() == io::ErrorKind::NotFound,
            _ => false,
        }
    }
}

/// What may be where a kubeconfig is expected.
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
        Error::input("there is no home folder to look for .kube/config in")
            .remedy("Pass --kubeconfig FILE, or set KUBECONFIG or HOME.")
    })?;
    Ok(vec![home.join(".kube").join("config")])
}

/// Reads a kubeconfig.
pub fn read(path: &Path) -> Result<Found, Error> {
    let failed = |error: io::Error| {
        Error::input(format!("{} cannot be read: {error}", path.display()))
            .remedy("Make it readable, or pass another one with --kubeconfig.")
    };
    let metadata = match fs::metadata(path) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Ok(Found::Nothing(path.into()));
        }
        Err(error) => return Err(failed(error)),
    };
    if metadata.is_dir() {
        return Err(Error::input(format!("{} is a directory", path.display()))
            .remedy("Pass the kubeconfig itself, such as DIRECTORY/config."));
    }
    if !metadata.is_file() {
        return Err(
            Error::input(format!("{} is not a regular file", path.display())).remedy(
                "A pipe or a device cannot be rewritten: save its content to a file first.",
            ),
        );
    }
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(failed)?;
    file.take(LARGEST_FILE + 1)
        .read_to_end(&mut bytes)
        .map_err(failed)?;
    if bytes.len() as u64 > LARGEST_FILE {
        return Err(Error::input(format!(
            "{} is larger than 64 MiB and was not read",
            path.display()
        ))
        .remedy("Check that it is a kubeconfig; if it is, split it."));
    }
    let real_path = fs::canonicalize(path).map_err(failed)?;
    let text = text(path, bytes)?;
    Ok(Found::File(KubeconfigFile {
        path: path.into(),
        real_path,
        text,
        existence: Existence::Old,
    }))
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

/// A file with its new content.
pub struct Replacement<'a> {
    pub file: &'a KubeconfigFile,
    pub text: &'a str,
}

/// The result of replacing files.
#[derive(Debug, PartialEq, Eq)]
pub enum Outcome {
    Replaced,
    /// Another program changed a file since it was read: nothing was written; start again.
    Outdated,
}

/// Replaces all files or none while holding the locks of `kubectl config`. Links, modes and owners stay.
pub fn replace(replacements: &[Replacement], system: &dyn System) -> Result<Outcome, Error> {
    for replacement in replacements {
        match replacement.file.existence {
            Existence::Old => check_writable(replacement.file)?,
            Existence::New => make_folder(replacement.file)?,
        }
    }
    let mut locks = Vec::new();
    for (name, is_required) in lock_names(replacements) {
        locks.extend(lock(&name, is_required, system)?);
    }
    if !replacements
        .iter()
        .all(|replacement| replacement.file.is_current())
    {
        return Ok(Outcome::Outdated);
    }
    let mut drafts = Vec::new();
    for replacement in replacements {
        drafts.push(Draft::write(replacement.file, replacement.text)?);
    }
    put_in_place(drafts, replacements)?;
    Ok(Outcome::Replaced)
}

/// The locks to take, and whether each is required: the one beside the file is; the one beside a link to it is for
/// programs that reach the file by that link. Sorted, so that two runs never wait for each other.
fn lock_names(replacements: &[Replacement]) -> BTreeMap<PathBuf, bool> {
    let mut names = BTreeMap::new();
    for file in replacements.iter().map(|replacement| replacement.file) {
        names
            .entry(with_suffix(&in_real_folder(&file.path), ".lock"))
            .or_insert(false);
        names.insert(with_suffix(&in_real_folder(&file.real_path), ".lock"), true);
    }
    names
}

/// Puts every draft in place; if one fails, restores the files before it.
fn put_in_place(drafts: Vec<Draft>, replacements: &[Replacement]) -> Result<(), Error> {
    for (number, draft) in drafts.into_iter().enumerate() {
        if let Err(error) = draft.put_in_place() {
            for done in replacements[..number].iter().map(|done| done.file) {
                if done.is_new() {
                    let _ = fs::remove_file(&done.real_path);
                } else {
                    Draft::write(done, &done.text)?.put_in_place()?;
                }
            }
            return Err(error);
        }
    }
    Ok(())
}

/// A file is read-only for a reason, even where its folder would let us replace it.
pub fn check_writable(file: &KubeconfigFile) -> Result<(), Error> {
    let path = file.path.display();
    let metadata = fs::metadata(&file.real_path)
        .map_err(|error| Error::input(format!("{path} cannot be read: {error}")))?;
    if metadata.permissions().readonly() {
        return Err(Error::input(format!("{path} is read-only")).remedy(format!(
            "Make it writable (chmod u+w {path}), or convert a copy: --kubeconfig COPY."
        )));
    }
    Ok(())
}

/// Makes the folder of a new file, for nobody else.
fn make_folder(file: &KubeconfigFile) -> Result<(), Error> {
    let Some(folder) = file.real_path.parent() else {
        return Ok(());
    };
    platform::make_private_folders(folder).map_err(|error| {
        Error::input(format!("{} cannot be made: {error}", folder.display()))
            .remedy("Name another file, in a folder that you may write to.")
    })
}

/// Takes the lock of `kubectl config`: a file beside the kubeconfig that exists while a program changes it. It goes with
/// the result, and when a signal ends us. `None` if a lock that is not required cannot be created.
fn lock(path: &Path, is_required: bool, system: &dyn System) -> Result<Option<Begun>, Error> {
    let create = || Ok(((), platform::create_lock_file(path)?));
    let began = system.elapsed();
    loop {
        match interrupt::begin(create) {
            Ok(((), lock)) => return Ok(Some(lock)),
            Err(error)
                if error.kind() == io::ErrorKind::AlreadyExists
                    || platform::is_being_removed(&error) =>
            {
                if system.elapsed().saturating_sub(began) >= PATIENCE {
                    return Err(held_by_another(path));
                }
                system.sleep(NAP);
            }
            Err(_) if !is_required => return Ok(None),
            Err(error) => {
                return Err(Error::input(format!(
                    "the lock {} cannot be created: {error}",
                    path.display()
                ))
                .remedy(
                    "Make the kubeconfig's folder writable, or convert a copy: --kubeconfig COPY.",
                ));
            }
        }
    }
}

fn held_by_another(path: &Path) -> Error {
    Error::input(format!(
        "{} exists: another program is changing the kubeconfig, or crashed while doing so",
        path.display()
    ))
    .remedy("If no kubectl or kubelogin is running, remove that file and try again.")
}

/// A complete new version of a file, beside it until it takes its place.
struct Draft {
    path: PathBuf,
    target: PathBuf,
    /// Removes it, but for a draft that has taken its place.
    _remains: Begun,
}

impl Draft {
    fn write(kubeconfig: &KubeconfigFile, text: &str) -> Result<Self, Error> {
        let target = kubeconfig.real_path.as_path();
        let failed = |error: io::Error| {
            Error::input(format!("{} cannot be replaced: {error}", target.display())).remedy(
                "Nothing was changed. Check that the file is yours, its folder is writable and the disk is not full.",
            )
        };
        let metadata = match kubeconfig.existence {
            Existence::Old => Some(fs::metadata(target).map_err(failed)?),
            Existence::New => None,
        };
        let name = target.file_name().unwrap_or_default().to_string_lossy();
        // The same name in every run: the lock admits one writer, which overwrites what a killed one left.
        let path = target.with_file_name(format!(".{name}.kubelogin-new"));
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
            _ => {}
        }
        let mut options = OpenOptions::new();
        options.write(true).create_new(true);
        let create = || -> io::Result<(File, Undo)> {
            let file = platform::open_careful(&mut options, &path)?;
            let path = path.clone();
            Ok((file, Box::new(move || drop(fs::remove_file(path)))))
        };
        let (mut file, remains) = interrupt::begin(create).map_err(failed)?;
        file.write_all(text.as_bytes()).map_err(failed)?;
        if let Some(metadata) = metadata {
            platform::keep_owner_and_mode(&file, &metadata).map_err(failed)?;
        }
        file.sync_all().map_err(failed)?;
        Ok(Self {
            path,
            target: target.into(),
            _remains: remains,
        })
    }

    fn put_in_place(self) -> Result<(), Error> {
        fs::rename(&self.path, &self.target).map_err(|error| {
            Error::input(format!("{} cannot be replaced: {error}", self.target.display()))
                .remedy("Nothing was changed. If the file itself is a mount point, convert a copy: --kubeconfig COPY.")
        })?;
        if let Some(folder) = self.target.parent() {
            platform::sync_folder(folder);
        }
        Ok(())
    }
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
