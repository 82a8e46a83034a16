//! The gate: who holds it can ask for permits, read it and change it.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::Poll;
use std::time::Duration;

use hedgerow_core::LatencyView;

use crate::ask::Ask;
use crate::build::GateBuilder;
use crate::error::ShedReason;
use crate::key::Key;
use crate::ledger::Correction;
use crate::permit::Permit;
use crate::pool::ResourceState;
use crate::queue::Closed;
use crate::shared::{Limit, Shared};
use crate::waiting::Admission;

/// Decides when a request may start: how many at once, how many in a time, in which order.
///
/// A cheap handle: all clones are the same gate. Put it in front of a service with
/// [`AdmissionLayer`](crate::AdmissionLayer) or [`ReadyAdmissionLayer`](crate::ReadyAdmissionLayer), or
/// ask it for a [`permit`](Self::permit) yourself.
///
/// # Examples
///
/// ```
/// use hedgerow_admission::{Gate, Rate};
/// use std::time::Duration;
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let gate = Gate::builder()
///     .concurrency(8)
///     .rate(Rate::per_second(100))
///     .max_depth(500)
///     .max_wait(Duration::from_secs(2))
///     .build();
/// let permit = gate.permit().await?;
/// // Work.
/// drop(permit);
/// gate.set_limit(16); // those who wait are woken at once
/// assert_eq!(gate.stats().started, 1);
/// # Ok(())
/// # }
/// ```
///
/// # Order
///
/// Higher priorities first, keys in turn, then the [`Queue`](crate::Queue)'s order. Nobody overtakes
/// those who wait: one who comes while somebody waits joins the queue, though there is room for it.
///
/// # Cost
///
/// One lock at the start and one at the end, and one more for the rates. A waiter
/// takes about 320 bytes in a table that grows to the deepest queue. A cancelled waiter costs a constant
/// number of steps. No task and no timer stand behind a gate: of those who wait, one looks after the
/// clock for all.
pub struct Gate<T = ()> {
    shared: Arc<Shared<T>>,
}

/// What a gate counted, and its figures of the moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct AdmissionStats {
    /// Requests that came: started + aborted + shed + queued, and those that were just given their place
    /// and have not seen it yet (they are `active` already).
    pub entered: u64,
    /// Those that got a permit.
    pub started: u64,
    /// Those of them that did not have to wait.
    pub started_at_once: u64,
    /// Those of them that have given it back.
    pub finished: u64,
    /// Those that left while they waited.
    pub aborted: u64,
    /// Those that were refused, by [`ShedReason::ALL`].
    pub shed: [u64; ShedReason::ALL.len()],
    /// How many run now.
    pub active: usize,
    /// How many wait now.
    pub queued: usize,
    /// How many may run now, if there is a limit.
    pub limit: Option<usize>,
}

/// The figures of one key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct KeyState {
    /// How many of it run.
    pub active: usize,
    /// How many of it wait.
    pub queued: usize,
}

impl AdmissionStats {
    /// How many were refused for this reason.
    #[must_use]
    pub const fn shed_for(&self, reason: ShedReason) -> u64 {
        self.shed[reason as usize]
    }

    /// How many were refused.
    #[must_use]
    pub fn shed_total(&self) -> u64 {
        self.shed.iter().sum()
    }
}

impl Gate<()> {
    /// Builds a gate; without any setting it lets everybody through.
    pub fn builder() -> GateBuilder {
        GateBuilder::new()
    }
}

impl<T> Gate<T> {
    pub(crate) fn new(shared: Shared<T>) -> Self {
        Self {
            shared: Arc::new(shared),
        }
    }

    pub(crate) const fn shared(&self) -> &Arc<Shared<T>> {
        &self.shared
    }

    /// Waits for the right to run one request of cost 1.
    ///
    /// The deadline of a layer above is not read here: hand it over by [`Ask::deadline`].
    ///
    /// # Errors
    ///
    /// [`Overloaded`](crate::Overloaded) if it was refused.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves the queue; nothing is taken.
    pub fn permit(&self) -> Admission<T> {
        self.permit_for(Ask::new())
    }

    /// Waits for the right to run a request that asks this: see [`permit`](Self::permit).
    pub fn permit_for(&self, ask: Ask) -> Admission<T> {
        Admission::new(self.shared.clone(), ask)
    }

    /// The right to run one request of cost 1, if it need not wait for it.
    #[must_use]
    pub fn try_permit(&self) -> Option<Permit<T>> {
        self.try_permit_for(&Ask::new())
    }

    /// The right to run a request that asks this, if it need not wait for it.
    ///
    /// Always `None` with a ledger that does not answer at once. Nothing is counted then.
    #[must_use]
    pub fn try_permit_for(&self, ask: &Ask) -> Option<Permit<T>> {
        let admitted = self.shared.enter_at_once(ask)?;
        Some(Permit::new(self.shared.clone(), admitted))
    }

    /// The figures of the moment and since the gate was built.
    #[must_use]
    pub fn stats(&self) -> AdmissionStats {
        let state = self.shared.state.lock();
        let counts = state.counts;
        AdmissionStats {
            entered: counts.plain + counts.entered,
            started: counts.plain + counts.started,
            started_at_once: counts.plain + counts.at_once,
            finished: counts.finished,
            aborted: counts.aborted,
            shed: counts.shed,
            active: state.running,
            queued: state.waiting,
            limit: (state.limit < usize::MAX).then_some(state.limit),
        }
    }

    /// The figures of one key.
    #[must_use]
    pub fn key(&self, key: impl Into<Key>) -> KeyState {
        let (active, queued) = self.shared.state.lock().of_key(&key.into());
        KeyState { active, queued }
    }

    /// How many keys have somebody running or waiting.
    #[must_use]
    pub fn keys(&self) -> usize {
        self.shared.state.lock().keys()
    }

    /// The time that a share `q` (0 to 1) of the requests that started has waited at most, those that
    /// did not wait included; `None` before anybody started.
    ///
    /// How many did not wait is counted since the gate was built, how long the others did over the last
    /// thousand or two: after a long quiet time an overload shows late. The figure of the moment is the
    /// histogram of waits that [`telemetry`](crate::telemetry) hands on.
    #[must_use]
    pub fn waited(&self, q: f64) -> Option<Duration> {
        let counts = self.shared.state.lock().counts;
        let started = counts.plain + counts.started;
        if started == 0 {
            return None;
        }
        let at_once = (counts.plain + counts.at_once) as f64 / started as f64;
        if q <= at_once {
            return Some(Duration::ZERO);
        }
        let among = ((q - at_once) / (1.0 - at_once)).clamp(0.0, 1.0);
        self.shared.waits.refresh();
        self.shared.waits.quantile(among)
    }

    /// Changes how many run at once, for those who wait too. A lower limit takes effect as requests end.
    ///
    /// Takes the place of a policy's word until [`follow_policy`](Self::follow_policy). 0 lets nobody
    /// start.
    pub fn set_limit(&self, limit: usize) {
        // The largest number stands for none.
        let limit = limit.min(usize::MAX - 1);
        match &self.shared.limit {
            Limit::Number(number) | Limit::Policy(_, number) => {
                number.store(limit, Ordering::Release);
            }
        }
        self.shared.reconsider();
    }

    /// Ends what [`set_limit`](Self::set_limit) said: the policy holds again, or without one no limit.
    pub fn follow_policy(&self) {
        match &self.shared.limit {
            Limit::Number(number) | Limit::Policy(_, number) => {
                number.store(usize::MAX, Ordering::Release);
            }
        }
        self.shared.reconsider();
    }

    /// Reads a limit that is a function again, and looks who may start now. Done by itself whenever a
    /// request comes or ends.
    pub fn refresh(&self) {
        self.shared.reconsider();
    }

    /// Corrects the book of a rate, given by its place in the order in which rates were written, and for
    /// a rate per key that of a key. Takes effect at once, for those who wait too. `false` if there is no
    /// such rate.
    pub fn correct(&self, rate: usize, key: Option<&Key>, correction: Correction) -> bool {
        let Some((book, _)) = self.shared.rules.rates.get(rate) else {
            return false;
        };
        let now = tokio::time::Instant::now().into_std();
        self.shared
            .rules
            .ledger
            .correct(*book, key, correction, now);
        self.shared.reconsider();
        true
    }

    /// What is left of a rate now: see [`correct`](Self::correct) for which.
    pub async fn left(&self, rate: usize, key: Option<&Key>) -> Option<u64> {
        let (book, _) = self.shared.rules.rates.get(rate)?;
        let now = tokio::time::Instant::now().into_std();
        Some(self.shared.rules.ledger.left(*book, key, now).wait().await)
    }

    /// The states of the pool's resources, in the order in which they were written.
    #[must_use]
    pub fn resources(&self) -> Vec<ResourceState> {
        let state = self.shared.state.lock();
        state
            .places
            .as_ref()
            .map_or_else(Vec::new, |places| places.states())
    }

    /// Lets a resource that was killed or cools be used again.
    pub fn revive(&self, resource: usize) {
        self.change_resource(resource, None);
    }

    /// Leaves a resource alone for a time.
    pub fn cool_down(&self, resource: usize, time: Duration) {
        self.change_resource(resource, Some(crate::pool::Verdict::Cool(time)));
    }

    /// Leaves a resource alone until it is revived.
    pub fn kill(&self, resource: usize) {
        self.change_resource(resource, Some(crate::pool::Verdict::Kill));
    }

    fn change_resource(&self, resource: usize, verdict: Option<crate::pool::Verdict>) {
        let Ok(at) = u32::try_from(resource) else {
            return;
        };
        self.shared.with(|shared, state, now, wakes| {
            if let Some(places) = &mut state.places {
                match verdict {
                    Some(verdict) => places.judge(at, verdict, now),
                    None => places.revive(at),
                }
            }
            state.reconsider(&shared.rules, now, wakes);
        });
    }

    /// Admits nobody any more, serves those who wait, and returns when nobody runs.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future stops the waiting, not the draining.
    pub async fn drain(&self) {
        self.shared.close(Closed::Draining);
        self.idle().await;
    }

    /// Admits nobody any more, refuses those who wait, and returns when nobody runs.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future stops the waiting, not the closing.
    pub async fn close(&self) {
        self.shared.close(Closed::Yes);
        self.idle().await;
    }

    /// Admits again, after [`drain`](Self::drain) or [`close`](Self::close).
    pub fn reopen(&self) {
        self.shared.close(Closed::No);
    }

    async fn idle(&self) {
        std::future::poll_fn(|cx| {
            let mut state = self.shared.state.lock();
            if state.running == 0 && state.waiting == 0 {
                return Poll::Ready(());
            }
            if !state
                .drained
                .iter()
                .any(|known| known.will_wake(cx.waker()))
            {
                state.drained.push(cx.waker().clone());
            }
            Poll::Pending
        })
        .await;
    }

    /// Entries left in the queue's structures: none when nobody waits and nobody runs.
    #[doc(hidden)]
    #[must_use]
    pub fn leftovers(&self) -> usize {
        self.shared.state.lock().leftovers()
    }

    /// Steps taken in the queue's structures since the gate was built: what a test counts to see that a
    /// cancelled waiter costs a constant number of them.
    #[doc(hidden)]
    #[must_use]
    pub fn steps(&self) -> u64 {
        self.shared.state.lock().steps()
    }
}

impl<T> Clone for Gate<T> {
    fn clone(&self) -> Self {
        Self {
            shared: self.shared.clone(),
        }
    }
}

impl<T> fmt::Debug for Gate<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.shared.state.lock();
        f.debug_struct("Gate")
            .field("active", &state.running)
            .field("queued", &state.waiting)
            .field("limit", &(state.limit < usize::MAX).then_some(state.limit))
            .field("queue", &self.shared.rules.queue)
            .field(
                "rates",
                &self
                    .shared
                    .rules
                    .rates
                    .iter()
                    .map(|(_, rate)| rate.to_string())
                    .collect::<Vec<_>>(),
            )
            .finish_non_exhaustive()
    }
}
