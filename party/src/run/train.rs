//! What is fitted jointly, by the kind of model, and the scores of the test rows.

use paripassu_job::{
    plan::choose,
    spec::{self, AutoOr, Scores, SolverMethod, Spec, Steps},
};
use paripassu_model::{
    design::{Design, DesignColumn},
    logistic::Sign,
    report::ConvergenceStep,
};
use paripassu_protocol::{
    abort::Abort,
    arith::Engine,
    channel::Role,
    correlation::{CorrelationSource, HelperSource},
    scoring,
    vertical::{
        course::Course,
        hidden::Hidden,
        logistic::{
            self, Chooser, LogisticFit, LogisticInput, LogisticSpec, Method, SolverFacts,
            StandardErrors, Stop,
        },
        network::NetworkFit,
        sgd::{self, SgdFacts, SgdFit},
        stepwise::{Stepwise, train_stepwise},
        tuning::{Penalties, Rule, Tuned, Tuning, stratified},
    },
};
use paripassu_service::{dealing::SEED_LABEL, transport::JobChannel};
use rand::{TryRng, rngs::SysRng};

use super::{
    Prepared, Run, batches, card::Half, going_on::AtParty, network, own, progress::passes, rows,
};

/// What computes on shares.
pub(super) type JobEngine = Engine<JobChannel, HelperSource<JobChannel>>;

/// This party's part of the joint model.
pub(super) enum Fit {
    /// A logistic regression.
    Logistic(Regression),
    /// A network.
    Network(NetworkFit),
}

/// This party's part of a logistic regression.
pub(super) struct Regression {
    /// Coefficients of its standardised columns.
    pub(super) coefficients: Vec<f64>,
    /// The intercept, at party 0.
    pub(super) intercept: Option<f64>,
    /// Standard errors, where asked for.
    pub(super) errors: Option<StandardErrors>,
    /// How it was reached.
    pub(super) reached: Reached,
}

/// How a logistic regression was reached.
pub(super) enum Reached {
    /// By passes over all rows, to the optimum.
    Passes(SolverFacts),
    /// By mini-batches, near it.
    Batches(SgdFacts),
}

impl From<LogisticFit> for Regression {
    fn from(fit: LogisticFit) -> Self {
        Self {
            coefficients: fit.coefficients,
            intercept: fit.intercept,
            errors: fit.errors,
            reached: Reached::Passes(fit.facts),
        }
    }
}

impl From<SgdFit> for Regression {
    fn from(fit: SgdFit) -> Self {
        Self {
            coefficients: fit.coefficients,
            intercept: fit.intercept,
            errors: None,
            reached: Reached::Batches(fit.facts),
        }
    }
}

impl Fit {
    /// The epoch or pass of an aborted job after which training went on; 0 where it began here.
    pub(super) fn resumed(&self) -> u64 {
        match self {
            Self::Logistic(fit) => match &fit.reached {
                Reached::Passes(facts) => facts.resumed.into(),
                Reached::Batches(_) => 0,
            },
            Self::Network(fit) => fit.facts.resumed as u64,
        }
    }

    /// Columns of each party; at position 0 one more.
    pub(super) fn widths(&self) -> &[usize] {
        match self {
            Self::Logistic(fit) => match &fit.reached {
                Reached::Passes(facts) => &facts.widths,
                Reached::Batches(facts) => &facts.widths,
            },
            Self::Network(fit) => &fit.facts.widths,
        }
    }
}

impl Run {
    /// What computes on shares in this job, from the first bin to the last coefficient: no correlation is used
    /// twice.
    pub(super) fn engine(&self) -> Result<JobEngine, Abort> {
        let seed = self
            .channel
            .shared_with(Role::Helper)
            .ok_or_else(|| own("no key is shared with the helper"))?
            .derive(SEED_LABEL);
        let source = HelperSource::new(&self.ctx, &seed)?;
        Engine::new(&self.ctx, source, Box::new(self.book.clone()))
    }

    /// Trains the job's model with the others; where the job asks for points, this party's half of them; passes while
    /// steps are large and at full precision, or epochs.
    pub(super) async fn train(
        &mut self,
        data: &mut Prepared,
        engine: &mut JobEngine,
    ) -> Result<(Fit, Option<Half>, (u64, u64)), Abort> {
        let (fit, half, passes) = match &self.spec().network {
            None if self.spec().solver.method == SolverMethod::Sgd => {
                // nothing is kept of it, which a job that goes on is told
                self.training(data).await?;
                let mut course = Vec::new();
                let fit = self.mini_batches(engine, data, &mut course).await?;
                let made = course.len() as u64;
                self.course = course;
                let half = self.points(data, &fit, engine).await?;
                (Fit::Logistic(fit), half, (made, 0))
            }
            None => {
                let mut kept = self.training(data).await?;
                let mut course = Vec::new();
                let (fit, tuned, scored) = match self.spec().stepwise().cloned() {
                    Some(stepwise) => {
                        let fit = self.steps(engine, &stepwise, data, &mut course).await?;
                        (fit, None, None)
                    }
                    None => match self.spec().reject_inference.clone() {
                        Some(asked) => {
                            let made = self.rejects(engine, &asked, data, &mut course).await?;
                            self.inferred = Some(made.1);
                            (made.0, None, None)
                        }
                        None => {
                            let kept = kept.as_mut();
                            self.logistic(engine, data, kept, &mut course).await?
                        }
                    },
                };
                (self.tuned, self.scored) = (tuned, scored);
                let fine = course.iter().filter(|step| step.fine).count() as u64;
                let passes = (course.len() as u64 - fine, fine);
                self.course = course;
                self.tell_zeros(&fit.coefficients, data);
                let fit = Regression::from(fit);
                let half = self.points(data, &fit, engine).await?;
                (Fit::Logistic(fit), half, passes)
            }
            Some(network) => {
                let spec = network::spec(self.spec(), network)?;
                let fit = self.joint_network(engine, &spec, data).await?;
                let epochs = (fit.facts.epochs - fit.facts.resumed) as u64;
                (Fit::Network(fit), None, (epochs, 0))
            }
        };
        engine.source_mut().done().await?;
        Ok((fit, half, passes))
    }

    /// Fits by mini-batches.
    async fn mini_batches(
        &self,
        engine: &mut JobEngine,
        data: &Prepared,
        course: &mut Vec<ConvergenceStep>,
    ) -> Result<Regression, Abort> {
        let spec = batches::spec(self.spec())?;
        let input = self.input(data);
        let mut pass = passes(self.reporter.clone(), ["passes by mini-batches"; 2], course);
        // all are at one precision
        let mut progress = |done: u32, of: u32, _: bool| pass(done, of, false);
        let fit = sgd::train(engine, &spec, input, &mut progress).await?;
        Ok(fit.into())
    }

    async fn logistic(
        &self,
        engine: &mut JobEngine,
        data: &Prepared,
        kept: Option<&mut AtParty>,
        course: &mut Vec<ConvergenceStep>,
    ) -> Result<(LogisticFit, Option<Tuned>, Option<Vec<f64>>), Abort> {
        let input = self.input(data);
        let names = ["passes", "passes, final precision"];
        let mut progress = passes(self.reporter.clone(), names, course);
        let spec = logistic_spec(self.spec())?;
        if !data.hidden.is_empty() {
            let step = self.spec().outputs.scores.as_ref().map(|s| s.step.value());
            let hidden = Hidden {
                owners: &data.hidden,
                test: data.test.iter().copied().collect(),
                test_rows: data.test.nrows(),
                // a power of two, as the job was checked for
                score_step_log2: step.map(|step| (-step.log2()).round() as u32),
            };
            let made = logistic::train_hidden(engine, &spec, &hidden, input, &mut progress);
            let (fit, scored) = made.await?;
            return Ok((fit, None, scored));
        }
        let Some(tuning) = &self.spec().tuning else {
            let course = kept.map(|kept| kept as &mut dyn Course);
            let fit = logistic::train_on(engine, &spec, input, course, &mut progress).await?;
            return Ok((fit, None, None));
        };
        let tuning = Tuning {
            folds: usize::try_from(tuning.folds).map_err(own)?,
            l2: tuning.l2.iter().map(|l2| l2.value()).collect(),
            l1: tuning.l1.iter().map(|l1| l1.value()).collect(),
            rule: match tuning.rule {
                spec::TuningRule::OneStandardError => Rule::OneStandardError,
                spec::TuningRule::Least => Rule::Least,
            },
        };
        let folds = match &input.label {
            Some(label) => Some(drawn(label, tuning.folds)?),
            None => None,
        };
        let trials = (&tuning, folds);
        let fit = logistic::train_tuned(engine, &spec, trials, input, &mut progress).await;
        fit.map(|(fit, tuned)| (fit, Some(tuned), None))
    }

    pub(super) fn input(&self, data: &Prepared) -> LogisticInput {
        LogisticInput {
            x: data.train.iter().copied().collect(),
            cols: data.train.ncols(),
            rows: data.train.nrows(),
            label: data.train_label.clone(),
            row_weights: data.rows.weights.clone(),
            offset: data.rows.train_offset.clone(),
            signs: self.signs(&data.design),
        }
    }

    /// Fits, lets columns enter and leave one by one, and leaves those out of the data that are not in the model.
    async fn steps(
        &mut self,
        engine: &mut JobEngine,
        asked: &spec::Stepwise,
        data: &mut Prepared,
        course: &mut Vec<ConvergenceStep>,
    ) -> Result<LogisticFit, Abort> {
        let mut progress = passes(self.reporter.clone(), ["passes, steps"; 2], course);
        let stepwise = Stepwise {
            enter: asked.entering(),
            leave: asked.leaving(),
            most: u32::try_from(asked.max_steps).map_err(own)?,
        };
        let (spec, input) = (logistic_spec(self.spec())?, self.input(data));
        let made = train_stepwise(engine, &spec, &stepwise, input, &mut progress);
        let (fit, steps) = made.await?;
        self.stepped = self.step(asked, &steps, engine.me(), data);
        self.taken.stepped = steps.len() as u64;
        Ok(fit)
    }

    /// The penalties that the model is fitted with: the job's, or those that trials chose.
    pub(super) fn penalties(&self) -> Penalties {
        let model = &self.spec().model;
        let tuned = self.tuned.as_ref().and_then(Tuned::penalties);
        tuned.unwrap_or(Penalties {
            l2: model.l2.value(),
            l1: model.l1.value(),
        })
    }

    /// L1 penalty and own signs, where the job holds coefficients.
    pub(super) fn held(&self, design: &Design) -> Option<(f64, Vec<Sign>)> {
        let l1 = self.penalties().l1;
        self.spec().is_held().then(|| (l1, self.signs(design)))
    }

    /// Signs that the coefficients of this party's design columns must have; empty where the job declares none.
    pub(super) fn signs(&self, design: &Design) -> Vec<Sign> {
        let spec = self.spec();
        let seats = spec.seats();
        let seat = self.ctx.role().index().and_then(|at| seats.get(at));
        match (seat, spec.has_signs()) {
            (Some(seat), true) => {
                let sign = |c: &DesignColumn| spec.sign_of(seat.id.as_str(), &c.source);
                design.columns().iter().map(sign).collect()
            }
            _ => Vec::new(),
        }
    }

    /// Log-odds of bad of the test rows, at the label holder.
    pub(super) async fn scores(
        &self,
        data: &Prepared,
        fit: &Fit,
        scores: &Scores,
    ) -> Result<Option<Vec<f64>>, Abort> {
        let fit = match fit {
            Fit::Logistic(fit) => fit,
            // computed and opened on shares, with the weights
            Fit::Network(fit) => return Ok(fit.scores.clone()),
        };
        if !data.hidden.is_empty() {
            // likewise
            let mut scores = self.scored.clone();
            scores
                .iter_mut()
                .for_each(|scores| data.rows.add_offset(scores));
            return Ok(scores);
        }
        let mut parts: Vec<f64> = data
            .test
            .rows()
            .into_iter()
            .map(|row| row.iter().zip(&fit.coefficients).map(|(x, w)| x * w).sum())
            .collect();
        if let Some(b) = fit.intercept {
            parts.iter_mut().for_each(|p| *p += b);
        }
        data.rows.add_offset(&mut parts);
        let mut book = self.book.clone();
        let ctx = self.ctx.narrow("evaluate");
        scoring::joint(&ctx, &mut book, &parts, scores.step.value()).await
    }
}

/// Folds of the training rows, drawn from the system's randomness: the order of rows by a random word each.
fn drawn(label: &[u8], folds: usize) -> Result<Vec<u8>, Abort> {
    let mut order = Vec::with_capacity(label.len());
    for row in 0..label.len() {
        let word = SysRng.try_next_u64();
        let word = word.map_err(|e| own(format!("the system gives no randomness: {e}")))?;
        order.push((word, row));
    }
    order.sort_unstable();
    let order: Vec<usize> = order.into_iter().map(|(_, row)| row).collect();
    Ok(stratified(label, folds, &order))
}

/// What says by sizes how steps are made, where the job leaves that open; and most passes of Newton's.
fn chooser(spec: &Spec) -> Result<Option<(Chooser, u32)>, Abort> {
    if spec.solver.method != SolverMethod::Auto || !spec.needs_a_hessian().is_empty() {
        return Ok(None);
    }
    let newton = u32::try_from(spec.solver.most_passes(Steps::Newton)).map_err(own)?;
    let of = spec.clone();
    let rule = move |rows: usize, widths: &[usize]| match choose(
        &of,
        rows as u64,
        &design_columns(widths),
    )
    .steps
    {
        // mini-batches are never chosen
        Steps::Newton | Steps::Sgd => Method::Newton,
        Steps::Accelerated => Method::Accelerated,
    };
    Ok(Some((Chooser::new(rule), newton)))
}

/// Design columns of each party, of widths that have the intercept with the first.
pub(super) fn design_columns(widths: &[usize]) -> Vec<u64> {
    let all = widths.iter().enumerate();
    let columns = all.map(|(p, width)| width.saturating_sub(usize::from(p == 0)) as u64);
    columns.collect()
}

pub(super) fn logistic_spec(spec: &Spec) -> Result<LogisticSpec, Abort> {
    let is = |v: AutoOr| match v {
        AutoOr::Auto => None,
        AutoOr::Is(n) => Some(n),
    };
    // of Newton's steps, which have fewer passes, where these are the only ones there can be
    let max_passes = match (spec.solver.method, spec.needs_a_hessian().is_empty()) {
        (SolverMethod::Auto, false) => spec.solver.most_passes(Steps::Newton),
        _ => spec.solver.max_passes,
    };
    let max_passes = u32::try_from(max_passes).map_err(own)?;
    Ok(LogisticSpec {
        l2: spec.model.l2.value(),
        l1: spec.model.l1.value(),
        signs: spec.has_signs(),
        tolerance: spec.solver.tolerance.value(),
        max_passes,
        method: match spec.solver.method {
            SolverMethod::Newton | SolverMethod::Auto => Method::Newton,
            SolverMethod::Accelerated => Method::Accelerated,
            SolverMethod::Sgd => return Err(own("mini-batches have parameters of their own")),
        },
        chooser: chooser(spec)?,
        stop: match spec.solver.stop {
            spec::Stop::Bit => Stop::Bit,
            spec::Stop::Fixed => Stop::After(max_passes),
        },
        range_log2: is(spec.solver.range).map(u32::ilog2),
        terms: is(spec.solver.terms).map(|n| n as usize),
        hessian_rows: is(spec.solver.hessian_rows).map(|n| n as usize),
        standard_errors: spec.outputs.standard_errors,
        row_weights: rows::declared(spec)?,
    })
}
