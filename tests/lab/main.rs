//! What the layers do to the workloads of the simulator, in virtual time.
//!
//! The timer has a grain of a millisecond, so a millisecond of a law is 100 ms of virtual time.

mod leaving;
mod limits;
mod observe;
mod overload;
mod retrying;
