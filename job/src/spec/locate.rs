//! Finds keys in a TOML document: by path, to give a line; by place, to give a path.

use std::{fmt, ops::Range};

use toml::{Spanned, de::DeValue};

use toml::de::DeTable;

/// The path of a key, such as `party[2].columns`. Elements count from 1, as people do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct KeyPath(Vec<Step>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Step {
    Key(String),
    Element(usize),
}

impl KeyPath {
    /// The path written as `a.b`, without elements.
    pub(super) fn of(text: &str) -> Self {
        Self(
            text.split('.')
                .filter(|key| !key.is_empty())
                .map(|key| Step::Key(key.to_owned()))
                .collect(),
        )
    }

    pub(super) fn key(&self, key: &str) -> Self {
        let mut path = self.clone();
        path.0.push(Step::Key(key.to_owned()));
        path
    }

    /// The element at this position, from 0.
    pub(super) fn element(&self, position: usize) -> Self {
        let mut path = self.clone();
        path.0.push(Step::Element(position));
        path
    }
}

impl fmt::Display for KeyPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, step) in self.0.iter().enumerate() {
            match step {
                Step::Key(key) if position == 0 => f.write_str(key)?,
                Step::Key(key) => write!(f, ".{key}")?,
                Step::Element(element) => write!(f, "[{}]", element + 1)?,
            }
        }
        Ok(())
    }
}

/// Line of a byte offset, from 1.
pub(super) fn line_at(text: &str, offset: usize) -> usize {
    1 + text
        .bytes()
        .take(offset)
        .filter(|byte| *byte == b'\n')
        .count()
}

/// Line of the key at `path`, or of the nearest table above it that is written out.
pub(super) fn line_of(text: &str, root: &DeTable<'_>, path: &KeyPath) -> Option<usize> {
    let mut line = None;
    let mut table = Some(root);
    let mut value: Option<&Spanned<DeValue<'_>>> = None;
    for step in &path.0 {
        let (next, offset) = match step {
            Step::Key(key) => {
                let Some((key, next)) =
                    table.and_then(|table| table.iter().find(|(name, _)| name.get_ref() == key))
                else {
                    break;
                };
                (next, key.span().start)
            }
            Step::Element(position) => {
                let Some(next) = value
                    .and_then(|value| value.get_ref().as_array())
                    .and_then(|array| array.get(*position))
                else {
                    break;
                };
                (next, next.span().start)
            }
        };
        line = Some(line_at(text, offset));
        table = next.get_ref().as_table();
        value = Some(next);
    }
    line
}

/// Path of whatever stands at the start of `span`.
pub(super) fn path_at(root: &DeTable<'_>, span: &Range<usize>) -> KeyPath {
    in_table(root, span, &KeyPath::default()).unwrap_or_default()
}

fn in_table(table: &DeTable<'_>, span: &Range<usize>, above: &KeyPath) -> Option<KeyPath> {
    for (key, value) in table.iter() {
        let path = above.key(key.get_ref());
        // Inside first: the span of a table written as `[table]` covers little more than its header.
        if let Some(found) = in_value(value.get_ref(), span, &path) {
            return Some(found);
        }
        if holds(&key.span(), span) || holds(&value.span(), span) {
            return Some(path);
        }
    }
    None
}

fn in_value(value: &DeValue<'_>, span: &Range<usize>, path: &KeyPath) -> Option<KeyPath> {
    if let Some(table) = value.as_table() {
        return in_table(table, span, path);
    }
    value
        .as_array()?
        .iter()
        .enumerate()
        .find_map(|(position, element)| {
            let path = path.element(position);
            in_value(element.get_ref(), span, &path)
                .or_else(|| holds(&element.span(), span).then(|| path.clone()))
        })
}

fn holds(outer: &Range<usize>, inner: &Range<usize>) -> bool {
    outer.start <= inner.start && inner.start < outer.end
}
