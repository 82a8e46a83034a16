//! A12: dropped at every await point, enumerated.
//!
//! A future is polled by hand, a millisecond apart, and dropped after its k-th poll, for k = 0, 1, 2
//! and so on until one run completes.

use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures::poll;
use hedgerow_core::{Attempt, accept_if};
use hedgerow_hedge::{
    Candidate, DrainLayer, HedgeEvent, buffered_by_completion, hedge, race, race_candidates,
};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::plain_support::{Answer, Down, Track};
use crate::support::ms;

/// What one run looks at.
struct Scene {
    track: Track,
    drain: DrainLayer,
    terminal: Arc<AtomicUsize>,
    losers: Arc<AtomicUsize>,
}

impl Scene {
    fn new() -> Self {
        Self {
            track: Track::new(),
            drain: DrainLayer::new(ms(5_000), 16),
            terminal: Arc::default(),
            losers: Arc::default(),
        }
    }
}

/// Drops `make`'s future after every number of polls, until one completes; how many polls that took.
async fn at_every_poll<F: Future>(make: impl Fn(&Scene) -> F) -> usize {
    for k in 0..10_000 {
        let scene = Scene::new();
        let mut completed = false;
        {
            let mut future = pin!(make(&scene));
            for at in 0..k {
                if at > 0 {
                    sleep(ms(1)).await;
                }
                if poll!(future.as_mut()).is_ready() {
                    completed = true;
                    break;
                }
            }
        }
        let (terminal, losers) = (
            scene.terminal.load(Ordering::Relaxed),
            scene.losers.load(Ordering::Relaxed),
        );
        let started = scene.track.started().len();
        if completed {
            assert_eq!(terminal, 1, "completed after {k} polls");
            return k;
        }
        assert_eq!(scene.track.held(), 0, "dropped after {k} polls");
        assert_eq!(scene.drain.stats().running, 0, "dropped after {k} polls");
        // Nothing to tell of what never began.
        assert_eq!(terminal, k.min(1), "dropped after {k} polls");
        assert!(losers <= 1 && losers == usize::from(started > 1));
        sleep(ms(1_000)).await;
        assert_eq!(
            scene.track.started().len(),
            started,
            "started after the drop"
        );
        assert_eq!(scene.drain.stats().running, 0);
        assert_eq!(scene.terminal.load(Ordering::Relaxed), terminal);
    }
    panic!("it never completes");
}

/// Adds the counts of a scene to a race.
macro_rules! counted {
    ($scene:expr, $race:expr) => {{
        let (terminal, losers) = ($scene.terminal.clone(), $scene.losers.clone());
        $race
            .on_event(move |event: &HedgeEvent| {
                terminal.fetch_add(usize::from(event.is_terminal()), Ordering::Relaxed);
            })
            .on_losers(move |_| {
                losers.fetch_add(1, Ordering::Relaxed);
            })
    }};
}

#[tokio::test(start_paused = true)]
async fn dropping_the_race_drops_every_candidate() {
    let polls = at_every_poll(|scene| {
        let runner = |takes, answer: Answer| scene.drain.wrap(scene.track.runner(takes, answer));
        counted!(
            scene,
            race([
                Candidate::new(runner(90, Ok("slow"))),
                Candidate::new(runner(10, Err(Down("down")))),
                Candidate::new(runner(20, Ok("refused"))).after(ms(15)),
                Candidate::new(runner(30, Ok("accepted"))).after(ms(40)),
                Candidate::new(runner(1, Ok("never"))).after(ms(300)),
            ])
            .accept(accept_if(|answer: &&str| *answer != "refused"))
            .timeout(ms(500))
            .cancel_on(CancellationToken::new())
        )
    })
    .await;
    // Once at every millisecond from 0 to 70.
    assert_eq!(polls, 71);
}

#[tokio::test(start_paused = true)]
async fn dropping_the_race_makes_no_further_candidate() {
    let polls = at_every_poll(|scene| {
        let (track, drain) = (scene.track.clone(), scene.drain.clone());
        let run = move |takes| drain.wrap(track.runner(takes, Answer::Ok("x")));
        counted!(
            scene,
            race_candidates([500, 500, 20, 500], run).stagger(ms(20))
        )
    })
    .await;
    assert_eq!(polls, 61);
}

#[tokio::test(start_paused = true)]
async fn dropping_the_hedge_makes_no_further_copy() {
    let polls = at_every_poll(|scene| {
        let (track, drain) = (scene.track.clone(), scene.drain.clone());
        let run = move |attempt: Attempt| {
            let script = [
                (15, Err(Down("down"))),
                (25, Err(Down("down"))),
                (30, Ok("up")),
            ];
            let (takes, answer) = script[attempt.index() as usize];
            drain.wrap(track.runner(takes, answer))
        };
        counted!(scene, hedge(run, [30, 80].map(ms)))
    })
    .await;
    // The first copy follows at 15, the second at 40, which wins at 70.
    assert_eq!(polls, 71);
}

#[tokio::test(start_paused = true)]
async fn dropping_the_pool_drops_what_runs_and_starts_nothing() {
    for k in 0..40 {
        let track = Track::new();
        let mut made = 0;
        {
            let mut pool = buffered_by_completion(0..12u64, 3, |n| {
                made += 1;
                track.runner(5 + n % 4, n)
            });
            for at in 0..k {
                if at > 0 {
                    sleep(ms(1)).await;
                }
                let _ = poll!(pin!(pool.next()));
            }
        }
        assert_eq!(track.held(), 0, "dropped after {k} polls");
        let started = track.started().len();
        // One that was made beside an output that was ready waits for the next poll.
        assert!(
            started <= made && made <= started + 1,
            "{started} of {made}"
        );
        sleep(ms(1_000)).await;
        assert_eq!(track.started().len(), started);
    }
}

/// What a runtime that is shut down is given to run it drops at once: the loser's own drop may ask the
/// drain, or be a loser's of the same drain.
#[test]
fn a_loser_on_a_runtime_that_is_gone_is_dropped_without_a_lock() {
    struct Looks(DrainLayer);
    impl Drop for Looks {
        fn drop(&mut self) {
            assert_eq!(self.0.stats().running, 0);
        }
    }
    let (done, is_done) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .expect("a runtime");
        let handle = runtime.handle().clone();
        let _inside = handle.enter();
        drop(runtime);
        let drain = DrainLayer::new(ms(100), 4);
        let looks = Looks(drain.clone());
        let inner = drain.wrap(std::future::pending::<Result<u32, ()>>());
        let slow = drain.wrap(async move {
            let _looks = looks;
            inner.await
        });
        type Racer = Pin<Box<dyn Future<Output = Result<u32, ()>>>>;
        let racers: [Racer; 2] = [Box::pin(slow), Box::pin(async { Ok(1) })];
        let won = futures::executor::block_on(race(racers)).map(|won| won.value);
        done.send((won.ok(), drain.stats().dropped))
            .expect("somebody waits");
    });
    let ended = is_done.recv_timeout(Duration::from_secs(30));
    assert_eq!(ended, Ok((Some(1), 2)), "it waits for its own lock");
}
