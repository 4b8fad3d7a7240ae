//! `paripassu data synth`.

use std::{
    fs::{self, File},
    io::{self, BufWriter, Write as _},
    ops::Range,
    path::PathBuf,
};

use clap::{Args, ValueEnum};
use paripassu_model::synth::{ParquetFile, Party, Portfolio};
use rayon::prelude::*;
use serde::Serialize;

use crate::{
    failure::Failure,
    outcome::Outcome,
    screen::{Screen, bytes, count},
};

/// Rows made at a time by one thread: about 10 MB of text at the widest party.
const SLICE: u64 = 16_384;
/// Slices of a row group of a Parquet file.
const GROUP: usize = 8;
/// Most rows.
const MOST: u64 = 10_000_000;

/// Make the synthetic joint-credit portfolio: a file for each party, up to 10 million rows.
///
/// Every cell is a function of seed, row and column, so the same command makes the same cells anywhere. The
/// bank holds every row and the label y; the bureau 85 % of the customers, the telecom company 60 %.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  paripassu data synth --rows 100000 --out portfolio
  paripassu data synth --rows 20000 --party bank,bureau --declined 0.25 --out rejects
  paripassu data synth --rows 1000000 --party bank,bureau --format parquet --out portfolio --json")]
pub(crate) struct Synth {
    /// Rows, from the first on
    #[arg(long, default_value_t = 100_000)]
    rows: u64,
    /// Folder for the files; made if it is not there
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Whose files
    #[arg(long, value_delimiter = ',', default_values_t = [Who::Bank, Who::Bureau, Who::Telco])]
    party: Vec<Who>,
    /// Kind of file
    #[arg(long, default_value_t = Format::Csv)]
    format: Format,
    /// Seed
    #[arg(long, default_value_t = 2026)]
    seed: u64,
    /// Share of applicants whom the bank has declined, by a rule on its own columns with noise: a column `declined`, and no `y`
    /// where that is 1; for `[reject_inference]`
    #[arg(long, value_name = "SHARE")]
    declined: Option<f64>,
    /// Also the true probability of each row, as truth.csv
    #[arg(long)]
    truth: bool,
    /// Replace files that are there
    #[arg(long)]
    force: bool,
}

/// A party of the portfolio.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub(crate) enum Who {
    /// Label and 120 variables of every customer
    Bank,
    /// 120 variables of 85 % of them
    Bureau,
    /// 60 variables of 60 % of them
    Telco,
}

/// A kind of file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// Text with a header line
    Csv,
    /// Columns with types, compressed
    Parquet,
}

impl std::fmt::Display for Who {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Bank => "bank",
            Self::Bureau => "bureau",
            Self::Telco => "telco",
        })
    }
}

impl std::fmt::Display for Format {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Csv => "csv",
            Self::Parquet => "parquet",
        })
    }
}

#[derive(Debug, Serialize)]
struct Made {
    file: PathBuf,
    rows: u64,
    bytes: u64,
}

impl Synth {
    pub(crate) fn run(self, screen: &Screen) -> Result<Outcome, Failure> {
        if !(1..=MOST).contains(&self.rows) {
            return Err(Failure::user("--rows takes a number from 1 to 10,000,000"));
        }
        fs::create_dir_all(&self.out).map_err(|e| Failure::file("make", &self.out, &e))?;
        let mut portfolio = Portfolio::new(self.seed);
        if let Some(share) = self.declined {
            if !(0.0..1.0).contains(&share) {
                return Err(Failure::user("--declined takes a share from 0 to below 1"));
            }
            if self.format == Format::Parquet {
                return Err(
                    Failure::user("--declined makes CSV files only").hint("leave --format out")
                );
            }
            portfolio = portfolio.with_declined(0..self.rows, share);
        }
        let mut parties = self.party.clone();
        parties.sort_unstable();
        parties.dedup();
        let mut made = Vec::new();
        for who in parties {
            let party = match who {
                Who::Bank => Party::Bank,
                Who::Bureau => Party::Bureau,
                Who::Telco => Party::Telco,
            };
            made.push(match self.format {
                Format::Csv => self.write(&format!("{who}.csv"), |out| {
                    portfolio.write_header(party, out)?;
                    self.texts(out, |rows, text| portfolio.write_rows(party, rows, text))
                })?,
                Format::Parquet => self.write(&format!("{who}.parquet"), |out| {
                    self.columns(&portfolio, party, out)
                })?,
            });
        }
        if self.truth {
            made.push(self.write("truth.csv", |out| {
                out.write_all(b"id,pd\n")?;
                self.texts(out, |rows, text| {
                    let many = rows.end - rows.start;
                    portfolio.write_truth_rows(rows, text).map(|()| many)
                })
            })?);
        }
        let mut table = screen.table(&["file", "rows", "size"]);
        for m in &made {
            table.row([m.file.display().to_string(), count(m.rows), bytes(m.bytes)]);
        }
        Outcome::new(&made, table.to_string())
    }

    /// Writes one file, which is there whole or not at all.
    fn write(
        &self,
        name: &str,
        content: impl FnOnce(&mut BufWriter<File>) -> io::Result<u64>,
    ) -> Result<Made, Failure> {
        let file = self.out.join(name);
        if file.exists() && !self.force {
            return Err(
                Failure::user(format!("{} is there already", file.display()))
                    .hint("choose another folder, or replace it with --force"),
            );
        }
        let part = self.out.join(format!("{name}.part"));
        let written = File::create(&part).and_then(|out| {
            let mut out = BufWriter::with_capacity(1 << 20, out);
            let rows = content(&mut out)?;
            let out = out.into_inner().map_err(io::IntoInnerError::into_error)?;
            out.sync_all()?;
            Ok((rows, out.metadata()?.len()))
        });
        let placed = written.and_then(|made| fs::rename(&part, &file).map(|()| made));
        let (rows, bytes) = placed.map_err(|e| {
            // half a file helps nobody; if it cannot be removed either, the error says why
            let _ = fs::remove_file(&part);
            Failure::file("write", &file, &e)
        })?;
        Ok(Made { file, rows, bytes })
    }

    fn slices(&self) -> Vec<Range<u64>> {
        (0..self.rows.div_ceil(SLICE))
            .map(|k| k * SLICE..((k + 1) * SLICE).min(self.rows))
            .collect()
    }

    /// Makes slices of rows on all cores, a few ahead, and writes them in order.
    fn texts(
        &self,
        out: &mut BufWriter<File>,
        make: impl Fn(Range<u64>, &mut Vec<u8>) -> io::Result<u64> + Sync,
    ) -> io::Result<u64> {
        let mut rows = 0;
        for group in self.slices().chunks(2 * rayon::current_num_threads()) {
            let texts: Vec<io::Result<(u64, Vec<u8>)>> = group
                .par_iter()
                .map(|slice| {
                    let mut text = Vec::new();
                    let many = make(slice.clone(), &mut text)?;
                    Ok((many, text))
                })
                .collect();
            for text in texts {
                let (many, text) = text?;
                out.write_all(&text)?;
                rows += many;
            }
        }
        Ok(rows)
    }

    /// The same as row groups.
    fn columns(
        &self,
        portfolio: &Portfolio,
        party: Party,
        out: &mut BufWriter<File>,
    ) -> io::Result<u64> {
        let mut file = ParquetFile::new(party, out).map_err(io::Error::other)?;
        let mut rows = 0;
        for group in self.slices().chunks(GROUP) {
            let made: Vec<_> = group
                .par_iter()
                .map(|slice| portfolio.columns(party, slice.clone()))
                .collect();
            rows += made.iter().map(|c| c.rows()).sum::<u64>();
            file.append(&made).map_err(io::Error::other)?;
        }
        file.finish().map_err(io::Error::other)?;
        Ok(rows)
    }
}

#[cfg(test)]
mod tests {
    use paripassu_model::{schema::DatasetSpec, table::Table};
    use sha2::{Digest, Sha256};

    use super::*;
    use crate::screen::ColorWhen;

    fn synth(rows: u64, out: PathBuf) -> Synth {
        Synth {
            rows,
            out,
            party: vec![Who::Bank, Who::Bureau, Who::Telco],
            format: Format::Csv,
            seed: 2026,
            declined: None,
            truth: true,
            force: false,
        }
    }

    fn screen() -> Screen {
        Screen::new(false, ColorWhen::Never)
    }

    /// The digests of the recipe's reference program, an independent implementation.
    #[test]
    fn files_are_those_of_the_reference_program() {
        let dir = tempfile::tempdir().unwrap();
        synth(2_000, dir.path().into()).run(&screen()).unwrap();
        for (name, first, last) in [
            ("bank.csv", "16aa0e0a", "523555"),
            ("bureau.csv", "5a5fd8db", "844fcf"),
            ("telco.csv", "7785b1ec", "21bb5cbe"),
            ("truth.csv", "a18a9573", "c362d"),
        ] {
            let digest = Sha256::digest(fs::read(dir.path().join(name)).unwrap());
            let hex: String = digest.iter().map(|b| format!("{b:02x}")).collect();
            assert!(
                hex.starts_with(first) && hex.ends_with(last),
                "{name}: {hex}"
            );
        }
        // not twice into one folder without being told to
        assert!(synth(10, dir.path().into()).run(&screen()).is_err());
    }

    /// More rows than a slice: the same bytes as one writer makes.
    #[test]
    fn slices_make_one_file() {
        let dir = tempfile::tempdir().unwrap();
        let rows = SLICE + 77;
        let mut only = synth(rows, dir.path().into());
        (only.party, only.truth) = (vec![Who::Telco], false);
        only.run(&screen()).unwrap();
        let mut want = Vec::new();
        Portfolio::new(2026)
            .write_csv(Party::Telco, 0..rows, &mut want)
            .unwrap();
        assert!(fs::read(dir.path().join("telco.csv")).unwrap() == want);
    }

    /// Both kinds of file hold the same table.
    #[test]
    fn parquet_reads_as_csv_does() {
        let dir = tempfile::tempdir().unwrap();
        for format in [Format::Csv, Format::Parquet] {
            let mut one = synth(1_500, dir.path().into());
            (one.format, one.truth) = (format, false);
            one.run(&screen()).unwrap();
        }
        for (name, party, label) in [
            ("bank", Party::Bank, Some("y".to_owned())),
            ("bureau", Party::Bureau, None),
        ] {
            let (codes, numbers): (Vec<_>, Vec<_>) =
                party.variables().partition(|v| v.is_unordered());
            let names = |v: Vec<paripassu_model::synth::Variable>| -> Vec<String> {
                v.into_iter().map(|v| v.name()).collect()
            };
            let spec = DatasetSpec {
                id_more: Vec::new(),
                id: "id".into(),
                label,
                numeric: names(numbers),
                categorical: names(codes),
                missing: Vec::new(),
                id_rules: Vec::new(),
            };
            let load = |ending: &str| {
                let file = dir.path().join(format!("{name}.{ending}"));
                Table::load(&file, &spec).unwrap()
            };
            let (text, columns) = (load("csv"), load("parquet"));
            assert_eq!((text.ids(), text.label()), (columns.ids(), columns.label()));
            for (a, b) in text.columns().iter().zip(columns.columns()) {
                use paripassu_model::table::ColumnData::{Categorical, Numeric};
                let same = match (a.data(), b.data()) {
                    (Numeric(x), Numeric(y)) => {
                        x.len() == y.len()
                            && x.iter().zip(y).all(|(x, y)| {
                                x.to_bits() == y.to_bits() || (x.is_nan() && y.is_nan())
                            })
                    }
                    (
                        Categorical { levels, codes },
                        Categorical {
                            levels: l,
                            codes: c,
                        },
                    ) => levels == l && codes == c,
                    _ => false,
                };
                assert!(same, "{name}, column {}", a.name());
            }
        }
    }
}
