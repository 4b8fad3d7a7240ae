//! A tree of one column: the best cut first.

use super::merge::{Task, stretch};

/// First units of the bins that are left.
pub(super) fn merge(task: &Task<'_>, stop: f64) -> Vec<usize> {
    let sums = task.sums();
    let n = task.units.len();
    let mut starts = vec![0];
    let mut iv = task.iv(stretch(&sums, 0, n));
    while starts.len() < task.limits.max_bins {
        let mut best: Option<(f64, usize)> = None;
        for (k, &from) in starts.iter().enumerate() {
            let to = starts.get(k + 1).copied().unwrap_or(n);
            let whole = task.iv(stretch(&sums, from, to));
            for cut in from + 1..to {
                let (left, right) = (stretch(&sums, from, cut), stretch(&sums, cut, to));
                if !task.allows(left) || !task.allows(right) {
                    continue;
                }
                let gain = task.iv(left) + task.iv(right) - whole;
                if best.is_none_or(|(most, _)| gain > most) {
                    best = Some((gain, cut));
                }
            }
        }
        // the first cut begins at nothing: any gain will do
        let enough = |gain: f64| gain > 1e-12 && (starts.len() == 1 || gain >= stop * iv);
        let Some((gain, cut)) = best.filter(|(gain, _)| enough(*gain)) else {
            break;
        };
        iv += gain;
        let at = starts.partition_point(|s| *s < cut);
        starts.insert(at, cut);
    }
    starts
}
