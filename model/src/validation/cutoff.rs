//! Approval, bad rate and expected loss by cut-off; who would be decided otherwise than before.

use serde::{Deserialize, Serialize};

use super::{Ask, groups::pick};
use crate::metrics::{MetricError, Scored, rank_as_pd};

/// Steps of the cut-off table.
const STEPS: usize = 20;

/// What a defaulted row costs.
#[derive(Debug, Clone, Copy)]
pub struct Loss<'a> {
    /// Loss given default, a share of the exposure.
    pub lgd: f64,
    /// Exposure of each row; 1 each where none is given.
    pub exposure: Option<&'a [f64]>,
}

impl Loss<'_> {
    fn of(&self, row: usize) -> f64 {
        self.lgd * self.exposure.map_or(1.0, |e| e[row])
    }
}

/// Everything with a PD at or under the cut-off is approved.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Cutoff {
    /// Highest PD that is approved.
    pub max_pd: f64,
    /// Rows approved.
    pub approved: usize,
    /// Share of rows approved; tied PDs are decided alike.
    pub approval_rate: f64,
    /// Bads among them.
    pub bads: usize,
    /// `bads / approved`.
    pub bad_rate: f64,
    /// Share of all bads declined.
    pub bads_declined: f64,
    /// Share of all goods declined.
    pub goods_declined: f64,
    /// Sum of `PD * lgd * exposure` over the approved.
    pub expected_loss: Option<f64>,
    /// Sum of `lgd * exposure` over the approved bads.
    pub realised_loss: Option<f64>,
}

/// Positions by rising PD, and the cuts that leave ties whole nearest below each share.
fn cuts(pd: &[f64], shares: impl Iterator<Item = f64>) -> (Vec<usize>, Vec<usize>) {
    let mut order: Vec<usize> = (0..pd.len()).collect();
    order.sort_by(|&a, &b| pd[a].total_cmp(&pd[b]));
    let mut ends = Vec::new();
    let mut end = 0;
    for run in order.chunk_by(|&a, &b| pd[a] == pd[b]) {
        end += run.len();
        ends.push(end);
    }
    let n = pd.len() as f64;
    let cuts = shares.map(|share| {
        let most = (share * n + 1e-9).floor() as usize;
        let at = ends.partition_point(|e| *e <= most);
        if at == 0 { 0 } else { ends[at - 1] }
    });
    let cuts = cuts.collect();
    (order, cuts)
}

pub(super) fn table(scored: &Scored<'_>, loss: Option<&Loss<'_>>) -> Vec<Cutoff> {
    let (pd, labels) = (scored.pd(), scored.labels());
    let shares = (1..=STEPS).map(|k| k as f64 / STEPS as f64);
    let (order, mut cuts) = cuts(pd, shares);
    cuts.retain(|c| *c > 0);
    cuts.dedup();
    let one = |cut: usize| {
        let approved = &order[..cut];
        let bads = approved.iter().filter(|r| labels[**r] == 1).count();
        let sum = |of: &dyn Fn(usize) -> f64| approved.iter().map(|r| of(*r)).sum::<f64>();
        Cutoff {
            max_pd: order.get(cut - 1).map_or(f64::NAN, |r| pd[*r]),
            approved: cut,
            approval_rate: cut as f64 / pd.len() as f64,
            bads,
            bad_rate: bads as f64 / cut as f64,
            bads_declined: 1.0 - bads as f64 / scored.bads() as f64,
            goods_declined: 1.0 - (cut - bads) as f64 / scored.goods() as f64,
            expected_loss: loss.map(|l| sum(&|r| pd[r] * l.of(r))),
            realised_loss: loss.map(|l| sum(&|r| f64::from(labels[r]) * l.of(r))),
        }
    };
    cuts.into_iter().map(one).collect()
}

/// Which of the best `share` of rows are approved.
pub(super) fn approved(pd: &[f64], share: f64) -> Vec<bool> {
    let (order, cuts) = cuts(pd, std::iter::once(share));
    let mut yes = vec![false; pd.len()];
    for row in order.iter().take(cuts.first().copied().unwrap_or(0)) {
        yes[*row] = true;
    }
    yes
}

/// Rows and bads of a cell of the swap set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct SwapCell {
    /// Rows.
    pub rows: usize,
    /// Bads.
    pub bads: usize,
}

impl SwapCell {
    /// Bad rate, where there are rows.
    pub fn bad_rate(&self) -> Option<f64> {
        (self.rows > 0).then(|| self.bads as f64 / self.rows as f64)
    }
}

/// Decisions of two models that approve the same share.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Swap {
    /// The model that decided before.
    pub before: String,
    /// The model under test.
    pub after: String,
    /// Share to approve.
    pub approve: f64,
    /// Approved by both.
    pub kept: SwapCell,
    /// Declined before, approved now.
    pub swapped_in: SwapCell,
    /// Approved before, declined now.
    pub swapped_out: SwapCell,
    /// Declined by both.
    pub declined: SwapCell,
}

/// Against the incumbent, on rows that have its score; else against the baseline.
pub(super) fn swap(ask: &Ask<'_>) -> Result<Option<Swap>, MetricError> {
    let incumbent = ask.incumbent.as_ref();
    let rows: Vec<usize> = (0..ask.labels.len())
        .filter(|r| incumbent.is_none_or(|s| !s.values[*r].is_nan()))
        .collect();
    if rows.is_empty() {
        return Ok(None);
    }
    let (name, before) = match incumbent {
        Some(s) => (
            s.name,
            rank_as_pd(&pick(s.values, &rows), s.higher_is_worse)?,
        ),
        None => (ask.baseline.name, pick(ask.baseline.pd, &rows)),
    };
    let before = approved(&before, ask.approve);
    let after = approved(&pick(ask.challenger.pd, &rows), ask.approve);
    let mut swap = Swap {
        before: name.to_owned(),
        after: ask.challenger.name.to_owned(),
        approve: ask.approve,
        kept: SwapCell::default(),
        swapped_in: SwapCell::default(),
        swapped_out: SwapCell::default(),
        declined: SwapCell::default(),
    };
    for ((row, before), after) in rows.iter().zip(before).zip(after) {
        let cell = match (before, after) {
            (true, true) => &mut swap.kept,
            (false, true) => &mut swap.swapped_in,
            (true, false) => &mut swap.swapped_out,
            (false, false) => &mut swap.declined,
        };
        cell.rows += 1;
        cell.bads += usize::from(ask.labels[*row] == 1);
    }
    Ok(Some(swap))
}
