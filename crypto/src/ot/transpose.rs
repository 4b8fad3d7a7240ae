//! Square bit matrices.

/// Transposes 128 rows of 128 bits: bit `j` of word `i` becomes bit `i` of word `j`.
///
/// Source: H. Warren, "Hacker's delight", section 7-3: halves are swapped, then quarters, and so on.
pub(super) fn transpose(rows: &mut [u128; 128]) {
    let mut width = 64;
    let mut mask = u128::MAX >> 64;
    while width > 0 {
        for i in 0..128 {
            if i & width == 0 {
                let swap = (rows[i] >> width ^ rows[i + width]) & mask;
                rows[i] ^= swap << width;
                rows[i + width] ^= swap;
            }
        }
        width /= 2;
        mask ^= mask << width;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_change_places() {
        let rows: [u128; 128] =
            std::array::from_fn(|i| (i as u128 + 1).wrapping_mul(u128::MAX / 37));
        let mut turned = rows;
        transpose(&mut turned);
        for (i, row) in rows.iter().enumerate() {
            for (j, column) in turned.iter().enumerate() {
                assert_eq!(column >> i & 1, row >> j & 1, "{i} {j}");
            }
        }
    }
}
