//! What `data inspect` says on the terminal.

use super::{Inspected, Kind};
use crate::screen::{Screen, count};

impl Inspected {
    pub(super) fn text(&self, screen: &Screen) -> String {
        let paint = screen.out();
        let mut table = screen.table(&[
            "column", "taken as", "missing", "distinct", "least", "median", "largest", "far out",
        ]);
        let number =
            |value: Option<f64>| value.map_or_else(String::new, |value| format!("{value}"));
        for (column, quality) in self.columns.iter().zip(&self.quality.columns) {
            let more = if column.distinct_exact { "" } else { "+" };
            let median = quality.quantiles.map(|[_, _, median, _, _]| median);
            let days = quality.days.as_ref();
            let end = |value: Option<f64>, day: Option<&String>| {
                day.cloned().unwrap_or_else(|| number(value))
            };
            let kind = match column.kind {
                Kind::Id => "id",
                Kind::Key => "key",
                Kind::Label => "label",
                Kind::Numeric => "numeric",
                Kind::Categorical if days.is_some() => "day",
                Kind::Categorical => "categorical",
            };
            table.row([
                column.name.clone(),
                kind.to_owned(),
                count(column.missing),
                format!("{}{more}", count(column.distinct as u64)),
                end(column.least, days.map(|days| &days.first)),
                number(median),
                end(column.largest, days.map(|days| &days.last)),
                if quality.outliers > 0 {
                    count(quality.outliers)
                } else {
                    String::new()
                },
            ]);
        }
        let mut text = format!(
            "{}: {} rows\n{table}\n",
            self.file.display(),
            count(self.rows)
        );
        if self.problems.is_empty() {
            text.push_str(&format!("{}\n", paint.good("✓ every row can be read")));
        }
        for problem in &self.problems {
            text.push_str(&format!("{} {problem}\n", paint.bad("✗")));
        }
        if self.more_problems {
            text.push_str("… and more after these: mend them and look again\n");
        }
        for key in &self.keys {
            text.push_str(&key.line(paint));
        }
        let repeats = [
            (
                self.quality.repeated_ids,
                "rows have the id of a row above them",
            ),
            (
                self.quality.repeated_rows,
                "rows are another one again, but for the id",
            ),
        ];
        for (rows, what) in repeats {
            if rows > 0 {
                text.push_str(&format!("{} {} {what}\n", paint.warn("!"), count(rows)));
            }
        }
        for column in &self.quality.columns {
            for note in &column.notes {
                text.push_str(&format!("{} `{}`: {note}\n", paint.warn("!"), column.name));
            }
        }
        if let Some(outcomes) = &self.outcomes {
            text.push_str(&outcomes.text(screen));
        }
        let dataset = &self.dataset;
        text.push_str("\nFor a party's configuration:\n\n  [[dataset]]\n  name = \"…\"\n");
        text.push_str(&format!(
            "  path = {}\n",
            quoted(&self.file.display().to_string())
        ));
        text.push_str(&format!("  id = {}\n", quoted(&dataset.id)));
        if !dataset.id_more.is_empty() {
            let parts = dataset.id_more.iter();
            let parts: Vec<_> = parts
                .map(|part| format!("{{ column = {} }}", quoted(&part.column)))
                .collect();
            text.push_str(&format!("  id_more = [{}]\n", parts.join(", ")));
        }
        if !self.fallback.is_empty() {
            let keys = self.fallback.iter().map(|key| {
                let columns: Vec<_> = key.columns.iter().map(|column| quoted(column)).collect();
                format!(
                    "{{ key = {}, columns = [{}] }}",
                    quoted(&key.key),
                    columns.join(", ")
                )
            });
            let keys: Vec<_> = keys.collect();
            text.push_str(&format!("  fallback = [{}]\n", keys.join(", ")));
        }
        if let Some(label) = &dataset.label {
            text.push_str(&format!("  label = {}\n", quoted(label)));
        }
        for (name, columns) in [
            ("numeric", &dataset.numeric),
            ("categorical", &dataset.categorical),
            ("missing", &dataset.missing),
        ] {
            if !columns.is_empty() {
                let list: Vec<_> = columns.iter().map(|column| quoted(column)).collect();
                text.push_str(&format!("  {name} = [{}]\n", list.join(", ")));
            }
        }
        text
    }
}

/// As a TOML string.
fn quoted(text: &str) -> String {
    toml::Value::from(text).to_string()
}
