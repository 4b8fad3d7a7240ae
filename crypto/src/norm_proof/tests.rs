//! True statements hold on shares, false ones do not, and answers say nothing more.

use super::*;
use crate::field61::{elements, uniform};

fn stream(seed: u8) -> Prg {
    Prg::new(&[seed; 32])
}

fn vector(len: usize, size: i64) -> Vec<i64> {
    (0..len as i64)
        .map(|i| (i * 7919 % (2 * size + 1)) - size)
        .collect()
}

/// Everything of a prover, cut into three verifiers' shares.
struct Cut {
    numbers: Vec<Vec<u64>>,
    witness: Vec<Vec<u64>>,
    proof: Vec<Vec<u64>>,
}

fn shares(values: &[u64], seed: u8) -> Vec<Vec<u64>> {
    let masks: Vec<Vec<u64>> = (0..2u8)
        .map(|i| elements(&stream(seed), Label::request(1, i), values.len()))
        .collect();
    let first = values
        .iter()
        .enumerate()
        .map(|(i, v)| sub(sub(*v, masks[0][i]), masks[1][i]))
        .collect();
    [vec![first], masks].concat()
}

fn cut(numbers: &[u64], witness: &[u64], proof: &[u64]) -> Cut {
    Cut {
        numbers: shares(numbers, 1),
        witness: shares(witness, 2),
        proof: shares(proof, 3),
    }
}

fn verdict(of: &Statement, cut: &Cut, rho: u64, r: u64) -> (bool, Vec<u64>) {
    let mut total = vec![0; of.answer_len()];
    for i in 0..3 {
        let held = Held {
            numbers: &cut.numbers[i],
            witness: &cut.witness[i],
            proof: &cut.proof[i],
        };
        let said = of.answer(held, rho, r, i == 0).unwrap();
        total
            .iter_mut()
            .zip(said)
            .for_each(|(t, s)| *t = add(*t, s));
    }
    (of.holds(&total), total)
}

fn field(numbers: &[i64]) -> Vec<u64> {
    numbers.iter().map(|x| of_signed(*x)).collect()
}

const RHO: u64 = 0x0123_4567_89ab_cdef;
const R: u64 = 0x00fe_dcba_9876_5432;

/// Proves `numbers` while the verifiers hold shares of `held`.
fn judged(numbers: &[i64], held: &[i64]) -> bool {
    let of = Statement::new(numbers.len()).unwrap();
    let witness = of.witness(numbers);
    let proof = of.prove(numbers, &witness, RHO, &stream(9)).unwrap();
    verdict(&of, &cut(&field(held), &witness, &proof), RHO, R).0
}

#[test]
fn short_vectors_pass_and_long_ones_do_not() {
    for (len, size) in [
        (1, LARGEST),
        (2, 20_000),
        (57, 3000),
        (1000, 900),
        (3000, 500),
    ] {
        let x = vector(len, size);
        let of = Statement::new(len).unwrap();
        assert!(of.is_true(&x), "{len}");
        assert!(judged(&x, &x), "{len}");
        let long: Vec<i64> = x.iter().map(|x| -10 * x).collect();
        assert!(!of.is_true(&long), "{len}");
        assert!(!judged(&long, &long), "{len}");
    }
    // at the bound, and one beyond it
    let mut x = vec![0; 40];
    x[7] = -LARGEST;
    assert!(judged(&x, &x));
    x[8] = 1;
    assert!(!judged(&x, &x));
    x[7] = LARGEST + 1;
    x[8] = 0;
    assert!(!judged(&x, &x));
}

#[test]
fn a_proof_of_one_vector_is_none_of_another() {
    let x = vector(300, 1000);
    for at in [0, 150, 299] {
        let mut other = x.clone();
        other[at] += 1;
        assert!(!judged(&x, &other), "{at}");
    }
}

#[test]
fn every_forged_element_is_found() {
    let x = vector(12, 2000);
    let of = Statement::new(x.len()).unwrap();
    let (witness, blinds) = (of.witness(&x), stream(9));
    let proof = of.prove(&x, &witness, RHO, &blinds).unwrap();
    for at in 0..of.witness_len() {
        // bits turned, and numbers that are no bits, with proofs made for them
        for change in [1, 2, P - 1] {
            let mut forged = witness.clone();
            forged[at] = add(forged[at], change);
            let of_forged = of.prove(&x, &forged, RHO, &blinds).unwrap();
            let cut = cut(&field(&x), &forged, &of_forged);
            assert!(!verdict(&of, &cut, RHO, R).0, "bit {at} + {change}");
        }
    }
    for at in 0..of.proof_len() {
        let mut forged = proof.clone();
        forged[at] = add(forged[at], 5);
        assert!(
            !verdict(&of, &cut(&field(&x), &witness, &forged), RHO, R).0,
            "{at}"
        );
    }
    // a long vector whose slack wraps around in the field
    let long = vec![LARGEST; 12];
    let mut forged = of.witness(&long);
    let square = 12 * BOUND;
    let slack = sub(BOUND, square);
    let bits = of.len * BITS;
    for k in 0..SLACK {
        forged[bits + k] = 0;
    }
    forged[bits] = slack;
    let proof = of.prove(&long, &forged, RHO, &blinds).unwrap();
    assert!(!verdict(&of, &cut(&field(&long), &forged, &proof), RHO, R).0);
}

#[test]
fn answers_are_uniform_but_for_what_they_must_satisfy() {
    // two very different vectors, many blinds: each number of the answers falls evenly into eight parts
    let of = Statement::new(3).unwrap();
    for x in [[0, 0, 0], [30_000, -9000, 77]] {
        let runs = 400;
        let mut parts = vec![[0u32; 8]; of.answer_len() - 1];
        for run in 0..runs {
            let mut seed = [0; 32];
            seed[..4].copy_from_slice(&u32::to_le_bytes(run));
            let witness = of.witness(&x);
            let proof = of.prove(&x, &witness, RHO, &Prg::new(&seed)).unwrap();
            let (holds, total) = verdict(&of, &cut(&field(&x), &witness, &proof), RHO, R);
            assert!(holds && total.last() == Some(&0));
            for (part, said) in parts.iter_mut().zip(&total) {
                part[(said >> 58) as usize] += 1;
            }
        }
        let expected = f64::from(runs) / 8.0;
        for (at, part) in parts.iter().enumerate() {
            let chi: f64 = part
                .iter()
                .map(|n| (f64::from(*n) - expected).powi(2) / expected)
                .sum();
            assert!(chi < 40.0, "{at}: {part:?}");
        }
    }
}

#[test]
fn what_must_not_be_asked_or_held_is_refused() {
    let of = Statement::new(5).unwrap();
    assert!(!of.may_ask(0) && !of.may_ask(2 * of.calls as u64) && !of.may_ask(P));
    assert!(of.may_ask(uniform([7, 9])));
    let (numbers, witness) = (vec![0; 5], vec![0; of.witness_len()]);
    let proof = vec![0; of.proof_len()];
    let held = |numbers, proof| Held {
        numbers,
        witness: &witness,
        proof,
    };
    assert!(of.answer(held(&numbers, &proof), RHO, R, true).is_some());
    assert!(of.answer(held(&numbers, &proof), RHO, 3, true).is_none());
    assert!(
        of.answer(held(&numbers[1..], &proof), RHO, R, true)
            .is_none()
    );
    assert!(
        of.answer(held(&numbers, &proof[1..]), RHO, R, true)
            .is_none()
    );
    assert!(of.answer(held(&[P; 5], &proof), RHO, R, true).is_none());
    assert!(!of.holds(&[]) && !of.holds(&[0]));
    assert!(Statement::new(0).is_none() && Statement::new(LONGEST + 1).is_none());
}
