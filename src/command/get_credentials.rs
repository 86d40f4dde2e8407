//! `kubelogin get-credentials`: fetches clusters' kubeconfigs, ready to use, without the Azure CLI.

mod entries;
mod files;
mod session;
mod target;

use std::io::Write;

use entries::Entries;
use files::Files;
use session::Session;
use target::Target;

use crate::arm::{Access, Cluster, Format, Wanted};
use crate::cli::GetCredentialsArgs;
use crate::env::{self, Env};
use crate::error::{Error, one_line};
use crate::kubeconfig::fetched::{Fetched, Login};
use crate::kubeconfig::merge::{Addition, Outcome};
use crate::system::System;

/// A cluster that could not be added, and why.
struct Failed {
    /// Its name and where it is.
    cluster: String,
    error: Error,
}

/// Reads and checks all files first, then signs in, then writes once.
pub fn run(
    args: &GetCredentialsArgs,
    env: &Env,
    system: &dyn System,
    out: &mut dyn Write,
) -> Result<(), Error> {
    if env.get(env::KUBERNETES_EXEC_INFO).is_some() {
        return Err(Error::input(
            "get-credentials was called by a Kubernetes client (KUBERNETES_EXEC_INFO is set)",
        )
        .remedy("In a kubeconfig, use get-token; run get-credentials yourself, once."));
    }
    let target = Target::of(args)?;
    let wanted = wanted(args)?;
    let write_login = entries::write_login(args)?;
    let files = Files::new(args, env)?;
    let mut session = Session::begin(args, &target, env, system)?;
    let mut entries = Entries::new(args, write_login, &session)?;
    let clusters = target.find(&mut session)?;
    let (additions, mut failed) = fetch(&clusters, wanted, &mut session, &mut entries, system);
    let current = match (
        &additions[..],
        args.no_current_context || clusters.len() > 1,
    ) {
        ([addition], false) => Some(addition.fetched.context.clone()),
        _ => None,
    };
    if !additions.is_empty() {
        let written = files.write(&additions, current.as_deref(), out, system)?;
        let role = current.map_or("", |_| " as current context");
        for (addition, outcome) in additions.iter().zip(written.outcomes) {
            match outcome {
                Ok(outcome) => {
                    if let Some(verb) = verb(outcome).filter(|_| !files.is_only_shown()) {
                        let (context, home) = (&addition.fetched.context, &written.home);
                        system.notice(&format!("{verb} \"{context}\"{role} in {home}"));
                    }
                }
                Err(error) => failed.push(Failed {
                    cluster: addition.fetched.cluster.name.clone(),
                    error,
                }),
            }
        }
        tell_oddities(&clusters, &additions, system);
        if !files.is_only_shown() {
            session.prepare(&additions, &mut entries);
        }
    }
    report(failed, clusters.len(), system)
}

fn wanted(args: &GetCredentialsArgs) -> Result<Wanted, Error> {
    if args.admin && args.format.is_some() {
        return Err(
            Error::input("--format has no effect with --admin").remedy("Leave one of them out.")
        );
    }
    Ok(Wanted {
        access: match args.admin {
            true => Access::Admin,
            false => Access::User,
        },
        public_fqdn: args.public_fqdn,
        format: match args.format.as_deref() {
            None | Some("exec") => Format::Exec,
            Some("azure") => Format::Azure,
            Some(other) => {
                return Err(Error::input(format!("unknown --format {other:?}"))
                    .remedy("Use exec or azure; either is converted to --login."));
            }
        },
    })
}

/// Fetches each kubeconfig and turns it into entries to merge.
fn fetch(
    clusters: &[Cluster],
    wanted: Wanted,
    session: &mut Session,
    entries: &mut Entries,
    system: &dyn System,
) -> (Vec<Addition>, Vec<Failed>) {
    let (mut additions, mut failed) = (Vec::new(), Vec::new());
    let mut done = 0;
    let kubeconfigs = session.kubeconfigs(clusters, wanted, &mut |number: usize| {
        done += 1;
        if clusters.len() > 1 {
            let name = &clusters[number].id.name;
            system.show_progress(&format!("{done} of {} clusters: {name}", clusters.len()));
        }
    });
    system.show_progress("");
    for (cluster, kubeconfig) in clusters.iter().zip(kubeconfigs) {
        match kubeconfig.and_then(|text| entries.addition(cluster, &text, session)) {
            Ok(addition) => additions.push(addition),
            Err(error) => failed.push(Failed {
                cluster: format!("{} (group {})", cluster.id.own_name(), cluster.id.group),
                error,
            }),
        }
    }
    (additions, failed)
}

/// What the user should know about a cluster that was added.
fn tell_oddities(clusters: &[Cluster], additions: &[Addition], system: &dyn System) {
    let contexts_of = |is_odd: fn(&Fetched) -> bool| {
        let odd = additions
            .iter()
            .filter(|addition| is_odd(&addition.fetched));
        odd.map(|addition| addition.fetched.context.as_str())
            .collect::<Vec<_>>()
    };
    let own = contexts_of(|fetched| matches!(fetched.login, Login::Own(_)));
    let private = contexts_of(|fetched| fetched.cluster.server.contains(".privatelink."));
    let stopped = clusters.iter().filter(|cluster| cluster.is_stopped);
    let stopped: Vec<_> = stopped.map(|cluster| cluster.id.name.as_str()).collect();
    for (names, one, several) in [
        (
            own,
            "signs in with its own certificate or token, not with Microsoft Entra ID: whoever can read the kubeconfig can use it",
            "sign in with their own certificates or tokens, not with Microsoft Entra ID: whoever can read the kubeconfig can use them",
        ),
        (
            private,
            "is private: it can be reached only from its own network (--public-fqdn gives its public name)",
            "are private: they can be reached only from their own networks (--public-fqdn gives their public names)",
        ),
        (
            stopped,
            "is stopped: az aks start starts it",
            "are stopped: az aks start starts them",
        ),
    ] {
        let what = match names.len() {
            0 => continue,
            1 => one,
            _ => several,
        };
        system.notice(&one_line(&format!("Note: {} {what}", names.join(", "))));
    }
}

/// One error for all: a single cluster's own error, or the number of failures after a line for each.
fn report(mut failed: Vec<Failed>, clusters: usize, system: &dyn System) -> Result<(), Error> {
    if clusters == 1 {
        return failed.pop().map_or(Ok(()), |failed| Err(failed.error));
    }
    for Failed { cluster, error } in &failed {
        let (what, fix) = error.parts();
        system.tell(&one_line(&format!("{cluster}: {what}. {fix}")));
    }
    match failed.len() {
        0 => Ok(()),
        count => Err(
            Error::outside(format!("{count} of {clusters} clusters failed"))
                .remedy("The others were written. The lines above say why these were not."),
        ),
    }
}

/// The message about an outcome, in az's words; nothing if the cluster did not change.
fn verb(outcome: Outcome) -> Option<&'static str> {
    match outcome {
        Outcome::Added => Some("Merged"),
        Outcome::Updated => Some("Updated"),
        Outcome::Unchanged => None,
    }
}
