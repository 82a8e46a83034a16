//! As long as more items pay for it.

use std::time::Duration;

use parking_lot::Mutex;

use super::{BatchPolicy, Decision, Flown, Waiting};
use hedgerow_core::or_panic;

use crate::event::Reason;

/// What a batch of which nothing is known is taken to cost.
const MAX_COST: Duration = Duration::from_secs(3_600);
/// How many batches the learnt cost remembers, about.
const MEMORY: f64 = 64.0;
/// Waiting may cost so many dispatches before it ends, whatever the rate promises.
const PATIENCE: u32 = 2;

/// Waits as long as more items pay for it: learns how fast they come and what a dispatch costs.
///
/// A dispatch has a fixed cost κ; an item that waits costs its time. At a steady rate λ the cheapest size
/// is the economic order quantity √(2κλ): so many are waited for, none if that is one. When they do not
/// come, waiting ends once it has cost two dispatches, all items added up: what is lost to a burst
/// that ended is bounded, whatever comes (the ski rental problem). The first caller after a start
/// never waits.
///
/// κ is learnt as the part of a batch's time that does not grow with its size. Where dispatches cost
/// something else than time (a fee, a lock, a round of consensus), say so with [`cost`](Self::cost): the
/// time that one is worth.
///
/// # Cost
///
/// The task of the layer is woken once for a batch, and whenever a count is reached that is not enough.
///
/// # Source
///
/// F. W. Harris, *How many parts to make at once* (1913); Karlin et al., *Competitive snoopy caching*
/// (1988) for the ski rental. Departs from both in taking the smaller of the two waits.
#[derive(Debug)]
pub struct Adaptive {
    cost: Option<Duration>,
    learnt: Mutex<Line>,
}

/// Weighted least squares of a batch's time over its size, with forgetting.
#[derive(Clone, Copy, Debug, Default)]
struct Line {
    weight: f64,
    size: f64,
    time: f64,
    size_size: f64,
    size_time: f64,
}

impl Line {
    fn add(&mut self, size: f64, time: f64) {
        let keep = 1.0 - 1.0 / MEMORY;
        let Self {
            weight,
            size: sizes,
            time: times,
            size_size,
            size_time,
        } = self;
        for (sum, more) in [
            (weight, 1.0),
            (sizes, size),
            (times, time),
            (size_size, size * size),
            (size_time, size * time),
        ] {
            *sum = *sum * keep + more;
        }
    }

    /// The part of a batch's time that does not grow with its size, in seconds.
    fn fixed(&self) -> f64 {
        if self.weight == 0.0 {
            return 0.0;
        }
        let (size, time) = (self.size / self.weight, self.time / self.weight);
        let spread = self.size_size / self.weight - size * size;
        // Sizes that hardly differ tell nothing: all of the time is then taken to be fixed.
        if spread < 0.01 * size * size + f64::EPSILON {
            return time;
        }
        let slope = (self.size_time / self.weight - size * time) / spread;
        (time - slope * size).clamp(0.0, time)
    }
}

impl Adaptive {
    /// Learns what a dispatch costs from how long batches take.
    #[must_use]
    pub fn new() -> Self {
        Self {
            cost: None,
            learnt: Mutex::default(),
        }
    }

    /// Sets what a dispatch costs, as the waiting time of one item that it is worth: up to 1 h; zero
    /// never waits. Defaults to learning it.
    ///
    /// # Panics
    ///
    /// If it is out of range: [`try_cost`](Self::try_cost) returns the reason.
    #[must_use]
    #[track_caller]
    pub fn cost(self, cost: Duration) -> Self {
        or_panic(self.try_cost(cost))
    }

    /// Like [`cost`](Self::cost), but returns the reason of a refusal.
    ///
    /// # Errors
    ///
    /// [`BatchBuildError::Cost`](crate::BatchBuildError::Cost) if it is out of range.
    pub fn try_cost(mut self, cost: Duration) -> Result<Self, crate::BatchBuildError> {
        if cost > MAX_COST {
            return Err(crate::BatchBuildError::Cost(cost));
        }
        self.cost = Some(cost);
        Ok(self)
    }

    /// What a dispatch is taken to cost now.
    #[must_use]
    pub fn current_cost(&self) -> Duration {
        self.cost.unwrap_or_else(|| {
            let seconds = self.learnt.lock().fixed();
            Duration::try_from_secs_f64(seconds)
                .unwrap_or(MAX_COST)
                .min(MAX_COST)
        })
    }
}

/// The size n that makes κ/n + (n − 1)/2λ smallest: the first one with n(n + 1) ≥ 2κλ.
fn best_size(cost: Duration, gap: Duration) -> usize {
    if gap.is_zero() {
        return usize::MAX;
    }
    let twice = 2.0 * cost.as_secs_f64() / gap.as_secs_f64();
    ((twice + 0.25).sqrt() - 0.5).ceil().max(1.0) as usize
}

impl BatchPolicy for Adaptive {
    fn decide(&self, waiting: &Waiting) -> Decision {
        let cost = self.current_cost();
        let Some(gap) = waiting.gap else {
            return Decision::Send(Reason::Idle);
        };
        let best = best_size(cost, gap).min(waiting.max_size);
        if waiting.count >= best {
            let reason = if best == 1 {
                Reason::Idle
            } else {
                Reason::Paid
            };
            return Decision::Send(reason);
        }
        let patience = cost * PATIENCE;
        if waiting.waited >= patience {
            return Decision::Send(Reason::Paid);
        }
        // Rounded up, so that the patience is over when the time is.
        let left = (patience - waiting.waited) / waiting.count as u32 + Duration::from_nanos(1);
        Decision::wait().for_count(best).at_most(left)
    }

    fn observe(&self, flown: &Flown) {
        if self.cost.is_none() && flown.done {
            let time = flown.elapsed.as_secs_f64();
            self.learnt.lock().add(flown.size as f64, time);
        }
    }

    fn name(&self) -> &'static str {
        "adaptive"
    }
}

impl Default for Adaptive {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    /// What an item costs in batches of `n`, with `gap` between items.
    fn cost_of(n: usize, kappa: f64, gap: f64) -> f64 {
        kappa / n as f64 + (n - 1) as f64 * gap / 2.0
    }

    #[test]
    fn the_best_size_is_cheaper_than_any_other() {
        for gap_us in [50, 200, 1_000, 3_333, 5_000, 9_999, 10_001, 20_000] {
            let best = best_size(10 * MS, Duration::from_micros(gap_us));
            let gap = gap_us as f64 / 1_000.0;
            let cheapest = (1..1_000)
                .map(|n| cost_of(n, 10.0, gap))
                .fold(f64::INFINITY, f64::min);
            let ours = cost_of(best, 10.0, gap);
            assert!(
                ours <= cheapest + 1e-9,
                "{gap} ms: {best} costs {ours}, not {cheapest}"
            );
        }
    }

    #[test]
    fn whoever_comes_first_or_seldom_never_waits() {
        let policy = Adaptive::new().cost(10 * MS);
        assert_eq!(
            policy.decide(&Waiting::new(1)),
            Decision::Send(Reason::Idle)
        );
        let mut seldom = Waiting::new(1);
        seldom.gap = Some(20 * MS);
        assert_eq!(policy.decide(&seldom), Decision::Send(Reason::Idle));
    }

    #[test]
    fn it_waits_for_those_who_pay_and_gives_up_when_they_do_not_come() {
        let policy = Adaptive::new().cost(10 * MS);
        let mut waiting = Waiting::new(3);
        waiting.gap = Some(MS);
        // √(2 · 10 · 1) = 4.5: 4 and 5 cost the same.
        waiting.waited = 5 * MS;
        let left = 5 * MS + Duration::from_nanos(1);
        assert_eq!(
            policy.decide(&waiting),
            Decision::wait().for_count(4).at_most(left)
        );
        waiting.waited = 20 * MS;
        assert_eq!(policy.decide(&waiting), Decision::Send(Reason::Paid));
        waiting.waited = Duration::ZERO;
        waiting.count = 4;
        assert_eq!(policy.decide(&waiting), Decision::Send(Reason::Paid));
    }

    #[test]
    fn the_fixed_part_of_a_batchs_time_is_learnt_though_it_changes() {
        let policy = Adaptive::new();
        assert_eq!(policy.current_cost(), Duration::ZERO);
        for (fixed, each) in [(8, 2), (30, 1)] {
            for n in 0..1_000 {
                let size = 1 + n * 7 % 20;
                policy.observe(&Flown::new(size, (fixed + each * size as u32) * MS));
            }
            let learnt = policy.current_cost();
            assert!(learnt.abs_diff(fixed * MS) < MS / 100, "{learnt:?}");
        }
    }

    #[test]
    fn what_failed_teaches_nothing() {
        let policy = Adaptive::new();
        let mut failed = Flown::new(1, 500 * MS);
        failed.done = false;
        policy.observe(&failed);
        assert_eq!(policy.current_cost(), Duration::ZERO);
    }
}
