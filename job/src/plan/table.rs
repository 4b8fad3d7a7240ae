//! Aligned text tables, and numbers as people read them.

use std::fmt;

/// A text table: the last columns that hold numbers only are aligned to the right.
pub(crate) struct Table {
    head: Vec<String>,
    rows: Vec<Vec<String>>,
}

impl Table {
    pub(crate) fn new(head: &[&str]) -> Self {
        Self {
            head: head.iter().map(ToString::to_string).collect(),
            rows: Vec::new(),
        }
    }

    pub(crate) fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.rows.push(cells.into_iter().collect());
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = |cell: &String| cell.chars().count();
        let columns = self.head.len();
        let column = |at: usize| self.rows.iter().filter_map(move |row| row.get(at));
        let widths: Vec<_> = (0..columns)
            .map(|at| {
                self.head
                    .get(at)
                    .into_iter()
                    .chain(column(at))
                    .map(width)
                    .max()
                    .unwrap_or(0)
            })
            .collect();
        let right: Vec<_> = (0..columns)
            .map(|at| {
                column(at).all(|cell| cell == "-" || cell.starts_with(|c: char| c.is_ascii_digit()))
            })
            .collect();
        for row in std::iter::once(&self.head).chain(&self.rows) {
            let mut line = String::new();
            for ((cell, width), right) in row.iter().zip(&widths).zip(&right) {
                let width = *width;
                line.push_str(&if *right {
                    format!("  {cell:>width$}")
                } else {
                    format!("  {cell:<width$}")
                });
            }
            writeln!(f, "{}", line.trim_end())?;
        }
        Ok(())
    }
}

/// A duration such as `12 s` or `3 min 20 s`; never 0 for what takes any time.
pub(crate) fn duration(seconds: f64) -> String {
    if seconds > 0.0 && seconds < 0.05 {
        return "0.1 s".to_owned();
    }
    if seconds < 10.0 {
        return format!("{seconds:.1} s");
    }
    let whole = seconds.round();
    if whole < 60.0 {
        format!("{whole} s")
    } else if whole < 3_600.0 {
        format!("{} min {} s", (whole / 60.0).floor(), whole % 60.0)
    } else {
        let minutes = (seconds / 60.0).round();
        format!("{} h {} min", (minutes / 60.0).floor(), minutes % 60.0)
    }
}

/// A byte count such as `12.3 MB`.
pub(crate) fn size(bytes: u64) -> String {
    let mut value = bytes as f64;
    if bytes == 0 {
        return "-".to_owned();
    }
    for unit in ["B", "kB", "MB", "GB"] {
        if value < 999.5 {
            let digits = usize::from(unit != "B" && value < 99.5);
            return format!("{value:.digits$} {unit}");
        }
        value /= 1e3;
    }
    format!("{value:.1} TB")
}

/// A count with separators, such as `12,345`.
pub(crate) fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (position, digit) in digits.chars().enumerate() {
        if position > 0 && (digits.len() - position).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// `text` in lines of at most `width`, each after the first with `indent`.
pub(crate) fn wrap(text: &str, width: usize, indent: &str) -> String {
    let mut out = String::new();
    let mut used = 0;
    for word in text.split_whitespace() {
        let length = word.chars().count();
        if used > 0 && used + 1 + length > width {
            out.push('\n');
            out.push_str(indent);
            used = 0;
        } else if used > 0 {
            out.push(' ');
            used += 1;
        }
        out.push_str(word);
        used += length;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_well() {
        assert_eq!(
            [0, 7, 999, 1_000, 123_456, 999_600, 4_200_000_000].map(size),
            ["-", "7 B", "999 B", "1.0 kB", "123 kB", "1.0 MB", "4.2 GB"]
        );
        assert_eq!(
            [0.04, 9.94, 59.4, 59.9, 61.0, 7_260.0].map(duration),
            [
                "0.1 s",
                "9.9 s",
                "59 s",
                "1 min 0 s",
                "1 min 1 s",
                "2 h 1 min"
            ]
        );
        assert_eq!(
            [0, 999, 1_000, 1_234_567].map(count),
            ["0", "999", "1,000", "1,234,567"]
        );
    }

    #[test]
    fn columns_align() {
        let mut table = Table::new(&["step", "bytes"]);
        table.row(["näher".into(), "1".into()]);
        table.row(["b".into(), "1,000".into()]);
        assert_eq!(
            table.to_string(),
            "  step   bytes\n  näher      1\n  b      1,000\n"
        );
        assert_eq!(wrap("aa bb cc", 5, "> "), "aa bb\n> cc");
    }
}
