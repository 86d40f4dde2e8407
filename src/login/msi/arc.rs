//! Azure Arc's challenge: its agent names a file that only those may read who may have a token.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use http::StatusCode;
use http::header::{AUTHORIZATION, WWW_AUTHENTICATE};

use super::host::sensitive;
use super::unreachable;
use crate::error::Error;
use crate::retry::{self, Deadline};
use crate::secret::Secret;
use crate::system::{HttpRequest, HttpResponse, System, Via};

/// The largest key, in bytes.
const LARGEST_KEY: u64 = 4096;

/// Sends the request twice: for the file, and with its content.
pub fn send(
    system: &dyn System,
    mut request: HttpRequest,
    key_folder: &Path,
    deadline: Deadline,
) -> Result<HttpResponse, Error> {
    let challenge = retry::send(system, &request, Via::Direct, deadline).map_err(unreachable)?;
    if challenge.status() != StatusCode::UNAUTHORIZED {
        return Ok(challenge);
    }
    let header = challenge.headers().get(WWW_AUTHENTICATE);
    let header = header.and_then(|header| header.to_str().ok());
    let path = header.and_then(|header| Some(header.split_once("Basic realm=")?.1));
    let path = path.ok_or_else(|| {
        Error::refused(
            "",
            "it answered 401 without naming the file that proves who we are",
        )
        .remedy("Check the agent with azcmagent check, and update it.")
    })?;
    let key = read_key(Path::new(path.trim().trim_matches('"')), key_folder)?;
    let proof = Secret::new(format!("Basic {}", key.expose()));
    request
        .headers_mut()
        .insert(AUTHORIZATION, sensitive(&proof)?);
    retry::send(system, &request, Via::Direct, deadline).map_err(unreachable)
}

/// Whoever answers in the agent's place must not get any other file of ours.
fn read_key(path: &Path, folder: &Path) -> Result<Secret, Error> {
    let wrong = |why: &str| {
        Error::refused("", format!("it names the key file {path:?}, which {why}")).remedy(
            "Something else than Azure Arc's agent may have answered: check IDENTITY_ENDPOINT and azcmagent check.",
        )
    };
    if path.extension().is_none_or(|extension| extension != "key") {
        return Err(wrong("is no .key file"));
    }
    if path.parent() != Some(folder) {
        return Err(wrong(&format!("is not in {}", folder.display())));
    }
    let metadata = path
        .symlink_metadata()
        .map_err(|error| unreadable(path, &error))?;
    if !metadata.is_file() {
        return Err(wrong("is a link or no file"));
    }
    if metadata.len() > LARGEST_KEY {
        return Err(wrong(&format!(
            "has {} bytes instead of at most {LARGEST_KEY}",
            metadata.len()
        )));
    }
    let mut key = String::new();
    File::open(path)
        .and_then(|file| file.take(LARGEST_KEY).read_to_string(&mut key))
        .map_err(|error| unreadable(path, &error))?;
    Ok(Secret::new(key.trim()))
}

fn unreadable(path: &Path, error: &std::io::Error) -> Error {
    Error::input(format!("its key file {} cannot be read: {error}", path.display())).remedy(
        "Only members of the group himds (on Windows: Hybrid agent extension applications, or administrators) may have the machine's tokens: join it.",
    )
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::time::Duration;

    use super::*;
    use crate::login::outside_state::test_folder;
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
    fn the_file_that_the_agent_names_opens_the_door() {
        let folder = test_folder("arc");
        let path = folder.join("1.key");
        fs::write(&path, "the key\n").expect("written");
        let system = FakeSystem::new([challenge(&path), FakeSystem::json(200, "{}")]);
        assert_eq!(ask(&system, &folder).expect("answer").status(), 200);
        let requests = system.requests();
        assert!(!requests[0].headers().contains_key(AUTHORIZATION));
        assert_eq!(requests[1].headers()[AUTHORIZATION], "Basic the key");
        assert_eq!(requests[0].uri(), requests[1].uri());
        let _ = fs::remove_dir_all(folder);
    }

    #[test]
    fn no_other_file_is_sent_whoever_asks_for_it() {
        let (folder, outside) = (test_folder("arc-tokens"), test_folder("arc-other"));
        fs::write(outside.join("a.key"), "hunter2").expect("written");
        fs::write(folder.join("a.txt"), "hunter2").expect("written");
        fs::write(folder.join("big.key"), "x".repeat(4097)).expect("written");
        fs::create_dir_all(folder.join("folder.key")).expect("made");
        fs::create_dir_all(folder.join("sub")).expect("made");
        #[cfg(unix)]
        std::os::unix::fs::symlink(outside.join("a.key"), folder.join("link.key")).expect("linked");
        let cases = [
            (outside.join("a.key"), "is not in"),
            (
                folder
                    .join("sub")
                    .join("..")
                    .join("..")
                    .join("arc-other")
                    .join("a.key"),
                "is not in",
            ),
            (folder.join("a.txt"), "is no .key file"),
            (folder.join("big.key"), "4097 bytes"),
            (folder.join("folder.key"), "no file"),
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
        for folder in [folder, outside] {
            let _ = fs::remove_dir_all(folder);
        }
    }

    #[test]
    fn a_challenge_that_names_no_file_is_an_error() {
        let system = FakeSystem::new([FakeSystem::json(401, "")]);
        let error = ask(&system, Path::new("/x"))
            .expect_err("refused")
            .to_string();
        assert!(error.contains("without naming the file"), "{error}");
    }
}
