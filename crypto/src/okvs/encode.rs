//! Filling a table: peeling, then elimination of what is left.

use rand::{Rng, rand_core::UnwrapErr, rngs::SysRng};
use zeroize::Zeroize;

use super::{DENSE, Okvs};
use crate::gf128::{self, Path};

/// Bits of a column's word that hold the exclusive or of its rows; the rest counts them.
const ROW_BITS: u32 = 18;
const ROW_MASK: u32 = (1 << ROW_BITS) - 1;
const ONE_ROW: u32 = 1 << ROW_BITS;

/// Why no table was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OkvsError {
    /// More items than the table is for.
    #[error("{got} items in a table for {most}")]
    TooMany {
        /// Items given.
        got: usize,
        /// Most items.
        most: usize,
    },
    /// The equations have no common solution, or two items are equal.
    #[error(
        "the items' equations are dependent: an item is given twice, or a chance of less than 2^-64 came true (run again, under a new key)"
    )]
    Dependent,
}

/// Memory for encoding, to be used again for the next table. Cleared when dropped.
#[derive(Default)]
pub struct Workspace {
    values: Vec<u128>,
    places: Vec<[u32; 3]>,
    columns: Vec<u32>,
    pub(super) order: Vec<(u32, u32)>,
    stack: Vec<u32>,
}

impl std::fmt::Debug for Workspace {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Workspace")
    }
}

impl Drop for Workspace {
    fn drop(&mut self) {
        self.values.zeroize();
        self.places.zeroize();
        self.columns.zeroize();
        self.order.zeroize();
    }
}

impl Okvs {
    /// A table in which every item finds its value. Columns that no equation decides are zero: mask
    /// the whole table before anyone sees it.
    ///
    /// # Errors
    /// [`OkvsError`]; `Dependent` with probability below 2^-64 for distinct items.
    pub fn encode(&self, items: &[u128], work: &mut Workspace) -> Result<Vec<u128>, OkvsError> {
        if items.len() > self.shape.capacity {
            return Err(OkvsError::TooMany {
                got: items.len(),
                most: self.shape.capacity,
            });
        }
        self.peel(items, work);
        self.values(items, &mut work.values);
        self.solve(items, work)
    }

    /// A table in which `items[i]` finds `values[i]`, drawn evenly from all such tables: to whom the
    /// values are pseudo-random it looks as any other and says nothing of the items.
    ///
    /// # Errors
    /// As [`Okvs::encode`].
    ///
    /// # Panics
    /// When there are not as many values as items.
    pub fn encode_values(
        &self,
        items: &[u128],
        values: &[u128],
        work: &mut Workspace,
    ) -> Result<Vec<u128>, OkvsError> {
        assert_eq!(items.len(), values.len());
        if items.len() > self.shape.capacity {
            return Err(OkvsError::TooMany {
                got: items.len(),
                most: self.shape.capacity,
            });
        }
        // T = R + L(values - decode(R)), R uniform: L a solution without free columns, so T is even over all
        let mut drawn = vec![0_u128; self.shape.columns()];
        UnwrapErr(SysRng).fill_bytes(bytemuck::cast_slice_mut(&mut drawn));
        self.peel(items, work);
        self.decode(items, &drawn, &mut work.values);
        for (left, value) in work.values.iter_mut().zip(values) {
            *left ^= value;
        }
        let mut table = self.solve(items, work)?;
        for (t, r) in table.iter_mut().zip(drawn) {
            *t ^= r;
        }
        Ok(table)
    }

    /// Places of all items, and the order in which their rows are decided; `work.values` has their size.
    fn peel(&self, items: &[u128], work: &mut Workspace) {
        work.values.clear();
        work.values.resize(items.len(), 0);
        self.place.hash(items, &mut work.values);
        work.places.clear();
        let places = work.values.iter().map(|h| self.shape.places(*h));
        work.places.extend(places);
        work.peel(self.shape.sparse);
    }

    /// The table in which items find `work.values`, columns that no equation decides zero.
    fn solve(&self, items: &[u128], work: &mut Workspace) -> Result<Vec<u128>, OkvsError> {
        let mut table = vec![0; self.shape.columns()];
        let (sparse, dense) = table.split_at_mut(self.shape.sparse);
        if work.order.len() < items.len() {
            solve_core(items, work, sparse, dense)?;
            gf128::add_polynomial(self.path, &mut work.values, items, dense);
        }
        for (row, column) in work.order.iter().rev() {
            // the row's own column is still zero
            let [a, b, c] = work.places[*row as usize];
            let others = sparse[a as usize] ^ sparse[b as usize] ^ sparse[c as usize];
            sparse[*column as usize] = work.values[*row as usize] ^ others;
        }
        Ok(table)
    }
}

impl Workspace {
    /// Puts into `order` each row that some column decides, with that column, first peeled first.
    fn peel(&mut self, columns: usize) {
        self.columns.clear();
        self.columns.resize(columns, 0);
        for (row, places) in (0_u32..).zip(&self.places) {
            for c in places {
                let word = &mut self.columns[*c as usize];
                *word = (*word ^ row).wrapping_add(ONE_ROW);
            }
        }
        self.order.clear();
        for start in 0..columns as u32 {
            self.stack.push(start);
            // a column left with one row is followed at once, while it is in the cache
            while let Some(column) = self.stack.pop() {
                let word = self.columns[column as usize];
                if word >> ROW_BITS != 1 {
                    continue;
                }
                let row = word & ROW_MASK;
                self.order.push((row, column));
                for c in self.places[row as usize] {
                    let word = &mut self.columns[c as usize];
                    *word = (*word ^ row).wrapping_sub(ONE_ROW);
                    if *word >> ROW_BITS == 1 {
                        self.stack.push(c);
                    }
                }
            }
        }
    }
}

/// Gauss-Jordan elimination of the rows that were not peeled, over their columns and the dense ones.
fn solve_core(
    items: &[u128],
    work: &Workspace,
    sparse: &mut [u128],
    dense: &mut [u128],
) -> Result<(), OkvsError> {
    let path = Path::detect();
    let mut peeled = vec![false; items.len()];
    for (row, _) in &work.order {
        peeled[*row as usize] = true;
    }
    let rows: Vec<usize> = (0..items.len()).filter(|row| !peeled[*row]).collect();
    let mut columns: Vec<u32> = rows.iter().flat_map(|r| work.places[*r]).collect();
    columns.sort_unstable();
    columns.dedup();
    let unknowns = columns.len() + DENSE;
    let mut equations: Vec<Vec<u128>> = rows
        .iter()
        .map(|row| {
            let mut left = vec![0; unknowns + 1];
            for place in work.places[*row] {
                if let Ok(at) = columns.binary_search(&place) {
                    left[at] = 1;
                }
            }
            let mut power = 1;
            for c in left.iter_mut().skip(columns.len()).take(DENSE) {
                power = gf128::mul(power, items[*row]);
                *c = power;
            }
            left[unknowns] = work.values[*row];
            left
        })
        .collect();
    let mut pivots = Vec::with_capacity(rows.len());
    for i in 0..equations.len() {
        let (before, rest) = equations.split_at_mut(i);
        let Some((pivot, after)) = rest.split_first_mut() else {
            break;
        };
        let Some(column) = pivot.iter().take(unknowns).position(|c| *c != 0) else {
            return Err(OkvsError::Dependent);
        };
        let scale = gf128::invert(pivot[column]);
        let mut scaled = vec![0; pivot.len()];
        gf128::add_scaled(path, &mut scaled, pivot, scale);
        *pivot = scaled;
        for other in before.iter_mut().chain(after) {
            let factor = other[column];
            if factor != 0 {
                gf128::add_scaled(path, other, pivot, factor);
            }
        }
        pivots.push(column);
    }
    // what is no pivot stays zero
    for (column, equation) in pivots.into_iter().zip(&equations) {
        match columns.get(column) {
            Some(c) => sparse[*c as usize] = equation[unknowns],
            None => dense[column - columns.len()] = equation[unknowns],
        }
    }
    Ok(())
}
