//! Several answers per key: paid for once, and given to every namespace in the same order.

mod ask;
mod asking;
mod cursors;
mod fetch;
mod aboard;
mod layer;
mod service;
mod handle;
mod error;

pub use self::ask::{Sample, SampleRequest, Samples};
pub use self::asking::{Asking, Each, Many};
pub use self::error::SampleError;
pub use self::handle::{SampleHandle, SampleStats};
#[doc(hidden)]
pub use self::layer::SampleSettings;
pub use self::layer::{SampleCacheLayer, SampleParts};
pub use self::service::{SampleCache, SampleFuture};
