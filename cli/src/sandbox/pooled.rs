//! The plaintext twin of a horizontal job: the same model fitted on all banks' rows in one table.

use ndarray::Array2;
use paripassu_job::{
    Spec,
    spec::{self, AutoOr, Columns, Horizontal, Intercept, Training},
};
use paripassu_model::{
    binning::{bin, shares},
    design::{ConstantColumns, Design, DesignOptions},
    logistic::{LogisticModel, Parts, Penalty, TrainingSet, sigmoid},
    metrics::Scored,
    mlp::{Local, Network, Optimiser, Step},
    split::IdSplit,
    table::{Column, ColumnData, Table},
};

use paripassu_protocol::horizontal::federated::fresh_draws;

use super::twin::Twin;
use crate::failure::Failure;

/// Most passes of a network over the rows.
const MOST_PASSES: u64 = 40;

/// Most Newton steps.
const STEPS: usize = 100;

fn wrong(e: impl std::fmt::Display) -> Failure {
    Failure::failed(format!("the plaintext twin: {e}"))
}

/// Fits on tables in the order of the parties; metrics are those on the first bank's held-out rows.
pub(super) fn fit(spec: &Spec, horizontal: &Horizontal, tables: &[Table]) -> Result<Twin, Failure> {
    let Some(Columns::Listed {
        numeric,
        categorical,
    }) = spec.party.first().map(|p| &p.columns)
    else {
        return Err(Failure::ours("a horizontal job without listed columns"));
    };
    let split =
        IdSplit::new(u32::try_from(spec.split.test_tenths).map_err(wrong)?).map_err(wrong)?;
    let all = stacked(tables, horizontal)?;
    let mut starts = vec![0];
    let (mut train, mut test_of_first, mut tests) = (Vec::new(), Vec::new(), 0);
    let mut row = 0;
    for (bank, table) in tables.iter().enumerate() {
        for id in table.ids() {
            match split.is_test(id) {
                false => train.push(row),
                true if bank == 0 => test_of_first.push(row),
                true => tests += 1,
            }
            row += 1;
        }
        starts.push(train.len());
    }
    let special = |name: &Option<String>, rows: &[usize]| -> Option<Vec<f64>> {
        match all.column(name.as_ref()?)?.data() {
            ColumnData::Numeric(values) => Some(rows.iter().map(|r| values[*r]).collect()),
            _ => None,
        }
    };
    let is_feature = |c: &&String| {
        ![&horizontal.weight, &horizontal.offset]
            .iter()
            .any(|s| s.as_ref() == Some(*c))
    };
    let numeric: Vec<&String> = numeric.iter().filter(is_feature).collect();
    let categorical: Vec<&String> = categorical.iter().collect();
    let options = DesignOptions {
        constant: match spec.design.constant_columns {
            spec::ConstantColumns::Drop => ConstantColumns::Drop,
            spec::ConstantColumns::Error => ConstantColumns::Refuse,
        },
        rare_level_rows: usize::try_from(spec.design.rare_level_rows).map_err(wrong)?,
    };
    let labels = |rows: &[usize]| -> Vec<u8> {
        rows.iter()
            .filter_map(|r| all.label()?.get(*r).copied())
            .collect()
    };
    let design = match &spec.binning {
        Some(binning) => {
            let columns = numeric.iter().chain(&categorical).copied();
            binned(spec, binning, (&all, &train, &labels(&train)), columns)?
        }
        None => Design::fit(&all, &train, &numeric, &categorical, options)?,
    };
    let (x, y) = (design.transform(&all, &train)?, labels(&train));
    let (weights, offset) = (
        special(&horizontal.weight, &train),
        special(&horizontal.offset, &train),
    );
    let test_y = labels(&test_of_first);
    let test_x = design.transform(&all, &test_of_first)?;
    if let Some(training) = &horizontal.training {
        let z = network(training, spec, &x, &y, &test_x)?;
        let pd: Vec<f64> = z.iter().map(|z| sigmoid(*z)).collect();
        return Ok(Twin {
            held_out: None,
            matched: all.rows(),
            train: train.len(),
            test: test_of_first.len() + tests,
            metrics: Scored::new(&test_y, &pd).map_err(wrong)?.metrics(),
            intercepts: Vec::new(),
            coefficients: Vec::new(),
            cards: Vec::new(),
        });
    }
    let x = x.as_slice().ok_or_else(|| wrong("an odd layout"))?;
    let d = design.width();
    let mut banks = Vec::new();
    for ends in starts.windows(2) {
        let rows = ends[0]..ends[1];
        let mut set =
            TrainingSet::from_slice(&x[rows.start * d..rows.end * d], d, &y[rows.clone()])
                .map_err(wrong)?;
        if let Some(weights) = &weights {
            set = set.with_weights(&weights[rows.clone()]).map_err(wrong)?;
        }
        if let Some(offset) = &offset {
            set = set.with_offset(&offset[rows]).map_err(wrong)?;
        }
        banks.push(set);
    }
    let own = horizontal.intercept == Intercept::PerBank;
    let penalty = Penalty {
        l2: spec.model.l2.value(),
        l1: horizontal.l1.value(),
        columns: d,
    };
    let (mut params, intercepts) = descend(&banks, penalty, own)?;
    params.truncate(d);
    let model = LogisticModel {
        intercept: intercepts[0],
        coefficients: params.clone(),
    };
    let mut z = model.margins(&test_x).map_err(wrong)?;
    if let Some(offset) = special(&horizontal.offset, &test_of_first) {
        z.iter_mut().zip(offset).for_each(|(z, o)| *z += o);
    }
    let pd: Vec<f64> = z.iter().map(|z| sigmoid(*z)).collect();
    let metrics = Scored::new(&test_y, &pd).map_err(wrong)?.metrics();
    let named: Vec<(String, f64)> = design
        .names()
        .map(str::to_owned)
        .zip(params.iter().copied())
        .collect();
    Ok(Twin {
        held_out: None,
        matched: all.rows(),
        train: train.len(),
        test: test_of_first.len() + tests,
        metrics,
        intercepts,
        coefficients: tables.iter().map(|_| named.clone()).collect(),
        cards: Vec::new(),
    })
}

/// Weight of evidence of bins of all rows, of the columns that the job keeps.
fn binned<'a>(
    spec: &Spec,
    job: &spec::Binning,
    (all, train, labels): (&Table, &[usize], &[u8]),
    columns: impl Iterator<Item = &'a String>,
) -> Result<Design, Failure> {
    let recipe = job.recipe("", "", train.len(), spec.design.rare_level_rows);
    let mut kept = Vec::new();
    for name in columns {
        let column = all
            .column(name)
            .ok_or_else(|| wrong(format!("no column `{name}`")))?;
        let of = shares(column.data(), train);
        if of.missing > job.max_missing.value() || of.most_common > job.max_identical.value() {
            continue;
        }
        let (binned, _) = bin(all, train, labels, name, &recipe).map_err(wrong)?;
        if binned.woe.len() > 1 && binned.iv >= job.min_iv.value() {
            kept.push(binned);
        }
    }
    Ok(Design::of_woe(all, train, kept)?)
}

/// Log-odds of test rows by the same network trained on all rows in one place, for about as many passes.
fn network(
    training: &Training,
    spec: &Spec,
    x: &Array2<f64>,
    y: &[u8],
    test: &Array2<f64>,
) -> Result<Vec<f64>, Failure> {
    let hidden: Vec<usize> = training.hidden.iter().map(|w| *w as usize).collect();
    let network = Network::new(x.ncols(), &hidden);
    let mut draw = fresh_draws().map_err(wrong)?;
    let mut params = network.initial(&mut draw);
    let rows = y.len().max(1) as u64;
    let passes = match training.local_steps {
        AutoOr::Auto => training.rounds * training.local_epochs,
        AutoOr::Is(steps) => training.rounds * u64::from(steps) * training.batch / rows,
    };
    let step = Step {
        epochs: usize::try_from(passes.clamp(20, MOST_PASSES)).map_err(wrong)?,
        batch: usize::try_from(training.batch).map_err(wrong)?,
        rate: 1e-3,
        l2_per_row: spec.model.l2.value() / rows as f64,
        ..Step::default()
    };
    let mut local = Local::new(Optimiser::Adam, params.len());
    local
        .train(&network, &mut params, x, y, &step, &mut draw)
        .map_err(wrong)?;
    network.log_odds(&params, test).map_err(wrong)
}

/// Newton to the end; the coefficients (with the shared intercept last) and each bank's intercept.
fn descend(
    banks: &[TrainingSet<'_>],
    penalty: Penalty,
    own: bool,
) -> Result<(Vec<f64>, Vec<f64>), Failure> {
    let width = penalty.columns + usize::from(!own);
    let mut params = vec![0.0; width];
    let mut intercepts = vec![0.0; banks.len()];
    let sums = |params: &[f64], intercepts: &mut [f64]| -> Result<Parts, Failure> {
        let mut sum = Parts {
            loss: 0.0,
            gradient: vec![0.0; width],
            hessian: vec![0.0; width * (width + 1) / 2],
        };
        for (set, intercept) in banks.iter().zip(intercepts) {
            let part = if own {
                let (part, best) = Parts::profiled(set, params, *intercept).map_err(wrong)?;
                *intercept = best;
                part
            } else {
                Parts::at(set, params).map_err(wrong)?
            };
            sum.loss += part.loss;
            sum.gradient
                .iter_mut()
                .zip(&part.gradient)
                .for_each(|(s, p)| *s += p);
            sum.hessian
                .iter_mut()
                .zip(&part.hessian)
                .for_each(|(s, p)| *s += p);
        }
        Ok(sum)
    };
    for _ in 0..STEPS {
        let at = sums(&params, &mut intercepts)?;
        let objective = at.loss + penalty.value(&params);
        let step = penalty.step(&at, &params).map_err(wrong)?;
        let mut length = 1.0;
        let next = loop {
            let next: Vec<f64> = params
                .iter()
                .zip(&step)
                .map(|(w, s)| w + length * s)
                .collect();
            let value = sums(&next, &mut intercepts)?.loss + penalty.value(&next);
            if value <= objective * (1.0 + 1e-12) || length < 1e-9 {
                break next;
            }
            length /= 2.0;
        };
        let largest = step.iter().fold(0.0f64, |m, s| m.max(s.abs()));
        params = next;
        if largest < 1e-9 {
            sums(&params, &mut intercepts)?;
            if let (false, Some(shared)) = (own, params.last()) {
                intercepts.fill(*shared);
            }
            return Ok((params, intercepts));
        }
    }
    Err(wrong("no optimum after 100 Newton steps"))
}

/// All rows in one table; a level that the job does not list is one of its own kind, and so rare.
fn stacked(tables: &[Table], horizontal: &Horizontal) -> Result<Table, Failure> {
    let first = tables
        .first()
        .ok_or_else(|| Failure::ours("a job without parties"))?;
    // the same id may be known to two banks: here they are two customers
    let ids = tables
        .iter()
        .enumerate()
        .flat_map(|(bank, table)| table.ids().iter().map(move |id| format!("{bank}/{id}")));
    let labels: Vec<u8> = tables
        .iter()
        .flat_map(|t| t.label().unwrap_or_default().to_vec())
        .collect();
    let mut columns = Vec::new();
    for column in first.columns() {
        let name = column.name();
        let parts = tables
            .iter()
            .filter_map(|t| t.column(name).map(Column::data));
        match column.data() {
            ColumnData::Categorical { .. } => {
                let listed = horizontal.levels.get(name);
                let mut values: Vec<Option<String>> = Vec::new();
                for part in parts {
                    let ColumnData::Categorical { levels, codes } = part else {
                        continue;
                    };
                    for code in codes {
                        let level = usize::try_from(*code)
                            .ok()
                            .and_then(|c| levels.names().get(c));
                        values.push(level.map(|level| {
                            match listed.is_some_and(|l| l.contains(level)) {
                                true => level.clone(),
                                false => format!("not listed, row {}", values.len()),
                            }
                        }));
                    }
                }
                columns.push(Column::categorical(
                    name,
                    values.iter().map(|v| v.as_deref()),
                ));
            }
            _ => {
                let values = parts.flat_map(|part| match part {
                    ColumnData::Numeric(values) => values.clone(),
                    _ => Vec::new(),
                });
                columns.push(Column::numeric(name, values.collect()));
            }
        }
    }
    Table::new(ids.collect(), Some(labels), columns).map_err(wrong)
}
