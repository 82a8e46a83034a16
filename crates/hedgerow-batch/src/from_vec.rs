//! Backends that take many and return many.

use std::collections::HashMap;
use std::fmt;
use std::future::Future;
use std::hash::Hash;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use hedgerow_core::BoxError;
use pin_project::pin_project;
use tower_service::Service;

use crate::batch::{Batch, Reply};
use crate::error::BatchError;

/// Makes a backend of a service that takes a `Vec` of requests and returns their results in order.
///
/// The service is a `Service<Vec<Req>>` whose response can be iterated over as `Result<Res, E>`. The first
/// result is for the first request, and so on: too few leave the last requests with
/// [`BatchError::MissingAnswer`], those too many are counted. Where an answer tells which request
/// it is for, have that checked ([`FromVec::in_order_of`]) or answers sorted by it
/// ([`FromVec::by_key`]).
///
/// # Examples
///
/// Rows that come in any order, and not for each id, as from SQL's `IN`:
///
/// ```
/// use hedgerow_batch::{BatchError, BatchLayer, from_vec};
/// use hedgerow_core::{BoxError, cause_ref};
/// use tower::{Layer, ServiceExt};
///
/// struct User { id: u64, name: &'static str }
/// async fn select(ids: Vec<u64>) -> Result<Vec<Result<User, BoxError>>, BoxError> {
///     let table = [(3, "Cleo"), (1, "Ada")];
///     let rows = table.into_iter().filter(|(id, _)| ids.contains(id));
///     Ok(rows.map(|(id, name)| Ok(User { id, name })).collect())
/// }
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), BoxError> {
/// let backend = from_vec(tower::service_fn(select)).by_key(|id: &u64| *id, |user: &User| user.id);
/// let users = BatchLayer::idle().layer(backend);
/// assert_eq!(users.clone().oneshot(1).await?.name, "Ada");
/// let nobody = users.oneshot(2).await.err().expect("no such row");
/// assert!(matches!(cause_ref(&*nobody), Some(BatchError::MissingAnswer { .. })));
/// # Ok(()) }
/// ```
pub fn from_vec<S>(inner: S) -> FromVec<S> {
    FromVec {
        inner,
        matching: InOrder,
    }
}

/// A backend made by [`from_vec`].
///
/// `M` says how answers find their requests.
#[derive(Clone)]
pub struct FromVec<S, M = InOrder> {
    inner: S,
    matching: M,
}

/// Answers are in the order of the requests, unchecked.
#[derive(Clone, Copy, Debug)]
pub struct InOrder;

/// Answers are in the order of the requests, and checked for it.
#[derive(Clone, Copy)]
pub struct InOrderOf<F, G>(F, G);

/// Answers are found by their keys.
#[derive(Clone, Copy)]
pub struct ByKey<F, G>(F, G);

impl<S> FromVec<S> {
    /// Checks that each answer belongs to the request in whose place it is: both must have the same key.
    ///
    /// An answer that does not is dropped, and its item gets [`BatchError::WrongAnswer`]: nobody is ever
    /// given what another one asked for. Closures name their argument's type.
    pub fn in_order_of<F, G>(self, of_request: F, of_answer: G) -> FromVec<S, InOrderOf<F, G>> {
        FromVec {
            inner: self.inner,
            matching: InOrderOf(of_request, of_answer),
        }
    }

    /// Gives each answer to the requests that have its key, in whatever order answers come.
    ///
    /// A request without an answer gets [`BatchError::MissingAnswer`]; answers without a request are
    /// counted. If several requests have one key, their answers are given out in order; a layer that
    /// [dedups](crate::BatchLayer::dedup) by the same key sends each key once. Results that are errors
    /// have no key: each goes to the first request that is left over. Closures name their argument's type.
    pub fn by_key<F, G>(self, of_request: F, of_answer: G) -> FromVec<S, ByKey<F, G>> {
        FromVec {
            inner: self.inner,
            matching: ByKey(of_request, of_answer),
        }
    }
}

/// What is remembered of requests.
#[doc(hidden)]
pub trait Matching<Req> {
    /// What is remembered of one.
    type Mark;
    /// Remembers it.
    fn mark(&self, request: &Req) -> Self::Mark;
}

/// How answers find their requests.
#[doc(hidden)]
pub trait HandOut<K, Res> {
    /// Hands results out; how many nobody asked for.
    fn hand_out<E: Into<BoxError>>(
        &self,
        marks: Vec<K>,
        replies: Vec<Reply<Res>>,
        results: impl Iterator<Item = Result<Res, E>>,
    ) -> u64;
}

impl<Req> Matching<Req> for InOrder {
    type Mark = ();

    fn mark(&self, _: &Req) {}
}

impl<Res> HandOut<(), Res> for InOrder {
    fn hand_out<E: Into<BoxError>>(
        &self,
        _: Vec<()>,
        replies: Vec<Reply<Res>>,
        mut results: impl Iterator<Item = Result<Res, E>>,
    ) -> u64 {
        for reply in replies {
            match results.next() {
                Some(result) => reply.settle(result),
                None => drop(reply),
            }
        }
        results.count() as u64
    }
}

impl<Req, K, F: Fn(&Req) -> K, G> Matching<Req> for InOrderOf<F, G> {
    type Mark = K;

    fn mark(&self, request: &Req) -> K {
        (self.0)(request)
    }
}

impl<Res, K, F, G> HandOut<K, Res> for InOrderOf<F, G>
where
    G: Fn(&Res) -> K,
    K: PartialEq,
{
    fn hand_out<E: Into<BoxError>>(
        &self,
        marks: Vec<K>,
        replies: Vec<Reply<Res>>,
        mut results: impl Iterator<Item = Result<Res, E>>,
    ) -> u64 {
        for (mark, reply) in marks.into_iter().zip(replies) {
            match results.next() {
                Some(Ok(answer)) if (self.1)(&answer) != mark => {
                    reply.fail(BatchError::WrongAnswer);
                }
                Some(result) => reply.settle(result),
                None => drop(reply),
            }
        }
        results.count() as u64
    }
}

impl<Req, K, F: Fn(&Req) -> K, G> Matching<Req> for ByKey<F, G> {
    type Mark = K;

    fn mark(&self, request: &Req) -> K {
        (self.0)(request)
    }
}

impl<Res, K, F, G> HandOut<K, Res> for ByKey<F, G>
where
    G: Fn(&Res) -> K,
    K: Hash + Eq,
{
    fn hand_out<E: Into<BoxError>>(
        &self,
        marks: Vec<K>,
        replies: Vec<Reply<Res>>,
        results: impl Iterator<Item = Result<Res, E>>,
    ) -> u64 {
        let mut open: Vec<Option<Reply<Res>>> = replies.into_iter().map(Some).collect();
        let mut places: HashMap<K, Vec<usize>> = HashMap::new();
        // Backwards, so that the first one is the last in each list.
        for (place, mark) in marks.into_iter().enumerate().rev() {
            places.entry(mark).or_default().push(place);
        }
        let (mut errors, mut extra) = (Vec::new(), 0);
        for result in results {
            match result {
                Ok(answer) => {
                    let place = places.get_mut(&(self.1)(&answer)).and_then(Vec::pop);
                    match place.and_then(|place| open[place].take()) {
                        Some(reply) => reply.answer(answer),
                        None => extra += 1,
                    }
                }
                Err(error) => errors.push(error),
            }
        }
        let mut left = open.into_iter().flatten();
        for error in errors {
            match left.next() {
                Some(reply) => reply.fail(error),
                None => extra += 1,
            }
        }
        extra
    }
}

impl<S, M, Req, Res, E> Service<Batch<Req, Res>> for FromVec<S, M>
where
    S: Service<Vec<Req>>,
    S::Response: IntoIterator<Item = Result<Res, E>>,
    E: Into<BoxError>,
    M: Matching<Req> + HandOut<M::Mark, Res> + Clone,
{
    type Response = ();
    type Error = S::Error;
    type Future = FromVecFuture<S::Future, M, M::Mark, Res>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, batch: Batch<Req, Res>) -> Self::Future {
        let marks = batch
            .requests()
            .map(|request| self.matching.mark(request))
            .collect();
        let (requests, replies) = batch.into_parts();
        FromVecFuture {
            inner: self.inner.call(requests),
            matching: self.matching.clone(),
            held: Some((marks, replies)),
        }
    }
}

/// The future of a [`FromVec`].
#[pin_project]
pub struct FromVecFuture<F, M, K, Res> {
    #[pin]
    inner: F,
    matching: M,
    held: Option<(Vec<K>, Vec<Reply<Res>>)>,
}

impl<F, M, K, Res, Many, E, Err> Future for FromVecFuture<F, M, K, Res>
where
    F: Future<Output = Result<Many, Err>>,
    Many: IntoIterator<Item = Result<Res, E>>,
    E: Into<BoxError>,
    M: HandOut<K, Res>,
{
    type Output = Result<(), Err>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let results = ready!(this.inner.poll(cx))?;
        if let Some((marks, replies)) = this.held.take() {
            let story = replies.first().map(Reply::story);
            let extra = this.matching.hand_out(marks, replies, results.into_iter());
            if let Some(story) = story {
                story.books.extra(extra);
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: fmt::Debug, M> fmt::Debug for FromVec<S, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("FromVec").field(&self.inner).finish()
    }
}

impl<F, G> fmt::Debug for InOrderOf<F, G> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("InOrderOf")
    }
}

impl<F, G> fmt::Debug for ByKey<F, G> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ByKey")
    }
}

impl<F, M, K, Res> fmt::Debug for FromVecFuture<F, M, K, Res> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FromVecFuture")
    }
}
