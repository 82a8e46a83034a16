//! Bodies whose bytes are there to be looked at.

use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use http_body_util::{Empty, Full};

/// A body whose bytes can be looked at before it is sent.
///
/// For bytes that are there already: a key of a cache is made of them. A body that is still arriving has
/// none.
#[diagnostic::on_unimplemented(
    message = "the bytes of a body of type `{Self}` cannot be looked at: it does not implement `BodyBytes`",
    label = "a key is made of the body's bytes",
    note = "use `http_body_util::Full<Bytes>`, `Empty<Bytes>`, `Bytes`, `String` or `()` as the body",
    note = "for a body that arrives, such as `hyper::body::Incoming`, put a `ReplayBodyLayer` outside of the layer that looks at it"
)]
pub trait BodyBytes {
    /// All bytes of the body; `None` if they are not there.
    fn body_bytes(&self) -> Option<Bytes>;
}

macro_rules! bytes_of {
    ($($type:ty, $bytes:expr;)*) => {$(
        impl BodyBytes for $type {
            fn body_bytes(&self) -> Option<Bytes> {
                let bytes: fn(&Self) -> Bytes = $bytes;
                Some(bytes(self))
            }
        }
    )*};
}

bytes_of! {
    (), |()| Bytes::new();
    Bytes, Bytes::clone;
    String, |text| Bytes::copy_from_slice(text.as_bytes());
    Vec<u8>, |bytes| Bytes::copy_from_slice(bytes);
    &'static str, |text| Bytes::from_static(text.as_bytes());
    &'static [u8], |bytes| Bytes::from_static(bytes);
}

impl<D> BodyBytes for Empty<D> {
    fn body_bytes(&self) -> Option<Bytes> {
        Some(Bytes::new())
    }
}

impl BodyBytes for Full<Bytes> {
    fn body_bytes(&self) -> Option<Bytes> {
        use http_body_util::BodyExt as _;
        // A copy of it is one more handle on the same bytes, and it is there at once.
        let mut copy = self.clone();
        let mut cx = Context::from_waker(Waker::noop());
        match Pin::new(&mut copy.frame()).poll(&mut cx) {
            Poll::Ready(Some(Ok(frame))) => frame.into_data().ok(),
            Poll::Ready(None) => Some(Bytes::new()),
            Poll::Ready(Some(Err(never))) => match never {},
            Poll::Pending => None,
        }
    }
}

impl<B: BodyBytes> BodyBytes for Option<B> {
    fn body_bytes(&self) -> Option<Bytes> {
        match self {
            Some(body) => body.body_bytes(),
            None => Some(Bytes::new()),
        }
    }
}
