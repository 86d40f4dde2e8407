//! Azure Arc: a machine outside Azure with an agent. The agent names a file that only authorised users can read, and
//! expects its content in a second request.

use std::path::{Path, PathBuf};

use http::StatusCode;
use http::header::{AUTHORIZATION, WWW_AUTHENTICATE};
use oauth2::url::form_urlencoded;
use serde_json::Value;
use zeroize::Zeroizing;

use super::Identity;
use super::host::{self, Host, Selectors, Shape, unreachable};
use crate::env::{self, Env};
use crate::error::Error;
use crate::retry::{self, Deadline};
use crate::secret::Secret;
use crate::system::{HttpRequest, HttpResponse, System, Via, bounded};

/// The largest key, in bytes.
const LARGEST_KEY: u64 = 4096;

/// How a request names a user-assigned identity; the answer must repeat it.
const CLIENT_ID: &str = "client_id";
const RESOURCE_ID: &str = "msi_res_id";

/// Where the agent listens.
const ENDPOINT: &str = "http://127.0.0.1:40342/metadata/identity/oauth2/token";

/// True if the agent's program is there.
pub fn is_installed(env: &Env) -> bool {
    let program_data = env.get(env::PROGRAM_DATA).map(Path::new);
    Agent::of_this_platform(program_data).is_some_and(|agent| agent.program.is_file())
}

/// Found by IDENTITY_ENDPOINT and IMDS_ENDPOINT, or by the agent's program: not every process gets the variables.
pub fn detect(env: &Env) -> Result<Option<Host>, Error> {
    let program_data = env.get(env::PROGRAM_DATA).map(Path::new);
    let agent = Agent::of_this_platform(program_data);
    let variables = env
        .get(env::IDENTITY_ENDPOINT)
        .zip(env.get(env::IMDS_ENDPOINT));
    let endpoint = match variables {
        Some((endpoint, _)) => host::endpoint(env::IDENTITY_ENDPOINT, endpoint)?,
        None if is_installed(env) => host::endpoint("Azure Arc", ENDPOINT)?,
        None => return Ok(None),
    };
    let agent = agent.ok_or_else(|| {
        Error::input("Azure Arc issues tokens only on Linux and Windows")
            .remedy("Unset IDENTITY_ENDPOINT and IMDS_ENDPOINT, or use another --login mode.")
    })?;
    Ok(Some(Host {
        name: "Azure Arc",
        endpoint,
        shape: Shape::Query {
            api_version: "2020-06-01",
        },
        headers: vec![host::metadata()],
        selectors: Selectors {
            client_id: Some(CLIENT_ID),
            resource_id: Some(RESOURCE_ID),
            ..Selectors::default()
        },
        default_identity: Identity::System,
        send: Box::new(move |system, request, deadline| {
            send(system, request, &agent.key_folder, deadline)
        }),
    }))
}

/// Arc's agent, and the folder that only the agent and the users it trusts can read.
struct Agent {
    program: PathBuf,
    key_folder: PathBuf,
}

impl Agent {
    /// `None` where Arc has no agent.
    fn of_this_platform(program_data: Option<&Path>) -> Option<Self> {
        if cfg!(target_os = "linux") {
            return Some(Self {
                program: "/opt/azcmagent/bin/himds".into(),
                key_folder: "/var/opt/azcmagent/tokens".into(),
            });
        }
        let folder = program_data
            .filter(|_| cfg!(windows))?
            .join("AzureConnectedMachineAgent");
        Some(Self {
            program: folder.join("himds.exe"),
            key_folder: folder.join("Tokens"),
        })
    }
}

/// Sends the request twice: once to learn the file, once with its content.
fn send(
    system: &dyn System,
    mut request: HttpRequest,
    key_folder: &Path,
    deadline: Deadline,
) -> Result<HttpResponse, Error> {
    let challenge = retry::send(system, &request, Via::Direct, deadline).map_err(unreachable)?;
    if challenge.status() != StatusCode::UNAUTHORIZED {
        return of_wanted_identity(&request, challenge);
    }
    let header = challenge.headers().get(WWW_AUTHENTICATE);
    let header = header.and_then(|header| header.to_str().ok());
    let path = header.and_then(|header| Some(header.split_once("Basic realm=")?.1));
    let path = path.ok_or_else(|| {
        Error::refused("", "it answered 401 without naming its key file")
            .remedy("Run azcmagent check, and update the agent.")
    })?;
    let key = read_key(Path::new(path.trim().trim_matches('"')), key_folder)?;
    let proof = Secret::new(format!("Basic {}", key.expose()));
    let proof = host::sensitive(proof.expose(), "the content of its key file")?;
    request.headers_mut().insert(AUTHORIZATION, proof);
    let answer = retry::send(system, &request, Via::Direct, deadline).map_err(unreachable)?;
    of_wanted_identity(&request, answer)
}

/// The answer, unless it has a token that may be another identity's: an agent that is too old ignores the selector and
/// answers with the system-assigned identity. One that obeys repeats the selector (MSAL Go 1.10, managedidentity.go).
fn of_wanted_identity(request: &HttpRequest, answer: HttpResponse) -> Result<HttpResponse, Error> {
    let query = request.uri().query().unwrap_or_default();
    let mut wanted = form_urlencoded::parse(query.as_bytes())
        .filter(|(name, _)| [CLIENT_ID, RESOURCE_ID].contains(&name.as_ref()));
    let Some((name, id)) = wanted.next().filter(|_| answer.status() == StatusCode::OK) else {
        return Ok(answer);
    };
    let body: Value = serde_json::from_slice(answer.body()).unwrap_or_default();
    let repeated = body[name.as_ref()].as_str();
    if repeated.is_some_and(|other| other.eq_ignore_ascii_case(&id)) {
        return Ok(answer);
    }
    let what = format!("the agent did not confirm that its token is for the identity {id}");
    Err(Error::refused("", what).remedy(
        "Update the agent: older ones answer with the system-assigned identity, which is used without --client-id (AZURE_CLIENT_ID) and --identity-resource-id.",
    ))
}

/// A program that impersonates the agent must not get any other file.
fn read_key(path: &Path, folder: &Path) -> Result<Secret, Error> {
    let wrong = |why: &str| {
        Error::refused("", format!("it names the key file {path:?}, which {why}")).remedy(
            "Something other than Azure Arc's agent may have answered: check IDENTITY_ENDPOINT, and run azcmagent check.",
        )
    };
    if path.extension().is_none_or(|extension| extension != "key") {
        return Err(wrong("is not a .key file"));
    }
    if path.parent() != Some(folder) {
        return Err(wrong(&format!("is not in {}", folder.display())));
    }
    if !folder.is_dir() {
        return Err(not_mounted(folder));
    }
    let metadata = path
        .symlink_metadata()
        .map_err(|error| unreadable(path, &error))?;
    if !metadata.is_file() {
        return Err(wrong("is a link or not a file"));
    }
    if metadata.len() > LARGEST_KEY {
        return Err(wrong(&format!(
            "has {} bytes; at most {LARGEST_KEY} are allowed",
            metadata.len()
        )));
    }
    let key = bounded::read(path, LARGEST_KEY).map_err(|error| unreadable(path, &error))?;
    let key = Zeroizing::new(key);
    let key = String::from_utf8_lossy(&key);
    if key.trim().is_empty() {
        return Err(wrong("is empty"));
    }
    Ok(Secret::new(key.trim()))
}

/// In a container that shares the host's network, the host's agent answers too, but its keys are missing there.
fn not_mounted(folder: &Path) -> Error {
    let what = format!(
        "the folder of its key files, {}, does not exist",
        folder.display()
    );
    Error::input(what).remedy(
        "In a container, mount that folder from the host, and run as a member of the host's himds group.",
    )
}

fn unreadable(path: &Path, error: &std::io::Error) -> Error {
    Error::input(format!("its key file {} cannot be read: {error}", path.display())).remedy(
        "Only members of the himds group (on Windows: Hybrid agent extension applications, or administrators) can get the machine's tokens; add this user to it.",
    )
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::time::Duration;

    use tempfile::TempDir;

    use super::*;
    use crate::system::fake::FakeSystem;

    fn challenge(path: &Path) -> Result<HttpResponse, crate::system::NetworkError> {
        let answer = http::Response::builder().status(401);
        let answer = answer.header(WWW_AUTHENTICATE, format!("Basic realm={}", path.display()));
        Ok(answer.body(Vec::new()).expect("an answer"))
    }

    fn ask(system: &FakeSystem, folder: &Path) -> Result<HttpResponse, Error> {
        let request = http::Request::get("http://127.0.0.1:40342/x?y=z").header("metadata", "true");
        let deadline = Deadline::after(system, Duration::from_secs(60));
        send(
            system,
            request.body(Vec::new()).expect("a request"),
            folder,
            deadline,
        )
    }

    #[test]
    fn the_content_of_the_file_that_the_agent_names_is_sent_back() {
        let folder = TempDir::new().expect("a folder");
        let path = folder.path().join("1.key");
        fs::write(&path, "the key\n").expect("written");
        let system = FakeSystem::new([challenge(&path), FakeSystem::json(200, "{}")]);
        assert_eq!(ask(&system, folder.path()).expect("answer").status(), 200);
        let requests = system.requests();
        assert!(!requests[0].headers().contains_key(AUTHORIZATION));
        assert_eq!(requests[1].headers()[AUTHORIZATION], "Basic the key");
        assert_eq!(requests[0].uri(), requests[1].uri());
    }

    /// Azure Arc's agent knows user-assigned identities since 2026.
    #[test]
    fn a_token_counts_only_if_the_agent_repeats_the_identity_that_was_asked_for() {
        let token = r#""access_token":"hush""#;
        for (query, answer, is_good) in [
            (
                "client_id=App",
                format!(r#"{{{token},"client_id":"aPP"}}"#),
                true,
            ),
            ("client_id=app", format!("{{{token}}}"), false),
            (
                "client_id=app",
                format!(r#"{{{token},"client_id":"other"}}"#),
                false,
            ),
            (
                "msi_res_id=%2Fx",
                format!(r#"{{{token},"msi_res_id":"/X"}}"#),
                true,
            ),
            (
                "msi_res_id=%2Fx",
                format!(r#"{{{token},"client_id":"/x"}}"#),
                false,
            ),
            ("resource=r", format!("{{{token}}}"), true),
        ] {
            let request = http::Request::get(format!("http://127.0.0.1:40342/x?{query}"));
            let request = request.body(Vec::new()).expect("a request");
            let system = FakeSystem::new([FakeSystem::json(200, answer)]);
            let deadline = Deadline::after(&system, Duration::from_secs(60));
            let result = send(&system, request, Path::new("/x"), deadline);
            assert_eq!(result.is_ok(), is_good, "{query}");
            if let Err(error) = result {
                let error = error.to_string();
                assert!(
                    error.contains("did not confirm") && !error.contains("hush"),
                    "{error}"
                );
            }
        }
    }

    #[test]
    fn no_other_file_is_sent_whatever_asks_for_it() {
        let room = TempDir::new().expect("a folder");
        let (folder, outside) = (room.path().join("tokens"), room.path().join("other"));
        fs::create_dir(&folder).expect("made");
        fs::create_dir(&outside).expect("made");
        fs::write(outside.join("a.key"), "hunter2").expect("written");
        fs::write(folder.join("a.txt"), "hunter2").expect("written");
        fs::write(folder.join("big.key"), "x".repeat(4097)).expect("written");
        fs::write(folder.join("empty.key"), "\n").expect("written");
        fs::create_dir(folder.join("folder.key")).expect("made");
        fs::create_dir(folder.join("sub")).expect("made");
        #[cfg(unix)]
        std::os::unix::fs::symlink(outside.join("a.key"), folder.join("link.key")).expect("linked");
        let cases = [
            (outside.join("a.key"), "is not in"),
            (
                folder
                    .join("sub")
                    .join("..")
                    .join("..")
                    .join("other")
                    .join("a.key"),
                "is not in",
            ),
            (folder.join("a.txt"), "is not a .key file"),
            (folder.join("big.key"), "4097 bytes"),
            (folder.join("empty.key"), "is empty"),
            (folder.join("folder.key"), "not a file"),
            (folder.join("absent.key"), "cannot be read"),
            #[cfg(unix)]
            (folder.join("link.key"), "is a link"),
        ];
        for (path, says) in cases {
            let system = FakeSystem::new([challenge(&path)]);
            let error = ask(&system, &folder).expect_err("refused").to_string();
            assert!(
                error.contains(says) && !error.contains("hunter2"),
                "{error}"
            );
        }
    }

    #[test]
    fn in_a_container_without_the_key_folder_the_mount_is_named() {
        let folder = Path::new("/kubelogin/nobody/tokens");
        let system = FakeSystem::new([challenge(&folder.join("1.key"))]);
        let error = ask(&system, folder).expect_err("refused").to_string();
        assert!(
            error.contains("/kubelogin/nobody/tokens, does not exist"),
            "{error}"
        );
        assert!(error.contains("mount"), "{error}");
    }

    #[test]
    fn a_challenge_without_a_file_is_an_error() {
        let system = FakeSystem::new([FakeSystem::json(401, "")]);
        let error = ask(&system, Path::new("/x"))
            .expect_err("refused")
            .to_string();
        assert!(error.contains("without naming its key file"), "{error}");
    }
}
