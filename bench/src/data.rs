//! Columns to train on: the synthetic portfolio, logarithmic and standardised.

use paripassu_model::synth::{Party, Portfolio};
use rayon::prelude::*;

/// Standardised columns of two parties and the label.
pub(crate) struct Sample {
    /// Row-major per party.
    pub(crate) x: [Vec<f64>; 2],
    pub(crate) cols: [usize; 2],
    pub(crate) y: Vec<u8>,
}

/// The first columns of bank and bureau of the portfolio with this seed.
pub(crate) fn portfolio(rows: usize, cols: [usize; 2], seed: u64) -> Sample {
    let p = Portfolio::new(seed);
    let x = [(Party::Bank, cols[0]), (Party::Bureau, cols[1])].map(|(party, want)| {
        let mut x = vec![0.0; rows * want];
        x.par_chunks_mut(want.max(1))
            .enumerate()
            .for_each(|(row, out)| {
                let mut all = vec![0.0; party.width()];
                p.fill(party, row as u64, &mut all);
                for (o, v) in out.iter_mut().zip(all) {
                    *o = if v.is_nan() {
                        0.0
                    } else {
                        v.signum() * v.abs().ln_1p()
                    };
                }
            });
        standardise(&mut x, want);
        x
    });
    let y = (0..rows)
        .into_par_iter()
        .map(|r| p.truth(r as u64).bad)
        .collect();
    Sample { x, cols, y }
}

fn standardise(x: &mut [f64], cols: usize) {
    if cols == 0 {
        return;
    }
    let rows = (x.len() / cols) as f64;
    let (mut mean, mut square) = (vec![0.0; cols], vec![0.0; cols]);
    for row in x.chunks_exact(cols) {
        for (j, v) in row.iter().enumerate() {
            mean[j] += v / rows;
            square[j] += v * v / rows;
        }
    }
    for row in x.chunks_exact_mut(cols) {
        for (j, v) in row.iter_mut().enumerate() {
            let sd = (square[j] - mean[j] * mean[j]).max(0.0).sqrt();
            *v = if sd > 0.0 { (*v - mean[j]) / sd } else { 0.0 };
        }
    }
}
