//! Whatever a body does, each of its copies does the same.

use std::sync::atomic::Ordering;

use bytes::Bytes;
use hedgerow_core::Replay;
use hedgerow_http::{ReplayBodyLayer, ReplayBodyStats, ReplayableBody};
use http::Request;
use http_body::Body;
use proptest::collection::vec;
use proptest::prelude::*;

use crate::script::{Hint, Script, Step, next_now, through};

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        12 => vec(any::<u8>(), 0..6).prop_map(|bytes| Step::Data(Bytes::from(bytes))),
        2 => Just(Step::trailers()),
        1 => Just(Step::Pending),
        1 => (0..9_u8).prop_map(Step::Fails),
    ]
}

fn hint() -> impl Strategy<Value = Hint> {
    prop_oneof![Just(Hint::None), Just(Hint::Exact), Just(Hint::Lower)]
}

/// What the layer should say of such a body, and how often it should poll it.
fn fate(steps: &[Step], hint: Hint, tells_end: bool, cap: u64) -> (ReplayBodyStats, usize) {
    let mut stats = ReplayBodyStats::default();
    let total: u64 = steps.iter().map(Step::bytes).sum();
    if total > cap && !matches!(hint, Hint::None) {
        stats.too_large = 1;
        return (stats, 0);
    }
    let mut bytes = 0;
    for (at, step) in steps.iter().enumerate() {
        bytes += step.bytes();
        match step {
            Step::Pending => stats.streaming = 1,
            Step::Fails(_) => stats.failed = 1,
            _ if bytes > cap => stats.too_large = 1,
            _ => continue,
        }
        return (stats, at + 1);
    }
    stats.shared = 1;
    (stats, steps.len() + usize::from(!tells_end))
}

/// The body's hints are true of what it still brings; `exact` says whether a shared one knows its
/// length.
fn check_hints(
    body: &ReplayableBody<Script>,
    ahead: &[Step],
    exact: bool,
) -> Result<(), TestCaseError> {
    let bytes: u64 = ahead.iter().map(Step::bytes).sum();
    let hint = body.size_hint();
    prop_assert!(hint.lower() <= bytes, "{} of {}", hint.lower(), bytes);
    prop_assert!(hint.upper().is_none_or(|upper| bytes <= upper));
    if body.is_end_stream() {
        prop_assert!(ahead.is_empty());
    }
    if body.is_shared() {
        prop_assert_eq!(body.is_end_stream(), ahead.is_empty());
        prop_assert_eq!(hint.lower(), bytes);
        prop_assert_eq!(hint.exact(), exact.then_some(bytes));
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(ProptestConfig::default().cases.max(1_000)))]

    #[test]
    fn every_copy_brings_the_same_frames_in_the_same_order(
        steps in vec(step(), 0..10),
        hint in hint(),
        tells_end: bool,
        cap in 1..40_u64,
        copies in 0..3_usize,
        order in vec(0..3_usize, 0..40),
    ) {
        let layer = ReplayBodyLayer::new().cap_bytes(cap);
        let body = Script::new(steps.clone()).hint(hint).tells_end(tells_end);
        let polls = body.polls.clone();
        let request = Request::put("http://h.test/").body(body).expect("valid");
        let mut requests = vec![through(&layer, request)];
        let (stats, polled) = fate(&steps, hint, tells_end, cap);
        prop_assert_eq!(layer.stats(), stats);
        prop_assert_eq!(polls.load(Ordering::Relaxed), polled);
        for _ in 0..copies {
            let copy = requests[0].replay();
            prop_assert_eq!(copy.is_some(), stats.shared == 1);
            requests.extend(copy);
        }

        let wanted: Vec<Step> = steps.into_iter().filter(|step| *step != Step::Pending).collect();
        let exact = matches!(hint, Hint::Exact)
            || !wanted.iter().any(|step| matches!(step, Step::Trailers(_)));
        let mut read = vec![0; requests.len()];
        // As the order says, and then each to its end.
        let ends = (0..requests.len()).flat_map(|copy| vec![copy; wanted.len() + 1]);
        for copy in order.into_iter().filter(|&copy| copy < read.len()).chain(ends).collect::<Vec<_>>() {
            let body = requests[copy].body_mut();
            check_hints(body, &wanted[read[copy]..], exact)?;
            let step = next_now(body);
            prop_assert_eq!(step.as_ref(), wanted.get(read[copy]));
            read[copy] = wanted.len().min(read[copy] + 1);
        }
    }
}
