//! A proof on shares that a vector of whole numbers is no longer than a bound.
//!
//! **Functionality.** A prover has whole numbers x_1 .. x_m. Verifiers hold additive shares modulo p = 2^61 - 1 of them, of
//! the prover's [`Statement::witness`] and of its [`Statement::prove`]. They learn whether `Σ x² ≤ BOUND` and every
//! |x| is below 2^15, and nothing else.
//!
//! **How.** The witness is the bits β of every `x + 2^15` and of `BOUND - Σ x²`. For a random ρ, drawn when the
//! shares of both are given away, the following is 0 for a true statement and for a false one with a chance of
//! at most `degree / p`:
//!
//! ```text
//! Σ_t ρ^t β_t (β_t - 1)  +  ρ^M (Σ x² + Σ 2^k slack_k - BOUND)  +  Σ_l ρ^(M+1+l) (x_l + 2^15 - Σ 2^k β_lk)
//! ```
//!
//! Its products, T of them, are cut into N calls of L products each. `A_i(n)` and `B_i(n)` are the factors of product i of
//! call n; `A_i(0)`, `B_i(0)` are random; `P = Σ_i A_i B_i` is a polynomial of degree 2N. The proof is the random
//! numbers and the values of P at 0 .. 2N; the sum above is `Σ_n P(n)` and linear terms. For a random r beyond the points
//! each verifier gives its shares of `A_i(r)`, `B_i(r)`, `P(r)` and of the sum, all linear in what it holds
//! ([`Statement::answer`]); added up they must satisfy `P(r) = Σ A_i(r) B_i(r)` and sum = 0 ([`Statement::holds`]).
//!
//! **Soundness.** A prover that gives its shares before ρ and its proof before r passes a false statement with a
//! chance of at most `(M + 1 + m + 2N) / p`: 2^-42 for 20,000 numbers. It must not be among the verifiers.
//! **Zero knowledge**, whatever ρ is and for one r that is none of the points: the answers but P(r) are uniform, and
//! P(r) and the sum follow from them. A second r for one proof would tell more.
//!
//! **Source.** Boneh, Boyle, Corrigan-Gibbs, Gilboa and Ishai, "Zero-knowledge proofs on secret-shared data via fully
//! linear PCPs", CRYPTO 2019, section 4.2 (theorem 4.3), with interaction in the place of joint randomness; bits and norm as
//! in the bounded-norm type of Prio3 (IRTF draft VDAF; Talwar 2022). No departure in the proof system; polynomials
//! are evaluated without a number-theoretic transform, which p = 2^61 - 1 has not.

mod lagrange;

use rayon::prelude::*;
use zeroize::Zeroizing;

use crate::{
    field61::{P, add, dot, mul, of_signed, reduce, sub},
    prg::{Label, Prg},
};
use lagrange::{extrapolation, weights_at};

/// Bits of a number, its sign included.
pub const BITS: usize = 16;

/// Largest magnitude of a number that satisfies the bound.
pub const LARGEST: i64 = (1 << (BITS - 1)) - 1;

/// Largest sum of squares.
pub const BOUND: u64 = (LARGEST as u64) * (LARGEST as u64);

/// Bits of `BOUND - Σ x²`.
const SLACK: usize = 2 * (BITS - 1);

/// Longest vector.
pub const LONGEST: usize = 1 << 20;

/// What is proved, by the vector's length alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Statement {
    /// Numbers.
    len: usize,
    /// Calls, N.
    calls: usize,
    /// Products of a call, L.
    arity: usize,
}

/// What a verifier holds: shares, as elements of the field.
#[derive(Debug, Clone, Copy)]
pub struct Held<'a> {
    /// Of the numbers.
    pub numbers: &'a [u64],
    /// Of the witness.
    pub witness: &'a [u64],
    /// Of the proof.
    pub proof: &'a [u64],
}

impl Statement {
    /// Of so many numbers, at most [`LONGEST`].
    pub fn new(len: usize) -> Option<Self> {
        if !(1..=LONGEST).contains(&len) {
            return None;
        }
        let products = len * (BITS + 1) + SLACK;
        let calls = (products.isqrt() / 2).clamp(4, 256);
        Some(Self {
            len,
            calls,
            arity: products.div_ceil(calls),
        })
    }

    /// Elements of a witness.
    pub fn witness_len(&self) -> usize {
        self.len * BITS + SLACK
    }

    /// Elements of a proof.
    pub fn proof_len(&self) -> usize {
        2 * self.arity + 2 * self.calls + 1
    }

    /// Elements of an answer.
    pub fn answer_len(&self) -> usize {
        2 * self.arity + 2
    }

    /// Whether `r` may be asked for.
    pub fn may_ask(&self, r: u64) -> bool {
        r > 2 * self.calls as u64 && r < P
    }

    /// Whether the statement is true.
    pub fn is_true(&self, numbers: &[i64]) -> bool {
        let mut left = BOUND;
        numbers.len() == self.len
            && numbers.iter().all(|x| {
                let square = x.unsigned_abs().checked_pow(2);
                let rest = square.and_then(|s| left.checked_sub(s));
                left = rest.unwrap_or_default();
                // a sum of squares within the bound leaves no number beyond the largest
                rest.is_some()
            })
    }

    /// The bits. Of a statement that is not true they are some bits, and no proof of them will hold.
    pub fn witness(&self, numbers: &[i64]) -> Zeroizing<Vec<u64>> {
        let mut out = Zeroizing::new(Vec::with_capacity(self.witness_len()));
        let mut left = BOUND;
        for x in numbers {
            let shifted = x.wrapping_add(1 << (BITS - 1)) as u64;
            out.extend((0..BITS).map(|k| (shifted >> k) & 1));
            left = left.wrapping_sub(x.unsigned_abs().wrapping_mul(x.unsigned_abs()));
        }
        out.extend((0..SLACK).map(|k| (left >> k) & 1));
        out
    }

    /// Factor matrices [L, N + 1], the point 0 first: row i holds A_i, or B_i, at 0 .. N.
    fn factors(&self, held: Held<'_>, powers: &[u64], constants: bool) -> [Zeroizing<Vec<u64>>; 2] {
        let (points, bits) = (self.calls + 1, self.witness_len());
        let mut a = Zeroizing::new(vec![0; self.arity * points]);
        let mut b = Zeroizing::new(vec![0; self.arity * points]);
        for i in 0..self.arity {
            a[i * points] = held.proof[i];
            b[i * points] = held.proof[self.arity + i];
        }
        let one = u64::from(constants);
        let of_norm = powers[bits];
        let place = |t: usize| t % self.arity * points + t / self.arity + 1;
        for (t, (bit, power)) in held.witness.iter().zip(powers).enumerate() {
            let at = place(t);
            (a[at], b[at]) = (mul(*power, *bit), sub(*bit, one));
        }
        for (l, x) in held.numbers.iter().enumerate() {
            let at = place(bits + l);
            (a[at], b[at]) = (mul(of_norm, *x), *x);
        }
        [a, b]
    }

    fn powers(&self, rho: u64) -> Vec<u64> {
        let count = self.witness_len() + 1 + self.len;
        std::iter::successors(Some(1), |power| Some(mul(*power, rho)))
            .take(count)
            .collect()
    }

    fn fits(&self, held: Held<'_>) -> bool {
        let proper = |v: &[u64], len| v.len() == len && v.iter().all(|e| *e < P);
        proper(held.numbers, self.len)
            && proper(held.witness, self.witness_len())
            && proper(held.proof, self.proof_len())
    }

    /// The proof of `numbers` with their `witness` for this ρ, with randomness from `blinds`, a stream of which nothing
    /// else is used. None where lengths do not fit.
    pub fn prove(
        &self,
        numbers: &[i64],
        witness: &[u64],
        rho: u64,
        blinds: &Prg,
    ) -> Option<Zeroizing<Vec<u64>>> {
        let mut proof = Zeroizing::new(vec![0; self.proof_len()]);
        let blinded = crate::field61::elements(blinds, Label::request(0, 0), 2 * self.arity);
        proof[..2 * self.arity].copy_from_slice(&Zeroizing::new(blinded));
        let numbers: Zeroizing<Vec<u64>> =
            Zeroizing::new(numbers.iter().map(|x| of_signed(*x)).collect());
        let held = Held {
            numbers: &numbers,
            witness,
            proof: &proof,
        };
        if !self.fits(held) {
            return None;
        }
        let [a, b] = self.factors(held, &self.powers(rho), true);
        let points = self.calls + 1;
        let beyond = extrapolation(self.calls);
        // P at 0 .. N from the values, at N + 1 .. 2N from polynomials through them
        let zero = || vec![0; 2 * self.calls + 1];
        let values = a
            .par_chunks(points)
            .zip(b.par_chunks(points))
            .fold(zero, |mut sum, (a, b)| {
                let known = a.iter().zip(b).map(|(a, b)| mul(*a, *b));
                let further = beyond
                    .chunks(points)
                    .map(|row| mul(dot(row, a), dot(row, b)));
                sum.iter_mut()
                    .zip(known.chain(further))
                    .for_each(|(s, v)| *s = add(*s, v));
                sum
            })
            .reduce(zero, |mut one, other| {
                one.iter_mut()
                    .zip(&other)
                    .for_each(|(o, v)| *o = add(*o, *v));
                one
            });
        proof[2 * self.arity..].copy_from_slice(&Zeroizing::new(values));
        Some(proof)
    }

    /// What one verifier says for `r`. Exactly one of them counts the `constants` in. None where lengths do not fit or
    /// `r` may not be asked for.
    pub fn answer(&self, held: Held<'_>, rho: u64, r: u64, constants: bool) -> Option<Vec<u64>> {
        if !self.fits(held) || !self.may_ask(r) {
            return None;
        }
        let powers = self.powers(rho);
        let [a, b] = self.factors(held, &powers, constants);
        let points = self.calls + 1;
        let at_r = weights_at(points, r);
        let mut out: Vec<u64> = a
            .par_chunks(points)
            .chain(b.par_chunks(points))
            .map(|row| dot(row, &at_r))
            .collect();
        let values = &held.proof[2 * self.arity..];
        out.push(dot(values, &weights_at(values.len(), r)));

        // Σ P(n), and the linear terms
        let mut sum = values[1..=self.calls].iter().fold(0, |s, v| add(s, *v));
        let bits = self.witness_len();
        let (of_numbers, of_slack) = held.witness.split_at(self.len * BITS);
        let one = u64::from(constants);
        let combined = |bits: &[u64]| {
            let part: u128 = bits
                .iter()
                .enumerate()
                .map(|(k, b)| u128::from(*b) << k)
                .sum();
            reduce(part)
        };
        for ((x, of), power) in held
            .numbers
            .iter()
            .zip(of_numbers.chunks(BITS))
            .zip(&powers[bits + 1..])
        {
            let shifted = add(*x, one << (BITS - 1));
            sum = add(sum, mul(*power, sub(shifted, combined(of))));
        }
        let slack = sub(combined(of_slack), one * BOUND);
        out.push(add(sum, mul(powers[bits], slack)));
        Some(out)
    }

    /// Whether the sum of all verifiers' answers says that the statement is true.
    pub fn holds(&self, answers: &[u64]) -> bool {
        let (factors, rest) = answers.split_at(answers.len().min(2 * self.arity));
        let (a, b) = factors.split_at(factors.len().min(self.arity));
        matches!(rest, [product, 0] if a.len() == b.len() && *product == dot(a, b))
    }
}

#[cfg(test)]
mod tests;
