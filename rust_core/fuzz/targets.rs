//! What must hold of any bytes at all. Shared by the mutating test (`tests/fuzz.rs`) and by libFuzzer.

use std::io::Write as _;
use std::path::Path;

use recipe_core::container::{self, Layout, LayoutHint};
use recipe_core::detect::{LOOKED_AT, detect};
use recipe_core::jpeg::{self, Decoder};
use recipe_core::record::{self, Encoding, Span};
use recipe_core::value::parse_json;
use recipe_core::{columnar, index};
use serde_json::Map;

pub(crate) const TARGETS: [&str; 4] = ["scan", "unwrap", "jpeg", "parse"];

/// Runs one target; what must hold and does not is a panic.
pub(crate) fn check(target: &str, data: &[u8]) {
    match target {
        "scan" => scan(data),
        "unwrap" => unwrap(data),
        "jpeg" => decode(data),
        _ => parse(data),
    }
}

/// The first byte says how the file is called, the others are the file.
fn scan(data: &[u8]) {
    const NAMES: [&str; 4] = ["a.jsonl", "a.csv", "a.tsv", "a.tar"];
    let Some((first, stream)) = data.split_first() else { return };
    let hint = LayoutHint {
        records: match first >> 2 & 3 {
            0 => None,
            1 => Some("*".to_owned()),
            _ => Some("data.rows".to_owned()),
        },
        header: (first & 16 != 0).then_some(false),
        quote: (first & 32 != 0).then_some(false),
    };
    let is_sample = |text: &[u8]| {
        parse_json(text).is_ok_and(|value| detect("auto", &Map::new(), std::slice::from_ref(&value)).is_ok())
    };
    let name = NAMES[usize::from(first & 3)];
    let Ok(layout) = container::layout(name, stream, &hint, &is_sample) else { return };
    records(stream, &layout);
}

/// Spans lie in the stream one behind another, and what was indexed reads the same by its span.
fn records(stream: &[u8], layout: &Layout) {
    let (mut spans, mut unread, mut end) = (Vec::new(), 0, 0);
    for found in container::records(stream, layout) {
        let Ok(span) = found else {
            unread += 1;
            continue;
        };
        assert!(span.offset >= end, "records overlap");
        end = span.offset.checked_add(span.length).expect("a span that ends somewhere");
        assert!(span.of(stream).is_some(), "a span beyond the stream");
        spans.push(span);
    }
    let encoding = layout.encoding();
    let bytes = |span: &Span| span.of(stream).expect("checked above");
    let values: Vec<_> =
        spans.iter().filter_map(|span| record::parse(bytes(span), &encoding).ok()).take(LOOKED_AT).collect();
    let Ok(detected) = detect("auto", &Map::new(), &values) else { return };
    let index = index::index(stream, layout, &detected.fields, |_| {});
    let [highs, lows, offsets, lengths] = &index.wide;
    assert_eq!(highs.len() + index.malformed.len(), spans.len() + unread, "a record is neither a sample nor malformed");
    assert!(index.malformed.iter().all(|bad| bad.offset <= stream.len() as u64 && !bad.reason.is_empty()));
    for (row, (high, low)) in highs.iter().zip(lows).enumerate() {
        let span = Span { offset: offsets[row], length: lengths[row] };
        let value = record::parse(bytes(&span), &encoding).expect("it was indexed");
        let sample = detected.fields.sample(&value).expect("it was indexed");
        let id = [high.to_be_bytes(), low.to_be_bytes()].concat();
        assert_eq!(sample.id().as_slice(), id, "read by its span, a record is another sample");
        let (json, _) = sample.to_json();
        parse_json(json.as_bytes()).expect("a sample is JSON");
    }
}

/// A compressed or columnar file: refused, or a stream no longer than was allowed.
fn unwrap(data: &[u8]) {
    const LIMIT: u64 = 1 << 22;
    let folder = tempfile::tempdir().expect("a folder");
    let (path, out) = (folder.path().join("file"), folder.path().join("stream"));
    std::fs::File::create(&path).and_then(|mut file| file.write_all(data)).expect("a file");
    let _ = container::check_table(&path);
    let _ = columnar::check_table(&path);
    let Ok(wrapping) = container::wrapping(&path) else { return };
    if wrapping == container::Wrapping::Plain || container::unwrap(&path, wrapping, &out, LIMIT).is_err() {
        return;
    }
    let stream = read(&out);
    assert!(stream.len() as u64 <= LIMIT, "more than was allowed");
    if let Ok(layout) = container::layout("a.jsonl", &stream, &LayoutHint::default(), &|_| false) {
        records(&stream, &layout);
    }
}

fn read(path: &Path) -> Vec<u8> {
    std::fs::read(path).expect("the stream that was written")
}

/// A picture: what is plain has the same pixels whatever was decoded before, and no others are memory enough.
fn decode(data: &[u8]) {
    const MOST_PIXELS: usize = 1 << 22;
    let Some((height, width)) = jpeg::ordinary(data).filter(|(height, width)| height * width <= MOST_PIXELS) else {
        return;
    };
    let mut decoder = Decoder::default();
    let mut pixels = vec![0; height * width * 3];
    let plain = decoder.decode(data, &mut pixels);
    assert!(!decoder.decode(data, &mut pixels.clone()[1..]), "memory of another size");
    let mut again = vec![255; pixels.len()];
    assert_eq!(decoder.decode(data, &mut again), plain);
    assert!(!plain || again == pixels, "other pixels than before");
}

/// The first byte says how the record is written, the others are the record.
fn parse(data: &[u8]) {
    let Some((first, bytes)) = data.split_first() else { return };
    let encoding = match first % 7 {
        0 | 1 => Encoding::Json,
        2 => Encoding::Entry,
        3 => Encoding::Tar,
        4 => Encoding::Mds,
        rest => Encoding::Row { delimiter: ',', quote: rest == 5, columns: vec!["question".into(), "answer".into()] },
    };
    match record::parse(bytes, &encoding) {
        Err(reason) => assert!(!reason.is_empty()),
        Ok(value) => {
            let text = value.to_json();
            let again = parse_json(text.as_bytes()).map(|value| value.to_json());
            // A member beside a record may repeat a field that it has; JSON may not.
            assert!(again.as_ref() == Ok(&text) || matches!(encoding, Encoding::Tar | Encoding::Mds), "{text}");
        }
    }
}
