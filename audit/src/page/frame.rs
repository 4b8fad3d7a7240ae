//! Tables, lists of facts and marks.

use super::text::escape;

/// What a mark says, and how it looks. The sign and the words say it without the colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tone {
    Good,
    Bad,
    Care,
    None,
}

/// A sign and words.
pub(super) fn mark(tone: Tone, words: &str) -> String {
    let (class, sign) = match tone {
        Tone::Good => ("good", "✓"),
        Tone::Bad => ("bad", "✗"),
        Tone::Care => ("care", "!"),
        Tone::None => ("none", "–"),
    };
    format!(
        "<span class=\"mark {class}\">{sign}</span> <span class=\"said {class}\">{}</span>",
        rich(words)
    )
}

/// Good or bad.
pub(super) fn held(holds: bool, good: &str, bad: &str) -> String {
    if holds {
        mark(Tone::Good, good)
    } else {
        mark(Tone::Bad, bad)
    }
}

/// Facts in two columns; values are HTML.
pub(super) fn facts(rows: &[(&str, String)]) -> String {
    let rows: String = rows
        .iter()
        .map(|(name, value)| format!("<div><dt>{}</dt><dd>{value}</dd></div>", escape(name)))
        .collect();
    format!("<dl>{rows}</dl>\n")
}

/// A cell of HTML with a class.
#[derive(Clone, Debug)]
pub(super) struct Cell(String, &'static str);

impl Cell {
    /// Escaped text.
    pub(super) fn text(text: &str) -> Self {
        Self(escape(text), "")
    }

    /// HTML.
    pub(super) const fn html(html: String) -> Self {
        Self(html, "")
    }

    /// A number.
    pub(super) fn number(text: &str) -> Self {
        Self(escape(text), "num")
    }

    pub(super) const fn class(mut self, class: &'static str) -> Self {
        self.1 = class;
        self
    }
}

/// A table whose rows become blocks on a narrow screen. The first cell of a row is its header.
#[derive(Debug)]
pub(super) struct Table {
    caption: String,
    header: Vec<(&'static str, &'static str)>,
    rows: String,
    foot: String,
    length: usize,
}

impl Table {
    /// With `(heading, class)` of each column.
    pub(super) fn new(caption: &str, header: &[(&'static str, &'static str)]) -> Self {
        Self {
            caption: escape(caption),
            header: header.to_vec(),
            rows: String::new(),
            foot: String::new(),
            length: 0,
        }
    }

    pub(super) fn row(&mut self, bad: bool, cells: impl IntoIterator<Item = Cell>) {
        let row = self.line(bad, cells);
        self.rows.push_str(&row);
        self.length += 1;
    }

    /// A last row with sums.
    pub(super) fn foot(&mut self, cells: impl IntoIterator<Item = Cell>) {
        self.foot = self.line(false, cells);
    }

    fn line(&self, bad: bool, cells: impl IntoIterator<Item = Cell>) -> String {
        let mut out = String::from(if bad { "<tr class=\"bad\">" } else { "<tr>" });
        for (at, (cell, (label, _))) in cells.into_iter().zip(&self.header).enumerate() {
            let class = match cell.1 {
                "" => String::new(),
                class => format!(" class=\"{class}\""),
            };
            if at == 0 {
                out.push_str(&format!("<th scope=\"row\"{class}>{}</th>", cell.0));
            } else {
                let label = escape(label);
                out.push_str(&format!(
                    "<td{class} data-label=\"{label}\">{}</td>",
                    cell.0
                ));
            }
        }
        out.push_str("</tr>\n");
        out
    }

    /// Empty where there is no row.
    pub(super) fn html(&self) -> String {
        if self.length == 0 {
            return String::new();
        }
        let header: String = self
            .header
            .iter()
            .map(|(name, class)| match *class {
                "" => format!("<th scope=\"col\">{}</th>", escape(name)),
                class => format!("<th scope=\"col\" class=\"{class}\">{}</th>", escape(name)),
            })
            .collect();
        let caption = match self.caption.as_str() {
            "" => String::new(),
            caption => format!("<caption>{caption}</caption>"),
        };
        let foot = match self.foot.as_str() {
            "" => String::new(),
            foot => format!("<tfoot>{foot}</tfoot>"),
        };
        format!(
            "<div class=\"scroll\" tabindex=\"0\"><table>{caption}<thead><tr>{header}</tr></thead>\
             <tbody>\n{}</tbody>{foot}</table></div>\n",
            self.rows
        )
    }
}

/// Escaped text in which what stands between backticks is code.
pub(super) fn rich(text: &str) -> String {
    let text = escape(text);
    let parts = text.split('`').enumerate();
    let parts = parts.map(|(at, part)| match at % 2 {
        0 => part.to_owned(),
        _ => format!("<code>{part}</code>"),
    });
    parts.collect()
}

/// A note below or above a table.
pub(super) fn note(text: &str) -> String {
    format!("<p class=\"note\">{}</p>\n", rich(text))
}
