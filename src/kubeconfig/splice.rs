//! Replaces values in a parsed file and keeps every other byte.

use std::ops::Range;

use super::tree::{Node, Pair, Style, Tree, Value};
use super::write::{BlockStyle, FlowStyle, Indentation, NOTE, New, Pretty, quoted, single};
use crate::error::Error;

/// One replacement: the new text for these bytes.
#[derive(Debug)]
pub struct Cut {
    pub range: Range<usize>,
    pub text: String,
}

/// Collects replacements.
pub struct Splice<'a, 't> {
    tree: &'a Tree<'t>,
    indentation: Indentation,
    cuts: Vec<Cut>,
}

impl<'a, 't> Splice<'a, 't> {
    pub fn new(tree: &'a Tree<'t>, indentation: Indentation) -> Self {
        Self {
            tree,
            indentation,
            cuts: Vec::new(),
        }
    }

    /// Sets a key of a map; a new key goes to its place in alphabetical order, as with kubectl.
    pub fn set(&mut self, map: &Node<'t>, key: &str, new: &New) -> Result<(), Error> {
        let Value::Map(style, pairs) = &map.value else {
            return Err(self
                .tree
                .error(map.start(), format!("expected a map, found {}", map.kind())));
        };
        match self.tree.pair(pairs, key)? {
            Some(pair) => self.replace(*style, pair, new),
            None => {
                let place = pairs
                    .iter()
                    .find(|pair| is_after(pair, key))
                    .or(pairs.last());
                let place =
                    place.ok_or_else(|| self.tree.error(map.start(), "the map is empty"))?;
                self.insert(*style, place, key, new)?;
            }
        }
        Ok(())
    }

    /// Replaces the key and the value of a pair.
    pub fn replace_pair(&mut self, map: &Node<'t>, pair: &Pair<'t>, key: &str, new: &New) {
        let style = match &map.value {
            Value::Map(style, _) => *style,
            _ => Style::Block,
        };
        let key = if style == Style::Flow {
            quoted(key)
        } else {
            key.to_owned()
        };
        self.cut(pair.key.range(), key);
        self.replace(style, pair, new);
    }

    fn replace(&mut self, style: Style, pair: &Pair<'t>, new: &New) {
        let (key, value) = (&pair.key, &pair.value);
        if style == Style::Flow {
            let text = self.flow_style(key.start(), self.between(pair)).text(new);
            let gap = if self.text()[..value.start()].ends_with(':') && value.range().is_empty() {
                " "
            } else {
                ""
            };
            return self.cut(value.range(), format!("{gap}{text}"));
        }
        if let Some(text) = single(new) {
            let gap = if value.range().is_empty() { " " } else { "" };
            return self.cut(value.range(), format!("{gap}{text}"));
        }
        let is_block = matches!(
            &value.value,
            Value::Map(Style::Block, _) | Value::List(Style::Block, _)
        );
        if is_block && self.lead(value.start()).is_some() {
            // In place, so that the file's own indentation and any comment above stay.
            if let Some(line) = self.note_line(pair) {
                self.cut(line, String::new());
            }
            let text = self
                .block_style(value.start())
                .text(new, self.column(value.start()));
            return self.cut(value.range(), text);
        }
        let colon = self.text()[key.end()..]
            .find(':')
            .map_or(key.end(), |at| key.end() + at + 1);
        let step = if matches!(new, New::List { .. }) {
            self.indentation.list
        } else {
            self.indentation.map
        };
        let column = self.column(key.start()) + step;
        let block = self.block_style(key.start());
        let text = format!(
            "{}{}{}",
            block.eol,
            " ".repeat(column),
            block.text(new, column)
        );
        self.cut(colon..value.end().max(colon), text);
    }

    /// Inserts a pair before another one.
    fn insert(
        &mut self,
        style: Style,
        place: &Pair<'t>,
        key: &str,
        new: &New,
    ) -> Result<(), Error> {
        let at = place.key.start();
        let text = if style == Style::Flow {
            let flow = self.flow_style(at, self.between(place));
            format!(
                "{}:{}{}{}",
                quoted(key),
                flow.gap,
                flow.text(new),
                flow.separator()
            )
        } else if self.text()[..at]
            .trim_end_matches([' ', '\t'])
            .ends_with('?')
        {
            return Err(self
                .tree
                .error(at, "a key with a question mark is not supported")
                .remedy("Write it as KEY: VALUE, then convert again."));
        } else {
            let block = self.block_style(at);
            let column = self.column(at);
            let mut text = String::new();
            block.pair(key, new, column, &mut text);
            block.new_line(column, &mut text);
            text
        };
        self.cut(at..at, text);
        Ok(())
    }

    /// Inserts an item before the first one of a list.
    pub fn prepend(&mut self, list: &Node<'t>, first: &Node<'t>, new: &New) {
        if matches!(list.value, Value::List(Style::Flow, _)) {
            let flow = self.flow_style(first.start(), " ");
            let text = format!("{}{}", flow.text(new), flow.separator());
            return self.cut(first.start()..first.start(), text);
        }
        let dash = super::tree::dash_before(self.text(), first.start());
        let column = self.column(dash);
        let block = self.block_style(dash);
        let mut text = format!("- {}", block.text(new, column + 2));
        block.new_line(column, &mut text);
        self.cut(dash..dash, text);
    }

    /// Appends items to the list that is a key's value; creates the list if there is none.
    pub fn append(&mut self, map: &Node<'t>, key: &str, items: Vec<New>) -> Result<(), Error> {
        let Value::Map(_, pairs) = &map.value else {
            return Err(self.tree.error(map.start(), "expected a map"));
        };
        let pair = self.tree.pair(pairs, key)?;
        let new = |items| New::List { note: None, items };
        let Some(pair) = pair.filter(|pair| !pair.value.is_null()) else {
            return self.set(map, key, &new(items));
        };
        match &pair.value.value {
            Value::List(style, old) => match old.last() {
                Some(last) => self.append_behind(*style, pair, last, &items),
                None => return self.set(map, key, &new(items)),
            },
            _ => {
                let what = format!("{key} is {}: nothing can be added to it", pair.value.kind());
                let error = self.tree.error(pair.value.start(), what);
                return Err(error.remedy(format!("Make {key} a list of its own.")));
            }
        }
        Ok(())
    }

    fn append_behind(&mut self, style: Style, pair: &Pair<'t>, last: &Node<'t>, items: &[New]) {
        let mut text = String::new();
        if style == Style::Flow {
            let flow = self.flow_style(last.start(), self.between(pair));
            for item in items {
                text.push_str(&flow.separator());
                text.push_str(&flow.text(item));
            }
            return self.cut(last.end()..last.end(), text);
        }
        let dash = super::tree::dash_before(self.text(), last.start());
        let (column, block) = (self.column(dash), self.block_style(dash));
        for item in items {
            block.new_line(column, &mut text);
            text.push_str("- ");
            text.push_str(&block.text(item, column + 2));
        }
        // After a comment in the last line.
        let rest = &self.text()[pair.value.end()..];
        let end = pair.value.end() + rest.find(['\n', '\r']).unwrap_or(rest.len());
        self.cut(end..end, text);
    }

    /// Replaces an empty document, or appends a document after the comments of a file that has none.
    pub fn put_document(&mut self, old: Option<&Node<'t>>, new: &New) {
        let text = self.text();
        let block = self.block_style(0);
        let written = block.text(new, 0);
        match old.map(Node::range).filter(|range| !range.is_empty()) {
            Some(range) => self.cut(range, written),
            None => {
                let is_complete = text.is_empty() || text.ends_with(['\n', '\r', '\u{feff}']);
                let start = if is_complete { "" } else { block.eol };
                let written = format!("{start}{written}{}", block.eol);
                self.cut(text.len()..text.len(), written);
            }
        }
    }

    /// Removes a pair from a map with other pairs.
    pub fn remove(&mut self, map: &Node<'t>, pair: &Pair<'t>) -> Result<(), Error> {
        let (key, value) = (&pair.key, &pair.value);
        let (style, pairs) = match &map.value {
            Value::Map(style, pairs) => (*style, &pairs[..]),
            _ => (Style::Block, &[][..]),
        };
        if style == Style::Flow {
            let at = pairs.partition_point(|other| other.key.start() < key.start());
            let before = at.checked_sub(1).and_then(|before| pairs.get(before));
            let range = match (pairs.get(at + 1), before) {
                (Some(next), _) => key.start()..next.key.start(),
                (None, Some(before)) => before.value.end()..value.end(),
                (None, None) => key.start()..value.end(),
            };
            self.cut(range, String::new());
            return Ok(());
        }
        let Some(lead) = self.lead(key.start()) else {
            let what = format!("{} cannot be removed", self.text()[key.range()].trim());
            let error = self.tree.error(key.start(), what);
            return Err(error.remedy("Remove it from the file, then convert again."));
        };
        // Whole lines, with the line break before them: the last line of a file may have none behind it.
        let before = &self.text()[..key.start() - lead.len()];
        let start = before.strip_suffix('\n').unwrap_or(before);
        let start = start.strip_suffix('\r').unwrap_or(start).len();
        let rest = &self.text()[value.end()..];
        let end = value.end() + rest.find(['\n', '\r']).unwrap_or(rest.len());
        self.cut(start..end, String::new());
        Ok(())
    }

    /// Checks the replacements from number `from` on, all within `block`: an anchor in them must have no alias that stays.
    pub fn check_anchors(&self, from: usize, block: Range<usize>) -> Result<(), Error> {
        let cuts = &self.cuts[from..];
        let is_cut = |at: usize| cuts.iter().any(|cut| cut.range.contains(&at));
        for (anchor, alias_at) in self.tree.aliases_within(block) {
            let at = self.tree.anchor_place(anchor);
            if let Some(at) = at.filter(|at| is_cut(*at) && !is_cut(alias_at)) {
                return Err(used_elsewhere(self.tree, at, alias_at));
            }
        }
        Ok(())
    }

    /// How many replacements there are so far.
    pub fn len(&self) -> usize {
        self.cuts.len()
    }

    /// Drops all replacements after the first `count`.
    pub fn truncate(&mut self, length: usize) {
        self.cuts.truncate(length);
    }

    fn cut(&mut self, range: Range<usize>, text: String) {
        self.cuts.push(Cut { range, text });
    }

    /// The replacements in the order of the file. Removing an anchor that an alias still needs is an error.
    pub fn finish(mut self) -> Result<Vec<Cut>, Error> {
        self.cuts
            .sort_by_key(|cut| (cut.range.start, cut.range.end));
        let is_cut = |at: usize| {
            let after = self.cuts.partition_point(|cut| cut.range.start <= at);
            self.cuts[..after]
                .last()
                .is_some_and(|cut| cut.range.contains(&at))
        };
        let vanishing: std::collections::HashMap<u32, usize> =
            self.tree.anchors().filter(|(_, at)| is_cut(*at)).collect();
        for (anchor, alias_at) in self.tree.aliases() {
            if let Some(at) = vanishing.get(&anchor).filter(|_| !is_cut(alias_at)) {
                return Err(used_elsewhere(self.tree, *at, alias_at));
            }
        }
        Ok(self.cuts)
    }

    fn text(&self) -> &'t str {
        self.tree.text()
    }

    /// The blanks before `at`, if nothing else comes before it in its line.
    fn lead(&self, at: usize) -> Option<&'t str> {
        lead(self.text(), at)
    }

    /// Columns before `at`, in characters.
    fn column(&self, at: usize) -> usize {
        super::tree::column(self.text(), at)
    }

    /// The line ending at `at`; for the last line, that of the line above.
    fn end_of_line(&self, at: usize) -> &'static str {
        let text = self.text();
        let end = text[at..].find(['\n', '\r']).map(|after| at + after);
        let end = end.or_else(|| text[..at].rfind(['\n', '\r']));
        match end.map(|end| (&text[..end], &text[end..])) {
            Some((_, rest)) if rest.starts_with("\r\n") => "\r\n",
            Some((line, rest)) if rest.starts_with('\n') && line.ends_with('\r') => "\r\n",
            Some((_, rest)) if rest.starts_with('\r') => "\r",
            _ => "\n",
        }
    }

    fn block_style(&self, at: usize) -> BlockStyle {
        BlockStyle {
            eol: self.end_of_line(at),
            indentation: self.indentation,
        }
    }

    /// The text between a key and its value.
    fn between(&self, pair: &Pair) -> &'t str {
        self.text()
            .get(pair.key.end()..pair.value.start())
            .unwrap_or_default()
    }

    /// The style around `at`, where a key or an item begins; `between` is the text between a key and its value there.
    fn flow_style(&self, at: usize, between: &str) -> FlowStyle<'t> {
        let pretty = self.lead(at).map(|lead| Pretty {
            lead,
            unit: unit(self.text(), at, lead),
            eol: self.end_of_line(at),
        });
        let gap = if pretty.is_some() || between.ends_with(' ') || between.is_empty() {
            " "
        } else {
            ""
        };
        FlowStyle { gap, pretty }
    }

    /// The line of our comment between a key and its value.
    fn note_line(&self, pair: &Pair) -> Option<Range<usize>> {
        let at = note_at(self.text(), pair)?;
        let start = at - self.lead(at)?.len();
        // Up to the value, which begins its own line: that line's indentation stays with it.
        let next_line = pair.value.start() - self.lead(pair.value.start())?.len();
        let end = at + self.text()[at..next_line].find(['\n', '\r'])?;
        let eol = if self.text()[end..].starts_with("\r\n") {
            2
        } else {
            1
        };
        Some(start..end + eol)
    }
}

/// The error for an anchor inside what is converted and an alias outside.
pub fn used_elsewhere(tree: &Tree, anchor_at: usize, alias_at: usize) -> Error {
    let line = tree.line(alias_at);
    tree.error(
        anchor_at,
        format!("line {line} has an alias of this anchor and would change too"),
    )
    .remedy("Write the value out in that line, then convert again.")
}

/// Our comment between a key and its value, on a line of its own.
pub fn note<'t>(tree: &Tree<'t>, pair: &Pair) -> Option<&'t str> {
    let at = note_at(tree.text(), pair)? + NOTE.len();
    tree.text()[at..]
        .split(['\n', '\r'])
        .next()
        .map(str::trim_end)
}

fn note_at(text: &str, pair: &Pair) -> Option<usize> {
    let between = text.get(pair.key.end()..pair.value.start())?;
    let mut places = between
        .match_indices(NOTE)
        .map(|(at, _)| pair.key.end() + at);
    places.find(|at| lead(text, *at).is_some())
}

/// The text with the replacements applied.
pub fn apply(text: &str, cuts: &[Cut]) -> String {
    let added: usize = cuts.iter().map(|cut| cut.text.len()).sum();
    let mut result = String::with_capacity(text.len() + added);
    let mut kept = 0;
    for cut in cuts {
        result.push_str(&text[kept..cut.range.start]);
        result.push_str(&cut.text);
        kept = cut.range.end;
    }
    result.push_str(&text[kept..]);
    result
}

fn is_after(pair: &Pair, key: &str) -> bool {
    matches!(&pair.key.value, Value::Scalar(scalar) if *scalar.text > *key)
}

fn lead(text: &str, at: usize) -> Option<&str> {
    let before = &text[..at];
    let blank = before.trim_end_matches([' ', '\t']).len();
    let starts_line = blank == 0 || before[..blank].ends_with(['\n', '\r', '\u{feff}']);
    starts_line.then(|| &before[blank..])
}

/// One level of indentation: the difference to the nearest line above that is indented less.
fn unit<'t>(text: &'t str, at: usize, lead: &'t str) -> &'t str {
    // No line is indented less, and searching a large file for one is slow.
    if lead.is_empty() {
        return "  ";
    }
    let above = &text[..at - lead.len()];
    let outer = above.rsplit(['\n', '\r']).find_map(|line| {
        let outer = &line[..line.len() - line.trim_start().len()];
        (outer.len() < lead.len() && lead.starts_with(outer) && !line.trim().is_empty())
            .then_some(outer)
    });
    match outer {
        Some(outer) => &lead[outer.len()..],
        None => lead,
    }
}
