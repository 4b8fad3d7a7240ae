//! A party's whitened columns, as the fixed-point words that mini-batches multiply.

use paripassu_crypto::{dense, fixed, multiversion, simd::Level};
use rayon::prelude::*;
use zeroize::{Zeroize, Zeroizing};

use super::points::{COLUMN, FEATURE, Points};
use crate::{
    abort::Abort,
    arith::Entries,
    correlation::descent::first_row,
    vertical::whiten::{Design, Whitened},
};

/// Rows that are whitened at a time.
const BLOCK: usize = 2048;
/// What the states of the generator below are apart.
const GOLDEN: u64 = 0x9E37_79B9_7F4A_7C15;

/// `Z = X T` with rows in the order of training.
pub(super) fn features(
    mine: &Whitened,
    design: &Design,
    order: &[usize],
) -> Result<Entries, Abort> {
    match encoded::<i16>(mine, design, order)? {
        Some(x) => Ok(Entries::Short(x)),
        None => match encoded::<i32>(mine, design, order)? {
            Some(x) => Ok(Entries::Long(x)),
            None => Err(too_long()),
        },
    }
}

fn too_long() -> Abort {
    Abort::OutOfRange {
        step: "train/features".into(),
        problem: "a combination of this party's columns has too long a tail: winsorise the column with the longest \
                  one, or set solver.method to \"newton\""
            .into(),
    }
}

multiversion! {
    /// Adds to each number one in [-1/2, 1/2) units, which follows from its place and is as good as at random (Steele,
    /// Lea and Flood, OOPSLA 2014); public.
    fn dither [] [] (z: &mut [f64], place: u64, unit: f64) = dither_body
}

#[inline(always)]
fn dither_body(z: &mut [f64], place: u64, unit: f64) {
    let unit = unit * 2f64.powi(-53);
    let mut state = place.wrapping_mul(GOLDEN);
    for z in z {
        state = state.wrapping_add(GOLDEN);
        let mut x = state;
        x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        *z += (((x ^ (x >> 31)) >> 11) as i64 - (1 << 52)) as f64 * unit;
    }
}

/// The same in a narrower type, if all fit.
fn encoded<T: TryFrom<i32> + Copy + Default + Send + Zeroize>(
    mine: &Whitened,
    design: &Design,
    order: &[usize],
) -> Result<Option<Zeroizing<Vec<T>>>, Abort> {
    let (d, cols) = (design.width(), design.cols);
    let mut out = Zeroizing::new(vec![T::default(); order.len() * d]);
    let fits = out
        .par_chunks_mut((BLOCK * d).max(1))
        .zip(order.par_chunks(BLOCK))
        .enumerate()
        .map(|(block, (out, rows))| {
            let mut x = Zeroizing::new(Vec::with_capacity(out.len()));
            for i in rows {
                x.extend(design.intercept.then_some(1.0));
                x.extend_from_slice(&design.x[i * cols..(i + 1) * cols]);
            }
            let mut z = Zeroizing::new(vec![0.0; out.len()]);
            dense::product(&x, d, mine.unwhiten(), d, &mut z);
            let unit = 2f64.powi(-(FEATURE as i32));
            dither(Level::detect(), &mut z, (block * BLOCK * d) as u64, unit);
            let mut words = Zeroizing::new(vec![0i32; out.len()]);
            fixed::encode_all_i32(&z, FEATURE, &mut words).map_err(|_| too_long())?;
            for (o, w) in out.iter_mut().zip(words.iter()) {
                match T::try_from(*w) {
                    Ok(w) => *o = w,
                    Err(_) => return Ok::<_, Abort>(false),
                }
            }
            Ok(true)
        })
        .try_reduce(|| true, |a, b| Ok(a && b))?;
    Ok(fits.then_some(out))
}

/// Whether products of every batch with residuals stay within the ring: the owner's to know.
pub(super) fn check_columns(
    entries: &Entries,
    d: usize,
    (rows, batches): (usize, usize),
    points: Points,
) -> Result<(), Abort> {
    let most = COLUMN * 2f64.powi((points.batch_log2 + FEATURE) as i32);
    let largest = (0..batches).into_par_iter().map(|b| {
        let rows = first_row(rows, batches, b)..first_row(rows, batches, b + 1);
        entries.largest_sum(rows, d)
    });
    match largest.max().unwrap_or(0) as f64 <= most {
        true => Ok(()),
        false => Err(Abort::OutOfRange {
            step: "train/features".into(),
            problem: "a combination of this party's columns is large on all rows of a batch: winsorise columns with \
                      long tails, or raise solver.batch"
                .into(),
        }),
    }
}
