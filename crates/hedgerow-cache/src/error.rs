//! What goes wrong in building.

/// A setting that makes no sense, with what to write instead.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum CacheBuildError {
    /// Not a single flight.
    #[error("no flight at all is out of range: write at least 1, or leave the layer out")]
    Flights,
    /// A time of nothing.
    #[error("{what} of zero keeps nothing: write a time above zero, or leave the setting out")]
    Time {
        /// Which setting.
        what: &'static str,
    },
    /// A bound of nothing, or beyond what can be counted.
    #[error("{what} of {value} is out of range: write {from} to {to}")]
    Bound {
        /// Which setting.
        what: &'static str,
        /// What was written.
        value: u64,
        /// The least.
        from: u64,
        /// The most.
        to: u64,
    },
    /// A prefix of names that exporters cannot carry.
    #[error(
        "names cannot begin with {0:?}: write letters, digits, `_`, `:` and `.`, first a letter"
    )]
    Prefix(String),
}

impl CacheBuildError {
    pub(crate) const fn bound(
        what: &'static str,
        value: u64,
        from: u64,
        to: u64,
    ) -> Result<(), Self> {
        if value < from || value > to {
            return Err(Self::Bound {
                what,
                value,
                from,
                to,
            });
        }
        Ok(())
    }
}
