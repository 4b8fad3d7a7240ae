//! Training where banks hold the same columns of different customers: only masked sums travel.

pub mod secagg;
