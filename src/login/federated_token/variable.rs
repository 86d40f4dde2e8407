//! A federated token in a variable, as CI systems give it to a job: GitLab's id_tokens, CircleCI, Bitbucket, Spacelift,
//! HCP Terraform; and Terraform's own variable.

use super::{Place, Source};
use crate::env::Env;
use crate::error::Error;
use crate::secret::Secret;

/// The variables in which CI systems give a job its token; those of GitLab have any name.
pub const USUAL: &str = "Usual names: the job's own under id_tokens: (GitLab), CIRCLE_OIDC_TOKEN_V2 (CircleCI), BITBUCKET_STEP_OIDC_TOKEN (Bitbucket, \
     with oidc: true), SPACELIFT_OIDC_TOKEN (Spacelift), TFC_WORKLOAD_IDENTITY_TOKEN (HCP Terraform).";

/// The token in the variable of this name.
///
/// # Errors
/// It is not set.
pub fn source(env: &Env, name: &str) -> Result<Source, Error> {
    let token = env.get(name).ok_or_else(|| {
        Error::input(format!("{name} (--federated-token-env) is not set"))
            .remedy("Pass the variable to the step that runs kubectl.")
            .hint(USUAL)
    })?;
    Ok(of(name, token))
}

/// The token that the variable of this name holds.
pub fn of(name: &str, token: &str) -> Source {
    Source {
        name: format!("federated token in {name}"),
        remedy: "The CI system sets it for each job; a job that runs longer than its token is valid has to ask for another.",
        place: Place::Variable(Secret::new(token)),
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{ACCESS_TOKEN, PUBLIC, assert_assertion_form, jwt, jwt_with, login};
    use super::*;
    use crate::system::fake::FakeSystem;

    #[test]
    fn the_token_in_the_variable_is_sent_and_nothing_else_is_asked() {
        let env = Env::of(&[("MY_TOKEN", &format!("{}\n", jwt()))]);
        let system = FakeSystem::new([FakeSystem::json(200, ACCESS_TOKEN)]);
        login(PUBLIC, source(&env, "MY_TOKEN").expect("set"), &system).expect("token");
        assert_assertion_form(&system.forms()[0]);
    }

    #[test]
    fn a_variable_without_a_usable_token_is_named() {
        let expired = jwt_with(&serde_json::json!({"exp": FakeSystem::EPOCH.timestamp() - 60}));
        for (value, says) in [
            ("", "MY_TOKEN (--federated-token-env) is not set"),
            ("hush", "federated token in MY_TOKEN: it is not a JWT"),
            (
                &*expired,
                "federated token in MY_TOKEN: it expired at 2025-12-31T23:59:00Z",
            ),
        ] {
            let env = Env::of(&[("MY_TOKEN", value)]);
            let system = FakeSystem::new([]);
            let error = source(&env, "MY_TOKEN")
                .and_then(|source| login(PUBLIC, source, &system))
                .expect_err(says)
                .to_string();
            assert!(error.contains(says), "{error}");
            assert!(!error.contains("hush"), "{error}");
        }
    }
}
