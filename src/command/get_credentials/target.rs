//! Finds the clusters that the user means.

use super::session::Session;
use crate::arm::resource_id::{check_group, check_name};
use crate::arm::{Arm, Cluster, Filter, Kind, ResourceId};
use crate::cli::GetCredentialsArgs;
use crate::error::{Error, did_you_mean, nearest, one_line};

/// What the user asked for.
pub enum Target {
    /// A cluster, by its resource ID.
    Id(ResourceId),
    Named {
        name: String,
        group: Option<String>,
    },
    Many {
        /// A pattern with `*` and `?`; `None` means every cluster.
        pattern: Option<String>,
        group: Option<String>,
    },
}

const HOW: &str =
    "Pass a name, -g GROUP -n NAME, a resource ID, a pattern such as 'prod-*', or --all.";
/// How many to list in a message.
const SHOWN: usize = 20;

impl Target {
    pub fn of(args: &GetCredentialsArgs) -> Result<Self, Error> {
        let group = args.group.clone();
        group.as_deref().map_or(Ok(()), check_group)?;
        let target = match (&args.word, &args.name) {
            (Some(word), Some(name)) if word != name => {
                return Err(Error::input(format!(
                    "two cluster names were given: {word:?} and {name:?}"
                ))
                .remedy("Leave one of them out."));
            }
            (Some(word), _) | (None, Some(word)) => Self::of_word(word, group)?,
            (None, None) if args.all => Self::Many {
                pattern: None,
                group,
            },
            (None, None) => return Err(Error::input("no cluster was given").remedy(HOW)),
        };
        let is_many = matches!(target, Self::Many { .. });
        if args.all && !is_many {
            return Err(
                Error::input("--all and a cluster name cannot be used together").remedy(HOW),
            );
        }
        if is_many && args.context.is_some() {
            return Err(
                Error::input("--context is for one cluster, but several were requested")
                    .remedy("Leave it out, or choose one cluster."),
            );
        }
        Ok(target)
    }

    fn of_word(word: &str, group: Option<String>) -> Result<Self, Error> {
        if word.starts_with('/') {
            return ResourceId::parse(word).map(Self::Id);
        }
        if word.contains(['*', '?']) {
            return Ok(Self::Many {
                pattern: Some(word.to_owned()),
                group,
            });
        }
        check_name(word)?;
        Ok(Self::Named {
            name: word.to_owned(),
            group,
        })
    }

    /// The subscription in the resource ID.
    pub fn subscription(&self) -> Option<&str> {
        match self {
            Self::Id(id) => Some(&id.subscription),
            Self::Named { .. } | Self::Many { .. } => None,
        }
    }

    /// True if it is in one subscription, which the environment may name.
    pub fn is_in_one_group(&self) -> bool {
        matches!(self, Self::Named { group: Some(_), .. })
    }

    /// The clusters. It is an error if none or several have the name.
    pub fn find(&self, session: &mut Session) -> Result<Vec<Cluster>, Error> {
        let subscription = session.subscription()?;
        match self {
            Self::Id(id) => Ok(vec![known(id.clone())]),
            Self::Named {
                name,
                group: Some(group),
            } if subscription.is_some() => {
                let subscription = subscription.unwrap_or_default();
                let id = ResourceId::new(&subscription, group, name, Kind::Cluster)?;
                Ok(vec![known(id)])
            }
            Self::Named { name, group } => {
                let filter = Filter {
                    name: Some(name),
                    group: group.as_deref(),
                    subscription: subscription.as_deref(),
                };
                let mut found = search(session, filter)?;
                match found.len() {
                    1 => Ok(found),
                    0 => Err(not_found(session, filter)),
                    _ => {
                        found.sort_by_cached_key(|cluster| cluster.id.key());
                        choose(session, name, found).map(|cluster| vec![cluster])
                    }
                }
            }
            Self::Many { pattern, group } => {
                let filter = Filter {
                    name: None,
                    group: group.as_deref(),
                    subscription: subscription.as_deref(),
                };
                find_many(session, pattern.as_deref(), filter)
            }
        }
    }
}

fn find_many(
    session: &mut Session,
    pattern: Option<&str>,
    filter: Filter,
) -> Result<Vec<Cluster>, Error> {
    let mut found = search(session, filter)?;
    found.retain(|cluster| pattern.is_none_or(|pattern| fits(pattern, &cluster.id.name)));
    if !found.is_empty() {
        return Ok(found);
    }
    let which = pattern.map_or("no cluster was found".to_owned(), |pattern| {
        format!("no cluster name matches {pattern:?}")
    });
    let what = format!("{which} in {}", session.place(filter));
    Err(Error::input(what).remedy(
        "Check --subscription, --resource-group, --tenant-id and your roles (Reader at least).",
    ))
}

/// A cluster that is given in full: it is taken as it is, without a request.
fn known(id: ResourceId) -> Cluster {
    Cluster {
        id,
        location: String::new(),
        tenant_id: None,
        is_stopped: false,
    }
}

fn search(session: &mut Session, filter: Filter) -> Result<Vec<Cluster>, Error> {
    let asked = Arm::asked_for_clusters(filter.subscription);
    session
        .ask(|arm| arm.clusters(filter))
        .map_err(|failure| session.explain(failure, &asked))
}

/// The error with what was searched, and similar names.
fn not_found(session: &mut Session, filter: Filter) -> Error {
    let name = filter.name.unwrap_or_default();
    let everything = Filter {
        name: None,
        group: None,
        ..filter
    };
    let place = session.place(filter);
    let others = search(session, everything).unwrap_or_default();
    let same = others
        .iter()
        .find(|cluster| cluster.id.name.eq_ignore_ascii_case(name));
    let names: Vec<&str> = others
        .iter()
        .map(|cluster| cluster.id.name.as_str())
        .collect();
    let error = Error::input(format!("there is no cluster {name:?} in {place}"));
    error.remedy(match (same, nearest(name, names)) {
        (Some(other), _) => format!("A cluster with this name is in another group: kubelogin get-credentials -g {} -n {name}", other.id.group),
        (None, near) if near.is_empty() => {
            "You have access to no cluster there. Check --subscription, --tenant-id and your roles (Reader at least).".to_owned()
        }
        (None, near) => did_you_mean(&near),
    })
}

/// Lists clusters with the same name and lets the user at the terminal choose; we never guess.
fn choose(session: &mut Session, name: &str, mut found: Vec<Cluster>) -> Result<Cluster, Error> {
    let names = session.ask(|arm| arm.subscriptions()).unwrap_or_default();
    let system = session.system();
    for (number, cluster) in found.iter().take(SHOWN).enumerate() {
        let id = &cluster.id;
        let subscription = names
            .iter()
            .find(|other| other.id.eq_ignore_ascii_case(&id.subscription));
        let display_name = subscription.map_or(String::new(), |subscription| {
            format!(" ({})", subscription.display_name)
        });
        system.tell(&one_line(&format!(
            "{}. {}: group {}, subscription {}{display_name}, {}",
            number + 1,
            id.name,
            id.group,
            id.subscription,
            cluster.location
        )));
    }
    let last = found.len().min(SHOWN);
    while let Some(answer) = system.ask(&format!("Which one (1 to {last}, Enter for none)? ")) {
        match answer.trim().parse() {
            Ok(number @ 1..) if number <= last => return Ok(found.swap_remove(number - 1)),
            _ if answer.trim().is_empty() => break,
            _ => {}
        }
    }
    Err(
        Error::input(format!("{} clusters are named {name:?}", found.len())).remedy(format!(
            "Choose one: kubelogin get-credentials -n {name} -g GROUP --subscription SUBSCRIPTION"
        )),
    )
}

/// True if a name matches a pattern: `*` matches any text, `?` any character.
fn fits(pattern: &str, name: &str) -> bool {
    let lower = |text: &str| text.to_lowercase().chars().collect::<Vec<_>>();
    let (pattern, name) = (lower(pattern), lower(name));
    // The last star, and how much it matches so far: backtracking to it is enough.
    let (mut at, mut in_name, mut star) = (0, 0, None);
    while in_name < name.len() {
        match pattern.get(at) {
            Some('*') => {
                star = Some((at, in_name));
                at += 1;
            }
            Some(c) if *c == '?' || *c == name[in_name] => {
                at += 1;
                in_name += 1;
            }
            _ => match star {
                Some((place, end)) => {
                    star = Some((place, end + 1));
                    at = place + 1;
                    in_name = end + 1;
                }
                None => return false,
            },
        }
    }
    pattern[at..].iter().all(|c| *c == '*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_stands_for_names_without_regard_to_case() {
        for (pattern, name, is_it) in [
            ("*", "", true),
            ("prod-*", "PROD-west", true),
            ("prod-*", "prod", false),
            ("*-west", "prod-north-west", true),
            ("p?od", "prod", true),
            ("p?od", "pod", false),
            ("*a*b", "xaxbxb", true),
            ("a*b*c", "abxc", true),
            ("a*b*c", "acb", false),
        ] {
            assert_eq!(fits(pattern, name), is_it, "{pattern} {name}");
        }
    }
}
