//! `paripassu model`.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use serde::{Deserialize, Serialize};

use super::read_text;
use crate::{failure::Failure, outcome::Outcome, screen::Screen};

/// Read, export and use a party's half of a model.
#[derive(Debug, Subcommand)]
pub(crate) enum Model {
    /// Print the coefficients of a model.json
    Show(Show),
    /// Write a half as scorecard, CSV, PMML and ONNX
    Export(super::export::Export),
    /// Points and reasons of the rows of a file by a scorecard
    Score(super::export::Score),
}

/// Arguments of `model show`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  paripassu model show paripassu-demo/bank/model.json
  paripassu model show paripassu-demo/bank --sort")]
pub(crate) struct Show {
    /// A model.json, or the folder it lies in
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Largest coefficients first
    #[arg(long)]
    sort: bool,
}

/// What a party keeps of a model: the coefficients of its own columns.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct ModelFile {
    pub(crate) format: u32,
    pub(crate) job: String,
    pub(crate) party: String,
    /// `logistic` or `mlp`.
    #[serde(default)]
    pub(crate) kind: String,
    #[serde(default)]
    pub(crate) intercept: Option<f64>,
    /// The column that is added to the score as it stands.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) offset: Option<String>,
    pub(crate) columns: Vec<ModelColumn>,
    /// Of a network.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) layers: Vec<Layer>,
}

/// One layer of a network.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Layer {
    /// By input, then by output.
    pub(crate) weights: Vec<Vec<f64>>,
    pub(crate) biases: Vec<f64>,
}

/// One column of the design, standardised, with its coefficient.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct ModelColumn {
    pub(crate) name: String,
    pub(crate) mean: f64,
    pub(crate) sd: f64,
    /// None in a network.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) coef: Option<f64>,
}

impl ModelFile {
    /// Version of the layout that this build reads.
    const FORMAT: u32 = 1;

    /// Reads a model.json.
    pub(crate) fn load(path: &Path) -> Result<Self, Failure> {
        let model: Self = serde_json::from_str(&read_text(path)?)
            .map_err(|e| Failure::user(format!("{} is no model: {e}", path.display())))?;
        if model.format != Self::FORMAT {
            return Err(Failure::user(format!(
                "{} has format {}, this program reads format {}",
                path.display(),
                model.format,
                Self::FORMAT
            )));
        }
        Ok(model)
    }
}

impl Model {
    pub(crate) fn run(self, screen: &Screen) -> Result<Outcome, Failure> {
        match self {
            Self::Show(show) => show.run(screen),
            Self::Export(export) => export.run(screen),
            Self::Score(score) => score.run(screen),
        }
    }
}

impl Show {
    fn run(self, screen: &Screen) -> Result<Outcome, Failure> {
        let path = if self.file.is_dir() {
            self.file.join("model.json")
        } else {
            self.file
        };
        let mut model = ModelFile::load(&path)?;
        if self.sort {
            let size = |c: &ModelColumn| c.coef.map_or(0.0, f64::abs);
            let by_size = |a: &ModelColumn, b: &ModelColumn| size(b).total_cmp(&size(a));
            model.columns.sort_by(by_size);
        }
        if !model.layers.is_empty() {
            let text = network(&model, screen);
            return Outcome::new(&model, text);
        }
        let mut table = screen.table(&[
            "column",
            "coefficient",
            "odds ratio per s.d.",
            "mean",
            "s.d.",
        ]);
        if let Some(intercept) = model.intercept {
            table.row(
                ["(intercept)".to_owned(), format!("{intercept:+.6}")]
                    .into_iter()
                    .chain([const { String::new() }; 3]),
            );
        }
        if let Some(offset) = &model.offset {
            table.row(
                [format!("{offset} (offset)"), "+1 as it stands".to_owned()]
                    .into_iter()
                    .chain([const { String::new() }; 3]),
            );
        }
        for column in &model.columns {
            let Some(coef) = column.coef else { continue };
            table.row([
                column.name.clone(),
                format!("{coef:+.6}"),
                format!("{:.3}", coef.exp()),
                significant(column.mean),
                significant(column.sd),
            ]);
        }
        let text = format!(
            "{}'s half of job {}: log-odds of bad per standard deviation of each column\n{table}",
            screen.out().strong(&model.party),
            model.job
        );
        Outcome::new(&model, text)
    }
}

/// A network: its columns, and how much of the first layer's weight each has.
fn network(model: &ModelFile, screen: &Screen) -> String {
    let mut table = screen.table(&["column", "mean", "s.d.", "weights out, r.m.s."]);
    let first = model.layers.first();
    for (i, column) in model.columns.iter().enumerate() {
        let weights = first.and_then(|layer| layer.weights.get(i));
        let square = weights.map(|w| w.iter().map(|w| w * w).sum::<f64>() / w.len().max(1) as f64);
        table.row([
            column.name.clone(),
            significant(column.mean),
            significant(column.sd),
            format!("{:.4}", square.unwrap_or_default().sqrt()),
        ]);
    }
    let widths: Vec<String> = model
        .layers
        .iter()
        .map(|layer| layer.biases.len().to_string())
        .collect();
    format!(
        "{}'s network of job {}: {} columns, then layers of {}\n{table}",
        screen.out().strong(&model.party),
        model.job,
        model.columns.len(),
        widths.join(", ")
    )
}

/// Six significant digits, without an exponent where it reads well.
fn significant(value: f64) -> String {
    let size = value.abs();
    if size != 0.0 && !(1e-4..1e9).contains(&size) {
        return format!("{value:.4e}");
    }
    let decimals = if size >= 1000.0 {
        1
    } else if size >= 1.0 {
        3
    } else {
        6
    };
    format!("{value:.decimals$}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::screen::ColorWhen;

    #[test]
    fn shows_the_columns_and_refuses_other_formats() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("model.json");
        let text = r#"{"format":1,"job":"ab","party":"bank","kind":"logistic","intercept":-1.5,
            "columns":[{"name":"age","mean":35.5,"sd":11.0,"coef":0.25,"source":{}},
                       {"name":"income","mean":1234.5,"sd":10.0,"coef":-0.5,"source":{}}]}"#;
        std::fs::write(&path, text).unwrap();
        let screen = Screen::new(false, ColorWhen::Never);
        let show = |sort| {
            Show {
                file: dir.path().to_owned(),
                sort,
            }
            .run(&screen)
        };
        let shown = show(true).unwrap();
        let at = |what: &str| shown.text().find(what).unwrap();
        assert!(at("(intercept)") < at("income") && at("income") < at("age"));
        assert!(shown.text().contains("-0.500000"));
        std::fs::write(&path, text.replace("\"format\":1", "\"format\":7")).unwrap();
        assert!(show(false).unwrap_err().message().contains("format 7"));
    }

    #[test]
    fn numbers_keep_their_meaning() {
        assert_eq!(significant(0.0), "0.000000");
        assert_eq!(significant(12345.678), "12345.7");
        assert_eq!(significant(1.5e-7), "1.5000e-7");
    }
}
