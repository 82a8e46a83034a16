//! B8: every bad value is refused when built, with what to change.

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
