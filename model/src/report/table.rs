//! A table once, for the page, for CSV and for the terminal.

use super::number::{
    MISSING, bytes, count, escape, fixed, p_value, percent, seconds, signed, significant,
};

/// One cell. Numbers keep their full value; rounding is for people only.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Cell {
    Text(String),
    Count(u64),
    Fixed(f64, usize),
    Signed(f64, usize),
    Significant(f64, usize),
    Percent(f64, usize),
    PValue(f64),
    Bytes(u64),
    Seconds(f64),
    Missing,
}

impl Cell {
    pub(super) fn text(text: impl Into<String>) -> Self {
        Self::Text(text.into())
    }

    /// A count, or nothing.
    pub(super) fn counted(value: Option<u64>) -> Self {
        value.map_or(Self::Missing, Self::Count)
    }

    /// A number with fixed decimals, or nothing.
    pub(super) fn decimal(value: Option<f64>, decimals: usize) -> Self {
        value.map_or(Self::Missing, |value| Self::Fixed(value, decimals))
    }

    /// A share in per cent, or nothing.
    pub(super) fn share(value: Option<f64>, decimals: usize) -> Self {
        value.map_or(Self::Missing, |value| Self::Percent(value, decimals))
    }

    /// For people.
    pub(super) fn shown(&self) -> String {
        match *self {
            Self::Text(ref text) if text.is_empty() => MISSING.into(),
            Self::Text(ref text) => text.clone(),
            Self::Count(value) => count(value),
            Self::Fixed(value, decimals) => fixed(value, decimals),
            Self::Signed(value, decimals) => signed(value, decimals),
            Self::Significant(value, digits) => significant(value, digits),
            Self::Percent(value, decimals) => percent(value, decimals),
            Self::PValue(value) => p_value(value),
            Self::Bytes(value) => bytes(value),
            Self::Seconds(value) => seconds(value),
            Self::Missing => MISSING.into(),
        }
    }

    /// For machines: full precision, fractions as fractions, nothing where there is no number.
    fn raw(&self) -> String {
        match *self {
            Self::Text(ref text) => unformulated(text),
            Self::Count(value) | Self::Bytes(value) => value.to_string(),
            Self::Fixed(value, _)
            | Self::Signed(value, _)
            | Self::Significant(value, _)
            | Self::Percent(value, _)
            | Self::PValue(value)
            | Self::Seconds(value) => {
                if value.is_finite() {
                    value.to_string()
                } else {
                    String::new()
                }
            }
            Self::Missing => String::new(),
        }
    }
}

/// A spreadsheet takes text that begins with one of these for a formula; names come from other
/// parties, so an apostrophe goes before it.
fn unformulated(text: &str) -> String {
    if text.starts_with(['=', '+', '-', '@', '\t', '\r']) {
        format!("'{text}")
    } else {
        text.into()
    }
}

/// A column: its heading for people, its key in CSV, and whether it is numeric.
#[derive(Debug, Clone, Copy)]
pub(super) struct Column {
    pub(super) key: &'static str,
    pub(super) title: &'static str,
    pub(super) numeric: bool,
}

/// A text column.
pub(super) const fn words(key: &'static str, title: &'static str) -> Column {
    Column {
        key,
        title,
        numeric: false,
    }
}

/// A numeric column.
pub(super) const fn figure(key: &'static str, title: &'static str) -> Column {
    Column {
        key,
        title,
        numeric: true,
    }
}

/// A table with a name for its file and a caption for the page.
#[derive(Debug, Clone)]
pub(super) struct Table {
    pub(super) name: &'static str,
    pub(super) caption: String,
    pub(super) columns: Vec<Column>,
    pub(super) rows: Vec<Vec<Cell>>,
}

impl Table {
    pub(super) fn new(name: &'static str, caption: &str, columns: Vec<Column>) -> Self {
        Self {
            name,
            caption: caption.into(),
            columns,
            rows: Vec::new(),
        }
    }

    /// Drops columns that hold nothing in any row.
    pub(super) fn without_empty_columns(mut self) -> Self {
        let keep: Vec<bool> = (0..self.columns.len())
            .map(|i| {
                self.rows
                    .iter()
                    .any(|row| row.get(i).is_some_and(|c| *c != Cell::Missing))
            })
            .collect();
        let mut kept = keep.iter();
        self.columns
            .retain(|_| kept.next().copied().unwrap_or(true));
        for row in &mut self.rows {
            let mut kept = keep.iter();
            row.retain(|_| kept.next().copied().unwrap_or(true));
        }
        self
    }

    /// RFC 4180, with LF line ends.
    pub(super) fn csv(&self) -> String {
        let mut out = String::new();
        let header = self.columns.iter().map(|column| column.key.to_owned());
        csv_line(&mut out, header);
        for row in &self.rows {
            csv_line(&mut out, row.iter().map(Cell::raw));
        }
        out
    }

    /// A table element in a box that scrolls by itself. `lead` is trusted markup put before the
    /// words of each row's first cell.
    pub(super) fn html(&self, lead: impl Fn(usize) -> String) -> String {
        let class = |column: &Column| {
            if column.numeric {
                r#" class="num""#
            } else {
                ""
            }
        };
        let caption = escape(&self.caption);
        let narrow = if self.columns.len() < 6 {
            r#" class="narrow""#
        } else {
            ""
        };
        let mut out = format!(
            r#"<div class="scroll" role="region" tabindex="0" aria-label="{caption}"><table{narrow}><caption><span>{caption}</span></caption><thead><tr>"#
        );
        for column in &self.columns {
            out.push_str(&format!(
                r#"<th scope="col"{}>{}</th>"#,
                class(column),
                escape(column.title)
            ));
        }
        out.push_str("</tr></thead><tbody>");
        for (i, row) in self.rows.iter().enumerate() {
            out.push_str("<tr>");
            for (j, (cell, column)) in row.iter().zip(&self.columns).enumerate() {
                let shown = escape(&cell.shown());
                if j == 0 {
                    let class = class(column);
                    out.push_str(&format!(
                        r#"<th scope="row"{class}>{}{shown}</th>"#,
                        lead(i)
                    ));
                } else {
                    out.push_str(&format!("<td{}>{shown}</td>", class(column)));
                }
            }
            out.push_str("</tr>\n");
        }
        out.push_str("</tbody></table></div>\n");
        out
    }
}

fn csv_line(out: &mut String, cells: impl Iterator<Item = String>) {
    for (i, cell) in cells.enumerate() {
        if i > 0 {
            out.push(',');
        }
        if cell.contains(['"', ',', '\n', '\r']) || cell.starts_with(' ') || cell.ends_with(' ') {
            out.push('"');
            out.push_str(&cell.replace('"', "\"\""));
            out.push('"');
        } else {
            out.push_str(&cell);
        }
    }
    out.push('\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> Table {
        let columns = vec![
            words("name", "Name"),
            figure("value", "Value"),
            figure("se", "s.e."),
        ];
        let mut table = Table::new("t", "A <caption>", columns);
        for (name, value) in [
            ("a \"b\", c", 0.1 + 0.2),
            ("=1+1", f64::NAN),
            ("two\nlines", 3.0),
        ] {
            table
                .rows
                .push(vec![Cell::text(name), Cell::Fixed(value, 2), Cell::Missing]);
        }
        table
    }

    #[test]
    fn csv_quotes_and_keeps_full_precision() {
        let text = table().csv();
        let mut reader = csv::Reader::from_reader(text.as_bytes());
        let rows: Vec<csv::StringRecord> = reader
            .records()
            .collect::<Result<_, _>>()
            .expect("valid CSV");
        assert_eq!(&rows[0][0], "a \"b\", c");
        assert_eq!(
            rows[0][1].parse::<f64>().expect("a number").to_bits(),
            (0.1f64 + 0.2).to_bits()
        );
        assert_eq!((&rows[1][0], &rows[1][1]), ("'=1+1", ""));
        assert_eq!(&rows[2][0], "two\nlines");
    }

    #[test]
    fn html_escapes_and_aligns() {
        let html = table().without_empty_columns().html(|_| String::new());
        assert!(html.contains("<caption><span>A &lt;caption&gt;</span></caption>"));
        assert!(html.contains(r#"<td class="num">0.30</td>"#));
        assert!(html.contains(r#"<td class="num">–</td>"#));
        assert!(!html.contains("s.e."));
    }
}
