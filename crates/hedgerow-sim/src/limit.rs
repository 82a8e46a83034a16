//! The best that any hedging could do on a law, knowing it.
//!
//! A call that is hedged at *d* takes longer than *t* if its primary does and the copy, sent at *d*,
//! does too: S(t)·S(t − d). A copy is sent in S(d) of the calls. So for each *t* the question is which
//! delays, at the stated extra load, leave the least share beyond *t*; the limit is the smallest *t*
//! at which that share is small enough. Where a delay is reached by more calls than the load allows,
//! a share of them is hedged.

mod parts;
mod split;
mod table;

pub use self::parts::{LimitPart, PartedLimit, Schedule, Spending};
pub(crate) use self::table::Table;
use self::table::{Survival, Tabled};
use crate::law::Law;

/// Steps of the first, coarse search for a delay.
const STEPS: usize = 240;
/// Narrowing steps of the fine one.
const NARROW: usize = 40;
/// Halvings of the range of the limit: 2⁻³⁴ of it.
const HALVINGS: usize = 34;

/// The smallest quantile that hedging can reach on a law at a stated extra load, and how.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Limit {
    /// The quantile, in ms.
    pub ms: f64,
    /// When the copies are sent, in ms from the call's start.
    pub delays: Vec<f64>,
    /// The share of the calls that reach each delay in which the copy is then sent.
    pub shares: Vec<f64>,
}

/// Delays and shares, and the part of the calls that they leave beyond a time.
#[derive(Clone, Copy, Debug)]
struct Plan {
    beyond: f64,
    delays: [f64; 2],
    shares: [f64; 2],
}

impl Law {
    /// The smallest `q`-quantile of the calls that up to `hedges` extra attempts (1 or 2) can reach
    /// at `extra` of them per call, independent of their primaries and of each other.
    ///
    /// # Panics
    ///
    /// If `q` is not in 0 ≤ `q` < 1, `extra` not above 0, or `hedges` neither 1 nor 2.
    ///
    /// # Examples
    ///
    /// ```
    /// use hedgerow_sim::Law;
    ///
    /// // Of a law whose p99 is 408 ms, 5 % more requests can make it 46 ms, sent at 40 ms.
    /// let limit = Law::w4().limit(0.99, 0.05, 1);
    /// assert_eq!(limit.ms.round(), 46.0);
    /// ```
    ///
    /// # Cost
    ///
    /// About 10,000 survivals for one extra attempt, about 1,000,000 for two. Those of generations, each a
    /// sum of hundreds, are read off a table, which a law and its clones make once.
    #[must_use]
    #[track_caller]
    pub fn limit(&self, q: f64, extra: f64, hedges: usize) -> Limit {
        assert!(
            extra > 0.0,
            "an extra load of {extra} hedges nothing: write a share above 0"
        );
        let plan_at = match hedges {
            1 => one::<Tabled<'_>>,
            2 => two,
            _ => panic!("a limit is known for 1 or 2 extra attempts, not for {hedges}"),
        };
        let law = Tabled::of(self, false);
        let (mut below, mut within) = (0.0, self.quantile(q));
        for _ in 0..HALVINGS {
            let middle = f64::midpoint(below, within);
            if plan_at(&law, middle, extra).beyond > 1.0 - q {
                below = middle;
            } else {
                within = middle;
            }
        }
        let plan = plan_at(&law, within, extra);
        let used = if plan.shares[1] > 0.0 { 2 } else { 1 };
        Limit {
            ms: within,
            delays: plan.delays[..used].to_vec(),
            shares: plan.shares[..used].to_vec(),
        }
    }

    /// The smallest `q`-quantile of the slowest of `leaves` attempts, each of which may be hedged.
    ///
    /// # Panics
    ///
    /// As [`limit`](Self::limit); also if `leaves` is 0.
    #[must_use]
    #[track_caller]
    pub fn fan_out_limit(&self, leaves: u32, q: f64, extra: f64, hedges: usize) -> Limit {
        assert!(leaves > 0, "a fan-out of 0 leaves asks nobody");
        self.limit(q.powf(1.0 / f64::from(leaves)), extra, hedges)
    }
}

/// One extra attempt for calls that are to end by `t`.
fn one<S: Survival>(law: &S, t: f64, extra: f64) -> Plan {
    let alone = law.survival(t);
    least(t, |delay| {
        let reached = law.survival(delay);
        let share = (extra / reached).min(1.0);
        Plan {
            beyond: alone * (1.0 - share * law.cdf(t - delay)),
            delays: [delay, delay],
            shares: [share, 0.0],
        }
    })
}

/// Two of them. The second one's delay follows from the load that the first one leaves.
fn two<S: Survival>(law: &S, t: f64, extra: f64) -> Plan {
    let alone = law.survival(t);
    least(t, |first| {
        let reached = law.survival(first);
        let share = (extra / reached).min(1.0);
        let beyond = alone * (1.0 - share * law.cdf(t - first));
        if share < 1.0 {
            return Plan {
                beyond,
                delays: [first, first],
                shares: [share, 0.0],
            };
        }
        let left = extra - reached;
        let costs = |second: f64| law.survival(second) * law.survival(second - first);
        let (mut early, mut late) = (first, t);
        if costs(late) > left {
            // Even at the end too many are left: some of them get a second copy, as early as may be.
            return least_between(first, t, 24, |second| {
                let some = (left / costs(second)).min(1.0);
                Plan {
                    beyond: beyond * (1.0 - some * law.cdf(t - second)),
                    delays: [first, second],
                    shares: [1.0, some],
                }
            });
        }
        for _ in 0..NARROW {
            let middle = f64::midpoint(early, late);
            if costs(middle) > left {
                early = middle;
            } else {
                late = middle;
            }
        }
        Plan {
            beyond: beyond * (1.0 - law.cdf(t - late)),
            delays: [first, late],
            shares: [1.0, 1.0],
        }
    })
}

/// The best plan over all first delays up to `t`.
fn least(t: f64, plan: impl Fn(f64) -> Plan) -> Plan {
    least_between(0.0, t, STEPS, plan)
}

/// On a grid first, because there may be several valleys, then around its best point.
fn least_between(from: f64, to: f64, steps: usize, plan: impl Fn(f64) -> Plan) -> Plan {
    let step = (to - from) / steps as f64;
    let better = |a: Plan, b: Plan| if b.beyond < a.beyond { b } else { a };
    let (mut best, mut at) = (plan(from), from);
    for number in 1..=steps {
        let here = from + step * number as f64;
        let found = plan(here);
        if found.beyond < best.beyond {
            (best, at) = (found, here);
        }
    }
    let golden = (5.0_f64.sqrt() - 1.0) / 2.0;
    let (mut low, mut high) = ((at - step).max(from), (at + step).min(to));
    for _ in 0..NARROW {
        let (left, right) = (high - golden * (high - low), low + golden * (high - low));
        let (of_left, of_right) = (plan(left), plan(right));
        best = better(better(best, of_left), of_right);
        if of_left.beyond <= of_right.beyond {
            high = right;
        } else {
            low = left;
        }
    }
    best
}
