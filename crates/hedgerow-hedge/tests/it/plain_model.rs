//! Plain races against a model of them: random scripts of delays, durations and outcomes.
//!
//! The model knows no futures: it walks from one millisecond at which something happens to the next.
//! Both must agree on who wins, when, when each was started, and what each loser brought.

use hedgerow_core::Class;
use hedgerow_hedge::{Candidate, RaceErrorKind, race, race_candidates};
use proptest::prelude::*;

use crate::plain_support::Track;
use crate::support::ms;

/// How an attempt ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Brings {
    Good,
    Refused,
    Error,
    Final,
}

#[derive(Clone, Copy, Debug)]
struct Script {
    delay: u64,
    takes: u64,
    brings: Brings,
}

#[derive(Debug, PartialEq, Eq)]
enum Ended {
    Won(usize),
    Fatal(usize),
    AllLost,
    TimedOut,
}

#[derive(Debug, PartialEq, Eq)]
struct Story {
    ended: Ended,
    at: u64,
    /// Index and moment, by index.
    started: Vec<(usize, u64)>,
    /// Index, start, latency and whether it failed, by index.
    losses: Vec<(usize, u64, u64, bool)>,
}

fn model(scripts: &[Script], timeout: Option<u64>) -> Story {
    let mut started: Vec<Option<u64>> = vec![None; scripts.len()];
    let mut losses: Vec<(usize, u64, u64, bool)> = Vec::new();
    let mut now = 0;
    let ended = 'race: loop {
        // First whoever runs already, then the time, then whoever is due.
        for due in [false, true] {
            if due && timeout.is_some_and(|after| after <= now) {
                break 'race Ended::TimedOut;
            }
            for (at, script) in scripts.iter().enumerate() {
                if due && started[at].is_none() && script.delay <= now {
                    started[at] = Some(now);
                }
                let over = losses.iter().any(|loss| loss.0 == at);
                let Some(since) = started[at].filter(|since| since + script.takes <= now) else {
                    continue;
                };
                if over {
                    continue;
                }
                if script.brings == Brings::Good {
                    break 'race Ended::Won(at);
                }
                let failed = matches!(script.brings, Brings::Error | Brings::Final);
                losses.push((at, since, script.takes, failed));
                if script.brings == Brings::Final {
                    break 'race Ended::Fatal(at);
                }
            }
        }
        let waiting = (0..scripts.len()).filter(|at| started[*at].is_none());
        let next = waiting.min_by_key(|at| scripts[*at].delay);
        let sent = started.iter().flatten().count();
        if sent == losses.len() && sent > 0 {
            let Some(next) = next else {
                break Ended::AllLost;
            };
            // It is not polled before the others' turn: what it brings at once is seen in the walk.
            started[next] = Some(now);
            continue;
        }
        let running = (0..scripts.len()).filter(|at| !losses.iter().any(|loss| loss.0 == *at));
        let ends = running.filter_map(|at| started[at].map(|since| since + scripts[at].takes));
        let starts = next.map(|at| scripts[at].delay);
        now = ends
            .chain(starts)
            .chain(timeout)
            .min()
            .expect("something happens");
    };
    losses.sort_unstable();
    let started = started.iter().enumerate();
    Story {
        ended,
        at: now,
        started: started
            .filter_map(|(at, since)| Some((at, (*since)?)))
            .collect(),
        losses,
    }
}

fn judge(result: &Result<bool, bool>) -> Class {
    match result {
        Ok(true) => Class::Success,
        Ok(false) | Err(false) => Class::RETRYABLE,
        Err(true) => Class::Fatal,
    }
}

async fn real(
    scripts: &[Script],
    timeout: Option<u64>,
    lazily: bool,
) -> Result<Story, TestCaseError> {
    let track = Track::new();
    let run = |script: Script| {
        let result = match script.brings {
            Brings::Good => Ok(true),
            Brings::Refused => Ok(false),
            Brings::Error => Err(false),
            Brings::Final => Err(true),
        };
        track.runner(script.takes, result)
    };
    let far = timeout.map_or(ms(1_000_000), ms);
    let result = if lazily {
        race_candidates(scripts.iter().copied(), run)
            .delays(scripts.iter().map(|script| ms(script.delay)))
            .accept(judge)
            .timeout(far)
            .await
    } else {
        race(
            scripts
                .iter()
                .map(|script| Candidate::new(run(*script)).after(ms(script.delay))),
        )
        .accept(judge)
        .timeout(far)
        .await
    };
    prop_assert_eq!(track.held(), 0, "everything is dropped");
    let in_ms = |d: std::time::Duration| d.as_millis() as u64;
    let at = track.now();
    let mut started: Vec<_> = track
        .started()
        .iter()
        .map(|(who, at)| (*who as usize, *at))
        .collect();
    started.sort_unstable();
    let (ended, elapsed, sent, losses) = match result {
        Ok(won) => (
            Ended::Won(won.info.index as usize),
            won.info.elapsed,
            won.info.attempts.len(),
            // The winner's info has outcomes, not results.
            won.info
                .attempts
                .iter()
                .filter(|a| matches!(a.outcome.to_string().as_str(), "failed" | "refused"))
                .map(|a| {
                    let failed = a.outcome.to_string() == "failed";
                    let index = a.attempt.index() as usize;
                    (index, in_ms(a.started), in_ms(a.elapsed), failed)
                })
                .collect(),
        ),
        Err(error) => (
            match error.kind() {
                RaceErrorKind::AllLost => Ended::AllLost,
                RaceErrorKind::Fatal { index } => Ended::Fatal(*index as usize),
                RaceErrorKind::TimedOut { .. } => Ended::TimedOut,
                other => return Err(TestCaseError::fail(format!("{other:?}"))),
            },
            error.elapsed(),
            error.attempts().len(),
            error
                .losses()
                .iter()
                .map(|loss| {
                    let index = loss.index() as usize;
                    let (started, took) = (in_ms(loss.started()), in_ms(loss.elapsed()));
                    (index, started, took, loss.result.is_err())
                })
                .collect(),
        ),
    };
    prop_assert_eq!((in_ms(elapsed), sent), (at, started.len()));
    Ok(Story {
        ended,
        at,
        started,
        losses,
    })
}

fn script() -> impl Strategy<Value = Script> {
    let delay = prop_oneof![Just(0u64), 0u64..60];
    let brings = prop_oneof![
        2 => Just(Brings::Good),
        2 => Just(Brings::Refused),
        4 => Just(Brings::Error),
        1 => Just(Brings::Final),
    ];
    (delay, 0u64..60, brings).prop_map(|(delay, takes, brings)| Script {
        delay,
        takes,
        brings,
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn the_plain_race_is_the_models(
        scripts in proptest::collection::vec(script(), 1..7),
        timeout in proptest::option::weighted(0.4, 0u64..120),
        lazily in any::<bool>(),
    ) {
        let want = model(&scripts, timeout);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .expect("a runtime");
        let got = runtime.block_on(real(&scripts, timeout, lazily))?;
        prop_assert_eq!(got, want);
    }
}
