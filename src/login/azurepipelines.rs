//! `--login azurepipelines`: the application behind a service connection of Azure Pipelines, which gives the job a
//! federated token.

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
    let connection = Flag::AzurePipelinesServiceConnectionId;
    let service_connection_id = options
        .text(connection)
        .ok_or_else(|| missing(connection, options.login))?
        .to_owned();
    let bearer = env.get(env::SYSTEM_ACCESSTOKEN).map(Secret::new);
    let bearer = bearer.ok_or_else(|| {
        Error::input(format!("{} is not set", env::SYSTEM_ACCESSTOKEN)).remedy(
            "Azure Pipelines keeps it from a step unless it is mapped: env: SYSTEM_ACCESSTOKEN: $(System.AccessToken)",
        )
    })?;
    let url = env.get(env::SYSTEM_OIDCREQUESTURI).ok_or_else(|| {
        Error::input(format!("{} is not set", env::SYSTEM_OIDCREQUESTURI)).remedy(
            "Azure Pipelines sets it in every job: this login mode works there only, and in a container only if it is handed on.",
        )
    })?;
    Ok(Client {
        auth: ClientAuth::Federated(Source::AzurePipelines {
            endpoint: Endpoint::parse(env::SYSTEM_OIDCREQUESTURI, url, &bearer)?,
            service_connection_id,
        }),
        ..client
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::login::tests::options;

    const VARIABLES: [(&str, &str); 5] = [
        (env::AZURESUBSCRIPTION_CLIENT_ID, "app"),
        (env::AZURESUBSCRIPTION_TENANT_ID, "ten"),
        (env::AZURESUBSCRIPTION_SERVICE_CONNECTION_ID, "conn"),
        (env::SYSTEM_ACCESSTOKEN, "t"),
        (env::SYSTEM_OIDCREQUESTURI, "https://dev.azure.example/oidc"),
    ];

    fn login(env: &[(&str, &str)]) -> Result<Client, Error> {
        super::client(&options("azurepipelines", &[], env), &Env::of(env))
    }

    /// Azure/kubelogin#697: the task sets all of it.
    #[test]
    fn the_variables_of_the_task_are_enough() {
        assert_eq!(login(&VARIABLES).expect("login").client_id, "app");
    }

    #[test]
    fn each_that_is_missing_is_named() {
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
