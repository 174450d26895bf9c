//! An estimate of how many tokens a text takes, from its characters alone.
//!
//! Words cost one token per six letters, digits one per three, CJK characters and marks one each, line breaks one per
//! run; a message costs four more for its template. It needs no tokenizer, is the same everywhere, and is called an
//! estimate wherever it is shown.

use crate::registers::{self, BLOCK, Masks, Work};

pub const PER_MESSAGE: u32 = 4;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Class {
    Letter,
    Digit,
    Wide,
    Space,
    Break,
    Mark,
}

fn class(character: char) -> Class {
    match character {
        'a'..='z' | 'A'..='Z' => Class::Letter,
        '0'..='9' => Class::Digit,
        '\n' => Class::Break,
        '\u{2e80}'..='\u{9fff}' | '\u{ac00}'..='\u{d7ff}' | '\u{f900}'..='\u{faff}' | '\u{20000}'..='\u{3ffff}' => {
            Class::Wide
        }
        _ if character.is_whitespace() => Class::Space,
        _ if character.is_alphanumeric() => Class::Letter,
        _ => Class::Mark,
    }
}

/// (characters, estimated tokens) of one text.
pub fn measure(text: &str) -> (u32, u32) {
    registers::run(Measure(text))
}

struct Measure<'t>(&'t str);

impl Work for Measure<'_> {
    type Done = (u32, u32);

    #[allow(clippy::inline_always)]
    #[inline(always)]
    fn by(self, masks: impl Fn(&[u8; BLOCK]) -> Masks) -> (u32, u32) {
        let Self(text) = self;
        let mut count = Count::default();
        let mut start = 0;
        while start < text.len() {
            let block = match Block::of_ascii(text.as_bytes(), start, &masks) {
                Some(block) => {
                    start += block.characters as usize;
                    block
                }
                None => Block::of_any(text, &mut start),
            };
            count.add(&block);
        }
        (count.characters, count.tokens)
    }
}

/// Up to 64 characters in a row: bit `i` of a mask says whether character `i` is of its class.
#[derive(Default)]
struct Block {
    characters: u32,
    letters: u64,
    digits: u64,
    breaks: u64,
    /// Characters that cost one token each, whatever stands beside them.
    single: u64,
}

impl Block {
    /// The characters from `start` on, before the first that is not ASCII, unless they are too few for it to be worth
    /// the while.
    #[allow(clippy::inline_always)]
    #[inline(always)]
    fn of_ascii(text: &[u8], start: usize, masks: impl Fn(&[u8; BLOCK]) -> Masks) -> Option<Self> {
        const FEW: usize = 16;
        let length = (text.len() - start).min(BLOCK);
        let mut few = [0; BLOCK];
        let (bytes, before) = if let Some(bytes) = text[start..].first_chunk() {
            (bytes, 0)
        } else if let Some(bytes) = text.last_chunk() {
            // With some before them, which are shifted out again.
            (bytes, BLOCK - length)
        } else {
            few[..length].copy_from_slice(&text[start..]);
            (&few, 0)
        };
        let masks = masks(bytes);
        let ascii = length.min(u64::trailing_zeros(masks.beyond_ascii >> before) as usize);
        if ascii < length.min(FEW) {
            return None;
        }
        let within = |mask: u64| mask >> before & u64::MAX >> (BLOCK - ascii);
        Some(Self {
            characters: ascii as u32,
            letters: within(masks.letters),
            digits: within(masks.digits),
            breaks: within(masks.breaks),
            single: within(!(masks.letters | masks.digits | masks.spaces)),
        })
    }

    /// Characters one by one; not too many, since ASCII may follow.
    fn of_any(text: &str, start: &mut usize) -> Self {
        const SOME: usize = 32;
        let mut block = Self::default();
        let mut characters = text[*start..].chars();
        for (position, character) in characters.by_ref().take(SOME).enumerate() {
            let bit = 1 << position;
            match class(character) {
                Class::Letter => block.letters |= bit,
                Class::Digit => block.digits |= bit,
                Class::Break => block.breaks |= bit,
                Class::Wide | Class::Mark => block.single |= bit,
                Class::Space => {}
            }
            block.characters += 1;
        }
        *start = text.len() - characters.as_str().len();
        block
    }
}

/// What was counted so far; a word, a number or a run of line breaks may go on in the next block.
#[derive(Default)]
struct Count {
    characters: u32,
    tokens: u32,
    word: Run,
    number: Run,
    broken: bool,
}

impl Count {
    #[allow(clippy::inline_always)]
    #[inline(always)]
    fn add(&mut self, block: &Block) {
        self.characters += block.characters;
        let breaks = block.breaks & !(block.breaks << 1 | u64::from(self.broken));
        self.broken = block.breaks >> (block.characters - 1) & 1 == 1;
        let words = self.word.starts::<6>(block.letters, block.characters);
        let numbers = self.number.starts::<3>(block.digits, block.characters);
        self.tokens += (block.single | breaks | words | numbers).count_ones();
    }
}

/// A word or a number that may go on: how many more of its characters are paid for.
#[derive(Default)]
struct Run {
    paid: u32,
}

impl Run {
    /// Where tokens start among the characters of a block; each is good for `PER_TOKEN` characters of one run.
    #[allow(clippy::inline_always)]
    #[inline(always)]
    fn starts<const PER_TOKEN: u32>(&mut self, mask: u64, length: u32) -> u64 {
        if mask == 0 {
            self.paid = 0;
            return 0;
        }
        let free = mask.trailing_ones().min(self.paid);
        let mask = mask & (u64::MAX << free);
        let open = (mask << (u64::BITS - length)).leading_ones();
        self.paid = match open {
            0 if free == length => self.paid - free,
            0 => 0,
            _ => (PER_TOKEN - open % PER_TOKEN) % PER_TOKEN,
        };
        let first = mask & !(mask << 1);
        let goes_on = behind::<PER_TOKEN>(mask);
        // Words of more than two tokens are rare.
        let mut next = first << PER_TOKEN & goes_on;
        let mut starts = first | next;
        loop {
            next = next << PER_TOKEN & goes_on;
            if next == 0 {
                return starts;
            }
            starts |= next;
        }
    }
}

/// The bits behind so many others without a gap.
#[allow(clippy::inline_always)]
#[inline(always)]
fn behind<const NUM: u32>(mask: u64) -> u64 {
    let (mut left, mut num) = (mask, 0);
    while num < NUM {
        let step = (num + 1).min(NUM - num);
        left &= left << step;
        num += step;
    }
    left
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Character by character, as the description reads.
    fn slowly(text: &str) -> (u32, u32) {
        let mut tokens = 0;
        let mut runs: Vec<(Class, u32)> = Vec::new();
        for character in text.chars() {
            match runs.last_mut() {
                Some((open, run)) if *open == class(character) => *run += 1,
                _ => runs.push((class(character), 1)),
            }
        }
        for (class, run) in runs {
            tokens += match class {
                Class::Letter => run.div_ceil(6),
                Class::Digit => run.div_ceil(3),
                Class::Wide | Class::Mark => run,
                Class::Break => 1,
                Class::Space => 0,
            };
        }
        (text.chars().count() as u32, tokens)
    }

    #[test]
    fn measures_words_digits_marks_and_cjk() {
        assert_eq!(measure(""), (0, 0));
        assert_eq!(measure("the extraordinary 2024!"), (23, 1 + 3 + 2 + 1));
        assert_eq!(measure("中文\n\na"), (5, 2 + 1 + 1));
    }

    #[test]
    fn blocks_do_not_show() {
        let letters =
            ["a", "Z", "7", "\n", " ", "\t", "\u{1f}", "\0", "~", "@", "[", "`", "{", "é", "中", "😀", "\u{a0}"];
        for letter in letters {
            assert_eq!(measure(letter), slowly(letter), "{letter:?}");
            for length in [62, 63, 64, 65, 127, 128, 129, 200] {
                let run = letter.repeat(length);
                assert_eq!(measure(&run), slowly(&run), "{length} {letter:?}");
            }
        }
        let mut state = 1_u64;
        for length in 0..400 {
            let mut text = String::new();
            for _ in 0..length {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                // Runs of one character are likely, or there would be no words.
                let pick = if state >> 62 == 0 { state >> 33 } else { length };
                text.push_str(letters[pick as usize % letters.len()]);
            }
            assert_eq!(measure(&text), slowly(&text), "{text:?}");
        }
        for character in (0..128_u8).map(char::from) {
            assert_eq!(measure(&character.to_string()), slowly(&character.to_string()), "{character:?}");
        }
    }
}
