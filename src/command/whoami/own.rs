//! `whoami` for a user that signs in without kubelogin, by a client certificate or a static token: only the cluster can say
//! whom it takes them for.

use super::report::{ClusterSees, Look, Report, Who, odd, review};
use crate::api_server::{ApiServer, Caller, Refusal, Verdict};
use crate::command::explain::Cause;
use crate::kubeconfig::context::{Contexts, Proof, UserCredentials, UserEntry};
use crate::system::System;

const GET_AGAIN: &str = "Get it again: kubelogin get-credentials CLUSTER --overwrite-existing";

/// The report about such a context; `None` if its user has nothing that could be shown to the cluster.
pub fn report(contexts: &Contexts, name: &str, look: Look, system: &dyn System) -> Option<Report> {
    let context = contexts.context(name)?;
    let user = contexts.user(context.user.as_deref()?)?;
    let UserCredentials::Own(what, Some(proof)) = &user.credentials else {
        return None;
    };
    let cluster = contexts.cluster(context.cluster.as_deref()?)?;
    let server = ApiServer::of(cluster);
    Some(Report {
        context: Some(name.to_owned()),
        server: cluster.server.clone(),
        values: Vec::new(),
        who: Who::Own(what),
        cluster: match server {
            Ok(server) => ask(server, user, what, proof, look, system),
            Err(error) => ClusterSees::Unreachable(error.to_string()),
        },
        mismatches: Vec::new(),
        now: system.now(),
    })
}

fn ask(
    mut server: ApiServer,
    user: &UserEntry,
    what: &str,
    proof: &Proof,
    look: Look,
    system: &dyn System,
) -> ClusterSees {
    let mut caller = Caller {
        token: None,
        impersonation: &user.impersonation,
    };
    match proof {
        Proof::Token(token) => caller.token = Some(token),
        Proof::Certificate { certificate, key } => {
            server = match server.shown(certificate, key) {
                Ok(server) => server,
                Err(why) => {
                    return ClusterSees::Refused(Cause {
                        what: format!("user {:?}: {why}", user.name),
                        remedy: GET_AGAIN.into(),
                    });
                }
            };
        }
    }
    match review(&server, &caller, look.timeout, system) {
        Err(why) => ClusterSees::Unreachable(why),
        Ok(Verdict::Yes(identity)) => ClusterSees::Identity(identity),
        // Whoever may not ask has been taken for somebody.
        Ok(Verdict::NotOffered | Verdict::No(Refusal::Forbidden { .. })) => ClusterSees::SomeUser,
        Ok(Verdict::Odd(what)) => odd(&server, &what),
        Ok(Verdict::No(Refusal::Unauthorized)) => ClusterSees::Refused(Cause {
            what: format!(
                "Unauthorized: this user has {what} that the cluster does not accept; it may have been replaced since, or local accounts are disabled"
            ),
            remedy: GET_AGAIN.into(),
        }),
    }
}
