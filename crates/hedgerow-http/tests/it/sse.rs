//! Event streams, cut anywhere.

use std::time::Duration;

use bytes::Bytes;
use hedgerow_http::sse::{Event, Events, EventsError, Reader, SseError};
use proptest::collection::vec;
use proptest::prelude::*;

use crate::script::{Script, Step};
use crate::sse_model::{Model, read_whole};

/// What a reader makes of `stream` when it is cut behind these bytes.
pub(crate) fn read_cut(stream: &[u8], cuts: &[usize]) -> Result<Model, SseError> {
    let mut reader = Reader::new();
    let mut model = Model::default();
    let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut % (stream.len() + 1)).collect();
    cuts.extend([0, stream.len()]);
    cuts.sort_unstable();
    for ends in cuts.windows(2) {
        let mut chunk = Bytes::copy_from_slice(&stream[ends[0]..ends[1]]);
        while let Some(event) = reader.read(&mut chunk)? {
            model.events.push(told(&event));
        }
        assert!(chunk.is_empty(), "all of a chunk is taken");
    }
    model.id = String::from_utf8_lossy(reader.last_event_id()).into_owned();
    model.retry = reader.retry();
    Ok(model)
}

fn told(event: &Event) -> (String, String, String) {
    let (name, data) = (event.name(), event.text());
    assert!(event.is(&name) || name.contains('\u{fffd}'));
    (
        name.into_owned(),
        data.into_owned(),
        event.id().into_owned(),
    )
}

fn data_of(stream: &str) -> Vec<String> {
    let model = read_cut(stream.as_bytes(), &[]).expect("within the limits");
    model.events.into_iter().map(|(_, data, _)| data).collect()
}

/// Pieces of which streams are made, the odd ones more often than a network would.
fn piece() -> impl Strategy<Value = Vec<u8>> {
    let words: &[&[u8]] = &[
        b"data",
        b"data:",
        b"data: ",
        b"data:  ",
        b"event: ",
        b"event",
        b"id: ",
        b"id",
        b"retry: 1",
        b"retry:",
        b":",
        b": comment",
        b" ",
        b"\n",
        b"\r",
        b"\r\n",
        b"\n\n",
        b"\r\r",
        b"\r\n\r\n",
        b"\xef\xbb\xbf",
        b"\xef\xbb",
        b"\xff",
        b"\0",
        b"x",
        b"{\"a\":1}",
        b"[DONE]",
        b"\xc3\xa9",
    ];
    prop_oneof![
        8 => proptest::sample::select(words).prop_map(<[u8]>::to_vec),
        1 => vec(any::<u8>(), 0..4),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(ProptestConfig::default().cases.max(4_000)))]

    #[test]
    fn however_it_is_cut_a_stream_says_what_it_says_as_a_whole(
        pieces in vec(piece(), 0..40),
        cuts in vec(any::<usize>(), 0..12),
    ) {
        let stream = pieces.concat();
        let whole = read_whole(&stream);
        let read = read_cut(&stream, &cuts);
        prop_assert_eq!(read.as_ref(), Ok(&whole));
        let each_byte: Vec<usize> = (0..stream.len()).collect();
        prop_assert_eq!(read_cut(&stream, &each_byte), Ok(whole));
    }
}

/// The examples that the format itself gives.
#[test]
fn the_formats_own_examples_are_read_as_it_says() {
    assert_eq!(
        data_of("data: YHOO\ndata: +2\ndata: 10\n\n"),
        ["YHOO\n+2\n10"]
    );
    let four = ": test stream\n\ndata: first event\nid: 1\n\ndata:second event\nid\n\ndata:  third event\n";
    let model = read_cut(four.as_bytes(), &[]).expect("within the limits");
    let events: Vec<_> = model
        .events
        .iter()
        .map(|(_, data, id)| (data.as_str(), id.as_str()))
        .collect();
    // The third one is not finished by an empty line.
    assert_eq!(events, [("first event", "1"), ("second event", "")]);
    assert_eq!(data_of("data\n\ndata\ndata\n\ndata:"), ["", "\n"]);
    assert_eq!(data_of("data:test\n\ndata: test\n\n"), ["test", "test"]);
}

#[test]
fn an_event_is_there_with_the_cr_that_ends_it() {
    let mut reader = Reader::new();
    let mut chunk = Bytes::from("data: x\r\r");
    let event = reader.read(&mut chunk).expect("small").expect("one event");
    assert_eq!(event.text(), "x");
    // The LF that comes later is no line of its own.
    let mut chunk = Bytes::from("\ndata: y\n\n");
    let event = reader.read(&mut chunk).expect("small").expect("one event");
    assert_eq!(event.text(), "y");
}

#[test]
fn one_line_of_data_in_one_chunk_is_not_copied() {
    let whole = Bytes::from("event: delta\ndata: {\"text\":\"hello\"}\n\n".to_owned());
    let mut chunk = whole.clone();
    let event = Reader::new().read(&mut chunk).expect("small").expect("one");
    let range = whole.as_ptr_range();
    assert!(range.contains(&event.data().as_ptr()));
    assert!(event.is("delta") && !event.is("message"));
}

#[test]
fn ids_last_and_names_do_not() {
    let stream = "id: 7\nevent: a\ndata\n\ndata\n\nid: 8\0\ndata\n\nid\ndata\n\n";
    let model = read_cut(stream.as_bytes(), &[3, 9]).expect("small");
    let told: Vec<_> = model
        .events
        .iter()
        .map(|(name, _, id)| (name.as_str(), id.as_str()))
        .collect();
    let wanted = [
        ("a", "7"),
        ("message", "7"),
        ("message", "7"),
        ("message", ""),
    ];
    assert_eq!(told, wanted);
}

#[test]
fn retry_is_a_number_of_milliseconds_or_nothing() {
    let retry = |text: &str| read_cut(text.as_bytes(), &[]).expect("small").retry;
    assert_eq!(retry("retry: 1500\n"), Some(Duration::from_millis(1_500)));
    assert_eq!(
        retry("retry: 1500\nretry: soon\n"),
        Some(Duration::from_millis(1_500))
    );
    for none in [
        "retry: -1\n",
        "retry: 1.5\n",
        "retry\n",
        "retry: 99999999999999999999\n",
    ] {
        assert_eq!(retry(none), None, "{none:?}");
    }
}

#[test]
fn what_is_too_long_is_refused_wherever_it_is_cut_and_ever_after() {
    let line = SseError::LineTooLong { max_bytes: 8 };
    let event = SseError::EventTooLarge { max_bytes: 5 };
    let fresh = || Reader::new().max_line_bytes(8).max_event_bytes(5);
    let cases: [(&str, Result<&str, SseError>); 6] = [
        ("data: 45\n\n", Ok("45")),
        ("data: 456\n\n", Err(line)),
        (": a long comment", Err(line)),
        ("data:12\ndata:45\n\n", Ok("12\n45")),
        ("data:12\ndata:456\n\n", Err(event)),
        ("data\ndata\ndata\ndata\ndata\ndata\ndata\n\n", Err(event)),
    ];
    for (stream, wanted) in cases {
        for step in 1..=stream.len() {
            let mut reader = fresh();
            let mut read = Ok(None);
            for piece in stream.as_bytes().chunks(step) {
                read = reader.read(&mut Bytes::copy_from_slice(piece));
                if !matches!(read, Ok(None)) {
                    break;
                }
            }
            let read = read.map(|event| event.expect("one event").text().into_owned());
            assert_eq!(
                read.as_deref().map_err(|error| *error),
                wanted,
                "{stream:?} by {step}"
            );
            if let Err(error) = wanted {
                assert_eq!(reader.read(&mut Bytes::from("data:1\n\n")), Err(error));
                assert_eq!(reader.finish(), Err(error));
            }
        }
    }
}

#[test]
fn a_stream_that_was_cut_off_says_so() {
    let read = |stream: &'static str| {
        let mut reader = Reader::new();
        let mut chunk = Bytes::from(stream);
        while reader.read(&mut chunk).expect("small").is_some() {}
        reader
    };
    for whole in [
        "",
        "data: x\n\n",
        ": nothing\n",
        "data: x\r\r",
        "retry: 1\n",
    ] {
        assert!(!read(whole).is_unfinished(), "{whole:?}");
        assert_eq!(read(whole).finish(), Ok(None), "{whole:?}");
    }
    for (cut, data) in [
        ("data: x", "x"),
        ("data: x\n", "x"),
        ("data: x\ndata", "x\n"),
    ] {
        let mut reader = read(cut);
        assert!(reader.is_unfinished(), "{cut:?}");
        let event = reader.finish().expect("small").expect("what there is");
        assert_eq!(event.text(), data, "{cut:?}");
        assert!(!reader.is_unfinished());
    }
    for nothing in ["event: x\n", "\u{feff}"] {
        assert_eq!(read(nothing).finish(), Ok(None));
    }
}

#[tokio::test]
async fn a_bodys_events_end_with_it_or_with_its_error() {
    let steps = [
        Step::data("data: a\n"),
        Step::Pending,
        Step::data("\ndata: b\n\ndata: c"),
        Step::trailers(),
    ];
    let mut events = Events::new(Script::new(steps.clone()));
    let mut read = Vec::new();
    while let Some(event) = events.next().await {
        read.push(event.expect("no error").text().into_owned());
    }
    assert_eq!(read, ["a", "b"]);
    assert!(events.reader().is_unfinished());

    let broken = Script::new(
        steps
            .into_iter()
            .chain([Step::Fails(3), Step::data("\n\n")]),
    );
    let mut events = Events::new(broken);
    let mut read = Vec::new();
    while let Some(event) = events.next().await {
        read.push(event.map(|event| event.text().into_owned()));
    }
    let wanted = [Ok("a".into()), Ok("b".into()), Err(EventsError::Body(3))];
    assert_eq!(read, wanted);
    assert!(events.next().await.is_none());
}

#[tokio::test]
async fn an_event_without_an_end_is_refused_and_its_body_let_go() {
    let body = Script::new((0..100).map(|_| Step::data("data: endless\n")));
    let polls = body.polls.clone();
    let mut events = Events::with_reader(body, Reader::new().max_event_bytes(20));
    let error = events
        .next()
        .await
        .expect("an error")
        .expect_err("too large");
    assert_eq!(
        error,
        EventsError::Sse(SseError::EventTooLarge { max_bytes: 20 })
    );
    assert!(events.next().await.is_none());
    // Two lines of seven bytes and the line feed between them fit, a third one does not.
    assert_eq!(polls.load(std::sync::atomic::Ordering::Relaxed), 3);
}
