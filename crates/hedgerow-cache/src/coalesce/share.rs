//! How one answer becomes several.

use std::convert::Infallible;

use hedgerow_core::{Class, Classify, OkWins};

/// How the answer of a flight reaches everybody aboard, and what counts as one.
///
/// [`ByClone`] unless told otherwise; `.http()` makes it `SharedBodies`, by which the body of an HTTP answer
/// is read by all while it arrives. The same type judges (a [`Classify`]): what is no success is a failure of
/// the flight, and treated by [`OnFailure`](crate::OnFailure).
pub trait Share<Res>: Send + Sync + 'static {
    /// The answer as long as somebody aboard has not taken it.
    type Kept: Send + 'static;
    /// A whole answer, as a [`Lead`](crate::Lead) is told of it and brings it.
    type Told: Send + 'static;
    /// What callers get.
    type Shared;
    /// By what later callers can still join an answer that arrives.
    type Late: Send + 'static;

    /// The flight has its answer. If there is a `tell`, it is called when the answer is whole, before the flight
    /// or what still arrives of it is over; with `None`, if it does not become whole.
    fn keep<F>(&self, response: Res, tell: Option<F>) -> Self::Kept
    where
        F: FnOnce(Option<&Self::Told>) + Send + 'static;

    /// A lead has brought an answer.
    fn recall(&self, told: Self::Told) -> Self::Kept;

    /// One caller takes it; `None` if it is too late for that.
    fn take(&self, kept: &Self::Kept) -> Option<Self::Shared>;

    /// By what those may join that come after the flight; `None` if none may.
    fn late(&self, kept: &Self::Kept) -> Option<Self::Late>;

    /// Somebody who came after the flight takes it; `None` if it is too late for that.
    fn join(&self, late: &Self::Late) -> Option<Self::Shared>;

    /// Whether somebody could still join.
    fn is_open(&self, late: &Self::Late) -> bool;

    /// An answer that is one caller's alone.
    fn alone(&self, response: Res) -> Self::Shared;
}

/// Every caller gets a clone of the answer, which `J` judges. The default.
#[derive(Clone, Copy, Debug, Default)]
pub struct ByClone<J = OkWins>(pub J);

impl<Res, J> Share<Res> for ByClone<J>
where
    Res: Clone + Send + 'static,
    J: Send + Sync + 'static,
{
    type Kept = Res;
    type Told = Res;
    type Shared = Res;
    type Late = Infallible;

    fn keep<F>(&self, response: Res, tell: Option<F>) -> Res
    where
        F: FnOnce(Option<&Res>) + Send + 'static,
    {
        if let Some(tell) = tell {
            tell(Some(&response));
        }
        response
    }

    fn recall(&self, told: Res) -> Res {
        told
    }

    fn take(&self, kept: &Res) -> Option<Res> {
        Some(kept.clone())
    }

    fn late(&self, _: &Res) -> Option<Infallible> {
        None
    }

    fn join(&self, late: &Infallible) -> Option<Res> {
        match *late {}
    }

    fn is_open(&self, late: &Infallible) -> bool {
        match *late {}
    }

    fn alone(&self, response: Res) -> Res {
        response
    }
}

impl<Res, E, J: Classify<Res, E>> Classify<Res, E> for ByClone<J> {
    fn classify(&self, result: &Result<Res, E>) -> Class {
        self.0.classify(result)
    }
}
