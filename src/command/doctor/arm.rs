//! Checks the cluster in Azure Resource Manager. It needs another token and more requests, so it runs only with
//! `--arm`.

use std::time::Duration;

use super::case::Case;
use super::{Outcome, failure, good, skipped, warning};
use crate::arm::details::Details;
use crate::arm::refusal::Refusal;
use crate::arm::{Arm, Kind, ResourceId};
use crate::command::subject::Subject;
use crate::entra::access_token::fit::is_another_tenant;
use crate::error::Error;
use crate::flag::Flag;
use crate::login::auto;
use crate::secret::Secret;
use crate::sign_in::SignIn;
use crate::token::Scope;
use crate::token_cache::Storage;

/// What Azure says about the cluster; `Ok(None)` if this identity cannot see it.
pub type Answer = Result<Option<Details>, Error>;

/// Time limit for one request to Azure.
const STEP: Duration = Duration::from_secs(2);

/// Within `time`, gets a token, finds the cluster by the API server's address unless the kubeconfig names it, and gets its
/// properties.
pub fn ask(case: &Case, time: Duration) -> Option<Answer> {
    let host = case.server()?.uri().host()?;
    let for_token = Duration::from_secs(time.saturating_sub(2 * STEP).as_secs().max(1));
    Some(look(case, case.subject()?, host, for_token))
}

fn look(case: &Case, subject: &Subject, host: &str, for_token: Duration) -> Answer {
    let mut flags = subject.flags.clone();
    for flag in [Flag::Legacy, Flag::PopEnabled, Flag::PopClaims] {
        flags.set(flag, ""); // they are about the cluster's own tokens
    }
    let mut options = auto::resolve(&flags, &subject.env)?.options;
    options.timeout.duration = for_token;
    options.timeout.is_given = true;
    options.cache.storage = Storage::None;
    let manager = options
        .cloud
        .resource_manager(options.stack_file.as_deref())?;
    let sign_in = SignIn::new(&options, &subject.env, case.system)?;
    let bearer = bearer(case, &sign_in, &Scope::of_resource(&manager.audience))?;
    let arm = Arm::new(manager.endpoint, bearer, STEP, case.system).without_waiting();
    if let Some(id) = noted(subject)
        && let Some(details) = details(&arm, &id)?.filter(|cluster| cluster.is_at(host))
    {
        return Ok(Some(details));
    }
    let found = arm.cluster_at(host);
    match found.map_err(|failure| failure.explain(&Arm::asked_for_details(None)))? {
        Some(id) => details(&arm, &id),
        None => Ok(None),
    }
}

/// The cluster that the kubeconfig names. It may have been deleted since, or recreated with another address.
fn noted(subject: &Subject) -> Option<ResourceId> {
    let text = subject.cluster.as_ref()?.resource_id.as_deref()?;
    let id = ResourceId::parse(text).ok()?;
    (id.kind == Kind::Cluster).then_some(id)
}

/// `None` if there is no such cluster.
fn details(arm: &Arm, id: &ResourceId) -> Answer {
    match arm.details(id) {
        Ok(details) => Ok(Some(details)),
        Err(failure) if failure.refusal().is_some_and(Refusal::is_not_found) => Ok(None),
        Err(failure) => Err(failure.explain(&Arm::asked_for_details(Some(id)))),
    }
}

/// A token for Azure from the existing sign-in. It is not cached.
fn bearer(case: &Case, sign_in: &SignIn, scope: &Scope) -> Result<Secret, Error> {
    let token = case.fetched().map(|fetched| &fetched.token);
    let token = match token.filter(|token| token.refresh_token.is_some()) {
        Some(token) => sign_in.token_of_same_sign_in(token, scope)?,
        None => sign_in.silent_token(scope)?,
    };
    Ok(token.access_token)
}

pub fn reach(case: &Case) -> Outcome {
    let host = case.server().and_then(|server| server.uri().host());
    match &case.arm {
        None => skipped("not asked"),
        // Without a response from Azure, the cluster can still be used.
        Some(Err(error)) => {
            let (what, remedy) = error.parts();
            warning(what).with(remedy)
        }
        Some(Ok(None)) => warning(format!(
            "this identity sees no cluster at {} in Azure",
            host.unwrap_or_default()
        ))
        .with("If it was deleted, remove its context. Otherwise ask for the role Reader on the cluster."),
        Some(Ok(Some(details))) => {
            let tenant = case.options().and_then(|options| options.tenant_id.as_deref());
            judge(details, tenant, case.api.steps.is_connected())
        }
    }
}

/// What denies this login access. `tenant` is the login's own.
fn judge(cluster: &Details, tenant: Option<&str>, is_connected: bool) -> Outcome {
    let ResourceId {
        subscription,
        group,
        name,
        ..
    } = &cluster.id;
    let flags = format!("--resource-group {group} --name {name} --subscription {subscription}");
    if cluster.is_stopped {
        return failure(format!("the cluster {name} is stopped"))
            .with(format!("az aks start {flags}"));
    }
    let Some(entra) = &cluster.entra else {
        return failure(format!(
            "the cluster {name} has no Entra ID integration, so it does not accept Entra ID tokens"
        ))
        .with(format!("kubelogin get-credentials {flags} --admin, or turn it on: az aks update {flags} --enable-aad"));
    };
    if let (Some(wanted), Some(own)) = (&entra.tenant_id, tenant)
        && is_another_tenant(own, wanted)
    {
        return failure(format!(
            "the cluster {name} accepts tokens of tenant {wanted}, but --tenant-id is {own}"
        ))
        .with(format!(
            "kubelogin get-credentials {flags} --overwrite-existing"
        ));
    }
    let ranges = cluster.authorized_ranges.join(", ");
    if !ranges.is_empty() && !is_connected {
        return failure(format!("only {ranges} may connect to the cluster {name}")).with(format!(
            "Add this machine's address: az aks update {flags} --api-server-authorized-ip-ranges RANGES"
        ));
    }
    let rbac = match entra.uses_azure_rbac {
        Some(true) => "Azure RBAC and Kubernetes RBAC",
        _ => "Kubernetes RBAC",
    };
    let admin = match cluster.has_local_accounts {
        true => "",
        false => ", local accounts are disabled",
    };
    let private = match cluster.is_private {
        true => ", private cluster",
        false => "",
    };
    good(format!(
        "{name} is running{private}, access is decided by {rbac}{admin}"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arm::details::EntraProfile;

    const TENANT: &str = "11111111-1111-1111-1111-111111111111";
    const OTHER: &str = "22222222-2222-2222-2222-222222222222";

    fn cluster() -> Details {
        let id = "50000000-0000-0000-0000-000000000001";
        Details {
            id: ResourceId::new(id, "shop", "prod", Kind::Cluster).expect("an ID"),
            hosts: Vec::new(),
            is_stopped: false,
            entra: Some(EntraProfile {
                tenant_id: Some(TENANT.into()),
                uses_azure_rbac: Some(true),
            }),
            has_local_accounts: false,
            authorized_ranges: vec!["203.0.113.0/24".into()],
            is_private: false,
        }
    }

    #[test]
    fn what_keeps_people_out_is_named_with_the_command_that_changes_it() {
        let stopped = Details {
            is_stopped: true,
            ..cluster()
        };
        let without_entra = Details {
            entra: None,
            ..cluster()
        };
        for (cluster, tenant, is_connected, words) in [
            (
                stopped,
                TENANT,
                false,
                &[
                    "is stopped",
                    "az aks start --resource-group shop --name prod",
                ][..],
            ),
            (
                without_entra,
                TENANT,
                true,
                &["no Entra ID integration", "--enable-aad"],
            ),
            (
                cluster(),
                OTHER,
                true,
                &[TENANT, OTHER, "--overwrite-existing"],
            ),
            (
                cluster(),
                TENANT,
                false,
                &["only 203.0.113.0/24", "--api-server-authorized-ip-ranges"],
            ),
        ] {
            let Outcome::Failure(problem) = judge(&cluster, Some(tenant), is_connected) else {
                panic!("no failure: {words:?}");
            };
            let told = format!("{} {}", problem.what, problem.remedy);
            for word in words {
                assert!(told.contains(word), "{word}: {told}");
            }
        }
    }

    #[test]
    fn a_cluster_that_lets_people_in_is_described() {
        for tenant in [Some(TENANT), Some("contoso.example"), None] {
            let Outcome::Good(text) = judge(&cluster(), tenant, true) else {
                panic!("not good: {tenant:?}");
            };
            assert_eq!(
                text,
                "prod is running, access is decided by Azure RBAC and Kubernetes RBAC, local accounts are disabled"
            );
        }
    }
}
