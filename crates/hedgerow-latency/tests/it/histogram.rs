//! I1: the histogram.

use std::time::Duration;

use hedgerow_core::{Attempt, LatencyView};
use hedgerow_latency::{Latency, Snapshot};
use proptest::prelude::*;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use rand_distr::{Distribution, LogNormal};
use tokio::time::Instant;

fn relative(got: Duration, want: Duration) -> f64 {
    (got.as_secs_f64() / want.as_secs_f64() - 1.0).abs()
}

proptest! {
    /// Every quantile within 1 % of the sorted samples' order statistic, from 1 µs to 1 h.
    #[test]
    fn quantiles_are_within_one_percent(
        mut us in proptest::collection::vec(1u64..3_600_000_000, 1..300),
        q in 0.001..0.999f64,
    ) {
        let latency = Latency::new();
        for &us in &us {
            latency.record(Duration::from_micros(us));
        }
        us.sort_unstable();
        let rank = ((q * us.len() as f64).ceil() as usize).clamp(1, us.len());
        let want = Duration::from_micros(us[rank - 1]);
        let got = latency.total().quantile(q).expect("samples");
        prop_assert!(relative(got, want) <= 0.01, "{got:?} for {want:?}");
    }

    /// Cut-off samples only ever push a quantile up.
    #[test]
    fn a_cut_off_sample_never_lowers_a_quantile(
        us in proptest::collection::vec(1u64..100_000, 1..100),
        cut in proptest::collection::vec(1u64..100_000, 1..100),
        q in 0.01..0.99f64,
    ) {
        let latency = Latency::new();
        for us in us {
            latency.record(Duration::from_micros(us));
        }
        let before = latency.total().quantile(q).expect("samples");
        for us in cut {
            latency.record_censored(Duration::from_micros(us));
        }
        let after = latency.total().quantile(q).expect("samples");
        prop_assert!(after.as_secs_f64() >= before.as_secs_f64() * 0.99, "{before:?} {after:?}");
    }
}

/// The reason for the estimate: a race that ends at a delay hides the tail, and a plain percentile
/// over what was seen is far too low.
#[test]
fn the_tail_is_recovered_from_samples_that_were_cut_off() {
    let law = LogNormal::new(0.0, 0.8).expect("a valid law");
    let mut rng = StdRng::seed_from_u64(7);
    let (latency, mut answered) = (Latency::new(), Vec::new());
    let millis = |ms: f64| Duration::from_secs_f64(ms * 10.0 / 1_000.0);
    for _ in 0..100_000 {
        let (took, cut) = (law.sample(&mut rng), law.sample(&mut rng) + 1.5);
        if took <= cut {
            latency.record(millis(took));
            answered.push(took);
        } else {
            latency.record_censored(millis(cut));
        }
    }
    // Of a lognormal: exp(0.8 · 1.6449).
    let truth = millis((0.8f64 * 1.644_854).exp());
    let got = latency.total().quantile(0.95).expect("samples");
    assert!(relative(got, truth) < 0.03, "{got:?} for {truth:?}");
    answered.sort_by(f64::total_cmp);
    let naive = millis(answered[answered.len() * 95 / 100]);
    assert!(relative(naive, truth) > 0.1, "{naive:?}");
}

/// The window holds between one and two halves, from the first sample on.
#[tokio::test(start_paused = true)]
async fn there_is_no_dead_first_period_and_the_window_forgets_in_halves() {
    let latency = Latency::with_window(64);
    let mut now = Instant::now().into_std();
    for n in 1..=10_000u64 {
        now += Duration::from_millis(20);
        latency.record_attempt(now, Attempt::PRIMARY, Duration::from_millis(n), true);
        let held = latency.window().count();
        // A tick comes every 16 samples, and values are published every 250 ms.
        assert!(held >= n.min(64) && held <= 2 * 64 + 32, "{held} after {n}");
    }
    let oldest = latency.window().min().expect("samples");
    assert!(oldest >= Duration::from_millis(9_700), "{oldest:?}");
    assert_eq!(latency.total().count(), 10_000);
}

/// However fast samples come, the window is bounded.
#[tokio::test(start_paused = true)]
async fn a_flood_within_a_moment_fills_at_most_sixteen_halves() {
    let latency = Latency::with_window(64);
    let now = Instant::now().into_std();
    for n in 1..=10_000u64 {
        latency.record_attempt(now, Attempt::PRIMARY, Duration::from_millis(n), true);
        let held = latency.window().count();
        assert!(
            held >= n.min(64) && held <= 16 * 64 + 32,
            "{held} after {n}"
        );
    }
}

#[test]
fn windows_are_sized_for_their_quantile() {
    for (q, want) in [
        (0.5, 1_000),
        (0.95, 1_000),
        (0.99, 2_000),
        (0.999_9, 200_000),
    ] {
        let size = Latency::for_quantile(q).window_size();
        assert!(size >= want && size <= want + 1, "{q}: {size}");
    }
    for q in [1.0, f64::NAN, 2.0, -1.0, 0.999_999_999_999] {
        assert!(Latency::for_quantile(q).window_size() >= 1_000, "{q}");
    }
}

#[test]
fn published_quantiles_appear_early_and_are_read_without_a_pass() {
    let latency = Latency::new();
    assert_eq!((latency.quantile(0.9), latency.count()), (None, 0));
    for _ in 0..128 {
        latency.record(Duration::from_millis(5));
    }
    assert!(latency.count() >= 64);
    let got = latency.quantile(0.9).expect("published");
    assert!(relative(got, Duration::from_millis(5)) < 0.01);
}

#[test]
fn more_than_eight_quantiles_can_be_asked() {
    let latency = Latency::new();
    for n in 1..=1_000 {
        latency.record(Duration::from_micros(n));
    }
    latency.refresh();
    for k in 1..=20 {
        let got = latency.quantile(f64::from(k) / 21.0).expect("samples");
        assert!(relative(got, Duration::from_micros(u64::from(k as u16) * 1_000 / 21)) < 0.05);
    }
    assert_eq!(latency.quantile(0.0), None);
    assert_eq!(latency.quantile(1.5), None);
    assert_eq!(latency.quantile(f64::NAN), None);
}

#[test]
fn snapshots_merge_and_subtract() {
    let (one, two) = (Latency::new(), Latency::new());
    for n in 1..=500 {
        one.record(Duration::from_millis(n));
        two.record(Duration::from_millis(n + 500));
    }
    two.record_censored(Duration::from_millis(3));
    let mut both = one.total();
    both.merge(&two.total());
    assert_eq!(
        (both.answered(), both.censored(), both.count()),
        (1_000, 1, 1_001)
    );
    assert!(
        relative(
            both.quantile(0.5).expect("samples"),
            Duration::from_millis(500)
        ) < 0.011
    );
    assert_eq!(both.since(&two.total()), one.total());
    one.merge(&two.total());
    assert_eq!(one.total(), both);
    assert_eq!(one.window().count(), 500, "the window is not touched");
}

#[test]
fn a_snapshot_becomes_an_hdr_histogram() {
    let latency = Latency::new();
    for n in 1..=10_000 {
        latency.record(Duration::from_micros(n * 37));
    }
    let (snapshot, hdr) = (latency.total(), latency.total().to_hdr());
    assert_eq!(hdr.len(), 10_000);
    for q in [0.5, 0.9, 0.99, 0.999] {
        let ours = snapshot.quantile(q).expect("samples").as_micros() as f64;
        let theirs = hdr.value_at_quantile(q) as f64;
        assert!((ours / theirs - 1.0).abs() < 0.01, "{q}: {ours} {theirs}");
    }
    assert!((hdr.mean() / snapshot.mean().expect("samples").as_micros() as f64 - 1.0).abs() < 0.01);
    assert!(Snapshot::empty().to_hdr().is_empty());
}

#[test]
fn an_empty_snapshot_knows_nothing() {
    let empty = Snapshot::empty();
    assert_eq!(
        (empty.min(), empty.max(), empty.mean(), empty.quantile(0.5)),
        (None, None, None, None)
    );
}

#[test]
fn forgetting_clears_the_window_and_keeps_the_total() {
    let latency = Latency::new();
    for _ in 0..300 {
        latency.record(Duration::from_millis(5));
    }
    latency.forget();
    assert_eq!((latency.window().count(), latency.quantile(0.5)), (0, None));
    assert_eq!(latency.total().count(), 300);
}

#[test]
fn extremes_are_kept_in_range() {
    let latency = Latency::new();
    latency.record(Duration::ZERO);
    latency.record(Duration::MAX);
    let total = latency.total();
    assert_eq!(total.min(), Some(Duration::ZERO));
    assert!(total.max() >= Some(Duration::from_secs(3_600)));
}

#[test]
fn two_threads_lose_no_sample_and_readers_see_no_torn_total() {
    let latency = Latency::with_window(128);
    std::thread::scope(|s| {
        for seed in 0..2u64 {
            let latency = latency.clone();
            s.spawn(move || {
                let mut rng = StdRng::seed_from_u64(seed);
                for _ in 0..200_000 {
                    latency.record(Duration::from_micros(rng.random_range(1..1_000_000)));
                }
            });
        }
        let mut last = 0;
        for _ in 0..50 {
            let now = latency.total().count();
            assert!(now >= last, "{now} after {last}");
            last = now;
        }
    });
    assert_eq!(latency.total().count(), 400_000);
}

#[test]
fn bad_windows_say_what_to_write() {
    for half in [0, (1 << 31) + 1, u64::MAX] {
        let error = Latency::try_with_window(half).expect_err("out of range");
        assert!(
            error.to_string().contains("from 1 to 2147483648"),
            "{error}"
        );
    }
}

#[test]
#[should_panic(expected = "a latency window of 0 samples is out of range")]
fn an_empty_window_panics_with_the_reason() {
    let _ = Latency::with_window(0);
}

/// One of many keys: 16 buckets an octave, and the same estimate.
#[test]
fn a_coarse_histogram_is_within_a_sixteenth_and_on_a_smooth_law_within_two_percent() {
    let law = LogNormal::new(20f64.ln(), 0.8).expect("a valid law");
    let mut rng = StdRng::seed_from_u64(11);
    let (fine, coarse) = (Latency::new(), Latency::new().coarse());
    assert_eq!(coarse.window_size(), fine.window_size());
    for _ in 0..50_000 {
        let took = Duration::from_secs_f64(law.sample(&mut rng) / 1_000.0);
        fine.record(took);
        coarse.record(took);
    }
    for q in [0.5, 0.9, 0.95, 0.99, 0.999] {
        let exact = fine.total().quantile(q).expect("samples");
        let near = coarse.total().quantile(q).expect("samples");
        assert!(relative(near, exact) <= 0.02, "{q}: {near:?} for {exact:?}");
    }
}
