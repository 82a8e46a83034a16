//! How copies of a request are made, and who is told in the answer.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};

use hedgerow_core::{Attempt, Replay};

use crate::info::WinnerInfo;

/// Makes the copies of a request and may write into the answer.
///
/// The layer's settings choose it: [`ByReplay`] unless `.clone_requests()` or `.replay_with(f)` was
/// called; `.edit(f)` and `.http()` wrap it. Write your own only for a transport of your own.
pub trait Exchange<Req, Res> {
    /// A copy to be sent beside `request`, or `None` if it may be sent only once.
    fn copy(&self, request: &mut Req) -> Option<Req>;

    /// Changes an extra copy before it is sent. False if it must not be sent after all.
    #[inline]
    fn edit(&self, request: &mut Req, attempt: Attempt) -> bool {
        let _ = (request, attempt);
        true
    }

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

/// Copies requests that say by [`Replay`] that they may be sent twice. The default.
#[derive(Clone, Copy, Debug, Default)]
pub struct ByReplay;

/// Copies every request, by `Clone`: what `.clone_requests()` sets.
#[derive(Clone, Copy, Debug, Default)]
pub struct ByClone;

/// Copies requests by a function: what `.replay_with(f)` sets.
#[derive(Clone, Copy)]
pub struct ReplayWith<F>(pub(crate) F);

/// Changes every extra copy by a function: what `.edit(f)` sets.
#[derive(Clone, Copy)]
pub struct Edited<X, F> {
    pub(crate) exchange: X,
    pub(crate) edit: F,
}

// === impl Exchange ===

impl<Req: Replay, Res> Exchange<Req, Res> for ByReplay {
    #[inline]
    fn copy(&self, request: &mut Req) -> Option<Req> {
        request.replay()
    }
}

impl<Req: Clone, Res> Exchange<Req, Res> for ByClone {
    #[inline]
    fn copy(&self, request: &mut Req) -> Option<Req> {
        Some(request.clone())
    }
}

/// A function that panics makes no copy.
impl<Req, Res, F> Exchange<Req, Res> for ReplayWith<F>
where
    F: Fn(&mut Req) -> Option<Req>,
{
    fn copy(&self, request: &mut Req) -> Option<Req> {
        catch_unwind(AssertUnwindSafe(|| (self.0)(request))).unwrap_or(None)
    }
}

/// A copy whose function panics is not sent.
impl<Req, Res, X, F> Exchange<Req, Res> for Edited<X, F>
where
    X: Exchange<Req, Res>,
    F: Fn(&mut Req, Attempt),
{
    #[inline]
    fn copy(&self, request: &mut Req) -> Option<Req> {
        self.exchange.copy(request)
    }

    fn edit(&self, request: &mut Req, attempt: Attempt) -> bool {
        self.exchange.edit(request, attempt)
            && catch_unwind(AssertUnwindSafe(|| (self.edit)(request, attempt))).is_ok()
    }

    #[inline]
    fn informs(&self, hedged: bool) -> bool {
        self.exchange.informs(hedged)
    }

    fn inform(&self, response: &mut Res, info: WinnerInfo) {
        self.exchange.inform(response, info);
    }
}

// === impl fmt ===

impl<F> fmt::Debug for ReplayWith<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ReplayWith")
    }
}

impl<X: fmt::Debug, F> fmt::Debug for Edited<X, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Edited").field(&self.exchange).finish()
    }
}
