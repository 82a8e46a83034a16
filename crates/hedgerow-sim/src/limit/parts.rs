//! Limits of calls that do not all follow the same law.

use super::split::{Priced, best};
use super::table::{Survival, Tabled};
use super::{Plan, one, two};
use crate::law::Law;

/// Halvings of the range of the limit, 2⁻³⁰ of it, and of the price of a copy.
const HALVINGS: usize = 30;
const PRICES: usize = 50;
/// The lowest price of a copy that is tried, in calls.
const LOWEST_PRICE: f64 = 1e-9;

/// Of so many parts the laws are tabled.
const MANY: usize = 8;

/// Some of the calls, and the law of their attempts.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct LimitPart {
    /// Their share of the calls, or a number in proportion to it.
    pub weight: f64,
    /// What an attempt takes.
    pub law: Law,
    /// What it is multiplied by: how slow it is just now, or 1 / the ideal of a class.
    pub factor: f64,
}

/// Over what a bound on the load holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spending {
    /// Over all parts together: they are interleaved, as classes are, and one may be given what
    /// another leaves.
    Together,
    /// In each part: they follow one another, and a budget that holds over every window lends nothing
    /// from one to the next.
    Each,
}

/// The smallest quantile that hedging can reach over several parts, and how.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct PartedLimit {
    /// The quantile of all calls, each in multiples of its part's `factor`.
    pub quantile: f64,
    /// For each part, in order, what is done with its calls.
    pub schedules: Vec<Vec<Schedule>>,
}

/// What is done with a share of a part's calls.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Schedule {
    /// The share of the part's calls.
    pub chance: f64,
    /// When the copies are sent, in multiples of the part's `factor`, ascending.
    pub delays: Vec<f64>,
    /// The share of these calls that reach each delay in which the copy is then sent.
    pub shares: Vec<f64>,
}

impl LimitPart {
    /// So many of the calls, whose attempts follow `law`, times `factor`.
    ///
    /// # Panics
    ///
    /// If `weight` or `factor` is not above 0.
    #[must_use]
    #[track_caller]
    pub fn new(weight: f64, law: Law, factor: f64) -> Self {
        assert!(
            weight > 0.0 && factor > 0.0 && weight.is_finite() && factor.is_finite(),
            "a part of weight {weight} and factor {factor} is none: write numbers above 0"
        );
        Self {
            weight,
            law,
            factor,
        }
    }

    /// The latency that a share `q` of all calls stays within if none is hedged.
    ///
    /// # Panics
    ///
    /// If there are no parts, or `q` is not in 0 ≤ `q` < 1.
    #[must_use]
    #[track_caller]
    pub fn quantile(parts: &[Self], q: f64) -> f64 {
        Looked::at(parts).quantile(q)
    }

    /// The smallest `q`-quantile of all calls that up to `hedges` extra attempts (1 or 2) each can
    /// reach, with a schedule for each part, at `extra` of them per call, as [`Spending`] says.
    ///
    /// With one part, or with equal ones, it is [`Law::limit`]; of [`Spending::Together`] it can be a
    /// little below it, because two schedules may be mixed.
    ///
    /// # Panics
    ///
    /// As [`Law::limit`]; also if there are no parts.
    ///
    /// # Examples
    ///
    /// Two kinds of calls, one ten times as slow. What both may spend together goes where it helps:
    ///
    /// ```
    /// use hedgerow_sim::{Law, LimitPart, Spending};
    ///
    /// let parts = [LimitPart::new(0.9, Law::w1(), 1.0), LimitPart::new(0.1, Law::w1(), 10.0)];
    /// let each = LimitPart::limit(&parts, 0.99, 0.05, 1, Spending::Each);
    /// let together = LimitPart::limit(&parts, 0.99, 0.05, 1, Spending::Together);
    /// assert!(together.quantile < each.quantile);
    /// ```
    ///
    /// # Cost
    ///
    /// For each part ten times what [`Law::limit`] costs, of `Together` a hundred times for one extra
    /// attempt and the same for two; a law of generations is tabled first.
    #[must_use]
    #[track_caller]
    pub fn limit(
        parts: &[Self],
        q: f64,
        extra: f64,
        hedges: usize,
        spending: Spending,
    ) -> PartedLimit {
        assert!(
            extra > 0.0,
            "an extra load of {extra} hedges nothing: write a share above 0"
        );
        assert!(
            matches!(hedges, 1 | 2),
            "a limit is known for 1 or 2 extra attempts, not for {hedges}"
        );
        let looked = Looked::at(parts);
        let (mut below, mut within) = (0.0, looked.quantile(q));
        let found = |t| match spending {
            Spending::Together => looked.together(t, extra, hedges),
            Spending::Each => looked.each(t, extra, hedges),
        };
        for _ in 0..HALVINGS {
            let middle = f64::midpoint(below, within);
            if found(middle).0 > 1.0 - q {
                below = middle;
            } else {
                within = middle;
            }
        }
        PartedLimit {
            quantile: within,
            schedules: found(within).1,
        }
    }
}

/// Parts whose weights add up to 1, and whose laws can be asked often.
struct Looked<'a> {
    parts: Vec<(f64, Tabled<'a>, f64)>,
}

/// The share of all calls beyond a time, and what was done for it.
type Found = (f64, Vec<Vec<Schedule>>);

impl<'a> Looked<'a> {
    #[track_caller]
    fn at(parts: &'a [LimitPart]) -> Self {
        assert!(!parts.is_empty(), "there is no limit of no parts");
        let sum: f64 = parts.iter().map(|part| part.weight).sum();
        let often = parts.len() >= MANY;
        let parts = parts.iter().map(|part| {
            let law = Tabled::of(&part.law, often);
            (part.weight / sum, law, part.factor)
        });
        Self {
            parts: parts.collect(),
        }
    }

    #[track_caller]
    fn quantile(&self, q: f64) -> f64 {
        assert!(
            (0.0..1.0).contains(&q),
            "there is no quantile {q}: write a share, 0 ≤ q < 1 (0.99 for p99)"
        );
        let beyond = |t: f64| -> f64 {
            let of =
                |(weight, law, factor): &(f64, Tabled<'_>, f64)| weight * law.survival(t / factor);
            self.parts.iter().map(of).sum()
        };
        let (mut below, mut within) = (0.0, 1.0);
        while beyond(within) > 1.0 - q {
            (below, within) = (within, 2.0 * within);
        }
        for _ in 0..2 * HALVINGS {
            let middle = f64::midpoint(below, within);
            if beyond(middle) > 1.0 - q {
                below = middle;
            } else {
                within = middle;
            }
        }
        within
    }

    /// Each part spends what it may, for itself.
    fn each(&self, t: f64, extra: f64, hedges: usize) -> Found {
        let plan_at: fn(&Tabled<'a>, f64, f64) -> Plan = if hedges == 1 { one } else { two };
        let mut beyond = 0.0;
        let schedules = self.parts.iter().map(|(weight, law, factor)| {
            let plan = plan_at(law, t / factor, extra);
            beyond += weight * plan.beyond;
            let used = if plan.shares[1] > 0.0 { 2 } else { 1 };
            vec![Schedule {
                chance: 1.0,
                delays: plan.delays[..used].iter().map(|at| at * factor).collect(),
                shares: plan.shares[..used].to_vec(),
            }]
        });
        let schedules = schedules.collect();
        (beyond, schedules)
    }

    /// All of them have one load, and so one price of a copy.
    fn together(&self, t: f64, extra: f64, hedges: usize) -> Found {
        let at = |price: f64| -> (f64, f64, Vec<Priced>) {
            let found: Vec<Priced> = self
                .parts
                .iter()
                .map(|(_, law, factor)| best(law, t / factor, hedges, price))
                .collect();
            let sum = |of: fn(&Priced) -> f64| -> f64 {
                let weighed = self.parts.iter().zip(&found);
                weighed.map(|((weight, ..), one)| weight * of(one)).sum()
            };
            (sum(|one| one.beyond), sum(|one| one.cost), found)
        };
        let (mut low, mut high) = (LOWEST_PRICE, 1.0_f64);
        let mut dear = at(low);
        if dear.1 <= extra {
            return (dear.0, self.mixed(&dear.2, &dear.2, 1.0));
        }
        // A copy that costs a call is not worth it.
        let mut cheap = at(high);
        for _ in 0..PRICES {
            let middle = (low * high).sqrt();
            let found = at(middle);
            if found.1 > extra {
                (low, dear) = (middle, found);
            } else {
                (high, cheap) = (middle, found);
            }
            if high / low < 1.0 + 1e-9 {
                break;
            }
        }
        // The price at which the load is met may be one at which two schedules are worth the same.
        let part = if dear.1 > cheap.1 {
            ((extra - cheap.1) / (dear.1 - cheap.1)).clamp(0.0, 1.0)
        } else {
            0.0
        };
        let beyond = dear.0 * part + cheap.0 * (1.0 - part);
        (beyond, self.mixed(&dear.2, &cheap.2, part))
    }

    fn mixed(&self, dear: &[Priced], cheap: &[Priced], part: f64) -> Vec<Vec<Schedule>> {
        let schedule = |priced: &Priced, factor: f64, chance: f64| Schedule {
            chance,
            delays: priced.delays.iter().map(|at| at * factor).collect(),
            shares: vec![1.0; priced.delays.len()],
        };
        let pairs = self.parts.iter().zip(dear.iter().zip(cheap));
        pairs
            .map(|((_, _, factor), (dear, cheap))| {
                vec![
                    schedule(dear, *factor, part),
                    schedule(cheap, *factor, 1.0 - part),
                ]
            })
            .collect()
    }
}
