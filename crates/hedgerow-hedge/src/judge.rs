//! A judge that shows what lost.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};

use hedgerow_core::{Attempt, Class, Classify};

/// Shows every result of a call that got no accepted one: what `.on_all_lost(f)` sets.
#[derive(Clone, Copy)]
pub struct ShowLosses<J, F> {
    pub(crate) judge: J,
    pub(crate) show: F,
}

/// A function that panics sees nothing more of that call, and harms nobody.
impl<Res, E, J, F> Classify<Res, E> for ShowLosses<J, F>
where
    J: Classify<Res, E>,
    F: Fn(&[(Attempt, &Result<Res, E>)]),
{
    #[inline]
    fn classify(&self, result: &Result<Res, E>) -> Class {
        self.judge.classify(result)
    }

    fn wants_losses(&self) -> bool {
        true
    }

    fn all_lost(&self, results: &[(Attempt, &Result<Res, E>)]) {
        // The panic hook has reported it.
        let _ = catch_unwind(AssertUnwindSafe(|| (self.show)(results)));
    }
}

impl<J: fmt::Debug, F> fmt::Debug for ShowLosses<J, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ShowLosses").field(&self.judge).finish()
    }
}
