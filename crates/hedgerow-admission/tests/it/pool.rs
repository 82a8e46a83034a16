//! Resources that requests take in turn.

use std::time::Duration;

use hedgerow_admission::{AdmissionLayer, Gate, Outcome, Pool, ShedReason, Verdict};
use tokio::time::{Instant, timeout};
use tower::{Service, ServiceBuilder, ServiceExt};

use crate::support::{ms, settle};

#[tokio::test(start_paused = true)]
async fn each_resource_in_its_turn_and_back_on_drop() {
    let gate = Gate::builder()
        .pool(Pool::round_robin(["a", "b", "c"]).at_once(1))
        .build();
    let [a, b, c] = [
        gate.permit().await.expect("free"),
        gate.permit().await.expect("free"),
        gate.permit().await.expect("free"),
    ];
    assert_eq!(
        [a.resource(), b.resource(), c.resource()],
        [&"a", &"b", &"c"]
    );
    let waits = tokio::spawn(gate.permit());
    settle().await;
    assert!(!waits.is_finished(), "all are in use");
    drop(b);
    assert_eq!(
        waits.await.expect("no panic").expect("free").resource(),
        &"b"
    );
    drop((a, c));
    assert!(gate.resources().iter().all(|resource| resource.in_use == 0));
}

#[tokio::test(start_paused = true)]
async fn the_least_used_is_next() {
    let gate = Gate::builder().pool(Pool::least_used([1, 2, 3])).build();
    let first = gate.permit().await.expect("free");
    let second = gate.permit().await.expect("free");
    let third = gate.permit().await.expect("free");
    assert_eq!(
        [first.resource(), second.resource(), third.resource()],
        [&1, &2, &3]
    );
    drop(second);
    assert_eq!(gate.permit().await.expect("free").resource(), &2);
}

#[tokio::test(start_paused = true)]
async fn a_cooled_resource_is_left_alone_for_its_time_and_a_killed_one_for_good() {
    let gate = Gate::builder().pool(Pool::round_robin(["a", "b"])).build();
    gate.permit().await.expect("free").cool_down(ms(500));
    for _ in 0..4 {
        let permit = gate.permit().await.expect("free");
        assert_eq!(permit.resource(), &"b");
        permit.finish(Outcome::Answered);
    }
    gate.permit().await.expect("free").kill();
    // The one that cools is waited for, without anybody else's help.
    let began = Instant::now();
    let permit = timeout(ms(501), gate.permit())
        .await
        .expect("woken")
        .expect("free");
    assert_eq!((permit.resource(), began.elapsed()), (&"a", ms(500)));
    permit.kill();
    let refused = gate.permit().await.expect_err("both are gone");
    assert_eq!(refused.reason(), ShedReason::NoResource);
    gate.revive(1);
    assert_eq!(gate.permit().await.expect("revived").resource(), &"b");
}

#[tokio::test(start_paused = true)]
async fn killing_the_last_resource_refuses_those_who_wait() {
    let gate = Gate::builder()
        .pool(Pool::round_robin(["a"]).at_once(1))
        .build();
    let held = gate.permit().await.expect("free");
    let waits = tokio::spawn(gate.permit());
    settle().await;
    held.kill();
    let refused = waits.await.expect("no panic").expect_err("nothing is left");
    assert_eq!(refused.reason(), ShedReason::NoResource);
}

#[tokio::test(start_paused = true)]
async fn the_layer_hands_the_resource_to_the_request_and_reads_its_fate_from_the_answer() {
    let pool = Pool::round_robin(["good", "limited", "revoked"]);
    let gate = Gate::builder().pool(pool).build();
    let mut service = ServiceBuilder::new()
        .layer(
            AdmissionLayer::new(gate.clone())
                .assign(|request: &mut String, key: &&str| request.push_str(key))
                .watch(
                    |result: &Result<u16, std::convert::Infallible>| match result {
                        Ok(429) => Verdict::Cool(Duration::from_secs(20)),
                        Ok(401) => Verdict::Kill,
                        _ => Verdict::Keep,
                    },
                ),
        )
        .service_fn(async |request: String| {
            Ok::<u16, std::convert::Infallible>(match &*request {
                "key=good" => 200,
                "key=limited" => 429,
                _ => 401,
            })
        });
    let mut answers = Vec::new();
    for _ in 0..5 {
        let service = service.ready().await.expect("always");
        answers.push(service.call("key=".to_owned()).await.expect("admitted"));
    }
    assert_eq!(answers, [200, 429, 401, 200, 200]);
    let states = gate.resources();
    assert!(states[1].cools_until.is_some() && states[2].killed && !states[0].killed);
}
