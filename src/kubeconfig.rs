//! Kubeconfig files: where they are, the users and contexts in them, and edits that keep every other byte.
//!
//! Knows YAML and kubectl's rules, not logins: [`convert_kubeconfig`](crate::command::convert_kubeconfig) decides what a
//! converted user looks like.

pub mod context;
pub mod diff;
pub mod edit;
pub mod fetched;
pub mod file;
pub mod merge;
pub mod plugin;
pub mod secrets;
pub mod splice;
pub mod tree;
pub mod write;

use std::cell::RefCell;
use std::collections::HashMap;
use std::ops::Range;

use crate::error::Error;
use tree::{Node, Pair, Style, Tree, Value};
use write::Indentation;

/// A parsed kubeconfig with all its documents.
pub struct Kubeconfig<'t> {
    tree: Tree<'t>,
    /// Which source of a merge key (`<<`) has a key, by the address of the sources: many users can name the same ones.
    merged: RefCell<HashMap<(usize, String), Option<usize>>>,
}

/// An item of a list: a context or a cluster.
struct Named<'n, 't> {
    name: &'n str,
    entry: &'n Node<'t>,
    value: Option<&'n Node<'t>>,
    /// The fields of its value; empty if it has none.
    fields: &'n [Pair<'t>],
}

/// A user of a kubeconfig.
#[derive(Clone, Copy)]
pub struct User<'n, 't> {
    pub name: &'n str,
    /// The item of the list.
    entry: &'n Node<'t>,
    /// The value of its `user` key; if that is an alias, the alias itself. Without a value the item: it has no credentials.
    value: &'n Node<'t>,
    list: &'n Node<'t>,
}

impl User<'_, '_> {
    /// The bytes that may change when the user is converted.
    pub fn block(&self) -> Range<usize> {
        self.value.range()
    }

    /// True if it is written in flow style, as JSON is.
    pub fn is_flow(&self) -> bool {
        !is_block(self.value)
    }
}

/// How a user authenticates.
pub enum Credentials<'n, 't> {
    AuthProvider(AuthProvider<'n, 't>),
    Exec(Exec<'n, 't>),
    /// Both of them, which kubectl refuses: an exec plugin was added but the auth provider it replaces was not removed.
    Both(AuthProvider<'n, 't>, Exec<'n, 't>),
    /// Neither: a token, a certificate or nothing.
    Others,
}

/// A login built into kubectl, which dropped them in version 1.26.
pub struct AuthProvider<'n, 't> {
    pub name: &'n str,
    /// Empty if there is none.
    pub config: &'n [Pair<'t>],
    pair: &'n Pair<'t>,
}

/// An exec plugin.
pub struct Exec<'n, 't> {
    pub command: &'n str,
    pub api_version: Option<&'n str>,
    pub has_install_hint: bool,
    map: &'n Node<'t>,
    pairs: &'n [Pair<'t>],
}

impl Exec<'_, '_> {
    /// True if it is written in flow style, as JSON is.
    pub fn is_flow(&self) -> bool {
        !is_block(self.map)
    }
}

/// A context: its name, and what it names, each if it has one.
pub struct Context<'n> {
    pub name: &'n str,
    pub user: Option<&'n str>,
    pub cluster: Option<&'n str>,
    pub namespace: Option<&'n str>,
    at: usize,
}

impl<'t> Kubeconfig<'t> {
    /// Parses `text`; `file` is its name in messages.
    pub fn parse(file: &'t str, text: &'t str) -> Result<Self, Error> {
        let tree = Tree::parse(file, text)?;
        Ok(Self {
            tree,
            merged: RefCell::default(),
        })
    }

    /// True if nothing but comments is in it.
    pub fn is_empty(&self) -> bool {
        self.tree.documents().iter().all(Node::is_null)
    }

    /// Every user of every document. As for kubectl, an item that is null or has no name is ignored.
    pub fn users(&self) -> Result<Vec<User<'_, 't>>, Error> {
        let mut users = Vec::new();
        for document in self.tree.documents() {
            let Some(list) = self.top_level(document, "users")? else {
                continue;
            };
            let mut places = HashMap::new();
            for entry in self.items(list, "users")? {
                let Some(user) = self.user(entry, list)? else {
                    continue;
                };
                if let Some(earlier) = places.insert(user.name, entry.start()) {
                    let line = self.tree.line(earlier);
                    return Err(self
                        .tree
                        .error(
                            entry.start(),
                            format!("user {:?} is already defined in line {line}", user.name),
                        )
                        .remedy(
                            "Rename or remove one of the two; kubectl cannot read the file either.",
                        ));
                }
                users.push(user);
            }
        }
        Ok(users)
    }

    /// Every context of every document.
    pub fn contexts(&self) -> Result<Vec<Context<'_>>, Error> {
        let mut contexts = Vec::new();
        for item in self.named("contexts", "context")? {
            let text = |key| {
                let text = self.text_of(item.fields, key)?;
                Ok::<_, Error>(text.filter(|text| !text.is_empty()))
            };
            contexts.push(Context {
                name: item.name,
                user: text("user")?,
                cluster: text("cluster")?,
                namespace: text("namespace")?,
                at: item.entry.start(),
            });
        }
        Ok(contexts)
    }

    /// Every item of a list, in every document. As for kubectl, an item that is null or has no name is ignored.
    fn named<'n>(&'n self, list: &str, key: &str) -> Result<Vec<Named<'n, 't>>, Error> {
        let mut named = Vec::new();
        for document in self.tree.documents() {
            let Some(items) = self.top_level(document, list)? else {
                continue;
            };
            for entry in self.items(items, list)? {
                if self.tree.resolve(entry).is_null() {
                    continue;
                }
                let pairs = self.map(entry, &format!("a {key}"))?;
                let Some(name) = self.text_of(pairs, "name")? else {
                    continue;
                };
                let value = self.tree.pair(pairs, key)?.map(|pair| &pair.value);
                let value = value.filter(|value| !self.tree.resolve(value).is_null());
                let fields = match value {
                    Some(value) => self.map(value, key)?,
                    None => &[],
                };
                named.push(Named {
                    name,
                    entry,
                    value,
                    fields,
                });
            }
        }
        Ok(named)
    }

    fn top_level<'n>(
        &'n self,
        document: &'n Node<'t>,
        key: &str,
    ) -> Result<Option<&'n Node<'t>>, Error> {
        if document.is_null() {
            return Ok(None);
        }
        let pair = self.tree.pair(self.map(document, "a kubeconfig")?, key)?;
        Ok(pair
            .map(|pair| self.tree.resolve(&pair.value))
            .filter(|node| !node.is_null()))
    }

    fn user<'n>(
        &'n self,
        entry: &'n Node<'t>,
        list: &'n Node<'t>,
    ) -> Result<Option<User<'n, 't>>, Error> {
        if self.tree.resolve(entry).is_null() {
            return Ok(None);
        }
        let pairs = self.map(entry, "a user")?;
        let name = self.text_of(pairs, "name")?;
        let Some(name) = name.filter(|name| !name.is_empty()) else {
            return Ok(None);
        };
        let pair = self.tree.pair(pairs, "user")?;
        let value = match pair.filter(|pair| !self.tree.resolve(&pair.value).is_null()) {
            Some(pair) => &pair.value,
            None => entry,
        };
        self.map(value, "user")
            .map_err(|error| error.context(format!("user {name:?}")))?;
        Ok(Some(User {
            name,
            entry,
            value,
            list,
        }))
    }

    /// How a user authenticates. Keys from a merge key (`<<`) count too.
    pub fn credentials<'n>(&'n self, user: &User<'n, 't>) -> Result<Credentials<'n, 't>, Error> {
        let pairs = self.map(user.value, "user")?;
        let found = |key| -> Result<Option<&'n Pair<'t>>, Error> {
            let own = self.tree.pair(pairs, key)?;
            let pair = match own {
                Some(pair) => Some(pair),
                None => self.merged(pairs, key)?,
            };
            Ok(pair.filter(|pair| !self.tree.resolve(&pair.value).is_null()))
        };
        match (found("auth-provider")?, found("exec")?) {
            (Some(pair), None) => self.auth_provider(pair).map(Credentials::AuthProvider),
            (None, Some(pair)) => self.exec(pair).map(Credentials::Exec),
            (None, None) => Ok(Credentials::Others),
            (Some(provider), Some(exec)) => Ok(Credentials::Both(
                self.auth_provider(provider)?,
                self.exec(exec)?,
            )),
        }
    }

    /// The error for a user with both an auth provider and an exec plugin.
    pub fn error_at_both(&self, provider: &AuthProvider<'_, 't>) -> Error {
        let at = provider.pair.key.start();
        self.tree
            .error(at, "there are both an auth-provider and an exec")
            .remedy("Remove one of the two; kubectl cannot use the user either.")
    }

    /// The pair with this key in a map that a merge key (`<<`) refers to.
    fn merged<'n>(
        &'n self,
        pairs: &'n [Pair<'t>],
        key: &str,
    ) -> Result<Option<&'n Pair<'t>>, Error> {
        let Some(merge) = self.tree.pair(pairs, "<<")? else {
            return Ok(None);
        };
        let sources = match &self.tree.resolve(&merge.value).value {
            Value::List(_, items) => &items[..],
            _ => std::slice::from_ref(&merge.value),
        };
        let place = (sources.as_ptr().addr(), key.to_owned());
        let known = self.merged.borrow().get(&place).copied();
        let number = match known {
            Some(number) => number,
            None => {
                let number = self.first_with(sources, key)?;
                self.merged.borrow_mut().insert(place, number);
                number
            }
        };
        match number {
            Some(number) => self.pair_of(&sources[number], key),
            None => Ok(None),
        }
    }

    /// The number of the first of these maps that has the key.
    fn first_with(&self, sources: &[Node<'t>], key: &str) -> Result<Option<usize>, Error> {
        for (number, source) in sources.iter().enumerate() {
            self.tree.count(1);
            if self.pair_of(source, key)?.is_some() {
                return Ok(Some(number));
            }
        }
        Ok(None)
    }

    fn pair_of<'n>(
        &'n self,
        source: &'n Node<'t>,
        key: &str,
    ) -> Result<Option<&'n Pair<'t>>, Error> {
        match &self.tree.resolve(source).value {
            Value::Map(_, pairs) => self.tree.pair(pairs, key),
            _ => Ok(None),
        }
    }

    fn auth_provider<'n>(&'n self, pair: &'n Pair<'t>) -> Result<AuthProvider<'n, 't>, Error> {
        let pairs = self.map(&pair.value, "auth-provider")?;
        let name = self.text_of(pairs, "name")?.unwrap_or_default();
        let config = self.tree.pair(pairs, "config")?.map(|pair| &pair.value);
        let config = match config.filter(|node| !self.tree.resolve(node).is_null()) {
            Some(node) => self.map(node, "config")?,
            None => &[],
        };
        Ok(AuthProvider { name, config, pair })
    }

    fn exec<'n>(&'n self, pair: &'n Pair<'t>) -> Result<Exec<'n, 't>, Error> {
        let map = self.tree.resolve(&pair.value);
        let pairs = self.map(map, "exec")?;
        let hint = self.text_of(pairs, "installHint")?;
        Ok(Exec {
            command: self.text_of(pairs, "command")?.unwrap_or_default(),
            api_version: self.text_of(pairs, "apiVersion")?,
            has_install_hint: hint.is_some_and(|hint| !hint.is_empty()),
            map,
            pairs,
        })
    }

    /// The arguments of an exec plugin. An unquoted number is an error, as it is for kubectl.
    pub fn args<'n>(&'n self, exec: &Exec<'n, 't>) -> Result<Vec<&'n str>, Error> {
        let list = self
            .tree
            .pair(exec.pairs, "args")?
            .map(|pair| self.tree.resolve(&pair.value));
        let Some(list) = list.filter(|list| !list.is_null()) else {
            return Ok(Vec::new());
        };
        let text = |item: &'n Node<'t>| match &self.tree.resolve(item).value {
            Value::Scalar(scalar) if scalar.is_text() && !item.is_null() => Ok(&*scalar.text),
            Value::Scalar(scalar) => Err(self
                .tree
                .error(
                    item.start(),
                    format!("argument {} must be a quoted string", scalar.text),
                )
                .remedy("Put quotes around it; kubectl cannot read the file either.")),
            _ => Err(self.tree.error(
                item.start(),
                format!("an argument must be text, not {}", item.kind()),
            )),
        };
        let items = self.items(list, "args")?;
        self.tree.count(items.len());
        items.iter().map(text).collect()
    }

    /// Our own comment above the arguments.
    pub fn note(&self, exec: &Exec<'_, 't>) -> Option<&'t str> {
        let pair = self.tree.pair(exec.pairs, "args").ok()??;
        splice::note(&self.tree, pair)
    }

    /// The text of a key; `None` if it is missing or null. Numbers are returned as they are written.
    pub fn text_of<'n>(
        &'n self,
        pairs: &'n [Pair<'t>],
        key: &str,
    ) -> Result<Option<&'n str>, Error> {
        let Some(pair) = self.tree.pair(pairs, key)? else {
            return Ok(None);
        };
        let value = self.tree.resolve(&pair.value);
        match &value.value {
            _ if value.is_null() => Ok(None),
            Value::Scalar(scalar) => Ok(Some(&scalar.text)),
            _ => Err(self.tree.error(
                pair.value.start(),
                format!("{key} must be text, not {}", value.kind()),
            )),
        }
    }

    fn map<'n>(&'n self, node: &'n Node<'t>, what: &str) -> Result<&'n [Pair<'t>], Error> {
        let target = self.tree.resolve(node);
        match &target.value {
            Value::Map(_, pairs) => Ok(pairs),
            _ => Err(self.tree.error(
                node.start(),
                format!("{what} must be a map, not {}", target.kind()),
            )),
        }
    }

    fn items<'n>(&'n self, node: &'n Node<'t>, what: &str) -> Result<&'n [Node<'t>], Error> {
        let target = self.tree.resolve(node);
        match &target.value {
            Value::List(_, items) => Ok(items),
            _ => Err(self.tree.error(
                node.start(),
                format!("{what} must be a list, not {}", target.kind()),
            )),
        }
    }

    /// `FILE:LINE:COLUMN: what`, at a user.
    pub fn error_at_user(&self, user: &User<'_, 't>, what: impl std::fmt::Display) -> Error {
        self.tree
            .error(user.entry.start(), format!("user {:?}: {what}", user.name))
    }

    /// `FILE:LINE:COLUMN: what`, at a context.
    pub fn error_at_context(&self, context: &Context, what: impl std::fmt::Display) -> Error {
        self.tree
            .error(context.at, format!("context {:?} {what}", context.name))
    }

    pub fn tree(&self) -> &Tree<'t> {
        &self.tree
    }
}

impl<'t> Kubeconfig<'t> {
    /// How the file is indented, judged by its first user.
    fn indentation(&self, users: &[User<'_, 't>]) -> Indentation {
        let column = |at| tree::column(self.tree.text(), at);
        let mut indentation = Indentation { map: 2, list: 0 };
        let block = users
            .iter()
            .find(|user| is_block(user.value) && is_block(user.list));
        let Some(user) = block else {
            return indentation;
        };
        let document = self
            .tree
            .documents()
            .iter()
            .find(|document| document.range().contains(&user.list.start()));
        if let Some(Node {
            value: Value::Map(_, pairs),
            ..
        }) = document
            && let Ok(Some(users)) = self.tree.pair(pairs, "users")
        {
            indentation.list = column(user.list.start()).saturating_sub(column(users.key.start()));
        }
        if let Value::Map(_, pairs) = &user.entry.value
            && let Ok(Some(pair)) = self.tree.pair(pairs, "user")
            && let Value::Map(_, inner) = &user.value.value
            && let Some(first) = inner.first()
        {
            let step = column(first.key.start()).saturating_sub(column(pair.key.start()));
            indentation.map = if step == 0 { 2 } else { step };
        }
        indentation
    }
}

/// The versions of the exec protocol that are written.
pub const V1: &str = "client.authentication.k8s.io/v1";
pub const V1BETA1: &str = "client.authentication.k8s.io/v1beta1";

/// The version to write for a plugin that has this one: v1alpha1 is gone from kubectl.
pub fn exec_api_version(old: &str) -> &'static str {
    if old == V1 { V1 } else { V1BETA1 }
}

fn is_block(node: &Node) -> bool {
    matches!(
        node.value,
        Value::Map(Style::Block, _) | Value::List(Style::Block, _)
    )
}

#[cfg(test)]
mod tests;
