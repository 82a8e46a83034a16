//! What a latency costs, as one SVG: a quantile over the extra load.

use std::time::Duration;

use super::axis::TimeAxis;
use super::svg::{Anchor, Svg};
use super::{
    BOTTOM, FAINT_INK, FRAME, GRID, HEIGHT, INK, LEFT, PAPER, RIGHT, TOP, WIDTH, in_words, style,
};

/// Ticks of the load axis at most.
const MOST_TICKS: f64 = 8.0;
/// How wide a letter of a label is, about, and how high a line of them, in px.
const LETTER: f64 = 6.8;
const LINE: f64 = 15.0;

/// Policies as points: what they spend and what they reach, and a line below which nothing can be.
///
/// # Examples
///
/// ```
/// use hedgerow_sim::Tradeoff;
/// use std::time::Duration;
///
/// let ms = Duration::from_millis;
/// let svg = Tradeoff::new("p99 against extra load")
///     .limit([(1.0, ms(90)), (5.0, ms(46)), (10.0, ms(39))])
///     .point("percentile(95)", 5.0, ms(47))
///     .to_svg();
/// assert!(svg.starts_with("<svg"));
/// ```
#[derive(Clone, Debug)]
pub struct Tradeoff {
    title: String,
    subtitle: String,
    multiples: bool,
    limit: Vec<(f64, Duration)>,
    points: Vec<(String, f64, Duration)>,
}

impl Tradeoff {
    /// A picture without points.
    #[must_use]
    pub fn new(title: impl Into<String>) -> Self {
        Self {
            title: title.into(),
            subtitle: String::new(),
            multiples: false,
            limit: Vec::new(),
            points: Vec::new(),
        }
    }

    /// Sets the line under the title. Defaults to nothing.
    #[must_use]
    pub fn subtitle(mut self, subtitle: impl Into<String>) -> Self {
        self.subtitle = subtitle.into();
        self
    }

    /// Draws multiples of what is ideal instead of latencies: each millisecond stands for 1.
    #[must_use]
    pub const fn multiples(mut self) -> Self {
        self.multiples = true;
        self
    }

    /// Sets the best that could be reached: (percent, latency), ascending.
    #[must_use]
    pub fn limit(mut self, limit: impl IntoIterator<Item = (f64, Duration)>) -> Self {
        self.limit = limit.into_iter().collect();
        self
    }

    /// Adds a policy that spends `percent` and reaches `latency`.
    #[must_use]
    pub fn point(mut self, label: impl Into<String>, percent: f64, latency: Duration) -> Self {
        self.points.push((label.into(), percent, latency));
        self
    }

    /// The whole file as text.
    #[must_use]
    pub fn to_svg(&self) -> String {
        let latencies = self.points.iter().map(|point| point.2);
        let all = latencies.chain(self.limit.iter().map(|point| point.1));
        let lowest = all.clone().min().unwrap_or(Duration::from_millis(1));
        let highest = all.max().unwrap_or(Duration::from_secs(1));
        let times = TimeAxis::new(lowest, highest, BOTTOM, TOP);
        let most = self.points.iter().map(|point| point.1).fold(0.0, f64::max);
        let step = step_of(most.max(1.0) * 1.05 / MOST_TICKS);
        let end = (most.max(1.0) * 1.05 / step).ceil() * step;
        let at = |percent: f64| LEFT + (RIGHT - LEFT) * (percent / end).clamp(0.0, 1.0);

        let mut svg = Svg::new(WIDTH, HEIGHT, &self.title, &self.subtitle);
        svg.rect(0.0, 0.0, WIDTH, HEIGHT, PAPER);
        svg.heading(LEFT, 42.0, 21.0, INK, &self.title);
        svg.text(LEFT, 68.0, 13.0, FAINT_INK, Anchor::Start, &self.subtitle);
        self.frame(&mut svg, &times, (step, end), at);
        let within = self.limit.iter().filter(|point| point.0 <= end);
        let line: Vec<(f64, f64)> = within.map(|&(p, ms)| (at(p), times.at(ms))).collect();
        if !line.is_empty() {
            svg.path(&line, FRAME, "6 4");
            let last = line[line.len() - 1];
            svg.text(last.0, last.1 + 18.0, 13.0, FAINT_INK, Anchor::End, "limit");
        }
        let mut labels: Vec<Label> = Vec::new();
        for (number, (name, percent, latency)) in self.points.iter().enumerate() {
            let (x, y) = (at(*percent), times.at(*latency));
            svg.dot(x, y, 5.5, style(number).0, PAPER);
            let value = if self.multiples {
                format!("{:.2} ×", latency.as_secs_f64() * 1e3)
            } else {
                in_words(*latency)
            };
            labels.push(Label::new(x, y, format!("{name}: {value}")).beside(&labels));
        }
        for (number, label) in labels.iter().enumerate() {
            let Label {
                x,
                y,
                anchor,
                words,
                ..
            } = label;
            svg.text(*x, *y, 13.0, style(number).0, *anchor, words);
        }
        svg.finish()
    }

    fn frame(
        &self,
        svg: &mut Svg,
        times: &TimeAxis,
        (step, end): (f64, f64),
        at: impl Fn(f64) -> f64,
    ) {
        let ticks = if self.multiples {
            times.multiples()
        } else {
            times.ticks()
        };
        for (y, label) in ticks {
            svg.line(
                (LEFT, y),
                (RIGHT, y),
                GRID,
                if label.is_some() { 1.0 } else { 0.5 },
            );
            if let Some(label) = label {
                svg.text(LEFT - 10.0, y + 4.5, 13.0, FAINT_INK, Anchor::End, &label);
            }
        }
        for number in 0..=(end / step).round() as u32 {
            let percent = f64::from(number) * step;
            let x = at(percent);
            svg.line((x, TOP), (x, BOTTOM), GRID, 1.0);
            let label = format!("{percent} %");
            svg.text(x, BOTTOM + 21.0, 13.0, FAINT_INK, Anchor::Middle, &label);
        }
        svg.line((LEFT, BOTTOM), (RIGHT, BOTTOM), FRAME, 1.0);
        svg.line((LEFT, TOP), (LEFT, BOTTOM), FRAME, 1.0);
        let middle = f64::midpoint(LEFT, RIGHT);
        let caption = "extra attempts, in percent of the calls";
        svg.text(
            middle,
            HEIGHT - 20.0,
            13.0,
            FAINT_INK,
            Anchor::Middle,
            caption,
        );
        svg.upright(
            24.0,
            f64::midpoint(TOP, BOTTOM),
            13.0,
            FAINT_INK,
            if self.multiples {
                "slowdown (log scale)"
            } else {
                "latency (log scale)"
            },
        );
    }
}

/// The words beside a point, and the room that they take.
#[derive(Debug)]
struct Label {
    x: f64,
    y: f64,
    anchor: Anchor,
    from: f64,
    to: f64,
    words: String,
}

impl Label {
    fn new(x: f64, y: f64, words: String) -> Self {
        let width = words.chars().count() as f64 * LETTER;
        let left = x + 10.0 + width > RIGHT;
        let (x, anchor) = if left {
            (x - 10.0, Anchor::End)
        } else {
            (x + 10.0, Anchor::Start)
        };
        let (from, to) = if left { (x - width, x) } else { (x, x + width) };
        Self {
            x,
            y: y - 7.0,
            anchor,
            from,
            to,
            words,
        }
    }

    /// Higher up, until no other is in its way.
    fn beside(mut self, others: &[Self]) -> Self {
        let meets = |this: &Self| {
            let mut others = others.iter();
            others.any(|other| {
                (this.y - other.y).abs() < LINE - 0.5
                    && this.from < other.to
                    && other.from < this.to
            })
        };
        while meets(&self) && self.y > TOP {
            self.y -= LINE;
        }
        self
    }
}

/// The next of 1, 2, 5 times a power of ten.
fn step_of(least: f64) -> f64 {
    let power = 10_f64.powf(least.log10().floor());
    let digit = [1.0, 2.0, 5.0, 10.0]
        .into_iter()
        .find(|digit| digit * power >= least * (1.0 - 1e-9));
    digit.unwrap_or(10.0) * power
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_one_two_or_five() {
        for (least, step) in [(0.9, 1.0), (1.0, 1.0), (1.1, 2.0), (2.3, 5.0), (6.0, 10.0)] {
            assert!((step_of(least) - step).abs() < 1e-9, "{least}");
        }
    }

    #[test]
    fn every_policy_and_the_limit_are_drawn_and_named() {
        let ms = Duration::from_millis;
        let svg = Tradeoff::new("a & b")
            .limit([(1.0, ms(90)), (5.0, ms(46))])
            .point("one", 5.0, ms(47))
            .point("two", 9.0, ms(40))
            .to_svg();
        assert!(
            svg.contains("a &amp; b") && svg.contains("one: 47.0 ms"),
            "{svg}"
        );
        assert!(svg.contains("two: 40.0 ms") && svg.contains(">limit<"));
        assert_eq!(svg.matches("<circle").count(), 2);
    }

    #[test]
    fn labels_do_not_cover_each_other() {
        let ms = Duration::from_millis;
        let mut picture = Tradeoff::new("crowded");
        for number in 0..8 {
            picture = picture.point(format!("policy {number}"), 5.0, ms(46));
        }
        let svg = picture.to_svg();
        let words = svg.lines().filter(|line| line.contains(">policy "));
        let place = |line: &str| {
            let y = line
                .split(" y=\"")
                .nth(1)
                .and_then(|rest| rest.split('"').next());
            y.map(str::to_owned)
        };
        let places: std::collections::BTreeSet<_> = words.map(place).collect();
        assert_eq!(places.len(), 8, "{places:?}");
    }

    #[test]
    fn multiples_have_no_unit_of_time() {
        let ms = Duration::from_millis;
        let picture = Tradeoff::new("slowdown")
            .multiples()
            .point("none", 0.0, ms(5));
        let svg = picture.to_svg();
        assert!(
            svg.contains("none: 5.00 ×") && svg.contains(">5 ×<"),
            "{svg}"
        );
        assert!(!svg.contains(" ms<"), "{svg}");
    }

    #[test]
    fn nothing_to_draw_is_an_empty_frame() {
        assert!(Tradeoff::new("empty").to_svg().ends_with("</svg>\n"));
    }
}
