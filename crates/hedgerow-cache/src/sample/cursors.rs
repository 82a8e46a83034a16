//! Which answers of a key a namespace has seen.

use std::collections::{BTreeSet, HashMap};
use std::hash::Hash;
use std::sync::Arc;

use parking_lot::Mutex;

type Name = Arc<str>;

/// How far each namespace has come with each key.
pub(super) struct Cursors<K> {
    by_place: Mutex<HashMap<(Name, K), Cursor>>,
}

#[derive(Debug, Default)]
struct Cursor {
    /// The first that nobody of the namespace has asked for.
    next: u32,
    /// Those below it that were asked for, and not given.
    returned: BTreeSet<u32>,
    /// Calls under way.
    calls: u32,
}

/// Some answers that a call asks for. Dropped without being [given](Claim::given), the namespace has not seen
/// them, and they are the next ones.
pub(super) struct Claim<K: Eq + Hash> {
    cursors: Arc<Cursors<K>>,
    place: (Name, K),
    pub(super) slots: Vec<u32>,
    given: bool,
}

impl<K: Eq + Hash + Clone> Cursors<K> {
    pub(super) fn new() -> Self {
        Self {
            by_place: Mutex::default(),
        }
    }

    /// The next `n` for this namespace. `None` if there are too many cursors, or no more numbers.
    pub(super) fn claim(
        self: &Arc<Self>,
        place: (Name, K),
        n: u32,
        max: usize,
    ) -> Option<Claim<K>> {
        let mut by_place = self.by_place.lock();
        if by_place.len() >= max && !by_place.contains_key(&place) {
            return None;
        }
        let cursor = by_place.entry(place.clone()).or_default();
        let missing = (n as usize).saturating_sub(cursor.returned.len()) as u32;
        let next = cursor.next.checked_add(missing)?;
        let mut slots = Vec::with_capacity(n as usize);
        while slots.len() < n as usize
            && let Some(slot) = cursor.returned.pop_first()
        {
            slots.push(slot);
        }
        slots.extend(cursor.next..next);
        cursor.next = next;
        cursor.calls += 1;
        Some(Claim {
            cursors: self.clone(),
            place,
            slots,
            given: false,
        })
    }
}

impl<K: Eq + Hash> Claim<K> {
    /// The caller gets them.
    pub(super) fn given(mut self) {
        self.given = true;
    }
}

impl<K: Eq + Hash> Drop for Claim<K> {
    fn drop(&mut self) {
        let mut by_place = self.cursors.by_place.lock();
        let Some(cursor) = by_place.get_mut(&self.place) else {
            return;
        };
        cursor.calls -= 1;
        if self.given {
            return;
        }
        cursor.returned.extend(&self.slots);
        // The last ones are as if they had never been asked for.
        while cursor.next > 0 && cursor.returned.remove(&(cursor.next - 1)) {
            cursor.next -= 1;
        }
        if cursor.next == 0 && cursor.calls == 0 {
            by_place.remove(&self.place);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_was_not_given_is_next_in_its_old_order() {
        let cursors = Arc::new(Cursors::new());
        let claim = |n| cursors.claim(("a".into(), 1), n, 9).expect("room");
        let (one, two, three) = (claim(2), claim(2), claim(1));
        assert_eq!(
            (&*one.slots, &*two.slots, &*three.slots),
            (&[0, 1][..], &[2, 3][..], &[4][..])
        );
        drop(one);
        three.given();
        let again = claim(3);
        assert_eq!(again.slots, [0, 1, 5]);
        drop((two, again));
        assert_eq!(claim(6).slots, [0, 1, 2, 3, 5, 6]);
    }

    #[test]
    fn cursors_are_bounded_and_those_of_nothing_are_gone() {
        let cursors = Arc::new(Cursors::new());
        let claim = |key| cursors.claim(("a".into(), key), 1, 2);
        let one = claim(1).expect("room");
        claim(2).expect("room").given();
        assert!(claim(3).is_none());
        drop(one);
        assert!(claim(3).is_some());
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        /// Whatever is given and returned, no number is given twice, and none is left out for good.
        #[test]
        fn no_answer_is_seen_twice_and_none_is_skipped(
            deeds in prop::collection::vec((1..5_u32, any::<bool>(), 0..4_usize), 1..60),
        ) {
            let cursors = Arc::new(Cursors::new());
            let mut open = Vec::new();
            let mut seen = BTreeSet::new();
            for (n, give, at) in deeds {
                open.push(cursors.claim(("a".into(), 1), n, 9).expect("room"));
                if at < open.len() {
                    let claim: Claim<i32> = open.remove(at);
                    if give {
                        for slot in &claim.slots {
                            prop_assert!(seen.insert(*slot), "{slot} twice");
                        }
                        claim.given();
                    }
                }
            }
            drop(open);
            let rest = cursors.claim(("a".into(), 1), 3, 9).expect("room");
            seen.extend(&rest.slots);
            let highest = seen.last().copied().unwrap_or(0);
            let holes = (0..=highest).filter(|slot| !seen.contains(slot)).count();
            // Holes are only left where more than three were returned, and then the first three were taken.
            prop_assert!(holes == 0 || rest.slots.iter().all(|slot| *slot < highest));
        }
    }
}
