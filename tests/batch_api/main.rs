//! The Batch API as a backend, against each fault that an API may have: what the callers get, and what was paid for.
//!
//! Requests go to the mock without a socket, on a paused clock: a day takes no time, and a call that hangs is
//! found as one that has no answer when all the world's deadlines are over.

mod bed;
mod ends;
mod faults;
mod isolation;
mod limits;
mod polling;
mod results;
mod resume;
mod shutdown;
