//! Promises of the workload laws.

use hedgerow_sim::Law;
use rand::SeedableRng;
use rand::rngs::StdRng;
use rand_distr::Distribution;

#[test]
fn quantiles_agree_with_the_published_table() {
    let table = [
        (
            Law::w1(),
            [(20.0, 0.05), (74.6, 0.05), (128.6, 0.05), (237.0, 0.5)],
        ),
        (
            Law::w2(),
            [(3.8, 0.05), (30.5, 0.05), (131.6, 0.05), (1_067.0, 0.5)],
        ),
        (
            Law::w3(),
            [(4.8, 0.05), (17.5, 0.05), (64.2, 0.05), (102.4, 0.05)],
        ),
        (
            Law::w4(),
            [(7.1, 0.05), (34.9, 0.05), (407.9, 0.05), (1_099.0, 0.5)],
        ),
    ];
    for (law, row) in table {
        for (q, (published, rounding)) in [0.5, 0.95, 0.99, 0.999].into_iter().zip(row) {
            let exact = law.quantile(q);
            assert!(
                (exact - published).abs() <= rounding,
                "{law} at {q}: {exact} for {published}"
            );
        }
    }
}

#[test]
fn the_slowest_of_100_leaves_of_w0_has_its_p999_at_1_8_s() {
    let share_of_one_leaf = 0.999_f64.powf(0.01);
    let slowest = Law::w0().quantile(share_of_one_leaf);
    assert!((slowest - 1_799.0).abs() <= 1.0, "{slowest}");
}

#[test]
fn quantile_and_survival_are_inverse() {
    for law in Law::all() {
        for q in [0.001, 0.1, 0.5, 0.9, 0.98, 0.999, 0.999_999] {
            let back = law.cdf(law.quantile(q));
            assert!((back - q).abs() < 1e-12, "{law} at {q}: {back}");
        }
    }
}

#[test]
fn survival_falls_from_one_to_nothing() {
    for law in Law::all() {
        assert_eq!(law.survival(-1.0), 1.0, "{law}");
        assert!((law.survival(0.0) - 1.0).abs() < 1e-12, "{law}");
        let mut last = 1.0;
        for step in 0..4_000 {
            let now = law.survival(1.01_f64.powi(step - 500));
            assert!(now <= last, "{law} at step {step}");
            last = now;
        }
        assert!(last < 1e-12, "{law}: {last}");
    }
}

/// The share of draws within the true quantile is binomial: five standard deviations.
#[test]
fn sampled_quantiles_agree_with_the_closed_form() {
    const DRAWS: usize = 200_000;
    for seed in [1, 2, 3] {
        for law in Law::all() {
            let mut rng = StdRng::seed_from_u64(seed);
            let drawn: Vec<f64> = (&mut rng, &law).draw(DRAWS);
            for q in [0.05, 0.5, 0.95, 0.99, 0.999] {
                let exact = law.quantile(q);
                let within = drawn.iter().filter(|ms| **ms <= exact).count() as f64 / DRAWS as f64;
                let deviation = (q * (1.0 - q) / DRAWS as f64).sqrt();
                assert!(
                    (within - q).abs() <= 5.0 * deviation,
                    "{law}, seed {seed}: {within} of the draws are within p{q}"
                );
            }
        }
    }
}

trait Draw {
    fn draw(self, count: usize) -> Vec<f64>;
}

impl Draw for (&mut StdRng, &Law) {
    fn draw(self, count: usize) -> Vec<f64> {
        Distribution::sample_iter(self.1.clone(), self.0)
            .take(count)
            .collect()
    }
}

#[test]
fn the_same_seed_draws_the_same_latencies() {
    for law in Law::all() {
        let draws = |seed| (&mut StdRng::seed_from_u64(seed), &law).draw(100);
        assert_eq!(draws(9), draws(9), "{law}");
        assert_ne!(draws(9), draws(10), "{law}");
    }
}

#[test]
fn a_law_is_found_by_its_id_in_either_case() {
    for law in Law::all() {
        let written = format!(" {} ", law.id().to_uppercase());
        let found = written.parse::<Law>().expect("a law of the catalogue");
        assert_eq!(found.id(), law.id());
        assert!(!law.name().is_empty() && !law.description().is_empty());
    }
}

#[test]
fn an_unknown_workload_is_refused_with_what_there_is() {
    for written in ["w9", "", "4", "w4 w3"] {
        let error = written.parse::<Law>().expect_err("no such law").to_string();
        assert!(error.contains("w0, w1, w2, w3, w4"), "{error}");
    }
}

#[test]
#[should_panic(expected = "write a share, 0 ≤ q < 1")]
fn a_percent_for_a_share_is_refused() {
    let _ = Law::w4().quantile(99.0);
}
