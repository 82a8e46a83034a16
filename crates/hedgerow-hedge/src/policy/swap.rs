//! A policy that is changed while running.

use std::fmt;
use std::sync::Arc;

use arc_swap::ArcSwap;
use hedgerow_core::{Attempt, BoxError, Class, LatencyView};

use super::{Delay, Follow, HedgePolicy, KeyState, Sample, Stateful};

/// A policy that can be replaced while the stack runs.
///
/// Clones share the place. A call asks whichever policy stands there when an extra attempt's turn
/// comes. `P` may be one type, or `Arc<dyn HedgePolicy<Req>>` for any.
///
/// # Examples
///
/// ```
/// use hedgerow_hedge::policy::{Fixed, Off, Swap};
/// use hedgerow_hedge::{HedgeLayer, HedgePolicy};
/// use std::sync::Arc;
///
/// let swap = Swap::new(Arc::new(Fixed::default()) as Arc<dyn HedgePolicy<String>>);
/// let layer = HedgeLayer::new(swap.clone()).clone_requests();
/// swap.store(Arc::new(Off)); // from now on nothing is hedged
/// # let _ = layer;
/// ```
pub struct Swap<P> {
    place: Arc<ArcSwap<P>>,
}

impl<P> Swap<P> {
    /// Starts with `policy`.
    #[must_use]
    pub fn new(policy: P) -> Self {
        Self {
            place: Arc::new(ArcSwap::from_pointee(policy)),
        }
    }

    /// Replaces the policy from now on.
    pub fn store(&self, policy: P) {
        self.place.store(Arc::new(policy));
    }

    /// The policy that stands there now.
    #[must_use]
    pub fn load(&self) -> Arc<P> {
        self.place.load_full()
    }
}

impl<Req, P: HedgePolicy<Req>> HedgePolicy<Req> for Swap<P> {
    fn delay(&self, request: &Req, attempt: Attempt, latency: &dyn LatencyView) -> Delay {
        self.place.load().delay(request, attempt, latency)
    }

    fn follow(&self, class: Class) -> Follow {
        self.place.load().follow(class)
    }

    fn observe(&self, sample: &Sample) {
        self.place.load().observe(sample);
    }

    fn key_state(&self, request: &Req) -> Option<Arc<dyn KeyState<Req>>> {
        self.place.load().key_state(request)
    }

    fn name(&self) -> &'static str {
        self.place.load().name()
    }
}

/// Of the policy that stands there now.
impl<P: Stateful> Stateful for Swap<P> {
    fn save(&self) -> Option<String> {
        self.place.load().save()
    }

    fn restore(&self, state: &str) -> Result<(), BoxError> {
        self.place.load().restore(state)
    }
}

impl<P> Clone for Swap<P> {
    fn clone(&self) -> Self {
        Self {
            place: self.place.clone(),
        }
    }
}

impl<P: fmt::Debug> fmt::Debug for Swap<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Swap").field(&*self.place.load()).finish()
    }
}
