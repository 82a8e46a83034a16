//! Ten seconds of streams that nobody would send.

use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

use bytes::Bytes;
use hedgerow_http::sse::Reader;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tokio::time::Instant;

use crate::sse::read_cut;
use crate::sse_model::read_whole;

const FOR: Duration = Duration::from_secs(10);

/// What real streams look like; the fuzzing damages them.
const SEEDS: [&[u8]; 4] = [
    b"data: {\"id\":\"1\",\"choices\":[{\"delta\":{\"content\":\"a\"}}]}\n\ndata: [DONE]\n\n",
    b"event: message_start\r\ndata: {\"type\":\"message_start\"}\r\n\r\nevent: ping\r\ndata: {}\r\n\r\n",
    b"\xef\xbb\xbf: hello\rid: 1\rretry: 10\rdata: x\rdata: y\r\r",
    b"id\ndata\n\ndata:\ndata\n\nevent\n\n:::\n\n",
];

fn damaged(random: &mut StdRng) -> Vec<u8> {
    let mut stream = Vec::new();
    for _ in 0..random.random_range(1..4) {
        stream.extend_from_slice(SEEDS[random.random_range(0..SEEDS.len())]);
    }
    for _ in 0..random.random_range(0..12) {
        let at = random.random_range(0..=stream.len());
        match random.random_range(0..4) {
            0 if at < stream.len() => stream[at] = random.random(),
            1 if at < stream.len() => drop(stream.remove(at)),
            2 => stream.insert(at, b"\n\r: \0d"[random.random_range(0..6)]),
            _ => {
                let from = random.random_range(0..=at);
                let again = stream[from..at].to_vec();
                stream.splice(at..at, again);
            }
        }
    }
    stream
}

/// The reader keeps what its limits allow and no more, and never panics.
fn within_limits(stream: &[u8], random: &mut StdRng) {
    let (max_line, max_event) = (random.random_range(0..64), random.random_range(0..64));
    let mut reader = Reader::new()
        .max_line_bytes(max_line)
        .max_event_bytes(max_event);
    let mut rest = stream;
    let mut failed = false;
    while !rest.is_empty() {
        let (piece, later) = rest.split_at(random.random_range(1..=rest.len()));
        rest = later;
        let mut chunk = Bytes::copy_from_slice(piece);
        loop {
            match reader.read(&mut chunk) {
                Ok(Some(event)) => {
                    assert!(!failed && event.data().len() <= max_event);
                }
                Ok(None) => break assert!(!failed),
                Err(_) => break failed = true,
            }
        }
    }
    let last = reader.finish();
    assert!(last.is_err() || !failed);
    assert!(last.is_err() || !reader.is_unfinished());
}

#[test]
fn for_ten_seconds_no_stream_is_misread_whatever_is_wrong_with_it() {
    let seed: u64 = RandomState::new().hash_one(0);
    println!("seed {seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let (start, mut streams) = (Instant::now(), 0_u64);
    while start.elapsed() < FOR {
        let stream = damaged(&mut random);
        let cuts: Vec<usize> = (0..random.random_range(0..9))
            .map(|_| random.random_range(0..=stream.len()))
            .collect();
        let read = read_cut(&stream, &cuts).expect("far below the limits");
        assert_eq!(
            read,
            read_whole(&stream),
            "{:?} cut at {cuts:?}",
            stream.escape_ascii()
        );
        within_limits(&stream, &mut random);
        streams += 1;
    }
    println!("{streams} streams");
}
