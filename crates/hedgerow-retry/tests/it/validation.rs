//! Every bad value is refused when built, with what to write.

use std::time::Duration;

use hedgerow_retry::{DeadlineLayer, Exponential, RetryBuildError, RetryLayer, TimeoutLayer};

use crate::support::{ms, secs};

fn says<T>(built: Result<T, RetryBuildError>, words: &str) {
    let Err(error) = built else {
        panic!("it was built, wanted {words:?}");
    };
    let text = error.to_string();
    assert!(text.contains(words), "{text:?} does not say {words:?}");
}

#[test]
fn bad_values_are_refused_with_what_to_write() {
    for n in [0, 65, usize::MAX] {
        says(
            RetryLayer::exponential().try_attempts(n),
            "write 1 (never retry) to 64",
        );
    }
    let zero = Duration::ZERO;
    says(
        RetryLayer::exponential().try_attempt_timeout(zero),
        "write a time above zero",
    );
    says(
        RetryLayer::exponential().try_deadline(zero),
        "write a time above zero",
    );
    says(TimeoutLayer::try_new(zero), "write a time above zero");
    says(DeadlineLayer::try_new(zero), "write a time above zero");
    for (base, cap) in [(zero, secs(1)), (secs(2), secs(1)), (secs(1), secs(86_401))] {
        says(
            Exponential::try_new(base, cap),
            "write 0 < base ≤ cap ≤ 24 h",
        );
    }
    for p in [0.0, 0.5, 100.0, -1.0, f64::NAN, f64::INFINITY] {
        says(
            RetryLayer::exponential().try_gate_percentile(p),
            "write a percentage from 1 to below 100",
        );
    }
    assert!(RetryLayer::exponential().try_gate_percentile(99.9).is_ok());
    assert!(Exponential::try_new(ms(1), ms(1)).is_ok());
}

#[test]
#[should_panic(expected = "write 1 (never retry) to 64")]
fn the_setter_panics_with_the_reason() {
    let _ = RetryLayer::exponential().attempts(0);
}

#[test]
fn debug_shows_the_settings() {
    let layer = RetryLayer::exponential().attempts(3).deadline(secs(9));
    let text = format!("{layer:?}");
    for word in ["exponential", "attempts: 3", "9s", "percent: 10.0"] {
        assert!(text.contains(word), "{text}");
    }
    assert!(format!("{:?}", DeadlineLayer::new(secs(9))).contains("9s"));
}
