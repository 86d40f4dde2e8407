//! YAML (and so JSON) as a tree whose nodes know their bytes: what a lossless edit needs and no value tree has.

use std::borrow::Cow;
use std::collections::HashMap;
use std::ops::Range;

use granit_parser::{Event, Parser, ScalarStyle, ScanError, Span, StrInput, StructureStyle};

use crate::error::Error;

/// A parsed file.
pub struct Tree<'t> {
    /// The file's name in messages.
    file: &'t str,
    text: &'t str,
    documents: Vec<Node<'t>>,
    /// Where each anchor stands, by its number.
    anchors: HashMap<u32, u32>,
    /// Which anchor each alias means, and where the alias stands.
    aliases: Vec<(u32, u32)>,
}

/// A value with the bytes it is written in. Nodes are many: offsets are u32, files are smaller than 4 GiB.
pub struct Node<'t> {
    pub value: Value<'t>,
    /// With its anchor and tag, if it has some.
    start: u32,
    /// Of a block collection: where its last child ends. Comments after that belong to nobody.
    end: u32,
    /// The number of its anchor, or 0.
    anchor: u32,
}

pub enum Value<'t> {
    Scalar(Scalar<'t>),
    List(Style, Box<[Node<'t>]>),
    Map(Style, Box<[Pair<'t>]>),
    /// The number of the anchor it means.
    Alias(u32),
}

pub struct Scalar<'t> {
    pub text: Cow<'t, str>,
    /// Written without quotes, block indicator or tag: it may mean null, a boolean or a number.
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

    /// What it is, for a message.
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
    /// False where kubectl reads a boolean or a number, and then refuses the file.
    pub fn is_text(&self) -> bool {
        !self.is_plain || !is_bool_or_number(&self.text)
    }
}

/// Whether an unquoted `text` is a boolean or a number to YAML 1.1, which kubectl reads.
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
        let tree = Self {
            file,
            text,
            documents: Vec::new(),
            anchors: HashMap::new(),
            aliases: Vec::new(),
        };
        Builder {
            tree,
            open: Vec::new(),
        }
        .build()
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

    /// Where an anchor stands.
    pub fn anchor_place(&self, anchor: u32) -> Option<usize> {
        self.anchors.get(&anchor).map(|at| *at as usize)
    }

    /// Each alias: the anchor it means and where it stands.
    pub fn aliases(&self) -> impl Iterator<Item = (u32, usize)> {
        self.aliases
            .iter()
            .map(|(anchor, at)| (*anchor, *at as usize))
    }

    /// The node that an alias means; any other node is itself.
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

    /// The node with this anchor, by descending to where the anchor stands.
    fn anchored(&self, anchor: u32, at: u32) -> Option<&Node<'t>> {
        let holds = |node: &Node| node.start <= at && at < node.end;
        let mut node = self.documents.iter().find(|node| holds(node))?;
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

    /// The pair with this key. Two of them are an error: programs differ in which one counts.
    pub fn pair<'n>(
        &self,
        pairs: &'n [Pair<'t>],
        key: &str,
    ) -> Result<Option<&'n Pair<'t>>, Error> {
        let is_it =
            |pair: &&Pair| matches!(&pair.key.value, Value::Scalar(scalar) if scalar.text == key);
        let mut found = pairs.iter().filter(is_it);
        let first = found.next();
        match found.next() {
            Some(second) => Err(self
                .error(
                    second.key.start(),
                    format!("the key {key:?} is there twice"),
                )
                .remedy("Remove one of the two, then convert again.")),
            None => Ok(first),
        }
    }

    /// An error at a place of this file: `FILE:LINE:COLUMN: what`.
    pub fn error(&self, at: usize, what: impl std::fmt::Display) -> Error {
        let (line, column) = line_and_column(self.text, at);
        Error::input(format!("{}:{line}:{column}: {what}", self.file))
    }
}

/// Line and column of a byte, both counted from 1, the column in characters.
pub fn line_and_column(text: &str, at: usize) -> (usize, usize) {
    let bytes = text.as_bytes();
    let ends_line = |(index, byte): &(usize, &u8)| match byte {
        b'\n' => true,
        b'\r' => bytes.get(index + 1) != Some(&b'\n'),
        _ => false,
    };
    let lines = bytes[..at].iter().enumerate().filter(ends_line).count();
    (lines + 1, column(text, at) + 1)
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

/// Where the dash before a list's item stands, which begins at `at`; there may be comments between.
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

/// Folds the parser's events into a tree.
struct Builder<'t> {
    tree: Tree<'t>,
    /// The collections that have begun and not ended.
    open: Vec<Open<'t>>,
}

struct Open<'t> {
    start: u32,
    anchor: u32,
    style: Style,
    /// The children of a list, or keys and values in turn.
    children: Vec<Node<'t>>,
    is_map: bool,
}

impl<'t> Builder<'t> {
    fn build(mut self) -> Result<Tree<'t>, Error> {
        let options = granit_parser::options! { emit_anchor_events: true };
        let mut parser = Parser::new_from_str_with_options(self.tree.text, options);
        while let Some(event) = parser.next_event() {
            let (event, span) = event.map_err(|error| self.syntax_error(&error))?;
            self.take(event, span, &mut parser);
        }
        Ok(self.tree)
    }

    fn take(&mut self, event: Event<'t>, span: Span, parser: &mut Parser<'t, StrInput<'t>>) {
        let mut range = offset(span.byte_range());
        if let Some(tag) = span.tag_span() {
            range.start = range.start.min(offset(tag.byte_range()).start);
        }
        // The anchor's event follows the node's, its bytes come before.
        let anchor = event
            .anchor_id()
            .and_then(|id| u32::try_from(id).ok())
            .unwrap_or(0);
        if anchor != 0
            && let Some(Ok((Event::Anchor(..), span))) = parser.peek()
        {
            let name = offset(span.byte_range());
            self.tree.anchors.insert(anchor, name.start);
            range = range.start.min(name.start)..range.end.max(name.end);
        }
        match event {
            Event::MappingStart(style, ..) => self.open(range.start, anchor, style, true),
            Event::SequenceStart(style, ..) => self.open(range.start, anchor, style, false),
            Event::MappingEnd | Event::SequenceEnd => self.close(range.end),
            Event::Scalar(text, style, _, tag) => {
                let scalar = Scalar {
                    text,
                    is_plain: style == ScalarStyle::Plain && tag.is_none(),
                };
                self.scalar(scalar, style, range, anchor);
            }
            Event::Alias(id) => {
                let target = u32::try_from(id).unwrap_or(0);
                self.tree.aliases.push((target, range.start));
                self.add(Node {
                    value: Value::Alias(target),
                    start: range.start,
                    end: range.end,
                    anchor: 0,
                });
            }
            _ => {}
        }
    }

    fn open(&mut self, start: u32, anchor: u32, style: StructureStyle, is_map: bool) {
        let style = match style {
            StructureStyle::Block => Style::Block,
            StructureStyle::Flow => Style::Flow,
        };
        self.open.push(Open {
            start,
            anchor,
            style,
            children: Vec::new(),
            is_map,
        });
    }

    fn close(&mut self, end: u32) {
        let Some(open) = self.open.pop() else {
            return;
        };
        let end = match (open.style, open.children.last()) {
            (Style::Block, Some(last)) => last.end,
            _ => end,
        };
        let mut start = open.start;
        if let (Style::Block, false, Some(first)) = (open.style, open.is_map, open.children.first())
        {
            // The parser says of a list that is not indented where its first item begins.
            start = start.min(offset_of(dash_before(self.tree.text, first.start())));
        }
        let value = if open.is_map {
            Value::Map(open.style, pairs(open.children))
        } else {
            Value::List(open.style, open.children.into())
        };
        self.add(Node {
            value,
            start,
            end,
            anchor: open.anchor,
        });
    }

    fn scalar(
        &mut self,
        scalar: Scalar<'t>,
        style: ScalarStyle,
        mut range: Range<u32>,
        anchor: u32,
    ) {
        let text = self.tree.text;
        match style {
            // The parser leaves the indicator out, and counts blank lines and the next line's indentation in.
            ScalarStyle::Literal | ScalarStyle::Folded => {
                range.start = range.start.min(self.block_indicator_before(range.start));
                let written = &text[range.start as usize..range.end as usize];
                range.end = range.start + offset_of(written.trim_end().len());
            }
            // A value that is not there is placed behind its key: it belongs behind the colon.
            _ if range.is_empty() && self.awaits_value() => {
                let rest = &text[range.start as usize..];
                let blank = rest.len() - rest.trim_start().len();
                if rest[blank..].starts_with(':') {
                    range = range.start + offset_of(blank + 1)..range.start + offset_of(blank + 1);
                }
            }
            _ => {}
        }
        self.add(Node {
            value: Value::Scalar(scalar),
            start: range.start,
            end: range.end,
            anchor,
        });
    }

    /// Where the `|` or `>` of a block scalar stands, whose text begins at `at`.
    fn block_indicator_before(&self, at: u32) -> u32 {
        let before = self.open.last().map_or(0, |open| {
            open.children.last().map_or(open.start, |last| last.end)
        });
        let before = before.min(at) as usize;
        let between = &self.tree.text[before..at as usize];
        // The indicator ends the last line before the text that is not blank, but for a comment.
        let header = between.trim_end();
        let line = header.rfind(['\n', '\r']).map_or(0, |newline| newline + 1);
        let is_indicator = |index: usize| {
            let rest = header[index + 1..]
                .trim_start_matches(|c: char| c.is_ascii_digit() || "+-".contains(c));
            header[..index].ends_with([' ', '\t', '\n', '\r', ':', '-'])
                && (rest.is_empty() || rest.starts_with([' ', '\t']))
        };
        let mut candidates = header[line..]
            .match_indices(['|', '>'])
            .map(|(index, _)| line + index);
        candidates
            .find(|index| is_indicator(*index))
            .map_or(at, |index| offset_of(before + index))
    }

    /// True if the next node is the value of a key.
    fn awaits_value(&self) -> bool {
        self.open
            .last()
            .is_some_and(|open| open.is_map && open.children.len() % 2 == 1)
    }

    fn add(&mut self, node: Node<'t>) {
        match self.open.last_mut() {
            Some(open) => open.children.push(node),
            None => self.tree.documents.push(node),
        }
    }

    fn syntax_error(&self, error: &ScanError) -> Error {
        let at = error.marker().byte_offset().unwrap_or(0);
        self.tree
            .error(at, format!("is not YAML or JSON: {}", error.info()))
            .remedy("Correct that line; kubectl cannot read the file either.")
    }
}

fn pairs(children: Vec<Node<'_>>) -> Box<[Pair<'_>]> {
    let mut pairs = Vec::with_capacity(children.len() / 2);
    let mut children = children.into_iter();
    while let (Some(key), Some(value)) = (children.next(), children.next()) {
        pairs.push(Pair { key, value });
    }
    pairs.into()
}

fn offset(range: Option<Range<usize>>) -> Range<u32> {
    let range = range.unwrap_or_default();
    offset_of(range.start)..offset_of(range.end)
}

fn offset_of(bytes: usize) -> u32 {
    u32::try_from(bytes).unwrap_or(u32::MAX)
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
    fn an_alias_is_resolved_wherever_its_anchor_stands() {
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

    #[test]
    fn columns_are_counted_in_characters_without_the_byte_order_mark() {
        assert_eq!(line_and_column("\u{feff}é: b", "\u{feff}é: ".len()), (1, 4));
        assert_eq!(line_and_column("a\r\nbc", 4), (2, 2));
        assert_eq!(line_and_column("a\rb\rc", 4), (3, 1));
    }
}
