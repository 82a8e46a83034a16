//! Workload files that nobody should write are refused with every mistake, and never hang or panic.

use hedgerow_sim::{Congestion, Law, LawPart, Scenario, Workload};

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
        let wanted = "line 2: regime[0]: one attempt in 100,000 takes";
        assert!(told.starts_with(wanted), "{law}: {told}");
    }
    // A day is long, and fine.
    let day = regime("law = \"lognormal\"\nmedian_ms = 86400000.0\nsigma = 0.5");
    Workload::parse(&day).expect("a day");
    let wave = "name = \"x\"\n[wave]\nfactor = 1e308\nperiod_calls = 2\n[[regime]]\n\
                law = \"constant\"\nms = 1.0\n";
    assert_eq!(
        mistakes(wave),
        ["line 3: wave.factor = 1e308: write a number from 1 to 1000000"]
    );
    let ideal = "name = \"x\"\n[[class]]\nname = \"a\"\nshare = 1.0\nideal_ms = 1e-320\n\
                 law = \"constant\"\nms = 1.0\n";
    assert_eq!(
        mistakes(ideal),
        ["line 5: class[0].ideal_ms = 1e-320: write a number from 0.000001 to 1000000000"]
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
            "line 4: regime[0].part[0].share = -0.5: write a number above 0, up to 1",
            "line 6: regime[0].part[0].ms = -1.0: write a number above 0",
            "line 8: regime[0].part[1].share = nan: write a number that is finite",
            "line 12: regime[0].part[2].share = 1.5: write a number above 0, up to 1",
            "line 14: regime[0].part[2].ms = nan: write a number that is finite",
            "line 18: regime[0].part[3].ms = 0.0: write a number above 0",
        ]
    );
}

#[test]
fn a_broken_class_is_not_told_to_be_missing() {
    let class =
        "[[class]]\nname = \"a\"\nshare = 1.0\nideal_ms = 1.0\nlaw = \"constant\"\nms = -1.0\n";
    assert_eq!(
        mistakes(&format!("name = \"x\"\n{class}")),
        ["line 7: class[0].ms = -1.0: write a number above 0"]
    );
    assert_eq!(
        mistakes(&format!(
            "{}{class}",
            regime("law = \"constant\"\nms = 1.0")
        )),
        [
            "line 5: class: write either regimes or classes",
            "line 10: class[0].ms = -1.0: write a number above 0",
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
            [format!(
                "line 1: description = \"{text}\": write one line, without control characters"
            )]
        );
    }
}

/// Each of them used to be told alone, and hid the others.
#[test]
fn syntax_types_and_unknown_keys_are_all_told_at_once() {
    let text = "name = \"m m\"\nfan_out = 0\nfanout = 1\n[[regime]]\nlaw = \"zipf\"\n[[regime]]\n\
                law = \"lognormal\"\nmedian_ms = \"20\"\nsgima = 4.0\nsigma = -1\n";
    assert_eq!(
        mistakes(text),
        [
            "line 1: name = \"m m\": write letters, digits, `-` and `_`",
            "line 2: fan_out = 0: write 1 to 10000 attempts",
            "line 3: fanout = 1: there is no such key; did you mean \"fan_out\"?",
            "line 4: regime[0].calls: it is missing: only the last regime may leave it out",
            "line 5: regime[0].law = \"zipf\": there is no such law: write one of lognormal, pareto, \
             exponential, generation, chain, constant, trace",
            "line 8: regime[1].median_ms = \"20\": write a number",
            "line 9: regime[1].sgima = 4.0: there is no such key; did you mean \"sigma\"?",
            "line 10: regime[1].sigma = -1: write a number above 0",
        ]
    );
    let syntax = mistakes("name = \nfan_out == 1\n[[regime]]\nlaw = \"constant\"\nms = 1.0\n");
    let lines: Vec<_> = syntax.iter().map(|told| told.split(':').next()).collect();
    assert_eq!(
        lines,
        ["line 1", "line 2", "line 2"].map(Some),
        "{syntax:?}"
    );
}

/// What is no table at all leaves its place, and the others are looked at.
#[test]
fn what_is_no_table_hides_no_other() {
    let text =
        "name = \"x\"\nregime = [3, { law = \"zipf\", part = [5, { share = 2.0 }] }, \"y\"]\n";
    let told = mistakes(text);
    let keys: Vec<_> = told
        .iter()
        .map(|told| told.split([' ', ':']).nth(3).unwrap_or_default())
        .collect();
    assert_eq!(
        keys,
        [
            "regime[0]",
            "regime[1].part[0]",
            "regime[2]",
            "regime[1].calls",
            "regime[1].law",
            "regime[1].part[1].share",
            "regime[1].part[1].law",
        ],
        "{told:#?}"
    );
}

#[test]
fn every_mistake_in_a_congestion_is_told_at_once() {
    let text = "nmae = \"x\"\nreplicas = 0\nper_second = \"many\"\nsize_median_ms = 1e300\n\
                size_sigma = nan\nhiccup_share = 2\nhiccup_ms = -1.0\n[[phase]]\nseconds = 0.0\n";
    let error = Congestion::parse(text).expect_err("full of mistakes");
    assert_eq!(
        error.mistakes(),
        [
            "name: it is missing: write letters, digits, `-` and `_`",
            "deadline_ms: it is missing: write a number from 0.000001 to 1000000000",
            "line 1: nmae = \"x\": there is no such key; did you mean \"name\"?",
            "line 2: replicas = 0: write 1 to 100000",
            "line 3: per_second = \"many\": write a number",
            "line 4: size_median_ms = 1e300: write a number from 0.000001 to 1000000000",
            "line 5: size_sigma = nan: write a number that is finite",
            "line 6: hiccup_share = 2: write a number from 0 to 1",
            "line 7: hiccup_ms = -1.0: write a number from 0 to 1000000000",
            "line 8: phase[0].load: it is missing: write a number from 0.000001 to 1000000",
            "line 9: phase[0].seconds = 0.0: write a number from 0.000001 to 1000000",
        ]
    );
    let many = "name = \"x\"\nreplicas = 1\nper_second = 1e6\nsize_median_ms = 1.0\nsize_sigma = 1.0\n\
                hiccup_share = 0.0\nhiccup_ms = 0.0\ndeadline_ms = 1.0\n[[phase]]\nseconds = 1e6\n\
                load = 1.0\n";
    let error = Congestion::parse(many).expect_err("they would all be kept");
    assert!(
        error
            .to_string()
            .contains("phase: 1e12 calls are too many to keep"),
        "{error}"
    );
}

/// A device never ends.
#[cfg(unix)]
#[test]
fn a_file_without_an_end_is_refused() {
    let endless = std::path::Path::new("/dev/zero");
    let wanted = "/dev/zero is longer than 16 MiB: name a file that is shorter";
    let said = [
        Workload::read(endless).expect_err("endless").to_string(),
        Congestion::read(endless).expect_err("endless").to_string(),
        Scenario::read(endless).expect_err("endless").to_string(),
    ];
    assert_eq!(said, [wanted; 3]);
    let told = mistakes(&regime("law = \"trace\"\nfile = \"/dev/zero\""));
    assert_eq!(
        told,
        [format!("line 4: regime[0].file = \"/dev/zero\": {wanted}")]
    );
}
