//! Snapshots as an interval log, the `.hlog` of HdrHistogram's tools.
//!
//! One line an interval: when it began, how long it was, its largest value, and a compressed
//! histogram. `HistogramLogProcessor`, the plotters and other libraries read it.
//!
//! Values are written in nanoseconds, the usual unit of such logs; the column of the largest value
//! is in milliseconds. Samples that were cut off have no place in an HDR histogram: they are
//! written as an interval of their own with the tag `censored` (or `NAME.censored`), which
//! [`read`] puts back and other tools leave aside.
//!
//! # Examples
//!
//! ```
//! use hedgerow_latency::{Latency, hlog};
//! use std::time::{Duration, SystemTime};
//!
//! let latency = Latency::new();
//! for ms in 1..=100 { latency.record(Duration::from_millis(ms)); }
//! latency.record_censored(Duration::from_millis(250));
//! let minute = hlog::Interval::new(SystemTime::UNIX_EPOCH, Duration::from_secs(60), latency.total());
//!
//! let mut file = Vec::new();
//! hlog::write(&mut file, std::slice::from_ref(&minute))?;
//! let read = hlog::read(&file, hlog::Unit::Nanoseconds)?;
//! assert_eq!(read[0].snapshot, minute.snapshot);
//! # Ok::<_, hlog::HlogError>(())
//! ```

use std::io::{self, Read, Write};
use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use flate2::read::ZlibDecoder;
use hdrhistogram::Histogram;
use hdrhistogram::serialization::interval_log::{
    IntervalLogHistogram, IntervalLogIterator, IntervalLogWriterBuilder, IntervalLogWriterError,
    LogEntry, Tag,
};
use hdrhistogram::serialization::{Deserializer, V2DeflateSerializer};

use crate::bucket::{self, Grain, MAX_US};
use crate::cell::Counts;
use crate::snapshot::Snapshot;

const CENSORED: &str = "censored";
/// What a compressed histogram begins with.
const COMPRESSED: [u8; 4] = 0x1c84_9314_u32.to_be_bytes();
/// Bytes before the counts of a histogram.
const HEAD: usize = 40;
/// Bytes of a histogram at most: some millions of counts.
const MAX_HISTOGRAM: u64 = 16 << 20;
/// A log whose times lie more than a year before its start counts them from there.
const YEAR: Duration = Duration::from_secs(365 * 24 * 3_600);

/// One line of a log, or two where samples were cut off.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Interval {
    /// When it began.
    pub start: SystemTime,
    /// How long it was.
    pub length: Duration,
    /// What tells it apart from others of the same time, such as a backend's name. Without commas,
    /// spaces or line breaks, and neither `censored` nor `NAME.censored`.
    pub tag: Option<String>,
    /// What was recorded in it.
    pub snapshot: Snapshot,
}

/// What the values of a log are in: a log does not say.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Unit {
    /// The usual one, and what [`write()`] writes.
    #[default]
    Nanoseconds,
    /// As many load generators write.
    Microseconds,
    /// As some Java programs write.
    Milliseconds,
}

/// Why a log could not be written or read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HlogError {
    /// A tag that a log cannot hold.
    #[error(
        "the tag {0:?} cannot stand in a log: write one without commas, spaces and line breaks, \
         that does not end with `censored`, which marks samples that were cut off"
    )]
    Tag(String),
    /// Not a line of a log.
    #[error("byte {offset} of the log does not begin an interval: is this an HdrHistogram log?")]
    Line {
        /// Where the line begins.
        offset: usize,
    },
    /// A line whose histogram cannot be read.
    #[error("interval {number} of the log holds no histogram that can be read: {reason}")]
    Histogram {
        /// Which interval, from 1.
        number: usize,
        /// What is wrong with it.
        reason: String,
    },
    /// A time beyond all calendars.
    #[error("interval {number} of the log begins at a time that is out of range")]
    Time {
        /// Which interval, from 1.
        number: usize,
    },
    /// It could not be written.
    #[error("the log could not be written")]
    Io(#[from] io::Error),
}

impl Interval {
    /// What `snapshot` recorded in `length` from `start` on, without a tag.
    #[must_use]
    pub fn new(start: SystemTime, length: Duration, snapshot: Snapshot) -> Self {
        Self {
            start,
            length,
            tag: None,
            snapshot,
        }
    }

    /// Sets the tag. Defaults to none.
    #[must_use]
    pub fn tag(mut self, tag: impl Into<String>) -> Self {
        self.tag = Some(tag.into());
        self
    }
}

impl Unit {
    const fn nanos(self) -> u64 {
        match self {
            Self::Nanoseconds => 1,
            Self::Microseconds => 1_000,
            Self::Milliseconds => 1_000_000,
        }
    }
}

/// Writes a log with these intervals.
///
/// # Errors
///
/// [`HlogError::Tag`] for a tag that a log cannot hold, [`HlogError::Io`] when `out` fails.
pub fn write<W: Write>(out: &mut W, intervals: &[Interval]) -> Result<(), HlogError> {
    let mut serializer = V2DeflateSerializer::new();
    let mut log = IntervalLogWriterBuilder::new()
        .add_comment(
            "[Latencies in nanoseconds; the tag `censored` marks samples that were cut off]",
        )
        .with_max_value_divisor(1e6)
        .begin_log_with(out, &mut serializer)?;
    for interval in intervals {
        let start = interval.start.duration_since(SystemTime::UNIX_EPOCH);
        let start = start.unwrap_or_default();
        let counts = interval.snapshot.counts();
        let tag = interval.tag.as_deref();
        if let Some(tag) = tag.filter(|tag| whole_of(tag).is_some()) {
            return Err(HlogError::Tag(tag.to_owned()));
        }
        let censored = match tag {
            Some(tag) => format!("{tag}.{CENSORED}"),
            None => CENSORED.to_owned(),
        };
        let mut rows = vec![(&counts.events, tag)];
        if counts.censored.iter().any(|&n| n > 0) {
            rows.push((&counts.censored, Some(&censored)));
        }
        for (counted, tag) in rows {
            let tag = match tag {
                Some(text) => Some(tag_of(text)?),
                None => None,
            };
            let hdr = hdr_of(counts.grain, counted);
            log.write_histogram(&hdr, start, interval.length, tag)
                .map_err(|error| match error {
                    IntervalLogWriterError::IoError(error) => HlogError::Io(error),
                    IntervalLogWriterError::SerializeError(error) => {
                        HlogError::Io(io::Error::other(error))
                    }
                })?;
        }
    }
    Ok(())
}

/// Reads the intervals of a log whose values are in `unit`, in the order in which they stand there.
///
/// Values that are not latencies of 1 µs to 71 minutes count as the nearest that is.
///
/// # Cost
///
/// An interval takes about 53 KiB, however short its line is. A line whose histogram would take more
/// than 16 MiB to inflate is refused.
///
/// # Errors
///
/// [`HlogError`] at the first line that is not one of a log: nothing is left out in silence.
pub fn read(log: &[u8], unit: Unit) -> Result<Vec<Interval>, HlogError> {
    let (mut began, mut base) = (None, None);
    let mut intervals: Vec<Interval> = Vec::new();
    let mut number = 0;
    for entry in IntervalLogIterator::new(log) {
        match entry {
            Ok(LogEntry::StartTime(time)) => began = Some(time),
            Ok(LogEntry::BaseTime(time)) => base = Some(time),
            Ok(LogEntry::Interval(line)) => {
                number += 1;
                let counted = counts_of(&line, unit, number)?;
                let at = instant(line.start_timestamp(), began, base);
                let start = at.and_then(|at| SystemTime::UNIX_EPOCH.checked_add(at));
                let start = start.ok_or(HlogError::Time { number })?;
                let tag = line.tag().map(|tag| tag.as_str().to_owned());
                add(&mut intervals, start, line.duration(), tag, counted);
            }
            Err(hdrhistogram::serialization::interval_log::LogIteratorError::ParseError {
                offset,
            }) => return Err(HlogError::Line { offset }),
        }
    }
    Ok(intervals)
}

/// Puts cut-off samples beside the answered ones of their interval, anything else at the end.
fn add(
    intervals: &mut Vec<Interval>,
    start: SystemTime,
    length: Duration,
    tag: Option<String>,
    mut counts: Counts,
) {
    let whole = tag.as_deref().and_then(whole_of);
    let Some(whole) = whole.map(|tag| tag.map(str::to_owned)) else {
        let snapshot = Snapshot::new(counts);
        intervals.push(Interval {
            start,
            length,
            tag,
            snapshot,
        });
        return;
    };
    std::mem::swap(&mut counts.events, &mut counts.censored);
    let snapshot = Snapshot::new(counts);
    let theirs = |interval: &&mut Interval| interval.start == start && interval.tag == whole;
    match intervals.iter_mut().rev().find(theirs) {
        Some(interval) => interval.snapshot.merge(&snapshot),
        None => intervals.push(Interval {
            start,
            length,
            tag: whole,
            snapshot,
        }),
    }
}

/// The tag of the interval whose cut-off samples this tag marks, if it does.
fn whole_of(tag: &str) -> Option<Option<&str>> {
    match tag {
        CENSORED => Some(None),
        tag => tag.strip_suffix(".censored").map(Some),
    }
}

/// When an interval began, counted from 1970.
fn instant(written: Duration, began: Option<Duration>, base: Option<Duration>) -> Option<Duration> {
    match (base, began) {
        (Some(base), _) => base.checked_add(written),
        (None, Some(began)) if written.saturating_add(YEAR) < began => began.checked_add(written),
        _ => Some(written),
    }
}

fn tag_of(text: &str) -> Result<Tag<'_>, HlogError> {
    let refused = || HlogError::Tag(text.to_owned());
    if text.is_empty() {
        return Err(refused());
    }
    Tag::new(text).ok_or_else(refused)
}

fn hdr_of(grain: Grain, counted: &[u64]) -> Histogram<u64> {
    let mut hdr = Histogram::new_with_bounds(1_000, MAX_US * 1_000, 3)
        .expect("the bounds are constants that hdrhistogram accepts");
    for (index, &n) in counted.iter().enumerate().filter(|&(_, &n)| n > 0) {
        let ns = (grain.middle(index) * 1_000.0).round() as u64;
        hdr.saturating_record_n(ns.max(1), n);
    }
    hdr
}

fn counts_of(
    line: &IntervalLogHistogram<'_>,
    unit: Unit,
    number: usize,
) -> Result<Counts, HlogError> {
    let unreadable = |reason: String| HlogError::Histogram { number, reason };
    let bytes = STANDARD
        .decode(line.encoded_histogram())
        .map_err(|error| unreadable(error.to_string()))?;
    let plain = inflated(&bytes).map_err(unreadable)?;
    let hdr: Histogram<u64> = Deserializer::new()
        .deserialize(&mut &*plain)
        .map_err(|error| unreadable(error.to_string()))?;
    let mut counts = Counts::new(Grain::FINE);
    for value in hdr.iter_recorded() {
        let middle = hdr.median_equivalent(value.value_iterated_to());
        let ns = middle.saturating_mul(unit.nanos());
        let place = &mut counts.events[Grain::FINE.index(bucket::micros(Duration::from_nanos(ns)))];
        *place = place.saturating_add(value.count_at_value());
    }
    if !counts.is_sane() {
        return Err(unreadable(
            "it holds more samples than can have come".to_owned(),
        ));
    }
    Ok(counts)
}

/// A histogram's bytes without their compression, as far as they are fit for a [`Deserializer`]: it
/// takes as much memory as they say, and negates whatever stands there.
fn inflated(bytes: &[u8]) -> Result<Vec<u8>, String> {
    let mut plain = Vec::new();
    if let Some(rest) = bytes.strip_prefix(&COMPRESSED) {
        // Behind its own length, which says nothing that its end does not.
        let packed = rest.get(4..).unwrap_or_default();
        ZlibDecoder::new(packed)
            .take(MAX_HISTOGRAM + 1)
            .read_to_end(&mut plain)
            .map_err(|error| error.to_string())?;
    } else {
        plain.extend_from_slice(bytes);
    }
    if plain.len() as u64 > MAX_HISTOGRAM {
        return Err("it is larger than any histogram of latencies".to_owned());
    }
    let (Some(said), Some(counts)) = (plain.get(4..8), plain.get(HEAD..)) else {
        return Err("it ends too early".to_owned());
    };
    let said = said.iter().fold(0, |n, &byte| n << 8 | usize::from(byte));
    if said > counts.len() {
        return Err("it ends too early".to_owned());
    }
    // The one number whose negative is none. No count of samples looks like it.
    if counts.windows(9).any(|nine| nine == [0xff; 9]) {
        return Err("it holds a count that cannot be".to_owned());
    }
    Ok(plain)
}
