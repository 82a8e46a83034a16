//! One call with all that it takes: admission, timeouts, retries.

mod client;
mod run;
mod outcome;
mod tally;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use hedgerow_admission::{Ask, Gate};
use hedgerow_core::{BoxError, Budget, Classify, OkWins, or_panic};
use hedgerow_retry::{Exponential, RetryBuildError, RetryLayer, RetryPolicy, TimeoutLayer};
use tokio_util::sync::CancellationToken;
use tower::Service;

pub use self::client::{CompleteWith, how};
pub use self::outcome::{Cancelled, CompleteError, Completed, Took, Usage};
pub use self::run::Completing;

/// How long one try may take if nothing else is said.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(60);

/// Sends a request until it is answered: through a gate, each try with a timeout, four tries at most.
///
/// For calls to a language model and the like, from code that has no stack of layers. `client` is a
/// closure or function from a request to a future, or any `Service`; a closure names its argument's
/// type. What comes back is the answer, what it used, and what it took.
///
/// # Examples
///
/// ```
/// use hedgerow::{BoxError, Gate, Rate, Usage, complete};
///
/// struct Reply { text: String, tokens: u64 }
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() -> Result<(), BoxError> {
/// let gate = Gate::builder().concurrency(8).rate(Rate::tokens_per_minute(90_000)).build();
/// let ask = async |prompt: String| {
///     Ok::<_, BoxError>(Reply { text: format!("{prompt} indeed"), tokens: 7 })
/// };
///
/// let done = complete(ask, "hello".to_owned())
///     .gate(&gate)
///     .cost(1_000) // reserved, and settled to what was used
///     .usage(|reply: &Reply| Some(Usage::new(0, reply.tokens)))
///     .await?;
/// assert_eq!(done.value.text, "hello indeed");
/// assert_eq!(done.took.attempts, 1);
/// assert_eq!(gate.left(0, None).await, Some(90_000 - 7));
/// # Ok(()) }
/// ```
///
/// One that can be cancelled from outside, in a wait as well:
///
/// ```
/// use hedgerow::{BoxError, complete};
/// use tokio_util::sync::CancellationToken;
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() {
/// let token = CancellationToken::new();
/// token.cancel();
/// let never = async |_: u32| std::future::pending::<Result<u32, BoxError>>().await;
/// let error = complete(never, 1).cancel_on(token).await.unwrap_err();
/// assert!(error.is_cancelled());
/// # }
/// ```
///
/// # Which requests
///
/// Any that can be cloned: each try sends a clone. **Calling it says that the request may be sent
/// twice.**
///
/// # Order
///
/// A try waits for its permit at the gate, then has its timeout, then is sent. No permit is held while
/// the call waits between two tries.
///
/// # Readiness, clones and drop
///
/// Nothing happens until it is awaited. Dropping the future, or cancelling its token, drops the running
/// try, leaves the queue or ends the wait, at once.
///
/// # Errors
///
/// [`CompleteError`]: what it took, and as its source the client's last error as it is, or
/// [`Cancelled`], [`Overloaded`](crate::Overloaded), [`RetryExhausted`](crate::RetryExhausted). What the gate has refused
/// is not tried again: the call has waited there already.
///
/// # Cost
///
/// A box for the future, and a handful of small allocations for its layers: nothing beside a call of
/// milliseconds. Where calls are many and short, build the [layers](crate::guide::retry) once.
pub fn complete<'a, C, Req, How>(client: C, request: Req) -> Complete<'a, C::Service, Req>
where
    C: CompleteWith<Req, How>,
{
    Complete {
        client: client.into_service(),
        request,
        settings: Settings {
            gate: None,
            ask: Ask::new(),
            attempts: None,
            attempt_timeout: Some(ATTEMPT_TIMEOUT),
            deadline: None,
            waits: Arc::new(Exponential::default()),
            budget: None,
            token: None,
        },
        usage: None,
        judge: OkWins,
    }
}

/// A call that is to be made: what [`complete`] returns. Set what differs, then await it.
#[must_use = "nothing is sent until it is awaited"]
pub struct Complete<'a, S: Service<Req>, Req, J = OkWins> {
    client: S,
    request: Req,
    settings: Settings,
    usage: Option<Read<'a, S::Response>>,
    judge: J,
}

type Read<'a, T> = Arc<dyn Fn(&T) -> Option<Usage> + Send + Sync + 'a>;

struct Settings {
    gate: Option<Gate>,
    ask: Ask,
    attempts: Option<usize>,
    attempt_timeout: Option<Duration>,
    deadline: Option<Duration>,
    waits: Arc<dyn RetryPolicy>,
    budget: Option<Budget>,
    token: Option<CancellationToken>,
}

impl<'a, S: Service<Req>, Req, J> Complete<'a, S, Req, J> {
    /// Lets each try start when `gate` says so. Defaults to at once.
    pub fn gate(mut self, gate: &Gate) -> Self {
        self.settings.gate = Some(gate.clone());
        self
    }

    /// What it takes of a rate of tokens, until [`usage`](Self::usage) says better. Defaults to 1.
    pub fn cost(mut self, tokens: u64) -> Self {
        self.settings.ask.cost = tokens;
        self
    }

    /// All that it asks of the gate: cost, key, priority. Defaults to `Ask::new()`.
    pub fn ask(mut self, ask: Ask) -> Self {
        self.settings.ask = ask;
        self
    }

    /// Sets how many tries it may make, the first included, 1 to 64. Defaults to 4.
    ///
    /// # Panics
    ///
    /// If `n` is out of range: [`try_attempts`](Self::try_attempts) returns the reason.
    #[track_caller]
    pub fn attempts(self, n: usize) -> Self {
        or_panic(self.try_attempts(n))
    }

    /// Like [`attempts`](Self::attempts), but returns the reason of a refusal.
    ///
    /// # Errors
    ///
    /// [`RetryBuildError::Attempts`] if `n` is out of range.
    pub fn try_attempts(mut self, n: usize) -> Result<Self, RetryBuildError> {
        RetryLayer::exponential().try_attempts(n)?;
        self.settings.attempts = Some(n);
        Ok(self)
    }

    /// Sets how long one try may take, counted from when it is sent. Defaults to 60 s.
    ///
    /// # Panics
    ///
    /// If `after` is zero: [`try_attempt_timeout`](Self::try_attempt_timeout) returns the reason.
    #[track_caller]
    pub fn attempt_timeout(self, after: Duration) -> Self {
        or_panic(self.try_attempt_timeout(after))
    }

    /// Like [`attempt_timeout`](Self::attempt_timeout), but returns the reason of a refusal.
    ///
    /// # Errors
    ///
    /// [`RetryBuildError::Timeout`] if `after` is zero.
    pub fn try_attempt_timeout(mut self, after: Duration) -> Result<Self, RetryBuildError> {
        TimeoutLayer::try_new(after)?;
        self.settings.attempt_timeout = Some(after);
        Ok(self)
    }

    /// Lets a try take as long as it takes.
    pub fn no_attempt_timeout(mut self) -> Self {
        self.settings.attempt_timeout = None;
        self
    }

    /// Sets how long the call may take, with its queue, tries and waits. Defaults to the
    /// [`Deadline`](crate::Deadline) that holds, if any.
    ///
    /// # Panics
    ///
    /// If `patience` is zero: [`try_deadline`](Self::try_deadline) returns the reason.
    #[track_caller]
    pub fn deadline(self, patience: Duration) -> Self {
        or_panic(self.try_deadline(patience))
    }

    /// Like [`deadline`](Self::deadline), but returns the reason of a refusal.
    ///
    /// # Errors
    ///
    /// [`RetryBuildError::Timeout`] if `patience` is zero.
    pub fn try_deadline(mut self, patience: Duration) -> Result<Self, RetryBuildError> {
        RetryLayer::exponential().try_deadline(patience)?;
        self.settings.deadline = Some(patience);
        Ok(self)
    }

    /// Sets how long it waits between tries. Defaults to up to 1, 2 and 4 s.
    pub fn waits(mut self, policy: impl RetryPolicy + 'static) -> Self {
        self.settings.waits = Arc::new(policy);
        self
    }

    /// Pays retries from `budget`, and feeds it once. Defaults to one of its own, which bounds nothing:
    /// give all calls to one service the same.
    pub fn budget(mut self, budget: &Budget) -> Self {
        self.settings.budget = Some(budget.clone());
        self
    }

    /// Ends with [`Cancelled`] as soon as `token` is cancelled, in the queue, a try or a wait, even if an
    /// answer is ready in the same poll.
    pub fn cancel_on(mut self, token: CancellationToken) -> Self {
        self.settings.token = Some(token);
        self
    }

    /// Reads from the answer what it used. Defaults to nothing. What was reserved at the gate is settled
    /// to the sum.
    pub fn usage<F>(mut self, read: F) -> Self
    where
        F: Fn(&S::Response) -> Option<Usage> + Send + Sync + 'a,
    {
        self.usage = Some(Arc::new(read));
        self
    }

    /// Sets who judges results. Defaults to: every `Ok` is an answer, every `Err` is retried.
    ///
    /// A [`Classify`] of the client's answer, and of its error as a [`BoxError`], in which
    /// [`cause_ref`](crate::cause_ref) finds it; [`HttpJudge`](crate::HttpJudge) for HTTP.
    pub fn accept<K>(self, judge: K) -> Complete<'a, S, Req, K>
    where
        K: Classify<S::Response, BoxError>,
    {
        Complete {
            client: self.client,
            request: self.request,
            settings: self.settings,
            usage: self.usage,
            judge,
        }
    }
}

// === impl Debug ===

impl<S: Service<Req>, Req, J> fmt::Debug for Complete<'_, S, Req, J> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Complete")
            .field("gate", &self.settings.gate)
            .field("ask", &self.settings.ask)
            .field("attempts", &self.settings.attempts)
            .field("attempt_timeout", &self.settings.attempt_timeout)
            .field("deadline", &self.settings.deadline)
            .finish_non_exhaustive()
    }
}
