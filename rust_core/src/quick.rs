//! A strict reader of JSON that borrows what it can. It reads what is well formed and says nothing about the rest:
//! `None` means that [`crate::value::parse_json`] asks serde_json, which reads it or tells what is wrong and where.

use std::borrow::Cow;

use wide::u8x16;

use crate::bits::Bits;
use crate::value::{Value, is_odd, number};

pub(crate) mod records;
pub(crate) mod turns;

/// Deeper values are left to serde_json, whose own limit is what a record is held to.
const DEPTH: usize = 64;

/// Lists that were read and are no longer needed, for the next record to be read into.
#[derive(Debug, Default)]
pub(crate) struct Spare<'a> {
    lists: Vec<Vec<Value<'a>>>,
    maps: Vec<Vec<Entry<'a>>>,
    /// Where texts are unescaped, whose length is not known before.
    text: String,
}

type Entry<'a> = (Cow<'a, str>, Value<'a>);

impl<'a> Spare<'a> {
    /// An empty list of fields.
    pub(crate) fn map(&mut self) -> Vec<Entry<'a>> {
        self.maps.pop().unwrap_or_default()
    }

    pub(crate) fn keep(&mut self, value: Value<'a>) {
        // What an unusual record needs is not held on to.
        const FEW: usize = 64;
        match value {
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
}

pub(crate) fn parse<'a>(text: &'a str, spare: &mut Spare<'a>) -> Option<Value<'a>> {
    let mut reader = Reader { text, at: 0, spare, bits: None };
    let value = reader.value(DEPTH)?;
    reader.skip_space();
    (reader.at == text.len()).then_some(value)
}

struct Reader<'a, 's> {
    text: &'a str,
    at: usize,
    spare: &'s mut Spare<'a>,
    /// Of this text.
    bits: Option<&'s Bits>,
}

impl<'a> Reader<'a, '_> {
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    /// Where the first byte from here on stands that a string cannot hold as it is.
    fn plain_end(&self) -> usize {
        match self.bits {
            Some(bits) => bits.end(self.at).0,
            None => self.at + plain(&self.text.as_bytes()[self.at..]),
        }
    }

    fn skip_space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\n' | b'\r' | b'\t')) {
            self.at += 1;
        }
    }

    /// Steps over a byte that must come next, space apart.
    fn expect(&mut self, byte: u8) -> Option<()> {
        self.skip_space();
        (self.peek()? == byte).then(|| self.at += 1)
    }

    /// Whether another member follows; else the closing bracket did.
    fn goes_on(&mut self, close: u8) -> Option<bool> {
        self.skip_space();
        let byte = self.peek()?;
        self.at += 1;
        match byte {
            b',' => Some(true),
            _ if byte == close => Some(false),
            _ => None,
        }
    }

    /// Whether the brackets just opened close at once.
    fn closes(&mut self, close: u8) -> bool {
        self.expect(close).is_some()
    }

    fn value(&mut self, depth: usize) -> Option<Value<'a>> {
        self.skip_space();
        match self.peek()? {
            b'"' => self.string().map(Value::Text),
            b'{' => {
                let mut entries = self.spare.maps.pop().unwrap_or_default();
                self.map(depth.checked_sub(1)?, &mut entries)?;
                Some(Value::Map(entries))
            }
            b'[' => {
                let mut items = self.spare.lists.pop().unwrap_or_default();
                self.list(depth.checked_sub(1)?, &mut items)?;
                Some(Value::List(items))
            }
            b'-' | b'0'..=b'9' => self.number(),
            b't' => self.word("true", Value::Bool(true)),
            b'f' => self.word("false", Value::Bool(false)),
            b'n' => self.word("null", Value::Null),
            _ => None,
        }
    }

    fn word(&mut self, word: &str, value: Value<'a>) -> Option<Value<'a>> {
        let found = self.text[self.at..].starts_with(word);
        self.at += word.len();
        found.then_some(value)
    }

    fn list(&mut self, depth: usize, items: &mut Vec<Value<'a>>) -> Option<()> {
        self.at += 1;
        let mut more = !self.closes(b']');
        while more {
            self.item(depth, items)?;
            more = self.goes_on(b']')?;
        }
        Some(())
    }

    fn item(&mut self, depth: usize, items: &mut Vec<Value<'a>>) -> Option<()> {
        self.skip_space();
        if self.peek()? == b'{' {
            let mut entries = self.spare.maps.pop().unwrap_or_default();
            self.map(depth.checked_sub(1)?, &mut entries)?;
            items.push(Value::Map(entries));
        } else {
            items.push(self.value(depth)?);
        }
        Some(())
    }

    fn map(&mut self, depth: usize, entries: &mut Vec<Entry<'a>>) -> Option<()> {
        self.at += 1;
        let mut more = !self.closes(b'}');
        while more {
            let start = self.at;
            // Most entries are two plain texts. Put together where they stay, they are not copied before they are settled.
            if let Some(key) = self.plain_text() {
                self.expect(b':')?;
                let start = self.at;
                if let Some(text) = self.plain_text() {
                    entries.push((Cow::Borrowed(key), Value::Text(Cow::Borrowed(text))));
                } else {
                    self.at = start;
                    let value = self.value(depth)?;
                    entries.push((Cow::Borrowed(key), value));
                }
            } else {
                self.at = start;
                self.entry(depth, entries)?;
            }
            more = self.goes_on(b'}')?;
        }
        (!is_odd(entries)).then_some(())
    }

    #[inline(never)]
    fn entry(&mut self, depth: usize, entries: &mut Vec<Entry<'a>>) -> Option<()> {
        self.skip_space();
        let key = (self.peek()? == b'"').then(|| self.string())??;
        self.expect(b':')?;
        let value = self.value(depth)?;
        entries.push((key, value));
        Some(())
    }

    /// The text that follows, if it has nothing to unescape.
    #[inline]
    fn plain_text(&mut self) -> Option<&'a str> {
        self.expect(b'"')?;
        let start = self.at;
        self.at = self.plain_end();
        (self.peek()? == b'"').then(|| self.at += 1)?;
        Some(&self.text[start..self.at - 1])
    }

    fn number(&mut self) -> Option<Value<'a>> {
        let start = self.at;
        self.at += usize::from(self.peek()? == b'-');
        match self.peek()? {
            b'0' => self.at += 1,
            _ => self.digits()?,
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            self.digits()?;
        }
        if let Some(b'e' | b'E') = self.peek() {
            self.at += 1;
            self.at += usize::from(matches!(self.peek()?, b'+' | b'-'));
            self.digits()?;
        }
        // serde_json writes a number that is too large for any type in its own way.
        Some(number(&self.text[start..self.at])).filter(|number| !matches!(number, Value::Text(_)))
    }

    fn digits(&mut self) -> Option<()> {
        let start = self.at;
        while matches!(self.peek(), Some(b'0'..=b'9')) {
            self.at += 1;
        }
        (self.at > start).then_some(())
    }

    /// The text in the quotes that open here.
    fn string(&mut self) -> Option<Cow<'a, str>> {
        self.at += 1;
        self.rest_of_string()
    }

    fn rest_of_string(&mut self) -> Option<Cow<'a, str>> {
        let start = self.at;
        self.at = self.plain_end();
        let first = &self.text[start..self.at];
        match self.peek()? {
            b'"' => {
                self.at += 1;
                Some(Cow::Borrowed(first))
            }
            b'\\' => self.unescape(first).map(Cow::Owned),
            _ => None,
        }
    }

    fn unescape(&mut self, first: &str) -> Option<String> {
        // What an unusual text needs is not held on to.
        const MUCH: usize = 1 << 16;
        let mut out = std::mem::take(&mut self.spare.text);
        out.push_str(first);
        loop {
            let byte = self.peek()?;
            self.at += 1;
            match byte {
                b'"' if out.len() > MUCH => return Some(out),
                b'"' => {
                    let text = out.clone();
                    out.clear();
                    self.spare.text = out;
                    return Some(text);
                }
                b'\\' => out.push(self.escape()?),
                _ => return None,
            }
            let start = self.at;
            self.at = self.plain_end();
            out.push_str(&self.text[start..self.at]);
        }
    }

    fn escape(&mut self) -> Option<char> {
        let byte = self.peek()?;
        self.at += 1;
        Some(match byte {
            b'"' | b'\\' | b'/' => char::from(byte),
            b'n' => '\n',
            b't' => '\t',
            b'r' => '\r',
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'u' => {
                let unit = self.hex()?;
                match unit {
                    // Beyond the first plane a character is two units.
                    0xd800..0xdc00 => {
                        self.text[self.at..].starts_with("\\u").then(|| self.at += 2)?;
                        let low = self.hex()?.checked_sub(0xdc00).filter(|low| *low < 0x400)?;
                        char::from_u32(0x10000 + ((unit - 0xd800) << 10) + low)?
                    }
                    _ => char::from_u32(unit)?,
                }
            }
            _ => return None,
        })
    }

    fn hex(&mut self) -> Option<u32> {
        let digits = self.text.as_bytes().get(self.at..self.at + 4)?;
        self.at += 4;
        digits.iter().try_fold(0, |unit, digit| Some(unit << 4 | char::from(*digit).to_digit(16)?))
    }
}

/// How many bytes stand before the first that a string cannot hold as it is: a quote, a backslash, a control character.
pub(crate) fn plain(bytes: &[u8]) -> usize {
    let (blocks, rest) = bytes.as_chunks::<16>();
    for (position, block) in blocks.iter().enumerate() {
        let block = u8x16::from(*block);
        let control = block.min(u8x16::splat(0x1f)).simd_eq(block);
        let special = block.simd_eq(u8x16::splat(b'"')) | block.simd_eq(u8x16::splat(b'\\')) | control;
        let mask = special.to_bitmask();
        if mask != 0 {
            return position * 16 + mask.trailing_zeros() as usize;
        }
    }
    let tail = rest.iter().position(|byte| matches!(byte, b'"' | b'\\' | 0..0x20));
    blocks.len() * 16 + tail.unwrap_or(rest.len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::value::{parse_json, parse_slowly};

    /// serde_json is the judge: what is read here is what it reads, and what it refuses is refused.
    fn agrees(text: &str) -> bool {
        let mut spare = Spare::default();
        let found = parse(text, &mut spare);
        // What was read into once is read into again, and nothing of it is left.
        spare.keep(found.clone().unwrap_or(Value::Null));
        assert_eq!(found, parse(text, &mut spare), "{text}");
        if let Some(found) = &found {
            let expected = parse_slowly(text);
            assert_eq!(Ok(found), expected.as_ref(), "{text}");
            assert_eq!(found.to_json(), expected.unwrap().to_json(), "{text}");
        }
        found.is_some()
    }

    #[test]
    fn every_kind_of_value_is_read_here() {
        for text in [
            r#" {"a" : [ 1 , -2.50e+3,0, -0, -0.0, 1E5, 123456789012345678901234567890 ] , "b":{}} "#,
            r#"["\"\\\/\b\f\n\r\t","\u00e9\u4E2d\ud83d\ude00","é中😀",true,false,null,[],"","\u0000"]"#,
            "{\"\":1,\"a longer key than sixteen bytes\":\"a text that is longer than sixteen bytes, \\n twice\"}",
            "7",
            "\t\r\n\"x\"\n",
            "170141183460469231731687303715884105727",
            "[0.1,1e-400,5e-324,1.7976931348623157e308,12345678901234567.0]",
        ] {
            assert!(agrees(text), "{text}");
        }
    }

    #[test]
    fn what_is_not_json_is_left() {
        for text in [
            "",
            " ",
            "{",
            "[1,]",
            "{\"a\":1,}",
            "01",
            "-",
            "1.",
            ".5",
            "1e",
            "+1",
            "tru",
            "nul",
            "NaN",
            "[1 2]",
            "{\"a\" 1}",
            "{a:1}",
            "\"",
            "\"\\x\"",
            "\"\\u12\"",
            "\"\\ud800\"",
            "\"\\ud800\\u0041\"",
            "\"\\udc00\"",
            "\"\n\"",
            "1 2",
            "{\"a\":1,\"a\":2}",
            "{\"a\":1,\"\\u0061\":2}",
            "\u{feff}1",
            "\"\\u+123\"",
        ] {
            assert!(!agrees(text), "{text}");
            assert!(parse_slowly(text).is_err(), "{text}");
        }
        let nested = |depth: usize| "[".repeat(depth) + &"]".repeat(depth);
        assert!(agrees(&nested(DEPTH)) && !agrees(&nested(DEPTH + 1)));
        for text in [
            &nested(100),
            "1e999",
            "170141183460469231731687303715884105728",
            r#"{"$serde_json::private::Number":"1"}"#,
        ] {
            assert!(!agrees(text), "{text}");
            assert_eq!(parse_json(text.as_bytes()), Ok(parse_slowly(text).unwrap()), "{text}");
        }
    }

    /// A generator without a dependency: the same documents each time.
    struct Random(u64);

    impl Random {
        fn below(&mut self, limit: usize) -> usize {
            self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (self.0 >> 33) as usize % limit
        }

        fn pick<'p>(&mut self, of: &[&'p str]) -> &'p str {
            of[self.below(of.len())]
        }

        fn write(&mut self, depth: usize, out: &mut String) {
            const SPACE: [&str; 6] = ["", "", "", " ", "\n", "\t\r "];
            const TEXT: [&str; 12] = [
                "a",
                "<image>",
                "a longer piece of text, ",
                "é",
                "中",
                "\\n",
                "\\\"",
                "\\u4e2d",
                "\\ud83d\\ude00",
                "\\/",
                "{",
                ",",
            ];
            const NUMBERS: [&str; 7] = ["0", "-1", "12345678901234567890", "0.5", "1e3", "-2.5E-7", "-0"];
            out.push_str(self.pick(&SPACE));
            match self.below(if depth == 0 { 4 } else { 7 }) {
                0 => out.push_str(self.pick(&["true", "false", "null"])),
                1 => out.push_str(self.pick(&NUMBERS)),
                2 | 3 => self.text(&TEXT, out),
                4 => {
                    out.push('[');
                    for position in 0..self.below(4) {
                        out.push_str(if position > 0 { "," } else { "" });
                        self.write(depth - 1, out);
                    }
                    out.push(']');
                }
                _ => {
                    out.push('{');
                    for position in 0..self.below(30) % 5 {
                        out.push_str(if position > 0 { ", " } else { "" });
                        self.text(&TEXT, out);
                        out.push_str(self.pick(&SPACE));
                        out.push(':');
                        self.write(depth - 1, out);
                    }
                    out.push('}');
                }
            }
            out.push_str(self.pick(&SPACE));
        }

        fn text(&mut self, pieces: &[&str], out: &mut String) {
            out.push('"');
            for _ in 0..self.below(6) {
                out.push_str(self.pick(pieces));
            }
            out.push('"');
        }
    }

    #[test]
    fn random_documents_whole_and_damaged_agree_with_serde_json() {
        const DAMAGE: [&str; 14] = ["", "\"", "\\", "{", "}", "[", "]", ",", ":", "0", "e", "\u{1}", "\u{a0}", "\\u"];
        let mut random = Random(1);
        let (mut num_read, mut num_refused) = (0, 0);
        for _ in 0..20_000 {
            let mut text = String::new();
            random.write(4, &mut text);
            // Whatever serde_json reads is read here, so that the quick way is the usual one.
            assert_eq!(agrees(&text), parse_slowly(&text).is_ok(), "{text}");
            num_read += usize::from(agrees(&text));
            let mut at = random.below(text.len() + 1);
            while !text.is_char_boundary(at) {
                at -= 1;
            }
            let end = (at + 1..=text.len()).find(|end| text.is_char_boundary(*end)).unwrap_or(at);
            let range = if random.below(2) == 0 { at..at } else { at..end };
            text.replace_range(range, random.pick(&DAMAGE));
            num_refused += usize::from(!agrees(&text));
        }
        assert!(num_read > 15_000 && num_refused > 5_000, "{num_read} {num_refused}");
    }
}
