//! The canonical training example: messages made of parts, and the media they show.

use std::borrow::Cow;
use std::cell::RefCell;
use std::fmt::Write as _;

use smallvec::SmallVec;

use crate::tokens;
use crate::value::write_json_text;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    System,
    User,
    Assistant,
    Tool,
}

impl Role {
    pub fn name(self) -> &'static str {
        match self {
            Role::System => "system",
            Role::User => "user",
            Role::Assistant => "assistant",
            Role::Tool => "tool",
        }
    }

    /// The role behind a name that data sets use for it.
    pub fn parse(name: &str) -> Option<Self> {
        let known = |name: &str| {
            Some(match name {
                "system" => Role::System,
                "user" | "human" | "prompter" => Role::User,
                "assistant" | "gpt" | "model" | "bot" | "chatgpt" | "function_call" => Role::Assistant,
                "tool" | "function" | "observation" | "ipython" => Role::Tool,
                _ => return None,
            })
        };
        known(name).or_else(|| known(&name.to_ascii_lowercase()))
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MediaKind {
    Image,
    Video,
}

impl MediaKind {
    pub fn name(self) -> &'static str {
        match self {
            MediaKind::Image => "image",
            MediaKind::Video => "video",
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reference<'a> {
    /// A path below the pool's media folder, as the record writes it.
    Path(Cow<'a, str>),
    /// The bytes themselves.
    Bytes(Cow<'a, [u8]>),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Media<'a> {
    pub kind: MediaKind,
    pub reference: Reference<'a>,
}

impl Media<'_> {
    /// The bytes, if the record has them.
    fn embedded(&self) -> Option<&[u8]> {
        match &self.reference {
            Reference::Bytes(bytes) => Some(bytes),
            Reference::Path(_) => None,
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Part<'a> {
    Text(Cow<'a, str>),
    /// An index into the sample's media.
    Media(usize),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message<'a> {
    pub role: Role,
    pub parts: Parts<'a>,
}

/// Most messages are one text, or a picture and a text: these need no memory of their own.
pub type Parts<'a> = SmallVec<[Part<'a>; 2]>;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sample<'a> {
    /// The upstream identity, if the mapping names one.
    pub key: Option<Cow<'a, str>>,
    pub messages: Vec<Message<'a>>,
    pub media: Vec<Media<'a>>,
    /// Tool definitions, as their JSON text.
    pub tools: Option<Cow<'a, str>>,
    /// What a copy of a record states of itself (see [`crate::canonical`]).
    pub stated: Option<Stated>,
}

/// Memory for the lists of a sample.
#[derive(Debug, Default)]
pub(crate) struct Room<'a> {
    pub(crate) messages: Vec<Message<'a>>,
    pub(crate) media: Vec<Media<'a>>,
}

impl Room<'_> {
    /// The same memory for lists that live otherwise: one that is collected from none of its items keeps it.
    pub(crate) fn emptied<'a>(self) -> Room<'a> {
        let messages = self.messages.into_iter().map_while(|_| None).collect();
        Room { messages, media: self.media.into_iter().map_while(|_| None).collect() }
    }
}

/// Most samples take less as JSON.
pub const USUAL_JSON: usize = 1 << 10;

/// What a sample's identity is derived under.
pub(crate) const ID: &str = "recipe compiler 1 sample";

/// 128 bits of a content hash.
pub type SampleId = [u8; 16];

/// The id that was compiled, which bytes in place of a path could not give again, and the proof of what is here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stated {
    pub id: SampleId,
    pub proof: SampleId,
}

// Inlined, what has a known length is written and not copied.
#[inline]
fn put(encoded: &mut Vec<u8>, bytes: &[u8]) {
    encoded.extend_from_slice(&(bytes.len() as u64).to_le_bytes());
    encoded.extend_from_slice(bytes);
}

/// A number of eight bytes, and its length before it as before anything else.
#[inline]
fn put_number(encoded: &mut Vec<u8>, number: usize) {
    let bytes = [8, number as u64].map(u64::to_le_bytes);
    encoded.extend_from_slice(bytes.as_flattened());
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Lengths {
    pub turns: u32,
    pub answers: u32,
    pub characters: u32,
    pub answer_characters: u32,
    pub text_tokens: u32,
}

impl<'a> Sample<'a> {
    /// Its memory; what an unusual sample needs is not held on to.
    pub(crate) fn take_room(&mut self) -> Room<'a> {
        const MANY: usize = 1 << 10;
        if self.messages.capacity().max(self.media.capacity()) > MANY {
            return Room::default();
        }
        Room { messages: std::mem::take(&mut self.messages), media: std::mem::take(&mut self.media) }
    }

    /// The identity of the content: messages, media references and tools; not the upstream key, not where it lies.
    /// Of a copy it is the one that it states, as long as the proof holds, and else one that nothing has.
    ///
    /// Every part is preceded by its length, so that no two samples share an encoding.
    pub fn id(&self) -> SampleId {
        thread_local! {
            // A hasher is two kilobytes and a sample one: making both anew for each sample would show.
            static KEYED: RefCell<(blake3::Hasher, Vec<u8>)> =
                RefCell::new((blake3::Hasher::new_derive_key(ID), Vec::new()));
        }
        if let Some(id) = self.stated_id() {
            return id;
        }
        KEYED.with_borrow_mut(|(hasher, encoded)| {
            encoded.clear();
            self.encode(encoded);
            let mut id = SampleId::default();
            hasher.reset().update(encoded).finalize_xof().fill(&mut id);
            id
        })
    }

    /// The identity of a copy.
    pub(crate) fn stated_id(&self) -> Option<SampleId> {
        self.stated.map(|stated| {
            let found = self.proof(&stated.id);
            if found == stated.proof { stated.id } else { found }
        })
    }

    /// What proves a copy of the sample with this id: a digest of all that a reader takes from its record.
    pub fn proof(&self, id: &SampleId) -> SampleId {
        thread_local! {
            static KEYED: RefCell<(blake3::Hasher, Vec<u8>)> =
                RefCell::new((blake3::Hasher::new_derive_key("recipe compiler 1 copy"), Vec::new()));
        }
        KEYED.with_borrow_mut(|(hasher, encoded)| {
            encoded.clear();
            encoded.extend_from_slice(id);
            encoded.extend([u8::from(self.key.is_some()), u8::from(self.tools.is_some())]);
            let key = self.key.as_deref().unwrap_or_default();
            encoded.extend_from_slice(&(key.len() as u64).to_le_bytes());
            encoded.extend_from_slice(key.as_bytes());
            self.encode(encoded);
            let mut proof = SampleId::default();
            hasher.reset().update(encoded).finalize_xof().fill(&mut proof);
            proof
        })
    }

    /// What is hashed.
    pub(crate) fn encode(&self, encoded: &mut Vec<u8>) {
        put_number(encoded, self.messages.len());
        for message in &self.messages {
            let role: &[u8] = match message.role {
                Role::System => b"\x06\0\0\0\0\0\0\0system",
                Role::User => b"\x04\0\0\0\0\0\0\0user",
                Role::Assistant => b"\x09\0\0\0\0\0\0\0assistant",
                Role::Tool => b"\x04\0\0\0\0\0\0\0tool",
            };
            encoded.extend_from_slice(role);
            put_number(encoded, message.parts.len());
            for part in &message.parts {
                match part {
                    Part::Text(text) => {
                        encoded.extend_from_slice(b"\x04\0\0\0\0\0\0\0text");
                        put(encoded, text.as_bytes());
                    }
                    Part::Media(index) => {
                        encoded.extend_from_slice(b"\x05\0\0\0\0\0\0\0media");
                        put_number(encoded, *index);
                    }
                }
            }
        }
        put_number(encoded, self.media.len());
        let mut put = |bytes: &[u8]| put(encoded, bytes);
        for media in &self.media {
            put(media.kind.name().as_bytes());
            match &media.reference {
                Reference::Path(path) => {
                    put(b"path");
                    put(path.as_bytes());
                }
                Reference::Bytes(bytes) => {
                    put(b"bytes");
                    put(blake3::hash(bytes).as_bytes());
                }
            }
        }
        put(self.tools.as_deref().unwrap_or_default().as_bytes());
    }

    pub fn lengths(&self) -> Lengths {
        self.lengths_by(tokens::measure)
    }

    /// The same by another way to [`tokens::measure`].
    pub(crate) fn lengths_by(&self, measure: impl Fn(&str) -> (u32, u32)) -> Lengths {
        let mut lengths = Lengths { turns: self.messages.len() as u32, ..Lengths::default() };
        for message in &self.messages {
            let is_answer = message.role == Role::Assistant;
            lengths.answers += u32::from(is_answer);
            lengths.text_tokens += tokens::PER_MESSAGE;
            for part in &message.parts {
                if let Part::Text(text) = part {
                    let (characters, tokens) = measure(text);
                    lengths.characters += characters;
                    lengths.text_tokens += tokens;
                    if is_answer {
                        lengths.answer_characters += characters;
                    }
                }
            }
        }
        lengths
    }

    pub fn count(&self, kind: MediaKind) -> u32 {
        self.media.iter().filter(|media| media.kind == kind).count() as u32
    }

    /// The sample as JSON (see [`Sample::write_json`]), and the media that are embedded in it, in order.
    pub fn to_json(&self) -> (String, Vec<&[u8]>) {
        let mut out = String::with_capacity(USUAL_JSON);
        self.write_json(&mut out);
        let blobs = self.media.iter().filter_map(Media::embedded).collect();
        (out, blobs)
    }

    /// Writes the sample as JSON; embedded media are named by their position among themselves.
    pub fn write_json(&self, out: &mut String) {
        out.push_str("{\"key\":");
        match &self.key {
            Some(key) => write_json_text(key, out),
            None => out.push_str("null"),
        }
        out.push_str(",\"messages\":[");
        for (position, message) in self.messages.iter().enumerate() {
            if position > 0 {
                out.push(',');
            }
            out.push_str("{\"role\":\"");
            out.push_str(message.role.name());
            out.push_str("\",\"content\":[");
            for (position, part) in message.parts.iter().enumerate() {
                if position > 0 {
                    out.push(',');
                }
                match part {
                    Part::Text(text) => {
                        out.push_str("{\"type\":\"text\",\"text\":");
                        write_json_text(text, out);
                        out.push('}');
                    }
                    Part::Media(index) => {
                        out.push_str("{\"type\":\"");
                        out.push_str(self.media[*index].kind.name());
                        out.push_str("\",\"media\":");
                        write_number(*index, out);
                        out.push('}');
                    }
                }
            }
            out.push_str("]}");
        }
        out.push_str("],\"media\":[");
        let mut embedded = 0;
        for (position, media) in self.media.iter().enumerate() {
            if position > 0 {
                out.push(',');
            }
            out.push_str("{\"kind\":\"");
            out.push_str(media.kind.name());
            out.push_str("\",");
            match &media.reference {
                Reference::Path(path) => {
                    out.push_str("\"path\":");
                    write_json_text(path, out);
                }
                Reference::Bytes(_) => {
                    out.push_str("\"blob\":");
                    write_number(embedded, out);
                    embedded += 1;
                }
            }
            out.push('}');
        }
        out.push_str("],\"tools\":");
        match &self.tools {
            Some(tools) => write_json_text(tools, out),
            None => out.push_str("null"),
        }
        out.push('}');
    }
}

fn write_number(number: usize, out: &mut String) {
    // Text cannot fail to grow.
    let _written = write!(out, "{number}");
}
