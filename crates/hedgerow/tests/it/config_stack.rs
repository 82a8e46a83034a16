//! A stack from a file does what it says, around boxed services of plain requests.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use hedgerow::config::{Stack, StackConfig};
use hedgerow::{BoxError, DeadlineExceeded, LatencyView, cause_ref};
use tokio::time::{Instant, sleep};
use tower::util::BoxCloneSyncService;
use tower::{Layer, Service, ServiceExt};

type Client = BoxCloneSyncService<u32, u32, io::Error>;

/// The first attempt takes `first` ms, every later one `later`; counts those that began and ended.
fn client(first: u64, later: u64) -> (Client, Arc<[AtomicU32; 2]>) {
    let counts: Arc<[AtomicU32; 2]> = Arc::default();
    let counted = counts.clone();
    let service = tower::service_fn(move |request: u32| {
        let counts = counted.clone();
        async move {
            let nth = counts[0].fetch_add(1, Ordering::Relaxed);
            sleep(Duration::from_millis(if nth == 0 { first } else { later })).await;
            counts[1].fetch_add(1, Ordering::Relaxed);
            Ok(request + 1)
        }
    });
    (BoxCloneSyncService::new(service), counts)
}

fn read(counts: &[AtomicU32; 2]) -> [u32; 2] {
    [0, 1].map(|at| counts[at].load(Ordering::Relaxed))
}

fn stack(toml: &str) -> Stack {
    StackConfig::from_toml(toml).unwrap().build().unwrap()
}

async fn call(
    service: &mut impl Service<u32, Response = u32, Error = BoxError>,
) -> (Result<u32, BoxError>, Duration) {
    let start = Instant::now();
    let result = service.ready().await.unwrap().call(41).await;
    (result, start.elapsed())
}

#[tokio::test(start_paused = true)]
async fn a_stack_from_toml_hedges_around_a_boxed_service() {
    let stack = stack("[[layer]]\nkind = \"hedge\"\nstrategy = \"fixed\"\ndelay = \"50ms\"\n");
    let (client, counts) = client(1_000, 20);
    let mut service = stack.clone_requests().unwrap().layer(client);
    let (result, took) = call(&mut service).await;
    assert_eq!(result.unwrap(), 42);
    assert_eq!(took, Duration::from_millis(70));
    assert_eq!(read(&counts), [2, 1]);
    let stats = stack.hedges()[0].stats();
    assert_eq!((stats.requests, stats.fired, stats.hedge_wins), (1, 1, 1));
}

#[tokio::test(start_paused = true)]
async fn services_and_clones_of_one_stack_share_its_state() {
    let stack = stack(
        "[[layer]]\nkind = \"hedge\"\nstrategy = \"fixed\"\ndelay = \"50ms\"\nbudget = { percent = 0, depth = 1 }\n",
    );
    let layer = stack.clone().clone_requests().unwrap();
    let (one, counts) = client(1_000, 1_000);
    let (mut first, mut second) = (layer.layer(one.clone()), layer.clone().layer(one));
    assert_eq!(call(&mut first).await.1, Duration::from_millis(1_000));
    assert_eq!(call(&mut second).await.1, Duration::from_millis(1_000));
    // One token for both: two calls, one copy.
    assert_eq!(read(&counts)[0], 3);
    assert_eq!(stack.hedges()[0].stats().requests, 2);
}

#[tokio::test(start_paused = true)]
async fn a_call_ends_after_30_seconds_unless_something_else_is_written() {
    let (slow, _) = client(60_000, 60_000);
    let mut service = stack("").clone_requests().unwrap().layer(slow.clone());
    let (result, took) = call(&mut service).await;
    let error = result.unwrap_err();
    assert_eq!(
        cause_ref::<DeadlineExceeded>(&*error).unwrap().after,
        Duration::from_secs(30)
    );
    assert_eq!(error.to_string(), "the deadline passed after 30s");
    assert_eq!(took, Duration::from_secs(30));

    let mut service = stack("total_timeout = \"none\"")
        .clone_requests()
        .unwrap()
        .layer(slow.clone());
    assert_eq!(call(&mut service).await.1, Duration::from_secs(60));

    let mut service = stack("total_timeout = \"1.5s\"")
        .clone_requests()
        .unwrap()
        .layer(slow);
    assert_eq!(call(&mut service).await.1, Duration::from_millis(1_500));
}

#[tokio::test(start_paused = true)]
async fn a_timeout_beneath_a_hedge_ends_an_attempt_and_is_cut_off_in_the_latencies() {
    let stack = stack(
        "[[layer]]\nkind = \"hedge\"\nstrategy = \"fixed\"\ndelay = \"10s\"\nlatency = \"shared\"\n\
         [[layer]]\nkind = \"latency\"\n\
         [[layer]]\nkind = \"timeout\"\nafter = \"100ms\"\n",
    );
    let (client, counts) = client(5_000, 20);
    let mut service = stack.clone_requests().unwrap().layer(client);
    // The attempt is given up after 100 ms, and the next one is sent at once.
    let (result, took) = call(&mut service).await;
    assert_eq!((result.unwrap(), took), (42, Duration::from_millis(120)));
    assert_eq!(read(&counts), [2, 1]);
    let latency = &stack.latencies()[0];
    // One sample of a primary, known to be longer than 100 ms: no quantile stands on an answer.
    assert_eq!(latency.total().count(), 1);
    assert_eq!(latency.total().censored(), 1);
    assert_eq!(latency.extras().count(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_hedge_reads_what_the_latency_layer_beneath_records() {
    let stack = stack(
        "[[layer]]\nkind = \"hedge\"\nlatency = \"shared\"\npercentile = 90\n\
         [[layer]]\nkind = \"latency\"\nwindow = 400\n",
    );
    let (client, _) = client(30, 30);
    let mut service = stack.clone_requests().unwrap().layer(client);
    for _ in 0..200 {
        call(&mut service).await.0.unwrap();
    }
    let recorded = &stack.latencies()[0];
    assert_eq!(recorded.window_size(), 400);
    assert_eq!(stack.hedges()[0].latency().count(), recorded.count());
    assert_eq!(recorded.total().count(), 200);
}

#[tokio::test(start_paused = true)]
async fn a_drain_lets_the_loser_finish() {
    let with = |drain: &str| {
        stack(&format!(
            "[[layer]]\nkind = \"hedge\"\nstrategy = \"fixed\"\ndelay = \"50ms\"\n{drain}"
        ))
    };
    let drain = "[[layer]]\nkind = \"drain\"\npatience = \"2s\"\nat_most = 4\n";
    for (stack, ended) in [(with(drain), 2), (with(""), 1)] {
        let (client, counts) = client(1_000, 20);
        let mut service = stack.clone_requests().unwrap().layer(client);
        assert_eq!(call(&mut service).await.1, Duration::from_millis(70));
        sleep(Duration::from_secs(2)).await;
        assert_eq!(read(&counts), [2, ended]);
        let answered: u64 = stack
            .drains()
            .iter()
            .map(|drain| drain.stats().answered)
            .sum();
        assert_eq!(answered, u64::from(ended) - 1);
    }
}

#[tokio::test(start_paused = true)]
async fn a_shared_budget_is_the_outer_hedges() {
    let stack = stack(
        "[[layer]]\nkind = \"hedge\"\nstrategy = \"fixed\"\nbudget = { percent = 0, depth = 1 }\n\
         [[layer]]\nkind = \"hedge\"\nstrategy = \"fixed\"\nbudget = \"shared\"\n",
    );
    let hedges = stack.hedges();
    assert!(hedges[0].budget().shares_with(hedges[1].budget()));
    let (client, counts) = client(1_000, 1_000);
    let mut service = stack.clone_requests().unwrap().layer(client);
    call(&mut service).await.0.unwrap();
    assert_eq!(read(&counts)[0], 2);
}

#[tokio::test(start_paused = true)]
async fn off_and_observe_only_send_nothing_extra() {
    for keys in [
        "strategy = \"off\"",
        "strategy = \"fixed\"\nobserve_only = true",
    ] {
        let stack = stack(&format!("[[layer]]\nkind = \"hedge\"\n{keys}\n"));
        let (client, counts) = client(1_000, 20);
        let mut service = stack.clone_requests().unwrap().layer(client);
        assert_eq!(call(&mut service).await.1, Duration::from_millis(1_000));
        assert_eq!(read(&counts), [1, 1]);
    }
}

#[test]
fn layers_for_http_alone_are_refused_for_plain_requests() {
    let stack = stack(
        "[[layer]]\nkind = \"idempotent_paths\"\npaths = [\"/a\"]\n\
         [[layer]]\nkind = \"replay_body\"\n\
         [[layer]]\nkind = \"hedge\"\nkey = \"host\"\nprotocol = \"grpc\"\n\
         [[layer]]\nkind = \"send_deadline\"\n\
         [[layer]]\nkind = \"await_first\"\n\
         [[layer]]\nkind = \"receive_deadline\"\n",
    );
    let errors = stack.clone_requests::<u32>().unwrap_err();
    let keys: Vec<_> = errors
        .mistakes()
        .iter()
        .map(|mistake| mistake.key())
        .collect();
    assert_eq!(
        keys,
        [
            "layer[0].kind",
            "layer[1].kind",
            "layer[2].protocol",
            "layer[2].key",
            "layer[3].kind",
            "layer[4].kind",
            "layer[5].kind"
        ]
    );
    assert!(errors.to_string().contains("build the stack with .http()"));
}

#[tokio::test(start_paused = true)]
async fn every_strategy_hedges_from_a_file() {
    for (keys, ms) in [
        ("strategy = \"fixed\"", 120),
        ("strategy = \"percentile\"", 120),
        ("strategy = \"percentile\"\ninitial = \"30ms\"", 50),
        ("strategy = \"schedule\"\ndelays = [\"40ms\", \"45ms\"]", 60),
        ("strategy = \"parallel\"\ncopies = 2", 20),
        (
            "strategy = \"adaptive\"\ndelays = [\"70ms\", \"70000us\", \"71ms\"]",
            0,
        ),
        ("strategy = \"backoff\"\nbase = \"15ms\"", 35),
    ] {
        let toml = format!("[[layer]]\nkind = \"hedge\"\n{keys}\n");
        if ms == 0 {
            // Written in two ways, it is one delay twice.
            assert!(StackConfig::from_toml(&toml).is_err());
            continue;
        }
        let (client, _) = client(1_000, 20);
        let mut service = stack(&toml).clone_requests().unwrap().layer(client);
        assert_eq!(
            call(&mut service).await.1,
            Duration::from_millis(ms),
            "{keys}"
        );
    }
    let (client, _) = client(1_000, 20);
    let arms =
        "[[layer]]\nkind = \"hedge\"\nstrategy = \"adaptive\"\ndelays = [\"70ms\", \"80ms\"]\n";
    let mut service = stack(arms).clone_requests().unwrap().layer(client);
    let took = call(&mut service).await.1.as_millis();
    assert!(took == 90 || took == 100, "{took}");
}
