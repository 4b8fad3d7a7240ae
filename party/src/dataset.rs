//! Loading the columns that a job asks for, from the data set that this party offers.

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use paripassu_job::spec::{Columns, Party, Spec};
use paripassu_model::{
    schema::{DatasetSpec, IdPart, IdRuleCount, nearest_name},
    table::{Table, TableError, TableReader},
};

use paripassu_protocol::{
    abort::Abort,
    align::{IdBatch, Ids},
};

use crate::config::{Dataset, PartyConfig};

/// Why this party's data cannot be used in a job. No message holds a value of the data beyond the
/// cell that is to be mended.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DatasetError {
    /// The job names a data set that this party does not offer.
    #[error(
        "this party offers no data set `{name}`{hint}: declare it in the node's configuration, or name another in the job"
    )]
    Unknown {
        /// The name asked for.
        name: String,
        /// Perhaps a name that was meant.
        hint: String,
    },
    /// The job asks for a column that the data set does not offer.
    #[error(
        "data set `{dataset}` offers no {kind} column `{column}`{hint}: allow it in the node's configuration, or leave it out of the job"
    )]
    Column {
        /// The data set.
        dataset: String,
        /// `numeric` or `categorical`.
        kind: &'static str,
        /// The column.
        column: String,
        /// Perhaps a name that was meant.
        hint: String,
    },
    /// The label party's data set has no label.
    #[error(
        "data set `{dataset}` declares no label column, but this party is to bring the label: set `label` in the node's configuration"
    )]
    NoLabel {
        /// The data set.
        dataset: String,
    },
    /// The job matches by ids of another number of columns.
    #[error(
        "ids of data set `{dataset}` are made of {has} columns, and the job matches by {asked}: set `id_more` in the node's configuration, or align.id_more_rules in the job"
    )]
    IdColumns {
        /// The data set.
        dataset: String,
        /// Columns of its id.
        has: usize,
        /// Columns that the job has rules for.
        asked: usize,
    },
    /// The job matches by a key that the data set does not have.
    #[error(
        "data set `{dataset}` offers no fallback key `{key}`: declare it in the node's configuration (`fallback`), or leave it out of the job's align.fallback"
    )]
    Key {
        /// The data set.
        dataset: String,
        /// The key.
        key: String,
    },
    /// The job has rules for another number of a key's columns.
    #[error(
        "fallback key `{key}` of data set `{dataset}` is made of {has} columns, and the job has rules for {asked}: change `fallback` in the node's configuration, or align.fallback_rules in the job"
    )]
    KeyColumns {
        /// The data set.
        dataset: String,
        /// The key.
        key: String,
        /// Columns that it has.
        has: usize,
        /// Columns that the job has rules for.
        asked: usize,
    },
    /// The file is not what it was when customers were matched.
    #[error(
        "the data file has changed while the job ran: leave it as it is, and propose the job anew"
    )]
    Changed,
    /// The file cannot be used.
    #[error(transparent)]
    Table(#[from] TableError),
}

impl DatasetError {
    /// The same for this node's own log: no cell of the table.
    pub fn without_values(&self) -> String {
        match self {
            Self::Table(e) => e.without_values(),
            _ => self.to_string(),
        }
    }

    /// The same in words that may leave this node: no value, no path, no name that was not asked for.
    pub fn without_hints(&self) -> String {
        match self {
            Self::Unknown { hint, .. } | Self::Column { hint, .. } if !hint.is_empty() => {
                self.to_string().replacen(hint.as_str(), "", 1)
            }
            _ => self.without_values(),
        }
    }
}

fn hint(name: &str, names: &[String]) -> String {
    match nearest_name(name, names.iter().map(String::as_str)) {
        Some(n) => format!(" (did you mean `{n}`?)"),
        None => String::new(),
    }
}

/// A job's view of one of this party's data sets.
#[derive(Debug, Clone)]
pub struct Selection {
    dataset: Dataset,
    columns: DatasetSpec,
    /// Further keys, each as the id of a table.
    keys: Vec<DatasetSpec>,
    /// The column that marks declined rows, at the party with the label.
    rejected: Option<String>,
}

impl Selection {
    /// Checks what the job asks of `party` against what this node offers. Reads no data.
    ///
    /// # Errors
    /// [`DatasetError`], naming data set and column.
    pub fn new(
        config: &PartyConfig,
        spec: &Spec,
        party: &Party,
        label: bool,
    ) -> Result<Self, DatasetError> {
        let dataset = config.dataset(&party.dataset).ok_or_else(|| {
            let names: Vec<String> = config.datasets.iter().map(|d| d.name.clone()).collect();
            DatasetError::Unknown {
                name: party.dataset.clone(),
                hint: hint(&party.dataset, &names),
            }
        })?;
        let offered = &dataset.columns;
        let (numeric, categorical) = match &party.columns {
            Columns::All => (offered.numeric.clone(), offered.categorical.clone()),
            Columns::Listed {
                numeric,
                categorical,
            } => (numeric.clone(), categorical.clone()),
        };
        for (kind, asked, have) in [
            ("numeric", &numeric, &offered.numeric),
            ("categorical", &categorical, &offered.categorical),
        ] {
            if let Some(column) = asked.iter().find(|c| !have.contains(c)) {
                return Err(DatasetError::Column {
                    dataset: dataset.name.clone(),
                    kind,
                    column: column.clone(),
                    hint: hint(column, have),
                });
            }
        }
        if label && offered.label.is_none() {
            return Err(DatasetError::NoLabel {
                dataset: dataset.name.clone(),
            });
        }
        let (has, asked) = (offered.id_more.len(), spec.align.id_more_rules.len());
        if has != asked {
            return Err(DatasetError::IdColumns {
                dataset: dataset.name.clone(),
                has: has + 1,
                asked: asked + 1,
            });
        }
        let parts = offered.id_more.iter().zip(&spec.align.id_more_rules);
        let columns = DatasetSpec {
            id: offered.id.clone(),
            id_more: parts
                .map(|(part, rules)| IdPart {
                    column: part.column.clone(),
                    rules: rules.clone(),
                })
                .collect(),
            label: if label { offered.label.clone() } else { None },
            numeric,
            categorical,
            missing: offered.missing.clone(),
            id_rules: spec.align.id_rules.clone(),
        };
        let keys = spec.keys().into_iter().skip(1).map(|(name, rules)| {
            let offered = dataset.fallback.iter().find(|offered| offered.key == name);
            let key = offered.ok_or_else(|| DatasetError::Key {
                dataset: dataset.name.clone(),
                key: name.to_owned(),
            })?;
            match key.columns.len() == rules.len() {
                true => Ok(key.as_id(&columns, rules)),
                false => Err(DatasetError::KeyColumns {
                    dataset: dataset.name.clone(),
                    key: name.to_owned(),
                    has: key.columns.len(),
                    asked: rules.len(),
                }),
            }
        });
        let keys = keys.collect::<Result<_, _>>()?;
        Ok(Self {
            dataset: dataset.clone(),
            columns,
            keys,
            rejected: spec
                .reject_inference
                .as_ref()
                .filter(|_| label)
                .map(|asked| asked.rejected.clone()),
        })
    }

    /// Name of the data set.
    pub fn name(&self) -> &str {
        &self.dataset.name
    }

    /// Numeric columns.
    pub fn numeric(&self) -> &[String] {
        &self.columns.numeric
    }

    /// Categorical columns.
    pub fn categorical(&self) -> &[String] {
        &self.columns.categorical
    }

    /// The ids alone, as an alignment reads them.
    ///
    /// # Errors
    /// [`DatasetError::Table`], naming file and column.
    pub fn ids(&self) -> Result<FileIds, DatasetError> {
        Ok(FileIds::open(&self.dataset.path, &self.columns)?)
    }

    /// The ids by one of the job's keys; key 0 is the id.
    ///
    /// # Errors
    /// [`DatasetError::Table`], naming file and column.
    pub fn ids_by(&self, key: usize) -> Result<FileIds, DatasetError> {
        let further = key.checked_sub(1).and_then(|at| self.keys.get(at));
        match further {
            None => self.ids(),
            Some(columns) => Ok(FileIds::open_key(&self.dataset.path, columns)?),
        }
    }

    /// By how many keys the job matches.
    pub fn keys(&self) -> usize {
        1 + self.keys.len()
    }

    /// Reads the file; also how many ids each rule changed.
    ///
    /// # Errors
    /// [`DatasetError::Table`], naming file, row and column.
    pub fn load(&self) -> Result<(Table, Vec<IdRuleCount>), DatasetError> {
        let mut reader = TableReader::open(&self.dataset.path, &self.columns)?;
        if let Some(rejected) = &self.rejected {
            reader = reader.with_rejected(rejected);
        }
        let mut table = Table::empty(&self.columns);
        while reader.read_batch(&mut table, 1 << 16)? > 0 {}
        let counts = reader.id_rule_counts().to_vec();
        Ok((table, counts))
    }
}

/// The ids of a data file, read as an alignment asks for them and never held all at once. Whether one
/// is repeated is the alignment's to find.
#[derive(Debug)]
pub struct FileIds {
    reader: TableReader,
    /// Rows read so far, and who is told the most of them.
    rows: u64,
    told: Option<Arc<AtomicU64>>,
}

impl FileIds {
    /// Opens a file; of `columns` only the id and its rules are used.
    ///
    /// # Errors
    /// [`TableError`], naming file and column.
    pub fn open(path: &Path, columns: &DatasetSpec) -> Result<Self, TableError> {
        let only = DatasetSpec {
            label: None,
            numeric: Vec::new(),
            categorical: Vec::new(),
            ..columns.clone()
        };
        Ok(Self {
            reader: TableReader::open(path, &only)?.without_repeats_check(),
            rows: 0,
            told: None,
        })
    }

    /// The same, where a row without an id has the empty one.
    ///
    /// # Errors
    /// As that.
    pub fn open_key(path: &Path, columns: &DatasetSpec) -> Result<Self, TableError> {
        let mut ids = Self::open(path, columns)?;
        ids.reader = ids.reader.with_empty_ids();
        Ok(ids)
    }

    /// The same; `told` is raised to the number of rows read.
    #[must_use]
    pub fn telling(self, told: Arc<AtomicU64>) -> Self {
        Self {
            told: Some(told),
            ..self
        }
    }
}

impl FileIds {
    /// The ids of these rows, in their order, and how many ids of the whole file each rule changed.
    ///
    /// # Errors
    /// [`TableError`]; [`DatasetError::Changed`] where the file has no such row.
    pub fn of_rows(
        mut self,
        rows: &[u32],
    ) -> Result<(Vec<String>, Vec<IdRuleCount>), DatasetError> {
        let mut wanted: Vec<(u32, usize)> = rows.iter().copied().zip(0..).collect();
        wanted.sort_unstable();
        let mut ids = vec![String::new(); rows.len()];
        let (mut wanted, mut row) = (wanted.into_iter().peekable(), 0_u32);
        let mut take = |id: &str| {
            while let Some((_, place)) = wanted.next_if(|(wanted, _)| *wanted == row) {
                ids[place] = id.to_owned();
            }
            row = row.saturating_add(1);
        };
        while self.reader.read_ids(1 << 14, &mut take)? > 0 {}
        match wanted.next() {
            None => Ok((ids, self.reader.id_rule_counts().to_vec())),
            Some(_) => Err(DatasetError::Changed),
        }
    }
}

impl Ids for FileIds {
    fn read(&mut self, limit: usize, batch: &mut IdBatch) -> Result<(), Abort> {
        let read = self.reader.read_ids(limit, |id| batch.push(id.as_bytes()));
        self.rows += batch.len() as u64;
        if let Some(told) = &self.told {
            told.fetch_max(self.rows, Ordering::Relaxed);
        }
        // the message names file, row and column, and holds no id
        read.map(drop).map_err(|e| Abort::Input(e.without_values()))
    }
}
