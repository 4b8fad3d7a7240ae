//! Matching customers: which rows two parties have in common.
