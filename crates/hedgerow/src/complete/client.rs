//! What a request can be sent with: a service, or a function.

use tower::Service;
use tower::util::{ServiceFn, service_fn};

/// What [`complete`](fn@crate::complete) sends a request with: a `Service`, or a function or closure from
/// a request to a future. Which of them it is the compiler finds by itself.
///
/// Sealed: both have it already.
pub trait CompleteWith<Req, How>: sealed::Sealed<Req, How> {
    /// The service that it is, or becomes.
    type Service: Service<Req> + Clone;

    /// As a service.
    fn into_service(self) -> Self::Service;
}

/// Which sort of client it is.
pub mod how {
    /// A `Service`.
    #[derive(Clone, Copy, Debug)]
    pub struct Service;

    /// A function or a closure.
    #[derive(Clone, Copy, Debug)]
    pub struct Function;
}

impl<S, Req> CompleteWith<Req, how::Service> for S
where
    S: Service<Req> + Clone,
{
    type Service = S;

    fn into_service(self) -> S {
        self
    }
}

impl<F, Fut, Req, Res, E> CompleteWith<Req, how::Function> for F
where
    F: FnMut(Req) -> Fut + Clone,
    Fut: Future<Output = Result<Res, E>>,
{
    type Service = ServiceFn<F>;

    fn into_service(self) -> ServiceFn<F> {
        service_fn(self)
    }
}

mod sealed {
    use super::how;

    pub trait Sealed<Req, How> {}

    impl<S: tower::Service<Req>, Req> Sealed<Req, how::Service> for S {}

    impl<F: FnMut(Req) -> Fut, Fut, Req> Sealed<Req, how::Function> for F {}
}
