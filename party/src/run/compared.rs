//! A finished job against this party's last one on the same data set and columns. It compares what it has anyway, and
//! sends nobody anything.

use paripassu_model::{
    table::Table,
    validation::{Alarm, Compared, Figures, Limits, Profile},
};
use paripassu_protocol::abort::Abort;
use serde::{Deserialize, Serialize};

use super::{Prepared, Run, evaluate::Evaluation, own};

/// What a party keeps of a finished job for the next one.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Kept {
    /// The parties and the kind of model: figures of others are another thing.
    among: String,
    profile: Profile,
}

/// The job before, if there was one.
#[derive(Debug, Clone)]
pub(crate) struct Before {
    dataset: String,
    columns: String,
    among: String,
    found: Option<(String, Kept)>,
}

/// This job's data, beside those of the job before it.
#[derive(Debug, Clone)]
pub(crate) struct Comparing {
    before: Before,
    now: Profile,
    alarms: Vec<Alarm>,
}

/// What the next job is compared with, and where it is kept.
pub(super) struct ForNext {
    dataset: String,
    columns: String,
    text: String,
}

impl Before {
    /// Holds the rows that take part against the job before.
    pub(super) fn compare(
        self,
        table: &Table,
        columns: &[String],
        rows: &[usize],
        limits: &Limits,
    ) -> Comparing {
        let found = self.found.as_ref();
        let alarms = found.map(|(_, kept)| kept.profile.data_alarms(table, rows, limits));
        Comparing {
            alarms: alarms.unwrap_or_default(),
            now: Profile::of(table, columns, rows),
            before: self,
        }
    }
}

impl Run {
    /// What is kept of the last finished job over these columns.
    pub(super) fn job_before(&self, dataset: &str, columns: &[String]) -> Result<Before, Abort> {
        let mut sorted = columns.to_vec();
        sorted.sort();
        // as a list, so that no name can be taken for two; with the label, which one party alone has
        let columns = serde_json::to_string(&(self.label, sorted)).map_err(own)?;
        let parties = self.contract.parties().into_iter().map(ToString::to_string);
        let kind = if self.spec().network.is_some() {
            "network"
        } else {
            "logistic"
        };
        let among = format!("{kind}:{}", parties.collect::<Vec<_>>().join("+"));
        let found = self.site.store.profile(dataset, &columns).map_err(own)?;
        let found = found.and_then(|(job, text)| match serde_json::from_str(&text) {
            Ok(kept) => Some((job, kept)),
            Err(error) => {
                tracing::warn!(job, %error, "what was kept of an earlier job cannot be read: nothing is compared");
                None
            }
        });
        Ok(Before {
            dataset: dataset.to_owned(),
            columns,
            among,
            found,
        })
    }

    /// What has changed since the job before, and what is kept for the next.
    pub(super) fn compared(
        &self,
        data: &Prepared,
        evaluation: Option<&Evaluation>,
    ) -> (Compared, ForNext) {
        let Comparing {
            before,
            mut now,
            mut alarms,
        } = data.comparing.clone();
        now.figures = Figures {
            auc_alone: evaluation.map(|e| e.summary.alone.auc),
            auc_joint: evaluation.map(|e| e.summary.joint.auc),
        };
        for (column, iv) in data.bins.iter().flat_map(|bins| bins.information()) {
            now.binned(column, iv);
        }
        if let Some((_, kept)) = &before.found
            && kept.among == before.among
        {
            alarms.extend(kept.profile.figure_alarms(&now, &self.site.config.alarm));
        }
        let compared = Compared {
            against: before.found.as_ref().map(|(job, _)| job.clone()),
            alarms,
        };
        if !compared.alarms.is_empty() {
            let alarms: Vec<_> = compared.alarms.iter().map(ToString::to_string).collect();
            tracing::warn!(job = %self.job.job(), against = compared.against, alarms = alarms.join("; "),
                "flagged: data or figures have changed since the last job on the same columns");
        }
        let kept = Kept {
            among: before.among,
            profile: now,
        };
        let next = ForNext {
            dataset: before.dataset,
            columns: before.columns,
            text: serde_json::to_string(&kept).unwrap_or_default(),
        };
        (compared, next)
    }

    /// Keeps what the next job is compared with.
    pub(super) fn keep_for_next(&self, next: &ForNext) -> Result<(), Abort> {
        let job = self.job.job().to_string();
        let store = &self.site.store;
        let kept = store.keep_profile(&next.dataset, &next.columns, &job, &next.text);
        kept.map_err(own)
    }
}

/// A sentence for the report.
pub(super) fn note(compared: &Compared) -> Option<String> {
    let job = compared.against.as_ref()?;
    if compared.alarms.is_empty() {
        return None;
    }
    let alarms: Vec<_> = compared.alarms.iter().map(ToString::to_string).collect();
    Some(format!(
        "FLAGGED: since job {job}, the last on the same data set and columns, more has changed than this party's limits \
         allow: {}. Find out why before the model is used.",
        alarms.join("; ")
    ))
}
