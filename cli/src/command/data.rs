//! `paripassu data`.

mod columns;
pub(crate) mod keys;
mod label;
mod page;
mod quality;
mod share;
mod text;

use std::path::PathBuf;

use clap::{Args, Subcommand};
use paripassu_model::schema::DatasetSpec;
use paripassu_party::config::{FallbackKey, PartyConfig};
use serde::Serialize;

use self::columns::{Cells, problems};
pub(crate) use self::columns::{ColumnFacts, Kind, columns, dataset};
use crate::{
    failure::{Exit, Failure},
    outcome::Outcome,
    screen::Screen,
};

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

#[cfg(test)]
mod tests {
    use std::path::Path;

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
