//! What cannot be built.

use std::time::Duration;

/// A limit cannot be built from these settings. The message says what to write.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum LimitError {
    /// The smallest, first and largest limit are not in order.
    #[error(
        "limits of {min}, {initial}, {max}: write 1 ≤ min ≤ initial ≤ max ≤ 1,000,000, \
         or the limit cannot begin where it may be"
    )]
    #[non_exhaustive]
    Bounds {
        /// The smallest limit.
        min: usize,
        /// The first limit.
        initial: usize,
        /// The largest limit.
        max: usize,
    },
    /// A setting is out of its range, or not a number.
    #[error("{setting} of {value}: write {range}")]
    #[non_exhaustive]
    Setting {
        /// Its name, as the setter has it.
        setting: &'static str,
        /// What was written.
        value: f64,
        /// What can be written.
        range: &'static str,
    },
    /// Calls cannot be slow after no time, or after more than a day.
    #[error("slow after {0:?}: write a time above 0, at most a day")]
    Slow(Duration),
}

impl LimitError {
    /// `Ok` if `least ≤ value ≤ most`; a NaN is not.
    pub(super) fn check(
        setting: &'static str,
        value: f64,
        least: f64,
        most: f64,
        range: &'static str,
    ) -> Result<(), Self> {
        if least <= value && value <= most {
            return Ok(());
        }
        Err(Self::Setting {
            setting,
            value,
            range,
        })
    }
}
