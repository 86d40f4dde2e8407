//! Folds the YAML parser's events into a tree, and corrects the bytes that the parser assigns to them.

use std::collections::HashMap;
use std::ops::Range;

use granit_parser::{Event, Parser, ScalarStyle, ScanError, Span, StrInput, StructureStyle};

use super::{Node, Pair, Scalar, Style, Tree, Value, dash_before};
use crate::error::Error;

/// Fills an empty tree from its text.
pub fn build(tree: Tree<'_>) -> Result<Tree<'_>, Error> {
    let builder = Builder {
        tree,
        open: Vec::new(),
        weights: HashMap::new(),
        repeated: 0,
    };
    builder.build()
}

/// How much aliases may repeat, by weight: a thousand users may share 400 values. kubectl's own limit is similar.
const MOST_REPEATED: u32 = 400_000;

/// This many bytes of a scalar weigh as much as one value.
const BYTES_OF_WEIGHT: usize = 16;

struct Builder<'t> {
    tree: Tree<'t>,
    /// The collections that have begun but not ended.
    open: Vec<Open<'t>>,
    /// How much is written at each anchor, with what aliases in it repeat. An anchor that has not ended has no weight.
    weights: HashMap<u32, u32>,
    /// The weight of what all aliases so far refer to.
    repeated: u32,
}

struct Open<'t> {
    start: u32,
    anchor: u32,
    style: Style,
    /// The children of a list, or keys and values in turn.
    children: Vec<Node<'t>>,
    is_map: bool,
    weight: u32,
}

impl<'t> Builder<'t> {
    fn build(mut self) -> Result<Tree<'t>, Error> {
        let options = granit_parser::options! { emit_anchor_events: true };
        let mut parser = Parser::new_from_str_with_options(self.tree.text, options);
        while let Some(event) = parser.next_event() {
            let (event, span) = event.map_err(|error| self.syntax_error(&error))?;
            self.take(event, span, &mut parser);
            self.check_repeated()?;
        }
        Ok(self.tree)
    }

    fn take(&mut self, event: Event<'t>, span: Span, parser: &mut Parser<'t, StrInput<'t>>) {
        let mut range = offset(span.byte_range());
        if let Some(tag) = span.tag_span() {
            range.start = range.start.min(offset(tag.byte_range()).start);
        }
        // The anchor's event comes after the node's, its bytes come before.
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
                let weight = self.weights.get(&target).copied().unwrap_or_default();
                self.repeated = self.repeated.saturating_add(weight);
                let node = Node {
                    value: Value::Alias(target),
                    start: range.start,
                    end: range.end,
                    anchor: 0,
                };
                self.add(node, weight);
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
            weight: 0,
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
            // For a list that is not indented, the parser reports where the first item begins.
            start = start.min(offset_of(dash_before(self.tree.text, first.start())));
        }
        let value = if open.is_map {
            Value::Map(open.style, pairs(open.children))
        } else {
            Value::List(open.style, open.children.into())
        };
        let node = Node {
            value,
            start,
            end,
            anchor: open.anchor,
        };
        self.add(node, open.weight);
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
            // The parser leaves out the indicator, and includes blank lines and the next line's indentation.
            ScalarStyle::Literal | ScalarStyle::Folded => {
                range.start = range.start.min(self.block_indicator_before(range.start));
                let written = &text[range.start as usize..range.end as usize];
                range.end = range.start + offset_of(written.trim_end().len());
            }
            // The parser places a missing value after its key; it belongs after the colon.
            _ if range.is_empty() && self.awaits_value() => {
                let rest = &text[range.start as usize..];
                let blank = rest.len() - rest.trim_start().len();
                if rest[blank..].starts_with(':') {
                    range = range.start + offset_of(blank + 1)..range.start + offset_of(blank + 1);
                }
            }
            _ => {}
        }
        let weight = scalar.text.len() / BYTES_OF_WEIGHT;
        let node = Node {
            value: Value::Scalar(scalar),
            start: range.start,
            end: range.end,
            anchor,
        };
        self.add(node, u32::try_from(weight).unwrap_or(u32::MAX));
    }

    /// Where the `|` or `>` of the block scalar is whose text begins at `at`.
    fn block_indicator_before(&self, at: u32) -> u32 {
        let before = self.open.last().map_or(0, |open| {
            open.children.last().map_or(open.start, |last| last.end)
        });
        let before = before.min(at) as usize;
        let between = &self.tree.text[before..at as usize];
        // The indicator ends the last non-blank line before the text, except for a comment.
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

    /// Adds a node whose content has this weight.
    fn add(&mut self, node: Node<'t>, weight: u32) {
        let weight = weight.saturating_add(1);
        if node.anchor != 0 {
            self.weights.insert(node.anchor, weight);
        }
        match self.open.last_mut() {
            Some(open) => {
                open.weight = open.weight.saturating_add(weight);
                open.children.push(node);
            }
            None => self.tree.documents.push(node),
        }
    }

    /// A few bytes of aliases can stand for any number of values, each of which would be visited.
    fn check_repeated(&self) -> Result<(), Error> {
        match self.tree.aliases.last() {
            Some((_, at)) if self.repeated > MOST_REPEATED => Err(self
                .tree
                .error(*at as usize, "aliases repeat too much of the file")
                .remedy("Write out what they stand for, or split the file.")),
            _ => Ok(()),
        }
    }

    fn syntax_error(&self, error: &ScanError) -> Error {
        let at = error.marker().byte_offset().unwrap_or(0);
        self.tree
            .error(at, format!("not valid YAML or JSON: {}", error.info()))
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
