//! Decisions and calibration by a declared attribute, small groups left out.
//!
//! Adverse impact ratio: approval rate over that of the reference group (the "four-fifths rule" asks
//! for 0.8). Equal opportunity: approval rate among goods, as a difference from the reference group
//! (Hardt, Price, Srebro, NeurIPS 2016). Standardised mean difference of log-odds: Cohen's d.

use serde::{Deserialize, Serialize};

use super::{Groups, cutoff::approved};

/// What is asked about an attribute.
#[derive(Debug, Clone)]
pub struct FairnessAsk<'a> {
    /// Group of each row.
    pub groups: Groups<'a>,
    /// Group the others are compared with; the largest where none is named.
    pub reference: Option<&'a str>,
    /// Groups with fewer rows, or fewer than five goods or five bads, are left out.
    pub min_rows: usize,
    /// Least approval rate as a share of the reference group's.
    pub least_ratio: f64,
}

/// The table.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Fairness {
    /// The attribute.
    pub column: String,
    /// Share approved.
    pub approve: f64,
    /// The group compared with; none where every group is left out.
    pub reference: Option<String>,
    /// Least number of rows of a group that is shown.
    pub min_rows: usize,
    /// Least ratio asked for.
    pub least_ratio: f64,
    /// Groups that are large enough.
    pub rows: Vec<FairnessRow>,
    /// Names of groups that are left out.
    pub left_out: Vec<String>,
}

/// One group.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FairnessRow {
    /// The group.
    pub group: String,
    /// Rows.
    pub rows: usize,
    /// Approval rate.
    pub approval_rate: f64,
    /// Approval rate over that of the reference group.
    pub impact_ratio: Option<f64>,
    /// Approval rate among goods.
    pub goods_approved: f64,
    /// The same minus that of the reference group.
    pub opportunity_gap: f64,
    /// Difference of mean log-odds of bad from the reference group in pooled standard deviations.
    pub smd: Option<f64>,
    /// Mean PD.
    pub mean_pd: f64,
    /// Bad rate.
    pub bad_rate: f64,
    /// Whether the ratio is below the least asked for.
    pub below: bool,
}

struct Counted<'a> {
    name: &'a str,
    rows: usize,
    bads: usize,
    approved: usize,
    goods_approved: usize,
    pd: f64,
    z: Vec<f64>,
}

fn log_odds(pd: f64) -> f64 {
    let p = pd.clamp(1e-15, 1.0 - 1e-15);
    (p / (1.0 - p)).ln()
}

fn mean_and_variance(z: &[f64]) -> (f64, f64) {
    let n = z.len() as f64;
    let mean = z.iter().sum::<f64>() / n;
    (
        mean,
        z.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / (n - 1.0).max(1.0),
    )
}

pub(super) fn table(ask: &FairnessAsk<'_>, labels: &[u8], pd: &[f64], approve: f64) -> Fairness {
    let yes = approved(pd, approve);
    let each = ask.groups.each();
    let mut shown: Vec<Counted<'_>> = Vec::new();
    let mut left_out = Vec::new();
    for (name, rows) in &each {
        let bads = rows.iter().filter(|r| labels[**r] == 1).count();
        let goods = rows.len() - bads;
        if rows.len() < ask.min_rows || bads < 5 || goods < 5 {
            left_out.push((*name).to_owned());
            continue;
        }
        shown.push(Counted {
            name,
            rows: rows.len(),
            bads,
            approved: rows.iter().filter(|r| yes[**r]).count(),
            goods_approved: rows.iter().filter(|r| yes[**r] && labels[**r] == 0).count(),
            pd: rows.iter().map(|r| pd[*r]).sum(),
            z: rows.iter().map(|r| log_odds(pd[*r])).collect(),
        });
    }
    // what is left out alone would follow from the totals
    if left_out.len() == 1
        && let Some((at, _)) = shown.iter().enumerate().min_by_key(|(_, c)| c.rows)
    {
        left_out.push(shown.remove(at).name.to_owned());
    }
    let reference = shown
        .iter()
        .position(|c| Some(c.name) == ask.reference)
        .or_else(|| (0..shown.len()).max_by_key(|k| shown[*k].rows));
    let rows = match reference.map(|k| &shown[k]) {
        None => Vec::new(),
        Some(base) => {
            let rate = |c: &Counted<'_>| c.approved as f64 / c.rows as f64;
            let goods = |c: &Counted<'_>| c.goods_approved as f64 / (c.rows - c.bads) as f64;
            let (base_mean, base_variance) = mean_and_variance(&base.z);
            shown
                .iter()
                .map(|c| {
                    let ratio = (rate(base) > 0.0).then(|| rate(c) / rate(base));
                    let (mean, variance) = mean_and_variance(&c.z);
                    let pooled = (0.5 * (variance + base_variance)).sqrt();
                    FairnessRow {
                        group: c.name.to_owned(),
                        rows: c.rows,
                        approval_rate: rate(c),
                        impact_ratio: ratio,
                        goods_approved: goods(c),
                        opportunity_gap: goods(c) - goods(base),
                        smd: (pooled > 0.0).then(|| (mean - base_mean) / pooled),
                        mean_pd: c.pd / c.rows as f64,
                        bad_rate: c.bads as f64 / c.rows as f64,
                        below: ratio.is_some_and(|r| r < ask.least_ratio),
                    }
                })
                .collect()
        }
    };
    Fairness {
        column: ask.groups.column.to_owned(),
        approve,
        reference: reference.map(|k| shown[k].name.to_owned()),
        min_rows: ask.min_rows,
        least_ratio: ask.least_ratio,
        rows,
        left_out,
    }
}
