//! What happens to one model or endpoint delays no other.

use std::time::Duration;

use hedgerow_sim::batch_api::{Fault, MockBatchApi, On, Script, Settings};
use tokio::time::Instant;

use crate::bed::{CHAT, SECOND, bed, body};

/// How long calls of model `fine` take while calls of model `bad` are under way, whose requests have these faults.
async fn takes(faults: &[Fault]) -> Duration {
    let settings: Settings = faults
        .iter()
        .fold(MockBatchApi::settings(), |settings, fault| {
            settings.fault(fault.clone())
        })
        .script(|_| Script::stepwise());
    let bed = bed(settings);
    let start = Instant::now();
    let bad = (0..20).map(|n| {
        let body = body("bad", &n.to_string());
        let bed = &bed;
        async move { bed.ask(CHAT, &body).await }
    });
    let fine = async {
        let calls = (0..20).map(|n| {
            let body = body("fine", &n.to_string());
            let bed = &bed;
            async move { bed.ask(CHAT, &body).await.word() }
        });
        let words = futures::future::join_all(calls).await;
        assert!(words.iter().all(|word| word == "200"), "{words:?}");
        start.elapsed()
    };
    tokio::select! {
        _ = async { futures::future::join_all(bad).await; std::future::pending::<()>().await } => unreachable!(),
        took = fine => took,
    }
}

#[tokio::test(start_paused = true)]
async fn faults_of_one_model_delay_no_other() {
    // 10 s of collecting, and four polls of 4 to 6 s each.
    let most = Duration::from_secs(10 + 4 * 6 + 1);
    assert!(takes(&[]).await <= most);
    let hour = Duration::from_secs(3_600);
    for fault in [
        Fault::on(On::Upload).status(429).retry_after(hour),
        Fault::on(On::Upload).stall(hour),
        Fault::on(On::Upload).hang(),
        Fault::on(On::Create).status(429).retry_after(hour),
        Fault::on(On::Create).stall(hour),
        Fault::on(On::Poll).stall(hour),
        Fault::on(On::Poll).status(429).retry_after(hour),
        Fault::on(On::Download).stall(hour),
        Fault::on(On::Download).status(503),
    ] {
        let fault = fault.model("bad").always();
        let took = takes(std::slice::from_ref(&fault)).await;
        assert!(took <= most, "{fault:?}: {took:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_slow_endpoint_delays_no_other() {
    let fault = Fault::on(On::Upload)
        .endpoint("/v1/embeddings")
        .stall(50 * SECOND)
        .always();
    let bed = bed(MockBatchApi::settings().fault(fault));
    let start = Instant::now();
    let both = futures::future::join(
        async {
            assert_eq!(
                bed.ask("/v1/embeddings", r#"{"model":"m","input":"a"}"#)
                    .await
                    .word(),
                "200"
            );
            start.elapsed()
        },
        async {
            assert_eq!(bed.ask(CHAT, &body("m", "a")).await.word(), "200");
            start.elapsed()
        },
    );
    let (slow, fast) = both.await;
    assert!(
        slow >= 60 * SECOND && fast <= 20 * SECOND,
        "{slow:?} {fast:?}"
    );
}
