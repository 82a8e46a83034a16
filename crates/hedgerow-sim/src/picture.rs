//! Latency curves as one SVG: latency over percentile.

mod axis;
mod svg;
mod tradeoff;

use std::time::Duration;

use self::axis::{PercentileAxis, TimeAxis};
use self::svg::{Anchor, Svg};
use crate::latencies::Latencies;

const WIDTH: f64 = 960.0;
const HEIGHT: f64 = 580.0;
const LEFT: f64 = 92.0;
const RIGHT: f64 = WIDTH - 36.0;
const TOP: f64 = 96.0;
const BOTTOM: f64 = HEIGHT - 72.0;

const INK: &str = "#1f2933";
const FAINT_INK: &str = "#616e7c";
const GRID: &str = "#e4e7eb";
const FRAME: &str = "#9aa5b1";
const PAPER: &str = "#ffffff";

/// Where the values are written beside the curves, if the axis reaches that far.
const MARKED: f64 = 0.99;
/// Where the curves begin to matter: the time axis starts there.
const LOWEST: f64 = 0.02;
/// Least distance between two such values, in px.
const LABEL_HEIGHT: f64 = 17.0;
/// The legend stands below the plot: its first row, from there on a row each, and room after the last.
const LEGEND_TOP: f64 = HEIGHT + 10.0;
const LEGEND_ROW: f64 = 22.0;
const LEGEND_LINE: f64 = 38.0;
const LEGEND_END: f64 = 14.0;
/// How wide a letter of the legend is, about, in px: whether two entries stand in a row.
const LEGEND_LETTER: f64 = 7.2;

/// Line colour and dashes of each curve, in turn: Okabe and Ito's colours, which stay apart for
/// readers who do not see red and green apart; the dashes serve black-and-white prints.
const STYLES: &[(&str, &str)] = &[
    ("#d55e00", ""),
    ("#0072b2", "9 4"),
    ("#009e73", "2.5 3.5"),
    ("#cc79a7", "12 4 2.5 4"),
    ("#8a6d00", "5 3"),
    ("#56b4e9", "14 5"),
    ("#1f2933", "1.5 4"),
];

pub use self::tradeoff::Tradeoff;

/// Latency curves of several policies over one percentile axis, as an SVG.
///
/// The horizontal axis is that of HdrHistogram's plotter: each nine takes the same room, so the
/// tail is as wide as the body. The vertical one is logarithmic, in ms. Every curve's p99 is
/// marked and written beside it. The legend stands below the plot, so the height grows with it.
///
/// # Examples
///
/// ```
/// use hedgerow_sim::{Curve, Latencies, Picture};
/// use std::time::Duration;
///
/// let measured: Latencies = (1..=1_000).map(Duration::from_millis).collect();
/// let svg = Picture::new("Latency")
///     .subtitle("1,000 calls")
///     .curve(Curve::new("none", &measured))
///     .to_svg();
/// assert!(svg.starts_with("<svg"));
/// ```
#[derive(Clone, Debug)]
pub struct Picture<'a> {
    title: String,
    subtitle: String,
    curves: Vec<Curve<'a>>,
}

/// One curve of a [`Picture`]: measured latencies and their name.
#[derive(Clone, Debug)]
pub struct Curve<'a> {
    label: String,
    note: String,
    latencies: &'a Latencies,
}

impl<'a> Curve<'a> {
    /// The curve of `latencies`, called `label` in the legend.
    #[must_use]
    pub fn new(label: impl Into<String>, latencies: &'a Latencies) -> Self {
        Self {
            label: label.into(),
            note: String::new(),
            latencies,
        }
    }

    /// Sets what stands behind the label in the legend. Defaults to nothing.
    #[must_use]
    pub fn note(mut self, note: impl Into<String>) -> Self {
        self.note = note.into();
        self
    }
}

impl<'a> Picture<'a> {
    /// A picture without curves.
    #[must_use]
    pub fn new(title: impl Into<String>) -> Self {
        Self {
            title: title.into(),
            subtitle: String::new(),
            curves: Vec::new(),
        }
    }

    /// Sets the line under the title. Defaults to nothing.
    #[must_use]
    pub fn subtitle(mut self, subtitle: impl Into<String>) -> Self {
        self.subtitle = subtitle.into();
        self
    }

    /// Adds a curve. One without latencies stands in the legend only.
    #[must_use]
    pub fn curve(mut self, curve: Curve<'a>) -> Self {
        self.curves.push(curve);
        self
    }

    /// The whole file as text.
    #[must_use]
    pub fn to_svg(&self) -> String {
        let most = self
            .curves
            .iter()
            .map(|curve| curve.latencies.len())
            .max()
            .unwrap_or(0);
        let percentiles = PercentileAxis::new(most, LEFT, RIGHT);
        let times = self.times();
        let height = self.height();
        let mut svg = Svg::new(WIDTH, height, &self.title, &self.subtitle);
        svg.rect(0.0, 0.0, WIDTH, height, PAPER);
        self.heading(&mut svg);
        grid(&mut svg, &percentiles, &times);
        for (curve, style) in self.styled() {
            svg.path(
                &points(curve.latencies, &percentiles, &times),
                style.0,
                style.1,
            );
        }
        self.marks(&mut svg, &percentiles, &times);
        self.legend(&mut svg);
        svg.finish()
    }

    fn styled(&self) -> impl Iterator<Item = (&Curve<'a>, (&'static str, &'static str))> {
        self.curves.iter().zip((0..).map(style))
    }

    fn times(&self) -> TimeAxis {
        let ends = self.curves.iter().filter_map(|curve| {
            // The fastest few would take decades of the axis for nothing.
            let lowest = curve.latencies.quantile(LOWEST)?;
            Some((lowest, *curve.latencies.as_slice().last()?))
        });
        let (lows, highs): (Vec<_>, Vec<_>) = ends.unzip();
        let lowest = lows.into_iter().min().unwrap_or(Duration::from_millis(1));
        let highest = highs.into_iter().max().unwrap_or(Duration::from_secs(1));
        TimeAxis::new(lowest, highest, BOTTOM, TOP)
    }

    fn heading(&self, svg: &mut Svg) {
        svg.heading(LEFT, 42.0, 21.0, INK, &self.title);
        svg.text(LEFT, 68.0, 13.0, FAINT_INK, Anchor::Start, &self.subtitle);
    }

    /// A dot on every curve at p99, and its value beside it.
    fn marks(&self, svg: &mut Svg, percentiles: &PercentileAxis, times: &TimeAxis) {
        let Some(x) = percentiles.at(MARKED) else {
            return;
        };
        let mut marks: Vec<_> = self
            .styled()
            .filter_map(|(curve, style)| Some((curve.latencies.quantile(MARKED)?, style.0)))
            .collect();
        marks.sort_unstable_by_key(|mark| std::cmp::Reverse(mark.0));
        let mut last_label = TOP - LABEL_HEIGHT;
        for (value, colour) in marks {
            let y = times.at(value);
            let label_y = (y + 17.0).max(last_label + LABEL_HEIGHT);
            last_label = label_y;
            svg.dot(x, y, 4.5, colour, PAPER);
            svg.halo(x + 10.0, label_y, 13.0, colour, PAPER, &in_words(value));
        }
    }

    /// How many entries of the legend stand in a row.
    fn columns(&self) -> usize {
        let letters = |curve: &Curve<'_>| curve.label.chars().count() + curve.note.chars().count();
        let longest = self.curves.iter().map(letters).max().unwrap_or(0);
        let width = LEGEND_LINE + 30.0 + longest as f64 * LEGEND_LETTER;
        if self.curves.len() > 2 && 2.0 * width <= RIGHT - LEFT {
            2
        } else {
            1
        }
    }

    fn height(&self) -> f64 {
        match self.curves.len().div_ceil(self.columns()) {
            0 => HEIGHT,
            rows => LEGEND_TOP + rows as f64 * LEGEND_ROW + LEGEND_END,
        }
    }

    /// Down the first column, then down the second.
    fn legend(&self, svg: &mut Svg) {
        let columns = self.columns();
        let rows = self.curves.len().div_ceil(columns).max(1);
        let column = (RIGHT - LEFT) / columns as f64;
        for (number, (curve, style)) in self.styled().enumerate() {
            let x = LEFT + column * (number / rows) as f64;
            let y = LEGEND_TOP + LEGEND_ROW * ((number % rows) as f64 + 0.5);
            svg.path(&[(x, y), (x + LEGEND_LINE, y)], style.0, style.1);
            svg.legend_text(
                x + LEGEND_LINE + 10.0,
                y + 4.5,
                14.0,
                (INK, &curve.label),
                (FAINT_INK, &curve.note),
            );
        }
    }
}

/// The colour and the dashes of a curve: a colour that comes again has other dashes.
fn style(number: usize) -> (&'static str, &'static str) {
    let round = number / STYLES.len();
    let colour = STYLES[number % STYLES.len()].0;
    (colour, STYLES[(number + round) % STYLES.len()].1)
}

fn grid(svg: &mut Svg, percentiles: &PercentileAxis, times: &TimeAxis) {
    for (y, label) in times.ticks() {
        let width = if label.is_some() { 1.0 } else { 0.5 };
        svg.line((LEFT, y), (RIGHT, y), GRID, width);
        if let Some(label) = label {
            svg.text(LEFT - 10.0, y + 4.5, 13.0, FAINT_INK, Anchor::End, &label);
        }
    }
    for (x, label) in percentiles.ticks() {
        let colour = if percentiles.at(MARKED) == Some(x) {
            FRAME
        } else {
            GRID
        };
        svg.line((x, TOP), (x, BOTTOM), colour, 1.0);
        svg.line((x, BOTTOM), (x, BOTTOM + 5.0), FRAME, 1.0);
        svg.text(x, BOTTOM + 21.0, 13.0, FAINT_INK, Anchor::Middle, label);
    }
    svg.line((LEFT, BOTTOM), (RIGHT, BOTTOM), FRAME, 1.0);
    svg.line((LEFT, TOP), (LEFT, BOTTOM), FRAME, 1.0);
    let middle = f64::midpoint(LEFT, RIGHT);
    let caption = "percentile of calls (each nine takes the same room)";
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
        "latency (log scale)",
    );
}

/// One point a pixel, without the inner points of level stretches.
fn points(
    latencies: &Latencies,
    percentiles: &PercentileAxis,
    times: &TimeAxis,
) -> Vec<(f64, f64)> {
    let mut points: Vec<(f64, f64)> = Vec::new();
    for (x, q) in percentiles.pixels(latencies.len()) {
        let Some(value) = latencies.quantile(q) else {
            break;
        };
        let y = times.at(value);
        let level = points.len() >= 2 && points[points.len() - 2..].iter().all(|last| last.1 == y);
        if level && let Some(last) = points.last_mut() {
            last.0 = x;
        } else {
            points.push((x, y));
        }
    }
    points
}

/// Three figures: `0.84 ms`, `46.2 ms`, `408 ms`, `1.1 s`.
fn in_words(value: Duration) -> String {
    let ms = value.as_secs_f64() * 1e3;
    match ms {
        _ if ms < 9.995 => format!("{ms:.2} ms"),
        _ if ms < 99.95 => format!("{ms:.1} ms"),
        _ if ms < 999.5 => format!("{ms:.0} ms"),
        _ => format!("{:.2} s", ms / 1e3),
    }
}
