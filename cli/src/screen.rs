//! What a person sees: colours, tables, talk on standard error.

use std::{
    fmt::{self, Display},
    io::IsTerminal,
};

use clap::ValueEnum;
use comfy_table::{
    Attribute, Cell, CellAlignment, Color, ContentArrangement, LineStyle, Table, presets,
};
use owo_colors::OwoColorize;

/// When to use colours.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum ColorWhen {
    // Without help texts of their own, so that `-h` stays on one line.
    #[default]
    Auto,
    Always,
    Never,
}

/// How to talk to whoever runs the command.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Screen {
    /// Whether standard output gets one JSON object.
    pub(crate) json: bool,
    out: Paint,
    err: Paint,
    live: bool,
}

impl Screen {
    /// For this process.
    pub(crate) fn new(json: bool, color: ColorWhen) -> Self {
        let plain = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty())
            || std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        let paint = |terminal: bool| {
            Paint(match color {
                ColorWhen::Auto => terminal && !plain,
                ColorWhen::Always => true,
                ColorWhen::Never => false,
            })
        };
        let live = std::io::stderr().is_terminal();
        Self {
            json,
            out: paint(std::io::stdout().is_terminal()),
            err: paint(live),
            live,
        }
    }

    /// Colours of standard output.
    pub(crate) const fn out(&self) -> Paint {
        self.out
    }

    /// Colours of standard error.
    pub(crate) const fn err(&self) -> Paint {
        self.err
    }

    /// Whether standard error is a terminal, on which a line may be drawn over.
    pub(crate) const fn is_live(&self) -> bool {
        self.live
    }

    /// One line to whoever watches.
    pub(crate) fn say(&self, line: impl Display) {
        eprintln!("{line}");
    }

    /// A table for standard output.
    pub(crate) fn table(&self, header: &[&str]) -> Grid {
        Grid::new(self.out, header)
    }
}

/// Colours, or none.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Paint(bool);

impl Paint {
    /// No colours.
    #[cfg(test)]
    pub(crate) const PLAIN: Self = Self(false);

    fn when(self, text: impl Display, styled: impl FnOnce(&str) -> String) -> String {
        let text = text.to_string();
        if self.0 { styled(&text) } else { text }
    }

    pub(crate) fn good(self, text: impl Display) -> String {
        self.when(text, |t| t.green().to_string())
    }

    pub(crate) fn bad(self, text: impl Display) -> String {
        self.when(text, |t| t.red().bold().to_string())
    }

    pub(crate) fn warn(self, text: impl Display) -> String {
        self.when(text, |t| t.yellow().to_string())
    }

    pub(crate) fn strong(self, text: impl Display) -> String {
        self.when(text, |t| t.bold().to_string())
    }

    pub(crate) fn faint(self, text: impl Display) -> String {
        self.when(text, |t| t.dimmed().to_string())
    }

    pub(crate) fn name(self, text: impl Display) -> String {
        self.when(text, |t| t.cyan().to_string())
    }
}

/// An aligned table; columns that hold numbers are aligned to the right.
#[derive(Debug)]
pub(crate) struct Grid {
    header: Vec<String>,
    rows: Vec<Vec<String>>,
    bold_row: Option<usize>,
    paint: Paint,
}

impl Grid {
    pub(crate) fn new(paint: Paint, header: &[&str]) -> Self {
        Self {
            header: header.iter().map(ToString::to_string).collect(),
            rows: Vec::new(),
            bold_row: None,
            paint,
        }
    }

    pub(crate) fn row(&mut self, cells: impl IntoIterator<Item = impl Into<String>>) -> &mut Self {
        self.rows.push(cells.into_iter().map(Into::into).collect());
        self
    }

    /// Sets the last row in bold.
    pub(crate) fn strong(&mut self) -> &mut Self {
        self.bold_row = self.rows.len().checked_sub(1);
        self
    }

    fn is_number(&self, column: usize) -> bool {
        let mut cells = self.rows.iter().filter_map(|row| row.get(column));
        let numeric = |cell: &String| {
            matches!(cell.as_str(), "" | "–" | "-")
                || cell.contains(|c: char| c.is_ascii_digit())
                    && cell
                        .trim_end_matches(" pt")
                        .chars()
                        .all(|c| c.is_ascii_digit() || "+-−.,e% ".contains(c))
        };
        !self.rows.is_empty() && cells.all(numeric)
    }
}

impl Display for Grid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut table = Table::new();
        table.load_style(
            presets::UTF8_HORIZONTAL_ONLY
                .header_separator(LineStyle::none().fill('─').junction('─'))
                .row_separator(LineStyle::none()),
        );
        table.set_content_arrangement(ContentArrangement::Dynamic);
        if self.paint.0 {
            table.enforce_styling();
        }
        let plain = !self.paint.0;
        table.set_header(self.header.iter().map(|cell| {
            let cell = Cell::new(cell);
            if plain { cell } else { cell.fg(Color::Cyan) }
        }));
        for (at, row) in self.rows.iter().enumerate() {
            table.add_row(row.iter().map(|cell| {
                let cell = Cell::new(cell);
                if plain || self.bold_row != Some(at) {
                    cell
                } else {
                    cell.add_attribute(Attribute::Bold)
                }
            }));
        }
        for at in 0..self.header.len() {
            if self.is_number(at)
                && let Some(column) = table.column_mut(at)
            {
                column.set_cell_alignment(CellAlignment::Right);
            }
        }
        write!(f, "{table}")
    }
}

/// A count with thousands separators.
pub(crate) fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// Bytes as people read them.
pub(crate) fn bytes(number: u64) -> String {
    const UNITS: [&str; 5] = ["B", "kB", "MB", "GB", "TB"];
    let mut value = number as f64;
    let mut unit = 0;
    while value >= 1000.0 && unit + 1 < UNITS.len() {
        value /= 1000.0;
        unit += 1;
    }
    let name = UNITS.get(unit).copied().unwrap_or("B");
    if unit == 0 {
        format!("{number} {name}")
    } else {
        format!("{value:.1} {name}")
    }
}

/// A duration as people read it.
pub(crate) fn seconds(value: f64) -> String {
    if value < 60.0 {
        return format!("{value:.1} s");
    }
    // Below a day's worth of seconds by far, and never negative here.
    let whole = value.round() as u64;
    if whole < 3600 {
        format!("{} min {:02} s", whole / 60, whole % 60)
    } else {
        format!("{} h {:02} min", whole / 3600, whole / 60 % 60)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_as_people_read_them() {
        assert_eq!(count(7), "7");
        assert_eq!(count(8_921), "8,921");
        assert_eq!(count(1_234_567), "1,234,567");
        assert_eq!(bytes(999), "999 B");
        assert_eq!(bytes(12_345_678), "12.3 MB");
        assert_eq!(seconds(2.345), "2.3 s");
        assert_eq!(seconds(75.0), "1 min 15 s");
        assert_eq!(seconds(3_700.0), "1 h 01 min");
    }

    #[test]
    fn tables_align_and_stay_plain() {
        let mut grid = Grid::new(Paint::PLAIN, &["model", "AUC"]);
        grid.row(["bank alone", "0.5684"])
            .row(["joint", "0.6467"])
            .strong();
        let text = grid.to_string();
        assert!(!text.contains('\u{1b}'), "{text}");
        let lines: Vec<_> = text.lines().filter(|line| line.contains("0.")).collect();
        let ends: Vec<_> = lines
            .iter()
            .map(|line| line.trim_end().chars().count())
            .collect();
        assert_eq!(ends.len(), 2);
        assert_eq!(ends[0], ends[1]);
    }
}
