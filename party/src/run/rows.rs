//! What a party has of each row besides its features: its weight, and the log-odds it begins with.

use paripassu_job::spec::Spec;
use paripassu_model::{
    logistic::TrainingSet,
    table::{ColumnData, Table},
};
use paripassu_protocol::{
    abort::Abort,
    vertical::logistic::{LARGEST_OFFSET, RowWeights},
};

use super::{
    own,
    reject::{Declined, declined},
};

/// Of the training rows and the test rows, where the job names such columns of this party.
#[derive(Debug, Clone, Default)]
pub(crate) struct RowData {
    /// Weights of training rows, class weights included.
    pub(crate) weights: Option<Vec<f64>>,
    /// Offsets of training rows.
    pub(crate) train_offset: Option<Vec<f64>>,
    /// Offsets of test rows.
    pub(crate) test_offset: Option<Vec<f64>>,
    /// Who is declined, where the job infers.
    pub(crate) declined: Option<Declined>,
}

impl RowData {
    /// Reads what the job asks of this party's `table`.
    ///
    /// # Errors
    /// Naming column and row: a value that is missing, a weight below 0 or above the declared largest.
    pub(crate) fn read(
        spec: &Spec,
        me: &str,
        table: &Table,
        train: &[usize],
        test: &[usize],
    ) -> Result<Self, Abort> {
        let is_label = spec.label_party().is_some_and(|p| p.id.as_str() == me);
        let mut weights = match spec
            .model
            .weight
            .as_ref()
            .filter(|w| w.party.as_str() == me)
        {
            Some(w) => {
                let values = numbers(table, &w.column, train)?;
                let most = w.max.value();
                if let Some(at) = values.iter().position(|v| !(0.0..=most).contains(v)) {
                    return Err(own(format!(
                        "column `{}`: the weight in row {} is not between 0 and the largest that the job \
                         declares, {most}: scale the weights, or raise model.weight.max",
                        w.column,
                        train[at] + 1
                    )));
                }
                Some(values)
            }
            None => None,
        };
        if let (true, Some(class), Some(labels)) =
            (is_label, &spec.model.class_weight, table.label())
        {
            let by_class = train.iter().map(|row| class.of(labels[*row]));
            weights = Some(match weights {
                Some(values) => values.iter().zip(by_class).map(|(v, c)| v * c).collect(),
                None => by_class.collect(),
            });
        }
        // rows out of time do not count in training; whose they are, the others do not see
        if is_label {
            let late = super::validate::out_of_time(spec, table, train)?;
            if spec
                .evaluation
                .as_ref()
                .is_some_and(|e| e.out_of_time.is_some())
            {
                let counts = weights.unwrap_or_else(|| vec![1.0; train.len()]);
                let of = |(weight, late): (&f64, &bool)| if *late { 0.0 } else { *weight };
                weights = Some(counts.iter().zip(&late).map(of).collect());
            }
        }
        let marked = |rows| declined(spec, me, table, rows);
        let declined = marked(train)?.zip(marked(test)?);
        let offset = spec.model.offset.as_ref().filter(|_| is_label);
        let of = |rows: &[usize]| {
            offset
                .map(|column| numbers(table, column, rows))
                .transpose()
        };
        let (train_offset, test_offset) = (of(train)?, of(test)?);
        for (rows, offsets) in [(train, &train_offset), (test, &test_offset)] {
            let far = |o: &f64| o.is_nan() || o.abs() >= LARGEST_OFFSET;
            if let Some(at) = offsets.iter().flatten().position(far) {
                return Err(own(format!(
                    "column `{}`: the offset in row {} is not between -{LARGEST_OFFSET} and {LARGEST_OFFSET}: it is \
                     a log-odds of bad",
                    offset.map_or("", String::as_str),
                    rows[at] + 1
                )));
            }
        }
        Ok(Self {
            weights,
            train_offset,
            test_offset,
            declined: declined.map(|(train, test)| Declined { train, test }),
        })
    }

    /// The same rows to fit a model of one's own on.
    pub(crate) fn give<'a>(&'a self, mut set: TrainingSet<'a>) -> Result<TrainingSet<'a>, Abort> {
        if let Some(weights) = &self.weights {
            set = set.with_weights(weights).map_err(own)?;
        }
        if let Some(offset) = &self.train_offset {
            set = set.with_offset(offset).map_err(own)?;
        }
        Ok(set)
    }

    /// Adds the test rows' offsets to their log-odds.
    pub(crate) fn add_offset(&self, scores: &mut [f64]) {
        if let Some(offset) = &self.test_offset {
            scores.iter_mut().zip(offset).for_each(|(z, o)| *z += o);
        }
    }
}

/// Who holds weights, for the protocol.
pub(crate) fn declared(spec: &Spec) -> Result<Vec<RowWeights>, Abort> {
    let all = spec.row_weights().into_iter();
    all.map(|(party, max)| {
        let party = u8::try_from(party).map_err(own)?;
        Ok(RowWeights { party, max })
    })
    .collect()
}

/// A numeric column's values, one in each of these rows.
fn numbers(table: &Table, column: &str, rows: &[usize]) -> Result<Vec<f64>, Abort> {
    let Some(ColumnData::Numeric(values)) = table.column(column).map(|c| c.data()) else {
        return Err(own(format!(
            "the data set has no numeric column `{column}`"
        )));
    };
    let of = |row: &usize| match values[*row] {
        v if v.is_nan() => Err(own(format!(
            "column `{column}` is missing in row {}: a weight or an offset is needed in every row",
            row + 1
        ))),
        v => Ok(v),
    };
    rows.iter().map(of).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use paripassu_job::spec::{ClassWeight, RowWeight, TemplateKind, template};
    use paripassu_model::table::Column;

    #[test]
    fn weights_and_offsets_are_read_where_the_job_names_them_and_bad_ones_name_their_row() {
        let number = |n| paripassu_job::Decimal::new(n).unwrap();
        let mut spec =
            Spec::from_toml(template(TemplateKind::VerticalLogistic), "job.toml").unwrap();
        spec.model.class_weight = Some(ClassWeight {
            good: number(1.0),
            bad: number(3.0),
        });
        spec.model.offset = Some("champion".to_owned());
        let table = |weight: f64| {
            let ids = ["a", "b", "c"].map(str::to_owned).to_vec();
            let weight = Column::numeric("w", vec![0.5, weight, 2.0]);
            let champion = Column::numeric("champion", vec![-1.0, 0.5, 0.25]);
            Table::new(ids, Some(vec![0, 1, 1]), vec![weight, champion]).unwrap()
        };
        let read = |spec: &Spec, me, weight| RowData::read(spec, me, &table(weight), &[2, 1], &[0]);
        let bank = read(&spec, "bank", 1.0).unwrap();
        assert_eq!(bank.weights.unwrap(), [3.0, 3.0]);
        assert_eq!(bank.train_offset.unwrap(), [0.25, 0.5]);
        assert_eq!(bank.test_offset.unwrap(), [-1.0]);
        let partner = read(&spec, "partner", 1.0).unwrap();
        assert!(partner.weights.is_none() && partner.train_offset.is_none());
        for party in ["bank", "partner"] {
            spec.model.weight = Some(RowWeight {
                party: party.parse().unwrap(),
                column: "w".to_owned(),
                max: number(2.0),
            });
            let class = if party == "bank" { 3.0 } else { 1.0 };
            let data = read(&spec, party, 1.0).unwrap();
            assert_eq!(data.weights.unwrap(), [2.0 * class, class]);
            for (bad, want) in [
                (2.5, "the weight in row 2 is not between 0 and"),
                (f64::NAN, "missing in row 2"),
            ] {
                let said = read(&spec, party, bad).unwrap_err().to_string();
                assert!(said.contains(want) && said.contains("column `w`"), "{said}");
            }
        }
    }
}
