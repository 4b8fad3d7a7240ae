//! Numbers and times as people read them, and text made harmless for HTML.

/// Text for an element or a quoted attribute. Control characters and marks that reorder text (a name
/// could use them to look like another) become the replacement character.
pub(super) fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            '\n' | '\t' => out.push(' '),
            '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2069}' => {
                out.push('\u{fffd}');
            }
            c if c.is_control() => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}

/// A count with grouped thousands.
pub(super) fn count(value: u64) -> String {
    let digits = value.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// A count and its noun.
pub(super) fn several(value: u64, one: &str, many: &str) -> String {
    format!("{} {}", count(value), if value == 1 { one } else { many })
}

/// Bytes in decimal units.
pub(super) fn bytes(value: u64) -> String {
    let mut scaled = value as f64;
    for unit in ["B", "kB", "MB", "GB"] {
        if scaled < 999.95 {
            let decimals = usize::from(unit != "B");
            return format!("{scaled:.decimals$}\u{a0}{unit}");
        }
        scaled /= 1000.0;
    }
    format!("{scaled:.1}\u{a0}TB")
}

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];

/// `2026-03-01T00:10:00Z` as `1 March 2026, 00:10:00 UTC`; other texts as they are.
pub(super) fn moment(text: &str) -> String {
    let parts = || {
        let (day, time) = text.strip_suffix('Z')?.split_once('T')?;
        Some(format!("{}, {time} UTC", date(day)?))
    };
    parts().unwrap_or_else(|| text.to_owned())
}

/// `2026-03-01` as `1 March 2026`.
pub(super) fn date(text: &str) -> Option<String> {
    let mut parts = text.splitn(3, '-');
    let (year, month, day) = (parts.next()?, parts.next()?, parts.next()?);
    let month = month.parse::<usize>().ok()?.checked_sub(1)?;
    Some(format!(
        "{} {} {year}",
        day.trim_start_matches('0'),
        MONTHS.get(month)?
    ))
}

/// Words joined as in a sentence.
pub(super) fn and(words: &[String]) -> String {
    match words {
        [] => "nobody".to_owned(),
        [one] => one.clone(),
        [first @ .., last] => format!("{} and {last}", first.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_well() {
        assert_eq!(count(1_234_567), "1,234,567");
        assert_eq!(several(1, "step", "steps"), "1 step");
        assert_eq!(bytes(999), "999\u{a0}B");
        assert_eq!(bytes(12_340_000), "12.3\u{a0}MB");
        assert_eq!(moment("2026-03-01T00:10:05Z"), "1 March 2026, 00:10:05 UTC");
        assert_eq!(moment("soon"), "soon");
        assert_eq!(moment("2026-00-01T00:10:05Z"), "2026-00-01T00:10:05Z");
        assert_eq!(and(&["a".into(), "b".into(), "c".into()]), "a, b and c");
    }

    #[test]
    fn text_is_made_harmless() {
        assert_eq!(
            escape("<b a='1'>&\"\u{7}\u{202e}x"),
            "&lt;b a=&#39;1&#39;&gt;&amp;&quot;\u{fffd}\u{fffd}x"
        );
    }
}
