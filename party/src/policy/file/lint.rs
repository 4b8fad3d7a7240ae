//! What a policy allows and an officer should look at.

use super::{PolicyFile, Purpose, end_of};

/// Something in a policy that is allowed and should be looked at.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Finding {
    /// Where.
    pub key: String,
    /// What, and what to do.
    pub what: String,
}

impl PolicyFile {
    /// What an officer should look at, though it may be meant.
    pub fn lint(&self, now: i64) -> Vec<Finding> {
        let mut found = Vec::new();
        let mut find = |key: &str, what: &str| {
            found.push(Finding {
                key: key.to_owned(),
                what: what.to_owned(),
            });
        };
        match self.policy.expires.as_deref().and_then(end_of) {
            None => find(
                "policy.expires",
                "no last day: rules that nobody looks at again go stale; set one within a year",
            ),
            Some(end) if end <= now => find("policy.expires", "it is over: every job is denied"),
            Some(_) => {}
        }
        if self.policy.signers_required < 2 {
            find(
                "policy.signers_required",
                "one person can change the rules alone; ask for two",
            );
        }
        if self.policy.key_signers.unwrap_or(0) < 2 {
            find(
                "policy.key_signers",
                "one person can change the node's own key alone; ask for two",
            );
        }
        for person in &self.people {
            if !person.holds(now) {
                find(
                    &format!("person `{}`", person.name),
                    "this key does not count now",
                );
            }
        }
        if self.quota.jobs_per_counterpart.is_none() && self.align.max_runs.is_none() {
            find(
                "quota.jobs_per_counterpart",
                "no limit: comparing many jobs shows who came and went",
            );
        }
        let scored = self.purposes.values().any(|purpose| {
            let to = purpose.outputs.iter().filter(|(id, _)| opens_scores(id));
            let mut to = to.flat_map(|(_, to)| to);
            to.any(|to| *to != self.policy.owner)
        });
        if scored && self.quota.scores_per_counterpart.is_none() {
            find(
                "quota.scores_per_counterpart",
                "no limit: who gets enough scores can rebuild the model, and what this party's columns say of customers",
            );
        }
        if self.quota.min_set_change.is_none() {
            find(
                "quota.min_set_change",
                "no limit: two jobs over sets that differ by one customer tell of that one",
            );
        }
        if self.align.max_rows < 16_384 {
            find(
                "align.max_rows",
                &format!(
                    "sizes are told in steps, and the next whole step counts: with align.size_step = 256 a counterpart may \
                     bring {}, with 1024 {}, and jobs with the usual 16384 are denied",
                    self.align.most_rows(256),
                    self.align.most_rows(1_024)
                ),
            );
        }
        if self.align.max_rows < VOLE_LEAST && self.purposes.values().any(matches_by_vole) {
            find(
                "align.max_rows",
                "by `vole` a counterpart with a smaller set than this party's could try at least 5,724 ids, and is refused: \
                 leave `vole` out of `methods`",
            );
        }
        if self.purposes.is_empty() {
            find("purposes", "none: every job is denied");
        }
        for (name, purpose) in &self.purposes {
            let mut find = |key: &str, what: &str| find(&format!("purposes.{name}.{key}"), what);
            if self.align.min_matched.max(purpose.min_matched) < 1_000
                && purpose.kinds != ["horizontal"]
            {
                find(
                    "min_matched",
                    "fewer than 1,000 common customers may be trained on: sums over few tell of single ones",
                );
            }
            if purpose.approval.roles.len() < 2 {
                find(
                    "approval.roles",
                    "one person can approve alone; ask for two roles",
                );
            }
            if purpose.approval.ttl_hours.is_none() {
                find("approval.ttl_hours", "an approval may hold for ever");
            }
            if purpose.max_open_days.is_none() {
                find("max_open_days", "a contract may be open for ever");
            }
            if purpose.max_grade.is_none() {
                find("max_grade", "columns of every grade may be used");
            }
            if purpose.min_level_rows.unwrap_or(0) < 20 {
                find(
                    "min_level_rows",
                    "levels of fewer than 20 rows may become columns of their own",
                );
            }
            if purpose.min_bin_class.unwrap_or(0) < 5
                && purpose.kinds.iter().any(|k| k == "vertical")
            {
                find(
                    "min_bin_class",
                    "bins with fewer than 5 rows of a label may be counted: such counts tell of single customers",
                );
            }
            if purpose.max_results_days.is_none() {
                find("max_results_days", "results may be kept for ever");
            }
            if purpose.contract_ref.is_none() || purpose.dpia_ref.is_none() {
                find(
                    "contract_ref",
                    "no agreement or no impact assessment (dpia_ref) is named",
                );
            }
            let all = purpose.columns.values().flatten();
            for column in all.filter(|column| *column == "*") {
                find(
                    "columns",
                    &format!("`{column}` allows columns that are added later, too; list them"),
                );
            }
            for (dataset, columns) in &purpose.columns {
                let graded = self.datasets.get(dataset).map(|d| &d.grades);
                for column in columns {
                    let grade = graded.and_then(|grades| grades.get(column));
                    let high = purpose
                        .max_grade
                        .zip(grade)
                        .is_some_and(|(most, grade)| *grade > most);
                    if purpose.max_grade.is_some() && (grade.is_none() || high) {
                        find(
                            "columns",
                            &format!(
                                "`{column}` of `{dataset}` is listed, and its grade denies it"
                            ),
                        );
                    }
                }
            }
            if purpose.outputs.keys().any(|key| key == "*") {
                find(
                    "outputs",
                    "`*` allows openings that later versions make; list them",
                );
            }
        }
        found
    }
}

/// Ids for which the smallest table of an alignment by `vole` has columns.
const VOLE_LEAST: u32 = 5_724;

/// Whether a key of the output matrix covers scores.
fn opens_scores(key: &str) -> bool {
    match key.strip_suffix('*') {
        Some(beginning) => "release.scores".starts_with(beginning),
        None => key == "release.scores",
    }
}

fn matches_by_vole(purpose: &Purpose) -> bool {
    purpose.methods.iter().any(|method| method == "vole") && purpose.kinds != ["horizontal"]
}
