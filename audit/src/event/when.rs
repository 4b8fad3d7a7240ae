//! Times as text: `2026-11-22T01:02:03Z`, whole seconds, nothing else.

use time::{Date, Month, OffsetDateTime, Time};

/// The text of a time in seconds since 1970; `None` outside the years 1970 to 9999.
pub fn format_time(unix: i64) -> Option<String> {
    let t = OffsetDateTime::from_unix_timestamp(unix).ok()?;
    if !(1970..=9999).contains(&t.year()) {
        return None;
    }
    Some(format!(
        "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}Z",
        t.year(),
        u8::from(t.month()),
        t.day(),
        t.hour(),
        t.minute(),
        t.second()
    ))
}

/// Seconds since 1970 of such a text.
pub fn parse_time(text: &str) -> Option<i64> {
    let number = |from: usize, to: usize| -> Option<u32> {
        let part = text.get(from..to)?;
        if !part.bytes().all(|b| b.is_ascii_digit()) {
            return None;
        }
        part.parse().ok()
    };
    let small = |from, to| number(from, to).and_then(|n| u8::try_from(n).ok());
    let year = i32::try_from(number(0, 4)?).ok()?;
    let month = Month::try_from(small(5, 7)?).ok()?;
    let date = Date::from_calendar_date(year, month, small(8, 10)?).ok()?;
    let time = Time::from_hms(small(11, 13)?, small(14, 16)?, small(17, 19)?).ok()?;
    let unix = OffsetDateTime::new_utc(date, time).unix_timestamp();
    (format_time(unix)? == text).then_some(unix)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_text_for_each_second() {
        for (unix, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (1_795_309_323, "2026-11-22T01:02:03Z"),
        ] {
            assert_eq!(format_time(unix).as_deref(), Some(text));
            assert_eq!(parse_time(text), Some(unix));
        }
        for bad in [
            "",
            "2026-11-22",
            "2026-11-22T01:02:03",
            "2026-11-22T01:02:03z",
            "2026-11-22 01:02:03Z",
            "2026-11-22T01:02:03.5Z",
            "2026-02-29T01:02:03Z",
            "2026-11-22T24:00:00Z",
            "1969-12-31T23:59:59Z",
            "+026-11-22T01:02:03Z",
            "2026-11-22T01:02:03Z ",
        ] {
            assert_eq!(parse_time(bad), None, "{bad}");
        }
    }
}
