//! A bounded pool of futures, whose outputs come in the order in which they are completed.

use std::fmt;
use std::iter::Fuse;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures::Stream;
use futures::stream::FuturesUnordered;
use hedgerow_core::quietly;
use pin_project::pin_project;

use crate::plain::error::ArgumentError;

/// Runs `run` on every item, at most `n` at a time, and gives the outputs as they are completed.
///
/// A stream of `(index, output)`; the index is the item's place. Items are taken from the iterator
/// one by one, when there is room, and started in their order: the iterator may be infinite.
///
/// # Examples
///
/// ```
/// use hedgerow_hedge::buffered_by_completion;
/// use std::time::Duration;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let mut pages = buffered_by_completion([30, 10, 20], 2, async |ms: u64| {
///     tokio::time::sleep(Duration::from_millis(ms)).await;
///     ms
/// });
/// assert_eq!(pages.next().await, Some((1, 10)));
/// # }
/// ```
///
/// The first failure ends it and drops what still runs:
///
/// ```
/// use hedgerow_hedge::buffered_by_completion;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let mut ids = buffered_by_completion(["7", "x", "9"], 8, async |id: &str| id.parse::<u32>())
///     .fail_fast();
/// assert_eq!(ids.next().await, Some((0, Ok(7))));
/// assert!(matches!(ids.next().await, Some((1, Err(_)))));
/// assert_eq!(ids.next().await, None);
/// # }
/// ```
///
/// # Readiness, clones and drop
///
/// Nothing runs unless the stream is polled. Dropping it drops what runs; dropping a `next()` loses
/// nothing: an output is handed over in the poll that finds it.
///
/// # Panics
///
/// If `n` is 0: [`try_buffered_by_completion`] returns the reason. If `run` or one of its futures
/// panics, so does the stream; that item is lost, and the others go on if it is polled again.
///
/// # Cost
///
/// One allocation an item. A wake polls only whoever was woken.
///
/// # When not
///
/// Where the order of the outputs is to be the order of the items: `futures`' `buffered`.
#[track_caller]
pub fn buffered_by_completion<I, R, F>(
    items: I,
    n: usize,
    run: R,
) -> BufferedByCompletion<I::IntoIter, R, F>
where
    I: IntoIterator,
    R: FnMut(I::Item) -> F,
    F: Future,
{
    match try_buffered_by_completion(items, n, run) {
        Ok(pool) => pool,
        Err(error) => panic!("{error}"),
    }
}

/// Like [`buffered_by_completion`], but returns the reason of a refusal.
///
/// # Errors
///
/// [`ArgumentError::NoRoom`] if `n` is 0.
pub fn try_buffered_by_completion<I, R, F>(
    items: I,
    n: usize,
    run: R,
) -> Result<BufferedByCompletion<I::IntoIter, R, F>, ArgumentError>
where
    I: IntoIterator,
    R: FnMut(I::Item) -> F,
    F: Future,
{
    if n == 0 {
        return Err(ArgumentError::NoRoom);
    }
    Ok(BufferedByCompletion {
        items: items.into_iter().fuse(),
        n,
        run,
        running: FuturesUnordered::new(),
        taken: 0,
    })
}

/// The stream that [`buffered_by_completion`] makes: `(index, output)` in the order of completion.
#[must_use = "streams do nothing unless polled"]
pub struct BufferedByCompletion<I, R, F> {
    items: Fuse<I>,
    n: usize,
    run: R,
    running: FuturesUnordered<Numbered<F>>,
    taken: usize,
}

/// A [`BufferedByCompletion`] that ends with its first `Err`: what
/// [`fail_fast`](BufferedByCompletion::fail_fast) makes.
#[must_use = "streams do nothing unless polled"]
pub struct FailFast<I, R, F> {
    /// `None` once it has ended.
    pool: Option<BufferedByCompletion<I, R, F>>,
}

#[pin_project]
struct Numbered<F> {
    index: usize,
    #[pin]
    future: F,
}

impl<I, R, F> BufferedByCompletion<I, R, F>
where
    I: Iterator,
    R: FnMut(I::Item) -> F,
    F: Future,
{
    /// The next output, `None` when all are there. Dropping this future loses nothing.
    pub async fn next(&mut self) -> Option<(usize, F::Output)> {
        std::future::poll_fn(|cx| Pin::new(&mut *self).poll_next(cx)).await
    }

    /// Ends the stream with the first `Err`: in that poll everything that still runs is dropped, and
    /// nothing new starts. Defaults to going on, so that all results can be collected.
    pub fn fail_fast<T, E>(self) -> FailFast<I, R, F>
    where
        F: Future<Output = Result<T, E>>,
    {
        FailFast { pool: Some(self) }
    }

    /// Takes items and makes futures of them while there is room.
    fn fill(&mut self) {
        while self.running.len() < self.n {
            let Some(item) = self.items.next() else {
                return;
            };
            let index = self.taken;
            self.taken += 1;
            let future = (self.run)(item);
            self.running.push(Numbered { index, future });
        }
    }
}

impl<I, R, F, T, E> FailFast<I, R, F>
where
    I: Iterator,
    R: FnMut(I::Item) -> F,
    F: Future<Output = Result<T, E>>,
{
    /// The next result, `None` after the first `Err` or when all are there. Dropping this future
    /// loses nothing.
    pub async fn next(&mut self) -> Option<(usize, Result<T, E>)> {
        std::future::poll_fn(|cx| Pin::new(&mut *self).poll_next(cx)).await
    }
}

// === impl Stream ===

// Nothing in them is pinned: what runs stands in boxes of its own.
impl<I, R, F> Unpin for BufferedByCompletion<I, R, F> {}
impl<I, R, F> Unpin for FailFast<I, R, F> {}

impl<I, R, F> Stream for BufferedByCompletion<I, R, F>
where
    I: Iterator,
    R: FnMut(I::Item) -> F,
    F: Future,
{
    type Item = (usize, F::Output);

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.fill();
        Pin::new(&mut self.running).poll_next(cx)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let (least, most) = self.items.size_hint();
        let running = self.running.len();
        (
            least.saturating_add(running),
            most.and_then(|most| most.checked_add(running)),
        )
    }
}

impl<I, R, F, T, E> Stream for FailFast<I, R, F>
where
    I: Iterator,
    R: FnMut(I::Item) -> F,
    F: Future<Output = Result<T, E>>,
{
    type Item = (usize, Result<T, E>);

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let Some(pool) = self.pool.as_mut() else {
            return Poll::Ready(None);
        };
        let next = ready!(Pin::new(pool).poll_next(cx));
        if !matches!(next, Some((_, Ok(_)))) {
            let pool = self.pool.take();
            // The error is not to be lost to somebody's drop.
            quietly(|| drop(pool));
        }
        Poll::Ready(next)
    }
}

impl<F: Future> Future for Numbered<F> {
    type Output = (usize, F::Output);

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let output = ready!(this.future.poll(cx));
        Poll::Ready((*this.index, output))
    }
}

// === impl Debug ===

impl<I, R, F> fmt::Debug for BufferedByCompletion<I, R, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BufferedByCompletion")
            .field("n", &self.n)
            .field("running", &self.running.len())
            .field("taken", &self.taken)
            .finish_non_exhaustive()
    }
}

impl<I, R, F> fmt::Debug for FailFast<I, R, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FailFast")
            .field("pool", &self.pool)
            .finish()
    }
}
