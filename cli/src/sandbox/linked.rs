//! Whom plain tables have in common, by each key in turn: what only a sandbox can see.

use std::collections::HashMap;

/// A party's rows by text: key by key, then row by row.
pub(super) type Keyed = Vec<Vec<String>>;

/// Customers in common: the key, and their row in each table.
pub(super) fn common(tables: &[&Keyed]) -> Vec<(usize, Vec<usize>)> {
    let keys = tables.first().map_or(0, |table| table.len());
    let rows = |table: &Keyed| table.first().map_or(0, Vec::len);
    let mut open: Vec<Vec<bool>> = tables.iter().map(|t| vec![true; rows(t)]).collect();
    let mut found = Vec::new();
    for key in 0..keys {
        let positions: Vec<HashMap<&str, usize>> = tables
            .iter()
            .zip(&open)
            .map(|(table, open)| positions(table.get(key).map_or(&[][..], Vec::as_slice), open))
            .collect();
        let Some((_, rest)) = positions.split_first() else {
            break;
        };
        let own = tables.first().and_then(|table| table.get(key));
        for (row, text) in own.into_iter().flatten().enumerate() {
            if positions.first().and_then(|p| p.get(text.as_str())) != Some(&row) {
                continue;
            }
            let others = rest.iter().map(|p| p.get(text.as_str()).copied());
            let rows: Option<Vec<usize>> = std::iter::once(Some(row)).chain(others).collect();
            if let Some(rows) = rows {
                for (row, open) in rows.iter().zip(&mut open) {
                    open[*row] = false;
                }
                found.push((key, rows));
            }
        }
    }
    found
}

/// Rows that are open and have a text that no other row of the table has.
fn positions<'t>(texts: &'t [String], open: &[bool]) -> HashMap<&'t str, usize> {
    let mut times: HashMap<&str, u32> = HashMap::new();
    for text in texts {
        *times.entry(text).or_default() += 1;
    }
    let rows = texts.iter().enumerate();
    let usable = rows.filter(|(row, text)| {
        !text.is_empty()
            && times.get(text.as_str()) == Some(&1)
            && open.get(*row).copied().unwrap_or_default()
    });
    usable.map(|(row, text)| (text.as_str(), row)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_does_not_match_by_one_key_does_by_the_next() {
        let table = |keys: [&[&str]; 2]| -> Keyed {
            let texts = |of: &[&str]| of.iter().map(|text| (*text).to_owned()).collect();
            keys.map(texts).to_vec()
        };
        let one = table([&["1", "2", "3", "4"], &["p", "q", "", "r"]]);
        let other = table([&["9", "1", "8", "7"], &["q", "x", "", "r"]]);
        assert_eq!(
            common(&[&one, &other]),
            [(0, vec![0, 1]), (1, vec![1, 0]), (1, vec![3, 3])]
        );
        // a phone that two have names nobody, also where one of them matched by the id
        let shared = table([&["9", "1", "8", "7"], &["q", "q", "", "r"]]);
        assert_eq!(common(&[&one, &shared]), [(0, vec![0, 1]), (1, vec![3, 3])]);
    }
}
