//! The budget's law, over any interleaving of calls, withdrawals and refunds.

use hedgerow_core::{Budget, BudgetError, Kind};
use proptest::prelude::*;

#[test]
fn it_starts_full_and_is_fed_by_calls() {
    let budget = Budget::percent(5.0).depth(3);
    assert_eq!(budget.available(), 3);
    for _ in 0..3 {
        assert!(budget.try_withdraw(Kind::Hedge));
    }
    assert!(!budget.try_withdraw(Kind::Retry));
    for _ in 0..19 {
        budget.deposit();
    }
    assert!(!budget.try_withdraw(Kind::Hedge));
    budget.deposit();
    assert!(budget.try_withdraw(Kind::Hedge));
    assert_eq!(
        (budget.granted(Kind::Hedge), budget.denied(Kind::Hedge)),
        (4, 1)
    );
    assert_eq!(
        (budget.granted(Kind::Retry), budget.denied(Kind::Retry)),
        (0, 1)
    );
}

#[test]
fn it_never_holds_more_than_its_depth() {
    let budget = Budget::percent(50.0).depth(2);
    for _ in 0..1_000 {
        budget.deposit();
    }
    budget.refund(Kind::Hedge);
    assert_eq!(budget.available(), 2);
}

#[test]
fn a_depth_of_zero_grants_nothing() {
    let budget = Budget::percent(100.0).depth(0);
    budget.deposit();
    assert!(!budget.try_withdraw(Kind::Hedge));
}

#[test]
fn unlimited_must_be_said_and_grants_everything() {
    let budget = Budget::unlimited().depth(1);
    assert!((0..10_000).all(|_| budget.try_withdraw(Kind::Hedge)));
    budget.refund(Kind::Hedge);
    assert!(budget.is_unlimited());
}

#[test]
fn a_grant_that_is_not_spent_goes_back() {
    let budget = Budget::percent(0.0).depth(2);
    let (spent, unspent) = (budget.try_grant(Kind::Hedge), budget.try_grant(Kind::Hedge));
    assert!(budget.try_grant(Kind::Hedge).is_none());
    spent.expect("granted").spend();
    drop(unspent);
    assert_eq!((budget.available(), budget.granted(Kind::Hedge)), (1, 1));
}

#[test]
fn clones_share_one_bucket() {
    let budget = Budget::percent(1.0).depth(1);
    let clone = budget.clone();
    assert!(clone.try_withdraw(Kind::Hedge));
    assert!(!budget.try_withdraw(Kind::Retry));
    assert!(budget.shares_with(&clone));
    assert!(!budget.shares_with(&Budget::percent(1.0)));
}

#[test]
fn bad_values_say_what_to_write() {
    for percent in [-1.0, f64::NAN, f64::INFINITY, 100_001.0] {
        let error = Budget::try_percent(percent).expect_err("out of range");
        assert!(error.to_string().contains("per 100 calls"), "{error}");
    }
    let error = Budget::percent(1.0)
        .try_depth(u32::MAX)
        .expect_err("out of range");
    assert_eq!(error, BudgetError::Depth(u32::MAX));
    assert!(
        error.to_string().contains("from 0 to 1000000000"),
        "{error}"
    );
}

#[test]
#[should_panic(expected = "a budget of -5 percent is out of range")]
fn a_negative_budget_panics_with_the_reason() {
    let _ = Budget::percent(-5.0);
}

proptest! {
    /// Over *any* window of n calls, extras are at most β·n + depth.
    #[test]
    fn no_window_exceeds_its_share(
        percent in 0.0..60.0f64,
        depth in 0u32..20,
        wants in proptest::collection::vec(0u8..4, 1..400),
    ) {
        let budget = Budget::percent(percent).depth(depth);
        let mut granted = vec![0u32];
        for wanted in wants {
            budget.deposit();
            let mut got = 0;
            for _ in 0..wanted {
                if budget.try_withdraw(Kind::Hedge) {
                    // Every third is never sent.
                    if wanted == 3 { budget.refund(Kind::Hedge) } else { got += 1 }
                }
            }
            granted.push(granted[granted.len() - 1] + got);
        }
        for start in 0..granted.len() {
            for end in start + 1..granted.len() {
                let extras = f64::from(granted[end] - granted[start]);
                let calls = (end - start) as f64;
                prop_assert!(extras <= percent / 100.0 * calls + f64::from(depth) + 1e-9);
            }
        }
    }
}

#[test]
fn two_threads_draw_no_token_twice() {
    let budget = Budget::percent(10.0).depth(100);
    let granted: u32 = std::thread::scope(|s| {
        let threads: Vec<_> = (0..2)
            .map(|_| {
                s.spawn(|| {
                    (0..100_000)
                        .map(|_| {
                            budget.deposit();
                            u32::from(budget.try_withdraw(Kind::Hedge))
                        })
                        .sum::<u32>()
                })
            })
            .collect();
        threads
            .into_iter()
            .map(|t| t.join().expect("no panic"))
            .sum()
    });
    assert!(granted <= 20_000 + 100, "{granted}");
    assert!(granted >= 20_000 - 100, "{granted}");
}

#[test]
fn a_budget_tells_what_it_allows() {
    let budget = Budget::percent(7.5).depth(3);
    assert_eq!(
        (budget.per_100_calls(), budget.burst()),
        (Some(7.5), Some(3))
    );
    let unlimited = Budget::unlimited();
    assert_eq!((unlimited.per_100_calls(), unlimited.burst()), (None, None));
}
