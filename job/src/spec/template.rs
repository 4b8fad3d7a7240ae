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
    /// Scores of applicants, with safe defaults.
    Application,
    /// Scores of customers on the books, with safe defaults.
    Behaviour,
    /// Scores of customers who are behind, with safe defaults.
    Collection,
    /// Who stands on another's list of confirmed fraud, with safe defaults.
    FraudList,
    /// Banks with the same columns, with safe defaults.
    Horizontal,
    /// Two to five parties with different columns of the same customers train a network.
    VerticalMlp,
}

impl TemplateKind {
    /// Every kind.
    pub const ALL: [Self; 10] = [
        Self::Application,
        Self::Behaviour,
        Self::Collection,
        Self::FraudList,
        Self::Horizontal,
        Self::VerticalLogistic,
        Self::HorizontalLogistic,
        Self::Overlap,
        Self::HorizontalMlp,
        Self::VerticalMlp,
    ];

    /// Those that spell out every key with its default.
    pub const REFERENCE: [Self; 5] = [
        Self::VerticalLogistic,
        Self::HorizontalLogistic,
        Self::Overlap,
        Self::HorizontalMlp,
        Self::VerticalMlp,
    ];

    /// The name on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::VerticalLogistic => "vertical-logistic",
            Self::HorizontalLogistic => "horizontal-logistic",
            Self::Overlap => "overlap",
            Self::HorizontalMlp => "horizontal-mlp",
            Self::Application => "application",
            Self::Behaviour => "behaviour",
            Self::Collection => "collection",
            Self::FraudList => "fraud-list",
            Self::Horizontal => "horizontal",
            Self::VerticalMlp => "vertical-mlp",
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
        TemplateKind::Application => include_str!("application.toml"),
        TemplateKind::Behaviour => include_str!("behaviour.toml"),
        TemplateKind::Collection => include_str!("collection.toml"),
        TemplateKind::FraudList => include_str!("fraud-list.toml"),
        TemplateKind::Horizontal => include_str!("horizontal.toml"),
        TemplateKind::VerticalMlp => include_str!("vertical-mlp.toml"),
    }
}
