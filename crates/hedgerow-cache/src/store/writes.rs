//! Whether a key was written while something else was asked about it.

use std::hash::{BuildHasher, Hash, RandomState};
use std::sync::Arc;

use hedgerow_core::Answer;
use parking_lot::Mutex;

/// Keys share a place by their hash: a write of another key looks like one of this key at worst.
const PLACES: usize = 64;

/// The writes that have begun and ended. Clones are the same.
#[derive(Clone, Debug)]
pub(super) struct Writes {
    places: Arc<[Mutex<Place>]>,
    hasher: RandomState,
}

#[derive(Clone, Copy, Debug, Default)]
struct Place {
    /// Writes that have begun, and those that have ended.
    turns: u64,
    under_way: usize,
}

/// A write, until it is dropped.
pub(super) struct Writing(At);

/// How it was before something was asked.
pub(super) struct Seen {
    at: At,
    /// `None` if a write was under way.
    turns: Option<u64>,
}

struct At {
    places: Arc<[Mutex<Place>]>,
    place: usize,
}

impl Writes {
    pub(super) fn new() -> Self {
        Self {
            places: (0..PLACES).map(|_| Mutex::default()).collect(),
            hasher: RandomState::new(),
        }
    }

    fn at(&self, key: &impl Hash) -> At {
        At {
            places: self.places.clone(),
            place: (self.hasher.hash_one(key) % PLACES as u64) as usize,
        }
    }

    pub(super) fn look(&self, key: &impl Hash) -> Seen {
        let at = self.at(key);
        let place = *at.lock();
        Seen {
            turns: (place.under_way == 0).then_some(place.turns),
            at,
        }
    }

    pub(super) fn begin(&self, key: &impl Hash) -> Writing {
        let at = self.at(key);
        let mut place = at.lock();
        place.turns += 1;
        place.under_way += 1;
        drop(place);
        Writing(at)
    }
}

impl At {
    fn lock(&self) -> parking_lot::MutexGuard<'_, Place> {
        self.places[self.place].lock()
    }
}

impl Seen {
    /// Does what no write has come before since; one that comes now waits until it is done.
    pub(super) fn unless_written(self, act: impl FnOnce()) {
        let place = self.at.lock();
        if place.under_way == 0 && self.turns == Some(place.turns) {
            act();
        }
    }
}

impl Writing {
    /// The write goes on until it is acknowledged, or nobody waits for that any more.
    pub(super) fn until<T: Send + 'static>(self, done: Answer<T>) -> Answer<T> {
        match done {
            Answer::Now(done) => Answer::Now(done),
            Answer::Later(later) => Answer::Later(Box::pin(async move {
                let _writing = self;
                later.await
            })),
        }
    }
}

impl Drop for Writing {
    fn drop(&mut self) {
        let mut place = self.0.lock();
        place.turns += 1;
        place.under_way -= 1;
    }
}
