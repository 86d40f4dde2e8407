//! A federated token in a file that something else keeps fresh: in AKS, the kubelet.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use super::{Place, Source};
use crate::secret::Secret;
use crate::system::LARGEST_BODY;

/// The file at `path`, which is read at each sign-in.
pub fn source(path: &str) -> Source {
    Source {
        name: format!("federated token file {path}"),
        remedy: "Check --federated-token-file (or AZURE_FEDERATED_TOKEN_FILE); in AKS, the workload identity webhook mounts \
                 the file and the kubelet keeps the token in it fresh.",
        place: Place::File(path.into()),
    }
}

/// Reads the file. A volume that hangs, or a pipe that nobody writes to, gets no more time than a server.
pub fn read_within(path: &Path, patience: Duration) -> io::Result<Secret> {
    let (sender, receiver) = mpsc::channel();
    let path = path.to_owned();
    thread::Builder::new().spawn(move || sender.send(read(&path)))?;
    receiver.recv_timeout(patience).unwrap_or_else(|_| {
        let why = format!("it could not be read within {patience:?}");
        Err(io::Error::other(why))
    })
}

fn read(path: &Path) -> io::Result<Secret> {
    if path.is_dir() {
        return Err(io::ErrorKind::IsADirectory.into());
    }
    let mut bytes = Vec::new();
    File::open(path)?
        .take(LARGEST_BODY)
        .read_to_end(&mut bytes)?;
    let text = String::from_utf8(bytes).map_err(|_| io::Error::other("it is not a JWT"))?;
    Ok(Secret::new(text))
}

#[cfg(test)]
mod tests {

    use serde_json::json;
    use tempfile::NamedTempFile;

    use super::super::tests::{ACCESS_TOKEN, PUBLIC, assert_assertion_form, jwt, jwt_with, login};
    use super::*;
    use crate::system::fake::FakeSystem;

    /// A file that exists for as long as this value does.
    fn holding(content: impl AsRef<[u8]>) -> NamedTempFile {
        let file = NamedTempFile::with_prefix("kubelogin-").expect("a file");
        std::fs::write(&file, content).expect("written");
        file
    }

    fn source_of(file: &NamedTempFile) -> Source {
        source(&file.path().to_string_lossy())
    }

    /// Azure/kubelogin sends the file's line break along.
    #[test]
    fn a_file_costs_one_request_and_only_its_token_is_sent() {
        for content in [
            jwt(),
            format!("{}\r\n", jwt()),
            format!("\u{feff} {}\n\n", jwt()),
        ] {
            let file = holding(content);
            let system = FakeSystem::new([FakeSystem::json(200, ACCESS_TOKEN)]);
            login(PUBLIC, source_of(&file), &system).expect("token");
            assert_eq!(system.requests().len(), 1);
            assert_assertion_form(&system.forms()[0]);
        }
    }

    #[test]
    fn the_file_is_read_again_for_each_sign_in() {
        let file = holding("not yet");
        let system = FakeSystem::new([FakeSystem::json(200, ACCESS_TOKEN)]);
        login(PUBLIC, source_of(&file), &system).expect_err("not yet");
        std::fs::write(&file, jwt()).expect("written");
        login(PUBLIC, source_of(&file), &system).expect("token");
    }

    #[test]
    fn a_file_without_a_valid_token_is_reported_before_anything_is_sent() {
        let expired = jwt_with(
            &json!({"iss": "https://issuer", "sub": "job", "aud": "api://x", "exp": FakeSystem::EPOCH.timestamp()}),
        );
        let rows: &[(&[u8], &str)] = &[
            (b"", "is empty"),
            (b" \r\n", "is empty"),
            (b"hush.hush.hush", "not a JWT"),
            (b"{\"token\":\"hush\"}", "not a JWT"),
            (b"\xff\xfeh\0u\0s\0h\0", "not a JWT"),
            (
                expired.as_bytes(),
                "expired at 2026-01-01T00:00:00Z (issuer \"https://issuer\", subject \"job\", audience \"api://x\")",
            ),
        ];
        for (content, why) in rows {
            let file = holding(content);
            // An unknown host would be asked for its endpoints first.
            let system = FakeSystem::new([]);
            let error = login("https://idp.example/", source_of(&file), &system);
            let error = error.expect_err(why).to_string();
            assert!(
                error.contains(why) && error.contains("kubelogin-"),
                "{error}"
            );
            assert!(!error.contains("hush") && !error.contains("e30"), "{error}");
        }
    }

    #[test]
    fn a_path_without_a_file_is_reported_with_the_flag_and_the_variable() {
        let folder = std::env::temp_dir();
        for (path, why) in [
            (folder.clone(), "is a directory"),
            (folder.join("kubelogin-nobody"), "os error"),
        ] {
            let source = source(&path.to_string_lossy());
            let error = login(PUBLIC, source, &FakeSystem::new([]));
            let error = error.expect_err(why).to_string();
            assert!(
                error.contains(why) && error.contains("AZURE_FEDERATED_TOKEN_FILE"),
                "{error}"
            );
        }
    }

    #[test]
    fn a_token_without_an_expiry_is_left_for_entra_to_judge() {
        for claims in [json!({}), json!({"exp": "soon"}), json!({"exp": null})] {
            let file = holding(jwt_with(&claims));
            let system = FakeSystem::new([FakeSystem::json(200, ACCESS_TOKEN)]);
            login(PUBLIC, source_of(&file), &system).expect("token");
        }
    }
}
