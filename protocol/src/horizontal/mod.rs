//! Training where banks hold the same columns of different customers: only masked sums travel.
//!
//! [`prepare`] finds the joint design, [`newton`] fits, [`evaluate`] measures. Each opens sums over all banks by
//! [`secagg`] and nothing else; each sum is one [`Opening::Sum`] of the job's ledger.

pub mod evaluate;
mod fixed;
pub mod newton;
pub mod prepare;
pub mod secagg;

use secagg::{Client, Sum};

use crate::{
    abort::Abort,
    arith::{Opening, Openings, Receivers},
    channel::Channel,
};

/// What a sum over all banks says. Each kind is declared in the job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum SumOf {
    /// Rows, bads, missing values by column, rows by level.
    Counts,
    /// In how many banks a column's largest magnitude lies in each power of two.
    Ranges,
    /// Rows up to thresholds on the way to a median.
    Quantiles,
    /// Sums of columns, then of squares about their means.
    Moments,
    /// Loss, gradient and Hessian at one point.
    Newton,
    /// Test rows, bads and PDs by band of the joint score.
    Evaluation,
}

/// Asks the ledger, then for the sum.
async fn sum<C: Channel>(
    client: &mut Client<C>,
    ledger: &mut dyn Openings,
    of: SumOf,
    purpose: &str,
    values: Vec<u64>,
) -> Result<Sum, Abort> {
    ledger.record(Opening::Sum(of), Receivers::All, values.len())?;
    client.sum(purpose, values).await
}

#[cfg(test)]
mod tests;
