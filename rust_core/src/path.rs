//! Where a value is in a record: `metadata.answer`, `answers[0]`.

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::value::Value;

/// A dotted path into a record (`metadata.answer`, `answers[0]`); a trailing `?` says it may be absent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Path {
    text: String,
    steps: Vec<Step>,
    optional: bool,
    /// The names of which a record has one, if there is something at the path.
    names: Names,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Step {
    Key(String),
    At(usize),
}

impl Path {
    pub fn parse(text: &str) -> std::result::Result<Self, String> {
        let (body, optional) = match text.strip_suffix('?') {
            Some(body) => (body, true),
            None => (text, false),
        };
        if body.is_empty() {
            return Err("an empty path".to_owned());
        }
        let mut steps = Vec::new();
        for (position, piece) in body.split('.').enumerate() {
            let (key, mut rest) = match piece.find('[') {
                Some(bracket) => piece.split_at(bracket),
                None => (piece, ""),
            };
            if !key.is_empty() {
                steps.push(Step::Key(key.to_owned()));
            } else if rest.is_empty() || position > 0 {
                return Err(format!("`{text}` has an empty step"));
            }
            while let Some(inner) = rest.strip_prefix('[') {
                let (number, tail) = inner.split_once(']').ok_or_else(|| format!("`{text}` lacks a `]`"))?;
                steps.push(Step::At(number.parse().map_err(|_| format!("`{text}`: `[{number}]` is no position"))?));
                rest = tail;
            }
            if !rest.is_empty() {
                return Err(format!("`{text}` has text after a `]`"));
            }
        }
        let names = match &steps[0] {
            Step::Key(first) => Names::of([body, first]),
            Step::At(_) => Names::ANY,
        };
        Ok(Self { text: body.to_owned(), steps, optional, names })
    }

    /// The path as it is written, without its mark.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The key that the path is, if it is no more than that.
    pub(crate) fn key(&self) -> Option<&str> {
        match self.steps.as_slice() {
            [Step::Key(key)] => Some(key),
            _ => None,
        }
    }

    /// Whether what lies under a key of the record may be found.
    pub(crate) fn begins_with(&self, key: &str) -> bool {
        self.text == key || matches!(self.steps.first(), Some(Step::Key(first)) if first == key)
    }

    /// The value at the path; null counts as absent. A key that holds dots itself is found whole.
    pub fn find<'v, 'a>(&self, record: &'v Value<'a>) -> Option<&'v Value<'a>> {
        let step = |value: &'v Value<'a>, step: &Step| match (step, value) {
            (Step::Key(key), value) => value.get(key),
            (Step::At(position), Value::List(items)) => items.get(*position),
            (Step::At(_), _) => None,
        };
        let found = match self.steps.as_slice() {
            [Step::Key(key)] => record.get(key),
            steps => record.get(&self.text).or_else(|| steps.iter().try_fold(record, step)),
        };
        found.filter(|value| !value.is_null())
    }

    /// The same, where these are the names of the record: most paths that lead nowhere are told by them.
    pub(crate) fn find_among<'v, 'a>(&self, record: &'v Value<'a>, names: Names) -> Option<&'v Value<'a>> {
        if self.names.0 & names.0 == 0 { None } else { self.find(record) }
    }

    /// The value at the path; only an optional path may lead to none.
    pub fn require<'v, 'a>(&self, record: &'v Value<'a>) -> std::result::Result<Option<&'v Value<'a>>, String> {
        self.require_among(record, Names::ANY)
    }

    pub(crate) fn require_among<'v, 'a>(
        &self,
        record: &'v Value<'a>,
        names: Names,
    ) -> std::result::Result<Option<&'v Value<'a>>, String> {
        match self.find_among(record, names) {
            Some(value) => Ok(Some(value)),
            None if self.optional => Ok(None),
            None => Err(format!("no `{}`", self.text)),
        }
    }
}

/// Which names a record may have: a bit for each, which several share.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Names(u64);

impl Names {
    pub(crate) const ANY: Self = Self(u64::MAX);

    pub(crate) fn of<'n>(names: impl IntoIterator<Item = &'n str>) -> Self {
        let bit = |name: &str| {
            let first = name.as_bytes().first().copied().unwrap_or_default();
            1 << ((7 * name.len() + usize::from(first)) % u64::BITS as usize)
        };
        Self(names.into_iter().fold(0, |bits, name| bits | bit(name)))
    }
}

impl Serialize for Path {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("{}{}", self.text, if self.optional { "?" } else { "" }))
    }
}

impl<'de> Deserialize<'de> for Path {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        Path::parse(&String::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::value::parse_json;

    #[test]
    fn a_path_steps_through_maps_and_lists() {
        let record = parse_json(br#"{"a":{"b":[10,{"c":"x"}]},"a.b":"whole","n":null}"#).unwrap();
        let found = |text: &str| Path::parse(text).unwrap().find(&record).map(Value::to_json);
        assert_eq!(found("a.b[1].c").as_deref(), Some("\"x\""));
        assert_eq!(found("a.b").as_deref(), Some("\"whole\""));
        assert_eq!((found("a.b[7]"), found("n"), found("a.z?")), (None, None, None));
    }

    #[test]
    fn names_tell_no_path_that_leads_somewhere() {
        let texts = ["a", "a.b[1].c", "a.b", "a.z", "b", "image?", "images", "n", "a.b.c", "[0]", "value[0]"];
        let mut num_told = 0;
        for record in [r#"{"a":{"b":[10,{"c":"x"}]},"a.b":"whole","n":null}"#, r#"{"image":1}"#, "{}", "[1]"] {
            let record = parse_json(record.as_bytes()).unwrap();
            let names = match &record {
                Value::Map(entries) => Names::of(entries.iter().map(|(name, _)| name.as_ref())),
                _ => Names::ANY,
            };
            for path in texts.map(|text| Path::parse(text).unwrap()) {
                assert_eq!(path.find_among(&record, names), path.find(&record), "{} {record:?}", path.text());
                assert_eq!(path.require_among(&record, names), path.require(&record), "{} {record:?}", path.text());
                num_told += usize::from(path.names.0 & names.0 == 0);
            }
        }
        assert!(num_told > 20, "{num_told}");
    }

    #[test]
    fn a_broken_path_is_told() {
        for text in ["", "?", "a..b", "a[x]", "a[1", "a[1]b"] {
            assert!(Path::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn only_an_optional_path_may_lead_nowhere() {
        let record = parse_json(b"{}").unwrap();
        assert_eq!(Path::parse("a?").unwrap().require(&record), Ok(None));
        assert_eq!(Path::parse("a").unwrap().require(&record).unwrap_err(), "no `a`");
    }
}
