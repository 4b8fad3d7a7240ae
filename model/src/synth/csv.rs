//! The portfolio as CSV files.

use super::{Party, Portfolio};
use std::io::{self, Write};
use std::ops::Range;

impl Portfolio {
    /// Writes the header and those of `rows` that the party holds; returns how many. The bank's
    /// file has `id,bank,month,y` first, the others' `id`.
    ///
    /// # Errors
    /// Those of `out`.
    pub fn write_csv(
        &self,
        party: Party,
        rows: Range<u64>,
        mut out: impl Write,
    ) -> io::Result<u64> {
        self.write_header(party, &mut out)?;
        let written = self.write_rows(party, rows, &mut out)?;
        out.flush()?;
        Ok(written)
    }

    /// The header line of a party's file.
    ///
    /// # Errors
    /// Those of `out`.
    pub fn write_header(&self, party: Party, out: &mut impl Write) -> io::Result<()> {
        let mut line = Vec::with_capacity(1024);
        line.extend_from_slice(if party == Party::Bank {
            b"id,bank,month,y"
        } else {
            b"id"
        });
        if party == Party::Bank && self.declined_from.is_some() {
            line.extend_from_slice(b",declined");
        }
        for variable in party.variables() {
            line.push(b',');
            line.extend_from_slice(variable.name().as_bytes());
        }
        line.push(b'\n');
        out.write_all(&line)
    }

    /// Those of `rows` that the party holds, without a header; returns how many. Slices of rows may
    /// be made at the same time and put one after another.
    ///
    /// # Errors
    /// Those of `out`.
    pub fn write_rows(
        &self,
        party: Party,
        rows: Range<u64>,
        out: &mut impl Write,
    ) -> io::Result<u64> {
        let mut line = Vec::with_capacity(1024);
        let mut cells = vec![0.0; party.width()];
        let mut written = 0;
        for row in rows.filter(|&row| self.holds(party, row)) {
            line.clear();
            line.extend_from_slice(self.customer_id(row).as_bytes());
            if party == Party::Bank {
                let truth = self.truth(row);
                write!(line, ",{},{}", truth.bank, truth.month)?;
                match self.declined(row) {
                    None => write!(line, ",{}", truth.bad)?,
                    Some(false) => write!(line, ",{},0", truth.bad)?,
                    Some(true) => write!(line, ",,1")?,
                }
            }
            self.fill(party, row, &mut cells);
            for &cell in &cells {
                line.push(b',');
                push_thousandths(&mut line, cell);
            }
            line.push(b'\n');
            out.write_all(&line)?;
            written += 1;
        }
        Ok(written)
    }

    /// Writes `id,pd`: the true PD of each row, with 12 significant digits.
    ///
    /// # Errors
    /// Those of `out`.
    pub fn write_truth(&self, rows: Range<u64>, mut out: impl Write) -> io::Result<()> {
        out.write_all(b"id,pd\n")?;
        self.write_truth_rows(rows, &mut out)?;
        out.flush()
    }

    /// The same without its header.
    ///
    /// # Errors
    /// Those of `out`.
    pub fn write_truth_rows(&self, rows: Range<u64>, out: &mut impl Write) -> io::Result<()> {
        for row in rows {
            let pd = twelve_digits(self.truth(row).pd);
            writeln!(out, "{},{pd}", self.customer_id(row))?;
        }
        Ok(())
    }
}

/// A multiple of 1/1000 without trailing zeros; nothing for NaN.
fn push_thousandths(line: &mut Vec<u8>, value: f64) {
    if value.is_nan() {
        return;
    }
    let thousandths = (value * 1000.0).round_ties_even() as i64;
    if thousandths < 0 {
        line.push(b'-');
    }
    let size = thousandths.unsigned_abs();
    let mut digits = [0u8; 20];
    let mut at = digits.len();
    let mut whole = size / 1000;
    loop {
        at -= 1;
        digits[at] = b'0' + (whole % 10) as u8;
        whole /= 10;
        if whole == 0 {
            break;
        }
    }
    line.extend_from_slice(&digits[at..]);
    let fraction = size % 1000;
    if fraction != 0 {
        let tail = [fraction / 100, fraction / 10 % 10, fraction % 10].map(|d| b'0' + d as u8);
        let used = 3 - tail.iter().rev().take_while(|d| **d == b'0').count();
        line.push(b'.');
        line.extend_from_slice(&tail[..used]);
    }
}

/// As C's `%.12g` for 0 < value <= 1.
fn twelve_digits(value: f64) -> String {
    let scientific = format!("{value:.11e}");
    let (digits, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let trim = |s: &str| s.trim_end_matches('0').trim_end_matches('.').to_owned();
    if exponent < -4 {
        return format!("{}e-{:02}", trim(digits), -exponent);
    }
    let decimals = usize::try_from(11 - exponent).unwrap_or(0);
    trim(&format!("{value:.decimals$}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_no_trailing_zeros() {
        let text = |v: f64| {
            let mut line = Vec::new();
            push_thousandths(&mut line, v);
            String::from_utf8(line).unwrap()
        };
        for (value, want) in [
            (0.0, "0"),
            (-0.5, "-0.5"),
            (1.25, "1.25"),
            (-1.103, "-1.103"),
            (12_340.0, "12340"),
            (0.001, "0.001"),
            (100.0, "100"),
            (f64::NAN, ""),
        ] {
            assert_eq!(text(value), want);
        }
        assert_eq!(twelve_digits(0.5), "0.5");
        assert_eq!(twelve_digits(1.0), "1");
        assert_eq!(twelve_digits(0.024_666_993_123_456_7), "0.0246669931235");
        assert_eq!(twelve_digits(0.000_012_345_678_901_26), "1.23456789013e-05");
    }
}
