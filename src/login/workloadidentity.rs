//! `--login workloadidentity`: an application that proves itself with a federated token, from a file or from GitHub
//! Actions.

use crate::entra::federated_token::{Endpoint, Source};
use crate::entra::{Client, ClientAuth};
use crate::env::{self, Env};
use crate::error::Error;
use crate::flag::Flag;
use crate::options::{Options, missing};
use crate::secret::Secret;

pub fn client(options: &Options, env: &Env) -> Result<Client, Error> {
    // Client and tenant are asked for first, as in the original.
    let client = super::client(options, ClientAuth::Public)?;
    Ok(Client {
        auth: ClientAuth::Federated(source(options, env)?),
        ..client
    })
}

/// GitHub's variables beat a file that only AZURE_FEDERATED_TOKEN_FILE names; a typed file leaves them unread.
fn source(options: &Options, env: &Env) -> Result<Source, Error> {
    let file = options.text(Flag::FederatedTokenFile);
    if let Some(path) = file.filter(|_| options.is_typed(Flag::FederatedTokenFile)) {
        return Ok(Source::File(path.into()));
    }
    let url = env.get(env::ACTIONS_ID_TOKEN_REQUEST_URL);
    let bearer = env
        .get(env::ACTIONS_ID_TOKEN_REQUEST_TOKEN)
        .map(Secret::new);
    match (url, bearer, file) {
        (Some(url), Some(bearer), _) => {
            Endpoint::parse(env::ACTIONS_ID_TOKEN_REQUEST_URL, url, &bearer)
                .map(Source::GitHubActions)
        }
        (_, _, Some(path)) => Ok(Source::File(path.into())),
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::login::tests::{CLIENT, options};

    fn login(given: &[(Flag, &str)], env: &[(&str, &str)]) -> Result<Client, Error> {
        let flags = [&CLIENT, given].concat();
        super::client(&options("workloadidentity", &flags, env), &Env::of(env))
    }

    const URL: (&str, &str) = (env::ACTIONS_ID_TOKEN_REQUEST_URL, "https://github.example/");
    const BEARER: (&str, &str) = (env::ACTIONS_ID_TOKEN_REQUEST_TOKEN, "t");
    const FILE: (&str, &str) = (env::AZURE_FEDERATED_TOKEN_FILE, "/env");
    const TYPED: (Flag, &str) = (Flag::FederatedTokenFile, "/typed");

    #[test]
    fn github_s_variables_beat_the_environment_s_file_and_a_typed_file_beats_them() {
        let is_github = |client: &Client| {
            matches!(
                &client.auth,
                ClientAuth::Federated(Source::GitHubActions(_))
            )
        };
        let is_file = |client: &Client, name: &str| match &client.auth {
            ClientAuth::Federated(Source::File(path)) => path == std::path::Path::new(name),
            _ => false,
        };
        assert!(is_github(&login(&[], &[URL, BEARER]).expect("login")));
        assert!(is_github(&login(&[], &[URL, BEARER, FILE]).expect("login")));
        assert!(is_file(
            &login(&[TYPED], &[URL, BEARER]).expect("login"),
            "/typed"
        ));
        assert!(is_file(&login(&[TYPED], &[FILE]).expect("login"), "/env"));
        let keep = (Flag::DisableEnvironmentOverride, "true");
        assert!(
            is_github(&login(&[keep], &[URL, BEARER]).expect("login")),
            "they override no flag"
        );
        for half in [URL, BEARER] {
            assert!(is_file(&login(&[], &[half, FILE]).expect("login"), "/env"));
        }
    }

    /// Azure/azure-cli#28551: "clientID cannot be empty" told nobody what to set.
    #[test]
    fn what_is_missing_is_named_with_where_it_usually_comes_from() {
        for (env, names) in [
            (vec![], ["AZURE_FEDERATED_TOKEN_FILE", "webhook"]),
            (
                vec![URL],
                [
                    "ACTIONS_ID_TOKEN_REQUEST_TOKEN is not set",
                    "id-token: write",
                ],
            ),
            (
                vec![BEARER],
                ["ACTIONS_ID_TOKEN_REQUEST_URL is not set", "id-token: write"],
            ),
            (
                vec![("ACTIONS_ID_TOKEN_REQUEST_URL", "nonsense?t=hush"), BEARER],
                ["ACTIONS_ID_TOKEN_REQUEST_URL is not a URL", "CI"],
            ),
            (
                vec![("ACTIONS_ID_TOKEN_REQUEST_URL", "ftp://ci/?t=hush"), BEARER],
                ["ACTIONS_ID_TOKEN_REQUEST_URL is not a URL", "CI"],
            ),
        ] {
            let error = login(&[], &env).expect_err("refused").to_string();
            assert!(names.iter().all(|name| error.contains(name)), "{error}");
            assert!(!error.contains("hush"), "{error}");
        }
    }
}
