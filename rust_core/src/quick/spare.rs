//! Memory of what was read, which is used again.

use std::borrow::Cow;

use super::Entry;
use crate::value::Value;

// What an unusual record needs is not held on to.
const FEW: usize = 64;
const SHORT: usize = 1 << 14;

/// Lists and texts that were read and are no longer needed, for the next record to be read into.
#[derive(Debug, Default)]
pub(crate) struct Spare<'a> {
    pub(super) lists: Vec<Vec<Value<'a>>>,
    pub(super) maps: Vec<Vec<Entry<'a>>>,
    /// Those that were unescaped.
    pub(super) texts: Vec<String>,
}

impl<'a> Spare<'a> {
    /// An empty list of fields.
    pub(crate) fn map(&mut self) -> Vec<Entry<'a>> {
        self.maps.pop().unwrap_or_default()
    }

    pub(crate) fn keep(&mut self, value: Value<'a>) {
        match value {
            Value::Text(text) => self.keep_text(text),
            Value::List(mut items) if items.capacity() <= FEW && self.lists.len() < FEW => {
                while let Some(item) = items.pop() {
                    self.keep(item);
                }
                self.lists.push(items);
            }
            Value::Map(mut entries) if entries.capacity() <= FEW && self.maps.len() < FEW => {
                while let Some((_, item)) = entries.pop() {
                    self.keep(item);
                }
                self.maps.push(entries);
            }
            _ => {}
        }
    }

    pub(super) fn keep_text(&mut self, text: Cow<'a, str>) {
        if let Cow::Owned(mut text) = text
            && text.capacity() <= SHORT
            && self.texts.len() < FEW
        {
            text.clear();
            self.texts.push(text);
        }
    }
}
