//! What is known of two laws, and worlds drawn from it.

use std::time::Duration;

use rand::Rng;
use rand_distr::{Beta, Distribution};

/// The timer's grain.
const GRAIN: Duration = Duration::from_millis(1);
/// Buckets an octave, from a millisecond on; what is shorter shares one.
const PARTS: usize = 16;
const OCTAVES: usize = 22;
const BUCKETS: usize = 1 + PARTS * OCTAVES;
/// How much is believed of primaries before anything is known, in calls.
const BELIEF: f64 = 1.0;
/// How much is believed of extras: that they are like primaries.
const LIKENESS: f64 = 16.0;
/// Below this nothing is left that could outlive a bucket.
const NOTHING: f64 = 1e-6;
/// No row weighs more, in calls: at 100,000 a second, four months without forgetting.
#[cfg(feature = "serde")]
const MOST: f64 = 1e12;

/// How often attempts ended in each bucket of time, and how often they were cut off there.
pub(super) struct Lifetimes {
    whole: Box<[f64]>,
    cut: Box<[f64]>,
}

/// Two laws that may be true.
pub(super) struct World {
    belief: Vec<(usize, f64)>,
    primaries: Vec<Step>,
    hedges: Vec<Step>,
}

/// One step of a survival function: what share outlives this bucket.
#[derive(Clone, Copy)]
struct Step {
    bucket: u32,
    left: f32,
}

fn millis(d: Duration) -> f64 {
    d.as_secs_f64() * 1e3
}

/// Which bucket: read off the float's exponent and its first four mantissa bits.
#[inline]
fn bucket_of(d: Duration) -> usize {
    if d < GRAIN {
        return 0;
    }
    let place = (millis(d).to_bits() >> 48) as usize - (1_023 << 4);
    (1 + place).min(BUCKETS - 1)
}

/// The middle of a bucket, in milliseconds.
fn middle_of(bucket: usize) -> f64 {
    let Some(place) = bucket.checked_sub(1) else {
        return 0.5;
    };
    let part = (place % PARTS) as f64 + 0.5;
    f64::from(1_u32 << (place / PARTS)) * (1.0 + part / PARTS as f64)
}

impl Lifetimes {
    pub(super) fn new() -> Self {
        Self {
            whole: vec![0.0; BUCKETS].into(),
            cut: vec![0.0; BUCKETS].into(),
        }
    }

    #[inline]
    pub(super) fn add(&mut self, elapsed: Duration, whole: bool, weight: f64) {
        let row = if whole {
            &mut self.whole
        } else {
            &mut self.cut
        };
        row[bucket_of(elapsed)] += weight;
    }

    pub(super) fn scale(&mut self, by: f64) {
        for weight in self.whole.iter_mut().chain(&mut self.cut) {
            *weight *= by;
        }
    }

    fn total(&self) -> f64 {
        self.whole.iter().chain(&self.cut).sum()
    }

    /// Draws a law: in each bucket a share of what came so far ends there, Beta distributed by what
    /// ended there and what is known to have outlived it.
    fn draw<B>(&self, belief: B, unit: f64, rng: &mut impl Rng, law: &mut Vec<Step>)
    where
        B: Iterator<Item = (usize, f64)> + Clone,
    {
        law.clear();
        let believed: f64 = belief.clone().map(|(_, weight)| weight).sum();
        let mut belief = belief.peekable();
        let mut at_risk = self.total() / unit + believed;
        let mut left = 1.0;
        let mut last = 0;
        for bucket in 0..BUCKETS {
            let believed = belief.next_if(|&(at, _)| at == bucket);
            let ended = self.whole[bucket] / unit + believed.map_or(0.0, |b| b.1);
            let cut = self.cut[bucket] / unit;
            if ended + cut == 0.0 {
                continue;
            }
            last = bucket;
            if ended > 0.0 {
                left *= 1.0 - share_that_ends(ended, at_risk - ended, rng);
                law.push(Step {
                    bucket: bucket as u32,
                    left: left as f32,
                });
            }
            at_risk -= ended + cut;
        }
        if left > 0.0 {
            // All that is known of the rest is that it lasts longer: an octave, to be finite.
            law.push(Step {
                bucket: (last + PARTS).min(BUCKETS - 1) as u32,
                left: 0.0,
            });
        }
    }
}

fn share_that_ends(ended: f64, outlived: f64, rng: &mut impl Rng) -> f64 {
    if outlived <= NOTHING {
        return 1.0;
    }
    // Both are above zero, so it is never refused.
    let drawn = Beta::new(ended, outlived).map(|law| law.sample(rng));
    drawn.unwrap_or(0.0).clamp(0.0, 1.0)
}

impl World {
    /// Believes in times from the shortest of `arms` to eight times the longest.
    pub(super) fn new(arms: &[Duration]) -> Self {
        let bucket = |arm: Option<&Duration>| arm.map_or(1, |&arm| bucket_of(arm).max(1));
        let (first, last) = (bucket(arms.first()), bucket(arms.last()));
        let last = (last + 3 * PARTS).min(BUCKETS - 1);
        // Two an octave.
        let places: Vec<usize> = (first..=last).step_by(PARTS / 2).collect();
        let each = BELIEF / places.len() as f64;
        Self {
            belief: places.into_iter().map(|place| (place, each)).collect(),
            primaries: Vec::with_capacity(BUCKETS + 1),
            hedges: Vec::with_capacity(BUCKETS + 1),
        }
    }

    /// Draws both laws from what is known; a fresh call weighs `unit`.
    pub(super) fn draw(
        &mut self,
        (primaries, hedges): (&Lifetimes, &Lifetimes),
        unit: f64,
        rng: &mut impl Rng,
    ) {
        let belief = self.belief.iter().copied();
        primaries.draw(belief, unit, rng, &mut self.primaries);
        let mut before = 1.0;
        let alike = self.primaries.iter().map(move |step| {
            let ends = f64::from(before - step.left);
            before = step.left;
            (step.bucket as usize, LIKENESS * ends)
        });
        hedges.draw(alike, unit, rng, &mut self.hedges);
    }

    /// Which of `arms` costs least; the first of equals.
    pub(super) fn best(&self, arms: &[Duration], price: Duration) -> usize {
        let price = millis(price);
        let mut best = (0, f64::INFINITY);
        for (at, &arm) in arms.iter().enumerate() {
            let cost = self.cost(millis(arm), price);
            if cost < best.1 {
                best = (at, cost);
            }
        }
        best.0
    }

    /// E min(P, delay + H) + price · P(P > delay): the first as the integral of what still runs.
    fn cost(&self, delay: f64, price: f64) -> f64 {
        let (mut primaries, mut hedges) = (self.primaries.iter(), self.hedges.iter());
        let (mut primary, mut hedge) = (primaries.next(), hedges.next());
        let (mut primary_left, mut hedge_left) = (1.0, 1.0);
        let (mut now, mut cost, mut sent) = (0.0, 0.0, 1.0);
        while let Some(step) = primary {
            let at = middle_of(step.bucket as usize);
            let answer = hedge.map(|step| (delay + middle_of(step.bucket as usize), step.left));
            match answer {
                Some((answered, left)) if answered < at => {
                    cost += (answered - now) * primary_left * hedge_left;
                    (now, hedge_left) = (answered, f64::from(left));
                    hedge = hedges.next();
                }
                _ => {
                    cost += (at - now) * primary_left * hedge_left;
                    (now, primary_left) = (at, f64::from(step.left));
                    primary = primaries.next();
                    if at <= delay {
                        sent = primary_left;
                    }
                }
            }
        }
        cost + price * sent
    }
}

// === saved ===

/// Both rows, sparse: bucket and weight.
#[cfg(feature = "serde")]
#[derive(serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Saved {
    whole: Vec<(usize, f64)>,
    cut: Vec<(usize, f64)>,
}

#[cfg(feature = "serde")]
impl Lifetimes {
    pub(super) fn saved(&self, unit: f64) -> Saved {
        let sparse = |row: &[f64]| {
            let row = row.iter().map(|weight| weight * unit).enumerate();
            row.filter(|&(_, weight)| weight > 0.0).collect()
        };
        Saved {
            whole: sparse(&self.whole),
            cut: sparse(&self.cut),
        }
    }

    pub(super) fn of(saved: &Saved) -> Result<Self, hedgerow_core::BoxError> {
        let mut found = Self::new();
        let rows = [
            (&saved.whole, &mut found.whole),
            (&saved.cut, &mut found.cut),
        ];
        for (from, to) in rows {
            for &(bucket, weight) in from {
                if bucket >= BUCKETS || !(0.0..=MOST).contains(&weight) {
                    return Err(format!("bucket {bucket} cannot weigh {weight}").into());
                }
                to[bucket] = weight;
            }
        }
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use rand::rngs::SmallRng;
    use rand::{RngExt, SeedableRng};

    use super::*;

    const fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn a_buckets_middle_is_within_a_thirtieth_of_its_times() {
        assert_eq!(bucket_of(Duration::ZERO), 0);
        for n in 1..100_000 {
            let middle = middle_of(bucket_of(ms(n)));
            assert!(
                (middle / n as f64 - 1.0).abs() <= 1.0 / 31.0,
                "{n}: {middle}"
            );
        }
        assert_eq!(bucket_of(Duration::MAX), BUCKETS - 1);
    }

    /// What is drawn is right in the mean, also where most is known by being cut off: two thirds of
    /// what outlives 100 ms ends at 1,000, seen only in the half that is not cut off at 200.
    #[test]
    fn cut_off_samples_count_as_longer_not_as_answers() {
        let mut law = Lifetimes::new();
        for (at, whole, weight) in [
            (100, true, 70.0),
            (200, false, 15.0),
            (1_000, true, 10.0),
            (4_000, true, 5.0),
        ] {
            law.add(ms(at), whole, weight);
        }
        let mut rng = SmallRng::seed_from_u64(5);
        let mut steps = Vec::new();
        let mut mean = [0.0; 2];
        for _ in 0..4_000 {
            law.draw([].into_iter(), 1.0, &mut rng, &mut steps);
            for (mean, at) in mean.iter_mut().zip([ms(100), ms(1_000)]) {
                let step = steps.iter().find(|s| s.bucket as usize == bucket_of(at));
                *mean += f64::from(step.expect("an event's bucket").left) / 4_000.0;
            }
        }
        assert!((mean[0] - 0.30).abs() < 0.005, "{mean:?}");
        assert!((mean[1] - 0.10).abs() < 0.005, "{mean:?}");
    }

    /// In single precision a bucket would stay at 2^24 while the others go on.
    #[test]
    fn no_bucket_stops_counting_where_nothing_is_forgotten() {
        let mut law = Lifetimes::new();
        let calls = (1 << 24) + 1_000;
        for _ in 0..calls {
            law.add(ms(80), true, 1.0);
        }
        assert_eq!(law.total(), f64::from(calls));
    }

    /// Whatever is left of what was known, down to weights that are hardly numbers.
    #[test]
    fn every_world_has_costs_that_are_numbers_and_shares_that_fall() {
        let arms = [50, 100, 1_000].map(ms);
        for seed in 0..300 {
            let mut rng = SmallRng::seed_from_u64(seed);
            let [mut primaries, mut hedges] = [Lifetimes::new(), Lifetimes::new()];
            for _ in 0..rng.random_range(0..40) {
                let weight = 10_f64.powf(rng.random_range(-320.0..12.0));
                let at =
                    Duration::from_nanos(rng.random_range(0..u64::MAX) >> rng.random_range(0..60));
                let law = if rng.random() {
                    &mut primaries
                } else {
                    &mut hedges
                };
                law.add(at, rng.random(), weight);
            }
            let mut world = World::new(&arms);
            for unit in [1.0, 1e-3, 1e6] {
                world.draw((&primaries, &hedges), unit, &mut rng);
                for law in [&world.primaries, &world.hedges] {
                    let falls = law.windows(2).all(|pair| pair[1].left <= pair[0].left);
                    assert!(
                        falls && law.iter().all(|step| (0.0..=1.0).contains(&step.left)),
                        "seed {seed}"
                    );
                }
                for arm in arms {
                    assert!(world.cost(millis(arm), 50.0).is_finite(), "seed {seed}");
                }
            }
        }
    }

    #[test]
    fn the_cost_of_a_delay_is_the_mean_of_the_earlier_answer_and_the_price() {
        let step = |at, left| Step {
            bucket: bucket_of(ms(at)) as u32,
            left,
        };
        let laws = vec![step(80, 0.1), step(1_500, 0.0)];
        let world = World {
            belief: Vec::new(),
            primaries: laws.clone(),
            hedges: laws,
        };
        let [fast, slow] = [80, 1_500].map(|at| middle_of(bucket_of(ms(at))));
        let want = 0.9 * fast + 0.1 * (0.9 * (100.0 + fast) + 0.1 * slow) + 0.1 * 50.0;
        assert!((world.cost(100.0, 50.0) - want).abs() < 1e-3, "{want}");
        let at_once = 0.99 * fast + 0.01 * slow + 50.0;
        assert!((world.cost(0.0, 50.0) - at_once).abs() < 1e-3, "{at_once}");
    }
}
