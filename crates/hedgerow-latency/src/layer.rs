//! The layer that records.

use std::fmt;
use std::sync::Arc;

use hedgerow_core::OkWins;
use tower_layer::Layer;

use crate::handle::Latency;
use crate::service::MeasureLatency;

/// Records how long each attempt took into a shared [`Latency`].
///
/// A latency ends when the response value is there: for HTTP, when the headers are. Only answers
/// are latencies: a failed attempt is left out, because a storm of fast errors must not look like a
/// fast service. One whose future is dropped before its end (a loser of a race, a timeout outside
/// of this layer) is recorded as cut off at its age, and so is one that the classifier calls
/// [`Class::TimedOut`](hedgerow_core::Class::TimedOut).
///
/// # Examples
///
/// ```
/// use hedgerow_latency::{Latency, LatencyLayer};
/// use std::convert::Infallible;
/// use tower::{ServiceBuilder, ServiceExt};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Infallible> {
/// let latency = Latency::new();
/// let service = ServiceBuilder::new()
///     .layer(LatencyLayer::new(latency.clone()))
///     .service(tower::service_fn(async |n: u32| Ok::<_, Infallible>(n + 1)));
///
/// assert_eq!(service.oneshot(1).await?, 2);
/// assert_eq!(latency.total().count(), 1);
/// # Ok(()) }
/// ```
///
/// # Order
///
/// Innermost, right around the client, to measure attempts (a hedge layer above reads them by
/// `.latency(handle)`); outermost to measure calls. Not below a `Buffer`: its worker does not know
/// which [`Attempt`](hedgerow_core::Attempt) it serves, so copies would count as primaries.
///
/// # Readiness, clones and drop
///
/// Readiness is passed on; waiting for it is not measured. All clones record into the one handle.
///
/// # Cost
///
/// Two clock reads and one [`Latency::record`]; no allocation, no lock.
pub struct LatencyLayer<C = OkWins> {
    books: Arc<Books<C>>,
}

/// Where to record, and what.
pub(crate) struct Books<C> {
    pub(crate) latency: Latency,
    pub(crate) classify: C,
}

impl LatencyLayer {
    /// Records into `latency`.
    #[must_use]
    pub fn new(latency: Latency) -> Self {
        Self {
            books: Arc::new(Books {
                latency,
                classify: OkWins,
            }),
        }
    }
}

impl<C> LatencyLayer<C> {
    /// Sets what counts as an answer. Defaults to every `Ok`.
    #[must_use]
    pub fn classify<D>(self, classify: D) -> LatencyLayer<D> {
        LatencyLayer {
            books: Arc::new(Books {
                latency: self.handle(),
                classify,
            }),
        }
    }

    /// The histogram this layer records into.
    #[must_use]
    pub fn handle(&self) -> Latency {
        self.books.latency.clone()
    }
}

impl<S, C> Layer<S> for LatencyLayer<C> {
    type Service = MeasureLatency<S, C>;

    fn layer(&self, inner: S) -> Self::Service {
        MeasureLatency::new(inner, self.books.clone())
    }
}

// Not derived: the classifier need not be `Clone`.
impl<C> Clone for LatencyLayer<C> {
    fn clone(&self) -> Self {
        Self {
            books: self.books.clone(),
        }
    }
}

impl<C> fmt::Debug for LatencyLayer<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LatencyLayer")
            .field("latency", &self.books.latency)
            .finish_non_exhaustive()
    }
}
