//! I1 and B9: what was learnt, written to a file and read again.

use std::io::Write;
use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use flate2::Compression;
use flate2::write::ZlibEncoder;
use hedgerow_core::LatencyView;
use hedgerow_latency::hlog::{self, HlogError, Interval, Unit};
use hedgerow_latency::{Latency, Snapshot};
use proptest::prelude::*;

fn learnt(answered: &[u64], cut: &[u64]) -> Latency {
    let latency = Latency::new();
    for &us in answered {
        latency.record(Duration::from_micros(us));
    }
    for &us in cut {
        latency.record_censored(Duration::from_micros(us));
    }
    latency
}

fn epoch(seconds: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
}

proptest! {
    /// No sample moves to another bucket on its way through a log.
    #[test]
    fn a_log_gives_back_the_very_snapshot(
        answered in proptest::collection::vec(1u64..3_600_000_000, 0..200),
        cut in proptest::collection::vec(1u64..3_600_000_000, 0..50),
    ) {
        let snapshot = learnt(&answered, &cut).total();
        let interval = Interval::new(epoch(1_700_000_000), Duration::from_secs(5), snapshot);
        let mut file = Vec::new();
        hlog::write(&mut file, std::slice::from_ref(&interval)).expect("a Vec can be written");
        let read = hlog::read(&file, Unit::Nanoseconds).expect("our own log");
        prop_assert_eq!(read, vec![interval]);
    }

    #[test]
    fn a_snapshot_survives_as_json(
        answered in proptest::collection::vec(1u64..3_600_000_000, 0..200),
        cut in proptest::collection::vec(1u64..3_600_000_000, 0..50),
    ) {
        for latency in [learnt(&answered, &cut), learnt(&answered, &cut).coarse()] {
            let json = serde_json::to_string(&latency.total()).expect("plain data");
            let read: Snapshot = serde_json::from_str(&json).expect("our own data");
            prop_assert_eq!(read, latency.total());
        }
    }

    /// Whatever stands in the file: an error or intervals, never a panic.
    #[test]
    fn any_bytes_are_a_log_or_an_error(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _ = hlog::read(&bytes, Unit::Nanoseconds);
    }

    #[test]
    fn a_damaged_log_is_read_or_refused(at in 0usize..400, with in any::<u8>()) {
        let mut file = Vec::new();
        let snapshot = learnt(&[10, 2_000, 300_000], &[50]).total();
        let interval = Interval::new(epoch(7), Duration::from_secs(1), snapshot);
        hlog::write(&mut file, &[interval]).expect("a Vec can be written");
        let at = at % file.len();
        file[at] = with;
        if let Ok(intervals) = hlog::read(&file, Unit::Nanoseconds) {
            for interval in intervals {
                let _ = interval.snapshot.quantile(0.99);
            }
        }
    }
}

#[test]
fn intervals_keep_their_order_tags_times_and_what_was_cut_off() {
    let one = Interval::new(
        epoch(100),
        Duration::from_secs(60),
        learnt(&[5_000], &[9_000]).total(),
    );
    let two = Interval::new(
        epoch(160),
        Duration::from_millis(1_500),
        learnt(&[7_000; 9], &[]).total(),
    )
    .tag("backend-a");
    let three = Interval::new(
        epoch(160),
        Duration::from_secs(1),
        learnt(&[1], &[2, 3]).total(),
    )
    .tag("backend-b");
    let all = [one, two, three];
    let mut file = Vec::new();
    hlog::write(&mut file, &all).expect("a Vec can be written");
    assert_eq!(
        hlog::read(&file, Unit::Nanoseconds).expect("our own log"),
        all
    );
    let text = String::from_utf8(file).expect("a text format");
    assert_eq!(
        text.lines()
            .filter(|line| line.starts_with("Tag=backend-b.censored,"))
            .count(),
        1
    );
}

/// As hdrhistogram's own writer makes it: nothing says the unit, and the interval's time is counted
/// from the log's start.
#[test]
fn another_programs_log_is_read_in_its_unit() {
    let mut hdr = hdrhistogram::Histogram::<u64>::new(3).expect("three digits");
    hdr.record_n(25_000, 40).expect("in range");
    let mut serializer = hdrhistogram::serialization::V2DeflateSerializer::new();
    let mut file = Vec::new();
    hdrhistogram::serialization::interval_log::IntervalLogWriterBuilder::new()
        .with_start_time(epoch(1_500_000_000))
        .begin_log_with(&mut file, &mut serializer)
        .expect("a Vec can be written")
        .write_histogram(&hdr, Duration::from_secs(3), Duration::from_secs(1), None)
        .expect("a Vec can be written");
    for (unit, want) in [
        (Unit::Nanoseconds, Duration::from_nanos(25_000)),
        (Unit::Microseconds, Duration::from_micros(25_000)),
        (Unit::Milliseconds, Duration::from_millis(25_000)),
    ] {
        let read = hlog::read(&file, unit).expect("a log");
        assert_eq!(read.len(), 1);
        assert_eq!(read[0].start, epoch(1_500_000_003));
        assert_eq!(read[0].snapshot.count(), 40);
        let median = read[0].snapshot.quantile(0.5).expect("samples");
        let off = median.as_secs_f64() / want.as_secs_f64() - 1.0;
        assert!(off.abs() <= 0.01, "{median:?} for {want:?}");
    }
}

#[test]
fn what_is_no_log_is_refused_with_what_is_wrong() {
    let said = |bytes: &[u8]| {
        hlog::read(bytes, Unit::default())
            .expect_err("no log")
            .to_string()
    };
    assert!(
        said(b"hello\n").contains("byte 0 of the log"),
        "{}",
        said(b"hello\n")
    );
    let line = b"1.0,1.0,2.0,bm90IGEgaGlzdG9ncmFt\n";
    assert!(
        said(line).contains("interval 1 of the log holds no histogram"),
        "{}",
        said(line)
    );
    let line = b"1.0,1.0,2.0,%%%%\n";
    assert!(said(line).contains("interval 1"), "{}", said(line));
    let tagged = Interval::new(epoch(1), Duration::from_secs(1), Snapshot::empty()).tag("a b");
    let refused = hlog::write(&mut Vec::new(), &[tagged]).expect_err("a space");
    assert!(
        matches!(&refused, HlogError::Tag(tag) if tag == "a b"),
        "{refused}"
    );
}

#[test]
fn a_snapshot_that_cannot_be_is_refused_with_the_reason() {
    let said = |json: &str| {
        serde_json::from_str::<Snapshot>(json)
            .expect_err("refused")
            .to_string()
    };
    for (json, words) in [
        (
            r#"{"version":2,"grain_bits":7,"events":[],"censored":[]}"#,
            "version 2",
        ),
        (
            r#"{"version":1,"grain_bits":9,"events":[],"censored":[]}"#,
            "grain_bits 9",
        ),
        (
            r#"{"version":1,"grain_bits":7,"events":[[99999,1]],"censored":[]}"#,
            "bucket 99999",
        ),
        (
            r#"{"version":1,"grain_bits":7,"events":[[1,18446744073709551615]],"censored":[[1,9]]}"#,
            "more samples",
        ),
        (
            r#"{"version":1,"grain_bits":7,"events":[],"censored":[],"x":1}"#,
            "unknown field `x`",
        ),
    ] {
        assert!(said(json).contains(words), "{}", said(json));
    }
}

/// B9: the same p95 after a restart.
#[tokio::test(start_paused = true)]
async fn a_restored_histogram_has_the_very_quantiles_it_had() {
    for make in [Latency::new, || Latency::new().coarse()] {
        let (before, after) = (make(), make());
        for us in 1..=2_500u64 {
            before.record(Duration::from_micros(us * us));
            if us.is_multiple_of(20) {
                before.record_censored(Duration::from_micros(us * 1_000));
            }
        }
        before.refresh();
        let saved = serde_json::to_string(&before.window()).expect("plain data");
        after.restore(&serde_json::from_str(&saved).expect("our own data"));
        for q in [0.5, 0.95, 0.99, 0.999] {
            assert!(before.quantile(q).is_some());
            assert_eq!(before.quantile(q), after.quantile(q), "{q}");
        }
        assert_eq!(after.window(), before.window());
        assert_eq!(LatencyView::count(&after), before.window().count());
    }
}

/// Also one whose samples are no whole number of ticks.
#[test]
fn a_restored_histogram_goes_on_learning() {
    for restored in [1_008, 1_000, 1_003] {
        let latency = Latency::new();
        latency.restore(&learnt(&vec![10_000; restored], &[]).total());
        let fast = latency.quantile(0.5).expect("samples");
        assert!(fast < Duration::from_millis(11), "{restored}: {fast:?}");
        // No clock here: published by their number, and rotated when eight halves have come.
        for _ in 0..20_000 {
            latency.record(Duration::from_millis(500));
        }
        let held = latency.window().count();
        assert!(held <= 2 * 8 * 1_008 + 16, "{restored}: {held}");
        latency.refresh();
        let slow = latency.quantile(0.5).expect("samples");
        assert!(slow > Duration::from_millis(490), "{restored}: {slow:?}");
    }
}

/// A line with an uncompressed histogram of three digits whose counts are said to take `said` bytes.
fn line(said: u32, counts: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for word in [0x1c84_9313, said, 0, 3] {
        bytes.extend(u32::to_be_bytes(word));
    }
    for word in [1, 3_600_000_000, 1f64.to_bits()] {
        bytes.extend(u64::to_be_bytes(word));
    }
    bytes.extend(counts);
    format!("1.000,1.000,1.000,{}\n", STANDARD.encode(bytes)).into_bytes()
}

#[test]
fn a_line_takes_no_more_memory_than_it_holds() {
    let count =
        |line: &[u8]| hlog::read(line, Unit::Nanoseconds).map(|all| all[0].snapshot.count());
    assert_eq!(count(&line(2, &[2, 4])).expect("a histogram"), 3);
    for said in [3, u32::MAX] {
        let refused = count(&line(said, &[2, 4])).expect_err("too short");
        assert!(refused.to_string().contains("ends too early"), "{refused}");
    }
    // The number whose negative is none.
    let refused = count(&line(9, &[0xff; 9])).expect_err("no count");
    assert!(refused.to_string().contains("cannot be"), "{refused}");
    // 17 MiB of nothing, packed.
    let mut packed = ZlibEncoder::new(Vec::new(), Compression::best());
    packed
        .write_all(&vec![0; 17 << 20])
        .expect("a Vec can be written");
    let packed = packed.finish().expect("a Vec can be written");
    let mut bytes = 0x1c84_9314_u32.to_be_bytes().to_vec();
    bytes.extend(u32::to_be_bytes(packed.len() as u32));
    bytes.extend(packed);
    let bomb = format!("1.000,1.000,1.000,{}\n", STANDARD.encode(bytes));
    let refused = count(bomb.as_bytes()).expect_err("too large");
    assert!(refused.to_string().contains("larger than any"), "{refused}");
}

#[test]
fn a_time_beyond_all_calendars_is_refused() {
    let held = line(1, &[2]);
    let held = String::from_utf8(held).expect("a text format");
    for head in ["", "#[StartTime: 10.0 (seconds since epoch), x]\n"] {
        let log = format!(
            "{head}{}",
            held.replacen("1.000", "18446744073709551614.000", 1)
        );
        let refused = hlog::read(log.as_bytes(), Unit::Nanoseconds).expect_err("no time");
        assert!(
            matches!(refused, HlogError::Time { number: 1 }),
            "{refused}"
        );
    }
}

/// Written, it would come back as samples that were cut off.
#[test]
fn a_tag_that_marks_cut_off_samples_is_refused() {
    for tag in ["censored", "backend-a.censored"] {
        let tagged = Interval::new(epoch(1), Duration::from_secs(1), Snapshot::empty()).tag(tag);
        let refused = hlog::write(&mut Vec::new(), &[tagged]).expect_err("it means something");
        assert!(
            matches!(&refused, HlogError::Tag(said) if said == tag),
            "{refused}"
        );
    }
}

/// Of the most that a file may say, however often it is read.
fn most(n: u64) -> Snapshot {
    let json = format!(
        r#"{{"version":1,"grain_bits":7,"events":[[1,{n}],[2,{n}]],"censored":[[3,{n}]]}}"#
    );
    serde_json::from_str(&json).expect("it may be said")
}

#[test]
fn snapshots_can_be_merged_without_end() {
    let mut all = most(1 << 46);
    let latency = Latency::new();
    latency.record(Duration::from_micros(1));
    for _ in 0..64 {
        all.merge(&all.clone());
        latency.merge(&all);
    }
    assert_eq!(all.answered(), 2 << 50);
    assert_eq!(all.count(), 3 << 50);
    assert_eq!(latency.total().count(), (3 << 50) + 1);
    assert_eq!(all.max(), Some(Duration::from_micros(2)));
    assert_eq!(all.quantile(0.6), Some(Duration::from_micros(2)));
}

#[test]
fn a_window_that_is_restored_again_and_again_is_not_emptied() {
    let latency = Latency::new();
    for _ in 0..3 {
        latency.restore(&most(1 << 31));
        assert_eq!(latency.window().count(), 3 << 31);
    }
}
