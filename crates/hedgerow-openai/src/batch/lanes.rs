//! Rows that are collected, by endpoint and model.

use std::collections::HashMap;
use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Semaphore;
use tokio::time::Instant;

use super::body::{Pending, json_url};
use super::lines::row_bytes;

/// What a batch may hold.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    pub(super) rows: usize,
    pub(super) bytes: u64,
    pub(super) inputs: u64,
}

/// Which rows may share a batch: the API takes one endpoint and one model each.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Lane {
    pub(super) endpoint: Arc<str>,
    pub(super) model: Arc<str>,
}

/// Rows that go together.
#[derive(Debug)]
pub(super) struct Formed {
    pub(super) lane: Lane,
    pub(super) rows: Vec<Pending>,
}

#[derive(Debug, Default)]
struct Collecting {
    rows: Vec<Pending>,
    bytes: u64,
    inputs: u64,
    since: Option<Instant>,
}

#[derive(Debug)]
pub(super) struct Lanes {
    limits: Limits,
    window: Duration,
    collecting: Mutex<HashMap<Lane, Collecting>>,
    /// How many submissions of each lane are under way.
    submitting: Mutex<HashMap<Lane, Weak<Semaphore>>>,
    submissions: usize,
}

impl Lanes {
    pub(super) fn new(limits: Limits, window: Duration, submissions: usize) -> Self {
        Self {
            limits,
            window,
            collecting: Mutex::default(),
            submitting: Mutex::default(),
            submissions,
        }
    }

    /// Takes a row. What is full goes; the second is true if the window of a lane began with it.
    pub(super) fn push(&self, lane: &Lane, row: Pending, inputs: u32) -> (Vec<Formed>, bool) {
        let bytes = row_bytes(row.id, &json_url(&lane.endpoint), row.body.len());
        let inputs = u64::from(inputs);
        let mut full = Vec::new();
        let mut lanes = self.collecting.lock();
        let mut taken = lanes.remove(lane).unwrap_or_default();
        let over =
            taken.bytes + bytes > self.limits.bytes || taken.inputs + inputs > self.limits.inputs;
        if over && !taken.rows.is_empty() {
            full.push(formed(lane, &mut taken));
        }
        let began = taken.rows.is_empty();
        taken.rows.push(row);
        taken.bytes += bytes;
        taken.inputs += inputs;
        taken.since.get_or_insert_with(Instant::now);
        if taken.rows.len() >= self.limits.rows {
            full.push(formed(lane, &mut taken));
            return (full, false);
        }
        lanes.insert(lane.clone(), taken);
        (full, began)
    }

    /// Those whose window is over.
    pub(super) fn due(&self, now: Instant) -> Vec<Formed> {
        let window = self.window;
        self.take(|since| now.saturating_duration_since(since) >= window)
    }

    /// All of them.
    pub(super) fn all(&self) -> Vec<Formed> {
        self.take(|_| true)
    }

    fn take(&self, wanted: impl Fn(Instant) -> bool) -> Vec<Formed> {
        let mut lanes = self.collecting.lock();
        let due = lanes.extract_if(|_, taken| taken.since.is_none_or(&wanted));
        due.map(|(lane, mut taken)| formed(&lane, &mut taken))
            .collect()
    }

    /// When the next window is over.
    pub(super) fn next_due(&self) -> Option<Instant> {
        let lanes = self.collecting.lock();
        let since = lanes.values().filter_map(|taken| taken.since).min()?;
        since.checked_add(self.window)
    }

    /// Whether this many bytes fit at all.
    pub(super) fn admits(&self, bytes: u64) -> bool {
        bytes <= self.limits.bytes
    }

    pub(super) const fn limits(&self) -> Limits {
        self.limits
    }

    /// What bounds the submissions of a lane, which delay each other and no others.
    pub(super) fn submissions(&self, lane: &Lane) -> Arc<Semaphore> {
        let mut submitting = self.submitting.lock();
        if let Some(places) = submitting.get(lane).and_then(Weak::upgrade) {
            return places;
        }
        submitting.retain(|_, places| places.strong_count() > 0);
        let places = Arc::new(Semaphore::new(self.submissions));
        submitting.insert(lane.clone(), Arc::downgrade(&places));
        places
    }
}

fn formed(lane: &Lane, taken: &mut Collecting) -> Formed {
    let rows = std::mem::take(taken).rows;
    Formed {
        lane: lane.clone(),
        rows,
    }
}
