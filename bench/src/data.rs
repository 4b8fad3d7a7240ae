//! Columns to train on: the synthetic portfolio, logarithmic and standardised.

use paripassu_crypto::prg::{Label, Prg};
use paripassu_model::synth::{Party, Portfolio};
use rayon::prelude::*;

/// Standardised columns of two parties and the label.
pub(crate) struct Sample {
    /// Row-major per party.
    pub(crate) x: [Vec<f64>; 2],
    pub(crate) cols: [usize; 2],
    pub(crate) y: Vec<u8>,
}

impl Sample {
    /// All columns of a row beside each other, `[rows, cols[0] + cols[1]]`.
    pub(crate) fn side_by_side(&self) -> Vec<f64> {
        let rows = self.x[0].chunks_exact(self.cols[0]);
        let rows = rows.zip(self.x[1].chunks_exact(self.cols[1]));
        rows.flat_map(|(a, b)| a.iter().chain(b)).copied().collect()
    }
}

/// The first columns of bank and bureau of the portfolio with this seed.
pub(crate) fn portfolio(rows: usize, cols: [usize; 2], seed: u64) -> Sample {
    let (bank, y) = of_party(rows, cols[0], seed, 0);
    let (partner, _) = of_party(rows, cols[1], seed, 1);
    Sample {
        x: [bank, partner],
        cols,
        y: y.unwrap_or_default(),
    }
}

/// The first columns of the bank (party 0), with the label, or of the bureau; where more are asked for than it has, made of these.
pub(crate) fn of_party(
    rows: usize,
    cols: usize,
    seed: u64,
    position: usize,
) -> (Vec<f64>, Option<Vec<u8>>) {
    let p = Portfolio::new(seed);
    let party = match position {
        0 => Party::Bank,
        _ => Party::Bureau,
    };
    let mut key = [0; 32];
    let (at, _) = key.split_at_mut(8);
    at.copy_from_slice(&seed.to_le_bytes());
    let stream = (Prg::new(&key), Label::matrix(position as u32));
    let more = WORDS * cols.saturating_sub(party.width());
    let mut x = vec![0.0; rows * cols];
    x.par_chunks_mut(cols.max(1))
        .enumerate()
        .for_each(|(row, out)| {
            let mut all = vec![0.0; party.width()];
            p.fill(party, row as u64, &mut all);
            for v in &mut all {
                *v = if v.is_nan() {
                    0.0
                } else {
                    v.signum() * v.abs().ln_1p()
                };
            }
            // beyond the portfolio's columns: what lies between two of them, and noise
            let mut noise = vec![0; more];
            stream.0.fill(stream.1, (row * more) as u64, &mut noise);
            let mut noise = noise.chunks_exact(WORDS);
            let n = all.len();
            for (j, o) in out.iter_mut().enumerate() {
                *o = match all.get(j) {
                    Some(v) => *v,
                    None => {
                        all[j % n] + all[(7 * j + 3) % n] + 2.0 * noise.next().map_or(0.0, normal)
                    }
                };
            }
        });
    standardise(&mut x, cols);
    let y = (position == 0).then(|| {
        let rows = (0..rows).into_par_iter();
        rows.map(|r| p.truth(r as u64).bad).collect()
    });
    (x, y)
}

/// Words of the stream that one nearly normal number takes.
const WORDS: usize = 6;

/// Nearly normal: a sum of twelve in [0, 1).
fn normal(words: &[u64]) -> f64 {
    let halves = words.iter().flat_map(|w| [*w as u32, (w >> 32) as u32]);
    halves.map(|h| f64::from(h) * 2f64.powi(-32)).sum::<f64>() - 6.0
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
