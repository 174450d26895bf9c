//! Messages out of lists: turns, exchanges, and content in parts.

use std::borrow::Cow;

use super::marks::{Cutter, mark, whole};
use super::{Pairs, Turns, collect_media, turn};
use crate::quick::turns::Turn;
use crate::sample::{Media, MediaKind, Message, Part, Parts, Role};
use crate::value::Value;

/// Turns that stand apart from their record.
pub(super) fn put_turns<'v>(turns: &'v [Turn<'_>], cutter: Cutter, messages: &mut Vec<Message<'v>>) {
    // Media that no mark shows may want a message of their own.
    messages.reserve(turns.len() + 1);
    // Each is put together where it stays.
    messages.extend(turns.iter().map(|Turn { role, text, may_show }| {
        if *may_show { cut_turn(*role, text, cutter) } else { Message { role: *role, parts: whole(text) } }
    }));
}

#[inline(never)]
fn cut_turn(role: Role, text: &str, cutter: Cutter) -> Message<'_> {
    let mut message = Message { role, parts: Parts::new() };
    cutter.cut(Cow::Borrowed(text), &mut message.parts);
    message
}

pub(super) fn read_pairs<'v>(
    pairs: &Pairs,
    record: &'v Value<'_>,
    cutter: Cutter,
    messages: &mut Vec<Message<'v>>,
) -> std::result::Result<(), String> {
    let value = pairs.path.require(record)?;
    // An empty text where a list belongs is how some tables write that there is none.
    let Some(value) = value.filter(|value| !matches!(value, Value::Text(text) if text.is_empty())) else {
        return Ok(());
    };
    let Value::List(items) = value else {
        return Err(format!("`{}` is {}, not a list", pairs.path.text(), value.kind()));
    };
    for item in items {
        for (role, path) in [(Role::User, &pairs.user), (Role::Assistant, &pairs.assistant)] {
            if let Some(value) = path.require(item).map_err(|reason| format!("`{}`: {reason}", pairs.path.text()))? {
                let text = value.scalar_text().ok_or_else(|| format!("`{}` is not text", path.text()))?;
                let parts = turn(messages, role);
                if role == Role::User {
                    cutter.cut(text, parts);
                } else {
                    parts.push(Part::Text(text));
                }
            }
        }
    }
    Ok(())
}

pub(super) fn read_turns<'v>(
    list: &Turns,
    record: &'v Value<'_>,
    cutter: Cutter,
    messages: &mut Vec<Message<'v>>,
    media: &mut Vec<Media<'v>>,
) -> std::result::Result<(), String> {
    let Some(value) = list.path.require(record)? else { return Ok(()) };
    let Value::List(items) = value else {
        return Err(format!("`{}` is {}, not a list", list.path.text(), value.kind()));
    };
    // Media that no mark shows may want a message of their own.
    messages.reserve(items.len() + 1);
    for (position, item) in items.iter().enumerate() {
        let at = |reason: String| format!("`{}[{position}]`: {reason}", list.path.text());
        let name = list.role.find(item).and_then(Value::scalar_text);
        let name = name.ok_or_else(|| at(format!("no `{}`", list.role.text())))?;
        let role = Role::parse(&name).ok_or_else(|| at(format!("an unknown role `{name}`")))?;
        let calls = || item.get("tool_calls").filter(|value| !value.is_null());
        let parts = turn(messages, role);
        match list.text.find(item) {
            Some(Value::List(content)) => read_content(content, cutter, parts, media).map_err(at)?,
            Some(value) => {
                let text = value.scalar_text();
                let text = text.ok_or_else(|| at(format!("`{}` is {}", list.text.text(), value.kind())))?;
                cutter.cut(text, parts);
            }
            None => match calls() {
                Some(calls) => parts.push(Part::Text(Cow::Owned(calls.to_json()))),
                None => return Err(at(format!("no `{}`", list.text.text()))),
            },
        }
    }
    Ok(())
}

/// Content as OpenAI, TRL and others write it: a list of typed parts.
fn read_content<'v>(
    content: &'v [Value<'_>],
    cutter: Cutter,
    parts: &mut Parts<'v>,
    media: &mut Vec<Media<'v>>,
) -> std::result::Result<(), String> {
    for part in content {
        if let Value::Text(text) = part {
            cutter.cut(Cow::Borrowed(text), parts);
            continue;
        }
        let kind = part.get("type").and_then(Value::scalar_text).ok_or("a content part without a `type`")?;
        let payload = [kind.as_ref(), "text", "value", "url", "path"]
            .into_iter()
            .find_map(|key| part.get(key).filter(|value| !value.is_null()));
        let seen = match kind.as_ref() {
            "image" | "image_url" | "input_image" => Some(MediaKind::Image),
            "video" | "video_url" => Some(MediaKind::Video),
            "audio" | "audio_url" | "input_audio" => return Err("audio is not supported".to_owned()),
            _ => None,
        };
        match (seen, payload) {
            (Some(kind), None) => parts.push(mark(kind)),
            (Some(kind), Some(value)) => {
                let before = media.len();
                collect_media(value, kind, media)?;
                parts.extend((before..media.len()).map(Part::Media));
            }
            (None, Some(value)) => cutter.cut(value.text(), parts),
            (None, None) => return Err(format!("a content part of type `{kind}` without content")),
        }
    }
    Ok(())
}
