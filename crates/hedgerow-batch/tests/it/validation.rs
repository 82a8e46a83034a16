//! Every bad value is refused when built, with what to write.

use std::time::Duration;

use hedgerow_batch::telemetry::Traces;
use hedgerow_batch::{Adaptive, BatchBuildError, BatchLayer};

fn says<T>(built: Result<T, BatchBuildError>, words: &str) {
    let Err(error) = built else {
        panic!("it was built, wanted {words:?}");
    };
    let text = error.to_string();
    assert!(text.contains(words), "{text:?} does not say {words:?}");
}

fn layer() -> BatchLayer<u64, u64> {
    BatchLayer::idle()
}

#[test]
fn bad_values_are_refused_with_what_to_write() {
    for n in [0, 1_000_001] {
        says(layer().try_max_size(n), "write 1 to 1000000");
    }
    says(layer().try_max_weight(0, |n: &u64| *n), "write 1 or more");
    for n in [0, 100_000_001] {
        says(layer().try_max_queued(n), "write 1 to 100000000");
    }
    for n in [0, 100_001] {
        says(
            layer().try_max_in_flight(n),
            "write 1 (one after the other)",
        );
    }
    says(
        layer().try_timeout(Duration::ZERO),
        "write a time above zero",
    );
    says(
        layer().try_prefer([0]),
        "write 1 to the largest size, which is 100",
    );
    says(layer().try_prefer([8, 101]), "a preferred size of 101");
    says(layer().prefer([64]).try_max_size(32), "which is 32");
    says(
        Adaptive::new().try_cost(Duration::from_secs(3_601)),
        "write up to 1 h",
    );
    says(Traces::new().try_prefix("9"), "first a letter");
}

#[test]
#[should_panic(expected = "write 1 to 1000000")]
fn the_plain_setter_panics_with_the_same_words() {
    let _ = layer().max_size(0);
}

#[test]
fn a_layer_says_its_settings() {
    let text = format!("{:?}", layer().max_size(7).timeout(Duration::from_secs(3)));
    for part in ["\"idle\"", "max_size: 7", "timeout: Some(3s)"] {
        assert!(text.contains(part), "{text}");
    }
}
