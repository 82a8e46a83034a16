//! Whose turn it is: by priority, by key, by order.

use std::collections::{BTreeSet, HashMap};
use std::time::Instant;

use hedgerow_core::Deadline;
use slab::Slab;

use super::Order;
use super::waiters::{Id, List, Waiters, Which};
use crate::ask::Priority;
use crate::key::Key;

type SortKey = (bool, Option<Instant>, u64, Id);

const LEVELS: usize = Priority::ALL.len();
const NO_LANE: u32 = u32::MAX;
/// A lower priority that waits is passed over so often at most.
pub(super) const PASSES: u32 = 16;

/// The waiters of one key and one priority.
struct Lane {
    key: Option<Key>,
    level: usize,
    list: List,
    /// By deadline, for that order alone.
    by_deadline: BTreeSet<SortKey>,
    waiting: usize,
    /// Its next turn, in starts of its level.
    turn: u64,
    stand: Stand,
}

/// Why a lane cannot start anybody.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stand {
    Ready,
    /// Its key's rate has nothing until then.
    Until(Instant),
    /// As many of its key run as may.
    Full,
}

#[derive(Default)]
struct Level {
    /// Lanes that could start somebody, by their turn.
    ready: BTreeSet<(u64, u32)>,
    turn: u64,
    passed: u32,
}

/// What is known of a key that has somebody waiting or running.
#[derive(Clone, Copy, Debug)]
struct OfKey {
    running: usize,
    lanes: [u32; LEVELS],
}

impl OfKey {
    const NOBODY: Self = Self {
        running: 0,
        lanes: [NO_LANE; LEVELS],
    };
}

/// All lanes.
pub(super) struct Lanes {
    order: Order,
    per_key: Option<usize>,
    lanes: Slab<Lane>,
    levels: [Level; LEVELS],
    until: BTreeSet<(Instant, u32)>,
    without_key: OfKey,
    by_key: HashMap<Key, OfKey>,
    /// Steps taken in any structure here, for the test that counts them.
    pub(super) steps: u64,
}

impl Lanes {
    pub(super) fn new(order: Order, per_key: Option<usize>) -> Self {
        Self {
            order,
            per_key,
            lanes: Slab::new(),
            levels: Default::default(),
            until: BTreeSet::new(),
            without_key: OfKey::NOBODY,
            by_key: HashMap::new(),
            steps: 0,
        }
    }

    fn of_key(&mut self, key: Option<&Key>) -> &mut OfKey {
        match key {
            None => &mut self.without_key,
            Some(key) => {
                if !self.by_key.contains_key(key) {
                    self.by_key.insert(key.clone(), OfKey::NOBODY);
                }
                self.by_key.get_mut(key).expect("it was put there just now")
            }
        }
    }

    /// The lane for this key and priority.
    #[inline]
    pub(super) fn lane(&mut self, key: Option<&Key>, priority: Priority) -> u32 {
        let level = priority.level();
        let known = self.of_key(key).lanes[level];
        if known != NO_LANE {
            return known;
        }
        let full = self.is_full(key);
        let lane = self.lanes.insert(Lane {
            key: key.cloned(),
            level,
            list: List::new(Which::Lane),
            by_deadline: BTreeSet::new(),
            waiting: 0,
            turn: 0,
            stand: if full { Stand::Full } else { Stand::Ready },
        }) as u32;
        self.of_key(key).lanes[level] = lane;
        lane
    }

    /// Whether as many of this key run as may.
    pub(super) fn is_full(&self, key: Option<&Key>) -> bool {
        let Some(most) = self.per_key else {
            return false;
        };
        key.and_then(|key| self.by_key.get(key))
            .is_some_and(|of| of.running >= most)
    }

    /// How many of this key run, and wait.
    pub(super) fn of(&self, key: &Key) -> (usize, usize) {
        let Some(of) = self.by_key.get(key) else {
            return (0, 0);
        };
        let waiting = of
            .lanes
            .iter()
            .filter_map(|lane| self.lanes.get(*lane as usize))
            .map(|lane| lane.waiting)
            .sum();
        (of.running, waiting)
    }

    /// What is kept here, but for the lanes of those without a key.
    pub(super) fn leftovers(&self) -> usize {
        let keyed = self.lanes.iter().filter(|(_, lane)| lane.key.is_some());
        let waiting: usize = self.lanes.iter().map(|(_, lane)| lane.waiting).sum();
        let ready: usize = self.levels.iter().map(|level| level.ready.len()).sum();
        keyed.count() + waiting + ready + self.until.len() + self.by_key.len()
    }

    /// Keys that have somebody waiting or running.
    pub(super) fn keys(&self) -> usize {
        self.by_key.len()
    }

    #[inline]
    pub(super) fn push(&mut self, all: &mut Waiters, id: Id, again: bool) {
        self.steps += 1;
        let at = all[id as usize].lane;
        let lane = &mut self.lanes[at as usize];
        if self.order == Order::EarliestDeadlineFirst {
            lane.by_deadline.insert(sort_key(all, id));
        }
        if again {
            lane.list.push_in_order(all, id);
        } else {
            lane.list.push(all, id);
        }
        lane.waiting += 1;
        if lane.waiting == 1 {
            let level = &mut self.levels[lane.level];
            // Behind those who wait for their turn already: a key that comes and goes may have had its own.
            let next = level.turn + u64::from(!level.ready.is_empty());
            lane.turn = lane.turn.max(next);
            if lane.stand == Stand::Ready {
                level.ready.insert((lane.turn, at));
            }
        } else if let Stand::Until(_) = lane.stand {
            // What blocked the lane was what another asked.
            let goes_first = match self.order {
                Order::Fifo => false,
                Order::AdaptiveLifo { .. } => true,
                Order::EarliestDeadlineFirst => lane
                    .by_deadline
                    .first()
                    .is_some_and(|(.., first)| *first == id),
            };
            if goes_first {
                self.stand(at, Stand::Ready);
            }
        }
    }

    #[inline]
    pub(super) fn remove(&mut self, all: &mut Waiters, id: Id) {
        self.steps += 1;
        let at = all[id as usize].lane;
        let lane = &mut self.lanes[at as usize];
        lane.list.remove(all, id);
        if self.order == Order::EarliestDeadlineFirst {
            lane.by_deadline.remove(&sort_key(all, id));
        }
        lane.waiting -= 1;
        if lane.waiting > 0 {
            // What blocked the lane may have been what this one asked.
            if let Stand::Until(_) = lane.stand {
                self.stand(at, Stand::Ready);
            }
            return;
        }
        match lane.stand {
            Stand::Ready => {
                self.levels[lane.level].ready.remove(&(lane.turn, at));
            }
            Stand::Until(until) => {
                self.until.remove(&(until, at));
                lane.stand = Stand::Ready;
            }
            Stand::Full => {}
        }
        // The lane without a key is kept: it has no name to be found again by.
        if self.lanes[at as usize].key.is_some() {
            let lane = self.lanes.remove(at as usize);
            self.tidy(lane.key.as_ref(), |of| of.lanes[lane.level] = NO_LANE);
        }
    }

    /// Changes what is known of a key, and forgets it when nothing is left.
    fn tidy(&mut self, key: Option<&Key>, change: impl FnOnce(&mut OfKey)) {
        let Some(key) = key else {
            return change(&mut self.without_key);
        };
        let Some(of) = self.by_key.get_mut(key) else {
            return;
        };
        change(of);
        if of.running == 0 && of.lanes == [NO_LANE; LEVELS] {
            self.by_key.remove(key);
        }
    }

    /// The key of a lane.
    #[inline]
    pub(super) fn key(&self, at: u32) -> Option<&Key> {
        self.lanes[at as usize].key.as_ref()
    }

    /// Somebody of this key starts.
    #[inline]
    pub(super) fn started(&mut self, key: Option<&Key>) {
        if let Some(key) = key {
            self.of_key(Some(key)).running += 1;
            if self.is_full(Some(key)) {
                self.restand(key, Stand::Full);
            }
        }
    }

    /// Somebody of this key has ended.
    #[inline]
    pub(super) fn ended(&mut self, key: Option<&Key>) {
        if let Some(key) = key {
            let was_full = self.is_full(Some(key));
            self.tidy(Some(key), |of| of.running = of.running.saturating_sub(1));
            if was_full {
                self.restand(key, Stand::Ready);
            }
        }
    }

    fn restand(&mut self, key: &Key, stand: Stand) {
        let Some(of) = self.by_key.get(key).copied() else {
            return;
        };
        for at in of.lanes.into_iter().filter(|lane| *lane != NO_LANE) {
            self.stand(at, stand);
        }
    }

    fn stand(&mut self, at: u32, stand: Stand) {
        self.steps += 1;
        let lane = &mut self.lanes[at as usize];
        let level = &mut self.levels[lane.level];
        match lane.stand {
            Stand::Ready => {
                level.ready.remove(&(lane.turn, at));
            }
            Stand::Until(until) => {
                self.until.remove(&(until, at));
            }
            Stand::Full => {}
        }
        lane.stand = stand;
        if lane.waiting == 0 {
            return;
        }
        match stand {
            Stand::Ready => {
                lane.turn = lane.turn.max(level.turn);
                level.ready.insert((lane.turn, at));
            }
            Stand::Until(until) => {
                self.until.insert((until, at));
            }
            Stand::Full => {}
        }
    }

    /// This lane's key has nothing left until then.
    pub(super) fn block(&mut self, at: u32, until: Instant) {
        self.stand(at, Stand::Until(until));
    }

    /// Something of this key's rates was given back.
    pub(super) fn unblock_key(&mut self, key: Option<&Key>) {
        let of = match key {
            None => Some(self.without_key),
            Some(key) => self.by_key.get(key).copied(),
        };
        let lanes = of.into_iter().flat_map(|of| of.lanes);
        for at in lanes.filter(|lane| *lane != NO_LANE) {
            if let Stand::Until(_) = self.lanes[at as usize].stand {
                self.stand(at, Stand::Ready);
            }
        }
    }

    /// Lanes whose time has come may start somebody again; all of them if something was given back.
    pub(super) fn unblock(&mut self, now: Option<Instant>) {
        while let Some(&(until, at)) = self.until.first() {
            if now.is_some_and(|now| until > now) {
                break;
            }
            self.stand(at, Stand::Ready);
        }
    }

    /// The first lane that is blocked for a time.
    pub(super) fn unblocks(&self) -> Option<Instant> {
        self.until.first().map(|(until, _)| *until)
    }

    /// Whose turn it is.
    #[inline]
    pub(super) fn next(&self, latest_first: bool) -> Option<(u32, Id)> {
        let mut chosen: Option<&Level> = None;
        for (index, level) in self.levels.iter().enumerate() {
            if level.ready.is_empty() {
                continue;
            }
            let idle = index == Priority::Idle.level();
            match chosen {
                None => chosen = Some(level),
                Some(_) if idle => {}
                Some(before) if level.passed >= PASSES && level.passed > before.passed => {
                    chosen = Some(level);
                }
                Some(_) => {}
            }
        }
        let &(_, at) = chosen?.ready.first()?;
        let lane = &self.lanes[at as usize];
        let id = match self.order {
            Order::EarliestDeadlineFirst => lane.by_deadline.first().map(|(.., id)| *id),
            Order::AdaptiveLifo { .. } if latest_first => lane.list.last(),
            Order::AdaptiveLifo { .. } | Order::Fifo => lane.list.first(),
        };
        id.map(|id| (at, id))
    }

    /// One of this lane goes: the next turn is somebody else's.
    #[inline]
    pub(super) fn turn(&mut self, at: u32) {
        let lane = &mut self.lanes[at as usize];
        let here = lane.level;
        let alone = self.levels[here].ready.len() <= 1;
        if !alone && lane.stand == Stand::Ready {
            let level = &mut self.levels[here];
            level.ready.remove(&(lane.turn, at));
            level.turn = level.turn.max(lane.turn);
            lane.turn += 1;
            level.ready.insert((lane.turn, at));
        }
        if self.levels[here].passed != 0 {
            self.levels[here].passed = 0;
        }
        for level in &mut self.levels[here + 1..] {
            if !level.ready.is_empty() {
                level.passed = level.passed.saturating_add(1);
            }
        }
    }
}

/// Those without a deadline come last, in the order of their arrival.
fn sort_key(all: &Waiters, id: Id) -> SortKey {
    let waiter = &all[id as usize];
    let deadline = waiter.more.ask.deadline.map(Deadline::instant);
    (deadline.is_none(), deadline, waiter.number, id)
}
