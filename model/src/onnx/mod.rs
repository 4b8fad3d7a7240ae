//! A party's half of a model as ONNX: from the columns of its table to log-odds of bad.
//!
//! One input a column of the table, `[rows, 1]`: numbers as doubles, NaN where missing; categories as
//! strings, empty where missing. One output, `log_odds` `[rows, 1]`, in doubles: for a logistic regression the
//! party's part of the log-odds, with the intercept where the party holds it; for a network the whole.
//! Operators are those of ONNX opset 19 (equality of strings came with it), nothing of any vendor's.

mod message;

use message::{Attribute, Graph, Initial, Node, Onnx, Value};
use prost::Message as _;

use crate::{
    binning::{Binned, Range},
    design::{DesignColumn, MISSING_LEVEL, Source},
};

/// Name of the output.
const OUTPUT: &str = "log_odds";

/// What becomes of the standardised columns.
#[derive(Debug, Clone, Copy)]
pub enum Head<'a> {
    /// `intercept + Σ coef x`.
    Logistic {
        /// In the order of the columns.
        coefficients: &'a [f64],
        /// 0 where another party holds it.
        intercept: f64,
    },
    /// Dense layers with rectifiers between them: for each, weights by input then output, and biases.
    Network {
        /// The layers.
        layers: &'a [(Vec<Vec<f64>>, Vec<f64>)],
        /// Standardised columns are cut to ± this first.
        edge: f64,
    },
}

/// Why a model cannot be written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OnnxError {
    /// Sizes of columns and coefficients or layers do not agree.
    #[error("{columns} columns, but weights for {weights}")]
    Width {
        /// Columns.
        columns: usize,
        /// Weights.
        weights: usize,
    },
    /// A kind of column that this build does not write.
    #[error("design column `{name}` is of a kind that cannot be written as ONNX")]
    Column {
        /// The column.
        name: String,
    },
    /// No column at all.
    #[error("the model has no column")]
    Empty,
}

/// Builds a graph, naming each value.
#[derive(Default)]
struct Builder {
    graph: Graph,
    count: usize,
}

impl Builder {
    fn fresh(&mut self) -> String {
        self.count += 1;
        // no column of a table is likely to begin so
        format!("paripassu/{}", self.count)
    }

    fn op(&mut self, kind: &str, inputs: &[&str]) -> String {
        self.with(kind, inputs, Vec::new())
    }

    fn with(&mut self, kind: &str, inputs: &[&str], attribute: Vec<Attribute>) -> String {
        let out = self.fresh();
        self.graph.node.push(Node {
            input: inputs.iter().map(|i| (*i).to_owned()).collect(),
            output: vec![out.clone()],
            name: format!("{kind}_{}", self.count),
            op_type: kind.to_owned(),
            attribute,
        });
        out
    }

    fn constant(&mut self, dims: &[usize], values: Vec<f64>) -> String {
        let name = self.fresh();
        self.graph
            .initializer
            .push(Initial::doubles(&name, dims, values));
        name
    }

    fn number(&mut self, value: f64) -> String {
        self.constant(&[], vec![value])
    }

    fn text(&mut self, value: &str) -> String {
        let name = self.fresh();
        self.graph.initializer.push(Initial::text(&name, value));
        name
    }

    /// 1.0 where a condition holds.
    fn flag(&mut self, condition: &str) -> String {
        self.with(
            "Cast",
            &[condition],
            vec![Attribute::int("to", message::DOUBLE)],
        )
    }

    fn any(&mut self, conditions: &[String]) -> Option<String> {
        let (first, rest) = conditions.split_first()?;
        let mut all = first.clone();
        for one in rest {
            all = self.op("Or", &[&all, one]);
        }
        Some(all)
    }

    fn input(&mut self, column: &str, kind: i64) {
        if !self.graph.input.iter().any(|v| v.name == column) {
            let dims = [None, Some(1)];
            self.graph.input.push(Value::tensor(column, kind, &dims));
        }
    }

    /// Whether a text is this level; a missing one is empty.
    fn is_level(&mut self, column: &str, level: &str) -> String {
        let level = self.text(if level == MISSING_LEVEL { "" } else { level });
        self.op("Equal", &[column, &level])
    }

    /// A column of the design before it is standardised.
    fn raw(&mut self, column: &DesignColumn) -> Result<String, OnnxError> {
        let source = column.source.column().to_owned();
        match &column.source {
            Source::Numeric { fill, .. } => {
                self.input(&source, message::DOUBLE);
                let missing = self.op("IsNaN", &[&source]);
                let fill = self.number(*fill);
                Ok(self.op("Where", &[&missing, &fill, &source]))
            }
            Source::MissingFlag { .. } => {
                self.input(&source, message::DOUBLE);
                let missing = self.op("IsNaN", &[&source]);
                Ok(self.flag(&missing))
            }
            Source::Level { level, .. } => {
                self.input(&source, message::STRING);
                let is = self.is_level(&source, level);
                Ok(self.flag(&is))
            }
            Source::Other { known, .. } => {
                self.input(&source, message::STRING);
                let known: Vec<String> = known.iter().map(|k| self.is_level(&source, k)).collect();
                let other = match self.any(&known) {
                    Some(any) => self.op("Not", &[&any]),
                    // without known levels everything is another one
                    None => self.op("Equal", &[&source, &source]),
                };
                Ok(self.flag(&other))
            }
            Source::Woe(binned) => self.woe(&source, binned),
        }
    }

    /// Weight of evidence: of each bin where it holds, one after the other.
    fn woe(&mut self, column: &str, binned: &Binned) -> Result<String, OnnxError> {
        let bins = &binned.binning.bins;
        let numeric = bins
            .iter()
            .any(|b| b.range.is_some() || !b.special.is_empty());
        let kind = if numeric {
            message::DOUBLE
        } else {
            message::STRING
        };
        self.input(column, kind);
        let mut special = Vec::new();
        for value in bins.iter().flat_map(|b| &b.special) {
            let value = self.number(value.value());
            special.push(self.op("Equal", &[column, &value]));
        }
        let is_special = self.any(&special);
        let named: Vec<&String> = bins.iter().flat_map(|b| &b.levels).collect();
        let mut sum: Option<String> = None;
        let mut specials = special.into_iter();
        for (bin, woe) in bins.iter().zip(&binned.woe) {
            let mut held: Vec<String> = specials.by_ref().take(bin.special.len()).collect();
            if let Some(Range { low, high }) = bin.range {
                let missing = self.op("IsNaN", &[column]);
                let mut inside = self.op("Not", &[&missing]);
                for (edge, kind) in [(low, "GreaterOrEqual"), (high, "Less")] {
                    let Some(edge) = edge else { continue };
                    let edge = self.number(edge.value());
                    let within = self.op(kind, &[column, &edge]);
                    inside = self.op("And", &[&inside, &within]);
                }
                if let Some(special) = &is_special {
                    let plain = self.op("Not", &[special]);
                    inside = self.op("And", &[&inside, &plain]);
                }
                held.push(inside);
            }
            for level in &bin.levels {
                held.push(self.is_level(column, level));
            }
            if bin.missing {
                held.push(match numeric {
                    true => self.op("IsNaN", &[column]),
                    false => self.is_level(column, MISSING_LEVEL),
                });
            }
            if bin.other_levels {
                let mut known = Vec::new();
                for level in &named {
                    known.push(self.is_level(column, level));
                }
                // a missing one is no other level
                known.push(self.is_level(column, MISSING_LEVEL));
                if let Some(any) = self.any(&known) {
                    held.push(self.op("Not", &[&any]));
                }
            }
            let Some(holds) = self.any(&held) else {
                continue;
            };
            let (flag, woe) = (self.flag(&holds), self.number(*woe));
            let part = self.op("Mul", &[&flag, &woe]);
            sum = Some(match sum {
                Some(sum) => self.op("Add", &[&sum, &part]),
                None => part,
            });
        }
        sum.ok_or_else(|| OnnxError::Column {
            name: column.to_owned(),
        })
    }

    fn standard(&mut self, column: &DesignColumn) -> Result<String, OnnxError> {
        let raw = self.raw(column)?;
        let (mean, sd) = (self.number(column.mean), self.number(column.sd));
        let centred = self.op("Sub", &[&raw, &mean]);
        Ok(self.op("Div", &[&centred, &sd]))
    }
}

/// The ONNX file of a half: `columns` of the design, what becomes of them, and a numeric column that is
/// added to the log-odds as it stands, if any.
///
/// # Errors
/// [`OnnxError`].
pub fn onnx(
    name: &str,
    columns: &[DesignColumn],
    head: Head<'_>,
    offset: Option<&str>,
) -> Result<Vec<u8>, OnnxError> {
    let weights = match head {
        Head::Logistic { coefficients, .. } => coefficients.len(),
        Head::Network { layers, .. } => layers.first().map_or(0, |l| l.0.len()),
    };
    if weights != columns.len() {
        return Err(OnnxError::Width {
            columns: columns.len(),
            weights,
        });
    }
    let mut b = Builder::default();
    let parts = columns
        .iter()
        .map(|c| b.standard(c))
        .collect::<Result<Vec<_>, _>>()?;
    if parts.is_empty() {
        return Err(OnnxError::Empty);
    }
    let taken = |n: &&DesignColumn| matches!(n.source.column(), OUTPUT) || offset == Some(OUTPUT);
    if let Some(column) = columns.iter().find(taken) {
        let name = column.name.clone();
        return Err(OnnxError::Column { name });
    }
    let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
    let mut value = b.with("Concat", &parts, vec![Attribute::int("axis", 1)]);
    match head {
        Head::Logistic {
            coefficients,
            intercept,
        } => {
            let w = b.constant(&[coefficients.len(), 1], coefficients.to_vec());
            let sum = b.op("MatMul", &[&value, &w]);
            let intercept = b.number(intercept);
            value = b.op("Add", &[&sum, &intercept]);
        }
        Head::Network { layers, edge } => {
            let (low, high) = (b.number(-edge), b.number(edge));
            value = b.op("Max", &[&value, &low]);
            value = b.op("Min", &[&value, &high]);
            let mut width = columns.len();
            for (k, (weights, biases)) in layers.iter().enumerate() {
                let flat: Vec<f64> = weights.iter().flatten().copied().collect();
                if weights.len() != width || flat.len() != width * biases.len() {
                    return Err(OnnxError::Width {
                        columns: width,
                        weights: weights.len(),
                    });
                }
                let w = b.constant(&[width, biases.len()], flat);
                let bias = b.constant(&[biases.len()], biases.clone());
                let sum = b.op("MatMul", &[&value, &w]);
                value = b.op("Add", &[&sum, &bias]);
                if k + 1 < layers.len() {
                    let zero = b.number(0.0);
                    value = b.op("Max", &[&value, &zero]);
                }
                width = biases.len();
            }
        }
    }
    if let Some(offset) = offset {
        b.input(offset, message::DOUBLE);
        value = b.op("Add", &[&value, offset]);
    }
    b.graph.node.push(Node {
        input: vec![value],
        output: vec![OUTPUT.into()],
        name: "result".into(),
        op_type: "Identity".into(),
        attribute: Vec::new(),
    });
    let dims = [None, Some(1)];
    b.graph
        .output
        .push(Value::tensor(OUTPUT, message::DOUBLE, &dims));
    b.graph.name = name.to_owned();
    Ok(Onnx::of(b.graph).encode_to_vec())
}
