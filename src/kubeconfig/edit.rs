//! Changes to users: the new exec plugin, and the check that nothing else changes with it.

use std::collections::HashMap;

use super::splice::{self, Cut, Splice};
use super::tree::{Node, Pair, Value};
use super::write::New;
use super::{AuthProvider, Exec, Kubeconfig, User, is_block};
use crate::error::Error;

/// The keys of an exec plugin that are written; all others stay.
pub struct NewExec {
    pub api_version: &'static str,
    /// `None` keeps the present one.
    pub command: Option<&'static str>,
    pub args: Vec<String>,
    /// A comment above the arguments, where the file can hold one.
    pub note: Option<String>,
    /// Variables to set; others stay.
    pub env: Vec<(&'static str, String)>,
    /// For a user without a hint.
    pub install_hint: String,
}

/// Users of one kubeconfig that are being changed.
pub struct Edit<'n, 't> {
    kubeconfig: &'n Kubeconfig<'t>,
    pub(super) splice: Splice<'n, 't>,
    /// The anchors that aliases refer to, in the order of the file.
    used: Vec<UsedAnchor>,
}

struct UsedAnchor {
    at: usize,
    /// Where its first and its last alias are.
    aliases: (usize, usize),
}

impl<'n, 't> Edit<'n, 't> {
    pub fn new(kubeconfig: &'n Kubeconfig<'t>, users: &[User<'n, 't>]) -> Self {
        let tree = &kubeconfig.tree;
        let mut used: HashMap<u32, UsedAnchor> = HashMap::new();
        for (anchor, alias) in tree.aliases() {
            let at = tree.anchor_place(anchor).unwrap_or_default();
            let anchor = used.entry(anchor).or_insert(UsedAnchor {
                at,
                aliases: (alias, alias),
            });
            anchor.aliases.1 = alias;
        }
        let mut used: Vec<_> = used.into_values().collect();
        used.sort_by_key(|anchor| anchor.at);
        Self {
            kubeconfig,
            splice: Splice::new(tree, kubeconfig.indentation(users)),
            used,
        }
    }

    /// Makes the changes to one user, all of them or, if one is not possible, none.
    pub fn all_or_none<T>(
        &mut self,
        user: &User<'n, 't>,
        change: impl FnOnce(&mut Self) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let before = self.splice.len();
        let result = change(self);
        let result = result.and_then(|done| {
            self.splice.check_anchors(before, user.block())?;
            Ok(done)
        });
        if result.is_err() {
            self.splice.truncate(before);
        }
        result
    }

    /// Removes the auth provider of a user who has an exec plugin, too.
    pub fn remove(&mut self, user: &User<'n, 't>, old: &AuthProvider<'n, 't>) -> Result<(), Error> {
        self.check_own(user, &old.pair.value, old.pair)?;
        self.splice.remove(user.value, old.pair)
    }

    /// Replaces an auth provider by an exec plugin.
    pub fn replace(
        &mut self,
        user: &User<'n, 't>,
        old: &AuthProvider<'n, 't>,
        new: &NewExec,
    ) -> Result<(), Error> {
        self.check_own(user, &old.pair.value, old.pair)?;
        let tree = &self.kubeconfig.tree;
        let null = tree.pair(self.kubeconfig.map(user.value, "user")?, "exec")?;
        if let Some(pair) = null {
            return Err(tree
                .error(pair.key.start(), "exec is null")
                .remedy("Remove that line, then convert again."));
        }
        let mut env = New::Null;
        if !new.env.is_empty() {
            env = New::List {
                note: None,
                items: new.env.iter().map(variable).collect(),
            };
        }
        let exec = New::Map(vec![
            ("apiVersion", new.api_version.into()),
            ("args", args(new)),
            ("command", new.command.unwrap_or_default().into()),
            ("env", env),
            ("installHint", new.install_hint.as_str().into()),
            ("provideClusterInfo", New::Bool(false)),
        ]);
        self.splice
            .replace_pair(user.value, old.pair, "exec", &exec);
        Ok(())
    }

    /// Changes the keys of an exec plugin that differ. True if one did.
    pub fn update(
        &mut self,
        user: &User<'n, 't>,
        old: &Exec<'n, 't>,
        new: &NewExec,
    ) -> Result<bool, Error> {
        let before = self.splice.len();
        let tree = &self.kubeconfig.tree;
        if old.api_version != Some(new.api_version) {
            self.splice
                .set(old.map, "apiVersion", &new.api_version.into())?;
        }
        let args_are_new = self.kubeconfig.args(old)? != new.args;
        let can_note = tree
            .pair(old.pairs, "args")?
            .is_none_or(|_| is_block(old.map));
        if args_are_new || can_note && self.kubeconfig.note(old) != new.note.as_deref() {
            self.splice.set(old.map, "args", &args(new))?;
        }
        if let Some(command) = new.command.filter(|command| *command != old.command) {
            self.splice.set(old.map, "command", &command.into())?;
        }
        for variable in &new.env {
            self.set_variable(old, variable)?;
        }
        if !old.has_install_hint && !new.install_hint.is_empty() {
            self.splice
                .set(old.map, "installHint", &new.install_hint.as_str().into())?;
        }
        let changed = self.splice.len() > before;
        if changed {
            let pair = tree.pair(self.kubeconfig.map(user.value, "user")?, "exec")?;
            let pair = pair.ok_or_else(|| {
                tree.error(
                    user.value.start(),
                    "the exec plugin comes from a merge key (<<)",
                )
                .remedy("Write it out in the user itself, then convert again.")
            })?;
            self.check_own(user, &pair.value, pair)?;
            if let Some(merge) = tree.pair(old.pairs, "<<")? {
                return Err(tree
                    .error(
                        merge.key.start(),
                        "part of the exec plugin comes from a merge key (<<)",
                    )
                    .remedy("Write it out in the user itself, then convert again."));
            }
        }
        Ok(changed)
    }

    fn set_variable(
        &mut self,
        old: &Exec<'n, 't>,
        new: &(&'static str, String),
    ) -> Result<(), Error> {
        let kubeconfig = self.kubeconfig;
        let list = kubeconfig
            .tree
            .pair(old.pairs, "env")?
            .map(|pair| &pair.value)
            .filter(|list| !list.is_null());
        let items = list.map_or(Ok(&[][..]), |list| kubeconfig.items(list, "env"))?;
        for item in items {
            let pairs = kubeconfig.map(item, "a variable")?;
            if kubeconfig.text_of(pairs, "name")? == Some(new.0) {
                if kubeconfig.text_of(pairs, "value")? == Some(&new.1) {
                    return Ok(());
                }
                return self.splice.set(item, "value", &new.1.as_str().into());
            }
        }
        match (list, items.first()) {
            (
                Some(Node {
                    value: Value::Alias(_),
                    ..
                }),
                Some(item),
            ) => Err(kubeconfig
                .tree
                .error(
                    item.start(),
                    "env is an alias: adding to it would change what it refers to",
                )
                .remedy("Write it out in the user itself, then convert again.")),
            (Some(list), Some(first)) => {
                self.splice.prepend(list, first, &variable(new));
                Ok(())
            }
            _ => self.splice.set(
                old.map,
                "env",
                &New::List {
                    note: None,
                    items: vec![variable(new)],
                },
            ),
        }
    }

    /// An edit must change only this user: the edited part must be written here, with no alias to it elsewhere.
    fn check_own(
        &self,
        user: &User<'n, 't>,
        value: &'n Node<'t>,
        pair: &'n Pair<'t>,
    ) -> Result<(), Error> {
        self.check_no_alias(value)?;
        if !user.block().contains(&pair.key.start()) {
            return Err(self
                .kubeconfig
                .tree
                .error(
                    user.value.start(),
                    "the credentials come from a merge key (<<)",
                )
                .remedy("Write it out in the user itself, then convert again."));
        }
        self.check_written_here(user)
    }

    fn check_no_alias(&self, node: &Node<'t>) -> Result<(), Error> {
        if !matches!(node.value, Value::Alias(_)) {
            return Ok(());
        }
        Err(self
            .kubeconfig
            .tree
            .error(
                node.start(),
                "this is an alias: converting it would change what it refers to",
            )
            .remedy("Write it out in the user itself, then convert again."))
    }

    /// Checks that an entry is written out here, and that nothing in it is used elsewhere.
    pub(super) fn check_written_here(&self, entry: &User<'n, 't>) -> Result<(), Error> {
        let tree = &self.kubeconfig.tree;
        self.check_no_alias(entry.entry)?;
        self.check_no_alias(entry.value)?;
        let block = entry.block();
        let inside = self.used.partition_point(|anchor| anchor.at < block.start)
            ..self.used.partition_point(|anchor| anchor.at < block.end);
        let around = [entry.list, entry.entry].map(Node::anchor);
        let around = around.into_iter().filter_map(|anchor| {
            let at = tree.anchor_place(anchor)?;
            let index = self.used.binary_search_by_key(&at, |used| used.at).ok()?;
            self.used.get(index)
        });
        for used in self.used[inside].iter().chain(around) {
            for alias in [used.aliases.0, used.aliases.1] {
                if !block.contains(&alias) {
                    return Err(splice::used_elsewhere(tree, used.at, alias));
                }
            }
        }
        Ok(())
    }

    /// The replacements.
    pub fn finish(self) -> Result<Vec<Cut>, Error> {
        self.splice.finish()
    }
}

fn args(new: &NewExec) -> New {
    New::List {
        note: new.note.clone(),
        items: new.args.iter().cloned().map(New::Text).collect(),
    }
}

fn variable((name, value): &(&'static str, String)) -> New {
    New::Map(vec![
        ("name", (*name).into()),
        ("value", value.as_str().into()),
    ])
}
