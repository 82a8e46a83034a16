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
#[derive(Clone, Copy, Debug)]
pub(super) enum Tabled<'a> {
    Exact(&'a Law),
    Table(&'a Law, &'a Table),
}

/// Survivals at knots that are equally far apart in the logarithm of the time.
#[derive(Clone, Debug)]
pub(crate) struct Table {
    /// What they are of, of all attempts.
    share: f64,
    /// The logarithm of the first knot, and how far apart they are.
    first: f64,
    step: f64,
    survivals: Vec<f64>,
}

impl<'a> Tabled<'a> {
    /// A table where one survival is a sum of hundreds, or where it is asked for `often`. What jumps is
    /// not read off it, and it is off by less than a millionth.
    pub(super) fn of(law: &'a Law, often: bool) -> Self {
        if !(law.is_slow() || often) {
            return Self::Exact(law);
        }
        law.table()
            .map_or(Self::Exact(law), |table| Self::Table(law, table))
    }
}

impl Table {
    /// Of a law without jumps that a `share` of the attempts follows.
    pub(crate) fn of(share: f64, law: &Law) -> Self {
        let (first, last) = (law.quantile(ENDS.0).ln(), law.quantile(1.0 - ENDS.1).ln());
        let step = (last - first) / (KNOTS - 1) as f64;
        let at = |knot: usize| law.survival((first + step * knot as f64).exp());
        Self {
            share,
            first,
            step,
            survivals: (0..KNOTS).map(at).collect(),
        }
    }

    /// `None` beyond the last knot.
    fn survival(&self, ms: f64) -> Option<f64> {
        if ms <= 0.0 {
            return Some(self.share);
        }
        let place = (ms.ln() - self.first) / self.step;
        if place <= 0.0 {
            return Some(self.share);
        }
        let (knot, part) = (place as usize, place.fract());
        let ends = self.survivals.get(knot..knot.checked_add(2)?)?;
        Some(self.share * (ends[0] + (ends[1] - ends[0]) * part))
    }
}

impl Survival for Tabled<'_> {
    fn survival(&self, ms: f64) -> f64 {
        match self {
            Self::Exact(law) => law.survival(ms),
            Self::Table(law, table) => match table.survival(ms) {
                Some(smooth) => smooth + law.jumping(ms),
                None => law.survival(ms),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::law::LawPart;

    fn generation() -> LawPart {
        LawPart::Generation {
            first_median_ms: 200.0,
            first_sigma: 0.5,
            tokens_median: 64.0,
            tokens_sigma: 0.35,
            ms_per_token: 12.0,
            shift_ms: 0.0,
        }
    }

    #[test]
    fn a_table_is_the_law_within_a_millionth() {
        let law = Law::mixture("generation", [(1.0, generation())]).expect("a good law");
        let table = Tabled::of(&law, false);
        assert!(matches!(table, Tabled::Table(..)));
        for place in 0..2_000 {
            let ms = 100.0 * 1.003_f64.powi(place);
            let (got, want) = (table.survival(ms), law.survival(ms));
            assert!((got - want).abs() < 1e-6, "{ms}: {got} for {want}");
        }
    }

    /// It would be off by as much as one part is of the attempts.
    #[test]
    fn a_jump_among_generations_stays_where_it_is() {
        let jump = LawPart::Constant { ms: 900.0 };
        let law = Law::mixture("both", [(0.9, generation()), (0.1, jump)]).expect("a good law");
        let table = Tabled::of(&law, false);
        assert!(matches!(table, Tabled::Table(..)));
        for ms in [
            0.0,
            100.0,
            899.0,
            899.999_999,
            900.0,
            900.000_001,
            901.0,
            2_000.0,
        ] {
            let (got, want) = (table.survival(ms), law.survival(ms));
            assert!((got - want).abs() < 1e-6, "{ms}: {got} for {want}");
        }
    }

    /// What a limit costs is the survivals that it asks for: of a table one, of generations 256 terms.
    #[test]
    fn a_law_of_generations_and_its_clones_make_one_table() {
        let law = Law::mixture("generation", [(1.0, generation())]).expect("a good law");
        let clone = law.clone();
        let limit = law.limit(0.99, 0.05, 2);
        let (one, other) = (law.table(), clone.table());
        let (one, other) = (one.expect("a table"), other.expect("a table"));
        assert!(
            std::ptr::eq(one, other),
            "the clone reads what the law made"
        );
        assert!(limit.ms < law.quantile(0.99));
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
