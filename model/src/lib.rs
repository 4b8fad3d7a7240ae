//! Credit-risk modelling in the clear: data, design matrix, logistic regression, metrics, report.
//!
//! Everything a joint computation produces is compared with what this crate computes on pooled
//! data. Label 1 is bad; a probability of default (PD) is higher where the customer is worse.

pub mod binning;
pub mod design;
pub mod leakage;
pub mod logistic;
pub mod metrics;
pub mod mlp;
pub mod newton_schulz;
pub mod onnx;
pub mod report;
pub mod schema;
pub mod scorecard;
pub mod selection;
pub mod split;
pub mod stepwise;
pub mod synth;
pub mod table;
pub mod validation;
