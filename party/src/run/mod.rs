//! One job at this party: match, prepare, train, evaluate, release.

mod align;
mod batches;
mod binning;
mod card;
mod common;
mod compared;
mod counted;
mod evaluate;
mod failure;
mod going_on;
mod horizontal;
mod kept;
mod keys;
mod measured;
mod network;
pub(crate) mod outputs;
mod overlap;
mod page;
mod progress;
mod read;
mod reject;
mod rows;
mod select;
mod set_change;
mod size;
mod train;
mod validate;

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use ndarray::Array2;
use paripassu_audit::event::bodies::{
    DataCompared, DataErased, MetricsReported, ModelCommitted, ModelReleased,
};
use paripassu_job::{
    Contract, DisclosureId, Seat,
    plan::{Stage, Taken},
    spec::{self, Spec},
};
use paripassu_model::{
    design::{ConstantColumns, Design, DesignOptions},
    logistic::TrainingSet,
    report::{ConvergenceStep, SelectionReport},
    split::{IdSplit, sort_by_id_hash},
    table::Table,
    validation::Drift,
};
use paripassu_protocol::{
    abort::Abort,
    channel::{Channel, Role},
    ctx::Ctx,
    vertical::{hidden::HiddenColumns, tuning::Tuned},
};
use paripassu_service::{
    clock::Clock,
    identity::Identity,
    node::{JobInfo, JobState, Reporter, RunError},
    transport::JobChannel,
};

pub(crate) use self::common::own;
pub use self::{batches::spec as sgd_spec, network::spec as network_spec};
use self::{
    common::blocking,
    failure::{At, Failure},
    measured::Measured,
    progress::timed,
    train::{Fit, JobEngine},
};
use crate::{commit, config::PartyConfig, dataset::Selection, openings::Book, store::Store};
pub(crate) use set_change::SetChange;

/// What a run needs besides the job.
#[derive(Debug, Clone)]
pub(crate) struct Site {
    pub(crate) config: Arc<PartyConfig>,
    pub(crate) identity: Arc<Identity>,
    pub(crate) clock: Clock,
    pub(crate) store: Arc<Store>,
    /// This party's limit on how little sets of common customers may differ.
    pub(crate) set_change: Option<SetChange>,
}

/// Everything about a job that stays the same while it runs.
struct Run {
    site: Site,
    contract: Contract,
    job: JobInfo,
    channel: JobChannel,
    ctx: Ctx<JobChannel>,
    reporter: Reporter,
    book: Book,
    label: bool,
    /// Rows of this party's table in memory.
    held: Arc<AtomicU64>,
    /// What the trials of penalties showed.
    tuned: Option<Tuned>,
    /// Log-odds of the test rows without what the label holder adds, where they are made on shares.
    scored: Option<Vec<f64>>,
    /// What was made of declined applicants.
    inferred: Option<reject::Inferred>,
    /// The passes of a logistic fit.
    course: Vec<ConvergenceStep>,
    measured: Measured,
    /// Rows of each other party as far as they are known: as many as its frames hold.
    peer_rows: u64,
    /// What the run took.
    taken: Taken,
    /// Columns that each party brought to stepwise selection; none where there is none.
    stepped: Vec<usize>,
}

/// Aligned rows of this party's table, split, as a design.
pub(crate) struct Prepared {
    pub(crate) table_rows: usize,
    pub(crate) matched: usize,
    /// Names the common rows, in the order in which they are trained on, where states of the training are kept.
    pub(crate) common: Option<[u8; 32]>,
    pub(crate) design: Design,
    pub(crate) train: Array2<f64>,
    pub(crate) test: Array2<f64>,
    pub(crate) train_label: Option<Vec<u8>>,
    /// Of accepted test rows alone.
    pub(crate) test_label: Option<Vec<u8>>,
    pub(crate) test_ids: Vec<String>,
    pub(crate) rows: rows::RowData,
    pub(crate) evaluation: Option<validate::EvaluationData>,
    pub(crate) drift: Drift,
    /// Where columns are weight of evidence: their bins.
    pub(crate) bins: Option<binning::Bins>,
    /// Columns whose weights of evidence stay shared.
    pub(crate) hidden: Vec<HiddenColumns>,
    /// Columns of the table that are features.
    pub(crate) features: Vec<String>,
    /// What there was before a selection of columns of several parties, and what became of each.
    pub(crate) before: Option<select::Before>,
    pub(crate) selection: Option<SelectionReport>,
    /// This job's data beside those of the job before it.
    pub(crate) comparing: compared::Comparing,
}

/// Plays this party's part; on success all results are written.
pub(crate) async fn run(
    site: Site,
    job: JobInfo,
    channel: JobChannel,
    reporter: Reporter,
) -> Result<(), RunError> {
    let me = site.identity.peer().id.to_string();
    let info = job.clone();
    let held = Arc::new(AtomicU64::new(0));
    let result = async {
        Run::new(site, job, channel, reporter, Arc::clone(&held))
            .at("start")?
            .all()
            .await
    }
    .await;
    let rows = held.load(Ordering::Relaxed);
    // the run, with table, shares and masks, is gone from memory here; where it failed, a thread may still hold
    // some for a moment, so that nothing is said
    if result.is_ok() && rows > 0 {
        let erased = DataErased {
            what: "working-data".into(),
            count: rows,
            subject: None,
        };
        let role = info.proposal.role;
        let written = info.record.event(erased);
        written.map_err(|error| RunError::unwritten(role, "release", &error))?;
    }
    result.map_err(|f: Failure| f.into_run_error(&info, &me))
}

impl Run {
    fn new(
        site: Site,
        job: JobInfo,
        channel: JobChannel,
        reporter: Reporter,
        held: Arc<AtomicU64>,
    ) -> Result<Self, Abort> {
        let contract = Contract::parse(&job.proposal.contract).map_err(own)?;
        let parties = contract.parties().len() as u8;
        let deadline = Duration::from_secs(contract.spec().limits.message_deadline_s);
        let ctx = Ctx::new(Arc::new(channel.clone()), parties, deadline);
        let book = Book::new(&contract, job.record.clone(), site.config.countersign);
        let spec = contract.spec();
        let first = channel.role() == Role::Party(0);
        let label = spec.horizontal.is_some() || (first && spec.overlap.is_none());
        Ok(Self {
            site,
            contract,
            job,
            channel,
            ctx,
            reporter,
            book,
            label,
            held,
            tuned: None,
            scored: None,
            inferred: None,
            course: Vec::new(),
            measured: Measured::new(),
            peer_rows: 0,
            taken: Taken::default(),
            stepped: Vec::new(),
        })
    }

    fn spec(&self) -> &Spec {
        self.contract.spec()
    }

    async fn all(&mut self) -> Result<(), Failure> {
        let limit = Duration::from_secs(self.spec().limits.job_deadline_s);
        match tokio::time::timeout(limit, self.phases()).await {
            Ok(r) => {
                if r.is_err() {
                    self.nothing_scored();
                }
                r
            }
            Err(_) => Err(Failure {
                step: "deadline",
                abort: Abort::Input(format!(
                    "the job took longer than its limits.job_deadline_s = {} s",
                    limit.as_secs()
                )),
            }),
        }
    }

    async fn phases(&mut self) -> Result<(), Failure> {
        if let Some(horizontal) = self.spec().horizontal.clone() {
            return self.horizontal(&horizontal).await;
        }
        if self.spec().sizes_only() {
            return self.size().await;
        }
        if let Some(overlap) = self.spec().overlap.clone() {
            return self.overlap(&overlap).await;
        }
        self.reporter.phase(JobState::Aligning, "read data");
        let (table, selection) = self.load().await.at("align/load")?;
        let matched = self.align(&table, &selection).await.at("align")?;
        self.done(Stage::Align).at("align")?;

        self.reporter.phase(JobState::Preparing, "design columns");
        let mut engine = self.engine().at("prepare")?;
        let prepared = self.prepare(table, &selection, matched, &mut engine);
        let mut prepared = prepared.await.at("prepare")?;
        if let Some(selection) = self.spec().selection.clone() {
            self.reporter
                .phase(JobState::Preparing, "columns that say the same");
            let selected = self.select(&selection, &mut engine, &mut prepared);
            selected.await.at("prepare")?;
        }
        self.scores_within(prepared.test.nrows()).at("prepare")?;
        self.done(Stage::Prepare).at("prepare")?;
        self.taken.test_rows = Some(prepared.test.nrows() as u64);

        self.reporter.phase(JobState::Training, "masked features");
        let trained = self.train(&mut prepared, &mut engine).await;
        let (fit, half, passes) = trained.at("train")?;
        (self.taken.passes, self.taken.fine_passes) = passes;
        self.taken.after = fit.resumed();
        if let Some(tuned) = &self.tuned {
            // trials end before the last passes' precision
            self.taken.trial_passes = tuned.passes.into();
            self.taken.passes = passes.0.saturating_sub(tuned.passes.into());
        }
        if let Some(inferred) = &self.inferred {
            let second = self.course.iter().skip(inferred.first_passes as usize);
            let fine = second.clone().filter(|step| step.fine).count() as u64;
            self.taken.second = (second.count() as u64 - fine, fine);
        }
        self.done(Stage::Train).at("train")?;

        self.reporter.phase(JobState::Evaluating, "scores");
        let evaluation = self.evaluate(&prepared, &fit).await.at("evaluate")?;
        self.done(Stage::Evaluate).at("evaluate")?;
        self.release(selection, prepared, fit, half, evaluation)
            .await
            .at("release")
    }

    /// A stage is over: nothing of its steps is under way any more.
    fn done(&mut self, stage: Stage) -> Result<(), Abort> {
        self.measured.over(stage, self.ctx.meter());
        tracing::info!(job = %self.job.job(), %stage, "stage done");
        let name = stage.to_string();
        let over = |step: &str| match stage {
            Stage::Train => step.starts_with("train") || step.starts_with("release/"),
            _ => step.starts_with(&name),
        };
        let written = self.book.record().steps_done(&self.channel, over);
        written.map_err(own)
    }

    async fn prepare(
        &self,
        table: Table,
        selection: &Selection,
        matched: align::Matched,
        engine: &mut JobEngine,
    ) -> Result<Prepared, Abort> {
        let tenths = u32::try_from(self.spec().split.test_tenths).map_err(own)?;
        let split = IdSplit::new(tenths).map_err(own)?;
        let align::Matched { rows, keys } = matched;
        let (test, mut train): (Vec<usize>, Vec<usize>) = rows
            .iter()
            .partition(|row| split.is_test(keys.get(*row).unwrap_or(&table.ids()[**row])));
        if self.spec().kept_points().is_some() || self.spec().in_batches() {
            // batches, and states that another job goes on from, are of an order that does not depend on the matching
            match keys.is_empty() {
                true => sort_by_id_hash(&mut train, table.ids()),
                false => {
                    let mut ids = table.ids().to_vec();
                    keys.into_iter().for_each(|(row, key)| ids[row] = key);
                    sort_by_id_hash(&mut train, &ids);
                }
            }
        }
        if train.is_empty() || test.is_empty() {
            return Err(own(format!(
                "{} training and {} test rows: match more customers or change split.test_tenths",
                train.len(),
                test.len()
            )));
        }
        let options = DesignOptions {
            constant: match self.spec().design.constant_columns {
                spec::ConstantColumns::Drop => ConstantColumns::Drop,
                spec::ConstantColumns::Error => ConstantColumns::Refuse,
            },
            rare_level_rows: usize::try_from(self.spec().design.rare_level_rows).map_err(own)?,
        };
        let me = self.site.identity.peer().id.to_string();
        let spec = self.spec().clone();
        let beside = spec.beside_features(&me);
        let features = |columns: &[String]| -> Vec<String> {
            let is_feature = |column: &&String| !beside.contains(&column.as_str());
            columns.iter().filter(is_feature).cloned().collect()
        };
        let (numeric, categorical) = (
            features(selection.numeric()),
            features(selection.categorical()),
        );
        let (state, job) = (self.site.config.state.clone(), self.job.job().to_string());
        let dataset = selection.name().to_owned();
        let (table, committed) = blocking(move || {
            let committed = commit::commit(&state, &job, &dataset, &table, &rows);
            (table, committed)
        })
        .await;
        let committed =
            committed.map_err(|e| own(format!("cannot keep the commitment to the data: {e}")))?;
        self.book.event(self.graded(committed))?;
        let (table, train) = (Arc::new(table), Arc::new(train));
        let columns: Vec<String> = numeric.iter().chain(&categorical).cloned().collect();
        let before = self.job_before(selection.name(), &columns)?;
        let limits = self.site.config.alarm;
        let (bins, hidden) = match &spec.binning {
            Some(binning) => {
                let rows = (Arc::clone(&table), Arc::clone(&train));
                let made = self.bin(binning, engine, rows, columns.clone()).await?;
                (Some(made.0), made.1)
            }
            None => (None, Vec::new()),
        };
        for _ in self.contract.parties() {
            self.book
                .disclose(&DisclosureId::DesignWidth, 1, "train/shapes")?;
        }
        let prepared = blocking(move || {
            let rows = rows::RowData::read(&spec, &me, &table, &train, &test)?;
            let declined = rows.declined.as_ref();
            let known_train = reject::accepted(&train, declined.map(|d| &d.train[..]));
            let known_test = reject::accepted(&test, declined.map(|d| &d.test[..]));
            let evaluation = match table.label() {
                Some(_) => validate::EvaluationData::read(&spec, &table, &known_test)?,
                None => None,
            };
            let all: Vec<usize> = known_train.iter().chain(&known_test).copied().collect();
            let comparing = before.compare(&table, &columns, &all, &limits);
            let drift = validate::stability(&spec, &me, &table, &columns, &train, &test)?;
            let own_hidden = bins.as_ref().map_or(&[][..], |bins| &bins.hidden);
            let design = match &bins {
                // a design of columns that their owner knows the values of: here none
                Some(bins) if !bins.hidden.is_empty() => {
                    Ok(Design::given(Vec::new(), Vec::new(), train.len()))
                }
                Some(bins) => Design::of_woe(&table, &train, bins.kept.iter().cloned()),
                None => Design::fit(&table, &train, &numeric, &categorical, options),
            };
            let design = design.map_err(own)?;
            let label = |rows: &[usize]| {
                table
                    .label()
                    .map(|y| rows.iter().map(|r| y[*r]).collect::<Vec<u8>>())
            };
            let matrix = |rows: &[usize]| binning::matrix(own_hidden, &design, &table, rows);
            Ok::<_, Abort>(Prepared {
                table_rows: table.rows(),
                matched: train.len() + test.len(),
                common: (spec.kept_points().is_some())
                    .then(|| commit::named(&table, &train, &test)),
                train: matrix(&train)?,
                test: matrix(&test)?,
                rows,
                evaluation,
                drift,
                bins,
                hidden,
                features: columns,
                comparing,
                before: None,
                selection: None,
                train_label: label(&train),
                test_label: label(&known_test),
                test_ids: test.iter().map(|r| table.ids()[*r].clone()).collect(),
                design,
            })
        })
        .await?;
        Ok(prepared)
    }

    /// This party's part of each test score goes to the label holder, who evaluates.
    async fn evaluate(
        &self,
        data: &Prepared,
        fit: &Fit,
    ) -> Result<Option<evaluate::Evaluation>, Abort> {
        let Some(scores) = &self.spec().outputs.scores else {
            return Ok(None);
        };
        let joint = self.scores(data, fit, scores).await?;
        let known = self.known_scores(data, scores).await?;
        let ctx = self.ctx.narrow("evaluate");
        let receivers: Vec<u8> = self
            .spec()
            .outputs
            .metrics_to
            .iter()
            .filter_map(|id| match self.contract.seat(id) {
                Some(Seat::Party(p)) if p != 0 => Some(p),
                _ => None,
            })
            .collect();
        let wanted = !self.spec().outputs.metrics_to.is_empty();
        if wanted {
            self.book
                .disclose(&DisclosureId::ReleaseMetrics, 1, "evaluate")?;
        }
        let (Some(margins), Some(train_y), Some(test_y)) =
            (joint, &data.train_label, &data.test_label)
        else {
            let Role::Party(me) = self.channel.role() else {
                return Ok(None);
            };
            if !receivers.contains(&me) {
                return Ok(None);
            }
            let body = ctx.recv(Role::Party(0), "metrics").await?;
            return evaluate::Evaluation::from_label_holder(&body).map(Some);
        };
        // its own model has all its own columns, whatever others' say
        let (design, train, test) = data.alone();
        let (train, test) = (train.clone(), test.clone());
        let (train_y, test_y) = (train_y.clone(), test_y.clone());
        let l2 = self.penalties().l2;
        let held = self.held(design);
        let rows = data.rows.clone();
        let margins = rows.of_accepted(margins);
        let known = known.map(|known| rows.of_accepted(known));
        let inferring = self.spec().reject_inference.clone();
        let asked = data.evaluation.clone();
        let network = self.spec().network.as_ref();
        let network = network.map(|n| network::spec(self.spec(), n)).transpose()?;
        let evaluation = blocking(move || {
            if let Some(spec) = network {
                let weights = rows.weights.as_deref();
                let alone = network::alone(&spec, (&train, &train_y), weights, &test)?;
                let asked = asked.as_ref();
                return evaluate::Evaluation::new(&train_y, &test_y, margins, &alone, asked);
            }
            let alone = match &inferring {
                Some(inferring) => reject::alone(inferring, &rows, (&train, &train_y), l2, held)?,
                None => {
                    let set = TrainingSet::new(&train, &train_y).map_err(own)?;
                    evaluate::alone(&rows.give(set)?, l2, held)?
                }
            };
            let mut alone = alone.margins(&test).map_err(own)?;
            rows.add_offset(&mut alone);
            let alone = rows.of_accepted(alone);
            let known = known
                .map(|z| reject::known_metrics(&test_y, &z))
                .transpose()?;
            let made =
                evaluate::Evaluation::new(&train_y, &test_y, margins, &alone, asked.as_ref())?;
            Ok(evaluate::Evaluation { known, ..made })
        })
        .await?;
        for p in receivers {
            ctx.send(Role::Party(p), "metrics", evaluation.summary_bytes()?)
                .await?;
        }
        Ok(Some(evaluation))
    }

    async fn release(
        &mut self,
        selection: Selection,
        data: Prepared,
        fit: Fit,
        half: Option<card::Half>,
        evaluation: Option<evaluate::Evaluation>,
    ) -> Result<(), Abort> {
        self.reporter.phase(JobState::Evaluating, "write results");
        let (compared, profile) = self.compared(&data, evaluation.as_ref());
        let mut report = page::report(self, &selection, &data, &fit, evaluation.as_ref());
        report.notes.extend(compared::note(&compared));
        let went_on = self.went_on(&fit);
        report.notes.extend(went_on.as_ref().map(|on| on.note()));
        report.compared = Some(compared.clone());
        let mut more = Vec::new();
        if let Some(half) = &half {
            let rows = evaluation.as_ref().and_then(|e| e.rows.as_ref());
            let (files, told) = self.card(half, &data, &fit, rows)?;
            (more, report.scorecard) = (files, Some(told));
        }
        let folder = self.site.config.results.join(self.job.job().as_str());
        let content = outputs::Content {
            party: self.site.identity.peer().id.to_string(),
            job: self.job.job().to_string(),
            offset: self.spec().model.offset.clone().filter(|_| self.label),
            compared: compared.clone(),
            inferred: report.rejects.clone(),
            went_on,
            keep_predictions: self.spec().outputs.scores.as_ref().is_some_and(|s| s.keep),
        };
        let results = outputs::Results {
            folder,
            report: Some(report),
        };
        let (values, id) = (
            evaluate::figures(evaluation.as_ref()),
            self.site.identity.peer().id.clone(),
        );
        let (staged, files) = blocking(move || {
            let mut all = content.files(&data, &fit, evaluation.as_ref())?;
            all.extend(more);
            results.stage(all)
        })
        .await?;
        let page = files.iter().find(|file| file.name == "report.html");
        if let Some(page) = page {
            self.book.event(MetricsReported {
                report: page.name.clone(),
                sha256: page.sha256.clone(),
                values,
            })?;
        }
        // in every job, flagged or not: whether there is such an event tells nothing
        self.book.event(DataCompared {
            against: compared.against.clone(),
            alarms: compared.alarms.iter().map(ToString::to_string).collect(),
        })?;
        self.book.event(ModelCommitted { files })?;
        // nobody keeps results unless everybody has written theirs
        self.ctx
            .narrow("release")
            .broadcast("written", bytes::Bytes::new())
            .await?;
        staged.commit()?;
        self.keep_for_next(&profile)?;
        self.book.event(ModelReleased {
            what: "model and report of this party".into(),
            to: vec![format!("party:{id}")],
        })?;
        self.forget().await
    }
}
