//! Where a quantile of the attempt latency comes from.

use std::sync::Arc;
use std::time::Duration;

/// Quantiles of a latency, as some histogram knows them now.
///
/// The view through which a policy reads latencies without knowing who records them. Reading is
/// cheap (a few atomic loads): the values were computed a moment ago.
pub trait LatencyView: Send + Sync {
    /// The `q`-quantile (0 < q < 1) of the latency, or `None` while nothing is known.
    fn quantile(&self, q: f64) -> Option<Duration>;

    /// How many samples have come, as the quantiles know it.
    fn count(&self) -> u64;
}

impl<V: LatencyView + ?Sized> LatencyView for Arc<V> {
    fn quantile(&self, q: f64) -> Option<Duration> {
        (**self).quantile(q)
    }

    fn count(&self) -> u64 {
        (**self).count()
    }
}

/// Knows nothing: no samples, no quantile.
impl LatencyView for () {
    fn quantile(&self, _: f64) -> Option<Duration> {
        None
    }

    fn count(&self) -> u64 {
        0
    }
}
