//! `whoami` for a user that signs in without kubelogin, with a client certificate or a static token: only the cluster can
//! say who they are.

use super::report::{ClusterSees, Look, Report, Who, review};
use crate::api_server::{ApiServer, Caller, Identity, Refusal, Verdict};
use crate::command::explain::Cause;
use crate::kubeconfig::context::{ContextEntry, Contexts, Proof, UserCredentials, UserEntry};
use crate::system::System;

const GET_AGAIN: &str = "Get it again: kubelogin get-credentials CLUSTER --overwrite-existing";

/// The report about such a context; `None` if its user has no credentials to show to the cluster.
pub fn report(contexts: &Contexts, name: &str, look: Look, system: &dyn System) -> Option<Report> {
    let context = contexts.context(name)?;
    let own = Own::of(contexts, context)?;
    let cluster = contexts.cluster(context.cluster.as_deref()?)?;
    Some(Report {
        context: Some(name.to_owned()),
        server: cluster.server.clone(),
        values: Vec::new(),
        who: Who::Own(own.what),
        cluster: match ApiServer::of(cluster) {
            Ok(server) => match own.shown(&server) {
                Ok(server) => {
                    let answer = review(&server, &own.caller(), look.timeout, system);
                    own.seen(&server, answer)
                }
                Err(cause) => ClusterSees::Refused(cause),
            },
            Err(error) => ClusterSees::Unreachable(error.to_string()),
        },
        mismatches: Vec::new(),
        now: system.now(),
    })
}

/// A user's own credentials.
pub struct Own<'c> {
    what: &'static str,
    proof: &'c Proof,
    user: &'c UserEntry,
}

impl<'c> Own<'c> {
    /// `None` if the context's user has no credentials to show to a cluster.
    pub fn of(contexts: &'c Contexts, context: &ContextEntry) -> Option<Self> {
        let user = contexts.user(context.user.as_deref()?)?;
        match &user.credentials {
            UserCredentials::Own(what, Some(proof)) => Some(Self { what, proof, user }),
            _ => None,
        }
    }

    /// The API server, to be shown the user's certificate if there is one.
    ///
    /// # Errors
    /// The certificate or its key cannot be used.
    pub fn shown(&self, server: &ApiServer) -> Result<ApiServer, Cause> {
        let shown = match self.proof {
            Proof::Token(_) => Ok(server.clone()),
            Proof::Certificate { certificate, key } => server.shown(certificate, key),
        };
        shown.map_err(|why| Cause {
            what: format!("user {:?}: {why}", self.user.name),
            remedy: GET_AGAIN.into(),
        })
    }

    /// The caller to show to the cluster.
    pub fn caller(&self) -> Caller<'_> {
        Caller {
            token: match self.proof {
                Proof::Token(token) => Some(token),
                Proof::Certificate { .. } => None,
            },
            impersonation: &self.user.impersonation,
        }
    }

    /// The verdict from the server's response.
    pub fn seen(
        &self,
        server: &ApiServer,
        answer: Result<Verdict<Identity>, String>,
    ) -> ClusterSees {
        ClusterSees::of(server, answer, |refusal| match refusal {
            Refusal::Unauthorized => Some(self.unauthorized()),
            // If the caller may not ask, the cluster did authenticate it.
            Refusal::Forbidden { .. } => None,
        })
    }

    fn unauthorized(&self) -> Cause {
        let what = self.what;
        let cause = Cause {
            what: format!(
                "this user has {what} that the cluster does not accept; it may have been replaced since, or local accounts are disabled"
            ),
            remedy: GET_AGAIN.into(),
        };
        cause.after("Unauthorized")
    }
}
