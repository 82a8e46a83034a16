//! How copies of a request are made before they are sent.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::attempt::Attempt;
use crate::replay::Replay;

/// Makes the copies of a request that a layer sends beside or after it.
///
/// A layer's settings choose it: [`ByReplay`] unless `.clone_requests()` or `.replay_with(f)` was
/// called; `.edit(f)` wraps it. Write your own only for a transport of your own.
pub trait Copies<Req> {
    /// A copy that may be sent beside `request`, or `None` if it may be sent only once.
    fn copy(&self, request: &mut Req) -> Option<Req>;

    /// Changes an extra copy before it is sent. False if it must not be sent after all.
    #[inline]
    fn edit(&self, request: &mut Req, attempt: Attempt) -> bool {
        let _ = (request, attempt);
        true
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
pub struct ReplayWith<F>(pub F);

/// Changes every extra copy by a function: what `.edit(f)` sets.
#[derive(Clone, Copy)]
pub struct Edited<X, F> {
    copies: X,
    edit: F,
}

impl<X, F> Edited<X, F> {
    /// Makes copies as `copies` does, and runs `edit` on each before it is sent.
    pub const fn new(copies: X, edit: F) -> Self {
        Self { copies, edit }
    }

    /// What makes the copies.
    pub const fn get_ref(&self) -> &X {
        &self.copies
    }
}

// === impl Copies ===

impl<Req: Replay> Copies<Req> for ByReplay {
    #[inline]
    fn copy(&self, request: &mut Req) -> Option<Req> {
        request.replay()
    }
}

impl<Req: Clone> Copies<Req> for ByClone {
    #[inline]
    fn copy(&self, request: &mut Req) -> Option<Req> {
        Some(request.clone())
    }
}

/// A function that panics makes no copy.
impl<Req, F> Copies<Req> for ReplayWith<F>
where
    F: Fn(&mut Req) -> Option<Req>,
{
    fn copy(&self, request: &mut Req) -> Option<Req> {
        catch_unwind(AssertUnwindSafe(|| (self.0)(request))).unwrap_or(None)
    }
}

/// A copy whose function panics is not sent.
impl<Req, X, F> Copies<Req> for Edited<X, F>
where
    X: Copies<Req>,
    F: Fn(&mut Req, Attempt),
{
    #[inline]
    fn copy(&self, request: &mut Req) -> Option<Req> {
        self.copies.copy(request)
    }

    fn edit(&self, request: &mut Req, attempt: Attempt) -> bool {
        self.copies.edit(request, attempt)
            && catch_unwind(AssertUnwindSafe(|| (self.edit)(request, attempt))).is_ok()
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
        f.debug_tuple("Edited").field(&self.copies).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_function_that_panics_makes_no_copy() {
        let copies = ReplayWith(|_: &mut u8| -> Option<u8> { panic!("on purpose") });
        assert_eq!(copies.copy(&mut 1), None);
    }

    #[test]
    fn a_copy_whose_edit_panics_is_not_sent() {
        let copies = Edited::new(ByClone, |_: &mut u8, _: Attempt| panic!("on purpose"));
        assert_eq!(copies.copy(&mut 1), Some(1));
        assert!(!copies.edit(&mut 1, Attempt::new(1)));
    }
}
