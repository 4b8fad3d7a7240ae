//! This party's half of the scorecard, and reasons across both parties.

use std::collections::BTreeMap;

use paripassu_job::{
    Contract,
    spec::{Columns, Spec},
};
use paripassu_model::{
    metrics::Scored,
    onnx::{Head, onnx},
    report::{CardReport, ReasonCount, Rounding},
    scorecard::{Card, Missed, Scaling, csv, pmml, rounded},
};
use paripassu_protocol::{
    abort::Abort,
    arith::Engine,
    correlation::CorrelationSource,
    reasons::{self, LARGEST, Largest, MOST, Shortfall},
};

use paripassu_service::{node::JobState, transport::JobChannel};

use super::{
    Prepared, Run, evaluate, own,
    rows::RowData,
    train::{Fit, Regression},
};

impl Run {
    /// This party's half of the scorecard and, where the job releases them, reasons across both parties.
    pub(super) async fn points<S: CorrelationSource>(
        &self,
        data: &Prepared,
        fit: &Regression,
        engine: &mut Engine<JobChannel, S>,
    ) -> Result<Option<Half>, Abort> {
        let Some(asked) = &self.spec().scorecard else {
            return Ok(None);
        };
        if data
            .bins
            .as_ref()
            .is_some_and(|bins| !bins.hidden.is_empty())
        {
            // points would be of weights that nobody sees
            return Ok(None);
        }
        let (job, me) = (
            self.job.job().to_string(),
            self.site.identity.peer().id.to_string(),
        );
        let mut half = Half::new(self.spec(), asked.scaling(), (&job, &me), data, fit)?;
        if asked.reasons {
            self.reporter.phase(JobState::Training, "reasons");
            let codes = Codes::new(&self.contract, &me, &data.features);
            half.theirs = reasons::merge(engine, &half.largest(&codes)?).await?;
        }
        Ok(Some(half))
    }

    /// Codes of the party whose reasons this one is shown.
    fn other_codes(&self) -> Option<Codes> {
        let me = self.site.identity.peer().id.to_string();
        let other = self
            .spec()
            .seats()
            .into_iter()
            .find(|p| p.id.as_str() != me)?;
        Some(Codes::new(&self.contract, other.id.as_str(), &[]))
    }

    /// Files of this party's half, and what the report says of it.
    pub(super) fn card(
        &self,
        half: &Half,
        data: &Prepared,
        fit: &Fit,
        rows: Option<&evaluate::Rows>,
    ) -> Result<(Files, CardReport), Abort> {
        let Fit::Logistic(fit) = fit else {
            return Err(own("points are of a logistic regression"));
        };
        let other = self.other_codes().filter(|_| half.theirs.is_some());
        let (text, counts) = half.explained(self.spec(), other.as_ref(), &data.test_ids);
        let offset = self.spec().model.offset.as_deref();
        let offset = offset.filter(|_| self.label);
        let files = half.files(data, fit, offset, text)?;
        Ok((files, half.report(rows, &data.rows, counts)))
    }
}

/// Names and contents.
type Files = Vec<(&'static str, Vec<u8>)>;

/// What becomes of a model as points.
#[derive(Clone)]
pub(crate) struct Half {
    pub(crate) card: Card,
    /// By test row: own characteristics with most points lost, most first.
    missed: Vec<Vec<Missed>>,
    /// By test row: own points, before and after rounding by characteristic.
    points: Vec<(f64, i64)>,
    /// By test row: the other party's codes, at the label party where the job releases them.
    pub(crate) theirs: Option<Vec<[u16; MOST]>>,
}

impl std::fmt::Debug for Half {
    /// Without what is of single customers.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Half({} test rows)", self.points.len())
    }
}

impl Half {
    /// Makes the card and the test rows' points.
    pub(crate) fn new(
        spec: &Spec,
        scaling: Scaling,
        (job, party): (&str, &str),
        data: &Prepared,
        fit: &Regression,
    ) -> Result<Self, Abort> {
        let texts = spec.scorecard.as_ref().map(|card| &card.texts);
        let texts = texts.and_then(|t| t.iter().find(|(id, _)| id.as_str() == party));
        let texts = texts.map_or_else(BTreeMap::new, |(_, t)| t.clone());
        let columns = data.design.columns();
        let each = columns.iter().zip(fit.coefficients.iter().copied());
        let card = Card::new(job, party, scaling, fit.intercept, each, &texts).map_err(own)?;
        let place: Vec<usize> = columns
            .iter()
            .map(|c| {
                let name = c.source.column();
                let at = card.characteristics.iter().position(|k| k.column == name);
                at.ok_or_else(|| own(format!("column `{name}` has no characteristic")))
            })
            .collect::<Result<_, _>>()?;
        let factor = scaling.factor();
        let (mut missed, mut points) = (Vec::new(), Vec::new());
        for row in data.test.rows() {
            let mut exact = vec![0.0; card.characteristics.len()];
            for ((x, w), at) in row.iter().zip(&fit.coefficients).zip(&place) {
                exact[*at] -= factor * w * x;
            }
            let whole: Vec<i64> = exact.iter().map(|p| rounded(*p)).collect();
            missed.push(card.most_missed(&whole, MOST));
            let sum = exact.iter().sum::<f64>() + card.initial.exact;
            points.push((sum, whole.iter().sum::<i64>() + card.initial.points));
        }
        Ok(Self {
            card,
            missed,
            points,
            theirs: None,
        })
    }

    /// The largest shortfalls of each test row, as the protocol takes them.
    pub(crate) fn largest(&self, codes: &Codes) -> Result<Vec<Largest>, Abort> {
        let code = |m: &Missed| -> Result<Shortfall, Abort> {
            let column = &self.card.characteristics[m.characteristic].column;
            Ok(Shortfall {
                points: u16::try_from(m.shortfall).unwrap_or(LARGEST).min(LARGEST),
                code: codes
                    .of(column)
                    .ok_or_else(|| own(format!("column `{column}` has no code for reasons")))?,
            })
        };
        self.missed
            .iter()
            .map(|row| {
                let mut all = Largest::default();
                for (place, m) in all.iter_mut().zip(row) {
                    *place = code(m)?;
                }
                Ok(all)
            })
            .collect()
    }

    /// Files of this half, beside the model.
    pub(crate) fn files(
        &self,
        data: &Prepared,
        fit: &Regression,
        offset: Option<&str>,
        explained: String,
    ) -> Result<Files, Abort> {
        let mut card = self.card.clone();
        if let Some(offset) = offset {
            card.add_offset(offset);
        }
        let head = Head::Logistic {
            coefficients: &fit.coefficients,
            intercept: fit.intercept.unwrap_or(0.0),
        };
        let model = onnx(&card.party, data.design.columns(), head, offset).map_err(own)?;
        let mut files = vec![
            ("scorecard.json", card.to_json().map_err(own)?.into_bytes()),
            ("scorecard.csv", csv(&card).into_bytes()),
            ("scorecard.pmml", pmml(&card).into_bytes()),
            ("model.onnx", model),
        ];
        files.push(("reasons.csv", explained.into_bytes()));
        Ok(files)
    }

    /// The reasons of each test row, in falling order within a party: own ones first.
    fn reasons<'a>(&'a self, other: Option<&'a Codes>, row: usize) -> Vec<String> {
        let theirs: Vec<String> = match (&self.theirs, other) {
            (Some(all), Some(codes)) => all
                .get(row)
                .into_iter()
                .flatten()
                .filter(|code| **code > 0)
                .map(|code| codes.name(*code))
                .collect(),
            _ => Vec::new(),
        };
        let room = MOST.saturating_sub(theirs.len());
        let own = self.missed.get(row).into_iter().flatten().take(room);
        let own = own.map(|m| {
            let c = &self.card.characteristics[m.characteristic];
            c.reason_code.clone()
        });
        own.chain(theirs).collect()
    }

    /// Reasons of all test rows as a file, and how often each was given.
    pub(crate) fn explained(
        &self,
        spec: &Spec,
        other: Option<&Codes>,
        ids: &[String],
    ) -> (String, Vec<ReasonCount>) {
        let text = |code: &str| -> String {
            let Some((party, column)) = code.split_once(':') else {
                return String::new();
            };
            let all = spec.scorecard.as_ref().map(|card| &card.texts);
            let owner = all.and_then(|t| t.iter().find(|(id, _)| id.as_str() == party));
            let text = owner.and_then(|(_, texts)| texts.get(column));
            text.cloned().unwrap_or_default()
        };
        let quoted = |cell: &str| match cell.contains([',', '"', '\n', '\r']) {
            true => format!("\"{}\"", cell.replace('"', "\"\"")),
            false => cell.to_owned(),
        };
        let mut out = String::from("id,reasons,in_words\n");
        let mut counts: BTreeMap<String, u64> = BTreeMap::new();
        for (row, id) in ids.iter().enumerate() {
            let codes = self.reasons(other, row);
            let words: Vec<String> = codes.iter().map(|c| text(c)).collect();
            let words: Vec<String> = words.into_iter().filter(|w| !w.is_empty()).collect();
            out.push_str(&format!(
                "{},{},{}\n",
                quoted(id),
                quoted(&codes.join(" ")),
                quoted(&words.join("; "))
            ));
            for code in codes {
                *counts.entry(code).or_default() += 1;
            }
        }
        let mut all: Vec<ReasonCount> = counts
            .into_iter()
            .map(|(code, rows)| ReasonCount {
                text: text(&code),
                code,
                rows,
            })
            .collect();
        all.sort_by_key(|r| std::cmp::Reverse(r.rows));
        (out, all)
    }

    /// What the report says of it. The rounding of the others' halves is that of their released parts as a
    /// whole: by characteristic it is known to them alone.
    pub(crate) fn report(
        &self,
        rows: Option<&evaluate::Rows>,
        beside: &RowData,
        reasons: Vec<ReasonCount>,
    ) -> CardReport {
        let rounding = rows.and_then(|rows| {
            let scaling = &self.card.scaling;
            let whole: Vec<f64> = rows
                .margins
                .iter()
                .zip(beside.of_accepted(self.points.clone()))
                .map(|(z, (exact, points))| {
                    let others = scaling.score(*z) - exact;
                    let score = points + rounded(others);
                    let odds = scaling.log_odds(score as f64);
                    1.0 / (1.0 + (-odds).exp())
                })
                .collect();
            let exact = Scored::new(&rows.labels, &rows.joint).ok()?.metrics();
            let after = Scored::new(&rows.labels, &whole).ok()?.metrics();
            Some(Rounding {
                ks_exact: exact.ks,
                ks_points: after.ks,
                auc_exact: exact.auc,
                auc_points: after.auc,
            })
        });
        CardReport {
            card: self.card.clone(),
            rounding,
            reasons,
        }
    }
}

/// Numbers that stand for the columns of a party while reasons are found.
#[derive(Debug, Clone)]
pub(crate) struct Codes {
    party: String,
    /// In the order of the contract; empty where the contract does not list them.
    listed: Vec<String>,
}

impl Codes {
    /// Of a party; `own` are the columns that a party which the contract says all of brings.
    pub(crate) fn new(contract: &Contract, party: &str, own: &[String]) -> Self {
        let spec = contract.spec();
        let seat = spec.party.iter().find(|p| p.id.as_str() == party);
        let listed = match seat.map(|p| &p.columns) {
            Some(columns @ Columns::Listed { .. }) => columns.names().map(str::to_owned).collect(),
            _ => own.to_vec(),
        };
        Self {
            party: party.to_owned(),
            listed,
        }
    }

    fn of(&self, column: &str) -> Option<u16> {
        let at = self.listed.iter().position(|c| c == column)?;
        u16::try_from(at + 1).ok()
    }

    fn name(&self, code: u16) -> String {
        let column = usize::from(code)
            .checked_sub(1)
            .and_then(|at| self.listed.get(at));
        match column {
            Some(column) => format!("{}:{column}", self.party),
            // a contract over all columns does not name them to others
            None => format!("{}:column-{code}", self.party),
        }
    }
}
