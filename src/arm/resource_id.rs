//! Azure resource IDs of everything that has a kubeconfig.

use std::fmt;

use crate::error::Error;
use crate::token::is_guid;

/// A cluster, or part of one, for which ARM has a kubeconfig. Names are case-insensitive, as in ARM.
#[derive(Debug, Clone)]
pub struct ResourceId {
    /// A GUID.
    pub subscription: String,
    pub group: String,
    pub name: String,
    pub kind: Kind,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    Cluster,
    /// A managed namespace of the cluster, by its own name.
    Namespace(String),
    /// The hub cluster of a fleet.
    FleetHub,
}

const SHAPE: &str = "Give it like /subscriptions/ID/resourceGroups/GROUP/providers/Microsoft.ContainerService/managedClusters/NAME.";

impl ResourceId {
    /// Checks each part, because it goes into a URL and a query.
    pub fn new(subscription: &str, group: &str, name: &str, kind: Kind) -> Result<Self, Error> {
        if !is_guid(subscription) {
            return Err(
                Error::input(format!("subscription ID {subscription:?} is not a GUID"))
                    .remedy("Set --subscription to the ID or name of the subscription."),
            );
        }
        check_group(group)?;
        check_name(name)?;
        if let Kind::Namespace(namespace) = &kind {
            check_name(namespace)?;
        }
        Ok(Self {
            subscription: subscription.to_ascii_lowercase(),
            group: group.to_owned(),
            name: name.to_owned(),
            kind,
        })
    }

    /// Reads a whole resource ID, as the portal and `az aks show --query id` give it.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let wrong = |why: &str| Error::input(format!("resource ID {text:?} {why}")).remedy(SHAPE);
        let parts: Vec<&str> = text.trim_matches('/').split('/').collect();
        let &[
            subscriptions,
            subscription,
            groups,
            group,
            providers,
            provider,
            kind,
            name,
            ref rest @ ..,
        ] = &parts[..]
        else {
            return Err(wrong("is incomplete"));
        };
        let words = [
            (subscriptions, "subscriptions"),
            (groups, "resourceGroups"),
            (providers, "providers"),
        ];
        let is = |one: &str, other: &str| one.eq_ignore_ascii_case(other);
        if words.iter().any(|(word, expected)| !is(word, expected)) {
            return Err(wrong("is not in the form of a resource ID"));
        }
        if is(provider, "Microsoft.Kubernetes") && is(kind, "connectedClusters") {
            return Err(Error::input(format!("{name:?} is an Arc-enabled cluster"))
                .remedy("Its API server is reached through a Microsoft relay: use az connectedk8s proxy."));
        }
        if !is(provider, "Microsoft.ContainerService") {
            return Err(wrong("is not the ID of a Kubernetes cluster"));
        }
        let kind = match (kind, rest) {
            (kind, []) if is(kind, "managedClusters") => Kind::Cluster,
            (kind, []) if is(kind, "fleets") => Kind::FleetHub,
            (kind, [part, namespace])
                if is(kind, "managedClusters") && is(part, "managedNamespaces") =>
            {
                Kind::Namespace((*namespace).to_owned())
            }
            _ => {
                return Err(wrong(
                    "is not the ID of a cluster, a managed namespace or a fleet",
                ));
            }
        };
        Self::new(subscription, group, name, kind)
    }

    /// Its default name in a kubeconfig.
    pub fn own_name(&self) -> &str {
        match &self.kind {
            Kind::Namespace(namespace) => namespace,
            Kind::Cluster | Kind::FleetHub => &self.name,
        }
    }

    /// Equal for IDs of the same resource.
    pub fn key(&self) -> String {
        self.to_string().to_ascii_lowercase()
    }
}

/// The ID as ARM writes it; only a group's name can need escapes, which `Url` adds.
impl fmt::Display for ResourceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            subscription,
            group,
            name,
            kind,
        } = self;
        let collection = match kind {
            Kind::Cluster | Kind::Namespace(_) => "managedClusters",
            Kind::FleetHub => "fleets",
        };
        write!(
            f,
            "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.ContainerService/{collection}/{name}"
        )?;
        match kind {
            Kind::Namespace(namespace) => write!(f, "/managedNamespaces/{namespace}"),
            Kind::Cluster | Kind::FleetHub => Ok(()),
        }
    }
}

/// Azure's rule for cluster names (listClusterUserCredentials, "resourceName"): such a name is safe in a path, a query and
/// a command line.
pub fn check_name(name: &str) -> Result<(), Error> {
    let is_inner = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    let is_valid = name.starts_with(|c: char| c.is_ascii_alphanumeric())
        && name.ends_with(|c: char| c.is_ascii_alphanumeric())
        && name.len() <= 63
        && name.chars().all(is_inner);
    if is_valid {
        return Ok(());
    }
    Err(
        Error::input(format!("{name:?} is not a valid cluster name")).remedy(
            "A name has up to 63 letters, digits, dashes and underscores, and begins and ends with a letter or digit.",
        ),
    )
}

/// Azure's rule for resource groups: letters, digits, `_`, `-`, `.`, `(` and `)`, not ending in a period, 90 at most.
pub fn check_group(group: &str) -> Result<(), Error> {
    let is_valid = !group.is_empty()
        && group.chars().count() <= 90
        && !group.ends_with('.')
        && group
            .chars()
            .all(|c| c.is_alphanumeric() || "_-.()".contains(c));
    if is_valid {
        return Ok(());
    }
    Err(
        Error::input(format!("{group:?} is not a valid resource group name")).remedy(
            "A name has up to 90 letters, digits, dashes, underscores, parentheses and periods, and does not end with a period.",
        ),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const SUBSCRIPTION: &str = "50000000-0000-0000-0000-00000000000A";

    #[test]
    fn a_resource_id_is_read_whatever_its_case_and_written_as_arm_does() {
        let start = format!("/subscriptions/{SUBSCRIPTION}/resourceGroups/my.group_(1)/providers");
        for (end, kind) in [
            (
                "Microsoft.ContainerService/managedClusters/prod",
                Kind::Cluster,
            ),
            (
                "microsoft.containerservice/MANAGEDCLUSTERS/prod/",
                Kind::Cluster,
            ),
            (
                "Microsoft.ContainerService/managedClusters/prod/managedNamespaces/team",
                Kind::Namespace("team".into()),
            ),
            ("Microsoft.ContainerService/fleets/prod", Kind::FleetHub),
        ] {
            let id = ResourceId::parse(&format!("{start}/{end}")).expect(end);
            assert_eq!(id.kind, kind);
            let written = format!("{start}/{end}").to_lowercase();
            assert_eq!(id.key(), written.trim_end_matches('/'));
        }
    }

    #[test]
    fn what_is_no_id_of_a_cluster_is_refused_with_its_reason() {
        let id =
            |end: &str| format!("/subscriptions/{SUBSCRIPTION}/resourceGroups/g/providers/{end}");
        for (text, why) in [
            ("/subscriptions/x".to_owned(), "incomplete"),
            ("/a/b/c/d/e/f/g/h".to_owned(), "form of a resource ID"),
            (id("Microsoft.Compute/virtualMachines/vm"), "Kubernetes"),
            (
                id("Microsoft.Kubernetes/connectedClusters/arc"),
                "az connectedk8s proxy",
            ),
            (
                id("Microsoft.ContainerService/managedClusters/a/agentPools/b"),
                "managed namespace",
            ),
            (
                id("Microsoft.ContainerService/managedClusters/.."),
                "valid cluster name",
            ),
            (
                id("Microsoft.ContainerService/managedClusters/a?b"),
                "valid cluster name",
            ),
            (
                id("Microsoft.ContainerService/managedClusters/a").replace(SUBSCRIPTION, "..."),
                "GUID",
            ),
            (
                id("Microsoft.ContainerService/managedClusters/a").replace("/g/", "/g'g/"),
                "resource group",
            ),
        ] {
            let error = ResourceId::parse(&text).expect_err(&text).to_string();
            assert!(error.contains(why), "{text}: {error}");
        }
    }
}
