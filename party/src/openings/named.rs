//! What an opening of a protocol is called in contract and transcript, and who may receive it.

use paripassu_job::DisclosureId;
use paripassu_protocol::{
    abort::Abort,
    arith::{Opening, Receivers},
    horizontal::SumOf,
};

use super::Book;

/// The disclosure of a sum over all banks.
fn sum_id(of: SumOf) -> Result<DisclosureId, Abort> {
    Ok(match of {
        SumOf::Counts => DisclosureId::SumsCounts,
        SumOf::Ranges => DisclosureId::SumsRanges,
        SumOf::Quantiles => DisclosureId::SumsQuantiles,
        SumOf::Bins => DisclosureId::SumsBins,
        SumOf::Moments => DisclosureId::SumsMoments,
        SumOf::Start => DisclosureId::SumsStart,
        SumOf::Newton => DisclosureId::SumsNewton,
        SumOf::Updates => DisclosureId::SumsUpdates,
        SumOf::Gradients => DisclosureId::SumsGradients,
        SumOf::Votes => DisclosureId::SumsVotes,
        SumOf::Held => DisclosureId::SumsHeld,
        SumOf::Evaluation => DisclosureId::SumsEvaluation,
        _ => return Err(Abort::Input("a sum that no contract can declare".into())),
    })
}

impl Book {
    /// The disclosure that an opening is, and its step; a receiver that is not its own is written down as
    /// denied.
    pub(super) fn named(
        &self,
        opening: Opening,
        to: Receivers,
    ) -> Result<(DisclosureId, String), Abort> {
        let (id, step) = match opening {
            Opening::Converged { pass } => {
                (DisclosureId::TrainConverged, format!("train/pass-{pass}"))
            }
            Opening::Improved { epoch } => {
                (DisclosureId::TrainImproved, format!("train/epoch-{epoch}"))
            }
            Opening::Correlations => {
                let step = "train/selection-table".to_owned();
                (DisclosureId::SelectionCorrelations, step)
            }
            Opening::Correlated => {
                let step = "train/selection-pairs".to_owned();
                (DisclosureId::SelectionPairs, step)
            }
            Opening::Inflated { round } => {
                let step = format!("train/selection-{round}");
                (DisclosureId::SelectionInflated, step)
            }
            Opening::Leaving { step } => {
                let step = format!("train/leaving-{step}");
                (DisclosureId::SelectionLeaving, step)
            }
            Opening::Entering { step } => {
                let step = format!("train/entering-{step}");
                (DisclosureId::SelectionEntering, step)
            }
            Opening::Inflation { party } => {
                let id = DisclosureId::SelectionInflation(self.party(party)?);
                (id, "release/inflation".to_owned())
            }
            Opening::InferredBads => {
                let step = "train/inferred-rate".to_owned();
                (DisclosureId::RejectRate, step)
            }
            Opening::KnownCoefficients { party } => {
                let id = DisclosureId::RejectCoefficients(self.party(party)?);
                (id, "release/known-coefficients".to_owned())
            }
            Opening::KnownScores => {
                let step = "evaluate/known-scores".to_owned();
                (DisclosureId::RejectScores, step)
            }
            Opening::BinGoods { party } => {
                let id = DisclosureId::BinningGoods(self.party(party)?);
                (id, format!("train/bins-{party}"))
            }
            Opening::HeldPoints => (DisclosureId::TrainHeld, "train/held".to_owned()),
            Opening::TrialLoss { trial } => {
                (DisclosureId::TrainTrials, format!("train/loss-{trial}"))
            }
            Opening::TrialColumns { trial } => {
                (DisclosureId::TrainColumns, format!("train/loss-{trial}"))
            }
            Opening::RangeExceeded => (DisclosureId::TrainRangeCheck, "train".to_owned()),
            Opening::WithinRange { epoch } => (
                DisclosureId::TrainRangeCheck,
                format!("train/epoch-{epoch}"),
            ),
            Opening::Sum(of) => (sum_id(of)?, "sums".to_owned()),
            Opening::Scores => (DisclosureId::ReleaseScores, "evaluate/scores".to_owned()),
            Opening::BinsEnough { party } => {
                let id = DisclosureId::BinningEnough(self.party(party)?);
                (id, format!("train/bins-{party}"))
            }
            Opening::BinBads { party } => {
                let id = DisclosureId::BinningBads(self.party(party)?);
                (id, format!("train/bins-{party}"))
            }
            Opening::Information { party } => {
                let id = DisclosureId::BinningInformation(self.party(party)?);
                (id, format!("train/bins-{party}"))
            }
            Opening::Monotone { party } => {
                let id = DisclosureId::BinningMonotone(self.party(party)?);
                (id, format!("train/bins-{party}"))
            }
            Opening::Reasons => (DisclosureId::ReleaseReasons, "release/reasons".to_owned()),
            Opening::Coefficients { party } => {
                let id = DisclosureId::ReleaseCoefficients(self.party(party)?);
                (id, "release/coefficients".to_owned())
            }
            Opening::StandardErrors { party } => {
                let id = DisclosureId::ReleaseStandardErrors(self.party(party)?);
                (id, "release/standard-errors".to_owned())
            }
            _ => {
                return Err(Abort::Input(
                    "an opening that no contract can declare".into(),
                ));
            }
        };
        let expected = match opening {
            Opening::Coefficients { party }
            | Opening::KnownCoefficients { party }
            | Opening::StandardErrors { party }
            | Opening::Inflation { party } => Receivers::One(party),
            Opening::Scores
            | Opening::KnownScores
            | Opening::InferredBads
            | Opening::BinGoods { .. }
            | Opening::Reasons
            | Opening::BinBads { .. }
            | Opening::Information { .. }
            | Opening::Monotone { .. } => Receivers::One(0),
            _ => Receivers::All,
        };
        if to != expected {
            let reason = format!("`{id}` may not be opened to {to}");
            return Err(self.deny("other_receiver", &id, Some(to.to_string()), reason));
        }
        Ok((id, step))
    }
}
