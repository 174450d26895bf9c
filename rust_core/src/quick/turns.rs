//! Turns of a conversation, read from a record's text with no tree of values in between.
//!
//! Most of a conversation's bytes stand in one list of objects that hold a role and a text, and what stands between these
//! texts is the same from one turn to the next: it is told from the last turn's by comparing bytes. A list that holds
//! anything else is left to [`Reader::value`].

use std::borrow::Cow;

use super::Reader;
use crate::sample::Role;
use crate::value::is_binary;

/// Who says what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Turn<'a> {
    pub(crate) role: Role,
    pub(crate) text: Cow<'a, str>,
    /// Whether there may be marks of media in it.
    pub(crate) may_show: bool,
}

/// Reads lists of objects of a role and a text, one after another.
#[derive(Debug)]
pub(crate) struct Turns<'a> {
    names: Names,
    /// How the last turn was written.
    shape: Shape,
    pub(crate) found: Vec<Turn<'a>>,
}

/// The keys of a turn.
#[derive(Debug)]
struct Names {
    role: String,
    text: String,
}

/// What stands around the two texts of a turn, quotes included: `{"from": "`, `", "value": "` and `"}, {"from": "`.
#[derive(Debug, Default)]
struct Shape {
    before: String,
    between: String,
    after: String,
    role_first: bool,
}

impl Turns<'_> {
    /// `role` and `text` are two keys, neither of them one that JSON readers keep for themselves.
    pub(crate) fn new(role: &str, text: &str) -> Self {
        let names = Names { role: role.to_owned(), text: text.to_owned() };
        Self { names, shape: Shape::default(), found: Vec::new() }
    }
}

impl<'a> Reader<'a, '_> {
    /// The list that opens here, if it holds turns and nothing else.
    pub(super) fn turns(&mut self, Turns { names, shape, found }: &mut Turns<'a>) -> Option<()> {
        found.clear();
        self.expect(b'[')?;
        if self.closes(b']') {
            return Some(());
        }
        self.skip_space();
        self.opens(names, shape)?;
        loop {
            let first = self.said()?;
            self.parts(names, shape)?;
            let second = self.said()?;
            let ((name, _), (text, may_show)) = if shape.role_first { (first, second) } else { (second, first) };
            found.push(Turn { role: Role::parse(&name).filter(|_| !is_binary(&text))?, text, may_show });
            if !self.follows(names, shape)? {
                return Some(());
            }
        }
    }

    /// Steps over what opens a turn, its first quote included.
    fn opens(&mut self, names: &Names, shape: &mut Shape) -> Option<()> {
        if self.steps_over(&shape.before) {
            return Some(());
        }
        let start = self.at;
        self.expect(b'{')?;
        let key = self.plain_text()?;
        self.opens_text()?;
        let role_first = key == names.role;
        (role_first || key == names.text).then_some(())?;
        // What follows a text says which of the two comes second.
        *shape = Shape { before: self.text[start..self.at].to_owned(), role_first, ..Shape::default() };
        Some(())
    }

    /// Steps over what stands between the texts of a turn, quotes included.
    fn parts(&mut self, names: &Names, shape: &mut Shape) -> Option<()> {
        if self.steps_over(&shape.between) {
            return Some(());
        }
        let start = self.at;
        self.expect(b'"')?;
        self.expect(b',')?;
        let key = self.plain_text()?;
        self.opens_text()?;
        (key == if shape.role_first { &names.text } else { &names.role }).then_some(())?;
        self.text[start..self.at].clone_into(&mut shape.between);
        Some(())
    }

    /// Whether another turn follows; then its first quote is stepped over.
    fn follows(&mut self, names: &Names, shape: &mut Shape) -> Option<bool> {
        if self.steps_over(&shape.after) {
            return Some(true);
        }
        let start = self.at;
        self.expect(b'"')?;
        self.expect(b'}')?;
        if !self.goes_on(b']')? {
            return Some(false);
        }
        self.skip_space();
        self.opens(names, shape)?;
        self.text[start..self.at].clone_into(&mut shape.after);
        Some(true)
    }

    /// The text that follows, up to its closing quote, and whether there may be marks in it.
    #[inline]
    pub(super) fn said(&mut self) -> Option<(Cow<'a, str>, bool)> {
        let (end, may_show) = self.bits?.end(self.at);
        if self.text.as_bytes().get(end) == Some(&b'"') {
            let text = &self.text[self.at..end];
            self.at = end;
            return Some((Cow::Borrowed(text), may_show));
        }
        let text = self.rest_of_string()?;
        // The closing quote stays.
        self.at -= 1;
        Some((text, true))
    }

    /// Whether this text comes next, which is not empty.
    pub(super) fn steps_over(&mut self, text: &str) -> bool {
        let found = !text.is_empty() && self.text.as_bytes()[self.at..].starts_with(text.as_bytes());
        self.at += if found { text.len() } else { 0 };
        found
    }

    /// Steps over the colon and the opening quote of a text.
    fn opens_text(&mut self) -> Option<()> {
        self.expect(b':')?;
        self.expect(b'"')
    }
}
