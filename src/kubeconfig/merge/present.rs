//! What the kubeconfigs already contain, by name.

use std::collections::{HashMap, HashSet};

use super::{Addition, ORIGIN, Origin, RESOURCE_ID};
use crate::error::Error;
use crate::kubeconfig::fetched::Login;
use crate::kubeconfig::tree::{Node, Value};
use crate::kubeconfig::{Credentials, Kubeconfig, User};

/// The three lists of a kubeconfig.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub enum List {
    Clusters,
    Contexts,
    Users,
}

impl List {
    pub const ALL: [Self; 3] = [Self::Clusters, Self::Contexts, Self::Users];

    pub const fn key(self) -> &'static str {
        match self {
            Self::Clusters => "clusters",
            Self::Contexts => "contexts",
            Self::Users => "users",
        }
    }

    /// The key of an item's value, and the word for an item.
    pub const fn item(self) -> &'static str {
        match self {
            Self::Clusters => "cluster",
            Self::Contexts => "context",
            Self::Users => "user",
        }
    }
}

/// An existing object: its list entry and its file.
#[derive(Clone, Copy)]
pub struct Place<'n, 't> {
    pub file: usize,
    pub entry: User<'n, 't>,
    /// It has a name but no value, for example because its key is mistyped, so it cannot be compared or changed.
    pub is_bare: bool,
}

type Index<'n, 't> = HashMap<&'n str, Place<'n, 't>>;

/// Every object of some files, by name; the first file wins.
pub struct Present<'n, 't> {
    pub files: &'n [Kubeconfig<'t>],
    /// By list.
    places: [Index<'n, 't>; 3],
    /// The names of the clusters of the contexts that each user is in.
    clusters_of_users: HashMap<&'n str, HashSet<&'n str>>,
}

impl<'n, 't> Present<'n, 't> {
    pub fn new(files: &'n [Kubeconfig<'t>]) -> Result<Self, Error> {
        let [clusters, contexts, users] = List::ALL.map(|list| index(files, list));
        let mut present = Self {
            files,
            places: [clusters?, contexts?, users?],
            clusters_of_users: HashMap::new(),
        };
        for context in present.places[List::Contexts as usize].values() {
            if let Some(user) = present.text(*context, "user") {
                let cluster = present.text(*context, "cluster");
                let clusters = present.clusters_of_users.entry(user).or_default();
                clusters.extend(cluster);
            }
        }
        Ok(present)
    }

    pub fn place(&self, list: List, name: &str) -> Option<Place<'n, 't>> {
        self.places[list as usize].get(name).copied()
    }

    /// The clusters of the contexts that a user is in, if there are any.
    pub fn clusters_of_user(&self, user: &str) -> Option<&HashSet<&'n str>> {
        self.clusters_of_users.get(user)
    }

    /// True if the existing cluster is the one being added: by resource ID, else by API server.
    pub fn is_same(&self, place: Place<'n, 't>, addition: &Addition) -> bool {
        let id = &addition.origin.resource_id;
        match self.origin(place) {
            Some(known) => known.eq_ignore_ascii_case(id),
            None => self
                .text(place, "server")
                .is_some_and(|server| is_same_server(server, &addition.fetched.cluster.server)),
        }
    }

    /// True if the user already signs in exactly like this.
    pub fn has_login(&self, place: Place<'n, 't>, login: &Login) -> Result<bool, Error> {
        let kubeconfig = &self.files[place.file];
        Ok(match (kubeconfig.credentials(&place.entry)?, login) {
            (Credentials::Exec(old), Login::Exec(new)) => {
                kubeconfig.args(&old)? == new.args && kubeconfig.note(&old) == new.note.as_deref()
            }
            (Credentials::Others, Login::Own(new)) => {
                let keys = kubeconfig.map(place.entry.value, "user")?.len();
                let has = |(key, value): &(&str, _)| {
                    let value: &crate::secret::Secret = value;
                    self.text(place, key) == Some(value.expose())
                };
                keys == new.len() && new.iter().all(has)
            }
            _ => false,
        })
    }

    /// The text of a key in an object's value.
    pub fn text(&self, place: Place<'n, 't>, key: &str) -> Option<&'n str> {
        let kubeconfig = &self.files[place.file];
        let pairs = kubeconfig.map(place.entry.value, "").ok()?;
        kubeconfig.text_of(pairs, key).ok()?
    }

    /// The resource ID that an earlier run left.
    fn origin(&self, place: Place<'n, 't>) -> Option<&'n str> {
        self.files[place.file].resource_id(place.entry.value)
    }

    fn origin_text(&self, place: Place<'n, 't>, key: &str) -> Option<&'n str> {
        self.files[place.file].origin_text(place.entry.value, key)
    }

    pub fn has_origin(&self, place: Place<'n, 't>, origin: &Origin) -> bool {
        self.origin(place) == Some(&origin.resource_id)
            && self.origin_text(place, "environment") == Some(&origin.environment)
            && self.origin_text(place, "tenantID") == origin.tenant_id.as_deref()
    }
}

/// Every object of a list, by its name.
fn index<'n, 't>(files: &'n [Kubeconfig<'t>], list: List) -> Result<Index<'n, 't>, Error> {
    let mut index = Index::new();
    for (file, kubeconfig) in files.iter().enumerate() {
        let Some(root) = kubeconfig.root()? else {
            continue;
        };
        let Some(items) = kubeconfig.top_level(root, list.key())? else {
            continue;
        };
        for entry in kubeconfig.items(items, list.key())? {
            let pairs = kubeconfig.map(entry, list.item())?;
            let name = kubeconfig.text_of(pairs, "name")?.unwrap_or_default();
            let value = kubeconfig.tree.pair(pairs, list.item())?;
            let place = Place {
                file,
                entry: User {
                    name,
                    entry,
                    value: value.map_or(entry, |value| &value.value),
                    list: items,
                },
                is_bare: value.is_none(),
            };
            index.entry(name).or_insert(place);
        }
    }
    Ok(index)
}

fn is_same_server(one: &str, other: &str) -> bool {
    let key = |server: &str| {
        let server = server.trim_end_matches('/').to_ascii_lowercase();
        server
            .strip_suffix(":443")
            .map(str::to_owned)
            .unwrap_or(server)
    };
    key(one) == key(other)
}

impl<'t> Kubeconfig<'t> {
    /// The document that kubectl reads: the first.
    pub fn root(&self) -> Result<Option<&Node<'t>>, Error> {
        let mut documents = self.tree.documents().iter();
        let root = documents.find(|document| !document.is_null());
        if let Some(root) = root {
            self.map(root, "a kubeconfig")?;
        }
        Ok(root.filter(|root| !matches!(&root.value, Value::Map(_, pairs) if pairs.is_empty())))
    }

    /// The Azure resource ID of a cluster, if an earlier run left it.
    pub fn resource_id<'n>(&'n self, cluster: &'n Node<'t>) -> Option<&'n str> {
        self.origin_text(cluster, RESOURCE_ID)
    }

    /// Where a cluster comes from, as recorded by an earlier run.
    fn origin_text<'n>(&'n self, cluster: &'n Node<'t>, key: &str) -> Option<&'n str> {
        let item = self.origin_item(cluster)?;
        let pairs = self.map(item, "").ok()?;
        let extension = self.tree.pair(pairs, "extension").ok()??;
        let pairs = self.map(&extension.value, "").ok()?;
        self.text_of(pairs, key).ok()?
    }

    /// The extension that records where a cluster comes from.
    pub fn origin_item<'n>(&'n self, cluster: &'n Node<'t>) -> Option<&'n Node<'t>> {
        let pairs = self.map(cluster, "").ok()?;
        let extensions = self.tree.pair(pairs, "extensions").ok()??;
        let mut items = self.items(&extensions.value, "").ok()?.iter();
        items.find(|item| {
            self.map(item, "")
                .and_then(|pairs| self.text_of(pairs, "name"))
                .is_ok_and(|name| name == Some(ORIGIN))
        })
    }
}
