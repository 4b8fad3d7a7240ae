//! Numbers as people read them, and text made harmless for HTML.

/// What stands where there is no number.
pub(super) const MISSING: &str = "–";

/// Fixed decimals, thousands grouped, a true minus sign, no negative zero.
pub(super) fn fixed(value: f64, decimals: usize) -> String {
    if !value.is_finite() {
        return MISSING.into();
    }
    let text = format!("{:.*}", decimals, value.abs());
    let negative = value < 0.0 && text.bytes().any(|b| (b'1'..=b'9').contains(&b));
    let (whole, fraction) = match text.split_once('.') {
        Some((whole, fraction)) => (whole, format!(".{fraction}")),
        None => (text.as_str(), String::new()),
    };
    format!(
        "{}{}{fraction}",
        if negative { "−" } else { "" },
        grouped(whole)
    )
}

/// As [`fixed`], with a plus sign where the value is above zero.
pub(super) fn signed(value: f64, decimals: usize) -> String {
    let text = fixed(value, decimals);
    let above = value > 0.0 && text.bytes().any(|b| (b'1'..=b'9').contains(&b));
    if above && value.is_finite() {
        format!("+{text}")
    } else {
        text
    }
}

/// A given number of significant digits; very small and very large values in powers of ten.
pub(super) fn significant(value: f64, digits: usize) -> String {
    if !value.is_finite() {
        return MISSING.into();
    }
    if value == 0.0 {
        return "0".into();
    }
    let exponent = value.abs().log10().floor();
    if !(-4.0..12.0).contains(&exponent) {
        return format!("{:.*e}", digits.saturating_sub(1), value).replace('-', "−");
    }
    let decimals = (digits as f64 - 1.0 - exponent).max(0.0) as usize;
    fixed(value, decimals)
}

/// As [`significant`], without trailing zeros after the point.
pub(super) fn compact(value: f64, digits: usize) -> String {
    let text = significant(value, digits);
    if text.contains('.') && !text.contains('e') {
        text.trim_end_matches('0').trim_end_matches('.').into()
    } else {
        text
    }
}

/// A count with grouped thousands.
pub(super) fn count(value: u64) -> String {
    grouped(&value.to_string())
}

/// A fraction as percent.
pub(super) fn percent(fraction: f64, decimals: usize) -> String {
    if fraction.is_finite() {
        format!("{}\u{a0}%", fixed(100.0 * fraction, decimals))
    } else {
        MISSING.into()
    }
}

/// Bytes in decimal units.
pub(super) fn bytes(value: u64) -> String {
    let mut scaled = value as f64;
    for unit in ["B", "kB", "MB", "GB"] {
        if scaled < 999.95 {
            let decimals = usize::from(unit != "B");
            return format!("{}\u{a0}{unit}", fixed(scaled, decimals));
        }
        scaled /= 1000.0;
    }
    format!("{}\u{a0}TB", fixed(scaled, 1))
}

/// Seconds, with more digits where they are few.
pub(super) fn seconds(value: f64) -> String {
    if !value.is_finite() {
        return MISSING.into();
    }
    let decimals = if value < 10.0 { 2 } else { 1 };
    format!("{}\u{a0}s", fixed(value, decimals))
}

/// A p-value; nothing finer than a thousandth.
pub(super) fn p_value(value: f64) -> String {
    if value.is_finite() && value < 0.001 {
        "<\u{a0}0.001".into()
    } else {
        fixed(value, 3)
    }
}

fn grouped(digits: &str) -> String {
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// Text for an element or a quoted attribute; a percent sign stays with its number. Control characters and marks that reorder text
/// (a name could use them to look like another) become the replacement character.
pub(super) fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.replace(" %", "\u{a0}%").chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            '\n' | '\t' => out.push(' '),
            '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => {
                out.push('\u{fffd}');
            }
            c if c.is_control() => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}

/// At most `most` characters, an ellipsis in place of those cut from the end.
pub(super) fn shortened(text: &str, most: usize) -> String {
    cut(text, most, 0)
}

/// At most `most` characters, cut in the middle: names of columns often differ at their ends.
pub(super) fn squeezed(text: &str, most: usize) -> String {
    cut(text, most, most / 2)
}

fn cut(text: &str, most: usize, tail: usize) -> String {
    let length = text.chars().count();
    if length <= most {
        return text.into();
    }
    let head = most.saturating_sub(tail + 1);
    let mut short: String = text.chars().take(head).collect();
    short.push('…');
    short.extend(text.chars().skip(length - tail));
    short
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_rounded_for_reading() {
        assert_eq!(fixed(1_234_567.891, 1), "1,234,567.9");
        assert_eq!(fixed(-0.00001, 3), "0.000");
        assert_eq!(fixed(-12.5, 1), "−12.5");
        assert_eq!(fixed(f64::NAN, 2), "–");
        assert_eq!(signed(0.0123, 3), "+0.012");
        assert_eq!(signed(0.0000123, 3), "0.000");
        assert_eq!(signed(f64::INFINITY, 3), "–");
        assert_eq!(significant(0.004_567_8, 3), "0.00457");
        assert_eq!(significant(167_472.08, 4), "167,472");
        assert_eq!(significant(-3.21e-7, 3), "−3.21e−7");
        assert_eq!(significant(0.0, 3), "0");
        assert_eq!(
            (compact(16.0, 4), compact(0.5, 3)),
            ("16".into(), "0.5".into())
        );
        assert_eq!(compact(3.1e-5, 2), "3.1e−5");
        assert_eq!(percent(0.30556, 1), "30.6\u{a0}%");
        assert_eq!(percent(f64::NAN, 1), "–");
        assert_eq!(bytes(999), "999\u{a0}B");
        assert_eq!(bytes(999_999), "1.0\u{a0}MB");
        assert_eq!(bytes(12_340_000), "12.3\u{a0}MB");
        assert_eq!(seconds(0.4123), "0.41\u{a0}s");
        assert_eq!(p_value(2e-9), "<\u{a0}0.001");
        assert_eq!(p_value(0.0421), "0.042");
        assert_eq!(count(21_000), "21,000");
    }

    #[test]
    fn text_is_made_harmless() {
        assert_eq!(
            escape("<b a='1'>&\"\u{7}"),
            "&lt;b a=&#39;1&#39;&gt;&amp;&quot;\u{fffd}"
        );
        assert_eq!(escape("safe\u{202e}txt"), "safe\u{fffd}txt");
        assert_eq!(shortened("abcdef", 4), "abc…");
        assert_eq!(shortened("abcd", 4), "abcd");
        assert_eq!(squeezed("column_lag_2", 8), "col…ag_2");
        assert_eq!(squeezed("column", 6), "column");
    }
}
