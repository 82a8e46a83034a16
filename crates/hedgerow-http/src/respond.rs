//! Errors that become answers.

mod refusal;
mod body;
mod layer;
mod future;

pub use self::body::RespondBody;
pub use self::future::RespondFuture;
pub use self::layer::{Explain, Respond, RespondLayer};
pub use self::refusal::{Refusal, RefusalKind};
