//! The three ways to start a race.

use std::time::Duration;

use hedgerow_core::Attempt;

use crate::error::MAX_HEDGES;
use crate::plain::error::{ArgumentError, MAX_CANDIDATES, RaceErrorKind};
use crate::plain::lineup::{Copies, Each, Given, IntoCandidate};
use crate::plain::race::Race;

/// Races futures: the first acceptable answer wins, and the others are dropped at once.
///
/// The candidates are futures of one type, or [`Candidate`](crate::Candidate)s of them, each with
/// the delay after which it starts. Different futures become one type when they are boxed:
/// `Box::pin(future) as Pin<Box<dyn Future<Output = _> + Send>>`. They are numbered as they stand: of two that are ready in one
/// poll the lowest index wins. If everything that was started has failed, the next one (by its
/// delay, then by its index) starts now; if all have delays, the first waits for its own.
///
/// # Examples
///
/// ```
/// use hedgerow_hedge::race;
///
/// async fn resolve(name: &str) -> Result<u32, std::io::Error> {
///     Ok(name.len() as u32)
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let won = race([resolve("near"), resolve("faraway")]).await?;
/// assert_eq!((won.value, won.info.index), (4, 0));
/// # Ok(()) }
/// ```
///
/// The second one starts 250 ms later, short answers are refused, and all is over after two
/// seconds:
///
/// ```
/// use hedgerow_core::accept_if;
/// use hedgerow_hedge::{Candidate, race};
/// use std::time::Duration;
///
/// async fn ask(model: &str) -> Result<String, std::io::Error> {
///     Ok(if model == "hasty" { String::new() } else { format!("{model}: 42") })
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let won = race([
///     Candidate::new(ask("hasty")),
///     Candidate::new(ask("careful")).after(Duration::from_millis(250)),
/// ])
/// .accept(accept_if(|answer: &String| !answer.is_empty()))
/// .timeout(Duration::from_secs(2))
/// .await;
/// match won {
///     Ok(won) => assert_eq!(won.value, "careful: 42"),
///     Err(error) if error.is_timeout() => println!("too slow: {error}"),
///     Err(error) => println!("nobody answered: {error}"),
/// }
/// # }
/// ```
///
/// # Units
///
/// Delays count from the race's first poll. The timer has a grain of 1 ms and rounds up. A negative
/// delay cannot be written.
///
/// # Readiness, clones and drop
///
/// Dropping the race drops every candidate at once, started or not. Losers are dropped in the poll
/// that finds the winner, before it is returned; what [`DrainLayer::wrap`](crate::DrainLayer::wrap)
/// made runs on.
///
/// # Errors
///
/// [`RaceError`](crate::RaceError). An empty race, or one of more than 1,024 candidates, is refused
/// in the first poll, and nothing is started.
///
/// # Panics
///
/// A start delay or a timeout that has to be waited for needs a tokio runtime with the time driver
/// enabled. Without either, a race runs on any executor.
///
/// # Cost
///
/// One box a candidate that is started, and no timer unless a delay or a timeout asks for one. Each
/// wake polls every running candidate.
///
/// # When not
///
/// For the *results of all*, use `futures::future::join_all` or
/// [`buffered_by_completion`](crate::buffered_by_completion).
pub fn race<I, F, T, E>(candidates: I) -> Race<Given<F>>
where
    I: IntoIterator,
    I::Item: IntoCandidate<Future = F>,
    F: Future<Output = Result<T, E>>,
{
    let candidates = candidates.into_iter().take(MAX_CANDIDATES + 1);
    let (waiting, delays): (Vec<_>, Vec<_>) = candidates
        .map(IntoCandidate::into_candidate)
        .map(|candidate| (Some(candidate.future), candidate.delay))
        .unzip();
    let refused = check_candidates(waiting.len());
    Race::new("race", Given { waiting }, delays, refused)
}

/// Races what `run` makes of each item, and calls it only when the item's turn comes.
///
/// Like [`race`], with attempts that are made late: a candidate whose turn never comes costs
/// nothing, and its item is dropped unused. The items are taken from the iterator at once. Without [`delays`](Race::delays) or
/// [`stagger`](Race::stagger) all start at once.
///
/// # Examples
///
/// ```
/// use hedgerow_hedge::race_candidates;
/// use std::time::Duration;
///
/// async fn fetch(mirror: &str) -> Result<String, std::io::Error> {
///     Ok(format!("from {mirror}"))
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let won = race_candidates(["a.test", "b.test", "c.test"], fetch)
///     .stagger(Duration::from_millis(100))
///     .await?;
/// assert_eq!(won.into_value(), "from a.test");
/// # Ok(()) }
/// ```
///
/// Each with a delay of its own, in any order:
///
/// ```
/// use hedgerow_hedge::race_candidates;
/// use std::time::Duration;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let won = race_candidates([("spare", 1), ("main", 2)], async |(name, answer): (&str, u32)| {
///     Ok::<_, std::io::Error>(format!("{name} {answer}"))
/// })
/// .delays([Duration::from_millis(200), Duration::ZERO])
/// .await?;
/// assert_eq!((won.value.as_str(), won.info.index), ("main 2", 1));
/// # Ok(()) }
/// ```
///
/// # Errors, Panics, Cost
///
/// As [`race`]. If `run` panics, so does the race.
pub fn race_candidates<I, R, F, T, E>(items: I, run: R) -> Race<Each<I::Item, R>>
where
    I: IntoIterator,
    R: FnMut(I::Item) -> F,
    F: Future<Output = Result<T, E>>,
{
    let items = items.into_iter().take(MAX_CANDIDATES + 1);
    let waiting: Vec<_> = items.map(Some).collect();
    let delays = vec![Duration::ZERO; waiting.len()];
    let refused = check_candidates(waiting.len());
    Race::new("candidates", Each { waiting, run }, delays, refused)
}

/// Makes a call, and one more copy of it at each of `delays` until an answer is accepted.
///
/// `factory` makes an attempt and is told which one it is: the primary at once, copy *i* at the
/// *i*-th delay, counted from the call's start, in ascending order. Two equal delays send two
/// copies at once. If everything in flight has failed, the next copy is sent now.
///
/// No budget bounds the copies: for traffic write a [`HedgeLayer`](crate::HedgeLayer).
///
/// # Examples
///
/// ```
/// use hedgerow_hedge::hedge;
/// use std::time::Duration;
///
/// async fn read(key: u32) -> Result<u32, std::io::Error> {
///     Ok(key * 2)
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let won = hedge(|_| read(21), [Duration::from_millis(100)]).await?;
/// assert_eq!(won.into_value(), 42);
/// # Ok(()) }
/// ```
///
/// The copies go elsewhere, and a missing key is final:
///
/// ```
/// use hedgerow_core::{Attempt, Class};
/// use hedgerow_hedge::{RaceErrorKind, hedge};
/// use std::io;
/// use std::time::Duration;
///
/// fn judge(result: &io::Result<u32>) -> Class {
///     match result {
///         Ok(_) => Class::Success,
///         Err(error) if error.kind() == io::ErrorKind::NotFound => Class::Fatal,
///         Err(_) => Class::RETRYABLE,
///     }
/// }
///
/// async fn read(replica: u32) -> io::Result<u32> {
///     Err(io::Error::new(io::ErrorKind::NotFound, format!("not on replica {replica}")))
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let error = hedge(
///     |attempt: Attempt| read(attempt.index() % 3),
///     [50, 200].map(Duration::from_millis),
/// )
/// .accept(judge)
/// .await
/// .unwrap_err();
/// assert_eq!(*error.kind(), RaceErrorKind::Fatal { index: 0 });
/// assert_eq!((error.losses().len(), error.not_started()), (1, 2));
/// # }
/// ```
///
/// # Errors
///
/// [`RaceError`](crate::RaceError). More than 64 delays, and delays that do not ascend, are refused
/// in the first poll, and nothing is started. No delays at all are fine: just the primary.
///
/// # Panics, Cost
///
/// As [`race`]. If `factory` panics, so does the call.
///
/// # Source
///
/// J. Dean and L. A. Barroso, *The Tail at Scale*, CACM 56(2), 2013.
pub fn hedge<R, F, T, E, D>(factory: R, delays: D) -> Race<Copies<R>>
where
    R: FnMut(Attempt) -> F,
    F: Future<Output = Result<T, E>>,
    D: IntoIterator<Item = Duration>,
{
    let mut checked = Ascending::default();
    let copies = delays.into_iter().take(MAX_HEDGES + 1);
    let delays = std::iter::once(Duration::ZERO).chain(copies);
    let mut race = Race::new(
        "hedge",
        Copies { run: factory },
        delays.inspect(|&delay| checked.see(delay)),
        None,
    );
    if let Err(error) = checked.end() {
        race.refuse(RaceErrorKind::Invalid(error));
    }
    race
}

fn check_candidates(n: usize) -> Option<RaceErrorKind> {
    match n {
        0 => Some(RaceErrorKind::Empty),
        1..=MAX_CANDIDATES => None,
        _ => Some(RaceErrorKind::Invalid(ArgumentError::TooManyCandidates)),
    }
}

/// Looks at the delays of a hedge as they pass by.
#[derive(Default)]
struct Ascending {
    seen: usize,
    last: Duration,
    back: Option<(Duration, Duration)>,
}

impl Ascending {
    fn see(&mut self, delay: Duration) {
        if delay < self.last {
            self.back.get_or_insert((self.last, delay));
        }
        self.seen += 1;
        self.last = delay;
    }

    /// The primary is among those that were seen.
    fn end(self) -> Result<(), ArgumentError> {
        if self.seen > MAX_HEDGES + 1 {
            return Err(ArgumentError::TooManyDelays);
        }
        match self.back {
            Some((before, after)) => Err(ArgumentError::UnorderedDelays { before, after }),
            None => Ok(()),
        }
    }
}
