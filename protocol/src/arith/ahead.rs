//! Owner-matrix products whose masks are made several at a time.
//!
//! The masks of a product with a vector depend on no data, so those of the next few products with the
//! same matrix are made together: the helper makes each block of the matrix's mask once for all of them,
//! and the other parties read the masked matrix once. What is sent, and what it shows, is the same.

use std::{collections::VecDeque, sync::Arc};

use paripassu_crypto::ring64;

use super::{engine::Engine, owner::Body, owner::OwnerMatrix};
use crate::{
    abort::Abort,
    channel::Channel,
    compute::offload,
    correlation::{CorrelationSource, MatrixId, Product, Request},
};

/// Masks for products `X v` (or `Xᵀ v`) with one matrix, each used once. At others than the owner the
/// `output`s are their whole parts of the results: nothing is left to do for them.
pub struct Ahead {
    pub(super) matrix: MatrixId,
    pub(super) transposed: bool,
    masks: VecDeque<Product>,
}

impl std::fmt::Debug for Ahead {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Ahead({} products)", self.masks.len())
    }
}

impl Ahead {
    /// Products that can be made.
    pub fn left(&self) -> usize {
        self.masks.len()
    }

    /// More masks for the same products.
    pub fn extend(&mut self, more: Self) {
        self.masks.extend(more.masks);
    }

    pub(super) fn next(&mut self) -> Result<Product, Abort> {
        let none = || Abort::Input("more products are made than masks were".into());
        self.masks.pop_front().ok_or_else(none)
    }
}

impl<C: Channel, S: CorrelationSource> Engine<C, S> {
    /// Masks for `count` products with each of these matrices, or their transposes where it says so.
    ///
    /// # Leakage
    /// None.
    ///
    /// # Errors
    /// The source's.
    pub async fn ahead(
        &mut self,
        jobs: &[(&OwnerMatrix, bool)],
        count: usize,
    ) -> Result<Vec<Ahead>, Abort> {
        let requests: Vec<Request> = jobs
            .iter()
            .map(|(m, transposed)| Request::Vectors {
                matrix: m.id,
                transposed: *transposed,
                count: count as u64,
            })
            .collect();
        self.source.announce(&requests).await?;
        let mut out = Vec::with_capacity(jobs.len());
        for (m, transposed) in jobs.iter().copied() {
            let mut masks = self.source.vectors(m.id, transposed, count).await?;
            if let Body::Masked(d) = &m.body {
                let d = Arc::clone(d);
                masks = offload(move || {
                    let (vs, mut outs): (Vec<&[u64]>, Vec<&mut [u64]>) = masks
                        .iter_mut()
                        .map(|c| (&c.operand[..], &mut c.output[..]))
                        .unzip();
                    match transposed {
                        true => ring64::mat_t_vecs(&d, &vs, &mut outs),
                        false => ring64::mat_vecs(&d, &vs, &mut outs),
                    }
                    masks
                })
                .await;
            }
            out.push(Ahead {
                matrix: m.id,
                transposed,
                masks: masks.into(),
            });
        }
        Ok(out)
    }
}
