//! Races, hedges and a bounded pool of plain futures: no tower service, no layer, no task.
//!
//! | you have | write |
//! | --- | --- |
//! | several ways to the same answer, as futures | [`race`] |
//! | several ways, and a function that starts one | [`race_candidates`] |
//! | one call that may be made again | [`hedge`] |
//! | many independent items, a few at a time | [`buffered_by_completion`] |
//!
//! The first three make a [`Race`], which is set up by its methods and then awaited: it gives
//! [`Won`] or a [`RaceError`] that knows what every attempt brought. Everything lives in that
//! future; dropping it drops everything.

mod start;
mod lineup;
mod race;
mod course;
mod ending;
mod error;
mod pool;

pub(crate) use self::error::Story;
pub use self::error::{ArgumentError, BoxedRaceError, Loss, RaceError, RaceErrorKind};
pub use self::lineup::{Candidate, Copies, Each, Given, IntoCandidate, Lineup};
pub use self::pool::{
    BufferedByCompletion, FailFast, buffered_by_completion, try_buffered_by_completion,
};
pub use self::race::{Race, Won};
pub use self::start::{hedge, race, race_candidates};
