//! The plaintext twin: the same model fitted on pooled columns, which only a sandbox can do.

use std::collections::BTreeMap;

use ndarray::{Array2, Axis, concatenate};
use paripassu_job::{Spec, spec};
use paripassu_model::{
    binning,
    design::{ConstantColumns, Design, DesignColumn, DesignOptions},
    logistic::{self, FitOptions, LogisticModel, TrainingSet},
    metrics::{Metrics, Scored},
    scorecard::Card,
    selection,
    split::{IdSplit, sort_by_id_hash},
    stepwise,
    table::{ColumnData, Table},
};

use paripassu_protocol::vertical::network::plain;

use super::{batches, linked, rejects};
use crate::failure::Failure;

/// A model fitted on the pooled columns of all parties, on the rows that the job used.
#[derive(Debug)]
pub(crate) struct Twin {
    /// Customers at every party.
    pub(crate) matched: usize,
    /// Rows fitted on.
    pub(crate) train: usize,
    /// Rows held out.
    pub(crate) test: usize,
    /// On the held-out rows.
    pub(crate) metrics: Metrics,
    /// Of the log-odds of bad, by party.
    pub(crate) intercepts: Vec<f64>,
    /// By party, in the order of the design: column and coefficient; of a network none.
    pub(crate) coefficients: Vec<Vec<(String, f64)>>,
    /// Design columns of the held-out rows, of all parties side by side in the order of their coefficients; only of a logistic
    /// regression on columns of several parties.
    pub(crate) held_out: Option<Array2<f64>>,
    /// By party, where the job makes points: its half of the card, and its rows.
    pub(crate) cards: Vec<(Card, Table)>,
}

/// Fits the twin on tables in the order of the parties' seats; a horizontal job's on all rows. `kept` are, by party, the design
/// columns that a selection has left, where noise in the job's bins may have left others than the twin's own would.
pub(crate) fn fit(
    spec: &Spec,
    tables: Vec<Table>,
    keys: &[linked::Keyed],
    kept: Option<&[Vec<String>]>,
) -> Result<Twin, Failure> {
    let wrong = |e: &dyn std::fmt::Display| Failure::failed(format!("the plaintext twin: {e}"));
    if let Some(horizontal) = &spec.horizontal {
        return super::pooled::fit(spec, horizontal, &tables);
    }
    let tables = match spec.align.fallback.is_empty() {
        true => aligned(tables),
        false => aligned_by_keys(&tables, keys)?,
    };
    let first = tables
        .first()
        .ok_or_else(|| Failure::ours("a job without parties"))?;
    let tenths = u32::try_from(spec.split.test_tenths).map_err(|e| wrong(&e))?;
    let mut rows = IdSplit::new(tenths)
        .map_err(|e| wrong(&e))?
        .rows(first.ids());
    if spec.in_batches() {
        sort_by_id_hash(&mut rows.train, first.ids());
    }
    let labels = first.label().unwrap_or_default();
    let of = |rows: &[usize]| -> Vec<u8> {
        rows.iter()
            .filter_map(|row| labels.get(*row).copied())
            .collect()
    };
    let declined = rejects::declined(spec, first)?;
    let (train_y, test_y) = (
        of(&rows.train),
        of(&rejects::accepted(&rows.test, &declined)),
    );

    let options = DesignOptions {
        constant: match spec.design.constant_columns {
            spec::ConstantColumns::Drop => ConstantColumns::Drop,
            spec::ConstantColumns::Error => ConstantColumns::Refuse,
        },
        rare_level_rows: usize::try_from(spec.design.rare_level_rows).map_err(|e| wrong(&e))?,
    };
    let mut designs = spec
        .seats()
        .iter()
        .zip(&tables)
        .map(|(party, table)| {
            let without = spec.beside_features(party.id.as_str());
            match &spec.binning {
                Some(bins) => {
                    let train = (&rows.train[..], &train_y[..]);
                    binned(spec, bins, party.id.as_str(), table, train, &declined)
                }
                None => Ok(Design::fit_all(table, &rows.train, &without, options)?),
            }
        })
        .collect::<Result<Vec<_>, Failure>>()?;
    if let Some(asked) = &spec.selection {
        designs = match kept {
            Some(kept) => named(&designs, kept),
            None => {
                let train = (&rows.train[..], &train_y[..]);
                selected(spec, asked, &designs, &tables, train, &declined)?
            }
        };
    }
    let side_by_side = |rows: &[usize]| side_by_side(&designs, &tables, rows);
    let known_test = rejects::accepted(&rows.test, &declined);
    let (mut train, mut test) = (side_by_side(&rows.train)?, side_by_side(&known_test)?);
    if let Some(network) = &spec.network {
        let asked = paripassu_party::network_spec(spec, network).map_err(|e| wrong(&e))?;
        let weights: Option<Vec<f64>> = match asked.row_weights.is_empty() {
            true => None,
            false => {
                let all = Beside::of(spec, &tables)?.weights;
                Some(rows.train.iter().map(|row| all[*row]).collect())
            }
        };
        let given = (&train, &train_y[..]);
        let plain = plain::train(&asked, given, weights.as_deref(), plain::Activation::Series)
            .map_err(|e| wrong(&e))?;
        let scores = plain.log_odds(&test).map_err(|e| wrong(&e))?;
        let pd: Vec<f64> = scores.iter().map(|z| logistic::sigmoid(*z)).collect();
        return Ok(Twin {
            held_out: None,
            matched: first.rows(),
            train: rows.train.len(),
            test: rows.test.len(),
            metrics: Scored::new(&test_y, &pd).map_err(|e| wrong(&e))?.metrics(),
            intercepts: Vec::new(),
            coefficients: Vec::new(),
            cards: Vec::new(),
        });
    }
    let beside = Beside::of(spec, &tables)?;
    let weights: Vec<f64> = rows.train.iter().map(|row| beside.weights[*row]).collect();
    let offset =
        |rows: &[usize]| -> Vec<f64> { rows.iter().map(|row| beside.offset[*row]).collect() };
    let train_offset = offset(&rows.train);
    if let (Some(asked), None) = (spec.stepwise(), kept) {
        let data = stepwise::Data {
            x: &train,
            labels: &train_y,
            weights: &weights,
            offset: &train_offset,
            l2: spec.model.l2.value(),
        };
        let rule = stepwise::Rule {
            enter: asked.entering(),
            leave: asked.leaving(),
            most: usize::try_from(asked.max_steps).map_err(|e| wrong(&e))?,
        };
        let (_, stays) = stepwise::steps(&data, &rule).map_err(|e| wrong(&e))?;
        designs = only(&designs, &stays);
        let pick = |m: &Array2<f64>| m.select(Axis(1), &stays).as_standard_layout().into_owned();
        (train, test) = (pick(&train), pick(&test));
    }
    let options = FitOptions {
        l2: spec.model.l2.value(),
        ..FitOptions::default()
    };
    let signs: Vec<_> = match spec.is_held() {
        false => Vec::new(),
        true => {
            let seats = spec.seats();
            let of = |(party, design): (&&spec::Party, &Design)| {
                let columns = design.columns().iter();
                let sign = |c: &DesignColumn| spec.sign_of(party.id.as_str(), &c.source);
                columns.map(sign).collect::<Vec<_>>()
            };
            seats.iter().zip(&designs).flat_map(of).collect()
        }
    };
    let fit = |set: &TrainingSet<'_>| match spec.is_held() {
        true => logistic::fit_constrained(set, options.l2, spec.model.l1.value(), &signs),
        false => Ok(logistic::fit(set, &options)?.model),
    };
    let model = match &spec.reject_inference {
        _ if spec.solver.method == spec::SolverMethod::Sgd => {
            let widths: Vec<usize> = designs.iter().map(Design::width).collect();
            batches::fit(spec, &widths, &train, &train_y)?
        }
        Some(asked) => {
            let of_train: Vec<bool> = rows.train.iter().map(|row| declined[*row]).collect();
            let beside = (&weights[..], &train_offset[..]);
            rejects::fit(asked, (&train, &train_y), &of_train, beside, fit)?
        }
        None => {
            let set = TrainingSet::new(&train, &train_y)
                .and_then(|set| set.with_weights(&weights))
                .and_then(|set| set.with_offset(&train_offset));
            set.and_then(|set| fit(&set)).map_err(|e| wrong(&e))?
        }
    };
    let scores = model.margins(&test).map_err(|e| wrong(&e))?;
    let scores = scores.iter().zip(offset(&known_test));
    let pd: Vec<f64> = scores.map(|(z, o)| logistic::sigmoid(z + o)).collect();
    let metrics = Scored::new(&test_y, &pd).map_err(|e| wrong(&e))?.metrics();
    let (matched, coefficients) = (first.rows(), by_party(&designs, &model));
    Ok(Twin {
        matched,
        train: rows.train.len(),
        test: rows.test.len(),
        metrics,
        intercepts: vec![model.intercept; designs.len()],
        cards: cards(spec, &designs, &coefficients, model.intercept, tables)?,
        coefficients,
        held_out: Some(test),
    })
}

/// All parties' design columns for these rows.
fn side_by_side(
    designs: &[Design],
    tables: &[Table],
    rows: &[usize],
) -> Result<Array2<f64>, Failure> {
    let parts = designs
        .iter()
        .zip(tables)
        .map(|(design, table)| design.transform(table, rows))
        .collect::<Result<Vec<_>, _>>()?;
    let views: Vec<_> = parts.iter().map(|part| part.view()).collect();
    let joined = concatenate(Axis(1), &views)
        .map_err(|e| Failure::failed(format!("the plaintext twin: {e}")))?;
    Ok(joined.as_standard_layout().into_owned())
}

/// Each party's columns of these names.
fn named(designs: &[Design], kept: &[Vec<String>]) -> Vec<Design> {
    let of = |(design, kept): (&Design, &Vec<String>)| {
        let is_kept = |(_, name): &(usize, &str)| kept.iter().any(|k| k == name);
        let places = design.names().enumerate().filter(is_kept);
        design.only(&places.map(|(at, _)| at).collect::<Vec<_>>())
    };
    designs.iter().zip(kept).map(of).collect()
}

/// What a selection leaves of the pooled columns.
fn selected(
    spec: &Spec,
    asked: &spec::Selection,
    designs: &[Design],
    tables: &[Table],
    (train, label): (&[usize], &[u8]),
    declined: &[bool],
) -> Result<Vec<Design>, Failure> {
    let x = side_by_side(designs, tables, train)?;
    // columns are ranked by the label as its holder alone weighs rows
    let mut alone = spec.clone();
    let holder = spec.label_party().map(|party| &party.id);
    alone.model.weight = alone.model.weight.filter(|w| Some(&w.party) == holder);
    let mut weights = Beside::of(&alone, tables)?.weights;
    let of_declined = weights.iter_mut().zip(declined).filter(|(_, d)| **d);
    of_declined.for_each(|(weight, _)| *weight = 0.0);
    let each = || train.iter().map(|row| weights[*row]).zip(label);
    let (sum, bad) = each().fold((0.0, 0.0), |(s, b), (w, y)| (s + w, b + w * f64::from(*y)));
    let ranked: Vec<f64> = each()
        .map(|(w, y)| w * (f64::from(*y) - bad / sum))
        .collect();
    let owners: Vec<usize> = designs
        .iter()
        .enumerate()
        .flat_map(|(p, design)| std::iter::repeat_n(p, design.width()))
        .collect();
    let limits = selection::Limits {
        correlation: asked.max_correlation.map(|r| r.value()),
        vif: asked.max_vif.map(|v| v.value()),
    };
    let left = selection::select(x.view(), &owners, &ranked, &limits);
    Ok(only(designs, &selection::kept(owners.len(), &left.dropped)))
}

/// Each party's columns at these places among those of all.
fn only(designs: &[Design], stays: &[usize]) -> Vec<Design> {
    let mut first = 0;
    let of = |design: &Design| {
        let range = first..first + design.width();
        first = range.end;
        let own = stays.iter().filter(|at| range.contains(at));
        design.only(&own.map(|at| at - range.start).collect::<Vec<_>>())
    };
    designs.iter().map(of).collect()
}

/// Each party's half of the card, if the job makes one.
fn cards(
    spec: &Spec,
    designs: &[Design],
    coefficients: &[Vec<(String, f64)>],
    intercept: f64,
    tables: Vec<Table>,
) -> Result<Vec<(Card, Table)>, Failure> {
    let Some(asked) = &spec.scorecard else {
        return Ok(Vec::new());
    };
    let of_party = |(at, table): (usize, Table)| {
        let columns = designs[at].columns().iter();
        let each = columns.zip(coefficients[at].iter().map(|(_, coef)| *coef));
        let intercept = (at == 0).then_some(intercept);
        let party = at.to_string();
        let card = Card::new(
            "",
            &party,
            asked.scaling(),
            intercept,
            each,
            &BTreeMap::new(),
        );
        let card = card.map_err(|e| Failure::failed(format!("the plaintext twin: {e}")))?;
        Ok((card, table))
    };
    tables.into_iter().enumerate().map(of_party).collect()
}

/// Weight of evidence of a party's columns, by the labels that only a sandbox has beside them; without the noise
/// that a job may add.
fn binned(
    spec: &Spec,
    bins: &spec::Binning,
    party: &str,
    table: &Table,
    (train, labels): (&[usize], &[u8]),
    declined: &[bool],
) -> Result<Design, Failure> {
    let wrong = |e: binning::BinningError| Failure::failed(format!("the plaintext twin: {e}"));
    let without = spec.beside_features(party);
    let rare = spec.design.rare_level_rows;
    let mut kept = Vec::new();
    for column in table.columns().iter().map(|c| c.name()) {
        if without.contains(&column) || left_out(table, train, column, bins) {
            continue;
        }
        let recipe = bins.recipe(party, column, train.len(), rare);
        let label = spec.label_party();
        let other = label.is_none_or(|label| label.id.as_str() != party);
        let made = match (bins.strict() && other, &spec.reject_inference) {
            (true, _) => cut(table, train, labels, column, &recipe),
            (false, Some(_)) if other => {
                rejects::bins(table, (train, labels), declined, column, &recipe)
            }
            (false, _) => {
                let known = train.iter().zip(labels).filter(|(row, _)| !declined[**row]);
                let (rows, labels): (Vec<usize>, Vec<u8>) = known.map(|(r, y)| (*r, *y)).unzip();
                binning::bin(table, &rows, &labels, column, &recipe)
            }
        };
        let made = made.map_err(wrong)?;
        if made.0.woe.len() > 1 && made.0.iv >= bins.min_iv.value() {
            kept.push(made.0);
        }
    }
    let gone = binning::redundant(table, train, &kept, &bins.in_common())?;
    let kept = kept
        .into_iter()
        .zip(gone)
        .filter(|(_, gone)| gone.is_none());
    Ok(Design::of_woe(
        table,
        train,
        kept.map(|(column, _)| column),
    )?)
}

/// A column whose bins its owner cut by itself.
fn cut(
    table: &Table,
    train: &[usize],
    labels: &[u8],
    column: &str,
    recipe: &binning::Recipe,
) -> Result<(binning::Binned, binning::Woe), binning::BinningError> {
    let binning = binning::prebin(table, train, column, &recipe.cut)?;
    let counts = binning::counts(&binning.assign(table, train)?, labels, binning.bins.len())?;
    let woe = binning::weight_of_evidence(&counts, recipe.sign, recipe.smoothing)?;
    let binned = binning::Binned {
        binning,
        woe: woe.bins.iter().map(|bin| bin.woe).collect(),
        iv: woe.iv,
    };
    Ok((binned, woe))
}

/// Whether a column misses too much, or is the same nearly everywhere.
fn left_out(table: &Table, train: &[usize], column: &str, bins: &spec::Binning) -> bool {
    let Some(data) = table.column(column).map(|c| c.data()) else {
        return true;
    };
    let shares = binning::shares(data, train);
    shares.missing > bins.max_missing.value() || shares.most_common > bins.max_identical.value()
}

/// What each aligned row weighs, and what its score begins with.
struct Beside {
    weights: Vec<f64>,
    offset: Vec<f64>,
}

impl Beside {
    fn of(spec: &Spec, tables: &[Table]) -> Result<Self, Failure> {
        let seats = spec.seats();
        let column =
            |position: usize, name: &str| match tables[position].column(name).map(|c| c.data()) {
                Some(ColumnData::Numeric(values)) => Ok(values.clone()),
                _ => Err(Failure::failed(format!(
                    "the plaintext twin: no numeric column `{name}`"
                ))),
            };
        let count = tables.first().map_or(0, Table::rows);
        let mut weights = match &spec.model.weight {
            Some(w) => {
                let position = seats.iter().position(|party| party.id == w.party);
                column(position.unwrap_or_default(), &w.column)?
            }
            None => vec![1.0; count],
        };
        if let (Some(class), Some(labels)) = (
            &spec.model.class_weight,
            tables.first().and_then(Table::label),
        ) {
            weights
                .iter_mut()
                .zip(labels)
                .for_each(|(w, y)| *w *= class.of(*y));
        }
        let evaluation = spec.evaluation.as_ref();
        let late = evaluation.and_then(|e| Some((e.month.as_ref()?, e.out_of_time.as_ref()?)));
        if let Some((name, from)) = late
            && let Some(ColumnData::Categorical { levels, codes }) = tables
                .first()
                .and_then(|t| t.column(name))
                .map(|c| c.data())
        {
            let month = |code: &u32| levels.names().get(*code as usize);
            let months = codes.iter().map(month);
            for (weight, _) in weights
                .iter_mut()
                .zip(months)
                .filter(|(_, m)| m.is_some_and(|m| m >= from))
            {
                *weight = 0.0;
            }
        }
        let offset = match &spec.model.offset {
            Some(name) => column(0, name)?,
            None => vec![0.0; count],
        };
        Ok(Self { weights, offset })
    }
}

fn by_party(designs: &[Design], model: &LogisticModel) -> Vec<Vec<(String, f64)>> {
    let mut values = model.coefficients.iter().copied();
    let of = |design: &Design, values: &mut dyn Iterator<Item = f64>| {
        let names = design.names().map(str::to_owned);
        names.zip(values).collect()
    };
    designs
        .iter()
        .map(|design| of(design, &mut values.by_ref().take(design.width())))
        .collect()
}

/// The customers that every table has, in one order.
fn aligned(tables: Vec<Table>) -> Vec<Table> {
    let Some((first, rest)) = tables.split_first() else {
        return tables;
    };
    let positions: Vec<_> = rest.iter().map(Table::positions).collect();
    let mut rows: Vec<Vec<usize>> = vec![Vec::new(); tables.len()];
    for (at, id) in first.ids().iter().enumerate() {
        let others: Option<Vec<usize>> = positions
            .iter()
            .map(|positions| positions.get(id.as_str()).copied())
            .collect();
        if let Some(others) = others {
            for (rows, row) in rows.iter_mut().zip(std::iter::once(at).chain(others)) {
                rows.push(row);
            }
        }
    }
    tables
        .iter()
        .zip(&rows)
        .map(|(table, rows)| table.select(rows))
        .collect()
}

/// The same by several keys: each row's id becomes the text by which it is common, as parties split by it.
fn aligned_by_keys(tables: &[Table], keys: &[linked::Keyed]) -> Result<Vec<Table>, Failure> {
    let found = linked::common(&keys.iter().collect::<Vec<_>>());
    let each = tables.iter().zip(keys).enumerate();
    each.map(|(party, (table, keys))| {
        let rows: Vec<usize> = found
            .iter()
            .filter_map(|(_, rows)| rows.get(party).copied())
            .collect();
        let text = |(key, row): (&usize, &usize)| keys.get(*key).and_then(|k| k.get(*row)).cloned();
        let ids = found.iter().map(|(key, _)| key).zip(&rows).filter_map(text);
        let picked = table.select(&rows);
        let (label, columns) = (
            picked.label().map(<[u8]>::to_vec),
            picked.columns().to_vec(),
        );
        Table::new(ids.collect(), label, columns).map_err(Failure::ours)
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use paripassu_job::spec::{TemplateKind, template};
    use paripassu_model::table::Column;

    #[test]
    fn common_customers_in_one_order() {
        let table = |ids: &[&str], label: bool| {
            let values = ids.iter().map(|id| id.len() as f64).collect();
            Table::new(
                ids.iter().map(ToString::to_string).collect(),
                label.then(|| vec![0; ids.len()]),
                vec![Column::numeric("x", values)],
            )
            .unwrap()
        };
        let both = aligned(vec![
            table(&["a", "bb", "ccc"], true),
            table(&["ccc", "d", "a"], false),
        ]);
        assert_eq!(both[0].ids(), ["a", "ccc"]);
        assert_eq!(both[0].ids(), both[1].ids());
    }

    #[test]
    fn each_partys_columns_keep_their_coefficients() {
        let ids: Vec<String> = (0..400).map(|i| format!("c{i}")).collect();
        let wave =
            |k: usize| -> Vec<f64> { (0..400).map(|i| ((i * k) % 37) as f64 / 37.0).collect() };
        let (x, z) = (wave(11), wave(17));
        let label = x
            .iter()
            .zip(&z)
            .enumerate()
            .map(|(i, (x, z))| u8::from(x - z + ((i * 7) % 13) as f64 / 13.0 > 0.6))
            .collect();
        let bank = Table::new(ids.clone(), Some(label), vec![Column::numeric("x", x)]).unwrap();
        let partner = Table::new(ids, None, vec![Column::numeric("z", z)]).unwrap();
        let text = template(TemplateKind::VerticalLogistic);
        let spec = Spec::from_toml(text, "job.toml").unwrap();
        let twin = fit(&spec, vec![bank, partner], &[], None).unwrap();
        assert_eq!(twin.matched, 400);
        assert_eq!(twin.train + twin.test, 400);
        let (name, coefficient) = &twin.coefficients[0][0];
        assert!(name == "x" && *coefficient > 0.5, "{coefficient}");
        let (name, coefficient) = &twin.coefficients[1][0];
        assert!(name == "z" && *coefficient < -0.5, "{coefficient}");
    }
}
