//! The right to run.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::limit::Outcome;
use crate::plain::Pass;
use crate::pool::Verdict;
use crate::queue::Grant;
use crate::review::Review;
use crate::shared::{Admitted, Ending, Shared};
use crate::story::Story;

/// The right to run. It is given back when it is dropped.
///
/// Whoever knows how the work ended says so ([`finish`](Self::finish)): a permit that is just dropped
/// counts as answered, or as cancelled while its thread panics. What a rate of tokens reserved is
/// settled to what was [`used`](Self::used), and given back if the work was not answered.
#[must_use = "the permit is given back at once if it is not held"]
pub struct Permit<T = ()> {
    shared: Arc<Shared<T>>,
    /// When it was given, if anybody wants to know.
    at: Option<Instant>,
    /// The word of the receipt for the first rate.
    word: u64,
    cost: u64,
    /// What most permits do not have.
    more: Option<Box<More>>,
    /// How it ends if it is dropped.
    end: End,
    /// Whether anything was sent with it.
    sent: bool,
}

/// A key, a resource, several rates, a story, or what was used.
struct More {
    grant: Grant,
    story: Option<Box<Story>>,
    used: Option<u64>,
    verdict: Verdict,
}

/// How a permit ends if it is dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// Answered, or cancelled while its thread panics.
    Unsaid,
    Said(Outcome),
    /// It has ended.
    Over,
}

impl<T> Permit<T> {
    /// The permit of one that was admitted.
    pub(crate) fn new(shared: Arc<Shared<T>>, admitted: Admitted) -> Self {
        let pass = admitted.pass();
        let plain = admitted.is_plain(&shared.rules);
        let mut permit = Self::plain(shared, pass);
        if !plain {
            let Admitted { grant, story, .. } = admitted;
            permit.more = Some(Box::new(More {
                grant,
                story,
                used: None,
                verdict: Verdict::Keep,
            }));
        }
        permit
    }

    /// The permit of one that came the plain way.
    pub(crate) const fn plain(shared: Arc<Shared<T>>, pass: Pass) -> Self {
        let Pass { at, word, cost } = pass;
        Self {
            shared,
            at,
            word,
            cost,
            more: None,
            end: End::Unsaid,
            sent: true,
        }
    }

    fn grant(&self) -> Grant {
        Pass {
            at: self.at,
            word: self.word,
            cost: self.cost,
        }
        .grant()
    }

    fn more(&mut self) -> &mut More {
        let grant = self.grant();
        self.more.get_or_insert_with(|| {
            Box::new(More {
                grant,
                story: None,
                used: None,
                verdict: Verdict::Keep,
            })
        })
    }

    /// The resource that the pool gave; without a pool `()`.
    #[must_use]
    pub fn resource(&self) -> &T {
        &self.shared.resources[self.resource_index().unwrap_or(0)]
    }

    /// Which resource of the pool it is, in the order in which they were written.
    #[must_use]
    pub fn resource_index(&self) -> Option<usize> {
        let more = self.more.as_ref()?;
        more.grant.resource.map(|at| at as usize)
    }

    /// What a rate of tokens reserved.
    #[must_use]
    pub const fn reserved(&self) -> u64 {
        self.cost
    }

    /// What was used of a rate of tokens: it is settled to that at the end, however it ends.
    pub fn used(&mut self, tokens: u64) {
        self.more().used = Some(tokens);
    }

    /// Leaves the resource alone for a time, and ends: "429 Too Many Requests".
    pub fn cool_down(mut self, time: Duration) {
        self.more().verdict = Verdict::Cool(time);
        self.finish(Outcome::Refused);
    }

    /// Leaves the resource alone until it is revived, and ends: "401 Unauthorized".
    pub fn kill(mut self) {
        self.more().verdict = Verdict::Kill;
        self.finish(Outcome::Failed);
    }

    /// Ends with this outcome.
    pub fn finish(mut self, outcome: Outcome) {
        self.end = End::Said(outcome);
    }

    /// Runs a future with the permit, and ends with its outcome: answered if it is `Ok`, refused if it
    /// is an error, cancelled if it is dropped.
    pub fn run<Res, E, F>(mut self, work: F) -> impl Future<Output = Result<Res, E>>
    where
        F: Future<Output = Result<Res, E>>,
    {
        // Now: it may be dropped before it is polled.
        self.end = End::Said(Outcome::Cancelled);
        async move {
            let mut permit = self;
            let result = work.await;
            permit.end = End::Said(match &result {
                Ok(_) => Outcome::Answered,
                Err(_) => Outcome::Refused,
            });
            result
        }
    }

    /// From now on a drop is a caller that left.
    pub(crate) const fn leaves(&mut self) {
        self.end = End::Said(Outcome::Cancelled);
    }

    /// From now on a drop is a caller that left, and nothing is sent yet.
    pub(crate) fn unsent(mut self) -> Self {
        self.leaves();
        self.sent = false;
        self
    }

    /// Now something is sent.
    pub(crate) const fn set_sent(&mut self) {
        self.sent = true;
    }

    /// It ends with this.
    pub(crate) fn end(mut self, review: Review) {
        self.end_with(review);
    }

    fn end_with(&mut self, mut review: Review) {
        self.end = End::Over;
        if self.more.is_none() && self.sent {
            let Self { at, word, cost, .. } = *self;
            return self.shared.finish_pass(Pass { at, word, cost }, || review);
        }
        if let Some(more) = &self.more {
            review.used = review.used.or(more.used);
            if review.verdict == Verdict::Keep {
                review.verdict = more.verdict;
            }
        }
        let plain;
        let (grant, story) = match &self.more {
            Some(more) => (&more.grant, more.story.as_deref()),
            None => {
                plain = self.grant();
                (&plain, None)
            }
        };
        self.shared.finish(&Ending {
            grant,
            at: self.at,
            story,
            review,
            sent: self.sent,
        });
    }

    #[cold]
    fn end_by_drop(&mut self) {
        let outcome = match self.end {
            End::Over => return,
            End::Said(outcome) => outcome,
            End::Unsaid if std::thread::panicking() => Outcome::Cancelled,
            End::Unsaid => Outcome::Answered,
        };
        self.end_with(Review::of(outcome));
    }
}

impl<T> Drop for Permit<T> {
    #[inline]
    fn drop(&mut self) {
        if self.end != End::Over {
            self.end_by_drop();
        }
    }
}

impl<T> fmt::Debug for Permit<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Permit")
            .field("reserved", &self.cost)
            .field("resource", &self.resource_index())
            .finish_non_exhaustive()
    }
}
