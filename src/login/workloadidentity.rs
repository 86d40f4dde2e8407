//! `--login workloadidentity`: an application that proves its identity with a federated token, from a file or from
//! GitHub Actions.

use super::federated_token::{Federated, Source, file, github_actions};
use crate::env::{self, Env};
use crate::error::Error;
use crate::flag::Flag;
use crate::options::Options;

/// A CI system where nothing of a federated token is set: the variable that it sets, what is wrong, the fix, and what to
/// write into the job.
type CiSystem = (&'static str, &'static str, &'static str, &'static str);

#[rustfmt::skip]
const CI_SYSTEMS: &[CiSystem] = &[
    (env::GITHUB_ACTIONS, "this GitHub Actions job may not request a federated token", "Add to the workflow or the job:",
     "permissions:\n  id-token: write\n  contents: read"),
    (env::GITLAB_CI, "this GitLab job has no federated token", "Write the variable to a file, set AZURE_FEDERATED_TOKEN_FILE to its path, and add to the job:",
     "id_tokens:\n  AZURE_ID_TOKEN:\n    aud: api://AzureADTokenExchange"),
    (env::TF_BUILD, "Azure Pipelines gives this job no federated token for --login workloadidentity", "Use --login azurepipelines in an AzureCLI@2 task with a service connection, and add to the task:",
     "env:\n  SYSTEM_ACCESSTOKEN: $(System.AccessToken)"),
    (env::CIRCLECI, "this CircleCI job has no federated token for Entra ID", "Write one to a file and set AZURE_FEDERATED_TOKEN_FILE to its path:",
     "circleci run oidc get --claims '{\"aud\": \"api://AzureADTokenExchange\"}' > token"),
];

pub fn new(options: &Options, env: &Env) -> Result<Federated, Error> {
    // In a CI system, what is missing first is the right to a token; its client ID is no use without.
    let has_file = options.text(Flag::FederatedTokenFile).is_some();
    if !has_file && github_actions::is_absent(env) {
        without_token(env)?;
    }
    // Then client and tenant, as in the original.
    let client = super::confidential_client(options, missing)?;
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

/// # Errors
/// This is a job of a CI system, whose advice is better than ours.
fn without_token(env: &Env) -> Result<(), Error> {
    let system = CI_SYSTEMS
        .iter()
        .find(|(variable, ..)| env.get(variable).is_some());
    let Some((_, what, remedy, example)) = system else {
        return Ok(());
    };
    Err(Error::input(*what).remedy(*remedy).example(*example))
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

    #[test]
    fn a_ci_job_without_a_federated_token_is_told_first_what_to_write_into_the_job() {
        let bare = |variable: &str| {
            let options = options("workloadidentity", &[], &[(variable, "true")]);
            new(&options, &Env::of(&[(variable, "true")])).map(|_| ())
        };
        for (variable, lines) in [
            (
                env::GITHUB_ACTIONS,
                &["permissions:", "  id-token: write", "  contents: read"][..],
            ),
            (
                env::GITLAB_CI,
                &["id_tokens:", "    aud: api://AzureADTokenExchange"],
            ),
            (
                env::TF_BUILD,
                &["env:", "  SYSTEM_ACCESSTOKEN: $(System.AccessToken)"],
            ),
            (
                env::CIRCLECI,
                &[
                    "circleci run oidc get --claims '{\"aud\": \"api://AzureADTokenExchange\"}' > token",
                ],
            ),
        ] {
            let error = bare(variable).expect_err(variable).to_string();
            let all: Vec<_> = error.lines().collect();
            assert!(lines.iter().all(|line| all.contains(line)), "{error}");
            assert!(!error.contains("client-id"), "{error}");
            let with_file = login(&[TYPED], &[(variable, "true")]);
            assert!(with_file.is_ok(), "a token file is enough");
        }
        let error = bare("HOME").expect_err("nothing is given").to_string();
        assert!(error.contains("client-id"), "{error}");
        let github = [(env::GITHUB_ACTIONS, "true"), URL, BEARER];
        login(&[], &github).expect("a token");
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
