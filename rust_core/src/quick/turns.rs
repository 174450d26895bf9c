//! Turns of a conversation, read from a record's text with no tree of values in between.
//!
//! Most of a conversation's bytes stand in one list of objects that hold a role and a text, and what stands between these
//! texts, roles included, is one of a few: it is told by comparing bytes, first with what followed the last time. A list
//! that holds anything else is left to [`Reader::value`].

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
    joints: Joints,
    pub(crate) found: Vec<Turn<'a>>,
}

/// The keys of a turn.
#[derive(Debug)]
struct Names {
    role: String,
    text: String,
}

/// What stands before the first text of a list, between two of them, or behind the last one; quotes are part of it:
/// `{"from": "human", "value": "`, `"}, {"from": "gpt", "value": "`, `"}]`.
#[derive(Debug, Default)]
struct Joint {
    written: String,
    /// The text that ended, and whose it is if that is told here.
    before: Option<Told>,
    /// The text that follows, and whose it is if that is told here.
    behind: Option<Told>,
    /// The number of the joint that stood at the end of the following text the last time.
    guess: usize,
}

type Told = Option<Role>;

impl Joint {
    /// Whether it can stand behind what came before: a text, and whose it is if that is known.
    fn fits(&self, before: Option<Told>) -> bool {
        match (before, self.before) {
            (None, None) => true,
            // It is told once.
            (Some(known), Some(told)) => known.is_some() != told.is_some(),
            _ => false,
        }
    }
}

/// Those met so far, behind one that stands for nothing and knows how lists begin.
#[derive(Debug)]
struct Joints(Vec<Joint>);

impl Turns<'_> {
    /// `role` and `text` are two keys, neither of them one that JSON readers keep for themselves.
    pub(crate) fn new(role: &str, text: &str) -> Self {
        let names = Names { role: role.to_owned(), text: text.to_owned() };
        Self { names, joints: Joints(vec![Joint::default()]), found: Vec::new() }
    }
}

impl<'a> Reader<'a, '_> {
    /// The list that opens here, if it holds turns and nothing else.
    pub(super) fn turns(&mut self, Turns { names, joints, found }: &mut Turns<'a>) -> Option<()> {
        for turn in found.drain(..) {
            self.spare.keep_text(turn.text);
        }
        self.expect(b'[')?;
        if self.closes(b']') {
            return Some(());
        }
        let mut joint = self.joint(names, joints, 0, None)?;
        while let Some(told) = joints.0[joint].behind {
            let (text, may_show) = self.said()?;
            joint = self.joint(names, joints, joint, Some(told))?;
            let role = told.or(joints.0[joint].before?)?;
            found.push(Turn { role, text: Some(text).filter(|text| !is_binary(text))?, may_show });
        }
        Some(())
    }

    /// Steps over the joint that comes next, which gets a number; `last` is the one before it.
    #[inline]
    fn joint(&mut self, names: &Names, Joints(known): &mut Joints, last: usize, before: Option<Told>) -> Option<usize> {
        let guess = known[last].guess;
        if known[guess].fits(before) && self.steps_over(&known[guess].written) {
            return Some(guess);
        }
        let met = known.iter().position(|joint| joint.fits(before) && self.steps_over(&joint.written));
        let found = if let Some(found) = met {
            found
        } else {
            // Lists that are written in ever new ways are read anew each time.
            const MANY: usize = 16;
            let joint = self.new_joint(names, before)?;
            known.truncate(MANY - 1);
            known.push(joint);
            known.len() - 1
        };
        // Who speaks next is more like the last time than how long a list is.
        if known[found].behind.is_some() {
            known[last].guess = found;
        }
        Some(found)
    }

    fn new_joint(&mut self, names: &Names, before: Option<Told>) -> Option<Joint> {
        let start = self.at;
        let mut joint = Joint { before: before.map(|_| None), ..Joint::default() };
        let mut goes_on = true;
        if let Some(known) = before {
            self.expect(b'"')?;
            if known.is_none() {
                self.expect(b',')?;
                (self.plain_text()? == names.role).then_some(())?;
                joint.before = Some(Some(self.role()?));
            }
            self.expect(b'}')?;
            goes_on = self.goes_on(b']')?;
        }
        if goes_on {
            self.expect(b'{')?;
            let mut key = self.plain_text()?;
            let mut told = None;
            if key == names.role {
                told = Some(self.role()?);
                self.expect(b',')?;
                key = self.plain_text()?;
            }
            (key == names.text).then_some(())?;
            self.expect(b':')?;
            self.expect(b'"')?;
            joint.behind = Some(told);
        }
        self.text[start..self.at].clone_into(&mut joint.written);
        Some(joint)
    }

    /// The role behind its key.
    fn role(&mut self) -> Option<Role> {
        self.expect(b':')?;
        self.expect(b'"')?;
        Role::parse(&self.rest_of_string()?)
    }

    /// The text that follows, up to its closing quote, and whether there may be marks in it.
    // Where it is used it stays in registers.
    #[allow(clippy::inline_always)]
    #[inline(always)]
    pub(super) fn said(&mut self) -> Option<(Cow<'a, str>, bool)> {
        let (end, may_show) = self.bits?.end(self.at);
        if self.text.as_bytes().get(end) == Some(&b'"') {
            let text = &self.text[self.at..end];
            self.at = end;
            return Some((Cow::Borrowed(text), may_show));
        }
        self.said_otherwise()
    }

    #[inline(never)]
    fn said_otherwise(&mut self) -> Option<(Cow<'a, str>, bool)> {
        let text = self.rest_of_string()?;
        // The closing quote stays.
        self.at -= 1;
        Some((text, true))
    }

    /// Whether this text comes next, which is not empty.
    #[inline]
    pub(super) fn steps_over(&mut self, text: &str) -> bool {
        let rest = &self.text.as_bytes()[self.at..];
        let found = rest.get(..text.len()).is_some_and(|next| !text.is_empty() && same(next, text.as_bytes()));
        self.at += if found { text.len() } else { 0 };
        found
    }
}

/// Whether two slices of one length are the same. They are short, so that a call would cost more than the work.
#[inline]
fn same(one: &[u8], other: &[u8]) -> bool {
    by::<16>(one, other).or_else(|| by::<4>(one, other)).unwrap_or_else(|| one.iter().eq(other))
}

/// The same in steps of so many bytes, if there are as many.
#[inline]
fn by<const STEP: usize>(one: &[u8], other: &[u8]) -> Option<bool> {
    // The last bytes, some of them a second time, are looked at first: they tell most others apart.
    let are_last = one.last_chunk::<STEP>()? == other.last_chunk::<STEP>()?;
    Some(are_last && one.as_chunks::<STEP>().0.iter().zip(other.as_chunks::<STEP>().0).all(|(one, other)| one == other))
}
