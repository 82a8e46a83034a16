//! The bodies of requests and of answers on their way.

use bytes::Bytes;
use hedgerow::BoxError;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Either, Full};
use hyper::body::Incoming;

/// The body of a request: all of it, or as it comes.
pub(crate) type Asked = Either<Full<Bytes>, Incoming>;

/// The body of an answer.
pub(crate) type Told = UnsyncBoxBody<Bytes, BoxError>;

/// A body that is there.
pub(crate) fn whole(bytes: Bytes) -> Told {
    Full::new(bytes)
        .map_err(|never| match never {})
        .boxed_unsync()
}
