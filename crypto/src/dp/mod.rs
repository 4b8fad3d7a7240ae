//! Differential privacy: exact noise, and an account of what it is worth.
//!
//! [`DiscreteGaussian`] samples whole numbers with no floating point anywhere, so that what is claimed of the
//! distribution holds of the program. [`Spent`] adds up Rényi divergences of steps and says the ε of a δ.

mod accountant;
mod discrete_gaussian;

pub use accountant::{AccountError, ORDERS, Spent, zcdp_epsilon};
pub use discrete_gaussian::{DiscreteGaussian, MAX_SIGMA, NoiseError, OsWords, Words};
