//! When a batch is sent, and what is in it.

use futures::future::{join, join_all};
use hedgerow_batch::{BatchLayer, Decision, Idle, Linger, Reason, Waiting};
use tokio::time::{Instant, sleep};
use tower::Layer;

use crate::support::{call, doubling, ends, ms};

fn strict(linger: u64) -> Linger {
    Linger::new(ms(linger)).strict()
}

#[tokio::test(start_paused = true)]
async fn g1_as_many_as_a_batch_may_have_are_sent_at_once() {
    let backend = doubling(0);
    let service = BatchLayer::new(strict(1_000))
        .max_size(3)
        .layer(backend.clone());
    let start = Instant::now();
    let got = ends(join_all((0..6).map(|n| call(&service, n)))).await;
    assert!(start.elapsed() < ms(1));
    let got: Vec<u64> = got.into_iter().map(Result::unwrap).collect();
    assert_eq!(got, [0, 2, 4, 6, 8, 10]);
    assert_eq!(backend.batches(), [(0, vec![0, 1, 2]), (0, vec![3, 4, 5])]);
}

#[tokio::test(start_paused = true)]
async fn g1_no_batch_is_heavier_than_it_may_be_and_a_full_weight_is_sent_at_once() {
    let backend = doubling(0);
    let layer = BatchLayer::new(strict(50)).max_weight(10, |weight: &u64| *weight);
    let service = layer.layer(backend.clone());
    ends(join_all([4, 4, 4, 3, 25, 1].map(|n| call(&service, n)))).await;
    let batches = backend.batches();
    // The one that is heavier than any batch goes alone, the last one lingers.
    let wanted = [
        (0, vec![4, 4]),
        (0, vec![4, 3]),
        (0, vec![25]),
        (50, vec![1]),
    ];
    assert_eq!(batches, wanted);
}

#[tokio::test(start_paused = true)]
async fn g1_the_linger_counts_from_the_first_item() {
    let backend = doubling(0);
    let service = BatchLayer::new(strict(50)).layer(backend.clone());
    let late = |after, n| {
        let service = service.clone();
        async move {
            sleep(ms(after)).await;
            call(&service, n).await
        }
    };
    ends(join_all([
        late(10, 1),
        late(40, 2),
        late(59, 3),
        late(61, 4),
    ]))
    .await;
    assert_eq!(backend.batches(), [(60, vec![1, 2, 3]), (111, vec![4])]);
}

#[tokio::test(start_paused = true)]
async fn g2_several_batches_are_in_flight() {
    let backend = doubling(200);
    let service = BatchLayer::idle().max_size(2).layer(backend.clone());
    let start = Instant::now();
    ends(join_all((0..8).map(|n| call(&service, n)))).await;
    assert!(start.elapsed() <= ms(201), "{:?}", start.elapsed());
    assert_eq!((backend.sizes(), backend.most_alive()), (vec![2; 4], 4));
}

#[tokio::test(start_paused = true)]
async fn batches_in_flight_are_bounded_and_meanwhile_what_waits_grows_together() {
    let backend = doubling(100);
    let layer = BatchLayer::new(strict(0)).max_size(10).max_in_flight(2);
    let service = layer.layer(backend.clone());
    let drip = (0..20).map(|n| {
        let service = service.clone();
        async move {
            sleep(ms(n)).await;
            call(&service, n).await.unwrap()
        }
    });
    ends(join_all(drip)).await;
    assert_eq!(backend.most_alive(), 2);
    let batches = backend.batches();
    assert_eq!(batches[0], (0, vec![0]));
    // The timer's grain: what is due at 1 ms is sent at 1 ms.
    assert_eq!(batches[1], (1, vec![1]));
    assert_eq!(batches[2], (100, (2..12).collect()));
    assert_eq!(batches[3], (101, (12..20).collect()));
    assert_eq!(batches.len(), 4);
}

#[tokio::test(start_paused = true)]
async fn no_batch_is_heavier_by_one_and_none_waits_that_is_as_heavy_as_may_be() {
    let backend = doubling(100);
    let layer = BatchLayer::new(strict(50)).max_weight(10, |n: &u64| *n);
    let service = layer.layer(backend.clone());
    // 4 and 4 are 8; with the 3 they would be 11. 3 and 7 are all that may be, and do not wait.
    ends(join_all([4, 4, 3, 7].map(|n| call(&service, n)))).await;
    assert_eq!(backend.batches(), [(0, vec![4, 4]), (0, vec![3, 7])]);
    // 9 is not enough to go at once.
    let start = Instant::now();
    ends(join_all([5, 4].map(|n| call(&service, n)))).await;
    assert_eq!(start.elapsed(), ms(150));
    assert_eq!(backend.batches()[2].1, [5, 4]);
}

#[tokio::test(start_paused = true)]
async fn g8_a_lone_caller_with_an_idle_backend_never_waits_whatever_the_linger() {
    for linger in [1, 5, 3_600_000] {
        let backend = doubling(0);
        let service = BatchLayer::linger(ms(linger)).layer(backend.clone());
        for n in 0..3 {
            let start = Instant::now();
            call(&service, n).await.unwrap();
            assert!(start.elapsed() < std::time::Duration::from_micros(100));
            sleep(ms(7)).await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_idle_backend_gets_what_waits_as_soon_as_it_is_done() {
    let backend = doubling(30);
    let service = BatchLayer::new(Idle::new()).layer(backend.clone());
    let drip = (0..10).map(|n| {
        let service = service.clone();
        async move {
            sleep(ms(n * 5)).await;
            call(&service, n).await.unwrap()
        }
    });
    ends(join_all(drip)).await;
    let wanted = [
        (0, vec![0]),
        (30, (1..6).collect()),
        (60, (6..10).collect::<Vec<_>>()),
    ];
    let mut batches = backend.batches();
    // Whether the one at 30 ms is in the second or the third batch is a tie of the clock.
    if batches[1].1.len() == 6 {
        batches[1].1.pop();
        batches[2].1.insert(0, 6);
    }
    assert_eq!(batches, wanted);
}

#[tokio::test(start_paused = true)]
async fn items_of_different_partitions_never_share_a_batch_and_each_has_its_own_linger() {
    let backend = doubling(0);
    let layer = BatchLayer::new(strict(10))
        .max_size(4)
        .partition(|n: &u64| n % 3);
    let service = layer.layer(backend.clone());
    let late = async {
        sleep(ms(5)).await;
        call(&service, 32).await
    };
    let early = join_all((0..8).map(|n| call(&service, n * 3 % 8)));
    ends(join(early, late)).await.1.unwrap();
    for (_, items) in backend.batches() {
        assert!(items.iter().all(|n| n % 3 == items[0] % 3), "{items:?}");
    }
    let mut seen: Vec<_> = backend
        .batches()
        .into_iter()
        .flat_map(|(_, items)| items)
        .collect();
    seen.sort_unstable();
    assert_eq!(seen, [0, 1, 2, 3, 4, 5, 6, 7, 32]);
    assert_eq!(backend.times(), [10, 10, 10]);
}

#[tokio::test(start_paused = true)]
async fn a_busy_backend_of_one_partition_makes_no_other_wait() {
    let backend = doubling(100);
    let layer = BatchLayer::idle().partition(|n: &u64| n % 2);
    let service = layer.layer(backend.clone());
    let late = |after, n| {
        let service = service.clone();
        async move {
            sleep(ms(after)).await;
            call(&service, n).await
        }
    };
    ends(join_all([late(0, 0), late(1, 2), late(2, 1), late(3, 4)])).await;
    assert_eq!(
        backend.batches(),
        [(0, vec![0]), (2, vec![1]), (100, vec![2, 4])]
    );
}

#[tokio::test(start_paused = true)]
async fn ten_thousand_partitions_come_and_go() {
    let backend = doubling(1);
    let layer = BatchLayer::idle().partition(|n: &u64| *n);
    let service = layer.layer(backend.clone());
    for round in 0..2 {
        let calls = (0..5_000_u64).map(|n| call(&service, round * 5_000 + n));
        for got in ends(join_all(calls)).await {
            got.unwrap();
        }
    }
    assert_eq!(backend.sizes(), vec![1; 10_000]);
}

#[tokio::test(start_paused = true)]
async fn of_what_waits_the_largest_preferred_size_goes() {
    let backend = doubling(0);
    let layer = BatchLayer::new(strict(10)).max_size(16).prefer([8, 4]);
    let service = layer.layer(backend.clone());
    ends(join_all((0..15).map(|n| call(&service, n)))).await;
    // All of them have lingered when the first has.
    assert_eq!(backend.sizes(), [8, 4, 3]);
    assert_eq!(backend.times(), [10, 10, 10]);
}

#[tokio::test(start_paused = true)]
async fn a_policy_of_ones_own_is_asked_at_the_count_and_the_time_that_it_names() {
    let backend = doubling(0);
    let pairs = |waiting: &Waiting| {
        if waiting.count >= 2 || waiting.age >= ms(20) {
            return Decision::Send(Reason::Policy);
        }
        Decision::wait().for_count(2).at_most(ms(20) - waiting.age)
    };
    let service = BatchLayer::new(pairs).layer(backend.clone());
    let late = async {
        sleep(ms(5)).await;
        call(&service, 3).await
    };
    let early = join_all((0..2).map(|n| call(&service, n)));
    ends(join(early, late)).await.1.unwrap();
    assert_eq!(backend.batches(), [(0, vec![0, 1]), (25, vec![3])]);
}

#[tokio::test(start_paused = true)]
async fn a_policy_that_always_waits_sends_only_what_is_full_and_is_not_asked_for_ever() {
    let backend = doubling(0);
    let never = |_: &Waiting| Decision::wait().for_count(1).at_most(ms(0));
    let service = BatchLayer::new(never).max_size(2).layer(backend.clone());
    let got = tokio::time::timeout(ms(100), call(&service, 1)).await;
    assert!(got.is_err());
    ends(join(call(&service, 2), call(&service, 3)))
        .await
        .0
        .unwrap();
    assert_eq!(backend.batches(), [(100, vec![2, 3])]);
}

#[tokio::test(start_paused = true)]
async fn a_policy_that_panics_sends() {
    let backend = doubling(0);
    let broken = |_: &Waiting| -> Decision { panic!("on purpose") };
    let service = BatchLayer::new(broken).layer(backend.clone());
    assert_eq!(call(&service, 4).await.unwrap(), 8);
    assert_eq!(call(&service, 5).await.unwrap(), 10);
}
