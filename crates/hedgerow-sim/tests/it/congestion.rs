//! Workload w9: replicas with queues, and a pulse of too many calls.

use std::fs;

use hedgerow_sim::{Congested, Congestion, Scenario};

fn success(measured: &Congested, from: f64, to: f64) -> f64 {
    measured.between(from..to).success()
}

#[tokio::test(start_paused = true)]
async fn calm_is_served_the_pulse_is_not_and_it_recovers() {
    let measured = Congestion::w9().run(1, true, |replicas| replicas).await;
    let all = measured.between(0.0..180.0);
    assert!((all.calls as f64 / 141_000.0 - 1.0).abs() < 0.01, "{all:?}");
    assert_eq!(measured.latencies().len() as u64, all.answered);
    assert_eq!(measured.extra_percent(), 0.0);
    let (calm, pulse) = (
        success(&measured, 5.0, 30.0),
        success(&measured, 40.0, 60.0),
    );
    let after = success(&measured, 70.0, 180.0);
    eprintln!("calm {calm:.4}, pulse {pulse:.4}, after {after:.4}");
    assert!(calm > 0.995 && after > 0.995);
    // What the workers can do: ten of them, 10 ms a call, and 1200 calls a second; more where what is late is
    // given up unstarted.
    assert!((0.8..0.97).contains(&pulse), "{pulse}");
}

/// The loads are multiples of what ten workers can serve.
#[test]
fn ten_workers_serve_a_thousand_calls_a_second() {
    let text = include_str!("../../workloads/w9.toml");
    let value = |key: &str| -> f64 {
        let line = text.lines().find(|line| line.starts_with(key));
        let value = line.and_then(|line| line.split(" = ").nth(1));
        value
            .and_then(|value| value.parse().ok())
            .expect("a number")
    };
    let (median, sigma) = (value("size_median_ms"), value("size_sigma"));
    let mean = median * (sigma * sigma / 2.0).exp();
    let deviation = mean * ((sigma * sigma).exp() - 1.0).sqrt();
    assert!((mean - 8.0).abs() < 1e-3 && (deviation - 4.0).abs() < 1e-3);
    let takes = mean + value("hiccup_share") * value("hiccup_ms");
    let capacity = value("replicas") * 1_000.0 / takes;
    assert!(
        (capacity / value("per_second") - 1.0).abs() < 1e-3,
        "{capacity}"
    );
}

/// Work that nobody waits for any more keeps the queues long.
#[tokio::test(start_paused = true)]
async fn without_cancellation_the_pulse_hurts_for_longer() {
    let w9 = Congestion::w9();
    let with = w9.run(2, true, |replicas| replicas).await;
    let without = w9.run(2, false, |replicas| replicas).await;
    let bad = |measured: &Congested| {
        let seconds = (0..180).map(f64::from);
        seconds
            .filter(|&second| success(measured, second, second + 1.0) < 0.9)
            .count()
    };
    let (with, without_them) = (bad(&with), bad(&without));
    eprintln!("bad seconds: {with} with, {without_them} without");
    assert!(without_them > with + 5);
    // FIFO queues that are longer than the deadline serve nobody.
    assert!(success(&without, 45.0, 60.0) < 0.1);
}

#[tokio::test(start_paused = true)]
async fn the_same_seed_is_the_same_run_and_runs_are_pooled() {
    let calm = Congestion::w9().first_phase();
    let one = calm.run(3, true, |replicas| replicas).await;
    let again = calm.run(3, true, |replicas| replicas).await;
    assert_eq!(one.latencies(), again.latencies());
    let both: Congested = [one.clone(), again].into_iter().collect();
    let (all, half) = (both.between(0.0..30.0), one.between(0.0..30.0));
    assert_eq!(
        (all.calls, all.answered),
        (2 * half.calls, 2 * half.answered)
    );
}

#[test]
fn the_pulse_is_the_last_of_the_busiest_phases() {
    let w9 = Congestion::w9();
    assert_eq!(w9.stretches(), [0.0..30.0, 30.0..60.0, 60.0..180.0]);
    assert_eq!(w9.pulse_ends(), Some(60.0));
    assert_eq!(
        w9.first_phase().pulse_ends(),
        None,
        "nothing comes after it"
    );
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

#[test]
fn a_file_is_of_the_kind_that_its_keys_say() {
    let folder = std::env::temp_dir().join(format!("hedgerow-scenario-{}", std::process::id()));
    fs::create_dir_all(&folder).expect("a writable folder");
    let read = |text: &str| {
        let path = folder.join("mine.toml");
        fs::write(&path, text).expect("a writable folder");
        Scenario::read(&path)
    };
    let pulse = include_str!("../../workloads/w9.toml");
    assert!(matches!(read(pulse), Ok(Scenario::Congestion(w9)) if w9 == Congestion::w9()));
    let law = include_str!("../../workloads/w4.toml");
    assert!(matches!(read(law), Ok(Scenario::Calls(w4)) if w4.name() == "w4"));
    let broken = read("name = \"x\"\nreplicas = 3\n").expect_err("keys are missing");
    assert!(broken.to_string().contains("per_second"), "{broken}");
    assert!(read("name = \"x\"").is_err());
    assert!(Scenario::read(&folder.join("none.toml")).is_err());
    let names: Vec<_> = Scenario::all()
        .iter()
        .map(|s| s.name().to_owned())
        .collect();
    assert_eq!(
        names,
        ["w0", "w1", "w2", "w3", "w4", "w7", "w8", "w9", "w10"]
    );
    fs::remove_dir_all(&folder).expect("it is there");
}
