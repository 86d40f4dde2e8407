//! `--login workloadidentity`: an application that proves its identity with a federated token, from a file, a variable or
//! GitHub Actions.

use zeroize::Zeroizing;

use super::federated_token::github_actions::{self, NAMES, TERRAFORM_NAMES};
use super::federated_token::{Federated, Source, file, variable};
use crate::entra::token_proxy::{Authorities, TokenProxy};
use crate::env::{self, Env};
use crate::error::Error;
use crate::flag::Flag;
use crate::options::Options;
use crate::system::{LARGEST_BODY, bounded};

/// A CI system in which no federated token is set up: the variable that identifies it, the problem, the fix, and what
/// to add to the job.
type CiSystem = (&'static str, &'static str, &'static str, &'static str);

#[rustfmt::skip]
const CI_SYSTEMS: &[CiSystem] = &[
    (env::GITHUB_ACTIONS, "this GitHub Actions job may not request a federated token", "Add to the workflow or the job:",
     "permissions:\n  id-token: write\n  contents: read"),
    (env::GITLAB_CI, "this GitLab job has no federated token", "Pass --federated-token-env AZURE_ID_TOKEN, and add to the job:",
     "id_tokens:\n  AZURE_ID_TOKEN:\n    aud: api://AzureADTokenExchange"),
    (env::TF_BUILD, "Azure Pipelines gives this job no federated token for --login workloadidentity", "Use --login azurepipelines in an AzureCLI@2 task with a service connection, and add to the task:",
     "env:\n  SYSTEM_ACCESSTOKEN: $(System.AccessToken)"),
    (env::CIRCLECI, "this CircleCI job has no federated token for Entra ID", "Write one to a file and set AZURE_FEDERATED_TOKEN_FILE to its path:",
     "circleci run oidc get --claims '{\"aud\": \"api://AzureADTokenExchange\"}' > token"),
    (env::BITBUCKET_STEP_OIDC_TOKEN, "this Bitbucket step has a federated token that kubelogin was not told about", "Pass its variable:",
     "--federated-token-env BITBUCKET_STEP_OIDC_TOKEN"),
    (env::SPACELIFT_OIDC_TOKEN, "this Spacelift run has a federated token that kubelogin was not told about", "Pass its variable:",
     "--federated-token-env SPACELIFT_OIDC_TOKEN"),
    (env::TFC_WORKLOAD_IDENTITY_TOKEN, "this HCP Terraform run has a federated token that kubelogin was not told about", "Pass its variable:",
     "--federated-token-env TFC_WORKLOAD_IDENTITY_TOKEN"),
];

pub fn new(options: &Options, env: &Env) -> Result<Federated, Error> {
    // In a CI system, the permission to get a token comes first: the client ID is useless without it.
    if !has_source(options, env) {
        without_token(env)?;
    }
    // Then client and tenant, as in the original.
    let mut client = super::confidential_client(options, missing)?;
    client.token_proxy = token_proxy(options, env)?;
    let source = source(options, env, client.authority.token_exchange_audience())?;
    Ok(Federated { client, source })
}

/// True if anything names a source for the token.
fn has_source(options: &Options, env: &Env) -> bool {
    let is_given = |flag| options.text(flag).is_some();
    is_given(Flag::FederatedTokenFile)
        || is_given(Flag::FederatedTokenEnv)
        || !github_actions::is_absent(env, NAMES)
        || has_terraform_s(options, env)
}

/// Flags come first, then Terraform's variables if they are enabled, then GitHub Actions, then
/// AZURE_FEDERATED_TOKEN_FILE.
fn source(options: &Options, env: &Env, audience: &str) -> Result<Source, Error> {
    let file = Flag::FederatedTokenFile;
    let path = options.text(file);
    if let Some(path) = path.filter(|_| options.is_typed(file)) {
        return Ok(file::source(path));
    }
    if let Some(name) = options.text(Flag::FederatedTokenEnv) {
        return variable::source(env, name);
    }
    if has_terraform_s(options, env) {
        return terraform_s(env, audience);
    }
    match path {
        Some(path) if !github_actions::is_available(env) => Ok(file::source(path)),
        _ => {
            let source = github_actions::source(env, NAMES, audience)?;
            source.ok_or_else(|| missing(options, file))
        }
    }
}

/// True if Terraform's variables are enabled and name a token (terraform-provider-azurerm, "Authenticating using OpenID
/// Connect").
pub fn has_terraform_s(options: &Options, env: &Env) -> bool {
    let has_token = env.get(env::ARM_OIDC_TOKEN).is_some()
        || env.get(env::ARM_OIDC_TOKEN_FILE_PATH).is_some()
        || !github_actions::is_absent(env, TERRAFORM_NAMES);
    options.is_on(Flag::UseAzurermEnvVars) && !is_terraform_s_off(env) && has_token
}

/// True if ARM_USE_OIDC is false.
pub fn is_terraform_s_off(env: &Env) -> bool {
    let value = env.get(env::ARM_USE_OIDC).map(str::to_ascii_lowercase);
    matches!(value.as_deref(), Some("false" | "0" | "f"))
}

/// The source that Terraform would use: the token or its file, which must agree if both are set; else the request.
fn terraform_s(env: &Env, audience: &str) -> Result<Source, Error> {
    let token = env.get(env::ARM_OIDC_TOKEN);
    match (token, env.get(env::ARM_OIDC_TOKEN_FILE_PATH)) {
        (Some(token), Some(path)) => {
            let content = bounded::read(path.as_ref(), LARGEST_BODY).map(Zeroizing::new);
            let is_same =
                content.is_ok_and(|text| text.trim_ascii() == token.trim_ascii().as_bytes());
            if is_same {
                return Ok(file::source(path));
            }
            Err(Error::input(
                "ARM_OIDC_TOKEN is not the token in the file that ARM_OIDC_TOKEN_FILE_PATH names",
            )
            .remedy("Unset one of the two."))
        }
        (None, Some(path)) => Ok(file::source(path)),
        (Some(token), None) => Ok(variable::of(env::ARM_OIDC_TOKEN, token)),
        (None, None) => {
            let source = github_actions::source(env, TERRAFORM_NAMES, audience)?;
            source.ok_or_else(|| Error::input("ARM_OIDC_REQUEST_URL is not set"))
        }
    }
}

/// The token proxy of AKS identity bindings, if AKS names one in this pod.
///
/// # Errors
/// Its variables are incomplete or contradict each other.
fn token_proxy(options: &Options, env: &Env) -> Result<Option<TokenProxy>, Error> {
    let wrong = |what: String| {
        Error::input(what).remedy(
            "AKS sets these variables in a pod with an identity binding; leave them as they are, or pass --no-token-proxy.",
        )
    };
    if options.is_on(Flag::NoTokenProxy) {
        return Ok(None);
    }
    let url = env::AZURE_KUBERNETES_TOKEN_PROXY;
    let others = [
        env::AZURE_KUBERNETES_SNI_NAME,
        env::AZURE_KUBERNETES_CA_FILE,
        env::AZURE_KUBERNETES_CA_DATA,
    ];
    let Some(address) = env.get(url) else {
        let alone = others.iter().find(|name| env.get(name).is_some());
        return match alone {
            Some(name) => Err(wrong(format!("{name} is set, but {url} is not"))),
            None => Ok(None),
        };
    };
    let [server_name, file, data] = others.map(|name| env.get(name));
    let authorities = match (file, data) {
        (Some(_), Some(_)) => {
            let [_, file, data] = others;
            return Err(wrong(format!("{file} and {data} are both set")));
        }
        (Some(file), None) => Authorities::File(file.into()),
        (None, Some(data)) => Authorities::Given(data.as_bytes().to_vec()),
        (None, None) => Authorities::OfThisMachine,
    };
    TokenProxy::new(address, server_name, authorities).map(Some)
}

/// # Errors This is a CI job; then the advice for that CI system is better.
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

    const ARM: (Flag, &str) = (Flag::UseAzurermEnvVars, "true");

    #[test]
    fn terraform_s_variables_count_if_asked_for_in_terraform_s_order() {
        let source = |flags: &[(Flag, &str)], env: &[(&str, &str)]| {
            let source = login(flags, env).map(|login| format!("{:?}", login.source));
            source.unwrap_or_else(|error| error.to_string())
        };
        let folder = tempfile::TempDir::new().expect("a folder");
        let path = folder.path().join("token");
        std::fs::write(&path, "jwt\n").expect("written");
        let path = path.to_str().expect("UTF-8");
        let token = (env::ARM_OIDC_TOKEN, "jwt");
        let file = (env::ARM_OIDC_TOKEN_FILE_PATH, path);
        let url = (env::ARM_OIDC_REQUEST_URL, "https://ci.example/");
        let bearer = (env::ARM_OIDC_REQUEST_TOKEN, "t");
        let off = (env::ARM_USE_OIDC, "false");
        let of_file = format!("Source(federated token file {path})");
        for (env, expected) in [
            (&[token][..], "Source(federated token in ARM_OIDC_TOKEN)"),
            (
                &[token, url, bearer, URL, BEARER],
                "Source(federated token in ARM_OIDC_TOKEN)",
            ),
            (&[file], &*of_file),
            (&[file, token], &*of_file),
            (
                &[url, bearer, FILE],
                "Source(federated token from GitHub Actions)",
            ),
            (
                &[url],
                "ARM_OIDC_REQUEST_TOKEN is not set although ARM_OIDC_REQUEST_URL is",
            ),
            (
                &[file, (env::ARM_OIDC_TOKEN, "other")],
                "ARM_OIDC_TOKEN is not the token in the file",
            ),
            (&[token, off, FILE], "Source(federated token file /env)"),
        ] {
            let got = source(&[ARM], env);
            assert!(got.starts_with(expected), "{env:?}: {got}");
        }
        assert_eq!(
            source(&[], &[token, FILE]),
            "Source(federated token file /env)"
        );
        let typed = [ARM, TYPED];
        assert_eq!(
            source(&typed, &[token]),
            "Source(federated token file /typed)"
        );
    }

    #[test]
    fn a_variable_that_is_named_beats_all_that_was_not_typed() {
        let name = (Flag::FederatedTokenEnv, "MY_TOKEN");
        let env = [
            ("MY_TOKEN", "jwt"),
            URL,
            BEARER,
            FILE,
            (env::GITLAB_CI, "true"),
        ];
        let source = login(&[name], &env).expect("login").source;
        assert_eq!(format!("{source:?}"), "Source(federated token in MY_TOKEN)");
        let error = login(&[name], &[]).expect_err("not set").to_string();
        assert!(
            error.contains("MY_TOKEN") && error.contains("id_tokens"),
            "{error}"
        );
    }

    #[test]
    fn half_a_token_proxy_is_an_error_that_names_the_other_half() {
        let url = (env::AZURE_KUBERNETES_TOKEN_PROXY, "https://proxy");
        let name = (env::AZURE_KUBERNETES_SNI_NAME, "name.example");
        let file = (env::AZURE_KUBERNETES_CA_FILE, "/ca.pem");
        let data = (env::AZURE_KUBERNETES_CA_DATA, "-----BEGIN CERTIFICATE-----");
        for half in [name, file, data] {
            let error = login(&[TYPED], &[half]).expect_err("half").to_string();
            let both = [half.0, env::AZURE_KUBERNETES_TOKEN_PROXY];
            assert!(both.iter().all(|name| error.contains(name)), "{error}");
        }
        let error = login(&[TYPED], &[url, file, data])
            .expect_err("two")
            .to_string();
        assert!(error.contains("are both set"), "{error}");
        for good in [&[url][..], &[url, name], &[url, name, file], &[url, data]] {
            let login = login(&[TYPED], good).expect("login");
            assert!(login.client.token_proxy.is_some());
        }
        let off = [TYPED, (Flag::NoTokenProxy, "true")];
        for env in [&[url][..], &[name], &[url, file, data]] {
            assert!(
                login(&off, env)
                    .expect("login")
                    .client
                    .token_proxy
                    .is_none()
            );
        }
        assert!(
            login(&[TYPED], &[])
                .expect("login")
                .client
                .token_proxy
                .is_none()
        );
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

    /// Azure/azure-cli#28551: "clientID cannot be empty" did not say what to set.
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
