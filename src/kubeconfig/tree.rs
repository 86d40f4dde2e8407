//! YAML (and so JSON) as a tree whose nodes know their bytes, which lossless edits need.

mod builder;
mod places;

use std::borrow::Cow;
use std::cell::{Cell, OnceCell, RefCell};
use std::collections::HashMap;
use std::ops::Range;

use crate::error::Error;
use places::Places;
pub use places::line_and_column;

/// A parsed file.
pub struct Tree<'t> {
    /// The file's name in messages.
    file: &'t str,
    text: &'t str,
    documents: Vec<Node<'t>>,
    /// Where each anchor is, by its number.
    anchors: HashMap<u32, u32>,
    /// Which anchor each alias refers to, and where the alias is.
    aliases: Vec<(u32, u32)>,
    /// An index of the keys of large maps, by the map's address: many aliases can refer to one map, and each search of
    /// it is linear.
    indexes: RefCell<HashMap<usize, Index>>,
    /// How many keys were compared so far.
    steps: Cell<usize>,
    /// Created with the first error: each of 10,000 users may have one.
    places: OnceCell<Places>,
}

/// The number of the first and, if there is one, the second pair with each key.
type Index = HashMap<Box<str>, (usize, Option<usize>)>;

/// A value and the bytes it is written in. Offsets are u32 because there are many nodes; files are smaller than 4 GiB.
pub struct Node<'t> {
    pub value: Value<'t>,
    /// Includes its anchor and tag.
    start: u32,
    /// For a block collection, where its last child ends: comments after that are not part of it.
    end: u32,
    /// The number of its anchor, or 0.
    anchor: u32,
}

pub enum Value<'t> {
    Scalar(Scalar<'t>),
    List(Style, Box<[Node<'t>]>),
    Map(Style, Box<[Pair<'t>]>),
    /// The number of the anchor it refers to.
    Alias(u32),
}

pub struct Scalar<'t> {
    pub text: Cow<'t, str>,
    /// Written without quotes, block indicator or tag: it may be null, a boolean or a number.
    is_plain: bool,
}

pub struct Pair<'t> {
    pub key: Node<'t>,
    pub value: Node<'t>,
}

/// How a collection is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    /// By indentation.
    Block,
    /// In brackets, as JSON is.
    Flow,
}

impl Node<'_> {
    pub fn range(&self) -> Range<usize> {
        self.start as usize..self.end as usize
    }

    pub fn start(&self) -> usize {
        self.start as usize
    }

    pub fn end(&self) -> usize {
        self.end as usize
    }

    pub fn anchor(&self) -> u32 {
        self.anchor
    }

    pub fn is_null(&self) -> bool {
        match &self.value {
            Value::Scalar(scalar) => {
                scalar.is_plain && matches!(&*scalar.text, "" | "~" | "null" | "Null" | "NULL")
            }
            _ => false,
        }
    }

    /// What it is, for messages.
    pub fn kind(&self) -> &'static str {
        match &self.value {
            _ if self.is_null() => "null",
            Value::Scalar(_) => "a single value",
            Value::List(..) => "a list",
            Value::Map(..) => "a map",
            Value::Alias(_) => "an alias",
        }
    }
}

impl Scalar<'_> {
    /// False for what kubectl reads as a boolean or a number, and then rejects.
    pub fn is_text(&self) -> bool {
        !self.is_plain || !is_bool_or_number(&self.text)
    }
}

/// True if an unquoted `text` is a boolean or a number in YAML 1.1, which is what kubectl reads.
pub fn is_bool_or_number(text: &str) -> bool {
    const BOOLS: &[&str] = &["y", "n", "yes", "no", "on", "off", "true", "false"];
    let lower = text.to_ascii_lowercase();
    if BOOLS.contains(&lower.as_str()) {
        return true;
    }
    let digits = lower
        .strip_prefix(['-', '+'])
        .unwrap_or(&lower)
        .replace('_', "");
    let in_base = |prefix, base| {
        let rest = digits.strip_prefix(prefix);
        rest.is_some_and(|rest: &str| u128::from_str_radix(rest, base).is_ok())
    };
    matches!(digits.as_str(), ".inf" | ".nan")
        || in_base("0x", 16)
        || in_base("0o", 8)
        || in_base("0b", 2)
        || digits.starts_with(|c: char| c.is_ascii_digit() || c == '.')
            && digits.parse::<f64>().is_ok()
}

impl<'t> Tree<'t> {
    /// Parses all documents of `text`. Nesting is bounded (255 levels) and aliases are never expanded.
    pub fn parse(file: &'t str, text: &'t str) -> Result<Self, Error> {
        builder::build(Self {
            file,
            text,
            documents: Vec::new(),
            anchors: HashMap::new(),
            aliases: Vec::new(),
            indexes: RefCell::default(),
            steps: Cell::default(),
            places: OnceCell::new(),
        })
    }

    pub fn text(&self) -> &'t str {
        self.text
    }

    pub fn documents(&self) -> &[Node<'t>] {
        &self.documents
    }

    pub fn anchors(&self) -> impl Iterator<Item = (u32, usize)> {
        self.anchors
            .iter()
            .map(|(anchor, at)| (*anchor, *at as usize))
    }

    /// Where an anchor is.
    pub fn anchor_place(&self, anchor: u32) -> Option<usize> {
        self.anchors.get(&anchor).map(|at| *at as usize)
    }

    /// Each alias: the anchor it refers to and where it is.
    pub fn aliases(&self) -> impl Iterator<Item = (u32, usize)> {
        self.aliases
            .iter()
            .map(|(anchor, at)| (*anchor, *at as usize))
    }

    /// The same for the aliases in these bytes.
    pub fn aliases_within(&self, range: Range<usize>) -> impl Iterator<Item = (u32, usize)> {
        let place = |bound: usize| {
            self.aliases
                .partition_point(|(_, at)| (*at as usize) < bound)
        };
        let found = &self.aliases[place(range.start)..place(range.end)];
        found.iter().map(|(anchor, at)| (*anchor, *at as usize))
    }

    /// The node that an alias refers to; any other node itself.
    pub fn resolve<'n>(&'n self, node: &'n Node<'t>) -> &'n Node<'t> {
        let Value::Alias(anchor) = node.value else {
            return node;
        };
        let target = self
            .anchors
            .get(&anchor)
            .and_then(|at| self.anchored(anchor, *at));
        target.unwrap_or(node)
    }

    /// The node with this anchor, found by descending to its place.
    fn anchored(&self, anchor: u32, at: u32) -> Option<&Node<'t>> {
        let holds = |node: &Node| node.start <= at && at < node.end;
        let after = self.documents.partition_point(|node| node.start <= at);
        let mut node = self.documents[..after].last().filter(|node| holds(node))?;
        while node.anchor != anchor {
            node = match &node.value {
                Value::List(_, items) => {
                    let after = items.partition_point(|item| item.start <= at);
                    items[..after].last()?
                }
                Value::Map(_, pairs) => {
                    let after = pairs.partition_point(|pair| pair.key.start <= at);
                    let pair = pairs[..after].last()?;
                    if holds(&pair.key) {
                        &pair.key
                    } else {
                        &pair.value
                    }
                }
                Value::Scalar(_) | Value::Alias(_) => return None,
            };
        }
        Some(node)
    }

    /// The pair with this key. A duplicate is an error, because programs differ in which one they use.
    pub fn pair<'n>(
        &self,
        pairs: &'n [Pair<'t>],
        key: &str,
    ) -> Result<Option<&'n Pair<'t>>, Error> {
        let found = match pairs.len() {
            0..=FEW => self.scan(pairs, key),
            _ => self.look_up(pairs, key),
        };
        match found {
            Some((_, Some(second))) => Err(self
                .error(pairs[second].key.start(), format!("duplicate key {key:?}"))
                .remedy("Remove one of the two, then try again.")),
            Some((first, None)) => Ok(Some(&pairs[first])),
            None => Ok(None),
        }
    }

    fn scan(&self, pairs: &[Pair], key: &str) -> Option<(usize, Option<usize>)> {
        self.count(pairs.len());
        let mut found = pairs
            .iter()
            .enumerate()
            .filter(|(_, pair)| text_of(&pair.key) == Some(key));
        let (first, _) = found.next()?;
        Some((first, found.next().map(|(second, _)| second)))
    }

    fn look_up(&self, pairs: &[Pair], key: &str) -> Option<(usize, Option<usize>)> {
        self.count(1);
        let mut indexes = self.indexes.borrow_mut();
        let index = indexes.entry(pairs.as_ptr().addr()).or_insert_with(|| {
            self.count(pairs.len());
            let mut index = Index::new();
            for (number, pair) in pairs.iter().enumerate() {
                let Some(key) = text_of(&pair.key) else {
                    continue;
                };
                match index.get_mut(key) {
                    Some((_, second)) => *second = second.or(Some(number)),
                    None => drop(index.insert(key.into(), (number, None))),
                }
            }
            index
        });
        index.get(key).copied()
    }

    /// Counts steps.
    pub fn count(&self, steps: usize) {
        self.steps.set(self.steps.get() + steps);
    }

    /// How many steps so far: a test checks that they grow linearly with the file.
    #[cfg(test)]
    pub fn steps(&self) -> usize {
        self.steps.get()
    }

    /// The line that a byte is in, counted from 1.
    pub fn line(&self, at: usize) -> usize {
        self.line_and_column(at).0
    }

    fn line_and_column(&self, at: usize) -> (usize, usize) {
        let places = self.places.get_or_init(|| {
            self.count(self.text.len());
            Places::of(self.text)
        });
        self.count(at - places.before(at).at);
        places.line_and_column(self.text, at)
    }

    /// An error at a place in this file: `FILE:LINE:COLUMN: what`.
    pub fn error(&self, at: usize, what: impl std::fmt::Display) -> Error {
        let (line, column) = self.line_and_column(at);
        Error::input(format!("{}:{line}:{column}: {what}", self.file))
    }
}

/// Maps with so many keys are searched faster than they are indexed.
const FEW: usize = 16;

fn text_of<'n>(key: &'n Node) -> Option<&'n str> {
    match &key.value {
        Value::Scalar(scalar) => Some(&scalar.text),
        _ => None,
    }
}

/// Columns before a byte in its line, in characters.
pub fn column(text: &str, at: usize) -> usize {
    let before = &text[..at];
    let line_start = before.rfind(['\n', '\r']).map_or(0, |newline| newline + 1);
    before[line_start..]
        .trim_start_matches('\u{feff}')
        .chars()
        .count()
}

/// Where the dash of the list item is that begins at `at`; there may be comments between the two.
pub fn dash_before(text: &str, at: usize) -> usize {
    let mut before = text[..at].trim_end();
    while !before.ends_with('-') {
        let line = before.rfind(['\n', '\r']).map_or(0, |newline| newline + 1);
        let Some(comment) = before[line..].find('#') else {
            return at;
        };
        before = before[..line + comment].trim_end();
    }
    before.len() - 1
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The source of each value of the first map, by its key.
    fn written(text: &str) -> Vec<(String, String)> {
        let tree = Tree::parse("config", text).expect("YAML");
        let Value::Map(_, pairs) = &tree.documents()[0].value else {
            panic!("no map");
        };
        let source = |node: &Node| text[node.range()].to_owned();
        pairs
            .iter()
            .map(|pair| (source(&pair.key), source(&pair.value)))
            .collect()
    }

    #[test]
    fn a_value_ends_where_its_text_ends() {
        for (text, value) in [
            ("a: b # c\n", "b"),
            ("a:\n  b: c\n\n# d\n", "b: c"),
            ("a:\n- b\n- c: d\n# e\n", "- b\n- c: d"),
            ("a:\n  - b\n\nz: y\n", "- b"),
            (
                "a:\n- # x-y\n  # z - #\n\n  b\n",
                "- # x-y\n  # z - #\n\n  b",
            ),
            ("a: |\n  b\n  c\n\n# d\nz: y\n", "|\n  b\n  c"),
            ("a: >-\n  b\n\n\n", ">-\n  b"),
            ("a: |2- # x | y\n\n    b\nz: y\n", "|2- # x | y\n\n    b"),
            ("a: !!str &x |\n  b\n", "!!str &x |\n  b"),
            ("a: |\nz: y\n", "|"),
            ("a: &x !!map\n  b: c\n", "&x !!map\n  b: c"),
            ("a: {b: [c]} # d\n", "{b: [c]}"),
            ("a: 'b\n  c'\n", "'b\n  c'"),
            ("a:\nb: c\n", ""),
            ("a: &x\nb: c\n", "&x"),
            ("a: *x\n", "*x"),
            ("? a\n: - b\n  - c\n", "- b\n  - c"),
        ] {
            let text = if value.starts_with('*') {
                format!("x: &x y\n{text}")
            } else {
                text.to_owned()
            };
            let found = written(&text)
                .into_iter()
                .find(|(key, _)| key == "a")
                .expect("the key");
            assert_eq!(found.1, value, "{text}");
        }
    }

    #[test]
    fn an_alias_is_resolved_wherever_its_anchor_is() {
        let text = "a: [{b: &x {c: d}}, &y e]\nf: *x\ng: *y\nh: &z\ni: *z\n";
        let tree = Tree::parse("config", text).expect("YAML");
        let Value::Map(_, pairs) = &tree.documents()[0].value else {
            panic!("no map");
        };
        let resolved = |number: usize| &text[tree.resolve(&pairs[number].value).range()];
        assert_eq!(
            (resolved(1), resolved(2), resolved(4)),
            ("&x {c: d}", "&y e", "&z")
        );
    }
}
