//! Why a protocol ended without a result, and whose fault it was.

use crate::channel::{ChannelError, Role};

/// A protocol run that ended without a result. Nothing was released.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Abort {
    /// A message did not come, or came altered.
    #[error(transparent)]
    Channel(#[from] ChannelError),
    /// A message decoded to something else than the protocol asks for at this point.
    #[error("{from} sent a malformed message at `{step}`: {problem}")]
    Malformed {
        /// The sender.
        from: Role,
        /// Step path.
        step: String,
        /// Expected and got.
        problem: String,
    },
    /// Parties disagree on something that must be equal.
    #[error("{from} disagrees at `{step}`: {problem}")]
    Disagreement {
        /// Who differs from this end.
        from: Role,
        /// Step path.
        step: String,
        /// What differs, and what to do.
        problem: String,
    },
    /// Too few customers in common.
    #[error(
        "{matched} customers in common at `{step}`, fewer than the {min} that the job asks for: check the id rules on both sides, or lower align.min_matched and ask for approval again"
    )]
    TooFewMatched {
        /// Step path.
        step: String,
        /// Matched rows.
        matched: u64,
        /// Least number the job allows.
        min: u64,
    },
    /// A peer could put more customers into an alignment than this node allows.
    #[error("{problem}")]
    TooManyRows {
        /// Who announces them.
        from: Role,
        /// Step path.
        step: String,
        /// How many, how many are allowed, and what would do.
        problem: String,
    },
    /// Too few clients of a sum are left.
    #[error(
        "{present} of the {needed} banks that a sum needs were there at `{step}`; missing: {}. Nothing was opened: run the job again when they are back, or with a lower threshold",
        names(.missing)
    )]
    TooFewClients {
        /// Step path.
        step: String,
        /// How many took part to the end.
        present: usize,
        /// How many must.
        needed: usize,
        /// Who did not.
        missing: Vec<Role>,
    },
    /// A value does not fit its fixed-point range.
    #[error("a value does not fit its fixed-point range at `{step}`: {problem}")]
    OutOfRange {
        /// Step path.
        step: String,
        /// Which and what to do.
        problem: String,
    },
    /// The optimiser did not settle.
    #[error("training did not converge in {passes} passes: {problem}")]
    NotConverged {
        /// Passes made.
        passes: u32,
        /// Likely cause and what to do.
        problem: String,
    },
    /// This end's own input cannot be used.
    #[error("{0}")]
    Input(String),
}

fn names(roles: &[Role]) -> String {
    let names: Vec<_> = roles.iter().map(ToString::to_string).collect();
    names.join(", ")
}

impl Abort {
    /// The role at fault or waited for, if one can be named.
    pub fn culprit(&self) -> Option<Role> {
        match self {
            Self::Channel(e) => e.culprit(),
            Self::Malformed { from, .. }
            | Self::Disagreement { from, .. }
            | Self::TooManyRows { from, .. } => Some(*from),
            Self::TooFewClients { missing, .. } => missing.first().copied(),
            Self::TooFewMatched { .. }
            | Self::OutOfRange { .. }
            | Self::NotConverged { .. }
            | Self::Input(_) => None,
        }
    }

    /// Stable, value-free code for logs, metrics and the wire.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Channel(e) => e.code(),
            Self::Malformed { .. } => "malformed",
            Self::Disagreement { .. } => "disagreement",
            Self::TooFewMatched { .. } => "too_few_matched",
            Self::TooManyRows { .. } => "too_many_rows",
            Self::TooFewClients { .. } => "too_few_clients",
            Self::OutOfRange { .. } => "out_of_range",
            Self::NotConverged { .. } => "not_converged",
            Self::Input(_) => "input",
        }
    }
}
