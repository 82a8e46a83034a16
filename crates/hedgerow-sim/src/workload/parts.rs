//! What limits have to know of a workload: which of its calls follow which law.

use super::{Class, Workload};
use crate::law::Law;
use crate::limit::{LimitPart, Spending};

/// The calls that stand for all of them, and the pieces into which a wave is cut.
const LOOKED_AT: u64 = 4096;
const PIECES: usize = 64;

impl Workload {
    /// The parts of its first `calls` calls, each with a law and a factor, and over what a bound on the
    /// load holds for their [`limit`](LimitPart::limit).
    ///
    /// Classes are interleaved: what a budget allows they may spend [together](Spending::Together), and
    /// factors make multiples of each class's ideal of the latencies. Regimes follow one another, and so
    /// do the calls of a wave, which is cut into 64 pieces by its height: a budget that holds over
    /// every window holds in [each](Spending::Each).
    ///
    /// `None` where both come together, or a fan-out has several parts: no limit is known then.
    ///
    /// # Examples
    ///
    /// ```
    /// use hedgerow_sim::{LimitPart, Workload};
    ///
    /// let w7 = Workload::named("w7").expect("it is in the catalogue");
    /// let (parts, spending) = w7.parts(90_000).expect("regimes alone");
    /// assert_eq!(parts.len(), 3);
    /// let limit = LimitPart::limit(&parts, 0.99, 0.05, 1, spending);
    /// assert!(limit.quantile < LimitPart::quantile(&parts, 0.99));
    /// ```
    #[must_use]
    pub fn parts(&self, calls: u64) -> Option<(Vec<LimitPart>, Spending)> {
        if calls == 0 {
            return None;
        }
        if !self.classes.is_empty() {
            if self.wave.is_some() || self.fan_out > 1 {
                return None;
            }
            let classes = self.classes.iter();
            let part = |class: &Class| {
                LimitPart::new(class.share, class.law.clone(), 1.0 / class.ideal_ms)
            };
            return Some((classes.map(part).collect(), Spending::Together));
        }
        let parts = self.waves(&self.stretches(calls));
        (self.fan_out == 1 || parts.len() == 1).then_some((parts, Spending::Each))
    }

    /// The latency in ms that a share `q` of the attempts of its first `calls` calls stays within: of a
    /// fan-out, of its leaves.
    ///
    /// # Panics
    ///
    /// If `q` is not in 0 ≤ `q` < 1.
    ///
    /// # Examples
    ///
    /// ```
    /// use hedgerow_sim::Workload;
    ///
    /// let w4 = Workload::named("w4").expect("it is in the catalogue");
    /// assert_eq!(w4.quantile(1_000, 0.99).round(), 408.0);
    /// ```
    #[must_use]
    #[track_caller]
    pub fn quantile(&self, calls: u64, q: f64) -> f64 {
        let calls = calls.max(1);
        if self.classes.is_empty() {
            return LimitPart::quantile(&self.waves(&self.stretches(calls)), q);
        }
        let mut parts = Vec::new();
        for class in &self.classes {
            for part in self.waved(&class.law, 0, calls) {
                parts.push(LimitPart::new(
                    class.share * part.weight,
                    part.law,
                    part.factor,
                ));
            }
        }
        LimitPart::quantile(&parts, q)
    }

    /// Each regime that is reached within so many calls: its first call and the one after its last.
    fn stretches(&self, calls: u64) -> Vec<(u64, u64)> {
        let mut stretches = Vec::new();
        let (mut from, last) = (0, self.regimes.len() - 1);
        for (at, regime) in self.regimes.iter().enumerate() {
            let to = match regime.calls {
                Some(long) if at < last => calls.min(from + long),
                // After the last regime has ended it goes on.
                _ => calls,
            };
            if to > from {
                stretches.push((from, to));
            }
            from = to;
        }
        stretches
    }

    fn waves(&self, stretches: &[(u64, u64)]) -> Vec<LimitPart> {
        let stretches = stretches.iter().zip(&self.regimes);
        stretches
            .flat_map(|(&(from, to), regime)| self.waved(&regime.law, from, to))
            .collect()
    }

    /// A law over some of the calls, in pieces by how high the wave is.
    fn waved(&self, law: &Law, from: u64, to: u64) -> Vec<LimitPart> {
        let long = to - from;
        let Some(wave) = self.wave.filter(|wave| wave.factor > 1.0) else {
            return vec![LimitPart::new(long as f64, law.clone(), 1.0)];
        };
        let mut pieces = vec![(0_u64, 0.0); PIECES];
        let looked = LOOKED_AT.min(long);
        for number in 0..looked {
            let height = self.scale(from + number * long / looked).ln();
            let place = height / wave.factor.ln() * PIECES as f64;
            let piece = &mut pieces[(place as usize).min(PIECES - 1)];
            *piece = (piece.0 + 1, piece.1 + height);
        }
        let there = pieces.into_iter().filter(|piece| piece.0 > 0);
        let part = |(count, heights): (u64, f64)| {
            let weight = long as f64 * count as f64 / looked as f64;
            LimitPart::new(weight, law.clone(), (heights / count as f64).exp())
        };
        there.map(part).collect()
    }
}
