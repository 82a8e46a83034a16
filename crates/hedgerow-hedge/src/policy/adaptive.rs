//! Learn which of several delays costs least, by sampling what may be true.

mod world;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use hedgerow_core::{Attempt, BoxError, LatencyView};
use parking_lot::Mutex;
use rand::SeedableRng;
use rand::rngs::SmallRng;

use self::world::{Lifetimes, World};
use super::{Delay, HedgePolicy, Sample, Stateful};
use crate::error::{BuildError, MAX_HEDGES};
use crate::info::Outcome;

const DEFAULT_ARMS_MS: [u64; 5] = [50, 100, 200, 500, 1_000];
/// In how many calls the rate of forgetting is forgotten.
const FORGETTING_CALLS: f64 = 20.0;
/// No arm is longer: what lasts longer is not hedged but timed out.
pub(crate) const LONGEST_ARM: Duration = Duration::from_secs(3_600);
/// For so many calls every one decides anew, then at most one in [`PAUSE`].
const EAGER_CALLS: u32 = 64;
const PAUSE: Duration = Duration::from_millis(25);
/// Weights grow instead of being forgotten one by one; beyond this all are made smaller.
const HEAVY: f64 = 1e6;
/// Parts the draws of policies that were given no seed.
static UNSEEDED: AtomicU64 = AtomicU64::new(0);
const STRIDE: u64 = 0x9e37_79b9_7f4a_7c15;

/// Thompson sampling over several delays: hedges after the one that costs least in a world drawn
/// from what is known.
///
/// The cost of a delay *d* is the mean of the call's latency, plus a price (in time) if an extra
/// attempt was sent: E min(P, *d* + H) + price · P(P > *d*), with P the latency of primaries and H
/// that of extras. Both laws are learnt, whatever delay was in use: every latency seen tells what
/// each delay would have made of it, and one that the race cut off counts as "longer than this".
///
/// A decision draws both laws from their posterior and takes the best delay in them. Early on the
/// draws differ widely, so all delays that may be best are tried; later they agree.
///
/// A further extra attempt, if allowed, is sent after twice the delay, and so on; the cost is that
/// of the first. A copy that the budget denied does no harm to what is learnt.
///
/// # Forgetting
///
/// What is known loses the share `rate` of its weight in every 20 calls: an observation made *n*
/// calls ago weighs (1 − `rate`)^(*n*/20). With the default, 0.1, it weighs half after 132 calls,
/// and all that is known weighs as much as 190 fresh calls. Calls without a latency (they failed)
/// do not count, so an outage makes it forget nothing; nor do those whose caller left before the
/// shortest delay.
///
/// # Clones
///
/// A clone has the same settings and has learnt nothing: with [`key`](crate::HedgeLayer::key) each
/// key learns by itself. It draws other numbers than its original.
///
/// # Cost
///
/// Asking is one atomic load. Each attempt's end books into a table under a lock that is only
/// tried: if another thread holds it, this sample is left out. The first 64 calls decide anew one
/// by one, later calls at most every 25 ms: then one of them spends 10 to 50 µs, and all calls in
/// between share its decision. Nothing is allocated. 17 KiB.
///
/// # Source
///
/// W. R. Thompson, *On the likelihood that one unknown probability exceeds another*, Biometrika
/// 25, 1933. The laws' posterior is a beta-Stacy process (S. Walker and P. Muliere, *Beta-Stacy
/// processes and a generalization of the Pólya-urn scheme*, Annals of Statistics 25, 1997), which
/// stays exact where samples are cut off; on times with a grain of 3 to 6 %. Before anything is
/// known, one call's worth of belief is spread evenly over the octaves from the shortest delay to
/// eight times the longest; extras are believed to be like primaries, with the weight of 16.
pub struct Adaptive {
    plan: Plan,
    /// The arm in use.
    arm: AtomicUsize,
    learnt: Mutex<Learnt>,
    clones: AtomicU64,
}

/// What was set.
#[derive(Clone, Debug)]
struct Plan {
    arms: Arc<[Duration]>,
    price: Duration,
    forgetting: f64,
    seed: u64,
}

struct Learnt {
    primaries: Lifetimes,
    hedges: Lifetimes,
    /// What a sample weighs that comes now.
    weight: f64,
    /// How much more each call weighs than the one before.
    growth: f64,
    calls: u32,
    /// When it may decide again.
    rested: Option<Instant>,
    world: World,
    rng: SmallRng,
}

impl Adaptive {
    /// What an extra attempt costs, in time, unless [`price`](Self::price) is set.
    pub const DEFAULT_PRICE: Duration = Duration::from_millis(50);
    /// The rate of forgetting unless [`try_forgetting`](Self::try_forgetting) sets it.
    pub const DEFAULT_FORGETTING: f64 = 0.1;

    /// Learns which of `delays` is best: 2 to 64 of them, ascending, none beyond an hour.
    ///
    /// # Errors
    ///
    /// [`BuildError::Arms`], [`BuildError::UnorderedArms`] or [`BuildError::LongArm`].
    pub fn try_new(delays: impl IntoIterator<Item = Duration>) -> Result<Self, BuildError> {
        // One more than may be: enough to see that there are too many.
        let arms: Arc<[Duration]> = delays.into_iter().take(MAX_HEDGES + 1).collect();
        if arms.len() < 2 || arms.len() > MAX_HEDGES {
            return Err(BuildError::Arms(arms.len()));
        }
        if let Some(at) = arms.windows(2).position(|pair| pair[0] >= pair[1]) {
            return Err(BuildError::UnorderedArms {
                before: arms[at],
                after: arms[at + 1],
            });
        }
        let longest = arms[arms.len() - 1];
        if longest > LONGEST_ARM {
            return Err(BuildError::LongArm(longest));
        }
        Ok(Self::build(arms))
    }

    fn build(arms: Arc<[Duration]>) -> Self {
        let number = UNSEEDED.fetch_add(1, Ordering::Relaxed);
        Self::with(Plan {
            arms,
            price: Self::DEFAULT_PRICE,
            forgetting: Self::DEFAULT_FORGETTING,
            seed: number.wrapping_mul(STRIDE),
        })
    }

    /// With nothing learnt.
    fn with(plan: Plan) -> Self {
        let mut learnt = Learnt {
            primaries: Lifetimes::new(),
            hedges: Lifetimes::new(),
            weight: 1.0,
            growth: (1.0 - plan.forgetting).powf(-1.0 / FORGETTING_CALLS),
            calls: 0,
            rested: None,
            world: World::new(&plan.arms),
            rng: SmallRng::seed_from_u64(plan.seed),
        };
        let arm = learnt.decide(&plan);
        Self {
            plan,
            arm: AtomicUsize::new(arm),
            learnt: Mutex::new(learnt),
            clones: AtomicU64::new(0),
        }
    }

    /// Sets what an extra attempt costs, in time: how much sooner an answer has to come for it to
    /// be worth sending one. Defaults to 50 ms.
    ///
    /// What was learnt begins anew.
    #[must_use]
    pub fn price(self, price: Duration) -> Self {
        self.priced(price)
    }

    /// Sets the rate of forgetting, 0 < `rate` < 1: which share of its weight all that is known
    /// loses in 20 calls. Defaults to 0.1.
    ///
    /// What was learnt begins anew.
    ///
    /// # Errors
    ///
    /// [`BuildError::Forgetting`] if `rate` is out of range.
    pub fn try_forgetting(self, rate: f64) -> Result<Self, BuildError> {
        self.try_forgetful(rate)
    }

    /// Sets the seed of the draws. Defaults to one that differs from policy to policy in the order
    /// in which they are made, so that several layers do not march in step.
    ///
    /// What was learnt begins anew.
    #[must_use]
    pub fn seed(self, seed: u64) -> Self {
        self.seeded(seed)
    }

    /// The delay in use.
    #[must_use]
    pub fn current(&self) -> Duration {
        self.plan.arms[self.arm.load(Ordering::Relaxed)]
    }

    /// The delays it chooses from.
    #[must_use]
    pub fn delays(&self) -> &[Duration] {
        &self.plan.arms
    }

    pub(crate) fn priced(&self, price: Duration) -> Self {
        let plan = self.plan.clone();
        Self::with(Plan { price, ..plan })
    }

    pub(crate) fn try_forgetful(&self, forgetting: f64) -> Result<Self, BuildError> {
        if !(forgetting > 0.0 && forgetting < 1.0) {
            return Err(BuildError::Forgetting(forgetting));
        }
        let plan = self.plan.clone();
        Ok(Self::with(Plan { forgetting, ..plan }))
    }

    pub(crate) fn seeded(&self, seed: u64) -> Self {
        let plan = self.plan.clone();
        Self::with(Plan { seed, ..plan })
    }

    fn learn(&self, sample: &Sample) {
        // Nobody waits to be heard.
        let Some(mut learnt) = self.learnt.try_lock() else {
            return;
        };
        if let Some(arm) = learnt.book(sample, &self.plan) {
            self.arm.store(arm, Ordering::Relaxed);
        }
    }
}

/// 50, 100, 200, 500 and 1,000 ms.
impl Default for Adaptive {
    fn default() -> Self {
        Self::build(DEFAULT_ARMS_MS.map(Duration::from_millis).into())
    }
}

impl Learnt {
    /// Books a latency; the arm to use from now on, if it is time to decide.
    #[inline]
    fn book(&mut self, sample: &Sample, plan: &Plan) -> Option<usize> {
        let weight = self.weight;
        if sample.attempt.is_extra() {
            self.hedges.add(sample.elapsed, sample.won(), weight);
            return None;
        }
        self.primaries.add(sample.elapsed, sample.won(), weight);
        // Left before any extra was at stake: true, but no news of a delay to forget others for.
        if sample.outcome == Outcome::Cancelled && sample.elapsed < plan.arms[0] {
            return None;
        }
        self.weight *= self.growth;
        if self.weight > HEAVY {
            self.relieve();
        }
        self.calls = self.calls.saturating_add(1);
        let rests = self.rested.is_some_and(|rested| sample.now < rested);
        if rests && self.calls > EAGER_CALLS {
            return None;
        }
        self.rested = sample.now.checked_add(PAUSE);
        Some(self.decide(plan))
    }

    /// Makes all weights smaller, so that what comes now weighs 1.
    #[cold]
    fn relieve(&mut self) {
        let by = 1.0 / self.weight;
        self.primaries.scale(by);
        self.hedges.scale(by);
        self.weight = 1.0;
    }

    #[cold]
    #[inline(never)]
    fn decide(&mut self, plan: &Plan) -> usize {
        let known = (&self.primaries, &self.hedges);
        self.world.draw(known, self.weight, &mut self.rng);
        self.world.best(&plan.arms, plan.price)
    }
}

// === impl HedgePolicy ===

impl<Req> HedgePolicy<Req> for Adaptive {
    #[inline]
    fn delay(&self, _: &Req, attempt: Attempt, _: &dyn LatencyView) -> Delay {
        Delay::After(self.current().saturating_mul(attempt.index()))
    }

    #[inline]
    fn observe(&self, sample: &Sample) {
        if sample.won() || sample.censored() {
            self.learn(sample);
        }
    }

    fn name(&self) -> &'static str {
        "adaptive"
    }
}

// === impl Stateful ===

/// What is known of both laws, as JSON. Without the feature `serde` nothing.
impl Stateful for Adaptive {
    #[cfg(feature = "serde")]
    fn save(&self) -> Option<String> {
        let learnt = self.learnt.lock();
        let unit = 1.0 / learnt.weight;
        let laws = [&learnt.primaries, &learnt.hedges];
        serde_json::to_string(&laws.map(|law| law.saved(unit))).ok()
    }

    #[cfg(feature = "serde")]
    fn restore(&self, state: &str) -> Result<(), BoxError> {
        let [primaries, hedges]: [world::Saved; 2] = serde_json::from_str(state)?;
        let (primaries, hedges) = (Lifetimes::of(&primaries)?, Lifetimes::of(&hedges)?);
        let mut learnt = self.learnt.lock();
        (learnt.primaries, learnt.hedges) = (primaries, hedges);
        learnt.weight = 1.0;
        let arm = learnt.decide(&self.plan);
        self.arm.store(arm, Ordering::Relaxed);
        Ok(())
    }

    #[cfg(not(feature = "serde"))]
    fn restore(&self, _: &str) -> Result<(), BoxError> {
        Err("an adaptive policy's state needs the feature `serde`".into())
    }
}

// === impl Clone, Debug ===

impl Clone for Adaptive {
    fn clone(&self) -> Self {
        let number = self.clones.fetch_add(1, Ordering::Relaxed) + 1;
        let mut plan = self.plan.clone();
        plan.seed ^= number.wrapping_mul(STRIDE).rotate_left(32);
        Self::with(plan)
    }
}

impl fmt::Debug for Adaptive {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Adaptive")
            .field("plan", &self.plan)
            .field("current", &self.current())
            .finish_non_exhaustive()
    }
}
