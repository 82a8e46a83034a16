//! One queue in front of a language model: requests and tokens a minute, two tenants, two API keys.
//!
//! The model is made up, a minute is a tenth of a second, and one key is told to slow down for a while.

#![expect(clippy::print_stdout, reason = "a program that says what it does")]

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use hedgerow::admission::{AdmissionLayer, Gate, Pool, Priority, Rate, Verdict};
use tokio::{task::JoinSet, time::sleep};
use tower::{BoxError, ServiceBuilder, ServiceExt};

const MINUTE: Duration = Duration::from_millis(100);
static ASKED: AtomicU64 = AtomicU64::new(0);

struct Prompt {
    tenant: &'static str,
    tokens: u64,
    urgent: bool,
    api_key: &'static str,
}

type Answer = Result<u64, Duration>; // tokens that were used, or how long to leave the key alone

async fn model(prompt: Prompt) -> Result<Answer, BoxError> {
    sleep(Duration::from_millis(3)).await;
    let busy = (20..40).contains(&ASKED.fetch_add(1, Relaxed)) && prompt.api_key == "key-b";
    Ok((!busy).then_some(prompt.tokens / 2).ok_or(MINUTE))
}

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let gate = Gate::builder()
        .concurrency(8)
        .rate(Rate::requests(60, MINUTE))
        .rate(Rate::tokens(9_000, MINUTE).burst(3_000))
        .pool(Pool::round_robin(["key-a", "key-b"]).at_once(5))
        .build();
    let admission = AdmissionLayer::new(gate.clone())
        .cost(|prompt: &Prompt| prompt.tokens)
        .key(|prompt: &Prompt| prompt.tenant)
        .priority(|prompt: &Prompt| [Priority::Normal, Priority::High][usize::from(prompt.urgent)])
        .assign(|prompt: &mut Prompt, key: &&'static str| prompt.api_key = key)
        .settle(|answer: &Answer| Some(answer.unwrap_or(0)))
        .watch(|result: &Result<Answer, BoxError>| match result {
            Ok(Err(time)) => Verdict::Cool(*time),
            _ => Verdict::Keep,
        });
    let client = ServiceBuilder::new().layer(admission).service_fn(model);
    let mut calls = JoinSet::new();
    for n in 0..150 {
        let prompt = Prompt {
            tenant: if n % 3 == 0 { "small" } else { "large" },
            tokens: 50 + n % 7 * 50,
            urgent: n % 10 == 0,
            api_key: "",
        };
        calls.spawn(client.clone().oneshot(prompt));
    }
    let (mut used, mut slowed) = (0, 0);
    while let Some(answer) = calls.join_next().await {
        match answer?? {
            Ok(tokens) => used += tokens,
            Err(_) => slowed += 1,
        }
    }
    println!("{used} tokens used, {slowed} calls told to slow down");
    let most = gate.waited(0.95).ok_or("nobody started")?;
    println!("95 of 100 waited {most:.0?} at most");
    let [a, b] = [0, 1].map(|key| gate.resources()[key].taken);
    println!("key-a took {a} calls, key-b {b}");
    assert!(a + b == 150 && b < a, "the busy key was left alone");
    Ok(())
}
