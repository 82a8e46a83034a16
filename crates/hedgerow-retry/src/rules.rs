//! The layer's four parts seen as one, so that a future names one type instead of four.

use std::panic::{AssertUnwindSafe, catch_unwind};

use hedgerow_core::{Attempt, Class, Classify, Copies, Recorder};

use crate::event::RetryEvent;
use crate::layer::{Parts, Settings};
use crate::policy::{Failure, RetryPolicy, Wait};

/// What a response future asks of its layer. Implemented by [`Parts`] alone.
pub trait Rules<Req, Res, E>: Sealed {
    #[doc(hidden)]
    fn settings(&self) -> &Settings;
    #[doc(hidden)]
    fn wait(&self, failure: &Failure) -> Wait;
    #[doc(hidden)]
    fn judge(&self, result: &Result<Res, E>) -> Class;
    #[doc(hidden)]
    fn copy(&self, request: &mut Req) -> Option<Req>;
    #[doc(hidden)]
    fn edit(&self, request: &mut Req, attempt: Attempt) -> bool;
    #[doc(hidden)]
    fn tells(&self) -> bool;
    #[doc(hidden)]
    fn tell(&self, event: &RetryEvent);
}

/// Keeps [`Rules`] to this crate.
pub trait Sealed {}

impl<P, R, J, Rec> Sealed for Parts<P, R, J, Rec> {}

impl<P, R, J, Rec, Req, Res, E> Rules<Req, Res, E> for Parts<P, R, J, Rec>
where
    P: RetryPolicy,
    R: Copies<Req>,
    J: Classify<Res, E>,
    Rec: Recorder<RetryEvent>,
{
    #[inline]
    fn settings(&self) -> &Settings {
        &self.settings
    }

    fn wait(&self, failure: &Failure) -> Wait {
        // The panic hook has reported it.
        catch_unwind(AssertUnwindSafe(|| self.policy.wait(failure))).unwrap_or(Wait::Stop)
    }

    #[inline]
    fn judge(&self, result: &Result<Res, E>) -> Class {
        self.judge.classify(result)
    }

    fn copy(&self, request: &mut Req) -> Option<Req> {
        self.copies.copy(request)
    }

    fn edit(&self, request: &mut Req, attempt: Attempt) -> bool {
        self.copies.edit(request, attempt)
    }

    #[inline]
    fn tells(&self) -> bool {
        self.recorder.enabled()
    }

    #[inline]
    fn tell(&self, event: &RetryEvent) {
        // A recorder that panics loses its event and nothing else. The panic hook has reported it.
        let _ = catch_unwind(AssertUnwindSafe(|| self.recorder.record(event)));
    }
}
