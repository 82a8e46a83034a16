//! The book of a rate, or of a key of it: of requests or of tokens.

use std::time::{Duration, Instant};

use super::Correction;
use super::even::Even;
use super::metered::Metered;
use crate::rate::{MOST, Rate, Unit};

/// The book of a rate, or of a key of it.
pub(super) enum Book {
    Requests(Even),
    Tokens(Metered),
}

/// An instant, as the books of tokens count it.
#[derive(Clone, Copy)]
pub(super) struct At {
    pub(super) now: Instant,
    pub(super) epoch: Instant,
}

impl At {
    pub(super) fn nanos(self) -> u64 {
        self.nanos_of(self.now)
    }

    fn nanos_of(self, at: Instant) -> u64 {
        let since = at.saturating_duration_since(self.epoch);
        u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
    }

    fn instant(self, nanos: u64) -> Instant {
        // An instant that no clock can say is as good as a year from now, and asked about again.
        let year = Duration::from_secs(366 * 86_400);
        let at = self.epoch.checked_add(Duration::from_nanos(nanos));
        at.unwrap_or(self.now + year)
    }
}

impl Book {
    pub(super) fn new(rate: &Rate, at: Option<At>) -> Self {
        let Rate {
            limit,
            period,
            burst,
            ..
        } = *rate;
        match rate.unit {
            Unit::Requests => Self::Requests(Even::new(limit, period, burst)),
            Unit::Tokens => {
                Self::Tokens(Metered::new(limit, period, burst, at.map_or(0, At::nanos)))
            }
        }
    }

    /// When so much may be taken; `None` if never.
    pub(super) fn when(&self, at: At, cost: u64) -> Option<Instant> {
        match self {
            Self::Requests(book) => Some(book.when(at.now)),
            Self::Tokens(book) => {
                let now = at.nanos();
                let when = book.when(now, cost)?;
                Some(if when <= now {
                    at.now
                } else {
                    at.instant(when)
                })
            }
        }
    }

    /// Takes what `when` has allowed now; what is told is the word of the receipt.
    pub(super) fn take(&mut self, at: At, cost: u64, next: &mut u64) -> u64 {
        let number = *next;
        *next += 1;
        match self {
            Self::Requests(book) => {
                book.try_take(at.now, number);
            }
            Self::Tokens(book) => book.take(at.nanos(), cost, number),
        }
        number
    }

    pub(super) fn is_idle(&self, at: At) -> bool {
        match self {
            Self::Requests(book) => book.is_idle(at.now),
            Self::Tokens(book) => book.is_idle(at.nanos()),
        }
    }

    pub(super) fn left(&self, at: At) -> u64 {
        match self {
            Self::Requests(book) => book.left(at.now),
            Self::Tokens(book) => book.left(at.nanos()),
        }
    }

    pub(super) fn correct(&mut self, at: At, correction: Correction) {
        let limit = correction.limit.map(|limit| limit.clamp(1, MOST));
        let until = correction.pause.map(|pause| {
            let far = at.now + Duration::from_secs(100 * 366 * 86_400);
            at.now
                .checked_add(pause)
                .map_or(far, |until| until.min(far))
        });
        match self {
            Self::Requests(book) => {
                if let Some(limit) = limit {
                    book.set_limit(at.now, limit, limit);
                }
                if let Some(left) = correction.left {
                    book.leave(at.now, left);
                }
                if let Some(until) = until {
                    book.pause(until);
                }
            }
            Self::Tokens(book) => {
                let now = at.nanos();
                if let Some(limit) = limit {
                    book.set_limit(now, limit, limit);
                }
                if let Some(left) = correction.left {
                    book.leave(now, left);
                }
                if let Some(until) = until {
                    book.pause(at.nanos_of(until));
                }
            }
        }
    }
}
