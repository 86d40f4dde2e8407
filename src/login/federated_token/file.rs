//! A federated token in a file that something else keeps fresh: in AKS, the kubelet.

use std::io;
use std::path::Path;
use std::time::Duration;

use zeroize::Zeroizing;

use super::{Place, Source};
use crate::secret::Secret;
use crate::system::{LARGEST_BODY, bounded};
use crate::token_cache::Fingerprint;

/// The file at `path`, which is read at each sign-in.
pub fn source(path: &str) -> Source {
    Source {
        name: format!("federated token file {path}"),
        remedy: "Check --federated-token-file (or AZURE_FEDERATED_TOKEN_FILE); in AKS, the workload identity webhook mounts \
                 the file and the kubelet keeps the token in it fresh.",
        place: Place::File(path.into()),
    }
}

/// Reads the file. A hanging volume, or a pipe without a writer, gets no more time than a server.
pub fn read_within(path: &Path, patience: Duration) -> io::Result<Secret> {
    let path = path.to_owned();
    bounded::within(patience, move || bounded::read_waiting(&path, LARGEST_BODY)).map(text)
}

/// Issuer and subject of the token in the file, which stay when it is renewed; `None` if there is no such token, or if
/// the file is a pipe and can be read only once.
pub fn subject(path: &Path) -> Option<Fingerprint> {
    super::subject(&text(bounded::read(path, LARGEST_BODY).ok()?))
}

/// Text that is not UTF-8 is not a token, and is refused for what it looks like.
fn text(bytes: Vec<u8>) -> Secret {
    Secret::new(String::from_utf8_lossy(&Zeroizing::new(bytes)))
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
            (b"{\"token\":\"hush\"}", "it is a JSON object"),
            (b"\xff\xfeh\0u\0s\0h\0", "it is UTF-16 text"),
            (b"\xfe\xff\0h\0u\0s\0h", "it is UTF-16 text"),
            (b"\"hush\"", "it is in quotes"),
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

    /// Mounted into every pod, and never accepted by Entra.
    #[test]
    fn a_service_account_token_that_entra_must_refuse_is_not_sent() {
        let (now, sub) = (FakeSystem::EPOCH.timestamp(), "system:serviceaccount:ns:sa");
        let year = now + 365 * 86_400;
        let cluster = "https://kubernetes.default.svc.cluster.local";
        for (claims, why) in [
            (
                json!({"iss": "kubernetes/serviceaccount", "sub": sub}),
                "never expires",
            ),
            (
                json!({"iss": "https://oidc", "sub": sub, "aud": [cluster], "iat": now, "exp": now + 3600}),
                "is meant for the cluster itself",
            ),
            (
                json!({"iss": "https://oidc", "sub": sub, "aud": "https://x.hcp.eastus.azmk8s.io", "iat": now, "exp": now + 3600}),
                "is meant for the cluster itself",
            ),
            (
                json!({"iss": "https://oidc", "sub": sub, "aud": ["api://AzureADTokenExchange"], "iat": now, "exp": year}),
                "is valid for 365 days",
            ),
        ] {
            let file = holding(jwt_with(&claims));
            let error = login(PUBLIC, source_of(&file), &FakeSystem::new([])).expect_err(why);
            let error = error.to_string();
            assert!(
                error.contains(why) && error.contains("kubectl create token"),
                "{error}"
            );
        }
        let good = json!({"sub": sub, "aud": ["api://AzureADTokenExchange", cluster], "iat": now, "exp": now + 86_400});
        let file = holding(jwt_with(&good));
        let system = FakeSystem::new([FakeSystem::json(200, ACCESS_TOKEN)]);
        login(PUBLIC, source_of(&file), &system).expect("token");
    }

    #[test]
    fn the_fingerprint_is_the_issuer_and_subject_of_the_token_in_the_file() {
        let (exp, file) = (FakeSystem::EPOCH.timestamp(), holding(""));
        let of = |claims: &serde_json::Value| {
            std::fs::write(&file, jwt_with(claims)).expect("written");
            subject(file.path())
        };
        let job = of(&json!({"iss": "i", "sub": "job", "exp": exp}));
        assert!(job.is_some());
        assert_eq!(
            of(&json!({"iss": "i", "sub": "job", "exp": exp + 9})),
            job,
            "renewed"
        );
        assert_ne!(of(&json!({"iss": "i", "sub": "another"})), job);
        assert_ne!(of(&json!({"iss": "j", "sub": "job"})), job);
        std::fs::write(&file, "").expect("written");
        assert_eq!(subject(file.path()), None);
        assert_eq!(
            subject(&std::env::temp_dir().join("kubelogin-nobody")),
            None
        );
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
