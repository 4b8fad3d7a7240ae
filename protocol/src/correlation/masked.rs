//! What the helper multiplies: products with the mask of a matrix, made again block by block, and of the
//! masks of an inverse's steps.

use paripassu_crypto::{prg::Label, ring64};
use rayon::prelude::*;

use super::{MatrixId, dealer::Dealer, helper::part, plan::Shape};
use crate::arith::inverse::{mirrored, triangle, triangle_len};

const ROWS: usize = 4096;

impl Dealer {
    fn mask_rows(&self, matrix: MatrixId, shape: Shape, first: usize, rows: usize) -> Vec<u64> {
        let mut a = vec![0; rows * shape.cols];
        if let Some(prg) = self.prgs.get(shape.owner) {
            prg.fill(Label::matrix(matrix.0), (first * shape.cols) as u64, &mut a);
        }
        a
    }

    /// The correction of one step of an inverse: A B and B C, and the parts of both cuts.
    pub(super) fn inverse_step(&self, id: u32, first: u32, d: usize, cuts: [u32; 2]) -> Vec<u64> {
        let (n, full, upper) = (self.prgs.len(), d * d, triangle_len(d));
        let symmetric = |id, part| mirrored(&self.sum(id, part, upper, 0..n), d);
        let (a, b) = (symmetric(first, part::OPERAND), symmetric(id, part::THIRD));
        let c = self.sum(id, part::FOURTH, full, 0..n);
        let mut out = vec![0; full];
        ring64::mat_mat(&a, d, &b, d, &mut out);
        ring64::sub_assign(&mut out, &self.sum(id, part::OUTPUT, full, 1..n));
        let mut bc = vec![0; full];
        ring64::mat_mat(&b, d, &c, d, &mut bc);
        let mut bc = triangle(&bc, d);
        ring64::sub_assign(&mut bc, &self.sum(id, part::FIFTH, upper, 1..n));
        out.extend(bc);
        for ((streams, by), len) in part::CUTS.into_iter().zip(cuts).zip([full, upper]) {
            out.extend(self.cut(id, streams, len, by));
        }
        out
    }

    /// `diag(b) A` and `Aᵀ diag(b) A` for the mask of a matrix.
    pub(super) fn weighted(
        &self,
        matrix: MatrixId,
        shape: Shape,
        b: &[u64],
    ) -> (Vec<u64>, Vec<u64>) {
        let (rows, d) = (shape.rows, shape.cols);
        let (mut spread, mut gram) = (vec![0; rows * d], vec![0; d * d]);
        if d == 0 {
            return (spread, gram);
        }
        for (at, (spread, b)) in spread.chunks_mut(ROWS * d).zip(b.chunks(ROWS)).enumerate() {
            let a = self.mask_rows(matrix, shape, at * ROWS, b.len());
            ring64::add_weighted(&a, d, b, spread);
            ring64::mat_t_symmetric(&a, d, spread, &mut gram);
        }
        (spread, gram)
    }

    /// `y_t += A v_t` for the mask of a matrix, each block of it made once for all vectors.
    pub(super) fn masked_rows(&self, matrix: MatrixId, shape: Shape, v: &[u64], y: &mut [u64]) {
        if shape.rows == 0 || shape.cols == 0 {
            return;
        }
        let vs: Vec<&[u64]> = v.chunks_exact(shape.cols).collect();
        let mut blocks: Vec<Vec<&mut [u64]>> = Vec::new();
        blocks.resize_with(shape.rows.div_ceil(ROWS), Vec::new);
        for y in y.chunks_exact_mut(shape.rows) {
            for (block, y) in blocks.iter_mut().zip(y.chunks_mut(ROWS)) {
                block.push(y);
            }
        }
        blocks.par_iter_mut().enumerate().for_each(|(b, ys)| {
            let rows = ys.first().map_or(0, |y| y.len());
            let a = self.mask_rows(matrix, shape, b * ROWS, rows);
            ring64::mat_vecs(&a, &vs, ys);
        });
    }

    /// `y_t += Aᵀ v_t`, likewise.
    pub(super) fn masked_transposed(
        &self,
        matrix: MatrixId,
        shape: Shape,
        v: &[u64],
        y: &mut [u64],
    ) {
        if shape.rows == 0 || shape.cols == 0 {
            return;
        }
        let vs: Vec<&[u64]> = v.chunks_exact(shape.rows).collect();
        let sum = (0..shape.rows.div_ceil(ROWS))
            .into_par_iter()
            .map(|b| {
                let rows = b * ROWS..shape.rows.min((b + 1) * ROWS);
                let a = self.mask_rows(matrix, shape, rows.start, rows.len());
                let vs: Vec<&[u64]> = vs.iter().map(|v| &v[rows.clone()]).collect();
                let mut g = vec![0; shape.cols * vs.len()];
                let mut gs: Vec<&mut [u64]> = g.chunks_exact_mut(shape.cols).collect();
                ring64::mat_t_vecs(&a, &vs, &mut gs);
                g
            })
            .reduce(
                || vec![0; y.len()],
                |mut a, b| {
                    ring64::add_assign(&mut a, &b);
                    a
                },
            );
        ring64::add_assign(y, &sum);
    }

    /// `A V` or `Aᵀ V` for the mask of a matrix, made again block by block.
    pub(super) fn masked_product(
        &self,
        matrix: MatrixId,
        shape: Shape,
        transposed: bool,
        v: &[u64],
        k: usize,
    ) -> Vec<u64> {
        if shape.rows == 0 || shape.cols == 0 || k == 0 {
            return vec![0; if transposed { shape.cols } else { shape.rows } * k];
        }
        if !transposed {
            let mut y = vec![0; shape.rows * k];
            y.par_chunks_mut(ROWS * k).enumerate().for_each(|(b, y)| {
                let a = self.mask_rows(matrix, shape, b * ROWS, y.len() / k);
                ring64::mat_mat(&a, shape.cols, v, k, y);
            });
            return y;
        }
        v.par_chunks(ROWS * k)
            .enumerate()
            .map(|(b, v)| {
                let a = self.mask_rows(matrix, shape, b * ROWS, v.len() / k);
                let mut g = vec![0; shape.cols * k];
                ring64::mat_t_mat(&a, shape.cols, v, k, &mut g);
                g
            })
            .reduce(
                || vec![0; shape.cols * k],
                |mut a, b| {
                    ring64::add_assign(&mut a, &b);
                    a
                },
            )
    }
}
