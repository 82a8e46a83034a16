//! Workload files that nobody should write are refused with every mistake, and never hang or panic.

use hedgerow_sim::{Law, LawPart, Workload};

fn mistakes(text: &str) -> Vec<String> {
    let error = Workload::parse(text).expect_err(text);
    error.mistakes().to_vec()
}

fn regime(law: &str) -> String {
    format!("name = \"x\"\n[[regime]]\n{law}\n")
}

/// Its survival would never have fallen: the quotient of its points is no finite number.
#[test]
fn a_chain_over_all_numbers_still_falls_and_has_quantiles() {
    let points = vec![(1e-300, 1.0), (1e300, 0.5)];
    let law = Law::mixture("x", [(1.0, LawPart::Chain { points })]).expect("it falls");
    assert!((law.survival(1.0) - 0.5_f64.sqrt()).abs() < 1e-9);
    assert!((law.quantile(0.25).log10() + 300.0 - 600.0 * 0.415).abs() < 1.0);
    assert!(law.survival(f64::MAX) < 0.5);
    let _ = law.quantile(0.99);
}

/// The lab waits in a time that is a hundred times as long, and draws what it has seen.
#[test]
fn a_law_whose_attempts_take_years_is_refused() {
    for law in [
        "law = \"lognormal\"\nmedian_ms = 10.0\nsigma = 1000.0",
        "law = \"lognormal\"\nmedian_ms = 10.0\nsigma = 1e300",
        "law = \"lognormal\"\nmedian_ms = 1e300\nsigma = 1.0",
        "law = \"pareto\"\nmode_ms = 1.0\nalpha = 1e-300",
        "law = \"pareto\"\nmode_ms = 1.0\nalpha = 0.01",
        "law = \"exponential\"\nmean_ms = 1e308",
        "law = \"chain\"\npoints = [[1e-300, 1.0], [1e300, 0.5]]",
        "law = \"chain\"\npoints = [[1.0, 1.0], [2.0, 0.9999999999999999]]",
        "law = \"constant\"\nms = 1e300",
        "law = \"trace\"\nvalues_ms = [1.0, 1e300]",
        "law = \"generation\"\nfirst_median_ms = 1e300\nfirst_sigma = 100.0\ntokens_median = 1e20\n\
         tokens_sigma = 1.0\nms_per_token = 1.0",
    ] {
        let told = mistakes(&regime(law));
        let [told] = told.as_slice() else {
            panic!("{law}: {told:?}");
        };
        let wanted = "regime 1: one attempt in 100,000 takes";
        assert!(told.starts_with(wanted), "{law}: {told}");
    }
    // A day is long, and fine.
    let day = regime("law = \"lognormal\"\nmedian_ms = 86400000.0\nsigma = 0.5");
    Workload::parse(&day).expect("a day");
    let wave = "name = \"x\"\n[wave]\nfactor = 1e308\nperiod_calls = 2\n[[regime]]\n\
                law = \"constant\"\nms = 1.0\n";
    assert_eq!(
        mistakes(wave),
        ["wave: factor: write a number from 1 to 1000000"]
    );
    let ideal = "name = \"x\"\n[[class]]\nname = \"a\"\nshare = 1.0\nideal_ms = 1e-320\n\
                 law = \"constant\"\nms = 1.0\n";
    assert_eq!(
        mistakes(ideal),
        ["class 1: ideal_ms: write a number from 0.000001 to 1000000000"]
    );
}

#[test]
fn each_part_of_a_mixture_has_its_mistakes_told() {
    let part = |share: &str, ms: &str| {
        format!("[[regime.part]]\nshare = {share}\nlaw = \"constant\"\nms = {ms}\n")
    };
    let text = [
        part("-0.5", "-1.0"),
        part("nan", "1.0"),
        part("1.5", "nan"),
        part("0.5", "0.0"),
    ];
    assert_eq!(
        mistakes(&regime(&text.concat())),
        [
            "regime 1, part 1: ms = -1 is out of range: write a number above 0",
            "regime 1, part 1: a share of -0.5 is out of range: write a number above 0, up to 1",
            "regime 1, part 2: a share of NaN is out of range: write a number above 0, up to 1",
            "regime 1, part 3: ms = NaN is out of range: write a number above 0",
            "regime 1, part 3: a share of 1.5 is out of range: write a number above 0, up to 1",
            "regime 1, part 4: ms = 0 is out of range: write a number above 0",
        ]
    );
}

#[test]
fn a_broken_class_is_not_told_to_be_missing() {
    let class =
        "[[class]]\nname = \"a\"\nshare = 1.0\nideal_ms = 1.0\nlaw = \"constant\"\nms = -1.0\n";
    assert_eq!(
        mistakes(&format!("name = \"x\"\n{class}")),
        ["class 1: ms = -1 is out of range: write a number above 0"]
    );
    assert_eq!(
        mistakes(&format!(
            "{}{class}",
            regime("law = \"constant\"\nms = 1.0")
        )),
        [
            "class 1: ms = -1 is out of range: write a number above 0",
            "class: write either regimes or classes",
        ]
    );
}

/// It goes to a terminal and into a picture, which is XML.
#[test]
fn a_description_is_one_line_of_text() {
    for text in ["two\\nlines", "red \\u001b[31m", "\\u0000"] {
        let file = format!(
            "description = \"{text}\"\n{}",
            regime("law = \"constant\"\nms = 1.0")
        );
        assert_eq!(
            mistakes(&file),
            ["description: write one line, without control characters"]
        );
    }
}
