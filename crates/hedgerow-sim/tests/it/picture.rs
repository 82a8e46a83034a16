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

/// Of every piece of text that says `word`, how far down it stands.
fn depth(svg: &str, word: &str) -> f64 {
    let line = svg.lines().find(|line| line.contains(&format!(">{word}")));
    let line = line.unwrap_or_else(|| panic!("nothing says {word}"));
    let y = line
        .split(" y=\"")
        .nth(1)
        .and_then(|rest| rest.split('"').next());
    y.expect("a text has a place").parse().expect("a number")
}

#[test]
fn the_legend_stands_below_the_plot_and_inside_of_the_picture() {
    let measured = exact(&Law::w4(), 1_000);
    for (count, note) in [
        (1, ""),
        (3, "5.0 % extra attempts"),
        (9, &*"long ".repeat(9)),
        (14, ""),
    ] {
        let mut picture = Picture::new("many");
        for number in 0..count {
            let name = format!("policy {number}.");
            picture = picture.curve(Curve::new(name, &measured).note(note));
        }
        let svg = picture.to_svg();
        let height = svg
            .split("height=\"")
            .nth(1)
            .and_then(|rest| rest.split('"').next());
        let height: f64 = height.expect("it has one").parse().expect("a number");
        let caption = depth(&svg, "percentile of calls");
        let mut places = Vec::new();
        for number in 0..count {
            let y = depth(&svg, &format!("policy {number}."));
            assert!(
                y > caption + 10.0 && y < height - 5.0,
                "{count}: {y} of {height}"
            );
            places.push(y);
        }
        // A row holds two entries at most, and one where they are long.
        places.sort_by(f64::total_cmp);
        let rows = places.chunk_by(|one, other| one == other);
        let most = if note.starts_with("long") { 1 } else { 2 };
        assert!(rows.map(<[f64]>::len).max() <= Some(most), "{places:?}");
    }
}
