//! The party node: data sources, approvals, job runner.
