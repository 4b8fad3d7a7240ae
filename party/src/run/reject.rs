//! Declined applicants: who they are, which only the label holder knows, and what is made of the two fits.

use ndarray::Array2;
use paripassu_job::spec::{RejectInference, Scores, Spec};
use paripassu_model::{
    logistic::{self, FuzzyAsk, FuzzyRows, LogisticError, LogisticModel, Sign, sigmoid},
    metrics::{Metrics, Scored},
    report::{ConvergenceStep, RejectCoefficient, RejectMetric, RejectReport},
    table::{ColumnData, Table},
};
use paripassu_protocol::{
    abort::Abort,
    scoring,
    vertical::{
        logistic::LogisticFit,
        reject::{Rejects, train_with_rejects},
    },
};

use super::{
    Prepared, Run,
    evaluate::{self, Evaluation},
    own,
    progress::passes,
    rows::RowData,
    train::{JobEngine, Regression, logistic_spec},
};

/// Which of the training and the test rows are declined, at the label holder.
#[derive(Debug, Clone)]
pub(crate) struct Declined {
    pub(crate) train: Vec<bool>,
    pub(crate) test: Vec<bool>,
}

/// What a run with declined applicants has learnt beside the model.
pub(super) struct Inferred {
    /// The fit of accepted rows alone, where the job compares.
    known: Option<LogisticFit>,
    /// Mean bad rate that declined rows are given, at the label holder, where there are enough.
    rate: Option<f64>,
    /// Passes of the first fit.
    pub(super) first_passes: u32,
}

/// Which of these rows are declined; nothing where the job infers nothing, or this party holds no label.
///
/// # Errors
/// Where the data set has no such column.
pub(super) fn declined(
    spec: &Spec,
    me: &str,
    table: &Table,
    rows: &[usize],
) -> Result<Option<Vec<bool>>, Abort> {
    let is_label = spec.label_party().is_some_and(|p| p.id.as_str() == me);
    let Some(asked) = spec.reject_inference.as_ref().filter(|_| is_label) else {
        return Ok(None);
    };
    let column = table.column(&asked.rejected).map(|c| c.data());
    let Some(ColumnData::Numeric(values)) = column else {
        return Err(own(format!(
            "the data set has no numeric column `{}`",
            asked.rejected
        )));
    };
    // 0 or 1, as the file was read
    Ok(Some(rows.iter().map(|row| values[*row] == 1.0).collect()))
}

/// Those of `rows` that are accepted, and which of their places; all where nobody is declined.
pub(super) fn accepted(rows: &[usize], declined: Option<&[bool]>) -> Vec<usize> {
    let Some(declined) = declined else {
        return rows.to_vec();
    };
    let all = rows.iter().zip(declined);
    all.filter(|(_, d)| !**d).map(|(row, _)| *row).collect()
}

impl RowData {
    /// Of all test rows' values those of accepted ones.
    pub(crate) fn of_accepted<T>(&self, all: Vec<T>) -> Vec<T> {
        let Some(declined) = &self.declined else {
            return all;
        };
        let all = all.into_iter().zip(&declined.test);
        all.filter(|(_, d)| !**d).map(|(v, _)| v).collect()
    }

    /// Weights of training rows as they are known to be good or bad: declined ones have none.
    pub(super) fn known_weights(&self) -> Option<Vec<f64>> {
        let Some(declined) = &self.declined else {
            return self.weights.clone();
        };
        let ones = vec![1.0; declined.train.len()];
        let weights = self.weights.as_ref().unwrap_or(&ones).iter();
        let of = |(w, d): (&f64, &bool)| if *d { 0.0 } else { *w };
        Some(weights.zip(&declined.train).map(of).collect())
    }
}

fn ask(asked: &RejectInference) -> FuzzyAsk {
    FuzzyAsk {
        odds: asked.factor(),
        weight: asked.weight.value(),
    }
}

/// The label holder's model of its own columns alone, inferred likewise in the clear.
pub(super) fn alone(
    asked: &RejectInference,
    rows: &RowData,
    (x, y): (&Array2<f64>, &[u8]),
    l2: f64,
    held: Option<(f64, Vec<Sign>)>,
) -> Result<LogisticModel, Abort> {
    let x_all = x
        .as_slice()
        .ok_or_else(|| own("a design of another layout"))?;
    let (ones, none) = (vec![1.0; y.len()], vec![0.0; y.len()]);
    let none_declined = vec![false; y.len()];
    let declined = rows.declined.as_ref().map_or(&none_declined, |d| &d.train);
    let given = FuzzyRows {
        x: x_all,
        columns: x.ncols(),
        y,
        declined,
        weights: rows.weights.as_ref().unwrap_or(&ones),
        offset: rows.train_offset.as_ref().unwrap_or(&none),
    };
    let fit = |set: &logistic::TrainingSet<'_>| -> Result<LogisticModel, LogisticError> {
        evaluate::fit_alone(set, l2, held.clone())
    };
    Ok(logistic::fuzzy(&given, ask(asked), fit)
        .map_err(own)?
        .inferred)
}

impl Run {
    /// Fits accepted rows, infers what declined ones are, and fits all.
    pub(super) async fn rejects(
        &self,
        engine: &mut JobEngine,
        asked: &RejectInference,
        data: &Prepared,
        course: &mut Vec<ConvergenceStep>,
    ) -> Result<(LogisticFit, Inferred), Abort> {
        let mut progress = passes(self.reporter.clone(), ["passes, two fits"; 2], course);
        let spec = logistic_spec(self.spec())?;
        let rejects = Rejects {
            odds: asked.factor(),
            weight: asked.weight.value(),
            compare: asked.compare,
        };
        let declined = data.rows.declined.as_ref().map(|d| d.train.clone());
        let input = self.input(data);
        let made = train_with_rejects(engine, &spec, &rejects, declined, input, &mut progress);
        let made = made.await?;
        let inferred = Inferred {
            known: made.known,
            rate: made.rate,
            first_passes: made.first_passes,
        };
        Ok((made.fit, inferred))
    }

    /// Log-odds of the test rows by the first fit, at the label holder, where the job compares.
    pub(super) async fn known_scores(
        &self,
        data: &Prepared,
        scores: &Scores,
    ) -> Result<Option<Vec<f64>>, Abort> {
        let known = self.inferred.as_ref().and_then(|i| i.known.as_ref());
        let Some(known) = known else {
            return Ok(None);
        };
        let row = |row: ndarray::ArrayView1<'_, f64>| {
            row.iter()
                .zip(&known.coefficients)
                .map(|(x, w)| x * w)
                .sum::<f64>()
        };
        let rows = data.test.rows().into_iter();
        let mut parts: Vec<f64> = rows
            .map(|r| row(r) + known.intercept.unwrap_or_default())
            .collect();
        data.rows.add_offset(&mut parts);
        let mut book = self.book.clone();
        let ctx = self.ctx.narrow("evaluate");
        scoring::joint_known(&ctx, &mut book, &parts, scores.step.value()).await
    }

    /// What the report says of it.
    pub(super) fn reject_report(
        &self,
        data: &Prepared,
        fit: &Regression,
        evaluation: Option<&Evaluation>,
    ) -> Option<RejectReport> {
        let asked = self.spec().reject_inference.as_ref()?;
        let inferred = self.inferred.as_ref()?;
        let declined = data.rows.declined.as_ref();
        let count = |of: &[bool], which: bool| of.iter().filter(|d| **d == which).count() as u64;
        let train = declined.map(|d| (count(&d.train, false), count(&d.train, true)));
        let test = declined.map(|d| (count(&d.test, false), count(&d.test, true)));
        let bads = data
            .train_label
            .as_ref()
            .map(|y| y.iter().filter(|y| **y == 1).count());
        let observed = bads
            .zip(train)
            .map(|(bads, (rows, _))| bads as f64 / rows as f64);
        let names: Vec<&str> = data.design.names().collect();
        let coefficients = inferred.known.iter().flat_map(|known| {
            let intercept = known.intercept.zip(fit.intercept);
            let intercept = intercept.map(|(k, i)| ("intercept".to_owned(), k, i));
            let pairs = known.coefficients.iter().zip(&fit.coefficients);
            let columns = names
                .iter()
                .map(|name| (*name).to_owned())
                .zip(pairs)
                .map(|(name, (k, i))| (name, *k, *i));
            intercept.into_iter().chain(columns).collect::<Vec<_>>()
        });
        let coefficients = coefficients.map(|(name, known, inferred)| RejectCoefficient {
            name,
            known,
            inferred,
        });
        let known = evaluation.and_then(|e| e.known.as_ref());
        let joint = evaluation.map(|e| &e.summary.joint);
        let metrics = known.zip(joint).map(|(known, joint)| {
            let of = |name: &str, read: fn(&Metrics) -> f64| RejectMetric {
                name: name.to_owned(),
                known: read(known),
                inferred: read(joint),
            };
            vec![
                of("AUC", |m| m.auc),
                of("KS", |m| m.ks),
                of("Gini", |m| m.gini),
                of("log loss", |m| m.log_loss),
            ]
        });
        Some(RejectReport {
            column: asked.rejected.clone(),
            odds: asked.factor(),
            weight: asked.weight.value(),
            train,
            test,
            observed,
            inferred: inferred.rate,
            too_few: declined.is_some() && inferred.rate.is_none(),
            coefficients: coefficients.collect(),
            metrics: metrics.unwrap_or_default(),
            binned: data.bins.is_some(),
        })
    }
}

/// Metrics of the first fit on accepted test rows.
pub(super) fn known_metrics(labels: &[u8], margins: &[f64]) -> Result<Metrics, Abort> {
    let pd: Vec<f64> = margins.iter().map(|z| sigmoid(*z)).collect();
    Ok(Scored::new(labels, &pd).map_err(own)?.metrics())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn declined_rows_are_neither_weighed_nor_evaluated() {
        let data = RowData {
            weights: Some(vec![2.0, 3.0, 4.0]),
            declined: Some(Declined {
                train: vec![false, true, false],
                test: vec![true, false],
            }),
            ..RowData::default()
        };
        assert_eq!(data.known_weights().unwrap(), [2.0, 0.0, 4.0]);
        assert_eq!(data.of_accepted(vec!["a", "b"]), ["b"]);
        assert_eq!(accepted(&[7, 8, 9], Some(&[false, true, false])), [7, 9]);
        assert_eq!(RowData::default().of_accepted(vec![1, 2]), [1, 2]);
        assert_eq!(accepted(&[7, 8], None), [7, 8]);
    }
}
