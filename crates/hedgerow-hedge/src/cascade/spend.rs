//! What tiers beyond the first may cost.

use std::fmt;
use std::sync::Arc;

use parking_lot::Mutex;

/// The grain of the books: billionths of a cost unit.
const UNIT: f64 = 1e9;
/// The books must not overflow.
pub(super) const MAX_UNITS: f64 = 1e9;

/// A cap on what the tiers beyond the first may cost, in the units of [`Tier::cost`](crate::Tier::cost).
///
/// A bucket of cost units, as [`Budget`](hedgerow_core::Budget) is one of tokens: every call puts in
/// a hundredth of `per_100_calls`, every tier beyond the first takes out its cost. It starts full
/// with `depth` units and never holds more. There is no clock and no floor, so the law is exact:
/// **over any window of *n* calls the tiers beyond the first cost at most
/// `per_100_calls` · *n* / 100 + `depth`**. A tier that it does not grant is skipped, and the call
/// goes on.
///
/// The first tier is always paid, and takes nothing out. What was granted but not sent goes back.
/// Clones share one bucket, also those given to several cascades, each of which feeds it.
///
/// # Examples
///
/// Tiers that cost 1, 5 and 20: one call in ten may ask the second, one in a hundred the third.
///
/// ```
/// use hedgerow_hedge::SpendCap;
///
/// let cap = SpendCap::new(10.0 * 5.0 + 1.0 * 20.0, 100.0);
/// assert_eq!(cap.available(), 100.0);
/// ```
///
/// # Units
///
/// Cost units, each from 0 to 10⁹, kept to a billionth. With 0 per 100 calls the bucket is never
/// refilled: `depth` units in all. Values out of range, and a depth that is less than the cost of a
/// tier, are refused when the cascade is built.
///
/// # Cost
///
/// A short lock per call and per tier beyond the first.
#[derive(Clone)]
pub struct SpendCap {
    purse: Arc<Purse>,
}

struct Purse {
    per_100_calls: f64,
    depth: f64,
    per_call: u64,
    capacity: u64,
    books: Mutex<Left>,
}

struct Left {
    left: u64,
    spent: u128,
}

/// Units that were granted to a tier which is not sent yet. Dropped, they go back.
#[must_use = "dropping it gives the units back"]
pub(super) struct Charge {
    /// Present until it is spent.
    purse: Option<Arc<Purse>>,
    amount: u64,
}

impl SpendCap {
    /// A cap of so many cost units per 100 calls, and a bucket of `depth` units: the burst.
    #[must_use]
    pub fn new(per_100_calls: f64, depth: f64) -> Self {
        // As a cost is: what costs as much as the bucket holds can be paid.
        let capacity = rounded_up(depth);
        Self {
            purse: Arc::new(Purse {
                per_100_calls,
                depth,
                per_call: rounded_down(per_100_calls / 100.0),
                capacity,
                books: Mutex::new(Left {
                    left: capacity,
                    spent: 0,
                }),
            }),
        }
    }

    /// What every 100 calls put in.
    #[must_use]
    pub fn per_100_calls(&self) -> f64 {
        self.purse.per_100_calls
    }

    /// What the bucket holds at most.
    #[must_use]
    pub fn depth(&self) -> f64 {
        self.purse.depth
    }

    /// Cost units in the bucket now.
    #[must_use]
    pub fn available(&self) -> f64 {
        self.purse.books.lock().left as f64 / UNIT
    }

    /// Cost units that were granted, and not given back, since the start.
    #[must_use]
    pub fn spent(&self) -> f64 {
        self.purse.books.lock().spent as f64 / UNIT
    }

    /// Puts in what one call brings.
    pub(super) fn deposit(&self) {
        let purse = &*self.purse;
        let mut books = purse.books.lock();
        books.left = books
            .left
            .saturating_add(purse.per_call)
            .min(purse.capacity);
    }

    /// Takes out `cost`, or says no.
    pub(super) fn try_charge(&self, cost: f64) -> Option<Charge> {
        let amount = rounded_up(cost);
        let mut books = self.purse.books.lock();
        books.left = books.left.checked_sub(amount)?;
        books.spent += u128::from(amount);
        Some(Charge {
            purse: Some(self.purse.clone()),
            amount,
        })
    }
}

impl Charge {
    /// The tier was sent: the units are gone.
    pub(super) fn spend(mut self) {
        self.purse = None;
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        if let Some(purse) = &self.purse {
            let mut books = purse.books.lock();
            books.left = books.left.saturating_add(self.amount).min(purse.capacity);
            books.spent -= u128::from(self.amount);
        }
    }
}

/// 0.3 × 10⁹ is 299999999.99999994 to a computer: a thousandth of a billionth is forgiven.
fn rounded_down(units: f64) -> u64 {
    (units * UNIT + 1e-3).floor() as u64
}

fn rounded_up(units: f64) -> u64 {
    (units * UNIT - 1e-3).ceil() as u64
}

impl fmt::Debug for SpendCap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SpendCap")
            .field("per_100_calls", &self.purse.per_100_calls)
            .field("depth", &self.purse.depth)
            .field("available", &self.available())
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::SpendCap;

    #[test]
    fn three_tenths_hold_three_times_a_tenth() {
        let cap = SpendCap::new(0.0, 0.3);
        for _ in 0..3 {
            cap.try_charge(0.1).expect("there is enough").spend();
        }
        assert!(cap.try_charge(1e-9).is_none());
        assert_eq!(cap.spent(), 0.3);
    }

    #[test]
    fn what_costs_as_much_as_it_holds_is_granted_to_the_last_digit() {
        for depth in [1.0 / 3.0, 0.123_456_789_123, 1e6 / 7.0, 1e-10, 1e9, 2.5] {
            let cap = SpendCap::new(0.0, depth);
            assert!(cap.try_charge(depth).is_some(), "{depth}");
            assert!(
                cap.try_charge(depth + 1e-6 * (1.0 + depth)).is_none(),
                "{depth}"
            );
        }
    }

    #[test]
    fn what_is_not_spent_comes_back_and_never_overflows_the_bucket() {
        let cap = SpendCap::new(500.0, 20.0);
        let charge = cap.try_charge(15.0).expect("there is enough");
        assert!(cap.try_charge(5.1).is_none());
        cap.deposit();
        assert_eq!((cap.available(), cap.spent()), (10.0, 15.0));
        cap.deposit();
        drop(charge);
        assert_eq!((cap.available(), cap.spent()), (20.0, 0.0));
    }

    #[test]
    fn what_costs_nothing_is_always_granted() {
        let cap = SpendCap::new(0.0, 0.0);
        cap.try_charge(0.0).expect("it is free").spend();
        assert!(cap.try_charge(1e-12).is_some(), "less than the grain");
        assert!(cap.try_charge(1e-9).is_none());
    }
}
