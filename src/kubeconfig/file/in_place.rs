//! Writes a kubeconfig in place if it cannot be replaced: it is mounted on its own (`docker run -v FILE`), or its
//! folder is not writable. Until the new text is complete, the old one is kept beside it or else in the folder for
//! temporary files.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use ring::digest::{SHA256, digest};

use super::KubeconfigFile;
use crate::error::Error;
use crate::system::platform;

/// True if no file can be created in this folder, although the kubeconfig itself may be writable.
pub fn is_possible(error: &io::Error) -> bool {
    let is_of_folder = matches!(
        error.kind(),
        io::ErrorKind::PermissionDenied
            | io::ErrorKind::ReadOnlyFilesystem
            | io::ErrorKind::InvalidFilename
    );
    cfg!(unix) && is_of_folder
}

/// True if a file was created but cannot replace the kubeconfig.
pub fn is_needed(error: &io::Error) -> bool {
    let is_of_mount = matches!(
        error.kind(),
        io::ErrorKind::ResourceBusy | io::ErrorKind::CrossesDevices
    );
    is_of_mount || is_possible(error)
}

/// Writes the new text into the file. A signal must wait until that is done.
///
/// # Errors
/// It cannot be written: it has its old text, or the error says where that is.
pub fn write(file: &KubeconfigFile, text: &str) -> Result<(), Error> {
    let path = file.path.display();
    let failed = |error: &io::Error| Error::input(format!("{path} cannot be written: {error}"));
    // Opened first: if the file is not writable, no backup is needed.
    let writable = OpenOptions::new().write(true).open(&file.real_path);
    writable.map_err(|error| {
        failed(&error)
            .remedy("Nothing was changed. Make it writable, or convert a copy: --kubeconfig COPY.")
    })?;
    let old = keep(file).map_err(|error| {
        Error::input(format!(
            "{path} cannot be backed up before it is written: {error}"
        ))
        .remedy(
            "Nothing was changed. Make its folder writable, or convert a copy: --kubeconfig COPY.",
        )
    })?;
    let Err(error) = overwrite(&file.real_path, text) else {
        let _ = fs::remove_file(old);
        return Ok(());
    };
    match overwrite(&file.real_path, &file.text) {
        Ok(()) => {
            let _ = fs::remove_file(old);
            Err(failed(&error).remedy("Nothing was changed. Check that the disk is not full."))
        }
        Err(_) => Err(failed(&error).remedy(put_back(&file.path, &old))),
    }
}

/// The new text first, then the new length: whatever fails, the file is never empty.
fn overwrite(path: &Path, text: &str) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).open(path)?;
    file.write_all(text.as_bytes())?;
    file.set_len(text.len() as u64)?;
    file.sync_all()
}

/// Backs up the text of a file in another file that only its owner can read.
pub fn keep(file: &KubeconfigFile) -> io::Result<PathBuf> {
    let mut result = Err(io::ErrorKind::NotFound.into());
    for path in places(&file.real_path) {
        let kept = platform::create_private(&path).and_then(|mut kept| {
            let written = kept
                .write_all(file.text.as_bytes())
                .and_then(|()| kept.sync_all());
            written.inspect_err(|_| drop(fs::remove_file(&path)))
        });
        result = kept.map(|()| path);
        if result.is_ok() {
            break;
        }
    }
    result
}

/// Where old text is kept: beside the file, or under a name of its own among the temporary files.
fn places(real_path: &Path) -> [PathBuf; 2] {
    let name = real_path.file_name().unwrap_or_default().to_string_lossy();
    let digest = digest(&SHA256, real_path.as_os_str().as_encoded_bytes());
    let temporary = format!("kubelogin-old-{}", &hex::encode(digest)[..32]);
    [
        real_path.with_file_name(format!(".{name}.kubelogin-old")),
        std::env::temp_dir().join(temporary),
    ]
}

/// The old text of a file that a killed run was writing in place.
pub fn rescued(path: &Path) -> Option<PathBuf> {
    let places = places(&fs::canonicalize(path).ok()?);
    places.into_iter().find(|place| is_ours(place))
}

/// True if the file is ours: anyone can create one with that name among the temporary files.
fn is_ours(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok_and(|found| {
        found.is_file() && platform::is_ours(&found) && platform::is_private(&found)
    })
}

/// Checks that no run was killed while it wrote one of the files.
///
/// # Errors
/// One was: the error says where the old text is.
pub fn check_whole<'p>(paths: impl IntoIterator<Item = &'p PathBuf>) -> Result<(), Error> {
    for path in paths {
        if let Some(old) = rescued(path) {
            return Err(Error::input(format!(
                "{} may be incomplete: kubelogin was killed while it wrote the file",
                path.display()
            ))
            .remedy(put_back(path, &old)));
        }
    }
    Ok(())
}

/// How to get the old text back.
pub fn put_back(path: &Path, old: &Path) -> String {
    let (path, old) = (path.display(), old.display());
    format!("The old content is in {old}: cp {old} {path}, then remove {old}.")
}
