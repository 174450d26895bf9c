//! Records one after another, the turns of each apart from the rest.
//!
//! What stands between the values of a record, keys included, is mostly what stood there in the last one. It is compared
//! as bytes, and where it is the same the keys are known, and known to be different from each other.

use std::borrow::Cow;

use super::turns::Turns;
use super::{DEPTH, Entry, Reader, Spare};
use crate::bits::Seen;
use crate::path::Names;
use crate::value::{Value, is_odd};

#[derive(Debug)]
pub(crate) struct Records<'a> {
    /// The key of the list of turns.
    list: String,
    /// The turns of the last record, if they stand apart.
    pub(crate) turns: Turns<'a>,
    /// The last record; where its turns stand apart, their list is empty.
    pub(crate) record: Value<'a>,
    /// What stands before each of its values: `{"id": `, `, "image": `.
    gaps: Vec<String>,
    pub(crate) names: Names,
}

impl<'a> Records<'a> {
    pub(crate) fn new(list: &str, turns: Turns<'a>) -> Self {
        Self { list: list.to_owned(), turns, record: Value::Map(Vec::new()), gaps: Vec::new(), names: Names::of([]) }
    }

    /// Reads an object. The answer says whether its turns stand apart; there is none where this is no way to read it.
    pub(crate) fn read(&mut self, text: &'a str, bits: Seen<'_, 'a>, spare: &mut Spare<'a>) -> Option<bool> {
        let mut reader = Reader { text, at: 0, spare, bits: Some(bits) };
        let Value::Map(entries) = &mut self.record else { return None };
        let known = entries.len();
        let read = reader.object(&self.list, &mut self.turns, &mut self.gaps, entries).filter(|_| {
            reader.skip_space();
            reader.at == text.len()
        });
        if read.is_none() {
            // These keys may be what is wrong.
            self.gaps.clear();
            entries.clear();
        }
        let is_known = read.is_some_and(|(_, is_known)| is_known) && entries.len() == known;
        if !is_known {
            self.names = Names::of(entries.iter().map(|(name, _)| name.as_ref()));
        }
        read.map(|(are_apart, _)| are_apart)
    }
}

impl<'a> Reader<'a, '_> {
    /// Whether the turns stand apart, and whether all keys are those of the last record.
    fn object(
        &mut self,
        list: &str,
        turns: &mut Turns<'a>,
        gaps: &mut Vec<String>,
        entries: &mut Vec<Entry<'a>>,
    ) -> Option<(bool, bool)> {
        let (mut are_apart, mut is_known, mut position) = (false, true, 0);
        loop {
            let start = self.at;
            if !gaps.get(position).is_some_and(|gap| self.steps_over(gap)) {
                let more = if position == 0 {
                    self.expect(b'{')?;
                    !self.closes(b'}')
                } else {
                    self.goes_on(b'}')?
                };
                gaps.truncate(position);
                entries.truncate(position);
                if !more {
                    break;
                }
                let key = self.key()?;
                gaps.push(self.text[start..self.at].to_owned());
                entries.push((Cow::Owned(key.into_owned()), Value::Null));
                is_known = false;
            }
            let (key, value) = entries.get_mut(position)?;
            let start = self.at;
            if key == list && self.turns(turns).is_some() {
                are_apart = true;
                self.put(value, Value::List(Vec::new()));
            } else {
                self.at = start;
                let read = if self.peek()? == b'"' {
                    self.at += 1;
                    let (text, _) = self.said()?;
                    self.at += 1;
                    Value::Text(text)
                } else {
                    self.value(DEPTH - 1)?
                };
                self.put(value, read);
            }
            position += 1;
        }
        (is_known || !is_odd(entries)).then_some((are_apart, is_known))
    }

    /// The key that comes next; colon and space behind it are stepped over.
    fn key(&mut self) -> Option<Cow<'a, str>> {
        self.skip_space();
        let key = (self.peek()? == b'"').then(|| self.string())??;
        self.expect(b':')?;
        self.skip_space();
        Some(key)
    }

    /// Puts a value where another one was, whose memory is kept.
    fn put(&mut self, place: &mut Value<'a>, value: Value<'a>) {
        let before = std::mem::replace(place, value);
        if matches!(before, Value::List(_) | Value::Map(_) | Value::Text(Cow::Owned(_))) {
            self.spare.keep(before);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bits::Bits;
    use crate::sample::Role;
    use crate::value::parse_json;

    /// Reads as [`Records`] does what `parse_json` reads as one tree; a list that stands apart is put together again.
    struct Both<'a> {
        records: Records<'a>,
        bits: Bits,
        spare: Spare<'a>,
    }

    impl<'a> Both<'a> {
        fn new() -> Self {
            let records = Records::new("turns", Turns::new("from", "value"));
            Self { records, bits: Bits::default(), spare: Spare::default() }
        }

        /// Whether the text was read, and whether its turns stand apart.
        fn read(&mut self, text: &'a str) -> (bool, bool) {
            self.bits.look(text.as_bytes());
            let seen = self.bits.of(text.as_bytes()).unwrap();
            let read = self.records.read(text, seen, &mut self.spare);
            let expected = parse_json(text.as_bytes());
            let Some(are_apart) = read else { return (false, false) };
            let Value::Map(entries) = &self.records.record else { panic!("{text}") };
            assert_eq!(self.records.names, Names::of(entries.iter().map(|(name, _)| name.as_ref())), "{text}");
            let expected = expected.unwrap_or_else(|reason| panic!("{reason}: {text}"));
            if !are_apart {
                assert_eq!(self.records.record, expected, "{text}");
                return (true, false);
            }
            let (Value::Map(found), Value::Map(mut entries)) = (self.records.record.clone(), expected) else {
                panic!("{text}");
            };
            for (key, value) in &mut entries {
                if key == "turns" {
                    let Value::List(items) = std::mem::replace(value, Value::List(Vec::new())) else {
                        panic!("{text}")
                    };
                    assert_eq!(items.len(), self.records.turns.found.len(), "{text}");
                    for (item, turn) in items.iter().zip(&self.records.turns.found) {
                        let Value::Map(both) = item else { panic!("{text}") };
                        assert_eq!(both.len(), 2, "{text}");
                        let role = item.get("from").and_then(Value::scalar_text).unwrap();
                        assert_eq!(Role::parse(&role), Some(turn.role), "{text}");
                        assert_eq!(item.get("value").and_then(Value::scalar_text).unwrap(), turn.text, "{text}");
                        assert!(turn.may_show || !turn.text.contains('<'), "{text}");
                    }
                }
            }
            assert_eq!(found, entries, "{text}");
            (true, true)
        }
    }

    const USUAL: &str = concat!(
        r#"{"id": 1, "image": "a.png", "turns": [{"from": "human", "value": "<image>\nWhat?"}, "#,
        r#"{"from": "gpt", "value": "A boat, é \"x\""}, {"from": "human", "value": ""}], "more": {"a": [1, null]}}"#
    );

    #[test]
    fn a_record_that_leaves_the_shape_at_any_byte_is_read_as_if_it_were_alone() {
        let changes = ["", " ", "\"", "x", "0", ",", "}", "]", "{", "[", ":", "\\", "\n", "é", "\\u0041", "\",\""];
        let mut num_read = 0;
        for at in (0..=USUAL.len()).filter(|at| USUAL.is_char_boundary(*at)) {
            let rest = &USUAL[at..];
            let behind = rest.chars().next().map_or(rest, |first| &rest[first.len_utf8()..]);
            for change in changes {
                for changed in [[&USUAL[..at], change, rest].concat(), [&USUAL[..at], change, behind].concat()] {
                    let mut both = Both::new();
                    assert_eq!(both.read(USUAL), (true, true));
                    let (is_read, _) = both.read(&changed);
                    // What is well formed is read here, but for what only serde_json decides.
                    assert_eq!(is_read, parse_json(changed.as_bytes()).is_ok(), "{changed}");
                    num_read += usize::from(is_read);
                    assert_eq!(both.read(USUAL), (true, true), "after {changed}");
                }
            }
        }
        assert!(num_read > 500, "{num_read}");
    }

    #[test]
    fn turns_stand_apart_only_where_nothing_else_is_said() {
        let mut both = Both::new();
        for (text, are_apart) in [
            (r#"{"turns":[]}"#, true),
            (r#"{"turns":[{"from":"gpt","value":"a"}]}"#, true),
            (r#"{"turns":[{"value":"a","from":"gpt"},{"value":"b","from":"human"}]}"#, true),
            (r#"{"turns":[{"value":"a","from":"gpt"},{"from":"human","value":"b"},{"from":"gpt","value":"c"}]}"#, true),
            (r#" { "turns" : [ { "from" : "gpt" , "value" : "a" } , { "from" : "gpt" , "value" : "b" } ] } "#, true),
            (r#"{"x":1,"turns":[{"from":"gpt","value":"data:image/png;base64,AA=="}]}"#, true),
            (r#"{"x":1,"turns":[{"from":"gpt","value":"data:;base64,AA=="}]}"#, false),
            (r#"{"turns":[{"from":"nobody","value":"a"}]}"#, false),
            (r#"{"turns":[{"from":"gpt","value":null}]}"#, false),
            (r#"{"turns":[{"from":"gpt","value":["a"]}]}"#, false),
            (r#"{"turns":[{"from":"gpt","value":"a","weight":0}]}"#, false),
            (r#"{"turns":[{"from":"gpt","value":"a"},{"from":"gpt"}]}"#, false),
            (r#"{"turns":[{"from":"gpt","value":"a"},"b"]}"#, false),
            (r#"{"turns":{"from":"gpt","value":"a"}}"#, false),
            (r#"{"turns":"a"}"#, false),
            ("{}", false),
        ] {
            assert_eq!(both.read(text), (true, are_apart), "{text}");
        }
        for text in [
            r#"{"turns":[{"from":"gpt","from":"gpt"}]}"#,
            r#"{"turns":[{"value":"a","value":"gpt"}]}"#,
            r#"{"turns":[],"turns":[]}"#,
            r#"{"x":1,"turns":[{"from":"gpt","value":"a"}],"x":2}"#,
            r#"{"x":1,"turns":[{"from":"gpt","value":"a"}],"x":2}"#,
            r#"{"turns":[{"from":"gpt","value":"a"}]} 1"#,
            "[1]",
            "",
        ] {
            assert_eq!(both.read(text), (false, false), "{text}");
        }
    }

    #[test]
    fn what_stands_between_turns_is_known_in_its_place_alone() {
        let known = [
            r#"{"turns":[{"from":"gpt","value":"a"},{"from":"human","value":"b"}]}"#,
            r#"{"turns":[{"value":"a","from":"gpt"},{"value":"b","from":"human"}]}"#,
            r#"{"turns":[{"value":"a","from":"gpt"},{"from":"human","value":"b"}]}"#,
            r#"{"turns":[{"from":"gpt","value":"a"},{"value":"b","from":"human"}]}"#,
        ];
        // All that these are made of, put together in any way.
        let opens = [r#"{"from":"gpt","value":""#, r#"{"value":""#, "", r#""},{"from":"human","value":""#];
        let goes_on = [
            r#""},{"from":"human","value":""#,
            r#""},{"value":""#,
            r#"","from":"gpt"},{"value":""#,
            r#"","from":"gpt"},{"from":"human","value":""#,
        ];
        let closes = [r#""}"#, r#"","from":"human"}"#, "\"", ""];
        let mut num_read = 0;
        for (first, last) in opens.iter().flat_map(|first| closes.iter().map(move |last| (first, last))) {
            for (one, other) in goes_on.iter().flat_map(|one| goes_on.iter().map(move |other| (one, other))) {
                for between in [String::new(), (*one).to_owned(), format!("{one}x{other}")] {
                    let text = format!(r#"{{"turns":[{first}x{between}x{last}]}}"#);
                    let mut both = Both::new();
                    for text in known {
                        assert_eq!(both.read(text), (true, true));
                    }
                    let (is_read, _) = both.read(&text);
                    assert_eq!(is_read, parse_json(text.as_bytes()).is_ok(), "{text}");
                    num_read += usize::from(is_read);
                }
            }
        }
        assert!(num_read > 50, "{num_read}");
    }

    #[test]
    fn turns_in_ever_new_ways_are_read() {
        let mut both = Both::new();
        let lines: Vec<String> = (0..300)
            .map(|number: usize| {
                let [one, other] = [number % 19, number % 23].map(|length| " ".repeat(length));
                let role = ["human", "gpt", "GPT", "User"][number % 4];
                format!(
                    r#"{{"turns":[{{"from":{one}"{role}","value":"a"}}{other},{{"value":"b"{one},"from":"{role}"}}]}}"#
                )
            })
            .collect();
        for line in lines.iter().chain(&lines) {
            assert_eq!(both.read(line), (true, true), "{line}");
        }
    }

    #[test]
    fn many_records_of_many_shapes_agree_with_trees() {
        let mut state = 1_u64;
        let mut below = |limit: usize| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) as usize % limit
        };
        let texts = [
            "",
            "a",
            "two words",
            "<image>",
            "line\\nbreak",
            "é",
            "\\u4e2d\\ud83d\\ude00",
            "a text of many words, 1234",
        ];
        let values =
            ["1", "null", "[1, {\"a\": 2}]", "{\"b\": []}", "\"plain\"", "\"esc\\taped\"", "-0.5e3", "true", "01"];
        let mut lines = Vec::new();
        for _ in 0..20_000 {
            let mut entries = Vec::new();
            for key in ["id", "image", "x"] {
                if below(4) > 0 {
                    entries.push(format!("\"{key}\": {}", values[below(values.len())]));
                }
            }
            let mut turn = |odd: bool| {
                let role =
                    format!("\"from\": \"{}\"", ["human", "gpt", "system", "nobody"][below(if odd { 4 } else { 3 })]);
                let text = format!("\"value\": \"{}\"", texts[below(texts.len())]);
                match below(if odd { 4 } else { 1 }) {
                    0 | 1 => format!("{{{role}, {text}}}"),
                    2 => format!("{{{text},{role}}}"),
                    _ => format!("{{{role}, {text}, \"n\": 1}}"),
                }
            };
            let turns: Vec<String> = (0..5).map(|number| turn(number == 4)).collect();
            entries.insert(below(entries.len() + 1), format!("\"turns\": [{}]", turns[below(5)..].join(", ")));
            lines.push(format!("{{{}}}", entries.join(", ")));
        }
        let mut both = Both::new();
        let (mut num_apart, mut num_refused) = (0, 0);
        for line in &lines {
            let (is_read, are_apart) = both.read(line);
            assert_eq!(is_read, parse_json(line.as_bytes()).is_ok(), "{line}");
            num_apart += usize::from(are_apart);
            num_refused += usize::from(!is_read);
        }
        assert!(num_apart > 8_000 && num_refused > 200, "{num_apart} {num_refused}");
    }
}
