//! Cascades against a model of them: random tiers, thresholds, caps, deadlines and callers that
//! leave.
//!
//! The model knows no futures: it walks from one millisecond at which something happens to the next.
//! Both must agree on which answer is returned, when, and when each tier was started.

use std::sync::Arc;

use hedgerow_core::accept_if;
use hedgerow_hedge::{Cascade, CascadeEvent, SpendCap};
use parking_lot::Mutex;
use proptest::prelude::*;
use tokio::time::timeout;

use crate::cascade_support::{Answer, World, race_error, score};
use crate::cascade_tiers::Build;
use crate::support::{call, ms};

const NAMES: [&str; 4] = ["d", "b", "c", "a"];
const UNUSABLE: f64 = -11.0;

/// What the judge says. It takes NaN.
fn usable(score: f64) -> bool {
    score != UNUSABLE
}

#[derive(Clone, Copy, Debug)]
struct Script {
    delay: u64,
    takes: u64,
    brings: Result<f64, &'static str>,
    threshold: Option<f64>,
    cost: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ended {
    Answered(usize),
    Best(usize),
    AllFailed,
    TimedOut,
}

#[derive(Debug, PartialEq, Eq)]
struct Story {
    ended: Ended,
    at: u64,
    /// Tier and moment, in the order of the tiers.
    started: Vec<(usize, u64)>,
    spent: u32,
}

/// The best of what was refused for its score: by score, then by tier.
fn best(scripts: &[Script], refused: &[usize]) -> Option<usize> {
    let of = |at: usize| scripts[at].brings.expect("an answer");
    let mut best: Vec<usize> = refused
        .iter()
        .copied()
        .filter(|at| usable(of(*at)))
        .collect();
    best.sort_by(|&a, &b| {
        let key = |at: usize| (!of(at).is_nan(), if of(at).is_nan() { 0.0 } else { of(at) });
        key(b).partial_cmp(&key(a)).expect("no NaN").then(a.cmp(&b))
    });
    best.first().copied()
}

fn model(scripts: &[Script], depth: u32, deadline: Option<u64>) -> Story {
    let mut turn: Vec<Option<u64>> = vec![None; scripts.len()];
    turn[0] = Some(0);
    let mut over = vec![false; scripts.len()];
    let mut refused = Vec::new();
    let (mut now, mut next, mut spent) = (0, 1, 0);
    let ended = 'call: loop {
        for due in [false, true] {
            if due && deadline.is_some_and(|deadline| deadline <= now) {
                break 'call best(scripts, &refused).map_or(Ended::TimedOut, Ended::Best);
            }
            loop {
                let mut looked = false;
                if due {
                    let idle = (0..next).all(|at| over[at]);
                    if next == scripts.len() {
                        if idle {
                            break 'call best(scripts, &refused)
                                .map_or(Ended::AllFailed, Ended::Best);
                        }
                        break;
                    }
                    if scripts[next].delay > now && !idle {
                        break;
                    }
                    if spent + scripts[next].cost <= depth {
                        spent += scripts[next].cost;
                        turn[next] = Some(now);
                    } else {
                        over[next] = true;
                    }
                    next += 1;
                    looked = true;
                }
                for at in 0..next {
                    let script = scripts[at];
                    let done = turn[at].is_some_and(|since| since + script.takes <= now);
                    if over[at] || !done {
                        continue;
                    }
                    over[at] = true;
                    let Ok(score) = script.brings else { continue };
                    let least = script.threshold.unwrap_or(f64::NEG_INFINITY);
                    if usable(score) && score >= least {
                        break 'call Ended::Answered(at);
                    }
                    refused.push(at);
                }
                if !looked {
                    break;
                }
            }
        }
        let running = (0..next).filter(|at| !over[*at]);
        let ends = running.filter_map(|at| turn[at].map(|since| since + scripts[at].takes));
        let starts = scripts.get(next).map(|script| script.delay);
        now = ends
            .chain(starts)
            .chain(deadline)
            .min()
            .expect("something happens");
    };
    let started = turn.iter().enumerate();
    Story {
        ended,
        at: now,
        started: started
            .filter_map(|(at, since)| Some((at, (*since)?)))
            .collect(),
        spent,
    }
}

/// The cascade's own story, with what else must hold.
async fn real(
    scripts: &[Script],
    depth: u32,
    deadline: Option<u64>,
    leaves: Option<u64>,
) -> Result<Option<Story>, TestCaseError> {
    let world = World::new();
    let cap = SpendCap::new(0.0, f64::from(depth));
    let told: Arc<Mutex<Vec<CascadeEvent>>> = Arc::default();
    let notes = told.clone();
    let mut builder = Cascade::builder();
    for (at, script) in scripts.iter().enumerate() {
        let mut tier = world.tier(NAMES[at], script.takes, script.brings);
        tier = tier.after(ms(script.delay)).cost(f64::from(script.cost));
        if let Some(threshold) = script.threshold {
            tier = tier.threshold(threshold);
        }
        builder = builder.tier(tier);
    }
    if let Some(deadline) = deadline {
        builder = builder.timeout(ms(deadline));
    }
    let cascade = builder
        .score(score)
        .accept(accept_if(|answer: &Answer| usable(answer.score)))
        .spend_cap(cap.clone())
        .on_event(move |event: &CascadeEvent| notes.lock().push(event.clone()))
        .build_cloning();
    let handle = cascade.handle();
    let outcome = timeout(ms(leaves.unwrap_or(1_000_000)), call(cascade)).await;

    prop_assert_eq!(world.alive(), 0, "everything is dropped");
    let index = |name: &str| NAMES.iter().position(|n| *n == name).expect("a tier");
    let mut started: Vec<_> = world
        .started()
        .iter()
        .map(|(who, at)| (index(who), *at))
        .collect();
    started.sort_unstable();
    let extras = started.iter().filter(|(at, _)| *at > 0);
    let spent: u32 = extras.map(|(at, _)| scripts[*at].cost).sum();
    prop_assert_eq!(cap.spent(), f64::from(spent));
    prop_assert_eq!(cap.available(), f64::from(depth - spent));
    let told = told.lock();
    let count = |what: fn(&CascadeEvent) -> bool| told.iter().filter(|event| what(event)).count();
    let starts = count(|event| matches!(event, CascadeEvent::TierStarted { .. }));
    let overs = count(|event| {
        use CascadeEvent::{TierCancelled, TierDone, TierTimedOut};
        matches!(event, TierDone(_) | TierCancelled(_) | TierTimedOut(_))
    });
    prop_assert_eq!((starts, overs), (started.len(), started.len()));
    prop_assert_eq!(count(CascadeEvent::is_terminal), 1);
    let last = told.last().expect("a terminal event");
    let info = last.info().expect("the terminal event comes last");
    prop_assert_eq!(info.cost, f64::from(spent + scripts[0].cost));
    prop_assert_eq!(handle.stats().cost, info.cost);
    let Ok((result, took)) = outcome else {
        prop_assert!(matches!(last, CascadeEvent::Cancelled(_)));
        return Ok(None);
    };
    prop_assert_eq!(took, info.elapsed);
    let ended = match (&result, last) {
        (Ok(answer), CascadeEvent::Answered(_)) => Ended::Answered(index(answer.from)),
        (Ok(answer), CascadeEvent::Best(_)) => Ended::Best(index(answer.from)),
        (Err(error), CascadeEvent::TimedOut(_)) => {
            prop_assert!(race_error(error).is_timeout());
            Ended::TimedOut
        }
        (Err(error), CascadeEvent::AllFailed(_)) => {
            prop_assert_eq!(race_error(error).losses().len(), started.len());
            Ended::AllFailed
        }
        other => return Err(TestCaseError::fail(format!("{other:?}"))),
    };
    let tier = match ended {
        Ended::Answered(at) | Ended::Best(at) => Some(at),
        Ended::AllFailed | Ended::TimedOut => None,
    };
    prop_assert_eq!(info.tier, tier);
    Ok(Some(Story {
        ended,
        at: took.as_millis() as u64,
        started,
        spent,
    }))
}

fn scripts() -> impl Strategy<Value = Vec<Script>> {
    let brings = prop_oneof![
        1 => Just(Err("down")),
        3 => (0i32..5).prop_map(|score| Ok(f64::from(score))),
        1 => Just(Ok(f64::NAN)),
        1 => Just(Ok(UNUSABLE)),
    ];
    let threshold = proptest::option::weighted(0.8, (2i32..6).prop_map(f64::from));
    let script = (0u64..60, 0u64..80, brings, threshold, 0u32..6);
    proptest::collection::vec(script, 1..=4).prop_map(|drawn| {
        let mut delays: Vec<u64> = drawn.iter().map(|script| script.0).collect();
        delays[0] = 0;
        delays.sort_unstable();
        let script = |(delay, (_, takes, brings, threshold, cost))| Script {
            delay,
            takes,
            brings,
            threshold,
            cost,
        };
        delays.into_iter().zip(drawn).map(script).collect()
    })
}

proptest! {
    #[test]
    fn the_cascade_is_the_models(
        scripts in scripts(),
        depth in 5u32..18,
        deadline in proptest::option::weighted(0.5, 1u64..160),
        leaves in proptest::option::weighted(0.3, 0u64..120),
    ) {
        let want = model(&scripts, depth, deadline);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .expect("a runtime");
        match runtime.block_on(real(&scripts, depth, deadline, leaves))? {
            Some(got) => prop_assert_eq!(got, want),
            // Should both happen in one millisecond, either may come first.
            None => prop_assert!(leaves.is_some_and(|left| left <= want.at)),
        }
    }
}
