//! The race against a model of it: random scripts, schedules, budgets and callers that leave.
//!
//! The model knows no futures: it walks from one millisecond at which something happens to the
//! next. Both must agree on who wins, when, and when each attempt was sent.

use std::sync::Arc;

use hedgerow_core::{Budget, Kind};
use hedgerow_hedge::{HedgeEvent, HedgeLayer};
use parking_lot::Mutex;
use proptest::prelude::*;
use tokio::time::timeout;
use tower::Layer;

use crate::support::{Backend, call, ms};

/// How an attempt goes: how long it takes, and whether it answers.
type Attempt = (u64, bool);

/// A terminal event: attempts, whether one won, which, and the cost.
type Ending = (usize, bool, u32, usize);

#[derive(Debug, PartialEq, Eq)]
struct Story {
    /// The attempt that won, `None` if all lost.
    winner: Option<usize>,
    ended_ms: u64,
    sent_ms: Vec<u64>,
}

fn model(attempts: &[Attempt], delays: &[u64], depth: u32) -> Story {
    let (mut now, mut tokens) = (0, depth);
    let mut sent_ms = vec![0];
    let mut lost = vec![false];
    let mut off = false;
    loop {
        for at in 0..sent_ms.len() {
            let (takes, answers) = attempts[at];
            if !lost[at] && sent_ms[at] + takes <= now {
                if answers {
                    return Story {
                        winner: Some(at),
                        ended_ms: now,
                        sent_ms,
                    };
                }
                lost[at] = true;
            }
        }
        let next = sent_ms.len() - 1;
        let due = if off { None } else { delays.get(next).copied() };
        let idle = lost.iter().all(|lost| *lost);
        match due {
            Some(due) if due <= now || idle => {
                if tokens > 0 {
                    tokens -= 1;
                    sent_ms.push(now);
                    lost.push(false);
                } else {
                    off = true;
                }
                continue;
            }
            None if idle => {
                return Story {
                    winner: None,
                    ended_ms: now,
                    sent_ms,
                };
            }
            _ => {}
        }
        let ends = (0..sent_ms.len())
            .filter(|&at| !lost[at])
            .map(|at| sent_ms[at] + attempts[at].0);
        now = ends.chain(due).min().expect("something runs or is due");
    }
}

/// The layer's own story, with what else must hold.
async fn real(
    attempts: Vec<Attempt>,
    delays: &[u64],
    depth: u32,
    leaves: Option<u64>,
) -> Result<Option<Story>, TestCaseError> {
    let script = attempts.clone();
    let backend = Backend::new(move |attempt| {
        let (takes, answers) = script[attempt.index() as usize];
        (ms(takes), if answers { Ok("answer") } else { Err("error") })
    });
    let budget = Budget::percent(0.0).depth(depth);
    let told: Arc<Mutex<Vec<Ending>>> = Arc::default();
    let notes = told.clone();
    let fired = Arc::new(Mutex::new(0usize));
    let count = fired.clone();
    let layer = HedgeLayer::schedule(delays.iter().copied().map(ms))
        .clone_requests()
        .budget(budget.clone())
        .on_event(move |event: &HedgeEvent| {
            *count.lock() += usize::from(matches!(event, HedgeEvent::Fired { .. }));
            if let Some(info) = event.info() {
                let won = matches!(event, HedgeEvent::Won(_));
                notes
                    .lock()
                    .push((info.attempts.len(), won, info.index, info.cost as usize));
            }
        });
    let patience = ms(leaves.unwrap_or(1_000_000));
    let outcome = timeout(patience, call(layer.layer(backend.clone()))).await;

    let sent = backend.sent();
    prop_assert_eq!(backend.alive(), 0, "everything is dropped");
    prop_assert_eq!(budget.available() as usize, depth as usize - (sent - 1));
    prop_assert_eq!(budget.granted(Kind::Hedge) as usize, sent - 1);
    prop_assert_eq!(*fired.lock(), sent - 1);
    let told = told.lock().clone();
    prop_assert_eq!(told.len(), 1, "one terminal event: {:?}", told);
    prop_assert_eq!((told[0].0, told[0].3), (sent, sent));
    let stats = layer.handle().stats();
    prop_assert_eq!(stats.fired as usize, sent - 1);
    let Ok((result, took)) = outcome else {
        prop_assert_eq!((stats.cancelled, told[0].1), (1, false));
        return Ok(None);
    };
    prop_assert_eq!(
        (result.is_ok(), stats.failed),
        (told[0].1, u64::from(result.is_err()))
    );
    Ok(Some(Story {
        winner: result.is_ok().then_some(told[0].2 as usize),
        ended_ms: took.as_millis() as u64,
        sent_ms: backend
            .times()
            .iter()
            .map(|at| at.as_millis() as u64)
            .collect(),
    }))
}

fn schedule() -> impl Strategy<Value = Vec<u64>> {
    proptest::collection::vec(0u64..60, 1..4).prop_map(|mut delays| {
        delays.sort_unstable();
        delays
    })
}

proptest! {
    #[test]
    fn the_race_is_the_models(
        attempts in proptest::collection::vec((0u64..80, any::<bool>()), 4),
        delays in schedule(),
        depth in 0u32..5,
        leaves in proptest::option::weighted(0.3, 0u64..90),
    ) {
        let want = model(&attempts, &delays, depth);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .expect("a runtime");
        match runtime.block_on(real(attempts, &delays, depth, leaves))? {
            Some(got) => prop_assert_eq!(got, want),
            // Should both happen in one millisecond, either may come first.
            None => prop_assert!(leaves.is_some_and(|left| left <= want.ended_ms)),
        }
    }
}
