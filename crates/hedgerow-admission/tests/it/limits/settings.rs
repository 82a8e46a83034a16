//! How limits are built, shared and read.

use std::panic::catch_unwind;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use hedgerow_admission::{
    Aimd, AimdConfig, Dynamic, Elasticity, ElasticityConfig, Fixed, Gradient, GradientConfig,
    LimitError, LimitPolicy, Outcome, Sample, Vegas, VegasConfig,
};

use crate::limits::sim::epoch;
use crate::limits::{NAMES, policy};

/// Asserts that each of the configurations is refused, with what to write.
fn refused<T: std::fmt::Debug>(tries: Vec<Result<T, LimitError>>) {
    for (index, result) in tries.into_iter().enumerate() {
        let error = result.expect_err(&format!("try {index} was taken"));
        assert!(error.to_string().contains("write"), "{error}");
    }
}

#[test]
fn every_bad_setting_is_refused_with_what_to_write() {
    let aimd = AimdConfig::default;
    refused(vec![
        Aimd::try_new(aimd().min(0)),
        Aimd::try_new(aimd().initial(0)),
        Aimd::try_new(aimd().min(21)),
        Aimd::try_new(aimd().max(19)),
        Aimd::try_new(aimd().max(1_000_001)),
        Aimd::try_new(aimd().max(usize::MAX)),
        Aimd::try_new(aimd().backoff(0.0)),
        Aimd::try_new(aimd().backoff(1.0)),
        Aimd::try_new(aimd().backoff(f64::NAN)),
        Aimd::try_new(aimd().tolerate(-0.1)),
        Aimd::try_new(aimd().tolerate(f64::NAN)),
        Aimd::try_new(aimd().slow_after(Duration::ZERO)),
        Aimd::try_new(aimd().slow_after(Duration::MAX)),
    ]);
    let vegas = VegasConfig::default;
    refused(vec![
        Vegas::try_new(vegas().min(0)),
        Vegas::try_new(vegas().max(19)),
        Vegas::try_new(vegas().alpha(0.0)),
        Vegas::try_new(vegas().alpha(0.2)),
        Vegas::try_new(vegas().alpha(f64::NAN)),
        Vegas::try_new(vegas().beta(0.6)),
        Vegas::try_new(vegas().beta(f64::INFINITY)),
    ]);
    let gradient = GradientConfig::default;
    refused(vec![
        Gradient::try_new(gradient().initial(2_000)),
        Gradient::try_new(gradient().tolerance(0.9)),
        Gradient::try_new(gradient().tolerance(f64::NAN)),
        Gradient::try_new(gradient().queue(0.0)),
        Gradient::try_new(gradient().queue(f64::INFINITY)),
        Gradient::try_new(gradient().smoothing(0.0)),
        Gradient::try_new(gradient().smoothing(1.1)),
    ]);
    let elasticity = ElasticityConfig::default;
    refused(vec![
        Elasticity::try_new(elasticity().min(0)),
        Elasticity::try_new(elasticity().max(19)),
        Elasticity::try_new(elasticity().target(0.0)),
        Elasticity::try_new(elasticity().target(1.0)),
        Elasticity::try_new(elasticity().target(f64::NAN)),
    ]);
}

#[test]
fn a_refused_setting_is_named() {
    let error = Vegas::try_new(VegasConfig::default().alpha(0.2)).unwrap_err();
    assert_eq!(error.to_string(), "beta of 0.1: write alpha to 0.5");
    let error = Aimd::try_new(AimdConfig::default().min(30)).unwrap_err();
    assert_eq!(
        error.to_string(),
        "limits of 30, 20, 1000: write 1 ≤ min ≤ initial ≤ max ≤ 1,000,000, \
         or the limit cannot begin where it may be"
    );
}

#[test]
fn new_panics_with_what_try_new_returns() {
    let config = GradientConfig::default().tolerance(0.5);
    let error = Gradient::try_new(config).unwrap_err();
    let panic = catch_unwind(|| Gradient::new(config)).unwrap_err();
    assert_eq!(panic.downcast_ref::<String>(), Some(&error.to_string()));
}

#[test]
fn they_begin_at_20_or_where_they_are_told() {
    assert_eq!(Aimd::default().limit(), 20);
    assert_eq!(Vegas::default().limit(), 20);
    assert_eq!(Gradient::default().limit(), 20);
    assert_eq!(Elasticity::default().limit(), 20);
    for name in NAMES {
        assert_eq!(policy(name, 7).limit(), 7);
    }
}

#[test]
fn a_limit_that_may_only_be_one_number_is_that_number() {
    let one = |limit| -> [Box<dyn LimitPolicy>; 4] {
        let aimd = AimdConfig::default().min(limit).initial(limit).max(limit);
        let vegas = VegasConfig::default().min(limit).initial(limit).max(limit);
        let gradient = GradientConfig::default().min(limit).initial(limit);
        let elasticity = ElasticityConfig::default().min(limit).initial(limit);
        [
            Box::new(Aimd::new(aimd)),
            Box::new(Vegas::new(vegas)),
            Box::new(Gradient::new(gradient.max(limit))),
            Box::new(Elasticity::new(elasticity.max(limit))),
        ]
    };
    let mut now = epoch();
    for limit in [1, 8, 1_000_000] {
        for policy in one(limit) {
            for index in 0..5_000 {
                now += Duration::from_micros(50);
                let outcome = if index % 3 == 0 {
                    Outcome::TimedOut
                } else {
                    Outcome::Answered
                };
                policy.observe(&Sample::new(
                    now,
                    Duration::from_millis(1),
                    outcome,
                    limit,
                    5,
                ));
                assert_eq!(policy.limit(), limit);
            }
        }
    }
}

#[test]
fn a_dynamic_limit_is_read_each_time_and_may_be_0() {
    let shared = Arc::new(AtomicUsize::new(5));
    let read = Arc::clone(&shared);
    let dynamic = Dynamic::new(move || read.load(Ordering::Relaxed));
    assert!(!dynamic.learns());
    for limit in [5, 0, 3, usize::MAX] {
        shared.store(limit, Ordering::Relaxed);
        assert_eq!(dynamic.limit(), limit);
    }
}

#[test]
fn a_panic_of_a_dynamic_limit_leaves_the_last_one() {
    let calls = AtomicUsize::new(0);
    let dynamic = Dynamic::new(|| match calls.fetch_add(1, Ordering::Relaxed) {
        1 => 12,
        3 => 0,
        call => panic!("call {call}"),
    });
    let limits: Vec<usize> = (0..6).map(|_| dynamic.limit()).collect();
    assert_eq!(limits, [1, 12, 12, 0, 0, 0]);
}

#[test]
fn policies_are_objects_that_threads_share() {
    let mut policies: Vec<Arc<dyn LimitPolicy>> = vec![
        Arc::new(Fixed::new(4.try_into().unwrap())),
        Arc::new(Dynamic::new(|| 4)),
    ];
    policies.extend(NAMES.map(|name| Arc::from(policy(name, 4))));
    for policy in policies {
        thread::scope(|scope| {
            for _ in 0..4 {
                let policy = Arc::clone(&policy);
                scope.spawn(move || {
                    let mut now = epoch();
                    for index in 0..20_000 {
                        now += Duration::from_micros(100);
                        let elapsed = Duration::from_micros(900 + index % 200);
                        let running = policy.limit();
                        let outcome = Outcome::Answered;
                        policy.observe(&Sample::new(now, elapsed, outcome, running, 3));
                        assert!((1..=5_000).contains(&policy.limit()));
                    }
                });
            }
        });
    }
}
