//! Dates and times: always UTC, whole seconds, one spelling.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, de};
use time::{
    Month, OffsetDateTime, PrimitiveDateTime, Time, format_description::well_known::Rfc3339,
};

use crate::id::{excerpt, serde_as_text};

/// Why a date or time was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TimeError {
    /// Not a calendar date.
    #[error("`{got}` is no date: expected year-month-day such as 2027-03-31")]
    Date {
        /// What was given.
        got: String,
    },
    /// Not a time stamp.
    #[error("`{got}` is no time: expected UTC to the second such as 2027-03-31T09:30:00Z")]
    Stamp {
        /// What was given.
        got: String,
    },
    /// A count of seconds outside the years 1970 to 9999.
    #[error("{seconds} seconds since 1970 is outside the years 1970 to 9999")]
    Range {
        /// Seconds since 1970.
        seconds: u64,
    },
}

/// A moment in UTC, to the second.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(u64);

impl Timestamp {
    /// The first second after the year 9999.
    const END: u64 = 253_402_300_800;

    /// The moment this many seconds after 1970-01-01T00:00:00Z.
    ///
    /// # Errors
    /// After the year 9999.
    pub fn from_unix(seconds: u64) -> Result<Self, TimeError> {
        if seconds < Self::END {
            Ok(Self(seconds))
        } else {
            Err(TimeError::Range { seconds })
        }
    }

    /// Seconds since 1970-01-01T00:00:00Z.
    pub const fn unix(self) -> u64 {
        self.0
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Kept in range by construction, so both steps succeed.
        let text = i64::try_from(self.0)
            .ok()
            .and_then(|seconds| OffsetDateTime::from_unix_timestamp(seconds).ok())
            .and_then(|moment| moment.format(&Rfc3339).ok())
            .ok_or(fmt::Error)?;
        f.pad(&text)
    }
}

impl FromStr for Timestamp {
    type Err = TimeError;

    fn from_str(text: &str) -> Result<Self, TimeError> {
        let stamp = || TimeError::Stamp { got: excerpt(text) };
        let moment = OffsetDateTime::parse(text, &Rfc3339).map_err(|_| stamp())?;
        let parsed = u64::try_from(moment.unix_timestamp()).map_err(|_| stamp())?;
        let parsed = Self::from_unix(parsed)?;
        if parsed.to_string() == text {
            Ok(parsed)
        } else {
            Err(stamp())
        }
    }
}

serde_as_text!(Timestamp, "a UTC time such as 2027-03-31T09:30:00Z");

/// A calendar date, `year-month-day`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Date(time::Date);

impl Date {
    /// The first moment after this day, in UTC: when something that expires on this day has expired.
    pub fn end(self) -> Timestamp {
        let midnight = PrimitiveDateTime::new(self.0, Time::MIDNIGHT).assume_utc();
        let seconds = u64::try_from(midnight.unix_timestamp()).unwrap_or(0);
        Timestamp((seconds + 86_400).min(Timestamp::END - 1))
    }

    fn of(year: i32, month: u8, day: u8) -> Option<Self> {
        let month = Month::try_from(month).ok()?;
        let date = time::Date::from_calendar_date(year, month, day).ok()?;
        (1970..=9999).contains(&date.year()).then_some(Self(date))
    }
}

impl fmt::Display for Date {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (year, month, day) = self.0.to_calendar_date();
        f.pad(&format!("{year:04}-{:02}-{day:02}", u8::from(month)))
    }
}

impl FromStr for Date {
    type Err = TimeError;

    fn from_str(text: &str) -> Result<Self, TimeError> {
        let mut parts = text.split('-');
        let date = (|| {
            let year = parts.next()?.parse().ok()?;
            let month = parts.next()?.parse().ok()?;
            let day = parts.next()?.parse().ok()?;
            Self::of(year, month, day)
        })();
        date.filter(|date| date.to_string() == text)
            .ok_or_else(|| TimeError::Date { got: excerpt(text) })
    }
}

impl serde::Serialize for Date {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

/// Reads a quoted date and, in TOML, also a bare one.
impl<'de> Deserialize<'de> for Date {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        struct Day;
        impl<'de> de::Visitor<'de> for Day {
            type Value = Date;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a date such as 2027-03-31")
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Date, E> {
                text.parse().map_err(E::custom)
            }
            fn visit_map<A: de::MapAccess<'de>>(self, map: A) -> Result<Date, A::Error> {
                let bare =
                    toml::value::Datetime::deserialize(de::value::MapAccessDeserializer::new(map))?;
                if bare.time.is_some() || bare.offset.is_some() {
                    return Err(de::Error::custom(TimeError::Date {
                        got: bare.to_string(),
                    }));
                }
                bare.to_string().parse().map_err(de::Error::custom)
            }
        }
        d.deserialize_any(Day)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stamps() {
        let stamp = Timestamp::from_unix(1_772_323_200).unwrap();
        assert_eq!(stamp.to_string(), "2026-03-01T00:00:00Z");
        assert_eq!("2026-03-01T00:00:00Z".parse::<Timestamp>().unwrap(), stamp);
        for bad in [
            "2026-03-01",
            "2026-03-01T01:00:00+01:00",
            "2026-03-01T00:00:00.5Z",
            "1969-12-31T23:59:59Z",
        ] {
            assert!(bad.parse::<Timestamp>().is_err(), "{bad}");
        }
        assert!(Timestamp::from_unix(u64::MAX).is_err());
    }

    #[test]
    fn dates_end_after_their_last_second() {
        let day: Date = "2026-02-28".parse().unwrap();
        assert_eq!(day.end().to_string(), "2026-03-01T00:00:00Z");
        for bad in [
            "2026-02-29",
            "2026-2-28",
            "26-02-28",
            "2026-02-28-01",
            "",
            "2026-13-01",
        ] {
            assert!(bad.parse::<Date>().is_err(), "{bad}");
        }
    }

    #[test]
    fn toml_takes_bare_and_quoted_dates() {
        #[derive(Deserialize)]
        struct Holder {
            day: Date,
        }
        for text in ["day = 2026-02-28", "day = \"2026-02-28\""] {
            assert_eq!(
                toml::from_str::<Holder>(text).unwrap().day.to_string(),
                "2026-02-28"
            );
        }
        assert!(toml::from_str::<Holder>("day = 2026-02-28T00:00:00Z").is_err());
    }
}
