//! What the helper is asked for, with its sizes checked before anything is made.

use std::{collections::HashMap, sync::Arc};

use paripassu_crypto::sine;

use super::{MatrixId, Request};
use crate::{abort::Abort, channel::Role};

/// Largest number of words a single request may make, against requests out of all proportion.
const MAX_WORDS: u64 = 1 << 32;

#[derive(Clone, Copy)]
pub(super) struct Shape {
    pub(super) owner: usize,
    pub(super) rows: usize,
    pub(super) cols: usize,
}

fn too_large(step: &str, what: &str) -> Abort {
    Abort::Malformed {
        from: Role::Party(0),
        step: step.to_owned(),
        problem: format!("{what} is larger than a helper makes at once"),
    }
}

pub(super) fn words(factors: &[u64], step: &str) -> Result<usize, Abort> {
    factors
        .iter()
        .try_fold(1u64, |a, b| a.checked_mul(*b))
        .filter(|n| *n <= MAX_WORDS)
        .and_then(|n| usize::try_from(n).ok())
        .ok_or_else(|| too_large(step, "a correlation"))
}

pub(super) fn shape(
    owner: u8,
    rows: u64,
    cols: u64,
    parties: usize,
    step: &str,
) -> Result<Shape, Abort> {
    let cells = words(&[rows, cols], step)?;
    let owner = usize::from(owner);
    if owner >= parties {
        return Err(too_large(step, "an owner's number"));
    }
    // both fit: their product does, unless one of them is zero
    let rows = usize::try_from(rows).unwrap_or(cells);
    let cols = usize::try_from(cols).unwrap_or(cells);
    Ok(Shape { owner, rows, cols })
}

/// A request with its sizes checked.
pub(super) enum Plan {
    Product {
        matrix: MatrixId,
        shape: Shape,
        transposed: bool,
        k: usize,
    },
    Vectors {
        matrix: MatrixId,
        shape: Shape,
        transposed: bool,
        count: usize,
    },
    Weighted {
        matrix: MatrixId,
        shape: Shape,
    },
    Sine {
        series: Arc<sine::Sine>,
        rows: usize,
        frac: u32,
        narrow: bool,
    },
    Truncate {
        len: usize,
        by: u32,
    },
    Lift {
        len: usize,
        by: u32,
    },
    Matmul {
        rows: usize,
        inner: usize,
        cols: usize,
    },
    Entrywise {
        len: usize,
    },
    InverseStep {
        d: usize,
        first: u32,
        cuts: [u32; 2],
    },
    Bits {
        words: usize,
        lane: u32,
    },
    And {
        words: usize,
    },
}

impl Plan {
    /// Who gets the correction.
    pub(super) fn to(&self) -> Role {
        match self {
            Self::Product { shape, .. }
            | Self::Vectors { shape, .. }
            | Self::Weighted { shape, .. } => Role::Party(shape.owner as u8),
            _ => Role::Party(0),
        }
    }

    /// About how many multiplications, and what takes as long, making it takes.
    pub(super) fn work(&self) -> usize {
        let product = |factors: &[usize]| {
            let all = factors.iter();
            all.fold(1usize, |all, f| all.saturating_mul(*f))
        };
        match self {
            Self::Product { shape, k, .. } => product(&[shape.rows, shape.cols, *k, 4]),
            Self::Vectors { shape, count, .. } => product(&[shape.rows, shape.cols, *count, 4]),
            Self::Weighted { shape, .. } => product(&[shape.rows, shape.cols, shape.cols]),
            Self::Sine { series, rows, .. } => product(&[*rows, series.words_per_row(), 8]),
            Self::Truncate { len, .. } | Self::Lift { len, .. } | Self::Entrywise { len } => {
                product(&[*len, 8])
            }
            Self::Matmul { rows, inner, cols } => product(&[*rows, *inner, *cols, 2]),
            Self::InverseStep { d, .. } => product(&[*d, *d, *d, 8]),
            Self::Bits { words, .. } => product(&[*words, 64]),
            Self::And { words } => product(&[*words, 8]),
        }
    }
}

/// Series made so far, by range and terms.
pub(super) type Series = HashMap<(u32, u32), Arc<sine::Sine>>;

/// The series of this range and so many terms, whose dealt terms have so many fraction bits.
pub(super) fn sine_series(
    made: &mut Series,
    (range, terms, frac): (u32, u32, u32),
    step: &str,
) -> Result<Arc<sine::Sine>, Abort> {
    if !(1..=1024).contains(&range) || terms > 1024 || frac > 40 {
        return Err(too_large(step, "a sine series"));
    }
    let series = made
        .entry((range, terms))
        .or_insert_with(|| Arc::new(sine::Sine::within(range, terms as usize)));
    Ok(Arc::clone(series))
}

pub(super) fn plan(
    request: &Request,
    id: u32,
    matrices: &[Shape],
    made: &mut Series,
    step: &str,
) -> Result<Plan, Abort> {
    // the first rows of a matrix
    let find = |m: MatrixId, rows: u64| {
        let whole = matrices.get(m.0 as usize).copied();
        whole
            .ok_or_else(|| too_large(step, "a matrix's number"))
            .and_then(|s| match usize::try_from(rows) {
                Ok(rows) if rows <= s.rows => Ok(Shape { rows, ..s }),
                _ => Err(too_large(step, "a part of a matrix")),
            })
    };
    Ok(match *request {
        Request::Product {
            matrix,
            rows,
            transposed,
            k,
        } => {
            let shape = find(matrix, rows)?;
            words(&[shape.rows.max(shape.cols) as u64, k], step)?;
            Plan::Product {
                matrix,
                shape,
                transposed,
                k: k as usize,
            }
        }
        Request::Vectors {
            matrix,
            transposed,
            count,
        } => {
            let whole = matrices.get(matrix.0 as usize).copied();
            let shape = whole.ok_or_else(|| too_large(step, "a matrix's number"))?;
            words(&[shape.rows.max(shape.cols) as u64, count], step)?;
            Plan::Vectors {
                matrix,
                shape,
                transposed,
                count: count as usize,
            }
        }
        Request::Weighted { matrix, rows } => {
            let shape = find(matrix, rows)?;
            words(&[rows], step)?;
            words(&[shape.cols as u64, shape.cols as u64], step)?;
            Plan::Weighted { matrix, shape }
        }
        Request::Sine {
            rows,
            range_log2,
            terms,
            frac,
            narrow,
        } => {
            words(&[rows], step)?;
            words(&[rows, 2, terms.into()], step)?;
            let range = 1u32.checked_shl(range_log2).unwrap_or(0);
            let series = sine_series(made, (range, terms, frac), step)?;
            Plan::Sine {
                series,
                rows: rows as usize,
                frac,
                narrow,
            }
        }
        Request::Lift {
            len,
            by: by @ 0..30,
        } => Plan::Lift {
            len: words(&[len], step)?,
            by,
        },
        Request::Truncate { len, by } if (1..62).contains(&by) => Plan::Truncate {
            len: words(&[len], step)?,
            by,
        },
        Request::Matmul { rows, inner, cols } => {
            words(&[rows, inner], step)?;
            words(&[inner, cols], step)?;
            words(&[rows, cols], step)?;
            Plan::Matmul {
                rows: rows as usize,
                inner: inner as usize,
                cols: cols as usize,
            }
        }
        Request::Entrywise { len } => Plan::Entrywise {
            len: words(&[len, 3], step)? / 3,
        },
        Request::InverseStep { d, first, cuts }
            if first <= id && cuts.iter().all(|by| (1..62).contains(by)) =>
        {
            words(&[d, d, 6], step)?;
            Plan::InverseStep {
                d: d as usize,
                first,
                cuts,
            }
        }
        Request::Bits {
            words: w,
            lane: lane @ (16 | 32 | 64),
        } => Plan::Bits {
            words: words(&[w], step)?,
            lane,
        },
        Request::And { words: w } => Plan::And {
            words: words(&[w], step)?,
        },
        _ => return Err(too_large(step, "a request")),
    })
}
