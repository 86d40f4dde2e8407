//! The CA certificates in SSL_CERT_FILE and SSL_CERT_DIR, and what is wrong with them if no server can be trusted.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use reqwest::Certificate;

use super::{bounded, platform};
use crate::env::{self, Env};

/// The largest file of CA certificates that is read, in bytes; the usual bundles have a quarter of a MiB.
const LARGEST_FILE: u64 = 16 * 1024 * 1024;

/// Where the environment says that CA certificates are.
pub struct Roots {
    file: Option<PathBuf>,
    /// Only the TLS library on Linux reads it.
    folders: Vec<PathBuf>,
}

impl Roots {
    pub fn new(env: &Env) -> Self {
        let folders = match platform::TLS_READS_SSL_CERT_FILE {
            true => env.paths(env::SSL_CERT_DIR),
            false => Vec::new(),
        };
        Self {
            file: env.get(env::SSL_CERT_FILE).map(PathBuf::from),
            folders,
        }
    }

    /// Rejects files that the TLS library would read without end.
    ///
    /// # Errors
    /// SSL_CERT_FILE is a device or a pipe, or is huge.
    pub fn check_size(&self) -> Result<(), String> {
        let Some(file) = &self.file else {
            return Ok(());
        };
        match fs::metadata(file) {
            Ok(found) if !found.is_file() && !found.is_dir() => {
                Err(of_file(file, "is not a regular file"))
            }
            Ok(found) if found.len() > LARGEST_FILE => Err(of_file(file, "is larger than 16 MiB")),
            _ => Ok(()),
        }
    }

    /// The certificates in SSL_CERT_FILE, if the TLS library does not read it itself. A missing or empty file is not an
    /// error, because other programs use the variable too.
    pub fn more(&self) -> Vec<Certificate> {
        let file = self
            .file
            .as_ref()
            .filter(|_| !platform::TLS_READS_SSL_CERT_FILE);
        file.and_then(|file| read(file).ok()).unwrap_or_default()
    }

    /// Why nothing is trusted: the variable, its path and the reason; `None` if both variables are valid or unset.
    pub fn problem(&self) -> Option<String> {
        let file = self.file.iter().filter_map(|file| {
            let why = match read(file) {
                Ok(found) if found.is_empty() => "contains no certificate in PEM format".into(),
                Ok(_) => return None,
                Err(error) => reason(&error),
            };
            Some(of_file(file, &why))
        });
        let folders = self.folders.iter().filter_map(|folder| {
            let why = match has_certificates(folder) {
                Ok(true) => return None,
                Ok(false) => "contains no certificate in PEM format".into(),
                Err(error) => reason(&error),
            };
            Some(format!(
                "SSL_CERT_DIR names {}, which {why}",
                folder.display()
            ))
        });
        file.chain(folders).next()
    }

    /// The message for a machine without any CA certificate.
    pub fn none_found(&self) -> String {
        self.problem()
            .unwrap_or_else(|| "this machine has no CA certificates".into())
    }
}

fn of_file(file: &Path, why: &str) -> String {
    format!("SSL_CERT_FILE names {}, which {why}", file.display())
}

fn reason(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => "does not exist".into(),
        io::ErrorKind::IsADirectory => "is a directory".into(),
        io::ErrorKind::NotADirectory => "is not a directory".into(),
        _ => format!("cannot be read: {error}"),
    }
}

fn read(path: &Path) -> io::Result<Vec<Certificate>> {
    let pem = bounded::read(path, LARGEST_FILE)?;
    Ok(Certificate::from_pem_bundle(&pem).unwrap_or_default())
}

fn has_certificates(folder: &Path) -> io::Result<bool> {
    let files = fs::read_dir(folder)?.flatten();
    Ok(files
        .map(|file| read(&file.path()))
        .any(|found| found.is_ok_and(|found| !found.is_empty())))
}

#[cfg(test)]
mod tests {
    use super::*;

    const CERTIFICATE: &str = include_str!("../../fixtures/certificates/chain.pem");

    fn roots(file: Option<&Path>, folder: Option<&Path>) -> Roots {
        Roots {
            file: file.map(Path::to_owned),
            folders: folder.map(Path::to_owned).into_iter().collect(),
        }
    }

    #[test]
    fn a_variable_that_names_no_certificates_is_named_with_its_path_and_the_reason() {
        let folder = tempfile::tempdir().expect("a folder");
        let folder = folder.path();
        let (good, empty) = (folder.join("good.pem"), folder.join("empty.pem"));
        fs::write(&good, CERTIFICATE).expect("written");
        fs::write(&empty, "").expect("written");
        let (missing, bare) = (folder.join("missing"), folder.join("bare"));
        fs::create_dir(&bare).expect("a folder");
        let lacks = "contains no certificate in PEM format";
        for (file, named, why) in [
            (Some(&missing), None, "does not exist"),
            (Some(&empty), None, lacks),
            (Some(&bare), None, "is a directory"),
            (None, Some(&missing), "does not exist"),
            (None, Some(&bare), lacks),
            (None, Some(&good), "is not a directory"),
        ] {
            let roots = roots(file.map(PathBuf::as_path), named.map(PathBuf::as_path));
            let (variable, path) = match (file, named) {
                (Some(file), _) => ("SSL_CERT_FILE", file),
                (_, path) => ("SSL_CERT_DIR", path.expect("one of both")),
            };
            let expected = format!("{variable} names {}, which {why}", path.display());
            assert_eq!(roots.problem(), Some(expected));
        }
        assert_eq!(roots(Some(&good), Some(folder)).problem(), None);
    }

    #[test]
    fn without_variables_the_machine_has_no_certificates() {
        assert_eq!(
            roots(None, None).none_found(),
            "this machine has no CA certificates"
        );
    }

    #[cfg(unix)]
    #[test]
    fn a_device_is_refused_before_it_is_read() {
        for device in ["/dev/zero", "/dev/null"] {
            let refused = roots(Some(Path::new(device)), None).check_size();
            let expected = format!("SSL_CERT_FILE names {device}, which is not a regular file");
            assert_eq!(refused, Err(expected));
        }
    }
}
