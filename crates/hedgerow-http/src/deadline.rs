//! A deadline on its way from one process to another.

mod header;
mod send;
mod receive;

pub use self::header::DeadlineHeader;
pub use self::receive::{ReceiveDeadline, ReceiveDeadlineLayer, ReceivedFuture};
pub use self::send::{SendDeadline, SendDeadlineLayer};
