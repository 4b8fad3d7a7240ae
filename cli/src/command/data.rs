//! `paripassu data`.

pub(crate) mod keys;
mod label;
mod page;
mod quality;
mod share;

use std::{
    collections::HashSet,
    path::{Path, PathBuf},
};

use clap::{Args, Subcommand};
use paripassu_model::{
    schema::DatasetSpec,
    table::{ParquetReader, Table, TableError, TableReader},
};
use paripassu_party::config::{FallbackKey, PartyConfig};
use serde::Serialize;

use crate::{
    failure::{Exit, Failure},
    outcome::Outcome,
    screen::{Screen, count},
};

/// Most problems that are listed one by one.
const LISTED: usize = 20;
/// Distinct values that are counted exactly.
const DISTINCT: usize = 100_000;

/// Look at a data file before it is used, or make one.
#[derive(Debug, Subcommand)]
pub(crate) enum Data {
    /// Types, missing and distinct values, outliers, repeats, days, and every error by row and column
    Inspect(Box<Inspect>),
    /// Make the synthetic joint-credit portfolio: a file for each party, up to 10 million rows
    Synth(super::synth::Synth),
    /// What a score would tell its receiver about this party's columns, before a job is approved
    Leakage(super::leakage::LeakageOf),
}

/// Arguments of `data inspect`.
#[derive(Debug, Args)]
#[command(after_help = "\
Run by: whoever prepares a party's data, beside them; nothing leaves this machine. --share writes what
a modeler at another institution may be told: the columns that the party's signed policy lists for the
purpose, in coarse classes, without any value.
Exit codes: 0 usable as it is, 3 rows or columns must be mended.

Examples:
  paripassu data inspect bank.csv --label y
  paripassu data inspect partner.csv --id customer --missing NA --categorical branch --json
  paripassu data inspect bank.csv --html quality.html
  paripassu data inspect people.csv --id surname --id-more born,postcode --fallback phone=mobile
  paripassu data inspect loans.csv --past-due worst_dpd_12m --bad-from 90 --good-below 30 \\
    --watched months --window 12
  paripassu data inspect bank.csv --share told.json --config bank.toml --dataset applications \\
    --purpose application_score")]
pub(crate) struct Inspect {
    /// CSV file, UTF-8 with a header, or Parquet file (`.parquet`)
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Column with the unique customer id
    #[arg(long, value_name = "COLUMN", default_value = "id")]
    id: String,
    /// Further columns of the id, where one alone does not tell customers apart
    #[arg(long, value_name = "COLUMN,..", value_delimiter = ',')]
    id_more: Vec<String>,
    /// A further key by which jobs may match customers, and its columns; may be repeated
    #[arg(long, value_name = "KEY=COLUMN,..", value_parser = keys::parse)]
    fallback: Vec<FallbackKey>,
    /// Column with the outcome, 1 = bad, where there is one
    #[arg(long, value_name = "COLUMN")]
    label: Option<String>,
    /// Column that marks declined applicants with 1, who have no label; all others have one
    #[arg(long, value_name = "COLUMN", requires = "label")]
    rejected: Option<String>,
    /// Text that means missing, besides the empty cell; may be repeated
    #[arg(long, value_name = "TEXT")]
    missing: Vec<String>,
    /// Columns to read as numbers even if not every cell is one
    #[arg(long, value_name = "COLUMN,..", value_delimiter = ',')]
    numeric: Vec<String>,
    /// Columns to read as categories even if every cell is a number
    #[arg(long, value_name = "COLUMN,..", value_delimiter = ',')]
    categorical: Vec<String>,
    /// Write a page of HTML, too; it shows values and stays with the party
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// Column with each customer's worst days past due in the window: helps to define the outcome
    #[arg(long, value_name = "COLUMN")]
    past_due: Option<String>,
    /// A customer is bad from so many days past due
    #[arg(long, value_name = "DAYS", default_value_t = 90.0)]
    bad_from: f64,
    /// And good below so many; between the two indeterminate
    #[arg(long, value_name = "DAYS", default_value_t = 30.0)]
    good_below: f64,
    /// Column with the months for which each customer was watched
    #[arg(long, value_name = "COLUMN", requires = "past_due")]
    watched: Option<String>,
    /// Customers watched for fewer months are left out
    #[arg(long, value_name = "MONTHS", default_value_t = 12.0)]
    window: f64,
    /// Write what a modeler may be told, by the party's policy
    #[arg(long, value_name = "FILE", requires_all = ["config", "dataset", "purpose"])]
    share: Option<PathBuf>,
    /// The party's configuration, which names its policy
    #[arg(long, value_name = "PARTY.toml")]
    config: Option<PathBuf>,
    /// The data set in it
    #[arg(long, value_name = "NAME")]
    dataset: Option<String>,
    /// The purpose for which it is told
    #[arg(long, value_name = "PURPOSE")]
    purpose: Option<String>,
}

/// What a column is taken for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Kind {
    /// The id, or a part of it.
    Id,
    /// A part of a further key.
    Key,
    /// The label.
    Label,
    /// A number.
    Numeric,
    /// A category.
    Categorical,
}

/// One column of a file.
#[derive(Debug, Serialize)]
pub(crate) struct ColumnFacts {
    pub(crate) name: String,
    pub(crate) kind: Kind,
    missing: u64,
    distinct: usize,
    /// False where only the first values were counted.
    distinct_exact: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    least: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    largest: Option<f64>,
    #[serde(skip)]
    numbers: bool,
}

#[derive(Debug, Serialize)]
struct Inspected {
    file: PathBuf,
    rows: u64,
    columns: Vec<ColumnFacts>,
    problems: Vec<String>,
    /// True where there are more problems than are listed.
    more_problems: bool,
    quality: quality::Quality,
    #[serde(skip_serializing_if = "Option::is_none")]
    outcomes: Option<label::Outcomes>,
    dataset: DatasetSpec,
    /// Of the id and of further keys, where an id has several columns or there are such keys.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    keys: Vec<keys::KeyFacts>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    fallback: Vec<FallbackKey>,
}

impl Data {
    pub(crate) fn run(self, screen: &Screen) -> Result<Outcome, Failure> {
        match self {
            Self::Inspect(inspect) => inspect.run(screen),
            Self::Synth(synth) => synth.run(screen),
            Self::Leakage(leakage) => leakage.run(screen),
        }
    }
}

impl Inspect {
    fn run(self, screen: &Screen) -> Result<Outcome, Failure> {
        let facts = columns(&self.file, &self.id, self.label.as_deref(), &self.missing)?;
        let (rows, mut columns) = facts;
        for (names, kind) in [
            (&self.numeric, Kind::Numeric),
            (&self.categorical, Kind::Categorical),
        ] {
            for name in names {
                let found = columns.iter_mut().find(|column| column.name == *name);
                let column = found.ok_or_else(|| {
                    Failure::user(format!("{} has no column `{name}`", self.file.display()))
                })?;
                column.kind = kind;
            }
        }
        keys::mark(&self.file, &mut columns, &self.id_more, &self.fallback)?;
        let dataset = DatasetSpec {
            id: self.id.clone(),
            id_more: keys::parts(&self.id_more),
            ..dataset(&columns, &self.missing)
        };
        let (mut problems, more_problems) =
            problems(&self.file, &dataset, self.rejected.as_deref())?;
        for column in columns.iter().filter(|column| column.distinct < 2) {
            if matches!(column.kind, Kind::Numeric | Kind::Categorical) && rows > 0 {
                problems.push(format!(
                    "column `{}` is the same in every row: it cannot tell good from bad",
                    column.name
                ));
            }
        }
        let quality = quality::quality(&self.file, &columns, &self.missing, rows)?;
        let keys = match self.id_more.is_empty() && self.fallback.is_empty() {
            true => Vec::new(),
            false => keys::facts(&self.file, &dataset, &self.fallback)?,
        };
        let outcomes = self.past_due.map(|past_due| {
            let definition = label::Definition {
                past_due,
                bad: self.bad_from,
                good: self.good_below,
                watched: self.watched,
                window: self.window,
            };
            label::outcomes(&self.file, &definition, &self.missing)
        });
        let inspected = Inspected {
            outcomes: outcomes.transpose()?,
            file: self.file,
            rows,
            columns,
            problems,
            more_problems,
            quality,
            dataset,
            keys,
            fallback: self.fallback,
        };
        if let Some(path) = &self.html {
            super::write_whole(path, inspected.html().as_bytes())?;
        }
        if let (Some(path), Some(config), Some(dataset), Some(purpose)) =
            (&self.share, &self.config, &self.dataset, &self.purpose)
        {
            let config = PartyConfig::load(config).map_err(Failure::user)?;
            let policy = share::signed_policy(&config)?;
            let told = share::shared(
                &config,
                &policy,
                (dataset, purpose),
                &inspected.columns,
                &inspected.quality,
                inspected.rows,
            )?;
            let text = serde_json::to_vec_pretty(&told).map_err(Failure::ours)?;
            super::write_whole(path, &text)?;
            screen.say(format_args!(
                "{} tells of {} columns, in classes: this may go to the modeler",
                path.display(),
                told.columns.len()
            ));
        }
        let exit = if inspected.problems.is_empty() {
            Exit::Ok
        } else {
            Exit::Failed
        };
        let text = inspected.text(screen);
        Ok(Outcome::new(&inspected, text)?.exit_with(exit))
    }
}

impl Inspected {
    fn text(&self, screen: &Screen) -> String {
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

/// Rows of a file, and what each column seems to hold.
pub(crate) fn columns(
    file: &Path,
    id: &str,
    label: Option<&str>,
    missing: &[String],
) -> Result<(u64, Vec<ColumnFacts>), Failure> {
    let mut cells = Cells::open(file)?;
    let mut columns: Vec<ColumnFacts> = cells
        .header()?
        .into_iter()
        .map(|name| {
            let kind = match name.as_str() {
                name if name == id => Kind::Id,
                name if Some(name) == label => Kind::Label,
                _ => Kind::Categorical,
            };
            ColumnFacts {
                name,
                kind,
                missing: 0,
                distinct: 0,
                distinct_exact: true,
                least: None,
                largest: None,
                numbers: true,
            }
        })
        .collect();
    let mut seen: Vec<HashSet<Vec<u8>>> = columns.iter().map(|_| HashSet::new()).collect();
    let mut rows = 0;
    let mut see = |at: usize, cell: &[u8]| {
        if let (Some(column), Some(seen)) = (columns.get_mut(at), seen.get_mut(at)) {
            column.see(cell, missing);
            if seen.len() < DISTINCT {
                seen.insert(cell.to_vec());
            } else {
                column.distinct_exact = false;
            }
        }
    };
    while cells.next(&mut see)? {
        rows += 1;
    }
    for (column, seen) in columns.iter_mut().zip(seen) {
        column.distinct = seen.len();
        let values = column.least.is_some();
        if column.kind == Kind::Categorical && column.numbers && values {
            column.kind = Kind::Numeric;
        }
        if !matches!(column.kind, Kind::Numeric) {
            (column.least, column.largest) = (None, None);
        }
    }
    Ok((rows, columns))
}

/// The cells of a file as texts.
enum Cells<'f> {
    Csv(&'f Path, csv::Reader<std::fs::File>, csv::ByteRecord),
    Parquet(Box<ParquetReader>, Vec<String>),
}

impl<'f> Cells<'f> {
    fn refuse(file: &Path, e: &csv::Error) -> Failure {
        Failure::user(format!("cannot read {}: {e}", file.display()))
    }

    fn open(file: &'f Path) -> Result<Self, Failure> {
        if TableReader::is_parquet(file) {
            let reader = ParquetReader::open_texts(file)?;
            return Ok(Self::Parquet(Box::new(reader), Vec::new()));
        }
        let reader = csv::ReaderBuilder::new().flexible(true).from_path(file);
        let reader = reader.map_err(|e| Self::refuse(file, &e))?;
        Ok(Self::Csv(file, reader, csv::ByteRecord::new()))
    }

    fn header(&mut self) -> Result<Vec<String>, Failure> {
        match self {
            Self::Csv(file, reader, _) => {
                let names = reader.byte_headers().map_err(|e| Self::refuse(file, &e))?;
                let text = |name| String::from_utf8_lossy(name).trim().to_owned();
                Ok(names.iter().map(text).collect())
            }
            Self::Parquet(reader, _) => Ok(reader.names().to_vec()),
        }
    }

    /// Shows each cell of the next row with its position; `false` at the end.
    fn next(&mut self, see: &mut impl FnMut(usize, &[u8])) -> Result<bool, Failure> {
        match self {
            Self::Csv(file, reader, record) => {
                let more = reader.read_byte_record(record);
                let more = more.map_err(|e| Self::refuse(file, &e))?;
                if more {
                    record.iter().enumerate().for_each(|(k, cell)| see(k, cell));
                }
                Ok(more)
            }
            Self::Parquet(reader, row) => {
                let more = reader.read_texts(row)?;
                if more {
                    let cells = row.iter().enumerate();
                    cells.for_each(|(k, cell)| see(k, cell.as_bytes()));
                }
                Ok(more)
            }
        }
    }
}

impl ColumnFacts {
    fn see(&mut self, cell: &[u8], missing: &[String]) {
        let text = std::str::from_utf8(cell).unwrap_or("\u{fffd}").trim();
        if text.is_empty() || missing.iter().any(|word| word == text) {
            self.missing += 1;
            return;
        }
        match text.parse::<f64>() {
            Ok(value) if value.is_finite() => {
                self.least = Some(self.least.map_or(value, |least| least.min(value)));
                self.largest = Some(self.largest.map_or(value, |largest| largest.max(value)));
            }
            // A number, though not a usable one: the column is numeric and the cell a problem.
            Ok(_) => {}
            Err(_) => self.numbers = false,
        }
    }
}

/// The columns as a configuration would declare them.
pub(crate) fn dataset(columns: &[ColumnFacts], missing: &[String]) -> DatasetSpec {
    let of = |kind: Kind| {
        let names = columns.iter().filter(move |column| column.kind == kind);
        names.map(|column| column.name.clone()).collect::<Vec<_>>()
    };
    DatasetSpec {
        id_more: Vec::new(),
        id: of(Kind::Id).pop().unwrap_or_else(|| "id".to_owned()),
        label: of(Kind::Label).pop(),
        numeric: of(Kind::Numeric),
        categorical: of(Kind::Categorical),
        missing: missing.to_vec(),
        id_rules: Vec::new(),
    }
}

/// The first problems of a file, read as a party would read it, and whether there are more.
fn problems(
    file: &Path,
    dataset: &DatasetSpec,
    rejected: Option<&str>,
) -> Result<(Vec<String>, bool), Failure> {
    let mut found = Vec::new();
    let mut reader = match TableReader::open(file, dataset) {
        Ok(reader) => reader,
        Err(error @ TableError::Io { .. }) => return Err(error.into()),
        Err(error) => return Ok((vec![error.to_string()], false)),
    };
    if let Some(column) = rejected {
        reader = reader.with_rejected(column);
    }
    let mut table = Table::empty(dataset);
    loop {
        match reader.read_batch(&mut table, 1 << 14) {
            Ok(0) => return Ok((found, false)),
            Ok(_) => table.clear(),
            Err(error) => {
                let over = matches!(
                    error,
                    TableError::Io { .. } | TableError::Empty { .. } | TableError::Spec { .. }
                );
                found.push(error.to_string());
                if over || found.len() == LISTED {
                    return Ok((found, !over));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::screen::ColorWhen;

    fn inspect(text: &str, label: Option<&str>) -> Result<Outcome, Failure> {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("bank.csv");
        std::fs::write(&file, text).unwrap();
        Inspect {
            file,
            id: "id".into(),
            id_more: Vec::new(),
            fallback: Vec::new(),
            label: label.map(Into::into),
            rejected: None,
            missing: vec!["NA".into()],
            numeric: vec![],
            categorical: vec![],
            html: Some(dir.path().join("page.html")),
            past_due: None,
            bad_from: 90.0,
            good_below: 30.0,
            watched: None,
            window: 12.0,
            share: None,
            config: None,
            dataset: None,
            purpose: None,
        }
        .run(&Screen::new(false, ColorWhen::Never))
    }

    #[test]
    fn kinds_are_inferred() {
        let out = inspect(
            "id,age,branch,y\n1,30,a,0\n2,NA,b,1\n3,41.5,a,0\n",
            Some("y"),
        )
        .unwrap();
        assert_eq!(out.exit(), Exit::Ok);
        let dataset = &out.json()["dataset"];
        assert_eq!(dataset["numeric"], serde_json::json!(["age"]));
        assert_eq!(dataset["categorical"], serde_json::json!(["branch"]));
        assert_eq!(out.json()["columns"][1]["missing"], 1);
        assert!(out.text().contains("numeric = [\"age\"]"), "{}", out.text());
    }

    #[test]
    fn every_problem_is_listed_by_row_and_column() {
        let out = inspect(
            "id,age,one,y\n1,30,k,0\n1,31,k,1\n,32,k,0\n4,inf,k,1\n5,33,k,2\n6,34,k,\n",
            Some("y"),
        )
        .unwrap();
        assert_eq!(out.exit(), Exit::Failed);
        let problems: Vec<_> = out.json()["problems"].as_array().unwrap().iter().collect();
        let has = |what: &str| problems.iter().any(|p| p.as_str().unwrap().contains(what));
        for what in [
            "row 2", "row 3", "row 4", "row 5", "row 6", "`age`", "`y`", "`one`",
        ] {
            assert!(has(what), "{what}: {problems:?}");
        }
        assert_eq!(problems.len(), 6);
    }

    #[test]
    fn a_file_that_is_not_there_is_the_callers_to_fix() {
        let refused = columns(Path::new("no-such.csv"), "id", None, &[]).unwrap_err();
        assert_eq!(refused.exit(), Exit::User);
        assert!(refused.message().contains("no-such.csv"));
    }
}
