//! Credit-risk modelling in the clear: data, design matrix, logistic regression, metrics, report.

pub mod metrics;
pub mod report;
