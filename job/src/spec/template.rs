//! Commented specifications to start from.

/// A kind of job for which there is a template.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TemplateKind {
    /// Two to five parties with different columns of the same customers fit a logistic regression.
    VerticalLogistic,
    /// Three banks or more with the same columns fit a logistic regression on masked sums.
    HorizontalLogistic,
    /// Two to five parties find the customers they have in common.
    Overlap,
    /// Three banks or more with the same columns train a network on masked sums.
    HorizontalMlp,
}

impl TemplateKind {
    /// Every kind.
    pub const ALL: [Self; 4] = [
        Self::VerticalLogistic,
        Self::HorizontalLogistic,
        Self::Overlap,
        Self::HorizontalMlp,
    ];

    /// The name on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::VerticalLogistic => "vertical-logistic",
            Self::HorizontalLogistic => "horizontal-logistic",
            Self::Overlap => "overlap",
            Self::HorizontalMlp => "horizontal-mlp",
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
        TemplateKind::HorizontalLogistic => include_str!("horizontal-logistic.toml"),
        TemplateKind::Overlap => include_str!("overlap.toml"),
        TemplateKind::HorizontalMlp => include_str!("horizontal-mlp.toml"),
    }
}
