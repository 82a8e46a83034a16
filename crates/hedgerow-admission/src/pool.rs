//! Resources that requests take in turn: API keys, endpoints, connections.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::error::BuildError;

/// Resources, one of which each request gets: API keys, endpoints, accounts.
///
/// The permit hands the resource to the request, and gives it back when it ends. A resource can be left
/// alone for a while (its upstream said "too many requests"), or for good (its key was revoked).
///
/// # Examples
///
/// ```
/// use hedgerow_admission::{Gate, Pool};
/// use std::time::Duration;
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let keys = Pool::round_robin(["key-a", "key-b"]).at_once(4);
/// let gate = Gate::builder().pool(keys).build();
/// let first = gate.permit().await?;
/// let second = gate.permit().await?;
/// assert_eq!(first.resource(), &"key-a");
/// assert_eq!(second.resource(), &"key-b");
/// first.cool_down(Duration::from_secs(20));
/// assert_eq!(gate.permit().await?.resource(), &"key-b");
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Pool<T> {
    resources: Vec<T>,
    choice: Choice,
    at_once: usize,
}

/// Which resource is next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Choice {
    /// There is no pool.
    None,
    RoundRobin,
    LeastUsed,
}

impl Pool<()> {
    /// No pool: each permit carries `()`.
    pub(crate) fn none() -> Self {
        Self::of([()], Choice::None)
    }
}

impl<T> Pool<T> {
    /// Each in its turn. None at all is refused when the gate is built.
    #[must_use]
    pub fn round_robin(resources: impl IntoIterator<Item = T>) -> Self {
        Self::of(resources, Choice::RoundRobin)
    }

    /// The one that the fewest requests hold now; of several, the one that was taken longest ago.
    /// None at all is refused when the gate is built.
    #[must_use]
    pub fn least_used(resources: impl IntoIterator<Item = T>) -> Self {
        Self::of(resources, Choice::LeastUsed)
    }

    fn of(resources: impl IntoIterator<Item = T>, choice: Choice) -> Self {
        Self {
            resources: resources.into_iter().collect(),
            choice,
            at_once: usize::MAX,
        }
    }

    /// How many requests hold one resource at once. Defaults to any number; 0 is refused when the gate
    /// is built.
    #[must_use]
    pub const fn at_once(mut self, requests: usize) -> Self {
        self.at_once = requests;
        self
    }

    pub(crate) fn is_refused(&self) -> bool {
        self.resources.is_empty() || self.at_once == 0
    }

    pub(crate) fn open(self) -> Result<(Arc<[T]>, Option<Places>), BuildError> {
        if self.is_refused() {
            return Err(BuildError::EmptyPool);
        }
        if self.choice == Choice::None {
            return Ok((self.resources.into(), None));
        }
        let places = Places {
            choice: self.choice,
            at_once: self.at_once,
            places: vec![Place::default(); self.resources.len()],
            next: 0,
            taken: 0,
        };
        Ok((self.resources.into(), Some(places)))
    }
}

impl<T> fmt::Debug for Pool<T> {
    // Not the resources themselves: they are often secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool")
            .field("resources", &self.resources.len())
            .field("choice", &self.choice)
            .field("at_once", &self.at_once)
            .finish()
    }
}

/// A resource's state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ResourceState {
    /// How many requests hold it.
    pub in_use: usize,
    /// How often it was taken.
    pub taken: u64,
    /// It is left alone until then.
    pub cools_until: Option<Instant>,
    /// It is left alone until it is revived.
    pub killed: bool,
}

/// What is to be done with a resource after a request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Verdict {
    /// It goes on.
    #[default]
    Keep,
    /// It is left alone for a time: "429 Too Many Requests".
    Cool(Duration),
    /// It is left alone for good: "401 Unauthorized".
    Kill,
}

#[derive(Clone, Copy, Debug, Default)]
struct Place {
    state: ResourceState,
    last_taken: u64,
}

/// Which resources are free.
pub(crate) struct Places {
    choice: Choice,
    at_once: usize,
    places: Vec<Place>,
    next: usize,
    taken: u64,
}

/// A resource, or when to look again.
pub(crate) enum Pick {
    Free(u32),
    /// The first that cools is free then; `None`: all are in use.
    Later(Option<Instant>),
    Never,
}

impl Places {
    /// Which resource is next; it is not taken yet.
    pub(crate) fn find(&self, now: Instant) -> Pick {
        let count = self.places.len();
        let free = |place: &Place| {
            !place.state.killed
                && place.state.in_use < self.at_once
                && place.state.cools_until.is_none_or(|until| until <= now)
        };
        let found = match self.choice {
            Choice::RoundRobin => (self.next..self.next + count)
                .map(|at| at % count)
                .find(|at| free(&self.places[*at])),
            Choice::None | Choice::LeastUsed => (0..count)
                .filter(|at| free(&self.places[*at]))
                .min_by_key(|at| (self.places[*at].state.in_use, self.places[*at].last_taken)),
        };
        if let Some(at) = found {
            return Pick::Free(at as u32);
        }
        let alive = || self.places.iter().filter(|place| !place.state.killed);
        if alive().next().is_none() {
            return Pick::Never;
        }
        Pick::Later(
            alive()
                .filter(|place| place.state.in_use < self.at_once)
                .filter_map(|place| place.state.cools_until)
                .min(),
        )
    }

    /// Takes what was found.
    pub(crate) fn take(&mut self, at: u32) {
        let at = at as usize;
        self.next = (at + 1) % self.places.len();
        self.taken += 1;
        let place = &mut self.places[at];
        place.state.in_use += 1;
        place.state.taken += 1;
        place.state.cools_until = None;
        place.last_taken = self.taken;
    }

    pub(crate) fn put_back(&mut self, at: u32) {
        if let Some(place) = self.places.get_mut(at as usize) {
            place.state.in_use = place.state.in_use.saturating_sub(1);
        }
    }

    pub(crate) fn judge(&mut self, at: u32, verdict: Verdict, now: Instant) {
        let Some(place) = self.places.get_mut(at as usize) else {
            return;
        };
        match verdict {
            Verdict::Keep => {}
            Verdict::Cool(time) => {
                // What no clock can say is as good as a year.
                let year = Duration::from_secs(366 * 86_400);
                let until = now + time.min(year);
                let known = place.state.cools_until;
                place.state.cools_until = Some(known.map_or(until, |known| known.max(until)));
            }
            Verdict::Kill => place.state.killed = true,
        }
    }

    pub(crate) fn revive(&mut self, at: u32) {
        if let Some(place) = self.places.get_mut(at as usize) {
            place.state.killed = false;
            place.state.cools_until = None;
        }
    }

    pub(crate) fn states(&self) -> Vec<ResourceState> {
        self.places.iter().map(|place| place.state).collect()
    }
}
