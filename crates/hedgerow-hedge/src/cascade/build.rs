//! How a cascade is put together.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use hedgerow_core::{BoxError, Classify, OkWins, Recorder};

use crate::cascade::error::{CascadeBuildError, CascadeMistake};
use crate::cascade::event::CascadeEvent;
use crate::cascade::handle::Books;
use crate::cascade::info::CascadeInfo;
use crate::cascade::service::{Cascade, Core, Rung};
use crate::cascade::spend::{MAX_UNITS, SpendCap};
use crate::cascade::tier::Tier;
use crate::exchange::{ByClone, ByReplay, Exchange, ReplayWith};

/// More tiers than this are no cascade any more.
pub(super) const MAX_TIERS: usize = 16;

/// Scores an answer.
pub(super) type Score<Res> = Arc<dyn Fn(&Res) -> f64 + Send + Sync>;
/// Says what a result is worth.
pub(super) type Judge<Res> = Arc<dyn Classify<Res, BoxError> + Send + Sync>;
/// Is told every event.
pub(super) type Told = Arc<dyn Recorder<CascadeEvent> + Send + Sync>;
/// Tells the answer what became of its call.
pub(super) type Inform<Res> = Arc<dyn Fn(&mut Res, &CascadeInfo) + Send + Sync>;

/// The settings of a [`Cascade`], made by [`Cascade::builder`].
///
/// Nothing is checked before [`build`](Self::build), which then says everything that is wrong.
#[must_use]
pub struct CascadeBuilder<Req, Res, X = ByReplay> {
    pub(super) tiers: Vec<Tier<Req, Res>>,
    pub(super) exchange: X,
    pub(super) judge: Judge<Res>,
    pub(super) score: Option<Score<Res>>,
    pub(super) timeout: Option<Duration>,
    pub(super) cap: Option<SpendCap>,
    pub(super) told: Told,
    pub(super) inform: Option<Inform<Res>>,
}

impl<Req, Res> CascadeBuilder<Req, Res> {
    pub(super) fn new() -> Self {
        Self {
            tiers: Vec::new(),
            exchange: ByReplay,
            judge: Arc::new(OkWins),
            score: None,
            timeout: None,
            cap: None,
            told: Arc::new(()),
            inform: None,
        }
    }

    /// Allows every request to be sent to more than one tier, copied by `Clone`.
    ///
    /// Defaults to those whose type says so ([`Replay`](hedgerow_core::Replay)).
    pub fn clone_requests(self) -> CascadeBuilder<Req, Res, ByClone> {
        self.exchange(ByClone)
    }

    /// Copies requests by `f`, which returns `None` for those that may be sent only once. If it
    /// panics, the request is sent to the first tier alone.
    pub fn replay_with<F>(self, f: F) -> CascadeBuilder<Req, Res, ReplayWith<F>>
    where
        F: Fn(&mut Req) -> Option<Req>,
    {
        self.exchange(ReplayWith(f))
    }

    fn exchange<X>(self, exchange: X) -> CascadeBuilder<Req, Res, X> {
        CascadeBuilder {
            exchange,
            tiers: self.tiers,
            judge: self.judge,
            score: self.score,
            timeout: self.timeout,
            cap: self.cap,
            told: self.told,
            inform: self.inform,
        }
    }
}

impl<Req, Res, X> CascadeBuilder<Req, Res, X> {
    /// Adds a tier after those before it: the order is the preference. One to 16.
    pub fn tier(mut self, tier: Tier<Req, Res>) -> Self {
        self.tiers.push(tier);
        self
    }

    /// Sets who says whether an answer can be used at all. Defaults to: every `Ok` can.
    ///
    /// A [`Classify`] of `&Result<Res, BoxError>`, like
    /// [`accept_if(|answer: &Res| ..)`](hedgerow_core::accept_if). What it refuses is never
    /// returned, not even as the best there is: for "better than nothing" use
    /// [`score`](Self::score). What it calls [`Fatal`](hedgerow_core::Class::Fatal) ends the call at
    /// once.
    pub fn accept<J>(mut self, judge: J) -> Self
    where
        J: Classify<Res, BoxError> + Send + Sync + 'static,
    {
        self.judge = Arc::new(judge);
        self
    }

    /// Scores every answer that the judge takes: higher is better. Defaults to no score.
    ///
    /// An answer passes if it reaches its tier's [`threshold`](Tier::threshold), or if that has none.
    /// If none passes, the caller gets the best one; of equals the tier that was declared first. NaN
    /// never passes and ranks lowest. A score that panics refuses its answer, as a judge would.
    pub fn score<F>(mut self, score: F) -> Self
    where
        F: Fn(&Res) -> f64 + Send + Sync + 'static,
    {
        self.score = Some(Arc::new(score));
        self
    }

    /// Sets how long a whole call may take, above zero. Defaults to no limit: a call ends when all
    /// its tiers have.
    ///
    /// When the time is over, the caller gets the best of the refused answers, or an error whose
    /// [`is_timeout`](crate::RaceError::is_timeout) holds. Until then the call waits for whatever
    /// runs.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// Caps what the tiers beyond the first may cost. Defaults to no cap: a call then costs at most
    /// the sum of its tiers.
    pub fn spend_cap(mut self, cap: SpendCap) -> Self {
        self.cap = Some(cap);
        self
    }

    /// Tells every event to `recorder`. Defaults to `()`, which costs nothing.
    pub fn recorder<R>(mut self, recorder: R) -> Self
    where
        R: Recorder<CascadeEvent> + Send + Sync + 'static,
    {
        self.told = Arc::new(recorder);
        self
    }

    /// Tells every event to `f`. If it panics, its own event is lost and nothing else.
    pub fn on_event<F>(self, f: F) -> Self
    where
        F: Fn(&CascadeEvent) + Send + Sync + 'static,
    {
        self.recorder(f)
    }

    /// The cascade.
    ///
    /// # Errors
    ///
    /// [`CascadeBuildError`] with every mistake, each with what to write instead.
    pub fn build(self) -> Result<Cascade<Req, Res>, CascadeBuildError>
    where
        X: Exchange<Req, Res> + Send + Sync + 'static,
    {
        let mistakes = self.mistakes();
        let first = match self.tiers.first() {
            Some(first) if mistakes.is_empty() => first.service.clone(),
            _ => return Err(CascadeBuildError::new(mistakes)),
        };
        let rungs: Vec<_> = self.tiers.into_iter().map(Rung::from).collect();
        let core = Core {
            books: Arc::new(Books::new(rungs.iter().map(|rung| rung.name.clone()))),
            rungs,
            exchange: Box::new(self.exchange),
            judge: self.judge,
            score: self.score,
            timeout: self.timeout,
            cap: self.cap,
            told: self.told,
            inform: self.inform,
        };
        Ok(Cascade::new(first, core))
    }

    fn mistakes(&self) -> Vec<CascadeMistake> {
        let mut found = Vec::new();
        match self.tiers.len() {
            0 => found.push(CascadeMistake::NoTiers),
            n if n > MAX_TIERS => found.push(CascadeMistake::TooManyTiers(n)),
            _ => {}
        }
        for at in 0..self.tiers.len() {
            self.check_name(at, &mut found);
            self.check_delay(at, &mut found);
            self.check_numbers(at, &mut found);
        }
        if self.timeout.is_some_and(|timeout| timeout.is_zero()) {
            found.push(CascadeMistake::ZeroTimeout);
        }
        self.check_cap(&mut found);
        found
    }

    fn check_name(&self, at: usize, found: &mut Vec<CascadeMistake>) {
        let name = &self.tiers[at].name;
        if name.is_empty() {
            found.push(CascadeMistake::EmptyName(at));
        } else if let Some(first) = self.tiers[..at].iter().position(|t| t.name == *name) {
            found.push(CascadeMistake::DuplicateName {
                name: name.clone(),
                first,
                second: at,
            });
        }
    }

    fn check_delay(&self, at: usize, found: &mut Vec<CascadeMistake>) {
        let Tier { name, after, .. } = &self.tiers[at];
        let (name, after) = (name.clone(), *after);
        match at.checked_sub(1).map(|before| self.tiers[before].after) {
            None if !after.is_zero() => {
                found.push(CascadeMistake::FirstTierDelayed { name, after });
            }
            Some(before) if after < before => found.push(CascadeMistake::DelaysGoBack {
                name,
                before,
                after,
            }),
            _ => {}
        }
    }

    fn check_numbers(&self, at: usize, found: &mut Vec<CascadeMistake>) {
        let tier = &self.tiers[at];
        let (name, cost) = (tier.name.clone(), tier.cost);
        if !(0.0..=MAX_UNITS).contains(&cost) {
            let name = name.clone();
            found.push(CascadeMistake::Cost { name, cost });
        }
        match tier.threshold {
            Some(threshold) if !threshold.is_finite() => {
                found.push(CascadeMistake::Threshold { name, threshold });
            }
            Some(_) if self.score.is_none() => {
                found.push(CascadeMistake::ThresholdWithoutScore { name });
            }
            _ => {}
        }
    }

    fn check_cap(&self, found: &mut Vec<CascadeMistake>) {
        let Some(cap) = &self.cap else {
            return;
        };
        let (per_100_calls, depth) = (cap.per_100_calls(), cap.depth());
        let fine = 0.0..=MAX_UNITS;
        if !fine.contains(&per_100_calls) || !fine.contains(&depth) {
            found.push(CascadeMistake::SpendCap {
                per_100_calls,
                depth,
            });
            return;
        }
        for tier in self.tiers.iter().skip(1) {
            if fine.contains(&tier.cost) && tier.cost > depth {
                found.push(CascadeMistake::BeyondDepth {
                    name: tier.name.clone(),
                    cost: tier.cost,
                    depth,
                });
            }
        }
    }
}

impl<Req, Res, X> fmt::Debug for CascadeBuilder<Req, Res, X> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CascadeBuilder")
            .field("tiers", &self.tiers)
            .field("timeout", &self.timeout)
            .field("spend_cap", &self.cap)
            .finish_non_exhaustive()
    }
}
