//! Axes that end on round ticks.

use super::number::{fixed, shortened, signed};

/// How tick labels read.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Ticks {
    Percent,
    Plain,
    Signed,
}

/// One axis: a range that ends on round ticks.
#[derive(Debug, Clone)]
pub(super) struct Axis {
    low: f64,
    high: f64,
    step: f64,
    ticks: Ticks,
    /// Of slots, instead of numbers.
    names: Vec<String>,
    /// Most of these that are written.
    most_names: usize,
    pub(super) label: String,
}

/// Most names that fit beneath a plot.
const MOST_NAMES: usize = 7;

impl Axis {
    /// Covers `low..=high` with about `count` round ticks.
    pub(super) fn nice(low: f64, high: f64, count: u32, ticks: Ticks, label: &str) -> Self {
        let (mut low, mut high) = match (low.is_finite(), high.is_finite()) {
            (true, true) => (low.min(high), low.max(high)),
            (true, false) => (low, low + 1.0),
            (false, true) => (high - 1.0, high),
            (false, false) => (0.0, 1.0),
        };
        if high - low < 1e-12 * high.abs().max(1e-9) {
            let pad = if high == 0.0 { 1.0 } else { high.abs() * 0.5 };
            (low, high) = (low - pad, high + pad);
        }
        let rough = (high - low) / f64::from(count.max(1));
        let power = 10f64.powf(rough.log10().floor());
        let step = [1.0, 2.0, 2.5, 5.0, 10.0]
            .into_iter()
            .map(|m| m * power)
            .find(|step| *step >= rough * 0.999)
            .unwrap_or(10.0 * power);
        let low = (low / step + 1e-9).floor() * step;
        let high = (high / step - 1e-9).ceil() * step;
        Self {
            low,
            high,
            step,
            ticks,
            names: Vec::new(),
            most_names: MOST_NAMES,
            label: label.into(),
        }
    }

    /// Where it ends.
    pub(super) fn high(&self) -> f64 {
        self.high
    }

    /// Shares from 0 to 1.
    pub(super) fn share(label: &str) -> Self {
        Self {
            low: 0.0,
            high: 1.0,
            step: 0.2,
            ticks: Ticks::Percent,
            names: Vec::new(),
            most_names: MOST_NAMES,
            label: label.into(),
        }
    }

    /// `count` slots centred at 1, 2, …; each gets a tick.
    pub(super) fn slots(count: usize, label: &str) -> Self {
        Self {
            low: 0.5,
            high: count.max(1) as f64 + 0.5,
            step: 1.0,
            ticks: Ticks::Plain,
            names: Vec::new(),
            most_names: MOST_NAMES,
            label: label.into(),
        }
    }

    /// Slots with names; where there are many, some are left out.
    pub(super) fn named(names: Vec<String>, label: &str) -> Self {
        Self {
            names,
            ..Self::slots(0, label)
        }
        .fitted()
    }

    /// Writes at most so many names.
    pub(super) fn with_most_names(mut self, most: usize) -> Self {
        self.most_names = most.max(1);
        self
    }

    fn fitted(mut self) -> Self {
        self.high = self.names.len().max(1) as f64 + 0.5;
        self
    }

    /// Ticks and their words.
    pub(super) fn marks(&self) -> Vec<(f64, String)> {
        if !self.names.is_empty() {
            let every = self.names.len().div_ceil(self.most_names);
            let names = self.names.iter().enumerate().step_by(every);
            return names
                .map(|(i, name)| (i as f64 + 1.0, shortened(name, 12)))
                .collect();
        }
        let first = (self.low / self.step - 1e-9).ceil();
        let count = ((self.high - first * self.step) / self.step + 1e-6)
            .floor()
            .max(0.0) as usize;
        (0..=count.min(40))
            .map(|i| {
                let value = (first + i as f64) * self.step;
                let value = if value.abs() < self.step * 1e-9 {
                    0.0
                } else {
                    value
                };
                (value, self.text(value))
            })
            .collect()
    }

    fn text(&self, value: f64) -> String {
        let scale = if self.ticks == Ticks::Percent {
            100.0
        } else {
            1.0
        };
        let step = self.step * scale;
        let decimals = (0..9)
            .find(|d| {
                let shifted = step * 10f64.powi(*d);
                (shifted - shifted.round()).abs() < 1e-6 * shifted.max(1.0)
            })
            .unwrap_or(9);
        let decimals = usize::try_from(decimals).unwrap_or(0);
        match self.ticks {
            Ticks::Percent => format!("{}\u{a0}%", fixed(value * 100.0, decimals)),
            Ticks::Plain => fixed(value, decimals),
            Ticks::Signed => signed(value, decimals),
        }
    }

    /// Where a value lies, 0 at the low end and 1 at the high.
    pub(super) fn fraction(&self, value: f64) -> f64 {
        ((value - self.low) / (self.high - self.low)).clamp(0.0, 1.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(axis: &Axis) -> Vec<String> {
        axis.marks().into_iter().map(|(_, text)| text).collect()
    }

    #[test]
    fn ticks_are_round_and_cover_the_range() {
        let axis = Axis::nice(0.013, 0.78, 5, Ticks::Percent, "");
        assert_eq!(
            texts(&axis),
            [
                "0\u{a0}%",
                "20\u{a0}%",
                "40\u{a0}%",
                "60\u{a0}%",
                "80\u{a0}%"
            ]
        );
        let axis = Axis::nice(-0.004, 0.061, 4, Ticks::Signed, "");
        assert_eq!(
            texts(&axis),
            ["−0.02", "0.00", "+0.02", "+0.04", "+0.06", "+0.08"]
        );
        assert_eq!(texts(&Axis::slots(3, "")), ["1", "2", "3"]);
        let axis = Axis::nice(412.0, 688.0, 6, Ticks::Plain, "");
        assert_eq!(
            texts(&axis),
            ["400", "450", "500", "550", "600", "650", "700"]
        );
    }

    #[test]
    fn degenerate_ranges_give_an_axis() {
        for (low, high) in [
            (0.0, 0.0),
            (3.0, 3.0),
            (f64::NAN, f64::INFINITY),
            (2.0, f64::NAN),
        ] {
            let axis = Axis::nice(low, high, 5, Ticks::Plain, "");
            assert!(
                axis.high > axis.low && axis.step > 0.0,
                "{low} {high}: {axis:?}"
            );
            assert!(axis.marks().len() >= 2);
        }
    }
}
