//! A horizontal job at this bank: join, prepare, fit and evaluate by masked sums, release.

mod compare;
mod course;
mod files;
mod network;
mod page;
mod privacy;

use std::sync::Arc;

use ndarray::Array2;
use paripassu_audit::event::bodies::{DpSpent, MetricsReported, ModelCommitted, ModelReleased};
use paripassu_crypto::dp::Spent;
use paripassu_job::{
    DisclosureId, Guarantee,
    plan::{Stage, Taken},
    spec::{self, Horizontal, Intercept, Start},
};
use paripassu_model::{
    design::{ConstantColumns, DesignOptions, Source},
    logistic,
    split::IdSplit,
    table::{ColumnData, Table},
};
use paripassu_protocol::{
    abort::Abort,
    channel::Role,
    horizontal::{
        bins::{self, Keep},
        evaluate::{self, Evaluation},
        federated::private,
        newton::{self, NewtonFit, NewtonSpec, Rows},
        prepare::{Book, Joint, prepare},
        secagg::Client,
    },
};
use paripassu_service::{
    dealing::{SHARES_LABEL, sum_params},
    node::JobState,
    transport::JobChannel,
};
use zeroize::Zeroizing;

use super::{At, Failure, Run, binning::Bins, blocking, outputs, own};
use crate::{commit, dataset::Selection};

/// This bank's rows.
struct Own {
    table: Arc<Table>,
    train: Vec<usize>,
    test: Vec<usize>,
    numeric: Vec<String>,
    levels: Vec<(String, Vec<String>)>,
    weights: Option<Vec<f64>>,
    /// Of every row of the table.
    offset: Option<Vec<f64>>,
}

/// The joint model.
enum Fitted {
    Logistic(NewtonFit),
    Network(Box<network::NetworkFit>),
}

impl Fitted {
    /// After which round of an aborted job it went on; 0 where it did not.
    fn resumed(&self) -> u32 {
        match self {
            Self::Logistic(fit) => fit.resumed,
            Self::Network(fit) => fit.resumed,
        }
    }

    /// Log-odds of rows of the standardised design, without their offsets.
    fn log_odds(&self, x: &Array2<f64>) -> Result<Vec<f64>, Abort> {
        match self {
            Self::Logistic(fit) => {
                let model = logistic::LogisticModel {
                    intercept: fit.intercept,
                    coefficients: fit.coefficients.clone(),
                };
                model.margins(x).map_err(own)
            }
            Self::Network(fit) => fit.network.log_odds(&fit.params, x).map_err(own),
        }
    }
}

/// What a run ends with.
struct Results {
    joint: Joint,
    fit: Fitted,
    all_banks: Evaluation,
    own: OwnTest,
    /// Where columns are weight of evidence: their bins.
    bins: Option<Bins>,
    /// Banks that were missing from sums.
    missing: Vec<Missing>,
}

/// A bank that was missing from some sums.
struct Missing {
    bank: String,
    from: u32,
    sums: u32,
}

/// This bank's own test rows: its own model beside the joint one, or why there is no comparison.
enum OwnTest {
    Compared(Box<super::evaluate::Evaluation>),
    Not(String),
}

impl Own {
    fn labels(&self, rows: &[usize]) -> Vec<u8> {
        let labels = self.table.label().unwrap_or_default();
        rows.iter()
            .filter_map(|r| labels.get(*r).copied())
            .collect()
    }

    fn offset_of(&self, rows: &[usize]) -> Option<Vec<f64>> {
        let offset = self.offset.as_ref()?;
        Some(
            rows.iter()
                .filter_map(|r| offset.get(*r).copied())
                .collect(),
        )
    }
}

impl Run {
    pub(super) async fn horizontal(&mut self, horizontal: &Horizontal) -> Result<(), Failure> {
        self.reporter.phase(JobState::Preparing, "read data");
        let (table, selection) = self.load().await.at("prepare/load")?;
        let bank = self
            .own_rows(table, &selection, horizontal)
            .await
            .at("prepare")?;
        if let Some(guarantee) = Guarantee::of(self.spec()).map_err(own).at("prepare")? {
            let before = privacy::before(self).at("prepare")?;
            let total = before.and(&guarantee.spent).epsilon(guarantee.delta);
            let texts = |curve: &Spent| curve.divergences().iter().map(f64::to_string).collect();
            let spent = DpSpent {
                dataset: selection.name().to_owned(),
                training: guarantee.training.to_string(),
                evaluation: guarantee.evaluation.to_string(),
                total: total.to_string(),
                delta: guarantee.delta.to_string(),
                job: texts(&guarantee.spent),
                before: texts(&before),
            };
            self.book.event(spent).at("prepare")?;
        }
        let roots = self.roots().at("join")?;
        for id in [DisclosureId::RelayTraffic, DisclosureId::SumsMembers] {
            self.book.disclose(&id, 0, "sums/join").at("join")?;
        }
        let params = sum_params(&self.contract, horizontal).at("join")?;
        self.reporter.phase(JobState::Preparing, "exchange keys");
        let mut client = Client::join(&self.ctx, params, roots).await.at("join")?;
        self.reporter.phase(JobState::Preparing, "joint design");
        let (joint, bins) = match &horizontal.privacy {
            Some(privacy) => (network::declared(&bank, privacy).at("prepare")?, None),
            None => self
                .joint(&mut client, &bank, horizontal)
                .await
                .at("prepare")?,
        };
        let mut course = self
            .course(&client, &selection, &bank, &joint)
            .await
            .at("resume")?;
        self.measured.over(Stage::Prepare, self.ctx.meter());

        let fit = match &horizontal.training {
            Some(training) => {
                self.reporter.phase(JobState::Training, "rounds");
                let fit = self
                    .network(
                        &mut client,
                        &bank,
                        &joint,
                        (horizontal, training),
                        &mut course,
                    )
                    .await;
                Fitted::Network(Box::new(fit.at("train")?))
            }
            None => {
                self.reporter.phase(JobState::Training, "passes");
                let fit = self.newton(&mut client, &bank, &joint, horizontal, &mut course);
                let fit = fit.await;
                Fitted::Logistic(fit.at("train")?)
            }
        };
        self.measured.over(Stage::Train, self.ctx.meter());

        self.reporter
            .phase(JobState::Evaluating, "masked histogram");
        let test_y = bank.labels(&bank.test);
        let log_odds = log_odds(&joint, &fit, &bank).at("evaluate")?;
        let mut book = self.book.clone();
        let purpose = "joint model";
        let all_banks = match &horizontal.privacy {
            Some(privacy) => {
                let banks = self.contract.parties().len();
                let honest = privacy.honest_of(horizontal.threshold_of(banks));
                let noise = (privacy.evaluation_noise.value(), honest);
                private::evaluate(&mut client, &mut book, purpose, &log_odds, &test_y, noise).await
            }
            None => evaluate::evaluate(&mut client, &mut book, purpose, &log_odds, &test_y).await,
        };
        let all_banks = all_banks.at("evaluate")?;
        let missing = self.missing(&client);
        let own = self
            .compare(&bank, horizontal, log_odds, test_y)
            .await
            .at("evaluate")?;
        self.measured.over(Stage::Evaluate, self.ctx.meter());
        self.taken = taken(&joint, &fit);
        let results = Results {
            joint,
            fit,
            all_banks,
            own,
            bins,
            missing,
        };
        self.release_horizontal(client, &selection, &bank, horizontal, results)
            .await
            .at("release")
    }

    /// Banks that were missing from sums.
    fn missing(&self, client: &Client<JobChannel>) -> Vec<Missing> {
        let (sums, missed) = client.missed();
        let banks = self.contract.parties().into_iter().zip(missed);
        banks
            .filter(|(_, from)| **from > 0)
            .map(|(bank, from)| Missing {
                bank: bank.to_string(),
                from: *from,
                sums,
            })
            .collect()
    }

    /// Secrets shared with each other bank alone, by position.
    fn roots(&self) -> Result<Vec<Zeroizing<[u8; 32]>>, Abort> {
        let banks = self.contract.parties().len();
        (0..banks)
            .map(|place| {
                let role = Role::Party(u8::try_from(place).map_err(own)?);
                if role == paripassu_protocol::channel::Channel::role(&self.channel) {
                    return Ok(Zeroizing::new([0; 32]));
                }
                let root = JobChannel::shared_with(&self.channel, role);
                let root = root.ok_or_else(|| own(format!("no key is shared with {role}")))?;
                Ok(root.derive(SHARES_LABEL))
            })
            .collect()
    }

    async fn own_rows(
        &self,
        table: Table,
        selection: &Selection,
        horizontal: &Horizontal,
    ) -> Result<Own, Abort> {
        let tenths = u32::try_from(self.spec().split.test_tenths).map_err(own)?;
        let split = IdSplit::new(tenths).map_err(own)?;
        let rows = 0..table.rows();
        let (test, train): (Vec<usize>, Vec<usize>) =
            rows.partition(|r| split.is_test(&table.ids()[*r]));
        let (state, job) = (self.site.config.state.clone(), self.job.job().to_string());
        let dataset = selection.name().to_owned();
        let (table, committed) = blocking(move || {
            let all: Vec<usize> = (0..table.rows()).collect();
            let committed = commit::commit(&state, &job, &dataset, &table, &all);
            (table, committed)
        })
        .await;
        let committed =
            committed.map_err(|e| own(format!("cannot keep the commitment to the data: {e}")))?;
        self.book.event(self.graded(committed))?;
        let special = |name: &Option<String>| -> Result<Option<Vec<f64>>, Abort> {
            let Some(name) = name else { return Ok(None) };
            match table.column(name).map(|c| c.data()) {
                Some(ColumnData::Numeric(values)) => match values.iter().position(|v| v.is_nan()) {
                    Some(row) => Err(own(format!(
                        "column `{name}` is missing in row {}: a weight or an offset is needed in \
                         every row",
                        row + 1
                    ))),
                    None => Ok(Some(values.clone())),
                },
                _ => Err(own(format!("the data set has no numeric column `{name}`"))),
            }
        };
        let (weights, offset) = (special(&horizontal.weight)?, special(&horizontal.offset)?);
        if let Some(row) = weights.iter().flatten().position(|w| *w < 0.0) {
            return Err(own(format!("the weight in row {} is below 0", row + 1)));
        }
        let is_feature = |column: &&String| {
            ![&horizontal.weight, &horizontal.offset]
                .iter()
                .any(|c| c.as_ref() == Some(*column))
        };
        let numeric = selection
            .numeric()
            .iter()
            .filter(is_feature)
            .cloned()
            .collect();
        let levels = selection.categorical().iter().map(|column| {
            let listed = horizontal.levels.get(column).cloned().unwrap_or_default();
            (column.clone(), listed)
        });
        let weights = weights.map(|all| train.iter().map(|r| all[*r]).collect());
        let levels = levels.collect();
        Ok(Own {
            table: Arc::new(table),
            train,
            test,
            numeric,
            levels,
            weights,
            offset,
        })
    }

    fn design_options(&self) -> Result<DesignOptions, Abort> {
        let design = &self.spec().design;
        Ok(DesignOptions {
            constant: match design.constant_columns {
                spec::ConstantColumns::Drop => ConstantColumns::Drop,
                spec::ConstantColumns::Error => ConstantColumns::Refuse,
            },
            rare_level_rows: usize::try_from(design.rare_level_rows).map_err(own)?,
        })
    }

    async fn joint(
        &self,
        client: &mut Client<JobChannel>,
        bank: &Own,
        horizontal: &Horizontal,
    ) -> Result<(Joint, Option<Bins>), Abort> {
        let largest_weight = match &bank.weights {
            Some(weights) => weights.iter().copied().fold(0.0, f64::max),
            // of exactly 1 for all rows: the exponent of what lies below
            None => 0.5,
        };
        let view = Book {
            table: &bank.table,
            train: &bank.train,
            numeric: &bank.numeric,
            levels: &bank.levels,
            options: self.design_options()?,
            min_rows: horizontal.min_rows,
            largest_weight,
        };
        let mut book = self.book.clone();
        let Some(binning) = &self.spec().binning else {
            let joint = prepare(client, &mut book, &view).await?;
            return Ok((joint, None));
        };
        let rare = self.spec().design.rare_level_rows;
        // the same for all columns of all banks
        let recipe = |rows: usize| binning.recipe("", "", rows, rare);
        let keep = Keep {
            max_missing: binning.max_missing.value(),
            max_identical: binning.max_identical.value(),
            min_iv: binning.min_iv.value(),
        };
        let (joint, all) = bins::prepare(client, &mut book, &view, &recipe, keep).await?;
        let made = Bins::of_sums(recipe(0).sign, binning, all);
        Ok((joint, Some(made)))
    }

    async fn newton(
        &self,
        client: &mut Client<JobChannel>,
        bank: &Own,
        joint: &Joint,
        horizontal: &Horizontal,
        course: &mut course::AtBank,
    ) -> Result<NewtonFit, Abort> {
        let x = joint
            .design
            .transform(&bank.table, &bank.train)
            .map_err(own)?;
        let rows = Rows {
            columns: joint.design.names().map(str::to_owned).collect(),
            x: x.into_raw_vec_and_offset().0,
            labels: bank.labels(&bank.train),
            weights: bank.weights.clone(),
            offset: bank.offset_of(&bank.train),
            all_rows: joint.rows,
            weight_exponent: joint.weight_exponent,
        };
        let spec = self.spec();
        let newton = NewtonSpec {
            l2: spec.model.l2.value(),
            l1: horizontal.l1.value(),
            tolerance: spec.solver.tolerance.value(),
            max_passes: u32::try_from(spec.solver.max_passes).map_err(own)?,
            own_intercepts: horizontal.intercept == Intercept::PerBank,
            begin: match horizontal.start {
                Start::Zero => newton::Begin::Zero,
                Start::OwnModels => newton::Begin::OwnModels,
            },
        };
        let mut book = self.book.clone();
        newton::fit(client, &mut book, &newton, rows, course).await
    }

    async fn release_horizontal(
        &mut self,
        client: Client<JobChannel>,
        selection: &Selection,
        bank: &Own,
        horizontal: &Horizontal,
        results: Results,
    ) -> Result<(), Abort> {
        self.reporter.phase(JobState::Evaluating, "write results");
        let report = page::report(self, selection, bank, horizontal, &results)?;
        let me = self.site.identity.peer().id.clone();
        let content = files::files(self, me.as_str(), &results)?;
        let bytes = |(name, text): (&'static str, String)| (name, text.into_bytes());
        let content = content.into_iter().map(bytes).collect();
        let out = outputs::Results {
            folder: self.site.config.results.join(self.job.job().as_str()),
            report: Some(report),
        };
        let values = files::figures(self, &results)?;
        let (staged, digests) = blocking(move || out.stage(content)).await?;
        if let Some(page) = digests.iter().find(|file| file.name == "report.html") {
            self.book.event(MetricsReported {
                report: page.name.clone(),
                sha256: page.sha256.clone(),
                values,
            })?;
        }
        self.book.event(ModelCommitted { files: digests })?;
        // nobody keeps results unless all have written theirs who are still there
        client.done().await?;
        staged.commit()?;
        self.book.event(ModelReleased {
            what: "model and report of this bank".into(),
            to: vec![format!("party:{me}")],
        })?;
        self.forget().await
    }
}

/// What the sums of this run were for, where its plan could only assume it.
fn taken(joint: &Joint, fit: &Fitted) -> Taken {
    let sources = joint.design.columns().iter().map(|c| &c.source);
    let flags = sources.filter(|source| matches!(source, Source::MissingFlag { .. }));
    Taken {
        passes: match fit {
            Fitted::Logistic(fit) => fit.passes.into(),
            Fitted::Network(fit) => fit.rounds.into(),
        },
        missing_columns: flags.count() as u64,
        ..Taken::default()
    }
}

/// The joint model's log-odds of this bank's test rows.
fn log_odds(joint: &Joint, fit: &Fitted, bank: &Own) -> Result<Vec<f64>, Abort> {
    let x = joint
        .design
        .transform(&bank.table, &bank.test)
        .map_err(own)?;
    let mut z = fit.log_odds(&x)?;
    if let Some(offset) = bank.offset_of(&bank.test) {
        z.iter_mut().zip(offset).for_each(|(z, o)| *z += o);
    }
    Ok(z)
}
