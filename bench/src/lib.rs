//! Measurements behind `paripassu bench`: ratios of what is compared within one run on one machine.

pub mod align;
mod cpu;
mod data;
pub mod recording;
mod rig;
pub mod secagg;
pub mod shaper;
pub mod train;

use paripassu_service::{identity::IdentityError, pki::PkiError};

/// Why a measurement was not made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BenchError {
    /// The machine refused something.
    #[error("the measurement needs {what}: {source}")]
    Io {
        /// What.
        what: &'static str,
        /// The system's words.
        source: std::io::Error,
    },
    /// Certificates could not be made.
    #[error(transparent)]
    Pki(#[from] PkiError),
    /// Certificates could not be used.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// A transcript cannot be kept.
    #[error(transparent)]
    Transcript(#[from] paripassu_service::transcript::TranscriptError),
    /// The coordinator did not start.
    #[error(transparent)]
    Coordinator(#[from] paripassu_coordinator::CoordinatorError),
    /// A node is named wrongly.
    #[error("a node of the measurement cannot be named: {0}")]
    Name(String),
    /// The run failed.
    #[error("the run failed: {0}")]
    Run(String),
    /// The plaintext model failed.
    #[error(transparent)]
    Plain(#[from] paripassu_model::logistic::LogisticError),
}
