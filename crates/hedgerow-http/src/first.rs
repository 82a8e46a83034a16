//! Answers that count only once something has come of them.

mod layer;
mod service;
mod future;
mod held;
mod seen;
#[cfg(feature = "llm")]
mod known;
mod event;
mod error;

pub use self::error::StreamBroken;
pub use self::event::{Awaited, FirstEvent, HeldStream};
pub use self::future::AwaitFirstFuture;
#[cfg(feature = "llm")]
pub use self::known::{Blame, ByPath, KnownFormat};
pub use self::layer::{AwaitFirstContentLayer, AwaitFirstFrameLayer};
pub use self::seen::{FirstFrame, Seen, StreamFormat, Wanted};
pub use self::service::AwaitFirst;
