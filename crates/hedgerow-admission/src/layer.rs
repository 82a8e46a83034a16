//! A gate in front of a service, for requests that say what they ask.

use std::fmt;
use std::sync::Arc;

use hedgerow_core::{Deadline, OkWins};
use tower_layer::Layer;

use crate::ask::{Ask, Priority, Same, With, what};
use crate::error::BuildError;
use crate::gate::Gate;
use crate::key::Key;
use crate::pool::Verdict;
use crate::queue::Queue;
use crate::rate::Rate;
use crate::review::{Judged, Settled, Watched};
use crate::service::AdmissionService;

/// Lets a request start when the [`Gate`] says so: the request waits in its response future.
///
/// The gate reads from each request what it costs, under which key it counts, how much it matters and
/// until when it is of use. The service below is neither reserved nor held while a request waits.
///
/// # Examples
///
/// ```
/// use hedgerow_admission::{AdmissionLayer, Gate, Priority, Queue, Rate};
/// use std::time::Duration;
/// use tower::{Service, ServiceBuilder, ServiceExt};
///
/// #[derive(Clone)]
/// struct Prompt { tenant: u64, tokens: u64, urgent: bool }
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
/// let gate = Gate::builder()
///     .concurrency(16)
///     .rate(Rate::per_minute(500))
///     .rate(Rate::tokens_per_minute(90_000))
///     .queue(Queue::fifo())
///     .max_wait(Duration::from_secs(10))
///     .build();
/// let mut client = ServiceBuilder::new()
///     .layer(
///         AdmissionLayer::new(gate.clone())
///             .cost(|prompt: &Prompt| prompt.tokens)
///             .key(|prompt: &Prompt| prompt.tenant)
///             .priority(|prompt: &Prompt| {
///                 if prompt.urgent { Priority::High } else { Priority::Normal }
///             })
///             .settle(|answer: &u64| Some(*answer)), // what it used after all
///     )
///     .service_fn(async |prompt: Prompt| Ok::<_, std::convert::Infallible>(prompt.tokens / 2));
/// let prompt = Prompt { tenant: 7, tokens: 1_000, urgent: true };
/// let used = client.ready().await?.call(prompt).await?;
/// assert_eq!(used, 500);
/// assert_eq!(gate.left(1, None).await, Some(90_000 - 500));
/// # Ok(())
/// # }
/// ```
///
/// # Units
///
/// Costs are whole numbers: tokens, bytes, what the rate of tokens counts.
///
/// # Order
///
/// Inside of hedging and retry, so that each attempt takes a place of its own and none is held in a
/// backoff; outside of the client. A deadline that a layer above has set is obeyed. Beneath a hedge write
/// [`.extras(Extras::NowOnly)`](AdmissionLayer::extras): to a hedge a wait in this queue looks like a slow
/// service, and its copies would join the same queue.
///
/// # Readiness, clones and drop
///
/// Always ready. A request that finds a place at once, and the service below ready, is sent at once, by the
/// instance that was made ready. Any other joins the queue when its future is first polled, so that a
/// future that nobody polls holds up nobody, and makes a clone ready after it was admitted. Clones and services
/// made from one layer share the gate. Dropping the response future leaves the queue, or gives the place
/// and what was reserved back, at once. A place is given back when the response is there: for HTTP when its
/// head is, not when its body has been read. To count bodies, take a [`Gate::permit`] and keep it in the body.
///
/// # Events
///
/// Those of the gate: see [`AdmissionEvent`](crate::AdmissionEvent).
///
/// # Errors
///
/// [`Overloaded`](crate::Overloaded), boxed; the errors of the service below, boxed.
/// [`cause_ref`](hedgerow_core::cause_ref) finds either.
///
/// # Cost
///
/// A request that asks nothing, at a gate without pool, recorder, ledger of its own and limit per key, and with
/// one rate at most that is not per key,
/// allocates nothing when nobody waits: one lock at either end, and one more for the rate. What has a cost,
/// a key, a deadline or a resource allocates once or twice. One that waits takes the lock three times, and
/// reads the clock twice. When every call waits that is more than tower's `ConcurrencyLimit` does, which
/// knows neither time nor order: `overhead` and `saturated` in the benches print both.
#[derive(Clone)]
pub struct AdmissionLayer<A = Same, V = Judged<OkWins>, T = ()> {
    gate: Gate<T>,
    parts: Arc<Parts<A, V>>,
}

/// How a request is read, and its result: the parameters of the layer, held by its services.
#[derive(Clone, Debug)]
pub struct Parts<A, V> {
    pub(crate) asks: A,
    pub(crate) reviews: V,
    pub(crate) extras: Extras,
}

/// How the extra copies of a hedge are admitted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Extras {
    /// Like any other.
    #[default]
    Same,
    /// With this priority, if it is lower than their own.
    With(Priority),
    /// Only if they need not wait; another one is refused, and the hedge goes without it.
    NowOnly,
}

impl AdmissionLayer {
    /// Requests start when `gate` says so, all of them at cost 1.
    #[must_use]
    pub fn new<T>(gate: Gate<T>) -> AdmissionLayer<Same, Judged<OkWins>, T> {
        AdmissionLayer {
            gate,
            parts: Arc::new(Parts {
                asks: Same,
                reviews: Judged(OkWins),
                extras: Extras::Same,
            }),
        }
    }

    /// At most `limit` requests run at once; the others queue, first come, first served.
    ///
    /// # Panics
    ///
    /// If the limit is 0 or above a million: [`try_concurrency`](Self::try_concurrency) returns the
    /// reason.
    #[must_use]
    #[track_caller]
    pub fn concurrency(limit: usize) -> Self {
        Self::new(Gate::builder().concurrency(limit).build())
    }

    /// Like [`concurrency`](Self::concurrency), but returns the reason of a refusal.
    ///
    /// # Errors
    ///
    /// [`BuildError::Concurrency`].
    pub fn try_concurrency(limit: usize) -> Result<Self, BuildError> {
        Ok(Self::new(Gate::builder().concurrency(limit).try_build()?))
    }

    /// Requests start at this rate at most; the others queue, first come, first served. After a pause as many
    /// start at once as the rate's burst ([`Rate::burst`](crate::Rate::burst)).
    ///
    /// # Panics
    ///
    /// If the rate is refused: [`try_rate`](Self::try_rate) returns the reason.
    #[must_use]
    #[track_caller]
    pub fn rate(rate: Rate) -> Self {
        Self::new(Gate::builder().rate(rate).build())
    }

    /// Like [`rate`](Self::rate), but returns the reason of a refusal.
    ///
    /// # Errors
    ///
    /// [`BuildError`] of the rate.
    pub fn try_rate(rate: Rate) -> Result<Self, BuildError> {
        Ok(Self::new(Gate::builder().rate(rate).try_build()?))
    }

    /// Keeps a service alive that is asked for more than it can do: `limit` run at once, the last come
    /// are served first once a queue stands, and beyond twice `limit` waiters nobody waits longer than is of
    /// use (5 ms then, 100 ms otherwise). Those twice `limit` may wait for 30 s, or until their deadline: set one.
    ///
    /// # Panics
    ///
    /// Like [`concurrency`](Self::concurrency).
    #[must_use]
    #[track_caller]
    pub fn overload(limit: usize) -> Self {
        let (target, interval) = (
            std::time::Duration::from_millis(5),
            std::time::Duration::from_millis(100),
        );
        let queue = Queue::adaptive_lifo().codel(target, interval);
        Self::new(Gate::builder().concurrency(limit).queue(queue).build())
    }
}

impl<A, V, T> AdmissionLayer<A, V, T> {
    /// The gate: read it, change it, ask it for permits.
    #[must_use]
    pub fn handle(&self) -> Gate<T> {
        self.gate.clone()
    }

    /// Reads all that a request asks by one function. Comes first: it takes the place of all that was said
    /// before, of [`assign`](Self::assign) too.
    #[must_use]
    pub fn ask<Req, F: Fn(&Req) -> Ask>(self, read: F) -> AdmissionLayer<F, V, T>
    where
        V: Clone,
    {
        self.asks(|_| read)
    }

    /// What a request takes of a rate of tokens. Defaults to 1.
    #[must_use]
    pub fn cost<Req, F>(self, read: F) -> AdmissionLayer<With<A, F, what::Cost>, V, T>
    where
        F: Fn(&Req) -> u64,
        A: Clone,
        V: Clone,
    {
        self.asks(|before| With::new(before.clone(), read))
    }

    /// What a request is counted under. Defaults to nothing.
    ///
    /// Text of the request is cloned: `|r: &Mine| r.tenant.clone()`. For some without a key take
    /// [`ask`](Self::ask).
    #[must_use]
    pub fn key<Req, K, F>(self, read: F) -> AdmissionLayer<With<A, F, what::ByKey>, V, T>
    where
        F: Fn(&Req) -> K,
        K: Into<Key>,
        A: Clone,
        V: Clone,
    {
        self.asks(|before| With::new(before.clone(), read))
    }

    /// How much a request matters. Defaults to [`Priority::Normal`].
    #[must_use]
    pub fn priority<Req, F>(self, read: F) -> AdmissionLayer<With<A, F, what::ByPriority>, V, T>
    where
        F: Fn(&Req) -> Priority,
        A: Clone,
        V: Clone,
    {
        self.asks(|before| With::new(before.clone(), read))
    }

    /// Until when a request is of use. Defaults to what a layer above has said
    /// ([`Deadline::current`]); of both, the earlier one holds.
    #[must_use]
    pub fn deadline_of<Req, F>(self, read: F) -> AdmissionLayer<With<A, F, what::Until>, V, T>
    where
        F: Fn(&Req) -> Option<Deadline>,
        A: Clone,
        V: Clone,
    {
        self.asks(|before| With::new(before.clone(), read))
    }

    /// A name for the events alone. Defaults to none.
    #[must_use]
    pub fn label<Req, K, F>(self, read: F) -> AdmissionLayer<With<A, F, what::Name>, V, T>
    where
        F: Fn(&Req) -> K,
        K: Into<Key>,
        A: Clone,
        V: Clone,
    {
        self.asks(|before| With::new(before.clone(), read))
    }

    /// Hands the pool's resource to a request that starts. Defaults to nothing.
    ///
    /// A panic in it loses the request, and nothing else.
    #[must_use]
    pub fn assign<Req, F>(self, write: F) -> AdmissionLayer<With<A, F, what::Resource>, V, T>
    where
        F: Fn(&mut Req, &T),
        A: Clone,
        V: Clone,
    {
        self.asks(|before| With::new(before.clone(), write))
    }

    /// Judges results: success is an answer, what may be tried again was refused (and a limit that
    /// adapts goes down), what timed out timed out, anything else has failed. Defaults to
    /// [`OkWins`]: every `Ok` is an answer, an HTTP 503 too, and every `Err` a refusal, which lowers a limit
    /// that adapts. Around an HTTP client hand in `HttpJudge`.
    ///
    /// Comes before [`settle`](Self::settle) and [`watch`](Self::watch): it takes the place of both. What was
    /// reserved of a rate of tokens is given back unless it is an answer, or `settle` says what it used.
    #[must_use]
    pub fn accept<J>(self, judge: J) -> AdmissionLayer<A, Judged<J>, T>
    where
        A: Clone,
    {
        self.reviews(|_| Judged(judge))
    }

    /// Reads from an answer what it used of a rate of tokens. Defaults to what was reserved.
    ///
    /// Comes after [`accept`](Self::accept). Asked of every `Ok`, also of one that the judge refuses: what it
    /// returns is settled. With `None` an answer keeps what was reserved, and anything else gives it back.
    #[must_use]
    pub fn settle<Res, F>(self, read: F) -> AdmissionLayer<A, Settled<V, F>, T>
    where
        F: Fn(&Res) -> Option<u64>,
        A: Clone,
        V: Clone,
    {
        self.reviews(|before| Settled(before.clone(), read))
    }

    /// Reads from a result what becomes of the pool's resource. Defaults to the judge's pushback.
    ///
    /// Comes after [`accept`](Self::accept). [`Verdict::Keep`] leaves what the judge said.
    #[must_use]
    pub fn watch<Res, E, F>(self, read: F) -> AdmissionLayer<A, Watched<V, F>, T>
    where
        F: Fn(&Result<Res, E>) -> Verdict,
        A: Clone,
        V: Clone,
    {
        self.reviews(|before| Watched(before.clone(), read))
    }

    /// How the extra copies of a hedge above are admitted. Defaults to [`Extras::Same`].
    #[must_use]
    pub fn extras(self, extras: Extras) -> Self
    where
        A: Clone,
        V: Clone,
    {
        let mut parts = Parts::clone(&self.parts);
        parts.extras = extras;
        Self {
            gate: self.gate,
            parts: Arc::new(parts),
        }
    }

    fn asks<B>(self, make: impl FnOnce(&A) -> B) -> AdmissionLayer<B, V, T>
    where
        V: Clone,
    {
        AdmissionLayer {
            gate: self.gate,
            parts: Arc::new(Parts {
                asks: make(&self.parts.asks),
                reviews: self.parts.reviews.clone(),
                extras: self.parts.extras,
            }),
        }
    }

    fn reviews<W>(self, make: impl FnOnce(&V) -> W) -> AdmissionLayer<A, W, T>
    where
        A: Clone,
    {
        AdmissionLayer {
            gate: self.gate,
            parts: Arc::new(Parts {
                reviews: make(&self.parts.reviews),
                asks: self.parts.asks.clone(),
                extras: self.parts.extras,
            }),
        }
    }
}

impl<S, A, V, T> Layer<S> for AdmissionLayer<A, V, T> {
    type Service = AdmissionService<S, Parts<A, V>, T>;

    fn layer(&self, inner: S) -> Self::Service {
        AdmissionService::new(inner, self.gate.shared().clone(), self.parts.clone())
    }
}

impl<A, V, T> fmt::Debug for AdmissionLayer<A, V, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AdmissionLayer")
            .field("gate", &self.gate)
            .field("extras", &self.parts.extras)
            .finish_non_exhaustive()
    }
}
