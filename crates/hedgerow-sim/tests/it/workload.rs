//! Workloads as data files.

use hedgerow_sim::{Law, Workload};

#[test]
fn every_file_of_the_catalogue_is_read_and_says_what_the_code_says() {
    let all = Workload::all();
    let names: Vec<_> = all.iter().map(Workload::name).collect();
    assert_eq!(names, ["w0", "w1", "w2", "w3", "w4", "w7", "w8", "w10"]);
    for law in Law::all() {
        let workload = Workload::named(law.id()).expect("in the catalogue");
        let (read, scale) = workload.at(0, 0);
        assert_eq!(scale, 1.0);
        for ms in [0.5, 2.0, 5.0, 9.0, 30.0, 100.0, 250.0, 2_000.0] {
            let (ours, theirs) = (law.survival(ms), read.survival(ms));
            assert!(
                (ours - theirs).abs() < 1e-12,
                "{law} at {ms}: {ours} {theirs}"
            );
        }
    }
    assert_eq!(Workload::named("W0").map(|w| w.fan_out()), Some(100));
    assert!(Workload::named("w5").is_none());
}

#[test]
fn regimes_follow_each_other_and_the_last_one_goes_on() {
    let w7 = Workload::named("w7").expect("in the catalogue");
    assert!(!w7.is_steady());
    assert_eq!(w7.calls(), Some(90_000));
    let medians: Vec<f64> = [0, 29_999, 30_000, 59_999, 60_000, 200_000]
        .map(|number| w7.at(number, 0).0.quantile(0.5).round())
        .to_vec();
    assert_eq!(medians, [7.0, 7.0, 30.0, 30.0, 10.0, 10.0]);
}

#[test]
fn a_wave_swings_between_once_and_its_factor() {
    let w8 = Workload::named("w8").expect("in the catalogue");
    let scale = |number| w8.at(number, 0).1;
    assert!((scale(0) - 1.0).abs() < 1e-9 && (scale(100_000) - 1.0).abs() < 1e-9);
    assert!((scale(50_000) - 4.0).abs() < 1e-9);
    assert!((scale(25_000) - 2.0).abs() < 1e-9 && (scale(75_000) - 2.0).abs() < 1e-9);
}

#[test]
fn a_trace_is_read_beside_its_workload() {
    let dir = std::env::temp_dir().join(format!("hedgerow-trace-{}", std::process::id()));
    std::fs::create_dir_all(&dir).expect("a writable folder");
    std::fs::write(dir.join("slow.txt"), "# measured\n10\n20\n\n30.5\n").expect("written");
    let file = "name = \"t\"\n[[regime]]\nlaw = \"trace\"\nfile = \"slow.txt\"\n";
    std::fs::write(dir.join("t.toml"), file).expect("written");
    let read = Workload::read(&dir.join("t.toml")).expect("a good file");
    let (law, _) = read.at(0, 0);
    assert_eq!((law.quantile(0.5), law.quantile(0.9)), (20.0, 30.5));
    std::fs::remove_dir_all(&dir).expect("removed");
}

#[test]
fn all_mistakes_are_told_at_once_with_their_places() {
    let said = Workload::parse(
        r#"
        name = "a b"
        fan_out = 0
        [wave]
        factor = 0.5
        period_calls = 1
        [[regime]]
        law = "lognormal"
        median_ms = 3.0
        [[regime]]
        calls = 10
        law = "normal"
        [[regime]]
        calls = -1
        [[regime.part]]
        law = "constant"
        ms = 5.0
        sigma = 1.0
        [[regime.part]]
        share = 0.5
        law = "trace"
        values_ms = []
        file = "x"
    "#,
    )
    .expect_err("full of mistakes");
    let want = [
        "line 2: name = \"a b\": write letters, digits, `-` and `_`",
        "line 3: fan_out = 0: write 1 to 10000 attempts",
        "line 5: wave.factor = 0.5: write a number from 1 to 1000000",
        "line 6: wave.period_calls = 1: write 2 or more",
        "line 7: regime[0].calls: it is missing: only the last regime may leave it out",
        "line 7: regime[0].sigma: it is missing: a lognormal wants median_ms, sigma",
        "line 12: regime[1].law = \"normal\": there is no such law: write one of lognormal, pareto, exponential, generation, chain, constant, trace",
        "line 14: regime[2].calls = -1: write 1 or more",
        "line 15: regime[2].part[0].share: it is missing: write which part of the attempts follows it, above 0, up to 1",
        "line 18: regime[2].part[0].sigma = 1.0: a constant does not read it: leave it out",
        "line 23: regime[2].part[1].file = \"x\": there are values_ms too: write either of them",
    ];
    assert_eq!(said.mistakes(), want);
}

#[test]
fn what_no_law_can_be_is_refused() {
    let of = |law: &str| format!("name = \"x\"\n[[regime]]\n{law}\n");
    for (law, words) in [
        (
            "law = \"lognormal\"\nmedian_ms = 0.0\nsigma = 1.0",
            "line 4: regime[0].median_ms = 0.0: write a number above 0",
        ),
        (
            "law = \"pareto\"\nmode_ms = 1.0\nalpha = nan",
            "regime[0].alpha = nan: write a number that is finite",
        ),
        (
            "law = \"exponential\"\nmean_ms = inf",
            "regime[0].mean_ms = inf: write a number that is finite",
        ),
        (
            "law = \"exponential\"\nmean_ms = 1.0\nshift_ms = -1.0",
            "shift_ms = -1.0: write 0 or more",
        ),
        (
            "law = \"chain\"\npoints = [[1.0, 0.9], [2.0, 0.5]]",
            "survival 1",
        ),
        ("law = \"trace\"\nvalues_ms = []", "the trace is empty"),
        (
            "law = \"trace\"\nvalues_ms = [1.0, -2.0]",
            "regime[0].values_ms[1] = -2.0: write milliseconds, 0 or more",
        ),
        ("law = \"trace\"\nfile = \"no-such-file\"", "cannot be read"),
        (
            "law = \"constant\"\nms = 1.0\ntypo = 2",
            "line 5: regime[0].typo = 2: there is no such key: write one of alpha, calls, file,",
        ),
        ("", "regime[0].law: it is missing: write one of lognormal"),
        (
            "sigma = 1.0\n[[regime.part]]\nshare = 1.0\nlaw = \"constant\"\nms = 1.0",
            "regime[0].sigma = 1.0: a mixture does not read it",
        ),
        (
            "[[regime.part]]\nshare = 1.0\ncalls = 3\nlaw = \"constant\"\nms = 1.0",
            "regime[0].part[0].calls = 3: there is no such key",
        ),
        (
            "share = 0.5\nlaw = \"constant\"\nms = 1.0",
            "regime[0].share = 0.5: there is no such key",
        ),
    ] {
        let said = Workload::parse(&of(law)).expect_err(law).to_string();
        assert!(said.contains(words), "{law}: {said}");
    }
    let said = Workload::parse("name = \"x\"")
        .expect_err("no regime")
        .to_string();
    assert!(
        said.contains("at least one [[regime]] or [[class]]"),
        "{said}"
    );
    let shares = "[[regime.part]]\nshare = 0.5\nlaw = \"constant\"\nms = 1.0";
    let said = Workload::parse(&of(shares)).expect_err("half").to_string();
    assert!(said.contains("add up to 0.5"), "{said}");
}

#[test]
fn a_steady_workload_is_its_law() {
    let steady = Workload::steady(Law::w2());
    assert!(steady.is_steady() && steady.name() == "w2" && steady.fan_out() == 1);
    assert_eq!(
        steady.at(u64::MAX, 0).0.quantile(0.5),
        Law::w2().quantile(0.5)
    );
}

/// What a caller sees of a language model whose class of answer is known, unhedged: a p99 of 4.84
/// times the ideal.
#[tokio::test(start_paused = true)]
async fn classes_are_measured_in_multiples_of_their_ideal() {
    let w10 = Workload::named("w10").expect("in the catalogue");
    let shares: Vec<f64> = w10.classes().iter().map(|class| class.share).collect();
    assert_eq!(shares, [0.6, 0.3, 0.1]);
    assert_eq!(
        [0.0, 0.59, 0.61, 0.89, 0.91].map(|u| w10.class_at(u)),
        [0, 0, 1, 1, 2]
    );
    let measured = hedgerow_sim::Trial::new(&w10, 100_000)
        .run(|backend| backend)
        .await;
    let slowdowns = measured.slowdowns();
    assert_eq!(slowdowns.len(), 100_000);
    let p99 = slowdowns[99_000];
    eprintln!("w10: p50 {:.2}, p99 {p99:.2}", slowdowns[50_000]);
    assert!((p99 / 4.84 - 1.0).abs() < 0.03, "{p99}");
}

#[test]
fn a_generation_is_the_sum_of_its_two_parts() {
    use rand::SeedableRng;
    let part = hedgerow_sim::LawPart::Generation {
        first_median_ms: 200.0,
        first_sigma: 0.5,
        tokens_median: 64.0,
        tokens_sigma: 0.35,
        ms_per_token: 12.0,
        shift_ms: 0.0,
    };
    let law = Law::mixture("generation", [(1.0, part)]).expect("a valid law");
    let mut rng = rand::rngs::StdRng::seed_from_u64(3);
    let mut drawn: Vec<f64> = (0..200_000).map(|_| law.sample(&mut rng)).collect();
    drawn.sort_by(f64::total_cmp);
    for q in [0.05, 0.5, 0.95, 0.99] {
        let (exact, seen) = (law.quantile(q), drawn[(q * 200_000.0) as usize]);
        assert!((seen / exact - 1.0).abs() < 0.01, "{q}: {seen} for {exact}");
    }
}

#[test]
fn mistakes_in_classes_are_told() {
    let law = "law = \"constant\"\nms = 5.0";
    for (class, words) in [
        (
            format!("name = \"a\"\n{law}"),
            "class[0].ideal_ms: it is missing: write a number from 0.000001 to",
        ),
        (
            format!("name = \"a\"\nshare = 0.5\nideal_ms = 1.0\n{law}"),
            "the shares add up to 0.5",
        ),
        (
            format!("name = \"a\"\nshare = 1.0\nideal_ms = 0.0\n{law}"),
            "class[0].ideal_ms = 0.0: write a number from 0.000001 to 1000000000",
        ),
        (
            format!("name = \"a\"\nshare = 1.0\nideal_ms = 1.0\ncalls = 3\n{law}"),
            "class[0].calls = 3: there is no such key: write one of",
        ),
    ] {
        let text = format!("name = \"x\"\n[[class]]\n{class}\n");
        let said = Workload::parse(&text).expect_err("a mistake").to_string();
        assert!(said.contains(words), "{said}");
    }
}
