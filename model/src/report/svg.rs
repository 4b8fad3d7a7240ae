//! A small plotter: axes with round ticks, lines, bars, whiskers, labels, one legend.
//!
//! Colours and strokes are classes of the page's style sheet, so every plot follows the light, dark
//! and print palettes. Points that are not finite are left out.

use std::fmt::Write as _;

use super::axis::Axis;
use super::number::{MISSING, escape, shortened, squeezed};

/// A corner of the plotting area.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Corner {
    BottomRight,
    TopRight,
    TopLeft,
}

/// What a legend entry shows beside its words.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Mark {
    Line,
    Box,
    Dot,
}

/// A plot being drawn. Width is fixed, height is chosen; the page scales it.
#[derive(Debug)]
pub(super) struct Plot {
    id: String,
    title: String,
    description: String,
    height: f64,
    top: f64,
    left: f64,
    right: f64,
    x: Axis,
    y: Axis,
    rows: bool,
    body: String,
}

pub(super) const WIDTH: f64 = 480.0;
const BOTTOM: f64 = 46.0;
/// Mean advance of a character of 13 px text; a little generous, so that boxes never cut.
const ADVANCE: f64 = 7.4;
/// The same for the names of rows, where a cut is worse than a gap.
const NAME_ADVANCE: f64 = 7.4;

impl Plot {
    pub(super) fn new(id: &str, title: &str, description: &str, x: Axis, y: Axis) -> Self {
        let widest = y
            .marks()
            .iter()
            .map(|(_, text)| text.chars().count())
            .max()
            .unwrap_or(1);
        Self {
            id: id.into(),
            title: title.into(),
            description: description.into(),
            height: 360.0,
            top: 30.0,
            left: (14.0 + ADVANCE * widest as f64).max(38.0),
            right: 24.0,
            x,
            y,
            rows: false,
            body: String::new(),
        }
    }

    /// A plot with one row for each name, in a gutter at the left; `y` must be as many slots.
    pub(super) fn with_rows<'a>(
        mut self,
        pitch: f64,
        names: impl ExactSizeIterator<Item = &'a str>,
    ) -> Self {
        self.top = 10.0;
        self.height = self.top + BOTTOM + pitch * names.len() as f64;
        let longest = names.map(|name| name.chars().count()).max().unwrap_or(0);
        self.left = (16.0 + NAME_ADVANCE * longest as f64).clamp(60.0, 215.0);
        self.rows = true;
        self
    }

    /// Leaves room at the right, in pixels.
    pub(super) fn with_right(mut self, right: f64) -> Self {
        self.right = right;
        self
    }

    fn px(&self, x: f64) -> f64 {
        self.left + self.x.fraction(x) * (WIDTH - self.left - self.right)
    }

    fn py(&self, y: f64) -> f64 {
        self.height - BOTTOM - self.y.fraction(y) * (self.height - self.top - BOTTOM)
    }

    /// A line through the points; those closer than a pixel to the last drawn are skipped.
    pub(super) fn line(&mut self, points: impl IntoIterator<Item = (f64, f64)>, class: &str) {
        let path = self.path(points);
        if !path.is_empty() {
            let _ = write!(self.body, r#"<path class="{class}" d="{path}"/>"#);
        }
    }

    /// The area between a line and `y = base`.
    pub(super) fn area(&mut self, points: &[(f64, f64)], base: f64, class: &str) {
        let (Some(first), Some(last)) = (points.first(), points.last()) else {
            return;
        };
        let ring = std::iter::once((first.0, base))
            .chain(points.iter().copied())
            .chain(std::iter::once((last.0, base)));
        let path = self.path(ring);
        if !path.is_empty() {
            let _ = write!(self.body, r#"<path class="{class}" d="{path}Z"/>"#);
        }
    }

    fn path(&self, points: impl IntoIterator<Item = (f64, f64)>) -> String {
        let mut path = String::new();
        let mut drawn: Option<(f64, f64)> = None;
        let mut skipped = None;
        let push = |path: &mut String, (x, y): (f64, f64)| {
            let command = if path.is_empty() { 'M' } else { 'L' };
            let _ = write!(path, "{command}{x:.1} {y:.1}");
        };
        for (x, y) in points {
            if !(x.is_finite() && y.is_finite()) {
                continue;
            }
            let at = (self.px(x), self.py(y));
            if drawn.is_some_and(|d| (d.0 - at.0).abs() + (d.1 - at.1).abs() < 1.0) {
                skipped = Some(at);
                continue;
            }
            push(&mut path, at);
            (drawn, skipped) = (Some(at), None);
        }
        if let Some(at) = skipped {
            push(&mut path, at);
        }
        path
    }

    /// A bar between two x and two y values, with words shown on hover.
    pub(super) fn bar(&mut self, x: (f64, f64), y: (f64, f64), class: &str, hint: &str) {
        if ![x.0, x.1, y.0, y.1].iter().all(|v| v.is_finite()) {
            return;
        }
        let (a, b) = (self.px(x.0), self.px(x.1));
        let (c, d) = (self.py(y.0), self.py(y.1));
        let _ = write!(
            self.body,
            r#"<rect class="{class}" x="{:.1}" y="{:.1}" width="{:.1}" height="{:.1}">{}</rect>"#,
            a.min(b),
            c.min(d),
            (a - b).abs(),
            (c - d).abs(),
            hover(hint)
        );
    }

    /// A dot, with words shown on hover.
    pub(super) fn dot(&mut self, x: f64, y: f64, class: &str, hint: &str) {
        if x.is_finite() && y.is_finite() {
            let _ = write!(
                self.body,
                r#"<circle class="{class}" cx="{:.1}" cy="{:.1}" r="4">{}</circle>"#,
                self.px(x),
                self.py(y),
                hover(hint)
            );
        }
    }

    /// A vertical whisker with caps.
    pub(super) fn whisker_up(&mut self, x: f64, low: f64, high: f64, class: &str) {
        if x.is_finite() && low.is_finite() && high.is_finite() {
            let (x, a, b) = (self.px(x), self.py(low), self.py(high));
            let (l, r) = (x - 4.0, x + 4.0);
            let _ = write!(
                self.body,
                r#"<path class="{class}" d="M{l:.1} {a:.1}L{r:.1} {a:.1}M{x:.1} {a:.1}L{x:.1} {b:.1}M{l:.1} {b:.1}L{r:.1} {b:.1}"/>"#
            );
        }
    }

    /// A horizontal whisker with caps.
    pub(super) fn whisker_across(&mut self, y: f64, low: f64, high: f64, class: &str) {
        if y.is_finite() && low.is_finite() && high.is_finite() {
            let (y, a, b) = (self.py(y), self.px(low), self.px(high));
            let (t, u) = (y - 4.0, y + 4.0);
            let _ = write!(
                self.body,
                r#"<path class="{class}" d="M{a:.1} {t:.1}L{a:.1} {u:.1}M{a:.1} {y:.1}L{b:.1} {y:.1}M{b:.1} {t:.1}L{b:.1} {u:.1}"/>"#
            );
        }
    }

    /// Words beside a point, `dx` and `dy` pixels away; `anchor` is start, middle or end.
    pub(super) fn label(&mut self, at: (f64, f64), by: (f64, f64), anchor: &str, text: &str) {
        if at.0.is_finite() && at.1.is_finite() {
            let (x, y) = (self.px(at.0) + by.0, self.py(at.1) + by.1);
            let _ = write!(
                self.body,
                r#"<text class="label" x="{x:.1}" y="{y:.1}" text-anchor="{anchor}">{}</text>"#,
                escape(text)
            );
        }
    }

    /// The name of a row, in the gutter.
    pub(super) fn row_name(&mut self, y: f64, text: &str) {
        let room = ((self.left - 12.0) / NAME_ADVANCE).max(1.0) as usize;
        let short = squeezed(text, room);
        let (x, y) = (self.left - 8.0, self.py(y) + 4.5);
        let _ = write!(
            self.body,
            r#"<text class="tick" x="{x:.1}" y="{y:.1}" text-anchor="end">{}<title>{}</title></text>"#,
            escape(&short),
            escape(text)
        );
    }

    /// A legend in a corner: class, kind of mark, words.
    pub(super) fn legend(&mut self, corner: Corner, entries: &[(&str, Mark, String)]) {
        let Some(longest) = entries.iter().map(|e| e.2.chars().count().min(44)).max() else {
            return;
        };
        let (line, mark) = (20.0, 30.0);
        let width = mark + 16.0 + ADVANCE * longest as f64;
        let height = line * entries.len() as f64 + 8.0;
        let right = WIDTH - self.right - 8.0 - width;
        let (x, y) = match corner {
            Corner::BottomRight => (right, self.height - BOTTOM - 8.0 - height),
            Corner::TopRight => (right, self.top + 6.0),
            Corner::TopLeft => (self.left + 10.0, self.top + 6.0),
        };
        let _ = write!(
            self.body,
            r#"<rect class="panel" x="{x:.1}" y="{y:.1}" width="{width:.1}" height="{height:.1}" rx="3"/>"#
        );
        for (i, (class, kind, words)) in entries.iter().enumerate() {
            let middle = y + 4.0 + line * (i as f64 + 0.5);
            let (a, b) = (x + 8.0, x + mark);
            let _ = match kind {
                Mark::Line => write!(
                    self.body,
                    r#"<path class="{class}" d="M{a:.1} {middle:.1}L{b:.1} {middle:.1}"/>"#
                ),
                Mark::Box => write!(
                    self.body,
                    r#"<rect class="{class}" x="{:.1}" y="{:.1}" width="14" height="11"/>"#,
                    a + 4.0,
                    middle - 5.5
                ),
                Mark::Dot => write!(
                    self.body,
                    r#"<circle class="{class}" cx="{:.1}" cy="{middle:.1}" r="4"/>"#,
                    a + 11.0
                ),
            };
            let _ = write!(
                self.body,
                r#"<text class="label" x="{:.1}" y="{:.1}">{}</text>"#,
                b + 7.0,
                middle + 4.5,
                escape(&shortened(words, 44))
            );
        }
    }

    /// The finished drawing.
    pub(super) fn finish(self) -> String {
        let (l, r) = (self.left, WIDTH - self.right);
        let (t, b) = (self.top, self.height - BOTTOM);
        let mut axes = String::new();
        for (value, text) in self.x.marks() {
            let x = self.px(value);
            let _ = write!(
                axes,
                r#"<path class="grid" d="M{x:.1} {t:.1}L{x:.1} {b:.1}"/><text class="tick" x="{x:.1}" y="{:.1}" text-anchor="middle">{}</text>"#,
                b + 17.0,
                escape(&text)
            );
        }
        if !self.rows {
            for (value, text) in self.y.marks() {
                let y = self.py(value);
                let _ = write!(
                    axes,
                    r#"<path class="grid" d="M{l:.1} {y:.1}L{r:.1} {y:.1}"/><text class="tick" x="{:.1}" y="{:.1}" text-anchor="end">{text}</text>"#,
                    l - 7.0,
                    y + 4.5
                );
            }
        }
        let _ = write!(
            axes,
            r#"<path class="axis" d="M{l:.1} {t:.1}L{l:.1} {b:.1}L{r:.1} {b:.1}"/><text class="name" x="{:.1}" y="{:.1}" text-anchor="middle">{}</text><text class="name" x="4" y="16">{}</text>"#,
            0.5 * (l + r),
            self.height - 8.0,
            escape(&self.x.label),
            escape(&self.y.label)
        );
        format!(
            r#"<svg viewBox="0 0 {WIDTH} {}" role="img" aria-labelledby="{id}-t {id}-d"><title id="{id}-t">{}</title><desc id="{id}-d">{}</desc>{axes}{}</svg>"#,
            self.height,
            escape(&self.title),
            escape(if self.description.is_empty() {
                MISSING
            } else {
                &self.description
            }),
            self.body,
            id = self.id
        )
    }
}

fn hover(words: &str) -> String {
    if words.is_empty() {
        String::new()
    } else {
        format!("<title>{}</title>", escape(words))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn points_without_a_place_are_left_out() {
        let mut plot = Plot::new("p", "t", "d", Axis::share("x"), Axis::share("y"));
        plot.line(
            [
                (0.0, 0.0),
                (f64::NAN, 0.5),
                (1.0, f64::INFINITY),
                (1.0, 1.0),
            ],
            "line",
        );
        plot.line([(f64::NAN, 0.0)], "never");
        plot.dot(f64::NAN, 1.0, "never", "");
        plot.bar((0.0, f64::NAN), (0.0, 1.0), "never", "");
        let drawing = plot.finish();
        assert!(!drawing.contains("NaN") && !drawing.contains("inf") && !drawing.contains("never"));
        assert_eq!(drawing.matches(r#"class="line""#).count(), 1);
    }

    #[test]
    fn dense_lines_are_thinned_but_keep_their_end() {
        let mut plot = Plot::new("p", "t", "d", Axis::share("x"), Axis::share("y"));
        plot.line(
            (0..=100_000).map(|i| (f64::from(i) / 1e5, f64::from(i) / 1e5)),
            "line",
        );
        let drawing = plot.finish();
        assert!(drawing.len() < 12_000, "{} bytes", drawing.len());
        assert!(drawing.contains("L456.0 30.0"));
    }
}
