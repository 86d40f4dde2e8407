//! Replaces kubeconfigs, all or none, each with a complete new version.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use super::lock::lock_to_write;
use super::{Existence, KubeconfigFile, in_place};
use crate::error::Error;
use crate::system::interrupt::{self, Begun};
use crate::system::{System, platform};

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

/// Puts the first file in the place of the second.
type Rename<'r> = &'r dyn Fn(&Path, &Path) -> io::Result<()>;

/// Replaces all files or none while holding the locks of `kubectl config`. Links, modes and owners stay. A file that
/// cannot be replaced, such as one that is mounted on its own, is written in place.
///
/// # Errors
/// A file cannot be locked or written: nothing was changed.
pub fn replace(replacements: &[Replacement], system: &dyn System) -> Result<Outcome, Error> {
    replace_by(replacements, &platform::replace_file, system)
}

fn replace_by(
    replacements: &[Replacement],
    rename: Rename,
    system: &dyn System,
) -> Result<Outcome, Error> {
    for replacement in replacements {
        match replacement.file.existence {
            Existence::Old => check_writable(replacement.file)?,
            Existence::New => make_folder(replacement.file)?,
        }
    }
    let files = || replacements.iter().map(|replacement| replacement.file);
    let _locks = lock_to_write(files(), system)?;
    in_place::check_whole(files().map(|file| &file.path))?;
    if !files().all(KubeconfigFile::is_current) {
        return Ok(Outcome::Outdated);
    }
    let mut drafts = Vec::new();
    for Replacement { file, text } in replacements {
        drafts.push(match Draft::write(file, text) {
            Ok(draft) => Some(draft),
            Err(error) if !file.is_new() && in_place::is_possible(&error) => None,
            Err(error) => return Err(failed(file, &error)),
        });
    }
    // A signal waits until all or none are replaced.
    interrupt::undisturbed(|| put_in_place(&drafts, replacements, rename))?;
    Ok(Outcome::Replaced)
}

/// Puts every draft in place; if one fails, restores the files before it.
fn put_in_place(
    drafts: &[Option<Draft>],
    replacements: &[Replacement],
    rename: Rename,
) -> Result<(), Error> {
    for (number, (draft, new)) in drafts.iter().zip(replacements).enumerate() {
        let draft = draft.as_ref().map(|draft| draft.path.as_path());
        if let Err(error) = put(draft, new, rename) {
            for Replacement { file, .. } in &replacements[..number] {
                if file.is_new() {
                    let _ = fs::remove_file(&file.real_path);
                    continue;
                }
                let text = &file.text;
                let old = Replacement { file, text };
                let draft = write_draft(file, text).ok();
                put(draft.as_deref(), &old, rename)?;
            }
            return Err(error);
        }
    }
    Ok(())
}

fn put(draft: Option<&Path>, new: &Replacement, rename: Rename) -> Result<(), Error> {
    let Replacement { file, text } = new;
    let Some(draft) = draft else {
        return in_place::write(file, text);
    };
    match rename(draft, &file.real_path) {
        Ok(()) => {}
        Err(error) if !file.is_new() && in_place::is_needed(&error) => {
            return in_place::write(file, text);
        }
        Err(error) => return Err(failed(file, &error)),
    }
    if let Some(folder) = file.real_path.parent() {
        platform::sync_folder(folder);
    }
    Ok(())
}

fn failed(file: &KubeconfigFile, error: &io::Error) -> Error {
    let target = file.real_path.display();
    Error::input(format!("{target} cannot be replaced: {error}")).remedy(
        "Nothing was changed. Check that the file is yours, its folder is writable and the disk is not full.",
    )
}

/// A file is read-only for a reason, even if its folder allows replacing it.
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

/// Creates the folder of a new file, private to its owner.
fn make_folder(file: &KubeconfigFile) -> Result<(), Error> {
    let Some(folder) = file.real_path.parent() else {
        return Ok(());
    };
    platform::make_private_folders(folder).map_err(|error| {
        Error::input(format!("{} cannot be made: {error}", folder.display()))
            .remedy("Choose a file in a folder that you can write to.")
    })
}

/// A complete new version of a file, kept beside it until it replaces it. It is removed when this is dropped or a
/// signal ends us.
struct Draft {
    path: PathBuf,
    _begun: Begun,
}

impl Draft {
    fn write(file: &KubeconfigFile, text: &str) -> io::Result<Self> {
        let (path, begun) = interrupt::begin(|| {
            let path = write_draft(file, text)?;
            let draft = path.clone();
            let undo = move || drop(fs::remove_file(draft));
            Ok((path, Box::new(undo)))
        })?;
        Ok(Self {
            path,
            _begun: begun,
        })
    }
}

fn write_draft(kubeconfig: &KubeconfigFile, text: &str) -> io::Result<PathBuf> {
    let target = kubeconfig.real_path.as_path();
    let metadata = match kubeconfig.existence {
        Existence::Old => Some(fs::metadata(target)?),
        Existence::New => None,
    };
    let name = target.file_name().unwrap_or_default().to_string_lossy();
    // The same name in every run: the lock admits one writer, which overwrites what a killed run left behind.
    let path = target.with_file_name(format!(".{name}.kubelogin-new"));
    match fs::remove_file(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let write = || {
        let mut file = platform::create_private(&path)?;
        file.write_all(text.as_bytes())?;
        if let Some(metadata) = metadata {
            platform::keep_owner_and_mode(&file, &metadata)?;
        }
        file.sync_all()
    };
    if let Err(error) = write() {
        let _ = fs::remove_file(&path);
        return Err(error);
    }
    Ok(path)
}

#[cfg(test)]
mod tests {
    use std::fs::File;

    use tempfile::TempDir;

    use super::super::{Found, read};
    use super::*;
    use crate::system::fake::FakeSystem;

    fn file_in(room: &TempDir, name: &str) -> KubeconfigFile {
        let path = room.path().join(name);
        fs::write(&path, "old text, longer than the new one").expect("written");
        match read(&path).expect("read") {
            Found::File(file) => file,
            Found::Nothing(_) => panic!("not there"),
        }
    }

    fn names_in(room: &TempDir) -> Vec<String> {
        let entries = fs::read_dir(room.path()).expect("a folder");
        let names = entries.map(|entry| entry.expect("an entry").file_name());
        names
            .map(|name| name.to_string_lossy().into_owned())
            .collect()
    }

    /// `docker run -v` of one file: EBUSY; over file systems: EXDEV.
    #[test]
    fn a_file_that_nothing_can_take_the_place_of_is_written_in_place() {
        for kind in [io::ErrorKind::ResourceBusy, io::ErrorKind::CrossesDevices] {
            let room = TempDir::new().expect("a folder");
            let file = file_in(&room, "config");
            let open = File::open(&file.real_path).expect("open");
            let new = [Replacement {
                file: &file,
                text: "new",
            }];
            let rename = |_: &Path, _: &Path| Err(kind.into());
            let outcome = replace_by(&new, &rename, &FakeSystem::new([]));
            assert_eq!(outcome, Ok(Outcome::Replaced), "{kind}");
            let text = io::read_to_string(open).expect("read");
            assert_eq!(text, "new", "{kind}: it is another file");
            assert_eq!(names_in(&room), ["config"], "{kind}");
        }
    }

    /// A name too long for a suffix: nobody, not even root, can create another file for it.
    #[cfg(unix)]
    #[test]
    fn a_file_in_a_folder_where_none_can_be_made_is_written_in_place() {
        let room = TempDir::new().expect("a folder");
        let name = "c".repeat(255);
        let file = file_in(&room, &name);
        let new = [Replacement {
            file: &file,
            text: "new",
        }];
        let outcome = replace(&new, &FakeSystem::new([]));
        assert_eq!(outcome, Ok(Outcome::Replaced));
        assert_eq!(fs::read_to_string(&file.path).expect("read"), "new");
        assert_eq!(names_in(&room), [name]);
        assert_eq!(
            in_place::rescued(&file.path),
            None,
            "the old text is kept for nothing"
        );
    }

    #[test]
    fn what_a_killed_write_left_is_named_and_stops_the_next_one() {
        let room = TempDir::new().expect("a folder");
        let file = file_in(&room, "config");
        in_place::keep(&file).expect("kept");
        let old = in_place::rescued(&file.path).expect("found");
        assert_eq!(fs::read_to_string(&old).expect("read"), file.text);
        let new = [Replacement {
            file: &file,
            text: "new",
        }];
        let error = replace(&new, &FakeSystem::new([]))
            .expect_err("refused")
            .to_string();
        let command = format!("cp {} {}", old.display(), file.path.display());
        assert!(
            error.contains("may be incomplete") && error.contains(&command),
            "{error}"
        );
        assert_eq!(fs::read_to_string(&file.path).expect("read"), file.text);
        // The same beside a lock that was left behind, too.
        fs::write(room.path().join("config.lock"), "").expect("a lock");
        let error = replace(&new, &FakeSystem::new([]))
            .expect_err("refused")
            .to_string();
        assert!(
            error.contains("config.lock exists") && error.contains(&command),
            "{error}"
        );
    }

    #[test]
    fn if_one_of_several_fails_the_others_are_as_before() {
        let room = TempDir::new().expect("a folder");
        let files = ["a", "b"].map(|name| file_in(&room, name));
        let new = files
            .each_ref()
            .map(|file| Replacement { file, text: "new" });
        let rename = |from: &Path, to: &Path| match to.ends_with("b") {
            true => Err(io::ErrorKind::Other.into()),
            false => fs::rename(from, to),
        };
        replace_by(&new, &rename, &FakeSystem::new([])).expect_err("refused");
        assert!(files.iter().all(KubeconfigFile::is_current));
        assert_eq!(names_in(&room).len(), 2);
    }
}
