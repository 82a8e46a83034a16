//! What a backend gets: requests, each with the right to answer it.

use std::fmt;
use std::sync::Arc;
use std::time::Instant;

use hedgerow_core::{BoxError, caught, drop_quietly};

use crate::error::{BatchError, SharedError};
use crate::flight::Flight;
use crate::seat::{Cell, Seat};
use crate::slot::{Loss, Put};
use crate::story::Story;

/// Requests that go to the backend together, each with its own [`Reply`].
///
/// A backend is a `Service<Batch<Req, Res>>`. It answers items in any order and at any time while its
/// future runs: the caller of each gets its answer at that moment, and does not wait for the others. What
/// the service itself returns is ignored, but for an error, which every item without an answer then
/// shares. An item that is still without an answer when the future has ended well gets
/// [`BatchError::MissingAnswer`].
///
/// For a backend that takes a `Vec` and returns a `Vec` there is [`from_vec`](crate::from_vec).
///
/// # Examples
///
/// ```
/// use hedgerow_batch::Batch;
///
/// async fn lengths(batch: Batch<String, usize>) -> Result<(), std::io::Error> {
///     for item in batch {
///         let length = item.request.len();
///         item.reply.answer(length);
///     }
///     Ok(())
/// }
/// # let _ = lengths;
/// ```
pub struct Batch<Req, Res> {
    pub(crate) items: Vec<Item<Req, Res>>,
    pub(crate) weight: u64,
}

/// One request of a [`Batch`].
pub struct Item<Req, Res> {
    /// What the caller asked.
    pub request: Req,
    /// The right to answer it.
    pub reply: Reply<Res>,
}

/// The right to answer one item, once.
///
/// Dropping it unused leaves the item to what becomes of the batch: if that fails, the item shares its
/// error; if it ends well, the item gets [`BatchError::MissingAnswer`]. A reply may outlive the backend's
/// future; the item then waits for it.
#[must_use = "an item whose reply is dropped gets no answer"]
pub struct Reply<Res> {
    slot: Seat<Res>,
    flight: Arc<Flight>,
    /// Callers of identical items.
    twins: Option<Box<Twins<Res>>>,
    used: bool,
}

pub(crate) struct Twins<Res> {
    pub(crate) slots: Vec<Seat<Res>>,
    pub(crate) copy: fn(&Res) -> Res,
}

impl<Req, Res> Batch<Req, Res> {
    /// How many items it has; never zero when it comes from the layer.
    #[must_use]
    pub fn len(&self) -> usize {
        self.items.len()
    }

    /// Whether it has no items.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// The sum of its items' weights; the number of items, if no weight was set.
    #[must_use]
    pub const fn weight(&self) -> u64 {
        self.weight
    }

    /// The requests, in the order in which they came.
    pub fn requests(&self) -> impl ExactSizeIterator<Item = &Req> {
        self.items.iter().map(|item| &item.request)
    }

    /// The items, in the order in which the requests came.
    pub fn items(&self) -> impl ExactSizeIterator<Item = &Item<Req, Res>> {
        self.items.iter()
    }

    /// Requests and replies apart, both in the order in which the requests came.
    pub fn into_parts(self) -> (Vec<Req>, Vec<Reply<Res>>) {
        self.items
            .into_iter()
            .map(|item| (item.request, item.reply))
            .unzip()
    }
}

impl<Res> Reply<Res> {
    pub(crate) const fn new(slot: Seat<Res>, flight: Arc<Flight>) -> Self {
        Self {
            slot,
            flight,
            twins: None,
            used: false,
        }
    }

    pub(crate) fn story(&self) -> Arc<Story> {
        self.flight.story.clone()
    }

    pub(crate) fn set_twins(&mut self, twins: Twins<Res>) {
        self.twins = Some(Box::new(twins));
    }

    /// Gives the caller its answer. If the caller has left, the answer is dropped.
    pub fn answer(mut self, answer: Res) {
        self.used = true;
        if let Some(twins) = self.twins.take() {
            for slot in twins.slots {
                let Some(copy) = caught(|| (twins.copy)(&answer)) else {
                    let size = self.flight.size();
                    fail(&slot, &self.flight, BatchError::Panicked { size }.into());
                    continue;
                };
                put(&slot, &self.flight, Ok(copy));
            }
        }
        put(&self.slot, &self.flight, Ok(answer));
    }

    /// Gives the caller an error, as it is. The other items of the batch are not touched.
    pub fn fail(mut self, error: impl Into<BoxError>) {
        self.used = true;
        let error = error.into();
        match self.twins.take() {
            None => put(&self.slot, &self.flight, Err(error)),
            Some(twins) => {
                let shared = SharedError::new(error);
                for slot in twins.slots.iter().chain([&self.slot]) {
                    put(slot, &self.flight, Err(shared.clone().into()));
                }
            }
        }
    }

    /// Gives the caller this result.
    pub fn settle<E: Into<BoxError>>(self, result: Result<Res, E>) {
        match result {
            Ok(answer) => self.answer(answer),
            Err(error) => self.fail(error),
        }
    }

    /// Whether anybody still waits for the answer.
    #[must_use]
    pub fn is_wanted(&self) -> bool {
        let twins = self.twins.iter().flat_map(|twins| &twins.slots);
        self.slot.is_open() || twins.into_iter().any(|slot| slot.is_open())
    }

    /// When the item came in.
    #[must_use]
    pub fn entered(&self) -> Instant {
        self.flight.story.instant(self.slot.entered())
    }
}

/// Answers come from the backend: what does not end an item is an answer too many.
pub(crate) fn put<Res>(slot: &Seat<Res>, flight: &Arc<Flight>, result: Result<Res, BoxError>) {
    let ok = result.is_ok();
    match slot.put(result) {
        Put::Ended(with) => {
            ended(slot, with.as_ref(), ok, &flight.story);
        }
        Put::Late(result) => {
            flight.story.books.late();
            drop_quietly(result);
        }
    }
}

/// Errors come from the layer: an item that has ended already keeps its end.
pub(crate) fn fail<Res>(slot: &Seat<Res>, flight: &Arc<Flight>, error: BoxError) {
    if let Put::Ended(with) = slot.put(Err(error)) {
        ended(slot, with.as_ref(), false, &flight.story);
    }
}

fn ended<Res>(slot: &Cell<Res>, with: Option<&Arc<Flight>>, ok: bool, story: &Story) {
    if let Some(with) = with {
        with.settle();
    }
    if ok {
        story.answered(slot.entered());
    } else {
        story.failed(slot.entered());
    }
}

// === impl Drop ===

impl<Res> Drop for Reply<Res> {
    fn drop(&mut self) {
        if self.used {
            return;
        }
        let twins = self.twins.iter().flat_map(|twins| &twins.slots);
        for slot in twins.chain([&self.slot]) {
            if slot.release(&self.flight) == Loss::Missing {
                missing(slot, &self.flight);
            }
        }
    }
}

pub(crate) fn missing<Res>(slot: &Seat<Res>, flight: &Arc<Flight>) {
    flight.story.books.missing();
    let size = flight.size();
    fail(slot, flight, BatchError::MissingAnswer { size }.into());
}

// === impl IntoIterator ===

impl<Req, Res> IntoIterator for Batch<Req, Res> {
    type Item = Item<Req, Res>;
    type IntoIter = std::vec::IntoIter<Item<Req, Res>>;

    fn into_iter(self) -> Self::IntoIter {
        self.items.into_iter()
    }
}

// === impl Debug ===

impl<Req: fmt::Debug, Res> fmt::Debug for Batch<Req, Res> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.requests()).finish()
    }
}

impl<Req: fmt::Debug, Res> fmt::Debug for Item<Req, Res> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Item")
            .field("request", &self.request)
            .finish_non_exhaustive()
    }
}

impl<Res> fmt::Debug for Reply<Res> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reply")
            .field("wanted", &self.is_wanted())
            .finish_non_exhaustive()
    }
}
