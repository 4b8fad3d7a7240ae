//! What the label holder computes on the test rows from columns of its own that are no features, and what
//! every party finds of the stability of its own columns.

use paripassu_job::spec::{Evaluation as Asked, Higher, Spec};
use paripassu_model::{
    table::{ColumnData, MISSING_CODE, Table},
    validation::{
        Ask, Drift, FairnessAsk, Groups, Loss, Model, Score, Validation, drift, validate,
    },
};
use paripassu_protocol::abort::Abort;

use super::own;

/// Most different texts of a month, a segment or an attribute.
const MOST_GROUPS: usize = 240;

/// A column's text in each test row, none where it is missing.
#[derive(Debug, Clone)]
struct Texts {
    column: String,
    of_rows: Vec<Option<String>>,
}

impl Texts {
    fn groups(&self) -> Groups<'_> {
        Groups::new(&self.column, self.of_rows.iter().map(Option::as_deref))
    }
}

/// The columns that the job's evaluation names, of the test rows; at the label holder.
#[derive(Debug, Clone)]
pub(crate) struct EvaluationData {
    asked: Asked,
    month: Option<Texts>,
    segment: Option<Texts>,
    attribute: Option<Texts>,
    incumbent: Option<Vec<f64>>,
    rules: Option<Vec<f64>>,
    exposure: Option<Vec<f64>>,
}

impl EvaluationData {
    /// Reads what the job's evaluation names from the label holder's table.
    ///
    /// # Errors
    /// Naming the column: too many different texts; an exposure that is missing or negative.
    pub(crate) fn read(spec: &Spec, table: &Table, test: &[usize]) -> Result<Option<Self>, Abort> {
        let Some(asked) = spec.evaluation.clone() else {
            return Ok(None);
        };
        let texts = |column: Option<&str>| column.map(|c| texts(table, c, test)).transpose();
        let numbers = |column: Option<&str>| column.map(|c| numbers(table, c, test)).transpose();
        let exposure_column = asked.loss.as_ref().and_then(|l| l.exposure.as_deref());
        let exposure = numbers(exposure_column)?;
        let bad = |v: &f64| !(v.is_finite() && *v >= 0.0);
        if let Some(at) = exposure.iter().flatten().position(bad) {
            return Err(own(format!(
                "column `{}`: the exposure in row {} is missing or negative",
                exposure_column.unwrap_or_default(),
                test[at] + 1
            )));
        }
        Ok(Some(Self {
            month: texts(asked.month.as_deref())?,
            segment: texts(asked.segment.as_deref())?,
            attribute: texts(asked.fairness.as_ref().map(|f| f.column.as_str()))?,
            incumbent: numbers(asked.incumbent.as_ref().map(|i| i.column.as_str()))?,
            rules: numbers(asked.rules.as_deref())?,
            exposure,
            asked,
        }))
    }

    /// Everything that is asked of the test rows.
    ///
    /// # Errors
    /// Where the figures cannot be computed.
    pub(crate) fn validate(
        &self,
        labels: &[u8],
        baseline: Model<'_>,
        challenger: Model<'_>,
    ) -> Result<Validation, Abort> {
        let asked = &self.asked;
        let sample = asked.out_of_time.as_ref().zip(self.month.as_ref());
        let sample = sample.map(|(from, month)| {
            let of_rows = month.of_rows.iter().map(|m| {
                let late = m.as_ref().is_some_and(|m| m >= from);
                Some(if late { OUT_OF_TIME } else { IN_TIME }.to_owned())
            });
            Texts {
                column: "sample".into(),
                of_rows: of_rows.collect(),
            }
        });
        let incumbent = asked.incumbent.as_ref().zip(self.incumbent.as_ref());
        let rules = asked.rules.as_ref().zip(self.rules.as_ref());
        let fairness = asked.fairness.as_ref().zip(self.attribute.as_ref());
        validate(&Ask {
            labels,
            baseline,
            challenger,
            sample: sample.as_ref().map(Texts::groups),
            month: self.month.as_ref().map(Texts::groups),
            segment: self.segment.as_ref().map(Texts::groups),
            incumbent: incumbent.map(|(asked, values)| Score {
                name: &asked.column,
                values,
                higher_is_worse: asked.higher == Higher::Worse,
            }),
            rules: rules.map(|(name, values)| Score {
                name,
                values,
                higher_is_worse: true,
            }),
            approve: asked.approve.value(),
            loss: asked.loss.as_ref().map(|loss| Loss {
                lgd: loss.lgd.value(),
                exposure: self.exposure.as_deref(),
            }),
            fairness: fairness.map(|(asked, texts)| FairnessAsk {
                groups: texts.groups(),
                reference: asked.reference.as_deref(),
                min_rows: usize::try_from(asked.min_rows).unwrap_or(usize::MAX),
                least_ratio: asked.least_ratio.value(),
            }),
            resamples: usize::try_from(asked.resamples).map_err(own)?,
        })
        .map_err(own)
    }
}

/// Name of the rows before the first month out of time.
pub(crate) const IN_TIME: &str = "in time";
/// Name of the others.
pub(crate) const OUT_OF_TIME: &str = "out of time";

/// The month of each of these rows is out of time.
///
/// # Errors
/// Where the column is not what the job says.
pub(crate) fn out_of_time(spec: &Spec, table: &Table, rows: &[usize]) -> Result<Vec<bool>, Abort> {
    let evaluation = spec.evaluation.as_ref();
    let named = evaluation.and_then(|e| Some((e.month.as_ref()?, e.out_of_time.as_ref()?)));
    let Some((column, from)) = named else {
        return Ok(vec![false; rows.len()]);
    };
    let months = texts(table, column, rows)?;
    let late = |m: &Option<String>| m.as_ref().is_some_and(|m| m >= from);
    Ok(months.of_rows.iter().map(late).collect())
}

/// Stability of this party's own features: test rows against training rows, and, where the party has months,
/// each month against all training rows.
pub(crate) fn stability(
    spec: &Spec,
    me: &str,
    table: &Table,
    features: &[String],
    train: &[usize],
    test: &[usize],
) -> Result<Drift, Abort> {
    let names: Vec<&str> = features.iter().map(String::as_str).collect();
    let mut samples = vec![("test rows".to_owned(), test.to_vec())];
    let label = spec.label_party().is_some_and(|p| p.id.as_str() == me);
    let month = spec.evaluation.as_ref().and_then(|e| e.month.as_ref());
    if let Some(column) = month.filter(|_| label) {
        let all: Vec<usize> = train.iter().chain(test).copied().collect();
        let texts = texts(table, column, &all)?;
        for (name, positions) in texts.groups().each() {
            let rows = positions.iter().map(|p| all[*p]).collect();
            samples.push((name.to_owned(), rows));
        }
    }
    Ok(drift(table, &names, train, &samples))
}

fn texts(table: &Table, column: &str, rows: &[usize]) -> Result<Texts, Abort> {
    let Some(ColumnData::Categorical { levels, codes }) = table.column(column).map(|c| c.data())
    else {
        return Err(own(format!(
            "the data set has no categorical column `{column}`"
        )));
    };
    let text = |row: &usize| match codes[*row] {
        MISSING_CODE => None,
        code => levels.names().get(code as usize).cloned(),
    };
    let of_rows: Vec<Option<String>> = rows.iter().map(text).collect();
    let mut seen: Vec<&str> = of_rows.iter().flatten().map(String::as_str).collect();
    seen.sort_unstable();
    seen.dedup();
    if seen.len() > MOST_GROUPS {
        return Err(own(format!(
            "column `{column}` has {} different texts in the rows evaluated, at most {MOST_GROUPS}: name a \
             column of months or segments, not of days or customers",
            seen.len()
        )));
    }
    Ok(Texts {
        column: column.to_owned(),
        of_rows,
    })
}

fn numbers(table: &Table, column: &str, rows: &[usize]) -> Result<Vec<f64>, Abort> {
    match table.column(column).map(|c| c.data()) {
        Some(ColumnData::Numeric(values)) => Ok(rows.iter().map(|r| values[*r]).collect()),
        _ => Err(own(format!(
            "the data set has no numeric column `{column}`"
        ))),
    }
}
