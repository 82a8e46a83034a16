//! The items of one partition that wait, in the order in which they came.

use std::collections::VecDeque;
use std::time::Instant;

use crate::event::Reason;
use crate::gaps::Gaps;
use crate::seat::Seat;

/// How many emptied places a lane may have more than items before it is packed.
const SLACK: usize = 32;

/// An item that waits. What its caller has left is emptied at once, its place goes later.
pub(crate) struct Entry<Req, Res> {
    /// Ascends through all lanes, in the order in which items came.
    pub(crate) seq: u64,
    pub(crate) load: Option<Load<Req, Res>>,
}

/// What an item's deadline asks of the queue.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Due {
    /// Half of what was left before the deadline is over: now it is to be sent.
    pub(crate) press: Instant,
    /// The deadline: now it is of no use any more.
    pub(crate) end: Instant,
}

impl Due {
    pub(crate) fn new(now: Instant, end: Instant) -> Self {
        let press = now + end.saturating_duration_since(now) / 2;
        Self { press, end }
    }
}

/// What an item is.
pub(crate) struct Load<Req, Res> {
    pub(crate) request: Req,
    pub(crate) slot: Seat<Res>,
    pub(crate) weight: u64,
    /// When it came, in nanoseconds of the queue's own count.
    pub(crate) at: u64,
    /// Boxed because most have none, and all are moved.
    pub(crate) due: Option<Box<Due>>,
}

pub(crate) struct Lane<Req, Res> {
    entries: VecDeque<Entry<Req, Res>>,
    pub(crate) live: usize,
    pub(crate) weight: u64,
    /// The sum of when the live ones came.
    times: u128,
    pub(crate) gaps: Gaps,
    /// How many live ones have a deadline.
    dues: usize,
    /// The earliest of their times, or earlier ones of items that have left.
    pub(crate) due: Option<Due>,
    /// When the policy wants to be asked again.
    pub(crate) until: Option<Instant>,
    /// At how many items.
    pub(crate) ask_at: usize,
    /// What the queue's timers hold of it.
    pub(crate) timer: Option<Instant>,
    /// Under which number the queue's order holds it.
    pub(crate) listed: Option<u64>,
    /// Whether it is to be looked at.
    pub(crate) dirty: bool,
    /// How many of its batches are with the backend.
    pub(crate) in_flight: usize,
}

/// How much may be taken at once.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Hold {
    pub(crate) size: usize,
    pub(crate) weight: u64,
}

impl<Req, Res> Lane<Req, Res> {
    pub(crate) const fn new() -> Self {
        Self {
            entries: VecDeque::new(),
            live: 0,
            weight: 0,
            times: 0,
            gaps: Gaps::new(),
            dues: 0,
            due: None,
            until: None,
            ask_at: 1,
            timer: None,
            listed: None,
            dirty: false,
            in_flight: 0,
        }
    }

    #[inline]
    pub(crate) fn push(&mut self, seq: u64, load: Load<Req, Res>) {
        self.gaps.arrive(load.at);
        self.live += 1;
        self.weight = self.weight.saturating_add(load.weight);
        self.times += u128::from(load.at);
        if let Some(due) = &load.due {
            self.dues += 1;
            self.due = earliest(self.due, **due);
        }
        self.entries.push_back(Entry {
            seq,
            load: Some(load),
        });
    }

    /// The caller of this item has left: its load, if it is still here.
    pub(crate) fn leave(&mut self, seq: u64) -> Option<Load<Req, Res>> {
        let at = self
            .entries
            .binary_search_by_key(&seq, |entry| entry.seq)
            .ok()?;
        let load = self.entries[at].load.take()?;
        self.gone(&load);
        self.tidy();
        Some(load)
    }

    /// Books that an item is not here any more.
    #[inline]
    fn gone(&mut self, load: &Load<Req, Res>) {
        self.live -= 1;
        self.times -= u128::from(load.at);
        if load.due.is_some() {
            self.dues -= 1;
        }
        self.weight = self.weight.saturating_sub(load.weight);
        if self.live == 0 {
            // It may have been cut off at its largest number.
            self.weight = 0;
        }
    }

    fn tidy(&mut self) {
        while self
            .entries
            .front()
            .is_some_and(|first| first.load.is_none())
        {
            self.entries.pop_front();
        }
        if self.entries.len() > 2 * self.live + SLACK {
            self.entries.retain(|entry| entry.load.is_some());
        }
        if self.dues == 0 {
            self.due = None;
        }
    }

    /// The oldest live item.
    pub(crate) fn first(&self) -> Option<&Entry<Req, Res>> {
        // `tidy` leaves no emptied place in front.
        self.entries.front()
    }

    /// Takes the oldest ones, up to `hold`; a single one that is heavier goes alone.
    pub(crate) fn take<T: From<Load<Req, Res>>>(&mut self, hold: Hold, into: &mut Vec<T>) {
        let (mut weight, mut taken) = (0_u64, 0);
        into.reserve(hold.size.min(self.live));
        while taken < hold.size
            && let Some(first) = self.entries.front_mut()
        {
            if let Some(load) = &first.load {
                weight = weight.saturating_add(load.weight);
                if taken > 0 && weight > hold.weight {
                    break;
                }
            }
            if let Some(load) = first.load.take() {
                taken += 1;
                self.gone(&load);
                into.push(load.into());
            }
            self.entries.pop_front();
        }
        self.recall();
    }

    /// Takes those whose deadline has passed.
    pub(crate) fn expire(&mut self, now: Instant, into: &mut Vec<Load<Req, Res>>) {
        if self.due.is_none_or(|due| due.end > now) {
            return;
        }
        let passed =
            |load: &mut Load<Req, Res>| load.due.as_ref().is_some_and(|due| due.end <= now);
        for at in 0..self.entries.len() {
            if let Some(load) = self.entries[at].load.take_if(passed) {
                self.gone(&load);
                into.push(load);
            }
        }
        self.recall();
    }

    /// Finds the earliest times of those that are still here.
    fn recall(&mut self) {
        self.tidy();
        if self.dues > 0 {
            let live = self.entries.iter().filter_map(|entry| entry.load.as_ref());
            let dues = live.filter_map(|load| load.due.as_deref().copied());
            self.due = dues.fold(None, earliest);
        }
    }

    /// How long all live items have waited at `at`, added up, in nanoseconds.
    pub(crate) fn waited(&self, at: u64) -> u64 {
        let sum = u128::from(at) * self.live as u128;
        u64::try_from(sum.saturating_sub(self.times)).unwrap_or(u64::MAX)
    }

    /// What presses the queue to send, without any policy.
    pub(crate) fn pressing(&self, hold: Hold, now: Instant) -> Option<Reason> {
        if self.live >= hold.size {
            return Some(Reason::Full);
        }
        if self.weight >= hold.weight {
            return Some(Reason::Heavy);
        }
        if self.due.is_some_and(|due| due.press <= now) {
            return Some(Reason::Deadline);
        }
        None
    }

    /// When something is to be done next, after `now`.
    pub(crate) fn next_time(&self, now: Instant) -> Option<Instant> {
        let due = self.due.into_iter().flat_map(|due| [due.press, due.end]);
        self.until
            .into_iter()
            .chain(due)
            .filter(|time| *time > now)
            .min()
    }
}

fn earliest(one: Option<Due>, other: Due) -> Option<Due> {
    Some(one.map_or(other, |one| Due {
        press: one.press.min(other.press),
        end: one.end.min(other.end),
    }))
}
