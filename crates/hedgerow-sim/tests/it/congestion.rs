//! Workload w9: replicas with queues, and a pulse of too many calls.

use hedgerow_sim::{Congestion, Second};

fn success(seconds: &[Second]) -> f64 {
    let calls: u64 = seconds.iter().map(|second| second.calls).sum();
    let answered: u64 = seconds.iter().map(|second| second.answered).sum();
    answered as f64 / calls as f64
}

#[tokio::test(start_paused = true)]
async fn calm_is_served_the_pulse_is_not_and_it_recovers() {
    let seconds = Congestion::w9().run(1, true, |replicas| replicas).await;
    assert_eq!(seconds.len(), 180);
    let calls: u64 = seconds.iter().map(|second| second.calls).sum();
    assert!((calls as f64 / 141_000.0 - 1.0).abs() < 0.01, "{calls}");
    let (calm, pulse) = (success(&seconds[5..30]), success(&seconds[40..60]));
    let after = success(&seconds[70..]);
    eprintln!("calm {calm:.4}, pulse {pulse:.4}, after {after:.4}");
    assert!(calm > 0.995 && after > 0.995);
    // What the workers can do: ten of them, 11 ms a call, and 1200 calls a second.
    assert!((0.65..0.9).contains(&pulse), "{pulse}");
}

/// Work that nobody waits for any more keeps the queues long.
#[tokio::test(start_paused = true)]
async fn without_cancellation_the_pulse_hurts_for_longer() {
    let w9 = Congestion::w9();
    let with = w9.run(2, true, |replicas| replicas).await;
    let without = w9.run(2, false, |replicas| replicas).await;
    let bad = |seconds: &[Second]| {
        seconds
            .iter()
            .filter(|second| second.success() < 0.9)
            .count()
    };
    eprintln!(
        "bad seconds: {} with, {} without",
        bad(&with),
        bad(&without)
    );
    assert!(bad(&without) > bad(&with) + 5);
    // FIFO queues that are longer than the deadline serve nobody.
    assert!(success(&without[45..60]) < 0.1);
}

#[test]
fn mistakes_are_told_all_at_once() {
    let text = "name = \"x\"\nreplicas = 0\nper_second = 0.0\nsize_median_ms = 8.0\n\
                size_sigma = 0.5\nhiccup_share = 2.0\nhiccup_ms = 1.0\ndeadline_ms = 1.0\n\
                [[phase]]\nseconds = 0.0\nload = 1.0\n";
    let said = Congestion::parse(text).expect_err("four mistakes");
    assert_eq!(said.mistakes().len(), 4, "{said}");
    assert!(Congestion::parse("name = 3").is_err());
    assert_eq!(
        (Congestion::w9().name(), Congestion::w9().phases().len()),
        ("w9", 3)
    );
}
