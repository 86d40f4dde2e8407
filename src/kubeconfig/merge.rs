//! Puts clusters, with their contexts and users, into kubeconfigs and keeps every other byte.
//!
//! kubectl's rules apply: the first file that defines an object wins, and new objects go to one of the files. An object
//! with the same name is updated if it belongs to the same cluster; otherwise it is not ours to change.

mod new;
mod present;

use std::collections::HashMap;

use super::edit::{Edit, NewExec};
use super::fetched::{Fetched, Login};
use super::plugin::{is_int128, is_kubelogin};
use super::splice;
use super::write::New;
use super::{Credentials, Kubeconfig};
use crate::error::Error;
use new::{document, extension, item, marked, new_cluster, new_context, new_user};
use present::{List, Place, Present};

/// The name of our extension of a cluster. It differs from the one whose content is passed to exec plugins.
pub const ORIGIN: &str = "kubelogin.azure";
/// The key of the cluster's Azure resource ID in it.
pub const RESOURCE_ID: &str = "resourceID";

/// What to add or update.
pub struct Addition {
    pub fetched: Fetched,
    pub origin: Origin,
}

/// Where a cluster comes from, so that later commands can find it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// The Azure resource ID.
    pub resource_id: String,
    pub tenant_id: Option<String>,
    /// The name of the cloud.
    pub environment: String,
}

/// What to do about objects of other clusters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Others {
    /// Objects of other clusters stay.
    Keep,
    /// They are replaced (`--overwrite-existing`).
    Overwrite,
}

/// The result of an addition.
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

/// The changes to one file.
pub struct Change {
    /// The number of the file.
    pub file: usize,
    #[cfg(test)]
    pub cuts: Vec<super::splice::Cut>,
    pub text: String,
}

/// Merges `additions` into `files`; new objects go into the file `home`. `current` is the context to switch to.
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

/// What to do about one object.
enum Step {
    Add,
    Keep,
    /// It belongs to the same cluster: only differences are written.
    Update,
    /// It belongs to another cluster; replace it.
    Replace,
}

struct Merge<'n, 't> {
    present: Present<'n, 't>,
    home: usize,
    others: Others,
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
        Ok(Self {
            present: Present::new(files)?,
            home,
            others,
            edits,
            new: [const { Vec::new() }; 3],
            current: None,
        })
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
            self.check_complete(list, name)?;
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

    /// An object that is only a name would end up twice in the file.
    fn check_complete(&self, list: List, name: &str) -> Result<(), Error> {
        match self.present.place(list, name) {
            Some(place) if place.is_bare => {
                let (tree, item) = (&self.present.files[place.file].tree, list.item());
                let what = format!("{item} {name:?} has no {item:?} key");
                let error = tree.error(place.entry.entry.start(), what);
                Err(error.remedy("Complete or remove that entry, then try again."))
            }
            _ => Ok(()),
        }
    }

    fn edit_lengths(&self) -> Vec<usize> {
        self.edits.iter().map(|edit| edit.splice.len()).collect()
    }

    fn step_for_cluster(&self, addition: &Addition) -> Result<Step, Error> {
        let name = &addition.fetched.cluster.name;
        let Some(place) = self.present.place(List::Clusters, name) else {
            return Ok(Step::Add);
        };
        if self.present.is_same(place, addition) {
            return Ok(Step::Update);
        }
        let server = self.present.text(place, "server").unwrap_or_default();
        self.of_other(
            place,
            List::Clusters,
            name,
            &format!("is another cluster ({server})"),
        )
    }

    fn step_for_context(&self, addition: &Addition) -> Result<Step, Error> {
        let fetched = &addition.fetched;
        let Some(place) = self.present.place(List::Contexts, &fetched.context) else {
            return Ok(Step::Add);
        };
        let cluster = self.present.text(place, "cluster").unwrap_or_default();
        if cluster == fetched.cluster.name
            && self.present.text(place, "user") == Some(fetched.user.as_str())
        {
            return Ok(Step::Keep);
        }
        let is_same = |place| self.present.is_same(place, addition);
        let known = self.present.place(List::Clusters, cluster);
        if known.is_some_and(is_same) {
            return Ok(Step::Update);
        }
        let what = format!("belongs to another cluster ({cluster:?})");
        self.of_other(place, List::Contexts, &fetched.context, &what)
    }

    fn step_for_user(&self, addition: &Addition) -> Result<Step, Error> {
        let fetched = &addition.fetched;
        let Some(place) = self.present.place(List::Users, &fetched.user) else {
            return Ok(Step::Add);
        };
        if self.present.has_login(place, &fetched.login)? {
            return Ok(Step::Keep);
        }
        let clusters = self.present.clusters_of_user(&fetched.user);
        let is_same = |name: &&str| {
            let place = self.present.place(List::Clusters, name);
            place.is_some_and(|place| self.present.is_same(place, addition))
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
    fn of_other(&self, place: Place, list: List, name: &str, what: &str) -> Result<Step, Error> {
        if self.others == Others::Overwrite {
            return Ok(Step::Replace);
        }
        let (tree, at) = (
            &self.present.files[place.file].tree,
            place.entry.entry.start(),
        );
        let what = format!("{} {name:?} {what}", list.item());
        Err(tree.error(at, what).remedy(WAYS))
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

    fn replace(&mut self, list: List, name: &str, value: &New) -> Result<(), Error> {
        let Some(place) = self.present.place(list, name) else {
            return Ok(());
        };
        let edit = &mut self.edits[place.file];
        edit.check_written_here(&place.entry)?;
        edit.splice.set(place.entry.entry, list.item(), value)
    }

    fn update_cluster(&mut self, addition: &Addition) -> Result<(), Error> {
        let cluster = &addition.fetched.cluster;
        let Some(place) = self.present.place(List::Clusters, &cluster.name) else {
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
            value.is_some() && self.present.text(place, key) != *value
        };
        let changes: Vec<_> = wanted.into_iter().filter(differs).collect();
        let is_marked = self.present.has_origin(place, &addition.origin);
        if changes.is_empty() && is_marked {
            return Ok(());
        }
        let kubeconfig = &self.present.files[place.file];
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
        let Some(place) = self.present.place(List::Contexts, &fetched.context) else {
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
        let Some(place) = self.present.place(List::Users, &fetched.user) else {
            return Ok(());
        };
        let kubeconfig = &self.present.files[place.file];
        let credentials = kubeconfig.credentials(&place.entry)?;
        let (Credentials::Exec(old), Login::Exec(new)) = (credentials, &fetched.login) else {
            return self.replace(List::Users, &fetched.user, value);
        };
        let is_ours = is_kubelogin(old.command) && !is_int128(kubeconfig.args(&old)?);
        let new = NewExec {
            api_version: super::exec_api_version(&new.api_version),
            // The user's own path to kubelogin stays.
            command: (!is_ours).then_some("kubelogin"),
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
        for file in self.present.files {
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
        match self.present.files[number].root()? {
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
        let home = &self.present.files[self.home];
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
                let text = splice::apply(self.present.files[file].tree.text(), &cuts);
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
}

/// Advice for a name that is taken.
const WAYS: &str = "Give this one its own name with --context NAME, or replace the other one with --overwrite-existing.";

#[cfg(test)]
mod tests;
