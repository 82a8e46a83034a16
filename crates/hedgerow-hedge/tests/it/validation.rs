//! B8: every bad value is refused when built, with what to change.

use hedgerow_hedge::policy::{BackoffConfig, Factors};
use hedgerow_hedge::{BuildError, HedgeLayer};

use crate::support::ms;

fn says(error: &BuildError, words: &str) {
    let text = error.to_string();
    assert!(text.contains(words), "{text:?} does not say {words:?}");
}

#[test]
fn a_fraction_for_a_percentile_is_refused_with_what_was_meant() {
    says(
        &HedgeLayer::try_percentile(0.95).unwrap_err(),
        "did you mean 95?",
    );
    says(
        &HedgeLayer::try_percentile(0.07).unwrap_err(),
        "did you mean 7?",
    );
    says(
        &HedgeLayer::try_percentile(0.999).unwrap_err(),
        "did you mean 99.9?",
    );
}

#[test]
fn percentiles_out_of_range_are_refused() {
    for p in [100.0, 101.0, 0.0, -5.0, f64::NAN, f64::INFINITY] {
        says(
            &HedgeLayer::try_percentile(p).unwrap_err(),
            "from 1 to below 100",
        );
    }
    for p in [1.0, 50.0, 95.0, 99.99, 99.999_9] {
        assert!(HedgeLayer::try_percentile(p).is_ok(), "{p}");
    }
}

#[test]
#[should_panic(expected = "did you mean 95?")]
fn the_constructor_panics_with_the_reason() {
    let _ = HedgeLayer::percentile(0.95);
}

#[test]
#[should_panic(expected = "did you mean 99 or 99.9?")]
fn a_hundredth_percentile_panics_with_the_reason() {
    let _ = HedgeLayer::percentile(100);
}

#[test]
fn zero_and_too_many_hedges_are_refused() {
    for n in [0, 65, usize::MAX] {
        let error = HedgeLayer::fixed(ms(1)).try_max_hedges(n).unwrap_err();
        says(&error, "write 1 to 64, or use HedgeLayer::off()");
    }
}

#[test]
#[should_panic(expected = "HedgeLayer::off() for none")]
fn zero_hedges_panic_with_the_reason() {
    let _ = HedgeLayer::fixed(ms(1)).max_hedges(0);
}

#[test]
fn zero_and_too_many_copies_are_refused() {
    for n in [0, 66] {
        says(
            &HedgeLayer::try_parallel(n).unwrap_err(),
            "write 1 (no hedge) to 65",
        );
    }
}

#[test]
fn bad_schedules_are_refused() {
    says(
        &HedgeLayer::try_schedule([]).unwrap_err(),
        "one delay per extra attempt",
    );
    let error = HedgeLayer::try_schedule([ms(20), ms(10)]).unwrap_err();
    says(&error, "goes back from 20ms to 10ms");
    let many = HedgeLayer::try_schedule((0..65).map(ms)).unwrap_err();
    says(&many, "1 to 64");
    assert!(HedgeLayer::try_schedule([ms(0), ms(0), ms(5)]).is_ok());
}

#[test]
fn an_empty_clamp_and_an_empty_window_are_refused() {
    let error = HedgeLayer::percentile(95)
        .try_clamp(ms(20), ms(10))
        .unwrap_err();
    says(&error, "write the smaller delay first");
    let error = HedgeLayer::percentile(95).try_window(0).unwrap_err();
    says(&error, "a latency window of 0 samples is out of range");
    says(&error, "from 1 to 2147483648");
}

#[test]
fn delays_to_choose_from_are_two_to_64_ascending_and_within_an_hour() {
    let refused = |delays: &[u64]| {
        let delays = delays.iter().copied().map(ms);
        HedgeLayer::try_adaptive(delays).unwrap_err()
    };
    says(&refused(&[]), "0 delays to choose from");
    says(&refused(&[50]), "write 2 to 64");
    let many: Vec<u64> = (0..65).collect();
    says(&refused(&many), "write 2 to 64");
    says(&refused(&[50, 20]), "go from 50ms to 20ms");
    says(&refused(&[50, 50]), "write each once");
    says(&refused(&[50, 3_600_001]), "write at most 3600s");
    assert!(HedgeLayer::try_adaptive([ms(0), ms(3_600_000)]).is_ok());
}

#[test]
fn a_rate_of_forgetting_is_a_share() {
    for rate in [0.0, 1.0, -0.1, 10.0, f64::NAN] {
        let error = HedgeLayer::adaptive([ms(1), ms(2)])
            .try_forgetting(rate)
            .unwrap_err();
        says(&error, "above 0 and below 1");
    }
}

#[test]
fn a_backoff_begins_within_its_limits() {
    let config = BackoffConfig::default();
    for bad in [
        config.base(ms(9)),
        config.base(ms(5_001)),
        config.min(ms(200)),
        config.max(ms(99)),
        config.min(ms(0)),
        config.max(ms(3_600_001)),
    ] {
        says(
            &HedgeLayer::try_backoff(bad).unwrap_err(),
            "1 ms ≤ min ≤ base ≤ max ≤ 1 h",
        );
    }
    assert!(HedgeLayer::try_backoff(config.min(ms(100)).max(ms(100))).is_ok());
}

#[test]
#[should_panic(expected = "begins at 9ms")]
fn a_bad_backoff_panics_with_the_reason() {
    let _ = HedgeLayer::backoff(BackoffConfig::default().base(ms(9)));
}

#[test]
#[should_panic(expected = "write 2 to 64")]
fn a_single_delay_to_choose_from_panics_with_the_reason() {
    let _ = HedgeLayer::adaptive([ms(9)]);
}

#[test]
fn factors_without_room_are_refused() {
    let error = Factors::default().try_between(ms(20), ms(10)).unwrap_err();
    says(&error, "write the smaller one first");
    assert!(HedgeLayer::try_workload(|_: &u64| ms(1)).is_ok());
}
