//! How steps of a logistic regression are made.

use std::{fmt, sync::Arc};

/// How steps are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// By a Hessian and its inverse on shares: few passes.
    Newton,
    /// By the gradient and momentum: tens to hundreds of passes, none of which costs more than the columns once.
    Accelerated,
}

/// Chooses how steps are made, once training rows and the columns of each party (the intercept with party 0) are
/// known: the same at all parties, since all know the same of these.
#[derive(Clone)]
pub struct Chooser(Arc<Rule>);

type Rule = dyn Fn(usize, &[usize]) -> Method + Send + Sync;

impl Chooser {
    /// By this rule, of training rows and widths.
    pub fn new(rule: impl Fn(usize, &[usize]) -> Method + Send + Sync + 'static) -> Self {
        Self(Arc::new(rule))
    }

    pub(super) fn of(&self, rows: usize, widths: &[usize]) -> Method {
        (self.0)(rows, widths)
    }
}

impl fmt::Debug for Chooser {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Chooser")
    }
}

impl PartialEq for Chooser {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}
