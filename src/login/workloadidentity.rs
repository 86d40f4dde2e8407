//! `--login workloadidentity`: an application that proves its identity with a federated token, from a file or from
//! GitHub Actions.

use super::federated_token::{Federated, Source, file, github_actions};
use crate::env::Env;
use crate::error::Error;
use crate::flag::Flag;
use crate::options::Options;

pub fn new(options: &Options, env: &Env) -> Result<Federated, Error> {
    // Client and tenant are checked first, as in the original.
    let client = super::client_or(options, missing)?;
    let source = source(options, env, client.authority.token_exchange_audience())?;
    Ok(Federated { client, source })
}

/// A typed file comes first, then GitHub Actions, then a file that only AZURE_FEDERATED_TOKEN_FILE names.
fn source(options: &Options, env: &Env, audience: &str) -> Result<Source, Error> {
    let file = Flag::FederatedTokenFile;
    match options.text(file) {
        Some(path) if options.is_typed(file) || !github_actions::is_available(env) => {
            Ok(file::source(path))
        }
        _ => github_actions::source(env, audience)?.ok_or_else(|| missing(options, file)),
    }
}

/// The error for a missing value, with where it usually comes from.
fn missing(options: &Options, flag: Flag) -> Error {
    options.missing(flag).hint(
        "In AKS, the workload identity webhook sets the variables of a pod with the label azure.workload.identity/use: \
         \"true\" from the annotations of its service account; in GitHub Actions, azure/login or env: sets them.",
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::env;
    use crate::login::tests::{CLIENT, options};

    fn login(given: &[(Flag, &str)], env: &[(&str, &str)]) -> Result<Federated, Error> {
        let flags = [&CLIENT, given].concat();
        new(&options("workloadidentity", &flags, env), &Env::of(env))
    }

    const URL: (&str, &str) = (env::ACTIONS_ID_TOKEN_REQUEST_URL, "https://github.example/");
    const BEARER: (&str, &str) = (env::ACTIONS_ID_TOKEN_REQUEST_TOKEN, "t");
    const FILE: (&str, &str) = (env::AZURE_FEDERATED_TOKEN_FILE, "/env");
    const TYPED: (Flag, &str) = (Flag::FederatedTokenFile, "/typed");

    #[test]
    fn github_s_variables_beat_the_environment_s_file_and_a_typed_file_beats_them() {
        let source = |flags: &[(Flag, &str)], env: &[(&str, &str)]| {
            format!("{:?}", login(flags, env).expect("login").source)
        };
        let file = |name: &str| format!("Source(federated token file {name})");
        let github = "Source(federated token from GitHub Actions)";
        assert_eq!(source(&[], &[URL, BEARER]), github);
        assert_eq!(source(&[], &[URL, BEARER, FILE]), github);
        assert_eq!(source(&[TYPED], &[URL, BEARER]), file("/typed"));
        assert_eq!(source(&[TYPED], &[FILE]), file("/env"));
        let keep = (Flag::DisableEnvironmentOverride, "true");
        let kept = source(&[keep], &[URL, BEARER]);
        assert_eq!(kept, github, "they override no flag");
        for half in [URL, BEARER] {
            assert_eq!(source(&[], &[half, FILE]), file("/env"));
        }
    }

    /// Azure/azure-cli#28551: "clientID cannot be empty" told nobody what to set.
    #[test]
    fn a_missing_value_is_named_with_its_usual_source() {
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
