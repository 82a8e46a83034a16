//! HTTP answers: bodies that are shared while they arrive, kept when they have passed, and carried as bytes.

mod tape;
mod shared;
mod answer;
mod kept;
mod keeping;
mod status;

pub use self::answer::{HttpAnswer, HttpCodec};
pub use self::keeping::KeptBody;
pub use self::kept::KeptBodies;
pub use self::shared::{SharedBodies, SharedBody};
pub use self::tape::FellBehind;

use crate::cache::CacheLayer;
use crate::coalesce::CoalesceLayer;

/// So many frames of a body are kept at most: each takes memory of its own, however small it is.
const MAX_FRAMES: usize = 1 << 16;

impl<P, L, H, Rec> CoalesceLayer<P, L, H, Rec> {
    /// Makes the layer speak HTTP: bodies are shared from the first byte while they arrive
    /// ([`SharedBodies`]), and a 408, 429 or 5xx is a failure of the flight.
    #[must_use]
    pub fn http(self) -> CoalesceLayer<P, L, SharedBodies, Rec> {
        self.share(SharedBodies::new())
    }
}

impl<St, P, H, Rec> CacheLayer<St, P, H, Rec> {
    /// Makes the layer speak HTTP: an answer is stored when its body has passed, and says by `Cache-Status`
    /// where it is from ([`KeptBodies`]).
    #[must_use]
    pub fn http(self) -> CacheLayer<St, P, KeptBodies, Rec> {
        self.keep(KeptBodies::new())
    }
}
