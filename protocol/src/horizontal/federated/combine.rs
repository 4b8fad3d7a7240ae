//! From the groups' sums to one step.

use std::collections::BTreeMap;

use super::{Robust, own};
use crate::{
    abort::Abort,
    horizontal::{fixed::Point, secagg::Members},
};

/// What a group's sum says.
#[derive(Debug)]
pub(super) struct Group {
    pub(super) number: usize,
    pub(super) weight: f64,
    pub(super) mean: Vec<f64>,
    /// Longer than honest banks allow.
    pub(super) too_long: bool,
}

/// The weight of each set of banks, as it was first: it may not change.
pub(super) type Weighed = BTreeMap<(usize, Vec<usize>), u64>;

/// Reads the groups' sums; a group of which nobody was left is not among them.
///
/// # Errors
/// A group whose weight is no sum of weights, or has changed.
pub(super) fn groups(
    words: &[u64],
    turn: &[usize],
    members: &[Members],
    survivors: Members,
    point: Point,
    max_norm: Option<f64>,
    weighed: &mut Weighed,
) -> Result<Vec<Group>, Abort> {
    let width = words.len() / turn.len().max(1);
    let mut out = Vec::with_capacity(turn.len());
    for ((number, part), banks) in turn.iter().zip(words.chunks(width.max(1))).zip(members) {
        let there: Vec<usize> = banks.and(&survivors).iter().collect();
        if there.is_empty() {
            continue;
        }
        let (weight, update) = part.split_last().ok_or_else(|| own("a sum of nothing"))?;
        let first = *weighed.entry((*number, there)).or_insert(*weight);
        // by rows at most 2^40; a bank that changes its weight would count for more than it said
        if first != *weight || *weight == 0 || *weight >= 1 << 40 {
            return Err(Abort::NotConverged {
                passes: 0,
                problem: format!(
                    "group {} has the weight {weight} and had {first}: a bank in it says another \
                     number of rows than before, or none",
                    number + 1
                ),
            });
        }
        let weight = *weight as f64;
        let mean: Vec<f64> = update.iter().map(|w| point.decode(*w) / weight).collect();
        let norm = mean.iter().map(|u| u * u).sum::<f64>().sqrt();
        out.push(Group {
            number: *number,
            weight,
            // what rounding to fixed point may add
            too_long: max_norm.is_some_and(|most| norm > most * (1.0 + 1e-6)),
            mean,
        });
    }
    Ok(out)
}

/// The step; none where there is no group.
pub(super) fn combined(groups: &[Group], robust: Robust) -> Option<Vec<f64>> {
    let width = groups.first()?.mean.len();
    let total: f64 = groups.iter().map(|group| group.weight).sum();
    let of = |j: usize| {
        let parts = || {
            groups
                .iter()
                .filter_map(|group| Some((group.mean.get(j)?, group.weight)))
        };
        match robust {
            Robust::Median => {
                let mut values: Vec<f64> = parts().map(|(u, _)| *u).collect();
                values.sort_by(f64::total_cmp);
                let middle = values.len() / 2;
                match values.len() % 2 {
                    1 => values[middle],
                    _ => (values[middle - 1] + values[middle]) / 2.0,
                }
            }
            _ => parts().map(|(u, weight)| u * weight).sum::<f64>() / total,
        }
    };
    Some((0..width).map(of).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn point() -> Point {
        Point { frac: 20 }
    }

    fn words(groups: &[(&[f64], u64)]) -> Vec<u64> {
        let of = |(mean, weight): &(&[f64], u64)| {
            let scaled = mean
                .iter()
                .map(|u| (u * *weight as f64 * 1_048_576.0) as i64 as u64);
            scaled.chain([*weight]).collect::<Vec<_>>()
        };
        groups.iter().flat_map(of).collect()
    }

    fn banks(of: &[usize]) -> Members {
        of.iter().copied().collect()
    }

    #[test]
    fn means_count_by_weight_and_medians_do_not() {
        let all = words(&[(&[1.0, -1.0], 10), (&[2.0, 0.0], 30), (&[-40.0, 9.0], 20)]);
        let members = [banks(&[0, 1, 2]), banks(&[3, 4, 5]), banks(&[6, 7, 8])];
        let mut weighed = Weighed::new();
        let read = |max_norm, weighed: &mut Weighed| {
            let survivors = Members::first(9);
            groups(
                &all,
                &[0, 1, 2],
                &members,
                survivors,
                point(),
                max_norm,
                weighed,
            )
            .unwrap()
        };
        let got = read(None, &mut weighed);
        assert_eq!(combined(&got, Robust::Median), Some(vec![1.0, 0.0]));
        let mean = combined(&got, Robust::No).unwrap();
        assert!((mean[0] - (10.0 + 60.0 - 800.0) / 60.0).abs() < 1e-9);
        let bounded = read(Some(3.0), &mut weighed);
        let out: Vec<bool> = bounded.iter().map(|group| group.too_long).collect();
        assert_eq!(out, [false, false, true]);
        assert_eq!(combined(&[], Robust::No), None);
    }

    #[test]
    fn a_weight_may_not_change_and_a_lost_group_is_left_out() {
        let members = [banks(&[0, 1, 2]), banks(&[3, 4, 5])];
        let mut weighed = Weighed::new();
        let mut read = |weight, survivors: Members| {
            let all = words(&[(&[1.0], weight), (&[0.0], 7)]);
            groups(
                &all,
                &[0, 1],
                &members,
                survivors,
                point(),
                None,
                &mut weighed,
            )
        };
        assert_eq!(read(10, Members::first(6)).unwrap().len(), 2);
        let error = read(11, Members::first(6)).unwrap_err().to_string();
        assert!(error.contains("group 1"), "{error}");
        assert_eq!(read(10, Members::first(3)).unwrap().len(), 1);
        assert!(read(0, Members::first(3)).is_err());
    }
}
