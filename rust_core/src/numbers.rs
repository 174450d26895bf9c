//! Whole numbers as wide as they need to be, 1, 2 or 4 bytes, in pieces: codes of enumerations, and counts.

use std::sync::atomic::{AtomicBool, Ordering};

use rayon::prelude::*;

use crate::error::{CoreError, Result};
use crate::table::apart;

/// Rows that one task works on.
const CHUNK: usize = 1 << 16;
/// Rows that are brought to one width at once: they stay in the processor's nearest cache.
const BLOCK: usize = 1 << 10;

/// A column in pieces of one width.
pub enum Numbers<'a> {
    Byte(Vec<&'a [u8]>),
    Short(Vec<&'a [u16]>),
    Word(Vec<&'a [u32]>),
}

impl Numbers<'_> {
    /// The rows of each piece.
    fn sizes(&self) -> Vec<usize> {
        fn sizes<T>(pieces: &[&[T]]) -> Vec<usize> {
            pieces.iter().map(|piece| piece.len()).collect()
        }
        match self {
            Self::Byte(pieces) => sizes(pieces),
            Self::Short(pieces) => sizes(pieces),
            Self::Word(pieces) => sizes(pieces),
        }
    }

    /// Some of a piece, from this row of it on.
    fn read(&self, piece: usize, first: usize, to: &mut [u32]) {
        fn read<T: Copy + Into<u32>>(from: &[T], to: &mut [u32]) {
            for (to, from) in to.iter_mut().zip(from) {
                *to = (*from).into();
            }
        }
        match self {
            Self::Byte(pieces) => read(&pieces[piece][first..], to),
            Self::Short(pieces) => read(&pieces[piece][first..], to),
            Self::Word(pieces) => read(&pieces[piece][first..], to),
        }
    }

    /// All of them, 32 bits each, as `then` leaves them: it is given some of a piece, of which piece, and from which row on.
    fn made<T: Send>(&self, then: impl Fn(&mut [u32], usize, usize) -> T + Sync) -> (Vec<u32>, Vec<T>) {
        let sizes = self.sizes();
        let mut whole = vec![0; sizes.iter().sum()];
        let pieces = apart(&mut whole, sizes).into_iter().enumerate();
        let chunks: Vec<(usize, usize, &mut [u32])> = pieces
            .flat_map(|(piece, place)| place.chunks_mut(CHUNK).enumerate().map(move |(at, to)| (piece, at * CHUNK, to)))
            .collect();
        let made = |(piece, first, to): (usize, usize, &mut [u32])| {
            self.read(piece, first, to);
            then(to, piece, first)
        };
        let given = chunks.into_par_iter().map(made).collect();
        (whole, given)
    }
}

/// The numbers as one column.
pub fn whole(numbers: &Numbers<'_>) -> Vec<u32> {
    numbers.made(|_, _, _| ()).0
}

/// The number that stands at the place of each code.
pub fn renumbered(codes: &Numbers<'_>, numbers: &[u32]) -> Result<Vec<u32>> {
    let is_beyond = AtomicBool::new(false);
    let renumber = |codes: &mut [u32], _, _| {
        for code in codes {
            match numbers.get(*code as usize) {
                Some(number) => *code = *number,
                None => is_beyond.store(true, Ordering::Relaxed),
            }
        }
    };
    let (found, _) = codes.made(renumber);
    if is_beyond.into_inner() {
        return Err(CoreError::Contract("a code without a number".to_owned()));
    }
    Ok(found)
}

/// Columns of counts: tokens of the text, images and videos of each row.
pub struct Counted<'a> {
    pub text: Numbers<'a>,
    pub images: Numbers<'a>,
    pub videos: Numbers<'a>,
}

/// The tokens of each row, an image and a video counted as so many; and the most of a row, beyond 32 bits if need be.
pub fn tokens(counted: &Counted<'_>, per_image: u64, per_video: u64) -> Result<(Vec<u32>, u64)> {
    let Counted { text, images, videos } = counted;
    if [images, videos].into_iter().any(|media| media.sizes() != text.sizes()) {
        let [text, images, videos] = [text, images, videos].map(whole);
        if images.len() != text.len() || videos.len() != text.len() {
            return Err(CoreError::Contract("columns of different lengths".to_owned()));
        }
        let [text, images, videos] = [&text, &images, &videos].map(|one| Numbers::Word(vec![one]));
        return tokens(&Counted { text, images, videos }, per_image, per_video);
    }
    let add = |tokens: &mut [u32], piece: usize, first: usize| {
        let (mut of_images, mut of_videos) = ([0; BLOCK], [0; BLOCK]);
        let mut most = 0;
        for (block, tokens) in tokens.chunks_mut(BLOCK).enumerate() {
            images.read(piece, first + block * BLOCK, &mut of_images[..tokens.len()]);
            videos.read(piece, first + block * BLOCK, &mut of_videos[..tokens.len()]);
            for (tokens, (images, videos)) in tokens.iter_mut().zip(of_images.iter().zip(&of_videos)) {
                let media = u64::from(*images)
                    .saturating_mul(per_image)
                    .saturating_add(u64::from(*videos).saturating_mul(per_video));
                let sum = media.saturating_add(u64::from(*tokens));
                *tokens = sum as u32;
                most = most.max(sum);
            }
        }
        most
    };
    let (tokens, most) = text.made(add);
    Ok((tokens, most.into_iter().max().unwrap_or(0)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_any_width_are_one_column() {
        let (bytes, shorts): (Vec<u8>, Vec<u16>) = ((0..200).collect(), (0..200).collect());
        let words: Vec<u32> = (0..200).collect();
        assert_eq!(whole(&Numbers::Byte(vec![&bytes[..7], &[], &bytes[7..]])), words);
        assert_eq!(whole(&Numbers::Short(vec![&shorts])), words);
        assert_eq!(whole(&Numbers::Word(vec![&words[..1], &words[1..]])), words);
        assert!(whole(&Numbers::Word(vec![])).is_empty());
    }

    #[test]
    fn codes_are_renumbered() {
        assert_eq!(renumbered(&Numbers::Byte(vec![&[2, 0], &[], &[2]]), &[7, 8, 9]).unwrap(), [9, 7, 9]);
        assert!(renumbered(&Numbers::Short(vec![&[0], &[3]]), &[7, 8, 9]).is_err());
    }

    #[test]
    fn media_count_as_tokens() {
        let (text, videos) = (Numbers::Word(vec![&[1, 2], &[3]]), Numbers::Short(vec![&[1, 0], &[0]]));
        let counted = Counted { text, images: Numbers::Byte(vec![&[0, 1], &[2]]), videos };
        assert_eq!(tokens(&counted, 10, 100).unwrap(), (vec![101, 12, 23], 101));
        assert_eq!(tokens(&counted, u64::MAX, 0).unwrap().1, u64::MAX);
        let (text, images) = (Numbers::Word(vec![&[1], &[2, 3]]), Numbers::Byte(vec![&[0, 1, 2]]));
        let otherwise = Counted { text, images, videos: Numbers::Short(vec![&[1, 0], &[0]]) };
        assert_eq!(tokens(&otherwise, 10, 100).unwrap(), (vec![101, 12, 23], 101));
        let [text, images] = [Numbers::Word(vec![&[1]]), Numbers::Word(vec![&[1, 2]])];
        assert!(tokens(&Counted { text, images, videos: Numbers::Byte(vec![&[1]]) }, 1, 1).is_err());
    }

    #[test]
    fn each_row_has_its_own_media_in_long_columns() {
        let rows = 2 * CHUNK + BLOCK + 3;
        let text: Vec<u32> = (0..rows as u32).collect();
        let images: Vec<u8> = (0..rows).map(|row| (row % 251) as u8).collect();
        let videos: Vec<u16> = (0..rows).map(|row| (row % 257) as u16).collect();
        let cut = CHUNK + 5;
        let counted = Counted {
            text: Numbers::Word(vec![&text[..cut], &text[cut..]]),
            images: Numbers::Byte(vec![&images[..cut], &images[cut..]]),
            videos: Numbers::Short(vec![&videos[..cut], &videos[cut..]]),
        };
        let wanted: Vec<u32> = (0..rows).map(|row| (row + 3 * (row % 251) + 5 * (row % 257)) as u32).collect();
        let most = wanted.iter().max().copied().map(u64::from).unwrap();
        assert_eq!(tokens(&counted, 3, 5).unwrap(), (wanted, most));
    }
}
