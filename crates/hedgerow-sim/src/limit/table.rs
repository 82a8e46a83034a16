//! Survivals that are asked for a million times: a law, or a table of one that is slow to compute.

use crate::law::Law;

/// Knots of a table.
const KNOTS: usize = 4096;
/// The shares of the attempts below the first knot and beyond the last one.
const ENDS: (f64, f64) = (1e-9, 1e-9);

/// What a search for a limit asks of a law.
pub(super) trait Survival {
    /// The share of attempts that take longer than `ms`.
    fn survival(&self, ms: f64) -> f64;

    /// The share of attempts that take at most `ms`.
    fn cdf(&self, ms: f64) -> f64 {
        1.0 - self.survival(ms)
    }
}

impl Survival for Law {
    fn survival(&self, ms: f64) -> f64 {
        Self::survival(self, ms)
    }
}

/// A law, or a table of it.
#[derive(Clone, Debug)]
pub(super) enum Tabled<'a> {
    Exact(&'a Law),
    Table {
        law: &'a Law,
        /// The logarithm of the first knot, and how far apart they are.
        first: f64,
        step: f64,
        survivals: Vec<f64>,
    },
}

impl<'a> Tabled<'a> {
    /// A table where one survival is a sum of hundreds, or where it is asked for `often` and has no
    /// jump; it is off by less than a millionth.
    pub(super) fn of(law: &'a Law, often: bool) -> Self {
        if !(law.is_slow() || often && law.is_smooth()) {
            return Self::Exact(law);
        }
        let (first, last) = (law.quantile(ENDS.0).ln(), law.quantile(1.0 - ENDS.1).ln());
        let step = (last - first) / (KNOTS - 1) as f64;
        let at = |knot: usize| law.survival((first + step * knot as f64).exp());
        Self::Table {
            law,
            first,
            step,
            survivals: (0..KNOTS).map(at).collect(),
        }
    }
}

impl Survival for Tabled<'_> {
    fn survival(&self, ms: f64) -> f64 {
        match self {
            Self::Exact(law) => law.survival(ms),
            Self::Table { .. } if ms <= 0.0 => 1.0,
            Self::Table {
                law,
                first,
                step,
                survivals,
            } => {
                let place = (ms.ln() - first) / step;
                if place <= 0.0 {
                    return 1.0;
                }
                let (knot, part) = (place as usize, place.fract());
                match survivals.get(knot..knot + 2) {
                    Some(ends) => ends[0] + (ends[1] - ends[0]) * part,
                    None => law.survival(ms),
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::law::LawPart;

    #[test]
    fn a_table_is_the_law_within_a_millionth() {
        let generation = LawPart::Generation {
            first_median_ms: 200.0,
            first_sigma: 0.5,
            tokens_median: 64.0,
            tokens_sigma: 0.35,
            ms_per_token: 12.0,
            shift_ms: 0.0,
        };
        let law = Law::mixture("generation", [(1.0, generation)]).expect("a good law");
        let table = Tabled::of(&law, false);
        assert!(matches!(table, Tabled::Table { .. }));
        for place in 0..2_000 {
            let ms = 100.0 * 1.003_f64.powi(place);
            let (got, want) = (table.survival(ms), law.survival(ms));
            assert!((got - want).abs() < 1e-6, "{ms}: {got} for {want}");
        }
    }

    #[test]
    fn laws_that_are_quick_or_jump_are_asked_themselves() {
        let pause = Law::mixture("pause", [(1.0, LawPart::Constant { ms: 5.0 })]);
        let pause = pause.expect("a good law");
        assert!(matches!(Tabled::of(&Law::w1(), false), Tabled::Exact(_)));
        assert!(matches!(Tabled::of(&pause, true), Tabled::Exact(_)));
        let often = Law::w3();
        let often = Tabled::of(&often, true);
        for place in 0..2_000 {
            let ms = 1.003_f64.powi(place);
            let (got, want) = (often.survival(ms), Law::w3().survival(ms));
            assert!((got - want).abs() < 1e-6, "{ms}: {got} for {want}");
        }
    }
}
