//! `--login azurepipelines`: the application behind a service connection of Azure Pipelines, which issues a federated
//! token to the job.

use super::federated_token::{Federated, azure_pipelines};
use crate::env::Env;
use crate::error::Error;
use crate::flag::Flag;
use crate::options::Options;

pub fn new(options: &Options, env: &Env) -> Result<Federated, Error> {
    // Client and tenant are checked first, as in the original.
    let client = super::confidential_client(options, missing)?;
    let connection = Flag::AzurePipelinesServiceConnectionId;
    let id = options.text(connection);
    let id = id.ok_or_else(|| missing(options, connection))?;
    let source = azure_pipelines::source(env, id)?;
    Ok(Federated { client, source })
}

/// The error for a missing value, with where it usually comes from.
fn missing(options: &Options, flag: Flag) -> Error {
    options.missing(flag).hint(
        "The tasks AzureCLI@2 and AzurePowerShell@5 set the variables of their service connection (azureSubscription); \
         in any other task, pass the flags.",
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::env;
    use crate::login::tests::options;

    const VARIABLES: [(&str, &str); 5] = [
        (env::AZURESUBSCRIPTION_CLIENT_ID, "app"),
        (env::AZURESUBSCRIPTION_TENANT_ID, "ten"),
        (env::AZURESUBSCRIPTION_SERVICE_CONNECTION_ID, "conn"),
        (env::SYSTEM_ACCESSTOKEN, "t"),
        (env::SYSTEM_OIDCREQUESTURI, "https://dev.azure.example/oidc"),
    ];

    fn login(env: &[(&str, &str)]) -> Result<Federated, Error> {
        new(&options("azurepipelines", &[], env), &Env::of(env))
    }

    /// Azure/kubelogin#697: the task sets all of them.
    #[test]
    fn the_task_s_variables_are_enough() {
        assert_eq!(login(&VARIABLES).expect("login").client.client_id, "app");
    }

    #[test]
    fn each_missing_variable_is_named() {
        for (variable, _) in VARIABLES {
            let env: Vec<_> = VARIABLES
                .into_iter()
                .filter(|(name, _)| *name != variable)
                .collect();
            let error = login(&env).expect_err(variable).to_string();
            assert!(error.contains(variable), "{variable}: {error}");
            assert!(
                error.contains("Pipelines") || error.contains("AzureCLI@2"),
                "{error}"
            );
        }
    }
}
