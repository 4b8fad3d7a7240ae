//! Check 13: no field looks like personal data.

use serde_json::Value;

use super::{
    order::{Decision, decision},
    verdict::{Check, Place, Report},
    view::Case,
};
use crate::bundle::unbase64;

pub(super) fn check(case: &Case<'_>, report: &mut Report) {
    const MEANS: &str = "the transcript may hold data of a person: treat the file accordingly and tell the privacy officer";
    for log in &case.logs {
        for event in log.all_events() {
            report.examined(Check::PersonalData, 1);
            let body = event.part.body.as_deref().unwrap_or("null");
            for text in [event.part.envelope.as_str(), body] {
                let value = serde_json::from_str(text).unwrap_or(Value::Null);
                if let Some((member, kind)) = scan(&value, "") {
                    // never repeat the value itself
                    let what = format!("`{}` looks like {kind}", super::verdict::plain(&member));
                    report.find(Check::PersonalData, log.at(event), what, MEANS);
                }
            }
        }
    }
    // what people wrote beside yes and no is in no event, but in every bundle
    for signed in &case.bundle.approvals {
        let statement = unbase64(&signed.statement).unwrap_or_default();
        let Some(Decision {
            reason, consent, ..
        }) = decision(&statement)
        else {
            continue;
        };
        report.examined(Check::PersonalData, 1);
        let words = [
            ("reason", &reason),
            ("approver", &consent.approver),
            ("second", &consent.second),
            ("ticket", &consent.ticket),
        ];
        for (member, word) in words {
            if let Some(kind) = pattern(word) {
                let what = format!("`{member}` of a decision looks like {kind}");
                report.find(Check::PersonalData, Place::default(), what, MEANS);
            }
        }
    }
    if let Ok(contract) = &case.contract
        && let Some((member, kind)) = scan(&contract.value, "")
    {
        let what = format!(
            "`{}` of the contract looks like {kind}",
            super::verdict::plain(&member)
        );
        report.find(Check::PersonalData, Place::default(), what, MEANS);
    }
}

/// The first text member that looks like personal data.
fn scan(value: &Value, name: &str) -> Option<(String, &'static str)> {
    match value {
        Value::String(text) => pattern(text).map(|kind| (name.to_owned(), kind)),
        Value::Array(items) => items.iter().find_map(|item| scan(item, name)),
        Value::Object(members) => members.iter().find_map(|(key, member)| {
            // a map's keys are text too
            pattern(key)
                .map(|kind| (name.to_owned(), kind))
                .or_else(|| scan(member, key))
        }),
        _ => None,
    }
}

/// What a text looks like. Texts of 32 and more hexadecimal digits, and base64 of signatures, are none.
fn pattern(text: &str) -> Option<&'static str> {
    let hexadecimal = text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    if (hexadecimal && text.len() >= 32) || (text.len() == 88 && text.ends_with("==")) {
        return None;
    }
    if text.split_ascii_whitespace().any(is_email) {
        return Some("an e-mail address");
    }
    // runs of digits that no letter, digit, point or sign touches
    let mut rest = text.as_bytes();
    let mut before = None;
    while let Some(first) = rest.first() {
        let length = rest.iter().take_while(|b| b.is_ascii_digit()).count();
        let (run, tail) = rest.split_at(length.max(1).min(rest.len()));
        if length > 0 {
            let glue = |b: Option<&u8>| {
                b.is_some_and(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'))
            };
            let check_letter = matches!(tail.first(), Some(b'X' | b'x')) && !glue(tail.get(1));
            if !glue(before.as_ref()) {
                if length == 17 && check_letter && is_identity(run, 10) {
                    return Some("an identity number");
                }
                if !glue(tail.first())
                    && let Some(kind) = digits(run)
                {
                    return Some(kind);
                }
            }
            before = run.last().copied();
        } else {
            before = Some(*first);
        }
        rest = tail;
    }
    None
}

fn digits(run: &[u8]) -> Option<&'static str> {
    // with or without the country's code
    let national = match run {
        [b'8', b'6', rest @ ..] if rest.len() == 11 => rest,
        all => all,
    };
    match run {
        _ if matches!(national, [b'1', b'3'..=b'9', rest @ ..] if rest.len() == 9) => {
            Some("a mobile number")
        }
        [body @ .., last] if body.len() == 17 && is_identity(body, u32::from(last - b'0')) => {
            Some("an identity number")
        }
        _ if (13..=19).contains(&run.len()) && luhn(run) => Some("a card number"),
        _ => None,
    }
}

/// Resident identity number: 17 digits and a check digit (ISO 7064, mod 11-2; 10 is X).
fn is_identity(body: &[u8], check: u32) -> bool {
    let mut sum = 0;
    for (place, digit) in (0u32..).zip(body.iter().rev()) {
        let weight = 2u32.pow(place + 1) % 11;
        sum += weight * u32::from(digit - b'0');
    }
    let century = body.get(6..8);
    matches!(century, Some(b"18" | b"19" | b"20")) && (12 - sum % 11) % 11 == check
}

fn luhn(run: &[u8]) -> bool {
    let sum: u32 = (0u32..)
        .zip(run.iter().rev())
        .map(|(place, digit)| {
            let digit = u32::from(digit - b'0');
            match place % 2 {
                0 => digit,
                _ if digit > 4 => 2 * digit - 9,
                _ => 2 * digit,
            }
        })
        .sum();
    sum.is_multiple_of(10) && run.iter().any(|b| *b != b'0')
}

fn is_email(word: &str) -> bool {
    // without the punctuation around it
    let word = word.trim_matches(|c: char| c.is_ascii_punctuation());
    let Some((name, host)) = word.split_once('@') else {
        return false;
    };
    let Some((domain, top)) = host.rsplit_once('.') else {
        return false;
    };
    !name.is_empty()
        && !domain.is_empty()
        && top.len() >= 2
        && top.bytes().all(|b| b.is_ascii_alphabetic())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_patterns_and_no_more() {
        for (text, kind) in [
            ("13812345678", "a mobile number"),
            ("call 13812345678 now", "a mobile number"),
            ("11010519491231002X", "an identity number"),
            ("jane.doe@bank.example", "an e-mail address"),
            ("4111111111111111", "a card number"),
            ("write to <jane@bank.example>, please", "an e-mail address"),
            ("jane@bank.example.", "an e-mail address"),
            ("+8613812345678", "a mobile number"),
        ] {
            assert_eq!(pattern(text), Some(kind), "{text}");
        }
        for text in [
            "",
            "0.13812345678",
            "2026-11-22T01:02:03Z",
            "CHG-13812345678",
            "11010519491231002",
            "110105194912310021",
            "4111111111111112",
            "12345678",
            "a@b",
            "13812345678901234567890123456789012345678901234567890123456789ab",
        ] {
            assert_eq!(pattern(text), None, "{text}");
        }
    }
}
