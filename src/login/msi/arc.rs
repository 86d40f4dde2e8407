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
            "Azure Arc answered 401 without naming the file that proves who we are",
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
        Error::refused("", format!("Azure Arc names the key file {path:?}, which {why}")).remedy(
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
    Error::input(format!("Azure Arc's key file {} cannot be read: {error}", path.display())).remedy(
        "Only members of the group himds (on Windows: Hybrid agent extension applications, or administrators) may have the machine's tokens: join it.",
    )
}
