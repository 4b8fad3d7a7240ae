//! What may be said about a difference between two models.

use super::number::signed;
use super::{Metric, ModelKind, Report, Uplift};

/// What the interval of a difference allows to be said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Finding {
    /// The interval lies wholly on the better side of 0.
    Better,
    /// The interval holds 0: no uplift is claimed.
    NotShown,
    /// The interval lies wholly on the worse side of 0.
    Worse,
    /// There is no interval: nothing is claimed.
    NoInterval,
}

impl Metric {
    /// Name to print.
    pub fn label(self) -> &'static str {
        match self {
            Self::Auc => "AUC",
            Self::Ks => "KS",
            Self::Gini => "Gini",
            Self::LogLoss => "log loss",
            Self::Brier => "Brier score",
            Self::Capture => "capture of bads in the worst 10 %",
        }
    }

    /// The name as a heading.
    pub(super) fn heading(self) -> &'static str {
        match self {
            Self::LogLoss => "Log loss",
            Self::Capture => "Capture, worst 10 %",
            other => other.label(),
        }
    }

    /// Whether a larger value is better.
    pub fn higher_is_better(self) -> bool {
        !matches!(self, Self::LogLoss | Self::Brier)
    }
}

impl Uplift {
    /// What the interval allows to be said.
    pub fn finding(&self) -> Finding {
        let (Some(a), Some(b)) = (self.low, self.high) else {
            return Finding::NoInterval;
        };
        if !(a.is_finite() && b.is_finite() && self.delta.is_finite()) {
            return Finding::NoInterval;
        }
        let above = a.min(b) > 0.0;
        let below = a.max(b) < 0.0;
        match (above, below, self.metric.higher_is_better()) {
            (true, _, true) | (_, true, false) => Finding::Better,
            (true, _, false) | (_, true, true) => Finding::Worse,
            _ => Finding::NotShown,
        }
    }

    /// The finding in a few words, for a table.
    pub fn finding_in_words(&self) -> &'static str {
        match self.finding() {
            Finding::Better => "better; interval does not hold 0",
            Finding::NotShown => "no uplift shown; interval holds 0",
            Finding::Worse => "worse; interval does not hold 0",
            Finding::NoInterval => "no interval, nothing claimed",
        }
    }

    /// The finding in one plain sentence.
    pub fn verdict(&self) -> String {
        let Self {
            challenger,
            baseline,
            ..
        } = self;
        let metric = self.metric.label();
        let number = |value: f64| match self.metric {
            Metric::Capture => signed(100.0 * value, 1),
            _ => signed(value, 4),
        };
        let difference = match self.metric {
            Metric::Capture => format!("{} points", signed(100.0 * self.delta, 1)),
            _ => signed(self.delta, 4),
        };
        let (low, high) = (self.low.unwrap_or(f64::NAN), self.high.unwrap_or(f64::NAN));
        let interval = format!("{} to {}", number(low.min(high)), number(low.max(high)));
        let compared = format!("on the held-out rows, {challenger} against {baseline}");
        match self.finding() {
            Finding::Better => format!(
                "Uplift {compared}: {metric} {difference} (95 % interval {interval}, which does not \
                 hold 0)."
            ),
            Finding::NotShown => format!(
                "No uplift is shown {compared}: {metric} {difference}, and its 95 % interval, \
                 {interval}, holds 0."
            ),
            Finding::Worse => format!(
                "Worse, not better, {compared}: {metric} {difference} (95 % interval {interval}, \
                 which does not hold 0)."
            ),
            Finding::NoInterval => format!(
                "No uplift is claimed {compared}: {metric} {difference}, and no interval was \
                 computed."
            ),
        }
    }
}

impl Report {
    /// The difference that the verdict speaks of: AUC if it is there, else the first.
    pub fn main_uplift(&self) -> Option<&Uplift> {
        self.uplift
            .iter()
            .find(|u| u.metric == Metric::Auc)
            .or(self.uplift.first())
    }

    /// Does the joint model beat the bank alone? One plain sentence.
    pub fn verdict(&self) -> String {
        if let Some(uplift) = self.main_uplift() {
            return uplift.verdict();
        }
        if self.comparison.is_empty() {
            return "No evaluation result was released to this party.".into();
        }
        let has = |kind| self.comparison.iter().any(|row| row.kind == kind);
        if has(ModelKind::Alone) && has(ModelKind::Joint) {
            "No uplift is claimed: no interval of the difference was computed.".into()
        } else {
            "No uplift is claimed: there is no second model to compare with.".into()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn uplift(metric: Metric, delta: f64, low: f64, high: f64) -> Uplift {
        Uplift {
            metric,
            baseline: "bank alone".into(),
            challenger: "joint".into(),
            delta,
            low: Some(low),
            high: Some(high),
            method: String::new(),
        }
    }

    #[test]
    fn an_interval_that_holds_zero_is_no_uplift() {
        let none = uplift(Metric::Auc, 0.001, -0.004, 0.006);
        assert_eq!(none.finding(), Finding::NotShown);
        assert_eq!(
            none.verdict(),
            "No uplift is shown on the held-out rows, joint against bank alone: AUC +0.0010, and \
             its 95 % interval, −0.0040 to +0.0060, holds 0."
        );
        assert_eq!(
            uplift(Metric::Auc, 0.0, 0.0, 0.01).finding(),
            Finding::NotShown
        );
    }

    #[test]
    fn better_follows_the_direction_of_the_metric() {
        assert_eq!(
            uplift(Metric::Auc, 0.05, 0.04, 0.06).finding(),
            Finding::Better
        );
        assert_eq!(
            uplift(Metric::Auc, -0.05, -0.06, -0.04).finding(),
            Finding::Worse
        );
        assert_eq!(
            uplift(Metric::LogLoss, -0.05, -0.06, -0.04).finding(),
            Finding::Better
        );
        assert_eq!(
            uplift(Metric::Brier, 0.05, 0.04, 0.06).finding(),
            Finding::Worse
        );
        assert!(
            uplift(Metric::Auc, -0.05, -0.06, -0.04)
                .verdict()
                .starts_with("Worse, not better")
        );
    }

    #[test]
    fn without_an_interval_nothing_is_claimed() {
        let mut bare = uplift(Metric::Auc, 0.05, f64::NAN, 0.06);
        assert_eq!(bare.finding(), Finding::NoInterval);
        bare.low = None;
        assert!(bare.verdict().starts_with("No uplift is claimed"));
        assert!(
            Report::default()
                .verdict()
                .starts_with("No evaluation result")
        );
    }
}
