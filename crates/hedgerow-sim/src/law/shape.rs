//! The simple laws that workloads are mixed from.

use std::f64::consts::SQRT_2;
use std::sync::Arc;

use rand::{Rng, RngExt};
use rand_distr::{Distribution, Exp, LogNormal, OpenClosed01, Pareto};

use super::LawError;

/// Places of the first part of a generation that stand for all.
const FIRSTS: u32 = 256;

/// One simple law over milliseconds, with its survival function in closed form.
#[derive(Clone, Debug)]
pub(super) enum Shape {
    LogNormal {
        mu: f64,
        sigma: f64,
        draw: LogNormal<f64>,
    },
    Pareto {
        mode: f64,
        alpha: f64,
        draw: Pareto<f64>,
    },
    Exponential {
        shift: f64,
        mean: f64,
        draw: Exp<f64>,
    },
    /// Log-log linear through (ms, survival) points; the last slope goes on for ever.
    Chain { points: Arc<[(f64, f64)]> },
    /// A first part and a number of tokens at a pace: the sum of two lognormal ones.
    Generation {
        first: LogNormal<f64>,
        tokens: LogNormal<f64>,
        shift: f64,
        /// (µ, σ) of the tokens' time, and the first part at equally likely places.
        pace: (f64, f64),
        firsts: Arc<[f64]>,
    },
    /// Always the same.
    Constant { ms: f64 },
    /// Any of these, ascending, each as likely as the others.
    Trace { sorted: Arc<[f64]> },
}

/// A finite number above zero.
fn positive(what: &'static str, value: f64) -> Result<f64, LawError> {
    if value.is_finite() && value > 0.0 {
        return Ok(value);
    }
    Err(LawError::Positive { what, value })
}

impl Shape {
    pub(super) fn log_normal(median: f64, sigma: f64) -> Result<Self, LawError> {
        let mu = positive("median_ms", median)?.ln();
        let sigma = positive("sigma", sigma)?;
        let refused = |_| LawError::Positive {
            what: "sigma",
            value: sigma,
        };
        let draw = LogNormal::new(mu, sigma).map_err(refused)?;
        Ok(Self::LogNormal { mu, sigma, draw })
    }

    pub(super) fn pareto(mode: f64, alpha: f64) -> Result<Self, LawError> {
        let (mode, alpha) = (positive("mode_ms", mode)?, positive("alpha", alpha)?);
        let refused = |_| LawError::Positive {
            what: "alpha",
            value: alpha,
        };
        let draw = Pareto::new(mode, alpha).map_err(refused)?;
        Ok(Self::Pareto { mode, alpha, draw })
    }

    pub(super) fn exponential(shift: f64, mean: f64) -> Result<Self, LawError> {
        let mean = positive("mean_ms", mean)?;
        if !(shift.is_finite() && shift >= 0.0) {
            return Err(LawError::Shift(shift));
        }
        let refused = |_| LawError::Positive {
            what: "mean_ms",
            value: mean,
        };
        let draw = Exp::new(1.0 / mean).map_err(refused)?;
        Ok(Self::Exponential { shift, mean, draw })
    }

    /// At least two points, ms rising from a survival of 1, survival falling.
    pub(super) fn chain(points: &[(f64, f64)]) -> Result<Self, LawError> {
        let rising = points.windows(2).all(|pair| {
            let ((from, before), (to, after)) = (pair[0], pair[1]);
            from > 0.0 && to > from && to.is_finite() && after < before && after > 0.0
        });
        if points.len() < 2 || points[0].1 != 1.0 || !rising {
            return Err(LawError::Chain);
        }
        Ok(Self::Chain {
            points: points.into(),
        })
    }

    pub(super) fn generation(
        (first_median, first_sigma): (f64, f64),
        (tokens_median, tokens_sigma): (f64, f64),
        (ms_per_token, shift): (f64, f64),
    ) -> Result<Self, LawError> {
        let law = |(median_is, median): (_, f64), (sigma_is, sigma): (_, f64)| {
            let (median, sigma) = (positive(median_is, median)?, positive(sigma_is, sigma)?);
            let refused = |_| LawError::Positive {
                what: sigma_is,
                value: sigma,
            };
            LogNormal::new(median.ln(), sigma).map_err(refused)
        };
        let per_token = positive("ms_per_token", ms_per_token)?;
        if !(shift.is_finite() && shift >= 0.0) {
            return Err(LawError::Shift(shift));
        }
        let first = law(
            ("first_median_ms", first_median),
            ("first_sigma", first_sigma),
        )?;
        let tokens = law(
            ("tokens_median", tokens_median * per_token),
            ("tokens_sigma", tokens_sigma),
        )?;
        let firsts = (0..FIRSTS).map(|n| {
            let share = (f64::from(n) + 0.5) / f64::from(FIRSTS);
            first_median * (first_sigma * normal_at(share)).exp()
        });
        Ok(Self::Generation {
            first,
            tokens,
            shift,
            pace: ((tokens_median * per_token).ln(), tokens_sigma),
            firsts: firsts.collect(),
        })
    }

    pub(super) fn constant(ms: f64) -> Result<Self, LawError> {
        Ok(Self::Constant {
            ms: positive("ms", ms)?,
        })
    }

    pub(super) fn trace(mut ms: Vec<f64>) -> Result<Self, LawError> {
        if ms.is_empty() {
            return Err(LawError::EmptyTrace);
        }
        for (at, &value) in ms.iter().enumerate() {
            if !(value.is_finite() && value >= 0.0) {
                return Err(LawError::Trace { at, value });
            }
        }
        ms.sort_by(f64::total_cmp);
        Ok(Self::Trace { sorted: ms.into() })
    }

    pub(super) fn sample<R: Rng + ?Sized>(&self, rng: &mut R) -> f64 {
        match self {
            Self::LogNormal { draw, .. } => draw.sample(rng),
            Self::Pareto { draw, .. } => draw.sample(rng),
            Self::Exponential { shift, draw, .. } => shift + draw.sample(rng),
            Self::Chain { points } => chain_at(points, OpenClosed01.sample(rng)),
            Self::Generation {
                first,
                tokens,
                shift,
                ..
            } => shift + first.sample(rng) + tokens.sample(rng),
            Self::Constant { ms } => *ms,
            Self::Trace { sorted } => sorted[rng.random_range(0..sorted.len())],
        }
    }

    /// Whether its survival has no jumps.
    pub(super) const fn is_smooth(&self) -> bool {
        !matches!(self, Self::Constant { .. } | Self::Trace { .. })
    }

    pub(super) fn survival(&self, ms: f64) -> f64 {
        match self {
            Self::LogNormal { mu, sigma, .. } => beyond(*mu, *sigma, ms),
            Self::Generation {
                shift,
                pace: (mu, sigma),
                firsts,
                ..
            } => {
                let sum: f64 = firsts
                    .iter()
                    .map(|first| beyond(*mu, *sigma, ms - shift - first))
                    .sum();
                sum / firsts.len() as f64
            }
            Self::Pareto { mode, alpha, .. } if ms > *mode => (mode / ms).powf(*alpha),
            Self::Exponential { shift, mean, .. } if ms > *shift => ((shift - ms) / mean).exp(),
            Self::Chain { points } if ms > points[0].0 => chain_survival(points, ms),
            Self::Constant { ms: always } if ms >= *always => 0.0,
            Self::Trace { sorted } => {
                let within = sorted.partition_point(|&taken| taken <= ms);
                1.0 - within as f64 / sorted.len() as f64
            }
            _ => 1.0,
        }
    }
}

/// The share of a lognormal law beyond `ms`.
fn beyond(mu: f64, sigma: f64, ms: f64) -> f64 {
    if ms <= 0.0 {
        return 1.0;
    }
    0.5 * libm::erfc((ms.ln() - mu) / (sigma * SQRT_2))
}

/// What a share of the standard normal law stays within, to the last bit of an `f64`.
fn normal_at(share: f64) -> f64 {
    let (mut below, mut within) = (-40.0, 40.0);
    loop {
        let middle = f64::midpoint(below, within);
        if middle <= below || middle >= within {
            return within;
        }
        if 0.5 * libm::erfc(-middle / SQRT_2) < share {
            below = middle;
        } else {
            within = middle;
        }
    }
}

fn chain_survival(points: &[(f64, f64)], ms: f64) -> f64 {
    let (left, right) = piece(points, |point| point.0 >= ms);
    // Of logarithms: the quotient of two finite numbers need not be finite.
    let slope = (right.1.ln() - left.1.ln()) / (right.0.ln() - left.0.ln());
    left.1 * (slope * (ms.ln() - left.0.ln())).exp()
}

/// The latency that a share `tail` of the attempts exceeds: the inverse of the survival.
fn chain_at(points: &[(f64, f64)], tail: f64) -> f64 {
    let (left, right) = piece(points, |point| point.1 <= tail);
    let slope = (right.0.ln() - left.0.ln()) / (right.1.ln() - left.1.ln());
    left.0 * (slope * (tail.ln() - left.1.ln())).exp()
}

/// The piece that ends at the first point which `reaches`, else the last piece.
fn piece(points: &[(f64, f64)], reaches: impl Fn(&(f64, f64)) -> bool) -> ((f64, f64), (f64, f64)) {
    let end = points
        .iter()
        .position(reaches)
        .unwrap_or(points.len() - 1)
        .max(1);
    (points[end - 1], points[end])
}

#[cfg(test)]
mod tests {
    use super::*;

    const POINTS: &[(f64, f64)] = &[(1.0, 1.0), (10.0, 0.1), (100.0, 0.001)];

    #[test]
    fn a_chain_goes_through_its_points_and_on_beyond_them() {
        let chain = Shape::chain(POINTS).expect("a falling chain");
        for (ms, survival) in [
            (0.5, 1.0),
            (1.0, 1.0),
            (10.0, 0.1),
            (100.0, 0.001),
            (1e3, 1e-5),
        ] {
            assert!((chain.survival(ms) / survival - 1.0).abs() < 1e-12, "{ms}");
        }
    }

    #[test]
    fn the_inverse_of_a_chain_is_its_inverse() {
        let chain = Shape::chain(POINTS).expect("a falling chain");
        for tail in [1.0, 0.7, 0.1, 0.05, 0.001, 1e-7] {
            assert!(
                (chain.survival(chain_at(POINTS, tail)) / tail - 1.0).abs() < 1e-9,
                "{tail}"
            );
        }
    }
}
