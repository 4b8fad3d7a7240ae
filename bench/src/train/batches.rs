//! Mini-batches in the clear.

use paripassu_protocol::vertical::sgd::{SgdSpec, plain};

use super::{Beside, Setting, Told, apart};
use crate::{BenchError, cpu, data};

/// The same mini-batches in the clear, one thread: rows in the order of training beforehand, each read once a pass.
pub(super) fn in_the_clear(
    setting: &Setting,
    spec: &SgdSpec,
    [bank, partner]: &[Told; 2],
    x: &[f64],
    y: &[u8],
) -> Result<Beside, BenchError> {
    let d: usize = setting.cols.iter().sum();
    let scale = |p: usize| {
        let (x, _) = data::of_party(setting.rows, setting.cols[p], setting.seed, p);
        let of = plain::scale(&x, (setting.rows, setting.cols[p]), p == 0, spec.l2);
        of.map_err(|e| BenchError::Run(e.to_string()))
    };
    let scales = [scale(0)?, scale(1)?];
    let order = plain::order(spec.seed, y.len());
    let mut ordered = Vec::with_capacity(x.len());
    for i in &order {
        ordered.extend_from_slice(&x[i * d..(i + 1) * d]);
    }
    let labels: Vec<u8> = order.iter().map(|i| y[*i]).collect();
    let start = plain::start(d, y);
    let before = cpu::of_thread();
    let plain = plain::train(spec, (&ordered, &labels), &scales, &start);
    let cpu_s_plain = (cpu::of_thread() - before) as f64 * 1e-9;
    let joint: Vec<f64> = bank
        .coefficients
        .iter()
        .chain(&partner.coefficients)
        .copied()
        .chain(bank.intercept)
        .collect();
    let scores = [&joint, &plain].map(|w| {
        let score = |row: &[f64]| row.iter().zip(w).map(|(x, w)| x * w).sum::<f64>() + w[d];
        x.chunks_exact(d).map(score).collect()
    });
    Ok(Beside {
        cpu_s_plain,
        apart: apart(&joint[..d], &plain[..d]),
        scores,
    })
}
