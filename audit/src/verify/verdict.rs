//! What the verifier says.

use std::fmt;

use serde::Serialize;

/// One of the fourteen checks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Check {
    /// 1: signatures, certificates, revocation, bodies as signed.
    Signature,
    /// 2: chain and sequence of each log.
    Chain,
    /// 3: Merkle inclusion and consistency.
    Merkle,
    /// 4: witnesses.
    Witness,
    /// 5: what was sent is what was received.
    Symmetry,
    /// 6: approvals before work.
    Approval,
    /// 7: policy verdicts.
    Policy,
    /// 8: opened is declared.
    Disclosure,
    /// 9: thresholds and sums.
    Threshold,
    /// 10: programs.
    Binary,
    /// 11: reports.
    Metrics,
    /// 12: model files.
    Model,
    /// 13: personal data.
    PersonalData,
    /// 14: clocks.
    Clock,
}

impl Check {
    /// All, in order.
    pub const ALL: [Self; 14] = [
        Self::Signature,
        Self::Chain,
        Self::Merkle,
        Self::Witness,
        Self::Symmetry,
        Self::Approval,
        Self::Policy,
        Self::Disclosure,
        Self::Threshold,
        Self::Binary,
        Self::Metrics,
        Self::Model,
        Self::PersonalData,
        Self::Clock,
    ];

    /// Its number, from 1.
    pub const fn number(self) -> u8 {
        self as u8 + 1
    }

    /// The exit code when it is the first that fails: 9 and its number.
    pub const fn exit_code(self) -> u8 {
        self as u8 + 10
    }

    /// What it asks, in a few words.
    pub const fn title(self) -> &'static str {
        match self {
            Self::Signature => "every event is signed by a key that was valid",
            Self::Chain => "each log's chain is whole and ends",
            Self::Merkle => "every event is in its log, and no log was rewritten",
            Self::Witness => "the other members countersigned each log",
            Self::Symmetry => "what was sent is what was received",
            Self::Approval => "all parties approved this contract before any work",
            Self::Policy => "the parties' policies allowed it",
            Self::Disclosure => "what was opened is what was declared",
            Self::Threshold => "thresholds hold and counts add up",
            Self::Binary => "the programs are allowed ones",
            Self::Metrics => "the report is the one recorded",
            Self::Model => "the model files are those recorded",
            Self::PersonalData => "no personal data in any field",
            Self::Clock => "clocks agree",
        }
    }
}

/// What came of a check.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// Nothing found.
    Passed,
    /// Something found.
    Failed,
    /// The bundle holds nothing that this check is about.
    NothingToCheck,
}

/// Which event a finding is about; members are empty where it is about a whole log or bundle.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Place {
    /// The log.
    pub origin: Option<String>,
    /// Place in the log.
    pub index: Option<u64>,
    /// Place in the job's chain.
    pub seq: Option<u64>,
    /// The kind of event.
    pub event: Option<String>,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(origin) = &self.origin else {
            return f.write_str("the bundle");
        };
        f.write_str(origin)?;
        if let Some(index) = self.index {
            write!(f, " #{index}")?;
        }
        match (&self.event, self.seq) {
            (Some(event), Some(seq)) => write!(f, " {event} (event {seq} of the job)"),
            (Some(event), None) => write!(f, " {event}"),
            _ => Ok(()),
        }
    }
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The number of the check.
    pub check: u8,
    /// Which event.
    #[serde(flatten)]
    pub place: Place,
    /// What is wrong.
    pub what: String,
    /// What that means.
    pub means: String,
}

/// One check's line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CheckLine {
    /// Its number.
    pub check: u8,
    /// What it asks.
    pub title: &'static str,
    /// The exit code when it is the first that fails.
    pub exit_code: u8,
    /// What came of it.
    pub outcome: Outcome,
    /// How many things were examined.
    pub examined: u64,
    /// How many findings.
    pub findings: u64,
}

/// A log in one line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LogLine {
    /// The log.
    pub origin: String,
    /// How many events of the job.
    pub events: u64,
    /// Size of the log at its last checkpoint.
    pub size: u64,
    /// Who cosigned it.
    pub cosigned_by: Vec<String>,
}

/// The result of verifying a bundle.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Verdict {
    /// The job.
    pub job: String,
    /// SHA-256 of the contract.
    pub contract: String,
    /// The log of the bundle's maker.
    pub maker: String,
    /// Whether all checks passed.
    pub ok: bool,
    /// 0, or that of the first check that failed.
    pub exit_code: u8,
    /// The logs.
    pub logs: Vec<LogLine>,
    /// The fourteen checks.
    pub checks: Vec<CheckLine>,
    /// What is wrong, by check.
    pub findings: Vec<Finding>,
    /// What could not be judged, and what this verdict does not prove.
    pub notes: Vec<String>,
}

/// How the note begins that no trust file was given.
pub(crate) const NO_TRUST: &str = "no trust file was given";

/// Most findings that are kept of one check; more are counted.
const KEPT: u64 = 50;

/// Findings under way.
#[derive(Debug, Default)]
pub(crate) struct Report {
    findings: Vec<Finding>,
    counts: [(u64, u64); 14],
    notes: Vec<String>,
}

impl Report {
    /// Something is wrong.
    pub(crate) fn find(&mut self, check: Check, place: Place, what: String, means: &str) {
        if let Some((_, found)) = self.counts.get_mut(check as usize) {
            *found += 1;
            if *found > KEPT {
                return;
            }
        }
        self.findings.push(Finding {
            check: check.number(),
            place,
            what,
            means: means.to_owned(),
        });
    }

    /// `n` more things were examined.
    pub(crate) fn examined(&mut self, check: Check, n: u64) {
        if let Some((examined, _)) = self.counts.get_mut(check as usize) {
            *examined += n;
        }
    }

    /// Something that the reader should know.
    pub(crate) fn note(&mut self, text: impl Into<String>) {
        let text = text.into();
        if !self.notes.contains(&text) {
            self.notes.push(text);
        }
    }

    pub(crate) fn verdict(
        mut self,
        job: &str,
        contract: &str,
        maker: &str,
        logs: Vec<LogLine>,
    ) -> Verdict {
        self.findings.sort_by_key(|finding| finding.check);
        let checks: Vec<_> = Check::ALL
            .into_iter()
            .zip(self.counts)
            .map(|(check, (examined, findings))| CheckLine {
                check: check.number(),
                title: check.title(),
                exit_code: check.exit_code(),
                outcome: match (examined, findings) {
                    (_, 1..) => Outcome::Failed,
                    (0, 0) => Outcome::NothingToCheck,
                    _ => Outcome::Passed,
                },
                examined,
                findings,
            })
            .collect();
        let failed = checks.iter().find(|c| c.outcome == Outcome::Failed);
        Verdict {
            job: job.to_owned(),
            contract: contract.to_owned(),
            maker: maker.to_owned(),
            ok: failed.is_none(),
            exit_code: failed.map_or(0, |check| check.exit_code),
            logs,
            checks,
            findings: self.findings,
            notes: self.notes,
        }
    }
}

/// Text of an untrusted file, fit for a terminal: control characters are replaced.
pub(crate) fn plain(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { '\u{fffd}' } else { c })
        .take(200)
        .collect()
}

/// Control characters replaced, whole length.
fn printable(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { '\u{fffd}' } else { c })
        .collect()
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "job       {}", plain(&self.job))?;
        writeln!(f, "contract  sha256 {}", self.contract)?;
        writeln!(f, "bundle    made by {}", plain(&self.maker))?;
        writeln!(f)?;
        let width = self.logs.iter().map(|l| l.origin.len()).max().unwrap_or(0);
        for log in &self.logs {
            let by = if log.cosigned_by.is_empty() {
                "nobody".to_owned()
            } else {
                log.cosigned_by.join(", ")
            };
            writeln!(
                f,
                "log       {:width$}  {} events of {}, cosigned by {by}",
                log.origin, log.events, log.size
            )?;
        }
        writeln!(f)?;
        for check in &self.checks {
            let outcome = match check.outcome {
                Outcome::Passed => "ok",
                Outcome::Failed => "FAILED",
                Outcome::NothingToCheck => "-",
            };
            let detail = match check.outcome {
                Outcome::Passed => format!("{} examined", check.examined),
                Outcome::Failed => {
                    format!("{} findings, exit code {}", check.findings, check.exit_code)
                }
                Outcome::NothingToCheck => "nothing to check".to_owned(),
            };
            writeln!(
                f,
                "{:>2}  {outcome:<6}  {:<56}  {detail}",
                check.check, check.title
            )?;
        }
        for finding in &self.findings {
            writeln!(f)?;
            writeln!(
                f,
                "check {}: {}",
                finding.check,
                printable(&finding.place.to_string())
            )?;
            writeln!(f, "  {}", printable(&finding.what))?;
            writeln!(f, "  {}", finding.means)?;
        }
        if !self.notes.is_empty() {
            writeln!(f)?;
        }
        for note in &self.notes {
            writeln!(f, "note: {}", printable(note))?;
        }
        writeln!(f)?;
        let own_authority = self.notes.iter().any(|n| n.starts_with(NO_TRUST));
        if self.ok && own_authority {
            writeln!(
                f,
                "CONSISTENT: every check passed, by the authority in the bundle itself. Give a trust file to \
                 verify whose it is."
            )
        } else if self.ok {
            writeln!(f, "VERIFIED: every check passed.")
        } else {
            writeln!(f, "NOT VERIFIED: exit code {}.", self.exit_code)
        }
    }
}
