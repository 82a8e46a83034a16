//! What a request asks of the gate.

use std::time::Duration;

use hedgerow_core::Deadline;

use crate::key::Key;

/// How much a request matters.
///
/// A higher one goes first, but never for ever: while a lower one waits, at most 16 starts of higher
/// ones pass between two of its own (with several lower ones waiting, each of them gets its turn).
/// `Idle` has no such promise.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Priority {
    /// Before all others.
    High,
    /// What a request has that says nothing.
    #[default]
    Normal,
    /// After the others.
    Low,
    /// Only when nobody else waits: hedges, prefetches, work that can wait for ever.
    Idle,
}

impl Priority {
    /// All of them, from the one that goes first.
    pub const ALL: [Self; 4] = [Self::High, Self::Normal, Self::Low, Self::Idle];

    #[inline]
    pub(crate) const fn level(self) -> usize {
        self as usize
    }
}

/// What a request asks of the gate: how much, under which key, how urgently, until when.
///
/// # Examples
///
/// ```
/// use hedgerow_admission::{Ask, Priority};
///
/// let ask = Ask::new().cost(1_200).key("tenant-a").priority(Priority::High);
/// assert_eq!(ask.cost, 1_200);
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Ask {
    /// What it takes of a rate of tokens. Defaults to 1.
    pub cost: u64,
    /// What it is counted under. Defaults to none: all that say none share one place.
    pub key: Option<Key>,
    /// How much it matters.
    pub priority: Priority,
    /// Until when an answer is of use. Defaults to none.
    pub deadline: Option<Deadline>,
    /// How long it waits at most; zero: it starts now or not at all. Defaults to the gate's own.
    pub patience: Option<Duration>,
    /// A name for the events alone.
    pub label: Option<Key>,
}

impl Default for Ask {
    fn default() -> Self {
        Self::new()
    }
}

impl Ask {
    /// A request of cost 1 that says nothing else.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            cost: 1,
            key: None,
            priority: Priority::Normal,
            deadline: None,
            patience: None,
            label: None,
        }
    }

    /// What it takes of a rate of tokens.
    #[must_use]
    pub const fn cost(mut self, cost: u64) -> Self {
        self.cost = cost;
        self
    }

    /// What it is counted under.
    #[must_use]
    pub fn key(mut self, key: impl Into<Key>) -> Self {
        self.key = Some(key.into());
        self
    }

    /// How much it matters.
    #[must_use]
    pub const fn priority(mut self, priority: Priority) -> Self {
        self.priority = priority;
        self
    }

    /// Until when an answer is of use.
    #[must_use]
    pub const fn deadline(mut self, deadline: Deadline) -> Self {
        self.deadline = Some(deadline);
        self
    }

    /// How long it waits at most; zero: it starts now or not at all. It only shortens the gate's longest wait.
    /// Refused for having no patience: [`ShedReason::QueueFull`](crate::ShedReason::QueueFull).
    #[must_use]
    pub const fn patience(mut self, patience: Duration) -> Self {
        self.patience = Some(patience);
        self
    }

    /// A name for the events alone.
    #[must_use]
    pub fn label(mut self, label: impl Into<Key>) -> Self {
        self.label = Some(label.into());
        self
    }
}

/// Reads from a request what it asks of the gate.
///
/// Closures are one: `|request: &MyRequest| Ask::new().cost(request.tokens)`. A panic in one refuses
/// the request ([`ShedReason::AskPanicked`](crate::ShedReason::AskPanicked)).
pub trait Asks<Req, T = ()> {
    /// What this request asks.
    fn ask(&self, request: &Req) -> Ask;

    /// What it costs, if it can never ask anything else and reading it cannot panic: such a request is
    /// admitted faster. Defaults to `None`.
    #[inline]
    fn plain_cost(&self, request: &Req) -> Option<u64> {
        let _ = request;
        None
    }

    /// Whether [`assign`](Self::assign) does anything. Defaults to yes.
    #[inline]
    fn assigns(&self) -> bool {
        true
    }

    /// Hands the resource of the pool to a request that starts. Defaults to nothing.
    #[inline]
    fn assign(&self, request: &mut Req, resource: &T) {
        let _ = (request, resource);
    }
}

/// Asks for one place at cost 1, whatever the request is.
#[derive(Clone, Copy, Debug, Default)]
pub struct Same;

/// One thing read from the request by a function, the rest by `A`: what the setters of
/// [`AdmissionLayer`](crate::AdmissionLayer) make.
#[derive(Clone, Copy)]
pub struct With<A, F, What> {
    before: A,
    read: F,
    what: std::marker::PhantomData<fn() -> What>,
}

/// What a [`With`] reads.
pub mod what {
    /// The cost.
    #[derive(Clone, Copy, Debug)]
    pub struct Cost;
    /// The key.
    #[derive(Clone, Copy, Debug)]
    pub struct ByKey;
    /// The priority.
    #[derive(Clone, Copy, Debug)]
    pub struct ByPriority;
    /// The deadline.
    #[derive(Clone, Copy, Debug)]
    pub struct Until;
    /// The label.
    #[derive(Clone, Copy, Debug)]
    pub struct Name;
    /// Not read but written: the resource of the pool.
    #[derive(Clone, Copy, Debug)]
    pub struct Resource;
}

impl<A, F, What> With<A, F, What> {
    pub(crate) const fn new(before: A, read: F) -> Self {
        Self {
            before,
            read,
            what: std::marker::PhantomData,
        }
    }
}

impl<A, F, What> std::fmt::Debug for With<A, F, What> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("With")
    }
}

// === impl Asks ===

impl<Req, T> Asks<Req, T> for Same {
    #[inline]
    fn ask(&self, _: &Req) -> Ask {
        Ask::new()
    }

    #[inline]
    fn plain_cost(&self, _: &Req) -> Option<u64> {
        Some(1)
    }

    #[inline]
    fn assigns(&self) -> bool {
        false
    }
}

impl<Req, T, F: Fn(&Req) -> Ask> Asks<Req, T> for F {
    #[inline]
    fn ask(&self, request: &Req) -> Ask {
        self(request)
    }
}

impl<Req, T, A: Asks<Req, T>, F: Fn(&Req) -> u64> Asks<Req, T> for With<A, F, what::Cost> {
    #[inline]
    fn ask(&self, request: &Req) -> Ask {
        self.before.ask(request).cost((self.read)(request))
    }

    #[inline]
    fn assign(&self, request: &mut Req, resource: &T) {
        self.before.assign(request, resource);
    }
}

impl<Req, T, A, F, K> Asks<Req, T> for With<A, F, what::ByKey>
where
    A: Asks<Req, T>,
    F: Fn(&Req) -> K,
    K: Into<Key>,
{
    #[inline]
    fn ask(&self, request: &Req) -> Ask {
        self.before.ask(request).key((self.read)(request))
    }

    #[inline]
    fn assign(&self, request: &mut Req, resource: &T) {
        self.before.assign(request, resource);
    }
}

impl<Req, T, A: Asks<Req, T>, F: Fn(&Req) -> Priority> Asks<Req, T>
    for With<A, F, what::ByPriority>
{
    #[inline]
    fn ask(&self, request: &Req) -> Ask {
        self.before.ask(request).priority((self.read)(request))
    }

    #[inline]
    fn assign(&self, request: &mut Req, resource: &T) {
        self.before.assign(request, resource);
    }
}

impl<Req, T, A: Asks<Req, T>, F: Fn(&Req) -> Option<Deadline>> Asks<Req, T>
    for With<A, F, what::Until>
{
    #[inline]
    fn ask(&self, request: &Req) -> Ask {
        let mut ask = self.before.ask(request);
        ask.deadline = (self.read)(request);
        ask
    }

    #[inline]
    fn assign(&self, request: &mut Req, resource: &T) {
        self.before.assign(request, resource);
    }
}

impl<Req, T, A, F, K> Asks<Req, T> for With<A, F, what::Name>
where
    A: Asks<Req, T>,
    F: Fn(&Req) -> K,
    K: Into<Key>,
{
    #[inline]
    fn ask(&self, request: &Req) -> Ask {
        self.before.ask(request).label((self.read)(request))
    }

    #[inline]
    fn assign(&self, request: &mut Req, resource: &T) {
        self.before.assign(request, resource);
    }
}

impl<Req, T, A, F> Asks<Req, T> for With<A, F, what::Resource>
where
    A: Asks<Req, T>,
    F: Fn(&mut Req, &T),
{
    #[inline]
    fn ask(&self, request: &Req) -> Ask {
        self.before.ask(request)
    }

    #[inline]
    fn assign(&self, request: &mut Req, resource: &T) {
        self.before.assign(request, resource);
        (self.read)(request, resource);
    }
}
