//! A recorder that looks at losers alone.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use hedgerow_core::{Attempt, Recorder};

use crate::event::HedgeEvent;
use crate::info::AttemptInfo;
use crate::layer::HedgeLayer;

/// The attempts of a call whose result the caller did not get.
///
/// Shown to [`HedgeLayer::on_losers`](crate::HedgeLayer::on_losers) and
/// [`Race::on_losers`](crate::Race::on_losers) when a call ends in which more than one attempt was
/// sent.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct Losers<'a> {
    /// Who won. `None` if nobody did: all lost, a result was final, the time was over,
    /// or the caller left.
    pub winner: Option<Attempt>,
    /// Who did not, in the order of their indices, each with its age and how it ended.
    pub losers: &'a [AttemptInfo],
    /// How many attempts were sent, the winner included.
    pub size: usize,
}

/// Shows the losers of every call to a function: what `.on_losers(f)` adds to the recorder.
///
/// A function that panics sees nothing more of that call, and harms nobody.
#[derive(Clone, Copy)]
pub struct OnLosers<F>(F);

impl<F> OnLosers<F>
where
    F: Fn(&Losers<'_>),
{
    /// A recorder to be paired with another one: `.recorder((mine, OnLosers::new(f)))`.
    #[must_use]
    pub const fn new(f: F) -> Self {
        Self(f)
    }
}

impl<P, R, J, Rec> HedgeLayer<P, R, J, Rec> {
    /// Shows the losers to `f` when a call ends in which an extra attempt was sent: who won, who did
    /// not, how old they are and how they ended.
    ///
    /// Also when nobody won and when the caller left. Comes after `.recorder` and `.on_event`, which
    /// replace it; whoever they set is told as well. If `f` panics, nothing else is lost.
    ///
    /// ```
    /// use hedgerow_hedge::HedgeLayer;
    ///
    /// let layer = HedgeLayer::percentile(95).on_losers(|lost| {
    ///     for loser in lost.losers {
    ///         println!("attempt {} {} at {:?}", loser.attempt, loser.outcome, loser.elapsed);
    ///     }
    /// });
    /// # let _ = layer;
    /// ```
    #[must_use]
    pub fn on_losers<F>(self, f: F) -> HedgeLayer<P, R, J, (Arc<Rec>, OnLosers<F>)>
    where
        F: Fn(&Losers<'_>),
    {
        let before = self.parts.recorder.clone();
        self.recorder((before, OnLosers::new(f)))
    }
}

impl<F> Recorder<HedgeEvent> for OnLosers<F>
where
    F: Fn(&Losers<'_>),
{
    fn record(&self, event: &HedgeEvent) {
        let Some(info) = event.info().filter(|info| info.attempts.len() > 1) else {
            return;
        };
        let winner = matches!(event, HedgeEvent::Won(_)).then(|| Attempt::new(info.index));
        let lost = |attempt: &&AttemptInfo| Some(attempt.attempt) != winner;
        let losers: Vec<AttemptInfo> = info.attempts.iter().filter(lost).copied().collect();
        let losers = Losers {
            winner,
            losers: &losers,
            size: info.attempts.len(),
        };
        // The panic hook has reported it.
        let _ = catch_unwind(AssertUnwindSafe(|| (self.0)(&losers)));
    }
}

impl<F> fmt::Debug for OnLosers<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OnLosers")
    }
}
