//! Training where banks hold the same columns of different customers: only masked sums travel.
//!
//! [`prepare`] finds the joint design, or [`bins`] one of weight of evidence, [`newton`] or [`federated`] fits, [`evaluate`] measures, [`course`] is how a fit goes on
//! where another was ended. Each opens sums over all banks by
//! [`secagg`] and nothing else; each sum is one [`Opening::Sum`] of the job's ledger.

pub mod bins;
pub mod course;
pub mod evaluate;
pub mod federated;
mod fixed;
pub mod newton;
pub mod prepare;
mod quantiles;
pub mod secagg;

use secagg::{Client, Members, Sum};

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
    /// Rows and bads of fine bins of columns.
    Bins,
    /// Sums of columns, then of squares about their means.
    Moments,
    /// Hessians at the banks' own models, and their products with these.
    Start,
    /// Loss, gradient and Hessian at one point.
    Newton,
    /// Updates of a network by group of banks, and the loss on validation rows.
    Updates,
    /// Clipped gradients of single customers, with noise.
    Gradients,
    /// Which groups' updates make the model better, by bank.
    Votes,
    /// Which rounds of an aborted job each bank holds, by bank.
    Held,
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
    sum_by_groups(client, ledger, of, purpose, values, &[]).await
}

/// The same where only some groups of banks add anything.
async fn sum_by_groups<C: Channel>(
    client: &mut Client<C>,
    ledger: &mut dyn Openings,
    of: SumOf,
    purpose: &str,
    values: Vec<u64>,
    groups: &[Members],
) -> Result<Sum, Abort> {
    ledger.record(Opening::Sum(of), Receivers::All, values.len())?;
    client.sum_by_groups(purpose, values, groups).await
}

#[cfg(test)]
mod tests;
