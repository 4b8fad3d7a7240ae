//! `party.toml`: what an institution tells its node.

use std::path::{Path, PathBuf};

use paripassu_crypto::dp::Spent;
use paripassu_model::{
    schema::{DatasetSpec, IdPart, IdRule},
    validation::Limits,
};
use paripassu_protocol::align::Params;
use serde::{Deserialize, Serialize};

/// A party node's configuration. Relative paths are relative to the file's folder.
///
/// ```
/// let text = r#"
/// coordinator = "coordinator.example:7700"
/// identity = "identity"          # node.crt, node.key, ca.crt
/// state = "state"                # jobs, kept across restarts
/// results = "results"            # one folder per released job
///
/// [[dataset]]
/// name = "applications"
/// path = "applications.csv"
/// id = "customer"
/// label = "bad"
/// numeric = ["income", "age"]
/// categorical = ["channel"]
/// "#;
/// let config = paripassu_party::config::PartyConfig::from_toml(text, "/etc/paripassu/party.toml".as_ref())?;
/// assert_eq!(config.dataset("applications").unwrap().columns.numeric.len(), 2);
/// assert!(config.identity.starts_with("/etc/paripassu"));
/// # Ok::<(), paripassu_party::config::ConfigError>(())
/// ```
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PartyConfig {
    /// `host:port` of the coordinator: the one outbound connection of this node.
    pub coordinator: String,
    /// Node id of the coordinator, if only this one will do.
    #[serde(default)]
    pub coordinator_id: Option<String>,
    /// Folder with `node.crt`, `node.key`, `ca.crt` and perhaps `crl.pem`.
    pub identity: PathBuf,
    /// Folder of this node's database.
    pub state: PathBuf,
    /// Folder of results: one folder per job.
    pub results: PathBuf,
    /// Memory for intermediate values of an alignment, in MiB. Default 256.
    #[serde(default = "align_memory")]
    pub align_memory_mib: u64,
    /// Seconds that a renewed key waits for this node to be idle; then it begins no job until those under way have ended,
    /// and changes keys. Default 3,600.
    #[serde(default = "key_patience")]
    pub key_patience_s: u64,
    /// When others countersign bits that a training opens pass by pass.
    #[serde(default)]
    pub countersign: Countersign,
    /// The institution's policy, a file that its people sign: see [`crate::policy::file`]. With it, limits and
    /// approvals are the file's, and `[align]`, `[approval]` and `[privacy]` may not stand here.
    #[serde(default)]
    pub policy: Option<PathBuf>,
    /// What this party allows of alignments, whatever a job asks.
    #[serde(default)]
    pub align: AlignPolicy,
    /// What an approval of this party must say.
    #[serde(default)]
    pub approval: ApprovalPolicy,
    /// What this party allows of jobs on its customers' privacy, whatever a job asks.
    #[serde(default)]
    pub privacy: PrivacyPolicy,
    /// From which change against the last job on the same data set and columns this node flags a job. See
    /// [`Limits`] for what is compared; it decides about nothing.
    #[serde(default)]
    pub alarm: Limits,
    /// Approves every proposal that names this party's data sets, without a person. For experiments
    /// on public data only: whoever may submit a job then decides what leaves.
    #[serde(default)]
    pub danger_approve_automatically: bool,
    /// Data sets that jobs may name.
    #[serde(default, rename = "dataset")]
    pub datasets: Vec<Dataset>,
}

/// `countersign`: when others countersign this node's log for the bits that a training opens pass by pass.
///
/// Whatever else is opened has a countersigned head of its own, and no bit leaves the node before others have
/// countersigned that it may.
///
/// ```
/// use paripassu_party::config::Countersign;
///
/// assert_eq!(Countersign::default(), Countersign::Each);
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Countersign {
    /// A head for each bit, as for any other opening.
    #[default]
    Each,
    /// One head for up to sixteen bits that may come: fewer signatures and waits for the disk, but between two heads
    /// nobody else pins which of them have been opened.
    Ahead,
}

/// `[align]`: limits on alignments. They hold before anything of a customer leaves this node.
///
/// ```
/// use paripassu_party::config::AlignPolicy;
///
/// let policy: AlignPolicy = toml::from_str("min_matched = 1000\nmax_runs = 4\nperiod_days = 30")?;
/// assert_eq!((policy.min_matched, policy.max_runs), (1000, Some(4)));
/// # Ok::<(), toml::de::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AlignPolicy {
    /// A job must end where fewer customers than this are common: least `align.min_matched` of a job.
    /// Default 0: whatever the job says.
    pub min_matched: u64,
    /// This party takes no part in training where more customers than this turn out to be common.
    /// Default: no limit.
    pub max_matched: Option<u64>,
    /// Most customers that a party may put into an alignment with this one, and this one itself:
    /// a party that brings every id there is finds out who is a customer. A counterpart's are counted with their padding,
    /// in whole steps of the job's `align.size_step` ([`Self::most_rows`]), and by `vole` as many as its tables could hold.
    /// Default 100,000,000.
    pub max_rows: u32,
    /// Most alignments begun with one counterpart within `period_days`. Comparing runs shows who
    /// came and went. Default: no limit.
    pub max_runs: Option<u32>,
    /// The period of `max_runs`, in days. Default 30.
    pub period_days: u32,
}

/// `[approval]`: what an approval in this party's name must say, or its node begins no job on it.
///
/// ```
/// use paripassu_party::config::ApprovalPolicy;
///
/// let policy: ApprovalPolicy = toml::from_str("four_eyes = true\nttl_hours = 72")?;
/// assert_eq!((policy.four_eyes, policy.ttl_hours), (true, Some(72)));
/// # Ok::<(), toml::de::Error>(())
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ApprovalPolicy {
    /// It names a second person. Default false.
    pub four_eyes: bool,
    /// It ends, and within so many hours. Default: it need not.
    pub ttl_hours: Option<u64>,
}

impl Default for AlignPolicy {
    fn default() -> Self {
        Self {
            min_matched: 0,
            max_matched: None,
            max_rows: 100_000_000,
            max_runs: None,
            period_days: 30,
        }
    }
}

impl AlignPolicy {
    /// Whether a job that asks for this least number of common customers may run.
    ///
    /// # Errors
    /// A sentence for the modeler: what this party asks for.
    pub fn allows(&self, min_matched: u64) -> Result<(), String> {
        match min_matched >= self.min_matched {
            true => Ok(()),
            false => Err(format!(
                "align.min_matched = {min_matched} is less than the {} that this party asks for: \
                 raise it and propose the job anew",
                self.min_matched
            )),
        }
    }

    /// Most customers that a counterpart may bring where sizes are told in steps of `step`.
    ///
    /// ```
    /// let policy: paripassu_party::config::AlignPolicy = toml::from_str("max_rows = 5000")?;
    /// assert_eq!((policy.most_rows(1_024), policy.most_rows(16_384)), (4_032, 0));
    /// # Ok::<(), toml::de::Error>(())
    /// ```
    pub fn most_rows(&self, step: u32) -> u32 {
        let params = Params {
            batch: step,
            max_rows: self.max_rows,
            ..Params::new([0; 32])
        };
        params.most_rows()
    }

    /// Seconds of `period_days`.
    pub fn period_s(&self) -> i64 {
        i64::from(self.period_days) * 86_400
    }
}

/// `[privacy]`: limits on what jobs with noise may spend of each data set, over all jobs together.
///
/// ```
/// use paripassu_party::config::PrivacyPolicy;
///
/// let policy: PrivacyPolicy = toml::from_str("max_epsilon = 3.0\ndelta = 1e-6\nrequired = true")?;
/// assert_eq!((policy.max_epsilon, policy.required), (Some(3.0), true));
/// # Ok::<(), toml::de::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PrivacyPolicy {
    /// Most that all jobs together may spend of one data set, as ε for `delta`. Counted when a job starts, also
    /// where it then fails. Default: no limit.
    pub max_epsilon: Option<f64>,
    /// The δ of `max_epsilon`. Default 0.000001.
    pub delta: f64,
    /// Horizontal jobs without noise are refused. Default false: they count for nothing.
    pub required: bool,
}

impl Default for PrivacyPolicy {
    fn default() -> Self {
        Self {
            max_epsilon: None,
            delta: 1e-6,
            required: false,
        }
    }
}

impl PrivacyPolicy {
    /// Whether its numbers can be limits.
    pub(crate) fn is_sound(&self) -> bool {
        let delta = self.delta > 0.0 && self.delta < 1.0;
        delta && self.max_epsilon.is_none_or(|most| most > 0.0)
    }

    /// Whether a total is within the limit.
    pub fn allows(&self, total: &Spent) -> bool {
        self.max_epsilon
            .is_none_or(|most| total.epsilon(self.delta) <= most)
    }

    /// A sentence for the modeler: why a total is not allowed.
    pub fn refusal(&self, dataset: &str, of_job: &Spent, total: &Spent) -> String {
        format!(
            "this job spends an epsilon of {:.3} (delta {}) of data set `{dataset}`, which makes {:.3} \
             with the jobs before it: more than this party allows. Take more noise, fewer rounds \
             or a lower sampling",
            of_job.epsilon(self.delta),
            self.delta,
            total.epsilon(self.delta)
        )
    }
}

fn key_patience() -> u64 {
    paripassu_service::transport::KEY_PATIENCE.as_secs()
}

fn align_memory() -> u64 {
    256
}

/// A data set of this party. Only the columns listed here can ever take part in a job.
#[derive(Debug, Clone, Deserialize)]
pub struct Dataset {
    /// Name by which jobs refer to it.
    pub name: String,
    /// CSV file, UTF-8 with a header, or a Parquet file, whose name ends in `.parquet`.
    pub path: PathBuf,
    /// The grade that the party's own classification gives it, such as `3`; stands in its transcript.
    #[serde(default)]
    pub grade: Option<String>,
    /// Further keys by which jobs may match customers who do not match by the id; none by default. A job names those
    /// that it wants.
    #[serde(default)]
    pub fallback: Vec<FallbackKey>,
    /// Its columns: `id`, `label`, `numeric`, `categorical`, `missing`.
    #[serde(flatten)]
    pub columns: DatasetSpec,
}

/// A further key of a data set: `{ key = "person", columns = ["surname", "born", "postcode"] }`. Its columns may be
/// those of the id or of another key, but neither label nor feature: both ends of a match know the key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FallbackKey {
    /// Name by which jobs refer to it.
    pub key: String,
    /// Its columns, one or more, in the order of the job's rules.
    pub columns: Vec<String>,
}

impl FallbackKey {
    /// The key as the id of a table with these columns, each with its rules.
    pub fn as_id<'r>(
        &self,
        of: &DatasetSpec,
        rules: impl IntoIterator<Item = &'r [IdRule]>,
    ) -> DatasetSpec {
        let mut rules = rules.into_iter().map(<[IdRule]>::to_vec);
        let mut columns = self.columns.iter();
        let (id, id_rules) = (columns.next(), rules.next());
        let more = columns.map(|column| IdPart {
            column: column.clone(),
            rules: rules.next().unwrap_or_default(),
        });
        DatasetSpec {
            id: id.cloned().unwrap_or_default(),
            id_more: more.collect(),
            label: None,
            numeric: Vec::new(),
            categorical: Vec::new(),
            missing: of.missing.clone(),
            id_rules: id_rules.unwrap_or_default(),
        }
    }
}

impl Dataset {
    /// What is wrong with its further keys.
    fn misfit(&self) -> Option<String> {
        let columns = &self.columns;
        let secret = |column: &&String| {
            columns.label.as_ref() == Some(*column)
                || columns.numeric.contains(*column)
                || columns.categorical.contains(*column)
        };
        for (position, key) in self.fallback.iter().enumerate() {
            let named = format!("data set `{}`: fallback key `{}`", self.name, key.key);
            let earlier = self.fallback.iter().take(position);
            if key.columns.is_empty() || earlier.clone().any(|other| other.key == key.key) {
                return Some(format!("{named} is named once, with at least one column"));
            }
            if let Some(column) = key.columns.iter().find(secret) {
                return Some(format!(
                    "{named}: column `{column}` is the label or a feature, which no other party may know: take it \
                     out of the key, or out of `label`, `numeric` and `categorical`"
                ));
            }
            if let Err(e) = key.as_id(columns, []).check() {
                return Some(format!("{named}: {e}"));
            }
        }
        None
    }
}

/// Why a configuration is refused.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// It is not what is expected.
    #[error("{}: {message}", path.display())]
    Toml {
        /// The file.
        path: PathBuf,
        /// What and where.
        message: String,
    },
    /// Two data sets of one name.
    #[error("{}: data set `{name}` is declared twice: give each its own name", path.display())]
    Twice {
        /// The file.
        path: PathBuf,
        /// The name.
        name: String,
    },
    /// Nobody approves, and somebody must.
    #[error(
        "{}: `danger_approve_automatically` and [approval] contradict each other: a node that approves by \
         itself names no second person and no end; leave one of them out",
        path.display()
    )]
    Automatic {
        /// The file.
        path: PathBuf,
    },
    /// Limits in two places.
    #[error(
        "{}: with `policy`, limits and approvals stand in that file, which people sign: leave out [align], \
         [approval], [privacy] and `danger_approve_automatically`",
        path.display()
    )]
    Governed {
        /// The file.
        path: PathBuf,
    },
    /// A data set contradicts itself.
    #[error("{}: data set `{name}`: {source}", path.display())]
    Columns {
        /// The file.
        path: PathBuf,
        /// The data set.
        name: String,
        /// Why.
        source: paripassu_model::schema::SpecError,
    },
}

impl PartyConfig {
    /// Reads a configuration file.
    ///
    /// # Errors
    /// [`ConfigError`], naming the file and the line.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let text = std::fs::read_to_string(path).map_err(|source| ConfigError::Read {
            path: path.to_owned(),
            source,
        })?;
        Self::from_toml(&text, path)
    }

    /// Reads a configuration; `path` is where it came from.
    ///
    /// # Errors
    /// [`ConfigError`], naming the file and the line.
    pub fn from_toml(text: &str, path: &Path) -> Result<Self, ConfigError> {
        let mut config: Self = toml::from_str(text).map_err(|e| ConfigError::Toml {
            path: path.to_owned(),
            message: e.to_string(),
        })?;
        if config.danger_approve_automatically && config.approval != ApprovalPolicy::default() {
            return Err(ConfigError::Automatic {
                path: path.to_owned(),
            });
        }
        let unlimited = config.align == AlignPolicy::default()
            && config.approval == ApprovalPolicy::default()
            && config.privacy == PrivacyPolicy::default()
            && !config.danger_approve_automatically;
        if config.policy.is_some() && !unlimited {
            return Err(ConfigError::Governed {
                path: path.to_owned(),
            });
        }
        if !config.privacy.is_sound() {
            return Err(ConfigError::Toml {
                path: path.to_owned(),
                message: "[privacy] max_epsilon is above 0, and delta between 0 and 1".into(),
            });
        }
        if !config.alarm.are_sound() {
            return Err(ConfigError::Toml {
                path: path.to_owned(),
                message: "[alarm] every limit is a number above 0".into(),
            });
        }
        let base = path.parent().unwrap_or(Path::new(""));
        let policy = config.policy.iter_mut();
        let folders = [&mut config.identity, &mut config.state, &mut config.results];
        for p in folders.into_iter().chain(policy) {
            *p = base.join(&*p);
        }
        for d in &mut config.datasets {
            d.path = base.join(&d.path);
            d.columns.check().map_err(|source| ConfigError::Columns {
                path: path.to_owned(),
                name: d.name.clone(),
                source,
            })?;
            if let Some(message) = d.misfit() {
                return Err(ConfigError::Toml {
                    path: path.to_owned(),
                    message,
                });
            }
        }
        for (i, d) in config.datasets.iter().enumerate() {
            if config.datasets[..i].iter().any(|o| o.name == d.name) {
                return Err(ConfigError::Twice {
                    path: path.to_owned(),
                    name: d.name.clone(),
                });
            }
        }
        Ok(config)
    }

    /// The data set of this name.
    pub fn dataset(&self, name: &str) -> Option<&Dataset> {
        self.datasets.iter().find(|d| d.name == name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str = "coordinator = \"c:1\"\nidentity = \"i\"\nstate = \"s\"\nresults = \"r\"\n";

    #[test]
    fn limits_of_alignments_are_read() {
        let read = |more: &str| PartyConfig::from_toml(&format!("{HEAD}{more}"), "p.toml".as_ref());
        let some = read("[align]\nmax_runs = 2\n").unwrap().align;
        assert_eq!((some.max_runs, some.period_s()), (Some(2), 30 * 86_400));
        assert!(read("[align]\nmax_run = 2\n").is_err());
        let strict = AlignPolicy {
            min_matched: 500,
            ..AlignPolicy::default()
        };
        assert!(strict.allows(500).is_ok());
        assert!(strict.allows(499).unwrap_err().contains("500"));
    }

    #[test]
    fn unknown_keys_and_double_names_are_refused() {
        let read = |more: &str| PartyConfig::from_toml(&format!("{HEAD}{more}"), "p.toml".as_ref());
        assert!(read("").is_ok());
        let e = read("approve = true\n").unwrap_err().to_string();
        assert!(e.contains("p.toml") && e.contains("approve"), "{e}");
        let d = "[[dataset]]\nname = \"a\"\npath = \"a.csv\"\nid = \"id\"\n";
        let e = read(&format!("{d}{d}")).unwrap_err().to_string();
        assert!(e.contains("`a`") && e.contains("twice"), "{e}");
        assert!(read(&format!("{d}numeric = [\"id\"]\n")).is_err());
        let with = |more: &str| read(&format!("{d}numeric = [\"age\"]\n{more}"));
        let keys = "{ key = \"phone\", columns = [\"mobile\"] }, { key = \"person\", columns = [\"id\", \"mobile\"] }";
        let config = with(&format!("fallback = [{keys}]\n")).unwrap();
        assert_eq!(config.datasets[0].fallback[1].columns, ["id", "mobile"]);
        for (key, want) in [
            ("{ key = \"k\", columns = [] }", "at least one column"),
            (
                "{ key = \"k\", columns = [\"a\"] }, { key = \"k\", columns = [\"b\"] }",
                "named once",
            ),
            (
                "{ key = \"k\", columns = [\"age\"] }",
                "no other party may know",
            ),
            ("{ key = \"k\", columns = [\"a\", \"a\"] }", "twice"),
            ("{ key = \"k\", columns = [\"a\"], rules = [] }", "rules"),
        ] {
            let e = with(&format!("fallback = [{key}]\n"))
                .unwrap_err()
                .to_string();
            assert!(e.contains(want), "{want}: {e}");
        }
        let both = "danger_approve_automatically = true\n[approval]\nfour_eyes = true\n";
        let e = read(both).unwrap_err().to_string();
        assert!(e.contains("contradict"), "{e}");
    }
}
