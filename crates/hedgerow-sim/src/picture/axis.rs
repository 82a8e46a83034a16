//! The two scales: percentile by nines, time by decades.

use std::time::Duration;

/// The ticks of the percentile axis, as shares and as they are written.
const PERCENTILES: &[(f64, &str)] = &[
    (0.0, "0"),
    (0.5, "50"),
    (0.75, "75"),
    (0.9, "90"),
    (0.95, "95"),
    (0.99, "99"),
    (0.995, "99.5"),
    (0.999, "99.9"),
    (0.9995, "99.95"),
    (0.9999, "99.99"),
    (0.99999, "99.999"),
    (0.999_999, "99.9999"),
];

/// Least distance between two written ticks, in px.
const TICK_ROOM: f64 = 30.0;

/// Share to px, by −log₁₀(1 − share): each nine is as wide as the one before.
pub(super) struct PercentileAxis {
    left: f64,
    right: f64,
    nines: f64,
}

/// Time to px, by its logarithm, over whole steps of 1-2-5.
pub(super) struct TimeAxis {
    bottom: f64,
    top: f64,
    low_ms: f64,
    high_ms: f64,
}

impl PercentileAxis {
    /// An axis that reaches as far as `samples` can tell: 99.99 for 10,000 of them.
    pub(super) fn new(samples: usize, left: f64, right: f64) -> Self {
        let nines = (samples as f64).log10().max(1.0);
        Self { left, right, nines }
    }

    /// Where a share stands, if the axis reaches it.
    pub(super) fn at(&self, share: f64) -> Option<f64> {
        let nines = -(1.0 - share).log10();
        // A hair of tolerance: ten thousand calls do reach 99.99.
        (nines <= self.nines + 1e-9).then(|| self.left + self.px_a_nine() * nines)
    }

    pub(super) fn ticks(&self) -> Vec<(f64, &'static str)> {
        let mut ticks: Vec<(f64, &str)> = Vec::new();
        for &(share, label) in PERCENTILES {
            let Some(x) = self.at(share) else {
                break;
            };
            if ticks.last().is_none_or(|last| x - last.0 >= TICK_ROOM) {
                ticks.push((x, label));
            }
        }
        ticks
    }

    /// Every pixel with its share, as far as `samples` can tell.
    pub(super) fn pixels(&self, samples: usize) -> impl Iterator<Item = (f64, f64)> {
        let (left, px) = (self.left, self.px_a_nine());
        let nines = (samples as f64).log10().clamp(0.0, self.nines);
        let whole = (px * nines).floor() as u32;
        (0..=whole)
            .map(move |x| f64::from(x) / px)
            .chain([nines])
            .map(move |at| (left + px * at, 1.0 - 10_f64.powf(-at)))
    }

    fn px_a_nine(&self) -> f64 {
        (self.right - self.left) / self.nines
    }
}

impl TimeAxis {
    pub(super) fn new(lowest: Duration, highest: Duration, bottom: f64, top: f64) -> Self {
        let low_ms = step_below(lowest.as_secs_f64() * 1e3);
        // A little room above the highest curve.
        let high_ms = step_above(highest.as_secs_f64() * 1.1e3).max(10.0 * low_ms);
        Self {
            bottom,
            top,
            low_ms,
            high_ms,
        }
    }

    pub(super) fn at(&self, time: Duration) -> f64 {
        self.at_ms(time.as_secs_f64() * 1e3)
    }

    /// Every 1-2-5 step with its label, and the lines between without one.
    pub(super) fn ticks(&self) -> Vec<(f64, Option<String>)> {
        self.labelled(label)
    }

    /// The same where a millisecond stands for 1: multiples of what is ideal.
    pub(super) fn multiples(&self) -> Vec<(f64, Option<String>)> {
        self.labelled(|digit, exponent| {
            let value = f64::from(digit) * 10_f64.powi(exponent);
            // The rounding takes away what `powi` adds.
            format!("{} ×", (value * 1e6).round() / 1e6)
        })
    }

    fn labelled(&self, label: impl Fn(i32, i32) -> String) -> Vec<(f64, Option<String>)> {
        let mut ticks = Vec::new();
        for exponent in decade(self.low_ms)..=decade(self.high_ms) {
            for digit in 1..=9 {
                let ms = f64::from(digit) * 10_f64.powi(exponent);
                if ms < self.low_ms * 0.999 || ms > self.high_ms * 1.001 {
                    continue;
                }
                let label = matches!(digit, 1 | 2 | 5).then(|| label(digit, exponent));
                ticks.push((self.at_ms(ms), label));
            }
        }
        ticks
    }

    fn at_ms(&self, ms: f64) -> f64 {
        let share = (ms / self.low_ms).ln() / (self.high_ms / self.low_ms).ln();
        self.bottom + (self.top - self.bottom) * share.clamp(0.0, 1.0)
    }
}

/// The power of ten of the 1-2-5 step; the nudge absorbs what `powi` rounds.
fn decade(ms: f64) -> i32 {
    (ms * 1.000_001).log10().floor() as i32
}

fn step_below(ms: f64) -> f64 {
    // A microsecond is the least that anybody wants to see.
    let ms = ms.max(0.001);
    let power = 10_f64.powi(decade(ms));
    let steps = [5.0, 2.0, 1.0].map(|step| step * power);
    steps
        .into_iter()
        .find(|step| *step <= ms * 1.000_001)
        .unwrap_or(power)
}

fn step_above(ms: f64) -> f64 {
    let ms = ms.max(0.001);
    let power = 10_f64.powi(decade(ms));
    let steps = [1.0, 2.0, 5.0].map(|step| step * power);
    steps
        .into_iter()
        .find(|step| *step >= ms * 0.999_999)
        .unwrap_or(10.0 * power)
}

fn label(digit: i32, exponent: i32) -> String {
    let scaled = |zeros: i32, unit| format!("{}{} {unit}", digit, "0".repeat(zeros as usize));
    match exponent {
        ..-3 => format!("{} µs", f64::from(digit) * 10_f64.powi(exponent + 3)),
        -3..0 => scaled(exponent + 3, "µs"),
        0..3 => scaled(exponent, "ms"),
        3.. => scaled(exponent - 3, "s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_nine_takes_the_same_room() {
        let axis = PercentileAxis::new(10_000, 0.0, 400.0);
        for (share, x) in [(0.0, 0.0), (0.9, 100.0), (0.99, 200.0), (0.9999, 400.0)] {
            let at = axis.at(share).expect("within four nines");
            assert!((at - x).abs() < 1e-6, "{share}: {at}");
        }
        assert_eq!(axis.at(0.99999), None);
    }

    #[test]
    fn the_time_axis_ends_on_round_steps_around_the_data() {
        let axis = TimeAxis::new(
            Duration::from_micros(1_300),
            Duration::from_millis(2_200),
            0.0,
            1.0,
        );
        assert_eq!((axis.low_ms, axis.high_ms), (1.0, 5_000.0));
    }

    #[test]
    fn times_are_labelled_in_the_unit_that_fits() {
        for (digit, exponent, text) in [
            (2, -2, "20 µs"),
            (5, -1, "500 µs"),
            (1, 0, "1 ms"),
            (2, 2, "200 ms"),
            (5, 4, "50 s"),
        ] {
            assert_eq!(label(digit, exponent), text);
        }
    }

    #[test]
    fn the_last_pixel_is_as_far_as_the_samples_tell() {
        let axis = PercentileAxis::new(10_000, 0.0, 400.0);
        let (x, q) = axis.pixels(1_000).last().expect("there are pixels");
        assert!(
            (x - 300.0).abs() < 1e-6 && (q - 0.999).abs() < 1e-9,
            "{x} {q}"
        );
    }
}
