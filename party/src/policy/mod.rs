//! A party's policy: what of its configuration and of its signed policy file decides about jobs. What decided is
//! written down where a contract is judged; the whole is numbered anew when it changes.

pub mod cases;
pub mod explain;
pub mod file;
mod force;
pub mod judge;
pub mod keys;
pub mod rules;
pub mod signed;

pub(crate) use force::{Force, Keeper};
pub use force::{in_force, signatures_beside};

use paripassu_audit::{
    canonical::CanonicalError,
    event::hex,
    policy::{Asked, FORMAT, Offered, Stated},
};
use serde_json::json;
use sha2::{Digest, Sha256};

use self::{file::PolicyFile, rules::Ruling};
use crate::config::PartyConfig;

impl PartyConfig {
    /// This configuration under a policy file: the file's limits, and none of its own.
    pub fn governed(&self, file: &PolicyFile) -> Self {
        Self {
            align: file.align.clone(),
            privacy: file.privacy.clone(),
            ..self.clone()
        }
    }

    /// Hash of everything by which contracts are judged: of this configuration data sets and columns on
    /// offer, limits, who approves; and the policy file's text. Addresses and paths are no part of it.
    ///
    /// # Errors
    /// When a limit is beyond 2^53 − 1.
    pub fn policy_digest(&self, file: Option<&str>) -> Result<String, CanonicalError> {
        let datasets = self.datasets.iter();
        let datasets: Vec<_> = datasets
            .map(|d| {
                let mut told = json!({ "name": d.name, "grade": d.grade, "columns": d.columns });
                if !d.fallback.is_empty() {
                    told["fallback"] = json!(d.fallback);
                }
                told
            })
            .collect();
        let (align, privacy) = (&self.align, &self.privacy);
        let mut whole = json!({
            "align": {
                "min_matched": align.min_matched,
                "max_matched": align.max_matched,
                "max_rows": align.max_rows,
                "max_runs": align.max_runs,
                "period_days": align.period_days,
            },
            "approval": {
                "automatic": self.danger_approve_automatically,
                "four_eyes": self.approval.four_eyes,
                "ttl_hours": self.approval.ttl_hours,
            },
            "privacy": {
                // canonical JSON has no fractions
                "max_epsilon": privacy.max_epsilon.map(|most| most.to_string()),
                "delta": privacy.delta.to_string(),
                "required": privacy.required,
            },
            "datasets": datasets,
        });
        if let Some(file) = file {
            whole["file"] = signed::digest(file).into();
        }
        let text = paripassu_audit::canonical::to_string(&whole)?;
        Ok(hex(&Sha256::digest(text)))
    }

    /// What of this configuration decides about a contract that asks this, as it is written down: whether the
    /// data set asked for is offered, which of the columns asked for, the limits on matching, and who decides.
    /// Nothing else of the configuration, no path and no address is part of it. `spent` are the
    /// counterparts that have had all the alignments they may have.
    pub fn stated(
        &self,
        party: &str,
        version: u64,
        asked: Option<&Asked>,
        spent: Vec<String>,
        ruling: &Ruling,
    ) -> Stated {
        let dataset = asked.and_then(|asked| Some((asked, self.dataset(&asked.dataset)?)));
        let offered = dataset.map(|(asked, dataset)| {
            let columns = &dataset.columns;
            let named = |asked: Option<&Vec<String>>, have: &[String]| -> Vec<String> {
                let asked = asked.into_iter().flatten();
                asked.filter(|name| have.contains(name)).cloned().collect()
            };
            let [numeric, categorical] = asked
                .columns
                .as_ref()
                .map_or([None, None], |[numeric, categorical]| {
                    [Some(numeric), Some(categorical)]
                });
            Offered {
                name: dataset.name.clone(),
                // only who is to bring the label is asked whether there is one
                label: asked.label && columns.label.is_some(),
                numeric: named(numeric, &columns.numeric),
                categorical: named(categorical, &columns.categorical),
            }
        });
        let approval = match self.danger_approve_automatically {
            true => "automatic",
            false => "officer",
        };
        let align = &self.align;
        Stated {
            format: FORMAT.into(),
            version,
            party: party.to_owned(),
            approval: approval.into(),
            four_eyes: self.approval.four_eyes,
            ttl_hours: ruling.ttl_hours.or(self.approval.ttl_hours),
            min_matched: align.min_matched.max(ruling.min_matched),
            max_runs: align.max_runs.map(u64::from),
            period_days: u64::from(align.period_days),
            spent,
            datasets: offered.into_iter().collect(),
            rules: ruling
                .rules
                .iter()
                .map(|ruled| ruled.rule.clone())
                .collect(),
            roles: ruling.roles.clone(),
            people: ruling.people.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str = "coordinator = \"c:1\"\nidentity = \"i\"\nstate = \"s\"\nresults = \"r\"\n";

    #[test]
    fn what_is_no_policy_does_not_change_its_digest() {
        let digest = |head: &str, more: &str| {
            let config = PartyConfig::from_toml(&format!("{head}{more}"), "p.toml".as_ref());
            config.unwrap().policy_digest(None).unwrap()
        };
        let first = digest(HEAD, "");
        assert_eq!(digest(&HEAD.replace("c:1", "c:2"), ""), first);
        for more in [
            "[align]\nmin_matched = 1\n",
            "[align]\nmax_runs = 1\n",
            "[approval]\nfour_eyes = true\n",
            "[privacy]\nmax_epsilon = 0.5\n",
            "[[dataset]]\nname = \"a\"\npath = \"a.csv\"\nid = \"id\"\n",
        ] {
            assert_ne!(digest(HEAD, more), first, "{more}");
        }
        let one = "[[dataset]]\nname = \"a\"\npath = \"a.csv\"\nid = \"id\"\n";
        let key = format!("{one}fallback = [{{ key = \"phone\", columns = [\"mobile\"] }}]\n");
        assert_ne!(digest(HEAD, one), digest(HEAD, &key));
    }

    #[test]
    fn of_a_policy_only_what_was_asked_for_is_written_down() {
        let text = format!(
            "{HEAD}[[dataset]]\nname = \"loans\"\npath = \"/secret/loans.csv\"\nid = \"customer\"\n\
             label = \"bad\"\nnumeric = [\"income\", \"age\"]\ncategorical = [\"channel\"]\n\
             [[dataset]]\nname = \"hidden\"\npath = \"h.csv\"\nid = \"id\"\nnumeric = [\"x\"]\n"
        );
        let config = PartyConfig::from_toml(&text, "p.toml".as_ref()).unwrap();
        let mut asked = Asked {
            dataset: "loans".into(),
            columns: Some([vec!["age".into(), "wealth".into()], Vec::new()]),
            label: false,
            submitter: true,
            counterparts: vec!["partner".into()],
            min_matched: 10,
            ..Asked::default()
        };
        let stated = config.stated("bank", 3, Some(&asked), Vec::new(), &Ruling::default());
        assert_eq!(stated.judge(&asked)[1], ("offered", "deny"));
        assert_eq!(stated.version, 3);
        let written = stated.to_text().unwrap();
        for kept in [
            "income", "channel", "hidden", "secret", "customer", "bad", "wealth",
        ] {
            assert!(!written.contains(kept), "{kept}: {written}");
        }
        asked.columns = None;
        asked.label = true;
        let stated = config.stated("bank", 3, Some(&asked), Vec::new(), &Ruling::default());
        assert_eq!(stated.judge(&asked)[1], ("offered", "allow"));
        let written = stated.to_text().unwrap();
        assert!(
            !written.contains("age") && !written.contains("bad"),
            "{written}"
        );
        asked.dataset = "none".into();
        assert!(
            config
                .stated("bank", 3, Some(&asked), Vec::new(), &Ruling::default())
                .datasets
                .is_empty()
        );
    }
}
