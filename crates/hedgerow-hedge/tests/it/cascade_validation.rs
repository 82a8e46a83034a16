//! What a cascade refuses, all at once, and what it says to write instead.

use std::time::Duration;

use hedgerow_hedge::{Cascade, CascadeBuilder, CascadeMistake, SpendCap, Tier};

use crate::cascade_support::{Answer, World, score};
use crate::cascade_tiers::Build;
use crate::support::ms;

fn tier(name: &'static str) -> Tier<u64, Answer> {
    World::new().tier(name, 1, Ok(1.0))
}

fn refusal(builder: CascadeBuilder<u64, Answer>) -> (Vec<CascadeMistake>, String) {
    let error = builder.clone_requests().build().expect_err("a refusal");
    (error.mistakes().to_vec(), error.to_string())
}

fn only(builder: CascadeBuilder<u64, Answer>) -> CascadeMistake {
    let (mistakes, text) = refusal(builder);
    assert_eq!(mistakes.len(), 1, "{text}");
    mistakes[0].clone()
}

#[tokio::test]
async fn all_mistakes_are_said_at_once() {
    let builder = Cascade::builder()
        .tier(tier("").after(ms(5)).cost(-1.0))
        .tier(tier("b").after(ms(3)).threshold(0.5))
        .tier(tier("b").after(ms(3)).cost(f64::NAN))
        .timeout(Duration::ZERO)
        .spend_cap(SpendCap::new(f64::INFINITY, 1.0));
    let (mistakes, text) = refusal(builder);
    assert!(
        matches!(
            mistakes[..],
            [
                CascadeMistake::EmptyName(0),
                CascadeMistake::FirstTierDelayed { .. },
                CascadeMistake::Cost { .. },
                CascadeMistake::DelaysGoBack { .. },
                CascadeMistake::ThresholdWithoutScore { .. },
                CascadeMistake::DuplicateName {
                    first: 1,
                    second: 2,
                    ..
                },
                CascadeMistake::Cost { .. },
                CascadeMistake::ZeroTimeout,
                CascadeMistake::SpendCap { .. },
            ]
        ),
        "{mistakes:?}"
    );
    assert_eq!(text.matches("; ").count(), 8);
    assert_eq!(
        text.matches("write").count() + text.matches("leave").count(),
        10,
        "{text}"
    );
}

#[tokio::test]
async fn a_cascade_has_one_to_sixteen_tiers() {
    assert_eq!(only(Cascade::builder()), CascadeMistake::NoTiers);
    const NAMES: [&str; 17] = [
        "a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l", "m", "n", "o", "p", "q",
    ];
    let of = |n: usize| {
        let tiers = NAMES[..n].iter().copied().map(tier);
        tiers.fold(Cascade::builder(), CascadeBuilder::tier)
    };
    assert_eq!(only(of(17)), CascadeMistake::TooManyTiers(17));
    of(16).build_cloning();
    of(1).build_cloning();
}

#[tokio::test]
async fn costs_and_thresholds_are_finite_numbers_in_range() {
    for cost in [-0.1, f64::NAN, f64::INFINITY, 1e9 + 1.0] {
        let mistake = only(Cascade::builder().tier(tier("a").cost(cost)));
        assert!(matches!(mistake, CascadeMistake::Cost { .. }), "{mistake}");
    }
    for threshold in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        let builder = Cascade::builder().tier(tier("a").threshold(threshold));
        let mistake = only(builder.score(score));
        assert!(
            matches!(mistake, CascadeMistake::Threshold { .. }),
            "{mistake}"
        );
    }
    let fine = tier("a").cost(0.0).threshold(-5.0);
    Cascade::builder().tier(fine).score(score).build_cloning();
}

#[tokio::test]
async fn a_cap_that_can_never_pay_for_a_tier_is_refused() {
    let builder = || {
        Cascade::builder()
            .tier(tier("first").cost(1_000.0))
            .tier(tier("dear").cost(20.0))
    };
    let mistake = only(builder().spend_cap(SpendCap::new(100.0, 19.9)));
    assert_eq!(
        mistake.to_string(),
        "tier \"dear\" costs 20 and could never start, because the spend cap holds at most 19.9: \
         write a depth of at least 20, or leave the tier out"
    );
    builder()
        .spend_cap(SpendCap::new(100.0, 20.0))
        .build_cloning();
    for (per_100_calls, depth) in [(-1.0, 50.0), (1.0, -50.0), (f64::NAN, 50.0), (1.0, 1e10)] {
        let mistake = only(builder().spend_cap(SpendCap::new(per_100_calls, depth)));
        assert!(
            matches!(mistake, CascadeMistake::SpendCap { .. }),
            "{mistake}"
        );
    }
}

#[tokio::test]
async fn equal_delays_are_fine_and_smaller_ones_are_named() {
    let builder = |after| {
        Cascade::builder()
            .tier(tier("a"))
            .tier(tier("b").after(ms(10)))
            .tier(tier("c").after(ms(after)))
    };
    builder(10).build_cloning();
    assert_eq!(
        only(builder(9)).to_string(),
        "the delays go back from 10ms to 9ms at tier \"c\": write them from the call's start, in \
         ascending order"
    );
}
