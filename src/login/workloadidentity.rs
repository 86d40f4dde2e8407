//! `--login workloadidentity`: an application that proves itself with a federated token, from a file or from GitHub
//! Actions.

use crate::entra::federated_token::{Endpoint, Source};
use crate::entra::{Client, ClientAuth};
use crate::env;
use crate::error::Error;
use crate::flag::Flag;
use crate::options::{Options, missing};

pub fn new(options: &Options) -> Result<Client, Error> {
    // Client and tenant are asked for first, as in the original.
    let client = super::client(options, ClientAuth::Public)?;
    Ok(Client {
        auth: ClientAuth::Federated(source(options)?),
        ..client
    })
}

/// GitHub's variables beat a file that only AZURE_FEDERATED_TOKEN_FILE names; a typed file leaves them unread.
fn source(options: &Options) -> Result<Source, Error> {
    let github = &options.github_actions;
    match (&github.url, &github.bearer, &options.federated_token_file) {
        (Some(url), Some(bearer), _) => {
            Endpoint::parse(env::ACTIONS_ID_TOKEN_REQUEST_URL, url, bearer)
                .map(Source::GitHubActions)
        }
        (_, _, Some(path)) => Ok(Source::File(path.clone())),
        (Some(_), None, None) => Err(missing_in_github(env::ACTIONS_ID_TOKEN_REQUEST_TOKEN)),
        (None, Some(_), None) => Err(missing_in_github(env::ACTIONS_ID_TOKEN_REQUEST_URL)),
        (None, None, None) => Err(missing(Flag::FederatedTokenFile, options.login)),
    }
}

fn missing_in_github(variable: &str) -> Error {
    Error::input(format!("{variable} is not set, but its twin is")).remedy(
        "GitHub Actions sets both in a job with permissions: id-token: write; hand both on to the step that runs kubectl.",
    )
}
