//! Laws of one's own: mixtures of simple ones, and traces.

use std::sync::Arc;

use super::shape::Shape;
use super::{Law, Part};

/// One component of a mixture.
///
/// Times are in milliseconds.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum LawPart {
    /// Lognormal: `median_ms`, and `sigma` of the logarithm.
    LogNormal {
        /// The median, above zero.
        median_ms: f64,
        /// The standard deviation of the natural logarithm, above zero.
        sigma: f64,
    },
    /// Pareto: survival (`mode_ms` / t)^`alpha` beyond `mode_ms`.
    Pareto {
        /// The smallest value, above zero.
        mode_ms: f64,
        /// How fast the tail falls, above zero; up to 1 it has no mean.
        alpha: f64,
    },
    /// Exponential of `mean_ms`, beginning at `shift_ms`.
    Exponential {
        /// Where it begins, zero or more.
        shift_ms: f64,
        /// The mean beyond the shift, above zero.
        mean_ms: f64,
    },
    /// Log-log linear survival through these points, the first of them with survival 1; the last
    /// slope goes on for ever.
    Chain {
        /// (ms, survival), rising and falling.
        points: Vec<(f64, f64)>,
    },
    /// A first token, and then so many at a pace: what a language model takes.
    Generation {
        /// The median of the time to the first token, above zero.
        first_median_ms: f64,
        /// The standard deviation of its logarithm, above zero.
        first_sigma: f64,
        /// The median of the number of tokens, above zero.
        tokens_median: f64,
        /// The standard deviation of its logarithm, above zero.
        tokens_sigma: f64,
        /// How long a token takes, above zero.
        ms_per_token: f64,
        /// What is added to all of it, zero or more.
        shift_ms: f64,
    },
    /// Always the same.
    Constant {
        /// The value, above zero.
        ms: f64,
    },
    /// One of these, each as likely as the others: latencies that were measured.
    Trace {
        /// In any order.
        ms: Vec<f64>,
    },
}

/// Why a law was refused.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum LawError {
    /// A parameter that has to be above zero.
    #[error("{what} = {value} is out of range: write a number above 0")]
    Positive {
        /// The parameter.
        what: &'static str,
        /// What was written.
        value: f64,
    },
    /// A shift below zero.
    #[error("shift_ms = {0} is out of range: write 0 or more")]
    Shift(f64),
    /// A chain that does not fall.
    #[error(
        "the points of a chain do not fall: write at least two [ms, survival], the first with \
         survival 1, each later one with more ms and less survival, above 0"
    )]
    Chain,
    /// A trace without latencies.
    #[error("the trace is empty: write at least one latency in ms")]
    EmptyTrace,
    /// A trace with something else in it.
    #[error("latency {at} of the trace is {value}: write milliseconds, 0 or more", at = .at + 1)]
    Trace {
        /// Its place, from 0.
        at: usize,
        /// What was written.
        value: f64,
    },
    /// No parts.
    #[error("a law without parts is none: write at least one")]
    NoParts,
    /// A share that is none.
    #[error("a share of {0} is out of range: write a number above 0, up to 1")]
    Share(f64),
    /// Shares that do not make one.
    #[error("the shares of the parts add up to {0}: write shares above 0 that add up to 1")]
    Shares(f64),
}

impl Law {
    /// A mixture: each part with the share of the attempts that follow it. Shares add up to 1.
    ///
    /// # Errors
    ///
    /// [`LawError`] if there are no parts, a share or a parameter is out of range, or the shares do
    /// not add up to 1 (within a millionth).
    ///
    /// # Examples
    ///
    /// ```
    /// use hedgerow_sim::{Law, LawPart};
    ///
    /// let law = Law::mixture("pauses", [
    ///     (0.99, LawPart::LogNormal { median_ms: 8.0, sigma: 0.4 }),
    ///     (0.01, LawPart::Constant { ms: 500.0 }),
    /// ])?;
    /// assert_eq!(law.quantile(0.995), 500.0);
    /// # Ok::<_, hedgerow_sim::LawError>(())
    /// ```
    pub fn mixture(
        id: impl Into<String>,
        parts: impl IntoIterator<Item = (f64, LawPart)>,
    ) -> Result<Self, LawError> {
        let parts = parts
            .into_iter()
            .map(|(share, part)| {
                if !(share > 0.0 && share <= 1.0) {
                    return Err(LawError::Share(share));
                }
                let shape = part.shape()?;
                Ok(Part { share, shape })
            })
            .collect::<Result<Vec<_>, _>>()?;
        if parts.is_empty() {
            return Err(LawError::NoParts);
        }
        let sum: f64 = parts.iter().map(|part| part.share).sum();
        if (sum - 1.0).abs() > 1e-6 {
            return Err(LawError::Shares(sum));
        }
        let id = id.into();
        Ok(Self {
            name: id.clone().into(),
            description: id.clone().into(),
            id: id.into(),
            parts,
            table: Arc::default(),
        })
    }

    /// Sets the description. Defaults to the id.
    #[must_use]
    pub fn described(mut self, description: impl Into<String>) -> Self {
        self.description = description.into().into();
        self
    }
}

impl LawPart {
    fn shape(self) -> Result<Shape, LawError> {
        match self {
            Self::LogNormal { median_ms, sigma } => Shape::log_normal(median_ms, sigma),
            Self::Pareto { mode_ms, alpha } => Shape::pareto(mode_ms, alpha),
            Self::Exponential { shift_ms, mean_ms } => Shape::exponential(shift_ms, mean_ms),
            Self::Chain { points } => Shape::chain(&points),
            Self::Generation {
                first_median_ms,
                first_sigma,
                tokens_median,
                tokens_sigma,
                ms_per_token,
                shift_ms,
            } => Shape::generation(
                (first_median_ms, first_sigma),
                (tokens_median, tokens_sigma),
                (ms_per_token, shift_ms),
            ),
            Self::Constant { ms } => Shape::constant(ms),
            Self::Trace { ms } => Shape::trace(ms),
        }
    }
}
