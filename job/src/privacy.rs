//! What a job with noise guarantees each customer, from its specification alone.

use paripassu_crypto::dp::{AccountError, Spent, zcdp_epsilon};

use crate::spec::{Horizontal, Privacy, Spec};

/// The guarantee of a job.
#[derive(Debug, Clone, PartialEq)]
pub struct Guarantee {
    /// The larger of the two below: a customer is in training or in the test.
    pub epsilon: f64,
    /// The δ of both.
    pub delta: f64,
    /// ε of the training sums, for a customer among the training rows.
    pub training: f64,
    /// ε of the evaluation, for a customer among the test rows.
    pub evaluation: f64,
    /// ε of the training sums by zero-concentrated differential privacy, where rows are not sampled.
    pub zcdp: Option<f64>,
    /// Rényi divergences of one customer, to be added up over jobs.
    pub spent: Spent,
}

impl Guarantee {
    /// Of a job, if it has noise.
    ///
    /// # Errors
    /// Numbers that a checked specification does not have.
    pub fn of(spec: &Spec) -> Result<Option<Self>, AccountError> {
        let horizontal = spec.horizontal.as_ref();
        let of = |h: &Horizontal| Some((h.privacy.clone()?, h.training.as_ref()?.rounds));
        horizontal
            .and_then(of)
            .map(|(privacy, rounds)| Self::new(&privacy, rounds))
            .transpose()
    }

    fn new(privacy: &Privacy, rounds: u64) -> Result<Self, AccountError> {
        let (sampling, noise) = (privacy.sampling.value(), privacy.noise.value());
        let delta = privacy.delta.value();
        let training = Spent::on_sums(sampling, noise, rounds)?;
        // one test row is in one count
        let evaluation = Spent::on_sums(1.0, privacy.evaluation_noise.value(), 1)?;
        let spent = training.or(&evaluation);
        Ok(Self {
            epsilon: training.epsilon(delta).max(evaluation.epsilon(delta)),
            delta,
            training: training.epsilon(delta),
            evaluation: evaluation.epsilon(delta),
            zcdp: (sampling >= 1.0).then(|| zcdp_epsilon(noise, rounds, delta)),
            spent,
        })
    }
}
