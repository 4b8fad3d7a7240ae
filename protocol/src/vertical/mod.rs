//! Joint models of parties that hold different columns of the same customers.
//!
//! A network of dense layers is in [`network`].
//!
//! # Logistic regression
//!
//! **Functionality.** Party p gives standardised columns X_p (rows aligned), party 0 the label y as
//! well. Party p learns the coefficients of its own columns of the w that minimises
//! `l2/2 |w|^2 + sum_i log-loss(x_i w + intercept, y_i)`; party 0 the intercept too. All learn the
//! rows, each party's number of columns, and one bit per pass (whether its step was small), one
//! bit per attempt (whether a score left the sigmoid's range). Nothing else is opened: scores,
//! residuals, gradients and Hessian stay shared.
//!
//! With an L1 penalty or signs that coefficients must have ([`LogisticSpec::l1`](logistic::LogisticSpec::l1),
//! [`LogisticSpec::signs`](logistic::LogisticSpec::signs)) w minimises the sum with them; a coefficient of 0 is then released as an exact 0.
//!
//! Rows may have weights, which any party may hold, and party 0 may give each row log-odds to begin with.
//!
//! **Parties.** Two to five data parties; a source of correlations (see [`crate::correlation`]).
//!
//! **Security model.** Passive; up to all but one data party may pool what they see, if the source
//! joins none of them. Ends with abort.
//!
//! **Source.** Owner-matrix form of SecureML's linear steps (ePrint 2017/396); the sine series for
//! the sigmoid as in Squirrel (ePrint 2023/527), with odd harmonics; Newton's method with the
//! inverse by Newton-Schulz iteration (Schulz 1933; used on shares by Hall, Fienberg and Nardi,
//! J. Official Statistics 2011). Departure: each owner first whitens its own columns in the clear,
//! so that the shared system is well scaled and its spectrum known beforehand.
//!
//! Steps that need no Hessian, for hundreds of columns: [`Method::Accelerated`](logistic::Method).
//!
//! **Notation.** N rows, N' the next power of two; `Z_p = X_p T_p` with
//! `T_p' (X_p'X_p / 4 + l2 I) T_p = N' I`; `w_p = T_p u_p`; `R_p = l2 T_p'T_p / N'`. In u the Hessian
//! over N' lies between 0 and the number of parties, and each diagonal block below the identity.
//!
//! **Cost.** Per pass and row: 4 bytes of phase and 8 of the residual to each peer; 16 K bytes from the
//! helper to party 0, 8 bytes from the helper to each owner; in the last passes 8 and 16 more for a cut.
//! The Hessian on m rows: 8 m bytes per owner and 8 m d_q per pair, from the helper 8 m d_p to each owner.
//!
//! **Precision.** [`points`] has the range budget. The series' largest error is reported; the
//! result is exact to about that error.

mod accelerated;
mod alone;
mod attempts;
pub mod bins;
pub mod course;
mod errors;
pub mod evidence;
pub mod hidden;
mod kept;
mod linalg;
pub mod logistic;
mod method;
pub mod network;
mod newton;
mod pass;
pub mod points;
mod proximal;
mod range;
pub mod reject;
mod release;
mod row_weights;
mod run;
pub mod selection;
mod settled;
pub mod sgd;
pub mod stepwise;
pub mod tuning;
mod whiten;

#[cfg(test)]
mod tests;
