//! Media marks in texts (`<image>`), and which media they stand for.

use std::borrow::Cow;

use crate::sample::{Media, MediaKind, Message, Part, Parts, Role};

const MARKS: [(&str, MediaKind); 2] = [("<image>", MediaKind::Image), ("<video>", MediaKind::Video)];

/// A mark is a part that shows media of this index, until [`place`] knows which.
const UNPLACED: [usize; MARKS.len()] = [usize::MAX, usize::MAX - 1];

pub(super) fn mark(kind: MediaKind) -> Part<'static> {
    Part::Media(UNPLACED[kind as usize])
}

/// Cuts texts at their marks.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cutter {
    /// Whether the mapping knows of media at all.
    pub(super) reads_media: bool,
    /// Whether the record has some.
    pub(super) has_media: bool,
}

impl Cutter {
    /// Puts a text, cut at its media marks, behind the parts. In a record without media a mark inside a sentence is just
    /// text; one that opens or closes a turn asks for media all the same, and [`place`] will say that they are missing.
    pub(super) fn cut<'v>(self, text: Cow<'v, str>, parts: &mut Parts<'v>) {
        match text {
            Cow::Borrowed(text) => self.pieces(text, parts, Cow::Borrowed),
            Cow::Owned(text) => self.pieces(&text, parts, |piece| Cow::Owned(piece.to_owned())),
        }
    }

    fn pieces<'t, 'v>(self, text: &'t str, parts: &mut Parts<'v>, keep: impl Fn(&'t str) -> Cow<'v, str>) {
        let first = parts.len();
        let at_an_edge = || {
            let shown = text.trim();
            MARKS.iter().any(|(mark, _)| shown.starts_with(mark) || shown.ends_with(mark))
        };
        // Blank text between marks is layout, not content.
        let push = |text: &'t str, parts: &mut Parts<'v>| {
            let shown = if parts.len() == first { text } else { text.strip_prefix('\n').unwrap_or(text) };
            if !is_blank(shown) {
                parts.push(Part::Text(keep(shown)));
            }
        };
        let mut rest = text;
        if self.reads_media && (self.has_media || at_an_edge()) {
            while let Some((at, text, kind)) = first_mark(rest) {
                push(&rest[..at], parts);
                parts.push(mark(kind));
                rest = &rest[at + text.len()..];
            }
        }
        push(rest, parts);
    }
}

#[inline]
fn is_blank(text: &str) -> bool {
    // Most texts say at once that they are not.
    !text.as_bytes().first().is_some_and(u8::is_ascii_graphic) && text.chars().all(char::is_whitespace)
}

/// The parts of a text without marks.
#[inline]
pub(super) fn whole(text: &str) -> Parts<'_> {
    let num_parts = usize::from(!is_blank(text));
    // What is not counted is nothing.
    Parts::from_buf_and_len([Part::Text(Cow::Borrowed(text)), Part::Media(0)], num_parts)
}

fn first_mark(text: &str) -> Option<(usize, &'static str, MediaKind)> {
    memchr::memchr_iter(b'<', text.as_bytes()).find_map(|at| {
        let (mark, kind) = MARKS.iter().find(|(mark, _)| text[at..].starts_with(mark))?;
        Some((at, *mark, *kind))
    })
}

/// Joins marks and the media of the record: marks in order where there are as many, else all media before the first
/// question.
pub(super) fn place(messages: &mut Vec<Message<'_>>, given: &[Media<'_>]) -> std::result::Result<(), String> {
    let of_kind = |kind: MediaKind| (0..given.len()).filter(move |index| given[*index].kind == kind);
    let mut num_marks = [0; MARKS.len()];
    let mut next = MARKS.map(|(_, kind)| of_kind(kind));
    for message in messages.iter_mut() {
        for part in &mut message.parts {
            if let Part::Media(index) = part
                && let Some(kind) = UNPLACED.iter().position(|unplaced| unplaced == index)
            {
                num_marks[kind] += 1;
                *index = next[kind].next().unwrap_or(*index);
            }
        }
    }
    let mut waiting = Parts::new();
    for (mark, kind) in MARKS {
        let (num_marks, num_given) = (num_marks[kind as usize], of_kind(kind).count());
        if num_marks == 0 {
            waiting.extend(of_kind(kind).map(Part::Media));
        } else if num_marks != num_given {
            let (name, plural) = (kind.name(), if num_given == 1 { "" } else { "s" });
            return Err(format!("{num_marks} `{mark}` marks for {num_given} {name}{plural}"));
        }
    }
    if !waiting.is_empty() {
        match messages.iter_mut().find(|message| message.role == Role::User) {
            Some(message) => message.parts.insert_many(0, waiting),
            None => messages.insert(0, Message { role: Role::User, parts: waiting }),
        }
    }
    Ok(())
}
