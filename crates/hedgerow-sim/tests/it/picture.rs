//! Promises of the picture.

use std::time::Duration;

use hedgerow_sim::{Curve, Latencies, Law, Picture};

fn exact(law: &Law, calls: u32) -> Latencies {
    (0..calls)
        .map(|rank| law.quantile((f64::from(rank) + 0.99) / f64::from(calls)) / 1e3)
        .map(Duration::from_secs_f64)
        .collect()
}

#[test]
fn every_curve_is_drawn_named_and_marked_at_p99() {
    let (slow, fast) = (exact(&Law::w4(), 10_000), exact(&Law::w3(), 10_000));
    let svg = Picture::new("W4 against W3")
        .subtitle("10,000 calls")
        .curve(Curve::new("none", &slow).note("no extra calls"))
        .curve(Curve::new("percentile(95)", &fast))
        .to_svg();
    for text in [
        "W4 against W3",
        "10,000 calls",
        "none",
        "no extra calls",
        "percentile(95)",
    ] {
        assert!(svg.contains(&format!(">{text}<")), "{text}");
    }
    for text in ["408 ms", "64.2 ms", "99.99", "1 ms", "1 s"] {
        assert!(svg.contains(&format!(">{text}<")), "{text}");
    }
    assert!(svg.len() < 60_000, "{} bytes", svg.len());
}

#[test]
fn names_cannot_break_the_file() {
    let measured = exact(&Law::w1(), 100);
    let svg = Picture::new("<script>\"&'")
        .curve(Curve::new("a<b", &measured).note("</svg>"))
        .to_svg();
    assert!(svg.contains("&lt;script&gt;&quot;&amp;&#39;"));
    assert!(svg.contains("a&lt;b") && svg.contains("&lt;/svg&gt;"));
    assert_eq!(svg.matches("</svg>").count(), 1);
}

#[test]
fn a_picture_of_little_or_nothing_has_no_broken_numbers() {
    let none = Latencies::default();
    let one: Latencies = [Duration::ZERO].into_iter().collect();
    let wide: Latencies = [Duration::from_nanos(1), Duration::from_secs(1_000_000)]
        .into_iter()
        .collect();
    for measured in [&none, &one, &wide] {
        let svg = Picture::new("little")
            .curve(Curve::new("x", measured))
            .to_svg();
        assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
    }
    assert!(Picture::new("nothing").to_svg().ends_with("</svg>\n"));
}
