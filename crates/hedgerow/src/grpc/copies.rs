//! What further attempts carry.

use hedgerow_core::{Attempt, Copies, ReplayBody, copy_of};
use hedgerow_hedge::Exchange;
use http::{HeaderName, HeaderValue, Request};

/// Tells how many attempts came before this one.
pub(super) const PREVIOUS_ATTEMPTS: HeaderName =
    HeaderName::from_static("grpc-previous-rpc-attempts");
/// Tells how often this attempt was sent before, and never came to the application.
const TRANSPARENT_RETRIES: HeaderName = HeaderName::from_static("grpc-transparent-retry-attempts");

/// Copies calls because their method's policy says so, and tells the server how many attempts came before:
/// `grpc-previous-rpc-attempts`.
#[derive(Clone, Copy, Debug)]
pub struct Attempted;

/// Copies calls that never came to the application, and tells the server:
/// `grpc-transparent-retry-attempts`.
#[derive(Clone, Copy, Debug)]
pub struct Resent;

impl<B: ReplayBody> Copies<Request<B>> for Attempted {
    fn copy(&self, request: &mut Request<B>) -> Option<Request<B>> {
        copy_of(request)
    }

    fn edit(&self, request: &mut Request<B>, attempt: Attempt) -> bool {
        let headers = request.headers_mut();
        headers.insert(PREVIOUS_ATTEMPTS, HeaderValue::from(attempt.index()));
        request.extensions_mut().insert(attempt);
        true
    }
}

impl<B: ReplayBody, Res> Exchange<Request<B>, Res> for Attempted {}

impl<B: ReplayBody> Copies<Request<B>> for Resent {
    fn copy(&self, request: &mut Request<B>) -> Option<Request<B>> {
        copy_of(request)
    }

    fn edit(&self, request: &mut Request<B>, attempt: Attempt) -> bool {
        let headers = request.headers_mut();
        headers.insert(TRANSPARENT_RETRIES, HeaderValue::from(attempt.index()));
        true
    }
}
