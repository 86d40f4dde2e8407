//! Puts clusters, with their contexts and users, into kubeconfigs and keeps every other byte.
//!
//! kubectl's rules hold: of several files the first that names an object counts, and what is new goes to one of them.
//! An object of the same name is updated if it is of the same cluster, else it is somebody else's.

use std::collections::{HashMap, HashSet};

use super::edit::{Edit, NewExec};
use super::fetched::{Cluster, Exec, Fetched, Login};
use super::splice;
use super::tree::{Node, Value};
use super::write::New;
use super::{Credentials, Kubeconfig, User};
use crate::error::Error;

/// The name of our extension of a cluster. It is never the one whose content is handed to exec plugins.
pub const ORIGIN: &str = "kubelogin.azure";

/// What is to be there afterwards.
pub struct Addition {
    pub fetched: Fetched,
    pub origin: Origin,
}

/// Where a cluster comes from, so that a later command finds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// The Azure resource ID.
    pub resource_id: String,
    pub tenant_id: Option<String>,
    /// The name of the cloud.
    pub environment: String,
}

/// How much a person allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Others {
    /// Objects of other clusters stay.
    Keep,
    /// They are replaced (`--overwrite-existing`).
    Overwrite,
}

/// What became of an addition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    Added,
    Updated,
    Unchanged,
}

/// Files with the additions made.
pub struct Merged {
    pub changes: Vec<Change>,
    /// For each addition. One that failed has changed nothing.
    pub outcomes: Vec<Result<Outcome, Error>>,
}

/// What one file is to hold.
pub struct Change {
    /// The number of the file.
    pub file: usize,
    #[cfg(test)]
    pub cuts: Vec<super::splice::Cut>,
    pub text: String,
}

/// Merges `additions` into `files`; what is new goes into the file `home`. `current` is the context to switch to.
pub fn merge(
    files: &[Kubeconfig],
    home: usize,
    additions: &[Addition],
    others: Others,
    current: Option<&str>,
) -> Result<Merged, Error> {
    let mut merge = Merge::new(files, home, others)?;
    let mut taken = HashMap::new();
    let mut outcomes = Vec::new();
    for addition in additions {
        outcomes.push(merge.add(addition, &mut taken));
    }
    if let Some(current) = current.filter(|_| outcomes.iter().any(Result::is_ok)) {
        merge.switch_to(current)?;
    }
    Ok(Merged {
        changes: merge.finish()?,
        outcomes,
    })
}

/// The three lists of a kubeconfig.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum List {
    Clusters,
    Contexts,
    Users,
}

impl List {
    const ALL: [Self; 3] = [Self::Clusters, Self::Contexts, Self::Users];

    const fn key(self) -> &'static str {
        match self {
            Self::Clusters => "clusters",
            Self::Contexts => "contexts",
            Self::Users => "users",
        }
    }

    /// The key of an item's value, and what one is called.
    const fn item(self) -> &'static str {
        match self {
            Self::Clusters => "cluster",
            Self::Contexts => "context",
            Self::Users => "user",
        }
    }
}

/// An object that is there, as an entry of its list, and in which file.
#[derive(Clone, Copy)]
struct Place<'n, 't> {
    file: usize,
    entry: User<'n, 't>,
}

type Index<'n, 't> = HashMap<&'n str, Place<'n, 't>>;

/// What to do about one object.
enum Step {
    Add,
    Keep,
    /// It is of the same cluster: only what differs is set.
    Update,
    /// It is of another cluster, and is to go.
    Replace,
}

struct Merge<'n, 't> {
    files: &'n [Kubeconfig<'t>],
    home: usize,
    others: Others,
    clusters: Index<'n, 't>,
    contexts: Index<'n, 't>,
    users: Index<'n, 't>,
    /// The names of the clusters of the contexts that each user is in.
    clusters_of_users: HashMap<&'n str, HashSet<&'n str>>,
    edits: Vec<Edit<'n, 't>>,
    /// New objects, by list.
    new: [Vec<New>; 3],
    current: Option<String>,
}

impl<'n, 't> Merge<'n, 't> {
    fn new(files: &'n [Kubeconfig<'t>], home: usize, others: Others) -> Result<Self, Error> {
        let mut edits = Vec::new();
        for file in files {
            edits.push(Edit::new(file, &file.users()?));
        }
        let mut merge = Self {
            files,
            home,
            others,
            clusters: index(files, List::Clusters)?,
            contexts: index(files, List::Contexts)?,
            users: index(files, List::Users)?,
            clusters_of_users: HashMap::new(),
            edits,
            new: [const { Vec::new() }; 3],
            current: None,
        };
        for context in merge.contexts.values() {
            if let Some(user) = merge.text(context, "user") {
                let cluster = merge.text(context, "cluster");
                let clusters = merge.clusters_of_users.entry(user).or_default();
                clusters.extend(cluster);
            }
        }
        Ok(merge)
    }

    /// Adds or updates the three objects of a cluster, or none of them. `taken` are the names that earlier additions have.
    fn add(
        &mut self,
        addition: &Addition,
        taken: &mut HashMap<(List, String), String>,
    ) -> Result<Outcome, Error> {
        let fetched = &addition.fetched;
        let names = [
            (List::Clusters, &fetched.cluster.name),
            (List::Contexts, &fetched.context),
            (List::Users, &fetched.user),
        ];
        for (list, name) in names {
            let other = taken.get(&(list, name.clone()));
            if let Some(other) = other.filter(|other| **other != addition.origin.resource_id) {
                let what = format!("another {} is named {name:?}: {other}", list.item());
                return Err(Error::input(what).remedy(WAYS));
            }
            if other.is_some() {
                return Ok(Outcome::Unchanged);
            }
        }
        let steps = [
            self.step_for_cluster(addition)?,
            self.step_for_context(addition)?,
            self.step_for_user(addition)?,
        ];
        let before = (self.edit_lengths(), self.new.each_ref().map(Vec::len));
        let applied = self.apply(addition, &steps);
        if applied.is_err() {
            for (edit, length) in self.edits.iter_mut().zip(&before.0) {
                edit.splice.truncate(*length);
            }
            for (new, length) in self.new.iter_mut().zip(before.1) {
                new.truncate(length);
            }
            return applied.map(|()| Outcome::Unchanged);
        }
        for (list, name) in names {
            taken.insert((list, name.clone()), addition.origin.resource_id.clone());
        }
        Ok(if matches!(steps[0], Step::Add) {
            Outcome::Added
        } else if before == (self.edit_lengths(), self.new.each_ref().map(Vec::len)) {
            Outcome::Unchanged
        } else {
            Outcome::Updated
        })
    }

    fn edit_lengths(&self) -> Vec<usize> {
        self.edits.iter().map(|edit| edit.splice.len()).collect()
    }

    fn step_for_cluster(&self, addition: &Addition) -> Result<Step, Error> {
        let name = &addition.fetched.cluster.name;
        let Some(place) = self.clusters.get(name.as_str()) else {
            return Ok(Step::Add);
        };
        if self.is_same(place, addition) {
            return Ok(Step::Update);
        }
        let server = self.text(place, "server").unwrap_or_default();
        self.of_other(
            place,
            List::Clusters,
            name,
            &format!("is another cluster ({server})"),
        )
    }

    fn step_for_context(&self, addition: &Addition) -> Result<Step, Error> {
        let fetched = &addition.fetched;
        let Some(place) = self.contexts.get(fetched.context.as_str()) else {
            return Ok(Step::Add);
        };
        let cluster = self.text(place, "cluster").unwrap_or_default();
        if cluster == fetched.cluster.name
            && self.text(place, "user") == Some(fetched.user.as_str())
        {
            return Ok(Step::Keep);
        }
        let is_same = |place| self.is_same(place, addition);
        if self.clusters.get(cluster).is_some_and(is_same) {
            return Ok(Step::Update);
        }
        let what = format!("belongs to another cluster ({cluster:?})");
        self.of_other(place, List::Contexts, &fetched.context, &what)
    }

    fn step_for_user(&self, addition: &Addition) -> Result<Step, Error> {
        let fetched = &addition.fetched;
        let Some(place) = self.users.get(fetched.user.as_str()) else {
            return Ok(Step::Add);
        };
        if self.has_login(place, &fetched.login)? {
            return Ok(Step::Keep);
        }
        let clusters = self.clusters_of_users.get(fetched.user.as_str());
        let is_same = |name: &&str| {
            self.clusters
                .get(*name)
                .is_some_and(|place| self.is_same(place, addition))
        };
        match clusters.map(|clusters| clusters.iter().all(is_same)) {
            Some(true) => Ok(Step::Update),
            _ => self.of_other(
                place,
                List::Users,
                &fetched.user,
                "belongs to another cluster",
            ),
        }
    }

    /// What happens to an object of another cluster.
    fn of_other(&self, place: &Place, list: List, name: &str, what: &str) -> Result<Step, Error> {
        if self.others == Others::Overwrite {
            return Ok(Step::Replace);
        }
        let (tree, at) = (&self.files[place.file].tree, place.entry.entry.start());
        let what = format!("{} {name:?} {what}", list.item());
        Err(tree.error(at, what).remedy(WAYS))
    }

    /// True if the cluster that is there is the one of the addition: by its resource ID, else by its API server.
    fn is_same(&self, place: &Place, addition: &Addition) -> bool {
        let id = &addition.origin.resource_id;
        match self.origin(place) {
            Some(known) => known.eq_ignore_ascii_case(id),
            None => self
                .text(place, "server")
                .is_some_and(|server| is_same_server(server, &addition.fetched.cluster.server)),
        }
    }

    /// True if a user signs in exactly so already.
    fn has_login(&self, place: &Place<'n, 't>, login: &Login) -> Result<bool, Error> {
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

    fn apply(&mut self, addition: &Addition, steps: &[Step; 3]) -> Result<(), Error> {
        let fetched = &addition.fetched;
        let objects = [
            (List::Clusters, &fetched.cluster.name, new_cluster(addition)),
            (List::Contexts, &fetched.context, new_context(fetched)),
            (List::Users, &fetched.user, new_user(&fetched.login)?),
        ];
        for ((list, name, value), step) in objects.into_iter().zip(steps) {
            match step {
                Step::Keep => {}
                Step::Add => self.new[list as usize].push(item(list, name, value)),
                Step::Replace => self.replace(list, name, &value)?,
                Step::Update => match list {
                    List::Clusters => self.update_cluster(addition)?,
                    List::Contexts => self.update_context(fetched)?,
                    List::Users => self.update_user(fetched, &value)?,
                },
            }
        }
        Ok(())
    }

    fn place(&self, list: List, name: &str) -> Option<Place<'n, 't>> {
        let index = match list {
            List::Clusters => &self.clusters,
            List::Contexts => &self.contexts,
            List::Users => &self.users,
        };
        index.get(name).copied()
    }

    fn replace(&mut self, list: List, name: &str, value: &New) -> Result<(), Error> {
        let Some(place) = self.place(list, name) else {
            return Ok(());
        };
        let edit = &mut self.edits[place.file];
        edit.check_written_here(&place.entry)?;
        edit.splice.set(place.entry.entry, list.item(), value)
    }

    fn update_cluster(&mut self, addition: &Addition) -> Result<(), Error> {
        let cluster = &addition.fetched.cluster;
        let Some(place) = self.place(List::Clusters, &cluster.name) else {
            return Ok(());
        };
        let wanted = [
            (
                "certificate-authority-data",
                cluster.certificate_authority_data.as_deref(),
            ),
            ("server", Some(cluster.server.as_str())),
            ("tls-server-name", cluster.tls_server_name.as_deref()),
        ];
        let differs = |(key, value): &(&str, Option<&str>)| {
            value.is_some() && self.text(&place, key) != *value
        };
        let changes: Vec<_> = wanted.into_iter().filter(differs).collect();
        let is_marked = self.has_origin(&place, &addition.origin);
        if changes.is_empty() && is_marked {
            return Ok(());
        }
        let kubeconfig = &self.files[place.file];
        let edit = &mut self.edits[place.file];
        edit.check_written_here(&place.entry)?;
        for (key, value) in changes {
            edit.splice
                .set(place.entry.value, key, &value.unwrap_or_default().into())?;
        }
        if is_marked {
            return Ok(());
        }
        match kubeconfig.origin_item(place.entry.value) {
            Some(item) => edit
                .splice
                .set(item, "extension", &extension(&addition.origin)),
            None => edit.splice.append(
                place.entry.value,
                "extensions",
                vec![marked(&addition.origin)],
            ),
        }
    }

    fn update_context(&mut self, fetched: &Fetched) -> Result<(), Error> {
        let Some(place) = self.place(List::Contexts, &fetched.context) else {
            return Ok(());
        };
        let edit = &mut self.edits[place.file];
        edit.check_written_here(&place.entry)?;
        edit.splice.set(
            place.entry.value,
            "cluster",
            &fetched.cluster.name.as_str().into(),
        )?;
        edit.splice
            .set(place.entry.value, "user", &fetched.user.as_str().into())
    }

    fn update_user(&mut self, fetched: &Fetched, value: &New) -> Result<(), Error> {
        let Some(place) = self.place(List::Users, &fetched.user) else {
            return Ok(());
        };
        let kubeconfig = &self.files[place.file];
        let credentials = kubeconfig.credentials(&place.entry)?;
        let (Credentials::Exec(old), Login::Exec(new)) = (credentials, &fetched.login) else {
            return self.replace(List::Users, &fetched.user, value);
        };
        let new = NewExec {
            api_version: super::exec_api_version(&new.api_version),
            // A person's own path to kubelogin stays.
            command: (!old.command.ends_with("kubelogin")
                && !old.command.ends_with("kubelogin.exe"))
            .then_some("kubelogin"),
            args: new.args.clone(),
            note: new.note.clone(),
            env: Vec::new(),
            install_hint: new.install_hint.clone().unwrap_or_default(),
        };
        self.edits[place.file]
            .update(&place.entry, &old, &new)
            .map(|_| ())
    }

    fn switch_to(&mut self, current: &str) -> Result<(), Error> {
        let mut of_files = Vec::new();
        for file in self.files {
            let root = file.root()?;
            let text = match root {
                Some(root) => file.text_of(file.map(root, "a kubeconfig")?, "current-context")?,
                None => None,
            };
            of_files.push(text.filter(|text| !text.is_empty()));
        }
        let number = of_files.iter().position(Option::is_some);
        let number = number.unwrap_or(self.home);
        if of_files.get(number).copied().flatten() == Some(current) {
            return Ok(());
        }
        match self.files[number].root()? {
            Some(root) => self.edits[number]
                .splice
                .set(root, "current-context", &current.into()),
            None => {
                self.current = Some(current.to_owned());
                Ok(())
            }
        }
    }

    /// Writes what is new into its file.
    fn finish(mut self) -> Result<Vec<Change>, Error> {
        let home = &self.files[self.home];
        let splice = &mut self.edits[self.home].splice;
        let has_new = self.new.iter().any(|new| !new.is_empty());
        match home.root()? {
            Some(root) => {
                for (list, items) in List::ALL.into_iter().zip(self.new) {
                    if !items.is_empty() {
                        splice.append(root, list.key(), items)?;
                    }
                }
            }
            None if has_new => {
                let document = document(self.new, self.current.as_deref());
                splice.put_document(home.tree.documents().first(), &document);
            }
            None => {}
        }
        let mut changes = Vec::new();
        for (file, edit) in self.edits.into_iter().enumerate() {
            let cuts = edit.finish()?;
            if !cuts.is_empty() {
                let text = splice::apply(self.files[file].tree.text(), &cuts);
                changes.push(Change {
                    file,
                    #[cfg(test)]
                    cuts,
                    text,
                });
            }
        }
        Ok(changes)
    }

    /// The text of a key in an object's value.
    fn text(&self, place: &Place<'n, 't>, key: &str) -> Option<&'n str> {
        let kubeconfig = &self.files[place.file];
        let pairs = kubeconfig.map(place.entry.value, "").ok()?;
        kubeconfig.text_of(pairs, key).ok()?
    }

    /// The resource ID that an earlier run left.
    fn origin(&self, place: &Place<'n, 't>) -> Option<&'n str> {
        self.origin_text(place, "resourceID")
    }

    fn origin_text(&self, place: &Place<'n, 't>, key: &str) -> Option<&'n str> {
        let kubeconfig = &self.files[place.file];
        let item = kubeconfig.origin_item(place.entry.value)?;
        let pairs = kubeconfig.map(item, "").ok()?;
        let extension = kubeconfig.tree.pair(pairs, "extension").ok()??;
        let pairs = kubeconfig.map(&extension.value, "").ok()?;
        kubeconfig.text_of(pairs, key).ok()?
    }

    fn has_origin(&self, place: &Place<'n, 't>, origin: &Origin) -> bool {
        self.origin(place) == Some(&origin.resource_id)
            && self.origin_text(place, "environment") == Some(&origin.environment)
            && self.origin_text(place, "tenantID") == origin.tenant_id.as_deref()
    }
}

/// What to do about a name that is taken.
const WAYS: &str = "Give this one its own name with --context NAME, or replace the other one with --overwrite-existing.";

/// Every object of a list, by its name: of several files the first counts.
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
            let Some(value) = kubeconfig.tree.pair(pairs, list.item())? else {
                continue;
            };
            let entry = User {
                name,
                entry,
                value: &value.value,
                list: items,
            };
            index.entry(name).or_insert(Place { file, entry });
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

/// An item of a list.
fn item(list: List, name: &str, value: New) -> New {
    match list {
        // In the order of the alphabet, as kubectl and az write them.
        List::Users => New::Map(vec![("name", name.into()), (list.item(), value)]),
        List::Clusters | List::Contexts => {
            New::Map(vec![(list.item(), value), ("name", name.into())])
        }
    }
}

fn new_cluster(addition: &Addition) -> New {
    let cluster = &addition.fetched.cluster;
    let Cluster { server, .. } = cluster;
    let mut pairs = Vec::new();
    if let Some(data) = &cluster.certificate_authority_data {
        pairs.push(("certificate-authority-data", data.as_str().into()));
    }
    let extensions = New::List {
        note: None,
        items: vec![marked(&addition.origin)],
    };
    pairs.push(("extensions", extensions));
    pairs.push(("server", server.as_str().into()));
    if let Some(name) = &cluster.tls_server_name {
        pairs.push(("tls-server-name", name.as_str().into()));
    }
    New::Map(pairs)
}

/// The extension that says where a cluster comes from.
fn marked(origin: &Origin) -> New {
    New::Map(vec![
        ("extension", extension(origin)),
        ("name", ORIGIN.into()),
    ])
}

fn extension(origin: &Origin) -> New {
    let mut pairs = vec![
        ("environment", origin.environment.as_str().into()),
        ("resourceID", origin.resource_id.as_str().into()),
    ];
    if let Some(tenant) = &origin.tenant_id {
        pairs.push(("tenantID", tenant.as_str().into()));
    }
    New::Map(pairs)
}

fn new_context(fetched: &Fetched) -> New {
    let mut pairs = vec![("cluster", fetched.cluster.name.as_str().into())];
    if let Some(namespace) = &fetched.namespace {
        pairs.push(("namespace", namespace.as_str().into()));
    }
    pairs.push(("user", fetched.user.as_str().into()));
    New::Map(pairs)
}

fn new_user(login: &Login) -> Result<New, Error> {
    match login {
        Login::Exec(exec) => Ok(New::Map(vec![("exec", new_exec(exec))])),
        Login::Own(own) => {
            let pairs = own.iter().map(|(key, value)| (*key, value.expose().into()));
            Ok(New::Map(pairs.collect()))
        }
        Login::AuthProvider => Err(Error::input("the user was not converted")),
    }
}

fn new_exec(exec: &Exec) -> New {
    let args = exec.args.iter().cloned().map(New::Text).collect();
    let mut pairs = vec![
        ("apiVersion", exec.api_version.as_str().into()),
        (
            "args",
            New::List {
                note: exec.note.clone(),
                items: args,
            },
        ),
        ("command", "kubelogin".into()),
        ("env", New::Null),
    ];
    if let Some(hint) = &exec.install_hint {
        pairs.push(("installHint", hint.as_str().into()));
    }
    if let Some(mode) = &exec.interactive_mode {
        pairs.push(("interactiveMode", mode.as_str().into()));
    }
    pairs.push(("provideClusterInfo", New::Bool(false)));
    New::Map(pairs)
}

/// A whole kubeconfig, in the order in which kubectl writes one.
fn document([clusters, contexts, users]: [Vec<New>; 3], current: Option<&str>) -> New {
    let list = |items| New::List { note: None, items };
    New::Map(vec![
        ("apiVersion", "v1".into()),
        ("clusters", list(clusters)),
        ("contexts", list(contexts)),
        ("current-context", current.unwrap_or_default().into()),
        ("kind", "Config".into()),
        ("preferences", New::Map(Vec::new())),
        ("users", list(users)),
    ])
}

impl<'t> Kubeconfig<'t> {
    /// The document that kubectl reads: the first.
    fn root(&self) -> Result<Option<&Node<'t>>, Error> {
        let mut documents = self.tree.documents().iter();
        let root = documents.find(|document| !document.is_null());
        if let Some(root) = root {
            self.map(root, "a kubeconfig")?;
        }
        Ok(root.filter(|root| !matches!(&root.value, Value::Map(_, pairs) if pairs.is_empty())))
    }

    /// The extension that says where a cluster comes from.
    fn origin_item<'n>(&'n self, cluster: &'n Node<'t>) -> Option<&'n Node<'t>> {
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

#[cfg(test)]
mod tests;
