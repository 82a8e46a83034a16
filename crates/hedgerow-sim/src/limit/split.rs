//! What a second attempt is worth at a price: the least of (share beyond + price × copies).
//!
//! Where several parts share one load, the best split of it is that at which the last copy is worth the
//! same in each of them: its price. A copy never saves more calls than it costs, so prices lie between
//! 0 and 1.

use super::table::Survival;

/// Steps of the grid over one delay, and over each of two.
const STEPS_ONE: usize = 240;
const STEPS_TWO: usize = 160;
/// Narrowing steps around the best point of the grid, and rounds of them over two delays.
const NARROW: usize = 30;
const ROUNDS: usize = 3;

/// Delays, what they leave beyond a time, and what they cost.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Priced {
    pub(super) beyond: f64,
    /// Copies per call.
    pub(super) cost: f64,
    pub(super) delays: Vec<f64>,
}

impl Priced {
    fn worth(&self, price: f64) -> f64 {
        self.beyond + price * self.cost
    }

    fn or(self, other: Self, price: f64) -> Self {
        if other.worth(price) < self.worth(price) {
            return other;
        }
        self
    }
}

/// The best of no, one and, if `hedges` says so, two copies, for calls that are to end by `t`.
pub(super) fn best<S: Survival>(law: &S, t: f64, hedges: usize, price: f64) -> Priced {
    let none = Priced {
        beyond: law.survival(t),
        cost: 0.0,
        delays: Vec::new(),
    };
    if none.beyond == 0.0 {
        return none;
    }
    let best = none.or(best_of_one(law, t, price), price);
    if hedges < 2 {
        return best;
    }
    best.or(best_of_two(law, t, price), price)
}

fn once<S: Survival>(law: &S, t: f64, delay: f64) -> Priced {
    Priced {
        beyond: law.survival(t) * law.survival(t - delay),
        cost: law.survival(delay),
        delays: vec![delay],
    }
}

fn twice<S: Survival>(law: &S, t: f64, first: f64, second: f64) -> Priced {
    Priced {
        beyond: law.survival(t) * law.survival(t - first) * law.survival(t - second),
        cost: law.survival(first) + law.survival(second) * law.survival(second - first),
        delays: vec![first, second],
    }
}

fn best_of_one<S: Survival>(law: &S, t: f64, price: f64) -> Priced {
    let alone = law.survival(t);
    let worth = |delay: f64| alone * law.survival(t - delay) + price * law.survival(delay);
    let step = t / STEPS_ONE as f64;
    let (mut at, mut least) = (0.0, worth(0.0));
    for number in 1..=STEPS_ONE {
        let here = step * number as f64;
        let found = worth(here);
        if found < least {
            (at, least) = (here, found);
        }
    }
    once(
        law,
        t,
        narrowed((at - step).max(0.0), (at + step).min(t), at, worth),
    )
}

fn best_of_two<S: Survival>(law: &S, t: f64, price: f64) -> Priced {
    let step = t / STEPS_TWO as f64;
    // Every time that a pair of delays on the grid asks for is on the grid.
    let survivals: Vec<f64> = (0..=STEPS_TWO)
        .map(|number| law.survival(step * number as f64))
        .collect();
    let alone = survivals[STEPS_TWO];
    let (mut at, mut least) = ((0, 0), f64::INFINITY);
    for first in 0..=STEPS_TWO {
        let left = alone * survivals[STEPS_TWO - first];
        for second in first..=STEPS_TWO {
            let cost = survivals[first] + survivals[second] * survivals[second - first];
            let worth = left * survivals[STEPS_TWO - second] + price * cost;
            if worth < least {
                (at, least) = ((first, second), worth);
            }
        }
    }
    let (mut first, mut second) = (step * at.0 as f64, step * at.1 as f64);
    let worth = |first: f64, second: f64| twice(law, t, first, second).worth(price);
    for _ in 0..ROUNDS {
        let (from, to) = ((first - step).max(0.0), (first + step).min(second));
        first = narrowed(from, to, first, |first| worth(first, second));
        let (from, to) = ((second - step).max(first), (second + step).min(t));
        second = narrowed(from, to, second, |second| worth(first, second));
    }
    twice(law, t, first, second)
}

/// The place of the least value between two ends, or the place that is already known.
fn narrowed(from: f64, to: f64, known: f64, value: impl Fn(f64) -> f64) -> f64 {
    let golden = (5.0_f64.sqrt() - 1.0) / 2.0;
    let (mut low, mut high) = (from, to);
    let (mut left, mut right) = (high - golden * (high - low), low + golden * (high - low));
    let (mut of_left, mut of_right) = (value(left), value(right));
    for _ in 0..NARROW {
        if of_left <= of_right {
            (high, right, of_right) = (right, left, of_left);
            left = high - golden * (high - low);
            of_left = value(left);
        } else {
            (low, left, of_left) = (left, right, of_right);
            right = low + golden * (high - low);
            of_right = value(right);
        }
    }
    let (found, of_found) = if of_left <= of_right {
        (left, of_left)
    } else {
        (right, of_right)
    };
    if of_found < value(known) {
        found
    } else {
        known
    }
}
