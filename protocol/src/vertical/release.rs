//! What each party is given at the end.

use paripassu_crypto::{fixed, share::Shares};
use zeroize::Zeroizing;

use super::{
    logistic::{LogisticFit, SolverFacts, StandardErrors},
    run::{Attempt, Run},
};
use crate::{
    abort::Abort,
    arith::{Engine, Opening, Receivers},
    channel::Channel,
    correlation::CorrelationSource,
};

impl Run {
    pub(super) fn facts(&self, attempt: &Attempt, hessians: u32) -> Result<SolverFacts, Abort> {
        Ok(SolverFacts {
            method: self.spec.method,
            passes: attempt.passes,
            resumed: 0,
            hessians,
            hessian_rows: self.hessian_rows,
            range: attempt.series.range(),
            terms: attempt.series.terms(),
            sigmoid_error: attempt.series.max_error(),
            points: attempt.points,
            widths: self.widths.clone(),
        })
    }

    /// Opens each party's weights to itself.
    pub(super) async fn release<C: Channel, S: CorrelationSource>(
        &self,
        engine: &mut Engine<C, S>,
        attempt: &Attempt,
        facts: SolverFacts,
    ) -> Result<LogisticFit, Abort> {
        engine.step("release/coefficients");
        let of = |party| Opening::Coefficients { party };
        self.release_as(engine, attempt, facts, of).await
    }

    /// The same, as openings of another kind, in the present step.
    pub(super) async fn release_as<C: Channel, S: CorrelationSource>(
        &self,
        engine: &mut Engine<C, S>,
        attempt: &Attempt,
        facts: SolverFacts,
        of: fn(u8) -> Opening,
    ) -> Result<LogisticFit, Abort> {
        let released = match &attempt.split {
            Some(split) => Some(self.coefficients(engine, &attempt.short, split).await?),
            None => None,
        };
        let weights = released.as_ref().unwrap_or(&attempt.weights);
        let opened = |p: &(usize, &Shares)| !self.is_hidden(p.0);
        for (p, w) in weights.iter().enumerate().filter(opened) {
            let party = p as u8;
            engine.announce(of(party), Receivers::One(party), w.len())?;
        }
        let mut own = Vec::new();
        for (p, w) in weights.iter().enumerate().filter(opened) {
            let party = p as u8;
            let words = Zeroizing::new(
                engine
                    .open(w.duplicate(), of(party), Receivers::One(party))
                    .await?,
            );
            if p == engine.me() {
                own = words
                    .iter()
                    .map(|word| fixed::decode(*word, w.frac()))
                    .collect();
            }
        }
        let mut coefficients = match released {
            Some(_) => own,
            None if self.is_hidden(engine.me()) => Vec::new(),
            None => self.mine.coefficients(own),
        };
        let has_intercept = engine.me() == 0 && !coefficients.is_empty();
        let intercept = has_intercept.then(|| coefficients.remove(0));
        let errors = match (self.spec.standard_errors, &attempt.inverse) {
            (true, Some(inverse)) => Some(self.standard_errors(engine, inverse).await?),
            _ => None,
        };
        Ok(LogisticFit {
            coefficients,
            intercept,
            errors: errors.map(|mut columns| StandardErrors {
                intercept: has_intercept.then(|| columns.remove(0)),
                columns,
            }),
            facts,
        })
    }
}
