//! Reading ahead: threads of our own read the records of coming batches, in the order they were asked for.
//!
//! [`plan`] cuts a batch into chunks whose neighbouring ranges are read at once, [`work`] reads one chunk (records, what is
//! embedded in them, pictures beside them), and [`pool`] has the threads, hands batches over in order and bounds the
//! memory of those that nobody took yet. [`source`] knows files and what leads out of the root, [`spare`] keeps memory for
//! the next batch: touching fresh memory costs more than reading a picture.

pub mod plan;
pub mod pool;
pub mod source;
pub mod spare;
pub mod work;

use std::ops::Range;

use smallvec::SmallVec;

use self::spare::Lent;
use crate::sample::SampleId;

/// One draw to be read: a range of the record stream of a source, and whose it must be where that is to be proved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Row {
    pub source: u32,
    pub offset: u64,
    pub length: u64,
    /// How many pictures it shows.
    pub images: u32,
    pub id: Option<SampleId>,
}

/// Why a draw cannot be read: which file, and what is wrong with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    pub path: String,
    pub reason: String,
    /// Whether it is the record that is wrong, rather than a file of media.
    pub of_record: bool,
}

/// Where the bytes of an image or a video are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// In the records of the chunk.
    Record(Range<usize>),
    /// In the media files that were read with it.
    File(Range<usize>),
    /// Decoded from text.
    Own(Vec<u8>),
    /// In a file that was not read.
    Unread,
}

/// An image or a video of a sample. `path` is where the file is that the record names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Piece {
    pub kind: &'static str,
    pub path: Option<String>,
    pub place: Place,
}

/// A sample as it was read: where its content lies among the texts of its chunk, and its media in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    pub content: Range<usize>,
    /// Most samples have one or none.
    pub media: SmallVec<[Piece; 1]>,
}

pub type Read = std::result::Result<Item, Fault>;

/// What one thread read at once: some samples of a batch, by their place in it, and the memory they lie in.
#[derive(Debug)]
pub struct Chunk {
    /// The content of the samples as JSON (see [`crate::sample::Sample::write_json`]).
    pub texts: String,
    pub records: Lent,
    pub files: Lent,
    pub items: Vec<(usize, Read)>,
}

impl Chunk {
    /// The content of an item of this chunk.
    pub fn content(&self, item: &Item) -> &str {
        &self.texts[item.content.clone()]
    }

    /// The bytes of a piece of this chunk, if they were read.
    pub fn bytes<'a>(&'a self, piece: &'a Piece) -> Option<&'a [u8]> {
        match &piece.place {
            Place::Record(range) => self.records.bytes().get(range.clone()),
            Place::File(range) => self.files.bytes().get(range.clone()),
            Place::Own(bytes) => Some(bytes),
            Place::Unread => None,
        }
    }
}

/// A batch that was read: its samples by their place in it.
#[derive(Debug)]
pub struct Batch {
    chunks: Vec<Chunk>,
    /// The chunk of each sample, and its place there.
    places: Vec<(u32, u32)>,
}

impl Batch {
    pub(crate) fn of(chunks: Vec<Chunk>, samples: usize) -> Self {
        let mut places = vec![(0, 0); samples];
        for (number, chunk) in chunks.iter().enumerate() {
            for (at, (place, _)) in chunk.items.iter().enumerate() {
                places[*place] = (number as u32, at as u32);
            }
        }
        Self { chunks, places }
    }

    pub fn len(&self) -> usize {
        self.places.len()
    }

    pub fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// A sample, and the chunk that its media lie in.
    pub fn get(&self, place: usize) -> Option<(&Chunk, &Read)> {
        let (chunk, at) = self.places.get(place)?;
        let chunk = &self.chunks[*chunk as usize];
        Some((chunk, &chunk.items[*at as usize].1))
    }

    /// The samples that could not be read.
    pub fn faults(&self) -> impl Iterator<Item = (usize, &Fault)> {
        (0..self.len()).filter_map(|place| Some((place, self.get(place)?.1.as_ref().err()?)))
    }
}
