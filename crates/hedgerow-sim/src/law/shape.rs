//! The simple laws that workloads are mixed from.

use rand::Rng;
use rand_distr::{Distribution, Exp, LogNormal, OpenClosed01, Pareto};

/// One simple law over milliseconds, with its survival function in closed form.
#[derive(Clone, Copy, Debug)]
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
    Chain { points: &'static [(f64, f64)] },
}

impl Shape {
    pub(super) fn log_normal(median: f64, sigma: f64) -> Self {
        let mu = median.ln();
        let draw = LogNormal::new(mu, sigma).expect("the catalogue's sigmas are finite");
        Self::LogNormal { mu, sigma, draw }
    }

    pub(super) fn pareto(mode: f64, alpha: f64) -> Self {
        let draw = Pareto::new(mode, alpha).expect("the catalogue's modes and alphas are positive");
        Self::Pareto { mode, alpha, draw }
    }

    pub(super) fn exponential(shift: f64, mean: f64) -> Self {
        let draw = Exp::new(1.0 / mean).expect("the catalogue's means are positive");
        Self::Exponential { shift, mean, draw }
    }

    /// At least two points, ms rising from a survival of 1, survival falling.
    pub(super) fn chain(points: &'static [(f64, f64)]) -> Self {
        Self::Chain { points }
    }

    pub(super) fn sample<R: Rng + ?Sized>(&self, rng: &mut R) -> f64 {
        match self {
            Self::LogNormal { draw, .. } => draw.sample(rng),
            Self::Pareto { draw, .. } => draw.sample(rng),
            Self::Exponential { shift, draw, .. } => shift + draw.sample(rng),
            Self::Chain { points } => chain_at(points, OpenClosed01.sample(rng)),
        }
    }

    pub(super) fn survival(&self, ms: f64) -> f64 {
        match *self {
            Self::LogNormal { mu, sigma, .. } if ms > 0.0 => {
                0.5 * libm::erfc((ms.ln() - mu) / (sigma * std::f64::consts::SQRT_2))
            }
            Self::Pareto { mode, alpha, .. } if ms > mode => (mode / ms).powf(alpha),
            Self::Exponential { shift, mean, .. } if ms > shift => ((shift - ms) / mean).exp(),
            Self::Chain { points } if ms > points[0].0 => chain_survival(points, ms),
            _ => 1.0,
        }
    }
}

fn chain_survival(points: &[(f64, f64)], ms: f64) -> f64 {
    let (left, right) = piece(points, |point| point.0 >= ms);
    let slope = (right.1 / left.1).ln() / (right.0 / left.0).ln();
    left.1 * (ms / left.0).powf(slope)
}

/// The latency that a share `tail` of the attempts exceeds: the inverse of the survival.
fn chain_at(points: &[(f64, f64)], tail: f64) -> f64 {
    let (left, right) = piece(points, |point| point.1 <= tail);
    let slope = (right.0 / left.0).ln() / (right.1 / left.1).ln();
    left.0 * (tail / left.1).powf(slope)
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
        let chain = Shape::chain(POINTS);
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
        let chain = Shape::chain(POINTS);
        for tail in [1.0, 0.7, 0.1, 0.05, 0.001, 1e-7] {
            assert!(
                (chain.survival(chain_at(POINTS, tail)) / tail - 1.0).abs() < 1e-9,
                "{tail}"
            );
        }
    }
}
