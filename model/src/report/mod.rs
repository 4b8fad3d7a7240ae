//! The report: one self-contained page, and every table as CSV and JSON.
//!
//! A [`Report`] holds what one party may read about one finished job. Each party has its own copy:
//! the coefficients in it are that party's only, and results that the job does not release to it
//! are simply absent. The caller fills the structs of this module; nothing here computes a metric
//! from rows.
//!
//! - [`html`]: one file, no script, no font, no image from anywhere else, light and dark, printable.
//! - [`tables`]: every table as CSV, full precision, an empty cell where there is no number.
//! - [`json`], [`from_json`]: the same content for machines.
//! - [`model_card`]: the sixteen sections of a model pack as Markdown.
//! - [`write()`](fn@write): `report.html`, `report.json`, `model_card.md` and `tables/*.csv`, all or nothing.
//! - [`summary_rows`]: the comparison for a terminal.
//!
//! ```
//! use paripassu_model::report::{self, Metric, Report, Uplift};
//!
//! let mut report = Report::default();
//! report.job.title = "Cards <2026>".into();
//! report.uplift.push(Uplift {
//!     metric: Metric::Auc,
//!     baseline: "bank alone".into(),
//!     challenger: "joint".into(),
//!     delta: 0.001,
//!     low: Some(-0.004),
//!     high: Some(0.006),
//!     method: "DeLong, paired".into(),
//! });
//! assert!(report.verdict().starts_with("No uplift is shown"));
//! assert!(report::html(&report).contains("Cards &lt;2026&gt;"));
//! ```

mod axis;
mod bins;
mod chart;
mod convergence;
mod curves;
mod html;
mod input;
mod model_card;
mod number;
mod page;
mod planned;
mod reject;
mod rows;
mod scorecard;
mod selection;
mod summary;
mod svg;
mod table;
mod tables;
mod trials;
mod validation;
mod validation_charts;
mod verdict;
mod write;

pub use bins::{BinRow, BinnedColumn, BinsReport, Correlations};
pub use convergence::{Convergence, ConvergenceStep};
pub use curves::{Band, CalibrationPoint, Curves, KsPoint, RocPoint, ScoreHistogram};
pub use html::html;
pub use input::{
    Agreement, Coefficient, Coefficients, Data, Disclosure, DisclosureStatus, Evaluation, Fact,
    Job, Machine, Metric, ModelKind, Party, Phase, Report, Sample, Security, Solver, Traffic,
    Uplift,
};
pub use model_card::model_card;
pub use planned::{Compared, Planned, PlannedStage};
pub use reject::{RejectCoefficient, RejectMetric, RejectReport};
pub use scorecard::{CardReport, ReasonCount, Rounding};
pub use selection::{Across, SelectedColumn, SelectionReport};
pub use summary::{SummaryRows, summary_rows};
pub use tables::tables;
pub use trials::{Trial, Trials};
pub use verdict::Finding;
pub use write::{ReportError, from_json, json, write};
