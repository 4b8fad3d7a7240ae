//! From TOML to a checked [`Spec`], with every error at its line.

use serde::Deserialize;
use toml::de::DeTable;

use super::{
    Spec,
    error::{Problem, SpecError, SpecErrors, nearest},
    locate::{KeyPath, line_at, line_of, path_at},
    validate,
};
use crate::constants::MAX_SPEC_BYTES;

pub(super) fn from_toml(text: &str, name: &str) -> Result<Spec, SpecErrors> {
    let one = |error| SpecErrors::new(name, vec![error]);
    if text.len() > MAX_SPEC_BYTES {
        let problem = Problem::TooLong {
            bytes: text.len(),
            limit: MAX_SPEC_BYTES,
        };
        return Err(one(SpecError {
            line: None,
            key: String::new(),
            problem,
        }));
    }
    let root = DeTable::parse(text).map_err(|error| {
        let line = error.span().map(|span| line_at(text, span.start));
        one(SpecError {
            line,
            key: String::new(),
            problem: Problem::Syntax {
                detail: error.message().to_owned(),
            },
        })
    })?;
    let spec = toml::Deserializer::parse(text)
        .and_then(Spec::deserialize)
        .map_err(|error| one(explain(text, root.get_ref(), &error)))?;

    let mut errors: Vec<_> = validate::check(&spec)
        .into_iter()
        .map(|(key, problem)| SpecError {
            line: line_of(text, root.get_ref(), &key),
            key: key.to_string(),
            problem,
        })
        .collect();
    if errors.is_empty() {
        return Ok(spec);
    }
    errors.sort_by_key(|error| error.line);
    Err(SpecErrors::new(name, errors))
}

/// Turns what the deserialiser says into a line, a key and a suggestion.
fn explain(text: &str, root: &DeTable<'_>, error: &toml::de::Error) -> SpecError {
    let span = error.span();
    let path = span
        .as_ref()
        .map_or_else(KeyPath::default, |span| path_at(root, span));
    let line = span.as_ref().map(|span| line_at(text, span.start));
    let message = error.message();
    let problem = if let Some(rest) = message.strip_prefix("unknown field `") {
        let (got, available) = expectation(rest);
        Problem::UnknownKey {
            suggestion: nearest(&got, &available),
            available,
        }
    } else if let Some(rest) = message.strip_prefix("unknown variant `") {
        let (got, available) = expectation(rest);
        Problem::NotAvailable {
            suggestion: nearest(&got, &available),
            got,
            available,
        }
    } else if let Some(key) = message.strip_prefix("missing field `") {
        Problem::Missing {
            key: key.trim_end_matches('`').to_owned(),
        }
    } else {
        Problem::Type {
            detail: message.to_owned(),
        }
    };
    // A missing key of the whole file has no place of its own.
    let whole_file = matches!(problem, Problem::Missing { .. }) && path == KeyPath::default();
    SpecError {
        line: line.filter(|_| !whole_file),
        key: path.to_string(),
        problem,
    }
}

/// Splits ``X`, expected one of `a`, `b`` into `X` and the list.
fn expectation(rest: &str) -> (String, Vec<String>) {
    let (got, expected) = rest
        .split_once("`, ")
        .unwrap_or((rest.trim_end_matches('`'), ""));
    let available = expected
        .split('`')
        .skip(1)
        .step_by(2)
        .map(str::to_owned)
        .collect();
    (crate::id::excerpt(got), available)
}
