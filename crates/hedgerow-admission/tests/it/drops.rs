//! The response future dropped at every point, over services that hold something of their own.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use futures::poll;
use hedgerow_admission::{
    AdmissionLayer, Answer, Ask, BookId, Claim, Decision, Gate, Ledger, LocalLedger, Outcome, Rate,
    ReadyAdmissionLayer,
};
use hedgerow_core::BoxError;
use tokio::time::{Instant, advance, sleep, timeout};
use tower::buffer::Buffer;
use tower::limit::ConcurrencyLimit;
use tower::{Layer, Service, ServiceExt, service_fn};

use crate::support::{Log, holder, ms, settle};

async fn work((): ()) -> Result<(), Infallible> {
    sleep(ms(10)).await;
    Ok(())
}

/// Three calls, one of them dropped after so many milliseconds; then all is free again.
async fn dropped<S>(gate: &Gate, service: S, which: usize, after: u64)
where
    S: Service<(), Response = ()> + Clone + Send + 'static,
    S::Future: Send,
    S::Error: std::fmt::Debug + Send,
{
    let began = Instant::now();
    let mut tasks: Vec<_> = (0..3)
        .map(|_| tokio::spawn(service.clone().oneshot(())))
        .collect();
    settle().await;
    for _ in 0..after {
        advance(ms(1)).await;
        settle().await;
    }
    let given_up = tasks.remove(which);
    given_up.abort();
    for task in tasks {
        timeout(ms(100), task)
            .await
            .unwrap_or_else(|_| panic!("{which} dropped at {after} ms: another one hangs"))
            .expect("no panic")
            .expect("admitted");
    }
    assert!(
        began.elapsed() <= ms(after.max(30) + 1),
        "{which} at {after} ms"
    );
    let _ = given_up.await;
    let stats = gate.stats();
    assert_eq!((stats.active, stats.queued, gate.leftovers()), (0, 0, 0));
    timeout(ms(11), service.oneshot(()))
        .await
        .expect("all is free")
        .expect("admitted");
}

#[tokio::test(start_paused = true)]
async fn a_drop_at_every_millisecond_leaves_a_concurrency_limit_and_a_buffer_free() {
    for limit in [1, 2] {
        for which in 0..3 {
            for after in 0..32 {
                let gate = Gate::builder().concurrency(limit).build();
                let layer = AdmissionLayer::new(gate.clone());
                let inner = ConcurrencyLimit::new(service_fn(work), 1);
                dropped(&gate, layer.layer(inner), which, after).await;
                let inner = ConcurrencyLimit::new(service_fn(work), 1);
                dropped(&gate, layer.layer(Buffer::new(inner, 1)), which, after).await;
                let ready = ReadyAdmissionLayer::new(gate.clone());
                let inner = ConcurrencyLimit::new(service_fn(work), 1);
                dropped(&gate, ready.layer(inner), which, after).await;
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_drop_after_every_poll_leaves_nothing_behind() {
    for polls in 0..14 {
        let gate = Gate::builder()
            .concurrency(1)
            .rate(Rate::tokens_per_minute(60))
            .build();
        let inner = ConcurrencyLimit::new(service_fn(work), 1);
        let service = AdmissionLayer::new(gate.clone()).layer(inner);
        let other = tokio::spawn(service.clone().oneshot(()));
        settle().await;
        let mut call = Box::pin(service.clone().oneshot(()));
        let mut answered = 1;
        for _ in 0..polls {
            if poll!(&mut call).is_ready() {
                answered = 2;
                break;
            }
            advance(ms(2)).await;
        }
        drop(call);
        other.await.expect("no panic").expect("admitted");
        settle().await;
        let stats = gate.stats();
        assert_eq!((stats.active, stats.queued, gate.leftovers()), (0, 0, 0));
        assert_eq!(answered, if polls < 12 { 1 } else { 2 }, "{polls} polls");
        assert_eq!(
            gate.left(0, None).await,
            Some(60 - answered),
            "{polls} polls"
        );
        timeout(ms(11), service.oneshot(()))
            .await
            .expect("free")
            .expect("admitted");
    }
}

#[tokio::test(start_paused = true)]
async fn readiness_that_is_waited_for_in_one_task_can_be_waited_for_in_another() {
    let gate = Gate::builder().concurrency(1).build();
    let held = gate.permit().await.expect("free");
    let mut service = ReadyAdmissionLayer::new(gate.clone()).layer(service_fn(work));
    assert!(poll!(service.ready()).is_pending());
    let moved = tokio::spawn(async move {
        service.ready().await?.call(()).await?;
        Ok::<_, BoxError>(())
    });
    settle().await;
    held.finish(Outcome::Answered);
    timeout(ms(11), moved)
        .await
        .expect("the new task is woken")
        .expect("no panic")
        .expect("admitted");
    assert_eq!(gate.leftovers(), 0);
}

#[tokio::test(start_paused = true)]
async fn many_gates_on_one_ledger_start_no_more_than_its_rate() {
    let ledger = Arc::new(LocalLedger::new());
    let log = Log::new();
    let mut tasks = Vec::new();
    let began = Instant::now();
    for name in 0..20 {
        let gate = Gate::builder()
            .rate(Rate::per_second(10).burst(5))
            .ledger(ledger.clone())
            .build();
        for _ in 0..3 {
            tasks.push(holder(&gate, Ask::new(), name, ms(0), &log));
        }
    }
    for task in tasks {
        task.await.expect("no panic").expect("admitted");
    }
    // Five at once, then one each 100 ms, whichever gate it is.
    assert_eq!(began.elapsed(), ms(5_500));
    let mut starts: Vec<u64> = log.all().into_iter().map(|(_, at)| at).collect();
    starts.sort_unstable();
    let want = (0..60_u64).map(|n| n.saturating_sub(4) * 100);
    assert_eq!(starts, want.collect::<Vec<_>>());
}

#[test]
fn a_clock_that_goes_back_gives_nothing_twice() {
    let ledger = LocalLedger::new();
    let rate = Rate::tokens(10, Duration::from_secs(1));
    let rates: [(BookId, Rate); 1] = [(ledger.open(&rate).expect("fine"), rate)];
    let now = Instant::now().into_std() + ms(10_000);
    let ask = |at: u64, cost| {
        let Answer::Now(decision) = ledger.reserve(&Claim::new(&rates, None, cost, now + ms(at)))
        else {
            panic!("the local ledger never pends");
        };
        decision
    };
    let Decision::Granted(receipt) = ask(1_000, 10) else {
        panic!("free");
    };
    assert!(matches!(ask(0, 1), Decision::Wait { until, .. } if until == now + ms(1_100)));
    ledger.refund(&Claim::new(&rates, None, 10, now), receipt, true);
    assert!(matches!(ask(0, 10), Decision::Granted(_)));
    assert!(matches!(ask(999, 10), Decision::Wait { .. }));
    assert!(matches!(ask(2_000, 10), Decision::Granted(_)));
}
