//! A training run: batches, epochs, which weights to take, release.

use std::sync::Arc;

use paripassu_crypto::{fixed, share::Shares};
use zeroize::Zeroizing;

use super::{
    Dense, EDGE, Hidden, NetworkFacts, NetworkFit, NetworkInput, NetworkSpec,
    course::Best,
    points,
    public::{Public, batch_sizes},
    range::Looked,
    step::{Batch, Drops, Layers, Weights},
};
use crate::{
    abort::Abort,
    arith::{Engine, Opening, Receivers},
    channel::Channel,
    compute::offload,
    correlation::CorrelationSource,
    vertical::{
        course::Course,
        logistic::{Progress, label_words, widths},
        row_weights::{self, Scale, WEIGHT},
    },
};

/// Rows at a time that are only looked at.
const ROWS: usize = 2048;

/// The one result that was asked for.
pub(super) fn one(all: Vec<Shares>) -> Result<Shares, Abort> {
    let none = || Abort::Input("a gate without a result".into());
    all.into_iter().next().ok_or_else(none)
}

/// What stays the same, and how far training has come.
pub(super) struct Run {
    spec: NetworkSpec,
    public: Public,
    layers: Layers,
    batches: Vec<Batch>,
    validation: Vec<Batch>,
    test: Vec<Batch>,
    /// Rows of the shortest batch.
    shortest: usize,
    facts: NetworkFacts,
}

/// This party's columns, in fixed point, rows in the order in which they are cut.
struct Columns {
    words: Arc<Zeroizing<Vec<i32>>>,
    label: Option<Vec<u8>>,
    /// Weights of rows, where this party holds some.
    weights: Option<Zeroizing<Vec<i32>>>,
}

impl Run {
    pub(super) async fn prepare<C: Channel, S: CorrelationSource>(
        engine: &mut Engine<C, S>,
        spec: &NetworkSpec,
        mut input: NetworkInput,
    ) -> Result<Self, Abort> {
        let me = engine.me();
        if input.x.len() != input.rows * input.cols
            || input.test.len() != input.test_rows * input.cols
        {
            return Err(Abort::Input("design matrix and its sizes disagree".into()));
        }
        let label = label_words(me, input.rows, input.label.take())?;
        let (declared, given) = (&spec.row_weights, input.row_weights.take());
        let scale = Scale::unit(declared)?;
        let weights = row_weights::own(declared, scale, me, input.rows, given)?;
        let ones = usize::from(me == 0);
        let widths = widths(engine, input.rows, input.cols + ones).await?;
        row_weights::check_enough(weights.as_deref(), &widths)?;
        let public = Public::new(spec.seed);
        let order = public.rows(input.rows);
        let watched = input.rows * spec.validation_tenths / 10;
        let NetworkInput {
            x,
            cols,
            test,
            test_rows,
            rows,
            ..
        } = input;
        let (train, test) = offload(move || {
            let train = Columns {
                words: encoded(&x, cols, ones, order.iter().copied())?,
                label: label.map(|y| order.iter().map(|i| y[*i]).collect()),
                weights: match weights {
                    Some(weights) => {
                        let word = |i: &usize| fixed::encode_i32(weights[*i], WEIGHT);
                        let words: Result<_, _> = order.iter().map(word).collect();
                        let words =
                            words.map_err(|e| Abort::Input(format!("weights of rows: {e}")));
                        Some(Zeroizing::new(words?))
                    }
                    None => None,
                },
            };
            let test = Columns {
                words: encoded(&test, cols, ones, 0..test_rows)?,
                label: None,
                weights: None,
            };
            Ok::<_, Abort>((train, test))
        })
        .await?;
        let sizes = batch_sizes(rows - watched, spec.batch);
        let smallest = sizes.iter().copied().min().unwrap_or(0);
        if smallest == 0 {
            return Err(Abort::Input("no rows to train on".into()));
        }
        points::check_rate(spec, spec.hidden.len() + 1, smallest)?;
        engine.step("train/features");
        let looked_at = |rows: usize| batch_sizes(rows, ROWS).into_iter().filter(|n| *n > 0);
        let held: Vec<usize> = declared.iter().map(|w| w.party.into()).collect();
        let both = (&widths[..], &held[..]);
        let validation = register(engine, both, &train, 0, looked_at(watched)).await?;
        let batches = register(engine, both, &train, watched, sizes.iter().copied()).await?;
        drop(train);
        let scored = spec.score_step_log2.map_or(0, |_| test_rows);
        let test = register(engine, (&widths, &[]), &test, 0, looked_at(scored)).await?;
        let layers = Layers::new(spec, &public, &widths, me)?;
        let facts = NetworkFacts {
            epochs: 0,
            best: 0,
            resumed: 0,
            batches: batches.len(),
            train_rows: rows - watched,
            validation_rows: watched,
            widths,
            activation: spec.activation,
            weight_bits: points::layer(0, spec.hidden.len() + 1, spec.activation).weight,
            series_errors: layers.series_errors(),
        };
        Ok(Self {
            spec: spec.clone(),
            public,
            layers,
            batches,
            validation,
            test,
            shortest: smallest,
            facts,
        })
    }

    /// Trains until all epochs are made, or the loss on the validation rows falls no more.
    pub(super) async fn epochs<C: Channel, S: CorrelationSource>(
        &mut self,
        engine: &mut Engine<C, S>,
        mut course: Option<&mut dyn Course>,
        progress: &mut dyn Progress,
    ) -> Result<(), Abort> {
        let spec = self.spec.clone();
        let unit = points::weight_unit(&spec);
        let count = self.batches.len();
        let all = spec.epochs * count;
        let mut best: Best = None;
        if let Some(course) = course.as_deref_mut() {
            best = self.go_on(engine, course).await?;
        }
        for epoch in self.facts.epochs + 1..=spec.epochs {
            // the loss on the watched rows falls no more
            if spec.patience > 0 && epoch - 1 - self.facts.best >= spec.patience {
                break;
            }
            engine.step(format_args!("train/epoch-{epoch}"));
            let order = self.public.batches(epoch, count);
            let mut looked = Looked::default();
            if let Some(first) = order.first() {
                let batch = &self.batches[*first];
                self.layers.prefetch(engine, batch).await?;
            }
            for (i, b) in order.iter().copied().enumerate() {
                if let Some(next) = order.get(i + 1) {
                    let batch = &self.batches[*next];
                    self.layers.prefetch(engine, batch).await?;
                }
                let t = (epoch - 1) * count + i;
                let rate = spec.rate * unit * spec.schedule.factor(t, all);
                let drops = Drops {
                    public: &self.public,
                    batch: t,
                };
                let last = i + 1 == count;
                if last {
                    let epoch = shown(epoch);
                    let within = Opening::WithinRange { epoch };
                    match self.validation.is_empty() {
                        true => engine.foresee(&[within])?,
                        false => engine.foresee(&[within, Opening::Improved { epoch }])?,
                    }
                    looked = Looked::at(self.shortest);
                }
                let rates = (rate, spec.momentum);
                let batch = &self.batches[b];
                self.layers
                    .step(engine, batch, drops, rates, &mut looked)
                    .await?;
                progress.pass(shown(t + 1), shown(all), false);
            }
            let factor = spec.schedule.factor((epoch - 1) * count, all);
            let (_, part) = points::decay(&spec, factor, count, self.facts.train_rows);
            if part > 0 {
                self.layers.decay(engine, part).await?;
            }
            self.layers.look(&mut looked);
            let opening = Opening::WithinRange {
                epoch: shown(epoch),
            };
            if !looked.is_within(engine, opening).await? {
                return Err(left_range(epoch, spec.epochs));
            }
            self.facts.epochs = epoch;
            if self.validation.is_empty() || self.improves(engine, &mut best).await? {
                self.facts.best = epoch;
            }
            if let Some(course) = course.as_deref_mut() {
                self.keep(engine, course, &best).await?;
            }
        }
        if let Some((_, kept)) = best {
            self.layers.take_back(kept);
        }
        Ok(())
    }

    /// Whether the loss on the watched rows is the least so far; if so, takes it and the weights as the best.
    async fn improves<C: Channel, S: CorrelationSource>(
        &self,
        engine: &mut Engine<C, S>,
        best: &mut Best,
    ) -> Result<bool, Abort> {
        let loss = self.watched_loss(engine).await?;
        let better = match best {
            None => true,
            Some((least, _)) => {
                let mut less = loss.duplicate();
                less.sub(least);
                let epoch = shown(self.facts.epochs);
                engine
                    .all_negative(&less, Opening::Improved { epoch })
                    .await?
            }
        };
        if better {
            *best = Some((loss, self.layers.kept()));
        }
        Ok(better)
    }

    /// The last epoch, the best one, and batches so far.
    pub(super) fn made(&self) -> (u32, u64, u64) {
        let steps = self.facts.epochs * self.batches.len();
        (
            shown(self.facts.epochs),
            self.facts.best as u64,
            steps as u64,
        )
    }

    pub(super) fn layers_mut(&mut self) -> &mut Layers {
        &mut self.layers
    }

    /// Goes on after this epoch, with this one as the best; false where there is no such one.
    pub(super) fn goes_on_after(&mut self, epoch: u32, best: u64) -> bool {
        let (epoch, best) = (epoch as usize, best as usize);
        self.facts.epochs = epoch;
        self.facts.resumed = epoch;
        self.facts.best = best;
        (1..=self.spec.epochs).contains(&epoch) && (1..=epoch).contains(&best)
    }

    /// Sum of squared residuals over the validation rows, by their weights.
    async fn watched_loss<C: Channel, S: CorrelationSource>(
        &self,
        engine: &mut Engine<C, S>,
    ) -> Result<Shares, Abort> {
        let mut total = Shares::zeros(1, 2 * points::DELTA);
        for batch in &self.validation {
            let nothing = &mut Looked::default();
            let scores = self.layers.scores(engine, batch, nothing).await?;
            let r = self.layers.residuals(engine, batch, &scores).await?;
            let v = self.layers.weighed(engine, batch, r.duplicate()).await?;
            total.add(&engine.matmul(&v, &r, 1, batch.rows, 1).await?);
        }
        Ok(total)
    }

    /// Opens to each party its own part, and the scores to party 0.
    pub(super) async fn release<C: Channel, S: CorrelationSource>(
        self,
        engine: &mut Engine<C, S>,
    ) -> Result<NetworkFit, Abort> {
        let step = self.spec.score_step_log2;
        let mut scores = None;
        if let Some(step) = step {
            engine.step("train/test-rows");
            // of the other activation the last layer's weights bound every score
            let rectified = self.spec.activation == Hidden::Relu;
            if rectified {
                engine.announce(Opening::RangeExceeded, Receivers::All, 1)?;
            }
            let (mut words, mut looked) = (Vec::new(), Vec::new());
            for batch in &self.test {
                let mut all = Looked::at(if rectified { batch.rows } else { 0 });
                let z = self.layers.scores(engine, batch, &mut all).await?;
                looked.push(all);
                words.extend(one(engine.truncate(vec![(z, step)]).await?)?.into_words());
            }
            if rectified {
                let all = Looked::joined(looked);
                if !all.is_within(engine, Opening::RangeExceeded).await? {
                    return Err(diverged(
                        engine.path(),
                        &format!(
                            "sums before rectifiers or scores of test rows are beyond the {} and {} that are exact",
                            points::LARGEST_RELU,
                            points::LARGEST_SCORE
                        ),
                    ));
                }
            }
            scores = Some(Shares::new(words, step));
        }
        engine.step("release/coefficients");
        let Layers { first, further, .. } = self.layers;
        let me = engine.me();
        let mut mine = Vec::new();
        let outputs = first.first().map_or(1, |w| w.outputs);
        let mut shapes = Vec::new();
        let mut further = Some(further);
        for (p, block) in first.into_iter().enumerate() {
            let mut words = vec![block.words];
            if p == 0 {
                let further = further.take().unwrap_or_default();
                shapes = further.iter().map(|w| w.outputs).collect();
                words.extend(further.into_iter().map(|w: Weights| w.words));
            }
            let fracs: Vec<(usize, u32)> = words.iter().map(|w| (w.len(), w.frac())).collect();
            let all: Vec<u64> = words.iter().flat_map(|w| w.words().to_vec()).collect();
            let opening = Opening::Coefficients { party: p as u8 };
            let to = Receivers::One(p as u8);
            let opened = engine.open(Shares::new(all, 0), opening, to).await?;
            if p == me {
                let mut rest = &opened[..];
                for (len, frac) in fracs {
                    let (head, tail) = rest.split_at(len);
                    rest = tail;
                    mine.push(head.iter().map(|w| fixed::decode(*w, frac)).collect());
                }
            }
        }
        let mut mine: Vec<Vec<f64>> = mine;
        if mine.iter().flatten().any(|w| w.abs() > points::LARGEST) {
            return Err(diverged(
                engine.path(),
                "weights of this party's columns left the range of the fixed point",
            ));
        }
        let further = mine.split_off(1.min(mine.len()));
        let mut weights = mine.pop().unwrap_or_default();
        let biases = match me {
            0 => weights.drain(..outputs).collect(),
            _ => Vec::new(),
        };
        let first = Dense {
            weights,
            biases,
            outputs,
        };
        let further: Vec<Dense> = further
            .into_iter()
            .zip(shapes)
            .map(|(mut weights, outputs)| {
                let biases = weights.split_off(weights.len() - outputs);
                Dense {
                    weights,
                    biases,
                    outputs,
                }
            })
            .collect();
        if me == 0 && self.spec.activation == Hidden::Tanh {
            within_range(engine.path(), &further)?;
        }
        let mut opened = None;
        if let (Some(scores), Some(step)) = (scores, step) {
            engine.step("evaluate/scores");
            let words = engine
                .open(scores, Opening::Scores, Receivers::One(0))
                .await?;
            if me == 0 {
                opened = Some(words.iter().map(|w| fixed::decode(*w, step)).collect());
            }
        }
        Ok(NetworkFit {
            first,
            further,
            scores: opened,
            facts: self.facts,
        })
    }
}

fn shown(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}

fn diverged(step: &str, problem: &str) -> Abort {
    Abort::OutOfRange {
        step: step.into(),
        problem: format!(
            "{problem}: training diverged; lower network.rate or network.momentum, raise model.l2, or take fewer epochs"
        ),
    }
}

fn left_range(epoch: usize, of: usize) -> Abort {
    diverged(
        &format!("train/epoch-{epoch}"),
        &format!(
            "in epoch {epoch} of {of} weights, steps, derivatives or scores left the range of the fixed point"
        ),
    )
}

/// Whether the released weights keep every score within the range of the output's series.
fn within_range(step: &str, further: &[Dense]) -> Result<(), Abort> {
    let Some(last) = further.last() else {
        return Err(Abort::Input("a network without hidden layers".into()));
    };
    let weights: f64 = last.weights.iter().map(|w| w.abs()).sum();
    let biases: f64 = last.biases.iter().map(|b| b.abs()).sum();
    match weights * points::LARGEST_ACTIVATION + biases {
        sum if sum <= points::LARGEST_SCORE => Ok(()),
        sum => Err(diverged(
            step,
            &format!(
                "with its last layer scores may reach {sum:.0}, beyond the {} that are exact",
                points::LARGEST_SCORE
            ),
        )),
    }
}

/// Rows in fixed point, each beginning with a one where `ones` says so.
fn encoded(
    x: &[f64],
    cols: usize,
    ones: usize,
    order: impl ExactSizeIterator<Item = usize>,
) -> Result<Arc<Zeroizing<Vec<i32>>>, Abort> {
    let mut words = Zeroizing::new(Vec::with_capacity(order.len() * (cols + ones)));
    for i in order {
        words.extend(std::iter::repeat_n(1 << points::FEATURE, ones));
        for v in &x[i * cols..(i + 1) * cols] {
            let v = fixed::encode_i32(v.clamp(-EDGE, EDGE), points::FEATURE);
            words.push(v.map_err(|e| Abort::Input(format!("a column's value: {e}")))?);
        }
    }
    Ok(Arc::new(words))
}

/// Masked columns of all parties for consecutive rows from `start` on, and the weights of rows that some hold.
async fn register<C: Channel, S: CorrelationSource>(
    engine: &mut Engine<C, S>,
    (widths, held): (&[usize], &[usize]),
    mine: &Columns,
    start: usize,
    sizes: impl Iterator<Item = usize>,
) -> Result<Vec<Batch>, Abort> {
    let me = engine.me();
    let own = widths.get(me).copied().unwrap_or(0);
    let mut batches = Vec::new();
    let mut at = start;
    for rows in sizes {
        let mut columns = Vec::with_capacity(widths.len());
        for (p, width) in widths.iter().enumerate() {
            let block = (p == me).then(|| mine.words[at * own..(at + rows) * own].to_vec());
            let matrix = engine.register(p, rows, *width, points::FEATURE, block);
            columns.push(matrix.await?);
        }
        let mut weights = Vec::with_capacity(held.len());
        for p in held {
            let block = mine.weights.as_ref().filter(|_| *p == me);
            let block = block.map(|words| words[at..at + rows].to_vec());
            weights.push(engine.register(*p, rows, 1, WEIGHT, block).await?);
        }
        let label = match &mine.label {
            Some(y) => y[at..at + rows]
                .iter()
                .map(|y| u64::from(*y) << points::DELTA)
                .collect(),
            None => vec![0; rows],
        };
        batches.push(Batch {
            rows,
            columns,
            label,
            weights,
        });
        at += rows;
    }
    Ok(batches)
}
