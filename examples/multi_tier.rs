//! Three models in a cascade, and the dearest one alone: what p99 and what a call costs.
//!
//! All is made up and nobody is asked over a network. The questions are numbered, and who knows or
//! hangs at which is fixed.

#![expect(clippy::print_stdout, reason = "a program that says what it does")]

use std::time::Duration;

use hedgerow::{BoxError, Cascade, CascadeStats, SpendCap, Tier};
use tokio::{task::JoinSet, time::sleep};
use tower::{Service, ServiceExt, service_fn};

const CALLS: u64 = 600;
const AT_ONCE: u64 = 100;

/// A model that takes so many milliseconds, hangs for longer at one question in `hangs`, and knows
/// the answer to some of 100.
#[derive(Clone, Copy)]
struct Model(&'static str, [u64; 2], u64, u64);

const SMALL: Model = Model("small", [5, 20], 20, 80);
const MEDIUM: Model = Model("medium", [15, 40], 20, 90);
const LARGE: Model = Model("large", [60, 250], 50, 100);

struct Answer {
    confidence: f64,
}

/// Scrambles a question's number, differently for each salt.
fn draw(question: u64, salt: &str, of: u64) -> u64 {
    let mix = |h: u64, byte| (h ^ u64::from(byte)).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    (salt.bytes().fold(question, mix) >> 33) % of
}

async fn ask(model: Model, question: u64) -> Result<Answer, BoxError> {
    let Model(name, [takes, longer], hangs, knows) = model;
    let hangs = draw(question, name, hangs) == 0;
    sleep(Duration::from_millis(if hangs { longer } else { takes })).await;
    let knows = draw(question, "difficulty", 100) < knows;
    let confidence = if knows { 0.9 } else { 0.3 };
    Ok(Answer { confidence })
}

fn tier(model: Model, after_ms: u64, cost: f64) -> Tier<u64, Answer> {
    Tier::new(model.0, service_fn(move |question| ask(model, question)))
        .after(Duration::from_millis(after_ms))
        .cost(cost)
}

/// Asks every question, some at a time.
async fn measure(cascade: Cascade<u64, Answer>) -> Result<CascadeStats, BoxError> {
    for first in (0..CALLS).step_by(AT_ONCE as usize) {
        let mut calls = JoinSet::new();
        for question in first..first + AT_ONCE {
            let mut cascade = cascade.clone();
            calls.spawn(async move { cascade.ready().await?.call(question).await });
        }
        while let Some(answer) = calls.join_next().await {
            answer??;
        }
    }
    Ok(cascade.handle().stats())
}

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let alone = Cascade::builder()
        .tier(tier(LARGE, 0, 20.0))
        .clone_requests()
        .build()?;
    let cascade = Cascade::builder()
        .tier(tier(SMALL, 0, 1.0).threshold(0.8))
        .tier(tier(MEDIUM, 15, 5.0).threshold(0.6))
        .tier(tier(LARGE, 60, 20.0))
        .score(|answer: &Answer| answer.confidence)
        .timeout(Duration::from_secs(1))
        .spend_cap(SpendCap::new(500.0, 500.0))
        .clone_requests()
        .build()?;

    let mut seen = Vec::new();
    for (what, cascade) in [("the large model alone", alone), ("cascade", cascade)] {
        let stats = measure(cascade).await?;
        let (p99, cost) = (stats.p99().ok_or("no answers")?, stats.average_cost);
        println!("{what}: p99 {p99:.0?}, average cost {cost:.2}");
        for tier in &stats.tiers {
            let (sent, answered, skipped) = (tier.started, tier.answered, tier.skipped);
            println!(
                "  {}: {sent} sent, {answered} answered, {skipped} skipped",
                tier.name
            );
        }
        println!("  not good enough, but the best there was: {}", stats.best);
        seen.push((p99, cost));
    }
    assert!(seen[1].0 < seen[0].0, "the cascade's p99 is lower");
    assert!(seen[1].1 < seen[0].1, "and it costs less");
    Ok(())
}
