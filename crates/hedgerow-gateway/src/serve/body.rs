//! The bodies of requests and of answers on their way.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use hedgerow::{BodyBytes, BoxError};
use http_body::{Body, Frame, SizeHint};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use pin_project::pin_project;

/// The body of an answer.
pub(crate) type Told = UnsyncBoxBody<Bytes, BoxError>;

/// The body of a request: all of it, or as it comes.
#[pin_project(project = Proj)]
#[derive(Debug)]
pub(crate) enum Asked {
    Whole(#[pin] Full<Bytes>),
    Coming(#[pin] Incoming),
}

impl Body for Asked {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        match self.project() {
            Proj::Whole(body) => body.poll_frame(cx).map_err(|never| match never {}),
            Proj::Coming(body) => body.poll_frame(cx).map_err(Into::into),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Whole(body) => body.is_end_stream(),
            Self::Coming(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(body) => body.size_hint(),
            Self::Coming(body) => body.size_hint(),
        }
    }
}

impl BodyBytes for Asked {
    fn body_bytes(&self) -> Option<Bytes> {
        match self {
            Self::Whole(body) => body.body_bytes(),
            Self::Coming(_) => None,
        }
    }
}

/// A body that is there.
pub(crate) fn whole(bytes: Bytes) -> Told {
    Full::new(bytes)
        .map_err(|never| match never {})
        .boxed_unsync()
}
