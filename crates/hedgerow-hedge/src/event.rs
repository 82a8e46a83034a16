//! What the layer tells its recorder.

use std::time::Duration;

use hedgerow_core::Attempt;

use crate::info::WinnerInfo;

/// What happened in a hedged call.
///
/// Every call ends in exactly one [terminal](Self::is_terminal) event: [`Won`](Self::Won),
/// [`Fatal`](Self::Fatal), [`AllLost`](Self::AllLost) or [`Cancelled`](Self::Cancelled). With the
/// default recorder `()` no event is even built.
///
/// Recorders are told synchronously, on the way of the call: count, or hand on and return.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum HedgeEvent {
    /// A call came in, and its primary was sent.
    Started,
    /// An extra attempt was sent.
    Fired {
        /// Which one.
        attempt: Attempt,
        /// When, counted from the call's start.
        after: Duration,
    },
    /// An extra attempt was wanted, but the budget did not grant it. The call goes on.
    Denied {
        /// Which one.
        attempt: Attempt,
        /// When, counted from the call's start.
        after: Duration,
    },
    /// An extra attempt was granted but not sent, because the service was not ready for it in
    /// time. Its token went back into the budget.
    NotReady {
        /// Which one.
        attempt: Attempt,
        /// When it was given up, counted from the call's start.
        after: Duration,
    },
    /// An attempt was dropped unfinished, because another one won or the caller left.
    AttemptCancelled {
        /// Which one.
        attempt: Attempt,
        /// How old it was.
        age: Duration,
    },
    /// Terminal: an answer was accepted.
    Won(WinnerInfo),
    /// Terminal: the judge called a result final, and the caller got it at once.
    Fatal(WinnerInfo),
    /// Terminal: every attempt lost, and the caller got the primary's own result.
    ///
    /// What the others brought is shown to
    /// [`HedgeLayer::on_all_lost`](crate::HedgeLayer::on_all_lost), which knows their types.
    AllLost(WinnerInfo),
    /// Terminal: the caller dropped the call, or, for a race of plain futures, its time was over or
    /// its token was cancelled. `index` has no meaning here.
    Cancelled(WinnerInfo),
}

impl HedgeEvent {
    /// Whether this ends its call.
    #[must_use]
    pub const fn is_terminal(&self) -> bool {
        self.info().is_some()
    }

    /// What became of the call, if this ends it.
    #[must_use]
    pub const fn info(&self) -> Option<&WinnerInfo> {
        match self {
            Self::Won(info) | Self::Fatal(info) | Self::AllLost(info) | Self::Cancelled(info) => {
                Some(info)
            }
            Self::Started
            | Self::Fired { .. }
            | Self::Denied { .. }
            | Self::NotReady { .. }
            | Self::AttemptCancelled { .. } => None,
        }
    }
}
