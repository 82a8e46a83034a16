//! What a policy knows beyond the histogram, saved and restored.

use std::sync::Arc;

use hedgerow_core::BoxError;

use super::{Fixed, Off, Parallel, Percentile, Schedule};

/// A policy whose state survives a restart.
///
/// A policy that knows no more than its settings and the layer's histogram takes the defaults:
/// `impl Stateful for MyPolicy {}`.
pub trait Stateful {
    /// What it has learnt, in words of its own. Defaults to nothing.
    fn save(&self) -> Option<String> {
        None
    }

    /// Takes up what [`save`](Self::save) gave. Defaults to refusing it: there is nothing to know.
    ///
    /// # Errors
    ///
    /// If `state` is not what `save` gives; nothing is then changed.
    fn restore(&self, state: &str) -> Result<(), BoxError> {
        let _ = state;
        Err(
            "this policy has no state of its own, and what was saved has: keys, or a learnt delay"
                .into(),
        )
    }
}

impl Stateful for Fixed {}
impl Stateful for Schedule {}
impl Stateful for Parallel {}
impl Stateful for Off {}
impl Stateful for Percentile {}

impl<P: Stateful + ?Sized> Stateful for Arc<P> {
    fn save(&self) -> Option<String> {
        (**self).save()
    }

    fn restore(&self, state: &str) -> Result<(), BoxError> {
        (**self).restore(state)
    }
}
