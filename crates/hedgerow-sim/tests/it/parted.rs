//! Limits over several parts: against the plain limit, against draws, and against figures that were
//! found elsewhere.

use hedgerow_sim::{Law, LimitPart, PartedLimit, Spending, Workload};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

const CALLS: usize = 1_000_000;

fn laws() -> [Law; 4] {
    [Law::w1(), Law::w2(), Law::w3(), Law::w4()]
}

fn limit(parts: &[LimitPart], q: f64, extra: f64, hedges: usize, how: Spending) -> PartedLimit {
    LimitPart::limit(parts, q, extra, hedges, how)
}

fn catalogue(name: &str, calls: u64) -> (Vec<LimitPart>, Spending) {
    let workload = Workload::named(name).expect("it is in the catalogue");
    workload.parts(calls).expect("a limit is known")
}

#[test]
fn of_equal_parts_the_limit_is_the_plain_one() {
    for law in laws() {
        for (q, hedges, loads) in [(0.99, 1, &[0.02, 0.1][..]), (0.999, 2, &[0.02])] {
            for &extra in loads {
                let plain = law.limit(q, extra, hedges).ms;
                let equal = [1.0, 2.0].map(|weight| LimitPart::new(weight, law.clone(), 1.0));
                let each = limit(&equal, q, extra, hedges, Spending::Each).quantile;
                let together = limit(&equal, q, extra, hedges, Spending::Together).quantile;
                eprintln!("{law} {q} {extra}: {plain}, each {each}, together {together}");
                assert!((each / plain - 1.0).abs() < 1e-6, "{law} {q} {extra}");
                // Two schedules may be mixed where the plain limit has one.
                let off = together / plain - 1.0;
                let lowest = if hedges == 1 { -1e-6 } else { -0.0025 };
                assert!((lowest..1e-6).contains(&off), "{law} {q} {extra}: {off}");
            }
        }
    }
}

/// The one place where a mixture of two schedules is far better than any single one.
#[test]
fn w3_at_five_percent_is_better_served_by_two_schedules() {
    let plain = Law::w3().limit(0.999, 0.05, 2).ms;
    let alone = [LimitPart::new(1.0, Law::w3(), 1.0)];
    let found = limit(&alone, 0.999, 0.05, 2, Spending::Together);
    assert!(
        (0.95..0.97).contains(&(found.quantile / plain)),
        "{found:?}"
    );
    assert_draws(&alone, &found, (0.999, 0.05), Spending::Together);
}

#[test]
fn a_factor_scales_a_limit() {
    let plain = Law::w4().limit(0.99, 0.05, 1).ms;
    for spending in [Spending::Each, Spending::Together] {
        let parts = [LimitPart::new(3.0, Law::w4(), 2.5)];
        let found = limit(&parts, 0.99, 0.05, 1, spending).quantile;
        assert!((found / (2.5 * plain) - 1.0).abs() < 1e-6, "{found}");
    }
}

/// The schedules of a limit, drawn: each part, or all of them, stay in the load, and the quantile of
/// all calls is the limit.
#[track_caller]
fn assert_draws(parts: &[LimitPart], found: &PartedLimit, (q, extra): (f64, f64), how: Spending) {
    let weights: f64 = parts.iter().map(|part| part.weight).sum();
    let mut rng = StdRng::seed_from_u64(5);
    let (mut beyond, mut all, mut sent_in_all) = (0_u64, 0_usize, 0_usize);
    for (part, schedules) in parts.iter().zip(&found.schedules) {
        let calls = (CALLS as f64 * part.weight / weights).round() as usize;
        let mut sent = 0;
        for _ in 0..calls {
            let mut ticket: f64 = rng.random();
            let schedule = schedules.iter().find(|schedule| {
                ticket -= schedule.chance;
                ticket < 0.0
            });
            let schedule = schedule.unwrap_or(&schedules[schedules.len() - 1]);
            let mut ends = part.factor * part.law.sample(&mut rng);
            for (delay, share) in schedule.delays.iter().zip(&schedule.shares) {
                if ends > *delay && rng.random_bool(*share) {
                    sent += 1;
                    ends = ends.min(delay + part.factor * part.law.sample(&mut rng));
                }
            }
            beyond += u64::from(ends > found.quantile);
        }
        if how == Spending::Each {
            assert_share(sent, calls, extra, "extra in a part");
        }
        (all, sent_in_all) = (all + calls, sent_in_all + sent);
    }
    assert_share(sent_in_all, all, extra, "extra in all");
    assert_share(beyond as usize, all, 1.0 - q, "beyond the limit");
}

/// Within five standard deviations; a second copy makes them a little larger.
#[track_caller]
fn assert_share(count: usize, of: usize, wanted: f64, what: &str) {
    let got = count as f64 / of as f64;
    let sd = (2.0 * wanted * (1.0 - wanted) / of as f64).sqrt();
    assert!(
        (got - wanted).abs() <= 5.0 * sd,
        "{what}: {got} for {wanted}"
    );
}

#[test]
fn drawn_schedules_reach_the_limit_of_three_regimes() {
    let (parts, spending) = catalogue("w7", 100_000);
    assert_eq!(spending, Spending::Each);
    let weights: Vec<_> = parts.iter().map(|part| part.weight).collect();
    assert_eq!(
        weights,
        [30_000.0, 30_000.0, 40_000.0],
        "the last one goes on"
    );
    for (q, hedges) in [(0.99, 1), (0.999, 2)] {
        let found = limit(&parts, q, 0.05, hedges, spending);
        eprintln!("w7 {q}: {found:?} of {}", LimitPart::quantile(&parts, q));
        assert_draws(&parts, &found, (q, 0.05), spending);
    }
}

#[test]
fn drawn_schedules_reach_the_limit_of_a_wave() {
    let (parts, spending) = catalogue("w8", 100_000);
    assert_eq!((parts.len(), spending), (64, Spending::Each));
    let found = limit(&parts, 0.99, 0.05, 1, spending);
    eprintln!(
        "w8: {} of {}",
        found.quantile,
        LimitPart::quantile(&parts, 0.99)
    );
    assert_draws(&parts, &found, (0.99, 0.05), spending);
}

#[test]
fn the_pieces_of_a_wave_have_its_quantiles() {
    let workload = Workload::named("w8").expect("it is in the catalogue");
    let (parts, _) = catalogue("w8", 100_000);
    // Every tenth call, each with its own factor.
    let law = |number| workload.at(number, 0);
    for q in [0.5, 0.99, 0.999] {
        let at = LimitPart::quantile(&parts, q);
        let numbers = (0..100_000).step_by(10);
        let beyond: f64 = numbers.map(|n| law(n).0.survival(at / law(n).1)).sum();
        let share = beyond / 10_000.0;
        assert!((share / (1.0 - q) - 1.0).abs() < 1e-3, "{q}: {share}");
    }
    // A quarter of it is a steady rise.
    let (rise, _) = catalogue("w8", 25_000);
    assert!(rise.iter().all(|part| part.factor <= 2.001), "{rise:?}");
}

/// A slowdown of 4.84 was found for no hedge, 4.68 for the best single delay, 3.35 for a policy that
/// knows the classes: what no policy can do better than has to lie below.
#[test]
fn classes_have_their_limit_where_measured_policies_leave_room() {
    let (parts, spending) = catalogue("w10", 100_000);
    assert_eq!(spending, Spending::Together);
    let none = LimitPart::quantile(&parts, 0.99);
    let single = best_single_delay(&parts, 0.99, 0.05);
    let found = limit(&parts, 0.99, 0.05, 1, spending);
    eprintln!("w10: none {none}, single delay {single}, limit {found:?}");
    assert!((none / 4.84 - 1.0).abs() < 0.02, "{none}");
    assert!((single / 4.68 - 1.0).abs() < 0.02, "{single}");
    assert!((2.9..3.35).contains(&found.quantile), "{found:?}");
    assert_draws(&parts, &found, (0.99, 0.05), spending);
}

/// One delay in ms for all classes, the best of many; reached by more calls than the load allows, a
/// share of them is hedged.
fn best_single_delay(parts: &[LimitPart], q: f64, extra: f64) -> f64 {
    let sum = |of: &dyn Fn(&LimitPart) -> f64| -> f64 {
        parts.iter().map(|part| part.weight * of(part)).sum()
    };
    let reached = |delay: f64| sum(&|part| part.law.survival(delay));
    let beyond = |t: f64, delay: f64| {
        let share = (extra / reached(delay)).min(1.0);
        sum(&|part| {
            let ms = t / part.factor;
            part.law.survival(ms) * (1.0 - share * part.law.cdf(ms - delay))
        })
    };
    let delays: Vec<f64> = (0..80).map(|n| 500.0 * 1.05_f64.powi(n)).collect();
    let fits = |t: f64| delays.iter().any(|&delay| beyond(t, delay) <= 1.0 - q);
    let (mut below, mut within) = (1.0, LimitPart::quantile(parts, q));
    for _ in 0..12 {
        let middle = f64::midpoint(below, within);
        if fits(middle) {
            within = middle;
        } else {
            below = middle;
        }
    }
    within
}

#[test]
fn what_the_parts_may_lend_each_other_never_hurts() {
    for name in ["w7", "w10"] {
        let (parts, _) = catalogue(name, 90_000);
        let each = limit(&parts, 0.99, 0.05, 1, Spending::Each).quantile;
        let together = limit(&parts, 0.99, 0.05, 1, Spending::Together).quantile;
        eprintln!("{name}: each {each}, together {together}");
        assert!(together <= each * (1.0 + 1e-6));
    }
}

#[test]
fn where_no_limit_is_known_there_are_no_parts() {
    let mut text = String::from("name = \"x\"\nfan_out = 10\n[[regime]]\ncalls = 5\n");
    text += "law = \"constant\"\nms = 1.0\n[[regime]]\nlaw = \"constant\"\nms = 2.0\n";
    let fan_out = Workload::parse(&text).expect("a workload");
    assert!(fan_out.parts(10).is_none());
    assert_eq!(fan_out.parts(5).expect("one regime").0.len(), 1);
    assert!(fan_out.parts(0).is_none());
}

#[test]
#[should_panic(expected = "there is no limit of no parts")]
fn no_parts_have_no_limit() {
    let _ = LimitPart::limit(&[], 0.99, 0.05, 1, Spending::Each);
}

#[test]
#[should_panic(expected = "write numbers above 0")]
fn a_part_of_nothing_is_refused() {
    let _ = LimitPart::new(0.0, Law::w1(), 1.0);
}

#[test]
fn the_quantile_of_a_workload_is_that_of_its_attempts() {
    let named = |name: &str| Workload::named(name).expect("it is in the catalogue");
    for law in laws() {
        let got = named(law.id()).quantile(1_000, 0.95);
        assert!(
            (got / law.quantile(0.95) - 1.0).abs() < 1e-9,
            "{law}: {got}"
        );
    }
    // The first regime alone, and the leaf of a fan-out.
    let first = named("w7").quantile(30_000, 0.95);
    assert!(
        (first / Law::w4().quantile(0.95) - 1.0).abs() < 1e-9,
        "{first}"
    );
    let leaf = named("w0").quantile(1_000, 0.95);
    assert!(
        (leaf / Law::w0().quantile(0.95) - 1.0).abs() < 1e-9,
        "{leaf}"
    );
    let w10 = named("w10");
    let at = w10.quantile(1_000, 0.95);
    let beyond = w10
        .classes()
        .iter()
        .map(|class| class.share * class.law.survival(at));
    assert!((beyond.sum::<f64>() - 0.05).abs() < 1e-6, "{at}");
}
