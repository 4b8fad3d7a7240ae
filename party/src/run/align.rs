//! Matching customers, in every kind of job that does.

use std::{
    collections::HashMap,
    sync::{Arc, atomic::AtomicU64},
    time::Instant,
};

use paripassu_audit::event::bodies::{AlignDone, DataCommitted, Denied};
use paripassu_job::{DisclosureId, constants, spec};
use paripassu_model::{schema::IdRuleCount, table::Table};
use paripassu_protocol::{
    abort::Abort,
    align::{self, IterIds, Method, Params},
};
use paripassu_service::dealing::alignment;

use super::{Run, blocking, keys, own, timed};
use crate::dataset::{DatasetError, Selection};

/// Rows in common, in the common order.
pub(super) struct Matched {
    pub(super) rows: Vec<usize>,
    /// Of rows that matched by a further key, the text that all parties have of it.
    pub(super) keys: HashMap<usize, String>,
}

impl Run {
    /// A commitment with the grade that the configuration gives the data set.
    pub(super) fn graded(&self, committed: DataCommitted) -> DataCommitted {
        let dataset = self.site.config.dataset(&committed.dataset);
        let grade = dataset.and_then(|dataset| dataset.grade.clone());
        DataCommitted { grade, ..committed }
    }

    /// How this job matches customers, and what this node allows.
    pub(super) fn alignment(&self) -> (Method, Params) {
        let (spec, config) = (self.spec(), &self.site.config);
        let params = Params {
            memory_bytes: config.align_memory_mib << 20,
            max_rows: config.align.max_rows,
            ..alignment(&self.contract)
        };
        let method = match spec.align.method {
            spec::AlignMethod::Curve => Method::Curve,
            spec::AlignMethod::Vole => Method::Vole,
        };
        (method, params)
    }

    pub(super) fn alignment_progress(&self) -> impl Fn(u64, u64) + Send + Sync + use<> {
        let (reporter, start) = (self.reporter.clone(), Instant::now());
        move |done: u64, total: u64| {
            reporter.progress(&timed("match customers", start, done, total));
        }
    }

    /// All that an alignment opens, before anything is sent: what follows may end the job at any of it.
    pub(super) fn book_alignment(&self, counts: usize) -> Result<(), Abort> {
        let book = |id, values| self.book.disclose(&id, values, "align");
        book(DisclosureId::RelayTraffic, 0)?;
        for _ in self.contract.parties() {
            book(DisclosureId::AlignSizes, 1)?;
        }
        // a set by each key; its size, which all members would read, is not theirs to know
        for _ in self.spec().keys() {
            book(DisclosureId::AlignMembers, 1)?;
        }
        for _ in 0..counts {
            book(DisclosureId::AlignMatched, 1)?;
        }
        Ok(())
    }

    /// An alignment found so many: checks this party's limit and writes it down.
    pub(super) fn aligned(&self, method: Method, matched: u64) -> Result<(), Abort> {
        self.within_limit(matched)?;
        self.book.event(AlignDone {
            method: method.to_string(),
            matched,
        })
    }

    /// Where a counterpart brings more than this party allows: writes down the refusal, and names the rule.
    pub(super) fn refused<T>(&self, matched: Result<T, Abort>) -> Result<T, Abort> {
        let Err(Abort::TooManyRows {
            from,
            step,
            problem,
        }) = matched
        else {
            return matched;
        };
        self.book.event(Denied {
            code: "policy".into(),
            subject: "max_rows".into(),
            to: None,
        })?;
        Err(Abort::TooManyRows {
            from,
            step,
            problem: format!(
                "policy of `{}`, rule `max_rows`: {problem}",
                self.site.identity.peer().id
            ),
        })
    }

    /// Whether this party goes on where so many are common.
    pub(super) fn within_limit(&self, matched: u64) -> Result<(), Abort> {
        let most = self.site.config.align.max_matched;
        if most.is_some_and(|most| matched > most) {
            self.book.event(Denied {
                code: "policy".into(),
                subject: "max_matched".into(),
                to: None,
            })?;
            return Err(own(format!(
                "policy of `{}`, rule `max_matched`: more customers are common than this party allows in a job: \
                 align fewer, or ask it for a higher limit",
                self.site.identity.peer().id
            )));
        }
        Ok(())
    }

    /// Rows of a peer that has sent so many frames: as many as they hold.
    pub(super) fn rows_in(&self, frames: u32) -> u64 {
        let held = u64::from(frames) * self.spec().align.size_step;
        held.saturating_sub(constants::ALIGN_MIN_PADDING)
    }

    /// How many ids each rule changed: in this node's own log, and nowhere else.
    pub(super) fn tell_counts(&self, counts: &[IdRuleCount]) {
        for count in counts {
            tracing::info!(
                job = %self.job.job(), rule = %count.rule, changed = count.changed,
                "ids brought to one form"
            );
        }
    }

    pub(super) async fn align(
        &mut self,
        table: &Table,
        selection: &Selection,
    ) -> Result<Matched, Abort> {
        let (method, params) = self.alignment();
        let progress = self.alignment_progress();
        self.book_alignment(2)?;
        let (aligned, keys) = match self.has_further_keys() {
            false => {
                let ids = IterIds(table.ids().to_vec().into_iter());
                let course = self.match_course().await?;
                let run = align::run_on(&self.ctx, method, &params, ids, &course, progress).await;
                (self.too_few(self.refused(run)).await?, HashMap::new())
            }
            true => {
                let counted = Arc::new(AtomicU64::new(0));
                let keyed = self.match_by_keys(selection.clone(), counted).await?;
                let selection = selection.clone();
                let found = blocking(move || {
                    keys::common_keys(&selection, &keyed).map(|keys| (keyed.alignment, keys))
                });
                found.await.map_err(|e| own(e.without_hints()))?
            }
        };
        self.peer_rows = self.rows_in(aligned.peer_batches);
        let rows: Vec<usize> = aligned.rows.into_iter().map(|r| r as usize).collect();
        if rows.iter().any(|row| *row >= table.rows()) {
            return Err(own(DatasetError::Changed.without_hints()));
        }
        let ids = rows.iter().filter_map(|row| table.ids().get(*row));
        let allowed = self.aligned(method, rows.len() as u64);
        let allowed = allowed.and_then(|()| self.set_may_follow(ids.map(String::as_str)));
        self.or_forget(allowed).await?;
        Ok(Matched { rows, keys })
    }
}
