//! The layer against a model of it: random scripts, times, budgets and callers that leave.
//!
//! The model knows no futures: it adds milliseconds. Both must agree on who answered, when it ended,
//! and when each try was sent.

use std::sync::Arc;

use hedgerow_core::{BoxError, Budget, Kind};
use hedgerow_retry::{Failure, RetryEvent, RetryExhausted, RetryLayer, Wait};
use parking_lot::Mutex;
use proptest::prelude::*;
use tokio::time::timeout;
use tower::Layer;

use crate::support::{Backend, Down, call, ms};

#[derive(Clone, Debug)]
struct World {
    /// How long each try takes, and whether it answers.
    tries: Vec<(u64, bool)>,
    waits: Vec<u64>,
    attempts: usize,
    depth: u32,
    attempt_timeout: Option<u64>,
    deadline: Option<u64>,
    timeouts_are_final: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Answer,
    /// The error of this try.
    Failed(usize),
    /// An error of the layer's own.
    Exhausted,
}

#[derive(Debug, PartialEq, Eq)]
struct Story {
    end: End,
    ended_ms: u64,
    sent_ms: Vec<u64>,
}

fn model(world: &World) -> Story {
    let (mut now, mut tokens) = (0, world.depth);
    let mut sent_ms = Vec::new();
    let mut kept = End::Exhausted;
    let end = loop {
        let n = sent_ms.len();
        sent_ms.push(now);
        let (takes, answers) = world.tries[n];
        let ends = now + takes;
        let limit = world.attempt_timeout.map(|after| now + after);
        let limit = limit.into_iter().chain(world.deadline).min();
        // An answer in the very millisecond of the limit is an answer: it is looked at first.
        let timed_out = limit.is_some_and(|limit| ends > limit);
        if timed_out {
            now = limit.expect("it timed out");
        } else {
            now = ends;
            if answers {
                break End::Answer;
            }
            kept = End::Failed(n);
        }
        let over = timed_out && (world.timeouts_are_final || world.deadline == Some(now));
        if over || n + 1 >= world.attempts {
            break kept;
        }
        let wait = world.waits[n];
        if world
            .deadline
            .is_some_and(|deadline| now + wait >= deadline)
            || tokens == 0
        {
            break kept;
        }
        tokens -= 1;
        now += wait;
    };
    Story {
        end,
        ended_ms: now,
        sent_ms,
    }
}

fn end_of(result: &Result<&'static str, BoxError>) -> End {
    match result {
        Ok(_) => End::Answer,
        Err(error) => match error.downcast_ref::<Down>() {
            Some(Down(n)) => End::Failed(*n as usize),
            None => {
                assert!(error.is::<RetryExhausted>(), "{error}");
                End::Exhausted
            }
        },
    }
}

async fn real(world: World, leaves: Option<u64>) -> Result<Option<Story>, TestCaseError> {
    let script = world.tries.clone();
    let backend = Backend::new(move |n| {
        let (takes, answers) = script[n];
        (
            Some(takes),
            if answers {
                Ok("answer")
            } else {
                Err(Down(n as u32))
            },
        )
    });
    let waits = world.waits.clone();
    let budget = Budget::percent(0.0).depth(world.depth);
    let told = Arc::new(Mutex::new((Vec::new(), 0_usize)));
    let notes = told.clone();
    let mut layer = RetryLayer::new(move |failure: &Failure| {
        Wait::After(ms(waits[failure.retry as usize - 1]))
    })
    .attempts(world.attempts)
    .budget(budget.clone())
    .clone_requests()
    .on_event(move |event: &RetryEvent| {
        let mut notes = notes.lock();
        notes.1 += usize::from(matches!(event, RetryEvent::Sent { .. }));
        match event {
            RetryEvent::Succeeded(info) | RetryEvent::Cancelled(info) => {
                notes.0.push(info.tries.len());
            }
            RetryEvent::Failed(exhausted) => notes.0.push(exhausted.info.tries.len()),
            _ => {}
        }
    });
    if let Some(after) = world.attempt_timeout {
        layer = layer.attempt_timeout(ms(after));
    }
    if let Some(deadline) = world.deadline {
        layer = layer.deadline(ms(deadline));
    }
    if world.timeouts_are_final {
        layer = layer.timeouts_are_final();
    }
    let patience = ms(leaves.unwrap_or(1_000_000));
    let outcome = timeout(patience, call(layer.layer(backend.clone()))).await;
    let sent = backend.sent();
    let told = told.lock().clone();
    prop_assert_eq!(backend.alive(), 0, "everything is dropped");
    prop_assert_eq!(
        budget.available() as usize,
        world.depth as usize - (sent - 1)
    );
    prop_assert_eq!(budget.granted(Kind::Retry) as usize, sent - 1);
    prop_assert_eq!(&told.0, &vec![sent], "one terminal event, of every try");
    prop_assert_eq!(told.1, sent - 1);
    let stats = layer.handle().stats();
    prop_assert_eq!(stats.retries as usize, sent - 1);
    let Ok((result, took)) = outcome else {
        prop_assert_eq!(stats.cancelled, 1);
        return Ok(None);
    };
    prop_assert_eq!(stats.failed, u64::from(result.is_err()));
    Ok(Some(Story {
        end: end_of(&result),
        ended_ms: took.as_millis() as u64,
        sent_ms: backend.times(),
    }))
}

prop_compose! {
    fn world()(
        tries in proptest::collection::vec((0_u64..80, any::<bool>()), 6),
        waits in proptest::collection::vec(0_u64..60, 6),
        attempts in 1_usize..=6,
        depth in 0_u32..6,
        attempt_timeout in proptest::option::of(1_u64..90),
        deadline in proptest::option::of(1_u64..250),
        timeouts_are_final in proptest::bool::weighted(0.2),
    ) -> World {
        World { tries, waits, attempts, depth, attempt_timeout, deadline, timeouts_are_final }
    }
}

proptest! {
    #[test]
    fn the_call_is_the_models(
        world in world(),
        leaves in proptest::option::weighted(0.3, 0_u64..250),
    ) {
        let want = model(&world);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .expect("a runtime");
        match runtime.block_on(real(world, leaves))? {
            Some(got) => prop_assert_eq!(got, want),
            // Should both happen in one millisecond, either may come first.
            None => prop_assert!(leaves.is_some_and(|left| left <= want.ended_ms)),
        }
    }
}
