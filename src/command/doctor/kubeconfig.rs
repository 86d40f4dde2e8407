//! Checks the kubeconfig: which files are used, who can read them, whether the context is complete.

use super::case::Case;
use super::{Outcome, failed, failure, fine, good, skipped, warning};
use crate::command::subject::{NotOurs, our_exec};
use crate::system::platform;

/// Azure/kubelogin#80, #251: it is not the file that the user has in mind.
pub fn files(case: &Case) -> Outcome {
    let Some(contexts) = &case.contexts else {
        return skipped("the login is given by flags");
    };
    let contexts = match contexts {
        Ok(contexts) => contexts,
        Err(error) => return failed(error),
    };
    let list = |paths: &[std::path::PathBuf]| {
        let paths: Vec<_> = paths
            .iter()
            .map(|path| path.display().to_string())
            .collect();
        paths.join(", ")
    };
    if let (Some(path), true) = (case.typed_kubeconfig, contexts.files.is_empty()) {
        return failure(format!("there is no kubeconfig at {path}"))
            .with("Correct --kubeconfig, or leave it out.");
    }
    if contexts.files.is_empty() {
        return warning(format!(
            "there is no kubeconfig at {}",
            list(&contexts.missing)
        ));
    }
    if !contexts.missing.is_empty() {
        return warning(format!(
            "KUBECONFIG names {}, which does not exist",
            list(&contexts.missing)
        ))
        .with("Remove it from KUBECONFIG, or correct it.");
    }
    good(list(&contexts.files))
}

/// A kubeconfig can hold secrets.
pub fn mode(case: &Case) -> Outcome {
    for path in case
        .kubeconfig()
        .into_iter()
        .flat_map(|contexts| &contexts.files)
    {
        let Ok(metadata) = std::fs::metadata(path) else {
            continue;
        };
        let Some(mode) = platform::mode(&metadata) else {
            return skipped("on Windows, access control lists protect your profile");
        };
        if !platform::is_private(&metadata) {
            let path = path.display();
            return warning(format!("{path} has mode {mode:03o}: others can read it"))
                .with(format!("chmod 600 {path}"));
        }
    }
    fine("nobody else can read it")
}

pub fn context(case: &Case) -> Outcome {
    let name = match &case.context {
        Some(Ok(name)) => name,
        Some(Err(error)) => {
            return match case.kubeconfig().is_some_and(|all| all.files.is_empty()) {
                true => skipped("no kubeconfig"),
                false => failed(error),
            };
        }
        None => return skipped("the login is given by flags"),
    };
    if let Some(Err(NotOurs::Broken(error))) = &case.subject {
        return failed(error);
    }
    let Some(entry) = case.entry() else {
        return skipped("no context");
    };
    let place = &entry.place;
    let Some(cluster) = &entry.cluster else {
        return failure(format!("{place}: context {name:?} has no cluster"));
    };
    let Some(cluster) = case.kubeconfig().and_then(|all| all.cluster(cluster)) else {
        return failure(format!(
            "{place}: context {name:?} refers to cluster {cluster:?}, which does not exist"
        ));
    };
    let server = cluster.server.as_deref().unwrap_or("no server");
    good(format!("context {name:?}{}, {server}", origin(case, name)))
}

/// Which of several files sets the current context.
fn origin(case: &Case, name: &str) -> String {
    let contexts = case
        .kubeconfig()
        .filter(|contexts| contexts.files.len() > 1);
    let current = contexts.and_then(|contexts| contexts.current.as_ref());
    match current.filter(|(current, _)| current == name) {
        Some((_, place)) => format!(" (current by {place})"),
        None => String::new(),
    }
}

pub fn user(case: &Case) -> Outcome {
    match &case.subject {
        None => return skipped("no context"),
        Some(Err(NotOurs::Broken(_))) => return skipped("see kubeconfig.context"),
        Some(Err(NotOurs::Other(what))) => {
            let named = format!("the user of this context is not kubelogin's: it uses {what}");
            return match what.contains("convert it") {
                true => failure(named),
                false => good(named),
            };
        }
        Some(Ok(_)) => {}
    }
    if let Some(Err(error)) = &case.options {
        let (what, remedy) = error.parts();
        let place = case.subject().and_then(|subject| subject.place());
        let place = place.map(|place| format!("{place}: ")).unwrap_or_default();
        return failure(format!("{place}{what}")).with(remedy);
    }
    let user = case.subject().and_then(|subject| subject.user.as_ref());
    let name = user.map(|user| format!("user {:?}", user.name));
    good(format!("{}{}", name.unwrap_or_default(), others(case)))
}

/// The users of other programs, by name.
fn others(case: &Case) -> String {
    const SHOWN: usize = 3;
    let users = case
        .kubeconfig()
        .map_or(&[][..], |contexts| contexts.users());
    let others = users
        .iter()
        .filter_map(|user| Some((&user.name, our_exec(user).err()?)));
    let others: Vec<String> = others
        .map(|(name, what)| format!("{name:?} ({what})"))
        .collect();
    match others.len() {
        0 => String::new(),
        count if count > SHOWN => format!(
            "; not kubelogin's: {} and {} more",
            others[..SHOWN].join(", "),
            count - SHOWN
        ),
        _ => format!("; not kubelogin's: {}", others.join(", ")),
    }
}
