//! What all parties draw alike from the job's public seed: initial weights, orders, dropout.

use paripassu_crypto::prg::{Label, Prg};

/// Streams of the seed.
mod stream {
    pub(super) const INITIAL: u8 = 0;
    pub(super) const ROWS: u8 = 1;
    pub(super) const BATCHES: u8 = 2;
    pub(super) const DROPOUT: u8 = 3;
}

/// Draws that depend on the seed alone. Nothing of it is secret.
pub(in crate::vertical) struct Public {
    prg: Prg,
}

/// A number in [0, 1) of 53 bits.
fn unit(word: u64) -> f64 {
    (word >> 11) as f64 * 2f64.powi(-53)
}

impl Public {
    pub(in crate::vertical) fn new(seed: u64) -> Self {
        let mut secret = [0; 32];
        secret[..8].copy_from_slice(&seed.to_le_bytes());
        Self {
            prg: Prg::new(&secret),
        }
    }

    /// Initial weights and biases `[inputs + 1, outputs]` of layer `l`, biases in row `bias`: within
    /// ±√(6 / (inputs + outputs)) (Glorot and Bengio, AISTATS 2010), biases 0.
    pub(super) fn initial(&self, l: usize, inputs: usize, outputs: usize, bias: usize) -> Vec<f64> {
        let bound = (6.0 / (inputs + outputs) as f64).sqrt();
        let label = Label::request(l as u32, stream::INITIAL);
        let words = self.prg.words(label, (inputs + 1) * outputs);
        let weight = |(i, w): (usize, &u64)| match i / outputs == bias {
            true => 0.0,
            false => bound * (2.0 * unit(*w) - 1.0),
        };
        words.iter().enumerate().map(weight).collect()
    }

    fn shuffled(&self, label: Label, n: usize) -> Vec<usize> {
        let words = self.prg.words(label, n);
        let mut order: Vec<usize> = (0..n).collect();
        for i in (1..n).rev() {
            let j = (u128::from(words[i]) * (i as u128 + 1)) >> 64;
            order.swap(i, j as usize);
        }
        order
    }

    /// The order of the training rows, of which batches are cut.
    pub(in crate::vertical) fn rows(&self, n: usize) -> Vec<usize> {
        self.shuffled(Label::request(0, stream::ROWS), n)
    }

    /// The order of the batches in an epoch, from 1.
    pub(super) fn batches(&self, epoch: usize, n: usize) -> Vec<usize> {
        self.shuffled(Label::request(epoch as u32, stream::BATCHES), n)
    }

    /// Which values of hidden layer `l` of batch `t` dropout leaves.
    pub(super) fn kept(&self, t: usize, l: usize, len: usize, dropout: f64) -> Vec<bool> {
        let request = t.wrapping_mul(8).wrapping_add(l) as u32;
        let words = self
            .prg
            .words(Label::request(request, stream::DROPOUT), len);
        words.into_iter().map(|w| unit(w) >= dropout).collect()
    }
}

/// Lengths of `n` rows' batches of at most `most` rows, all about as long.
pub(in crate::vertical) fn batch_sizes(n: usize, most: usize) -> Vec<usize> {
    let count = n.div_ceil(most.max(1)).max(1);
    (0..count)
        .map(|b| (b + 1) * n / count - b * n / count)
        .collect()
}
