//! Commented specifications to start from.

/// A kind of job for which there is a template.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TemplateKind {
    /// Two parties with different columns of the same customers fit a logistic regression.
    VerticalLogistic,
}

impl TemplateKind {
    /// Every kind.
    pub const ALL: [Self; 1] = [Self::VerticalLogistic];

    /// The name on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::VerticalLogistic => "vertical-logistic",
        }
    }

    /// The kind of this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }
}

/// A complete, valid, commented `job.toml` of this kind.
pub const fn template(kind: TemplateKind) -> &'static str {
    match kind {
        TemplateKind::VerticalLogistic => include_str!("vertical-logistic.toml"),
    }
}
