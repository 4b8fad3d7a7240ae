//! Logistic regression over columns of several parties: parameters, result, and the order of attempts.

pub use paripassu_model::logistic::Sign;

use super::{
    attempts::settle_along,
    course::Course,
    hidden::Hidden,
    kept::Along,
    points::Points,
    run::Run,
    tuning::{Tuned, Tuning, with_first},
};
pub use super::{
    method::{Chooser, Method},
    row_weights::{LARGEST_OFFSET, RowWeights},
};
use crate::{abort::Abort, arith::Engine, channel::Channel, codec, correlation::CorrelationSource};

/// When training stops.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stop {
    /// When a pass's step is below the tolerance: one bit opened per pass.
    Bit,
    /// After this many passes: one bit opened at the end, which must say that it settled.
    After(u32),
}

/// The public parameters of a training run, equal at all parties.
#[derive(Debug, Clone, PartialEq)]
pub struct LogisticSpec {
    /// Ridge on the standardised scale; the intercept is not penalised.
    pub l2: f64,
    /// Weight of the sum of magnitudes of coefficients, on the same scale; 0: none. From 0 to 1e6.
    pub l1: f64,
    /// Whether parties may have given signs to coefficients of their columns.
    pub signs: bool,
    /// Largest step of a standardised coefficient at which training has settled.
    pub tolerance: f64,
    /// Passes allowed per range.
    pub max_passes: u32,
    /// How steps are made.
    pub method: Method,
    /// What says so instead, where it hangs on sizes that are not known before; Newton's steps then take at most so many
    /// passes per range.
    pub chooser: Option<(Chooser, u32)>,
    /// When to stop.
    pub stop: Stop,
    /// log2 of the sigmoid's range, or the smallest of 4, 5, 6 that holds.
    pub range_log2: Option<u32>,
    /// Sine terms of the last passes; by default what makes the series exact to 3e-6 (5e-5 at R = 8).
    pub terms: Option<usize>,
    /// Rows that the Hessian of the first range is made of; by default at least 32,768 or 64 a
    /// column. Further ranges use all rows.
    pub hessian_rows: Option<usize>,
    /// Whether each party learns the standard errors of its own coefficients.
    pub standard_errors: bool,
    /// Who holds weights of rows, in the order of the parties; nobody: all rows count 1.
    pub row_weights: Vec<RowWeights>,
}

impl Default for LogisticSpec {
    fn default() -> Self {
        Self {
            l2: 1.0,
            l1: 0.0,
            signs: false,
            tolerance: 2e-5,
            max_passes: 24,
            method: Method::Newton,
            chooser: None,
            stop: Stop::Bit,
            range_log2: None,
            terms: None,
            hessian_rows: None,
            standard_errors: false,
            row_weights: Vec::new(),
        }
    }
}

impl LogisticSpec {
    /// Ranges of the sigmoid that are tried, as log2, narrowest first.
    pub(super) fn ranges(&self) -> Vec<u32> {
        match self.range_log2 {
            Some(r) => vec![r],
            None => vec![4, 5, 6],
        }
    }

    /// Whether a penalty or signs hold coefficients, so that steps are proximal.
    pub(super) fn is_held(&self) -> bool {
        self.l1 != 0.0 || self.signs
    }

    pub(super) fn check(&self, signs: &[Sign]) -> Result<(), Abort> {
        if !signs.is_empty() && !self.signs {
            return Err(Abort::Input(
                "signs of columns that the job does not declare".into(),
            ));
        }
        if !(0.0..=1e6).contains(&self.l1) {
            return Err(Abort::Input(format!(
                "an L1 penalty of {}: from 0 to 1000000",
                self.l1
            )));
        }
        self.check_method()?;
        if self.is_held() && self.standard_errors {
            return Err(Abort::Input(
                "standard errors are not defined where an L1 penalty or signs hold coefficients"
                    .into(),
            ));
        }
        Ok(())
    }

    fn check_method(&self) -> Result<(), Abort> {
        if self.method == Method::Accelerated && (self.is_held() || self.standard_errors) {
            return Err(Abort::Input(
                "accelerated steps make no Hessian, which standard errors, an L1 penalty, signs and columns that enter \
                 or leave need: take Newton's steps"
                    .into(),
            ));
        }
        Ok(())
    }

    /// The same once sizes are known: how steps are made no longer hangs on them.
    pub(super) fn at(&self, rows: usize, widths: &[usize]) -> Result<Self, Abort> {
        let mut spec = self.clone();
        if let Some((chooser, newton)) = spec.chooser.take() {
            spec.method = chooser.of(rows, widths);
            if spec.method == Method::Newton {
                spec.max_passes = spec.max_passes.min(newton);
            }
            spec.check_method()?;
        }
        Ok(spec)
    }

    /// Weights of rows in trials: those of party 0 say which rows count.
    pub(super) fn row_weights_in_trials(&self) -> Vec<RowWeights> {
        with_first(&self.row_weights)
    }
}

/// Least number of training rows per design column of any party.
pub const ROWS_PER_COLUMN: usize = 10;

/// One party's input: rows in the aligned order, equal at all parties.
pub struct LogisticInput {
    /// Standardised columns, row-major `[rows, cols]`.
    pub x: Vec<f64>,
    /// Number of columns.
    pub cols: usize,
    /// Rows.
    pub rows: usize,
    /// The label, 1 = bad, at party 0 only.
    pub label: Option<Vec<u8>>,
    /// This party's weights of the rows, where [`LogisticSpec::row_weights`] names it.
    pub row_weights: Option<Vec<f64>>,
    /// Log-odds added to each row's score, at party 0 only.
    pub offset: Option<Vec<f64>>,
    /// Signs of the coefficients of this party's columns, one each; empty: all free.
    pub signs: Vec<Sign>,
}

impl LogisticInput {
    /// The same with these of its columns alone, or all.
    pub(super) fn with_columns(&self, places: Option<&[usize]>) -> Result<Self, Abort> {
        if self.x.len() != self.rows * self.cols {
            return Err(Abort::Input("design matrix and its sizes disagree".into()));
        }
        let all: Vec<usize> = (0..self.cols).collect();
        let places = places.unwrap_or(&all);
        let pick = |row: &[f64]| places.iter().map(|j| row[*j]).collect::<Vec<f64>>();
        let rows = self.x.chunks_exact(self.cols.max(1));
        Ok(Self {
            x: rows.flat_map(pick).collect(),
            cols: places.len(),
            rows: self.rows,
            label: self.label.clone(),
            row_weights: self.row_weights.clone(),
            offset: self.offset.clone(),
            signs: Vec::new(),
        })
    }
}

impl std::fmt::Debug for LogisticInput {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "LogisticInput({} x {})", self.rows, self.cols)
    }
}

/// One party's part of the model, and how it was reached.
#[derive(Clone, PartialEq)]
pub struct LogisticFit {
    /// Coefficients of this party's standardised columns.
    pub coefficients: Vec<f64>,
    /// The intercept, at party 0.
    pub intercept: Option<f64>,
    /// Standard errors, where asked for.
    pub errors: Option<StandardErrors>,
    /// How it was reached: equal at all parties.
    pub facts: SolverFacts,
}

impl std::fmt::Debug for StandardErrors {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "StandardErrors(<{}>)", self.columns.len())
    }
}

/// Standard errors of one party's coefficients: square roots of the diagonal of the inverse Hessian at the
/// optimum, ridge included. Where Hessians are made of a sample of m rows they are right to about `1/sqrt(m)`.
#[derive(Clone, PartialEq)]
pub struct StandardErrors {
    /// Of the coefficients of this party's standardised columns.
    pub columns: Vec<f64>,
    /// Of the intercept, at party 0.
    pub intercept: Option<f64>,
}

impl std::fmt::Debug for LogisticFit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "LogisticFit(<{} coefficients>, {:?})",
            self.coefficients.len(),
            self.facts
        )
    }
}

/// How a fit was reached.
#[derive(Debug, Clone, PartialEq)]
pub struct SolverFacts {
    /// How steps were made.
    pub method: Method,
    /// Passes made, all ranges together.
    pub passes: u32,
    /// The pass of an aborted job after which training went on; 0 where it began here.
    pub resumed: u32,
    /// Hessians made in this job: none of accelerated steps.
    pub hessians: u32,
    /// Rows of each Hessian.
    pub hessian_rows: usize,
    /// The sigmoid's range.
    pub range: f64,
    /// Sine terms of the last passes.
    pub terms: usize,
    /// Largest error of the sigmoid within its range.
    pub sigmoid_error: f64,
    /// Binary points.
    pub points: Points,
    /// Columns of each party, the intercept included.
    pub widths: Vec<usize>,
}

/// Told after each pass: passes made, passes allowed, and whether the final precision is reached.
pub trait Progress: Send {
    /// A pass is done.
    fn pass(&mut self, done: u32, of: u32, fine: bool);
}

impl<F: FnMut(u32, u32, bool) + Send> Progress for F {
    fn pass(&mut self, done: u32, of: u32, fine: bool) {
        self(done, of, fine);
    }
}

/// Trains jointly. See the module for what each party learns.
///
/// # Leakage
/// Rows and widths; the openings `Converged`, `RangeExceeded`, `Coefficients`, and `StandardErrors` where
/// asked for.
///
/// # Errors
/// The channel's, the ledger's; input that cannot be used; a fit that does not settle or whose
/// scores leave the widest range.
pub async fn train<C: Channel, S: CorrelationSource>(
    engine: &mut Engine<C, S>,
    spec: &LogisticSpec,
    input: LogisticInput,
    progress: &mut dyn Progress,
) -> Result<LogisticFit, Abort> {
    train_on(engine, spec, input, None, progress).await
}

/// The same, with its states kept after passes (Newton's steps each but the last, accelerated ones every fourth), from where an aborted
/// job was ended; see [`course`](super::course).
///
/// # Leakage
/// As of [`train()`](fn@train), and where it goes on with an aborted job the opening `HeldPoints`.
///
/// # Errors
/// As of [`train()`](fn@train); the course's; a state that is of another kind than the job.
pub async fn train_on<'a, C: Channel, S: CorrelationSource>(
    engine: &mut Engine<C, S>,
    spec: &LogisticSpec,
    input: LogisticInput,
    course: Option<&'a mut dyn Course>,
    progress: &'a mut dyn Progress,
) -> Result<LogisticFit, Abort> {
    let along = Along { progress, course };
    let (fit, ..) = train_all(engine, spec, None, input, None, along).await?;
    Ok(fit)
}

/// As [`train()`](fn@train), where some parties' columns are hidden: at party 0 also the scores of the test rows, where
/// asked for.
///
/// # Leakage
/// As of training, without `Coefficients` and `StandardErrors` of hidden columns; and `Scores`.
///
/// # Errors
/// As of training; or columns of another shape.
pub async fn train_hidden<C: Channel, S: CorrelationSource>(
    engine: &mut Engine<C, S>,
    spec: &LogisticSpec,
    hidden: &Hidden<'_>,
    input: LogisticInput,
    progress: &mut dyn Progress,
) -> Result<(LogisticFit, Option<Vec<f64>>), Abort> {
    let along = Along::unkept(progress);
    let (fit, _, scores) = train_all(engine, spec, None, input, Some(hidden), along).await?;
    Ok((fit, scores))
}

/// As [`train()`](fn@train), with the penalties that trials choose; `folds` says at party 0 in which fold each row is left out
/// ([`stratified`](super::tuning::stratified)).
///
/// # Leakage
/// As of training, for each trial; and the openings `TrialLoss`, and `TrialColumns` where L1 penalties are tried.
///
/// # Errors
/// As of training, in any trial.
pub async fn train_tuned<C: Channel, S: CorrelationSource>(
    engine: &mut Engine<C, S>,
    spec: &LogisticSpec,
    (tuning, folds): (&Tuning, Option<Vec<u8>>),
    input: LogisticInput,
    progress: &mut dyn Progress,
) -> Result<(LogisticFit, Tuned), Abort> {
    let tuning = Some((tuning, folds));
    match train_all(engine, spec, tuning, input, None, Along::unkept(progress)).await? {
        (fit, Some(tuned), _) => Ok((fit, tuned)),
        (_, None, _) => Err(Abort::Input("no trials were made".into())),
    }
}

async fn train_all<C: Channel, S: CorrelationSource>(
    engine: &mut Engine<C, S>,
    spec: &LogisticSpec,
    tuning: Option<(&Tuning, Option<Vec<u8>>)>,
    input: LogisticInput,
    hidden: Option<&Hidden<'_>>,
    mut along: Along<'_>,
) -> Result<(LogisticFit, Option<Tuned>, Option<Vec<f64>>), Abort> {
    engine.step("train/shapes");
    let me = engine.me();
    let mut input = input;
    // columns are whitened for the largest ridge, and steps are proximal if any of them must be
    let mut spec = spec.clone();
    if let Some((tuning, _)) = &tuning {
        tuning.check(spec.l1)?;
        let largest = |of: &[f64]| of.iter().copied().fold(0.0, f64::max);
        spec.l2 = largest(&tuning.l2);
        if tuning.is_path() {
            spec.l1 = largest(&tuning.l1);
        }
    }
    let spec = &spec;
    spec.check(&input.signs)?;
    if hidden.is_some() && spec.is_held() {
        return Err(Abort::Input(
            "an L1 penalty or signs hold no coefficients of hidden columns: leave them out".into(),
        ));
    }
    let newton = spec.method == Method::Newton && spec.chooser.is_none();
    if hidden.is_some() && !newton {
        return Err(Abort::Input(
            "accelerated steps need columns that their owners have whitened, which hidden ones are not: take Newton's steps"
                .into(),
        ));
    }
    if input.x.len() != input.rows * input.cols {
        return Err(Abort::Input("design matrix and its sizes disagree".into()));
    }
    let label = label_words(me, input.rows, input.label.take())?;
    let weights = input.row_weights.clone();
    let owners = hidden.map_or(&[][..], |hidden| hidden.owners);
    let mut run = Run::prepare(engine, spec, input, label, owners, "train/features").await?;
    let tuned = match tuning {
        Some((tuning, folds)) => {
            let progress = &mut *along.progress;
            Some(run.tune(engine, tuning, folds, weights, progress).await?)
        }
        None => None,
    };
    let mut start = None;
    if let Some(course) = along.course.as_deref_mut() {
        start = run.go_on(engine, course).await?;
    }
    let before = tuned.as_ref().map_or(0, |t| t.passes);
    // passes of narrower ranges, where an aborted job has made some
    let behind = start.as_ref().and_then(|start| start.behind.as_ref());
    let (resumed, narrower) = behind.map_or((0, 0), |b| (b.pass, b.pass - b.made));
    let (mut passes, mut hessians) = (before + narrower, 0);
    let counts = (&mut passes, &mut hessians);
    let attempt = settle_along(&mut run, engine, counts, start.as_ref(), &mut along).await?;
    let mut facts = run.facts(&attempt, hessians)?;
    facts.passes -= before;
    facts.resumed = resumed;
    let fit = run.release(engine, &attempt, facts).await?;
    let scores = match hidden {
        Some(hidden) => {
            let weights = (&attempt.weights[..], &attempt.short[..]);
            run.scores(engine, weights, &fit, hidden).await?
        }
        None => None,
    };
    Ok((fit, tuned, scores))
}

/// The label of so many rows, checked: party 0 gives it, and nobody else.
pub(super) fn label_words(
    me: usize,
    rows: usize,
    label: Option<Vec<u8>>,
) -> Result<Option<Vec<u8>>, Abort> {
    if rows == 0 {
        return Err(Abort::Input("no training rows".into()));
    }
    match (me, label) {
        (0, Some(y)) if y.len() == rows && y.iter().all(|y| *y <= 1) => {
            if y.iter().all(|v| *v == y[0]) {
                return Err(Abort::Input(
                    "all training rows have the same label: nothing can be learnt".into(),
                ));
            }
            Ok(Some(y))
        }
        (0, _) => Err(Abort::Input(
            "party 0 gives one label, 0 or 1, per row".into(),
        )),
        (_, None) => Ok(None),
        (_, Some(_)) => Err(Abort::Input("only party 0 gives the label".into())),
    }
}

/// Exchanges rows and widths: all must see the same rows.
pub(super) async fn widths<C: Channel, S>(
    engine: &mut Engine<C, S>,
    rows: usize,
    cols: usize,
) -> Result<Vec<usize>, Abort> {
    let ctx = engine.at_step().clone();
    let got = ctx
        .broadcast("shape", codec::put_words(&[rows as u64, cols as u64]))
        .await?;
    let mut all = vec![0; engine.parties()];
    all[engine.me()] = cols;
    for (from, body) in ctx.peers().zip(got) {
        let shape = codec::take_words(&body, 2, from, ctx.path())?;
        let (theirs, cols) = (shape[0], shape[1]);
        if theirs != rows as u64 {
            return Err(Abort::Disagreement {
                from,
                step: ctx.path().to_owned(),
                problem: format!("it has {theirs} training rows, this party {rows}"),
            });
        }
        let i = from.index().unwrap_or_default();
        all[i] = usize::try_from(cols)
            .ok()
            .filter(|c| *c <= 4096)
            .ok_or_else(|| Abort::Malformed {
                from,
                step: ctx.path().to_owned(),
                problem: format!("{cols} design columns; at most 4096 are supported"),
            })?;
    }
    // with about as many columns as rows, a party's own coefficients would tell it the labels
    let widest = all.iter().copied().max().unwrap_or(0);
    if rows < ROWS_PER_COLUMN * widest {
        return Err(Abort::Input(format!(
            "{rows} training rows for {widest} design columns of one party: its coefficients would \
             say much about single labels; at least {ROWS_PER_COLUMN} rows a column are needed: match \
             more customers or use fewer columns"
        )));
    }
    Ok(all)
}
