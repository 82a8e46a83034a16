//! Which entry of a model's list takes an attempt.

use std::sync::Arc;
use std::task::{Context, Poll};

use hedgerow::BoxError;
use http::Request;
use tower::util::Oneshot;
use tower::{Service, ServiceExt};

use super::body::Asked;
use super::call::Call;
use super::upstream::{Answer, Beneath};
use hedgerow::ReplayableBody;

/// The innermost service of a route: hands each attempt to the upstream whose turn it is.
///
/// It is always ready: an upstream's own layers make an attempt wait inside of it, because which upstream it
/// will be is not known before.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Forward;

impl Service<Request<ReplayableBody<Asked>>> for Forward {
    type Response = Answer;
    type Error = BoxError;
    type Future = Oneshot<Beneath, Request<ReplayableBody<Asked>>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, mut request: Request<ReplayableBody<Asked>>) -> Self::Future {
        let call = request.extensions().get::<Arc<Call>>();
        let call = call.expect("the door puts it there").clone();
        let turn = call.next();
        request.extensions_mut().insert(turn);
        call.entry(turn).upstream.service().oneshot(request)
    }
}
