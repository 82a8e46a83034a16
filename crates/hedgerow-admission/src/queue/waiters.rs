//! Those who wait, in lists that need no memory of their own.

use std::ops::{Index, IndexMut};
use std::task::Waker;
use std::time::Instant;

use super::words::{Got, Grant};
use crate::ask::Ask;
use crate::error::Overloaded;
use crate::error::ShedReason;
use crate::ledger::{Decision, Later};

/// A waiter's place in the table.
pub(crate) type Id = u32;

const NONE: Id = Id::MAX;

/// What kind of waiter it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A request: may be refused.
    Request,
    /// A service that gets ready: waits as long as it must.
    Readiness,
}

/// One who waits.
///
/// Whoever hands a place over touches the first 64 bytes of it alone: between two processors lines of
/// memory are what costs.
#[repr(C, align(64))]
pub(super) struct Waiter {
    links: [Link; 2],
    pub(super) waker: Option<Waker>,
    /// When it came; once it is granted, when that was.
    pub(super) since: Instant,
    /// Its number in the order of arrival.
    pub(super) number: u64,
    pub(super) lane: u32,
    pub(super) phase: Phase,
    pub(super) kind: Kind,
    level: u8,
    /// Whether it is given up for a reason of its own.
    timed: bool,
    pub(super) more: More,
}

/// What is only looked at when there is something to see.
pub(super) struct More {
    pub(super) ask: Ask,
    /// When it is given up for a reason of its own.
    expires: Option<(Instant, ShedReason)>,
    /// The question to the ledger, until the waiter has seen it.
    pub(super) asking: Option<Later<Decision>>,
    /// What it has got.
    got: Got,
    refused: Option<Overloaded>,
}

/// What became of a waiter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    Waiting,
    /// It has a place, and the ledger is being asked: by the waiter itself.
    Asking,
    /// It may start.
    Granted,
    /// It was refused.
    Shed,
    /// Its place in the table is free.
    Gone,
}

#[derive(Clone, Copy)]
struct Link {
    before: Id,
    after: Id,
}

/// A list of waiters: of its lane, or of all by arrival.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Which {
    Lane,
    Arrival,
}

/// The two ends of a list.
#[derive(Clone, Copy, Debug)]
pub(super) struct List {
    pub(super) which: Which,
    head: Id,
    tail: Id,
}

/// All waiters, in places that are used again: nothing is moved when one comes or goes.
#[derive(Default)]
pub(super) struct Waiters {
    all: Vec<Waiter>,
    free: Vec<Id>,
}

impl Waiters {
    /// Takes one in.
    #[inline]
    pub(super) fn insert(
        &mut self,
        ask: Ask,
        kind: Kind,
        arrived: Instant,
        lane: u32,
        number: u64,
    ) -> Id {
        let Some(id) = self.free.pop() else {
            let id = self.all.len() as Id;
            self.all.push(Waiter::new(ask, kind, arrived, lane, number));
            return id;
        };
        let waiter = &mut self.all[id as usize];
        waiter.level = ask.priority.level() as u8;
        waiter.more.ask = ask;
        waiter.kind = kind;
        waiter.since = arrived;
        waiter.lane = lane;
        waiter.number = number;
        waiter.timed = false;
        waiter.phase = Phase::Waiting;
        id
    }

    /// It may start from now on, with what it has got.
    #[inline]
    pub(super) fn grant(&mut self, id: Id, got: Option<Got>, now: Instant) {
        let waiter = &mut self.all[id as usize];
        waiter.phase = Phase::Granted;
        waiter.since = now;
        if let Some(got) = got {
            waiter.more.got = got;
        }
    }

    /// It was refused.
    pub(super) fn refuse(&mut self, id: Id, refused: Overloaded) {
        let waiter = &mut self.all[id as usize];
        waiter.phase = Phase::Shed;
        waiter.more.refused = Some(refused);
    }

    /// What was granted to one that is let go next.
    pub(super) fn grant_of(&mut self, id: Id) -> Grant {
        let More { ask, got, .. } = &mut self.all[id as usize].more;
        Grant {
            receipt: got.receipt,
            resource: got.resource,
            key: ask.key.take(),
            cost: ask.cost,
        }
    }

    /// Lets one go: its waker, which is not to be dropped under the lock.
    #[inline]
    pub(super) fn remove(&mut self, id: Id) -> Option<Waker> {
        let waiter = &mut self.all[id as usize];
        let More { ask, asking, .. } = &mut waiter.more;
        if ask.key.is_some() || ask.label.is_some() || asking.is_some() {
            (ask.key, ask.label, *asking) = (None, None, None);
        }
        waiter.phase = Phase::Gone;
        self.free.push(id);
        waiter.waker.take()
    }

    /// How many places are taken.
    pub(super) fn len(&self) -> usize {
        self.all.len() - self.free.len()
    }

    /// Those that wait.
    pub(super) fn waiting(&self) -> impl Iterator<Item = (Id, &Waiter)> {
        let all = self.all.iter().enumerate();
        all.filter(|(_, waiter)| waiter.phase == Phase::Waiting)
            .map(|(id, waiter)| (id as Id, waiter))
    }
}

impl Index<usize> for Waiters {
    type Output = Waiter;

    #[inline]
    fn index(&self, id: usize) -> &Waiter {
        &self.all[id]
    }
}

impl IndexMut<usize> for Waiters {
    #[inline]
    fn index_mut(&mut self, id: usize) -> &mut Waiter {
        &mut self.all[id]
    }
}

impl Waiter {
    fn new(ask: Ask, kind: Kind, arrived: Instant, lane: u32, number: u64) -> Self {
        let alone = Link {
            before: NONE,
            after: NONE,
        };
        Self {
            links: [alone; 2],
            waker: None,
            since: arrived,
            number,
            lane,
            phase: Phase::Waiting,
            kind,
            level: ask.priority.level() as u8,
            timed: false,
            more: More {
                ask,
                expires: None,
                asking: None,
                got: Got::default(),
                refused: None,
            },
        }
    }

    #[inline]
    pub(super) const fn level(&self) -> usize {
        self.level as usize
    }

    /// When it is given up for a reason of its own, and which.
    #[inline]
    pub(super) fn expires(&self) -> Option<(Instant, ShedReason)> {
        self.more.expires.filter(|_| self.timed)
    }

    pub(super) fn expire(&mut self, at: Option<(Instant, ShedReason)>) {
        self.timed = at.is_some();
        if self.timed {
            self.more.expires = at;
        }
    }

    /// Why it was refused.
    pub(super) fn refused(&self) -> Option<Overloaded> {
        self.more.refused.filter(|_| self.phase == Phase::Shed)
    }
}

impl List {
    pub(super) const fn new(which: Which) -> Self {
        Self {
            which,
            head: NONE,
            tail: NONE,
        }
    }

    pub(super) const fn first(&self) -> Option<Id> {
        if self.head == NONE {
            None
        } else {
            Some(self.head)
        }
    }

    pub(super) const fn last(&self) -> Option<Id> {
        if self.tail == NONE {
            None
        } else {
            Some(self.tail)
        }
    }

    #[inline]
    pub(super) fn push(&mut self, all: &mut Waiters, id: Id) {
        let which = self.which as usize;
        all[id as usize].links[which] = Link {
            before: self.tail,
            after: NONE,
        };
        match self.last() {
            Some(last) => all[last as usize].links[which].after = id,
            None => self.head = id,
        }
        self.tail = id;
    }

    /// Puts one back where it was in the order of arrival: near the front.
    pub(super) fn push_in_order(&mut self, all: &mut Waiters, id: Id) {
        let which = self.which as usize;
        let number = all[id as usize].number;
        let (mut before, mut after) = (NONE, self.head);
        while after != NONE && all[after as usize].number < number {
            (before, after) = (after, all[after as usize].links[which].after);
        }
        all[id as usize].links[which] = Link { before, after };
        match before {
            NONE => self.head = id,
            before => all[before as usize].links[which].after = id,
        }
        match after {
            NONE => self.tail = id,
            after => all[after as usize].links[which].before = id,
        }
    }

    #[inline]
    pub(super) fn remove(&mut self, all: &mut Waiters, id: Id) {
        let which = self.which as usize;
        let Link { before, after } = all[id as usize].links[which];
        match before {
            NONE => self.head = after,
            before => all[before as usize].links[which].after = after,
        }
        match after {
            NONE => self.tail = before,
            after => all[after as usize].links[which].before = before,
        }
    }
}
