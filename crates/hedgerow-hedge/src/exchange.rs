//! How copies of a request are made, and who is told in the answer.

use hedgerow_core::{Attempt, Copies, Replay};

pub use hedgerow_core::{ByClone, ByReplay, Edited, ReplayWith};

use crate::info::WinnerInfo;

/// Makes the copies of a request ([`Copies`]) and may write into the answer.
///
/// The layer's settings choose it: [`ByReplay`] unless `.clone_requests()` or `.replay_with(f)` was
/// called; `.edit(f)` and `.http()` wrap it. Write your own only for a transport of your own.
pub trait Exchange<Req, Res>: Copies<Req> {
    /// Whether the answer is to be told what became of the call.
    #[inline]
    fn informs(&self, hedged: bool) -> bool {
        let _ = hedged;
        false
    }

    /// Tells the answer what became of the call.
    #[inline]
    fn inform(&self, response: &mut Res, info: WinnerInfo) {
        let _ = (response, info);
    }
}

// === impl Exchange ===

impl<Req: Replay, Res> Exchange<Req, Res> for ByReplay {}

impl<Req: Clone, Res> Exchange<Req, Res> for ByClone {}

impl<Req, Res, F> Exchange<Req, Res> for ReplayWith<F> where F: Fn(&mut Req) -> Option<Req> {}

impl<Req, Res, X, F> Exchange<Req, Res> for Edited<X, F>
where
    X: Exchange<Req, Res>,
    F: Fn(&mut Req, Attempt),
{
    #[inline]
    fn informs(&self, hedged: bool) -> bool {
        self.get_ref().informs(hedged)
    }

    fn inform(&self, response: &mut Res, info: WinnerInfo) {
        self.get_ref().inform(response, info);
    }
}
