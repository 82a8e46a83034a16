//! How much may start in a time.

use std::fmt;
use std::time::Duration;

use crate::error::BuildError;

const MINUTE: Duration = Duration::from_secs(60);
const SECOND: Duration = Duration::from_secs(1);
/// A year: a period beyond it is a typing error, and the books count in nanoseconds.
const LONGEST: Duration = Duration::from_secs(366 * 86_400);
/// No service serves more in a period; it keeps the books' arithmetic far from overflow.
pub(crate) const MOST: u64 = 1_000_000_000_000_000;

/// How much may start in a time: so many requests, so many tokens, or one every so often.
///
/// A token bucket, kept as one instant (GCRA, the generic cell rate algorithm of ATM traffic
/// control): it holds at most `burst` and refills evenly, so that over any window of length *w* at most
/// `burst + limit × w / period` start. Several rates on one gate are taken together or not at all.
///
/// # Examples
///
/// ```
/// use hedgerow_admission::Rate;
/// use std::time::Duration;
///
/// let requests = Rate::per_minute(500);
/// let tokens = Rate::tokens_per_minute(90_000).burst(10_000);
/// let tenants = Rate::per_second(10).per_key();
/// let polite = Rate::spacing(Duration::from_millis(200));
/// assert_eq!(requests.to_string(), "500 requests per 1m");
/// assert_eq!(tokens.to_string(), "90000 tokens per 1m, burst 10000");
/// # let _ = (tenants, polite);
/// ```
///
/// # Units
///
/// A rate of requests takes 1 of each request. A rate of tokens takes the request's cost
/// ([`Ask::cost`](crate::Ask::cost)), and is settled to the true use at its end. Sub-nanosecond exact.
///
/// # Source
///
/// ITU-T I.371, annex A (the virtual scheduling algorithm).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rate {
    pub(crate) limit: u64,
    pub(crate) period: Duration,
    pub(crate) burst: u64,
    pub(crate) unit: Unit,
    pub(crate) per_key: bool,
    pub(crate) name: Option<&'static str>,
}

/// What a [`Rate`] counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Unit {
    /// 1 for each request; a request that was sent stays counted, however it ends.
    Requests,
    /// The request's cost; what was not used is given back.
    Tokens,
}

impl Rate {
    /// `limit` requests in each `period` in the long run, and as many at once after a pause: up to twice as
    /// many in a single period. [`burst`](Self::burst) makes that less: never more than 500 in any minute is
    /// `Rate::per_minute(450).burst(50)`.
    #[must_use]
    pub const fn requests(limit: u64, period: Duration) -> Self {
        Self::of(limit, period, Unit::Requests)
    }

    /// `limit` tokens in each `period` in the long run, with a burst as [`requests`](Self::requests) have.
    #[must_use]
    pub const fn tokens(limit: u64, period: Duration) -> Self {
        Self::of(limit, period, Unit::Tokens)
    }

    /// `limit` requests a second, with a burst as [`requests`](Self::requests) have.
    #[must_use]
    pub const fn per_second(limit: u64) -> Self {
        Self::requests(limit, SECOND)
    }

    /// `limit` requests a minute, with a burst as [`requests`](Self::requests) have.
    #[must_use]
    pub const fn per_minute(limit: u64) -> Self {
        Self::requests(limit, MINUTE)
    }

    /// `limit` tokens a minute, with a burst as [`requests`](Self::requests) have.
    #[must_use]
    pub const fn tokens_per_minute(limit: u64) -> Self {
        Self::tokens(limit, MINUTE)
    }

    /// One request each `spacing`, never closer; time that nobody used is not made up for.
    #[must_use]
    pub const fn spacing(spacing: Duration) -> Self {
        Self::of(1, spacing, Unit::Requests)
    }

    const fn of(limit: u64, period: Duration, unit: Unit) -> Self {
        Self {
            limit,
            period,
            burst: limit,
            unit,
            per_key: false,
            name: None,
        }
    }

    /// How much may start at once after a pause. Defaults to the limit; 1 spaces evenly.
    ///
    /// A request that costs more than the burst can never start and is refused.
    #[must_use]
    pub const fn burst(mut self, burst: u64) -> Self {
        self.burst = burst;
        self
    }

    /// Each key has this rate for itself. Requests without a key share one.
    #[must_use]
    pub const fn per_key(mut self) -> Self {
        self.per_key = true;
        self
    }

    /// A name: two gates that share a ledger share the rate of the same name. Defaults to what the rate
    /// says, as [`Display`](fmt::Display) shows it.
    #[must_use]
    pub const fn named(mut self, name: &'static str) -> Self {
        self.name = Some(name);
        self
    }

    /// What it counts.
    #[must_use]
    pub const fn unit(&self) -> Unit {
        self.unit
    }

    /// How much a period brings.
    #[must_use]
    pub const fn limit(&self) -> u64 {
        self.limit
    }

    /// The time that brings the limit.
    #[must_use]
    pub const fn period(&self) -> Duration {
        self.period
    }

    /// How much may start at once.
    #[must_use]
    pub const fn at_once(&self) -> u64 {
        self.burst
    }

    /// Whether each key has it for itself.
    #[must_use]
    pub const fn is_per_key(&self) -> bool {
        self.per_key
    }

    /// What it takes of a request that costs this much.
    #[must_use]
    pub const fn amount(&self, cost: u64) -> u64 {
        match self.unit {
            Unit::Requests => 1,
            Unit::Tokens => cost,
        }
    }

    pub(crate) fn label(&self) -> String {
        self.name
            .map_or_else(|| self.to_string(), ToOwned::to_owned)
    }

    pub(crate) fn check(&self) -> Result<(), BuildError> {
        if self.limit == 0 || self.burst == 0 || self.limit > MOST || self.burst > MOST {
            return Err(BuildError::Rate {
                limit: self.limit,
                burst: self.burst,
            });
        }
        if self.period.is_zero() || self.period > LONGEST {
            return Err(BuildError::Period {
                period: self.period,
            });
        }
        Ok(())
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let unit = match (self.unit, self.limit) {
            (Unit::Requests, 1) => "request",
            (Unit::Requests, _) => "requests",
            (Unit::Tokens, 1) => "token",
            (Unit::Tokens, _) => "tokens",
        };
        write!(f, "{} {unit} per ", self.limit)?;
        match self.period {
            MINUTE => f.write_str("1m")?,
            period => write!(f, "{period:?}")?,
        }
        if self.burst != self.limit {
            write!(f, ", burst {}", self.burst)?;
        }
        if self.per_key {
            f.write_str(", for each key")?;
        }
        Ok(())
    }
}
