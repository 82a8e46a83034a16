//! The flights under way, by their keys.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

use crate::flight::{Flight, Mission, Seat};

/// The flights of a service, for one type of requests.
///
/// `T` is what a flight lands with, `M` by what one joins an answer that arrives after it has landed.
pub(super) struct Table<K, T, M> {
    entries: Mutex<Entries<K, T, M>>,
}

struct Entries<K, T, M> {
    by_key: HashMap<K, Entry<T, M>>,
    /// From how many entries on those are looked for that nobody can join any more.
    sweep_at: usize,
    /// How many calls found no room since then.
    refusals: usize,
}

enum Entry<T, M> {
    Flying(Arc<Flight<T>>),
    Arriving(M),
    /// It has landed before anybody asked: whoever comes first takes it.
    Waiting(Arc<Flight<T>>),
}

/// What a call finds.
pub(super) enum Boarded<T, R> {
    /// It leads.
    Lead(Seat<T>),
    /// It follows.
    Follow(Seat<T>),
    /// It reads along.
    Join(R),
    /// There are too many flights.
    Full,
}

const FIRST_SWEEP: usize = 64;

impl<K, T, M> Table<K, T, M>
where
    K: Eq + Hash + Clone,
{
    pub(super) fn new() -> Self {
        Self {
            entries: Mutex::new(Entries {
                by_key: HashMap::new(),
                sweep_at: FIRST_SWEEP,
                refusals: 0,
            }),
        }
    }

    /// Finds a flight for `key`, or departs with `mission`.
    pub(super) fn board<R>(
        &self,
        key: &K,
        max: usize,
        flights: &AtomicU64,
        doors: &Doors<impl Fn(&M) -> Option<R>, impl Fn(&M) -> bool>,
        mission: impl FnOnce() -> Mission<T>,
    ) -> Boarded<T, R> {
        let mut entries = self.entries.lock();
        match entries.by_key.get(key) {
            Some(Entry::Flying(flight)) => {
                if let Some(seat) = flight.join() {
                    return Boarded::Follow(seat);
                }
            }
            Some(Entry::Waiting(flight)) => {
                if let Some(seat) = flight.join() {
                    entries.by_key.remove(key);
                    flights.fetch_sub(1, Ordering::Relaxed);
                    return Boarded::Follow(seat);
                }
            }
            Some(Entry::Arriving(late)) => {
                if let Some(shared) = (doors.join)(late) {
                    return Boarded::Join(shared);
                }
            }
            None => {}
        }
        // What stands there for this key is over, and is replaced.
        if !entries.by_key.contains_key(key) && !entries.has_room(max, &doors.is_open) {
            return Boarded::Full;
        }
        let seat = Flight::depart(mission());
        let entry = Entry::Flying(seat.flight().clone());
        if !matches!(
            entries.by_key.insert(key.clone(), entry),
            Some(Entry::Flying(_))
        ) {
            flights.fetch_add(1, Ordering::Relaxed);
        }
        Boarded::Lead(seat)
    }

    /// A flight has ended: nobody finds it any more, or only its answer that still arrives.
    pub(super) fn end(
        &self,
        key: &K,
        flight: &Arc<Flight<T>>,
        late: Option<M>,
        flights: &AtomicU64,
    ) {
        let mut entries = self.entries.lock();
        let Some(Entry::Flying(known) | Entry::Waiting(known)) = entries.by_key.get(key) else {
            return;
        };
        if !Arc::ptr_eq(known, flight) {
            return;
        }
        let gone = match late {
            Some(late) => entries.by_key.insert(key.clone(), Entry::Arriving(late)),
            None => entries.by_key.remove(key),
        };
        drop(entries);
        flights.fetch_sub(1, Ordering::Relaxed);
        drop(gone);
    }
}

impl<K, T, M> Table<K, T, M>
where
    K: Eq + Hash + Clone,
{
    /// A flight has landed that nobody has asked for: it waits.
    pub(super) fn wait(&self, key: &K, flight: &Arc<Flight<T>>) {
        let mut entries = self.entries.lock();
        if let Some(entry) = entries.by_key.get_mut(key)
            && matches!(entry, Entry::Flying(known) if Arc::ptr_eq(known, flight))
        {
            *entry = Entry::Waiting(flight.clone());
        }
    }
}

/// How one joins an answer that arrives, and whether one can.
pub(super) struct Doors<J, O> {
    pub(super) join: J,
    pub(super) is_open: O,
}

impl<K: Eq + Hash, T, M> Entries<K, T, M> {
    /// Looks through all entries only now and then: its share of a call stays constant.
    fn has_room(&mut self, max: usize, is_open: &impl Fn(&M) -> bool) -> bool {
        let len = self.by_key.len();
        let full = len >= max;
        self.refusals += usize::from(full);
        if len >= self.sweep_at || (full && 2 * self.refusals >= len) {
            self.sweep(is_open);
        }
        self.by_key.len() < max
    }

    fn sweep(&mut self, is_open: &impl Fn(&M) -> bool) {
        self.by_key.retain(|_, entry| match entry {
            Entry::Flying(_) | Entry::Waiting(_) => true,
            Entry::Arriving(late) => is_open(late),
        });
        self.sweep_at = FIRST_SWEEP.max(2 * self.by_key.len());
        self.refusals = 0;
    }
}
