//! Those who wait, in lists that need no memory of their own.

use std::mem;
use std::ops::{Index, IndexMut};
use std::task::Waker;
use std::time::Instant;

use super::words::Grant;
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
pub(super) struct Waiter {
    pub(super) ask: Ask,
    pub(super) kind: Kind,
    pub(super) arrived: Instant,
    pub(super) lane: u32,
    /// Its number in the order of arrival.
    pub(super) number: u64,
    /// When it is given up for a reason of its own.
    pub(super) expires: Option<(Instant, ShedReason)>,
    pub(super) phase: Phase,
    pub(super) waker: Option<Waker>,
    links: [Link; 2],
}

/// What became of a waiter.
pub(super) enum Phase {
    Waiting,
    /// It has a place, and the ledger is being asked: by the waiter itself, once it has seen this.
    Asking(Option<Later<Decision>>),
    /// It may start, since then.
    Granted(Grant, Instant),
    /// It was refused.
    Shed(Overloaded),
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
        waiter.ask = ask;
        waiter.kind = kind;
        waiter.arrived = arrived;
        waiter.lane = lane;
        waiter.number = number;
        waiter.expires = None;
        waiter.phase = Phase::Waiting;
        waiter.waker = None;
        id
    }

    /// Lets one go: what became of it, and its waker, which is not to be dropped under the lock.
    pub(super) fn remove(&mut self, id: Id) -> (Phase, Option<Waker>) {
        let waiter = &mut self.all[id as usize];
        waiter.ask.key = None;
        waiter.ask.label = None;
        self.free.push(id);
        let phase = mem::replace(&mut waiter.phase, Phase::Gone);
        (phase, waiter.waker.take())
    }

    /// How many places are taken.
    pub(super) fn len(&self) -> usize {
        self.all.len() - self.free.len()
    }

    /// Those that wait.
    pub(super) fn waiting(&self) -> impl Iterator<Item = (Id, &Waiter)> {
        let all = self.all.iter().enumerate();
        all.filter(|(_, waiter)| matches!(waiter.phase, Phase::Waiting))
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
    pub(super) fn new(ask: Ask, kind: Kind, arrived: Instant, lane: u32, number: u64) -> Self {
        let alone = Link {
            before: NONE,
            after: NONE,
        };
        Self {
            ask,
            kind,
            arrived,
            lane,
            number,
            expires: None,
            phase: Phase::Waiting,
            waker: None,
            links: [alone; 2],
        }
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
